//! The shards that are written of one unit: the final ones, or, where duplicates are looked for, those that wait for the decision.
//!
//! What waits stands in the scratch space: documents in `candidates/`, refused rows in `refused/`, keys in `keys/`, and, written last
//! of all, what was counted in `extracted/`. The first two have the columns of the final tables and behind them `seq`, the number of the
//! row in its unit, so that rows come out in the order of the input; candidates have `counts` too, what is counted if they are kept.

use super::rejected::Rejected;
use crate::config::{Config, DedupConfig};
use crate::dedup::runs::RunWriter;
use crate::dedup::{Signature, table};
use crate::error::Error;
use crate::extracted::{self, Stored};
use crate::page::{Document, Refused, Spent};
use crate::reason::Reason;
use crate::units::{FORMAT_VERSION, Job};
use crate::{NAME, rows};
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use handoff::{Digest, OutputFile, ShardMeta, ShardWriter, StageDir, TableSchema, UnitEntry, UnitKey, atomic, schema};
use serde::{Deserialize, Serialize};
use stage::StageContext;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of a batch that is written; fixed, so that the bytes of a shard do not depend on how its pages were grouped for the work.
pub(super) const WRITE_ROWS: usize = 512;
/// Bytes of text that end a batch earlier, for the sake of memory; as fixed as the rows.
const WRITE_BYTES: usize = 16 << 20;

/// A file of the scratch space that belongs to the `index`-th unit.
pub(super) fn scratch(dir: &StageDir, folder: &str, index: u32, ending: &str) -> PathBuf {
    dir.work_file(folder, &format!("{index:05}.{ending}"))
}

/// Folder of documents that wait for the decision.
pub(super) const CANDIDATES: &str = "candidates";
/// Folder of rows that were refused before it.
pub(super) const REFUSED: &str = "refused";
/// Folder of refused rows from which a sample is drawn.
pub(super) const SAMPLED: &str = "sampled";
/// Folder of keys.
pub(super) const KEYS: &str = "keys";
/// Folder of records of what was extracted.
pub(super) const EXTRACTED: &str = "extracted";

/// The columns of a final table with those that the decision needs.
pub(super) fn waiting(table: &TableSchema) -> TableSchema {
    let mut fields: Vec<Arc<Field>> = table.arrow.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("seq", DataType::UInt64, false)));
    fields.push(Arc::new(Field::new("counts", DataType::Utf8, false)));
    TableSchema { name: table.name, version: table.version, arrow: Arc::new(Schema::new(fields)) }
}

/// Record of an extracted unit; while it stands, its scratch files are whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Extracted {
    /// The unit.
    pub(crate) unit: String,
    /// What it depends on.
    pub(crate) key: UnitKey,
    /// Counted so far.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Documents that wait.
    pub(crate) candidates: u64,
    /// Seconds it took.
    pub(crate) wall_secs: f64,
}

impl Extracted {
    /// The record of a job, if it was extracted from the same inputs with the same configuration.
    pub(crate) fn load(ctx: &StageContext, job: &Job) -> Option<Self> {
        let bytes = std::fs::read(scratch(&ctx.stage_dir, EXTRACTED, job.index, "json")).ok()?;
        let extracted: Self = serde_json::from_slice(&bytes).ok()?;
        let there = |folder: &str| scratch(&ctx.stage_dir, folder, job.index, "parquet").exists();
        (extracted.unit == job.unit.input.unit && extracted.key == key(ctx, job) && there(CANDIDATES) && there(REFUSED))
            .then_some(extracted)
    }
}

/// What the result of a job depends on.
pub(super) fn key(ctx: &StageContext, job: &Job) -> UnitKey {
    UnitKey { input_digest: job.unit.input.digest, config_digest: ctx.config_digest, format_version: FORMAT_VERSION }
}

/// Metadata of all shards of a unit.
pub(super) fn meta(ctx: &StageContext, job: &Job) -> ShardMeta {
    ShardMeta {
        stage: NAME.to_owned(),
        config_digest: ctx.config_digest.to_string(),
        extra: BTreeMap::from([("source".to_owned(), job.unit.source.clone())]),
    }
}

