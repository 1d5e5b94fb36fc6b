//! What is counted in a text: once, whatever the rules ask.

use super::lines::Edits;
use super::ngrams::{Counting, Repeats, Table};
use super::preset::{Alphabetic, Average, Copies, Rules, Splitter, Whole};
use super::scores::Scores;
use corpus::UnitKind;
use memchr::memmem;

/// Rules with what is looked up for every word, made once for a profile.
#[derive(Debug)]
pub struct Compiled {
    /// The rules.
    pub rules: Rules,
    splitter: Splitter,
    word_splitter: Splitter,
    /// Number of each function word by its hash.
    stop_words: StopWords,
    /// Longest function word in bytes.
    stop_bytes: usize,
    /// Function words of several characters of Han, sought as they stand.
    stop_phrases: Vec<(memmem::Finder<'static>, u32)>,
    top: Vec<usize>,
    duplicate: Vec<usize>,
    counting: Counting,
    /// Line edits, if there are any.
    pub(super) edits: Option<Edits>,
}

impl Compiled {
    /// Prepares rules.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let splitter = rules.splitter.unwrap_or(Splitter::Words);
        let mut known = Vec::new();
        let mut stop_phrases = Vec::new();
        for (i, word) in rules.stop_words.iter().flatten().enumerate() {
            if corpus::units(word).count() > 1 {
                stop_phrases.push((memmem::Finder::new(word.as_bytes()).into_owned(), i as u32));
            } else {
                known.push((unit_hash(word), i as u8));
            }
        }
        let sizes = |list: &Option<Vec<(usize, f64)>>| list.iter().flatten().map(|&(n, _)| n).collect();
        Self {
            splitter,
            word_splitter: rules.word_splitter.unwrap_or(splitter),
            stop_bytes: rules.stop_words.iter().flatten().map(String::len).max().unwrap_or(0),
            stop_words: StopWords::new(&known),
            stop_phrases,
            top: sizes(&rules.top_ngrams),
            duplicate: sizes(&rules.duplicate_ngrams),
            counting: Counting {
                top_spaces: rules.top_ngram_spaces == Some(true),
                top_first: rules.top_ngram_first == Some(true),
                covered: rules.duplicate_ngrams_covered == Some(true),
            },
            edits: Edits::new(rules),
            rules: rules.clone(),
        }
    }

    /// Number of units of a text.
    #[must_use]
    pub fn count_units(&self, text: &str) -> usize {
        match self.splitter {
            Splitter::Words => corpus::units(text).count(),
            Splitter::Whitespace => text.split_whitespace().count(),
        }
    }
}

/// Memory that is used again from text to text.
#[derive(Debug, Default)]
pub struct Scratch {
    units: Vec<(u64, u32)>,
    lengths: Vec<u32>,
    repeats: Repeats,
    table: Table,
}

/// Counts over words.
#[derive(Debug, Default)]
struct Words {
    count: usize,
    chars: usize,
    with_letter: usize,
    han: usize,
    stop_set: u64,
    stop_count: usize,
}

/// Counts over lines or paragraphs.
#[derive(Debug, Default)]
struct Copied {
    count: usize,
    chars: usize,
    repeated: usize,
    repeated_chars: usize,
}

/// Measures a text; `scratch` is memory only.
#[must_use]
pub fn measure(text: &str, compiled: &Compiled, scratch: &mut Scratch) -> Scores {
    let rules = &compiled.rules;
    let mut scores = Scores::default();
    scratch.units.clear();
    scratch.lengths.clear();
    let same = compiled.splitter == compiled.word_splitter;
    let mut words = Words::default();
    let mut unit_chars = 0;
    split(text, compiled.splitter, |unit, kind| {
        let chars = if kind == UnitKind::Cjk { 1 } else { count_chars(unit) };
        let hash = unit_hash(unit);
        scratch.units.push((hash, chars as u32));
        unit_chars += chars;
        if same {
            words.add(compiled, unit, kind, chars, hash);
        }
    });
    if !same {
        split(text, compiled.word_splitter, |unit, kind| {
            words.add(compiled, unit, kind, count_chars(unit), unit_hash(unit));
        });
    }
    let units = scratch.units.len();
    let text_chars = count_chars(text);
    scores.units = Some(units as f64);
    word_scores(text, compiled, &words, &mut scratch.lengths, &mut scores);
    line_scores(text, text_chars, units, rules, &mut scratch.table, &mut scores);
    if rules.min_sentences.is_some_and(|least| least > 0) {
        scores.sentences = Some(corpus::sentences(text).len() as f64);
    }
    let (top, duplicate) = scratch.repeats.count(&scratch.units, &compiled.top, &compiled.duplicate, compiled.counting);
    let whole = if rules.ngrams_of == Some(Whole::Text) { text_chars } else { unit_chars };
    let shares = |chars: Vec<u64>| chars.into_iter().map(|chars| chars as f64 / whole.max(1) as f64).collect();
    scores.top_ngrams = shares(top);
    scores.duplicate_ngrams = shares(duplicate);
    scores
}

