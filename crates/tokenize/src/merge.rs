//! The merges of a byte-level BPE model, and merging one piece by them.
//!
//! The tokenizers library merges, again and again, the neighbours whose merge stands first in the list, the leftmost of equal ones.
//! Ids, and with them the whole result, are a function of that rule alone. Short pieces are merged by looking for the least rank in
//! an array, long ones with a heap.
//!
//! Characters of two and three bytes mostly need not be built from their bytes each time: see [`Merges::load`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::classes::code_at;

/// No id, no rank.
const NONE: u32 = u32::MAX;

/// Bits of an id in a key; a rank gets the rest of the 64.
const ID_BITS: u32 = 21;

/// Bits of a rank.
const RANK_BITS: u32 = 64 - 2 * ID_BITS;

/// Pieces of more symbols than this are merged with a heap.
const SHORT: usize = 1 << SHORT_BITS;

/// Bits of a place in them; with a rank, they fit 31.
const SHORT_BITS: u32 = 6;

/// Pairs compared at a time.
const LANES: usize = 4;

/// Characters below this have an entry in `Merges::chars`: those of up to three bytes.
const CHARS: usize = 0x10000;

/// A character that merges into one token.
#[derive(Debug, Clone, Copy)]
struct Whole {
    id: u32,
    /// The last of the merges that build it.
    rank: u32,
}

/// Ranks of pairs, with two ids and a rank in 64 bits: cuckoo hashing, so that a look-up is two loads and no branch to mispredict.
#[derive(Debug)]
struct Ranks {
    slots: Vec<u64>,
    shift: u32,
}

impl Ranks {
    const EMPTY: u64 = u64::MAX;

    /// A table of ranks by key. `None` where no table holds them, which has not been seen.
    fn new(ranks: &HashMap<u64, u32>) -> Option<Self> {
        let least = (ranks.len().max(8) * 2).next_power_of_two().trailing_zeros();
        let mut sorted: Vec<(u64, u32)> = ranks.iter().map(|(key, rank)| (*key, *rank)).collect();
        sorted.sort_unstable_by_key(|(_, rank)| *rank);
        (least..least + 4).find_map(|bits| {
            let mut table = Self { slots: vec![Self::EMPTY; 1 << bits], shift: 64 - bits };
            sorted.iter().all(|(key, rank)| table.insert(key << RANK_BITS | u64::from(*rank))).then_some(table)
        })
    }

    fn key(left: u32, right: u32) -> u64 {
        u64::from(left) << ID_BITS | u64::from(right)
    }

    #[inline(always)]
    fn places(&self, key: u64) -> [usize; 2] {
        [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93].map(|odd| (key.wrapping_mul(odd) >> self.shift) as usize)
    }

    /// Puts an entry into one of its places, and what it finds there into the other of its own, and so on.
    fn insert(&mut self, mut entry: u64) -> bool {
        let mut place = self.places(entry >> RANK_BITS)[0];
        for _ in 0..1000 {
            std::mem::swap(&mut self.slots[place], &mut entry);
            if entry == Self::EMPTY {
                return true;
            }
            let [first, second] = self.places(entry >> RANK_BITS);
            place = if place == first { second } else { first };
        }
        false
    }

    #[inline(always)]
    fn get(&self, left: u32, right: u32) -> u32 {
        let key = Self::key(left, right);
        let [first, second] = self.places(key).map(|place| self.slots[place]);
        let entry = if first >> RANK_BITS == key { first } else { second };
        if entry >> RANK_BITS == key { (entry & ((1 << RANK_BITS) - 1)) as u32 } else { NONE }
    }
}

/// A merge in the file: two tokens, as the bytes that they spell. `None` where they spell none: no text can need such a merge.
pub(crate) type Spelled = Option<(Vec<u8>, Vec<u8>)>;

