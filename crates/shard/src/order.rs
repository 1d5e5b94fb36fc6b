//! Which side a document is on, and where it stands in the shuffled order: pure functions of its id.

use handoff::DigestBuilder;

/// The two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// What a model is trained on.
    Train,
    /// What it is measured on.
    Validation,
}

impl Split {
    /// Both.
    pub const ALL: [Split; 2] = [Split::Train, Split::Validation];

    /// Its name in file names and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
        }
    }

    /// The side of a document: of all documents, `validation_share` are held out. Depends on the id alone, not on the seed: a
    /// document stays on its side when the corpus grows, and a larger share only moves documents out of training.
    pub fn of(document_id: &str, validation_share: f64) -> Self {
        if unit_hash("split", document_id) < validation_share { Self::Validation } else { Self::Train }
    }
}

/// A number from 0 to below 1 that depends on a document's id and on what it is for.
pub(crate) fn unit_hash(purpose: &str, document_id: &str) -> f64 {
    let digest = DigestBuilder::new().field(purpose, document_id).finish();
    // 53 bits make an exact float.
    (first_u64(digest.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sorting a batch's documents by this key (and by id where two are equal) puts them into uniformly random order.
pub fn shuffle_key(seed: u64, batch: u32, document_id: &str) -> u64 {
    let digest =
        DigestBuilder::new().field("seed", seed.to_le_bytes()).field("batch", batch.to_le_bytes()).field("document", document_id).finish();
    first_u64(digest.as_bytes())
}

/// As [`shuffle_key`], for a further copy of a document, the first of which has number 1. Copies are spread independently.
pub fn copy_key(seed: u64, batch: u32, document_id: &str, copy: u32) -> u64 {
    let digest = DigestBuilder::new()
        .field("seed", seed.to_le_bytes())
        .field("batch", batch.to_le_bytes())
        .field("document", document_id)
        .field("copy", copy.to_le_bytes())
        .finish();
    first_u64(digest.as_bytes())
}

/// Sorting a window's rows by this key puts them into random order: a row is known by its longest part, which of a document it is and
/// where in it the part begins.
pub fn row_key(document_id: &str, token_offset: usize) -> u64 {
    let digest = DigestBuilder::new().field("row", document_id).field("offset", (token_offset as u64).to_le_bytes()).finish();
    first_u64(digest.as_bytes())
}

fn first_u64(bytes: &[u8; 16]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| handoff::document_id("source", &i.to_string(), "")).collect()
    }

    #[test]
    fn the_share_is_met_and_nested() {
        let ids = ids(20_000);
        let held = |share: f64| ids.iter().filter(|id| Split::of(id, share) == Split::Validation).count();
        // Four standard deviations of a binomial around 400 and 4000.
        assert!((320..480).contains(&held(0.02)), "{}", held(0.02));
        assert!((3770..4230).contains(&held(0.2)), "{}", held(0.2));
        assert_eq!(held(0.0), 0);
        assert!(ids.iter().all(|id| Split::of(id, 0.02) == Split::Train || Split::of(id, 0.2) == Split::Validation));
    }

    #[test]
    fn the_order_is_uniform() {
        // Where does the first of 8 documents land? Over many seeds, everywhere equally often.
        let ids = ids(8);
        let mut places = [0_u32; 8];
        for seed in 0..8000 {
            let first = shuffle_key(seed, 0, &ids[0]);
            places[ids.iter().filter(|id| shuffle_key(seed, 0, id) < first).count()] += 1;
        }
        let chi_square: f64 = places.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 24.3, "chi square {chi_square} with 7 degrees of freedom: p < 0.001, {places:?}");
    }

    #[test]
    fn order_and_split_do_not_depend_on_each_other() {
        // Kendall's tau between place in the input and in the shuffled order is near 0, also among held-out documents.
        let held: Vec<String> = ids(20_000).into_iter().filter(|id| Split::of(id, 0.05) == Split::Validation).take(800).collect();
        let keys: Vec<u64> = held.iter().map(|id| shuffle_key(7, 3, id)).collect();
        let mut concordant = 0_i64;
        for i in 0..keys.len() {
            for j in i + 1..keys.len() {
                concordant += if keys[i] < keys[j] { 1 } else { -1 };
            }
        }
        let n = keys.len() as f64;
        let tau = concordant as f64 / (n * (n - 1.0) / 2.0);
        let deviation = (2.0 * (2.0 * n + 5.0) / (9.0 * n * (n - 1.0))).sqrt();
        assert!(tau.abs() < 4.0 * deviation, "tau {tau}");
    }

    #[test]
    fn seed_and_batch_change_the_order() {
        let id = &ids(1)[0];
        assert_ne!(shuffle_key(0, 0, id), shuffle_key(1, 0, id));
        assert_ne!(shuffle_key(0, 0, id), shuffle_key(0, 1, id));
    }
}
