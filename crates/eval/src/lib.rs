//! Stage `eval`: questions put to models, scored, and shown side by side.
//!
//! # Input
//! - Models: Hugging Face directories, from `pretrain`, `sft` and its variants, or anywhere.
//! - Task files: JSONL as `corpus::TaskRow` reads it; `answer_type` among the further keys names the kind of answer.
//! - The validation split of `shard`, for bits per byte.
//!
//! # Output
//! - `data/<model>.<task>.parquet`: one row a question, table [`handoff::schema::eval_rows`]. The questions of the
//!   configuration are there too, as tasks `questions` and `continuations`.
//! - `likelihood/<model>.validation.parquet`: one row a validation sample, table [`rows::likelihoods`].
//! - `results.json`: an array of [`results::ResultRow`], computed from those rows and from nothing else.
//!   | field | meaning |
//!   |---|---|
//!   | `model`, `task` | names; a task's part in one language is `<task>_en`, `<task>_zh`, the validation split `validation` |
//!   | `metric` | `exact_match`, `in_type_rate` (of the right kind, right or wrong), `stop_rate` (ended by itself), `exact_match_difference` (less the baseline's), `bits_per_byte` |
//!   | `value`, `stderr`, `num_samples` | the figure, its standard error clustered by subject, how many samples |
//!   | `chance`, `majority` | with `exact_match`: picking a known answer of the kind at random; always giving each relation's most frequent answer |
//!   | `baseline`, `p_value` | with `exact_match_difference`: the model compared with, and the exact McNemar test |
//! - `report.html`: one self-contained page; the same scores and answers as a table on stdout.
//!
//! # Units
//! One unit is a model on a task. Its key is what the answers depend on: weights, architecture, tokenizer and chat template;
//! questions, accepted answers and answer types; longest answer, batch size and arithmetic. A change redoes exactly the units it touches.
//!
//! # Invariants
//! - **Every figure of the report is computed from rows that are kept.**
//! - **Nothing is hard-coded about which model should win.**
//! - Answers are greedy, so the same model, thread count and kind of device give the same rows.

pub mod answer;
pub mod ask;
mod config;
mod error;
pub mod facts;
pub mod history;
pub mod models;
pub mod report;
pub mod results;
pub mod rows;
mod run;
pub mod stats;
pub mod tasks;
pub mod terminal;
pub mod validation;
pub mod width;

use stage::{ConfigProblem, DryRun, Report, Stage, StageContext, StageError};

pub use config::{Config, Dtype, ModelConfig, ShowQuestion};
pub use error::Error;

/// The stage.
#[derive(Debug)]
pub struct Eval;

impl Stage for Eval {
    type Config = Config;
    const NAME: &'static str = "eval";
    const ABOUT: &'static str = "Puts questions to models, scores the answers and shows them side by side";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        run::dry_run(ctx, config)
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        run::run(ctx, config)
    }
}
