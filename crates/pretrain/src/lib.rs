//! Stage `pretrain`: a language model of Llama layout, trained to predict the next token of packed rows.
//!
//! In: table `samples` of the stage `inputs` (splits `train` and `validation`), a tokenizer folder, and perhaps a model folder.
//! Rows are `seq_len + 1` token ids: all but the last are inputs, all but the first are targets, padding is no target.
//!
//! Out, under the stage's folder (a variant's under its own):
//!
//! | what | meaning |
//! | --- | --- |
//! | `model/` | the trained model: a Hugging Face folder with tokenizer and chat template |
//! | `checkpoints/step-000500/` | the same at a step, and `trainer/` with all that resuming needs |
//! | `checkpoints/best.json` | which of them has the lowest validation loss |
//! | `samples.jsonl` | what the model made of `sample_prompts`, by step |
//! | `metrics.jsonl`, `tb/` | `train/loss` (nats a token), `train/learning_rate`, `train/grad_norm`, `train/skipped_steps`, `throughput/tokens_per_sec`, `throughput/mfu` (of what a matrix product reaches here), `throughput/eta_secs`, `memory/peak_bytes`, `validation/loss`, `validation/bits_per_byte`, by step |
//! | `manifest/model.json` | the model's files and digests; written last |
//!
//! Invariants:
//! - **The unit is the whole training**: it depends on the ordered list of data batches and on the recipe (every setting
//!   that changes the weights, the tokenizer, the starting model, the seed). A finished training that matches is skipped;
//!   where only `weights` or files of the tokenizer that change no id are other than before, `model/` is written anew.
//! - **The same inputs and seed give the same bytes** of `model.safetensors` on the same kind of CPU with the same number
//!   of threads, also when the run was killed at any step and resumed.
//! - **New data does what `on_new_data` says, and the report says which.**
//! - The training split is held in memory, 2 bytes a token for vocabularies up to 65,536, else 4; or, where that is more than
//!   `samples_memory_mb`, read from disk. Batches are made on a thread of their own while the step before computes.
#![warn(missing_docs)]

mod config;
mod decay;
mod error;
mod inputs;
mod plan;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use handoff::{DigestBuilder, TokenWidth};
use serde_json::{Value, json};
use stage::{Command, ConfigProblem, DryRun, DryUnit, Report, Stage, StageContext, StageError};
use train::batch::BatchPlan;
use train::checkpoint::{Checkpoints, State, step_in_name};
use train::compute::Compute;
use train::lineage::{DataBatch, data_difference, recipe_difference, without_horizon};
use train::samples::{Place, Samples, forget_others};
use train::session::{Cooldown, MODEL_SCHEMA, Request, Session};
use train::trainer::{Outcome, Task, unmeasured};

pub use config::Config;
pub use error::Error;

use inputs::Inputs;
use task::Pretraining;

/// The stage.
#[derive(Debug)]
pub struct Pretrain;

impl Stage for Pretrain {
    type Config = Config;
    const NAME: &'static str = "pretrain";
    const ABOUT: &'static str = "Trains a language model on packed samples";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");
    const VARIANTS: bool = true;

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        let inputs = Inputs::open(ctx, config, false)?;
        let request = request(ctx, config, &inputs)?;
        if !(ctx.force || ctx.fresh) && request.finished(&ctx.stage_dir).map_err(Error::from)?.is_some() {
            return Ok(DryRun { skip: 1, ..DryRun::default() });
        }
        let session = Session::open(&ctx.stage_dir, request, ctx.force || ctx.fresh).map_err(Error::from)?;
        let steps = session.lineage.total_steps() - session.first_step();
        let bytes = inputs.train.iter().map(|s| s.bytes).sum();
        let why = session.decision.to_string();
        let to_do = unmeasured(session.lineage.total_steps(), config.minutes).unwrap_or_else(|| format!("{steps} step(s) to do"));
        let notes = std::iter::once(to_do).chain(warnings(config, &inputs, &session)).collect();
        Ok(DryRun { todo: vec![DryUnit { unit: "model".into(), why, bytes }], skip: 0, notes })
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        Ok(run(ctx, config)?)
    }

    fn commands() -> Vec<Command<Self>> {
        plan::commands().into_iter().chain([decay::command()]).collect()
    }
}

