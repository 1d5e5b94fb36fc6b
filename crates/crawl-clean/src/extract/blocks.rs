//! Blocks: the runs of text between the borders of block elements.

use super::names::COUNT;
use super::tags::{Role, Tag};
use super::tree::{HAN_FIRST, HAN_LAST, Tree, stands_apart};
use crate::dom::{Dom, NONE, NodeId, ROOT};

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
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

/// Levels above a block that are looked at.
pub const LEVELS: usize = 4;
/// Elements that are climbed over to find them.
const CLIMB: usize = 16;
/// Distance to a category that nothing above has.
pub const FAR: u8 = 24;
/// Elements built alike from which they are a series.
const SERIES: u32 = 3;

/// Share of a page's text below which an element is a region of it.
pub const REGION_SHARE: f64 = 0.7;

/// A block with what is needed to judge it.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where its text begins in the text of all blocks.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// What it is.
    pub kind: Kind,
    /// The tag of the element it stands in.
    pub tag: Tag,
    /// That element.
    pub node: NodeId,
    /// For a cell, its row.
    pub row: NodeId,
    /// Length in units.
    pub units: u32,
    /// The part of it in links.
    pub link: u32,
    /// Elements above it.
    pub depth: u16,
    /// Level of the heading it is, 0 if it is none.
    pub level: u8,
    /// Elements up to the nearest one of each category; [`FAR`] if there is none.
    pub near: [u8; COUNT],
    /// The elements above it that hold more text than what is below them; [`NONE`] beyond the last.
    pub above: [NodeId; LEVELS],
    /// The nearest element above it that is one of a series.
    pub series: NodeId,
    /// The outermost element above it that holds less than [`REGION_SHARE`] of the page's text.
    pub region: NodeId,
    /// For what stands in a list or a table, its place there.
    pub place: Place,
}

/// Where a block stands in headings, lists and tables, for those who write it down again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Level of the heading it is part of, 0 if of none.
    pub heading: u8,
    /// The item of a list that it is part of; [`NONE`] if of none.
    pub item: NodeId,
    /// Number of that item in a numbered list.
    pub number: Option<u32>,
    /// Lists around it.
    pub nesting: u16,
    /// For a cell, its table.
    pub table: NodeId,
    /// For a cell, how many columns stand before it in its row.
    pub column: u16,
}

/// The blocks of a page.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Text of all blocks, one after the other, white space collapsed.
    pub text: String,
    /// The blocks in document order.
    pub list: Vec<Block>,
    /// Where code stands within running text: begin and end in `text`, in order.
    pub code: Vec<(u32, u32)>,
}

impl Blocks {
    /// Text of a block.
    #[must_use]
    pub fn text(&self, block: &Block) -> &str {
        &self.text[block.start as usize..block.end as usize]
    }
}

/// An open element.
struct Frame {
    node: NodeId,
    region: NodeId,
    near: [u8; COUNT],
}

/// An open row.
struct Row {
    node: NodeId,
    /// Column of the last cell.
    column: u16,
    /// Column behind it.
    next: u16,
}

/// An open table.
struct Table {
    node: NodeId,
    /// Rows that began in it.
    rows: u32,
    /// For each column the last row that a cell of an earlier one reaches down to.
    reached: Vec<u32>,
}

/// Most columns a cell takes, and columns whose cells may reach down.
const WIDEST: u16 = 64;

impl Table {
    fn new(node: NodeId) -> Self {
        Self { node, rows: 0, reached: Vec::new() }
    }

    /// Places a cell in a row behind those before it, and beside those that reach down from above.
    fn place(&mut self, row: &mut Row, dom: &Dom, id: NodeId) {
        while self.reached.get(usize::from(row.next)).is_some_and(|&last| last >= self.rows) {
            row.next += 1;
        }
        row.column = row.next;
        row.next = row.next.saturating_add(whole_number(dom, id, "colspan").unwrap_or(1).clamp(1, i64::from(WIDEST)) as u16);
        // 0 stands for all rows that follow.
        let more = match whole_number(dom, id, "rowspan") {
            Some(0) => u32::MAX,
            rows => rows.map_or(0, |rows| (rows - 1).max(0) as u32),
        };
        if more > 0 && row.next <= WIDEST {
            self.reached.resize(self.reached.len().max(usize::from(row.next)), 0);
            self.reached[usize::from(row.column)..usize::from(row.next)].fill(self.rows.saturating_add(more));
        }
    }
}

