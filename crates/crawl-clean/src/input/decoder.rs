//! Bytes of an input file, decompressed on the way, with the offsets to name a place in it.

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use zstd::stream::raw::{self, Operation};

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
/// What a frame that holds no data begins with, behind a byte from 0x50 to 0x5F.
const SKIPPABLE_MAGIC: [u8; 3] = [0x2A, 0x4D, 0x18];
/// The first frame of a file if it holds the dictionary of all others, as it is or compressed (Zstandard Compression for WARC Files 1.0).
const DICTIONARY_FRAME_MAGIC: [u8; 4] = [0x5D, 0x2A, 0x4D, 0x18];
/// What a dictionary begins with.
const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xA4, 0x30, 0xEC];
/// Longest dictionary; it is in memory as long as its file is read.
const MAX_DICTIONARY_BYTES: u64 = 64 << 20;
/// Length of the longest magic.
const MAX_MAGIC_BYTES: usize = 4;

/// Bytes of failed members that may be read again to look for others in them: so many, and so many for each byte before. Beyond that the
/// search goes on behind what a failed member took, so that no file takes more than time in proportion to its size.
const READ_AGAIN: u64 = 64 << 20;
const READ_AGAIN_PER_BYTE: u64 = 8;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Zstd,
    Lz4,
}

impl Coding {
    /// The coding of a file that begins so, if it is compressed.
    fn of(head: &[u8]) -> Option<Self> {
        [Self::Gzip, Self::Zstd, Self::Lz4].into_iter().find(|coding| coding.begins_member(head))
    }

    /// What each member begins with.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &GZIP_MAGIC,
            Self::Zstd => &ZSTD_MAGIC,
            Self::Lz4 => &LZ4_MAGIC,
        }
    }

    fn begins_member(self, head: &[u8]) -> bool {
        let skippable = || self == Self::Zstd && head.get(1..4) == Some(&SKIPPABLE_MAGIC[..]) && head[0] >> 4 == 5;
        head.starts_with(self.magic()) || skippable()
    }

    fn no_member(self) -> &'static str {
        match self {
            Self::Gzip => "no gzip member begins here",
            Self::Zstd => "no zstd frame begins here",
            Self::Lz4 => "no lz4 frame begins here",
        }
    }
}

/// True if a file that begins so is compressed.
pub(super) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&GZIP_MAGIC[..2]) || Coding::of(head).is_some()
}

/// Reads a plain, gzip, zstd or lz4 file (of one or many members, which the last two call frames).
pub struct Decoder {
    state: State,
    /// A broken member was reported and none has been read since.
    recovering: bool,
    /// Bytes of failed members that were read again.
    read_again: u64,
    /// What decodes zstd frames, with the dictionary of the file; there between two of them, if there was one.
    frames: Option<raw::Decoder<'static>>,
}

enum State {
    Plain {
        file: Counted,
        started: bool,
    },
    Between(Coding, Counted),
    Member {
        member: Member,
        offset: u64,
        produced: bool,
    },
    /// A member that failed after bytes which were passed on.
    Failed {
        coding: Coding,
        file: Counted,
        offset: u64,
        message: String,
    },
    Done,
}

/// One member. (An lz4 frame cut between two blocks does not fail: its last record is too short.)
enum Member {
    Gzip(Box<GzDecoder<Counted>>),
    Zstd(Box<Frame>),
    Lz4(Box<FrameDecoder<Counted>>),
}

impl Member {
    fn begin(coding: Coding, file: Counted, frames: &mut Option<raw::Decoder<'static>>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Box::new(GzDecoder::new(file))),
            Coding::Zstd => Self::Zstd(Box::new(Frame::begin(file, frames.take())?)),
            Coding::Lz4 => Self::Lz4(Box::new(FrameDecoder::new(file))),
        })
    }

    /// Appends bytes; fewer than [`STEP`] if the member ends or fails.
    fn append(&mut self, out: &mut Vec<u8>) -> (usize, Option<io::Error>) {
        match self {
            Self::Gzip(member) => append(&mut **member, out),
            Self::Zstd(member) => append(&mut **member, out),
            Self::Lz4(member) => append(&mut **member, out),
        }
    }

    fn coding(&self) -> Coding {
        match self {
            Self::Gzip(_) => Coding::Gzip,
            Self::Zstd(_) => Coding::Zstd,
            Self::Lz4(_) => Coding::Lz4,
        }
    }

    fn into_inner(self, frames: &mut Option<raw::Decoder<'static>>) -> Counted {
        match self {
            Self::Gzip(member) => member.into_inner(),
            Self::Zstd(member) => {
                *frames = Some(member.decoder);
                member.file
            }
            Self::Lz4(member) => member.into_inner(),
        }
    }
}

