//! The command line that every stage has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which share of a stage's units this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// From 0.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

impl Worker {
    /// The only worker.
    pub const SINGLE: Worker = Worker { index: 0, count: 1 };

    /// True where unit number `n` is this worker's.
    pub fn owns(&self, n: usize) -> bool {
        n % self.count == self.index
    }
}

/// When to colour messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags shared by all stages.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// The pipeline's TOML file
    #[arg(long, short, value_name = "FILE", help_heading = "Input and output")]
    pub config: Option<PathBuf>,

    /// Run directory [default: runs/ and the `run` key of the file]
    #[arg(long, value_name = "DIR", help_heading = "Input and output")]
    pub run: Option<PathBuf>,

    /// Override a key: --set stage.sft.epochs=2 (TOML value; repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Configuration")]
    pub sets: Vec<String>,

    /// Print every effective value with its source, and stop
    #[arg(long, help_heading = "Configuration")]
    pub print_config: bool,

    /// Show what would be done and why, and stop
    #[arg(long, help_heading = "Rerun")]
    pub dry_run: bool,

    /// Do finished units again
    #[arg(long, help_heading = "Rerun")]
    pub force: bool,

    /// Remove the outputs of inputs that are gone
    #[arg(long, help_heading = "Rerun")]
    pub prune: bool,

    /// Training: start over, ignoring checkpoints
    #[arg(long, help_heading = "Rerun")]
    pub fresh: bool,

    /// Do at most N units (training: steps), for a smoke run
    #[arg(long, value_name = "N", help_heading = "Parallel work")]
    pub limit: Option<u64>,

    /// Threads, at most 1024 [default: all cores, or RAYON_NUM_THREADS]
    #[arg(long, value_name = "N", value_parser = parse_threads, help_heading = "Parallel work")]
    pub threads: Option<usize>,

    /// This worker's number, from 0 [default: its place in a Slurm array, or 0]
    #[arg(long, value_name = "I", help_heading = "Parallel work")]
    pub worker: Option<usize>,

    /// Number of workers [default: SLURM_ARRAY_TASK_COUNT or 1]
    #[arg(long, value_name = "N", help_heading = "Parallel work")]
    pub num_workers: Option<usize>,

    /// More messages (-vv: all)
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output style")]
    pub verbose: u8,

    /// Errors only
    #[arg(short, long, help_heading = "Output style")]
    pub quiet: bool,

    /// When to colour messages
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, help_heading = "Output style", hide_possible_values = false)]
    pub color: ColorChoice,
}

/// Most threads: more than any machine has cores. Beyond, a slip of the keyboard would take all that the system has.
pub const MOST_THREADS: usize = 1024;

fn parse_threads(text: &str) -> Result<usize, String> {
    let wanted = format!("expected a number up to {MOST_THREADS}");
    text.parse().ok().filter(|threads| *threads <= MOST_THREADS).ok_or(wanted)
}

/// The flags one by one, as `clap` knows them.
pub(crate) fn common_flags() -> Vec<clap::Arg> {
    CommonArgs::augment_args(clap::Command::new("")).get_arguments().cloned().collect()
}

/// `command` with these flags of every stage too, by their long names: those that it obeys beside the ones that every command
/// does, such as `--config`. Only flags that a command obeys are offered; it refuses the others.
pub fn with_flags(command: clap::Command, flags: &[&str]) -> clap::Command {
    command.args(common_flags().into_iter().filter(|flag| flag.get_long().is_some_and(|name| flags.contains(&name))))
}

impl CommonArgs {
    /// These flags, given before the name of a command, and `later` ones behind it, which go first.
    #[must_use]
    pub(crate) fn then(self, later: Self) -> Self {
        Self {
            config: later.config.or(self.config),
            run: later.run.or(self.run),
            sets: [self.sets, later.sets].concat(),
            print_config: self.print_config || later.print_config,
            dry_run: self.dry_run || later.dry_run,
            force: self.force || later.force,
            prune: self.prune || later.prune,
            fresh: self.fresh || later.fresh,
            limit: later.limit.or(self.limit),
            threads: later.threads.or(self.threads),
            worker: later.worker.or(self.worker),
            num_workers: later.num_workers.or(self.num_workers),
            verbose: self.verbose.saturating_add(later.verbose),
            quiet: self.quiet || later.quiet,
            color: if later.color == ColorChoice::Auto { self.color } else { later.color },
        }
    }

