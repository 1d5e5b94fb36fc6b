//! Packing: documents in, rows of equal length out.
//!
//! A row has `seq_len + 1` tokens. Its targets are all but the first; the first is the last of the row before, so every token of
//! every document is a target exactly once. The stream opens with an end token, so that the first document follows one too.

/// One training row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// `seq_len + 1` token ids.
    pub ids: Vec<u32>,
    /// Where each document part begins in `ids`.
    pub document_starts: Vec<i32>,
    /// Index of each part's document, as given to [`Packer::push`].
    pub documents: Vec<usize>,
    /// Place of each part's first token within its document.
    pub token_offsets: Vec<i64>,
    /// Bytes of text that the targets stand for.
    pub num_bytes: i64,
}

/// A document to be packed.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// What the caller knows it by.
    pub index: usize,
    /// Its token ids, the end token last.
    pub ids: &'a [u32],
    /// Bytes of its text.
    pub num_bytes: u64,
}

/// What became of the tokens that did not fill a last row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail {
    /// Padding in the last row.
    pub padding_tokens: u64,
    /// Tokens that were dropped because there is no padding token.
    pub dropped_tokens: u64,
}

/// Packs documents back to back.
#[derive(Debug)]
pub struct Packer<'a> {
    row_tokens: usize,
    pad_id: Option<u32>,
    token_bytes: &'a [u32],
    row: Row,
}

impl<'a> Packer<'a> {
    /// `token_bytes` holds the bytes of text behind each id; `pad_id` fills the last row.
    pub fn new(seq_len: usize, end_id: u32, pad_id: Option<u32>, token_bytes: &'a [u32]) -> Self {
        let row = Row { ids: vec![end_id], ..Row::default() };
        Self { row_tokens: seq_len + 1, pad_id, token_bytes, row }
    }

    /// Adds a document; `emit` takes every row that is full.
    pub fn push(&mut self, document: Document<'_>, mut emit: impl FnMut(Row)) {
        let total: u64 = document.ids.iter().map(|id| self.bytes_of(*id)).sum();
        let mut from = 0;
        let mut bytes_before = 0;
        while from < document.ids.len() {
            let take = (self.row_tokens - self.row.ids.len()).min(document.ids.len() - from);
            let part = &document.ids[from..from + take];
            self.open_part(document.index, self.row.ids.len(), from);
            self.row.ids.extend_from_slice(part);
            let bytes_after = bytes_before + part.iter().map(|id| self.bytes_of(*id)).sum::<u64>();
            let last = from + take == document.ids.len();
            self.row.num_bytes += share(document.num_bytes, bytes_before, bytes_after, total, last);
            bytes_before = bytes_after;
            from += take;
            if self.row.ids.len() == self.row_tokens {
                let carried = part[take - 1];
                let full = std::mem::replace(&mut self.row, Row { ids: vec![carried], ..Row::default() });
                emit(full);
                self.open_part(document.index, 0, from - 1);
            }
        }
    }

    /// Ends the stream: the last row is padded, or dropped where there is no padding token.
    pub fn finish(mut self, mut emit: impl FnMut(Row)) -> Tail {
        let targets = self.row.ids.len() - 1;
        let missing = self.row_tokens - self.row.ids.len();
        match self.pad_id {
            _ if targets == 0 => Tail::default(),
            Some(pad) => {
                self.row.ids.resize(self.row_tokens, pad);
                emit(self.row);
                Tail { padding_tokens: missing as u64, dropped_tokens: 0 }
            }
            None => Tail { padding_tokens: 0, dropped_tokens: targets as u64 },
        }
    }

    fn open_part(&mut self, document: usize, start: usize, offset: usize) {
        if self.row.documents.last() == Some(&document) {
            return;
        }
        self.row.document_starts.push(start as i32);
        self.row.documents.push(document);
        self.row.token_offsets.push(offset as i64);
    }

    fn bytes_of(&self, id: u32) -> u64 {
        self.token_bytes.get(id as usize).map_or(0, |n| u64::from(*n))
    }
}

