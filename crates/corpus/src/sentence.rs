//! Sentence boundaries for English and Chinese, by rule, and at the marks that end a sentence in other scripts.

use crate::script::{is_han, is_kana};
use std::ops::Range;

/// Byte ranges of the sentences of `text`, in order, without surrounding white space; a line break always ends one.
///
/// English: `.`, `!`, `?` followed by white space and something that can begin a sentence, unless the point belongs to an
/// abbreviation, an initial, a decimal or a list number. Chinese: `。！？；` and their like, wherever they stand. So do the marks of Indian
/// scripts (`।`), Arabic and Urdu (`؟`, `۔`), Armenian, Ethiopic, Burmese and Khmer.
/// Closing quotes and brackets stay with their sentence, and a quotation of moderate length is not cut inside.
/// Marks of Markdown before a line (`#`, `>`, `-`, `*`) belong to no sentence, and rows of tables hold none.
///
/// ```
/// let text = "Mt. Everest is 8,848.86 m high. 它在喜马拉雅山。很高！";
/// let found: Vec<&str> = corpus::sentences(text).into_iter().map(|r| &text[r]).collect();
/// assert_eq!(found, ["Mt. Everest is 8,848.86 m high.", "它在喜马拉雅山。", "很高！"]);
/// ```
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = line_end(text, start);
        split_line(text, start, end, &mut out);
        start = end;
    }
    out
}

/// Where the line that begins at `start` ends, its break included.
fn line_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while let Some(found) = memchr::memchr3(b'\n', b'\r', 0xE2, &bytes[at..]) {
        at += found + 1;
        if bytes[at - 1] != 0xE2 {
            return at;
        }
        // U+2028 and U+2029.
        if let [0x80, 0xA8 | 0xA9, ..] = bytes[at..] {
            return at + 2;
        }
    }
    text.len()
}

/// Longest quotation, in characters, that is kept in one piece.
const MAX_QUOTE_CHARS: usize = 160;

/// A line with what is asked about the characters around a place; places are bytes of the line.
#[derive(Clone, Copy)]
struct Line<'t>(&'t str);

impl Line<'_> {
    fn at(&self, place: usize) -> Option<char> {
        self.0[place..].chars().next()
    }

    fn before(&self, place: usize) -> Option<char> {
        self.0[..place].chars().next_back()
    }

    /// The next place from `from` on where a terminator or an opening mark may stand: the others begin with other bytes.
    fn candidate(&self, from: usize) -> Option<usize> {
        let mut bytes = self.0.as_bytes()[from..].iter();
        bytes.position(|byte| matches!(byte, b'.' | b'!' | b'?' | b'"' | 0xD6 | 0xD8 | 0xDB | 0xE0..=0xE3 | 0xEF)).map(|at| from + at)
    }
}

fn split_line(text: &str, start: usize, end: usize, out: &mut Vec<Range<usize>>) {
    let line = Line(&text[start..end]);
    if is_table_row(line.0) {
        return;
    }
    let mut begin = after_marks(line.0);
    let mut from = begin;
    // Where the run of marks ends that was looked at last.
    let mut run_end = 0;
    while let Some(i) = line.candidate(from) {
        let Some(c) = line.at(i) else { break };
        if let Some(close) = closing_quote(line, i, c) {
            // Jump over the quotation; whether it ends a sentence is asked of the mark just inside it.
            from = close + line.at(close).map_or(1, char::len_utf8);
            if ends_after_quote(line, close, from) {
                push(line.0, start, begin, from, out);
                begin = from;
            }
            continue;
        }
        from = i + c.len_utf8();
        if !is_terminator(c) {
            continue;
        }
        if from > run_end {
            run_end = from;
            while let Some(mark) = line.at(run_end).filter(|&c| is_closer(c) || matches!(c, '.' | '!' | '?')) {
                run_end += mark.len_utf8();
            }
        }
        match boundary(line, begin, i, c, run_end) {
            Boundary::Here => {}
            Boundary::NotHere => continue,
            Boundary::NotInRun => {
                from = run_end;
                continue;
            }
        }
        while let Some(mark) = line.at(from).filter(|&c| is_closer(c) || is_terminator(c)) {
            from += mark.len_utf8();
        }
        push(line.0, start, begin, from, out);
        begin = from;
    }
    push(line.0, start, begin, line.0.len(), out);
}

