//! Scores from rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerTypes;
use crate::rows::{Likelihood, Row};
use crate::stats::{self, Estimate};
use crate::tasks::{Guessing, Question, Task, Tasks, guessing};

/// Share of answers that are an accepted one.
pub const EXACT_MATCH: &str = "exact_match";
/// Share of answers of the right kind, right or wrong.
pub const IN_TYPE_RATE: &str = "in_type_rate";
/// Share of answers that the model ended by itself.
pub const STOP_RATE: &str = "stop_rate";
/// `exact_match` less that of the baseline on the same questions.
pub const DIFFERENCE: &str = "exact_match_difference";
/// Bits that the model needs for a byte of validation text.
pub const BITS_PER_BYTE: &str = "bits_per_byte";
/// Name of the validation split among the tasks.
pub const VALIDATION: &str = "validation";

/// Name of the side-by-side questions of the configuration among the tasks; they are shown, not scored.
pub const QUESTIONS: &str = "questions";
/// Name of their plain forms.
pub const CONTINUATIONS: &str = "continuations";

/// A row of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Name of the model.
    pub model: String,
    /// Task, with `_en`, `_zh` for the part in one language; `validation` for bits per byte.
    pub task: String,
    /// `exact_match`, `in_type_rate`, `stop_rate`, `exact_match_difference` or `bits_per_byte`.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// Standard error, clustered by subject.
    pub stderr: Option<f64>,
    /// Number of questions or of validation samples.
    pub num_samples: u64,
    /// With `exact_match`: the score of picking a known answer of the right kind at random.
    pub chance: Option<f64>,
    /// With `exact_match`: the score of always giving the most frequent answer of the relation.
    pub majority: Option<f64>,
    /// With `exact_match_difference`: the model compared with.
    pub baseline: Option<String>,
    /// With `exact_match_difference`: two-sided exact McNemar test.
    pub p_value: Option<f64>,
}

impl ResultRow {
    fn new(model: &str, task: &str, metric: &str, e: Estimate) -> Self {
        Self {
            model: model.into(),
            task: task.into(),
            metric: metric.into(),
            value: e.value,
            stderr: e.stderr,
            num_samples: e.num_samples as u64,
            chance: None,
            majority: None,
            baseline: None,
            p_value: None,
        }
    }
}

/// A task or the part of it in one language.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    /// Name, such as `world_qa_heldout_zh`.
    pub name: String,
    /// Language, for a part.
    pub language: Option<String>,
    /// Its questions by id.
    pub questions: BTreeMap<&'a str, &'a Question>,
    /// What guessing scores.
    pub guessing: Guessing,
}

/// A task as a whole, then its parts by language if it has several, each part named `<task>_<language>`.
pub fn slices<'a>(task: &'a Task, types: &AnswerTypes) -> Vec<Slice<'a>> {
    let mut languages: Vec<&str> = task.questions.iter().map(|q| q.language.as_str()).collect();
    languages.sort_unstable();
    languages.dedup();
    let parts = [None].into_iter().chain(languages.iter().copied().map(Some));
    parts
        .filter_map(|language| {
            let of = || task.questions.iter().filter(move |q| language.is_none_or(|l| q.language == l));
            let guessing = guessing(of(), types)?;
            let name = language.map_or_else(|| task.name.clone(), |l| format!("{}_{l}", task.name));
            Some(Slice { name, language: language.map(str::to_owned), questions: of().map(|q| (q.id.as_str(), q)).collect(), guessing })
        })
        .collect()
}

/// All rows of the run, by model and task.
#[derive(Debug, Default)]
pub struct Answers {
    by: BTreeMap<(String, String), Vec<Row>>,
}

impl Answers {
    /// Adds the rows of one model on one task.
    pub fn insert(&mut self, model: &str, task: &str, rows: Vec<Row>) {
        self.by.insert((model.to_owned(), task.to_owned()), rows);
    }

