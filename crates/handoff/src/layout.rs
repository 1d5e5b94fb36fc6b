//! Where things stand under a run directory.
//!
//! ```text
//! runs/<run>/
//!   effective.toml  .digests.json
//!   <stage>/ data/ rejected/ manifest/<unit>.json manifest.json ingest.jsonl stamp.json log.jsonl metrics.jsonl .lock
//!            and, by stage, tokenizer/ checkpoints/ model/ adapter/ tb/ transcript/ results.json report.html
//!   <stage>/<variant>/  the same for a variant
//! ```

use std::path::{Path, PathBuf};

/// A run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Takes a path as a run directory; nothing is created.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration that was really used, all stages together.
    pub fn effective_toml(&self) -> PathBuf {
        self.0.join("effective.toml")
    }

    /// Remembered digests of input files.
    pub fn digest_cache_json(&self) -> PathBuf {
        self.0.join(".digests.json")
    }

    /// A stage's directory.
    pub fn stage(&self, stage: &str) -> StageDir {
        StageDir { name: stage.to_owned(), path: self.0.join(stage) }
    }

    /// The directory of a variant of a stage.
    pub fn variant(&self, stage: &str, variant: &str) -> StageDir {
        StageDir { name: format!("{stage}/{variant}"), path: self.0.join(stage).join(variant) }
    }

    /// A stage or a variant by its reference: `sft` or `sft/lora`.
    pub fn reference(&self, reference: &str) -> StageDir {
        match reference.split_once('/') {
            Some((stage, variant)) => self.variant(stage, variant),
            None => self.stage(reference),
        }
    }
}

/// The directory of a stage, or of a variant of one, in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageDir {
    name: String,
    path: PathBuf,
}

impl StageDir {
    /// The stage's name, with `/variant` for a variant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Committed Parquet shards.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Parquet shards of what was refused, with reasons.
    pub fn rejected(&self) -> PathBuf {
        self.path.join("rejected")
    }

    /// One JSON file for each finished unit.
    pub fn manifest_dir(&self) -> PathBuf {
        self.path.join("manifest")
    }

    /// A unit's own manifest file.
    pub fn unit_json(&self, unit: &str) -> PathBuf {
        self.manifest_dir().join(format!("{unit}.json"))
    }

    /// Summary of the manifest directory, rebuilt from it.
    pub fn manifest_json(&self) -> PathBuf {
        self.path.join("manifest.json")
    }

    /// The order in which inputs arrived.
    pub fn ingest_jsonl(&self) -> PathBuf {
        self.path.join("ingest.jsonl")
    }

    /// What the last complete run saw and reported.
    pub fn stamp_json(&self) -> PathBuf {
        self.path.join("stamp.json")
    }

    /// Every event from debug level on.
    pub fn log_jsonl(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// Scalars over time.
    pub fn metrics_jsonl(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Text that a model in training goes on with, over time.
    pub fn samples_jsonl(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// The lock of one worker; worker 0 of 1 holds the stage's own.
    pub fn lock(&self, worker: usize) -> PathBuf {
        self.path.join(if worker == 0 { ".lock".to_owned() } else { format!(".lock-{worker}") })
    }

    /// The `index`-th data shard: `data/00000.parquet`.
    pub fn data_shard(&self, index: u32) -> PathBuf {
        self.data().join(format!("{index:05}.parquet"))
    }

    /// A data shard of one split: `data/train-00000.parquet`.
    pub fn split_shard(&self, split: &str, index: u32) -> PathBuf {
        self.data().join(format!("{split}-{index:05}.parquet"))
    }

    /// The rejected rows of the `index`-th unit.
    pub fn rejected_shard(&self, index: u32) -> PathBuf {
        self.rejected().join(format!("{index:05}.parquet"))
    }

    /// A side folder for facts that are no hand-off, such as `signatures`.
    pub fn side(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The `index`-th shard of a side folder.
    pub fn side_shard(&self, name: &str, index: u32) -> PathBuf {
        self.side(name).join(format!("{index:05}.parquet"))
    }

    /// Scratch space that may be deleted while no process works on the stage.
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// A file in a folder of the scratch space.
    pub fn work_file(&self, folder: &str, file: &str) -> PathBuf {
        self.work().join(folder).join(file)
    }

    /// Tokenizer files in Hugging Face layout.
    pub fn tokenizer_dir(&self) -> PathBuf {
        self.path.join("tokenizer")
    }

    /// Training checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The checkpoint of one optimizer step: `checkpoints/step-000500`.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(format!("step-{step:06}"))
    }

    /// The finished model in Hugging Face layout.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// The finished adapter in PEFT layout.
    pub fn adapter(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// TensorBoard events.
    pub fn tb(&self) -> PathBuf {
        self.path.join("tb")
    }

    /// Every request to a teacher, and every reply.
    pub fn transcript(&self) -> PathBuf {
        self.path.join("transcript")
    }

    /// Evaluation results.
    pub fn results_json(&self) -> PathBuf {
        self.path.join("results.json")
    }

    /// The page for people.
    pub fn report_html(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// A path relative to this directory, with `/` between its parts.
    pub fn relative(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.path).unwrap_or(path);
        relative.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// Back from [`StageDir::relative`].
    pub fn absolute(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_and_round_trip() {
        let stage = RunDir::new("runs/tiny").reference("sft/lora");
        assert_eq!(stage.path(), Path::new("runs/tiny/sft/lora"));
        assert_eq!(stage.name(), "sft/lora");
        let shard = stage.split_shard("train", 3);
        assert_eq!(stage.relative(&shard), "data/train-00003.parquet");
        assert_eq!(stage.absolute("data/train-00003.parquet"), shard);
    }
}
