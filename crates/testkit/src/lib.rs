//! Development only: fixtures, temporary runs, command harness, golden compare, the layering test.
