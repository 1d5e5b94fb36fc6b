//! The order of training rows: a pure function of (digests of the data, seed, pass, position).
//!
//! No list is shuffled and no state is kept: a keyed bijection on `0..n` gives every position its row, so that
//! seeking to any step is O(1) and a resumed run sees exactly the rows an uninterrupted one sees.

use handoff::{Digest, DigestBuilder};

/// A pseudo-random permutation of `0..n`, keyed, with O(1) access.
///
/// A balanced Feistel network of six rounds on the smallest even number of bits that holds `n`,
/// walked until the value falls below `n` (cycle walking; fewer than four steps on average).
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    key: u64,
}

const ROUNDS: u64 = 6;

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Permutation {
    /// A permutation of `0..n` for a key.
    pub fn new(n: u64, key: u64) -> Self {
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        Self { n, half_bits: bits.div_ceil(2).max(1), key }
    }

    /// Where `index` goes; a bijection on `0..n`. `index` must be below `n`.
    pub fn at(&self, index: u64) -> u64 {
        debug_assert!(index < self.n, "index {index} of {}", self.n);
        let mut value = index;
        loop {
            value = self.round_trip(value);
            if value < self.n {
                return value;
            }
        }
    }

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(self.key ^ mix(right ^ (round << 56))) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// The rows of one training phase: `new` rows, and for each pass over them some earlier rows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseRows {
    /// First row of the phase's own rows; everything before it counts as earlier.
    pub first_new: u64,
    /// One past the last of the phase's own rows.
    pub end: u64,
    /// Earlier rows mixed into each pass.
    pub replayed: u64,
    key: u64,
}

impl PhaseRows {
    /// Rows `first_new..end`, and `replay` earlier rows for each new one (never more than there are).
    ///
    /// The key comes from the data digests up to `end` and the seed.
    pub fn new(first_new: u64, end: u64, replay: f64, data: &[Digest], seed: u64) -> Self {
        let wanted = (replay * (end - first_new) as f64).round() as u64;
        let mut builder = DigestBuilder::new().field("seed", seed.to_le_bytes());
        for digest in data {
            builder = builder.field("data", digest.as_bytes());
        }
        let digest = builder.finish();
        let mut key = [0; 8];
        key.copy_from_slice(&digest.as_bytes()[..8]);
        Self { first_new, end, replayed: wanted.min(first_new), key: u64::from_le_bytes(key) }
    }

    /// Rows of one pass.
    pub fn len(&self) -> u64 {
        self.end - self.first_new + self.replayed
    }

    /// True where the phase has no rows of its own.
    pub fn is_empty(&self) -> bool {
        self.end == self.first_new
    }

    /// The row at `index` of `pass`. Each pass visits every new row once, and goes on through a shuffled list of the earlier ones.
    pub fn at(&self, pass: u64, index: u64) -> u64 {
        let own = self.end - self.first_new;
        let place = Permutation::new(self.len(), mix(self.key ^ pass)).at(index);
        if place < own {
            return self.first_new + place;
        }
        let nth_earlier = pass * self.replayed + (place - own);
        let (round, index) = (nth_earlier / self.first_new, nth_earlier % self.first_new);
        Permutation::new(self.first_new, mix(self.key ^ mix(!round))).at(index)
    }

    /// The row at a position of the endless stream of passes.
    pub fn at_position(&self, position: u64) -> u64 {
        self.at(position / self.len(), position % self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_bijections() {
        for n in [1, 2, 3, 7, 64, 1000, 1025] {
            for key in [0, 1, 42] {
                let mut seen: Vec<u64> = (0..n).map(|i| Permutation::new(n, key).at(i)).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..n).collect::<Vec<_>>(), "n {n} key {key}");
            }
        }
        let big = Permutation::new(u64::from(u32::MAX) * 5, 9);
        assert!(big.at(123_456_789) < u64::from(u32::MAX) * 5);
    }

    #[test]
    fn order_looks_shuffled_and_depends_on_the_key() {
        let n = 10_000_u64;
        let order = |key| (0..n).map(|i| Permutation::new(n, key).at(i)).collect::<Vec<_>>();
        let (a, b) = (order(1), order(2));
        let same = a.iter().zip(&b).filter(|(x, y)| x == y).count();
        assert!(same < 10, "{same} fixed places between two keys, about 1 expected");
        let neighbours = a.windows(2).filter(|w| w[0].abs_diff(w[1]) == 1).count();
        assert!(neighbours < 12, "{neighbours} neighbours stay neighbours, about 2 expected");
        // Kolmogorov-Smirnov distance of the first thousand from uniform; 1.63/√1000 is the 1 % point.
        let mut head = a[..1000].to_vec();
        head.sort_unstable();
        let distance = head.iter().enumerate().map(|(i, &v)| (i as f64 / 1e3 - v as f64 / n as f64).abs()).fold(0.0, f64::max);
        assert!(distance < 0.052, "{distance}");
    }

    fn digest(text: &str) -> Digest {
        Digest::of_bytes(text.as_bytes())
    }

    #[test]
    fn every_pass_visits_each_new_row_once_and_rotates_through_the_earlier_ones() {
        let rows = PhaseRows::new(100, 130, 1.0, &[digest("a"), digest("b")], 7);
        assert_eq!((rows.len(), rows.replayed), (60, 30));
        let mut earlier = Vec::new();
        for pass in 0..10 {
            let visited: Vec<u64> = (0..60).map(|i| rows.at(pass, i)).collect();
            let mut own: Vec<u64> = visited.iter().copied().filter(|&r| r >= 100).collect();
            own.sort_unstable();
            assert_eq!(own, (100..130).collect::<Vec<_>>());
            earlier.extend(visited.into_iter().filter(|&r| r < 100));
        }
        earlier.sort_unstable();
        let expected: Vec<u64> = (0..100).flat_map(|r| [r, r, r]).collect();
        assert_eq!(earlier, expected, "300 replayed rows are three rounds over the 100 earlier ones");
    }

    #[test]
    fn order_depends_on_data_seed_and_pass_only() {
        let list = |data: &[Digest], seed, pass| {
            let rows = PhaseRows::new(0, 50, 1.0, data, seed);
            (0..50).map(|i| rows.at(pass, i)).collect::<Vec<_>>()
        };
        let base = list(&[digest("a")], 1, 0);
        assert_eq!(base, list(&[digest("a")], 1, 0));
        assert_ne!(base, list(&[digest("b")], 1, 0));
        assert_ne!(base, list(&[digest("a")], 2, 0));
        assert_ne!(base, list(&[digest("a")], 1, 1));
        let rows = PhaseRows::new(0, 50, 0.0, &[digest("a")], 1);
        assert_eq!(rows.at_position(117), rows.at(2, 17));
    }
}
