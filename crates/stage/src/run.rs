//! The skeleton of a stage binary.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, FromArgMatches};
use handoff::{Digest, DigestBuilder, RunDir, StageLock, atomic};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::common_flags;
use crate::config::{self, ConfigProblem, Loaded, canonical};
use crate::{
    CancelToken, CommonArgs, ConfigError, DryRun, Exit, Metrics, Progress, Report, StageContext, StageError, Worker, logging, print_error,
    stamp,
};

/// A further command of a stage binary, such as `shard trace`.
#[derive(Debug)]
pub struct Command<S: Stage + ?Sized> {
    /// Name, help, arguments, and the flags that it obeys beyond those of every command ([`crate::with_flags`]).
    pub clap: clap::Command,
    /// Does it; the text goes to stdout.
    pub run: fn(&StageContext, &S::Config, &clap::ArgMatches) -> Result<String, StageError>,
}

/// One stage of the pipeline.
pub trait Stage {
    /// Its configuration: `deny_unknown_fields` and no serde defaults, since `default.toml` supplies them.
    type Config: DeserializeOwned + Serialize + Clone;
    /// Name of the stage and of its binary.
    const NAME: &'static str;
    /// One sentence for `--help`.
    const ABOUT: &'static str;
    /// The commented default configuration, `[stage.<name>]` with every key that has a default.
    const DEFAULT_TOML: &'static str;
    /// Whether `[stage.<name>.variant.<v>]` tables are allowed.
    const VARIANTS: bool = false;
    /// Whether its units can be shared among workers. A stage with variants trains, and a training is one unit: neither flags nor
    /// a scheduler's variables make workers of its processes.
    const WORKERS: bool = !Self::VARIANTS;
    /// Top-level keys that do not change the output: where inputs stand (their content counts), threads and the like.
    const UNDIGESTED: &'static [&'static str] = &["inputs", "threads"];

    /// Parts of the stage's work that can be run by themselves with `--phase`, so that each can be an array job: names with one
    /// sentence each.
    const PHASES: &'static [(&'static str, &'static str)] = &[];

    /// Checks what one field alone cannot tell.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    fn validate(config: &Self::Config) -> Result<(), ConfigProblem>;

    /// Says what [`Stage::run`] would do, touching nothing.
    ///
    /// # Errors
    /// As [`Stage::run`].
    fn dry_run(ctx: &StageContext, config: &Self::Config) -> Result<DryRun, StageError>;

    /// Does the stage's work.
    ///
    /// # Errors
    /// Any; the exit code comes with the error.
    fn run(ctx: &StageContext, config: &Self::Config) -> Result<Report, StageError>;

    /// Further commands of the binary.
    fn commands() -> Vec<Command<Self>> {
        Vec::new()
    }
}

/// Runs a stage as a program: the whole of its `main`.
pub fn main_stage<S: Stage>() -> ExitCode {
    let commands = S::commands();
    let line = command_line::<S>(&commands);
    let matches = line.clone().get_matches();
    let result = invocation::<S>(&line, &matches).and_then(|call| match &call.command {
        Some((name, matches)) => {
            commands.iter().find(|c| c.clap.get_name() == name).map_or(Ok(()), |command| run_command(command, &call.args, matches))
        }
        None => run_stage::<S>(&call.args, call.phase.clone()),
    });
    match result {
        Ok(()) => Exit::Done.into(),
        Err(e) => {
            print_error(&e);
            e.exit().into()
        }
    }
}

/// Flags that every further command obeys, by their long names.
const OF_EVERY_COMMAND: [&str; 8] = ["config", "run", "set", "print-config", "threads", "verbose", "quiet", "color"];

/// Flags that share work among processes.
const OF_WORKERS: [&str; 2] = ["worker", "num-workers"];

/// All that can stand on the command line. Flags that are not obeyed are there too, hidden, so that they can be refused by name.
fn command_line<S: Stage>(commands: &[Command<S>]) -> clap::Command {
    let long_version = env!("CARGO_PKG_VERSION");
    let mut clap = clap::Command::new(S::NAME)
        .version(long_version)
        .after_help(format!(
            "Example:\n  {} --config pipelines/tiny.toml\n\nExit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 upstream output missing\nor invalid, 130 interrupted after a clean save.",
            S::NAME
        ))
        .subcommand_required(false)
        .max_term_width(100);
    // Taking over the flags also takes over their struct's comment as the description, so that is set again.
    clap = CommonArgs::augment_args(clap).about(S::ABOUT);
    if !S::WORKERS {
        clap = clap.mut_args(|arg| if arg.get_long().is_some_and(|name| OF_WORKERS.contains(&name)) { arg.hide(true) } else { arg });
    }
    if !S::PHASES.is_empty() {
        clap = clap.arg(phase_argument(S::PHASES));
    }
    if has_memory_key(S::NAME, S::DEFAULT_TOML) {
        clap = clap.arg(memory_argument());
    }
    for command in commands {
        let obeyed: Vec<clap::Id> = command.clap.get_arguments().map(|arg| arg.get_id().clone()).collect();
        let others = common_flags().into_iter().filter(|flag| !obeyed.contains(flag.get_id()));
        let hidden = others.map(|flag| {
            let is_obeyed = flag.get_long().is_some_and(|name| OF_EVERY_COMMAND.contains(&name));
            flag.hide(!is_obeyed)
        });
        clap = clap.subcommand(command.clap.clone().args(hidden));
    }
    clap
}

