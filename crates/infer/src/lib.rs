//! Generation and scoring: KV cache, batching, sampling, log-likelihood.
