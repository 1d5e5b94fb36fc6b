//! The stage: what is to be done, phase by phase.

use crate::assets::Assets;
use crate::config::Config;
use crate::dedup::clusters;
use crate::dedup::decide::Judge;
use crate::dedup::join::{Edges, Member};
use crate::dedup::table;
use crate::error::Error;
use crate::extracted;
use crate::input;
use crate::page::Cleaner;
use crate::phase::output::Extracted;
use crate::phase::{Phase, decide, extract, join};
use crate::units::{self, Inputs, Job};
use handoff::{IngestLog, Manifest, StageDir, Why};
use stage::{Report, StageContext, StageError};
use std::collections::BTreeMap;

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
    let phase = Phase::of(ctx.phase.as_deref());
    if phase != Phase::All && ctx.limit.is_some() {
        return Err(Error::LimitWithPhase.into());
    }
    if config.dedup.enabled && ctx.worker.count > 1 && phase == Phase::All {
        return Err(Error::WorkersWithoutPhase { count: ctx.worker.count }.into());
    }
    let assets = Assets::load(&ctx.config_dir, config)?;
    // What the configuration's files hold is part of it.
    let ctx = &StageContext { config_digest: assets.digest(ctx.config_digest), ..ctx.clone() };
    let mut work = Work::plan(ctx, config, &assets)?;
    let done = match (config.dedup.enabled, phase) {
        // Without a comparison of documents, extraction is all.
        (false, Phase::All | Phase::Extract) => work.extract()?,
        (false, _) => 0,
        (true, Phase::All) => work.all()?,
        (true, Phase::Extract) => {
            work.redo(false)?;
            let done = work.extract()?;
            work.require_keys()?;
            done
        }
        (true, Phase::Join) => work.join_mine()?,
        (true, Phase::Decide) => work.decide_mine()?,
    };
    work.report(done)
}

/// An error with its cause, in one line.
pub(crate) fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn remove(manifest: &mut Manifest, dir: &StageDir, unit: &str) -> Result<(), Error> {
    let index = manifest.units().get(unit).map(|entry| entry.index);
    manifest.remove(unit)?;
    for side in index.into_iter().flat_map(|index| [table::FOLDER, extracted::FOLDER].map(|folder| dir.side_shard(folder, index))) {
        if side.exists() {
            std::fs::remove_file(&side).map_err(Error::read(&side))?;
        }
    }
    Ok(())
}

/// What there is and what is to be done.
struct Work<'a> {
    ctx: &'a StageContext,
    config: &'a Config,
    assets: &'a Assets,
    cleaner: Cleaner<'a>,
    inputs: Inputs,
    manifest: Manifest,
    /// All units in ingest order.
    all: Vec<Job>,
    /// Those among them, by unit name, that are to be done.
    todo: BTreeMap<String, Why>,
    /// Files that could not be read.
    failed: Vec<String>,
    skipped: u64,
}

impl<'a> Work<'a> {
    fn plan(ctx: &'a StageContext, config: &'a Config, assets: &'a Assets) -> Result<Self, Error> {
        let mut inputs = units::find(ctx, config)?;
        inputs.watch.extend(assets.paths().map(Into::into));
        let mut manifest = Manifest::load(&ctx.stage_dir)?;
        let mut log = IngestLog::load(&ctx.stage_dir)?;
        units::ingest(&mut log, &inputs)?;
        let all = units::chain(&inputs, &log, config.dedup.enabled);
        // What is to be forced was extracted anew when a later phase begins.
        let forced = ctx.force && !matches!(Phase::of(ctx.phase.as_deref()), Phase::Join | Phase::Decide);
        let plan = units::compare(&StageContext { force: forced, ..ctx.clone() }, &all, &manifest);
        if !plan.vanished.is_empty() && !ctx.prune {
            return Err(Error::Vanished { units: plan.vanished });
        }
        for name in &plan.vanished {
            remove(&mut manifest, &ctx.stage_dir, name)?;
        }
        let failed = inputs.unreadable.clone();
        let mut work = Self {
            ctx,
            config,
            assets,
            cleaner: Cleaner::new(config, assets),
            inputs,
            manifest,
            all,
            todo: BTreeMap::new(),
            failed,
            skipped: plan.skip.len() as u64,
        };
        for (input, why) in plan.todo {
            // A file of no known kind fails here, before anything behind it is done again for its sake.
            if let Err(error) = input::open(&input.path, &input.unit, config) {
                work.failed.push(describe(&error));
                continue;
            }
            tracing::debug!(unit = input.unit, %why, "to do");
            work.todo.insert(input.unit, why);
        }
        Ok(work)
    }

