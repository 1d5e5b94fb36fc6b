//! `metrics.jsonl`: scalars over time, one JSON object a line with `step` and the named values.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

/// A file that records are appended to, for people to look at: work goes on where that fails, as on a full disk. A record is there
/// as a whole or not at all, so that the ones after it can be read, and a file that cannot be written is said once.
#[derive(Debug)]
pub struct Records {
    file: File,
    path: PathBuf,
    /// Bytes of whole records.
    len: u64,
    /// Records lost since the last one that was written.
    lost: u64,
}

impl Records {
    /// Opens the file for appending, creating it and its directory.
    ///
    /// # Errors
    /// When the directory or file cannot be opened.
    pub fn open(path: &Path) -> handoff::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(handoff::Error::io("create", dir))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(handoff::Error::io("open", path))?;
        let len = file.metadata().map_err(handoff::Error::io("read", path))?.len();
        Ok(Self { file, path: path.to_owned(), len, lost: 0 })
    }

    /// Appends a record; false where it could not be written.
    pub fn append(&mut self, record: &[u8]) -> bool {
        let path = self.path.display();
        match self.file.write_all(record) {
            Ok(()) => {
                self.len += record.len() as u64;
                if self.lost > 0 {
                    tracing::info!("`{path}` is written again; {} record(s) before are lost", self.lost);
                }
                self.lost = 0;
                true
            }
            Err(error) => {
                // What was written of it would be read as the beginning of the next one.
                let cut = self.file.set_len(self.len);
                if self.lost == 0 {
                    tracing::warn!(%error, "cannot write `{path}`; its records are lost until that is possible again");
                }
                if let Err(error) = cut {
                    tracing::debug!(%error, "cannot cut `{path}` to its whole records");
                }
                self.lost += 1;
                false
            }
        }
    }
}

/// Appends to a stage's `metrics.jsonl`; clones share the file.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Option<Arc<Mutex<Records>>>);

impl Metrics {
    /// Opens the file for appending, creating its directory.
    ///
    /// # Errors
    /// When the directory or file cannot be opened.
    pub fn open(path: &Path) -> handoff::Result<Self> {
        Ok(Self(Some(Arc::new(Mutex::new(Records::open(path)?)))))
    }

    /// Metrics that go nowhere, for tests.
    pub fn none() -> Self {
        Self(None)
    }

    /// Appends one line: `{"step": …, "train/loss": …}`; see [`Records`] for where that fails. Values that are not finite become `null`.
    pub fn log(&self, step: u64, values: &[(&str, f64)]) {
        let Some(file) = &self.0 else { return };
        let mut map = Map::new();
        map.insert("step".into(), step.into());
        for (name, value) in values {
            map.insert((*name).into(), serde_json::Number::from_f64(*value).map_or(Value::Null, Value::Number));
        }
        let line = format!("{}\n", Value::Object(map));
        if let Ok(mut file) = file.lock() {
            file.append(line.as_bytes());
        }
    }
}

/// Drops the lines of `metrics.jsonl` whose step is above `step`: a resumed training writes them again.
///
/// # Errors
/// When the file cannot be read or replaced.
pub fn truncate_after(path: &Path, step: u64) -> handoff::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(handoff::Error::io("read", path))?;
    let keep = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|v| v["step"].as_u64().is_some_and(|s| s <= step));
    let kept: String = text.lines().filter(keep).flat_map(|l| [l, "\n"]).collect();
    if kept.len() == text.len() { Ok(()) } else { handoff::atomic::write(path, kept.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_later_ones_can_be_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x/metrics.jsonl");
        let metrics = Metrics::open(&path).unwrap();
        metrics.log(1, &[("train/loss", 2.5), ("bad", f64::NAN)]);
        metrics.log(2, &[("train/loss", 2.0)]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next().unwrap(), r#"{"step":1,"train/loss":2.5,"bad":null}"#);
        truncate_after(&path, 1).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_lost_as_a_whole_and_what_comes_later_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut records = Records::open(&path).unwrap();
        assert!(records.append(b"one\n"));
        // As a disk that fills up within the record: half of it is there.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"tw").unwrap();
        let writable = std::mem::replace(&mut records.file, File::open(&path).unwrap());
        assert!(!records.append(b"two\n") && !records.append(b"three\n"));
        assert_eq!(records.lost, 2);
        records.file = writable;
        records.file.set_len(records.len).unwrap();
        assert!(records.append(b"four\n"));
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), records.lost), ("one\nfour\n", 0));
        // One that is opened again goes on at the end.
        assert!(Records::open(&path).unwrap().append(b"five\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\nfour\nfive\n");
    }
}