/// What the command line asks for.
struct Invocation {
    args: CommonArgs,
    phase: Option<String>,
    /// A further command's name and arguments.
    command: Option<(String, clap::ArgMatches)>,
}

/// Flags count before and behind the name of a further command alike.
fn invocation<S: Stage>(line: &clap::Command, matches: &clap::ArgMatches) -> Result<Invocation, StageError> {
    let parsed = |matches: &clap::ArgMatches| {
        CommonArgs::from_arg_matches(matches).map_err(|e| StageError::new(Exit::Usage, e.to_string().trim_end().to_owned()))
    };
    let mut args = parsed(matches)?;
    let command = matches.subcommand().map(|(name, sub)| (name.to_owned(), sub.clone()));
    let (obeying, name) = match &command {
        Some((name, sub)) => {
            args = args.then(parsed(sub)?);
            (line.find_subcommand(name).unwrap_or(line), format!("{} {name}", S::NAME))
        }
        None => (line, S::NAME.to_owned()),
    };
    for flag in line.get_arguments() {
        let id = flag.get_id().as_str();
        let is_obeyed = obeying.get_arguments().any(|arg| arg.get_id().as_str() == id && !arg.is_hide_set());
        let is_given = |matches: &clap::ArgMatches| {
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine)
        };
        if !is_obeyed && std::iter::once(matches).chain(command.as_ref().map(|(_, sub)| sub)).any(is_given) {
            let message = format!("`{name}` takes no `--{}`", flag.get_long().unwrap_or(id));
            return Err(StageError::new(Exit::Usage, message).with_hint(format!("{name} --help")));
        }
    }
    if let Some(megabytes) = matches.try_get_one::<u64>(MAX_MEMORY).ok().flatten() {
        args.sets.push(format!("stage.{}.{MAX_MEMORY_KEY}={megabytes}", S::NAME));
    }
    let phase = matches.try_get_one::<String>("phase").ok().flatten().cloned();
    Ok(Invocation { args, phase, command })
}

fn phase_argument(phases: &[(&'static str, &'static str)]) -> clap::Arg {
    let values = phases.iter().map(|&(name, about)| clap::builder::PossibleValue::new(name).help(about));
    clap::Arg::new("phase")
        .long("phase")
        .value_name("PHASE")
        .value_parser(values.collect::<Vec<_>>())
        .help("Do one phase only, to share it among workers [default: all of them]")
        .help_heading("Parallel work")
}

/// Name of the flag that stands for [`MAX_MEMORY_KEY`].
const MAX_MEMORY: &str = "max-memory";

/// The key of stages that hold a bounded part of their data in memory.
const MAX_MEMORY_KEY: &str = "max_memory_mb";

/// Keys stand in `[stage.<name>]` or, in a file of one stage alone, at the top.
fn has_memory_key(stage: &str, default_toml: &str) -> bool {
    let Ok(top) = toml::from_str::<toml::Table>(default_toml) else { return false };
    let keys = top.get("stage").and_then(|stages| stages.get(stage)).and_then(toml::Value::as_table).unwrap_or(&top);
    keys.contains_key(MAX_MEMORY_KEY)
}

fn memory_argument() -> clap::Arg {
    clap::Arg::new(MAX_MEMORY)
        .long(MAX_MEMORY)
        .visible_alias("memory")
        .value_name("SIZE")
        .value_parser(parse_megabytes)
        .help("Memory in MB, or as 4G: stands for the key `max_memory_mb`")
        .help_heading("Parallel work")
}

/// Megabytes of 1,000,000 bytes, from a number of them or one with a unit.
fn parse_megabytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "m" | "mb" => Some(1),
        "g" | "gb" => Some(1000),
        "t" | "tb" => Some(1_000_000),
        _ => None,
    };
    let number = text[..digits].parse::<u64>().ok();
    number
        .zip(factor)
        .and_then(|(n, factor)| n.checked_mul(factor))
        .ok_or_else(|| "expected megabytes, such as 4000, 4000M or 4G".to_string())
}

