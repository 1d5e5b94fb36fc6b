//! AdamW over the model's master weights, or Muon for the matrices of its blocks, and their state on disk.
//!
//! libtorch supplies tensors and autograd; everything that must survive a stop is owned by the model (float32 masters)
//! and here (both moments), in the order of [`Model::trainable`].

use std::fs;
use std::path::Path;

use model::{Grads, Model, Snapshot};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};
use torch_ext::{AdamW, Weight};

use crate::checkpoint::TENSORS;
use crate::guard::Guard;
use crate::replicas::Replicas;
use crate::{Error, Result, muon};

/// AdamW settings that stay the same over all steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizerConfig {
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay of matrices; norms have none.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm; `None` leaves them alone. Muon's update does not depend on their scale.
    pub clip_norm: Option<f64>,
    /// Muon for the matrices of the blocks, with this multiple of the learning rate; `None`: AdamW for all.
    pub muon_lr_ratio: Option<f64>,
}

/// The moments of all trainable tensors, in model order.
#[derive(Debug)]
pub struct Optimizer {
    names: Vec<String>,
    exp_avgs: Vec<Tensor>,
    exp_avg_sqs: Vec<Tensor>,
    /// Positions of the parameters with weight decay, and of those without.
    groups: [Vec<usize>; 2],
    /// Positions of the parameters that Muon updates; their second moments are empty.
    muon: Vec<usize>,
    /// AdamW runs in one pass over memory, on the CPU.
    one_pass: bool,
    config: OptimizerConfig,
}

