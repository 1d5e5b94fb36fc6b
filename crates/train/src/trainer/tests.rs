//! The loop with a task in memory.

use super::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use handoff::RunDir;
use model::{Config, Options};

use crate::batch::{BatchPlan, Horizon};
use crate::checkpoint::{Checkpoints, FORMAT_VERSION, Keep};
use crate::lineage::DataBatch;
use crate::optimizer::OptimizerConfig;
use crate::schedule::Decay;

/// Passes of an evaluation.
const PASSES: u64 = 5;
/// Micro-batches of a step.
const MICRO: u64 = 3;
/// Texts that are gone on with.
const PROMPTS: u64 = 2;
const OPTIMIZER: OptimizerConfig =
    OptimizerConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, clip_norm: None, muon_lr_ratio: None };

/// What a process did.
#[derive(Debug, Default)]
struct Done {
    /// Passes over held-out rows.
    passes: Cell<u64>,
    /// Micro-batches begun.
    micro: Cell<u64>,
    /// Prompts gone on with.
    prompts: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

struct Toy {
    model: Model,
    micro: u64,
    done: Rc<Done>,
}

impl Toy {
    fn new(micro: u64, done: &Rc<Done>) -> Self {
        Self { model: Model::new(Config::llama(16, 8, 1, 2), 3, &Options::cpu()).unwrap(), micro, done: Rc::clone(done) }
    }
}

impl Task for Toy {
    fn model(&self) -> &Model {
        &self.model
    }

    fn batch(&self, _: &Lineage, _: &Phase, step: u64) -> Result<StepBatch> {
        let micro = |index: u64| -> MakeMicro {
            let done = Rc::clone(&self.done);
            Box::new(move || {
                count(&done.micro);
                let ids = (Tensor::arange(12, (Kind::Int64, Device::Cpu)) + (step + index) as i64).remainder(16).view([2, 6]);
                Ok(Micro { targets: (&ids + 1).remainder(16), ids, inputs: Inputs::default() })
            })
        };
        let tokens = 12 * self.micro;
        Ok(StepBatch { micro: (0..self.micro).map(micro).collect(), targets: tokens, tokens, rows: vec![0, 1] })
    }

    fn evaluate(&self, stop: &dyn Fn() -> bool) -> Result<Option<Scores>> {
        for _ in 0..PASSES {
            if stop() {
                return Ok(None);
            }
            count(&self.done.passes);
        }
        let sum = |param: &model::Param| param.master.sum(Kind::Double).double_value(&[]);
        Ok(Some(vec![("validation/loss", self.model.params().iter().map(sum).sum())]))
    }

    fn held_out(&self) -> Digest {
        Digest::of_bytes(b"")
    }

    fn text_samples(&self, stop: &dyn Fn() -> bool) -> Result<Option<Vec<TextSample>>> {
        let mut samples = Vec::new();
        for _ in 0..PROMPTS {
            if stop() {
                return Ok(None);
            }
            count(&self.done.prompts);
            samples.push(TextSample { prompt: String::new(), completion: String::new() });
        }
        Ok(Some(samples))
    }

    fn snapshot(&self) -> Result<Write> {
        Ok(Box::new(|dir: &Path| touch(&dir.join("copied"))))
    }

    fn write_model(&self, dir: &Path) -> Result<()> {
        touch(&dir.join("direct"))
    }
}

fn touch(path: &Path) -> Result<()> {
    std::fs::write(path, "").map_err(Error::io("write", path))
}

/// What was recorded by all processes that trained one after the other.
#[derive(Debug, Default, PartialEq)]
struct Recorded {
    losses: BTreeMap<u64, f64>,
    scores: BTreeMap<u64, Vec<f64>>,
    samples: BTreeMap<u64, u64>,
}

struct Watch<'a> {
    done: Rc<Done>,
    stop: &'a dyn Fn(&Done) -> bool,
    recorded: &'a RefCell<Recorded>,
}

impl Observer for Watch<'_> {
    fn cancelled(&self) -> bool {
        (self.stop)(&self.done)
    }

    fn has_scores(&self, step: u64) -> bool {
        self.recorded.borrow().scores.contains_key(&step)
    }

    fn has_samples(&self, step: u64) -> bool {
        self.recorded.borrow().samples.contains_key(&step)
    }

    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) {
        for (name, value) in values {
            match *name {
                "validation/loss" => self.recorded.borrow_mut().scores.entry(step).or_default().push(*value),
                "train/loss" => {
                    self.recorded.borrow_mut().losses.insert(step, *value);
                }
                _ => {}
            }
        }
    }

    fn samples(&mut self, step: u64, samples: &[TextSample]) {
        *self.recorded.borrow_mut().samples.entry(step).or_default() += samples.len() as u64;
    }

    fn progress(&mut self, _: u64, _: Option<&str>) {}
}

