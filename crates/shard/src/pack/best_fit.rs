//! Documents stay whole where they can, and no token is lost.
//!
//! The packing of Ding et al. 2024, "Fewer Truncations Improve Language Modeling": documents longer than a row are first split into
//! full rows and a rest; then, longest first, each goes into the row with the least room that still holds it. What that leaves more
//! than [`MAX_WASTE`] empty over all rows waits for the next window; where too much waits, and at the end, it is packed back to back
//! and cut where a row is full, so that rows stay full whatever the documents' lengths are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::TokenId;
use super::pool::{Filled, Layout, Piece, Pool};

/// Share of the targets' places that padding and context may take together. Context takes at most one place for each document longer
/// than a row, so in rows of fewer than 200 tokens it alone can take more.
pub const MAX_WASTE: f64 = 0.005;

/// A row that is being filled.
#[derive(Debug, Default)]
struct Bin {
    pieces: Vec<Piece>,
    /// Places that are free.
    room: usize,
    /// Whether a piece begins it whose context is the row's first token, which is no target anyway. A further one needs a place.
    continues: bool,
}

/// Bins by the room they have. The one filled last comes first among equals.
#[derive(Debug, Default)]
struct ByRoom(BTreeMap<usize, Vec<usize>>);

impl ByRoom {
    fn tightest(&self, need: usize) -> Option<usize> {
        self.0.range(need..).next().map(|(room, _)| *room)
    }

    fn take(&mut self, room: usize) -> Option<usize> {
        let bins = self.0.get_mut(&room)?;
        let bin = bins.pop();
        if bins.is_empty() {
            self.0.remove(&room);
        }
        bin
    }

    fn put(&mut self, room: usize, bin: usize) {
        if room > 0 {
            self.0.entry(room).or_default().push(bin);
        }
    }
}

/// Lays out a window. A piece as long as a row is one.
pub(super) fn pack<T: TokenId>(pool: &Pool<'_, T>, pieces: Vec<Piece>, filled: Filled, last: bool) -> Layout {
    let seq_len = pool.frame.seq_len;
    let waiting: usize = pieces.iter().map(|piece| piece.len).sum();
    let mut layout = Layout::default();
    let (full, pieces): (Vec<Piece>, Vec<Piece>) = pieces.into_iter().partition(|piece| piece.len == seq_len);
    layout.rows.extend(full.into_iter().map(|piece| vec![piece]));
    // What this window may waste in all. Every piece that goes on with a document may need a place for context, so that is set aside;
    // the first one of a row gives it back.
    let places = filled.places + waiting as u64;
    let mut wasted = filled.wasted + pieces.iter().filter(|piece| piece.continues()).count() as u64;
    let mut bins = fit(pieces, seq_len);
    bins.sort_by_key(|bin| bin.room);
    // The fullest rows first, while they waste no more than allowed.
    let mut left = Vec::new();
    for bin in bins {
        let waste = wasted + bin.room as u64 - u64::from(bin.continues);
        if left.is_empty() && (bin.room == 0 || waste as f64 <= MAX_WASTE * places as f64) {
            wasted = waste;
            layout.rows.push(bin.pieces);
        } else {
            left.extend(bin.pieces);
        }
    }
    left.sort_unstable();
    let too_many = left.iter().map(|piece| piece.len).sum::<usize>() > waiting / 2;
    layout.left = if last || too_many { fill(pool, left, last, &mut layout) } else { left };
    layout
}

/// Best-fit decreasing.
fn fit(mut pieces: Vec<Piece>, seq_len: usize) -> Vec<Bin> {
    pieces.sort_unstable_by_key(|piece| (Reverse(piece.len), *piece));
    let mut bins: Vec<Bin> = Vec::new();
    // Bins without and with a piece that continues a document.
    let mut open = [ByRoom::default(), ByRoom::default()];
    for piece in pieces {
        let need = |bin_continues: bool| piece.len + usize::from(bin_continues && piece.continues());
        let left_over = |with: bool| open[usize::from(with)].tightest(need(with)).map(|room| (room - need(with), with, room));
        let best = [left_over(false), left_over(true)].into_iter().flatten().min();
        let found = best.and_then(|(_, with, room)| open[usize::from(with)].take(room));
        let bin = found.unwrap_or_else(|| {
            bins.push(Bin { room: seq_len, ..Bin::default() });
            bins.len() - 1
        });
        let chosen = &mut bins[bin];
        chosen.room -= need(chosen.continues);
        chosen.continues |= piece.continues();
        chosen.pieces.push(piece);
        open[usize::from(chosen.continues)].put(chosen.room, bin);
    }
    bins
}

