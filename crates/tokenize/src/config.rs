//! Configuration of `tokenize`; `default.toml` says what every key means.

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;

/// The value of `tokenizer` that asks for training.
pub(crate) const TRAIN: &str = "train";

/// `[stage.tokenize]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Stages or paths with documents.
    pub inputs: Vec<String>,
    /// `train`, or the path of a tokenizer.
    pub tokenizer: String,
    /// Train again when inputs or settings have changed.
    pub retrain: bool,
    /// Ids in all.
    pub vocab_size: usize,
    /// Special tokens held back.
    pub reserved_tokens: usize,
    /// `plain`, `chatml` or a path.
    pub chat_template: String,
    /// How text is cut before merging.
    pub pattern: Pattern,
    /// Every digit is its own piece.
    pub split_digits: bool,
    /// Every Han character is its own piece.
    pub isolate_han: bool,
    /// Least count of a merged pair.
    pub min_frequency: u64,
    /// Longest token, in bytes.
    pub max_token_bytes: usize,
    /// Most text to train on, in bytes.
    pub train_max_bytes: u64,
    /// Memory for training, in MB.
    pub max_memory_mb: u64,
    /// End token of a taken tokenizer that names none.
    pub end_token: Option<String>,
    /// Token before every document of a taken tokenizer; empty for none, absent for what the tokenizer itself adds.
    pub begin_token: Option<String>,
}

/// Published pre-tokenization patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// GPT-2.
    Gpt2,
    /// GPT-4 (cl100k_base) and Llama 3; with `split_digits`, Qwen.
    Gpt4,
    /// GPT-4o (o200k_base).
    Gpt4o,
}

/// What a trained vocabulary depends on besides the text; kept with the tokenizer and compared on every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Ids in all.
    pub vocab_size: usize,
    /// Special tokens held back.
    pub reserved_tokens: usize,
    /// How text is cut before merging.
    pub pattern: Pattern,
    /// Every digit is its own piece.
    pub split_digits: bool,
    /// Every Han character is its own piece.
    pub isolate_han: bool,
    /// Least count of a merged pair.
    pub min_frequency: u64,
    /// Longest token, in bytes.
    pub max_token_bytes: usize,
    /// Most text to train on, in bytes.
    pub train_max_bytes: u64,
}

impl Config {
    /// Whether the tokenizer is trained here.
    pub fn trains(&self) -> bool {
        self.tokenizer == TRAIN
    }

    /// The part that a trained vocabulary depends on.
    pub fn train_settings(&self) -> TrainSettings {
        TrainSettings {
            vocab_size: self.vocab_size,
            reserved_tokens: self.reserved_tokens,
            pattern: self.pattern,
            split_digits: self.split_digits,
            isolate_han: self.isolate_han,
            min_frequency: self.min_frequency,
            max_token_bytes: self.max_token_bytes,
            train_max_bytes: self.train_max_bytes,
        }
    }

    /// Least vocabulary: special and reserved tokens and the 256 bytes.
    pub fn min_vocab_size(&self) -> usize {
        text::special::ALL.len() + self.reserved_tokens + 256
    }

    /// What one field alone cannot tell.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        if self.inputs.is_empty() {
            return Err(ConfigProblem::new("inputs", "is empty: name a stage such as `crawl-clean`, or a folder of Parquet files"));
        }
        if self.trains() && self.vocab_size < self.min_vocab_size() {
            let message =
                format!("is {}, but special tokens, reserved tokens and bytes alone are {}", self.vocab_size, self.min_vocab_size());
            return Err(ConfigProblem::new("vocab_size", message));
        }
        if self.max_token_bytes < 2 {
            return Err(ConfigProblem::new("max_token_bytes", "is below 2, which leaves nothing to merge"));
        }
        if self.train_max_bytes == 0 {
            return Err(ConfigProblem::new("train_max_bytes", "is 0, which leaves nothing to train on"));
        }
        if self.max_memory_mb == 0 {
            return Err(ConfigProblem::new("max_memory_mb", "is 0, which leaves no room for a piece"));
        }
        if self.trains() && self.end_token.is_some() {
            let message = "only names the end token of a tokenizer that is taken; a trained one ends with `<|endoftext|>`";
            return Err(ConfigProblem::new("end_token", message));
        }
        if self.trains() && self.begin_token.is_some() {
            let message = "is for a tokenizer that is taken; the documents of a trained one begin after the end token before them";
            return Err(ConfigProblem::new("begin_token", message));
        }
        if !self.trains() && self.retrain {
            return Err(ConfigProblem::new("retrain", "has no effect unless `tokenizer = \"train\"`"));
        }
        Ok(())
    }
}
