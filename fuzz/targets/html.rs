//! HTML to text: any page, as Markdown and plain, twice the same.
#![no_main]

use crawl_clean::dom::Limits;
use crawl_clean::extract::{Markup, extract};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { nodes: 20_000, depth: 512 };

fuzz_target!(|data: &[u8]| {
    let html = String::from_utf8_lossy(data);
    let page = extract(&html, LIMITS, Markup::Markdown);
    assert_eq!(page, extract(&html, LIMITS, Markup::Markdown));
    let _ = extract(&html, LIMITS, Markup::Plain);
});
