//! The training loop, in the order things happen.
//!
//! What is trained on is a [`Task`]'s business; the loop owns the order of a step (batches, gradients, check, clip,
//! update), logging, saving, and stopping. Saving comes before evaluation, so that an evaluation that fails loses nothing.
//! Checkpoints are copied at once and written on another thread. A signal is obeyed between two micro-batches: what there is of the
//! step is dropped, and made again when the training goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use handoff::Digest;
use model::{Grads, Inputs, Model};
use tch::{Device, Kind, Tensor};

use crate::checkpoint::{Best, Losses, State, Write, Writer};
use crate::guard::Guard;
use crate::lineage::{Lineage, Phase};
use crate::optimizer::{Optimizer, Update, zero_gradients};
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

/// Makes a micro-batch when its turn comes, so that only one's mask is held at a time.
pub type MakeMicro = Box<dyn FnOnce() -> Result<Micro>>;

/// The rows of one optimizer step.
pub struct StepBatch {
    /// Micro-batches, each for one forward pass.
    pub micro: Vec<MakeMicro>,
    /// Predicted tokens over all of them: what the summed loss is divided by.
    pub targets: u64,
    /// Tokens read over all of them, padding included: what throughput counts.
    pub tokens: u64,
    /// Row numbers, for the message if the loss is not finite.
    pub rows: Vec<u64>,
}

/// Scores by metric.
pub type Scores = Vec<(&'static str, f64)>;

/// The part of training that differs between pretraining and fine-tuning.
pub trait Task {
    /// The model being trained.
    fn model(&self) -> &Model;

    /// The batch of a step: a pure function of the phase and the step within it.
    ///
    /// # Errors
    /// What building tensors may refuse.
    fn batch(&self, lineage: &Lineage, phase: &Phase, step_in_phase: u64) -> Result<StepBatch>;

    /// Scores on held-out rows as (metric, value); empty where there are none. Must not change any state. `stop` is asked between
    /// forward passes: once it says so, there are no scores (`None`).
    ///
    /// # Errors
    /// What libtorch refuses.
    fn evaluate(&self, stop: &dyn Fn() -> bool) -> Result<Option<Scores>>;

    /// Digest of the rows that [`Task::evaluate`] scores: scores on others are not compared.
    fn held_out(&self) -> Digest;

    /// Text to look at while training; empty where none is wanted. Must not change any state. `stop` is asked before every prompt: once it
    /// says so, there are no samples (`None`).
    ///
    /// # Errors
    /// What libtorch refuses.
    fn text_samples(&self, stop: &dyn Fn() -> bool) -> Result<Option<Vec<TextSample>>> {
        let _ = stop;
        Ok(Some(Vec::new()))
    }

    /// A copy of what a checkpoint needs to be loaded elsewhere, a model or adapter directory: what it returns writes that
    /// into a directory, on any thread, while training goes on.
    ///
    /// # Errors
    /// What libtorch refuses.
    fn snapshot(&self) -> Result<Write>;

    /// Writes the same at once, which needs no copy.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn write_model(&self, dir: &Path) -> Result<()>;
}

/// Text that the model goes on with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TextSample {
    /// What it was given.
    pub prompt: String,
    /// What it made of it, greedily.
    pub completion: String,
}

/// Who is told how training goes, and may ask it to stop.
pub trait Observer {
    /// True once the user wants to stop; asked between micro-batches, forward passes of an evaluation, and prompts.
    fn cancelled(&self) -> bool;

    /// Whether the scores after `step` were recorded, by this process or one before.
    fn has_scores(&self, step: u64) -> bool;

    /// Whether the text samples after `step` were recorded, by this process or one before.
    fn has_samples(&self, step: u64) -> bool;

    /// Scalars of a step, for `metrics.jsonl` and TensorBoard. Where they cannot be written, training goes on all the same.
    fn scalars(&mut self, step: u64, values: &[(&str, f64)]);

