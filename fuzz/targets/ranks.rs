//! Rank files: refused, or a tokenizer whose ids are those of the library. Before a zero byte, lines that follow those of the 256 bytes; after
//! it, a text. A file that begins with `!` stands by itself.
#![no_main]

#[path = "../../crates/tokenize/tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use text::Tokenizer;
use tokenize::fast::Encoder;
use tokenize::ranks::parse_file;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static BYTES: LazyLock<String> = LazyLock::new(|| {
    (0..=255_u8).fold(String::new(), |mut lines, byte| {
        let (high, low) = (ALPHABET[usize::from(byte >> 2)], ALPHABET[usize::from(byte << 4 & 63)]);
        writeln!(lines, "{}{}== {byte}", char::from(high), char::from(low)).expect("memory");
        lines
    })
});

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (lines, text) = (String::from_utf8_lossy(&data[..end]), String::from_utf8_lossy(data.get(end + 1..).unwrap_or_default()));
    let content = match lines.strip_prefix('!') {
        Some(whole) => whole.to_string(),
        None => BYTES.clone() + &lines,
    };
    let Ok(files) = parse_file(&content, Path::new("fuzzed"), support::byte_level(true), 4, "") else { return };
    let tokenizer = Tokenizer::from_files(files).expect("what was not refused loads");
    let encoder = Encoder::new(&tokenizer).expect("made");
    assert_eq!(encoder.encode(&text).expect("encodes"), tokenizer.encode(&text).expect("encodes"));
});
