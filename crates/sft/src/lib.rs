//! Stage `sft`: fine-tuning on conversations, with all weights or with LoRA.
//!
//! In: table `pairs` of the stage `pairs` (or .jsonl and .parquet files of the user's own), a tokenizer folder with a chat
//! template, and a model folder. Each conversation is rendered with the template; the loss is on the tokens that the
//! assistant writes, its end token included, and on nothing else.
//!
//! Out, under the stage's folder (a variant's under its own):
//!
//! | what | meaning |
//! | --- | --- |
//! | `model/` | the fine-tuned model: a Hugging Face folder with tokenizer and chat template; with LoRA, the merged one |
//! | `adapter/` | with LoRA: the adapter in PEFT layout, which names its base model |
//! | `checkpoints/step-000500/` | a model folder (with LoRA: an adapter folder), and `trainer/` with all that resuming needs |
//! | `rejected/00000.parquet` | conversations not trained on: `bad_row`, `template`, `too_long` (tokens, limit), `no_target` |
//! | `metrics.jsonl`, `tb/` | `train/loss` (nats a target), `train/learning_rate`, `train/grad_norm`, `throughput/tokens_per_sec`, `throughput/eta_secs`, `validation/loss`, by step |
//! | `manifest/model.json` | files, digests and counts; written last |
//!
//! Invariants:
//! - **The unit is the whole training**: it depends on the ordered list of data batches and on the recipe (every setting
//!   that changes the weights, tokenizer and template, the starting model, the seed). A finished training that matches is skipped;
//!   where only `weights` or files of the tokenizer that change no id are other than before, `model/` is written anew.
//! - **The same inputs and seed give the same bytes** of `model.safetensors` on the same kind of CPU with the same number
//!   of threads, also when the run was killed at any step and resumed.
//! - **A conversation without a target is never trained on**, and rows of one batch never see each other.
#![warn(missing_docs)]

mod config;
mod error;
mod pairs;
mod rows;
mod task;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use handoff::Digest;
use model::{Model, Options};
use serde_json::json;
use stage::{ConfigProblem, DryRun, DryUnit, Report, Stage, StageContext, StageError};
use text::Tokenizer;
use train::batch::BatchPlan;
use train::compute::Compute;
use train::session::{ADAPTER_SCHEMA, FinishedDir, MODEL_SCHEMA, Request, Session};
use train::source::{BaseModel, tokenizer_dir};
use train::trainer::{Outcome, Task};

pub use config::{Config, Lora, Method};
pub use error::Error;

use pairs::PairFile;
use rows::Rows;
use task::FineTuning;

/// Largest difference of logits that merging an adapter may make, in float32 (rounding alone makes about 1e-5).
pub const MERGE_TOLERANCE: f64 = 1e-3;

/// The stage.
#[derive(Debug)]
pub struct Sft;

impl Stage for Sft {
    type Config = Config;
    const NAME: &'static str = "sft";
    const ABOUT: &'static str = "Fine-tunes a model on conversations";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");
    const VARIANTS: bool = true;

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        let inputs = Inputs::open(ctx, config)?;
        let request = inputs.request(ctx, config)?;
        let over = ctx.force || ctx.fresh;
        if !over && request.finished(&ctx.stage_dir).map_err(Error::from)?.is_some() {
            return Ok(DryRun { skip: 1, ..DryRun::default() });
        }
        let rows = inputs.rows(config)?;
        let session = Session::open(&ctx.stage_dir, with_counts(request, &rows), over).map_err(Error::from)?;
        let steps = session.lineage.total_steps() - session.first_step();
        let bytes = inputs.files.iter().map(|f| f.bytes).sum();
        let todo = format!("{steps} step(s) on {} conversations, {} rejected", rows.train.len(), rows.rejected.len());
        let warnings = session.lineage.warnings(config.batch_rows, session.first_step(), &config.hyper().schedule());
        let notes = std::iter::once(todo).chain(warnings).collect();
        Ok(DryRun { todo: vec![DryUnit { unit: "model".into(), why: session.decision.to_string(), bytes }], skip: 0, notes })
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        Ok(run(ctx, config)?)
    }
}

/// What the stage reads, before anything large is read.
struct Inputs {
    files: Vec<PairFile>,
    tokenizer_dir: PathBuf,
    tokenizer: Tokenizer,
    base: BaseModel,
    shape: model::Config,
    watch: Vec<PathBuf>,
}

