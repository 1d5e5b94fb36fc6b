//! A window over a decoded stream: look ahead, take, search, and know where in the file a byte came from.

use super::decoder::{Chunk, Decoder};
use std::collections::VecDeque;
use std::io;

/// A stretch of the file that does not decompress.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Offset in the file.
    pub offset: u64,
    /// The decoder's message.
    pub message: String,
}

/// Unread bytes of a stream. Positions are counted in decoded bytes from the start of the stream.
#[derive(Debug)]
pub struct Window {
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Index in `buffer` of the next unread byte.
    at: usize,
    /// Position of `buffer[0]`.
    base: u64,
    /// Position where a member begins, and its offset in the file.
    starts: VecDeque<(u64, u64)>,
    /// The last member begun at or before the current position.
    current: (u64, u64),
    /// Position behind which bytes were lost, with what is known of the loss.
    damage: VecDeque<(u64, Damage)>,
    ended: bool,
    compressed: bool,
}

impl Window {
    /// A window at the start of a stream.
    #[must_use]
    pub fn new(decoder: Decoder, compressed: bool) -> Self {
        Self {
            decoder,
            buffer: Vec::new(),
            at: 0,
            base: 0,
            starts: VecDeque::new(),
            current: (0, 0),
            damage: VecDeque::new(),
            ended: false,
            compressed,
        }
    }

    /// Position of the next unread byte.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Unread bytes that are in memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Where in the file the next byte stands: its own offset, or that of the compressed member it is in.
    #[must_use]
    pub fn offset(&mut self) -> u64 {
        let position = self.position();
        while let Some(&start) = self.starts.front() {
            if start.0 > position {
                break;
            }
            self.current = start;
            self.starts.pop_front();
        }
        if self.compressed { self.current.1 } else { position }
    }

    /// Reads on until `n` unread bytes are in memory; false if the stream, or the stretch before damage, has fewer.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn fill(&mut self, n: usize) -> io::Result<bool> {
        while self.bytes().len() < n {
            if self.ended || !self.damage.is_empty() {
                return Ok(false);
            }
            if self.at > (1 << 20) && self.at > self.buffer.len() / 2 {
                self.buffer.drain(..self.at);
                self.base += self.at as u64;
                self.at = 0;
            }
            let end = self.base + self.buffer.len() as u64;
            match self.decoder.read_more(&mut self.buffer)? {
                Chunk::Data => {}
                Chunk::Start(offset) => self.starts.push_back((end, offset)),
                Chunk::Broken { offset, message } => self.damage.push_back((end, Damage { offset, message })),
                Chunk::End => self.ended = true,
            }
        }
        Ok(true)
    }

    /// Takes up to `n` bytes forward that are in memory.
    pub fn advance(&mut self, n: usize) {
        self.at = (self.at + n).min(self.buffer.len());
    }

    /// If all bytes before a loss were read: what was lost. Reading goes on behind it.
    pub fn take_damage(&mut self) -> Option<Damage> {
        if self.at < self.buffer.len() {
            return None;
        }
        self.damage.pop_front().map(|(_, damage)| damage)
    }

    /// True if everything was read, and no damage is left to tell.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn at_end(&mut self) -> io::Result<bool> {
        Ok(!self.fill(1)? && self.damage.is_empty())
    }

    /// The first member start strictly inside the next `n` bytes, as a distance from here.
    #[must_use]
    pub fn member_within(&self, n: usize) -> Option<usize> {
        let position = self.position();
        self.starts
            .iter()
            .map(|&(start, _)| start)
            .find(|&start| start > position && start < position + n as u64)
            .map(|start| (start - position) as usize)
    }
}

/// First place of `needle` in `haystack`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|&b| b == first) {
        let at = from + at;
        if haystack.get(at + 1..at + needle.len()) == Some(rest) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bytes() {
        assert_eq!(find(b"aab", b"ab"), Some(1));
        assert_eq!(find(b"aa", b"aab"), None);
        assert_eq!(find(b"", b"a"), None);
    }

    #[test]
    fn reads_positions_and_offsets_of_a_plain_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"hello world").unwrap();
        let mut window = Window::new(Decoder::open(file.path()).unwrap(), false);
        assert!(window.fill(5).unwrap());
        window.advance(6);
        assert_eq!((window.offset(), window.bytes()), (6, &b"world"[..]));
        assert!(!window.fill(6).unwrap());
        window.advance(100);
        assert!(window.at_end().unwrap() && window.take_damage().is_none());
    }
}