/// The tables of a model; never changed once made.
#[derive(Debug)]
pub(crate) struct Merges {
    bytes: [u32; 256],
    ranks: Ranks,
    /// Ranks of pairs of ASCII bytes: few of them are common, and here those are close together.
    ascii: Vec<u32>,
    /// The id that the merge of a rank makes.
    made: Vec<u32>,
    /// By code point.
    chars: Vec<Whole>,
    /// The least rank of a merge whose right side is the unfinished beginning of a character: by first byte of the right side
    /// and last of the left.
    left_crossing: Vec<u32>,
    /// The same where the left side is the end of a character without its beginning: by last byte of the left and first of the right.
    right_crossing: Vec<u32>,
}

/// Room for merging a piece.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    ids: Vec<u32>,
    ranks: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    heap: Vec<Reverse<u64>>,
    short: Short,
}

/// Room for few symbols.
#[derive(Debug)]
struct Short {
    symbols: [u32; SHORT],
    pairs: [i32; SHORT],
    next: [u8; SHORT],
    previous: [u8; SHORT],
}

impl Default for Short {
    fn default() -> Self {
        Self { symbols: [0; SHORT], pairs: [0; SHORT], next: [0; SHORT], previous: [0; SHORT] }
    }
}

impl Merges {
    /// The tables for a vocabulary (bytes of a token to its id, each of another) and merges in their order; `None` where there is
    /// not a token for each byte, or there are too many for the tables.
    pub(crate) fn new(vocab: &HashMap<Vec<u8>, u32>, merges: &[Spelled]) -> Option<Self> {
        let mut bytes = [NONE; 256];
        for (byte, id) in bytes.iter_mut().enumerate() {
            *id = *vocab.get(&[byte as u8][..])?;
        }
        if *vocab.values().max()? >= (1 << ID_BITS) - 1 || merges.len() >= 1 << RANK_BITS {
            return None;
        }
        let mut ranks = HashMap::with_capacity(merges.len());
        let mut made = Vec::with_capacity(merges.len());
        let mut left_crossing = vec![NONE; 1 << 16];
        let mut right_crossing = vec![NONE; 1 << 16];
        // The least rank of a merge that a token takes part in.
        let mut uses: HashMap<u32, u32> = HashMap::new();
        for (rank, merge) in (0_u32..).zip(merges) {
            let Some((left, right)) = merge else {
                made.push(NONE);
                continue;
            };
            let (left_id, right_id) = (*vocab.get(left)?, *vocab.get(right)?);
            // A pair that is listed twice has the later rank, as in the library; the other minima may only be too small.
            ranks.insert(Ranks::key(left_id, right_id), rank);
            made.push(*vocab.get(&[&left[..], right].concat())?);
            for id in [left_id, right_id] {
                uses.entry(id).or_insert(rank);
            }
            let (end, start) = (*left.last()?, *right.first()?);
            let lower = |table: &mut [u32], row: u8, column: u8| {
                let entry = &mut table[row as usize * 256 + column as usize];
                *entry = rank.min(*entry);
            };
            if right.len() < length_by_lead(start) {
                lower(&mut left_crossing, start, end);
            }
            if left.iter().all(|byte| is_inside(*byte)) && !is_inside(start) {
                lower(&mut right_crossing, end, start);
            }
        }
        let ranks = Ranks::new(&ranks)?;
        let ascii = (0..1 << 14).map(|pair| ranks.get(bytes[pair >> 7], bytes[pair & 127])).collect();
        let mut merges = Self { bytes, ranks, ascii, made, chars: Vec::new(), left_crossing, right_crossing };
        merges.chars = (0..CHARS as u32).map(|code| merges.whole(code, &uses)).collect();
        Some(merges)
    }

