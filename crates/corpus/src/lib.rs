//! What several stages know about text: language and script, units and n-grams, MinHash, the decontamination index, task files.
//!
//! Everything here is a pure function of its arguments: no tensors, no Parquet, no run directory, no clock.
//! English and Chinese are both first class: words are the unit of alphabetic scripts, single characters that of Han and kana.
//! Hashes are our own and fixed ([`hash64`]), so that signatures written by one version can be compared by the next.

mod class;
mod decontaminate;
mod error;
mod hash;
mod language;
mod lsh;
mod minhash;
mod normalize;
mod script;
mod sentence;
mod task;
mod units;

pub use decontaminate::{Decontamination, DecontaminationBuilder, Hit, HitKind};
pub use error::Error;
pub use hash::hash64;
pub use language::{Language, is_told, language, matches_tag, short_code};
pub use lsh::BandIndex;
pub use minhash::{MinHasher, char_shingles, shingles, similarity};
pub use normalize::normalize;
pub use script::{ScriptHistogram, is_han, is_hangul, is_kana};
pub use sentence::sentences;
pub use task::{TaskRow, read_task_file, read_tasks};
pub use units::{Unit, UnitKind, Units, ngrams, unit_hashes, units};