fn lineage() -> Lineage {
    let plan = BatchPlan::new(2, None, 6).unwrap();
    let data = vec![DataBatch::new([&Digest::of_bytes(b"d")], 2)];
    Lineage::fresh(serde_json::json!({}), data, 0, Horizon::Steps(6), &plan)
}

/// Trains six steps with an evaluation after every second, from the newest checkpoint in `dir`; returns the weights too.
fn go(
    dir: &Path,
    limit: Option<u64>,
    stop: &dyn Fn(&Done) -> bool,
    recorded: &RefCell<Recorded>,
) -> (Result<Outcome>, Vec<Tensor>, Rc<Done>) {
    let done = Rc::new(Done::default());
    let task = Toy::new(MICRO, &done);
    let mut optimizer = Optimizer::new(&task.model, OPTIMIZER).unwrap();
    let mut guard = Guard::of(&task.model, 0.0).unwrap();
    let checkpoints = Checkpoints::new(RunDir::new(dir).stage("pretrain"), Keep { last: 2, every: None });
    let state = match checkpoints.newest().unwrap().checkpoint {
        Some(checkpoint) => {
            optimizer.load(&task.model, &guard, &checkpoint.tensors()).unwrap();
            checkpoint.state
        }
        None => State {
            format_version: FORMAT_VERSION,
            generation: 1,
            step: 0,
            rows_seen: 0,
            lineage: lineage(),
            precision: "fp32".into(),
            device: "cpu".into(),
            threads: 1,
            micro_rows: 2,
            files: BTreeMap::new(),
        },
    };
    let settings = LoopSettings {
        learning_rate: 0.01,
        schedule: Schedule { decay: Decay::Linear, warmup_steps: 1, decay_share: 0.2, min_share: 0.0 },
        save_every: 100,
        eval_every: Some(2),
        log_every: 4,
        keep_best: true,
        skip_sigma: 0.0,
        max_skipped: 3,
        recompute: false,
        limit,
    };
    let mut observer = Watch { done: Rc::clone(&done), stop, recorded };
    let mut trainer = Trainer {
        task: &task,
        optimizer: &mut optimizer,
        guard: &mut guard,
        checkpoints: Writer::new(checkpoints),
        observer: &mut observer,
        settings,
        peak_flops: 1.0,
        state,
    };
    let outcome = trainer.run();
    drop(trainer);
    let weights = task.model.params().iter().map(|param| param.master.copy()).collect();
    (outcome, weights, done)
}

fn is_same(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equal(b))
}

#[test]
fn an_evaluation_is_interrupted_and_made_when_the_training_goes_on() {
    let (whole, recorded) = (tempfile::tempdir().unwrap(), RefCell::default());
    let (outcome, expected, done) = go(whole.path(), None, &|_| false, &recorded);
    assert!(outcome.unwrap().complete);
    assert_eq!(done.passes.get(), 3 * PASSES);
    assert_eq!(recorded.borrow().scores.keys().copied().collect::<Vec<_>>(), [2, 4, 6]);
    for (step, written) in [(4, "copied"), (6, "direct")] {
        let there = RunDir::new(whole.path()).stage("pretrain").checkpoint(step).join(written);
        assert!(there.exists(), "copies are made only where training goes on: step {step}");
    }

    // In the first evaluation, right after it, in the second, in the last; each time it goes on where it was stopped.
    let (cut, again) = (tempfile::tempdir().unwrap(), RefCell::default());
    let checkpoint = |step: u64| RunDir::new(cut.path()).stage("pretrain").checkpoint(step);
    for (stop_at, step, scored) in [(3, 2, 0), (PASSES, 2, 1), (2, 4, 1), (PASSES + 1, 6, 2)] {
        let (outcome, _, done) = go(cut.path(), None, &|done| done.passes.get() >= stop_at, &again);
        assert!(matches!(outcome, Err(Error::Interrupted { step: at }) if at == step), "{stop_at}: {outcome:?}");
        assert_eq!((done.passes.get(), again.borrow().scores.len()), (stop_at, scored), "no pass after the signal");
        assert!(checkpoint(step).exists());
    }
    let (outcome, weights, done) = go(cut.path(), None, &|_| false, &again);
    assert!(outcome.unwrap().complete);
    assert_eq!(done.passes.get(), PASSES, "what was scored is not scored again");
    assert!(is_same(&weights, &expected), "the same bits");
    assert_eq!(again, recorded);
}

