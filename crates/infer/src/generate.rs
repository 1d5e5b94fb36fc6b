//! Generating tokens after prompts, in batches with a KV cache.
//!
//! Shape letters: b batch, t time of the prompts, s keys seen so far, v vocabulary.

use model::{Inputs, KvCache, Model};
use tch::{Kind, Tensor};

use crate::batch::{by_length, unpadded_from};
use crate::error::{Error, Result};
use crate::sampling::{Rng, Sampling, choose};

/// How to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// The most tokens an answer can have.
    pub max_new_tokens: usize,
    /// Tokens that end an answer; they are not part of it.
    pub eos: Vec<i64>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens of a batch, prompts and answers with padding: bounds the memory of the cache.
    pub batch_tokens: usize,
}

impl GenerateOptions {
    /// Greedy, up to `max_new_tokens` or the model's own end tokens.
    pub fn greedy(model: &Model, max_new_tokens: usize) -> Self {
        Self { max_new_tokens, eos: model.config().eos_token_ids.clone(), sampling: Sampling::Greedy, batch_tokens: 16_384 }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The model produced this end token.
    Eos(i64),
    /// `max_new_tokens`, or the model's longest sequence, was reached.
    Length,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The new tokens, without the end token.
    pub tokens: Vec<i64>,
    /// Why it ended.
    pub stop: Stop,
    /// Sum of the log-probabilities of the new tokens, the end token included, in nats.
    pub logprob: f64,
}

/// Continues every prompt. Answers come in the order of the prompts; batching changes them by rounding at most.
///
/// # Errors
/// An empty prompt, one as long as the model's longest sequence, sampling values out of range, or what the model refuses.
pub fn generate(model: &Model, prompts: &[Vec<i64>], options: &GenerateOptions) -> Result<Vec<Generation>> {
    options.sampling.validate()?;
    let longest = model.config().max_position_embeddings as usize;
    for (index, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() || prompt.len() >= longest {
            return Err(Error::Request(format!("prompt {index} has {} tokens, it must have 1 to {}", prompt.len(), longest - 1)));
        }
    }
    // Memory is taken for as many tokens as may come, and no more than these can.
    let options = &GenerateOptions { max_new_tokens: options.max_new_tokens.min(longest), ..options.clone() };
    let room = |prompt: &Vec<i64>| prompt.len() + options.max_new_tokens;
    let lengths: Vec<usize> = prompts.iter().map(room).collect();
    let mut answers: Vec<Option<Generation>> = vec![None; prompts.len()];
    for batch in by_length(&lengths, options.batch_tokens, unpadded_from(model)) {
        let rows = tch::no_grad(|| run_batch(model, prompts, &batch, options))?;
        for (index, row) in batch.into_iter().zip(rows) {
            answers[index] = Some(row);
        }
    }
    // Every prompt is in exactly one batch.
    Ok(answers.into_iter().flatten().collect())
}

/// A sequence that is still being continued.
struct Active {
    /// Position in the batch's answers.
    slot: usize,
    prompt_len: usize,
    rng: Rng,
}

fn run_batch(model: &Model, prompts: &[Vec<i64>], batch: &[usize], options: &GenerateOptions) -> Result<Vec<Generation>> {
    let device = model.device();
    let width = batch.iter().map(|index| prompts[*index].len()).max().unwrap_or(0);
    let longest = model.config().max_position_embeddings as usize;
    let mut answers = vec![Generation { tokens: Vec::new(), stop: Stop::Length, logprob: 0.0 }; batch.len()];
    if options.max_new_tokens == 0 {
        return Ok(answers);
    }
    let mut active: Vec<Active> = batch
        .iter()
        .enumerate()
        .map(|(slot, index)| Active { slot, prompt_len: prompts[*index].len(), rng: rng_for(&options.sampling, *index) })
        .collect();
    let is_ragged = active.iter().any(|row| row.prompt_len != width);

    // Prompts are padded on the left, so that all end in the same column; padding is masked and has position 0.
    let mut ids = Vec::with_capacity(batch.len() * width);
    for index in batch {
        ids.extend(std::iter::repeat_n(0, width - prompts[*index].len()));
        ids.extend(&prompts[*index]);
    }
    let ids_bt = Tensor::from_slice(&ids).f_view([batch.len() as i64, width as i64])?.f_to_device(device)?;
    let capacity = (width + options.max_new_tokens) as i64;
    let mut cache = KvCache::new(model.config(), batch.len() as i64, capacity, device, model.compute())?;
    let inputs = if is_ragged { padded_inputs(&active, width, 0, width, device)? } else { Inputs::default() };
    let hidden_btd = model.hidden_cached(&ids_bt, &inputs, &mut cache)?;
    let mut logits_bv = model.logits(&hidden_btd.f_select(1, width as i64 - 1)?)?;

    for step in 0..options.max_new_tokens {
        let mut rngs: Vec<&mut Rng> = active.iter_mut().map(|row| &mut row.rng).collect();
        let chosen = choose(&logits_bv, &options.sampling, &mut rngs)?;
        let mut stays = Vec::new();
        for (row, (id, logprob)) in chosen.iter().enumerate() {
            let answer = &mut answers[active[row].slot];
            answer.logprob += logprob;
            if options.eos.contains(id) {
                answer.stop = Stop::Eos(*id);
                continue;
            }
            answer.tokens.push(*id);
            if active[row].prompt_len + step + 1 < longest {
                stays.push(row);
            }
        }
        if stays.is_empty() || step + 1 == options.max_new_tokens {
            break;
        }
        if stays.len() < active.len() {
            let rows: Vec<i64> = stays.iter().map(|row| *row as i64).collect();
            cache.select_rows(&Tensor::from_slice(&rows).f_to_device(device)?)?;
            let mut index = 0;
            active.retain(|_| {
                index += 1;
                stays.binary_search(&(index - 1)).is_ok()
            });
        }
        let next: Vec<i64> = stays.iter().map(|row| chosen[*row].0).collect();
        let ids_b1 = Tensor::from_slice(&next).f_view([-1, 1])?.f_to_device(device)?;
        let inputs = if is_ragged { padded_inputs(&active, width, width + step, 1, device)? } else { Inputs::default() };
        logits_bv = model.logits(&model.hidden_cached(&ids_b1, &inputs, &mut cache)?.f_select(1, 0)?)?;
    }
    Ok(answers)
}

fn rng_for(sampling: &Sampling, sequence: usize) -> Rng {
    match sampling {
        Sampling::Greedy => Rng::new(0, 0),
        Sampling::Random { seed, .. } => Rng::new(*seed, sequence as u64),
    }
}

/// Positions and mask of columns `start..start + count` when prompts are padded on the left to `width`.
fn padded_inputs(active: &[Active], width: usize, start: usize, count: usize, device: tch::Device) -> Result<Inputs> {
    let pads: Vec<i64> = active.iter().map(|row| (width - row.prompt_len) as i64).collect();
    let pads_b1 = Tensor::from_slice(&pads).f_view([-1, 1])?.f_to_device(device)?;
    let columns = |from: usize, to: usize| Tensor::f_arange_start(from as i64, to as i64, (Kind::Int64, device));
    let queries_t = columns(start, start + count)?;
    let keys_s = columns(0, start + count)?;
    let positions = queries_t.f_sub(&pads_b1)?.f_clamp_min(0)?;
    let real_bs = keys_s.f_ge_tensor(&pads_b1)?;
    let causal_ts = queries_t.f_view([-1, 1])?.f_ge_tensor(&keys_s)?;
    // A padded query sees itself, since a row of attention without any key would be NaN.
    let itself_ts = queries_t.f_view([-1, 1])?.f_eq_tensor(&keys_s)?;
    let mask = real_bs.f_view([-1, 1, 1, (start + count) as i64])?.f_logical_and(&causal_ts)?.f_logical_or(&itself_ts)?;
    Ok(Inputs { positions: Some(positions), mask: Some(mask), past_only: false })
}
