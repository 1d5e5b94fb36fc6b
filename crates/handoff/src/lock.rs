//! One process per stage and worker.
//!
//! The lock is a file that its holder keeps locked (`flock`) as long as it lives, so that the kernel drops it at any death of the
//! process, on whatever host or in whatever container it ran. What stands in the file only names the holder in messages.
//!
//! How far that reaches is up to the file system. Local ones, NFS 4, CephFS and Lustre mounted with `flock` pass locks on between
//! hosts; of a host that dies itself they drop the locks when its lease or session ends (NFS 4: 90 s as a rule).
//! Where locks hold within a host only (NFS with `nolock` or `local_lock`, Lustre with `localflock`, most of what is mounted with FUSE),
//! two hosts are not kept apart. Where there are none at all, the file's existence and the name in it decide: a lock is taken over
//! only if its holder was on this host and no process has its number any more.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, StageDir};

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    since_unix_secs: u64,
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct StageLock {
    path: PathBuf,
    /// Locked while it is open.
    _file: File,
}

/// How long a lock that is taken is asked for again: a process that was killed holds its own until its memory is given back.
const DYING: Duration = Duration::from_secs(1);

/// What became of an attempt.
enum Attempt {
    Held(StageLock),
    /// The file was removed meanwhile, or was left by a holder that is gone.
    Again,
    /// Its holder lives.
    Taken,
}

impl StageLock {
    /// Takes the lock of `worker` on a stage.
    ///
    /// # Errors
    /// [`Error::Locked`] names the holder; other errors when the file cannot be made.
    pub fn acquire(dir: &StageDir, worker: usize) -> Result<Self> {
        fs::create_dir_all(dir.path()).map_err(Error::io("create", dir.path()))?;
        let path = dir.lock(worker);
        let started = Instant::now();
        let mut tries = 3;
        while tries > 0 {
            match attempt(&path, File::try_lock)? {
                Attempt::Held(lock) => return Ok(lock),
                Attempt::Again => tries -= 1,
                Attempt::Taken if started.elapsed() < DYING => std::thread::sleep(DYING / 100),
                Attempt::Taken => {
                    let holder = holder_of(&path).map_or("a process that has just taken it".into(), |holder| {
                        format!("process {} on {} since Unix time {}", holder.pid, holder.host, holder.since_unix_secs)
                    });
                    return Err(Error::Locked { path, holder });
                }
            }
        }
        Err(Error::Locked { path, holder: "a process that keeps taking it".into() })
    }
}

fn attempt(path: &Path, try_lock: impl Fn(&File) -> std::result::Result<(), TryLockError>) -> Result<Attempt> {
    let open = |new: bool| OpenOptions::new().write(true).create_new(new).open(path);
    let (file, new) = match open(true) {
        Ok(file) => (file, true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => match open(false) {
            Ok(file) => (file, false),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Attempt::Again),
            Err(e) => return Err(Error::io("open", path)(e)),
        },
        Err(e) => return Err(Error::io("create", path)(e)),
    };
    match try_lock(&file) {
        Ok(()) if !is_at(&file, path) => Ok(Attempt::Again),
        Ok(()) => hold(file, path),
        Err(TryLockError::WouldBlock) => Ok(Attempt::Taken),
        // A file system without locks.
        Err(TryLockError::Error(_)) if new => hold(file, path),
        Err(TryLockError::Error(_)) if holder_of(path).is_some_and(|holder| !is_gone(&holder)) => Ok(Attempt::Taken),
        Err(TryLockError::Error(_)) => {
            // Left by a killed process, perhaps before it wrote its name.
            let _ = fs::remove_file(path);
            Ok(Attempt::Again)
        }
    }
}

/// True if `path` still leads to the open `file`: a holder removes its file while it holds it.
fn is_at(file: &File, path: &Path) -> bool {
    let place = |metadata: std::io::Result<fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let there = File::open(path).and_then(|there| there.metadata());
    place(there).is_some_and(|there| place(file.metadata()) == Some(there))
}

fn hold(mut file: File, path: &Path) -> Result<Attempt> {
    let since_unix_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let holder = Holder { pid: std::process::id(), host: host_name(), since_unix_secs };
    let text = serde_json::to_string(&holder).unwrap_or_default();
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(Error::io("write", path))?;
    Ok(Attempt::Held(StageLock { path: path.to_owned(), _file: file }))
}

impl Drop for StageLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn holder_of(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn is_gone(holder: &Holder) -> bool {
    holder.host == host_name() && Path::new("/proc/self").exists() && !Path::new("/proc").join(holder.pid.to_string()).exists()
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunDir;

    fn write_holder(path: &Path, pid: u32, host: &str) {
        let holder = Holder { pid, host: host.to_owned(), since_unix_secs: 0 };
        fs::write(path, serde_json::to_string(&holder).unwrap()).unwrap();
    }

    #[test]
    fn a_held_lock_names_its_holder_and_a_dead_one_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let held = StageLock::acquire(&stage, 0).unwrap();
        let error = StageLock::acquire(&stage, 0).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        StageLock::acquire(&stage, 1).unwrap();
        drop(held);
        assert!(!stage.lock(0).exists());
        // Whatever a file says that nobody holds: a process of another host, one whose number lives on here, none at all.
        for (pid, host) in [(1, "another-host".to_owned()), (std::process::id(), host_name())] {
            write_holder(&stage.lock(0), pid, &host);
            let held = StageLock::acquire(&stage, 0).unwrap();
            assert_eq!(holder_of(&stage.lock(0)).unwrap().pid, std::process::id());
            drop(held);
        }
        fs::write(stage.lock(0), "").unwrap();
        StageLock::acquire(&stage, 0).unwrap();
    }

    #[test]
    fn a_holder_that_is_about_to_die_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let held = StageLock::acquire(&stage, 0).unwrap();
        let dying = std::thread::spawn(move || {
            std::thread::sleep(DYING / 5);
            drop(held);
        });
        StageLock::acquire(&stage, 0).unwrap();
        dying.join().unwrap();
    }

    #[test]
    fn a_file_that_was_removed_meanwhile_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let removed = |file: &File| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
            file.try_lock()
        };
        assert!(matches!(attempt(&path, removed).unwrap(), Attempt::Again));
    }

    #[test]
    fn without_locks_the_name_decides() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let attempt = || attempt(&path, |_| Err(TryLockError::Error(ErrorKind::Unsupported.into()))).unwrap();
        let Attempt::Held(held) = attempt() else { panic!("not held") };
        assert!(matches!(attempt(), Attempt::Taken));
        drop(held);
        write_holder(&path, 1, "another-host");
        assert!(matches!(attempt(), Attempt::Taken));
        // No process has the largest number Linux can give.
        write_holder(&path, 4_194_304 + 1, &host_name());
        assert!(matches!(attempt(), Attempt::Again));
        assert!(matches!(attempt(), Attempt::Held(_)));
    }
}