fn load<S: Stage>(args: &CommonArgs) -> Result<Loaded<S::Config>, StageError> {
    let Some(path) = &args.config else {
        return Err(StageError::new(Exit::Usage, "no pipeline file given").with_hint(format!("{} --config pipelines/tiny.toml", S::NAME)));
    };
    Ok(config::load(path, S::NAME, S::DEFAULT_TOML, S::VARIANTS, &args.sets, S::validate)?)
}

/// Digest of the part of a configuration that matters to a stage's output.
fn config_digest<S: Stage>(config: &S::Config, seed: u64) -> Result<Digest, StageError> {
    let mut value = serde_json::to_value(config).map_err(|e| ConfigError::Other(e.to_string()))?;
    if let Some(map) = value.as_object_mut() {
        map.retain(|k, _| !S::UNDIGESTED.contains(&k.as_str()));
    }
    Ok(DigestBuilder::new().field("stage", S::NAME).field("seed", seed.to_le_bytes()).field("config", canonical(&value)).finish())
}

fn contexts<S: Stage>(
    args: &CommonArgs,
    loaded: &Loaded<S::Config>,
    progress: &Progress,
    worker: Worker,
) -> Result<Vec<(StageContext, S::Config)>, StageError> {
    let run = RunDir::new(args.run.clone().unwrap_or_else(|| PathBuf::from("runs").join(&loaded.run)));
    let cancel = CancelToken::new();
    let base = std::iter::once((None, &loaded.config));
    let variants = loaded.variants.iter().map(|(name, config)| (Some(name.clone()), config));
    base.chain(variants)
        .map(|(variant, config)| {
            let stage_dir = match &variant {
                Some(v) => run.variant(S::NAME, v),
                None => run.stage(S::NAME),
            };
            let ctx = StageContext {
                run: run.clone(),
                stage_dir,
                variant,
                seed: loaded.seed,
                config_dir: loaded.config_dir.clone(),
                config_digest: config_digest::<S>(config, loaded.seed)?,
                limit: args.limit,
                force: args.force,
                prune: args.prune,
                fresh: args.fresh,
                threads: args.threads,
                worker,
                cancel: cancel.clone(),
                phase: None,
                progress: progress.clone(),
                metrics: Metrics::none(),
            };
            Ok((ctx, config.clone()))
        })
        .collect()
}

fn to_stdout(text: &str) -> Result<(), StageError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader that has seen enough, such as `head`.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| StageError::new(Exit::Failed, format!("cannot write to stdout: {e}"))),
    }
}

fn set_threads(threads: Option<usize>) {
    if let Some(n) = threads {
        // Fails only if a pool exists already, which then stays.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(n).build_global();
    }
}

fn run_command<S: Stage>(command: &Command<S>, args: &CommonArgs, matches: &clap::ArgMatches) -> Result<(), StageError> {
    let loaded = load::<S>(args)?;
    if args.print_config {
        return to_stdout(&loaded.printed);
    }
    let progress = Progress::new(S::NAME, args.quiet);
    logging::init(args.verbosity() - 1, logging::use_color(args.color), &progress, None)?;
    set_threads(args.threads);
    let contexts = contexts::<S>(args, &loaded, &progress, Worker::SINGLE)?;
    let (ctx, config) = &contexts[0];
    to_stdout(&(command.run)(ctx, config, matches)?)
}

