//! English questions from what a rule captured.

use std::ops::Range;

use super::Match;
use super::english::{is_closed, is_superlative, is_term, is_vague};
use super::english_words::*;
use super::pattern::Span;
use super::token::{Token, TokenKind};

/// The question and the answer's bytes, or nothing if the match does not make a plain question.
pub(crate) fn ask(m: &Match<'_>) -> Option<(String, Range<usize>)> {
    let answer = answer(m)?;
    let question = match m.ask {
        "relation" => relation(m, false)?,
        "relation-inverse" => relation(m, true)?,
        "superlative" => superlative(m)?,
        "symbol" => symbol(m)?,
        "definition" => return definition(m, answer),
        "continent" => return continent(m, answer),
        "where" => place(m, &answer)?,
        template => fill(m, template)?,
    };
    (!repeats(m, &answer)).then_some((question, answer))
}

/// The answer's bytes, without a leading article or a closing mark.
fn answer(m: &Match<'_>) -> Option<Range<usize>> {
    let range = m.bytes(m.captures.get('V')?)?;
    let text = m.text.get(range.clone())?;
    let short = text.strip_prefix("the ").unwrap_or(text);
    let start = range.end - short.len();
    let short = short.trim_end_matches([',', '.', ';', ':', ' ']);
    let words = short.split_whitespace().count();
    (!short.is_empty() && words <= 12).then_some(start..start + short.len())
}

/// True if the answer stands in the subject or the other way round.
fn repeats(m: &Match<'_>, answer: &Range<usize>) -> bool {
    let Some(y) = m.slot('Y') else { return false };
    let (y, v) = (corpus::normalize(y), corpus::normalize(&m.text[answer.clone()]));
    v.is_empty() || y == v || format!(" {y} ").contains(&format!(" {v} "))
}

/// The subject as a question writes it: an article small, a common noun from the start of a sentence small.
fn subject(m: &Match<'_>) -> Option<String> {
    let span = m.captures.get('Y')?;
    let text = m.slot('Y')?;
    let first = &m.tokens[span.from];
    let key = &*first.key;
    if is_pronoun(key) || (is_closed(key) && !matches!(key, "the" | "a" | "an")) {
        return None;
    }
    if m.tokens[span.from..span.to].iter().any(|t| t.kind == TokenKind::Mark && !matches!(&*t.key, "-" | "." | "&")) {
        return None;
    }
    if DIRECTIONS.contains(&key) && m.tokens.get(span.from + 1).is_some_and(|t| &*t.key == "of") {
        return None;
    }
    if m.name == "en-makes"
        && first.is_lower()
        && (key.ends_with('s') && span.to == span.from + 1
            || m.ask.starts_with("Who wrote")
            || m.ask.starts_with("Who painted")
            || m.ask.starts_with("Who composed"))
        && !is_term(key)
    {
        return None;
    }
    if GENERIC.contains(&key) && span.to == span.from + 1 {
        return None;
    }
    if key == "the" && span.to > span.from + 1 {
        return Some(format!("the {}", m.text.get(m.bytes(Span { from: span.from + 1, ..span })?)?));
    }
    let common = is_term(key) || (m.lower_words.contains(key) && span.to == span.from + 1);
    if first.is_capital() && common && first.text.chars().skip(1).all(char::is_lowercase) && begins_sentence(m, span.from) {
        return Some(format!("{key}{}", &text[first.text.len()..]));
    }
    Some(text.to_owned())
}

fn is_pronoun(key: &str) -> bool {
    matches!(
        key,
        "it" | "its"
            | "he"
            | "she"
            | "they"
            | "this"
            | "that"
            | "these"
            | "those"
            | "there"
            | "his"
            | "her"
            | "their"
            | "we"
            | "you"
            | "i"
            | "who"
            | "which"
            | "what"
    )
}

/// True if only marks stand before token `at` in its own sentence.
fn begins_sentence(m: &Match<'_>, at: usize) -> bool {
    m.tokens[at].index == 0 || m.tokens[..at].iter().all(|t| t.kind == TokenKind::Mark)
}

