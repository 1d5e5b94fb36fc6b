//! Checkpoints written beside training.

use std::fs;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Best, Checkpoints, Losses, State, read_state, window_path};
use crate::{Error, Result};

/// Checkpoints in a row that may fail to be written: with the pauses between them, some four minutes.
const MOST_FAILURES: u32 = 9;

/// What fills a directory with files.
pub type Write = Box<dyn FnOnce(&Path) -> Result<()> + Send>;

/// Writes checkpoints on a thread of its own, one at a time. One that cannot be written is said, and training goes on; the next is tried
/// after a pause that doubles each time, and only when that does not help either is it an error.
#[derive(Debug)]
pub struct Writer {
    checkpoints: Checkpoints,
    running: Option<JoinHandle<Result<()>>>,
    /// Failures since one was written, and when to try again.
    failures: u32,
    again: Option<Instant>,
    /// The best checkpoint, where that could not be written down.
    unmarked: Option<Best>,
}

impl Writer {
    /// A writer of `checkpoints`.
    pub fn new(checkpoints: Checkpoints) -> Self {
        Self { checkpoints, running: None, failures: 0, again: None, unmarked: None }
    }

    /// Begins to write a checkpoint, as [`Checkpoints::save`]; waits for the one before.
    ///
    /// # Errors
    /// Too many failures in a row, or a thread that cannot be started.
    pub fn save(&mut self, state: State, keep_all: bool, write: impl FnOnce(&Path) -> Result<()> + Send + 'static) -> Result<()> {
        if let Err(error) = self.finish() {
            self.failed(error)?;
        }
        self.mark_again();
        let checkpoints = self.checkpoints.clone();
        let work = move || checkpoints.save(state, keep_all, write).map(drop);
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work).map_err(|source| Error::Thread { source })?;
        self.running = Some(thread);
        Ok(())
    }

    /// Writes a checkpoint at once, as [`Checkpoints::save`], after the one before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_now(&mut self, state: State, keep_all: bool, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if let Err(error) = self.finish() {
            self.failed(error)?;
        }
        self.mark_again();
        self.checkpoints.save(state, keep_all, write)?;
        (self.failures, self.again) = (0, None);
        Ok(())
    }

    /// Looks how the last one went, without waiting for it: true where one is to be written again now.
    ///
    /// # Errors
    /// Too many failures in a row.
    pub fn poll(&mut self) -> Result<bool> {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished)
            && let Err(error) = self.finish()
        {
            self.failed(error)?;
        }
        Ok(self.running.is_none() && self.again.is_some_and(|again| Instant::now() >= again))
    }

    fn failed(&mut self, error: Error) -> Result<()> {
        self.failures += 1;
        if self.failures >= MOST_FAILURES {
            return Err(error);
        }
        let pause = Duration::from_secs(1 << (self.failures - 1).min(6));
        self.again = Some(Instant::now() + pause);
        let (reason, secs) = (with_causes(&error), pause.as_secs());
        tracing::warn!("the last checkpoint was not written ({reason}); training goes on, the next try is in {secs} s");
        Ok(())
    }

    /// Whether the checkpoint of just this step of this training is there.
    pub fn holds(&self, state: &State) -> bool {
        let there = read_state(&self.checkpoints.stage_dir.checkpoint(state.step));
        there.is_ok_and(|there| (there.generation, there.step) == (state.generation, state.step))
    }

    /// The losses that the checkpoint of this step has. It may be of an earlier generation: one that a longer training goes on from.
    pub fn losses(&self, step: u64) -> Option<Losses> {
        serde_json::from_slice(&fs::read(window_path(&self.checkpoints.stage_dir.checkpoint(step))).ok()?).ok()
    }

    /// Waits until the last one is safe.
    ///
    /// # Errors
    /// What went wrong with it.
    pub fn finish(&mut self) -> Result<()> {
        let Some(thread) = self.running.take() else { return Ok(()) };
        thread.join().map_err(|_| Error::WriterEnded)??;
        (self.failures, self.again) = (0, None);
        Ok(())
    }

    /// As [`Checkpoints::mark_if_best`], once the last one is safe; one that was not written is not marked. A mark that cannot be
    /// written is said, and tried again before the next checkpoint takes the place of an old one.
    ///
    /// # Errors
    /// Too many failures in a row.
    pub fn mark_if_best(&mut self, candidate: Best) -> Result<()> {
        if let Err(error) = self.finish() {
            return self.failed(error);
        }
        self.mark_again();
        if let Err(error) = self.checkpoints.mark_if_best(&candidate) {
            let Best { metric, value, step, .. } = &candidate;
            tracing::warn!("{metric} {value:.4} of step {step} is not noted in `best.json` ({})", with_causes(&error));
            self.unmarked = self.unmarked.take().filter(|best| best.stands_before(&candidate)).or(Some(candidate));
        }
        Ok(())
    }

    fn mark_again(&mut self) {
        self.unmarked = self.unmarked.take().filter(|best| self.checkpoints.mark_if_best(best).is_err());
    }
}

/// An error and its causes in one line.
fn with_causes(error: &Error) -> String {
    let all = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the last checkpoint was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scored, state, steps};
    use super::super::{Keep, tensors_path};
    use super::*;
    use handoff::RunDir;

    #[test]
    fn a_save_that_fails_is_told_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 1, every: None });
        let mut writer = Writer::new(checkpoints.clone());
        assert!(!writer.poll().unwrap());
        writer.save(state(1, 5), false, |_| Err(Error::Interrupted { step: 5 })).unwrap();
        while writer.again.is_none() {
            assert!(!writer.poll().unwrap(), "not before the pause is over");
        }
        writer.again = Some(Instant::now());
        assert!(writer.poll().unwrap());
        let write = |dir: &Path| fs::write(tensors_path(dir), [1]).map_err(Error::io("write", dir));
        writer.save(state(1, 6), false, write).unwrap();
        writer.finish().unwrap();
        assert!(!writer.poll().unwrap() && writer.failures == 0);
        assert_eq!(steps(&checkpoints), [6]);
        for failure in 1..MOST_FAILURES {
            writer.save(state(1, 7), false, |_| Err(Error::Interrupted { step: 7 })).unwrap();
            assert!(writer.finish().is_err_and(|error| writer.failed(error).is_ok()), "{failure}");
        }
        writer.save(state(1, 7), false, |_| Err(Error::Interrupted { step: 7 })).unwrap();
        assert!(writer.save(state(1, 8), false, |_| Ok(())).is_err(), "in the end it is an error");
    }

    #[test]
    fn a_mark_that_cannot_be_written_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 1, every: None });
        let write = |dir: &Path| fs::write(tensors_path(dir), [1]).map_err(Error::io("write", dir));
        let mut writer = Writer::new(checkpoints.clone());
        writer.save_now(state(1, 5), false, write).unwrap();
        fs::create_dir(checkpoints.best_path()).unwrap();
        writer.mark_if_best(scored(1, 5, 2.0, b"a")).unwrap();
        assert_eq!(checkpoints.best(1), None);
        fs::remove_dir(checkpoints.best_path()).unwrap();
        writer.save_now(state(1, 6), false, write).unwrap();
        assert_eq!(checkpoints.best(1).map(|best| best.step), Some(5));
        assert_eq!(steps(&checkpoints), [5, 6], "the best is kept");
    }
}
