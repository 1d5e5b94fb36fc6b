//! Who held a key first: one range of keys over all units at a time.
//!
//! Ranges are cut so that the keys of one fit into the memory allowed; each gives one file of [`Edge`]s, and each can be done by
//! another worker. The files of all ranges together say the same for any cut.
//!
//! A file holds, little-endian: `JLEDGE01`, the digest of all units that were joined (16 bytes), the number of edges (8), and the edges
//! in order: later unit and row, tag of the later document's key, first unit and row (4 bytes each).

use super::runs::{PREFIXES, Run, u32_of, u64_of};
use crate::error::Error;
use handoff::{Digest, StageDir, atomic};
use rayon::prelude::*;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"JLEDGE01";
const HEADER: u64 = 8 + 16 + 8;
const EDGE_BYTES: u64 = 20;
/// Folder of the files, in the scratch space.
pub const FOLDER: &str = "edges";

/// A document, by the place of its unit in the ingest order and its number in it. Earlier documents are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Place of the unit.
    pub unit: u32,
    /// Number of the document in it.
    pub row: u32,
}

/// A key of `later` that `first` held before anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The document that has the key too.
    pub later: Place,
    /// Kind and number of the key in the later document.
    pub tag: u32,
    /// The first holder, another document.
    pub first: Place,
}

/// A unit that takes part: its place and its keys.
#[derive(Debug)]
pub struct Member {
    /// Place in the ingest order.
    pub unit: u32,
    /// Its keys.
    pub run: Run,
}

/// What a key in memory takes, and with it the edge that it may give.
const BYTES_PER_KEY: u64 = 24 + 20;

/// Numbers of keys of all units before each upper part, and before the end.
///
/// # Errors
/// If keys cannot be read.
pub fn keys_before(members: &[Member]) -> Result<Vec<u64>, Error> {
    let mut sums = vec![0; PREFIXES + 1];
    for member in members {
        sums.iter_mut().zip(member.run.keys_before()?).for_each(|(sum, n)| *sum += n);
    }
    Ok(sums)
}

/// Cuts the keys into ranges `[low, high)` of upper parts, of at most `memory_bytes` each where one upper part has no more, and into
/// about `least` of them or more.
#[must_use]
pub fn ranges(keys_before: &[u64], memory_bytes: u64, least: usize) -> Vec<(usize, usize)> {
    let before = |prefix: usize| keys_before[prefix];
    let all = before(PREFIXES);
    let most = (memory_bytes / BYTES_PER_KEY).min(all.div_ceil(least.max(1) as u64)).max(1);
    let mut ranges = Vec::new();
    let (mut low, mut low_before) = (0, 0);
    let mut last_before = 0;
    for prefix in 1..=PREFIXES {
        let here = before(prefix);
        if here - low_before > most && prefix - 1 > low {
            ranges.push((low, prefix - 1));
            (low, low_before) = (prefix - 1, last_before);
        }
        last_before = here;
    }
    ranges.push((low, PREFIXES));
    ranges
}

/// Finds the edges of one range of `count` keys whose later document stands in unit `from` or behind, in order.
///
/// # Errors
/// If keys cannot be read.
pub fn join(members: &[Member], (low, high): (usize, usize), count: u64, from: u32) -> Result<Vec<Edge>, Error> {
    let mut keys: Vec<(u64, Place, u32)> = Vec::with_capacity(count as usize);
    for member in members {
        member.run.read(low, high, |key| keys.push((key.hash, Place { unit: member.unit, row: key.row }, key.tag)))?;
    }
    keys.par_sort_unstable();
    let mut edges = Vec::new();
    for same in keys.chunk_by(|a, b| a.0 == b.0) {
        let first = same[0].1;
        let later = same.iter().filter(|(_, place, _)| *place != first && place.unit >= from);
        edges.extend(later.map(|&(_, later, tag)| Edge { later, tag, first }));
    }
    drop(keys);
    edges.par_sort_unstable();
    Ok(edges)
}

/// Writes the edges of one range.
///
/// # Errors
/// If the disk refuses.
pub fn write(dir: &StageDir, (low, high): (usize, usize), basis: Digest, edges: &[Edge]) -> Result<(), Error> {
    let path = dir.work_file(FOLDER, &format!("{low:04}-{high:04}.bin"));
    let mut file = atomic::AtomicFile::create(&path)?;
    let mut put = || -> std::io::Result<()> {
        file.write_all(MAGIC)?;
        file.write_all(basis.as_bytes())?;
        file.write_all(&(edges.len() as u64).to_le_bytes())?;
        for edge in edges {
            for number in [edge.later.unit, edge.later.row, edge.tag, edge.first.unit, edge.first.row] {
                file.write_all(&number.to_le_bytes())?;
            }
        }
        Ok(())
    };
    put().map_err(Error::read(&path))?;
    Ok(file.commit()?)
}

/// The edges of all ranges.
#[derive(Debug)]
pub struct Edges {
    files: Vec<(PathBuf, File, u64)>,
}

