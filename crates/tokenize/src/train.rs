//! Training: counts pieces over the documents, learns merges, and puts the result into Hugging Face's file format.

use std::collections::HashMap;

use handoff::{ShardReader, UpstreamShard, columns, schema};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stage::{Bar, CancelToken};
use text::{Tokenizer, TokenizerFiles, special};

use crate::bpe::{self, Learned, Limits};
use crate::config::TrainSettings;
use crate::count::Counts;
use crate::pieces::{Splitter, pre_tokenizer};
use crate::{BATCH_BYTES, Error};

/// Documents read at a time.
const BATCH_ROWS: usize = 2048;

/// A piece longer than this is counted in parts: without cuts, a whole Chinese clause or a line of dashes is one piece, and the
/// distinct ones would fill the memory (tokens are much shorter anyway).
const MAX_PIECE_CHARS: usize = 48;

/// How a tokenizer came about; stands in `tokenizer_config.json` under `training`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingRecord {
    /// The settings.
    pub(crate) settings: TrainSettings,
    /// Digest of the shards that it was trained on.
    pub(crate) corpus_digest: String,
    /// Share of the documents that was read.
    pub(crate) sampling_rate: f64,
    /// Documents read.
    pub(crate) documents: u64,
    /// Their text in bytes.
    pub(crate) bytes: u64,
    /// Distinct pieces.
    pub(crate) pieces: u64,
    /// How often a piece was dropped because the memory was used up.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) dropped_pieces: u64,
    /// By how much the count of a piece can be too low because of that, at most.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) most_lost_count: u64,
    /// Ids, without padding.
    pub(crate) vocab_size: u64,
    /// Rows that a model's embedding has: `vocab_size` to a multiple of 64.
    pub(crate) padded_vocab_size: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Trains a tokenizer on documents, within about `max_bytes` of memory for pieces.
pub(crate) fn train(
    shards: &[UpstreamShard],
    settings: &TrainSettings,
    max_bytes: u64,
    corpus_digest: String,
    chat_template: &str,
    bar: &Bar,
    cancel: &CancelToken,
) -> Result<Option<TokenizerFiles>, Error> {
    let total = total_bytes(shards)?;
    let rate = (settings.train_max_bytes as f64 / total.max(1) as f64).min(1.0);
    let Some(counted) = count(shards, settings, rate, max_bytes, bar, cancel)? else {
        return Ok(None);
    };
    if counted.counts.pieces().is_empty() {
        return Err(Error::NoText);
    }
    let first_id = (special::ALL.len() + settings.reserved_tokens) as u32;
    let limits =
        Limits { vocab_size: settings.vocab_size, min_frequency: settings.min_frequency, max_token_bytes: settings.max_token_bytes };
    let learned = bpe::learn(counted.counts.pieces(), &alphabet_bytes(), first_id, limits);
    let json = tokenizer_json(&learned, settings);
    let vocab_size = first_id as usize + learned.tokens.len();
    let (dropped_pieces, most_lost_count) = counted.counts.dropped();
    let record = TrainingRecord {
        settings: settings.clone(),
        corpus_digest,
        sampling_rate: rate,
        documents: counted.documents,
        bytes: counted.bytes,
        pieces: counted.counts.pieces().len() as u64,
        dropped_pieces,
        most_lost_count,
        vocab_size: vocab_size as u64,
        padded_vocab_size: vocab_size.next_multiple_of(text::VOCAB_MULTIPLE) as u64,
    };
    let mut extra = Map::new();
    extra.insert("training".into(), serde_json::to_value(&record).unwrap_or_default());
    let bytes = serde_json::to_vec_pretty(&json).map_err(|e| Error::Build { message: e.to_string() })?;
    Ok(Some(TokenizerFiles::new(bytes, Some(special::END), special::END, special::PAD, chat_template, extra)))
}

/// The record that a tokenizer carries, if it was trained here.
pub(crate) fn record_of(tokenizer: &Tokenizer) -> Option<TrainingRecord> {
    serde_json::from_value(tokenizer.files().config().get("training")?.clone()).ok()
}

struct Counted {
    counts: Counts,
    documents: u64,
    bytes: u64,
}

/// Bytes of text in all shards.
fn total_bytes(shards: &[UpstreamShard]) -> Result<u64, Error> {
    let mut total = 0;
    for shard in shards {
        let reader = ShardReader::open(&shard.path, &schema::documents())?;
        for batch in reader.batches_of(BATCH_ROWS, &["num_bytes"])? {
            total += columns::i64s(&batch?, "num_bytes")?.values().iter().map(|n| (*n).max(0) as u64).sum::<u64>();
        }
    }
    Ok(total)
}

/// Whether a document belongs to a sample of rate `rate`: a function of its id alone, so it is the same in any order.
fn sampled(id: &str, rate: f64) -> bool {
    rate >= 1.0 || unit_hash(id) < rate
}

