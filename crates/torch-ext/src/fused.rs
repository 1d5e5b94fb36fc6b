//! Operations of a Llama block in one pass over memory each, with backward passes of their own.
//!
//! At small widths the products of a block take less time than the element-wise work between them when that is done
//! one ATen operation at a time. All but [`linear_cross_entropy`] are for the CPU; f32 or bf16, computed in f32.
//!
//! Shape letters: b batch, t time, d width, h query heads, g key-value heads, e width of a head, i feed-forward width,
//! n tokens, v vocabulary.

use tch::Tensor;

use crate::Result;
use crate::ffi::{self, check, ptr, take_tensor};

/// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): `x / sqrt(mean(x²) + eps) · weight` over the last dimension.
///
/// # Errors
/// Shapes or types that do not fit, or tensors that are not on the CPU.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `out` is set when no message comes back.
    check(unsafe { ffi::jl_rms_norm(ptr(x), ptr(weight), eps, &mut out) })?;
    Ok(take_tensor(out))
}

/// `sum = x + delta` and [`rms_norm`] of it: the end of one residual branch and the start of the next.
///
/// # Errors
/// As [`rms_norm`].
pub fn add_rms_norm(x: &Tensor, delta: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let (mut sum, mut normed) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both outputs are set when no message comes back.
    check(unsafe { ffi::jl_add_rms_norm(ptr(x), ptr(delta), ptr(weight), eps, &mut sum, &mut normed) })?;
    Ok((take_tensor(sum), take_tensor(normed)))
}

/// `silu(gate) · up` (Shazeer, arXiv 2002.05202) of `[…, gate | up]`: the last dimension is halved.
///
/// # Errors
/// As [`rms_norm`].
pub fn swiglu(gate_up: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `out` is set when no message comes back.
    check(unsafe { ffi::jl_swiglu(ptr(gate_up), &mut out) })?;
    Ok(take_tensor(out))
}

/// Splits `[b, t, (h + 2g) · e]` into query `[b, h, t, e]`, key and value `[b, g, t, e]`, and rotates query and key
/// by their positions (halves of a head together, as Hugging Face Llama does). `cos` and `sin` are f32
/// `[t, e/2]`, or `[b · t, e/2]` when rows have positions of their own.
///
/// # Errors
/// As [`rms_norm`].
pub fn split_rotate(qkv: &Tensor, cos: &Tensor, sin: &Tensor, heads: i64, groups: i64) -> Result<(Tensor, Tensor, Tensor)> {
    let mut out = [std::ptr::null_mut(); 3];
    // SAFETY: `out` has room for the three tensors, which are set when no message comes back.
    check(unsafe { ffi::jl_split_rotate(ptr(qkv), ptr(cos), ptr(sin), heads, groups, out.as_mut_ptr()) })?;
    let [query, key, value] = out.map(take_tensor);
    Ok((query, key, value))
}

/// Whether [`causal_attention`] works in blocks in bf16 on this CPU.
pub fn has_block_attention() -> bool {
    // SAFETY: it only asks.
    unsafe { ffi::jl_has_block_attention() != 0 }
}

/// Attention in which each token sees itself and those before it, or of these what `mask` (bool, `[b or 1, 1, t, t]`) shows: softmax of
/// `q · kᵀ / √e`, times `v`, all `[b, h, t, e]`. A mask must show each token one at least, and none that comes later. In bf16, where
/// [`has_block_attention`] and where heads are multiples of 16 wide, the backward pass works in large blocks; otherwise it is libtorch's.
///
/// # Errors
/// Shapes or types that differ, or tensors that are not on the CPU.
pub fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `out` is set when no message comes back; the mask may be null.
    check(unsafe { ffi::jl_causal_attention(ptr(q), ptr(k), ptr(v), ffi::optional_ptr(mask), &mut out) })?;
    Ok(take_tensor(out))
}

/// The sum over tokens of the cross-entropy of `hidden_nd · weight_vdᵀ` against `targets_n` (i64), in nats, 0-d f32.
/// Targets equal to `ignore` count nothing. At most `rows` tokens' logits are held at a time, in f32 (on the CPU, bf16 ones stay as they are); gradients are found on the way.
///
/// # Errors
/// Shapes or types that do not fit, or a target outside the vocabulary.
pub fn linear_cross_entropy(hidden_nd: &Tensor, weight_vd: &Tensor, targets_n: &Tensor, ignore: i64, rows: i64) -> Result<Tensor> {
    let mut sum = std::ptr::null_mut();
    // SAFETY: `sum` is set when no message comes back.
    check(unsafe { ffi::jl_linear_cross_entropy(ptr(hidden_nd), ptr(weight_vd), ptr(targets_n), ignore, rows, &mut sum) })?;
    Ok(take_tensor(sum))
}
