//! SIGINT, SIGTERM and SIGHUP: the first asks for a clean stop, a later one ends the process at once, which loses nothing that was
//! committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::StageError;

/// Says whether a clean stop was asked for; stages poll it between units or steps.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nothing has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a clean stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// True once a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error to return with `?` once a stop was asked for.
    ///
    /// # Errors
    /// [`StageError::interrupted`], exit code 130.
    pub fn check(&self) -> Result<(), StageError> {
        if self.is_cancelled() { Err(StageError::interrupted()) } else { Ok(()) }
    }
}

/// Signals that follow the first one within this time are the same request: `timeout`, shells and runners often send
/// one to the process and again to its group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Connects SIGINT, SIGTERM, SIGUSR1 (a scheduler's early warning) and SIGHUP (the terminal is gone) to a token; a second request
/// ends the process with 130. A hangup that is ignored when the process starts, as `nohup` has it, stays ignored.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn install(token: &CancelToken) -> std::io::Result<()> {
    let hangup = (!ignores_hangup()).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1].into_iter().chain(hangup))?;
    let token = token.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            token.cancel();
            // A shell and the system may each tell of the same hangup, whenever they get to it.
            if first.get_or_insert_with(Instant::now).elapsed() >= SAME_REQUEST && signal != SIGHUP {
                #[expect(clippy::exit, reason = "the person asked a second time: not even the work in hand is finished")]
                std::process::exit(130);
            }
        }
    })?;
    Ok(())
}

/// Whether this process was started so that it ignores SIGHUP, as `nohup` does; ask before handlers are installed.
pub fn ignores_hangup() -> bool {
    ignores(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), SIGHUP)
}

/// Whether a process with this `/proc/<pid>/status` ignores `signal`. Where there is no such file it is not known, and left alone.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        // As Linux writes it under `nohup`: bit 0 is SIGHUP, bit 12 SIGPIPE.
        let status = |mask: &str| format!("Name:\tpretrain\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert!(ignores(&status("0000000000001001"), SIGHUP));
        assert!(!ignores(&status("0000000000001000"), SIGHUP) && !ignores(&status("0000000000000001"), SIGTERM));
        assert!(ignores("", SIGHUP), "a hangup that may be ignored is not caught");
    }

    #[test]
    fn two_signals_at_once_are_one_request() {
        let token = CancelToken::new();
        install(&token).unwrap();
        for _ in 0..2 {
            signal_hook::low_level::raise(SIGUSR1).unwrap();
        }
        let start = Instant::now();
        while !token.is_cancelled() && start.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        // The second one would have ended this test's process.
        assert!(token.check().unwrap_err().exit() == crate::Exit::Interrupted);
    }
}
