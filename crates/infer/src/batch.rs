//! Grouping sequences of similar length, so that little is spent on padding.

use model::{Model, RopeScaling};

/// Splits sequences into batches: sorted by length, longest first, at most `budget` tokens a batch with padding, at
/// least one sequence. Gives positions in `lengths`. The longest first, so that too large a budget fails at once.
/// A sequence longer than `unpadded_from` is only batched with others of its length.
pub(crate) fn by_length(lengths: &[usize], budget: usize, unpadded_from: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    // Stable, so that the batches depend on nothing else.
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut width = 0;
    for index in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * width <= budget && (width <= unpadded_from || lengths[index] == width) => batch.push(index),
            _ => {
                width = lengths[index].max(1);
                batches.push(vec![index]);
            }
        }
    }
    batches
}

/// The length beyond which padding changes what a model gives: with dynamic scaling, rotary positions depend on it.
pub(crate) fn unpadded_from(model: &Model) -> usize {
    match model.config().rope_scaling {
        Some(RopeScaling::Dynamic { original_max_position_embeddings: original, .. }) => usize::try_from(original).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_the_budget_and_lose_nothing() {
        let lengths = [3, 10, 1, 7, 7, 2, 20, 0];
        let batches = by_length(&lengths, 14, usize::MAX);
        assert_eq!(batches, [vec![6], vec![1], vec![3, 4], vec![0, 5, 2, 7]]);
        assert!(by_length(&[], 14, 0).is_empty());
        assert_eq!(by_length(&[5, 3, 5, 4, 2, 1], 100, 3), [vec![0, 2], vec![3], vec![1, 4, 5]]);
    }
}
