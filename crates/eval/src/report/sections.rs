//! The parts of the page, each empty where the run has nothing for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::charts::{Bar, Group, Line, curves, grouped_bars};
use super::findings::p_value;
use super::html::{Cell, escape, grouped, percent, span, table};
use crate::answer::normalize;
use crate::facts::{DataStage, Facts, Given, Shown};
use crate::results::{BITS_PER_BYTE, DIFFERENCE, EXACT_MATCH, IN_TYPE_RATE, ResultRow, STOP_RATE, VALIDATION, find, slices};
use crate::stats::wilson_95;
use crate::tasks::guessing;
use crate::width::fit;

/// Longest answer of the side-by-side table in cells of Latin letters; the rows keep all of it.
const LONGEST_SHOWN: usize = 64;

fn section(title: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("<section><h2>{}</h2>\n{body}</section>\n", escape(title)) }
}

fn legend(facts: &Facts<'_>, more: &str) -> String {
    let models: String = facts
        .models
        .iter()
        .enumerate()
        .map(|(i, m)| format!("<span><i class=\"s{}\"></i>{}</span>", i % super::charts::COLOURS, escape(&m.name)))
        .collect();
    format!("<div class=\"legend\">{models}{more}</div>\n")
}

/// The same questions put to every model.
pub(super) fn side_by_side(facts: &Facts<'_>) -> String {
    if facts.shown.is_empty() {
        return String::new();
    }
    let mut head = vec![Cell::text("Question")];
    head.extend(facts.models.iter().map(|m| Cell::text(&m.name)));
    let rows: Vec<Vec<Cell>> = facts
        .shown
        .iter()
        .map(|shown| {
            let mut row = vec![Cell::html(question(shown), "")];
            row.extend(shown.answers.iter().map(|a| Cell::html(answer(a.as_ref()), "")));
            row
        })
        .collect();
    let body = table(&head, &rows).replacen("<table>", "<table class=\"answers\">", 1);
    let note = "<p class=\"note\">Answers are the models' own words, decoded greedily. ✓ is an accepted answer, ✗ another one. “Continue” rows give the beginning of a sentence instead of a question, which is all a model knows that was only pretrained; there, ✓ means that the continuation begins with the right answer.</p>\n";
    section("The same questions, side by side", &format!("{body}{note}"))
}

fn question(shown: &Shown) -> String {
    let kind = if shown.plain {
        "<span class=\"kind\">Continue</span>".to_owned()
    } else if shown.task == "questions" {
        String::new()
    } else {
        format!("<span class=\"kind\">{}</span>", escape(&shown.task))
    };
    let target = shown.target.as_ref().map(|t| format!("<span class=\"target\">→ {}</span>", span("", t))).unwrap_or_default();
    format!("{kind}{}{}{target}", span("", &shown.prompt), if shown.plain { " …" } else { "" })
}

fn answer(given: Option<&Given>) -> String {
    let Some(given) = given else { return "–".into() };
    let text = if given.text.is_empty() { "(nothing)".to_owned() } else { fit(&given.text, LONGEST_SHOWN) };
    match given.correct {
        Some(true) => span("right", &format!("✓ {text}")),
        Some(false) => span("wrong", &format!("✗ {text}")),
        None => span("open", &text),
    }
}

