//! What a stage has finished: one JSON file for each unit, committed by rename after the unit's outputs.
//!
//! An output exists when its unit's entry does.
//! `manifest.json` is a summary for people and can be rebuilt from the unit files at any time.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Result, StageDir, atomic};

/// What a unit's result depends on; equal keys mean that nothing has to be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitKey {
    /// Content of the input shard.
    pub input_digest: Digest,
    /// The part of the configuration that matters to this stage.
    pub config_digest: Digest,
    /// Raised by a stage when the same input and configuration give other output than before.
    pub format_version: u32,
}

/// A committed output file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Path relative to the stage directory.
    pub path: String,
    /// Table name.
    pub schema: String,
    /// Table version.
    pub schema_version: u32,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Content digest.
    pub digest: Digest,
}

/// A finished unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitEntry {
    /// Unit name, unique in the stage, fit for a file name.
    pub unit: String,
    /// Ingest batch it belongs to.
    pub batch: u32,
    /// Position in the ingest order over all batches; names the output shards.
    pub index: u32,
    /// What the result depends on.
    pub key: UnitKey,
    /// Data shards.
    pub outputs: Vec<OutputFile>,
    /// Shards of refused rows.
    pub rejected: Vec<OutputFile>,
    /// Counts such as `pages`, `kept`, `rejected.too_short`.
    pub counts: BTreeMap<String, u64>,
    /// Time the unit took, in seconds.
    pub wall_secs: f64,
}

/// All committed units of a stage.
#[derive(Debug, Clone)]
pub struct Manifest {
    dir: StageDir,
    units: BTreeMap<String, UnitEntry>,
}

/// The summary file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Stage name.
    pub stage: String,
    /// Number of units.
    pub units: u64,
    /// Rows over all data shards.
    pub rows: u64,
    /// Bytes over all data shards.
    pub bytes: u64,
    /// Refused rows.
    pub rejected: u64,
    /// Counts summed over units.
    pub counts: BTreeMap<String, u64>,
    /// Digest over the units' keys and outputs: it changes when any output does.
    pub digest: Digest,
}

/// Turns any text, such as a path, into a unit name: letters, digits, `.`, `_`, `-`; the rest becomes `_`.
///
/// Names that had to be changed get eight hex digits of their digest, so that no two inputs share one.
pub fn unit_name(text: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.len() <= 120 && text.chars().all(ok) && !text.starts_with('.') {
        return text.to_owned();
    }
    let kept: String = text.chars().map(|c| if ok(c) { c } else { '_' }).collect();
    let tail: String = kept.chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
    format!("{}-{}", tail.trim_start_matches(['.', '_']), &Digest::of_bytes(text.as_bytes()).to_string()[..8])
}

