//! Tokens of a sentence: words and numbers of alphabetic scripts, single Han characters, marks.

use std::borrow::Cow;

use corpus::{is_han, is_kana};

use super::variants::simplified;

/// What a token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters, perhaps with hyphens, apostrophes or points inside.
    Word,
    /// Digits, perhaps grouped, with a sign or a fraction.
    Number,
    /// One Han or kana character.
    Han,
    /// Anything else but white space, one character.
    Mark,
}

/// One token; `start..end` are bytes of the document.
#[derive(Debug, Clone)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// What patterns compare: lower case, simplified characters, straight apostrophes.
    pub(crate) key: Cow<'a, str>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: TokenKind,
    /// Position in the sentence before any were left out.
    pub(crate) index: usize,
    /// May stand inside of a phrase; set for Chinese by its grammar.
    pub(crate) inside: bool,
    /// Ends the clause before it; set for Chinese by its grammar.
    pub(crate) ends: bool,
}

impl Token<'_> {
    /// True if the token is a word that begins with a capital.
    pub(crate) fn is_capital(&self) -> bool {
        self.kind == TokenKind::Word && self.text.chars().next().is_some_and(char::is_uppercase)
    }

    /// True if the token is a word without capitals.
    pub(crate) fn is_lower(&self) -> bool {
        self.kind == TokenKind::Word && !self.text.chars().any(char::is_uppercase)
    }
}

/// Words before which a point belongs to the word.
const POINTED: &[&str] = &["St", "Mt", "Dr", "Mr", "Mrs", "Ms", "Jr", "Sr", "Prof", "Gen", "Ft", "No"];

/// Splits `text`, which begins at byte `offset` of the document.
pub(crate) fn tokens(text: &str, offset: usize) -> Vec<Token<'_>> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let byte = |i: usize| chars.get(i).map_or(text.len(), |&(b, _)| b);
    let at = |i: usize| chars.get(i).map(|&(_, c)| c);
    let mut out: Vec<Token<'_>> = Vec::with_capacity(chars.len() / 4);
    let mut i = 0;
    while let Some(c) = at(i) {
        if c.is_whitespace() {
            i += 1;
            continue;
        }
        let from = i;
        let glued = i > 0 && at(i - 1).is_some_and(|p| !p.is_whitespace() && !matches!(p, '(' | '（'));
        let sign = matches!(c, '-' | '−' | '–') && !glued && at(i + 1).is_some_and(|n| n.is_ascii_digit());
        let kind = if is_han(c) || is_kana(c) {
            i += 1;
            TokenKind::Han
        } else if c.is_ascii_digit() || sign {
            i += 1;
            while at(i).is_some_and(|n| n.is_ascii_digit() || (matches!(n, '.' | ',') && at(i + 1).is_some_and(|m| m.is_ascii_digit()))) {
                i += 1;
            }
            // 19th, 1990s
            if at(i).is_some_and(|n| n.is_ascii_alphabetic()) {
                while at(i).is_some_and(|n| n.is_ascii_alphanumeric()) {
                    i += 1;
                }
                split_unit(&chars, from, &mut i)
            } else {
                TokenKind::Number
            }
        } else if matches!(c, '\'' | '’') && at(i + 1) == Some('s') && !at(i + 2).is_some_and(char::is_alphanumeric) {
            i += 2;
            TokenKind::Word
        } else if is_letter(c) || (c == '°' && at(i + 1).is_some_and(char::is_alphabetic)) {
            i = word_end(&chars, i);
            TokenKind::Word
        } else {
            i += 1;
            TokenKind::Mark
        };
        let piece = &text[byte(from)..byte(i)];
        let index = out.len();
        out.push(Token {
            text: piece,
            key: key(piece, kind),
            start: offset + byte(from),
            end: offset + byte(i),
            kind,
            index,
            inside: false,
            ends: false,
        });
    }
    out
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && !is_han(c) && !is_kana(c)
}

