//! Stage `reverse-distill`: questions and answers drawn from documents by a teacher, and sifted.
//!
//! In: table `documents` of `crawl-clean`, and task files with what is held out. Out: table `pairs`, one shard for each
//! input shard; `rejected/` with every pair that was refused, the reason, and what was measured; `transcript/` with every
//! request and reply.
//!
//! | column of `pairs` | Arrow type | meaning | nullable |
//! | --- | --- | --- | --- |
//! | `id` | utf8 | 32 hex digits of teacher, document, question and answer | no |
//! | `messages` | list of {role, content} | the question of the user, the answer of the assistant | no |
//! | `language` | utf8 | that of the document | no |
//! | `teacher` | utf8 | `offline` (rules, no model) or `openai` | no |
//! | `source_document_id`, `url` | utf8 | the document | no, yes |
//! | `rule` | utf8 | the rule that found it, or the prompt's id | yes |
//! | `span_start`, `span_end` | int64 | where the answer stands in the document, bytes; null if only after normalisation | yes |
//! | `request_id` | utf8 | key of the request in the transcript | yes |
//!
//! In `rejected/`, `id` is the pair's (or the document's, for a whole reply), `source` the document's, `text` the pair as JSON.
//!
//! `transcript/<teacher>-<unit>.jsonl` is a write-ahead log of JSON lines ([`teacher::log`]) for each unit, compacted to one
//! line a request when all of the unit's documents have an outcome. The offline teacher's is written at once.
//!
//! The way of a pair: choose documents by a hash → ask → parse → form → script → is the answer in the document → held out? →
//! same question asked before, nearly the same, or answered otherwise? → share of definitions.
//!
//! Invariants:
//! - **Held-out questions never reach the output; documents are never touched.** The manifest counts what was kept out, by kind.
//! - **The unit is one input shard, and its key chains the units before it in ingest order**: which of two equal questions stays
//!   depends on those alone, so a new shard only adds, and a changed one redoes what comes after it.
//! - **A reply that came in is never lost and never paid for twice**; a unit is committed when all its documents have an outcome.
//! - The same documents, configuration and replies give the same bytes for any number of threads.
//! - With several workers each asks about its own shards and commits nothing; one run without `--worker` then sifts and commits.
#![warn(missing_docs)]

pub mod ask;
pub mod candidate;
mod config;
mod error;
pub mod heldout;
pub mod novelty;
pub mod rows;
pub mod similar;
pub mod unit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use handoff::manifest::UnitEntry;
use handoff::plan::why;
use handoff::{Digest, DigestBuilder, IngestLog, Manifest, UnitKey, Upstream, UpstreamShard, Why};
use stage::{ConfigProblem, DryRun, InputRef, Report, Stage, StageContext, StageError};

pub use config::{BudgetConfig, Config, RequestConfig, TeacherKind};
pub use error::{Error, Result};

use ask::Asker;
use heldout::HeldOut;
use novelty::Novelty;
use teacher::Outcome;

/// Raised when the same documents and replies give other output than before.
pub const FORMAT_VERSION: u32 = 1;

/// The reason of a question that has no majority for any answer.
pub const CONTESTED: &str = "contested_answer";

/// What the output of the offline teacher says about itself.
pub const NO_LLM: &str = "no LLM was used; questions are made by rules from the documents' own sentences";

/// The stage.
#[derive(Debug)]
pub struct ReverseDistill;

impl Stage for ReverseDistill {
    type Config = Config;
    const NAME: &'static str = "reverse-distill";
    const ABOUT: &'static str = "Draws questions and answers from documents with a teacher, and keeps those that hold";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");
    const UNDIGESTED: &'static [&'static str] = &["documents", "decontaminate", "prompt", "base_url", "budget", "request"];

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        let setup = Setup::new(ctx, config, &environment)?;
        let manifest = Manifest::load(&ctx.stage_dir)?;
        let mut dry = DryRun::default();
        let mut chain = Digest::of_bytes(b"");
        for shard in &setup.shards {
            let key = setup.key(chain, shard);
            match why(&manifest, &shard.unit, &key, ctx.force) {
                Some(why) => dry.todo.push(stage::DryUnit { unit: shard.unit.clone(), why: why.to_string(), bytes: shard.bytes }),
                None => dry.skip += 1,
            }
            chain = key.input_digest;
        }
        dry.notes.extend(
            vanished(&manifest, &setup.shards).into_iter().map(|u| format!("input of unit `{u}` vanished (--prune removes its outputs)")),
        );
        Ok(dry)
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        Ok(run(ctx, config, &environment)?)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a run needs to know before it begins.
struct Setup {
    shards: Vec<UpstreamShard>,
    heldout: HeldOut,
    settings: Digest,
    watch: Vec<PathBuf>,
}

