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

    /// Threads [default: all cores, or RAYON_NUM_THREADS]
    #[arg(long, value_name = "N", help_heading = "Parallel work")]
    pub threads: Option<usize>,

    /// This worker's number, from 0 [default: SLURM_ARRAY_TASK_ID or 0]
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

impl CommonArgs {
    /// The worker that flags and scheduler variables name.
    ///
    /// # Errors
    /// A message when they contradict each other.
    pub fn resolve_worker(&self, env: impl Fn(&str) -> Option<String>) -> Result<Worker, String> {
        let number = |name: &str| -> Result<Option<usize>, String> {
            env(name).map(|v| v.parse().map_err(|_| format!("environment variable `{name}` is `{v}`, expected a number"))).transpose()
        };
        let (index, count) = match (self.worker, self.num_workers) {
            (None, None) => match (number("SLURM_ARRAY_TASK_ID")?, number("SLURM_ARRAY_TASK_COUNT")?) {
                (Some(id), Some(count)) => (id - number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0).min(id), count),
                _ => (0, 1),
            },
            (index, Some(count)) => (index.or(number("SLURM_ARRAY_TASK_ID")?).ok_or("--num-workers needs --worker")?, count),
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
    fn workers_come_from_flags_or_slurm() {
        let check = |args: &[&str], env: &[(&str, &str)]| {
            let cli = Cli::parse_from(std::iter::once(&"stage").chain(args));
            cli.common.resolve_worker(|k| env.iter().find(|e| e.0 == k).map(|e| e.1.to_owned()))
        };
        assert_eq!(check(&[], &[]), Ok(Worker::SINGLE));
        assert_eq!(check(&["--worker", "1", "--num-workers", "4"], &[]), Ok(Worker { index: 1, count: 4 }));
        let slurm = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert_eq!(check(&[], &slurm), Ok(Worker { index: 2, count: 4 }));
        assert!(check(&["--worker", "4", "--num-workers", "4"], &[]).unwrap_err().contains("not below"));
        assert!(check(&["--worker", "1"], &[]).is_err());
        assert!(check(&[], &[("SLURM_ARRAY_TASK_ID", "x")]).unwrap_err().contains("expected a number"));
    }
}