#[test]
fn a_step_is_interrupted_and_made_when_the_training_goes_on() {
    let (whole, recorded) = (tempfile::tempdir().unwrap(), RefCell::default());
    let (outcome, expected, _) = go(whole.path(), None, &|_| false, &recorded);
    assert!(outcome.unwrap().complete);
    assert_eq!(recorded.borrow().losses.keys().copied().collect::<Vec<_>>(), [4, 6]);

    let (cut, again) = (tempfile::tempdir().unwrap(), RefCell::default());
    // Within the first step, within the second, after two more, and where a logged line is due.
    for (stop_at, step) in [(1, 0), (MICRO + 2, 1), (2 * MICRO + 1, 3), (2, 3), (MICRO + 1, 4)] {
        let (outcome, _, done) = go(cut.path(), None, &|done| done.micro.get() >= stop_at, &again);
        assert!(matches!(outcome, Err(Error::Interrupted { step: at }) if at == step), "{stop_at}: {outcome:?}");
        assert_eq!(done.micro.get(), stop_at, "no micro-batch after the signal");
        assert!(RunDir::new(cut.path()).stage("pretrain").checkpoint(step).exists());
    }
    let (outcome, weights, _) = go(cut.path(), None, &|_| false, &again);
    assert!(outcome.unwrap().complete);
    assert!(is_same(&weights, &expected), "the same bits");
    assert_eq!(again, recorded, "losses are means over as many steps, and nothing is lost or doubled");
}

#[test]
fn text_samples_are_made_once_also_where_they_are_interrupted() {
    let (dir, recorded) = (tempfile::tempdir().unwrap(), RefCell::default());
    let (outcome, _, done) = go(dir.path(), None, &|done| done.prompts.get() >= 1, &recorded);
    assert!(matches!(outcome, Err(Error::Interrupted { step: 2 })), "{outcome:?}");
    assert_eq!((done.prompts.get(), done.passes.get()), (1, PASSES), "no prompt after the signal");
    assert!(recorded.borrow().samples.is_empty());
    // Those of the second step and, of the sixth, one.
    let (outcome, _, done) = go(dir.path(), None, &|done| done.prompts.get() > 2 * PROMPTS, &recorded);
    assert!(matches!(outcome, Err(Error::Interrupted { step: 6 })), "{outcome:?}");
    assert_eq!(done.passes.get(), 2 * PASSES, "what was scored is not scored again");
    // The second time as where a finished training was killed before it was committed.
    for _ in 0..2 {
        assert!(go(dir.path(), None, &|_| false, &recorded).0.unwrap().complete);
        assert_eq!(recorded.borrow().samples, BTreeMap::from([(2, PROMPTS), (4, PROMPTS), (6, PROMPTS)]));
    }
}

#[test]
fn a_limit_of_no_steps_makes_none() {
    let (dir, recorded) = (tempfile::tempdir().unwrap(), RefCell::default());
    let (outcome, _, done) = go(dir.path(), Some(0), &|_| false, &recorded);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.complete, outcome.steps, done.micro.get()), (false, 0, 0));
    assert!(outcome.limit_note().contains("before the first step"));
    assert!(!RunDir::new(dir.path()).stage("pretrain").checkpoints().exists());
    let (outcome, ..) = go(dir.path(), Some(2), &|_| false, &recorded);
    assert_eq!(outcome.unwrap().limit_note(), "stopped by --limit after 2 step(s); the checkpoint is saved, `model/` is not written yet");
}

#[test]
fn a_long_step_is_not_made_to_be_measured() {
    let done = Rc::new(Done::default());
    let task = Toy::new(1000, &done);
    let mut optimizer = Optimizer::new(&task.model, OPTIMIZER).unwrap();
    let measured = calibrate(&task, &mut optimizer, &lineage(), 1, false, Duration::ZERO).unwrap();
    assert_eq!((measured.micro_batches, done.micro.get()), (1, 2), "the first does not count");
    let tokens = measured.tokens_per_sec * measured.secs_per_step;
    assert!((tokens - 12_000.0).abs() < 1e-3, "{measured:?}");
    // Several steps where there is time for them.
    let (task, before) = (Toy::new(2, &done), done.micro.get());
    let measured = calibrate(&task, &mut optimizer, &lineage(), 1, false, Duration::from_millis(300)).unwrap();
    assert_eq!(done.micro.get() - before, measured.micro_batches + 1);
    assert!(measured.micro_batches > 2 && (measured.tokens_per_sec * measured.secs_per_step - 24.0).abs() < 1e-6, "{measured:?}");
}

#[test]
fn minutes_are_no_steps_before_they_are_measured() {
    assert_eq!(unmeasured(0, Some(2.0)).as_deref(), Some("as many steps as fit into 2 min 00 s"));
    assert_eq!((unmeasured(40, Some(2.0)), unmeasured(0, None)), (None, None));
}
