//! What is known of each block, as numbers: of itself, of its neighbours, of what it stands in, and of the page.
//!
//! Nothing here is a word of any language. Lengths are in units (see [`super::tree::units`]), so that scripts compare.

use super::blocks::{Block, Blocks, Kind, LEVELS};
use super::choose;
use super::names::CATEGORIES;
use super::page::{About, kind};
use super::tree::{HAN_FIRST, HAN_LAST, Measure, Tree};
use crate::dom::{Dom, NONE, NodeId, ROOT};
use std::collections::HashMap;

/// Takes features one by one, always in the same order.
pub trait Put {
    /// Takes a value; `name` and `index` together are unique.
    fn put(&mut self, name: &'static str, index: usize, value: f32);
}

impl Put for Vec<f32> {
    fn put(&mut self, _: &'static str, _: usize, value: f32) {
        self.push(value);
    }
}

struct Names(Vec<String>);

impl Put for Names {
    fn put(&mut self, name: &'static str, index: usize, _: f32) {
        self.0.push(match name {
            "near" => format!("near {}", CATEGORIES[index]),
            "says" => format!("says {}", kind::NAMES[index].0),
            name if index > 0 => format!("{name} {index}"),
            name => name.to_owned(),
        });
    }
}

/// Names of the features in order.
#[must_use]
pub fn names() -> Vec<String> {
    let dom = Dom::parse("<p>x", crate::dom::Limits { nodes: 9, depth: 9 });
    let tree = Tree::measure(&dom);
    let blocks = super::blocks::collect(&dom, &tree);
    let mut names = Names(Vec::new());
    Page::new(&dom, &tree, &blocks, &About::default()).features(0, &mut names);
    names.0
}

/// Marks that a text of its own has, counted once a block.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// Words, a Han character or kana being half a word.
    words: f32,
    /// Ends of sentences.
    stops: u32,
    /// Commas and the like.
    commas: u32,
    digits: u32,
    capitals: u32,
    letters: u32,
    /// Separators between short things: bars, bullets, slashes, arrows.
    bars: u32,
    money: u32,
    copyright: bool,
    ends_stop: bool,
    ends_colon: bool,
    begins_small: bool,
    begins_digit: bool,
}

impl Marks {
    fn of(text: &str) -> Self {
        let mut marks = Self::default();
        let mut inside = false;
        // Half words.
        let mut halves = 0;
        let mut at = 0;
        while let Some(&byte) = text.as_bytes().get(at) {
            if (HAN_FIRST..=HAN_LAST).contains(&byte) {
                (marks.letters, halves, inside, at) = (marks.letters + 3, halves + 1, true, at + 3);
                continue;
            }
            let c = text[at..].chars().next().unwrap_or(' ');
            at += c.len_utf8();
            match c {
                'a'..='z' => marks.letters += 1,
                'A'..='Z' => (marks.letters, marks.capitals) = (marks.letters + 1, marks.capitals + 1),
                '0'..='9' => marks.digits += 1,
                '.' | '!' | '?' | '。' | '！' | '？' | '…' | '؟' | '।' => marks.stops += 1,
                ',' | ';' | '，' | '、' | '；' | '،' | '·' | ':' | '：' => marks.commas += 1,
                '|' | '•' | '/' | '»' | '«' | '›' | '→' | '＞' | '>' | '｜' | '_' => marks.bars += 1,
                '$' | '€' | '£' | '¥' | '￥' | '₽' | '₹' | '%' => marks.money += 1,
                '©' | '®' => marks.copyright = true,
                c if c.is_ascii() => {}
                c if corpus::is_han(c) || corpus::is_kana(c) => (marks.letters, halves) = (marks.letters + 3, halves + 1),
                c if c.is_alphabetic() => {
                    (marks.letters, marks.capitals) = (marks.letters + 1, marks.capitals + u32::from(c.is_uppercase()))
                }
                _ => {}
            }
            let space = c == ' ' || c == '\n';
            halves += 2 * u32::from(inside && space);
            inside = !space;
        }
        halves += 2 * u32::from(inside);
        marks.words = halves as f32 / 2.0;
        let last = text.trim_end_matches([' ', '\n']).chars().next_back().unwrap_or(' ');
        let first = text.chars().next().unwrap_or(' ');
        marks.begins_small = first.is_lowercase();
        marks.begins_digit = first.is_ascii_digit();
        marks.ends_stop = matches!(last, '.' | '!' | '?' | '。' | '！' | '？' | '…' | '؟' | '।' | '"' | '”' | '」' | ')' | '）' | ';');
        marks.ends_colon = matches!(last, ':' | '：');
        marks
    }