/// Trains, or finds that there is nothing to do.
///
/// # Errors
/// See [`Error`].
pub fn run(ctx: &StageContext, config: &Config) -> Result<Report, Error> {
    let started = Instant::now();
    let inputs = Inputs::open(ctx, config, true)?;
    let request = request(ctx, config, &inputs)?;
    let over = ctx.force || ctx.fresh;
    if let Some(entry) = if over { None } else { request.finished(&ctx.stage_dir).map_err(Error::from)? } {
        let bytes_out = entry.outputs.iter().map(|o| o.bytes).sum();
        return Ok(Report { inputs_skipped: 1, bytes_out, watch: inputs.watch, ..Report::default() });
    }
    let mut session = Session::open(&ctx.stage_dir, request, over)?;
    session.describe().iter().for_each(|line| tracing::info!("{line}"));
    let mut notes = session.changes();

    let threads = ctx.threads.unwrap_or(config.threads);
    let compute = Compute::resolve(&config.device, config.precision, threads)?;
    let place = place(ctx, config, &inputs)?;
    let digests = if let Place::Disk(_) = place { inputs.train.iter().map(|s| s.digest).collect() } else { BTreeSet::new() };
    forget_others(&tokens_folder(ctx), &digests)?;
    let mut task = prepare(ctx, config, &inputs, &place, &compute)?;
    find_micro_rows(config, &mut task, &mut session, &compute)?;
    for line in plan_lines(config, &task, &inputs, &session, &compute) {
        tracing::info!("{line}");
    }
    for line in warnings(config, &inputs, &session) {
        tracing::warn!("{line}");
        notes.push(line);
    }
    let hyper = config.hyper();
    let trained = session.train(ctx, &task, hyper.optimizer(), hyper.settings(ctx.limit), &compute);
    let outcome = trained.map_err(|error| match error.is_out_of_memory() {
        true => out_of_memory(config, &task, &compute, error),
        false => error,
    })?;
    if !outcome.complete {
        notes.push(outcome.limit_note());
        return Ok(Report { notes, watch: inputs.watch, ..Report::default() });
    }
    let write = |dir: &Path| task.write_model(dir);
    let counts = counts(&session, &task, &outcome);
    let wall_secs = started.elapsed().as_secs_f64();
    let entry = session.commit(&ctx.stage_dir, &[(MODEL_SCHEMA, ctx.stage_dir.model(), &write)], counts, Vec::new(), wall_secs)?;
    notes.push(summary(&task, &session, &outcome));
    Ok(Report {
        inputs_done: 1,
        rows: task.train.len(),
        bytes_out: entry.outputs.iter().map(|o| o.bytes).sum(),
        notes,
        look: vec![ctx.stage_dir.model().display().to_string(), format!("tensorboard --logdir {}", ctx.stage_dir.tb().display())],
        watch: inputs.watch,
        ..Report::default()
    })
}