/// `8849m` is a number and a unit, `19th` and `1990s` are words; moves `i` back to the digits for the former.
fn split_unit(chars: &[(usize, char)], from: usize, i: &mut usize) -> TokenKind {
    let tail: String =
        chars[from..*i].iter().map(|&(_, c)| c).skip_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '−' | '–')).collect();
    if matches!(tail.as_str(), "th" | "st" | "nd" | "rd" | "s") {
        return TokenKind::Word;
    }
    *i -= tail.chars().count();
    TokenKind::Number
}

fn word_end(chars: &[(usize, char)], from: usize) -> usize {
    let at = |i: usize| chars.get(i).map(|&(_, c)| c);
    let mut i = from + 1;
    while let Some(c) = at(i) {
        let inside =
            is_letter(c) || (matches!(c, '-' | '‑' | '\'' | '’' | '.' | '&') && at(i + 1).is_some_and(is_letter) && !possessive(chars, i));
        if !inside {
            break;
        }
        i += 1;
    }
    let word: String = chars[from..i].iter().map(|&(_, c)| c).collect();
    let initial = i == from + 1 && word.chars().all(char::is_uppercase) && at(i + 1).is_some_and(|c| c == ' ' || c.is_uppercase());
    let dotted = word.contains('.') && word.chars().all(|c| c == '.' || c.is_uppercase());
    if at(i) == Some('.') && i + 1 < chars.len() && (POINTED.contains(&word.as_str()) || initial || dotted) { i + 1 } else { i }
}

/// True if the apostrophe at `i` begins `'s`.
fn possessive(chars: &[(usize, char)], i: usize) -> bool {
    let at = |i: usize| chars.get(i).map(|&(_, c)| c);
    matches!(at(i), Some('\'' | '’')) && at(i + 1) == Some('s') && !at(i + 2).is_some_and(char::is_alphanumeric)
}

fn key(piece: &str, kind: TokenKind) -> Cow<'_, str> {
    match kind {
        TokenKind::Han => simplified(piece),
        TokenKind::Mark => match piece {
            "，" => Cow::Borrowed(","),
            "（" => Cow::Borrowed("("),
            "）" => Cow::Borrowed(")"),
            "：" => Cow::Borrowed(":"),
            "；" => Cow::Borrowed(";"),
            _ => Cow::Borrowed(piece),
        },
        _ if piece.chars().any(|c| c.is_uppercase() || c == '’') => Cow::Owned(piece.to_lowercase().replace('’', "'")),
        _ => Cow::Borrowed(piece),
    }
}

/// The keys a literal of a pattern stands for: single characters if it is Chinese, else itself.
pub(crate) fn chars_or_word(literal: &str) -> Vec<String> {
    if literal.chars().any(is_han) { literal.chars().map(String::from).collect() } else { vec![literal.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        let got: Vec<&str> = tokens(text, 0).iter().map(|t| t.text).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn splits_words_numbers_and_characters() {
        check("Peru's capital, Lima.", &["Peru", "'s", "capital", ",", "Lima", "."]);
        check("It is 8,848.86 m high (29,032 ft).", &["It", "is", "8,848.86", "m", "high", "(", "29,032", "ft", ")", "."]);
        check("at −38.8 °C, or 100°C", &["at", "−38.8", "°C", ",", "or", "100", "°C"]);
        check("8849m in the 19th century, 1990s", &["8849", "m", "in", "the", "19th", "century", ",", "1990s"]);
        check("J. K. Smith of St. Louis, U.S. writer", &["J.", "K.", "Smith", "of", "St.", "Louis", ",", "U.S.", "writer"]);
        check("珠峰高8848.86米，又名Everest。", &["珠", "峰", "高", "8848.86", "米", "，", "又", "名", "Everest", "。"]);
        check("well-known O’Brien’s", &["well-known", "O’Brien", "’s"]);
    }

    #[test]
    fn offsets_point_into_the_document_and_keys_are_folded() {
        let found = tokens("The 國", 10);
        assert_eq!((found[0].start, found[0].end, &*found[0].key), (10, 13, "the"));
        assert_eq!((found[1].start, found[1].end, &*found[1].key), (14, 17, "国"));
        assert_eq!(&*tokens("，", 0)[0].key, ",");
    }
}
