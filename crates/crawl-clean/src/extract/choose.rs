//! Which blocks are the text of the page.

use super::blocks::{Block, Blocks, FAR, Kind};
use super::names::Category;
use super::tree::Tree;
use crate::dom::{Dom, NONE, NodeId, ROOT};

/// Share of a block in links from which it is a link and not a text with links.
const LINK_SHARE: f32 = 0.5;
/// Units from which a block without links speaks for itself.
const LONG_UNITS: u32 = 60;

/// How much a block speaks for the subtree it stands in; negative for what surrounds texts.
#[must_use]
pub fn score(block: &Block, marks: u32) -> f32 {
    let length = block.units as f32;
    let share = block.link as f32 / length.max(1.0);
    if share >= LINK_SHARE {
        return -(3.0 + 0.15 * length.min(60.0));
    }
    match block.kind {
        Kind::Heading => 2.0,
        Kind::Pre => 0.5 * length.min(400.0),
        _ if block.units < 15 => -0.5,
        _ if block.units < LONG_UNITS && marks == 0 => 0.0,
        _ => (0.4 * length + 4.0 * marks as f32) * (1.0 - share),
    }
}

/// The subtree with the largest sum of scores; of nested ones with nearly the same sum the innermost.
#[must_use]
pub fn best_subtree(dom: &Dom, tree: &Tree, blocks: &[Block], scores: &[f32]) -> NodeId {
    let mut sums = vec![(0.0_f32, 0_u32); dom.nodes.len()];
    for (block, &score) in blocks.iter().zip(scores) {
        let sum = &mut sums[block.node as usize];
        *sum = (sum.0 + score, sum.1 + 1);
    }
    // Children come before parents when the document order is walked backwards.
    for &id in tree.order.iter().rev() {
        let parent = dom.nodes[id as usize].parent;
        let own = sums[id as usize];
        if parent != NONE && own.1 > 0 {
            let sum = &mut sums[parent as usize];
            *sum = (sum.0 + own.0, sum.1 + own.1);
        }
    }
    let mut best = ROOT;
    for &id in &tree.order {
        let (own, most) = (sums[id as usize], sums[best as usize]);
        // Going down costs nothing while no block is left behind.
        let all = dom.nodes[id as usize].parent == best && own.1 == most.1;
        if own.1 > 0 && (all || own.0 > most.0) {
            best = id;
        }
    }
    best
}

/// How far each block stands from the subtree of `top`: 0 inside, else how many elements above `top` hold them both.
#[must_use]
pub fn apart(dom: &Dom, tree: &Tree, top: NodeId, blocks: &[Block]) -> Vec<u16> {
    const UNKNOWN: u16 = u16::MAX;
    let mut apart = vec![UNKNOWN; dom.nodes.len()];
    let (mut at, mut level) = (top, 0);
    while at != NONE {
        apart[at as usize] = level;
        level = (level + 1).min(UNKNOWN - 1);
        at = dom.nodes[at as usize].parent;
    }
    for &id in &tree.order[1..] {
        if apart[id as usize] == UNKNOWN {
            apart[id as usize] = apart[dom.nodes[id as usize].parent as usize];
        }
    }
    blocks.iter().map(|block| apart[block.node as usize]).collect()
}

/// Units from which text that is not shown may be what a click opens, as in tabs and folds, and not a label or a message.
const FOLDED_UNITS: u32 = 80;

/// Leaves out short texts that are not shown, unless a page hides more of its text than it shows and leaves the rest to scripts.
pub fn leave_out_hidden(blocks: &[Block], probabilities: &mut [f32]) {
    let hidden = |block: &Block| block.near[Category::NotShown as usize] < FAR;
    let (mut shown_right, mut hidden_right) = (0.0_f64, 0.0_f64);
    for (block, &p) in blocks.iter().zip(probabilities.iter()) {
        let sum = if hidden(block) { &mut hidden_right } else { &mut shown_right };
        *sum += f64::from(block.units) * f64::from(p);
    }
    if hidden_right > shown_right {
        return;
    }
    for (_, p) in blocks.iter().zip(probabilities).filter(|(block, _)| block.units < FOLDED_UNITS && hidden(block)) {
        *p = 0.0;
    }
}

/// A formula on a line of its own has no words to be judged by: it is as much of the text as what stands before and behind it.
pub fn keep_formulas(blocks: &Blocks, probabilities: &mut [f32]) {
    let mut before = 0.0_f32;
    let mut at = 0;
    while at < blocks.list.len() {
        let run = blocks.list[at..].iter().take_while(|block| is_formula(blocks.text(block))).count();
        let after = probabilities.get(at + run).copied().unwrap_or(0.0);
        probabilities[at..at + run].iter_mut().for_each(|p| *p = p.max(before.min(after)));
        before = after;
        at += run + 1;
    }
}

fn is_formula(text: &str) -> bool {
    let text = text.trim();
    [("\\[", "\\]"), ("$", "$"), ("\\begin{", "}")]
        .into_iter()
        .any(|(start, end)| text.strip_prefix(start).and_then(|text| text.strip_suffix(end)).is_some_and(|inner| !inner.is_empty()))
}

/// Least probability of a heading that is taken because what it heads is.
const HEADING: f32 = 0.1;

/// Least probability from which a block is taken. Where the trees are sure of nothing, the rule below would take nearly everything.
const LEAST: f32 = 0.15;

/// What recall weighs against precision, squared as in the F-measure. Blocks of a page err together, so that what is doubtful is worth a
/// little less than its probability says.
const BETA_SQUARED: f64 = 0.6;

