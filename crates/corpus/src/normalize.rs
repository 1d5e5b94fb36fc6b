//! One normal form for matching, never for training text.

use crate::class::Class;
use unicode_normalization::UnicodeNormalization;

/// Text folded for comparison: NFKC, lower case, punctuation and symbols to nothing or a space, white space collapsed.
///
/// Apostrophes inside words vanish (`don't` becomes `dont`), a point or comma between digits stays (`8,848.86` and `8848.86`
/// differ, `３` and `3` do not), every other mark separates. No space is left next to Han or kana, where none carries meaning.
///
/// ```
/// assert_eq!(corpus::normalize("  What’s the Capital of FRANCE？ "), "whats the capital of france");
/// assert_eq!(corpus::normalize("中国 最高的山，是 哪座？"), "中国最高的山是哪座");
/// ```
#[must_use]
pub fn normalize(text: &str) -> String {
    let mut folder = Folder { out: String::with_capacity(text.len()), gap: false, last: Last::NONE };
    let mut at = 0;
    while at < text.len() {
        at = folder.plain(text, at);
        if at < text.len() {
            let end = composed_end(text, at);
            folder.composed(&text[at..end], text[end..].chars().next().map(fold_width));
            at = end;
        }
    }
    folder.out
}

/// Full-width forms of ASCII, and the space among them, as NFKC has them.
#[inline]
fn fold_width(c: char) -> char {
    match c as u32 {
        0x3000 => ' ',
        code @ 0xFF01..=0xFF5E => char::from((code - 0xFEE0) as u8),
        _ => c,
    }
}

/// Bytes of the unified ideographs U+4E00 to U+9FFF that `bytes` begins with.
#[inline]
fn han_run(bytes: &[u8]) -> usize {
    3 * bytes.chunks_exact(3).take_while(|c| matches!(c, [0xE4, 0xB8..=0xBF, _] | [0xE5..=0xE9, _, _])).count()
}

/// True if NFKC leaves the character as [`fold_width`] has it, whatever stands before it.
#[inline]
fn is_simple(c: char) -> bool {
    Class::of(fold_width(c)).is_inert()
}

/// The end of the stretch from `at` on that only NFKC can fold: up to the first simple character whose next one is simple too.
fn composed_end(text: &str, at: usize) -> usize {
    let mut chars = text[at..].char_indices();
    let mut end = None;
    chars.next();
    for (offset, c) in chars {
        match (is_simple(c), end) {
            (true, Some(end)) => return at + end,
            (true, None) => end = Some(offset),
            (false, _) => end = None,
        }
    }
    end.map_or(text.len(), |end| at + end)
}

/// What has to be known of the last character written.
#[derive(Debug, Clone, Copy)]
struct Last {
    alphabetic: bool,
    numeric: bool,
    cjk: bool,
}

impl Last {
    const NONE: Self = Self { alphabetic: false, numeric: false, cjk: false };

    #[inline]
    fn of(class: Class) -> Self {
        Self { alphabetic: class.is_alphabetic(), numeric: class.is_numeric(), cjk: class.is_cjk() }
    }
}

struct Folder {
    out: String,
    /// A separator is due before the next letter.
    gap: bool,
    /// Last character written.
    last: Last,
}

impl Folder {
    /// Folds simple characters from byte `at` on; returns where a stretch begins that is not: at the character before the first one
    /// that NFKC may change, since the two may become one.
    fn plain(&mut self, text: &str, mut at: usize) -> usize {
        let bytes = text.as_bytes();
        while at < bytes.len() {
            let ascii = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let (run, width) = if ascii > 0 { (ascii, 1) } else { (han_run(&bytes[at..]), 3) };
            // The last one of a run is taken with it only if nothing follows that NFKC could join to it.
            let run = if bytes.get(at + run).is_none_or(u8::is_ascii) { run } else { run.saturating_sub(width) };
            if run > 0 {
                self.run(&text[at..at + run], width == 3);
                at += run;
                continue;
            }
            let mut rest = text[at..].chars();
            let Some(c) = rest.next() else { break };
            let next = rest.next();
            if next.is_some_and(|next| !is_simple(next)) || !is_simple(c) {
                return at;
            }
            self.take(fold_width(c), next.map(fold_width));
            at += c.len_utf8();
        }
        at
    }

