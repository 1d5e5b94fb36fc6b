//! The table at the end: what each stage did and where to look next.

use std::fmt::Write as _;

use stage::stamp::Stamp;

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Stage name.
    pub(crate) stage: String,
    /// What happened to it in this run.
    pub(crate) state: State,
    /// What its last complete run left, if there was one.
    pub(crate) stamp: Option<Stamp>,
}

/// What happened to a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum State {
    /// It ran.
    Ran {
        /// For how long, in seconds.
        secs: f64,
    },
    /// Nothing it depends on had changed.
    UpToDate,
    /// It was not chosen, or came after one that failed.
    NotRun,
    /// It ended with another exit code than 0.
    Failed {
        /// The exit code.
        code: u8,
    },
}

/// The table as text.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<16} {:>6} {:>8} {:>10} {:>9} {:>9} {:>8}  look at",
        "stage", "done", "skipped", "rows", "rejected", "MB", "seconds"
    );
    for line in lines {
        let (done, skipped) = match (&line.stamp, line.state) {
            (Some(s), State::Ran { .. }) => (s.report.inputs_done.to_string(), s.report.inputs_skipped.to_string()),
            (Some(s), State::UpToDate) => ("0".into(), (s.report.inputs_done + s.report.inputs_skipped).to_string()),
            _ => ("–".into(), "–".into()),
        };
        let (rows, rejected, megabytes) = line.stamp.as_ref().map_or_else(
            || ("–".into(), "–".into(), "–".into()),
            |s| (grouped(s.report.rows), grouped(s.report.rejected), format!("{:.1}", s.report.bytes_out as f64 / 1e6)),
        );
        let seconds = match line.state {
            State::Ran { secs } => format!("{secs:.1}"),
            State::UpToDate => "0.0".into(),
            State::NotRun | State::Failed { .. } => "–".into(),
        };
        let look = match line.state {
            State::Failed { code } => format!("failed, exit code {code}"),
            State::NotRun if line.stamp.is_none() => "not run".into(),
            _ => line.stamp.as_ref().and_then(|s| s.report.look.first().cloned()).unwrap_or_default(),
        };
        let row = format!("{:<16} {done:>6} {skipped:>8} {rows:>10} {rejected:>9} {megabytes:>9} {seconds:>8}  {look}", line.stage);
        let _ = writeln!(out, "{}", row.trim_end());
    }
    out
}

/// `1234567` as `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use stage::Report;

    #[test]
    fn every_state_has_its_line() {
        let stamp = |report| {
            let seen = stage::stamp::look(std::path::Path::new("/nowhere"));
            Stamp {
                stage: String::new(),
                stated_digest: handoff::Digest::of_bytes(b""),
                binary: seen,
                watch: vec![],
                outputs: vec![],
                report,
                wall_secs: 9.0,
                finished_unix_secs: 0,
            }
        };
        let report = Report {
            inputs_done: 2,
            inputs_skipped: 3,
            rows: 12_345,
            bytes_out: 2_500_000,
            look: vec!["runs/t/shard".into(), "other".into()],
            ..Report::default()
        };
        let line = |stage: &str, state, stamp| Line { stage: stage.into(), state, stamp };
        let text = table(&[
            line("crawl-clean", State::Ran { secs: 1.25 }, Some(stamp(report.clone()))),
            line("tokenize", State::UpToDate, Some(stamp(report))),
            line("shard", State::Failed { code: 3 }, None),
            line("pretrain", State::NotRun, None),
        ]);
        let words: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["crawl-clean", "2", "3", "12,345", "0", "2.5", "1.2", "runs/t/shard"]);
        assert_eq!(words[2], ["tokenize", "0", "5", "12,345", "0", "2.5", "0.0", "runs/t/shard"]);
        assert!(text.lines().nth(3).unwrap().ends_with("failed, exit code 3"));
        assert!(text.lines().nth(4).unwrap().ends_with("not run"));
    }
}
