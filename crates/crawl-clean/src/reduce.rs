//! Walks over a page without what no reader sees: comments, scripts, styles, frames, and all attributes but a few.
//!
//! More than half of a page is such, and it is skipped at the speed of a search. Tags, attributes, comments and raw text are delimited as
//! the HTML standard says, so the tree that is built from what is left has the same elements and the same text, but for the elements
//! dropped.

use memchr::{memchr, memchr_iter, memmem};

/// Takes what is left of a page, in order.
pub trait Out {
    /// Text as it stands on the page, character references and all.
    fn text(&mut self, text: &str);
    /// Text in which character references count, but no tags.
    fn untagged(&mut self, text: &str);
    /// Text in which neither count.
    fn verbatim(&mut self, text: &str);
    /// A start tag with the attributes that are of use; says what the page goes on with.
    fn start(&mut self, name: &str, attributes: &[Attribute<'_>], self_closing: bool) -> Next;
    /// An end tag.
    fn end(&mut self, name: &str);
    /// A document type, from `<!` to `>`.
    fn doctype(&mut self, declaration: &str);
    /// True inside of SVG and MathML, where CDATA sections are text.
    fn in_foreign_content(&self) -> bool;
    /// True if no more is wanted.
    fn is_full(&mut self) -> bool;
}

/// What follows a start tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Text and tags.
    Markup,
    /// Text up to the end tag, with or without character references.
    Raw {
        /// Character references count.
        references: bool,
    },
    /// Text to the end of the page.
    Plain,
}

/// An attribute as it stands in its tag.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value without quotes, empty if it has none.
    pub value: &'a str,
    /// All of it.
    pub whole: &'a str,
}

/// Hands what is left of a page to `out`.
pub fn walk(html: &str, out: &mut impl Out) {
    let html = html.strip_prefix('\u{feff}').unwrap_or(html);
    let bytes = html.as_bytes();
    let mut attributes = Vec::new();
    // From here on nothing has been handed on.
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = memchr(b'<', &bytes[at..]) {
        if out.is_full() {
            return;
        }
        let open = at + found;
        let Some(&next) = bytes.get(open + 1) else { break };
        let end = match next {
            b'a'..=b'z' | b'A'..=b'Z' => {
                some_text(&html[from..open], out);
                from = start_tag(html, open, &mut attributes, out);
                at = from;
                continue;
            }
            b'/' => match bytes.get(open + 2) {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    some_text(&html[from..open], out);
                    from = end_tag(html, open, out);
                    at = from;
                    continue;
                }
                // At the very end it is text.
                None => break,
                Some(_) => past(bytes, open + 2, b">"),
            },
            b'!' if bytes[open..].starts_with(b"<!--") => comment_end(bytes, open + 4),
            b'!' if bytes[open..].len() >= 9 && bytes[open + 2..open + 9].eq_ignore_ascii_case(b"doctype") => {
                some_text(&html[from..open], out);
                let end = past(bytes, open, b">");
                out.doctype(&html[open..end]);
                (from, at) = (end, end);
                continue;
            }
            b'!' if bytes[open..].starts_with(b"<![CDATA[") => {
                some_text(&html[from..open], out);
                from = open;
                if out.in_foreign_content() {
                    let text = open + b"<![CDATA[".len();
                    let end = memmem::find(&bytes[text..], b"]]>").map_or(bytes.len(), |length| text + length);
                    out.verbatim(&html[text..end]);
                    (end + b"]]>".len()).min(bytes.len())
                } else {
                    past(bytes, open, b">")
                }
            }
            b'!' | b'?' => past(bytes, open, b">"),
            _ => {
                at = open + 1;
                continue;
            }
        };
        some_text(&html[from..open], out);
        (from, at) = (end, end);
    }
    some_text(&html[from..], out);
}

fn some_text(text: &str, out: &mut impl Out) {
    if !text.is_empty() {
        out.text(text);
    }
}

/// The place behind the next `what`, or the end.
fn past(bytes: &[u8], at: usize, what: &[u8]) -> usize {
    memmem::find(&bytes[at.min(bytes.len())..], what).map_or(bytes.len(), |found| at + found + what.len())
}

/// Where a comment ends whose text begins at `at`.
fn comment_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b">") {
        return at + 1;
    }
    if rest.starts_with(b"->") {
        return at + 2;
    }
    for found in memchr_iter(b'>', rest) {
        if rest[..found].ends_with(b"--") || rest[..found].ends_with(b"--!") {
            return at + found + 1;
        }
    }
    bytes.len()
}

