//! What matching asks of a character, looked up once: letters, digits, marks, Han and kana, and whether NFKC lets it be.

use crate::script::{is_han, is_kana, is_unspaced};
use std::sync::LazyLock;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_normalization::{IsNormalized, is_nfkc_quick};

/// A letter or digit of any script.
const ALPHANUMERIC: u8 = 1;
const ALPHABETIC: u8 = 2;
const NUMERIC: u8 = 4;
/// Han or kana.
const CJK: u8 = 8;
/// Its lower case is another.
const CHANGES: u8 = 16;
/// A combining mark that belongs to the letter before it.
const MARK: u8 = 32;
/// NFKC changes it neither by itself nor with what stands before it.
const INERT: u8 = 64;
/// A letter of a script without spaces, which counts for itself.
const SINGLE: u8 = 128;

/// Answers about one character.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class(u8);

impl Class {
    #[inline]
    pub(crate) fn of(c: char) -> Self {
        match TABLE.get(c as usize) {
            Some(&class) => Self(class),
            None => Self::computed(c),
        }
    }

    fn computed(c: char) -> Self {
        let inert = canonical_combining_class(c) == 0 && is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes;
        let mut lower = c.to_lowercase();
        let changes = (lower.next(), lower.next()) != (Some(c), None);
        let flags = [
            (ALPHANUMERIC, c.is_alphanumeric()),
            (ALPHABETIC, c.is_alphabetic()),
            (NUMERIC, c.is_numeric()),
            (CJK, is_han(c) || is_kana(c)),
            (CHANGES, changes),
            (MARK, is_mark(c)),
            (INERT, inert),
            (SINGLE, is_han(c) || is_kana(c) || is_unspaced(c)),
        ];
        Self(flags.iter().map(|&(flag, holds)| if holds { flag } else { 0 }).sum())
    }

    #[inline]
    pub(crate) fn is_alphanumeric(self) -> bool {
        self.0 & ALPHANUMERIC != 0
    }

    #[inline]
    pub(crate) fn is_alphabetic(self) -> bool {
        self.0 & ALPHABETIC != 0
    }

    #[inline]
    pub(crate) fn is_numeric(self) -> bool {
        self.0 & NUMERIC != 0
    }

    #[inline]
    pub(crate) fn is_cjk(self) -> bool {
        self.0 & CJK != 0
    }

    #[inline]
    pub(crate) fn is_single(self) -> bool {
        self.0 & SINGLE != 0
    }

    #[inline]
    pub(crate) fn is_mark(self) -> bool {
        self.0 & MARK != 0
    }

    /// True for letters, digits and the marks on them: what is kept for matching.
    #[inline]
    pub(crate) fn is_kept(self) -> bool {
        self.0 & (ALPHANUMERIC | MARK) != 0
    }

    #[inline]
    pub(crate) fn changes_in_lower_case(self) -> bool {
        self.0 & CHANGES != 0
    }

    #[inline]
    pub(crate) fn is_inert(self) -> bool {
        self.0 & INERT != 0
    }
}

/// Combining marks belong to the letter before them, but for those on symbols and those that choose a glyph.
fn is_mark(c: char) -> bool {
    is_combining_mark(c) && !matches!(c as u32, 0x180B..=0x180F | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0xE_0100..=0xE_01EF)
}

/// One byte for each character of the first plane: 64 kB, made at the first use.
static TABLE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..0x1_0000_u32).map(|code| char::from_u32(code).map_or(0, |c| Class::computed(c).0)).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_what_it_stands_for() {
        for c in "aZ9'. é①Ａ中ひカ가\u{301}ª½ß\u{1F600}𠀀".chars() {
            let class = Class::of(c);
            assert_eq!(class.is_alphanumeric(), c.is_alphanumeric(), "{c}");
            assert_eq!(class.is_alphabetic(), c.is_alphabetic(), "{c}");
            assert_eq!(class.is_numeric(), c.is_numeric(), "{c}");
            assert_eq!(class.is_cjk(), is_han(c) || is_kana(c), "{c}");
        }
        let inert: String = "aé中カ\u{301}Ａ①ﬁ".chars().filter(|&c| Class::of(c).is_inert()).collect();
        assert_eq!(inert, "aé中カ");
        assert!(Class::of('\u{301}').is_kept() && !Class::of('。').is_kept());
        for c in ['\u{94D}', '\u{9CD}', '\u{E48}', '\u{17D2}', '\u{64E}'] {
            assert!(Class::of(c).is_mark() && !Class::of(c).is_single(), "{c:?}");
        }
        assert!(!Class::of('\u{FE0F}').is_mark());
        let single: String = "中かกລမខअa가".chars().filter(|&c| Class::of(c).is_single()).collect();
        assert_eq!(single, "中かกລမខ");
    }
}
