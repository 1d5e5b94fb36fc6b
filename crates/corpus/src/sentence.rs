//! Sentence boundaries for English and Chinese, by rule.

use crate::script::{is_han, is_kana};
use std::ops::Range;

/// Byte ranges of the sentences of `text`, in order, without surrounding white space; a line break always ends one.
///
/// English: `.`, `!`, `?` followed by white space and something that can begin a sentence, unless the point belongs to an
/// abbreviation, an initial, a decimal or a list number. Chinese: `。！？；` and their like, wherever they stand.
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
    for line in text.split_inclusive(['\n', '\r', '\u{2028}', '\u{2029}']) {
        split_line(text, start, start + line.len(), &mut out);
        start += line.len();
    }
    out
}

/// Longest quotation, in characters, that is kept in one piece.
const MAX_QUOTE_CHARS: usize = 160;

fn split_line(text: &str, start: usize, end: usize, out: &mut Vec<Range<usize>>) {
    let line: Vec<(usize, char)> = text[start..end].char_indices().map(|(at, c)| (start + at, c)).collect();
    if is_table_row(&line) {
        return;
    }
    let mut begin = after_marks(&line);
    let mut i = begin;
    while i < line.len() {
        if let Some(close) = closing_quote(&line, i) {
            // Jump over the quotation; whether it ends a sentence is asked of the mark just inside it.
            i = close + 1;
            if ends_after_quote(&line, close) {
                push(text, &line, begin, i, out);
                begin = i;
            }
            continue;
        }
        if !is_terminator(line[i].1) || !is_boundary(&line, begin, i) {
            i += 1;
            continue;
        }
        let mut stop = i + 1;
        while stop < line.len() && (is_closer(line[stop].1) || is_terminator(line[stop].1)) {
            stop += 1;
        }
        push(text, &line, begin, stop, out);
        begin = stop;
        i = stop;
    }
    push(text, &line, begin, line.len(), out);
}

/// Where a line begins behind marks of headings, quotes and lists, each followed by a space.
fn after_marks(line: &[(usize, char)]) -> usize {
    let mut at = 0;
    loop {
        let from = at + line[at..].iter().take_while(|(_, c)| matches!(c, ' ' | '\t')).count();
        let mark = match line.get(from) {
            Some((_, '#')) => line[from..].iter().take_while(|&&(_, c)| c == '#').count(),
            Some((_, '>' | '-' | '*' | '•')) => 1,
            _ => return at,
        };
        if line.get(from + mark).is_none_or(|&(_, c)| c != ' ') {
            return at;
        }
        at = from + mark + 1;
    }
}

fn is_table_row(line: &[(usize, char)]) -> bool {
    let mut marks = line.iter().map(|&(_, c)| c).filter(|c| !c.is_whitespace());
    marks.next() == Some('|') && marks.next_back() == Some('|')
}

fn push(text: &str, line: &[(usize, char)], from: usize, to: usize, out: &mut Vec<Range<usize>>) {
    if from >= to {
        return;
    }
    let (begin, last) = (line[from].0, line[to - 1]);
    let slice = &text[begin..last.0 + last.1.len_utf8()];
    let left = slice.len() - slice.trim_start().len();
    let kept = slice.trim();
    if kept.chars().any(char::is_alphanumeric) {
        out.push(begin + left..begin + left + kept.len());
    }
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?') || is_cjk_terminator(c)
}

fn is_cjk_terminator(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡' | '⁇' | '⁈' | '⁉')
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | '」' | '』' | '）' | ')' | ']' | '】' | '》' | '»')
}

/// Index of the closing mark if a quotation opens at `i` and closes on this line before long.
fn closing_quote(line: &[(usize, char)], i: usize) -> Option<usize> {
    let close = match line[i].1 {
        '“' => '”',
        '「' => '」',
        '『' => '』',
        '（' => '）',
        '"' if i == 0 || line[i - 1].1.is_whitespace() || line[i - 1].1 == '(' => '"',
        _ => return None,
    };
    let ahead = &line[i + 1..line.len().min(i + 1 + MAX_QUOTE_CHARS)];
    ahead.iter().position(|&(_, c)| c == close).map(|at| i + 1 + at)
}

