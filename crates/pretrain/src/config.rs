//! Configuration of the stage; `default.toml` documents every key.

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;
use train::batch::{BatchPlan, Horizon};
use train::compute::Precision;
use train::lineage::OnNewData;
use train::schedule::Decay;
use train::settings::{Hyper, WeightsType, recipe};

/// `[stage.pretrain]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents each key")]
pub struct Config {
    pub inputs: String,
    pub tokenizer: String,
    pub init_from: Option<String>,
    pub hidden_size: Option<i64>,
    pub num_layers: Option<i64>,
    pub num_heads: Option<i64>,
    pub num_kv_heads: Option<i64>,
    pub intermediate_size: Option<i64>,
    pub tie_embeddings: Option<bool>,
    pub rope_theta: Option<f64>,
    pub max_positions: Option<i64>,
    pub batch_rows: u64,
    pub micro_batch_rows: Option<u64>,
    pub epochs: Option<f64>,
    pub steps: Option<u64>,
    pub tokens: Option<u64>,
    pub document_mask: bool,
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
    pub device: String,
    pub precision: Precision,
    pub threads: usize,
    pub weights: WeightsType,
    pub eval_every: u64,
    pub eval_rows: u64,
    pub log_every: u64,
    pub save_every: u64,
    pub keep_last: usize,
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
        let horizon_key = if self.tokens.is_some() {
            "tokens"
        } else if self.steps.is_some() {
            "steps"
        } else {
            "epochs"
        };
        if let Err(error) = self.horizon() {
            return problem(horizon_key, format!("is refused: {error}"));
        }
        if let Err(error) = BatchPlan::new(self.batch_rows, self.micro_batch_rows, 1) {
            return problem("batch_rows", format!("is refused: {error}"));
        }
        self.hyper().validate().or_else(|(key, message)| problem(key, message))
    }

    /// How long to train.
    ///
    /// # Errors
    /// Unless exactly one unit is given.
    pub fn horizon(&self) -> train::Result<Horizon> {
        Horizon::one_of(self.epochs, self.steps, self.tokens)
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
