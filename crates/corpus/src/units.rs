//! Units of text: words of alphabetic scripts, single characters of those that put no spaces between words.

use crate::class::Class;
use crate::hash::{combine, hash64};

/// What a [`Unit`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A run of letters, with apostrophes and hyphens only between letters; digits may follow letters.
    Word,
    /// A run that starts with a digit and holds no letter, points and commas between digits included.
    Number,
    /// One character of a script without spaces: Han, kana, or a Thai, Lao, Burmese or Khmer letter with the marks on it.
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

/// What a byte is to a word that it may belong to: [`APART`] is no part of one, [`JOINS`] is one between two others, [`HIGH`] begins a
/// character that has to be looked at.
const BYTES: [u8; 256] = {
    let mut kinds = [APART; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'\'' | b'-' | b'.' | b',' => JOINS,
            0x80.. => HIGH,
            _ => APART,
        };
        byte += 1;
    }
    kinds
};
const APART: u8 = 0;
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const JOINS: u8 = 4;
const HIGH: u8 = 8;

/// Iterator over the [`Unit`]s of a text; made by [`units`].
#[derive(Debug, Clone)]
pub struct Units<'a> {
    text: &'a str,
    /// Where the next unit is looked for, in bytes.
    at: usize,
}

/// Splits `text` into units; punctuation and white space are left out.
///
/// ```
/// let found: Vec<&str> = corpus::units("It's 3.5 km, 中国!").map(|u| u.text).collect();
/// assert_eq!(found, ["It's", "3.5", "km", "中", "国"]);
/// ```
#[must_use]
pub fn units(text: &str) -> Units<'_> {
    Units { text, at: 0 }
}

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    #[inline]
    fn next(&mut self) -> Option<Unit<'a>> {
        self.step()
    }

    /// The same loop with the caller's work inside it, for `for_each` and its like.
    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut work: F) -> B {
        let mut state = init;
        while let Some(unit) = self.step() {
            state = work(state, unit);
        }
        state
    }
}

impl<'a> Units<'a> {
    #[inline(always)]
    fn step(&mut self) -> Option<Unit<'a>> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at;
            let &byte = bytes.get(start)?;
            if byte.is_ascii() {
                if byte.is_ascii_alphanumeric() {
                    return Some(self.run(start, !byte.is_ascii_digit()));
                }
                self.at = start + 1;
                continue;
            }
            if matches!(bytes[start..], [0xE4, 0xB8..=0xBF, _, ..] | [0xE5..=0xE9, _, _, ..]) {
                // U+4E00 to U+9FFF.
                self.at = start + 3;
                return Some(Unit { text: &self.text[start..self.at], start, kind: UnitKind::Cjk });
            }
            let c = self.text[start..].chars().next()?;
            let class = Class::of(c);
            if class.is_single() {
                self.at = start + c.len_utf8();
                if !class.is_cjk() {
                    self.at += self.marks(self.at);
                }
                return Some(Unit { text: &self.text[start..self.at], start, kind: UnitKind::Cjk });
            }
            if class.is_alphanumeric() {
                return Some(self.run(start, !class.is_numeric()));
            }
            self.at = start + c.len_utf8();
        }
    }

    /// Bytes of the marks that stand at byte `at`, and of the vowels of Thai and Lao that are a mark and a letter in one.
    fn marks(&self, at: usize) -> usize {
        let marks = self.text[at..].chars().take_while(|&c| Class::of(c).is_mark() || matches!(c, '\u{E33}' | '\u{EB3}'));
        marks.map(char::len_utf8).sum()
    }

    /// The word or number that begins at byte `start`; `letters` is whether its first character is other than a digit.
    #[inline]
    fn run(&mut self, start: usize, mut letters: bool) -> Unit<'a> {
        let bytes = self.text.as_bytes();
        // The first character belongs to it.
        let mut end = start + self.text[start..].chars().next().map_or(1, char::len_utf8);
        while let Some(&byte) = bytes.get(end) {
            let kind = BYTES[usize::from(byte)];
            if kind & (LETTER | DIGIT) != 0 {
                letters |= kind == LETTER;
                end += 1;
                continue;
            }
            if kind == APART {
                break;
            }
            if kind == JOINS {
                if !self.joins(end, char::from(byte), letters) {
                    break;
                }
                end += 1;
                continue;
            }
            let Some(c) = self.text[end..].chars().next() else { break };
            let class = Class::of(c);
            if class.is_single() {
                break;
            }
            if class.is_kept() {
                letters |= class.is_alphabetic();
            } else if !self.joins(end, c, letters) {
                break;
            }
            end += c.len_utf8();
        }
        self.at = end;
        let kind = if letters { UnitKind::Word } else { UnitKind::Number };
        Unit { text: &self.text[start..end], start, kind }
    }

    /// True if the mark `c` at byte `at` stands inside a word or number.
    fn joins(&self, at: usize, c: char, letters: bool) -> bool {
        // The last two tell letters how to join: they stand inside words of Persian and of Indian languages.
        if !matches!(c, '\'' | '’' | '-' | '\u{2010}' | '\u{2011}' | '.' | ',' | '\u{200C}' | '\u{200D}') {
            return false;
        }
        let Some(next) = self.text[at + c.len_utf8()..].chars().next() else {
            return false;
        };
        if matches!(c, '.' | ',') {
            return !letters && next.is_ascii_digit();
        }
        let class = Class::of(next);
        letters && class.is_alphabetic() && !class.is_single()
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
    fn marks_belong_to_their_letters() {
        assert_eq!(texts("हिन्दी में, क्षेत्र।"), ["हिन्दी", "में", "क्षेत्र"]);
        assert_eq!(texts("বাংলাদেশের স্বাধীনতা"), ["বাংলাদেশের", "স্বাধীনতা"]);
        assert_eq!(texts("שָׁלוֹם مُحَمَّد می‌خواهم"), ["שָׁלוֹם", "مُحَمَّد", "می‌خواهم"]);
        assert_eq!(texts("e\u{301}te\u{301} ❤\u{FE0F}"), ["e\u{301}te\u{301}"]);
    }

    #[test]
    fn scripts_without_spaces_are_counted_by_letters() {
        assert_eq!(texts("น้ำที่ GDP 5"), ["น้ำ", "ที่", "GDP", "5"]);
        assert_eq!(texts("ປະເທດ"), ["ປ", "ະ", "ເ", "ທ", "ດ"]);
        assert_eq!(texts("ကျေးဇူး"), ["ကျေး", "ဇူး"]);
        assert_eq!(texts("ខ្មែរ"), ["ខ្", "មែ", "រ"]);
        assert!(units("แม่น้ำ").all(|unit| unit.kind == UnitKind::Cjk));
        // As in the normal form, but for a vowel that is two characters there.
        let normal = crate::normalize("แม่น้ำ สาย");
        assert_eq!(units(&normal).map(|unit| unit.text.to_owned()).collect::<String>(), normal.replace(' ', ""));
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