/// Right answers by task and language: a chart, then the figures.
pub(super) fn scores(facts: &Facts<'_>) -> String {
    let mut groups = Vec::new();
    let mut tables = String::new();
    for task in &facts.tasks.tasks {
        let parts = slices(task, &facts.tasks.types);
        let charted = if parts.len() == 2 { &parts[..1] } else { &parts[1..] };
        for part in charted {
            let bars = facts.models.iter().enumerate().filter_map(|(series, m)| {
                let r = find(facts.results, &m.name, &part.name, EXACT_MATCH)?;
                let n = r.num_samples as f64;
                Some(Bar { series, value: r.value, interval: wilson_95(r.value * n, n) })
            });
            groups.push(Group {
                label: part.name.clone(),
                bars: bars.collect(),
                majority: Some(part.guessing.majority),
                chance: Some(part.guessing.chance),
            });
        }
        let mut head = vec![Cell::text("Model")];
        head.extend(parts.iter().map(|p| Cell::num(p.language.as_ref().map_or("all".to_owned(), |l| format!("{l} only")))));
        head.extend(["right kind", "ended itself"].map(Cell::num));
        if let Some(b) = &facts.baseline {
            head.push(Cell::num(format!("against {b}")));
        }
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for m in &facts.models {
            if find(facts.results, &m.name, &task.name, EXACT_MATCH).is_none() {
                continue;
            }
            let mut row = vec![Cell::text(&m.name)];
            row.extend(parts.iter().map(|p| plus_minus(find(facts.results, &m.name, &p.name, EXACT_MATCH))));
            row.extend([IN_TYPE_RATE, STOP_RATE].map(|k| Cell::num(facts.value(&m.name, &task.name, k).map_or("–".into(), percent))));
            if facts.baseline.is_some() {
                row.push(find(facts.results, &m.name, &task.name, DIFFERENCE).map_or_else(|| Cell::num("–"), difference));
            }
            rows.push(row);
        }
        let guesses = [("always the most frequent answer", true), ("guessing among known answers", false)].map(|(name, majority)| {
            let mut row = vec![Cell::text(name)];
            row.extend(parts.iter().map(|p| Cell::num(percent(if majority { p.guessing.majority } else { p.guessing.chance }))));
            row
        });
        let count = rows.len();
        rows.extend(guesses);
        let html = table(&head, &rows);
        let html = mark_guesses(&html, count);
        let _ = write!(
            tables,
            "<h3>{} <span class=\"soft\">({} questions)</span></h3>\n{html}",
            escape(&task.name),
            grouped(task.questions.len() as u64)
        );
    }
    if groups.is_empty() {
        return String::new();
    }
    let more = "<span><i class=\"majority\"></i>always the most frequent answer</span><span><i class=\"chance\"></i>guessing</span>";
    let chart = format!(
        "{}<div class=\"chart bars\">{}</div>\n",
        legend(facts, more),
        grouped_bars("Share of questions answered right, in percent", &groups)
    );
    let note = "<p class=\"note\">Exact match after trimming: Unicode NFKC, lower case, spaces and final punctuation do not count; listed aliases are accepted. Whiskers are 95% Wilson intervals. ± is one standard error, clustered by what is asked about. “Right kind” counts answers that are some city where a city was asked for, right or wrong. “Against” is the difference on the same questions in points, with the p value of McNemar's exact test.</p>\n";
    section("Right answers", &format!("{chart}{tables}{note}"))
}

/// The last rows of a table are guesses and set apart.
fn mark_guesses(html: &str, models: usize) -> String {
    let mut rows = 0;
    html.lines()
        .map(|line| {
            if line.starts_with("<tr>") {
                rows += 1;
            }
            if rows > models && line.starts_with("<tr>") {
                format!("{}\n", line.replacen("<tr>", "<tr class=\"guess\">", 1))
            } else {
                format!("{line}\n")
            }
        })
        .collect()
}

fn plus_minus(row: Option<&ResultRow>) -> Cell {
    let Some(row) = row else { return Cell::num("–") };
    let error = row.stderr.map(|e| format!(" <span class=\"pm\">± {:.1}</span>", 100.0 * e)).unwrap_or_default();
    Cell::html(format!("{}{error}", percent(row.value)), "num")
}

fn difference(row: &ResultRow) -> Cell {
    let p = row.p_value.unwrap_or(1.0);
    Cell::html(format!("{:+.1} <span class=\"pm\">{}</span>", 100.0 * row.value, p_value(p)), "num")
}

