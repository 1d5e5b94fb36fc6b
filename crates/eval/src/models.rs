//! From a name in the configuration to a model that can be asked.

use std::path::{Path, PathBuf};

use handoff::{Digest, DigestBuilder, DigestCache};
use model::{Model, Options};
use stage::{InputRef, StageContext};
use tch::{Device, Kind};
use text::Tokenizer;

use crate::Error;
use crate::config::{Dtype, ModelConfig};

/// A model of the configuration, found and identified but not loaded.
#[derive(Debug)]
pub struct Subject {
    /// Name in results.
    pub name: String,
    /// What the configuration says it comes from.
    pub from: String,
    /// Stage or variant it comes from, if any.
    pub reference: Option<String>,
    /// Hugging Face directory.
    pub dir: PathBuf,
    /// Seed of its weights, for one whose weights are drawn anew.
    pub random: Option<u64>,
    /// Its tokenizer and chat template.
    pub tokenizer: Tokenizer,
    /// Changes when weights, architecture, tokenizer or chat template do.
    pub digest: Digest,
}

impl Subject {
    /// Finds a model and digests its files.
    ///
    /// # Errors
    /// [`Error::NoModel`] when a file is missing, [`Error::Tokenizer`] when there is no usable tokenizer.
    pub fn find(ctx: &StageContext, config: &ModelConfig, cache: &mut DigestCache) -> Result<Self, Error> {
        let (dir, reference) = match ctx.resolve(&config.from) {
            InputRef::Stage(reference) => (ctx.run.reference(&reference).model(), Some(reference)),
            InputRef::Path(path) => (path, None),
        };
        let missing = |path: PathBuf| Error::NoModel { name: config.name.clone(), path, stage: reference.clone() };
        let config_json = dir.join("config.json");
        if !config_json.is_file() {
            return Err(missing(config_json));
        }
        let weights = if config.random { Vec::new() } else { weight_files(&dir)? };
        if weights.is_empty() && !config.random {
            return Err(missing(dir.join("model.safetensors")));
        }
        let failed = |source| Error::Tokenizer { name: config.name.clone(), source };
        let mut tokenizer = Tokenizer::load(&dir).map_err(failed)?;
        // An open model that was only pretrained is asked in the layout that fine-tuning would give it. Stages' models have their own.
        if reference.is_none() && tokenizer.chat_template().is_none() {
            tokenizer.set_chat_template(text::template::PLAIN).map_err(failed)?;
        }
        let random = config.random.then_some(ctx.seed);
        let mut digest = DigestBuilder::new().field("config", cache.digest(&config_json)?.as_bytes());
        for path in &weights {
            digest = digest.field("weights", cache.digest(path)?.as_bytes());
        }
        if let Some(seed) = random {
            digest = digest.field("random", seed.to_le_bytes());
        }
        let template = tokenizer.chat_template().map_or("", |t| t.digest());
        let digest = digest.field("tokenizer", tokenizer.digest()).field("template", template).finish();
        Ok(Self { name: config.name.clone(), from: config.from.clone(), reference, dir, random, tokenizer, digest })
    }

    /// Loads the weights, or draws them.
    ///
    /// # Errors
    /// When the directory does not hold a model that `model` can run.
    pub fn load(&self, device: Device, dtype: Dtype) -> Result<Model, Error> {
        let compute = match dtype {
            Dtype::Float32 => Kind::Float,
            Dtype::Bfloat16 => Kind::BFloat16,
        };
        let options = Options { device, compute, trainable: false };
        let loaded = match self.random {
            Some(seed) => model::Config::from_dir(&self.dir).and_then(|config| Model::new(config, seed, &options)),
            None => Model::load(&self.dir, &options),
        };
        loaded.map_err(|source| Error::Model { name: self.name.clone(), source: source.into() })
    }

    /// Tokens that end an answer.
    pub fn stop_ids(&self) -> Vec<i64> {
        self.tokenizer.stop_ids().iter().map(|id| i64::from(*id)).collect()
    }
}

/// The weight files of a model directory, sorted.
fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: dir.to_owned(), source };
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// The first GPU if one can be used, else the CPU.
pub fn device() -> Device {
    match torch_ext::load_cuda() {
        torch_ext::CudaLoad::Loaded { devices } if devices > 0 => Device::Cuda(0),
        torch_ext::CudaLoad::Loaded { .. } => Device::Cpu,
        torch_ext::CudaLoad::Absent { reason } => {
            tracing::debug!(reason, "no GPU");
            Device::Cpu
        }
    }
}
