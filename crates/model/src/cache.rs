//! Keys and values of tokens already seen, so that each new token costs one position.
//!
//! Shape letters: b batch, g key-value heads, s capacity in tokens, e width of a head.

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};

/// The cache of one batch of sequences; all rows have the same length.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    len: i64,
    capacity: i64,
}

impl KvCache {
    /// Room for `capacity` tokens in each of `batch` rows.
    ///
    /// # Errors
    /// What libtorch refuses, such as more memory than there is.
    pub fn new(config: &Config, batch: i64, capacity: i64, device: Device, compute: Kind) -> Result<Self> {
        let shape = [batch, config.num_key_value_heads, capacity, config.head_dim];
        let make = || Tensor::f_zeros(shape, (compute, device));
        let layers = (0..config.num_hidden_layers).map(|_| Ok((make()?, make()?))).collect::<Result<_>>()?;
        Ok(Self { layers, len: 0, capacity })
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
        Ok(())
    }

    /// Puts new keys and values `[b, g, t, e]` behind those of `layer`, and gives all of them back.
    pub(crate) fn append(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let time = keys.size()[2];
        if self.len + time > self.capacity {
            return Err(Error::Input(format!("{} tokens do not fit into a cache for {}", self.len + time, self.capacity)));
        }
        let (all_keys, all_values) = &self.layers[layer];
        all_keys.f_narrow(2, self.len, time)?.f_copy_(keys)?;
        all_values.f_narrow(2, self.len, time)?.f_copy_(values)?;
        Ok((all_keys.f_narrow(2, 0, self.len + time)?, all_values.f_narrow(2, 0, self.len + time)?))
    }

    /// Counts tokens once all layers have appended them.
    pub(crate) fn advance(&mut self, time: i64) {
        self.len += time;
    }
}
