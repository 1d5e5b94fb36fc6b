//! Stage reverse-distill.