fn split<'t>(text: &'t str, splitter: Splitter, mut each: impl FnMut(&'t str, UnitKind)) {
    match splitter {
        Splitter::Words => corpus::units(text).for_each(|unit| each(unit.text, unit.kind)),
        Splitter::Whitespace => text.split_whitespace().for_each(|word| {
            each(word, if word.chars().any(char::is_alphabetic) { UnitKind::Word } else { UnitKind::Number });
        }),
    }
}

fn count_chars(text: &str) -> usize {
    // For short pieces a loop over the bytes is faster than the library's, which is for long ones.
    if text.len() < 32 { text.bytes().filter(|byte| (*byte as i8) >= -0x40).count() } else { text.chars().count() }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Words {
    #[inline]
    fn add(&mut self, compiled: &Compiled, word: &str, kind: UnitKind, chars: usize, hash: u64) {
        self.count += 1;
        self.chars += chars;
        self.han += usize::from(kind == UnitKind::Cjk);
        self.with_letter += usize::from(kind != UnitKind::Number);
        if word.len() > compiled.stop_bytes {
            return;
        }
        let upper = compiled.rules.stop_words_any_case == Some(true) && word.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = if upper { lower_hash(word) } else { hash };
        let (bit, found) = compiled.stop_words.get(hash);
        self.stop_set |= bit;
        self.stop_count += found;
    }
}

/// Hash of a word in lower case.
fn lower_hash(word: &str) -> u64 {
    let mut buffer = [0_u8; 32];
    let Some(lower) = buffer.get_mut(..word.len()) else {
        return unit_hash(&word.to_ascii_lowercase());
    };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    hash_bytes(lower)
}

/// Hash of a unit, for comparison within a text only: most units are short, and are taken in at one go.
#[inline]
fn unit_hash(unit: &str) -> u64 {
    hash_bytes(unit.as_bytes())
}

#[inline]
fn hash_bytes(bytes: &[u8]) -> u64 {
    const K0: u64 = 0x9E37_79B9_7F4A_7C15;
    const K1: u64 = 0xD6E8_FEB8_6659_FD93;
    let len = bytes.len();
    let (a, b) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last), ..) if len <= 16 => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        (Some(_), ..) => return corpus::hash64(bytes, 0),
        (None, _, Some(first), Some(last)) => (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last))),
        _ if len == 0 => (0, 0),
        _ => (u64::from(bytes[0]) | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]) << 16, 0),
    };
    // The length is spread over all bits: among the bytes, it would make `of` the same as another word.
    let start = K0.wrapping_mul(2 * len as u64 + 1);
    let product = u128::from(a ^ start) * u128::from(b ^ K1);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Up to 64 words by their hashes, looked up for every short unit of a text without a branch: each has a slot of its own.
#[derive(Debug)]
struct StopWords {
    /// Bits of the hash that are left out of the slot's number.
    shift: u32,
    slots: Vec<u8>,
    hashes: [u64; 64],
    bits: [u64; 64],
}

impl StopWords {
    /// Words as hash and number; of two with one hash the first one counts.
    fn new(words: &[(u64, u8)]) -> Self {
        let mut size = 2048_usize;
        loop {
            for shift in 0..=64 - size.trailing_zeros() {
                if let Some(found) = Self::with(words, size, shift) {
                    return found;
                }
            }
            size *= 2;
        }
    }

    /// `None` if two words get one slot.
    fn with(words: &[(u64, u8)], size: usize, shift: u32) -> Option<Self> {
        // A slot that is free names word 0, whose hash is another.
        let mut out = Self { shift, slots: vec![0; size], hashes: [0; 64], bits: [0; 64] };
        let mut taken = vec![false; size];
        let mut next = 0;
        for (i, &(hash, number)) in words.iter().enumerate() {
            if words[..i].iter().any(|&(before, _)| before == hash) {
                continue;
            }
            let slot = (hash >> shift) as usize % size;
            if std::mem::replace(&mut taken[slot], true) {
                return None;
            }
            out.slots[slot] = next as u8;
            (out.hashes[next], out.bits[next]) = (hash, 1 << (number % 64));
            next += 1;
        }
        Some(out)
    }

