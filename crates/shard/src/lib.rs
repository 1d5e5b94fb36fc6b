//! Stage `shard`: splits documents into train and validation, shuffles them, and packs their token ids into training rows.
//!
//! In: table `tokens`. Out: table `samples`, `train-BBBBB.parquet` and `validation-BBBBB.parquet` for each ingest batch `B`.
//!
//! | column of `samples` | Arrow type | unit | nullable |
//! | --- | --- | --- | --- |
//! | `sample_id` | utf8 | split, batch and row: `train-00000-000017` | no |
//! | `input_ids` | list of uint16 or uint32 | exactly `seq_len + 1` token ids | no |
//! | `document_starts` | list of int32 | where each document part begins in the row | no |
//! | `document_ids` | list of utf8 | the document of each part | no |
//! | `token_offsets` | list of int64 | place of the part's first token in its document | no |
//! | `num_bytes` | int64 | bytes of text that the targets stand for; end and padding tokens count none | no |
//!
//! A row's inputs are all its tokens but the last, its targets all but the first; consecutive rows overlap by one token. So **every
//! token of every document, its end token included, is a target exactly once**. A batch's stream opens with an end token (which belongs
//! to no part), so the first document follows one like all others. Only the last row of a split of a batch can lack tokens: it is
//! filled with `pad_token_id`, which occurs nowhere else, and **whoever trains ignores targets equal to `pad_token_id`**.
//! Where the tokenizer has no pad token of its own, an incomplete last row is dropped and counted.
//!
//! Key-value metadata: what the tokens shards carry (`tokenizer_digest`, `vocab_size`, `padded_vocab_size`, `eos_token_id`,
//! `pad_token_id`), and `split`, `batch`, `seq_len_tokens` (targets of a row), `row_tokens` (`seq_len + 1`), `packing`, `shuffle`,
//! `seed`, `validation_share`.
//!
//! Invariants:
//! - **The unit is one ingest batch**: what was new upstream in one run. Documents are shuffled within their batch, so a new batch
//!   only adds shards. Order depends on seed, batch and document id; the side (train or validation) on the document id alone.
//! - **Mixed tokenizers are refused** (exit code 3), as is a tokenizer that is not the one in the shards' metadata.
//! - The same ingest log, configuration and seed give the same bytes for any memory limit and number of workers (the work of a batch
//!   is sequential).
//! - Memory is bounded by `max_memory_mb` for token ids, by a row group for output, and by the longest document.
#![warn(missing_docs)]

mod config;
mod error;
pub mod order;
pub mod pack;
mod shuffle;
mod source;
mod trace;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use handoff::manifest::UnitEntry;
use handoff::plan::why;
use handoff::{DigestBuilder, IngestLog, Manifest, OutputFile, StageDir, UnitKey, UpstreamShard, Why};
use stage::{Command, ConfigProblem, DryRun, DryUnit, Report, Stage, StageContext, StageError, TableInputs};

pub use config::{Config, Packing};
pub use error::Error;

use order::Split;
use pack::{Document, Packer};
use shuffle::{Order, Reading};
use source::Source;
use write::SampleWriter;

/// Raised when the same tokens and configuration give other output than before.
pub const FORMAT_VERSION: u32 = 1;

/// The stage.
#[derive(Debug)]
pub struct Shard;

