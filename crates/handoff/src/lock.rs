//! One process per stage and worker.
//!
//! The lock is a file created exclusively that names its holder.
//! A lock whose process is gone from this host is taken over.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, StageDir};

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    since_unix_secs: u64,
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct StageLock {
    path: PathBuf,
}

impl StageLock {
    /// Takes the lock of `worker` on a stage.
    ///
    /// # Errors
    /// [`Error::Locked`] names the holder; other errors when the file cannot be made.
    pub fn acquire(dir: &StageDir, worker: usize) -> Result<Self> {
        fs::create_dir_all(dir.path()).map_err(Error::io("create", dir.path()))?;
        let path = dir.lock(worker);
        for _ in 0..3 {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    let since_unix_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                    let holder = Holder { pid: std::process::id(), host: host_name(), since_unix_secs };
                    let text = serde_json::to_string(&holder).unwrap_or_default();
                    file.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
                    return Ok(Self { path });
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => match holder_of(&path) {
                    Some(holder) if !is_gone(&holder) => {
                        let holder = format!("process {} on {} since Unix time {}", holder.pid, holder.host, holder.since_unix_secs);
                        return Err(Error::Locked { path, holder });
                    }
                    // Left by a killed process, perhaps before it wrote its name.
                    _ => {
                        let _ = fs::remove_file(&path);
                    }
                },
                Err(e) => return Err(Error::io("create", &path)(e)),
            }
        }
        Err(Error::Locked { path, holder: "a process that keeps taking it".into() })
    }
}

impl Drop for StageLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn holder_of(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn is_gone(holder: &Holder) -> bool {
    holder.host == host_name() && Path::new("/proc/self").exists() && !Path::new("/proc").join(holder.pid.to_string()).exists()
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunDir;

    #[test]
    fn a_held_lock_names_its_holder_and_a_dead_one_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("shard");
        let held = StageLock::acquire(&stage, 0).unwrap();
        let error = StageLock::acquire(&stage, 0).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        StageLock::acquire(&stage, 1).unwrap();
        drop(held);
        // No process has the largest number Linux can give.
        let dead = Holder { pid: 4_194_304 + 1, host: host_name(), since_unix_secs: 0 };
        fs::write(stage.lock(0), serde_json::to_string(&dead).unwrap()).unwrap();
        StageLock::acquire(&stage, 0).unwrap();
    }
}