    /// Text of a step, for `samples.jsonl`; as with scalars.
    fn samples(&mut self, step: u64, samples: &[TextSample]);

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
    /// Whether the checkpoint with the best score is kept, and one written before every evaluation.
    pub keep_best: bool,
    /// Standard deviations from the mean of the last steps at which a step is skipped; 0: only what is not finite is.
    pub skip_sigma: f64,
    /// Steps skipped one after the other that end the training.
    pub max_skipped: u64,
    /// Whether activations inside blocks are computed again instead of kept.
    pub recompute: bool,
    /// At most so many steps in this process, for a smoke run.
    pub limit: Option<u64>,
}

/// Pauses between the last tries to save.
const LAST_PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

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
    /// Steps skipped since the training began.
    pub skipped: u64,
    /// Scores after the last step.
    pub scores: Scores,
}

impl Outcome {
    /// What a user should know of a training that `--limit` stopped.
    pub fn limit_note(&self) -> String {
        match self.steps {
            0 => "stopped by --limit before the first step; nothing was trained or saved".to_owned(),
            steps => format!("stopped by --limit after {steps} step(s); the checkpoint is saved, `model/` is not written yet"),
        }
    }
}

/// A running training.
pub struct Trainer<'a, T: Task> {
    /// What is trained on.
    pub task: &'a T,
    /// Weights and moments.
    pub optimizer: &'a mut Optimizer,
    /// Judge of steps.
    pub guard: &'a mut Guard,
    /// Where checkpoints go.
    pub checkpoints: Writer,
    /// Who is told.
    pub observer: &'a mut dyn Observer,
    /// Settings.
    pub settings: LoopSettings,
    /// What a matrix product reaches on this device, in FLOP/s; utilization is given against it.
    pub peak_flops: f64,
    /// Step, lineage and the rest of what a checkpoint records.
    pub state: State,
}

/// Losses and times since the last logged line.
#[derive(Default)]
struct Window {
    /// Sum of the losses of steps that were not skipped, and their number, on the device.
    losses: Option<Tensor>,
    steps: u64,
    tokens: u64,
    time: Duration,
}

impl Window {
    fn add(&mut self, result: &StepResult, time: Duration) -> Result<()> {
        let loss = result.loss.f_to_kind(Kind::Double)?;
        let kept = 1.0 - result.skip.f_to_kind(Kind::Double)?;
        let loss = Tensor::f_stack(&[loss.f_nan_to_num(0.0, 0.0, 0.0)?.f_mul(&kept)?, kept], 0)?;
        self.losses = Some(match self.losses.take() {
            Some(sum) => sum.f_add(&loss)?,
            None => loss,
        });
        self.steps += 1;
        self.tokens += result.tokens;
        self.time += time;
        Ok(())
    }

    /// Goes on after the losses that a checkpoint has; its times are those of another process.
    fn after(losses: Option<Losses>, device: Device) -> Result<Self> {
        let tensor = |Losses { sum, steps }: Losses| Tensor::f_from_slice(&[sum, steps])?.f_to_device(device);
        Ok(Self { losses: losses.map(tensor).transpose()?, ..Self::default() })
    }

    /// Sum and number of the losses, if there are any. Waits for a GPU.
    fn losses(&self) -> Result<Option<Losses>> {
        let Some(losses) = &self.losses else { return Ok(None) };
        let values = Vec::<f64>::try_from(losses)?;
        Ok(Some(Losses { sum: values[0], steps: values[1] }))
    }

    /// The mean loss; NaN where every step was skipped. Waits for a GPU.
    fn mean_loss(&self) -> Result<f64> {
        Ok(self.losses()?.map_or(f64::NAN, |losses| losses.sum / losses.steps))
    }
}

/// What only lasts as long as a process trains.
struct Running {
    replicas: Replicas,
    /// Since the last logged line.
    window: Window,
}

