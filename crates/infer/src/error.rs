//! The one error of this crate.

/// What can go wrong while generating or scoring.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request that cannot be served.
    #[error("{0}")]
    Request(String),
    /// The model refused.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(source))]
    Torch {
        /// The cause, whole.
        source: tch::TchError,
    },
}

impl From<tch::TchError> for Error {
    fn from(source: tch::TchError) -> Self {
        Self::Torch { source }
    }
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
