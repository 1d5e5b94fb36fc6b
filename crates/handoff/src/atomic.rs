//! Files and directories that appear whole or not at all.
//!
//! Everything is written under a temporary name in the same directory, synced, and renamed;
//! then the directory is synced, so that the rename survives a power cut.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::{Error, Result};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Marks temporary names, so that leftovers of a killed process can be told from results.
pub const TEMPORARY_MARK: &str = ".tmp-";

/// A temporary name beside `path`, unique in this process and among processes of this host.
pub fn temporary_beside(path: &Path) -> PathBuf {
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}{TEMPORARY_MARK}{}-{n}", std::process::id()))
}

/// A file for intermediate data, in the directory of `path` and gone with the last handle to it: its name is removed at once.
///
/// # Errors
/// When the directory or the file cannot be created.
pub fn scratch_beside(path: &Path) -> Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    }
    let temporary = temporary_beside(path);
    let file = File::options().read(true).write(true).create_new(true).open(&temporary).map_err(Error::io("create", &temporary))?;
    fs::remove_file(&temporary).map_err(Error::io("remove", &temporary))?;
    Ok(file)
}

/// A file that gets its final name only on [`AtomicFile::commit`]; dropped before that, it is removed.
#[derive(Debug)]
pub struct AtomicFile {
    writer: Option<BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Opens a temporary file beside `path`, creating the directory if need be.
    ///
    /// # Errors
    /// When the directory or the file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        let temporary = temporary_beside(path);
        let file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        Ok(Self { writer: Some(BufWriter::with_capacity(1 << 16, file)), temporary, path: path.to_path_buf() })
    }

    /// Flushes, syncs, renames to the final name and syncs the directory.
    ///
    /// # Errors
    /// When any of these fails; the final name then still shows the old state.
    pub fn commit(mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = writer.into_inner().map_err(|e| Error::io("write", &self.path)(e.into_error()))?;
        file.sync_all().map_err(Error::io("sync", &self.path))?;
        drop(file);
        rename(&self.temporary, &self.path)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(w) => w.write(buf),
            None => Err(io::Error::other("already committed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Renames within one file system and syncs the directory of the target.
///
/// # Errors
/// When the rename or the sync fails.
#[expect(clippy::disallowed_methods, reason = "this is the one place that renames")]
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io("rename to", to))?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Syncs a directory, so that names created or renamed in it survive a power cut.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io("sync", dir))
}

/// Writes `bytes` to `path` as a whole.
///
/// # Errors
/// When the file cannot be written; `path` is then as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// Writes `value` as indented JSON with a final newline.
///
/// # Errors
/// When the value does not serialize or the file cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { what: "JSON", path: path.to_path_buf(), source })?;
    bytes.push(b'\n');
    write(path, &bytes)
}

/// Like [`write_json`], but leaves the file alone when it already holds the same bytes,
/// so that its time of change says when its content changed.
///
/// # Errors
/// As [`write_json`].
pub fn write_json_if_changed<T: Serialize>(path: &Path, value: &T) -> Result<bool> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { what: "JSON", path: path.to_path_buf(), source })?;
    bytes.push(b'\n');
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write(path, &bytes)?;
    Ok(true)
}

/// Puts a finished directory in place: syncs its files, moves an older `target` aside, renames, removes the older one.
///
/// Between the two renames `target` is absent for an instant; a reader that finds it absent finds no half directory.
///
/// # Errors
/// When a file operation fails.
pub fn commit_dir(staged: &Path, target: &Path) -> Result<()> {
    sync_tree(staged)?;
    if target.exists() {
        let old = temporary_beside(target);
        rename(target, &old)?;
        rename(staged, target)?;
        fs::remove_dir_all(&old).map_err(Error::io("remove", &old))
    } else {
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        rename(staged, target)
    }
}

fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path).and_then(|f| f.sync_all()).map_err(Error::io("sync", &path))?;
        }
    }
    sync_dir(dir)
}

/// Removes temporary files and directories that a killed process left directly in `dir`.
///
/// # Errors
/// When the directory cannot be listed or a leftover cannot be removed.
pub fn remove_leftovers(dir: &Path) -> Result<usize> {
    let mut removed = 0;
    let Ok(entries) = fs::read_dir(dir) else { return Ok(0) };
    for entry in entries {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') && name.contains(TEMPORARY_MARK) {
            let done = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            done.map_err(Error::io("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_file_has_no_name() {
        use std::io::{Read, Seek};
        let dir = tempfile::tempdir().unwrap();
        let mut file = scratch_beside(&dir.path().join("below").join("x")).unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("below")).unwrap().count(), 0);
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn a_dropped_file_leaves_the_old_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temporary file is gone");
    }

    #[test]
    fn same_content_is_not_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert!(write_json_if_changed(&path, &[1, 2]).unwrap());
        assert!(!write_json_if_changed(&path, &[1, 2]).unwrap());
        assert!(write_json_if_changed(&path, &[1, 3]).unwrap());
    }

    #[test]
    fn a_directory_replaces_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let (staged, target) = (dir.path().join("staged"), dir.path().join("model"));
        for (d, text) in [(&staged, "new"), (&target, "old")] {
            fs::create_dir(d).unwrap();
            fs::write(d.join("x"), text).unwrap();
        }
        commit_dir(&staged, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_are_found_and_others_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000.parquet");
        fs::write(&path, "x").unwrap();
        fs::write(temporary_beside(&path), "half").unwrap();
        assert_eq!(remove_leftovers(dir.path()).unwrap(), 1);
        assert!(path.exists());
    }
}
