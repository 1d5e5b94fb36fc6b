//! Formulas: what a page says in TeX beside what it shows is taken in place of it.
//!
//! Three forms are known: MathML with an annotation of type `application/x-tex` (Wikipedia, KaTeX), KaTeX's rendering beside that, and
//! MathJax 2's `<script type="math/tex">`.

use super::tags::Tag;
use crate::dom::{Data, Dom, NONE, NodeId, ROOT};
use html5ever::tendril::StrTendril;

/// Longest formula that is taken, in bytes.
const LONGEST: usize = 10_000;
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
                let tex = annotation(dom, id, &mut fuel).map(|tex| format!("${tex}$"));
                if let Some(tex) = tex {
                    replace(dom, id, Tag::Span, tex);
                }
            }
            Tag::Script => {
                let Some(kind) = dom.attribute(id, "type").filter(|kind| kind.starts_with("math/tex")) else { continue };
                let mark = if kind.contains("display") { "$$" } else { "$" };
                let tex = format!("{mark}{}{mark}", clean(&dom.text(id)));
                if tex.len() > 2 * mark.len() && tex.len() <= LONGEST {
                    replace(dom, id, Tag::Span, tex);
                }
            }
            Tag::Span if dom.attribute(id, "class").is_some_and(|class| class == "katex-html") => {
                let before = dom.nodes[id as usize].previous;
                if before != NONE && dom.attribute(before, "class").is_some_and(|class| class == "katex-mathml") {
                    replace(dom, id, Tag::Script, String::new());
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

/// Makes an element one of kind `tag` with `text` alone below it.
fn replace(dom: &mut Dom, id: NodeId, tag: Tag, text: String) {
    debug_assert_ne!(id, ROOT);
    let child = dom.nodes[id as usize].first_child;
    let node = &mut dom.nodes[id as usize];
    node.tag = tag;
    if child == NONE {
        return;
    }
    // The first child becomes the text; the others are left without a way to them.
    (node.first_child, node.last_child) = (child, child);
    let child = &mut dom.nodes[child as usize];
    (child.first_child, child.last_child, child.next, child.tag) = (NONE, NONE, NONE, Tag::None);
    child.data = Data::Text(StrTendril::from_slice(&text));
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
