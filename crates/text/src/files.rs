//! The files of a tokenizer directory, in the layout `transformers` reads and writes.
//!
//! | file | what for |
//! | --- | --- |
//! | `tokenizer.json` | vocabulary, merges, pre-tokenizer, added tokens |
//! | `tokenizer_config.json` | `bos_token`, `eos_token`, `pad_token`, `chat_template` |
//! | `special_tokens_map.json` | the same three tokens; read where the configuration lacks them |
//! | `chat_template.jinja` | the chat template; wins over the `chat_template` key |
//! | `additional_chat_templates/*.jinja` | further named templates |
//! | `generation_config.json` | `eos_token_id`, which may list several stop tokens |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::Error;
use crate::tokenizer::num_ids;

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_MAP: &str = "special_tokens_map.json";
const TEMPLATE: &str = "chat_template.jinja";
const GENERATION: &str = "generation_config.json";

/// The contents of a tokenizer directory.
#[derive(Debug, Clone)]
pub struct TokenizerFiles {
    origin: PathBuf,
    tokenizer_json: Vec<u8>,
    config: Map<String, Value>,
    special_map: Map<String, Value>,
    templates: BTreeMap<String, String>,
    stop_ids: Vec<u32>,
}

impl TokenizerFiles {
    /// Reads an HF directory, or a single `tokenizer.json` together with what lies beside it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (dir, tokenizer) = if path.is_dir() {
            (path.to_path_buf(), path.join(TOKENIZER))
        } else {
            (path.parent().map(Path::to_path_buf).unwrap_or_default(), path.to_path_buf())
        };
        if !tokenizer.exists() {
            if path.is_dir() {
                return Err(Error::NoTokenizer { path: path.to_path_buf() });
            }
            return Err(Error::Io { path: tokenizer, source: std::io::ErrorKind::NotFound.into() });
        }
        let tokenizer_json = read(&tokenizer)?;
        let config = read_object(&dir.join(CONFIG))?;
        let special_map = read_object(&dir.join(SPECIAL_MAP))?;
        let templates = read_templates(&dir, &config)?;
        let generation = read_object(&dir.join(GENERATION))?;
        let stop_ids = match generation.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_u64).map(|id| id as u32).collect(),
            Some(id) => id.as_u64().map(|id| id as u32).into_iter().collect(),
            None => Vec::new(),
        };
        Ok(Self { origin: path.to_path_buf(), tokenizer_json, config, special_map, templates, stop_ids })
    }

    /// The files of a tokenizer made here: `tokenizer_json` as serialized by the tokenizers library, its special tokens, a chat template.
    ///
    /// `extra` goes into `tokenizer_config.json` as it is; `transformers` ignores keys that it does not know.
    pub fn new(tokenizer_json: Vec<u8>, bos: Option<&str>, eos: &str, pad: &str, chat_template: &str, extra: Map<String, Value>) -> Self {
        let mut config = Map::new();
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        if let Some(bos) = bos {
            config.insert("bos_token".into(), json!(bos));
        }
        config.insert("eos_token".into(), json!(eos));
        config.insert("pad_token".into(), json!(pad));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        config.insert("add_bos_token".into(), json!(false));
        config.insert("add_eos_token".into(), json!(false));
        config.insert("chat_template".into(), json!(chat_template));
        config.extend(extra);
        let templates = BTreeMap::from([("default".to_string(), chat_template.to_string())]);
        Self { origin: PathBuf::new(), tokenizer_json, config, special_map: Map::new(), templates, stop_ids: Vec::new() }
    }

    /// Where the files were read from; empty if they were made here.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The bytes of `tokenizer.json`.
    pub fn tokenizer_json(&self) -> &[u8] {
        &self.tokenizer_json
    }

    /// Largest id + 1, for a tokenizer of which nothing else is asked: its templates and special tokens need not be usable.
    pub fn vocab_size(&self) -> Result<usize, Error> {
        let tokenizer = tokenizers::Tokenizer::from_bytes(&self.tokenizer_json)
            .map_err(|e| Error::BadTokenizer { path: self.origin.clone(), message: e.to_string() })?;
        Ok(num_ids(&tokenizer))
    }

    /// `tokenizer_config.json`.
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// The special token under `key` (`bos_token`, `eos_token`, `pad_token`), a plain string or an object with `content`.
    pub fn special_token(&self, key: &str) -> Option<&str> {
        let stated = matches!(self.config.get(key), Some(Value::String(_) | Value::Object(_)));
        let map = if stated { &self.config } else { &self.special_map };
        match map.get(key)? {
            Value::String(token) => Some(token),
            Value::Object(token) => token.get("content")?.as_str(),
            _ => None,
        }
    }

    /// What `add_bos_token` says, if it is there.
    pub(crate) fn adds_bos(&self) -> Option<bool> {
        self.config.get("add_bos_token")?.as_bool()
    }

    /// Digest of all that [`TokenizerFiles::copy_to`] writes: also of what changes no id, such as a chat template. 32 hex digits.
    pub fn digest(&self) -> String {
        let Self { origin: _, tokenizer_json, config, special_map, templates, stop_ids } = self;
        let parts = json!([config, special_map, templates, stop_ids]).to_string();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(tokenizer_json.len() as u64).to_le_bytes()).update(tokenizer_json).update(parts.as_bytes());
        hasher.finalize().to_hex()[..32].to_string()
    }

    /// The default chat template's source.
    pub fn chat_template(&self) -> Option<&str> {
        self.named_template("default")
    }

    /// A chat template by name (`default`, `tool_use`, …).
    pub fn named_template(&self, name: &str) -> Option<&str> {
        self.templates.get(name).map(String::as_str)
    }

    /// Replaces the default chat template.
    pub fn set_chat_template(&mut self, source: &str) {
        self.templates.insert("default".into(), source.into());
        self.config.insert("chat_template".into(), json!(source));
    }

    /// Stop tokens listed in `generation_config.json`.
    pub(crate) fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    /// Writes the stop tokens as `generation_config.json` into `dir`, where there are any. Not part of [`copy_to`](Self::copy_to), because
    /// a model's folder has a `generation_config.json` of the model's own.
    pub fn write_stop_ids(&self, dir: &Path) -> Result<(), Error> {
        if self.stop_ids.is_empty() {
            return Ok(());
        }
        write_json(&dir.join(GENERATION), &json!({ "eos_token_id": self.stop_ids }))
    }

    /// Writes every file into the existing directory `dir`, the chat template both as a file and as a key of the configuration.
    ///
    /// Files are written in place: give it a directory that is not yet visible, and publish that atomically.
    pub fn copy_to(&self, dir: &Path) -> Result<(), Error> {
        write(&dir.join(TOKENIZER), &self.tokenizer_json)?;
        let mut config = self.config.clone();
        if let Some(template) = self.chat_template() {
            config.insert("chat_template".into(), json!(template));
            write(&dir.join(TEMPLATE), template.as_bytes())?;
        }
        for (name, source) in self.templates.iter().filter(|(name, _)| *name != "default") {
            let folder = dir.join("additional_chat_templates");
            std::fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
            write(&folder.join(format!("{name}.jinja")), source.as_bytes())?;
        }
        write_json(&dir.join(CONFIG), &Value::Object(config))?;
        let mut special = self.special_map.clone();
        for key in ["bos_token", "eos_token", "pad_token"] {
            if let (None, Some(token)) = (special.get(key), self.special_token(key)) {
                special.insert(key.into(), json!(token));
            }
        }
        write_json(&dir.join(SPECIAL_MAP), &Value::Object(special))
    }
}

