//! Tells the stage skeleton how training goes: progress bar, `metrics.jsonl`, TensorBoard.

use stage::{Bar, CancelToken, Metrics, StageContext};

use std::io::Write;
use std::path::PathBuf;

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
    samples: PathBuf,
}

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

    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
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