impl Stage for Shard {
    type Config = Config;
    const NAME: &'static str = "shard";
    const ABOUT: &'static str = "Splits, shuffles and packs token ids into training rows";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");
    // The tokenizer's content counts by the digest in the shards; memory changes nothing.
    const UNDIGESTED: &'static [&'static str] = &["inputs", "tokenizer", "max_memory_mb"];

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        let inputs = TableInputs::find(ctx, &config.inputs, "tokens")?;
        let manifest = Manifest::load(&ctx.stage_dir)?;
        let mut log = Batches::of_log(&IngestLog::load(&ctx.stage_dir)?);
        log.add_new(&inputs.shards);
        let units = plan_units(ctx, &manifest, &log, &inputs.shards);
        let todo = units.iter().filter_map(|unit| {
            let why = unit.why?.to_string();
            Some(DryUnit { unit: unit.name.clone(), why, bytes: unit.shards.iter().map(|shard| shard.bytes).sum() })
        });
        let notes = units
            .iter()
            .flat_map(|unit| &unit.vanished)
            .map(|name| format!("input `{name}` vanished (--prune redoes its batch without it)"));
        let (todo, notes) = (todo.collect(), notes.collect());
        Ok(DryRun { todo, skip: units.iter().filter(|unit| unit.why.is_none() && !unit.shards.is_empty()).count() as u64, notes })
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        run(ctx, config)?.ok_or_else(StageError::interrupted)
    }

    fn commands() -> Vec<Command<Self>> {
        vec![trace::command()]
    }
}

/// Which shards make up which batch.
#[derive(Debug, Default)]
struct Batches(Vec<Vec<String>>);

impl Batches {
    fn of_log(log: &IngestLog) -> Self {
        Self(log.batches().iter().map(|batch| batch.units.iter().map(|unit| unit.name.clone()).collect()).collect())
    }

    /// What [`IngestLog::follow`] would append, without writing it.
    fn add_new(&mut self, shards: &[UpstreamShard]) {
        let known: BTreeSet<String> = self.0.iter().flatten().cloned().collect();
        let mut new: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for shard in shards.iter().filter(|shard| !known.contains(&shard.unit)) {
            new.entry(shard.batch).or_default().push(shard.unit.clone());
        }
        self.0.extend(new.into_values().map(|mut units| {
            units.sort();
            units
        }));
    }
}

/// One batch with what is to be done about it.
struct Unit<'a> {
    name: String,
    batch: u32,
    shards: Vec<&'a UpstreamShard>,
    key: UnitKey,
    why: Option<Why>,
    /// Shards that the committed output holds and that are gone now.
    vanished: Vec<String>,
}

fn plan_units<'a>(ctx: &StageContext, manifest: &Manifest, batches: &Batches, shards: &'a [UpstreamShard]) -> Vec<Unit<'a>> {
    let by_name: BTreeMap<&str, &UpstreamShard> = shards.iter().map(|shard| (shard.unit.as_str(), shard)).collect();
    let units = batches.0.iter().enumerate().map(|(batch, names)| {
        let name = format!("batch-{batch:05}");
        let present: Vec<&UpstreamShard> = names.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect();
        let digest = present.iter().fold(DigestBuilder::new(), |d, shard| d.field(&shard.unit, shard.digest.as_bytes())).finish();
        let key = UnitKey { input_digest: digest, config_digest: ctx.config_digest, format_version: FORMAT_VERSION };
        let committed = manifest.units().get(&name);
        let shards_then = committed.and_then(|entry| entry.counts.get("shards")).copied().unwrap_or(0);
        let vanished = if (present.len() as u64) < shards_then {
            names.iter().filter(|name| !by_name.contains_key(name.as_str())).cloned().collect()
        } else {
            Vec::new()
        };
        let why = if present.is_empty() { None } else { why(manifest, &name, &key, ctx.force) };
        Unit { name, batch: batch as u32, shards: present, key, why, vanished }
    });
    units.collect()
}

