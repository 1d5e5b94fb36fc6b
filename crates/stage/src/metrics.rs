//! `metrics.jsonl`: scalars over time, one JSON object a line with `step` and the named values.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

/// Appends to a stage's `metrics.jsonl`; clones share the file.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Option<Arc<Mutex<File>>>);

impl Metrics {
    /// Opens the file for appending, creating its directory.
    ///
    /// # Errors
    /// When the directory or file cannot be opened.
    pub fn open(path: &Path) -> handoff::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(handoff::Error::io("create", dir))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(handoff::Error::io("open", path))?;
        Ok(Self(Some(Arc::new(Mutex::new(file)))))
    }

    /// Metrics that go nowhere, for tests.
    pub fn none() -> Self {
        Self(None)
    }

    /// Appends one line: `{"step": …, "train/loss": …}`. Values that are not finite become `null`.
    pub fn log(&self, step: u64, values: &[(&str, f64)]) {
        let Some(file) = &self.0 else { return };
        let mut map = Map::new();
        map.insert("step".into(), step.into());
        for (name, value) in values {
            map.insert((*name).into(), serde_json::Number::from_f64(*value).map_or(Value::Null, Value::Number));
        }
        let line = format!("{}\n", Value::Object(map));
        if let Ok(mut file) = file.lock()
            && let Err(e) = file.write_all(line.as_bytes())
        {
            tracing::warn!(error = %e, "cannot append to metrics.jsonl");
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
}
