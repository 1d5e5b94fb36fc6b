//! What can go wrong with a teacher as a whole; what goes wrong with one request is an [`crate::AskError`].

use std::path::PathBuf;

/// An error that ends the asking.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of the request log does not parse; a torn last line is no error.
    #[error("line {line} of request log `{path}` is damaged")]
    DamagedLog {
        /// The log.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The parser's message.
        source: serde_json::Error,
    },
    /// The next request would exceed a cap.
    #[error("budget reached: `{cap}` is {limit}, {used} used, the next request needs {needed}")]
    Budget {
        /// The configuration key of the cap.
        cap: &'static str,
        /// Its value.
        limit: u64,
        /// Already charged, retries included.
        used: u64,
        /// What the next request may take.
        needed: u64,
    },
    /// The account has no credit left.
    #[error("the account at `{endpoint}` has no quota left: {message}")]
    Quota {
        /// Where.
        endpoint: String,
        /// What the server said.
        message: String,
    },
    /// The key is missing or not accepted.
    #[error("`{endpoint}` did not accept the key (status {status}): {message}")]
    Unauthorized {
        /// Where.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// The endpoint or the model does not exist.
    #[error("`{endpoint}` has no such path or model (status {status}): {message}")]
    NotFound {
        /// Where.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// A base URL that cannot be used.
    #[error("base URL `{url}` cannot be used: {problem}")]
    BaseUrl {
        /// The URL, without what might be secret in it.
        url: String,
        /// Why.
        problem: &'static str,
    },
    /// A prompt file that cannot be used.
    #[error("prompt `{name}` cannot be used: {problem}")]
    Prompt {
        /// File, or the name of the built-in one.
        name: String,
        /// Why.
        problem: String,
    },
    /// A clean stop was asked for.
    #[error("interrupted; every reply so far is kept")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
