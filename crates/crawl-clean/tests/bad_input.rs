//! Every reader on what it reads, and on what it cannot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use common::{config, context, documents, page, read, record, rejected, run};
use stage::Exit;
use std::path::Path;
use std::sync::Arc;

fn parquet(path: &Path, columns: Vec<(&str, Vec<Option<String>>)>) {
    let columns = columns.into_iter().map(|(name, values)| (name, Arc::new(StringArray::from(values)) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// URLs of the texts, reasons of what was refused, and how the run ended.
type Cleaned = (Vec<String>, Vec<String>, Result<(), (Exit, String)>);

/// A run over one folder.
fn clean(fill: impl Fn(&Path)) -> Cleaned {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    fill(&input);
    let ctx = context(&dir.path().join("run"));
    let result = run(&ctx, &config(&[&input])).map(|_| ()).map_err(|e| (e.exit(), e.to_string()));
    let urls = documents(&ctx).into_iter().map(|row| row["url"].clone()).collect();
    let reasons = rejected(&ctx).into_iter().map(|row| row["reason"].clone()).collect();
    (urls, reasons, result)
}

fn text(topic: &str) -> String {
    page(topic).replace("<p>", "").replace("</p>", "\n").split("</nav>").nth(1).unwrap().replace("</body></html>", "")
}

#[test]
fn every_format_is_read() {
    let (mut urls, reasons, result) = clean(|dir| {
        std::fs::write(dir.join("a.warc.gz"), record("u:warc", &page("bridge"))).unwrap();
        let block = text("river");
        let wet = format!(
            "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: u:wet\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{block}\r\n\r\n",
            block.len()
        );
        std::fs::write(dir.join("b.wet"), wet).unwrap();
        std::fs::write(dir.join("c.html"), page("harbour")).unwrap();
        let line = |url: &str, key: &str, value: String| serde_json::json!({"url": url, key: value}).to_string() + "\n";
        std::fs::write(dir.join("d.jsonl"), line("u:text", "text", text("valley")) + &line("u:html", "html", page("desert"))).unwrap();
        let zst = zstd::encode_all(line("u:zst", "text", text("forest")).as_bytes(), 3).unwrap();
        std::fs::write(dir.join("e.jsonl.zst"), zst).unwrap();
        parquet(&dir.join("f.parquet"), vec![("url", vec![Some("u:parquet".into())]), ("text", vec![Some(text("island"))])]);
        let head = "filedesc://g.arc 0.0.0.0 20200101000000 text/plain 4\n1 0\n\n";
        let body = page("glacier");
        std::fs::write(dir.join("g.arc"), format!("{head}http://arc/ 1.2.3.4 20200101000000 text/html {}\n{body}\n", body.len())).unwrap();
    });
    urls.sort();
    assert_eq!((result, reasons), (Ok(()), Vec::new()));
    assert_eq!(urls, ["c.html", "http://arc/", "u:html", "u:parquet", "u:text", "u:warc", "u:wet", "u:zst"]);
}

#[test]
fn empty_and_truncated_files() {
    let (urls, reasons, result) = clean(|dir| {
        for name in ["a.warc", "b.warc.gz", "c.jsonl", "d.html"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let whole = [record("u:1", &page("bridge")), record("u:2", &page("river"))].concat();
        std::fs::write(dir.join("e.warc.gz"), &whole[..whole.len() - 40]).unwrap();
    });
    assert_eq!((urls, result), (vec!["u:1".to_owned()], Ok(())));
    assert!(reasons.contains(&"empty".to_owned()) && reasons.contains(&"record_length".to_owned()), "{reasons:?}");
}

#[test]
fn unreadable_files_fail_the_stage_after_the_others() {
    let noise: Vec<u8> = (0..5000_u32).map(|i| (corpus::hash64(&i.to_le_bytes(), 9) & 0xFF) as u8).collect();
    let (urls, reasons, result) = clean(|dir| {
        std::fs::write(dir.join("a.warc.gz"), &noise).unwrap();
        std::fs::write(dir.join("b.parquet"), &noise).unwrap();
        parquet(&dir.join("c.parquet"), vec![("body", vec![Some(text("river"))])]);
        std::fs::write(dir.join("d.warc.gz"), record("u:good", &page("bridge"))).unwrap();
    });
    let (exit, message) = result.unwrap_err();
    assert_eq!((urls, reasons.len(), exit), (vec!["u:good".to_owned()], 0, Exit::Failed));
    for part in ["3 input file(s)", "a.warc.gz", "b.parquet", "neither column `text` nor `html`"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn broken_rows_are_refused_one_by_one() {
    let (urls, reasons, result) = clean(|dir| {
        let good = serde_json::json!({"url": "u:good", "text": text("bridge")}).to_string();
        std::fs::write(dir.join("a.jsonl"), format!("{{\"url\": \"u:cut\", \"text\": \"half\n{good}\n[1, 2]\n{{\"url\": \"u:none\"}}\n\n"))
            .unwrap();
        parquet(&dir.join("b.parquet"), vec![("url", vec![None, Some("u:row".into())]), ("text", vec![None, Some(text("river"))])]);
    });
    assert_eq!((urls, result), (vec!["u:good".to_owned(), "u:row".to_owned()], Ok(())));
    assert_eq!(reasons, ["row_broken"; 4]);
}

#[test]
fn a_missing_input_is_a_mistake_in_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&context(dir.path()), &config(&[&dir.path().join("nowhere")])).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("nowhere") && error.hint().unwrap().contains("inputs"));
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(run(&context(dir.path()), &config(&[&empty])).unwrap_err().exit(), Exit::Usage);
}

#[test]
fn with_all_switches_off_every_page_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.warc.gz");
    std::fs::write(&input, [record("u:1", "<p>x"), record("u:2", "<p>x"), record("u:3", "")].concat()).unwrap();
    let mut config = config(&[&input]);
    (config.filter.enabled, config.dedup.enabled, config.language.enabled) = (false, false, false);
    let ctx = context(&dir.path().join("run"));
    assert_eq!(run(&ctx, &config).unwrap().rows, 3);
    assert_eq!(documents(&ctx).iter().map(|row| row["text"].as_str()).collect::<Vec<_>>(), ["x", "x", ""]);
}

#[test]
fn what_is_no_date_is_no_date() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    let (dates, topics) = (["2024-05-06", "soon"], ["bridge", "river"]);
    let records = dates.iter().zip(topics).map(|(date, topic)| {
        let block = text(topic);
        format!(
            "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: u:wet\r\nWARC-Date: {date}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{block}\r\n\r\n",
            block.len()
        )
    });
    std::fs::write(input.join("a.wet"), records.collect::<String>()).unwrap();
    let lines = dates.iter().zip(["valley", "desert"]).map(|(date, topic)| serde_json::json!({"date": date, "text": text(topic)}));
    std::fs::write(input.join("b.jsonl"), lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let (texts, stated) = (["forest", "island"].map(|topic| Some(text(topic))), dates.map(|date| Some(date.to_owned())));
    parquet(&input.join("c.parquet"), vec![("text", texts.to_vec()), ("date", stated.to_vec())]);
    let ctx = context(&dir.path().join("run"));
    run(&ctx, &config(&[&input])).unwrap();
    let rows = read(&ctx, false, &["date", "crawl_date"]);
    let got: Vec<_> = rows.iter().map(|row| (row.get("date").map(String::as_str), row.get("crawl_date").map(String::as_str))).collect();
    assert_eq!(got, [(Some("2024-05-06"), Some("2024-05-06")), (None, None)].repeat(3));
}

#[test]
fn a_damaged_frame_or_a_wrong_length_costs_one_record() {
    let warc = |topic: &str| {
        let block = text(topic);
        format!(
            "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: u:{topic}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n\
             {block}\r\n\r\n",
            block.len()
        )
    };
    let (mut urls, mut reasons, result) = clean(|dir| {
        let frame = |topic: &str| zstd::encode_all(warc(topic).as_bytes(), 3).unwrap();
        let mut damaged = frame("river");
        damaged.truncate(100);
        std::fs::write(dir.join("a.wet.zst"), [frame("bridge"), damaged, frame("harbour")].concat()).unwrap();
        let arc = |topic: &str, more: usize| {
            let body = page(topic);
            format!("http://{topic}/ 1.2.3.4 20200101000000 text/html {}\n{body}\n", body.len() + more)
        };
        let head = "filedesc://b.arc 0.0.0.0 20200101000000 text/plain 4\n1 0\n\n".to_owned();
        std::fs::write(dir.join("b.arc"), [head, arc("valley", 0), arc("desert", 77), arc("island", 0)].concat()).unwrap();
    });
    urls.sort();
    reasons.sort();
    assert_eq!((urls, result), (["http://island/", "http://valley/", "u:bridge", "u:harbour"].map(str::to_owned).to_vec(), Ok(())));
    assert_eq!(reasons, ["compression_broken", "record_length"]);
}

#[test]
fn archives_with_a_dictionary_are_read() {
    let warc = |topic: &str| {
        let block = text(topic);
        format!(
            "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: u:{topic}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n\
             {block}\r\n\r\n",
            block.len()
        )
    };
    let samples: Vec<String> = (0..300).map(|i| warc(&format!("sample {i}"))).collect();
    let dictionary = zstd::dict::from_samples(&samples, 16 << 10).unwrap();
    let frame = |content: &[u8]| [&b"\x5D\x2A\x4D\x18"[..], &(content.len() as u32).to_le_bytes(), content].concat();
    let (mut urls, reasons, result) = clean(|dir| {
        let compressed = |topic: &str| {
            let mut with_dictionary = zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
            with_dictionary.compress(warc(topic).as_bytes()).unwrap()
        };
        let records = [compressed("bridge"), compressed("river")].concat();
        std::fs::write(dir.join("a.warc.zst"), [frame(&dictionary), records].concat()).unwrap();
        let squeezed = zstd::encode_all(&dictionary[..], 19).unwrap();
        std::fs::write(dir.join("b.warc.zst"), [frame(&squeezed), compressed("harbour")].concat()).unwrap();
        std::fs::write(dir.join("c.warc.zst"), [frame(&dictionary[8..]), compressed("valley")].concat()).unwrap();
    });
    urls.sort();
    let (exit, message) = result.unwrap_err();
    assert_eq!((urls, reasons, exit), (["u:bridge", "u:harbour", "u:river"].map(str::to_owned).to_vec(), Vec::new(), Exit::Failed));
    assert!(message.contains("1 input file(s)") && message.contains("c.warc.zst") && message.contains("dictionary"), "{message}");
}
