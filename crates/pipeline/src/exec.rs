//! Running one stage binary: its output goes straight to ours, signals that we get go straight to it.
//!
//! The stage gets a process group of its own, so that Ctrl-C on a terminal reaches it once, from here, and not twice:
//! to a stage the first signal means "finish the unit and save", the second "stop at once".

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::Error;

/// How often a running stage is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Signals that arrived and were not passed on yet.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    pending: Vec<(Signal, Arc<AtomicBool>)>,
    any: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to catch SIGINT, SIGTERM, SIGUSR1 and SIGHUP; a hangup is passed on as SIGTERM, and not at all where it is ignored
    /// from the start (`nohup`).
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub(crate) fn install() -> std::io::Result<Self> {
        let any = Arc::new(AtomicBool::new(false));
        let mut pending = Vec::new();
        let hangup = (!stage::ignores_hangup()).then_some((SIGHUP, Signal::TERM));
        for (caught, passed) in [(SIGINT, Signal::INT), (SIGTERM, Signal::TERM), (SIGUSR1, Signal::USR1)].into_iter().chain(hangup) {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(caught, Arc::clone(&flag))?;
            signal_hook::flag::register(caught, Arc::clone(&any))?;
            pending.push((passed, flag));
        }
        Ok(Self { pending, any })
    }

    /// True once any signal arrived.
    pub(crate) fn seen(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    fn pass_on(&self, child: &Child) {
        for (signal, flag) in &self.pending {
            if flag.swap(false, Ordering::SeqCst)
                && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
                && let Err(e) = kill_process(pid, *signal)
            {
                tracing::warn!(error = %e, pid = child.id(), "cannot pass a signal on to the stage");
            }
        }
    }
}

/// Runs a stage to its end and returns its exit code; 128 + n for a stage that died of signal n.
///
/// With `mute` its stdout is dropped: the stage's stamp keeps the same text.
///
/// # Errors
/// When the binary cannot be started.
pub(crate) fn run(stage: &str, binary: &Path, args: &[OsString], signals: &Signals, mute: bool) -> Result<u8, Error> {
    let start = |source| Error::Start { stage: stage.to_owned(), path: binary.to_owned(), source };
    let stdout = if mute { Stdio::null() } else { Stdio::inherit() };
    let mut child = Command::new(binary).args(args).stdin(Stdio::null()).stdout(stdout).process_group(0).spawn().map_err(start)?;
    loop {
        // The child is reaped only by this very call, so its process id cannot have been given to another one.
        if let Some(status) = child.try_wait().map_err(start)? {
            return Ok(code(status));
        }
        signals.pass_on(&child);
        std::thread::sleep(POLL);
    }
}

/// Runs a stage and returns its exit code and what it wrote to stdout.
///
/// # Errors
/// When the binary cannot be started.
pub(crate) fn capture(stage: &str, binary: &Path, args: &[OsString]) -> Result<(u8, String), Error> {
    let start = |source| Error::Start { stage: stage.to_owned(), path: binary.to_owned(), source };
    let output = Command::new(binary).args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(start)?;
    Ok((code(output.status), String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
