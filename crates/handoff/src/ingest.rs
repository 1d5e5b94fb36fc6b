//! The ingest log: in which order inputs arrived.
//!
//! Each run that finds new inputs appends one batch: a line of JSON with the new units sorted by name.
//! A line is never changed, so whatever is decided in this order (which of two duplicates stays, what is shuffled with what)
//! is decided the same in one run over everything or in many runs over parts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Result, StageDir, atomic};

/// A unit as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestUnit {
    /// Unit name.
    pub name: String,
    /// Content digest when it arrived.
    pub digest: Digest,
}

/// What was new in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestBatch {
    /// Number of the batch, from 0.
    pub batch: u32,
    /// Position of its first unit over all batches.
    pub first_index: u32,
    /// New units, sorted by name.
    pub units: Vec<IngestUnit>,
}

impl IngestBatch {
    /// Digest of the batch: its number, names and contents.
    pub fn digest(&self) -> Digest {
        let start = crate::DigestBuilder::new().field("batch", self.batch.to_le_bytes());
        self.units.iter().fold(start, |d, u| d.field(&u.name, u.digest.as_bytes())).finish()
    }
}

/// The log of one stage.
#[derive(Debug, Clone)]
pub struct IngestLog {
    dir: StageDir,
    batches: Vec<IngestBatch>,
}

impl IngestLog {
    /// Reads the log; an absent file is an empty log.
    ///
    /// # Errors
    /// When a line does not parse.
    pub fn load(dir: &StageDir) -> Result<Self> {
        let path = dir.ingest_jsonl();
        let mut batches = Vec::new();
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            for line in text.lines().filter(|l| !l.trim().is_empty()) {
                batches.push(serde_json::from_str(line).map_err(|source| Error::Json {
                    what: "ingest log",
                    path: path.clone(),
                    source,
                })?);
            }
        }
        Ok(Self { dir: dir.clone(), batches })
    }

    /// Batches in order.
    pub fn batches(&self) -> &[IngestBatch] {
        &self.batches
    }

    /// Batch number and overall index of every unit.
    pub fn positions(&self) -> BTreeMap<&str, (u32, u32)> {
        let mut out = BTreeMap::new();
        for batch in &self.batches {
            for (i, unit) in batch.units.iter().enumerate() {
                out.insert(unit.name.as_str(), (batch.batch, batch.first_index + i as u32));
            }
        }
        out
    }

    /// Units in ingest order.
    pub fn units(&self) -> impl Iterator<Item = &IngestUnit> {
        self.batches.iter().flat_map(|b| &b.units)
    }

    /// Appends those of `units` that the log does not know yet as one batch; returns its number, or `None` if all are known.
    ///
    /// A unit whose content changed keeps its place and its recorded digest; the unit's manifest entry tells that it changed.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn append(&mut self, units: &[IngestUnit]) -> Result<Option<u32>> {
        let known: BTreeSet<&str> = self.units().map(|u| u.name.as_str()).collect();
        let mut new: Vec<IngestUnit> = units.iter().filter(|u| !known.contains(u.name.as_str())).cloned().collect();
        if new.is_empty() {
            return Ok(None);
        }
        new.sort_by(|a, b| a.name.cmp(&b.name));
        self.push(new)
    }

    /// Takes over the batches of the stage before: units that are new to this log, in their upstream batches.
    ///
    /// So a stage that reads another one has the same batches, however often either was run.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn follow(&mut self, upstream: &[crate::UpstreamShard]) -> Result<()> {
        let known: BTreeSet<String> = self.units().map(|u| u.name.clone()).collect();
        let mut by_batch: BTreeMap<u32, Vec<IngestUnit>> = BTreeMap::new();
        for shard in upstream.iter().filter(|s| !known.contains(&s.unit)) {
            by_batch.entry(shard.batch).or_default().push(IngestUnit { name: shard.unit.clone(), digest: shard.digest });
        }
        for (_, mut units) in by_batch {
            units.sort_by(|a, b| a.name.cmp(&b.name));
            self.push(units)?;
        }
        Ok(())
    }

    fn push(&mut self, units: Vec<IngestUnit>) -> Result<Option<u32>> {
        let batch = self.batches.len() as u32;
        let first_index = self.units().count() as u32;
        self.batches.push(IngestBatch { batch, first_index, units });
        let mut text = String::new();
        for b in &self.batches {
            text +=
                &serde_json::to_string(b).map_err(|source| Error::Json { what: "ingest log", path: self.dir.ingest_jsonl(), source })?;
            text.push('\n');
        }
        atomic::write(&self.dir.ingest_jsonl(), text.as_bytes())?;
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunDir;

    fn unit(name: &str) -> IngestUnit {
        IngestUnit { name: name.into(), digest: Digest::of_bytes(name.as_bytes()) }
    }

    #[test]
    fn new_units_get_later_places_whatever_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("crawl-clean");
        let mut log = IngestLog::load(&stage).unwrap();
        assert_eq!(log.append(&[unit("m"), unit("c")]).unwrap(), Some(0));
        assert_eq!(log.append(&[unit("m"), unit("a"), unit("c")]).unwrap(), Some(1));
        assert_eq!(log.append(&[unit("a")]).unwrap(), None);
        let log = IngestLog::load(&stage).unwrap();
        assert_eq!(log.units().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["c", "m", "a"]);
        assert_eq!(log.positions()["a"], (1, 2));
        assert_ne!(log.batches()[0].digest(), log.batches()[1].digest());
    }
}
