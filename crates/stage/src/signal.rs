//! SIGINT and SIGTERM: the first asks for a clean stop, a later one ends the process at once, which loses nothing that was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
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

/// Connects SIGINT, SIGTERM and SIGUSR1 (a scheduler's early warning) to a token; a second request ends the process with 130.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn install(token: &CancelToken) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    let token = token.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first: Option<Instant> = None;
        for _ in signals.forever() {
            token.cancel();
            if first.get_or_insert_with(Instant::now).elapsed() >= SAME_REQUEST {
                #[expect(clippy::exit, reason = "the person asked a second time: not even the work in hand is finished")]
                std::process::exit(130);
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
