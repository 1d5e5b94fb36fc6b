//! Asking a teacher: back-ends, request log, budget, prompts.
//!
//! - [`Teacher`]: one question, one answer. [`OpenAi`] asks any OpenAI-compatible endpoint, [`OfflineTeacher`] is rules and no model.
//! - [`Session`]: many questions, several at a time, with retries; every request is written down before it is sent and every
//!   reply before it is used.
//! - [`RequestLog`]: that record; a request it has an answer for is never sent again.
//! - [`Budget`]: hard caps, charged before sending, retries included.
//! - [`Prompt`]: prompts are TOML files with a digest. [`parse_pairs`]: what a reply has to look like.
//!
//! Invariants:
//! - **A kill loses no reply that came in, and no request with an answer is asked twice.**
//! - **The key never reaches a log, a file or a message.**
//! - **No Parquet, no run directory, no configuration file.** Paths come from the caller.
#![warn(missing_docs)]

mod budget;
mod error;
pub mod log;
pub mod offline;
mod openai;
mod pairs;
mod prompt;
mod request;
mod session;

use std::time::Duration;

pub use budget::{Budget, Caps, Spent};
pub use error::{Error, Result};
pub use log::{Event, RequestLog, State};
pub use offline::OfflineTeacher;
pub use openai::{ApiKey, OpenAi};
pub use pairs::{Pair, parse_pairs};
pub use prompt::{BUILTIN as BUILTIN_PROMPT, Prompt};
pub use request::{Message, Reply, Request, UNLIMITED_REPLY_TOKENS, Usage, estimate_tokens};
pub use session::{Outcome, RetryPolicy, Session};

/// Someone who answers.
pub trait Teacher: Sync {
    /// The name that stands in every row drawn from it.
    fn name(&self) -> &str;

    /// Where it is asked; part of a request's key.
    fn endpoint(&self) -> &str;

    /// Asks once.
    ///
    /// # Errors
    /// Whether to try again, to give this request up, or to stop altogether.
    fn ask(&self, request: &Request) -> Result<Reply, AskError>;
}

/// Why one attempt brought no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It may succeed later.
    #[error("{reason}")]
    Retry {
        /// Why.
        reason: String,
        /// What the server asked to wait.
        after: Option<Duration>,
        /// Tokens charged, `None` if unknown.
        used_tokens: Option<u64>,
        /// What came, if it was paid for and cannot be used.
        raw: Option<String>,
    },
    /// It will not succeed as it stands.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// What came.
        raw: Option<String>,
        /// Tokens charged.
        used_tokens: u64,
        /// True if asking again in another run is of no use either.
        lasting: bool,
    },
    /// No request will succeed.
    #[error(transparent)]
    Fatal(Error),
}
