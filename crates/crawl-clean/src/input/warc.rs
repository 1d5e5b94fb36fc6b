//! WARC 1.0 and 1.1 (ISO 28500), WET included, written so that a damaged record costs itself and nothing more.

use super::decoder::Decoder;
use super::window::Window;
use super::{Content, Item, RawPage};
use crate::error::Error;
use crate::reason::{Reason, Rejection};
use memchr::memmem;
use std::path::{Path, PathBuf};

/// Longest header block of a record.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Every record begins with this and a version: 1.0 or 1.1, or one of the drafts 0.17 and 0.18 that large crawls were written in.
const MARK: &[u8] = b"WARC/";
/// Length of the mark with a version's first digit and its point.
const MARK_BYTES: usize = MARK.len() + 2;
/// Longest empty line, with the end of the one before it.
const EMPTY_LINE_BYTES: usize = 3;
/// Bytes of a block that are passed over at a time.
const PART_BYTES: usize = 64 << 10;
/// Bytes behind a block in which, behind line breaks, a record has to begin.
const BEHIND_BYTES: usize = 4 << 10;
/// How a stated length is wrong.
const EARLY: &str = "the record ends early";
const LATE: &str = "the record goes on behind its stated length";

/// True if a record begins here.
fn begins_record(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK) && matches!(bytes.get(MARK.len()..MARK_BYTES), Some(b"1." | b"0."))
}

/// First place where a record may begin.
pub(super) fn find_record(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memmem::find(&bytes[from..], MARK)?;
        if begins_record(&bytes[at..]) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Reads the records of a WARC file as [`Item`]s.
#[derive(Debug)]
pub struct WarcReader {
    window: Window,
    path: PathBuf,
    max_page_bytes: usize,
    /// The last thing reported was broken: garbage that follows belongs to it.
    resyncing: bool,
    finished: bool,
}

/// The named fields that matter here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Header {
    kind: String,
    url: String,
    date: Option<String>,
    content_type: String,
    payload_type: String,
    payload_digest: Option<String>,
    truncated: Option<String>,
    length: Option<u64>,
}