impl Optimizer {
    /// Zero moments for what `model` trains.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn new(model: &Model, config: OptimizerConfig) -> Result<Self> {
        let params = model.trainable();
        let by_muon = |i: &usize| config.muon_lr_ratio.is_some() && muon::applies(&params[*i]);
        let (muon, others): (Vec<usize>, Vec<usize>) = (0..params.len()).partition(by_muon);
        let (decaying, plain) = others.into_iter().partition(|&i| params[i].decay);
        let names = params.iter().map(|p| p.name.clone()).collect();
        let zeros = |master: &Tensor| Ok(master.f_zeros_like()?);
        let none = || Ok(Tensor::f_zeros([0], (Kind::Float, model.device()))?);
        let exp_avgs = params.iter().map(|p| zeros(&p.master)).collect::<Result<_>>()?;
        let second = |i: usize| if muon.contains(&i) { none() } else { zeros(&params[i].master) };
        let exp_avg_sqs = (0..params.len()).map(second).collect::<Result<_>>()?;
        let one_pass = model.device() == Device::Cpu;
        Ok(Self { names, exp_avgs, exp_avg_sqs, groups: [decaying, plain], muon, one_pass, config })
    }

    /// Number of tensors with weight decay, and of those without; Muon's are among the latter.
    pub fn num_tensors(&self) -> (usize, usize) {
        (self.groups[0].len(), self.groups[1].len() + self.muon.len())
    }

    /// Memory of the moments in bytes.
    pub fn num_bytes(&self) -> u64 {
        self.exp_avgs.iter().chain(&self.exp_avg_sqs).map(|moment| 4 * moment.numel() as u64).sum()
    }

    /// Name of the tensor at a position.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// One step on the masters with learning rate `lr`, AdamW in one kernel a group, or on the CPU in one pass a tensor; `step` counts
    /// from 1.
    ///
    /// Gradients are divided by `max(norm / clip_norm, 1)` inside the kernel, so that a GPU is never waited for.
    /// With `skip` (a 0-d f32) not 0, neither weights nor moments change. Working copies are refreshed.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(crate) fn step(&mut self, model: &Model, grads: &Grads, update: &Update<'_>, replicas: &Replicas) -> Result<()> {
        let &Update { norm, skip, step, lr } = update;
        let (params, grads) = (model.trainable(), grads.tensors());
        let skipped = self.one_pass && skip.map(f64::try_from).transpose()?.is_some_and(|skip| skip != 0.0);
        let count = torch_ext::step_tensor(step as i64, model.device());
        let scale = match self.config.clip_norm {
            Some(limit) => Some((norm / limit).f_clamp_min(1.0)?),
            None => None,
        };
        let c = &self.config;
        for (group, weight_decay) in self.groups.iter().zip([c.weight_decay, 0.0]) {
            let options = AdamW { lr, beta1: c.beta1, beta2: c.beta2, eps: c.eps, weight_decay };
            if self.one_pass {
                let scale = scale.as_ref().map(f64::try_from).transpose()?.unwrap_or(1.0);
                for &i in group.iter().filter(|_| !skipped) {
                    let (master, copy) = (&params[i].master, params[i].working_copy());
                    let weight = Weight { master, grad: grads[i], exp_avg: &self.exp_avgs[i], exp_avg_sq: &self.exp_avg_sqs[i], copy };
                    torch_ext::adamw_on_cpu(&weight, step, &options, scale)?;
                }
                continue;
            }
            let masters: Vec<&Tensor> = group.iter().map(|&i| &params[i].master).collect();
            let grads: Vec<Tensor> = group.iter().map(|&i| grads[i].f_to_kind(Kind::Float)).collect::<std::result::Result<_, _>>()?;
            let grads: Vec<&Tensor> = grads.iter().collect();
            let m: Vec<&Tensor> = group.iter().map(|&i| &self.exp_avgs[i]).collect();
            let v: Vec<&Tensor> = group.iter().map(|&i| &self.exp_avg_sqs[i]).collect();
            if !masters.is_empty() {
                torch_ext::fused_adamw(&masters, &grads, &m, &v, &count, &options, scale.as_ref(), skip)?;
            }
        }
        if let Some(ratio) = c.muon_lr_ratio {
            let matrices: Vec<_> = self.muon.iter().map(|&i| &params[i]).collect();
            let grads: Vec<Tensor> = self.muon.iter().map(|&i| grads[i].f_to_kind(Kind::Float)).collect::<std::result::Result<_, _>>()?;
            let grads: Vec<&Tensor> = grads.iter().collect();
            let buffers: Vec<&Tensor> = self.muon.iter().map(|&i| &self.exp_avgs[i]).collect();
            replicas.run(muon::updates(&matrices, &grads, &buffers, &muon::Rates::at(step, lr * ratio, skip), replicas.parts())?)?;
        }
        // In one pass, AdamW has written the copies.
        if !self.one_pass || !self.muon.is_empty() {
            model.refresh()?;
        }
        Ok(())
    }

    /// All that has to survive a stop, to be written into the folder of a checkpoint: `master.<name>`, `exp_avg.<name>`,
    /// `exp_avg_sq.<name>`, `rng.cpu`, and the guard's. Detach it before the next step, or write it before.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn snapshot(&self, model: &Model, guard: &Guard) -> Result<Snapshot> {
        let rng = torch_ext::rng_state()?;
        Ok(Snapshot::of(TENSORS, self.named(model).into_iter().chain(guard.tensors()).chain([("rng.cpu".to_owned(), &rng)])))
    }

    /// Takes over what [`Optimizer::snapshot`] wrote, masters included; names, shapes and count must be exactly these.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where they are not, or when the file cannot be read.
    pub fn load(&mut self, model: &Model, guard: &Guard, path: &Path) -> Result<()> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let misfit = |problem: String| Error::StateMismatch { path: path.to_path_buf(), problem };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| misfit(e.to_string()))?;
        let named: Vec<(String, &Tensor)> = self.named(model).into_iter().chain(guard.tensors()).collect();
        if file.len() != named.len() + 1 {
            return Err(misfit(format!("it holds {} tensors, expected {}", file.len(), named.len() + 1)));
        }
        for (name, tensor) in named {
            let view = file.tensor(&name).map_err(|e| misfit(format!("`{name}`: {e}")))?;
            let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            if shape != tensor.size() || view.dtype() != Dtype::F32 {
                return Err(misfit(format!("`{name}` is {:?}{shape:?}, expected F32{:?}", view.dtype(), tensor.size())));
            }
            let value = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?;
            tch::no_grad(|| tensor.shallow_clone().f_copy_(&value))?;
        }
        let rng = file.tensor("rng.cpu").map_err(|e| misfit(format!("`rng.cpu`: {e}")))?;
        torch_ext::set_rng_state(&Tensor::f_from_data_size(rng.data(), &[rng.data().len() as i64], Kind::Uint8)?)?;
        Ok(model.refresh()?)
    }

    fn named<'a>(&'a self, model: &'a Model) -> Vec<(String, &'a Tensor)> {
        let each = |prefix: &str, i: usize| format!("{prefix}.{}", self.names[i]);
        let masters = model.trainable().iter().enumerate().map(|(i, p)| (each("master", i), &p.master));
        let m = self.exp_avgs.iter().enumerate().map(|(i, t)| (each("exp_avg", i), t));
        let v = self.exp_avg_sqs.iter().enumerate().map(|(i, t)| (each("exp_avg_sq", i), t));
        masters.chain(m).chain(v).collect()
    }
}

/// One step's part in [`Optimizer::step`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update<'a> {
    /// Euclidean norm of all gradients, 0-d f32.
    pub(crate) norm: &'a Tensor,
    /// 0-d f32; not 0: change nothing.
    pub(crate) skip: Option<&'a Tensor>,
    /// Number of the step, from 1.
    pub(crate) step: u64,
    /// Learning rate.
    pub(crate) lr: f64,
}

