//! Cutting text into the pieces inside which bytes are merged.
//!
//! The same cuts stand in the trained `tokenizer.json` as pre-tokenizer; a test holds the two equal.

use serde_json::{Value, json};
use tokenizers::utils::SysRegex;

use crate::Error;
use crate::config::Pattern;

/// One Han character; `\p{Han}` holds the ideographs of all planes, 〇 and 々.
const HAN: &str = r"\p{Han}";

impl Pattern {
    /// The regular expression, as its authors published it but for digits.
    fn regex(self, split_digits: bool) -> String {
        match self {
            Self::Gpt2 => {
                let digits = if split_digits { r"\p{N}" } else { r" ?\p{N}+" };
                format!(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+")
            }
            Self::Gpt4 => {
                let digits = if split_digits { r"\p{N}" } else { r"\p{N}{1,3}" };
                format!(
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
                )
            }
        }
    }
}

/// Cuts text into pieces.
#[derive(Debug)]
pub struct Splitter {
    han: Option<SysRegex>,
    pattern: SysRegex,
}

impl Splitter {
    /// The cuts that a configuration asks for.
    ///
    /// # Errors
    /// When the regex engine refuses the pattern.
    pub fn new(pattern: Pattern, split_digits: bool, isolate_han: bool) -> Result<Self, Error> {
        let compile = |regex: &str| SysRegex::new(regex).map_err(|e| Error::Build { message: e.to_string() });
        let han = if isolate_han { Some(compile(HAN)?) } else { None };
        Ok(Self { han, pattern: compile(&pattern.regex(split_digits))? })
    }

    /// Calls `take` with every piece, in order; together they are the text.
    pub fn pieces<'t>(&self, text: &'t str, mut take: impl FnMut(&'t str)) {
        let Some(han) = &self.han else {
            return self.words(text, &mut take);
        };
        let mut from = 0;
        for (start, end) in han.find_iter(text) {
            self.words(&text[from..start], &mut take);
            take(&text[start..end]);
            from = end;
        }
        self.words(&text[from..], &mut take);
    }

    fn words<'t>(&self, text: &'t str, take: &mut impl FnMut(&'t str)) {
        let mut from = 0;
        for (start, end) in self.pattern.find_iter(text) {
            if from < start {
                take(&text[from..start]);
            }
            take(&text[start..end]);
            from = end;
        }
        if from < text.len() {
            take(&text[from..]);
        }
    }
}

/// The same cuts as the `pre_tokenizer` of a `tokenizer.json`.
pub(crate) fn pre_tokenizer(pattern: Pattern, split_digits: bool, isolate_han: bool) -> Value {
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let mut steps = Vec::new();
    if isolate_han {
        steps.push(split(HAN));
    }
    steps.push(split(&pattern.regex(split_digits)));
    steps.push(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}));
    json!({"type": "Sequence", "pretokenizers": steps})
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::PreTokenizerWrapper;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    fn pieces(text: &str, pattern: Pattern, split_digits: bool, isolate_han: bool) -> Vec<&str> {
        let mut out = Vec::new();
        Splitter::new(pattern, split_digits, isolate_han).expect("compiles").pieces(text, |piece| out.push(piece));
        out
    }

    #[test]
    fn han_and_digits_stand_alone_when_asked() {
        let text = "中国的GDP is 1234 元, don't";
        assert_eq!(
            pieces(text, Pattern::Gpt4, true, true),
            ["中", "国", "的", "GDP", " is", " ", "1", "2", "3", "4", " ", "元", ",", " don", "'t"]
        );
        assert_eq!(pieces(text, Pattern::Gpt4, false, false), ["中国的GDP", " is", " ", "123", "4", " 元", ",", " don", "'t"]);
        assert_eq!(pieces("a 12", Pattern::Gpt2, false, true), ["a", " 12"]);
        assert_eq!(pieces("a 12", Pattern::Gpt2, true, true), ["a", " ", "1", "2"]);
    }

    #[test]
    fn the_cuts_are_those_of_the_tokenizer_file() {
        let texts = [
            "The  quick\tbrown fox's 12345 jumps!!\n\n\n  over\r\n the lazy dog…  ",
            "中国最高的山是珠穆朗玛峰,海拔8848.86米。〇々㐀𠀀 ok",
            "日本語カタカナ 한국어 русский عربي हिन्दी ไทย 😀👩‍👩‍👧 a\u{200b}b\u{301}c\u{a0}d",
            "",
            " ",
            "\u{0}\u{1}\u{7f}\u{feff}",
        ];
        for pattern in [Pattern::Gpt2, Pattern::Gpt4] {
            for (split_digits, isolate_han) in [(false, false), (false, true), (true, false), (true, true)] {
                let json = pre_tokenizer(pattern, split_digits, isolate_han);
                let library: PreTokenizerWrapper = serde_json::from_value(json).expect("valid");
                for text in texts {
                    let mut split = PreTokenizedString::from(text);
                    library.pre_tokenize(&mut split).expect("splits");
                    let expected: Vec<&str> = split
                        .get_splits(OffsetReferential::Original, OffsetType::Byte)
                        .into_iter()
                        .map(|(_, (start, end), _)| &text[start..end])
                        .filter(|piece| !piece.is_empty())
                        .collect();
                    assert_eq!(pieces(text, pattern, split_digits, isolate_han), expected, "{pattern:?} {split_digits} {isolate_han}");
                }
            }
        }
    }
}
