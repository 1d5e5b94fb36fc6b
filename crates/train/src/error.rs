//! Everything that can go wrong in training.

use std::path::{Path, PathBuf};

use stage::Exit;

/// Result of a training operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Rows of a step and of a micro-batch do not fit each other.
    #[error(
        "`batch_rows` is {rows_per_step} and `micro_batch_rows` is {micro_rows}: the second must divide the first, and neither may be 0"
    )]
    Batch {
        /// Rows of one optimizer step.
        rows_per_step: u64,
        /// Rows of one forward pass.
        micro_rows: u64,
    },
    /// The horizon is not exactly one of epochs, steps and tokens.
    #[error("set exactly one of `epochs`, `steps` and `tokens`, positive: {problem}")]
    Horizon {
        /// What is wrong.
        problem: &'static str,
    },
    /// A share of the schedule lies outside [0, 1].
    #[error("`{key}` is {value}, it must lie between 0 and 1")]
    Schedule {
        /// The key.
        key: &'static str,
        /// Its value.
        value: f64,
    },
    /// The tokenizer and the model do not belong together.
    #[error("the tokenizer in `{tokenizer}` needs {needed} ids, the model in `{model}` has {got}")]
    Vocabulary {
        /// The tokenizer's folder.
        tokenizer: PathBuf,
        /// Ids the tokenizer gives out.
        needed: usize,
        /// The model's folder.
        model: PathBuf,
        /// Rows of its embedding.
        got: i64,
    },
    /// There is nothing to train on.
    #[error("there are no training rows in `{of}`")]
    NoRows {
        /// Where they should be.
        of: String,
    },
    /// Rows of different shards are not equally long.
    #[error("`{path}` has rows of {got} tokens, the shards before it have {expected}")]
    RowLength {
        /// The shard.
        path: PathBuf,
        /// Tokens of a row so far.
        expected: usize,
        /// Tokens of a row in this shard.
        got: usize,
    },
    /// A token id that the model has no embedding for.
    #[error("`{path}` holds token id {id}, the model has a vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The shard.
        path: PathBuf,
        /// The largest id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// New or changed data under the policy `refuse`.
    #[error("the training data changed and `on_new_data` is `refuse`: {difference}")]
    NewData {
        /// What changed, for people.
        difference: String,
    },
    /// The loss or the gradient is not a number; the update was not made.
    #[error("{what} is {value} at step {step}, before the update (rows {rows})")]
    NotFinite {
        /// `the loss` or `the gradient norm`.
        what: &'static str,
        /// The step.
        step: u64,
        /// Its value.
        value: f64,
        /// Rows of the batch, for finding the data.
        rows: String,
    },
    /// A parameter that is meant to learn gets no gradient.
    #[error("{count} trainable tensor(s) get no gradient in the first steps, first `{first}`: part of the model would not learn")]
    NoGradient {
        /// How many.
        count: usize,
        /// The first in model order.
        first: String,
    },
    /// The optimizer state of a checkpoint does not fit the model.
    #[error("`{path}` does not fit this model: {problem}")]
    StateMismatch {
        /// The file.
        path: PathBuf,
        /// Name, expected and got.
        problem: String,
    },
    /// Stopped by a signal, after a clean save.
    #[error("interrupted after step {step}; the checkpoint is saved")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// A thread for part of the rows could not be started.
    #[error("cannot start a thread for training")]
    Thread {
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A thread for part of the rows ended, which it never should; its last words are on stderr.
    #[error("a training thread ended early")]
    ThreadEnded,
    /// A device that this machine does not have.
    #[error("`device` is `{wanted}`, but {problem}")]
    Device {
        /// The configured device.
        wanted: String,
        /// Why it cannot be used.
        problem: String,
    },
    /// A file operation failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The hand-off refused something.
    #[error(transparent)]
    Handoff(#[from] handoff::Error),
    /// The model refused something.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// The C++ side failed.
    #[error(transparent)]
    TorchExt(#[from] torch_ext::Error),
    /// The merged model does not compute what model and adapter compute.
    #[error("merging the adapter changes logits by up to {difference:.2e}, more than {tolerance:.0e}")]
    Merge {
        /// Largest difference of a logit.
        difference: f64,
        /// Allowed.
        tolerance: f64,
    },
    /// The tokenizer's files could not be copied.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// libtorch failed.
    #[error("libtorch failed")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// Wraps an I/O error with what was tried on which path.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}

impl stage::Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::NoRows { .. } | Self::RowLength { .. } | Self::TokenOutOfRange { .. } => Exit::Upstream,
            Self::Vocabulary { .. } | Self::Device { .. } | Self::Horizon { .. } | Self::Batch { .. } | Self::Schedule { .. } => {
                Exit::Usage
            }
            Self::Handoff(error) => error.exit(),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NewData { .. } => Some(
                "`on_new_data = \"continue\"` trains on from the last weights with the new rows, \"restart\" trains from the start on everything"
                    .into(),
            ),
            Error::NotFinite { .. } => Some(
                "the last checkpoint is untouched; lower `learning_rate`, lengthen `warmup_steps`, or try `precision = \"fp32\"`".into(),
            ),
            Error::Vocabulary { .. } => Some("use the tokenizer that stands in the model's own folder, from `tokenize` on".into()),
            Error::Interrupted { .. } => Some("run the same command again to go on".into()),
            Error::Horizon { .. } => Some("a `--set` of one of them does not unset another in the file: use the key that the file uses".into()),
            Error::TokenOutOfRange { .. } => Some("the shards were made with another tokenizer than the model's: run `shard` again, or change `init_from`".into()),
            Error::Handoff(error) => stage::Failure::hint(error),
            _ => None,
        }
    }
}
