//! Which side a document is on, and where it stands in the shuffled order: pure functions of its id.
//!
//! One digest of the id decides both, by different 64 of its 128 bits. Seed, batch and number of a copy are mixed into the second half
//! by the finalizer of SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators"), a permutation of 64
//! bits in which every input bit changes each output bit about half of the time.

use handoff::{Digest, DigestBuilder};

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
        IdHash::of(document_id).split(validation_share)
    }
}

/// What a document's id decides.
#[derive(Debug, Clone, Copy)]
pub struct IdHash {
    side: u64,
    place: u64,
}

impl IdHash {
    /// Hashes an id.
    pub fn of(document_id: &str) -> Self {
        let [side, place] = halves(&Digest::of_field("split", document_id.as_bytes()));
        Self { side, place }
    }

    /// As [`Split::of`].
    pub fn split(self, validation_share: f64) -> Split {
        if unit(self.side) < validation_share { Split::Validation } else { Split::Train }
    }

    /// Sorting a batch's documents by this key (and by id where two are equal) puts them into uniformly random order. Copies of a
    /// document, the first of which has number 0, are spread independently.
    pub fn key(self, order: BatchSeed, copy: u32) -> u64 {
        mix((self.place ^ order.0).wrapping_add(u64::from(copy).wrapping_mul(GOLDEN)))
    }
}

/// What makes the order of one batch another one than that of the next.
#[derive(Debug, Clone, Copy)]
pub struct BatchSeed(u64);

impl BatchSeed {
    /// From a run's seed and a batch's number.
    pub fn new(seed: u64, batch: u32) -> Self {
        let digest = DigestBuilder::new().field("seed", seed.to_le_bytes()).field("batch", batch.to_le_bytes()).finish();
        Self(halves(&digest)[0])
    }
}

/// A number from 0 to below 1 that depends on a document's id and on what it is for.
pub(crate) fn unit_hash(purpose: &str, document_id: &str) -> f64 {
    unit(halves(&Digest::of_field(purpose, document_id.as_bytes()))[0])
}

/// Sorting a window's rows by this key puts them into random order: a row is known by its longest part, which of a document (by its
/// [`IdHash::key`]) it is and where in it the part begins.
pub fn row_key(document: u64, token_offset: usize) -> u64 {
    mix(document.wrapping_add((token_offset as u64 + 1).wrapping_mul(GOLDEN)))
}

/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64, variant 13 of Stafford's.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 to below 1; 53 bits make an exact float.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

fn halves(digest: &Digest) -> [u64; 2] {
    let (halves, _) = digest.as_bytes().as_chunks();
    [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| handoff::document_id("source", &i.to_string(), "")).collect()
    }

    fn key(seed: u64, batch: u32, id: &str) -> u64 {
        IdHash::of(id).key(BatchSeed::new(seed, batch), 0)
    }

    /// Of numbers that should be uniform over 64 bits: chi square of 256 equal ranges, for each of the 8 bytes.
    fn chi_squares(numbers: &[u64]) -> Vec<f64> {
        let of_byte = |byte: usize| {
            let mut seen = [0_u32; 256];
            numbers.iter().for_each(|number| seen[number.to_le_bytes()[byte] as usize] += 1);
            let expected = numbers.len() as f64 / 256.0;
            seen.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum()
        };
        (0..8).map(of_byte).collect()
    }

    #[test]
    fn keys_of_copies_rows_and_batches_are_uniform() {
        let hash = IdHash::of("x");
        let order = BatchSeed::new(0, 0);
        for (name, keys) in [
            ("copies", (0..65_536).map(|copy| hash.key(order, copy)).collect::<Vec<u64>>()),
            ("rows", (0..65_536).map(|row| row_key(hash.key(order, 0), 512 * row)).collect()),
            ("rows of documents that follow each other", (0..65_536).map(|document| row_key(document << 40, 0)).collect()),
            ("batches", (0..65_536).map(|batch| hash.key(BatchSeed::new(0, batch), 0)).collect()),
            ("documents", (0..65_536).map(|id: u32| key(0, 0, &id.to_string())).collect()),
        ] {
            // 255 degrees of freedom: above 355 with p < 0.00004.
            assert!(chi_squares(&keys).iter().all(|chi_square| *chi_square < 355.0), "{name}: {:?}", chi_squares(&keys));
            let rising = keys.windows(2).filter(|pair| pair[0] < pair[1]).count() as f64;
            // The number of ascents has variance (n + 1) / 12.
            assert!((rising - 32_767.5).abs() < 4.0 * (65_537_f64 / 12.0).sqrt(), "{name}: {rising} rise");
        }
    }

    #[test]
    fn two_orders_of_the_same_documents_do_not_depend_on_each_other() {
        let ids = ids(20_000);
        let halves = |seed, batch| ids.iter().map(move |id| key(seed, batch, id) >> 63);
        for (other, name) in [((1, 0), "seed"), ((0, 1), "batch")] {
            let same = halves(0, 0).zip(halves(other.0, other.1)).filter(|(a, b)| a == b).count();
            assert!((9700..10_300).contains(&same), "{name}: {same} of 20,000 in the same half");
        }
    }

    #[test]
    fn a_side_is_what_it_was() {
        // Documents keep their sides from one version to the next; the numbers come from another implementation of BLAKE3.
        let held: Vec<usize> =
            ids(100).iter().enumerate().filter(|(_, id)| Split::of(id, 0.1) == Split::Validation).map(|(n, _)| n).collect();
        assert_eq!(held, [29, 33, 47, 48, 60, 64, 68, 70, 73, 84, 87, 94]);
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
            let first = key(seed, 0, &ids[0]);
            places[ids.iter().filter(|id| key(seed, 0, id) < first).count()] += 1;
        }
        let chi_square: f64 = places.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 24.3, "chi square {chi_square} with 7 degrees of freedom: p < 0.001, {places:?}");
    }

    #[test]
    fn order_and_split_do_not_depend_on_each_other() {
        // Kendall's tau between place in the input and in the shuffled order is near 0, also among held-out documents.
        let held: Vec<String> = ids(20_000).into_iter().filter(|id| Split::of(id, 0.05) == Split::Validation).take(800).collect();
        let keys: Vec<u64> = held.iter().map(|id| key(7, 3, id)).collect();
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
        assert_ne!(key(0, 0, id), key(1, 0, id));
        assert_ne!(key(0, 0, id), key(0, 1, id));
    }
}
