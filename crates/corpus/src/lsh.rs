//! The index behind near-duplicate decisions: for every band key, the first document that had it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Band keys are hashes already: they need no second one.
#[derive(Debug, Default, Clone, Copy)]
struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::hash64(bytes, self.0);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// First document of every band key, in the order documents are inserted.
///
/// A lookup and an insertion cost one probe a band, however many documents share a key.
#[derive(Debug, Default)]
pub struct BandIndex {
    first: HashMap<u64, u32, BuildHasherDefault<PassThrough>>,
}

impl BandIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The earliest document that shares a band with `keys`, and how many of the bands have been seen before.
    #[must_use]
    pub fn find(&self, keys: &[u64]) -> Option<(u32, u32)> {
        let mut found: Option<(u32, u32)> = None;
        for &document in keys.iter().filter_map(|key| self.first.get(key)) {
            let (earliest, bands) = found.unwrap_or((document, 0));
            found = Some((earliest.min(document), bands + 1));
        }
        found
    }

    /// Enters `document`; keys that an earlier one holds stay with it.
    pub fn insert(&mut self, document: u32, keys: &[u64]) {
        for &key in keys {
            self.first.entry(key).or_insert(document);
        }
    }

    /// Number of distinct keys held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// True if nothing was inserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_holder_wins() {
        let mut index = BandIndex::new();
        assert_eq!(index.find(&[1, 2, 3]), None);
        index.insert(0, &[1, 2, 3]);
        index.insert(1, &[4, 2, 6]);
        assert_eq!(index.find(&[9, 2, 6]), Some((0, 2)));
        assert_eq!(index.find(&[4, 9, 9]), Some((1, 1)));
        assert_eq!(index.find(&[9, 9, 9]), None);
        assert_eq!(index.len(), 5);
    }
}
