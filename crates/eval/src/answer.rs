//! When an answer counts as right, and when as being of the right kind.
//!
//! Comparison is exact after a light normalisation: Unicode NFKC (full-width forms become plain ones), lower case,
//! white space reduced to single spaces and dropped beside Han and Kana, punctuation dropped at either end, and an English
//! article dropped at the beginning (SQuAD's scorer drops all of them).
//! Word order and spelling stay as they are: what else should count is written down as an alias of the answer.

use std::collections::{BTreeMap, BTreeSet};

use handoff::{Digest, DigestBuilder};
use unicode_normalization::UnicodeNormalization;

/// The form in which two answers are compared.
pub fn normalize(answer: &str) -> String {
    let mut out = String::with_capacity(answer.len());
    for c in answer.nfkc().flat_map(char::to_lowercase) {
        if c.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            if out.ends_with(' ') && (is_unspaced(c) || out.chars().rev().nth(1).is_some_and(is_unspaced)) {
                out.pop();
            }
            out.push(c);
        }
    }
    let trimmed = out.trim_matches(is_edge);
    let bare = ["the ", "a ", "an "].iter().find_map(|article| trimmed.strip_prefix(article)).filter(|rest| !rest.is_empty());
    bare.unwrap_or(trimmed).to_owned()
}

/// Characters of scripts written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// White space and the punctuation that may stand around an answer without being part of it.
fn is_edge(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '.' | ','
                | ';'
                | ':'
                | '!'
                | '?'
                | '"'
                | '\''
                | '。'
                | '、'
                | '“'
                | '”'
                | '‘'
                | '’'
                | '「'
                | '」'
                | '『'
                | '』'
                | '《'
                | '》'
        )
}

/// True when `answer` equals one of the accepted answers after [`normalize`].
pub fn is_correct<S: AsRef<str>>(answer: &str, accepted: &[S]) -> bool {
    let got = normalize(answer);
    !got.is_empty() && accepted.iter().any(|a| normalize(a.as_ref()) == got)
}

/// True when a continued sentence begins with one of the accepted answers as a whole: `Paris, on the Seine` does for `Paris`,
/// `Parisians` does not.
pub fn begins_with<S: AsRef<str>>(continuation: &str, accepted: &[S]) -> bool {
    let got = normalize(continuation);
    accepted.iter().any(|a| {
        let wanted = normalize(a.as_ref());
        let rest = got.strip_prefix(&wanted).filter(|_| !wanted.is_empty());
        rest.is_some_and(|rest| wanted.ends_with(is_unspaced) || !rest.starts_with(char::is_alphanumeric))
    })
}

/// What kinds of answers there are: for each type and language, every answer known to be of it.
///
/// A type whose known answers are all numbers (with a unit or without) also takes any other number with one of the same units:
/// `27` is an answer of the right kind to "what is the atomic number of …" even where no element of the tasks has it.
#[derive(Debug, Clone, Default)]
pub struct AnswerTypes {
    types: BTreeMap<(String, String), Kind>,
}

#[derive(Debug, Clone, Default)]
struct Kind {
    known: BTreeSet<String>,
    canonical: BTreeSet<String>,
    not_a_number: bool,
    units: BTreeSet<String>,
}

impl Kind {
    fn learn(&mut self, answer: &str) {
        let normal = normalize(answer);
        match split_number(&normal) {
            Some(unit) => {
                self.units.insert(unit.to_owned());
            }
            None => self.not_a_number = true,
        }
        self.known.insert(normal);
    }
}

