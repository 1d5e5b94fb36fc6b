//! Packing within windows of the order: documents are collected until they would fill [`window_rows`] rows, laid out together, and
//! the rows written in random order. What a layout leaves goes into the next window.

use std::collections::BTreeMap;

use super::{Cost, Document, Frame, Names, Row, TokenId, share};
use crate::order::row_key;

/// Tokens of a window, unless rows are so long that [`MIN_WINDOW_ROWS`] are more.
pub const WINDOW_TOKENS: usize = 1 << 22;

/// Fewest rows of a window.
pub const MIN_WINDOW_ROWS: usize = 256;

/// Rows that a window holds: a constant of the row's length, so that the memory allowed does not change the output.
pub fn window_rows(seq_len: usize) -> usize {
    (WINDOW_TOKENS / seq_len).max(MIN_WINDOW_ROWS)
}

/// Memory of a window, in bytes: its ids twice, and as much again for documents and layout.
pub(crate) fn window_bytes(seq_len: usize) -> u64 {
    3 * 4 * (window_rows(seq_len) * seq_len) as u64
}

/// A run of a document's tokens that are targets of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    /// Number of its document in the pool.
    pub document: usize,
    /// Place of its first token in the document.
    pub from: usize,
    /// Its tokens.
    pub len: usize,
    /// Where its first token stands among the pool's ids.
    at: usize,
    /// Bytes that the document's tokens before it spell.
    bytes_before: u64,
    /// Bytes that they and its own tokens spell.
    bytes_up_to: u64,
}

impl Piece {
    /// Whether it goes on with a document, so that its first token is predicted from the document's token before.
    pub fn continues(&self) -> bool {
        self.from > 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Held {
    key: u64,
    /// Tokens of the whole document.
    len: usize,
    num_bytes: u64,
    /// Bytes that its tokens spell.
    total: u64,
}

/// What is done with documents longer than a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Long {
    /// They are split into full rows and a rest.
    Split,
    /// What follows the first row is lost.
    Crop,
}

/// Documents that wait to be packed.
#[derive(Debug)]
pub(super) struct Pool<'a, T> {
    pub(super) frame: Frame<'a>,
    ids: Vec<T>,
    /// Where the ids that stay are put together. New memory for every window would have to be cleared every time.
    spare: Vec<T>,
    documents: Vec<Held>,
    /// Their ids.
    names: Names,
}

impl<T: TokenId> Pool<'_, T> {
    /// The first `len` tokens of a piece, and the others.
    pub(super) fn cut(&self, piece: Piece, len: usize) -> (Piece, Piece) {
        let cut = piece.bytes_before + self.frame.bytes_of(&self.ids[piece.at..piece.at + len]);
        let rest = Piece { from: piece.from + len, len: piece.len - len, at: piece.at + len, bytes_before: cut, ..piece };
        (Piece { len, bytes_up_to: cut, ..piece }, rest)
    }

    /// Adds a document to the pool and the pieces of it that are to be packed, none longer than a row, to `pieces`; returns their tokens.
    fn add(&mut self, document: Document<'_, T>, long: Long, pieces: &mut Vec<Piece>) -> usize {
        let kept = if long == Long::Crop { document.ids.len().min(self.frame.seq_len) } else { document.ids.len() };
        let mut piece = Piece { document: self.documents.len(), from: 0, len: 0, at: self.ids.len(), bytes_before: 0, bytes_up_to: 0 };
        for ids in document.ids[..kept].chunks(self.frame.seq_len) {
            // Bytes are counted of the copy, which is in the cache: the document need not be.
            self.ids.extend_from_slice(ids);
            piece.len = ids.len();
            piece.bytes_up_to += self.frame.bytes_of(&self.ids[piece.at..]);
            pieces.push(piece);
            let (from, at) = (piece.from + piece.len, piece.at + piece.len);
            piece = Piece { from, at, bytes_before: piece.bytes_up_to, ..piece };
        }
        self.names.push(document.id);
        self.documents.push(Held {
            key: document.key,
            len: document.ids.len(),
            num_bytes: document.num_bytes,
            total: piece.bytes_up_to + self.frame.bytes_of(&document.ids[kept..]),
        });
        kept
    }

    /// Forgets everything but the pieces given, which are numbered anew.
    fn keep_only(&mut self, pieces: &mut [Piece]) {
        let mut ids = std::mem::take(&mut self.spare);
        ids.clear();
        ids.reserve(self.ids.capacity());
        let (mut documents, mut names) = (Vec::new(), Names::default());
        let mut numbers = BTreeMap::new();
        for piece in pieces.iter_mut() {
            let context = usize::from(piece.continues());
            let first = piece.at - context;
            piece.at = ids.len() + context;
            ids.extend_from_slice(&self.ids[first..first + context + piece.len]);
            piece.document = *numbers.entry(piece.document).or_insert_with(|| {
                documents.push(self.documents[piece.document]);
                names.push(self.names.get(piece.document));
                documents.len() - 1
            });
        }
        (self.ids, self.spare) = (ids, std::mem::take(&mut self.ids));
        (self.documents, self.names) = (documents, names);
    }

    /// Decides where a row comes in its window's order, whatever is in it.
    fn row_key(&self, pieces: &[Piece]) -> (u64, usize, usize) {
        let first = pieces.iter().min_by_key(|piece| (std::cmp::Reverse(piece.len), piece.document, piece.from));
        first.map_or((0, 0, 0), |piece| (row_key(self.documents[piece.document].key, piece.from), piece.document, piece.from))
    }

    /// Writes a row's pieces: those that continue a document first, but one whose document goes on in another row last, so that no
    /// document begins behind one that has not ended.
    fn render(&self, pieces: &mut [Piece], row: &mut Row<T>) {
        let goes_on = |piece: &Piece| piece.from + piece.len < self.documents[piece.document].len;
        pieces.sort_unstable_by_key(|piece| (goes_on(piece), !piece.continues(), piece.document, piece.from));
        row.clear();
        for piece in pieces.iter() {
            let held = &self.documents[piece.document];
            let context = usize::from(piece.continues());
            if context == 0 && row.ids.is_empty() {
                row.ids.push(T::cut(self.frame.end_id));
            }
            row.open_part(self.names.get(piece.document), piece.from - context);
            row.ids.extend_from_slice(&self.ids[piece.at - context..piece.at + piece.len]);
            let last = piece.from + piece.len == held.len;
            row.num_bytes += share(held.num_bytes, piece.bytes_before, piece.bytes_up_to, held.total, last);
        }
    }
}

