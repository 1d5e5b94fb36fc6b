//! Configuration of `shard`; `default.toml` says what every key means.

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;

/// `[stage.shard]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Stages or paths with token ids.
    pub inputs: Vec<String>,
    /// The tokenizer that made them; that of the first input stage by default.
    pub tokenizer: Option<String>,
    /// Predicted tokens of a row.
    pub seq_len: usize,
    /// Share of documents held out.
    pub validation_share: f64,
    /// How documents fill rows.
    pub packing: Packing,
    /// Rows of a Parquet row group.
    pub row_group_rows: usize,
    /// Memory for token ids, in MB.
    pub max_memory_mb: u64,
}

/// How documents fill rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// Back to back, cut wherever a row is full.
    Concat,
}

impl Packing {
    /// Its name in the configuration and in file metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
        }
    }
}

impl Config {
    /// What one field alone cannot tell.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        if self.inputs.is_empty() {
            return Err(ConfigProblem::new("inputs", "is empty: name a stage such as `tokenize`, or a folder of Parquet files"));
        }
        if self.seq_len == 0 || self.seq_len >= i32::MAX as usize {
            return Err(ConfigProblem::new("seq_len", format!("is {}; a row predicts at least one token", self.seq_len)));
        }
        if !(0.0..1.0).contains(&self.validation_share) {
            return Err(ConfigProblem::new("validation_share", format!("is {}; it is a share, from 0 to below 1", self.validation_share)));
        }
        if self.row_group_rows == 0 {
            return Err(ConfigProblem::new("row_group_rows", "is 0"));
        }
        if self.max_memory_mb == 0 {
            return Err(ConfigProblem::new("max_memory_mb", "is 0"));
        }
        Ok(())
    }
}
