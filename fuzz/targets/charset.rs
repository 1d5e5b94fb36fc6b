//! Charsets: a line with the label that HTTP states, then any bytes.
#![no_main]

use crawl_clean::charset::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let line = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let label = std::str::from_utf8(&data[..line]).ok().filter(|label| !label.is_empty());
    let _ = decode(data.get(line + 1..).unwrap_or_default(), label);
});
