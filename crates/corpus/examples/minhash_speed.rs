//! How fast signatures are made: normal form, shingles and 112 permutations, on one core.
//!
//! `target/release/examples/minhash_speed [FILE…]` reads text files, a document for every 4 kB of lines; without files it makes up
//! English and Chinese text. Prints MB of text per second for each step and for all of them.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use corpus::{MinHasher, hash64, normalize, shingles};
use std::time::Instant;

/// Size of a document.
const DOCUMENT_BYTES: usize = 4000;
/// Times each document is measured; its best counts, since a busy machine only ever slows it down.
const ROUNDS: usize = 9;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<(String, String)> = if paths.is_empty() {
        vec![("made-up English".into(), english(1_000_000)), ("made-up Chinese".into(), chinese(1_000_000))]
    } else {
        let read = |path: String| std::fs::read_to_string(&path).ok().map(|text| (path, text));
        paths.into_iter().filter_map(read).collect()
    };
    println!("MB/s of text, one core: normal form, shingles, signature, all");
    for (name, text) in texts {
        let documents = cut(&text);
        let hasher = MinHasher::new(14, 8, 1);
        let normalised: Vec<String> = documents.iter().map(|text| normalize(text)).collect();
        let sets: Vec<Vec<u64>> = normalised.iter().map(|text| shingles(text, 5, 9)).collect();
        let steps = [
            best(&documents, |text| normalize(text).len()),
            best(&normalised, |text| shingles(text, 5, 9).len()),
            best(&sets, |set| hasher.signature(set).map_or(0, |signature| signature.len())),
            best(&documents, |text| {
                let signature = hasher.signature(&shingles(&normalize(text), 5, 9));
                signature.map_or(0, |signature| hasher.band_keys(&signature).len())
            }),
        ];
        let rates: Vec<String> = steps.iter().map(|secs| format!("{:.1}", text.len() as f64 / secs / 1e6)).collect();
        println!("{name}: {}", rates.join(", "));
    }
}

/// Seconds that a step takes for all documents, each in its fastest round.
fn best<T>(documents: &[T], mut step: impl FnMut(&T) -> usize) -> f64 {
    let mut least = vec![f64::MAX; documents.len()];
    for _ in 0..ROUNDS {
        for (document, least) in documents.iter().zip(&mut least) {
            let start = Instant::now();
            std::hint::black_box(step(document));
            *least = least.min(start.elapsed().as_secs_f64());
        }
    }
    least.iter().sum()
}

fn cut(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if documents.last().is_some_and(|last| last.len() >= DOCUMENT_BYTES) {
            documents.push(String::new());
        }
        if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents
}

/// Numbers below `n`, small ones much more often, as with the words of a language.
fn draws(n: u64) -> impl Iterator<Item = u64> {
    (0_u64..).map(move |i| {
        let x = hash64(&i.to_le_bytes(), 5);
        (x >> 33) % ((x & 0xFFFF) % n + 1)
    })
}

fn english(bytes: usize) -> String {
    const SYLLABLES: [&str; 16] = ["the", "an", "re", "con", "tion", "er", "ly", "mo", "si", "pa", "in", "de", "la", "to", "ing", "be"];
    let mut text = String::new();
    for (i, word) in draws(4000).enumerate() {
        let mut rest = word + 1;
        while rest > 0 {
            text.push_str(SYLLABLES[rest as usize % 16]);
            rest /= 16;
        }
        text.push_str(if i % 90 == 89 {
            ".\n"
        } else if i % 12 == 11 {
            ", "
        } else {
            " "
        });
        if text.len() > bytes {
            break;
        }
    }
    text
}

fn chinese(bytes: usize) -> String {
    let mut text = String::new();
    for (i, c) in draws(3000).enumerate() {
        text.extend(char::from_u32(0x4E00 + c as u32));
        if i % 17 == 16 {
            text.push_str(if i % 170 == 169 { "。\n" } else { "，" });
        }
        if text.len() > bytes {
            break;
        }
    }
    text
}