fn run_stage<S: Stage>(args: &CommonArgs, phase: Option<String>) -> Result<(), StageError> {
    let loaded = load::<S>(args)?;
    if args.print_config {
        return to_stdout(&loaded.printed);
    }
    let progress = Progress::new(S::NAME, args.quiet);
    let worker = match S::WORKERS {
        true => args.resolve_worker(|k| std::env::var(k).ok()).map_err(|m| StageError::new(Exit::Usage, m))?,
        false => Worker::SINGLE,
    };
    let mut contexts = contexts::<S>(args, &loaded, &progress, worker)?;
    contexts.iter_mut().for_each(|(ctx, _)| ctx.phase.clone_from(&phase));
    let color = logging::use_color(args.color);
    if args.dry_run {
        logging::init(args.verbosity(), color, &progress, None)?;
        return contexts.iter().try_for_each(|(ctx, config)| to_stdout(&describe_dry_run(ctx, &S::dry_run(ctx, config)?)));
    }
    let first = contexts[0].0.clone();
    let _lock = StageLock::acquire(&first.stage_dir, first.worker.index)?;
    logging::init(args.verbosity(), color, &progress, Some(&first.stage_dir.log_jsonl()))?;
    crate::install_signals(&first.cancel).map_err(|e| StageError::new(Exit::Failed, format!("cannot handle signals: {e}")))?;
    set_threads(args.threads);
    write_effective(&first.run, S::NAME, &loaded)?;
    let span = tracing::info_span!("stage", name = S::NAME, run = %first.run.path().display());
    let _entered = span.enter();
    tracing::debug!(seed = loaded.seed, config = %first.config_digest, version = env!("CARGO_PKG_VERSION"), "started");

    let start = Instant::now();
    stamp::clear(&first.run, S::NAME);
    let mut report = Report::default();
    for (ctx, config) in &mut contexts {
        ctx.metrics = Metrics::open(&ctx.stage_dir.metrics_jsonl())?;
        let part = S::run(ctx, config)?;
        match ctx.variant.clone() {
            None => report = part,
            Some(v) => report.absorb(&v, part),
        }
    }
    let wall_secs = start.elapsed().as_secs_f64();
    let complete = args.limit.is_none() && first.worker.count == 1 && phase.is_none();
    if complete {
        let variants: Vec<String> = loaded.variants.iter().map(|v| v.0.clone()).collect();
        stamp::write(&first.run, S::NAME, loaded.stated_digest, &variants, &report, wall_secs)?;
    }
    progress.line(&summary_line(S::NAME, &report, wall_secs));
    for note in &report.notes {
        progress.line(&format!("  {note}"));
    }
    for look in &report.look {
        progress.line(&format!("  look at: {look}"));
    }
    tracing::debug!(done = report.inputs_done, skipped = report.inputs_skipped, rows = report.rows, wall_secs, "finished");
    report.text.as_deref().map_or(Ok(()), to_stdout)
}

fn summary_line(stage: &str, report: &Report, wall_secs: f64) -> String {
    if report.inputs_done == 0 && report.inputs_skipped > 0 {
        return format!("{stage}: nothing to do, {} done before, {} rows", report.inputs_skipped, report.rows);
    }
    format!(
        "{stage}: {} done, {} skipped, {} rows, {} rejected, {:.1} MB, {wall_secs:.1} s",
        report.inputs_done,
        report.inputs_skipped,
        report.rows,
        report.rejected,
        report.bytes_out as f64 / 1e6
    )
}

fn describe_dry_run(ctx: &StageContext, dry: &DryRun) -> String {
    let name = ctx.stage_dir.name();
    let mut text = format!("{name}: {} to do, {} done\n", dry.todo.len(), dry.skip);
    for unit in &dry.todo {
        text += &format!("  {}  {}  {:.1} MB\n", unit.unit, unit.why, unit.bytes as f64 / 1e6);
    }
    for note in &dry.notes {
        text += &format!("  {note}\n");
    }
    text
}

