//! Quality filters: pure functions of a text, its language and the thresholds.
//!
//! [`measure`] counts, [`rules`] compares, [`ngrams`] finds repetition, [`pii`] replaces personal data.
//! Every rule names its unit: words for languages written in words, characters for Chinese and Japanese.

pub mod measure;
pub mod ngrams;
pub mod pii;
pub mod rules;

pub use rules::check;

/// Which class of rules a language is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Written in words.
    Words,
    /// Chinese and Japanese: counted in characters.
    Han,
}

/// The class of a language; a text of unknown language goes by its script.
#[must_use]
pub fn class(tag: &str, text: &str) -> Class {
    let han = match tag {
        "und" => corpus::ScriptHistogram::of(text).cjk_share() > 0.5,
        tag => corpus::matches_tag(tag, "zh") || corpus::matches_tag(tag, "ja"),
    };
    if han { Class::Han } else { Class::Words }
}