impl Inputs {
    fn open(ctx: &StageContext, config: &Config) -> Result<Self, Error> {
        let (files, pairs_watch) = pairs::find(ctx, &config.pairs)?;
        let tokenizer_dir = tokenizer_dir(ctx, &config.tokenizer);
        let tokenizer = Tokenizer::load(&tokenizer_dir)?;
        if tokenizer.chat_template().is_none() {
            return Err(Error::NoTemplate { tokenizer: tokenizer_dir });
        }
        let base = BaseModel::find(ctx, config.shape_from.as_ref().unwrap_or(&config.init_from), true)?;
        let shape = base.config_for(&tokenizer_dir, tokenizer.vocab_size())?;
        let limit = shape.max_position_embeddings;
        if let Some(got) = config.max_tokens.filter(|&n| n > limit as u64) {
            return Err(Error::MaxTokens { got, model: base.dir, limit });
        }
        let watch = vec![pairs_watch, tokenizer_dir.clone(), base.watch.clone()];
        Ok(Self { files, tokenizer_dir, tokenizer, base, shape, watch })
    }

    /// What is to be trained, for comparison with what was; rows are not counted yet.
    fn request(&self, ctx: &StageContext, config: &Config) -> Result<Request, Error> {
        let mut recipe = config.recipe();
        let init = if config.starts_random() {
            format!("random weights in the shape of {}", shape_digest(&self.shape))
        } else {
            self.base.digest.to_string()
        };
        recipe.insert("seed".into(), json!(ctx.seed));
        recipe.insert("tokenizer_digest".into(), json!(self.tokenizer.digest()));
        recipe.insert("template_digest".into(), json!(self.tokenizer.chat_template().map(|t| t.digest().to_owned())));
        recipe.insert("init".into(), json!(init));
        Ok(Request {
            recipe: recipe.into(),
            batches: pairs::batches(&self.files),
            policy: config.on_new_data,
            replay: config.replay,
            horizon: config.horizon()?,
            plan: BatchPlan::new(config.batch_rows, config.micro_batch_rows, self.limit(config) as u64)?,
            schedule: config.hyper().schedule(),
            seed: ctx.seed,
            keep: config.hyper().keep(),
            cooldown: None,
            written: json!({ "weights": config.weights, "tokenizer_files": self.tokenizer.files().digest() }),
        })
    }

    fn limit(&self, config: &Config) -> usize {
        config.max_tokens.map_or(self.shape.max_position_embeddings as usize, |n| n as usize)
    }

    fn rows(&self, config: &Config) -> Result<Rows, Error> {
        let mut batches = Vec::new();
        for group in self.files.chunk_by(|a, b| a.batch == b.batch) {
            let mut batch = Vec::new();
            for file in group {
                batch.extend(pairs::read(&file.path)?);
            }
            batches.push(batch);
        }
        let read = batches.iter().map(|b| b.len() as u64).sum();
        let rows = Rows::encode(&batches, &self.tokenizer, self.limit(config), config.validation_share);
        if rows.train.is_empty() {
            let most = rows.reasons().into_iter().max_by_key(|(_, n)| *n).map_or("none were found", |(reason, _)| reason);
            return Err(Error::NothingToTrain { read, rejected: rows.rejected.len() as u64, reason: most.to_owned() });
        }
        Ok(rows)
    }
}

/// Digest of the architecture alone, without special tokens and storage type.
fn shape_digest(shape: &model::Config) -> Digest {
    let plain =
        model::Config { bos_token_id: None, eos_token_ids: Vec::new(), pad_token_id: None, save_dtype: model::Dtype::F32, ..shape.clone() };
    Digest::of_bytes(plain.to_json().as_bytes())
}

fn with_counts(mut request: Request, rows: &Rows) -> Request {
    for (batch, &n) in request.batches.iter_mut().zip(&rows.per_batch) {
        batch.rows = n;
    }
    request
}

