//! Cutting text into the pieces inside which bytes are merged.
//!
//! The regular expressions that published tokenizers cut with come in three shapes. Each is scanned by hand here, in one pass and
//! without an engine; tests hold the cuts equal to those of the tokenizers library with the expression itself.

use serde_json::{Value, json};

use crate::Error;
use crate::classes::{CASELESS, Classes, HAN, LETTER, LOWER, MARK, NUMBER, NUMERIC, SPACE, UPPER};
use crate::config::Pattern;

/// One Han character; `\p{Han}` holds the ideographs of all planes, 〇 and 々.
const HAN_REGEX: &str = r"\p{Han}";

/// The expression of `ByteLevel` in the tokenizers library, from GPT-2's `encoder.py`.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// [`GPT2`] with a piece for each digit: our own.
const GPT2_SPLIT_DIGITS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// GPT-4 and Llama 3, from their `tokenizer.json`.
const GPT4: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// [`GPT4`] as tiktoken has it for `cl100k_base` (`tiktoken_ext/openai_public.py`): all space at the end of a text is one piece.
const CL100K: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]+|\s+(?!\S)|\s+";

/// [`GPT4`] with a piece for each digit: Qwen2 to Qwen3, and ours.
const GPT4_SPLIT_DIGITS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-4o (`o200k_base`), gpt-oss and Llama 4.
const GPT4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// [`GPT4O`] with a piece for each digit: our own.
const GPT4O_SPLIT_DIGITS: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

impl Pattern {
    /// The regular expression, as its authors published it but for digits.
    fn regex(self, split_digits: bool) -> &'static str {
        match (self, split_digits) {
            (Self::Gpt2, false) => GPT2,
            (Self::Gpt2, true) => GPT2_SPLIT_DIGITS,
            (Self::Gpt4, false) => GPT4,
            (Self::Gpt4, true) => GPT4_SPLIT_DIGITS,
            (Self::Gpt4o, false) => GPT4O,
            (Self::Gpt4o, true) => GPT4O_SPLIT_DIGITS,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A space may lead a word, a number or other characters.
    Gpt2,
    /// Any character but a line break may lead a word; line breaks stay with other characters.
    Gpt4,
    /// As `Gpt4`, but words are cut before a capital, and marks are letters.
    Gpt4o,
}

/// Cuts text into pieces.
#[derive(Debug, Clone)]
pub struct Splitter {
    classes: &'static Classes,
    shape: Shape,
    /// Digits in one piece at most.
    digits: usize,
    /// Whether space at the end of a text is one piece whatever line breaks are in it.
    whole_end: bool,
    /// Classes whose characters stand alone, whatever is around them.
    isolate: u8,
}

impl Splitter {
    /// The cuts that a configuration asks for.
    ///
    /// # Errors
    /// When the regex engine cannot be asked for its classes of characters.
    pub fn new(pattern: Pattern, split_digits: bool, isolate_han: bool) -> Result<Self, Error> {
        Self::of_regex(pattern.regex(split_digits), if isolate_han { HAN } else { 0 })
            .unwrap_or_else(|| Err(Error::Build { message: format!("no scanner for {pattern:?}") }))
    }

    /// The cuts of the `pre_tokenizer` of a `tokenizer.json`, all of byte-level kind; `None` where they are not known here.
    ///
    /// # Errors
    /// As [`Splitter::new`].
    pub fn of_pre_tokenizer(pre_tokenizer: &Value) -> Option<Result<Self, Error>> {
        let one = [pre_tokenizer.clone()];
        let steps: &[Value] = match pre_tokenizer["type"].as_str()? {
            "Sequence" => pre_tokenizer["pretokenizers"].as_array()?,
            _ => &one,
        };
        let (last, before) = steps.split_last()?;
        if last["type"] != "ByteLevel" || last["add_prefix_space"] != false {
            return None;
        }
        let (regex, before) = if last["use_regex"] == false {
            let (split, before) = before.split_last()?;
            (split_regex(split)?, before)
        } else {
            (GPT2, before)
        };
        let isolate = match before {
            [] => 0,
            [one] if one["type"] == "Digits" && one["individual_digits"] == true => NUMERIC,
            [one] if split_regex(one)? == HAN_REGEX && one["behavior"] == "Isolated" => HAN,
            _ => return None,
        };
        Self::of_regex(regex, isolate)
    }

