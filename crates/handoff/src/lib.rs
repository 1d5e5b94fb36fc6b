//! The contract between stages: run layout, Arrow schemas, shard reader and writer, manifest, atomic writes.