fn end_tag(html: &str, open: usize, out: &mut impl Out) -> usize {
    let bytes = html.as_bytes();
    let name = name_end(bytes, open + 2);
    let mut at = name;
    while let Some(attribute) = next_attribute(bytes, at) {
        at = attribute.end;
    }
    let Some(close) = tag_close(bytes, at) else { return bytes.len() };
    out.end(&html[open + 2..name]);
    close.0
}

/// Types of scripts that are data: linked data, and formulas.
const DATA: [&[u8]; 2] = [b"ld+json", b"math/tex"];

/// Hands on a start tag and the raw text behind it, or skips the element, and returns where to go on.
fn start_tag<'a>(html: &'a str, open: usize, attributes: &mut Vec<Attribute<'a>>, out: &mut impl Out) -> usize {
    let bytes = html.as_bytes();
    let name_at = open + 1;
    let name_end = name_end(bytes, name_at);
    let name = &html[name_at..name_end];
    let kind = Kind::of(name.as_bytes());
    attributes.clear();
    let mut data = false;
    let mut at = name_end;
    while let Some(span) = next_attribute(bytes, at) {
        let (key, value) = (&html[span.start..span.name_end], &html[span.value.0..span.value.1]);
        if kind.keeps(key.as_bytes(), value.as_bytes()) {
            attributes.push(Attribute { name: key, value, whole: &html[span.start..span.end] });
            data |= kind == Kind::Script && DATA.iter().any(|name| memmem::find(value.as_bytes(), name).is_some());
        }
        at = span.end;
    }
    // Where the page ends inside of the tag, it is none.
    let Some((close, closed)) = tag_close(bytes, at) else { return bytes.len() };
    if kind == Kind::Dropped || (kind == Kind::Script && !data) {
        let end = if kind == Kind::Script { script_end(bytes, close) } else { raw_end(bytes, close, name.as_bytes()) };
        return past_end_tag(bytes, end);
    }
    let (end, references) = match out.start(name, attributes, closed) {
        Next::Markup => return close,
        Next::Plain => (bytes.len(), false),
        Next::Raw { references } if kind == Kind::Script => (script_end(bytes, close), references),
        Next::Raw { references } => (raw_end(bytes, close, name.as_bytes()), references),
    };
    if references {
        out.untagged(&html[close..end]);
    } else {
        out.verbatim(&html[close..end]);
    }
    end
}

/// The place behind the end tag at `at`, or the end.
fn past_end_tag(bytes: &[u8], at: usize) -> usize {
    if at == bytes.len() {
        return at;
    }
    let mut at = name_end(bytes, at + 2);
    while let Some(attribute) = next_attribute(bytes, at) {
        at = attribute.end;
    }
    tag_close(bytes, at).map_or(bytes.len(), |(close, _)| close)
}

/// Styles that decide whether text is shown, and whether it stands apart.
const STYLES: [&[u8]; 4] = [b"none", b"hidden", b"block", b"right"];

