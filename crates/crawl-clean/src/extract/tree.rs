//! One measurement of every subtree: how much text, how much of it in links and in prose, what its names say, and which
//! subtrees are built alike.

use super::names::{self, Category};
use super::tags::{Role, Tag};
use crate::dom::{Dom, NONE, NodeId, ROOT};
use std::collections::HashMap;

/// What is known of a subtree, or of all subtrees built alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// Visible text in units: a letter is 1, a Han character or kana 3.
    pub text: u32,
    /// The part of it inside links.
    pub link: u32,
    /// The part of it inside paragraphs of some length, which only running text has.
    pub prose: u32,
}

impl Measure {
    fn add(&mut self, other: Self) {
        self.text = self.text.saturating_add(other.text);
        self.link = self.link.saturating_add(other.link);
        self.prose = self.prose.saturating_add(other.prose);
    }
}

/// Elements with the same tag and class, in parents and grandparents with the same: posts of a thread, cards of a list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Group {
    /// How many there are.
    pub count: u32,
    /// Their text together.
    pub measure: Measure,
}

/// The measured tree.
#[derive(Debug)]
pub struct Tree {
    /// Nodes in document order, without what is never shown.
    pub order: Vec<NodeId>,
    /// Measures by node.
    pub measures: Vec<Measure>,
    /// Categories by node, as bits; names that cover most of the page are not believed.
    pub hints: Vec<u64>,
    /// Group by node; `u32::MAX` for what is no block.
    pub group_of: Vec<u32>,
    /// The groups.
    pub groups: Vec<Group>,
}

/// Units a text is worth.
#[must_use]
pub fn units(text: &str) -> u32 {
    let mut total = 0;
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let (units, bytes) = match byte {
            0..=0x7F => (u32::from(!byte.is_ascii_whitespace()), 1),
            HAN_FIRST..=HAN_LAST => (3, 3),
            _ => text[at..].chars().next().map_or((0, 1), |c| (wide(c), c.len_utf8())),
        };
        total += units;
        at += bytes;
    }
    total
}

/// What characters from U+5000 to U+8FFF begin with in UTF-8: all of them are Han, and so are most Han characters of a text.
pub(super) const HAN_FIRST: u8 = 0xE5;
/// The last of these bytes.
pub(super) const HAN_LAST: u8 = 0xE8;

fn wide(c: char) -> u32 {
    if corpus::is_han(c) || corpus::is_kana(c) { 3 } else { u32::from(!c.is_whitespace()) }
}

/// Units from which a paragraph is prose.
const PROSE_UNITS: u32 = 80;
/// Share of the page's text above which a name is not believed.
const GUARD_SHARE: f64 = 0.6;
/// Names that may cover a whole page.
const UNGUARDED: u64 = Category::Content.bit()
    | Category::Main.bit()
    | Category::ArticleTag.bit()
    | Category::MainTag.bit()
    | Category::SectionTag.bit()
    | Category::TableTag.bit()
    | Category::ListTag.bit()
    | Category::BodyItem.bit();

impl Tree {
    /// Measures a page.
    #[must_use]
    pub fn measure(dom: &Dom) -> Self {
        let count = dom.nodes.len();
        let mut tree = Self {
            order: Vec::with_capacity(count),
            measures: vec![Measure::default(); count],
            hints: vec![0; count],
            group_of: vec![u32::MAX; count],
            groups: Vec::new(),
        };
        tree.go_down(dom);
        tree.add_up(dom);
        let total = f64::from(tree.measures[ROOT as usize].text);
        for &id in &tree.order {
            let own = tree.measures[id as usize];
            if f64::from(own.text) > GUARD_SHARE * total {
                tree.hints[id as usize] &= UNGUARDED;
            }
            if let Some(group) = tree.groups.get_mut(tree.group_of[id as usize] as usize) {
                group.count += 1;
                group.measure.add(own);
            }
        }
        tree
    }

