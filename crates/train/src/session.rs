//! One run of a training stage: what to do, from where, and how its result is committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use handoff::{Digest, DigestBuilder, Manifest, OutputFile, StageDir, UnitEntry, UnitKey, atomic};
use serde_json::Value;
use stage::StageContext;

use crate::batch::{BatchPlan, Horizon};
use crate::checkpoint::{Checkpoint, Checkpoints, FORMAT_VERSION, Keep, State, Writer};
use crate::compute::Compute;
use crate::guard::Guard;
use crate::lineage::{DataBatch, Decision, Lineage, OnNewData, decide};
use crate::observe::StageObserver;
use crate::optimizer::{Optimizer, OptimizerConfig};
use crate::schedule::Schedule;
use crate::trainer::{LoopSettings, Outcome, Task, Trainer, calibrate, duration_text};
use crate::{Error, Result};

/// Name of the manifest entry of a finished model.
pub const MODEL_UNIT: &str = "model";

/// Schema name of model files in a manifest; [`handoff::Upstream::open`] with it lists them.
pub const MODEL_SCHEMA: &str = "hf-model";

/// Schema name of adapter files in a manifest.
pub const ADAPTER_SCHEMA: &str = "peft-adapter";

/// A directory to be put in place: schema name, final path, and what fills a staged directory.
pub type FinishedDir<'a> = (&'a str, PathBuf, &'a dyn Fn(&Path) -> Result<()>);

/// What a stage wants trained, in final types.
#[derive(Debug, Clone)]
pub struct Request {
    /// Every setting and input digest that changes the weights, by key.
    pub recipe: Value,
    /// The data in ingest order.
    pub batches: Vec<DataBatch>,
    /// What to do with appended data.
    pub policy: OnNewData,
    /// Earlier rows mixed in for each new one when continuing.
    pub replay: f64,
    /// How long.
    pub horizon: Horizon,
    /// Rows of a step.
    pub plan: BatchPlan,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Seed of order and initial weights.
    pub seed: u64,
    /// Checkpoints kept.
    pub keep: Keep,
    /// Where this training branches off another one, if it does.
    pub cooldown: Option<Cooldown>,
    /// What changes the files of the finished model and not its weights: where only that is other than before, they are written anew.
    pub written: Value,
}

/// A branch off a training at a constant learning rate: some more steps, over which the rate falls.
#[derive(Debug, Clone)]
pub struct Cooldown {
    /// Where the checkpoint that it starts from lies, or lay.
    pub path: PathBuf,
    /// The checkpoint; `None` where it is gone, which a branch that was begun does not mind.
    pub from: Option<Checkpoint>,
    /// How many steps.
    pub steps: u64,
}

impl Cooldown {
    /// A branch off the checkpoint in `path`, where the learning rate of `schedule` must not fall yet.
    ///
    /// # Errors
    /// [`Error::Branch`] when there is none, or it is past the constant part.
    pub fn new(path: &Path, steps: u64, schedule: &Schedule) -> Result<Self> {
        let from = Checkpoints::open(path)?;
        let (lineage, step) = (&from.state.lineage, from.state.step);
        let problem = |problem: String| Err(Error::Branch { path: path.to_path_buf(), problem });
        let phase = &lineage.phases[lineage.phase_of(step.saturating_sub(1))];
        let first_steps = lineage.phases[0].steps;
        if step <= phase.first_step {
            return problem(format!("its step {step} is the first of its phase"));
        }
        let share = schedule.at(phase, step - 1 - phase.first_step, first_steps);
        if phase.cooldown || share < 1.0 {
            return problem(format!(
                "at step {step} the learning rate is at {:.0} % of its peak, not in the constant part of `wsd` or `constant`",
                100.0 * share
            ));
        }
        Ok(Self { path: path.to_path_buf(), from: Some(from), steps })
    }
}

/// What [`calibrate`] needs to turn minutes into steps.
const CALIBRATION: std::time::Duration = std::time::Duration::from_secs(5);

impl Request {
    /// The manifest key of the finished model.
    pub fn key(&self) -> UnitKey {
        let data = self.batches.iter().fold(DigestBuilder::new(), |b, batch| b.field("batch", batch.digest.as_bytes()));
        let config = DigestBuilder::new().field("recipe", self.recipe.to_string()).field("written", self.written.to_string());
        UnitKey { input_digest: data.finish(), config_digest: config.finish(), format_version: FORMAT_VERSION }
    }

