//! The runner: reads `pipelines/*.toml`, works out what is stale, runs stage binaries in order.
//!
//! It knows stages by name only: the order comes from the keys that refer to other stages (`stage::REFERENCE_KEYS`),
//! what is up to date from the stamp each stage leaves (`stage::stamp`), and the work is done by the binaries beside its own.
//!
//! A stage runs when it never finished, when its table in the file (or `--set`), its binary, anything it reads or its own
//! output changed, or when a stage before it runs; `--force` runs all. It then decides itself, unit by unit, what is to be done.
//!
//! Invariants:
//! - **No stage is linked in**; a stage is a program with the command line that `stage` describes.
//! - **When nothing is stale no binary is started.**
//! - **The exit code of a failing stage is the runner's.**

mod args;
mod error;
mod exec;
mod refs;
mod runner;
mod summary;

use std::process::ExitCode;

use stage::{Exit, StageError, print_error};

pub use args::Args;
pub use error::Error;

/// The whole program.
pub fn main() -> ExitCode {
    match runner::run(&Args::parse_process()) {
        Ok(()) => Exit::Done.into(),
        Err(Failed { code, error }) => {
            print_error(&error);
            ExitCode::from(code)
        }
    }
}

/// An error with the exit code that goes with it, which may be a stage's own.
#[derive(Debug)]
pub(crate) struct Failed {
    code: u8,
    error: StageError,
}

impl From<Error> for Failed {
    fn from(e: Error) -> Self {
        Self { code: e.code(), error: e.into() }
    }
}

impl From<StageError> for Failed {
    fn from(error: StageError) -> Self {
        Self { code: error.exit() as u8, error }
    }
}