/// Positions of tensors whose gradient is zero everywhere.
pub fn zero_gradients(grads: &Grads) -> Vec<usize> {
    let zero = |grad: &Tensor| grad.f_count_nonzero(None).and_then(i64::try_from).is_ok_and(|n| n == 0);
    grads.tensors().iter().enumerate().filter(|(_, grad)| zero(grad)).map(|(i, _)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tensors_path;
    use model::{Config, Inputs, Options};

    const CONFIG: OptimizerConfig =
        OptimizerConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, clip_norm: Some(1.0), muon_lr_ratio: None };

    fn model(compute: Kind) -> Model {
        let config = Config::llama(16, 8, 1, 2);
        Model::new(config, 3, &Options { compute, ..Options::cpu() }).unwrap()
    }

    fn grads(model: &Model) -> Grads {
        let ids = Tensor::from_slice(&[1_i64, 2, 3, 4, 5, 6]).reshape([2, 3]);
        let targets = Tensor::from_slice(&[2_i64, 3, 4, 5, 6, 7]).reshape([2, 3]);
        let mut grads = Grads::new();
        grads.add_backward(model, &model.loss(&ids, &targets, &Inputs::default()).unwrap()).unwrap();
        grads
    }

    fn step(optimizer: &mut Optimizer, model: &Model, grads: &Grads, step: u64, lr: f64, skip: Option<&Tensor>) {
        let update = Update { norm: &grads.norm().unwrap(), skip, step, lr };
        optimizer.step(model, grads, &update, &Replicas::start(model, 1, false).unwrap()).unwrap();
    }

    #[test]
    fn a_step_that_is_skipped_on_the_device_changes_nothing() {
        for (ratio, one_pass) in [(None, false), (None, true), (Some(2.0), false), (Some(2.0), true)] {
            let model = model(Kind::Float);
            let new = |model: &Model| {
                let optimizer = Optimizer::new(model, OptimizerConfig { muon_lr_ratio: ratio, ..CONFIG }).unwrap();
                Optimizer { one_pass, ..optimizer }
            };
            let mut optimizer = new(&model);
            let all = |optimizer: &Optimizer| optimizer.named(&model).iter().map(|(_, t)| values(t)).collect::<Vec<_>>();
            step(&mut optimizer, &model, &grads(&model), 1, 0.01, Some(&Tensor::from(0.0_f32)));
            let before = all(&optimizer);
            let bad = grads(&model);
            tch::no_grad(|| bad.tensors().iter().for_each(|g| drop(g.shallow_clone().fill_(f64::NAN))));
            step(&mut optimizer, &model, &bad, 2, 0.01, Some(&Tensor::from(1.0_f32)));
            assert_eq!(all(&optimizer), before, "muon {ratio:?}, in one pass {one_pass}");
            step(&mut optimizer, &model, &grads(&model), 2, 0.01, Some(&Tensor::from(0.0_f32)));
            assert_ne!(all(&optimizer), before);
            // The same as a step that nothing could have skipped.
            let (a, b) = (self::model(Kind::Float), self::model(Kind::Float));
            let (mut oa, mut ob) = (new(&a), new(&b));
            step(&mut oa, &a, &grads(&a), 1, 0.01, None);
            step(&mut ob, &b, &grads(&b), 1, 0.01, Some(&Tensor::from(0.0_f32)));
            assert!(oa.named(&a).iter().zip(ob.named(&b)).all(|((_, x), (_, y))| values(x) == values(y)));
        }
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.detach().to_kind(Kind::Float).flatten(0, -1)).unwrap()
    }

    #[test]
    fn one_pass_does_what_the_kernels_of_libtorch_do() {
        for compute in [Kind::Float, Kind::BFloat16] {
            for ratio in [None, Some(2.0)] {
                let (a, b) = (model(compute), model(compute));
                let new = |model: &Model| Optimizer::new(model, OptimizerConfig { muon_lr_ratio: ratio, ..CONFIG }).unwrap();
                let (mut oa, mut ob) = (new(&a), Optimizer { one_pass: false, ..new(&b) });
                for number in 1..4 {
                    step(&mut oa, &a, &grads(&a), number, 0.01, None);
                    step(&mut ob, &b, &grads(&b), number, 0.01, None);
                }
                for (x, y) in a.trainable().iter().zip(b.trainable()) {
                    assert!(x.master.allclose(&y.master, 1e-3, 1e-5, false), "{}, {compute:?}, muon {ratio:?}", x.name);
                    for (param, model) in [(x, &a), (y, &b)] {
                        let copy = param.working_copy().map(values);
                        assert_eq!(copy.is_some(), compute == Kind::BFloat16);
                        let rounded = values(&param.master.to_kind(model.compute()));
                        assert!(copy.is_none_or(|copy| copy == rounded), "{}: the copy is old", param.name);
                    }
                }
            }
        }
    }

    #[test]
    fn a_first_step_follows_the_formula_in_both_groups() {
        for compute in [Kind::Float, Kind::BFloat16] {
            let model = model(compute);
            let before: Vec<Vec<f32>> = model.trainable().iter().map(|p| values(&p.master)).collect();
            let grads = grads(&model);
            let mut optimizer = Optimizer::new(&model, OptimizerConfig { clip_norm: None, ..CONFIG }).unwrap();
            step(&mut optimizer, &model, &grads, 1, 0.01, None);
            for ((param, old), grad) in model.trainable().iter().zip(&before).zip(grads.tensors()) {
                let shrink = if param.decay { 1.0 - 0.01 * 0.1 } else { 1.0 };
                for ((new, old), g) in values(&param.master).iter().zip(old).zip(values(grad)) {
                    // Bias-corrected moments of one gradient are g and g²: the update is g / (|g| + eps).
                    let expected = old * shrink - 0.01 * g / (g.abs() + 1e-8);
                    assert!((new - expected).abs() < 1e-6, "{}: {new} != {expected}, gradient {g}", param.name);
                }
            }
        }
    }

    #[test]
    fn clipping_divides_large_gradients_and_leaves_small_ones() {
        let model = model(Kind::Float);
        for (limit, clipped) in [(0.5, true), (1e6, false)] {
            let grads = grads(&model);
            let norm = grads.norm().unwrap();
            let mut optimizer = Optimizer::new(&model, OptimizerConfig { clip_norm: Some(limit), ..CONFIG }).unwrap();
            step(&mut optimizer, &model, &grads, 1, 0.0, None);
            // The first moment is (1 - beta1) times the clipped gradient.
            let refs: Vec<&Tensor> = optimizer.exp_avgs.iter().collect();
            let kept = f64::try_from(torch_ext::foreach_norm(&refs).unwrap()).unwrap() / 0.1;
            let expected = if clipped { limit } else { f64::try_from(norm).unwrap() };
            assert!((kept / expected - 1.0).abs() < 1e-4, "{kept} != {expected}");
        }
    }

    #[test]
    fn state_round_trips_and_misfits_are_named() {
        check_round_trip(None);
        check_round_trip(Some(2.0));
    }

    fn check_round_trip(ratio: Option<f64>) {
        let dir = tempfile::tempdir().unwrap();
        let path = tensors_path(dir.path());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let (a, b) = (model(Kind::BFloat16), model(Kind::BFloat16));
        let config = OptimizerConfig { muon_lr_ratio: ratio, ..CONFIG };
        let (mut oa, mut ob) = (Optimizer::new(&a, config).unwrap(), Optimizer::new(&b, config).unwrap());
        let (mut ga, gb) = (Guard::new(6.0, tch::Device::Cpu).unwrap(), Guard::new(6.0, tch::Device::Cpu).unwrap());
        let _ = ga.judge(0, &Tensor::from(2.5_f32), &Tensor::from(0.5_f32)).unwrap();
        step(&mut oa, &a, &grads(&a), 1, 0.01, None);
        oa.snapshot(&a, &ga).unwrap().write(dir.path()).unwrap();
        ob.load(&b, &gb, &path).unwrap();
        for ((name, x), (_, y)) in ga.tensors().iter().zip(gb.tensors()) {
            assert!(x.nan_to_num(0.0, 0.0, 0.0).equal(&y.nan_to_num(0.0, 0.0, 0.0)), "{name}");
        }
        step(&mut oa, &a, &grads(&a), 2, 0.01, None);
        step(&mut ob, &b, &grads(&b), 2, 0.01, None);
        for ((name, x), (_, y)) in oa.named(&a).iter().zip(ob.named(&b)) {
            assert_eq!(values(x), values(y), "{name}");
        }
        let wider = Model::new(Config::llama(16, 16, 1, 2), 3, &Options::cpu()).unwrap();
        let error = Optimizer::new(&wider, CONFIG).unwrap().load(&wider, &gb, &path).unwrap_err().to_string();
        assert!(error.contains("master.model.embed_tokens.weight") && error.contains("[16, 16]"), "{error}");
    }

    #[test]
    fn gradients_that_are_zero_are_found() {
        let mut model = model(Kind::Float);
        assert!(zero_gradients(&grads(&model)).is_empty());
        model.attach_lora(&model::LoraConfig::all_linear(2, 4.0), 1).unwrap();
        let grads = grads(&model);
        let zero: Vec<&str> = zero_gradients(&grads).into_iter().map(|i| model.trainable()[i].name.as_str()).collect();
        assert!(!zero.is_empty() && zero.iter().all(|n| n.contains("lora_A")), "B begins at zero, so A has no gradient yet: {zero:?}");
    }
}
