//! Muon: momentum, then the nearest matrix with orthonormal rows or columns (Jordan et al. 2024, "Muon: an optimizer for
//! hidden layers in neural networks").
//!
//! It is for the matrices inside the blocks; embeddings, norms and the output matrix keep AdamW.
//! The orthogonal matrix comes from five steps of a quintic Newton-Schulz iteration on the spectral norm's unit ball, with
//! the coefficients of that publication, which bring every singular value near 1 and not exactly to it.
//! Matrices of one shape go through the iteration together.
//!
//! Legend of tensor names: n matrices of a shape, r rows, c columns.

use std::collections::BTreeMap;

use model::Param;
use tch::Tensor;

use crate::Result;
use crate::replicas::Work;

/// Coefficients of the quintic, chosen for fast growth of small singular values.
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Newton-Schulz steps.
const STEPS: usize = 5;
/// Momentum at the first step and after [`MOMENTUM_WARMUP`] steps.
const MOMENTUM: [f64; 2] = [0.85, 0.95];
/// Steps over which the momentum rises.
const MOMENTUM_WARMUP: u64 = 150;

/// True for what Muon updates: a matrix of a block.
pub fn applies(param: &Param) -> bool {
    param.master.dim() == 2 && param.name.contains(".layers.") && !param.name.contains("lora_")
}

/// Momentum at a step that counts from 1.
pub fn momentum(step: u64) -> f64 {
    let share = (step as f64 / MOMENTUM_WARMUP as f64).min(1.0);
    MOMENTUM[0] + share * (MOMENTUM[1] - MOMENTUM[0])
}

/// Brings every singular value of each matrix of `g_nrc` near 1.
///
/// # Errors
/// What libtorch refuses.
pub fn orthogonalize(g_nrc: &Tensor) -> Result<Tensor> {
    let tall = g_nrc.size()[1] > g_nrc.size()[2];
    let g_nrc = if tall { g_nrc.f_transpose(1, 2)? } else { g_nrc.shallow_clone() };
    let norm_n11 = g_nrc.f_square()?.f_sum_dim_intlist([1, 2].as_slice(), true, tch::Kind::Float)?.f_sqrt()?;
    let mut x_nrc = g_nrc.f_div(&norm_n11.f_add_scalar(1e-7)?)?;
    let [a, b, c] = QUINTIC;
    for _ in 0..STEPS {
        let gram_nrr = x_nrc.f_bmm(&x_nrc.f_transpose(1, 2)?)?;
        let poly_nrr = gram_nrr.f_baddbmm(&gram_nrr, &gram_nrr, b, c)?;
        x_nrc = x_nrc.f_baddbmm(&poly_nrr, &x_nrc, a, 1.0)?;
    }
    if tall { Ok(x_nrc.f_transpose(1, 2)?) } else { Ok(x_nrc) }
}

/// A matrix and what its update needs; the tensors share memory with those of the model and the optimizer.
struct Matrix {
    master: Tensor,
    grad: Tensor,
    buffer: Tensor,
}

impl Matrix {
    fn share(&self) -> Self {
        Self { master: self.master.shallow_clone(), grad: self.grad.shallow_clone(), buffer: self.buffer.shallow_clone() }
    }
}

/// How far a step goes.
pub(crate) struct Rates {
    beta: f64,
    lr: f64,
    skip: Option<Tensor>,
}

impl Rates {
    /// Step `step`, counted from 1, with learning rate `lr`; with `skip` (a 0-d f32) not 0, nothing changes.
    pub(crate) fn at(step: u64, lr: f64, skip: Option<&Tensor>) -> Self {
        Self { beta: momentum(step), lr, skip: skip.map(Tensor::shallow_clone) }
    }

    fn share(&self) -> Self {
        Self { beta: self.beta, lr: self.lr, skip: self.skip.as_ref().map(Tensor::shallow_clone) }
    }
}

/// One step on the masters of `params`, which are those that [`applies`] to, as at most `parts` pieces of work that do not
/// depend on each other and are about equally large.
///
/// `grads` and `buffers` (the running means of gradients) are in the order of `params`. Joined projections are taken apart,
/// since each is a matrix of its own. The update of a matrix is scaled by `sqrt(max(1, rows / columns))`.
///
/// # Errors
/// What libtorch refuses.
pub(crate) fn updates(params: &[&Param], grads: &[&Tensor], buffers: &[&Tensor], rates: &Rates, parts: usize) -> Result<Vec<Work>> {
    let mut by_shape: BTreeMap<[i64; 2], Vec<Matrix>> = BTreeMap::new();
    for ((param, grad), buffer) in params.iter().zip(grads).zip(buffers) {
        for part in &param.parts {
            let cut = |tensor: &Tensor| tensor.f_narrow(0, part.start, part.rows);
            let matrix = Matrix { master: cut(&param.master)?, grad: cut(grad)?, buffer: cut(buffer)? };
            by_shape.entry([part.rows, param.master.size()[1]]).or_default().push(matrix);
        }
    }
    let mut pieces: Vec<Vec<([i64; 2], Vec<Matrix>)>> = (0..parts.max(1)).map(|_| Vec::new()).collect();
    for (shape, mut matrices) in by_shape {
        for (i, piece) in pieces.iter_mut().enumerate() {
            let left = parts.max(1) - i;
            let own = matrices.drain(..matrices.len().div_ceil(left)).collect();
            piece.push((shape, own));
        }
    }
    let work = |piece: Vec<([i64; 2], Vec<Matrix>)>| -> Work {
        let rates = rates.share();
        Box::new(move || tch::no_grad(|| piece.into_iter().try_for_each(|(shape, matrices)| update(shape, matrices, &rates))))
    };
    Ok(pieces.into_iter().map(work).collect())
}