impl AnswerTypes {
    /// Adds an answer of a type in one language; `canonical` is the form that counts once for the size of the type, the others are its aliases.
    pub fn add<'a>(&mut self, answer_type: &str, language: &str, canonical: &'a str, others: impl IntoIterator<Item = &'a str>) {
        let kind = self.types.entry((answer_type.to_owned(), language.to_owned())).or_default();
        kind.canonical.insert(normalize(canonical));
        others.into_iter().chain([canonical]).for_each(|answer| kind.learn(answer));
    }

    /// Adds an answer that may be another one's alias: it is of the type, but does not count for its size.
    pub fn add_known(&mut self, answer_type: &str, language: &str, answer: &str) {
        self.types.entry((answer_type.to_owned(), language.to_owned())).or_default().learn(answer);
    }

    /// True when the answer is of the type, right or wrong.
    pub fn contains(&self, answer_type: &str, language: &str, answer: &str) -> bool {
        let Some(kind) = self.types.get(&(answer_type.to_owned(), language.to_owned())) else { return false };
        let normal = normalize(answer);
        kind.known.contains(&normal) || (!kind.not_a_number && split_number(&normal).is_some_and(|unit| kind.units.contains(unit)))
    }

    /// Digest of all known answers.
    pub fn digest(&self) -> Digest {
        let mut d = DigestBuilder::new();
        for ((answer_type, language), kind) in &self.types {
            d = d.field("type", answer_type).field("language", language);
            d = kind.known.iter().fold(d, |d, a| d.field("answer", a));
        }
        d.finish()
    }

    /// How many different answers of a type are known, aliases not counted; one over this is chance.
    pub fn size(&self, answer_type: &str, language: &str) -> usize {
        self.types.get(&(answer_type.to_owned(), language.to_owned())).map_or(0, |k| k.canonical.len())
    }
}

/// For a text that begins with a number, what follows it (a unit, or nothing).
fn split_number(normal: &str) -> Option<&str> {
    let body = normal.strip_prefix(['-', '−', '+']).unwrap_or(normal);
    let end = body.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(body.len());
    (body.starts_with(|c: char| c.is_ascii_digit())).then(|| body[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_does_not_matter_but_content_does() {
        let yes = [
            (" Paris.", "Paris"),
            ("paris", "Paris"),
            ("珠穆朗玛峰。", "珠穆朗玛峰"),
            (" 珠穆 朗玛峰 ", "珠穆朗玛峰"),
            ("《红楼梦》", "红楼梦"),
            ("１００ °C", "100 °C"),
            ("New   Delhi", "new delhi"),
            ("Washington, D.C.", "Washington, D.C"),
        ];
        for (got, want) in yes {
            assert!(is_correct(got, &[want]), "{got} / {want}");
        }
        let no = [("Parish", "Paris"), ("", "Paris"), ("the", "Nile"), ("。", "Paris"), ("NewDelhi", "New Delhi"), ("珠峰", "珠穆朗玛峰")];
        for (got, want) in no {
            assert!(!is_correct(got, &[want]), "{got} / {want}");
        }
        assert!(is_correct("珠峰", &["珠穆朗玛峰", "珠峰"]), "an alias counts");
        assert!(!is_correct("", &[""]), "saying nothing is never right");
    }

    #[test]
    fn a_continuation_begins_with_the_whole_answer() {
        assert!(begins_with("Paris, on the Seine.", &["Paris"]) && begins_with("珠穆朗玛峰，海拔最高", &["珠穆朗玛峰"]));
        assert!(begins_with("the Nile.", &["Nile", "the Nile"]));
        assert!(!begins_with("Parisians", &["Paris"]) && !begins_with("in Paris", &["Paris"]) && !begins_with("", &[""]));
    }

    #[test]
    fn types_hold_names_and_numbers() {
        let mut types = AnswerTypes::default();
        types.add("city", "en", "Paris", []);
        types.add("city", "en", "New York", ["New York City"]);
        types.add("city", "zh", "巴黎", []);
        types.add("atomic_number", "en", "26", []);
        types.add("boiling_point", "zh", "100摄氏度", ["100 °C"]);
        assert!(types.contains("city", "en", "new york city."));
        assert!(!types.contains("city", "en", "Euro"));
        assert!(!types.contains("city", "en", "12"), "a number is no city");
        assert!(!types.contains("city", "zh", "Paris"), "the right kind in the wrong language");
        assert!(types.contains("atomic_number", "en", "27"));
        assert!(!types.contains("atomic_number", "en", "27 km"));
        assert!(types.contains("boiling_point", "zh", "-33.3摄氏度"));
        assert!(!types.contains("boiling_point", "zh", "摄氏度"));
        assert_eq!(types.size("city", "en"), 2, "an alias is no answer of its own");
        assert_eq!(types.size("river", "en"), 0);
    }
}