/// Wrong answers of the right kind, most instructive first.
pub(super) fn wrong(facts: &Facts<'_>) -> String {
    let mut body = String::new();
    for model in &facts.models {
        for task in facts.tasks.tasks.iter().rev() {
            let rows = facts.answers.of(&model.name, &task.name);
            let wrong: Vec<_> = rows.iter().filter(|r| !r.correct && r.in_type == Some(true)).collect();
            // A model for which such answers are rare has no habit of them.
            if wrong.len() * 20 < rows.len() || wrong.is_empty() {
                continue;
            }
            let step = (wrong.len() / facts.wrong_examples.max(1)).max(1);
            let cells: Vec<Vec<Cell>> = wrong
                .iter()
                .step_by(step)
                .take(facts.wrong_examples)
                .map(|r| vec![Cell::text(&r.prompt), Cell::html(span("wrong", &format!("✗ {}", r.completion)), ""), Cell::text(&r.target)])
                .collect();
            let _ = write!(
                body,
                "<h3>{} on {}</h3><p>{} of {} answers are of the right kind and wrong.</p>\n{}",
                escape(&model.name),
                escape(&task.name),
                grouped(wrong.len() as u64),
                grouped(rows.len() as u64),
                table(&[Cell::text("Question"), Cell::text("Answer"), Cell::text("Right")], &cells)
            );
            break;
        }
    }
    section("Well-formed and wrong", &body)
}

/// Scores by relation, beside what the most frequent answer would get.
pub(super) fn relations(facts: &Facts<'_>) -> String {
    let Some(task) = facts.tasks.tasks.last() else { return String::new() };
    let mut by: BTreeMap<&str, Vec<&crate::tasks::Question>> = BTreeMap::new();
    for q in &task.questions {
        if let Some(relation) = &q.relation {
            by.entry(relation).or_default().push(q);
        }
    }
    if by.len() < 2 {
        return String::new();
    }
    let mut head = vec![Cell::text("Asked for"), Cell::num("questions")];
    head.extend(facts.models.iter().map(|m| Cell::num(&m.name)));
    head.extend([Cell::num("most frequent"), Cell::num("chance"), Cell::text("most frequent answers")]);
    let rows: Vec<Vec<Cell>> = by
        .iter()
        .filter_map(|(relation, questions)| {
            let guess = guessing(questions.iter().copied(), &facts.tasks.types)?;
            let mut row = vec![Cell::text(&relation.replace('_', " ")), Cell::num(grouped(questions.len() as u64))];
            for m in &facts.models {
                let rows: Vec<_> =
                    facts.answers.of(&m.name, &task.name).iter().filter(|r| r.relation.as_deref() == Some(relation)).collect();
                let right = rows.iter().filter(|r| r.correct).count();
                row.push(Cell::num(if rows.is_empty() { "–".into() } else { percent(right as f64 / rows.len() as f64) }));
            }
            row.extend([Cell::num(percent(guess.majority)), Cell::num(percent(guess.chance)), Cell::html(frequent(questions), "")]);
            Some(row)
        })
        .collect();
    section(&format!("By relation: {}", task.name), &table(&head, &rows))
}

/// The most frequent answer in each language.
fn frequent(questions: &[&crate::tasks::Question]) -> String {
    let mut by: BTreeMap<&str, BTreeMap<String, (usize, &str)>> = BTreeMap::new();
    for q in questions {
        by.entry(&q.language).or_default().entry(normalize(&q.answers[0])).or_insert((0, &q.answers[0])).0 += 1;
    }
    let best = by.values().filter_map(|answers| answers.values().max_by_key(|(n, _)| *n));
    best.map(|(n, text)| format!("{} <span class=\"pm\">×{n}</span>", span("", text))).collect::<Vec<_>>().join(", ")
}