/// An open list.
struct List {
    /// Number of the last item; `None` if the list is not numbered.
    number: Option<i64>,
    /// From an item's number to the next one's.
    step: i64,
}

impl List {
    /// A list before its first item, as `start` and `reversed` say.
    fn open(dom: &Dom, id: NodeId) -> Self {
        if dom.tag(id) != Tag::Ol {
            return Self { number: None, step: 0 };
        }
        let step = if dom.attribute(id, "reversed").is_some() { -1 } else { 1 };
        let first = whole_number(dom, id, "start").unwrap_or_else(|| {
            let items = dom.siblings(dom.nodes[id as usize].first_child).filter(|&child| step < 0 && dom.tag(child) == Tag::Li);
            items.count().max(1) as i64
        });
        Self { number: Some(first - step), step }
    }

    /// Goes on to an item, whose `value` counts for more.
    fn item(&mut self, dom: &Dom, id: NodeId) {
        self.number = self.number.map(|last| whole_number(dom, id, "value").unwrap_or(last + self.step));
    }

    /// The number of the item, if Markdown has one like it.
    fn shown(&self) -> Option<u32> {
        self.number.and_then(|number| u32::try_from(number).ok()).filter(|&number| number <= GREATEST_NUMBER)
    }
}

/// Greatest number of an item in CommonMark.
const GREATEST_NUMBER: u32 = 999_999_999;

fn whole_number(dom: &Dom, id: NodeId, key: &str) -> Option<i64> {
    dom.attribute(id, key)?.trim().parse::<i32>().ok().map(i64::from)
}

struct Collector<'a> {
    dom: &'a Dom,
    tree: &'a Tree,
    out: Blocks,
    /// Where the block being read begins.
    start: usize,
    units: u32,
    link: u32,
    /// Categories where the first text of the block stands.
    near: [u8; COUNT],
    frames: Vec<Frame>,
    /// Open elements that decide what a block is, innermost last: place in `frames` and kind.
    open: Vec<(usize, Kind)>,
    links: u32,
    /// Open elements whose text is raised.
    raised: u32,
    /// What follows does not go on with the word before.
    apart: bool,
    pre: u32,
    /// An element that is a line of preformatted text has just ended.
    line_ended: bool,
    rows: Vec<Row>,
    tables: Vec<Table>,
    lists: Vec<List>,
    /// Where the outermost open `code` of running text begins, and how many are open.
    code: (usize, u32),
    region_units: u32,
}

/// Cuts the page into blocks, leaving out what is never shown.
#[must_use]
pub fn collect(dom: &Dom, tree: &Tree) -> Blocks {
    let mut collector = Collector {
        dom,
        tree,
        out: Blocks { text: String::with_capacity(tree.measures[ROOT as usize].text as usize * 3 / 2), ..Blocks::default() },
        start: 0,
        units: 0,
        link: 0,
        near: [FAR; COUNT],
        frames: vec![Frame { node: ROOT, region: NONE, near: [FAR; COUNT] }],
        region_units: (f64::from(tree.measures[ROOT as usize].text) * REGION_SHARE) as u32,
        open: vec![(0, Kind::Text)],
        links: 0,
        raised: 0,
        apart: false,
        pre: 0,
        line_ended: false,
        rows: Vec::new(),
        tables: Vec::new(),
        lists: Vec::new(),
        code: (0, 0),
    };
    for &id in &tree.order[1..] {
        // What is not below the innermost open element any more has ended.
        let parent = dom.nodes[id as usize].parent;
        while collector.frames.last().is_some_and(|frame| frame.node != parent) {
            collector.leave();
        }
        collector.enter(id);
    }
    while collector.frames.len() > 1 {
        collector.leave();
    }
    collector.flush();
    collector.out
}

