//! Questions that a page asks and answers itself: a line that is a question, then its answer.

use std::ops::Range;

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
            && let Some(answer) = answer(text, range)
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
                matches!(
                    w.trim_matches(','),
                    "i" | "you" | "we" | "my" | "your" | "our" | "this" | "these" | "it" | "he" | "she" | "they" | "us" | "here"
                )
            });
            wh && !about_us && (3..=24).contains(&words.len())
        }
        RuleLanguage::Chinese => {
            let wh = ["什么", "什麼", "谁", "誰", "哪", "几", "幾", "多", "怎", "如何", "为何", "為何", "吗", "嗎", "何时", "何時"]
                .iter()
                .any(|w| body.contains(w));
            let about_us = ["我", "你", "您", "它", "他", "她", "这", "這", "该", "本"].iter().any(|w| body.contains(w));
            wh && !about_us && (5..=48).contains(&body.chars().count())
        }
    }
}

/// The answer's bytes: at most [`MAX_ANSWER_BYTES`], cut at a sentence.
fn answer(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    if range.len() <= MAX_ANSWER_BYTES {
        return (range.len() >= 2).then_some(range);
    }
    let end = corpus::sentences(&text[range.clone()]).into_iter().map(|s| s.end).take_while(|&end| end <= MAX_ANSWER_BYTES).last()?;
    Some(range.start..range.start + end)
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
    }

    #[test]
    fn long_answers_are_cut_at_a_sentence() {
        let text = format!("What is rain?\n{}", "Water falls from clouds. ".repeat(40));
        let found = find(&text, RuleLanguage::English);
        let answer = &text[found[0].answer.clone()];
        assert!(answer.len() <= MAX_ANSWER_BYTES && answer.ends_with("clouds."));
    }
}
