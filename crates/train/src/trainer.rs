//! The training loop, in the order things happen.
//!
//! What is trained on is a [`Task`]'s business; the loop owns the order of a step (batches, gradients, check, clip,
//! update), logging, saving, and stopping. Saving comes before evaluation, so that an evaluation that fails loses nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use model::{Grads, Inputs, Model};
use tch::{Kind, Tensor};

use crate::checkpoint::{Checkpoints, State, tensors_path};
use crate::lineage::{Lineage, Phase};
use crate::optimizer::{Optimizer, zero_gradients};
use crate::replicas::Replicas;
use crate::schedule::Schedule;
use crate::{Error, Result};

/// One forward pass.
#[derive(Debug)]
pub struct Micro {
    /// Token ids, (rows, time), int64.
    pub ids: Tensor,
    /// The token after each, or [`model::IGNORE`]; (rows, time), int64.
    pub targets: Tensor,
    /// Positions and mask.
    pub inputs: Inputs,
}

impl Micro {
    /// `count` of its rows, from row `start` on.
    ///
    /// # Errors
    /// Rows that are not there.
    pub fn rows(&self, start: i64, count: i64) -> Result<Self> {
        let cut = |tensor: &Tensor| tensor.f_narrow(0, start, count);
        Ok(Self { ids: cut(&self.ids)?, targets: cut(&self.targets)?, inputs: self.inputs.rows(start, count)? })
    }
}

/// The rows of one optimizer step.
#[derive(Debug)]
pub struct StepBatch {
    /// Micro-batches, each for one forward pass.
    pub micro: Vec<Micro>,
    /// Predicted tokens over all of them: what the summed loss is divided by.
    pub targets: u64,
    /// Tokens read over all of them, padding included: what throughput counts.
    pub tokens: u64,
    /// Row numbers, for the message if the loss is not finite.
    pub rows: Vec<u64>,
}

/// The part of training that differs between pretraining and fine-tuning.
pub trait Task {
    /// The model being trained.
    fn model(&self) -> &Model;

    /// The batch of a step: a pure function of the phase and the step within it.
    ///
    /// # Errors
    /// What building tensors may refuse.
    fn batch(&self, lineage: &Lineage, phase: &Phase, step_in_phase: u64) -> Result<StepBatch>;

    /// Scores on held-out rows as (metric, value); empty where there are none. Must not change any state.
    ///
    /// # Errors
    /// What libtorch refuses.
    fn evaluate(&self) -> Result<Vec<(&'static str, f64)>>;

    /// Writes what a checkpoint needs to be loaded elsewhere into `dir`: a model or adapter directory.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn write_model(&self, dir: &Path) -> Result<()>;
}

/// Who is told how training goes, and may ask it to stop.
pub trait Observer {
    /// True once the user wants to stop; asked after every step.
    fn cancelled(&self) -> bool;

    /// Scalars of a step, for `metrics.jsonl` and TensorBoard.
    ///
    /// # Errors
    /// When they cannot be written.
    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()>;

    /// `step` steps are done; `line` says how the last ones went, where something was logged.
    fn progress(&mut self, step: u64, line: Option<&str>);
}

/// Settings of the loop.
#[derive(Debug, Clone)]
pub struct LoopSettings {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Its schedule in the first phase; later phases scale the warm-up.
    pub schedule: Schedule,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Steps between evaluations; `None`: at the end only.
    pub eval_every: Option<u64>,
    /// Steps between logged lines.
    pub log_every: u64,
    /// At most so many steps in this process, for a smoke run.
    pub limit: Option<u64>,
}

/// How a finished training went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether the last step of the lineage is done; false only where a limit stopped it.
    pub complete: bool,
    /// Steps done in this process.
    pub steps: u64,
    /// Predicted tokens of these steps.
    pub targets: u64,
    /// Tokens per second over steps, without saving and evaluating; 0 without steps.
    pub tokens_per_sec: f64,
    /// Mean loss of the last logged steps, if any were done.
    pub last_loss: Option<f64>,
    /// Scores after the last step.
    pub scores: Vec<(&'static str, f64)>,
}

/// A running training.
pub struct Trainer<'a, T: Task> {
    /// What is trained on.
    pub task: &'a T,
    /// Weights and moments.
    pub optimizer: &'a mut Optimizer,
    /// Where checkpoints go.
    pub checkpoints: &'a Checkpoints,
    /// Who is told.
    pub observer: &'a mut dyn Observer,
    /// Settings.
    pub settings: LoopSettings,
    /// Step, lineage and the rest of what a checkpoint records.
    pub state: State,
}

