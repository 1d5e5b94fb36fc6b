//! Proof on real text: our ids and those of the tokenizers library, side by side.
//!
//! usage: `JIELONG_DATA=<folder> check_ids [MB [--all]]`. Reads every file below the folder (text, JSON, JSONL, WARC, ARC, WET; also
//! gzipped; pages without their tags), keeps each line once, and compares 100 MB or as many as given: four fifths distinct lines, all
//! lines with letters outside Latin first, and one fifth documents glued from short slices of lines of all scripts, cut at any
//! character. `--all` takes every pre-tokenizer that is scanned by hand instead of the published ones and our default. Fails where one
//! document has other ids.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "../tests/support/real.rs"]
mod real;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;
use serde_json::Value;
use tokenize::fast::Encoder;

use real::{Lines, Random, script};

/// The published patterns, and the one that `tokenize` trains with by default.
const PATTERNS: [&str; 6] = ["GPT-2", "GPT-4 as converted", "GPT-4o", "Llama 3", "Qwen 2", "gpt4, digits, Han"];

/// Bytes of the documents that vocabularies are trained on, and their size.
const TRAINING_BYTES: usize = 8_000_000;
const VOCAB_SIZE: usize = 32_000;

/// Documents are at least this long, but for the last one.
const DOCUMENT_BYTES: usize = 4_000;

/// Slices of a glued document, and the most characters of one.
const SLICES: usize = 60;
const SLICE_CHARS: usize = 30;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(data) = std::env::var_os("JIELONG_DATA").map(PathBuf::from) else {
        println!("check_ids: skipped, JIELONG_DATA does not name a folder with text");
        return Ok(());
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let megabytes: usize = args.iter().find(|arg| !arg.starts_with("--")).map_or(Ok(100), |arg| arg.parse())?;
    let lines = Lines::below(&data)?;
    println!(
        "{} files: {:.1} MB in {} distinct lines, {:.1} MB of repeated and {:.1} MB of undecodable ones left out",
        lines.files,
        lines.bytes as f64 / 1e6,
        lines.others.len() + lines.latin.len(),
        lines.repeated as f64 / 1e6,
        lines.undecodable as f64 / 1e6
    );
    let documents = documents(&lines, megabytes * 1_000_000);
    drop(lines);
    let step = (documents.iter().map(String::len).sum::<usize>() / TRAINING_BYTES).max(1);
    let training: Vec<&str> = documents.iter().step_by(step).map(String::as_str).collect();
    let all = args.iter().any(|arg| arg == "--all");
    let mut wrong = 0;
    for (name, pre_tokenizer) in support::pre_tokenizers().into_iter().filter(|(name, _)| all || PATTERNS.contains(name)) {
        wrong += compare(name, &support::train(&pre_tokenizer, &training, VOCAB_SIZE), &documents)?;
    }
    if wrong > 0 { Err(format!("{wrong} documents have other ids").into()) } else { Ok(()) }
}

/// Compares all documents; returns how many differ.
fn compare(name: &str, json: &Value, documents: &[String]) -> Result<usize, Box<dyn Error>> {
    let start = Instant::now();
    let tokenizer = support::tokenizer(json);
    let encoder = Encoder::new(&tokenizer)?;
    if !encoder.is_fast() {
        return Err(format!("{name} is not scanned by hand").into());
    }
    let compared = documents.par_iter().map(|document| -> Result<(usize, bool), text::Error> {
        let (ours, library) = (encoder.encode(document)?, tokenizer.encode(document)?);
        Ok((ours.len(), ours == library))
    });
    let compared = compared.collect::<Result<Vec<_>, _>>()?;
    let tokens: usize = compared.iter().map(|(tokens, _)| tokens).sum();
    let wrong = compared.iter().filter(|(_, same)| !same).count();
    println!(
        "  {name}: {} ids, {tokens} tokens, {wrong} of {} documents differ ({:.0} s)",
        tokenizer.vocab_size(),
        documents.len(),
        start.elapsed().as_secs_f64()
    );
    if let Some(at) = compared.iter().position(|(_, same)| !same) {
        println!("    the first: {:?}", documents[at].chars().take(500).collect::<String>());
    }
    Ok(wrong)
}

/// Documents of `bytes` bytes in all: four fifths lines, one fifth glued. Says what they hold.
fn documents(lines: &Lines, bytes: usize) -> Vec<String> {
    let mut out = Vec::new();
    let (mut left, mut document) = (bytes / 5 * 4, String::new());
    for line in lines.others.iter().chain(&lines.latin) {
        left = left.saturating_sub(line.len() + 1);
        document += line;
        document.push('\n');
        if document.len() >= DOCUMENT_BYTES || left == 0 {
            out.push(std::mem::take(&mut document));
        }
        if left == 0 {
            break;
        }
    }
    out.extend(Some(document).filter(|document| !document.is_empty()));
    let distinct: usize = out.iter().map(String::len).sum();
    let mut scripts: BTreeMap<&str, usize> = BTreeMap::new();
    for c in out.iter().flat_map(|document| document.chars()) {
        *scripts.entry(script(c)).or_default() += c.len_utf8();
    }
    let pools = lines.pools();
    let mut random = Random(1);
    let mut glued = 0;
    while glued < bytes / 5 && !pools.is_empty() {
        let mut document = String::new();
        for _ in 0..SLICES {
            let pool = &pools[random.below(pools.len())];
            let line = pool[random.below(pool.len())];
            let from = random.below(line.chars().count());
            document.extend(line.chars().skip(from).take(1 + random.below(SLICE_CHARS)));
        }
        glued += document.len();
        out.push(document);
    }
    println!(
        "{} documents: {:.1} MB of distinct lines, {:.1} MB glued from them across {} scripts",
        out.len(),
        distinct as f64 / 1e6,
        glued as f64 / 1e6,
        pools.len()
    );
    let mut scripts: Vec<_> = scripts.into_iter().collect();
    scripts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let scripts: Vec<String> = scripts.iter().map(|(name, bytes)| format!("{name} {:.3}", *bytes as f64 / 1e6)).collect();
    println!("MB by script of the lines: {}", scripts.join(", "));
    out
}
