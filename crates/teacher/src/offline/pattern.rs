//! Patterns over tokens: a small language for rules, and a backtracking matcher.
//!
//! A pattern is a line of items separated by spaces:
//!
//! - `word` matches a token by its key (lower case, or simplified characters); Chinese words are matched character by character;
//! - `word?` is the word or nothing;
//! - `(a b|c)` is one of several sequences, `(a|b)?` the same or nothing;
//! - `<NAME>` stands for a macro of the language, a pattern itself;
//! - `{V:value}` captures a span of some [`Kind`] into slot `V`;
//! - `\(` is a bracket of the text;
//! - `$` matches where a clause ends, without taking a token;
//! - a leading `~` lets the pattern begin anywhere; otherwise it begins where a clause does.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::token::{Token, chars_or_word};

/// What a capture may hold; the language decides which spans those are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// What a question can be about: a name or a term, never a pronoun.
    Subject,
    /// A proper name.
    Name,
    /// A place, perhaps with a direction before it.
    Place,
    /// A person, or two joined by "and".
    Person,
    /// A relational noun phrase: "official language".
    Relation,
    /// A noun phrase with a superlative or an ordinal: "highest mountain".
    Superlative,
    /// A short answer of any sort.
    Value,
    /// A number with or without a unit.
    Quantity,
    /// A number with a unit of length.
    Length,
    /// A number with a unit of temperature.
    Temperature,
    /// A number with a unit of time.
    Duration,
    /// A number with a unit of area.
    Area,
    /// A bare number.
    Number,
    /// A year, or a date with one.
    Date,
    /// A symbol such as `Au` or `km`.
    Symbol,
    /// A counted noun.
    Noun,
    /// A unit noun in the singular.
    Unit,
    /// A unit noun behind "a" or "one".
    AUnit,
    /// What measures: "the newton", "a thermometer", "barometers".
    Tool,
    /// A unit noun in the plural.
    Units,
    /// A superlative with one of a few nouns of geography: "最高峰".
    Peak,
    /// Words in Latin letters.
    Latin,
    /// A date with its month.
    Day,
    /// A name of a sea, a lake or another river.
    Water,
    /// "country code", "calling code".
    Code,
    /// A relational noun phrase that needs no further check: "capital", "official language".
    Sure,
    /// A superlative adjective alone.
    Adjective,
    /// A measured property: "height".
    Measure,
    /// A measure word and a counted noun: "颗卫星".
    Counted,
    /// "one" before a unit.
    One,
    /// The year of a date.
    Year,
    /// What may stand between the year of a date and its verb.
    DateRest,
    /// The name of a continent.
    Continent,
    /// What follows "is a" in a definition.
    Definition,
    /// The rest of a clause, a few words at most.
    Rest,
    /// Up to six tokens without punctuation, not used in the question.
    Gap,
}

impl Kind {
    fn parse(name: &str) -> Option<Kind> {
        Some(match name {
            "subject" => Kind::Subject,
            "name" => Kind::Name,
            "place" => Kind::Place,
            "person" => Kind::Person,
            "relation" => Kind::Relation,
            "superlative" => Kind::Superlative,
            "value" => Kind::Value,
            "quantity" => Kind::Quantity,
            "length" => Kind::Length,
            "temperature" => Kind::Temperature,
            "duration" => Kind::Duration,
            "area" => Kind::Area,
            "number" => Kind::Number,
            "date" => Kind::Date,
            "symbol" => Kind::Symbol,
            "noun" => Kind::Noun,
            "unit" => Kind::Unit,
            "a-unit" => Kind::AUnit,
            "tool" => Kind::Tool,
            "units" => Kind::Units,
            "latin" => Kind::Latin,
            "peak" => Kind::Peak,
            "day" => Kind::Day,
            "water" => Kind::Water,
            "code" => Kind::Code,
            "sure" => Kind::Sure,
            "adjective" => Kind::Adjective,
            "place-of" | "value-of" => Kind::Subject,
            "measure" => Kind::Measure,
            "counted" => Kind::Counted,
            "one" => Kind::One,
            "year" => Kind::Year,
            "date-rest" => Kind::DateRest,
            "continent" => Kind::Continent,
            "definition" => Kind::Definition,
            "rest" => Kind::Rest,
            "gap" => Kind::Gap,
            _ => return None,
        })
    }
}

