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

/// One part of the order, in memory.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entries: Vec<Entry>,
    ids: Ids,
}

impl Part {
    fn new(width: TokenWidth) -> Self {
        let ids = if width == TokenWidth::U16 {
            Ids::U16(Vec::new())
        } else {
            Ids::U32(Vec::new())
        };
        Self {
            entries: Vec::new(),
            ids,
        }
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

/// Calls `take` with the parts of the shuffled order, one after the other. A single document larger than the memory allowed is still
/// read whole. Returns how many parts there were.
pub(crate) fn in_order(
    shards: &[&UpstreamShard],
    order: Order,
    width: TokenWidth,
    vocab_size: usize,
    max_bytes: u64,
    mut take: impl FnMut(&Part) -> Result<(), Error>,
) -> Result<u64, Error> {
    // The first attempt is a part that is everything; how far it gets says how many parts are needed.
    let mut parts = 1_u64;
    'attempt: loop {
        for part in 0..parts {
            match load(shards, order, width, vocab_size, max_bytes, (part, parts)) {
                Ok(loaded) => take(&loaded)?,
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::TooLarge(times)) if part == 0 => {
                    // Some room for parts that are larger than the mean.
                    parts = ((parts as f64 * times * 1.2).ceil() as u64).max(parts + 1);
                    continue 'attempt;
                }
                Err(Stopped::TooLarge(_)) => {
                    // Parts before this one have been given out; cut this one alone in two, and so on.
                    split(
                        shards,
                        order,
                        width,
                        vocab_size,
                        max_bytes,
                        (2 * part, 2 * parts),
                        &mut take,
                    )?;
                    split(
                        shards,
                        order,
                        width,
                        vocab_size,
                        max_bytes,
                        (2 * part + 1, 2 * parts),
                        &mut take,
                    )?;
                }
            }
        }
        return Ok(parts);
    }
}

fn split(
    shards: &[&UpstreamShard],
    order: Order,
    width: TokenWidth,
    vocab_size: usize,
    max_bytes: u64,
    (part, parts): (u64, u64),
    take: &mut impl FnMut(&Part) -> Result<(), Error>,
) -> Result<(), Error> {
    match load(shards, order, width, vocab_size, max_bytes, (part, parts)) {
        Ok(loaded) => take(&loaded),
        Err(Stopped::Failed(error)) => Err(error),
        Err(Stopped::TooLarge(_)) => {
            split(
                shards,
                order,
                width,
                vocab_size,
                max_bytes,
                (2 * part, 2 * parts),
                take,
            )?;
            split(
                shards,
                order,
                width,
                vocab_size,
                max_bytes,
                (2 * part + 1, 2 * parts),
                take,
            )
        }
    }
}

/// Which of `parts` equal ranges a key falls into.
fn part_of(key: u64, parts: u64) -> u64 {
    ((u128::from(key) * u128::from(parts)) >> 64) as u64
}

/// Reads one part, sorted.
fn load(
    shards: &[&UpstreamShard],
    order: Order,
    width: TokenWidth,
    vocab_size: usize,
    max_bytes: u64,
    (part, parts): (u64, u64),
) -> Result<Part, Stopped> {
    let mut loaded = Part::new(width);
    let (mut seen, mut total) = (0, 0);
    for shard in shards {
        total += source::open(&shard.path)?.rows();
    }
    for shard in shards {
        let reader = source::open(&shard.path)?;
        for batch in reader.batches_of(BATCH_ROWS, &["document_id", "input_ids", "num_bytes"])? {
            let batch = batch?;
            append(&mut loaded, &batch, shard, order, vocab_size, (part, parts))?;
            seen += batch.num_rows() as u64;
            // One document may be larger than everything allowed; cutting further would not help.
            if loaded.bytes() > max_bytes && loaded.entries.len() > 1 {
                return Err(Stopped::TooLarge(
                    loaded.bytes() as f64 / max_bytes as f64 * total as f64 / seen.max(1) as f64,
                ));
            }
        }
    }
    loaded
        .entries
        .sort_by(|a, b| a.key.cmp(&b.key).then_with(|| a.id.cmp(&b.id)));
    Ok(loaded)
}

fn append(
    loaded: &mut Part,
    batch: &RecordBatch,
    shard: &UpstreamShard,
    order: Order,
    vocab_size: usize,
    (part, parts): (u64, u64),
) -> Result<(), Error> {
    let ids = columns::strings(batch, "document_id")?;
    let num_bytes = columns::i64s(batch, "num_bytes")?;
    let rows = columns::token_rows(batch, "input_ids")?;
    for (row, tokens) in rows.iter().enumerate() {
        let id = ids.value(row);
        let key = shuffle_key(order.seed, order.batch, id);
        if part_of(key, parts) != part {
            continue;
        }
        if let Some(bad) = tokens.iter().find(|token| **token as usize >= vocab_size) {
            return Err(Error::TokenOutOfRange {
                path: shard.path.clone(),
                document: id.to_string(),
                id: *bad,
                vocab_size,
            });
        }
        let start = match &mut loaded.ids {
            Ids::U16(all) => {
                all.extend(tokens.iter().map(|token| *token as u16)); // below the vocabulary, which fits the width
                all.len() - tokens.len()
            }
            Ids::U32(all) => {
                all.extend_from_slice(tokens);
                all.len() - tokens.len()
            }
        };
        loaded.entries.push(Entry {
            key,
            id: id.to_string(),
            split: Split::of(id, order.validation_share),
            num_bytes: num_bytes.value(row).max(0) as u64,
            start,
            len: tokens.len(),
        });
    }
    Ok(())
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
            assert!(
                keys.windows(2)
                    .all(|pair| part_of(pair[0], parts) <= part_of(pair[1], parts))
            );
        }
        // Cutting a part in two keeps its documents.
        for key in [0, 1 << 40, u64::MAX / 3, u64::MAX] {
            assert_eq!(part_of(key, 14) / 2, part_of(key, 7));
        }
    }
}
