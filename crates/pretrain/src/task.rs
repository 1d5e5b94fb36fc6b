//! Next-token prediction on packed rows, and its score on the validation split.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use handoff::Digest;
use model::{Model, Options};
use tch::Kind;
use text::Tokenizer;
use train::batch::BatchPlan;
use train::checkpoint::Write;
use train::compute::Compute;
use train::lineage::{Lineage, Phase};
use train::prefetch::Prefetch;
use train::samples::{RowBatch, Samples};
use train::trainer::{MakeMicro, Scores, StepBatch, Task, TextSample};

use crate::config::Config;
use crate::error::Error;
use crate::inputs::Inputs;

/// The rows of a step, and how many of them a forward pass takes.
pub(crate) type StepRows = (Vec<u64>, u64);

/// Batches that are read while the step before computes.
pub(crate) type Ahead = Prefetch<StepRows, train::Result<Vec<RowBatch>>>;

/// Begins to make batches of `samples` ahead of time.
pub(crate) fn ahead(samples: &Arc<Samples>, document_mask: bool) -> RefCell<Ahead> {
    let samples = Arc::clone(samples);
    RefCell::new(Prefetch::new(move |(rows, micro_rows): &StepRows| {
        rows.chunks(*micro_rows as usize).map(|part| samples.micro(part, document_mask)).collect()
    }))
}

/// The task of the stage.
pub(crate) struct Pretraining {
    pub(crate) model: Model,
    pub(crate) train: Arc<Samples>,
    pub(crate) validation: Samples,
    pub(crate) ahead: RefCell<Ahead>,
    pub(crate) plan: BatchPlan,
    pub(crate) eval_rows: Vec<u64>,
    /// Digest of these rows.
    pub(crate) held_out: Digest,
    pub(crate) document_mask: bool,
    pub(crate) tokenizer: Tokenizer,
    /// Texts to go on with while training, as token ids too.
    pub(crate) prompts: Vec<(String, Vec<i64>)>,
    /// How far to go on with them.
    pub(crate) sample_tokens: usize,
}

impl Task for Pretraining {
    fn model(&self) -> &Model {
        &self.model
    }

    fn batch(&self, lineage: &Lineage, phase: &Phase, step_in_phase: u64) -> train::Result<StepBatch> {
        let order = lineage.rows_of(phase);
        let rows_of = |step: u64| -> StepRows {
            let first = phase.first_position + step * self.plan.rows_per_step;
            ((first..first + self.plan.rows_per_step).map(|position| order.at_position(position)).collect(), self.plan.micro_rows)
        };
        let this = rows_of(step_in_phase);
        let next = (step_in_phase + 1 < phase.steps).then(|| rows_of(step_in_phase + 1));
        let batches = self.ahead.borrow_mut().take(&this, next)?;
        let targets = batches.iter().map(|batch| batch.num_targets).sum();
        let device = self.model.device();
        let micro = batches.into_iter().map(|batch| -> MakeMicro { Box::new(move || batch.on(device)) }).collect();
        Ok(StepBatch { micro, targets, tokens: self.plan.tokens_per_step(), rows: this.0 })
    }

    fn evaluate(&self, stop: &dyn Fn() -> bool) -> train::Result<Option<Scores>> {
        if self.eval_rows.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (mut nats, mut targets, mut bytes) = (0.0, 0, 0);
        for rows in self.eval_rows.chunks(self.plan.micro_rows as usize) {
            if stop() {
                return Ok(None);
            }
            let read = self.validation.micro(rows, self.document_mask)?;
            let (batch, n) = (read.on(self.model.device())?, read.num_targets);
            let nll = self.model.token_losses(&batch.ids, &batch.targets, &batch.inputs)?;
            nats += f64::try_from(nll.f_sum(Kind::Double)?)?;
            targets += n;
            bytes += rows.iter().map(|&row| self.validation.num_bytes(row)).sum::<u64>();
        }
        let loss = nats / targets.max(1) as f64;
        // Bits of all targets, end tokens included, over the bytes of text they stand for.
        let bits_per_byte = nats / std::f64::consts::LN_2 / bytes.max(1) as f64;
        Ok(Some(vec![("validation/loss", loss), ("validation/bits_per_byte", bits_per_byte)]))
    }

    fn held_out(&self) -> Digest {
        self.held_out
    }

