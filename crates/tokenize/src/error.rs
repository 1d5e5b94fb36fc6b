//! What can go wrong in `tokenize`.

use std::path::PathBuf;

use stage::{Exit, Failure};

/// An error of this stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The hand-off failed.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// Tokenizer files or chat template failed.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// The tokenizers library refused what was built for it.
    #[error("cannot build the tokenizer: {message}")]
    Build {
        /// Its complaint.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot access `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A rank file of tiktoken is broken.
    #[error("cannot take the ranks of `{}`: {problem}", path.display())]
    BadRanks {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// There is no text to train on.
    #[error("cannot train a tokenizer: the inputs hold no text")]
    NoText,
    /// The settings differ from those that the frozen tokenizer was trained with.
    #[error("the tokenizer in `{}` is frozen: it was trained with {trained}, now {asked} is asked for", path.display())]
    Frozen {
        /// Its directory.
        path: PathBuf,
        /// The settings that differ, as trained.
        trained: String,
        /// The same settings, as asked for.
        asked: String,
    },
    /// A worker other than the first found no tokenizer.
    #[error("there is no tokenizer in `{}` yet, and worker {worker} does not train one", path.display())]
    NotTrained {
        /// Where it would be.
        path: PathBuf,
        /// This worker.
        worker: usize,
    },
    /// A taken tokenizer has no end token.
    #[error("the tokenizer in `{}` has no end token", path.display())]
    NoEndToken {
        /// Its directory or file.
        path: PathBuf,
    },
    /// The file with the chat template cannot be read.
    #[error("cannot read the chat template `{}`", path.display())]
    NoTemplate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A taken tokenizer does not have the token that is to begin or end documents.
    #[error("the tokenizer in `{}` has no token `{token}`, which `{key}` names", path.display())]
    NoToken {
        /// Its directory or file.
        path: PathBuf,
        /// `begin_token` or `end_token`.
        key: &'static str,
        /// The token.
        token: String,
    },
    /// Some inputs could not be encoded; the others are done.
    #[error("{failed} of {units} inputs failed{}; first `{first}`", if failed < units { ", the others are done" } else { "" })]
    Units {
        /// How many failed.
        failed: usize,
        /// How many there were to do.
        units: usize,
        /// Name of the first.
        first: String,
        /// Why.
        source: Box<Error>,
    },
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Handoff(error) => error.exit(),
            Self::Units { source, .. } => source.exit(),
            Self::Frozen { .. } | Self::NoEndToken { .. } | Self::NoToken { .. } | Self::NoTemplate { .. } => Exit::Usage,
            Self::Text(text::Error::NoTokenizer { .. } | text::Error::BadTokenizer { .. } | text::Error::Io { .. }) => Exit::Upstream,
            Self::NotTrained { .. } | Self::NoText | Self::BadRanks { .. } => Exit::Upstream,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Handoff(error) => return error.hint(),
            Self::Units { source, .. } => return source.hint(),
            Self::Frozen { .. } => {
                "set the keys back, or replace it with `--force` (to train again also `retrain = true`): everything after `tokenize` is then redone".into()
            }
            Self::NotTrained { .. } => "run worker 0 first, with `--limit 0` to train only".into(),
            Self::NoEndToken { .. } => "name one of its special tokens: `end_token = \"</s>\"` in [stage.tokenize]".into(),
            Self::NoToken { key: "begin_token", .. } => "set `begin_token` in [stage.tokenize] to one of its tokens, or to \"\"".into(),
            Self::NoToken { key, .. } => format!("set `{key}` in [stage.tokenize] to one of its special tokens"),
            Self::NoTemplate { .. } => "`chat_template` is \"plain\", \"chatml\" or a file relative to the pipeline file".into(),
            Self::NoText => "look at `crawl-clean/rejected`: everything was refused".into(),
            Self::Text(text::Error::NoTokenizer { .. } | text::Error::Io { .. }) => {
                "`tokenizer` is \"train\", or the path of a Hugging Face tokenizer directory relative to the pipeline file".into()
            }
            _ => return None,
        })
    }
}
