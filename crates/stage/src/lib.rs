//! What every stage binary shares: flags, configuration, logging, progress, metrics, exit codes, cancellation.
//!
//! A stage implements [`Stage`] and its `main.rs` is one call of [`main_stage`].
//! This crate knows no domain type: no document, no tensor, no token.
//!
//! Exit codes ([`Exit`]): 0 done; 1 the stage failed; 2 bad usage or configuration; 3 upstream output missing or invalid;
//! 130 interrupted after a clean save.
//!
//! stderr carries messages and progress, stdout only data that was asked for.

mod cli;
pub mod config;
mod context;
mod error;
mod inputs;
mod logging;
mod metrics;
mod progress;
mod report;
mod run;
mod signal;
pub mod stamp;

pub use cli::{ColorChoice, CommonArgs, MOST_THREADS, Worker, with_flags};
pub use config::{ConfigError, ConfigProblem, Loaded, PipelineFile, REFERENCE_KEYS, STAGE_NAMES, Source, VARIANT_NAME, is_variant_name};
pub use context::{InputRef, StageContext};
pub use error::{Exit, Failure, StageError, print_error};
pub use inputs::TableInputs;
pub use metrics::{Metrics, Records, truncate_after};
pub use progress::{Bar, Progress};
pub use report::{DryRun, DryUnit, Report};
pub use run::{Command, Stage, main_stage};
pub use signal::{CancelToken, ignores_hangup, install as install_signals};
