//! Throws away what no reader sees, before the page is parsed: comments, scripts, styles, frames, and all attributes but a few.
//!
//! More than half of a page is such, and the conformant parser reads every character with care; here it is skipped at the speed of a
//! search. Tags, attributes, comments and raw text are delimited as the HTML standard says, so the tree that is built from what is left
//! has the same elements and the same text, but for the elements dropped.

use memchr::{memchr, memchr_iter, memmem};

/// What is left of a page.
#[must_use]
pub fn reduce(html: &str) -> String {
    let bytes = html.as_bytes();
    let mut out = String::with_capacity(html.len() / 2 + 64);
    // From here on nothing has been copied.
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = memchr(b'<', &bytes[at..]) {
        let open = at + found;
        let Some(&next) = bytes.get(open + 1) else { break };
        let end = match next {
            b'a'..=b'z' | b'A'..=b'Z' => {
                out.push_str(&html[from..open]);
                from = start_tag(html, open, &mut out);
                at = from;
                continue;
            }
            b'/' => match bytes.get(open + 2) {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    out.push_str(&html[from..open]);
                    from = end_tag(html, open, &mut out);
                    at = from;
                    continue;
                }
                _ => past(bytes, open + 2, b">"),
            },
            b'!' if bytes[open..].starts_with(b"<!--") => comment_end(bytes, open + 4),
            b'!' if bytes[open..].len() >= 9 && bytes[open + 2..open + 9].eq_ignore_ascii_case(b"doctype") => {
                at = past(bytes, open, b">");
                continue;
            }
            b'!' if bytes[open..].starts_with(b"<![CDATA[") => {
                at = open + 9;
                continue;
            }
            b'!' | b'?' => past(bytes, open, b">"),
            _ => {
                at = open + 1;
                continue;
            }
        };
        out.push_str(&html[from..open]);
        (from, at) = (end, end);
    }
    out.push_str(&html[from..]);
    out
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

fn end_tag(html: &str, open: usize, out: &mut String) -> usize {
    let bytes = html.as_bytes();
    let name = name_end(bytes, open + 2);
    let mut at = name;
    while let Some(attribute) = next_attribute(bytes, at) {
        at = attribute.end;
    }
    let Some(close) = tag_close(bytes, at) else { return bytes.len() };
    out.push_str(&html[open..name]);
    out.push('>');
    close.0
}

/// Types of scripts that are data: linked data, and formulas.
const DATA: [&[u8]; 2] = [b"ld+json", b"math/tex"];

/// Copies a start tag with the attributes that are of use, or skips the element, and returns where to go on.
fn start_tag(html: &str, open: usize, out: &mut String) -> usize {
    let bytes = html.as_bytes();
    let name_at = open + 1;
    let name = name_end(bytes, name_at);
    let mark = out.len();
    out.push_str(&html[open..name]);
    let kind = Kind::of(&bytes[name_at..name]);
    let mut data = false;
    let mut at = name;
    while let Some(attribute) = next_attribute(bytes, at) {
        let key = &bytes[attribute.start..attribute.name_end];
        if kind.keeps(key, &bytes[attribute.name_end..attribute.end]) {
            out.push(' ');
            out.push_str(&html[attribute.start..attribute.end]);
            let value = &bytes[attribute.name_end..attribute.end];
            data |= kind == Kind::Script && DATA.iter().any(|name| memmem::find(value, name).is_some());
        }
        at = attribute.end;
    }
    let Some((close, closed)) = tag_close(bytes, at) else {
        // The page ends inside of the tag, which then is none.
        out.truncate(mark);
        return bytes.len();
    };
    out.push_str(if closed { " />" } else { ">" });
    let text_end = match kind {
        Kind::Other | Kind::Meta | Kind::Link | Kind::Input => return close,
        Kind::Plain => bytes.len(),
        Kind::Script => script_end(bytes, close),
        _ => raw_end(bytes, close, &bytes[name_at..name]),
    };
    if kind == Kind::Kept || kind == Kind::Plain || data {
        out.push_str(&html[close..text_end]);
        return text_end;
    }
    // The element goes, and its end tag with it.
    out.truncate(mark);
    if text_end == bytes.len() {
        return text_end;
    }
    let mut at = name_end(bytes, text_end + 2);
    while let Some(attribute) = next_attribute(bytes, at) {
        at = attribute.end;
    }
    tag_close(bytes, at).map_or(bytes.len(), |(close, _)| close)
}

