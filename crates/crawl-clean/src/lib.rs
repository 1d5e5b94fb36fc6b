//! Stage `crawl-clean`: web archives in, clean and deduplicated documents out.
//!
//! **Input**: WARC, ARC and WET files (plain, gzip per record or whole, zstd with a dictionary or without, lz4), HTML files, JSON lines and Parquet.
//!
//! **Output**: `data/NNNNN.parquet` (`handoff::schema::documents`), `rejected/NNNNN.parquet` (`handoff::schema::rejected`), and
//! the side tables `signatures/NNNNN.parquet` ([`dedup::table::signature_schema`]) and `extracted/NNNNN.parquet` ([`extracted::schema`]).
//!
//! **Unit**: one input file, in the order of the ingest log. Pages are cleaned in parallel, each by itself ([`page`]); duplicates are
//! then decided in order ([`dedup`]).
//!
//! Invariants:
//! - **A page's text, language and filter decisions are a pure function of its bytes and the configuration.**
//! - **A document is dropped as a duplicate if and only if an earlier one in ingest order, kept or not, is its duplicate**; new inputs
//!   never change an earlier decision, and a unit that is done again takes those behind it with it.
//! - **The same ingest log and configuration give the same bytes** for any number of threads and any grouping of the work.
//! - **Nothing vanishes**: `records` = `records.other` + `kept` + `rejected`, by reason ([`Reason`]).

pub mod assets;
pub mod charset;
pub mod config;
pub mod decontaminate;
pub mod dedup;
pub mod dom;
pub mod error;
pub mod extract;
pub mod extracted;
mod feed;
pub mod filter;
#[cfg(test)]
mod growth;
pub mod input;
pub mod inspect;
pub mod model;
pub mod page;
mod personal;
mod phase;
pub mod reason;
pub mod reduce;
pub mod report;
pub mod rows;
pub mod run;
pub mod units;
pub mod url;

pub use config::Config;
pub use error::Error;
pub use reason::{Reason, Rejection};
pub use run::run;

use handoff::{IngestLog, Manifest};
use stage::{Command, ConfigProblem, DryRun, Report, Stage, StageContext, StageError};

/// Name of the stage.
pub const NAME: &str = "crawl-clean";

/// The stage for [`stage::main_stage`].
#[derive(Debug)]
pub struct CrawlClean;

impl Stage for CrawlClean {
    type Config = Config;
    const NAME: &'static str = NAME;
    const ABOUT: &'static str = "Turns web archives into clean, deduplicated documents";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");
    const UNDIGESTED: &'static [&'static str] = &["inputs", "chunk_bytes", "max_memory_mb", "keep_extracted"];
    const PHASES: &'static [(&'static str, &'static str)] = phase::PHASES;

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        let inputs = units::find(ctx, config)?;
        let manifest = Manifest::load(&ctx.stage_dir)?;
        let assets = assets::Assets::load(&ctx.config_dir, config)?;
        let ctx = &StageContext { config_digest: assets.digest(ctx.config_digest), ..ctx.clone() };
        let jobs = units::chain(&inputs, &IngestLog::load(&ctx.stage_dir)?, config.dedup.enabled);
        Ok(DryRun::of_plan(&units::compare(ctx, &jobs, &manifest)))
    }

    fn commands() -> Vec<Command<Self>> {
        vec![report::command(), inspect::command()]
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        run(ctx, config)
    }
}