    /// The committed entry of exactly this request, if its outputs are still there, and no later training of it was begun since.
    ///
    /// # Errors
    /// When the manifest or the checkpoints cannot be read.
    pub fn finished(&self, dir: &StageDir) -> Result<Option<UnitEntry>> {
        let manifest = Manifest::load(dir)?;
        let entry = manifest.units().get(MODEL_UNIT).filter(|e| e.key == self.key() && manifest.outputs_present(e));
        let newest = Checkpoints::new(dir.clone(), self.keep).newest_state()?;
        let begun = newest.is_some_and(|State { step, lineage, .. }| lineage.recipe == self.recipe && step < lineage.total_steps());
        Ok(entry.filter(|_| !begun).cloned())
    }
}

/// A run that knows where it starts.
#[derive(Debug)]
pub struct Session {
    checkpoints: Checkpoints,
    request: Request,
    generation: u64,
    /// What was decided about earlier work.
    pub decision: Decision,
    /// Recipe, data and phases, with the new phase if there is one.
    pub lineage: Lineage,
    /// The checkpoint it goes on from.
    pub start: Option<Checkpoint>,
    /// Checkpoints that were passed over because they are damaged.
    pub damaged: Vec<(PathBuf, String)>,
}

impl Session {
    /// Looks at earlier work and decides; `over` (from `--force` or `--fresh`) ignores it. Nothing is changed on disk.
    ///
    /// # Errors
    /// [`Error::NewData`] and [`Error::NewRecipe`] under the policy to refuse, [`Error::AllDamaged`] where there are checkpoints and none
    /// is whole, [`Error::NoRows`] without data.
    pub fn open(stage_dir: &StageDir, request: Request, over: bool) -> Result<Self> {
        let checkpoints = Checkpoints::new(stage_dir.clone(), request.keep);
        let found = checkpoints.newest()?;
        let newest = found.generation;
        if let (None, Some((path, problem)), false) = (&found.checkpoint, found.damaged.first(), over) {
            return Err(Error::AllDamaged { count: found.damaged.len(), path: path.clone(), problem: problem.clone() });
        }
        let recorded = found.checkpoint.as_ref().map(|c| &c.state.lineage);
        let other_horizon = if over { None } else { other_horizon(&checkpoints, &request, recorded)? };
        let decision = match (&other_horizon, recorded) {
            _ if over => Decision::Restart { why: "--force or --fresh was given".to_owned() },
            (Some((_, lineage)), Some(old)) => Decision::Horizon { from: old.total_steps(), to: lineage.total_steps() },
            _ => decide(recorded, &request.recipe, &request.batches, request.policy)?,
        };
        let fresh = || Lineage::fresh(request.recipe.clone(), request.batches.clone(), request.seed, request.horizon, &request.plan);
        let (lineage, start) = match (&decision, found.checkpoint) {
            (Decision::Horizon { .. }, _) if let Some((checkpoint, lineage)) = other_horizon => (lineage, Some(checkpoint)),
            (Decision::Resume, Some(checkpoint)) => (checkpoint.state.lineage.clone(), Some(checkpoint)),
            (Decision::Continue { .. }, Some(checkpoint)) => {
                let lineage = checkpoint.state.lineage.extended(request.batches.clone(), request.horizon, &request.plan, request.replay);
                (lineage, Some(checkpoint))
            }
            _ => match &request.cooldown {
                Some(Cooldown { path, from: None, .. }) => {
                    let problem = "it is no longer there, and the branch is to begin anew".to_owned();
                    return Err(Error::Branch { path: path.clone(), problem });
                }
                Some(Cooldown { from: Some(from), steps, .. }) => {
                    let lineage = from.state.lineage.cooled_down(from.state.step, *steps, &request.plan);
                    (Lineage { recipe: request.recipe.clone(), ..lineage }, Some(from.clone()))
                }
                None => (fresh(), None),
            },
        };
        if lineage.total_steps() == 0 && !matches!((request.horizon, &start), (Horizon::Minutes(_), None)) {
            return Err(Error::NoRows { of: stage_dir.name().to_owned() });
        }
        let goes_on = matches!(decision, Decision::Resume | Decision::Continue { .. });
        // One that goes on is the newest, unless a damaged one says to be newer still: that is set aside.
        let generation = if goes_on { start.as_ref().map_or(newest, |c| c.state.generation) } else { newest + 1 };
        Ok(Self { checkpoints, request, generation, decision, lineage, start, damaged: found.damaged })
    }

