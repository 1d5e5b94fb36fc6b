//! Duplicates, decided in ingest order, by joining keys on disk.
//!
//! Every document that passed everything that looks at it alone leaves a few 64-bit keys: of its text, its address, the bands of its
//! MinHash signature, its lines, its long runs. A document repeats an earlier one where a key of it was first held by that one.
//! So all that has to be found is, for every key, its first holder:
//!
//! 1. extraction writes the keys of each unit, sorted, to a file of its own ([`runs`]);
//! 2. the join reads one range of keys from all these files at a time, and writes who held a key before whom ([`join`]);
//! 3. the decision reads what was found on a unit's documents ([`decide`]).
//!
//! Memory is bounded by the number of ranges, and ranges can be shared among workers. A decision depends on what came before in the
//! ingest order alone, so more input never changes it.

pub mod clusters;
pub mod decide;
pub mod join;
pub mod runs;
pub mod spans;
pub mod table;
pub mod url;

use crate::config::DedupConfig;
use corpus::{MinHasher, char_shingles, hash64, normalize, shingles};
use handoff::Digest;

/// What a key was made of; stands in the upper bits of a [`Key::tag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The normalised text.
    Exact = 0,
    /// The normalised address.
    Url = 1,
    /// A band of the signature; the number is the band's.
    Band = 2,
    /// A line; the number is the line's.
    Line = 3,
    /// A long run; the number is that of its first unit.
    Span = 4,
    /// A sentence, where long runs are looked for; the number is that of its first unit.
    Sentence = 5,
}

/// Bits of a tag for the number; the kind stands above them.
const NUMBER_BITS: u32 = 28;

/// A key of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The hash; kinds are part of it, so that keys of two kinds do not meet.
    pub hash: u64,
    /// Number of the document in its unit, among those that reached this step.
    pub row: u32,
    /// Kind and number.
    pub tag: u32,
}

impl Key {
    /// A key of document `row`, from a hash of its own kind. A number too large to store is the largest.
    #[must_use]
    pub fn new(kind: Kind, number: usize, hash: u64, row: u32) -> Self {
        let number = number.min((1 << NUMBER_BITS) - 1) as u32;
        // Band keys and hashes of text are well mixed already.
        let hash = hash64(&hash.to_le_bytes(), kind as u64 + 1);
        Self { hash, row, tag: (kind as u32) << NUMBER_BITS | number }
    }
}

/// Kind of a tag.
#[must_use]
pub fn kind(tag: u32) -> Option<Kind> {
    [Kind::Exact, Kind::Url, Kind::Band, Kind::Line, Kind::Span, Kind::Sentence].get((tag >> NUMBER_BITS) as usize).copied()
}

/// Number of a tag.
#[must_use]
pub fn number(tag: u32) -> usize {
    (tag & ((1 << NUMBER_BITS) - 1)) as usize
}

/// Most shingle hashes that are stored of a document: similarity is exact up to so many, and beyond them estimated from the least
/// ones with a standard error of 0.016 at most.
pub const SKETCH_HASHES: usize = 1024;

/// What duplicates of a document are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// Digest of the normalised text.
    pub exact: [u8; 16],
    /// One key a band; empty if near duplicates are not looked for, or the text has no unit.
    pub bands: Vec<u64>,
    /// Hash of the normalised address, if it is looked at and there is one.
    pub url: Option<u64>,
    /// The least distinct shingle hashes in order, at most [`SKETCH_HASHES`]; empty unless similarity is verified.
    pub sketch: Vec<u32>,
    /// Hashes of lines with their numbers, if repeated lines are removed.
    pub lines: Vec<(u32, u64)>,
    /// Hashes of long runs with the number of their first unit, if repeated runs are removed.
    pub spans: Vec<(u32, u64)>,
    /// The same of sentences.
    pub sentences: Vec<(u32, u64)>,
}