/// Puts this stage's table into the run's `effective.toml`, leaving the other stages' as they are.
fn write_effective<C>(run: &RunDir, stage: &str, loaded: &Loaded<C>) -> Result<(), StageError> {
    let path = run.effective_toml();
    let mut all: toml::Table = std::fs::read_to_string(&path).ok().and_then(|t| toml::from_str(&t).ok()).unwrap_or_default();
    all.insert("run".into(), toml::Value::String(loaded.run.clone()));
    all.insert("seed".into(), toml::Value::Integer(i64::try_from(loaded.seed).unwrap_or(i64::MAX)));
    let stages = all.entry("stage").or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let Some(stages) = stages.as_table_mut() {
        stages.insert(stage.to_owned(), toml::Value::Table(loaded.effective.clone()));
    }
    let text = toml::to_string_pretty(&all).map_err(|e| ConfigError::Other(e.to_string()))?;
    if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
        atomic::write(&path, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stage with phases, workers and a bound on memory; `Trains` has none of them.
    struct Counts;
    struct Trains;

    macro_rules! stage {
        ($name:ty { $($consts:tt)* }) => {
            impl Stage for $name {
                type Config = toml::Table;
                const NAME: &'static str = "count";
                const ABOUT: &'static str = "Counts";
                $($consts)*
                fn validate(_: &Self::Config) -> Result<(), ConfigProblem> {
                    Ok(())
                }
                fn dry_run(_: &StageContext, _: &Self::Config) -> Result<DryRun, StageError> {
                    Ok(DryRun::default())
                }
                fn run(_: &StageContext, _: &Self::Config) -> Result<Report, StageError> {
                    Ok(Report::default())
                }
                fn commands() -> Vec<Command<Self>> {
                    let show = clap::Command::new("show").arg(clap::Arg::new("what").long("what"));
                    let redo = crate::with_flags(clap::Command::new("redo"), &["force", "limit"]);
                    [show, redo].map(|clap| Command { clap, run: |_, _, _| Ok(String::new()) }).into()
                }
            }
        };
    }
    stage!(Counts {
        const DEFAULT_TOML: &'static str = "max_memory_mb = 1";
        const PHASES: &'static [(&'static str, &'static str)] = &[("first", "The first")];
    });
    stage!(Trains {
        const DEFAULT_TOML: &'static str = "";
        const VARIANTS: bool = true;
    });

    fn call<S: Stage>(line: &str) -> Result<Invocation, String> {
        let clap = command_line::<S>(&S::commands());
        let matches = clap.clone().try_get_matches_from(std::iter::once("count").chain(line.split_whitespace())).unwrap();
        invocation::<S>(&clap, &matches).map_err(|e| {
            assert_eq!(e.exit(), Exit::Usage);
            e.to_string()
        })
    }

    #[test]
    fn flags_count_before_and_behind_a_command() {
        for line in [
            "-c a.toml --set x=1 -v --run r show --set y=2 -v --what w",
            "--set x=1 show -c a.toml --set y=2 -vv --run r --what w",
            "-c b.toml --set x=1 -v --run s show -c a.toml --run r --set y=2 -v --what w",
        ] {
            let call = call::<Counts>(line).unwrap();
            let (name, matches) = call.command.unwrap();
            assert_eq!((name.as_str(), matches.get_one::<String>("what").map(String::as_str)), ("show", Some("w")), "{line}");
            assert_eq!(call.args.config, Some("a.toml".into()), "{line}");
            assert_eq!(call.args.run, Some("r".into()), "{line}");
            assert_eq!((call.args.sets, call.args.verbose), (vec!["x=1".to_owned(), "y=2".to_owned()], 2), "{line}");
        }
        let call = call::<Counts>("--limit 3 redo --force").unwrap();
        assert!(call.args.force && call.args.limit == Some(3));
    }

    #[test]
    fn flags_that_are_not_obeyed_are_refused_and_not_offered() {
        let refused = |line: &str| call::<Counts>(line).map(|_| ()).unwrap_err();
        assert_eq!(refused("redo --dry-run"), "`count redo` takes no `--dry-run`");
        assert_eq!(refused("--dry-run redo"), "`count redo` takes no `--dry-run`");
        assert_eq!(refused("show --force"), "`count show` takes no `--force`");
        assert_eq!(refused("--phase first show"), "`count show` takes no `--phase`");
        assert_eq!(refused("--max-memory 4G show"), "`count show` takes no `--max-memory`");
        assert_eq!(refused("show --worker 0 --num-workers 2"), "`count show` takes no `--worker`");
        let mut line = command_line::<Counts>(&Counts::commands());
        let help = |line: &mut clap::Command, name| line.find_subcommand_mut(name).unwrap().render_long_help().to_string();
        let (show, redo) = (help(&mut line, "show"), help(&mut line, "redo"));
        assert!(show.contains("--config") && !show.contains("--dry-run") && !show.contains("--force"), "{show}");
        assert!(redo.contains("--force") && redo.contains("--limit") && !redo.contains("--prune"), "{redo}");
    }

    #[test]
    fn a_training_has_no_workers() {
        let both = "--worker 1 --num-workers 2";
        assert_eq!(call::<Counts>(both).unwrap().args.worker, Some(1));
        assert_eq!(call::<Trains>(both).map(|_| ()).unwrap_err(), "`count` takes no `--worker`");
        assert!(call::<Trains>("--dry-run --force --limit 2").is_ok());
        const { assert!(Counts::WORKERS && !Trains::WORKERS) };
    }

    #[test]
    fn memory_is_given_in_megabytes_or_with_a_unit() {
        for (text, megabytes) in [("4000", 4000), ("300M", 300), ("300mb", 300), ("4G", 4000), ("1TB", 1_000_000)] {
            assert_eq!(parse_megabytes(text), Ok(megabytes), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "4 G", "4GiB", "99999999999999999T"] {
            assert!(parse_megabytes(text).is_err(), "{text}");
        }
        assert!(has_memory_key("s", "a = 1\nmax_memory_mb = 2") && has_memory_key("s", "[stage.s]\nmax_memory_mb = 2"));
        assert!(!has_memory_key("s", "a = 1") && !has_memory_key("s", "[stage.s.part]\nmax_memory_mb = 2"));
    }
}
