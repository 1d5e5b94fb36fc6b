//! Keeps held-out questions out of the pairs: the questions, never the documents.

use std::collections::{HashMap, HashSet};

use corpus::{Decontamination, DecontaminationBuilder, HitKind, TaskRow, UnitKind, is_han};

/// Why a pair is kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It asks the same.
    Exact,
    /// It holds a long run of a held-out question, or all of a shorter one.
    Overlap,
    /// It asks about a subject of a held-out row.
    Subject,
    /// Its answer is such a subject, and its question names what the row asks for.
    Reversed,
}

impl Kind {
    /// The reason in `rejected/` and in the manifest.
    pub fn reason(self) -> &'static str {
        match self {
            Kind::Exact => "held_out_exact",
            Kind::Overlap => "held_out_overlap",
            Kind::Subject => "held_out_subject",
            Kind::Reversed => "held_out_reversed",
        }
    }
}

/// Index over held-out rows.
#[derive(Debug, Default)]
pub struct HeldOut {
    questions: Decontamination,
    /// Normalised name to the numbers of its subjects.
    names: HashMap<String, Vec<u32>>,
    /// For each subject the normalised answers of its rows.
    answers: Vec<HashSet<String>>,
    longest_units: usize,
}

impl HeldOut {
    /// Builds the index; `words` and `chars` are the lengths of a telling run.
    pub fn new(rows: &[TaskRow], words: usize, chars: usize) -> Self {
        let mut questions = DecontaminationBuilder::new(words.max(1), chars.max(1));
        let mut out = HeldOut::default();
        let mut subjects: HashMap<String, u32> = HashMap::new();
        for row in rows {
            questions.push(&row.task, &row.id, &row.question);
            let mut names: Vec<String> = row.subject_names.iter().map(|n| fold(n)).filter(|n| !n.is_empty()).collect();
            names.sort();
            names.dedup();
            if names.is_empty() {
                continue;
            }
            let next = out.answers.len() as u32;
            let number = *subjects.entry(names.join("\n")).or_insert(next);
            if number == next {
                out.answers.push(HashSet::new());
                for name in names {
                    out.longest_units = out.longest_units.max(corpus::units(&name).count());
                    out.names.entry(name).or_default().push(number);
                }
            }
            out.answers[number as usize].extend(row.answers.iter().chain([&row.answer]).map(|a| fold(a)).filter(|a| !a.is_empty()));
        }
        out.questions = questions.build();
        out
    }

    /// Number of held-out subjects.
    pub fn subjects(&self) -> usize {
        self.answers.len()
    }

    /// Why a pair has to stay out, and what it met.
    pub fn check(&self, question: &str, answer: &str) -> Option<(Kind, String)> {
        if let Some(hit) = self.questions.exact(question) {
            return Some((Kind::Exact, format!("{}/{}", hit.task, hit.id)));
        }
        if let Some(hit) = self.questions.overlap(question) {
            let kind = if hit.kind == HitKind::Exact { Kind::Exact } else { Kind::Overlap };
            return Some((kind, format!("{}/{}", hit.task, hit.id)));
        }
        let folded = fold(question);
        let found = self.grams(&folded, |gram| self.names.get(gram).map(|_| gram.to_owned()));
        if let Some(name) = found.into_iter().next() {
            return Some((Kind::Subject, name));
        }
        let answered = fold(answer);
        let subjects = self.names.get(&answered)?;
        let named = |subject: &u32| !self.grams(&folded, |gram| self.answers[*subject as usize].contains(gram).then_some(())).is_empty();
        subjects.iter().any(named).then_some((Kind::Reversed, answered))
    }

    /// Calls `hit` for every run of units of `text` that stands by itself, and collects what it gives.
    fn grams<T>(&self, text: &str, hit: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let units: Vec<_> = corpus::units(text).collect();
        let mut out = Vec::new();
        for from in 0..units.len() {
            for to in from..units.len().min(from + self.longest_units.max(8)) {
                let (start, end) = (units[from].start, units[to].start + units[to].text.len());
                let single_han = from == to && units[from].kind == UnitKind::Cjk;
                if single_han && !stands_alone(text, start, end) {
                    continue;
                }
                out.extend(hit(&text[start..end]));
            }
        }
        out
    }
}

/// Characters that a Chinese name of one character may stand beside: 金的, 金是, 金元素.
const BESIDE: &str = "的是在有和元由与以为被于用又叫属很最与及、";

/// True if the Han character at `start..end` is a word by itself and not part of a longer one.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let fits = |c: Option<char>| c.is_none_or(|c| !is_han(c) || BESIDE.contains(c));
    fits(text[..start].chars().next_back()) && fits(text[end..].chars().next())
}

/// Normal form for names: a possessive is cut off first, so that "France's" holds "France".
fn fold(text: &str) -> String {
    corpus::normalize(&text.replace("'s ", " ").replace("’s ", " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &[&str], question: &str, answer: &str) -> TaskRow {
        let json = serde_json::json!({"id": question, "task": "t", "question": question, "answer": answer, "subject_names": subject});
        corpus::read_tasks(json.to_string().as_bytes(), "t").unwrap().remove(0)
    }

    fn index() -> HeldOut {
        HeldOut::new(
            &[
                row(&["Niger", "尼日尔"], "What is the capital of Niger?", "Niamey"),
                row(&["Niger", "尼日尔"], "尼日尔的首都是哪里？", "尼亚美"),
                row(&["gold", "金"], "What is the symbol of gold?", "Au"),
                row(
                    &["United States", "United States of America"],
                    "In which year was the United States of America founded by its thirteen colonies together at last?",
                    "1776",
                ),
            ],
            13,
            20,
        )
    }

    fn check(question: &str, answer: &str, want: Option<Kind>) {
        assert_eq!(index().check(question, answer).map(|h| h.0), want, "{question}");
    }

    #[test]
    fn questions_subjects_and_reversals_are_kept_out() {
        check("what is the capital of  NIGER", "Niamey", Some(Kind::Exact));
        check("尼日尔的首都是哪里", "尼亚美", Some(Kind::Exact));
        check(
            "Say: in which year was the United States of America founded by its thirteen colonies together, please?",
            "1776",
            Some(Kind::Overlap),
        );
        check("What is Niger's currency?", "franc", Some(Kind::Subject));
        check("How many people live in the United States?", "many", Some(Kind::Subject));
        check("尼日尔有多大？", "很大", Some(Kind::Subject));
        check("金的熔点是多少？", "1064摄氏度", Some(Kind::Subject));
        check("Which country has Niamey as its capital?", "Niger", Some(Kind::Reversed));
        check("哪种元素的符号是Au？", "金", Some(Kind::Reversed));
    }

    #[test]
    fn others_stay() {
        check("What is the capital of Nigeria?", "Abuja", None);
        check("尼日利亚的首都是哪里？", "阿布贾", None);
        check("金沙江有多长？", "3364公里", None);
        check("黄金海岸在哪里？", "澳大利亚", None);
        check("Which country is south of Algeria?", "Niger", None);
        check("What united the states?", "war", None);
    }
}
