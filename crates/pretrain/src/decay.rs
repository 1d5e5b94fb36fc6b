//! `pretrain decay`: a finished model off a training that goes on.

use std::path::Path;

use clap::{Arg, value_parser};
use handoff::StageLock;
use stage::{Exit, Metrics, StageContext, StageError};
use train::checkpoint::{Checkpoints, step_in_name};

use crate::config::Config;
use crate::error::Error;
use crate::{Pretrain, run};

/// Share of the steps so far that the learning rate falls over, where no number is given: 10 to 20 % are as good as a longer
/// decay (Hägele et al., arXiv 2405.18392).
const SHARE: u64 = 5;

/// The command's arguments and function.
pub(crate) fn command() -> stage::Command<Pretrain> {
    let arg = |name: &'static str, value: &'static str, help: &'static str| Arg::new(name).long(name).value_name(value).help(help);
    stage::Command {
        clap: stage::with_flags(
            clap::Command::new("decay")
                .about("Branches a finished model off a checkpoint: more steps, over which the learning rate falls")
                .arg(arg("from", "STEP", "Checkpoint, such as step-001000, or its directory").required(true))
                .arg(arg("steps", "N", "Steps of the decay [default: a fifth of those before]").value_parser(value_parser!(u64)))
                .arg(arg("name", "NAME", "Directory under pretrain/ for the result [default: decay-STEP]")),
            &["force", "fresh", "limit"],
        ),
        run: decay,
    }
}

fn decay(ctx: &StageContext, config: &Config, matches: &clap::ArgMatches) -> Result<String, StageError> {
    let text = |key: &str| matches.get_one::<String>(key).cloned();
    let from = text("from").unwrap_or_default();
    let named = ctx.run.stage("pretrain").checkpoints().join(&from);
    let path = if named.exists() { named } else { from.clone().into() };
    let step = step_of(&path)?;
    let steps = matches.get_one::<u64>("steps").copied().unwrap_or((step / SHARE).max(1));
    let name = text("name").unwrap_or_else(|| format!("decay-{step:06}"));
    if !stage::is_variant_name(&name) {
        return Err(StageError::new(Exit::Usage, format!("`--name {name}`: a name is {}", stage::VARIANT_NAME)));
    }
    let path = std::path::absolute(&path).unwrap_or(path);
    let config = Config { cooldown_from: Some(path.display().to_string()), cooldown_steps: Some(steps), ..config.clone() };
    config.validate().map_err(|e| StageError::new(Exit::Usage, format!("`{}` {}", e.key, e.message)))?;
    let stage_dir = ctx.run.variant("pretrain", &name);
    let _lock = StageLock::acquire(&stage_dir, 0)?;
    stage::install_signals(&ctx.cancel).map_err(|e| StageError::new(Exit::Failed, format!("cannot handle signals: {e}")))?;
    let metrics = Metrics::open(&stage_dir.metrics_jsonl())?;
    let ctx = StageContext { stage_dir, variant: Some(name), metrics, ..ctx.clone() };
    let report = run(&ctx, &config)?;
    let mut out = if report.inputs_skipped > 0 { vec!["nothing to do, it was done before".to_owned()] } else { report.notes };
    if report.inputs_skipped + report.inputs_done > 0 {
        out.push(format!("look at: {}", ctx.stage_dir.model().display()));
    }
    Ok(out.join("\n") + "\n")
}

/// The step of the checkpoint in `path`; where that is gone, its name tells, and a branch that was begun from it can still go on.
fn step_of(path: &Path) -> Result<u64, StageError> {
    match step_in_name(path).filter(|_| !path.exists()) {
        Some(step) => Ok(step),
        None => Ok(Checkpoints::open(path).map_err(Error::from)?.state.step),
    }
}