/// Puts captures into a template: `{Y}` the subject, `{N1}` a noun in the singular, others as they stand.
fn fill(m: &Match<'_>, template: &str) -> Option<String> {
    let mut out = String::with_capacity(template.len() + 24);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let close = rest[open..].find('}')? + open;
        match &rest[open + 1..close] {
            "Y" => out.push_str(&subject(m)?),
            "N1" => {
                let nouns = m.slot('N')?;
                let (before, head) = nouns.rsplit_once(' ').map_or(("", nouns), |(a, b)| (a, b));
                if !before.is_empty() {
                    out.push_str(before);
                    out.push(' ');
                }
                out.push_str(&canonical_noun(&singular(head)));
            }
            "X" => out.push_str(&canonical_adjective(m.slot('X')?)),
            slot => out.push_str(m.slot(slot.chars().next()?)?),
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    let article_wrong = [" a a", " a e", " a i", " a o", " a hour"].iter().find(|w| out.contains(**w)).copied();
    if let Some(wrong) = article_wrong {
        out = out.replace(wrong, &wrong.replacen(" a ", " an ", 1));
    }
    Some(out)
}

fn singular(noun: &str) -> String {
    match noun {
        "cities" | "countries" => format!("{}y", &noun[..noun.len() - 3]),
        "volcanoes" => "volcano".into(),
        _ => noun.strip_suffix('s').unwrap_or(noun).to_owned(),
    }
}

fn canonical_noun(noun: &str) -> String {
    match noun {
        "peak" | "summit" | "mount" => "mountain",
        "waterway" | "stream" => "river",
        other => other,
    }
    .to_owned()
}

fn canonical_adjective(adjective: &str) -> String {
    match adjective {
        "tallest" | "loftiest" => "highest",
        "biggest" => "largest",
        "lengthiest" => "longest",
        other => other,
    }
    .to_owned()
}

fn head<'a>(x: &'a str) -> &'a str {
    x.rsplit(' ').next().unwrap_or(x)
}

/// True if the match speaks of the past: "was" and no "is".
fn past(m: &Match<'_>) -> bool {
    let has = |w: &str| m.tokens[m.covered.clone()].iter().any(|t| &*t.key == w);
    has("was") && !has("is")
}

fn is_name(token: &Token<'_>) -> bool {
    token.is_capital()
}

/// "What is the X of Y?"
fn relation(m: &Match<'_>, inverse: bool) -> Option<String> {
    let x = m.slot('X')?;
    let value = m.captures.get('V')?;
    if x.split(' ').next().is_some_and(is_superlative) {
        return if inverse || is_name(&m.tokens[value.from]) { superlative(m) } else { None };
    }
    let h = head(x);
    let person = PERSON_HEADS.contains(&h);
    let quantity = m.tokens[value.from].kind == TokenKind::Number || NUMBER_WORDS.contains(&&*m.tokens[value.from].key);
    let named = m.tokens[value.from..value.to].iter().any(is_name);
    if h == "symbol" || h == "abbreviation" || h == "points" || h == "point" && !quantity {
        return None;
    }
    if inverse && !person && !INVERSE_HEADS.contains(&h) {
        return None;
    }
    if !quantity && !named && !BARE_HEADS.contains(&h) && !SURE_HEADS.contains(&h) {
        return None;
    }
    if !quantity && !named && SURE_HEADS.contains(&h) && h == "capital" {
        return None;
    }
    if quantity && (is_vague(h) || matches!(h, "number" | "currency" | "capital")) {
        return None;
    }
    if person && (quantity || !named) {
        return None;
    }
    let y = subject(m)?;
    let lower_subject = m.tokens[m.captures.get('Y')?.from].is_lower();
    if lower_subject && named && !BARE_HEADS.contains(&h) {
        return None;
    }
    let x = canonical_relation(x);
    let plural = m.tokens[m.covered.clone()].iter().any(|t| &*t.key == "are") && h.ends_with('s') && !h.ends_with("ss");
    let was = past(m);
    let (who, be) = match (person, was, plural) {
        (true, false, _) => ("Who", "is"),
        (true, true, _) => ("Who", "was"),
        (false, _, true) => ("What", "are"),
        (false, true, _) => ("What", "was"),
        _ => ("What", "is"),
    };
    Some(format!("{who} {be} the {x} of {y}?"))
}

/// "official currency" and "unit of currency" are "currency", "capital city" is "capital".
fn canonical_relation(x: &str) -> String {
    let x = x.to_lowercase().replace("si unit", "SI unit");
    match x.as_str() {
        "capital city" | "national capital" | "official capital" | "federal capital" => "capital".into(),
        "official currency" | "national currency" | "unit of currency" | "monetary unit" | "legal currency" | "local currency"
        | "only currency" | "main currency" => "currency".into(),
        _ => x,
    }
}

/// "What is the highest mountain in Y?"
fn superlative(m: &Match<'_>) -> Option<String> {
    let x = m.slot('X')?;
    let value = m.captures.get('V')?;
    if !m.tokens[value.from..value.to].iter().any(is_name) {
        return None;
    }
    let h = head(x).to_lowercase();
    let mut words: Vec<String> = x.split(' ').map(|w| canonical_adjective(&w.to_lowercase())).collect();
    let y = subject(m)?;
    let mountainous = ["Mount", "Alps", "Mountains", "Range", "Himalaya"].iter().any(|w| y.contains(w));
    if let Some(last) = words.last_mut()
        && !(mountainous && matches!(last.as_str(), "peak" | "summit"))
    {
        *last = canonical_noun(last);
    }
    let geographic = GEOGRAPHIC.contains(&h.as_str());
    let before = |w: &str| m.captures.get('Y').is_some_and(|s| s.from > 0 && &*m.tokens[s.from - 1].key == w);
    let from_to =
        m.tokens.get(m.captures.get('Y')?.from.wrapping_sub(1)).map(|t| t.key.to_string()).filter(|k| matches!(k.as_str(), "from" | "to"));
    let preposition = match from_to {
        Some(p) => p,
        None if before("on") => "on".into(),
        None if geographic || before("in") || before("within") => "in".into(),
        None => "of".into(),
    };
    let who = if PERSON_HEADS.contains(&h.as_str()) { "Who" } else { "What" };
    let be = if past(m) { "was" } else { "is" };
    Some(format!("{who} {be} the {} {preposition} {y}?", words.join(" ")))
}

