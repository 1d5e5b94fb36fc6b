//! Clauses of an English sentence: where they begin, what they are about, and readings that are easier to match.

use super::english::{is_closed, key, name, name_end};
use super::token::Token;

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
pub(crate) fn topic<'a>(tokens: &[Token<'a>]) -> Option<Vec<Token<'a>>> {
    let mut spans = Vec::new();
    name(tokens, 0, &mut spans);
    let span = spans.first()?;
    let verb = key(tokens, span.to);
    let fits = COPULAS.contains(&verb) && !matches!(key(tokens, span.from), "this" | "these" | "he" | "she" | "there" | "they");
    fits.then(|| tokens[span.from..span.to].to_vec())
}

/// The tokens with "it" and "its" at the head of a clause replaced by what they stand for: the subject of this sentence,
/// or `topic`, the subject of the one before.
pub(crate) fn resolve<'a>(tokens: &[Token<'a>], topic_before: Option<&[Token<'a>]>) -> Option<Vec<Token<'a>>> {
    let pronoun = |t: &Token<'_>| matches!(&*t.key, "it" | "its");
    if !tokens.iter().any(pronoun) {
        return None;
    }
    let own = topic(tokens);
    let starts = clause_starts(tokens);
    let mut out = Vec::with_capacity(tokens.len() + 4);
    let mut changed = false;
    for (i, token) in tokens.iter().enumerate() {
        let referent = if i == 0 { topic_before } else { own.as_deref().or(topic_before.filter(|_| pronoun(&tokens[0]))) };
        match referent {
            Some(name) if pronoun(token) && starts[i] => {
                out.extend(name.iter().cloned());
                if &*token.key == "its" {
                    out.push(Token { text: "'s", key: "'s".into(), ..token.clone() });
                }
                changed = true;
            }
            _ => out.push(token.clone()),
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
            "is" | "was" | "has" | "lies" | "stands" | "rises" | "flows" | "uses" | "serves" | "boils" | "melts" | "orbits" | "remains"
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
        if let Some(from) = start {
            out.push(tokens[from..i - 1].iter().chain(&tokens[i + 1..]).cloned().collect());
        }
    }
    out
}
