//! Packed rows into Parquet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use handoff::{OutputFile, ShardMeta, ShardWriter, StageDir, TableSchema, TokenWidth, columns, schema};

use crate::Error;
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
    pending: Vec<Pending>,
}

struct Pending {
    row: Row,
    document_ids: Vec<String>,
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
        group_rows: usize,
        config_digest: String,
        mut extra: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        extra.insert("split".into(), split.name().into());
        extra.insert("batch".into(), batch.to_string());
        let meta = ShardMeta { stage: "shard".into(), config_digest, extra };
        let table = schema::samples(width);
        let writer = ShardWriter::with_row_group_rows(path, &table, &meta, group_rows)?;
        Ok(Self { writer, table, width, split, batch, group_rows, written: 0, pending: Vec::new() })
    }

    /// Adds a row whose parts' documents are named `document_ids`.
    pub(crate) fn push(&mut self, row: Row, document_ids: Vec<String>) -> Result<(), Error> {
        self.pending.push(Pending { row, document_ids });
        if self.pending.len() >= self.group_rows {
            self.flush()?;
        }
        Ok(())
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let first = self.written;
        let names = (0..self.pending.len() as u64).map(|row| sample_id(self.split, self.batch, first + row));
        let take = |f: &dyn Fn(&mut Row) -> Vec<i32>, rows: &mut [Pending]| rows.iter_mut().map(|p| f(&mut p.row)).collect::<Vec<_>>();
        let names = StringArray::from_iter_values(names);
        let starts = take(&|row| std::mem::take(&mut row.document_starts), &mut self.pending);
        let ids: Vec<Vec<u32>> = self.pending.iter_mut().map(|p| std::mem::take(&mut p.row.ids)).collect();
        let offsets: Vec<Vec<i64>> = self.pending.iter_mut().map(|p| std::mem::take(&mut p.row.token_offsets)).collect();
        let documents: Vec<Vec<String>> = self.pending.iter_mut().map(|p| std::mem::take(&mut p.document_ids)).collect();
        let num_bytes = Int64Array::from_iter_values(self.pending.iter().map(|p| p.row.num_bytes));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(names),
            columns::build_tokens(self.width, &ids),
            columns::build_list::<Int32Type>(&starts),
            columns::build_string_list(&documents),
            columns::build_list::<Int64Type>(&offsets),
            Arc::new(num_bytes),
        ];
        self.writer.write(&RecordBatch::try_new(self.table.arrow.clone(), columns)?)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
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
