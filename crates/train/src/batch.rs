//! Batch arithmetic: rows and tokens of a step, and how many steps a horizon is. Computed once, checked, printed.

use std::fmt;

use crate::{Error, Result};

/// Most rows of one optimizer step: their numbers and ids are held in memory.
pub const MOST_ROWS: u64 = 1 << 20;

/// How a step's rows are split into forward passes.
///
/// A row is one training row (a packed sample, or one conversation); a micro-batch is what one forward pass sees;
/// a step is one optimizer update over `accumulation` micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlan {
    /// Rows of one optimizer step.
    pub rows_per_step: u64,
    /// Rows of one forward pass.
    pub micro_rows: u64,
    /// Forward passes of one step: `rows_per_step / micro_rows`.
    pub accumulation: u64,
    /// Predicted tokens of a row (an upper bound where rows are padded).
    pub tokens_per_row: u64,
}

impl BatchPlan {
    /// Splits a step of `rows_per_step` rows into micro-batches of `micro_rows` (`None`: one micro-batch).
    ///
    /// # Errors
    /// [`Error::Batch`] with both numbers where one does not divide the other, or one of them is zero; [`Error::TooMany`] beyond
    /// [`MOST_ROWS`].
    pub fn new(rows_per_step: u64, micro_rows: Option<u64>, tokens_per_row: u64) -> Result<Self> {
        if rows_per_step > MOST_ROWS {
            return Err(Error::TooMany { key: "batch_rows", got: rows_per_step, most: MOST_ROWS });
        }
        let micro_rows = micro_rows.unwrap_or(rows_per_step);
        if rows_per_step == 0 || micro_rows == 0 || !rows_per_step.is_multiple_of(micro_rows) {
            return Err(Error::Batch { rows_per_step, micro_rows });
        }
        Ok(Self { rows_per_step, micro_rows, accumulation: rows_per_step / micro_rows, tokens_per_row })
    }

    /// Predicted tokens of one step (an upper bound where rows are padded).
    pub fn tokens_per_step(&self) -> u64 {
        self.rows_per_step * self.tokens_per_row
    }
}

impl fmt::Display for BatchPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows × {} tokens = {} tokens a step ({} micro-batch(es) of {} rows)",
            self.rows_per_step,
            self.tokens_per_row,
            self.tokens_per_step(),
            self.accumulation,
            self.micro_rows
        )
    }
}

/// How long to train, in one of three units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Horizon {
    /// Passes over the rows; fractions are allowed.
    Epochs(f64),
    /// Optimizer steps.
    Steps(u64),
    /// Predicted tokens.
    Tokens(u64),
    /// Predicted tokens for each parameter of the model (Hoffmann et al., arXiv 2203.15556, found about 20 to be best for the
    /// compute spent); see [`Horizon::resolved`].
    TokensPerParameter(f64),
    /// Minutes of training, without evaluating and saving. Turned into steps by measuring the first ones, once.
    Minutes(f64),
}

impl Horizon {
    /// The one horizon that is given.
    ///
    /// # Errors
    /// [`Error::Horizon`] unless exactly one is given and it is positive and no more than anybody could wait for.
    pub fn one_of(given: impl IntoIterator<Item = Option<Self>>) -> Result<Self> {
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(horizon), None) if horizon.is_positive() && !horizon.is_reachable() => {
                Err(Error::Horizon { problem: "it is more than 10^12 steps, epochs, minutes or tokens a parameter, or 10^18 tokens" })
            }
            (Some(horizon), None) if horizon.is_positive() => Ok(horizon),
            (Some(_), None) => Err(Error::Horizon { problem: "it is not positive" }),
            (Some(_), Some(_)) => Err(Error::Horizon { problem: "more than one is set" }),
            (None, _) => Err(Error::Horizon { problem: "none is set" }),
        }
    }

    fn is_positive(self) -> bool {
        match self {
            Self::Epochs(n) | Self::TokensPerParameter(n) | Self::Minutes(n) => n > 0.0 && n.is_finite(),
            Self::Steps(n) | Self::Tokens(n) => n > 0,
        }
    }

    /// Far beyond any training, and far below where arithmetic ends.
    fn is_reachable(self) -> bool {
        match self {
            Self::Epochs(n) | Self::TokensPerParameter(n) | Self::Minutes(n) => n <= 1e12,
            Self::Steps(n) => n <= 1_000_000_000_000,
            Self::Tokens(n) => n <= 1_000_000_000_000_000_000,
        }
    }

    /// The same as predicted tokens, where it depends on the number of parameters.
    #[must_use]
    pub fn resolved(self, num_params: u64) -> Self {
        match self {
            Self::TokensPerParameter(ratio) => Self::Tokens((ratio * num_params as f64).ceil().max(1.0) as u64),
            other => other,
        }
    }

    /// Optimizer steps over `rows` rows, rounded up; zero where there are no rows, and where the steps are not known yet.
    pub fn steps(self, rows: u64, plan: &BatchPlan) -> u64 {
        if rows == 0 {
            return 0;
        }
        match self {
            Self::Epochs(epochs) => steps_of_passes(epochs, rows, plan),
            Self::Steps(steps) => steps,
            Self::Tokens(tokens) => tokens.div_ceil(plan.tokens_per_step().max(1)),
            Self::TokensPerParameter(_) | Self::Minutes(_) => 0,
        }
    }

    /// Passes over `rows` rows that this horizon means.
    pub fn passes(self, rows: u64, plan: &BatchPlan) -> f64 {
        match self {
            Self::Epochs(epochs) => epochs,
            _ if rows == 0 => 0.0,
            _ => (self.steps(rows, plan) * plan.rows_per_step) as f64 / rows as f64,
        }
    }
}

