//! Learning-rate schedules: a multiplier in [0, 1] for every step, with linear warm-up before all of them.

use serde::{Deserialize, Serialize};

use crate::lineage::Phase;
use crate::{Error, Result};

/// Shape of the decay after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// No decay.
    Constant,
    /// A straight line from 1 to the floor.
    Linear,
    /// Half a cosine from 1 to the floor.
    Cosine,
    /// Warm-up, stable, decay: 1 until the last `decay_share` of the steps, then `1 - √t` down to the floor.
    Wsd,
}

/// A schedule over a known number of steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Shape of the decay.
    pub decay: Decay,
    /// Steps of linear warm-up; step 0 already has 1/`warmup_steps`.
    pub warmup_steps: u64,
    /// Share of all steps that `wsd` decays over.
    pub decay_share: f64,
    /// The multiplier never decays below this.
    pub min_share: f64,
}

impl Schedule {
    /// Checks that shares lie in [0, 1].
    ///
    /// # Errors
    /// [`Error::Schedule`] with the key and the value.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("decay_share", self.decay_share), ("min_lr_share", self.min_share)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Schedule { key, value });
            }
        }
        Ok(())
    }

    /// The same schedule with its warm-up shortened to fit `steps` as it fits `reference_steps`, for a follow-up phase.
    #[must_use]
    pub fn scaled(&self, steps: u64, reference_steps: u64) -> Self {
        let warmup = self.warmup_steps as f64 * steps as f64 / reference_steps.max(1) as f64;
        Self { warmup_steps: (warmup.ceil() as u64).min(self.warmup_steps), ..*self }
    }

    /// Multiplier of the peak learning rate at a step of a phase; `first_steps` are those of the first phase, for which the
    /// warm-up was configured.
    pub fn at(&self, phase: &Phase, step_in_phase: u64, first_steps: u64) -> f64 {
        if phase.cooldown {
            let t = step_in_phase as f64 / phase.steps.max(1) as f64;
            return self.min_share + (1.0 - self.min_share) * (1.0 - t.clamp(0.0, 1.0).sqrt());
        }
        self.scaled(phase.steps, first_steps).multiplier(step_in_phase, phase.steps)
    }

    /// Multiplier of the peak learning rate at `step` of `total`, always within [0, 1].
    pub fn multiplier(&self, step: u64, total: u64) -> f64 {
        let warmup = if self.warmup_steps == 0 { 1.0 } else { (step + 1) as f64 / self.warmup_steps as f64 };
        let left = total.saturating_sub(self.warmup_steps).max(1) as f64;
        let t = (step.saturating_sub(self.warmup_steps) as f64 / left).clamp(0.0, 1.0);
        let falling = |share: f64| self.min_share + (1.0 - self.min_share) * share;
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => falling(1.0 - t),
            Decay::Cosine => falling(0.5 * (1.0 + (std::f64::consts::PI * t).cos())),
            Decay::Wsd => {
                let decaying = (self.decay_share * total as f64).max(1.0);
                let into = (step as f64 - (total as f64 - decaying)) / decaying;
                falling(1.0 - into.clamp(0.0, 1.0).sqrt())
            }
        };
        (warmup.min(1.0) * decay).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule { decay, warmup_steps: 10, decay_share: 0.4, min_share: 0.05 }
    }

    #[test]
    fn warm_up_then_decay() {
        let check = |decay, step, expected: f64| {
            let got = schedule(decay).multiplier(step, 110);
            assert!((got - expected).abs() < 1e-12, "{decay:?} {step}: {got} != {expected}");
        };
        for decay in [Decay::Constant, Decay::Linear, Decay::Cosine, Decay::Wsd] {
            check(decay, 0, 0.1);
            check(decay, 9, 1.0);
            check(decay, 10, 1.0);
        }
        check(Decay::Constant, 109, 1.0);
        check(Decay::Linear, 60, 0.05 + 0.95 * 0.5);
        check(Decay::Cosine, 60, 0.05 + 0.95 * 0.5);
        check(Decay::Wsd, 66, 1.0);
        check(Decay::Wsd, 77, 0.05 + 0.95 * (1.0 - 0.5));
        check(Decay::Wsd, 110, 0.05);
    }

    #[test]
    fn a_cooldown_falls_from_the_peak_to_the_floor() {
        let phase = Phase { first_step: 500, steps: 100, cooldown: true, ..Phase::default() };
        let at = |step| schedule(Decay::Constant).at(&phase, step, 1000);
        assert!((at(0) - 1.0).abs() < 1e-12);
        assert!((at(25) - (0.05 + 0.95 * 0.5)).abs() < 1e-12);
        assert!(at(99) > 0.05 && at(99) < 0.06);
        let phase = Phase { cooldown: false, ..phase };
        assert!((schedule(Decay::Constant).at(&phase, 0, 1000) - 1.0).abs() < 1e-12, "10 of 1000 steps are 1 of 100");
    }

    #[test]
    fn always_within_bounds_and_finite() {
        for decay in [Decay::Constant, Decay::Linear, Decay::Cosine, Decay::Wsd] {
            for (warmup_steps, total) in [(0, 1), (10, 5), (10, 10), (0, 0), (3, 1000)] {
                let s = Schedule { warmup_steps, ..schedule(decay) };
                for step in [0, 1, 4, 9, 10, 999, 1000, 5000] {
                    let m = s.multiplier(step, total);
                    assert!((0.0..=1.0).contains(&m), "{decay:?} {warmup_steps} {total} {step}: {m}");
                }
            }
        }
    }

    #[test]
    fn shares_are_checked_and_phases_scale_the_warm_up() {
        assert!(Schedule { min_share: 1.5, ..schedule(Decay::Linear) }.validate().is_err());
        assert_eq!(schedule(Decay::Linear).scaled(25, 100).warmup_steps, 3);
        assert_eq!(schedule(Decay::Linear).scaled(500, 100).warmup_steps, 10);
    }
}
