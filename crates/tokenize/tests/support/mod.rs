//! Tokenizers trained on the spot, for tests and benchmarks of encoding.
#![allow(dead_code, unreachable_pub, reason = "each user takes a part")]

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use text::{Tokenizer, TokenizerFiles};
use tokenize::bpe::{Limits, learn};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

/// The expressions as they stand in published `tokenizer.json` files.
pub const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
pub const LLAMA3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub const O200K_DIGITS: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub const GPT2_DIGITS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
pub const HAN: &str = r"\p{Han}";

/// A `Split` that isolates matches.
pub fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
}

/// `ByteLevel`, with or without cuts of its own.
pub fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

/// A `Sequence`.
pub fn sequence(steps: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": steps})
}

/// Every pre-tokenizer that is scanned by hand, with a name.
pub fn pre_tokenizers() -> Vec<(&'static str, Value)> {
    let removed = json!({"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Removed", "invert": true});
    let digits = json!({"type": "Digits", "individual_digits": true});
    vec![
        ("GPT-2", byte_level(true)),
        ("GPT-2 in a sequence", sequence(&[byte_level(true)])),
        ("GPT-4 as converted", sequence(&[removed, byte_level(false)])),
        ("Llama 3", sequence(&[split(LLAMA3), byte_level(false)])),
        ("Qwen 2", sequence(&[split(QWEN2), byte_level(false)])),
        ("GPT-4o", sequence(&[split(O200K), byte_level(false)])),
        ("SmolLM", sequence(&[digits, byte_level(true)])),
        ("gpt2", sequence(&[split(GPT2), byte_level(false)])),
        ("gpt2, digits", sequence(&[split(GPT2_DIGITS), byte_level(false)])),
        ("gpt2, Han", sequence(&[split(HAN), split(GPT2), byte_level(false)])),
        ("gpt2, digits, Han", sequence(&[split(HAN), split(GPT2_DIGITS), byte_level(false)])),
        ("gpt4, Han", sequence(&[split(HAN), split(LLAMA3), byte_level(false)])),
        ("gpt4, digits, Han", sequence(&[split(HAN), split(QWEN2), byte_level(false)])),
        ("gpt4o, digits, Han", sequence(&[split(HAN), split(O200K_DIGITS), byte_level(false)])),
    ]
}

/// The pieces of a text and their counts, by the library; bytes are spelled in GPT-2's alphabet.
fn count(pre_tokenizer: &Value, texts: &[&str]) -> HashMap<String, u64> {
    let library: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer.clone()).expect("a pre-tokenizer");
    let mut counts = HashMap::new();
    for text in texts {
        let mut cut = PreTokenizedString::from(*text);
        library.pre_tokenize(&mut cut).expect("cuts");
        for (piece, _, _) in cut.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *counts.entry(piece.to_string()).or_default() += 1;
        }
    }
    counts
}

/// The character for each byte.
fn alphabet() -> [char; 256] {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut others = (0x100..).filter_map(char::from_u32);
    std::array::from_fn(|byte| match char::from_u32(byte as u32).filter(|c| printable(*c as u32)) {
        Some(c) => c,
        None => others.next().expect("there are enough"),
    })
}

/// A `tokenizer.json` trained on texts; `<|endoftext|>` has id 0.
pub fn train(pre_tokenizer: &Value, texts: &[&str], vocab_size: usize) -> Value {
    let alphabet = alphabet();
    let byte_of: HashMap<char, u8> = alphabet.iter().copied().zip(0..=255).collect();
    let pieces: HashMap<Vec<u8>, u64> =
        count(pre_tokenizer, texts).into_iter().map(|(piece, n)| (piece.chars().map(|c| byte_of[&c]).collect(), n)).collect();
    let limits = Limits { vocab_size, min_frequency: 2, max_token_bytes: 64 };
    let learned = learn(&pieces, &std::array::from_fn(|byte| byte as u8), 1, limits);
    let spelled = |id: u32| learned.tokens[id as usize - 1].iter().map(|byte| alphabet[*byte as usize]).collect::<String>();
    let mut vocab = Map::from_iter([("<|endoftext|>".to_string(), json!(0))]);
    vocab.extend((1..=learned.tokens.len() as u32).map(|id| (spelled(id), json!(id))));
    let merges: Vec<Value> = learned.merges.iter().map(|(left, right)| json!([spelled(*left), spelled(*right)])).collect();
    let special = json!({"id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special], "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    })
}

/// A tokenizer of a `tokenizer.json`.
pub fn tokenizer(json: &Value) -> Tokenizer {
    let end = "<|endoftext|>";
    let bytes = serde_json::to_vec(json).expect("serializes");
    Tokenizer::from_files(TokenizerFiles::new(bytes, None, end, end, "", Map::new())).expect("loads")
}
