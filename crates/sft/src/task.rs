//! Predicting what the assistant says.

use std::path::{Path, PathBuf};

use handoff::{Digest, DigestBuilder};
use model::{Model, Snapshot};
use tch::Kind;
use text::Tokenizer;
use train::batch::BatchPlan;
use train::checkpoint::Write;
use train::lineage::{Lineage, Phase};
use train::order::{Permutation, PhaseRows};
use train::trainer::{MakeMicro, Scores, StepBatch, Task};

use crate::config::Method;
use crate::rows::{Row, Rows, micro};

/// Steps whose rows are sorted by length together, so that rows of a batch are about equally long.
const WINDOW_STEPS: u64 = 16;

/// The task of the stage.
pub(crate) struct FineTuning {
    pub(crate) model: Model,
    pub(crate) rows: Rows,
    pub(crate) plan: BatchPlan,
    pub(crate) method: Method,
    /// Folder of the model that an adapter belongs to.
    pub(crate) base_dir: PathBuf,
    pub(crate) tokenizer: Tokenizer,
}

impl FineTuning {
    fn pad(&self) -> i64 {
        // What pads is never a target and comes after all that is, so any id will do.
        self.tokenizer.pad_id().or(self.tokenizer.eos_id()).map_or(0, i64::from)
    }

    /// A model folder's weights; with LoRA an adapter folder's, which names its base model.
    fn weights(&self) -> model::Result<Snapshot> {
        match self.method {
            Method::Full => self.model.snapshot(),
            Method::Lora => self.model.adapter_snapshot(&self.base_dir.display().to_string()),
        }
    }
}

impl Task for FineTuning {
    fn model(&self) -> &Model {
        &self.model
    }

    fn batch(&self, lineage: &Lineage, phase: &Phase, step_in_phase: u64) -> train::Result<StepBatch> {
        let lengths = |row: u64| self.rows.train[row as usize].ids.len();
        let rows = rows_of_step(&lineage.rows_of(phase), phase.steps, step_in_phase, self.plan.rows_per_step, lengths);
        let (mut parts, mut targets, mut tokens) = (Vec::new(), 0, 0);
        for part in rows.chunks(self.plan.micro_rows as usize) {
            let part: Vec<&Row> = part.iter().map(|&row| &self.rows.train[row as usize]).collect();
            targets += part.iter().map(|row| row.num_targets()).sum::<u64>();
            let batch = micro(&part, self.pad(), self.model.device())?;
            tokens += batch.ids.numel() as u64;
            parts.push(batch);
        }
        let micro = parts.into_iter().map(|part| -> MakeMicro { Box::new(move || Ok(part)) }).collect();
        Ok(StepBatch { micro, targets, tokens, rows })
    }

    fn evaluate(&self, stop: &dyn Fn() -> bool) -> train::Result<Option<Scores>> {
        let mut rows: Vec<&Row> = self.rows.validation.iter().collect();
        if rows.is_empty() {
            return Ok(Some(Vec::new()));
        }
        rows.sort_by_key(|row| row.ids.len());
        let (mut nats, mut targets) = (0.0, 0);
        for part in rows.chunks(self.plan.micro_rows as usize) {
            if stop() {
                return Ok(None);
            }
            let batch = micro(part, self.pad(), self.model.device())?;
            let nll = self.model.token_losses(&batch.ids, &batch.targets, &batch.inputs)?;
            nats += f64::try_from(nll.f_sum(Kind::Double)?)?;
            targets += part.iter().map(|row| row.num_targets()).sum::<u64>();
        }
        Ok(Some(vec![("validation/loss", nats / targets.max(1) as f64)]))
    }

    fn held_out(&self) -> Digest {
        let bytes = |values: &[i64]| values.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
        let add = |digest: DigestBuilder, row: &Row| digest.field("ids", bytes(&row.ids)).field("targets", bytes(&row.targets));
        self.rows.validation.iter().fold(DigestBuilder::new(), add).finish()
    }

    fn snapshot(&self) -> train::Result<Write> {
        let (model, files) = (self.weights()?.detached()?, self.tokenizer.files().clone());
        Ok(Box::new(move |dir: &Path| {
            model.write(dir)?;
            Ok(files.copy_to(dir)?)
        }))
    }

    fn write_model(&self, dir: &Path) -> train::Result<()> {
        self.weights()?.write(dir)?;
        Ok(self.tokenizer.files().copy_to(dir)?)
    }
}

/// The rows of a step: those of its window, sorted by length, cut into batches, in a shuffled order of batches.
///
/// Each row of the window is used exactly once; the last window of a phase is as short as the phase needs.
fn rows_of_step(order: &PhaseRows, steps: u64, step: u64, batch_rows: u64, length: impl Fn(u64) -> usize) -> Vec<u64> {
    let window = step / WINDOW_STEPS;
    let window_steps = WINDOW_STEPS.min(steps - window * WINDOW_STEPS);
    let first = window * WINDOW_STEPS * batch_rows;
    let mut rows: Vec<u64> = (first..first + window_steps * batch_rows).map(|position| order.at_position(position)).collect();
    rows.sort_by_key(|&row| (length(row), row));
    // Any key that differs between windows will do; the rows themselves were drawn with the seed.
    let batch = Permutation::new(window_steps, window.wrapping_mul(0x9e37_79b9_7f4a_7c15)).at(step % WINDOW_STEPS);
    rows[(batch * batch_rows) as usize..((batch + 1) * batch_rows) as usize].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_a_pass_and_batches_are_even() {
        let order = PhaseRows::new(0, 96, 0.0, &[Digest::of_bytes(b"d")], 1);
        let length = |row: u64| (row % 48) as usize;
        // 96 rows in batches of 4 are 24 steps: one window of 16 and one of 8.
        let steps: Vec<Vec<u64>> = (0..24).map(|step| rows_of_step(&order, 24, step, 4, length)).collect();
        let mut all: Vec<u64> = steps.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..96).collect::<Vec<_>>());
        let spread = |rows: &[u64]| {
            let lengths: Vec<usize> = rows.iter().map(|&r| length(r)).collect();
            lengths.iter().max().unwrap() - lengths.iter().min().unwrap()
        };
        let mean = steps.iter().map(|s| spread(s)).sum::<usize>() as f64 / 24.0;
        assert!(mean < 10.0, "rows of a batch differ by {mean} tokens on average, about 29 without sorting");
        let first: Vec<usize> = steps.iter().map(|s| length(s[0])).collect();
        assert!(!first[..16].is_sorted(), "batches are not in order of length: {first:?}");
    }
}
