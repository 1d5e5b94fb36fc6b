//! What tch does not bind: fused optimizer, foreach operations, RNG state, late CUDA loading.
