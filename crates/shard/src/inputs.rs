//! Which token shards there are: committed outputs of a stage, or Parquet files at a path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use handoff::manifest::unit_name;
use handoff::{DigestCache, Upstream, UpstreamShard};
use stage::{InputRef, StageContext};

use crate::Error;

/// Batch of shards that come from a path: they arrive when they are first seen, after everything of this run's stages.
const ARRIVES_LAST: u32 = u32::MAX;

/// The shards that `inputs` name, in ingest order, what was read to find them, and where a tokenizer may be.
pub(crate) struct Inputs {
    pub(crate) shards: Vec<UpstreamShard>,
    pub(crate) watch: Vec<PathBuf>,
    pub(crate) tokenizer_dir: Option<PathBuf>,
}

impl Inputs {
    /// Finds them, touching nothing.
    pub(crate) fn find(ctx: &StageContext, inputs: &[String]) -> Result<Self, Error> {
        let mut found = Self { shards: Vec::new(), watch: Vec::new(), tokenizer_dir: None };
        let mut cache = DigestCache::open(&ctx.run);
        for input in inputs {
            match ctx.resolve(input) {
                InputRef::Stage(stage) => {
                    let upstream = Upstream::open(&ctx.run, &stage, "tokens")?;
                    found.watch.push(upstream.dir().manifest_dir());
                    found.tokenizer_dir.get_or_insert_with(|| upstream.dir().tokenizer_dir());
                    found.shards.extend(upstream.shards().iter().cloned());
                }
                InputRef::Path(path) => {
                    for file in parquet_files(&path)? {
                        found.shards.push(shard_at(&file, &mut cache)?);
                    }
                    found.watch.push(path);
                }
            }
        }
        let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
        for shard in &found.shards {
            if let Some(first) = seen.insert(&shard.unit, &shard.path) {
                return Err(Error::DuplicateUnit { unit: shard.unit.clone(), first: first.into(), second: shard.path.clone() });
            }
        }
        Ok(found)
    }
}

/// A Parquet file itself, or those directly in a folder, by name.
fn parquet_files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(io)? {
            let file = entry.map_err(io)?.path();
            let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if file.extension().is_some_and(|e| e == "parquet") && !hidden {
                files.push(file);
            }
        }
        files.sort();
    } else if path.is_file() {
        files.push(path.to_path_buf());
    }
    if files.is_empty() {
        return Err(Error::NoInput { path: path.to_path_buf() });
    }
    Ok(files)
}

fn shard_at(file: &Path, cache: &mut DigestCache) -> Result<UpstreamShard, Error> {
    let bytes = std::fs::metadata(file).map_err(|source| Error::Io { path: file.to_path_buf(), source })?.len();
    Ok(UpstreamShard {
        unit: unit_name(&file.file_stem().unwrap_or_default().to_string_lossy()),
        batch: ARRIVES_LAST,
        index: 0,
        path: file.to_path_buf(),
        schema: "tokens".into(),
        rows: 0,
        bytes,
        digest: cache.digest(file)?,
    })
}