impl Setup {
    fn new(ctx: &StageContext, config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let InputRef::Stage(reference) = ctx.resolve(&config.documents) else {
            return Err(Error::NotAStage { got: config.documents.clone() });
        };
        let upstream = Upstream::open(&ctx.run, &reference, "documents")?;
        let mut watch = vec![upstream.dir().manifest_dir()];
        let mut settings = DigestBuilder::new().field("config", ctx.config_digest.as_bytes());
        let mut rows = Vec::new();
        for name in &config.decontaminate {
            let path = ctx.path(name);
            let mut read = corpus::read_task_file(&path).map_err(|source| Error::TaskFile { path: path.clone(), source })?;
            read.retain(|row| config.decontaminate_tasks.is_empty() || config.decontaminate_tasks.contains(&row.task));
            if read.is_empty() {
                return Err(Error::NothingHeldOut { path });
            }
            settings = settings.field("held out", Digest::of_file(&path)?.as_bytes());
            rows.extend(read);
            watch.push(path);
        }
        settings = match config.teacher {
            TeacherKind::Offline => settings.field("rules", teacher::offline::RULES_VERSION.to_le_bytes()),
            TeacherKind::Openai => {
                if config.prompt != "builtin" {
                    watch.push(ctx.path(&config.prompt));
                }
                settings.field("prompt", ask::prompt(ctx, config)?.digest).field("endpoint", ask::base_url(config, env))
            }
        };
        let heldout = HeldOut::new(&rows, config.decontaminate_words, config.decontaminate_chars);
        Ok(Self { shards: upstream.shards().to_vec(), heldout, settings: settings.finish(), watch })
    }

    /// The key of a unit behind `chain`, the input digest of the unit before it.
    fn key(&self, chain: Digest, shard: &UpstreamShard) -> UnitKey {
        let input_digest = DigestBuilder::new().field("before", chain.as_bytes()).field(&shard.unit, shard.digest.as_bytes()).finish();
        UnitKey { input_digest, config_digest: self.settings, format_version: FORMAT_VERSION }
    }
}

fn vanished(manifest: &Manifest, shards: &[UpstreamShard]) -> Vec<String> {
    manifest.units().keys().filter(|u| !shards.iter().any(|s| &s.unit == *u)).cloned().collect()
}