/// Packs back to back, cutting where a row is full; returns what does not fill a row, unless it is the last. A document that goes on in
/// another row fills its own to the end, so that only an end token stands before padding.
fn fill<T: TokenId>(pool: &Pool<'_, T>, pieces: Vec<Piece>, last: bool, layout: &mut Layout) -> Vec<Piece> {
    let seq_len = pool.frame.seq_len;
    let (mut row, mut room) = (Vec::new(), seq_len);
    // Whether a piece stands in the row that continues a document: it will begin it, so its context takes no place.
    let mut continues = false;
    for mut piece in pieces {
        loop {
            let need = piece.len + usize::from(continues && piece.continues());
            // One that is cut comes last.
            let context = usize::from(!row.is_empty() && piece.continues());
            if need <= room {
                continues |= piece.continues();
                row.push(piece);
                room -= need;
                break;
            } else if room <= context {
                layout.rows.push(std::mem::take(&mut row));
                (room, continues) = (seq_len, false);
            } else {
                let (head, rest) = pool.cut(piece, room - context);
                row.push(head);
                layout.cuts_to_fill += 1;
                piece = rest;
                room = 0;
            }
        }
    }
    if last && !row.is_empty() {
        layout.rows.push(std::mem::take(&mut row));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::super::Packing;
    use super::super::pool::tests::{END, lengths, pack_checked};

    fn fill(lens: &[usize], seq_len: usize) -> (f64, super::super::Cost) {
        let (rows, cost) = pack_checked(Packing::BestFit, lens, seq_len);
        assert_eq!(cost.cropped, 0, "no token is lost");
        // The last row of a split may be nearly empty.
        let places = (rows.len() * seq_len) as f64;
        ((places - cost.padding as f64 - cost.context as f64 + seq_len as f64) / places, cost)
    }

    #[test]
    fn documents_that_fit_together_are_not_cut() {
        let lens = [7, 3, 5, 5, 2, 8, 10, 4, 6, 9, 1 + 9];
        let (rows, cost) = pack_checked(Packing::BestFit, &lens, 10);
        assert_eq!((cost.split_documents, cost.cuts_to_fill), (0, 0));
        assert_eq!(rows.len(), 7, "69 tokens and one place over");
        assert!(rows.iter().all(|row| row.ids[0] == END && row.document_starts[0] == 1));
    }

    #[test]
    fn long_documents_fill_rows_and_their_rests_share_one() {
        let (rows, cost) = pack_checked(Packing::BestFit, &[23, 24, 4], 10);
        // Rests of 3 and 4 tokens and a document of 4 do not fit, with one token of context, into one row of 10 places.
        assert_eq!((rows.len(), cost.split_documents), (6, 2));
        let (rows, cost) = pack_checked(Packing::BestFit, &[23, 24, 2], 10);
        assert_eq!((rows.len(), cost.context, cost.padding), (5, 1, 0));
        let shared = rows.iter().find(|row| row.document_starts.len() == 3).unwrap();
        assert_eq!((shared.document_starts.as_slice(), shared.token_offsets.as_slice()), ([0, 4, 9].as_slice(), [19, 19, 0].as_slice()));
    }

    #[test]
    fn rows_are_full_whatever_the_lengths() {
        for (name, lens, seq_len) in [
            ("log-uniform", lengths(4000, 3000.0, 1), 512),
            ("short", lengths(4000, 100.0, 2), 512),
            ("long", lengths(300, 100_000.0, 3), 512),
            ("just over half a row", vec![300; 2000], 512),
            ("a little longer than a row", vec![600; 1000], 512),
            ("one row and one token", vec![513; 1000], 512),
            ("short rows", lengths(4000, 1000.0, 4), 64),
        ] {
            let (full, cost) = fill(&lens, seq_len);
            assert!(full >= 0.995, "{name}: {full} {cost:?}");
        }
    }

    #[test]
    fn almost_no_document_is_cut_only_to_fill() {
        let lens = lengths(20_000, 3000.0, 5);
        let (_, cost) = fill(&lens, 512);
        assert!(cost.cuts_to_fill < 20, "{cost:?}");
    }

    #[test]
    fn no_document_begins_behind_one_that_goes_on() {
        // The rest of the second document is cut to fill the row in which the first one stands whole.
        let (rows, cost) = pack_checked(Packing::BestFit, &[8, 18], 10);
        assert_eq!((cost.cuts_to_fill, cost.context), (1, 1));
        assert!(rows.iter().any(|row| row.document_starts == [1, 9] && row.token_offsets == [0, 9]), "{rows:?}");
        for first in 1..24 {
            for second in 1..24 {
                pack_checked(Packing::BestFit, &[first, second, 13], 10);
            }
        }
    }

    #[test]
    fn tiny_inputs() {
        for lens in [&[1][..], &[2], &[11], &[10], &[1, 1, 1]] {
            for seq_len in [1, 2, 10] {
                pack_checked(Packing::BestFit, lens, seq_len);
            }
        }
        assert!(pack_checked(Packing::BestFit, &[], 4).0.is_empty());
    }
}
