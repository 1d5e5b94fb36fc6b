//! Configuration of `shard`; `default.toml` says what every key means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;

/// Most copies of a document unless `max_repeats` says otherwise: up to four passes, repeated data is worth nearly what new data is
/// (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
pub(crate) const DEFAULT_MAX_REPEATS: f64 = 4.0;

/// What `max_repeats` may be at most: every copy is stored.
pub(crate) const MOST_REPEATS: f64 = 100.0;

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
    /// How often documents are trained on, by source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// How often documents are trained on, by language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub language_weights: BTreeMap<String, f64>,
    /// Most copies of a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_repeats: Option<f64>,
    /// Rows of a Parquet row group.
    pub row_group_rows: usize,
    /// How token ids are stored.
    #[serde(default, skip_serializing_if = "TokenEncoding::is_default")]
    pub token_encoding: TokenEncoding,
    /// Memory for token ids, in MB.
    pub max_memory_mb: u64,
}

/// How documents fill rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// Back to back, cut wherever a row is full.
    Concat,
    /// Whole where they can be; no token is lost.
    BestFit,
    /// Every row begins with a document's beginning; what does not fit is lost.
    BosAligned,
}

/// How Parquet stores token ids; the rows are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenEncoding {
    /// Lowest bytes first, then the next ones, `BYTE_STREAM_SPLIT`.
    #[default]
    SplitBytes,
    /// As places in a dictionary of the row group, `RLE_DICTIONARY`.
    Dictionary,
}

impl TokenEncoding {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Packing {
    /// Its name in the configuration and in file metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::BestFit => "best-fit",
            Self::BosAligned => "bos-aligned",
        }
    }
}

impl Config {
    /// Most copies of a document.
    pub fn max_repeats(&self) -> f64 {
        self.max_repeats.unwrap_or(DEFAULT_MAX_REPEATS)
    }

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
        // Arrow counts the items of a list column in 32 bits.
        if (self.seq_len + 1).saturating_mul(self.row_group_rows) > i32::MAX as usize {
            let most = i32::MAX as usize / (self.seq_len + 1);
            return Err(ConfigProblem::new(
                "row_group_rows",
                format!("is {}; rows of {} fit {most} times", self.row_group_rows, self.seq_len),
            ));
        }
        if self.max_memory_mb == 0 {
            return Err(ConfigProblem::new("max_memory_mb", "is 0"));
        }
        self.validate_mixture()
    }

    fn validate_mixture(&self) -> Result<(), ConfigProblem> {
        for (key, weights) in [("weights", &self.weights), ("language_weights", &self.language_weights)] {
            for (name, weight) in weights {
                if !(weight.is_finite() && *weight >= 0.0) {
                    return Err(ConfigProblem::new(format!("{key}.{name}"), format!("is {weight}; it is how often a document is seen")));
                }
            }
        }
        let most = self.max_repeats();
        if !(1.0..=MOST_REPEATS).contains(&most) {
            return Err(ConfigProblem::new("max_repeats", format!("is {most}; it is from 1 to {MOST_REPEATS}")));
        }
        if self.max_repeats.is_some() && self.weights.is_empty() && self.language_weights.is_empty() {
            return Err(ConfigProblem::new("max_repeats", "has no effect without `weights` or `language_weights`"));
        }
        Ok(())
    }
}