/// A number from 0 to 1 that depends on `id` only.
fn unit_hash(id: &str) -> f64 {
    let digest = handoff::DigestBuilder::new().field("train-sample", id).finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Counts the pieces of all sampled documents; `None` if cancelled.
fn count(
    shards: &[UpstreamShard],
    settings: &TrainSettings,
    rate: f64,
    max_bytes: u64,
    bar: &Bar,
    cancel: &CancelToken,
) -> Result<Option<Counted>, Error> {
    let splitter = Splitter::new(settings.pattern, settings.split_digits, settings.isolate_han)?;
    let mut counted = Counted { counts: Counts::new(max_bytes), documents: 0, bytes: 0 };
    for shard in shards {
        shard.digest.check(&shard.path)?;
        let reader = ShardReader::open(&shard.path, &schema::documents())?;
        for batch in reader.batches_of(reader.rows_within(BATCH_BYTES, "text", BATCH_ROWS), &["id", "text"])? {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            counted.counts.make_room();
            let batch = batch?;
            let (ids, texts) = (columns::strings(&batch, "id")?, columns::strings(&batch, "text")?);
            let texts: Vec<&str> = (0..batch.num_rows()).filter(|row| sampled(ids.value(*row), rate)).map(|row| texts.value(row)).collect();
            counted.documents += texts.len() as u64;
            counted.bytes += texts.iter().map(|text| text.len() as u64).sum::<u64>();
            let pieces = texts.par_iter().fold(HashMap::new, |mut pieces: HashMap<&str, u64>, text| {
                splitter.pieces(text, |piece| each_part(piece, |part| *pieces.entry(part).or_default() += 1));
                pieces
            });
            for part in pieces.collect::<Vec<_>>() {
                part.into_iter().for_each(|(piece, n)| counted.counts.add(piece, n));
            }
            bar.inc(batch.num_rows() as u64);
        }
    }
    Ok(Some(counted))
}

/// The piece itself, or its parts of [`MAX_PIECE_CHARS`] characters.
fn each_part<'t>(piece: &'t str, mut take: impl FnMut(&'t str)) {
    let mut rest = piece;
    while rest.len() > MAX_PIECE_CHARS {
        let Some((at, _)) = rest.char_indices().nth(MAX_PIECE_CHARS) else {
            break;
        };
        take(&rest[..at]);
        rest = &rest[at..];
    }
    take(rest);
}

/// GPT-2's alphabet: the character that stands for each byte.
pub(crate) fn character_of(byte: u8) -> char {
    let code = match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => u32::from(byte),
        0x00..=0x20 => 0x100 + u32::from(byte),
        0x7F..=0xA0 => 0x121 + u32::from(byte) - 0x7F,
        0xAD => 0x143,
    };
    // All codes are below U+0144, where there are no surrogates.
    char::from_u32(code).unwrap_or('\u{FFFD}')
}

/// The bytes in the order of their characters, which is how the tokenizers library numbers them.
fn alphabet_bytes() -> [u8; 256] {
    let mut bytes: [u8; 256] = std::array::from_fn(|i| i as u8);
    bytes.sort_by_key(|byte| character_of(*byte));
    bytes
}

pub(crate) fn spelled(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| character_of(*byte)).collect()
}

/// The whole `tokenizer.json`.
fn tokenizer_json(learned: &Learned, settings: &TrainSettings) -> Value {
    let names: Vec<String> =
        special::ALL.iter().map(|name| name.to_string()).chain((0..settings.reserved_tokens).map(special::reserved)).collect();
    let spelled_tokens: Vec<String> = learned.tokens.iter().map(|bytes| spelled(bytes)).collect();
    let mut vocab = Map::new();
    for (id, token) in names.iter().chain(&spelled_tokens).enumerate() {
        vocab.insert(token.clone(), json!(id));
    }
    let token = |id: u32| &spelled_tokens[id as usize - names.len()];
    let merges: Vec<Value> = learned.merges.iter().map(|(left, right)| json!([token(*left), token(*right)])).collect();
    let cuts = pre_tokenizer(settings.pattern, settings.split_digits, settings.isolate_han);
    byte_level_json(&(0..).zip(names).collect::<Vec<_>>(), cuts, vocab, merges, false)
}

/// A `tokenizer.json` of byte-level BPE: special tokens with their ids, how text is cut, ids by token, and merges in order.
pub(crate) fn byte_level_json(
    specials: &[(u32, String)],
    cuts: Value,
    vocab: Map<String, Value>,
    merges: Vec<Value>,
    ignore_merges: bool,
) -> Value {
    let added: Vec<Value> = specials
        .iter()
        .map(|(id, name)| {
            json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": cuts,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": ignore_merges,
            "vocab": vocab,
            "merges": merges,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_that_of_the_library() {
        let library = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let ours: Vec<char> = alphabet_bytes().iter().map(|byte| character_of(*byte)).collect();
        assert!(ours.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ours.iter().all(|c| library.contains(c)) && ours.len() == library.len());
        assert_eq!(spelled(" 中\n".as_bytes()), "Ġä¸ŃĊ");
    }

    #[test]
    fn long_pieces_are_counted_in_parts() {
        let long = "中".repeat(100);
        let mut parts = Vec::new();
        each_part(&long, |part| parts.push(part.chars().count()));
        assert_eq!(parts, [48, 48, 4]);
        let mut short = Vec::new();
        each_part("ab", |part| short.push(part));
        assert_eq!(short, ["ab"]);
    }

    #[test]
    fn a_sample_has_about_its_rate_and_grows_with_it() {
        let ids: Vec<String> = (0..4000).map(|n| format!("{n:032x}")).collect();
        let tenth: Vec<&String> = ids.iter().filter(|id| sampled(id, 0.1)).collect();
        assert!((320..480).contains(&tenth.len()), "{}", tenth.len());
        assert!(tenth.iter().all(|id| sampled(id, 0.2)));
        assert!(ids.iter().all(|id| sampled(id, 1.0)));
    }
}
