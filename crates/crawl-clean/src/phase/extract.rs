//! Extraction: units are read in ingest order, their pages cleaned in parallel, and written unit by unit, each step on its own thread.

use super::output::Output;
use crate::assets::Assets;
use crate::config::Config;
use crate::error::Error;
use crate::extracted;
use crate::input::{self, Content, Item};
use crate::page::{Cleaned, Cleaner, Outcome};
use crate::run::describe;
use crate::units::Job;
use handoff::{Digest, Manifest, ShardMeta};
use rayon::prelude::*;
use stage::{Bar, StageContext, StageError};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Items of one unit; the last part of a unit says how reading ended.
struct Part {
    job: usize,
    items: Vec<Item>,
    /// Time it took to read them.
    read: Duration,
    end: Option<Result<(), Error>>,
}

/// The same when its pages are clean.
struct CleanedPart {
    job: usize,
    pages: Vec<Cleaned>,
    read: Duration,
    end: Option<Result<(), Error>>,
}

/// What is kept of extraction, and what earlier runs kept.
pub(crate) struct Side {
    /// Keep what is extracted now.
    keep: bool,
    /// Digest of the settings that matter to it.
    settings: Digest,
    /// For each job the table that stands for its input.
    stored: Vec<Option<PathBuf>>,
}

impl Side {
    /// What there is for each job.
    pub(crate) fn of(ctx: &StageContext, config: &Config, assets: &Assets, jobs: &[Job]) -> Self {
        let settings = extracted::settings(config, assets);
        let stored = |job: &Job| {
            let path = ctx.stage_dir.side_shard(extracted::FOLDER, job.index);
            let serves = !ctx.force && extracted::serves(&path, &job.unit.source, job.own, settings);
            serves.then_some(path)
        };
        Self { keep: config.keep_extracted, settings, stored: jobs.iter().map(stored).collect() }
    }

    /// True if what is extracted of a job is to be kept.
    fn keeps(&self, number: usize) -> bool {
        self.keep && self.stored[number].is_none()
    }

    /// The metadata of the table to write for a job, if one is.
    fn meta(&self, number: usize, job: &Job) -> Option<ShardMeta> {
        self.keeps(number).then(|| extracted::meta(&job.unit.source, job.own, self.settings))
    }
}

/// Chunks of pages that are held at a time: being read, waiting, in work with what comes of them, waiting, being written.
const CHUNKS_IN_MEMORY: usize = 8;

/// Extracts all jobs. With duplicates not looked for, units are committed; else they wait for the decision. Files that cannot be read
/// are described in `failed`; returns how many jobs were done.
///
/// # Errors
/// If the disk refuses, or the run was interrupted; what was finished stays.
pub(crate) fn extract(
    ctx: &StageContext,
    config: &Config,
    cleaner: &Cleaner<'_>,
    side: &Side,
    jobs: &[Job],
    manifest: &mut Manifest,
    failed: &mut Vec<String>,
) -> Result<u64, StageError> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let bytes: u64 = jobs.iter().map(|job| job.unit.input.bytes).sum();
    let bar = ctx.progress.bar("clean", bytes, "bytes");
    let started = Instant::now();
    let memory = usize::try_from(config.max_memory_mb.saturating_mul(1_000_000)).unwrap_or(usize::MAX);
    let chunk_bytes = config.chunk_bytes.min(memory / CHUNKS_IN_MEMORY).max(1);
    let (to_clean, raw) = sync_channel(1);
    let (to_write, clean) = sync_channel(1);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| read_all(config, chunk_bytes, jobs, side, to_clean, &ctx.cancel));
        let writer = Writer { ctx, config, side, jobs, manifest, failed, bar: &bar };
        let writer = scope.spawn(move || writer.consume(clean));
        for chunk in raw {
            // The writer is gone only if it failed.
            if ctx.cancel.is_cancelled() || to_write.send(clean_all(cleaner, side, jobs, chunk)).is_err() {
                break;
            }
        }
        drop(to_write);
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    bar.finish();
    ctx.cancel.check()?;
    let secs = started.elapsed().as_secs_f64();
    ctx.metrics.log(0, &[("crawl-clean/units", done as f64), ("crawl-clean/secs", secs), ("crawl-clean/input_bytes", bytes as f64)]);
    Ok(done)
}

