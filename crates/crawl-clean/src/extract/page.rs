//! What a page says of itself: title, date, and the kind of thing it is.

use super::tags::Tag;
use crate::dom::{Data, Dom, NONE, NodeId, ROOT};
use serde_json::Value;
use std::borrow::Cow;

/// Bits of [`About::kinds`], by what a page says in JSON-LD, microdata or Open Graph.
pub mod kind {
    /// An article, news or a blog post.
    pub const ARTICLE: u32 = 1;
    /// A product or an offer.
    pub const PRODUCT: u32 = 2;
    /// Questions and answers.
    pub const QUESTIONS: u32 = 4;
    /// A forum's thread.
    pub const FORUM: u32 = 8;
    /// A list or a collection.
    pub const LIST: u32 = 16;
    /// A service, a shop or an organization.
    pub const BUSINESS: u32 = 32;
    /// Open Graph: a website and not an article.
    pub const WEBSITE: u32 = 64;
    /// Names and bits, in order.
    pub const NAMES: [(&str, u32); 7] = [
        ("article", ARTICLE),
        ("product", PRODUCT),
        ("questions", QUESTIONS),
        ("forum", FORUM),
        ("list", LIST),
        ("business", BUSINESS),
        ("website", WEBSITE),
    ];
}

/// What a page says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Title for readers.
    pub title: Option<String>,
    /// Date of publication as the page states it.
    pub date: Option<String>,
    /// Who wrote it, as the page states it.
    pub author: Option<String>,
    /// Kinds, as bits of [`kind`].
    pub kinds: u32,
}

/// Reads the head, and what the body says in attributes.
#[must_use]
pub fn read(dom: &Dom) -> About {
    let mut about = About::default();
    let (mut title, mut og_title) = (None, None);
    let mut at = ROOT;
    // Who wrote an answer or a comment on a page did not write the page: where the outermost one ends.
    let mut reply_end = None;
    while at != NONE {
        if reply_end == Some(at) {
            reply_end = None;
        }
        if reply_end.is_none() && is_reply(dom, at) {
            reply_end = Some(dom.after(at, ROOT));
        }
        match dom.tag(at) {
            Tag::Title if title.is_none() && !foreign(dom, at) => title = clean(&dom.text(at)),
            Tag::Meta => {
                let key = dom.attribute(at, "property").or_else(|| dom.attribute(at, "name")).or_else(|| dom.attribute(at, "itemprop"));
                let content = dom.attribute(at, "content");
                match key.unwrap_or_default().to_ascii_lowercase().as_str() {
                    "og:title" => og_title = og_title.or(content.and_then(clean)),
                    "og:type" => about.kinds |= content.map_or(0, open_graph),
                    "article:published_time" | "datepublished" | "pubdate" | "publishdate" | "dc.date" | "dc.date.issued" | "date" => {
                        about.date = about.date.take().or(content.and_then(clean));
                    }
                    "author" | "article:author" | "dc.creator" | "byl" | "parsely-author" if about.author.is_none() => {
                        about.author = content.and_then(person);
                    }
                    _ => {}
                }
            }
            Tag::Time if about.date.is_none() => about.date = dom.attribute(at, "datetime").and_then(clean),
            Tag::Script => about.kinds |= json_of(dom, at).map_or(0, kinds_of),
            Tag::Html | Tag::Body | Tag::Div | Tag::Section | Tag::Article | Tag::Main => {
                if let Some(kind) = dom.attribute(at, "itemtype") {
                    about.kinds |= schema(kind.rsplit('/').next().unwrap_or(kind));
                }
            }
            Tag::A | Tag::Span if about.author.is_none() && reply_end.is_none() => {
                let named = dom.attribute(at, "rel") == Some("author") || dom.attribute(at, "itemprop") == Some("author");
                about.author = if named { dom.text_within(at, NAME_TEXT_BYTES, NAME_NODES).and_then(|text| person(&text)) } else { None };
            }
            _ => {}
        }
        at = dom.following(at, ROOT);
    }
    about.title = og_title.or(title);
    about.author = about.author.or_else(|| linked_data(dom).into_iter().find_map(author_of));
    about
}

