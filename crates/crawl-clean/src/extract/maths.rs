//! Formulas: what a page says in TeX beside what it shows is taken in place of it.
//!
//! Known are MathML, with an annotation of type `application/x-tex` (Wikipedia, KaTeX) or as it stands ([`mathml`]), KaTeX's rendering
//! beside it, MathJax 2's `<script type="math/tex">` and the rendering before it, MathJax 3's rendering around MathML, and images of
//! formulas with TeX as their text.

use super::mathml;
use super::tags::Tag;
use crate::dom::{Dom, NONE, NodeId};

/// Longest formula that is taken, in bytes.
pub(super) const LONGEST: usize = 10_000;
/// What an annotation may hold at most, so that those within others are not each read to the end: white space is no part of a formula.
const ANNOTATION_BYTES: usize = 4 * LONGEST;
const ANNOTATION_NODES: usize = 1000;

/// Puts the TeX of formulas where they stand, between dollar signs.
pub fn write_out(dom: &mut Dom) {
    let count = dom.nodes.len() as NodeId;
    // Formulas within formulas must not be searched again and again.
    let mut fuel = 2 * dom.nodes.len();
    for id in 0..count {
        match dom.tag(id) {
            Tag::Math => {
                let tex = annotation(dom, id, &mut fuel).or_else(|| mathml::tex(dom, id, &mut fuel).filter(|tex| tex.len() <= LONGEST));
                let around = mathjax(dom, id);
                // What stands in MathJax's own elements is a formula, however plain.
                let tex = tex.or_else(|| dom.text_within(id, LONGEST, 100).map(|text| clean(&text)).filter(|_| around != NONE));
                if let Some(tex) = tex.filter(|tex| !tex.is_empty()) {
                    dom.replace(if around == NONE { id } else { around }, Tag::Span, &format!("${tex}$"));
                }
            }
            Tag::Script => {
                let Some(kind) = dom.attribute(id, "type").filter(|kind| kind.starts_with("math/tex")) else { continue };
                let mark = if kind.contains("display") { "$$" } else { "$" };
                let tex = format!("{mark}{}{mark}", clean(&dom.text(id)));
                if tex.len() > 2 * mark.len() && tex.len() <= LONGEST {
                    dom.replace(id, Tag::Span, &tex);
                    hide_rendering(dom, id);
                }
            }
            Tag::Img => {
                if let Some(tex) = of_image(dom, id) {
                    dom.replace(id, Tag::Span, &format!("${tex}$"));
                }
            }
            Tag::Span if dom.attribute(id, "class").is_some_and(|class| class == "katex-html") => {
                let before = dom.nodes[id as usize].previous;
                if before != NONE && dom.attribute(before, "class").is_some_and(|class| class == "katex-mathml") {
                    dom.replace(id, Tag::Script, "");
                }
            }
            _ => {}
        }
    }
}

/// TeX in the annotation below `top`.
fn annotation(dom: &Dom, top: NodeId, fuel: &mut usize) -> Option<String> {
    let mut at = dom.following(top, top);
    while at != NONE && *fuel > 0 {
        *fuel -= 1;
        if dom.tag(at) == Tag::Annotation
            && dom.attribute(at, "encoding").is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-tex"))
        {
            let tex = clean(&dom.text_within(at, ANNOTATION_BYTES, ANNOTATION_NODES)?);
            return (!tex.is_empty() && tex.len() <= LONGEST).then_some(tex);
        }
        at = dom.following(at, top);
    }
    None
}

/// On one line, and without the wrapper that Wikipedia puts around.
fn clean(tex: &str) -> String {
    let tex = tex.split_whitespace().collect::<Vec<_>>().join(" ");
    let inner = tex.strip_prefix("{\\displaystyle ").or_else(|| tex.strip_prefix("{\\textstyle "));
    match inner.and_then(|inner| inner.strip_suffix('}')) {
        Some(inner) => inner.trim().to_owned(),
        None => tex,
    }
}

/// MathJax 3's element around MathML; [`NONE`] if there is none.
fn mathjax(dom: &Dom, id: NodeId) -> NodeId {
    let mut at = dom.nodes[id as usize].parent;
    for _ in 0..3 {
        if at == NONE || dom.name(at) == "mjx-container" {
            return at;
        }
        at = dom.nodes[at as usize].parent;
    }
    NONE
}

/// Takes away what MathJax 2 shows in place of a script: the elements before it.
fn hide_rendering(dom: &mut Dom, script: NodeId) {
    let mut at = dom.nodes[script as usize].previous;
    for _ in 0..2 {
        if at == NONE || !dom.attribute(at, "class").is_some_and(|class| class.starts_with("MathJax")) {
            return;
        }
        dom.replace(at, Tag::Script, "");
        at = dom.nodes[at as usize].previous;
    }
}

/// Classes of images that show a formula, and of MediaWiki's, which begin so.
const IMAGES: [&str; 4] = ["tex", "latex", "math", "texmath"];
const MEDIAWIKI: &str = "mwe-math";

/// TeX of an image of a formula, unless MediaWiki says it in MathML too.
fn of_image(dom: &Dom, id: NodeId) -> Option<String> {
    let class = dom.attribute(id, "class")?;
    let before = dom.nodes[id as usize].previous;
    if !class.split_whitespace().any(|word| IMAGES.contains(&word) || word.starts_with(MEDIAWIKI))
        || (before != NONE && dom.attribute(before, "class").is_some_and(|class| class.starts_with(MEDIAWIKI)))
    {
        return None;
    }
    let tex = clean(dom.attribute(id, "alt")?);
    let tex = tex.trim_matches('$').trim();
    (!tex.is_empty() && tex.len() <= LONGEST).then(|| tex.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::Limits;
    use crate::growth::{in_proportion, timed};

    #[test]
    fn annotations_within_annotations_take_linear_time() {
        let time = |depth: usize| {
            let start = "<math><semantics><annotation encoding='application/x-tex'>".repeat(depth);
            let mut dom = Dom::parse(&(start + &"many words ".repeat(100_000)), Limits { nodes: 999_999, depth: 999 });
            timed(|| write_out(&mut dom)).1
        };
        in_proportion(time, (1, 150), (10, 30));
    }
}
