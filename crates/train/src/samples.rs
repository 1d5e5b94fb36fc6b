//! The training rows of a split, in memory.
//!
//! All token ids of the split are held as `u16` or `u32`, whichever the shards use: 2 or 4 bytes a token, so one GB of
//! memory holds 500 million tokens of a vocabulary up to 65,536. Row `r` is found in O(1).

use std::collections::BTreeMap;
use std::path::Path;

use handoff::{ShardReader, TokenWidth, columns, schema};
use model::{IGNORE, Inputs};
use tch::{Device, Tensor};

use crate::trainer::Micro;
use crate::{Error, Result};

#[derive(Debug)]
enum Ids {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

/// Rows of equal length, and the bytes of text that each row's predicted tokens stand for.
#[derive(Debug)]
pub struct Samples {
    ids: Ids,
    row_tokens: usize,
    num_bytes: Vec<u64>,
    /// Where documents begin in each row: all rows concatenated, each row's part ending at `starts_end`.
    starts: Vec<u32>,
    starts_end: Vec<usize>,
    /// Places of a row that hold a token only as context; rows without any are not listed.
    context: BTreeMap<u64, Vec<u32>>,
    metadata: BTreeMap<String, String>,
    pad: Option<i64>,
}

/// Rows decoded at a time while loading.
const LOAD_ROWS: usize = 4096;

impl Samples {
    /// Loads shards of table `samples` in the order given; row numbers run through them.
    ///
    /// # Errors
    /// What [`ShardReader::open`] refuses, [`Error::RowLength`] where rows differ in length, and
    /// [`Error::TokenOutOfRange`] for an id not below `vocab_size`.
    pub fn load<'a>(shards: impl IntoIterator<Item = &'a Path>, vocab_size: usize) -> Result<Self> {
        let width = TokenWidth::for_vocab(vocab_size);
        let ids = if width == TokenWidth::U16 { Ids::U16(Vec::new()) } else { Ids::U32(Vec::new()) };
        let mut samples = Self {
            ids,
            row_tokens: 0,
            num_bytes: Vec::new(),
            starts: Vec::new(),
            starts_end: Vec::new(),
            context: BTreeMap::new(),
            metadata: BTreeMap::new(),
            pad: None,
        };
        for path in shards {
            samples.append(path, vocab_size)?;
        }
        Ok(samples)
    }

    fn append(&mut self, path: &Path, vocab_size: usize) -> Result<()> {
        let reader = open(path)?;
        if self.metadata.is_empty() {
            self.metadata = reader.metadata().clone();
            self.pad = self.metadata.get("pad_token_id").and_then(|id| id.parse().ok());
        }
        for batch in reader.batches_of(LOAD_ROWS, &["input_ids", "document_starts", "token_offsets", "num_bytes"])? {
            let batch = batch?;
            for row in columns::token_rows(&batch, "input_ids")? {
                if self.row_tokens == 0 {
                    self.row_tokens = row.len();
                }
                if row.len() != self.row_tokens || row.len() < 2 {
                    return Err(Error::RowLength { path: path.into(), expected: self.row_tokens.max(2), got: row.len() });
                }
                if let Some(&id) = row.iter().max().filter(|&&id| id as usize >= vocab_size) {
                    return Err(Error::TokenOutOfRange { path: path.into(), id, vocab_size });
                }
                match &mut self.ids {
                    // Below `vocab_size`, which fits the width.
                    Ids::U16(ids) => ids.extend(row.iter().map(|&id| id as u16)),
                    Ids::U32(ids) => ids.extend(row),
                }
            }
            for (places, row) in columns::context_places(&batch)?.into_iter().zip(self.len()..) {
                if !places.is_empty() {
                    self.context.insert(row, places);
                }
            }
            for row in columns::i32_rows(&batch, "document_starts")? {
                self.starts.extend(row.iter().map(|&s| s.max(0) as u32));
                self.starts_end.push(self.starts.len());
            }
            self.num_bytes.extend(columns::i64s(&batch, "num_bytes")?.values().iter().map(|&n| n.max(0) as u64));
        }
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.num_bytes.len() as u64
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.num_bytes.is_empty()
    }

    /// Tokens of a row; one less is predicted, since the first has nothing before it.
    pub fn row_tokens(&self) -> usize {
        self.row_tokens
    }

    /// Bytes of text that the predicted tokens of a row stand for.
    pub fn num_bytes(&self, row: u64) -> u64 {
        self.num_bytes[row as usize]
    }

    /// Where documents begin in a row.
    pub fn document_starts(&self, row: u64) -> &[u32] {
        let row = row as usize;
        let from = if row == 0 { 0 } else { self.starts_end[row - 1] };
        &self.starts[from..self.starts_end[row]]
    }

