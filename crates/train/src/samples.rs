//! The training rows of a split; row `r` is found in O(1).
//!
//! Token ids are held in memory as `u16` or `u32`, whichever the vocabulary needs: one GB holds 500 million tokens of a vocabulary up to
//! 65,536. A split that is larger than allowed is read from disk instead: Parquet gives no single row cheaply, so each shard's ids
//! are written once more as rows of fixed width ([`Place::Disk`]), which are then read one by one where they stand. What is known of
//! each row beside its ids (documents, bytes) stays in memory: about one byte in a hundred.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use handoff::atomic::{self, AtomicFile};
use handoff::columns::Padding;
use handoff::{Digest, ShardReader, SharedMetadata, TokenWidth, columns, schema};
use model::{IGNORE, Inputs};
use tch::{Device, Tensor};

use crate::trainer::Micro;
use crate::{Error, Result};

#[derive(Debug)]
enum Ids {
    U16(Vec<u16>),
    U32(Vec<u32>),
    /// Files of rows of fixed width, each with the first row that is not in it any more.
    Disk {
        files: Vec<(u64, PathBuf, File)>,
        width: TokenWidth,
    },
}

/// Where token ids are held.
#[derive(Debug, Clone)]
pub enum Place {
    /// In memory.
    Memory,
    /// In files in this folder, one a shard and named for its digest, written where they are missing. Files of other shards are
    /// removed by [`forget_others`].
    Disk(PathBuf),
    /// In memory, and no more than the first rows, at least so many if there are: enough to measure steps on.
    First(u64),
}

