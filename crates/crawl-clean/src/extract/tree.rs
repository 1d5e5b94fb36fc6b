//! One measurement of every subtree, and the marks of what is boilerplate by its name.

use crate::dom::{Data, Dom, NONE, NodeId, ROOT};
use regex::Regex;
use std::sync::OnceLock;

/// What an element means for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Never text for a reader.
    Invisible,
    /// Navigation and frame of the site.
    Chrome,
    /// Begins and ends a block.
    Block,
    /// A heading.
    Heading,
    /// An item of a list.
    Item,
    /// A cell of a table.
    Cell,
    /// Preformatted text.
    Pre,
    /// A line break.
    Break,
    /// A link.
    Link,
    /// Everything else.
    Inline,
}

/// Role of an element by its name.
#[must_use]
pub fn role(name: &str) -> Role {
    match name {
        "script" | "style" | "noscript" | "template" | "iframe" | "object" | "embed" | "svg" | "canvas" | "audio" | "video" | "map"
        | "select" | "button" | "textarea" | "input" | "option" | "datalist" | "head" | "link" | "meta" | "progress" | "frameset"
        | "noframes" | "applet" | "rp" | "rt" => Role::Invisible,
        "nav" | "footer" | "aside" | "header" | "menu" | "form" | "dialog" => Role::Chrome,
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Role::Heading,
        "li" | "dt" | "dd" => Role::Item,
        "td" | "th" => Role::Cell,
        "pre" | "listing" | "xmp" => Role::Pre,
        "br" | "hr" => Role::Break,
        "a" => Role::Link,
        "p" | "div" | "section" | "article" | "main" | "body" | "html" | "ul" | "ol" | "dl" | "table" | "tbody" | "thead" | "tfoot"
        | "tr" | "caption" | "blockquote" | "figure" | "figcaption" | "fieldset" | "legend" | "address" | "details" | "summary"
        | "center" | "hgroup" | "search" => Role::Block,
        _ => Role::Inline,
    }
}

/// What is known of a subtree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// Visible text in units: a letter is 1, a Han character or kana 3.
    pub text: u32,
    /// The part of it inside links.
    pub link: u32,
    /// The part of it inside paragraphs of some length, which only running text has.
    pub prose: u32,
}

/// The measured tree.
#[derive(Debug)]
pub struct Tree {
    /// Measures by node.
    pub measures: Vec<Measure>,
    /// Nodes that are not read, with everything below them.
    pub dropped: Vec<bool>,
    /// Nodes that hold comments of readers.
    pub comment: Vec<bool>,
}

/// Units a text is worth.
#[must_use]
pub fn units(text: &str) -> u32 {
    let mut total = 0;
    for c in text.chars() {
        total += if c.is_ascii() { u32::from(!c.is_ascii_whitespace()) } else { wide(c) };
    }
    total
}

fn wide(c: char) -> u32 {
    if corpus::is_han(c) || corpus::is_kana(c) { 3 } else { u32::from(!c.is_whitespace()) }
}

/// Units from which a paragraph is prose.
const PROSE_UNITS: u32 = 80;
/// Share of the page's text above which a name is not believed.
const GUARD_SHARE: f64 = 0.4;

impl Tree {
    /// Measures a page and marks its boilerplate.
    #[must_use]
    pub fn measure(dom: &Dom) -> Self {
        let count = dom.nodes.len();
        let mut tree = Self { measures: vec![Measure::default(); count], dropped: vec![false; count], comment: vec![false; count] };
        let order = tree.visible_order(dom);
        tree.add_up(dom, &order);
        let total = tree.measures[ROOT as usize];
        for &id in &order {
            if matches!(dom.nodes[id as usize].data, Data::Element { .. }) {
                tree.judge(dom, id, total);
            }
        }
        tree
    }

    /// Measures a page and marks only what is invisible.
    #[must_use]
    pub fn visible(dom: &Dom) -> Self {
        let count = dom.nodes.len();
        let mut tree = Self { measures: vec![Measure::default(); count], dropped: vec![false; count], comment: vec![false; count] };
        let order = tree.visible_order(dom);
        tree.add_up(dom, &order);
        tree
    }

