//! The stage: reads units in ingest order, cleans their pages in parallel, decides duplicates in order, commits unit by unit.

use crate::assets::Assets;
use crate::config::Config;
use crate::dedup::{Seen, Signature};
use crate::error::Error;
use crate::extracted::{self, EXTRACTED, Stored};
use crate::input::{self, Content, Item};
use crate::page::{Cleaned, Cleaner, Document, Outcome, Refused, Spent};
use crate::units::{self, FORMAT_VERSION, Unit};
use crate::{NAME, rows};
use handoff::{Digest, IngestLog, Manifest, ShardMeta, ShardWriter, StageDir, UnitEntry, UnitKey, schema};
use rayon::prelude::*;
use stage::{Bar, Report, StageContext, StageError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Rows of a batch that is written; fixed, so that the bytes of a shard do not depend on how its pages were grouped for the work.
const WRITE_ROWS: usize = 512;
/// Name of the side folder with what duplicates are found by.
pub const SIGNATURES: &str = "signatures";

/// A unit to do with its place in the ingest order.
struct Job {
    unit: Unit,
    batch: u32,
    index: u32,
}

/// Items of one unit; the last part of a unit says how reading ended.
struct Part {
    job: usize,
    items: Vec<Item>,
    end: Option<Result<(), Error>>,
}

/// Runs the stage.
///
/// # Errors
/// If inputs are missing or unreadable, or the run was interrupted; what was committed stays.
pub fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
    match ctx.threads {
        Some(n) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().map_err(Error::from)?;
            pool.install(|| run_here(ctx, config))
        }
        None => run_here(ctx, config),
    }
}

fn run_here(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
    let assets = Assets::load(&ctx.config_dir, config)?;
    // What the configuration's files hold is part of it.
    let ctx = &StageContext { config_digest: assets.digest(ctx.config_digest), ..ctx.clone() };
    if ctx.worker.count > 1 && config.dedup.enabled {
        return Err(Error::WorkersWithDedup { count: ctx.worker.count }.into());
    }
    let inputs = units::find(ctx, config)?;
    let mut manifest = Manifest::load(&ctx.stage_dir)?;
    let mut log = IngestLog::load(&ctx.stage_dir)?;
    let plan = units::compare(ctx, &inputs, &manifest);
    if !plan.vanished.is_empty() && !ctx.prune {
        return Err(Error::Vanished { units: plan.vanished }.into());
    }
    let places = units::ingest(&mut log, &inputs)?;
    let place = |name: &str| places.get(name).copied().unwrap_or((u32::MAX, u32::MAX));
    let mut failed = inputs.unreadable.clone();
    let mut first_change = plan.vanished.iter().map(|name| place(name).1).min().unwrap_or(u32::MAX);
    let mut jobs = Vec::new();
    for (input, why) in plan.todo {
        // A file of no known kind fails here, before anything behind it is done again for its sake.
        if let Err(error) = input::open(&input.path, &input.unit, config) {
            failed.push(describe(&error));
            continue;
        }
        tracing::debug!(unit = input.unit, %why, "to do");
        let (batch, index) = place(&input.unit);
        first_change = first_change.min(index);
        jobs.push(Job { unit: inputs.units[&input.unit].clone(), batch, index });
    }
    for name in &plan.vanished {
        remove(&mut manifest, &ctx.stage_dir, name)?;
    }
    let (mut seen, skipped) = keep_or_redo(ctx, config, &inputs, plan.skip, &place, first_change, &mut manifest, &mut jobs)?;
    jobs.retain(|job| ctx.worker.owns(job.index as usize));
    jobs.sort_by_key(|job| job.index);
    jobs.truncate(ctx.limit.map_or(usize::MAX, |limit| limit as usize));
    let done = work(ctx, config, &assets, &jobs, &mut seen, &mut manifest, &mut failed)?;
    let summary = manifest.write_summary()?;
    if !failed.is_empty() {
        return Err(Error::FilesFailed { files: failed }.into());
    }
    ctx.cancel.check()?;
    Ok(Report {
        inputs_done: done,
        inputs_skipped: skipped,
        rows: summary.rows,
        bytes_out: summary.bytes,
        rejected: summary.rejected,
        notes: notes(&summary.counts),
        look: vec![ctx.stage_dir.data().display().to_string(), ctx.stage_dir.rejected().display().to_string()],
        watch: inputs.watch.into_iter().chain(assets.paths().map(Into::into)).collect(),
        text: None,
    })
}

fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn remove(manifest: &mut Manifest, dir: &StageDir, unit: &str) -> Result<(), Error> {
    let index = manifest.units().get(unit).map(|entry| entry.index);
    manifest.remove(unit)?;
    for side in index.into_iter().flat_map(|index| [SIGNATURES, EXTRACTED].map(|side| dir.side_shard(side, index))) {
        if side.exists() {
            std::fs::remove_file(&side).map_err(Error::read(&side))?;
        }
    }
    Ok(())
}

/// Enters the signatures of finished units; those behind the first change become jobs again.
#[expect(clippy::too_many_arguments, reason = "one step of `run_here`, apart only for its length")]
fn keep_or_redo(
    ctx: &StageContext,
    config: &Config,
    inputs: &units::Inputs,
    skip: Vec<handoff::Input>,
    place: &dyn Fn(&str) -> (u32, u32),
    first_change: u32,
    manifest: &mut Manifest,
    jobs: &mut Vec<Job>,
) -> Result<(Seen, u64), Error> {
    let mut seen = Seen::default();
    if !config.dedup.enabled {
        return Ok((seen, skip.len() as u64));
    }
    if jobs.is_empty() && first_change == u32::MAX {
        return Ok((seen, skip.len() as u64));
    }
    let mut skip: Vec<(u32, handoff::Input)> = skip.into_iter().map(|input| (place(&input.unit).1, input)).collect();
    skip.sort_by_key(|(index, _)| *index);
    let mut first_change = first_change;
    let mut kept = 0;
    for (index, input) in skip {
        if index < first_change {
            let expected = manifest.units().get(&input.unit).and_then(|entry| entry.counts.get("signatures")).copied().unwrap_or(0);
            let path = ctx.stage_dir.side_shard(SIGNATURES, index);
            let mut rows = Vec::new();
            match rows::read_signatures(&path, expected, |id, signature| rows.push((id.to_owned(), signature.clone()))) {
                Ok(()) => {
                    rows.iter().for_each(|(id, signature)| seen.enter(id, signature));
                    kept += 1;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(unit = input.unit, %error, "signatures cannot be used, doing the unit and those behind it again");
                    first_change = index;
                }
            }
        }
        // Its decisions may change: it is undone before anything else, so that no kill leaves it standing with old ones.
        manifest.remove(&input.unit)?;
        let (batch, index) = place(&input.unit);
        jobs.push(Job { unit: inputs.units[&input.unit].clone(), batch, index });
    }
    Ok((seen, kept))
}

/// Reads, cleans and commits all jobs; returns how many were committed.
fn work(
    ctx: &StageContext,
    config: &Config,
    assets: &Assets,
    jobs: &[Job],
    seen: &mut Seen,
    manifest: &mut Manifest,
    failed: &mut Vec<String>,
) -> Result<u64, StageError> {
    let cleaner = Cleaner::new(config, assets);
    let kept = Extraction::of(ctx, config, assets, jobs);
    let bytes: u64 = jobs.iter().map(|job| job.unit.input.bytes).sum();
    let bar = ctx.progress.bar("clean", bytes, "bytes");
    let started = Instant::now();
    let (sender, receiver) = sync_channel(1);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| read_all(config, jobs, &kept, sender, &ctx.cancel));
        let worker = Worker { ctx, jobs, extraction: &kept, cleaner: &cleaner, manifest, seen, failed, bar: &bar };
        worker.consume(receiver)
    })?;
    bar.finish();
    let secs = started.elapsed().as_secs_f64();
    ctx.metrics.log(0, &[("crawl-clean/units", done as f64), ("crawl-clean/secs", secs), ("crawl-clean/input_bytes", bytes as f64)]);
    Ok(done)
}