/// The slots a pattern can fill.
pub(crate) const SLOTS: [char; 6] = ['Y', 'X', 'V', 'N', 'W', 'G'];

/// A captured span of tokens `from..to`, and where matching goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) next: usize,
}

/// What a pattern captured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Captures([Option<Span>; SLOTS.len()]);

impl Captures {
    /// The span in slot `name`.
    pub(crate) fn get(&self, name: char) -> Option<Span> {
        SLOTS.iter().position(|&s| s == name).and_then(|i| self.0[i])
    }
}

/// The part of matching that depends on the language.
pub(crate) trait Grammar {
    /// Spans of `kind` that begin at token `at`, the best first.
    fn spans(&self, kind: Kind, tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>);
    /// True if a clause ends before token `at`.
    fn is_end(&self, tokens: &[Token<'_>], at: usize) -> bool;
}

#[derive(Debug)]
enum Node {
    Word(Box<str>),
    Group { branches: Vec<Vec<Node>>, optional: bool },
    Capture { slot: usize, kind: Kind },
    End,
}

/// A parsed pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    nodes: Vec<Node>,
    /// May begin at any token.
    pub(crate) floating: bool,
    /// For each set at least one word has to be in the sentence.
    needs: Vec<Vec<Box<str>>>,
}

impl Pattern {
    /// Parses `source` after putting in `macros`; the message says what is wrong with it.
    pub(crate) fn parse(source: &str, macros: &[(&str, &str)]) -> Result<Pattern, String> {
        let mut expanded = source.to_owned();
        for _ in 0..4 {
            for (name, body) in macros {
                expanded = expanded.replace(&format!("<{name}>"), &format!("({body})"));
            }
        }
        let (floating, body) = match expanded.strip_prefix('~') {
            Some(rest) => (true, rest),
            None => (false, expanded.as_str()),
        };
        let chars: Vec<char> = body.chars().collect();
        let mut at = 0;
        let mut branches = parse_branches(&chars, &mut at)?;
        if at != chars.len() {
            return Err(format!("unbalanced `)` in `{source}`"));
        }
        if branches.len() != 1 {
            return Err(format!("`|` outside of a group in `{source}`"));
        }
        let nodes = branches.remove(0);
        let mut needs = Vec::new();
        collect_needs(&nodes, &mut needs);
        Ok(Pattern { nodes, floating, needs })
    }

    /// False if the sentence lacks a word that every match has.
    pub(crate) fn may_match(&self, words: &HashSet<&str>, joined: &str) -> bool {
        self.needs.iter().all(|any| any.iter().any(|w| if w.is_ascii() { words.contains(&**w) } else { joined.contains(&**w) }))
    }

