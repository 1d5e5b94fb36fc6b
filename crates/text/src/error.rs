//! What can go wrong with tokenizer files and chat templates.

use std::path::PathBuf;

/// An error of this crate; paths and numbers are fields.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot access `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory holds no `tokenizer.json`.
    #[error("no `tokenizer.json` in `{}`", path.display())]
    NoTokenizer {
        /// The directory.
        path: PathBuf,
    },
    /// A JSON file beside the tokenizer is not what it should be.
    #[error("`{}` is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's complaint.
        source: serde_json::Error,
    },
    /// `tokenizer.json` was refused by the tokenizers library.
    #[error("`{}` is not a usable `tokenizer.json`: {message}", path.display())]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// The library's complaint.
        message: String,
    },
    /// A special token is named in the configuration but is not in the vocabulary.
    #[error("`{key}` is `{token}`, which the vocabulary of `{}` does not have", path.display())]
    UnknownSpecial {
        /// The tokenizer's file.
        path: PathBuf,
        /// Key in `tokenizer_config.json`.
        key: &'static str,
        /// The token.
        token: String,
    },
    /// Encoding or decoding failed inside the tokenizers library.
    #[error("tokenizer failed: {message}")]
    Tokenize {
        /// The library's complaint.
        message: String,
    },
    /// A chat was to be encoded with a tokenizer that has no chat template.
    #[error("the tokenizer in `{}` has no chat template", path.display())]
    NoChatTemplate {
        /// The tokenizer's directory or file.
        path: PathBuf,
    },
    /// A chat template does not parse, or raised an error while rendering.
    #[error("chat template failed: {message}")]
    Template {
        /// What went wrong, with the template's line where known.
        message: String,
    },
    /// The assistant's part of a turn cannot be told apart in the rendered text.
    #[error(
        "cannot tell what the assistant wrote in message {message_index}: the template has no `{{% generation %}}` tags, and its rendering \
         of the first messages is no prefix of its rendering of all of them"
    )]
    SpansNotDerivable {
        /// Index of the assistant's message.
        message_index: usize,
    },
}
