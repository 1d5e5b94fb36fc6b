//! The decision on the documents of one unit, and its final shards.

use super::output::{CANDIDATES, Extracted, REFUSED, Sink, WRITE_ROWS, add, entry, forget, meta, row_numbers, scratch, waiting};
use super::rejected::Rejected;
use crate::config::Config;
use crate::dedup::decide::{Decision, Judge};
use crate::dedup::join::Edges;
use crate::dedup::spans::{self, Removed};
use crate::error::Error;
use crate::page::{Cleaner, Refused};
use crate::reason::{Reason, Rejection};
use crate::rows;
use crate::units::Job;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt64Type;
use handoff::{ShardReader, UnitEntry, columns, schema};
use stage::StageContext;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Writes the final shards of an extracted unit and returns its entry, which is to be committed next.
///
/// # Errors
/// If scratch files or keys cannot be read, or the disk refuses.
pub(crate) fn decide(
    ctx: &StageContext,
    config: &Config,
    cleaner: &Cleaner<'_>,
    job: &Job,
    extracted: &Extracted,
    edges: &Edges,
    judge: &Judge<'_>,
) -> Result<UnitEntry, Error> {
    let started = Instant::now();
    let dir = &ctx.stage_dir;
    let decisions = judge.unit(&edges.of_unit(job.index)?)?;
    let meta = meta(ctx, job);
    let mut unit = Unit {
        config,
        cleaner,
        source: &job.unit.source,
        decisions,
        counts: extracted.counts.clone(),
        documents: Sink::create(&dir.data_shard(job.index), &schema::documents(), &meta)?,
        rejected: Rejected::create(ctx, job, config)?,
    };
    let mut refused = Waiting::open(ctx, job)?;
    let candidates = ShardReader::open(&scratch(dir, CANDIDATES, job.index, "parquet"), &waiting(&schema::documents()))?;
    let mut row = 0;
    for batch in candidates.batches(WRITE_ROWS)? {
        let batch = batch?;
        for (seq, duplicate) in unit.batch(&batch, row)? {
            refused.up_to(seq, &mut unit.rejected)?;
            unit.rejected.push(&duplicate)?;
        }
        row += batch.num_rows() as u32;
    }
    refused.up_to(u64::MAX, &mut unit.rejected)?;
    if u64::from(row) != extracted.candidates {
        let path = scratch(dir, CANDIDATES, job.index, "parquet");
        return Err(Error::Signatures { path, problem: format!("{row} rows, its record says {}", extracted.candidates) });
    }
    let Unit { mut counts, documents, rejected, .. } = unit;
    let (rejected, documents) = (rejected.finish(dir)?, documents.finish(dir)?);
    add(&mut counts, "micros.decide", started.elapsed().as_micros() as u64);
    Ok(entry(ctx, job, documents, rejected, counts, extracted.wall_secs + started.elapsed().as_secs_f64()))
}

/// Commits come first, then the scratch files go.
///
/// # Errors
/// If the disk refuses.
pub(crate) fn clean_up(ctx: &StageContext, job: &Job) -> Result<(), Error> {
    forget(&ctx.stage_dir, job.index)
}

struct Unit<'a> {
    config: &'a Config,
    cleaner: &'a Cleaner<'a>,
    source: &'a str,
    decisions: HashMap<u32, Decision>,
    counts: BTreeMap<String, u64>,
    documents: Sink,
    rejected: Rejected,
}

