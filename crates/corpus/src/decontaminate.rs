//! Finds evaluation questions in training data: whole questions after normalisation, and long runs of their units.

use crate::normalize::normalize;
use crate::units::{UnitKind, ngrams, units};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// How a text met a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitKind {
    /// The text is the question, but for case, width, punctuation and spaces.
    Exact,
    /// The text holds a run of units of the question, or all of a shorter question.
    Overlap,
}

/// A question that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Task of the question.
    pub task: String,
    /// Identifier of the question in its task.
    pub id: String,
    /// How it was found.
    pub kind: HitKind,
}

/// Collects questions; [`DecontaminationBuilder::build`] makes the index.
#[derive(Debug)]
pub struct DecontaminationBuilder {
    index: Decontamination,
}

/// Index over the questions of the evaluation tasks.
#[derive(Debug, Default)]
pub struct Decontamination {
    questions: Vec<(String, String)>,
    exact: HashMap<u64, u32>,
    /// N-gram hashes by length: questions shorter than the usual length are one n-gram of their own length.
    grams: BTreeMap<usize, HashMap<u64, u32>>,
    /// The first [`MIN_UNITS`] units of every n-gram: where a text has none of them, nothing longer need be looked up.
    starts: HashSet<u64>,
    words: usize,
    chars: usize,
}

/// Questions with fewer units than this count only when a text equals them.
const MIN_UNITS: usize = 5;

impl DecontaminationBuilder {
    /// `words` and `chars` are the lengths of a telling run: 13 words is what GPT-3 and its successors used, 20 characters its
    /// counterpart in Chinese.
    ///
    /// # Panics
    /// If either is 0.
    #[must_use]
    pub fn new(words: usize, chars: usize) -> Self {
        assert!(words > 0 && chars > 0, "n-gram lengths must be positive");
        Self { index: Decontamination { words, chars, ..Decontamination::default() } }
    }

    /// Adds one question; a question without letters or digits is not entered.
    #[must_use]
    pub fn add(mut self, task: &str, id: &str, question: &str) -> Self {
        self.push(task, id, question);
        self
    }

    /// As [`Self::add`], for use in a loop.
    pub fn push(&mut self, task: &str, id: &str, question: &str) {
        let normalised = normalize(question);
        let (hashes, cjk) = hashes(&normalised);
        if hashes.is_empty() {
            return;
        }
        let index = &mut self.index;
        // The first question of two alike is named; u32 allows four thousand million of them.
        let number = index.questions.len() as u32;
        index.questions.push((task.to_owned(), id.to_owned()));
        index.exact.entry(crate::hash64(normalised.as_bytes(), 0)).or_insert(number);
        let usual = if 2 * cjk > hashes.len() { index.chars } else { index.words };
        let n = usual.min(hashes.len());
        if n >= MIN_UNITS {
            let grams = index.grams.entry(n).or_default();
            for gram in ngrams(&hashes, n) {
                grams.entry(gram).or_insert(number);
            }
            let count = hashes.len() - n + 1;
            index.starts.extend(ngrams(&hashes, MIN_UNITS).take(count));
        }
    }

    /// The finished index.
    #[must_use]
    pub fn build(self) -> Decontamination {
        self.index
    }
}

/// Hashes of a text's units in normal form, each with the place of its unit in the text as it is.
fn located(text: &str) -> (Vec<u64>, Vec<Range<usize>>) {
    let (mut hashes, mut places) = (Vec::new(), Vec::new());
    for unit in units(text) {
        let place = unit.start..unit.start + unit.text.len();
        // `well-known` is one unit of the text and two of its normal form.
        for part in units(&normalize(unit.text)) {
            hashes.push(crate::hash64(part.text.as_bytes(), 0));
            places.push(place.clone());
        }
    }
    (hashes, places)
}

fn hashes(normalised: &str) -> (Vec<u64>, usize) {
    let mut cjk = 0;
    let hashes = units(normalised)
        .map(|unit| {
            cjk += usize::from(unit.kind == UnitKind::Cjk);
            crate::hash64(unit.text.as_bytes(), 0)
        })
        .collect();
    (hashes, cjk)
}

