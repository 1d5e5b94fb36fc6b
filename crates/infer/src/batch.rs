//! Grouping sequences of similar length, so that little is spent on padding.

/// Splits sequences into batches: sorted by length, longest first, at most `budget` tokens a batch with padding, at
/// least one sequence. Gives positions in `lengths`. The longest first, so that too large a budget fails at once.
pub(crate) fn by_length(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    // Stable, so that the batches depend on nothing else.
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut width = 0;
    for index in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * width <= budget => batch.push(index),
            _ => {
                width = lengths[index].max(1);
                batches.push(vec![index]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_the_budget_and_lose_nothing() {
        let lengths = [3, 10, 1, 7, 7, 2, 20, 0];
        let batches = by_length(&lengths, 14);
        assert_eq!(batches, [vec![6], vec![1], vec![3, 4], vec![0, 5, 2, 7]]);
        assert!(by_length(&[], 14).is_empty());
    }
}