/// Where a line begins behind marks of headings, quotes and lists, each followed by a space.
fn after_marks(line: &str) -> usize {
    let mut at = 0;
    loop {
        let from = at + line[at..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = &line[from..];
        let mark = match rest.chars().next() {
            Some('#') => rest.bytes().take_while(|&byte| byte == b'#').count(),
            Some('>' | '-' | '*') => 1,
            Some('•') => '•'.len_utf8(),
            _ => return at,
        };
        if !rest[mark..].starts_with(' ') {
            return at;
        }
        at = from + mark + 1;
    }
}

fn is_table_row(line: &str) -> bool {
    // A look at the first byte is enough for nearly all lines.
    let line = line.trim_start();
    line.starts_with('|') && line.trim_end().len() > 1 && line.trim_end().ends_with('|')
}

/// Adds the sentence from `from` to `to` of a line that begins at `start` of the text, if there is anything to read in it.
fn push(line: &str, start: usize, from: usize, to: usize, out: &mut Vec<Range<usize>>) {
    let slice = &line[from..to];
    let kept = slice.trim_start();
    let begin = start + to - kept.len();
    let kept = kept.trim_end();
    if kept.chars().any(char::is_alphanumeric) {
        out.push(begin..begin + kept.len());
    }
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?') || is_cjk_terminator(c)
}

fn is_cjk_terminator(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡' | '⁇' | '⁈' | '⁉' | '।' | '॥' | '؟' | '۔' | '։' | '።' | '။' | '។' | '៕')
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | '」' | '』' | '）' | ')' | ']' | '】' | '》' | '»')
}

/// Place of the closing mark if a quotation opens with `c` at `i` and closes on this line before long.
fn closing_quote(line: Line<'_>, i: usize, c: char) -> Option<usize> {
    let close = match c {
        '“' => '”',
        '「' => '」',
        '『' => '』',
        '（' => '）',
        '"' if line.before(i).is_none_or(|before| before.is_whitespace() || before == '(') => '"',
        _ => return None,
    };
    let inside = i + c.len_utf8();
    let mut ahead = line.0[inside..].char_indices().take(MAX_QUOTE_CHARS);
    ahead.find(|&(_, c)| c == close).map(|(at, _)| inside + at)
}

/// True if the sentence is over behind the quotation closed at `close`, where `behind` begins.
fn ends_after_quote(line: Line<'_>, close: usize, behind: usize) -> bool {
    if line.at(close) == Some('）') || !line.before(close).is_some_and(is_terminator) {
        return false;
    }
    let rest = &line.0[behind..];
    let Some(first) = rest.chars().find(|c| !c.is_whitespace()) else {
        return true;
    };
    if is_han(first) {
        // “走吧。”他说。 is one sentence.
        return !rest.chars().take(6).any(|c| matches!(c, '说' | '說' | '道' | '问' | '問' | '答' | '喊' | '叫'));
    }
    rest.starts_with(char::is_whitespace) && can_begin(first)
}

fn can_begin(c: char) -> bool {
    c.is_uppercase()
        || c.is_numeric()
        || is_han(c)
        || is_kana(c)
        || matches!(c, '"' | '“' | '‘' | '「' | '(' | '（' | '[' | '-' | '•' | '¿' | '¡')
        || (c.is_alphabetic() && !c.is_lowercase())
}

/// Whether a sentence ends at a terminator.
enum Boundary {
    Here,
    NotHere,
    /// Nor at any other mark of the run it stands in.
    NotInRun,
}

