//! Documents back to back, cut wherever a row is full.
//!
//! Consecutive rows overlap by one token, so every token of every document is a target exactly once. The stream opens with an end
//! token, so that the first document follows one too.

use super::{Cost, Document, Frame, Row, TokenId, share};

/// Packs documents back to back.
#[derive(Debug)]
pub(super) struct Concat<'a, T> {
    frame: Frame<'a>,
    row: Row<T>,
    /// Bytes of the current document up to the end of each row that it fills, and up to its own.
    bytes_up_to: Vec<u64>,
}

impl<'a, T: TokenId> Concat<'a, T> {
    pub(super) fn new(frame: Frame<'a>) -> Self {
        let row = Row { ids: vec![T::cut(frame.end_id)], ..Row::default() };
        Self { frame, row, bytes_up_to: Vec::new() }
    }

    pub(super) fn push<E>(&mut self, document: Document<'_, T>, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<(), E> {
        let Document { id, ids, num_bytes, .. } = document;
        let total = self.count_bytes(ids);
        self.row.open_part(id, 0);
        let (mut from, mut before) = (0, 0);
        for piece in 0.. {
            let take = (self.frame.seq_len + 1 - self.row.ids.len()).min(ids.len() - from);
            let (to, after) = (from + take, self.bytes_up_to[piece]);
            self.row.ids.extend_from_slice(&ids[from..to]);
            self.row.num_bytes += share(num_bytes, before, after, total, to == ids.len());
            (from, before) = (to, after);
            if self.row.ids.len() > self.frame.seq_len {
                emit(&self.row)?;
                self.row.clear();
                self.row.open_part(id, from - 1);
                self.row.ids.push(ids[from - 1]);
            }
            if from == ids.len() {
                break;
            }
        }
        Ok(())
    }

    /// Counts bytes up to every end of a row, and returns those of the document.
    fn count_bytes(&mut self, ids: &[T]) -> u64 {
        let (first, rest) = ids.split_at((self.frame.seq_len + 1 - self.row.ids.len()).min(ids.len()));
        let mut sum = 0;
        let pieces = std::iter::once(first).chain(rest.chunks(self.frame.seq_len));
        self.bytes_up_to.clear();
        self.bytes_up_to.extend(pieces.map(|piece| {
            sum += self.frame.bytes_of(piece);
            sum
        }));
        sum
    }

    /// The last row is padded.
    pub(super) fn finish<E>(mut self, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<Cost, E> {
        let targets = self.row.ids.len() - 1;
        if targets == 0 {
            return Ok(Cost::default());
        }
        self.frame.pad(&mut self.row);
        emit(&self.row)?;
        Ok(Cost { padding: (self.frame.seq_len - targets) as u64, ..Cost::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenBytes;
    use super::*;

    const END: u32 = 0;
    const PAD: u32 = 1;

    fn pack(documents: &[&[u32]], seq_len: usize, pad_id: u32) -> (Vec<Row>, Cost) {
        let lengths: Vec<u32> = (0..100).map(|id| if id < 2 { 0 } else { id % 5 + 1 }).collect();
        let with_bytes: Vec<(&[u32], u64)> =
            documents.iter().map(|ids| (*ids, ids.iter().map(|id| u64::from(lengths[*id as usize])).sum())).collect();
        pack_of(&with_bytes, Frame { seq_len, end_id: END, pad_id, token_bytes: &TokenBytes::new(lengths) })
    }

    fn pack_of(documents: &[(&[u32], u64)], frame: Frame<'_>) -> (Vec<Row>, Cost) {
        let mut rows = Vec::new();
        let mut emit = |row: &Row| -> Result<(), ()> {
            rows.push(row.clone());
            Ok(())
        };
        let mut packer = Concat::new(frame);
        for (index, (ids, num_bytes)) in documents.iter().enumerate() {
            packer.push(Document { id: &index.to_string(), key: 0, ids, num_bytes: *num_bytes }, &mut emit).unwrap();
        }
        let cost = packer.finish(&mut emit).unwrap();
        (rows, cost)
    }

    fn names(row: &Row) -> Vec<&str> {
        row.document_ids.iter().collect()
    }

    #[test]
    fn rows_overlap_by_one_and_name_their_parts() {
        let (rows, tail) = pack(&[&[10, 11, END], &[20, END], &[30, 31, 32, END]], 4, PAD);
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
        assert_eq!(ids, [[END, 10, 11, END, 20], [20, END, 30, 31, 32], [32, END, PAD, PAD, PAD]]);
        assert_eq!((rows[0].document_starts.as_slice(), names(&rows[0])), ([1, 4].as_slice(), vec!["0", "1"]));
        assert_eq!((rows[1].document_starts.as_slice(), rows[1].token_offsets.as_slice()), ([0, 2].as_slice(), [0, 0].as_slice()));
        assert_eq!((names(&rows[2]), rows[2].token_offsets.as_slice()), (vec!["2"], [2].as_slice()));
        assert_eq!(tail, Cost { padding: 3, ..Cost::default() });
    }

    #[test]
    fn the_end_token_may_be_the_padding() {
        let (rows, tail) = pack(&[&[10, 11, END], &[20, END]], 4, END);
        assert_eq!(rows[1].ids, [20, END, END, END, END]);
        assert_eq!(tail, Cost { padding: 3, ..Cost::default() });
        assert_eq!(pack(&[&[10, 11, 12, END]], 4, END), pack(&[&[10, 11, 12, END]], 4, PAD), "a full row needs none");
    }

    #[test]
    fn every_token_is_a_target_once_and_every_byte_is_counted_once() {
        // Lengths from a fixed recurrence: documents shorter and much longer than a row.
        let mut state = 12345_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let documents: Vec<Vec<u32>> =
            (0..60).map(|_| (0..next(40)).map(|_| 2 + next(98) as u32).chain([END]).collect::<Vec<u32>>()).collect();
        let slices: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
        let bytes: i64 = documents.iter().flatten().map(|id| if *id < 2 { 0 } else { i64::from(id % 5 + 1) }).sum();
        for seq_len in [1, 2, 3, 7, 16, 1000] {
            let (rows, tail) = pack(&slices, seq_len, PAD);
            assert!(rows.iter().all(|row| row.ids.len() == seq_len + 1));
            let targets: Vec<u32> = rows.iter().flat_map(|row| row.ids[1..].iter().copied()).collect();
            let stream: Vec<u32> = documents.concat();
            assert_eq!(targets[..stream.len()], stream);
            assert_eq!(targets.len() - stream.len(), tail.padding as usize);
            assert_eq!(rows.iter().map(|row| row.num_bytes).sum::<i64>(), bytes, "seq_len {seq_len}");
            for row in &rows {
                for (part, start) in row.document_starts.iter().enumerate() {
                    let (start, offset) = (*start as usize, row.token_offsets[part] as usize);
                    assert_eq!(row.ids[start], documents[names(row)[part].parse::<usize>().unwrap()][offset]);
                }
            }
        }
    }

    #[test]
    fn bytes_that_tokens_do_not_spell_are_shared_out() {
        let frame = Frame { seq_len: 2, end_id: END, pad_id: PAD, token_bytes: &TokenBytes::new(vec![0, 0, 3]) };
        let rows = pack_of(&[(&[2, 2, 2, END], 10), (&[1, END], 5)], frame).0;
        assert_eq!(rows.iter().map(|row| row.num_bytes).collect::<Vec<_>>(), [6, 4, 5]);
    }
}
