//! Progress: a bar on a terminal, a plain line every few seconds elsewhere, nothing with `-q`.
//!
//! | stderr is a terminal | `-q` | shown |
//! |---|---|---|
//! | yes | no | bar |
//! | no | no | plain lines, at most one every [`PLAIN_EVERY_SECS`] seconds, and a last one |
//! | any | yes | nothing |

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Least time between two plain progress lines, in seconds.
pub(crate) const PLAIN_EVERY_SECS: u64 = 10;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Bars on a terminal.
    Bars,
    /// Plain lines.
    Lines,
    /// Nothing.
    Hidden,
}

/// The table above as a function.
pub(crate) fn decide(is_terminal: bool, quiet: bool) -> Shown {
    match (is_terminal, quiet) {
        (_, true) => Shown::Hidden,
        (true, false) => Shown::Bars,
        (false, false) => Shown::Lines,
    }
}

/// Makes progress bars for a stage.
#[derive(Debug, Clone)]
pub struct Progress {
    shown: Shown,
    stage: String,
    multi: MultiProgress,
}

impl Progress {
    /// Decides by stderr and `quiet`.
    pub fn new(stage: &str, quiet: bool) -> Self {
        let shown = decide(std::io::stderr().is_terminal(), quiet);
        Self { shown, stage: stage.to_owned(), multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()) }
    }

    /// Shows nothing, for tests.
    pub fn hidden() -> Self {
        Self { shown: Shown::Hidden, stage: String::new(), multi: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) }
    }

    /// Starts a bar over `total` `unit`s, such as `pages`.
    pub fn bar(&self, what: &str, total: u64, unit: &str) -> Bar {
        let bar = if self.shown == Shown::Bars {
            let bar = self.multi.add(ProgressBar::new(total));
            let template = format!("{{prefix}} {{bar:24}} {{human_pos}}/{{human_len}} {unit}  {{elapsed}}<{{eta}}  {{msg}}");
            // The template is ours; a mistake in it falls back to the plain style.
            bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌"));
            bar.set_prefix(format!("{} {what}", self.stage));
            bar
        } else {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
        };
        let prefix = format!("{} {what}", self.stage);
        let plain = (self.shown == Shown::Lines).then(|| Plain {
            prefix,
            unit: unit.to_owned(),
            total,
            start: Instant::now(),
            last: Instant::now(),
            message: String::new(),
        });
        Bar { bar, plain: Arc::new(Mutex::new(plain)) }
    }

    /// Writes a line to stderr without tearing a bar.
    pub fn line(&self, text: &str) {
        if self.shown != Shown::Hidden {
            self.multi.suspend(|| eprint_line(text));
        }
    }

    /// Runs `f` while no bar is drawn, so that it may write to stderr.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.multi.suspend(f)
    }
}

fn eprint_line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[derive(Debug)]
struct Plain {
    prefix: String,
    unit: String,
    total: u64,
    start: Instant,
    last: Instant,
    message: String,
}

impl Plain {
    fn print(&self, position: u64) {
        let secs = self.start.elapsed().as_secs_f64();
        eprint_line(format!("{} {position}/{} {} {secs:.0}s {}", self.prefix, self.total, self.unit, self.message).trim_end());
    }
}

/// One bar; clones share it, from any thread.
#[derive(Debug, Clone)]
pub struct Bar {
    bar: ProgressBar,
    plain: Arc<Mutex<Option<Plain>>>,
}

impl Bar {
    /// Moves on by `n`.
    pub fn inc(&self, n: u64) {
        self.bar.inc(n);
        if let Ok(mut plain) = self.plain.lock()
            && let Some(plain) = plain.as_mut()
            && plain.last.elapsed() >= Duration::from_secs(PLAIN_EVERY_SECS)
        {
            plain.last = Instant::now();
            plain.print(self.bar.position());
        }
    }

    /// There is more to do than was thought, or less.
    pub fn adjust_total(&self, by: i64) {
        let changed = |total: u64| total.saturating_add_signed(by);
        self.bar.set_length(changed(self.bar.length().unwrap_or(0)));
        if let Ok(mut plain) = self.plain.lock()
            && let Some(plain) = plain.as_mut()
        {
            plain.total = changed(plain.total);
        }
    }

    /// Goes to a position, for work that was resumed.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        self.bar.reset_eta();
    }

    /// Text after the counts.
    pub fn set_message(&self, message: impl Into<String>) {
        let message = message.into();
        if let Ok(mut plain) = self.plain.lock()
            && let Some(plain) = plain.as_mut()
        {
            plain.message.clone_from(&message);
        }
        self.bar.set_message(message);
    }

    /// Ends the bar; a plain one prints its last line.
    pub fn finish(&self) {
        // Finishing moves it to the end, wherever it was.
        let position = self.bar.position();
        self.bar.finish_and_clear();
        if let Ok(mut plain) = self.plain.lock()
            && let Some(plain) = plain.take()
        {
            plain.print(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        assert_eq!(decide(true, false), Shown::Bars);
        assert_eq!(decide(false, false), Shown::Lines);
        assert_eq!(decide(true, true), Shown::Hidden);
        assert_eq!(decide(false, true), Shown::Hidden);
    }

    #[test]
    fn a_bar_counts_from_many_threads() {
        let bar = Progress::hidden().bar("count", 100, "things");
        std::thread::scope(|s| (0..4).for_each(|_| drop(s.spawn(|| (0..25).for_each(|_| bar.inc(1))))));
        assert_eq!(bar.bar.position(), 100);
        bar.adjust_total(20);
        bar.adjust_total(-50);
        assert_eq!(bar.bar.length(), Some(70));
        bar.finish();
    }
}
