//! What the report knows: scores, answers, and the story of the run that led to them.

use crate::results::{Answers, ResultRow};
use crate::tasks::Tasks;

/// Everything that the page and the terminal show.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Name of the run.
    pub run: String,
    /// The models in their order.
    pub models: Vec<ModelFacts>,
    /// The model the others are compared with.
    pub baseline: Option<String>,
    /// All rows of `results.json`.
    pub results: &'a [ResultRow],
    /// The tasks.
    pub tasks: &'a Tasks,
    /// All answers.
    pub answers: &'a Answers,
    /// Questions for the side-by-side table.
    pub shown: Vec<Shown>,
    /// Loss over steps of each training stage that the models came from.
    pub training: Vec<Training>,
    /// The data stages in order.
    pub data: Vec<DataStage>,
    /// Wrong answers to show for each model.
    pub wrong_examples: usize,
}

impl Facts<'_> {
    /// The value of a metric.
    pub fn value(&self, model: &str, task: &str, metric: &str) -> Option<f64> {
        crate::results::find(self.results, model, task, metric).map(|r| r.value)
    }
}

/// A model.
#[derive(Debug, Clone, Default)]
pub struct ModelFacts {
    /// Name.
    pub name: String,
    /// Stage, variant or path it comes from.
    pub from: String,
    /// True for weights drawn anew.
    pub random: bool,
    /// Parameters stored in its weight files.
    pub params: Option<u64>,
    /// Parameters in its adapter, for a model made with one: the ones that were trained.
    pub adapter_params: Option<u64>,
}

/// A question with the answers of all models.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Where it comes from: a task name, or `questions` for those of the configuration.
    pub task: String,
    /// The question, or the beginning of a sentence that was to be continued.
    pub prompt: String,
    /// True when the text was continued instead of a question asked.
    pub plain: bool,
    /// The right answer, if one is known.
    pub target: Option<String>,
    /// One answer a model, in the order of the models; `None` where it was not asked.
    pub answers: Vec<Option<Given>>,
}

/// A model's answer to a shown question.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The text.
    pub text: String,
    /// Right or wrong, where that is known.
    pub correct: Option<bool>,
}

/// The losses of a training stage.
#[derive(Debug, Clone, Default)]
pub struct Training {
    /// Stage or variant.
    pub stage: String,
    /// Mean loss of a step's tokens, in nats.
    pub train: Vec<(f64, f64)>,
    /// Loss on the validation split, in nats.
    pub validation: Vec<(f64, f64)>,
    /// What it made of the prompts that were put to it while it learned: step, prompt, completion.
    pub samples: Vec<(u64, String, String)>,
}

/// What a data stage did.
#[derive(Debug, Clone, Default)]
pub struct DataStage {
    /// Stage name.
    pub name: String,
    /// Units committed.
    pub units: u64,
    /// Rows kept.
    pub kept: u64,
    /// Rows refused, by reason, most frequent first.
    pub rejected: Vec<(String, u64)>,
    /// Bytes of its shards.
    pub bytes: u64,
    /// Further counts of its manifest.
    pub counts: Vec<(String, u64)>,
}
