//! English questions from what a rule captured.

use std::ops::Range;

use super::Match;
use super::english::{is_closed, is_superlative, is_term, is_vague, singular_unit};
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
        "measures" => measures(m, &answer)?,
        "stands" => stands(m, &answer)?,
        template => fill(m, template)?,
    };
    (!repeats(m, &answer)).then_some((question, answer))
}

/// The answer's bytes, without a leading article or a closing mark.
fn answer(m: &Match<'_>) -> Option<Range<usize>> {
    let range = m.bytes(m.captures.get('V')?)?;
    let text = m.text.get(range.clone())?;
    let from = m.captures.get('V')?.from;
    let opening = text.strip_prefix("The ").filter(|rest| begins_sentence(m, from) && !m.text.contains(&format!(" The {rest}")));
    let short = text.strip_prefix("the ").or(opening).unwrap_or(text);
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
    let opens = begins_sentence(m, span.from);
    if opens && matches!(key, "no." | "yes") {
        return None;
    }
    // One capital at the start of a sentence shows no name: "Construction began in 2013."
    let one = span.to == span.from + 1 && opens && !is_term(key);
    if one && (m.name == "en-began" || (NAMED_ONLY.contains(&m.name) && m.lower_words.contains(key))) {
        return None;
    }
    // A line that ran into the next one: "Statistics Page Unbound Unbound".
    if span.to - span.from > 7 || m.tokens[span.from..span.to].windows(2).any(|w| w[0].key == w[1].key) {
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
    let named = matches!(m.name, "en-born" | "en-born-in" | "en-died" | "en-where" | "en-based" | "en-superlative");
    let common = is_term(key) || (m.lower_words.contains(key) && span.to == span.from + 1 && !named);
    if first.is_capital() && common && first.text.chars().skip(1).all(char::is_lowercase) && begins_sentence(m, span.from) {
        return Some(format!("{key}{}", &text[first.text.len()..]));
    }
    Some(text.to_owned())
}

/// Rules that speak of a name and never of a common noun.
const NAMED_ONLY: &[&str] = &[
    "en-count",
    "en-based",
    "en-won",
    "en-studied",
    "en-married",
    "en-flows-into",
    "en-rises-in",
    "en-where",
    "en-nickname",
    "en-contains",
];

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
            | "ours"
            | "mine"
            | "yours"
            | "theirs"
            | "hers"
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

/// Relations that only a place has.
const OF_PLACE_HEADS: &[&str] = &["capital", "currency", "language"];

/// True for a code in capitals that is no well-known short name of a state.
fn is_code(y: &str) -> bool {
    y.len() <= 3 && y.chars().all(|c| c.is_ascii_uppercase()) && !matches!(y, "US" | "USA" | "UK" | "UAE" | "EU" | "DRC" | "GDR" | "PRC")
}

fn head(x: &str) -> &str {
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
    let single = y.chars().count() == 1 || y.rsplit(' ').next().is_some_and(|w| w.len() == 1);
    if single || matches!(h, "parent" | "child" | "neighbour" | "neighbor") {
        return None;
    }
    let lower_subject = m.tokens[m.captures.get('Y')?.from].is_lower();
    if lower_subject && named && !BARE_HEADS.contains(&h) {
        return None;
    }
    let x = canonical_relation(x);
    if OF_PLACE_HEADS.contains(&h) && is_code(&y) {
        return None;
    }
    let plural = m.tokens[m.covered.clone()].iter().any(|t| &*t.key == "are") && h.ends_with('s') && !h.ends_with("ss");
    if plural {
        return None;
    }
    let was = past(m);
    let who = if person { "Who" } else { "What" };
    let be = if was { "was" } else { "is" };
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
    if is_code(&y) {
        return None;
    }
    let mountainous = ["Mount", "Alps", "Mountains", "Range", "Himalaya"].iter().any(|w| y.contains(w));
    if let Some(last) = words.last_mut()
        && !(mountainous && matches!(last.as_str(), "peak" | "summit"))
    {
        *last = canonical_noun(last);
    }
    if h.ends_with('s') && !h.ends_with("ss") && !h.ends_with("us") && !PLURALS.contains(&h.as_str()) {
        return None;
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
    let initials = !chemical && v.len() >= 3 && v.chars().all(char::is_uppercase);
    if initials || chemical && !v.chars().next().is_some_and(char::is_uppercase) {
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
    "expert",
    "specialist",
    "coach",
    "nurse",
    "actress",
    "athlete",
    "judge",
    "entrepreneur",
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
    "provider",
    "server",
    "maker",
    "manufacturer",
    "retailer",
    "publisher",
    "browser",
    "compiler",
    "router",
    "scanner",
    "printer",
    "converter",
    "tracker",
    "editor",
    "processor",
    "monitor",
    "sensor",
    "adapter",
    "manager",
    "launcher",
    "supplier",
    "operator",
    "carrier",
    "distributor",
    "helper",
    "builder",
    "wrapper",
    "container",
    "simulator",
    "generator",
    "inhibitor",
    "tokenizer",
    "newsletter",
    "shooter",
    "thriller",
    "counter",
    "laser",
    "reactor",
    "crater",
    "transformer",
    "accelerator",
    "calculator",
    "indicator",
    "precursor",
    "planner",
    "timer",
    "helicopter",
    "controller",
    "charger",
    "speaker",
    "dinosaur",
    "polyester",
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
    // A common noun without an article is asked for only if it names something uncountable.
    let lower = y.chars().next().is_some_and(char::is_lowercase) && !y.starts_with("the ");
    if lower && !is_term(&y) && !UNCOUNTABLE.iter().any(|e| y.ends_with(e)) {
        return None;
    }
    let noun_phrase: Vec<&str> = m.tokens[span.from..span.to].iter().map(|t| &*t.key).take_while(|k| !is_closed(k)).collect();
    let trade = noun_phrase.last().is_some_and(|k| TRADES.iter().any(|t| k.ends_with(t)) && !NO_TRADE.contains(k));
    let name = m.tokens[m.captures.get('Y')?.from].is_capital();
    let praise = noun_phrase.iter().any(|w| PRAISE.contains(w) || w.ends_with("-friendly") || w.ends_with("-quality"));
    if praise || noun_phrase.is_empty() || noun_phrase.last().is_some_and(|h| is_vague(h) || OPINIONS.contains(h)) {
        return None;
    }
    let who = if trade && name && !lower && !y.starts_with("the ") && !is_term(&y) { "Who" } else { "What" };
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

/// "What does WHO stand for?"
fn stands(m: &Match<'_>, answer: &Range<usize>) -> Option<String> {
    let letters = m.slot('Y')?;
    let words = m.text[answer.clone()].split([' ', '-']).filter(|w| w.chars().next().is_some_and(char::is_alphabetic)).count();
    let fits = (2..=6).contains(&letters.len()) && letters.chars().all(|c| c.is_ascii_uppercase());
    (fits && words >= 2 && words <= letters.len() + 2).then(|| format!("What does {letters} stand for?"))
}

/// "What does the newton measure?"
fn measures(m: &Match<'_>, answer: &Range<usize>) -> Option<String> {
    let span = m.captures.get('Y')?;
    let value = m.captures.get('V')?;
    let text = m.text.get(m.bytes(span)?)?;
    if m.tokens[value.from].kind == TokenKind::Number || NUMBER_WORDS.contains(&&*m.tokens[value.from].key) || answer.len() < 3 {
        return None;
    }
    let key = &*m.tokens[span.from].key;
    if let (true, Some(unit)) = (span.to == span.from + 1, singular_unit(key)) {
        return Some(format!("What does the {unit} measure?"));
    }
    let rest = text.strip_prefix(m.tokens[span.from].text)?;
    Some(match key {
        "a" | "an" | "the" => format!("What does {key}{rest} measure?"),
        _ => format!("What do {key}{rest} measure?"),
    })
}

/// Pairs of "a long name (ALN)": what the letters stand for.
pub(crate) fn abbreviations(text: &str, tokens: &[Token<'_>]) -> Vec<(String, Range<usize>)> {
    let mut out = Vec::new();
    for i in 2..tokens.len().saturating_sub(1) {
        let (letters, close) = (tokens[i].text, &*tokens[i + 1].key);
        let fits = (3..=6).contains(&letters.len()) && letters.chars().all(|c| c.is_ascii_uppercase());
        if !fits || &*tokens[i - 1].key != "(" || !matches!(close, ")" | "," | ";") {
            continue;
        }
        let mut at = i - 1;
        let mut left = letters.to_lowercase();
        while at > 0 && !left.is_empty() {
            let token = &tokens[at - 1];
            // "data-driven" may stand for two letters or for one.
            let parts: String = token.key.split('-').filter_map(|p| p.chars().next()).collect();
            let first: String = parts.chars().take(1).collect();
            let small = matches!(&*token.key, "of" | "the" | "and" | "for" | "in" | "on" | "to" | "de" | "&");
            match left.strip_suffix(&*parts).or_else(|| left.strip_suffix(&*first)) {
                Some(rest) if token.kind == TokenKind::Word => left = rest.to_owned(),
                _ if small && at < i - 1 => {}
                _ => break,
            }
            at -= 1;
        }
        let found = left.is_empty();
        let together = tokens[i - 1].index.checked_sub(tokens[at].index) == Some(i - 1 - at);
        let plain = tokens[at..i - 1].iter().all(|t| t.kind == TokenKind::Word) && !is_closed(&tokens[at].key);
        if found && together && plain && i - 1 - at >= 2 {
            let range = tokens[at].start..tokens[i - 2].end;
            if text.get(range.clone()).is_some_and(|t| !t.contains('\n')) {
                out.push((format!("What does {letters} stand for?"), range));
            }
        }
    }
    out
}

fn place(m: &Match<'_>, answer: &Range<usize>) -> Option<String> {
    let text = &m.text[answer.clone()];
    if continent_part(text).is_some() || matches!(text, "English" | "French" | "Latin" | "German" | "Spanish" | "Chinese" | "Greek") {
        return None;
    }
    let y = subject(m)?;
    Some(format!("Where is {y} located?"))
}
