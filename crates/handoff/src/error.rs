//! Everything that can go wrong in the hand-off.

use std::path::{Path, PathBuf};

use crate::Digest;

/// Result of a hand-off operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the hand-off, with the path it concerns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried, as a verb: `read`, `write`, `rename`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A JSON file of the hand-off does not parse.
    #[error("`{path}` is not valid {what}")]
    Json {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The file is no Parquet file at all, or was cut short.
    #[error("`{path}` is not a readable Parquet file (truncated, or something else)")]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// The Parquet reader's reason.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file that none of our stages wrote.
    #[error("`{path}` is Parquet but carries no `schema` key: no stage of ours wrote it")]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// A shard of another table.
    #[error("`{path}` holds table `{got}`, expected `{expected}`")]
    WrongSchema {
        /// The file.
        path: PathBuf,
        /// The table that was asked for.
        expected: String,
        /// The table it holds.
        got: String,
    },
    /// A shard of the right table in another version.
    #[error("`{path}` holds version {got} of table `{table}`, this build reads version {expected}")]
    WrongVersion {
        /// The file.
        path: PathBuf,
        /// Table name.
        table: String,
        /// Version this build reads.
        expected: u32,
        /// Version in the file.
        got: String,
    },
    /// The columns are not those of the schema that the file names.
    #[error("`{path}` has column `{column}` as {got}, expected {expected}")]
    WrongColumn {
        /// The file, or the table where no file is known.
        path: PathBuf,
        /// Column name.
        column: String,
        /// Expected Arrow type.
        expected: String,
        /// Type found, or `absent`.
        got: String,
    },
    /// Reading or writing Parquet data failed.
    #[error("cannot {action} Parquet data of `{path}`")]
    Parquet {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The Parquet library's reason.
        source: parquet::errors::ParquetError,
    },
    /// Arrow refused a batch.
    #[error("cannot {action} a record batch of `{path}`")]
    Arrow {
        /// `build`, `read` or `cast`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The Arrow library's reason.
        source: arrow::error::ArrowError,
    },
    /// The stage before this one has produced nothing yet.
    #[error("the output of `{stage}` is missing: `{path}` has no committed entry")]
    UpstreamMissing {
        /// Stage name.
        stage: String,
        /// Its manifest directory.
        path: PathBuf,
    },
    /// The stage before this one wrote some units with one configuration and some with another.
    #[error("the output of `{stage}` mixes configurations: `{unit_a}` has {config_a}, `{unit_b}` has {config_b}")]
    UpstreamMixed {
        /// Stage name.
        stage: String,
        /// A unit of the first configuration.
        unit_a: String,
        /// Its configuration digest.
        config_a: String,
        /// A unit of another configuration.
        unit_b: String,
        /// Its configuration digest.
        config_b: String,
    },
    /// A committed output is gone or no longer has its recorded size.
    #[error("`{path}` of `{stage}` {problem}")]
    UpstreamDamaged {
        /// Stage name.
        stage: String,
        /// The shard.
        path: PathBuf,
        /// What is wrong: `is missing`, `has 10 bytes, recorded were 20`.
        problem: String,
    },
    /// A file is not the one that was recorded: damaged, or changed by hand.
    #[error("`{path}` has digest {got}, recorded was {recorded}")]
    OtherDigest {
        /// The file.
        path: PathBuf,
        /// What it should have.
        recorded: Digest,
        /// What it has.
        got: Digest,
    },
    /// Shards that are read together differ in a key of their metadata, such as the tokenizer.
    #[error("`{shard_a}` has `{key}` {value_a}, `{shard_b}` has {value_b}")]
    MixedShards {
        /// The key.
        key: &'static str,
        /// A shard.
        shard_a: PathBuf,
        /// Its value.
        value_a: String,
        /// Another one.
        shard_b: PathBuf,
        /// Its value.
        value_b: String,
    },
    /// Another process works on the stage.
    #[error("`{path}` is locked by {holder}")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it: process, host, since when.
        holder: String,
    },
    /// A path among the inputs leads nowhere.
    #[error("input `{path}` holds no Parquet file")]
    NoInput {
        /// The path.
        path: PathBuf,
    },
    /// Two inputs have the same unit name.
    #[error("two inputs are named `{unit}`: `{first}` and `{second}`")]
    DuplicateUnit {
        /// The name.
        unit: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Inputs that were processed before are no longer there.
    #[error("{} input(s) of `{stage}` vanished, first `{first}`", count)]
    Vanished {
        /// Stage name.
        stage: String,
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
    },
}

impl Error {
    /// Wraps an I/O error with what was tried on which path.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// True where the cause lies in what the stage before handed over (exit code 3).
    pub fn is_upstream(&self) -> bool {
        if let Error::Parquet { action, .. } | Error::Arrow { action, .. } = self {
            return *action == "read";
        }
        matches!(
            self,
            Error::UpstreamMissing { .. }
                | Error::UpstreamMixed { .. }
                | Error::UpstreamDamaged { .. }
                | Error::OtherDigest { .. }
                | Error::MixedShards { .. }
                | Error::NotParquet { .. }
                | Error::ForeignFile { .. }
                | Error::WrongSchema { .. }
                | Error::WrongVersion { .. }
                | Error::WrongColumn { .. }
        )
    }

    /// The command that mends it, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::UpstreamMissing { stage, .. } => Some(format!("run `{stage}` first, with the same --config and --run")),
            Error::UpstreamMixed { stage, .. } => Some(format!("run `{stage}` again: it redoes the units of the older configuration")),
            Error::UpstreamDamaged { stage, .. } => {
                Some(format!("run `{stage}` again: it redoes units whose outputs are gone (--force redoes all)"))
            }
            Error::MixedShards { .. } => Some(
                "run the stage that wrote them again: it redoes what is left from before (of given paths, read one kind at a time)".into(),
            ),
            Error::NotParquet { .. } | Error::ForeignFile { .. } => {
                Some("move the file out of the folder, or run the stage that wrote it with --force".into())
            }
            Error::OtherDigest { .. } | Error::Parquet { action: "read", .. } | Error::Arrow { action: "read", .. } => {
                Some("put the file back as it was, or run the stage that wrote it with --force".into())
            }
            Error::WrongVersion { .. } => Some("run the stage that wrote it again with this build".into()),
            Error::Locked { path, .. } => Some(format!("wait for it, or delete `{}` if that process is gone", path.display())),
            Error::Vanished { .. } => Some("put the files back, or pass --prune to remove their outputs".into()),
            _ => None,
        }
    }
}
