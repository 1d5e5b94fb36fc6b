//! Repetition of n-grams, of several lengths in one sweep.
//!
//! An n-gram can occur twice only where both its beginning and its end, as shorter n-grams, do. So each length looks only at the places
//! that the length before left over, and in ordinary text hardly any are left after three words. Groups of equal n-grams have numbers,
//! and the key of a longer n-gram is the pair of numbers of its beginning and its end, which is exact.

/// How the shares are counted; what sources that use "the same thresholds" differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counting {
    /// Count the spaces between the words of the most frequent n-gram.
    pub top_spaces: bool,
    /// Of equally frequent n-grams take the one that comes first, once or often, and not the longest one that occurs twice.
    pub top_first: bool,
    /// Count every unit that stands in any n-gram that occurs twice, and not the repeats behind the first, skipped whole.
    pub covered: bool,
}

/// Counts characters in repeated n-grams.
#[derive(Debug, Default)]
pub struct Repeats {
    table: Table,
    /// Group of the n-gram that begins at each unit, [`NONE`] where it is alone; for the length before, and for this one.
    before: Vec<u32>,
    now: Vec<u32>,
    /// Where n-grams that occur twice begin.
    places: Vec<u32>,
    groups: Vec<Group>,
    ends: Vec<u32>,
}

/// No group: nothing else is equal.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Group {
    count: u32,
    first: u32,
    seen: bool,
}