    /// The rows of a model on a task; none if it was not asked.
    pub fn of(&self, model: &str, task: &str) -> &[Row] {
        self.by.get(&(model.to_owned(), task.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// A model's answer to one question.
    pub fn answer(&self, model: &str, task: &str, sample_id: &str) -> Option<&Row> {
        self.of(model, task).iter().find(|r| r.sample_id == sample_id)
    }
}

/// Rows of `results.json` for answers: models in the given order, tasks in theirs.
pub fn score_answers(models: &[String], baseline: Option<&str>, tasks: &Tasks, answers: &Answers) -> Vec<ResultRow> {
    let mut out = Vec::new();
    for model in models {
        for task in &tasks.tasks {
            for slice in slices(task, &tasks.types) {
                let rows: Vec<&Row> =
                    answers.of(model, &task.name).iter().filter(|r| slice.questions.contains_key(r.sample_id.as_str())).collect();
                if rows.is_empty() {
                    continue;
                }
                let subjects: Vec<&str> = rows.iter().map(|r| slice.questions[r.sample_id.as_str()].subject.as_str()).collect();
                let mean = |f: &dyn Fn(&Row) -> bool| {
                    stats::clustered_mean(&rows.iter().map(|r| f64::from(u8::from(f(r)))).collect::<Vec<_>>(), &subjects)
                };
                let mut exact = ResultRow::new(model, &slice.name, EXACT_MATCH, mean(&|r| r.correct));
                exact.chance = Some(slice.guessing.chance);
                exact.majority = Some(slice.guessing.majority);
                out.push(exact);
                out.push(ResultRow::new(model, &slice.name, IN_TYPE_RATE, mean(&|r| r.in_type == Some(true))));
                out.push(ResultRow::new(model, &slice.name, STOP_RATE, mean(&|r| r.stop_reason == "stop")));
                if let Some(baseline) = baseline.filter(|b| *b != model) {
                    out.extend(difference(model, baseline, &slice, &rows, answers.of(baseline, &task.name)));
                }
            }
        }
    }
    out
}

/// The paired comparison of a model's answers with a baseline's.
fn difference(model: &str, baseline: &str, slice: &Slice<'_>, rows: &[&Row], others: &[Row]) -> Option<ResultRow> {
    let others: BTreeMap<&str, &Row> = others.iter().map(|r| (r.sample_id.as_str(), r)).collect();
    let pairs: Vec<(&Row, &Row)> = rows.iter().filter_map(|r| Some((*r, *others.get(r.sample_id.as_str())?))).collect();
    if pairs.is_empty() {
        return None;
    }
    let gains: Vec<f64> = pairs.iter().map(|(a, b)| f64::from(u8::from(a.correct)) - f64::from(u8::from(b.correct))).collect();
    let subjects: Vec<&str> = pairs.iter().map(|(a, _)| slice.questions[a.sample_id.as_str()].subject.as_str()).collect();
    let only = |mine: bool| pairs.iter().filter(|(a, b)| a.correct != b.correct && a.correct == mine).count() as u64;
    let mut row = ResultRow::new(model, &slice.name, DIFFERENCE, stats::clustered_mean(&gains, &subjects));
    row.baseline = Some(baseline.to_owned());
    row.p_value = Some(stats::mcnemar_exact(only(true), only(false)));
    Some(row)
}

/// Bits per byte over validation samples: all bits over all bytes.
pub fn score_likelihoods(model: &str, samples: &[Likelihood]) -> ResultRow {
    let bits: Vec<f64> = samples.iter().map(|s| -s.logprob / std::f64::consts::LN_2).collect();
    let bytes: Vec<f64> = samples.iter().map(|s| s.num_bytes as f64).collect();
    ResultRow::new(model, VALIDATION, BITS_PER_BYTE, stats::ratio(&bits, &bytes))
}

/// The model with the most right answers over all tasks, the first of equals.
pub fn best_model(models: &[String], tasks: &Tasks, answers: &Answers) -> Option<String> {
    let right = |m: &String| tasks.tasks.iter().map(|t| answers.of(m, &t.name).iter().filter(|r| r.correct).count()).sum::<usize>();
    models.iter().rev().max_by_key(|m| right(m)).filter(|m| right(m) > 0).cloned()
}

/// Looks up a value.
pub fn find<'a>(rows: &'a [ResultRow], model: &str, task: &str, metric: &str) -> Option<&'a ResultRow> {
    rows.iter().find(|r| r.model == model && r.task == task && r.metric == metric)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use handoff::Digest;

    pub(crate) fn question(id: &str, language: &str, subject: &str, answer: &str) -> Question {
        Question {
            id: id.into(),
            language: language.into(),
            relation: Some("capital".into()),
            subject: subject.into(),
            question: format!("{subject}?"),
            answers: vec![answer.into()],
            answer_type: "city".into(),
        }
    }

    pub(crate) fn tasks() -> Tasks {
        let questions = vec![
            question("1", "en", "France", "Paris"),
            question("2", "zh", "France", "巴黎"),
            question("3", "en", "Japan", "Tokyo"),
            question("4", "zh", "Japan", "东京"),
        ];
        let mut types = AnswerTypes::default();
        for q in &questions {
            types.add(&q.answer_type, &q.language, &q.answers[0], []);
        }
        Tasks { tasks: vec![Task { name: "w_heldout".into(), questions, digest: Digest::of_bytes(b"") }], types }
    }

    pub(crate) fn answers(tasks: &Tasks, model: &str, given: &[&str]) -> Vec<Row> {
        let task = &tasks.tasks[0];
        task.questions
            .iter()
            .zip(given)
            .map(|(q, a)| Row {
                model: model.into(),
                task: task.name.clone(),
                sample_id: q.id.clone(),
                language: q.language.clone(),
                relation: q.relation.clone(),
                prompt: q.question.clone(),
                completion: (*a).into(),
                target: q.answers[0].clone(),
                correct: crate::answer::is_correct(a, &q.answers),
                in_type: Some(tasks.types.contains(&q.answer_type, &q.language, a)),
                stop_reason: "stop".into(),
                logprob: None,
            })
            .collect()
    }

    #[test]
    fn scores_stand_beside_guessing_and_by_language() {
        let tasks = tasks();
        let mut all = Answers::default();
        all.insert("sft", "w_heldout", answers(&tasks, "sft", &["Paris", "巴黎", "Tokyo", "巴黎"]));
        all.insert("base", "w_heldout", answers(&tasks, "base", &["Tokyo", "nothing", "the of", ""]));
        let models = ["base".to_owned(), "sft".to_owned()];
        assert_eq!(best_model(&models, &tasks, &all).as_deref(), Some("sft"));
        let rows = score_answers(&models, Some("sft"), &tasks, &all);
        let get = |m, t, k| find(&rows, m, t, k).unwrap();
        let whole = get("sft", "w_heldout", EXACT_MATCH);
        assert_eq!((whole.value, whole.num_samples, whole.chance, whole.majority), (0.75, 4, Some(0.5), Some(0.5)));
        assert_eq!(get("sft", "w_heldout_en", EXACT_MATCH).value, 1.0);
        assert_eq!(get("sft", "w_heldout_zh", EXACT_MATCH).value, 0.5);
        assert_eq!(get("sft", "w_heldout", IN_TYPE_RATE).value, 1.0);
        assert_eq!(get("base", "w_heldout", IN_TYPE_RATE).value, 0.25);
        let gain = get("base", "w_heldout", DIFFERENCE);
        assert_eq!((gain.value, gain.baseline.as_deref()), (-0.75, Some("sft")));
        assert!((gain.p_value.unwrap() - 0.25).abs() < 1e-12, "{:?}", gain.p_value);
        assert!(find(&rows, "sft", "w_heldout", DIFFERENCE).is_none(), "no model is compared with itself");
    }

    #[test]
    fn bits_per_byte_is_bits_over_bytes() {
        let sample = |logprob: f64, num_bytes| Likelihood { sample_id: String::new(), logprob, num_tokens: 10, num_bytes };
        let row = score_likelihoods("m", &[sample(-8.0 * std::f64::consts::LN_2, 4), sample(-4.0 * std::f64::consts::LN_2, 8)]);
        assert!((row.value - 1.0).abs() < 1e-12);
        assert_eq!(row.num_samples, 2);
    }
}