    /// The bit of a word and 1, or two zeros.
    #[inline]
    fn get(&self, hash: u64) -> (u64, usize) {
        let word = usize::from(self.slots[(hash >> self.shift) as usize & (self.slots.len() - 1)] % 64);
        let found = self.hashes[word] == hash && self.bits[word] != 0;
        (if found { self.bits[word] } else { 0 }, usize::from(found))
    }
}

fn word_scores(text: &str, compiled: &Compiled, words: &Words, lengths: &mut Vec<u32>, scores: &mut Scores) {
    let rules = &compiled.rules;
    let left_out = if rules.word_length_without_han == Some(true) { words.han } else { 0 };
    scores.word_length = Some(match rules.word_length {
        Some(Average::Median) => median(text, compiled.word_splitter, left_out > 0, lengths),
        _ => share(words.chars - left_out, words.count - left_out),
    });
    let bytes = text.as_bytes();
    let hashes = hash_signs(bytes);
    let mut ellipses = memmem::find_iter(bytes, b"...").count() + memmem::find_iter(bytes, "…").count();
    if rules.spaced_ellipsis == Some(true) {
        ellipses += memmem::find_iter(bytes, b". . .").count();
    }
    let symbols = if rules.symbols_apart == Some(true) { hashes.max(ellipses) } else { hashes + ellipses };
    scores.symbols = Some(share(symbols, words.count));
    scores.alphabetic = Some(match rules.alphabetic {
        Some(Alphabetic::Han) => share(words.han, words.count),
        _ => share(words.with_letter, words.count),
    });
    if rules.stop_words.is_some() {
        let mut set = words.stop_set;
        let mut count = words.stop_count;
        for (phrase, number) in &compiled.stop_phrases {
            let found = phrase.find_iter(bytes).count();
            set |= u64::from(found > 0) << number;
            count += found;
        }
        let found = if rules.stop_words_counted == Some(true) { count } else { set.count_ones() as usize };
        scores.stop_words = Some(found as f64);
    }
}

/// Number of `#`, but for those at the beginning of a line: the marks of a heading in Markdown are none of the page's.
fn hash_signs(bytes: &[u8]) -> usize {
    let (mut count, mut mark) = (0, None);
    for at in memchr::memchr_iter(b'#', bytes) {
        if at == 0 || bytes[at - 1] == b'\n' || mark == Some(at - 1) {
            mark = Some(at);
        } else {
            count += 1;
        }
    }
    count
}

fn median(text: &str, splitter: Splitter, without_han: bool, lengths: &mut Vec<u32>) -> f64 {
    split(text, splitter, |word, kind| {
        if !(without_han && kind == UnitKind::Cjk) {
            lengths.push(count_chars(word) as u32);
        }
    });
    lengths.sort_unstable();
    let middle = lengths.len() / 2;
    match (lengths.len(), lengths.get(middle)) {
        (0, _) | (_, None) => 0.0,
        (n, Some(&upper)) if n % 2 == 1 => f64::from(upper),
        (_, Some(&upper)) => f64::midpoint(f64::from(lengths[middle - 1]), f64::from(upper)),
    }
}