/// Losses and times since the last logged line.
#[derive(Default)]
struct Window {
    loss: f64,
    steps: u64,
    tokens: u64,
    time: Duration,
}

struct StepResult {
    loss: f64,
    grad_norm: f64,
    lr: f64,
    targets: u64,
    tokens: u64,
}

impl<T: Task> Trainer<'_, T> {
    /// Trains until the lineage's last step, and evaluates there.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after a clean save, [`Error::NotFinite`] and [`Error::NoGradient`] before the update they
    /// concern, and what saving and libtorch refuse.
    pub fn run(&mut self) -> Result<Outcome> {
        let total = self.state.lineage.total_steps();
        let first = self.state.step;
        let replicas = Replicas::start(self.task.model(), self.state.threads)?;
        let (mut window, mut whole) = (Window::default(), Window::default());
        let mut outcome = Outcome { complete: true, steps: 0, targets: 0, tokens_per_sec: 0.0, last_loss: None, scores: Vec::new() };
        let mut without_gradient: Option<Vec<usize>> = None;
        while self.state.step < total {
            let started = Instant::now();
            let step = self.state.step;
            let result = self.step(step, &replicas, &mut without_gradient)?;
            self.state.step += 1;
            outcome.targets += result.targets;
            for w in [&mut window, &mut whole] {
                w.loss += result.loss;
                w.steps += 1;
                w.tokens += result.tokens;
                w.time += started.elapsed();
            }
            let (done, last) = (self.state.step, self.state.step == total);
            let line =
                if done.is_multiple_of(self.settings.log_every) || last { Some(self.log(&result, &window, &whole, total)?) } else { None };
            if line.is_some() {
                outcome.last_loss = Some(window.loss / window.steps as f64);
                window = Window::default();
            }
            self.observer.progress(done, line.as_deref());
            let stop = self.observer.cancelled();
            let limited = !last && self.settings.limit.is_some_and(|limit| done - first >= limit);
            if stop || last || limited || done.is_multiple_of(self.settings.save_every) {
                self.save()?;
            }
            if stop {
                return Err(Error::Interrupted { step: done });
            }
            if limited {
                outcome.complete = false;
                break;
            }
            if !last && self.settings.eval_every.is_some_and(|every| done.is_multiple_of(every)) {
                self.evaluate(&replicas)?;
            }
        }
        outcome.steps = self.state.step - first;
        outcome.tokens_per_sec = rate(&whole);
        if outcome.complete {
            outcome.scores = self.evaluate(&replicas)?;
        }
        Ok(outcome)
    }

    fn step(&mut self, step: u64, replicas: &Replicas, without_gradient: &mut Option<Vec<usize>>) -> Result<StepResult> {
        let lineage = &self.state.lineage;
        let phase = &lineage.phases[lineage.phase_of(step)];
        let step_in_phase = step - phase.first_step;
        let batch = self.task.batch(lineage, phase, step_in_phase)?;
        let model = self.task.model();
        let mut grads = Grads::new();
        let mut loss = Tensor::zeros([], (Kind::Float, model.device()));
        for micro in batch.micro {
            loss += replicas.add_gradients(model, micro, batch.targets, &mut grads)?;
        }
        let norm = grads.norm()?;
        // The one place where the host waits for a GPU.
        let values = Vec::<f64>::try_from(Tensor::f_stack(&[&loss, &norm], 0)?.to_kind(Kind::Double))?;
        for (what, value) in [("the loss", values[0]), ("the gradient norm", values[1])] {
            if !value.is_finite() {
                return Err(Error::NotFinite { what, step, value, rows: sample_of(&batch.rows) });
            }
        }
        if step < 2 {
            self.check_gradients(step, &grads, without_gradient)?;
        }
        let schedule = self.settings.schedule.scaled(phase.steps, lineage.phases[0].steps);
        let lr = self.settings.learning_rate * schedule.multiplier(step_in_phase, phase.steps);
        self.optimizer.step(model, &grads, &norm, step + 1, lr, replicas)?;
        self.state.rows_seen += batch.rows.len() as u64;
        Ok(StepResult { loss: values[0], grad_norm: values[1], lr, targets: batch.targets, tokens: batch.tokens })
    }

    /// Every tensor must have had a gradient that is not zero by the second step. (At the first, LoRA's `A` has none
    /// because `B` starts at zero.)
    fn check_gradients(&self, step: u64, grads: &Grads, without_gradient: &mut Option<Vec<usize>>) -> Result<()> {
        let now = zero_gradients(grads);
        if step == 0 {
            *without_gradient = Some(now);
            return Ok(());
        }
        let both: Vec<usize> = now.into_iter().filter(|i| without_gradient.as_ref().is_none_or(|before| before.contains(i))).collect();
        match both.first() {
            Some(&i) => Err(Error::NoGradient { count: both.len(), first: self.optimizer.name(i).to_owned() }),
            None => Ok(()),
        }
    }

    fn log(&mut self, last: &StepResult, window: &Window, whole: &Window, total: u64) -> Result<String> {
        let (step, loss) = (self.state.step, window.loss / window.steps as f64);
        let tokens_per_sec = rate(window);
        let eta_secs = whole.time.as_secs_f64() / whole.steps as f64 * (total - step) as f64;
        self.observer.scalars(
            step,
            &[
                ("train/loss", loss),
                ("train/learning_rate", last.lr),
                ("train/grad_norm", last.grad_norm),
                ("throughput/tokens_per_sec", tokens_per_sec),
                ("throughput/eta_secs", eta_secs),
            ],
        )?;
        Ok(format!(
            "step {step}/{total}  loss {loss:.4}  lr {:.2e}  grad norm {:.3}  {tokens_per_sec:.0} tokens/s  {} left",
            last.lr,
            last.grad_norm,
            duration_text(eta_secs)
        ))
    }

    fn save(&self) -> Result<()> {
        self.checkpoints.save(self.state.clone(), |dir| {
            self.task.write_model(dir)?;
            self.optimizer.save(self.task.model(), &tensors_path(dir))
        })?;
        Ok(())
    }

    fn evaluate(&mut self, replicas: &Replicas) -> Result<Vec<(&'static str, f64)>> {
        let scores = replicas.alone(|| tch::no_grad(|| self.task.evaluate()))?;
        if !scores.is_empty() {
            self.observer.scalars(self.state.step, &scores)?;
        }
        Ok(scores)
    }
}