impl Collector<'_> {
    fn enter(&mut self, id: NodeId) {
        let node = &self.dom.nodes[id as usize];
        if let Some(text) = self.dom.own_text(id) {
            let size = self.tree.measures[id as usize].text;
            if size > 0 || self.pre > 0 {
                self.add(text, size);
            } else if self.out.text.len() > self.start && !self.out.text.ends_with(' ') {
                self.out.text.push(' ');
            }
            return;
        }
        if node.tag == Tag::None {
            return;
        }
        let mut near = self.frames.last().map_or([FAR; COUNT], |frame| frame.near);
        for distance in &mut near {
            *distance = (*distance + 1).min(FAR);
        }
        let mut bits = self.tree.hints[id as usize];
        while bits != 0 {
            near[bits.trailing_zeros() as usize] = 0;
            bits &= bits - 1;
        }
        let role = node.tag.role();
        match role {
            Role::Break if self.pre > 0 && node.tag == Tag::Br => self.out.text.push('\n'),
            Role::Break => self.flush(),
            _ if self.is_line(node.tag) => self.end_line(),
            Role::Inline | Role::Invisible => {
                self.links += u32::from(node.tag == Tag::A);
                self.raised += u32::from(node.tag == Tag::Sup);
                if node.tag == Tag::Code && self.pre == 0 {
                    if self.code.1 == 0 {
                        self.code.0 = self.out.text.len();
                    }
                    self.code.1 += 1;
                }
                // Links side by side are words of their own, and so is what replaces other words.
                let previous = if node.previous == NONE { Tag::None } else { self.dom.tag(node.previous) };
                if node.tag == Tag::A && previous == Tag::A && self.open_text() {
                    self.out.text.push(' ');
                }
                self.apart |= node.tag == Tag::Img || (node.tag == Tag::Ins && previous == Tag::Del) || self.is_apart(id);
            }
            _ => {
                self.flush();
                self.pre += u32::from(role == Role::Pre);
                match node.tag {
                    Tag::Tr => {
                        self.rows.push(Row { node: id, column: 0, next: 0 });
                        if let Some(table) = self.tables.last_mut() {
                            table.rows += 1;
                        }
                    }
                    Tag::Table => self.tables.push(Table::new(id)),
                    Tag::Ul | Tag::Ol | Tag::Menu | Tag::Dl => self.lists.push(List::open(self.dom, id)),
                    Tag::Td | Tag::Th => {
                        if let (Some(row), Some(table)) = (self.rows.last_mut(), self.tables.last_mut()) {
                            table.place(row, self.dom, id);
                        }
                    }
                    Tag::Li => {
                        if let Some(list) = self.lists.last_mut() {
                            list.item(self.dom, id);
                        }
                    }
                    _ => {}
                }
                self.open.push((self.frames.len(), kind_of(role)));
            }
        }
        let mut region = self.frames.last().map_or(NONE, |frame| frame.region);
        if region == NONE && self.tree.measures[id as usize].text < self.region_units {
            region = id;
        }
        self.frames.push(Frame { node: id, region, near });
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.last() else { return };
        let tag = self.dom.tag(frame.node);
        match tag.role() {
            Role::Break | Role::Invisible => {}
            Role::Inline => {
                self.apart |= self.is_apart(frame.node) || (tag == Tag::Cite && self.out.text.ends_with(':'));
                self.links -= u32::from(tag == Tag::A);
                self.raised -= u32::from(tag == Tag::Sup);
                if tag == Tag::Code && self.code.1 > 0 {
                    self.code.1 -= 1;
                    if self.code.1 == 0 {
                        self.end_code();
                    }
                }
            }
            _ if self.is_line(tag) => {
                self.end_line();
                self.line_ended = true;
            }
            role => {
                // Before the frame goes: what the element held belongs to it.
                self.flush();
                self.open.pop();
                self.pre -= u32::from(role == Role::Pre);
                match tag {
                    Tag::Tr => drop(self.rows.pop()),
                    // No cell reaches out of its part of the table.
                    Tag::Thead | Tag::Tbody | Tag::Tfoot => self.tables.last_mut().into_iter().for_each(|table| table.reached.clear()),
                    Tag::Table => drop(self.tables.pop()),
                    Tag::Ul | Tag::Ol | Tag::Menu | Tag::Dl => drop(self.lists.pop()),
                    _ => {}
                }
            }
        }
        self.frames.pop();
    }

    /// Notes the code up to here, of which more may follow.
    fn end_code(&mut self) {
        let end = self.out.text.len();
        if end > self.code.0 {
            self.out.code.push((self.code.0 as u32, end as u32));
        }
        self.code.0 = end;
    }

    /// True for elements that are lines where text is preformatted, and blocks elsewhere.
    fn is_line(&self, tag: Tag) -> bool {
        self.pre > 0 && matches!(tag, Tag::Div | Tag::Ol | Tag::Ul | Tag::Li)
    }

    fn end_line(&mut self) {
        if self.out.text.len() > self.start && !self.out.text.ends_with('\n') {
            self.out.text.push('\n');
        }
    }

    /// True if the block being read has text that does not end in a space.
    fn open_text(&self) -> bool {
        self.out.text.len() > self.start && !self.out.text.ends_with(' ')
    }

    /// True for an inline element that its style sets apart. A letter or two are the beginning of a word, written larger.
    fn is_apart(&self, id: NodeId) -> bool {
        self.tree.measures[id as usize].text > 2 && self.dom.attribute(id, "style").is_some_and(stands_apart)
    }

    fn add(&mut self, text: &str, size: u32) {
        if self.units == 0
            && let Some(frame) = self.frames.last()
        {
            self.near = frame.near;
        }
        self.units += size;
        if self.links > 0 {
            self.link += size;
        }
        let out = &mut self.out.text;
        if std::mem::take(&mut self.apart) && ends_word(&out[self.start..]) && text.starts_with(begins_word) {
            out.push(' ');
        }
        if self.pre > 0 {
            // Between two lines one break is there for the source alone.
            if std::mem::take(&mut self.line_ended) && size == 0 && text.contains('\n') {
                out.extend(text.matches('\n').skip(1));
            } else {
                out.push_str(text);
            }
            return;
        }
        if self.raised > 0
            && let Some(raised) = raised(text)
        {
            out.push_str(&raised);
            return;
        }
        let hyphens = text.contains('\u{ad}');
        let mut from = 0;
        loop {
            let (end, next) = gap(text, from).unwrap_or((text.len(), text.len() + 1));
            let word = &text[from..end];
            // Between two words, and where the text begins or ends with white space.
            if from > 0 && out.len() > self.start && !out.ends_with(' ') {
                out.push(' ');
            }
            if hyphens {
                out.extend(word.chars().filter(|&c| c != '\u{ad}'));
            } else {
                out.push_str(word);
            }
            if next > text.len() {
                return;
            }
            from = next;
        }
    }

    fn flush(&mut self) {
        if self.code.1 > 0 {
            self.end_code();
        }
        if self.units > 0 {
            self.push();
        }
        self.start = self.out.text.len();
        (self.units, self.link, self.apart) = (0, 0, false);
    }

    fn push(&mut self) {
        let (place, mut kind) = *self.open.last().unwrap_or(&(0, Kind::Text));
        let whole = &self.out.text[self.start..];
        let trimmed = if self.pre > 0 { whole.trim_matches('\n').trim_end() } else { whole.trim() };
        if trimmed.is_empty() {
            return;
        }
        let start = trimmed.as_ptr() as usize - self.out.text.as_ptr() as usize;
        let end = start + trimmed.len();
        if self.pre > 0 {
            kind = Kind::Pre;
        } else if kind == Kind::Text {
            // A paragraph in a list item or a heading is that item or heading.
            let above = self.open.iter().rev().take(3).map(|&(_, kind)| kind).find(|&kind| kind != Kind::Text);
            kind = above.filter(|&kind| matches!(kind, Kind::Item | Kind::Heading)).unwrap_or(Kind::Text);
        }
        let frame = &self.frames[place.min(self.frames.len() - 1)];
        let (above, series) = self.climb(place);
        let tag = self.dom.tag(frame.node);
        let (node, region) = (frame.node, frame.region);
        let in_place = self.place();
        self.out.list.push(Block {
            start: start as u32,
            end: end as u32,
            kind,
            tag,
            node,
            row: self.rows.last().map_or(NONE, |row| row.node),
            units: self.units,
            link: self.link,
            depth: self.frames.len().min(usize::from(u16::MAX)) as u16,
            level: level(tag),
            near: self.near,
            above,
            series,
            region,
            place: in_place,
        });
    }

    /// Where the block that ends here stands.
    fn place(&self) -> Place {
        let heading = self.open.iter().rev().find(|&&(_, kind)| kind == Kind::Heading);
        let item = self.open.iter().rev().find(|&&(_, kind)| matches!(kind, Kind::Item | Kind::Cell));
        let item = item.filter(|&&(_, kind)| kind == Kind::Item).map_or(NONE, |&(at, _)| self.frames[at].node);
        let number = if item != NONE && self.dom.tag(item) == Tag::Li { self.lists.last() } else { None };
        Place {
            heading: heading.map_or(0, |&(at, _)| level(self.dom.tag(self.frames[at].node))),
            item,
            number: number.and_then(List::shown),
            nesting: self.lists.len().min(usize::from(u16::MAX)) as u16,
            table: self.tables.last().map_or(NONE, |table| table.node),
            column: self.rows.last().map_or(0, |row| row.column),
        }
    }

    /// The elements above the block that hold more than it, and the nearest one of a series.
    fn climb(&self, place: usize) -> ([NodeId; LEVELS], NodeId) {
        let mut above = [NONE; LEVELS];
        let (mut found, mut series) = (0, NONE);
        let mut below = self.units + self.units / 8;
        for frame in self.frames[1..=place.min(self.frames.len() - 1)].iter().rev().take(CLIMB) {
            let measure = self.tree.measures[frame.node as usize];
            let group = self.tree.groups.get(self.tree.group_of[frame.node as usize] as usize);
            if series == NONE && measure.text > self.units && group.is_some_and(|group| group.count >= SERIES) {
                series = frame.node;
            }
            if found < LEVELS && measure.text > below {
                above[found] = frame.node;
                found += 1;
                below = measure.text + measure.text / 8;
            }
        }
        (above, series)
    }
}

