//! The join of the keys of all units, by ranges.

use super::output::{KEYS, basis, scratch};
use crate::config::Config;
use crate::dedup::join::{Member, join, keys_before, ranges, write};
use crate::dedup::runs::{Run, RunWriter};
use crate::dedup::table;
use crate::error::Error;
use crate::units::Job;
use handoff::{Digest, Manifest};
use stage::{StageContext, StageError};

/// The keys of a unit; where they are gone they are made again from its signatures. `None` if these are gone too.
///
/// # Errors
/// If the disk refuses.
pub(crate) fn keys(ctx: &StageContext, config: &Config, job: &Job, signatures: u64) -> Result<Option<Member>, Error> {
    let dir = &ctx.stage_dir;
    let path = scratch(dir, KEYS, job.index, "bin");
    let member = |run: Option<Run>| run.map(|run| Member { unit: job.index, run });
    if let Some(run) = Run::open(&path, job.unit.input.digest)?
        && run.documents() == signatures
    {
        return Ok(member(Some(run)));
    }
    let mut writer = RunWriter::default();
    let side = dir.side_shard(table::FOLDER, job.index);
    if let Err(error) = table::read(&side, &config.dedup, signatures, |id, signature| writer.push(id, signature)) {
        tracing::warn!(unit = job.unit.input.unit, %error, "signatures cannot be used");
        return Ok(None);
    }
    writer.finish(&path, job.unit.input.digest)?;
    Ok(member(Run::open(&path, job.unit.input.digest)?))
}

/// The keys of a unit as the extraction or the join left them.
///
/// # Errors
/// If the disk refuses.
pub(crate) fn written(ctx: &StageContext, job: &Job) -> Result<Option<Member>, Error> {
    let run = Run::open(&scratch(&ctx.stage_dir, KEYS, job.index, "bin"), job.unit.input.digest)?;
    Ok(run.map(|run| Member { unit: job.index, run }))
}

/// Number of signatures that the manifest states for a committed unit.
pub(crate) fn signatures(manifest: &Manifest, job: &Job) -> u64 {
    manifest.units().get(&job.unit.input.unit).and_then(|entry| entry.counts.get("signatures")).copied().unwrap_or(0)
}

/// Digest of what is joined.
pub(crate) fn basis_of(jobs: &[Job]) -> Digest {
    basis(jobs.iter().map(|job| (job.index, job.unit.input.digest)))
}

/// Joins this worker's ranges of the keys of all members; edges of units before `from` are left out.
///
/// # Errors
/// If the disk refuses, or the run was interrupted.
pub(crate) fn run(ctx: &StageContext, config: &Config, members: &[Member], basis: Digest, from: u32) -> Result<u64, StageError> {
    // Half of the memory is for the keys of a range, the other half for sorting and for what is read meanwhile.
    let before = keys_before(members)?;
    let ranges = ranges(&before, config.max_memory_mb.saturating_mul(1_000_000) / 2, ctx.worker.count);
    let mine: Vec<(usize, usize)> =
        ranges.iter().enumerate().filter(|(number, _)| ctx.worker.owns(*number)).map(|(_, range)| *range).collect();
    let bar = ctx.progress.bar("join", mine.len() as u64, "ranges");
    let mut found = 0;
    for range in mine {
        ctx.cancel.check()?;
        let edges = join(members, range, before[range.1] - before[range.0], from)?;
        write(&ctx.stage_dir, range, basis, &edges)?;
        found += edges.len() as u64;
        bar.inc(1);
    }
    bar.finish();
    Ok(found)
}
