//! Which blocks are the text of the page.

use super::blocks::{Block, Kind};
use super::tree::Tree;
use crate::dom::{Dom, NONE, NodeId, ROOT};

/// Share of a block in links from which it is a link and not a text with links.
const LINK_SHARE: f64 = 0.5;
/// Units from which a block without links speaks for itself.
const LONG_UNITS: u32 = 60;

/// The text of the page, a line a block.
#[must_use]
pub fn main_text(dom: &Dom, tree: &Tree, blocks: &[Block]) -> String {
    let comments = comments_are_content(blocks);
    let scores: Vec<f64> = blocks.iter().map(|block| if block.comment && !comments { 0.0 } else { score(block) }).collect();
    let top = best_subtree(dom, tree, blocks, &scores);
    let inside = mark_inside(dom, top);
    let chosen: Vec<usize> = (0..blocks.len()).filter(|&i| inside[blocks[i].node as usize] && (comments || !blocks[i].comment)).collect();
    let kept = drop_link_lists(blocks, &chosen);
    render(blocks, &kept)
}

/// True if readers wrote most of what is worth reading, as in a forum.
fn comments_are_content(blocks: &[Block]) -> bool {
    let sum = |comment: bool| {
        blocks
            .iter()
            .filter(|b| b.comment == comment && b.units >= LONG_UNITS && link_share(b) < LINK_SHARE)
            .map(|b| f64::from(b.units))
            .sum::<f64>()
    };
    sum(false) < 0.5 * sum(true)
}

fn link_share(block: &Block) -> f64 {
    f64::from(block.link) / f64::from(block.units.max(1))
}

/// How much a block speaks for the subtree it stands in; negative for what surrounds texts.
fn score(block: &Block) -> f64 {
    let share = link_share(block);
    let length = f64::from(block.units);
    if share >= LINK_SHARE {
        return -(3.0 + 0.15 * length.min(60.0));
    }
    let marks =
        block.text.chars().filter(|c| matches!(c, '.' | ',' | ';' | '!' | '?' | '。' | '，' | '；' | '！' | '？' | '、' | '：')).count()
            as f64;
    match block.kind {
        Kind::Heading => 2.0,
        Kind::Pre => 0.5 * length.min(400.0),
        _ if block.units < 15 => -0.5,
        _ if block.units < LONG_UNITS && marks == 0.0 => 0.0,
        _ => (0.4 * length + 4.0 * marks) * (1.0 - share),
    }
}

/// The subtree with the largest sum of scores; of nested ones with nearly the same sum the innermost.
fn best_subtree(dom: &Dom, tree: &Tree, blocks: &[Block], scores: &[f64]) -> NodeId {
    let mut sums = vec![0.0_f64; dom.nodes.len()];
    let mut counts = vec![0_u32; dom.nodes.len()];
    for (block, &score) in blocks.iter().zip(scores) {
        sums[block.node as usize] += score;
        counts[block.node as usize] += 1;
    }
    // Children come before parents when the document order is walked backwards.
    let mut order = Vec::new();
    let mut at = ROOT;
    while at != NONE {
        if tree.dropped[at as usize] {
            at = dom.after(at, ROOT);
        } else {
            order.push(at);
            at = dom.following(at, ROOT);
        }
    }
    for &id in order.iter().rev() {
        let parent = dom.nodes[id as usize].parent;
        if parent != NONE {
            sums[parent as usize] += sums[id as usize];
            counts[parent as usize] += counts[id as usize];
        }
    }
    let mut best = ROOT;
    for &id in &order {
        // Going down costs nothing while no block is left behind.
        let all = dom.nodes[id as usize].parent == best && counts[id as usize] == counts[best as usize];
        if counts[id as usize] > 0 && (all || sums[id as usize] > sums[best as usize]) {
            best = id;
        }
    }
    best
}

fn mark_inside(dom: &Dom, top: NodeId) -> Vec<bool> {
    let mut inside = vec![false; dom.nodes.len()];
    let mut at = top;
    while at != NONE {
        inside[at as usize] = true;
        at = dom.following(at, top);
    }
    inside
}

/// Leaves out runs of blocks that are links, unless links are all there is.
fn drop_link_lists(blocks: &[Block], chosen: &[usize]) -> Vec<usize> {
    let total: f64 = chosen.iter().map(|&i| f64::from(blocks[i].units)).sum();
    let linked: f64 = chosen.iter().map(|&i| f64::from(blocks[i].link)).sum();
    if linked > 0.7 * total {
        return chosen.to_vec();
    }
    let kept: Vec<usize> =
        chosen.iter().copied().filter(|&i| link_share(&blocks[i]) < LINK_SHARE || blocks[i].kind == Kind::Heading).collect();
    drop_empty_headings(blocks, kept)
}

/// Leaves out headings at the end, which head nothing.
fn drop_empty_headings(blocks: &[Block], mut kept: Vec<usize>) -> Vec<usize> {
    while kept.len() > 1 && kept.last().is_some_and(|&i| blocks[i].kind == Kind::Heading) {
        kept.pop();
    }
    kept
}

fn render(blocks: &[Block], kept: &[usize]) -> String {
    let mut out = String::with_capacity(kept.iter().map(|&i| blocks[i].text.len() + 3).sum());
    let mut row = NONE;
    for &i in kept {
        let block = &blocks[i];
        let same_row = block.kind == Kind::Cell && block.row == row && row != NONE;
        if same_row {
            out.push_str(" | ");
        } else if !out.is_empty() {
            out.push('\n');
        }
        row = if block.kind == Kind::Cell { block.row } else { NONE };
        if block.kind == Kind::Item {
            out.push_str("- ");
        }
        out.push_str(&block.text);
    }
    out
}