/// Removes from `folder` what [`Place::Disk`] left there for shards that are none of `digests`, and nothing else.
///
/// # Errors
/// A folder that cannot be read, or a file that cannot be removed.
pub fn forget_others(folder: &Path, digests: &BTreeSet<Digest>) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("read", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if shard_of(&name).is_some_and(|digest| !digests.contains(&digest)) {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// The shard that a file of [`Place::Disk`] was made from: `<digest>.<vocabulary>.u16`, or `u32`, perhaps with `.digest`.
fn shard_of(name: &str) -> Option<Digest> {
    let (stem, width) = name.strip_suffix(".digest").unwrap_or(name).rsplit_once('.')?;
    let (digest, vocab_size) = stem.split_once('.')?;
    let is_ours = matches!(width, "u16" | "u32") && vocab_size.parse::<u64>().is_ok();
    digest.parse().ok().filter(|_| is_ours)
}

/// Rows of equal length, and the bytes of text that each row's predicted tokens stand for.
#[derive(Debug)]
pub struct Samples {
    ids: Ids,
    row_tokens: usize,
    num_bytes: Vec<u64>,
    /// Where the inputs of documents begin in each row: all rows concatenated, each row's part ending at `starts_end`.
    starts: Vec<u32>,
    starts_end: Vec<usize>,
    /// Places of a row that hold a token only as context; rows without any are not listed.
    context: BTreeMap<u64, Vec<u32>>,
    metadata: SharedMetadata,
}

/// Rows decoded at a time while loading.
const LOAD_ROWS: usize = 4096;

impl Samples {
    /// Loads shards of table `samples`, each with its digest, in the order given; row numbers run through them.
    ///
    /// # Errors
    /// What [`ShardReader::open`] refuses, a shard that no longer has its digest, [`Error::RowLength`] where rows differ in length,
    /// [`Error::TokenOutOfRange`] for an id not below `vocab_size`, and files that cannot be written or read.
    pub fn load<'a>(shards: impl IntoIterator<Item = (&'a Path, Digest)>, vocab_size: usize, place: &Place) -> Result<Self> {
        let width = TokenWidth::for_vocab(vocab_size);
        let ids = match (place, width) {
            (Place::Disk(_), width) => Ids::Disk { files: Vec::new(), width },
            (Place::Memory | Place::First(_), TokenWidth::U16) => Ids::U16(Vec::new()),
            (Place::Memory | Place::First(_), TokenWidth::U32) => Ids::U32(Vec::new()),
        };
        let mut samples = Self {
            ids,
            row_tokens: 0,
            num_bytes: Vec::new(),
            starts: Vec::new(),
            starts_end: Vec::new(),
            context: BTreeMap::new(),
            metadata: SharedMetadata::new(&schema::SAMPLES_AGREE_IN),
        };
        for (path, digest) in shards {
            match place {
                Place::Memory => {
                    digest.check(path)?;
                    samples.append(path, vocab_size, u64::MAX, None)?;
                }
                Place::First(rows) if samples.len() >= *rows => break,
                Place::First(rows) => samples.append(path, vocab_size, *rows, None)?,
                Place::Disk(folder) => {
                    let extension = if width == TokenWidth::U16 { "u16" } else { "u32" };
                    samples.append_on_disk(path, digest, vocab_size, &folder.join(format!("{digest}.{vocab_size}.{extension}")))?;
                }
            }
        }
        Ok(samples)
    }

    /// Appends a shard whose ids are in `fixed`, or will be. The file's own digest stands beside it: what is not what was written is
    /// written again.
    fn append_on_disk(&mut self, path: &Path, digest: Digest, vocab_size: usize, fixed: &Path) -> Result<()> {
        let recorded = PathBuf::from(format!("{}.digest", fixed.display()));
        let known = std::fs::read_to_string(&recorded).unwrap_or_default();
        let exists = fixed.exists();
        if exists && Digest::of_file(fixed)?.to_string() == known {
            self.append_facts(path, fixed)?;
        } else {
            if exists {
                tracing::warn!("`{}` is not what was written there; it is made again", fixed.display());
            }
            digest.check(path)?;
            let mut out = AtomicFile::create(fixed)?;
            self.append(path, vocab_size, u64::MAX, Some(&mut out))?;
            out.commit()?;
            atomic::write(&recorded, Digest::of_file(fixed)?.to_string().as_bytes())?;
        }
        let file = File::open(fixed).map_err(Error::io("open", fixed))?;
        let end = self.len();
        if let Ids::Disk { files, .. } = &mut self.ids {
            files.push((end, fixed.to_path_buf(), file));
        }
        Ok(())
    }

    /// Appends what is known of a shard's rows beside their ids, which `fixed` has.
    fn append_facts(&mut self, path: &Path, fixed: &Path) -> Result<()> {
        let reader = open(path)?;
        self.metadata.add(&reader)?;
        let before = self.len();
        for batch in reader.batches_of(LOAD_ROWS, &["document_starts", "token_offsets", "num_bytes"])? {
            self.append_rows(&batch?)?;
        }
        let rows = self.len() - before;
        let Ids::Disk { width, .. } = &self.ids else { return Ok(()) };
        let bytes = std::fs::metadata(fixed).map_err(Error::io("look at", fixed))?.len();
        let got = (bytes / rows.max(1)) as usize / bytes_of(*width);
        if self.row_tokens == 0 {
            self.row_tokens = got;
        }
        if got != self.row_tokens || got < 2 || bytes != rows * (got * bytes_of(*width)) as u64 {
            return Err(Error::RowLength { path: path.into(), expected: self.row_tokens.max(2), got });
        }
        Ok(())
    }

    /// Appends a shard, or no more of it once there are `enough` rows; its ids go to `out` where there is one.
    fn append(&mut self, path: &Path, vocab_size: usize, enough: u64, mut out: Option<&mut AtomicFile>) -> Result<()> {
        let reader = open(path)?;
        self.metadata.add(&reader)?;
        let mut fixed = Vec::new();
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
                    Ids::Disk { width: TokenWidth::U16, .. } => fixed.extend(row.iter().flat_map(|&id| (id as u16).to_le_bytes())),
                    Ids::Disk { width: TokenWidth::U32, .. } => fixed.extend(row.iter().flat_map(|&id| id.to_le_bytes())),
                }
            }
            if let Some(out) = &mut out {
                out.write_all(&fixed).map_err(Error::io("write", path))?;
                fixed.clear();
            }
            self.append_rows(&batch)?;
            if self.len() >= enough {
                break;
            }
        }
        Ok(())
    }

    /// What is known of each row of a batch beside its ids.
    fn append_rows(&mut self, batch: &RecordBatch) -> Result<()> {
        for (places, row) in columns::context_places(batch)?.into_iter().zip(self.len()..) {
            if !places.is_empty() {
                self.context.insert(row, places);
            }
        }
        for row in columns::segment_starts(batch)? {
            self.starts.extend(row);
            self.starts_end.push(self.starts.len());
        }
        self.num_bytes.extend(columns::i64s(batch, "num_bytes")?.values().iter().map(|&n| n.max(0) as u64));
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

    /// Where the inputs of documents begin in a row ([`columns::segment_starts`]).
    pub fn segment_starts(&self, row: u64) -> &[u32] {
        let row = row as usize;
        let from = if row == 0 { 0 } else { self.starts_end[row - 1] };
        &self.starts[from..self.starts_end[row]]
    }

    /// A key of the first shard's metadata, such as `tokenizer_digest`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)
    }

    /// Rows as inputs (all tokens but the last) and targets (all but the first), on the CPU.
    ///
    /// Targets are what follows in the row, whatever the packing: `shard` sees to it that this is right, a document's first token
    /// following an end token and every other one its document's token before. Two things are no targets: padding ([`Padding`]), and tokens
    /// repeated as context ([`columns::context_places`]), which are targets in another row. With `document_mask`, tokens see only
    /// their own document and the end token before it, as where a text is gone on with.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn micro(&self, rows: &[u64], document_mask: bool) -> Result<RowBatch> {
        let time = self.row_tokens - 1;
        let shape = [rows.len() as i64, time as i64];
        let (mut ids, mut targets) = (Vec::with_capacity(rows.len() * time), Vec::with_capacity(rows.len() * time));
        let mut segments = Vec::new();
        let padding = Padding::of(|key| self.metadata.get(key));
        for &row in rows {
            let tokens = self.row(row)?;
            ids.extend_from_slice(&tokens[..time]);
            let first_target = targets.len();
            let used = padding.used(&tokens).max(1);
            targets.extend_from_slice(&tokens[1..used]);
            targets.resize(first_target + time, IGNORE);
            for &place in self.context.get(&row).into_iter().flatten() {
                if let Some(target) = targets.get_mut(first_target + place as usize - 1) {
                    *target = IGNORE;
                }
            }
            if document_mask {
                let starts = self.segment_starts(row);
                segments.extend((0..time as u32).map(|t| starts.partition_point(|&start| start <= t) as i64));
            }
        }
        let num_targets = targets.iter().filter(|&&id| id != IGNORE).count() as u64;
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_reshape(shape);
        let segments = if document_mask { Some(tensor(&segments)?) } else { None };
        Ok(RowBatch { ids: tensor(&ids)?, targets: tensor(&targets)?, segments, num_targets })
    }

    fn row(&self, row: u64) -> Result<Vec<i64>> {
        let at = row as usize * self.row_tokens..(row as usize + 1) * self.row_tokens;
        Ok(match &self.ids {
            Ids::U16(ids) => ids[at].iter().map(|&id| i64::from(id)).collect(),
            Ids::U32(ids) => ids[at].iter().map(|&id| i64::from(id)).collect(),
            Ids::Disk { files, width } => {
                let place = files.partition_point(|&(end, ..)| end <= row);
                let first = if place == 0 { 0 } else { files[place - 1].0 };
                let (_, path, file) = &files[place];
                let mut bytes = vec![0; self.row_tokens * bytes_of(*width)];
                let at = (row - first) * bytes.len() as u64;
                file.read_exact_at(&mut bytes, at).map_err(Error::io("read", path))?;
                match width {
                    TokenWidth::U16 => bytes.chunks_exact(2).map(|b| i64::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
                    TokenWidth::U32 => bytes.chunks_exact(4).map(|b| i64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
                }
            }
        })
    }
}

/// Rows read for one forward pass, on the CPU.
#[derive(Debug)]
pub struct RowBatch {
    ids: Tensor,
    targets: Tensor,
    /// Number of each token's document, where documents are to be kept apart.
    segments: Option<Tensor>,
    /// Targets among them.
    pub num_targets: u64,
}

impl RowBatch {
    /// The micro-batch on a device. The mask, which is larger than all else, is made there.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn on(&self, device: Device) -> Result<Micro> {
        let moved = |tensor: &Tensor| tensor.f_to_device(device);
        let inputs = self.segments.as_ref().map(|segments| Inputs::documents(&moved(segments)?)).transpose()?.unwrap_or_default();
        Ok(Micro { ids: moved(&self.ids)?, targets: moved(&self.targets)?, inputs })
    }
}

