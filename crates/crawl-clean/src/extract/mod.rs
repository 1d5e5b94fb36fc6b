//! Main text of a page: a pure function of its HTML.
//!
//! 1. [`crate::dom`] builds the tree, without what no reader sees.
//! 2. [`tree`] measures every subtree once: text, links, prose, what its names say, and which subtrees are built alike.
//! 3. [`blocks`] cuts what is shown into blocks of running text, and notes where each stands.
//! 4. [`features`] looks at the page in two views: the subtree that gathers the most prose, and everything there is, block by block with
//!    its neighbours; what both say of a block becomes a row of numbers.
//! 5. [`model`] turns each row into a probability, by decision trees that stand in a file to be read, trained by a kept script.
//! 6. [`choose`] takes the blocks above a threshold that is the page's own: the one that promises the greatest F-measure. So an article comes
//!    down to its subtree, and a shop's front page stays whole but for its frame.
//!
//! Everything is linear in the page, but for sorting its blocks by probability.

pub mod blocks;
pub mod choose;
pub mod features;
mod mathml;
pub mod maths;
pub mod model;
pub mod names;
pub mod page;
pub mod questions;
pub mod render;
pub mod tags;
pub mod tree;

use crate::dom::{Dom, Limits};
use model::Model;
pub use questions::Question;
pub use render::Markup;

/// What was found on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Paragraphs, headings, items and rows, a line each.
    pub text: String,
    /// Title of the page.
    pub title: Option<String>,
    /// Date of publication as the page states it.
    pub date: Option<String>,
    /// Author as the page states it.
    pub author: Option<String>,
    /// Questions and answers that the page marks up as such.
    pub questions: Vec<Question>,
    /// The page exceeded the caps and only its beginning was read.
    pub cut: bool,
}

/// Extracts the main text of `html`.
#[must_use]
pub fn extract(html: &str, limits: Limits, markup: Markup) -> Extracted {
    extract_with(html, limits, markup, Model::built_in())
}

/// The same with another model.
#[must_use]
pub fn extract_with(html: &str, limits: Limits, markup: Markup, model: &Model) -> Extracted {
    let mut dom = Dom::parse(html, limits);
    maths::write_out(&mut dom);
    let tree = tree::Tree::measure(&dom);
    let blocks = blocks::collect(&dom, &tree);
    let about = page::read(&dom);
    let mut probabilities = model.judge(&features::Page::new(&dom, &tree, &blocks, &about), blocks.list.len());
    choose::keep_formulas(&blocks, &mut probabilities);
    choose::leave_out_hidden(&blocks.list, &mut probabilities);
    let text = render::render(&dom, &blocks, &choose::take(&blocks.list, &probabilities), markup);
    let questions = questions::read(&dom);
    Extracted { text, title: about.title, date: about.date, author: about.author, questions, cut: dom.cut }
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
        let html = page(&format!(
            "<h1>The River</h1><p>{LONG}</p><p>{LONG}<a href=x>source</a></p><ul><li>{LONG}</li><li>It is long, and wide.</li></ul><p>{LONG}"
        ));
        let got = extract(&html, LIMITS, Markup::Plain);
        let paragraph = LONG.trim();
        assert_eq!(got.text, format!("The River\n{paragraph}\n{paragraph} source\n- {paragraph}\n- It is long, and wide.\n{paragraph}"));
        assert_eq!((got.title.as_deref(), got.date.as_deref()), (Some("The River"), Some("2024-05-06")));
    }

    #[test]
    fn chinese_as_well() {
        let html = page(&format!("<h1>大河</h1><div>{LONG_ZH}<br><br>{LONG_ZH}</div>"));
        assert_eq!(extract(&html, LIMITS, Markup::Plain).text, format!("大河\n{LONG_ZH}\n{LONG_ZH}"));
    }

    #[test]
    fn a_wrapper_with_a_bad_name_is_no_boilerplate() {
        let html = format!("<body><div class='page has-sidebar nav-open'><p>{LONG}</p><p>{LONG}</p></div></body>");
        assert_eq!(extract(&html, LIMITS, Markup::Plain).text.lines().count(), 2);
    }

    #[test]
    fn tables_preformatted_text_and_broken_markup() {
        let html = page(&format!(
            "<p>{LONG}</p><p>{LONG}</p><table><tr><td>Length<td>2,000 km<tr><td>Source<td>the Alps<tr><td>Mouth<td>a bay</table><pre>a  b\n  c</pre><p>{LONG}<p>{LONG}"
        ));
        let text = extract(&html, LIMITS, Markup::Plain).text;
        assert!(text.contains("Length | 2,000 km\nSource | the Alps"), "{text}");
        assert!(text.contains("a  b\n  c"), "{text}");
    }

    #[test]
    fn hostile_pages_come_to_an_end() {
        let limits = Limits { nodes: 400_000, depth: 512 };
        for unit in [
            "<div>",
            "<p>",
            "<b>",
            "<a href=x>",
            "<table>",
            "<li>x",
            "<br>x",
            "x ",
            "<",
            "<!--",
            "<a b=\"",
            "&amp;",
            "</p>",
            "<script>",
            "山",
            "<td>y",
            "<pre><div>x",
            "<ol start=999999999 reversed><li><pre>x=\n\n",
            "<table><tr><td rowspan=9 colspan=9>y",
            "<math><msup><mi>x</mi>",
            "<sup>1",
            "<div class='gutter highlight'>1",
        ] {
            let html = unit.repeat((1 << 20) / unit.len());
            let got = extract(&html, limits, Markup::Markdown);
            assert!(got.text.len() <= html.len() * 2, "{unit}");
        }
        let deep = format!("{}text{}", "<div>".repeat(100_000), "</div>".repeat(100_000));
        assert!(extract(&deep, limits, Markup::Markdown).cut);
        let kinds = format!("<script type='application/ld+json'>{}</script>", "\"@type\":[".repeat(100_000));
        assert_eq!(extract(&kinds, limits, Markup::Markdown).text, "");
        let formatting: String = std::iter::once("<p>".to_owned()).chain((0..400).map(|i| format!("<b class=c{i}>"))).collect();
        assert!(extract(&(formatting + &"<p>x".repeat(100_000)), limits, Markup::Markdown).cut);
    }

    #[test]
    fn nothing_to_find() {
        for html in ["", "<html></html>", "<script>x</script>", "<<<>>>&&&", "\0\0\0"] {
            let got = extract(html, LIMITS, Markup::Plain);
            assert!(got.text.len() < 12, "{html}: {}", got.text);
        }
        assert_eq!(extract("just text without any tag", LIMITS, Markup::Plain).text, "just text without any tag");
    }
}
