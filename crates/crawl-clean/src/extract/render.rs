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
const MOST_COLUMNS: usize = 40;
/// Lists within lists that are indented.
const DEEPEST_LIST: usize = 8;
/// Most spaces before a list: each line of code within is as much longer.
const WIDEST_INDENTATION: usize = 24;
/// Width of the marker of an item, unless its number is longer.
const MARKER: usize = 2;

/// The text of the blocks taken.
#[must_use]
pub fn render(dom: &Dom, blocks: &Blocks, taken: &[bool], markup: Markup) -> String {
    let list: Vec<&Block> = blocks.list.iter().zip(taken).filter(|&(_, &taken)| taken).map(|(block, _)| block).collect();
    let mut writer = Writer { dom, blocks, out: String::new(), levels: [(NONE, MARKER); DEEPEST_LIST], code: 0 };
    let (mut at, mut looked) = (0, 0);
    while at < list.len() {
        let table = list[at].place.table;
        let run = |kinds: &[Kind]| {
            let length =
                list[at..].iter().take_while(|block| kinds.contains(&block.kind) && block.place.table == table && block.row != NONE);
            at + length.count()
        };
        // Where paragraphs, code and lists stand in cells, all of them are looked at once.
        if markup == Markup::Markdown && at >= looked && IN_CELLS.contains(&list[at].kind) {
            looked = run(&IN_CELLS);
            if is_table(&list[at..looked]) {
                writer.table(&list[at..looked]);
                at = looked;
                continue;
            }
        }
        let next = if list[at].kind == Kind::Cell { run(&[Kind::Cell]).max(at + 1) } else { at + 1 };
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

/// What may stand in the cells of a table.
const IN_CELLS: [Kind; 4] = [Kind::Cell, Kind::Text, Kind::Pre, Kind::Item];

/// Text of a cell from which what is in it stands better on lines of its own, in bytes.
const CELL_BYTES: u32 = 300;

/// True for the blocks of a table with paragraphs, code or lists in cells that are short and for the most part plain.
fn is_table(blocks: &[&Block]) -> bool {
    let cells = || blocks.chunk_by(|a, b| a.row == b.row && a.place.column == b.place.column);
    let is_plain = |cell: &[&Block]| cell.iter().all(|block| block.kind == Kind::Cell) || cell.len() == 1 && cell[0].kind == Kind::Text;
    blocks.iter().any(|block| block.kind != Kind::Cell)
        && 2 * cells().filter(|cell| is_plain(cell)).count() >= cells().count()
        && blocks.iter().any(|block| block.place.column != blocks[0].place.column)
        && blocks.iter().any(|block| block.row != blocks[0].row)
        && cells().all(|cell| cell[cell.len() - 1].end - cell[0].start <= CELL_BYTES)
}

struct Writer<'a> {
    dom: &'a Dom,
    blocks: &'a Blocks,
    out: String,
    /// For each level of lists within lists the last item, and the width of its marker.
    levels: [(NodeId, usize); DEEPEST_LIST],
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
        let is_code = block.kind == Kind::Pre && heading == 0 && self.is_code(block);
        let quote = if block.near[Category::QuoteTag as usize] < FAR { "> " } else { "" };
        // What the first line begins with, and what the others do.
        let (mut first, mut rest) = (quote.to_owned(), quote.to_owned());
        let level = usize::from(nesting).clamp(1, DEEPEST_LIST) - 1;
        let begins = item != NONE && self.levels[level].0 != item;
        if begins {
            self.levels[level] = (item, MARKER);
        }
        if heading > 0 {
            first.push_str(&"#".repeat(usize::from(heading)));
            first.push(' ');
        } else if item != NONE {
            let marker = match self.dom.tag(item) {
                _ if !begins => String::new(),
                Tag::Dt => String::new(),
                Tag::Dd => ": ".to_owned(),
                _ => number.map_or("- ".to_owned(), |number| format!("{number}. ")),
            };
            first.push_str(&" ".repeat(self.indentation(level)));
            self.levels[level].1 = self.levels[level].1.max(marker.len());
            rest = format!("{first}{}", " ".repeat(self.levels[level].1));
            match marker.as_str() {
                "" if !begins => first.clone_from(&rest),
                // A colon begins no item in CommonMark, so that a fence behind it would be none.
                ": " if is_code => {
                    self.line(&format!("{first}:"));
                    first.clone_from(&rest);
                }
                marker => first.push_str(marker),
            }
        }
        if is_code {
            self.fenced(block, &first, &rest);
            return;
        }
        self.line(&first);
        self.inline(block, false);
    }

    /// Width of the markers around a list, up to [`WIDEST_INDENTATION`].
    fn indentation(&self, level: usize) -> usize {
        self.levels[..level].iter().map(|&(_, width)| width).sum::<usize>().min(WIDEST_INDENTATION)
    }

    /// Preformatted text is code if it says so, or if a monospaced font is all it can be for: verse and mail stand in `pre` too.
    fn is_code(&self, block: &Block) -> bool {
        self.code_words(block).next().is_some() || reads_as_code(self.blocks.text(block))
    }

    /// What a block of preformatted text and the elements around it say of the code in it: a language, or nothing more.
    fn code_words(&self, block: &Block) -> impl Iterator<Item = &str> {
        let dom = self.dom;
        let pre = block.node;
        let inner = if dom.tag(pre) == Tag::Pre { dom.nodes[pre as usize].first_child } else { NONE };
        let around = std::iter::successors(Some(pre), |&id| Some(dom.nodes[id as usize].parent)).take_while(|&id| id != NONE);
        let says = move |id| code_class(dom.attribute(id, "class").unwrap_or_default());
        let inside = dom.siblings(inner).take(1).filter(move |&id| dom.tag(id) == Tag::Code).map(move |id| says(id).unwrap_or_default());
        around.take(LEVELS_OF_CODE).filter_map(says).chain(inside)
    }

    /// Writes code between fences, `first` before the first line and `rest` before the others.
    fn fenced(&mut self, block: &Block, first: &str, rest: &str) {
        let text = self.blocks.text(block);
        // The fence is longer than any in the text.
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat((longest + 1).max(3));
        let language = self.code_words(block).find(|word| !word.is_empty()).unwrap_or_default().to_owned();
        self.line(&format!("{first}{fence}{language}"));
        for line in text.lines() {
            self.line(rest);
            self.out.push_str(line);
            self.out.truncate(self.out.trim_end_matches(|c: char| c.is_whitespace() && c != '\n').len());
        }
        self.line(&format!("{rest}{fence}"));
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

    /// A block in a cell: each line of code in backticks of its own, since a row is a line.
    fn in_cell(&mut self, block: &Block) {
        if block.kind != Kind::Pre {
            return self.inline(block, true);
        }
        let is_code = self.is_code(block);
        let lines = self.blocks.text(block).lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<String> =
            lines.map(|line| if is_code && !line.contains('`') { format!("`{line}`") } else { line.to_owned() }).collect();
        self.out.push_str(&lines.join(" ").replace('|', "\\|"));
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
        // Columns where no text begins, as those that cells only reach over, are none to a reader.
        let mut columns: Vec<u16> = cells.iter().map(|cell| cell.place.column).collect();
        columns.sort_unstable();
        columns.dedup();
        let longest = cells.iter().map(|cell| cell.end - cell.start).max().unwrap_or(0) as usize;
        if columns.len() == 1 || longest > LAYOUT_BYTES {
            for cell in cells {
                self.line("");
                self.inline(cell, false);
            }
            return;
        }
        if columns.len() > MOST_COLUMNS {
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
                    if cell.place.item != row[i - 1].place.item && self.out.ends_with(char::is_alphanumeric) {
                        self.out.push(';');
                    }
                } else {
                    let place = columns.binary_search(&cell.place.column).unwrap_or(column);
                    self.out.push_str(&"  |".repeat(place.saturating_sub(column)));
                    column = place + 1;
                }
                self.out.push(' ');
                self.in_cell(cell);
                self.out.push_str(" |");
            }
            self.out.push_str(&"  |".repeat(columns.len() - column));
            if std::mem::take(&mut first) {
                self.line("|");
                self.out.push_str(&" --- |".repeat(columns.len()));
            }
        }
    }
}

