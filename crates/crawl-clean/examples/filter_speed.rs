//! Speed of the filters on one core, in MB of text a second: `JIELONG_DATA=/data filter_speed [ROUNDS [PRESET]]`.
//!
//! Reads the gold text of `$JIELONG_DATA/crawl/{wcxb-dev,zh-news}.gold.jsonl.gz`, judges it with every rule of each preset, and tells the
//! best of the rounds, for the whole and for its parts. A preset alone is judged by that one.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use crawl_clean::filter::{Compiled, Preset, Scratch, judge, pii};
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(data) = std::env::var("JIELONG_DATA") else {
        eprintln!("skipped: JIELONG_DATA is not set");
        return Ok(());
    };
    let only = std::env::args().nth(2);
    let rounds = std::env::args().nth(1).map_or(Ok(5), |n| n.parse())?;
    for (name, tag) in [("wcxb-dev", "en"), ("zh-news", "zh-Hans")] {
        let texts = texts(&Path::new(&data).join("crawl").join(format!("{name}.gold.jsonl.gz")))?;
        let bytes: usize = texts.iter().map(String::len).sum();
        println!("{name}: {} texts, {:.2} MB", texts.len(), bytes as f64 / 1e6);
        let time = |what: &str, work: &mut dyn FnMut(&str)| {
            let mut best = f64::INFINITY;
            for _ in 0..rounds {
                let started = Instant::now();
                texts.iter().for_each(|text| work(text));
                best = best.min(started.elapsed().as_secs_f64());
            }
            println!("  {what:30} {:8.1} MB/s", bytes as f64 / 1e6 / best);
        };
        time("split into units", &mut |text| {
            black_box(corpus::units(text).count());
        });
        time("split and hash", &mut |text| {
            black_box(corpus::units(text).fold(0, |sum, unit| sum ^ corpus::hash64(unit.text.as_bytes(), 0)));
        });
        time("sentences", &mut |text| {
            black_box(corpus::sentences(text).len());
        });
        time("personal data", &mut |text| {
            black_box(pii::replace(text).1);
        });
        time("language", &mut |text| {
            black_box(corpus::language(text));
        });
        for (preset, _) in crawl_clean::filter::preset::BUILT_IN.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name)) {
            let preset_rules = Preset::built_in(preset).ok_or("a built-in preset")?;
            let compiled = Compiled::new(&preset_rules.profiles[preset_rules.select(tag, "")].rules);
            let mut scratch = Scratch::default();
            let kept = texts.iter().filter(|text| judge(text, &compiled, &mut scratch).1.failed.is_empty()).count();
            time(&format!("all rules of {preset}, {:.1} % kept", 100.0 * kept as f64 / texts.len() as f64), &mut |text| {
                black_box(judge(text, &compiled, &mut scratch));
            });
        }
    }
    Ok(())
}

fn texts(path: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    let rows = text.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>()?;
    let gold = |row: &serde_json::Value| row["main_content"].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(gold).filter(|text| !text.is_empty()).collect())
}