/// What is to be trained, for comparison with what was.
fn request(ctx: &StageContext, config: &Config, inputs: &Inputs) -> Result<Request, Error> {
    let row_targets = row_targets(inputs)?;
    let mut recipe = config.recipe();
    recipe.insert("seed".into(), json!(ctx.seed));
    recipe.insert("samples_config".into(), json!(inputs.samples_config));
    recipe.insert("tokenizer_digest".into(), json!(inputs.tokenizer.digest()));
    recipe.insert("init_digest".into(), json!(inputs.init.as_ref().map(|base| base.digest)));
    if let (Some(rows), Some(base)) = (task::new_rows(config, inputs)?, &inputs.init)
        && rows.start < base.config_for(&inputs.tokenizer_dir, 0)?.vocab_size
    {
        // Which rows begin anew is not in the digest of the weights.
        recipe.insert("init_ids".into(), json!(rows.start));
    }
    let cooldown = cooldown(ctx, config, &mut recipe, &inputs.batches)?;
    // A branch is trained on what its source was trained on, whatever has come since.
    let (cooldown, batches) = cooldown.map_or_else(|| (None, inputs.batches.clone()), |(branch, batches)| (Some(branch), batches));
    Ok(Request {
        recipe: recipe.into(),
        batches,
        policy: config.on_new_data,
        replay: config.replay,
        horizon: config.horizon()?.resolved(task::num_params(config, inputs)?),
        plan: BatchPlan::new(config.batch_rows, config.micro_rows(), row_targets)?,
        schedule: config.hyper().schedule(),
        seed: ctx.seed,
        keep: config.hyper().keep(),
        cooldown,
        written: json!({ "weights": config.weights, "tokenizer_files": inputs.tokenizer.files().digest() }),
    })
}

/// The training that this one branches off, if the configuration says so, and the data of that: its recipe must be this one's but for how
/// long it is, and its data must be there. Where the checkpoint is gone, a branch that was begun from it says what it was.
fn cooldown(
    ctx: &StageContext,
    config: &Config,
    recipe: &mut serde_json::Map<String, Value>,
    batches: &[DataBatch],
) -> Result<Option<(Cooldown, Vec<DataBatch>)>, Error> {
    let (Some(from), Some(steps)) = (&config.cooldown_from, config.cooldown_steps) else { return Ok(None) };
    let named = ctx.run.stage(Pretrain::NAME).checkpoints().join(from);
    let path = if named.exists() { named } else { ctx.config_dir.join(from) };
    recipe.remove("cooldown_steps");
    if let Some(own) = without_horizon(&recipe.clone().into()).as_object() {
        *recipe = own.clone();
    }
    let (cooldown, data, source) = match begun_branch(ctx, config, &path)? {
        Some((data, source)) => (Cooldown { path, from: None, steps }, data, source),
        None => {
            let cooldown = Cooldown::new(&path, steps, &config.hyper().schedule())?;
            let Some(State { step, lineage, .. }) = cooldown.from.as_ref().map(|from| &from.state) else { return Ok(None) };
            let (was, now) = (without_horizon(&lineage.recipe), Value::from(recipe.clone()));
            if was != now {
                let problem = format!("it was trained otherwise ({})", recipe_difference(&was, &now));
                return Err(train::Error::Branch { path, problem }.into());
            }
            let source = json!({ "step": step, "lineage": lineage.until(*step).digest() });
            let data = lineage.batches.clone();
            (cooldown, data, source)
        }
    };
    if !batches.starts_with(&data) {
        let problem = format!("it was trained on other data ({})", data_difference(&data, batches));
        return Err(train::Error::Branch { path: cooldown.path, problem }.into());
    }
    recipe.insert("cooldown_steps".into(), json!(steps));
    recipe.insert("cooldown_from".into(), source);
    Ok(Some((cooldown, data)))
}

/// The data and the source of a branch that was begun here from the checkpoint that lay in `path`, if that is gone.
fn begun_branch(ctx: &StageContext, config: &Config, path: &Path) -> Result<Option<(Vec<DataBatch>, Value)>, Error> {
    let step = step_in_name(path);
    if path.exists() || ctx.variant.is_none() || step.is_none() {
        return Ok(None);
    }
    let newest = Checkpoints::new(ctx.stage_dir.clone(), config.hyper().keep()).newest_state()?;
    let found = newest.and_then(|state| {
        let source = state.lineage.recipe.get("cooldown_from").filter(|source| source["step"].as_u64() == step)?.clone();
        Some((state.lineage.batches, source))
    });
    Ok(found)
}