impl Edges {
    /// Opens the files of a join of the units with digest `basis`; `None` if some range is missing.
    ///
    /// # Errors
    /// If files cannot be read.
    pub fn open(dir: &StageDir, basis: Digest) -> Result<Option<Self>, Error> {
        let mut found: Vec<((usize, usize), PathBuf, File, u64)> = Vec::new();
        let folder = dir.work_file(FOLDER, "");
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.map_err(Error::read(&folder))?.path();
            let Some(range) = range_of(&path) else { continue };
            let file = File::open(&path).map_err(Error::read(&path))?;
            let mut head = [0; HEADER as usize];
            if file.read_exact_at(&mut head, 0).is_ok() && &head[..8] == MAGIC && &head[8..24] == basis.as_bytes() {
                found.push((range, path, file, u64_of(&head[24..])));
            }
        }
        // Joins with other limits may have left other cuts of the same keys: from each place the widest range is taken.
        found.sort_by_key(|((low, high), ..)| (*low, std::cmp::Reverse(*high)));
        let (mut files, mut covered) = (Vec::new(), 0);
        for ((low, high), path, file, count) in found {
            if low == covered && high > low {
                covered = high;
                files.push((path, file, count));
            }
        }
        Ok((covered == PREFIXES).then_some(Self { files }))
    }

    /// The edges of one unit's documents, in order.
    ///
    /// # Errors
    /// If files cannot be read.
    pub fn of_unit(&self, unit: u32) -> Result<Vec<Edge>, Error> {
        let mut edges = Vec::new();
        for (path, file, count) in &self.files {
            let unit_at = |at: u64| -> Result<u32, Error> {
                let mut bytes = [0; 4];
                file.read_exact_at(&mut bytes, HEADER + at * EDGE_BYTES).map_err(Error::read(path))?;
                Ok(u32_of(&bytes))
            };
            let first_from = |unit: u64| -> Result<u64, Error> {
                let (mut low, mut high) = (0, *count);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if u64::from(unit_at(middle)?) < unit { low = middle + 1 } else { high = middle }
                }
                Ok(low)
            };
            let (start, end) = (first_from(u64::from(unit))?, first_from(u64::from(unit) + 1)?);
            let mut bytes = vec![0; ((end - start) * EDGE_BYTES) as usize];
            file.read_exact_at(&mut bytes, HEADER + start * EDGE_BYTES).map_err(Error::read(path))?;
            edges.extend(bytes.chunks_exact(EDGE_BYTES as usize).map(|edge| {
                let number = |i: usize| u32_of(&edge[4 * i..4 * i + 4]);
                Edge { later: Place { unit: number(0), row: number(1) }, tag: number(2), first: Place { unit: number(3), row: number(4) } }
            }));
        }
        edges.sort_unstable();
        Ok(edges)
    }
}

fn range_of(path: &Path) -> Option<(usize, usize)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".bin")?;
    let (low, high) = name.split_once('-')?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::Signature;
    use crate::dedup::runs::RunWriter;
    use handoff::RunDir;
    use std::collections::HashMap;

    /// Units of 40 documents with bands from a small choice, so that many are shared.
    fn members(dir: &StageDir) -> Vec<Member> {
        let basis = Digest::of_bytes(b"x");
        let member = |unit: u32| {
            let path = dir.work_file("keys", &format!("{unit}.bin"));
            let mut writer = RunWriter::default();
            for row in 0..40_u32 {
                let n = corpus::hash64(&(unit * 1000 + row).to_le_bytes(), 1);
                let signature = Signature { exact: [(n % 200) as u8; 16], bands: vec![n % 97, n % 89, n % 97], ..Signature::default() };
                writer.push(&Digest::of_bytes(&n.to_le_bytes()).to_string(), &signature).unwrap();
            }
            writer.finish(&path, basis).unwrap();
            Member { unit, run: Run::open(&path, basis).unwrap().unwrap() }
        };
        (0..5).map(member).collect()
    }

    #[test]
    fn any_cut_finds_what_a_map_finds() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = RunDir::new(temporary.path()).stage("crawl-clean");
        let members = members(&dir);
        let mut first: HashMap<u64, Place> = HashMap::new();
        let mut want = Vec::new();
        for member in &members {
            let mut keys = Vec::new();
            member.run.read(0, PREFIXES, |key| keys.push(key)).unwrap();
            keys.sort_by_key(|key| key.row);
            for key in keys {
                let later = Place { unit: member.unit, row: key.row };
                let holder = *first.entry(key.hash).or_insert(later);
                if holder != later {
                    want.push(Edge { later, tag: key.tag, first: holder });
                }
            }
        }
        want.sort_unstable();
        assert!(want.len() > 100);
        for (number, (memory, least)) in [(u64::MAX, 1), (u64::MAX, 4), (3000, 1), (1, 1)].into_iter().enumerate() {
            let basis = Digest::of_bytes(&[number as u8]);
            let before = keys_before(&members).unwrap();
            let cut = ranges(&before, memory, least);
            assert!(cut.len() >= least && cut.first().unwrap().0 == 0 && cut.last().unwrap().1 == PREFIXES);
            assert!(cut.windows(2).all(|pair| pair[0].1 == pair[1].0), "{cut:?}");
            for &range in &cut {
                let keys = before[range.1] - before[range.0];
                assert!(memory == 1 || keys * BYTES_PER_KEY <= memory, "{keys} keys in {range:?}");
                write(&dir, range, basis, &join(&members, range, keys, 0).unwrap()).unwrap();
            }
            let edges = Edges::open(&dir, basis).unwrap().unwrap();
            let got: Vec<Edge> = (0..5).flat_map(|unit| edges.of_unit(unit).unwrap()).collect();
            assert_eq!(got, want);
        }
        assert!(Edges::open(&dir, Digest::of_bytes(b"other")).unwrap().is_none());
        let from: Vec<Edge> = join(&members, (0, PREFIXES), 0, 3).unwrap();
        assert_eq!(from, want.iter().filter(|edge| edge.later.unit >= 3).copied().collect::<Vec<_>>());
    }
}
