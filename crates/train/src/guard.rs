//! Judges every step by its loss and gradient norm, so that one bad batch does not ruin the weights.
//!
//! A step is skipped when its loss or gradient norm is not finite, or lies more than `sigma` standard deviations above the
//! mean of the last [`WINDOW`] steps (as OLMo's skip-step optimizers do, with 6 and 128). Skipped steps enter the window too,
//! unless they are not finite: a loss that has risen for good is taken as the new level and does not stop training.
//! All of it is done on the device, so that a GPU is never waited for; the state is part of a checkpoint.

use model::Model;
use tch::{Device, Kind, Tensor};

use crate::Result;

/// Steps that mean and deviation are taken over.
pub const WINDOW: i64 = 128;
/// Steps that must be known before an outlier is one.
const NEEDED: f64 = WINDOW as f64 / 2.0;

/// What the guard knows of past steps.
#[derive(Debug)]
pub struct Guard {
    /// Standard deviations above the mean that are still taken; 0: only steps that are not finite are skipped.
    sigma: f64,
    /// Losses and gradient norms of the last steps, f32 `[2, WINDOW]`; NaN where there is none.
    window: Tensor,
    /// Steps skipped in all, and in a row; f32 `[2]`.
    skipped: Tensor,
}

/// Steps that were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Since the training began.
    pub total: u64,
    /// One after the other, up to the last step.
    pub in_a_row: u64,
}

impl Guard {
    /// No steps so far.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(sigma: f64, device: Device) -> Result<Self> {
        let window = Tensor::f_full([2, WINDOW], f64::NAN, (Kind::Float, device))?;
        Ok(Self { sigma, window, skipped: Tensor::f_zeros([2], (Kind::Float, device))? })
    }

    /// A guard for what `model` trains.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn of(model: &Model, sigma: f64) -> Result<Self> {
        Self::new(sigma, model.device())
    }

    /// Whether the step (counted from 0) with this loss and gradient norm, both 0-d f32, must be skipped: a 0-d f32, 1 or 0.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn judge(&mut self, step: u64, loss: &Tensor, norm: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| {
            let values = Tensor::f_stack(&[loss, norm], 0)?.f_to_kind(Kind::Float)?;
            let mut bad = values.f_isfinite()?.f_logical_not()?;
            if self.sigma > 0.0 {
                let window = self.window.f_to_kind(Kind::Double)?;
                let known = window.f_isfinite()?;
                let filled = window.f_nan_to_num(0.0, 0.0, 0.0)?;
                let sum = |t: &Tensor| t.f_sum_dim_intlist([1].as_slice(), true, Kind::Double);
                let count = sum(&known.f_to_kind(Kind::Double)?)?;
                let mean = (sum(&filled)? / count.f_clamp_min(1.0)?).f_mul(&count.f_gt(0.0)?)?;
                let off = filled.f_sub(&mean)?.f_mul(&known)?;
                let deviation = (sum(&off.f_square()?)? / (&count - 1.0).f_clamp_min(1.0)?).f_sqrt()?;
                let limit = (mean + deviation * self.sigma).f_squeeze_dim(1)?;
                let outlier = values.f_to_kind(Kind::Double)?.f_gt_tensor(&limit)?;
                bad = bad.f_logical_or(&outlier.f_logical_and(&count.f_ge(NEEDED)?.f_squeeze_dim(1)?)?)?;
            }
            let skip = bad.f_any()?.f_to_kind(Kind::Float)?;
            let infinite_as_nan = values.f_where_self(&values.f_isfinite()?, &Tensor::f_full_like(&values, f64::NAN)?)?;
            self.window.f_select(1, (step as i64).rem_euclid(WINDOW))?.f_copy_(&infinite_as_nan)?;
            let (mut total, mut in_a_row) = (self.skipped.f_select(0, 0)?, self.skipped.f_select(0, 1)?);
            let _ = total.f_add_(&skip)?;
            let next = (in_a_row.f_add_scalar(1.0)?).f_mul(&skip)?;
            in_a_row.f_copy_(&next)?;
            Ok(skip)
        })
    }

    /// Reads the counters; waits for a GPU.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn skipped(&self) -> Result<Skipped> {
        let counts = Vec::<f64>::try_from(self.skipped.f_to_kind(Kind::Double)?)?;
        Ok(Skipped { total: counts[0] as u64, in_a_row: counts[1] as u64 })
    }

    /// What a checkpoint holds of it, by name.
    pub(crate) fn tensors(&self) -> [(String, &Tensor); 2] {
        [("guard.window".to_owned(), &self.window), ("guard.skipped".to_owned(), &self.skipped)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(guard: &mut Guard, step: u64, loss: f64, norm: f64) -> bool {
        let scalar = |v: f64| Tensor::from(v as f32);
        f64::try_from(guard.judge(step, &scalar(loss), &scalar(norm)).unwrap()).unwrap() == 1.0
    }

    /// Losses around 2 with a deviation of about 0.1.
    fn wobble(step: u64) -> f64 {
        2.0 + [0.1, -0.1, 0.12, -0.08][(step % 4) as usize]
    }

    #[test]
    fn outliers_are_skipped_once_enough_steps_are_known() {
        let mut guard = Guard::new(6.0, Device::Cpu).unwrap();
        assert!(!judge(&mut guard, 0, 50.0, 1.0), "nothing is known yet");
        for step in 1..200 {
            assert!(!judge(&mut guard, step, wobble(step), 1.0 + 0.01 * (step % 3) as f64), "step {step}");
        }
        // Mean 2.01 and deviation 0.11: the limit is about 2.67, the first step has left the window.
        assert!(!judge(&mut guard, 200, 2.5, 1.0));
        assert!(judge(&mut guard, 201, 3.2, 1.0), "loss");
        assert!(judge(&mut guard, 202, 2.0, 9.0), "gradient norm");
        assert!(!judge(&mut guard, 203, 0.1, 0.1), "lower is never bad");
        assert_eq!(guard.skipped().unwrap(), Skipped { total: 2, in_a_row: 0 });
    }

    #[test]
    fn a_level_that_stays_is_taken_in_the_end() {
        let mut guard = Guard::new(6.0, Device::Cpu).unwrap();
        for step in 0..128 {
            judge(&mut guard, step, wobble(step), 1.0);
        }
        let skipped = (128..256).filter(|&step| judge(&mut guard, step, 5.0 + wobble(step), 1.0)).count();
        assert!((1..20).contains(&skipped), "{skipped}");
    }

    #[test]
    fn what_is_not_finite_is_always_skipped_and_never_remembered() {
        for sigma in [0.0, 6.0] {
            let mut guard = Guard::new(sigma, Device::Cpu).unwrap();
            for step in 0..300 {
                let bad = step % 3 == 2;
                let loss = if bad { [f64::NAN, f64::INFINITY][(step % 2) as usize] } else { wobble(step) };
                assert_eq!(judge(&mut guard, step, loss, 1.0), bad, "sigma {sigma} step {step}");
            }
            assert_eq!(guard.skipped().unwrap(), Skipped { total: 100, in_a_row: 1 });
            assert!(judge(&mut guard, 300, 2.0, f64::NAN));
            assert_eq!(guard.skipped().unwrap().in_a_row, 2);
            assert_eq!(judge(&mut guard, 301, 1e6, 1.0), sigma > 0.0, "an outlier counts as one only where a sigma is given");
        }
    }
}
