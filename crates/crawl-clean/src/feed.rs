//! Hands what [`crate::reduce`] leaves of a page to html5ever's tree builder, in the place of html5ever's own tokenizer, which looks at
//! every character.
//!
//! Character references, newlines and null characters are treated as the HTML standard says (section "Tokenization").

use crate::dom::{Limits, NodeId, Sink};
use crate::reduce::{Attribute, Next, Out};
use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{Doctype, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{LocalName, QualName, ns};
use memchr::{memchr2, memchr3};
use std::cell::RefCell;

/// Tags between two looks at the caps.
const TAGS_BETWEEN_LOOKS: u32 = 16;

/// Builds a tree from a walk over a page.
pub(crate) struct Feed {
    builder: TreeBuilder<NodeId, Sink>,
    /// The page, of whose memory texts are parts, and where the walk sees it.
    page: StrTendril,
    base: usize,
    limits: Limits,
    names: Names,
    /// Text in work, to spare allocations.
    buffer: String,
    tags: u32,
    cut: bool,
}

impl Feed {
    /// For a walk over `html`, and no other text.
    pub(crate) fn new(html: &str, sink: Sink, limits: Limits, options: TreeBuilderOpts) -> Self {
        Self {
            builder: TreeBuilder::new(sink, options),
            page: StrTendril::from_slice(html),
            base: html.as_ptr().addr(),
            limits,
            names: Names::default(),
            buffer: String::new(),
            tags: 0,
            cut: false,
        }
    }

    /// The tree, and whether a cap was met.
    pub(crate) fn finish(self) -> (Sink, bool) {
        let _ = self.builder.process_token(Token::EOFToken, 1);
        self.builder.end();
        (self.builder.sink, self.cut)
    }

    fn send(&self, token: Token) -> TokenSinkResult<NodeId> {
        self.builder.process_token(token, 1)
    }

    fn characters(&self, text: StrTendril) {
        if !text.is_empty() {
            let _ = self.send(Token::CharacterTokens(text));
        }
    }

    /// A part of the page.
    fn part(&self, text: &str) -> StrTendril {
        let offset = (text.as_ptr().addr() - self.base) as u32;
        self.page.subtendril(offset, text.len() as u32)
    }

    /// A part of the page with its character references resolved, newlines as one character each, and null characters replaced.
    fn resolved(&mut self, raw: &str, in_attribute: bool) -> StrTendril {
        let Some(first) = memchr3(b'&', b'\r', 0, raw.as_bytes()) else { return self.part(raw) };
        self.buffer.clear();
        self.buffer.push_str(&raw[..first]);
        let mut rest = &raw[first..];
        while let Some(null) = decode(rest, in_attribute, &mut self.buffer) {
            self.buffer.push('\u{fffd}');
            rest = &rest[null + 1..];
        }
        StrTendril::from_slice(&self.buffer)
    }
}

impl Out for Feed {
    fn text(&mut self, text: &str) {
        let Some(first) = memchr3(b'&', b'\r', 0, text.as_bytes()) else { return self.characters(self.part(text)) };
        self.buffer.clear();
        self.buffer.push_str(&text[..first]);
        // A null character is a token of its own: what becomes of it depends on where it stands.
        let mut rest = &text[first..];
        while let Some(null) = decode(rest, false, &mut self.buffer) {
            self.characters(StrTendril::from_slice(&self.buffer));
            self.buffer.clear();
            let _ = self.send(Token::NullCharacterToken);
            rest = &rest[null + 1..];
        }
        self.characters(StrTendril::from_slice(&self.buffer));
    }

    fn untagged(&mut self, text: &str) {
        let text = self.resolved(text, false);
        self.characters(text);
    }

    fn verbatim(&mut self, text: &str) {
        let text = match memchr2(0, b'\r', text.as_bytes()) {
            None => self.part(text),
            Some(_) => StrTendril::from_slice(&text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}")),
        };
        self.characters(text);
    }

    fn start(&mut self, name: &str, attributes: &[Attribute<'_>], self_closing: bool) -> Next {
        let name = self.names.get(name);
        let mut attrs: Vec<html5ever::Attribute> = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let local = self.names.get(attribute.name);
            // The first of several counts.
            if attrs.iter().all(|other| other.name.local != local) {
                let value = self.resolved(attribute.value, true);
                attrs.push(html5ever::Attribute { name: QualName::new(None, ns!(), local), value });
            }
        }
        let tag = Tag { kind: TagKind::StartTag, name, self_closing, attrs, had_duplicate_attributes: false };
        match self.send(Token::TagToken(tag)) {
            TokenSinkResult::RawData(kind) => Next::Raw { references: kind == RawKind::Rcdata },
            TokenSinkResult::Plaintext => Next::Plain,
            _ => Next::Markup,
        }
    }

    fn end(&mut self, name: &str) {
        let name = self.names.get(name);
        let tag = Tag { kind: TagKind::EndTag, name, self_closing: false, attrs: Vec::new(), had_duplicate_attributes: false };
        let _ = self.send(Token::TagToken(tag));
    }

    fn doctype(&mut self, declaration: &str) {
        // Which browsers a page was written for decides on tables in paragraphs. There is one a page, which the library may read.
        let tokens = Tokenizer::new(Doctypes::default(), TokenizerOpts::default());
        let input = BufferQueue::default();
        input.push_back(StrTendril::from_slice(declaration));
        let _ = tokens.feed(&input);
        tokens.end();
        for doctype in tokens.sink.0.take() {
            let _ = self.send(Token::DoctypeToken(doctype));
        }
    }

    fn in_foreign_content(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }

    fn is_full(&mut self) -> bool {
        self.tags += 1;
        if self.tags.is_multiple_of(TAGS_BETWEEN_LOOKS) {
            self.cut |= self.builder.sink.exceeds(self.limits);
        }
        self.cut
    }
}

/// The document types among tokens.
#[derive(Debug, Default)]
struct Doctypes(RefCell<Vec<Doctype>>);

impl TokenSink for Doctypes {
    type Handle = NodeId;

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<NodeId> {
        if let Token::DoctypeToken(doctype) = token {
            self.0.borrow_mut().push(doctype);
        }
        TokenSinkResult::Continue
    }
}

/// Names seen before, by a cheap hash.
struct Names(Vec<LocalName>);

impl Default for Names {
    fn default() -> Self {
        Self(vec![LocalName::from(""); Self::SLOTS])
    }
}

impl Names {
    const SLOTS: usize = 256;

    /// The name in lower case.
    fn get(&mut self, name: &str) -> LocalName {
        let bytes = name.as_bytes();
        let (first, last) = (bytes.first().copied().unwrap_or(0), bytes.last().copied().unwrap_or(0));
        let middle = bytes.get(bytes.len() / 2).copied().unwrap_or(0);
        let hash = usize::from(first) * 31 + usize::from(last) * 7 + usize::from(middle) * 3 + bytes.len() * 61;
        let slot = &mut self.0[hash % Self::SLOTS];
        if **slot != *name {
            if bytes.iter().any(|&byte| byte.is_ascii_uppercase() || byte == 0) {
                return LocalName::from(name.to_ascii_lowercase().replace('\0', "\u{fffd}"));
            }
            *slot = LocalName::from(name);
        }
        slot.clone()
    }
}

/// Adds `text` with its character references resolved and its newlines as one character each, up to a null character, whose place is
/// returned.
fn decode(text: &str, in_attribute: bool, out: &mut String) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = memchr3(b'&', b'\r', 0, &bytes[at..]) {
        at += found;
        match bytes[at] {
            b'&' => {
                let Some((length, chars)) = reference(&text[at..], in_attribute) else {
                    at += 1;
                    continue;
                };
                out.push_str(&text[from..at]);
                out.extend(chars.into_iter().filter(|&c| c != '\0'));
                at += length;
            }
            b'\r' => {
                out.push_str(&text[from..at]);
                at += 1;
                if bytes.get(at) != Some(&b'\n') {
                    out.push('\n');
                }
            }
            _ => {
                out.push_str(&text[from..at]);
                return Some(at);
            }
        }
        from = at;
    }
    out.push_str(&text[from..]);
    None
}