struct StepResult {
    loss: Tensor,
    norm: Tensor,
    /// 1 where the step was skipped.
    skip: Tensor,
    lr: f64,
    targets: u64,
    tokens: u64,
    rows: Vec<u64>,
}

impl<T: Task> Trainer<'_, T> {
    /// Trains until the lineage's last step, and evaluates there. An evaluation, and text samples, that were due where an earlier process
    /// stopped come first, so that what is recorded is that of a training without a stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after a clean save, also within a step and while evaluating, [`Error::Skipped`] after too many bad steps, [`Error::NoGradient`], and
    /// what saving and libtorch refuse.
    pub fn run(&mut self) -> Result<Outcome> {
        let total = self.state.lineage.total_steps();
        let first = self.state.step;
        let mut outcome =
            Outcome { complete: true, steps: 0, targets: 0, tokens_per_sec: 0.0, last_loss: None, skipped: 0, scores: Vec::new() };
        if first < total && self.settings.limit == Some(0) {
            return Ok(Outcome { complete: false, ..outcome });
        }
        let device = self.task.model().device();
        let replicas = Replicas::start(self.task.model(), self.state.threads, self.settings.recompute)?;
        let mut running = Running { replicas, window: Window::after(self.checkpoints.losses(first), device)? };
        let mut whole = Window::default();
        let mut without_gradient: Option<Vec<usize>> = None;
        let on_cpu = device == Device::Cpu;
        if first < total && self.is_evaluated_at(first) && self.checkpoints.holds(&self.state) {
            if !self.observer.has_scores(first) {
                self.evaluate(&running)?;
            }
            self.sample(&running)?;
        }
        while self.state.step < total {
            let started = Instant::now();
            let step = self.state.step;
            let Some(result) = self.step(step, &running.replicas, &mut without_gradient)? else {
                return Err(self.interrupted(&running)?);
            };
            self.state.step += 1;
            let (done, last) = (self.state.step, self.state.step == total);
            let logs = done.is_multiple_of(self.settings.log_every) || last;
            if on_cpu || logs {
                // A GPU is waited for only where something is logged.
                self.check_skipped(&result, step)?;
            }
            outcome.targets += result.targets;
            running.window.add(&result, started.elapsed())?;
            (whole.steps, whole.tokens, whole.time) = (whole.steps + 1, whole.tokens + result.tokens, whole.time + started.elapsed());
            let line = if logs { Some(self.log(&result, &running.window, &whole, total, &mut outcome)?) } else { None };
            if line.is_some() {
                running.window = Window::default();
            }
            self.observer.progress(done, line.as_deref());
            let stop = self.observer.cancelled();
            let limited = !last && self.settings.limit.is_some_and(|limit| done - first >= limit);
            let evaluates = !last && !stop && !limited && self.is_evaluated_at(done);
            if let (true, Some(loss)) = (last, outcome.last_loss.filter(|loss| !loss.is_finite())) {
                return Err(Error::Diverged { step: done, what: "training loss".into(), value: loss });
            }
            let again = self.checkpoints.poll()?;
            if stop || last || limited {
                self.save_for_sure(&running)?;
            } else if (again || evaluates || done.is_multiple_of(self.settings.save_every)) && self.guard.skipped()?.in_a_row == 0 {
                // While steps are skipped, what was saved before them is what may be needed.
                self.save(&running, false)?;
            }
            if stop {
                return Err(Error::Interrupted { step: done });
            }
            if limited {
                outcome.complete = false;
                break;
            }
            if evaluates {
                self.evaluate_between(&running)?;
            }
        }
        outcome.steps = self.state.step - first;
        outcome.tokens_per_sec = rate(&whole);
        outcome.skipped = self.guard.skipped()?.total;
        if outcome.complete {
            outcome.scores = self.evaluate(&running)?;
            if let Some((what, value)) = outcome.scores.iter().find(|(_, value)| !value.is_finite()) {
                return Err(Error::Diverged { step: self.state.step, what: (*what).to_owned(), value: *value });
            }
            self.sample(&running)?;
        }
        Ok(outcome)
    }

    /// Makes a step; `None` where it was to stop before the last micro-batch, and then everything is as it was.
    fn step(&mut self, step: u64, replicas: &Replicas, without_gradient: &mut Option<Vec<usize>>) -> Result<Option<StepResult>> {
        let lineage = &self.state.lineage;
        let phase = &lineage.phases[lineage.phase_of(step)];
        let step_in_phase = step - phase.first_step;
        let batch = self.task.batch(lineage, phase, step_in_phase)?;
        let model = self.task.model();
        let mut grads = Grads::new();
        let mut loss = Tensor::zeros([], (Kind::Float, model.device()));
        for micro in batch.micro {
            if self.observer.cancelled() {
                return Ok(None);
            }
            loss += replicas.add_gradients(model, micro()?, batch.targets, &mut grads)?;
        }
        let norm = grads.norm()?;
        if step < 2 {
            self.check_gradients(step, &grads, without_gradient)?;
        }
        let lr = self.settings.learning_rate * self.settings.schedule.at(phase, step_in_phase, lineage.phases[0].steps);
        let skip = self.guard.judge(step, &loss, &norm)?;
        // On the CPU there is nothing to wait for, and nothing to compute for a step that is skipped.
        let on_cpu = model.device() == Device::Cpu;
        if !on_cpu || f64::try_from(&skip)? == 0.0 {
            let update = Update { norm: &norm, skip: (!on_cpu).then_some(&skip), step: step + 1, lr };
            self.optimizer.step(model, &grads, &update, replicas)?;
        }
        self.state.rows_seen += batch.rows.len() as u64;
        Ok(Some(StepResult { loss, norm, skip, lr, targets: batch.targets, tokens: batch.tokens, rows: batch.rows }))
    }

    /// Ends the training once too many steps in a row were skipped.
    fn check_skipped(&self, result: &StepResult, step: u64) -> Result<()> {
        let skipped = self.guard.skipped()?;
        if skipped.in_a_row < self.settings.max_skipped {
            return Ok(());
        }
        let (loss, norm) = (f64::try_from(&result.loss)?, f64::try_from(&result.norm)?);
        Err(Error::Skipped { count: skipped.in_a_row, step, loss, norm, rows: sample_of(&result.rows) })
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

    fn log(&mut self, last: &StepResult, window: &Window, whole: &Window, total: u64, outcome: &mut Outcome) -> Result<String> {
        let (step, loss) = (self.state.step, window.mean_loss()?);
        outcome.last_loss = Some(loss);
        let norm = f64::try_from(&last.norm)?;
        let tokens_per_sec = rate(window);
        let row_tokens = last.tokens as f64 / last.rows.len().max(1) as f64;
        let flops_per_token = self.task.model().config().flops_per_token(row_tokens as i64);
        let mfu = tokens_per_sec * flops_per_token / self.peak_flops;
        let eta_secs = whole.time.as_secs_f64() / whole.steps as f64 * (total - step) as f64;
        let skipped = self.guard.skipped()?.total;
        let memory = torch_ext::peak_memory(self.task.model().device());
        let mut scalars = vec![
            ("train/loss", loss),
            ("train/learning_rate", last.lr),
            ("train/grad_norm", norm),
            ("train/skipped_steps", skipped as f64),
            ("throughput/tokens_per_sec", tokens_per_sec),
            ("throughput/mfu", mfu),
            ("throughput/eta_secs", eta_secs),
        ];
        scalars.extend(memory.map(|bytes| ("memory/peak_bytes", bytes as f64)));
        self.observer.scalars(step, &scalars);
        let mut line = format!("loss {loss:.4}  lr {:.2e}  grad norm {norm:.3}", last.lr);
        if skipped > 0 {
            line += &format!("  {skipped} skipped");
        }
        line += &format!("  {tokens_per_sec:.0} tokens/s  MFU {:.0} %", 100.0 * mfu);
        if let Some(bytes) = memory {
            line += &format!("  {:.1} GB", bytes as f64 / 1e9);
        }
        Ok(line)
    }

    fn save(&mut self, running: &Running, keep_all: bool) -> Result<()> {
        let model = self.task.snapshot()?;
        let state = self.optimizer.snapshot(self.task.model(), self.guard)?.detached()?;
        let losses = running.window.losses()?;
        self.checkpoints.save(self.state.clone(), keep_all, move |dir| {
            model(dir)?;
            state.write(dir)?;
            losses.map_or(Ok(()), |losses| losses.write(dir))
        })
    }

    /// Saves without a copy of anything, while nothing trains.
    fn save_now(&mut self, running: &Running, keep_all: bool) -> Result<()> {
        let task = self.task;
        let state = self.optimizer.snapshot(task.model(), self.guard)?;
        let losses = running.window.losses()?;
        self.checkpoints.save_now(self.state.clone(), keep_all, |dir| {
            task.write_model(dir)?;
            state.write(dir)?;
            losses.map_or(Ok(()), |losses| losses.write(dir))
        })
    }

    /// Saves at once; tries again, since nothing comes after it.
    fn save_for_sure(&mut self, running: &Running) -> Result<()> {
        let keep_all = self.guard.skipped()?.in_a_row > 0;
        for pause in LAST_PAUSES {
            match self.save_now(running, keep_all) {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "the checkpoint was not written; trying again in {} s", pause.as_secs()),
            }
            std::thread::sleep(pause);
        }
        self.save_now(running, keep_all)
    }

    /// Whether there is an evaluation after `step` steps, if these are not all; before the first there is none.
    fn is_evaluated_at(&self, step: u64) -> bool {
        step > 0 && self.settings.eval_every.is_some_and(|every| step.is_multiple_of(every))
    }

    /// Evaluates where training goes on after it, unless it is to stop.
    fn evaluate_between(&mut self, running: &Running) -> Result<()> {
        self.evaluate(running)?;
        self.sample(running)?;
        if self.observer.cancelled() { Err(self.interrupted(running)?) } else { Ok(()) }
    }

    /// What to end with after a signal within a step or an evaluation. What was saved after the last whole step stands; what was begun is
    /// made when the training goes on.
    fn interrupted(&mut self, running: &Running) -> Result<Error> {
        // Between skipped steps nothing was saved.
        if self.guard.skipped()?.in_a_row > 0 || self.checkpoints.finish().is_err() || !self.checkpoints.holds(&self.state) {
            self.save_for_sure(running)?;
        }
        Ok(Error::Interrupted { step: self.state.step })
    }

    fn evaluate(&mut self, running: &Running) -> Result<Scores> {
        let step = self.state.step;
        let stop = || self.observer.cancelled();
        let Some(scores) = running.replicas.alone(|| tch::no_grad(|| self.task.evaluate(&stop)))? else {
            return Err(self.interrupted(running)?);
        };
        if let Some((metric, value)) = scores.first().filter(|_| self.settings.keep_best) {
            let (generation, held_out) = (self.state.generation, Some(self.task.held_out()));
            self.checkpoints.mark_if_best(Best { generation, step, metric: (*metric).to_owned(), value: *value, held_out })?;
        }
        // Recorded last: what has scores is not evaluated again.
        if !scores.is_empty() && !self.observer.has_scores(step) {
            self.observer.scalars(step, &scores);
        }
        Ok(scores)
    }

    /// Lets the model go on with texts, unless that was done by an earlier process.
    fn sample(&mut self, running: &Running) -> Result<()> {
        let step = self.state.step;
        if self.observer.has_samples(step) {
            return Ok(());
        }
        let stop = || self.observer.cancelled();
        match running.replicas.alone(|| tch::no_grad(|| self.task.text_samples(&stop))) {
            Ok(None) => return Err(self.interrupted(running)?),
            Ok(Some(samples)) if samples.is_empty() => {}
            Ok(Some(samples)) => self.observer.samples(step, &samples),
            // They are only to look at.
            Err(error) => tracing::warn!(%error, "no text samples at step {step}"),
        }
        Ok(())
    }
}