/// Steps that `passes` over `rows` rows take, rounded up (to within 1e-9, so that exact products stay exact).
pub fn steps_of_passes(passes: f64, rows: u64, plan: &BatchPlan) -> u64 {
    if rows == 0 || passes <= 0.0 {
        return 0;
    }
    let exact = passes * rows as f64 / plan.rows_per_step as f64;
    ((exact - 1e-9).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked_and_printed() {
        let plan = BatchPlan::new(32, Some(8), 128).unwrap();
        assert_eq!((plan.accumulation, plan.tokens_per_step()), (4, 4096));
        assert_eq!(plan.to_string(), "32 rows × 128 tokens = 4096 tokens a step (4 micro-batch(es) of 8 rows)");
        let message = BatchPlan::new(32, Some(5), 128).unwrap_err().to_string();
        assert!(message.contains("32") && message.contains('5'), "{message}");
        assert!(BatchPlan::new(0, None, 128).is_err());
        let message = BatchPlan::new(100_000_000_000, None, 128).unwrap_err().to_string();
        assert_eq!(message, "`batch_rows` is 100000000000, at most 1048576 are possible");
    }

    #[test]
    fn horizons_round_up() {
        let plan = BatchPlan::new(32, None, 128).unwrap();
        assert_eq!(Horizon::Epochs(2.0).steps(100, &plan), 7);
        assert_eq!(Horizon::Epochs(0.5).steps(64, &plan), 1);
        assert_eq!(Horizon::Tokens(4097).steps(100, &plan), 2);
        assert_eq!(Horizon::Steps(9).steps(100, &plan), 9);
        assert_eq!(Horizon::Steps(9).steps(0, &plan), 0);
        assert!((Horizon::Steps(50).passes(800, &plan) - 2.0).abs() < 1e-12);
        assert_eq!(steps_of_passes(Horizon::Steps(7).passes(96, &plan), 96, &plan), 7);
    }

    #[test]
    fn exactly_one_horizon() {
        let check = |given: [Option<Horizon>; 3]| Horizon::one_of(given);
        assert_eq!(check([None, Some(Horizon::Steps(3)), None]).unwrap(), Horizon::Steps(3));
        for bad in [Horizon::Epochs(0.0), Horizon::Steps(0), Horizon::Minutes(f64::NAN), Horizon::TokensPerParameter(-1.0)] {
            assert!(check([None, Some(bad), None]).is_err(), "{bad:?}");
        }
        for bad in [Horizon::Epochs(1e13), Horizon::Steps(u64::MAX), Horizon::Tokens(u64::MAX)] {
            assert!(check([None, Some(bad), None]).unwrap_err().to_string().contains("more than 10^12 steps"), "{bad:?}");
        }
        assert!(check([None; 3]).is_err());
        assert!(check([Some(Horizon::Epochs(1.0)), Some(Horizon::Steps(3)), None]).is_err());
    }

    #[test]
    fn tokens_for_each_parameter_are_tokens() {
        assert_eq!(Horizon::TokensPerParameter(20.0).resolved(1_000), Horizon::Tokens(20_000));
        assert_eq!(Horizon::Steps(3).resolved(1_000), Horizon::Steps(3));
    }
}
