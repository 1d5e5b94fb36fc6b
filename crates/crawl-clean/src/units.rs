//! The stage's units, which of them are to be done, and why. A unit is one input file.
//!
//! With deduplication on, what comes of a unit depends on all units before it in the ingest order. So the digest by which it is known is
//! taken over their contents too ([`chain`]): where an earlier one changes or goes, those behind it are done again; new inputs come
//! last and change nothing.

use crate::config::Config;
use crate::error::Error;
use crate::input::discover;
use handoff::{Digest, DigestBuilder, DigestCache, IngestLog, IngestUnit, Input, Manifest, Plan, manifest::unit_name, plan};
use stage::{InputRef, StageContext};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A unit with its place in the ingest order.
#[derive(Debug, Clone)]
pub struct Job {
    /// The unit; with `dedup` on its digest is taken over all units before it too ([`chain`]).
    pub unit: Unit,
    /// Digest of its content alone.
    pub own: Digest,
    /// Its batch.
    pub batch: u32,
    /// Its place over all batches.
    pub index: u32,
}

/// Raised when the same input and configuration give other output than before.
pub const FORMAT_VERSION: u32 = 10;

/// An input file.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Name of the file: what stands in the `source` column.
    pub source: String,
    /// The file as the hand-off knows it.
    pub input: Input,
}

/// All inputs with the folders they were found in.
#[derive(Debug)]
pub struct Inputs {
    /// Units by unit name.
    pub units: BTreeMap<String, Unit>,
    /// Files and folders looked at.
    pub watch: Vec<PathBuf>,
    /// Files that cannot be read at all.
    pub unreadable: Vec<String>,
    /// Files in the folders that are of no kind to read.
    pub passed_over: Vec<String>,
}

/// What each entry of `inputs` names, with the folder or file it was found by.
fn listings(ctx: &StageContext, config: &Config) -> Result<Vec<(PathBuf, discover::Listing)>, Error> {
    let listing = |entry: &String| {
        let path = match ctx.resolve(entry) {
            InputRef::Path(path) => path,
            // No stage comes before this one: a folder may well be called `shard`.
            InputRef::Stage(name) => ctx.path(&name),
        };
        let folder = if path.exists() { path.clone() } else { path.parent().map(PathBuf::from).unwrap_or_default() };
        Ok((folder, discover::find(&path)?))
    };
    config.inputs.iter().map(listing).collect()
}

/// All input files by unit name; none is read.
///
/// # Errors
/// If an entry of `inputs` names nothing.
pub fn files(ctx: &StageContext, config: &Config) -> Result<BTreeMap<String, discover::Found>, Error> {
    let files = listings(ctx, config)?.into_iter().flat_map(|(_, listing)| listing.files);
    Ok(files.map(|found| (unit_name(&found.name), found)).collect())
}

/// Finds all inputs and digests them.
///
/// # Errors
/// If an entry of `inputs` names nothing, or two files have one name.
pub fn find(ctx: &StageContext, config: &Config) -> Result<Inputs, Error> {
    let mut cache = DigestCache::open(&ctx.run);
    let mut inputs = Inputs { units: BTreeMap::new(), watch: Vec::new(), unreadable: Vec::new(), passed_over: Vec::new() };
    for (folder, discover::Listing { files, passed_over }) in listings(ctx, config)? {
        inputs.watch.push(folder);
        inputs.passed_over.extend(passed_over);
        for found in files {
            let digest = match cache.digest(&found.path) {
                Ok(digest) => digest,
                Err(error) => {
                    inputs.unreadable.push(format!("`{}`: {error}", found.path.display()));
                    continue;
                }
            };
            let bytes = std::fs::metadata(&found.path).map_err(Error::read(&found.path))?.len();
            let name = unit_name(&found.name);
            let input = Input { unit: name.clone(), path: found.path.clone(), digest, bytes };
            if let Some(other) = inputs.units.get(&name)
                && other.input.path != found.path
            {
                return Err(Error::SameName { first: other.input.path.clone(), second: found.path, name: found.name });
            }
            inputs.watch.push(found.path);
            inputs.units.insert(name, Unit { source: found.name, input });
        }
    }
    cache.save()?;
    inputs.watch.sort();
    inputs.watch.dedup();
    Ok(inputs)
}

/// Compares the units with what is committed.
#[must_use]
pub fn compare(ctx: &StageContext, jobs: &[Job], manifest: &Manifest) -> Plan {
    let all: Vec<Input> = jobs.iter().map(|job| job.unit.input.clone()).collect();
    plan(manifest, &all, ctx.config_digest, FORMAT_VERSION, ctx.force)
}

/// Enters new units into the ingest log.
///
/// # Errors
/// If the log cannot be written.
pub fn ingest(log: &mut IngestLog, inputs: &Inputs) -> Result<(), Error> {
    let new: Vec<IngestUnit> =
        inputs.units.iter().map(|(name, unit)| IngestUnit { name: name.clone(), digest: unit.input.digest }).collect();
    log.append(&new)?;
    Ok(())
}

/// All units in ingest order as jobs. With `dedup` on, the digest of each is taken over all before it too.
///
/// A unit that the log does not know yet stands behind the others, by name, as [`ingest`] will put it.
#[must_use]
pub fn chain(inputs: &Inputs, log: &IngestLog, dedup: bool) -> Vec<Job> {
    let places = log.positions();
    let next = places.values().map(|(_, index)| index + 1).max().unwrap_or(0);
    let new_batch = log.batches().len() as u32;
    let mut new = next..;
    let mut jobs: Vec<Job> = Vec::with_capacity(inputs.units.len());
    for (name, unit) in &inputs.units {
        let place = places.get(name.as_str()).copied();
        let (batch, index) = place.unwrap_or_else(|| (new_batch, new.next().unwrap_or(u32::MAX)));
        jobs.push(Job { unit: unit.clone(), own: unit.input.digest, batch, index });
    }
    jobs.sort_by_key(|job| job.index);
    if dedup {
        let mut before = None;
        for job in &mut jobs {
            let own = job.own;
            let digest = match before {
                None => own,
                Some(before) => DigestBuilder::new().field("before", Digest::as_bytes(&before)).field("own", own.as_bytes()).finish(),
            };
            job.unit.input.digest = digest;
            before = Some(digest);
        }
    }
    jobs
}
