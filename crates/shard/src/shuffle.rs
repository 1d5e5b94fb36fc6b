//! The shuffled order of a batch in bounded memory.
//!
//! Every document has a key that depends on nothing but seed, batch and id. If all token ids fit the memory allowed, they are read
//! once and sorted by key. Otherwise the range of keys is cut into equal parts, and the documents are spread over a file for each
//! part, which are then read and sorted one after the other: keys are uniform, so the parts are about equal, and together they are
//! the same order.

use std::path::Path;

use arrow::record_batch::RecordBatch;
use handoff::columns::TokenIds;
use handoff::{UpstreamShard, columns};
use stage::{Bar, CancelToken};

use crate::Error;
use crate::mixture::{Mixture, Tally};
use crate::order::{BatchSeed, IdHash, Split};
use crate::pack::{Names, TokenId};
use crate::source;
use crate::spill::{Cell, MOST_CELLS, Record, Spill};

/// Documents decoded at a time.
const BATCH_ROWS: usize = 128;

/// Memory counted for a document besides its token ids: key, id, place.
const DOCUMENT_BYTES: u64 = 128;

/// Bytes of a document's id, to make room for.
pub(crate) const DOCUMENT_ID_BYTES: usize = 32;

/// How much larger than the mean a part may turn out.
const PART_SLACK: f64 = 1.2;

/// What decides a batch's order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) seed: BatchSeed,
    pub(crate) validation_share: f64,
}

/// A document of one part of the order.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: u64,
    /// Number of its id among the part's.
    name: usize,
    pub(crate) split: Split,
    pub(crate) num_bytes: u64,
    start: usize,
    len: usize,
}

/// One part of the order, in memory.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) entries: Vec<Entry>,
    names: Names,
    ids: Vec<T>,
}

impl<T: TokenId> Part<T> {
    /// An empty part with room.
    pub(crate) fn with_capacity(documents: usize, tokens: usize) -> Self {
        let names = Names::with_capacity(documents, documents * DOCUMENT_ID_BYTES);
        Self { entries: Vec::with_capacity(documents), names, ids: Vec::with_capacity(tokens) }
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of::<T>() * self.ids.len()) as u64 + DOCUMENT_BYTES * self.entries.len() as u64
    }

    /// Adds a document; its token ids are below those of the vocabulary, so none is cut.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        let start = self.ids.len();
        match record.ids {
            TokenIds::U16(ids) => self.ids.extend(ids.iter().map(|id| T::cut(u32::from(*id)))),
            TokenIds::U32(ids) => self.ids.extend(ids.iter().map(|id| T::cut(*id))),
        }
        let Record { key, id, split, num_bytes, .. } = *record;
        self.entry((key, id, split, num_bytes), start);
    }

    /// Adds a document whose token ids are given as bytes.
    pub(crate) fn push_bytes(&mut self, document: (u64, &str, Split, u64), bytes: &[u8]) {
        let start = self.ids.len();
        T::read(bytes, &mut self.ids);
        self.entry(document, start);
    }

    fn entry(&mut self, (key, id, split, num_bytes): (u64, &str, Split, u64), start: usize) {
        self.entries.push(Entry { key, name: self.names.len(), split, num_bytes, start, len: self.ids.len() - start });
        self.names.push(id);
    }

    fn sort(&mut self) {
        let names = &self.names;
        let by_name = |a: &Entry, b: &Entry| (names.get(a.name), a.start).cmp(&(names.get(b.name), b.start));
        self.entries.sort_unstable_by(|a, b| a.key.cmp(&b.key).then_with(|| by_name(a, b)));
    }

    /// The id of an entry's document.
    pub(crate) fn name(&self, entry: &Entry) -> &str {
        self.names.get(entry.name)
    }

    /// The token ids of an entry.
    pub(crate) fn ids(&self, entry: &Entry) -> &[T] {
        &self.ids[entry.start..entry.start + entry.len]
    }
}