/// For each byte that begins a character, how many bytes there are to the next character, or to another byte of this one; 0 where it may
/// begin white space.
const STEPS: [u8; 256] = {
    let mut steps = [1; 256];
    let gaps = [b' ', b'\t', b'\n', 0x0B, 0x0C, b'\r', 0xC2, 0xE1, 0xE2, 0xE3, 0xEF];
    let mut i = 0;
    while i < gaps.len() {
        steps[gaps[i] as usize] = 0;
        i += 1;
    }
    let mut han = HAN_FIRST;
    while han <= HAN_LAST {
        steps[han as usize] = 3;
        han += 1;
    }
    steps
};

/// The first white space, or character that stands for a place to break a line, from `at` on: where it begins and ends.
fn gap(text: &str, mut at: usize) -> Option<(usize, usize)> {
    loop {
        let step = STEPS[usize::from(*text.as_bytes().get(at)?)];
        if step > 0 {
            at += usize::from(step);
            continue;
        }
        let c = text[at..].chars().next()?;
        let end = at + c.len_utf8();
        if is_gap(c) {
            return Some((at, end));
        }
        at = end;
    }
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}')
}

/// Longest exponent, in bytes.
const EXPONENT: usize = 6;

/// A whole number as it is written above the line; `None` for another text.
fn raised(text: &str) -> Option<String> {
    let up = |c| match c {
        '0' => Some('⁰'),
        '1' => Some('¹'),
        '2' => Some('²'),
        '3' => Some('³'),
        '4' => Some('⁴'),
        '5' => Some('⁵'),
        '6' => Some('⁶'),
        '7' => Some('⁷'),
        '8' => Some('⁸'),
        '9' => Some('⁹'),
        '+' => Some('⁺'),
        '-' | '−' => Some('⁻'),
        _ => None,
    };
    if text.len() <= EXPONENT && text.contains(|c: char| c.is_ascii_digit()) { text.chars().map(up).collect() } else { None }
}

