//! The shuffled order of a batch in bounded memory.
//!
//! Every document has a key that depends on nothing but seed, batch and id. If all token ids fit the memory allowed, they are read
//! once and sorted by key. Otherwise the range of keys is cut into equal parts, and the shards are read once for each part, keeping
//! only its documents: keys are uniform, so the parts are about equal, and together they are the same order.

use arrow::record_batch::RecordBatch;
use handoff::{TokenWidth, UpstreamShard, columns};

use crate::Error;
use crate::order::{Split, shuffle_key};
use crate::source;

/// Documents decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Memory counted for a document besides its token ids: key, id, place, and the slack of growing vectors.
const DOCUMENT_BYTES: u64 = 128;

/// What decides a batch's order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) batch: u32,
    pub(crate) validation_share: f64,
}

/// A document of one part of the order.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: u64,
    pub(crate) id: String,
    pub(crate) split: Split,
    pub(crate) num_bytes: u64,
    start: usize,
    len: usize,
}

/// Token ids at the width they are stored in.
#[derive(Debug)]
enum Ids {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Ids {
    /// Adds the ids of a document; where they start. The vocabulary fits the width, so no id is cut.
    fn append(&mut self, tokens: &[u32]) -> usize {
        match self {
            Self::U16(all) => {
                all.extend(tokens.iter().map(|token| *token as u16));
                all.len() - tokens.len()
            }
            Self::U32(all) => {
                all.extend_from_slice(tokens);
                all.len() - tokens.len()
            }
        }
    }
}

/// One part of the order, in memory.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entries: Vec<Entry>,
    ids: Ids,
}

impl Part {
    fn new(width: TokenWidth) -> Self {
        let ids = if width == TokenWidth::U16 { Ids::U16(Vec::new()) } else { Ids::U32(Vec::new()) };
        Self { entries: Vec::new(), ids }
    }

    fn bytes(&self) -> u64 {
        let ids = match &self.ids {
            Ids::U16(ids) => 2 * ids.len(),
            Ids::U32(ids) => 4 * ids.len(),
        };
        ids as u64 + DOCUMENT_BYTES * self.entries.len() as u64
    }

    /// Writes the token ids of an entry into `out`.
    pub(crate) fn read_ids(&self, entry: &Entry, out: &mut Vec<u32>) {
        out.clear();
        let range = entry.start..entry.start + entry.len;
        match &self.ids {
            Ids::U16(ids) => out.extend(ids[range].iter().map(|id| u32::from(*id))),
            Ids::U32(ids) => out.extend_from_slice(&ids[range]),
        }
    }
}

/// Why a part was not loaded.
enum Stopped {
    /// It is larger than the memory allowed; about this many times.
    TooLarge(f64),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What is read, and within which memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) shards: &'a [&'a UpstreamShard],
    pub(crate) order: Order,
    pub(crate) width: TokenWidth,
    pub(crate) vocab_size: usize,
    pub(crate) max_bytes: u64,
}

impl Reading<'_> {
    /// Calls `take` with the parts of the shuffled order, one after the other. A single document larger than the memory allowed is
    /// still read whole.
    pub(crate) fn in_order(&self, mut take: impl FnMut(&Part) -> Result<(), Error>) -> Result<(), Error> {
        // The first attempt is a part that is everything; how far it gets says how many parts are needed.
        let mut parts = 1_u64;
        let first = loop {
            match self.load(0, parts) {
                Ok(first) => break first,
                Err(Stopped::Failed(error)) => return Err(error),
                // Some room for parts that are larger than the mean.
                Err(Stopped::TooLarge(times)) => {
                    parts = ((parts as f64 * times * 1.2).ceil() as u64).max(parts + 1);
                }
            }
        };
        tracing::debug!(parts, "reading the shuffled order");
        take(&first)?;
        drop(first);
        (1..parts).try_for_each(|part| self.part(part, parts, &mut take))
    }

    /// One part, cut in two where it does not fit.
    fn part(&self, part: u64, parts: u64, take: &mut impl FnMut(&Part) -> Result<(), Error>) -> Result<(), Error> {
        match self.load(part, parts) {
            Ok(loaded) => take(&loaded),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::TooLarge(_)) => {
                self.part(2 * part, 2 * parts, take)?;
                self.part(2 * part + 1, 2 * parts, take)
            }
        }
    }

    /// Reads one part, sorted.
    fn load(&self, part: u64, parts: u64) -> Result<Part, Stopped> {
        let mut loaded = Part::new(self.width);
        let (mut seen, mut total) = (0, 0);
        for shard in self.shards {
            total += source::open(&shard.path)?.rows();
        }
        for shard in self.shards {
            let reader = source::open(&shard.path)?;
            for batch in reader.batches_of(BATCH_ROWS, &["document_id", "input_ids", "num_bytes"])? {
                let batch = batch?;
                self.append(&mut loaded, &batch, shard, (part, parts))?;
                seen += batch.num_rows() as u64;
                // One document may be larger than everything allowed; cutting further would not help.
                if loaded.bytes() > self.max_bytes && loaded.entries.len() > 1 {
                    let read = seen as f64 / total.max(1) as f64;
                    return Err(Stopped::TooLarge(loaded.bytes() as f64 / self.max_bytes as f64 / read));
                }
            }
        }
        loaded.entries.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| a.id.cmp(&b.id)));
        Ok(loaded)
    }

    fn append(&self, loaded: &mut Part, batch: &RecordBatch, shard: &UpstreamShard, (part, parts): (u64, u64)) -> Result<(), Error> {
        let Order { seed, batch: number, validation_share } = self.order;
        let ids = columns::strings(batch, "document_id")?;
        let num_bytes = columns::i64s(batch, "num_bytes")?;
        for (row, tokens) in columns::token_rows(batch, "input_ids")?.iter().enumerate() {
            let id = ids.value(row);
            let key = shuffle_key(seed, number, id);
            if part_of(key, parts) != part {
                continue;
            }
            if let Some(bad) = tokens.iter().find(|token| **token as usize >= self.vocab_size) {
                let (path, document) = (shard.path.clone(), id.to_string());
                return Err(Error::TokenOutOfRange { path, document, id: *bad, vocab_size: self.vocab_size });
            }
            loaded.entries.push(Entry {
                key,
                id: id.to_string(),
                split: Split::of(id, validation_share),
                num_bytes: num_bytes.value(row).max(0) as u64,
                start: loaded.ids.append(tokens),
                len: tokens.len(),
            });
        }
        Ok(())
    }
}

/// Which of `parts` equal ranges a key falls into.
fn part_of(key: u64, parts: u64) -> u64 {
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