    /// Lists what is shown in document order, with names and groups.
    fn go_down(&mut self, dom: &Dom) {
        let mut signatures = vec![0_u64; dom.nodes.len()];
        let mut groups: HashMap<u64, u32> = HashMap::new();
        let mut fuel = GUTTER_FUEL + dom.nodes.len();
        let mut at = ROOT;
        while at != NONE {
            let tag = dom.tag(at);
            if tag == Tag::None {
                if let Some(text) = dom.own_text(at) {
                    self.measures[at as usize].text = units(text);
                }
                self.order.push(at);
                at = dom.following(at, ROOT);
                continue;
            }
            let beside = match tag {
                Tag::A => is_own_place(dom, at),
                Tag::Td | Tag::Pre | Tag::Div | Tag::Span => is_gutter(dom, at, &mut fuel),
                _ => false,
            };
            if tag.role() == Role::Invisible || beside {
                at = dom.after(at, ROOT);
                continue;
            }
            let (bits, class) = read_attributes(dom, at);
            if !matches!(tag, Tag::Html | Tag::Body) {
                self.hints[at as usize] = bits | names::of_tag(tag);
            }
            let own = mix(class, tag as u64);
            signatures[at as usize] = own;
            if !matches!(tag.role(), Role::Inline | Role::Break) {
                let parent = dom.nodes[at as usize].parent;
                let grandparent = dom.nodes[parent as usize].parent;
                let above = if grandparent == NONE { 0 } else { signatures[grandparent as usize] };
                let path = mix(mix(own, signatures[parent as usize]), above);
                let next = groups.len() as u32;
                let group = *groups.entry(path).or_insert(next);
                self.group_of[at as usize] = group;
            }
            self.order.push(at);
            at = dom.following(at, ROOT);
        }
        self.groups = vec![Group::default(); groups.len()];
    }

    fn add_up(&mut self, dom: &Dom) {
        for &id in self.order.iter().rev() {
            let node = &dom.nodes[id as usize];
            let own = &mut self.measures[id as usize];
            match node.tag {
                Tag::A => own.link = own.text,
                Tag::P | Tag::Td | Tag::Div | Tag::Blockquote | Tag::Li | Tag::Dd
                    if own.text >= PROSE_UNITS && own.link * 3 < own.text && own.prose == 0 =>
                {
                    own.prose = own.text;
                }
                _ => {}
            }
            let own = *own;
            if node.parent != NONE {
                self.measures[node.parent as usize].add(own);
            }
        }
    }
}

/// Categories that attributes stand for, and a digest of the class without its digits.
fn read_attributes(dom: &Dom, id: NodeId) -> (u64, u64) {
    let (mut bits, mut class) = (0, 0);
    for (name, value) in dom.attributes(id) {
        match name {
            "class" => {
                bits |= names::of_name(value);
                for byte in value.bytes().filter(|byte| !byte.is_ascii_digit()) {
                    class = mix(class, u64::from(byte));
                }
            }
            "id" => bits |= names::of_name(value),
            "role" => bits |= names::of_role(value),
            "itemprop" => bits |= names::of_item(value),
            "hidden" => bits |= Category::NotShown.bit(),
            "aria-hidden" if value == "true" => bits |= Category::NotShown.bit(),
            "style" if hides(value) => bits |= Category::NotShown.bit(),
            _ => {}
        }
    }
    (bits, class)
}

fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// True if a style says that the element is not shown.
fn hides(style: &str) -> bool {
    sets(style, "display", "none") || sets(style, "visibility", "hidden")
}

/// True if a style says that an inline element stands apart from the text around it.
pub(super) fn stands_apart(style: &str) -> bool {
    sets(style, "display", "block") || sets(style, "float", "right")
}

/// True if `key` has a value in `style` that begins with `value`.
fn sets(style: &str, key: &str, value: &str) -> bool {
    style.match_indices(key).any(|(at, _)| {
        let rest = style[at + key.len()..].strip_prefix(':');
        rest.is_some_and(|rest| rest.strip_prefix(' ').unwrap_or(rest).starts_with(value))
    })
}