/// Fine-tunes, or finds that there is nothing to do.
///
/// # Errors
/// See [`Error`].
pub fn run(ctx: &StageContext, config: &Config) -> Result<Report, Error> {
    let started = Instant::now();
    let inputs = Inputs::open(ctx, config)?;
    let request = inputs.request(ctx, config)?;
    let over = ctx.force || ctx.fresh;
    if let Some(entry) = if over { None } else { request.finished(&ctx.stage_dir)? } {
        let bytes_out = entry.outputs.iter().map(|o| o.bytes).sum();
        let rejected = entry.rejected.iter().map(|o| o.rows).sum();
        return Ok(Report { inputs_skipped: 1, bytes_out, rejected, watch: inputs.watch, ..Report::default() });
    }
    let rows = match inputs.rows(config) {
        Err(error @ Error::NothingToTrain { .. }) => {
            keep_rejected(ctx, &inputs, config)?;
            return Err(error);
        }
        other => other?,
    };
    let rejected_files = rows::write_rejected(ctx, &rows.rejected)?;
    let mut session = Session::open(&ctx.stage_dir, with_counts(request, &rows), over)?;
    session.describe().iter().for_each(|line| tracing::info!("{line}"));
    let mut notes = session.changes();

    let compute = Compute::resolve(&config.device, config.precision, ctx.threads.unwrap_or(config.threads))?;
    let task = prepare(ctx, config, &inputs, rows, &compute)?;
    for line in plan_lines(config, &task, &session, &compute) {
        tracing::info!("{line}");
    }
    for line in session.lineage.warnings(config.batch_rows, session.first_step(), &config.hyper().schedule()) {
        tracing::warn!("{line}");
        notes.push(line);
    }
    let hyper = config.hyper();
    let outcome = session.train(ctx, &task, hyper.optimizer(), hyper.settings(ctx.limit), &compute)?;
    if !outcome.complete {
        notes.push(outcome.limit_note());
        return Ok(Report { notes, watch: inputs.watch, ..Report::default() });
    }
    let merge_difference = Cell::new(None);
    let adapter_dir = ctx.stage_dir.adapter();
    let write_adapter = |dir: &Path| task.write_model(dir);
    let write_model = |dir: &Path| match config.method {
        Method::Full => task.write_model(dir),
        Method::Lora => {
            merge_difference.set(Some(write_merged(&task, &adapter_dir, dir)?));
            Ok(())
        }
    };
    let model_output: FinishedDir<'_> = (MODEL_SCHEMA, ctx.stage_dir.model(), &write_model);
    let outputs = match config.method {
        Method::Full => vec![model_output],
        Method::Lora => vec![(ADAPTER_SCHEMA, adapter_dir.clone(), &write_adapter as _), model_output],
    };
    let rejected = task.rows.rejected.len() as u64;
    let entry =
        session.commit(&ctx.stage_dir, &outputs, counts(&session, &task, &outcome), rejected_files, started.elapsed().as_secs_f64())?;
    notes.extend(result_lines(&task, &session, &outcome, merge_difference.get()));
    let mut look = vec![ctx.stage_dir.model().display().to_string()];
    if rejected > 0 {
        look.push(ctx.stage_dir.rejected().display().to_string());
    }
    Ok(Report {
        inputs_done: 1,
        rows: task.rows.train.len() as u64,
        bytes_out: entry.outputs.iter().map(|o| o.bytes).sum(),
        rejected,
        notes,
        look,
        watch: inputs.watch,
        ..Report::default()
    })
}

/// Writes the rejections of a run that has nothing else to write.
fn keep_rejected(ctx: &StageContext, inputs: &Inputs, config: &Config) -> Result<(), Error> {
    let mut all = Vec::new();
    for file in &inputs.files {
        all.push(pairs::read(&file.path)?);
    }
    let rows = Rows::encode(&all, &inputs.tokenizer, inputs.limit(config), config.validation_share);
    rows::write_rejected(ctx, &rows.rejected)?;
    Ok(())
}

fn prepare(ctx: &StageContext, config: &Config, inputs: &Inputs, rows: Rows, compute: &Compute) -> Result<FineTuning, Error> {
    let options = Options { device: compute.device, compute: compute.kind, trainable: true };
    let mut model = if config.starts_random() {
        Model::new(inputs.shape.clone(), ctx.seed, &options)?
    } else {
        Model::load(&inputs.base.dir, &options)?
    };
    let tokenizer = Tokenizer::load(&inputs.tokenizer_dir)?;
    let written = model.config_mut();
    written.bos_token_id = tokenizer.bos_id().map(i64::from);
    written.eos_token_ids = tokenizer.stop_ids().iter().map(|&id| i64::from(id)).collect();
    written.pad_token_id = tokenizer.pad_id().map(i64::from);
    written.save_dtype = config.weights.dtype();
    if config.method == Method::Lora {
        model.attach_lora(&config.lora_config(), ctx.seed)?;
    }
    let longest = rows.train.iter().map(|row| row.ids.len()).max().unwrap_or(0) as u64;
    let plan = BatchPlan::new(config.batch_rows, config.micro_batch_rows, longest)?;
    Ok(FineTuning { model, rows, plan, method: config.method, base_dir: inputs.base.dir.clone(), tokenizer })
}

