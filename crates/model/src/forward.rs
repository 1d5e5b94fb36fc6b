//! The forward pass of a Llama decoder.
//!
//! - Pre-norm blocks: x + attention(norm(x)), then x + feed-forward(norm(x)), without biases.
//! - RMSNorm, rotary positions, grouped-query attention, SwiGLU.
//! - One product for query, key and value, one for gate and up.
//!
//! Shape letters: b batch, t time, d width, h query heads, g key-value heads, e width of a head, v vocabulary,
//! i feed-forward width.

use tch::{Device, Kind, Tensor};

use crate::adapter::Target;
use crate::cache::KvCache;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::model::Model;
use crate::params::index;
use crate::rope::Angles;

/// What all blocks of one pass share.
struct Pass<'a> {
    angles: Angles,
    mask: Option<Tensor>,
    is_causal: bool,
    cache: Option<&'a mut KvCache>,
}

impl Model {
    /// Logits for the token after each position, `[b, t, v]` in f32.
    ///
    /// # Errors
    /// Rows longer than `max_position_embeddings`, ids that are not `[b, t]` i64, or what libtorch refuses.
    pub fn forward(&self, ids_bt: &Tensor, inputs: &Inputs) -> Result<Tensor> {
        self.logits(&self.hidden(ids_bt, inputs)?)
    }

    /// The normalized output of the last block, `[b, t, d]` in the compute type.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn hidden(&self, ids_bt: &Tensor, inputs: &Inputs) -> Result<Tensor> {
        self.run(ids_bt, inputs, None)
    }

    /// [`Model::hidden`] for tokens that follow those in `cache`, which takes them in.
    /// With a mask, it must cover the tokens in the cache too: `[b, 1, t, cache.len() + t]`.
    ///
    /// # Errors
    /// As [`Model::forward`], or a cache that is full.
    pub fn hidden_cached(&self, ids_bt: &Tensor, inputs: &Inputs, cache: &mut KvCache) -> Result<Tensor> {
        self.run(ids_bt, inputs, Some(cache))
    }

    /// The output matrix applied to hidden states, in f32.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        Ok(hidden.f_linear(self.head(), None::<&Tensor>)?.f_to_kind(Kind::Float)?)
    }

    /// The output matrix `[v, d]` in the compute type.
    pub(crate) fn head(&self) -> &Tensor {
        self.work(index::head(self.params_layers(), self.config.tie_word_embeddings))
    }

    fn params_layers(&self) -> usize {
        self.config.num_hidden_layers as usize
    }

    fn run(&self, ids_bt: &Tensor, inputs: &Inputs, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let &[_, time] = ids_bt.size().as_slice() else {
            return Err(Error::Input(format!("token ids have shape {:?}, expected [batch, time]", ids_bt.size())));
        };
        let start = cache.as_ref().map_or(0, |cache| cache.len());
        let angles = match &inputs.positions {
            Some(positions_bt) => self.rope.at(positions_bt)?,
            None => self.rope.range(start, time)?,
        };
        let mut mask = inputs.mask.as_ref().map(Tensor::shallow_clone);
        if mask.is_none() && start > 0 && time > 1 {
            // Causal, but the first query stands behind `start` keys.
            let ones = Tensor::f_ones([1, 1, time, start + time], (Kind::Bool, ids_bt.device()))?;
            mask = Some(ones.f_tril(start)?);
        }
        let is_causal = mask.is_none() && time > 1;
        let mut pass = Pass { angles, mask, is_causal, cache };
        // `x_btd` is the residual stream without the last branch's output `delta`, which the next norm adds to it.
        let mut x_btd = Tensor::f_embedding(self.work(index::EMBED), ids_bt, -1, false, false)?;
        let mut delta: Option<Tensor> = None;
        for layer in 0..self.params_layers() {
            let (sum, normed) = self.add_norm(x_btd, delta, index::layer(layer, index::INPUT_NORM))?;
            let mixed = self.attention(layer, &normed, &mut pass)?;
            let (sum, normed) = self.add_norm(sum, Some(mixed), index::layer(layer, index::POST_NORM))?;
            delta = Some(self.feed_forward(layer, &normed)?);
            x_btd = sum;
        }
        if let Some(cache) = pass.cache {
            cache.advance(time);
        }
        Ok(self.add_norm(x_btd, delta, index::final_norm(self.params_layers()))?.1)
    }

    fn attention(&self, layer: usize, x_btd: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let config = &self.config;
        let (heads, groups, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let &[batch, time, _] = x_btd.size().as_slice() else {
            return Err(Error::Input(format!("hidden states have shape {:?}, expected [batch, time, width]", x_btd.size())));
        };
        let qkv = self.project(layer, Target::Qkv, x_btd)?;
        let (q_bhte, mut k_bgte, mut v_bgte) = pass.angles.split(&qkv, heads, groups)?;
        if let Some(cache) = pass.cache.as_deref_mut() {
            (k_bgte, v_bgte) = cache.append(layer, &k_bgte, &v_bgte)?;
        }
        let mixed = Tensor::f_scaled_dot_product_attention(
            &q_bhte,
            &k_bgte,
            &v_bgte,
            pass.mask.as_ref(),
            0.0,
            pass.is_causal,
            None,
            heads != groups,
        )?;
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([batch, time, heads * width])?;
        self.project(layer, Target::Output, &mixed)
    }

    fn feed_forward(&self, layer: usize, x_btd: &Tensor) -> Result<Tensor> {
        let gate_up = self.project(layer, Target::GateUp, x_btd)?;
        let inner_bti = if self.is_cpu() {
            torch_ext::swiglu(&gate_up)?
        } else {
            let width = self.config.intermediate_size;
            gate_up.f_narrow(-1, 0, width)?.f_silu()?.f_mul(&gate_up.f_narrow(-1, width, width)?)?
        };
        self.project(layer, Target::Down, &inner_bti)
    }

    /// The residual stream `x + delta`, and its norm.
    fn add_norm(&self, x: Tensor, delta: Option<Tensor>, which: usize) -> Result<(Tensor, Tensor)> {
        let (weight, eps) = (self.work(which), self.config.rms_norm_eps);
        match delta {
            Some(delta) if self.is_cpu() => Ok(torch_ext::add_rms_norm(&x, &delta, weight, eps)?),
            None if self.is_cpu() => {
                let normed = torch_ext::rms_norm(&x, weight, eps)?;
                Ok((x, normed))
            }
            delta => {
                let sum = delta.map_or(Ok(x.shallow_clone()), |delta| x.f_add(&delta))?;
                let normed = sum.f_rms_norm([self.config.hidden_size], Some(weight), eps)?;
                Ok((sum, normed))
            }
        }
    }

    /// Where the fused operations of torch-ext exist.
    fn is_cpu(&self) -> bool {
        self.options.device == Device::Cpu
    }

    /// A matrix product, with the adapter's share where one is attached.
    fn project(&self, layer: usize, target: Target, x: &Tensor) -> Result<Tensor> {
        let base = x.f_linear(self.work(index::layer(layer, target.index())), None::<&Tensor>)?;
        match &self.adapter {
            None => Ok(base),
            Some(adapter) => adapter.add_to(base, x, layer, target),
        }
    }
}
