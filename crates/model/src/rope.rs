//! Rotary positions (Su et al., arXiv 2104.09864), in the layout of Hugging Face Llama: the two halves of a head rotate together.
//!
//! Shape letters: b batch, t time, h heads, e width of a head.

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};

/// Cosines and sines for every position.
#[derive(Debug)]
pub(crate) struct Rope {
    cos_te: Tensor,
    /// The first half of each row is negated, so that a roll by half a head and a product give the rotated part.
    sin_te: Tensor,
}

/// The rows of the tables for one input, shaped to multiply `[b, t, h, e]`.
#[derive(Debug)]
pub(crate) struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    pub(crate) fn new(config: &Config, device: Device, compute: Kind) -> Result<Self> {
        let half = config.head_dim / 2;
        let options = (Kind::Double, Device::Cpu);
        let exponent = Tensor::f_arange(half, options)? * (2.0 / config.head_dim as f64);
        let inverse = (exponent * -config.rope_theta.ln()).exp();
        let angles =
            Tensor::f_arange(config.max_position_embeddings, options)?.f_outer(&inverse)?;
        let (cos, sin) = (angles.cos(), angles.sin());
        let finish = |halves: [&Tensor; 2]| -> Result<Tensor> {
            Ok(Tensor::f_cat(&halves, 1)?
                .f_to_kind(compute)?
                .f_to_device(device)?)
        };
        Ok(Self {
            cos_te: finish([&cos, &cos])?,
            sin_te: finish([&sin.neg(), &sin])?,
        })
    }

    /// Positions `start..start + length`, the same for every row.
    pub(crate) fn range(&self, start: i64, length: i64) -> Result<Angles> {
        let available = self.cos_te.size()[0];
        if start + length > available {
            return Err(Error::Input(format!(
                "a sequence of {} tokens is longer than `max_position_embeddings` ({available})",
                start + length
            )));
        }
        let rows = |table: &Tensor| -> Result<Tensor> {
            Ok(table.f_narrow(0, start, length)?.f_unsqueeze(1)?)
        };
        Ok(Angles {
            cos: rows(&self.cos_te)?,
            sin: rows(&self.sin_te)?,
        })
    }

    /// The given positions `[b, t]` (i64), which must be below `max_position_embeddings`.
    pub(crate) fn at(&self, positions_bt: &Tensor) -> Result<Angles> {
        let size = positions_bt.size();
        let flat = positions_bt.f_reshape([-1])?;
        let rows = |table: &Tensor| -> Result<Tensor> {
            Ok(table
                .f_index_select(0, &flat)?
                .f_view([size[0], size[1], 1, table.size()[1]])?)
        };
        Ok(Angles {
            cos: rows(&self.cos_te)?,
            sin: rows(&self.sin_te)?,
        })
    }
}

impl Angles {
    /// Rotates `[b, t, h, e]`.
    pub(crate) fn rotate(&self, x_bthe: &Tensor) -> Result<Tensor> {
        let half = x_bthe.size()[3] / 2;
        let rolled = x_bthe.f_roll([half], [3])?;
        Ok((x_bthe * &self.cos).f_addcmul(&rolled, &self.sin)?)
    }
}
