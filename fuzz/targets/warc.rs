//! Archives: every reader ends, and says what it met; what is a page is read as HTTP too.
#![no_main]

use crawl_clean::input::{Content, Item, arc::ArcReader, http::Response, warc::WarcReader};
use libfuzzer_sys::fuzz_target;

const MAX_PAGE: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let path = std::env::temp_dir().join(format!("jielong-fuzz-{}", std::process::id()));
    std::fs::write(&path, data).expect("the temporary folder takes a file");
    if let Ok(reader) = WarcReader::open(&path, MAX_PAGE) {
        read(reader);
    }
    if let Ok(reader) = ArcReader::open(&path, MAX_PAGE) {
        read(reader);
    }
});

fn read<E>(reader: impl Iterator<Item = Result<Item, E>>) {
    for item in reader {
        let Ok(item) = item else { return };
        let Item::Page(page) = item else { continue };
        assert!(page.content.len() <= 2 * MAX_PAGE, "{} bytes", page.content.len());
        if let Content::Http(block) = &page.content
            && let Ok(response) = Response::parse(block)
        {
            let _ = response.decoded(MAX_PAGE);
        }
    }
}