impl Manifest {
    /// Reads all unit files of a stage; an absent directory is an empty manifest.
    ///
    /// # Errors
    /// When a unit file cannot be read or does not parse.
    pub fn load(dir: &StageDir) -> Result<Self> {
        let mut units = BTreeMap::new();
        let folder = dir.manifest_dir();
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
                let path = entry.map_err(Error::io("list", &folder))?.path();
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                if name.starts_with('.') || !name.ends_with(".json") {
                    continue;
                }
                let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
                let unit: UnitEntry =
                    serde_json::from_slice(&bytes).map_err(|source| Error::Json { what: "manifest entry", path, source })?;
                units.insert(unit.unit.clone(), unit);
            }
        }
        Ok(Self { dir: dir.clone(), units })
    }

    /// The stage directory it belongs to.
    pub fn dir(&self) -> &StageDir {
        &self.dir
    }

    /// Units by name.
    pub fn units(&self) -> &BTreeMap<String, UnitEntry> {
        &self.units
    }

    /// Units in ingest order.
    pub fn in_order(&self) -> Vec<&UnitEntry> {
        let mut units: Vec<_> = self.units.values().collect();
        units.sort_by_key(|u| (u.batch, u.index, &u.unit));
        units
    }

    /// Commits a finished unit: from now on its outputs exist.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub fn commit(&mut self, entry: UnitEntry) -> Result<()> {
        atomic::write_json(&self.dir.unit_json(&entry.unit), &entry)?;
        self.units.insert(entry.unit.clone(), entry);
        Ok(())
    }

    /// Removes a unit: first its entry, then its files.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&mut self, unit: &str) -> Result<()> {
        let Some(entry) = self.units.remove(unit) else { return Ok(()) };
        let path = self.dir.unit_json(unit);
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        for out in entry.outputs.iter().chain(&entry.rejected) {
            let path = self.dir.absolute(&out.path);
            if path.exists() {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// True when every output of the unit is there with its recorded size.
    pub fn outputs_present(&self, entry: &UnitEntry) -> bool {
        entry
            .outputs
            .iter()
            .chain(&entry.rejected)
            .all(|out| fs::metadata(self.dir.absolute(&out.path)).is_ok_and(|m| m.len() == out.bytes))
    }

    /// Sums over all units.
    pub fn summary(&self) -> Summary {
        let mut counts = BTreeMap::new();
        let mut digest = crate::DigestBuilder::new();
        let (mut rows, mut bytes, mut rejected) = (0, 0, 0);
        for unit in self.in_order() {
            digest = digest.field("unit", &unit.unit).field("config", unit.key.config_digest.as_bytes());
            for out in &unit.outputs {
                digest = digest.field("output", out.digest.as_bytes());
                rows += out.rows;
                bytes += out.bytes;
            }
            rejected += unit.rejected.iter().map(|out| out.rows).sum::<u64>();
            for (name, n) in &unit.counts {
                *counts.entry(name.clone()).or_insert(0) += n;
            }
        }
        Summary {
            stage: self.dir.name().to_owned(),
            units: self.units.len() as u64,
            rows,
            bytes,
            rejected,
            counts,
            digest: digest.finish(),
        }
    }

    /// Writes `manifest.json` if it would change.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_summary(&self) -> Result<Summary> {
        let summary = self.summary();
        atomic::write_json_if_changed(&self.dir.manifest_json(), &summary)?;
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunDir;

    fn entry(unit: &str, index: u32) -> UnitEntry {
        let key = UnitKey { input_digest: Digest::of_bytes(unit.as_bytes()), config_digest: Digest::of_bytes(b"c"), format_version: 1 };
        let counts = [("pages".to_owned(), 3)].into();
        UnitEntry { unit: unit.into(), batch: 0, index, key, outputs: vec![], rejected: vec![], counts, wall_secs: 0.5 }
    }

    #[test]
    fn entries_survive_and_are_ordered() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("tokenize");
        let mut manifest = Manifest::load(&stage).unwrap();
        manifest.commit(entry("b", 0)).unwrap();
        manifest.commit(entry("a", 1)).unwrap();
        std::fs::write(stage.manifest_dir().join(".c.json.tmp-1-1"), "{").unwrap();
        let again = Manifest::load(&stage).unwrap();
        assert_eq!(again.in_order().iter().map(|u| u.unit.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(again.summary().counts["pages"], 6);
        manifest.remove("a").unwrap();
        assert_eq!(Manifest::load(&stage).unwrap().units().len(), 1);
    }

    #[test]
    fn a_broken_entry_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("tokenize");
        std::fs::create_dir_all(stage.manifest_dir()).unwrap();
        std::fs::write(stage.unit_json("x"), "{\"unit\":").unwrap();
        assert!(Manifest::load(&stage).unwrap_err().to_string().contains("x.json"));
    }

    #[test]
    fn unit_names_are_file_names_and_unique() {
        assert_eq!(unit_name("part-0.warc.gz"), "part-0.warc.gz");
        let (a, b) = (unit_name("x/part.warc"), unit_name("x_part.warc"));
        assert_ne!(a, b);
        assert!(!unit_name("网页/一.warc").contains(['/', '网']));
        assert!(!unit_name("../etc").contains('/'));
    }
}
