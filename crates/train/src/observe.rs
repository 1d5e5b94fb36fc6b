//! Tells the stage skeleton how training goes: progress bar, `metrics.jsonl`, TensorBoard.

use stage::{Bar, CancelToken, Metrics, Records, StageContext};

use std::path::{Path, PathBuf};

use crate::tensorboard::EventWriter;
use crate::trainer::{Observer, TextSample};
use crate::{Error, Result};

/// The observer of a stage. What cannot be written, as on a full disk, is said once and lost, and training goes on.
pub struct StageObserver {
    cancel: CancelToken,
    metrics: Metrics,
    events: EventWriter,
    bar: Bar,
    done: u64,
    /// The last step whose scores on held-out rows are recorded.
    scored: Option<u64>,
    /// The last step whose text samples are recorded.
    sampled: Option<u64>,
    samples_path: PathBuf,
    /// Open once there are any.
    samples: Option<Records>,
}

/// What the names of scores on held-out rows begin with.
const HELD_OUT: &str = "validation/";

/// Where `samples.jsonl` has what the model made of a prompt.
const COMPLETION: &str = "completion";

impl StageObserver {
    /// Observes a training that goes on at `step` of `total`; what was recorded after `step` is dropped, since it comes again.
    ///
    /// # Errors
    /// When the metrics or event files cannot be written.
    pub fn new(ctx: &StageContext, step: u64, total: u64) -> Result<Self> {
        let path = ctx.stage_dir.metrics_jsonl();
        stage::truncate_after(&path, step)?;
        let samples_path = ctx.stage_dir.samples_jsonl();
        stage::truncate_after(&samples_path, step)?;
        let bar = ctx.progress.bar("train", total, "steps");
        bar.set_position(step);
        Ok(Self {
            cancel: ctx.cancel.clone(),
            // The context's own handle would go on writing to the file that was just replaced.
            metrics: Metrics::open(&path)?,
            events: EventWriter::create(&ctx.stage_dir.tb(), step)?,
            bar,
            done: step,
            scored: last_step_with(&path, |name| name.starts_with(HELD_OUT))?,
            sampled: last_step_with(&samples_path, |name| name == COMPLETION)?,
            samples_path,
            samples: None,
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

    fn has_samples(&self, step: u64) -> bool {
        self.sampled == Some(step)
    }

    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) {
        if values.iter().any(|(name, _)| name.starts_with(HELD_OUT)) {
            self.scored = Some(step);
        }
        self.metrics.log(step, values);
        self.events.scalars(step, values);
    }

    fn samples(&mut self, step: u64, samples: &[TextSample]) {
        let mut lines = String::new();
        for sample in samples {
            let line = serde_json::json!({ "step": step, "prompt": sample.prompt, COMPLETION: sample.completion });
            lines += &format!("{line}\n");
            tracing::debug!(step, prompt = sample.prompt, completion = sample.completion, "sample");
        }
        if self.samples.is_none() {
            match Records::open(&self.samples_path) {
                Ok(records) => self.samples = Some(records),
                Err(error) => tracing::warn!(%error, "the text samples of step {step} are not written"),
            }
        }
        // All of a step or none, so that what is there need not be counted.
        if self.samples.as_mut().is_some_and(|records| records.append(lines.as_bytes())) {
            self.sampled = Some(step);
        }
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

/// The last step of a file of lines with `step` that has such a field.
fn last_step_with(path: &Path, is_one: impl Fn(&str) -> bool) -> Result<Option<u64>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let step = |line: &str| -> Option<u64> {
        let values: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        values.get("step")?.as_u64().filter(|_| values.keys().any(|name| is_one(name)))
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
        observer.scalars(10, &[("train/loss", 2.0)]);
        assert!(!observer.has_scores(10));
        observer.scalars(10, &[("validation/loss", 2.0)]);
        observer.scalars(11, &[("train/loss", 1.0)]);
        assert!(observer.has_scores(10) && !observer.has_scores(11));
        drop(observer);
        assert!(StageObserver::new(&ctx, 11, 40).unwrap().has_scores(10));
        // What comes after the step that the training goes on from is forgotten.
        assert!(!StageObserver::new(&ctx, 9, 40).unwrap().has_scores(10));
    }

    #[test]
    fn samples_that_were_recorded_are_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = StageContext::for_tests(&dir.path().join("run"), "pretrain");
        let path = ctx.stage_dir.samples_jsonl();
        let sample = TextSample { prompt: "a".to_owned(), completion: "b".to_owned() };
        let mut observer = StageObserver::new(&ctx, 0, 40).unwrap();
        // Where they cannot be written, training goes on.
        std::fs::create_dir(&path).unwrap();
        observer.samples(5, std::slice::from_ref(&sample));
        assert!(!observer.has_samples(5));
        std::fs::remove_dir(&path).unwrap();
        observer.samples(10, &[sample.clone(), sample]);
        assert!(observer.has_samples(10) && !observer.has_samples(5));
        drop(observer);
        assert!(StageObserver::new(&ctx, 11, 40).unwrap().has_samples(10));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert!(!StageObserver::new(&ctx, 9, 40).unwrap().has_samples(10));
    }
}
