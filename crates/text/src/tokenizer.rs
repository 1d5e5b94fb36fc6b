//! [`Tokenizer`]: a Hugging Face tokenizer with the rules of this project about special tokens.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::ModelWrapper;

use crate::raw_bytes::Spelling;
use crate::{ChatTemplate, Error, StreamDecoder, TokenizerFiles, plain};

/// Embeddings of models made here have a multiple of this many rows: matrix units like it, and it leaves room for later tokens.
pub const VOCAB_MULTIPLE: usize = 64;

/// Most ids of a vocabulary: tables by id are as long as the highest, so that a single wrong number in a file could take all memory.
pub const MAX_IDS: usize = 1 << 24;

/// What to do with a special token spelled out in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It is text like any other.
    Plain,
    /// It becomes its id.
    Parse,
}

/// Token ids, and the bytes of the text that each stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Byte range of each token. Exact for byte-level vocabularies, where a range may cut a character; otherwise as the
    /// tokenizers library reports it.
    pub offsets: Vec<Range<usize>>,
}

/// A tokenizer loaded from its files. `Send + Sync`; share it behind an `Arc`.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    files: TokenizerFiles,
    plain: tokenizers::Tokenizer,
    parsing: tokenizers::Tokenizer,
    spelling: Spelling,
    specials: Vec<(String, u32)>,
    is_special: Vec<bool>,
    eos_id: Option<u32>,
    bos_id: Option<u32>,
    begin_id: Option<u32>,
    pad_id: Option<u32>,
    unk_id: Option<u32>,
    stop_ids: Vec<u32>,
    digest: String,
    template: Option<ChatTemplate>,
}

