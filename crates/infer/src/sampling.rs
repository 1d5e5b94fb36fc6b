//! Choosing the next token.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Sampling {
    /// The most likely token; of equals, the one with the lowest id.
    #[default]
    Greedy,
    /// Drawn at random.
    Random {
        /// Logits are divided by this first; above 0. Less than 1 is bolder, more is more random.
        temperature: f64,
        /// Only the most likely tokens that together reach this probability (nucleus sampling, arXiv 1904.09751); 1 keeps all.
        top_p: f64,
        /// Only this many of the most likely tokens.
        top_k: Option<i64>,
        /// Every prompt has a generator of its own, from this seed and its position in the list of prompts: an answer
        /// does not depend on what it is batched with.
        seed: u64,
    },
}

impl Sampling {
    /// Checks the ranges.
    pub(crate) fn validate(&self) -> Result<()> {
        let Self::Random { temperature, top_p, top_k, .. } = self else {
            return Ok(());
        };
        if !(*temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::Request(format!("`temperature` is {temperature}, it must be above 0 (use greedy decoding for 0)")));
        }
        if !(*top_p > 0.0 && *top_p <= 1.0) {
            return Err(Error::Request(format!("`top_p` is {top_p}, it must be above 0 and at most 1")));
        }
        if top_k.is_some_and(|k| k <= 0) {
            return Err(Error::Request("`top_k` must be positive".to_owned()));
        }
        Ok(())
    }
}

/// A random generator for one sequence: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64, sequence: u64) -> Self {
        let mut rng = Self(seed ^ sequence.wrapping_mul(0xd1b5_4a32_d192_ed03));
        rng.next();
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Chooses a token for each row of `logits_bv` (f32). Returns ids and the log-probability of each under the model as
/// it stands (before temperature and truncation).
pub(crate) fn choose(logits_bv: &Tensor, sampling: &Sampling, rngs: &mut [&mut Rng]) -> Result<Vec<(i64, f64)>> {
    let log_probs = logits_bv.f_log_softmax(-1, Kind::Float)?;
    let ids_b = match sampling {
        Sampling::Greedy => logits_bv.f_argmax(-1, false)?,
        Sampling::Random { temperature, top_p, top_k, .. } => {
            let vocabulary = logits_bv.size()[1];
            let kept = top_k.unwrap_or(vocabulary).min(vocabulary);
            let (values, ids) = logits_bv.f_topk(kept, -1, true, true)?;
            let probs = (values / *temperature).f_softmax(-1, Kind::Double)?;
            let cumulative = probs.f_cumsum(-1, Kind::Double)?;
            // A token stays while those before it have not reached top_p; the first always stays.
            let stays = (&cumulative - &probs).f_lt(*top_p)?;
            let cumulative = (probs * stays).f_cumsum(-1, Kind::Double)?;
            let total = cumulative.f_narrow(1, kept - 1, 1)?;
            let draws: Vec<f64> = rngs.iter_mut().map(|rng| rng.unit()).collect();
            let target = Tensor::from_slice(&draws).f_unsqueeze(1)?.f_to_device(logits_bv.device())? * total;
            // The first position whose cumulative probability exceeds the draw.
            let position =
                cumulative.f_le_tensor(&target)?.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Int64)?.f_clamp_max(kept - 1)?;
            ids.f_gather(1, &position, false)?.f_squeeze_dim(1)?
        }
    };
    let chosen = log_probs.f_gather(1, &ids_b.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
    let ids: Vec<i64> = Vec::try_from(ids_b)?;
    let log_probs: Vec<f64> = Vec::try_from(chosen.f_to_kind(Kind::Double)?)?;
    Ok(ids.into_iter().zip(log_probs).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(logits: &[f32], sampling: Sampling, count: usize) -> Vec<i64> {
        let row = Tensor::from_slice(logits).view([1, -1]);
        let mut rng = Rng::new(7, 0);
        (0..count).map(|_| choose(&row, &sampling, &mut [&mut rng]).unwrap()[0].0).collect()
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let all = Sampling::Random { temperature: 1.0, top_p: 1.0, top_k: None, seed: 0 };
        let drawn = draw(&logits, all, 4000);
        for (id, want) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
            let share = drawn.iter().filter(|x| **x == id).count() as f64 / 4000.0;
            assert!((share - want).abs() < 0.03, "{id}: {share}");
        }
    }

    #[test]
    fn truncation_keeps_the_most_likely() {
        let logits = [0.1f32.ln(), 0.6f32.ln(), 0.3f32.ln()];
        let top = |top_p, top_k| draw(&logits, Sampling::Random { temperature: 1.0, top_p, top_k, seed: 0 }, 300);
        assert!(top(0.5, None).iter().all(|id| *id == 1));
        assert!(top(0.7, None).iter().all(|id| *id != 0) && top(0.7, None).contains(&2));
        assert!(top(1.0, Some(1)).iter().all(|id| *id == 1));
        assert!(top(1.0, None).contains(&0));
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_reports_its_probability() {
        let row = Tensor::from_slice(&[0.0f32, 1.0, 1.0, 0.0]).view([1, 4]);
        let (id, log_prob) = choose(&row, &Sampling::Greedy, &mut []).unwrap()[0];
        assert_eq!(id, 1);
        let want = 1.0 - (2.0 + 2.0 * 1f64.exp()).ln();
        assert!((log_prob - want).abs() < 1e-6);
    }
}
