//! A teacher that is no model: questions and answers from a document's own sentences, by rule, in English and Chinese.
//!
//! Every answer is a span of the document, so it is grounded by construction; the question is put together from other
//! spans of the same sentence. Statements that are doubted, negated, about "it" without a clear referent, or about
//! something too vague to ask for are left alone: few pairs, but plain ones.
//! Pairs that the page asks and answers itself are taken first, and short definitions last.

mod chinese;
mod chinese_clauses;
mod chinese_names;
mod chinese_questions;
mod chinese_rules;
#[rustfmt::skip] // lists of words, a paragraph each
mod chinese_words;
mod english;
mod english_clauses;
mod english_questions;
mod english_rules;
mod english_tables;
#[rustfmt::skip]
mod english_words;
mod faq;
mod pattern;
mod sentence;
mod teacher;
mod token;
mod variants;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use pattern::{Captures, Grammar, Pattern, Span, Spans};
use sentence::Sentence;
use token::Token;

pub use teacher::OfflineTeacher;

/// Version of the rules; part of every request to the offline teacher, so that better rules ask again.
pub const RULES_VERSION: u32 = 2;

/// The language whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleLanguage {
    /// English.
    English,
    /// Chinese, simplified or traditional.
    Chinese,
}

impl RuleLanguage {
    /// The rules for a language tag, if there are any: `en…` or `zh…`.
    pub fn of(tag: &str) -> Option<RuleLanguage> {
        if corpus::matches_tag(tag, "en") {
            Some(RuleLanguage::English)
        } else if corpus::matches_tag(tag, "zh") {
            Some(RuleLanguage::Chinese)
        } else {
            None
        }
    }
}

/// A question and its answer in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The question.
    pub question: String,
    /// The answer: bytes of the document.
    pub answer: Range<usize>,
    /// The rule that found it.
    pub rule: &'static str,
}

/// A rule as its table writes it.
pub(crate) struct Rule {
    /// Its name, the same for rules of one kind.
    pub(crate) name: &'static str,
    /// The question, or the name of the function that makes it.
    pub(crate) ask: &'static str,
    /// What `%1` and `%2` stand for, one pass for each row.
    pub(crate) each: &'static [(&'static str, &'static str)],
    /// Its patterns, the first that matches at a place wins.
    pub(crate) patterns: &'static [&'static str],
}

/// A rule ready to run.
struct Compiled {
    name: &'static str,
    ask: String,
    pattern: Pattern,
}

/// Compiles a table; a faulty pattern is left out, which the test of the tables does not allow.
fn compile(rules: &[Rule], macros: &[(&str, &str)]) -> Vec<Compiled> {
    let mut out = Vec::new();
    for rule in rules {
        for (one, two) in rule.each {
            let put = |s: &str| s.replace("%1", one).replace("%2", two);
            for source in rule.patterns {
                match Pattern::parse(&put(source), macros) {
                    Ok(pattern) => out.push(Compiled { name: rule.name, ask: put(rule.ask), pattern }),
                    Err(problem) => debug_assert!(false, "{problem}"),
                }
            }
        }
    }
    out
}

static ENGLISH: LazyLock<Vec<Compiled>> = LazyLock::new(|| compile(english_rules::RULES, english_rules::MACROS));
static CHINESE: LazyLock<Vec<Compiled>> = LazyLock::new(|| compile(chinese_rules::RULES, chinese_rules::MACROS));

/// What a rule's question is made from.
pub(crate) struct Match<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: &'a [Token<'a>],
    pub(crate) captures: Captures,
    /// Tokens the pattern covered.
    pub(crate) covered: Range<usize>,
    pub(crate) name: &'static str,
    pub(crate) ask: &'a str,
    /// Lower-case words of the whole document.
    pub(crate) lower_words: &'a HashSet<&'a str>,
}

impl<'a> Match<'a> {
    /// The bytes of a span, if its tokens stand side by side in the document.
    pub(crate) fn bytes(&self, span: Span) -> Option<Range<usize>> {
        let (first, last) = (self.tokens.get(span.from)?, self.tokens.get(span.to.checked_sub(1)?)?);
        let together = span.to > span.from && last.index.checked_sub(first.index)? == span.to - 1 - span.from && first.start < last.end;
        together.then_some(first.start..last.end)
    }

    /// The text of slot `name`.
    pub(crate) fn slot(&self, name: char) -> Option<&'a str> {
        let range = self.bytes(self.captures.get(name)?)?;
        self.text.get(range)
    }
}

/// Ways to match a pattern at one place that are looked at.
const MAX_WAYS: usize = 6;

/// Finds pairs in a document: at most one for each question, those of the page's own questions first, then by position.
pub fn find(text: &str, language: RuleLanguage) -> Vec<Found> {
    let mut out = faq::find(text, language);
    let mut seen: HashSet<String> = out.iter().map(|f| corpus::normalize(&f.question)).collect();
    let (rules, grammar): (&[Compiled], &dyn Grammar) = match language {
        RuleLanguage::English => (&ENGLISH, &english::English),
        RuleLanguage::Chinese => (&CHINESE, &chinese::Chinese),
    };
    let lower_words: HashSet<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '-').filter(|w| w.chars().next().is_some_and(char::is_lowercase)).collect();
    for sentence in sentence::sentences(text, language) {
        for Sentence { tokens, starts, certain } in sentence.variants {
            let words: HashSet<&str> = tokens.iter().map(|t| &*t.key).collect();
            let joined: String = tokens.iter().map(|t| &*t.key).collect();
            if language == RuleLanguage::English {
                for (question, answer) in english_questions::abbreviations(text, &tokens[..certain.min(tokens.len())]) {
                    if seen.insert(corpus::normalize(&question)) {
                        out.push(Found { question, answer, rule: "en-stands-for" });
                    }
                }
            }
            let spans = Spans::new(grammar, &tokens);
            for rule in rules.iter().filter(|r| r.pattern.may_match(&words, &joined)) {
                for at in (0..certain).filter(|&at| rule.pattern.floating || starts[at]) {
                    let mut made = None;
                    let mut ways = 0;
                    rule.pattern.match_at(&spans, at, &mut |end, captures| {
                        ways += 1;
                        let found = Match {
                            text,
                            tokens: &tokens,
                            captures,
                            covered: at..end,
                            name: rule.name,
                            ask: &rule.ask,
                            lower_words: &lower_words,
                        };
                        if end <= certain {
                            made = match language {
                                RuleLanguage::English => english_questions::ask(&found),
                                RuleLanguage::Chinese => chinese_questions::ask(&found),
                            };
                        }
                        // Where a word ends is a guess in Chinese, so another way to match may be the right one.
                        made.is_some() || ways >= if language == RuleLanguage::English { 1 } else { MAX_WAYS }
                    });
                    let Some((question, answer)) = made else { continue };
                    if seen.insert(corpus::normalize(&question)) {
                        out.push(Found { question, answer, rule: rule.name });
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_tables_parses() {
        for (rules, macros) in [(english_rules::RULES, english_rules::MACROS), (chinese_rules::RULES, chinese_rules::MACROS)] {
            for rule in rules {
                for (one, two) in rule.each {
                    for source in rule.patterns {
                        let put = source.replace("%1", one).replace("%2", two);
                        Pattern::parse(&put, macros).unwrap_or_else(|e| panic!("{}: {e}: {put}", rule.name));
                    }
                }
            }
        }
    }
}
