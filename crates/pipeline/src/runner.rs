//! From the file to the last stage.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use handoff::RunDir;
use stage::{ConfigError, Exit, PipelineFile, StageError, stamp};

use crate::exec::{self, Signals};
use crate::summary::{self, Line, State};
use crate::{Args, Error, Failed, refs};

/// The stage whose report is the pipeline's answer.
const LAST_WORD: &str = "eval";

/// What is known before anything runs.
struct Plan<'a> {
    args: &'a Args,
    file: PipelineFile,
    run: RunDir,
    binaries: PathBuf,
    /// All stages of the file, in order.
    order: Vec<String>,
    /// Those chosen on the command line.
    chosen: Vec<String>,
}

/// Why a stage is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Why {
    text: String,
    /// True where only a stage before it makes it stale, so that it cannot say yet what it would do.
    inherited: bool,
}

impl Plan<'_> {
    fn binary(&self, stage: &str) -> PathBuf {
        self.binaries.join(stage)
    }

    /// Why a stage is stale by itself.
    fn stale(&self, stage: &str) -> Option<String> {
        if self.args.common.force {
            return Some("--force".into());
        }
        stamp::stale(&self.run, stage, self.file.stage_digest(stage), &self.binary(stage))
    }

    /// Every chosen stage with the reason to run it, as far as that can be told now.
    fn reasons(&self) -> Vec<(String, Option<Why>)> {
        let mut out: Vec<(String, Option<Why>)> = Vec::new();
        for stage in &self.chosen {
            let references = self.file.references(stage);
            let upstream = out.iter().find(|(s, why)| why.is_some() && references.contains(s)).map(|(s, _)| s.clone());
            let own = self.stale(stage).map(|text| Why { text, inherited: upstream.is_some() });
            let why = own.or_else(|| upstream.map(|s| Why { text: format!("`{s}` will change"), inherited: true }));
            out.push((stage.clone(), why));
        }
        out
    }
}

/// Does what the command line asks for.
pub(crate) fn run(args: &Args) -> Result<(), Failed> {
    let plan = plan(args)?;
    if args.common.print_config {
        return print_config(&plan);
    }
    if args.common.dry_run {
        return dry_run(&plan);
    }
    let start = Instant::now();
    let signals = Signals::install().map_err(Error::Signals)?;
    let mut lines: Vec<Line> = Vec::new();
    let mut ran: Vec<String> = Vec::new();
    let failure = run_stages(&plan, &signals, &mut lines, &mut ran).err();
    for stage in plan.order.iter().filter(|s| !lines.iter().any(|l| l.stage == **s)).cloned().collect::<Vec<_>>() {
        lines.push(Line { stage, state: State::NotRun, stamp: None });
    }
    lines.sort_by_key(|l| plan.order.iter().position(|s| *s == l.stage));
    for line in &mut lines {
        line.stamp = stamp::read(&plan.run, &line.stage);
    }
    say(args, &format!("\n{}", summary::table(&lines)));
    if let Some(failure) = failure {
        return Err(failure);
    }
    if ran.is_empty() {
        say(args, &format!("nothing to do: {} up to date ({:.2} s)\n", up_to_date(&plan.chosen), start.elapsed().as_secs_f64()));
    }
    show_answers(&plan)?;
    advise(&plan, &lines);
    Ok(())
}

fn plan(args: &Args) -> Result<Plan<'_>, Failed> {
    let config = args.config()?;
    let file = PipelineFile::read(&config, &args.common.sets).map_err(StageError::from)?;
    refs::check(&file)?;
    let order = file.order().map_err(StageError::from)?;
    if order.is_empty() {
        return Err(StageError::from(ConfigError::Other(format!("`{}` has no [stage.<name>] table", config.display()))).into());
    }
    let chosen = args.choose(&order, &config)?;
    let run = RunDir::new(args.common.run.clone().unwrap_or_else(|| Path::new("runs").join(&file.run)));
    let own = std::env::current_exe().map_err(Error::OwnPath)?;
    let binaries = own.parent().unwrap_or(Path::new(".")).to_path_buf();
    Ok(Plan { args, file, run, binaries, order, chosen })
}

