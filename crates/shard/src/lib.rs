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
//! A row's inputs are all its tokens but the last, its targets all but the first. **A document's first token is predicted from an end
//! token and every other one from its document's token before**, whatever the packing ([`pack`]). Where a row begins with a document's
//! beginning, the end token before it belongs to no part; where it goes on with a document, it begins with the token before, so that
//! no target is lost. Two kinds of places are no targets, and **whoever trains ignores them**:
//! - `pad_token_id`, which fills a row. It is the tokenizer's pad token, which occurs nowhere else; of a tokenizer that has none of its
//!   own it is the end token: then of those that a row ends with all but the first are padding (`handoff::columns::Padding`).
//! - The first token of a part *inside* a row (`document_starts` above 0) that goes on with a document (`token_offsets` above 0): it is
//!   there as context for the next one and is a target in another row. `handoff::columns::context_places` finds these; only `best-fit`
//!   has any.
//!
//! | packing | tokens lost | rows |
//! | --- | --- | --- |
//! | `concat` | none | one stream, cut where a row is full; consecutive rows overlap by one token; the last row of a split of a batch is padded |
//! | `best-fit` | none | documents whole where they can be; padding and context take at most 0.5 % of a split's places (less than `1 / seq_len` where that is more), its last row apart |
//! | `bos-aligned` | what does not fit, counted as `cropped_tokens` | each begins with a document's beginning; full but for the last |
//!
//! So with the first two, **every token of every document, its end token included, is a target exactly once** (as often as its
//! document is repeated, with weights). `best-fit` and `bos-aligned` lay rows out within windows of the shuffled order
//! ([`pack::pool`]), whose size depends on `seq_len` alone.
//!
//! `weights` and `language_weights` repeat or leave out training documents ([`mixture`]); validation holds every document once. What a
//! weight means does not depend on the corpus, so a new batch leaves old ones as they are; realised shares stand in the manifest's
//! counts.
//!
//! Key-value metadata: what the tokens shards carry (`tokenizer_digest`, `vocab_size`, `padded_vocab_size`, `bos_token_id`,
//! `eos_token_id`, `pad_token_id`), and `split`, `batch`, `seq_len_tokens` (targets of a row), `row_tokens` (`seq_len + 1`), `packing`, `shuffle`,
//! `seed`, `validation_share`.
//!
//! Invariants:
//! - **The unit is one ingest batch**: what was new upstream in one run. Documents are shuffled within their batch, so a new batch
//!   only adds shards. Order depends on seed, batch and document id; the side (train or validation) on the document id alone.
//! - **Mixed tokenizers are refused** (exit code 3), as is a tokenizer that is not the one in the shards' metadata.
//! - The same ingest log, configuration and seed give the same bytes for any memory limit and number of workers. Workers share
//!   batches; the work of one batch is sequential, so more workers than batches do not help.
//! - Memory is bounded by `max_memory_mb` for token ids, by a row group for output, and by the longest document. A batch that needs
//!   more is read once, spread over files, and read from those.
//!
//! Near duplicates and the split: the tables carry no clusters, and none are needed where `crawl-clean` dropped near duplicates, as it
//! does by default: no two documents that it keeps share a band of their signatures, so none can be on both sides. Documents that never
//! went through it, or with `dedup.near = false`, are split one by one, and a copy with another URL may be on the other side; with
//! `dedup.verify_jaccard`, so may two that share a band and are less alike than that.
#![warn(missing_docs)]

mod config;
mod error;
pub mod mixture;
pub mod order;
pub mod pack;
mod shuffle;
mod source;
mod spill;
mod trace;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use handoff::manifest::UnitEntry;
use handoff::plan::why;
use handoff::{DigestBuilder, IngestLog, Manifest, OutputFile, StageDir, TokenWidth, UnitKey, UpstreamShard, Why};
use stage::{Bar, Command, ConfigProblem, DryRun, DryUnit, Report, Stage, StageContext, StageError, TableInputs};

pub use config::{Config, Packing, TokenEncoding};
pub use error::Error;

use mixture::Mixture;
use order::{BatchSeed, Split};
use pack::{Document, Frame, Packer, Row, TokenId};
use shuffle::{Order, Part, Reading};
use source::Source;
use write::{SampleWriter, sample_id};

