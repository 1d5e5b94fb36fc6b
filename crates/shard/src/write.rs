//! Packed rows into Parquet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt16Array, UInt32Array};
use arrow::buffer::OffsetBuffer;
use handoff::{OutputFile, ShardMeta, ShardWriter, StageDir, TableSchema, TokenWidth, schema};

use crate::Error;
use crate::config::TokenEncoding;
use crate::order::Split;
use crate::pack::Row;

/// Writes the samples of one split of one batch.
pub(crate) struct SampleWriter {
    writer: ShardWriter,
    table: TableSchema,
    width: TokenWidth,
    split: Split,
    batch: u32,
    group_rows: usize,
    written: u64,
    pending: Pending,
}

/// Rows that are not written yet, column by column.
#[derive(Debug, Default)]
struct Pending {
    rows: usize,
    ids: Vec<u32>,
    starts: Vec<i32>,
    document_ids: Vec<Arc<str>>,
    offsets: Vec<i64>,
    /// Document parts of each row.
    parts: Vec<usize>,
    num_bytes: Vec<i64>,
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
        (group_rows, encoding): (usize, TokenEncoding),
        config_digest: String,
        mut extra: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        extra.insert("split".into(), split.name().into());
        extra.insert("batch".into(), batch.to_string());
        let meta = ShardMeta { stage: "shard".into(), config_digest, extra };
        let table = schema::samples(width);
        let split_bytes: &[&str] = if encoding == TokenEncoding::SplitBytes { &["input_ids"] } else { &[] };
        let writer = ShardWriter::with_split_bytes(path, &table, &meta, group_rows, split_bytes)?;
        Ok(Self { writer, table, width, split, batch, group_rows, written: 0, pending: Pending::default() })
    }

    pub(crate) fn push(&mut self, row: &Row) -> Result<(), Error> {
        let pending = &mut self.pending;
        pending.rows += 1;
        pending.ids.extend_from_slice(&row.ids);
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
        let Pending { rows, ids, starts, document_ids, offsets, parts, num_bytes } = std::mem::take(&mut self.pending);
        if rows == 0 {
            return Ok(());
        }
        let names = (self.written..self.written + rows as u64).map(|row| sample_id(self.split, self.batch, row));
        let row_tokens = ids.len() / rows;
        let parts = || OffsetBuffer::from_lengths(parts.iter().copied());
        let list = |offsets, values: ArrayRef| -> Result<ArrayRef, Error> {
            Ok(Arc::new(ListArray::try_new(schema::list_item(values.data_type().clone()), offsets, values, None)?))
        };
        let ids: ArrayRef = match self.width {
            // The vocabulary fits the width, so no id is cut.
            TokenWidth::U16 => Arc::new(UInt16Array::from_iter_values(ids.iter().map(|id| *id as u16))),
            TokenWidth::U32 => Arc::new(UInt32Array::from(ids)),
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(names)),
            list(OffsetBuffer::from_lengths(std::iter::repeat_n(row_tokens, rows)), ids)?,
            list(parts(), Arc::new(Int32Array::from(starts)))?,
            list(parts(), Arc::new(StringArray::from_iter_values(document_ids.iter())))?,
            list(parts(), Arc::new(Int64Array::from(offsets)))?,
            Arc::new(Int64Array::from(num_bytes)),
        ];
        self.writer.write(&RecordBatch::try_new(self.table.arrow.clone(), columns)?)?;
        self.written += rows as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self, dir: &StageDir) -> Result<OutputFile, Error> {
        self.flush()?;
        Ok(self.writer.finish(dir)?)
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
