//! How many rows of a forward and backward pass memory holds.

use std::fs;
use std::path::Path;

use model::{Grads, Model};
use tch::{Device, Kind, Tensor};

use crate::replicas::Replicas;
use crate::trainer::Micro;
use crate::{Error, Result};

/// Share of the free memory that may be counted on: other programs want some too.
const USABLE: f64 = 0.8;
/// Bytes of each trained number that a pass does not take but a step does: AdamW's two moments, and the sum of the gradients beside those
/// of one pass.
const LATER_BYTES: u64 = 12;

/// The most rows, among the divisors of `batch_rows`, whose forward and backward pass fits into the memory that is free
/// now, beside the optimizer's moments and the gradients' sum, which come later. `micro` gives a micro-batch of so many
/// rows. Two small passes are measured on the CPU, and what more rows take is worked out; on a GPU large passes are tried
/// until one fits.
///
/// # Errors
/// [`Error::OutOfMemory`] where not even one row fits, and what libtorch refuses otherwise.
pub fn micro_rows(model: &Model, micro: impl Fn(u64) -> Result<Micro>, batch_rows: u64, threads: usize, recompute: bool) -> Result<u64> {
    let replicas = Replicas::start(model, threads, recompute)?;
    let pass = |rows: u64| -> Result<()> {
        let mut grads = Grads::new();
        let loss = replicas.add_gradients(model, micro(rows)?, 1, &mut grads)?;
        // Waits for a GPU.
        f64::try_from(&loss)?;
        Ok(())
    };
    let none = || Error::OutOfMemory { rows: 1, fitting: None };
    let later = LATER_BYTES * model.trainable().iter().map(|p| p.master.numel() as u64).sum::<u64>();
    if model.device() != Device::Cpu {
        let _moments = Tensor::f_empty([later as i64], (Kind::Uint8, model.device())).map_err(|_| none())?;
        for rows in divisors(batch_rows) {
            match pass(rows) {
                Ok(()) => return Ok(rows),
                Err(error) if error.is_out_of_memory() => {}
                Err(error) => return Err(error),
            }
        }
        return Err(none());
    }
    let small = (replicas.parts() as u64).min(batch_rows);
    let mut peaks = [0.0; 2];
    for (peak, rows) in peaks.iter_mut().zip([small, 2 * small]) {
        // The first pass also makes what is made only once.
        pass(rows)?;
        torch_ext::reset_peak_memory();
        pass(rows)?;
        *peak = torch_ext::peak_memory(Device::Cpu).unwrap_or(0) as f64;
    }
    let (free, held) = (free_memory().unwrap_or(u64::MAX).saturating_sub(later), torch_ext::held_memory().unwrap_or(0));
    let of_a_row = (peaks[1] - peaks[0]).max(0.0) / small as f64;
    let peak = |rows: u64| peaks[1] + of_a_row * (rows as f64 - 2.0 * small as f64);
    divisors(batch_rows).find(|&rows| peak(rows) - held as f64 <= USABLE * free as f64).ok_or_else(none)
}

/// Divisors, the largest first.
fn divisors(n: u64) -> impl Iterator<Item = u64> {
    (1..=n).rev().filter(move |d| n.is_multiple_of(*d))
}

/// Memory that this process could still get, in bytes: what the system has, within the limit of its control group.
fn free_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(free_in_group(Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX).min(kib * 1024))
}

/// The same within the control group (version 2) at `dir`: what its limit leaves, and the file cache that gives way when memory is short.
/// `None` without a limit.
fn free_in_group(dir: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, now) = (number("memory.max")?, number("memory.current")?);
    let cache = read("memory.stat").and_then(|stat| stat.lines().find_map(|l| l.strip_prefix("inactive_file "))?.parse().ok());
    Some(limit.saturating_sub(now.saturating_sub(cache.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Config, Inputs, Options};

    #[test]
    fn a_small_model_fits_whole() {
        let model = Model::new(Config::llama(16, 8, 2, 2), 3, &Options::cpu()).unwrap();
        let micro = |rows: u64| -> Result<Micro> {
            let ids = Tensor::ones([rows as i64, 6], (Kind::Int64, Device::Cpu));
            Ok(Micro { targets: ids.copy(), ids, inputs: Inputs::default() })
        };
        assert_eq!(micro_rows(&model, micro, 12, 2, false).unwrap(), 12);
        assert_eq!(divisors(12).collect::<Vec<_>>(), [12, 6, 4, 3, 2, 1]);
        assert!(free_memory().unwrap() > 1 << 20);
    }

    #[test]
    fn file_cache_is_free_memory() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(free_in_group(dir.path()), None);
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(free_in_group(dir.path()), None, "no limit");
        write("memory.max", "1000\n");
        assert_eq!(free_in_group(dir.path()), Some(300));
        write("memory.stat", "anon 100\nfile 600\ninactive_file 500\nactive_file 100\n");
        assert_eq!(free_in_group(dir.path()), Some(800));
    }
}
