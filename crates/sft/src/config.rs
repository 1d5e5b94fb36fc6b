//! Configuration of the stage; `default.toml` documents every key.

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;
use train::batch::{BatchPlan, Horizon};
use train::compute::Precision;
use train::lineage::OnNewData;
use train::schedule::Decay;
use train::settings::{Hyper, WeightsType, recipe};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// All weights.
    Full,
    /// Low-rank adapters.
    Lora,
}

/// `[stage.sft.lora]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents each key")]
pub struct Lora {
    pub r: i64,
    pub alpha: f64,
    pub rslora: bool,
    pub targets: Vec<String>,
}

/// `[stage.sft]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents each key")]
pub struct Config {
    pub pairs: String,
    pub tokenizer: String,
    pub init_from: String,
    pub shape_from: Option<String>,
    pub method: Method,
    pub max_tokens: Option<u64>,
    pub validation_share: f64,
    pub batch_rows: u64,
    pub micro_batch_rows: Option<u64>,
    pub epochs: Option<f64>,
    pub steps: Option<u64>,
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
    pub log_every: u64,
    pub save_every: u64,
    pub keep_last: usize,
    pub keep_every: Option<u64>,
    pub keep_best: bool,
    pub on_new_data: OnNewData,
    pub replay: f64,
    pub lora: Lora,
}

/// Keys that do not change the weights, or that the recipe holds in a resolved form.
const NOT_RECIPE: &[&str] = &[
    "pairs",
    "tokenizer",
    "init_from",
    "shape_from",
    "micro_batch_rows",
    "device",
    "threads",
    "activation_checkpointing",
    "max_skipped",
    "keep_every",
    "keep_best",
    "weights",
    "eval_every",
    "log_every",
    "save_every",
    "keep_last",
    "on_new_data",
    "replay",
];

impl Config {
    /// True where training starts from new weights.
    pub fn starts_random(&self) -> bool {
        matches!(self.init_from.as_str(), "random" | "none")
    }

    /// What one field alone cannot tell.
    ///
    /// # Errors
    /// The key and the problem.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: String| Err(ConfigProblem::new(key, message));
        match (self.starts_random(), &self.shape_from) {
            (true, None) => {
                return problem("shape_from", "is missing: `init_from` = \"random\" needs the model whose shape is taken".into());
            }
            (false, Some(_)) => {
                return problem("shape_from", format!("would be ignored: the shape comes from `init_from` = \"{}\"", self.init_from));
            }
            _ => {}
        }
        if self.method == Method::Lora {
            if self.starts_random() {
                return problem("method", "is \"lora\", which needs a base model on disk, so `init_from` cannot be \"random\"".into());
            }
            if self.lora.r < 1 || self.lora.alpha <= 0.0 {
                return problem("lora.r", "must be at least 1, and `lora.alpha` positive".into());
            }
            if let Some(bad) = self.lora.targets.iter().find(|t| !model::PROJECTIONS.contains(&t.as_str())) {
                return problem("lora.targets", format!("has `{bad}`, which is none of {}", model::PROJECTIONS.join(", ")));
            }
            if self.lora.targets.is_empty() {
                return problem("lora.targets", "is empty".into());
            }
        }
        if !(0.0..1.0).contains(&self.validation_share) {
            return problem("validation_share", format!("is {}, it must be at least 0 and below 1", self.validation_share));
        }
        if let Err(error) = self.horizon() {
            return problem(if self.steps.is_some() { "steps" } else { "epochs" }, format!("is refused: {error}"));
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
        Horizon::one_of([self.epochs.map(Horizon::Epochs), self.steps.map(Horizon::Steps)])
    }

    /// The settings that training stages share.
    pub fn hyper(&self) -> Hyper {
        train::hyper!(self)
    }

    /// The adapter's shape.
    pub fn lora_config(&self) -> model::LoraConfig {
        let Lora { r, alpha, rslora, targets } = self.lora.clone();
        model::LoraConfig { r, alpha, use_rslora: rslora, target_modules: targets, ..model::LoraConfig::all_linear(r, alpha) }
    }

    /// The keys that change the weights, as they stand.
    pub fn recipe(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut map = recipe(self, NOT_RECIPE);
        if self.method == Method::Full {
            map.remove("lora");
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Config {
        let given = format!("pairs = \"p\"\ntokenizer = \"t\"\n{more}\n");
        let text = include_str!("default.toml").replace("[stage.sft.lora]", "[lora]").replace("\n[stage.sft]\n", &format!("\n{given}"));
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_default_file_has_every_key_and_every_default() {
        let text = include_str!("default.toml");
        let config = serde_json::to_value(parse("init_from = \"pretrain\"")).unwrap();
        let own = config.as_object().unwrap().keys().filter(|k| *k != "lora");
        for key in own.chain(config["lora"].as_object().unwrap().keys()) {
            let is_there = text.lines().any(|l| l.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(is_there, "`{key}` is not in default.toml");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let check = |more: &str, key: &str| assert_eq!(parse(more).validate().unwrap_err().key, key, "{more}");
        assert!(parse("init_from = \"pretrain\"\nepochs = 2.0").validate().is_ok());
        assert!(parse("init_from = \"none\"\nshape_from = \"pretrain\"\nsteps = 2").validate().is_ok());
        check("init_from = \"pretrain\"", "epochs");
        check("init_from = \"random\"\nsteps = 2", "shape_from");
        check("init_from = \"pretrain\"\nshape_from = \"x\"\nsteps = 2", "shape_from");
        check("init_from = \"pretrain\"\nsteps = 2\nepochs = 1.0", "steps");
        let lora_of_nothing = Config { method: Method::Lora, ..parse("init_from = \"random\"\nshape_from = \"x\"\nsteps = 2") };
        assert_eq!(lora_of_nothing.validate().unwrap_err().key, "method");
    }
}
