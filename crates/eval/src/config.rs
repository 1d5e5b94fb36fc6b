//! What the stage is told to do; `default.toml` beside this file documents every key.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;

/// `[stage.eval]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The models to compare, in the order of tables and charts.
    pub models: Vec<ModelConfig>,
    /// Task files (JSONL), relative to the configuration file.
    pub tasks: Vec<String>,
    /// A file with all known answers of each relation and language, relative to the configuration file; without it those of the tasks.
    pub answer_types: Option<String>,
    /// At most so many questions of each task, evenly spaced; without it all.
    pub max_questions: Option<u64>,
    /// The `shard` stage whose validation split gives bits per byte; without it that metric is left out.
    pub validation: Option<String>,
    /// Whether validation tokens see only earlier tokens of their own document; say what `pretrain` says.
    pub document_mask: bool,
    /// Name of the model that the others are compared with, question by question; without it the first of `models` that answers best.
    pub baseline: Option<String>,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Tokens of a batch, questions and answers with padding: bounds the memory of the cache.
    pub batch_tokens: usize,
    /// Arithmetic of the forward pass.
    pub dtype: Dtype,
    /// Questions that every model is asked for the side-by-side page, whatever the tasks are.
    pub questions: Vec<ShowQuestion>,
    /// Further side-by-side questions taken from each task, for each language.
    pub questions_per_task: usize,
    /// Wrong answers shown for each model in the report.
    pub wrong_examples: usize,
}

/// One model to evaluate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name in results and report.
    pub name: String,
    /// A stage (`pretrain`), a variant (`sft/lora`), or the path of a Hugging Face model directory.
    pub from: String,
    /// Keep the shape and the tokenizer of `from` but draw the weights anew: the untrained model.
    #[serde(default)]
    pub random: bool,
}

/// A question for the side-by-side page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowQuestion {
    /// The question, asked in chat form.
    pub question: String,
    /// The same as the beginning of a sentence, for a model that only continues text.
    pub plain: Option<String>,
    /// Accepted answers, the first is shown as the right one; none means that nothing is marked right or wrong.
    #[serde(default)]
    pub answers: Vec<String>,
}

/// Arithmetic of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats: results do not depend on how questions are batched, up to rounding of the sums.
    Float32,
    /// bfloat16 weights and activations.
    Bfloat16,
}

impl Config {
    /// Refuses what could not be evaluated or would silently be ignored.
    ///
    /// # Errors
    /// Names the key and what is wrong with it.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: String| Err(ConfigProblem { key: key.to_owned(), message });
        if self.models.is_empty() {
            return problem("models", "needs at least one model".into());
        }
        let mut names = BTreeSet::new();
        for model in &self.models {
            let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if model.name.is_empty() || model.name.len() > 60 || !model.name.chars().all(fit) || model.name.starts_with('.') {
                return problem(
                    "models",
                    format!("name `{}` must be 1 to 60 letters, digits, `-`, `_` or `.`: it becomes part of file names", model.name),
                );
            }
            if !names.insert(model.name.as_str()) {
                return problem("models", format!("name `{}` is given twice", model.name));
            }
        }
        if self.tasks.is_empty() && self.questions.is_empty() && self.validation.is_none() {
            return problem("tasks", "there is nothing to evaluate: give `tasks`, `questions` or `validation`".into());
        }
        if let Some(baseline) = &self.baseline
            && !names.contains(baseline.as_str())
        {
            return problem(
                "baseline",
                format!("`{baseline}` is none of the models: {}", names.into_iter().collect::<Vec<_>>().join(", ")),
            );
        }
        for (key, value) in [("max_new_tokens", self.max_new_tokens), ("batch_tokens", self.batch_tokens)] {
            if value == 0 {
                return problem(key, "must be at least 1".into());
            }
        }
        if self.questions.iter().any(|q| q.question.trim().is_empty()) {
            return problem("questions", "a question is empty".into());
        }
        Ok(())
    }
}
