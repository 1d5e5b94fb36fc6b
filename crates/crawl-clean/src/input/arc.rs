//! Internet Archive ARC, versions 1 and 2: a line of fields, a body of stated length, a line break; written so that a record of a wrong
//! length costs itself and nothing more.

use super::warc::bad;
use super::window::{Window, find};
use super::{Content, Item, RawPage};
use crate::error::Error;
use crate::reason::{Reason, Rejection};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Longest line of fields.
const MAX_LINE_BYTES: usize = 16 << 10;
/// Longest scheme of an address, with its colon.
const MAX_SCHEME_BYTES: usize = 16;

/// Reads the records of an ARC file as [`Item`]s.
#[derive(Debug)]
pub struct ArcReader {
    window: Window,
    path: PathBuf,
    max_page_bytes: usize,
    /// The last thing reported was broken: garbage that follows belongs to it.
    resyncing: bool,
    finished: bool,
}

impl ArcReader {
    /// Opens an ARC file, compressed or not.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, max_page_bytes: usize) -> Result<Self, Error> {
        let (decoder, compressed) = super::discover::decoder(path)?;
        Ok(Self { window: Window::new(decoder, compressed), path: path.to_owned(), max_page_bytes, resyncing: false, finished: false })
    }

    fn step(&mut self) -> std::io::Result<Option<Item>> {
        loop {
            self.skip_breaks()?;
            self.window.fill(MAX_LINE_BYTES)?;
            let offset = self.window.offset();
            if self.window.bytes().is_empty() {
                let Some(damage) = self.window.take_damage() else { return Ok(None) };
                self.resyncing = true;
                return Ok(Some(bad("", damage.offset, Rejection::new(Reason::CompressionBroken).with_detail(damage.message))));
            }
            if let Some((line, fields)) = fields_at(self.window.bytes()) {
                self.window.advance(line);
                return self.body(offset, fields).map(Some);
            }
            let passed = self.garbage()?;
            if !std::mem::replace(&mut self.resyncing, true) {
                let rejection = Rejection::new(Reason::RecordGarbage).with_detail(format!("{passed} bytes before the next record"));
                return Ok(Some(bad("", offset, rejection)));
            }
        }
    }

    fn skip_breaks(&mut self) -> std::io::Result<()> {
        loop {
            self.window.fill(1)?;
            let breaks = line_breaks(self.window.bytes());
            if breaks == 0 {
                return Ok(());
            }
            self.window.advance(breaks);
        }
    }

    /// Moves to the next line that parses, or to the end; returns the bytes passed over.
    fn garbage(&mut self) -> std::io::Result<u64> {
        let from = self.window.position();
        loop {
            self.window.fill(MAX_LINE_BYTES)?;
            let bytes = self.window.bytes();
            let length = find(bytes, b"\n").map_or(bytes.len(), |at| at + 1);
            self.window.advance(length);
            self.window.fill(MAX_LINE_BYTES)?;
            let bytes = self.window.bytes();
            if bytes.is_empty() || fields_at(bytes).is_some() {
                return Ok(self.window.position() - from);
            }
        }
    }

    fn body(&mut self, offset: u64, fields: Fields) -> std::io::Result<Item> {
        let page = fields.url.starts_with("http");
        if !page || fields.length > self.max_page_bytes as u64 {
            return self.pass_over(offset, &fields, page);
        }
        // At most max_page_bytes, which is a usize.
        let length = fields.length as usize;
        self.window.fill(length + MAX_LINE_BYTES)?;
        let bytes = self.window.bytes();
        let have = bytes.len().min(length);
        let member = self.window.member_within(have).filter(|&at| fields_at(&bytes[at..]).is_some());
        let mistake = if have < length || member.is_some() {
            Some((member.or_else(|| swallowed(bytes, have)).unwrap_or(have), "the record ends early"))
        } else if ends_well(&bytes[length..]) {
            None
        } else {
            // What follows a body has to be a record or the end; if not, the stated length was wrong.
            Some(
                swallowed(bytes, length)
                    .map_or((length, "the record goes on behind its stated length"), |at| (at, "the record ends early")),
            )
        };
        self.resyncing = mistake.is_some();
        if let Some((end, detail)) = mistake {
            self.window.advance(end);
            let rejection = Rejection::measured(Reason::RecordLength, end as f64, length as f64).with_detail(detail);
            return Ok(bad(&fields.url, offset, rejection));
        }
        let body = bytes[..length].to_vec();
        self.window.advance(length);
        let content = if body.starts_with(b"HTTP/") { Content::Http(body) } else { Content::Html(body) };
        let Fields { url, date, .. } = fields;
        Ok(Item::Page(RawPage { url, offset: offset as i64, date: Some(date), payload_digest: None, truncated: None, content }))
    }

    /// Skips a body that is no page's, or too large, without holding it. A record that begins in it ends it, for then its length is wrong.
    fn pass_over(&mut self, offset: u64, fields: &Fields, page: bool) -> std::io::Result<Item> {
        let mut left = fields.length;
        while left > 0 {
            let want = left.min(1 << 16) as usize;
            self.window.fill(want + MAX_LINE_BYTES)?;
            let bytes = self.window.bytes();
            let here = bytes.len().min(want);
            let member = self.window.member_within(here).filter(|&at| fields_at(&bytes[at..]).is_some());
            let cut = member.or_else(|| swallowed(bytes, here));
            self.window.advance(cut.unwrap_or(here));
            if here < want || cut.is_some() {
                self.resyncing = true;
                let passed = fields.length - left + cut.unwrap_or(here) as u64;
                let rejection = Rejection::measured(Reason::RecordLength, passed as f64, fields.length as f64);
                return Ok(bad(&fields.url, offset, rejection.with_detail("the record ends early")));
            }
            left -= here as u64;
        }
        self.resyncing = false;
        if page {
            let rejection = Rejection::measured(Reason::TooLarge, fields.length as f64, self.max_page_bytes as f64);
            return Ok(bad(&fields.url, offset, rejection));
        }
        Ok(Item::Other)
    }
}