fn line_scores(text: &str, text_chars: usize, units: usize, rules: &Rules, table: &mut Table, scores: &mut Scores) {
    let short_chars = rules.short_line_chars.unwrap_or(0);
    let all_copies = rules.copies == Some(Copies::All);
    let bullets = rules.bullets.as_deref().unwrap_or("");
    let spaced = rules.spaced_ellipsis == Some(true);
    let (mut bulleted, mut elliptic, mut punctuated, mut short) = (0, 0, 0, 0);
    let mut lines = Counter::new(table, all_copies);
    let mut paragraphs = Paragraphs::default();
    table_room(lines.table, text);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        let line = text[start..end].trim();
        start = end + 1;
        if line.is_empty() {
            paragraphs.end();
            continue;
        }
        let chars = count_chars(line);
        let hash = corpus::hash64(line.as_bytes(), 0);
        lines.add(hash, chars);
        paragraphs.line(hash, chars);
        bulleted += usize::from(line.chars().next().is_some_and(|first| bullets.contains(first)));
        elliptic += usize::from(line.ends_with("...") || line.ends_with('…') || (spaced && line.ends_with(". . .")));
        punctuated += usize::from(match &rules.line_marks {
            None => ends_sentence(line),
            Some(marks) => line.chars().next_back().is_some_and(|last| marks.contains(last)),
        });
        short += usize::from(chars <= short_chars);
    }
    paragraphs.end();
    let lines = lines.copied;
    let count = lines.count;
    scores.bullet_lines = Some(share(bulleted, count));
    scores.ellipsis_lines = Some(share(elliptic, count));
    scores.line_punctuation = Some(share(punctuated, count));
    scores.short_lines = Some(share(short, count));
    scores.newlines = Some(share(count.saturating_sub(1), units));
    let of_text = rules.copies_of == Some(Whole::Text);
    scores.duplicate_lines = Some(share(lines.repeated, count));
    scores.duplicate_line_chars = Some(share(lines.repeated_chars, if of_text { text_chars } else { lines.chars }));
    // A text in one paragraph repeats none.
    let mut copies = Counter::new(table, all_copies);
    copies.table.clear(paragraphs.done.len());
    paragraphs.done.iter().for_each(|&(hash, chars)| copies.add(hash, chars));
    let copied = copies.copied;
    scores.duplicate_paragraphs = Some(share(copied.repeated, copied.count));
    scores.duplicate_paragraph_chars = Some(share(copied.repeated_chars, if of_text { text_chars } else { copied.chars }));
}

fn table_room(table: &mut Table, text: &str) {
    table.clear(memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1);
}

/// Counts repeated parts.
struct Counter<'t> {
    table: &'t mut Table,
    /// Number of copies of each different part.
    counts: Vec<u32>,
    all: bool,
    copied: Copied,
}

impl<'t> Counter<'t> {
    fn new(table: &'t mut Table, all: bool) -> Self {
        Self { table, counts: Vec::new(), all, copied: Copied::default() }
    }

    fn add(&mut self, hash: u64, chars: usize) {
        self.copied.count += 1;
        self.copied.chars += chars;
        let next = self.counts.len() as u32;
        let number = self.table.get_or_insert(hash, next);
        if number == next {
            self.counts.push(1);
            return;
        }
        let count = &mut self.counts[number as usize];
        // The second copy brings in the first one where all count.
        let times = if self.all && *count == 1 { 2 } else { 1 };
        *count += 1;
        self.copied.repeated += times;
        self.copied.repeated_chars += times * chars;
    }
}

/// Paragraphs, between blank lines, as hash and characters.
#[derive(Default)]
struct Paragraphs {
    open: Option<(u64, usize)>,
    done: Vec<(u64, usize)>,
}

impl Paragraphs {
    fn line(&mut self, hash: u64, chars: usize) {
        let (state, sum) = self.open.unwrap_or((0, 0));
        self.open = Some(((state.rotate_left(7) ^ hash).wrapping_mul(0x9E37_79B9_7F4A_7C15), sum + chars));
    }

    fn end(&mut self) {
        self.done.extend(self.open.take());
    }
}

