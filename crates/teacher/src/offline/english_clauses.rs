//! Clauses of an English sentence: where they begin, what they are about, and readings that are easier to match.

use super::english::{is_closed, is_superlative, key, name, name_end};
use super::sentence::Topic;
use super::token::Token;

/// Attributes that a page tells of a place, and hardly ever of its capital or its mountain.
const OF_PLACES: &[&str] =
    &["capital", "currency", "language", "languages", "flag", "anthem", "president", "code", "money", "king", "queen", "government"];

/// Verbs and nouns before "that" which vouch for what follows.
const SAYING: &[&str] = &[
    "know", "knows", "says", "say", "note", "noted", "notes", "remember", "learn", "teach", "teaches", "mention", "fact", "tells", "show",
    "shows", "known",
];

const COPULAS: &[&str] = &[
    "is", "was", "are", "has", "lies", "sits", "uses", "stands", "covers", "belongs", "borders", "occupies", "orbits", "boils", "melts",
    "rises", "flows",
];

/// Where a clause begins: at the start, behind a comma or another mark, behind a conjunction that joins clauses.
pub(crate) fn clause_starts(tokens: &[Token<'_>]) -> Vec<bool> {
    let finite = |range: std::ops::Range<usize>| {
        tokens[range].iter().any(|t| {
            COPULAS.contains(&&*t.key)
                || matches!(&*t.key, "were" | "have" | "had")
                || (t.is_lower() && (t.key.ends_with("ed") || t.key.ends_with("es")))
        })
    };
    // A sentence that opens with an adverb or a preposition has its main clause behind the first comma.
    let opener = tokens
        .first()
        .is_some_and(|t| is_closed(&t.key) && !matches!(&*t.key, "the" | "a" | "an") || t.key.ends_with("ly") || t.key.ends_with("ing"));
    let mut begun = 0;
    (0..tokens.len())
        .map(|i| {
            if i == 0 {
                return true;
            }
            let start = match &*tokens[i - 1].key {
                "\"" | "“" | "‘" => i == 1,
                ";" | ":" | "—" | "–" | "(" | "-" => true,
                "," => (opener || finite(begun..i - 1)) && !matches!(&*tokens[i].key, "and" | "but"),
                "and" | "but" | "while" | "whereas" | "so" | "because" => finite(begun..i - 1),
                "that" => i >= 2 && SAYING.contains(&&*tokens[i - 2].key),
                _ => false,
            };
            if start {
                begun = i;
            }
            start
        })
        .collect()
}

/// What a sentence is about, if it says so plainly: its subject, before "is", "has" or the like.
pub(crate) fn topic<'a>(tokens: &[Token<'a>]) -> Option<Topic<'a>> {
    let mut spans = Vec::new();
    name(tokens, 0, &mut spans);
    let span = spans.first()?;
    let verb = key(tokens, span.to);
    let fits = COPULAS.contains(&verb)
        && !(verb == "stands" && key(tokens, span.to + 1) == "for")
        && !matches!(key(tokens, span.from), "this" | "these" | "he" | "she" | "there" | "they");
    fits.then(|| Topic { tokens: tokens[span.from..span.to].to_vec(), relative: is_relative(&tokens[span.to + 1..]) })
}

