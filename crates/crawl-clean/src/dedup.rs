//! Exact and near duplicates, decided in ingest order.
//!
//! A document is dropped if and only if an earlier one that reached this step, kept or not, has the same normalised text or shares
//! a band of its signature. So a decision depends on what came before alone, and more input never changes it.

use crate::config::DedupConfig;
use crate::reason::{Reason, Rejection};
use corpus::{BandIndex, MinHasher, normalize, shingles};
use handoff::Digest;
use std::collections::HashMap;

/// What duplicates are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Digest of the normalised text.
    pub exact: [u8; 16],
    /// One key a band; empty if near duplicates are not looked for, or the text has no unit.
    pub bands: Vec<u64>,
}

impl Signature {
    /// The signature of a text.
    #[must_use]
    pub fn of(text: &str, hasher: &MinHasher, config: &DedupConfig) -> Self {
        let normalised = normalize(text);
        let exact = *Digest::of_bytes(normalised.as_bytes()).as_bytes();
        let near = config.near.then(|| hasher.signature(&shingles(&normalised, config.shingle_words, config.shingle_chars))).flatten();
        Self { exact, bands: near.map(|signature| hasher.band_keys(&signature)).unwrap_or_default() }
    }
}

/// All documents so far.
#[derive(Debug, Default)]
pub struct Seen {
    exact: HashMap<[u8; 16], u32>,
    bands: BandIndex,
    ids: Vec<String>,
}

impl Seen {
    /// Decides on a document and enters it.
    ///
    /// # Errors
    /// The rejection, which names the earliest document it duplicates; the document is entered all the same.
    pub fn decide(&mut self, id: &str, signature: &Signature) -> Result<(), Rejection> {
        let exact = self.exact.get(&signature.exact).copied();
        let near = if exact.is_none() { self.bands.find(&signature.bands) } else { None };
        let decision = match (exact, near) {
            (Some(first), _) => Err(Rejection::new(Reason::DuplicateExact).with_detail(self.ids[first as usize].clone())),
            (None, Some((first, bands))) => {
                Err(Rejection::measured(Reason::DuplicateNear, f64::from(bands), 1.0).with_detail(self.ids[first as usize].clone()))
            }
            (None, None) => Ok(()),
        };
        self.enter(id, signature);
        decision
    }

    /// Enters a document decided on in an earlier run.
    pub fn enter(&mut self, id: &str, signature: &Signature) {
        // Documents are numbered by u32: one process holds no more signatures than that in memory.
        let number = self.ids.len() as u32;
        self.exact.entry(signature.exact).or_insert(number);
        self.bands.insert(number, &signature.bands);
        self.ids.push(id.to_owned());
    }

    /// Number of documents entered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True before the first document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;

    fn signature(text: &str) -> Signature {
        let config = defaults().dedup;
        Signature::of(text, &MinHasher::new(config.bands, config.rows, 1), &config)
    }

    fn long(change: &str) -> String {
        (0..200).map(|i| if i == 100 { change.to_owned() } else { format!("word{}", i * 37 % 101) }).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn exact_ignores_case_and_marks_near_tells_bands() {
        let mut seen = Seen::default();
        assert!(seen.decide("1", &signature(&long("x"))).is_ok());
        let exact = seen.decide("2", &signature(&long("X!").to_uppercase())).unwrap_err();
        assert_eq!((exact.reason, exact.detail.as_deref()), (Reason::DuplicateExact, Some("1")));
        let near = seen.decide("3", &signature(&long("y"))).unwrap_err();
        assert_eq!((near.reason, near.detail.as_deref(), near.threshold), (Reason::DuplicateNear, Some("1"), Some(1.0)));
        assert!(seen.decide("4", &signature("something else altogether, and not short at that")).is_ok());
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn short_texts_equal_only_their_like() {
        let mut seen = Seen::default();
        for text in ["one two", "one three", "巴黎", "北京", "", "?!"] {
            let got = seen.decide(text, &signature(text));
            assert_eq!(got.is_err(), text == "?!", "{text}");
        }
    }
}
