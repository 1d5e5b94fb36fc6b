//! Everything that can go wrong in the stage.

use std::path::PathBuf;

use stage::Exit;

/// A failure of the stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path in `pairs` that holds nothing to read.
    #[error("`{path}` is no .parquet or .jsonl file, and no folder with any")]
    NoFiles {
        /// The path.
        path: PathBuf,
    },
    /// No conversation is left to train on.
    #[error("no conversation is left to train on: {read} were read, {rejected} rejected (most often: {reason})")]
    NothingToTrain {
        /// Conversations read.
        read: u64,
        /// Conversations rejected.
        rejected: u64,
        /// The most frequent reason.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The `messages` column is not a list of {role, content}.
    #[error("`{path}` has no column `messages` that is a list of structs with text fields `role` and `content`")]
    Messages {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer has no chat template.
    #[error("the tokenizer in `{tokenizer}` has no chat template")]
    NoTemplate {
        /// The tokenizer's folder.
        tokenizer: PathBuf,
    },
    /// `max_tokens` is more than the model can take.
    #[error("`max_tokens` is {got}, the model in `{model}` takes at most {limit}")]
    MaxTokens {
        /// The value.
        got: u64,
        /// The model's folder.
        model: PathBuf,
        /// Its positions.
        limit: i64,
    },
    /// Training failed.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// The tokenizer failed.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// The hand-off failed.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// A record batch could not be built.
    #[error("cannot build a record batch of rejected rows")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl stage::Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NoFiles { .. } | Self::NoTemplate { .. } | Self::MaxTokens { .. } => Exit::Usage,
            Self::NothingToTrain { .. } | Self::Messages { .. } => Exit::Upstream,
            Self::Train(error) => error.exit(),
            Self::Handoff(error) => error.exit(),
            Self::Model(error) => train::model_exit(error),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoFiles { .. } => Some("pairs = \"reverse-distill\", or a folder of .jsonl files with {\"messages\": […]} lines".into()),
            Self::NothingToTrain { .. } => Some("rejected/ has every conversation with its reason".into()),
            Self::NoTemplate { .. } => Some("put a chat_template.jinja into the folder, or use the tokenizer of stage `tokenize`".into()),
            Self::MaxTokens { .. } => Some("lower `max_tokens`, or leave it out".into()),
            Self::Train(error) => stage::Failure::hint(error),
            Self::Handoff(error) => stage::Failure::hint(error),
            Self::Model(error) => error.hint(),
            _ => None,
        }
    }
}
