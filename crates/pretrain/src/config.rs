//! Configuration of the stage; `default.toml` documents every key.

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;
use train::batch::{BatchPlan, Horizon};
use train::compute::Precision;
use train::lineage::OnNewData;
use train::schedule::Decay;
use train::settings::{Hyper, WeightsType, recipe};

/// Rows of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MicroRows {
    /// So many.
    Rows(u64),
    /// As many as memory holds.
    Auto(Auto),
}

/// The word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auto {
    /// Find out.
    Auto,
}

/// Layouts that a new model can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NewModel {
    /// Llama.
    Llama,
    /// Qwen2.
    Qwen2,
    /// Qwen3.
    Qwen3,
    /// Mistral.
    Mistral,
}

impl From<NewModel> for model::ModelType {
    fn from(name: NewModel) -> Self {
        match name {
            NewModel::Llama => Self::Llama,
            NewModel::Qwen2 => Self::Qwen2,
            NewModel::Qwen3 => Self::Qwen3,
            NewModel::Mistral => Self::Mistral,
        }
    }
}

/// `[stage.pretrain]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents each key")]
pub struct Config {
    pub inputs: String,
    pub tokenizer: String,
    pub init_from: Option<String>,
    pub model_type: Option<NewModel>,
    pub hidden_size: Option<i64>,
    pub num_layers: Option<i64>,
    pub num_heads: Option<i64>,
    pub num_kv_heads: Option<i64>,
    pub head_dim: Option<i64>,
    pub intermediate_size: Option<i64>,
    pub tie_embeddings: Option<bool>,
    pub rope_theta: Option<f64>,
    pub sliding_window: Option<i64>,
    pub max_positions: Option<i64>,
    pub extend_vocab: bool,
    pub batch_rows: u64,
    pub micro_batch_rows: Option<MicroRows>,
    pub epochs: Option<f64>,
    pub steps: Option<u64>,
    pub tokens: Option<u64>,
    pub tokens_per_parameter: Option<f64>,
    pub minutes: Option<f64>,
    pub cooldown_from: Option<String>,
    pub cooldown_steps: Option<u64>,
    pub document_mask: bool,
    /// Most memory for token ids of the training rows, in MB; beyond it they are read from disk.
    pub samples_memory_mb: u64,
    pub learning_rate: f64,
    pub muon_learning_rate: Option<f64>,
    pub schedule: Decay,
    pub warmup_steps: u64,
    pub decay_share: f64,
    pub min_lr_share: f64,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub clip_norm: f64,
    pub skip_sigma: f64,
    pub max_skipped: u64,
    pub device: String,
    pub precision: Precision,
    pub threads: usize,
    pub activation_checkpointing: bool,
    pub weights: WeightsType,
    pub eval_every: u64,
    pub eval_rows: u64,
    pub log_every: u64,
    pub save_every: u64,
    pub keep_last: usize,
    pub keep_every: Option<u64>,
    pub keep_best: bool,
    pub sample_prompts: Vec<String>,
    pub sample_tokens: usize,
    pub on_new_data: OnNewData,
    pub replay: f64,
}

/// Keys that do not change the weights, or that the recipe holds in a resolved form.
const NOT_RECIPE: &[&str] = &[
    "inputs",
    "tokenizer",
    "init_from",
    "micro_batch_rows",
    "device",
    "threads",
    "activation_checkpointing",
    "samples_memory_mb",
    "max_skipped",
    "keep_every",
    "keep_best",
    "sample_prompts",
    "sample_tokens",
    "cooldown_from",
    "weights",
    "eval_every",
    "eval_rows",
    "log_every",
    "save_every",
    "keep_last",
    "on_new_data",
    "replay",
];