    /// A run of ASCII letters and digits, or of Han.
    #[inline]
    fn run(&mut self, run: &str, han: bool) {
        self.separate(han);
        let from = self.out.len();
        self.out.push_str(run);
        if han {
            self.last = Last { alphabetic: true, numeric: false, cjk: true };
            return;
        }
        self.out[from..].make_ascii_lowercase();
        self.last = Last::of(Class::of(char::from(run.as_bytes()[run.len() - 1])));
    }

    /// A stretch that NFKC may change, and the character behind it.
    fn composed(&mut self, text: &str, following: Option<char>) {
        let mut chars = text.nfkc().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied().or(following);
            self.take(c, next);
        }
    }

    #[inline]
    fn take(&mut self, c: char, next: Option<char>) {
        let class = Class::of(c);
        if class.is_kept() {
            self.letter(c, class);
        } else if matches!(c, '\'' | '’') && self.last.alphabetic && !self.gap {
            // joins: it's -> its
        } else if matches!(c, '.' | ',') && !self.gap && self.last.numeric && next.is_some_and(|next| Class::of(next).is_numeric()) {
            self.out.push(c);
            self.last = Last::NONE;
        } else {
            self.gap = true;
        }
    }

    #[inline]
    fn separate(&mut self, cjk: bool) {
        if self.gap {
            if !self.out.is_empty() && !cjk && !self.last.cjk {
                self.out.push(' ');
            }
            self.gap = false;
        }
    }

    #[inline]
    fn letter(&mut self, c: char, class: Class) {
        self.separate(class.is_cjk());
        if class.changes_in_lower_case() {
            self.out.extend(c.to_lowercase());
        } else {
            self.out.push(c);
        }
        self.last = Last::of(class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        assert_eq!(normalize(text), want);
    }

    #[test]
    fn folds_case_width_and_space() {
        check("Ｗｈａｔ  is\tＣＯ２?", "what is co2");
        check("It's the U.S. dollar", "its the u s dollar");
        check("人口 1,400.5 万 人", "人口1,400.5万人");
        check("Straße—ÉTÉ", "straße été");
    }

    #[test]
    fn nothing_left_of_marks() {
        check("。。。 -- !!", "");
        check("", "");
    }

    /// The definition, character by character.
    fn by_definition(text: &str) -> String {
        let mut folder = Folder { out: String::new(), gap: false, last: Last::NONE };
        folder.composed(text, None);
        folder.out
    }

    #[test]
    fn short_cuts_change_nothing() {
        const PIECES: [&str; 32] = [
            "a", "Zb", "9", ".", ",", "'", "’", " ", "\n", "é", "e\u{301}", "\u{301}", "中", "国", "。", "，", "Ａ", "１", "．", "　", "…",
            "⒈", "ﬁ", "①", "か", "\u{3099}", "ﾊ", "ﾞ", "가", "ᄀ", "ᅡ", "İ",
        ];
        for seed in 0..20_000_u64 {
            let mut state = seed;
            let text: String = (0..seed % 12)
                .map(|_| {
                    state = crate::hash64(&state.to_le_bytes(), 9);
                    PIECES[state as usize % PIECES.len()]
                })
                .collect();
            assert_eq!(normalize(&text), by_definition(&text), "{text:?}");
        }
    }

    #[test]
    fn idempotent() {
        for text in ["What’s 3.5, 4?", "中国 China 的 GDP 是 1.5", "ｶﾀｶﾅ がぎ e\u{301}"] {
            let once = normalize(text);
            assert_eq!(normalize(&once), once);
        }
    }
}
