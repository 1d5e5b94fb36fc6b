//! Questions and answers that a page marks up as such.
//!
//! Read, in this order and each pair once: JSON-LD (`FAQPage`, `QAPage`), microdata (`itemtype` Question with Answer inside), `details`
//! with a `summary`, and `dt` with all `dd` behind it. The last two are questions only if they end like one.

use super::page::{linked_data, parse_json};
use super::tags::{Role, Tag};
use crate::dom::{Dom, Limits, NONE, NodeId, ROOT};
use serde_json::Value;
use std::collections::HashSet;

/// A question with its answer, in plain text on one line each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The question.
    pub question: String,
    /// The answer; of several the accepted one, else the first.
    pub answer: String,
}

/// Most pairs of a page.
const MOST: usize = 500;
/// Longest question and longest answer in bytes; what is longer is no such pair.
const LONGEST: (usize, usize) = (1_000, 20_000);
/// Nodes of an answer that is HTML inside of JSON.
const INNER: Limits = Limits { nodes: 5_000, depth: 100 };
/// Nodes looked at, as a multiple of the page's: elements that answer may stand within each other.
const FUEL: usize = 8;
/// Levels of JSON-LD that are searched.
const JSON_DEPTH: usize = 6;

/// Most terms in a row that share their descriptions.
const SHARING: usize = 8;

/// The pairs of a page.
#[must_use]
pub fn read(dom: &Dom) -> Vec<Question> {
    let mut found = Found { fuel: FUEL * dom.nodes.len(), ..Found::default() };
    for json in linked_data(dom) {
        // A page that stores megabytes of JSON pays for reading it once; broken JSON holds nothing.
        if ["Question", "FAQPage", "QAPage"].iter().any(|name| json.contains(name))
            && let Some(value) = parse_json(json)
        {
            found.json(&value, JSON_DEPTH);
        }
    }
    let mut at = ROOT;
    while at != NONE && found.list.len() < MOST {
        match dom.tag(at) {
            Tag::Details => {
                let summary = dom.nodes[at as usize].first_child;
                let summary = dom.siblings(summary).find(|&id| dom.tag(id) == Tag::Summary);
                if let Some(summary) = summary {
                    let question = found.text(dom, summary);
                    let inner = dom.siblings(dom.nodes[at as usize].first_child).filter(|&id| id != summary);
                    let answer: String = inner.map(|id| found.text(dom, id) + " ").collect();
                    found.asked(&question, &answer);
                }
            }
            Tag::Dt => {
                let behind = dom.siblings(dom.nodes[at as usize].next).filter(|&id| dom.tag(id) != Tag::None);
                let mut sharing = 0;
                let shares = |id: &NodeId| {
                    sharing += 1;
                    dom.tag(*id) == Tag::Dt && sharing < SHARING
                };
                let answers = behind.skip_while(shares).take_while(|&id| dom.tag(id) == Tag::Dd);
                let question = found.text(dom, at);
                let answer: String = answers.map(|id| found.text(dom, id) + " ").collect();
                found.asked(&question, &answer);
            }
            _ => {
                if dom.attribute(at, "itemtype").is_some_and(|kind| kind.ends_with("/Question")) {
                    found.microdata(dom, at);
                }
            }
        }
        at = dom.following(at, ROOT);
    }
    found.list
}

#[derive(Default)]
struct Found {
    list: Vec<Question>,
    seen: HashSet<Question>,
    fuel: usize,
}

impl Found {
    /// Takes a pair whose question must look like one. An icon behind it, of a fold or of a link, is no part of it.
    fn asked(&mut self, question: &str, answer: &str) {
        let question = question.trim_end_matches(|c: char| c.is_whitespace() || is_icon(c));
        let greek = |c: char| matches!(c, '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}');
        if question.ends_with(['?', '？', '؟', '\u{37E}']) || question.strip_suffix(';').is_some_and(|asked| asked.ends_with(greek)) {
            self.pair(question, answer);
        }
    }