fn run_stages(plan: &Plan<'_>, signals: &Signals, lines: &mut Vec<Line>, ran: &mut Vec<String>) -> Result<(), Failed> {
    for (i, stage) in plan.chosen.iter().enumerate() {
        let interrupted = |at: &str| Error::Interrupted { at: format!("{at} stage `{stage}`"), again: plan.args.again() };
        if signals.seen() {
            return Err(interrupted("before").into());
        }
        // Asked again for each stage: one that ran but changed nothing leaves the next one up to date.
        let Some(why) = plan.stale(stage) else {
            lines.push(Line { stage: stage.clone(), state: State::UpToDate, stamp: None });
            continue;
        };
        say(plan.args, &format!("[{}/{}] {stage}: {why}\n", i + 1, plan.chosen.len()));
        let start = Instant::now();
        let code = run_one(plan, stage, signals)?;
        if code == 0 {
            ran.push(stage.clone());
            lines.push(Line { stage: stage.clone(), state: State::Ran { secs: start.elapsed().as_secs_f64() }, stamp: None });
            continue;
        }
        lines.push(Line { stage: stage.clone(), state: State::Failed { code }, stamp: None });
        if code == Exit::Interrupted as u8 || signals.seen() {
            let error = interrupted("in");
            return Err(Failed { code: Exit::Interrupted as u8, ..error.into() });
        }
        let after = plan.chosen[i + 1..].join(", ");
        let after = if after.is_empty() { "none".into() } else { after };
        return Err(Error::Stage { stage: stage.clone(), code, after, again: plan.args.again() }.into());
    }
    Ok(())
}

/// Runs a stage. The last word's table is shown after the summary, from its stamp; a run with `--limit` leaves no stamp.
fn run_one(plan: &Plan<'_>, stage: &str, signals: &Signals) -> Result<u8, Error> {
    let mute = stage == LAST_WORD && plan.args.common.limit.is_none();
    exec::run(stage, &plan.binary(stage), &plan.args.for_stage(), signals, mute)
}

/// The answers table that eval left, also when nothing was stale.
fn show_answers(plan: &Plan<'_>) -> Result<(), Failed> {
    let asked = plan.chosen.iter().any(|s| s == LAST_WORD);
    match stamp::read(&plan.run, LAST_WORD).and_then(|s| s.report.text) {
        Some(text) if asked => to_stdout(&format!("\n{}\n", text.trim_end())),
        _ => Ok(()),
    }
}

/// What to run next, where something was left out.
fn advise(plan: &Plan<'_>, lines: &[Line]) {
    let waiting = plan.order.iter().filter(|s| !plan.chosen.contains(s)).find(|s| plan.stale(s).is_some());
    if let Some(stage) = waiting {
        say(plan.args, &format!("next: `{} --from {stage}`\n", plan.args.again()));
    } else if let Some(report) =
        lines.iter().find(|l| l.stage == LAST_WORD).map(|_| plan.run.stage(LAST_WORD).report_html()).filter(|p| p.exists())
    {
        say(plan.args, &format!("open `{}` in a browser\n", report.display()));
    }
}

fn print_config(plan: &Plan<'_>) -> Result<(), Failed> {
    for stage in &plan.chosen {
        let mut arguments = plan.args.for_stage();
        arguments.push("--print-config".into());
        let (code, text) = exec::capture(stage, &plan.binary(stage), &arguments)?;
        if code != 0 {
            return Err(Error::Stage { stage: stage.clone(), code, after: "none".into(), again: plan.args.again() }.into());
        }
        // Each stage prints `run` and `seed`; once is enough.
        let body = text.find("\n[").filter(|_| stage != &plan.chosen[0]).map_or(text.as_str(), |at| &text[at..]);
        to_stdout(body)?;
    }
    Ok(())
}

fn dry_run(plan: &Plan<'_>) -> Result<(), Failed> {
    let reasons = plan.reasons();
    for (stage, why) in &reasons {
        let Some(why) = why else {
            to_stdout(&format!("{stage}: up to date\n"))?;
            continue;
        };
        to_stdout(&format!("{stage}: would run: {}\n", why.text))?;
        if why.inherited {
            continue;
        }
        let mut arguments = plan.args.for_stage();
        arguments.push("--dry-run".into());
        let (code, text) = exec::capture(stage, &plan.binary(stage), &arguments)?;
        if code != 0 {
            return Err(Error::Stage { stage: stage.clone(), code, after: "none".into(), again: plan.args.again() }.into());
        }
        to_stdout(&text.lines().map(|l| format!("    {l}\n")).collect::<String>())?;
    }
    let count = reasons.iter().filter(|r| r.1.is_some()).count();
    let verdict = if count == 0 {
        format!("nothing to do: {} up to date\n", up_to_date(&plan.chosen))
    } else {
        format!("{count} of {} stages would run: `{}`\n", reasons.len(), plan.args.again())
    };
    to_stdout(&verdict)
}

fn up_to_date(stages: &[String]) -> String {
    if stages.len() == 1 { format!("`{}` is", stages[0]) } else { format!("all {} stages are", stages.len()) }
}

fn say(args: &Args, text: &str) {
    if !args.common.quiet {
        // Nothing sensible is left to do when stderr is closed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

fn to_stdout(text: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader that has seen enough, such as `head`.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| StageError::new(Exit::Failed, format!("cannot write to stdout: {e}")).into()),
    }
}
