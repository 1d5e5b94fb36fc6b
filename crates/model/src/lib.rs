//! Llama-family decoder in tch: config, attention, block, weights in HF names, adapters.
