//! Bytes of an input file, decompressed on the way, with the offsets to name a place in it.

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What one call of [`Decoder::read_more`] brought.
#[derive(Debug)]
pub enum Chunk {
    /// More bytes were appended.
    Data,
    /// A compressed member, or the file, begins at this offset of the file; its bytes follow.
    Start(u64),
    /// The stretch that began at `offset` does not decompress; what follows is the next stretch that may.
    Broken {
        /// Where the stretch began in the file.
        offset: u64,
        /// The decoder's message.
        message: String,
    },
    /// Nothing is left.
    End,
}

/// Bytes read from disk at a time.
const FILE_BUFFER: usize = 256 << 10;
/// Bytes decompressed at a time.
const STEP: usize = 128 << 10;
const GZIP_MAGIC: [u8; 3] = [0x1F, 0x8B, 0x08];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4D, 0x18];

/// True if a file that begins so is compressed.
pub(super) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&GZIP_MAGIC[..2]) || head.starts_with(&ZSTD_MAGIC) || head.starts_with(&LZ4_MAGIC)
}

/// Reads a plain, gzip (one or many members), zstd or lz4 (one or many frames) file.
pub struct Decoder {
    state: State,
    /// A broken member was reported and none has been read since.
    recovering: bool,
}

enum State {
    Plain {
        file: Counted,
        started: bool,
    },
    Between(Counted),
    Member {
        member: Box<GzDecoder<Counted>>,
        offset: u64,
        produced: bool,
    },
    /// A member that failed after bytes which were passed on.
    Failed {
        file: Counted,
        offset: u64,
        message: String,
    },
    Zstd {
        stream: Box<zstd::stream::read::Decoder<'static, Counted>>,
        started: bool,
    },
    Lz4 {
        frames: Box<FrameDecoder<Counted>>,
        offset: u64,
        started: bool,
    },
    /// A frame that failed; nothing follows. (One cut between two blocks does not fail: its last record is too short.)
    Lost {
        offset: u64,
        message: String,
    },
    Done,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("recovering", &self.recovering).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Opens a file; the first bytes tell the compression.
    ///
    /// # Errors
    /// If the file cannot be opened or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = Counted { inner: BufReader::with_capacity(FILE_BUFFER, File::open(path)?), at: 0 };
        let head = file.fill_buf()?;
        let state = if head.starts_with(&GZIP_MAGIC) {
            State::Between(file)
        } else if head.starts_with(&ZSTD_MAGIC) {
            State::Zstd { stream: Box::new(zstd::stream::read::Decoder::with_buffer(file)?), started: false }
        } else if head.starts_with(&LZ4_MAGIC) {
            State::Lz4 { frames: Box::new(FrameDecoder::new(file)), offset: 0, started: false }
        } else {
            State::Plain { file, started: false }
        };
        Ok(Self { state, recovering: false })
    }

    /// Appends some bytes to `out`, or says what happened instead.
    ///
    /// # Errors
    /// If the disk fails; broken compression is a [`Chunk::Broken`].
    pub fn read_more(&mut self, out: &mut Vec<u8>) -> io::Result<Chunk> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(Chunk::End),
                State::Plain { file, started: false } => {
                    self.state = State::Plain { file, started: true };
                    return Ok(Chunk::Start(0));
                }
                State::Plain { mut file, .. } => {
                    match append(&mut file, out) {
                        (0, None) => return Ok(Chunk::End),
                        (_, Some(error)) => return Err(error),
                        _ => {}
                    }
                    self.state = State::Plain { file, started: true };
                    return Ok(Chunk::Data);
                }
                State::Zstd { stream, started: false } => {
                    self.state = State::Zstd { stream, started: true };
                    return Ok(Chunk::Start(0));
                }
                State::Zstd { mut stream, .. } => match append(&mut stream, out) {
                    (0, None) => return Ok(Chunk::End),
                    (0, Some(error)) => {
                        return Ok(Chunk::Broken { offset: 0, message: error.to_string() });
                    }
                    // An error behind these bytes comes again with the next call: a frame cannot be left half way.
                    (_, _) => {
                        self.state = State::Zstd { stream, started: true };
                        return Ok(Chunk::Data);
                    }
                },
                State::Lz4 { frames, offset, started: false } => {
                    self.state = State::Lz4 { frames, offset, started: true };
                    return Ok(Chunk::Start(offset));
                }
                State::Lz4 { mut frames, offset, .. } => {
                    let (n, error) = append(&mut frames, out);
                    let (more, at) = {
                        let file = frames.get_mut();
                        (!file.fill_buf()?.is_empty(), file.at)
                    };
                    self.state = match error {
                        // What follows damage is lost: where the next frame begins, nothing says.
                        Some(error) => State::Lost { offset, message: error.to_string() },
                        None if n == STEP => State::Lz4 { frames, offset, started: true },
                        None if more => State::Lz4 { frames, offset: at, started: false },
                        None => State::Done,
                    };
                    if n > 0 {
                        return Ok(Chunk::Data);
                    }
                }
                State::Lost { offset, message } => return Ok(Chunk::Broken { offset, message }),
                State::Between(mut file) => {
                    let offset = file.at;
                    if file.fill_buf()?.is_empty() {
                        return Ok(Chunk::End);
                    }
                    if !file.at_magic()? {
                        let found = file.seek_magic(offset)?;
                        if found {
                            self.state = State::Between(file);
                        }
                        if self.report() {
                            return Ok(Chunk::Broken { offset, message: "no gzip member begins here".into() });
                        }
                        continue;
                    }
                    self.state = State::Member { member: Box::new(GzDecoder::new(file)), offset, produced: false };
                    return Ok(Chunk::Start(offset));
                }
                State::Member { mut member, offset, produced } => match append(&mut *member, out) {
                    (0, None) => {
                        self.recovering = false;
                        self.state = State::Between(member.into_inner());
                    }
                    (_, None) => {
                        self.state = State::Member { member, offset, produced: true };
                        return Ok(Chunk::Data);
                    }
                    (n, Some(error)) => {
                        let told = n > 0 || produced || self.report();
                        let file = member.into_inner();
                        let message = if told { error.to_string() } else { String::new() };
                        self.state = State::Failed { file, offset, message };
                        if n > 0 {
                            return Ok(Chunk::Data);
                        }
                    }
                },
                State::Failed { mut file, offset, message } => {
                    self.recovering = true;
                    if file.seek_magic(offset + 1)? {
                        self.state = State::Between(file);
                    }
                    // Three bytes that look like a member occur by chance inside others: only the first failure is told.
                    if !message.is_empty() {
                        return Ok(Chunk::Broken { offset, message });
                    }
                }
            }
        }
    }

    /// True if the stretch now found broken is news.
    fn report(&mut self) -> bool {
        !std::mem::replace(&mut self.recovering, true)
    }
}

