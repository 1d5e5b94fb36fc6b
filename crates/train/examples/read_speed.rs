//! How fast training rows are read in random order, as micro-batches of a trainer: from memory, and from files of fixed-width rows.
//!
//! usage: `read_speed SAMPLES.parquet...`, with shards of table `samples`, as `shard` leaves them. Prints, for each place, the
//! time to open, and rows, tokens and megabytes of token ids a second on one thread.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for the terminal")]

use std::path::PathBuf;
use std::time::Instant;

use handoff::{Digest, ShardReader, TokenWidth, schema};
use train::order::Permutation;
use train::samples::{Place, Samples};

/// Rows of a micro-batch.
const ROWS: u64 = 8;

/// Tokens read for a figure, at least, in whole passes over the rows.
const TOKENS: u64 = 200_000_000;

fn main() {
    let paths: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    assert!(!paths.is_empty(), "usage: read_speed SAMPLES.parquet...");
    let digests: Vec<Digest> = paths.iter().map(|path| Digest::of_file(path).unwrap()).collect();
    let wide = ShardReader::open(&paths[0], &schema::samples(TokenWidth::U16)).is_err();
    let (width, vocab_size) = if wide { (4, 1 << 24) } else { (2, 1 << 16) };
    let folder = tempfile::tempdir().unwrap();
    let on_disk = Place::Disk(folder.path().to_path_buf());
    for (name, place) in [("memory", &Place::Memory), ("files, made first", &on_disk), ("files", &on_disk)] {
        let start = Instant::now();
        let shards = paths.iter().map(PathBuf::as_path).zip(digests.iter().copied());
        let samples = Samples::load(shards, vocab_size, place).unwrap();
        let opened = start.elapsed().as_secs_f64();
        let (rows, row_tokens) = (samples.len() / ROWS * ROWS, samples.row_tokens() as u64);
        let passes = TOKENS.div_ceil(rows * row_tokens);
        let start = Instant::now();
        let mut targets = 0;
        for pass in 0..passes {
            let order = Permutation::new(samples.len(), pass);
            for first in (0..rows).step_by(ROWS as usize) {
                let wanted: Vec<u64> = (first..first + ROWS).map(|at| order.at(at)).collect();
                targets += samples.micro(&wanted, true).unwrap().num_targets;
            }
        }
        let secs = start.elapsed().as_secs_f64();
        let (rows, tokens) = (passes * rows, passes * rows * row_tokens);
        println!(
            "{name}: opened in {opened:.2} s; {:.0} rows, {:.1} million tokens, {:.0} MB of ids a second ({rows} rows of {row_tokens}, {targets} targets)",
            rows as f64 / secs,
            tokens as f64 / secs / 1e6,
            (tokens * width) as f64 / secs / 1e6
        );
    }
}