/// The blocks that are the page's text: those from some probability up, the threshold being the page's own.
///
/// The threshold is where the F-measure to be expected is greatest: in proportion, the text expected to be right among what is taken, over
/// what is taken and [`BETA_SQUARED`] of all text expected to be right. A page of clear cases gets a high one, a page of doubtful ones a low one.
#[must_use]
pub fn take(blocks: &[Block], probabilities: &[f32]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    let weight = |i: usize| f64::from(blocks[i].units);
    let right: f64 = order.iter().map(|&i| weight(i) * f64::from(probabilities[i])).sum();
    let (mut taken, mut taken_right, mut best, mut threshold) = (0.0, 0.0, 0.0, 1.0);
    for &i in &order {
        taken += weight(i);
        taken_right += weight(i) * f64::from(probabilities[i]);
        let expected = taken_right / (taken + BETA_SQUARED * right);
        if expected > best {
            (best, threshold) = (expected, probabilities[i]);
        }
    }
    let top = order.first().map_or(1.0, |&i| probabilities[i]);
    let threshold = threshold.max(LEAST).min(top);
    let mut taken: Vec<bool> = probabilities.iter().map(|&p| p >= threshold && p > 0.0).collect();
    for i in (0..blocks.len().saturating_sub(1)).rev() {
        taken[i] |= taken[i + 1] && blocks[i].kind == Kind::Heading && probabilities[i] >= HEADING;
    }
    close_gaps(blocks, probabilities, &mut taken);
    taken
}

/// Most cells, and blocks of code, between two blocks taken that are taken with them.
const GAP: usize = 20;
/// Their least probability.
const IN_GAP: f32 = 0.05;

/// Takes the cells and the code between two blocks taken: a table with holes says something else than the table.
fn close_gaps(blocks: &[Block], probabilities: &[f32], taken: &mut [bool]) {
    let mut last = None;
    for i in 0..blocks.len() {
        if !taken[i] {
            continue;
        }
        let gap = last.map_or(i, |last| last + 1)..i;
        if last.is_some() && gap.len() <= GAP {
            for j in gap {
                taken[j] = matches!(blocks[j].kind, Kind::Cell | Kind::Pre) && probabilities[j] >= IN_GAP;
            }
        }
        last = Some(i);
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocks::Blocks;
    use super::*;
    use crate::dom::Limits;

    fn blocks(html: &str) -> Blocks {
        let dom = Dom::parse(html, Limits { nodes: 999, depth: 99 });
        super::super::blocks::collect(&dom, &Tree::measure(&dom))
    }

    #[test]
    fn the_threshold_is_the_pages_own() {
        let blocks = blocks("<p>aaaaaaaaaa<p>bbbbbbbbbb<p>cccccccccc").list;
        // Sure of one: what is doubtful would cost more than it gains. Sure of none: the doubtful are better than nothing.
        assert_eq!(take(&blocks, &[0.99, 0.35, 0.1]), [true, false, false]);
        assert_eq!(take(&blocks, &[0.4, 0.35, 0.05]), [true, true, false]);
        assert_eq!(take(&blocks, &[0.02, 0.01, 0.01]), [true, false, false]);
        assert_eq!(take(&[], &[]), Vec::<bool>::new());
        // A heading stands with what it heads.
        let headed = self::blocks("<h1>aaaaaaaaaa</h1><p>bbbbbbbbbbbb<h2>cccccccccc</h2>").list;
        assert_eq!(take(&headed, &[0.2, 0.9, 0.2]), [true, true, false]);
        // A table stays whole.
        let table = self::blocks("<p>aaaaaaaaaa</p><table><tr><td>b<td>c<tr><td>d<td>e</table><p>ffffffffff</p><table><td>g</table>").list;
        assert_eq!(take(&table, &[0.9, 0.1, 0.01, 0.1, 0.1, 0.9, 0.1]), [true, true, false, true, true, true, false]);
    }

    #[test]
    fn formulas_go_with_what_is_around_them() {
        let blocks = blocks(r"<p>a<p>\[ x \]<p>$$ y $$<p>b<p>\[ z \]<p>c<p>$5");
        let mut p = [0.9, 0.1, 0.2, 0.8, 0.3, 0.1, 0.1];
        keep_formulas(&blocks, &mut p);
        assert_eq!(p, [0.9, 0.8, 0.8, 0.8, 0.3, 0.1, 0.1]);
    }

    #[test]
    fn hidden_text_counts_only_where_most_is_hidden() {
        let html = "<p>aaaaaaaa<p hidden>bbbbbbbb<p>cccc";
        let long = format!("{html}<p>{0}<p hidden>{0}", "d".repeat(100));
        let mut p = [0.9; 5];
        leave_out_hidden(&blocks(&long).list, &mut p);
        assert_eq!(p, [0.9, 0.0, 0.9, 0.9, 0.9]);
        let mut p = [0.9, 0.9, 0.9];
        leave_out_hidden(&blocks(html).list, &mut p);
        assert_eq!(p, [0.9, 0.0, 0.9]);
        let mut p = [0.1, 0.9, 0.1];
        leave_out_hidden(&blocks(html).list, &mut p);
        assert_eq!(p, [0.1, 0.9, 0.1]);
    }

    #[test]
    fn the_best_subtree_is_the_one_with_the_prose() {
        let dom =
            Dom::parse("<nav><a>x y z</a></nav><div><p>Long, with marks.</p><p>More, of it.</p></div>", Limits { nodes: 99, depth: 99 });
        let tree = Tree::measure(&dom);
        let blocks = super::super::blocks::collect(&dom, &tree).list;
        let best = best_subtree(&dom, &tree, &blocks, &[-3.0, 9.0, 9.0]);
        assert_eq!(dom.name(best), "div");
        assert_eq!(apart(&dom, &tree, best, &blocks), [1, 0, 0]);
    }
}
