//! How likely a block is part of the text of its page: a sum of decision trees over the features, in a file that can be read.
//!
//! `model.txt` holds them as indented text: a line `feature <= threshold`, below it what follows where that holds, then what follows
//! where it does not; a line with a number alone is a leaf, in log odds. `scripts/train_extraction.py` writes the file.

use super::features::{self, Put};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

/// Blocks that are judged at once.
const LANES: usize = 8;
/// Most features.
const MOST_FEATURES: usize = 1 << 8;
/// Most leaves of a tree, one a bit.
const MOST_LEAVES: u32 = u32::BITS;

/// The features of some blocks: for each feature its value for each block.
type Columns = [[f32; LANES]; MOST_FEATURES];

/// A question of a tree.
#[derive(Debug, Clone, Copy)]
struct Question {
    threshold: f32,
    /// What is asked for.
    feature: u8,
    /// The leaves that can be reached where the answer is no, or that do not depend on it.
    if_no: u32,
}

/// Where a tree's questions and leaves end.
#[derive(Debug, Clone, Copy, Default)]
struct Tree {
    questions: u32,
    leaves: u32,
}

/// The trees, one behind the other.
#[derive(Debug, Default)]
pub struct Model {
    questions: Vec<Question>,
    leaves: Vec<f32>,
    trees: Vec<Tree>,
}

/// The model of this crate as it stands in its file.
pub const TREES: &str = include_str!("model.txt");

/// What is wrong with a model file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("model, line {line}: {problem}")]
pub struct BadModel {
    line: usize,
    problem: &'static str,
}

impl Model {
    /// The model of this crate.
    ///
    /// # Panics
    /// Never: a test reads the file.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a constant file that a test reads")]
    pub fn built_in() -> &'static Self {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| Self::read(TREES, &features::names()).unwrap())
    }

    /// Reads a model file that asks for these features.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn read(text: &str, names: &[String]) -> Result<Self, BadModel> {
        let index: HashMap<&str, u8> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i as u8)).collect();
        let mut model = Self::default();
        // Questions still without their second answer: place of the question, its depth, and the leaves before it.
        let mut waiting: Vec<(usize, usize, u32)> = Vec::new();
        // Leaves of the tree so far, and whether the line before was a question.
        let (mut leaves, mut asked) = (0, false);
        if names.len() > MOST_FEATURES {
            return Err(BadModel { line: 0, problem: "there are more than 256 features" });
        }
        for (line, raw) in text.lines().enumerate().map(|(i, raw)| (i + 1, raw)) {
            let bad = |problem| BadModel { line, problem };
            let content = raw.trim_start();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let depth = raw.len() - content.len();
            if depth == 0 {
                if !waiting.is_empty() {
                    return Err(bad("the tree before has a question without a second answer"));
                }
                model.end_tree();
                leaves = 0;
            } else if !asked || waiting.last().is_none_or(|&(_, above, _)| above + 1 != depth) {
                // The first answer follows its question; the second belongs to the innermost question of the depth above.
                let (at, above, before) = waiting.pop().ok_or_else(|| bad("an answer without a question"))?;
                if above + 1 != depth {
                    return Err(bad("the indentation fits no question"));
                }
                model.questions[at].if_no = !(below(leaves) & !below(before));
            }
            asked = false;
            if let Some((name, threshold)) = content.split_once(" <= ") {
                let feature = *index.get(name).ok_or_else(|| bad("there is no such feature"))?;
                let threshold = threshold.trim_end().parse().map_err(|_| bad("`<=` is followed by a number"))?;
                waiting.push((model.questions.len(), depth, leaves));
                model.questions.push(Question { threshold, feature, if_no: u32::MAX });
                asked = true;
            } else {
                if leaves == MOST_LEAVES {
                    return Err(bad("a tree has at most 32 leaves"));
                }
                model.leaves.push(content.trim_end().parse().map_err(|_| bad("neither a question nor a number"))?);
                leaves += 1;
            }
        }
        if !waiting.is_empty() {
            return Err(BadModel { line: text.lines().count(), problem: "the file ends in a tree" });
        }
        model.end_tree();
        Ok(model)
    }

    fn end_tree(&mut self) {
        if self.leaves.len() > self.trees.last().map_or(0, |tree| tree.leaves as usize) {
            self.trees.push(Tree { questions: self.questions.len() as u32, leaves: self.leaves.len() as u32 });
        }
    }

    /// Probabilities that the blocks of a page are its text.
    ///
    /// Many blocks are no text beyond doubt: those that fall below [`HOPELESS`] by the first trees are not asked of the others, unless that is
    /// all there is on the page.
    #[must_use]
    pub fn judge(&self, page: &features::Page<'_>, count: usize) -> Vec<f32> {
        let mut sums = self.sums(page, count, HOPELESS);
        if sums.iter().all(|&sum| sum == GIVEN_UP) {
            sums = self.sums(page, count, f32::NEG_INFINITY);
        }
        sums.into_iter().map(|sum| 1.0 / (1.0 + (-sum).exp())).collect()
    }

    /// What all trees together say of each block, and [`GIVEN_UP`] of those that the first ones say less of than `least`.
    fn sums(&self, page: &features::Page<'_>, count: usize, least: f32) -> Vec<f32> {
        let first = FIRST.min(self.trees.len());
        let mut sums = vec![GIVEN_UP; count];
        let (mut some, mut left) = (Batch::new(), Batch::new());
        for block in 0..count {
            let mut row = Row { columns: &mut some.columns, lane: some.count, at: 0 };
            page.features(block, &mut row);
            let features = row.at;
            some.blocks[some.count] = block;
            some.count += 1;
            if some.count < LANES && block + 1 < count {
                continue;
            }
            some.sums = [0.0; LANES];
            self.add(0..first, &mut some);
            for lane in 0..std::mem::take(&mut some.count) {
                if some.sums[lane] >= least {
                    left.push(&some, lane, features);
                }
                if left.count == LANES {
                    self.finish(&mut left, &mut sums);
                }
            }
        }
        self.finish(&mut left, &mut sums);
        sums
    }

    /// Asks all trees but the first, and takes the sums.
    fn finish(&self, batch: &mut Batch, sums: &mut [f32]) {
        self.add(FIRST.min(self.trees.len())..self.trees.len(), batch);
        for lane in 0..std::mem::take(&mut batch.count) {
            sums[batch.blocks[lane]] = batch.sums[lane];
        }
    }

    /// Adds what some trees say.
    ///
    /// No tree is walked, for where it goes next is a coin toss that no processor guesses: all its questions are asked of all blocks, and
    /// each answer rules out leaves. The first leaf that is left is the one a walk would come to.
    fn add(&self, trees: Range<usize>, batch: &mut Batch) {
        let mut before = trees.start.checked_sub(1).map_or(Tree::default(), |last| self.trees[last]);
        for &tree in &self.trees[trees] {
            let mut open = [u32::MAX; LANES];
            for &Question { threshold, feature, if_no } in &self.questions[before.questions as usize..tree.questions as usize] {
                for (open, &value) in open.iter_mut().zip(&batch.columns[usize::from(feature)]) {
                    // All bits where the answer is yes, without a jump.
                    *open &= u32::from(value <= threshold).wrapping_neg() | if_no;
                }
            }
            let leaves = &self.leaves[before.leaves as usize..tree.leaves as usize];
            for (sum, open) in batch.sums.iter_mut().zip(open) {
                *sum += leaves[open.trailing_zeros() as usize];
            }
            before = tree;
        }
    }
}

