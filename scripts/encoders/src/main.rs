//! usage: encoders DIR, a folder that `cargo bench --bench encode -- --export DIR` wrote: `tokenizer.json` with the cl100k pattern, and
//! for each language documents and the ids that they should have. Prints the speed of each encoder, the median of five runs, how it
//! stands to ours, and how many documents get other ids.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::ThreadPool;
use rayon::prelude::*;
use serde_json::Value;
use tiktoken_rs::CoreBPE;
use wordchipper::pretrained::openai::OATokenizer;
use wordchipper::spanners::TextSpanningConfig;
use wordchipper::vocab::SpanMapVocab;
use wordchipper::{TokenEncoder, TokenizerOptions, UnifiedTokenVocab};

const REPEATS: usize = 5;

/// cl100k as OpenAI publishes it; the same cuts as the expression in `tokenizer.json`.
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

type Encode = Box<dyn Fn(&str) -> Vec<u32> + Send + Sync>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).ok_or("usage: encoders DIR")?;
    let dir = Path::new(&dir);
    let json = std::fs::read(dir.join("tokenizer.json"))?;
    let ranks = ranks(&serde_json::from_slice(&json)?)?;
    let encoders: Vec<(&str, Result<Encode>)> = vec![
        ("tiktoken-rs 0.12.1", tiktoken(&ranks)),
        ("bpe-openai 0.3.2", bpe(&ranks)),
        ("wordchipper 0.9.2", wordchipper(&ranks)),
        ("kitoken 0.11.1", kitoken(&json)),
    ];
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let all = rayon::ThreadPoolBuilder::new().build()?;
    let speeds: Value = serde_json::from_slice(&std::fs::read(dir.join("speeds.json"))?)?;
    for language in ["English", "Chinese"] {
        let read = |name: String| -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(dir.join(name))?)?) };
        let documents: Vec<String> = serde_json::from_value(read(format!("{language}.documents.json"))?)?;
        let ids: Vec<Vec<u32>> = serde_json::from_value(read(format!("{language}.ids.json"))?)?;
        println!("  {language}");
        for (name, encode) in &encoders {
            let encode = match encode {
                Ok(encode) => encode,
                Err(error) => {
                    println!("    {name:<20} did not load: {error}");
                    continue;
                }
            };
            let differing = all.install(|| documents.par_iter().zip(&ids).filter(|(d, ids)| encode(d) != **ids).count());
            let mut line = format!("    {name:<20}");
            for (threads, pool) in [("1 thread", &one), ("all threads", &all)] {
                let speed = speed(pool, &documents, encode);
                let ours = speeds[language][threads].as_f64().ok_or("speeds.json lacks a speed")?;
                line += &format!("  {threads} {speed:6.1} MB/s (ours {ours:.1}, {:.1} ×)", ours / speed);
            }
            println!("{line}  {differing} documents with other ids");
        }
    }
    Ok(())
}

/// MB/s, the median of some runs.
fn speed(pool: &ThreadPool, documents: &[String], encode: &Encode) -> f64 {
    let bytes: usize = documents.iter().map(String::len).sum();
    let mut secs: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            let tokens: usize = pool.install(|| documents.par_iter().map(|d| encode(d).len()).sum());
            assert!(std::hint::black_box(tokens) > 0);
            start.elapsed().as_secs_f64()
        })
        .collect();
    secs.sort_by(f64::total_cmp);
    bytes as f64 / 1e6 / secs[REPEATS / 2]
}

/// Every token's bytes and id, but for special ones; ids rise in the order of the merges, so they are ranks.
fn ranks(json: &Value) -> Result<Vec<(Vec<u8>, u32)>> {
    let mut byte_of = HashMap::new();
    let mut next = 0x100;
    for byte in 0..=255_u8 {
        let printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if printable { u32::from(byte) } else { next };
        next += u32::from(!printable);
        byte_of.insert(char::from_u32(code).ok_or("no character")?, byte);
    }
    let special: Vec<u64> = json["added_tokens"].as_array().into_iter().flatten().filter_map(|token| token["id"].as_u64()).collect();
    let vocab = json["model"]["vocab"].as_object().ok_or("no vocabulary")?;
    let mut ranks = Vec::new();
    for (token, id) in vocab {
        let id = id.as_u64().ok_or("an id is no number")?;
        if !special.contains(&id) {
            ranks.push((token.chars().map(|c| byte_of[&c]).collect(), id as u32));
        }
    }
    ranks.sort_by_key(|(_, id)| *id);
    Ok(ranks)
}

fn tiktoken(ranks: &[(Vec<u8>, u32)]) -> Result<Encode> {
    let core = CoreBPE::new(ranks.iter().cloned().collect(), HashMap::default(), CL100K)?;
    Ok(Box::new(move |text| core.encode_ordinary(text)))
}

fn bpe(ranks: &[(Vec<u8>, u32)]) -> Result<Encode> {
    // It counts from 0 without gaps.
    let first = ranks[0].1;
    if !ranks.iter().zip(first..).all(|((_, id), expected)| *id == expected) {
        return Err("ids have gaps".into());
    }
    let tokens = || ranks.iter().map(|(bytes, _)| bytes.clone());
    let factor = bpe::byte_pair_encoding::find_hash_factor_for_dictionary(tokens());
    let bpe = bpe::byte_pair_encoding::BytePairEncoding::from_dictionary(tokens(), Some(factor));
    // The expressions of its own cl100k, which has no negative look-ahead.
    let main = CL100K.split(r"|\s+(?!").next().unwrap_or_default().to_string() + r"|\s+$";
    let patterns = [(main.as_str(), false), (r"\s+\s", true), (r"\s+", false)];
    let tokenizer = bpe_openai::Tokenizer::new_lookahead(bpe, &patterns, false)?;
    Ok(Box::new(move |text| tokenizer.encode(text).into_iter().map(|id| id + first).collect()))
}

fn wordchipper(ranks: &[(Vec<u8>, u32)]) -> Result<Encode> {
    // By this very expression it finds its own lexer for cl100k.
    let spanning = TextSpanningConfig::<u32>::from_pattern(OATokenizer::Cl100kBase.pattern());
    let vocab = UnifiedTokenVocab::from_span_vocab(spanning, SpanMapVocab::from_span_map(ranks.iter().cloned().collect()))?;
    let tokenizer = TokenizerOptions::default().with_accelerated_lexers(true).with_concurrent(true).build(Arc::new(vocab));
    Ok(Box::new(move |text| tokenizer.try_encode(text, None).unwrap_or_default()))
}

fn kitoken(json: &[u8]) -> Result<Encode> {
    let kitoken = kitoken::Kitoken::from_tokenizers_slice(json).map_err(|e| format!("{e:?}"))?;
    Ok(Box::new(move |text| kitoken.encode(text, false).unwrap_or_default()))
}
