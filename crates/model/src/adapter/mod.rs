//! Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) beside frozen base weights.
//!
//! A projection y = W x becomes y = W x + s · B A x with A `(r, in)` and B `(out, r)`; B begins at zero, so an
//! untrained adapter changes nothing. s is alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv 2312.03732).

mod peft;

use tch::{Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::params::{self, Extra, Param, Part, index};

/// The Hugging Face projections that can be adapted, in the order of computation.
pub const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// What an adapter is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank.
    pub r: i64,
    /// Strength: the adapter's output is scaled by alpha / r.
    pub alpha: f64,
    /// Dropout on the adapter's input. Only 0 is supported.
    pub dropout: f64,
    /// Scale by alpha / sqrt(r) instead.
    pub use_rslora: bool,
    /// Which of [`PROJECTIONS`] are adapted.
    pub target_modules: Vec<String>,
}

impl LoraConfig {
    /// An adapter on every projection.
    pub fn all_linear(r: i64, alpha: f64) -> Self {
        Self { r, alpha, dropout: 0.0, use_rslora: false, target_modules: PROJECTIONS.map(str::to_owned).to_vec() }
    }

    /// The factor of the adapter's output.
    pub fn scale(&self) -> f64 {
        self.alpha / if self.use_rslora { (self.r as f64).sqrt() } else { self.r as f64 }
    }

    /// Checks the values and the names.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming what is wrong and what is possible.
    pub fn validate(&self) -> Result<()> {
        if self.r <= 0 {
            return Err(Error::Adapter(format!("`r` is {}, it must be positive", self.r)));
        }
        if self.dropout != 0.0 {
            return Err(Error::Adapter(format!("`lora_dropout` is {}, only 0 is supported", self.dropout)));
        }
        if self.target_modules.is_empty() {
            return Err(Error::Adapter("`target_modules` is empty".to_owned()));
        }
        for name in &self.target_modules {
            if !PROJECTIONS.contains(&name.as_str()) {
                return Err(Error::Adapter(format!("`target_modules` has `{name}`, possible are {}", PROJECTIONS.join(", "))));
            }
        }
        Ok(())
    }
}

/// A matrix product of a block, as the forward pass does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Qkv,
    Output,
    GateUp,
    Down,
}

impl Target {
    /// Its weight's position in a block.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Qkv => index::QKV,
            Self::Output => index::OUTPUT,
            Self::GateUp => index::GATE_UP,
            Self::Down => index::DOWN,
        }
    }

    /// Its bias, which layouts may have.
    pub(crate) fn bias(self) -> Extra {
        match self {
            Self::Qkv => Extra::QkvBias,
            Self::Output => Extra::OutputBias,
            Self::GateUp => Extra::GateUpBias,
            Self::Down => Extra::DownBias,
        }
    }

    /// Its parts: positions in [`PROJECTIONS`].
    fn projections(self) -> std::ops::Range<usize> {
        match self {
            Self::Qkv => 0..3,
            Self::Output => 3..4,
            Self::GateUp => 4..6,
            Self::Down => 6..7,
        }
    }

    /// The matrix product that a projection is part of, and its position among the parts.
    fn of(projection: usize) -> (Self, usize) {
        match projection {
            0..3 => (Self::Qkv, projection),
            3 => (Self::Output, 0),
            4..6 => (Self::GateUp, projection - 4),
            _ => (Self::Down, 0),
        }
    }
}

/// Width of the input and output of each of [`PROJECTIONS`].
fn widths(config: &Config, projection: usize) -> (i64, i64) {
    let (d, i) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = config.widths();
    [(d, q), (d, kv), (d, kv), (q, d), (d, i), (d, i), (i, d)][projection]
}

/// An adapter's weights and where they belong.
#[derive(Debug)]
pub(crate) struct Adapter {
    pub(crate) config: LoraConfig,
    /// A then B of each adapted projection, layer by layer.
    pub(crate) params: Vec<Param>,
    /// Position of A in `params`, by layer and projection.
    slots: Vec<[Option<usize>; 7]>,
    /// Output width of each projection.
    outputs: [i64; 7],
}

impl Adapter {
    fn new(config: &LoraConfig, model: &Model, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut config = config.clone();
        config.target_modules.sort();
        config.target_modules.dedup();
        let (mut all, mut slots) = (Vec::new(), Vec::new());
        for layer in 0..model.config.num_hidden_layers {
            let mut row = [None; 7];
            for (projection, slot) in row.iter_mut().enumerate() {
                if !config.target_modules.iter().any(|name| name == PROJECTIONS[projection]) {
                    continue;
                }
                *slot = Some(all.len());
                let (input, output) = widths(&model.config, projection);
                let name = |side: &str| format!("{}.lora_{side}.weight", peft::module_path(layer, projection));
                // Kaiming-uniform with a = sqrt(5), as PEFT: bound = sqrt(6 / ((1 + 5) · in)).
                let bound = 1.0 / (input as f64).sqrt();
                let a = params::uniform_values(seed, &name("A"), (config.r * input) as usize, bound);
                let a = Tensor::from_slice(&a).f_view([config.r, input])?;
                let b = Tensor::f_zeros([output, config.r], (Kind::Float, tch::Device::Cpu))?;
                for (name, master) in [(name("A"), a), (name("B"), b)] {
                    let parts = vec![Part { name: name.clone(), start: 0, rows: master.size()[0] }];
                    let master = master.f_to_device(model.options.device)?;
                    all.push(Param::new(name, parts, master, model.options.compute, true)?);
                }
            }
            slots.push(row);
        }
        let outputs = std::array::from_fn(|projection| widths(&model.config, projection).1);
        Ok(Self { config, params: all, slots, outputs })
    }

