//! Everything that can go wrong in the stage.

use std::path::PathBuf;

use stage::Exit;

/// A failure of the stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `inputs` is a path: samples are read through a stage's manifest.
    #[error("`inputs` is `{got}`, expected the name of a stage that writes samples, such as `shard`")]
    NotAStage {
        /// The value.
        got: String,
    },
    /// The stage before has no rows to train on.
    #[error("`{stage}` has no training rows in `{path}`")]
    NoTrainingRows {
        /// The stage.
        stage: String,
        /// Its data folder.
        path: PathBuf,
    },
    /// The samples do not say how long they are.
    #[error("`{path}` has no `seq_len_tokens` in its metadata")]
    NoLength {
        /// A shard.
        path: PathBuf,
    },
    /// The samples were made with another tokenizer.
    #[error("the samples in `{samples}` were made with tokenizer {got}, `tokenizer` gives {expected}")]
    OtherTokenizer {
        /// A shard.
        samples: PathBuf,
        /// Digest of the configured tokenizer.
        expected: String,
        /// Digest in the shard.
        got: String,
    },
    /// Rows are longer than the model's positions.
    #[error("rows have {row_tokens} tokens, the model takes at most {max_positions}")]
    RowsTooLong {
        /// Tokens of a row that the model reads.
        row_tokens: usize,
        /// The model's limit.
        max_positions: i64,
        /// Whether the model is one of `init_from`, whose limit no key sets.
        is_given: bool,
    },
    /// A text to go on with has no tokens, or leaves no room to go on.
    #[error("the prompt \"{prompt}…\" of `sample_prompts` has {got} token(s), the model takes 1 to {most} and one more")]
    PromptTokens {
        /// Its beginning.
        prompt: String,
        /// Its tokens, with the one that begins a document.
        got: usize,
        /// The most that the model can go on with.
        most: i64,
        /// Whether the model is one of `init_from`, whose limit no key sets.
        is_given: bool,
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
}

impl stage::Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotAStage { .. } => Exit::Usage,
            Self::NoTrainingRows { .. } | Self::NoLength { .. } | Self::OtherTokenizer { .. } => Exit::Upstream,
            Self::RowsTooLong { .. } | Self::PromptTokens { .. } => Exit::Usage,
            Self::Train(error) => stage::Failure::exit(error),
            Self::Handoff(error) => stage::Failure::exit(error),
            Self::Model(error) => train::model_exit(error),
            Self::Text(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAStage { .. } => Some("inputs = \"shard\"".into()),
            Self::NoTrainingRows { stage, .. } => Some(format!("run `{stage}` again; its report says why rows were left out")),
            Self::NoLength { .. } => Some("it was not written by `shard`; pack its tokens with `shard`".into()),
            Self::OtherTokenizer { .. } => Some("run `shard` again with this tokenizer, or name the tokenizer it used".into()),
            Self::RowsTooLong { is_given, .. } => Some(format!("make shorter rows (`seq_len` of `shard`), or {}", longer(*is_given))),
            Self::PromptTokens { is_given, .. } => Some(format!("shorten it, or {}", longer(*is_given))),
            Self::Train(error) => stage::Failure::hint(error),
            Self::Handoff(error) => stage::Failure::hint(error),
            Self::Model(model::Error::Config(_)) => {
                Some("the shape is set by the keys of [stage.pretrain], or by config.json in `init_from`".into())
            }
            Self::Model(error) => error.hint(),
            Self::Text(_) => None,
        }
    }
}

/// How a model comes to take longer rows.
fn longer(is_given: bool) -> &'static str {
    match is_given {
        true => "scale the positions of the model in `init_from`: `rope_scaling` or `rope_parameters` in its config.json",
        false => "raise `max_positions`",
    }
}
