//! Lines and long runs of text, and what is left of a text without those that earlier documents hold.
//!
//! Of the runs of a document only some are keys: of every [`WINDOW`] consecutive ones the one with the least hash (winnowing, Schleimer,
//! Wilkerson and Aiken 2003). Two documents with a common stretch of a run's length and [`WINDOW`] - 1 units more always meet in one;
//! nothing shorter than a run is ever found. Sentences are keys too: a common stretch goes on for up to [`WINDOW`] - 1 units on either
//! side of what its runs cover, and to the end of the sentences there that are common themselves.

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

    /// The sentences that have a unit: the number of the first one, their place, and the hash of their units.
    #[must_use]
    pub fn sentences(&self, text: &str) -> Vec<Sentence> {
        let mut at = 0;
        let sentence = |place: Range<usize>| {
            at += self.places[at..].iter().take_while(|unit| unit.start < place.start).count();
            let count = self.places[at..].iter().take_while(|unit| unit.start < place.end).count();
            let units = at..at + count;
            let state = self.hashes[units.clone()].iter().fold(0_u64, |state, hash| state.wrapping_mul(ROLL).wrapping_add(*hash));
            (count > 0).then(|| Sentence { place, hash: hash64(&state.to_le_bytes(), count as u64 + SENTENCE), units })
        };
        sentences(text).into_iter().filter_map(sentence).collect()
    }

    /// The units that runs beginning at units `firsts`, which are in order, cover, joined where they touch.
    fn covered(&self, firsts: &[usize]) -> Vec<Range<usize>> {
        joined(firsts.iter().map(|&first| first..first + self.run).filter(|run| run.end <= self.places.len()).collect())
    }
}

/// Set apart from the hashes of runs.
const SENTENCE: u64 = 1 << 32;

/// A sentence of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Where it stands, in bytes.
    pub place: Range<usize>,
    /// Hash of its units.
    pub hash: u64,
    /// Its units, by number.
    pub units: Range<usize>,
}

/// Ranges in order, joined where they touch or overlap.
#[must_use]
pub fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(open) if range.start <= open.end => open.end = open.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
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

/// Takes the lines with these numbers out of a text, and of the runs that begin at units `spans` the whole sentences, with those at their
/// edges that are among the common ones, which begin at units `common` (all in order). Nothing is taken out of the middle of a sentence.
#[must_use]
pub fn remove(text: &str, line_numbers: &[usize], spans: &[usize], common: &[usize], config: &DedupConfig) -> Removed {
    let mut removed = Removed::default();
    let mut gone: Vec<Range<usize>> = Vec::new();
    for (number, range, _) in lines(text) {
        if line_numbers.binary_search(&(number as usize)).is_ok() {
            gone.push(range);
            removed.lines += 1;
        }
    }
    if !spans.is_empty() {
        let units = Units::of(text, config);
        let sentences = units.sentences(text);
        let mut at = 0;
        for stretch in units.covered(spans) {
            // How far a common stretch may go on where no run of it is a key.
            let reach = stretch.start.saturating_sub(WINDOW - 1)..stretch.end + WINDOW - 1;
            at += sentences[at..].iter().take_while(|sentence| sentence.units.end <= reach.start).count();
            let near = sentences[at..].iter().take_while(|sentence| sentence.units.start < reach.end);
            let whole = |units: &Range<usize>| stretch.start <= units.start && units.end <= stretch.end;
            let goes = near.filter(|sentence| whole(&sentence.units) || common.binary_search(&sentence.units.start).is_ok());
            let before = gone.len();
            gone.extend(goes.map(|sentence| sentence.place.clone()));
            removed.spans += u64::from(gone.len() > before);
        }
    }
    removed.text = cut(text, gone);
    removed.chars = text.chars().count().saturating_sub(removed.text.chars().count()) as u64;
    removed
}

