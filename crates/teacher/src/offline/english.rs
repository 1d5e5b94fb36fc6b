//! The English grammar of captures: noun phrases by closed-class words and capitals, quantities, dates, symbols.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::english_words::*;
use super::pattern::{Grammar, Kind, Span};
use super::token::{Token, TokenKind};

/// English.
pub(crate) struct English;

static CLOSED_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| CLOSED.iter().copied().collect());
static VAGUE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| VAGUE.iter().copied().collect());
static GENERIC_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| GENERIC.iter().copied().collect());
static TERM_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| TERMS.iter().copied().collect());
static DOUBT_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| DOUBT.iter().copied().collect());

/// True for a word of the closed classes.
pub(crate) fn is_closed(key: &str) -> bool {
    CLOSED_SET.contains(key)
}

/// True for a word that names a substance or a quantity and is written small inside a sentence.
pub(crate) fn is_term(key: &str) -> bool {
    TERM_SET.contains(key)
}

/// True for a word that makes a sentence a doubtful source.
pub(crate) fn is_doubt(key: &str) -> bool {
    DOUBT_SET.contains(key) || key.ends_with("n't")
}

/// True for a head too vague to ask about.
pub(crate) fn is_vague(key: &str) -> bool {
    VAGUE_SET.contains(key)
}

pub(super) fn key<'t>(tokens: &'t [Token<'_>], at: usize) -> &'t str {
    tokens.get(at).map_or("", |t| &*t.key)
}

/// True for a lower-case word that may stand in a noun phrase.
fn is_open(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at).is_some_and(|t| t.is_lower() && !is_closed(&t.key) && t.text.chars().next().is_some_and(char::is_alphabetic))
}

/// End of the run of capitals at `at`, particles inside included; `at` itself if there is none.
pub(crate) fn name_end(tokens: &[Token<'_>], at: usize) -> usize {
    let capital = |i: usize| tokens.get(i).is_some_and(|t| t.is_capital() && !(is_closed(&t.key) && i == at));
    if !capital(at) {
        return at;
    }
    let mut end = at + 1;
    loop {
        if capital(end) {
            end += 1;
            continue;
        }
        let k = key(tokens, end);
        if tokens.get(end).is_some_and(|t| t.kind == TokenKind::Number)
            && !k.contains(['.', ','])
            && k.len() <= 3
            && !MONTHS.contains(&key(tokens, end - 1))
        {
            end += 1;
            continue;
        }
        let mut next = end;
        while next < end + 2 && PARTICLES.contains(&key(tokens, next)) {
            next += 1;
        }
        if next > end && capital(next) {
            end = next + 1;
            continue;
        }
        if k == "and" && capital(end + 1) && tokens[at..end].iter().any(|t| AND_NAMES.contains(&&*t.key)) {
            end += 2;
            continue;
        }
        return end;
    }
}

fn is_number(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at).is_some_and(|t| t.kind == TokenKind::Number)
        || NUMBER_WORDS.contains(&key(tokens, at))
        || key(tokens, at).split_once('-').is_some_and(|(a, b)| NUMBER_WORDS.contains(&a) && NUMBER_WORDS.contains(&b))
}

