//! `config.json` as Hugging Face models have it, and what its keys mean here.
//!
//! Reading gives what version 5 of `transformers` would compute, or an error that names the key. Keys that its class
//! for the model type does not read change nothing there, and nothing here. Both ways to state rotary positions are
//! read: `rope_theta` and `rope_scaling` (version 4), and `rope_parameters` (version 5).
//!
//! Written files have the first way, and `torch_dtype`: version 4 ignores `rope_parameters` and would quietly take
//! base 10000, version 5 reads both. Version 4.46 itself cannot do all that stands here: it ignores `rope_scaling` of
//! `mistral`, lets all layers of `qwen2` slide where some do, and has no `qwen3`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::config::{Config, Dtype, LayerType, ModelType, check_number};
use crate::error::{Error, Result};
use crate::scaling::{RopeScaling, attention_scale, extended};

/// A `config.json` as it stands: absent keys are `None`; where `null` means something else, it is `Some(None)`.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "each field is the key of the same name in config.json; Config documents them")]
pub struct HfConfig {
    pub model_type: Option<String>,
    pub vocab_size: i64,
    pub hidden_size: i64,
    pub intermediate_size: i64,
    pub num_hidden_layers: i64,
    pub num_attention_heads: i64,
    #[serde(default, deserialize_with = "stated")]
    pub num_key_value_heads: Option<Option<i64>>,
    #[serde(default, deserialize_with = "stated")]
    pub head_dim: Option<Option<i64>>,
    pub max_position_embeddings: Option<i64>,
    pub rms_norm_eps: Option<f64>,
    pub rope_theta: Option<f64>,
    pub rope_scaling: Option<RopeParameters>,
    pub rope_parameters: Option<RopeParameters>,
    pub partial_rotary_factor: Option<f64>,
    pub tie_word_embeddings: Option<bool>,
    pub hidden_act: Option<String>,
    pub attention_bias: Option<bool>,
    pub mlp_bias: Option<bool>,
    pub attention_dropout: Option<f64>,
    pub use_sliding_window: Option<bool>,
    #[serde(default, deserialize_with = "stated")]
    pub sliding_window: Option<Option<i64>>,
    pub max_window_layers: Option<i64>,
    pub layer_types: Option<Vec<String>>,
    pub quantization_config: Option<Value>,
    pub bos_token_id: Option<i64>,
    pub eos_token_id: Option<OneOrMany>,
    pub pad_token_id: Option<i64>,
    pub torch_dtype: Option<String>,
    pub dtype: Option<String>,
}

