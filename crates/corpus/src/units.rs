//! Units of text: words of alphabetic scripts, single characters of Han and kana.

use crate::hash::{combine, hash64};
use crate::script::{is_han, is_kana};
use std::iter::Peekable;
use std::str::CharIndices;

/// What a [`Unit`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A run of letters, with apostrophes and hyphens only between letters; digits may follow letters.
    Word,
    /// A run that starts with a digit and holds no letter, points and commas between digits included.
    Number,
    /// One Han or kana character.
    Cjk,
}

/// One unit and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The unit itself.
    pub text: &'a str,
    /// Byte offset in the text.
    pub start: usize,
    /// Its kind.
    pub kind: UnitKind,
}

/// Iterator over the [`Unit`]s of a text; made by [`units`].
#[derive(Debug, Clone)]
pub struct Units<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

/// Splits `text` into units; punctuation and white space are left out.
///
/// ```
/// let found: Vec<&str> = corpus::units("It's 3.5 km, 中国!").map(|u| u.text).collect();
/// assert_eq!(found, ["It's", "3.5", "km", "中", "国"]);
/// ```
#[must_use]
pub fn units(text: &str) -> Units<'_> {
    Units { text, chars: text.char_indices().peekable() }
}

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        loop {
            let (start, c) = self.chars.next()?;
            if is_han(c) || is_kana(c) {
                return Some(Unit { text: &self.text[start..start + c.len_utf8()], start, kind: UnitKind::Cjk });
            }
            if c.is_alphanumeric() {
                return Some(self.run(start, c));
            }
        }
    }
}

impl<'a> Units<'a> {
    fn run(&mut self, start: usize, first: char) -> Unit<'a> {
        let mut end = start + first.len_utf8();
        let mut letters = !first.is_numeric();
        while let Some(&(at, c)) = self.chars.peek() {
            if is_han(c) || is_kana(c) {
                break;
            }
            if c.is_alphanumeric() || matches!(c as u32, 0x0300..=0x036F | 0x064B..=0x065F | 0x0E31..=0x0E4E) {
                letters |= c.is_alphabetic();
            } else if !self.joins(at, c, letters) {
                break;
            }
            end = at + c.len_utf8();
            self.chars.next();
        }
        let kind = if letters { UnitKind::Word } else { UnitKind::Number };
        Unit { text: &self.text[start..end], start, kind }
    }

    /// True if the mark `c` at byte `at` stands inside a word or number.
    fn joins(&self, at: usize, c: char, letters: bool) -> bool {
        let Some(next) = self.text[at + c.len_utf8()..].chars().next() else {
            return false;
        };
        match c {
            '\'' | '’' | '-' | '\u{2010}' | '\u{2011}' => letters && next.is_alphabetic() && !is_han(next) && !is_kana(next),
            '.' | ',' => !letters && next.is_ascii_digit(),
            _ => false,
        }
    }
}

/// Hash of every unit of a text that was normalised with [`crate::normalize`].
#[must_use]
pub fn unit_hashes(normalised: &str) -> Vec<u64> {
    units(normalised).map(|unit| hash64(unit.text.as_bytes(), 0)).collect()
}

/// Hashes of all runs of `n` consecutive items; nothing if there are fewer than `n`.
///
/// # Panics
/// If `n` is 0.
pub fn ngrams(hashes: &[u64], n: usize) -> impl Iterator<Item = u64> + '_ {
    assert!(n > 0, "n-grams need n > 0");
    hashes.windows(n).map(move |window| window.iter().fold(n as u64, |state, &h| combine(state, h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        units(text).map(|u| u.text).collect()
    }

    #[test]
    fn words_numbers_and_characters() {
        assert_eq!(texts("well-known 1,000.5 x2 rock'n'roll -end-"), ["well-known", "1,000.5", "x2", "rock'n'roll", "end"]);
        assert_eq!(texts("GDP是1.5万亿"), ["GDP", "是", "1.5", "万", "亿"]);
        assert_eq!(texts("カタkana서울"), ["カ", "タ", "kana서울"]);
        assert_eq!(texts("  …!  "), [""; 0]);
        assert_eq!(texts("3. End."), ["3", "End"]);
    }

    #[test]
    fn offsets_point_into_the_text() {
        let text = "“Zoë’s” 山—3,5!";
        for unit in units(text) {
            assert_eq!(&text[unit.start..unit.start + unit.text.len()], unit.text);
        }
    }

    #[test]
    fn ngrams_depend_on_order() {
        let a = unit_hashes("one two three four");
        let b = unit_hashes("two one three four");
        assert_eq!(ngrams(&a, 2).count(), 3);
        assert_eq!(ngrams(&a, 5).count(), 0);
        assert_ne!(ngrams(&a, 2).next(), ngrams(&b, 2).next());
        assert_eq!(ngrams(&a, 2).last(), ngrams(&b, 2).last());
    }
}
