//! Rotary frequencies and their scaling to sequences longer than those of pretraining.

use serde_json::{Value, json};

use crate::config::Config;
use crate::error::{Error, Result};

/// How rotary frequencies are changed; `rope_scaling` in files. Fields have the names they have there.
///
/// θᵢ is the unscaled frequency `rope_theta^(-2i/e)` of pair i of a head of width e, in radians a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Positions divided by `factor`: θᵢ / factor (Chen et al., arXiv 2306.15595).
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// A larger base for sequences of L > `original_max_position_embeddings` (= o) tokens:
    /// `rope_theta · (factor · L / o - factor + 1)^(e / (e - 2))` ("dynamic NTK", Peng et al., arXiv 2309.00071, appendix B).
    /// All positions of a row turn with its whole length, so a longer row changes what its earlier tokens give. The length
    /// is one more than the largest position, as in transformers: padding on the right counts, unless positions are given
    /// that do not go on there.
    Dynamic {
        /// At least 1.
        factor: f64,
        /// Up to here nothing is scaled. In files this is `max_position_embeddings`.
        original_max_position_embeddings: i64,
    },
    /// Slow frequencies divided by `factor`, fast ones kept, a ramp between; cosines and sines times `attention_factor`
    /// (YaRN, Peng et al., arXiv 2309.00071, section 3).
    Yarn {
        /// At least 1.
        factor: f64,
        /// The length that the ramp is measured by, in tokens.
        original_max_position_embeddings: i64,
        /// 0.1 · ln(factor) + 1 unless a file says otherwise.
        attention_factor: f64,
        /// Turns over the original length from which frequencies are kept; 32 in the paper.
        beta_fast: f64,
        /// Turns over the original length up to which they are divided; 1 in the paper.
        beta_slow: f64,
        /// Whether the ends of the ramp are rounded outwards to whole pairs.
        truncate: bool,
    },
    /// As YaRN, with a ramp over wavelengths between `original / high_freq_factor` and `original / low_freq_factor`
    /// tokens and no change of attention (Llama 3.1, Meta 2024).
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Longer waves than `original_max_position_embeddings` by this are divided by `factor`.
        low_freq_factor: f64,
        /// Shorter waves than `original_max_position_embeddings` by this are kept; more than `low_freq_factor`.
        high_freq_factor: f64,
        /// The length of pretraining in tokens.
        original_max_position_embeddings: i64,
    },
}

