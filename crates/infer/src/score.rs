//! How likely given tokens are.
//!
//! Shape letters: b batch, t time.

use model::{IGNORE, Inputs, Model};
use tch::{Kind, Tensor};

use crate::batch::{by_length, unpadded_from};
use crate::error::{Error, Result};

/// A continuation to be scored after a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What stands before; at least one token.
    pub context: Vec<i64>,
    /// What is scored; at least one token.
    pub continuation: Vec<i64>,
}

/// The score of a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Sum of the log-probabilities of the continuation's tokens, in nats.
    pub logprob: f64,
    /// Whether greedy decoding would have produced exactly the continuation.
    pub is_greedy: bool,
    /// Tokens of the continuation.
    pub num_tokens: usize,
}

/// Scores continuations, in the order of the requests. Short rows are padded on the right, where causal attention
/// never looks. `batch_tokens` bounds the tokens of a batch, padding included.
///
/// # Errors
/// An empty context or continuation, a sequence longer than the model's longest, or what the model refuses.
pub fn log_likelihoods(model: &Model, requests: &[Request], batch_tokens: usize) -> Result<Vec<Score>> {
    for (index, request) in requests.iter().enumerate() {
        if request.context.is_empty() || request.continuation.is_empty() {
            return Err(Error::Request(format!("request {index} has an empty context or continuation")));
        }
    }
    let rows: Vec<Row> = requests
        .iter()
        .map(|request| Row {
            tokens: request.context.iter().chain(&request.continuation).copied().collect(),
            scored_from: request.context.len(),
        })
        .collect();
    score_rows(model, &rows, batch_tokens, true)
}

/// The negative log-likelihood of each row in nats: of every token after the first, given those before it.
/// A row of fewer than two tokens scores 0.
///
/// # Errors
/// As [`log_likelihoods`].
pub fn row_nll(model: &Model, rows: &[Vec<i64>], batch_tokens: usize) -> Result<Vec<f64>> {
    let rows: Vec<Row> = rows.iter().map(|row| Row { tokens: row.clone(), scored_from: 1 }).collect();
    Ok(score_rows(model, &rows, batch_tokens, false)?.iter().map(|score| -score.logprob).collect())
}

/// Nats over all tokens of a text as bits per byte of it: comparable between tokenizers.
pub fn bits_per_byte(nats: f64, bytes: u64) -> f64 {
    nats / std::f64::consts::LN_2 / bytes as f64
}

/// Tokens, and the first of them that is scored.
struct Row {
    tokens: Vec<i64>,
    scored_from: usize,
}

fn score_rows(model: &Model, rows: &[Row], batch_tokens: usize, with_greedy: bool) -> Result<Vec<Score>> {
    let longest = model.config().max_position_embeddings as usize;
    // The last token is only a target.
    let lengths: Vec<usize> = rows.iter().map(|row| row.tokens.len().saturating_sub(1)).collect();
    if let Some(index) = lengths.iter().position(|length| *length > longest) {
        return Err(Error::Request(format!("sequence {index} has {} tokens, the model takes {longest}", lengths[index])));
    }
    let mut scores = vec![Score { logprob: 0.0, is_greedy: true, num_tokens: 0 }; rows.len()];
    for batch in by_length(&lengths, batch_tokens, unpadded_from(model)) {
        let width = lengths[batch[0]];
        if width == 0 {
            continue;
        }
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for index in &batch {
            let row = &rows[*index];
            let length = lengths[*index];
            let pad = width - length;
            ids.extend(&row.tokens[..length]);
            ids.extend(std::iter::repeat_n(0, pad));
            targets.extend((1..=length).map(|t| if t >= row.scored_from { row.tokens[t] } else { IGNORE }));
            targets.extend(std::iter::repeat_n(IGNORE, pad));
        }
        let shape = [batch.len() as i64, width as i64];
        let to_device = |values: &[i64]| -> Result<Tensor> { Ok(Tensor::from_slice(values).f_view(shape)?.f_to_device(model.device())?) };
        let (ids_bt, targets_bt) = (to_device(&ids)?, to_device(&targets)?);
        let (nll_b, greedy_b) = tch::no_grad(|| score_batch(model, &ids_bt, &targets_bt, with_greedy))?;
        for (row, index) in batch.iter().enumerate() {
            let num_tokens = rows[*index].tokens.len() - rows[*index].scored_from.min(rows[*index].tokens.len());
            scores[*index] = Score { logprob: -nll_b[row], is_greedy: greedy_b[row], num_tokens };
        }
    }
    Ok(scores)
}

fn score_batch(model: &Model, ids_bt: &Tensor, targets_bt: &Tensor, with_greedy: bool) -> Result<(Vec<f64>, Vec<bool>)> {
    let batch = ids_bt.size()[0] as usize;
    if !with_greedy {
        let nll_bt = model.token_losses(ids_bt, targets_bt, &Inputs::default())?;
        return Ok((sum_rows(&nll_bt)?, vec![true; batch]));
    }
    let hidden_btd = model.hidden(ids_bt, &Inputs::default())?;
    let (mut nll, mut greedy) = (Vec::with_capacity(batch), Vec::with_capacity(batch));
    // A row at a time: only positions that are scored need logits, and no batch of logits is ever held.
    for row in 0..batch as i64 {
        let targets_t = targets_bt.f_select(0, row)?;
        let scored = targets_t.f_ne(IGNORE)?.f_nonzero()?.f_squeeze_dim(1)?;
        if scored.numel() == 0 {
            nll.push(0.0);
            greedy.push(true);
            continue;
        }
        let logits = model.logits(&hidden_btd.f_select(0, row)?.f_index_select(0, &scored)?)?;
        let wanted = targets_t.f_index_select(0, &scored)?;
        let chosen = logits.f_log_softmax(-1, Kind::Float)?.f_gather(1, &wanted.f_unsqueeze(1)?, false)?;
        nll.push(-chosen.f_sum(Kind::Double)?.f_double_value(&[])?);
        greedy.push(logits.f_argmax(-1, false)?.f_equal(&wanted)?);
    }
    Ok((nll, greedy))
}

fn sum_rows(nll_bt: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(nll_bt.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?)?)
}