impl Decontamination {
    /// Number of questions held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// True if no question was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The question that `text` equals after normalisation.
    #[must_use]
    pub fn exact(&self, text: &str) -> Option<Hit> {
        let number = *self.exact.get(&crate::hash64(normalize(text).as_bytes(), 0))?;
        Some(self.hit(number, HitKind::Exact))
    }

    /// A question of which `text` holds a telling run, the one that was added first if there are several.
    #[must_use]
    pub fn overlap(&self, text: &str) -> Option<Hit> {
        let (hashes, _) = hashes(&normalize(text));
        let found = self.runs(&hashes).map(|(_, number)| number).min()?;
        Some(self.hit(found, HitKind::Overlap))
    }

    /// Every telling run in `text`: its place, and its question.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, Hit)> {
        let (hashes, places) = located(text);
        let found = self.runs(&hashes);
        found.map(|(units, number)| (places[units.start].start..places[units.end - 1].end, self.hit(number, HitKind::Overlap))).collect()
    }

    /// Telling runs among units, with the numbers of their questions.
    fn runs<'a>(&'a self, hashes: &'a [u64]) -> impl Iterator<Item = (Range<usize>, u32)> + 'a {
        let starts = hashes
            .windows(MIN_UNITS)
            .enumerate()
            .filter(|(_, window)| ngrams(window, MIN_UNITS).next().is_some_and(|start| self.starts.contains(&start)));
        starts.flat_map(move |(at, _)| {
            self.grams.iter().filter_map(move |(&n, grams)| {
                let run = hashes.get(at..at + n)?;
                Some((at..at + n, *grams.get(&ngrams(run, n).next()?)?))
            })
        })
    }

    /// [`Self::exact`], or else [`Self::overlap`].
    #[must_use]
    pub fn check(&self, text: &str) -> Option<Hit> {
        self.exact(text).or_else(|| self.overlap(text))
    }

    fn hit(&self, number: u32, kind: HitKind) -> Hit {
        let (task, id) = self.questions[number as usize].clone();
        Hit { task, id, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Decontamination {
        DecontaminationBuilder::new(13, 20)
            .add("qa", "1", "What is the capital of France?")
            .add("qa", "2", "中国最高的山是哪座？")
            .add("qa", "3", "Which of the following rivers flows through the most countries on its long way down to the sea?")
            .add("qa", "4", "Why?")
            .build()
    }

    #[test]
    fn exact_ignores_case_width_and_marks() {
        let index = index();
        let hit = index.exact("what is the CAPITAL of France").unwrap();
        assert_eq!((hit.id.as_str(), hit.kind), ("1", HitKind::Exact));
        assert_eq!(index.exact("中国最高的山， 是哪座").unwrap().id, "2");
        assert_eq!(index.exact("why").unwrap().id, "4");
        assert!(index.exact("What is the capital of Spain?").is_none());
    }

    #[test]
    fn overlap_needs_the_whole_of_a_short_question_or_a_run_of_a_long_one() {
        let index = index();
        assert_eq!(index.overlap("Quiz: What is the capital of France? Paris.").unwrap().id, "1");
        assert_eq!(index.overlap("问：中国最高的山是哪座？答：珠穆朗玛峰").unwrap().id, "2");
        let run = "the following rivers flows through the most countries on its long way down";
        assert_eq!(index.overlap(run).unwrap().id, "3");
        assert!(index.overlap("The capital of France is Paris. Why? Because.").is_none());
        assert!(index.overlap("中国最高的山是珠穆朗玛峰。").is_none());
    }

    #[test]
    fn runs_are_found_where_they_stand() {
        let text =
            "Quiz! Which well-known river? “What’s the capital of France?” No: What is the capital of FRANCE? 中国最高的山，是哪座？";
        let found: Vec<(&str, String)> = index().find(text).into_iter().map(|(range, hit)| (&text[range], hit.id)).collect();
        assert_eq!(found, [("What is the capital of FRANCE", "1".to_owned()), ("中国最高的山，是哪座", "2".to_owned())]);
    }

    #[test]
    fn empty_index_finds_nothing() {
        let index = DecontaminationBuilder::new(13, 20).add("t", "1", "？！").build();
        assert!(index.is_empty() && index.check("anything").is_none());
    }
}
