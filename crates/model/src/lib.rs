//! One decoder in tch for the layouts of Llama, Qwen2, Qwen3 and Mistral: config, weights in HF names, adapters.
//!
//! - [`Config`]: the architecture, in the field names of a Hugging Face `config.json`; [`ModelType`] lists the layouts,
//!   [`RopeScaling`] what is done for long sequences. What is not computed here is refused by the name of its key.
//! - [`Model`]: new, loaded from or saved to a Hugging Face model directory; [`Model::forward`], [`Model::loss`].
//! - [`Param`]: weights in a fixed order, f32 masters with working copies in the compute type.
//! - [`Grads`]: gradients summed over micro-batches.
//! - [`LoraConfig`]: adapters in the PEFT layout.
//! - [`KvCache`]: for generation, driven by the `infer` crate.
//!
//! This crate knows no Parquet, no run directory and no TOML. Logits are those of `transformers` within 1e-4 in f32;
//! `tests/golden.rs` holds it to that.

mod adapter;
mod cache;
mod config;
mod error;
mod forward;
mod hf;
mod inputs;
mod loss;
mod mmap;
mod model;
mod params;
mod rope;
mod scaling;
mod weights;

pub use adapter::{LoraConfig, PROJECTIONS};
pub use cache::KvCache;
pub use config::{Config, Dtype, LayerType, ModelType};
pub use error::{Error, Fault, Result, tells_out_of_memory};
pub use hf::{HfConfig, OneOrMany, RopeParameters};
pub use inputs::Inputs;
pub use loss::{Grads, IGNORE};
pub use model::{Model, Options};
pub use params::{INIT_STD, Param, Part};
pub use scaling::RopeScaling;
pub use weights::Snapshot;