/// Whether the terminator `c` at `i` ends the sentence that began at `begin`; behind it is a run of marks up to `next`.
fn boundary(line: Line<'_>, begin: usize, i: usize, c: char, next: usize) -> Boundary {
    let when = |ends: bool| if ends { Boundary::Here } else { Boundary::NotHere };
    if is_cjk_terminator(c) {
        return Boundary::Here;
    }
    let Some(after) = line.at(next) else {
        return Boundary::Here;
    };
    if !after.is_whitespace() {
        if !is_han(after) {
            return Boundary::NotInRun;
        }
        // Chinese text with Western marks has no space: 你好!再见
        return when(c != '.' || i > begin && line.before(i).is_some_and(is_han));
    }
    let Some(first) = line.0[next..].chars().find(|c| !c.is_whitespace()) else {
        return Boundary::Here;
    };
    if !can_begin(first) {
        return Boundary::NotInRun;
    }
    when(c != '.' || next > i + 1 || point_ends(line, begin, i, next))
}

/// Up to 8 bytes in one number, ASCII letters in lower case; `None` for longer words.
const fn pack(word: &[u8]) -> Option<u64> {
    if word.len() > 8 {
        return None;
    }
    let mut out = 0;
    let mut at = 0;
    while at < word.len() {
        out = out << 8 | word[at].to_ascii_lowercase() as u64;
        at += 1;
    }
    Some(out)
}

/// All of these words packed.
const fn packed<const N: usize>(words: [&str; N]) -> [u64; N] {
    let mut out = [0; N];
    let mut at = 0;
    while at < N {
        out[at] = match pack(words[at].as_bytes()) {
            Some(word) => word,
            None => panic!("an abbreviation is longer than 8 bytes"),
        };
        at += 1;
    }
    out
}

/// Titles and the like, which a name follows.
#[rustfmt::skip]
const BEFORE_NAME: [u64; 58] = packed([
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "gen", "col", "sgt", "lt", "capt", "rev", "hon", "sen", "rep", "gov", "pres", "messrs",
    "mme", "mlle", "fr", "sr", "ft", "no", "nos", "fig", "figs", "eq", "vol", "ch", "sec", "pp", "p", "vs", "v", "cf", "ca", "approx",
    "e.g", "i.e", "viz", "al", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "est", "ed", "eds",
]);
/// Abbreviations that may also end a sentence; the next word decides.
const MAY_END: [u64; 17] =
    packed(["etc", "inc", "ltd", "co", "corp", "jr", "u.s", "u.k", "u.n", "u.s.a", "e.u", "a.m", "p.m", "d.c", "b.c", "a.d", "ph.d"]);
/// How far the next word may stand from a point.
const MAX_AHEAD_CHARS: usize = 100;
/// Words that begin sentences and hardly ever names.
#[rustfmt::skip]
const OPENERS: &[&str] = &[
    "the", "a", "an", "it", "its", "he", "she", "they", "we", "i", "you", "this", "that", "these", "those", "there", "in", "on", "at", "for",
    "from", "by", "as", "after", "before", "when", "while", "if", "but", "and", "so", "however", "his", "her", "their", "our", "most",
    "some", "many", "what", "who", "where", "why", "how", "since", "because", "although", "with", "both", "all", "one", "another",
];

/// True if the next word behind byte `next` is an opener of sentences.
fn opener_follows(line: Line<'_>, next: usize) -> bool {
    let ahead = line.0[next..].chars().take(MAX_AHEAD_CHARS);
    let following: String = ahead.skip_while(|c| !c.is_alphanumeric()).take_while(|c| c.is_alphabetic()).collect();
    OPENERS.contains(&following.to_lowercase().as_str())
}