/// Number of line breaks at the beginning.
fn line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// The fields of the line that begins here, and its length with the break.
fn fields_at(bytes: &[u8]) -> Option<(usize, Fields)> {
    let end = find(&bytes[..bytes.len().min(MAX_LINE_BYTES)], b"\n")?;
    Fields::parse(&String::from_utf8_lossy(&bytes[..end])).map(|fields| (end + 1, fields))
}

/// True if a record or the end may stand behind a body: a last line that is cut short may have been one.
fn ends_well(rest: &[u8]) -> bool {
    let rest = &rest[line_breaks(rest)..];
    rest.is_empty() || fields_at(rest).is_some() || (rest.len() < MAX_LINE_BYTES && find(rest, b"\n").is_none())
}

/// Where within the first `length` bytes a line begins that is surely a record's.
fn swallowed(bytes: &[u8], length: usize) -> Option<usize> {
    let mut from = 0;
    while from < length {
        // Few lines begin with a scheme, and so few are parsed.
        let head = &bytes[from..bytes.len().min(from + MAX_SCHEME_BYTES)];
        let scheme = find(head, b":").is_some_and(|end| end > 0 && head[..end].iter().all(u8::is_ascii_alphanumeric));
        if scheme && fields_at(&bytes[from..]).is_some_and(|(_, fields)| fields.sure) {
            return Some(from);
        }
        from += find(&bytes[from..], b"\n")? + 1;
    }
    None
}

/// The fields of a record's line that matter here.
struct Fields {
    url: String,
    date: String,
    length: u64,
    /// An address stands before the date: such a line does not occur in text.
    sure: bool,
}

impl Fields {
    /// `URL address date type … length`: five fields in version 1, ten in version 2. There may be spaces in the URL.
    fn parse(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let scheme = parts.first()?.split_once(':')?.0;
        if parts.len() < 5 || scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let is_date = |at: &usize| parts[*at].len() == 14 && parts[*at].bytes().all(|b| b.is_ascii_digit());
        let mut dates = (1..parts.len()).filter(is_date);
        let first = dates.clone().next()?;
        let behind_address = dates.find(|&at| at >= 2 && parts[at - 1].parse::<IpAddr>().is_ok());
        let (at, sure) = (behind_address.unwrap_or(first), behind_address.is_some());
        // Without an address before the date, what stands before it is one anyway.
        let url = parts[..at.saturating_sub(1).max(1)].join(" ");
        Some(Self { url, date: iso(parts[at]), length: parts.last()?.parse().ok()?, sure })
    }
}

/// A date of 14 digits as ISO 8601 has it; ARC means UTC.
fn iso(digits: &str) -> String {
    let part = |from: usize| &digits[from..from + 2];
    format!("{}-{}-{}T{}:{}:{}Z", &digits[..4], part(4), part(6), part(8), part(10), part(12))
}