    fn pair(&mut self, question: &str, answer: &str) {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let pair = Question { question: one_line(question), answer: one_line(answer) };
        let fits = |text: &str, most| !text.is_empty() && text.len() <= most;
        if self.list.len() < MOST && fits(&pair.question, LONGEST.0) && fits(&pair.answer, LONGEST.1) && self.seen.insert(pair.clone()) {
            self.list.push(pair);
        }
    }

    fn json(&mut self, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.json(item, depth)),
            Value::Object(map) => {
                let is = |name: &str| match map.get("@type") {
                    Some(Value::String(kind)) => is_type(kind, name),
                    Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(|kind| is_type(kind, name)),
                    _ => false,
                };
                if is("Question") {
                    let question = map.get("name").or_else(|| map.get("text")).and_then(Value::as_str);
                    let answer = ["acceptedAnswer", "suggestedAnswer"].iter().find_map(|key| map.get(*key).and_then(answer_text));
                    if let (Some(question), Some(answer)) = (question, answer) {
                        self.pair(&plain(question), &plain(answer));
                    }
                    return;
                }
                for key in ["@graph", "mainEntity", "mainEntityOfPage", "hasPart"] {
                    if let Some(inner) = map.get(key) {
                        self.json(inner, depth);
                    }
                }
            }
            _ => {}
        }
    }

    /// True while there is fuel for one more node.
    fn burn(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }

    /// Text below a node, with a space between elements that begin or end blocks.
    fn text(&mut self, dom: &Dom, top: NodeId) -> String {
        let mut out = String::new();
        let mut at = top;
        while at != NONE && out.len() <= 2 * LONGEST.1 && self.burn() {
            if let Some(text) = dom.own_text(at) {
                out.push_str(text);
            } else if dom.tag(at).role() == Role::Invisible {
                at = dom.after(at, top);
                continue;
            } else if dom.tag(at).role() != Role::Inline {
                out.push(' ');
            }
            at = dom.following(at, top);
        }
        out
    }

    /// What the answer says is its text, or all of it.
    fn inner_answer(&mut self, dom: &Dom, top: NodeId) -> String {
        let mut at = top;
        while at != NONE && self.burn() {
            if dom.attribute(at, "itemprop") == Some("text") {
                return self.text(dom, at);
            }
            at = dom.following(at, top);
        }
        self.text(dom, top)
    }

    fn microdata(&mut self, dom: &Dom, top: NodeId) {
        let (mut question, mut answer, mut suggested) = (None, None, None);
        let mut at = dom.following(top, top);
        while at != NONE && self.burn() {
            let item = dom.attribute(at, "itemprop");
            match item {
                Some("name") if question.is_none() => question = Some(self.text(dom, at)),
                Some("acceptedAnswer") if answer.is_none() => answer = Some(self.inner_answer(dom, at)),
                Some("suggestedAnswer") if suggested.is_none() => suggested = Some(self.inner_answer(dom, at)),
                _ => {}
            }
            if question.is_some() && answer.is_some() {
                break;
            }
            // An answer's own name is not the question's.
            let skip = matches!(item, Some("acceptedAnswer" | "suggestedAnswer" | "author"));
            at = if skip { dom.after(at, top) } else { dom.following(at, top) };
        }
        if let (Some(question), Some(answer)) = (question, answer.or(suggested)) {
            self.pair(&question, &answer);
        }
    }
}

fn answer_text(answer: &Value) -> Option<&str> {
    match answer {
        Value::Array(answers) => answers.first().and_then(answer_text),
        Value::Object(map) => map.get("text").and_then(Value::as_str),
        _ => None,
    }
}

/// True for a type of schema.org, by its name or its address.
fn is_type(kind: &str, name: &str) -> bool {
    kind.rsplit(['/', '#', ':']).next() == Some(name)
}

/// True for what stands for opening, closing or linking.
fn is_icon(c: char) -> bool {
    matches!(c, '+' | '-' | '−' | '–' | '×' | '✕' | '›' | '»' | '∨' | '⌄' | '¶' | '#' | '←'..='⇿' | '■'..='◿' | '\u{E000}'..='\u{F8FF}')
}