impl Tokenizer {
    /// Loads an HF directory, or a `tokenizer.json` with what lies beside it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_files(TokenizerFiles::read(path)?)
    }

    /// The tokenizer that `files` describe.
    ///
    /// Truncation and padding saved in `tokenizer.json` are switched off: they would silently drop text. So is the dropout of merges (a
    /// regularization while training, Provilkov et al. 2020, "BPE-Dropout"): the same text has the same ids.
    pub fn from_files(files: TokenizerFiles) -> Result<Self, Error> {
        let path = files.origin().to_path_buf();
        let mut parsing = tokenizers::Tokenizer::from_bytes(files.tokenizer_json())
            .map_err(|e| Error::BadTokenizer { path: path.clone(), message: e.to_string() })?;
        parsing.with_truncation(None).map_err(|e| Error::BadTokenizer { path: path.clone(), message: e.to_string() })?;
        parsing.with_padding(None);
        if let ModelWrapper::BPE(model) = parsing.get_model()
            && model.dropout.is_some()
        {
            let mut model = model.clone();
            model.dropout = None;
            parsing.with_model(model);
        }
        let size = num_ids(&parsing);
        if size > MAX_IDS {
            let message = format!("an id is {}, but ids end at {MAX_IDS}", size - 1);
            return Err(Error::BadTokenizer { path, message });
        }
        let mut specials: Vec<(String, u32)> = parsing
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (token.content, id))
            .collect();
        specials.sort_by_key(|(_, id)| *id);
        let mut is_special = vec![false; size];
        for (_, id) in &specials {
            is_special[*id as usize] = true;
        }

        let lookup = |key: &'static str| match files.special_token(key) {
            None => Ok(None),
            Some(token) => parsing.token_to_id(token).map(Some).ok_or_else(|| Error::UnknownSpecial {
                path: path.clone(),
                key,
                token: token.to_string(),
            }),
        };
        let (eos_id, bos_id, pad_id) = (lookup("eos_token")?, lookup("bos_token")?, lookup("pad_token")?);
        let adds_bos = match files.adds_bos() {
            Some(adds) => adds,
            None => {
                let template = parsing.encode_fast("", true).map_err(failed)?;
                bos_id.is_some() && template.get_ids().first().copied() == bos_id
            }
        };
        let begin_id = bos_id.filter(|_| adds_bos);
        let mut stop_ids: Vec<u32> = files.stop_ids().iter().copied().chain(eos_id).collect();
        stop_ids.sort_unstable();
        stop_ids.dedup();

        let (plain, unk_id) =
            plain::plain(&parsing, &specials).map_err(|e| Error::BadTokenizer { path: path.clone(), message: e.to_string() })?;
        let digest = digest(files.tokenizer_json(), [eos_id, bos_id, pad_id]);
        let template = files
            .chat_template()
            .map(|source| ChatTemplate::new(source, files.special_token("bos_token"), files.special_token("eos_token")))
            .transpose()?;
        let spelling = Spelling::of(parsing.get_decoder());
        Ok(Self {
            files,
            plain,
            parsing,
            spelling,
            specials,
            is_special,
            eos_id,
            bos_id,
            begin_id,
            pad_id,
            unk_id,
            stop_ids,
            digest,
            template,
        })
    }

    /// Ids of plain text: special tokens spelled in it are not parsed, and none are added. The unknown token occurs where the vocabulary
    /// has no piece, and a special token that the model's own merges lead to, as a word.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.plain.encode_fast(text, false).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of a text that was written by a template: special tokens in it become their ids; none are added.
    pub fn encode_parsing_special(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.parsing.encode_fast(text, false).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids with the bytes that each stands for.
    pub fn encode_with_offsets(&self, text: &str, special: Special) -> Result<Encoded, Error> {
        let inner = match special {
            Special::Plain => &self.plain,
            Special::Parse => &self.parsing,
        };
        let encoding = inner.encode(text, false).map_err(failed)?;
        let ids = encoding.get_ids().to_vec();
        let offsets =
            self.exact_offsets(&ids, text).unwrap_or_else(|| encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect());
        Ok(Encoded { ids, offsets })
    }

    /// Offsets by adding up the tokens' own bytes, where those spell the text exactly. The library's offsets may leave out the
    /// space at a token's start, and give the whole character to each token that holds a part of it.
    fn exact_offsets(&self, ids: &[u32], text: &str) -> Option<Vec<Range<usize>>> {
        let mut offsets = Vec::with_capacity(ids.len());
        let mut end = 0;
        for id in ids {
            let token = self.parsing.id_to_token(*id)?;
            let bytes = if self.is_special(*id) { token.into_bytes() } else { self.spelling.bytes(&token) };
            let start = end;
            end += bytes.len();
            if text.as_bytes().get(start..end)? != bytes {
                return None;
            }
            offsets.push(start..end);
        }
        (end == text.len()).then_some(offsets)
    }

    /// Text of `ids`, special tokens spelled out. Bytes that form no character become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.parsing.decode(ids, false).map_err(failed)
    }

    /// Text of `ids` without special tokens.
    pub fn decode_skipping_special(&self, ids: &[u32]) -> Result<String, Error> {
        self.parsing.decode(ids, true).map_err(failed)
    }

    /// A decoder that takes ids one by one and gives text as soon as it is whole.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(&self.parsing)
    }

    /// The id of a vocabulary entry or added token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.parsing.token_to_id(token)
    }

    /// The vocabulary entry of an id, as spelled in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.parsing.id_to_token(id)
    }

    /// Whether `id` is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.is_special.get(id as usize).copied().unwrap_or(false)
    }

    /// All special tokens with their ids, by id.
    pub fn specials(&self) -> &[(String, u32)] {
        &self.specials
    }

    /// The token that ends a document and a turn.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos_id
    }

    /// The token that begins a sequence, if the tokenizer has one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos_id
    }

    /// The token that the tokenizer itself puts before every text, as Llama's and Mistral's do with their [`bos_id`](Self::bos_id): models
    /// trained with it expect it there. `add_bos_token` in `tokenizer_config.json` says so, else the post-processor does.
    pub fn begin_id(&self) -> Option<u32> {
        self.begin_id
    }

    /// The token that fills rows, if the tokenizer has one.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad_id
    }

    /// The token that stands for text that the vocabulary has no piece for, if there can be such text.
    pub fn unk_id(&self) -> Option<u32> {
        self.unk_id
    }

    /// Every token at which generation stops: the end token and what `generation_config.json` lists; sorted.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    /// Largest id + 1.
    pub fn vocab_size(&self) -> usize {
        self.is_special.len()
    }

    /// [`vocab_size`](Self::vocab_size) rounded up to a multiple of [`VOCAB_MULTIPLE`]: the rows of our models' embedding.
    pub fn padded_vocab_size(&self) -> usize {
        self.vocab_size().next_multiple_of(VOCAB_MULTIPLE)
    }

    /// The bytes of text that a token stands for; empty for special tokens and unused ids.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        match self.parsing.id_to_token(id) {
            Some(token) if !self.is_special(id) => self.spelling.bytes(&token),
            _ => Vec::new(),
        }
    }

    /// Length in bytes of every id's text, 0 for special tokens: what bits per byte divide by.
    pub fn token_byte_lengths(&self) -> Vec<u32> {
        (0..self.vocab_size() as u32).map(|id| self.token_bytes(id).len() as u32).collect()
    }

    /// 128 bits of BLAKE3, in hex, over `tokenizer.json` and the ids of the end, begin and pad tokens: two tokenizers with the
    /// same digest give the same ids. The chat template is not part of it; see [`ChatTemplate::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The chat template, if there is one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Replaces the chat template, also in the files that [`TokenizerFiles::copy_to`] writes.
    pub fn set_chat_template(&mut self, source: &str) -> Result<(), Error> {
        let (bos, eos) = (self.files.special_token("bos_token"), self.files.special_token("eos_token"));
        self.template = Some(ChatTemplate::new(source, bos, eos)?);
        self.files.set_chat_template(source);
        Ok(())
    }

    /// The files, to copy into a model directory.
    pub fn files(&self) -> &TokenizerFiles {
        &self.files
    }

    /// Where the tokenizer was read from.
    pub fn origin(&self) -> PathBuf {
        self.files.origin().to_path_buf()
    }
}

/// Largest id + 1.
pub(crate) fn num_ids(tokenizer: &tokenizers::Tokenizer) -> usize {
    tokenizer.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
}

fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenize { message: error.to_string() }
}

/// See [`Tokenizer::digest`].
fn digest(tokenizer_json: &[u8], ids: [Option<u32>; 3]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(tokenizer_json.len() as u64).to_le_bytes());
    hasher.update(tokenizer_json);
    for id in ids {
        hasher.update(&id.map_or(-1, i64::from).to_le_bytes());
    }
    hasher.finalize().to_hex()[..32].to_string()
}
