//! Packed rows into Parquet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt16Array, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::error::ArrowError;
use handoff::{OutputFile, ShardMeta, ShardWriter, StageDir, TableSchema, TokenWidth, schema};

use crate::Error;
use crate::config::TokenEncoding;
use crate::order::Split;
use crate::pack::Row;

/// Row groups that wait for the thread that encodes them.
const AHEAD: usize = 2;

/// Where row groups are encoded.
enum Sink {
    Here(ShardWriter),
    /// On a thread of its own, in order, while the next one is packed.
    Thread {
        groups: SyncSender<RecordBatch>,
        work: JoinHandle<Result<ShardWriter, Error>>,
    },
    /// Nowhere any more: an error was told.
    Ended,
}

impl Sink {
    fn new(writer: ShardWriter, threads: Option<usize>) -> Self {
        if threads == Some(1) {
            return Self::Here(writer);
        }
        let (groups, waiting) = sync_channel::<RecordBatch>(AHEAD);
        let work = std::thread::spawn(move || {
            let mut writer = writer;
            for group in waiting {
                writer.write(&group)?;
            }
            Ok(writer)
        });
        Self::Thread { groups, work }
    }

    fn write(&mut self, group: RecordBatch) -> Result<(), Error> {
        match self {
            Self::Here(writer) => writer.write(&group)?,
            Self::Thread { groups, .. } if groups.send(group).is_ok() => {}
            // The thread has ended, for which only an error is a reason.
            _ => drop(std::mem::replace(self, Self::Ended).finish()?),
        }
        Ok(())
    }

    fn finish(self) -> Result<ShardWriter, Error> {
        match self {
            Self::Here(writer) => Ok(writer),
            Self::Thread { groups, work } => {
                drop(groups);
                work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Self::Ended => Err(ArrowError::InvalidArgumentError("a row after an error".into()).into()),
        }
    }
}

/// Token ids at the width they are stored in.
enum Ids {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Ids {
    fn with_capacity(width: TokenWidth, capacity: usize) -> Self {
        match width {
            TokenWidth::U16 => Self::U16(Vec::with_capacity(capacity)),
            TokenWidth::U32 => Self::U32(Vec::with_capacity(capacity)),
        }
    }
}

/// Writes the samples of one split of one batch.
pub(crate) struct SampleWriter {
    sink: Sink,
    table: TableSchema,
    width: TokenWidth,
    split: Split,
    batch: u32,
    group_rows: usize,
    written: u64,
    pending: Pending,
}

/// Rows that are not written yet, column by column.
struct Pending {
    rows: usize,
    ids: Ids,
    starts: Vec<i32>,
    document_ids: Vec<Arc<str>>,
    offsets: Vec<i64>,
    /// Document parts of each row.
    parts: Vec<usize>,
    num_bytes: Vec<i64>,
}

impl Pending {
    /// With room for `capacity` ids.
    fn new(width: TokenWidth, capacity: usize) -> Self {
        Self {
            rows: 0,
            ids: Ids::with_capacity(width, capacity),
            starts: Vec::new(),
            document_ids: Vec::new(),
            offsets: Vec::new(),
            parts: Vec::new(),
            num_bytes: Vec::new(),
        }
    }
}

/// Name of a sample: split, batch, row.
pub(crate) fn sample_id(split: Split, batch: u32, row: u64) -> String {
    format!("{}-{batch:05}-{row:06}", split.name())
}

/// Back from [`sample_id`].
pub(crate) fn parse_sample_id(name: &str) -> Option<(Split, u32, u64)> {
    let (rest, row) = name.rsplit_once('-')?;
    let (split, batch) = rest.rsplit_once('-')?;
    let split = Split::ALL.into_iter().find(|s| s.name() == split)?;
    Some((split, batch.parse().ok()?, row.parse().ok()?))
}

impl SampleWriter {
    pub(crate) fn create(
        path: &Path,
        width: TokenWidth,
        (split, batch): (Split, u32),
        (group_rows, encoding, threads): (usize, TokenEncoding, Option<usize>),
        config_digest: String,
        mut extra: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        extra.insert("split".into(), split.name().into());
        extra.insert("batch".into(), batch.to_string());
        let meta = ShardMeta { stage: "shard".into(), config_digest, extra };
        let table = schema::samples(width);
        let open = if encoding == TokenEncoding::SplitBytes { ShardWriter::with_split_ids } else { ShardWriter::with_row_group_rows };
        let writer = open(path, &table, &meta, group_rows)?;
        let sink = Sink::new(writer, threads);
        Ok(Self { sink, table, width, split, batch, group_rows, written: 0, pending: Pending::new(width, 0) })
    }

    pub(crate) fn push(&mut self, row: &Row) -> Result<(), Error> {
        let pending = &mut self.pending;
        pending.rows += 1;
        match &mut pending.ids {
            // The vocabulary fits the width, so no id is cut.
            Ids::U16(ids) => ids.extend(row.ids.iter().map(|id| *id as u16)),
            Ids::U32(ids) => ids.extend_from_slice(&row.ids),
        }
        pending.starts.extend_from_slice(&row.document_starts);
        pending.document_ids.extend_from_slice(&row.document_ids);
        pending.offsets.extend_from_slice(&row.token_offsets);
        pending.parts.push(row.document_starts.len());
        pending.num_bytes.push(row.num_bytes);
        if pending.rows >= self.group_rows {
            self.flush()?;
        }
        Ok(())
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.written + self.pending.rows as u64
    }

    fn flush(&mut self) -> Result<(), Error> {
        let length = match &self.pending.ids {
            Ids::U16(ids) => ids.len(),
            Ids::U32(ids) => ids.len(),
        };
        let next = Pending::new(self.width, length);
        let Pending { rows, ids, starts, document_ids, offsets, parts, num_bytes } = std::mem::replace(&mut self.pending, next);
        if rows == 0 {
            return Ok(());
        }
        let names = (self.written..self.written + rows as u64).map(|row| sample_id(self.split, self.batch, row));
        let parts = || OffsetBuffer::from_lengths(parts.iter().copied());
        let list = |offsets, values: ArrayRef| -> Result<ArrayRef, Error> {
            Ok(Arc::new(ListArray::try_new(schema::list_item(values.data_type().clone()), offsets, values, None)?))
        };
        let ids: ArrayRef = match ids {
            Ids::U16(ids) => Arc::new(UInt16Array::from(ids)),
            Ids::U32(ids) => Arc::new(UInt32Array::from(ids)),
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(names)),
            list(OffsetBuffer::from_lengths(std::iter::repeat_n(length / rows, rows)), ids)?,
            list(parts(), Arc::new(Int32Array::from(starts)))?,
            list(parts(), Arc::new(StringArray::from_iter_values(document_ids.iter())))?,
            list(parts(), Arc::new(Int64Array::from(offsets)))?,
            Arc::new(Int64Array::from(num_bytes)),
        ];
        let group = RecordBatch::try_new(self.table.arrow.clone(), columns)?;
        self.sink.write(group)?;
        self.written += rows as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self, dir: &StageDir) -> Result<OutputFile, Error> {
        self.flush()?;
        Ok(self.sink.finish()?.finish(dir)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_names_round_trip() {
        for split in Split::ALL {
            assert_eq!(parse_sample_id(&sample_id(split, 12, 1_234_567)), Some((split, 12, 1_234_567)));
        }
        for bad in ["", "train", "train-0", "test-00000-000001", "train-x-1", "train-1-"] {
            assert_eq!(parse_sample_id(bad), None, "{bad}");
        }
    }
}
