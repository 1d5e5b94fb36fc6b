//! Writes down the blocks that were taken, plain or as Markdown.
//!
//! A block is a line, in Markdown too: what is read line by line later, by filters and by models, stays one thing a line. Only code keeps
//! its own lines.

use super::blocks::{Block, Blocks, FAR, Kind, Place};
use super::names::Category;
use super::tags::Tag;
use crate::dom::{Dom, NONE, NodeId};
use serde::{Deserialize, Serialize};

/// How structure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Markup {
    /// Headings, lists, tables, code and quotes as in GitHub-flavoured Markdown.
    #[default]
    Markdown,
    /// Text alone; items of lists begin with `- `, cells are separated by ` | `.
    Plain,
}

/// Text of a cell from which a table is there for the layout of the page, in bytes.
const LAYOUT_BYTES: usize = 600;
/// Columns from which a table is written plainly.
const MOST_COLUMNS: u16 = 40;
/// Lists within lists that are indented.
const DEEPEST_LIST: u16 = 8;

/// The text of the blocks taken.
#[must_use]
pub fn render(dom: &Dom, blocks: &Blocks, taken: &[bool], markup: Markup) -> String {
    let list: Vec<&Block> = blocks.list.iter().zip(taken).filter(|&(_, &taken)| taken).map(|(block, _)| block).collect();
    let mut writer = Writer { dom, blocks, out: String::new(), item: NONE, code: 0 };
    let mut at = 0;
    while at < list.len() {
        let table = list[at].place.table;
        let end = match list[at].kind {
            Kind::Cell => list[at..].iter().position(|block| block.kind != Kind::Cell || block.place.table != table),
            _ => Some(1),
        };
        let next = end.map_or(list.len(), |length| at + length);
        match (markup, list[at].kind) {
            (Markup::Markdown, Kind::Cell) => writer.table(&list[at..next]),
            (Markup::Plain, Kind::Cell) => writer.cells(&list[at..next]),
            (Markup::Markdown, _) => writer.markdown(list[at]),
            (Markup::Plain, kind) => {
                writer.line(if kind == Kind::Item { "- " } else { "" });
                writer.out.push_str(blocks.text(list[at]));
            }
        }
        at = next;
    }
    writer.out
}

struct Writer<'a> {
    dom: &'a Dom,
    blocks: &'a Blocks,
    out: String,
    /// Item of the last block.
    item: NodeId,
    /// How many spans of code lie behind.
    code: usize,
}