    /// Step that the run goes on from.
    pub fn first_step(&self) -> u64 {
        self.start.as_ref().map_or(0, |c| c.state.step)
    }

    /// Lines about what happens and why, for people.
    pub fn describe(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .damaged
            .iter()
            .map(|(path, reason)| format!("passed over damaged checkpoint `{}`, moved to `checkpoints/damaged`: {reason}", path.display()))
            .collect();
        lines.push(self.decision.to_string());
        if let Decision::Continue { .. } = self.decision
            && let Some(phase) = self.lineage.phases.last()
        {
            lines.push(format!(
                "phase {} is {} steps (from step {}) on the new rows, with {} earlier row(s) for each, warm-up and schedule anew",
                self.lineage.phases.len(),
                phase.steps,
                phase.first_step,
                phase.replay
            ));
        }
        if let Some(checkpoint) = &self.start {
            lines.push(format!(
                "going on from `{}`, step {} of {}",
                checkpoint.path.display(),
                checkpoint.state.step,
                self.lineage.total_steps()
            ));
        }
        lines
    }

    /// Those of [`Session::describe`] that belong into a final report: what changed, and what was damaged.
    pub fn changes(&self) -> Vec<String> {
        let is_plain = matches!(self.decision, Decision::Start | Decision::Resume) && self.damaged.is_empty();
        if is_plain { Vec::new() } else { self.describe() }
    }

    /// Trains to the end of the lineage.
    ///
    /// # Errors
    /// As [`Trainer::run`], and [`Error::StateMismatch`] where the checkpoint does not fit the model.
    pub fn train(
        &mut self,
        ctx: &StageContext,
        task: &impl Task,
        optimizer: OptimizerConfig,
        settings: LoopSettings,
        compute: &Compute,
    ) -> Result<Outcome> {
        self.checkpoints.clean()?;
        self.checkpoints.set_damaged_aside(&self.damaged)?;
        if let (Decision::Horizon { .. }, Some(start)) = (&self.decision, &self.start) {
            self.checkpoints.adopt(&start.state, self.generation, &self.lineage)?;
        }
        // libtorch seeds its generator by chance; nothing here draws from it, but its state is part of a checkpoint.
        tch::manual_seed(self.request.seed as i64);
        if let (Horizon::Minutes(minutes), 0) = (self.request.horizon, self.lineage.total_steps()) {
            self.fix_steps(task, optimizer, minutes, settings.recompute, compute)?;
        }
        let peak_flops = compute.peak_flops()?;
        let mut optimizer = Optimizer::new(task.model(), optimizer)?;
        let mut guard = Guard::of(task.model(), settings.skip_sigma)?;
        let (mut step, mut rows_seen) = (0, 0);
        if let Some(checkpoint) = &self.start {
            optimizer.load(task.model(), &guard, &checkpoint.tensors())?;
            (step, rows_seen) = (checkpoint.state.step, checkpoint.state.rows_seen);
            warn_of_difference(&checkpoint.state, compute, self.request.plan.micro_rows);
        }
        let state = State {
            format_version: FORMAT_VERSION,
            generation: self.generation,
            step,
            rows_seen,
            lineage: self.lineage.clone(),
            precision: compute.precision().to_owned(),
            device: compute.device_name(),
            threads: compute.threads,
            micro_rows: self.request.plan.micro_rows,
            files: BTreeMap::new(),
        };
        let mut observer = StageObserver::new(ctx, step, self.lineage.total_steps())?;
        let mut trainer = Trainer {
            task,
            optimizer: &mut optimizer,
            guard: &mut guard,
            checkpoints: Writer::new(self.checkpoints.clone()),
            observer: &mut observer,
            settings,
            peak_flops,
            state,
        };
        let outcome = trainer.run();
        // What was saved last is safe before anything is said about it.
        let saved = trainer.checkpoints.finish();
        drop(trainer);
        observer.finish();
        outcome.and_then(|outcome| saved.map(|()| outcome))
    }