/// The text without these places. Lines that have nothing left go too; the others keep their indentation, and paragraphs stay apart.
#[must_use]
pub fn cut(text: &str, gone: Vec<Range<usize>>) -> String {
    let gone = joined(gone);
    let mut out = String::with_capacity(text.len());
    let (mut next, mut start, mut blank) = (0, 0, false);
    let mut left = String::new();
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        left.clear();
        let mut at = start;
        while let Some(range) = gone.get(next).filter(|range| range.start < end) {
            left.push_str(&text[at..range.start.max(at)]);
            at = at.max(range.end.min(end));
            if range.end > end {
                break;
            }
            next += 1;
        }
        left.push_str(&text[at..end]);
        let touched = left.len() < line.len();
        start = end;
        let kept = if touched { left.trim() } else { line.trim_end() };
        if kept.is_empty() {
            blank |= !touched;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank { "\n\n" } else { "\n" });
        }
        blank = false;
        out.push_str(kept);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use crate::growth::{in_proportion, timed};
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
        let got = remove(text, &[], &[2, 8], &[], &config);
        assert_eq!(got.text, "Keep this one here.  A lazy dog sleeps.\nLast words are kept too.");
        assert_eq!((got.spans, got.lines), (1, 0));
        assert_eq!(remove(text, &[], &[2], &[], &config).spans, 0);
        assert_eq!(remove(text, &[0], &[], &[], &config).text, "Last words are kept too.");
    }

    #[test]
    fn chinese_is_cut_at_its_marks() {
        let config = DedupConfig { span_chars: 8, ..defaults().dedup };
        let text = "前言不变。山是珠穆朗玛峰，很高！结尾不变。";
        let got = remove(text, &[], &[2, 4, 8], &[], &config);
        assert_eq!(got.text, "前言不变。结尾不变。");
        assert_eq!(got.chars, 11);
    }

    #[test]
    fn a_common_stretch_goes_whole() {
        let config = defaults().dedup;
        let sentence = |seed: u64, n: usize| {
            let text = words(seed, n).replace(". W", " w");
            format!("S{}.", text.trim())
        };
        for (per, number) in [(20, 4), (15, 6), (25, 10), (62, 1), (80, 1), (7, 20)] {
            for seed in 0..10 {
                let common: Vec<String> = (0..number).map(|i| sentence(1000 * seed + i, per)).collect();
                let of = |own: u64| format!("{} {} {}", sentence(own, 30), common.join(" "), sentence(own + 1, 30));
                let (one, two) = (of(900_000 + seed), of(910_000 + seed));
                let known = Units::of(&one, &config);
                let hashes: HashSet<u64> = known.anchors().into_iter().map(|(_, hash)| hash).collect();
                let sentences: HashSet<u64> = known.sentences(&one).into_iter().map(|sentence| sentence.hash).collect();
                let units = Units::of(&two, &config);
                let spans: Vec<usize> =
                    units.anchors().into_iter().filter(|(_, hash)| hashes.contains(hash)).map(|(first, _)| first as usize).collect();
                let same: Vec<usize> =
                    units.sentences(&two).into_iter().filter(|s| sentences.contains(&s.hash)).map(|s| s.units.start).collect();
                assert_eq!(same.len(), number as usize);
                let got = remove(&two, &[], &spans, &same, &config);
                let want = format!("{}  {}", sentence(910_000 + seed, 30), sentence(910_001 + seed, 30));
                assert_eq!(got.text.split_whitespace().collect::<Vec<_>>(), want.split_whitespace().collect::<Vec<_>>(), "{per} {number}");
                // A sentence that is common but stands far from any stretch stays.
                let alone = format!("{two} {} {}", sentence(920_000, 40), common[0]);
                let last = Units::of(&alone, &config).sentences(&alone).last().unwrap().units.start;
                let got = remove(&alone, &[], &spans, &[same.as_slice(), &[last]].concat(), &config);
                assert!(got.text.ends_with(&common[0]), "{per} {number}");
            }
        }
    }

    #[test]
    fn many_stretches_take_linear_time() {
        let config = DedupConfig { span_words: 8, ..defaults().dedup };
        let time = |n: usize| {
            let text = "One two three four five six seven eight. Nine ten, and so on it goes. ".repeat(n);
            let spans: Vec<usize> = (0..n).map(|i| 15 * i).collect();
            let (removed, time) = timed(|| remove(&text, &[], &spans, &[], &config));
            assert_eq!(removed.spans, n as u64);
            time
        };
        in_proportion(time, (1000, 10_000), (40, 50));
    }

    #[test]
    fn what_is_left_keeps_its_structure() {
        let text = "One.\n\n  Two. Three.\n\tfour\n\nFive.\n\n\nSix.";
        let at = |part: &str| text.find(part).map(|at| at..at + part.len()).unwrap();
        assert_eq!(cut(text, vec![]), "One.\n\n  Two. Three.\n\tfour\n\nFive.\n\nSix.");
        assert_eq!(cut(text, vec![at("Five."), at("Three."), at("One.")]), "Two.\n\tfour\n\nSix.");
        assert_eq!(cut(text, vec![at("Two. Three.\n\tfour\n\nFi"), at("Three. ".trim())]), "One.\n\nve.\n\nSix.");
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
