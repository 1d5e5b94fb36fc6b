//! What a stage reads of the one before it: its committed data shards in ingest order.

use std::fs;
use std::path::PathBuf;

use crate::{Digest, Error, Manifest, Result, RunDir, StageDir};

/// One committed data shard of the stage before.
#[derive(Debug, Clone)]
pub struct UpstreamShard {
    /// Unit name: the upstream unit's own, with `.N` for a unit's further shards.
    pub unit: String,
    /// Ingest batch.
    pub batch: u32,
    /// Position in the ingest order.
    pub index: u32,
    /// The file.
    pub path: PathBuf,
    /// Table it holds.
    pub schema: String,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Content digest.
    pub digest: Digest,
}

/// The committed output of a stage.
#[derive(Debug, Clone)]
pub struct Upstream {
    dir: StageDir,
    shards: Vec<UpstreamShard>,
    config_digest: Digest,
}

impl Upstream {
    /// Opens the output of `reference` (`tokenize`, or `sft/lora` for a variant), keeping data shards of table `schema` only.
    ///
    /// # Errors
    /// [`Error::UpstreamMissing`] without any committed unit, [`Error::UpstreamMixed`] when units were made with different
    /// configurations, [`Error::UpstreamDamaged`] when a committed file is gone or has another size; all are exit code 3.
    pub fn open(run: &RunDir, reference: &str, schema: &str) -> Result<Self> {
        let dir = run.reference(reference);
        let manifest = Manifest::load(&dir)?;
        let units = manifest.in_order();
        let Some(first) = units.first() else {
            return Err(Error::UpstreamMissing { stage: reference.into(), path: dir.manifest_dir() });
        };
        if let Some(other) = units.iter().find(|u| u.key.config_digest != first.key.config_digest) {
            return Err(Error::UpstreamMixed {
                stage: reference.into(),
                unit_a: first.unit.clone(),
                config_a: first.key.config_digest.to_string(),
                unit_b: other.unit.clone(),
                config_b: other.key.config_digest.to_string(),
            });
        }
        let mut shards = Vec::new();
        for unit in &units {
            for (n, out) in unit.outputs.iter().filter(|o| o.schema == schema).enumerate() {
                let path = dir.absolute(&out.path);
                let damaged = |problem: String| Error::UpstreamDamaged { stage: reference.into(), path: path.clone(), problem };
                let size = fs::metadata(&path).map_err(|_| damaged("is missing".into()))?.len();
                if size != out.bytes {
                    return Err(damaged(format!("has {size} bytes, recorded were {}", out.bytes)));
                }
                let name = if n == 0 { unit.unit.clone() } else { format!("{}.{n}", unit.unit) };
                shards.push(UpstreamShard {
                    unit: name,
                    batch: unit.batch,
                    index: unit.index,
                    path,
                    schema: out.schema.clone(),
                    rows: out.rows,
                    bytes: out.bytes,
                    digest: out.digest,
                });
            }
        }
        Ok(Self { config_digest: first.key.config_digest, dir, shards })
    }

    /// Its stage directory.
    pub fn dir(&self) -> &StageDir {
        &self.dir
    }

    /// Data shards in ingest order.
    pub fn shards(&self) -> &[UpstreamShard] {
        &self.shards
    }

    /// The configuration all of it was made with.
    pub fn config_digest(&self) -> Digest {
        self.config_digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OutputFile, UnitEntry, UnitKey};

    fn commit(run: &RunDir, unit: &str, index: u32, config: &str) {
        let dir = run.stage("tokenize");
        std::fs::create_dir_all(dir.data()).unwrap();
        std::fs::write(dir.data_shard(index), "x").unwrap();
        let d = |s: &str| Digest::of_bytes(s.as_bytes());
        let out = OutputFile {
            path: dir.relative(&dir.data_shard(index)),
            schema: "tokens".into(),
            schema_version: 1,
            rows: 1,
            bytes: 1,
            digest: d("x"),
        };
        let key = UnitKey { input_digest: d(unit), config_digest: d(config), format_version: 1 };
        let counts = Default::default();
        let entry = UnitEntry { unit: unit.into(), batch: index, index, key, outputs: vec![out], rejected: vec![], counts, wall_secs: 0.0 };
        Manifest::load(&dir).unwrap().commit(entry).unwrap();
    }

    #[test]
    fn missing_mixed_and_damaged_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let open = || Upstream::open(&run, "tokenize", "tokens");
        assert!(matches!(open().unwrap_err(), Error::UpstreamMissing { .. }));
        commit(&run, "b", 0, "one");
        commit(&run, "a", 1, "one");
        let up = open().unwrap();
        assert_eq!(up.shards().iter().map(|s| s.unit.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        commit(&run, "c", 2, "two");
        let error = open().unwrap_err();
        assert!(matches!(error, Error::UpstreamMixed { .. }) && error.is_upstream(), "{error}");
        commit(&run, "c", 2, "one");
        std::fs::write(run.stage("tokenize").data_shard(1), "xx").unwrap();
        assert!(open().unwrap_err().to_string().contains("has 2 bytes, recorded were 1"));
    }
}