/// Does the stage's work; `None` if it was cancelled.
///
/// # Errors
/// See [`Error`].
pub fn run(ctx: &StageContext, config: &Config) -> Result<Option<Report>, Error> {
    let inputs = TableInputs::find(ctx, &config.inputs, "tokens")?;
    let tokenizer_dir = source::tokenizer_dir(ctx, config, &inputs)?;
    if ctx.worker.count == 1 {
        // With several workers, another one's temporary files may be in use.
        handoff::atomic::remove_leftovers(&ctx.stage_dir.data())?;
    }
    let mut log = IngestLog::load(&ctx.stage_dir)?;
    log.follow(&inputs.shards)?;
    let mut manifest = Manifest::load(&ctx.stage_dir)?;
    let units = plan_units(ctx, &manifest, &Batches::of_log(&log), &inputs.shards);
    prune(ctx, &mut manifest, &units)?;
    let todo: Vec<&Unit<'_>> = units
        .iter()
        .filter(|unit| unit.why.is_some() && ctx.worker.owns(unit.batch as usize))
        .take(ctx.limit.map_or(usize::MAX, |limit| limit as usize))
        .collect();
    let skipped = units.iter().filter(|unit| unit.why.is_none() && !unit.shards.is_empty()).count();
    if !todo.is_empty() {
        let source = Source::open(&inputs.shards, &tokenizer_dir)?;
        let bar = ctx.progress.bar("pack", todo.len() as u64, "batches");
        for unit in &todo {
            if ctx.cancel.is_cancelled() {
                manifest.write_summary()?;
                return Ok(None);
            }
            let entry = pack_batch(ctx, config, &source, unit)?;
            tracing::debug!(unit = %unit.name, counts = ?entry.counts, wall_secs = entry.wall_secs, "packed");
            manifest.commit(entry)?;
            bar.inc(1);
        }
        bar.finish();
    }
    let summary = manifest.write_summary()?;
    let count = |key: &str| summary.counts.get(key).copied().unwrap_or(0);
    let per_split = Split::ALL.map(|split| {
        let name = split.name();
        let (rows, tokens, documents) =
            (count(&format!("samples.{name}")), count(&format!("tokens.{name}")), count(&format!("documents.{name}")));
        format!("{name} {rows} rows of {} predicted tokens, {tokens} tokens of {documents} documents", config.seq_len)
    });
    let mut notes = vec![per_split.join("; ")];
    if count("dropped_tail_tokens") > 0 {
        notes.push(format!("{} tokens at the ends of batches dropped: the tokenizer has no pad token", count("dropped_tail_tokens")));
    }
    let data = ctx.stage_dir.data();
    Ok(Some(Report {
        inputs_done: todo.len() as u64,
        inputs_skipped: skipped as u64,
        rows: summary.rows,
        bytes_out: summary.bytes,
        rejected: 0,
        notes,
        look: vec![
            format!(
                "shard trace --config {} --run {} train-00000-000000 --pairs",
                ctx.run.effective_toml().display(),
                ctx.run.path().display()
            ),
            format!("duckdb -c \"select sample_id, len(document_ids), num_bytes from '{}/train-*.parquet' limit 5\"", data.display()),
        ],
        watch: inputs.watch,
        text: None,
    }))
}

/// Vanished inputs are an error, unless they are to go: then their batches are redone without them, and empty batches removed.
fn prune(ctx: &StageContext, manifest: &mut Manifest, units: &[Unit<'_>]) -> Result<(), Error> {
    let vanished: Vec<&String> = units.iter().flat_map(|unit| &unit.vanished).collect();
    let Some(first) = vanished.first() else {
        return Ok(());
    };
    if !ctx.prune {
        let stage = ctx.stage_dir.name().to_string();
        return Err(handoff::Error::Vanished { stage, count: vanished.len(), first: first.to_string() }.into());
    }
    for unit in units.iter().filter(|unit| unit.shards.is_empty()) {
        manifest.remove(&unit.name)?;
    }
    Ok(())
}

/// Everything that is being written for one split.
struct Side<'a> {
    packer: Packer<'a>,
    writer: SampleWriter,
    /// Ids of the documents that parts of unwritten rows may name, by index.
    names: BTreeMap<usize, String>,
    documents: u64,
    tokens: u64,
}