/// True if a line ends with a mark that ends sentences, in Western or Chinese print, closing quotes included.
#[must_use]
pub fn ends_sentence(line: &str) -> bool {
    line.ends_with([
        '.', '!', '?', '"', '\'', '”', '’', '。', '！', '？', '；', '…', '」', '』', '）', '｡', '»', '։', '؟', '।', '॥', '۔', '။', '។',
        '៕', '።',
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(text: &str, rules: &Rules) -> Scores {
        measure(text, &Compiled::new(rules), &mut Scratch::default())
    }

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn counts_of_a_small_text() {
        let rules = Rules {
            bullets: Some("•-".into()),
            short_line_chars: Some(6),
            stop_words: words(&["the", "with"]),
            stop_words_any_case: Some(true),
            ..Rules::default()
        };
        let got = scores("The cat sat with #1 dog.\n- Item…\n- Item…\nshort", &rules);
        assert_eq!((got.units, got.alphabetic, got.symbols), (Some(9.0), Some(8.0 / 9.0), Some(3.0 / 9.0)));
        assert_eq!((got.bullet_lines, got.ellipsis_lines), (Some(0.5), Some(0.5)));
        assert_eq!((got.line_punctuation, got.short_lines, got.stop_words), (Some(0.75), Some(0.25), Some(2.0)));
        // Lines of 24, 7, 7 and 5 characters, one of which is a repeat.
        assert_eq!((got.duplicate_lines, got.duplicate_line_chars), (Some(0.25), Some(7.0 / 43.0)));
    }

    #[test]
    fn short_words_have_hashes_of_their_own() {
        let letters = ['a', 'b', 'c', 'f', 'l', 'm', 'n', 'o', '1', '2', '山', '水'];
        let mut words = vec![String::new()];
        let mut all = std::collections::BTreeSet::new();
        for _ in 0..4 {
            words = words.iter().flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}"))).collect();
            // And longer ones, many with the same ends.
            all.extend(words.iter().flat_map(|word| [1, 2, 5].map(|times| word.repeat(times))));
        }
        let hashes: std::collections::HashSet<u64> = all.iter().map(|word| unit_hash(word)).collect();
        assert_eq!(hashes.len(), all.len());
    }

    #[test]
    fn chinese_units_and_function_words() {
        let rules = Rules { alphabetic: Some(Alphabetic::Han), stop_words: words(&["的", "是", "首都", "有"]), ..Rules::default() };
        let got = scores("中国的首都是北京。", &rules);
        assert_eq!((got.units, got.alphabetic, got.stop_words, got.line_punctuation), (Some(8.0), Some(1.0), Some(3.0), Some(1.0)));
        assert_eq!(scores("中国 GDP", &Rules { alphabetic: Some(Alphabetic::Han), ..Rules::default() }).alphabetic, Some(2.0 / 3.0));
    }

    #[test]
    fn semantics_that_sources_differ_in() {
        let text = "a bb, ccc # dddd The the\na bb, ccc # dddd The the";
        let by = |change: fn(&mut Rules)| {
            let mut rules = Rules { stop_words: words(&["the"]), ..Rules::default() };
            change(&mut rules);
            scores(text, &rules)
        };
        // Words: a bb ccc dddd The the, 16 characters; white space: "bb," and "#" are words too, 18 characters of 7.
        assert_eq!(by(|_| ()).word_length, Some(16.0 / 6.0));
        assert_eq!(by(|r| r.splitter = Some(Splitter::Whitespace)).word_length, Some(18.0 / 7.0));
        assert_eq!(by(|r| r.word_length = Some(Average::Median)).word_length, Some(3.0));
        assert_eq!(by(|r| r.word_splitter = Some(Splitter::Whitespace)).alphabetic, Some(6.0 / 7.0));
        // Different ones, all, in either case.
        assert_eq!(by(|_| ()).stop_words, Some(1.0));
        assert_eq!(by(|r| r.stop_words_counted = Some(true)).stop_words, Some(2.0));
        assert_eq!(by(|r| (r.stop_words_counted, r.stop_words_any_case) = (Some(true), Some(true))).stop_words, Some(4.0));
        // One of two lines behind the first, or both of two; 24 characters of 48, or of 49 with the line break.
        assert_eq!((by(|_| ()).duplicate_lines, by(|_| ()).duplicate_line_chars), (Some(0.5), Some(0.5)));
        assert_eq!(by(|r| r.copies = Some(Copies::All)).duplicate_line_chars, Some(1.0));
        assert_eq!(by(|r| r.copies_of = Some(Whole::Text)).duplicate_line_chars, Some(24.0 / 49.0));
        // Two # of twelve words; the greater of two symbols apart.
        assert_eq!(by(|_| ()).symbols, Some(2.0 / 12.0));
        assert_eq!(scores("## a b #\n# c", &Rules::default()).symbols, Some(1.0 / 3.0));
        assert_eq!(scores("# … …", &Rules { symbols_apart: Some(true), ..Rules::default() }).symbols, Some(2.0));
        assert_eq!(scores("x . . .", &Rules { spaced_ellipsis: Some(true), ..Rules::default() }).symbols, Some(1.0));
    }

    #[test]
    fn paragraphs_and_bilingual_words() {
        let got = scores("ab\ncd\n\nab\ncd\n\nef", &Rules::default());
        assert_eq!((got.duplicate_paragraphs, got.duplicate_paragraph_chars), (Some(1.0 / 3.0), Some(0.4)));
        assert_eq!(scores("ab\nab", &Rules::default()).duplicate_paragraphs, Some(0.0));
        assert_eq!(scores("山 four", &Rules { word_length_without_han: Some(true), ..Rules::default() }).word_length, Some(4.0));
        assert_eq!(scores("山 four", &Rules::default()).word_length, Some(2.5));
        assert_eq!(scores("", &Rules { word_length: Some(Average::Median), ..Rules::default() }).word_length, Some(0.0));
    }
}
