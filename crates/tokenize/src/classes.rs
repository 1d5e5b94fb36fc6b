//! The classes of characters that pre-tokenizers ask for, as the regex engine of the tokenizers library sees them.
//!
//! The engine (Oniguruma) carries its own Unicode version, so it is asked itself, once per process; a test compares every code point.

use std::sync::OnceLock;

use tokenizers::utils::SysRegex;

use crate::Error;

/// `\p{Lu}` and `\p{Lt}`.
pub(crate) const UPPER: u8 = 1;
/// `\p{Ll}`.
pub(crate) const LOWER: u8 = 2;
/// `\p{Lm}` and `\p{Lo}`.
pub(crate) const CASELESS: u8 = 4;
/// `\p{M}`.
pub(crate) const MARK: u8 = 8;
/// `\p{N}`.
pub(crate) const NUMBER: u8 = 16;
/// `\s`.
pub(crate) const SPACE: u8 = 32;
/// `\p{Han}`.
pub(crate) const HAN: u8 = 64;
/// `char::is_numeric`, by which the pre-tokenizer `Digits` of the library goes.
pub(crate) const NUMERIC: u8 = 128;
/// `\p{L}`.
pub(crate) const LETTER: u8 = UPPER | LOWER | CASELESS;

const ASKED: [(&str, u8); 7] = [
    (r"[\p{Lu}\p{Lt}]+", UPPER),
    (r"\p{Ll}+", LOWER),
    (r"[\p{Lm}\p{Lo}]+", CASELESS),
    (r"\p{M}+", MARK),
    (r"\p{N}+", NUMBER),
    (r"\s+", SPACE),
    (r"\p{Han}+", HAN),
];

/// Code points asked about. The planes between them hold nothing and the last two are for private use; the test knows.
const RANGES: [std::ops::Range<u32>; 2] = [0..0x40000, 0xE0000..0xE1000];

const BLOCK: usize = 256;

/// A bit set of classes for every character.
#[derive(Debug)]
pub(crate) struct Classes {
    ascii: [u8; 256],
    /// Where the block of 256 code points begins in `blocks`.
    index: Vec<u32>,
    blocks: Vec<u8>,
}

impl Classes {
    /// The table, made on first use.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        static CLASSES: OnceLock<Classes> = OnceLock::new();
        if let Some(classes) = CLASSES.get() {
            return Ok(classes);
        }
        let made = Self::ask()?;
        Ok(CLASSES.get_or_init(|| made))
    }

    fn ask() -> Result<Self, Error> {
        let all: String = RANGES.into_iter().flatten().filter_map(char::from_u32).collect();
        let mut bits = vec![0_u8; 0x110000];
        for (pattern, bit) in ASKED {
            let regex = SysRegex::new(pattern).map_err(|e| Error::Build { message: e.to_string() })?;
            for (start, end) in regex.find_iter(&all) {
                for c in all[start..end].chars() {
                    bits[c as usize] |= bit;
                }
            }
        }
        for c in all.chars().filter(|c| c.is_numeric()) {
            bits[c as usize] |= NUMERIC;
        }
        // Block 0 is the empty one, which most of the planes share.
        let mut blocks = vec![0; BLOCK];
        let mut index = Vec::with_capacity(bits.len() / BLOCK);
        for block in bits.chunks(BLOCK) {
            if block.iter().all(|bits| *bits == 0) {
                index.push(0);
            } else {
                index.push(blocks.len() as u32);
                blocks.extend_from_slice(block);
            }
        }
        let ascii = std::array::from_fn(|byte| if byte < 128 { bits[byte] } else { 0 });
        Ok(Self { ascii, index, blocks })
    }

    /// The classes of a code point.
    #[inline(always)]
    fn of_code(&self, code: usize) -> u8 {
        let start = self.index.get(code / BLOCK).copied().unwrap_or(0) as usize;
        self.blocks[start + code % BLOCK]
    }

    /// The classes of the character at `at`, where one begins, and its length in bytes.
    #[inline(always)]
    pub(crate) fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        let lead = text[at];
        if lead < 0x80 {
            return (self.ascii[lead as usize], 1);
        }
        let (code, len) = code_at(text, at);
        (self.of_code(code), len)
    }

    /// The end of the run of characters from `at` on that have one of `bits` (or none, where `having` is false).
    #[inline(always)]
    pub(crate) fn run(&self, text: &[u8], mut at: usize, bits: u8, having: bool) -> usize {
        while at < text.len() {
            let (class, len) = self.at(text, at);
            if (class & bits != 0) != having {
                break;
            }
            at += len;
        }
        at
    }
}

/// The code point that begins at `at` with a byte outside ASCII, and its length; `text` is UTF-8.
#[inline(always)]
pub(crate) fn code_at(text: &[u8], at: usize) -> (usize, usize) {
    let lead = text[at] as usize;
    let rest = |n: usize| (text[at + n] & 0x3F) as usize;
    if lead < 0xE0 {
        ((lead & 0x1F) << 6 | rest(1), 2)
    } else if lead < 0xF0 {
        ((lead & 0xF) << 12 | rest(1) << 6 | rest(2), 3)
    } else {
        ((lead & 0x7) << 18 | rest(1) << 12 | rest(2) << 6 | rest(3), 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_point_is_in_the_classes_that_the_engine_says() {
        let classes = Classes::get().expect("made");
        let all: String = (0..0x110000).filter_map(char::from_u32).collect();
        let expected = [
            (r"\p{L}", LETTER),
            (r"[\p{Lu}\p{Lt}]", UPPER),
            (r"\p{Ll}", LOWER),
            (r"[\p{Lm}\p{Lo}]", CASELESS),
            (r"\p{M}", MARK),
            (r"\p{N}", NUMBER),
            (r"\s", SPACE),
            (r"\p{Han}", HAN),
        ];
        for (pattern, bits) in expected {
            let regex = SysRegex::new(pattern).expect("compiles");
            let mut matched = regex.find_iter(&all).map(|(start, _)| start).peekable();
            for (start, c) in all.char_indices() {
                let ours = classes.at(all.as_bytes(), start).0 & bits != 0;
                assert_eq!(ours, matched.next_if_eq(&start).is_some(), "{pattern} U+{:04X}", c as u32);
            }
            assert!(matched.next().is_none());
        }
        for (start, c) in all.char_indices() {
            assert_eq!(classes.at(all.as_bytes(), start), (classes.of_code(c as usize), c.len_utf8()));
            assert_eq!(classes.of_code(c as usize) & NUMERIC != 0, c.is_numeric(), "U+{:04X}", c as u32);
        }
        // The complements in brackets are complements.
        for (pattern, bits) in [(r"\S", SPACE), (r"[^\s\p{L}\p{N}]", SPACE | LETTER | NUMBER), (r"[^\r\n\p{L}\p{N}]", LETTER | NUMBER)] {
            let regex = SysRegex::new(pattern).expect("compiles");
            let mut matched = regex.find_iter(&all).map(|(start, _)| start).peekable();
            for (start, c) in all.char_indices() {
                let ours = classes.of_code(c as usize) & bits == 0 && !(bits == LETTER | NUMBER && matches!(c, '\r' | '\n'));
                assert_eq!(ours, matched.next_if_eq(&start).is_some(), "{pattern} U+{:04X}", c as u32);
            }
        }
    }
}
