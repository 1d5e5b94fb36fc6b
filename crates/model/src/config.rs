//! The architecture, in the field names of a Hugging Face `config.json`.
//!
//! Two steps: [`HfConfig`] mirrors the file with everything optional, [`HfConfig::resolve`] fills in what the
//! `transformers` library would and refuses what this crate does not compute.
//! Written files use the keys that every version of that library reads: `rope_theta` at the top level
//! (version 4 ignores `rope_parameters` and would quietly take 10000), `torch_dtype` for the type.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The type that weights have in a saved file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// 32-bit floats: what was trained, exactly.
    #[default]
    F32,
    /// bfloat16: half the size, rounded.
    Bf16,
}

impl Dtype {
    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }
}

/// A resolved Llama architecture. Build one with [`Config::llama`] or read one with [`Config::from_dir`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Number of token ids, special tokens included.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width inside the gated feed-forward layer.
    pub intermediate_size: i64,
    /// Number of blocks.
    pub num_hidden_layers: i64,
    /// Query heads.
    pub num_attention_heads: i64,
    /// Key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: i64,
    /// Width of one head; even.
    pub head_dim: i64,
    /// The longest sequence that the rotation tables cover.
    pub max_position_embeddings: i64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether the output matrix is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// The token that begins a document, if any.
    pub bos_token_id: Option<i64>,
    /// Tokens that end a document or a turn. The first is the one written in singular places.
    pub eos_token_ids: Vec<i64>,
    /// The token that fills up short rows, if any.
    pub pad_token_id: Option<i64>,
    /// The type that weights are saved in.
    pub save_dtype: Dtype,
}

/// A `config.json` as it stands: absent keys are `None`.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "each field is the key of the same name in config.json; Config documents them")]
pub struct HfConfig {
    pub model_type: Option<String>,
    pub vocab_size: i64,
    pub hidden_size: i64,
    pub intermediate_size: i64,
    pub num_hidden_layers: i64,
    pub num_attention_heads: i64,
    pub num_key_value_heads: Option<i64>,
    pub head_dim: Option<i64>,
    pub max_position_embeddings: Option<i64>,
    pub rms_norm_eps: Option<f64>,
    pub rope_theta: Option<f64>,
    pub rope_scaling: Option<RopeParameters>,
    pub rope_parameters: Option<RopeParameters>,
    pub tie_word_embeddings: Option<bool>,
    pub hidden_act: Option<String>,
    pub attention_bias: Option<bool>,
    pub mlp_bias: Option<bool>,
    pub bos_token_id: Option<i64>,
    pub eos_token_id: Option<OneOrMany>,
    pub pad_token_id: Option<i64>,
    pub torch_dtype: Option<String>,
    pub dtype: Option<String>,
}

/// The rotary settings of newer files (`rope_parameters`), or the scaling of older ones (`rope_scaling`).
#[derive(Debug, Clone, Deserialize)]
pub struct RopeParameters {
    /// Base of the rotary frequencies.
    pub rope_theta: Option<f64>,
    /// Kind of scaling; only `default` is computed here.
    #[serde(alias = "type")]
    pub rope_type: Option<String>,
}

/// One token id, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(i64),
    /// Several.
    Many(Vec<i64>),
}

