//! A page as an arena of nodes, built by html5ever's conformant tree builder.
//!
//! Nodes are indexes, text is a slice of the page, and nothing recurses, so depth costs no stack.
//! Caps count nodes and depth; beyond them the rest of the page is not parsed.

use crate::extract::tags::Tag;
use crate::feed::Feed;
use crate::reduce::walk;
use html5ever::interface::{ElemName, ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::StrTendril;
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{Attribute, LocalName, Namespace, QualName};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};

/// Index of a node; [`NONE`] stands for no node.
pub type NodeId = u32;
/// No node.
pub const NONE: NodeId = u32::MAX;
/// The document node.
pub const ROOT: NodeId = 0;

/// What a node is.
#[derive(Debug)]
pub enum Data {
    /// The document.
    Document,
    /// An element.
    Element {
        /// Name with its namespace.
        name: QualName,
        /// Attributes.
        attributes: Vec<Attribute>,
    },
    /// Text.
    Text(StrTendril),
    /// A comment, a processing instruction, the contents of a template: nothing to read.
    Other,
}

/// A node and its neighbours.
#[derive(Debug)]
pub struct Node {
    /// Parent.
    pub parent: NodeId,
    /// First child.
    pub first_child: NodeId,
    /// Last child.
    pub last_child: NodeId,
    /// Previous sibling.
    pub previous: NodeId,
    /// Next sibling.
    pub next: NodeId,
    depth: u32,
    /// Its name, as far as extraction tells names apart.
    pub tag: Tag,
    /// What it is.
    pub data: Data,
}

/// A parsed page.
#[derive(Debug)]
pub struct Dom {
    /// All nodes; the document is the first.
    pub nodes: Vec<Node>,
    /// A cap was met and the rest of the page left out.
    pub cut: bool,
}

/// Caps on a page.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most nodes.
    pub nodes: usize,
    /// Deepest nesting.
    pub depth: usize,
}

impl Dom {
    /// Parses a page without what no reader sees (see [`crate::reduce`]).
    #[must_use]
    pub fn parse(html: &str, limits: Limits) -> Self {
        let mut feed = Feed::new(html, Sink::for_page(html), limits, OPTIONS);
        walk(html, &mut feed);
        let (sink, cut) = feed.finish();
        Self { nodes: sink.finish(), cut }
    }

    /// Parses a page with everything in it, by html5ever's own tokenizer.
    #[cfg(test)]
    pub fn parse_all(html: &str, limits: Limits) -> Self {
        use html5ever::tendril::TendrilSink;
        let options = html5ever::ParseOpts { tree_builder: OPTIONS, ..html5ever::ParseOpts::default() };
        let sink = Sink::for_page(html);
        let nodes = html5ever::parse_document(sink, options).one(html);
        Self { cut: nodes.len() > limits.nodes, nodes }
    }

    /// Attributes of an element, name and value; none for anything else.
    pub fn attributes(&self, id: NodeId) -> impl Iterator<Item = (&str, &str)> {
        let attributes = match &self.nodes[id as usize].data {
            Data::Element { attributes, .. } => attributes.as_slice(),
            _ => &[],
        };
        attributes.iter().map(|a| (&*a.name.local, &*a.value))
    }

