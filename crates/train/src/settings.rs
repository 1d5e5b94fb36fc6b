//! Hyperparameters that all training stages share, checked in one place.

use crate::checkpoint::Keep;
use crate::optimizer::OptimizerConfig;
use crate::schedule::{Decay, Schedule};
use crate::trainer::LoopSettings;
use serde::{Deserialize, Serialize};

/// Type of the weights in model folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsType {
    /// float32: what was trained, exactly.
    Fp32,
    /// bfloat16.
    Bf16,
}

impl WeightsType {
    /// The type as the model's writer names it.
    pub fn dtype(self) -> model::Dtype {
        match self {
            WeightsType::Fp32 => model::Dtype::F32,
            WeightsType::Bf16 => model::Dtype::Bf16,
        }
    }
}

/// The keys of a configuration that change the weights, as they stand: all but `others`, and those that are set.
pub fn recipe(config: &impl Serialize, others: &[&str]) -> serde_json::Map<String, serde_json::Value> {
    let mut map = match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    map.retain(|key, value| !others.contains(&key.as_str()) && !value.is_null());
    map
}

/// A [`Hyper`] from a configuration that has fields of the same names, as every training stage's has.
#[macro_export]
macro_rules! hyper {
    ($config:expr) => {
        $crate::settings::Hyper {
            learning_rate: $config.learning_rate,
            muon_learning_rate: $config.muon_learning_rate,
            schedule: $config.schedule,
            warmup_steps: $config.warmup_steps,
            decay_share: $config.decay_share,
            min_lr_share: $config.min_lr_share,
            weight_decay: $config.weight_decay,
            beta1: $config.beta1,
            beta2: $config.beta2,
            eps: $config.eps,
            clip_norm: $config.clip_norm,
            log_every: $config.log_every,
            save_every: $config.save_every,
            keep_last: $config.keep_last,
            keep_every: $config.keep_every,
            keep_best: $config.keep_best,
            skip_sigma: $config.skip_sigma,
            max_skipped: $config.max_skipped,
            activation_checkpointing: $config.activation_checkpointing,
            eval_every: $config.eval_every,
            replay: $config.replay,
        }
    };
}

/// Optimizer, schedule and housekeeping settings as a stage's configuration gives them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "each field is the key of the same name, which the stages' default.toml document")]
pub struct Hyper {
    pub learning_rate: f64,
    pub muon_learning_rate: Option<f64>,
    pub schedule: Decay,
    pub warmup_steps: u64,
    pub decay_share: f64,
    pub min_lr_share: f64,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub clip_norm: f64,
    pub log_every: u64,
    pub save_every: u64,
    pub keep_last: usize,
    pub keep_every: Option<u64>,
    pub keep_best: bool,
    pub skip_sigma: f64,
    pub max_skipped: u64,
    pub activation_checkpointing: bool,
    pub eval_every: u64,
    pub replay: f64,
}