impl WarcReader {
    /// Opens a WARC file, compressed or not.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, max_page_bytes: usize) -> Result<Self, Error> {
        let (decoder, compressed) = super::discover::decoder(path)?;
        Ok(Self::new(decoder, compressed, path, max_page_bytes))
    }

    fn new(decoder: Decoder, compressed: bool, path: &Path, max_page_bytes: usize) -> Self {
        let window = Window::new(decoder, compressed);
        Self { window, path: path.to_owned(), max_page_bytes, resyncing: false, finished: false }
    }

    fn step(&mut self) -> std::io::Result<Option<Item>> {
        loop {
            self.skip_breaks()?;
            if !self.window.fill(MARK_BYTES)? && self.window.bytes().is_empty() {
                if let Some(damage) = self.window.take_damage() {
                    self.resyncing = true;
                    let rejection = Rejection::new(Reason::CompressionBroken).with_detail(damage.message);
                    return Ok(Some(bad("", damage.offset, rejection)));
                }
                return Ok(None);
            }
            let offset = self.window.offset();
            if begins_record(self.window.bytes()) {
                return self.record(offset).map(Some);
            }
            let skipped = self.resync()?;
            if !std::mem::replace(&mut self.resyncing, true) {
                let rejection = Rejection::new(Reason::RecordGarbage).with_detail(format!("{skipped} bytes before the next record"));
                return Ok(Some(bad("", offset, rejection)));
            }
        }
    }

    fn skip_breaks(&mut self) -> std::io::Result<()> {
        loop {
            self.window.fill(1)?;
            let breaks = self.window.bytes().iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.window.advance(breaks);
            if breaks == 0 || !self.window.bytes().is_empty() {
                return Ok(());
            }
        }
    }

    /// Moves to the next line that begins a record, or to the end; returns the bytes passed over.
    fn resync(&mut self) -> std::io::Result<u64> {
        let from = self.window.position();
        self.window.advance(1);
        loop {
            self.window.fill(64 << 10)?;
            let bytes = self.window.bytes();
            if let Some(at) = find_record(bytes) {
                self.window.advance(at);
                return Ok(self.window.position() - from);
            }
            // Keep what could be the beginning of the mark.
            let passed = bytes.len().saturating_sub(MARK_BYTES - 1);
            if passed == 0 {
                let rest = bytes.len();
                self.window.advance(rest);
                return Ok(self.window.position() - from);
            }
            self.window.advance(passed);
        }
    }

    fn record(&mut self, offset: u64) -> std::io::Result<Item> {
        self.window.fill(MAX_HEADER_BYTES)?;
        let head = &self.window.bytes()[..self.window.bytes().len().min(MAX_HEADER_BYTES)];
        let Some(end) = header_end(head) else {
            return self.fail("", offset, Rejection::new(Reason::RecordHeader).with_detail("the header does not end"));
        };
        let header = parse_header(&head[..end]);
        let Some(length) = header.length else {
            return self.fail(&header.url, offset, Rejection::new(Reason::RecordHeader).with_detail("no valid Content-Length"));
        };
        self.window.advance(end);
        let page = header.page_content();
        let refused = match page {
            Some(Kind::Http) if is_binary(&header.payload_type) => {
                Some(Rejection::new(Reason::PayloadType).with_detail(header.payload_type.as_str()))
            }
            Some(_) if length > self.max_page_bytes as u64 => {
                Some(Rejection::measured(Reason::TooLarge, length as f64, self.max_page_bytes as f64))
            }
            _ => None,
        };
        if page.is_none() || refused.is_some() {
            return self.pass_over(&header, offset, length, refused);
        }
        // At most max_page_bytes, which is a usize.
        let length = length as usize;
        self.window.fill(length + BEHIND_BYTES)?;
        if let Some((end, detail)) = self.mistake(length) {
            self.window.advance(end);
            return Ok(self.wrong_length(&header, offset, end as u64, detail));
        }
        let body = self.window.bytes()[..length].to_vec();
        self.window.advance(length);
        self.resyncing = false;
        let content = match page {
            Some(Kind::Http) => Content::Http(body),
            Some(Kind::Text) => Content::Text(String::from_utf8_lossy(&body).into_owned()),
            _ => Content::Html(body),
        };
        let Header { url, date, payload_digest, truncated, .. } = header;
        Ok(Item::Page(RawPage { url, offset: offset as i64, date, payload_digest, truncated, content }))
    }

    /// Where the block that begins here ends, and what is wrong, if it is not as long as stated. It is in memory, as far as there is so much,
    /// with what follows.
    fn mistake(&self, length: usize) -> Option<(usize, &'static str)> {
        let bytes = self.window.bytes();
        let have = bytes.len().min(length);
        let member = self.member_within(have);
        if member.is_none() && have == length && ends_well(&bytes[length..]) {
            return None;
        }
        let next = member.or_else(|| swallowed(&bytes[..have]));
        Some(next.map_or((have, if have < length { EARLY } else { LATE }), |at| (at, EARLY)))
    }

    /// Where within the next `length` bytes a compressed member begins with a record.
    fn member_within(&self, length: usize) -> Option<usize> {
        self.window.member_within(length).filter(|&at| begins_record(&self.window.bytes()[at..]))
    }

    /// Skips a block that is no page's, or that is refused by its header, without holding it.
    ///
    /// Where a record seems to begin in it the rest is held in memory, to see whether the block ends as it should and the record is its text.
    /// If it does not, or is longer than a page may be, that record is the next one.
    fn pass_over(&mut self, header: &Header, offset: u64, length: u64, refused: Option<Rejection>) -> std::io::Result<Item> {
        let mut left = length;
        loop {
            let part = left.min(PART_BYTES as u64) as usize;
            self.window.fill(part + BEHIND_BYTES)?;
            let bytes = self.window.bytes();
            let here = bytes.len().min(part);
            let seen = &bytes[..bytes.len().min(here + MARK_BYTES - 1)];
            if let Some(at) = self.member_within(here).or_else(|| swallowed(seen).filter(|&at| at < here)) {
                self.window.advance(at);
                left -= at as u64;
                let may_be_text = left <= self.max_page_bytes as u64 && {
                    self.window.fill(left as usize + BEHIND_BYTES)?;
                    self.mistake(left as usize).is_none()
                };
                if !may_be_text {
                    return Ok(self.wrong_length(header, offset, length - left, EARLY));
                }
                self.window.advance(left as usize);
                break;
            }
            if here as u64 == left {
                let well = ends_well(&bytes[here..]);
                self.window.advance(here);
                if !well {
                    return Ok(self.wrong_length(header, offset, length, LATE));
                }
                break;
            }
            if here < part {
                self.window.advance(here);
                return Ok(self.wrong_length(header, offset, length - left + here as u64, EARLY));
            }
            // What may be the empty line before a record is looked at again.
            self.window.advance(part - EMPTY_LINE_BYTES);
            left -= (part - EMPTY_LINE_BYTES) as u64;
        }
        self.resyncing = false;
        Ok(refused.map_or(Item::Other, |rejection| bad(&header.url, offset, rejection)))
    }

    fn wrong_length(&mut self, header: &Header, offset: u64, have: u64, detail: &str) -> Item {
        self.resyncing = true;
        let stated = header.length.unwrap_or_default();
        bad(&header.url, offset, Rejection::measured(Reason::RecordLength, have as f64, stated as f64).with_detail(detail))
    }

    fn fail(&mut self, url: &str, offset: u64, rejection: Rejection) -> std::io::Result<Item> {
        self.resync()?;
        self.resyncing = true;
        Ok(bad(url, offset, rejection))
    }
}