/// Skips "about" and the like.
fn skip_about(tokens: &[Token<'_>], mut at: usize) -> usize {
    loop {
        match key(tokens, at) {
            "about" | "around" | "approximately" | "roughly" | "some" | "exactly" | "precisely" | "just" | "only" | "circa"
            | "estimated" => at += 1,
            "an" if key(tokens, at + 1) == "estimated" => at += 2,
            "a" if key(tokens, at + 1) == "total" && key(tokens, at + 2) == "of" => at += 3,
            _ => return at,
        }
    }
}

/// End of a number with its scale words.
fn number_end(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !is_number(tokens, at) {
        return None;
    }
    let mut end = at + 1;
    while SCALES.contains(&key(tokens, end)) || (NUMBER_WORDS.contains(&key(tokens, at)) && is_number(tokens, end)) {
        end += 1;
    }
    Some(end)
}

/// End of a unit at `at` and what it measures.
fn unit_end(tokens: &[Token<'_>], at: usize) -> Option<(usize, Kind)> {
    let k = key(tokens, at);
    if matches!(k, "square" | "sq") && LENGTH_UNITS.contains(&key(tokens, at + 1)) {
        return Some((at + 2, Kind::Area));
    }
    if k == "cubic" && LENGTH_UNITS.contains(&key(tokens, at + 1)) {
        return Some((at + 2, Kind::Quantity));
    }
    if AREA_UNITS.contains(&k) {
        return Some((at + 1, Kind::Area));
    }
    if matches!(k, "°c" | "°f" | "℃") {
        return Some((at + 1, Kind::Temperature));
    }
    if k == "degrees" {
        let scale = matches!(key(tokens, at + 1), "celsius" | "fahrenheit" | "centigrade" | "kelvin" | "c" | "f");
        return Some((at + 1 + usize::from(scale), Kind::Temperature));
    }
    if matches!(k, "kelvin" | "kelvins") || tokens.get(at).is_some_and(|t| t.text == "K") {
        return Some((at + 1, Kind::Temperature));
    }
    if LENGTH_UNITS.contains(&k) {
        let per = key(tokens, at + 1) == "per" && DURATION_UNITS.contains(&key(tokens, at + 2));
        return Some(if per { (at + 3, Kind::Quantity) } else { (at + 1, Kind::Length) });
    }
    if DURATION_UNITS.contains(&k) {
        return Some((at + 1, Kind::Duration));
    }
    if k == "earth" && DURATION_UNITS.contains(&key(tokens, at + 1)) {
        return Some((at + 2, Kind::Duration));
    }
    OTHER_UNITS.contains(&k).then_some((at + 1, Kind::Quantity))
}

/// A quantity at `at` whose unit measures `want`; any unit or none for [`Kind::Quantity`].
fn quantity(tokens: &[Token<'_>], at: usize, want: Kind) -> Option<Span> {
    let from = skip_about(tokens, at);
    let end = number_end(tokens, from)?;
    match unit_end(tokens, end) {
        Some((unit, kind)) if want == Kind::Quantity || kind == want => Some(Span { from, to: unit, next: unit }),
        None if want == Kind::Quantity => Some(Span { from, to: end, next: end }),
        _ => None,
    }
}

fn date(tokens: &[Token<'_>], at: usize) -> Option<Span> {
    let is_year = |i: usize| {
        tokens
            .get(i)
            .is_some_and(|t| t.kind == TokenKind::Number && t.text.chars().all(|c| c.is_ascii_digit()) && (3..=4).contains(&t.text.len()))
    };
    let is_day = |i: usize| {
        tokens
            .get(i)
            .is_some_and(|t| t.key.trim_end_matches(|c: char| c.is_alphabetic()).parse::<u8>().is_ok_and(|d| (1..=31).contains(&d)))
    };
    let month = |i: usize| tokens.get(i).is_some_and(|t| t.is_capital() && MONTHS.contains(&&*t.key));
    let mut from = at;
    if key(tokens, from) == "the" && key(tokens, from + 1) == "year" {
        from += 2;
    }
    let mut i = from;
    if (is_day(i) && month(i + 1)) || (month(i) && is_day(i + 1) && !is_year(i + 1)) {
        i += 2;
    } else if month(i) {
        i += 1;
    }
    if i > from && key(tokens, i) == "," && is_year(i + 1) {
        i += 1;
    }
    if !is_year(i) {
        return None;
    }
    i += 1;
    if matches!(key(tokens, i), "bc" | "bce" | "ad" | "ce") {
        i += 1;
    }
    Some(Span { from, to: i, next: i })
}

/// Length of a classifier phrase such as "the planet" at `at`, and whether a lower-case term may follow.
fn classifier(tokens: &[Token<'_>], at: usize) -> Option<(usize, bool)> {
    let mut i = at;
    if matches!(key(tokens, i), "the" | "a" | "an") {
        i += 1;
    }
    let from = i;
    while i < from + 4 && is_open(tokens, i) && !CLASSIFIERS.contains(&key(tokens, i)) {
        i += 1;
    }
    while CLASSIFIERS.contains(&key(tokens, i)) {
        i += 1;
    }
    if i == from || !CLASSIFIERS.contains(&key(tokens, i - 1)) {
        return None;
    }
    let term = TERM_CLASSIFIERS.contains(&key(tokens, i - 1));
    if key(tokens, i) == "of" && tokens.get(i + 1).is_some_and(Token::is_capital) {
        i += 1;
    }
    Some((i, term))
}

/// "official language", "capital city", "unit of currency", "SI unit".
fn sure(tokens: &[Token<'_>], at: usize) -> Option<Span> {
    let mut i = at;
    while SURE_ADJECTIVES.contains(&key(tokens, i)) || tokens.get(i).is_some_and(|t| t.text == "SI") {
        i += 1;
    }
    if !SURE_HEADS.contains(&key(tokens, i)) {
        return None;
    }
    let unit_of = key(tokens, i) == "unit" && key(tokens, i + 1) == "of" && key(tokens, i + 2) == "currency";
    let city = key(tokens, i) == "capital" && key(tokens, i + 1) == "city";
    let to = i + 1 + if unit_of { 2 } else { usize::from(city) };
    Some(Span { from: at, to, next: to })
}

fn subject(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    name(tokens, at, out);
    if matches!(key(tokens, at), "the" | "a" | "an") && UNIT_NOUNS.contains(&key(tokens, at + 1)) {
        out.push(Span { from: at, to: at + 2, next: at + 2 });
    }
    if let Some((next, term)) = classifier(tokens, at) {
        let end = name_end(tokens, next);
        if end > next {
            out.push(Span { from: next, to: end, next: end });
        } else if term && is_term(key(tokens, next)) {
            out.push(Span { from: next, to: next + 1, next: next + 1 });
        }
    }
    let mut end = at;
    while end < at + 3 && is_open(tokens, end) {
        end += 1;
    }
    for to in (at + 1..=end).rev() {
        let last = key(tokens, to - 1);
        if !GENERIC_SET.contains(last)
            && !GENERIC_SET.contains(key(tokens, at))
            && last.len() > 2
            && !last.ends_with("ly")
            && !last.ends_with("ing")
        {
            out.push(Span { from: at, to, next: to });
        }
    }
}

/// A proper name, with "the" if it has one.
pub(super) fn name(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let from = at + usize::from(key(tokens, at) == "the");
    let end = name_end(tokens, from);
    if end == from || (MONTHS.contains(&key(tokens, from)) && end == from + 1) {
        return;
    }
    // "The Andes" keeps its article, "The French" would be an adjective: what follows decides, so the pattern does.
    let start = if from > at { at } else { from };
    out.push(Span { from: start, to: end, next: end });
    // "Peru and Chile" was not joined; "Republic of Korea" may be cut before its particle if the pattern needs that.
    if let Some(cut) = (from + 1..end).find(|&i| PARTICLES.contains(&key(tokens, i))) {
        out.push(Span { from: start, to: cut, next: cut });
    }
}

fn relation(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let fits =
        |i: usize| is_open(tokens, i) || tokens.get(i).is_some_and(|t| matches!(t.text, "SI" | "ISO" | "GDP" | "UN" | "IUPAC" | "CEO"));
    let mut end = at;
    while end < at + 5
        && (fits(end) || (end == at && matches!(key(tokens, end), "first" | "second" | "third" | "last" | "most") && fits(end + 1)))
    {
        end += 1;
    }
    for to in (at + 1..=end).rev() {
        let head = key(tokens, to - 1);
        if !is_vague(head) && !head.ends_with("ing") && !head.ends_with("ed") && head.len() > 2 {
            out.push(Span { from: at, to, next: to });
        }
    }
}

/// True for "highest" and its like.
pub(crate) fn is_superlative(k: &str) -> bool {
    let k = k.rsplit('-').next().unwrap_or(k);
    (k.len() > 4 && k.ends_with("est") && !NOT_SUPERLATIVE.contains(&k)) || k == "best" || k == "worst"
}

fn superlative(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let ordinal = |k: &str| {
        matches!(
            k,
            "first" | "second" | "third" | "fourth" | "fifth" | "sixth" | "seventh" | "eighth" | "ninth" | "tenth" | "last" | "only"
        )
    };
    let mut i = at;
    if ordinal(key(tokens, i)) {
        i += 1;
    }
    if matches!(key(tokens, i), "most" | "least") && is_open(tokens, i + 1) {
        i += 2;
    } else if is_superlative(key(tokens, i)) {
        i += 1;
    } else if i == at {
        return;
    }
    let noun = i;
    while i < noun + 3 && is_open(tokens, i) {
        i += 1;
    }
    for to in (noun + 1..=i).rev() {
        let head = key(tokens, to - 1);
        if !matches!(head, "part" | "form" | "way" | "example" | "time" | "day" | "thing" | "step" | "use" | "area") {
            out.push(Span { from: at, to, next: to });
        }
    }
}

/// Skips what says nothing before a value: "known as", "the city of", adverbs.
fn skip_lead(tokens: &[Token<'_>], mut at: usize) -> usize {
    loop {
        match key(tokens, at) {
            "called" | "named" | "simply" | "officially" | "currently" | "still" | "now" | "also" | "of course" | "actually" | "indeed"
            | "therefore" | "today" => at += 1,
            "known" if key(tokens, at + 1) == "as" => at += 2,
            "the"
                if matches!(key(tokens, at + 1), "city" | "town" | "island" | "village" | "district" | "municipality")
                    && key(tokens, at + 2) == "of" =>
            {
                at += 3
            }
            _ => return at,
        }
    }
}

/// True if a list goes on at `at`: "and" or a comma before another item and not before a new clause.
fn goes_on(tokens: &[Token<'_>], at: usize) -> bool {
    let k = key(tokens, at);
    if k == "or" {
        return true;
    }
    if k == "," {
        // "Paris, Lyon and Nice", "Paris, Lyon, Nice, and Lille": names, then "and" and another.
        let mut end = name_end(tokens, at + 1);
        while end > at + 1 && key(tokens, end) == "," && name_end(tokens, end + 1) > end + 1 {
            end = name_end(tokens, end + 1);
        }
        end += usize::from(end > at + 1 && key(tokens, end) == ",");
        return end > at + 1
            && matches!(key(tokens, end), "and" | "or")
            && !clause_follows(tokens, end + 1)
            && name_end(tokens, end + 1) > end + 1;
    }
    k == "and" && !clause_follows(tokens, at + 1)
}

/// True if the tokens from `at` on look like a clause of their own: a finite verb before the next mark.
fn clause_follows(tokens: &[Token<'_>], at: usize) -> bool {
    tokens[at.min(tokens.len())..].iter().take_while(|t| t.kind != TokenKind::Mark).take(9).any(|t| {
        matches!(
            &*t.key,
            "is" | "are"
                | "was"
                | "were"
                | "has"
                | "have"
                | "had"
                | "lies"
                | "stands"
                | "serves"
                | "uses"
                | "use"
                | "flows"
                | "boils"
                | "melts"
                | "speaks"
                | "speak"
                | "pay"
                | "rises"
                | "orbits"
                | "remains"
        )
    })
}

fn value(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let mut from = skip_lead(tokens, at);
    let quoted = matches!(key(tokens, from), "\"" | "“" | "‘" | "'");
    from += usize::from(quoted);
    if let Some(span) = quantity(tokens, from, Kind::Quantity)
        && !is_open(tokens, span.next)
    {
        out.push(span);
        return;
    }
    let article = match key(tokens, from) {
        "the"
            if tokens.get(from).is_some_and(|t| t.text == "The")
                && from > 0
                && tokens.get(from + 1).is_some_and(Token::is_capital)
                && from == at
                && at > 0 =>
        {
            false
        }
        "the" => true,
        _ => false,
    };
    let mut start = from + usize::from(article);
    if let Some((next, _)) = classifier(tokens, from)
        && name_end(tokens, next) > next
        && article
    {
        start = next;
    }
    let capital_the = tokens.get(start).is_some_and(|t| t.text == "The");
    let mut end = name_end(tokens, start + usize::from(capital_the)).max(start);
    if capital_the && end == start + 1 {
        return;
    }
    let named = end > start;
    // "Icelandic króna", "Mount Cook massif": at most two small words behind a name, all of them before a boundary.
    let limit = if named { end + 2 } else { start + 4 };
    while end < limit && is_open(tokens, end) {
        end += 1;
    }
    if end == start {
        return;
    }
    let mut next = end;
    if quoted {
        if !matches!(key(tokens, next), "\"" | "”" | "’" | "'") {
            return;
        }
        next += 1;
    }
    if is_open(tokens, next) || tokens.get(next).is_some_and(Token::is_capital) || goes_on(tokens, next) || key(tokens, next) == "of" {
        return;
    }
    if !named {
        let first = key(tokens, start);
        let last = key(tokens, end - 1);
        let verbal = |k: &str| {
            (k.ends_with("ed") && !k.ends_with("eed") && k.len() > 4) || k.ends_with("ing") || k.ends_with("ly") || k.ends_with("able")
        };
        if verbal(first)
            || verbal(last)
            || is_vague(last)
            || GENERIC_SET.contains(last)
            || (is_preposition(key(tokens, next)) && !matches!(key(tokens, next), "in" | "with"))
        {
            return;
        }
    }
    out.push(Span { from: start, to: end, next });
}

fn is_preposition(k: &str) -> bool {
    matches!(
        k,
        "in" | "on"
            | "at"
            | "by"
            | "for"
            | "from"
            | "to"
            | "with"
            | "of"
            | "into"
            | "about"
            | "between"
            | "among"
            | "against"
            | "through"
            | "as"
            | "than"
            | "like"
            | "over"
            | "under"
    )
}

fn place(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let mut i = at;
    if key(tokens, i) == "the"
        && matches!(
            key(tokens, i + 1),
            "state" | "province" | "region" | "city" | "county" | "district" | "canton" | "department" | "island" | "country" | "continent"
        )
        && key(tokens, i + 2) == "of"
    {
        i += 3;
    }
    let article = key(tokens, i) == "the";
    let from = i;
    i += usize::from(article);
    let direction = i;
    while DIRECTIONS.contains(&key(tokens, i)) && tokens.get(i).is_some_and(Token::is_lower) {
        i += 1;
    }
    let directed = i > direction;
    if directed && article && key(tokens, i) == "of" {
        // "the north of Italy"
        let end = name_end(tokens, i + 1);
        if end > i + 1 {
            out.push(Span { from, to: end, next: end });
        }
        return;
    }
    let end = name_end(tokens, i);
    if end > i && !MONTHS.contains(&key(tokens, i)) && !goes_on(tokens, end) && !is_open(tokens, end) {
        out.push(Span { from: if article && !directed { from } else { direction.min(i) }, to: end, next: end });
    }
}

fn person(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let mut from = at;
    if matches!(key(tokens, from), "the" | "a" | "an") || is_open(tokens, from) {
        // "the Swedish chemist Carl Scheele": the name behind the last small word.
        let mut i = from + usize::from(!is_open(tokens, from));
        let mut last = None;
        while i < at + 8
            && tokens
                .get(i)
                .is_some_and(|t| t.is_capital() || is_open(tokens, i) || (matches!(&*t.key, "and" | ",") && is_open(tokens, i + 1)))
        {
            if is_open(tokens, i) {
                last = Some(i);
            }
            i += 1;
        }
        let Some(last) = last else { return };
        from = last + 1;
    } else if tokens.get(from).is_some_and(Token::is_capital) && is_open(tokens, from + 1) && name_end(tokens, from + 2) > from + 2 {
        // "Swedish chemist Carl Scheele"
        from += 2;
    }
    let end = name_end(tokens, from);
    if end == from {
        return;
    }
    let plural_opener = end == from + 1 && from == 0 && key(tokens, from).ends_with('s');
    if plural_opener || MONTHS.contains(&key(tokens, from)) || GENERIC_SET.contains(key(tokens, from)) {
        return;
    }
    if key(tokens, end) == "and" {
        let second = name_end(tokens, end + 1);
        if second > end + 1 {
            out.push(Span { from, to: second, next: second });
        }
        return;
    }
    if key(tokens, end) == "," && goes_on(tokens, end) {
        return;
    }
    out.push(Span { from, to: end, next: end });
}

fn symbol(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let quoted = matches!(key(tokens, at), "\"" | "“" | "‘" | "'");
    let from = at + usize::from(quoted);
    let Some(token) = tokens.get(from) else { return };
    let chars: Vec<char> = token.text.chars().collect();
    let short =
        token.kind == TokenKind::Word && chars.len() <= 3 && chars.iter().all(|c| c.is_alphabetic() || matches!(c, '°' | '²' | '³'));
    let chemical = short && chars[0].is_uppercase() && chars[1..].iter().all(|c| c.is_lowercase());
    // "As" and "I" are words too, so a chemical symbol only has to differ from how sentences begin.
    let opener = matches!(token.text, "The" | "A" | "It" | "An");
    if !short || opener || (!chemical && is_closed(&token.key)) {
        return;
    }
    let mut next = from + 1;
    if quoted {
        if !matches!(key(tokens, next), "\"" | "”" | "’" | "'") {
            return;
        }
        next += 1;
    }
    out.push(Span { from, to: from + 1, next });
}

/// The singular of a unit's plural.
pub(crate) fn singular_unit(k: &str) -> Option<&str> {
    let singular = match k {
        "feet" => "foot",
        "inches" => "inch",
        "hertz" | "siemens" | "lux" => k,
        _ => k.strip_suffix('s')?,
    };
    UNIT_NOUNS.contains(&singular).then_some(singular)
}

impl Grammar for English {
    fn spans(&self, kind: Kind, tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
        if at >= tokens.len() {
            return;
        }
        match kind {
            Kind::Subject => subject(tokens, at, out),
            Kind::Name => name(tokens, at, out),
            Kind::Place => place(tokens, at, out),
            Kind::Person => person(tokens, at, out),
            Kind::Relation => relation(tokens, at, out),
            Kind::Superlative => superlative(tokens, at, out),
            Kind::Value => value(tokens, at, out),
            Kind::Quantity | Kind::Length | Kind::Temperature | Kind::Duration | Kind::Area => out.extend(quantity(tokens, at, kind)),
            Kind::Number => {
                let from = skip_about(tokens, at);
                if let Some(end) = number_end(tokens, from) {
                    out.push(Span { from, to: end, next: end });
                }
            }
            Kind::Date => out.extend(date(tokens, at)),
            Kind::Symbol => symbol(tokens, at, out),
            Kind::Noun => {
                let mut end = at;
                while end < at + 3 && is_open(tokens, end) {
                    end += 1;
                }
                for to in (at + 1..=end).rev() {
                    let head = key(tokens, to - 1);
                    if (head.ends_with('s') && !head.ends_with("ss") && head.len() > 3) || PLURALS.contains(&head) {
                        out.push(Span { from: at, to, next: to });
                    }
                }
            }
            Kind::Unit => {
                let mut end = at;
                while end < at + 3 && is_open(tokens, end) {
                    end += 1;
                }
                out.extend((at + 1..=end).rev().map(|to| Span { from: at, to, next: to }));
            }
            Kind::AUnit => {
                let from = at + 1;
                if matches!(key(tokens, at), "a" | "an" | "one")
                    && (UNIT_NOUNS.contains(&key(tokens, from)) || is_open(tokens, from) && UNIT_NOUNS.contains(&key(tokens, from + 1)))
                {
                    let to = if UNIT_NOUNS.contains(&key(tokens, from)) { from + 1 } else { from + 2 };
                    out.push(Span { from, to, next: to });
                }
            }
            Kind::Tool => {
                let from = at + usize::from(matches!(key(tokens, at), "a" | "an" | "the"));
                let mut end = from;
                while end < from + 3 && is_open(tokens, end) {
                    end += 1;
                }
                // "The newton", "a thermometer"; without an article only a plural.
                for to in (from + 1..=end).rev() {
                    let head = key(tokens, to - 1);
                    let plural = head.ends_with('s') && !head.ends_with("ss");
                    if !GENERIC_SET.contains(head) && plural != (from > at) && head.len() > 2 {
                        out.push(Span { from: at, to, next: to });
                    }
                }
                if out.is_empty() && from == at {
                    let head = key(tokens, at);
                    if tokens[at].is_capital() && head.ends_with('s') && !is_closed(head) {
                        out.push(Span { from: at, to: at + 1, next: at + 1 });
                    }
                }
            }
            Kind::Units => {
                let end = at + 1;
                if singular_unit(key(tokens, at)).is_some() && !is_open(tokens, end) {
                    out.push(Span { from: at, to: end, next: end });
                }
            }
            Kind::Day => out.extend(date(tokens, at).filter(|s| tokens[s.from..s.to].iter().any(Token::is_capital))),
            Kind::Water => {
                let mut names = Vec::new();
                name(tokens, at, &mut names);
                let water = |t: &Token<'_>| matches!(&*t.key, "sea" | "ocean" | "lake" | "gulf" | "bay" | "river" | "lagoon" | "strait");
                out.extend(names.into_iter().filter(|s| tokens[s.from..s.to].iter().any(water)));
            }
            Kind::Code => {
                let mut end = at;
                while end < at + 4 && (is_open(tokens, end) || tokens.get(end).is_some_and(|t| matches!(t.text, "ISO" | "IATA" | "IOC"))) {
                    end += 1;
                }
                if end > at && matches!(key(tokens, end - 1), "code" | "abbreviation") {
                    out.push(Span { from: at, to: end, next: end });
                }
            }
            Kind::Measure | Kind::Counted | Kind::Latin | Kind::Peak | Kind::One | Kind::DateRest | Kind::Continent => {}
            Kind::Year => out.extend(date(tokens, at)),
            Kind::Sure => out.extend(sure(tokens, at)),
            Kind::Adjective => {
                let to = if key(tokens, at) == "most" && is_open(tokens, at + 1) { at + 2 } else { at + 1 };
                if to > at + 1 || is_superlative(key(tokens, at)) {
                    out.push(Span { from: at, to, next: to });
                }
            }
            Kind::Definition => out.extend(definition(tokens, at)),
            Kind::Rest => {
                let mut end = at;
                while end < tokens.len() && end < at + 8 && tokens[end].kind != TokenKind::Mark {
                    end += 1;
                }
                if end > at && (end >= tokens.len() || tokens[end].kind == TokenKind::Mark) {
                    out.push(Span { from: at, to: end, next: end });
                }
            }
            Kind::Gap => {
                for end in at + 1..=at + 6 {
                    if end > tokens.len() || tokens[end - 1].kind == TokenKind::Mark {
                        break;
                    }
                    out.push(Span { from: at, to: end, next: end });
                }
            }
        }
    }

    fn is_end(&self, tokens: &[Token<'_>], at: usize) -> bool {
        let Some(token) = tokens.get(at) else { return true };
        token.kind == TokenKind::Mark && !matches!(&*token.key, "-" | "%" | "'" | "/")
            || matches!(
                &*token.key,
                "and"
                    | "but"
                    | "while"
                    | "which"
                    | "who"
                    | "where"
                    | "whereas"
                    | "because"
                    | "so"
                    | "when"
                    | "since"
                    | "although"
                    | "though"
                    | "whose"
                    | "that"
            )
    }
}

/// True for a verb before which "and" begins another predicate.
fn is_auxiliary(k: &str) -> bool {
    matches!(k, "can" | "could" | "may" | "might" | "will" | "would" | "should" | "must" | "is" | "was" | "has" | "had" | "does" | "also")
}

/// The noun phrase behind "is a", to the end of the clause, without relative clauses.
fn definition(tokens: &[Token<'_>], at: usize) -> Option<Span> {
    let mut end = at;
    while end < tokens.len() && end < at + 16 {
        let token = &tokens[end];
        let k = &*token.key;
        if token.kind == TokenKind::Mark && k != "-" && k != "%"
            || (k == "and" && is_auxiliary(key(tokens, end + 1)))
            || matches!(k, "that" | "which" | "who" | "where" | "whose" | "but" | "because" | "while" | "when" | "although")
        {
            break;
        }
        if matches!(
            k,
            "it" | "its" | "their" | "this" | "these" | "they" | "he" | "his" | "her" | "is" | "was" | "are" | "has" | "have" | "had"
        ) {
            return None;
        }
        end += 1;
    }
    let long_enough = end >= at + 2;
    let last = key(tokens, end.checked_sub(1)?);
    let cut = end == at + 16
        || (is_closed(last) && !tokens[end - 1].is_capital())
        || goes_on(tokens, end)
        || (key(tokens, end) == "," && !matches!(key(tokens, end + 1), "which" | "and" | "with" | "known" | "who" | ""));
    (long_enough && !cut).then_some(Span { from: at, to: end, next: end })
}