    /// Units of running text that the block is worth.
    fn prose(&self, block: &Block) -> f32 {
        if block.units < 40 || block.link * 2 > block.units || self.stops + self.commas == 0 {
            0.0
        } else {
            (block.units - block.link) as f32
        }
    }
}

/// A page ready to be asked for the features of its blocks.
pub struct Page<'a> {
    tree: &'a Tree,
    blocks: &'a Blocks,
    kinds: u32,
    marks: Vec<Marks>,
    /// What neighbours see of a block: its length, the share of it in links, and its marks.
    beside: Vec<[f32; 3]>,
    /// How often the text of a block stands on the page, and whether it stood before.
    copies: Vec<(u32, bool)>,
    /// Share of a block's letters that are the title's.
    titled: Vec<f32>,
    /// Prose before and behind, fading with distance: slow and fast.
    fading: Vec<[f32; 4]>,
    /// Prose and units up to a block.
    passed: Vec<(f32, f32)>,
    /// Blocks since the last heading, and the level of it.
    headed: Vec<(f32, f32)>,
    apart: Vec<u16>,
    best: NodeId,
    prose: f32,
    first_h1: usize,
    first_best: usize,
    total: Measure,
    whole: Vec<f32>,
}

/// What fading prose keeps from one block to the next: slow and fast.
const FADE: [f32; 2] = [0.85, 0.5];

fn log(value: f32) -> f32 {
    (value + 1.0).ln()
}

fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl<'a> Page<'a> {
    /// Looks at all blocks once.
    #[must_use]
    pub fn new(dom: &'a Dom, tree: &'a Tree, blocks: &'a Blocks, about: &About) -> Self {
        let list = &blocks.list;
        let marks: Vec<Marks> = list.iter().map(|block| Marks::of(blocks.text(block))).collect();
        let prose: Vec<f32> = list.iter().zip(&marks).map(|(block, marks)| marks.prose(block)).collect();
        let best = choose::best_subtree(
            dom,
            tree,
            list,
            &list.iter().zip(&marks).map(|(b, m)| choose::score(b, m.stops + m.commas)).collect::<Vec<_>>(),
        );
        let mut page = Self {
            tree,
            blocks,
            kinds: about.kinds,
            copies: copies(blocks),
            titled: titled(blocks, about.title.as_deref().unwrap_or_default()),
            fading: fading(&prose),
            passed: Vec::with_capacity(list.len()),
            headed: Vec::with_capacity(list.len()),
            apart: choose::apart(dom, tree, best, list),
            best,
            prose: prose.iter().sum(),
            beside: list.iter().zip(&marks).map(|(block, marks)| beside(block, marks)).collect(),
            first_best: 0,
            first_h1: list.iter().position(|block| block.level == 1).unwrap_or(usize::MAX),
            total: tree.measures[ROOT as usize],
            whole: Vec::new(),
            marks,
        };
        let (mut units, mut running, mut since, mut level) = (0.0, 0.0, 40.0_f32, 0.0);
        for (block, &prose) in list.iter().zip(&prose) {
            page.passed.push((running, units));
            units += block.units as f32;
            running += prose;
            if block.level > 0 {
                (since, level) = (0.0, f32::from(block.level));
            }
            page.headed.push((since, level));
            since = (since + 1.0).min(40.0);
        }
        page.first_best = page.apart.iter().position(|&apart| apart == 0).unwrap_or(0);
        page.whole = page.of_page();
        page
    }

    /// Features that all blocks of the page share.
    fn of_page(&self) -> Vec<f32> {
        let list = &self.blocks.list;
        let units = self.total.text as f32;
        let count = |test: &dyn Fn(&Block) -> bool| list.iter().filter(|block| test(block)).count() as f32;
        let sum = |test: &dyn Fn(&Block) -> bool| list.iter().filter(|block| test(block)).map(|block| block.units as f32).sum::<f32>();
        let best = self.tree.measures[self.best as usize];
        let mut best_prose = 0.0;
        for (i, block) in list.iter().enumerate() {
            best_prose += if self.apart[i] == 0 { self.marks[i].prose(block) } else { 0.0 };
        }
        let longest = list.iter().map(|block| block.units - block.link).max().unwrap_or(0);
        let series = self.tree.groups.iter().filter(|group| group.count >= 3).map(|group| group.measure.text).max().unwrap_or(0);
        let series_prose = self.tree.groups.iter().filter(|group| group.count >= 3).map(|group| group.measure.prose).max().unwrap_or(0);
        vec![
            log(units),
            log(list.len() as f32),
            share(self.total.link as f32, units),
            share(self.prose, units),
            log(self.prose),
            share(best.text as f32, units),
            share(best.link as f32, best.text as f32),
            share(best_prose, self.prose),
            log(longest as f32),
            log(count(&|block| block.level == 1)),
            log(count(&|block| block.level > 1)),
            share(sum(&|block| block.kind == Kind::Item), units),
            share(sum(&|block| block.kind == Kind::Cell), units),
            share(series as f32, units),
            share(series_prose as f32, self.total.prose as f32),
            share(self.total.prose as f32, units),
            share(self.marks.iter().map(|m| m.money as f32).sum(), list.len() as f32),
            share(self.marks.iter().map(|m| m.digits as f32).sum(), units),
        ]
    }

    /// Puts the features of block `i`.
    pub fn features(&self, i: usize, out: &mut impl Put) {
        let list = &self.blocks.list;
        let block = &list[i];
        self.own(i, block, out);
        for (index, &distance) in block.near.iter().enumerate() {
            out.put("near", index, f32::from(distance));
        }
        self.neighbours(i, out);
        self.surroundings(block, out);
        for (index, &value) in self.whole.iter().enumerate() {
            out.put("page", index, value);
        }
        for (index, (_, bit)) in kind::NAMES.iter().enumerate() {
            out.put("says", index, f32::from(u8::from(self.kinds & bit != 0)));
        }
    }

    fn own(&self, i: usize, block: &Block, out: &mut impl Put) {
        let marks = &self.marks[i];
        let units = block.units as f32;
        let mut put = |name, value| out.put(name, 0, value);
        put("units", log(units));
        put("words", log(marks.words));
        put("link share", share(block.link as f32, units));
        put("stops", share(marks.stops as f32, units));
        put("stop count", log(marks.stops as f32));
        put("commas", share(marks.commas as f32, units));
        put("digits", share(marks.digits as f32, units));
        put("capitals", share(marks.capitals as f32, marks.letters as f32));
        put("letters", share(marks.letters as f32, units));
        put("bars", share(marks.bars as f32, units));
        put("money", share(marks.money as f32, units));
        put("copyright", f32::from(u8::from(marks.copyright)));
        put("ends stop", f32::from(u8::from(marks.ends_stop)));
        put("ends colon", f32::from(u8::from(marks.ends_colon)));
        put("begins small", f32::from(u8::from(marks.begins_small)));
        put("begins digit", f32::from(u8::from(marks.begins_digit)));
        put("kind", f32::from(block.kind as u8));
        put("tag", f32::from(block.tag as u8));
        put("level", f32::from(block.level));
        put("depth", f32::from(block.depth));
        put("copies", log(self.copies[i].0 as f32));
        put("copy", f32::from(u8::from(self.copies[i].1)));
        put("titled", self.titled[i]);
        let count = self.blocks.list.len() as f32;
        put("place", i as f32 / count);
        put("first", log(i as f32));
        put("last", log(count - 1.0 - i as f32));
        put("units before", share(self.passed[i].1, self.total.text as f32));
        put("prose before", share(self.passed[i].0, self.prose));
        put("prose before long", log(self.passed[i].0));
        put("prose after long", log(self.prose - self.passed[i].0));
        let from_h1 = if self.first_h1 == usize::MAX { -1000.0 } else { i as f32 - self.first_h1 as f32 };
        put("after h1", from_h1.clamp(-1000.0, 200.0));
        put("headed", self.headed[i].0);
        put("heading level", self.headed[i].1);
        put("apart", f32::from(self.apart[i]));
        put("before best", f32::from(u8::from(self.apart[i] > 0 && self.first_best > i)));
    }

    fn neighbours(&self, i: usize, out: &mut impl Put) {
        let list = &self.blocks.list;
        let own = &list[i];
        for (index, at) in [i.wrapping_sub(1), i + 1, i.wrapping_sub(2), i + 2, i.wrapping_sub(3), i + 3].into_iter().enumerate() {
            let [units, link, marked] = self.beside.get(at).copied().unwrap_or([-1.0; 3]);
            out.put("beside units", index, units);
            out.put("beside link", index, link);
            if index < 4 {
                out.put("beside marks", index, marked);
            }
            if index < 2 {
                let other = list.get(at);
                out.put("beside level", index, other.map_or(-1.0, |other| f32::from(other.level)));
                let alike = |other: &Block| f32::from(u8::from(self.group(other.node).0 == self.group(own.node).0));
                out.put("beside alike", index, other.map_or(-1.0, alike));
            }
        }
        for (index, &value) in self.fading[i].iter().enumerate() {
            out.put("fading", index, log(value));
        }
    }

    fn group(&self, id: NodeId) -> (u32, f32, Measure) {
        let at = if id == NONE { u32::MAX } else { self.tree.group_of[id as usize] };
        self.tree.groups.get(at as usize).map_or((at, 0.0, Measure::default()), |group| (at, group.count as f32, group.measure))
    }

    fn surroundings(&self, block: &Block, out: &mut impl Put) {
        let total = self.total.text as f32;
        for (index, id) in [block.node, block.series].into_iter().enumerate() {
            let (_, count, sum) = self.group(id);
            out.put("group count", index, log(count));
            out.put("group mean", index, log(share(sum.text as f32, count)));
            out.put("group link", index, share(sum.link as f32, sum.text as f32));
            out.put("group prose", index, share(sum.prose as f32, sum.text as f32));
            out.put("group share", index, share(sum.text as f32, total));
        }
        for index in 0..=LEVELS {
            let id = if index < LEVELS { block.above[index] } else { block.region };
            let measure = if id == NONE { self.total } else { self.tree.measures[id as usize] };
            out.put("above units", index, log(measure.text as f32));
            out.put("above link", index, share(measure.link as f32, measure.text as f32));
            out.put("above prose", index, share(measure.prose as f32, measure.text as f32));
            out.put("above share", index, share(measure.text as f32, total));
            out.put("above prose share", index, share(measure.prose as f32, self.total.prose as f32));
        }
    }
}