impl Writer<'_> {
    fn line(&mut self, prefix: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.push_str(prefix);
    }

    fn markdown(&mut self, block: &Block) {
        let Place { heading, item, number, nesting, .. } = block.place;
        let mut prefix = String::new();
        if block.near[Category::QuoteTag as usize] < FAR {
            prefix.push_str("> ");
        }
        if item != NONE && heading == 0 {
            let tag = self.dom.tag(item);
            prefix.push_str(&"  ".repeat(usize::from(nesting.clamp(1, DEEPEST_LIST) - 1)));
            match (item == self.item, tag) {
                (true, _) => prefix.push_str("  "),
                (false, Tag::Dt) => {}
                (false, Tag::Dd) => prefix.push_str(": "),
                (false, _) => prefix.push_str(&number.map_or("- ".to_owned(), |number| format!("{number}. "))),
            }
        }
        self.item = item;
        if heading > 0 {
            prefix.push_str(&"#".repeat(usize::from(heading)));
            prefix.push(' ');
        }
        if block.kind == Kind::Pre && self.is_code(block) {
            self.fenced(block, &prefix);
            return;
        }
        self.line(&prefix);
        self.inline(block, false);
    }

    /// Preformatted text is code if it says so, or if a monospaced font is all it can be for: verse and mail stand in `pre` too.
    fn is_code(&self, block: &Block) -> bool {
        let child = self.dom.nodes[block.node as usize].first_child;
        self.dom.tag(block.node) == Tag::Pre && (language(self.dom, block.node).is_some() || has_code(self.dom, child))
            || reads_as_code(self.blocks.text(block))
    }

    fn fenced(&mut self, block: &Block, prefix: &str) {
        let text = self.blocks.text(block);
        // The fence is longer than any in the text.
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat((longest + 1).max(3));
        let child = self.dom.nodes[block.node as usize].first_child;
        let language = language(self.dom, block.node).or_else(|| (child != NONE).then(|| language(self.dom, child)).flatten());
        self.line(&format!("{prefix}{fence}{}", language.unwrap_or_default()));
        let inner = if prefix.starts_with("> ") { "> " } else { "" };
        for line in text.lines() {
            self.line(inner);
            self.out.push_str(line.trim_end());
        }
        self.line(&format!("{inner}{fence}"));
    }

    /// The text of a block, code in backticks.
    fn inline(&mut self, block: &Block, in_table: bool) {
        let spans = &self.blocks.code;
        self.code += spans[self.code..].iter().take_while(|&&(_, end)| end <= block.start).count();
        let mut at = block.start;
        for &(from, to) in spans[self.code..].iter().take_while(|&&(from, _)| from < block.end) {
            let (from, to) = (from.clamp(at, block.end), to.clamp(at, block.end));
            let whole = &self.blocks.text[from as usize..to as usize];
            let code = whole.trim();
            if code.is_empty() || code.contains('`') {
                continue;
            }
            let begin = from + (whole.len() - whole.trim_start().len()) as u32;
            self.push(at, begin, in_table);
            self.out.push('`');
            self.push(begin, begin + code.len() as u32, in_table);
            self.out.push('`');
            at = begin + code.len() as u32;
        }
        self.push(at, block.end, in_table);
    }

    fn push(&mut self, from: u32, to: u32, in_table: bool) {
        let text = &self.blocks.text[from as usize..to as usize];
        if in_table && text.contains('|') { self.out.push_str(&text.replace('|', "\\|")) } else { self.out.push_str(text) }
    }

    fn cells(&mut self, cells: &[&Block]) {
        let mut row = NONE;
        for cell in cells {
            if cell.row == row && row != NONE {
                self.out.push_str(" | ")
            } else {
                self.line("")
            }
            row = cell.row;
            self.out.push_str(self.blocks.text(cell));
        }
    }

    /// Cells of one table. One column, or cells of the length of articles, are no table to a reader.
    fn table(&mut self, cells: &[&Block]) {
        let columns = cells.iter().map(|cell| cell.place.column + 1).max().unwrap_or(0);
        let longest = cells.iter().map(|cell| cell.end - cell.start).max().unwrap_or(0) as usize;
        if columns == 1 || longest > LAYOUT_BYTES {
            for cell in cells {
                self.line("");
                self.inline(cell, false);
            }
            return;
        }
        if columns > MOST_COLUMNS {
            self.cells(cells);
            return;
        }
        let mut first = true;
        for row in cells.chunk_by(|a, b| a.row == b.row) {
            self.line("|");
            let mut column = 0;
            for (i, cell) in row.iter().enumerate() {
                // A cell in several blocks goes on; a cell without text, or one not taken, is left empty.
                if i > 0 && cell.place.column == row[i - 1].place.column {
                    self.out.truncate(self.out.len() - 2);
                } else {
                    while column < cell.place.column {
                        self.out.push_str("  |");
                        column += 1;
                    }
                    column = cell.place.column + 1;
                }
                self.out.push(' ');
                self.inline(cell, true);
                self.out.push_str(" |");
            }
            self.out.push_str(&"  |".repeat(usize::from(columns - column)));
            if std::mem::take(&mut first) {
                self.line("|");
                self.out.push_str(&" --- |".repeat(usize::from(columns)));
            }
        }
    }
}

/// Words from which a line is a sentence's.
const SENTENCE_WORDS: usize = 4;

/// True for text with the marks of code. Verse has semicolons too: they count where fewer lines are of words alone than have one and are not.
fn reads_as_code(text: &str) -> bool {
    if text.contains(['{', '}', '=']) {
        return true;
    }
    if !text.contains(';') {
        return false;
    }
    let is_word = |word: &str| {
        let word = word.trim_matches(|c: char| {
            matches!(c, ',' | ';' | ':' | '.' | '!' | '?' | '(' | ')' | '"' | '\'' | '’' | '‘' | '“' | '”' | '«' | '»')
        });
        !word.contains("::")
            && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '—' | '–' | '\u{300}'..='\u{36F}'))
    };
    // SELECT name FROM t: keywords stand out in capitals.
    let is_keyword = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let (mut prose, mut code) = (0, 0);
    for line in text.lines() {
        let words = || line.split_whitespace();
        let keywords = words().filter(is_keyword).count() > 1 && line.contains(char::is_lowercase);
        if words().count() >= SENTENCE_WORDS && words().all(is_word) && !keywords {
            prose += 1;
        } else {
            code += usize::from(line.contains(';'));
        }
    }
    code > 0 && code >= prose
}

fn has_code(dom: &Dom, id: NodeId) -> bool {
    id != NONE && dom.tag(id) == Tag::Code
}

