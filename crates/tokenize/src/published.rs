//! What of a published `tokenizer.json` decides ids, and whether it is of a kind that is encoded here.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::merge::{Merges, Spelled};
use crate::pieces::Splitter;
use crate::train::character_of;

/// The file as the tokenizers library writes and reads it.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    ignore_merges: bool,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// `["a", "b"]`, or in older files `"a b"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// A tokenizer that is encoded here.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) splitter: Splitter,
    pub(crate) merges: Merges,
    /// Text is normalized to form C.
    pub(crate) nfc: bool,
    /// Added tokens that plain text may match: a text that holds one is not encoded here.
    pub(crate) added: Vec<String>,
    /// Their first bytes.
    pub(crate) added_starts: Vec<u8>,
    /// With `ignore_merges`: a piece that is a token becomes its id, whether merges lead there or not.
    pub(crate) tokens: Option<HashMap<Vec<u8>, u32>>,
}

impl Published {
    /// `None` for a file of another kind.
    ///
    /// # Errors
    /// When the regex engine cannot be asked for its classes of characters.
    pub(crate) fn of(tokenizer_json: &[u8]) -> Result<Option<Self>, Error> {
        let Ok(file) = serde_json::from_slice::<File>(tokenizer_json) else { return Ok(None) };
        let nfc = match &file.normalizer {
            Value::Null => false,
            normalizer if normalizer["type"] == "NFC" => true,
            _ => return Ok(None),
        };
        let model = &file.model;
        // Without the bytes that every text has a token for, `unk_token`, `fuse_unk` and `byte_fallback` would matter, too.
        let plain = model.r#type == "BPE"
            && model.dropout.is_none_or(|rate| rate == 0.0)
            && model.continuing_subword_prefix.as_deref().unwrap_or_default().is_empty()
            && model.end_of_word_suffix.as_deref().unwrap_or_default().is_empty()
            && keeps_ids(&file.post_processor);
        let (specials, added): (Vec<Added>, Vec<Added>) = file.added_tokens.into_iter().partition(|token| token.special);
        let mut added: Vec<String> = added.into_iter().map(|token| token.content).collect();
        // Whether the others are matched in normalized or in other text makes no difference where both are the same.
        if !plain || added.iter().any(|token| token.is_empty() || !token.is_ascii()) {
            return Ok(None);
        }
        added.sort_unstable();
        let mut added_starts: Vec<u8> = added.iter().map(|token| token.as_bytes()[0]).collect();
        added_starts.dedup();
        let Some(splitter) = Splitter::of_pre_tokenizer(&file.pre_tokenizer).transpose()? else { return Ok(None) };
        let Some((merges, vocab)) = tables(model) else { return Ok(None) };
        let tokens = model.ignore_merges.then(|| without(vocab, &specials));
        Ok(Some(Self { splitter, merges, nfc, added, added_starts, tokens }))
    }

    /// Whether plain text may match an added token.
    pub(crate) fn holds_added(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self.added_starts[..] {
            [] => false,
            [start] => bytes.iter().enumerate().any(|(at, byte)| *byte == start && self.added_at(&bytes[at..])),
            _ => bytes.iter().enumerate().any(|(at, byte)| self.added_starts.contains(byte) && self.added_at(&bytes[at..])),
        }
    }

    fn added_at(&self, rest: &[u8]) -> bool {
        self.added.iter().any(|token| rest.starts_with(token.as_bytes()))
    }
}

/// A vocabulary without special tokens: what spells one in a text is text.
fn without(mut vocab: HashMap<Vec<u8>, u32>, specials: &[Added]) -> HashMap<Vec<u8>, u32> {
    let alphabet = alphabet();
    for token in specials.iter().filter_map(|token| bytes(&token.content, &alphabet)) {
        vocab.remove(&token);
    }
    vocab
}

/// Whether a post-processor, which is not asked to add special tokens, leaves ids as they are.
fn keeps_ids(processor: &Value) -> bool {
    match processor["type"].as_str() {
        None => processor.is_null(),
        Some("ByteLevel" | "RobertaProcessing" | "BertProcessing") => true,
        Some("Sequence") => processor["processors"].as_array().is_some_and(|all| all.iter().all(keeps_ids)),
        Some("TemplateProcessing") => {
            let parts = processor["single"].as_array().map(Vec::as_slice).unwrap_or_default();
            let texts: Vec<&Value> = parts.iter().filter_map(|part| part.get("Sequence")).collect();
            matches!(texts[..], [text] if text["id"] == "A")
        }
        Some(_) => false,
    }
}

/// The bytes that the characters of byte-level tokens stand for.
fn alphabet() -> HashMap<char, u8> {
    (0..=255).map(|byte| (character_of(byte), byte)).collect()
}

fn bytes(token: &str, alphabet: &HashMap<char, u8>) -> Option<Vec<u8>> {
    token.chars().map(|c| alphabet.get(&c).copied()).collect()
}

/// The model's tables, and its tokens by their bytes.
fn tables(model: &Model) -> Option<(Merges, HashMap<Vec<u8>, u32>)> {
    let alphabet = alphabet();
    let bytes = |token: &str| bytes(token, &alphabet);
    let mut ids: Vec<u32> = model.vocab.values().copied().collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    let vocab: HashMap<Vec<u8>, u32> = model.vocab.iter().filter_map(|(token, id)| Some((bytes(token)?, *id))).collect();
    let mut merges: Vec<Spelled> = Vec::with_capacity(model.merges.len());
    for merge in &model.merges {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
            Merge::Line(line) if line.starts_with("#version") => continue,
            Merge::Line(line) => line.split_once(' ')?,
        };
        merges.push(bytes(left).zip(bytes(right)));
    }
    Some((Merges::new(&vocab, &merges)?, vocab))
}
