//! Blocks: the runs of text between the borders of block elements.

use super::tree::{Role, Tree, role, units};
use crate::dom::{Data, Dom, NONE, NodeId, ROOT};

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Running text.
    Text,
    /// A heading.
    Heading,
    /// An item of a list.
    Item,
    /// A cell of a table.
    Cell,
    /// Preformatted text, line breaks kept.
    Pre,
}

/// A block with what is needed to judge it.
#[derive(Debug, Clone)]
pub struct Block {
    /// Text with white space collapsed.
    pub text: String,
    /// What it is.
    pub kind: Kind,
    /// The element it stands in.
    pub node: NodeId,
    /// For a cell, its row.
    pub row: NodeId,
    /// Length in units.
    pub units: u32,
    /// The part of it in links.
    pub link: u32,
    /// It was written by readers.
    pub comment: bool,
}

struct Collector<'a> {
    tree: &'a Tree,
    out: Vec<Block>,
    text: String,
    link: u32,
    /// Open elements that decide what a block is, innermost last.
    open: Vec<(NodeId, Kind)>,
    links: u32,
    pre: u32,
    comments: u32,
    rows: Vec<NodeId>,
}

/// Cuts the page into blocks, leaving out what was dropped.
#[must_use]
pub fn collect(dom: &Dom, tree: &Tree) -> Vec<Block> {
    let mut collector = Collector {
        tree,
        out: Vec::new(),
        text: String::new(),
        link: 0,
        open: vec![(ROOT, Kind::Text)],
        links: 0,
        pre: 0,
        comments: 0,
        rows: Vec::new(),
    };
    let mut at = ROOT;
    loop {
        let node = &dom.nodes[at as usize];
        let entered = !tree.dropped[at as usize];
        if entered {
            collector.enter(dom, at);
            if node.first_child != NONE {
                at = node.first_child;
                continue;
            }
            collector.leave(dom, at);
        }
        // Climb to the next node, leaving what ends on the way.
        let mut here = at;
        loop {
            let node = &dom.nodes[here as usize];
            if node.next != NONE {
                at = node.next;
                break;
            }
            here = node.parent;
            if here == NONE {
                collector.flush();
                return collector.out;
            }
            collector.leave(dom, here);
        }
    }
}

impl Collector<'_> {
    fn enter(&mut self, dom: &Dom, id: NodeId) {
        if let Data::Text(text) = &dom.nodes[id as usize].data {
            self.add(text);
            return;
        }
        self.comments += u32::from(self.tree.comment[id as usize]);
        match role(dom.name(id)) {
            Role::Link => self.links += 1,
            Role::Break => self.flush(),
            Role::Inline | Role::Invisible => {}
            Role::Pre => {
                self.flush();
                self.pre += 1;
                self.open.push((id, Kind::Pre));
            }
            other => {
                self.flush();
                if dom.name(id) == "tr" {
                    self.rows.push(id);
                }
                self.open.push((id, kind_of(other)));
            }
        }
    }

    fn leave(&mut self, dom: &Dom, id: NodeId) {
        if !matches!(dom.nodes[id as usize].data, Data::Element { .. }) {
            return;
        }
        let role = role(dom.name(id));
        match role {
            Role::Link => self.links -= 1,
            Role::Break | Role::Inline | Role::Invisible => {}
            _ => {
                self.flush();
                self.open.pop();
                self.pre -= u32::from(role == Role::Pre);
                if dom.name(id) == "tr" {
                    self.rows.pop();
                }
            }
        }
        // After the flush: what the element held belongs to it.
        self.comments -= u32::from(self.tree.comment[id as usize]);
    }

    fn add(&mut self, text: &str) {
        if self.links > 0 {
            self.link += units(text);
        }
        if self.pre > 0 {
            self.text.push_str(text);
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() || c == '\u{200b}' || c == '\u{feff}' {
                if !self.text.is_empty() && !self.text.ends_with(' ') {
                    self.text.push(' ');
                }
            } else if c != '\u{ad}' {
                self.text.push(c);
            }
        }
    }

    fn flush(&mut self) {
        let (node, mut kind) = *self.open.last().unwrap_or(&(ROOT, Kind::Text));
        let trimmed = if self.pre > 0 { self.text.trim_matches('\n').trim_end() } else { self.text.trim() };
        let size = units(trimmed);
        if size > 0 {
            if self.pre > 0 {
                kind = Kind::Pre;
            } else if kind == Kind::Text {
                // A paragraph in a list item or a heading is that item or heading.
                let above = self.open.iter().rev().take(3).map(|&(_, kind)| kind).find(|&kind| kind != Kind::Text);
                kind = above.filter(|&kind| matches!(kind, Kind::Item | Kind::Heading)).unwrap_or(Kind::Text);
            }
            let row = self.rows.last().copied().unwrap_or(NONE);
            let link = self.link.min(size);
            self.out.push(Block { text: trimmed.to_owned(), kind, node, row, units: size, link, comment: self.comments > 0 });
        }
        self.text.clear();
        self.link = 0;
    }
}

fn kind_of(role: Role) -> Kind {
    match role {
        Role::Heading => Kind::Heading,
        Role::Item => Kind::Item,
        Role::Cell => Kind::Cell,
        Role::Pre => Kind::Pre,
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::Limits;

    fn blocks(html: &str) -> Vec<(String, Kind)> {
        let dom = Dom::parse(html, Limits { nodes: 999, depth: 99 });
        collect(&dom, &Tree::measure(&dom)).into_iter().map(|b| (b.text, b.kind)).collect()
    }

    #[test]
    fn borders_of_blocks() {
        let want =
            [("T", Kind::Heading), ("a b", Kind::Text), ("c", Kind::Text), ("d", Kind::Item), ("e", Kind::Cell), ("x\n y", Kind::Pre)];
        let got = blocks("<h1>T</h1><p>a\n <b>b</b><br>c</p><ul><li><p>d</p></ul><table><tr><td>e</table><pre>\nx\n y\n</pre>");
        assert_eq!(got, want.map(|(text, kind)| (text.to_owned(), kind)));
    }

    #[test]
    fn links_are_measured() {
        let dom = Dom::parse("<p>ab<a href=x>cde</a></p>", Limits { nodes: 999, depth: 99 });
        let got = collect(&dom, &Tree::measure(&dom));
        assert_eq!((got[0].units, got[0].link), (5, 3));
    }
}
