//! Tokenizer files, special tokens, chat template rendering.