    /// What a character alone becomes, if it is one token and no merge uses that before it is built.
    fn whole(&self, code: u32, uses: &HashMap<u32, u32>) -> Whole {
        let none = Whole { id: NONE, rank: NONE };
        let Some(c) = char::from_u32(code).filter(|c| !c.is_ascii()) else { return none };
        let mut ids: Vec<u32> = c.encode_utf8(&mut [0; 4]).bytes().map(|byte| self.bytes[byte as usize]).collect();
        let mut last = 0;
        while ids.len() > 1 {
            let ranks = ids.windows(2).map(|pair| self.ranks.get(pair[0], pair[1]));
            let Some((rank, at)) = ranks.zip(0..).min().filter(|(rank, _)| *rank != NONE) else { return none };
            ids[at] = self.made[rank as usize];
            ids.remove(at + 1);
            last = last.max(rank);
        }
        if uses.get(&ids[0]).is_some_and(|rank| *rank <= last) { none } else { Whole { id: ids[0], rank: last } }
    }

    /// The id of a byte.
    #[inline(always)]
    pub(crate) fn byte(&self, byte: u8) -> u32 {
        self.bytes[byte as usize]
    }

    /// The id of a piece that is one character of three bytes, if it is known to be one token.
    #[inline(always)]
    pub(crate) fn three_bytes(&self, piece: &[u8]) -> Option<u32> {
        if piece.len() != 3 || piece[0] < 0xE0 {
            return None;
        }
        Some(self.chars[code_at(piece, 0).0].id).filter(|id| *id != NONE)
    }

    /// Appends the ids of a piece.
    pub(crate) fn encode(&self, piece: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        let short = &mut scratch.short;
        if (2..=SHORT).contains(&piece.len()) && piece.is_ascii() {
            for (symbol, byte) in short.symbols.iter_mut().zip(piece) {
                *symbol = self.bytes[*byte as usize];
            }
            for (at, pair) in piece.windows(2).enumerate() {
                short.pairs[at] = entry(self.ascii[(pair[0] as usize) << 7 | pair[1] as usize], at);
            }
            return self.merge_short(piece.len(), short, out);
        }
        self.load(piece, &mut scratch.ids);
        match scratch.ids[..] {
            [id] => out.push(id),
            _ if scratch.ids.len() <= SHORT => {
                short.symbols[..scratch.ids.len()].copy_from_slice(&scratch.ids);
                for (at, pair) in scratch.ids.windows(2).enumerate() {
                    short.pairs[at] = entry(self.ranks.get(pair[0], pair[1]), at);
                }
                self.merge_short(scratch.ids.len(), short, out);
            }
            _ => {
                self.merge_long(scratch);
                out.extend_from_slice(&scratch.ids);
            }
        }
    }

    /// The symbols that merging starts from: bytes, and characters where that makes no difference.
    ///
    /// It makes none where every merge that could join a part of the character with something outside of it comes later than the
    /// last merge inside of it: then its bytes are always joined first. Merges that use the whole character come later, too
    /// ([`Merges::whole`]), so having it early changes no choice.
    #[inline(always)]
    fn load(&self, piece: &[u8], ids: &mut Vec<u32>) {
        ids.clear();
        let mut at = 0;
        while at < piece.len() {
            let lead = piece[at];
            if lead < 0x80 {
                ids.push(self.bytes[lead as usize]);
                at += 1;
                continue;
            }
            let (code, len) = code_at(piece, at);
            let end = at + len;
            let whole = if code < CHARS { self.chars[code] } else { Whole { id: NONE, rank: NONE } };
            let built_first = whole.id != NONE
                && (at == 0 || whole.rank < self.left_crossing[lead as usize * 256 + piece[at - 1] as usize])
                && (end == piece.len() || whole.rank < self.right_crossing[piece[end - 1] as usize * 256 + piece[end] as usize]);
            if built_first {
                ids.push(whole.id);
            } else {
                ids.extend(piece[at..end].iter().map(|byte| self.bytes[*byte as usize]));
            }
            at = end;
        }
    }