/// A shard that is written in batches of [`WRITE_ROWS`] whatever it is handed.
#[derive(Debug)]
pub(super) struct Sink {
    writer: ShardWriter,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Sink {
    pub(super) fn create(path: &std::path::Path, table: &TableSchema, meta: &ShardMeta) -> Result<Self, Error> {
        let writer = ShardWriter::create(path, table, meta)?;
        Ok(Self { writer, schema: table.arrow.clone(), waiting: Vec::new(), rows: 0, bytes: 0 })
    }

    /// Adds rows; columns behind those of the table are left out.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = batch.columns()[..self.schema.fields().len()].to_vec();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        let sizes = row_bytes(&batch);
        let mut from = 0;
        for (row, bytes) in sizes.into_iter().enumerate() {
            self.rows += 1;
            self.bytes += bytes;
            if self.rows >= WRITE_ROWS || self.bytes >= WRITE_BYTES {
                self.waiting.push(batch.slice(from, row + 1 - from));
                from = row + 1;
                self.flush()?;
            }
        }
        if from < batch.num_rows() {
            self.waiting.push(batch.slice(from, batch.num_rows() - from));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        (self.rows, self.bytes) = (0, 0);
        if !self.waiting.is_empty() {
            self.writer.write(&concat_batches(&self.schema, &std::mem::take(&mut self.waiting))?)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, dir: &StageDir) -> Result<OutputFile, Error> {
        self.flush()?;
        Ok(self.writer.finish(dir)?)
    }
}

/// Bytes of each row's `text`.
fn row_bytes(batch: &RecordBatch) -> Vec<usize> {
    let texts = batch.column_by_name("text").and_then(|column| column.as_any().downcast_ref::<StringArray>());
    (0..batch.num_rows()).map(|i| texts.filter(|texts| texts.is_valid(i)).map_or(0, |texts| texts.value(i).len())).collect()
}

/// The open shards of a unit while its pages are cleaned.
#[derive(Debug)]
pub(super) struct Output {
    source: String,
    started: Instant,
    documents: Sink,
    rejected: Rejected,
    /// There if the decision is still to come.
    signed: Option<Signed>,
    kept: Rows<Document>,
    refused: Rows<Refused>,
    /// What extraction found, where it is to be kept.
    side: Option<ShardWriter>,
    stored: Rows<Stored>,
    seq: u64,
    counts: BTreeMap<String, u64>,
    /// Time of reading the input.
    read: Duration,
    /// Time by step, in the order of [`Spent::steps`].
    spent: [Duration; Spent::STEPS],
}

/// Rows that wait for a batch, with their numbers in the unit.
#[derive(Debug)]
struct Rows<T> {
    rows: Vec<T>,
    seq: Vec<u64>,
    bytes: usize,
}

impl<T> Rows<T> {
    const NEW: Self = Self { rows: Vec::new(), seq: Vec::new(), bytes: 0 };

    /// Adds a row; true if it is time to write.
    fn push(&mut self, row: T, seq: u64, bytes: usize) -> bool {
        self.rows.push(row);
        self.seq.push(seq);
        self.bytes += bytes;
        self.rows.len() >= WRITE_ROWS || self.bytes >= WRITE_BYTES
    }
}

/// Signatures of a unit: their side table and their keys.
#[derive(Debug)]
struct Signed {
    config: DedupConfig,
    table: ShardWriter,
    keys: RunWriter,
    rows: Vec<(String, Signature)>,
}

impl Output {
    pub(super) fn create(ctx: &StageContext, job: &Job, config: &Config, side: Option<&ShardMeta>) -> Result<Self, Error> {
        let dedup = &config.dedup;
        let (dir, meta) = (&ctx.stage_dir, meta(ctx, job));
        let (documents, rejected) = (schema::documents(), schema::rejected());
        let (documents, rejected, signed) = if dedup.enabled {
            // Whatever stood there is of other inputs: the record goes first.
            forget(dir, job.index)?;
            let at = |folder| scratch(dir, folder, job.index, "parquet");
            let side = ShardWriter::create(&dir.side_shard(table::FOLDER, job.index), &table::signature_schema(dedup), &meta)?;
            let signed = Signed { config: dedup.clone(), table: side, keys: RunWriter::default(), rows: Vec::new() };
            let documents = Sink::create(&at(CANDIDATES), &waiting(&documents), &meta)?;
            // All wait: the order of the file comes with the decision, and so does the cap.
            (documents, Rejected::all(Sink::create(&at(REFUSED), &waiting(&rejected), &meta)?), Some(signed))
        } else {
            let rejected = Rejected::create(ctx, job, config)?;
            (Sink::create(&dir.data_shard(job.index), &documents, &meta)?, rejected, None)
        };
        let side = side.map(|meta| ShardWriter::create(&dir.side_shard(extracted::FOLDER, job.index), &extracted::schema(), meta));
        Ok(Self {
            source: job.unit.source.clone(),
            started: Instant::now(),
            documents,
            rejected,
            signed,
            kept: Rows::NEW,
            refused: Rows::NEW,
            side: side.transpose()?,
            stored: Rows::NEW,
            seq: 0,
            counts: BTreeMap::new(),
            read: Duration::ZERO,
            spent: [Duration::ZERO; Spent::STEPS],
        })
    }

    /// Adds time of reading.
    pub(super) fn read(&mut self, time: Duration) {
        self.read += time;
    }

    /// Counts a record; rows that come of it get its number.
    pub(super) fn record(&mut self, spent: Spent) {
        self.seq += 1;
        add(&mut self.counts, "records", 1);
        for (sum, (_, step)) in self.spent.iter_mut().zip(spent.steps()) {
            *sum += step;
        }
    }

    /// Keeps what extraction found of a record.
    pub(super) fn store(&mut self, stored: Option<Stored>) -> Result<(), Error> {
        let Some(stored) = stored else { return Ok(()) };
        let bytes = if let Stored::Page(page) = &stored { page.text.len() } else { 0 };
        if self.stored.push(stored, self.seq, bytes) { self.flush_stored() } else { Ok(()) }
    }

    fn flush_stored(&mut self) -> Result<(), Error> {
        let stored = std::mem::replace(&mut self.stored, Rows::NEW);
        if let Some(side) = &mut self.side {
            side.write(&extracted::batch(&stored.rows)?)?;
        }
        Ok(())
    }

    pub(super) fn other(&mut self) {
        add(&mut self.counts, "records.other", 1);
    }

    /// Adds a document that passed everything that looks at it alone.
    pub(super) fn document(&mut self, mut document: Document) -> Result<(), Error> {
        add(&mut self.counts, "pages", 1);
        for task in &document.contaminated {
            add(&mut self.counts, &format!("contaminated.{task}"), 1);
        }
        if let (Some(signed), Some(signature)) = (&mut self.signed, document.signature.take()) {
            add(&mut self.counts, "signatures", 1);
            signed.keys.push(&document.id, &signature)?;
            signed.rows.push((document.id.clone(), signature));
            if signed.rows.len() >= WRITE_ROWS {
                signed.flush()?;
            }
        } else {
            let counts = document.counts_if_kept();
            counts.into_iter().for_each(|(name, n)| add(&mut self.counts, name, n));
        }
        let bytes = document.page.text.len();
        if self.kept.push(document, self.seq, bytes) { self.flush_kept() } else { Ok(()) }
    }

    pub(super) fn refuse(&mut self, refused: Refused) -> Result<(), Error> {
        add(&mut self.counts, "pages", 1);
        add(&mut self.counts, "rejected", 1);
        add(&mut self.counts, &format!("rejected.{}", refused.rejection.reason), 1);
        add(&mut self.counts, &format!("bytes.{}", refused.rejection.reason), refused.text_bytes as u64);
        if let (Reason::Contaminated, Some(question)) = (refused.rejection.reason, &refused.rejection.detail) {
            let task = question.split('/').next().unwrap_or_default();
            add(&mut self.counts, &format!("contaminated.{task}"), 1);
        }
        let bytes = refused.text.as_ref().map_or(0, String::len);
        if self.refused.push(refused, self.seq, bytes) { self.flush_refused() } else { Ok(()) }
    }

    fn flush_kept(&mut self) -> Result<(), Error> {
        let Rows { rows: documents, seq, .. } = std::mem::replace(&mut self.kept, Rows::NEW);
        let batch = rows::documents(&documents, &self.source)?;
        if self.signed.is_none() {
            return self.documents.push(&batch);
        }
        let counts = documents.iter().map(|document| {
            let counts = document.counts_if_kept().into_iter().filter(|(_, n)| *n > 0);
            counts.map(|(name, n)| format!("{name}={n}")).collect::<Vec<_>>().join(" ")
        });
        self.documents.push(&numbered(&batch, seq, StringArray::from_iter_values(counts))?)
    }

    fn flush_refused(&mut self) -> Result<(), Error> {
        let Rows { rows: refused, seq, .. } = std::mem::replace(&mut self.refused, Rows::NEW);
        let batch = rows::rejected(&refused, &self.source)?;
        if self.signed.is_none() {
            return self.rejected.push(&batch);
        }
        let counts = StringArray::from_iter_values(refused.iter().map(|_| ""));
        self.rejected.push(&numbered(&batch, seq, counts)?)
    }

    /// Closes the shards. Without a decision to come the unit is finished and its entry returned; else it is recorded as extracted.
    pub(super) fn finish(mut self, ctx: &StageContext, job: &Job) -> Result<Option<UnitEntry>, Error> {
        self.flush_kept()?;
        self.flush_refused()?;
        self.flush_stored()?;
        add(&mut self.counts, "micros.read", self.read.as_micros() as u64);
        for (sum, (step, _)) in self.spent.into_iter().zip(Spent::default().steps()) {
            add(&mut self.counts, &format!("micros.{step}"), sum.as_micros() as u64);
        }
        let dir = &ctx.stage_dir;
        if let Some(side) = self.side.take() {
            side.finish(dir)?;
        }
        let (rejected, documents) = (self.rejected.finish(dir)?, self.documents.finish(dir)?);
        let wall_secs = self.started.elapsed().as_secs_f64();
        let Some(mut signed) = self.signed else {
            return Ok(Some(entry(ctx, job, documents, rejected, self.counts, wall_secs)));
        };
        signed.flush()?;
        signed.table.finish(dir)?;
        signed.keys.finish(&scratch(dir, KEYS, job.index, "bin"), job.unit.input.digest)?;
        let extracted =
            Extracted { unit: job.unit.input.unit.clone(), key: key(ctx, job), counts: self.counts, candidates: documents.rows, wall_secs };
        atomic::write_json(&scratch(dir, EXTRACTED, job.index, "json"), &extracted)?;
        Ok(None)
    }
}

impl Signed {
    fn flush(&mut self) -> Result<(), Error> {
        self.table.write(&table::batch(&std::mem::take(&mut self.rows), &self.config)?)?;
        Ok(())
    }
}

/// The manifest entry of a finished unit.
pub(super) fn entry(
    ctx: &StageContext,
    job: &Job,
    documents: OutputFile,
    rejected: OutputFile,
    counts: BTreeMap<String, u64>,
    wall_secs: f64,
) -> UnitEntry {
    UnitEntry {
        unit: job.unit.input.unit.clone(),
        batch: job.batch,
        index: job.index,
        key: key(ctx, job),
        outputs: vec![documents],
        rejected: vec![rejected],
        counts,
        wall_secs,
    }
}

/// Removes what waits of a unit, its record first; its keys stay.
pub(super) fn forget(dir: &StageDir, index: u32) -> Result<(), Error> {
    for (folder, ending) in [(EXTRACTED, "json"), (CANDIDATES, "parquet"), (REFUSED, "parquet"), (SAMPLED, "parquet")] {
        let path = scratch(dir, folder, index, ending);
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::read(&path))?;
        }
    }
    Ok(())
}

pub(super) fn add(counts: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    if n > 0 {
        *counts.entry(name.to_owned()).or_default() += n;
    }
}

fn numbered(batch: &RecordBatch, seq: Vec<u64>, counts: StringArray) -> Result<RecordBatch, Error> {
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from(seq)) as ArrayRef);
    columns.push(Arc::new(counts) as ArrayRef);
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("seq", DataType::UInt64, false)));
    fields.push(Arc::new(Field::new("counts", DataType::Utf8, false)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Digest of all units that take part in a join: their places and what they depend on.
pub(super) fn basis(members: impl Iterator<Item = (u32, Digest)>) -> Digest {
    let start = handoff::DigestBuilder::new();
    members.fold(start, |digest, (index, input)| digest.field("index", index.to_le_bytes()).field("input", input.as_bytes())).finish()
}

/// Rows by number, for slices in a new order.
pub(super) fn row_numbers(rows: impl IntoIterator<Item = usize>) -> UInt32Array {
    UInt32Array::from_iter_values(rows.into_iter().map(|row| row as u32))
}