    /// Nodes in document order without invisible subtrees, which are marked dropped.
    fn visible_order(&mut self, dom: &Dom) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(dom.nodes.len());
        let mut at = ROOT;
        while at != NONE {
            let name = dom.name(at);
            if !name.is_empty() && (role(name) == Role::Invisible || hidden(dom, at)) {
                self.dropped[at as usize] = true;
                at = dom.after(at, ROOT);
                continue;
            }
            order.push(at);
            at = dom.following(at, ROOT);
        }
        order
    }

    fn add_up(&mut self, dom: &Dom, order: &[NodeId]) {
        for &id in order.iter().rev() {
            let node = &dom.nodes[id as usize];
            if let Data::Text(text) = &node.data {
                self.measures[id as usize].text = units(text);
            }
            let name = dom.name(id);
            if name == "a" {
                self.measures[id as usize].link = self.measures[id as usize].text;
            }
            let own = self.measures[id as usize];
            if (name == "p" || name == "td") && own.text >= PROSE_UNITS && own.link * 3 < own.text && own.prose == 0 {
                self.measures[id as usize].prose = own.text;
            }
            let own = self.measures[id as usize];
            if node.parent != NONE {
                let parent = &mut self.measures[node.parent as usize];
                parent.text += own.text;
                parent.link += own.link;
                parent.prose += own.prose;
            }
        }
    }

    fn judge(&mut self, dom: &Dom, id: NodeId, total: Measure) {
        let name = dom.name(id);
        let own = self.measures[id as usize];
        if own.text == 0 || matches!(name, "html" | "body" | "main" | "article") {
            return;
        }
        let guarded = f64::from(own.text) > GUARD_SHARE * f64::from(total.text)
            || (total.prose > 400 && f64::from(own.prose) > GUARD_SHARE * f64::from(total.prose));
        let hint = hint(dom, id);
        if hint == Hint::Comment && !matches!(name, "a" | "span" | "p") {
            self.comment[id as usize] = true;
        }
        if guarded {
            return;
        }
        let drop = match (role(name), name) {
            (Role::Chrome, "header") => !holds_title(dom, id),
            (Role::Chrome, "form") => own.prose == 0 || own.link * 2 > own.text,
            (Role::Chrome, _) => true,
            _ => false,
        };
        self.dropped[id as usize] |= drop || hint == Hint::Boilerplate;
    }
}

/// True if the element is not shown.
fn hidden(dom: &Dom, id: NodeId) -> bool {
    dom.attribute(id, "hidden").is_some()
        || dom.attribute(id, "aria-hidden") == Some("true")
        || dom.attribute(id, "style").is_some_and(|style| {
            let style = style.as_bytes();
            let has = |needle: &[u8]| crate::input::window::find(style, needle).is_some();
            has(b"display:none") || has(b"display: none") || has(b"visibility:hidden") || has(b"visibility: hidden")
        })
}

/// True if a main heading stands below a header: then it is the head of the article and not of the site.
fn holds_title(dom: &Dom, top: NodeId) -> bool {
    let mut at = top;
    while at != NONE {
        if dom.name(at) == "h1" {
            return true;
        }
        at = dom.following(at, top);
    }
    false
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    None,
    Boilerplate,
    Comment,
}

/// What role, class and id names say.
fn hint(dom: &Dom, id: NodeId) -> Hint {
    if let Some(role) = dom.attribute(id, "role")
        && matches!(
            role,
            "navigation"
                | "banner"
                | "contentinfo"
                | "search"
                | "complementary"
                | "dialog"
                | "alertdialog"
                | "menu"
                | "menubar"
                | "toolbar"
        )
    {
        return Hint::Boilerplate;
    }
    static NAMES: OnceLock<(Regex, Regex)> = OnceLock::new();
    // The patterns are ours, and a test compiles them.
    let (boilerplate, comment) = NAMES.get_or_init(|| {
        (
            Regex::new(&format!(r"(?i-u)(?:^|[\s_\-])(?:{BOILERPLATE})(?:$|[\s_\-\d])")).unwrap_or_else(|_| never()),
            Regex::new(&format!(r"(?i-u)(?:^|[\s_\-])(?:{COMMENTS})(?:$|[\s_\-\d])")).unwrap_or_else(|_| never()),
        )
    });
    let mut found = Hint::None;
    for key in ["class", "id"] {
        let Some(value) = dom.attribute(id, key) else {
            continue;
        };
        if boilerplate.is_match(value) {
            return Hint::Boilerplate;
        }
        if comment.is_match(value) {
            found = Hint::Comment;
        }
    }
    found
}