    /// The same memory, with gradients of its own.
    pub(crate) fn replica(&self) -> Result<Self> {
        let params = self.params.iter().map(Param::replica).collect::<Result<_>>()?;
        Ok(Self { config: self.config.clone(), params, slots: self.slots.clone(), outputs: self.outputs })
    }

    /// `base` plus the adapter's share of one matrix product of `x`.
    pub(crate) fn add_to(&self, base: Tensor, x: &Tensor, layer: usize, target: Target) -> Result<Tensor> {
        let slots = &self.slots[layer][target.projections()];
        let adapted: Vec<usize> = slots.iter().flatten().copied().collect();
        if adapted.is_empty() {
            return Ok(base);
        }
        // One product for all A of this place; the small result is scaled.
        let stacked = if let [one] = adapted.as_slice() {
            self.params[*one].work.shallow_clone()
        } else {
            let all: Vec<&Tensor> = adapted.iter().map(|a| &self.params[*a].work).collect();
            Tensor::f_cat(&all, 0)?
        };
        let low = x.f_linear(&stacked, None::<&Tensor>)?.f_mul_scalar(self.config.scale())?;
        let (mut shares, mut next) = (Vec::new(), 0);
        for (slot, projection) in slots.iter().zip(target.projections()) {
            shares.push(match slot {
                Some(a) => {
                    let own = low.f_narrow(-1, next * self.config.r, self.config.r)?;
                    next += 1;
                    own.f_linear(&self.params[a + 1].work, None::<&Tensor>)?
                }
                None => {
                    let mut size = base.size();
                    *size.last_mut().ok_or_else(|| Error::Input("a projection of nothing".to_owned()))? = self.outputs[projection];
                    base.f_new_zeros(size, (base.kind(), base.device()))?
                }
            });
        }
        let share = if shares.len() == 1 { shares.swap_remove(0) } else { Tensor::f_cat(&shares, -1)? };
        Ok(base.f_add(&share)?)
    }
}

impl Model {
    /// Adds an untrained adapter and freezes the base: [`Model::trainable`] is then the adapter. The outputs do not change.
    /// The same seed gives the same bytes.
    ///
    /// # Errors
    /// A configuration that is not supported, or an adapter that is already there.
    pub fn attach_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        if self.adapter.is_some() {
            return Err(Error::Adapter("the model has an adapter already, merge it first".to_owned()));
        }
        let adapter = Adapter::new(config, self, seed)?;
        self.freeze_base(true)?;
        self.adapter = Some(adapter);
        Ok(())
    }

    /// The attached adapter's configuration.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.adapter.as_ref().map(|adapter| &adapter.config)
    }

    /// Adds the adapter's products to the base weights in f32 and removes the adapter; the base is trainable again.
    /// Returns the largest difference between logits before and after on `probe_bt` (token ids), which should be at
    /// rounding level for the compute type.
    ///
    /// # Errors
    /// No adapter, or what libtorch refuses.
    pub fn merge_lora(&mut self, probe_bt: &Tensor) -> Result<f64> {
        let before = tch::no_grad(|| self.forward(probe_bt, &crate::Inputs::default()))?;
        let Some(adapter) = self.adapter.take() else {
            return Err(Error::Adapter("there is no adapter to merge".to_owned()));
        };
        for (layer, row) in adapter.slots.iter().enumerate() {
            for (projection, slot) in row.iter().enumerate() {
                let Some(a) = slot else { continue };
                let (target, part) = Target::of(projection);
                let param = &self.params[index::layer(layer, target.index())];
                let Part { start, rows, .. } = &param.parts[part];
                tch::no_grad(|| -> Result<()> {
                    let (a, b) = (&adapter.params[*a].master, &adapter.params[a + 1].master);
                    let delta = b.f_to_kind(Kind::Float)?.f_matmul(&a.f_to_kind(Kind::Float)?)?.f_mul_scalar(adapter.config.scale())?;
                    let mut rows = param.master.f_narrow(0, *start, *rows)?;
                    let sum = rows.f_to_kind(Kind::Float)?.f_add(&delta)?;
                    rows.f_copy_(&sum)?;
                    Ok(())
                })?;
            }
        }
        self.freeze_base(false)?;
        self.refresh()?;
        let after = tch::no_grad(|| self.forward(probe_bt, &crate::Inputs::default()))?;
        Ok((after - before).f_abs()?.f_max()?.f_double_value(&[])?)
    }

    /// Removes the adapter without merging it; the base is trainable again.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn detach_lora(&mut self) -> Result<()> {
        self.adapter = None;
        self.freeze_base(false)
    }

    fn freeze_base(&mut self, frozen: bool) -> Result<()> {
        if self.options.trainable {
            for param in &mut self.params {
                param.work = param.work.f_set_requires_grad(!frozen)?;
            }
        }
        Ok(())
    }
}
