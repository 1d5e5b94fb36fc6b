//! Stage shard.
