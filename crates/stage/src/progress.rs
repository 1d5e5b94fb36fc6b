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
            // The message takes what is left of the line, so that a bar never wraps.
            let template = format!("{{prefix}} {{bar:12}} {{human_pos}}/{{human_len}} {unit}  {{elapsed}}<{{eta}}  {{wide_msg}}");
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
            first: 0,
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
    /// Where it began: what was done before took no time of this process.
    first: u64,
    start: Instant,
    last: Instant,
    message: String,
}

impl Plain {
    fn print(&self, position: u64) {
        eprint_line(&self.line(position, self.start.elapsed()));
    }

    /// Counts, time gone and, until the end, time to go as the bar has them, then the message.
    fn line(&self, position: u64, elapsed: Duration) -> String {
        let (done, left) = (position.saturating_sub(self.first), self.total.saturating_sub(position));
        let to_go =
            if done > 0 && left > 0 { format!("<{}", whole_secs(elapsed.mul_f64(left as f64 / done as f64))) } else { String::new() };
        let Self { prefix, total, unit, message, .. } = self;
        let line = format!("{prefix} {position}/{total} {unit}  {}{to_go}  {message}", whole_secs(elapsed));
        line.trim_end().to_owned()
    }
}

/// As `1h05m`, `3m20s` or `9s`.
fn whole_secs(time: Duration) -> String {
    let secs = time.as_secs_f64().round() as u64;
    match secs {
        3600.. => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
        60.. => format!("{}m{:02}s", secs / 60, secs % 60),
        _ => format!("{secs}s"),
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
        if let Ok(mut plain) = self.plain.lock()
            && let Some(plain) = plain.as_mut()
        {
            plain.first = position;
        }
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

    /// 80 columns that remember what was written on them.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<String>>>);

    impl indicatif::TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push(text.to_owned());
            Ok(())
        }

        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_fits_the_terminal_and_a_plain_line_says_the_same() {
        let terminal = Terminal::default();
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let progress = Progress { shown: Shown::Bars, stage: "pretrain".to_owned(), multi };
        let bar = progress.bar("train", 10_000, "steps");
        bar.set_position(1234);
        bar.set_message("loss 3.2109  lr 3.00e-3  grad norm 0.412  22709 tokens/s  MFU 41 %  3 skipped  12.3 GB");
        bar.inc(1);
        bar.bar.force_draw();
        let written = terminal.0.lock().unwrap().clone();
        assert!(written.iter().all(|text| text.chars().count() <= 80), "{written:?}");
        let shows = |part: &str| written.iter().any(|text| text.contains(part));
        assert!(shows("1,235/10,000 steps") && shows("loss 3.2109  lr"), "{written:?}");

        let plain = |first| Plain {
            prefix: "pretrain train".to_owned(),
            unit: "steps".to_owned(),
            total: 100,
            first,
            start: Instant::now(),
            last: Instant::now(),
            message: "loss 3.2109".to_owned(),
        };
        let line = |first, position| plain(first).line(position, Duration::from_secs(30));
        assert_eq!(line(0, 50), "pretrain train 50/100 steps  30s<30s  loss 3.2109");
        assert_eq!(line(40, 50), "pretrain train 50/100 steps  30s<2m30s  loss 3.2109", "what was done before took no time");
        assert_eq!(line(40, 100), "pretrain train 100/100 steps  30s  loss 3.2109");
        assert_eq!(line(40, 40), "pretrain train 40/100 steps  30s  loss 3.2109");
        assert_eq!(whole_secs(Duration::from_secs(3900)), "1h05m");
    }
}