/// A zstd frame.
struct Frame {
    file: Counted,
    decoder: raw::Decoder<'static>,
    ended: bool,
}

impl Frame {
    /// The frame that begins here, decoded by what decoded the one before.
    fn begin(file: Counted, decoder: Option<raw::Decoder<'static>>) -> io::Result<Self> {
        let mut decoder = decoder.map_or_else(raw::Decoder::new, Ok)?;
        decoder.reinit()?;
        Ok(Self { file, decoder, ended: false })
    }
}

impl Read for Frame {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !out.is_empty() {
            let input = self.file.fill_buf()?;
            let at_end = input.is_empty();
            let status = self.decoder.run_on_buffers(input, out)?;
            self.file.consume(status.bytes_read);
            self.ended = status.remaining == 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if at_end && !self.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the zstd frame is cut short"));
            }
        }
        Ok(0)
    }
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
    /// If the file cannot be opened or read, or begins with a dictionary that is broken.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = Counted { inner: BufReader::with_capacity(FILE_BUFFER, File::open(path)?), at: 0 };
        let head = file.fill_buf()?;
        let frames = if head.starts_with(&DICTIONARY_FRAME_MAGIC) { Some(with_dictionary(&mut file)?) } else { None };
        let state = match if frames.is_some() { Some(Coding::Zstd) } else { Coding::of(file.fill_buf()?) } {
            Some(coding) => State::Between(coding, file),
            None => State::Plain { file, started: false },
        };
        Ok(Self { state, recovering: false, read_again: 0, frames })
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
                State::Between(coding, mut file) => {
                    let offset = file.at;
                    if file.fill_buf()?.is_empty() {
                        return Ok(Chunk::End);
                    }
                    if !file.at_member(coding)? {
                        if file.seek_magic(coding, offset)? {
                            self.state = State::Between(coding, file);
                        }
                        if self.report() {
                            return Ok(Chunk::Broken { offset, message: coding.no_member().into() });
                        }
                        continue;
                    }
                    self.state = State::Member { member: Member::begin(coding, file, &mut self.frames)?, offset, produced: false };
                    return Ok(Chunk::Start(offset));
                }
                State::Member { mut member, offset, produced } => {
                    let coding = member.coding();
                    let (n, error) = member.append(out);
                    if let Some(error) = error {
                        let told = n > 0 || produced || self.report();
                        let message = if told { error.to_string() } else { String::new() };
                        self.state = State::Failed { coding, file: member.into_inner(&mut self.frames), offset, message };
                    } else if n < STEP {
                        self.recovering = false;
                        self.state = State::Between(coding, member.into_inner(&mut self.frames));
                    } else {
                        self.state = State::Member { member, offset, produced: true };
                    }
                    if n > 0 {
                        return Ok(Chunk::Data);
                    }
                }
                State::Failed { coding, mut file, offset, message } => {
                    self.recovering = true;
                    // What it took may have been another member's.
                    self.read_again += file.at - offset;
                    let again = self.read_again <= READ_AGAIN + READ_AGAIN_PER_BYTE * offset;
                    let from = if again { offset + 1 } else { file.at.max(offset + 1) };
                    if file.seek_magic(coding, from)? {
                        self.state = State::Between(coding, file);
                    }
                    // Bytes that look like a member occur by chance inside others: only the first failure is told.
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

/// What decodes frames with the dictionary in the frame that begins here.
fn with_dictionary(file: &mut Counted) -> io::Result<raw::Decoder<'static>> {
    let broken = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the zstd dictionary at its beginning {problem}"));
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(|_| broken("is cut short"))?;
    let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    if length > MAX_DICTIONARY_BYTES {
        return Err(broken(&format!("has {length} bytes, and {MAX_DICTIONARY_BYTES} is the most")));
    }
    let mut content = Vec::new();
    file.take(length).read_to_end(&mut content)?;
    if (content.len() as u64) < length {
        return Err(broken("is cut short"));
    }
    if content.starts_with(&ZSTD_MAGIC) {
        let mut dictionary = Vec::new();
        let decoder = zstd::stream::read::Decoder::with_buffer(&content[..])?;
        decoder.take(MAX_DICTIONARY_BYTES + 1).read_to_end(&mut dictionary).map_err(|error| broken(&format!("is broken: {error}")))?;
        if dictionary.len() as u64 > MAX_DICTIONARY_BYTES {
            return Err(broken(&format!("has more than {MAX_DICTIONARY_BYTES} bytes")));
        }
        content = dictionary;
    }
    if !content.starts_with(&DICTIONARY_MAGIC) {
        return Err(broken("is none: its magic number is missing"));
    }
    raw::Decoder::with_dictionary(&content).map_err(|error| broken(&format!("is broken: {error}")))
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
    /// True if a member begins here.
    fn at_member(&mut self, coding: Coding) -> io::Result<bool> {
        let head = self.inner.fill_buf()?;
        if head.len() >= MAX_MAGIC_BYTES || head.is_empty() {
            return Ok(coding.begins_member(head));
        }
        // The magic may straddle two buffers: look again from here.
        let at = self.at;
        self.inner.seek(SeekFrom::Start(at))?;
        Ok(coding.begins_member(self.inner.fill_buf()?))
    }

    /// Moves to a place; what is in the buffer is not read again.
    fn go_to(&mut self, to: u64) -> io::Result<()> {
        self.inner.seek_relative(to.wrapping_sub(self.at) as i64)?;
        self.at = to;
        Ok(())
    }

    /// Moves to the first place at or behind `from` where a member may begin; false if there is none.
    fn seek_magic(&mut self, coding: Coding, from: u64) -> io::Result<bool> {
        self.go_to(from)?;
        let magic = coding.magic();
        let mut matched = 0;
        loop {
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let length = buffer.len();
            for (i, &byte) in buffer.iter().enumerate() {
                // No magic has its first byte again further on.
                matched = if byte == magic[matched] { matched + 1 } else { usize::from(byte == magic[0]) };
                if matched == magic.len() {
                    self.go_to(self.at + i as u64 + 1 - magic.len() as u64)?;
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
    use crate::growth::{in_proportion, timed};
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn nothing_but_beginnings_takes_linear_time() {
        for coding in [Coding::Gzip, Coding::Zstd, Coding::Lz4] {
            let time = |n: usize| {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), coding.magic().repeat(n)).unwrap();
                let mut decoder = Decoder::open(file.path()).unwrap();
                let mut broken = 0;
                let (_, time) = timed(|| {
                    loop {
                        match decoder.read_more(&mut Vec::new()).unwrap() {
                            Chunk::End => break,
                            Chunk::Broken { .. } => broken += 1,
                            _ => {}
                        }
                    }
                });
                assert_eq!(broken, 1);
                time
            };
            in_proportion(time, (10_000, 100_000), (40, 50));
        }
    }

    fn lz4(text: &str) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zst(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
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
        assert_eq!(trace(&[a.clone(), b"junk junk".to_vec()].concat()), format!("@0 one !{} ", a.len()));
        let (a, b) = (zst("one "), zst("two "));
        let skipped = [0x5E, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let joined = [&a[..], &skipped, &b].concat();
        assert_eq!(trace(&joined), format!("@0 one @{} @{} two ", a.len(), a.len() + skipped.len()));
        // Frames of many steps end where they end.
        for length in [STEP - 1, STEP, STEP + 1, 3 * STEP] {
            let text = "x".repeat(length);
            for code in [gzip, zst, lz4] {
                let (a, b) = (code(&text), code("two "));
                assert_eq!(trace(&[a.clone(), b].concat()), format!("@0 {text}@{} two ", a.len()));
            }
        }
    }

    fn dictionary() -> Vec<u8> {
        let samples: Vec<String> =
            (0..500).map(|i| format!("WARC-Type: response\r\nWARC-Target-URI: http://{i}.example/{}\r\n", i * i)).collect();
        zstd::dict::from_samples(&samples, 4096).unwrap()
    }

    fn skippable(first: u8, content: &[u8]) -> Vec<u8> {
        [&[first][..], &SKIPPABLE_MAGIC, &(content.len() as u32).to_le_bytes(), content].concat()
    }

    #[test]
    fn frames_may_need_a_dictionary_before_them() {
        let dictionary = dictionary();
        let code = |text: &str| {
            let text = format!("WARC-Type: response\r\nWARC-Target-URI: {text}");
            zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap().compress(text.as_bytes()).unwrap()
        };
        let (a, b) = (code("one "), code("two "));
        let without = trace(&[&a[..], &b].concat());
        assert!(without.contains('!') && !without.contains("WARC"), "{without}");
        for content in [dictionary.clone(), zstd::encode_all(&dictionary[..], 3).unwrap()] {
            let head = skippable(0x5D, &content);
            let (first, second) = (head.len(), head.len() + a.len());
            let text = trace(&[&head[..], &a, &b].concat()).replace("WARC-Type: response\r\nWARC-Target-URI: ", "");
            assert_eq!(text, format!("@{first} one @{second} two "));
            // Damage costs its frame alone, and one that was compressed without the dictionary is read.
            let plain = zst("plain ");
            let joined = [&head[..], &a[..a.len() - 5], &plain, &b].concat();
            let text = trace(&joined).replace("WARC-Type: response\r\nWARC-Target-URI: ", "");
            assert!(text.contains(&format!("!{first} ")) && text.ends_with(&format!("plain @{} two ", joined.len() - b.len())), "{text}");
        }
    }

    #[test]
    fn a_file_may_begin_with_a_frame_to_skip() {
        let (skipped, a) = (skippable(0x50, b"abc"), zst("one "));
        assert_eq!(trace(&[&skipped[..], &a].concat()), format!("@0 @{} one ", skipped.len()));
    }

    #[test]
    fn a_broken_dictionary_is_an_error() {
        let dictionary = dictionary();
        let squeezed = zstd::encode_all(&dictionary[..], 3).unwrap();
        let mut damaged = dictionary.clone();
        damaged[8..80].fill(0xFF);
        let whole = skippable(0x5D, &dictionary);
        let mut large = whole.clone();
        large[4..8].fill(0xFF);
        let bomb = zstd::encode_all(&vec![0; MAX_DICTIONARY_BYTES as usize + 1][..], 3).unwrap();
        for (bytes, problem) in [
            (whole[..6].to_vec(), "is cut short"),
            (whole[..whole.len() - 1].to_vec(), "is cut short"),
            (large, "is the most"),
            (skippable(0x5D, &damaged), "is broken"),
            (skippable(0x5D, &squeezed[..squeezed.len() / 2]), "is broken"),
            (skippable(0x5D, &bomb), "has more than"),
            (skippable(0x5D, b"no dictionary"), "is none"),
            (skippable(0x5D, b""), "is none"),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let error = Decoder::open(file.path()).unwrap_err().to_string();
            assert!(error.contains("dictionary") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_damaged_member_does_not_hide_the_next() {
        for code in [gzip, zst, lz4] {
            let (a, b, c) = (code("one "), code("a longer text so that damage hits the middle of it 1234567890 "), code("three "));
            let (mut cut, mut changed) = (b.clone(), b.clone());
            cut.truncate(b.len() / 2);
            // Its own header, and the first of its data.
            changed[4..14].fill(0xFF);
            for damaged in [cut, changed] {
                let text = trace(&[a.clone(), damaged.clone(), c.clone()].concat());
                assert!(text.starts_with(&format!("@0 one @{} ", a.len())), "{text}");
                assert_eq!(text.matches('!').count(), 1, "{text}");
                assert!(text.contains(&format!("!{} ", a.len())), "{text}");
                assert!(text.ends_with(&format!("@{} three ", a.len() + damaged.len())), "{text}");
            }
        }
    }

    #[test]
    fn truncated_end_and_junk_between() {
        let (a, b) = (gzip("one "), gzip("two "));
        let text = trace(&a[..a.len() - 3]);
        assert!(text.starts_with("@0 one ") && text.ends_with("!0 "), "{text}");
        let joined = [a.clone(), b"junk junk".to_vec(), b].concat();
        assert_eq!(trace(&joined), format!("@0 one !{} @{} two ", a.len(), a.len() + 9));
        for code in [zst, lz4] {
            let (a, b) = (code("one "), code("two "));
            assert_eq!(trace(&[&a[..], b"junk junk", &b].concat()), format!("@0 one !{} @{} two ", a.len(), a.len() + 9));
        }
    }
}
