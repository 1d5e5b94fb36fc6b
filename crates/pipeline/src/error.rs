//! What can go wrong in the runner itself; a failing stage explains itself, and its exit code is passed on.

use std::path::PathBuf;

use stage::{Exit, Failure};

/// Errors of the runner.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `--config`.
    #[error("no pipeline file given")]
    NoConfig,
    /// A flag that makes no sense for the runner, or flags that contradict each other.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// A stage named on the command line that the file does not have.
    #[error("`{flag} {stage}`: `{path}` has no [stage.{stage}] table")]
    NotInFile {
        /// `--from`, `--to` or `--only`.
        flag: &'static str,
        /// The stage.
        stage: String,
        /// The pipeline file.
        path: PathBuf,
        /// Stages of the file, in order.
        stages: Vec<String>,
    },
    /// A reference to nothing.
    #[error("{place}: {message}{excerpt}")]
    UnknownReference {
        /// File, line and column, or the stage's table.
        place: String,
        /// What is wrong.
        message: String,
        /// The line with a caret, after a line break; empty where the place is not known.
        excerpt: String,
        /// What could be meant.
        hint: Option<String>,
    },
    /// A stage binary is missing or cannot be started.
    #[error("cannot start stage `{stage}`: `{path}`")]
    Start {
        /// Stage name.
        stage: String,
        /// Its binary.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A stage ended with an exit code other than 0.
    #[error("stage `{stage}` failed with exit code {code}; the stages after it were not run: {after}")]
    Stage {
        /// Stage name.
        stage: String,
        /// Its exit code.
        code: u8,
        /// Stages that were to come, or `none`.
        after: String,
        /// The command that goes on from here.
        again: String,
    },
    /// The runner was asked to stop.
    #[error("interrupted {at}; what was finished is saved")]
    Interrupted {
        /// Where: `in stage sft`, `before stage sft`.
        at: String,
        /// The command that goes on from here.
        again: String,
    },
    /// Signals cannot be caught.
    #[error("cannot handle signals")]
    Signals(#[source] std::io::Error),
    /// The directory of our own binary is not known.
    #[error("cannot find the directory of the stage binaries")]
    OwnPath(#[source] std::io::Error),
}

impl Error {
    /// Exit code of the runner: a stage's own where one failed.
    pub fn code(&self) -> u8 {
        match self {
            Error::Stage { code, .. } => *code,
            other => Failure::exit(other) as u8,
        }
    }
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Error::NoConfig | Error::Usage { .. } | Error::NotInFile { .. } | Error::UnknownReference { .. } => Exit::Usage,
            Error::Interrupted { .. } => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NoConfig => Some("pipeline --config pipelines/tiny.toml".into()),
            Error::Usage { hint, .. } => Some(hint.clone()),
            Error::NotInFile { stages, .. } => Some(format!("its stages are: {}", stages.join(", "))),
            Error::UnknownReference { hint, .. } => hint.clone(),
            Error::Start { .. } => Some("`make build` leaves all stage binaries beside the runner".into()),
            Error::Stage { again, .. } | Error::Interrupted { again, .. } => Some(format!("finished work is kept; go on with `{again}`")),
            _ => None,
        }
    }
}