/// True if the sentence is over behind the quotation closed at `close`.
fn ends_after_quote(line: &[(usize, char)], close: usize) -> bool {
    if line[close].1 == '）' || !is_terminator(line[close - 1].1) {
        return false;
    }
    let rest = &line[close + 1..];
    let Some(first) = rest.iter().find(|(_, c)| !c.is_whitespace()) else {
        return true;
    };
    if is_han(first.1) {
        // “走吧。”他说。 is one sentence.
        return !rest.iter().take(6).any(|(_, c)| matches!(c, '说' | '說' | '道' | '问' | '問' | '答' | '喊' | '叫'));
    }
    rest[0].1.is_whitespace() && can_begin(first.1)
}

fn can_begin(c: char) -> bool {
    c.is_uppercase()
        || c.is_numeric()
        || is_han(c)
        || is_kana(c)
        || matches!(c, '"' | '“' | '‘' | '「' | '(' | '（' | '[' | '-' | '•' | '¿' | '¡')
        || (c.is_alphabetic() && !c.is_lowercase())
}

/// True if the terminator at `i` ends the sentence that began at `begin`.
fn is_boundary(line: &[(usize, char)], begin: usize, i: usize) -> bool {
    let c = line[i].1;
    if is_cjk_terminator(c) {
        return true;
    }
    let mut next = i + 1;
    while next < line.len() && (is_closer(line[next].1) || matches!(line[next].1, '.' | '!' | '?')) {
        next += 1;
    }
    let Some(&(_, after)) = line.get(next) else {
        return true;
    };
    if !after.is_whitespace() {
        // Chinese text with Western marks has no space: 你好!再见
        return c != '.' && is_han(after) || c == '.' && is_han(after) && i > begin && is_han(line[i - 1].1);
    }
    let Some(&(_, first)) = line[next..].iter().find(|(_, c)| !c.is_whitespace()) else {
        return true;
    };
    can_begin(first) && (c != '.' || next > i + 1 || point_ends(line, begin, i, next))
}

/// Titles and the like, which a name follows.
#[rustfmt::skip]
const BEFORE_NAME: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "gen", "col", "sgt", "lt", "capt", "rev", "hon", "sen", "rep", "gov", "pres", "messrs",
    "mme", "mlle", "fr", "sr", "ft", "no", "nos", "fig", "figs", "eq", "vol", "ch", "sec", "pp", "p", "vs", "v", "cf", "ca", "approx",
    "e.g", "i.e", "viz", "al", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "est", "ed", "eds",
];
/// Abbreviations that may also end a sentence; the next word decides.
const MAY_END: &[&str] =
    &["etc", "inc", "ltd", "co", "corp", "jr", "u.s", "u.k", "u.n", "u.s.a", "e.u", "a.m", "p.m", "d.c", "b.c", "a.d", "ph.d"];
/// Words that begin sentences and hardly ever names.
#[rustfmt::skip]
const OPENERS: &[&str] = &[
    "the", "a", "an", "it", "its", "he", "she", "they", "we", "i", "you", "this", "that", "these", "those", "there", "in", "on", "at", "for",
    "from", "by", "as", "after", "before", "when", "while", "if", "but", "and", "so", "however", "his", "her", "their", "our", "most",
    "some", "many", "what", "who", "where", "why", "how", "since", "because", "although", "with", "both", "all", "one", "another",
];

/// True if the point at `i` is a full stop; `next` is the index of the white space behind it.
fn point_ends(line: &[(usize, char)], begin: usize, i: usize, next: usize) -> bool {
    let mut from = i;
    while from > begin && (line[from - 1].1.is_alphanumeric() || line[from - 1].1 == '.') {
        from -= 1;
    }
    let word: String = line[from..i].iter().map(|&(_, c)| c).collect();
    let lower = word.to_lowercase();
    if BEFORE_NAME.contains(&lower.as_str()) {
        return false;
    }
    let following: String =
        line[next..].iter().map(|&(_, c)| c).skip_while(|c| !c.is_alphanumeric()).take_while(|c| c.is_alphabetic()).collect();
    let opener = OPENERS.contains(&following.to_lowercase().as_str());
    if MAY_END.contains(&lower.as_str()) {
        return opener;
    }
    // An initial: J. K. Rowling, Vitamin C. The
    if word.chars().count() == 1 && word.chars().all(char::is_uppercase) {
        return opener;
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
