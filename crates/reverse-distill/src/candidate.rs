//! A pair on its way, and the checks that look at it alone.

use corpus::ScriptHistogram;
use teacher::Pair;

use crate::config::Config;

/// A document that is asked about.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// Its address.
    pub url: String,
    /// Its text.
    pub text: String,
    /// Its language tag.
    pub language: String,
}

/// A pair that a teacher drew from a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The document.
    pub document_id: String,
    /// Its address.
    pub url: String,
    /// Its language tag.
    pub language: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// The rule, or the prompt.
    pub rule: String,
    /// Where the answer stands in the document, bytes.
    pub span: Option<(usize, usize)>,
    /// The request's key in the transcript.
    pub request_id: String,
}

impl Candidate {
    /// Identifier of the pair: digest of teacher, document, question and answer.
    pub fn id(&self, teacher: &str) -> String {
        let digest = handoff::DigestBuilder::new()
            .field("teacher", teacher)
            .field("document", &self.document_id)
            .field("question", &self.question)
            .field("answer", &self.answer);
        digest.finish().to_string()
    }

    #[cfg(test)]
    pub(crate) fn for_tests(document: &str, question: &str, answer: &str) -> Self {
        Self {
            document_id: document.into(),
            url: String::new(),
            language: "en".into(),
            question: question.into(),
            answer: answer.into(),
            rule: "r".into(),
            span: None,
            request_id: String::new(),
        }
    }
}

/// Why a pair was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The reason.
    pub reason: &'static str,
    /// What was measured.
    pub value: Option<f64>,
    /// The limit it broke.
    pub threshold: Option<f64>,
    /// More about it.
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal without a measure.
    pub fn new(reason: &'static str) -> Self {
        Self { reason, value: None, threshold: None, detail: None }
    }

    /// A refusal with what was measured and the limit.
    pub fn measured(reason: &'static str, value: f64, threshold: f64) -> Self {
        Self { value: Some(value), threshold: Some(threshold), ..Self::new(reason) }
    }

    /// A refusal with an explanation.
    pub fn explained(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(reason) }
    }
}

/// Least share of a pair's letters that has to be in the document's script.
pub const MIN_SCRIPT_SHARE: f64 = 0.5;

/// Checks the form of a pair: lengths, a question that is one, an answer that is none.
pub fn check_shape(pair: &Pair, config: &Config) -> Result<(), Refusal> {
    let (question, answer) = (pair.question.trim(), pair.answer.trim());
    let measure = |reason, value: usize, threshold: usize| Err(Refusal::measured(reason, value as f64, threshold as f64));
    let (asked, answered) = (question.chars().count(), answer.chars().count());
    if answered == 0 {
        return measure("empty_answer", 0, 1);
    }
    if asked < config.min_question_chars {
        return measure("question_too_short", asked, config.min_question_chars);
    }
    if asked > config.max_question_chars {
        return measure("question_too_long", asked, config.max_question_chars);
    }
    if answered > config.max_answer_chars {
        return measure("answer_too_long", answered, config.max_answer_chars);
    }
    if !question.ends_with(['?', '？']) {
        return Err(Refusal::new("no_question_mark"));
    }
    if question.chars().chain(answer.chars()).any(|c| c.is_control() || c == '\u{fffd}') {
        return Err(Refusal::new("control_character"));
    }
    let lower = answer.to_lowercase();
    let evasive =
        ["as an ai", "not mentioned", "not stated", "the document does not", "作为一个", "文中没有", "文中未", "未提及", "没有提到"];
    if let Some(phrase) = evasive.iter().find(|p| lower.contains(**p)) {
        return Err(Refusal::explained("evasive_answer", *phrase));
    }
    let (q, a) = (corpus::normalize(question), corpus::normalize(answer));
    if a.is_empty() {
        return measure("empty_answer", 0, 1);
    }
    if format!(" {q} ").contains(&format!(" {a} ")) || (corpus::units(&a).count() > 1 && q.contains(&a)) {
        return Err(Refusal::new("answer_in_question"));
    }
    let depends =
        ["this document", "this article", "the text", "this page", "according to the passage", "本文", "这篇文章", "文章中", "文中"];
    let asked = question.to_lowercase();
    if let Some(phrase) = depends.iter().find(|p| asked.contains(**p)) {
        return Err(Refusal::explained("needs_the_document", *phrase));
    }
    Ok(())
}

