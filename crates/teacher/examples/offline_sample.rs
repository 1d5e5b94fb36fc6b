//! Runs the offline teacher over a text and prints its pairs, for a person to read and judge.
//!
//! `cargo run --release -p teacher --example offline_sample -- FILE [--sample N] [--seed S] [--rules]`
//!
//! FILE is plain text, or JSON in the layout of SQuAD, whose contexts are taken as documents.
//! Each line is: rule, question, answer, sentence, separated by tabs; `--sample N` prints N of them,
//! evenly spread by a hash that `--seed` changes.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use teacher::offline::{RuleLanguage, find};

fn documents(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read `{path}`: {e}"))?;
    let text = text.trim_start_matches('\u{feff}');
    if !path.ends_with(".json") {
        return Ok(text.split("\n\n").map(str::to_owned).collect());
    }
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("cannot parse `{path}`: {e}"))?;
    let paragraphs = json["data"].as_array().into_iter().flatten().flat_map(|d| d["paragraphs"].as_array().into_iter().flatten());
    Ok(paragraphs.filter_map(|p| p["context"].as_str()).map(|c| c.trim_start_matches('\u{feff}').to_owned()).collect())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().position(|a| a == name);
    let number = |name: &str| option(name).and_then(|i| arguments.get(i + 1)).and_then(|n| n.parse::<u64>().ok());
    let sample = number("--sample").and_then(|n| usize::try_from(n).ok());
    let seed = number("--seed").unwrap_or(7);
    let mut out = std::io::stdout().lock();
    let Some(path) = arguments.first() else {
        let _ = writeln!(std::io::stderr(), "usage: offline_sample FILE [--sample N] [--seed S] [--rules]");
        return ExitCode::from(2);
    };
    let documents = match documents(path) {
        Ok(documents) => documents,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let mut lines = Vec::new();
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for document in &documents {
        let Some(language) = RuleLanguage::of(corpus::language(document).tag) else { continue };
        for found in find(document, language) {
            *by_rule.entry(found.rule).or_default() += 1;
            let answer = &document[found.answer.clone()];
            let sentence = corpus::sentences(document).into_iter().find(|s| s.contains(&found.answer.start)).map_or("", |s| &document[s]);
            lines.push(format!("{}\t{}\t{}\t{}", found.rule, found.question, answer, sentence.replace('\n', " ")));
        }
    }
    let total = lines.len();
    if let Some(count) = sample {
        lines.sort_by_key(|l| corpus::hash64(l.as_bytes(), seed));
        lines.truncate(count);
    }
    for line in &lines {
        let _ = writeln!(out, "{line}");
    }
    if option("--rules").is_some() {
        for (rule, count) in by_rule {
            let _ = writeln!(out, "# {rule}\t{count}");
        }
    }
    let _ = writeln!(out, "# {total} pairs from {} documents", documents.len());
    ExitCode::SUCCESS
}
