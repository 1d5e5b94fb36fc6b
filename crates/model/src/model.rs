//! A model: its weights, their working copies, and where they are stored.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::adapter::Adapter;
use crate::config::{Config, Dtype};
use crate::error::{Error, Result};
use crate::params::{self, Extras, Param};
use crate::rope::Rope;
use crate::weights::{self, Outgoing, Slot, Snapshot};

/// The output matrix in files.
const HEAD: &str = "lm_head.weight";

/// Where and how a model computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// CPU or GPU.
    pub device: Device,
    /// The type of the forward and backward pass: `Kind::Float` or `Kind::BFloat16`.
    pub compute: Kind,
    /// Whether to keep f32 master weights and build graphs; false for inference.
    pub trainable: bool,
}

impl Options {
    /// f32 on the CPU, trainable.
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, compute: Kind::Float, trainable: true }
    }
}

/// A decoder of one of the layouts of [`crate::ModelType`].
///
/// To train it: [`Model::loss`], [`crate::Grads`], an optimizer over [`Model::trainable`], then [`Model::refresh`].
#[derive(Debug)]
pub struct Model {
    pub(crate) config: Config,
    pub(crate) options: Options,
    pub(crate) params: Vec<Param>,
    pub(crate) extras: Extras,
    pub(crate) rope: Rope,
    pub(crate) adapter: Option<Adapter>,
}

impl Model {
    /// New weights. The same configuration and seed give the same bytes anywhere (see [`params::INIT_STD`]).
    ///
    /// # Errors
    /// A configuration that does not hold together, or what libtorch refuses.
    pub fn new(config: Config, seed: u64, options: &Options) -> Result<Self> {
        let values = |spec: &params::Spec| Ok(params::init(spec, &config, seed).f_to_device(options.device)?);
        Self::build(config.clone(), options, values)
    }

    /// Reads a Hugging Face model directory: `config.json`, and `model.safetensors` or its sharded form.
    ///
    /// # Errors
    /// Files that are missing or damaged, tensors that are missing, unexpected, of another shape or not finite, by name;
    /// an output matrix that differs from the embedding matrix where the configuration ties them.
    pub fn load(dir: &Path, options: &Options) -> Result<Self> {
        let config = Config::from_dir(dir)?;
        let kind = if options.trainable { Kind::Float } else { options.compute };
        let empty = |spec: &params::Spec| Ok(Tensor::f_zeros(spec.shape.as_slice(), (kind, options.device))?);
        let model = Self::build(config, options, empty)?;
        let files = weights::weight_files(dir)?;
        let tied = model.config.tie_word_embeddings;
        // Some writers store the tied matrix twice, and old ones the rotary frequencies.
        let ignore = |name: &str| (tied && name == HEAD) || name.ends_with("rotary_emb.inv_freq");
        weights::read_into(&files, &model.slots(), str::to_owned, ignore)?;
        if tied {
            // What transformers keeps apart where they differ, whatever the configuration says.
            let embedding = &model.params[params::index::EMBED].master;
            if let Some(path) = weights::find_other(&files, HEAD, embedding)? {
                return Err(Error::Untied { path, name: HEAD.to_owned() });
            }
        }
        model.refresh()?;
        Ok(model)
    }

    /// Makes the rows `known..end` of the embedding, and of an output matrix of its own, those of new tokens; they may be spare
    /// rows that no token had, or come behind all rows there are. A new row is the mean of the `known` ones before it, so that a
    /// new token is at first as likely as an average one (Hewitt 2021, "Initializing new word embeddings for pretrained language
    /// models"). An adapter must be attached after this.
    ///
    /// # Errors
    /// No known rows, or more than there are; or what libtorch refuses.
    pub fn add_tokens(&mut self, known: i64, end: i64) -> Result<()> {
        let old = self.config.vocab_size;
        if !(1..=old).contains(&known) || end < known || self.adapter.is_some() {
            return Err(Error::Input(format!("rows {known} to {end} of a vocabulary of {old} cannot be new, or not below an adapter")));
        }
        let vocab_size = end.max(old);
        self.config.vocab_size = vocab_size;
        let head = params::index::head(self.params_layers(), self.config.tie_word_embeddings);
        let matrices = if head == params::index::EMBED { vec![head] } else { vec![params::index::EMBED, head] };
        for index in matrices {
            let param = &self.params[index];
            let rows = param.master.f_detach()?;
            let kept = rows.f_narrow(0, 0, known)?;
            let mean = kept.f_to_kind(Kind::Float)?.f_mean_dim([0].as_slice(), true, Kind::Float)?.f_to_kind(rows.kind())?;
            let new = mean.f_expand([end - known, rows.size()[1]], false)?;
            let spare = rows.f_slice(0, end.min(old), old, 1)?;
            let master = Tensor::f_cat(&[&kept, &new, &spare], 0)?;
            let parts = param.parts.iter().map(|part| params::Part { rows: vocab_size, ..part.clone() }).collect();
            self.params[index] = Param::new(param.name.clone(), parts, master, self.options.compute, self.options.trainable)?;
        }
        Ok(())
    }

