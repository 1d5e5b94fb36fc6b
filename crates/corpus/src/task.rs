//! Task files: one JSON object a line, read by the keys documented at [`TaskRow`].

use crate::Error;
use serde_json::{Map, Value};
use std::io::BufRead;
use std::path::Path;

/// One question with its answer.
///
/// | key | type | meaning |
/// | --- | --- | --- |
/// | `question` | string, required | what is asked; `prompt` and `instruction` are read for it too |
/// | `answer` | string | the answer to score; the first of `answers` if absent; `target` and `output` are read for it too |
/// | `answers` | list of strings | every accepted answer; `[answer]` if absent |
/// | `id` | string or number | the line number if absent |
/// | `task` | string | name of the task; the name of the file if absent |
/// | `language` | string | language tag; detected from the question if absent |
/// | `relation`, `subject` | string | what is asked about whom |
/// | `subject_names` | list of strings | every name of the subject |
///
/// Other keys are kept in `extra`.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Identifier within the task.
    pub id: String,
    /// Name of the task.
    pub task: String,
    /// Language tag of the question.
    pub language: String,
    /// Relation asked for, `capital` for example.
    pub relation: Option<String>,
    /// Identifier or name of the entity asked about.
    pub subject: Option<String>,
    /// Names of the subject in any language.
    pub subject_names: Vec<String>,
    /// The question.
    pub question: String,
    /// The answer to score, possibly empty.
    pub answer: String,
    /// All accepted answers, `answer` among them.
    pub answers: Vec<String>,
    /// Keys that this reader gives no meaning.
    pub extra: Map<String, Value>,
}

/// Reads a task file; rows without `task` are named after the file.
///
/// # Errors
/// If the file cannot be read, or a line is not an object with a question.
pub fn read_task_file(path: &Path) -> Result<Vec<TaskRow>, Error> {
    let wrap = |source| Error::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(wrap)?;
    let name = path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
    read_tasks(std::io::BufReader::new(file), &name)
}

/// Reads task rows from `reader`; `name` stands in messages and is the task of rows that name none.
///
/// # Errors
/// If reading fails or a line is not an object with a question.
pub fn read_tasks(reader: impl BufRead, name: &str) -> Result<Vec<TaskRow>, Error> {
    let mut rows = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let problem = |problem: String| Error::Row { name: name.to_owned(), line: index + 1, problem };
        let line = line.map_err(|e| problem(e.to_string()))?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|e| problem(format!("not a JSON object: {e}")))?;
        rows.push(row(object, index + 1, name).map_err(problem)?);
    }
    Ok(rows)
}

fn row(mut object: Map<String, Value>, line: usize, name: &str) -> Result<TaskRow, String> {
    let question = take_string(&mut object, &["question", "prompt", "instruction"]).ok_or("no string under `question`")?;
    let mut answers = take_list(&mut object, "answers");
    let answer = take_string(&mut object, &["answer", "target", "output"]).or_else(|| answers.first().cloned()).unwrap_or_default();
    if !answer.is_empty() && !answers.contains(&answer) {
        answers.insert(0, answer.clone());
    }
    Ok(TaskRow {
        id: take_string(&mut object, &["id"]).unwrap_or_else(|| line.to_string()),
        task: take_string(&mut object, &["task"]).unwrap_or_else(|| name.to_owned()),
        language: take_string(&mut object, &["language", "lang"]).unwrap_or_else(|| crate::language(&question).tag.to_owned()),
        relation: take_string(&mut object, &["relation"]),
        subject: take_string(&mut object, &["subject"]),
        subject_names: take_list(&mut object, "subject_names"),
        question,
        answer,
        answers,
        extra: object,
    })
}

/// The first of `keys` that holds a string or a number, removed from the object.
fn take_string(object: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    let key = keys.iter().find(|key| matches!(object.get(**key), Some(Value::String(_) | Value::Number(_))))?;
    match object.shift_remove(*key)? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The strings of a list, or of a map of lists or strings (names by language), removed from the object.
fn take_list(object: &mut Map<String, Value>, key: &str) -> Vec<String> {
    fn gather(value: Value, out: &mut Vec<String>) {
        match value {
            Value::String(text) => out.push(text),
            Value::Number(number) => out.push(number.to_string()),
            Value::Array(items) => items.into_iter().for_each(|item| gather(item, out)),
            Value::Object(items) => items.into_iter().for_each(|(_, item)| gather(item, out)),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut out = Vec::new();
    if let Some(value) = object.shift_remove(key) {
        gather(value, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<TaskRow>, Error> {
        read_tasks(text.as_bytes(), "demo")
    }

    #[test]
    fn reads_documented_keys() {
        let rows = read(
            "{\"id\":\"q1\",\"task\":\"world_qa\",\"language\":\"zh-Hans\",\"relation\":\"capital\",\"subject\":\"cn\",\
             \"subject_names\":{\"en\":[\"China\"],\"zh\":\"中国\"},\"question\":\"首都?\",\"answer\":\"北京\",\"answers\":[\"北京市\"],\"split\":\"seen\"}\n\n",
        )
        .unwrap();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.id.as_str(), row.task.as_str(), row.language.as_str()), ("q1", "world_qa", "zh-Hans"));
        assert_eq!(row.answers, ["北京", "北京市"]);
        assert_eq!(row.subject_names, ["China", "中国"]);
        assert_eq!(row.extra.get("split").and_then(Value::as_str), Some("seen"));
    }

    #[test]
    fn defaults_for_what_is_absent() {
        let rows =
            read("\u{feff}{\"instruction\":\"Where is the capital of France, and why is it there?\",\"answers\":[\"Paris\"]}").unwrap();
        assert_eq!((rows[0].id.as_str(), rows[0].task.as_str(), rows[0].language.as_str()), ("1", "demo", "en"));
        assert_eq!(rows[0].answer, "Paris");
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(read("{\"question\":\"a\"}\n[1]").unwrap_err().to_string().split(':').next(), Some("`demo` line 2"));
        assert_eq!(read("{\"id\":1}").unwrap_err().to_string(), "`demo` line 1: no string under `question`");
        assert!(read_task_file(Path::new("/nonexistent.jsonl")).unwrap_err().to_string().contains("nonexistent"));
    }
}
