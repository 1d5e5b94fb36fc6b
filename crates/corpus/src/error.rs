//! The one error type of this crate.

use std::path::PathBuf;

/// What can go wrong when reading a task file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("cannot read task file `{path}`")]
    Read {
        /// Path as given.
        path: PathBuf,
        /// Cause from the operating system.
        source: std::io::Error,
    },
    /// A line is not a JSON object, or lacks a key that has no default.
    #[error("`{name}` line {line}: {problem}")]
    Row {
        /// Name of the file or stream.
        name: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}
