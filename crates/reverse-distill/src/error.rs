//! What can go wrong in the stage.

use std::path::PathBuf;

use stage::{Exit, Failure};

/// An error of the stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hand-off: upstream, shards, manifest.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// The teacher: budget, quota, key, log.
    #[error("teacher `{teacher}` stopped")]
    Teacher {
        /// Which one.
        teacher: &'static str,
        /// Why.
        source: teacher::Error,
    },
    /// A task file that cannot be read.
    #[error("task file `{path}` cannot be used")]
    TaskFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: corpus::Error,
    },
    /// A task file without a single held-out row.
    #[error("no row of `{path}` is held out")]
    NothingHeldOut {
        /// The file.
        path: PathBuf,
    },
    /// `documents` is no stage.
    #[error("`documents` is `{got}`, which is no stage")]
    NotAStage {
        /// What it is.
        got: String,
    },
    /// Rows could not be put into a table.
    #[error("cannot build the rows of `{unit}`")]
    Rows {
        /// The unit.
        unit: String,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// Some documents got no answer; the others' answers are kept.
    #[error("{count} of {asked} documents of `{unit}` got no answer, the first because: {reason}")]
    Unanswered {
        /// The unit.
        unit: String,
        /// How many.
        count: usize,
        /// Of how many.
        asked: usize,
        /// Why the first did not.
        reason: String,
    },
    /// Units that failed, after the others were done.
    #[error("{failed} of {units} shards failed, the first is `{first}`")]
    Units {
        /// How many.
        failed: usize,
        /// Of how many.
        units: usize,
        /// The first.
        first: String,
        /// Why.
        source: Box<Error>,
    },
    /// A clean stop was asked for.
    #[error("interrupted; what was finished is saved")]
    Interrupted,
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Error::Handoff(e) => Failure::exit(e),
            Error::Units { source, .. } => Failure::exit(source.as_ref()),
            Error::NotAStage { .. } | Error::NothingHeldOut { .. } | Error::TaskFile { .. } => Exit::Usage,
            Error::Teacher { source: teacher::Error::Prompt { .. } | teacher::Error::BaseUrl { .. }, .. } => Exit::Usage,
            Error::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Handoff(e) => return Failure::hint(e),
            Error::Units { source, .. } => return Failure::hint(source.as_ref()),
            Error::Teacher { source, .. } => match source {
                teacher::Error::Budget { cap, .. } => format!("every reply so far is kept; raise `budget.{cap}` and run again to go on"),
                teacher::Error::Quota { .. } => "every reply so far is kept; add credit and run again to go on".into(),
                teacher::Error::Unauthorized { .. } => "put a valid key into the environment variable OPENAI_API_KEY".into(),
                teacher::Error::NotFound { .. } => "check `base_url` (it ends with /v1 for most servers) and `model`".into(),
                teacher::Error::DamagedLog { .. } => "mend or remove that line; requests the log does not know are paid for again".into(),
                _ => return None,
            },
            Error::NotAStage { .. } => "set documents = \"crawl-clean\"".into(),
            Error::NothingHeldOut { .. } => "check `decontaminate` and `decontaminate_tasks`".into(),
            Error::Unanswered { .. } => "run again: what was answered is kept, only the rest is asked".into(),
            Error::Interrupted => "run the same command again to go on".into(),
            _ => return None,
        })
    }
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
