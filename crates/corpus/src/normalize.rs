//! One normal form for matching, never for training text.

use crate::script::{is_han, is_kana};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

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
    let mut folder = Folder { out: String::with_capacity(text.len()), gap: false, last: ' ' };
    if text.is_ascii() || is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        folder.feed(text.chars());
    } else {
        folder.feed(text.nfkc());
    }
    folder.out
}

struct Folder {
    out: String,
    /// A separator is due before the next letter.
    gap: bool,
    /// Last character written.
    last: char,
}

impl Folder {
    fn feed(&mut self, chars: impl Iterator<Item = char>) {
        let mut chars = chars.peekable();
        while let Some(c) = chars.next() {
            if c.is_alphanumeric() || is_mark(c) {
                self.letter(c);
            } else if matches!(c, '\'' | '’') && self.last.is_alphabetic() && !self.gap {
                // joins: it's -> its
            } else if c == '.' && !self.gap && self.last.is_numeric() && chars.peek().is_some_and(|n| n.is_numeric()) {
                self.out.push('.');
                self.last = '.';
            } else if c == ',' && !self.gap && self.last.is_numeric() && chars.peek().is_some_and(|n| n.is_numeric()) {
                self.out.push(',');
                self.last = ',';
            } else {
                self.gap = true;
            }
        }
    }

    fn letter(&mut self, c: char) {
        let cjk = is_han(c) || is_kana(c);
        let beside_cjk = cjk || is_han(self.last) || is_kana(self.last);
        if self.gap && !self.out.is_empty() && !beside_cjk {
            self.out.push(' ');
        }
        self.gap = false;
        if c.is_ascii() {
            self.out.push(c.to_ascii_lowercase());
        } else {
            self.out.extend(c.to_lowercase());
        }
        self.last = c;
    }
}

/// Combining marks belong to the letter before them.
fn is_mark(c: char) -> bool {
    matches!(c as u32, 0x0300..=0x036F | 0x0591..=0x05C7 | 0x0610..=0x061A | 0x064B..=0x065F | 0x0900..=0x0903 | 0x093A..=0x094F
        | 0x0E31 | 0x0E34..=0x0E3A | 0x0E47..=0x0E4E)
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

    #[test]
    fn idempotent() {
        for text in ["What’s 3.5, 4?", "中国 China 的 GDP 是 1.5", "ｶﾀｶﾅ がぎ e\u{301}"] {
            let once = normalize(text);
            assert_eq!(normalize(&once), once);
        }
    }
}