    /// Turns minutes into steps, for good: they are part of every checkpoint.
    fn fix_steps(&mut self, task: &impl Task, config: OptimizerConfig, minutes: f64, recompute: bool, compute: &Compute) -> Result<()> {
        let mut scratch = Optimizer::new(task.model(), config)?;
        // So that the schedule has something to go by; the learning rate is 0 all the same.
        let mut lineage = self.lineage.clone();
        lineage.phases[0].steps = u64::MAX / 2;
        let measured = calibrate(task, &mut scratch, &lineage, compute.threads, recompute, CALIBRATION)?;
        let steps = ((60.0 * minutes / measured.secs_per_step) as u64).max(1);
        self.lineage.phases[0].steps = steps;
        tracing::info!("horizon: {} at {:.3} s a step are {steps} steps", duration_text(60.0 * minutes), measured.secs_per_step);
        Ok(())
    }

    /// Rows of a forward pass that the training so far was made with.
    pub fn micro_rows(&self) -> Option<u64> {
        self.start.as_ref().map(|checkpoint| checkpoint.state.micro_rows)
    }

    /// Takes over the rows of a forward pass once they are known.
    pub fn set_plan(&mut self, plan: BatchPlan) {
        self.request.plan = plan;
    }

    /// Puts finished directories in place (`write` fills a staged one) and commits the manifest entry.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn commit(
        &self,
        dir: &StageDir,
        outputs: &[FinishedDir<'_>],
        counts: BTreeMap<String, u64>,
        rejected: Vec<OutputFile>,
        wall_secs: f64,
    ) -> Result<UnitEntry> {
        let mut files = Vec::new();
        for (schema, target, write) in outputs {
            let staged = atomic::temporary_beside(target);
            fs::create_dir_all(&staged).map_err(Error::io("create", &staged))?;
            write(&staged)?;
            atomic::commit_dir(&staged, target)?;
            files.extend(list(dir, schema, target)?);
        }
        let key = self.request.key();
        let unit = MODEL_UNIT.to_owned();
        let entry = UnitEntry { unit, batch: 0, index: 0, key, outputs: files, rejected, counts, wall_secs };
        let mut manifest = Manifest::load(dir)?;
        manifest.commit(entry.clone())?;
        manifest.write_summary()?;
        if let Err(error) = self.checkpoints.forget_earlier() {
            tracing::warn!(%error, "checkpoints of an earlier training could not be removed");
        }
        Ok(entry)
    }
}

/// The newest checkpoint that the training asked for would have come by too, where it differs from the recorded one only in how long it is.
fn other_horizon(checkpoints: &Checkpoints, request: &Request, recorded: Option<&Lineage>) -> Result<Option<(Checkpoint, Lineage)>> {
    let rows = request.batches.iter().map(|batch| batch.rows).sum();
    // Minutes become steps only by measuring, at the start.
    let steps = if matches!(request.horizon, Horizon::Minutes(_)) { 0 } else { request.horizon.steps(rows, &request.plan) };
    let lineage = recorded.and_then(|recorded| recorded.with_horizon(&request.recipe, &request.batches, steps));
    let (Some(recorded), Some(lineage), None) = (recorded, lineage, &request.cooldown) else { return Ok(None) };
    let wanted = |state: &State| state.lineage == *recorded && lineage.agrees_until(recorded, state.step, &request.schedule);
    Ok(checkpoints.newest_where(wanted)?.checkpoint.map(|checkpoint| (checkpoint, lineage.clone())))
}

fn warn_of_difference(state: &State, compute: &Compute, micro_rows: u64) {
    let text = |precision: &str, device: &str, threads: usize, rows: u64| {
        format!("{precision} on {device} with {threads} thread(s) and {rows} row(s) at a time")
    };
    let then = text(&state.precision, &state.device, state.threads, state.micro_rows);
    let now = text(compute.precision(), &compute.device_name(), compute.threads, micro_rows);
    if now != then {
        tracing::warn!("the checkpoint was made with {then}, this run uses {now}: results are close, but not the same bits");
    }
}

/// The files of a finished directory, as the manifest records them.
fn list(dir: &StageDir, schema: &str, target: &Path) -> Result<Vec<OutputFile>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(target).map_err(Error::io("list", target))? {
        paths.push(entry.map_err(Error::io("list", target))?.path());
    }
    paths.sort();
    let file = |path: PathBuf| -> Result<OutputFile> {
        let bytes = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        let digest = Digest::of_file(&path)?;
        Ok(OutputFile { path: dir.relative(&path), schema: schema.to_owned(), schema_version: 1, rows: 0, bytes, digest })
    };
    paths.into_iter().filter(|p| p.is_file()).map(file).collect()
}
