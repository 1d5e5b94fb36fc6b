//! Encoding beside the tokenizers library: the same ids, how much faster.
//!
//! usage: `cargo bench -p tokenize --bench encode -- [TOKENIZER FILE...]`, by default with the tokenizer of the tests and, from
//! the folder in `JIELONG_DATA`, English and Chinese text. Each line of a file is a document.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use text::Tokenizer;
use tokenize::fast::Encoder;

const REPEATS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<PathBuf> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).map(PathBuf::from).collect();
    let (tokenizer, files) = match args.split_first() {
        Some((tokenizer, files)) => (tokenizer.clone(), files.to_vec()),
        None => {
            let Some(data) = std::env::var_os("JIELONG_DATA").map(PathBuf::from) else {
                println!("encode: skipped, give a tokenizer and text files, or set JIELONG_DATA to a folder with tasks/wiki_demo.txt");
                return Ok(());
            };
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/text/tokenizer");
            (golden, ["wiki_demo.txt", "alpaca_zh_demo.json"].map(|name| data.join("tasks").join(name)).to_vec())
        }
    };
    let tokenizer = Tokenizer::load(&tokenizer)?;
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let all = rayon::ThreadPoolBuilder::new().build()?;
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let documents: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let bytes: usize = documents.iter().map(|d| d.len()).sum();
        println!("{}: {:.1} MB in {} documents", file.display(), bytes as f64 / 1e6, documents.len());
        let encoder = Encoder::new(&tokenizer)?;
        let differing = documents.iter().filter(|d| encoder.encode(d).ok() != tokenizer.encode(d).ok()).count();
        println!("  documents with other ids than tokenizers gives: {differing}");
        for (name, pool) in [("1 thread", &one), ("all threads", &all)] {
            // A new encoder each time: what it has to learn first is part of the time.
            let ours = speed(bytes, || {
                pool.install(|| {
                    let encoder = Encoder::new(&tokenizer).expect("the tokenizer was taken before");
                    documents.par_iter().map(|d| encoder.encode(d).map_or(0, |ids| ids.len())).sum::<usize>()
                })
            });
            let library =
                speed(bytes, || pool.install(|| documents.par_iter().map(|d| tokenizer.encode(d).map_or(0, |ids| ids.len())).sum()));
            println!(
                "  {name:<12} jielong {ours:6.1} MB/s   tokenizers {library:6.1} MB/s   ratio {:.1}   ({} threads)",
                ours / library,
                pool.current_num_threads()
            );
        }
    }
    Ok(())
}

/// Median speed in MB/s.
fn speed(bytes: usize, mut run: impl FnMut() -> usize) -> f64 {
    let mut secs: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed().as_secs_f64()
        })
        .collect();
    secs.sort_by(f64::total_cmp);
    bytes as f64 / 1e6 / secs[REPEATS / 2]
}