/// Raised when the same tokens and configuration give other output than before.
pub const FORMAT_VERSION: u32 = 4;

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
        // Every document is read, and then packed, as often as the mixture says: that many more are known once all are read.
        let documents: u64 = todo.iter().flat_map(|unit| &unit.shards).map(|shard| shard.rows).sum();
        let bar = ctx.progress.bar("pack", 2 * documents, "documents read or packed");
        for unit in &todo {
            let packed = match source.width {
                TokenWidth::U16 => pack_batch::<u16>(ctx, config, &source, unit, &bar),
                TokenWidth::U32 => pack_batch::<u32>(ctx, config, &source, unit, &bar),
            };
            let entry = match packed {
                Err(Error::Interrupted) => {
                    manifest.write_summary()?;
                    return Ok(None);
                }
                packed => packed?,
            };
            tracing::debug!(unit = %unit.name, counts = ?entry.counts, wall_secs = entry.wall_secs, "packed");
            manifest.commit(entry)?;
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
    let mut notes = if summary.counts.is_empty() { Vec::new() } else { vec![per_split.join("; ")] };
    notes.extend(cost_notes(config.seq_len, &summary.counts));
    notes.extend(mixture::notes(&summary.counts));
    let data = ctx.stage_dir.data();
    let mut look = Vec::new();
    let first = manifest.in_order().into_iter().find(|unit| unit.counts.get("samples.train").is_some_and(|rows| *rows > 0));
    if let Some(unit) = first {
        let (config, run, sample) = (ctx.run.effective_toml(), ctx.run.path(), sample_id(Split::Train, unit.batch, 0));
        look.push(format!("shard trace --config {} --run {} {sample} --pairs", config.display(), run.display()));
        look.push(format!(
            "duckdb -c \"select sample_id, len(document_ids), num_bytes from '{}/train-*.parquet' limit 5\"",
            data.display()
        ));
    }
    Ok(Some(Report {
        inputs_done: todo.len() as u64,
        inputs_skipped: skipped as u64,
        rows: summary.rows,
        bytes_out: summary.bytes,
        rejected: 0,
        notes,
        look,
        watch: inputs.watch,
        text: None,
    }))
}

/// What packing cost, where it cost something besides the end of a split.
fn cost_notes(seq_len: usize, counts: &BTreeMap<String, u64>) -> Vec<String> {
    let count = |key: &str| counts.get(key).copied().unwrap_or(0);
    let sum = |name: &str| Split::ALL.iter().map(|split| count(&format!("{name}.{}", split.name()))).sum::<u64>();
    let mut notes = Vec::new();
    if counts.contains_key("split_documents") || counts.contains_key("context_tokens") {
        let places = (sum("samples") * seq_len as u64).max(1) as f64;
        notes.push(format!(
            "{:.2} % of the places filled: {} tokens of padding, {} of context; {} documents longer than a row, {} cuts only to fill rows",
            100.0 - 100.0 * (count("padding_tokens") + count("context_tokens")) as f64 / places,
            count("padding_tokens"),
            count("context_tokens"),
            count("split_documents"),
            count("cuts_to_fill")
        ));
    }
    if count("cropped_tokens") > 0 {
        let (cropped, kept) = (count("cropped_tokens"), sum("tokens"));
        notes.push(format!(
            "{cropped} tokens ({:.1} %) at the ends of {} documents cropped away",
            100.0 * cropped as f64 / (cropped + kept) as f64,
            count("cropped_documents")
        ));
    }
    notes
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
struct Side<'a, T: TokenId> {
    packer: Packer<'a, T>,
    writer: SampleWriter<T>,
    documents: u64,
    tokens: u64,
}