impl Signature {
    /// The signature of a text.
    #[must_use]
    pub fn of(text: &str, address: &str, hasher: &MinHasher, config: &DedupConfig) -> Self {
        let normalised = normalize(text);
        // Of a text without letters and digits nothing is left: it is known by its marks.
        let marks = if normalised.is_empty() { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { String::new() };
        let exact = *Digest::of_bytes(if normalised.is_empty() { marks.as_bytes() } else { normalised.as_bytes() }).as_bytes();
        let mut signature = Self { exact, ..Self::default() };
        if config.near {
            let shape = config.shape();
            let shingles = match shape.words {
                0 => char_shingles(&normalised, shape.chars),
                words => shingles(&normalised, words, shape.chars),
            };
            signature.bands = hasher.signature(&shingles).map(|signature| hasher.band_keys(&signature)).unwrap_or_default();
            if config.verify_jaccard > 0.0 {
                signature.sketch = sketch(&shingles);
            }
        }
        if config.urls {
            signature.url = url::normalized(address).map(|address| hash64(address.as_bytes(), 0));
        }
        if config.remove_lines {
            signature.lines = spans::lines(text).map(|(number, _, hash)| (number, hash)).collect();
        }
        if config.remove_spans {
            let units = spans::Units::of(text, config);
            signature.spans = units.anchors();
            // Sentences count at the edges of runs alone.
            if !signature.spans.is_empty() {
                signature.sentences = units.sentences(text).into_iter().map(|found| (found.units.start as u32, found.hash)).collect();
            }
        }
        signature
    }

    /// The keys of the signature as document `row` of its unit.
    pub fn keys(&self, row: u32) -> impl Iterator<Item = Key> + '_ {
        let half = |half: usize| u64::from_le_bytes(std::array::from_fn(|i| self.exact[8 * half + i]));
        let exact = Key::new(Kind::Exact, 0, half(0), row);
        let url = self.url.map(|hash| Key::new(Kind::Url, 0, hash, row));
        let bands = self.bands.iter().enumerate().map(move |(band, &hash)| Key::new(Kind::Band, band, hash, row));
        let lines = self.lines.iter().map(move |&(number, hash)| Key::new(Kind::Line, number as usize, hash, row));
        let spans = self.spans.iter().map(move |&(number, hash)| Key::new(Kind::Span, number as usize, hash, row));
        let sentences = self.sentences.iter().map(move |&(number, hash)| Key::new(Kind::Sentence, number as usize, hash, row));
        std::iter::once(exact).chain(url).chain(bands).chain(lines).chain(spans).chain(sentences)
    }
}

/// The least distinct values of a set of shingle hashes.
fn sketch(shingles: &[u64]) -> Vec<u32> {
    let mut hashes: Vec<u32> = shingles.iter().map(|hash| (hash64(&hash.to_le_bytes(), 7) >> 32) as u32).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.truncate(SKETCH_HASHES);
    hashes
}

/// Jaccard similarity of the sets behind two sketches: exact if both are whole, else estimated from the least values of the union
/// (Cohen and Kaplan 2007, bottom-k sketches).
#[must_use]
pub fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    // A sketch says nothing of what lies above its last value, if it was cut off.
    let whole = a.len() < SKETCH_HASHES && b.len() < SKETCH_HASHES;
    let most = if whole { usize::MAX } else { SKETCH_HASHES };
    let (mut i, mut j, mut common, mut union) = (0, 0, 0_usize, 0_usize);
    while union < most && (i < a.len() || j < b.len()) {
        let (x, y) = (a.get(i), b.get(j));
        let order = match (x, y) {
            (Some(x), Some(y)) => x.cmp(y),
            (Some(_), None) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        union += 1;
        common += usize::from(order.is_eq());
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    if union == 0 { 0.0 } else { common as f64 / union as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;

    #[test]
    fn tags_come_apart_again() {
        let key = Key::new(Kind::Line, 77, 5, 3);
        assert_eq!((kind(key.tag), number(key.tag), key.row), (Some(Kind::Line), 77, 3));
        assert_ne!(key.hash, Key::new(Kind::Url, 77, 5, 3).hash);
        assert_eq!(number(Key::new(Kind::Span, usize::MAX, 5, 3).tag), (1 << NUMBER_BITS) - 1);
        assert_eq!(kind(u32::MAX), None);
    }

    #[test]
    fn similarity_is_exact_for_short_and_close_for_long_sets() {
        let set = |range: std::ops::Range<u64>| sketch(&range.map(|i| hash64(&i.to_le_bytes(), 1)).collect::<Vec<_>>());
        assert!((jaccard(&set(0..300), &set(100..400)) - 0.5).abs() < 1e-9);
        assert!((jaccard(&set(0..9000), &set(1000..10_000)) - 0.8).abs() < 0.05);
        // One whole, the other cut off.
        assert!((jaccard(&set(0..900), &set(0..1800)) - 0.5).abs() < 0.06);
        assert!(jaccard(&[], &[]) == 0.0 && jaccard(&set(0..5), &[]) == 0.0);
    }

    #[test]
    fn only_what_is_asked_for_is_computed() {
        let mut config = defaults().dedup;
        let of = |config: &DedupConfig| {
            let shape = config.shape();
            Signature::of("One line of text.\nAnd another one.", "http://a.example/", &MinHasher::new(shape.bands, shape.rows, 1), config)
        };
        let plain = of(&config);
        assert_eq!((plain.bands.len(), plain.keys(0).count()), (14, 15));
        (config.urls, config.remove_lines, config.verify_jaccard) = (true, true, 0.8);
        let more = of(&config);
        assert_eq!((more.exact, &more.bands, more.lines.len()), (plain.exact, &plain.bands, 2));
        assert!(more.url.is_some() && !more.sketch.is_empty());
        assert_eq!(more.keys(0).count(), 18);
        config.near = false;
        assert!(of(&config).bands.is_empty());
    }
}