/// Appends up to [`STEP`] bytes; returns how many, and the error that stopped it.
fn append(reader: &mut impl Read, out: &mut Vec<u8>) -> (usize, Option<io::Error>) {
    let before = out.len();
    out.resize(before + STEP, 0);
    let mut filled = 0;
    let mut failed = None;
    while filled < STEP {
        match reader.read(&mut out[before + filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    out.truncate(before + filled);
    (filled, failed)
}

/// A buffered file that knows how far it was consumed.
struct Counted {
    inner: BufReader<File>,
    at: u64,
}

impl Counted {
    fn at_magic(&mut self) -> io::Result<bool> {
        let head = self.inner.fill_buf()?;
        if head.len() >= GZIP_MAGIC.len() || head.is_empty() {
            return Ok(head.starts_with(&GZIP_MAGIC));
        }
        // The magic may straddle two buffers: look again from here.
        let at = self.at;
        self.inner.seek(SeekFrom::Start(at))?;
        Ok(self.inner.fill_buf()?.starts_with(&GZIP_MAGIC))
    }

    /// Moves to the first place at or behind `from` where a gzip member may begin; false if there is none.
    fn seek_magic(&mut self, from: u64) -> io::Result<bool> {
        self.inner.seek(SeekFrom::Start(from))?;
        self.at = from;
        let mut matched = 0;
        loop {
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let length = buffer.len();
            for (i, &byte) in buffer.iter().enumerate() {
                matched = if byte == GZIP_MAGIC[matched] { matched + 1 } else { usize::from(byte == GZIP_MAGIC[0]) };
                if matched == GZIP_MAGIC.len() {
                    self.at += i as u64 + 1 - GZIP_MAGIC.len() as u64;
                    let at = self.at;
                    self.inner.seek(SeekFrom::Start(at))?;
                    return Ok(true);
                }
            }
            self.inner.consume(length);
            self.at += length as u64;
        }
    }
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.at += n as u64;
        self.inner.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(text: &str) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Everything a file gives: starts as `@offset`, broken stretches as `!offset`, bytes as text.
    fn trace(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut decoder = Decoder::open(file.path()).unwrap();
        let (mut text, mut data) = (String::new(), Vec::new());
        loop {
            match decoder.read_more(&mut data).unwrap() {
                Chunk::Data => text.push_str(&String::from_utf8_lossy(&std::mem::take(&mut data))),
                Chunk::Start(offset) => text.push_str(&format!("@{offset} ")),
                Chunk::Broken { offset, .. } => text.push_str(&format!("!{offset} ")),
                Chunk::End => return text,
            }
        }
    }

    #[test]
    fn members_plain_and_zstd() {
        let (a, b) = (gzip("one "), gzip("two "));
        assert_eq!(trace(&[a.clone(), b].concat()), format!("@0 one @{} two ", a.len()));
        assert_eq!(trace(b"plain"), "@0 plain");
        assert_eq!(trace(&zstd::encode_all(&b"zst"[..], 3).unwrap()), "@0 zst");
        assert_eq!(trace(b""), "@0 ");
        let (a, b) = (lz4("one "), lz4("two "));
        assert_eq!(trace(&[a.clone(), b.clone()].concat()), format!("@0 one @{} two ", a.len()));
        assert_eq!(trace(&[a.clone(), b[..b.len() - 5].to_vec()].concat()), format!("@0 one @{} !{} ", a.len(), a.len()));
        assert_eq!(trace(&[a.clone(), b"junk junk".to_vec()].concat()), format!("@0 one @{} !{} ", a.len(), a.len()));
    }

    #[test]
    fn a_damaged_member_does_not_hide_the_next() {
        let (a, b, c) = (gzip("one "), gzip("a longer text so that damage hits the middle of it 1234567890 "), gzip("three "));
        let mut damaged = b.clone();
        damaged.truncate(b.len() / 2);
        let text = trace(&[a.clone(), damaged, c].concat());
        assert!(text.starts_with(&format!("@0 one @{} ", a.len())), "{text}");
        assert!(text.contains(&format!("!{} ", a.len())), "{text}");
        assert!(text.ends_with(" three "), "{text}");
    }

    #[test]
    fn truncated_end_and_junk_between() {
        let (a, b) = (gzip("one "), gzip("two "));
        let text = trace(&a[..a.len() - 3]);
        assert!(text.starts_with("@0 one ") && text.ends_with("!0 "), "{text}");
        let joined = [a.clone(), b"junk junk".to_vec(), b].concat();
        assert_eq!(trace(&joined), format!("@0 one !{} @{} two ", a.len(), a.len() + 9));
    }
}
