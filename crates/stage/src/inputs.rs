//! The shards of one table that a stage's `inputs` name: committed outputs of stages, or Parquet files at a path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use handoff::manifest::unit_name;
use handoff::{Digest, DigestCache, Error, Input, Result, ShardReader, StageDir, Upstream, UpstreamShard};

use crate::{InputRef, StageContext};

/// Batch of shards that come from a path: they arrive when they are first seen, after everything of this run's stages.
const ARRIVES_LAST: u32 = u32::MAX;

/// The shards that `inputs` name, and what was read to find them.
#[derive(Debug)]
pub struct TableInputs {
    /// Shards in ingest order.
    pub shards: Vec<UpstreamShard>,
    /// Files and folders whose change makes the stage stale.
    pub watch: Vec<PathBuf>,
    /// Directories of the stages among the inputs.
    pub stages: Vec<StageDir>,
}

impl TableInputs {
    /// Finds the shards of table `table`; their content is not looked at.
    ///
    /// # Errors
    /// An upstream stage that is not ready, [`Error::NoInput`] for a path without Parquet files, [`Error::DuplicateUnit`] for a file
    /// that is named twice.
    pub fn find(ctx: &StageContext, inputs: &[String], table: &str) -> Result<Self> {
        let mut found = Self { shards: Vec::new(), watch: Vec::new(), stages: Vec::new() };
        let mut cache = DigestCache::open(&ctx.run);
        for input in inputs {
            match ctx.resolve(input) {
                InputRef::Stage(stage) => {
                    let upstream = Upstream::open(&ctx.run, &stage, table)?;
                    found.watch.push(upstream.dir().manifest_dir());
                    found.shards.extend(upstream.shards().iter().cloned());
                    found.stages.push(upstream.dir().clone());
                }
                InputRef::Path(path) => {
                    for file in parquet_files(&path)? {
                        let mut shard = shard_at(&file, table, &mut cache)?;
                        if found.shards.iter().any(|other| other.unit == shard.unit && !same_file(&other.path, &file)) {
                            // Files of two runs have the same names. The first keeps the plain one.
                            let digest = Digest::of_bytes(input.as_bytes()).to_string();
                            shard.unit = format!("{}-{}", shard.unit, &digest[..8]);
                        }
                        found.shards.push(shard);
                    }
                    found.watch.push(path);
                }
            }
        }
        cache.save()?;
        let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
        for shard in &found.shards {
            if let Some(first) = seen.insert(&shard.unit, &shard.path) {
                return Err(Error::DuplicateUnit { unit: shard.unit.clone(), first: first.into(), second: shard.path.clone() });
            }
        }
        Ok(found)
    }

    /// The shards as a plan wants them.
    pub fn plan_inputs(&self) -> Vec<Input> {
        let input = |s: &UpstreamShard| Input { unit: s.unit.clone(), path: s.path.clone(), digest: s.digest, bytes: s.bytes };
        self.shards.iter().map(input).collect()
    }
}

/// A Parquet file itself, or those directly in a folder, by name.
fn parquet_files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
            let file = entry.map_err(Error::io("list", path))?.path();
            let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if file.extension().is_some_and(|e| e == "parquet") && !hidden {
                files.push(file);
            }
        }
        files.sort();
    } else if path.is_file() {
        files.push(path.to_path_buf());
    }
    if files.is_empty() { Err(Error::NoInput { path: path.to_path_buf() }) } else { Ok(files) }
}

fn same_file(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    whole(a) == whole(b)
}

fn shard_at(file: &Path, table: &str, cache: &mut DigestCache) -> Result<UpstreamShard> {
    Ok(UpstreamShard {
        unit: unit_name(&file.file_stem().unwrap_or_default().to_string_lossy()),
        batch: ARRIVES_LAST,
        index: 0,
        path: file.to_path_buf(),
        schema: table.to_owned(),
        // What is no Parquet is an error where it is read.
        rows: ShardReader::open_any(file).map_or(0, |reader| reader.rows()),
        bytes: std::fs::metadata(file).map_err(Error::io("read", file))?.len(),
        digest: cache.digest(file)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_visible_parquet_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = StageContext { config_dir: dir.path().into(), ..StageContext::for_tests(&dir.path().join("run"), "shard") };
        let folder = dir.path().join("in");
        std::fs::create_dir(&folder).unwrap();
        let find = || TableInputs::find(&ctx, &["in".to_owned()], "tokens");
        assert!(matches!(find().unwrap_err(), Error::NoInput { .. }));
        for name in ["b.parquet", "a.parquet", ".c.parquet", "d.txt"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        let found = find().unwrap();
        assert_eq!(found.plan_inputs().iter().map(|i| i.unit.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(!ctx.run.path().exists(), "looking creates nothing");
        let twice = TableInputs::find(&ctx, &["in".to_owned(), "in/a.parquet".to_owned()], "tokens").unwrap_err();
        assert!(matches!(twice, Error::DuplicateUnit { .. }), "{twice}");

        // Another folder with a file of the same name.
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("a.parquet"), "a").unwrap();
        let units = |inputs: &[&str]| {
            let inputs: Vec<String> = inputs.iter().map(|input| (*input).to_owned()).collect();
            TableInputs::find(&ctx, &inputs, "tokens").map(|found| found.plan_inputs().into_iter().map(|i| i.unit).collect::<Vec<_>>())
        };
        let both = units(&["in", "other"]).unwrap();
        assert_eq!(both[..2], ["a", "b"], "the first stay what they were");
        assert!(both[2].starts_with("a-") && both[2].len() == 10, "{both:?}");
        assert_eq!(units(&["other"]).unwrap(), ["a"]);
        assert!(matches!(units(&["in", "other", "other"]), Err(Error::DuplicateUnit { .. })));
    }
}
