//! One subscriber with two layers: human lines on stderr, everything from debug on in `log.jsonl`.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::{Progress, StageError};

/// Writes lines through the progress bars, so that neither tears the other.
#[derive(Clone)]
struct BarSafe(Progress);

impl Write for BarSafe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write_all(buf)).map(|()| buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for BarSafe {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Sets up logging; `verbosity` is the count of `-v` minus the count of `-q`. `RUST_LOG` overrides it.
///
/// # Errors
/// When `log.jsonl` cannot be opened.
pub(crate) fn init(verbosity: i8, color: bool, progress: &Progress, log_jsonl: Option<&Path>) -> Result<(), StageError> {
    let level = match verbosity {
        i8::MIN..=-1 => "error",
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let human = tracing_subscriber::fmt::layer()
        .with_writer(BarSafe(progress.clone()))
        .with_ansi(color)
        .with_target(false)
        .without_time()
        .with_filter(filter);
    let file = match log_jsonl {
        Some(path) => {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir).map_err(handoff::Error::io("create", dir))?;
            }
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(handoff::Error::io("open", path))?;
            // HTTP libraries print headers at debug level; keys must never reach a log.
            let ours = Targets::new()
                .with_default(LevelFilter::DEBUG)
                .with_target("ureq", LevelFilter::WARN)
                .with_target("ureq_proto", LevelFilter::WARN)
                .with_target("rustls", LevelFilter::WARN);
            Some(
                tracing_subscriber::fmt::layer()
                    .json()
                    .with_current_span(true)
                    .with_span_list(false)
                    .with_writer(Mutex::new(file))
                    .with_filter(ours),
            )
        }
        None => None,
    };
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(human).with(file).try_init();
    Ok(())
}

/// Whether stderr gets colours: `--color`, then `NO_COLOR`, `FORCE_COLOR`, then whether it is a terminal.
pub(crate) fn use_color(choice: crate::ColorChoice) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    match choice {
        crate::ColorChoice::Always => true,
        crate::ColorChoice::Never => false,
        crate::ColorChoice::Auto if set("NO_COLOR") => false,
        crate::ColorChoice::Auto if set("FORCE_COLOR") => true,
        crate::ColorChoice::Auto => io::stderr().is_terminal(),
    }
}
