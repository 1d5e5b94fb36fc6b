//! The contract between stages: where files stand under a run, what their columns are, how they are
//! written, and how a stage knows what is already done.
//!
//! A stage never calls another stage.
//! It reads what the stage before it committed and commits what the next one reads, through this crate alone.
//!
//! - [`layout`]: every path under a run directory, and the only code that joins one.
//! - [`schema`]: the Arrow schema of every hand-off table, with a name and a version.
//! - [`shard`]: Parquet written under a temporary name and renamed, read back with its schema checked.
//! - [`manifest`]: one file per finished unit of work; an output exists when its entry does.
//! - [`ingest`]: the append-only order in which inputs arrived.
//! - [`plan`]: which units are to be done, and why.
//! - [`upstream`]: what a stage reads of the one before it.
//! - [`atomic`], [`digest`], [`lock`]: the small pieces these rest on.
//!
//! Invariants:
//! - **No libtorch, no command line, no domain logic.**
//! - **Every path under a run is joined in [`layout`].**
//! - **A kill at any instant leaves the old state or the new one.**

pub mod atomic;
pub mod columns;
pub mod digest;
mod error;
mod id_column;
mod id_pages;
pub mod ingest;
pub mod layout;
pub mod lock;
pub mod manifest;
pub mod plan;
pub mod schema;
pub mod shard;
pub mod upstream;

pub use digest::{Digest, DigestBuilder, DigestCache, document_id};
pub use error::{Error, Result};
pub use ingest::{IngestBatch, IngestLog, IngestUnit};
pub use layout::{RunDir, StageDir};
pub use lock::StageLock;
pub use manifest::{Manifest, OutputFile, UnitEntry, UnitKey};
pub use plan::{Input, Plan, Why, plan};
pub use schema::{TableSchema, TokenWidth};
pub use shard::{Batches, ShardMeta, ShardReader, ShardWriter, SharedMetadata};
pub use upstream::{Upstream, UpstreamShard};
