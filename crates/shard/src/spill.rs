//! Documents spread over files without a name, one for each range of keys, so that a batch larger than memory is read only once.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use handoff::columns::TokenIds;
use handoff::{Error as HandoffError, atomic};

use crate::Error;
use crate::order::Split;
use crate::pack::TokenId;
use crate::shuffle::{Part, part_of};

/// Most files; where they are larger than the memory allowed, each is read several times.
pub(crate) const MOST_CELLS: u64 = 512;

/// Buffer of a file that is being written.
const BUFFER_BYTES: usize = 1 << 16;

/// Bytes of a record before its id and its token ids: key, bytes of text, length of the id, number of tokens, split.
const HEADER: usize = 8 + 8 + 4 + 4 + 1;

/// A document on its way into a part of the order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) key: u64,
    pub(crate) id: &'a str,
    pub(crate) split: Split,
    pub(crate) num_bytes: u64,
    pub(crate) ids: TokenIds<'a>,
}

/// Documents of one range of keys.
#[derive(Debug)]
pub(crate) struct Cell {
    file: File,
    pub(crate) documents: usize,
    pub(crate) tokens: usize,
}

/// The files being written.
#[derive(Debug)]
pub(crate) struct Spill {
    /// Beside which file they are, for messages.
    path: PathBuf,
    cells: Vec<(BufWriter<File>, usize, usize)>,
    bytes: Vec<u8>,
}

impl Spill {
    pub(crate) fn create(path: &Path, cells: u64) -> Result<Self, Error> {
        let cell = |_| Ok((BufWriter::with_capacity(BUFFER_BYTES, atomic::scratch_beside(path)?), 0, 0));
        Ok(Self { path: path.to_path_buf(), cells: (0..cells).map(cell).collect::<Result<_, Error>>()?, bytes: Vec::new() })
    }

    /// Adds a document, its token ids at width `T`.
    pub(crate) fn push<T: TokenId>(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let cell = part_of(record.key, self.cells.len() as u64) as usize;
        let (file, documents, tokens) = &mut self.cells[cell];
        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend(record.key.to_le_bytes());
        bytes.extend(record.num_bytes.to_le_bytes());
        bytes.extend((record.id.len() as u32).to_le_bytes());
        bytes.extend((record.ids.len() as u32).to_le_bytes());
        bytes.push(u8::from(record.split == Split::Validation));
        bytes.extend(record.id.as_bytes());
        match record.ids {
            TokenIds::U16(ids) => ids.iter().for_each(|id| T::cut(u32::from(*id)).write(bytes)),
            TokenIds::U32(ids) => ids.iter().for_each(|id| T::cut(*id).write(bytes)),
        }
        file.write_all(bytes).map_err(HandoffError::io("write", &self.path))?;
        (*documents, *tokens) = (*documents + 1, *tokens + record.ids.len());
        Ok(())
    }

    /// The files, in the order of their keys.
    pub(crate) fn finish(self) -> Result<Vec<Cell>, Error> {
        let cell = |(file, documents, tokens): (BufWriter<File>, usize, usize)| {
            let file = file.into_inner().map_err(|error| HandoffError::io("write", &self.path)(error.into_error()))?;
            Ok(Cell { file, documents, tokens })
        };
        self.cells.into_iter().map(cell).collect()
    }
}

