//! Tasks: questions with accepted answers, and what guessing would score on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use corpus::TaskRow;
use handoff::{Digest, DigestBuilder};

use crate::Error;
use crate::answer::{AnswerTypes, normalize};

/// A question of a task.
#[derive(Debug, Clone)]
pub struct Question {
    /// Id, unique in the task.
    pub id: String,
    /// Language of question and answer: `en`, `zh`.
    pub language: String,
    /// What is asked for, such as `capital`.
    pub relation: Option<String>,
    /// What it is asked of; questions of one subject form a cluster.
    pub subject: String,
    /// The question.
    pub question: String,
    /// Accepted answers, the canonical one first.
    pub answers: Vec<String>,
    /// Kind of answer; the relation where the task names none.
    pub answer_type: String,
}

impl Question {
    fn from_row(row: TaskRow) -> Self {
        let named = row.extra.get("answer_type").and_then(|v| v.as_str()).map(str::to_owned);
        let answer_type = named.or_else(|| row.relation.clone()).unwrap_or_else(|| row.task.clone());
        let aliases = row.answers.into_iter().filter(|a| *a != row.answer).collect::<Vec<_>>();
        let answers = std::iter::once(row.answer).chain(aliases).collect();
        Self {
            subject: row.subject.unwrap_or_else(|| row.id.clone()),
            id: row.id,
            language: row.language,
            relation: row.relation,
            question: row.question,
            answers,
            answer_type,
        }
    }
}

/// A named list of questions.
#[derive(Debug, Clone)]
pub struct Task {
    /// Name, such as `world_qa_heldout`.
    pub name: String,
    /// The questions in the order of the file.
    pub questions: Vec<Question>,
    /// Digest of everything that a score depends on.
    pub digest: Digest,
}

/// All tasks, and the answers known for each kind.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    /// In order of first appearance.
    pub tasks: Vec<Task>,
    /// Over all task files together, so that a held-out question's kind includes seen answers.
    pub types: AnswerTypes,
}

impl Tasks {
    /// Reads task files; questions with the same `task` form one task. `answer_types` names a file of further known answers,
    /// `limit` keeps that many of each, evenly spaced.
    ///
    /// # Errors
    /// When a file cannot be read, a row has no question or no answer, or an id appears twice in a task.
    pub fn load(paths: &[PathBuf], answer_types: Option<&Path>, limit: Option<u64>) -> Result<Self, Error> {
        let mut names: Vec<String> = Vec::new();
        let mut questions: BTreeMap<String, Vec<Question>> = BTreeMap::new();
        for path in paths {
            for row in read(path)? {
                if !questions.contains_key(&row.task) {
                    names.push(row.task.clone());
                }
                questions.entry(row.task.clone()).or_default().push(Question::from_row(row));
            }
        }
        let mut types = AnswerTypes::default();
        for q in questions.values().flatten() {
            types.add(&q.answer_type, &q.language, &q.answers[0], q.answers[1..].iter().map(String::as_str));
        }
        if let Some(path) = answer_types {
            read_types(path, &mut types)?;
        }
        let mut tasks = Vec::new();
        for name in names {
            let all = questions.remove(&name).unwrap_or_default();
            let mut ids = BTreeSet::new();
            if let Some(twice) = all.iter().find(|q| !ids.insert(q.id.as_str())) {
                return Err(Error::DuplicateId { task: name, id: twice.id.clone() });
            }
            let questions = evenly(all, limit);
            let digest = digest(&questions, &types);
            tasks.push(Task { name, questions, digest });
        }
        Ok(Self { tasks, types })
    }
}

fn read(path: &Path) -> Result<Vec<TaskRow>, Error> {
    let rows = corpus::read_task_file(path).map_err(|source| Error::Task { path: path.into(), source })?;
    match rows.iter().position(|r| r.question.trim().is_empty() || r.answer.trim().is_empty()) {
        Some(at) => Err(Error::Unanswerable { path: path.into(), row: at + 1 }),
        None => Ok(rows),
    }
}

