//! Which units are to be done, and why.

use std::fmt;
use std::path::PathBuf;

use crate::{Digest, Manifest, UnitKey};

/// One input shard, seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Unit name.
    pub unit: String,
    /// Where it is.
    pub path: PathBuf,
    /// Content digest.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: u64,
}

/// Why a unit is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Never done.
    New,
    /// The input's content changed.
    InputChanged,
    /// The configuration changed.
    ConfigChanged,
    /// This build writes another format.
    VersionChanged,
    /// An output file is gone or has another size.
    OutputMissing,
    /// `--force` was given.
    Forced,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::New => "new input",
            Why::InputChanged => "its content changed",
            Why::ConfigChanged => "the configuration changed",
            Why::VersionChanged => "this build writes another format",
            Why::OutputMissing => "an output is missing",
            Why::Forced => "--force",
        })
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Units to do, in the order of the inputs.
    pub todo: Vec<(Input, Why)>,
    /// Units already done.
    pub skip: Vec<Input>,
    /// Committed units whose input is no longer there.
    pub vanished: Vec<String>,
}

/// Compares inputs with committed units.
pub fn plan(manifest: &Manifest, inputs: &[Input], config_digest: Digest, format_version: u32, force: bool) -> Plan {
    let mut plan = Plan::default();
    for input in inputs {
        let key = UnitKey { input_digest: input.digest, config_digest, format_version };
        match why(manifest, &input.unit, &key, force) {
            Some(why) => plan.todo.push((input.clone(), why)),
            None => plan.skip.push(input.clone()),
        }
    }
    plan.vanished = manifest.units().keys().filter(|u| !inputs.iter().any(|i| &i.unit == *u)).cloned().collect();
    plan
}

/// Why a unit has to be done, or `None` if it is done.
pub fn why(manifest: &Manifest, unit: &str, key: &UnitKey, force: bool) -> Option<Why> {
    let Some(entry) = manifest.units().get(unit) else { return Some(Why::New) };
    if force {
        Some(Why::Forced)
    } else if entry.key.input_digest != key.input_digest {
        Some(Why::InputChanged)
    } else if entry.key.config_digest != key.config_digest {
        Some(Why::ConfigChanged)
    } else if entry.key.format_version != key.format_version {
        Some(Why::VersionChanged)
    } else if !manifest.outputs_present(entry) {
        Some(Why::OutputMissing)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OutputFile, RunDir, UnitEntry};

    #[test]
    fn every_reason_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("tokenize");
        let mut manifest = Manifest::load(&stage).unwrap();
        let d = |s: &str| Digest::of_bytes(s.as_bytes());
        let key = UnitKey { input_digest: d("in"), config_digest: d("cfg"), format_version: 1 };
        std::fs::create_dir_all(stage.data()).unwrap();
        std::fs::write(stage.data_shard(0), "x").unwrap();
        let out =
            OutputFile { path: "data/00000.parquet".into(), schema: "tokens".into(), schema_version: 1, rows: 1, bytes: 1, digest: d("x") };
        let counts = Default::default();
        manifest
            .commit(UnitEntry { unit: "a".into(), batch: 0, index: 0, key, outputs: vec![out], rejected: vec![], counts, wall_secs: 0.0 })
            .unwrap();
        let input = |unit: &str, digest| Input { unit: unit.into(), path: unit.into(), digest, bytes: 1 };
        let check = |inputs: &[Input], config: &str, version, force| {
            let p = plan(&manifest, inputs, d(config), version, force);
            (p.todo.first().map(|t| t.1), p.skip.len(), p.vanished.len())
        };
        assert_eq!(check(&[input("a", d("in"))], "cfg", 1, false), (None, 1, 0));
        assert_eq!(check(&[input("b", d("in"))], "cfg", 1, false), (Some(Why::New), 0, 1));
        assert_eq!(check(&[input("a", d("other"))], "cfg", 1, false), (Some(Why::InputChanged), 0, 0));
        assert_eq!(check(&[input("a", d("in"))], "other", 1, false), (Some(Why::ConfigChanged), 0, 0));
        assert_eq!(check(&[input("a", d("in"))], "cfg", 2, false), (Some(Why::VersionChanged), 0, 0));
        assert_eq!(check(&[input("a", d("in"))], "cfg", 1, true), (Some(Why::Forced), 0, 0));
        std::fs::remove_file(stage.data_shard(0)).unwrap();
        assert_eq!(check(&[input("a", d("in"))], "cfg", 1, false), (Some(Why::OutputMissing), 0, 0));
    }
}
