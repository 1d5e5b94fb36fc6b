//! What can go wrong in `eval`.

use std::path::PathBuf;

use stage::Exit;

/// Errors of the stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task file cannot be read.
    #[error("cannot read task file `{path}`")]
    Task {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        source: corpus::Error,
    },
    /// A row of a task file asks nothing, or names no answer to compare with.
    #[error("row {row} of task file `{path}` has no question or no answer")]
    Unanswerable {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 1.
        row: usize,
    },
    /// Two questions of one task have the same id.
    #[error("task `{task}` has two questions with the id `{id}`")]
    DuplicateId {
        /// Task name.
        task: String,
        /// The id.
        id: String,
    },
    /// A model directory is not there.
    #[error("model `{name}` has no `{path}`")]
    NoModel {
        /// Name in the configuration.
        name: String,
        /// What is missing.
        path: PathBuf,
        /// The stage that should have written it, if it is one.
        stage: Option<String>,
    },
    /// A model directory without a tokenizer that can render a chat.
    #[error("cannot use the tokenizer of model `{name}`")]
    Tokenizer {
        /// Name in the configuration.
        name: String,
        /// The tokenizer's reason.
        source: text::Error,
    },
    /// A model cannot be loaded or run.
    #[error("cannot load model `{name}`")]
    Model {
        /// Name in the configuration.
        name: String,
        /// The loader's reason.
        source: Box<model::Error>,
    },
    /// Generation or scoring failed.
    #[error("cannot run model `{name}` on `{task}`")]
    Infer {
        /// Name in the configuration.
        name: String,
        /// Task name.
        task: String,
        /// The engine's reason.
        source: Box<infer::Error>,
    },
    /// The validation split was made with another tokenizer than the model's.
    #[error("validation samples `{path}` were made with tokenizer {expected}, model `{name}` has {got}")]
    ForeignTokenizer {
        /// The shard.
        path: PathBuf,
        /// Name of the model.
        name: String,
        /// Digest of the tokenizer that made the samples.
        expected: String,
        /// Digest of the model's tokenizer.
        got: String,
    },
    /// A validation token that the model does not know.
    #[error("validation samples hold token {id}, but model `{name}` knows {vocab_size} tokens")]
    ForeignToken {
        /// Name of the model.
        name: String,
        /// The token id.
        id: i64,
        /// Size of the model's vocabulary.
        vocab_size: i64,
    },
    /// The stage that should give the validation split gave none.
    #[error("`{stage}` has no validation samples")]
    NoValidation {
        /// Stage name.
        stage: String,
    },
    /// A file with answer types does not have the expected form.
    #[error("`{path}` is no file of answer types: {problem}")]
    AnswerTypes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// libtorch refused an operation.
    #[error("cannot score model `{name}` on validation samples")]
    Torch {
        /// Name of the model.
        name: String,
        /// libtorch's reason.
        source: tch::TchError,
    },
    /// The hand-off failed.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// A result file of our own cannot be built.
    #[error("cannot build rows of `{path}`")]
    Rows {
        /// The shard.
        path: PathBuf,
        /// Arrow's reason.
        source: arrow::error::ArrowError,
    },
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl stage::Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Error::NoModel { stage: Some(_), .. }
            | Error::ForeignTokenizer { .. }
            | Error::ForeignToken { .. }
            | Error::NoValidation { .. } => Exit::Upstream,
            Error::NoModel { .. }
            | Error::Task { .. }
            | Error::Unanswerable { .. }
            | Error::DuplicateId { .. }
            | Error::AnswerTypes { .. } => Exit::Usage,
            Error::Model { source, .. } => match source.fault() {
                Some(model::Fault::Setting) => Exit::Usage,
                Some(model::Fault::Weights) => Exit::Upstream,
                None => Exit::Failed,
            },
            Error::Tokenizer { .. } => Exit::Usage,
            Error::Handoff(e) => e.exit(),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NoModel { stage: Some(stage), .. } => {
                Some(format!("run `{}` first, with the same --config and --run", stage.split('/').next().unwrap_or(stage)))
            }
            Error::NoModel { .. } => {
                Some("`from` of a model names a stage of this file, a variant such as `sft/lora`, or a model directory".into())
            }
            Error::ForeignTokenizer { .. } | Error::ForeignToken { .. } => {
                Some("evaluate bits per byte only on samples of the tokenizer the models were trained with".into())
            }
            Error::NoValidation { stage } => Some(format!("give `{stage}` a validation share, or leave `validation` out of [stage.eval]")),
            Error::Tokenizer { .. } => {
                Some("a model directory needs tokenizer.json and a chat template; `pretrain` and `sft` write both".into())
            }
            Error::Model { source, .. } => source.hint(),
            Error::Handoff(e) => stage::Failure::hint(e),
            _ => None,
        }
    }
}