/// How full the rows so far are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filled {
    /// Targets that they could have.
    pub(super) places: u64,
    /// Those that are padding or context.
    pub(super) wasted: u64,
}

/// A window laid out.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Pieces of each row.
    pub(super) rows: Vec<Vec<Piece>>,
    /// What is left for the next window.
    pub(super) left: Vec<Piece>,
    pub(super) cuts_to_fill: u64,
}

/// Lays out pieces, none longer than a row; after the last window nothing may be left.
pub(super) type Pack<T> = fn(&Pool<'_, T>, Vec<Piece>, Filled, bool) -> Layout;

/// Packs window by window.
#[derive(Debug)]
pub(super) struct Windowed<'a, T> {
    pool: Pool<'a, T>,
    pieces: Vec<Piece>,
    waiting: usize,
    filled: Filled,
    cost: Cost,
    row: Row<T>,
    pack: Pack<T>,
    long: Long,
}

impl<'a, T: TokenId> Windowed<'a, T> {
    pub(super) fn new(frame: Frame<'a>, pack: Pack<T>, long: Long) -> Self {
        Self {
            pool: Pool { frame, ids: Vec::new(), spare: Vec::new(), documents: Vec::new(), names: Names::default() },
            pieces: Vec::new(),
            waiting: 0,
            filled: Filled::default(),
            cost: Cost::default(),
            row: Row::default(),
            pack,
            long,
        }
    }

    pub(super) fn push<E>(&mut self, document: Document<'_, T>, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<(), E> {
        let seq_len = self.pool.frame.seq_len;
        self.cost.split_documents += u64::from(self.long == Long::Split && document.ids.len() > seq_len);
        self.waiting += self.pool.add(document, self.long, &mut self.pieces);
        if self.waiting < window_rows(seq_len) * seq_len { Ok(()) } else { self.window(false, emit) }
    }

