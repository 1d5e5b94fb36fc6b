//! Internet Archive ARC, versions 1 and 2: a line of fields, a body of stated length, a line break.

use super::warc::bad;
use super::window::{Window, find};
use super::{Content, Item, RawPage};
use crate::error::Error;
use crate::reason::{Reason, Rejection};
use std::path::{Path, PathBuf};

/// Longest line of fields.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Reads the records of an ARC file as [`Item`]s.
#[derive(Debug)]
pub struct ArcReader {
    window: Window,
    path: PathBuf,
    max_page_bytes: usize,
    finished: bool,
}

impl ArcReader {
    /// Opens an ARC file, compressed or not.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, max_page_bytes: usize) -> Result<Self, Error> {
        let (decoder, compressed) = super::discover::decoder(path)?;
        Ok(Self { window: Window::new(decoder, compressed), path: path.to_owned(), max_page_bytes, finished: false })
    }

    fn step(&mut self) -> std::io::Result<Option<Item>> {
        loop {
            self.window.fill(1)?;
            let breaks = self.window.bytes().iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            if breaks == 0 {
                break;
            }
            self.window.advance(breaks);
        }
        self.window.fill(MAX_LINE_BYTES)?;
        let offset = self.window.offset();
        if self.window.bytes().is_empty() {
            return Ok(self
                .window
                .take_damage()
                .map(|damage| bad("", damage.offset, Rejection::new(Reason::CompressionBroken).with_detail(damage.message))));
        }
        let head = &self.window.bytes()[..self.window.bytes().len().min(MAX_LINE_BYTES)];
        let line = find(head, b"\n").map(|end| String::from_utf8_lossy(&head[..end]).into_owned());
        let Some((line, fields)) = line.and_then(|line| Fields::parse(&line).map(|fields| (line.len() + 1, fields))) else {
            return self.garbage(offset).map(Some);
        };
        self.window.advance(line);
        self.body(offset, fields).map(Some)
    }

    /// Moves to the next line that parses; what was passed over is one broken record.
    fn garbage(&mut self, offset: u64) -> std::io::Result<Item> {
        let from = self.window.position();
        loop {
            self.window.fill(MAX_LINE_BYTES)?;
            let bytes = self.window.bytes();
            let length = find(bytes, b"\n").map_or(bytes.len(), |at| at + 1);
            self.window.advance(length);
            self.window.fill(MAX_LINE_BYTES)?;
            let bytes = self.window.bytes();
            let next = find(bytes, b"\n").map(|end| String::from_utf8_lossy(&bytes[..end]).into_owned());
            if bytes.is_empty() || next.is_some_and(|line| Fields::parse(&line).is_some()) {
                let detail = format!("{} bytes before the next record", self.window.position() - from);
                return Ok(bad("", offset, Rejection::new(Reason::RecordGarbage).with_detail(detail)));
            }
        }
    }

    fn body(&mut self, offset: u64, fields: Fields) -> std::io::Result<Item> {
        let page = !fields.url.starts_with("filedesc:") && fields.url.starts_with("http");
        if !page || fields.length > self.max_page_bytes as u64 {
            let mut left = fields.length;
            while left > 0 {
                let want = left.min(1 << 16) as usize;
                self.window.fill(want)?;
                let here = self.window.bytes().len().min(want);
                if here == 0 {
                    break;
                }
                self.window.advance(here);
                left -= here as u64;
            }
            if page {
                let rejection = Rejection::measured(Reason::TooLarge, fields.length as f64, self.max_page_bytes as f64);
                return Ok(bad(&fields.url, offset, rejection));
            }
            return Ok(Item::Other);
        }
        let length = fields.length as usize;
        self.window.fill(length)?;
        let have = self.window.bytes().len().min(length);
        let body = self.window.bytes()[..have].to_vec();
        self.window.advance(have);
        if have < length {
            let rejection = Rejection::measured(Reason::RecordLength, have as f64, length as f64).with_detail("the record ends early");
            return Ok(bad(&fields.url, offset, rejection));
        }
        let content = if body.starts_with(b"HTTP/") { Content::Http(body) } else { Content::Html(body) };
        let Fields { url, date, .. } = fields;
        Ok(Item::Page(RawPage { url, offset: offset as i64, date: Some(date), payload_digest: None, truncated: None, content }))
    }
}

/// The fields of a record's line that matter here.
struct Fields {
    url: String,
    date: String,
    length: u64,
}

impl Fields {
    /// `URL address date type … length`: five fields in version 1, ten in version 2.
    fn parse(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let scheme = parts.first()?.split_once(':')?.0;
        if parts.len() < 5 || scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let date = parts.iter().find(|part| part.len() == 14 && part.bytes().all(|b| b.is_ascii_digit()))?;
        Some(Self { url: parts[0].to_owned(), date: (*date).to_owned(), length: parts.last()?.parse().ok()? })
    }
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

    fn read(text: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let reader = ArcReader::open(file.path(), 1000).unwrap();
        reader
            .map(|item| match item.unwrap() {
                Item::Page(page) => format!("{} {}", page.url, page.content.len()),
                Item::Other => "other".into(),
                Item::Bad { rejection, .. } => rejection.reason.to_string(),
                Item::Reached(_) => panic!("no reader extracts"),
            })
            .collect()
    }

    #[test]
    fn version_one_records() {
        let head = "filedesc://a.arc 0.0.0.0 20080430204825 text/plain 10\n1 0 abcdef\n\n";
        let page = "http://a.example/ 1.2.3.4 20080430204826 text/html 21\nHTTP/1.0 200 OK\n\nhi!!\n";
        assert_eq!(read(&format!("{head}{page}{page}")), ["other", "http://a.example/ 21", "http://a.example/ 21"]);
        assert_eq!(read(&format!("{head}junk\nmore junk\n{page}")), ["other", "record_garbage", "http://a.example/ 21"]);
        assert_eq!(read(&page[..60]), ["record_length"]);
        assert_eq!(read("no such thing"), ["record_garbage"]);
    }
}
