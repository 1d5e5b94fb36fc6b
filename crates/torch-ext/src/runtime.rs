//! Switches and facts of the whole process: threads, determinism, CPU abilities, random state, the GPU half of libtorch.

use std::ffi::CStr;

use tch::{Device, Tensor};

use crate::Result;
use crate::ffi::{self, check, ptr, take_message, take_tensor};

/// What happened when the GPU half of libtorch was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaLoad {
    /// `libtorch_cuda.so` is loaded and sees this many GPUs (0: no driver, or all hidden by `CUDA_VISIBLE_DEVICES`).
    Loaded {
        /// Number of GPUs.
        devices: i64,
    },
    /// There is no `libtorch_cuda.so` that can be loaded; the CPU works as ever.
    Absent {
        /// The dynamic loader's reason.
        reason: String,
    },
}

/// Loads `libtorch_cuda.so` where it exists, so that one binary, linked to the CPU half only, serves CPU and GPU.
///
/// Call it once, at the start of `main`, before anything asks tch for CUDA: libtorch looks for its CUDA half once.
/// The search follows `LD_LIBRARY_PATH` and the binary's RUNPATH. It is never an error.
pub fn load_cuda() -> CudaLoad {
    let mut message = std::ptr::null_mut();
    // SAFETY: `message` is only set to a string that we then own.
    if unsafe { ffi::jl_load_cuda(&mut message) } != 0 {
        let devices = if tch::Cuda::is_available() { tch::Cuda::device_count() } else { 0 };
        return CudaLoad::Loaded { devices };
    }
    CudaLoad::Absent { reason: take_message(message).unwrap_or_default() }
}

/// Whether this CPU multiplies bf16 matrices in hardware (AVX-512 BF16 or AMX): there bf16 is 2 to 5 times as fast as f32,
/// on other CPUs it is emulated and slower.
pub fn has_fast_bf16() -> bool {
    // SAFETY: both names are NUL-terminated.
    [c"avx512_bf16", c"amx_bf16"].iter().any(|name| unsafe { ffi::jl_has_cpu_feature(name.as_ptr()) } != 0)
}

/// Threads that one operation uses.
pub fn num_threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Sets the threads that one operation uses, at least 1. Results of training are the same only for the same number.
pub fn set_num_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

/// Makes libtorch refuse operations that have no deterministic form (matters on GPUs; the CPU kernels used here are deterministic).
///
/// # Errors
/// What libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: a plain call.
    check(unsafe { ffi::jl_set_deterministic(on.into()) })
}

/// Treats denormal floats as zero in the calling thread. Returns false where the CPU cannot.
pub fn set_flush_denormal(on: bool) -> bool {
    // SAFETY: a plain call.
    unsafe { ffi::jl_set_flush_denormal(on.into()) != 0 }
}

/// Version of the libtorch that this was compiled with, such as `2.11.0`.
pub fn version() -> &'static str {
    // SAFETY: the shim returns a string constant.
    unsafe { CStr::from_ptr(ffi::jl_version()) }.to_str().unwrap_or_default()
}

/// Tells glibc's allocator to keep freed memory for the next tensors, instead of giving large blocks back to the system and
/// getting them again, zeroed page by page, at every step. The process then holds what it needed at most.
pub fn keep_memory() {
    // SAFETY: a plain call.
    unsafe { ffi::jl_keep_memory() }
}

/// The most memory held so far, in bytes, where the system tells: of the whole process for the CPU (Linux), of libtorch's
/// allocator for a GPU.
pub fn peak_memory(device: Device) -> Option<u64> {
    if let Device::Cuda(index) = device {
        let mut bytes = 0;
        // SAFETY: `bytes` lives across the call.
        check(unsafe { ffi::jl_peak_device_memory(index as i64, &mut bytes) }).ok()?;
        return u64::try_from(bytes).ok();
    }
    proc_status("VmHWM:")
}

/// Lets [`peak_memory`] of the CPU begin anew at what is held now; false where the system has no such thing.
pub fn reset_peak_memory() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Memory of the whole process now, in bytes, where the system tells.
pub fn held_memory() -> Option<u64> {
    proc_status("VmRSS:")
}

fn proc_status(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The state of libtorch's CPU random generator: a tensor of bytes.
///
/// # Errors
/// What libtorch refuses.
pub fn rng_state() -> Result<Tensor> {
    let mut state = std::ptr::null_mut();
    // SAFETY: `state` is set when no message comes back.
    check(unsafe { ffi::jl_rng_get(&mut state) })?;
    Ok(take_tensor(state))
}

/// Sets the state of libtorch's CPU random generator to one that [`rng_state`] gave.
///
/// # Errors
/// A tensor that is no such state.
pub fn set_rng_state(state: &Tensor) -> Result<()> {
    // SAFETY: the shim reads the handle.
    check(unsafe { ffi::jl_rng_set(ptr(state)) })
}