/// Does the stage's work; `env` reads the environment.
///
/// # Errors
/// See [`Error`].
pub fn run(ctx: &StageContext, config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Report> {
    let setup = Setup::new(ctx, config, env)?;
    let asker = Asker::new(ctx, config, env)?;
    if ctx.worker.count > 1 {
        return ask_share(ctx, config, &setup, &asker);
    }
    handoff::atomic::remove_leftovers(ctx.stage_dir.path())?;
    handoff::atomic::remove_leftovers(&ctx.stage_dir.data())?;
    let mut manifest = Manifest::load(&ctx.stage_dir)?;
    prune(ctx, &mut manifest, &setup.shards)?;
    let mut log = IngestLog::load(&ctx.stage_dir)?;
    log.follow(&setup.shards)?;
    let positions = log.positions();
    let mut work = Work { ctx, config, setup: &setup, asker: &asker, novelty: Novelty::default(), asked: 0 };
    let mut chain = Digest::of_bytes(b"");
    let (mut done, mut skipped) = (0, 0);
    let mut failures: Vec<(String, Error)> = Vec::new();
    let bar = ctx.progress.bar("distill", setup.shards.len() as u64, "shards");
    for shard in &setup.shards {
        if ctx.cancel.is_cancelled() {
            manifest.write_summary()?;
            return Err(Error::Interrupted);
        }
        let key = setup.key(chain, shard);
        let Some(&(batch, index)) = positions.get(shard.unit.as_str()) else { continue };
        let result = match why(&manifest, &shard.unit, &key, ctx.force) {
            None => work.remember(&manifest, &shard.unit).map(|()| skipped += 1),
            Some(_) if ctx.limit.is_some_and(|limit| done >= limit) => break,
            Some(why) => work.unit(&mut manifest, shard, key, (batch, index), why).map(|()| done += 1),
        };
        match result {
            Ok(()) => chain = key.input_digest,
            // What ends the asking ends the stage; a shard that fails alone leaves the others their turn.
            Err(error @ (Error::Teacher { .. } | Error::Interrupted)) => {
                manifest.write_summary()?;
                return Err(error);
            }
            Err(error) => failures.push((shard.unit.clone(), error)),
        }
        bar.inc(1);
    }
    bar.finish();
    let summary = manifest.write_summary()?;
    if !failures.is_empty() {
        let failed = failures.len();
        let (first, source) = failures.swap_remove(0);
        return Err(Error::Units { failed, units: setup.shards.len(), first, source: Box::new(source) });
    }
    let data = ctx.stage_dir.data();
    Ok(Report {
        inputs_done: done,
        inputs_skipped: skipped,
        rows: summary.rows,
        bytes_out: summary.bytes,
        rejected: summary.rejected,
        notes: notes(config, &setup, &asker, &summary.counts),
        look: vec![
            format!(
                "duckdb -c \"select messages[1].content as question, messages[2].content as answer, rule from '{}/*.parquet' limit 20\"",
                data.display()
            ),
            format!("{}", ctx.stage_dir.transcript().display()),
        ],
        watch: setup.watch,
        text: None,
    })
}

fn prune(ctx: &StageContext, manifest: &mut Manifest, shards: &[UpstreamShard]) -> Result<()> {
    let gone = vanished(manifest, shards);
    if let (Some(first), false) = (gone.first(), ctx.prune) {
        return Err(handoff::Error::Vanished { stage: ctx.stage_dir.name().to_owned(), count: gone.len(), first: first.clone() }.into());
    }
    gone.iter().try_for_each(|unit| Ok(manifest.remove(unit)?))
}

/// Lines for the terminal: who was asked, what it cost, what was kept out.
fn notes(config: &Config, setup: &Setup, asker: &Asker, counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mut out = Vec::new();
    match config.teacher {
        TeacherKind::Offline => out.push(NO_LLM.to_owned()),
        TeacherKind::Openai => {
            let spent = asker.spent();
            out.push(format!(
                "teacher `{}`: {} requests, {} tokens over all runs",
                config.model.as_deref().unwrap_or("?"),
                spent.requests,
                spent.tokens
            ));
        }
    }
    let get = |name: &str| counts.get(name).copied().unwrap_or(0);
    let held: Vec<String> = ["exact", "overlap", "subject", "reversed"]
        .iter()
        .map(|kind| format!("{kind} {}", get(&format!("rejected_held_out_{kind}"))))
        .collect();
    out.push(format!("{} pairs drawn from {} documents, {} kept", get("pairs_drawn"), get("documents_asked"), get("pairs_kept")));
    out.push(format!("held-out questions kept out ({} subjects): {}", setup.heldout.subjects(), held.join(", ")));
    out
}

/// A worker's part: it asks about its own shards, and leaves sifting to a run without workers.
fn ask_share(ctx: &StageContext, config: &Config, setup: &Setup, asker: &Asker) -> Result<Report> {
    let mut done = 0;
    if config.max_documents.is_some() {
        // Which documents are left depends on the shards before; that is known in one process only.
        return Ok(Report {
            notes: vec!["max_documents is set, so nothing is asked by workers; run once without --worker".into()],
            watch: setup.watch.clone(),
            ..Report::default()
        });
    }
    for shard in setup.shards.iter().enumerate().filter(|(i, _)| ctx.worker.owns(*i)).map(|(_, shard)| shard) {
        if ctx.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let (documents, _) = chosen(ctx, config, shard, None)?;
        asker.ask(ctx, config, &shard.unit, &documents)?;
        done += 1;
    }
    let notes = vec!["replies are in the transcript; run once without --worker to sift and commit them".to_owned()];
    Ok(Report { inputs_done: done, notes, watch: setup.watch.clone(), ..Report::default() })
}

/// The documents of a shard that are asked about, and how many were passed over: of another language, not chosen.
fn chosen(ctx: &StageContext, config: &Config, shard: &UpstreamShard, left: Option<u64>) -> Result<(Vec<candidate::Document>, (u64, u64))> {
    let mut other = 0;
    let documents = rows::documents(&shard.path, |_, language| {
        let wanted = config.languages.iter().any(|l| corpus::matches_tag(language, l));
        other += u64::from(!wanted);
        wanted
    })?;
    let all = documents.len();
    let documents = unit::choose(documents, ctx.seed, config.documents_share, left);
    let passed = (all - documents.len()) as u64;
    Ok((documents, (other, passed)))
}

/// The state that goes from unit to unit.
struct Work<'a> {
    ctx: &'a StageContext,
    config: &'a Config,
    setup: &'a Setup,
    asker: &'a Asker,
    novelty: Novelty,
    /// Documents asked about in the units so far.
    asked: u64,
}

