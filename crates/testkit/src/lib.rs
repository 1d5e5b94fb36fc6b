//! Development only: run the built binaries in a temporary directory and compare what they leave.
//!
//! The tests of this crate watch over the workspace as a whole: layering, house rules, and the chain from crawl to answers.
#![expect(clippy::unwrap_used, reason = "a test harness fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A built binary of the workspace, beside the running test.
///
/// # Panics
/// When it has not been built: `make test` builds all binaries first.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "`{}` is not built; `make test` builds it", path.display());
    path
}

/// A finished command, printed whole when an expectation fails.
#[derive(Debug)]
pub struct Ran {
    /// The command line.
    pub command: String,
    /// Its working directory.
    pub dir: PathBuf,
    /// Status and both streams.
    pub output: Output,
}

impl Ran {
    /// Exit code; -1 after a signal.
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// Standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Expects an exit code.
    ///
    /// # Panics
    /// With the command, its directory and both streams when it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(
            self.code() == code,
            "expected exit code {code}, got {}\ncommand: {}\nin: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code(),
            self.command,
            self.dir.display(),
            self.stdout(),
            self.stderr()
        );
        self
    }
}

/// Runs a binary of the workspace in a directory, with colours off and one torch thread.
pub fn run(dir: &Path, name: &str, args: &[&str]) -> Ran {
    let mut command = Command::new(binary(name));
    command.args(args).current_dir(dir).env("NO_COLOR", "1").env("OMP_NUM_THREADS", "1").env_remove("RUST_LOG");
    let output = command.output().unwrap();
    Ran { command: format!("{name} {}", args.join(" ")), dir: dir.to_path_buf(), output }
}

/// Commits `output` as the only one of unit `name`, as the stage of `dir` would have.
pub fn commit_unit(dir: &handoff::StageDir, name: &str, (batch, index): (u32, u32), output: handoff::OutputFile) {
    let config_digest = handoff::Digest::of_bytes(b"config");
    let key = handoff::UnitKey { input_digest: output.digest, config_digest, format_version: 1 };
    let (outputs, rejected, counts) = (vec![output], Vec::new(), BTreeMap::new());
    let entry = handoff::UnitEntry { unit: name.into(), batch, index, key, outputs, rejected, counts, wall_secs: 0.0 };
    handoff::Manifest::load(dir).unwrap().commit(entry).unwrap();
}

/// Digest of every file below a directory, by relative path; hidden files are left out.
pub fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut stack = vec![dir.to_path_buf()];
    while let Some(at) = stack.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
                continue;
            }
            if path.is_dir() {
                stack.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                out.insert(name, handoff::Digest::of_file(&path).unwrap().to_string());
            }
        }
    }
    out
}
