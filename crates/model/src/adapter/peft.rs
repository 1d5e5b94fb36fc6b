//! Adapters as Hugging Face PEFT stores them: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Only keys that every PEFT version knows are written, sorted, so that old versions read them and the same adapter
//! gives the same bytes. Reading is strict: every key is used and every target is covered, else nothing is loaded.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::Kind;

use super::{LoraConfig, PROJECTIONS};
use crate::error::{Error, Result};
use crate::hf::pretty;
use crate::model::Model;
use crate::weights::{self, Outgoing, Slot, Snapshot};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// The name of a projection as PEFT's wrapper of a causal language model spells it.
pub(super) fn module_path(layer: i64, projection: usize) -> String {
    let block = if projection < 4 { "self_attn" } else { "mlp" };
    format!("base_model.model.model.layers.{layer}.{block}.{}", PROJECTIONS[projection])
}

/// The keys of `adapter_config.json` that change the result.
#[derive(Debug, Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: Option<i64>,
    lora_alpha: Option<f64>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    target_modules: Value,
    modules_to_save: Option<Vec<String>>,
    rank_pattern: Option<BTreeMap<String, Value>>,
    alpha_pattern: Option<BTreeMap<String, Value>>,
    layers_to_transform: Option<Value>,
}

impl PeftConfig {
    fn resolve(self) -> Result<LoraConfig> {
        let refuse = |text: &str| Err(Error::Adapter(text.to_owned()));
        if self.peft_type != "LORA" {
            return Err(Error::Adapter(format!("`peft_type` is `{}`, only `LORA` is supported", self.peft_type)));
        }
        if self.use_dora || self.fan_in_fan_out {
            return refuse("`use_dora` and `fan_in_fan_out` are not supported");
        }
        if self.bias.as_deref().is_some_and(|bias| bias != "none") {
            return refuse("`bias` must be `none`");
        }
        if self.modules_to_save.is_some_and(|modules| !modules.is_empty()) || self.layers_to_transform.is_some() {
            return refuse("`modules_to_save` and `layers_to_transform` are not supported");
        }
        if [self.rank_pattern, self.alpha_pattern].into_iter().flatten().any(|pattern| !pattern.is_empty()) {
            return refuse("`rank_pattern` and `alpha_pattern` are not supported");
        }
        let target_modules = match self.target_modules {
            Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Value::String(name) if name == "all-linear" => PROJECTIONS.map(str::to_owned).to_vec(),
            other => {
                return Err(Error::Adapter(format!("`target_modules` is `{other}`, expected a list of projection names")));
            }
        };
        let config = LoraConfig {
            r: self.r.unwrap_or(8),
            alpha: self.lora_alpha.unwrap_or(8.0),
            // `lora_dropout` in the file is not read: a trained adapter is used without it.
            dropout: 0.0,
            use_rslora: self.use_rslora,
            target_modules,
        };
        config.validate()?;
        Ok(config)
    }
}

impl Model {
    /// Writes [`Model::adapter_snapshot`] into `dir`.
    ///
    /// # Errors
    /// No adapter, or as [`Snapshot::write`].
    pub fn save_adapter(&self, dir: &Path, base_model: &str) -> Result<()> {
        self.adapter_snapshot(base_model)?.write(dir)
    }

    /// The files of the attached adapter, over the model's own memory.
    /// `base_model` is what `base_model_name_or_path` says: where the base model is found.
    ///
    /// # Errors
    /// No adapter.
    pub fn adapter_snapshot(&self, base_model: &str) -> Result<Snapshot> {
        let Some(adapter) = &self.adapter else {
            return Err(Error::Adapter("there is no adapter to save".to_owned()));
        };
        let tensors: BTreeMap<String, Outgoing> =
            adapter.params.iter().map(|param| (param.name.clone(), Outgoing::new(param.master.shallow_clone(), Kind::Float))).collect();
        let config = &adapter.config;
        // Alpha is an integer in nearly all files, and some readers insist on it.
        let alpha = if config.alpha.fract() == 0.0 { json!(config.alpha as i64) } else { json!(config.alpha) };
        let value = json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "lora_alpha": alpha,
            "lora_dropout": config.dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": config.r,
            "target_modules": config.target_modules,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": config.use_rslora,
        });
        Ok(Snapshot::new(WEIGHTS, tensors, vec![(CONFIG, pretty(&value))]))
    }

    /// Attaches the adapter in a PEFT directory.
    ///
    /// # Errors
    /// Kinds of adapter that are not supported, tensors that are missing, unexpected or of another shape, by name.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let raw: PeftConfig = serde_json::from_str(&text).map_err(|source| Error::Json { path, source })?;
        self.attach_lora(&raw.resolve()?, 0)?;
        let loaded = self.fill_adapter(dir);
        if loaded.is_err() {
            self.detach_lora()?;
        }
        loaded
    }

    fn fill_adapter(&self, dir: &Path) -> Result<()> {
        let params = self.trainable();
        let slots: Vec<Slot> =
            params.iter().map(|param| Slot { name: &param.name, target: &param.master, start: 0, rows: param.master.size()[0] }).collect();
        weights::read_into(&[dir.join(WEIGHTS)], &slots, |name| name.replace(".default.", "."), |_| false)?;
        self.refresh()
    }
}
