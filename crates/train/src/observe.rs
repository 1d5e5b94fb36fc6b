//! Tells the stage skeleton how training goes: progress bar, `metrics.jsonl`, TensorBoard.

use stage::{Bar, CancelToken, Metrics, StageContext};

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::tensorboard::EventWriter;
use crate::trainer::{Observer, TextSample};
use crate::{Error, Result};

/// The observer of a stage.
pub struct StageObserver {
    cancel: CancelToken,
    metrics: Metrics,
    events: EventWriter,
    bar: Bar,
    done: u64,
    /// The last step whose scores on held-out rows are recorded.
    scored: Option<u64>,
    samples: PathBuf,
}

/// What the names of scores on held-out rows begin with.
const HELD_OUT: &str = "validation/";

impl StageObserver {
    /// Observes a training that goes on at `step` of `total`; what was recorded after `step` is dropped, since it comes again.
    ///
    /// # Errors
    /// When the metrics or event files cannot be written.
    pub fn new(ctx: &StageContext, step: u64, total: u64) -> Result<Self> {
        let path = ctx.stage_dir.metrics_jsonl();
        stage::truncate_after(&path, step)?;
        let samples = ctx.stage_dir.samples_jsonl();
        stage::truncate_after(&samples, step)?;
        let bar = ctx.progress.bar("train", total, "steps");
        bar.set_position(step);
        Ok(Self {
            cancel: ctx.cancel.clone(),
            // The context's own handle would go on writing to the file that was just replaced.
            metrics: Metrics::open(&path)?,
            events: EventWriter::create(&ctx.stage_dir.tb(), step)?,
            bar,
            done: step,
            scored: last_scored(&path)?,
            samples,
        })
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.bar.finish();
    }
}

impl Observer for StageObserver {
    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn has_scores(&self, step: u64) -> bool {
        self.scored == Some(step)
    }

    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        if values.iter().any(|(name, _)| name.starts_with(HELD_OUT)) {
            self.scored = Some(step);
        }
        self.metrics.log(step, values);
        self.events.scalars(step, values)
    }

    fn samples(&mut self, step: u64, samples: &[TextSample]) -> Result<()> {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(&self.samples).map_err(Error::io("open", &self.samples))?;
        for sample in samples {
            let line = serde_json::json!({ "step": step, "prompt": sample.prompt, "completion": sample.completion });
            writeln!(file, "{line}").map_err(Error::io("write", &self.samples))?;
            tracing::debug!(step, prompt = sample.prompt, completion = sample.completion, "sample");
        }
        Ok(())
    }

    fn progress(&mut self, step: u64, line: Option<&str>) {
        if let Some(line) = line {
            tracing::debug!(step, "{line}");
            self.bar.set_message(line);
        }
        self.bar.inc(step - self.done);
        self.done = step;
    }
}

/// The last step of `metrics.jsonl` that has scores on held-out rows.
fn last_scored(path: &Path) -> Result<Option<u64>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let step = |line: &str| -> Option<u64> {
        let values: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        let is_scored = values.keys().any(|name| name.starts_with(HELD_OUT));
        values.get("step")?.as_u64().filter(|_| is_scored)
    };
    Ok(text.lines().rev().find_map(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_were_recorded_are_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = StageContext::for_tests(&dir.path().join("run"), "pretrain");
        let mut observer = StageObserver::new(&ctx, 0, 40).unwrap();
        assert!(!observer.has_scores(0));
        observer.scalars(10, &[("train/loss", 2.0)]).unwrap();
        assert!(!observer.has_scores(10));
        observer.scalars(10, &[("validation/loss", 2.0)]).unwrap();
        observer.scalars(11, &[("train/loss", 1.0)]).unwrap();
        assert!(observer.has_scores(10) && !observer.has_scores(11));
        drop(observer);
        assert!(StageObserver::new(&ctx, 11, 40).unwrap().has_scores(10));
        // What comes after the step that the training goes on from is forgotten.
        assert!(!StageObserver::new(&ctx, 9, 40).unwrap().has_scores(10));
    }
}
