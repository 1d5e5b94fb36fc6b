//! Content digests: 128 bits of BLAKE3, written as 32 hex digits.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, RunDir, atomic};

/// Bytes hashed at a time.
const BLOCK_BYTES: usize = 1 << 18;

/// Bytes after which a file being written is synced on the side, so that little is left to wait for at its end.
const SYNC_BYTES: u64 = 1 << 25;

/// The first 128 bits of a BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 16]);

impl Digest {
    /// Digest of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::from_hash(&blake3::hash(bytes))
    }

    /// As [`DigestBuilder`] with one field. Much faster where name and value together are short.
    pub fn of_field(name: &str, value: &[u8]) -> Self {
        const SHORT: usize = 112;
        if name.len() + value.len() > SHORT {
            return DigestBuilder::new().field(name, value).finish();
        }
        let mut bytes = [0; SHORT + 16];
        let mut at = 0;
        for part in [&(name.len() as u64).to_le_bytes(), name.as_bytes(), &(value.len() as u64).to_le_bytes(), value] {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Self::of_bytes(&bytes[..at])
    }

    /// Digest of a file's content, read in blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0_u8; BLOCK_BYTES];
        loop {
            let n = file.read(&mut block).map_err(Error::io("read", path))?;
            if n == 0 {
                return Ok(Self::from_hash(&hasher.finalize()));
            }
            hasher.update(&block[..n]);
        }
    }

    /// Whether a file still has this digest.
    ///
    /// # Errors
    /// [`Error::OtherDigest`] where it has not, or when the file cannot be read.
    pub fn check(&self, path: &Path) -> Result<()> {
        let got = Self::of_file(path)?;
        if got == *self { Ok(()) } else { Err(Error::OtherDigest { path: path.into(), recorded: *self, got }) }
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn from_hash(hash: &blake3::Hash) -> Self {
        let mut out = [0; 16];
        out.copy_from_slice(&hash.as_bytes()[..16]);
        Self(out)
    }
}

/// A file whose digest is taken while it is written, in blocks large enough for the hash's vector instructions.
#[derive(Debug)]
pub(crate) struct HashedFile {
    file: File,
    hasher: blake3::Hasher,
    block: Vec<u8>,
    bytes: u64,
    /// Bytes when the last sync began.
    synced: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl HashedFile {
    pub(crate) fn new(file: File) -> Self {
        Self { file, hasher: blake3::Hasher::new(), block: Vec::with_capacity(BLOCK_BYTES), bytes: 0, synced: 0, syncing: None }
    }

    /// Writes what is left and syncs; the digest of everything written, and its size.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.write_block()?;
        self.join()?;
        self.file.sync_all()?;
        Ok((Digest::from_hash(&self.hasher.finalize()), self.bytes))
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.hasher.update(&self.block);
        self.file.write_all(&self.block)?;
        self.bytes += self.block.len() as u64;
        self.block.clear();
        if self.bytes - self.synced >= SYNC_BYTES && self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.join()?;
            let file = self.file.try_clone()?;
            self.synced = self.bytes;
            self.syncing = Some(std::thread::spawn(move || file.sync_data()));
        }
        Ok(())
    }

    /// Waits for the sync on the side.
    fn join(&mut self) -> io::Result<()> {
        let Some(thread) = self.syncing.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(taken)
    }

    // What has to be on disk is there after `finish`; a shard that is not finished is not kept.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest of 32 hex digits")]