/// Bytes of a document's text that belong to a run of its tokens. Byte-level tokens spell the text exactly; others (a prefix space, a
/// normalizer) may not, and then the text's bytes are shared out in proportion. Over a document the shares always add up.
fn share(num_bytes: u64, before: u64, after: u64, total: u64, last: bool) -> i64 {
    if total == num_bytes {
        return (after - before) as i64;
    }
    if total == 0 {
        return if last { num_bytes as i64 } else { 0 };
    }
    let up_to = |part: u64| (u128::from(part) * u128::from(num_bytes) / u128::from(total)) as i64;
    up_to(after) - up_to(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 0;
    const PAD: u32 = 1;

    fn pack(documents: &[&[u32]], seq_len: usize, pad: Option<u32>) -> (Vec<Row>, Tail) {
        let lengths: Vec<u32> = (0..100).map(|id| if id < 2 { 0 } else { id % 5 + 1 }).collect();
        let mut rows = Vec::new();
        let mut packer = Packer::new(seq_len, END, pad, &lengths);
        for (index, ids) in documents.iter().enumerate() {
            let num_bytes = ids.iter().map(|id| u64::from(lengths[*id as usize])).sum();
            packer.push(Document { index, ids, num_bytes }, |row| rows.push(row));
        }
        let tail = packer.finish(|row| rows.push(row));
        (rows, tail)
    }

    #[test]
    fn rows_overlap_by_one_and_name_their_parts() {
        let (rows, tail) = pack(&[&[10, 11, END], &[20, END], &[30, 31, 32, END]], 4, Some(PAD));
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
        assert_eq!(ids, [[END, 10, 11, END, 20], [20, END, 30, 31, 32], [32, END, PAD, PAD, PAD]]);
        assert_eq!((rows[0].document_starts.as_slice(), rows[0].documents.as_slice()), ([1, 4].as_slice(), [0, 1].as_slice()));
        assert_eq!((rows[1].document_starts.as_slice(), rows[1].token_offsets.as_slice()), ([0, 2].as_slice(), [0, 0].as_slice()));
        assert_eq!((rows[2].documents.as_slice(), rows[2].token_offsets.as_slice()), ([2].as_slice(), [2].as_slice()));
        assert_eq!(tail, Tail { padding_tokens: 3, dropped_tokens: 0 });
    }

    #[test]
    fn without_padding_the_tail_is_dropped_and_counted() {
        let (rows, tail) = pack(&[&[10, 11, END], &[20, END]], 4, None);
        assert_eq!(rows.len(), 1);
        assert_eq!(tail, Tail { padding_tokens: 0, dropped_tokens: 1 });
        assert_eq!(pack(&[&[10, 11, 12, END]], 4, None), pack(&[&[10, 11, 12, END]], 4, Some(PAD)), "a full row needs no tail");
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
            let (rows, tail) = pack(&slices, seq_len, Some(PAD));
            assert!(rows.iter().all(|row| row.ids.len() == seq_len + 1));
            let targets: Vec<u32> = rows.iter().flat_map(|row| row.ids[1..].iter().copied()).collect();
            let stream: Vec<u32> = documents.concat();
            assert_eq!(targets[..stream.len()], stream);
            assert_eq!(targets.len() - stream.len(), tail.padding_tokens as usize);
            assert_eq!(rows.iter().map(|row| row.num_bytes).sum::<i64>(), bytes, "seq_len {seq_len}");
            for row in &rows {
                for (part, start) in row.document_starts.iter().enumerate() {
                    let (start, offset) = (*start as usize, row.token_offsets[part] as usize);
                    assert_eq!(row.ids[start], documents[row.documents[part]][offset]);
                }
            }
        }
    }

    #[test]
    fn bytes_that_tokens_do_not_spell_are_shared_out() {
        let lengths = [0, 0, 3];
        let mut packer = Packer::new(2, END, Some(PAD), &lengths);
        let mut bytes = Vec::new();
        packer.push(Document { index: 0, ids: &[2, 2, 2, END], num_bytes: 10 }, |row| bytes.push(row.num_bytes));
        packer.push(Document { index: 1, ids: &[1, END], num_bytes: 5 }, |row| bytes.push(row.num_bytes));
        packer.finish(|row| bytes.push(row.num_bytes));
        assert_eq!(bytes, [6, 4, 5]);
    }
}
