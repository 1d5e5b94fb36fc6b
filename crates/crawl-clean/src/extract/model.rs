//! How likely a block is part of the text of its page: a sum of decision trees over the features, in a file that can be read.
//!
//! `model.txt` holds them as indented text: a line `feature <= threshold`, below it what follows where that holds, then what follows
//! where it does not; a line with a number alone is a leaf, in log odds. `scripts/train_extraction.py` writes the file.

use super::features;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A node: a question, or a leaf where `feature` is [`LEAF`].
#[derive(Debug, Clone, Copy)]
struct Node {
    feature: u16,
    /// Where to go if the answer is no; if it is yes, to the next node.
    no: u16,
    /// Threshold, or value of a leaf.
    value: f32,
}

const LEAF: u16 = u16::MAX;

/// The trees.
#[derive(Debug, Default)]
pub struct Model {
    trees: Vec<Vec<Node>>,
}

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
        MODEL.get_or_init(|| Self::read(include_str!("model.txt"), &features::names()).unwrap())
    }

    /// Reads a model file that asks for these features.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn read(text: &str, names: &[String]) -> Result<Self, BadModel> {
        let index: HashMap<&str, u16> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i as u16)).collect();
        let mut model = Self::default();
        // Questions still without their second answer: place of the question and depth.
        let mut waiting: Vec<(usize, usize)> = Vec::new();
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
                model.trees.push(Vec::new());
            }
            let tree = model.trees.last_mut().ok_or_else(|| bad("a tree begins without indentation"))?;
            let place = tree.len();
            if place >= usize::from(LEAF) {
                return Err(bad("a tree has at most 65,534 nodes"));
            }
            if depth > 0 && place == 0 {
                return Err(bad("a tree begins without indentation"));
            }
            // The first answer follows its question; the second belongs to the innermost question of the depth above.
            if place > 0
                && !(tree[place - 1].feature != LEAF && waiting.last().is_some_and(|&(at, above)| at == place - 1 && above + 1 == depth))
            {
                let (at, above) = waiting.pop().ok_or_else(|| bad("an answer without a question"))?;
                if above + 1 != depth {
                    return Err(bad("the indentation fits no question"));
                }
                tree[at].no = place as u16;
            }
            if let Some((name, threshold)) = content.split_once(" <= ") {
                let feature = *index.get(name).ok_or_else(|| bad("there is no such feature"))?;
                let value = threshold.trim_end().parse().map_err(|_| bad("`<=` is followed by a number"))?;
                tree.push(Node { feature, no: 0, value });
                waiting.push((place, depth));
            } else {
                let value = content.trim_end().parse().map_err(|_| bad("neither a question nor a number"))?;
                tree.push(Node { feature: LEAF, no: 0, value });
            }
        }
        if waiting.is_empty() { Ok(model) } else { Err(BadModel { line: text.lines().count(), problem: "the file ends in a tree" }) }
    }

    /// Probabilities that the blocks of a page are its text.
    #[must_use]
    pub fn judge(&self, page: &features::Page<'_>, count: usize) -> Vec<f32> {
        let mut row = Vec::new();
        (0..count)
            .map(|i| {
                row.clear();
                page.features(i, &mut row);
                self.probability(&row)
            })
            .collect()
    }

    /// Probability that a block with these features is text.
    ///
    /// Most blocks of most pages are no text beyond doubt: the sum is given up where it falls below [`HOPELESS`].
    #[must_use]
    pub fn probability(&self, row: &[f32]) -> f32 {
        let mut sum = 0.0;
        for some in self.trees.chunks(ROUND) {
            for tree in some {
                let mut at = 0;
                loop {
                    let node = tree[at];
                    if node.feature == LEAF {
                        sum += node.value;
                        break;
                    }
                    at = if row[usize::from(node.feature)] <= node.value { at + 1 } else { usize::from(node.no) };
                }
            }
            if sum < HOPELESS {
                break;
            }
        }
        1.0 / (1.0 + (-sum).exp())
    }
}

/// Trees between two looks at the sum.
const ROUND: usize = 20;
/// Log odds that no later tree has been seen to mend: 1 in 60.
const HOPELESS: f32 = -4.0;

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
            let p = model.probability(&[place, units]);
            (p / (1.0 - p)).ln()
        };
        for (units, place, want) in [(1.0, 0.2, 0.5), (1.0, 0.9, -0.5), (3.0, 0.2, 4.5)] {
            assert!((odds(units, place) - want).abs() < 1e-3, "{units} {place}");
        }
    }

    #[test]
    fn broken_files_are_refused() {
        for (text, line) in [
            ("units <= 2\n 1\n", 2),
            ("units <= x\n", 1),
            ("no such thing <= 2\n 1\n 2\n", 1),
            (" 1\n", 1),
            ("units <= 2\n 1\n2\n", 3),
            ("units <= 2\n 1\n  2\n", 3),
            ("1\n 2\n", 2),
            ("what\n", 1),
        ] {
            assert_eq!(Model::read(text, &names()).unwrap_err().line, line, "{text:?}");
        }
    }
}