impl Iterator for ArcReader {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let step = self.step();
        self.finished = !matches!(step, Ok(Some(_)));
        step.map_err(|source| Error::Read { path: self.path.clone(), source }).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One word per item: URL and length of a page, `other`, or the reason with its offset.
    fn read(bytes: &[u8]) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let reader = ArcReader::open(file.path(), 1000).unwrap();
        reader
            .map(|item| match item.unwrap() {
                Item::Page(page) => format!("{} {}", page.url, page.content.len()),
                Item::Other => "other".into(),
                Item::Bad { offset, rejection, .. } => format!("{}@{offset}", rejection.reason),
                Item::Reached(_) => panic!("no reader extracts"),
            })
            .collect()
    }

    const HEAD: &str = "filedesc://a.arc 0.0.0.0 20080430204825 text/plain 10\n1 0 abcdef\n\n";
    const PAGE: &str = "http://a.example/ 1.2.3.4 20080430204826 text/html 21\nHTTP/1.0 200 OK\n\nhi!!\n";

    /// A record of `url` whose stated length is `length`.
    fn sized(url: &str, body: &str, length: usize) -> String {
        format!("{url} 1.2.3.4 20080430204826 text/html {length}\n{body}\n")
    }

    #[test]
    fn version_one_records() {
        assert_eq!(read(format!("{HEAD}{PAGE}{PAGE}").as_bytes()), ["other", "http://a.example/ 21", "http://a.example/ 21"]);
        let junk = format!("record_garbage@{}", HEAD.len());
        assert_eq!(read(format!("{HEAD}junk\nmore junk\n{PAGE}").as_bytes()), ["other", &junk, "http://a.example/ 21"]);
        assert_eq!(read(&PAGE.as_bytes()[..60]), ["record_length@0"]);
        assert_eq!(read(b"no such thing"), ["record_garbage@0"]);
    }

    #[test]
    fn addresses_hold_spaces_and_dates_are_iso() {
        let page = |line: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), format!("{line} 2\nhi\n")).unwrap();
            match ArcReader::open(file.path(), 1000).unwrap().next().unwrap().unwrap() {
                Item::Page(page) => (page.url, page.date.unwrap()),
                other => panic!("{other:?}"),
            }
        };
        let date = "2024-01-02T03:04:05Z".to_owned();
        for url in ["http://x.example/a", "http://x.example/arc 2", "http://x.example/a  b", "http://x.example/to 20230101000000 x"] {
            assert_eq!(page(&format!("{url} 1.2.3.4 20240102030405 text/html")), (url.to_owned(), date.clone()));
            assert_eq!(page(&format!("{url} ::1 20240102030405 text/html 200 - - 0 x.arc")), (url.to_owned(), date.clone()));
        }
    }

    #[test]
    fn wrong_lengths_cost_one_record() {
        let good = "http://a.example/ 21";
        let body = "HTTP/1.0 200 OK\n\n".to_owned() + &"The river is long.\n".repeat(9);
        // Too short, too long by part of the next record, by more than all that follows, and beyond what is held in memory.
        for length in [0, 20, body.len() - 5, body.len() + 9, body.len() + 30, body.len() + PAGE.len() + 9, 900, 5000, 1 << 40] {
            let bytes = sized("http://b.example/", &body, length) + PAGE + PAGE;
            assert_eq!(read(bytes.as_bytes()), ["record_length@0", good, good], "{length}");
        }
        let at = format!("record_length@{}", PAGE.len());
        assert_eq!(read((PAGE.to_owned() + &sized("dns:b.example", "1.2.3.4", 5000) + PAGE).as_bytes()), [good, &at, good]);
        // A record cut short at the end of the file costs the one before nothing.
        let at = format!("record_garbage@{}", PAGE.len());
        assert_eq!(read((PAGE.to_owned() + &PAGE[..30]).as_bytes()), [good, &at]);
    }

    #[test]
    fn records_within_a_body_of_right_length_are_its_text() {
        let body = format!("HTTP/1.0 200 OK\n\nHow ARC looks:\n{PAGE}");
        let bytes = sized("http://b.example/", &body, body.len()) + PAGE;
        assert_eq!(read(bytes.as_bytes()), [&format!("http://b.example/ {}", body.len()), "http://a.example/ 21"]);
    }

    #[test]
    fn a_large_body_is_searched_across_its_parts() {
        // The line of the next record lies before, across and behind the end of the part that is looked at.
        for length in (1 << 16) - 70..(1 << 16) + 20 {
            let bytes = sized("http://b.example/", &"x".repeat(length), 1 << 20) + PAGE;
            assert_eq!(read(bytes.as_bytes()), ["record_length@0", "http://a.example/ 21"], "{length}");
        }
        let bytes = sized("http://b.example/", &"x".repeat(1 << 17), 1 << 17) + PAGE;
        assert_eq!(read(bytes.as_bytes()), ["too_large@0", "http://a.example/ 21"]);
    }

    #[test]
    fn a_compressed_member_ends_the_record_before_it() {
        use std::io::Write;
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let long = gzip(&sized("http://b.example/", "HTTP/1.0 200 OK\n\nhi", 60));
        let bytes = [gzip(PAGE), long.clone(), gzip(PAGE)].concat();
        let at = format!("record_length@{}", gzip(PAGE).len());
        assert_eq!(read(&bytes), ["http://a.example/ 21", &at, "http://a.example/ 21"]);
        let broken = [gzip(PAGE), long[..long.len() / 2].to_vec(), gzip(PAGE)].concat();
        let got = read(&broken);
        assert_eq!((&*got[0], &*got[got.len() - 1]), ("http://a.example/ 21", "http://a.example/ 21"), "{got:?}");
        assert!(got[1].ends_with(&at["record_length".len()..]), "{got:?}");
    }
}
