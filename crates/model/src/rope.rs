//! Rotary positions (Su et al., arXiv 2104.09864), in the layout of Hugging Face Llama: the two halves of a head rotate together.
//!
//! Shape letters: b batch, t time, h heads, e width of a head.

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::scaling::{RopeScaling, frequencies};

/// Cosines and sines for every position, f32.
#[derive(Debug)]
pub(crate) struct Rope {
    cos_te: Tensor,
    sin_te: Tensor,
    dynamic: Option<Dynamic>,
}

/// What positions beyond the tables need: with dynamic scaling these depend on the length of the whole sequence.
#[derive(Debug, Clone, Copy)]
struct Dynamic {
    theta: f64,
    width: i64,
    factor: f64,
    /// Sequences up to here are not scaled, and in the tables.
    original: i64,
    longest: i64,
}

/// The rows of the tables for one input: `[t, e/2]`, or `[b · t, e/2]` when rows have positions of their own.
#[derive(Debug)]
pub(crate) struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    pub(crate) fn new(config: &Config, device: Device) -> Result<Self> {
        let longest = config.max_position_embeddings;
        let dynamic = match config.rope_scaling {
            Some(RopeScaling::Dynamic { factor, original_max_position_embeddings: original }) => {
                Some(Dynamic { theta: config.rope_theta, width: config.head_dim, factor, original, longest })
            }
            _ => None,
        };
        let (frequencies, scale) = frequencies(config);
        let rows = dynamic.map_or(longest, |dynamic| dynamic.original);
        let angles = Tensor::f_arange(rows, (Kind::Double, Device::Cpu))?.f_outer(&Tensor::from_slice(&frequencies))?;
        let finish = |table: Tensor| -> Result<Tensor> { Ok(table.f_mul_scalar(scale)?.f_to_kind(Kind::Float)?.f_to_device(device)?) };
        Ok(Self { cos_te: finish(angles.cos())?, sin_te: finish(angles.sin())?, dynamic })
    }

    /// The same tables.
    pub(crate) fn replica(&self) -> Self {
        Self { cos_te: self.cos_te.shallow_clone(), sin_te: self.sin_te.shallow_clone(), dynamic: self.dynamic }
    }

    /// Positions `start..start + length`, the same for every row.
    pub(crate) fn range(&self, start: i64, length: i64) -> Result<Angles> {
        let (end, available) = (start + length, self.cos_te.size()[0]);
        if end <= available {
            return Ok(Angles { cos: self.cos_te.f_narrow(0, start, length)?, sin: self.sin_te.f_narrow(0, start, length)? });
        }
        match self.dynamic {
            Some(dynamic) if end <= dynamic.longest => {
                let options = (Kind::Int64, self.cos_te.device());
                dynamic.angles(&Tensor::f_arange_start(start, end, options)?.f_unsqueeze(0)?)
            }
            _ => Err(too_long(end, self.dynamic.map_or(available, |dynamic| dynamic.longest))),
        }
    }

    /// The given positions `[b, t]` (i64), which must be below `max_position_embeddings`.
    pub(crate) fn at(&self, positions_bt: &Tensor) -> Result<Angles> {
        if let Some(dynamic) = &self.dynamic {
            let end = end_of(positions_bt)?;
            if end > dynamic.longest {
                return Err(too_long(end, dynamic.longest));
            }
            if end > dynamic.original {
                return dynamic.angles(positions_bt);
            }
        }
        let flat = positions_bt.f_reshape([-1])?;
        Ok(Angles { cos: self.cos_te.f_index_select(0, &flat)?, sin: self.sin_te.f_index_select(0, &flat)? })
    }
}

/// One more than the largest position; waits for the device.
pub(crate) fn end_of(positions: &Tensor) -> Result<i64> {
    if positions.numel() == 0 {
        return Ok(0);
    }
    Ok(positions.f_max()?.f_int64_value(&[])? + 1)
}

fn too_long(length: i64, longest: i64) -> Error {
    Error::Input(format!("a sequence of {length} tokens is longer than `max_position_embeddings` ({longest})"))
}

impl Dynamic {
    /// Each row of `positions_bt` is a sequence that ends with its largest position. See [`RopeScaling::Dynamic`].
    fn angles(&self, positions_bt: &Tensor) -> Result<Angles> {
        let options = (Kind::Double, positions_bt.device());
        let length_b =
            positions_bt.f_amax([1i64].as_slice(), false)?.f_add_scalar(1)?.f_clamp_min(self.original)?.f_to_kind(Kind::Double)?;
        let growth_b = (length_b * (self.factor / self.original as f64) - (self.factor - 1.0)).f_log()?;
        let log_base_b = growth_b * (self.width as f64 / (self.width - 2) as f64) + self.theta.ln();
        let exponents = Tensor::f_arange(self.width / 2, options)? * (-2.0 / self.width as f64);
        let frequencies_bp = log_base_b.f_outer(&exponents)?.f_exp()?;
        let angles_btp = positions_bt.f_to_kind(Kind::Double)?.f_unsqueeze(2)? * frequencies_bp.f_unsqueeze(1)?;
        let finish = |table: Tensor| -> Result<Tensor> { Ok(table.f_to_kind(Kind::Float)?.f_reshape([-1, self.width / 2])?) };
        Ok(Angles { cos: finish(angles_btp.f_cos()?)?, sin: finish(angles_btp.f_sin()?)? })
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

    #[test]
    fn dynamic_rows_turn_with_their_own_length() {
        let mut config = Config::llama(10, 32, 1, 4);
        config.rope_scaling = Some(RopeScaling::Dynamic { factor: 4.0, original_max_position_embeddings: 8 });
        config.max_position_embeddings = 32;
        let rope = Rope::new(&config, Device::Cpu).unwrap();
        let row = |last: i64| Tensor::arange_start(last - 5, last + 1, (Kind::Int64, Device::Cpu));
        let both = rope.at(&Tensor::stack(&[row(5), row(19)], 0)).unwrap();
        let (short, long) = (rope.range(0, 6).unwrap(), rope.range(14, 6).unwrap());
        let alone = Tensor::cat(&[short.cos, long.cos], 0);
        assert!((both.cos - alone).abs().max().double_value(&[]) < 1e-6);
        // Continuous at the original length.
        let (at, table) = (rope.dynamic.unwrap().angles(&row(7).unsqueeze(0)).unwrap(), rope.range(2, 6).unwrap());
        assert!((at.sin - table.sin).abs().max().double_value(&[]) < 1e-6);
        assert!(rope.range(30, 3).unwrap_err().to_string().contains("33 tokens is longer than `max_position_embeddings` (32)"));
        assert!(rope.at(&row(32).unsqueeze(0)).is_err());
    }
}
