//! What can go wrong in `shard`.

use std::path::PathBuf;

use stage::{Exit, Failure};

/// An error of this stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The hand-off failed.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// The tokenizer could not be read.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// A shard lacks a key that `tokenize` writes.
    #[error("`{}` has no `{key}` in its metadata", path.display())]
    NoMetadata {
        /// The shard.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// The tokenizer found is not the one that encoded the shards.
    #[error("the tokenizer in `{}` is {got}, but the shards were encoded with {expected}", path.display())]
    OtherTokenizer {
        /// The tokenizer's directory.
        path: PathBuf,
        /// Digest in the shards.
        expected: String,
        /// Digest of the tokenizer.
        got: String,
    },
    /// Inputs are paths, and no tokenizer is named.
    #[error("`tokenizer` is not set, and no input is a stage that has one")]
    NoTokenizer,
    /// A token id is outside the vocabulary.
    #[error("document `{document}` in `{}` has token id {id}, the vocabulary has {vocab_size}", path.display())]
    TokenOutOfRange {
        /// The shard.
        path: PathBuf,
        /// The document.
        document: String,
        /// The id.
        id: u32,
        /// Ids of the vocabulary.
        vocab_size: usize,
    },
    /// A document holds the token that fills rows; it would not be trained on.
    #[error("document `{document}` in `{}` holds the pad token {id}", path.display())]
    PadInText {
        /// The shard.
        path: PathBuf,
        /// The document.
        document: String,
        /// The id.
        id: u32,
    },
    /// Shuffling gave fewer or more documents than were read. Nothing is committed.
    #[error("{read} documents were read, but {taken} came out of the shuffle: this is a bug, please report it")]
    DocumentsLost {
        /// Documents read, copies included.
        read: u64,
        /// Documents given out.
        taken: u64,
    },
    /// A signal came; what was begun is left out.
    #[error("interrupted")]
    Interrupted,
    /// A record batch could not be put together.
    #[error("cannot build a batch of samples")]
    Arrow(#[from] arrow::error::ArrowError),
    /// `trace` was asked for something that is no sample.
    #[error("`{name}` is not the name of a sample")]
    NotASample {
        /// What was given.
        name: String,
    },
    /// `trace` was asked for a sample that does not exist.
    #[error("there is no sample `{name}`: `{}` {}", path.display(), rows.map_or("is not there".into(), |rows| format!("has {rows} row(s)")))]
    NoSuchSample {
        /// What was given.
        name: String,
        /// The shard it would be in.
        path: PathBuf,
        /// Rows of that shard, if it is there.
        rows: Option<u64>,
    },
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Handoff(error) => error.exit(),
            Self::OtherTokenizer { .. }
            | Self::NoMetadata { .. }
            | Self::TokenOutOfRange { .. }
            | Self::PadInText { .. }
            | Self::Text(_) => Exit::Upstream,
            Self::Interrupted => Exit::Interrupted,
            Self::NoTokenizer | Self::NotASample { .. } | Self::NoSuchSample { .. } => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Handoff(error) => return error.hint(),
            Self::OtherTokenizer { .. } => "set `tokenizer` to the one the shards were made with, or run `tokenize` again".into(),
            Self::Text(_) => "run `tokenize` first, or set `tokenizer` in [stage.shard]".into(),
            Self::PadInText { .. } => "name another `pad_token`, one that no text becomes, in the tokenizer's tokenizer_config.json".into(),
            Self::NoTokenizer => "set `tokenizer` in [stage.shard] to a stage or a Hugging Face directory".into(),
            Self::NoMetadata { .. } => "it was not written by `tokenize`; encode its documents with `tokenize`".into(),
            Self::NotASample { .. } => "samples are named split, batch and row: `shard trace train-00000-000017`".into(),
            _ => return None,
        })
    }
}
