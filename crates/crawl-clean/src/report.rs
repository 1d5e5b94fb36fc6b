//! `crawl-clean report`: the funnel of a run, from the counts that every unit's manifest entry keeps.

use crate::error::Error;
use crate::reason::{Reason, Step};
use crate::{Config, CrawlClean};
use handoff::Manifest;
use stage::{Command, StageContext, StageError};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The command.
#[must_use]
pub fn command() -> Command<CrawlClean> {
    let clap = clap::Command::new("report").about("Prints the funnel of a run: documents, bytes and time by step and reason");
    Command { clap, run: |ctx, _: &Config, _| report(ctx).map_err(StageError::from) }
}

fn report(ctx: &StageContext) -> Result<String, Error> {
    let manifest = Manifest::load(&ctx.stage_dir)?;
    if manifest.units().is_empty() {
        return Err(Error::NothingDone { path: ctx.stage_dir.data() });
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut wall = 0.0;
    for unit in manifest.in_order() {
        wall += unit.wall_secs;
        for (name, n) in &unit.counts {
            *counts.entry(name.clone()).or_default() += n;
        }
    }
    Ok(funnel(&counts, manifest.units().len(), wall))
}

/// The funnel as a table of at most 80 columns.
#[must_use]
pub fn funnel(counts: &BTreeMap<String, u64>, files: usize, wall_secs: f64) -> String {
    let get = |name: &str| counts.get(name).copied().unwrap_or(0);
    let pages = get("pages");
    let share = |n: u64| format!("{:.1} %", 100.0 * n as f64 / pages.max(1) as f64);
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(format!("{files} files, {} records, {} of them no pages; {wall_secs:.1} s, files added up", get("records"), get("records.other")));
    line(String::new());
    let row = |name: &str, pages: &str, share: &str, left: &str, bytes: &str, secs: &str| {
        format!("{name:<28}{pages:>10}{share:>10}{left:>10}{bytes:>11}{secs:>11}")
    };
    line(row("", "pages", "of all", "left", "text MB", "seconds"));
    line(row("pages", &pages.to_string(), &share(pages), &pages.to_string(), "", ""));
    let mut left = pages;
    for step in Step::ALL {
        let reasons: Vec<(Reason, u64)> = Reason::ALL
            .iter()
            .filter(|reason| reason.step() == step)
            .map(|&reason| (reason, get(&format!("rejected.{reason}"))))
            .filter(|(_, n)| *n > 0)
            .collect();
        let refused: u64 = reasons.iter().map(|(_, n)| n).sum();
        let bytes: u64 = reasons.iter().map(|(reason, _)| get(&format!("bytes.{reason}"))).sum();
        left = left.saturating_sub(refused);
        line(row(step.as_str(), &minus(refused), &share(refused), &left.to_string(), &megabytes(bytes), &secs(step, counts)));
        for (reason, n) in by_number(reasons) {
            let bytes = get(&format!("bytes.{reason}"));
            line(row(&format!("  {reason}"), &minus(n), &share(n), "", &megabytes(bytes), ""));
        }
    }
    line(row("kept", &get("kept").to_string(), &share(get("kept")), "", &megabytes(get("kept.text_bytes")), ""));
    let extras = [
        ("lines removed by edits", get("edited.lines")),
        ("e-mail addresses replaced", get("pii.emails")),
        ("telephone numbers replaced", get("pii.phones")),
        ("IP addresses replaced", get("pii.ips")),
        ("identity numbers replaced", get("pii.ids")),
        ("bank cards replaced", get("pii.cards")),
    ];
    if extras.iter().any(|(_, n)| *n > 0) {
        line(String::new());
        extras.iter().filter(|(_, n)| *n > 0).for_each(|(name, n)| line(format!("{name:<28}{n:>10}")));
    }
    let _ = writeln!(out, "\nSeconds are of all threads together. Refused text: `crawl-clean inspect`.");
    out
}

fn by_number(mut reasons: Vec<(Reason, u64)>) -> Vec<(Reason, u64)> {
    reasons.sort_by_key(|&(reason, n)| (std::cmp::Reverse(n), reason));
    reasons
}

fn minus(n: u64) -> String {
    if n == 0 { "0".into() } else { format!("-{n}") }
}

fn megabytes(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!("{:.2}", bytes as f64 / 1e6) }
}

/// Time of a step, all threads together.
fn secs(step: Step, counts: &BTreeMap<String, u64>) -> String {
    let parts: &[&str] = match step {
        Step::Read => &[],
        Step::Extract => &["extract"],
        Step::Language => &["language"],
        Step::Filter => &["filter", "pii"],
        Step::Decontaminate => &["decontaminate"],
        Step::Duplicates => &["signature", "decide"],
    };
    let micros: u64 = parts.iter().filter_map(|part| counts.get(&format!("micros.{part}"))).sum();
    if parts.is_empty() { String::new() } else { format!("{:.2}", micros as f64 / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_funnel_adds_up_and_fits_a_terminal() {
        let counts = [
            ("records", 12),
            ("records.other", 2),
            ("pages", 10),
            ("kept", 5),
            ("rejected", 5),
            ("rejected.http_status", 1),
            ("rejected.language", 1),
            ("rejected.too_short", 2),
            ("rejected.duplicate_near", 1),
            ("bytes.too_short", 2_000_000),
            ("micros.filter", 1_500_000),
            ("kept.text_bytes", 123_456_789_000),
            ("pii.emails", 3),
        ];
        let counts = counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        let text = funnel(&counts, 1, 2.0);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let find =
            |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(find("filter"), ["filter", "-2", "20.0", "%", "6", "2.00", "1.50"]);
        assert_eq!(find("duplicates"), ["duplicates", "-1", "10.0", "%", "5", "0.00"]);
        assert_eq!(find("kept"), ["kept", "5", "50.0", "%", "123456.79"]);
        assert!(!text.contains("bank cards"));
    }
}
