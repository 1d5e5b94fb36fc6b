//! Quality filters: pure functions of a text, its language and the rules.
//!
//! [`preset`] holds the rules as data, [`measure`] counts, [`ngrams`] finds repetition, [`rules`] compares, [`brackets`] tells code
//! from text, [`lines`] edits lines, [`pii`] replaces personal data. Every rule names its unit: words for languages written in words, characters for Chinese and Japanese.

pub mod brackets;
pub mod lines;
pub mod measure;
pub mod ngrams;
pub mod pii;
pub mod preset;
pub mod rules;
pub mod scores;

pub use measure::{Compiled, Scratch};
pub use preset::{Class, Preset};
pub use rules::{Judgement, judge};
pub use scores::Scores;