/// Bytes of an id.
const fn bytes_of(width: TokenWidth) -> usize {
    match width {
        TokenWidth::U16 => 2,
        TokenWidth::U32 => 4,
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

    /// Loads into memory and, to the same rows, onto disk; there twice, the second time from the files of the first.
    fn load<'a>(shards: impl IntoIterator<Item = &'a Path>, vocab_size: usize) -> Result<Samples> {
        let shards: Vec<(&Path, Digest)> = shards.into_iter().map(|path| (path, Digest::of_file(path).unwrap())).collect();
        let memory = Samples::load(shards.clone(), vocab_size, &Place::Memory);
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Disk(folder.path().join("tokens"));
        for _ in 0..2 {
            let disk = Samples::load(shards.clone(), vocab_size, &place);
            assert_eq!(disk.is_ok(), memory.is_ok());
            if let (Ok(memory), Ok(disk)) = (&memory, &disk) {
                for row in 0..memory.len() {
                    assert_eq!(memory.row(row).unwrap(), disk.row(row).unwrap());
                    assert_eq!(memory.segment_starts(row), disk.segment_starts(row));
                }
                assert_eq!((memory.row_tokens(), &memory.context), (disk.row_tokens(), &disk.context));
            }
        }
        memory
    }

    #[test]
    fn files_of_other_shards_go() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 3]]);
        let b = write(&stage, 1, TokenWidth::U16, &[vec![4, 5, 6]]);
        let (of_a, of_b) = (Digest::of_file(&a).unwrap(), Digest::of_file(&b).unwrap());
        let folder = dir.path().join("tokens");
        forget_others(&folder, &BTreeSet::new()).unwrap();
        Samples::load([(a.as_path(), of_a), (b.as_path(), of_b)], 10, &Place::Disk(folder.clone())).unwrap();
        let foreign = ["model.safetensors".to_owned(), format!("{of_a}.10.u16.bak"), format!("{of_a}.parquet"), "notes.10.u16".to_owned()];
        foreign.iter().for_each(|name| std::fs::write(folder.join(name), "mine").unwrap());
        std::fs::create_dir(folder.join("checkpoints")).unwrap();
        forget_others(&folder, &[of_b].into()).unwrap();
        foreign.iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());
        std::fs::remove_dir(folder.join("checkpoints")).unwrap();
        let left: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let name = format!("{of_b}.10.u16");
        assert_eq!(BTreeSet::from_iter(left), [name.clone(), format!("{name}.digest")].into());
        // A file that is not what it should be is written again; its size says nothing.
        for wrong in [vec![0; 6], vec![4, 0, 5, 0, 7, 0], vec![1, 0, 2]] {
            std::fs::write(folder.join(&name), wrong).unwrap();
            let samples = Samples::load([(b.as_path(), of_b)], 10, &Place::Disk(folder.clone())).unwrap();
            assert_eq!(samples.row(0).unwrap(), [4, 5, 6]);
        }
    }

    #[test]
    fn a_shard_that_is_not_the_recorded_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let path = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 3]]);
        let recorded = Digest::of_file(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes.len() / 4;
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        for place in [Place::Memory, Place::Disk(dir.path().join("tokens"))] {
            let error = Samples::load([(path.as_path(), recorded)], 10, &place).unwrap_err();
            assert!(matches!(error, Error::Handoff(handoff::Error::OtherDigest { .. })), "{error}");
            assert_eq!(stage::Failure::exit(&error), stage::Exit::Upstream);
        }
    }

    #[test]
    fn shards_of_another_tokenizer_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 3]]);
        let table = schema::samples(TokenWidth::U16);
        let extra = [("pad_token_id".to_owned(), "2".to_owned())].into();
        let b = stage.split_shard("train", 1);
        ShardWriter::create(&b, &table, &ShardMeta { extra, ..ShardMeta::default() }).unwrap().finish(&stage).unwrap();
        let error = load([a.as_path(), b.as_path()], 10).unwrap_err();
        assert!(matches!(error, Error::Handoff(handoff::Error::MixedShards { key: "pad_token_id", .. })), "{error}");
    }

    #[test]
    fn with_the_mask_a_document_is_as_if_alone_behind_an_end_token() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        const END: u32 = 9;
        let write = |index: u32, row: &[u32], starts: &[i32], offsets: &[i64]| {
            let names = vec!["d"; starts.len()];
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from(vec!["s"])),
                columns::build_tokens(TokenWidth::U16, &[row.to_vec()]),
                columns::build_list::<Int32Type>(&[starts.to_vec()]),
                columns::build_string_list(&[names]),
                columns::build_list::<Int64Type>(&[offsets.to_vec()]),
                Arc::new(Int64Array::from(vec![1])),
            ];
            let table = schema::samples(TokenWidth::U16);
            let path = stage.split_shard("train", index);
            let mut writer = ShardWriter::create(&path, &table, &ShardMeta::default()).unwrap();
            writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).unwrap()).unwrap();
            writer.finish(&stage).unwrap();
            load([path.as_path()], 16).unwrap()
        };
        // Two documents from their beginning, and the rest of a third, as `best-fit` has it: its first token is context.
        let packed = write(0, &[END, 2, 3, 4, END, 5, 6, END, 7, 8, END], &[1, 5, 8], &[0, 0, 3]);
        let alone =
            [write(1, &[END, 2, 3, 4, END], &[1], &[0]), write(2, &[END, 5, 6, END], &[1], &[0]), write(3, &[7, 8, END], &[0], &[3])];
        let model = model::Model::new(model::Config::llama(16, 16, 2, 2), 3, &model::Options::cpu()).unwrap();
        let losses = |samples: &Samples| {
            let micro = samples.micro(&[0], true).unwrap().on(Device::Cpu).unwrap();
            Vec::<f32>::try_from(model.token_losses(&micro.ids, &micro.targets, &micro.inputs).unwrap().flatten(0, -1)).unwrap()
        };
        // Before the context there is no target: the end token of the second document is followed by it.
        let expected: Vec<f32> = [losses(&alone[0]), losses(&alone[1]), vec![0.0], losses(&alone[2])].concat();
        let got = losses(&packed);
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} {expected:?}");
    }

    #[test]
    fn rows_of_all_shards_are_found_at_both_widths() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 3], vec![4, 5, 6]]);
        let b = write(&stage, 1, TokenWidth::U32, &[vec![7, 8, 9]]);
        let samples = load([a.as_path(), b.as_path()], 10).unwrap();
        assert_eq!((samples.len(), samples.row_tokens(), samples.num_bytes(1)), (3, 3, 11));
        let shards = [&a, &b].map(|path| (path.as_path(), Digest::of_file(path).unwrap()));
        let first = |rows: u64| Samples::load(shards, 10, &Place::First(rows)).unwrap();
        assert_eq!([1, 2, 3, 99].map(|rows| first(rows).len()), [2, 2, 3, 3], "whole batches of them, and no more shards than that");
        assert_eq!(first(1).row(1).unwrap(), samples.row(1).unwrap());
        assert_eq!(samples.segment_starts(2), [0, 1]);
        let values = |t: &Tensor| Vec::<i64>::try_from(t.flatten(0, -1)).unwrap();
        let batch = samples.micro(&[2, 0], false).unwrap();
        let (micro, targets) = (batch.on(Device::Cpu).unwrap(), batch.num_targets);
        assert_eq!((values(&micro.ids), targets), (vec![7, 8, 1, 2], 4));
        assert_eq!(values(&micro.targets), [8, 9, 2, 3]);
    }

    #[test]
    fn padding_is_no_target_and_documents_can_be_separated() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![4, 5, 6, 7, 1]]);
        let samples = load([a.as_path()], 10).unwrap();
        assert_eq!(samples.metadata("pad_token_id"), Some("1"));
        let values = |t: &Tensor| Vec::<i64>::try_from(t.flatten(0, -1)).unwrap();
        let batch = samples.micro(&[0], true).unwrap();
        let (micro, targets) = (batch.on(Device::Cpu).unwrap(), batch.num_targets);
        assert_eq!((values(&micro.targets), targets), (vec![5, 6, 7, IGNORE], 3));
        // The second document begins at token 2, and its inputs with the end token before.
        assert_eq!(values(&micro.inputs.positions.unwrap()), [0, 0, 1, 2]);
    }

    #[test]
    fn context_is_no_target() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        // The first part goes on with a document at the row's start, the second at token 2.
        let a = write_with_offsets(&stage, 0, TokenWidth::U16, &[vec![4, 5, 6, 7, 8], vec![4, 5, 6, 7, 1]], &[3, 9]);
        let samples = load([a.as_path()], 10).unwrap();
        let batch = samples.micro(&[1, 0], false).unwrap();
        let (micro, targets) = (batch.on(Device::Cpu).unwrap(), batch.num_targets);
        let values = Vec::<i64>::try_from(micro.targets.flatten(0, -1)).unwrap();
        assert_eq!((values, targets), (vec![5, IGNORE, 7, IGNORE, 5, IGNORE, 7, 8], 5));
    }

    #[test]
    fn misfits_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let a = write(&stage, 0, TokenWidth::U16, &[vec![1, 2, 9]]);
        let b = write(&stage, 1, TokenWidth::U16, &[vec![1, 2]]);
        let error = load([a.as_path()], 9).unwrap_err().to_string();
        assert!(error.contains("token id 9") && error.contains("vocabulary of 9"), "{error}");
        let error = load([a.as_path(), b.as_path()], 10).unwrap_err().to_string();
        assert!(error.contains("rows of 2 tokens") && error.contains("have 3"), "{error}");
    }
}
