//! Exit codes, and errors as a person reads them.

use std::error::Error;
use std::fmt;
use std::io::Write;

use handoff::Error as HandoffError;

/// Exit code of a stage binary and of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: done.
    Done = 0,
    /// 1: the stage failed; what was finished before is kept.
    Failed = 1,
    /// 2: bad usage or configuration; nothing was touched.
    Usage = 2,
    /// 3: the output of the stage before is missing or invalid.
    Upstream = 3,
    /// 130: interrupted; everything finished so far is saved, run the same command again to go on.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// What a crate's error says beyond its text: how the process ends, and what mends it.
pub trait Failure: Error + Send + Sync + 'static {
    /// Exit code; [`Exit::Failed`] unless said otherwise.
    fn exit(&self) -> Exit {
        Exit::Failed
    }

    /// One line that says what to do, with the command where there is one.
    fn hint(&self) -> Option<String> {
        None
    }
}

impl Failure for HandoffError {
    fn exit(&self) -> Exit {
        match self {
            HandoffError::Vanished { .. } | HandoffError::NoInput { .. } | HandoffError::DuplicateUnit { .. } => Exit::Usage,
            e if e.is_upstream() => Exit::Upstream,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        HandoffError::hint(self)
    }
}

/// Any error a stage ends with.
#[derive(Debug)]
pub struct StageError {
    exit: Exit,
    hint: Option<String>,
    inner: Box<dyn Error + Send + Sync>,
}

impl StageError {
    /// An error from a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, hint: None, inner: message.into().into() }
    }

    /// The error of a cancelled stage.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted; what was finished is saved").with_hint("run the same command again to go on")
    }

    /// Replaces the hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What mends it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The causes below the message itself, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut at = self.inner.source();
        while let Some(e) = at {
            out.push(e.to_string());
            at = e.source();
        }
        out
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<E: Failure> From<E> for StageError {
    fn from(e: E) -> Self {
        Self { exit: e.exit(), hint: e.hint(), inner: Box::new(e) }
    }
}

/// Prints an error with its causes and its hint to stderr.
pub fn print_error(error: &StageError) {
    let mut text = format!("error: {error}\n");
    for cause in error.causes() {
        text += &format!("  caused by: {cause}\n");
    }
    if let Some(hint) = error.hint() {
        text += &format!("\nhint: {hint}\n");
    }
    // Nothing sensible is left to do when stderr is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_error_keeps_its_cause_hint_and_code() {
        let path = std::path::Path::new("/nowhere/00000.parquet");
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let e: StageError = HandoffError::io("open", path)(source).into();
        assert_eq!((e.exit(), e.causes().len()), (Exit::Failed, 1));
        let e: StageError = HandoffError::UpstreamMissing { stage: "tokenize".into(), path: path.into() }.into();
        assert_eq!(e.exit(), Exit::Upstream);
        assert!(e.hint().unwrap().contains("tokenize"));
    }
}