/// True for a character with which a word begins, in scripts that have spaces between words.
fn begins_word(c: char) -> bool {
    c.is_alphanumeric() && !corpus::is_han(c) && !corpus::is_kana(c)
}

/// True if a word may not begin behind `text` without a space.
fn ends_word(text: &str) -> bool {
    text.ends_with(|c| begins_word(c) || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')'))
}

fn level(tag: Tag) -> u8 {
    match tag {
        Tag::H1 => 1,
        Tag::H2 => 2,
        Tag::H3 => 3,
        Tag::H4 => 4,
        Tag::H5 => 5,
        Tag::H6 => 6,
        _ => 0,
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
        let blocks = collect(&dom, &Tree::measure(&dom));
        blocks.list.iter().map(|b| (blocks.text(b).to_owned(), b.kind)).collect()
    }

    #[test]
    fn borders_of_blocks() {
        let want =
            [("T", Kind::Heading), ("a b", Kind::Text), ("c", Kind::Text), ("d", Kind::Item), ("e", Kind::Cell), ("x\n y", Kind::Pre)];
        let got = blocks("<h1>T</h1><p>a\n <b>b</b><br>c</p><ul><li><p>d</p></ul><table><tr><td>e</table><pre>\nx\n y\n</pre>");
        assert_eq!(got, want.map(|(text, kind)| (text.to_owned(), kind)));
    }

    #[test]
    fn lines_of_preformatted_text() {
        for html in [
            "<pre>a = 1<br>  b<br>c</pre>",
            "<pre><div>a = 1</div><div>  b</div><div>c</div></pre>",
            "<pre><code><div>a = 1</div>\n<div>  b</div>\n<div>c</div></code></pre>",
            "<pre><ol><li><code>a = 1</code><li><i>  </i>b<li>c</ol></pre>",
        ] {
            assert_eq!(blocks(html), [("a = 1\n  b\nc".to_owned(), Kind::Pre)], "{html}");
        }
        assert_eq!(blocks("<pre><div>a</div><div><br></div><div>b</div></pre>")[0].0, "a\n\nb");
        assert_eq!(blocks("<pre>a<p>b</p>c</pre>").len(), 3);
    }

    #[test]
    fn white_space_between_inline_elements() {
        assert_eq!(blocks("<p>a<b>b</b> c <i> d</i>\n\ne</p>")[0].0, "ab c d e");
        assert_eq!(blocks("<p><a>x</a><a>y</a> z\u{ad}z")[0].0, "x y zz");
        assert_eq!(blocks("<p> <b> </b> x <b> </b> </p>")[0].0, "x");
    }

    #[test]
    fn what_stands_apart_is_no_part_of_a_word() {
        for (html, want) in [
            ("<p>First<img>second<img>, 山<img>水<img>(x", "First second, 山水(x"),
            ("<p><del>ten</del><ins>eleven</ins>", "ten eleven"),
            ("<blockquote><cite>Eleni wrote:</cite>It depends", "Eleni wrote: It depends"),
            ("<h1><span style='float:right;'>4,689 items</span>Welcome", "4,689 items Welcome"),
            ("<p><i style='display: block'>One.</i><i style='display: block'>Two.</i>", "One. Two."),
            ("<p><i style='float:right'>T</i>he <cite>Iliad</cite>s", "The Iliads"),
            ("<h2>Start<a class=headerlink href=x>¶</a></h2>", "Start"),
            ("<h2><a class='header-anchor'> # </a>Start <a class=anchor>here</a> <a>#</a></h2>", "Start here #"),
        ] {
            assert_eq!(blocks(html)[0].0, want, "{html}");
        }
    }

    #[test]
    fn exponents_stay_above_the_line() {
        assert_eq!(blocks("<p>πr<sup>2</sup>, 10<sup>-9</sup> m, H<sub>2</sub>O")[0].0, "πr², 10⁻⁹ m, H2O");
        assert_eq!(
            blocks("<p><sup>1</sup>1<sup>st</sup>. <sup> 2 </sup>Ag<sup><a>[3]</a></sup>.<sup>4</sup> X<sup>+</sup>")[0].0,
            "¹1st. 2 Ag[3].⁴ X+"
        );
    }

    #[test]
    fn every_gap_is_found() {
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let text = format!("山a{c}é");
            let want = is_gap(c).then(|| (4, 4 + c.len_utf8()));
            assert_eq!(gap(&text, 0), want, "{c:?}");
        }
    }

    #[test]
    fn links_and_hints_are_measured() {
        let dom = Dom::parse("<p>ab<a href=x>cde</a></p><nav><div><a>f</a></div></nav>", Limits { nodes: 999, depth: 99 });
        let got = collect(&dom, &Tree::measure(&dom));
        assert_eq!((got.list[0].units, got.list[0].link), (5, 3));
        let near = |block: &Block, category: super::super::names::Category| block.near[category as usize];
        assert_eq!(near(&got.list[1], super::super::names::Category::NavTag), 2);
        assert_eq!(near(&got.list[0], super::super::names::Category::NavTag), FAR);
    }
}
