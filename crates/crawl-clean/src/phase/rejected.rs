//! The final shard of refused rows: all of them, or of each reason a random sample.

use super::output::{SAMPLED, Sink, WRITE_ROWS, key, meta, row_numbers, scratch};
use crate::config::Config;
use crate::error::Error;
use crate::units::Job;
use arrow::array::RecordBatch;
use arrow::compute::take_record_batch;
use handoff::{Digest, OutputFile, ShardReader, StageDir, schema};
use stage::StageContext;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;

/// The rows that are handed over, in their order; under a cap a sample of each reason's, the same in every run over the same input.
#[derive(Debug)]
pub(super) struct Rejected {
    sink: Sink,
    sample: Option<Sample>,
}

/// Of each reason the rows with the smallest hashes, as many as the cap. A row that may be one of them waits in a scratch file, so that
/// memory holds two numbers for each; of `n` rows about `cap * (1 + ln(n / cap))` do.
#[derive(Debug)]
struct Sample {
    cap: usize,
    input: Digest,
    path: PathBuf,
    waiting: Sink,
    /// Rows seen and rows that wait.
    rows: (u64, u64),
    /// Hashes and places among those that wait, the largest hash on top.
    chosen: BTreeMap<String, BinaryHeap<(u64, u64)>>,
}

impl Rejected {
    /// All rows, into a sink.
    pub(super) fn all(sink: Sink) -> Self {
        Self { sink, sample: None }
    }

    /// The shard of a job.
    pub(super) fn create(ctx: &StageContext, job: &Job, config: &Config) -> Result<Self, Error> {
        let (dir, meta, table) = (&ctx.stage_dir, meta(ctx, job), schema::rejected());
        let sink = Sink::create(&dir.rejected_shard(job.index), &table, &meta)?;
        let cap = usize::try_from(config.rejected_per_reason).unwrap_or(usize::MAX);
        let sample = (cap > 0).then(|| {
            let path = scratch(dir, SAMPLED, job.index, "parquet");
            let waiting = Sink::create(&path, &table, &meta)?;
            Ok::<_, Error>(Sample { cap, input: key(ctx, job).input_digest, path, waiting, rows: (0, 0), chosen: BTreeMap::new() })
        });
        Ok(Self { sink, sample: sample.transpose()? })
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match &mut self.sample {
            None => self.sink.push(batch),
            Some(sample) => sample.push(batch),
        }
    }

    pub(super) fn finish(mut self, dir: &StageDir) -> Result<OutputFile, Error> {
        if let Some(sample) = self.sample {
            sample.finish(dir, &mut self.sink)?;
        }
        self.sink.finish(dir)
    }
}

impl Sample {
    fn push(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let reasons = handoff::columns::strings(batch, "reason")?;
        let mut kept = Vec::new();
        for (row, reason) in reasons.iter().flatten().enumerate() {
            let hash = self.hash(self.rows.0);
            self.rows.0 += 1;
            let chosen = match self.chosen.get_mut(reason) {
                Some(chosen) => chosen,
                None => self.chosen.entry(reason.to_owned()).or_default(),
            };
            if chosen.len() == self.cap {
                if chosen.peek().is_some_and(|(largest, _)| hash >= *largest) {
                    continue;
                }
                chosen.pop();
            }
            chosen.push((hash, self.rows.1));
            self.rows.1 += 1;
            kept.push(row);
        }
        self.waiting.push(&take_record_batch(batch, &row_numbers(kept))?)
    }

    fn hash(&self, row: u64) -> u64 {
        let digest = handoff::DigestBuilder::new().field("input", self.input.as_bytes()).field("row", row.to_le_bytes()).finish();
        digest.as_bytes().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// Hands the chosen rows over in their order, and removes the scratch file.
    fn finish(self, dir: &StageDir, sink: &mut Sink) -> Result<(), Error> {
        self.waiting.finish(dir)?;
        let mut chosen: Vec<u64> = self.chosen.into_values().flatten().map(|(_, row)| row).collect();
        chosen.sort_unstable();
        let mut chosen = chosen.into_iter().peekable();
        let mut first = 0;
        for batch in ShardReader::open(&self.path, &schema::rejected())?.batches(WRITE_ROWS)? {
            let batch = batch?;
            let behind = first + batch.num_rows() as u64;
            let rows = std::iter::from_fn(|| chosen.next_if(|row| *row < behind)).map(|row| (row - first) as usize);
            sink.push(&take_record_batch(&batch, &row_numbers(rows))?)?;
            first = behind;
        }
        std::fs::remove_file(&self.path).map_err(Error::read(&self.path))
    }
}
