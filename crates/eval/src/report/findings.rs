//! Sentences about the results, each made from the figures it names and left out where they do not bear it.

use super::html::{escape, percent};
use crate::facts::Facts;
use crate::results::{BITS_PER_BYTE, DIFFERENCE, EXACT_MATCH, IN_TYPE_RATE, ResultRow, VALIDATION, find, slices};
use crate::tasks::Task;

/// A share of right-kind answers from which a model counts as knowing the form of an answer.
const WELL_FORMED: f64 = 0.5;
/// How far the share of right answers must lie below that of right-kind ones to call it form without facts.
const GAP: f64 = 0.3;
/// Below this probability a paired difference is called one.
const SIGNIFICANT: f64 = 0.05;

/// The findings as HTML, most important first.
pub(super) fn findings(facts: &Facts<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for task in &facts.tasks.tasks {
        out.extend(best(facts, task));
    }
    out.extend(form_without_facts(facts));
    out.extend(reads_but_does_not_answer(facts));
    out.extend(adapters(facts));
    out.extend(languages(facts));
    out.extend(likelihood(facts));
    out
}

fn name(text: &str) -> String {
    format!("<b>{}</b>", escape(text))
}

fn with_error(row: &ResultRow) -> String {
    row.stderr.map_or_else(|| percent(row.value), |e| format!("{} ± {:.1}", percent(row.value), 100.0 * e))
}

fn top<'a>(facts: &'a Facts<'_>, task: &str, metric: &str) -> Option<&'a ResultRow> {
    let rows = facts.models.iter().rev().filter_map(|m| find(facts.results, &m.name, task, metric));
    rows.max_by(|a, b| a.value.total_cmp(&b.value))
}

fn best(facts: &Facts<'_>, task: &Task) -> Option<String> {
    let row = top(facts, &task.name, EXACT_MATCH)?;
    if row.value <= 0.0 {
        return Some(format!("No model answers any of the {} questions of {} right.", row.num_samples, name(&task.name)));
    }
    Some(format!(
        "On {}, {} answers {} of {} questions right; always giving the most frequent answer would get {}, guessing among the known answers {}.",
        name(&task.name),
        name(&row.model),
        with_error(row),
        row.num_samples,
        percent(row.majority?),
        percent(row.chance?)
    ))
}

/// The model that most often says something well-formed and wrong, and where the same model is right.
fn form_without_facts(facts: &Facts<'_>) -> Option<String> {
    let mut worst: Option<(f64, &str, &str)> = None;
    for model in &facts.models {
        for task in &facts.tasks.tasks {
            let (Some(kind), Some(right)) =
                (facts.value(&model.name, &task.name, IN_TYPE_RATE), facts.value(&model.name, &task.name, EXACT_MATCH))
            else {
                continue;
            };
            if kind >= WELL_FORMED && kind - right >= GAP && worst.is_none_or(|w| kind - right > w.0) {
                worst = Some((kind - right, &model.name, &task.name));
            }
        }
    }
    let (_, model, task) = worst?;
    let (kind, right) = (facts.value(model, task, IN_TYPE_RATE)?, facts.value(model, task, EXACT_MATCH)?);
    let elsewhere = facts
        .tasks
        .tasks
        .iter()
        .filter(|t| t.name != task)
        .filter_map(|t| find(facts.results, model, &t.name, EXACT_MATCH))
        .max_by(|a, b| a.value.total_cmp(&b.value));
    let contrast = elsewhere
        .filter(|r| r.value > right + GAP)
        .map(|r| format!(", though it answers {} of {} right", percent(r.value), name(&r.task)))
        .unwrap_or_default();
    Some(format!(
        "On {}, {} gives an answer of the right kind {} of the time and the right answer {}{contrast}: it has learned what an answer looks like, not these facts.",
        name(task),
        name(model),
        percent(kind),
        percent(right)
    ))
}

