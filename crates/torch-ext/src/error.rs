//! The one error of this crate.

/// What went wrong inside libtorch or before calling it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// libtorch refused: the first line of its message.
    #[error("libtorch: {message}")]
    Torch {
        /// The first line of the C++ exception.
        message: String,
    },
    /// Lists that must have one entry a parameter have different lengths.
    #[error("`{what}` has {got} tensors, expected {expected}")]
    Length {
        /// The list that is off.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length of the first list.
        expected: usize,
    },
    /// A tensor has another type or shape than its partner.
    #[error("`{what}`[{index}] is {got}, expected {expected}")]
    Mismatch {
        /// The list that is off.
        what: &'static str,
        /// The position in the list.
        index: usize,
        /// Its type and shape.
        got: String,
        /// The type and shape of its partner in the first list.
        expected: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