/// Sends the items of all jobs in order, about `chunk_bytes` at a time.
fn read_all(config: &Config, jobs: &[Job], extraction: &Extraction, sender: SyncSender<Vec<Part>>, cancel: &stage::CancelToken) {
    let mut chunk: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for (number, job) in jobs.iter().enumerate() {
        let mut part = Part { job: number, items: Vec::new(), end: None };
        let mut end = Ok(());
        let items = match &extraction.stored[number] {
            Some(table) => extracted::open(table),
            None => input::open(&job.unit.input.path, &job.unit.source, config),
        };
        match items {
            Err(error) => end = Err(error),
            Ok(items) => {
                for item in items {
                    match item {
                        Ok(item) => {
                            bytes += size(&item);
                            part.items.push(item);
                        }
                        Err(error) => {
                            end = Err(error);
                            break;
                        }
                    }
                    if bytes >= config.chunk_bytes {
                        let full = std::mem::replace(&mut part, Part { job: number, items: Vec::new(), end: None });
                        chunk.push(full);
                        bytes = 0;
                        // The receiver is gone only if the run failed or was cancelled.
                        if sender.send(std::mem::take(&mut chunk)).is_err() || cancel.is_cancelled() {
                            return;
                        }
                    }
                }
            }
        }
        part.end = Some(end);
        chunk.push(part);
    }
    let _ = sender.send(chunk);
}

fn size(item: &Item) -> usize {
    // What a record costs beside its bytes.
    const OVERHEAD: usize = 512;
    match item {
        Item::Reached(page) => page.text.len() + OVERHEAD,
        Item::Page(page) => page.content.len() + OVERHEAD + if matches!(page.content, Content::Http(_)) { OVERHEAD } else { 0 },
        _ => OVERHEAD,
    }
}

struct Worker<'a> {
    ctx: &'a StageContext,
    jobs: &'a [Job],
    extraction: &'a Extraction,
    cleaner: &'a Cleaner<'a>,
    manifest: &'a mut Manifest,
    seen: &'a mut Seen,
    failed: &'a mut Vec<String>,
    bar: &'a Bar,
}

