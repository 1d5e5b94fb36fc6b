//! Rank files of tiktoken as tokenizers: a line for every token, its bytes in base64 and its rank, which is its id.
//!
//! tiktoken merges the two neighbours whose bytes together have the lowest rank. The same comes of a list of merges in the order of
//! rank with every pair that makes a token, and of taking a piece that is a token as it is (`ignore_merges`). Such a file says neither
//! how text is cut nor which special tokens there are: known numbers of ranks bring their published cuts, others are cut as `pattern`,
//! `split_digits` and `isolate_han` say; our own special tokens follow the last rank.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use text::{MAX_IDS, TokenizerFiles, special};

use crate::Error;
use crate::config::{Config, Pattern};
use crate::pieces::{cl100k, pre_tokenizer};
use crate::train::{byte_level_json, spelled};

/// Ranks of Qwen, which also normalizes text to form C before it is cut.
const QWEN: usize = 151_643;

/// The cuts of published files, which are known by their number of ranks: r50k_base (GPT-2), p50k_base, cl100k_base, o200k_base,
/// Llama 3, Qwen.
fn known_cuts(ranks: usize) -> Option<Value> {
    Some(match ranks {
        50_256 | 50_280 => pre_tokenizer(Pattern::Gpt2, false, false),
        100_256 => cl100k(),
        199_998 => pre_tokenizer(Pattern::Gpt4o, false, false),
        128_000 => pre_tokenizer(Pattern::Gpt4, false, false),
        QWEN => pre_tokenizer(Pattern::Gpt4, true, false),
        _ => return None,
    })
}

/// Whether a file begins like a rank file.
pub(crate) fn is_rank_file(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    read.is_ok() && std::str::from_utf8(first).is_ok_and(|line| parse(line).is_ok())
}

fn parse(line: &str) -> Result<(Vec<u8>, u32), &'static str> {
    let (token, rank) = line.trim_end().split_once(' ').ok_or("is no token and rank with a space between")?;
    let bytes = BASE64_STANDARD.decode(token).map_err(|_| "has a token that is no base64")?;
    if bytes.is_empty() { Err("has an empty token") } else { Ok((bytes, rank.parse().map_err(|_| "has a rank that is no number")?)) }
}

/// The tokenizer that a rank file describes, with a chat template.
///
/// # Errors
/// When the file cannot be read, and as [`parse_file`].
pub(crate) fn read(path: &Path, config: &Config, chat_template: &str) -> Result<TokenizerFiles, Error> {
    let content = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let cuts = pre_tokenizer(config.pattern, config.split_digits, config.isolate_han);
    parse_file(&content, path, cuts, config.reserved_tokens, chat_template)
}