    /// The worker that flags and scheduler variables name.
    ///
    /// # Errors
    /// A message when they contradict each other.
    pub fn resolve_worker(&self, env: impl Fn(&str) -> Option<String>) -> Result<Worker, String> {
        let number = |name: &str| -> Result<Option<usize>, String> {
            env(name).map(|v| v.parse().map_err(|_| format!("environment variable `{name}` is `{v}`, expected a number"))).transpose()
        };
        // Task 9 of `--array=0-9:3` is the fourth.
        let task = |count: usize| -> Result<Option<usize>, String> {
            let Some(id) = number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let index = id.checked_sub(first).filter(|past| past.is_multiple_of(step)).map(|past| past / step);
            match index.filter(|index| *index < count) {
                Some(index) => Ok(Some(index)),
                None => Err(format!(
                    "array task {id} is none of {count} from {first} in steps of {step}: number an array evenly, or pass --worker and --num-workers"
                )),
            }
        };
        let (index, count) = match (self.worker, self.num_workers) {
            (None, None) => match (number("SLURM_ARRAY_TASK_ID")?, number("SLURM_ARRAY_TASK_COUNT")?) {
                (Some(_), Some(count)) => task(count)?.map_or((0, 1), |index| (index, count)),
                _ => (0, 1),
            },
            (Some(index), Some(count)) => (index, count),
            (None, Some(count)) => (task(count)?.ok_or("--num-workers needs --worker")?, count),
            (Some(_), None) => return Err("--worker needs --num-workers".into()),
        };
        if count == 0 || index >= count {
            return Err(format!("--worker {index} is not below --num-workers {count}"));
        }
        Ok(Worker { index, count })
    }

    /// `-v` count, negative with `-q`.
    pub fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose).unwrap_or(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        common: CommonArgs,
    }

    #[test]
    fn threads_are_not_without_number() {
        let threads = |n: &str| Cli::try_parse_from(["stage", "--threads", n]).map(|cli| cli.common.threads);
        assert_eq!(threads("1024").unwrap(), Some(1024));
        assert!(threads("100000").err().unwrap().to_string().contains("expected a number up to 1024"));
        assert!(threads("x").is_err());
    }

    #[test]
    fn workers_come_from_flags_or_slurm() {
        let check = |args: &[&str], env: &[(&str, &str)]| {
            let cli = Cli::parse_from(std::iter::once(&"stage").chain(args));
            cli.common.resolve_worker(|k| env.iter().find(|e| e.0 == k).map(|e| e.1.to_owned()))
        };
        assert_eq!(check(&[], &[]), Ok(Worker::SINGLE));
        assert_eq!(check(&["--worker", "1", "--num-workers", "4"], &[]), Ok(Worker { index: 1, count: 4 }));
        let slurm = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert_eq!(check(&[], &slurm), Ok(Worker { index: 2, count: 4 }));
        let steps = ["0", "3", "6", "9"].map(|id| {
            let array = [("COUNT", "4"), ("MIN", "0"), ("MAX", "9"), ("STEP", "3")];
            let names: Vec<(String, &str)> = array.iter().map(|(name, value)| (format!("SLURM_ARRAY_TASK_{name}"), *value)).collect();
            let mut env: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            env.push(("SLURM_ARRAY_TASK_ID", id));
            check(&[], &env).unwrap().index
        });
        assert_eq!(steps, [0, 1, 2, 3]);
        let listed = [("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_COUNT", "3"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert!(check(&[], &listed).unwrap_err().contains("array task 7 is none of 3 from 1 in steps of 1"));
        assert_eq!(check(&["--num-workers", "4"], &[("SLURM_ARRAY_TASK_ID", "3")]), Ok(Worker { index: 3, count: 4 }));
        assert!(check(&["--worker", "4", "--num-workers", "4"], &[]).unwrap_err().contains("not below"));
        assert!(check(&["--worker", "1"], &[]).is_err());
        assert!(check(&[], &[("SLURM_ARRAY_TASK_ID", "x")]).unwrap_err().contains("expected a number"));
    }
}