/// Words in the class of a link to the place where it stands.
const OWN_PLACE: [&str; 4] = ["anchor", "headerlink", "permalink", "hash-link"];

/// Bytes and nodes of line numbers on a page, beside one for each node: elements that may be such stand within each other.
const GUTTER_FUEL: usize = 1 << 20;

/// Words of a class for the numbers of lines beside code.
const LINE_NUMBERS: [&str; 10] = [
    "linenos",
    "lineno",
    "linenodiv",
    "gutter",
    "rouge-gutter",
    "crayon-nums",
    "line-number",
    "line-numbers",
    "blob-num",
    "hljs-ln-numbers",
];

/// True for an element with the numbers of lines of code and nothing else; `fuel` is what may be looked at on a page.
fn is_gutter(dom: &Dom, id: NodeId, fuel: &mut usize) -> bool {
    if !dom.attribute(id, "class").is_some_and(|class| class.split_whitespace().any(|word| LINE_NUMBERS.contains(&word))) {
        return false;
    }
    let mut at = id;
    while at != NONE {
        let text = dom.own_text(at).unwrap_or_default();
        let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace()).count();
        *fuel = fuel.saturating_sub(digits + 1);
        if *fuel == 0 || digits < text.len() {
            return false;
        }
        at = dom.following(at, id);
    }
    true
}

/// True for the link with a mark that headings have to themselves.
fn is_own_place(dom: &Dom, id: NodeId) -> bool {
    dom.attribute(id, "class").is_some_and(|class| OWN_PLACE.iter().any(|word| class.contains(word)))
        && dom.text_within(id, 20, 10).is_some_and(|text| matches!(text.trim(), "¶" | "#" | "§" | "🔗"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::Limits;

    #[test]
    fn measures_text_links_and_prose() {
        let dom = Dom::parse(&format!("<p>{}<a>link</a></p><script>no</script>山", "a".repeat(100)), Limits { nodes: 99, depth: 99 });
        let tree = Tree::measure(&dom);
        assert_eq!(tree.measures[ROOT as usize], Measure { text: 107, link: 4, prose: 104 });
    }

    #[test]
    fn characters_are_worth_units() {
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let want = if corpus::is_han(c) || corpus::is_kana(c) { 3 } else { u32::from(!c.is_whitespace() || c == '\u{0B}') };
            assert_eq!(units(&format!("a{c}é")), 2 + want, "{c:?}");
        }
    }

    #[test]
    fn names_are_not_believed_of_the_whole_page() {
        let html = "<div class=sidebar id=a><p class=nav>few</p><p>many more words than in the other</p></div><i class=ad>x</i>";
        let dom = Dom::parse(html, Limits { nodes: 99, depth: 99 });
        let tree = Tree::measure(&dom);
        let of = |tag: Tag| (0..dom.nodes.len()).find(|&id| dom.nodes[id].tag == tag).unwrap();
        assert_eq!(tree.hints[of(Tag::Div)] & Category::Side.bit(), 0);
        assert_eq!(tree.hints[of(Tag::P)], Category::Navigation.bit());
        assert_eq!(tree.hints[of(Tag::I)], Category::Ad.bit());
    }

    #[test]
    fn line_numbers_are_not_read() {
        let html =
            "<table><tr><td class='linenos x'><pre>1\n2</pre><td><pre>a\nb</pre></table><p class=gutter>3<div class=gutter>4 c</div>";
        let dom = Dom::parse(html, Limits { nodes: 99, depth: 99 });
        assert_eq!(Tree::measure(&dom).measures[ROOT as usize].text, 5);
    }

    #[test]
    fn elements_built_alike_are_a_group() {
        let dom = Dom::parse("<ul><li class=p1>a<li class=p2>b<li class=q>c</ul>", Limits { nodes: 99, depth: 99 });
        let tree = Tree::measure(&dom);
        let mut counts: Vec<u32> = tree.groups.iter().map(|group| group.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 1, 1, 1, 2]);
    }
}