/// True for an answer, a comment or a review of what the page is about.
fn is_reply(dom: &Dom, id: NodeId) -> bool {
    let item = dom.attribute(id, "itemprop").unwrap_or_default();
    item.split_ascii_whitespace().any(|item| matches!(item, "acceptedAnswer" | "suggestedAnswer" | "comment" | "review"))
}

/// Longest name.
const NAME_BYTES: usize = 200;
/// Text and nodes of an element that may be a name: elements that hold each other are not each read to the end.
const NAME_TEXT_BYTES: usize = 2000;
const NAME_NODES: usize = 200;

/// A name, and no address of a profile or essay about the author.
fn person(text: &str) -> Option<String> {
    clean(text).filter(|name| name.len() <= NAME_BYTES && !name.contains("://"))
}

/// The JSON-LD of a page, as it stands.
pub fn linked_data(dom: &Dom) -> Vec<&str> {
    (0..dom.nodes.len() as NodeId).filter(|&id| dom.tag(id) == Tag::Script).filter_map(|id| json_of(dom, id)).collect()
}

fn json_of(dom: &Dom, id: NodeId) -> Option<&str> {
    let kind = dom.attribute(id, "type")?.split(';').next().unwrap_or_default();
    let child = dom.nodes[id as usize].first_child;
    if kind.trim().eq_ignore_ascii_case("application/ld+json") && child != NONE { dom.own_text(child) } else { None }
}

/// The value of JSON-LD, within the marks of a CDATA section or not. Line breaks in strings, which JSON forbids, are taken for spaces.
pub fn parse_json(json: &str) -> Option<Value> {
    let inner = json.split_once("<![CDATA[").filter(|(before, _)| before.trim().len() <= 2).map_or(json, |(_, inner)| inner);
    let inner = inner.rsplit_once("]]>").filter(|(_, behind)| behind.trim().len() <= 2).map_or(inner, |(inner, _)| inner);
    let inner = inner.trim().trim_start_matches("*/").trim_end_matches(['/', '*']);
    let breaks = |c: char| c < ' ';
    let spaced = if inner.contains(breaks) { Cow::from(inner.replace(breaks, " ")) } else { inner.into() };
    serde_json::from_str(&spaced).ok()
}

/// Longest JSON-LD that is read for the author.
const AUTHOR_JSON_BYTES: usize = 64 << 10;

/// `author.name` of an article in JSON-LD.
fn author_of(json: &str) -> Option<String> {
    if json.len() > AUTHOR_JSON_BYTES || !json.contains("\"author\"") {
        return None;
    }
    fn find(value: &Value, depth: usize) -> Option<String> {
        match value {
            Value::Array(items) if depth > 0 => items.iter().find_map(|item| find(item, depth - 1)),
            Value::Object(map) => match map.get("author") {
                Some(author) => name(author),
                None if depth > 0 => map.get("@graph").and_then(|graph| find(graph, depth - 1)),
                None => None,
            },
            _ => None,
        }
    }
    fn name(author: &Value) -> Option<String> {
        match author {
            Value::String(name) => person(name),
            Value::Array(authors) => {
                let names: Vec<String> = authors.iter().filter(|author| !author.is_array()).filter_map(name).collect();
                (!names.is_empty()).then(|| names.join(", "))
            }
            Value::Object(map) => map.get("name").and_then(Value::as_str).and_then(person),
            _ => None,
        }
    }
    find(&parse_json(json)?, 3)
}

/// Kinds of a type of schema.org.
fn schema(name: &str) -> u32 {
    match name {
        "Article"
        | "NewsArticle"
        | "BlogPosting"
        | "ReportageNewsArticle"
        | "AnalysisNewsArticle"
        | "OpinionNewsArticle"
        | "TechArticle"
        | "ScholarlyArticle"
        | "Report"
        | "LiveBlogPosting"
        | "Recipe" => kind::ARTICLE,
        "Product" | "ProductGroup" | "Offer" | "IndividualProduct" => kind::PRODUCT,
        "FAQPage" | "QAPage" | "Question" => kind::QUESTIONS,
        "DiscussionForumPosting" | "SocialMediaPosting" => kind::FORUM,
        "ItemList" | "CollectionPage" | "OfferCatalog" | "Blog" | "SearchResultsPage" => kind::LIST,
        "Service" | "LocalBusiness" | "Store" | "ProfessionalService" | "SoftwareApplication" | "FinancialService" => kind::BUSINESS,
        _ => 0,
    }
}

