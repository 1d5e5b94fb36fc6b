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

/// A weight with what a step of AdamW changes, on the CPU.
#[derive(Debug)]
pub struct Weight<'a> {
    /// The weights, f32.
    pub master: &'a Tensor,
    /// Their gradients, f32 or bf16.
    pub grad: &'a Tensor,
    /// First moments, f32.
    pub exp_avg: &'a Tensor,
    /// Second moments, f32.
    pub exp_avg_sq: &'a Tensor,
    /// A bf16 copy of the weights to keep up to date.
    pub copy: Option<&'a Tensor>,
}

/// One AdamW step on the CPU, in place and in one pass over memory, the copy in bf16 included. `step` counts from 1; gradients are divided
/// by `grad_scale`, and left as they are.
///
/// # Errors
/// Mismatched shapes, types or devices.
pub fn adamw_on_cpu(weight: &Weight<'_>, step: u64, options: &AdamW, grad_scale: f64) -> Result<()> {
    let Weight { master, grad, exp_avg, exp_avg_sq, copy } = *weight;
    let expected = |kind: Kind| -> Result<()> {
        let float = [("master", Some(master)), ("exp_avg", Some(exp_avg)), ("exp_avg_sq", Some(exp_avg_sq)), ("copy", copy)];
        let kinds = [Kind::Float, Kind::Float, Kind::Float, Kind::BFloat16];
        for ((what, tensor), kind) in float.into_iter().zip(kinds).chain([(("grad", Some(grad)), kind)]) {
            let wanted = format!("contiguous {kind:?}{:?} on Cpu", master.size());
            if let Some(tensor) = tensor
                && (tensor.kind(), tensor.size(), tensor.device(), tensor.is_contiguous()) != (kind, master.size(), Device::Cpu, true)
            {
                let got = format!("{:?}{:?} on {:?}", tensor.kind(), tensor.size(), tensor.device());
                return Err(Error::Mismatch { what, index: 0, got, expected: wanted });
            }
        }
        Ok(())
    };
    expected(if grad.kind() == Kind::BFloat16 { Kind::BFloat16 } else { Kind::Float })?;
    // SAFETY: all tensors live across the call, and their types, sizes and layouts are those that the shim reads raw memory by.
    check(unsafe {
        ffi::jl_adamw(
            ptr(master),
            ptr(grad),
            ptr(exp_avg),
            ptr(exp_avg_sq),
            optional_ptr(copy),
            step as f64,
            options.lr,
            options.beta1,
            options.beta2,
            options.weight_decay,
            options.eps,
            grad_scale,
        )
    })
}

/// The Euclidean norm over gradients on the CPU, f32 or bf16 and contiguous: squares are summed in f32 over a few thousand values at a
/// time, and in f64 beyond. The same for any number of threads.
///
/// # Errors
/// Other types or devices.
pub fn grad_norm_on_cpu(grads: &[&Tensor]) -> Result<f64> {
    let mut norm = 0.0;
    // SAFETY: the vector lives across the call, and the shim checks what it reads.
    check(unsafe { ffi::jl_grad_norm(ptrs(grads).as_ptr(), grads.len(), &mut norm) })?;
    Ok(norm)
}

/// `sum + grad` in f32 of contiguous gradients on the CPU, f32 or bf16: in the memory of `sum` where that is f32.
///
/// # Errors
/// Other types or devices, or shapes that differ.
pub fn grad_add_on_cpu(sum: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `out` is set when no message comes back; the shim checks what it reads.
    check(unsafe { ffi::jl_grad_add(ptr(sum), ptr(grad), &mut out) })?;
    Ok(take_tensor(out))
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
