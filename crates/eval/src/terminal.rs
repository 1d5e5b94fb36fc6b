//! The scores and the side-by-side answers for a terminal of 80 to 100 columns.

use std::fmt::Write as _;

use crate::facts::{Facts, Shown};
use crate::results::{BITS_PER_BYTE, EXACT_MATCH, IN_TYPE_RATE, VALIDATION, find, slices};
use crate::width::{fit, pad, pad_left, width};

/// Cells of a line.
const COLUMNS: usize = 96;
/// Narrowest useful column of the side-by-side table.
const NARROWEST: usize = 14;

/// All of it: scores by task, bits per byte, answers.
pub fn render(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    for task in &facts.tasks.tasks {
        scores(&mut out, facts, task);
    }
    likelihood(&mut out, facts);
    answers(&mut out, facts);
    out.trim_end().to_owned()
}

fn scores(out: &mut String, facts: &Facts<'_>, task: &crate::tasks::Task) {
    let parts = slices(task, &facts.tasks.types);
    let names = facts.models.iter().map(|m| width(&m.name)).max().unwrap_or(0).max("always the most frequent".len()) + 2;
    let _ = writeln!(out, "{}: {} questions, right answers in % ± standard error", task.name, task.questions.len());
    let mut head = pad("", names);
    for part in &parts {
        head += &pad_left(part.language.as_deref().unwrap_or("all"), 13);
    }
    let _ = writeln!(out, "{head}{}", pad_left("right kind", 13));
    for model in &facts.models {
        if find(facts.results, &model.name, &task.name, EXACT_MATCH).is_none() {
            continue;
        }
        let mut line = pad(&format!("  {}", model.name), names);
        for part in &parts {
            let cell = find(facts.results, &model.name, &part.name, EXACT_MATCH).map_or_else(|| "–".into(), |r| score(r.value, r.stderr));
            line += &pad_left(&cell, 13);
        }
        let kind = facts.value(&model.name, &task.name, IN_TYPE_RATE).map_or_else(|| "–".into(), |v| score(v, None));
        let _ = writeln!(out, "{line}{}", pad_left(&kind, 13));
    }
    for (name, value) in [("  always the most frequent", true), ("  chance", false)] {
        let mut line = pad(name, names);
        for part in &parts {
            let v = if value { part.guessing.majority } else { part.guessing.chance };
            line += &pad_left(&score(v, None), 13);
        }
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
}

fn score(value: f64, stderr: Option<f64>) -> String {
    stderr.map_or_else(|| format!("{:.1}     ", 100.0 * value), |e| format!("{:.1} ±{:<4.1}", 100.0 * value, 100.0 * e))
}

fn likelihood(out: &mut String, facts: &Facts<'_>) {
    let rows: Vec<_> = facts.models.iter().filter_map(|m| find(facts.results, &m.name, VALIDATION, BITS_PER_BYTE)).collect();
    let Some(first) = rows.first() else { return };
    let _ = writeln!(out, "bits per byte on {} validation samples (lower is better)", first.num_samples);
    let names = rows.iter().map(|r| width(&r.model)).max().unwrap_or(0) + 4;
    for row in &rows {
        let _ = writeln!(out, "{}{:>7.3}", pad(&format!("  {}", row.model), names), row.value);
    }
    out.push('\n');
}

fn answers(out: &mut String, facts: &Facts<'_>) {
    if facts.shown.is_empty() || facts.models.is_empty() {
        return;
    }
    let column = (COLUMNS - 2) / facts.models.len();
    let _ = writeln!(out, "the same questions put to every model (✓ right, ✗ wrong)");
    if column >= NARROWEST {
        let head: String = facts.models.iter().map(|m| pad(&fit(&m.name, column - 1), column)).collect();
        let _ = writeln!(out, "  {}", head.trim_end());
        let _ = writeln!(out, "  {}", "─".repeat(COLUMNS - 2));
    }
    for shown in &facts.shown {
        heading(out, shown);
        if column >= NARROWEST {
            let line: String = shown.answers.iter().map(|a| pad(&fit(&given(a.as_ref()), column - 1), column)).collect();
            let _ = writeln!(out, "  {}", line.trim_end());
        } else {
            let names = facts.models.iter().map(|m| width(&m.name)).max().unwrap_or(0) + 2;
            for (model, a) in facts.models.iter().zip(&shown.answers) {
                let _ = writeln!(out, "  {}{}", pad(&model.name, names), fit(&given(a.as_ref()), COLUMNS - names - 2));
            }
        }
    }
}

fn heading(out: &mut String, shown: &Shown) {
    let kind = if shown.plain { "continue: " } else { "" };
    let target = shown.target.as_ref().map(|t| format!("  → {t}")).unwrap_or_default();
    let room = COLUMNS.saturating_sub(width(&target) + width(kind)).max(20);
    let _ = writeln!(out, "{kind}{}{target}", fit(&shown.prompt, room));
}

fn given(answer: Option<&crate::facts::Given>) -> String {
    let Some(answer) = answer else { return "–".into() };
    let text = if answer.text.is_empty() { "(nothing)" } else { &answer.text };
    match answer.correct {
        Some(true) => format!("✓ {text}"),
        Some(false) => format!("✗ {text}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{Sample, sample};

    #[test]
    fn lines_fit_and_columns_stand_under_each_other() {
        let Sample { tasks, answers, results } = sample();
        let facts = crate::report::tests::facts(&tasks, &answers, &results);
        let text = render(&facts);
        for line in text.lines() {
            assert!(width(line) <= 100, "{} cells: {line}", width(line));
        }
        assert!(text.contains("✓ 珠穆朗玛峰") && text.contains("✗ 姚明"), "{text}");
        let column = |needle: &str| {
            let line = text.lines().find(|l| l.contains(needle)).unwrap();
            width(&line[..line.find(needle).unwrap()])
        };
        let header = text.lines().find(|l| l.contains("sft-only") && l.contains("pretrain")).unwrap();
        assert_eq!(column("✓ 珠穆朗玛峰"), width(&header[..header.rfind("sft").unwrap()]), "{text}");
    }
}