impl HfConfig {
    /// Fills in defaults as `transformers` does for `LlamaConfig`, and checks that the model can be computed here.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn resolve(self) -> Result<Config> {
        let refuse = |key: &str, got: &dyn std::fmt::Display, want: &str| {
            Err(Error::Config(format!("`{key}` is `{got}`, only {want} is supported")))
        };
        if let Some(kind) = &self.model_type
            && kind != "llama"
        {
            return refuse("model_type", kind, "`llama`");
        }
        if let Some(act) = &self.hidden_act
            && act != "silu"
        {
            return refuse("hidden_act", act, "`silu`");
        }
        for (key, value) in [("attention_bias", self.attention_bias), ("mlp_bias", self.mlp_bias)] {
            if value == Some(true) {
                return refuse(key, &true, "`false`");
            }
        }
        for (key, rope) in [("rope_scaling", &self.rope_scaling), ("rope_parameters", &self.rope_parameters)] {
            if let Some(kind) = rope.as_ref().and_then(|rope| rope.rope_type.as_deref())
                && kind != "default"
            {
                return refuse(&format!("{key}.rope_type"), &kind, "`default`");
            }
        }
        if self.num_attention_heads <= 0 {
            return Err(Error::Config("`num_attention_heads` must be positive".to_owned()));
        }
        let config = Config {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads),
            max_position_embeddings: self.max_position_embeddings.unwrap_or(2048),
            rms_norm_eps: self.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(10_000.0),
            tie_word_embeddings: self.tie_word_embeddings.unwrap_or(false),
            bos_token_id: self.bos_token_id,
            eos_token_ids: match self.eos_token_id {
                None => Vec::new(),
                Some(OneOrMany::One(id)) => vec![id],
                Some(OneOrMany::Many(ids)) => ids,
            },
            pad_token_id: self.pad_token_id,
            save_dtype: match self.dtype.or(self.torch_dtype).as_deref() {
                Some("bfloat16" | "float16") => Dtype::Bf16,
                _ => Dtype::F32,
            },
        };
        config.validate()?;
        Ok(config)
    }
}

impl Config {
    /// A Llama of this size with the usual choices: feed-forward width 8/3 of the hidden size rounded up to a multiple
    /// of 64 (Shazeer, arXiv 2002.05202, keeps the parameter count of an ungated layer), as many key heads as query
    /// heads, tied embeddings, rotary base 10000, 2048 positions. Change the fields you want, then [`Config::validate`].
    pub fn llama(vocab_size: i64, hidden_size: i64, num_hidden_layers: i64, num_attention_heads: i64) -> Self {
        Self {
            vocab_size,
            hidden_size,
            intermediate_size: (hidden_size * 8 / 3 + 63) / 64 * 64,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: num_attention_heads,
            head_dim: hidden_size / num_attention_heads.max(1),
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
            bos_token_id: None,
            eos_token_ids: Vec::new(),
            pad_token_id: None,
            save_dtype: Dtype::F32,
        }
    }