impl Unit<'_> {
    /// Writes the documents of a batch that are kept; returns the others as rejected rows, with their numbers in the unit.
    fn batch(&mut self, batch: &RecordBatch, first_row: u32) -> Result<Vec<(u64, RecordBatch)>, Error> {
        let seqs = batch.column_by_name("seq").and_then(|column| column.as_primitive_opt::<UInt64Type>()).ok_or(Error::NotJoined)?;
        let (texts, counts) = (columns::strings(batch, "text")?, columns::strings(batch, "counts")?);
        let mut duplicates = Vec::new();
        let mut kept = Vec::new();
        let mut changed: HashMap<usize, String> = HashMap::new();
        for i in 0..batch.num_rows() {
            let rejection = match self.decisions.get(&(first_row + i as u32)) {
                None => None,
                Some(Decision::Drop(rejection)) => Some(rejection.clone()),
                Some(Decision::Keep { lines, spans, sentences }) => {
                    let removed = spans::remove(texts.value(i), lines, spans, sentences, &self.config.dedup);
                    self.removed(removed).map_or_else(Some, |text| {
                        text.into_iter().for_each(|text| drop(changed.insert(i, text)));
                        None
                    })
                }
            };
            match rejection {
                None => {
                    kept.push(i);
                    let bytes = changed.get(&i).map(|text| text.len() as u64);
                    for count in counts.value(i).split(' ') {
                        let Some((name, n)) = count.split_once('=') else { continue };
                        let n = n.parse().unwrap_or(0);
                        add(&mut self.counts, name, if name == "kept.text_bytes" { bytes.unwrap_or(n) } else { n });
                    }
                }
                Some(rejection) => duplicates.push((seqs.value(i), self.refuse(batch, i, rejection)?)),
            }
        }
        let batch = if changed.is_empty() { batch.clone() } else { with_texts(batch, &changed)? };
        if kept.len() == batch.num_rows() {
            self.documents.push(&batch)?;
        } else if !kept.is_empty() {
            self.documents.push(&take_record_batch(&batch, &row_numbers(kept))?)?;
        }
        Ok(duplicates)
    }

    /// Counts what was taken out of a text that may be kept: the new text, none if nothing was, or a rejection if too little is left.
    fn removed(&mut self, removed: Removed) -> Result<Option<String>, Rejection> {
        if removed.lines == 0 && removed.spans == 0 {
            return Ok(None);
        }
        let (left, least) = (removed.text.chars().count(), self.config.dedup.min_remaining_chars);
        if left < least {
            return Err(Rejection::measured(Reason::DuplicateText, left as f64, least as f64));
        }
        add(&mut self.counts, "removed.lines", removed.lines);
        add(&mut self.counts, "removed.spans", removed.spans);
        add(&mut self.counts, "removed.chars", removed.chars);
        Ok(Some(removed.text))
    }

    fn refuse(&mut self, batch: &RecordBatch, i: usize, rejection: Rejection) -> Result<RecordBatch, Error> {
        add(&mut self.counts, "rejected", 1);
        add(&mut self.counts, &format!("rejected.{}", rejection.reason), 1);
        let get = |name: &str| -> Result<&str, Error> { Ok(columns::strings(batch, name)?.value(i)) };
        let whole = get("text")?;
        add(&mut self.counts, &format!("bytes.{}", rejection.reason), whole.len() as u64);
        let text = Some(self.cleaner.sample(whole)).filter(|text| !text.is_empty());
        let offset = columns::i64s(batch, "source_offset")?.value(i);
        let early = Refused::early(get("url")?.to_owned(), offset, rejection);
        let refused = rows::rejected(&[Refused { id: get("id")?.to_owned(), text, text_bytes: whole.len(), ..early }], self.source)?;
        // What was measured stands in the document's row already.
        let schema = refused.schema();
        let columns = schema.fields().iter().zip(refused.columns()).map(|(field, column)| {
            let measured = batch.column_by_name("scores").filter(|_| field.name() == "scores");
            measured.map_or_else(|| column.clone(), |scores| scores.slice(i, 1))
        });
        Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
    }
}

/// The batch with other texts in some rows, and their lengths.
fn with_texts(batch: &RecordBatch, changed: &HashMap<usize, String>) -> Result<RecordBatch, Error> {
    let texts = columns::strings(batch, "text")?;
    let texts: StringArray = (0..batch.num_rows()).map(|i| Some(changed.get(&i).map_or_else(|| texts.value(i), String::as_str))).collect();
    let lengths =
        |of: fn(&str) -> usize| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..texts.len()).map(|i| of(texts.value(i)) as i64))) };
    let (chars, bytes) = (lengths(|text| text.chars().count()), lengths(str::len));
    let schema = batch.schema();
    let replaced = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match field.name().as_str() {
        "text" => Arc::new(texts.clone()) as ArrayRef,
        "num_chars" => chars.clone(),
        "num_bytes" => bytes.clone(),
        _ => column.clone(),
    });
    Ok(RecordBatch::try_new(schema.clone(), replaced.collect())?)
}

/// Rows that were refused before the decision, in order.
struct Waiting {
    batches: handoff::Batches,
    batch: Option<RecordBatch>,
    at: usize,
}

impl Waiting {
    fn open(ctx: &StageContext, job: &Job) -> Result<Self, Error> {
        let reader = ShardReader::open(&scratch(&ctx.stage_dir, REFUSED, job.index, "parquet"), &waiting(&schema::rejected()))?;
        Ok(Self { batches: reader.batches(WRITE_ROWS)?, batch: None, at: 0 })
    }

    /// Writes the rows with numbers below `seq`.
    fn up_to(&mut self, seq: u64, sink: &mut Rejected) -> Result<(), Error> {
        loop {
            if self.batch.as_ref().is_none_or(|batch| self.at == batch.num_rows()) {
                let Some(next) = self.batches.next() else { return Ok(()) };
                (self.batch, self.at) = (Some(next?), 0);
            }
            let Some(batch) = &self.batch else { return Ok(()) };
            let seqs = batch.column_by_name("seq").and_then(|column| column.as_primitive_opt::<UInt64Type>()).ok_or(Error::NotJoined)?;
            let count = seqs.values()[self.at..].partition_point(|&other| other < seq);
            if count == 0 {
                return Ok(());
            }
            sink.push(&batch.slice(self.at, count))?;
            self.at += count;
        }
    }
}