fn open_graph(value: &str) -> u32 {
    match value.trim() {
        "article" => kind::ARTICLE,
        "product" | "og:product" | "product.item" => kind::PRODUCT,
        "product.group" => kind::LIST,
        "website" => kind::WEBSITE,
        _ => 0,
    }
}

/// Characters behind `"@type"` that are looked at: each place costs the same, however broken the page.
const TYPE_CHARS: usize = 120;

/// Kinds named by `"@type"` in JSON-LD, found without parsing it: pages have it broken.
fn kinds_of(json: &str) -> u32 {
    let mut kinds = 0;
    for part in json.split("\"@type\"").skip(1) {
        let end = part.char_indices().nth(TYPE_CHARS).map_or(part.len(), |(end, _)| end);
        let Some(value) = part[..end].trim_start().strip_prefix(':') else { continue };
        let value = value.trim_start();
        let stop = if value.starts_with('[') { &[']'][..] } else { &[',', '}'] };
        for name in value.split(stop).next().unwrap_or_default().split('"') {
            kinds |= schema(name.rsplit('/').next().unwrap_or(name));
        }
    }
    kinds
}

/// True for elements of SVG and MathML.
fn foreign(dom: &Dom, id: u32) -> bool {
    matches!(&dom.nodes[id as usize].data, Data::Element { name, .. } if name.ns != html5ever::ns!(html))
}

fn clean(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::Limits;
    use crate::growth::{in_proportion, timed};

    #[test]
    fn authors() {
        for (html, want) in [
            ("<meta name=author content=' Ann  Lee '><a rel=author>Bob</a>", Some("Ann Lee")),
            ("<meta property=article:author content=https://x.example/ann><p>By <a rel=author href=x>鲁迅</a>", Some("鲁迅")),
            (r#"<script type=application/ld+json>{"@graph":[{},{"author":[{"name":"A"},"B"]}]}</script>"#, Some("A, B")),
            (r#"<script type=application/ld+json>{"author":</script><p>x"#, None),
            ("<div itemprop=acceptedAnswer>x<p><span itemprop=author>Bob</span></div><span itemprop=author>Ann</span>", Some("Ann")),
        ] {
            assert_eq!(read(&Dom::parse(html, Limits { nodes: 999, depth: 99 })).author.as_deref(), want, "{html}");
        }
    }

    #[test]
    fn authors_within_authors_take_linear_time() {
        for html in [&"many words ".repeat(100_000), &"<i></i>".repeat(100_000)] {
            let read_in = |depth: usize| {
                let dom = Dom::parse(&("<span itemprop=author>".repeat(depth) + html), Limits { nodes: 9_999_999, depth: 999 });
                let (page, time) = timed(|| read(&dom));
                assert_eq!(page.author, None);
                time
            };
            in_proportion(read_in, (1, 400), (10, 30));
        }
    }

    #[test]
    fn kinds_of_pages() {
        let kinds = |html: &str| read(&Dom::parse(html, Limits { nodes: 999, depth: 99 })).kinds;
        assert_eq!(kinds("<script type='application/ld+json'>{\"@type\": \"NewsArticle\", \"x\": 1}</script>"), kind::ARTICLE);
        assert_eq!(
            kinds("<script type='application/ld+json'>[{\"@type\":[\"FAQPage\", \"Product\"]}</script>"),
            kind::QUESTIONS | kind::PRODUCT
        );
        assert_eq!(kinds("<script>\"@type\":\"Product\"</script>"), 0);
        assert_eq!(
            kinds("<meta property=og:type content=website><div itemtype='http://schema.org/Product'>x</div>"),
            kind::WEBSITE | kind::PRODUCT
        );
        assert_eq!(kinds("<script type='application/ld+json'>\"@type\":\"山山山山山山山山山山山山山山山山山山山山山山"), 0);
    }
}