impl Work<'_> {
    /// Learns what a finished unit holds.
    fn remember(&mut self, manifest: &Manifest, unit: &str) -> Result<()> {
        let Some(entry) = manifest.units().get(unit) else { return Ok(()) };
        for out in &entry.outputs {
            for (question, answer) in rows::committed_pairs(&self.ctx.stage_dir.absolute(&out.path))? {
                self.novelty.enter(&question, &answer);
            }
        }
        for out in &entry.rejected {
            for question in rows::committed_contested(&self.ctx.stage_dir.absolute(&out.path))? {
                self.novelty.enter_contested(&question);
            }
        }
        self.asked += entry.counts.get("documents_asked").copied().unwrap_or(0);
        Ok(())
    }

    fn unit(&mut self, manifest: &mut Manifest, shard: &UpstreamShard, key: UnitKey, (batch, index): (u32, u32), why: Why) -> Result<()> {
        let (ctx, config) = (self.ctx, self.config);
        let start = Instant::now();
        let left = config.max_documents.map(|most| most.saturating_sub(self.asked));
        let (documents, (other, passed)) = chosen(ctx, config, shard, left)?;
        let replies = self.asker.ask(ctx, config, &shard.unit, &documents)?;
        let failed: Vec<&String> =
            replies.iter().filter_map(|(_, o)| if let Outcome::Failed(reason) = o { Some(reason) } else { None }).collect();
        if let Some(reason) = failed.first() {
            return Err(Error::Unanswered {
                unit: shard.unit.clone(),
                count: failed.len(),
                asked: documents.len(),
                reason: (*reason).clone(),
            });
        }
        let extra = ask::provenance(config, self.asker);
        let prompt = extra.get("prompt").and_then(|p| p.split(' ').next()).unwrap_or("").to_owned();
        let mut sifted = unit::sift(&documents, &replies, config, &self.setup.heldout, &mut self.novelty, ctx.seed, &prompt);
        let target = rows::Target { dir: &ctx.stage_dir, unit: &shard.unit, index, config_digest: key.config_digest.to_string(), extra };
        let kept: Vec<&candidate::Candidate> = sifted.kept.iter().collect();
        let output = target.write_pairs(config.teacher.name(), &kept)?;
        let rejected = target.write_refused(&sifted.refused)?;
        sifted.counts.insert("documents_other_language".into(), other);
        sifted.counts.insert("documents_not_chosen".into(), passed);
        sifted.counts.insert("pairs_kept".into(), kept.len() as u64);
        if config.teacher == TeacherKind::Offline {
            sifted.counts.insert("llm_requests".into(), 0);
        }
        let wall_secs = start.elapsed().as_secs_f64();
        tracing::debug!(unit = %shard.unit, %why, documents = documents.len(), pairs = kept.len(), rejected = sifted.refused.len(), wall_secs, "distilled");
        manifest.commit(UnitEntry {
            unit: shard.unit.clone(),
            batch,
            index,
            key,
            outputs: vec![output],
            rejected: vec![rejected],
            counts: sifted.counts,
            wall_secs,
        })?;
        self.asked += documents.len() as u64;
        Ok(())
    }
}