/// All templates by name: the key of the configuration first, then files, which win.
fn read_templates(dir: &Path, config: &Map<String, Value>) -> Result<BTreeMap<String, String>, Error> {
    let mut templates = BTreeMap::new();
    match config.get("chat_template") {
        Some(Value::String(source)) => {
            templates.insert("default".to_string(), source.clone());
        }
        Some(Value::Array(named)) => {
            for entry in named {
                if let (Some(name), Some(source)) = (entry["name"].as_str(), entry["template"].as_str()) {
                    templates.insert(name.to_string(), source.to_string());
                }
            }
        }
        _ => {}
    }
    let folder = dir.join("additional_chat_templates");
    if folder.is_dir() {
        for entry in std::fs::read_dir(&folder).map_err(|source| Error::Io { path: folder.clone(), source })? {
            let path = entry.map_err(|source| Error::Io { path: folder.clone(), source })?.path();
            if path.extension().is_some_and(|e| e == "jinja")
                && let Some(name) = path.file_stem().and_then(|s| s.to_str())
            {
                templates.insert(name.to_string(), read_text(&path)?);
            }
        }
    }
    let file = dir.join(TEMPLATE);
    if file.exists() {
        templates.insert("default".into(), read_text(&file)?);
    }
    Ok(templates)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })
}

fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })
}

/// A JSON object, empty if the file does not exist.
fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    if !path.exists() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&read(path)?).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|source| Error::Io { path: path.to_path_buf(), source })
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    bytes.push(b'\n');
    write(path, &bytes)
}
