//! What the last complete run of a stage saw, so that the runner can tell in a millisecond whether it is stale
//! without starting it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use handoff::{Digest, DigestBuilder, RunDir, atomic};
use serde::{Deserialize, Serialize};

use crate::Report;

/// A file or folder as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Absolute path.
    pub path: PathBuf,
    /// Digest over names, sizes and times of change of the file, or of all files below the folder.
    pub state: Digest,
}

/// The record of a complete run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stamp {
    /// Stage name.
    pub stage: String,
    /// What file and `--set` said about the stage; see [`crate::PipelineFile::stage_digest`].
    pub stated_digest: Digest,
    /// The binary that ran.
    pub binary: Seen,
    /// Everything it read outside its directory.
    pub watch: Vec<Seen>,
    /// What it left.
    pub outputs: Vec<Seen>,
    /// What it reported.
    pub report: Report,
    /// How long it took, in seconds.
    pub wall_secs: f64,
    /// When it ended, in seconds since 1970.
    pub finished_unix_secs: u64,
}

/// State of a file or folder now; an absent one has a state too.
pub fn look(path: &Path) -> Seen {
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut digest = DigestBuilder::new();
    let mut stack = vec![full.clone()];
    while let Some(at) = stack.pop() {
        let Ok(meta) = fs::metadata(&at) else {
            digest = digest.field("absent", at.as_os_str().as_encoded_bytes());
            continue;
        };
        if meta.is_dir() {
            let mut names: Vec<PathBuf> = fs::read_dir(&at).into_iter().flatten().flatten().map(|e| e.path()).collect();
            // Hidden names are locks and temporary files.
            names.retain(|p| !p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")));
            names.sort();
            stack.extend(names.into_iter().rev());
        } else {
            let mtime = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
            digest = digest
                .field("name", at.as_os_str().as_encoded_bytes())
                .field("size", meta.len().to_le_bytes())
                .field("mtime", mtime.to_le_bytes());
        }
    }
    Seen { path: full, state: digest.finish() }
}

/// Reads a stage's stamp; an unreadable one counts as none.
pub fn read(run: &RunDir, stage: &str) -> Option<Stamp> {
    serde_json::from_slice(&fs::read(run.stage(stage).stamp_json()).ok()?).ok()
}

/// Why a stage has to run again, or `None` if nothing it depends on has changed.
pub fn stale(run: &RunDir, stage: &str, stated_digest: Digest, binary: &Path) -> Option<String> {
    let Some(stamp) = read(run, stage) else { return Some("never finished".into()) };
    if stamp.stated_digest != stated_digest {
        return Some("its configuration changed".into());
    }
    if look(binary) != stamp.binary {
        return Some("its binary changed".into());
    }
    let changed = |seen: &&Seen| look(&seen.path) != **seen;
    if let Some(seen) = stamp.watch.iter().find(changed) {
        return Some(format!("`{}` changed", seen.path.display()));
    }
    stamp.outputs.iter().find(changed).map(|seen| format!("its own `{}` changed", seen.path.display()))
}

/// Writes the stamp of a complete run.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    run: &RunDir,
    stage: &str,
    stated_digest: Digest,
    variants: &[String],
    report: &Report,
    wall_secs: f64,
) -> handoff::Result<()> {
    let binary = std::env::current_exe().unwrap_or_default();
    let mut outputs = Vec::new();
    let dirs = std::iter::once(run.stage(stage)).chain(variants.iter().map(|v| run.variant(stage, v)));
    for dir in dirs {
        let candidates = [
            dir.manifest_json(),
            dir.manifest_dir(),
            dir.data(),
            dir.tokenizer_dir(),
            dir.model(),
            dir.adapter(),
            dir.results_json(),
            dir.report_html(),
        ];
        outputs.extend(candidates.iter().filter(|p| p.exists()).map(|p| look(p)));
    }
    let mut watch: Vec<Seen> = report.watch.iter().map(|p| look(p)).collect();
    watch.dedup();
    let stamp = Stamp {
        stage: stage.to_owned(),
        stated_digest,
        binary: look(&binary),
        watch,
        outputs,
        report: report.clone(),
        wall_secs,
        finished_unix_secs: std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
    };
    atomic::write_json(&run.stage(stage).stamp_json(), &stamp)
}

/// Removes a stage's stamp, before work that may leave it untrue.
pub fn clear(run: &RunDir, stage: &str) {
    let _ = fs::remove_file(run.stage(stage).stamp_json());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path().join("run"));
        let input = dir.path().join("in");
        fs::create_dir_all(&input).unwrap();
        fs::create_dir_all(run.stage("shard").data()).unwrap();
        let digest = Digest::of_bytes(b"c");
        let exe = std::env::current_exe().unwrap();
        let check = || stale(&run, "shard", digest, &exe);
        assert_eq!(check().as_deref(), Some("never finished"));
        let report = Report { watch: vec![input.clone()], ..Report::default() };
        write(&run, "shard", digest, &[], &report, 1.0).unwrap();
        assert_eq!(check(), None);
        assert!(stale(&run, "shard", Digest::of_bytes(b"d"), &exe).unwrap().contains("configuration"));
        assert!(stale(&run, "shard", digest, &input).unwrap().contains("binary"));
        fs::write(input.join("new.warc"), "x").unwrap();
        assert!(check().unwrap().contains("in` changed"));
        write(&run, "shard", digest, &[], &report, 1.0).unwrap();
        fs::write(run.stage("shard").data_shard(0), "x").unwrap();
        assert!(check().unwrap().contains("its own"));
    }
}
