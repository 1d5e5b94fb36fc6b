//! Counts of pieces within bounded memory.

use std::collections::{BTreeMap, HashMap};

/// Memory that a distinct piece takes besides its bytes, and that each of its bytes takes: its entry and key here; then its ids, and its
/// places in the lists of pairs, which merging makes longer. `examples/train_memory.rs` measures what the process really needs.
const PIECE_BYTES: u64 = 160;
const BYTE_BYTES: u64 = 20;

/// Counted pieces. Where distinct ones need more than the memory allowed, the rarest are dropped before more text is counted (lossy
/// counting, Manku and Motwani 2002), so that a piece which comes back later has lost what it had.
#[derive(Debug)]
pub(crate) struct Counts {
    pieces: HashMap<Vec<u8>, u64>,
    /// An estimate of what counting and learning need for them.
    bytes: u64,
    max_bytes: u64,
    dropped: u64,
    most_lost: u64,
}

impl Counts {
    /// Counts within `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { pieces: HashMap::new(), bytes: 0, max_bytes, dropped: 0, most_lost: 0 }
    }

    /// Counts a piece `n` times more.
    pub(crate) fn add(&mut self, piece: &str, n: u64) {
        match self.pieces.get_mut(piece.as_bytes()) {
            Some(count) => *count += n,
            None => {
                self.bytes += cost(piece.len());
                self.pieces.insert(piece.as_bytes().to_vec(), n);
            }
        }
    }

    /// Drops the rarest pieces where the memory is used up, until half of it is free. To be called between batches of text, never after
    /// the last one: what is dropped depends on the counts alone, so it is the same for any number of threads.
    pub(crate) fn make_room(&mut self) {
        if self.bytes <= self.max_bytes {
            return;
        }
        let mut by_count: BTreeMap<u64, u64> = BTreeMap::new();
        for (piece, n) in &self.pieces {
            *by_count.entry(*n).or_default() += cost(piece.len());
        }
        let mut most_dropped = 0;
        for (n, bytes) in by_count {
            if self.bytes <= self.max_bytes / 2 {
                break;
            }
            self.bytes -= bytes;
            most_dropped = n;
        }
        let before = self.pieces.len();
        self.pieces.retain(|_, n| *n > most_dropped);
        self.pieces.shrink_to_fit();
        self.dropped += (before - self.pieces.len()) as u64;
        self.most_lost += most_dropped;
        tracing::debug!(dropped = before - self.pieces.len(), kept = self.pieces.len(), most_dropped, "dropped the rarest pieces");
    }

    /// Pieces with their counts.
    pub(crate) fn pieces(&self) -> &HashMap<Vec<u8>, u64> {
        &self.pieces
    }

    /// How often a piece was dropped, and by how much a count can be too low at most.
    pub(crate) fn dropped(&self) -> (u64, u64) {
        (self.dropped, self.most_lost)
    }
}

fn cost(piece_bytes: usize) -> u64 {
    PIECE_BYTES + BYTE_BYTES * piece_bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_pieces_survive_and_memory_is_bounded() {
        let max = 1000 * cost(8);
        let mut counts = Counts::new(max);
        let mut exact: HashMap<String, u64> = HashMap::new();
        for round in 0..100 {
            counts.make_room();
            assert!(counts.bytes <= max);
            for n in 0..400 {
                // Half of the pieces come back in every round, the others are new ones.
                let piece = if n % 2 == 0 { format!("often{n:03}") } else { format!("{round:03}-{n:04}") };
                counts.add(&piece, 2);
                *exact.entry(piece).or_default() += 2;
            }
        }
        let (dropped, most_lost) = counts.dropped();
        assert!(dropped > 10_000, "{dropped}");
        for n in (0..400).step_by(2) {
            let piece = format!("often{n:03}");
            let (kept, exact) = (counts.pieces()[piece.as_bytes()], exact[&piece]);
            assert!(kept <= exact && kept + most_lost >= exact, "{piece}: {kept} of {exact}, at most {most_lost} lost");
        }
        let bytes: u64 = counts.pieces().keys().map(|piece| cost(piece.len())).sum();
        assert_eq!(bytes, counts.bytes);
    }

    #[test]
    fn nothing_is_dropped_where_there_is_room() {
        let mut counts = Counts::new(10 * cost(1));
        for piece in ["a", "b", "a"] {
            counts.make_room();
            counts.add(piece, 1);
        }
        assert_eq!((counts.pieces()[&b"a"[..]], counts.pieces()[&b"b"[..]], counts.dropped()), (2, 1, (0, 0)));
    }
}