impl Cell {
    /// Adds the documents whose keys are in range `part` of `parts` to `into`, at most up to about `max_bytes`; false where there are
    /// more. Documents of one and the same key cannot be told apart and are always read together.
    pub(crate) fn load<T: TokenId>(
        &self,
        path: &Path,
        (part, parts): (u64, u64),
        into: &mut Part<T>,
        max_bytes: u64,
    ) -> Result<bool, Error> {
        let failed = |error| Error::from(HandoffError::io("read", path)(error));
        let mut reader = BufReader::with_capacity(1 << 18, &self.file);
        reader.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut header = [0; HEADER];
        let mut bytes = Vec::new();
        let mut one_key = true;
        for _ in 0..self.documents {
            reader.read_exact(&mut header).map_err(failed)?;
            let (key, num_bytes) = (u64_at(&header, 0), u64_at(&header, 8));
            let (id_len, tokens) = (u32_at(&header, 16) as usize, u32_at(&header, 20) as usize);
            let token_bytes = tokens * size_of::<T>();
            if part_of(key, parts) != part {
                reader.seek_relative((id_len + token_bytes) as i64).map_err(failed)?;
                continue;
            }
            bytes.resize(id_len + token_bytes, 0);
            reader.read_exact(&mut bytes).map_err(failed)?;
            let split = if header[24] == 1 { Split::Validation } else { Split::Train };
            let id = String::from_utf8_lossy(&bytes[..id_len]);
            into.push_bytes((key, &id, split, num_bytes), &bytes[id_len..]);
            // One document may be larger than everything allowed, and so may all of one key; cutting further would not help.
            one_key &= into.entries.first().is_some_and(|first| first.key == key);
            if into.bytes() > max_bytes && !one_key {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn u64_at(bytes: &[u8; HEADER], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

fn u32_at(bytes: &[u8; HEADER], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_read_whole_or_in_parts_that_fit() {
        read_in_parts::<u16>();
        read_in_parts::<u32>();
    }

    fn read_in_parts<T: TokenId>() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut spill = Spill::create(&path, 2).unwrap();
        let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..1000_u16 {
            let (narrow, wide) = ([n, 0], [u32::from(n), 0]);
            let ids = if n % 3 == 0 { TokenIds::U16(&narrow) } else { TokenIds::U32(&wide) };
            let split = if n % 10 == 0 { Split::Validation } else { Split::Train };
            spill.push::<T>(&Record { key: key(n.into()), id: &n.to_string(), split, num_bytes: n.into(), ids }).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no file has a name");
        let cells = spill.finish().unwrap();
        assert_eq!(cells.iter().map(|cell| (cell.documents, cell.tokens)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (1000, 2000));
        let mut seen = Vec::new();
        let mut load = |cell: usize, part, max_bytes| {
            let mut into = Part::<T>::with_capacity(0, 0);
            let all = cells[cell].load(&path, part, &mut into, max_bytes).unwrap();
            assert!(into.bytes() <= max_bytes + 200, "{} bytes, at most one document more than {max_bytes}", into.bytes());
            for entry in into.entries.iter().filter(|_| all) {
                let ids: Vec<u32> = into.ids(entry).iter().map(|id| (*id).into()).collect();
                let n: u64 = into.name(entry).parse().unwrap();
                assert_eq!((entry.key, entry.num_bytes, ids.as_slice()), (key(n), n, [n as u32, 0].as_slice()));
                assert_eq!(entry.split == Split::Validation, n.is_multiple_of(10));
                seen.push(n);
            }
            all
        };
        assert!(load(0, (0, 2), 1_000_000));
        assert!(!load(1, (1, 2), 40_000), "half of the documents take more");
        assert!(load(1, (2, 4), 40_000) && load(1, (3, 4), 40_000));
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn documents_of_one_key_stay_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(dir.path(), 2).unwrap();
        for key in [7; 50].into_iter().chain([8; 50]) {
            spill.push::<u16>(&Record { key, id: "x", split: Split::Train, num_bytes: 1, ids: TokenIds::U16(&[3; 100]) }).unwrap();
        }
        let cells = spill.finish().unwrap();
        let load = |part| {
            let mut into = Part::<u16>::with_capacity(0, 0);
            cells[0].load(dir.path(), part, &mut into, 1000).unwrap().then_some(into.entries.len())
        };
        assert_eq!(load((0, 2)), None, "two keys can be told apart");
        assert_eq!([2, 3, 4].map(|part| load((part, 1 << 63))), [Some(0), Some(50), Some(50)]);
    }
}