    fn text_samples(&self, stop: &dyn Fn() -> bool) -> train::Result<Option<Vec<TextSample>>> {
        let options = infer::GenerateOptions::greedy(&self.model, self.sample_tokens);
        let mut samples = Vec::new();
        for (prompt, ids) in &self.prompts {
            // One prompt at a time, so that nobody waits for all of them.
            if stop() {
                return Ok(None);
            }
            let answers = infer::generate(&self.model, std::slice::from_ref(ids), &options);
            for answer in answers.map_err(|error| train::Error::Generate { source: error.into() })? {
                let ids: Vec<u32> = answer.tokens.iter().map(|&id| id as u32).collect();
                samples.push(TextSample { prompt: prompt.clone(), completion: self.tokenizer.decode(&ids)? });
            }
        }
        Ok(Some(samples))
    }

    fn snapshot(&self) -> train::Result<Write> {
        let model = self.model.snapshot()?.detached()?;
        let files = self.tokenizer.files().clone();
        Ok(Box::new(move |dir: &Path| {
            model.write(dir)?;
            Ok(files.copy_to(dir)?)
        }))
    }

    fn write_model(&self, dir: &Path) -> train::Result<()> {
        self.model.save(dir)?;
        Ok(self.tokenizer.files().copy_to(dir)?)
    }
}

impl Pretraining {
    /// Rows of a forward pass that memory holds.
    pub(crate) fn fitting_rows(&self, compute: &Compute, recompute: bool) -> train::Result<u64> {
        let micro = |rows: u64| {
            // Row numbers repeat where there are fewer rows: only their number counts here.
            let rows: Vec<u64> = (0..rows).map(|row| row % self.train.len()).collect();
            self.train.micro(&rows, self.document_mask)?.on(self.model.device())
        };
        train::fit::micro_rows(&self.model, micro, self.plan.rows_per_step, compute.threads, recompute)
    }
}

/// The prompts to go on with, as token ids behind the token that comes before every document; `longest` is what the model takes.
pub(crate) fn prompts(config: &Config, inputs: &Inputs, longest: i64) -> Result<Vec<(String, Vec<i64>)>, Error> {
    let tokenizer = &inputs.tokenizer;
    let first = tokenizer.begin_id().or(tokenizer.eos_id());
    let encode = |prompt: &String| {
        let ids = tokenizer.encode(prompt)?;
        let first = first.filter(|first| ids.first() != Some(first));
        let ids: Vec<i64> = first.into_iter().chain(ids).map(i64::from).collect();
        // One token at least has to be seen, and one to come.
        let most = longest - 1;
        if !(1..=most).contains(&(ids.len() as i64)) {
            return Err(Error::PromptTokens {
                prompt: prompt.chars().take(40).collect(),
                got: ids.len(),
                most,
                is_given: inputs.init.is_some(),
            });
        }
        Ok((prompt.clone(), ids))
    };
    config.sample_prompts.iter().map(encode).collect()
}

/// Ids that the model has embeddings for; known before anything large is read.
pub(crate) fn vocab_size(config: &Config, inputs: &Inputs) -> Result<usize, Error> {
    Ok(planned(config, inputs)?.vocab_size as usize)
}

/// Parameters of the model, before there is one.
pub(crate) fn num_params(config: &Config, inputs: &Inputs) -> Result<u64, Error> {
    Ok(planned(config, inputs)?.num_params() as u64)
}

/// Longest sequence that the model takes, whose rows have `row_targets` tokens.
pub(crate) fn longest(config: &Config, inputs: &Inputs, row_targets: u64) -> Result<i64, Error> {
    let shape = match &inputs.init {
        Some(_) => planned(config, inputs)?,
        None => shape(config, &inputs.tokenizer, row_targets as usize + 1),
    };
    Ok(shape.max_position_embeddings)
}

fn planned(config: &Config, inputs: &Inputs) -> Result<model::Config, Error> {
    let Some(base) = &inputs.init else {
        let new = shape(config, &inputs.tokenizer, 1);
        // Before anything is counted or made of its numbers.
        new.validate()?;
        return Ok(new);
    };
    if !config.extend_vocab {
        return Ok(base.config_for(&inputs.tokenizer_dir, inputs.tokenizer.vocab_size())?);
    }
    let mut planned = base.config_for(&inputs.tokenizer_dir, 0)?;
    if (planned.vocab_size as usize) < inputs.tokenizer.vocab_size() {
        planned.vocab_size = inputs.tokenizer.padded_vocab_size() as i64;
    }
    Ok(planned)
}