impl Worker<'_> {
    fn consume(mut self, chunks: Receiver<Vec<Part>>) -> Result<u64, StageError> {
        let mut open: Option<Output> = None;
        let mut done = 0;
        for chunk in chunks {
            self.ctx.cancel.check()?;
            for part in self.clean(chunk) {
                let job = &self.jobs[part.job];
                let mut output = match open.take() {
                    Some(output) => output,
                    None => Output::create(self.ctx, job, self.extraction.meta(part.job, job).as_ref())?,
                };
                for page in part.pages {
                    output.spend(page.spent);
                    output.store(page.stored)?;
                    self.take(&mut output, page.outcome)?;
                }
                match part.end {
                    None => open = Some(output),
                    Some(Ok(())) => {
                        self.commit(output, job)?;
                        self.bar.inc(job.unit.input.bytes);
                        done += 1;
                    }
                    Some(Err(error)) => {
                        self.failed.push(describe(&error));
                        self.forget(output)?;
                    }
                }
            }
        }
        self.ctx.cancel.check()?;
        Ok(done)
    }

    /// The parallel part: every page on its own, results in the order of the pages.
    fn clean(&self, chunk: Vec<Part>) -> Vec<CleanedPart> {
        let mut shape = Vec::with_capacity(chunk.len());
        let mut items = Vec::new();
        for part in chunk {
            shape.push((part.job, part.items.len(), part.end));
            items.extend(part.items.into_iter().map(|item| (part.job, item)));
        }
        let clean = |(job, item): (usize, Item)| {
            let store = self.extraction.keep && self.extraction.stored[job].is_none();
            self.cleaner.clean(item, &self.jobs[job].unit.source, store)
        };
        let pages: Vec<Cleaned> = items.into_par_iter().with_max_len(8).map(clean).collect();
        let mut pages = pages.into_iter();
        shape.into_iter().map(|(job, count, end)| CleanedPart { job, pages: pages.by_ref().take(count).collect(), end }).collect()
    }

    fn take(&mut self, output: &mut Output, outcome: Outcome) -> Result<(), Error> {
        output.count("records", 1);
        match outcome {
            Outcome::Other => output.count("records.other", 1),
            Outcome::Refused(refused) => output.refuse(*refused)?,
            Outcome::Document(mut document) => {
                if let Some(signature) = document.signature.take() {
                    let decision = self.seen.decide(&document.id, &signature);
                    output.sign(document.id.clone(), signature)?;
                    if let Err(rejection) = decision {
                        let Document { id, page, scores, .. } = *document;
                        let text = Some(self.cleaner.sample(&page.text)).filter(|text| !text.is_empty());
                        let early = Refused::early(page.url, page.offset, rejection);
                        return output.refuse(Refused { id, text, text_bytes: page.text.len(), scores, ..early });
                    }
                }
                output.keep(*document)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, output: Output, job: &Job) -> Result<(), Error> {
        let entry = output.finish(self.ctx, job)?;
        self.manifest.commit(entry)?;
        Ok(())
    }

    /// Drops what a unit entered before its file failed.
    fn forget(&mut self, output: Output) -> Result<(), Error> {
        let entered = output.counts.get("signatures").copied().unwrap_or(0);
        drop(output);
        if entered > 0 {
            *self.seen = Seen::default();
            for entry in self.manifest.in_order() {
                let path = self.ctx.stage_dir.side_shard(SIGNATURES, entry.index);
                let expected = entry.counts.get("signatures").copied().unwrap_or(0);
                rows::read_signatures(&path, expected, |id, signature| self.seen.enter(id, signature))?;
            }
        }
        Ok(())
    }
}

struct CleanedPart {
    job: usize,
    pages: Vec<Cleaned>,
    end: Option<Result<(), Error>>,
}

/// What is kept of extraction, and what earlier runs kept.
struct Extraction {
    /// Keep what is extracted now.
    keep: bool,
    /// Digest of the settings that matter to it.
    settings: Digest,
    /// For each job the table that stands for its input.
    stored: Vec<Option<PathBuf>>,
}

impl Extraction {
    fn of(ctx: &StageContext, config: &Config, assets: &Assets, jobs: &[Job]) -> Self {
        let settings = extracted::settings(config, assets);
        let stored = |job: &Job| {
            let path = ctx.stage_dir.side_shard(EXTRACTED, job.index);
            let serves = !ctx.force && extracted::serves(&path, &job.unit.source, job.unit.input.digest, settings);
            serves.then_some(path)
        };
        Self { keep: config.keep_extracted, settings, stored: jobs.iter().map(stored).collect() }
    }

    /// The metadata of the table to write for a job, if one is.
    fn meta(&self, number: usize, job: &Job) -> Option<ShardMeta> {
        let write = self.keep && self.stored[number].is_none();
        write.then(|| extracted::meta(&job.unit.source, job.unit.input.digest, self.settings))
    }
}

/// The open shards of a unit.
struct Output {
    source: String,
    started: Instant,
    documents: ShardWriter,
    rejected: ShardWriter,
    signatures: ShardWriter,
    /// What extraction found, where it is to be kept.
    extracted: Option<ShardWriter>,
    stored: Vec<Stored>,
    kept: Vec<Document>,
    refused: Vec<Refused>,
    signed: Vec<(String, Signature)>,
    counts: BTreeMap<String, u64>,
    /// Time by step, in the order of [`Spent::steps`].
    spent: [Duration; 5],
}

impl Output {
    fn create(ctx: &StageContext, job: &Job, extracted: Option<&ShardMeta>) -> Result<Self, Error> {
        let dir = &ctx.stage_dir;
        let meta = ShardMeta {
            stage: NAME.to_owned(),
            config_digest: ctx.config_digest.to_string(),
            extra: BTreeMap::from([("source".to_owned(), job.unit.source.clone())]),
        };
        let table = |meta| ShardWriter::create(&dir.side_shard(EXTRACTED, job.index), &extracted::schema(), meta);
        Ok(Self {
            extracted: extracted.map(table).transpose()?,
            stored: Vec::new(),
            source: job.unit.source.clone(),
            started: Instant::now(),
            documents: ShardWriter::create(&dir.data_shard(job.index), &schema::documents(), &meta)?,
            rejected: ShardWriter::create(&dir.rejected_shard(job.index), &schema::rejected(), &meta)?,
            signatures: ShardWriter::create(&dir.side_shard(SIGNATURES, job.index), &rows::signature_schema(), &meta)?,
            kept: Vec::new(),
            refused: Vec::new(),
            signed: Vec::new(),
            counts: BTreeMap::new(),
            spent: [Duration::ZERO; 5],
        })
    }

    fn count(&mut self, name: &str, n: u64) {
        if n > 0 {
            *self.counts.entry(name.to_owned()).or_default() += n;
        }
    }

    fn spend(&mut self, spent: Spent) {
        for (sum, (_, step)) in self.spent.iter_mut().zip(spent.steps()) {
            *sum += step;
        }
    }

    fn keep(&mut self, document: Document) -> Result<(), Error> {
        self.count("pages", 1);
        self.count("kept", 1);
        self.count("kept.text_bytes", document.page.text.len() as u64);
        self.count("pii.emails", document.pii.emails);
        self.count("pii.phones", document.pii.phones);
        self.count("pii.ips", document.pii.ips);
        self.count("pii.ids", document.pii.ids);
        self.count("pii.cards", document.pii.cards);
        self.count("edited.lines", document.removed.lines);
        self.count("edited.chars", document.removed.chars);
        self.kept.push(document);
        if self.kept.len() >= WRITE_ROWS { self.flush_kept() } else { Ok(()) }
    }

    fn refuse(&mut self, refused: Refused) -> Result<(), Error> {
        self.count("pages", 1);
        self.count("rejected", 1);
        self.count(&format!("rejected.{}", refused.rejection.reason), 1);
        self.count(&format!("bytes.{}", refused.rejection.reason), refused.text_bytes as u64);
        self.refused.push(refused);
        if self.refused.len() >= WRITE_ROWS { self.flush_refused() } else { Ok(()) }
    }

    fn sign(&mut self, id: String, signature: Signature) -> Result<(), Error> {
        self.count("signatures", 1);
        self.signed.push((id, signature));
        if self.signed.len() >= WRITE_ROWS { self.flush_signed() } else { Ok(()) }
    }

    fn store(&mut self, stored: Option<Stored>) -> Result<(), Error> {
        self.stored.extend(stored);
        if self.stored.len() >= WRITE_ROWS { self.flush_stored() } else { Ok(()) }
    }

    fn flush_stored(&mut self) -> Result<(), Error> {
        if let Some(writer) = &mut self.extracted {
            writer.write(&extracted::batch(&std::mem::take(&mut self.stored))?)?;
        }
        Ok(())
    }

    fn flush_kept(&mut self) -> Result<(), Error> {
        self.documents.write(&rows::documents(&std::mem::take(&mut self.kept), &self.source)?)?;
        Ok(())
    }

    fn flush_refused(&mut self) -> Result<(), Error> {
        self.rejected.write(&rows::rejected(&std::mem::take(&mut self.refused), &self.source)?)?;
        Ok(())
    }

    fn flush_signed(&mut self) -> Result<(), Error> {
        self.signatures.write(&rows::signatures(&std::mem::take(&mut self.signed))?)?;
        Ok(())
    }

    fn finish(mut self, ctx: &StageContext, job: &Job) -> Result<UnitEntry, Error> {
        self.flush_kept()?;
        self.flush_refused()?;
        self.flush_signed()?;
        self.flush_stored()?;
        for (sum, (step, _)) in self.spent.into_iter().zip(Spent::default().steps()) {
            self.count(&format!("micros.{step}"), sum.as_micros() as u64);
        }
        let dir = &ctx.stage_dir;
        self.signatures.finish(dir)?;
        if let Some(extracted) = self.extracted.take() {
            extracted.finish(dir)?;
        }
        let rejected = self.rejected.finish(dir)?;
        let documents = self.documents.finish(dir)?;
        let key = UnitKey { input_digest: job.unit.input.digest, config_digest: ctx.config_digest, format_version: FORMAT_VERSION };
        Ok(UnitEntry {
            unit: job.unit.input.unit.clone(),
            batch: job.batch,
            index: job.index,
            key,
            outputs: vec![documents],
            rejected: vec![rejected],
            counts: self.counts,
            wall_secs: self.started.elapsed().as_secs_f64(),
        })
    }
}

/// The funnel in a few lines.
fn notes(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let get = |name: &str| counts.get(name).copied().unwrap_or(0);
    let mut out = vec![format!("{} pages, {} kept, {} rejected", get("pages"), get("kept"), get("rejected"))];
    let mut reasons: Vec<(&str, u64)> = counts.iter().filter_map(|(name, &n)| Some((name.strip_prefix("rejected.")?, n))).collect();
    reasons.sort_by_key(|&(name, n)| (std::cmp::Reverse(n), name));
    if !reasons.is_empty() {
        out.push(format!("rejected for {}", reasons.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")));
    }
    let kinds = ["emails", "phones", "ips", "ids", "cards"];
    let names = ["e-mail addresses", "telephone numbers", "IP addresses", "identity numbers", "bank cards"];
    let replaced: Vec<String> = kinds
        .iter()
        .zip(names)
        .filter_map(|(kind, name)| Some((get(&format!("pii.{kind}")), name)).filter(|(n, _)| *n > 0))
        .map(|(n, name)| format!("{n} {name}"))
        .collect();
    if !replaced.is_empty() {
        out.push(format!("replaced {}", replaced.join(", ")));
    }
    out
}