/// Bits per byte.
pub(super) fn likelihood(facts: &Facts<'_>) -> String {
    let rows: Vec<Vec<Cell>> = facts
        .models
        .iter()
        .filter_map(|m| find(facts.results, &m.name, VALIDATION, BITS_PER_BYTE))
        .map(|r| {
            vec![
                Cell::text(&r.model),
                Cell::html(
                    format!("{:.3}{}", r.value, r.stderr.map(|e| format!(" <span class=\"pm\">± {e:.3}</span>")).unwrap_or_default()),
                    "num",
                ),
                Cell::num(grouped(r.num_samples)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let note = "<p class=\"note\">How many bits a model needs for one byte of text it has not seen, lower is better; 8 would be no compression at all. Unlike the loss of a token it can be compared between tokenizers.</p>\n";
    section(
        "Reading unseen text",
        &format!("{}{note}", table(&[Cell::text("Model"), Cell::num("bits per byte"), Cell::num("samples")], &rows)),
    )
}

/// Loss curves.
pub(super) fn losses(facts: &Facts<'_>) -> String {
    let mut body = String::new();
    let (pre, tuned): (Vec<_>, Vec<_>) = facts.training.iter().filter(|t| !t.train.is_empty()).partition(|t| !t.stage.starts_with("sft"));
    for (title, stages) in [("Pretraining", pre), ("Fine-tuning", tuned)] {
        if stages.is_empty() {
            continue;
        }
        let mut lines = Vec::new();
        let mut names = String::new();
        let mut said = String::new();
        for (series, t) in stages.iter().enumerate() {
            let series = series + 1;
            lines.push(Line { series, dashed: false, points: t.train.clone() });
            if !t.validation.is_empty() {
                lines.push(Line { series, dashed: true, points: t.validation.clone() });
            }
            let _ = write!(names, "<span><i class=\"s{series}\"></i>{}</span>", escape(&t.stage));
            if let (Some(first), Some(last)) = (t.train.first(), t.train.last()) {
                let held = t.validation.last().map(|v| format!(", {:.2} on validation", v.1)).unwrap_or_default();
                let _ = write!(
                    said,
                    "{} went from {:.2} to {:.2} nats a token in {:.0} steps{held}. ",
                    escape(&t.stage),
                    first.1,
                    last.1,
                    last.0
                );
            }
        }
        let _ = writeln!(
            body,
            "<h3>{title}</h3><p>{}</p><div class=\"legend\">{names}<span><i class=\"drawn\"></i>training</span><span><i class=\"dashed\"></i>validation</span></div><div class=\"chart\">{}</div>",
            said.trim_end(),
            curves(&format!("{title} loss over steps"), "optimizer steps", "loss in nats a token", &lines)
        );
    }
    section("Learning curves", &body)
}

/// Steps at which samples are shown, at most; the rest stands in the file.
const SAMPLE_STEPS: usize = 6;

/// What the models wrote while they learned.
pub(super) fn samples(facts: &Facts<'_>) -> String {
    let mut body = String::new();
    for training in facts.training.iter().filter(|t| !t.samples.is_empty()) {
        let mut steps: Vec<u64> = training.samples.iter().map(|sample| sample.0).collect();
        steps.dedup();
        let shown: Vec<u64> =
            (0..steps.len().min(SAMPLE_STEPS)).map(|i| steps[(i + 1) * steps.len() / steps.len().min(SAMPLE_STEPS) - 1]).collect();
        let mut prompts: Vec<&str> =
            training.samples.iter().filter(|sample| sample.0 == steps[0]).map(|sample| sample.1.as_str()).collect();
        prompts.dedup();
        let head: Vec<Cell> =
            std::iter::once(Cell::text("Step")).chain(prompts.iter().map(|prompt| Cell::text(&format!("{prompt} …")))).collect();
        let row = |step: &u64| {
            let completion =
                |prompt: &&str| training.samples.iter().find(|(s, p, _)| s == step && p == prompt).map_or("", |sample| &sample.2);
            std::iter::once(Cell::text(&step.to_string())).chain(prompts.iter().map(|prompt| Cell::text(completion(prompt)))).collect()
        };
        let rows: Vec<Vec<Cell>> = shown.iter().map(row).collect();
        let _ = writeln!(body, "<h3>{}</h3>{}", escape(&training.stage), table(&head, &rows));
    }
    if body.is_empty() { body } else { section("What it wrote while it learned", &body) }
}

/// Sizes of the models.
pub(super) fn models(facts: &Facts<'_>) -> String {
    let rows: Vec<Vec<Cell>> = facts
        .models
        .iter()
        .map(|m| {
            let origin = if m.random { format!("shape of {}, random weights", m.from) } else { m.from.clone() };
            let trained = match (m.adapter_params, m.params) {
                _ if m.random => "0".to_owned(),
                (Some(a), Some(p)) => format!("{} ({})", grouped(a), percent(a as f64 / p.max(1) as f64)),
                (None, Some(p)) => format!("{} (all)", grouped(p)),
                _ => "–".to_owned(),
            };
            vec![Cell::text(&m.name), Cell::text(&origin), Cell::num(m.params.map_or("–".into(), grouped)), Cell::num(trained)]
        })
        .collect();
    section(
        "The models",
        &table(&[Cell::text("Model"), Cell::text("From"), Cell::num("parameters"), Cell::num("trained in its last stage")], &rows),
    )
}

/// What became of the data, stage by stage.
pub(super) fn data(facts: &Facts<'_>) -> String {
    let stages: String = facts.data.iter().map(data_stage).collect();
    if stages.is_empty() { String::new() } else { section("From pages to training rows", &format!("<div class=\"flow\">{stages}</div>\n")) }
}

fn data_stage(stage: &DataStage) -> String {
    let refused: u64 = stage.rejected.iter().map(|r| r.1).sum();
    let total = stage.kept + refused;
    let mut bar = String::new();
    let mut legend = String::new();
    if refused > 0 {
        let width = |n: u64| 100.0 * n as f64 / total.max(1) as f64;
        let _ = write!(
            bar,
            "<div class=\"bar\" role=\"img\" aria-label=\"{} of {} kept\"><span class=\"kept\" style=\"width:{:.2}%\"></span>",
            stage.kept,
            total,
            width(stage.kept)
        );
        let _ = write!(legend, "<div class=\"legend\"><span><i class=\"kept\"></i>kept {}</span>", grouped(stage.kept));
        const COLOURS: [usize; 7] = [2, 5, 1, 4, 7, 6, 0];
        for (i, (reason, n)) in stage.rejected.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let _ = write!(bar, "<span class=\"s{colour}\" style=\"width:{:.2}%\"></span>", width(*n));
            let _ = write!(legend, "<span><i class=\"s{colour}\"></i>{} {}</span>", escape(&reason.replace('_', " ")), grouped(*n));
        }
        bar.push_str("</div>");
        legend.push_str("</div>");
    }
    let units = format!("{} {}", grouped(stage.units), if stage.units == 1 { "unit of work" } else { "units of work" });
    let counts: Vec<String> = std::iter::once(units)
        .chain(stage.counts.iter().map(|(name, n)| format!("{} {}", grouped(*n), escape(&name.replace('_', " ")))))
        .collect();
    let counts = format!("<div class=\"note\">{}</div>", counts.join(" · "));
    let said = if refused > 0 {
        format!(
            "{} rows kept of {} ({}), {:.1} MB.",
            grouped(stage.kept),
            grouped(total),
            percent(stage.kept as f64 / total.max(1) as f64),
            stage.bytes as f64 / 1e6
        )
    } else {
        format!("{} rows, {:.1} MB.", grouped(stage.kept), stage.bytes as f64 / 1e6)
    };
    format!("<div class=\"stage\"><h3>{}</h3><div>{said}</div>{bar}{legend}{counts}</div>\n", escape(&stage.name))
}

/// Where to look further.
pub(super) fn files(facts: &Facts<'_>) -> String {
    let run = escape(&facts.run);
    let body = format!(
        "<p>Every answer is a row of <code>runs/{run}/eval/data/*.parquet</code>, every score a row of <code>runs/{run}/eval/results.json</code>; both open in DuckDB:</p>\n<pre><code>select model, relation, avg(correct::int) from 'runs/{run}/eval/data/*.parquet' group by all order by all;\nselect model, task, value from 'runs/{run}/eval/results.json' where metric = 'exact_match';</code></pre>\n"
    );
    section("Look further", &body)
}
