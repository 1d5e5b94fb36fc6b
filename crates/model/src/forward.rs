//! The forward pass of a decoder, in the layouts of [`crate::ModelType`].
//!
//! - Pre-norm blocks: x + attention(norm(x)), then x + feed-forward(norm(x)).
//! - RMSNorm, rotary positions, grouped-query attention, SwiGLU; biases where the layout has them.
//! - One product for query, key and value, one for gate and up.
//! - Query and key normalized in each head where the layout has it (Henry et al., arXiv 2010.04245).
//! - Sliding windows (Beltagy et al., arXiv 2004.05150) as masks, and as shorter keys where all queries allow it.
//!
//! Shape letters: b batch, t time, d width, h query heads, g key-value heads, e width of a head, v vocabulary,
//! i feed-forward width, s keys.

use tch::{Device, Kind, Tensor};

use crate::adapter::Target;
use crate::cache::KvCache;
use crate::config::LayerType;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::model::Model;
use crate::params::{Extra, index};
use crate::rope::Angles;

/// What all blocks of one pass share.
pub(crate) struct Pass<'a> {
    angles: Angles,
    full: View,
    /// The same as `full` while the window holds everything.
    sliding: Option<View>,
    cache: Option<&'a mut KvCache>,
}

/// What queries see: keys from `first_key` on, and of those what `mask` or causality leaves.
struct View {
    mask: Option<Tensor>,
    is_causal: bool,
    /// Whether no query sees a later key, and keys are as many as queries.
    past_only: bool,
    first_key: i64,
}

impl View {
    /// Plain causal attention of `time` queries behind `start` keys, or `mask`.
    fn full(inputs: &Inputs, start: i64, time: i64, device: Device) -> Result<Self> {
        let mut mask = inputs.mask.as_ref().map(Tensor::shallow_clone);
        if mask.is_none() && start > 0 && time > 1 {
            // Causal, but the first query stands behind `start` keys.
            let ones = Tensor::f_ones([1, 1, time, start + time], (Kind::Bool, device))?;
            mask = Some(ones.f_tril(start)?);
        }
        let is_causal = mask.is_none() && time > 1;
        Ok(Self { mask, is_causal, past_only: start == 0 && (is_causal || inputs.past_only), first_key: 0 })
    }

    /// What is left when a query sees the last `window` keys only. Columns count, not positions: within a document they
    /// are equally far apart, and other documents are masked anyway.
    fn windowed(&self, window: i64, start: i64, time: i64, device: Device) -> Result<Self> {
        let first_key = (start + 1 - window).max(0);
        let keys = start + time - first_key;
        let given = self.mask.as_ref().map(|mask| mask.f_narrow(3, first_key, keys)).transpose()?;
        if time == 1 {
            return Ok(Self { mask: given, is_causal: false, past_only: false, first_key });
        }
        // Query i stands in column start + i and sees key j, in column first_key + j, while its distance is below the window.
        let ones = Tensor::f_ones([1, 1, time, keys], (Kind::Bool, device))?;
        let near = ones.f_triu(start - first_key - window + 1)?;
        let mask = match given {
            Some(given) => given.f_logical_and(&near)?,
            None => near.f_tril(start - first_key)?,
        };
        Ok(Self { mask: Some(mask), is_causal: false, past_only: self.past_only && first_key == 0, first_key })
    }
}

/// The residual stream `x_btd + delta`, in two parts because the next norm adds them anyway.
pub(crate) struct Residual {
    pub(crate) x_btd: Tensor,
    pub(crate) delta: Option<Tensor>,
}

impl Residual {
    pub(crate) fn share(&self) -> Self {
        Self { x_btd: self.x_btd.shallow_clone(), delta: self.delta.as_ref().map(Tensor::shallow_clone) }
    }

    /// The same values as the beginning of a new graph.
    pub(crate) fn leaf(&self) -> Result<Self> {
        let leaf = |t: &Tensor| -> Result<Tensor> { Ok(t.f_detach()?.f_set_requires_grad(true)?) };
        Ok(Self { x_btd: leaf(&self.x_btd)?, delta: self.delta.as_ref().map(leaf).transpose()? })
    }