/// Tells a key that is `null` from one that is not there.
fn stated<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The rotary settings of newer files (`rope_parameters`), or the scaling of older ones (`rope_scaling`).
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(missing_docs, reason = "each field is the key of the same name in config.json; RopeScaling documents them")]
pub struct RopeParameters {
    pub rope_theta: Option<f64>,
    pub rope_type: Option<String>,
    /// The older name of `rope_type`; some versions write both.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub partial_rotary_factor: Option<f64>,
    pub original_max_position_embeddings: Option<i64>,
    pub truncate: Option<bool>,
    /// All other keys, with numbers where the scaling needs them.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
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

fn refuse<T>(key: &str, got: &dyn std::fmt::Display, want: &str) -> Result<T> {
    Err(Error::Config(format!("`{key}` is `{got}`, supported: {want}")))
}

/// What rotary keys say: base, scaling, longest sequence.
type Rotation = (f64, Option<RopeScaling>, i64);

impl HfConfig {
    /// Fills in defaults as `transformers` does for the model type, and checks that the model can be computed here.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn resolve(self) -> Result<Config> {
        let model_type = match self.model_type.as_deref() {
            None => ModelType::Llama,
            Some(name) => match ModelType::ALL.into_iter().find(|known| known.name() == name) {
                Some(known) => known,
                None => return refuse("model_type", &name, "`llama`, `qwen2`, `qwen3`, `mistral`"),
            },
        };
        self.check_fixed(model_type)?;
        // Used before the rest is checked: as a divisor, and for a list of layers.
        check_number("num_attention_heads", self.num_attention_heads)?;
        check_number("num_hidden_layers", self.num_hidden_layers)?;
        let (sliding_window, layer_types) = self.windows(model_type)?;
        let (rope_theta, rope_scaling, max_position_embeddings) = self.rotation(model_type)?;
        let default_groups = match model_type {
            ModelType::Llama => self.num_attention_heads,
            ModelType::Qwen2 | ModelType::Qwen3 => 32,
            ModelType::Mistral => 8,
        };
        let default_width = if model_type == ModelType::Qwen3 { 128 } else { self.hidden_size / self.num_attention_heads };
        let config = Config {
            model_type,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.map_or(default_groups, |n| n.unwrap_or(self.num_attention_heads)),
            head_dim: self.head_dim.flatten().unwrap_or(default_width),
            max_position_embeddings,
            rms_norm_eps: self.rms_norm_eps.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            sliding_window,
            layer_types,
            attention_bias: self.attention_bias == Some(true) && model_type != ModelType::Qwen2,
            mlp_bias: self.mlp_bias == Some(true),
            tie_word_embeddings: self.tie_word_embeddings.unwrap_or(false),
            bos_token_id: self.bos_token_id,
            eos_token_ids: match self.eos_token_id {
                None => Vec::new(),
                Some(OneOrMany::One(id)) => vec![id],
                Some(OneOrMany::Many(ids)) => ids,
            },
            // The first LLaMA files say -1 where there is none.
            pad_token_id: self.pad_token_id.filter(|id| *id >= 0),
            save_dtype: match self.dtype.or(self.torch_dtype).as_deref() {
                Some("bfloat16" | "float16") => Dtype::Bf16,
                _ => Dtype::F32,
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// Keys of which one value is supported.
    fn check_fixed(&self, model_type: ModelType) -> Result<()> {
        if let Some(act) = &self.hidden_act
            && act != "silu"
        {
            return refuse("hidden_act", act, "`silu`");
        }
        if let Some(dropout) = self.attention_dropout
            && dropout != 0.0
        {
            return refuse("attention_dropout", &dropout, "`0.0`");
        }
        if let Some(share) = self.partial_rotary_factor
            && share != 1.0
        {
            return refuse("partial_rotary_factor", &share, "`1.0`");
        }
        if let Some(quantization) = &self.quantization_config {
            return refuse("quantization_config", quantization, "`null`");
        }
        // Qwen2 has its biases whatever the key says.
        if self.attention_bias == Some(true) && model_type == ModelType::Mistral {
            return refuse("attention_bias", &true, "`false` of a `mistral`");
        }
        if self.mlp_bias == Some(true) && model_type != ModelType::Llama {
            return refuse("mlp_bias", &true, "`false` of all but a `llama`");
        }
        Ok(())
    }

    /// `sliding_window` and `layer_types` as [`Config`] has them.
    fn windows(&self, model_type: ModelType) -> Result<(Option<i64>, Vec<LayerType>)> {
        let stated = self.sliding_window.map_or(Some(4096), |window| window);
        let window = match (model_type, self.use_sliding_window) {
            // Files made from a `mistral` have the keys; the class for `llama` reads neither.
            (ModelType::Llama, _) => None,
            (ModelType::Mistral, Some(false)) if stated.is_some() => return refuse("use_sliding_window", &false, "`true` of a `mistral`"),
            (ModelType::Mistral, _) => stated,
            (ModelType::Qwen2 | ModelType::Qwen3, Some(true)) => stated,
            (ModelType::Qwen2 | ModelType::Qwen3, _) => None,
        };
        let layers = usize::try_from(self.num_hidden_layers).unwrap_or(0);
        let is_qwen = matches!(model_type, ModelType::Qwen2 | ModelType::Qwen3);
        let types: Vec<LayerType> = match &self.layer_types {
            Some(names) => {
                let known = |name: &String| match LayerType::ALL.into_iter().find(|kind| kind.name() == name) {
                    Some(kind) => Ok(kind),
                    None => refuse("layer_types", name, "`full_attention`, `sliding_attention`"),
                };
                names.iter().map(known).collect::<Result<_>>()?
            }
            None if is_qwen => {
                let first = usize::try_from(self.max_window_layers.unwrap_or(28)).unwrap_or(0);
                (0..layers).map(|i| if window.is_some() && i >= first { LayerType::Sliding } else { LayerType::Full }).collect()
            }
            None => vec![if window.is_some() { LayerType::Sliding } else { LayerType::Full }; layers],
        };
        if types.len() != layers {
            return Err(Error::Config(format!("`layer_types` has {} entries for {layers} layers", types.len())));
        }
        let sliding = types.iter().filter(|kind| **kind == LayerType::Sliding).count();
        if sliding > 0 && window.is_none() {
            return Err(Error::Config("`layer_types` has `sliding_attention`, but there is no sliding window".to_owned()));
        }
        if model_type == ModelType::Mistral && window.is_some() && sliding < layers {
            return refuse("layer_types", &"full_attention", "`sliding_attention` in a `mistral` with a sliding window");
        }
        Ok(match sliding {
            0 => (None, Vec::new()),
            n if n == layers => (window, Vec::new()),
            _ => (window, types),
        })
    }

    fn rotation(&self, model_type: ModelType) -> Result<Rotation> {
        let positions = self.max_position_embeddings.unwrap_or(match model_type {
            ModelType::Llama => 2048,
            ModelType::Qwen2 | ModelType::Qwen3 => 32_768,
            ModelType::Mistral => 131_072,
        });
        let theta = self.rope_theta.unwrap_or(10_000.0);
        let read = |key: &str, rope: &RopeParameters| rope.resolve(key, theta, positions);
        match (&self.rope_scaling, &self.rope_parameters) {
            (None, None) => Ok((theta, None, positions)),
            (Some(old), None) => read("rope_scaling", old),
            (None, Some(new)) => read("rope_parameters", new),
            (Some(old), Some(new)) => {
                let (scaled, stated) = (read("rope_scaling", old)?, read("rope_parameters", new)?);
                // Scaling that was written into a file of version 5, which has `default` there: version 5 takes it too, but
                // then forgets a base that stands in `rope_parameters` alone.
                let is_added = stated.1.is_none() && new.rope_theta.is_none_or(|theta| theta == scaled.0);
                if scaled != stated && !is_added {
                    let bases = format!("`rope_theta` {} and {}", scaled.0, stated.0);
                    return Err(Error::Config(format!(
                        "`rope_scaling` and `rope_parameters` do not say the same ({bases}): state all of it in `rope_parameters`"
                    )));
                }
                Ok(scaled)
            }
        }
    }
}

impl RopeParameters {
    /// `theta` and `positions` are those at the top level of the file.
    fn resolve(&self, key: &str, theta: f64, positions: i64) -> Result<Rotation> {
        let kind = self.rope_type.as_deref().or(self.kind.as_deref()).unwrap_or("default");
        if let (Some(new), Some(old)) = (&self.rope_type, &self.kind)
            && new != old
        {
            return Err(Error::Config(format!("`{key}` has `rope_type` `{new}` and `type` `{old}`")));
        }
        let numbers: &[&str] = match kind {
            "default" => &[],
            "linear" | "dynamic" => &["factor"],
            "yarn" => &["factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"],
            "llama3" => &["factor", "low_freq_factor", "high_freq_factor"],
            _ => return refuse(&format!("{key}.rope_type"), &kind, "`default`, `linear`, `dynamic`, `yarn`, `llama3`"),
        };
        if let Some(share) = self.partial_rotary_factor
            && share != 1.0
        {
            return refuse(&format!("{key}.partial_rotary_factor"), &share, "`1.0`");
        }
        let foreign = |name: &str| Err(Error::Config(format!("`{key}.{name}` is not supported with `rope_type` `{kind}`")));
        let mut given = BTreeMap::new();
        for (name, value) in self.other.iter().filter(|(_, value)| !value.is_null()) {
            if !numbers.contains(&name.as_str()) {
                return foreign(name);
            }
            let Some(number) = value.as_f64() else { return refuse(&format!("{key}.{name}"), value, "a number") };
            given.insert(name.as_str(), number);
        }
        if self.truncate.is_some() && kind != "yarn" {
            return foreign("truncate");
        }
        if self.original_max_position_embeddings.is_some_and(|original| original != positions) && !matches!(kind, "yarn" | "llama3") {
            return foreign("original_max_position_embeddings");
        }
        let need = |name: &str| match given.get(name) {
            Some(number) => Ok(*number),
            None => Err(Error::Config(format!("`{key}.{name}` is missing, `rope_type` `{kind}` needs it"))),
        };
        let original = self.original_max_position_embeddings.unwrap_or(positions);
        let mut longest = positions;
        let scaling = match kind {
            "linear" => Some(RopeScaling::Linear { factor: need("factor")? }),
            "dynamic" => {
                let factor = need("factor")?;
                longest = extended(positions, factor);
                Some(RopeScaling::Dynamic { factor, original_max_position_embeddings: positions })
            }
            "yarn" => {
                let factor = given.get("factor").copied().unwrap_or(positions as f64 / original.max(1) as f64);
                // Files state either the length before or that after; the former is the longer one's original.
                if original == positions {
                    longest = extended(original, factor);
                }
                let or = |name: &str, default: f64| given.get(name).copied().filter(|x| *x != 0.0).unwrap_or(default);
                let (top, bottom) = (or("mscale", 0.0), or("mscale_all_dim", 0.0));
                let attention_factor = given.get("attention_factor").copied().unwrap_or(if top != 0.0 && bottom != 0.0 {
                    attention_scale(factor, top) / attention_scale(factor, bottom)
                } else {
                    attention_scale(factor, 1.0)
                });
                Some(RopeScaling::Yarn {
                    factor,
                    original_max_position_embeddings: original,
                    attention_factor,
                    beta_fast: or("beta_fast", 32.0),
                    beta_slow: or("beta_slow", 1.0),
                    truncate: self.truncate.unwrap_or(true),
                })
            }
            "llama3" => Some(RopeScaling::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original_max_position_embeddings: original,
            }),
            _ => None,
        };
        Ok((self.rope_theta.unwrap_or(theta), scaling, longest))
    }
}

impl Config {
    /// Reads `config.json` in a model directory.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON of this form, or asks for what is not supported.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        parse(&text, &path)?.resolve()
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// As [`Config::from_dir`].
    pub fn from_json(text: &str) -> Result<Self> {
        parse(text, Path::new("config.json"))?.resolve()
    }

