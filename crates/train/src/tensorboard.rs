//! Scalars for TensorBoard: a writer of event files, small enough to own.
//!
//! A file is a sequence of TFRecords: length (u64), masked CRC-32C of the length, bytes, masked CRC-32C of the bytes.
//! The bytes are an `Event` message of TensorFlow's `event.proto`, of which four fields are needed:
//! `wall_time` (1, double), `step` (2, int64), `file_version` (3, string), `summary` (5), and `session_log` (7),
//! whose START status tells TensorBoard to forget later steps of an interrupted run.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use stage::Records;

use crate::Result;

/// An open event file; every event is flushed to the operating system as it is written. One that cannot be written is lost, as
/// [`Records`] has it, and training goes on.
#[derive(Debug)]
pub struct EventWriter {
    file: Records,
    /// What a file begins with, until it is written.
    beginning: Vec<u8>,
}

impl EventWriter {
    /// Starts a new event file in `dir` for a run that goes on at `step`.
    ///
    /// # Errors
    /// When the directory or the file cannot be created.
    pub fn create(dir: &Path, step: u64) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("events.out.tfevents.{:010}.{:09}.{}.jielong", since.as_secs(), since.subsec_nanos(), std::process::id());
        let mut version = head(0);
        bytes_field(&mut version, 3, b"brain.Event:2");
        let mut start = head(step);
        bytes_field(&mut start, 7, &[0x08, 0x01]);
        let mut writer = Self { file: Records::open(&dir.join(name))?, beginning: [framed(&version), framed(&start)].concat() };
        writer.append(&[]);
        Ok(writer)
    }

    /// Writes scalars of one step.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) {
        self.append(&framed(&scalar_event(step, values)));
    }

    fn append(&mut self, record: &[u8]) {
        if self.file.append(&[self.beginning.as_slice(), record].concat()) {
            self.beginning.clear();
        }
    }
}

fn head(step: u64) -> Vec<u8> {
    let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut event = vec![0x09];
    event.extend(wall_time.to_le_bytes());
    event.push(0x10);
    varint(&mut event, step);
    event
}

fn scalar_event(step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut entry = Vec::new();
        bytes_field(&mut entry, 1, tag.as_bytes());
        entry.push(0x15); // field 2, 32 bits: simple_value
        entry.extend((*value as f32).to_le_bytes());
        bytes_field(&mut summary, 1, &entry);
    }
    let mut event = head(step);
    bytes_field(&mut event, 5, &summary);
    event
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push((field << 3) | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend(length);
    out.extend(masked(crc32c(&length)).to_le_bytes());
    out.extend(data);
    out.extend(masked(crc32c(data)).to_le_bytes());
    out
}

/// The mask that TFRecord puts on a checksum, so that a checksum of data that holds checksums stays strong.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78, bit by bit: events are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_matches_published_values() {
        // RFC 3720 appendix B.4 and the usual check string.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn files_parse_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path(), 300).unwrap();
        writer.scalars(301, &[("train/loss", 1.5), ("验证/损失", 2.0)]);
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(path).unwrap();
        let mut records = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(crc32c(&rest[..8])).to_le_bytes());
            let data = &rest[12..12 + n];
            assert_eq!(rest[12 + n..16 + n], masked(crc32c(data)).to_le_bytes());
            records.push(data.to_vec());
            rest = &rest[16 + n..];
        }
        assert_eq!(records.len(), 3);
        assert!(records[0].ends_with(b"brain.Event:2"));
        assert!(records[1].ends_with(&[0x10, 0xac, 0x02, 0x3a, 2, 0x08, 1]), "step 300, then START");
        let tag = "验证/损失".as_bytes();
        assert!(records[2].windows(tag.len()).any(|w| w == tag));
        assert!(records[2].ends_with(&2.0_f32.to_le_bytes()));
    }
}
