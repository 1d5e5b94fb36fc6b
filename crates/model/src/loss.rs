//! The loss, without ever holding all tokens times the whole vocabulary, and the gradients that come of it.
//!
//! Shape letters: b batch, t time, n tokens (b · t), d width, v vocabulary.

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::forward::Residual;
use crate::inputs::Inputs;
use crate::model::Model;

/// Targets with this value are not trained on and not counted, as in PyTorch.
pub const IGNORE: i64 = -100;

/// Logits that are held at a time on the CPU: 16 MiB of bf16, so that memory used before is used again and not mapped anew.
const MAX_LOGITS: i64 = 8 << 20;

/// Tokens whose logits are held at a time, at least: for fewer, reading the output matrix and its gradient takes longer than the products.
const MIN_ROWS: i64 = 256;

/// The same on a GPU, 512 MiB: the gradient of the head is read and written once for each such part.
const MAX_LOGITS_ON_GPU: i64 = 128 << 20;

impl Model {
    /// Sum of the negative log-likelihoods of `targets_bt` (i64, already shifted: the token after each input; [`IGNORE`] to leave out), in
    /// nats: 0-d f32, differentiable. Divide by the number of targets of the whole global batch, not of each micro-batch.
    ///
    /// # Errors
    /// Shapes that differ, or as [`Model::forward`].
    pub fn loss(&self, ids_bt: &Tensor, targets_bt: &Tensor, inputs: &Inputs) -> Result<Tensor> {
        same_shape(ids_bt, targets_bt)?;
        let (hidden_nd, targets_n) = self.flat_hidden(ids_bt, targets_bt, inputs)?;
        self.cross_entropy(&hidden_nd, &targets_n)
    }

    /// Summed cross-entropy of normalized hidden states.
    fn cross_entropy(&self, hidden_nd: &Tensor, targets_n: &Tensor) -> Result<Tensor> {
        let head = self.head();
        let rows = self.rows_of_logits();
        // Parts are summed in f32 over the whole matrix each time. The logits of twice as many rows as it is wide take no more memory
        // than that sum, and where those are all rows, there is none.
        let rows = if head.requires_grad() && !self.device().is_cuda() { rows.max(2 * self.config.hidden_size) } else { rows };
        Ok(torch_ext::linear_cross_entropy(hidden_nd, head, targets_n, IGNORE, rows)?)
    }

    /// Rows whose logits are held at a time.
    fn rows_of_logits(&self) -> i64 {
        let most = if self.device().is_cuda() { MAX_LOGITS_ON_GPU } else { MAX_LOGITS };
        (most / self.config.vocab_size.max(1)).max(MIN_ROWS)
    }

    /// Negative log-likelihood of each target in nats, `[b, t]` f32, 0 where ignored. No graph is kept.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn token_losses(&self, ids_bt: &Tensor, targets_bt: &Tensor, inputs: &Inputs) -> Result<Tensor> {
        same_shape(ids_bt, targets_bt)?;
        tch::no_grad(|| {
            let (hidden_nd, targets_n) = self.flat_hidden(ids_bt, targets_bt, inputs)?;
            let rows = self.rows_of_logits();
            let mut parts = Vec::new();
            for (hidden, targets) in hidden_nd.f_split(rows, 0)?.iter().zip(targets_n.f_split(rows, 0)?) {
                let logits = self.logits(hidden)?;
                let kept = targets.f_ne(IGNORE)?;
                let index = targets.f_clamp_min(0)?.f_unsqueeze(1)?;
                let chosen = logits.f_gather(1, &index, false)?.f_squeeze_dim(1)?;
                parts.push((logits.f_logsumexp([1], false)? - chosen) * kept);
            }
            Ok(Tensor::f_cat(&parts, 0)?.f_view(ids_bt.size().as_slice())?)
        })
    }

    fn flat_hidden(&self, ids_bt: &Tensor, targets_bt: &Tensor, inputs: &Inputs) -> Result<(Tensor, Tensor)> {
        let hidden_btd = self.hidden(ids_bt, inputs)?;
        let hidden_nd = hidden_btd.f_view([-1, self.config.hidden_size])?;
        Ok((hidden_nd, targets_bt.f_reshape([-1])?))
    }
}

fn same_shape(ids: &Tensor, targets: &Tensor) -> Result<()> {
    if ids.size() == targets.size() {
        return Ok(());
    }
    Err(Error::Input(format!("targets have shape {:?}, token ids {:?}", targets.size(), ids.size())))
}

/// The f32 gradients of what a model trains, summed over micro-batches.
#[derive(Debug, Default)]
pub struct Grads {
    sums: Vec<Tensor>,
}

impl Grads {
    /// No gradients yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the backward pass of a scalar and adds its gradients, in the order of [`Model::trainable`].
    ///
    /// # Errors
    /// A loss without a graph, a weight that the loss does not depend on, or what libtorch refuses.
    pub fn add_backward(&mut self, model: &Model, loss: &Tensor) -> Result<()> {
        let leaves: Vec<&Tensor> = model.trainable().iter().map(|param| &param.work).collect();
        let grads = Tensor::f_run_backward(&[loss], &leaves, false, false)?;
        if let Some((_, param)) = grads.iter().zip(model.trainable()).find(|(grad, _)| !grad.defined()) {
            return Err(Error::Input(format!("the loss does not depend on `{}`", param.name)));
        }
        self.add_found(grads)
    }

