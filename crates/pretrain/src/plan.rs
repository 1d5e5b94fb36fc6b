//! `pretrain plan` and `pretrain doctor`: what a training would take, and what this machine has for it.

use std::fmt::Write;
use std::time::Duration;

use stage::{Command, StageContext, StageError};
use train::batch::Horizon;
use train::compute::Compute;
use train::lineage::{DataBatch, Lineage};
use train::optimizer::Optimizer;
use train::samples::Place;
use train::session::Session;
use train::trainer::{calibrate, duration_text};

use crate::config::Config;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::{Pretrain, find_micro_rows, place, plan_lines, prepare, request, warnings};

/// How long the calibration measures, after a micro-batch and an update that do not count.
const CALIBRATION: Duration = Duration::from_secs(2);

/// The commands' arguments and functions.
pub(crate) fn commands() -> Vec<Command<Pretrain>> {
    vec![
        Command {
            clap: stage::with_flags(
                clap::Command::new("plan")
                    .about("Prints size, memory, tokens, steps and expected time, measured in a few seconds; trains nothing"),
                &["force", "fresh"],
            ),
            run: |ctx, config, _| plan(ctx, config).map_err(explained),
        },
        Command {
            clap: clap::Command::new("doctor")
                .about("Prints libtorch, devices, bf16 and threads, and which of them this configuration would use"),
            run: |ctx, config, _| doctor(ctx, config).map_err(StageError::from),
        },
    ]
}

/// Another training than the one there is can be planned without touching that one.
fn explained(error: Error) -> StageError {
    let is_other = matches!(error, Error::Train(train::Error::NewRecipe { .. } | train::Error::NewData { .. }));
    let error = StageError::from(error);
    if is_other { error.with_hint("`pretrain plan --fresh` plans a training from the start; it changes nothing on disk") } else { error }
}

/// What would be done, and what it takes. Nothing is changed on disk.
fn plan(ctx: &StageContext, config: &Config) -> Result<String, Error> {
    let inputs = Inputs::open(ctx, config, false)?;
    let mut session = Session::open(&ctx.stage_dir, request(ctx, config, &inputs)?, ctx.force || ctx.fresh)?;
    let compute = Compute::resolve(&config.device, config.precision, ctx.threads.unwrap_or(config.threads))?;
    let place = match place(ctx, config, &inputs)? {
        // Training would read rows from a copy of them on disk, beside its steps; any rows are as good for measuring those.
        Place::Disk(_) => Place::First(config.batch_rows),
        other => other,
    };
    let mut task = prepare(ctx, config, &inputs, &place, &compute)?;
    find_micro_rows(config, &mut task, &mut session, &compute)?;
    let mut out = String::new();
    for line in plan_lines(config, &task, &inputs, &session, &compute).into_iter().chain(warnings(config, &inputs, &session)) {
        let _ = writeln!(out, "{line}");
    }
    let mut optimizer = Optimizer::new(&task.model, config.hyper().optimizer())?;
    let peak_flops = compute.peak_flops()?;
    // Steps without an end over the rows that were read; minutes are steps only once they are measured, which is done here too.
    let rows = vec![DataBatch::new([], task.train.len())];
    let lineage = Lineage::fresh(session.lineage.recipe.clone(), rows, ctx.seed, Horizon::Steps(u64::MAX / 2), &task.plan);
    let recompute = config.activation_checkpointing;
    let measured = calibrate(&task, &mut optimizer, &lineage, compute.threads, recompute, CALIBRATION)?;
    let params = task.model.config().num_params() as u64;
    let copies = if compute.precision() == "bf16" { 2 * params } else { 0 };
    let (masters, moments, gradients) = (4 * params, optimizer.num_bytes(), 4 * params * measured.replicas as u64);
    let _ = write!(
        out,
        "memory: {} master weights, {} optimizer state, {} gradients",
        megabytes(masters),
        megabytes(moments),
        megabytes(gradients)
    );
    if copies > 0 {
        let _ = write!(out, ", {} bf16 copies", megabytes(copies));
    }
    let _ = match torch_ext::peak_memory(tch::Device::Cpu) {
        Some(peak) if compute.device_name() == "cpu" => {
            let rest = peak.saturating_sub(masters + moments + gradients + copies);
            writeln!(out, ", {} samples, activations and libtorch; {} in all at the peak (measured)", megabytes(rest), megabytes(peak))
        }
        _ => writeln!(out, "; activations not measured"),
    };
    let left = session.lineage.total_steps() - session.first_step().min(session.lineage.total_steps());
    let secs = (left * task.plan.tokens_per_step()) as f64 / measured.tokens_per_sec;
    let flops = measured.tokens_per_sec * task.model.config().flops_per_token(task.plan.tokens_per_row as i64);
    let _ = writeln!(
        out,
        "speed: {:.0} tokens/s, {:.1} GFLOP/s, {:.0} % of a matrix product's {:.1} (measured over {} micro-batch(es))",
        measured.tokens_per_sec,
        flops / 1e9,
        100.0 * flops / peak_flops,
        peak_flops / 1e9,
        measured.micro_batches
    );
    let _ = match config.minutes {
        Some(minutes) if left == 0 && session.first_step() == 0 => {
            let steps = 60.0 * minutes / measured.secs_per_step;
            writeln!(out, "time: {}, about {steps:.0} steps, without evaluating and saving", duration_text(60.0 * minutes))
        }
        _ => writeln!(out, "time: {} for the {left} step(s) to do, without evaluating and saving", duration_text(secs)),
    };
    let weights = if config.weights == train::settings::WeightsType::Bf16 { 2 * params } else { masters };
    let _ = writeln!(out, "checkpoint: {}, of which the last {} are kept", megabytes(weights + masters + moments), config.keep_last);
    for line in session.describe() {
        let _ = writeln!(out, "now: {line}");
    }
    Ok(out)
}

/// What the machine has, and what the configuration makes of it.
fn doctor(ctx: &StageContext, config: &Config) -> Result<String, Error> {
    let mut out = String::new();
    let _ = writeln!(out, "libtorch: {}", torch_ext::version());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let bf16 = if torch_ext::has_fast_bf16() { "in hardware" } else { "emulated, slower than float32" };
    let _ = writeln!(out, "CPU: {cpus} usable thread(s), bf16 {bf16}");
    let _ = match torch_ext::load_cuda() {
        torch_ext::CudaLoad::Loaded { devices: 0 } => writeln!(out, "GPU: libtorch's CUDA half is there, no GPU is visible"),
        torch_ext::CudaLoad::Loaded { devices } => writeln!(out, "GPU: {devices} visible"),
        torch_ext::CudaLoad::Absent { reason } => writeln!(out, "GPU: none, libtorch's CUDA half is not installed ({reason})"),
    };
    let compute = match Compute::resolve(&config.device, config.precision, ctx.threads.unwrap_or(config.threads)) {
        Ok(compute) => compute,
        Err(error) => {
            // What the machine has is what one wants to know then.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes());
            return Err(error.into());
        }
    };
    let in_blocks = compute.device == tch::Device::Cpu && compute.kind == tch::Kind::BFloat16 && torch_ext::has_block_attention();
    let attention = if in_blocks { " (backward pass: in blocks of our own where heads are multiples of 16 wide)" } else { "" };
    let _ = writeln!(
        out,
        "this configuration: {} on {}, {} thread(s), attention by libtorch's scaled_dot_product_attention{attention}",
        compute.precision(),
        compute.device_name(),
        compute.threads
    );
    Ok(out)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded() {
        assert_eq!(megabytes(1_550_000), "1.6 MB");
    }
}