/// Predicted tokens of a row, from the first shard's metadata.
fn row_targets(inputs: &Inputs) -> Result<u64, Error> {
    let first =
        inputs.train.iter().find(|s| s.rows > 0).ok_or_else(|| Error::NoTrainingRows { stage: inputs.stage.clone(), path: "".into() })?;
    let reader = handoff::ShardReader::open_any(&first.path)?;
    let key = reader.metadata().get("seq_len_tokens").and_then(|n| n.parse().ok());
    key.ok_or_else(|| Error::NoLength { path: first.path.clone() })
}

/// Where token ids are written once more, to be read row by row.
fn tokens_folder(ctx: &StageContext) -> PathBuf {
    ctx.stage_dir.side("tokens")
}

/// Where the training rows are held: in memory, if they are allowed that much of it.
fn place(ctx: &StageContext, config: &Config, inputs: &Inputs) -> Result<Place, Error> {
    let id_bytes = if TokenWidth::for_vocab(task::vocab_size(config, inputs)?) == TokenWidth::U16 { 2 } else { 4 };
    let bytes = inputs.train_rows() * (row_targets(inputs)? + 1) * id_bytes;
    if bytes <= config.samples_memory_mb.saturating_mul(1_000_000) {
        return Ok(Place::Memory);
    }
    let folder = tokens_folder(ctx);
    let (mb, most) = (bytes / 1_000_000, config.samples_memory_mb);
    tracing::info!("{mb} MB of token ids are read from `{}` (samples_memory_mb = {most})", folder.display());
    Ok(Place::Disk(folder))
}

/// Reads what is trained on, into `place`, and the model of the first step.
fn prepare(ctx: &StageContext, config: &Config, inputs: &Inputs, place: &Place, compute: &Compute) -> Result<Pretraining, Error> {
    let vocab_size = task::vocab_size(config, inputs)?;
    let prompts = task::prompts(config, inputs, task::longest(config, inputs, row_targets(inputs)?)?)?;
    let load = |shards: &[handoff::UpstreamShard], place: &Place| {
        Samples::load(shards.iter().map(|s| (s.path.as_path(), s.digest)), vocab_size, place)
    };
    let (train, validation) = (Arc::new(load(&inputs.train, place)?), load(&inputs.validation, &Place::Memory)?);
    let expected = inputs.tokenizer.digest();
    for (samples, shards) in [(&*train, &inputs.train), (&validation, &inputs.validation)] {
        if let (Some(got), Some(first)) = (samples.metadata("tokenizer_digest").filter(|got| *got != expected), shards.first()) {
            return Err(Error::OtherTokenizer { samples: first.path.clone(), expected: expected.to_owned(), got: got.to_owned() });
        }
    }
    let row_tokens = train.row_tokens();
    let model = task::first_model(config, inputs, row_tokens, ctx.seed, compute)?;
    let eval_rows = spread(validation.len(), config.eval_rows);
    let shards = inputs.validation.iter().fold(DigestBuilder::new(), |digest, shard| digest.field("shard", shard.digest.as_bytes()));
    let held_out = shards.field("rows", (eval_rows.len() as u64).to_le_bytes()).finish();
    let plan = BatchPlan::new(config.batch_rows, config.micro_rows(), row_tokens as u64 - 1)?;
    // The tokenizer is loaded again, because inputs are still needed and it is not cheap to share.
    let tokenizer = text::Tokenizer::load(&inputs.tokenizer_dir)?;
    let (document_mask, sample_tokens) = (config.document_mask, config.sample_tokens);
    let ahead = task::ahead(&train, document_mask);
    Ok(Pretraining { model, train, validation, ahead, plan, eval_rows, held_out, document_mask, tokenizer, prompts, sample_tokens })
}

/// Finds out how many rows of a forward pass memory holds, where the configuration asks for it and no checkpoint knows.
fn find_micro_rows(config: &Config, task: &mut Pretraining, session: &mut Session, compute: &Compute) -> Result<(), Error> {
    if !config.finds_micro_rows() {
        return Ok(());
    }
    let rows = match session.micro_rows() {
        Some(rows) => rows,
        None => task.fitting_rows(compute, config.activation_checkpointing)?,
    };
    task.plan = BatchPlan::new(config.batch_rows, Some(rows), task.plan.tokens_per_row)?;
    session.set_plan(task.plan);
    Ok(())
}