/// Updates matrices of one shape.
fn update([rows, columns]: [i64; 2], matrices: Vec<Matrix>, rates: &Rates) -> Result<()> {
    let mut ahead = Vec::new();
    let beta = rates.beta;
    for mut matrix in matrices.iter().map(Matrix::share) {
        let mut buffer = matrix.buffer.shallow_clone();
        if let Some(skip) = &rates.skip {
            // The mean moved towards itself stays as it is, and the update is finite, so that 0 times it is 0.
            matrix.grad = buffer.f_where_self(&skip.f_ne(0.0)?, &matrix.grad)?;
        }
        let _ = buffer.f_lerp_(&matrix.grad, 1.0 - beta)?;
        // Nesterov: look one step ahead.
        ahead.push(matrix.grad.f_lerp(&buffer, beta)?);
    }
    if ahead.is_empty() {
        return Ok(());
    }
    let mut deltas = orthogonalize(&Tensor::f_stack(&ahead, 0)?)?;
    if let Some(skip) = &rates.skip {
        deltas = deltas.f_mul(&(1.0 - skip))?;
    }
    let deltas: Vec<Tensor> = deltas.f_unbind(0)?;
    let masters: Vec<&Tensor> = matrices.iter().map(|matrix| &matrix.master).collect();
    let scale = rates.lr * (rows as f64 / columns as f64).max(1.0).sqrt();
    Ok(torch_ext::foreach_add(&masters, &deltas.iter().collect::<Vec<_>>(), -scale)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Config, Model, Options};

    #[test]
    fn singular_values_come_near_one_in_either_shape() {
        tch::manual_seed(1);
        for shape in [[3, 8, 20], [3, 20, 8], [2, 16, 16]] {
            let x = orthogonalize(&Tensor::randn(shape, (tch::Kind::Float, tch::Device::Cpu))).unwrap();
            assert_eq!(x.size(), shape);
            let (_, s, _) = x.svd(true, true);
            let (low, high) = (s.min().double_value(&[]), s.max().double_value(&[]));
            // The published coefficients settle between about 0.7 and 1.2; a square random matrix may have one smaller value.
            let floor = if shape[1] == shape[2] { 0.05 } else { 0.5 };
            assert!(low > floor && high < 1.3, "{shape:?}: {low} to {high}");
        }
    }

    #[test]
    fn joined_projections_are_updated_as_their_parts() {
        let model = Model::new(Config::llama(16, 8, 1, 2), 3, &Options::cpu()).unwrap();
        let params: Vec<&Param> = model.trainable().iter().filter(|p| applies(p)).collect();
        assert!(params.iter().any(|p| p.parts.len() == 3), "query, key and value are joined");
        assert!(!params.iter().any(|p| p.name.contains("embed") || p.name.contains("norm")));
        tch::manual_seed(2);
        let grads: Vec<Tensor> = params.iter().map(|p| Tensor::randn_like(&p.master)).collect();
        let buffers: Vec<Tensor> = params.iter().map(|p| p.master.zeros_like()).collect();
        let before: Vec<Tensor> = params.iter().map(|p| p.master.detach().copy()).collect();
        let work =
            updates(&params, &grads.iter().collect::<Vec<_>>(), &buffers.iter().collect::<Vec<_>>(), &Rates::at(1, 0.1, None), 3).unwrap();
        assert_eq!(work.len(), 3);
        work.into_iter().for_each(|piece| piece().unwrap());
        for ((param, before), grad) in params.iter().zip(&before).zip(&grads) {
            for part in &param.parts {
                let cut = |t: &Tensor| t.narrow(0, part.start, part.rows);
                let change = cut(&param.master) - cut(before);
                let shape = cut(grad).size();
                let scale = 0.1 * (shape[0] as f64 / shape[1] as f64).max(1.0).sqrt();
                // A first step's direction is that of the gradient alone, whatever the momentum.
                let expected = orthogonalize(&cut(grad).unsqueeze(0)).unwrap().squeeze_dim(0) * -scale;
                assert!(change.allclose(&expected, 1e-3, 1e-4, false), "{}", part.name);
            }
        }
    }

    #[test]
    fn momentum_rises_and_stays() {
        assert!((momentum(1) - 0.8507).abs() < 1e-3);
        assert_eq!((momentum(150), momentum(9999)), (0.95, 0.95));
    }
}
