//! Generation and scoring: KV cache, batching, sampling, log-likelihood.
//!
//! - [`generate`]: prompts in, tokens out; greedy or sampled, many at a time.
//! - [`log_likelihoods`]: how likely continuations are, as evaluation tasks ask.
//! - [`row_nll`] and [`bits_per_byte`]: how well whole rows are predicted.
//!
//! Everything gives the same answer in a batch as alone, up to rounding. This crate knows token ids only: no text,
//! no Parquet, no run directory, no TOML.

mod batch;
mod error;
mod generate;
mod sampling;
mod score;

pub use error::{Error, Result};
pub use generate::{GenerateOptions, Generation, Stop, generate};
pub use sampling::Sampling;
pub use score::{Request, Score, bits_per_byte, log_likelihoods, row_nll};
