//! The command line: the flags of every stage, and which stages to run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, FromArgMatches, Parser};
use stage::{CommonArgs, STAGE_NAMES};

use crate::Error;

/// Runs the stages of a pipeline file in order, skipping what is up to date
#[derive(Debug, Clone, Parser)]
#[command(
    name = "pipeline",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  pipeline --config pipelines/tiny.toml\n  pipeline --config pipelines/tiny.toml --dry-run\n  pipeline --config pipelines/tiny.toml --from sft\n\nExit codes: 0 done, 2 bad usage or configuration, 130 interrupted after a clean save;\nwhen a stage fails, its own: 1 failed, 3 upstream output missing or invalid."
)]
pub struct Args {
    /// Flags that the stages have too.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Begin at this stage; the ones before it must have run
    #[arg(long, value_name = "STAGE", value_parser = stage_parser(), help_heading = "Which stages")]
    pub from: Option<String>,

    /// End with this stage
    #[arg(long, value_name = "STAGE", value_parser = stage_parser(), help_heading = "Which stages")]
    pub to: Option<String>,

    /// Run this stage alone
    #[arg(long, value_name = "STAGE", value_parser = stage_parser(), help_heading = "Which stages", conflicts_with_all = ["from", "to"])]
    pub only: Option<String>,
}

fn stage_parser() -> PossibleValuesParser {
    PossibleValuesParser::new(STAGE_NAMES)
}

impl Args {
    /// Parses the process's arguments; prints help, version and usage errors and exits as clap does.
    pub fn parse_process() -> Self {
        let matches = Args::command().get_matches();
        match Args::from_arg_matches(&matches) {
            Ok(args) => args,
            Err(e) => e.exit(),
        }
    }

    /// The pipeline file.
    ///
    /// # Errors
    /// When there is none, or a flag does not belong to the runner.
    pub fn config(&self) -> Result<PathBuf, Error> {
        let c = &self.common;
        if c.worker.is_some() || c.num_workers.is_some() {
            return Err(Error::Usage {
                message: "--worker and --num-workers split one stage, not a pipeline".into(),
                hint: "start the stage binary itself in each worker, such as `crawl-clean --worker 0 --num-workers 4`".into(),
            });
        }
        c.config.clone().ok_or(Error::NoConfig)
    }

    /// The arguments that a stage gets.
    pub fn for_stage(&self) -> Vec<OsString> {
        let c = &self.common;
        let mut out: Vec<OsString> = Vec::new();
        let mut pair = |flag: &str, value: OsString| out.extend([flag.into(), value]);
        if let Some(config) = &c.config {
            pair("--config", config.into());
        }
        if let Some(run) = &c.run {
            pair("--run", run.into());
        }
        for set in &c.sets {
            pair("--set", set.into());
        }
        for (flag, n) in [("--limit", c.limit.map(|n| n.to_string())), ("--threads", c.threads.map(|n| n.to_string()))] {
            if let Some(n) = n {
                pair(flag, n.into());
            }
        }
        let color = match c.color {
            stage::ColorChoice::Auto => None,
            stage::ColorChoice::Always => Some("always"),
            stage::ColorChoice::Never => Some("never"),
        };
        if let Some(color) = color {
            pair("--color", color.into());
        }
        for (flag, on) in [("--force", c.force), ("--prune", c.prune), ("--fresh", c.fresh), ("--quiet", c.quiet)] {
            if on {
                out.push(flag.into());
            }
        }
        out.extend((0..c.verbose).map(|_| OsString::from("-v")));
        out
    }

    /// How to call the runner again, for messages; the stage choice is left out.
    pub fn again(&self) -> String {
        let mut out = "pipeline".to_owned();
        for (flag, path) in [("--config", &self.common.config), ("--run", &self.common.run)] {
            if let Some(path) = path {
                out += &format!(" {flag} {}", path.display());
            }
        }
        for set in &self.common.sets {
            out += &format!(" --set '{set}'");
        }
        out
    }

    /// The chosen part of the stages in order.
    ///
    /// # Errors
    /// When a chosen stage is not in the file, or `--to` comes before `--from`.
    pub fn choose(&self, order: &[String], config: &std::path::Path) -> Result<Vec<String>, Error> {
        let at = |flag: &'static str, name: &Option<String>| match name {
            None => Ok(None),
            Some(stage) => order.iter().position(|s| s == stage).map(Some).ok_or_else(|| Error::NotInFile {
                flag,
                stage: stage.clone(),
                path: config.to_owned(),
                stages: order.to_vec(),
            }),
        };
        if let Some(i) = at("--only", &self.only)? {
            return Ok(vec![order[i].clone()]);
        }
        let from = at("--from", &self.from)?.unwrap_or(0);
        let to = at("--to", &self.to)?.map_or(order.len(), |i| i + 1);
        if from >= to && !order.is_empty() {
            return Err(Error::Usage {
                message: format!("`--from {}` comes after `--to {}`", order[from], order[to.saturating_sub(1)]),
                hint: format!("the order is: {}", order.join(", ")),
            });
        }
        Ok(order[from..to].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn args(list: &[&str]) -> Args {
        Args::parse_from(std::iter::once(&"pipeline").chain(list))
    }

    #[test]
    fn stages_are_chosen_in_order() {
        let order = ["crawl-clean", "tokenize", "shard", "pretrain"].map(str::to_owned);
        let choose = |list: &[&str]| args(list).choose(&order, Path::new("p.toml"));
        assert_eq!(choose(&[]).unwrap(), order);
        assert_eq!(choose(&["--from", "tokenize", "--to", "shard"]).unwrap(), ["tokenize", "shard"]);
        assert_eq!(choose(&["--only", "pretrain"]).unwrap(), ["pretrain"]);
        assert!(choose(&["--from", "shard", "--to", "tokenize"]).unwrap_err().to_string().contains("comes after"));
        let e = choose(&["--only", "sft"]).unwrap_err();
        assert_eq!((e.code(), e.to_string().contains("[stage.sft]")), (2, true));
        assert!(Args::try_parse_from(["pipeline", "--only", "sft", "--to", "sft"]).is_err());
        assert!(Args::try_parse_from(["pipeline", "--only", "stf"]).is_err());
    }

    #[test]
    fn a_stage_gets_the_flags_it_knows() {
        let a =
            args(&["--config", "p.toml", "--set", "stage.sft.epochs=2", "--force", "-vv", "--only", "sft", "--dry-run", "--limit", "3"]);
        assert_eq!(a.for_stage(), ["--config", "p.toml", "--set", "stage.sft.epochs=2", "--limit", "3", "--force", "-v", "-v"]);
        assert_eq!(a.again(), "pipeline --config p.toml --set 'stage.sft.epochs=2'");
        assert_eq!(args(&["--config", "p.toml", "--worker", "0", "--num-workers", "2"]).config().unwrap_err().code(), 2);
        assert!(matches!(args(&[]).config(), Err(Error::NoConfig)));
    }
}