/// What [`calibrate`] measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Micro-batches that were measured.
    pub micro_batches: u64,
    /// Tokens per second over whole steps.
    pub tokens_per_sec: f64,
    /// Seconds of one step.
    pub secs_per_step: f64,
    /// Copies of the gradients that are held at a time.
    pub replicas: usize,
}

/// Times micro-batches and updates at learning rate 0 for about `duration`, after one of each that does not count; how long a step is
/// follows from its number of micro-batches, so that a long one need not be made. Reading batches, which training does beside
/// computing, does not count. Weights stay as they are, moments do not.
///
/// # Errors
/// What libtorch refuses.
pub fn calibrate(
    task: &impl Task,
    optimizer: &mut Optimizer,
    lineage: &Lineage,
    threads: usize,
    recompute: bool,
    duration: Duration,
) -> Result<Calibration> {
    let model = task.model();
    let replicas = Replicas::start(model, threads, recompute)?;
    let phase = &lineage.phases[0];
    let (mut passes, mut updates, mut per_step) = (Window::default(), Window::default(), 0);
    for step in 0.. {
        let batch = task.batch(lineage, phase, step % phase.steps.max(1))?;
        per_step = batch.micro.len();
        let mut grads = Grads::new();
        for micro in batch.micro {
            let started = Instant::now();
            let micro = micro()?;
            let tokens = micro.ids.numel() as u64;
            // Waits for a GPU.
            f64::try_from(&replicas.add_gradients(model, micro, batch.targets, &mut grads)?)?;
            if step == 0 {
                break;
            }
            passes = Window { steps: passes.steps + 1, tokens: passes.tokens + tokens, time: passes.time + started.elapsed(), ..passes };
            if passes.time >= duration {
                break;
            }
        }
        let started = Instant::now();
        let norm = grads.norm()?;
        optimizer.step(model, &grads, &Update { norm: &norm, skip: None, step: step + 1, lr: 0.0 }, &replicas)?;
        f64::try_from(&norm)?;
        if step > 0 {
            updates = Window { steps: updates.steps + 1, time: updates.time + started.elapsed(), ..updates };
            if passes.time + updates.time >= duration {
                break;
            }
        }
    }
    let per_pass = |total: f64| total / passes.steps.max(1) as f64;
    let update_secs = updates.time.as_secs_f64() / updates.steps.max(1) as f64;
    let secs_per_step = per_step as f64 * per_pass(passes.time.as_secs_f64()) + update_secs;
    let tokens_per_sec = per_step as f64 * per_pass(passes.tokens as f64) / secs_per_step.max(1e-9);
    Ok(Calibration { micro_batches: passes.steps, tokens_per_sec, secs_per_step, replicas: replicas.parts() })
}

fn rate(window: &Window) -> f64 {
    if window.steps == 0 { 0.0 } else { window.tokens as f64 / window.time.as_secs_f64().max(1e-9) }
}

fn sample_of(rows: &[u64]) -> String {
    let some: Vec<String> = rows.iter().take(8).map(u64::to_string).collect();
    let more = if rows.len() > 8 { format!(" and {} more", rows.len() - 8) } else { String::new() };
    some.join(", ") + &more
}

/// How long a training of so many minutes is, as long as it has no steps (`total_steps` is 0): they are measured when it starts.
pub fn unmeasured(total_steps: u64, minutes: Option<f64>) -> Option<String> {
    minutes.filter(|_| total_steps == 0).map(|minutes| format!("as many steps as fit into {}", duration_text(60.0 * minutes)))
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

#[cfg(test)]
mod tests;