/// A model that predicts the text well and still answers next to nothing.
fn reads_but_does_not_answer(facts: &Facts<'_>) -> Option<String> {
    let worst = top(facts, VALIDATION, BITS_PER_BYTE)?;
    let reader = facts.models.iter().filter_map(|m| {
        let bits = find(facts.results, &m.name, VALIDATION, BITS_PER_BYTE)?;
        let answers: Vec<_> = facts.tasks.tasks.iter().filter_map(|t| find(facts.results, &m.name, &t.name, EXACT_MATCH)).collect();
        let silent = !answers.is_empty() && answers.iter().all(|r| r.value <= r.majority.unwrap_or(0.0).max(0.02));
        (bits.value < 0.8 * worst.value && silent).then_some((bits, answers))
    });
    let (bits, answers) = reader.min_by(|a, b| a.0.value.total_cmp(&b.0.value))?;
    let most = answers.iter().map(|r| r.value).fold(0.0, f64::max);
    let continued = right_continuations(facts, &bits.model);
    Some(format!(
        "{} needs only {:.3} bits for a byte of unseen text ({} needs {:.3}), yet asked a question it is right at most {} of the time{continued}: it has read the facts but was never shown what a question is.",
        name(&bits.model),
        bits.value,
        name(&worst.model),
        worst.value,
        percent(most)
    ))
}

/// What the same model does when it may continue a sentence instead, from the side-by-side questions.
fn right_continuations(facts: &Facts<'_>, model: &str) -> String {
    let Some(at) = facts.models.iter().position(|m| m.name == model) else { return String::new() };
    let marks: Vec<bool> = facts.shown.iter().filter(|s| s.plain).filter_map(|s| s.answers.get(at)?.as_ref()?.correct).collect();
    match marks.iter().filter(|c| **c).count() {
        0 => String::new(),
        right => format!(", though of {} sentences begun for it, it ends {right} right", marks.len()),
    }
}

/// Models that trained an adapter only, against the model of the same kind that trained everything.
fn adapters(facts: &Facts<'_>) -> Vec<String> {
    let Some(baseline) = &facts.baseline else { return Vec::new() };
    let mut out = Vec::new();
    for model in facts.models.iter().filter(|m| m.name != *baseline) {
        let (Some(trained), Some(all)) = (model.adapter_params, model.params) else { continue };
        for task in &facts.tasks.tasks {
            let Some(row) = find(facts.results, &model.name, &task.name, DIFFERENCE) else { continue };
            let p = row.p_value.unwrap_or(1.0);
            let verdict = if p < SIGNIFICANT { "more than chance would explain" } else { "no more than chance would explain" };
            let side = if row.value < 0.0 { "below" } else { "above" };
            out.push(format!(
                "{} trains {} of the parameters; on {} it is {:.1} points {side} {} ({verdict}, {}).",
                name(&model.name),
                percent(trained as f64 / all as f64),
                name(&task.name),
                100.0 * row.value.abs(),
                name(baseline),
                p_value(p)
            ));
        }
    }
    out
}

/// `p = 0.123`, or `p < 0.001` as HTML: no false precision.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "p &lt; 0.001".into() } else { format!("p = {p:.3}") }
}

/// The largest gap between two languages of a task for its best model, if it is larger than twice its error.
fn languages(facts: &Facts<'_>) -> Option<String> {
    let task = facts.tasks.tasks.last()?;
    let model = &top(facts, &task.name, EXACT_MATCH)?.model;
    let mut rows: Vec<_> = slices(task, &facts.tasks.types)
        .into_iter()
        .filter_map(|s| Some((s.language?, find(facts.results, model, &s.name, EXACT_MATCH)?)))
        .collect();
    rows.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
    let ((high_language, high), (low_language, low)) = (rows.first()?, rows.last()?);
    let error = (high.stderr?.powi(2) + low.stderr?.powi(2)).sqrt();
    let known = high.value - low.value > 2.0 * error && high_language != low_language;
    known.then(|| {
        format!(
            "On {}, {} is right {} of the time in {} and {} in {}.",
            name(&task.name),
            name(model),
            percent(high.value),
            language(high_language),
            percent(low.value),
            language(low_language)
        )
    })
}

fn language(tag: &str) -> String {
    match tag {
        "en" => "English".into(),
        "zh" => "Chinese".into(),
        other => escape(other),
    }
}

fn likelihood(facts: &Facts<'_>) -> Option<String> {
    let rows: Vec<_> = facts.models.iter().filter_map(|m| find(facts.results, &m.name, VALIDATION, BITS_PER_BYTE)).collect();
    let least = rows.iter().min_by(|a, b| a.value.total_cmp(&b.value))?;
    let most = rows.iter().max_by(|a, b| a.value.total_cmp(&b.value))?;
    (most.value > 1.05 * least.value).then(|| {
        format!(
            "Unseen text costs {} {:.3} bits a byte, the least, and {} {:.3}, the most.",
            name(&least.model),
            least.value,
            name(&most.model),
            most.value
        )
    })
}