/// The first so many leaves, as bits.
fn below(leaves: u32) -> u32 {
    1_u32.checked_shl(leaves).map_or(u32::MAX, |bit| bit - 1)
}

/// Blocks that are judged at once.
struct Batch {
    columns: Columns,
    sums: [f32; LANES],
    /// Their numbers.
    blocks: [usize; LANES],
    count: usize,
}

impl Batch {
    fn new() -> Self {
        Self { columns: [[0.0; LANES]; MOST_FEATURES], sums: [0.0; LANES], blocks: [0; LANES], count: 0 }
    }

    /// Takes a block of another batch.
    fn push(&mut self, other: &Self, lane: usize, features: usize) {
        for (to, from) in self.columns.iter_mut().zip(&other.columns).take(features) {
            to[self.count] = from[lane];
        }
        (self.sums[self.count], self.blocks[self.count]) = (other.sums[lane], other.blocks[lane]);
        self.count += 1;
    }
}

/// Where the features of one block go.
struct Row<'a> {
    columns: &'a mut Columns,
    lane: usize,
    at: usize,
}

impl Put for Row<'_> {
    #[inline]
    fn put(&mut self, _: &'static str, _: usize, value: f32) {
        self.columns[self.at % MOST_FEATURES][self.lane % LANES] = value;
        self.at += 1;
    }
}