fn symbol(m: &Match<'_>) -> Option<String> {
    let y = subject(m)?;
    let span = m.captures.get('Y')?;
    let element = m.tokens[span.from..span.to].iter().any(|t| is_term(&t.key));
    let chemical = element || m.tokens.iter().any(|t| matches!(&*t.key, "chemical" | "chemists" | "periodic" | "element" | "atomic"));
    let v = m.tokens[m.captures.get('V')?.from].text;
    if chemical && !v.chars().next().is_some_and(char::is_uppercase) {
        return None;
    }
    Some(format!("What is the {} of {y}?", if chemical { "chemical symbol" } else { "symbol" }))
}

const TRADES: &[&str] = &[
    "er",
    "or",
    "ist",
    "ian",
    "eer",
    "eon",
    "poet",
    "king",
    "queen",
    "saint",
    "pope",
    "chef",
    "pilot",
    "monk",
    "nun",
    "emperor",
    "scholar",
    "politician",
    "man",
    "woman",
];
const NO_TRADE: &[&str] = &[
    "river",
    "number",
    "member",
    "letter",
    "paper",
    "order",
    "power",
    "tower",
    "water",
    "computer",
    "former",
    "other",
    "major",
    "minor",
    "motor",
    "colour",
    "color",
    "behaviour",
    "sector",
    "vector",
    "matter",
    "layer",
    "christian",
    "italian",
    "asian",
    "russian",
    "indian",
    "german",
    "roman",
    "canadian",
    "australian",
    "norwegian",
    "hungarian",
    "ukrainian",
    "brazilian",
    "egyptian",
    "polymer",
    "container",
    "border",
    "larger",
    "smaller",
    "higher",
    "lower",
    "inner",
    "outer",
    "upper",
    "super",
    "under",
    "silver",
    "copper",
    "fiber",
    "fibre",
    "theater",
    "center",
    "cluster",
    "disorder",
    "chapter",
    "quarter",
    "corner",
    "summer",
    "winter",
    "user-friendly",
    "human",
    "list",
    "language",
];

/// "What is Y?", answered by the whole noun phrase.
fn definition(m: &Match<'_>, answer: Range<usize>) -> Option<(String, Range<usize>)> {
    let y = subject(m)?;
    let span = m.captures.get('V')?;
    let first = &*m.tokens[span.from].key;
    if matches!(
        first,
        "lot"
            | "number"
            | "list"
            | "good"
            | "great"
            | "common"
            | "popular"
            | "way"
            | "kind"
            | "type"
            | "form"
            | "part"
            | "matter"
            | "result"
            | "member"
            | "bit"
            | "little"
            | "very"
            | "key"
            | "major"
            | "must"
    ) {
        return None;
    }
    let noun_phrase: Vec<&str> = m.tokens[span.from..span.to].iter().map(|t| &*t.key).take_while(|k| !is_closed(k)).collect();
    let trade = noun_phrase.last().is_some_and(|k| TRADES.iter().any(|t| k.ends_with(t)) && !NO_TRADE.contains(k));
    let name = m.tokens[m.captures.get('Y')?.from].is_capital();
    if noun_phrase.is_empty() || noun_phrase.last().is_some_and(|h| is_vague(h)) {
        return None;
    }
    let who = if trade && name && !y.starts_with("the ") && !is_term(&y) { "Who" } else { "What" };
    Some((format!("{who} is {y}?"), answer))
}

/// The bytes of a continent at the end of a place: "western Europe" is in Europe.
fn continent_part(place: &str) -> Option<usize> {
    for two in ["North America", "South America", "Latin America"] {
        if place.ends_with(two) {
            return Some(two.len());
        }
    }
    let last = place.rsplit(' ').next()?;
    CONTINENTS.contains(&last.to_lowercase().as_str()).then_some(last.len())
}

fn continent(m: &Match<'_>, answer: Range<usize>) -> Option<(String, Range<usize>)> {
    let length = continent_part(&m.text[answer.clone()])?;
    let y = subject(m)?;
    Some((format!("On which continent is {y}?"), answer.end - length..answer.end))
}

fn place(m: &Match<'_>, answer: &Range<usize>) -> Option<String> {
    let text = &m.text[answer.clone()];
    if continent_part(text).is_some() || matches!(text, "English" | "French" | "Latin" | "German" | "Spanish" | "Chinese" | "Greek") {
        return None;
    }
    let y = subject(m)?;
    Some(format!("Where is {y} located?"))
}
