//! How often the language is right on texts whose language is known: `JIELONG_DATA=/data language_accuracy [--wrong]`.
//!
//! Whole pages (the gold text of `crawl/zh-news`, `zh-charset` and `wcxb-dev`, English mostly) and paragraphs (`tasks/xquad.en`, `xquad.zh`,
//! `drcd_dev`, which is traditional). `--wrong` shows the beginnings of those that are not as expected.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use corpus::matches_tag;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let Ok(data) = std::env::var("JIELONG_DATA") else {
        eprintln!("skipped: JIELONG_DATA is not set");
        return Ok(());
    };
    let show = std::env::args().any(|arg| arg == "--wrong");
    let data = Path::new(&data);
    for (name, wanted) in [("zh-news", "zh"), ("zh-charset", "zh"), ("wcxb-dev", "en")] {
        report(name, wanted, &pages(&data.join("crawl").join(format!("{name}.gold.jsonl.gz")))?, show);
    }
    for (name, wanted) in [("xquad.en", "en"), ("xquad.zh", "zh-Hans"), ("drcd_dev", "zh-Hant")] {
        report(name, wanted, &paragraphs(&data.join("tasks").join(format!("{name}.json")))?, show);
    }
    Ok(())
}

fn report(name: &str, wanted: &str, texts: &[String], show: bool) {
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        let found = corpus::language(text);
        if !matches_tag(found.tag, wanted) {
            *others.entry(found.tag).or_default() += 1;
            if show {
                println!("  {} {:.2}: {:?}", found.tag, found.score, text.chars().take(150).collect::<String>());
            }
        }
    }
    let wrong: usize = others.values().sum();
    let share = 100.0 * (texts.len() - wrong) as f64 / texts.len().max(1) as f64;
    println!("{name:12} {wanted:8} {share:6.2} % of {:5}, else {others:?}", texts.len());
}

fn pages(path: &Path) -> Result<Vec<String>, Failed> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    let rows = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let gold = |row: &Value| row["main_content"].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(gold).filter(|text| !text.is_empty()).collect())
}

fn paragraphs(path: &Path) -> Result<Vec<String>, Failed> {
    let squad: Value = serde_json::from_reader(std::fs::File::open(path)?)?;
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |paragraph: &Value| paragraph["context"].as_str().unwrap_or_default().to_owned();
    Ok(all(&squad["data"]).iter().flat_map(|article| all(&article["paragraphs"])).map(|paragraph| text(&paragraph)).collect())
}
