//! `crawl-clean report`: the funnel of a run, from the counts that every unit's manifest entry keeps.

use crate::error::Error;
use crate::reason::{Reason, Step};
use crate::run::describe;
use crate::{Config, CrawlClean, input, units};
use handoff::Manifest;
use stage::{Command, StageContext, StageError};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The command.
#[must_use]
pub fn command() -> Command<CrawlClean> {
    let clap = clap::Command::new("report").about("Prints the funnel of a run: documents, bytes and time by step and reason");
    Command { clap, run: |ctx, config: &Config, _| report(ctx, config).map_err(StageError::from) }
}

/// Files named at most that are not done.
const FILES: usize = 10;

fn report(ctx: &StageContext, config: &Config) -> Result<String, Error> {
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
    Ok(funnel(&counts, manifest.units().len(), wall) + &not_done(ctx, config, &manifest))
}

/// Names input files that nothing came of yet, with why where it can be told.
fn not_done(ctx: &StageContext, config: &Config, manifest: &Manifest) -> String {
    let mut files = match units::files(ctx, config) {
        Ok(files) => files,
        Err(error) => return format!("\nThe inputs cannot be looked at: {}\n", describe(&error)),
    };
    files.retain(|unit, _| !manifest.units().contains_key(unit));
    if files.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{} input files are not done:\n", files.len());
    for file in files.values().take(FILES) {
        let opened = input::open(&file.path, &file.name, config);
        let why = opened.err().map_or("not read yet, or not to its end".into(), |error| describe(&error));
        let _ = writeln!(out, "  {}: {why}", file.name);
    }
    if files.len() > FILES {
        let _ = writeln!(out, "  and {} more", files.len() - FILES);
    }
    out
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
    let text: u64 = Reason::ALL.iter().map(|reason| get(&format!("bytes.{reason}"))).sum();
    let text = text + get("kept.text_bytes");
    line(row("pages", &pages.to_string(), &share(pages), &pages.to_string(), &megabytes(text), ""));
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
    let tasks = counts.iter().filter_map(|(name, n)| Some((format!("questions of {}", name.strip_prefix("contaminated.")?), *n)));
    let extras = [
        ("lines removed by edits", get("edited.lines")),
        ("repeated lines taken out", get("removed.lines")),
        ("repeated runs taken out", get("removed.spans")),
        ("e-mail addresses replaced", get("pii.emails")),
        ("telephone numbers replaced", get("pii.phones")),
        ("IP addresses replaced", get("pii.ips")),
        ("identity numbers replaced", get("pii.ids")),
        ("bank cards replaced", get("pii.cards")),
    ];
    let extras = extras.map(|(name, n)| (name.to_owned(), n)).into_iter().chain(tasks).filter(|(_, n)| *n > 0);
    for (i, (name, n)) in extras.enumerate() {
        if i == 0 {
            line(String::new());
        }
        line(format!("{name:<28}{n:>10}"));
    }
    let _ =
        writeln!(out, "\nSeconds are of all threads together; text is as it was refused or kept.\nRefused text: `crawl-clean inspect`.");
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
        Step::Read => &["read"],
        Step::Extract => &["extract"],
        Step::Language => &["language"],
        Step::Filter => &["filter", "pii"],
        Step::Decontaminate => &["decontaminate"],
        Step::Duplicates => &["signature", "decide"],
    };
    let micros: u64 = parts.iter().filter_map(|part| counts.get(&format!("micros.{part}"))).sum();
    format!("{:.2}", micros as f64 / 1e6)
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
            ("micros.read", 250_000),
            ("removed.lines", 7),
            ("removed.spans", 4),
            ("contaminated.world_qa", 2),
        ];
        let counts = counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        let text = funnel(&counts, 1, 2.0);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let find =
            |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(find("filter"), ["filter", "-2", "20.0", "%", "6", "2.00", "1.50"]);
        assert_eq!(find("duplicates"), ["duplicates", "-1", "10.0", "%", "5", "0.00"]);
        assert_eq!(find("kept"), ["kept", "5", "50.0", "%", "123456.79"]);
        let pages = text.lines().find(|line| line.starts_with("pages")).unwrap();
        assert_eq!(pages.split_whitespace().collect::<Vec<_>>(), ["pages", "10", "100.0", "%", "10", "123458.79"]);
        assert_eq!(find("read"), ["read", "-1", "10.0", "%", "9", "0.25"]);
        assert_eq!(find("repeated lines")[4..], ["7"]);
        assert_eq!(find("repeated runs")[4..], ["4"]);
        assert_eq!(find("questions of world_qa")[3..], ["2"]);
        assert!(!text.contains("bank cards"));
    }
}
