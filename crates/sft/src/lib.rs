//! Stage sft.