impl Repeats {
    /// Characters in copies of the most frequent n-gram for each length of `top`, and in repeated n-grams for each of `duplicate`.
    /// `units` holds hash and length in characters of every unit.
    pub fn count(&mut self, units: &[(u64, u32)], top: &[usize], duplicate: &[usize], how: Counting) -> (Vec<u64>, Vec<u64>) {
        let mut tops = vec![0; top.len()];
        let mut duplicates = vec![0; duplicate.len()];
        self.ends.clear();
        self.ends.push(0);
        let mut end = 0_u32;
        self.ends.extend(units.iter().map(|&(_, chars)| {
            end += chars;
            end
        }));
        let mut sizes: Vec<usize> = top.iter().chain(duplicate).copied().filter(|&n| n > 0 && n <= units.len()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut shorter = 0;
        for n in sizes {
            if shorter == 0 || n > 2 * shorter {
                self.start(units, n);
            } else {
                self.extend(units.len(), shorter, n);
            }
            shorter = n;
            for (size, chars) in top.iter().zip(&mut tops) {
                if *size == n {
                    *chars = self.top(n, how);
                }
            }
            for (size, chars) in duplicate.iter().zip(&mut duplicates) {
                if *size == n {
                    *chars = if how.covered { self.covered(n) } else { self.behind_first(n) };
                }
            }
        }
        (tops, duplicates)
    }

    /// Groups all n-grams by their units' hashes.
    fn start(&mut self, units: &[(u64, u32)], n: usize) {
        let count = units.len() + 1 - n;
        self.table.clear(count);
        self.groups.clear();
        self.now.clear();
        for at in 0..count {
            let key = units[at..at + n].iter().fold(0, |key, &(hash, _)| (u64::rotate_left(key, 5) ^ hash).wrapping_mul(MIX));
            self.enter(key, at);
        }
        self.places.clear();
        self.places.extend(0..count as u32);
        self.drop_single(units.len());
    }

    /// Groups the n-grams whose beginnings and ends of `shorter` units occur twice.
    fn extend(&mut self, len: usize, shorter: usize, n: usize) {
        std::mem::swap(&mut self.before, &mut self.now);
        let step = n - shorter;
        let before = &self.before;
        self.places.retain(|&at| at as usize + n <= len && before[at as usize + step] != NONE);
        self.table.clear(self.places.len());
        self.groups.clear();
        self.now.clear();
        self.now.resize(len, NONE);
        for i in 0..self.places.len() {
            let at = self.places[i] as usize;
            let key = u64::from(self.before[at]) << 32 | u64::from(self.before[at + step]);
            let next = self.groups.len() as u32;
            let group = self.table.get_or_insert(key, next);
            if group == next {
                self.groups.push(Group { count: 0, first: at as u32, seen: false });
            }
            self.groups[group as usize].count += 1;
            self.now[at] = group;
        }
        self.drop_single(len);
    }

    fn enter(&mut self, key: u64, at: usize) {
        let next = self.groups.len() as u32;
        let group = self.table.get_or_insert(key, next);
        if group == next {
            self.groups.push(Group { count: 0, first: at as u32, seen: false });
        }
        self.groups[group as usize].count += 1;
        self.now.push(group);
    }

    /// Leaves only places whose n-gram occurs twice.
    fn drop_single(&mut self, len: usize) {
        self.now.resize(len, NONE);
        let (now, groups) = (&mut self.now, &self.groups);
        self.places.retain(|&at| {
            let group = &mut now[at as usize];
            let twice = groups[*group as usize].count > 1;
            if !twice {
                *group = NONE;
            }
            twice
        });
    }

    fn chars(&self, at: usize, n: usize) -> u64 {
        u64::from(self.ends[at + n] - self.ends[at])
    }

    fn top(&self, n: usize, how: Counting) -> u64 {
        let spaces = if how.top_spaces { n as u64 - 1 } else { 0 };
        let most = self.groups.iter().map(|group| group.count).max().unwrap_or(1);
        let mut best = self.groups.iter().filter(|group| group.count == most).map(|group| self.chars(group.first as usize, n) + spaces);
        match (how.top_first, most) {
            // Where nothing occurs twice, the first one is the most frequent.
            (true, 1) => self.chars(0, n) + spaces,
            (true, most) => best.next().unwrap_or(0) * u64::from(most),
            (false, 1) => 0,
            (false, most) => best.max().unwrap_or(0) * u64::from(most),
        }
    }

    fn behind_first(&mut self, n: usize) -> u64 {
        let mut chars = 0;
        let mut next = 0;
        for &at in &self.places {
            if at < next {
                continue;
            }
            let group = &mut self.groups[self.now[at as usize] as usize];
            if group.seen {
                chars += u64::from(self.ends[at as usize + n] - self.ends[at as usize]);
                next = at + n as u32;
            }
            group.seen = true;
        }
        chars
    }

    fn covered(&self, n: usize) -> u64 {
        let mut chars = 0;
        let mut end = 0;
        for &at in &self.places {
            let at = at as usize;
            let from = at.max(end);
            end = at + n;
            chars += u64::from(self.ends[end] - self.ends[from]);
        }
        chars
    }
}

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash table from keys to numbers, whose memory is used again for every text.
#[derive(Debug, Default)]
pub struct Table {
    slots: Vec<(u64, u32)>,
    shift: u32,
}

impl Table {
    /// Empties the table and makes room for `count` keys.
    pub fn clear(&mut self, count: usize) {
        let size = (2 * count.max(4)).next_power_of_two();
        self.shift = 64 - size.trailing_zeros();
        self.slots.clear();
        self.slots.resize(size, (0, NONE));
    }