    pub(super) fn finish<E>(mut self, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<Cost, E> {
        self.window(true, emit)?;
        Ok(self.cost)
    }

    fn window<E>(&mut self, last: bool, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<(), E> {
        let pieces = std::mem::take(&mut self.pieces);
        let mut layout = (self.pack)(&self.pool, pieces, self.filled, last);
        self.cost.cuts_to_fill += layout.cuts_to_fill;
        layout.rows.sort_by_cached_key(|pieces| self.pool.row_key(pieces));
        for pieces in &mut layout.rows {
            self.emit(pieces, emit)?;
        }
        self.pool.keep_only(&mut layout.left);
        self.waiting = layout.left.iter().map(|piece| piece.len).sum();
        self.pieces = layout.left;
        Ok(())
    }

    fn emit<E>(&mut self, pieces: &mut [Piece], emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<(), E> {
        let Self { pool, row, cost, filled, long, .. } = self;
        pool.render(pieces, row);
        let seq_len = pool.frame.seq_len;
        let targets: usize = pieces.iter().map(|piece| piece.len).sum();
        let padding = seq_len + 1 - row.ids.len();
        for piece in pieces.iter().filter(|_| *long == Long::Crop) {
            let len = pool.documents[piece.document].len;
            if piece.len < len {
                cost.cropped += (len - piece.len) as u64;
                cost.cropped_documents += 1;
            }
        }
        pool.frame.pad(row);
        cost.padding += padding as u64;
        cost.context += (seq_len - padding - targets) as u64;
        filled.places += seq_len as u64;
        filled.wasted += (seq_len - targets) as u64;
        emit(row)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Packer, Packing, TokenBytes};
    use super::*;

    pub(crate) const END: u32 = 0;
    pub(crate) const PAD: u32 = 1;

    /// Documents of tokens that say where they stand: document `d` is 2 + d repeated, so wrong neighbours show.
    pub(crate) fn documents(lens: &[usize]) -> Vec<Vec<u32>> {
        let ids = |d: usize, len: usize| (0..len as u32 - 1).map(move |at| 2 + (d as u32 * 31 + at * 7) % 997).chain([END]).collect();
        lens.iter().enumerate().map(|(d, len)| ids(d, *len)).collect()
    }

    /// Packs and checks what holds for every packing: what a target is predicted from, and that no token is a target twice.
    pub(crate) fn pack_checked(packing: Packing, lens: &[usize], seq_len: usize) -> (Vec<Row>, Cost) {
        let documents = documents(lens);
        let token_bytes = TokenBytes::new((0..1000).map(|id| if id < 2 { 0 } else { id % 5 + 1 }).collect());
        let frame = Frame { seq_len, end_id: END, pad_id: PAD, token_bytes: &token_bytes };
        let mut packer = Packer::new(packing, frame);
        let mut rows = Vec::new();
        let mut emit = |row: &Row| -> Result<(), ()> {
            rows.push(row.clone());
            Ok(())
        };
        for (number, ids) in documents.iter().enumerate() {
            packer.push(Document { id: &number.to_string(), key: number as u64, ids, num_bytes: frame.bytes_of(ids) }, &mut emit).unwrap();
        }
        let cost = packer.finish(&mut emit).unwrap();
        let mut targets: Vec<Vec<bool>> = lens.iter().map(|len| vec![false; *len]).collect();
        let (mut bytes, mut padding, mut context) = (0, 0, 0);
        for row in &rows {
            assert_eq!(row.ids.len(), seq_len + 1);
            let used = row.ids.iter().position(|id| *id == PAD).unwrap_or(row.ids.len());
            assert!(used > seq_len || row.ids[used - 1] == END, "padding stands behind an end token");
            padding += seq_len + 1 - used;
            bytes += row.num_bytes;
            for part in 0..row.document_starts.len() {
                let start = row.document_starts[part] as usize;
                let end = row.document_starts.get(part + 1).map_or(used, |next| *next as usize);
                let (document, offset) = (row.document_ids.get(part).parse::<usize>().unwrap(), row.token_offsets[part] as usize);
                assert_eq!(row.ids[start..end], documents[document][offset..offset + end - start]);
                let is_context = start == 0 || offset > 0;
                if is_context {
                    context += usize::from(start > 0);
                } else {
                    assert_eq!(row.ids[start - 1], END, "a document's first token follows an end token");
                }
                for seen in &mut targets[document][offset + usize::from(is_context)..offset + end - start] {
                    assert!(!std::mem::replace(seen, true), "a token of document {document} twice");
                }
            }
        }
        assert_eq!((padding as u64, context as u64), (cost.padding, cost.context));
        let missing = targets.iter().flatten().filter(|seen| !**seen).count() as u64;
        assert_eq!(missing, cost.cropped, "what is lost is counted");
        let counted: u64 = documents
            .iter()
            .zip(&targets)
            .flat_map(|(d, t)| d.iter().zip(t))
            .filter(|(_, seen)| **seen)
            .map(|(id, _)| frame.bytes_of(&[*id]))
            .sum();
        assert_eq!(bytes as u64, counted, "bytes of exactly the targets are counted");
        (rows, cost)
    }

    /// Lengths from a fixed recurrence, log-uniform between 2 and `longest`.
    pub(crate) fn lengths(n: usize, longest: f64, seed: u64) -> Vec<usize> {
        let mut state = seed;
        let mut unit = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..n).map(|_| (2.0 * (longest / 2.0).powf(unit())) as usize).collect()
    }

    #[test]
    fn windows_do_not_show_in_what_is_kept() {
        // More than three windows of the fewest rows: 256 rows of 20,000 tokens are more than `WINDOW_TOKENS`.
        let lens = lengths(6000, 60_000.0, 3);
        let (rows, cost) = pack_checked(Packing::BestFit, &lens, 20_000);
        assert!(rows.len() > 3 * 256, "{}", rows.len());
        assert_eq!(cost.cropped, 0);
        let full = 1.0 - (cost.padding + cost.context) as f64 / (rows.len() * 20_000) as f64;
        assert!(full > 0.995, "{full}");
    }
}