/// Length of the character reference at the beginning, and what it stands for: one character or two, else null.
fn reference(text: &str, in_attribute: bool) -> Option<(usize, [char; 2])> {
    let bytes = text.as_bytes();
    if bytes.get(1) == Some(&b'#') {
        return numeric(bytes);
    }
    let mut best = None;
    let mut end = 1;
    while let Some(&byte) = bytes.get(end)
        && (byte.is_ascii_alphanumeric() || (byte == b';' && end > 1))
    {
        end += 1;
        let Some(&(first, second)) = html5ever::data::NAMED_ENTITIES.get(&text[1..end]) else { break };
        // Zero stands for the beginning of a name.
        if first != 0 {
            best = Some((end, [char::from_u32(first)?, char::from_u32(second)?]));
        }
        if byte == b';' {
            break;
        }
    }
    let (end, chars) = best?;
    let next = bytes.get(end).copied().unwrap_or(0);
    // Addresses in attributes are full of names without a semicolon.
    let historical = in_attribute && bytes[end - 1] != b';' && (next == b'=' || next.is_ascii_alphanumeric());
    (!historical).then_some((end, chars))
}

fn numeric(bytes: &[u8]) -> Option<(usize, [char; 2])> {
    let (base, digits) = if matches!(bytes.get(2), Some(b'x' | b'X')) { (16, 3) } else { (10, 2) };
    let mut at = digits;
    let mut number = 0_u32;
    while let Some(digit) = bytes.get(at).and_then(|&byte| char::from(byte).to_digit(base)) {
        // Beyond the last character all numbers are alike.
        number = number.saturating_mul(base).saturating_add(digit);
        at += 1;
    }
    if at == digits {
        return None;
    }
    let end = at + usize::from(bytes.get(at) == Some(&b';'));
    let char = match number {
        0x80..=0x9f => html5ever::data::C1_REPLACEMENTS[(number - 0x80) as usize].or(char::from_u32(number)),
        _ => char::from_u32(number).filter(|&c| c != '\0'),
    };
    Some((end, [char.unwrap_or('\u{fffd}'), '\0']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::{Data, Dom, NONE, ROOT};
    use crate::reduce::tests::written;

    const LIMITS: Limits = Limits { nodes: 100_000, depth: 10_000 };

    fn outline(dom: &Dom) -> String {
        let mut out = String::new();
        let mut at = ROOT;
        while at != NONE {
            match &dom.nodes[at as usize].data {
                Data::Element { name, attributes } => {
                    out.push_str(&format!("<{}:{}", &*name.ns, name.local));
                    attributes.iter().for_each(|a| out.push_str(&format!(" {}={:?}", a.name.local, &*a.value)));
                    out.push('>');
                }
                Data::Text(text) => out.push_str(&format!("{:?}", &**text)),
                _ => {}
            }
            at = dom.following(at, ROOT);
        }
        out
    }

    fn both(html: &str) -> (String, String) {
        (outline(&Dom::parse(html, LIMITS)), outline(&Dom::parse_all(&written(html), LIMITS)))
    }

    #[test]
    fn references_are_those_of_the_standard() {
        for (html, in_attribute, want) in [
            ("&amp;&lt;&nbsp;&notin;", false, "&<\u{a0}∉"),
            ("&ampx &am &; & &&lt", false, "&x &am &; & &<"),
            ("&noti; &notit; &not", false, "¬i; ¬it; ¬"),
            ("&copy=1&copyx&copy;&copy", true, "&copy=1&copyx©©"),
            ("&#65;&#x41;&#X41&#65x", false, "AAAAx"),
            ("&#0;&#xD800;&#x110000;&#99999999999;&#128;&#x81;", false, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}€\u{81}"),
            ("&# &#x &#xg;", false, "&# &#x &#xg;"),
            ("&NotEqualTilde;&CounterClockwiseContourIntegral;", false, "≂̸∳"),
            ("a\r\nb\rc\n\r", false, "a\nb\nc\n\n"),
            ("山&amp;水&", false, "山&水&"),
        ] {
            let mut out = String::new();
            assert_eq!(decode(html, in_attribute, &mut out), None);
            assert_eq!(out, want, "{html}");
        }
    }

    #[test]
    fn trees_are_those_of_the_library() {
        for html in [
            "<!DOCTYPE html><title>T\0 &amp; <b>U</title><p id=a>a<p>b<b>c</b> d<table><tr><td>x<p>y</table>&amp; &lt;p>",
            "<p>1<table><tr><td>quirks",
            "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\"><p>1<table>",
            "<!DOCTYPE html SYSTEM 'about:legacy-compat'><p>1<table><!doctype x>2",
            "<p CLASS='A&amp;B&copy=1' class=c ID=\"x\r\ny\0\">\r\nz\0&#10;</P x>",
            "<pre>\n\na</pre><pre>\r\nb</pre><listing>\nc",
            "<svg><title>a<p>b</title><g/>x</svg><math><mi/>y<annotation-xml encoding='text/html'><p>z</math>",
            "<table>a<td>b\0<tr>c&nbsp;<select><option>d<table>",
            "<xmp><b>&amp;\r</xmp><noscript><p>a</noscript><plaintext>b</plaintext>",
            "<script type='application/ld+json'>{\"a\": \"<b>&amp;\"}</script>c<a href=x><a>d",
            "\u{feff}<body class=a><body class=b id=c><html lang=x hidden>1",
            "x</",
            "x<",
            "</>y",
            "<p",
            "</p",
            "<p/ / class=a/>",
            "<frameset><frame></frameset>",
            "",
        ] {
            let (ours, theirs) = both(html);
            assert_eq!(ours, theirs, "{html}");
        }
    }

    #[test]
    fn character_data_is_text_in_foreign_content_alone() {
        let dom = Dom::parse("<svg><![CDATA[a<b>&amp;\r\n]]>c<![CDATA[</svg>]]></svg><![CDATA[d>e<![CDATA[f", LIMITS);
        assert_eq!(dom.text(ROOT), "a<b>&amp;\nc</svg>e");
    }

    #[test]
    fn trees_of_random_pages_are_those_of_the_library() {
        const PARTS: [&str; 56] = [
            "<p>",
            "</p>",
            "<div class='a&amp;b'>",
            "</div>",
            "<table>",
            "<tr>",
            "<td>",
            "</table>",
            "<b>",
            "</b>",
            "<i>",
            "</i>",
            "<a id=x>",
            "</a>",
            "<ul>",
            "<li>",
            "</ul>",
            "<select>",
            "<option>",
            "</select>",
            "<title>",
            "</title>",
            "<xmp>",
            "</xmp>",
            "<svg>",
            "</svg>",
            "<math>",
            "<mi>",
            "</math>",
            "<template>",
            "</template>",
            "<br/>",
            "<hr>",
            "</br>",
            "<h1>",
            "</h2>",
            "<button>",
            "<form>",
            "</form>",
            "<head>",
            "<body>",
            "</body>",
            "</html>",
            "<noscript>",
            "<pre>\n",
            "text",
            " ",
            "\r\n",
            "&amp;",
            "&lt",
            "\0",
            "<!-- c -->",
            "<nobr>",
            "<dd>",
            "<caption>",
            "<col>",
        ];
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let html: String = (0..=next(24)).map(|_| PARTS[next(PARTS.len())]).collect();
            // The writer cannot ask whether a title stands in foreign content.
            if (html.contains("<svg") || html.contains("<math")) && (html.contains("<title") || html.contains("<xmp")) {
                continue;
            }
            let (ours, theirs) = both(&html);
            assert_eq!(ours, theirs, "{html:?}");
        }
    }
}