/// Rows of the embedding of `init_from` that no token of its own tokenizer has, and tokens of ours have: spare ones, and those
/// that are added. Where its folder has no tokenizer, the spare ones are not known.
pub(crate) fn new_rows(config: &Config, inputs: &Inputs) -> Result<Option<Range<i64>>, Error> {
    let Some(base) = &inputs.init else { return Ok(None) };
    let rows = base.config_for(&inputs.tokenizer_dir, 0)?.vocab_size;
    let wanted = vocab_size(config, inputs)? as i64;
    let end = if wanted > rows { wanted } else { inputs.tokenizer.vocab_size() as i64 };
    let known = inputs.init_ids.map_or(rows, |ids| rows.min(ids as i64));
    Ok((end > known).then_some(known..end))
}

/// What is to be said where it is not known which rows of `init_from` are spare.
pub(crate) fn unknown_rows(inputs: &Inputs) -> Option<String> {
    let base = inputs.init.as_ref().filter(|_| inputs.init_ids.is_none())?;
    Some(format!(
        "`{}` has no `tokenizer.json`: all rows of its embedding are kept, also spare ones that new tokens may fall on",
        base.dir.display()
    ))
}

/// The model of the first step: new, or with the weights of `init_from`.
pub(crate) fn first_model(config: &Config, inputs: &Inputs, row_tokens: usize, seed: u64, compute: &Compute) -> Result<Model, Error> {
    let options = Options { device: compute.device, compute: compute.kind, trainable: true };
    let tokenizer = &inputs.tokenizer;
    let mut model = match &inputs.init {
        Some(base) => {
            let mut model = Model::load(&base.dir, &options)?;
            let old = model.config().vocab_size;
            if let Some(new) = new_rows(config, inputs)? {
                if new.end > old {
                    tracing::info!("vocabulary: {old} tokens extended to {}", new.end);
                }
                tracing::info!(
                    "vocabulary: tokens {} to {} are new to the model and begin as the mean of the others",
                    new.start,
                    new.end - 1
                );
                model.add_tokens(new.start, new.end)?;
            }
            model
        }
        None => Model::new(shape(config, tokenizer, row_tokens), seed, &options)?,
    };
    let written = model.config_mut();
    written.bos_token_id = tokenizer.bos_id().map(i64::from);
    written.eos_token_ids = tokenizer.stop_ids().iter().map(|&id| i64::from(id)).collect();
    written.pad_token_id = tokenizer.pad_id().map(i64::from);
    written.save_dtype = config.weights.dtype();
    let max_positions = model.config().max_position_embeddings;
    if row_tokens as i64 - 1 > max_positions {
        return Err(Error::RowsTooLong { row_tokens: row_tokens - 1, max_positions, is_given: inputs.init.is_some() });
    }
    Ok(model)
}

/// The shape that the configuration asks for; [`Config::validate`] saw to the keys without which there is none.
fn shape(config: &Config, tokenizer: &Tokenizer, row_tokens: usize) -> model::Config {
    let vocab_size = tokenizer.padded_vocab_size() as i64;
    let (width, layers, heads) = (config.hidden_size.unwrap_or(0), config.num_layers.unwrap_or(0), config.num_heads.unwrap_or(0));
    let mut shape = model::Config::llama(vocab_size, width, layers, heads);
    if let Some(n) = config.num_kv_heads {
        shape.num_key_value_heads = n;
    }
    if let Some(name) = config.model_type {
        shape.model_type = name.into();
    }
    if let Some(n) = config.head_dim {
        shape.head_dim = n;
    }
    shape.sliding_window = config.sliding_window;
    if let Some(n) = config.intermediate_size {
        shape.intermediate_size = n;
    }
    if let Some(tie) = config.tie_embeddings {
        shape.tie_word_embeddings = tie;
    }
    if let Some(theta) = config.rope_theta {
        shape.rope_theta = theta;
    }
    shape.max_position_embeddings = config.max_positions.unwrap_or(shape.max_position_embeddings.max(row_tokens as i64));
    shape
}