/// What [`calibrate`] measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Steps that were measured.
    pub steps: u64,
    /// Tokens per second over them.
    pub tokens_per_sec: f64,
    /// Copies of the gradients that are held at a time.
    pub replicas: usize,
}

/// Times steps at learning rate 0 for about `duration`, after one step that does not count. Weights stay as they are, moments do not.
///
/// # Errors
/// What libtorch refuses.
pub fn calibrate(
    task: &impl Task,
    optimizer: &mut Optimizer,
    lineage: &Lineage,
    threads: usize,
    duration: Duration,
) -> Result<Calibration> {
    let model = task.model();
    let replicas = Replicas::start(model, threads)?;
    let phase = &lineage.phases[0];
    let mut measured = Window::default();
    let mut started = Instant::now();
    for step in 0.. {
        let batch = task.batch(lineage, phase, step % phase.steps.max(1))?;
        let mut grads = Grads::new();
        for micro in batch.micro {
            let _ = replicas.add_gradients(model, micro, batch.targets, &mut grads)?;
        }
        let norm = grads.norm()?;
        optimizer.step(model, &grads, &norm, step + 1, 0.0, &replicas)?;
        // Waits for a GPU.
        f64::try_from(&norm)?;
        if step == 0 {
            started = Instant::now();
            continue;
        }
        measured.steps += 1;
        measured.tokens += batch.tokens;
        measured.time = started.elapsed();
        if measured.time >= duration {
            break;
        }
    }
    Ok(Calibration { steps: measured.steps, tokens_per_sec: rate(&measured), replicas: replicas.parts() })
}

fn rate(window: &Window) -> f64 {
    if window.steps == 0 { 0.0 } else { window.tokens as f64 / window.time.as_secs_f64().max(1e-9) }
}

fn sample_of(rows: &[u64]) -> String {
    let some: Vec<String> = rows.iter().take(8).map(u64::to_string).collect();
    let more = if rows.len() > 8 { format!(" and {} more", rows.len() - 8) } else { String::new() };
    some.join(", ") + &more
}

/// Seconds as `1 h 05 min`, `3 min 20 s` or `9 s`.
pub fn duration_text(secs: f64) -> String {
    let s = secs.max(0.0).round() as u64;
    match s {
        3600.. => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        60.. => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{s} s"),
    }
}
