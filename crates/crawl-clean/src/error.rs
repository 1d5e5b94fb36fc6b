//! The one error type of this crate: what stops a file or the stage, not what refuses a page ([`crate::Reason`]).

use stage::{Exit, Failure};
use std::path::{Path, PathBuf};

/// What stops an input file, or the stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input names nothing that exists.
    #[error("no input at `{path}`")]
    NoSuchInput {
        /// Path as configured, from the configuration file's folder.
        path: PathBuf,
    },
    /// A folder or pattern holds no file of a known kind.
    #[error("nothing to read in `{path}`")]
    NothingToRead {
        /// The folder or pattern.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause from the operating system.
        source: std::io::Error,
    },
    /// There is no output to look at.
    #[error("nothing is done yet in `{path}`")]
    NothingDone {
        /// The folder of the output.
        path: PathBuf,
    },
    /// No reason has that name.
    #[error("no page is ever refused for `{name}`")]
    NoSuchReason {
        /// The name asked for.
        name: String,
    },
    /// A file that the configuration names holds something else.
    #[error("`{path}` cannot be used: {problem}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file named as WARC in which no record begins.
    #[error("`{path}` holds no WARC record")]
    NotWarc {
        /// The file.
        path: PathBuf,
    },
    /// A file of no kind this stage reads.
    #[error("cannot tell what kind of file `{path}` is")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file that does not open or decode.
    #[error("cannot read `{path}` as Parquet")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Cause from the Parquet reader.
        source: parquet::errors::ParquetError,
    },
    /// A table without the columns to read.
    #[error("`{path}` has neither column `{text}` nor `{html}`; it has {columns}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// Name looked for as text.
        text: String,
        /// Name looked for as HTML.
        html: String,
        /// Names that are there.
        columns: String,
    },
    /// Two inputs would have the same name.
    #[error("`{first}` and `{second}` are both known as `{name}`")]
    SameName {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// Their common name.
        name: String,
    },
    /// More than one worker while documents have to be compared with each other, and no phase was named.
    #[error("with `dedup.enabled` {count} workers can share one phase at a time, and none was named")]
    WorkersWithoutPhase {
        /// Number of workers.
        count: usize,
    },
    /// A phase was asked for before the one it goes by was done.
    #[error("{} unit(s) are not extracted yet: {}", units.len(), units.join(", "))]
    NotExtracted {
        /// Their unit names.
        units: Vec<String>,
    },
    /// The join does not cover all keys of these inputs.
    #[error("the keys of these inputs are not joined, or not all of them")]
    NotJoined,
    /// An option of phases that makes no sense with them.
    #[error("`--limit` cannot be used with `--phase`: all phases have to see the same inputs")]
    LimitWithPhase,
    /// A document id that is no digest.
    #[error("`{id}` is no document id")]
    NoDocumentId {
        /// The text.
        id: String,
    },
    /// Inputs of committed units are gone.
    #[error("{} committed input(s) are gone: {}", units.len(), units.join(", "))]
    Vanished {
        /// Their unit names.
        units: Vec<String>,
    },
    /// Some files could not be read; the others are done.
    #[error("{} input file(s) could not be read; the others are done: {}", files.len(), files.join("; "))]
    FilesFailed {
        /// One message a file.
        files: Vec<String>,
    },
    /// The signature table of a unit does not fit its documents.
    #[error("`{path}` cannot be used: {problem}")]
    Signatures {
        /// The side table.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A task file cannot be read.
    #[error(transparent)]
    Tasks(#[from] corpus::Error),
    /// The hand-off layer failed.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// Rows did not make a record batch.
    #[error("cannot build a batch of rows")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The thread pool could not be started.
    #[error("cannot start the thread pool")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl Error {
    /// For `map_err`: a read error of `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NoSuchInput { .. }
            | Self::BadFile { .. }
            | Self::NoSuchReason { .. }
            | Self::NothingToRead { .. }
            | Self::SameName { .. }
            | Self::WorkersWithoutPhase { .. }
            | Self::LimitWithPhase
            | Self::Tasks(_)
            | Self::Vanished { .. } => Exit::Usage,
            Self::NotExtracted { .. } | Self::NotJoined => Exit::Upstream,
            Self::Handoff(error) => error.exit(),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchInput { .. } | Self::NothingToRead { .. } => {
                Some("check `inputs` under [stage.crawl-clean]; relative paths start from the folder of the configuration file".into())
            }
            Self::NothingDone { .. } => Some("run the stage first, with the same --config and --run".into()),
            Self::NoSuchReason { .. } => Some("`crawl-clean report` lists the reasons of a run".into()),
            Self::NoColumn { .. } => Some("set `text_column` or `html_column` under [stage.crawl-clean]".into()),
            Self::SameName { .. } => Some("name their common folder in `inputs`, or rename one of them".into()),
            Self::WorkersWithoutPhase { .. } => Some("run all workers with --phase extract, then with join, then with decide".into()),
            Self::NotExtracted { .. } => Some("run all workers with --phase extract first".into()),
            Self::NotJoined => Some("run all workers with --phase join first".into()),
            Self::Vanished { .. } => Some("put them back, or run with --prune to remove their outputs".into()),
            Self::FilesFailed { .. } => {
                Some("mend or remove these files and run the same command again; finished files are not read again".into())
            }
            Self::Tasks(_) => Some("check `tasks` under [stage.crawl-clean.decontaminate]".into()),
            Self::Signatures { .. } => Some("run with --force to make it again".into()),
            Self::Handoff(error) => Failure::hint(error),
            _ => None,
        }
    }
}