/// True for a predicate like "the capital of Peru" or "Peru's capital": what comes next may speak of Peru.
fn is_relative(predicate: &[Token<'_>]) -> bool {
    let clause = predicate.iter().position(|t| matches!(&*t.key, "," | ";" | "which" | "who" | "that")).unwrap_or(predicate.len());
    let capital = |i: usize| {
        let i = i + usize::from(key(predicate, i) == "the");
        predicate.get(i).is_some_and(Token::is_capital)
    };
    let mut definite = false;
    (0..clause).any(|i| {
        let k = key(predicate, i);
        definite |= matches!(k, "the" | "its");
        (definite && matches!(k, "of" | "for" | "in" | "on" | "to") && capital(i + 1)) || (k == "'s" && i > 0 && capital(i - 1))
    })
}

/// True if a sentence says "X is its capital": it goes on about what "its" stands for.
pub(crate) fn stays(tokens: &[Token<'_>]) -> bool {
    tokens.windows(2).any(|w| is_be(&w[0].key) && &*w[1].key == "its")
}

fn is_be(key: &str) -> bool {
    matches!(key, "is" | "was" | "are" | "remains")
}

/// True for an attribute that places have, at `at`: of "X is the capital of Y. Its …" either could be meant.
fn is_of_place(tokens: &[Token<'_>], at: usize) -> bool {
    let words = |i: usize| tokens.get(i).is_some_and(Token::is_lower);
    let end = (at..at + 5).find(|&i| !words(i) || is_closed(key(tokens, i))).unwrap_or(at + 5);
    (at..end).any(|i| is_superlative(key(tokens, i)) || OF_PLACES.contains(&key(tokens, i)))
}

/// The tokens with "it" and "its" at the head of a clause, and the "its" of "is its", replaced by what they stand for: the
/// subject of this sentence, or `before`, the subject of the one before.
pub(crate) fn resolve<'a>(tokens: &[Token<'a>], before: Option<&Topic<'a>>) -> Option<Vec<Token<'a>>> {
    let pronoun = |t: &Token<'_>| matches!(&*t.key, "it" | "its");
    if !tokens.iter().any(pronoun) {
        return None;
    }
    let own = topic(tokens);
    let starts = clause_starts(tokens);
    let mut out = Vec::with_capacity(tokens.len() + 4);
    let mut changed = false;
    let mut clause = 0;
    for (i, token) in tokens.iter().enumerate() {
        if starts[i] {
            clause = i;
        }
        let heads = starts[i];
        let attribute = !heads && &*token.key == "its" && i > 0 && is_be(key(tokens, i - 1)) && is_of_place(tokens, i + 1);
        let referent = if clause == 0 { before } else { own.as_ref().or(before.filter(|_| pronoun(&tokens[0]))) };
        let unsure = |t: &Topic<'_>| &*token.key == "its" && t.relative && is_of_place(tokens, i + 1);
        match referent.filter(|t| pronoun(token) && (heads || attribute) && !unsure(t)) {
            Some(topic) => {
                out.extend(topic.tokens.iter().cloned());
                if &*token.key == "its" {
                    out.push(Token { text: "'s", key: "'s".into(), ..token.clone() });
                }
                changed = true;
            }
            None => out.push(token.clone()),
        }
    }
    changed.then_some(out)
}

/// Readings in which a name meets its verb: "Kilimanjaro, at 5,895 metres, is …" without the aside, and
/// "…, Huascarán, which rises …" from the name on without "which".
pub(crate) fn without_asides<'a>(tokens: &[Token<'a>]) -> Vec<Vec<Token<'a>>> {
    let mut out = Vec::new();
    let mut spans = Vec::new();
    name(tokens, 0, &mut spans);
    if let Some(first) = spans.first()
        && key(tokens, first.to) == ","
        && let Some(close) = (first.to + 2..tokens.len().min(first.to + 16)).find(|&i| key(tokens, i) == ",")
        && matches!(
            key(tokens, close + 1),
            "is" | "was"
                | "has"
                | "lies"
                | "stands"
                | "rises"
                | "flows"
                | "empties"
                | "uses"
                | "serves"
                | "boils"
                | "melts"
                | "orbits"
                | "remains"
        )
    {
        out.push(tokens[..first.to].iter().chain(&tokens[close + 1..]).cloned().collect());
    }
    for i in 1..tokens.len().saturating_sub(1) {
        if &*tokens[i].key != "which" || key(tokens, i - 1) != "," || i < 2 {
            continue;
        }
        let start =
            (0..i - 1).rev().take(7).find(|&from| name_end(tokens, from) == i - 1 && (from == 0 || name_end(tokens, from - 1) != i - 1));
        // "Lincoln's Office, which": only a part of the name, or of somebody.
        let partly = |from: usize| {
            let before = from.checked_sub(1).map_or(",", |i| key(tokens, i));
            let whole = before == "," || is_closed(before);
            !whole || matches!(before, "'s" | "'" | "’") || (from > 0 && tokens[from - 1].is_capital())
        };
        // "a nightclub at Caesars Palace, which": of the two, the club may be meant.
        let further = |from: usize| {
            let before = from - usize::from(from > 0 && key(tokens, from - 1) == "the");
            before > 0
                && matches!(key(tokens, before - 1), "at" | "in" | "of" | "on" | "near" | "for" | "from" | "by" | "with" | "to")
                && tokens[..before].iter().any(|t| &*t.key == ",")
        };
        if let Some(from) = start.filter(|&f| !(partly(f) || further(f))) {
            let from = from - usize::from(from > 0 && key(tokens, from - 1) == "the");
            out.push(tokens[from..i - 1].iter().chain(&tokens[i + 1..]).cloned().collect());
        }
    }
    out
}