    /// Adds gradients of the compute type, which need no copy in f32 beside the sums: each number is converted where it is added. On the
    /// CPU the first ones stay as they are, too.
    fn add_found(&mut self, grads: Vec<Tensor>) -> Result<()> {
        if self.sums.is_empty() {
            let own = |grad: Tensor| -> Result<Tensor> {
                let grad = if grad.device() == Device::Cpu { grad } else { grad.f_to_kind(Kind::Float)? };
                Ok(grad.f_contiguous()?)
            };
            self.sums = grads.into_iter().map(own).collect::<Result<_>>()?;
            return Ok(());
        }
        if self.sums[0].device() != Device::Cpu {
            return Ok(torch_ext::foreach_add(&self.tensors(), &grads.iter().collect::<Vec<_>>(), 1.0)?);
        }
        for (sum, grad) in self.sums.iter_mut().zip(grads) {
            *sum = torch_ext::grad_add_on_cpu(sum, &grad.f_contiguous()?)?;
        }
        Ok(())
    }

    /// Adds the gradients of [`Model::loss`] divided by `divisor`, and returns that loss without a graph.
    ///
    /// Of each block only the input is kept; what lies between is computed a second time in the backward pass (Chen et al.,
    /// arXiv 1604.06174): a third more work, for activations of one block instead of all.
    ///
    /// # Errors
    /// As [`Model::loss`] and [`Grads::add_backward`].
    pub fn add_recomputed(&mut self, model: &Model, ids_bt: &Tensor, targets_bt: &Tensor, inputs: &Inputs, divisor: f64) -> Result<Tensor> {
        same_shape(ids_bt, targets_bt)?;
        let mut pass = model.pass(ids_bt, inputs, None)?;
        let trace = tch::no_grad(|| model.trace(ids_bt, &mut pass))?;
        let leaves: Vec<&Tensor> = model.trainable().iter().map(|param| &param.work).collect();
        let mut found: Vec<Option<Tensor>> = leaves.iter().map(|_| None).collect();
        // Adds the gradients of a scalar to those of the weights, and returns those of the residual stream it was computed from.
        let mut backward = |output: &Tensor, from: Option<&Residual>| -> Result<Vec<Tensor>> {
            let parts = from.iter().flat_map(|from| std::iter::once(&from.x_btd).chain(&from.delta));
            let wanted: Vec<&Tensor> = leaves.iter().copied().chain(parts).collect();
            let mut grads = Tensor::f_run_backward(&[output], &wanted, false, false)?;
            let rest = grads.split_off(leaves.len());
            for (sum, grad) in found.iter_mut().zip(grads).filter(|(_, grad)| grad.defined()) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum.f_add(&grad)?,
                    None => grad,
                });
            }
            Ok(rest)
        };
        let end = trace[trace.len() - 1].leaf()?;
        let hidden_nd = model.last_norm(&end)?.f_view([-1, model.config.hidden_size])?;
        let loss = model.cross_entropy(&hidden_nd, &targets_bt.f_reshape([-1])?)? / divisor;
        let mut grad = backward(&loss, Some(&end))?;
        for (layer, from) in trace.iter().enumerate().take(trace.len() - 1).rev() {
            let from = from.leaf()?;
            let output = model.block(layer, from.share(), &mut pass)?;
            grad = backward(&output.weighted(&grad)?, Some(&from))?;
        }
        // What is left is the embedding, which an adapter leaves alone.
        let x_btd = model.embed(ids_bt)?;
        if x_btd.requires_grad() {
            backward(&x_btd.f_mul(&grad[0])?.f_sum(Kind::Float)?, None)?;
        }
        if let Some((_, param)) = found.iter().zip(model.trainable()).find(|(grad, _)| grad.is_none()) {
            return Err(Error::Input(format!("the loss does not depend on `{}`", param.name)));
        }
        self.add_found(found.into_iter().flatten().collect())?;
        Ok(loss.f_detach()?)
    }

    /// Adds the gradients of other rows, which a replica of the same model has summed.
    ///
    /// # Errors
    /// Gradients of another model.
    pub fn add(&mut self, other: Self) -> Result<()> {
        if self.sums.is_empty() {
            self.sums = other.sums;
            return Ok(());
        }
        if other.sums.is_empty() {
            return Ok(());
        }
        self.add_found(other.sums)
    }

    /// The sums, in the order of [`Model::trainable`]; empty before the first backward pass. They are f32, or on the CPU, after one
    /// backward pass alone, of the compute type.
    pub fn tensors(&self) -> Vec<&Tensor> {
        self.sums.iter().collect()
    }

    /// The Euclidean norm of all gradients together, a 0-d f32 tensor.
    ///
    /// # Errors
    /// No gradients, or what libtorch refuses.
    pub fn norm(&self) -> Result<Tensor> {
        match self.sums.first() {
            Some(first) if first.device() == Device::Cpu => Ok(Tensor::from(torch_ext::grad_norm_on_cpu(&self.tensors())? as f32)),
            _ => Ok(torch_ext::foreach_norm(&self.tensors())?),
        }
    }

    /// Forgets the gradients; the next backward pass begins a new sum.
    pub fn clear(&mut self) {
        self.sums.clear();
    }
}