impl RopeScaling {
    /// The name in `config.json`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Dynamic { .. } => "dynamic",
            Self::Yarn { .. } => "yarn",
            Self::Llama3 { .. } => "llama3",
        }
    }

    /// YaRN with the paper's values.
    pub fn yarn(factor: f64, original_max_position_embeddings: i64) -> Self {
        let attention_factor = attention_scale(factor, 1.0);
        Self::Yarn { factor, original_max_position_embeddings, attention_factor, beta_fast: 32.0, beta_slow: 1.0, truncate: true }
    }

    fn factor(&self) -> f64 {
        match self {
            Self::Linear { factor } | Self::Dynamic { factor, .. } | Self::Yarn { factor, .. } | Self::Llama3 { factor, .. } => *factor,
        }
    }

    /// The value of `rope_scaling`, and of `max_position_embeddings`, for a model whose longest sequence is `longest`.
    ///
    /// Version 4.46 of transformers measures YaRN by `max_position_embeddings` and knows no other key, versions around
    /// 4.50 compute the factor anew where there is one; so the key is left out where the longest sequence is known
    /// without it. Elsewhere only version 5 reads the file right.
    pub(crate) fn to_file(self, longest: i64) -> (Value, i64) {
        let mut value = json!({ "rope_type": self.name(), "factor": self.factor() });
        let mut positions = longest;
        match self {
            Self::Linear { .. } => {}
            Self::Dynamic { original_max_position_embeddings: original, .. } => positions = original,
            Self::Yarn { factor, original_max_position_embeddings: original, attention_factor, beta_fast, beta_slow, truncate } => {
                value["attention_factor"] = json!(attention_factor);
                value["beta_fast"] = json!(beta_fast);
                value["beta_slow"] = json!(beta_slow);
                if !truncate {
                    value["truncate"] = json!(false);
                }
                if longest == extended(original, factor) {
                    positions = original;
                } else {
                    value["original_max_position_embeddings"] = json!(original);
                }
            }
            Self::Llama3 { low_freq_factor, high_freq_factor, original_max_position_embeddings, .. } => {
                value["low_freq_factor"] = json!(low_freq_factor);
                value["high_freq_factor"] = json!(high_freq_factor);
                value["original_max_position_embeddings"] = json!(original_max_position_embeddings);
            }
        }
        (value, positions)
    }

    /// Checks the numbers against each other and those of the configuration.
    pub(crate) fn validate(&self, config: &Config) -> Result<()> {
        let refuse = |text: String| Err(Error::Config(format!("`rope_scaling` {}: {text}", self.name())));
        let factor = self.factor();
        if !(factor >= 1.0 && factor.is_finite()) {
            return refuse(format!("`factor` is {factor}, it must be 1 or more"));
        }
        let longest = config.max_position_embeddings;
        match *self {
            Self::Linear { .. } => {}
            Self::Dynamic { original_max_position_embeddings: original, .. } => {
                if original <= 0 || longest != extended(original, factor) {
                    return refuse(format!(
                        "`max_position_embeddings` is {longest}, it must be `factor` times `original_max_position_embeddings` ({original})"
                    ));
                }
                if config.head_dim <= 2 {
                    return refuse(format!("`head_dim` is {}, it must be more than 2", config.head_dim));
                }
            }
            Self::Yarn { original_max_position_embeddings: original, attention_factor, beta_fast, beta_slow, .. } => {
                if original <= 0 || (longest == original && longest != extended(original, factor)) {
                    return refuse(format!("`original_max_position_embeddings` is {original}, `max_position_embeddings` {longest}"));
                }
                if !(attention_factor > 0.0 && beta_slow > 0.0 && beta_fast >= beta_slow && beta_fast.is_finite()) {
                    return refuse(format!("`attention_factor` {attention_factor}, `beta_fast` {beta_fast}, `beta_slow` {beta_slow}"));
                }
            }
            Self::Llama3 { low_freq_factor, high_freq_factor, original_max_position_embeddings: original, .. } => {
                if !(original > 0 && low_freq_factor > 0.0 && high_freq_factor > low_freq_factor && high_freq_factor.is_finite()) {
                    return refuse(format!(
                        "`low_freq_factor` {low_freq_factor}, `high_freq_factor` {high_freq_factor}, `original_max_position_embeddings` {original}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// How long sequences become.
pub(crate) fn extended(original: i64, factor: f64) -> i64 {
    (original as f64 * factor).floor() as i64
}

/// YaRN's factor on cosines and sines.
pub(crate) fn attention_scale(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}

/// Radians a position for each pair of a head (`head_dim / 2` values), and the factor on cosines and sines.
/// Dynamic scaling is not in them: it depends on the length of a sequence.
pub(crate) fn frequencies(config: &Config) -> (Vec<f64>, f64) {
    let (half, width) = (config.head_dim / 2, config.head_dim as f64);
    let plain: Vec<f64> = (0..half).map(|i| (-config.rope_theta.ln() * 2.0 * i as f64 / width).exp()).collect();
    match config.rope_scaling {
        None | Some(RopeScaling::Dynamic { .. }) => (plain, 1.0),
        Some(RopeScaling::Linear { factor }) => (plain.iter().map(|f| f / factor).collect(), 1.0),
        Some(RopeScaling::Yarn { factor, original_max_position_embeddings, attention_factor, beta_fast, beta_slow, truncate }) => {
            // The pair that turns `turns` times over the original length.
            let original = original_max_position_embeddings as f64;
            let pair = |turns: f64| width * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * config.rope_theta.ln());
            let (first, last) = (pair(beta_fast), pair(beta_slow));
            let (first, last) = if truncate { (first.floor(), last.ceil()) } else { (first, last) };
            let (first, mut last) = (first.max(0.0), last.min(width - 1.0));
            if first == last {
                last += 0.001;
            }
            let scaled = plain.iter().enumerate().map(|(i, f)| {
                let slow = ((i as f64 - first) / (last - first)).clamp(0.0, 1.0);
                f / factor * slow + f * (1.0 - slow)
            });
            (scaled.collect(), attention_factor)
        }
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }) => {
            let scaled = plain.iter().map(|f| {
                // Waves in the original length.
                let waves = original_max_position_embeddings as f64 * f / std::f64::consts::TAU;
                let fast = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                f / factor * (1.0 - fast) + f * fast
            });
            (scaled.collect(), 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_pairs_are_kept_and_slow_ones_divided() {
        let mut config = Config::llama(10, 128, 1, 1);
        config.max_position_embeddings = 32_768;
        let plain = frequencies(&config).0;
        let llama3 =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        for scaling in [llama3, RopeScaling::yarn(8.0, 4096)] {
            config.rope_scaling = Some(scaling);
            config.validate().unwrap();
            let scaled = frequencies(&config).0;
            assert_eq!(scaled[0], plain[0]);
            assert!((scaled[63] * 8.0 / plain[63] - 1.0).abs() < 1e-12);
            assert!(scaled.iter().zip(&plain).all(|(s, p)| *s <= *p && *s * 8.0 >= *p * (1.0 - 1e-12)));
            assert!(scaled.iter().zip(&plain).any(|(s, p)| *s < 0.9 * *p && *s > 0.2 * *p), "a ramp between");
        }
        assert!((frequencies(&config).1 - (0.1 * 8f64.ln() + 1.0)).abs() < 1e-12);
    }

    #[test]
    fn values_that_do_not_fit_are_named() {
        let mut config = Config::llama(10, 32, 1, 4);
        let mut error = |scaling| {
            config.rope_scaling = Some(scaling);
            config.validate().unwrap_err().to_string()
        };
        assert!(error(RopeScaling::Linear { factor: 0.5 }).contains("linear: `factor` is 0.5"));
        let dynamic = RopeScaling::Dynamic { factor: 2.0, original_max_position_embeddings: 2048 };
        assert!(error(dynamic).contains("`max_position_embeddings` is 2048"));
        assert!(error(RopeScaling::yarn(2.0, 0)).contains("`original_max_position_embeddings` is 0"));
        let llama3 = RopeScaling::Llama3 { factor: 2.0, low_freq_factor: 4.0, high_freq_factor: 4.0, original_max_position_embeddings: 64 };
        assert!(error(llama3).contains("`low_freq_factor` 4"));
    }
}