/// What is read, and within which memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) shards: &'a [&'a UpstreamShard],
    pub(crate) order: Order,
    pub(crate) vocab_size: usize,
    /// What no document may hold, because places that hold it are no targets.
    pub(crate) own_pad_id: Option<u32>,
    pub(crate) mixture: Option<&'a Mixture>,
    pub(crate) max_bytes: u64,
    /// Intermediate files are made beside it.
    pub(crate) beside: &'a Path,
    /// One thread does everything.
    pub(crate) alone: bool,
    pub(crate) cancel: &'a CancelToken,
    /// Moves on with every document read.
    pub(crate) bar: &'a Bar,
}

impl Reading<'_> {
    /// Calls `take` with the parts of the shuffled order, one after the other. A single document larger than the memory allowed is
    /// still read whole.
    pub(crate) fn in_order<T: TokenId>(&self, mut take: impl FnMut(&Part<T>) -> Result<(), Error>) -> Result<Tally, Error> {
        let (mut read, mut taken) = (0, 0);
        let tally = self.spread(&mut read, &mut |part: &Part<T>| {
            taken += part.entries.len() as u64;
            take(part)
        })?;
        if read == taken { Ok(tally) } else { Err(Error::DocumentsLost { read, taken }) }
    }

    /// [`Reading::in_order`], counting documents that were read.
    fn spread<T: TokenId>(&self, count: &mut u64, take: &mut impl FnMut(&Part<T>) -> Result<(), Error>) -> Result<Tally, Error> {
        let (mut documents, mut tokens) = (0, 0);
        for shard in self.shards {
            let reader = source::open(&shard.path)?;
            (documents, tokens) = (documents + reader.rows(), tokens + reader.num_values("input_ids"));
        }
        let there = documents;
        if let Some(mixture) = self.mixture {
            // Exact numbers are known only once everything was read; parts that turn out too large are cut.
            let most = |n: u64| (n as f64 * mixture.largest()) as u64;
            (documents, tokens) = (most(documents), most(tokens));
        }
        let bytes = bytes_of::<T>(documents, tokens);
        let mut tally = Tally::default();
        if bytes <= self.max_bytes {
            let mut part = Part::<T>::with_capacity(documents as usize, tokens as usize);
            self.read(&mut tally, |record| {
                *count += 1;
                part.push(record);
                Ok(())
            })?;
            self.bar.adjust_total(*count as i64 - there as i64);
            part.sort();
            take(&part)?;
            return Ok(tally);
        }
        let cells = ((bytes as f64 * PART_SLACK / self.max_bytes as f64).ceil() as u64).clamp(2, MOST_CELLS);
        tracing::debug!(cells, bytes, max_bytes = self.max_bytes, "spreading the batch over files");
        let mut spill = Spill::create(self.beside, cells)?;
        self.read(&mut tally, |record| {
            *count += 1;
            spill.push::<T>(record)
        })?;
        self.bar.adjust_total(*count as i64 - there as i64);
        for (number, cell) in (0..cells).zip(spill.finish()?) {
            self.cell(&cell, (number, cells), take)?;
        }
        Ok(tally)
    }

    /// One part, cut in two where it does not fit.
    fn cell<T: TokenId>(
        &self,
        cell: &Cell,
        (part, parts): (u64, u64),
        take: &mut impl FnMut(&Part<T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let fits = bytes_of::<T>(cell.documents as u64, cell.tokens as u64) <= self.max_bytes;
        let mut loaded = if fits { Part::<T>::with_capacity(cell.documents, cell.tokens) } else { Part::with_capacity(0, 0) };
        if cell.load(self.beside, (part, parts), &mut loaded, self.max_bytes)? {
            loaded.sort();
            return take(&loaded);
        }
        drop(loaded);
        // Different keys fall apart before a part is as narrow as a key.
        let halves = parts.checked_mul(2).ok_or(Error::DocumentsLost { read: cell.documents as u64, taken: 0 })?;
        self.cell(cell, (2 * part, halves), take)?;
        self.cell(cell, (2 * part + 1, halves), take)
    }

    /// Calls `push` with every document, as often as the mixture says. Shards that are not what was recorded are refused in the end, at
    /// the latest.
    fn read(&self, tally: &mut Tally, mut push: impl FnMut(&Record<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let check = || self.shards.iter().try_for_each(|shard| shard.digest.check(&shard.path));
        if self.alone {
            check()?;
            return self.read_all(tally, &mut push);
        }
        std::thread::scope(|scope| {
            let checking = scope.spawn(check);
            let read = self.read_all(tally, &mut push);
            // What cannot be read because of damage is said to be damaged.
            checking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            read
        })
    }

    fn read_all(&self, tally: &mut Tally, push: &mut impl FnMut(&Record<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let mut names = vec!["document_id", "input_ids", "num_bytes"];
        if self.mixture.is_some() {
            names.extend(["source", "language"]);
        }
        for shard in self.shards {
            let reader = source::open(&shard.path)?;
            for batch in reader.batches_of(BATCH_ROWS, &names)? {
                if self.cancel.is_cancelled() {
                    return Err(Error::Interrupted);
                }
                let batch = batch?;
                self.read_batch(&batch, shard, tally, push)?;
                self.bar.inc(batch.num_rows() as u64);
            }
        }
        Ok(())
    }

    fn read_batch(
        &self,
        batch: &RecordBatch,
        shard: &UpstreamShard,
        tally: &mut Tally,
        push: &mut impl FnMut(&Record<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Order { seed, validation_share } = self.order;
        let ids = columns::strings(batch, "document_id")?;
        let num_bytes = columns::i64s(batch, "num_bytes")?;
        let tokens = columns::token_slices(batch, "input_ids")?;
        let origin = match self.mixture {
            Some(mixture) => Some((mixture, columns::strings(batch, "source")?, columns::strings(batch, "language")?)),
            None => None,
        };
        for row in 0..batch.num_rows() {
            let (id, of_row) = (ids.value(row), tokens.row(row));
            if let Some(bad) = of_row.max().filter(|largest| *largest as usize >= self.vocab_size) {
                let (path, document) = (shard.path.clone(), id.to_string());
                return Err(Error::TokenOutOfRange { path, document, id: bad, vocab_size: self.vocab_size });
            }
            if let Some(pad) = self.own_pad_id.filter(|pad| of_row.contains(*pad)) {
                return Err(Error::PadInText { path: shard.path.clone(), document: id.to_string(), id: pad });
            }
            let hash = IdHash::of(id);
            let split = hash.split(validation_share);
            let copies = match &origin {
                Some((mixture, sources, languages)) if split == Split::Train => {
                    mixture.copies(id, sources.value(row), languages.value(row), of_row.len() as u64, tally)
                }
                _ => 1,
            };
            for copy in 0..copies {
                push(&Record { key: hash.key(seed, copy), id, split, num_bytes: num_bytes.value(row).max(0) as u64, ids: of_row })?;
            }
        }
        Ok(())
    }
}

fn bytes_of<T: TokenId>(documents: u64, tokens: u64) -> u64 {
    size_of::<T>() as u64 * tokens + DOCUMENT_BYTES * documents
}

/// Which of `parts` equal ranges a key falls into.
pub(crate) fn part_of(key: u64, parts: u64) -> u64 {
    ((u128::from(key) * u128::from(parts)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_keys_in_order() {
        for parts in [1, 2, 3, 7, 1000] {
            assert_eq!(part_of(0, parts), 0);
            assert_eq!(part_of(u64::MAX, parts), parts - 1);
            let keys: Vec<u64> = (0..100).map(|i| u64::MAX / 100 * i).collect();
            assert!(keys.windows(2).all(|pair| part_of(pair[0], parts) <= part_of(pair[1], parts)));
        }
        // Cutting a part in two keeps its documents.
        for key in [0, 1 << 40, u64::MAX / 3, u64::MAX] {
            assert_eq!(part_of(key, 14) / 2, part_of(key, 7));
        }
    }
}
