//! The runner: reads pipelines/*.toml, works out what is stale, runs stage binaries in order.
