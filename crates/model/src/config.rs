//! The architecture, in the field names of a Hugging Face `config.json`.

use crate::error::{Error, Result};
use crate::scaling::RopeScaling;

/// The layouts that are computed here, by the `model_type` of `config.json`. All are decoders with RMSNorm before each
/// branch, rotary positions, grouped-query attention (Ainslie et al., arXiv 2305.13245) and SwiGLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModelType {
    /// Llama (Touvron et al., arXiv 2302.13971; Grattafiori et al., arXiv 2407.21783). Can have biases everywhere.
    #[default]
    Llama,
    /// Qwen2 (Yang et al., arXiv 2407.10671): biases on query, key and value; layers can have a sliding window.
    Qwen2,
    /// Qwen3 (Yang et al., arXiv 2505.09388): RMSNorm of each head's query and key before rotation, no biases unless
    /// `attention_bias`; layers can have a sliding window.
    Qwen3,
    /// Mistral (Jiang et al., arXiv 2310.06825): no biases; all layers can have a sliding window.
    Mistral,
}

impl ModelType {
    pub(crate) const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Mistral];

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Mistral => "mistral",
        }
    }

    /// The class of `transformers` that opens such a model.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Mistral => "MistralForCausalLM",
        }
    }
}

/// What a layer's attention sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// All tokens before it.
    Full,
    /// The last `sliding_window` tokens, itself included.
    Sliding,
}

impl LayerType {
    pub(crate) const ALL: [Self; 2] = [Self::Full, Self::Sliding];

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full_attention",
            Self::Sliding => "sliding_attention",
        }
    }
}

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

/// A resolved architecture. Build one with [`Config::llama`] and the fields you want otherwise, or read one with
/// [`Config::from_dir`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The layout.
    pub model_type: ModelType,
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
    /// The longest sequence in tokens. With dynamic scaling and YaRN, files can have the length before scaling
    /// under this name; here it is the length after.
    pub max_position_embeddings: i64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are scaled to longer sequences, if they are.
    pub rope_scaling: Option<RopeScaling>,
    /// Tokens that a sliding layer sees, itself included. Absent: all layers see everything.
    pub sliding_window: Option<i64>,
    /// Which layers slide. Empty: all of them where there is a `sliding_window`.
    pub layer_types: Vec<LayerType>,
    /// Biases on the query, key, value and output projections (`llama`, `qwen3`). `qwen2` has those on the first three
    /// always, and false here.
    pub attention_bias: bool,
    /// Biases in the feed-forward layer (`llama`).
    pub mlp_bias: bool,
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

/// Most that a number may be, by its key: far beyond what anybody trains, and so small that no product of them overflows.
/// Tables of angles are held in memory for every position.
const MOST: [(&str, i64); 8] = [
    ("vocab_size", 1 << 26),
    ("hidden_size", 1 << 18),
    ("intermediate_size", 1 << 20),
    ("num_hidden_layers", 1 << 12),
    ("num_attention_heads", 1 << 12),
    ("num_key_value_heads", 1 << 12),
    ("head_dim", 1 << 14),
    ("max_position_embeddings", 1 << 26),
];

/// Checks one number of [`MOST`].
pub(crate) fn check_number(key: &str, value: i64) -> Result<()> {
    if value <= 0 {
        return Err(Error::Config(format!("`{key}` is {value}, it must be positive")));
    }
    match MOST.iter().find(|(name, _)| *name == key) {
        Some((_, most)) if value > *most => Err(Error::Config(format!("`{key}` is {value}, at most {most} are possible"))),
        _ => Ok(()),
    }
}

