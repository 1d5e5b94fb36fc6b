//! Time of one training step: forward, backward and AdamW.
//!
//! usage: `cargo run --release -p model --example step_speed -- [f32|bf16] [threads] [hidden] [layers] [heads] [vocabulary] [time] [batch]`

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::Instant;

use model::{Config, Grads, Inputs, Model, Options};
use tch::{Device, Kind, Tensor};
use torch_ext::AdamW;

const WARM_UP_STEPS: i64 = 3;
const STEPS: i64 = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let compute = if args.first().is_some_and(|kind| kind == "bf16") { Kind::BFloat16 } else { Kind::Float };
    let number = |index: usize, default: i64| args.get(index).map_or(Ok(default), |text| text.parse::<i64>());
    torch_ext::set_num_threads(number(1, 1)? as usize);
    let config = Config::llama(number(5, 2048)?, number(2, 128)?, number(3, 4)?, number(4, 2)?);
    let (time, batch) = (number(6, 128)?, number(7, 32)?);
    let device = if std::env::var_os("GPU").is_some() {
        println!("{:?}", torch_ext::load_cuda());
        Device::Cuda(0)
    } else {
        Device::Cpu
    };
    let model = Model::new(config, 1, &Options { device, compute, trainable: true })?;
    let ids = Tensor::randint(model.config().vocab_size, [batch, time + 1], (Kind::Int64, device));
    let (inputs, targets) = (ids.narrow(1, 0, time).contiguous(), ids.narrow(1, 1, time).contiguous());
    let masters: Vec<&Tensor> = model.trainable().iter().map(|param| &param.master).collect();
    let moments: Vec<(Tensor, Tensor)> = masters.iter().map(|p| (p.zeros_like(), p.zeros_like())).collect();
    let (m, v): (Vec<&Tensor>, Vec<&Tensor>) = moments.iter().map(|(m, v)| (m, v)).unzip();
    let options = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let mut grads = Grads::new();
    let (mut forward, mut backward, mut update, mut last) = (0.0, 0.0, 0.0, 0.0);
    for step in 1..=WARM_UP_STEPS + STEPS {
        let start = Instant::now();
        let loss = model.loss(&inputs, &targets, &Inputs::default())?;
        let after_forward = Instant::now();
        grads.add_backward(&model, &(&loss.sum / loss.num_targets as f64))?;
        let after_backward = Instant::now();
        let scale = grads.norm()?.clamp_min(1.0);
        let step_t = torch_ext::step_tensor(step, device);
        torch_ext::fused_adamw(&masters, &grads.tensors(), &m, &v, &step_t, &options, Some(&scale), None)?;
        model.refresh()?;
        grads.clear();
        last = loss.sum.double_value(&[]) / loss.num_targets as f64;
        if step > WARM_UP_STEPS {
            forward += (after_forward - start).as_secs_f64();
            backward += (after_backward - after_forward).as_secs_f64();
            update += after_backward.elapsed().as_secs_f64();
        }
    }
    let total = (forward + backward + update) / STEPS as f64;
    let tokens = (batch * time) as f64;
    println!(
        "{compute:?} {} threads, {} parameters: {:.1} ms a step (forward and loss {:.1}, backward {:.1}, update {:.1}), {:.0} tokens/s, {:.1} GFLOP/s, loss {last:.3}",
        torch_ext::num_threads(),
        model.config().num_params(),
        total * 1e3,
        forward / STEPS as f64 * 1e3,
        backward / STEPS as f64 * 1e3,
        update / STEPS as f64 * 1e3,
        tokens / total,
        tokens * model.config().flops_per_token(time) / total / 1e9,
    );
    Ok(())
}
