//! The fused AdamW step, and operations on whole lists of tensors in one call.
//!
//! tch leaves these out of its generated bindings (`_fused_adam*` and `_foreach_*` are excluded in its generator).

use tch::{Device, Kind, Tensor};

use crate::ffi::{self, check, optional_ptr, ptr, ptrs, take_tensor};
use crate::{Error, Result};

/// Hyperparameters of one AdamW step (Loshchilov and Hutter, arXiv 1711.05101).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step, after the schedule.
    pub lr: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay: weights shrink by `lr * weight_decay` in each step.
    pub weight_decay: f64,
}

/// A 0-dimensional f32 tensor holding a step count, as [`fused_adamw`] takes it. The first step is 1.
pub fn step_tensor(step: i64, device: Device) -> Tensor {
    Tensor::from(step as f32).to_device(device)
}

/// One AdamW step on all parameters, in place, in one kernel.
///
/// `params`, `grads`, `exp_avgs` (first moments) and `exp_avg_sqs` (second moments) correspond by position, with equal
/// shapes and types. `step` counts from 1 (see [`step_tensor`]) and corrects the bias of the moments.
/// Gradients are divided by `grad_scale` (0-d f32) first and written back; with `found_inf` (0-d f32) not 0, nothing changes.
///
/// # Errors
/// Lists of different lengths, mismatched shapes or types, or what libtorch refuses.
#[allow(clippy::too_many_arguments, reason = "four lists that correspond, and the options of the operator")]
pub fn fused_adamw(
    params: &[&Tensor],
    grads: &[&Tensor],
    exp_avgs: &[&Tensor],
    exp_avg_sqs: &[&Tensor],
    step: &Tensor,
    options: &AdamW,
    grad_scale: Option<&Tensor>,
    found_inf: Option<&Tensor>,
) -> Result<()> {
    for (what, list) in [("grads", grads), ("exp_avgs", exp_avgs), ("exp_avg_sqs", exp_avg_sqs)] {
        same_layout(what, params, list)?;
    }
    if params.is_empty() {
        return Ok(());
    }
    // SAFETY: the four vectors live across the call and have `params.len()` entries; the shim only reads handles.
    check(unsafe {
        ffi::jl_fused_adamw(
            ptrs(params).as_ptr(),
            ptrs(grads).as_ptr(),
            ptrs(exp_avgs).as_ptr(),
            ptrs(exp_avg_sqs).as_ptr(),
            params.len(),
            ptr(step),
            options.lr,
            options.beta1,
            options.beta2,
            options.weight_decay,
            options.eps,
            optional_ptr(grad_scale),
            optional_ptr(found_inf),
        )
    })
}

/// The Euclidean norm over all tensors together, as a 0-d f32 tensor on their device (no wait for the GPU).
///
/// # Errors
/// An empty list, or what libtorch refuses.
pub fn foreach_norm(tensors: &[&Tensor]) -> Result<Tensor> {
    let mut total = std::ptr::null_mut();
    // SAFETY: the vector lives across the call; `total` is set when no message comes back.
    check(unsafe { ffi::jl_foreach_norm(ptrs(tensors).as_ptr(), tensors.len(), &mut total) })?;
    Ok(take_tensor(total))
}

/// Multiplies every tensor by `factor`, in place.
///
/// # Errors
/// What libtorch refuses.
pub fn foreach_mul(tensors: &[&Tensor], factor: f64) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    // SAFETY: the vector lives across the call.
    check(unsafe { ffi::jl_foreach_mul_scalar(ptrs(tensors).as_ptr(), tensors.len(), factor) })
}

/// Multiplies every tensor by the 0-d tensor `factor`, in place, without reading it on the host.
///
/// # Errors
/// What libtorch refuses.
pub fn foreach_mul_tensor(tensors: &[&Tensor], factor: &Tensor) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    // SAFETY: the vector lives across the call.
    check(unsafe { ffi::jl_foreach_mul_tensor(ptrs(tensors).as_ptr(), tensors.len(), ptr(factor)) })
}

/// Copies `sources` into `targets`, converting types: f32 master weights into bf16 working copies, for one.
///
/// # Errors
/// Lists of different lengths, different shapes, or what libtorch refuses.
pub fn foreach_copy(targets: &[&Tensor], sources: &[&Tensor]) -> Result<()> {
    same_length("sources", targets.len(), sources.len())?;
    same_shapes("sources", targets, sources)?;
    if targets.is_empty() {
        return Ok(());
    }
    // SAFETY: both vectors live across the call and are equally long.
    check(unsafe { ffi::jl_foreach_copy(ptrs(targets).as_ptr(), ptrs(sources).as_ptr(), targets.len()) })
}

/// `target += alpha * source` for every pair, in place; the result keeps the target's type.
///
/// # Errors
/// Lists of different lengths, different shapes, or what libtorch refuses.
pub fn foreach_add(targets: &[&Tensor], sources: &[&Tensor], alpha: f64) -> Result<()> {
    same_length("sources", targets.len(), sources.len())?;
    same_shapes("sources", targets, sources)?;
    if targets.is_empty() {
        return Ok(());
    }
    // SAFETY: both vectors live across the call and are equally long.
    check(unsafe { ffi::jl_foreach_add(ptrs(targets).as_ptr(), ptrs(sources).as_ptr(), targets.len(), alpha) })
}

/// Sets every tensor to zero.
///
/// # Errors
/// What libtorch refuses.
pub fn foreach_zero(tensors: &[&Tensor]) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    // SAFETY: the vector lives across the call.
    check(unsafe { ffi::jl_foreach_zero(ptrs(tensors).as_ptr(), tensors.len()) })
}

fn same_length(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { what, got, expected }) }
}

fn same_shapes(what: &'static str, first: &[&Tensor], other: &[&Tensor]) -> Result<()> {
    for (index, (a, b)) in first.iter().zip(other).enumerate() {
        if a.size() != b.size() {
            return Err(Error::Mismatch { what, index, got: format!("{:?}", b.size()), expected: format!("{:?}", a.size()) });
        }
    }
    Ok(())
}

/// libtorch's fused CPU kernel reads raw memory by the first list's sizes, so they are checked here.
fn same_layout(what: &'static str, params: &[&Tensor], other: &[&Tensor]) -> Result<()> {
    same_length(what, params.len(), other.len())?;
    let describe = |tensor: &Tensor| -> (Kind, Vec<i64>, Device) { (tensor.kind(), tensor.size(), tensor.device()) };
    for (index, (param, tensor)) in params.iter().zip(other).enumerate() {
        let (expected, got) = (describe(param), describe(tensor));
        if expected != got {
            let text = |(kind, size, device): &(Kind, Vec<i64>, Device)| format!("{kind:?}{size:?} on {device:?}");
            return Err(Error::Mismatch { what, index, got: text(&got), expected: text(&expected) });
        }
        if !param.is_contiguous() || !tensor.is_contiguous() {
            return Err(Error::Mismatch { what, index, got: "not contiguous".to_owned(), expected: "contiguous tensors".to_owned() });
        }
    }
    Ok(())
}
