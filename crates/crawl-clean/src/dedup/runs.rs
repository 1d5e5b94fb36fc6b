//! The keys of one unit on disk: sorted, so that a range of them can be read by itself, with a table of the unit's documents.
//!
//! All numbers little-endian: `JLKEYS01`, the unit's digest (16 bytes), number of documents and of keys (8 each); for each of
//! [`PREFIXES`] upper parts of a key, and for the end, how many keys stand before it (8 each); for each document its id, the digest of
//! its text (16 bytes each) and where its sketch begins (8), and once more where the last one ends; the keys as hash (8), row and
//! tag (4 each); the sketches (4 each value).
//! A file is scratch: it can be made again from the side table `signatures`.

use super::{Key, Signature};
use crate::error::Error;
use handoff::{Digest, atomic};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const MAGIC: &[u8; 8] = b"JLKEYS01";
/// Upper parts of a hash that can be told apart: the most ranges there are.
pub const PREFIXES: usize = 1024;
const HEADER: usize = 8 + 16 + 8 + 8;
const OFFSETS: usize = (PREFIXES + 1) * 8;
const DOCUMENT: usize = 16 + 16 + 8;
/// Bytes of a stored key.
pub const KEY_BYTES: usize = 16;

/// The upper part of a hash.
#[must_use]
pub fn prefix(hash: u64) -> usize {
    (hash >> (64 - PREFIXES.trailing_zeros())) as usize
}

/// Collects the keys of a unit and writes them.
#[derive(Debug, Default)]
pub struct RunWriter {
    documents: Vec<([u8; 16], [u8; 16], u64)>,
    keys: Vec<Key>,
    sketches: Vec<u32>,
}

impl RunWriter {
    /// Adds the next document.
    ///
    /// # Errors
    /// If the id is none of ours.
    pub fn push(&mut self, id: &str, signature: &Signature) -> Result<(), Error> {
        let id = Digest::from_str(id).map_err(|_| Error::NoDocumentId { id: id.to_owned() })?;
        // A unit is one file of a crawl: u32 counts its documents.
        let row = self.documents.len() as u32;
        self.documents.push((*id.as_bytes(), signature.exact, self.sketches.len() as u64));
        self.keys.extend(signature.keys(row));
        self.sketches.extend(&signature.sketch);
        Ok(())
    }

    /// Writes the file at `path`, for a unit whose inputs have digest `basis`.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn finish(mut self, path: &Path, basis: Digest) -> Result<(), Error> {
        self.keys.sort_unstable();
        let mut before = vec![0_u64; PREFIXES + 1];
        for key in &self.keys {
            before[prefix(key.hash) + 1] += 1;
        }
        for i in 0..PREFIXES {
            before[i + 1] += before[i];
        }
        let mut bytes = Vec::with_capacity(HEADER + OFFSETS + self.documents.len() * DOCUMENT);
        bytes.extend(MAGIC);
        bytes.extend(basis.as_bytes());
        bytes.extend((self.documents.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        before.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        for (id, text, sketch) in &self.documents {
            bytes.extend(id);
            bytes.extend(text);
            bytes.extend(sketch.to_le_bytes());
        }
        bytes.extend((self.sketches.len() as u64).to_le_bytes());
        let mut file = atomic::AtomicFile::create(path)?;
        let failed = Error::read(path);
        let mut write = || -> std::io::Result<()> {
            file.write_all(&bytes)?;
            for key in &self.keys {
                file.write_all(&key.hash.to_le_bytes())?;
                file.write_all(&key.row.to_le_bytes())?;
                file.write_all(&key.tag.to_le_bytes())?;
            }
            self.sketches.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
        };
        write().map_err(failed)?;
        Ok(file.commit()?)
    }
}

/// A file of keys. It is opened only where it is read: a crawl has more files than a process may hold open.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    documents: u64,
    keys: u64,
}

/// An opened file of keys, for documents by number.
#[derive(Debug)]
pub struct OpenRun<'a> {
    run: &'a Run,
    file: File,
}

impl Run {
    /// Opens the keys of a unit whose inputs have digest `basis`; `None` if there are none, or of other inputs.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn open(path: &Path, basis: Digest) -> Result<Option<Self>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::read(path)(error)),
        };
        let mut head = [0; HEADER];
        let length = file.metadata().map_err(Error::read(path))?.len();
        if length < (HEADER + OFFSETS) as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut head, 0).map_err(Error::read(path))?;
        if &head[..8] != MAGIC || &head[8..24] != basis.as_bytes() {
            return Ok(None);
        }
        Ok(Some(Self { path: path.to_owned(), documents: u64_of(&head[24..32]), keys: u64_of(&head[32..40]) }))
    }

    /// Number of documents.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// How many keys have upper parts below 0, 1, … [`PREFIXES`].
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn keys_before(&self) -> Result<Vec<u64>, Error> {
        let mut bytes = vec![0; OFFSETS];
        self.open_file()?.read_exact_at(&mut bytes, HEADER as u64).map_err(Error::read(&self.path))?;
        Ok(bytes.chunks_exact(8).map(u64_of).collect())
    }

    fn open_file(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(Error::read(&self.path))
    }

    /// Opens the file for documents by number.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn documents_by_row(&self) -> Result<OpenRun<'_>, Error> {
        Ok(OpenRun { run: self, file: self.open_file()? })
    }

    /// Hands the keys with upper parts from `low` to below `high` to `each`, in order.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self, low: usize, high: usize, mut each: impl FnMut(Key)) -> Result<(), Error> {
        const BLOCK: u64 = 1 << 14;
        let file = self.open_file()?;
        let before = |prefix: usize| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, (HEADER + 8 * prefix) as u64).map_err(Error::read(&self.path))?;
            Ok::<u64, Error>(u64_of(&bytes))
        };
        let (mut at, end) = (before(low)?, before(high)?.min(self.keys));
        let mut block = vec![0; KEY_BYTES * BLOCK.min(end.saturating_sub(at)) as usize];
        while at < end {
            let count = BLOCK.min(end - at);
            let part = &mut block[..count as usize * KEY_BYTES];
            file.read_exact_at(part, self.keys_at() + at * KEY_BYTES as u64).map_err(Error::read(&self.path))?;
            for bytes in part.chunks_exact(KEY_BYTES) {
                each(Key { hash: u64_of(&bytes[..8]), row: u32_of(&bytes[8..12]), tag: u32_of(&bytes[12..]) });
            }
            at += count;
        }
        Ok(())
    }

    fn keys_at(&self) -> u64 {
        (HEADER + OFFSETS) as u64 + self.documents * DOCUMENT as u64 + 8
    }
}

