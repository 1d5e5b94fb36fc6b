//! SIGINT and SIGTERM: the first asks for a clean stop, the second ends the process at once, which loses nothing that was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

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

/// Connects SIGINT, SIGTERM and SIGUSR1 (a scheduler's early warning) to a token; the second signal ends the process with 130.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn install(token: &CancelToken) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        // Order matters: the shutdown is armed by an earlier signal, so it is looked at before this one arms it.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&token.0))?;
        signal_hook::flag::register(signal, Arc::clone(&token.0))?;
    }
    Ok(())
}