/// Elements by what becomes of their text and their attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Meta,
    Link,
    Input,
    /// Raw text that is dropped unless it is data.
    Script,
    /// Raw text that is dropped.
    Dropped,
    /// Raw text that is kept.
    Kept,
    /// Raw text to the end of the page.
    Plain,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match (name.len(), name[0].to_ascii_lowercase()) {
            (4, b'm') if is(b"meta") => Self::Meta,
            (4, b'l') if is(b"link") => Self::Link,
            (5, b'i') if is(b"input") => Self::Input,
            (6, b's') if is(b"script") => Self::Script,
            (5, b's') if is(b"style") => Self::Dropped,
            (6, b'i') if is(b"iframe") => Self::Dropped,
            (7, b'n') if is(b"noembed") => Self::Dropped,
            (8, b'n') if is(b"noframes") => Self::Dropped,
            (8, b't') if is(b"textarea") => Self::Dropped,
            (5, b't') if is(b"title") => Self::Kept,
            (3, b'x') if is(b"xmp") => Self::Kept,
            (9, b'p') if is(b"plaintext") => Self::Plain,
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
            3 if self == Self::Other && is(b"rel") => true,
            8 if is(b"itemprop") || is(b"itemtype") || is(b"datetime") => true,
            6 if is(b"hidden") => true,
            11 if is(b"aria-hidden") => true,
            5 if is(b"style") => memmem::find(value, b"none").is_some() || memmem::find(value, b"hidden").is_some(),
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

/// An attribute: where it begins, where its name ends, and where it ends.
struct Attribute {
    start: usize,
    name_end: usize,
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

fn next_attribute(bytes: &[u8], at: usize) -> Option<Attribute> {
    let start = skip_between(bytes, at);
    if start >= bytes.len() || bytes[start] == b'>' {
        return None;
    }
    // A name may begin with an equals sign.
    let length = bytes[start + 1..].iter().position(|&byte| is_space(byte) || matches!(byte, b'/' | b'>' | b'='));
    let name_end = length.map_or(bytes.len(), |length| start + 1 + length);
    let mut value = name_end;
    while bytes.get(value).is_some_and(|&byte| is_space(byte)) {
        value += 1;
    }
    if bytes.get(value) != Some(&b'=') {
        return Some(Attribute { start, name_end, end: name_end });
    }
    value += 1;
    while bytes.get(value).is_some_and(|&byte| is_space(byte)) {
        value += 1;
    }
    let end = match bytes.get(value) {
        Some(&quote @ (b'"' | b'\'')) => memchr(quote, &bytes[value + 1..]).map_or(bytes.len(), |length| value + 1 + length + 1),
        // `a=>` has no value.
        Some(b'>') | None => value,
        Some(_) => {
            let length = bytes[value..].iter().position(|&byte| is_space(byte) || byte == b'>');
            length.map_or(bytes.len(), |length| value + length)
        }
    };
    Some(Attribute { start, name_end, end })
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
mod tests {
    use super::*;

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
            ("<!DOCTYPE html><?xml?><!bogus></>x< y <1", "<!DOCTYPE html>x< y <1"),
            ("<a =x href=y>z", "<a>z"),
            ("x<p class=a", "x"),
            ("<p hidden>x<p class = 'a'b id=>y", "<p hidden>x<p class = 'a' id=>y"),
            ("山<b title='<'>山</b>", "山<b>山</b>"),
            ("", ""),
            ("<", "<"),
            ("</", "</"),
        ] {
            let want = if html == "</" { "" } else { want };
            assert_eq!(reduce(html), want, "{html}");
        }
    }

    #[test]
    fn the_tree_stays_the_same() {
        use crate::dom::{Data, Dom, Limits, NONE, ROOT};
        let outline = |dom: &Dom| {
            let mut out = String::new();
            let mut at = ROOT;
            while at != NONE {
                match &dom.nodes[at as usize].data {
                    Data::Element { name, .. } => out.push_str(&format!("<{}>", name.local)),
                    Data::Text(text) => out.push_str(text),
                    _ => {}
                }
                at = dom.following(at, ROOT);
            }
            out
        };
        let limits = Limits { nodes: 999, depth: 99 };
        for html in [
            "<title>T</title><!-- c --><p id=a>a<p>b<b>c</b> d<table data-x='<td>'>x<tr><td>y</table>&amp; &lt;p> <svg><path d=1/></svg>z",
            "<p><b>1<i x=2>2</b>3</i><a href='\">'>4</a a='>'>5",
            "<html lang=en><body onload=x>1</body><!-- - -- --> 2</html>3",
            "<select name=a><option value=1 selected>a<option>b</select><ul><li a>1<li b='c'd>2</ul>",
            "<math><mi/>x</math><svg viewBox='0'><title>t</title><g/><foreignObject><p>q</foreignObject></svg>",
        ] {
            assert_eq!(outline(&Dom::parse_all(&reduce(html), limits)), outline(&Dom::parse_all(html, limits)), "{html}");
        }
    }
}