    /// Text of a text node.
    #[must_use]
    pub fn own_text(&self, id: NodeId) -> Option<&str> {
        match &self.nodes[id as usize].data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What an element is by its name.
    #[must_use]
    pub fn tag(&self, id: NodeId) -> Tag {
        self.nodes[id as usize].tag
    }

    /// Local name of an element, empty for anything else.
    #[must_use]
    pub fn name(&self, id: NodeId) -> &str {
        match &self.nodes[id as usize].data {
            Data::Element { name, .. } => &name.local,
            _ => "",
        }
    }

    /// Value of an attribute.
    #[must_use]
    pub fn attribute(&self, id: NodeId, key: &str) -> Option<&str> {
        match &self.nodes[id as usize].data {
            Data::Element { attributes, .. } => attributes.iter().find(|a| &*a.name.local == key).map(|a| &*a.value),
            _ => None,
        }
    }

    /// `first` and the siblings behind it; nothing for [`NONE`].
    pub fn siblings(&self, first: NodeId) -> impl Iterator<Item = NodeId> {
        let some = |id: NodeId| (id != NONE).then_some(id);
        std::iter::successors(some(first), move |&id| some(self.nodes[id as usize].next))
    }

    /// The node after `id` in document order that is not below it, inside `top`; [`NONE`] at the end.
    #[must_use]
    pub fn after(&self, id: NodeId, top: NodeId) -> NodeId {
        let mut at = id;
        while at != top && at != NONE {
            let node = &self.nodes[at as usize];
            if node.next != NONE {
                return node.next;
            }
            at = node.parent;
        }
        NONE
    }

    /// The node after `id` in document order inside `top`; [`NONE`] at the end.
    #[must_use]
    pub fn following(&self, id: NodeId, top: NodeId) -> NodeId {
        let child = self.nodes[id as usize].first_child;
        if child == NONE { self.after(id, top) } else { child }
    }

    /// Makes an element one of kind `tag` with `text` alone below it.
    pub fn replace(&mut self, id: NodeId, tag: Tag, text: &str) {
        debug_assert_ne!(id, ROOT);
        // What stood below is left without a way to it.
        let child = self.nodes.len() as NodeId;
        let node = &mut self.nodes[id as usize];
        (node.tag, node.first_child, node.last_child) = (tag, child, child);
        let depth = node.depth + 1;
        let data = Data::Text(StrTendril::from_slice(text));
        self.nodes.push(Node { parent: id, first_child: NONE, last_child: NONE, previous: NONE, next: NONE, depth, tag: Tag::None, data });
    }

    /// All text below a node, as it stands, if there are at most so many bytes and nodes of it: elements that hold each other are not each
    /// read to the end.
    #[must_use]
    pub fn text_within(&self, top: NodeId, most_bytes: usize, most_nodes: usize) -> Option<String> {
        let mut out = String::new();
        let mut at = top;
        for _ in 0..most_nodes {
            let text = self.own_text(at).unwrap_or_default();
            if out.len() + text.len() > most_bytes {
                return None;
            }
            out.push_str(text);
            at = self.following(at, top);
            if at == NONE {
                return Some(out);
            }
        }
        None
    }

    /// All text below a node, as it stands.
    #[must_use]
    pub fn text(&self, top: NodeId) -> String {
        let mut out = String::new();
        let mut at = top;
        while at != NONE {
            if let Data::Text(text) = &self.nodes[at as usize].data {
                out.push_str(text);
            }
            at = self.following(at, top);
        }
        out
    }
}

/// As a browser without scripts: what a page puts into `noscript` is often its text.
const OPTIONS: TreeBuilderOpts = TreeBuilderOpts {
    exact_errors: false,
    scripting_enabled: false,
    iframe_srcdoc: false,
    drop_doctype: true,
    quirks_mode: QuirksMode::NoQuirks,
};

/// Where html5ever's tree builder puts its nodes.
pub(crate) struct Sink {
    nodes: RefCell<Vec<Node>>,
    deepest: Cell<u32>,
}

/// A name of its own, so that no borrow of the arena outlives a question.
#[derive(Debug)]
pub(crate) struct Name {
    namespace: Namespace,
    local: LocalName,
}

impl ElemName for Name {
    fn ns(&self) -> &Namespace {
        &self.namespace
    }

    fn local_name(&self) -> &LocalName {
        &self.local
    }
}

impl Sink {
    fn for_page(html: &str) -> Self {
        let sink = Self { nodes: RefCell::new(Vec::with_capacity(html.len() / 80 + 16)), deepest: Cell::new(0) };
        sink.create(Data::Document);
        sink
    }

    /// True if there are more nodes, or deeper ones, than allowed.
    pub(crate) fn exceeds(&self, limits: Limits) -> bool {
        self.nodes.borrow().len() > limits.nodes || self.deepest.get() as usize > limits.depth
    }

    fn create(&self, data: Data) -> NodeId {
        let tag = match &data {
            Data::Element { name, .. } => Tag::of(&name.local),
            _ => Tag::None,
        };
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { parent: NONE, first_child: NONE, last_child: NONE, previous: NONE, next: NONE, depth: 0, tag, data });
        (nodes.len() - 1) as NodeId
    }

    fn detach(nodes: &mut [Node], id: NodeId) {
        let (parent, previous, next) = {
            let node = &mut nodes[id as usize];
            let links = (node.parent, node.previous, node.next);
            (node.parent, node.previous, node.next) = (NONE, NONE, NONE);
            links
        };
        if parent == NONE {
            return;
        }
        match previous {
            NONE => nodes[parent as usize].first_child = next,
            _ => nodes[previous as usize].next = next,
        }
        match next {
            NONE => nodes[parent as usize].last_child = previous,
            _ => nodes[next as usize].previous = previous,
        }
    }

    /// Puts `id` under `parent` before `next`, or last.
    fn attach(&self, nodes: &mut [Node], parent: NodeId, id: NodeId, next: NodeId) {
        Self::detach(nodes, id);
        let previous = if next == NONE { nodes[parent as usize].last_child } else { nodes[next as usize].previous };
        let depth = nodes[parent as usize].depth + 1;
        let node = &mut nodes[id as usize];
        (node.parent, node.previous, node.next, node.depth) = (parent, previous, next, depth);
        match previous {
            NONE => nodes[parent as usize].first_child = id,
            _ => nodes[previous as usize].next = id,
        }
        match next {
            NONE => nodes[parent as usize].last_child = id,
            _ => nodes[next as usize].previous = id,
        }
        self.deepest.set(self.deepest.get().max(depth));
    }

