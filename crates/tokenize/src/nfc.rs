//! Whether text is in normalization form C already, so that a tokenizer's normalizer would leave it as it is.
//!
//! The library normalizes by older Unicode tables. The stability policy of Unicode lets that make no difference here: what the quick
//! check of newer tables takes (UAX #15, section 9) holds no character that ever composes or decomposes, and its marks are in order.

use std::sync::OnceLock;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, is_nfc_quick};

/// A bit for every code point that no normalization touches, whatever is beside it.
fn inert() -> &'static [u64] {
    static INERT: OnceLock<Vec<u64>> = OnceLock::new();
    INERT.get_or_init(|| {
        let mut bits = vec![0; 0x110000 / 64];
        for c in (0..0x110000).filter_map(char::from_u32) {
            if canonical_combining_class(c) == 0 && is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes {
                bits[c as usize / 64] |= 1 << (c as usize % 64);
            }
        }
        bits
    })
}

/// Whether `text` certainly is in form C; `false` if it may or may not be.
pub(crate) fn is_nfc(text: &str) -> bool {
    if text.is_ascii() {
        return true;
    }
    let inert = inert();
    text.chars().all(|c| c.is_ascii() || inert[c as usize / 64] >> (c as usize % 64) & 1 == 1)
        || is_nfc_quick(text.chars()) == IsNormalized::Yes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::normalizers::unicode::NFC;
    use tokenizers::{NormalizedString, Normalizer};

    fn by_library(text: &str) -> String {
        let mut normalized = NormalizedString::from(text);
        NFC.normalize(&mut normalized).expect("normalizes");
        normalized.get().to_string()
    }

    #[test]
    fn what_passes_is_left_as_it_is_by_the_library() {
        let taken: Vec<char> = (0..0x110000).filter_map(char::from_u32).filter(|c| is_nfc(c.encode_utf8(&mut [0; 4]))).collect();
        assert!(taken.len() > 1_000_000);
        for base in ["", "a", "\u{1100}", "\u{AC00}", "e\u{301}"] {
            for part in taken.chunks(4096) {
                let text: String = part.iter().flat_map(|c| base.chars().chain([*c])).collect();
                if is_nfc(&text) {
                    assert_eq!(by_library(&text), text);
                }
            }
        }
        for text in
            ["é中한", "a\u{30a}", "q\u{301}", "\u{1100}\u{1161}", "\u{212b}", "a\u{316}\u{301}", "q\u{301}\u{316}", "कि\u{94d}", "ก่"]
        {
            assert!(!is_nfc(text) || by_library(text) == text, "{text:?}");
        }
        assert!(is_nfc("é中한ก่") && !is_nfc("a\u{30a}") && !is_nfc("\u{212b}") && !is_nfc("x\u{301}\u{316}"));
    }
}
