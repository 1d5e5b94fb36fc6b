//! Packing: documents in, rows of equal length out.
//!
//! A row has `seq_len + 1` tokens. Its targets are all but the first, which is there to predict the second from: an end token that
//! belongs to no part where the row begins with a document's beginning, and the token before where it goes on with a document.
//!
//! Three packings, see [`Packing`]:
//! - `concat`: one stream, cut wherever a row is full.
//! - [`best_fit`]: documents stay whole where they can; no token is lost.
//! - [`bos_aligned`]: every row begins with a document's beginning; what does not fit is lost, and counted.
//!
//! **A document's first token always follows an end token, and every other token its own document's token before it.** Where a part
//! that goes on with a document stands inside a row, it therefore begins with the token before it, repeated: that place is context
//! and **no target**, as [`handoff::columns::context_places`] tells.

pub mod best_fit;
pub mod bos_aligned;
mod concat;
pub mod pool;

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt16Array, UInt32Array};
use handoff::TokenWidth;

use crate::config::Packing;
use concat::Concat;
use pool::{Long, Windowed};

pub(crate) use pool::window_bytes;

/// A token id at the width it is stored in: rows are packed without widening them.
pub trait TokenId: Copy + std::fmt::Debug + Eq + Into<u32> + Send + 'static {
    /// Its width.
    const WIDTH: TokenWidth;

    /// From an id that fits; the upper half of one that does not is lost.
    fn cut(id: u32) -> Self;

    /// Adds its bytes to `out`, the lowest first.
    fn write(self, out: &mut Vec<u8>);

    /// Adds the ids that [`TokenId::write`] wrote to `out`.
    fn read(bytes: &[u8], out: &mut Vec<Self>);

    /// Ids as a column of Arrow, not copied.
    fn array(ids: Vec<Self>) -> ArrayRef;

    /// Bytes of text behind ids.
    fn bytes(ids: &[Self], lengths: &TokenBytes) -> u64;
}

macro_rules! token_id {
    ($integer:ty, $width:expr, $array:ty, $bytes:expr) => {
        impl TokenId for $integer {
            const WIDTH: TokenWidth = $width;

            fn cut(id: u32) -> Self {
                id as Self
            }

            fn write(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn read(bytes: &[u8], out: &mut Vec<Self>) {
                out.extend(bytes.as_chunks().0.iter().map(|id| Self::from_le_bytes(*id)));
            }

            fn array(ids: Vec<Self>) -> ArrayRef {
                Arc::new(<$array>::from(ids))
            }

            fn bytes(ids: &[Self], lengths: &TokenBytes) -> u64 {
                $bytes(ids, lengths)
            }
        }
    };
}

token_id!(u16, TokenWidth::U16, UInt16Array, |ids: &[u16], lengths: &TokenBytes| match &lengths.narrow {
    Some(narrow) => ids.iter().map(|id| u64::from(narrow[usize::from(*id)])).sum(),
    None => lengths.of(ids.iter().map(|id| u32::from(*id))),
});
token_id!(u32, TokenWidth::U32, UInt32Array, |ids: &[u32], lengths: &TokenBytes| lengths.of(ids.iter().copied()));

/// Ids of documents, one behind the other in the same memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    text: String,
    /// Where each ends in `text`.
    ends: Vec<usize>,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The one with number `at`.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }

    pub(crate) fn with_capacity(names: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(names) }
    }

    pub(crate) fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// One training row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T = u32> {
    /// `seq_len + 1` token ids.
    pub ids: Vec<T>,
    /// Where each document part begins in `ids`.
    pub document_starts: Vec<i32>,
    /// Each part's document.
    pub document_ids: Names,
    /// Place of each part's first token within its document.
    pub token_offsets: Vec<i64>,
    /// Bytes of text that the targets stand for.
    pub num_bytes: i64,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self { ids: Vec::new(), document_starts: Vec::new(), document_ids: Names::default(), token_offsets: Vec::new(), num_bytes: 0 }
    }
}

impl<T> Row<T> {
    fn clear(&mut self) {
        self.ids.clear();
        self.document_starts.clear();
        self.document_ids.clear();
        self.token_offsets.clear();
        self.num_bytes = 0;
    }

    /// Opens a part at the end of the row.
    fn open_part(&mut self, id: &str, offset: usize) {
        self.document_starts.push(self.ids.len() as i32);
        self.document_ids.push(id);
        self.token_offsets.push(offset as i64);
    }
}