/// True if the point at `i` is a full stop; `next` is the place of the white space behind it.
fn point_ends(line: Line<'_>, begin: usize, i: usize, next: usize) -> bool {
    let before = &line.0[begin..i];
    let word = &before[before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '.').len()..];
    let from = i - word.len();
    if let Some(lower) = pack(word.as_bytes())
        && BEFORE_NAME.contains(&lower)
    {
        return false;
    }
    // An initial too: J. K. Rowling, Vitamin C. The
    let mut chars = word.chars();
    let initial = chars.next().is_some_and(char::is_uppercase) && chars.next().is_none();
    if initial || pack(word.as_bytes()).is_some_and(|lower| MAY_END.contains(&lower)) {
        return opener_follows(line, next);
    }
    // A list number at the start of the line: 3. Water
    !(from == begin && !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) && word.len() <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_markdown_belong_to_no_sentence() {
        let text = "## Rivers of Peru\n> - It is long. It is wide.\n| a | b. |\n- 很长。\n#tag one\n-5 degrees\n* * x";
        let found: Vec<&str> = sentences(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(found, ["Rivers of Peru", "It is long.", "It is wide.", "很长。", "#tag one", "-5 degrees", "x"]);
    }

    fn check(text: &str, want: &[&str]) {
        let got: Vec<&str> = sentences(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn plain_english() {
        check("Paris is big. It lies on the Seine! Does it? Yes.", &["Paris is big.", "It lies on the Seine!", "Does it?", "Yes."]);
        check("no end", &["no end"]);
        check("  \n \n", &[]);
        check("One line\nAnother line.", &["One line", "Another line."]);
    }

    #[test]
    fn points_that_end_nothing() {
        check("Dr. Smith met Mr. Brown at 3.5 p.m. on St. Helena.", &["Dr. Smith met Mr. Brown at 3.5 p.m. on St. Helena."]);
        check("J. K. Rowling wrote it. The rest is known.", &["J. K. Rowling wrote it.", "The rest is known."]);
        check(
            "The U.S. Congress met. It is in the U.S. The dollar is used.",
            &["The U.S. Congress met.", "It is in the U.S.", "The dollar is used."],
        );
        check("See example.com for more. Bye.", &["See example.com for more.", "Bye."]);
        check("1. Water boils at 100 °C. It freezes at 0 °C.", &["1. Water boils at 100 °C.", "It freezes at 0 °C."]);
        check("Fruit, e.g. Apples, is sweet.", &["Fruit, e.g. Apples, is sweet."]);
        check("It was founded in 1901. Then it grew.", &["It was founded in 1901.", "Then it grew."]);
    }

    #[test]
    fn chinese_marks() {
        check("中国的首都是北京。法国的首都是巴黎；很美！是吗？", &["中国的首都是北京。", "法国的首都是巴黎；", "很美！", "是吗？"]);
        check("高度为8848.86米。", &["高度为8848.86米。"]);
        check("你好!再见?好", &["你好!", "再见?", "好"]);
        check("什么？！真的。", &["什么？！", "真的。"]);
    }

    #[test]
    fn marks_of_other_scripts() {
        check("गंगा बड़ी है। यह पवित्र है॥ क्या यह सच है?", &["गंगा बड़ी है।", "यह पवित्र है॥", "क्या यह सच है?"]);
        check("هل ستأتي؟ نعم.", &["هل ستأتي؟", "نعم."]);
        check("یہ دریا ہے۔ وہ پہاڑ ہے۔", &["یہ دریا ہے۔", "وہ پہاڑ ہے۔"]);
        check("Սա գետ է։ Նա մեծ է։", &["Սա գետ է։", "Նա մեծ է։"]);
        check("ဒါက မြစ်ပါ။ ရှည်တယ်။", &["ဒါက မြစ်ပါ။", "ရှည်တယ်။"]);
        check("នេះជាទន្លេ។ វាវែង។", &["នេះជាទន្លេ។", "វាវែង។"]);
        check("ይህ ወንዝ ነው። ረጅም ነው።", &["ይህ ወንዝ ነው።", "ረጅም ነው።"]);
    }

    #[test]
    fn quotations_stay_whole() {
        check("“走吧。我们回家。”他说。然后走了。", &["“走吧。我们回家。”他说。", "然后走了。"]);
        check("他写道：“山很高。”第二天他走了。", &["他写道：“山很高。”", "第二天他走了。"]);
        check("He said \"Go. Now.\" and left. She stayed.", &["He said \"Go. Now.\" and left.", "She stayed."]);
        check("“It is late.” She left.", &["“It is late.”", "She left."]);
        check("珠峰（又称埃佛勒斯峰。）很高。", &["珠峰（又称埃佛勒斯峰。）很高。"]);
    }

    #[test]
    fn ranges_are_ordered_and_disjoint() {
        let text = "A. B.\n“C。”d! 中。 …  \r\n12. x";
        let mut last = 0;
        for range in sentences(text) {
            assert!(range.start >= last && range.end > range.start);
            assert_eq!(text[range.clone()].trim(), &text[range.clone()]);
            last = range.end;
        }
    }
}
