//! MinHash signatures: a short sketch from which the Jaccard similarity of two shingle sets can be estimated.
//!
//! With `b` bands of `r` rows, two documents of similarity `s` share a band with probability `1 - (1 - s^r)^b` (Leskovec, Rajaraman,
//! Ullman, *Mining of Massive Datasets*, section 3.4). FineWeb's 14 bands of 8 rows put the middle of that curve at 0.72.

use crate::hash::{combine, fold};
use crate::units::{UnitKind, ngrams, units};

/// Makes signatures of `bands * rows` values of 32 bits.
#[derive(Debug, Clone)]
pub struct MinHasher {
    multipliers: Vec<u32>,
    offsets: Vec<u32>,
    rows: usize,
}

impl MinHasher {
    /// A hasher whose functions follow from `seed`; signatures compare only if all three arguments are the same.
    ///
    /// # Panics
    /// If `bands` or `rows` is 0.
    #[must_use]
    pub fn new(bands: usize, rows: usize, seed: u64) -> Self {
        assert!(bands > 0 && rows > 0, "bands and rows must be positive");
        let draw = |i: usize, salt: u64| fold(seed ^ (i as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F), salt);
        let hashes = 0..bands * rows;
        Self {
            multipliers: hashes.clone().map(|i| (draw(i, 0xE703_7ED1_A0B4_28DB) as u32) | 1).collect(),
            offsets: hashes.map(|i| (draw(i, 0x8EBC_6AF0_9C88_C6E3) >> 32) as u32).collect(),
            rows,
        }
    }

    /// The signature of a set of shingle hashes, `None` for the empty set: a document without text resembles nothing.
    #[must_use]
    pub fn signature(&self, shingles: &[u64]) -> Option<Vec<u32>> {
        if shingles.is_empty() {
            return None;
        }
        let mut least = vec![u32::MAX; self.multipliers.len()];
        for &shingle in shingles {
            let x = (shingle ^ (shingle >> 32)) as u32;
            for ((slot, &a), &b) in least.iter_mut().zip(&self.multipliers).zip(&self.offsets) {
                *slot = (*slot).min(spread((x ^ b).wrapping_mul(a)));
            }
        }
        Some(least)
    }

    /// One key a band; documents that share one are near duplicates.
    #[must_use]
    pub fn band_keys(&self, signature: &[u32]) -> Vec<u64> {
        signature
            .chunks(self.rows)
            .enumerate()
            .map(|(band, rows)| rows.iter().fold(band as u64 + 1, |state, &value| combine(state, u64::from(value))))
            .collect()
    }
}

/// Lets high bits act on low ones: a product alone orders by few of them.
#[inline]
fn spread(x: u32) -> u32 {
    x ^ (x >> 15)
}

/// Estimated Jaccard similarity of the sets behind two signatures of the same hasher.
#[must_use]
pub fn similarity(a: &[u32], b: &[u32]) -> f64 {
    if a.is_empty() || a.len() != b.len() {
        return 0.0;
    }
    a.iter().zip(b).filter(|(x, y)| x == y).count() as f64 / a.len() as f64
}

/// Shingle hashes of normalised text: runs of `words` words, or of `chars` characters where Han and kana are most of its units.
///
/// A text shorter than one shingle is one shingle of all it has, so that short texts equal only their like. May hold repeats.
///
/// # Panics
/// If `words` or `chars` is 0.
#[must_use]
pub fn shingles(normalised: &str, words: usize, chars: usize) -> Vec<u64> {
    let mut hashes = Vec::with_capacity(normalised.len() / 5);
    let mut cjk = 0;
    for unit in units(normalised) {
        hashes.push(crate::hash64(unit.text.as_bytes(), 0));
        cjk += usize::from(unit.kind == UnitKind::Cjk);
    }
    if hashes.is_empty() {
        return Vec::new();
    }
    let n = if 2 * cjk > hashes.len() { chars } else { words };
    ngrams(&hashes, n.min(hashes.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize;
    use std::collections::HashSet;

    #[test]
    fn estimates_jaccard() {
        let hasher = MinHasher::new(16, 16, 1);
        for shared in [0_u64, 100, 300, 450] {
            let a: Vec<u64> = (0..500).map(|i| crate::hash64(&u64::to_le_bytes(i), 3)).collect();
            let b: Vec<u64> = (500 - shared..1000 - shared).map(|i| crate::hash64(&u64::to_le_bytes(i), 3)).collect();
            let union: HashSet<_> = a.iter().chain(&b).collect();
            let truth = shared as f64 / union.len() as f64;
            let (sa, sb) = (hasher.signature(&a).unwrap(), hasher.signature(&b).unwrap());
            let got = similarity(&sa, &sb);
            assert!((got - truth).abs() < 0.09, "true {truth}, estimated {got}");
        }
    }

    #[test]
    fn short_texts_are_one_shingle() {
        let (a, b) = (shingles("hello world", 5, 9), shingles("goodbye world", 5, 9));
        assert_eq!((a.len(), b.len()), (1, 1));
        assert_ne!(a, b);
        assert!(shingles("", 5, 9).is_empty());
        assert!(MinHasher::new(2, 2, 0).signature(&[]).is_none());
    }

    #[test]
    fn one_word_changed_in_a_long_text_shares_a_band() {
        let hasher = MinHasher::new(14, 8, 1);
        let words: Vec<String> = (0..300).map(|i| format!("word{}", i * 7919 % 1000)).collect();
        let mut other = words.clone();
        other[150] = "changed".into();
        let keys = |words: &[String]| hasher.band_keys(&hasher.signature(&shingles(&normalize(&words.join(" ")), 5, 9)).unwrap());
        let (a, b) = (keys(&words), keys(&other));
        assert_eq!(a.len(), 14);
        assert!(a.iter().zip(&b).any(|(x, y)| x == y));
    }

    #[test]
    fn chinese_goes_by_character() {
        let text = normalize("中国最高的山是珠穆朗玛峰，位于喜马拉雅山脉。");
        assert_eq!(shingles(&text, 5, 9).len(), text.chars().count() - 8);
    }

    #[test]
    fn bands_do_not_collide_with_each_other() {
        let hasher = MinHasher::new(3, 1, 0);
        let keys = hasher.band_keys(&[5, 5, 5]);
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 3);
    }
}