    fn insert(&self, parent: NodeId, next: NodeId, child: NodeOrText<NodeId>) {
        match child {
            NodeOrText::AppendNode(id) => self.attach(&mut self.nodes.borrow_mut(), parent, id, next),
            NodeOrText::AppendText(text) => {
                let previous = {
                    let nodes = self.nodes.borrow();
                    if next == NONE { nodes[parent as usize].last_child } else { nodes[next as usize].previous }
                };
                if previous != NONE
                    && let Data::Text(have) = &mut self.nodes.borrow_mut()[previous as usize].data
                {
                    have.push_tendril(&text);
                    return;
                }
                let id = self.create(Data::Text(text));
                self.attach(&mut self.nodes.borrow_mut(), parent, id, next);
            }
        }
    }
}

impl TreeSink for Sink {
    type Handle = NodeId;
    type Output = Vec<Node>;
    type ElemName<'a> = Name;

    fn finish(self) -> Vec<Node> {
        self.nodes.into_inner()
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> NodeId {
        ROOT
    }

    fn elem_name<'a>(&'a self, target: &'a NodeId) -> Name {
        match &self.nodes.borrow()[*target as usize].data {
            Data::Element { name, .. } => Name { namespace: name.ns.clone(), local: name.local.clone() },
            _ => Name { namespace: Namespace::from(""), local: LocalName::from("") },
        }
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> NodeId {
        self.create(Data::Element { name, attributes })
    }

    fn create_comment(&self, _: StrTendril) -> NodeId {
        self.create(Data::Other)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> NodeId {
        self.create(Data::Other)
    }

    fn append(&self, parent: &NodeId, child: NodeOrText<NodeId>) {
        self.insert(*parent, NONE, child);
    }

    fn append_based_on_parent_node(&self, element: &NodeId, previous: &NodeId, child: NodeOrText<NodeId>) {
        let parent = self.nodes.borrow()[*element as usize].parent;
        if parent == NONE {
            self.insert(*previous, NONE, child);
        } else {
            self.insert(parent, *element, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &NodeId) -> NodeId {
        // Contents of a template are not shown: they get a parent that is in no tree.
        let _ = target;
        self.create(Data::Other)
    }

    fn same_node(&self, x: &NodeId, y: &NodeId) -> bool {
        x == y
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &NodeId, child: NodeOrText<NodeId>) {
        let parent = self.nodes.borrow()[*sibling as usize].parent;
        if parent != NONE {
            self.insert(parent, *sibling, child);
        }
    }

    fn add_attrs_if_missing(&self, target: &NodeId, attributes: Vec<Attribute>) {
        if let Data::Element { attributes: have, .. } = &mut self.nodes.borrow_mut()[*target as usize].data {
            for attribute in attributes {
                if !have.iter().any(|a| a.name == attribute.name) {
                    have.push(attribute);
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &NodeId) {
        Self::detach(&mut self.nodes.borrow_mut(), *target);
    }

    fn reparent_children(&self, node: &NodeId, new_parent: &NodeId) {
        loop {
            let child = self.nodes.borrow()[*node as usize].first_child;
            if child == NONE {
                return;
            }
            self.attach(&mut self.nodes.borrow_mut(), *new_parent, child, NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { nodes: 10_000, depth: 256 };

    fn outline(dom: &Dom) -> String {
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
    }

    #[test]
    fn builds_what_browsers_build() {
        let dom = Dom::parse("<title>T</title><p>a<p>b<b>c</b> d<table>x<tr><td>y</table>", LIMITS);
        assert_eq!(outline(&dom), "<html><head><title>T<body><p>a<p>b<b>c dx<table><tbody><tr><td>y");
        assert!(!dom.cut);
    }

    #[test]
    fn misnested_and_template_content() {
        assert_eq!(outline(&Dom::parse("<p><b>1<i>2</b>3</i>", LIMITS)), "<html><head><body><p><b>1<i>2<i>3");
        assert_eq!(outline(&Dom::parse("<template><p>x</template>y", LIMITS)), "<html><head><template><body>y");
    }

    #[test]
    fn attributes_and_text() {
        let dom = Dom::parse("<div class='a b' id=c>x<span>y</span></div>", LIMITS);
        let div = (0..dom.nodes.len() as NodeId).find(|&id| dom.name(id) == "div").unwrap();
        assert_eq!((dom.attribute(div, "class"), dom.attribute(div, "id"), dom.attribute(div, "x")), (Some("a b"), Some("c"), None));
        assert_eq!(dom.text(div), "xy");
    }

    #[test]
    fn caps_stop_depth_and_number() {
        let deep = Dom::parse(&"<div>".repeat(100_000), LIMITS);
        assert!(deep.cut && deep.nodes.len() < 5000);
        let many = Dom::parse(&"<p>x".repeat(100_000), LIMITS);
        assert!(many.cut && many.nodes.len() < 20_000);
        assert!(!Dom::parse(&"a".repeat(100_000), LIMITS).cut);
    }
}
