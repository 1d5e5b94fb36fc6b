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
    /// More than any training takes: a slip of the keyboard, which would take all memory or threads there are.
    #[error("`{key}` is {got}, at most {most} are possible")]
    TooMany {
        /// The key.
        key: &'static str,
        /// Its value.
        got: u64,
        /// The most.
        most: u64,
    },
    /// There is not exactly one horizon.
    #[error("set exactly one of the keys that say how long to train, positive: {problem}")]
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
    /// Another recipe under the policy `refuse`: a training that starts again would take the place of the one there is.
    #[error("the training so far was made with other settings and `on_new_data` is `refuse`: {difference}")]
    NewRecipe {
        /// What changed, for people.
        difference: String,
    },
    /// There are checkpoints, and none of them can be used.
    #[error("none of {count} checkpoint(s) can be used, not even `{path}`: {problem}")]
    AllDamaged {
        /// How many.
        count: usize,
        /// One of them.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The loss at the end is not a number: there is no model to be had of this.
    #[error("at step {step} of {step} the {what} is {value}: the training has diverged")]
    Diverged {
        /// The last step.
        step: u64,
        /// What was measured.
        what: String,
        /// Its value.
        value: f64,
    },
    /// Too many steps were skipped one after the other; the weights are those before them.
    #[error("{count} steps in a row were skipped, the last at step {step} with loss {loss} and gradient norm {norm} (rows {rows})")]
    Skipped {
        /// How many.
        count: u64,
        /// The last one.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its gradient norm.
        norm: f64,
        /// Rows of its batch, for finding the data.
        rows: String,
    },
    /// A training from which another one is to branch off cannot be used.
    #[error("cannot branch off `{path}`: {problem}")]
    Branch {
        /// The checkpoint.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The thread that writes checkpoints ended, which it never should; its last words are on stderr.
    #[error("the thread that writes checkpoints ended early")]
    WriterEnded,
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
    /// Memory does not hold a forward and backward pass.
    #[error("memory does not hold a forward and backward pass of {rows} row(s)")]
    OutOfMemory {
        /// Rows of the pass.
        rows: u64,
        /// How many would fit, where that was found out.
        fitting: Option<u64>,
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
    /// Text to look at could not be made.
    #[error("cannot let the model go on with a text")]
    Generate {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
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

impl Error {
    /// Whether it is about memory that libtorch could not get, on the CPU or a GPU.
    pub fn is_out_of_memory(&self) -> bool {
        let mut source: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = source {
            if model::tells_out_of_memory(&error.to_string()) {
                return true;
            }
            source = error.source();
        }
        matches!(self, Self::OutOfMemory { .. })
    }
}

/// How a stage ends that cannot use a model: its `config.json` is a setting, and its weights are input.
pub fn model_exit(error: &model::Error) -> Exit {
    match error.fault() {
        Some(model::Fault::Setting) => Exit::Usage,
        Some(model::Fault::Weights) => Exit::Upstream,
        None => Exit::Failed,
    }
}

impl stage::Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Branch { .. } | Self::NoRows { .. } | Self::RowLength { .. } | Self::TokenOutOfRange { .. } => Exit::Upstream,
            Self::Vocabulary { .. } | Self::Device { .. } | Self::Horizon { .. } | Self::Batch { .. } | Self::Schedule { .. } => {
                Exit::Usage
            }
            Self::TooMany { .. } => Exit::Usage,
            Self::Handoff(error) => error.exit(),
            Self::Model(error) => model_exit(error),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NewData { .. } => Some(
                "`on_new_data = \"continue\"` trains on from the last weights with the new rows, \"restart\" trains from the start on everything"
                    .into(),
            ),
            Error::NewRecipe { .. } => Some("put the settings back to go on, give the stage another name or run to train besides, or train from the start with `--fresh`".into()),
            Error::AllDamaged { .. } => Some("put a whole one back, or train from the start with `--fresh`".into()),
            Error::Diverged { .. } => Some("lower `learning_rate`, lengthen `warmup_steps`, or try `precision = \"fp32\"`; no model was written, checkpoints from before are kept".into()),
            Error::Skipped { .. } => Some(
                "checkpoints from before them are kept; lower `learning_rate`, lengthen `warmup_steps`, try `precision = \"fp32\"`, or look at these rows with `shard trace`".into(),
            ),
            Error::OutOfMemory { fitting: Some(rows), .. } => Some(format!("`micro_batch_rows = {rows}` fits, with the same result but for rounding")),
            Error::OutOfMemory { .. } => Some("shorter rows (`seq_len` of `shard`), `activation_checkpointing = true`, or a smaller model".into()),
            Error::Vocabulary { .. } => Some(
                "use the tokenizer that stands in the model's own folder, from `tokenize` on, or give the model rows for the new tokens: `extend_vocab = true` in [stage.pretrain]".into(),
            ),
            Error::Interrupted { .. } => Some("run the same command again to go on (without `--fresh` and `--force`, which begin anew)".into()),
            Error::Horizon { .. } => Some("a `--set` of one of them does not unset another in the file: use the key that the file uses".into()),
            Error::TokenOutOfRange { .. } => Some("the shards were made with another tokenizer than the model's: run `shard` again, or change `init_from`".into()),
            Error::Handoff(error) => stage::Failure::hint(error),
            Error::Model(error) => error.hint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stage::Failure;

    #[test]
    fn what_is_wrong_with_a_model_gets_its_exit_code_and_a_hint() {
        let file = || PathBuf::from("m/model.safetensors");
        let not_there = std::io::Error::from(std::io::ErrorKind::NotFound);
        for (error, exit, hint) in [
            (model::Config::from_json("[]").unwrap_err(), Exit::Usage, "config.json"),
            (model::Error::Config("`hidden_act` is `gelu`".into()), Exit::Usage, "config.json"),
            (model::Error::Untied { path: file(), name: "lm_head.weight".into() }, Exit::Usage, "`tie_word_embeddings` to false"),
            (model::Error::Io { path: file(), action: "open", source: not_there }, Exit::Usage, "Hugging Face folder"),
            (tch::TchError::Torch("CUDA out of memory. Tried to allocate 2 GiB".into()).into(), Exit::Failed, "smaller model"),
            (model::Error::NotFinite { path: file(), name: "w".into() }, Exit::Upstream, "another one"),
            (model::Error::Names { path: file(), missing: vec![], unexpected: vec![] }, Exit::Upstream, "of one model"),
        ] {
            let error = Error::from(error);
            assert_eq!(error.exit(), exit, "{error}");
            assert!(error.hint().unwrap().contains(hint), "{error}");
        }
    }
}