impl Config {
    /// What one field alone cannot tell.
    ///
    /// # Errors
    /// The key and the problem.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: String| Err(ConfigProblem { key: key.to_owned(), message });
        let shape = [
            ("hidden_size", self.hidden_size.is_some()),
            ("num_layers", self.num_layers.is_some()),
            ("num_heads", self.num_heads.is_some()),
            ("num_kv_heads", self.num_kv_heads.is_some()),
            ("intermediate_size", self.intermediate_size.is_some()),
            ("tie_embeddings", self.tie_embeddings.is_some()),
            ("rope_theta", self.rope_theta.is_some()),
            ("model_type", self.model_type.is_some()),
            ("head_dim", self.head_dim.is_some()),
            ("sliding_window", self.sliding_window.is_some()),
            ("max_positions", self.max_positions.is_some()),
        ];
        if let Some(init) = &self.init_from {
            if let Some((key, _)) = shape.iter().find(|(_, given)| *given) {
                return problem(key, format!("would be ignored: the shape comes from `init_from` = \"{init}\""));
            }
        } else if let Some((key, _)) = shape[..3].iter().find(|(_, given)| !given) {
            return problem(
                key,
                "is missing: a new model needs `hidden_size`, `num_layers` and `num_heads` (or set `init_from`)".to_owned(),
            );
        }
        if self.cooldown_from.is_some() != self.cooldown_steps.is_some() {
            let (missing, given) =
                if self.cooldown_from.is_some() { ("cooldown_steps", "cooldown_from") } else { ("cooldown_from", "cooldown_steps") };
            return problem(missing, format!("is missing: `{given}` needs it"));
        }
        if self.cooldown_steps == Some(0) {
            return problem("cooldown_steps", "is 0, it must be at least 1".to_owned());
        }
        if self.extend_vocab && self.init_from.is_none() {
            return problem("extend_vocab", "would be ignored: a new model has the vocabulary of its tokenizer".to_owned());
        }
        let given = [
            ("minutes", self.minutes.is_some()),
            ("tokens_per_parameter", self.tokens_per_parameter.is_some()),
            ("tokens", self.tokens.is_some()),
            ("steps", self.steps.is_some()),
        ];
        let horizon_key = given.iter().find(|(_, is_given)| *is_given).map_or("epochs", |(key, _)| key);
        if let Err(error) = self.horizon() {
            return problem(horizon_key, format!("is refused: {error}"));
        }
        if let Err(error) = BatchPlan::new(self.batch_rows, self.micro_rows(), 1) {
            return problem("batch_rows", format!("is refused: {error}"));
        }
        self.hyper().validate().or_else(|(key, message)| problem(key, message))
    }

    /// How long to train.
    ///
    /// # Errors
    /// Unless exactly one unit is given.
    pub fn horizon(&self) -> train::Result<Horizon> {
        Horizon::one_of([
            self.epochs.map(Horizon::Epochs),
            self.steps.map(Horizon::Steps),
            self.tokens.map(Horizon::Tokens),
            self.tokens_per_parameter.map(Horizon::TokensPerParameter),
            self.minutes.map(Horizon::Minutes),
        ])
    }

    /// Rows of a forward pass, where they are set.
    pub fn micro_rows(&self) -> Option<u64> {
        match self.micro_batch_rows {
            Some(MicroRows::Rows(rows)) => Some(rows),
            Some(MicroRows::Auto(_)) | None => None,
        }
    }

    /// Whether the rows of a forward pass are to be found out.
    pub fn finds_micro_rows(&self) -> bool {
        matches!(self.micro_batch_rows, Some(MicroRows::Auto(_)))
    }

    /// The settings that training stages share.
    pub fn hyper(&self) -> Hyper {
        train::hyper!(self)
    }

    /// The keys that change the weights, as they stand.
    pub fn recipe(&self) -> serde_json::Map<String, serde_json::Value> {
        recipe(self, NOT_RECIPE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Config {
        let text = include_str!("default.toml").replace("[stage.pretrain]", "inputs = \"shard\"\ntokenizer = \"tokenize\"\n") + more;
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_default_file_has_every_key_and_every_default() {
        let text = include_str!("default.toml");
        let keys: serde_json::Value = serde_json::to_value(parse("")).unwrap();
        for key in keys.as_object().unwrap().keys() {
            let is_there = text.lines().any(|l| l.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(is_there, "`{key}` is not in default.toml");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let check = |more: &str, key: &str| assert_eq!(parse(more).validate().unwrap_err().key, key, "{more}");
        let shape = "hidden_size = 8\nnum_layers = 1\nnum_heads = 1\n";
        assert!(parse(&format!("{shape}steps = 1")).validate().is_ok());
        check("steps = 1", "hidden_size");
        check(shape, "epochs");
        check(&format!("{shape}steps = 1\ntokens = 5"), "tokens");
        check(&format!("{shape}steps = 1\ninit_from = \"x\""), "hidden_size");
        check(&format!("{shape}steps = 1\nmicro_batch_rows = 5"), "batch_rows");
        assert!(parse(&format!("{shape}minutes = 1.5\nmicro_batch_rows = \"auto\"")).validate().is_ok());
        assert!(parse(&format!("{shape}tokens_per_parameter = 20.0")).validate().is_ok());
        check(&format!("{shape}tokens_per_parameter = -1.0"), "tokens_per_parameter");
        check(&format!("{shape}steps = 1\ncooldown_steps = 5"), "cooldown_from");
        check(&format!("{shape}steps = 1\ncooldown_from = \"a\""), "cooldown_steps");
        check(&format!("{shape}steps = 1\ncooldown_from = \"a\"\ncooldown_steps = 0"), "cooldown_steps");
    }

    #[test]
    fn the_recipe_has_what_changes_weights_and_nothing_else() {
        let recipe = parse("steps = 1\nhidden_size = 8").recipe();
        for key in ["steps", "hidden_size", "learning_rate", "beta2", "precision", "document_mask"] {
            assert!(recipe.contains_key(key), "{key}");
        }
        for key in ["save_every", "threads", "on_new_data", "inputs", "epochs"] {
            assert!(!recipe.contains_key(key), "{key}");
        }
    }
}