/// The tokenizer that the content of a rank file describes. Where the number of ranks tells no published tokenizer, text is cut by `cuts`,
/// a pre-tokenizer as in `tokenizer.json`. `path` is for messages.
///
/// # Errors
/// When a line is no token and rank, a token or rank stands twice, a single byte has no token, or no ids are left for special tokens.
pub fn parse_file(content: &str, path: &Path, cuts: Value, reserved_tokens: usize, chat_template: &str) -> Result<TokenizerFiles, Error> {
    let bad = |line: usize, problem: &str| Error::BadRanks { path: path.into(), problem: format!("line {line} {problem}") };
    let mut ranks: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut tokens: Vec<(u32, Vec<u8>)> = Vec::new();
    for (number, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (bytes, rank) = parse(line).map_err(|problem| bad(number + 1, problem))?;
        if ranks.insert(bytes.clone(), rank).is_some() {
            return Err(bad(number + 1, "has a token that stands before"));
        }
        tokens.push((rank, bytes));
    }
    tokens.sort();
    if let Some(pair) = tokens.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::BadRanks { path: path.into(), problem: format!("two tokens have rank {}", pair[0].0) });
    }
    if let Some(byte) = (0..=255_u8).find(|byte| !ranks.contains_key(&[*byte][..])) {
        return Err(Error::BadRanks { path: path.into(), problem: format!("byte {byte} has no token") });
    }
    let mut merges = Vec::new();
    for (_, token) in &tokens {
        let cuts = (1..token.len()).map(|at| token.split_at(at));
        let mut pairs: Vec<_> = cuts.filter_map(|(left, right)| Some((ranks.get(left)?, ranks.get(right)?, left, right))).collect();
        pairs.sort();
        merges.extend(pairs.into_iter().map(|(_, _, left, right)| json!([spelled(left), spelled(right)])));
    }
    let cuts = known_cuts(tokens.len()).unwrap_or(cuts);
    let room = u32::try_from(special::ALL.len() + reserved_tokens).unwrap_or(u32::MAX);
    let first_free = tokens.last().map_or(0, |(rank, _)| rank.saturating_add(1));
    if first_free.checked_add(room).is_none_or(|end| end as usize > MAX_IDS) {
        let problem = format!("rank {} is too high: ids, special tokens included, end at {MAX_IDS}", first_free - 1);
        return Err(Error::BadRanks { path: path.into(), problem });
    }
    let names = special::ALL.iter().map(|name| name.to_string()).chain((0..reserved_tokens).map(special::reserved));
    let specials: Vec<(u32, String)> = (first_free..).zip(names).collect();
    let mut vocab: Map<String, Value> = tokens.iter().map(|(rank, bytes)| (spelled(bytes), json!(rank))).collect();
    vocab.extend(specials.iter().map(|(id, name)| (name.clone(), json!(id))));
    let mut json = byte_level_json(&specials, cuts, vocab, merges, true);
    if tokens.len() == QWEN {
        json["normalizer"] = json!({"type": "NFC"});
    }
    let bytes = serde_json::to_vec_pretty(&json).map_err(|e| Error::Build { message: e.to_string() })?;
    Ok(TokenizerFiles::new(bytes, Some(special::END), special::END, special::PAD, chat_template, Map::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fast::Encoder;
    use std::collections::BTreeSet;
    use text::Tokenizer;

    fn config() -> Config {
        let mut keys: toml::Table = toml::from_str(include_str!("default.toml")).unwrap();
        keys.insert("inputs".into(), toml::Value::Array(vec!["x".into()]));
        keys.insert("isolate_han".into(), false.into());
        keys.try_into().unwrap()
    }

    fn write(dir: &Path, tokens: &[Vec<u8>]) -> std::path::PathBuf {
        let path = dir.join("made_up.tiktoken");
        let lines = tokens.iter().enumerate().map(|(rank, token)| format!("{} {rank}\n", BASE64_STANDARD.encode(token)));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        path
    }

    /// A piece as tiktoken merges it.
    fn merged(piece: &[u8], ranks: &HashMap<Vec<u8>, u32>) -> Vec<u32> {
        if let Some(rank) = ranks.get(piece) {
            return vec![*rank];
        }
        let mut parts: Vec<Vec<u8>> = piece.iter().map(|byte| vec![*byte]).collect();
        while let Some((_, at)) =
            (1..parts.len()).filter_map(|at| Some((*ranks.get(&[&parts[at - 1][..], &parts[at]].concat())?, at))).min()
        {
            let right = parts.remove(at);
            parts[at - 1].extend(right);
        }
        parts.iter().map(|part| ranks[part]).collect()
    }

    #[test]
    fn ids_are_those_of_the_lowest_rank_first() {
        // Bytes in an order of their own, then random tokens, some of which no merge reaches.
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let letters = ["a", "b", "c", " ", "中", "国"];
        let mut tokens: Vec<Vec<u8>> = (0..=255).rev().map(|byte| vec![byte]).collect();
        let mut seen: BTreeSet<Vec<u8>> = tokens.iter().cloned().collect();
        while tokens.len() < 400 {
            let token: Vec<u8> = (0..2 + next(4)).flat_map(|_| letters[next(6)].bytes()).collect();
            let token = token[..token.len() - next(2)].to_vec();
            if token.len() > 1 && seen.insert(token.clone()) {
                tokens.push(token);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &tokens);
        assert!(is_rank_file(&path));
        let config = config();
        let tokenizer = Tokenizer::from_files(read(&path, &config, text::template::PLAIN).unwrap()).unwrap();
        assert_eq!((tokenizer.id("<|endoftext|>"), tokenizer.eos_id()), (Some(400), Some(400)));
        assert_eq!(tokenizer.token_bytes(399), tokens[399]);
        let encoder = Encoder::new(&tokenizer).unwrap();
        let ranks: HashMap<Vec<u8>, u32> = tokens.iter().cloned().zip(0..).collect();
        let splitter = crate::pieces::Splitter::new(config.pattern, config.split_digits, false).unwrap();
        for _ in 0..500 {
            let text: String = (0..next(40)).map(|_| letters[next(6)]).collect();
            let mut want = Vec::new();
            splitter.pieces(&text, |piece| want.extend(merged(piece.as_bytes(), &ranks)));
            assert_eq!(tokenizer.encode(&text).unwrap(), want, "{text:?}");
            assert_eq!(encoder.encode(&text).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn broken_files_say_where() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let path = write(dir.path(), &bytes);
        let good = std::fs::read_to_string(&path).unwrap();
        for (content, want) in [
            (format!("{good}YWI= x\n"), "line 257 has a rank that is no number"),
            (format!("{good}YWI=\n"), "line 257 is no token and rank"),
            (format!("{good}Y* 256\n"), "line 257 has a token that is no base64"),
            (format!("{good}YQ== 256\n"), "line 257 has a token that stands before"),
            (format!("{good}YWI= 255\n"), "two tokens have rank 255"),
            (format!("{good}YWI= 4000000000\n"), "rank 4000000000 is too high"),
            (good.lines().skip(1).collect::<Vec<_>>().join("\n"), "byte 0 has no token"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = read(&path, &config(), "").unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(!is_rank_file(&path) && !is_rank_file(dir.path()));
    }
}