/// Text of a value that may be HTML.
fn plain(value: &str) -> String {
    if !value.contains(['<', '&']) {
        return value.to_owned();
    }
    let dom = Dom::parse(value, INNER);
    Found { fuel: 2 * dom.nodes.len(), ..Found::default() }.text(&dom, ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(html: &str) -> Vec<(String, String)> {
        let dom = Dom::parse(html, Limits { nodes: 9_999, depth: 99 });
        read(&dom).into_iter().map(|pair| (pair.question, pair.answer)).collect()
    }

    #[track_caller]
    fn check(html: &str, want: &[(&str, &str)]) {
        let want: Vec<(String, String)> = want.iter().map(|&(q, a)| (q.to_owned(), a.to_owned())).collect();
        assert_eq!(pairs(html), want);
    }

    #[test]
    fn linked_data_pairs() {
        let json = r#"{"@graph":[{"@type":"FAQPage","mainEntity":[
            {"@type":"Question","name":"Is it far?","acceptedAnswer":{"@type":"Answer","text":"<p>No &amp; <b>yes</b>.</p><p>It is.</p>"}},
            {"@type":["Question"],"name":"多远？","acceptedAnswer":[],"suggestedAnswer":[{"text":"三里"},{"text":"四里"}]},
            {"@type":"Question","name":"Unanswered?"}]}]}"#;
        let html = format!("<script type=application/ld+json>{json}</script><script type=application/ld+json>{{Question</script>");
        check(&html, &[("Is it far?", "No & yes. It is."), ("多远？", "三里")]);
        check(&format!("{html}{html}"), &[("Is it far?", "No & yes. It is."), ("多远？", "三里")]);
    }

    #[test]
    fn linked_data_as_pages_have_it() {
        let json = r#"{"@type":"https://schema.org/Question","name":"Why?","acceptedAnswer":{"text":"So
            it is."}}"#;
        for (start, end) in [("", ""), ("//<![CDATA[\n", "\n//]]>"), ("/*<![CDATA[*/", "/*]]>*/"), ("<![CDATA[", "]]>")] {
            let html = format!("<script type='application/ld+json; charset=utf-8'>{start}{json}{end}</script>");
            check(&html, &[("Why?", "So it is.")]);
        }
    }

    #[test]
    fn microdata_pairs() {
        let html = "<div itemtype=https://schema.org/Question><h2 itemprop=name>How?</h2>\
            <div itemprop=acceptedAnswer><i itemprop=name>Bob</i><p itemprop=text>So.</p></div></div>";
        check(html, &[("How?", "So.")]);
        let html = "<div itemtype=x/Question><h2 itemprop=name>How?</h2><p itemprop=suggestedAnswer>Thus.<p itemprop=suggestedAnswer>No.";
        check(html, &[("How?", "Thus.")]);
        check(&format!("{html}<p itemprop=acceptedAnswer>So."), &[("How?", "So.")]);
    }

    #[test]
    fn lists_and_folds_that_ask() {
        check("<dl><dt>Why?<dd>Thus<br>and so.<dt>Sun<dd>A star.</dl>", &[("Why?", "Thus and so.")]);
        check("<details><summary>谁？</summary><p>我</p>和你</details><details>x</details>", &[("谁？", "我 和你")]);
        check(
            "<dl><dt>Why?<dd>Thus.<dd>And so.<dt>Who?<dt>Where?<dd>Here.</dl>",
            &[("Why?", "Thus. And so."), ("Who?", "Here."), ("Where?", "Here.")],
        );
        check("<details><summary>Πού είναι;</summary>Εδώ</details>", &[("Πού είναι;", "Εδώ")]);
        check("<details><summary>How much? <i>+</i></summary>Ten</details>", &[("How much?", "Ten")]);
        check("<details><summary>Much;</summary>x</details><details><summary>More</summary>x</details><dl><dt>Who?</dl>", &[]);
    }
}
