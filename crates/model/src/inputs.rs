//! What a forward pass takes besides token ids.

use tch::{Kind, Tensor};

use crate::error::Result;

/// Positions and attention mask. The default is plain causal attention over positions `0..t`.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Position of each token, `[b, t]` i64. Absent: `0..t` (after what a cache holds).
    pub positions: Option<Tensor>,
    /// Who sees whom, `[b or 1, 1, t, s]` bool, true where the query attends. Absent: causal.
    pub mask: Option<Tensor>,
    /// Whether `mask` shows no query a later key, as that of [`Inputs::documents`] does: training in bf16 on a CPU is faster then.
    pub past_only: bool,
}

impl Inputs {
    /// Rows that hold several documents: each token sees the earlier tokens of its own document only, and positions
    /// begin at 0 in each. (With dynamic scaling, all documents of a row turn as the longest of them does.)
    /// `segments_bt` (i64) numbers the document of each token; equal neighbours belong together.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn documents(segments_bt: &Tensor) -> Result<Self> {
        let size = segments_bt.size();
        let (batch, time) = (size[0], size[1]);
        let index_t = Tensor::f_arange(time, (Kind::Int64, segments_bt.device()))?;
        // A document starts where the number differs from that of the token before.
        let first = Tensor::f_ones([batch, 1], (Kind::Bool, segments_bt.device()))?;
        let changes = segments_bt.f_narrow(1, 1, time - 1)?.f_ne_tensor(&segments_bt.f_narrow(1, 0, time - 1)?)?;
        let starts_bt = Tensor::f_cat(&[first, changes], 1)?;
        let start_index_bt = (&starts_bt.f_to_kind(Kind::Int64)? * &index_t).f_cummax(1)?.0;
        let positions = &index_t - &start_index_bt;
        // Same document means same start, which also tells apart two documents with one number.
        let same = start_index_bt.f_unsqueeze(2)?.f_eq_tensor(&start_index_bt.f_unsqueeze(1)?)?;
        let causal = index_t.f_unsqueeze(1)?.f_ge_tensor(&index_t.f_unsqueeze(0)?)?;
        let mask = same.f_logical_and(&causal)?.f_unsqueeze(1)?;
        Ok(Self { positions: Some(positions), mask: Some(mask), past_only: true })
    }

    /// What belongs to `count` rows of the batch from row `start` on.
    ///
    /// # Errors
    /// Rows that are not there.
    pub fn rows(&self, start: i64, count: i64) -> Result<Self> {
        let cut = |tensor: &Tensor| if tensor.size()[0] == 1 { Ok(tensor.shallow_clone()) } else { tensor.f_narrow(0, start, count) };
        let (positions, mask) = (self.positions.as_ref().map(cut).transpose()?, self.mask.as_ref().map(cut).transpose()?);
        Ok(Self { positions, mask, past_only: self.past_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_separated() {
        let segments = Tensor::from_slice(&[5i64, 5, 9, 9, 9, 5]).view([1, 6]);
        let inputs = Inputs::documents(&segments).unwrap();
        let positions: Vec<i64> = Vec::try_from(inputs.positions.unwrap().view([-1])).unwrap();
        assert_eq!(positions, [0, 1, 0, 1, 2, 0]);
        let mask: Vec<bool> = Vec::try_from(inputs.mask.unwrap().view([-1])).unwrap();
        let rows: Vec<String> = mask.chunks(6).map(|row| row.iter().map(|x| if *x { '1' } else { '0' }).collect()).collect();
        assert_eq!(rows, ["100000", "110000", "001000", "001100", "001110", "000001"]);
    }
}
