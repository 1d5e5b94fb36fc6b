//! Stage pretrain.
