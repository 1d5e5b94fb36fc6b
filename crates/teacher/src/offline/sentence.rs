//! Sentences made ready for the rules: tokens, the places where a clause begins, remarks left out, pronouns resolved.

use super::RuleLanguage;
use super::chinese;
use super::chinese_clauses;
use super::english;
use super::english_clauses;
use super::token::{self, Token, TokenKind};

/// One reading of a sentence.
pub(crate) struct Sentence<'a> {
    pub(crate) tokens: Vec<Token<'a>>,
    /// For each token, whether a clause begins there.
    pub(crate) starts: Vec<bool>,
    /// Tokens before the first word that casts doubt; a statement that reaches behind it is not taken.
    pub(crate) certain: usize,
}

/// What a sentence is about, for the pronouns of the next one.
#[derive(Debug, Clone)]
pub(crate) struct Topic<'a> {
    pub(crate) tokens: Vec<Token<'a>>,
    /// It was called the so-and-so of something else, and that could be meant as well.
    pub(crate) relative: bool,
}

/// The readings of one sentence: as it stands, without remarks in brackets, with its pronoun resolved.
pub(crate) struct Readings<'a> {
    pub(crate) variants: Vec<Sentence<'a>>,
}

/// Longest sentence looked at, in tokens (English) or characters (Chinese).
const MAX_TOKENS: usize = 80;

/// The sentences of a document that may state a fact.
pub(crate) fn sentences(text: &str, language: RuleLanguage) -> Vec<Readings<'_>> {
    let mut out = Vec::new();
    let mut topic: Option<Topic<'_>> = None;
    let mut last_end = 0;
    for range in corpus::sentences(text) {
        if text.get(last_end..range.start).is_none_or(|gap| gap.contains('\n')) {
            topic = None;
        }
        last_end = range.end;
        // A list item's mark is no part of what it says.
        let marked = &text[range.clone()];
        let piece = marked.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '*' | '•' | '·' | '#'));
        let range = range.end - piece.len()..range.end;
        let mut tokens = token::tokens(piece, range.start);
        if language == RuleLanguage::Chinese {
            chinese::prepare(&mut tokens);
        }
        // A line of keys and values, or a row of a table: what belongs to what is not said.
        let columns = |k: &str| tokens.iter().filter(|t| &*t.key == k).count();
        if columns(":") >= 3 || columns("|") >= 2 {
            topic = None;
            continue;
        }
        let limit = if language == RuleLanguage::Chinese { MAX_TOKENS * 2 } else { MAX_TOKENS };
        if tokens.len() > limit || tokens.len() < 3 || piece.trim_end().ends_with(['?', '？']) {
            topic = None;
            continue;
        }
        let reduced = without_remarks(&tokens);
        let base = if reduced.len() < tokens.len() { reduced } else { tokens.clone() };
        let resolved = match language {
            RuleLanguage::English => english_clauses::resolve(&base, topic.as_ref()),
            RuleLanguage::Chinese => chinese_clauses::resolve(&base, topic.as_ref()),
        };
        topic = match language {
            RuleLanguage::English if english_clauses::stays(&base) => topic,
            RuleLanguage::English => english_clauses::topic(resolved.as_deref().unwrap_or(&base)),
            RuleLanguage::Chinese => chinese_clauses::topic(resolved.as_deref().unwrap_or(&base)),
        };
        let mut variants = Vec::new();
        let plain = resolved.unwrap_or_else(|| base.clone());
        if language == RuleLanguage::English {
            variants.extend(english_clauses::without_asides(&plain).into_iter().map(|v| ready(v, language)));
        }
        variants.insert(0, ready(plain, language));
        if base.len() < tokens.len() {
            variants.push(ready(tokens, language));
        }
        out.push(Readings { variants });
    }
    out
}

fn ready(tokens: Vec<Token<'_>>, language: RuleLanguage) -> Sentence<'_> {
    let starts = match language {
        RuleLanguage::English => english_clauses::clause_starts(&tokens),
        RuleLanguage::Chinese => chinese_clauses::clause_starts(&tokens),
    };
    let certain = match language {
        RuleLanguage::English => tokens.iter().position(|t| english::is_doubt(&t.key)),
        RuleLanguage::Chinese => chinese::first_doubt(&tokens),
    };
    let certain = certain.unwrap_or(tokens.len());
    Sentence { tokens, starts, certain }
}

/// The tokens without what stands in brackets.
fn without_remarks<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut depth = 0usize;
    for token in tokens {
        let mark = token.kind == TokenKind::Mark;
        if mark && matches!(&*token.key, "(" | "[" | "【") {
            depth += 1;
        } else if mark && matches!(&*token.key, ")" | "]" | "】") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 {
            out.push(token.clone());
        }
    }
    if depth > 0 { tokens.to_vec() } else { out }
}