/// Names the rows that would have fitted. A GPU can be asked once more; a CPU's memory is what the system says it is.
fn out_of_memory(config: &Config, task: &Pretraining, compute: &Compute, error: train::Error) -> train::Error {
    tracing::debug!(%error, "out of memory");
    let rows = task.plan.micro_rows;
    let fitting = task.fitting_rows(compute, config.activation_checkpointing).ok().filter(|fitting| *fitting < rows);
    train::Error::OutOfMemory { rows, fitting }
}

/// At most `limit` row numbers below `n`, evenly spaced; all where `limit` is 0.
fn spread(n: u64, limit: u64) -> Vec<u64> {
    if limit == 0 || n <= limit {
        return (0..n).collect();
    }
    (0..limit).map(|i| i * n / limit).collect()
}

/// What a user should know of before the first step.
fn warnings(config: &Config, inputs: &Inputs, session: &Session) -> Vec<String> {
    let rows = if session.start.is_none() { task::unknown_rows(inputs) } else { None };
    rows.into_iter().chain(session.lineage.warnings(config.batch_rows, session.first_step(), &config.hyper().schedule())).collect()
}

fn plan_lines(config: &Config, task: &Pretraining, inputs: &Inputs, session: &Session, compute: &Compute) -> Vec<String> {
    let total = session.lineage.total_steps();
    let minutes = unmeasured(total, config.minutes);
    let (config, plan, rows) = (task.model.config(), &task.plan, inputs.train_rows());
    vec![
        format!(
            "model: {} parameters, width {}, {} layers, {} heads, vocabulary {}",
            config.num_params(),
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.vocab_size
        ),
        format!(
            "data: {rows} training rows of {} tokens, {} validation rows ({} evaluated)",
            plan.tokens_per_row,
            task.validation.len(),
            task.eval_rows.len()
        ),
        format!("batch: {plan}"),
        match minutes {
            Some(minutes) => format!("horizon: {minutes}"),
            None => format!(
                "horizon: {total} steps, {} tokens, {:.1} passes over the rows",
                total * plan.tokens_per_step(),
                (total * plan.rows_per_step) as f64 / rows.max(1) as f64
            ),
        },
        format!("compute: {} on {}, {} thread(s)", compute.precision(), compute.device_name(), compute.threads),
    ]
}

fn counts(session: &Session, task: &Pretraining, outcome: &Outcome) -> BTreeMap<String, u64> {
    BTreeMap::from([
        ("parameters".to_owned(), task.model.config().num_params() as u64),
        ("steps".to_owned(), session.lineage.total_steps()),
        ("steps_now".to_owned(), outcome.steps),
        ("tokens".to_owned(), session.lineage.total_steps() * task.plan.tokens_per_step()),
        ("train_rows".to_owned(), task.train.len()),
        ("validation_rows".to_owned(), task.validation.len()),
    ])
}

fn summary(task: &Pretraining, session: &Session, outcome: &Outcome) -> String {
    let mut text = format!("{} parameters, {} steps", task.model.config().num_params(), session.lineage.total_steps());
    if outcome.steps > 0 {
        text += &format!(" ({} now, {:.0} tokens/s)", outcome.steps, outcome.tokens_per_sec);
    }
    if let Some(loss) = outcome.last_loss {
        text += &format!(", training loss {loss:.3}");
    }
    for (name, value) in &outcome.scores {
        text += &format!(", {} {value:.3}", name.replace(['/', '_'], " "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluated_rows_are_spread_over_the_split() {
        assert_eq!(spread(10, 0), (0..10).collect::<Vec<_>>());
        assert_eq!(spread(3, 8), [0, 1, 2]);
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert!(spread(0, 4).is_empty());
    }
}
