//! The embedded hard cases against what a person wrote down that should become of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{config, context, documents, fixtures, rejected, run};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn hard_cases_come_out_as_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = context(dir.path());
    run(&ctx, &config(&[&fixtures().join("reduced")])).unwrap();
    let kept: HashMap<String, _> = documents(&ctx).into_iter().map(|row| (row["url"].clone(), row)).collect();
    let refused: HashMap<String, _> = rejected(&ctx).into_iter().map(|row| (row["url"].clone(), row)).collect();
    let cases = std::fs::read_to_string(fixtures().join("expected/hard_cases.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let url = case["url"].as_str().unwrap();
        let list = |key: &str| case[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        match (case["verdict"].as_str().unwrap(), kept.get(url)) {
            ("kept" | "recoverable", None) => wrong.push(format!("{url} is not kept but {:?}", refused.get(url))),
            ("rejected" | "broken" | "ignored", Some(_)) => wrong.push(format!("{url} is kept")),
            ("rejected", None) if !refused.contains_key(url) => wrong.push(format!("{url} vanished")),
            _ => {}
        }
        let Some(row) = kept.get(url) else { continue };
        let text = &row["text"];
        wrong.extend(list("contains").iter().filter(|part| !text.contains(part.as_str())).map(|part| format!("{url} lacks {part}")));
        wrong.extend(
            list("excludes")
                .iter()
                .chain(&list("personal"))
                .filter(|part| text.contains(part.as_str()))
                .map(|part| format!("{url} has {part}")),
        );
        if let Some(charset) = case["charset"].as_str() {
            let wider = if charset == "gbk" { "gb18030" } else { charset };
            if !row["charset"].eq_ignore_ascii_case(wider) {
                wrong.push(format!("{url} was read as {} instead of {charset}", row["charset"]));
            }
        }
        if let Some(language) = case["language"].as_str()
            && !corpus::matches_tag(&row["language"], language)
        {
            wrong.push(format!("{url} is in {} instead of {language}", row["language"]));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