/// A pattern without matches.
#[expect(clippy::unwrap_used, reason = "a constant pattern that a test compiles")]
fn never() -> Regex {
    Regex::new(r"\z.").unwrap()
}

/// Names of what surrounds the text of a page, as whole words of a class or id.
const BOILERPLATE: &str = "nav|navbar|navigation|topnav|subnav|sitenav|menu|submenu|mainmenu|megamenu|menubar|dropdown|\
breadcrumbs?|crumbs?|mianbaoxie|footer|foot|footnav|bottombar|colophon|sidebar|side\\-?bar|sidenav|rightbar|leftbar|rail|\
cookies?|cookie\\-?banner|consent|gdpr|ccpa|onetrust|newsletter|subscribe|subscription|signup|sign\\-?up|optin|\
share|sharing|sharebar|sharethis|addthis|addtoany|bdsharebuttonbox|bdshare|social|socials|social\\-?links|follow|followus|\
related|relatedposts|related\\-?posts|related\\-?articles|recommended|recommendations?|recommend|readmore|read\\-?more|more\\-?posts|more\\-?news|\
you\\-?may\\-?like|hotnews|hot\\-?news|most\\-?read|most\\-?popular|popular\\-?posts|trending|\
ads?|adv|advert|adverts|advertisement|advertising|adbox|adsense|adsbygoogle|banner\\-?ads?|guanggao|sponsor|sponsored|promo|promos|promotion|taboola|outbrain|\
popup|pop\\-?up|modal|overlay|lightbox|tooltip|toolbar|toolbox|\
pagination|pager|paging|page\\-?nav|pagenav|wp\\-?pagenavi|prevnext|prev\\-?next|post\\-?navigation|nav\\-?links|\
skip|skip\\-?link|sr\\-?only|screen\\-?reader\\-?text|visually\\-?hidden|visuallyhidden|offscreen|\
login|log\\-?in|signin|sign\\-?in|search|searchform|search\\-?form|searchbox|copyright|copyrights|banquan|disclaimer|\
masthead|topbar|top\\-?bar|site\\-?header|global\\-?header|tagcloud|tag\\-?cloud|widgets?|noprint|no\\-?print|print\\-?only|back\\-?to\\-?top|backtotop|\
hidden|d\\-?none|jump\\-?link|toc|friendlink|friend\\-?links?|youqing|links?list|sitemap|language\\-?switcher|lang\\-?switch|\
author\\-?bio|about\\-?author|byline\\-?bio|reply\\-?form|comment\\-?respond|respond|quick\\-?reply";

/// Names of what readers wrote.
const COMMENTS: &str = "comments?|commentlist|comment\\-?list|comments\\-?area|disqus|disqus_thread|pinglun|responses|replies";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::Limits;

    fn hint_of(attributes: &str) -> Hint {
        let dom = Dom::parse(&format!("<div {attributes}>x</div>"), Limits { nodes: 99, depth: 99 });
        let id = (0..dom.nodes.len() as NodeId).find(|&id| dom.name(id) == "div").unwrap();
        hint(&dom, id)
    }

    #[test]
    fn names_as_whole_words() {
        for boilerplate in
            ["class='main-nav'", "id=footer", "class='x cookie-banner y'", "role=navigation", "class=sidebar2", "class='Related_Posts'"]
        {
            assert_eq!(hint_of(boilerplate), Hint::Boilerplate, "{boilerplate}");
        }
        for innocent in ["class='navy'", "id=footsteps", "class='article-body'", "class=shared", "class=download"] {
            assert_eq!(hint_of(innocent), Hint::None, "{innocent}");
        }
        assert_eq!(hint_of("id=comments"), Hint::Comment);
    }

    #[test]
    fn measures_text_links_and_prose() {
        let dom = Dom::parse(
            &format!("<p>{}<a>link</a></p><div style='display:none'>no</div>山", "a".repeat(100)),
            Limits { nodes: 99, depth: 99 },
        );
        let tree = Tree::measure(&dom);
        assert_eq!(tree.measures[ROOT as usize], Measure { text: 107, link: 4, prose: 104 });
    }
}