/// Elements by what becomes of their text and their attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Meta,
    Link,
    Input,
    /// A numbered list or an item of one.
    Numbered,
    Image,
    /// A cell of a table.
    Cell,
    /// Raw text that is dropped unless it is data.
    Script,
    /// Raw text that is dropped.
    Dropped,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match (name.len(), name[0].to_ascii_lowercase()) {
            (2, b'l') if is(b"li") => Self::Numbered,
            (2, b'o') if is(b"ol") => Self::Numbered,
            (2, b't') if is(b"td") || is(b"th") => Self::Cell,
            (3, b'i') if is(b"img") => Self::Image,
            (4, b'm') if is(b"meta") => Self::Meta,
            (4, b'l') if is(b"link") => Self::Link,
            (5, b'i') if is(b"input") => Self::Input,
            (6, b's') if is(b"script") => Self::Script,
            (5, b's') if is(b"style") => Self::Dropped,
            (6, b'i') if is(b"iframe") => Self::Dropped,
            (7, b'n') if is(b"noembed") => Self::Dropped,
            (8, b'n') if is(b"noframes") => Self::Dropped,
            (8, b't') if is(b"textarea") => Self::Dropped,
            _ => Self::Other,
        }
    }

    /// True if extraction looks at the attribute; `value` is what follows its name.
    fn keeps(self, key: &[u8], value: &[u8]) -> bool {
        let is = |other: &[u8]| key.eq_ignore_ascii_case(other);
        match key.len() {
            5 if is(b"class") => true,
            2 if is(b"id") => true,
            4 if is(b"role") => true,
            3 if self == Self::Image && is(b"alt") => true,
            3 if matches!(self, Self::Other | Self::Numbered | Self::Cell) && is(b"rel") => true,
            5 if self == Self::Numbered && (is(b"start") || is(b"value")) => true,
            7 if self == Self::Cell && (is(b"rowspan") || is(b"colspan")) => true,
            8 if self == Self::Numbered && is(b"reversed") => true,
            8 if is(b"itemprop") || is(b"itemtype") || is(b"datetime") => true,
            6 if is(b"hidden") => true,
            11 if is(b"aria-hidden") => true,
            5 if is(b"style") => STYLES.iter().any(|style| memmem::find(value, style).is_some()),
            4 if self == Self::Meta && is(b"name") => true,
            7 if self == Self::Meta && is(b"content") => true,
            8 if self == Self::Meta && is(b"property") => true,
            3 if self == Self::Link && is(b"rel") => true,
            4 if self == Self::Link && is(b"href") => true,
            4 if matches!(self, Self::Script | Self::Input) && is(b"type") => true,
            // These two decide where foreign content ends.
            8 if is(b"encoding") => true,
            _ => false,
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

fn name_end(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..].iter().position(|&byte| is_space(byte) || byte == b'/' || byte == b'>');
    length.map_or(bytes.len(), |length| at + length)
}

/// An attribute: where it begins, where its name ends, its value without quotes, and where it ends.
struct Span {
    start: usize,
    name_end: usize,
    value: (usize, usize),
    end: usize,
}

/// White space and slashes between attributes.
fn skip_between(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&byte| is_space(byte) || byte == b'/') {
        at += 1;
    }
    at
}

/// Where the tag ends, and whether it closes itself; `None` if the page ends before. No attribute follows `at`.
fn tag_close(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let end = skip_between(bytes, at);
    (end < bytes.len()).then(|| (end + 1, end > at && bytes[end - 1] == b'/'))
}

fn next_attribute(bytes: &[u8], at: usize) -> Option<Span> {
    let start = skip_between(bytes, at);
    if start >= bytes.len() || bytes[start] == b'>' {
        return None;
    }
    // A name may begin with an equals sign.
    let length = bytes[start + 1..].iter().position(|&byte| is_space(byte) || matches!(byte, b'/' | b'>' | b'='));
    let name_end = length.map_or(bytes.len(), |length| start + 1 + length);
    let mut at = name_end;
    while bytes.get(at).is_some_and(|&byte| is_space(byte)) {
        at += 1;
    }
    if bytes.get(at) != Some(&b'=') {
        return Some(Span { start, name_end, value: (name_end, name_end), end: name_end });
    }
    at += 1;
    while bytes.get(at).is_some_and(|&byte| is_space(byte)) {
        at += 1;
    }
    let (value, end) = match bytes.get(at) {
        Some(&quote @ (b'"' | b'\'')) => {
            let end = memchr(quote, &bytes[at + 1..]).map_or(bytes.len(), |length| at + 1 + length);
            ((at + 1, end), (end + 1).min(bytes.len()))
        }
        // `a=>` has no value.
        Some(b'>') | None => ((at, at), at),
        Some(_) => {
            let length = bytes[at..].iter().position(|&byte| is_space(byte) || byte == b'>');
            let end = length.map_or(bytes.len(), |length| at + length);
            ((at, end), end)
        }
    };
    Some(Span { start, name_end, value, end })
}

/// Where the end tag `name` of raw text begins, or the end of the page.
fn raw_end(bytes: &[u8], at: usize, name: &[u8]) -> usize {
    for found in memchr_iter(b'<', &bytes[at..]) {
        let place = at + found;
        let rest = &bytes[place + 1..];
        if rest.first() == Some(&b'/')
            && rest.len() > name.len()
            && rest[1..=name.len()].eq_ignore_ascii_case(name)
            && rest.get(name.len() + 1).is_none_or(|&byte| is_space(byte) || byte == b'/' || byte == b'>')
        {
            return place;
        }
    }
    bytes.len()
}