    /// The number of `key`, which is `next` if it is new. There must be room for it.
    #[inline]
    pub fn get_or_insert(&mut self, key: u64, next: u32) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = (key.wrapping_mul(MIX) >> self.shift) as usize;
        loop {
            let slot = &mut self.slots[at & mask];
            if slot.1 == NONE {
                *slot = (key, next);
                return next;
            }
            if slot.0 == key {
                return slot.1;
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Counting = Counting { top_spaces: false, top_first: false, covered: false };

    fn units(text: &str) -> Vec<(u64, u32)> {
        text.split_whitespace().map(|word| (corpus::hash64(word.as_bytes(), 0), word.chars().count() as u32)).collect()
    }

    fn count(text: &str, top: &[usize], duplicate: &[usize], how: Counting) -> (Vec<u64>, Vec<u64>) {
        Repeats::default().count(&units(text), top, duplicate, how)
    }

    #[test]
    fn by_hand() {
        // "a b" occurs 3 times: 3 * 2 characters; the second and third were seen before: 4; nothing of 5 occurs twice.
        assert_eq!(count("a b c a b d a b e f", &[2, 5], &[2, 3], PLAIN), (vec![6, 0], vec![4, 0]));
        // With its space: 3 * 3. Where nothing occurs twice, the first one once: 5 letters and 4 spaces.
        let datatrove = Counting { top_spaces: true, top_first: true, ..PLAIN };
        assert_eq!(count("a b c a b d a b e f", &[2, 5], &[], datatrove), (vec![9, 9], vec![]));
        // "x yy" and "yy zzz" occur twice each: the first one has 2 * 3, the longest 2 * 5.
        let tie = "x yy zzz q x yy zzz";
        assert_eq!(count(tie, &[2], &[], PLAIN).0, [10]);
        assert_eq!(count(tie, &[2], &[], Counting { top_first: true, ..PLAIN }).0, [6]);
        // All six units that stand in a repeated pair, each once: 2 * 6 characters; skipping, only the second "x yy": 3.
        assert_eq!(count(tie, &[], &[2], Counting { covered: true, ..PLAIN }).1, [12]);
        assert_eq!(count(tie, &[], &[2], PLAIN).1, [3]);
        // A repeat is skipped whole, so the pair across its end is not seen: a a | a a | a.
        assert_eq!(count("a a a a a", &[], &[2], PLAIN).1, [4]);
        assert_eq!(count("", &[2], &[5], PLAIN), (vec![0], vec![0]));
    }

    /// The definition, length by length.
    fn slow(units: &[(u64, u32)], n: usize, how: Counting) -> (u64, u64) {
        use std::collections::{HashMap, HashSet};
        let key = |at: usize| units[at..at + n].iter().map(|u| u.0).collect::<Vec<_>>();
        let chars = |at: usize| units[at..at + n].iter().map(|u| u64::from(u.1)).sum::<u64>();
        let starts = (units.len() + 1).saturating_sub(n);
        let mut counts: HashMap<Vec<u64>, (u64, usize)> = HashMap::new();
        for at in 0..starts {
            counts.entry(key(at)).or_insert((0, at)).0 += 1;
        }
        let most = counts.values().map(|c| c.0).max().unwrap_or(0);
        let best = counts.values().filter(|c| c.0 == most && most > 1).map(|c| chars(c.1)).max().unwrap_or(0);
        let mut duplicate = 0;
        if how.covered {
            let covered: HashSet<usize> = (0..starts).filter(|&at| counts[&key(at)].0 > 1).flat_map(|at| at..at + n).collect();
            duplicate = covered.iter().map(|&at| u64::from(units[at].1)).sum();
        } else {
            let mut seen = HashSet::new();
            let mut at = 0;
            while at < starts {
                if seen.insert(key(at)) {
                    at += 1;
                } else {
                    duplicate += chars(at);
                    at += n;
                }
            }
        }
        (best * most, duplicate)
    }

    #[test]
    fn the_sweep_is_the_definition() {
        let sizes = [2, 3, 5, 6, 8, 10, 11, 23];
        let mut repeats = Repeats::default();
        for round in 0..60_u64 {
            let words = 2 + round % 7;
            let list: Vec<(u64, u32)> = (0..round * 5)
                .map(|i| {
                    let word = corpus::hash64(&(i % (17 + round)).to_le_bytes(), round / 3) % words;
                    (corpus::hash64(&word.to_le_bytes(), 9), 1 + word as u32)
                })
                .collect();
            for covered in [false, true] {
                let how = Counting { covered, ..PLAIN };
                let (tops, duplicates) = repeats.count(&list, &sizes, &sizes, how);
                for (i, &n) in sizes.iter().enumerate() {
                    assert_eq!((tops[i], duplicates[i]), slow(&list, n, how), "round {round}, n = {n}, {covered}");
                }
            }
        }
    }
}