pub struct NotADigest(String);

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(s: &str) -> std::result::Result<Self, NotADigest> {
        let bad = || NotADigest(s.to_owned());
        if s.len() != 32 || !s.is_ascii() {
            return Err(bad());
        }
        let mut out = [0; 16];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&s[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(s: String) -> std::result::Result<Self, NotADigest> {
        s.parse()
    }
}

impl From<Digest> for String {
    fn from(d: Digest) -> String {
        d.to_string()
    }
}

/// Digest of several named fields; lengths are hashed too, so that no two sequences of fields collide by concatenation.
#[derive(Debug, Default, Clone)]
pub struct DigestBuilder(blake3::Hasher);

impl DigestBuilder {
    /// Starts with no fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// The digest of all fields in order.
    pub fn finish(self) -> Digest {
        Digest::from_hash(&self.0.finalize())
    }
}

/// A document's id: digest of source, URL and text, as 32 hex digits.
pub fn document_id(source: &str, url: &str, text: &str) -> String {
    DigestBuilder::new().field("source", source).field("url", url).field("text", text).finish().to_string()
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Cached {
    size: u64,
    mtime_ns: u64,
    digest: Digest,
}

/// File digests remembered by size and time of change, kept in the run directory.
///
/// A file changed within the last two seconds is never cached: its time of change could still stay the same after another write.
#[derive(Debug)]
pub struct DigestCache {
    path: PathBuf,
    entries: BTreeMap<String, Cached>,
    changed: bool,
}

impl DigestCache {
    /// Loads the cache of a run; an unreadable one counts as empty.
    pub fn open(run: &RunDir) -> Self {
        let path = run.digest_cache_json();
        let entries = fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Self { path, entries, changed: false }
    }

    /// The file's digest, computed only if its size or time of change is new.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn digest(&mut self, path: &Path) -> Result<Digest> {
        let full = fs::canonicalize(path).map_err(Error::io("open", path))?;
        let meta = fs::metadata(&full).map_err(Error::io("read", path))?;
        let modified = meta.modified().map_err(Error::io("read", path))?;
        let mtime_ns = modified.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let key = full.to_string_lossy().into_owned();
        if let Some(c) = self.entries.get(&key)
            && c.size == meta.len()
            && c.mtime_ns == mtime_ns
        {
            return Ok(c.digest);
        }
        let digest = Digest::of_file(&full)?;
        if modified.elapsed().is_ok_and(|age| age.as_secs() >= 2) {
            self.entries.insert(key, Cached { size: meta.len(), mtime_ns, digest });
            self.changed = true;
        }
        Ok(digest)
    }

    /// Writes the cache back if anything was added and the run directory exists; entries of files that are gone are dropped.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn save(&mut self) -> Result<()> {
        // A run that does not exist yet is not made by remembering something about it.
        if self.changed && self.path.parent().is_some_and(Path::is_dir) {
            self.entries.retain(|path, _| Path::new(path).exists());
            atomic::write_json(&self.path, &self.entries)?;
            self.changed = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_the_same_however_long() {
        for length in [0, 1, 31, 32, 106, 107, 108, 5000] {
            let value = vec![b'x'; length];
            assert_eq!(Digest::of_field("field", &value), DigestBuilder::new().field("field", &value).finish(), "{length}");
        }
    }

    #[test]
    fn text_form_round_trips_and_rejects_others() {
        let d = Digest::of_bytes(b"abc");
        assert_eq!(d.to_string().parse::<Digest>().unwrap(), d);
        // First 16 bytes of the BLAKE3 test value for "abc".
        assert_eq!(d.to_string(), "6437b3ac38465133ffb63b75273a8db5");
        for bad in ["", "6437", "zz37b3ac38465133ffb63b75273a8db5", "珠穆朗玛峰珠穆朗玛峰珠"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_hashed_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for (name, size) in [("none", 0), ("few", 10), ("block", BLOCK_BYTES), ("more", 3 * BLOCK_BYTES + 1)] {
            let path = dir.path().join(name);
            let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut file = HashedFile::new(File::create(&path).unwrap());
            content.chunks(100_000).for_each(|piece| file.write_all(piece).unwrap());
            file.flush().unwrap();
            assert_eq!(file.finish().unwrap(), (Digest::of_file(&path).unwrap(), size as u64));
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn fields_do_not_run_together() {
        let a = DigestBuilder::new().field("a", "bc").finish();
        let b = DigestBuilder::new().field("ab", "c").finish();
        assert_ne!(a, b);
        assert_ne!(document_id("s", "u", "t"), document_id("s", "ut", ""));
        assert_eq!(document_id("s", "u", "t").len(), 32);
    }

    #[test]
    fn cache_sees_a_changed_file() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let file = dir.path().join("x");
        fs::write(&file, "one").unwrap();
        let mut cache = DigestCache::open(&run);
        let one = cache.digest(&file).unwrap();
        fs::write(&file, "two").unwrap();
        assert_ne!(cache.digest(&file).unwrap(), one);
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        let two = cache.digest(&file).unwrap();
        cache.save().unwrap();
        assert_eq!(DigestCache::open(&run).entries.len(), 1);
        assert_eq!(DigestCache::open(&run).digest(&file).unwrap(), two);
    }
}