/// Where the end tag of a script begins: a script tag within `<!--` hides one end tag.
fn script_end(bytes: &[u8], at: usize) -> usize {
    let mut from = at;
    loop {
        let end = raw_end(bytes, from, b"script");
        let text = &bytes[from..end];
        let hidden = memmem::rfind(text, b"<!--").is_some_and(|comment| {
            let rest = &text[comment..];
            memmem::find(rest, b"-->").is_none() && opens_script(rest)
        });
        if !hidden || end == bytes.len() {
            return end;
        }
        from = end + 1;
    }
}

fn opens_script(text: &[u8]) -> bool {
    memchr_iter(b'<', text).any(|at| text.len() > at + 7 && text[at + 1..at + 7].eq_ignore_ascii_case(b"script"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The page as a string, for html5ever's own tokenizer.
    #[derive(Default)]
    struct Written(String);

    impl Out for Written {
        fn text(&mut self, text: &str) {
            self.0.push_str(text);
        }

        fn untagged(&mut self, text: &str) {
            self.0.push_str(text);
        }

        fn verbatim(&mut self, text: &str) {
            self.0.push_str(text);
        }

        fn start(&mut self, name: &str, attributes: &[Attribute<'_>], self_closing: bool) -> Next {
            self.0.push_str(&format!("<{name}"));
            attributes.iter().for_each(|attribute| self.0.push_str(&format!(" {}", attribute.whole)));
            self.0.push_str(if self_closing { " />" } else { ">" });
            match name.to_ascii_lowercase().as_str() {
                "title" => Next::Raw { references: true },
                "xmp" | "script" => Next::Raw { references: false },
                "plaintext" => Next::Plain,
                _ => Next::Markup,
            }
        }

        fn end(&mut self, name: &str) {
            self.0.push_str(&format!("</{name}>"));
        }

        fn doctype(&mut self, declaration: &str) {
            self.0.push_str(declaration);
        }

        fn in_foreign_content(&self) -> bool {
            false
        }

        fn is_full(&mut self) -> bool {
            false
        }
    }

    /// What is left of a page.
    pub(crate) fn written(html: &str) -> String {
        let mut out = Written::default();
        walk(html, &mut out);
        out.0
    }

    #[test]
    fn what_no_reader_sees_goes() {
        for (html, want) in [
            ("a<!-- b > c -->d", "ad"),
            ("a<!-->b<!--->c<!-- x --!>d", "abcd"),
            ("a<!-- never ends", "a"),
            ("<p onclick='x>y' class=\"a b\" data-x=1 id=c>d</p x='>'>", "<p class=\"a b\" id=c>d</p>"),
            ("<script>if (a<b) '</p>'</script >x", "x"),
            ("<SCRIPT src=x></Script>x", "x"),
            ("<script><!-- <script> </script> --></script>x", "x"),
            ("<script type='application/ld+json'>{1}</script>x", "<script type='application/ld+json'>{1}</script>x"),
            ("<script type='math/tex; mode=display'>a<b</script>x", "<script type='math/tex; mode=display'>a<b</script>x"),
            ("<style>p > a {}</style><iframe>x</iframe><textarea><p></textarea>y", "y"),
            ("<title><b>a</b></title>", "<title><b>a</b></title>"),
            ("<br/><img src=a/><path d='M 0' />", "<br /><img><path />"),
            ("<p style='color: red'><p style='display: none'>", "<p><p style='display: none'>"),
            ("<b style='float:right'><b style='float:left'>", "<b style='float:right'><b>"),
            ("<ol start=3 type=a><li value=5><p value=6>", "<ol start=3><li value=5><p>"),
            ("<td rowspan=2 width=3><p colspan=2>", "<td rowspan=2><p>"),
            ("<img alt=x src=y><p alt=z>", "<img alt=x><p>"),
            ("<!DOCTYPE html><?xml?><!bogus></>x< y <1", "<!DOCTYPE html>x< y <1"),
            ("<a =x href=y>z", "<a>z"),
            ("x<p class=a", "x"),
            ("<p hidden>x<p class = 'a'b id=>y", "<p hidden>x<p class = 'a' id=>y"),
            ("山<b title='<'>山</b>", "山<b>山</b>"),
            ("", ""),
            ("<", "<"),
            ("</", "</"),
        ] {
            assert_eq!(written(html), want, "{html}");
        }
    }
}