/// Language of code as `class="language-x"` or `lang-x` says.
fn language(dom: &Dom, id: NodeId) -> Option<&str> {
    let mut words = dom.attribute(id, "class")?.split_whitespace();
    let name = words.find_map(|word| word.strip_prefix("language-").or_else(|| word.strip_prefix("lang-")))?;
    (name.len() <= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-#_.".contains(&b))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dom::Limits;
    use crate::extract::{blocks, maths, tree::Tree};

    fn rendered(html: &str, markup: Markup) -> String {
        let mut dom = Dom::parse(html, Limits { nodes: 9999, depth: 99 });
        maths::write_out(&mut dom);
        let blocks = blocks::collect(&dom, &Tree::measure(&dom));
        render(&dom, &blocks, &vec![true; blocks.list.len()], markup)
    }

    #[track_caller]
    fn check(html: &str, want: &str) {
        assert_eq!(rendered(html, Markup::Markdown), want);
    }

    #[test]
    fn headings_and_quotes() {
        check("<h1>A</h1><p>b</p><h3><span>C</span></h3>", "# A\nb\n### C");
        let rest = "and much more text than all that is quoted";
        check(&format!("<blockquote><p>a</p><p>b</p></blockquote><p>{rest}"), &format!("> a\n> b\n{rest}"));
    }

    #[test]
    fn lists() {
        check("<ul><li>a<li><p>b</p><p>c</p><ol><li>d<li>e</ol><li>f</ul>", "- a\n- b\n  c\n  1. d\n  2. e\n- f");
        check("<ol start=3><li>a<li value=10>b<li>c</ol>", "3. a\n10. b\n11. c");
        check("<ol start=0><li>a</ol><ol reversed><li>b<li>c</ol><ol start=-1><li>d</ol>", "0. a\n2. b\n1. c\n- d");
        check("<dl><dt>sun<dd>a star<dt>moon<dd>none</dl>", "sun\n: a star\nmoon\n: none");
        assert_eq!(rendered("<ul><li>a<li>b</ul>", Markup::Plain), "- a\n- b");
    }

    #[test]
    fn tables() {
        let html = "<table><tr><th>Name<th>Height<tr><td>A|B<td><tr><td><td>5 <code>m</code></table>x";
        check(html, "| Name | Height |\n| --- | --- |\n| A\\|B |  |\n|  | 5 `m` |\nx");
        assert_eq!(rendered(html, Markup::Plain), "Name | Height\nA|B\n5 m\nx");
        check("<table><tr><td>a<tr><td>b</table>", "a\nb");
        check(&format!("<table><tr><td>a<td>{}</table>", "b".repeat(700)), &format!("a\n{}", "b".repeat(700)));
    }

    #[test]
    fn code() {
        check("<pre class='x language-rust'>fn f() {\n\n  ``` 1\n}\n</pre>", "````rust\nfn f() {\n\n  ``` 1\n}\n````");
        check("<pre><code class=lang-sh>ls</code></pre>", "```sh\nls\n```");
        check("<pre>Roses are red,\n  violets</pre>", "Roses are red,\n  violets");
        let verse = "Shall I compare thee to a summer day;\nThou art more lovely and more temperate:\n  Rough winds;\nAnd summer lease hath all too short a date;";
        check(&format!("<pre>{verse}</pre>"), verse);
        let greek = "Τι είναι η πατρίδα μας;\nΜην είναι οι κάμποι;";
        check(&format!("<pre>{greek}</pre>"), greek);
        for code in [
            "use std::fmt;\n\nreturn x;",
            "# all of them here\nprintf(\"a\");",
            "x = 1",
            "select a, b\n  from t;",
            "SELECT name FROM distributors ORDER BY code;",
        ] {
            check(&format!("<pre>{code}</pre>"), &format!("```\n{code}\n```"));
        }
        check("<p>Call <code>f(x)</code>, not <code> g</code>.", "Call `f(x)`, not `g`.");
        check("<p><code>a`b</code> <code></code>c", "a`b c");
    }

    #[test]
    fn formulas() {
        let tex = "<annotation encoding='application/x-tex'>{\\displaystyle x^{2}}</annotation>";
        check(&format!("<p>Say <math><mi>x</mi><mn>2</mn>{tex}</math>."), "Say $x^{2}$.");
        check("<p>So <script type='math/tex'>y</script> and <script type='math/tex; mode=display'>z</script>", "So $y$ and $$z$$");
        check("<p><math><mi>x</mi></math>", "x");
        let katex = format!("<span class=katex><span class=katex-mathml><math>{tex}</math></span><span class=katex-html>x2</span></span>");
        check(&format!("<p>{katex} it is"), "$x^{2}$ it is");
    }
}