/// Merges the adapter in `adapter_dir` into its base model, in float32, and returns how much that changes logits.
///
/// It starts from what was just written, so an adapter that would not load again is found here.
fn write_merged(task: &FineTuning, adapter_dir: &Path, dir: &Path) -> train::Result<f64> {
    let mut merged = Model::load(&task.base_dir, &Options::cpu())?;
    merged.load_adapter(adapter_dir)?;
    let sample: Vec<&rows::Row> = task.rows.train.iter().take(8).collect();
    let batch = rows::micro(&sample, 0, merged.device())?;
    let difference = merged.merge_lora(&batch.ids)?;
    *merged.config_mut() = task.model.config().clone();
    merged.save(dir)?;
    task.tokenizer.files().copy_to(dir)?;
    if difference.is_finite() && difference <= MERGE_TOLERANCE {
        return Ok(difference);
    }
    Err(train::Error::Merge { difference, tolerance: MERGE_TOLERANCE })
}

fn trainable_line(task: &FineTuning) -> String {
    let (trainable, all) = (task.model.num_trainable(), task.model.config().num_params());
    match task.method {
        Method::Full => format!("trainable: all {all} parameters"),
        Method::Lora => {
            format!(
                "trainable: {trainable} parameters of the adapter beside {all} frozen ones, {:.2} %",
                100.0 * trainable as f64 / all as f64
            )
        }
    }
}

fn plan_lines(config: &Config, task: &FineTuning, session: &Session, compute: &Compute) -> Vec<String> {
    let rows = &task.rows;
    let targets: u64 = rows.train.iter().map(rows::Row::num_targets).sum();
    let tokens: u64 = rows.train.iter().map(|row| row.ids.len() as u64).sum();
    let reasons: Vec<String> = rows.reasons().iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    let rejected = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    let total = session.lineage.total_steps();
    vec![
        format!("start: {}", if config.starts_random() { "random weights".to_owned() } else { task.base_dir.display().to_string() }),
        trainable_line(task),
        format!(
            "data: {} conversations to train on, {} kept out, rejected: {rejected}; {targets} of {tokens} tokens are the assistant's ({:.0} %)",
            rows.train.len(),
            rows.validation.len(),
            100.0 * targets as f64 / tokens.max(1) as f64
        ),
        format!(
            "batch: {} conversations a step, horizon {total} steps, {:.1} passes",
            task.plan.rows_per_step,
            (total * task.plan.rows_per_step) as f64 / rows.train.len() as f64
        ),
        format!("compute: {} on {}, {} thread(s)", compute.precision(), compute.device_name(), compute.threads),
    ]
}

fn counts(session: &Session, task: &FineTuning, outcome: &Outcome) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::from([
        ("parameters".to_owned(), task.model.config().num_params() as u64),
        ("trainable_parameters".to_owned(), task.model.num_trainable() as u64),
        ("steps".to_owned(), session.lineage.total_steps()),
        ("steps_now".to_owned(), outcome.steps),
        ("train_rows".to_owned(), task.rows.train.len() as u64),
        ("validation_rows".to_owned(), task.rows.validation.len() as u64),
    ]);
    counts.extend(task.rows.reasons().into_iter().map(|(reason, n)| (format!("rejected.{reason}"), n)));
    counts
}

fn result_lines(task: &FineTuning, session: &Session, outcome: &Outcome, merge_difference: Option<f64>) -> Vec<String> {
    let mut text = format!("{}, {} steps", trainable_line(task), session.lineage.total_steps());
    if outcome.steps > 0 {
        text += &format!(" ({} now, {:.0} tokens/s)", outcome.steps, outcome.tokens_per_sec);
    }
    if let Some(loss) = outcome.last_loss {
        text += &format!(", training loss {loss:.3}");
    }
    for (name, value) in &outcome.scores {
        text += &format!(", {} {value:.3}", name.replace('/', " "));
    }
    let mut lines = vec![text];
    if let Some(difference) = merge_difference {
        lines.push(format!("merged model: logits differ from those of base and adapter by at most {difference:.1e}"));
    }
    for (reason, n) in task.rows.reasons() {
        lines.push(format!("{n} conversation(s) rejected: {reason}"));
    }
    lines
}
