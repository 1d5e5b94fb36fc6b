//! HTTP responses: no body comes out longer than allowed, whatever its coding.
#![no_main]

use crawl_clean::input::http::Response;
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let Ok(response) = Response::parse(data) else { return };
    let _ = (response.check(), response.media_type(), response.charset());
    if let Ok(body) = response.decoded(MAX) {
        assert!(body.len() <= MAX.max(data.len()), "{} bytes", body.len());
    }
});