    /// This worker's jobs to do, in order; no more than `--limit`.
    fn jobs(&self) -> Vec<Job> {
        let mine = self.all.iter().filter(|job| self.todo.contains_key(&job.unit.input.unit) && self.ctx.worker.owns(job.index as usize));
        mine.take(self.ctx.limit.map_or(usize::MAX, |limit| limit as usize)).cloned().collect()
    }

    /// Takes units into the work that were decided on without one before them, which is new in its place: one that could not be read
    /// then. `waiting` says whether such units count that are extracted now, or those that are not.
    fn redo(&mut self, waiting: bool) -> Result<(), Error> {
        let new =
            |job: &&Job| self.todo.get(&job.unit.input.unit) == Some(&Why::New) && Extracted::load(self.ctx, job).is_some() == waiting;
        let Some(first) = self.all.iter().find(new).map(|job| job.index) else { return Ok(()) };
        let behind = self.all.iter().filter(|job| job.index > first && self.ctx.worker.owns(job.index as usize));
        let behind = behind.map(|job| job.unit.input.unit.clone()).collect::<Vec<_>>();
        self.undo(behind.into_iter().filter(|unit| !self.todo.contains_key(unit)).collect())
    }

    /// Takes committed units into the work.
    fn undo(&mut self, units: Vec<String>) -> Result<(), Error> {
        for unit in units {
            if self.manifest.units().contains_key(&unit) {
                self.manifest.remove(&unit)?;
                self.todo.insert(unit, Why::OutputMissing);
                self.skipped = self.skipped.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Extracts the jobs that do not wait for the decision already; those that fail are done with.
    fn extract(&mut self) -> Result<u64, StageError> {
        let mut jobs = self.jobs();
        let dedup = self.config.dedup.enabled;
        if dedup {
            jobs.retain(|job| self.todo[&job.unit.input.unit] == Why::Forced || Extracted::load(self.ctx, job).is_none());
        }
        let side = extract::Side::of(self.ctx, self.config, self.assets, &jobs);
        let done = extract::extract(self.ctx, self.config, &self.cleaner, &side, &jobs, &mut self.manifest, &mut self.failed)?;
        for job in jobs.iter().filter(|_| dedup) {
            let unit = &job.unit.input.unit;
            if Extracted::load(self.ctx, job).is_none() {
                self.todo.remove(unit);
            } else if self.todo[unit] == Why::Forced {
                // So that the phases to come, and this one if it is run again, see it as any other that waits.
                self.manifest.remove(unit)?;
                self.todo.insert(unit.clone(), Why::OutputMissing);
            }
        }
        Ok(done)
    }

    /// Does again the units of this worker whose keys are lost.
    fn require_keys(&mut self) -> Result<(), StageError> {
        let mut lost = Vec::new();
        for job in self.all.iter().filter(|job| self.ctx.worker.owns(job.index as usize)) {
            let unit = &job.unit.input.unit;
            if !self.todo.contains_key(unit)
                && self.manifest.units().contains_key(unit)
                && join::keys(self.ctx, self.config, job, join::signatures(&self.manifest, job))?.is_none()
            {
                lost.push(unit.clone());
            }
        }
        if !lost.is_empty() {
            self.undo(lost)?;
            self.extract()?;
        }
        Ok(())
    }

    /// The units that take part in the join with their keys, in order, and what was extracted of those that wait; and the units that
    /// are missing.
    #[expect(clippy::type_complexity, reason = "three lists of one pass")]
    fn members(&self) -> Result<(Vec<Job>, Vec<Member>, Vec<(Job, Extracted)>, Vec<String>), Error> {
        let (mut jobs, mut members, mut waiting, mut missing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for job in &self.all {
            let unit = &job.unit.input.unit;
            let extracted = if self.todo.contains_key(unit) { Extracted::load(self.ctx, job) } else { None };
            let signatures = match &extracted {
                Some(extracted) => Some(extracted.counts.get("signatures").copied().unwrap_or(0)),
                None if !self.todo.contains_key(unit) && self.manifest.units().contains_key(unit) => {
                    Some(join::signatures(&self.manifest, job))
                }
                None => None,
            };
            let member = match signatures {
                Some(signatures) => join::keys(self.ctx, self.config, job, signatures)?,
                None => None,
            };
            let Some(member) = member else {
                missing.push(unit.clone());
                continue;
            };
            jobs.push(job.clone());
            members.push(member);
            waiting.extend(extracted.map(|extracted| (job.clone(), extracted)));
        }
        Ok((jobs, members, waiting, missing))
    }

    /// All phases in one process, or what is left of them: the table of cluster sizes, when workers have shared the others.
    fn all(&mut self) -> Result<u64, StageError> {
        let done = if self.todo.is_empty() { 0 } else { self.phases()? };
        clusters::write(&self.manifest, self.memory())?;
        // Nothing waits any more, so all scratch files are of no use but those of a file that could be read only in part.
        let scratch = self.ctx.stage_dir.work();
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch).map_err(Error::read(&scratch))?;
        }
        Ok(done)
    }

    fn phases(&mut self) -> Result<u64, StageError> {
        self.extract()?;
        self.redo(true)?;
        self.extract()?;
        self.require_keys()?;
        let (jobs, members, waiting, _) = self.members()?;
        let basis = join::basis_of(&jobs);
        let Some((first, _)) = waiting.first() else { return Ok(0) };
        join::run(self.ctx, self.config, &members, basis, first.index)?;
        let edges = Edges::open(&self.ctx.stage_dir, basis)?.ok_or(Error::NotJoined)?;
        self.decide(&members, &waiting, &edges)
    }

    fn memory(&self) -> u64 {
        self.config.max_memory_mb.saturating_mul(1_000_000)
    }

    fn join_mine(&mut self) -> Result<u64, StageError> {
        let (jobs, members, waiting, missing) = self.members()?;
        if !missing.is_empty() {
            return Err(Error::NotExtracted { units: missing }.into());
        }
        let Some((first, _)) = waiting.first() else { return Ok(0) };
        join::run(self.ctx, self.config, &members, join::basis_of(&jobs), first.index)?;
        Ok(0)
    }

    fn decide_mine(&mut self) -> Result<u64, StageError> {
        // Other workers finish their units meanwhile: of those only the keys are looked at, which stay.
        let mut members = Vec::with_capacity(self.all.len());
        let (mut waiting, mut missing) = (Vec::new(), Vec::new());
        for job in &self.all {
            let unit = &job.unit.input.unit;
            if self.todo.contains_key(unit) && self.ctx.worker.owns(job.index as usize) {
                match Extracted::load(self.ctx, job) {
                    Some(extracted) => waiting.push((job.clone(), extracted)),
                    None => missing.push(unit.clone()),
                }
            }
            members.extend(join::written(self.ctx, job)?);
        }
        if !missing.is_empty() {
            return Err(Error::NotExtracted { units: missing }.into());
        }
        if waiting.is_empty() {
            return Ok(0);
        }
        let edges = Edges::open(&self.ctx.stage_dir, join::basis_of(&self.all))?.ok_or(Error::NotJoined)?;
        self.decide(&members, &waiting, &edges)
    }

    fn decide(&mut self, members: &[Member], waiting: &[(Job, Extracted)], edges: &Edges) -> Result<u64, StageError> {
        let judge = Judge::new(members, self.config.dedup.verify_jaccard);
        let bar = self.ctx.progress.bar("decide", waiting.len() as u64, "units");
        for (job, extracted) in waiting {
            self.ctx.cancel.check()?;
            let entry = decide::decide(self.ctx, self.config, &self.cleaner, job, extracted, edges, &judge)?;
            self.manifest.commit(entry)?;
            decide::clean_up(self.ctx, job)?;
            bar.inc(1);
        }
        bar.finish();
        Ok(waiting.len() as u64)
    }

    fn report(self, done: u64) -> Result<Report, StageError> {
        let ctx = self.ctx;
        // Other workers may have committed meanwhile.
        let manifest = if ctx.worker.count > 1 { Manifest::load(&ctx.stage_dir)? } else { self.manifest };
        let summary = manifest.write_summary()?;
        if !self.failed.is_empty() {
            return Err(Error::FilesFailed { files: self.failed }.into());
        }
        ctx.cancel.check()?;
        Ok(Report {
            inputs_done: done,
            inputs_skipped: self.skipped,
            rows: summary.rows,
            bytes_out: summary.bytes,
            rejected: summary.rejected,
            notes: notes(&summary.counts, &self.inputs.passed_over),
            look: vec![ctx.stage_dir.data().display().to_string(), ctx.stage_dir.rejected().display().to_string()],
            watch: self.inputs.watch,
            text: None,
        })
    }
}

/// The funnel in a few lines.
fn notes(counts: &BTreeMap<String, u64>, passed_over: &[String]) -> Vec<String> {
    let get = |name: &str| counts.get(name).copied().unwrap_or(0);
    let mut out = vec![format!("{} pages, {} kept, {} rejected", get("pages"), get("kept"), get("rejected"))];
    let mut reasons: Vec<(&str, u64)> = counts.iter().filter_map(|(name, &n)| Some((name.strip_prefix("rejected.")?, n))).collect();
    reasons.sort_by_key(|&(name, n)| (std::cmp::Reverse(n), name));
    if !reasons.is_empty() {
        out.push(format!("rejected for {}", reasons.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")));
    }
    let tasks: Vec<String> = counts.iter().filter_map(|(name, n)| Some(format!("{} {n}", name.strip_prefix("contaminated.")?))).collect();
    if !tasks.is_empty() {
        out.push(format!("documents with questions of {}", tasks.join(", ")));
    }
    if get("removed.lines") + get("removed.spans") > 0 {
        let (lines, spans, chars) = (get("removed.lines"), get("removed.spans"), get("removed.chars"));
        out.push(format!("took out {lines} lines and {spans} runs that earlier documents have, {chars} characters"));
    }
    let kinds = ["emails", "phones", "ips", "ids", "cards"];
    let names = ["e-mail addresses", "telephone numbers", "IP addresses", "identity numbers", "bank cards"];
    let replaced = kinds.iter().zip(names).map(|(kind, name)| (get(&format!("pii.{kind}")), name)).filter(|(n, _)| *n > 0);
    let replaced: Vec<String> = replaced.map(|(n, name)| format!("{n} {name}")).collect();
    if !replaced.is_empty() {
        out.push(format!("replaced {}", replaced.join(", ")));
    }
    if get("kept.truncated") > 0 {
        out.push(format!("kept the beginning of {} pages that the inputs hold no more of", get("kept.truncated")));
    }
    if let Some(example) = passed_over.first() {
        out.push(format!("passed over {} files in the inputs that are of no kind to read, such as `{example}`", passed_over.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_over_is_said() {
        let none = notes(&BTreeMap::new(), &[]);
        assert_eq!(none.len(), 1);
        let counts = BTreeMap::from([("kept.truncated".to_owned(), 2)]);
        let told = notes(&counts, &["sub/notes.md".into(), "x.pdf".into()]);
        assert_eq!(told[1], "kept the beginning of 2 pages that the inputs hold no more of");
        assert_eq!(told[2], "passed over 2 files in the inputs that are of no kind to read, such as `sub/notes.md`");
    }
}
