//! What the token shards were encoded with: one tokenizer, the same for all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use handoff::{Error as HandoffError, ShardReader, SharedMetadata, StageDir, TokenWidth, UpstreamShard, schema};
use stage::{InputRef, StageContext, TableInputs};
use text::Tokenizer;

use crate::Error;
use crate::config::Config;
use crate::pack::TokenBytes;

/// Metadata keys that travel from token shards to sample shards as they are.
const CARRIED: [&str; 6] = ["tokenizer_digest", "vocab_size", "padded_vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"];

/// The tokenizer behind all shards, and what packing has to know of it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) tokenizer: Tokenizer,
    /// Bytes of text behind each id.
    pub(crate) token_bytes: TokenBytes,
    pub(crate) end_id: u32,
    /// The tokenizer's own pad token, which no text may hold.
    pub(crate) own_pad_id: Option<u32>,
    /// What fills rows: that, or the end token.
    pub(crate) pad_id: u32,
    pub(crate) width: TokenWidth,
    /// The keys of [`CARRIED`], `pad_token_id` being what fills rows.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Opens a shard of table `tokens` of either width.
pub(crate) fn open(path: &Path) -> Result<ShardReader, Error> {
    match ShardReader::open(path, &schema::tokens(TokenWidth::U16)) {
        Err(HandoffError::WrongColumn { column, .. }) if column == "input_ids" => {
            Ok(ShardReader::open(path, &schema::tokens(TokenWidth::U32))?)
        }
        other => Ok(other?),
    }
}

/// Where the tokenizer is.
pub(crate) fn tokenizer_dir(ctx: &StageContext, config: &Config, inputs: &TableInputs) -> Result<PathBuf, Error> {
    match &config.tokenizer {
        Some(reference) => Ok(match ctx.resolve(reference) {
            InputRef::Stage(stage) => ctx.run.reference(&stage).tokenizer_dir(),
            InputRef::Path(path) => path,
        }),
        None => inputs.stages.first().map(StageDir::tokenizer_dir).ok_or(Error::NoTokenizer),
    }
}

impl Source {
    /// Checks that all shards come from one tokenizer, and that the one in `tokenizer_dir` is it.
    pub(crate) fn open(shards: &[UpstreamShard], tokenizer_dir: &Path) -> Result<Self, Error> {
        let mut shared = SharedMetadata::new(&CARRIED);
        for shard in shards {
            shared.add(&open(&shard.path)?)?;
        }
        let path = shared.path().ok_or_else(|| HandoffError::NoInput { path: tokenizer_dir.to_path_buf() })?;
        let key = |key: &'static str| shared.get(key).ok_or_else(|| Error::NoMetadata { path: path.to_path_buf(), key });
        let number = |name: &'static str| key(name)?.parse::<u32>().map_err(|_| Error::NoMetadata { path: path.to_path_buf(), key: name });
        let tokenizer = Tokenizer::load(tokenizer_dir)?;
        if tokenizer.digest() != key("tokenizer_digest")? {
            return Err(Error::OtherTokenizer {
                path: tokenizer_dir.to_path_buf(),
                expected: key("tokenizer_digest")?.to_string(),
                got: tokenizer.digest().to_string(),
            });
        }
        let own_pad_id = if shared.get("pad_token_id").is_some() { Some(number("pad_token_id")?) } else { None };
        let end_id = number("eos_token_id")?;
        let pad_id = own_pad_id.unwrap_or(end_id);
        let mut metadata: BTreeMap<_, _> =
            CARRIED.iter().filter_map(|name| Some((name.to_string(), shared.get(name)?.to_string()))).collect();
        metadata.insert("pad_token_id".into(), pad_id.to_string());
        Ok(Self {
            token_bytes: TokenBytes::new(tokenizer.token_byte_lengths()),
            width: TokenWidth::for_vocab(number("padded_vocab_size")? as usize),
            end_id,
            own_pad_id,
            pad_id,
            metadata,
            tokenizer,
        })
    }
}
