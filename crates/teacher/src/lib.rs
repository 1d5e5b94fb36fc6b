//! Asking a teacher: back-ends, request log, budget, prompts.
pub mod offline;