    /// Up to [`SHORT`] symbols, more than one. They stay where they are: one that is merged into its left neighbour is skipped.
    /// Symbols and pairs are there.
    fn merge_short(&self, len: usize, room: &mut Short, out: &mut Vec<u32>) {
        // Indices are below `SHORT`, a power of two, so that masking them costs less than a check and changes nothing.
        const MASK: usize = SHORT - 1;
        let Short { symbols, pairs, next, previous } = room;
        let padded = len.next_multiple_of(LANES);
        pairs[len - 1..padded].fill(i32::MAX);
        for at in 0..len {
            (next[at & MASK], previous[at & MASK]) = (at as u8 + 1, (at as u8).wrapping_sub(1));
        }
        loop {
            let mut lanes = [i32::MAX; LANES];
            for part in pairs[..padded].chunks_exact(LANES) {
                for (least, pair) in lanes.iter_mut().zip(part) {
                    *least = if *pair < *least { *pair } else { *least };
                }
            }
            let least = lanes.into_iter().fold(i32::MAX, i32::min);
            if least == i32::MAX {
                break;
            }
            let at = least as usize & MASK;
            let gone = next[at] as usize & MASK;
            let after = next[gone] as usize;
            let new = self.made[(least >> SHORT_BITS) as usize];
            symbols[at] = new;
            next[at] = after as u8;
            pairs[gone] = i32::MAX;
            pairs[at] = i32::MAX;
            if after < len {
                previous[after & MASK] = at as u8;
                pairs[at] = entry(self.ranks.get(new, symbols[after & MASK]), at);
            }
            if at > 0 {
                let before = previous[at] as usize & MASK;
                pairs[before] = entry(self.ranks.get(symbols[before], new), before);
            }
        }
        let mut at = 0;
        while at < len {
            out.push(symbols[at & MASK]);
            at = next[at & MASK] as usize;
        }
    }

    /// The same in n log n: a linked list of symbols and a heap of ranks and places, whose entries may be out of date.
    fn merge_long(&self, scratch: &mut Scratch) {
        let Scratch { ids, ranks, next, previous, heap, .. } = scratch;
        let len = ids.len() as u32;
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.ranks.get(pair[0], pair[1])));
        ranks.push(NONE);
        next.clear();
        next.extend(1..=len);
        previous.clear();
        previous.extend((0..len).map(|i| i.wrapping_sub(1)));
        heap.clear();
        let later = |rank: u32, at: u32| Reverse(u64::from(rank) << 32 | u64::from(at));
        heap.extend((0..len).filter(|i| ranks[*i as usize] != NONE).map(|i| later(ranks[i as usize], i)));
        let mut queue = BinaryHeap::from(std::mem::take(heap));
        while let Some(Reverse(top)) = queue.pop() {
            let (rank, at) = ((top >> 32) as u32, top as u32 as usize);
            if ranks[at] != rank {
                continue;
            }
            let gone = next[at] as usize;
            ids[at] = self.made[rank as usize];
            ids[gone] = NONE;
            ranks[gone] = NONE;
            next[at] = next[gone];
            ranks[at] = NONE;
            let after = next[at] as usize;
            if after < ids.len() {
                previous[after] = at as u32;
                ranks[at] = self.ranks.get(ids[at], ids[after]);
                if ranks[at] != NONE {
                    queue.push(later(ranks[at], at as u32));
                }
            }
            if previous[at] != NONE {
                let before = previous[at];
                let rank = self.ranks.get(ids[before as usize], ids[at]);
                ranks[before as usize] = rank;
                if rank != NONE {
                    queue.push(later(rank, before));
                }
            }
        }
        *heap = queue.into_vec();
        ids.retain(|id| *id != NONE);
    }
}

/// Rank and place of a pair in one number, so that the least is the leftmost of the lowest rank. Signed, because every x86-64 can
/// compare many of those at a time.
#[inline(always)]
fn entry(rank: u32, at: usize) -> i32 {
    if rank == NONE { i32::MAX } else { (rank << SHORT_BITS | at as u32) as i32 }
}

/// The length of a character that begins with `lead`; 0 for bytes that begin none.
fn length_by_lead(lead: u8) -> usize {
    match lead {
        0..0x80 => 1,
        0xC2..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0..0xF5 => 4,
        _ => 0,
    }
}

/// Whether a byte goes on with a character.
fn is_inside(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
