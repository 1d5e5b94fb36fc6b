//! Lines and long runs of text, and what is left of a text without those that earlier documents hold.
//!
//! Of the runs of a document only some are keys: of every [`WINDOW`] consecutive ones the one with the least hash (winnowing, Schleimer,
//! Wilkerson and Aiken 2003). Two documents with a common stretch of a run's length and [`WINDOW`] - 1 units more always meet in one;
//! nothing shorter than a run is ever found.

use crate::config::DedupConfig;
use corpus::{UnitKind, hash64, normalize, sentences, units};
use std::ops::Range;

/// Consecutive runs of which one is a key.
const WINDOW: usize = 13;
/// Base of the polynomial that rolls along the units.
const ROLL: u64 = 0x9E37_79B9_7F4A_7C15;

/// The lines of a text that have a letter or a digit: number, place, and hash of the normal form.
pub fn lines(text: &str) -> impl Iterator<Item = (u32, Range<usize>, u64)> + '_ {
    let mut at = 0;
    text.split_inclusive('\n').enumerate().filter_map(move |(number, line)| {
        let range = at..at + line.len();
        at = range.end;
        let normal = normalize(line);
        // Tags hold 28 bits; no page has as many lines.
        (!normal.is_empty()).then(|| (number as u32, range, hash64(normal.as_bytes(), 3)))
    })
}

/// The units of a text and the length of a run in it.
#[derive(Debug)]
pub struct Units {
    places: Vec<Range<usize>>,
    hashes: Vec<u64>,
    run: usize,
}

impl Units {
    /// Words, or characters where Han and kana prevail.
    #[must_use]
    pub fn of(text: &str, config: &DedupConfig) -> Self {
        let (mut places, mut hashes, mut cjk) = (Vec::new(), Vec::new(), 0);
        let mut lower = String::new();
        for unit in units(text) {
            places.push(unit.start..unit.start + unit.text.len());
            cjk += usize::from(unit.kind == UnitKind::Cjk);
            lower.clear();
            lower.extend(unit.text.chars().flat_map(char::to_lowercase));
            hashes.push(hash64(lower.as_bytes(), 4));
        }
        let run = if 2 * cjk > places.len() { config.span_chars } else { config.span_words };
        Self { places, hashes, run }
    }

    /// The runs that are keys: number of the first unit, and hash.
    #[must_use]
    pub fn anchors(&self) -> Vec<(u32, u64)> {
        let n = self.run;
        if n == 0 || self.hashes.len() < n {
            return Vec::new();
        }
        let leaving = (0..n).fold(1_u64, |power, _| power.wrapping_mul(ROLL));
        let mut state = 0_u64;
        let mut runs = Vec::with_capacity(self.hashes.len() - n + 1);
        for (i, &hash) in self.hashes.iter().enumerate() {
            state = state.wrapping_mul(ROLL).wrapping_add(hash);
            if i >= n {
                state = state.wrapping_sub(self.hashes[i - n].wrapping_mul(leaving));
            }
            if i + 1 >= n {
                runs.push(hash64(&state.to_le_bytes(), n as u64));
            }
        }
        let mut anchors: Vec<(u32, u64)> = Vec::new();
        for start in 0..=runs.len().saturating_sub(WINDOW) {
            let window = start..(start + WINDOW).min(runs.len());
            // Of equal ones the last, so that a repeated run is a key once.
            if let Some(least) = window.rev().min_by_key(|&i| runs[i])
                && anchors.last().is_none_or(|&(last, _)| last != least as u32)
            {
                anchors.push((least as u32, runs[least]));
            }
        }
        anchors
    }

    /// Places of the text that runs beginning at units `firsts` cover, joined where they touch.
    fn covered(&self, firsts: &[usize]) -> Vec<Range<usize>> {
        let mut covered: Vec<Range<usize>> = Vec::new();
        let mut last_unit = 0;
        for &first in firsts {
            let Some(units) = self.places.get(first..first + self.run) else { continue };
            let (Some(start), Some(end)) = (units.first(), units.last()) else { continue };
            match covered.last_mut() {
                Some(open) if first <= last_unit + 1 => open.end = end.end,
                _ => covered.push(start.start..end.end),
            }
            last_unit = first + self.run - 1;
        }
        covered
    }
}

/// What was taken out of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// The text that is left.
    pub text: String,
    /// Lines taken out.
    pub lines: u64,
    /// Stretches of whole sentences taken out.
    pub spans: u64,
    /// Characters taken out.
    pub chars: u64,
}

