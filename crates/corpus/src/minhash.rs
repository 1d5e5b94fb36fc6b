//! MinHash signatures: a short sketch from which the Jaccard similarity of two shingle sets can be estimated.
//!
//! With `b` bands of `r` rows, two documents of similarity `s` share a band with probability `1 - (1 - s^r)^b` (Leskovec, Rajaraman,
//! Ullman, *Mining of Massive Datasets*, section 3.4). FineWeb's 14 bands of 8 rows put the middle of that curve at 0.72.

use crate::hash::{combine, fold};
use crate::units::{UnitKind, ngrams, units};

/// Base of the polynomial that [`char_shingles`] rolls along a text.
const ROLL: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hash functions that are computed together: their state stays in registers while all shingles pass.
const LANES: usize = 8;

/// [`LANES`] hash functions.
#[derive(Debug, Clone, Copy)]
struct Lanes {
    multipliers: [u32; LANES],
    offsets: [u32; LANES],
}

/// Makes signatures of `bands * rows` values of 32 bits.
#[derive(Debug, Clone)]
pub struct MinHasher {
    lanes: Vec<Lanes>,
    hashes: usize,
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
        let hashes = bands * rows;
        let lanes = (0..hashes.div_ceil(LANES)).map(|group| Lanes {
            multipliers: std::array::from_fn(|lane| (draw(group * LANES + lane, 0xE703_7ED1_A0B4_28DB) as u32) | 1),
            offsets: std::array::from_fn(|lane| (draw(group * LANES + lane, 0x8EBC_6AF0_9C88_C6E3) >> 32) as u32),
        });
        Self { lanes: lanes.collect(), hashes, rows }
    }

    /// The signature of a set of shingle hashes, `None` for the empty set: a document without text resembles nothing.
    #[must_use]
    pub fn signature(&self, shingles: &[u64]) -> Option<Vec<u32>> {
        if shingles.is_empty() {
            return None;
        }
        let folded: Vec<u32> = shingles.iter().map(|shingle| (shingle ^ (shingle >> 32)) as u32).collect();
        let mut signature: Vec<u32> = self.lanes.iter().flat_map(|lanes| lanes.least(&folded)).collect();
        signature.truncate(self.hashes);
        Some(signature)
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

impl Lanes {
    /// The least value of each function. A product alone orders by few of its high bits, so they are let act on the low ones too.
    fn least(&self, folded: &[u32]) -> [u32; LANES] {
        // Compared with the sign bit flipped: processors of the baseline have no unsigned comparison.
        const SIGN: u32 = 1 << 31;
        let mut least = [i32::MAX; LANES];
        for &x in folded {
            for ((least, &a), &b) in least.iter_mut().zip(&self.multipliers).zip(&self.offsets) {
                let product = (x ^ b).wrapping_mul(a);
                let value = (product ^ (product >> 15) ^ SIGN) as i32;
                *least = if value < *least { value } else { *least };
            }
        }
        least.map(|value| value as u32 ^ SIGN)
    }
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

/// Shingle hashes of normalised text by runs of `chars` characters, spaces among them, whatever the script.
///
/// A text shorter than one shingle is one shingle of all it has. May hold repeats.
///
/// # Panics
/// If `chars` is 0.
#[must_use]
pub fn char_shingles(normalised: &str, chars: usize) -> Vec<u64> {
    assert!(chars > 0, "shingles need chars > 0");
    let codes: Vec<u64> = normalised.chars().map(|c| c as u64 + 1).collect();
    if codes.is_empty() {
        return Vec::new();
    }
    let n = chars.min(codes.len());
    let leaving = (0..n).fold(1_u64, |power, _| power.wrapping_mul(ROLL));
    let mut state = codes[..n].iter().fold(0_u64, |state, &code| state.wrapping_mul(ROLL).wrapping_add(code));
    let mut hashes = Vec::with_capacity(codes.len() - n + 1);
    // Low bits of the polynomial depend on the last characters alone, so each value is mixed once more.
    hashes.push(combine(n as u64, state));
    for (&gone, &new) in codes.iter().zip(&codes[n..]) {
        state = state.wrapping_mul(ROLL).wrapping_add(new).wrapping_sub(gone.wrapping_mul(leaving));
        hashes.push(combine(n as u64, state));
    }
    hashes
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

    fn numbered(range: std::ops::Range<u64>, seed: u64) -> Vec<u64> {
        range.map(|i| crate::hash64(&i.to_le_bytes(), seed)).collect()
    }

    #[test]
    fn lanes_compute_what_the_definition_says() {
        let (hasher, set) = (MinHasher::new(9, 13, 1), numbered(0..77, 4));
        let draw = |i: u64, salt: u64| fold(1 ^ (i + 1).wrapping_mul(0xA076_1D64_78BD_642F), salt);
        let value = |x: u64, i: u64| {
            let (a, b) = (draw(i, 0xE703_7ED1_A0B4_28DB) as u32 | 1, (draw(i, 0x8EBC_6AF0_9C88_C6E3) >> 32) as u32);
            let product = ((x ^ (x >> 32)) as u32 ^ b).wrapping_mul(a);
            product ^ (product >> 15)
        };
        let want: Vec<u32> = (0..117).filter_map(|i| set.iter().map(|&x| value(x, i)).min()).collect();
        assert_eq!(hasher.signature(&set).unwrap(), want);
    }

    #[test]
    fn pairs_share_a_band_as_often_as_the_curve_says() {
        let hasher = MinHasher::new(14, 8, 1);
        // Sets of 360 of which so many are common: similarities 0.5, 0.71, 0.8 and 0.89.
        for common in [240_u64, 300, 320, 340] {
            let truth = common as f64 / (720 - common) as f64;
            let (mut shared, mut estimates) = (0_u32, 0.0);
            for seed in 0..250 {
                let sets = [numbered(0..360, seed), numbered(360 - common..720 - common, seed)];
                let signatures = sets.map(|set| hasher.signature(&set).unwrap());
                estimates += similarity(&signatures[0], &signatures[1]) / 250.0;
                let keys = signatures.map(|signature| hasher.band_keys(&signature));
                shared += u32::from(keys[0].iter().zip(&keys[1]).any(|(a, b)| a == b));
            }
            let (got, curve) = (f64::from(shared) / 250.0, 1.0 - (1.0 - truth.powi(8)).powi(14));
            assert!((estimates - truth).abs() < 0.015, "true {truth}, mean estimate {estimates}");
            assert!((got - curve).abs() < 0.1, "similarity {truth}: {got} share a band, the curve says {curve}");
        }
    }

    #[test]
    fn char_shingles_roll() {
        let text = "a rolling hash, 滚动的哈希 rolls";
        let chars: Vec<char> = text.chars().collect();
        let rolled = char_shingles(text, 7);
        assert_eq!(rolled.len(), chars.len() - 6);
        for (window, &hash) in chars.windows(7).zip(&rolled) {
            assert_eq!(char_shingles(&window.iter().collect::<String>(), 7), [hash]);
        }
        assert_eq!((char_shingles("short", 7).len(), char_shingles("", 7).len()), (1, 0));
        assert_ne!(char_shingles("short", 7), char_shingles("shore", 7));
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
