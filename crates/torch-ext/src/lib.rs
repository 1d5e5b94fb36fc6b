//! What tch does not bind: fused optimizer, foreach operations, RNG state, late CUDA loading.
//!
//! A small C++ shim (`cpp/`) is compiled with torch-sys's flags, so that a `tch::Tensor` and a `torch::Tensor`
//! are the same object. This crate and [`model`](../model/index.html)'s memory mapping hold all the project's `unsafe`.
//! Every C++ exception becomes an [`Error`]; nothing here panics on bad shapes, types or devices.
//!
//! - [`optim`]: [`fused_adamw`], the same in one pass on the CPU, and operations on lists of tensors.
//! - [`fused`]: RMSNorm, SwiGLU, rotation, and cross-entropy behind a matrix product, one pass each; causal attention.
//! - [`runtime`]: threads, determinism, CPU abilities, the RNG's state, the GPU half of libtorch.

#![allow(unsafe_code, reason = "the one crate that calls C++")]

mod error;
mod ffi;
pub mod fused;
pub mod optim;
pub mod runtime;

pub use error::{Error, Result};
pub use fused::{add_rms_norm, causal_attention, has_block_attention, linear_cross_entropy, rms_norm, split_rotate, swiglu};
pub use optim::{
    AdamW, Weight, adamw_on_cpu, foreach_add, foreach_copy, foreach_mul, foreach_mul_tensor, foreach_norm, foreach_zero, fused_adamw,
    grad_add_on_cpu, grad_norm_on_cpu, step_tensor,
};
pub use runtime::{
    CudaLoad, has_fast_bf16, held_memory, keep_memory, load_cuda, num_threads, peak_memory, reset_peak_memory, rng_state,
    set_deterministic, set_flush_denormal, set_num_threads, set_rng_state, version,
};