    /// A scalar whose gradients with regard to the parts are `grads`.
    pub(crate) fn weighted(&self, grads: &[Tensor]) -> Result<Tensor> {
        let mut sum = Tensor::f_zeros([], (Kind::Float, self.x_btd.device()))?;
        for (part, grad) in std::iter::once(&self.x_btd).chain(&self.delta).zip(grads) {
            sum = sum.f_add(&part.f_mul(grad)?.f_sum(Kind::Float)?)?;
        }
        Ok(sum)
    }
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
    /// With dynamic scaling, tokens beyond the original length change what earlier ones give: the result is then that of
    /// [`Model::hidden`] on all tokens so far, at its price.
    ///
    /// # Errors
    /// As [`Model::forward`], or a cache that is full.
    pub fn hidden_cached(&self, ids_bt: &Tensor, inputs: &Inputs, cache: &mut KvCache) -> Result<Tensor> {
        let Some(past) = cache.extended(ids_bt, inputs)? else {
            return self.run(ids_bt, inputs, Some(cache));
        };
        let hidden = if past.is_scaled {
            let time = ids_bt.size()[1];
            cache.check_room(time)?;
            let all = self.run(&past.ids_bp, &past.inputs(), None)?;
            let new = all.f_narrow(1, cache.len(), time)?;
            cache.advance(time);
            new
        } else {
            self.run(ids_bt, inputs, Some(cache))?
        };
        cache.keep(past);
        Ok(hidden)
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

    pub(crate) fn params_layers(&self) -> usize {
        self.config.num_hidden_layers as usize
    }

    /// Positions and masks.
    pub(crate) fn pass<'a>(&self, ids_bt: &Tensor, inputs: &Inputs, cache: Option<&'a mut KvCache>) -> Result<Pass<'a>> {
        let &[_, time] = ids_bt.size().as_slice() else {
            return Err(Error::Input(format!("token ids have shape {:?}, expected [batch, time]", ids_bt.size())));
        };
        let start = cache.as_ref().map_or(0, |cache| cache.len());
        let angles = match &inputs.positions {
            Some(positions_bt) => self.rope.at(positions_bt)?,
            None => self.rope.range(start, time)?,
        };
        let device = ids_bt.device();
        let full = View::full(inputs, start, time, device)?;
        let sliding = match self.config.sliding_window {
            Some(window) if window < start + time => Some(full.windowed(window, start, time, device)?),
            _ => None,
        };
        Ok(Pass { angles, full, sliding, cache })
    }

    fn run(&self, ids_bt: &Tensor, inputs: &Inputs, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let mut pass = self.pass(ids_bt, inputs, cache)?;
        let time = ids_bt.size()[1];
        let mut stream = Residual { x_btd: self.embed(ids_bt)?, delta: None };
        for layer in 0..self.params_layers() {
            stream = self.block(layer, stream, &mut pass)?;
        }
        if let Some(cache) = pass.cache {
            cache.advance(time);
        }
        self.last_norm(&stream)
    }

    /// The tokens' embeddings, `[b, t, d]`.
    pub(crate) fn embed(&self, ids_bt: &Tensor) -> Result<Tensor> {
        Ok(Tensor::f_embedding(self.work(index::EMBED), ids_bt, -1, false, false)?)
    }

    /// One block: the residual stream before it, and after it.
    pub(crate) fn block(&self, layer: usize, stream: Residual, pass: &mut Pass) -> Result<Residual> {
        let (sum, normed) = self.add_norm(stream.x_btd, stream.delta, index::layer(layer, index::INPUT_NORM))?;
        let mixed = self.attention(layer, &normed, pass)?;
        let (x_btd, normed) = self.add_norm(sum, Some(mixed), index::layer(layer, index::POST_NORM))?;
        let delta = Some(self.feed_forward(layer, &normed)?);
        Ok(Residual { x_btd, delta })
    }

    /// What the output matrix is applied to.
    pub(crate) fn last_norm(&self, stream: &Residual) -> Result<Tensor> {
        let Residual { x_btd, delta } = stream.share();
        Ok(self.add_norm(x_btd, delta, index::final_norm(self.params_layers()))?.1)
    }

    /// The residual stream before every block, and after the last one.
    pub(crate) fn trace(&self, ids_bt: &Tensor, pass: &mut Pass<'_>) -> Result<Vec<Residual>> {
        let mut trace = vec![Residual { x_btd: self.embed(ids_bt)?, delta: None }];
        for layer in 0..self.params_layers() {
            trace.push(self.block(layer, trace[layer].share(), pass)?);
        }
        Ok(trace)
    }

    fn attention(&self, layer: usize, x_btd: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let config = &self.config;
        let (heads, groups, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let &[batch, time, _] = x_btd.size().as_slice() else {
            return Err(Error::Input(format!("hidden states have shape {:?}, expected [batch, time, width]", x_btd.size())));
        };
        let qkv = self.normalize_heads(layer, self.project(layer, Target::Qkv, x_btd)?)?;
        let (q_bhte, mut k_bgse, mut v_bgse) = pass.angles.split(&qkv, heads, groups)?;
        if let Some(cache) = pass.cache.as_deref_mut() {
            (k_bgse, v_bgse) = cache.append(layer, &k_bgse, &v_bgse)?;
        }
        let view = match (&pass.sliding, config.layer_type(layer as i64)) {
            (Some(sliding), LayerType::Sliding) => sliding,
            _ => &pass.full,
        };
        if view.first_key > 0 {
            let keys = k_bgse.size()[2] - view.first_key;
            (k_bgse, v_bgse) = (k_bgse.f_narrow(2, view.first_key, keys)?, v_bgse.f_narrow(2, view.first_key, keys)?);
        }
        let mixed = if self.is_cpu() && view.past_only && q_bhte.kind() == Kind::BFloat16 {
            let for_each_head = |t: &Tensor| t.f_repeat_interleave_self_int(heads / groups, 1, None);
            let (k_bhte, v_bhte) = if heads == groups { (k_bgse, v_bgse) } else { (for_each_head(&k_bgse)?, for_each_head(&v_bgse)?) };
            torch_ext::causal_attention(&q_bhte, &k_bhte, &v_bhte, view.mask.as_ref())?
        } else {
            let mask = view.mask.as_ref();
            Tensor::f_scaled_dot_product_attention(&q_bhte, &k_bgse, &v_bgse, mask, 0.0, view.is_causal, None, heads != groups)?
        };
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([batch, time, heads * width])?;
        self.project(layer, Target::Output, &mixed)
    }

    /// Query and key `[b, t, (h + 2g) · e]` with each head normalized, where the layout has it; the value as it is.
    fn normalize_heads(&self, layer: usize, qkv: Tensor) -> Result<Tensor> {
        let extra = |which| self.extras.index(layer, which);
        let (Some(q_norm), Some(k_norm)) = (extra(Extra::QNorm), extra(Extra::KNorm)) else { return Ok(qkv) };
        let config = &self.config;
        let (heads, groups) = (config.num_attention_heads, config.num_key_value_heads);
        let (size, mut by_head) = (qkv.size(), qkv.size());
        by_head.splice(2.., [heads + 2 * groups, config.head_dim]);
        let parts = qkv.f_view(by_head.as_slice())?.f_split_with_sizes([heads, groups, groups], 2)?;
        let [q, k, v] = parts.as_slice() else { return Err(Error::Input("query, key and value are not three".to_owned())) };
        Ok(Tensor::f_cat(&[&self.norm(q, q_norm)?, &self.norm(k, k_norm)?, v], 2)?.f_view(size.as_slice())?)
    }

    /// RMSNorm over the last dimension.
    fn norm(&self, x: &Tensor, which: usize) -> Result<Tensor> {
        let (weight, eps) = (self.work(which), self.config.rms_norm_eps);
        if self.is_cpu() {
            return Ok(torch_ext::rms_norm(x, weight, eps)?);
        }
        Ok(x.f_rms_norm(weight.size().as_slice(), Some(weight), eps)?)
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
        match delta {
            Some(delta) if self.is_cpu() => Ok(torch_ext::add_rms_norm(&x, &delta, self.work(which), self.config.rms_norm_eps)?),
            delta => {
                let sum = delta.map_or(Ok(x.shallow_clone()), |delta| x.f_add(&delta))?;
                let normed = self.norm(&sum, which)?;
                Ok((sum, normed))
            }
        }
    }

    /// Where the fused operations of torch-ext exist.
    fn is_cpu(&self) -> bool {
        self.options.device == Device::Cpu
    }

    /// A matrix product, with its bias and the adapter's share where there are such.
    fn project(&self, layer: usize, target: Target, x: &Tensor) -> Result<Tensor> {
        let bias = self.extras.index(layer, target.bias()).map(|bias| self.work(bias));
        let base = x.f_linear(self.work(index::layer(layer, target.index())), bias)?;
        match &self.adapter {
            None => Ok(base),
            Some(adapter) => adapter.add_to(base, x, layer, target),
        }
    }
}