impl Iterator for WarcReader {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        match self.step() {
            Ok(Some(item)) => Some(Ok(item)),
            Ok(None) => {
                self.finished = true;
                None
            }
            Err(source) => {
                self.finished = true;
                Some(Err(Error::Read { path: self.path.clone(), source }))
            }
        }
    }
}

pub(super) fn bad(url: &str, offset: u64, rejection: Rejection) -> Item {
    Item::Bad { url: url.to_owned(), offset: offset as i64, rejection }
}

/// Where in a block a record begins behind an empty line.
fn swallowed(block: &[u8]) -> Option<usize> {
    let behind_line = |&at: &usize| block[..at].ends_with(b"\n\r\n") || block[..at].ends_with(b"\n\n");
    memmem::find_iter(block, MARK).filter(behind_line).find(|&at| begins_record(&block[at..]))
}

/// True if a record, or the end, may stand behind a block.
fn ends_well(rest: &[u8]) -> bool {
    let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let rest = &rest[breaks..];
    // The end may cut it short.
    begins_record(rest) || MARK.starts_with(rest)
}

/// Length of the header block with the empty line behind it.
fn header_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line = from + bytes[from..].iter().position(|&b| b == b'\n')?;
        match bytes.get(line + 1)? {
            b'\n' => return Some(line + 2),
            b'\r' if bytes.get(line + 2) == Some(&b'\n') => return Some(line + 3),
            _ => from = line + 1,
        }
    }
}