/// Words from which a line is a sentence's.
const SENTENCE_WORDS: usize = 4;

/// True for text with the marks of code. Verse has semicolons too: they count where fewer lines are of words alone than have one and are not.
fn reads_as_code(text: &str) -> bool {
    let is_command = |line: &str| {
        let command = line.strip_prefix("$ ").unwrap_or_default();
        line.starts_with(">>> ") || command.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/' | '~'))
    };
    if text.contains(['{', '}', '=']) || text.lines().any(is_command) {
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

/// Elements from a `pre` up, itself included, that may say that it is code.
const LEVELS_OF_CODE: usize = 4;

/// Longest class that is looked at.
const CLASS_BYTES: usize = 400;

/// Words of a class that highlighters give to code.
const CODE_CLASSES: [&str; 6] = ["highlight", "highlighter-rouge", "sourceCode", "codehilite", "prettyprint", "syntaxhighlighter"];

/// What a class says of code: its language, or nothing but that it is code; `None` if it says neither.
///
/// The language stands in `language-x` or `lang-x`, in Sphinx's `highlight-x` and GitHub's `highlight-source-x`, and beside `sourceCode`.
fn code_class(class: &str) -> Option<&str> {
    // It is looked at for every `pre` below.
    if class.len() > CLASS_BYTES {
        return None;
    }
    let words = || class.split_whitespace();
    let says = words().filter_map(|word| match word.split_once('-') {
        _ if word == "sourceCode" => words().find(|&other| other != word).or(Some("")),
        _ if CODE_CLASSES.contains(&word) => Some(""),
        Some(("highlight", name)) => Some(name.strip_prefix("source-").unwrap_or(name)),
        Some(("language" | "lang", name)) => Some(name),
        _ => None,
    });
    let language = says.reduce(|one, other| if one.is_empty() { other } else { one })?;
    let fits = language.len() <= 20 && language.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-#_.".contains(&b));
    Some(if fits && !matches!(language, "default" | "none" | "text") { language } else { "" })
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
        check("<table><tr><td>a<tr><td>b</table><table><tr><td><td>c<tr><td><td>d</table>", "a\nb\nc\nd");
        check("<table><tr><td colspan=9>a<td>b<tr><td>c<td colspan=8><td>d</table>", "| a | b |\n| --- | --- |\n| c | d |");
        check(&format!("<table><tr><td>a<td>{}</table>", "b".repeat(700)), &format!("a\n{}", "b".repeat(700)));
    }

    #[test]
    fn cells_that_span_rows_and_columns() {
        let head = "<table><thead><tr><th>A<th>B<th>C</thead><tbody>";
        let want = "| A | B | C |\n| --- | --- | --- |\n";
        let check = |rows: &str, lines: &str| check(&format!("{head}{rows}</table>"), &format!("{want}{lines}"));
        check("<tr><td rowspan=2>1<td>2<td>3<tr><td>4<td>5<tr><td>6<td>7<td>8", "| 1 | 2 | 3 |\n|  | 4 | 5 |\n| 6 | 7 | 8 |");
        check("<tr><td colspan=2>1<td>2<tr><td>3<td rowspan=0>4<td>5<tr><td>6<td>7", "| 1 |  | 2 |\n| 3 | 4 | 5 |\n| 6 |  | 7 |");
        check("<tr><td rowspan=9>1<td>2<td>3</tbody><tbody><tr><td>4<td>5<td>6", "| 1 | 2 | 3 |\n| 4 | 5 | 6 |");
    }

    #[test]
    fn code_and_lists_in_cells() {
        let html = "<table><tr><th>Code<th>Meaning<tr><td><pre>a = 1;\n  b|c</pre><td>Two<tr><td>none<td><ul><li>one<li>two.<li>three</ul></table>x";
        check(html, "| Code | Meaning |\n| --- | --- |\n| `a = 1;` `b\\|c` | Two |\n| none | one; two. three |\nx");
        check(
            "<table><tr><th><p>A</p><th><p>B</p><tr><td><p>1</p><p>one</p><td><p>2</p></table><p>x",
            "| A | B |\n| --- | --- |\n| 1 one | 2 |\nx",
        );
        // Cells that are laid out keep their lines.
        check("<table><tr><td><ul><li>a<li>b</ul><td>c</table>", "- a\n- b\nc");
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
        check("<p>Say <code>a;<br>b;</code> here.", "Say `a;`\n`b;` here.");
        check("<pre>$ ls -l\na</pre>", "```\n$ ls -l\na\n```");
        check("<pre>$ 5 for me,\n$5 for you</pre>", "$ 5 for me,\n$5 for you");
        for (classes, language) in [
            (["highlight-python notranslate", "highlight", ""], "python"),
            (["highlight-default", "highlight", ""], ""),
            (["", "highlight highlight-source-shell", ""], "shell"),
            (["language-ruby highlighter-rouge", "highlight", "highlight"], "ruby"),
            (["sourceCode", "sourceCode", "sourceCode r"], "r"),
            (["", "", "prettyprint"], ""),
        ] {
            let [a, b, c] = classes;
            check(&format!("<div class='{a}'><div class='{b}'><pre class='{c}'>def f():"), &format!("```{language}\ndef f():\n```"));
        }
        check("<p><code>a`b</code> <code></code>c", "a`b c");
    }

    #[test]
    fn code_and_lists_in_items() {
        check(
            "<ol start=10><li>a<pre>x=1\n\ny=2</pre>b<ul><li>c</ul>d",
            "10. a\n    ```\n    x=1\n\n    y=2\n    ```\n    b\n    - c\n    d",
        );
        check("<ul><li><pre>x=1</pre></ul><dl><dt>a<dd><pre>x=1</pre>b</dl>", "- ```\n  x=1\n  ```\na\n:\n  ```\n  x=1\n  ```\n  b");
        check("<blockquote><ul><li>a<pre>x=1</pre></ul></blockquote>bcdefghijklm", "> - a\n>   ```\n>   x=1\n>   ```\nbcdefghijklm");
    }

    #[test]
    fn formulas() {
        let tex = "<annotation encoding='application/x-tex'>{\\displaystyle x^{2}}</annotation>";
        check(&format!("<p>Say <math><mi>x</mi><mn>2</mn>{tex}</math>."), "Say $x^{2}$.");
        check("<p>So <script type='math/tex'>y</script> and <script type='math/tex; mode=display'>z</script>", "So $y$ and $$z$$");
        check("<p><math><mi>x</mi></math>", "x");
        let katex = format!("<span class=katex><span class=katex-mathml><math>{tex}</math></span><span class=katex-html>x2</span></span>");
        check(&format!("<p>{katex} it is"), "$x^{2}$ it is");
        let rendering = "<span class=MathJax_Preview></span><span class=MathJax>e<i>x</i></span>";
        check(&format!("<p>So {rendering}<script type='math/tex'>e^x</script> it is"), "So $e^x$ it is");
        let inner = "<mjx-assistive-mml><math><msup><mi>e</mi><mi>x</mi></msup></math></mjx-assistive-mml>";
        check(&format!("<p>So <mjx-container><svg></svg>{inner}</mjx-container> it is"), "So $e^{x}$ it is");
        check("<p>So <mjx-container><math><mi>x</mi></math></mjx-container> it is", "So $x$ it is");
        check("<p>So <img class='a tex' alt='$\\int_0^1 x$'> is<img alt=y class=z>", "So $\\int_0^1 x$ is");
        let twice = format!("<span class=mwe-math-mathml-inline><math>{tex}</math></span><img class=mwe-math-image alt='x'>");
        check(&format!("<p>So {twice} is"), "So $x^{2}$ is");
    }

    #[test]
    fn mathml_is_tex() {
        for (mathml, tex) in [
            ("<mfrac><mrow><mn>1</mn><mo>+</mo><msqrt><mn>5</mn></msqrt></mrow><mn>2</mn></mfrac>", "\\frac{1+\\sqrt{5}}{2}"),
            (
                "<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup><mo>&#8722;</mo><mroot><mi>y</mi><mn>3</mn></mroot>",
                "x_{1}^{2}-\\sqrt[3]{y}",
            ),
            ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><mi>sin</mi><mo>&#8289;</mo><mi>i</mi>", "∑_{i}^{n}sin i"),
            ("<mover><mi>v</mi><mo>→</mo></mover><mtext>if it is</mtext>", "\\vec{v}\\text{if it is}"),
            ("<msup><mfenced><mi>a</mi><mi>b</mi></mfenced><mo>}</mo></msup>", "{(a, b)}^{\\}}"),
            (
                "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>0</mn></mtd></mtr><mtr><mtd><mn>0</mn></mtd></mtr></mtable>",
                "\\begin{matrix} 1 & 0 \\\\ 0 \\end{matrix}",
            ),
        ] {
            check(&format!("<p>a <math>{mathml}</math> b"), &format!("a ${tex}$ b"));
        }
        check("<p><math><mfrac><mn>1</mn></mfrac><mi>a</mi><mo>=</mo><mi>b</mi></math>", "1a=b");
    }
}
