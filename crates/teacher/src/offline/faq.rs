//! Questions that a page asks and answers itself: a line that is a question, then its answer.

use std::ops::Range;

use super::english::is_closed;
use super::{Found, RuleLanguage};

/// Longest answer taken, in bytes; longer ones are cut behind their last sentence that fits.
const MAX_ANSWER_BYTES: usize = 400;

/// Markers before a question or an answer.
const MARKERS: &[&str] = &["Q:", "Q.", "A:", "A.", "Question:", "Answer:", "问：", "答：", "问:", "答:", "問：", "Q：", "A："];

/// Pairs of a question line and the answer below it, or behind it on the same line.
pub(crate) fn find(text: &str, language: RuleLanguage) -> Vec<Found> {
    let mut out = Vec::new();
    let mut pending: Option<String> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = trimmed(text, at..at + line.len());
        at += line.len();
        let body = &text[range.clone()];
        if body.is_empty() {
            continue;
        }
        if is_question(body, language) {
            pending = Some(body.to_owned());
            continue;
        }
        if let Some(question) = pending.take()
            && let Some(answer) = answer(text, range, marked(line, language))
            && answers(&question, &text[answer.clone()], language, marked(line, language))
        {
            out.push(Found { question, answer, rule: if language == RuleLanguage::English { "en-faq" } else { "zh-faq" } });
        }
    }
    out
}

/// The range without white space and markers around.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = &text[range.clone()];
    let mut start = range.start + (slice.len() - slice.trim_start().len());
    let end = range.start + slice.trim_end().len();
    while let Some(marker) = MARKERS.iter().find(|m| start < end && text[start..end].starts_with(**m)) {
        start += marker.len();
        let rest = &text[start..end];
        start += rest.len() - rest.trim_start().len();
    }
    start.min(end)..end
}

/// True for one line that is one plain question which makes sense away from its page.
fn is_question(line: &str, language: RuleLanguage) -> bool {
    let Some(body) = line.strip_suffix(['?', '？']) else { return false };
    if body.contains(['?', '？', '!', '。', '"', '“', '|']) || body.contains(". ") {
        return false;
    }
    match language {
        RuleLanguage::English => {
            let words: Vec<String> = body.split_whitespace().map(str::to_lowercase).collect();
            let wh = words.first().is_some_and(|w| {
                matches!(
                    w.trim_end_matches("'s"),
                    "what"
                        | "who"
                        | "where"
                        | "when"
                        | "which"
                        | "how"
                        | "why"
                        | "whose"
                        | "in"
                        | "on"
                        | "is"
                        | "are"
                        | "does"
                        | "do"
                        | "can"
                )
            });
            let about_us = words.iter().any(|w| {
                let w = w.split(['\'', '’']).next().unwrap_or(w);
                matches!(
                    w.trim_matches(|c: char| !c.is_alphanumeric()),
                    "i" | "you"
                        | "we"
                        | "my"
                        | "your"
                        | "our"
                        | "this"
                        | "these"
                        | "it"
                        | "he"
                        | "she"
                        | "they"
                        | "us"
                        | "here"
                        | "other"
                        | "above"
                )
            });
            let vague = matches!(words.get(1).map(String::as_str), Some("about" | "else" | "next" | "now"));
            let many = matches!(words.get(1).map(String::as_str), Some("much" | "many"));
            let advert = words.first().is_some_and(|w| w == "why")
                && matches!(
                    words.get(1).map(String::as_str),
                    Some("work" | "choose" | "buy" | "hire" | "use" | "shop" | "trust" | "join" | "partner")
                );
            wh && !about_us && !vague && !advert && (if many { 4 } else { 3 }..=24).contains(&words.len())
        }
        RuleLanguage::Chinese => {
            let wh = ["什么", "什麼", "谁", "誰", "哪", "几", "幾", "多", "怎", "如何", "为何", "為何", "吗", "嗎", "何时", "何時"]
                .iter()
                .any(|w| body.contains(w));
            let about_us = ["我", "你", "您", "它", "他", "她", "这", "這", "该", "本", "：", ":"].iter().any(|w| body.contains(w));
            wh && !about_us && (5..=48).contains(&body.chars().count())
        }
    }
}

/// True if an answer takes up a word of its question, says yes or no, or is short: otherwise it is about something else.
fn answers(question: &str, answer: &str, language: RuleLanguage, marked: bool) -> bool {
    if language == RuleLanguage::Chinese {
        let chars: Vec<char> = question.chars().collect();
        return marked
            || answer.starts_with(['是', '不', '会', '能'])
            || chars.windows(2).any(|w| answer.contains(&w.iter().collect::<String>()));
    }
    let stems = |s: &str| -> Vec<String> {
        let words = s.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
        words.filter(|w| w.len() > 2 && !is_closed(w)).map(|w| w.chars().take(5).collect()).collect()
    };
    let asked = stems(question);
    let first = answer.split_whitespace().next().unwrap_or("").to_lowercase();
    let short = answer.split_whitespace().count() <= 9;
    let plain = matches!(first.trim_matches(','), "yes" | "no" | "yes." | "no.");
    plain || short || asked.is_empty() || stems(answer).iter().any(|s| asked.contains(s))
}