fn parse_header(bytes: &[u8]) -> Header {
    let text = String::from_utf8_lossy(bytes);
    let mut header = Header::default();
    for line in text.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "warc-type" => header.kind = value.to_ascii_lowercase(),
            "warc-target-uri" => header.url = value.trim_start_matches('<').trim_end_matches('>').to_owned(),
            "warc-date" => header.date = Some(value.to_owned()),
            "content-type" => header.content_type = value.to_ascii_lowercase(),
            "warc-identified-payload-type" => header.payload_type = value.to_ascii_lowercase(),
            "warc-payload-digest" => header.payload_digest = Some(value.to_owned()),
            "warc-truncated" => header.truncated = (!value.is_empty()).then(|| value.to_owned()),
            "content-length" => header.length = value.parse().ok(),
            _ => {}
        }
    }
    header
}

/// How a record's block is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Html,
    Text,
}

impl Header {
    /// How to read the record if it is a page; decided before its block is touched.
    ///
    /// What wget writes about itself (its arguments, its log) are resources with addresses of their own scheme.
    fn page_content(&self) -> Option<Kind> {
        match self.kind.as_str() {
            _ if self.url.starts_with("metadata:") => None,
            "response" if self.content_type.starts_with("application/http") || self.content_type.is_empty() => Some(Kind::Http),
            "resource" | "response" if is_html(&self.content_type) => Some(Kind::Html),
            "resource" | "conversion" if self.content_type.starts_with("text/plain") => Some(Kind::Text),
            _ => None,
        }
    }
}

/// True for a payload that the crawler found to be no text, whatever its server said. `application/octet-stream` is what it says of all
/// that it does not know, and so says nothing.
fn is_binary(payload_type: &str) -> bool {
    const KINDS: [&str; 4] = ["image/", "audio/", "video/", "font/"];
    const APPLICATIONS: [&str; 12] = [
        "pdf",
        "zip",
        "gzip",
        "x-gzip",
        "x-bzip2",
        "x-7z-compressed",
        "x-rar-compressed",
        "x-tar",
        "java-archive",
        "msword",
        "x-shockwave-flash",
        "epub+zip",
    ];
    let kind = payload_type.split(';').next().unwrap_or_default().trim();
    let application = kind.strip_prefix("application/");
    KINDS.iter().any(|prefix| kind.starts_with(prefix) && kind != "image/svg+xml")
        || application
            .is_some_and(|name| APPLICATIONS.contains(&name) || name.starts_with("vnd.openxmlformats") || name.starts_with("vnd.ms-"))
}

