//! Main text of a page: a pure function of its HTML.
//!
//! 1. [`crate::dom`] builds the tree.
//! 2. [`tree`] measures every subtree once and marks what is boilerplate by tag, role and class or id names, with a guard:
//!    nothing that holds most of the page's text is taken for boilerplate by its name.
//! 3. [`blocks`] cuts what is left into blocks of running text.
//! 4. [`choose`] scores blocks by length, links and punctuation, picks the subtree that gathers the most score, and drops link lists in it.
//!
//! Everything is linear in the page.

pub mod blocks;
pub mod choose;
pub mod tree;

use crate::dom::{Data, Dom, Limits, NONE, NodeId, ROOT};

/// What was found on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Paragraphs, headings and list items, a line each; list items begin with `- `.
    pub text: String,
    /// Title of the page.
    pub title: Option<String>,
    /// Date of publication as the page states it.
    pub date: Option<String>,
    /// The page exceeded the caps and only its beginning was read.
    pub cut: bool,
}

/// Extracts the main text of `html`.
#[must_use]
pub fn extract(html: &str, limits: Limits) -> Extracted {
    let dom = Dom::parse(html, limits);
    let tree = tree::Tree::measure(&dom);
    let blocks = blocks::collect(&dom, &tree);
    let mut text = choose::main_text(&dom, &tree, &blocks);
    if text.is_empty() && tree.measures[ROOT as usize].text > 0 {
        // Everything was taken for boilerplate by its name: then names do not tell on this page.
        let tree = tree::Tree::visible(&dom);
        text = choose::main_text(&dom, &tree, &blocks::collect(&dom, &tree));
    }
    let (title, date) = head(&dom);
    Extracted { text, title, date, cut: dom.cut }
}

/// Title and date, from where pages state them.
fn head(dom: &Dom) -> (Option<String>, Option<String>) {
    let (mut title, mut og_title, mut date) = (None, None, None);
    let mut at = ROOT;
    while at != NONE {
        match dom.name(at) {
            "title" if title.is_none() && !inside_svg(dom, at) => title = clean(&dom.text(at)),
            "meta" => {
                let key = dom.attribute(at, "property").or_else(|| dom.attribute(at, "name")).or_else(|| dom.attribute(at, "itemprop"));
                let content = dom.attribute(at, "content").and_then(clean);
                match key.unwrap_or_default().to_ascii_lowercase().as_str() {
                    "og:title" => og_title = og_title.or(content),
                    "article:published_time" | "datepublished" | "pubdate" | "publishdate" | "dc.date" | "dc.date.issued" | "date" => {
                        date = date.or(content);
                    }
                    _ => {}
                }
            }
            "time" if date.is_none() => date = dom.attribute(at, "datetime").and_then(clean),
            _ => {}
        }
        at = dom.following(at, ROOT);
    }
    (og_title.or(title), date)
}

fn inside_svg(dom: &Dom, id: NodeId) -> bool {
    matches!(&dom.nodes[id as usize].data, Data::Element { name, .. } if name.ns != html5ever::ns!(html))
}

fn clean(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { nodes: 100_000, depth: 400 };
    const LONG: &str =
        "The river begins in the mountains, runs through three countries, and reaches the sea after a journey of two thousand kilometres. ";
    const LONG_ZH: &str = "这条河发源于群山之中，流经三个国家，全长两千公里，最后注入大海，沿途养育了许多城市和村庄。";

    fn page(main: &str) -> String {
        format!(
            "<html><head><title>The River</title><meta property='article:published_time' content='2024-05-06'>\
             <style>p{{}}</style></head><body><header class=site-header><a href=/>Home</a></header>\
             <nav><ul><li><a href=/a>News</a><li><a href=/b>Sport</a></ul></nav>\
             <div id=content>{main}</div>\
             <div class=sidebar><h3>Most read</h3><a href=1>Ten tricks that will change your life for ever and ever</a></div>\
             <div class='cookie-banner'>We use cookies, and by staying on this page you accept all of them, every day.</div>\
             <footer>Copyright 2024 The Site. All rights reserved.</footer><script>var x = 'no text';</script></body></html>"
        )
    }

    #[test]
    fn keeps_the_article_and_drops_the_rest() {
        let html =
            page(&format!("<h1>The River</h1><p>{LONG}</p><p>{LONG}<a href=x>source</a></p><ul><li>It is long, and wide.</li></ul>"));
        let got = extract(&html, LIMITS);
        let paragraph = LONG.trim();
        assert_eq!(got.text, format!("The River\n{paragraph}\n{paragraph} source\n- It is long, and wide."));
        assert_eq!((got.title.as_deref(), got.date.as_deref()), (Some("The River"), Some("2024-05-06")));
    }

    #[test]
    fn chinese_as_well() {
        let html = page(&format!("<h1>大河</h1><div>{LONG_ZH}<br><br>{LONG_ZH}</div>"));
        assert_eq!(extract(&html, LIMITS).text, format!("大河\n{LONG_ZH}\n{LONG_ZH}"));
    }

    #[test]
    fn a_wrapper_with_a_bad_name_is_no_boilerplate() {
        let html = format!("<body><div class='page has-sidebar nav-open'><p>{LONG}</p><p>{LONG}</p></div></body>");
        assert_eq!(extract(&html, LIMITS).text.lines().count(), 2);
    }

    #[test]
    fn tables_preformatted_text_and_broken_markup() {
        let html =
            page(&format!("<p>{LONG}</p><table><tr><td>Length<td>2,000 km<tr><td>Source<td>Alps</table><pre>a  b\n  c</pre><p>{LONG}"));
        let text = extract(&html, LIMITS).text;
        assert!(text.contains("Length | 2,000 km\nSource | Alps"), "{text}");
        assert!(text.contains("a  b\n  c"), "{text}");
    }

    #[test]
    fn nothing_to_find() {
        for html in ["", "<html></html>", "<script>x</script>", "<<<>>>&&&", "\0\0\0"] {
            let got = extract(html, LIMITS);
            assert!(got.text.len() < 12, "{html}: {}", got.text);
        }
        assert_eq!(extract("just text without any tag", LIMITS).text, "just text without any tag");
    }
}
