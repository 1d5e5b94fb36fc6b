//! Keys and values of tokens already seen, so that each new token costs one position.
//!
//! A token's keys and values do not depend on later tokens, except with dynamic scaling of rotary positions: there a
//! longer sequence turns all its positions differently. Such a cache keeps its inputs too, and beyond the original
//! length the model computes the whole sequence again for each addition. That is slow, and right.
//!
//! Sliding layers keep all tokens as well, and look at the last ones.
//!
//! Shape letters: b batch, g key-value heads, s capacity in tokens, e width of a head, t new tokens, p tokens so far.

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::rope::end_of;
use crate::scaling::RopeScaling;

/// The cache of one batch of sequences; all rows have the same length.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    len: i64,
    capacity: i64,
    /// With dynamic scaling: the length up to which nothing is scaled, and the inputs so far.
    dynamic: Option<(i64, Option<Past>)>,
}

/// All inputs of a sequence.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) ids_bp: Tensor,
    positions_bp: Tensor,
    /// `[b or 1, 1, p, p]`; absent: causal.
    mask: Option<Tensor>,
    /// Whether keys and values of the cache no longer hold.
    pub(crate) is_scaled: bool,
}

impl Past {
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs { positions: Some(self.positions_bp.shallow_clone()), mask: self.mask.as_ref().map(Tensor::shallow_clone), past_only: false }
    }
}

impl KvCache {
    /// Room for `capacity` tokens in each of `batch` rows.
    ///
    /// # Errors
    /// What libtorch refuses, such as more memory than there is.
    pub fn new(config: &Config, batch: i64, capacity: i64, device: Device, compute: Kind) -> Result<Self> {
        let dynamic = match config.rope_scaling {
            Some(RopeScaling::Dynamic { original_max_position_embeddings: original, .. }) => Some((original, None)),
            _ => None,
        };
        let kept = dynamic.as_ref().map_or(capacity, |(original, _)| capacity.min(*original));
        let shape = [batch, config.num_key_value_heads, kept, config.head_dim];
        let make = || Tensor::f_zeros(shape, (compute, device));
        let layers = (0..config.num_hidden_layers).map(|_| Ok((make()?, make()?))).collect::<Result<_>>()?;
        Ok(Self { layers, len: 0, capacity, dynamic })
    }

    /// Tokens in each row.
    pub fn len(&self) -> i64 {
        self.len
    }

    /// Whether nothing has been put in yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps only these rows (i64 indices), in this order: drops sequences that are done.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn select_rows(&mut self, rows: &Tensor) -> Result<()> {
        for (keys, values) in &mut self.layers {
            *keys = keys.f_index_select(0, rows)?;
            *values = values.f_index_select(0, rows)?;
        }
        if let Some((_, Some(past))) = &mut self.dynamic {
            past.ids_bp = past.ids_bp.f_index_select(0, rows)?;
            past.positions_bp = past.positions_bp.f_index_select(0, rows)?;
            // A mask of one row is that of all.
            if let Some(mask) = past.mask.as_mut().filter(|mask| mask.size()[0] != 1) {
                *mask = mask.f_index_select(0, rows)?;
            }
        }
        Ok(())
    }

    /// Puts new keys and values `[b, g, t, e]` behind those of `layer`, and gives all of them back.
    pub(crate) fn append(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let time = keys.size()[2];
        self.check_room(time)?;
        let (all_keys, all_values) = &self.layers[layer];
        all_keys.f_narrow(2, self.len, time)?.f_copy_(keys)?;
        all_values.f_narrow(2, self.len, time)?.f_copy_(values)?;
        Ok((all_keys.f_narrow(2, 0, self.len + time)?, all_values.f_narrow(2, 0, self.len + time)?))
    }

    /// Counts tokens once all layers have appended them.
    pub(crate) fn advance(&mut self, time: i64) {
        self.len += time;
    }

    pub(crate) fn check_room(&self, time: i64) -> Result<()> {
        if self.len + time > self.capacity {
            return Err(Error::Input(format!("{} tokens do not fit into a cache for {}", self.len + time, self.capacity)));
        }
        Ok(())
    }

    /// All inputs, these included, where the cache has to keep them.
    pub(crate) fn extended(&self, ids_bt: &Tensor, inputs: &Inputs) -> Result<Option<Past>> {
        let Some((original, past)) = &self.dynamic else { return Ok(None) };
        let &[batch, time] = ids_bt.size().as_slice() else {
            return Err(Error::Input(format!("token ids have shape {:?}, expected [batch, time]", ids_bt.size())));
        };
        let (device, end) = (ids_bt.device(), self.len + time);
        let positions_bt = match &inputs.positions {
            Some(positions) => positions.shallow_clone(),
            None => Tensor::f_arange_start(self.len, end, (Kind::Int64, device))?.f_unsqueeze(0)?,
        };
        let positions_bt = positions_bt.f_expand([batch, time], false)?;
        let is_scaled = end > *original || end_of(&positions_bt)? > *original || past.as_ref().is_some_and(|past| past.is_scaled);
        // Plain causal attention as a mask, for a part that has none of its own.
        let causal = |start: i64, time: i64| -> Result<Tensor> {
            Ok(Tensor::f_ones([1, 1, time, start + time], (Kind::Bool, device))?.f_tril(start)?)
        };
        let Some(past) = past else {
            let mask = inputs.mask.as_ref().map(Tensor::shallow_clone);
            return Ok(Some(Past { ids_bp: ids_bt.shallow_clone(), positions_bp: positions_bt, mask, is_scaled }));
        };
        let positions_bp = Tensor::f_cat(&[&past.positions_bp, &positions_bt], 1)?;
        let mask = match (&past.mask, &inputs.mask) {
            (None, None) => None,
            (before, after) => {
                let before = before.as_ref().map_or_else(|| causal(0, self.len), |mask| Ok(mask.shallow_clone()))?;
                let after = after.as_ref().map_or_else(|| causal(self.len, time), |mask| Ok(mask.shallow_clone()))?;
                // Earlier tokens do not see the new ones.
                let before = before.f_constant_pad_nd([0, time])?;
                let rows = before.size()[0].max(after.size()[0]);
                let before = before.f_expand([rows, 1, self.len, end], false)?;
                Some(Tensor::f_cat(&[before, after.f_expand([rows, 1, time, end], false)?], 2)?)
            }
        };
        let ids_bp = Tensor::f_cat(&[&past.ids_bp, ids_bt], 1)?;
        Ok(Some(Past { ids_bp, positions_bp, mask, is_scaled }))
    }

    /// Keeps what [`KvCache::extended`] gave, once the model has computed it.
    pub(crate) fn keep(&mut self, past: Past) {
        if let Some((_, kept)) = &mut self.dynamic {
            *kept = Some(past);
        }
    }
}
