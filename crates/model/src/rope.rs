//! Rotary positions (Su et al., arXiv 2104.09864), in the layout of Hugging Face Llama: the two halves of a head rotate together.
//!
//! Shape letters: b batch, t time, h heads, e width of a head.

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};

/// Cosines and sines for every position, f32.
#[derive(Debug)]
pub(crate) struct Rope {
    cos_te: Tensor,
    sin_te: Tensor,
}

/// The rows of the tables for one input: `[t, e/2]`, or `[b · t, e/2]` when rows have positions of their own.
#[derive(Debug)]
pub(crate) struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    pub(crate) fn new(config: &Config, device: Device) -> Result<Self> {
        let half = config.head_dim / 2;
        let options = (Kind::Double, Device::Cpu);
        let exponent = Tensor::f_arange(half, options)? * (2.0 / config.head_dim as f64);
        let inverse = (exponent * -config.rope_theta.ln()).exp();
        let angles = Tensor::f_arange(config.max_position_embeddings, options)?.f_outer(&inverse)?;
        let finish = |table: Tensor| -> Result<Tensor> { Ok(table.f_to_kind(Kind::Float)?.f_to_device(device)?) };
        Ok(Self { cos_te: finish(angles.cos())?, sin_te: finish(angles.sin())? })
    }

    /// Positions `start..start + length`, the same for every row.
    pub(crate) fn range(&self, start: i64, length: i64) -> Result<Angles> {
        let available = self.cos_te.size()[0];
        if start + length > available {
            let length = start + length;
            return Err(Error::Input(format!("a sequence of {length} tokens is longer than `max_position_embeddings` ({available})")));
        }
        Ok(Angles { cos: self.cos_te.f_narrow(0, start, length)?, sin: self.sin_te.f_narrow(0, start, length)? })
    }

    /// The given positions `[b, t]` (i64), which must be below `max_position_embeddings`.
    pub(crate) fn at(&self, positions_bt: &Tensor) -> Result<Angles> {
        let flat = positions_bt.f_reshape([-1])?;
        Ok(Angles { cos: self.cos_te.f_index_select(0, &flat)?, sin: self.sin_te.f_index_select(0, &flat)? })
    }
}

impl Angles {
    /// Splits `[b, t, (h + 2g) · e]` into query, key and value `[b, h or g, t, e]` and rotates the first two.
    pub(crate) fn split(&self, qkv: &Tensor, heads: i64, groups: i64) -> Result<(Tensor, Tensor, Tensor)> {
        if qkv.device() == Device::Cpu {
            return Ok(torch_ext::split_rotate(qkv, &self.cos, &self.sin, heads, groups)?);
        }
        self.split_composed(qkv, heads, groups)
    }

    /// The same, composed of libtorch's operations.
    fn split_composed(&self, qkv: &Tensor, heads: i64, groups: i64) -> Result<(Tensor, Tensor, Tensor)> {
        let &[batch, time, wide] = qkv.size().as_slice() else {
            return Err(Error::Input(format!("query, key and value have shape {:?}, expected [batch, time, width]", qkv.size())));
        };
        let (all, half) = (heads + 2 * groups, self.cos.size()[1]);
        let packed = qkv.f_view([batch, time, all, wide / all])?;
        let table = |t: &Tensor| -> Result<Tensor> { Ok(t.f_view([-1, time, 1, half])?.f_to_kind(qkv.kind())?) };
        let (cos, sin) = (table(&self.cos)?, table(&self.sin)?);
        let turning = packed.f_narrow(2, 0, heads + groups)?;
        let (x1, x2) = (turning.f_narrow(3, 0, half)?, turning.f_narrow(3, half, half)?);
        let turned = Tensor::f_cat(&[&x1 * &cos - &x2 * &sin, &x2 * &cos + &x1 * &sin], 3)?;
        let part = |from: &Tensor, start, count| -> Result<Tensor> { Ok(from.f_narrow(2, start, count)?.f_transpose(1, 2)?) };
        Ok((part(&turned, 0, heads)?, part(&turned, heads, groups)?, part(&packed, heads + groups, groups)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_rotate_agree() {
        let mut config = Config::llama(10, 32, 1, 4);
        config.num_key_value_heads = 2;
        let rope = Rope::new(&config, Device::Cpu).unwrap();
        let qkv = Tensor::randn([3, 5, 8 * 8], (Kind::Float, Device::Cpu));
        let positions = Tensor::from_slice(&[0i64, 1, 2, 3, 4, 7, 8, 9, 10, 11, 0, 0, 1, 0, 1]).view([3, 5]);
        for angles in [rope.range(2, 5).unwrap(), rope.at(&positions).unwrap()] {
            let (a, b) = (angles.split(&qkv, 4, 2).unwrap(), angles.split_composed(&qkv, 4, 2).unwrap());
            for (fused, composed) in [(a.0, b.0), (a.1, b.1), (a.2, b.2)] {
                assert!((fused - composed).abs().max().double_value(&[]) < 1e-5);
            }
        }
        assert!(rope.range(2046, 3).unwrap_err().to_string().contains("`max_position_embeddings` (2048)"));
    }
}