/// Sends the items of all jobs in order, about `chunk_bytes` at a time.
fn read_all(config: &Config, chunk_bytes: usize, jobs: &[Job], side: &Side, sender: SyncSender<Vec<Part>>, cancel: &stage::CancelToken) {
    let mut chunk: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for (number, job) in jobs.iter().enumerate() {
        let new_part = || Part { job: number, items: Vec::new(), read: Duration::ZERO, end: None };
        let mut part = new_part();
        let mut end = Ok(());
        let mut started = Instant::now();
        let items = match &side.stored[number] {
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
                    if bytes >= chunk_bytes {
                        part.read = started.elapsed();
                        chunk.push(std::mem::replace(&mut part, new_part()));
                        bytes = 0;
                        // The receiver is gone only if the run failed or was cancelled.
                        if sender.send(std::mem::take(&mut chunk)).is_err() || cancel.is_cancelled() {
                            return;
                        }
                        // Waiting for the others is no reading.
                        started = Instant::now();
                    }
                }
            }
        }
        (part.read, part.end) = (started.elapsed(), Some(end));
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

/// The parallel part: every page on its own, results in the order of the pages.
fn clean_all(cleaner: &Cleaner<'_>, side: &Side, jobs: &[Job], chunk: Vec<Part>) -> Vec<CleanedPart> {
    let mut shape = Vec::with_capacity(chunk.len());
    let mut items = Vec::new();
    for part in chunk {
        shape.push((part.job, part.items.len(), part.read, part.end));
        items.extend(part.items.into_iter().map(|item| (part.job, item)));
    }
    let clean = |(job, item): (usize, Item)| cleaner.clean(item, &jobs[job].unit.source, side.keeps(job));
    let pages: Vec<Cleaned> = items.into_par_iter().with_max_len(8).map(clean).collect();
    let mut pages = pages.into_iter();
    let clean_part = |(job, count, read, end)| CleanedPart { job, pages: pages.by_ref().take(count).collect(), read, end };
    shape.into_iter().map(clean_part).collect()
}

struct Writer<'a> {
    ctx: &'a StageContext,
    config: &'a Config,
    side: &'a Side,
    jobs: &'a [Job],
    manifest: &'a mut Manifest,
    failed: &'a mut Vec<String>,
    bar: &'a Bar,
}

impl Writer<'_> {
    fn consume(self, chunks: Receiver<Vec<CleanedPart>>) -> Result<u64, StageError> {
        let mut open: Option<Output> = None;
        let mut done = 0;
        for part in chunks.into_iter().flatten() {
            let job = &self.jobs[part.job];
            let mut output = match open.take() {
                Some(output) => output,
                None => Output::create(self.ctx, job, self.config, self.side.meta(part.job, job).as_ref())?,
            };
            output.read(part.read);
            for page in part.pages {
                output.record(page.spent);
                output.store(page.stored)?;
                match page.outcome {
                    Outcome::Other => output.other(),
                    Outcome::Refused(refused) => output.refuse(*refused)?,
                    Outcome::Document(document) => output.document(*document)?,
                }
            }
            match part.end {
                None => open = Some(output),
                Some(Ok(())) => {
                    if let Some(entry) = output.finish(self.ctx, job)? {
                        self.manifest.commit(entry)?;
                    }
                    self.bar.inc(job.unit.input.bytes);
                    done += 1;
                }
                Some(Err(error)) => self.failed.push(describe(&error)),
            }
            self.ctx.cancel.check()?;
        }
        Ok(done)
    }
}