fn is_html(content_type: &str) -> bool {
    content_type.starts_with("text/html") || content_type.starts_with("application/xhtml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::{in_proportion, timed};
    use std::io::Write;

    fn record(kind: &str, url: &str, block: &str) -> String {
        sized(kind, url, block, block.len())
    }

    fn sized(kind: &str, url: &str, block: &str, length: usize) -> String {
        let content_type = if kind == "conversion" { "text/plain" } else { "application/http; msgtype=response" };
        format!(
            "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: <{url}>\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{block}\r\n\r\n"
        )
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// One word per item: `page:URL`, `other`, or the reason with its offset.
    fn read(bytes: &[u8]) -> Vec<String> {
        read_with(bytes, 1000)
    }

    fn read_with(bytes: &[u8], max_page_bytes: usize) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let reader = WarcReader::open(file.path(), max_page_bytes).unwrap();
        reader
            .map(|item| match item.unwrap() {
                Item::Page(page) => format!("page:{}", page.url),
                Item::Other => "other".into(),
                Item::Bad { offset, rejection, .. } => format!("{}@{offset}", rejection.reason),
                Item::Reached(_) => panic!("no reader extracts"),
            })
            .collect()
    }

    #[test]
    fn records_in_order_plain_and_compressed() {
        let parts = [
            record("warcinfo", "", "x"),
            record("request", "a", "GET"),
            record("response", "a", "HTTP/1.1 200 OK\r\n\r\nhi"),
            record("conversion", "b", "text"),
        ];
        let want = ["other", "other", "page:a", "page:b"];
        assert_eq!(read(parts.concat().as_bytes()), want);
        assert_eq!(read(&gzip(&parts.concat())), want);
        assert_eq!(read(&parts.iter().flat_map(|p| gzip(p)).collect::<Vec<_>>()), want);
    }

    #[test]
    fn what_wget_writes_about_itself_is_no_page() {
        let resource = |url: &str| record("resource", url, "text").replace("application/http; msgtype=response", "text/plain");
        let log = resource("metadata://gnu.org/software/wget/warc/wget.log");
        assert_eq!(read((log + &resource("http://a.example/notes.txt")).as_bytes()), ["other", "page:http://a.example/notes.txt"]);
    }

    #[test]
    fn wrong_lengths_cost_one_record() {
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        let short = sized("response", "short", "HTTP/1.1 200 OK\r\n\r\nlonger than stated", 20);
        assert_eq!(read((short.clone() + &good).as_bytes()), ["record_length@0", "page:good"]);
        let long = sized("response", "long", "HTTP/1.1 200 OK\r\n\r\nhi", 100);
        assert_eq!(read((long.clone() + &good + &good).as_bytes()), ["record_length@0", "page:good", "page:good"]);
        let longer = sized("response", "long", "HTTP/1.1 200 OK\r\n\r\nhi", 900);
        assert_eq!(read((longer + &good + &good).as_bytes()), ["record_length@0", "page:good", "page:good"]);
        let zipped = [gzip(&long), gzip(&good)];
        assert_eq!(read(&zipped.concat()), ["record_length@0", "page:good"]);
        assert_eq!(read(&good.as_bytes()[..good.len() - 6]), ["record_length@0"]);
    }

    #[test]
    fn wrong_lengths_of_what_is_passed_over_cost_one_record() {
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        for (kind, block) in
            [("request", "GET / HTTP/1.1\r\n\r\n".to_owned()), ("response", "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(5000))]
        {
            // Too short, too long by part of the next record, by more than a page may have, and by more than there is.
            for length in [block.len() - 5, block.len() + 9, block.len() + good.len() + 20, block.len() + 2000, 1 << 17, 1 << 40] {
                let bytes = sized(kind, "long", &block, length) + &good + &"\n".repeat(9) + &good;
                let want = ["record_length@0", "page:good", "page:good"];
                assert_eq!(read(bytes.as_bytes()), want, "{kind} {length}");
                assert_eq!(read(&gzip(&bytes)), want, "{kind} {length}, compressed");
            }
        }
        let last = sized("metadata", "last", "x", 100);
        assert_eq!(read((good.clone() + &last).as_bytes()), ["page:good", &format!("record_length@{}", good.len())]);
        // What is cut short at the end of the file costs the record before nothing.
        assert_eq!(read((record("metadata", "m", "x") + "WARC").as_bytes())[0], "other");
    }

    #[test]
    fn records_within_a_block_of_right_length_are_its_text() {
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        let block = format!("How WARC looks, which is not WARC/1.0 alone:\r\n\r\n{good}");
        assert_eq!(read((record("metadata", "m", &block) + &good).as_bytes()), ["other", "page:good"]);
        let long = "x".repeat(3000) + &block;
        assert_eq!(read((record("response", "large", &long) + &good).as_bytes()), ["too_large@0", "page:good"]);
        assert_eq!(read_with((record("response", "large", &long) + &good).as_bytes(), 4000), ["page:large", "page:good"]);
    }

    #[test]
    fn a_large_block_is_searched_across_its_parts() {
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        // The mark of the next record, and the empty line before it, lie before, across and behind the end of a part.
        for length in PART_BYTES - 20..PART_BYTES + 5 {
            let bytes = sized("metadata", "m", &"x".repeat(length), 1 << 20) + &good;
            assert_eq!(read(bytes.as_bytes()), ["record_length@0", "page:good"], "{length}");
        }
        // So large that what lies behind is no longer in memory.
        let bytes = sized("response", "long", "HTTP/1.1 200 OK\r\n\r\nhi", 3 << 20)
            + &good.repeat(9)
            + &record("metadata", "m", &"x".repeat(4 << 20))
            + &good;
        let got = read_with(bytes.as_bytes(), 5 << 20);
        assert_eq!((got.len(), &*got[0], &*got[9], &*got[10], &*got[11]), (12, "record_length@0", "page:good", "other", "page:good"));
    }

    #[test]
    fn nothing_but_wrong_lengths_takes_linear_time() {
        for (kind, length) in [("request", 1 << 40), ("request", 30 << 20), ("response", 1 << 40), ("response", 30 << 20)] {
            let time = |n: usize| {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), sized(kind, "long", "HTTP/1.1 200 OK\r\n\r\nhi", length).repeat(n)).unwrap();
                let reader = WarcReader::open(file.path(), 64 << 20).unwrap();
                let (items, time) = timed(|| reader.map(|item| assert!(matches!(item.unwrap(), Item::Bad { .. }))).count());
                assert_eq!(items, n);
                time
            };
            in_proportion(time, (5_000, 50_000), (30, 50));
        }
    }

    #[test]
    fn garbage_and_bad_headers_cost_themselves() {
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        assert_eq!(read(format!("garbage here\n{good}").as_bytes()), ["record_garbage@0", "page:good"]);
        let bad = "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: many\r\n\r\nbody\r\n\r\n";
        assert_eq!(read(format!("{bad}{good}").as_bytes()), ["record_header@0", "page:good"]);
        assert_eq!(read(b"WARC/1.0\r\nno end"), ["record_header@0"]);
    }

    #[test]
    fn damaged_member_costs_itself() {
        let parts: Vec<Vec<u8>> = ["a", "b", "c"]
            .iter()
            .map(|url| gzip(&record("response", url, &format!("HTTP/1.1 200 OK\r\n\r\n{}", "some text ".repeat(9)))))
            .collect();
        let (a, mut b) = (parts[0].clone(), parts[1].clone());
        b.truncate(60);
        let got = read(&[a.clone(), b, parts[2].clone()].concat());
        assert_eq!((got.first().map(String::as_str), got.last().map(String::as_str)), (Some("page:a"), Some("page:c")), "{got:?}");
        assert!(got.len() >= 3 && got[1].ends_with(&format!("@{}", a.len())), "{got:?}");
    }

    #[test]
    fn payloads_known_to_be_binary_are_refused_by_their_header() {
        let with =
            |fields: &str| record("response", "a", "HTTP/1.1 200 OK\r\n\r\nhi").replacen("WARC-Type", &format!("{fields}\r\nWARC-Type"), 1);
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        for kind in ["application/pdf", "image/png", "Video/MP4; x=y", "application/vnd.ms-excel"] {
            let pages = with(&format!("WARC-Identified-Payload-Type: {kind}")) + &good;
            assert_eq!(read(pages.as_bytes()), ["payload_type@0", "page:good"], "{kind}");
        }
        for kind in ["text/html", "application/xhtml+xml", "application/octet-stream", "image/svg+xml", ""] {
            assert_eq!(read(with(&format!("WARC-Identified-Payload-Type: {kind}")).as_bytes()), ["page:a"], "{kind}");
        }
        let truncated = |fields: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), with(fields)).unwrap();
            match WarcReader::open(file.path(), 1000).unwrap().next().unwrap().unwrap() {
                Item::Page(page) => page.truncated,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(truncated("WARC-Truncated: length").as_deref(), Some("length"));
        assert_eq!(truncated("X: y"), None);
    }

    #[test]
    fn large_records_are_passed_over() {
        let large = record("response", "large", &"x".repeat(5000));
        let good = record("response", "good", "HTTP/1.1 200 OK\r\n\r\nhi");
        assert_eq!(read((large + &good).as_bytes()), ["too_large@0", "page:good"]);
        assert_eq!(read(b""), [""; 0]);
    }
}