impl Hyper {
    /// Checks every value.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [("learning_rate", self.learning_rate), ("eps", self.eps)] {
            if value <= 0.0 || !value.is_finite() {
                return Err((key, format!("is {value}, it must be positive")));
            }
        }
        if let Some(value) = self.muon_learning_rate
            && (value <= 0.0 || !value.is_finite())
        {
            return Err(("muon_learning_rate", format!("is {value}, it must be positive")));
        }
        let at_least_zero =
            [("weight_decay", self.weight_decay), ("clip_norm", self.clip_norm), ("replay", self.replay), ("skip_sigma", self.skip_sigma)];
        for (key, value) in at_least_zero {
            if value < 0.0 || !value.is_finite() {
                return Err((key, format!("is {value}, it must not be negative")));
            }
        }
        for (key, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err((key, format!("is {value}, it must be at least 0 and below 1")));
            }
        }
        for (key, value) in [("decay_share", self.decay_share), ("min_lr_share", self.min_lr_share)] {
            if !(0.0..=1.0).contains(&value) {
                return Err((key, format!("is {value}, it must lie between 0 and 1")));
            }
        }
        let at_least_one = [
            ("log_every", self.log_every),
            ("save_every", self.save_every),
            ("max_skipped", self.max_skipped),
            ("keep_every", self.keep_every.unwrap_or(1)),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err((key, "is 0, it must be at least 1".to_owned()));
            }
        }
        if let Some(every) = self.keep_every.filter(|every| !every.is_multiple_of(self.save_every)) {
            return Err(("keep_every", format!("is {every}, it must be a multiple of `save_every` = {}", self.save_every)));
        }
        if self.keep_last < 2 {
            return Err(("keep_last", format!("is {}: with fewer than 2, a damaged checkpoint would lose the training", self.keep_last)));
        }
        Ok(())
    }

    /// The loop's settings; `limit` is for smoke runs.
    pub fn settings(&self, limit: Option<u64>) -> LoopSettings {
        LoopSettings {
            learning_rate: self.learning_rate,
            schedule: self.schedule(),
            save_every: self.save_every,
            eval_every: (self.eval_every > 0).then_some(self.eval_every),
            log_every: self.log_every,
            keep_best: self.keep_best,
            skip_sigma: self.skip_sigma,
            max_skipped: self.max_skipped,
            recompute: self.activation_checkpointing,
            limit,
        }
    }

    /// Which checkpoints are kept.
    pub fn keep(&self) -> Keep {
        Keep { last: self.keep_last, every: self.keep_every }
    }

    /// The learning-rate schedule.
    pub fn schedule(&self) -> Schedule {
        let Self { schedule: decay, warmup_steps, decay_share, min_lr_share: min_share, .. } = *self;
        Schedule { decay, warmup_steps, decay_share, min_share }
    }

    /// The optimizer's settings.
    pub fn optimizer(&self) -> OptimizerConfig {
        let Self { beta1, beta2, eps, weight_decay, clip_norm, .. } = *self;
        let muon_lr_ratio = self.muon_learning_rate.map(|lr| lr / self.learning_rate);
        OptimizerConfig { beta1, beta2, eps, weight_decay, clip_norm: (clip_norm > 0.0).then_some(clip_norm), muon_lr_ratio }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_names_its_key() {
        let good = Hyper {
            learning_rate: 1e-3,
            muon_learning_rate: None,
            schedule: Decay::Linear,
            warmup_steps: 0,
            decay_share: 0.2,
            min_lr_share: 0.0,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            clip_norm: 0.0,
            log_every: 1,
            save_every: 1,
            keep_last: 2,
            keep_every: None,
            keep_best: true,
            skip_sigma: 6.0,
            max_skipped: 10,
            activation_checkpointing: false,
            eval_every: 0,
            replay: 0.0,
        };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(good.optimizer().clip_norm, None);
        let check = |bad: Hyper, key: &str| assert_eq!(bad.validate().unwrap_err().0, key);
        check(Hyper { learning_rate: 0.0, ..good }, "learning_rate");
        check(Hyper { muon_learning_rate: Some(-1.0), ..good }, "muon_learning_rate");
        check(Hyper { eps: f64::NAN, ..good }, "eps");
        check(Hyper { clip_norm: -1.0, ..good }, "clip_norm");
        check(Hyper { beta2: 1.0, ..good }, "beta2");
        check(Hyper { min_lr_share: 1.1, ..good }, "min_lr_share");
        check(Hyper { save_every: 0, ..good }, "save_every");
        check(Hyper { keep_last: 1, ..good }, "keep_last");
        check(Hyper { skip_sigma: -1.0, ..good }, "skip_sigma");
        check(Hyper { max_skipped: 0, ..good }, "max_skipped");
        check(Hyper { keep_every: Some(0), ..good }, "keep_every");
        check(Hyper { keep_every: Some(15), save_every: 10, ..good }, "keep_every");
    }
}
