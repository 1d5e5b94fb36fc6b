//! How likely a block is part of the text of its page: a sum of decision trees over the features, in a file that can be read.
//!
//! `model.txt` holds them as indented text: a line `feature <= threshold`, below it what follows where that holds, then what follows
//! where it does not; a line with a number alone is a leaf, in log odds. `scripts/train_extraction.py` writes the file.

use super::features;
use std::collections::HashMap;
use std::hint::select_unpredictable;
use std::sync::OnceLock;

/// A node: a question, or a leaf, from which nothing leads away.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Threshold, or value of a leaf.
    value: f32,
    /// What is asked for.
    feature: u8,
    /// How far the next node is if the answer is yes: 1, and 0 for a leaf.
    step: u8,
    /// How much farther it is if the answer is no.
    skip: u16,
}

/// Most features.
const MOST_FEATURES: usize = 1 << 8;

type Row = [f32; MOST_FEATURES];

/// The trees, one behind the other, up to a multiple of [`LANES`] of them.
#[derive(Debug, Default)]
pub struct Model {
    nodes: Vec<Node>,
    roots: Vec<u16>,
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
        let index: HashMap<&str, u8> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i as u8)).collect();
        let mut model = Self::default();
        // Questions still without their second answer: place of the question and depth.
        let mut waiting: Vec<(usize, usize)> = Vec::new();
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
            let place = model.nodes.len();
            let here = u16::try_from(place + LANES).map_err(|_| bad("a model has at most 65,531 nodes"))? - LANES as u16;
            if depth == 0 {
                if !waiting.is_empty() {
                    return Err(bad("the tree before has a question without a second answer"));
                }
                model.roots.push(here);
            } else {
                // The first answer follows its question; the second belongs to the innermost question of the depth above.
                let &last = model.nodes.last().ok_or_else(|| bad("a tree begins without indentation"))?;
                if last.step == 0 || waiting.last().is_none_or(|&(at, above)| at != place - 1 || above + 1 != depth) {
                    let (at, above) = waiting.pop().ok_or_else(|| bad("an answer without a question"))?;
                    if above + 1 != depth {
                        return Err(bad("the indentation fits no question"));
                    }
                    model.nodes[at].skip = here - at as u16 - 1;
                }
            }
            if let Some((name, threshold)) = content.split_once(" <= ") {
                let feature = *index.get(name).ok_or_else(|| bad("there is no such feature"))?;
                let value = threshold.trim_end().parse().map_err(|_| bad("`<=` is followed by a number"))?;
                model.nodes.push(Node { value, feature, step: 1, skip: 0 });
                waiting.push((place, depth));
            } else {
                let value = content.trim_end().parse().map_err(|_| bad("neither a question nor a number"))?;
                model.nodes.push(Node { value, feature: 0, step: 0, skip: 0 });
            }
        }
        if !waiting.is_empty() {
            return Err(BadModel { line: text.lines().count(), problem: "the file ends in a tree" });
        }
        while !model.roots.len().is_multiple_of(LANES) {
            model.roots.push(model.nodes.len() as u16);
            model.nodes.push(Node { value: 0.0, feature: 0, step: 0, skip: 0 });
        }
        Ok(model)
    }

    /// Probabilities that the blocks of a page are its text.
    #[must_use]
    pub fn judge(&self, page: &features::Page<'_>, count: usize) -> Vec<f32> {
        let mut values = Vec::new();
        let mut row: Row = [0.0; MOST_FEATURES];
        (0..count)
            .map(|i| {
                values.clear();
                page.features(i, &mut values);
                row[..values.len()].copy_from_slice(&values);
                self.probability(&row)
            })
            .collect()
    }

    /// Probability that a block with these features is text.
    ///
    /// Most blocks of most pages are no text beyond doubt: the sum is given up where it falls below [`HOPELESS`].
    #[must_use]
    fn probability(&self, row: &Row) -> f32 {
        let mut sum = 0.0;
        for some in self.roots.chunks(ROUND) {
            sum = some.as_chunks().0.iter().fold(sum, |sum, roots| self.leaves(*roots, row).iter().fold(sum, |sum, leaf| sum + leaf));
            if sum < HOPELESS {
                break;
            }
        }
        1.0 / (1.0 + (-sum).exp())
    }

    /// The leaves of some trees. All go down at once and none is asked whether it has arrived until all have gone some way: where a tree
    /// goes next is a coin toss, which no processor guesses, but it can follow several at a time.
    fn leaves(&self, mut at: [u16; LANES], row: &Row) -> [f32; LANES] {
        loop {
            for _ in 0..STEPS {
                for at in &mut at {
                    let node = self.nodes[usize::from(*at)];
                    let farther = select_unpredictable(row[usize::from(node.feature)] <= node.value, 0, node.skip);
                    *at += u16::from(node.step) + farther;
                }
            }
            let nodes = at.map(|at| self.nodes[usize::from(at)]);
            if nodes.iter().all(|node| node.step == 0) {
                return nodes.map(|node| node.value);
            }
        }
    }
}

/// Trees followed at once.
const LANES: usize = 4;
/// Questions between two looks at whether all have arrived.
const STEPS: usize = 3;
/// Trees between two looks at the sum, a multiple of [`LANES`].
const ROUND: usize = 5 * LANES;
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
        assert!(!Model::built_in().roots.is_empty());
    }

    #[test]
    fn trees_answer() {
        let model = Model::read("# three trees\n1\nunits <= 2\n place <= 0.5\n  -1\n  -2\n 3\n0.5\n", &names()).unwrap();
        let odds = |units, place| {
            let mut row = [0.0; MOST_FEATURES];
            (row[0], row[1]) = (place, units);
            let p = model.probability(&row);
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
