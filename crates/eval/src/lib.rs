//! Stage eval.
