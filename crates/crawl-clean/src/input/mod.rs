//! From input files to raw pages: WARC, ARC, WET, HTML, JSON lines and Parquet.
//!
//! Every reader yields [`Item`]s in the order of the file and survives what is broken in it: a broken part becomes
//! [`Item::Bad`] with its offset, and reading goes on behind it. Only a file that cannot be read at all is an error.

pub mod arc;
pub mod date;
pub mod decoder;
pub mod discover;
pub mod http;
pub mod table;
pub mod warc;
pub mod window;

use crate::config::Config;
use crate::error::Error;
use crate::page::Reached;
use crate::reason::Rejection;
use std::path::Path;

/// Where the text of a page is to be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An HTTP response as it went over the wire: status line, headers, body.
    Http(Vec<u8>),
    /// HTML bytes without HTTP headers.
    Html(Vec<u8>),
    /// HTML already decoded.
    HtmlText(String),
    /// Text already extracted.
    Text(String),
}

impl Content {
    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Http(bytes) | Self::Html(bytes) => bytes.len(),
            Self::HtmlText(text) | Self::Text(text) => text.len(),
        }
    }

    /// True if there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A page as it stands in the input.
#[derive(Debug, Clone, PartialEq)]
pub struct RawPage {
    /// Its address.
    pub url: String,
    /// Offset of its record in the file (of the compressed member), or number of its row.
    pub offset: i64,
    /// What the record or row states as its date; [`date::stated`] tells whether it is one.
    pub date: Option<String>,
    /// Digest of the payload as the record states it.
    pub payload_digest: Option<String>,
    /// Why the record holds only the beginning of the page, as it states.
    pub truncated: Option<String>,
    /// What the page is.
    pub content: Content,
}

/// What a reader yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A page.
    Page(RawPage),
    /// A page that was brought to its text in an earlier run ([`crate::extracted`]).
    Reached(Box<Reached>),
    /// A record that is no page: a request, metadata, a revisit.
    Other,
    /// Something broken.
    Bad {
        /// Address, if it is known.
        url: String,
        /// Offset in the file, or number of the row.
        offset: i64,
        /// What is wrong.
        rejection: Rejection,
    },
}

impl Item {
    /// Its address and offset; nothing of what is no page.
    #[must_use]
    pub fn place(&self) -> (String, i64) {
        match self {
            Self::Page(page) => (page.url.clone(), page.offset),
            Self::Reached(page) => (page.url.clone(), page.offset),
            Self::Other => (String::new(), 0),
            Self::Bad { url, offset, .. } => (url.clone(), *offset),
        }
    }
}

/// Items of one file, in order.
pub type Items = Box<dyn Iterator<Item = Result<Item, Error>> + Send>;

/// What kind of file an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// WARC, WET included.
    Warc,
    /// Internet Archive ARC.
    Arc,
    /// One HTML page.
    Html,
    /// JSON lines.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// Opens an input file.
///
/// # Errors
/// If the file cannot be opened, or is of no kind that is known.
pub fn open(path: &Path, name: &str, config: &Config) -> Result<Items, Error> {
    match discover::format(path)? {
        Format::Warc => Ok(Box::new(warc::WarcReader::open(path, config.max_page_bytes)?)),
        Format::Arc => Ok(Box::new(arc::ArcReader::open(path, config.max_page_bytes)?)),
        Format::Html => Ok(Box::new(std::iter::once(html_file(path, name, config)))),
        Format::Jsonl => Ok(Box::new(table::JsonlReader::open(path, config)?)),
        Format::Parquet => table::parquet(path, config),
    }
}

fn html_file(path: &Path, name: &str, config: &Config) -> Result<Item, Error> {
    let mut decoder = decoder::Decoder::open(path).map_err(Error::read(path))?;
    let mut bytes = Vec::new();
    while bytes.len() <= config.max_page_bytes {
        match decoder.read_more(&mut bytes).map_err(Error::read(path))? {
            decoder::Chunk::Broken { message, .. } => {
                let rejection = Rejection::new(crate::reason::Reason::CompressionBroken).with_detail(message);
                return Ok(Item::Bad { url: name.to_owned(), offset: 0, rejection });
            }
            decoder::Chunk::End => break,
            decoder::Chunk::Data | decoder::Chunk::Start(_) => {}
        }
    }
    if bytes.len() > config.max_page_bytes {
        let rejection = Rejection::measured(crate::reason::Reason::TooLarge, bytes.len() as f64, config.max_page_bytes as f64);
        return Ok(Item::Bad { url: name.to_owned(), offset: 0, rejection });
    }
    let content = Content::Html(bytes);
    Ok(Item::Page(RawPage { url: name.to_owned(), offset: 0, date: None, payload_digest: None, truncated: None, content }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use crate::reason::Reason;
    use std::io::Write;

    #[test]
    fn a_page_of_its_own_may_be_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"<p>one").unwrap();
        let bytes = encoder.finish().unwrap();
        let config = Config { max_page_bytes: 6, ..defaults() };
        let item = |bytes: &[u8], config: &Config| {
            let path = dir.path().join("a.html.gz");
            std::fs::write(&path, bytes).unwrap();
            match open(&path, "a.html.gz", config).unwrap().next().unwrap().unwrap() {
                Item::Page(page) => Ok(page.content),
                Item::Bad { rejection, .. } => Err(rejection.reason),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(item(&bytes, &config), Ok(Content::Html(b"<p>one".to_vec())));
        assert_eq!(item(&bytes, &Config { max_page_bytes: 5, ..config.clone() }), Err(Reason::TooLarge));
        assert_eq!(item(&bytes[..bytes.len() - 9], &config), Err(Reason::CompressionBroken));
    }
}