    /// A key of the first shard's metadata, such as `tokenizer_digest`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Rows as inputs (all tokens but the last) and targets (all but the first), and the number of targets.
    ///
    /// Targets are what follows in the row, whatever the packing: `shard` sees to it that this is right, a document's first token
    /// following an end token and every other one its document's token before. Two things are no targets: padding, and tokens
    /// repeated as context ([`columns::context_places`]), which are targets in another row. With `document_mask`, tokens see only
    /// their own document.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn micro(&self, rows: &[u64], device: Device, document_mask: bool) -> Result<(Micro, u64)> {
        let time = self.row_tokens - 1;
        let shape = [rows.len() as i64, time as i64];
        let (mut ids, mut targets) = (Vec::with_capacity(rows.len() * time), Vec::with_capacity(rows.len() * time));
        let mut segments = Vec::new();
        for &row in rows {
            let tokens = self.row(row);
            ids.extend_from_slice(&tokens[..time]);
            let first_target = targets.len();
            targets.extend(tokens[1..].iter().map(|&id| if Some(id) == self.pad { IGNORE } else { id }));
            for &place in self.context.get(&row).into_iter().flatten() {
                if let Some(target) = targets.get_mut(first_target + place as usize - 1) {
                    *target = IGNORE;
                }
            }
            if document_mask {
                let starts = self.document_starts(row);
                segments.extend((0..time as u32).map(|t| starts.partition_point(|&start| start <= t) as i64));
            }
        }
        let num_targets = targets.iter().filter(|&&id| id != IGNORE).count() as u64;
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_reshape(shape)?.f_to_device(device);
        let inputs = if document_mask { Inputs::documents(&tensor(&segments)?)? } else { Inputs::default() };
        Ok((Micro { ids: tensor(&ids)?, targets: tensor(&targets)?, inputs }, num_targets))
    }

    fn row(&self, row: u64) -> Vec<i64> {
        let at = row as usize * self.row_tokens..(row as usize + 1) * self.row_tokens;
        match &self.ids {
            Ids::U16(ids) => ids[at].iter().map(|&id| i64::from(id)).collect(),
            Ids::U32(ids) => ids[at].iter().map(|&id| i64::from(id)).collect(),
        }
    }
}

/// Opens a shard of samples of either token width.
fn open(path: &Path) -> Result<ShardReader> {
    match ShardReader::open(path, &schema::samples(TokenWidth::U16)) {
        Err(handoff::Error::WrongColumn { column, .. }) if column == "input_ids" => {
            Ok(ShardReader::open(path, &schema::samples(TokenWidth::U32))?)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{Int32Type, Int64Type};
    use handoff::{RunDir, ShardMeta, ShardWriter, StageDir};

    fn write(dir: &StageDir, index: u32, width: TokenWidth, rows: &[Vec<u32>]) -> std::path::PathBuf {
        write_with_offsets(dir, index, width, rows, &[0, 0])
    }

    fn write_with_offsets(dir: &StageDir, index: u32, width: TokenWidth, rows: &[Vec<u32>], offsets: &[i64]) -> std::path::PathBuf {
        let n = rows.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["s"; n])),
            columns::build_tokens(width, rows),
            columns::build_list::<Int32Type>(&vec![vec![0, 2]; n]),
            columns::build_string_list(&vec![vec!["d", "e"]; n]),
            columns::build_list::<Int64Type>(&vec![offsets.to_vec(); n]),
            Arc::new(Int64Array::from_iter_values((0..n as i64).map(|i| 10 + i))),
        ];
        let table = schema::samples(width);
        let path = dir.split_shard("train", index);
        let mut writer = ShardWriter::create(
            &path,
            &table,
            &ShardMeta { extra: [("pad_token_id".to_owned(), "1".to_owned())].into(), ..ShardMeta::default() },
        )
        .unwrap();
        writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).unwrap()).unwrap();
        writer.finish(dir).unwrap();
        path
    }

    #[test]
    fn rows_of_all_shards_are_found_at_both_widths() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 3], vec![4, 5, 6]]);
        let b = write(&stage, 1, TokenWidth::U32, &[vec![7, 8, 9]]);
        let samples = Samples::load([a.as_path(), b.as_path()], 10).unwrap();
        assert_eq!((samples.len(), samples.row_tokens(), samples.num_bytes(1)), (3, 3, 11));
        assert_eq!(samples.document_starts(2), [0, 2]);
        let values = |t: &Tensor| Vec::<i64>::try_from(t.flatten(0, -1)).unwrap();
        let (micro, targets) = samples.micro(&[2, 0], Device::Cpu, false).unwrap();
        assert_eq!((values(&micro.ids), targets), (vec![7, 8, 1, 2], 4));
        assert_eq!(values(&micro.targets), [8, 9, 2, 3]);
    }

    #[test]
    fn padding_is_no_target_and_documents_can_be_separated() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![4, 5, 6, 7, 1]]);
        let samples = Samples::load([a.as_path()], 10).unwrap();
        assert_eq!(samples.metadata("pad_token_id"), Some("1"));
        let values = |t: &Tensor| Vec::<i64>::try_from(t.flatten(0, -1)).unwrap();
        let (micro, targets) = samples.micro(&[0], Device::Cpu, true).unwrap();
        assert_eq!((values(&micro.targets), targets), (vec![5, 6, 7, IGNORE], 3));
        // The second document begins at token 2.
        assert_eq!(values(&micro.inputs.positions.unwrap()), [0, 1, 0, 1]);
    }

    #[test]
    fn context_is_no_target() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        // The first part goes on with a document at the row's start, the second at token 2.
        let a = write_with_offsets(&stage, 0, TokenWidth::U16, &[vec![4, 5, 6, 7, 8], vec![4, 5, 6, 7, 1]], &[3, 9]);
        let samples = Samples::load([a.as_path()], 10).unwrap();
        let (micro, targets) = samples.micro(&[1, 0], Device::Cpu, false).unwrap();
        let values = Vec::<i64>::try_from(micro.targets.flatten(0, -1)).unwrap();
        assert_eq!((values, targets), (vec![5, IGNORE, 7, IGNORE, 5, IGNORE, 7, 8], 5));
    }

    #[test]
    fn misfits_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 9]]);
        let b = write(&stage, 1, TokenWidth::U16, &[vec![1, 2]]);
        let error = Samples::load([a.as_path()], 9).unwrap_err().to_string();
        assert!(error.contains("token id 9") && error.contains("vocabulary of 9"), "{error}");
        let error = Samples::load([a.as_path(), b.as_path()], 10).unwrap_err().to_string();
        assert!(error.contains("rows of 2 tokens") && error.contains("have 3"), "{error}");
    }
}
