//! The raw bytes a token stands for, which `decode` cannot tell: a token may hold half a character.

use tokenizers::DecoderWrapper;

/// How the strings of a vocabulary spell bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// GPT-2's alphabet: every byte is one printable character.
    ByteLevel,
    /// SentencePiece: `▁` is a space, `<0xE4>` a byte.
    SentencePiece,
    /// Anything else: the token is its own text.
    Literal,
}

impl Spelling {
    /// The spelling that goes with a tokenizer's decoder.
    pub(crate) fn of(decoder: Option<&DecoderWrapper>) -> Self {
        match decoder {
            Some(DecoderWrapper::ByteLevel(_)) => Self::ByteLevel,
            Some(DecoderWrapper::Metaspace(_) | DecoderWrapper::ByteFallback(_) | DecoderWrapper::Replace(_)) => Self::SentencePiece,
            Some(DecoderWrapper::Sequence(sequence)) => sequence
                .get_decoders()
                .iter()
                .map(|decoder| Self::of(Some(decoder)))
                .find(|spelling| *spelling != Self::Literal)
                .unwrap_or(Self::Literal),
            _ => Self::Literal,
        }
    }

    /// The bytes that the vocabulary entry `token` stands for in running text.
    pub(crate) fn bytes(self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel => {
                let mut bytes = Vec::with_capacity(token.len());
                for c in token.chars() {
                    match byte_of(c) {
                        Some(byte) => bytes.push(byte),
                        None => return token.as_bytes().to_vec(),
                    }
                }
                bytes
            }
            Self::SentencePiece => {
                let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')).filter(|hex| hex.len() == 2);
                if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    return vec![byte];
                }
                token.replace('\u{2581}', " ").into_bytes()
            }
            Self::Literal => token.as_bytes().to_vec(),
        }
    }
}

/// The byte that a character of GPT-2's alphabet stands for: printable Latin-1 stands for itself, and the 68 other bytes,
/// in ascending order, are U+0100 and up (`bytes_to_unicode` of GPT-2's `encoder.py`).
fn byte_of(c: char) -> Option<u8> {
    let code = c as u32;
    match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),        // 00 to 20
        0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8), // 7F to A0
        0x143 => Some(0xAD),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_alphabet_is_that_of_the_library() {
        let alphabet = ByteLevel::alphabet();
        assert_eq!(alphabet.len(), 256);
        let bytes: BTreeSet<u8> = alphabet.iter().map(|c| byte_of(*c).expect("in the alphabet")).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('ä'), Some(0xE4));
        assert_eq!(byte_of('中'), None);
    }

    #[test]
    fn sentencepiece_spells_spaces_and_bytes() {
        assert_eq!(Spelling::SentencePiece.bytes("▁the"), b" the");
        assert_eq!(Spelling::SentencePiece.bytes("<0xE4>"), [0xE4]);
        assert_eq!(Spelling::SentencePiece.bytes("<0xE4"), b"<0xE4");
    }
}