impl<'a, T: TokenId> Side<'a, T> {
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
        for (key, weights) in [("weights", &config.weights), ("language_weights", &config.language_weights)] {
            if !weights.is_empty() && split == Split::Train {
                // A table of strings and numbers serializes.
                extra.insert(key.to_string(), serde_json::to_string(weights).unwrap_or_default());
            }
        }
        let path = ctx.stage_dir.split_shard(split.name(), unit.batch);
        let digest = unit.key.config_digest.to_string();
        let writer =
            SampleWriter::create(&path, (split, unit.batch), (config.row_group_rows, config.token_encoding, ctx.threads), digest, extra)?;
        let frame = Frame { seq_len: config.seq_len, end_id: source.end_id, pad_id: source.pad_id, token_bytes: &source.token_bytes };
        Ok(Self { packer: Packer::new(config.packing, frame), writer, documents: 0, tokens: 0 })
    }

    fn push(&mut self, document: Document<'_, T>) -> Result<(), Error> {
        self.documents += 1;
        self.tokens += document.ids.len() as u64;
        let writer = &mut self.writer;
        self.packer.push(document, &mut |row: &Row<T>| writer.push(row))
    }

    fn finish(mut self, dir: &StageDir, split: Split, counts: &mut BTreeMap<String, u64>) -> Result<OutputFile, Error> {
        let writer = &mut self.writer;
        let cost = self.packer.finish(&mut |row: &Row<T>| writer.push(row))?;
        let name = split.name();
        counts.insert(format!("samples.{name}"), self.writer.rows());
        counts.insert(format!("documents.{name}"), self.documents);
        counts.insert(format!("tokens.{name}"), self.tokens - cost.cropped);
        for (key, value) in [
            ("padding_tokens", cost.padding),
            ("context_tokens", cost.context),
            ("cropped_tokens", cost.cropped),
            ("cropped_documents", cost.cropped_documents),
            ("split_documents", cost.split_documents),
            ("cuts_to_fill", cost.cuts_to_fill),
        ] {
            // What this packing never does is not listed.
            if value > 0 || key == "padding_tokens" {
                *counts.entry(key.into()).or_default() += value;
            }
        }
        self.writer.finish(dir)
    }
}

/// Memory for the shuffled order that is taken even where windows leave less.
const LEAST_BYTES: u64 = 1_000_000;

/// Documents packed between two looks at whether to stop.
const LOOK_EVERY: u64 = 1024;

/// One batch, with token ids of the vocabulary's width.
fn pack_batch<T: TokenId>(ctx: &StageContext, config: &Config, source: &Source, unit: &Unit<'_>, bar: &Bar) -> Result<UnitEntry, Error> {
    let start = Instant::now();
    let mut train = Side::<T>::new(ctx, config, source, unit, Split::Train)?;
    let mut validation = Side::new(ctx, config, source, unit, Split::Validation)?;
    let mixture = Mixture::new(config);
    // Windows of both splits are held besides.
    let windows = if config.packing == Packing::Concat { 0 } else { 2 * pack::window_bytes(config.seq_len) };
    let beside = ctx.stage_dir.split_shard(Split::Train.name(), unit.batch);
    let reading = Reading {
        shards: &unit.shards,
        order: Order { seed: BatchSeed::new(ctx.seed, unit.batch), validation_share: config.validation_share },
        vocab_size: source.tokenizer.vocab_size(),
        own_pad_id: source.own_pad_id,
        mixture: mixture.as_ref(),
        max_bytes: (config.max_memory_mb * 1_000_000).saturating_sub(windows).max(LEAST_BYTES),
        beside: &beside,
        alone: ctx.threads == Some(1),
        cancel: &ctx.cancel,
        bar,
    };
    let tally = reading.in_order(|part: &Part<T>| {
        for (number, entry) in (1..).zip(&part.entries) {
            if number % LOOK_EVERY == 0 {
                bar.inc(LOOK_EVERY);
                if ctx.cancel.is_cancelled() {
                    return Err(Error::Interrupted);
                }
            }
            let side = if entry.split == Split::Train { &mut train } else { &mut validation };
            side.push(Document { id: part.name(entry), key: entry.key, ids: part.ids(entry), num_bytes: entry.num_bytes })?;
        }
        bar.inc(part.entries.len() as u64 % LOOK_EVERY);
        Ok(())
    })?;
    let mut counts = BTreeMap::from([("shards".to_string(), unit.shards.len() as u64)]);
    counts.extend(mixture.iter().flat_map(|mixture| mixture.counts(&tally)));
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