/// Trees that are asked of every block.
const FIRST: usize = 20;
/// Log odds by the first trees below which a block is given up. A third of the blocks are, and the scores of cross-validation stay what they
/// were to a thousandth.
const HOPELESS: f32 = -1.5;
/// Log odds of a block that was given up, about what the other trees would have made of most.
const GIVEN_UP: f32 = -4.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["place", "units"].map(str::to_owned).to_vec()
    }

    #[test]
    fn built_in_model_reads() {
        assert!(!Model::built_in().trees.is_empty());
    }

    #[test]
    fn trees_answer() {
        let model = Model::read("# three trees\n1\nunits <= 2\n place <= 0.5\n  -1\n  -2\n 3\n0.5\n", &names()).unwrap();
        let odds = |units, place| {
            let mut batch = Batch::new();
            (batch.columns[0][3], batch.columns[1][3]) = (place, units);
            model.add(0..3, &mut batch);
            batch.sums[3]
        };
        for (units, place, want) in [(1.0, 0.2, 0.5), (1.0, 0.9, -0.5), (3.0, 0.2, 4.5)] {
            assert!((odds(units, place) - want).abs() < 1e-3, "{units} {place}");
        }
    }

    #[test]
    fn hopeless_blocks_are_given_up_unless_there_is_nothing_else() {
        let model = "units <= 3\n -1\n 1\n".repeat(FIRST) + "units <= 3\n 30\n -30\n";
        let model = Model::read(&model, &features::names()).unwrap();
        let log_odds = |html: &str| -> Vec<f32> {
            let dom = crate::dom::Dom::parse(html, crate::dom::Limits { nodes: 99, depth: 99 });
            let tree = super::super::tree::Tree::measure(&dom);
            let blocks = super::super::blocks::collect(&dom, &tree);
            let judged = model.judge(&features::Page::new(&dom, &tree, &blocks, &Default::default()), blocks.list.len());
            judged.into_iter().map(|p| (p / (1.0 - p)).ln().round()).collect()
        };
        assert_eq!(log_odds(&format!("<p>a<p>{}<p>b", "c".repeat(99))), [GIVEN_UP, -10.0, GIVEN_UP]);
        assert_eq!(log_odds("<p>a<p>b"), [10.0, 10.0]);
        assert!(log_odds("").is_empty());
    }

    /// What a tree says that begins at a line of some depth, and the line behind it.
    fn walk(lines: &[&str], names: &[String], row: &[f32]) -> (f32, usize) {
        let Some((name, threshold)) = lines[0].trim().split_once(" <= ") else { return (lines[0].trim().parse().unwrap(), 1) };
        let feature = names.iter().position(|other| other == name).unwrap();
        let (yes, first) = walk(&lines[1..], names, row);
        let (no, second) = walk(&lines[1 + first..], names, row);
        (if row[feature] <= threshold.parse().unwrap() { yes } else { no }, 1 + first + second)
    }

    #[test]
    fn all_questions_at_once_lead_where_a_walk_does() {
        let (text, names) = (TREES, features::names());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let thresholds: Vec<f32> = lines.iter().filter_map(|line| line.split_once(" <= ")?.1.parse().ok()).collect();
        let mut batch = Batch::new();
        let rows: [Vec<f32>; LANES] = std::array::from_fn(|lane| {
            let value = |feature: usize| match corpus::hash64(&[lane as u8, feature as u8], 7) as usize {
                // Beside a threshold, or one itself.
                hash if hash % 3 == 0 => thresholds[hash % thresholds.len()],
                hash => thresholds[hash % thresholds.len()] * 1.5 - 0.3,
            };
            (0..names.len()).map(value).collect()
        });
        for (lane, row) in rows.iter().enumerate() {
            row.iter().enumerate().for_each(|(feature, &value)| batch.columns[feature][lane] = value);
        }
        let model = Model::built_in();
        model.add(0..model.trees.len(), &mut batch);
        for (row, sum) in rows.iter().zip(batch.sums) {
            let (mut at, mut want, mut trees) = (0, 0.0, 0);
            while at < lines.len() {
                let (leaf, length) = walk(&lines[at..], &names, row);
                (at, want, trees) = (at + length, want + leaf, trees + 1);
            }
            assert_eq!((sum, model.trees.len()), (want, trees));
        }
        assert!(batch.sums.iter().any(|&sum| sum != batch.sums[0]));
    }

    #[test]
    fn broken_files_are_refused() {
        // A tree of so many leaves: each question has a leaf for a first answer.
        let comb = |leaves: usize| {
            let question = |depth: usize| format!("{0}units <= {depth}\n {0}1\n", " ".repeat(depth));
            (0..leaves - 1).map(question).collect::<String>() + &" ".repeat(leaves - 1) + "1\n"
        };
        assert!(Model::read(&comb(32), &names()).is_ok());
        for (text, line) in [
            ("units <= 2\n 1\n", 2),
            ("units <= x\n", 1),
            ("no such thing <= 2\n 1\n 2\n", 1),
            (" 1\n", 1),
            ("units <= 2\n 1\n2\n", 3),
            ("units <= 2\n 1\n  2\n", 3),
            ("1\n 2\n", 2),
            ("what\n", 1),
            (&comb(33), 65),
        ] {
            assert_eq!(Model::read(text, &names()).unwrap_err().line, line, "{text:?}");
        }
    }
}
