//! Process-wide state, in one test binary of its own since it is shared by all threads.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tch::{Device, Kind, Tensor};
use torch_ext::CudaLoad;

#[test]
fn random_state_comes_back() {
    let state = torch_ext::rng_state().unwrap();
    let first = Tensor::rand([8], (Kind::Float, Device::Cpu));
    let other = Tensor::rand([8], (Kind::Float, Device::Cpu));
    torch_ext::set_rng_state(&state).unwrap();
    let again = Tensor::rand([8], (Kind::Float, Device::Cpu));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let error = torch_ext::set_rng_state(&Tensor::zeros([3], (Kind::Float, Device::Cpu))).unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn threads_and_switches() {
    let before = torch_ext::num_threads();
    torch_ext::set_num_threads(1);
    assert_eq!(torch_ext::num_threads(), 1);
    torch_ext::set_num_threads(0);
    assert_eq!(torch_ext::num_threads(), 1);
    torch_ext::set_num_threads(before);
    torch_ext::set_deterministic(true).unwrap();
    torch_ext::set_deterministic(false).unwrap();
    assert!(torch_ext::set_flush_denormal(false) || !cfg!(target_arch = "x86_64"));
    let _ = torch_ext::has_fast_bf16();
}

#[test]
fn cuda_is_loaded_or_a_reason_is_given() {
    match torch_ext::load_cuda() {
        CudaLoad::Loaded { devices } => assert!(devices >= 0),
        CudaLoad::Absent { reason } => assert!(reason.contains("libtorch_cuda"), "{reason}"),
    }
}
