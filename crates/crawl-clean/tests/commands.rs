//! The commands that look at a run: `report` and `inspect`, as a user calls them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{page, record};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn pipeline(folder: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    for topic in ["river", "harbour", "bridge", "meadow"] {
        bytes.extend(record(&format!("http://a.example/{topic}"), &page(topic)));
    }
    bytes.extend(record("http://a.example/copy", &page("river")));
    bytes.extend(record("http://a.example/short", "<p>Too short to keep, and with a { bracket."));
    let chinese = "这条河发源于群山之中，太短了。";
    bytes.extend(record("http://a.example/zh", &format!("<p>{chinese}</p>")));
    bytes.extend(record("http://a.example/fr", "<p>Le fleuve prend sa source dans les montagnes et traverse trois pays avant la mer.</p>"));
    std::fs::write(folder.join("a.warc.gz"), bytes).unwrap();
    let path = folder.join("p.toml");
    std::fs::write(&path, "run = \"r\"\nseed = 1\n[stage.crawl-clean]\ninputs = [\"a.warc.gz\"]\n").unwrap();
    path
}

fn call(pipeline: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crawl-clean"));
    command.args(words).args(["--quiet", "--config"]).arg(pipeline).arg("--run").arg(pipeline.with_file_name("run"));
    command.output().unwrap()
}

fn shown(pipeline: &Path, words: &[&str]) -> String {
    let output = call(pipeline, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Columns on a terminal, Han and full-width marks taking two.
fn width(line: &str) -> usize {
    line.chars().map(|c| if matches!(c as u32, 0x2E80..=0x9FFF | 0xFF00..=0xFF60) { 2 } else { 1 }).sum()
}

#[test]
fn the_report_is_the_funnel_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = pipeline(dir.path());
    let early = call(&pipeline, &["report"]);
    let said = String::from_utf8(early.stderr).unwrap();
    assert!(!early.status.success() && said.contains("nothing is done yet") && said.contains("run the stage first"), "{said}");
    shown(&pipeline, &[]);
    let report = shown(&pipeline, &["report"]);
    let row = |name: &str| -> Vec<String> {
        let line = report
            .lines()
            .find(|line| !line.starts_with("   ") && line.split_whitespace().next() == Some(name))
            .unwrap_or_else(|| panic!("{name}: {report}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert!(report.lines().all(|line| width(line) <= 80), "{report}");
    assert_eq!(row("pages")[1..4], ["8", "100.0", "%"]);
    assert_eq!(row("language")[1..5], ["-1", "12.5", "%", "7"]);
    assert_eq!(row("filter")[1..5], ["-2", "25.0", "%", "5"]);
    assert_eq!(row("too_short")[1..3], ["-2", "25.0"]);
    assert_eq!(row("duplicates")[1..5], ["-1", "12.5", "%", "4"]);
    assert_eq!(row("kept")[1..3], ["4", "50.0"]);
    // Time stands behind the steps that took any.
    assert_eq!(row("extract").len(), 6, "{report}");
}

#[test]
fn refused_text_stands_beside_kept_text() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = pipeline(dir.path());
    shown(&pipeline, &[]);
    let view = shown(&pipeline, &["inspect", "--reason", "too_short", "-n", "20"]);
    assert!(view.starts_with("2 refused for too_short"), "{view}");
    assert!(view.lines().all(|line| width(line) <= 80), "{view}");
    for part in
        ["Too short to keep", "kept: http://a.example/", "value 8.0000, threshold 50.0000", "and 2 more rules", "这条河发源于群山之中"]
    {
        assert!(view.contains(part), "{part}: {view}");
    }
    // Chinese is shown beside Chinese, of which nothing was kept here.
    assert!(view.contains("none kept in this language"), "{view}");
    assert_eq!(shown(&pipeline, &["inspect", "--reason", "too_short", "-n", "1"]).matches("refused: ").count(), 1);
    // A duplicate stands beside what it repeats, with the whole id.
    let copies = shown(&pipeline, &["inspect", "--reason", "duplicate_exact"]);
    assert!(copies.contains("refused: http://a.example/copy") && copies.contains("kept: http://a.example/river"), "{copies}");
    let id = copies.split("repeats ").nth(1).unwrap().lines().next().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{copies}");
    assert_eq!(shown(&pipeline, &["inspect", "--reason", "charset"]), "nothing was refused for charset\n");
    let wrong = call(&pipeline, &["inspect", "--reason", "too_shrot"]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    assert!(said.contains("too_shrot") && said.contains("hint"), "{said}");
}

#[test]
fn the_report_names_files_that_are_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = pipeline(dir.path());
    std::fs::write(&pipeline, "run = \"r\"\nseed = 1\n[stage.crawl-clean]\ninputs = [\"a.warc.gz\", \"*.parquet\"]\n").unwrap();
    std::fs::write(dir.path().join("b.parquet"), b"PAR1 and nothing more").unwrap();
    assert_eq!(call(&pipeline, &[]).status.code(), Some(1));
    let report = shown(&pipeline, &["report"]);
    assert!(report.contains("1 input files are not done:\n  b.parquet: cannot read `"), "{report}");
    std::fs::remove_file(dir.path().join("b.parquet")).unwrap();
    assert!(shown(&pipeline, &["report"]).contains("The inputs cannot be looked at: nothing to read in `"));
}

#[test]
fn capped_rows_are_shown_as_far_as_they_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    let short = |n: u32| record(&format!("http://a.example/{n}"), &format!("<p>Too short to keep, {n}.</p>"));
    for file in 0..3 {
        let bytes: Vec<u8> = (10 * file..10 * file + 10).flat_map(short).collect();
        std::fs::write(dir.path().join(format!("{file}.warc.gz")), bytes).unwrap();
    }
    std::fs::write(
        &path,
        "run = \"r\"\nseed = 1\n[stage.crawl-clean]\ninputs = [\"*.warc.gz\"]\nlanguage.enabled = false\nrejected_per_reason = 1\n",
    )
    .unwrap();
    shown(&path, &[]);
    let view = shown(&path, &["inspect", "--reason", "too_short", "-n", "2"]);
    assert!(view.starts_with("30 refused for too_short, 3 of them kept in rejected/; 2 of them beside kept text\n"), "{view}");
    assert_eq!(view.matches("refused: http://a.example/").count(), 2, "{view}");
}