/// True if a line says by its marker that it is the answer.
fn marked(line: &str, language: RuleLanguage) -> bool {
    let markers: &[&str] = if language == RuleLanguage::English { &["A:", "A.", "Answer:"] } else { &["答", "A：", "A:"] };
    let line = line.trim_start();
    markers.iter().any(|m| line.starts_with(m))
}

/// How a line begins that talks to the reader and does not answer.
const TALK: &[&str] = &[
    "actually",
    "well,",
    "let's",
    "let’s",
    "here",
    "so,",
    "okay",
    "ok,",
    "great question",
    "good question",
    "note",
    "see ",
    "read ",
    "click",
    "below",
    "this ",
    "these ",
    "that ",
    "we ",
    "i ",
    "our ",
    "my ",
    "if you",
    "you ",
    "in this",
    "the following",
    "as you",
    "as we",
    "posted",
    "by ",
    "share",
    "updated",
    "published",
    "source",
    "image",
    "photo",
    "advertisement",
    "related",
    "before ",
    "the answer to",
];

/// The answer's bytes: whole sentences, at most [`MAX_ANSWER_BYTES`]. A line without a full stop is a heading as a rule.
fn answer(text: &str, range: Range<usize>, marked: bool) -> Option<Range<usize>> {
    let body = &text[range.clone()];
    let closed = |s: &str| s.trim_end_matches(['"', '”', '’', ')', '）', '」']).ends_with(['.', '!', '。', '！']);
    if marked && body.len() <= MAX_ANSWER_BYTES && !body.ends_with(':') {
        return (body.len() >= 2).then_some(range);
    }
    let lower = body.to_lowercase();
    if TALK.iter().any(|t| lower.starts_with(t)) || body.split('.').next().is_some_and(|n| n.len() < 3 && n.parse::<u8>().is_ok()) {
        return None;
    }
    let sentences = corpus::sentences(body);
    let end =
        sentences.into_iter().filter(|s| closed(&body[s.clone()])).map(|s| s.end).take_while(|&end| end <= MAX_ANSWER_BYTES).last()?;
    (end >= 2).then_some(range.start..range.start + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, language: RuleLanguage, want: &[(&str, &str)]) {
        let found = find(text, language);
        let got: Vec<(&str, &str)> = found.iter().map(|f| (f.question.as_str(), &text[f.answer.clone()])).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn question_lines_with_their_answers() {
        check(
            "FAQ\nQ: How deep is Lake Baikal?\nA: 1,642 metres.\n",
            RuleLanguage::English,
            &[("How deep is Lake Baikal?", "1,642 metres.")],
        );
        check("What do you want?\nNothing.", RuleLanguage::English, &[]);
        check("Where is it?\nThere.", RuleLanguage::English, &[]);
        check(
            "How are clouds made?\n\nWater vapour condenses.",
            RuleLanguage::English,
            &[("How are clouds made?", "Water vapour condenses.")],
        );
        check("常见问题\n问：贝加尔湖有多深？\n答：1642米。", RuleLanguage::Chinese, &[("贝加尔湖有多深？", "1642米。")]);
        check("这是什么？\n山。", RuleLanguage::Chinese, &[]);
        check("怎样才能做好练习？\n团长思虑再三。", RuleLanguage::Chinese, &[]);
        check("Q: How deep is it at Baikal?\nA: Deep", RuleLanguage::English, &[]);
        check("Q: How deep is Lake Baikal?\nA: 1,642 metres", RuleLanguage::English, &[("How deep is Lake Baikal?", "1,642 metres")]);
    }

    #[test]
    fn headings_and_talk_are_no_answers() {
        for below in ["Customer Reviews", "Note:", "Actually, let's begin with something simpler.", "2. Which version?", "We will see."] {
            check(&format!("What is a smart thermostat?\n{below}\n"), RuleLanguage::English, &[]);
        }
        check("What is rust?\nRust is iron oxide. It forms when:\n", RuleLanguage::English, &[("What is rust?", "Rust is iron oxide.")]);
    }

    #[test]
    fn long_answers_are_cut_at_a_sentence() {
        let text = format!("What is rain?\n{}", "Rain falls from clouds. ".repeat(40));
        let found = find(&text, RuleLanguage::English);
        let answer = &text[found[0].answer.clone()];
        assert!(answer.len() <= MAX_ANSWER_BYTES && answer.ends_with("clouds."));
    }
}
