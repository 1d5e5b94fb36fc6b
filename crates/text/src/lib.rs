//! Tokenizer files, special tokens and chat templates: everything between text and token ids.
//!
//! - [`Tokenizer`] wraps a Hugging Face `tokenizer.json` and the files beside it: encode, decode, special ids, raw bytes of a
//!   token, and a digest that travels with everything encoded by it.
//! - [`ChatTemplate`] renders Jinja chat templates byte for byte as `transformers` does, and says which bytes the assistant wrote,
//!   with or without `{% generation %}` tags. [`Tokenizer::encode_chat`] turns that into token ids and a training mask.
//! - [`special`] names the special tokens of the tokenizers trained here; [`TokenizerFiles`] reads and writes a tokenizer directory.
//!
//! Invariants:
//! - **Plain text never becomes a special token.** Only [`Tokenizer::encode_parsing_special`], and a chat template's own text, do that;
//!   a message that spells `<|endoftext|>` is encoded as those letters.
//! - **No tensors, no Parquet, no run directory**: paths come in as arguments, and writing is not atomic here (the caller owns that).
#![warn(missing_docs)]

mod chat;
mod error;
mod files;
mod jinja;
mod plain;
mod pyjson;
mod raw_bytes;
pub mod special;
mod stream;
pub mod template;
mod tokenizer;

pub use chat::ChatTokens;
pub use error::Error;
pub use files::TokenizerFiles;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Message, RenderOptions, Rendered, SpanSource};
pub use tokenizer::{Encoded, MAX_IDS, Special, Tokenizer, VOCAB_MULTIPLE};
