//! Where and how to compute: device, precision, threads.

use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::{Device, Kind, Tensor};
use torch_ext::CudaLoad;

use crate::{Error, Result};

/// The type that forward and backward passes compute in; master weights are float32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// bf16 where the hardware multiplies it fast (GPUs, CPUs with AVX-512 BF16 or AMX), float32 elsewhere.
    Auto,
    /// bfloat16.
    Bf16,
    /// float32.
    Fp32,
}

/// Resolved device, type and threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compute {
    /// CPU or one GPU.
    pub device: Device,
    /// [`Kind::BFloat16`] or [`Kind::Float`].
    pub kind: Kind,
    /// Threads within one operation on the CPU.
    pub threads: usize,
}

impl Compute {
    /// Resolves the configuration and sets the process's threads.
    ///
    /// `device` is `auto` (a GPU if one is visible), `cpu`, `cuda` or `cuda:N`. `threads` 0 means all CPUs that this
    /// process may use (its affinity and cgroup); results are the same only for the same number.
    ///
    /// # Errors
    /// [`Error::Device`] for a GPU that is not there: it never falls back to the CPU by itself. [`Error::TooMany`] for more threads
    /// than [`stage::MOST_THREADS`].
    pub fn resolve(device: &str, precision: Precision, threads: usize) -> Result<Self> {
        if threads > stage::MOST_THREADS {
            return Err(Error::TooMany { key: "threads", got: threads as u64, most: stage::MOST_THREADS as u64 });
        }
        let device = resolve_device(device)?;
        let kind = match (precision, device) {
            (Precision::Bf16, _) => Kind::BFloat16,
            (Precision::Fp32, _) => Kind::Float,
            (Precision::Auto, Device::Cpu) if !torch_ext::has_fast_bf16() => Kind::Float,
            (Precision::Auto, _) => Kind::BFloat16,
        };
        let threads = if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
        torch_ext::set_num_threads(threads);
        if device == Device::Cpu {
            torch_ext::keep_memory();
        }
        Ok(Self { device, kind, threads })
    }

    /// What a matrix product reaches here, in FLOP/s, measured in a fraction of a second: the ceiling that model FLOPs utilization
    /// (MFU, Chowdhery et al., arXiv 2204.02311) is given against.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn peak_flops(&self) -> Result<f64> {
        let n: i64 = if self.device == Device::Cpu { 1024 } else { 8192 };
        let a = Tensor::f_ones([n, n], (self.kind, self.device))?;
        let mut out = a.f_empty_like()?;
        let mut best = f64::INFINITY;
        for _ in 0..4 {
            let started = Instant::now();
            out = a.f_mm_out(&out, &a)?;
            // Waits for a GPU.
            f64::try_from(out.f_get(0)?.f_get(0)?)?;
            best = best.min(started.elapsed().as_secs_f64());
        }
        Ok(2.0 * (n as f64).powi(3) / best)
    }

    /// `bf16` or `fp32`.
    pub fn precision(&self) -> &'static str {
        if self.kind == Kind::BFloat16 { "bf16" } else { "fp32" }
    }

    /// `cpu` or `cuda:N`.
    pub fn device_name(&self) -> String {
        match self.device {
            Device::Cuda(n) => format!("cuda:{n}"),
            _ => "cpu".to_owned(),
        }
    }
}

fn resolve_device(text: &str) -> Result<Device> {
    let problem = |problem: String| Err(Error::Device { wanted: text.to_owned(), problem });
    if text == "cpu" {
        return Ok(Device::Cpu);
    }
    let (visible, why) = match torch_ext::load_cuda() {
        CudaLoad::Loaded { devices } => (devices, "no GPU is visible".to_owned()),
        CudaLoad::Absent { reason } => (0, format!("libtorch's CUDA half is not installed ({reason})")),
    };
    let index: i64 = match text {
        "auto" if visible == 0 => return Ok(Device::Cpu),
        "auto" | "cuda" => 0,
        _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
            Some(n) => n,
            None => return problem("it must be `auto`, `cpu`, `cuda` or `cuda:N`".to_owned()),
        },
    };
    if visible == 0 {
        return problem(why);
    }
    if index < 0 || index >= visible {
        return problem(format!("{visible} GPU(s) are visible, counted from 0"));
    }
    Ok(Device::Cuda(index as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_resolve_and_nonsense_is_refused() {
        let compute = Compute::resolve("cpu", Precision::Fp32, 1).unwrap();
        assert_eq!((compute.precision(), compute.device_name().as_str(), compute.threads), ("fp32", "cpu", 1));
        assert_eq!(Compute::resolve("cpu", Precision::Bf16, 1).unwrap().precision(), "bf16");
        let error = Compute::resolve("cpu", Precision::Fp32, 100_000).unwrap_err().to_string();
        assert_eq!(error, "`threads` is 100000, at most 1024 are possible");
        for bad in ["gpu", "cuda:x", "cuda:-1", "cuda:99"] {
            let error = Compute::resolve(bad, Precision::Auto, 1).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