fn beside(block: &Block, marks: &Marks) -> [f32; 3] {
    let units = block.units as f32;
    [log(units), share(block.link as f32, units), (marks.stops + marks.commas) as f32 / units]
}

fn copies(blocks: &Blocks) -> Vec<(u32, bool)> {
    let mut counts: HashMap<u64, u32> = HashMap::with_capacity(blocks.list.len());
    let mut digests = Vec::with_capacity(blocks.list.len());
    for block in &blocks.list {
        let digest = corpus::hash64(blocks.text(block).as_bytes(), 0);
        let count = counts.entry(digest).or_default();
        digests.push((digest, *count > 0));
        *count += 1;
    }
    digests.into_iter().map(|(digest, before)| (counts[&digest], before)).collect()
}

/// Longest title compared, in characters.
const TITLE_CHARS: usize = 300;

/// Puts the letters and digits of a text, small, into `out`; gives up, and returns false, at the first that is not `known`.
fn plain(text: &str, out: &mut String, known: impl Fn(char) -> bool) -> bool {
    out.clear();
    text.chars().all(|c| {
        let before = out.len();
        match c {
            // Most of what there is, without a look into Unicode's tables.
            '\0'..='\x7F' if c.is_ascii_alphanumeric() => out.push(c.to_ascii_lowercase()),
            '\u{4E00}'..='\u{9FFF}' => out.push(c),
            _ if c.is_alphanumeric() => out.extend(c.to_lowercase()),
            _ => {}
        }
        out[before..].chars().all(&known)
    })
}

/// How much of the title each block is; 0 for what is no part of it.
fn titled(blocks: &Blocks, title: &str) -> Vec<f32> {
    let (mut whole, mut part) = (String::new(), String::new());
    plain(&title.chars().take(TITLE_CHARS).collect::<String>(), &mut whole, |_| true);
    blocks
        .list
        .iter()
        .map(|block| {
            let text = blocks.text(block);
            if whole.is_empty() || text.len() > 2 * whole.len() || text.len() < 4 {
                return 0.0;
            }
            let is_part = plain(text, &mut part, |c| whole.contains(c)) && part.len() >= 4 && whole.contains(&part);
            if is_part { part.len() as f32 / whole.len() as f32 } else { 0.0 }
        })
        .collect()
}

fn fading(prose: &[f32]) -> Vec<[f32; 4]> {
    let mut out = vec![[0.0; 4]; prose.len()];
    for (index, fade) in FADE.into_iter().enumerate() {
        let mut sum = 0.0;
        for (row, &value) in out.iter_mut().zip(prose) {
            row[index] = sum;
            sum = (sum + value) * fade;
        }
        sum = 0.0;
        for (row, &value) in out.iter_mut().zip(prose).rev() {
            row[index + 2] = sum;
            sum = (sum + value) * fade;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name_of_its_own() {
        let names = names();
        let distinct: std::collections::HashSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn marks_of_scripts() {
        let en = Marks::of("One, two. Three?");
        assert_eq!((en.words, en.stops, en.commas, en.capitals, en.ends_stop), (3.0, 2, 1, 2, true));
        let zh = Marks::of("山高，水长。");
        assert_eq!((zh.stops, zh.commas, zh.letters, zh.ends_stop), (1, 1, 12, true));
        assert_eq!(Marks::of("Ωραία λόγια").capitals, 1);
    }

    #[test]
    fn prose_fades_with_distance() {
        let rows = fading(&[100.0, 0.0, 0.0]);
        assert_eq!((rows[0][1], rows[1][1], rows[2][1]), (0.0, 50.0, 25.0));
        assert_eq!(rows[0][3], 0.0);
    }
}
