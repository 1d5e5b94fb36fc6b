//! `report.html`: one file with everything in it, for light and dark screens, that asks the network for nothing.

pub mod charts;
mod findings;
pub mod html;
mod sections;

use crate::facts::Facts;

/// The whole page.
pub fn render(facts: &Facts<'_>) -> String {
    let title = format!("{}: what the models know", facts.run);
    let mut out = String::with_capacity(1 << 16);
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.push_str(&format!(
        "<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        html::escape(&title),
        include_str!("style.css")
    ));
    out.push_str(&format!(
        "<header><h1><span class=\"mark\" lang=\"zh\">接龙</span>{}</h1><div class=\"soft\">From crawled pages to answers: what each step of the run <b>{}</b> added. Every figure comes from the run's own files.</div></header>\n",
        html::escape(&title),
        html::escape(&facts.run)
    ));
    let findings = findings::findings(facts);
    if !findings.is_empty() {
        out.push_str("<section><h2>In short</h2>\n<ul class=\"findings\">\n");
        for finding in findings {
            out.push_str(&format!("<li>{finding}</li>\n"));
        }
        out.push_str("</ul></section>\n");
    }
    for section in [
        sections::side_by_side,
        sections::scores,
        sections::wrong,
        sections::relations,
        sections::likelihood,
        sections::losses,
        sections::samples,
        sections::models,
        sections::data,
        sections::files,
    ] {
        out.push_str(&section(facts));
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::facts::{DataStage, Given, ModelFacts, Shown, Training};
    use crate::results::{Answers, ResultRow, VALIDATION, score_answers};
    use crate::tasks::{Question, Task, Tasks};

    pub(crate) struct Sample {
        pub(crate) tasks: Tasks,
        pub(crate) answers: Answers,
        pub(crate) results: Vec<ResultRow>,
    }

    const MODELS: [&str; 4] = ["untrained", "pretrain", "sft-only", "sft"];

    /// Forty questions a task and language: `sft` is right on most, `sft-only` on seen ones only.
    pub(crate) fn sample() -> Sample {
        let mut types = crate::answer::AnswerTypes::default();
        let mut tasks = Vec::new();
        for name in ["world_qa_seen", "world_qa_heldout"] {
            let mut questions = Vec::new();
            for i in 0..80 {
                let (language, question, answer) = if i % 2 == 0 {
                    ("en", format!("What is the capital of {name} {i}?"), format!("City{i}"))
                } else {
                    ("zh", format!("{name}{i}的首都是哪里？"), format!("城{i}"))
                };
                types.add("city", language, &answer, []);
                questions.push(Question {
                    id: format!("{i}"),
                    language: language.into(),
                    relation: Some("capital".into()),
                    subject: format!("{}", i / 2),
                    question,
                    answers: vec![answer],
                    answer_type: "city".into(),
                });
            }
            tasks.push(Task { name: name.into(), questions, digest: handoff::Digest::of_bytes(name.as_bytes()) });
        }
        let tasks = Tasks { tasks, types };
        let mut answers = Answers::default();
        for model in MODELS {
            for task in &tasks.tasks {
                let rows = task.questions.iter().enumerate().map(|(i, q)| {
                    let right = model == "sft" && i % 10 != 0 || model == "sft-only" && task.name.ends_with("seen");
                    let completion = match model {
                        _ if right => q.answers[0].clone(),
                        "sft" | "sft-only" => task.questions[(i + 2) % 80].answers[0].clone(),
                        _ => "<b>xq</b>".to_owned(),
                    };
                    crate::rows::Row {
                        model: model.into(),
                        task: task.name.clone(),
                        sample_id: q.id.clone(),
                        language: q.language.clone(),
                        relation: q.relation.clone(),
                        prompt: q.question.clone(),
                        correct: crate::answer::is_correct(&completion, &q.answers),
                        in_type: Some(tasks.types.contains(&q.answer_type, &q.language, &completion)),
                        completion,
                        target: q.answers[0].clone(),
                        stop_reason: if model == "untrained" { "length".into() } else { "stop".into() },
                        logprob: None,
                    }
                });
                answers.insert(model, &task.name, rows.collect());
            }
        }
        let mut results = score_answers(&MODELS.map(str::to_owned), Some("sft"), &tasks, &answers);
        for (model, bits) in MODELS.iter().zip([-8000.0, -900.0, -7000.0, -950.0]) {
            let samples = [crate::rows::Likelihood { sample_id: "v".into(), logprob: bits, num_tokens: 500, num_bytes: 1200 }];
            results.push(crate::results::score_likelihoods(model, &samples));
        }
        Sample { tasks, answers, results }
    }

    pub(crate) fn facts<'a>(tasks: &'a Tasks, answers: &'a Answers, results: &'a [ResultRow]) -> Facts<'a> {
        let given = |text: &str, correct| Some(Given { text: text.into(), correct: Some(correct) });
        Facts {
            run: "tiny".into(),
            models: MODELS
                .iter()
                .map(|m| ModelFacts {
                    name: (*m).into(),
                    from: "sft".into(),
                    random: *m == "untrained",
                    params: Some(1_000_000),
                    adapter_params: None,
                })
                .collect(),
            baseline: Some("sft".into()),
            results,
            tasks,
            answers,
            shown: vec![
                Shown {
                    task: "questions".into(),
                    prompt: "中国最高的山是什么？".into(),
                    plain: false,
                    target: Some("珠穆朗玛峰".into()),
                    answers: vec![given("", false), given("的的的", false), given("姚明", false), given("珠穆朗玛峰", true)],
                },
                Shown {
                    task: "questions".into(),
                    prompt: "The capital of France is".into(),
                    plain: true,
                    target: Some("Paris".into()),
                    answers: vec![given("<b>xq</b>", false), given("Paris", true), None, given("Paris", true)],
                },
            ],
            training: vec![Training {
                stage: "pretrain".into(),
                train: (0..500).map(|i| (f64::from(i), 7.0 - f64::from(i) / 100.0)).collect(),
                validation: vec![(250.0, 4.6), (499.0, 2.2)],
                samples: vec![(250, "The".into(), " of <of".into()), (499, "The".into(), " capital".into())],
            }],
            data: vec![DataStage {
                name: "crawl-clean".into(),
                units: 3,
                kept: 900,
                rejected: vec![("language".into(), 80), ("near_duplicate".into(), 20)],
                bytes: 1 << 20,
                counts: vec![("pages".into(), 1000)],
            }],
            wrong_examples: 4,
        }
    }

    fn page() -> String {
        let Sample { tasks, answers, results } = sample();
        render(&facts(&tasks, &answers, &results))
    }

    #[test]
    fn the_page_asks_the_network_for_nothing() {
        let page = page();
        for outside in ["http://", "https://", "//fonts", "<script", "<link", "<img", "<iframe", "@import", "url("] {
            assert!(!page.contains(outside), "page contains {outside}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn samples_of_a_training_are_shown_as_text() {
        let page = page();
        assert!(page.contains("What it wrote while it learned") && page.contains("&lt;of"));
    }

    #[test]
    fn elements_are_closed_and_completions_escaped() {
        let page = page();
        for tag in ["table", "tr", "td", "th", "svg", "section", "div", "ul", "li", "p", "span", "pre"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "<{tag}>");
        }
        assert!(page.contains("✗ &lt;b&gt;xq&lt;/b&gt;") && !page.contains("<b>xq</b>"));
    }

    #[test]
    fn findings_say_what_the_figures_say() {
        let Sample { tasks, answers, results } = sample();
        let mut f = facts(&tasks, &answers, &results);
        let text = findings::findings(&f).join("\n");
        assert!(text.contains("On <b>world_qa_heldout</b>, <b>sft</b> answers 90.0%"), "{text}");
        assert!(text.contains("<b>sft-only</b> gives an answer of the right kind 100.0% of the time and the right answer 0.0%, though it answers 100.0% of <b>world_qa_seen</b> right"), "{text}");
        assert!(text.contains("<b>pretrain</b> needs only") && text.contains("of 1 sentences begun for it, it ends 1 right"), "{text}");
        // Without the figures, the sentences go.
        let answers_only: Vec<ResultRow> = results.iter().filter(|r| r.task != VALIDATION && r.model != "sft-only").cloned().collect();
        f.results = &answers_only;
        let text = findings::findings(&f).join("\n");
        assert!(!text.contains("bits") && !text.contains("right kind"), "{text}");
    }
}