impl Config {
    /// A Llama of this size with the usual choices: feed-forward width 8/3 of the hidden size rounded up to a multiple
    /// of 64 (Shazeer, arXiv 2002.05202, keeps the parameter count of an ungated layer), as many key heads as query
    /// heads, tied embeddings, rotary base 10000, 2048 positions. Change the fields you want, then [`Config::validate`].
    pub fn llama(vocab_size: i64, hidden_size: i64, num_hidden_layers: i64, num_attention_heads: i64) -> Self {
        Self {
            model_type: ModelType::Llama,
            vocab_size,
            hidden_size,
            intermediate_size: (hidden_size.saturating_mul(8) / 3 + 63) / 64 * 64,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: num_attention_heads,
            head_dim: hidden_size / num_attention_heads.max(1),
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            sliding_window: None,
            layer_types: Vec::new(),
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: true,
            bos_token_id: None,
            eos_token_ids: Vec::new(),
            pad_token_id: None,
            save_dtype: Dtype::F32,
        }
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
            check_number(key, value)?;
        }
        if self.num_attention_heads % self.num_key_value_heads != 0 {
            return Err(Error::Config(format!(
                "`num_attention_heads` ({}) is not a multiple of `num_key_value_heads` ({})",
                self.num_attention_heads, self.num_key_value_heads
            )));
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if width % heads != 0 && matches!(self.model_type, ModelType::Llama | ModelType::Qwen2) {
            // Nothing here needs it when `head_dim` is given, but transformers refuses to open such a model.
            return Err(Error::Config(format!("`hidden_size` ({width}) is not a multiple of `num_attention_heads` ({heads})")));
        }
        if self.model_type == ModelType::Qwen2 && self.head_dim != width / heads {
            // The layout has no such key.
            return Err(Error::Config(format!("`head_dim` is {}, a `qwen2` has {width} / {heads}", self.head_dim)));
        }
        if self.head_dim % 2 != 0 {
            return Err(Error::Config(format!("`head_dim` is {}, rotary positions need an even number", self.head_dim)));
        }
        if !(self.rms_norm_eps > 0.0 && self.rope_theta > 0.0) {
            return Err(Error::Config("`rms_norm_eps` and `rope_theta` must be positive".to_owned()));
        }
        if let Some(scaling) = &self.rope_scaling {
            scaling.validate(self)?;
        }
        self.validate_layout()?;
        let ids = self.eos_token_ids.iter().chain(&self.bos_token_id).chain(&self.pad_token_id);
        for id in ids {
            if *id < 0 || *id >= self.vocab_size {
                return Err(Error::Config(format!("special token {id} is outside the vocabulary of {}", self.vocab_size)));
            }
        }
        Ok(())
    }

    /// What only some model types have.
    fn validate_layout(&self) -> Result<()> {
        let kind = self.model_type;
        let refuse = |key: &str| Err(Error::Config(format!("`{key}`: a `{}` has none", kind.name())));
        if self.attention_bias && !matches!(kind, ModelType::Llama | ModelType::Qwen3) {
            return refuse("attention_bias");
        }
        if self.mlp_bias && kind != ModelType::Llama {
            return refuse("mlp_bias");
        }
        if self.sliding_window.is_some() && kind == ModelType::Llama {
            return refuse("sliding_window");
        }
        if self.sliding_window.is_some_and(|window| window <= 0) {
            return Err(Error::Config("`sliding_window` must be positive".to_owned()));
        }
        if self.layer_types.is_empty() {
            return Ok(());
        }
        if self.layer_types.len() as i64 != self.num_hidden_layers {
            let (types, layers) = (self.layer_types.len(), self.num_hidden_layers);
            return Err(Error::Config(format!("`layer_types` has {types} entries for {layers} layers")));
        }
        if self.sliding_window.is_none() || kind == ModelType::Mistral {
            return Err(Error::Config(format!("`layer_types` needs a `sliding_window`, and not a `{}`", ModelType::Mistral.name())));
        }
        Ok(())
    }

    /// Whether a layer (from 0) has a sliding window.
    pub(crate) fn layer_type(&self, layer: i64) -> LayerType {
        let listed = usize::try_from(layer).ok().and_then(|layer| self.layer_types.get(layer));
        match listed {
            Some(kind) => *kind,
            None if self.sliding_window.is_some() => LayerType::Sliding,
            None => LayerType::Full,
        }
    }

