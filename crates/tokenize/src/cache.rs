//! A memory for short pieces and their ids: of fixed size, one for each thread.

/// Longest piece that fits a key.
pub(crate) const MAX_BYTES: usize = 15;

/// Slots; with 32 bytes each, a memory takes 2 MB.
const SLOTS: usize = 1 << 16;

/// Ids kept in a slot itself.
const INLINE: usize = 3;

/// Ids kept elsewhere, for pieces of more; when there are more, all is forgotten.
const MAX_SPILLED: usize = 1 << 18;

/// Bytes of a piece and its length (in the last byte), so that equal keys mean equal pieces. No piece has key 0.
pub(crate) type Key = (u64, u64);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: Key,
    /// The ids, or where they begin in `spilled`.
    ids: [u32; INLINE],
    len: u32,
}

/// Two slots of a cache line, the newer first.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([Slot; 2]);

/// The memory.
#[derive(Debug)]
pub(crate) struct Cache {
    buckets: Vec<Bucket>,
    spilled: Vec<u32>,
}

/// The key of `text[start..end]`, which has at most [`MAX_BYTES`].
#[inline(always)]
pub(crate) fn key(text: &[u8], start: usize, end: usize) -> Key {
    let len = end - start;
    let (low, high) = match text.get(start..start + 16) {
        Some(bytes) => (word(&bytes[..8]), word(&bytes[8..])),
        None => {
            let mut bytes = [0; 16];
            bytes[..len].copy_from_slice(&text[start..end]);
            (word(&bytes[..8]), word(&bytes[8..]))
        }
    };
    let kept = |bytes: usize| if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
    (low & kept(len), high & kept(len.saturating_sub(8)) | (len as u64) << 56)
}

#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![Bucket::default(); SLOTS / 2], spilled: Vec::new() }
    }

    #[inline(always)]
    fn place(key: Key) -> usize {
        let product = u128::from(key.0 ^ 0x2D35_8DCC_AA6C_78A5) * u128::from(key.1 ^ 0x8BB8_4B93_962E_ACC9);
        ((product >> 64) as usize ^ product as usize) % (SLOTS / 2)
    }

    /// Appends the ids of a piece if it is known.
    #[inline(always)]
    pub(crate) fn append(&self, key: Key, out: &mut Vec<u32>) -> bool {
        let bucket = &self.buckets[Self::place(key)].0;
        let slot = if bucket[0].key == key {
            &bucket[0]
        } else if bucket[1].key == key {
            &bucket[1]
        } else {
            return false;
        };
        match slot.len {
            1 => out.push(slot.ids[0]),
            2 => out.extend_from_slice(&slot.ids[..2]),
            3 => out.extend_from_slice(&slot.ids),
            len => out.extend_from_slice(&self.spilled[slot.ids[0] as usize..][..len as usize]),
        }
        true
    }

    /// Remembers the ids of a piece.
    pub(crate) fn insert(&mut self, key: Key, ids: &[u32]) {
        if self.spilled.len() + ids.len() > MAX_SPILLED {
            self.buckets.fill(Bucket::default());
            self.spilled.clear();
        }
        let mut slot = Slot { key, ids: [0; INLINE], len: ids.len() as u32 };
        match slot.ids.get_mut(..ids.len()) {
            Some(inline) => inline.copy_from_slice(ids),
            None => {
                slot.ids[0] = self.spilled.len() as u32;
                self.spilled.extend_from_slice(ids);
            }
        }
        let bucket = &mut self.buckets[Self::place(key)].0;
        bucket[1] = bucket[0];
        bucket[0] = slot;
    }
}
