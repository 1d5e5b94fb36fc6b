//! Packed rows into Parquet.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::error::ArrowError;
use handoff::{OutputFile, ShardMeta, ShardWriter, StageDir, TableSchema, schema};

use crate::Error;
use crate::config::TokenEncoding;
use crate::order::Split;
use crate::pack::{Row, TokenId};
use crate::shuffle::DOCUMENT_ID_BYTES;

/// Row groups that wait for the thread that encodes them.
const AHEAD: usize = 2;

/// Where row groups are encoded.
enum Sink {
    Here(Option<Box<ShardWriter>>),
    /// On a thread of its own, in order, while the next one is packed.
    Thread(Option<Worker>),
}

struct Worker {
    groups: SyncSender<RecordBatch>,
    work: JoinHandle<Result<ShardWriter, Error>>,
}

impl Worker {
    fn finish(self) -> Result<ShardWriter, Error> {
        drop(self.groups);
        self.work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Sink {
    fn new(writer: ShardWriter, threads: Option<usize>) -> Self {
        if threads == Some(1) {
            return Self::Here(Some(Box::new(writer)));
        }
        let (groups, waiting) = sync_channel::<RecordBatch>(AHEAD);
        let work = std::thread::spawn(move || {
            let mut writer = writer;
            for group in waiting {
                writer.write(&group)?;
            }
            Ok(writer)
        });
        Self::Thread(Some(Worker { groups, work }))
    }

    fn write(&mut self, group: RecordBatch) -> Result<(), Error> {
        match self {
            Self::Here(Some(writer)) => writer.write(&group)?,
            Self::Here(None) => {}
            Self::Thread(Some(worker)) if worker.groups.send(group).is_ok() => {}
            // The thread has ended, for which only an error is a reason.
            Self::Thread(worker) => drop(worker.take().map(Worker::finish).transpose()?),
        }
        Ok(())
    }

    fn finish(&mut self, dir: &StageDir) -> Result<OutputFile, Error> {
        let writer = match self {
            Self::Here(writer) => writer.take().map(|writer| *writer),
            Self::Thread(worker) => worker.take().map(Worker::finish).transpose()?,
        };
        let ended = || ArrowError::InvalidArgumentError("a row after an error".into());
        Ok(writer.ok_or_else(ended)?.finish(dir)?)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Waits for the thread, so that its temporary file is gone when the stage is.
        if let Self::Thread(worker) = self
            && let Some(Worker { groups, work }) = worker.take()
        {
            drop(groups);
            drop(work.join());
        }
    }
}

/// Writes the samples of one split of one batch.
pub(crate) struct SampleWriter<T> {
    sink: Sink,
    table: TableSchema,
    split: Split,
    batch: u32,
    group_rows: usize,
    written: u64,
    pending: Pending<T>,
}

/// Rows that are not written yet, column by column.
struct Pending<T> {
    rows: usize,
    ids: Vec<T>,
    starts: Vec<i32>,
    document_ids: StringBuilder,
    offsets: Vec<i64>,
    /// Document parts of each row.
    parts: Vec<usize>,
    num_bytes: Vec<i64>,
}

impl<T> Pending<T> {
    /// With room for as much as was in another one.
    fn like(ids: usize, parts: usize, rows: usize) -> Self {
        Self {
            rows: 0,
            ids: Vec::with_capacity(ids),
            starts: Vec::with_capacity(parts),
            document_ids: StringBuilder::with_capacity(parts, parts * DOCUMENT_ID_BYTES),
            offsets: Vec::with_capacity(parts),
            parts: Vec::with_capacity(rows),
            num_bytes: Vec::with_capacity(rows),
        }
    }
}

/// Name of a sample: split, batch, row.
pub(crate) fn sample_id(split: Split, batch: u32, row: u64) -> String {
    let mut name = String::new();
    // Writing to memory cannot fail.
    let _ = write_sample_id(&mut name, (split, batch, row));
    name
}

fn write_sample_id(out: &mut impl Write, (split, batch, row): (Split, u32, u64)) -> std::fmt::Result {
    write!(out, "{}-{batch:05}-{row:06}", split.name())
}

/// Back from [`sample_id`].
pub(crate) fn parse_sample_id(name: &str) -> Option<(Split, u32, u64)> {
    let (rest, row) = name.rsplit_once('-')?;
    let (split, batch) = rest.rsplit_once('-')?;
    let split = Split::ALL.into_iter().find(|s| s.name() == split)?;
    Some((split, batch.parse().ok()?, row.parse().ok()?))
}

impl<T: TokenId> SampleWriter<T> {
    pub(crate) fn create(
        path: &Path,
        (split, batch): (Split, u32),
        (group_rows, encoding, threads): (usize, TokenEncoding, Option<usize>),
        config_digest: String,
        mut extra: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        extra.insert("split".into(), split.name().into());
        extra.insert("batch".into(), batch.to_string());
        let meta = ShardMeta { stage: "shard".into(), config_digest, extra };
        let table = schema::samples(T::WIDTH);
        let open = if encoding == TokenEncoding::SplitBytes { ShardWriter::with_split_ids } else { ShardWriter::with_row_group_rows };
        let writer = open(path, &table, &meta, group_rows)?;
        let sink = Sink::new(writer, threads);
        Ok(Self { sink, table, split, batch, group_rows, written: 0, pending: Pending::like(0, 0, 0) })
    }

    pub(crate) fn push(&mut self, row: &Row<T>) -> Result<(), Error> {
        let pending = &mut self.pending;
        pending.rows += 1;
        pending.ids.extend_from_slice(&row.ids);
        pending.starts.extend_from_slice(&row.document_starts);
        row.document_ids.iter().for_each(|id| pending.document_ids.append_value(id));
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
        if self.pending.rows == 0 {
            return Ok(());
        }
        let next = Pending::like(self.pending.ids.len(), self.pending.starts.len() + self.pending.rows, self.pending.rows);
        let Pending { rows, ids, starts, mut document_ids, offsets, parts, num_bytes } = std::mem::replace(&mut self.pending, next);
        let mut names = StringBuilder::with_capacity(rows, rows * sample_id(self.split, self.batch, self.written).len());
        for row in self.written..self.written + rows as u64 {
            // Writing to memory cannot fail.
            let _ = write_sample_id(&mut names, (self.split, self.batch, row));
            names.append_value("");
        }
        let length = ids.len();
        let parts = || OffsetBuffer::from_lengths(parts.iter().copied());
        let list = |offsets, values: ArrayRef| -> Result<ArrayRef, Error> {
            Ok(Arc::new(ListArray::try_new(schema::list_item(values.data_type().clone()), offsets, values, None)?))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(names.finish()),
            list(OffsetBuffer::from_lengths(std::iter::repeat_n(length / rows, rows)), T::array(ids))?,
            list(parts(), Arc::new(Int32Array::from(starts)))?,
            list(parts(), Arc::new(document_ids.finish()))?,
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
        self.sink.finish(dir)
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