    /// The text of `config.json`.
    ///
    /// With dynamic scaling, and with YaRN where the factor says how much longer sequences became, its
    /// `max_position_embeddings` is the original length, as `transformers` expects.
    pub fn to_json(&self) -> String {
        let (scaling, positions) = match self.rope_scaling {
            None => (Value::Null, self.max_position_embeddings),
            Some(scaling) => scaling.to_file(self.max_position_embeddings),
        };
        let mut value = json!({
            "architectures": [self.model_type.architecture()],
            "attention_bias": self.attention_bias,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": self.eos_json(),
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": positions,
            "mlp_bias": self.mlp_bias,
            "model_type": self.model_type.name(),
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": scaling,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": self.save_dtype.name(),
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        if let Some(keys) = value.as_object_mut() {
            self.write_layout(keys);
        }
        pretty(&value)
    }

    /// Takes out keys that the model type does not have, and puts in those that only it has.
    fn write_layout(&self, keys: &mut serde_json::Map<String, Value>) {
        if self.model_type != ModelType::Llama {
            keys.remove("mlp_bias");
        }
        match self.model_type {
            ModelType::Llama => {}
            ModelType::Mistral => {
                keys.remove("attention_bias");
                keys.insert("sliding_window".to_owned(), json!(self.sliding_window));
            }
            ModelType::Qwen2 | ModelType::Qwen3 => {
                if self.model_type == ModelType::Qwen2 {
                    keys.remove("attention_bias");
                    keys.remove("head_dim");
                }
                keys.insert("use_sliding_window".to_owned(), json!(self.sliding_window.is_some()));
                keys.insert("sliding_window".to_owned(), json!(self.sliding_window));
                let types: Vec<LayerType> = (0..self.num_hidden_layers).map(|layer| self.layer_type(layer)).collect();
                let last_full = types.iter().rposition(|kind| *kind == LayerType::Full).map_or(0, |i| i + 1);
                keys.insert("max_window_layers".to_owned(), json!(last_full));
                if self.sliding_window.is_some() {
                    let names: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
                    keys.insert("layer_types".to_owned(), json!(names));
                }
            }
        }
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

/// The text of a `config.json`, as it stands.
fn parse(text: &str, path: &Path) -> Result<HfConfig> {
    let failed = |source| Error::Json { path: path.to_owned(), source };
    // A list would be taken for the fields in their order.
    serde_json::from_str::<serde_json::Map<String, Value>>(text).map_err(failed)?;
    serde_json::from_str(text).map_err(failed)
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

    const BASE: &str = r#""vocab_size":8,"hidden_size":32,"intermediate_size":8,"num_hidden_layers":3,"num_attention_heads":2,"num_key_value_heads":2,"head_dim":16"#;

    fn read(extra: &str) -> Result<Config> {
        Config::from_json(&format!("{{{BASE}{extra}}}"))
    }

    fn error(extra: &str) -> String {
        read(extra).unwrap_err().to_string()
    }

    /// One of each layout, with each scaling somewhere.
    fn family() -> Vec<Config> {
        let base = Config { num_key_value_heads: 2, eos_token_ids: vec![1, 2], pad_token_id: Some(0), ..Config::llama(100, 64, 3, 4) };
        let llama3 =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 512 };
        let dynamic = RopeScaling::Dynamic { factor: 4.0, original_max_position_embeddings: 512 };
        let mixed = vec![LayerType::Full, LayerType::Sliding, LayerType::Full];
        vec![
            base.clone(),
            Config { rope_theta: 500_000.0, save_dtype: Dtype::Bf16, ..base.clone() },
            Config { attention_bias: true, mlp_bias: true, rope_scaling: Some(RopeScaling::Linear { factor: 2.5 }), ..base.clone() },
            Config { rope_scaling: Some(llama3), head_dim: 32, ..base.clone() },
            Config { rope_scaling: Some(dynamic), ..base.clone() },
            Config { rope_scaling: Some(RopeScaling::yarn(4.0, 512)), ..base.clone() },
            Config { rope_scaling: Some(RopeScaling::yarn(3.0, 512)), ..base.clone() },
            Config { model_type: ModelType::Qwen2, ..base.clone() },
            Config { model_type: ModelType::Qwen2, sliding_window: Some(8), layer_types: mixed, ..base.clone() },
            Config { model_type: ModelType::Qwen3, attention_bias: true, head_dim: 10, sliding_window: Some(8), ..base.clone() },
            Config { model_type: ModelType::Mistral, sliding_window: Some(16), ..base.clone() },
            Config { model_type: ModelType::Mistral, head_dim: 8, ..base },
        ]
    }

    #[test]
    fn a_written_config_reads_back() {
        for config in family() {
            config.validate().unwrap();
            assert_eq!(Config::from_json(&config.to_json()).unwrap(), config, "{}", config.to_json());
        }
    }

    #[test]
    fn both_places_of_rope_theta_are_read() {
        let theta = |extra: &str| read(extra).unwrap().rope_theta;
        assert_eq!(theta(""), 10_000.0);
        assert_eq!(theta(r#","rope_theta":5.0"#), 5.0);
        assert_eq!(theta(r#","rope_parameters":{"rope_theta":7.0,"rope_type":"default"}"#), 7.0);
        assert_eq!(theta(r#","rope_theta":5.0,"rope_scaling":{"type":"linear","rope_type":"linear","factor":2}"#), 5.0);
        let both = r#","rope_theta":5.0,"rope_scaling":{"type":"linear","factor":2},"rope_parameters":{"rope_theta":5,"rope_type":"linear","factor":2.0}"#;
        assert_eq!(read(both).unwrap().rope_scaling, Some(RopeScaling::Linear { factor: 2.0 }));
        assert!(error(&both.replace("5.0", "6.0")).contains("`rope_scaling` and `rope_parameters` do not say the same"));
    }

    #[test]
    fn scaling_added_beside_default_parameters_counts() {
        let both = |scaling: &str, parameters: &str| {
            read(&format!(r#","max_position_embeddings":64,"rope_scaling":{scaling},"rope_parameters":{parameters}"#))
        };
        let yarn = r#"{"rope_type":"yarn","factor":4.0}"#;
        for parameters in [r#"{"rope_theta":10000.0,"rope_type":"default"}"#, r#"{"rope_type":"default"}"#, "{}"] {
            let config = both(yarn, parameters).unwrap();
            assert_eq!((config.rope_scaling, config.max_position_embeddings), (Some(RopeScaling::yarn(4.0, 64)), 256), "{parameters}");
        }
        let far = r#"{"rope_theta":500000.0,"rope_type":"default"}"#;
        let error = both(yarn, far).unwrap_err().to_string();
        assert!(error.contains("(`rope_theta` 10000 and 500000): state all of it in `rope_parameters`"), "{error}");
        let with_base = r#"{"rope_type":"yarn","factor":4.0,"rope_theta":500000.0}"#;
        assert_eq!(both(with_base, far).unwrap().rope_theta, 500_000.0);
        assert!(both(yarn, r#"{"rope_type":"linear","factor":4.0}"#).is_err());
    }

    #[test]
    fn a_file_that_is_no_object_is_refused_in_plain_words() {
        let causes = |text: &str| {
            let error = Config::from_json(text).unwrap_err();
            format!("{error}: {}", std::error::Error::source(&error).unwrap())
        };
        let layers = BASE.replace(r#""num_hidden_layers":3"#, r#""num_hidden_layers":1000000000"#);
        let error = Config::from_json(&format!("{{{layers}}}")).unwrap_err().to_string();
        assert_eq!(error, "model configuration: `num_hidden_layers` is 1000000000, at most 4096 are possible");
        assert_eq!(causes("[]"), "`config.json` is not valid here: invalid type: sequence, expected a map at line 1 column 0");
        assert!(causes("{").contains("EOF while parsing"));
        assert!(causes("{}").contains("missing field `vocab_size`"));
    }

    #[test]
    fn scaling_reads_with_its_defaults() {
        let scaling = |rope: &str| {
            let config = read(&format!(r#","max_position_embeddings":64,"rope_scaling":{rope}"#)).unwrap();
            (config.rope_scaling.unwrap(), config.max_position_embeddings)
        };
        let dynamic = RopeScaling::Dynamic { factor: 2.0, original_max_position_embeddings: 64 };
        assert_eq!(scaling(r#"{"type":"dynamic","factor":2.0}"#), (dynamic, 128));
        assert_eq!(scaling(r#"{"rope_type":"yarn","factor":4.0}"#), (RopeScaling::yarn(4.0, 64), 256));
        assert_eq!(
            scaling(r#"{"rope_type":"yarn","factor":null,"original_max_position_embeddings":16}"#),
            (RopeScaling::yarn(4.0, 16), 64)
        );
        let (yarn, _) = scaling(r#"{"rope_type":"yarn","factor":4.0,"mscale":2.0,"mscale_all_dim":1.0,"truncate":false}"#);
        let RopeScaling::Yarn { attention_factor, truncate, .. } = yarn else { panic!("{yarn:?}") };
        assert!((attention_factor - (0.2 * 4f64.ln() + 1.0) / (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12 && !truncate);
    }

    #[test]
    fn rotations_that_are_not_supported_are_named() {
        let rope = |text: &str| error(&format!(r#","rope_scaling":{text}"#));
        assert_eq!(
            rope(r#"{"rope_type":"longrope","factor":8.0}"#),
            "model configuration: `rope_scaling.rope_type` is `longrope`, supported: `default`, `linear`, `dynamic`, `yarn`, `llama3`"
        );
        assert!(rope(r#"{"rope_type":"llama3","factor":8.0}"#).contains("`rope_scaling.low_freq_factor` is missing"));
        assert!(rope(r#"{"rope_type":"default","mrope_section":[1,2]}"#).contains("`rope_scaling.mrope_section`"));
        assert!(rope(r#"{"rope_type":"linear","factor":2.0,"beta_fast":1}"#).contains("`rope_scaling.beta_fast`"));
        assert!(rope(r#"{"rope_type":"linear","type":"yarn","factor":2.0}"#).contains("`rope_type` `linear` and `type` `yarn`"));
        assert!(rope(r#"{"rope_type":"default","partial_rotary_factor":0.5}"#).contains("`rope_scaling.partial_rotary_factor`"));
        let nested = r#","rope_parameters":{"full_attention":{"rope_type":"default"}}"#;
        assert!(error(nested).contains("`rope_parameters.full_attention`"));
        assert!(error(r#","partial_rotary_factor":0.5"#).contains("`partial_rotary_factor` is `0.5`"));
    }

    #[test]
    fn layouts_that_are_not_supported_are_named() {
        for (extra, key) in [
            (r#","model_type":"gemma""#, "model_type"),
            (r#","hidden_act":"gelu""#, "hidden_act"),
            (r#","attention_dropout":0.1"#, "attention_dropout"),
            (r#","quantization_config":{"bits":4}"#, "quantization_config"),
            (r#","model_type":"mistral","attention_bias":true"#, "attention_bias"),
            (r#","model_type":"qwen2","mlp_bias":true"#, "mlp_bias"),
            (r#","model_type":"qwen3","layer_types":["full_attention","full_attention","chunked_attention"]"#, "layer_types"),
            (r#","model_type":"qwen2","layer_types":["full_attention"]"#, "layer_types"),
            (r#","model_type":"qwen2","layer_types":["full_attention","full_attention","sliding_attention"]"#, "layer_types"),
        ] {
            assert!(error(extra).contains(&format!("`{key}`")), "{extra}: {}", error(extra));
        }
    }

    #[test]
    fn no_pad_token_may_be_minus_one_and_positions_end_somewhere() {
        assert_eq!(read(r#","model_type":"llama","pad_token_id":-1"#).unwrap().pad_token_id, None);
        assert!(error(r#","model_type":"llama","max_position_embeddings":99999999999"#).contains("at most 67108864 are possible"));
    }

    #[test]
    fn windows_are_read_as_transformers_reads_them() {
        let windows = |extra: &str| read(extra).map(|config| (config.sliding_window, config.layer_types)).unwrap();
        use LayerType::{Full, Sliding};
        assert_eq!(windows(r#","model_type":"llama","sliding_window":8,"use_sliding_window":true"#), (None, vec![]), "not read");
        assert_eq!(windows(r#","model_type":"mistral""#), (Some(4096), vec![]), "absent is not null");
        assert_eq!(windows(r#","model_type":"mistral","sliding_window":null"#), (None, vec![]));
        assert_eq!(windows(r#","model_type":"qwen2","sliding_window":8,"max_window_layers":0"#), (None, vec![]));
        let used = r#","model_type":"qwen2","use_sliding_window":true,"sliding_window":8,"max_window_layers""#;
        assert_eq!(windows(&format!("{used}:0")), (Some(8), vec![]));
        assert_eq!(windows(&format!("{used}:2")), (Some(8), vec![Full, Full, Sliding]));
        assert_eq!(windows(&format!("{used}:28")), (None, vec![]));
        let listed = r#":0,"layer_types":["sliding_attention","full_attention","full_attention"]"#;
        assert_eq!(windows(&format!("{used}{listed}")), (Some(8), vec![Sliding, Full, Full]));
    }

    #[test]
    fn defaults_are_those_of_the_model_type() {
        let small = r#"{"vocab_size":8,"hidden_size":64,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":32"#;
        let of = |extra: &str| Config::from_json(&format!("{small},{extra}}}")).unwrap();
        assert_eq!(of(r#""model_type":"llama""#).num_key_value_heads, 32);
        let qwen3 = of(r#""model_type":"qwen3""#);
        assert_eq!((qwen3.head_dim, qwen3.max_position_embeddings), (128, 32_768));
        assert_eq!(of(r#""model_type":"mistral""#).num_key_value_heads, 8);
        assert_eq!(of(r#""model_type":"mistral","num_key_value_heads":null"#).num_key_value_heads, 32);
    }

    #[test]
    fn public_models_have_the_known_number_of_weights() {
        let llama3 =
            r#"{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":8192,"rope_type":"llama3"}"#;
        let window = r#""sliding_window":32768,"max_window_layers":24,"use_sliding_window":false"#;
        let shape = |vocab: i64, width: i64, inner: i64, layers: i64, heads: i64, groups: i64| {
            format!(
                r#""vocab_size":{vocab},"hidden_size":{width},"intermediate_size":{inner},"num_hidden_layers":{layers},"num_attention_heads":{heads},"num_key_value_heads":{groups}"#
            )
        };
        for (name, keys, weights) in [
            (
                "Llama 3.2 1B",
                format!(
                    r#""model_type":"llama","tie_word_embeddings":true,"rope_scaling":{llama3},{}"#,
                    shape(128_256, 2048, 8192, 16, 32, 8)
                ),
                1_235_814_400,
            ),
            (
                "Qwen2.5 0.5B",
                format!(r#""model_type":"qwen2","tie_word_embeddings":true,{window},{}"#, shape(151_936, 896, 4864, 24, 14, 2)),
                494_032_768,
            ),
            (
                "Qwen3 0.6B",
                format!(r#""model_type":"qwen3","tie_word_embeddings":true,"head_dim":128,{}"#, shape(151_936, 1024, 3072, 28, 16, 8)),
                596_049_920,
            ),
            (
                "Mistral 7B",
                format!(r#""model_type":"mistral","sliding_window":4096,{}"#, shape(32_000, 4096, 14_336, 32, 32, 8)),
                7_241_732_096,
            ),
        ] {
            assert_eq!(Config::from_json(&format!("{{{keys}}}")).unwrap().num_params(), weights, "{name}");
        }
    }
}