/// Takes the lines with these numbers out of a text, and the sentences that lie wholly in runs that begin at units `spans` (both in
/// order). Nothing is taken out of the middle of a sentence.
#[must_use]
pub fn remove(text: &str, line_numbers: &[usize], spans: &[usize], config: &DedupConfig) -> Removed {
    let mut removed = Removed::default();
    let mut gone: Vec<Range<usize>> = Vec::new();
    for (number, range, _) in lines(text) {
        if line_numbers.binary_search(&(number as usize)).is_ok() {
            gone.push(range);
            removed.lines += 1;
        }
    }
    let covered = if spans.is_empty() { Vec::new() } else { Units::of(text, config).covered(spans) };
    for stretch in covered {
        // A sentence's closing marks are no unit: its last letter or digit decides.
        let letters_end = |range: &Range<usize>| range.start + text[range.clone()].trim_end_matches(|c: char| !c.is_alphanumeric()).len();
        let whole = sentences(text).into_iter().filter(|range| {
            let begin = range.start + text[range.clone()].find(char::is_alphanumeric).unwrap_or(0);
            begin >= stretch.start && letters_end(range) <= stretch.end && letters_end(range) > begin
        });
        let whole: Vec<Range<usize>> = whole.collect();
        removed.spans += u64::from(!whole.is_empty());
        gone.extend(whole);
    }
    removed.text = cut(text, gone);
    removed.chars = text.chars().count().saturating_sub(removed.text.chars().count()) as u64;
    removed
}

/// The text without these places; lines that have nothing left go too.
#[must_use]
pub fn cut(text: &str, mut gone: Vec<Range<usize>>) -> String {
    gone.sort_by_key(|range| range.start);
    let mut at = 0;
    let mut left = String::with_capacity(text.len());
    for range in gone {
        left.push_str(&text[at.min(range.start)..range.start]);
        at = at.max(range.end);
    }
    left.push_str(&text[at..]);
    let mut out = String::with_capacity(left.len());
    for line in left.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use std::collections::HashSet;

    fn words(seed: u64, n: usize) -> String {
        let word = |i: usize| format!("w{}", hash64(&(i as u64).to_le_bytes(), seed) % 5000);
        (0..n).map(|i| if i % 10 == 9 { word(i) + ". W" } else { word(i) + " " }).collect()
    }

    #[test]
    fn a_common_stretch_always_meets_and_a_shorter_one_never() {
        let config = defaults().dedup;
        for seed in 0..30 {
            let of = |common: usize, other: u64| {
                let text = format!("{} {} {}", words(other, 70), words(seed, common), words(other + 1, 70));
                Units::of(&text, &config).anchors().into_iter().map(|(_, hash)| hash).collect::<HashSet<u64>>()
            };
            let meet = |common: usize| !of(common, 1000 + seed).is_disjoint(&of(common, 2000 + seed));
            assert!(meet(config.span_words + WINDOW), "seed {seed}");
            assert!(!meet(config.span_words - 3), "seed {seed}");
        }
    }

    #[test]
    fn whole_sentences_go_and_no_parts() {
        let config = DedupConfig { span_words: 6, ..defaults().dedup };
        let text = "Keep this one here. The quick brown fox jumps over it. A lazy dog sleeps.\nLast words are kept too.";
        // Units 2 to 7 and 8 to 13: "one here The quick brown fox", "jumps over it A lazy dog".
        let got = remove(text, &[], &[2, 8], &config);
        assert_eq!(got.text, "Keep this one here.  A lazy dog sleeps.\nLast words are kept too.");
        assert_eq!((got.spans, got.lines), (1, 0));
        assert_eq!(remove(text, &[], &[2], &config).spans, 0);
        assert_eq!(remove(text, &[0], &[], &config).text, "Last words are kept too.");
    }

    #[test]
    fn chinese_is_cut_at_its_marks() {
        let config = DedupConfig { span_chars: 8, ..defaults().dedup };
        let text = "前言不变。山是珠穆朗玛峰，很高！结尾不变。";
        let got = remove(text, &[], &[2, 4, 8], &config);
        assert_eq!(got.text, "前言不变。结尾不变。");
        assert_eq!(got.chars, 11);
    }

    #[test]
    fn lines_are_told_by_their_words() {
        let text = "Home | About\n\n  Some text.\n—\nhome, about";
        let found: Vec<(u32, &str)> = lines(text).map(|(number, range, _)| (number, text[range].trim())).collect();
        assert_eq!(found, [(0, "Home | About"), (2, "Some text."), (4, "home, about")]);
        let hashes: Vec<u64> = lines(text).map(|(_, _, hash)| hash).collect();
        assert!(hashes[0] == hashes[2] && hashes[0] != hashes[1]);
    }
}
