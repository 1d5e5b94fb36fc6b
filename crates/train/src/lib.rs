//! Training: what `pretrain` and `sft` share.
//!
//! - [`batch`]: rows and tokens of a step, and how many steps a horizon is.
//! - [`schedule`]: the learning rate over the steps.
//! - [`order`]: which row comes when; a pure function, so that any step can be found again.
//! - [`samples`]: the training rows of a split, in memory.
//! - [`optimizer`]: master weights, gradients, AdamW moments.
//! - [`trainer`]: the loop.
//! - `replicas`: gradients of a step on several CPU threads.
//! - [`checkpoint`]: directories to resume from, written whole or not at all.
//! - [`guard`]: which steps are too bad to be made; [`fit`]: how many rows of a forward pass memory holds.
//! - [`lineage`]: what was trained on what, and what to do when the data or the recipe changed.
//! - [`settings`]: hyperparameters that all training stages share; [`source`]: where models and batches come from.
//! - [`compute`]: device, precision, threads.
//! - [`session`]: a stage's run from decision to committed result; [`observe`] tells the skeleton.
//! - [`tensorboard`]: event files.
//!
//! Invariants:
//! - **The state is ours and in the model's order**: masters, moments, step, cursor, generator state.
//!   Nothing in libtorch outlives a step.
//! - **Interrupted at any step and resumed equals uninterrupted, bit for bit**, on the same kind of CPU with the same
//!   number of threads: order and schedule are pure functions of the step, and a checkpoint holds everything else.
//! - **A checkpoint directory is a model directory** that other tools open.

pub mod batch;
pub mod checkpoint;
pub mod compute;
mod error;
pub mod fit;
pub mod guard;
pub mod lineage;
pub mod muon;
pub mod observe;
pub mod optimizer;
pub mod order;
pub mod prefetch;
mod replicas;
pub mod samples;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod source;
pub mod tensorboard;
pub mod trainer;

pub use error::{Error, Result, model_exit};