/// A document to be packed.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a, T = u32> {
    /// Its id.
    pub id: &'a str,
    /// Its place in the shuffled order ([`crate::order::IdHash::key`]).
    pub key: u64,
    /// Its token ids, the end token last.
    pub ids: &'a [T],
    /// Bytes of its text.
    pub num_bytes: u64,
}

/// How many bytes of text stand behind each token id, the same for all ids of 16 bits in a table that needs no check.
#[derive(Debug, Clone)]
pub struct TokenBytes {
    all: Vec<u32>,
    narrow: Option<Box<[u16; NARROW]>>,
}

/// Ids of 16 bits.
const NARROW: usize = 1 << 16;

impl TokenBytes {
    /// From the bytes of each id; ids above have none.
    pub fn new(all: Vec<u32>) -> Self {
        let short: Option<Vec<u16>> = all.iter().take(NARROW).map(|bytes| u16::try_from(*bytes).ok()).collect();
        let narrow = short.and_then(|mut bytes| {
            bytes.resize(NARROW, 0);
            bytes.into_boxed_slice().try_into().ok()
        });
        Self { all, narrow }
    }

    fn of(&self, ids: impl Iterator<Item = u32>) -> u64 {
        ids.map(|id| self.all.get(id as usize).map_or(0, |bytes| u64::from(*bytes))).sum()
    }
}

/// What every packing needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Targets of a row.
    pub seq_len: usize,
    /// Stands before a document's first token.
    pub end_id: u32,
    /// Fills incomplete rows; may be `end_id`, since what is filled ends with an end token.
    pub pad_id: u32,
    /// Bytes of text behind each id.
    pub token_bytes: &'a TokenBytes,
}

impl Frame<'_> {
    fn bytes_of<T: TokenId>(&self, ids: &[T]) -> u64 {
        T::bytes(ids, self.token_bytes)
    }

    /// Fills a row of fewer than `seq_len` targets.
    fn pad<T: TokenId>(&self, row: &mut Row<T>) {
        row.ids.resize(self.seq_len + 1, T::cut(self.pad_id));
    }
}

/// What packing cost, in tokens unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Padding.
    pub padding: u64,
    /// Places that repeat a token as context.
    pub context: u64,
    /// Tokens cropped away: by `bos-aligned` only.
    pub cropped: u64,
    /// Documents that lost tokens to cropping.
    pub cropped_documents: u64,
    /// Documents longer than a row, which had to be split (not counted by `concat`).
    pub split_documents: u64,
    /// Cuts that `best-fit` made besides, only to fill rows.
    pub cuts_to_fill: u64,
}

/// Packs the documents of one split of one batch, in the order given.
#[derive(Debug)]
pub struct Packer<'a, T = u32>(Kind<'a, T>);

#[derive(Debug)]
enum Kind<'a, T> {
    Concat(Concat<'a, T>),
    Windowed(Box<Windowed<'a, T>>),
}

impl<'a, T: TokenId> Packer<'a, T> {
    /// A packer.
    pub fn new(packing: Packing, frame: Frame<'a>) -> Self {
        Self(match packing {
            Packing::Concat => Kind::Concat(Concat::new(frame)),
            Packing::BestFit => Kind::Windowed(Box::new(Windowed::new(frame, best_fit::pack, Long::Split))),
            Packing::BosAligned => Kind::Windowed(Box::new(Windowed::new(frame, bos_aligned::pack, Long::Crop))),
        })
    }

    /// Adds a document; `emit` takes every row that is complete.
    ///
    /// # Errors
    /// What `emit` refuses.
    pub fn push<E>(&mut self, document: Document<'_, T>, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<(), E> {
        if document.ids.is_empty() {
            return Ok(());
        }
        match &mut self.0 {
            Kind::Concat(concat) => concat.push(document, emit),
            Kind::Windowed(windowed) => windowed.push(document, emit),
        }
    }

    /// Ends the stream: `emit` takes the rows that are left.
    ///
    /// # Errors
    /// What `emit` refuses.
    pub fn finish<E>(self, emit: &mut impl FnMut(&Row<T>) -> Result<(), E>) -> Result<Cost, E> {
        match self.0 {
            Kind::Concat(concat) => concat.finish(emit),
            Kind::Windowed(windowed) => windowed.finish(emit),
        }
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
