//! The shim's C functions, and how their messages and tensors become Rust values.

use std::ffi::{CStr, c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::{Error, Result};

/// A `torch::Tensor*` as the shim takes it.
pub(crate) type Ptr = *mut C_tensor;

unsafe extern "C" {
    fn jl_free(message: *mut c_char);
    #[allow(clippy::too_many_arguments, reason = "mirrors the C++ operator")]
    pub(crate) fn jl_fused_adamw(
        params: *const Ptr,
        grads: *const Ptr,
        exp_avgs: *const Ptr,
        exp_avg_sqs: *const Ptr,
        count: usize,
        step: Ptr,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        grad_scale: Ptr,
        found_inf: Ptr,
    ) -> *mut c_char;
    pub(crate) fn jl_foreach_norm(tensors: *const Ptr, count: usize, total: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_foreach_mul_scalar(tensors: *const Ptr, count: usize, factor: f64) -> *mut c_char;
    pub(crate) fn jl_foreach_mul_tensor(tensors: *const Ptr, count: usize, factor: Ptr) -> *mut c_char;
    pub(crate) fn jl_foreach_copy(targets: *const Ptr, sources: *const Ptr, count: usize) -> *mut c_char;
    pub(crate) fn jl_foreach_add(targets: *const Ptr, sources: *const Ptr, count: usize, alpha: f64) -> *mut c_char;
    pub(crate) fn jl_foreach_zero(tensors: *const Ptr, count: usize) -> *mut c_char;
    pub(crate) fn jl_rng_get(state: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_rng_set(state: Ptr) -> *mut c_char;
    pub(crate) fn jl_set_deterministic(on: c_int) -> *mut c_char;
    pub(crate) fn jl_set_flush_denormal(on: c_int) -> c_int;
    pub(crate) fn jl_keep_memory();
    pub(crate) fn jl_peak_device_memory(device: i64, bytes: *mut i64) -> *mut c_char;
    pub(crate) fn jl_version() -> *const c_char;
    pub(crate) fn jl_load_cuda(message: *mut *mut c_char) -> c_int;
    pub(crate) fn jl_rms_norm(x: Ptr, weight: Ptr, eps: f64, normed: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_add_rms_norm(x: Ptr, delta: Ptr, weight: Ptr, eps: f64, sum: *mut Ptr, normed: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_swiglu(gate_up: Ptr, out: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_split_rotate(qkv: Ptr, cos: Ptr, sin: Ptr, heads: i64, groups: i64, out: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_has_block_attention() -> c_int;
    pub(crate) fn jl_causal_attention(q: Ptr, k: Ptr, v: Ptr, mask: Ptr, out: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_linear_cross_entropy(hidden: Ptr, weight: Ptr, targets: Ptr, ignore: i64, rows: i64, sum: *mut Ptr) -> *mut c_char;
    pub(crate) fn jl_grad_norm(grads: *const Ptr, count: usize, norm: *mut f64) -> *mut c_char;
    pub(crate) fn jl_grad_add(sum: Ptr, grad: Ptr, out: *mut Ptr) -> *mut c_char;
    #[allow(clippy::too_many_arguments, reason = "mirrors the C++ function")]
    pub(crate) fn jl_adamw(
        weight: Ptr,
        grad: Ptr,
        first: Ptr,
        second: Ptr,
        copy: Ptr,
        step: f64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        grad_scale: f64,
    ) -> *mut c_char;
    pub(crate) fn jl_has_cpu_feature(name: *const c_char) -> c_int;
}

/// The pointer of one tensor. The shim copies the `torch::Tensor` handle and never frees it.
pub(crate) fn ptr(tensor: &Tensor) -> Ptr {
    tensor.as_ptr().cast_mut()
}

/// The pointer of an optional tensor: null when there is none.
pub(crate) fn optional_ptr(tensor: Option<&Tensor>) -> Ptr {
    tensor.map_or(std::ptr::null_mut(), ptr)
}

/// The pointers of a list. They are valid as long as the tensors are borrowed.
pub(crate) fn ptrs(tensors: &[&Tensor]) -> Vec<Ptr> {
    tensors.iter().map(|tensor| ptr(tensor)).collect()
}

/// Takes over a message from the shim and frees it. Empty when the pointer is null.
pub(crate) fn take_message(message: *mut c_char) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: a non-null message is a NUL-terminated string from the shim, ours to free once.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        jl_free(message);
        text
    };
    Some(text)
}

/// A returned message as an error: its first line, since libtorch appends a backtrace.
pub(crate) fn check(message: *mut c_char) -> Result<()> {
    match take_message(message) {
        None => Ok(()),
        Some(text) => Err(Error::Torch { message: text.lines().next().unwrap_or_default().to_owned() }),
    }
}

/// Takes over a tensor that the shim made with `new`.
pub(crate) fn take_tensor(tensor: Ptr) -> Tensor {
    debug_assert!(!tensor.is_null(), "the shim sets its output whenever it reports no error");
    // SAFETY: the shim allocated it with `new torch::Tensor` and gave it away; `Tensor` frees it when dropped.
    unsafe { Tensor::from_ptr(tensor) }
}
