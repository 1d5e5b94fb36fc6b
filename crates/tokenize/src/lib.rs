//! Stage tokenize.
