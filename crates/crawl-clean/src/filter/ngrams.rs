//! Repetition of n-grams, with the semantics of datatrove: characters count, joined without spaces, and a repeat is skipped whole.

use std::collections::HashMap;

/// Share of the characters of all units that stand in copies of the most frequent n-gram; 0 if none occurs twice.
#[must_use]
pub fn top_share(units: &[(u64, u32)], total_chars: usize, n: usize) -> f64 {
    let mut counts: HashMap<u64, (u32, u32), Fixed> = HashMap::with_capacity_and_hasher(units.len(), Fixed::default());
    let mut best = 0_u64;
    let mut best_count = 1;
    for window in units.windows(n) {
        let (key, chars) = key(window);
        let (count, _) = counts.entry(key).and_modify(|(count, _)| *count += 1).or_insert((1, chars));
        // Of equally frequent n-grams the one that covers more.
        if *count > best_count || (*count == best_count && *count > 1) {
            best = if *count > best_count { u64::from(*count) * u64::from(chars) } else { best.max(u64::from(*count) * u64::from(chars)) };
            best_count = *count;
        }
    }
    if total_chars == 0 { 0.0 } else { best as f64 / total_chars as f64 }
}

/// Share of the characters of all units that stand in n-grams which occurred before.
#[must_use]
pub fn duplicate_share(units: &[(u64, u32)], total_chars: usize, n: usize) -> f64 {
    let mut seen = std::collections::HashSet::with_capacity_and_hasher(units.len(), Fixed::default());
    let mut repeated = 0_u64;
    let mut at = 0;
    while at + n <= units.len() {
        let (key, chars) = key(&units[at..at + n]);
        if seen.insert(key) {
            at += 1;
        } else {
            repeated += u64::from(chars);
            at += n;
        }
    }
    if total_chars == 0 { 0.0 } else { repeated as f64 / total_chars as f64 }
}

fn key(window: &[(u64, u32)]) -> (u64, u32) {
    window.iter().fold((0, 0), |(key, chars), &(hash, length)| {
        ((u64::rotate_left(key, 5) ^ hash).wrapping_mul(0x9E37_79B9_7F4A_7C15), chars + length)
    })
}

/// Keys are hashes already.
type Fixed = std::hash::BuildHasherDefault<Same>;

#[derive(Debug, Default, Clone, Copy)]
struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = corpus::hash64(bytes, self.0);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> (Vec<(u64, u32)>, usize) {
        let m = crate::filter::measure::measure(text, 0);
        (m.units, m.unit_chars)
    }

    #[test]
    fn by_hand() {
        // 10 words of 1 character; "a b" occurs 3 times: 3 * 2 of 10 characters.
        let (u, total) = units("a b c a b d a b e f");
        assert!((top_share(&u, total, 2) - 0.6).abs() < 1e-9);
        // The second and third "a b" were seen before: 4 of 10.
        assert!((duplicate_share(&u, total, 2) - 0.4).abs() < 1e-9);
        assert_eq!(top_share(&u, total, 5), 0.0);
        assert_eq!(duplicate_share(&[], 0, 5), 0.0);
    }
}
