//! Questions of evaluation tasks in crawled text: found, counted, taken out.

use crate::config::{Config, OnHit};
use crate::dedup::spans::{cut, joined};
use crate::error::Error;
use corpus::{Decontamination, DecontaminationBuilder, Hit, sentences};
use handoff::{Digest, DigestBuilder};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The questions of all task files.
#[derive(Debug)]
pub struct Questions {
    index: Decontamination,
    on_hit: OnHit,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Digest of their content.
    pub digest: Digest,
}

/// What was found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Tasks whose questions were met.
    pub tasks: BTreeSet<String>,
    /// What is to become of the text.
    pub verdict: Verdict,
}

/// What is to become of a text with questions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// Without the sentences that hold the questions, this is left.
    Replace(String),
    /// It goes; the question is named.
    Drop(String),
}

impl Questions {
    /// Reads the task files of a configuration, whose paths start from `config_dir`; `None` if it names none.
    ///
    /// # Errors
    /// If a file cannot be read as a task file.
    pub fn load(config: &Config, config_dir: &Path) -> Result<Option<Self>, Error> {
        let settings = &config.decontaminate;
        if settings.tasks.is_empty() {
            return Ok(None);
        }
        let mut builder = DecontaminationBuilder::new(settings.words, settings.chars);
        let (mut files, mut digest) = (Vec::new(), DigestBuilder::new());
        for name in &settings.tasks {
            let path = config_dir.join(name);
            for row in corpus::read_task_file(&path)? {
                builder.push(&row.task, &row.id, &row.question);
            }
            digest = digest.field("task file", Digest::of_file(&path)?.as_bytes());
            files.push(path);
        }
        Ok(Some(Self { index: builder.build(), on_hit: settings.on_hit, files, digest: digest.finish() }))
    }

    /// Looks for questions in a text; `None` if there are none.
    #[must_use]
    pub fn check(&self, text: &str) -> Option<Finding> {
        // Finding a run is faster than finding its place.
        self.index.overlap(text)?;
        let found = self.index.find(text);
        let (_, Hit { task, id, .. }) = found.first()?;
        let first = format!("{task}/{id}");
        let tasks = found.iter().map(|(_, hit)| hit.task.clone()).collect();
        let verdict = match self.on_hit {
            OnHit::Count => Verdict::Keep,
            OnHit::Drop => Verdict::Drop(first),
            OnHit::Remove => match without(text, found.into_iter().map(|(range, _)| range).collect()) {
                text if text.is_empty() => Verdict::Drop(first),
                text => Verdict::Replace(text),
            },
        };
        Some(Finding { tasks, verdict })
    }
}

/// The text without the sentences that ranges reach into.
fn without(text: &str, ranges: Vec<Range<usize>>) -> String {
    let ranges = joined(ranges);
    let mut next = 0;
    let holds = |sentence: &Range<usize>| {
        next += ranges[next..].iter().take_while(|range| range.end <= sentence.start).count();
        ranges.get(next).is_some_and(|range| range.start < sentence.end)
    };
    cut(text, sentences(text).into_iter().filter(holds).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use crate::growth::{in_proportion, timed};

    fn questions(on_hit: OnHit) -> Questions {
        let dir = tempfile::tempdir().unwrap();
        let rows = "{\"id\":\"1\",\"question\":\"What is the capital of Peru?\",\"answer\":\"Lima\"}\n\
            {\"id\":\"2\",\"task\":\"t\",\"question\":\"中国最高的山是哪座？\",\"answer\":\"珠穆朗玛峰\"}\n";
        std::fs::write(dir.path().join("qa.jsonl"), rows).unwrap();
        let mut config = defaults();
        (config.decontaminate.tasks, config.decontaminate.on_hit) = (vec!["qa.jsonl".into()], on_hit);
        Questions::load(&config, dir.path()).unwrap().unwrap()
    }

    #[test]
    fn questions_go_and_facts_stay() {
        let questions = questions(OnHit::Remove);
        for fact in ["The capital of Peru is Lima, as all know.", "中国最高的山是珠穆朗玛峰。", "What is it like in the capital of Peru?"]
        {
            assert_eq!(questions.check(fact), None, "{fact}");
        }
        let finding =
            questions.check("Lima lies in Peru. What is the capital of Peru? It is Lima.\n答：中国最高的山是哪座？珠穆朗玛峰。").unwrap();
        assert_eq!(finding.tasks.into_iter().collect::<Vec<_>>(), ["qa", "t"]);
        assert_eq!(finding.verdict, Verdict::Replace("Lima lies in Peru.  It is Lima.\n珠穆朗玛峰。".into()));
        assert_eq!(questions.check("what is the capital of peru").unwrap().verdict, Verdict::Drop("qa/1".into()));
    }

    #[test]
    fn many_questions_take_linear_time() {
        let time = |n: usize| {
            let text = "What is the capital of Peru? ".repeat(n);
            let range = |i: usize| 29 * i + 5..29 * i + 20;
            let (left, time) = timed(|| without(&(text + "It is Lima."), (0..n).map(range).collect()));
            assert_eq!(left, "It is Lima.");
            time
        };
        in_proportion(time, (3000, 30_000), (40, 50));
    }

    #[test]
    fn the_whole_text_may_go_or_stay() {
        let text = "It is Lima. What is the capital of Peru?";
        assert_eq!(questions(OnHit::Drop).check(text).unwrap().verdict, Verdict::Drop("qa/1".into()));
        assert_eq!(questions(OnHit::Count).check(text).unwrap().verdict, Verdict::Keep);
        assert!(Questions::load(&defaults(), Path::new(".")).unwrap().is_none());
    }
}