/// Checks that the question is written in the document's script; an answer may be a symbol or a foreign name.
pub fn check_language(pair: &Pair, language: &str) -> Result<(), Refusal> {
    let histogram = ScriptHistogram::of(&pair.question);
    let cjk = histogram.cjk_share();
    let share = if corpus::matches_tag(language, "zh") || corpus::matches_tag(language, "ja") { cjk } else { 1.0 - cjk };
    if histogram.letters() > 0 && share < MIN_SCRIPT_SHARE {
        Err(Refusal::measured("other_language", share, MIN_SCRIPT_SHARE))
    } else {
        Ok(())
    }
}

/// The bytes of the answer in the document: the teacher's own span if it holds, else the first occurrence;
/// `Ok(None)` if it only occurs after normalisation.
pub fn ground(pair: &Pair, text: &str) -> Result<Option<(usize, usize)>, Refusal> {
    let answer = pair.answer.trim();
    if let Some((from, to)) = pair.span
        && text.get(from..to) == Some(answer)
    {
        return Ok(Some((from, to)));
    }
    if let Some(at) = text.find(answer) {
        return Ok(Some((at, at + answer.len())));
    }
    // Unit by unit, so that "lim" is not found in "Lima"; Chinese is compared character by character.
    let (whole, part) = (corpus::normalize(text), corpus::normalize(answer));
    let whole: Vec<&str> = corpus::units(&whole).map(|u| u.text).collect();
    let part: Vec<&str> = corpus::units(&part).map(|u| u.text).collect();
    let found = !part.is_empty() && whole.windows(part.len()).any(|w| w == part);
    if found { Ok(None) } else { Err(Refusal::new("not_in_document")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut table: toml::Table = toml::from_str(include_str!("default.toml")).unwrap();
        table.insert("documents".into(), "crawl-clean".into());
        table.insert("decontaminate".into(), toml::Value::Array(vec![]));
        table.try_into().unwrap()
    }

    fn pair(question: &str, answer: &str) -> Pair {
        Pair { question: question.into(), answer: answer.into(), rule: None, span: None }
    }

    #[test]
    fn shapes() {
        let check = |q: &str, a: &str| check_shape(&pair(q, a), &config()).err().map(|r| r.reason);
        assert_eq!(check("What is the capital of Peru?", "Lima"), None);
        assert_eq!(check("秘鲁的首都是哪里？", "利马"), None);
        assert_eq!(check("What is the capital of Peru?", "  "), Some("empty_answer"));
        assert_eq!(check("What is the capital of Peru?", "。"), Some("empty_answer"));
        assert_eq!(check("Why?", "so"), Some("question_too_short"));
        assert_eq!(check(&format!("{}?", "x".repeat(300)), "so"), Some("question_too_long"));
        assert_eq!(check("What is long enough?", &"x".repeat(300)), Some("answer_too_long"));
        assert_eq!(check("Name the capital of Peru.", "Lima"), Some("no_question_mark"));
        assert_eq!(check("What is\u{7}this thing?", "x"), Some("control_character"));
        assert_eq!(check("What is the capital of Peru?", "It is not mentioned."), Some("evasive_answer"));
        assert_eq!(check("Is Lima the capital of Peru?", "Lima"), Some("answer_in_question"));
        assert_eq!(check("What does the text say about Peru?", "much"), Some("needs_the_document"));
    }

    #[test]
    fn languages() {
        assert!(check_language(&pair("秘鲁的首都是哪里？", "Lima"), "zh-Hans").is_ok());
        assert_eq!(check_language(&pair("What is the capital?", "利马"), "zh-Hans").unwrap_err().reason, "other_language");
        assert_eq!(check_language(&pair("秘鲁的首都是哪里？", "Lima"), "en").unwrap_err().reason, "other_language");
    }

    #[test]
    fn grounding() {
        let text = "The capital of Peru is Lima. 秘鲁的首都是利马。Height: 6,768 metres.";
        let at = text.find("Lima").unwrap();
        assert_eq!(ground(&pair("?", "Lima"), text), Ok(Some((at, at + 4))));
        assert_eq!(ground(&pair("?", "利马"), text).unwrap().map(|s| &text[s.0..s.1]), Some("利马"));
        assert_eq!(ground(&pair("?", "lima"), text), Ok(None));
        assert_eq!(ground(&pair("?", "Cusco"), text).unwrap_err().reason, "not_in_document");
        assert_eq!(ground(&pair("?", "lim"), text).unwrap_err().reason, "not_in_document");
        let spanned = Pair { span: Some((4, 11)), ..pair("?", "capital") };
        assert_eq!(ground(&spanned, text), Ok(Some((4, 11))));
        let wrong = Pair { span: Some((0, 4)), ..pair("?", "Lima") };
        assert_eq!(ground(&wrong, text), Ok(Some((at, at + 4))));
    }
}
