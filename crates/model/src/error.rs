//! The one error of this crate.

use std::path::PathBuf;

/// What can go wrong with configurations, weights and tensors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("`{}`: {action} failed", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done: `read`, `write`, `rename` and the like.
        action: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file does not have the expected form.
    #[error("`{}` is not valid here", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A model configuration that this crate cannot run, or that contradicts itself.
    #[error("model configuration: {0}")]
    Config(String),
    /// An adapter configuration that this crate cannot run.
    #[error("adapter configuration: {0}")]
    Adapter(String),
    /// A safetensors file is damaged.
    #[error("`{}` is not a readable safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// The names of tensors in a directory are not those of the model.
    #[error("`{}` does not hold this model's weights: missing {missing:?}, unexpected {unexpected:?}", path.display())]
    Names {
        /// The directory or file.
        path: PathBuf,
        /// Tensors the model needs, at most eight of them.
        missing: Vec<String>,
        /// Tensors the model does not know, at most eight of them.
        unexpected: Vec<String>,
    },
    /// A tensor has the wrong shape.
    #[error("`{name}` in `{}` has shape {got:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        got: Vec<i64>,
        /// The shape that the configuration asks for.
        expected: Vec<i64>,
    },
    /// A tensor has a type that weights cannot have here.
    #[error("`{name}` in `{}` is {got}, expected F32, F16 or BF16", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        got: String,
    },
    /// A tensor that training or answering would only spread.
    #[error("`{name}` in `{}` holds a value that is not a finite number", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// An output matrix of its own in a model that says it has none.
    #[error("`{name}` in `{}` is not the embedding matrix, but `tie_word_embeddings` is true in config.json", path.display())]
    Untied {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// An input has the wrong form.
    #[error("{0}")]
    Input(String),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(source))]
    Torch {
        /// The cause, whole.
        source: tch::TchError,
    },
    /// The C++ shim refused an operation.
    #[error(transparent)]
    Shim(#[from] torch_ext::Error),
}

impl From<tch::TchError> for Error {
    fn from(source: tch::TchError) -> Self {
        Self::Torch { source }
    }
}

impl Error {
    /// An I/O error with its path and what was being done.
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}

/// What keeps a model from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What is asked for: a `config.json` or adapter that cannot be, or no model there.
    Setting,
    /// What was handed over: weights that are damaged, or another model's.
    Weights,
}

impl Error {
    /// Whose fault it is, if it is the model's.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Config(_) | Self::Adapter(_) | Self::Json { .. } | Self::Untied { .. } => Some(Fault::Setting),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Some(Fault::Setting),
            Self::Safetensors { .. } | Self::Names { .. } | Self::Shape { .. } | Self::Type { .. } | Self::NotFinite { .. } => {
                Some(Fault::Weights)
            }
            _ => None,
        }
    }

    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Config(_) | Self::Json { .. } => "the model's config.json says what it is; correct it, or take another model",
            Self::Untied { .. } => "set `tie_word_embeddings` to false in the model's config.json",
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "a model is a Hugging Face folder with config.json and model.safetensors, or its sharded form"
            }
            Self::Torch { source } if tells_out_of_memory(&source.to_string()) => {
                "a smaller model, or a device with more memory free; `nvidia-smi` shows who holds that of a GPU"
            }
            Self::NotFinite { .. } => "the model was saved broken: take another one, or a checkpoint from before it",
            Self::Safetensors { .. } | Self::Names { .. } | Self::Shape { .. } | Self::Type { .. } => {
                "config.json and weights must be those of one model; take both from where they came from again"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Whether libtorch says in this message that it could not get memory, on the CPU or a GPU.
pub fn tells_out_of_memory(message: &str) -> bool {
    message.contains("out of memory") || message.contains("can't allocate memory")
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn first_line(error: &tch::TchError) -> String {
    let text = match error {
        tch::TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}