impl OpenRun<'_> {
    /// Id and digest of the text of document `row`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn document(&self, row: u32) -> Result<([u8; 16], [u8; 16]), Error> {
        let mut bytes = [0; 32];
        self.at((HEADER + OFFSETS) as u64 + u64::from(row) * DOCUMENT as u64, &mut bytes)?;
        Ok((std::array::from_fn(|i| bytes[i]), std::array::from_fn(|i| bytes[16 + i])))
    }

    /// Sketch of document `row`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sketch(&self, row: u32) -> Result<Vec<u32>, Error> {
        let run = self.run;
        let place = |row: u64| (HEADER + OFFSETS) as u64 + row * DOCUMENT as u64 + 32;
        let mut bounds = [0; 16];
        self.at(place(u64::from(row)), &mut bounds[..8])?;
        let next = if u64::from(row) + 1 == run.documents { run.keys_at() - 8 } else { place(u64::from(row) + 1) };
        self.at(next, &mut bounds[8..])?;
        let (start, end) = (u64_of(&bounds[..8]), u64_of(&bounds[8..]));
        let mut bytes = vec![0; (end.saturating_sub(start)).min(super::SKETCH_HASHES as u64) as usize * 4];
        self.at(run.keys_at() + run.keys * KEY_BYTES as u64 + start * 4, &mut bytes)?;
        Ok(bytes.chunks_exact(4).map(u32_of).collect())
    }

    fn at(&self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(into, offset).map_err(Error::read(&self.run.path))
    }
}

/// A number of 8 bytes.
pub(super) fn u64_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// A number of 4 bytes.
pub(super) fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(n: u64) -> Signature {
        Signature { exact: [n as u8; 16], bands: vec![n, n + 1], sketch: (0..n as u32).collect(), ..Signature::default() }
    }

    #[test]
    fn what_was_written_is_read_by_range() {
        let dir = tempfile::tempdir().unwrap();
        let (path, basis) = (dir.path().join("00000.bin"), Digest::of_bytes(b"x"));
        let mut writer = RunWriter::default();
        let ids: Vec<Digest> = (0..50_u8).map(|n| Digest::of_bytes(&[n])).collect();
        for (n, id) in ids.iter().enumerate() {
            writer.push(&id.to_string(), &signature(n as u64)).unwrap();
        }
        assert!(writer.push("no digest", &signature(0)).is_err());
        writer.finish(&path, basis).unwrap();
        assert!(Run::open(&path, Digest::of_bytes(b"y")).unwrap().is_none());
        assert!(Run::open(&dir.path().join("none"), basis).unwrap().is_none());
        let run = Run::open(&path, basis).unwrap().unwrap();
        assert_eq!((run.documents(), run.keys_before().unwrap()[PREFIXES]), (50, 150));
        let by_row = run.documents_by_row().unwrap();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(by_row.document(n as u32).unwrap(), (*id.as_bytes(), [n as u8; 16]));
            assert_eq!(by_row.sketch(n as u32).unwrap(), (0..n as u32).collect::<Vec<_>>());
        }
        let mut got = Vec::new();
        for low in (0..PREFIXES).step_by(100) {
            let high = (low + 100).min(PREFIXES);
            run.read(low, high, |key| {
                assert!((low..high).contains(&prefix(key.hash)));
                got.push(key);
            })
            .unwrap();
        }
        let mut want: Vec<Key> = (0..50).flat_map(|n| signature(u64::from(n)).keys(n).collect::<Vec<_>>()).collect();
        want.sort_unstable();
        assert_eq!(got, want);
    }

    #[test]
    fn a_cut_file_is_none_or_an_error_and_never_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let (path, basis) = (dir.path().join("00000.bin"), Digest::of_bytes(b"x"));
        let mut writer = RunWriter::default();
        writer.push(&basis.to_string(), &signature(3)).unwrap();
        writer.finish(&path, basis).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..20]).unwrap();
        assert!(Run::open(&path, basis).unwrap().is_none());
        std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
        let run = Run::open(&path, basis).unwrap().unwrap();
        assert!(run.read(0, PREFIXES, |_| ()).is_err() || run.documents_by_row().unwrap().sketch(0).is_err());
    }
}