impl<'a> Side<'a> {
    fn new(ctx: &StageContext, config: &Config, source: &'a Source, unit: &Unit<'_>, split: Split) -> Result<Self, Error> {
        let mut extra = source.metadata.clone();
        for (key, value) in [
            ("seq_len_tokens", config.seq_len.to_string()),
            ("row_tokens", (config.seq_len + 1).to_string()),
            ("packing", config.packing.name().to_string()),
            ("shuffle", "documents of a batch, by hash of seed, batch and id".to_string()),
            ("seed", ctx.seed.to_string()),
            ("validation_share", config.validation_share.to_string()),
        ] {
            extra.insert(key.to_string(), value);
        }
        let path = ctx.stage_dir.split_shard(split.name(), unit.batch);
        let digest = unit.key.config_digest.to_string();
        let writer = SampleWriter::create(&path, source.width, (split, unit.batch), config.row_group_rows, digest, extra)?;
        let packer = Packer::new(config.seq_len, source.end_id, source.pad_id, &source.token_bytes);
        Ok(Self { packer, writer, names: BTreeMap::new(), documents: 0, tokens: 0 })
    }

    fn push(&mut self, id: &str, document: Document<'_>) -> Result<(), Error> {
        self.names.insert(document.index, id.to_string());
        self.documents += 1;
        self.tokens += document.ids.len() as u64;
        let Self { packer, writer, names, .. } = self;
        let mut result = Ok(());
        packer.push(document, |row| {
            if result.is_ok() {
                let ids = names_of(&row.documents, names);
                result = writer.push(row, ids);
                // Only the document that is being packed can go on into the next row.
                names.retain(|index, _| *index == document.index);
            }
        });
        result
    }

    fn finish(self, dir: &StageDir, split: Split, counts: &mut BTreeMap<String, u64>) -> Result<OutputFile, Error> {
        let Self { packer, mut writer, names, documents, tokens } = self;
        let mut result = Ok(());
        let tail = packer.finish(|row| {
            let ids = names_of(&row.documents, &names);
            result = writer.push(row, ids);
        });
        result?;
        let name = split.name();
        counts.insert(format!("samples.{name}"), writer.rows());
        counts.insert(format!("documents.{name}"), documents);
        counts.insert(format!("tokens.{name}"), tokens - tail.dropped_tokens);
        *counts.entry("padding_tokens".into()).or_default() += tail.padding_tokens;
        *counts.entry("dropped_tail_tokens".into()).or_default() += tail.dropped_tokens;
        writer.finish(dir)
    }
}

fn names_of(documents: &[usize], names: &BTreeMap<usize, String>) -> Vec<String> {
    documents.iter().map(|index| names.get(index).cloned().unwrap_or_default()).collect()
}

fn pack_batch(ctx: &StageContext, config: &Config, source: &Source, unit: &Unit<'_>) -> Result<UnitEntry, Error> {
    let start = Instant::now();
    let mut train = Side::new(ctx, config, source, unit, Split::Train)?;
    let mut validation = Side::new(ctx, config, source, unit, Split::Validation)?;
    let mut ids = Vec::new();
    let mut index = 0;
    let reading = Reading {
        shards: &unit.shards,
        order: Order { seed: ctx.seed, batch: unit.batch, validation_share: config.validation_share },
        width: source.width,
        vocab_size: source.tokenizer.vocab_size(),
        max_bytes: config.max_memory_mb * 1_000_000,
    };
    reading.in_order(|part| {
        for entry in &part.entries {
            part.read_ids(entry, &mut ids);
            let side = if entry.split == Split::Train { &mut train } else { &mut validation };
            side.push(&entry.id, Document { index, ids: &ids, num_bytes: entry.num_bytes })?;
            index += 1;
        }
        Ok(())
    })?;
    let mut counts = BTreeMap::from([("shards".to_string(), unit.shards.len() as u64)]);
    let train = train.finish(&ctx.stage_dir, Split::Train, &mut counts)?;
    let validation = validation.finish(&ctx.stage_dir, Split::Validation, &mut counts)?;
    Ok(UnitEntry {
        unit: unit.name.clone(),
        batch: unit.batch,
        index: unit.batch,
        key: unit.key,
        outputs: vec![train, validation],
        rejected: Vec::new(),
        counts,
        wall_secs: start.elapsed().as_secs_f64(),
    })
}