    fn of_regex(regex: &str, isolate: u8) -> Option<Result<Self, Error>> {
        let (shape, digits) = match regex {
            GPT2 => (Shape::Gpt2, usize::MAX),
            GPT2_SPLIT_DIGITS => (Shape::Gpt2, 1),
            GPT4 | CL100K => (Shape::Gpt4, 3),
            GPT4_SPLIT_DIGITS => (Shape::Gpt4, 1),
            GPT4O => (Shape::Gpt4o, 3),
            GPT4O_SPLIT_DIGITS => (Shape::Gpt4o, 1),
            _ => return None,
        };
        Some(Classes::get().map(|classes| Self { classes, shape, digits, whole_end: regex == CL100K, isolate }))
    }

    /// Calls `take` with every piece, in order; together they are the text.
    pub fn pieces<'t>(&self, text: &'t str, mut take: impl FnMut(&'t str)) {
        self.ranges(text, |start, end| take(&text[start..end]));
    }

    /// Calls `take` with the start and end of every piece.
    #[inline(always)]
    pub(crate) fn ranges(&self, text: &str, take: impl FnMut(usize, usize)) {
        match self.shape {
            Shape::Gpt2 => self.each(text.as_bytes(), |text, at| self.gpt2(text, at), take),
            Shape::Gpt4 => self.each(text.as_bytes(), |text, at| self.gpt4(text, at), take),
            Shape::Gpt4o => self.each(text.as_bytes(), |text, at| self.gpt4o(text, at), take),
        }
    }

    /// What stands between isolated characters is cut as if it were all there is.
    #[inline(always)]
    fn each(&self, text: &[u8], end_of: impl Fn(&[u8], usize) -> usize, mut take: impl FnMut(usize, usize)) {
        let mut at = 0;
        loop {
            let (stop, isolated) = if self.isolate == 0 { (text.len(), 0) } else { self.next_isolated(text, at) };
            let part = &text[..stop];
            while at < stop {
                let end = end_of(part, at);
                take(at, end);
                at = end;
            }
            if isolated == 0 {
                break;
            }
            take(stop, stop + isolated);
            at = stop + isolated;
        }
    }

    /// Where the next isolated character stands and its length, or the end and 0.
    #[inline(always)]
    fn next_isolated(&self, text: &[u8], mut at: usize) -> (usize, usize) {
        while at < text.len() {
            // Han characters begin with U+2E80, in UTF-8 E2 BA 80; most text without them is skipped 16 bytes at a time.
            if self.isolate == HAN {
                while at + 16 <= text.len() && text[at..at + 16].is_ascii() {
                    at += 16;
                }
                while at < text.len() && text[at] < 0xE2 {
                    at += 1;
                }
                if at == text.len() {
                    break;
                }
            }
            let (class, len) = self.classes.at(text, at);
            if class & self.isolate != 0 {
                return (at, len);
            }
            at += len;
        }
        (text.len(), 0)
    }

    /// The end of the piece that begins at `at`, by [`GPT2`].
    #[inline(always)]
    fn gpt2(&self, text: &[u8], at: usize) -> usize {
        let classes = self.classes;
        let first = text[at];
        if first == b'\''
            && let Some(end) = contraction(text, at, false)
        {
            return end;
        }
        let (mut class, mut len) = classes.at(text, at);
        let mut from = at;
        if first == b' ' && at + 1 < text.len() {
            from = at + 1;
            (class, len) = classes.at(text, from);
        }
        if class & LETTER != 0 {
            classes.run(text, from + len, LETTER, true)
        } else if class & NUMBER != 0 {
            match (self.digits, from > at) {
                (usize::MAX, _) => classes.run(text, from + len, NUMBER, true),
                (_, true) => from,
                (_, false) => from + len,
            }
        } else if class & SPACE != 0 {
            self.spaces(text, at, false)
        } else {
            classes.run(text, from + len, LETTER | NUMBER | SPACE, false)
        }
    }