    /// Matches at token `at`, the likeliest way first, until `accept` takes the index behind the match and the captures.
    pub(crate) fn match_at(&self, spans: &Spans<'_>, at: usize, accept: &mut dyn FnMut(usize, Captures) -> bool) {
        let mut matcher = Matcher { spans, captures: Captures::default(), accept };
        matcher.run(&self.nodes, None, at);
    }
}

fn parse_branches(chars: &[char], at: &mut usize) -> Result<Vec<Vec<Node>>, String> {
    let mut branches = vec![Vec::new()];
    while *at < chars.len() {
        let c = chars[*at];
        let Some(nodes) = branches.last_mut() else { return Err("no branch".into()) };
        match c {
            ')' => break,
            '|' => {
                *at += 1;
                branches.push(Vec::new());
            }
            c if c.is_whitespace() => *at += 1,
            '(' => {
                *at += 1;
                let inner = parse_branches(chars, at)?;
                if chars.get(*at) != Some(&')') {
                    return Err("group without `)`".into());
                }
                *at += 1;
                let optional = chars.get(*at) == Some(&'?');
                *at += usize::from(optional);
                nodes.push(Node::Group { branches: inner, optional });
            }
            '{' => {
                let close = chars[*at..].iter().position(|&c| c == '}').ok_or("capture without `}`")? + *at;
                let inside: String = chars[*at + 1..close].iter().collect();
                let (slot, kind) = inside.split_once(':').ok_or_else(|| format!("capture `{inside}` without kind"))?;
                let index = SLOTS.iter().position(|s| slot.chars().eq([*s])).ok_or_else(|| format!("unknown slot `{slot}`"))?;
                let kind = Kind::parse(kind).ok_or_else(|| format!("unknown kind `{kind}`"))?;
                nodes.push(Node::Capture { slot: index, kind });
                *at = close + 1;
            }
            '\\' => {
                // An escaped mark stands for itself.
                let mark = chars.get(*at + 1).ok_or("nothing behind `\\`")?;
                nodes.push(Node::Word(mark.to_string().into()));
                *at += 2;
            }
            '$' => {
                nodes.push(Node::End);
                *at += 1;
            }
            _ => {
                let from = *at;
                while *at < chars.len() && !chars[*at].is_whitespace() && !matches!(chars[*at], '(' | ')' | '|' | '{' | '$' | '\\') {
                    *at += 1;
                }
                let word = chars[from..*at].iter().collect::<String>().to_lowercase();
                let literal = |w: &str| chars_or_word(w).into_iter().map(|w| Node::Word(w.into()));
                match word.strip_suffix('?').filter(|w| !w.is_empty()) {
                    Some(word) => nodes.push(Node::Group { branches: vec![literal(word).collect()], optional: true }),
                    None => nodes.extend(literal(&word)),
                }
            }
        }
    }
    Ok(branches)
}

fn collect_needs(nodes: &[Node], out: &mut Vec<Vec<Box<str>>>) {
    let mut at = 0;
    while at < nodes.len() {
        match &nodes[at] {
            Node::Word(_) => out.push(vec![run(nodes, &mut at)]),
            Node::Group { branches, optional: false } => {
                let first = |b: &Vec<Node>| b.iter().position(|n| matches!(n, Node::Word(_))).map(|mut i| run(b, &mut i));
                out.extend(branches.iter().map(first).collect::<Option<Vec<Box<str>>>>());
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The literal at `at`: one word, or all Chinese characters in a row; moves `at` behind it.
fn run(nodes: &[Node], at: &mut usize) -> Box<str> {
    let mut text = String::new();
    while let Some(Node::Word(word)) = nodes.get(*at) {
        if !text.is_empty() && (word.is_ascii() || text.is_ascii()) {
            break;
        }
        text.push_str(word);
        *at += 1;
    }
    text.into()
}

/// What is still to match behind the current sequence.
struct Rest<'a> {
    nodes: &'a [Node],
    then: Option<&'a Rest<'a>>,
}

/// Spans by kind and first token.
type Known = HashMap<(Kind, usize), Rc<[Span]>>;

/// The spans of one sentence, each list computed once however many patterns ask for it.
pub(crate) struct Spans<'s> {
    grammar: &'s dyn Grammar,
    tokens: &'s [Token<'s>],
    known: RefCell<Known>,
}

impl<'s> Spans<'s> {
    /// Nothing computed yet.
    pub(crate) fn new(grammar: &'s dyn Grammar, tokens: &'s [Token<'s>]) -> Self {
        Self { grammar, tokens, known: RefCell::default() }
    }

    fn get(&self, kind: Kind, at: usize) -> Rc<[Span]> {
        if let Some(spans) = self.known.borrow().get(&(kind, at)) {
            return Rc::clone(spans);
        }
        let mut spans = Vec::new();
        self.grammar.spans(kind, self.tokens, at, &mut spans);
        let spans: Rc<[Span]> = spans.into();
        self.known.borrow_mut().insert((kind, at), Rc::clone(&spans));
        spans
    }
}

struct Matcher<'m, 's, 'f> {
    spans: &'m Spans<'s>,
    captures: Captures,
    accept: &'f mut dyn FnMut(usize, Captures) -> bool,
}

impl Matcher<'_, '_, '_> {
    fn run(&mut self, nodes: &[Node], then: Option<&Rest<'_>>, at: usize) -> bool {
        let Some((first, rest)) = nodes.split_first() else {
            return match then {
                Some(rest) => self.run(rest.nodes, rest.then, at),
                None => (self.accept)(at, self.captures),
            };
        };
        match first {
            Node::Word(word) => self.spans.tokens.get(at).is_some_and(|t| *t.key == **word) && self.run(rest, then, at + 1),
            Node::End => self.spans.grammar.is_end(self.spans.tokens, at) && self.run(rest, then, at),
            Node::Group { branches, optional } => {
                let follow = Rest { nodes: rest, then };
                branches.iter().any(|b| self.run(b, Some(&follow), at)) || (*optional && self.run(rest, then, at))
            }
            Node::Capture { slot, kind } => {
                let before = self.captures.0[*slot];
                for span in self.spans.get(*kind, at).iter() {
                    self.captures.0[*slot] = Some(*span);
                    if self.run(rest, then, span.next) {
                        return true;
                    }
                }
                self.captures.0[*slot] = before;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token;
    use super::*;

    /// Any single token is a span of any kind.
    struct One;
    impl Grammar for One {
        fn spans(&self, _: Kind, tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
            if at < tokens.len() {
                out.push(Span { from: at, to: at + 1, next: at + 1 });
            }
        }
        fn is_end(&self, tokens: &[Token<'_>], at: usize) -> bool {
            at >= tokens.len()
        }
    }

    fn check(pattern: &str, text: &str, want: Option<&[(char, &str)]>) {
        let pattern = Pattern::parse(pattern, &[("BE", "is|was")]).unwrap();
        let tokens = token::tokens(text, 0);
        let words: HashSet<&str> = tokens.iter().map(|t| &*t.key).collect();
        let joined: String = tokens.iter().map(|t| &*t.key).collect();
        let spans = Spans::new(&One, &tokens);
        let mut got = None;
        if pattern.may_match(&words, &joined) {
            pattern.match_at(&spans, 0, &mut |end, captures| {
                got = Some((end, captures));
                true
            });
        }
        assert_eq!(got.is_some(), want.is_some(), "{text}");
        if let (Some((_, captures)), Some(want)) = (got, want) {
            for (slot, text) in want {
                let span = captures.get(*slot).unwrap();
                assert_eq!(tokens[span.from].text, *text);
            }
        }
    }

    #[test]
    fn words_groups_captures_and_ends() {
        check(
            "the {X:relation} of {Y:subject} <BE> {V:value} $",
            "The capital of France is Paris",
            Some(&[('X', "capital"), ('Y', "France"), ('V', "Paris")]),
        );
        check("the {X:relation} of {Y:subject} <BE> {V:value} $", "The capital of France is Paris now", None);
        check("{Y:subject} (has|had) (a|an)? {X:relation}", "Peru has capital", Some(&[('X', "capital")]));
        check("{Y:subject} (has|had) (a|an)? {X:relation}", "Peru had a capital", Some(&[('X', "capital")]));
        check("(a b|a) b c", "a b c", Some(&[]));
        check("{Y:subject} 的首都是 {V:value}", "法的首都是巴", Some(&[('Y', "法"), ('V', "巴")]));
    }

    #[test]
    fn faulty_patterns_are_named() {
        for bad in ["(a", "a)", "a|b", "{Q:value}", "{V:thing}", "{V"] {
            assert!(Pattern::parse(bad, &[]).is_err(), "{bad}");
        }
    }
}
