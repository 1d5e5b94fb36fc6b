//! Our side of `scripts/bench_pretrain.py`: the training loop itself on given weights and given batches.
//!
//! usage: `train_speed MODEL_DIR BATCHES.safetensors THREADS fp32|bf16 [recompute]`; `BATCHES` holds `ids`, int64 `[steps, rows, time + 1]`.
//! Prints one JSON line: median tokens/s over all but the first steps, peak memory, and the loss of every step.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for the terminal")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use handoff::Digest;
use model::{Inputs, Model, Options};
use tch::Tensor;
use train::batch::{BatchPlan, Horizon};
use train::checkpoint::{Checkpoints, FORMAT_VERSION, Keep, State, Write, Writer};
use train::compute::{Compute, Precision};
use train::guard::Guard;
use train::lineage::{DataBatch, Lineage, Phase};
use train::optimizer::{Optimizer, OptimizerConfig};
use train::schedule::{Decay, Schedule};
use train::trainer::{LoopSettings, MakeMicro, Micro, Observer, Scores, StepBatch, Task, TextSample, Trainer};

/// Steps that are not timed.
const WARM_UP: usize = 5;

struct Given {
    model: Model,
    ids: Tensor,
}

impl Task for Given {
    fn model(&self) -> &Model {
        &self.model
    }

    fn batch(&self, _: &Lineage, _: &Phase, step: u64) -> train::Result<StepBatch> {
        let rows = self.ids.get(step as i64).to_device(self.model.device());
        let (count, time) = (rows.size()[0], rows.size()[1] - 1);
        let cut = |start| rows.narrow(1, start, time).contiguous();
        let micro = vec![Micro { ids: cut(0), targets: cut(1), inputs: Inputs::default() }];
        let tokens = (count * time) as u64;
        let micro = micro.into_iter().map(|part: Micro| -> MakeMicro { Box::new(move || Ok(part)) }).collect();
        Ok(StepBatch { micro, targets: tokens, tokens, rows: (0..count as u64).collect() })
    }

    fn evaluate(&self, _: &dyn Fn() -> bool) -> train::Result<Option<Scores>> {
        Ok(Some(Vec::new()))
    }

    fn held_out(&self) -> Digest {
        Digest::of_bytes(b"")
    }

    fn snapshot(&self) -> train::Result<Write> {
        Ok(Box::new(|_: &Path| Ok(())))
    }

    fn write_model(&self, _: &Path) -> train::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Notes {
    losses: Vec<f64>,
    times: Vec<f64>,
}

struct Watch<'a> {
    notes: &'a RefCell<Notes>,
    last: Instant,
}

impl Observer for Watch<'_> {
    fn cancelled(&self) -> bool {
        false
    }

    fn has_scores(&self, _: u64) -> bool {
        false
    }

    fn has_samples(&self, _: u64) -> bool {
        false
    }

    fn scalars(&mut self, _: u64, values: &[(&str, f64)]) {
        self.notes.borrow_mut().losses.extend(values.iter().find(|(name, _)| *name == "train/loss").map(|(_, loss)| *loss));
    }

    fn samples(&mut self, _: u64, _: &[TextSample]) {}

    fn progress(&mut self, _: u64, _: Option<&str>) {
        self.notes.borrow_mut().times.push(self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, batches, threads, precision, more @ ..] = args.as_slice() else {
        return Err("usage: train_speed MODEL_DIR BATCHES.safetensors THREADS fp32|bf16 [recompute]".into());
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::Fp32 };
    let compute = Compute::resolve("auto", precision, threads.parse()?)?;
    let model = Model::load(Path::new(dir), &Options { device: compute.device, compute: compute.kind, trainable: true })?;
    let ids = Tensor::read_safetensors(batches)?.into_iter().find(|(name, _)| name == "ids").ok_or("no `ids`")?.1;
    let &[steps, rows, width] = ids.size().as_slice() else { return Err("`ids` must have three dimensions".into()) };
    let task = Given { model, ids };
    let plan = BatchPlan::new(rows as u64, None, width as u64 - 1)?;
    let data = vec![DataBatch::new([], rows as u64)];
    let config = OptimizerConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, clip_norm: Some(1.0), muon_lr_ratio: None };
    let mut optimizer = Optimizer::new(&task.model, config)?;
    let mut guard = Guard::of(&task.model, 6.0)?;
    let notes = RefCell::new(Notes::default());
    let mut watch = Watch { notes: &notes, last: Instant::now() };
    let scratch = std::env::temp_dir().join(format!("train_speed-{}", std::process::id()));
    let stage = handoff::RunDir::new(&scratch).stage("pretrain");
    let state = State {
        format_version: FORMAT_VERSION,
        generation: 1,
        step: 0,
        rows_seen: 0,
        lineage: Lineage::fresh(serde_json::json!({}), data, 0, Horizon::Steps(steps as u64), &plan),
        precision: compute.precision().to_owned(),
        device: compute.device_name(),
        threads: compute.threads,
        micro_rows: rows as u64,
        files: BTreeMap::new(),
    };
    // The last step is not timed: the loop saves after it.
    let settings = LoopSettings {
        learning_rate: 1e-3,
        schedule: Schedule { decay: Decay::Constant, warmup_steps: 0, decay_share: 0.0, min_share: 0.0 },
        save_every: u64::MAX,
        eval_every: None,
        log_every: 1,
        keep_best: false,
        skip_sigma: 6.0,
        max_skipped: 10,
        recompute: more.iter().any(|word| word == "recompute"),
        limit: None,
    };
    let checkpoints = Writer::new(Checkpoints::new(stage, Keep { last: 2, every: None }));
    let peak_flops = compute.peak_flops()?;
    torch_ext::reset_peak_memory();
    Trainer { task: &task, optimizer: &mut optimizer, guard: &mut guard, checkpoints, observer: &mut watch, settings, peak_flops, state }
        .run()?;
    let peak = torch_ext::peak_memory(compute.device).unwrap_or(0);
    std::fs::remove_dir_all(&scratch)?;
    let notes = notes.into_inner();
    let mut times = notes.times[WARM_UP.min(notes.times.len() - 1)..].to_vec();
    times.sort_by(f64::total_cmp);
    let tokens_per_sec = (rows * (width - 1)) as f64 / times[times.len() / 2];
    let mfu = tokens_per_sec * task.model.config().flops_per_token(width - 1) / peak_flops;
    println!(
        "{}",
        serde_json::json!({ "tokens_per_sec": tokens_per_sec, "peak_bytes": peak, "losses": notes.losses, "mfu": mfu, "step_secs": notes.times })
    );
    Ok(())
}