/// Adds the known answers of a file `{"<relation>/<language>": {"answer_type": …, "values": […]}}`.
fn read_types(path: &Path, types: &mut AnswerTypes) -> Result<(), Error> {
    let problem = |problem: String| Error::AnswerTypes { path: path.into(), problem };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let groups: BTreeMap<String, KnownAnswers> = serde_json::from_str(&text).map_err(|e| problem(e.to_string()))?;
    for (key, group) in groups {
        let (_, language) = key.rsplit_once('/').ok_or_else(|| problem(format!("key `{key}` is not `<relation>/<language>`")))?;
        group.values.iter().for_each(|v| types.add_known(&group.answer_type, language, v));
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct KnownAnswers {
    answer_type: String,
    values: Vec<String>,
}

/// `limit` elements at even distances, all when there are no more than that.
fn evenly<T>(all: Vec<T>, limit: Option<u64>) -> Vec<T> {
    let n = all.len();
    let keep = limit.map_or(n, |l| (l as usize).min(n));
    let mut wanted = (0..keep).map(|i| i * n / keep.max(1)).peekable();
    all.into_iter().enumerate().filter(|(i, _)| wanted.next_if_eq(i).is_some()).map(|(_, t)| t).collect()
}

fn digest(questions: &[Question], types: &AnswerTypes) -> Digest {
    let mut d = DigestBuilder::new();
    for q in questions {
        d = d
            .field("id", &q.id)
            .field("language", &q.language)
            .field("relation", q.relation.as_deref().unwrap_or(""))
            .field("question", &q.question);
        d = q.answers.iter().fold(d, |d, a| d.field("answer", a));
        d = d.field("type", &q.answer_type);
    }
    // Whether a wrong answer is of the right kind depends on all known answers.
    d.field("types", types.digest().as_bytes()).finish()
}

/// What guessing scores on some questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guessing {
    /// Picking one of the known answers of the right kind and language at random.
    pub chance: f64,
    /// Always giving the most frequent answer of each relation and language among these very questions:
    /// no answer that ignores the subject can do better.
    pub majority: f64,
}

/// Scores of guessing; `None` without questions.
pub fn guessing<'a>(questions: impl Iterator<Item = &'a Question>, types: &AnswerTypes) -> Option<Guessing> {
    let mut n = 0_usize;
    let mut chance = 0.0;
    let mut counts: BTreeMap<(&str, &str), BTreeMap<String, usize>> = BTreeMap::new();
    for q in questions {
        n += 1;
        chance += 1.0 / types.size(&q.answer_type, &q.language).max(1) as f64;
        let group = (q.relation.as_deref().unwrap_or(""), q.language.as_str());
        *counts.entry(group).or_default().entry(normalize(&q.answers[0])).or_default() += 1;
    }
    let best: usize = counts.values().filter_map(|answers| answers.values().max()).sum();
    (n > 0).then(|| Guessing { chance: chance / n as f64, majority: best as f64 / n as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, rows: &[(&str, &str, &str, &str, &str)]) -> PathBuf {
        let path = dir.join(name);
        let lines: Vec<String> = rows
            .iter()
            .map(|(id, task, relation, subject, answer)| {
                serde_json::json!({"id": id, "task": task, "language": "en", "relation": relation, "subject": subject, "subject_names": [subject],
                    "question": format!("What is the {relation} of {subject}?"), "answer": answer, "answers": [answer], "answer_type": relation})
                .to_string()
            })
            .collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    #[test]
    fn guessing_is_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(
            dir.path(),
            "a.jsonl",
            &[
                ("1", "t", "currency", "France", "euro"),
                ("2", "t", "currency", "Spain", "euro"),
                ("3", "t", "currency", "Japan", "yen"),
                ("4", "t", "capital", "Japan", "Tokyo"),
            ],
        );
        let tasks = Tasks::load(&[path], None, None).unwrap();
        let guess = guessing(tasks.tasks[0].questions.iter(), &tasks.types).unwrap();
        assert_eq!(guess.majority, 3.0 / 4.0);
        assert_eq!(guess.chance, (0.5 * 3.0 + 1.0) / 4.0);
        assert_eq!(guessing([].into_iter(), &tasks.types), None);
    }

    #[test]
    fn another_tasks_answers_count_as_of_the_kind() {
        let dir = tempfile::tempdir().unwrap();
        let seen = file(dir.path(), "seen.jsonl", &[("1", "seen", "capital", "France", "Paris")]);
        let held = file(dir.path(), "held.jsonl", &[("1", "held", "capital", "Japan", "Tokyo")]);
        let tasks = Tasks::load(&[seen.clone(), held.clone()], None, None).unwrap();
        assert!(tasks.types.contains("capital", "en", "paris"));
        assert_eq!(tasks.tasks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["seen", "held"]);
        let alone = Tasks::load(std::slice::from_ref(&held), None, None).unwrap();
        assert_ne!(alone.tasks[0].digest, tasks.tasks[1].digest, "in_type depends on the other file");

        let known = dir.path().join("types.json");
        std::fs::write(&known, r#"{"capital/en": {"answer_type": "capital", "values": ["Berlin"]}}"#).unwrap();
        let more = Tasks::load(std::slice::from_ref(&held), Some(&known), None).unwrap();
        assert!(more.types.contains("capital", "en", "Berlin") && !alone.types.contains("capital", "en", "Berlin"));
        assert_eq!(more.types.size("capital", "en"), 1, "aliases cannot be told from answers there, so chance is not lowered");
        std::fs::write(&known, r#"{"capital": {"answer_type": "capital", "values": []}}"#).unwrap();
        assert!(matches!(Tasks::load(&[held], Some(&known), None), Err(Error::AnswerTypes { .. })));
    }

    #[test]
    fn a_limit_spreads_over_the_file_and_ids_are_unique() {
        assert_eq!(evenly((0..10).collect(), Some(4)), [0, 2, 5, 7]);
        assert_eq!(evenly((0..3).collect::<Vec<_>>(), Some(9)), [0, 1, 2]);
        assert_eq!(evenly((0..3).collect::<Vec<_>>(), Some(0)), [] as [i32; 0]);
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "a.jsonl", &[("1", "t", "capital", "France", "Paris"), ("1", "t", "capital", "Spain", "Madrid")]);
        assert!(matches!(Tasks::load(&[path], None, None), Err(Error::DuplicateId { .. })));
    }
}
