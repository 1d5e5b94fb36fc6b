//! What a stage is given to run with.

use std::path::PathBuf;

use handoff::{Digest, RunDir, StageDir};

use crate::config::STAGE_NAMES;
use crate::{CancelToken, Metrics, Progress, Worker};

/// What an input key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputRef {
    /// A stage of this run, or a variant of one as `sft/lora`.
    Stage(String),
    /// A file or folder.
    Path(PathBuf),
}

/// Everything around a stage's own configuration; nothing here is global.
#[derive(Debug, Clone)]
pub struct StageContext {
    /// The run.
    pub run: RunDir,
    /// Where this stage, or this variant of it, writes.
    pub stage_dir: StageDir,
    /// Variant name, if it is one.
    pub variant: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Directory that relative paths in the configuration start from.
    pub config_dir: PathBuf,
    /// Digest of the configuration that matters to the stage's output.
    pub config_digest: Digest,
    /// At most so many units, or training steps.
    pub limit: Option<u64>,
    /// Do finished units again.
    pub force: bool,
    /// Remove the outputs of vanished inputs.
    pub prune: bool,
    /// Training: ignore checkpoints.
    pub fresh: bool,
    /// Threads asked for on the command line.
    pub threads: Option<usize>,
    /// This process's share.
    pub worker: Worker,
    /// Whether a clean stop was asked for.
    pub cancel: CancelToken,
    /// The part of the stage's work asked for with `--phase`; `None` for all of it.
    pub phase: Option<String>,
    /// Progress bars.
    pub progress: Progress,
    /// `metrics.jsonl`.
    pub metrics: Metrics,
}

impl StageContext {
    /// What a reference key names: a stage where the first part is a stage's name, otherwise a path relative to the configuration file.
    pub fn resolve(&self, text: &str) -> InputRef {
        let stage = text.split_once('/').map_or(text, |(stage, _)| stage);
        if STAGE_NAMES.contains(&stage) { InputRef::Stage(text.to_owned()) } else { InputRef::Path(self.path(text)) }
    }

    /// A path of the configuration, relative to its file.
    pub fn path(&self, text: &str) -> PathBuf {
        self.config_dir.join(text)
    }

    /// A context for tests: a run directory, everything else off.
    pub fn for_tests(run: &std::path::Path, stage: &str) -> Self {
        let run = RunDir::new(run);
        Self {
            stage_dir: run.stage(stage),
            run,
            variant: None,
            seed: 0,
            config_dir: PathBuf::from("."),
            config_digest: Digest::of_bytes(b"test"),
            limit: None,
            force: false,
            prune: false,
            fresh: false,
            threads: None,
            worker: Worker::SINGLE,
            cancel: CancelToken::new(),
            phase: None,
            progress: Progress::hidden(),
            metrics: Metrics::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_stages_or_paths() {
        let ctx = StageContext { config_dir: "pipelines".into(), ..StageContext::for_tests(std::path::Path::new("runs/t"), "sft") };
        assert_eq!(ctx.resolve("sft/lora"), InputRef::Stage("sft/lora".into()));
        assert_eq!(ctx.resolve("tokenize"), InputRef::Stage("tokenize".into()));
        assert_eq!(ctx.resolve("../fixtures/crawl"), InputRef::Path("pipelines/../fixtures/crawl".into()));
        assert_eq!(ctx.resolve("/data"), InputRef::Path("/data".into()));
    }
}