    /// Reads `config.json` in a model directory.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON of this form, or asks for what is not supported.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let raw: HfConfig = serde_json::from_str(&text).map_err(|source| Error::Json { path, source })?;
        raw.resolve()
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// As [`Config::from_dir`].
    pub fn from_json(text: &str) -> Result<Self> {
        let raw: HfConfig = serde_json::from_str(text).map_err(|source| Error::Json { path: "config.json".into(), source })?;
        raw.resolve()
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the fields and their values.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            if value <= 0 {
                return Err(Error::Config(format!("`{key}` is {value}, it must be positive")));
            }
        }
        if self.num_attention_heads % self.num_key_value_heads != 0 {
            return Err(Error::Config(format!(
                "`num_attention_heads` ({}) is not a multiple of `num_key_value_heads` ({})",
                self.num_attention_heads, self.num_key_value_heads
            )));
        }
        if self.hidden_size % self.num_attention_heads != 0 {
            // Nothing here needs it when `head_dim` is given, but transformers refuses to open such a model.
            return Err(Error::Config(format!(
                "`hidden_size` ({}) is not a multiple of `num_attention_heads` ({})",
                self.hidden_size, self.num_attention_heads
            )));
        }
        if self.head_dim % 2 != 0 {
            return Err(Error::Config(format!("`head_dim` is {}, rotary positions need an even number", self.head_dim)));
        }
        if !(self.rms_norm_eps > 0.0 && self.rope_theta > 0.0) {
            return Err(Error::Config("`rms_norm_eps` and `rope_theta` must be positive".to_owned()));
        }
        let ids = self.eos_token_ids.iter().chain(&self.bos_token_id).chain(&self.pad_token_id);
        for id in ids {
            if *id < 0 || *id >= self.vocab_size {
                return Err(Error::Config(format!("special token {id} is outside the vocabulary of {}", self.vocab_size)));
            }
        }
        Ok(())
    }

    /// Number of weights; a tied output matrix counts once.
    pub fn num_params(&self) -> i64 {
        let attention = self.hidden_size * self.head_dim * 2 * (self.num_attention_heads + self.num_key_value_heads);
        let mlp = 3 * self.hidden_size * self.intermediate_size;
        let embeddings = self.vocab_size * self.hidden_size * if self.tie_word_embeddings { 1 } else { 2 };
        self.num_hidden_layers * (attention + mlp + 2 * self.hidden_size) + embeddings + self.hidden_size
    }

    /// Floating-point operations to train on one token of a sequence of this length: 6 a weight used in a matrix product
    /// (forward 2, backward 4; the embedding look-up is none, the output matrix counts) plus causal attention,
    /// 6 · layers · length · query width (Kaplan et al., arXiv 2001.08361, halved for the causal mask).
    pub fn flops_per_token(&self, length: i64) -> f64 {
        let lookup = if self.tie_word_embeddings { 0 } else { self.vocab_size * self.hidden_size };
        let matrices = self.num_params() - lookup - self.hidden_size * (2 * self.num_hidden_layers + 1);
        6.0 * matrices as f64 + 6.0 * (self.num_hidden_layers * length * self.num_attention_heads * self.head_dim) as f64
    }

    /// The text of `config.json`.
    pub fn to_json(&self) -> String {
        let eos = self.eos_json();
        let value = json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": null,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": self.save_dtype.name(),
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        pretty(&value)
    }

    /// The text of `generation_config.json`: greedy decoding up to the end tokens.
    pub fn generation_json(&self) -> String {
        let mut value = json!({ "_from_model_config": true, "do_sample": false });
        for (key, id) in
            [("bos_token_id", json!(self.bos_token_id)), ("eos_token_id", self.eos_json()), ("pad_token_id", json!(self.pad_token_id))]
        {
            if !id.is_null() {
                value[key] = id;
            }
        }
        pretty(&value)
    }

    fn eos_json(&self) -> Value {
        match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [id] => json!(id),
            ids => json!(ids),
        }
    }
}

/// Indented JSON with a final newline.
pub(crate) fn pretty(value: &Value) -> String {
    let mut text = format!("{value:#}");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_config_reads_back() {
        let mut config = Config::llama(100, 64, 2, 4);
        config.num_key_value_heads = 2;
        config.rope_theta = 500_000.0;
        config.eos_token_ids = vec![1, 2];
        config.pad_token_id = Some(0);
        config.save_dtype = Dtype::Bf16;
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn both_places_of_rope_theta_are_read() {
        let base = r#""vocab_size":8,"hidden_size":4,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2"#;
        let theta = |extra: &str| Config::from_json(&format!("{{{base}{extra}}}")).unwrap().rope_theta;
        assert_eq!(theta(""), 10_000.0);
        assert_eq!(theta(r#","rope_theta":5.0"#), 5.0);
        assert_eq!(theta(r#","rope_parameters":{"rope_theta":7.0,"rope_type":"default"}"#), 7.0);
        let error = Config::from_json(&format!(r#"{{{base},"rope_scaling":{{"rope_type":"llama3","factor":8.0}}}}"#)).unwrap_err();
        assert_eq!(error.to_string(), "model configuration: `rope_scaling.rope_type` is `llama3`, only `default` is supported");
    }

    #[test]
    fn contradictions_are_refused() {
        let mut config = Config::llama(100, 64, 2, 4);
        config.num_key_value_heads = 3;
        assert!(config.validate().unwrap_err().to_string().contains("not a multiple"));
        config = Config::llama(100, 64, 2, 4);
        config.eos_token_ids = vec![100];
        assert!(config.validate().unwrap_err().to_string().contains("outside the vocabulary of 100"));
    }

    #[test]
    fn parameters_are_counted() {
        let config = Config::llama(2048, 128, 4, 2);
        // 2048·128 + 4·(4·128·128 + 3·128·384 + 2·128) + 128
        assert_eq!(config.num_params(), 262_144 + 4 * (65_536 + 147_456 + 256) + 128);
    }
}