    /// The end of the piece that begins at `at`, by [`GPT4`].
    #[inline(always)]
    fn gpt4(&self, text: &[u8], at: usize) -> usize {
        let classes = self.classes;
        let first = text[at];
        let (class, len) = classes.at(text, at);
        let after = at + len;
        if class & LETTER != 0 {
            return classes.run(text, after, LETTER, true);
        }
        if class & NUMBER != 0 {
            return self.numbers(text, after);
        }
        if first == b'\''
            && let Some(end) = contraction(text, at, true)
        {
            return end;
        }
        if after < text.len() && !is_break(first) {
            let (next, next_len) = classes.at(text, after);
            if next & LETTER != 0 {
                return classes.run(text, after + next_len, LETTER, true);
            }
            if first == b' ' && next & (NUMBER | SPACE) == 0 {
                return self.others(text, after + next_len, false);
            }
        }
        if class & SPACE != 0 { self.spaces(text, at, true) } else { self.others(text, after, false) }
    }

    /// The end of the piece that begins at `at`, by [`GPT4O`].
    #[inline(always)]
    fn gpt4o(&self, text: &[u8], at: usize) -> usize {
        let classes = self.classes;
        let first = text[at];
        let (class, len) = classes.at(text, at);
        let after = at + len;
        if class & NUMBER != 0 {
            return self.numbers(text, after);
        }
        if !is_break(first) {
            // `[^\r\n\p{L}\p{N}]?` takes what it can; marks are among it.
            let from = if class & LETTER == 0 { after } else { at };
            if let Some(end) = self.capitals_and_lower(text, from, class & MARK != 0) {
                return contraction(text, end, true).unwrap_or(end);
            }
            if first == b' ' && after < text.len() {
                let (next, next_len) = classes.at(text, after);
                if next & (LETTER | NUMBER | SPACE) == 0 {
                    return self.others(text, after + next_len, true);
                }
            }
        }
        if class & SPACE != 0 { self.spaces(text, at, true) } else { self.others(text, after, true) }
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` from `from` on, or else the same with `+` and `*` changed about.
    ///
    /// The first part takes all it can. Where no lower-case letter follows, it gives back as much as the second part needs: up to
    /// the last character that belongs to both. Where there is none either, a mark before `from` (`after_mark`) is the whole word
    /// of the first alternative, and only else the second alternative takes the capitals.
    #[inline(always)]
    fn capitals_and_lower(&self, text: &[u8], from: usize, after_mark: bool) -> Option<usize> {
        let mut at = from;
        let mut last_of_both = None;
        while at < text.len() {
            let (class, len) = self.classes.at(text, at);
            if class & (CASELESS | MARK) != 0 {
                last_of_both = Some(at + len);
            } else if class & LOWER != 0 {
                return Some(self.classes.run(text, at + len, LOWER | CASELESS | MARK, true));
            } else if class & UPPER == 0 {
                break;
            }
            at += len;
        }
        if last_of_both.is_some() {
            last_of_both
        } else if after_mark {
            Some(from)
        } else {
            (at > from).then_some(at)
        }
    }

    /// The end of a number of which one digit ends at `at`.
    #[inline(always)]
    fn numbers(&self, text: &[u8], mut at: usize) -> usize {
        for _ in 1..self.digits {
            if at == text.len() {
                break;
            }
            let (class, len) = self.classes.at(text, at);
            if class & NUMBER == 0 {
                break;
            }
            at += len;
        }
        at
    }

    /// The rest of `[^\s\p{L}\p{N}]+[\r\n]*` (or `[\r\n/]*`) from `at` on.
    #[inline(always)]
    fn others(&self, text: &[u8], at: usize, slash: bool) -> usize {
        let mut end = self.classes.run(text, at, LETTER | NUMBER | SPACE, false);
        while end < text.len() && (is_break(text[end]) || slash && text[end] == b'/') {
            end += 1;
        }
        end
    }

    /// `\s*[\r\n]+` if `breaks` are looked for and there are any, otherwise `\s+(?!\S)|\s+`.
    #[inline(always)]
    fn spaces(&self, text: &[u8], at: usize, breaks: bool) -> usize {
        let end = self.classes.run(text, at, SPACE, true);
        if self.whole_end && end == text.len() {
            return end;
        }
        if breaks && let Some(last) = text[at..end].iter().rposition(|byte| is_break(*byte)) {
            return at + last + 1;
        }
        if end == text.len() {
            return end;
        }
        // Before something else the last one stays behind, unless it is the only one.
        let last = (at..end).rev().find(|i| text[*i] & 0xC0 != 0x80).unwrap_or(at);
        if last > at { last } else { end }
    }
}

#[inline(always)]
fn is_break(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

/// The end of `'s|'t|'re|'ve|'m|'ll|'d` at `at`; in any case, `'ſ` is one as well.
#[inline(always)]
fn contraction(text: &[u8], at: usize, any_case: bool) -> Option<usize> {
    let rest = text.get(at..)?;
    if rest.first() != Some(&b'\'') {
        return None;
    }
    let fold = if any_case { 0x20 } else { 0 };
    let letter = |n: usize| rest.get(n).map_or(0, |byte| byte | fold);
    match (letter(1), letter(2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(at + 2),
        (b'r' | b'v', b'e') | (b'l', b'l') => Some(at + 3),
        _ if any_case && rest[1..].starts_with("ſ".as_bytes()) => Some(at + 3),
        _ => None,
    }
}

/// The expression of a `Split` that keeps every match as a piece. Where all of the text is matched, as by the expressions above,
/// dropping what is between the matches is the same.
fn split_regex(step: &Value) -> Option<&str> {
    let kept = step["behavior"] == "Isolated" && step["invert"] == false || step["behavior"] == "Removed" && step["invert"] == true;
    if step["type"] != "Split" || !kept {
        return None;
    }
    step["pattern"]["Regex"].as_str()
}

/// The cuts of `cl100k_base` as the `pre_tokenizer` of a `tokenizer.json`.
pub(crate) fn cl100k() -> Value {
    pre_tokenizer_of(CL100K, false)
}

/// The same cuts as the `pre_tokenizer` of a `tokenizer.json`.
pub(crate) fn pre_tokenizer(pattern: Pattern, split_digits: bool, isolate_han: bool) -> Value {
    pre_tokenizer_of(pattern.regex(split_digits), isolate_han)
}

fn pre_tokenizer_of(regex: &str, isolate_han: bool) -> Value {
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let mut steps = Vec::new();
    if isolate_han {
        steps.push(split(HAN_REGEX));
    }
    steps.push(split(regex));
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
    fn space_at_the_end_is_one_piece_to_cl100k_only() {
        let of = |json: &Value, text: &'static str| {
            let mut out = Vec::new();
            Splitter::of_pre_tokenizer(json).expect("known").expect("compiles").pieces(text, |piece| out.push(piece));
            out
        };
        // As tiktoken 0.14.0 cuts with ranks of the 256 bytes and all runs of space.
        assert_eq!(of(&cl100k(), "a\n \n  "), ["a", "\n \n  "]);
        assert_eq!(of(&cl100k(), "a\n \n  b"), ["a", "\n \n", " ", " b"]);
        assert_eq!(of(&pre_tokenizer(Pattern::Gpt4, false, false), "a\n \n  "), ["a", "\n \n", "  "]);
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
            "x = 1\n  \n    ",
            "x \n\t",
            "\r\n",
            " \n y\n \u{3000}\n ",
        ];
        let mut all = vec![cl100k()];
        for pattern in [Pattern::Gpt2, Pattern::Gpt4, Pattern::Gpt4o] {
            for (split_digits, isolate_han) in [(false, false), (false, true), (true, false), (true, true)] {
                all.push(pre_tokenizer(pattern, split_digits, isolate_han));
            }
        }
        {
            for json in all {
                let splitter = Splitter::of_pre_tokenizer(&json).expect("known").expect("compiles");
                let library: PreTokenizerWrapper = serde_json::from_value(json.clone()).expect("valid");
                for text in texts {
                    let mut split = PreTokenizedString::from(text);
                    library.pre_tokenize(&mut split).expect("splits");
                    let expected: Vec<&str> = split
                        .get_splits(OffsetReferential::Original, OffsetType::Byte)
                        .into_iter()
                        .map(|(_, (start, end), _)| &text[start..end])
                        .filter(|piece| !piece.is_empty())
                        .collect();
                    let mut got = Vec::new();
                    splitter.pieces(text, |piece| got.push(piece));
                    assert_eq!(got, expected, "{json}");
                }
            }
        }
    }
}
