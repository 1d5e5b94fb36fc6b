//! Decoding token by token, for a reader who watches the text appear.

use crate::Error;

/// How many tokens may wait for the rest of a character before they are shown as they are: a character has at most four bytes,
/// and a joined emoji is several characters of its own, so more than this is broken UTF-8.
const MAX_WAITING: usize = 8;

/// Gives text as soon as it is whole; see [`crate::Tokenizer::stream`].
#[derive(Debug)]
pub struct StreamDecoder<'t> {
    inner: &'t tokenizers::Tokenizer,
    /// Tokens of which `shown` bytes of text have been given out, plus those that wait.
    ids: Vec<u32>,
    shown: usize,
    waiting: usize,
}

impl<'t> StreamDecoder<'t> {
    pub(crate) fn new(inner: &'t tokenizers::Tokenizer) -> Self {
        Self { inner, ids: Vec::new(), shown: 0, waiting: 0 }
    }

    /// Takes one id; the text it completes, or `None` while a character is still incomplete. Special tokens give no text.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, Error> {
        self.ids.push(id);
        self.waiting += 1;
        let text = self.decode()?;
        if text.ends_with('\u{FFFD}') && self.waiting < MAX_WAITING {
            return Ok(None);
        }
        let new = text.get(self.shown..).unwrap_or_default().to_string();
        // One token of context is enough for decoders that look back (a space between words); older ones are dropped.
        self.ids = vec![id];
        self.shown = self.decode()?.len();
        self.waiting = 0;
        if text.ends_with('\u{FFFD}') {
            // Broken for good: do not let its bytes join what follows.
            self.ids.clear();
            self.shown = 0;
        }
        Ok((!new.is_empty()).then_some(new))
    }

    /// What still waits at the end, broken characters as U+FFFD.
    pub fn finish(self) -> Result<Option<String>, Error> {
        let text = self.decode()?;
        let rest = text.get(self.shown..).unwrap_or_default();
        Ok((!rest.is_empty()).then(|| rest.to_string()))
    }

    fn decode(&self) -> Result<String, Error> {
        self.inner.decode(&self.ids, true).map_err(|e| Error::Tokenize { message: e.to_string() })
    }
}