    fn build(config: Config, options: &Options, values: impl Fn(&params::Spec) -> Result<Tensor>) -> Result<Self> {
        config.validate()?;
        if !matches!(options.compute, Kind::Float | Kind::BFloat16) {
            return Err(Error::Input(format!("cannot compute in {:?}, only in Float and BFloat16", options.compute)));
        }
        let params = params::specs(&config)
            .into_iter()
            .map(|spec| {
                let master = values(&spec)?;
                Param::new(spec.name, spec.parts, master, options.compute, options.trainable)
            })
            .collect::<Result<Vec<_>>>()?;
        let rope = Rope::new(&config, options.device)?;
        let extras = Extras::new(&config);
        Ok(Self { config, options: *options, params, extras, rope, adapter: None })
    }

    /// A model over the same memory with gradients of its own, to be used on another thread: it sees what an optimizer
    /// does to the masters of this one, and each [`Model::refresh`] of it. Only one of them may be updated.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn replica(&self) -> Result<Self> {
        Ok(Self {
            config: self.config.clone(),
            options: self.options,
            params: self.params.iter().map(Param::replica).collect::<Result<_>>()?,
            extras: self.extras,
            rope: self.rope.replica(),
            adapter: self.adapter.as_ref().map(Adapter::replica).transpose()?,
        })
    }

    fn slots(&self) -> Vec<Slot<'_>> {
        let parts = self.params.iter().flat_map(|param| param.parts.iter().map(move |part| (param, part)));
        parts.map(|(param, part)| Slot { name: &part.name, target: &param.master, start: part.start, rows: part.rows }).collect()
    }

    /// Writes [`Model::snapshot`] into `dir`.
    ///
    /// # Errors
    /// As [`Snapshot::write`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.snapshot()?.write(dir)
    }

    /// `config.json`, `generation_config.json` and `model.safetensors`, over the model's own memory.
    /// A tied output matrix is left out. An attached adapter is not part of it: merge it first, or save it by itself.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let kind = match self.config.save_dtype {
            Dtype::F32 => Kind::Float,
            Dtype::Bf16 => Kind::BFloat16,
        };
        let mut tensors = BTreeMap::new();
        for slot in self.slots() {
            let rows = slot.target.f_narrow(0, slot.start, slot.rows)?;
            tensors.insert(slot.name.to_owned(), Outgoing::new(rows, kind));
        }
        let texts = vec![("generation_config.json", self.config.generation_json()), ("config.json", self.config.to_json())];
        Ok(Snapshot::new("model.safetensors", tensors, texts))
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The architecture, to change what is only written to files: special tokens and `save_dtype`.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.options.device
    }

    /// The type of the forward pass.
    pub fn compute(&self) -> Kind {
        self.options.compute
    }

    /// The base weights, in a fixed order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// What an optimizer updates, in a fixed order: the base weights, or the adapter's alone once one is attached.
    pub fn trainable(&self) -> &[Param] {
        self.adapter.as_ref().map_or(&self.params, |adapter| &adapter.params)
    }

    /// Number of weights that an optimizer updates.
    pub fn num_trainable(&self) -> i64 {
        self.trainable().iter().map(Param::numel).sum()
    }

    /// Brings working copies up to date with the masters. Call it after every change of masters; free in f32.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn refresh(&self) -> Result<()> {
        let adapter = self.adapter.iter().flat_map(|adapter| &adapter.params);
        let all = self.params.iter().chain(adapter);
        let (targets, sources): (Vec<&Tensor>, Vec<&Tensor>) = all.filter_map(|param| Some((param.working_copy()?, &param.master))).unzip();
        Ok(torch_ext::foreach_copy(&targets, &sources)?)
    }

    pub(crate) fn work(&self, index: usize) -> &Tensor {
        &self.params[index].work
    }
}