    /// Whether query, key and value projections have biases.
    pub(crate) fn has_qkv_bias(&self) -> bool {
        self.attention_bias || self.model_type == ModelType::Qwen2
    }

    /// Whether query and key are normalized in each head.
    pub(crate) fn has_qk_norm(&self) -> bool {
        self.model_type == ModelType::Qwen3
    }

    /// Width of all query heads, and that of all key heads.
    pub(crate) fn widths(&self) -> (i64, i64) {
        (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim)
    }

    /// Number of weights; a tied output matrix counts once.
    pub fn num_params(&self) -> i64 {
        let embeddings = self.vocab_size * self.hidden_size * if self.tie_word_embeddings { 1 } else { 2 };
        self.block_matrices() + self.vectors() + embeddings
    }

    /// Weights of all blocks that are used in a matrix product.
    fn block_matrices(&self) -> i64 {
        let (q, kv) = self.widths();
        self.num_hidden_layers * (2 * self.hidden_size * (q + kv) + 3 * self.hidden_size * self.intermediate_size)
    }

    /// Weights of norms and biases.
    fn vectors(&self) -> i64 {
        let ((q, kv), d) = (self.widths(), self.hidden_size);
        let mut block = 2 * d;
        for (is_there, weights) in [
            (self.has_qkv_bias(), q + 2 * kv),
            (self.attention_bias, d),
            (self.mlp_bias, 2 * self.intermediate_size + d),
            (self.has_qk_norm(), 2 * self.head_dim),
        ] {
            block += if is_there { weights } else { 0 };
        }
        self.num_hidden_layers * block + d
    }

    /// Floating-point operations to train on one token of a sequence of this length: 6 a weight used in a matrix product
    /// (forward 2, backward 4; the embedding look-up is none, the output matrix counts) plus causal attention,
    /// 12 · query width · tokens seen on average, a layer (Kaplan et al., arXiv 2001.08361): half the length, less in
    /// sliding layers.
    pub fn flops_per_token(&self, length: i64) -> f64 {
        let seen = |layer| match (self.layer_type(layer), self.sliding_window) {
            (LayerType::Sliding, Some(window)) if window < length => window as f64 * (1.0 - window as f64 / (2 * length) as f64),
            _ => length as f64 / 2.0,
        };
        let matrices = self.block_matrices() + self.vocab_size * self.hidden_size;
        6.0 * matrices as f64 + 12.0 * self.widths().0 as f64 * (0..self.num_hidden_layers).map(seen).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn numbers_that_no_memory_holds_are_refused() {
        let error = |config: Config| config.validate().unwrap_err().to_string();
        let text = error(Config::llama(1_000_000_000_000, 64, 2, 4));
        assert_eq!(text, "model configuration: `vocab_size` is 1000000000000, at most 67108864 are possible");
        assert!(error(Config::llama(100, 64, 1_000_000_000, 4)).contains("`num_hidden_layers` is 1000000000, at most 4096"));
        assert!(error(Config::llama(100, 1 << 40, 2, 4)).contains("`hidden_size` is 1099511627776, at most 262144"));
        let [vocab, width, inner, layers, heads, groups, head, _] = MOST.map(|(_, most)| most);
        let largest =
            Config { intermediate_size: inner, num_key_value_heads: groups, head_dim: head, ..Config::llama(vocab, width, layers, heads) };
        largest.validate().unwrap();
        assert!(largest.num_params() > 1 << 52, "no product overflows: {}", largest.num_params());
    }

    #[test]
    fn parameters_are_counted() {
        let config = Config::llama(2048, 128, 4, 2);
        // 2048·128 + 4·(4·128·128 + 3·128·384 + 2·128) + 128
        assert_eq!(config.num_params(), 262_144 + 4 * (65_536 + 147_456 + 256) + 128);
    }
}
