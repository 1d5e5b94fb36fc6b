//! Encoding without the tokenizers library, to the same ids.
//!
//! For byte-level BPE whose pre-tokenizer is one of those in [`crate::pieces`], text is cut by a scanner, pieces seen lately are looked
//! up, and others are merged here. Everything else goes through the library: other kinds of tokenizers as a whole; of the known kinds,
//! text that holds an added token which is not special, and under an NFC normalizer, text that is not in form C.

use std::sync::Mutex;

use text::Tokenizer;

use crate::Error;
use crate::cache::{self, Cache};
use crate::merge::Scratch;
use crate::nfc::is_nfc;
use crate::published::Published;

/// Tables count bytes of a text in 32 bits.
const MAX_TEXT: usize = u32::MAX as usize;

/// What one thread needs to encode.
#[derive(Debug)]
struct Memory {
    cache: Cache,
    scratch: Scratch,
}

/// Encodes plain text with one tokenizer, from any number of threads.
#[derive(Debug)]
pub struct Encoder<'t> {
    tokenizer: &'t Tokenizer,
    published: Option<Published>,
    /// One for each thread of the pool, made when it is first needed. Locked once for a text.
    memories: Vec<Mutex<Option<Memory>>>,
}

impl<'t> Encoder<'t> {
    /// An encoder for `tokenizer`.
    ///
    /// # Errors
    /// When the regex engine of the library cannot be asked for its classes of characters.
    pub fn new(tokenizer: &'t Tokenizer) -> Result<Self, Error> {
        let published = Published::of(tokenizer.files().tokenizer_json())?;
        let memories = (0..rayon::current_num_threads().max(1)).map(|_| Mutex::default()).collect();
        Ok(Self { tokenizer, published, memories })
    }

    /// Whether text is encoded here, or every text goes through the library.
    pub fn is_fast(&self) -> bool {
        self.published.is_some()
    }

    /// See [`Tokenizer::unk_id`].
    pub fn unk_id(&self) -> Option<u32> {
        self.tokenizer.unk_id()
    }

    /// Ids of a text, as [`Tokenizer::encode`] gives them.
    ///
    /// # Errors
    /// When the tokenizers library fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, text::Error> {
        let Some(published) = &self.published else { return self.tokenizer.encode(text) };
        if text.len() >= MAX_TEXT || published.holds_added(text) || published.nfc && !is_nfc(text) {
            return self.tokenizer.encode(text);
        }
        let first = rayon::current_thread_index().unwrap_or(0);
        let mut out = Vec::with_capacity(text.len() / 3 + 1);
        // A thread of another pool may be at the same memory. One that a panic left behind is not used again.
        let free = (0..self.memories.len()).find_map(|n| self.memories[(first + n) % self.memories.len()].try_lock().ok());
        match free {
            Some(mut memory) => published.encode(text, memory.get_or_insert_with(Memory::new), &mut out),
            None => published.encode(text, &mut Memory::new(), &mut out),
        }
        Ok(out)
    }
}

impl Memory {
    fn new() -> Self {
        Self { cache: Cache::new(), scratch: Scratch::default() }
    }
}

impl Published {
    fn encode(&self, text: &str, memory: &mut Memory, out: &mut Vec<u32>) {
        let bytes = text.as_bytes();
        let Memory { cache, scratch } = memory;
        self.splitter.ranges(text, |start, end| {
            if end - start > cache::MAX_BYTES {
                return self.encode_piece(&bytes[start..end], scratch, out);
            }
            if end - start == 1 {
                return out.push(self.merges.byte(bytes[start]));
            }
            // A token that its own merges lead to is what `ignore_merges` gives as well.
            if let Some(id) = self.merges.three_bytes(&bytes[start..end]) {
                return out.push(id);
            }
            let key = cache::key(bytes, start, end);
            if !cache.append(key, out) {
                let from = out.len();
                self.encode_piece(&bytes[start..end], scratch, out);
                cache.insert(key, &out[from..]);
            }
        });
    }

    /// The ids of a piece that is not remembered.
    #[inline(never)]
    fn encode_piece(&self, piece: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        match self.tokens.as_ref().and_then(|tokens| tokens.get(piece)) {
            Some(id) => out.push(*id),
            None => self.merges.encode(piece, scratch, out),
        }
    }
}
