//! HTTP responses as crawlers store them: headers, transfer and content codings.

use super::window::find;
use crate::reason::{Reason, Rejection};
use std::cell::Cell;
use std::io::{ErrorKind, Read};

/// A body without its codings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// It ends early: a coding says that more was to come.
    pub truncated: bool,
}

/// A response taken apart; the body is still coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// Everything behind the headers.
    pub body: &'a [u8],
}

/// Most bytes of [`Response::header_lines`].
const MAX_HEADER_BYTES: usize = 8192;
/// Headers with what a server knows a visitor by.
const COOKIES: [&str; 2] = ["set-cookie", "set-cookie2"];

impl<'a> Response<'a> {
    /// Splits a response at the empty line.
    ///
    /// # Errors
    /// [`Reason::HttpBroken`] if there is no status line.
    pub fn parse(block: &'a [u8]) -> Result<Self, Rejection> {
        let broken = |detail: &str| Rejection::new(Reason::HttpBroken).with_detail(detail);
        if !block.starts_with(b"HTTP/") {
            return Err(broken("no status line"));
        }
        let (head, body) = match (find(block, b"\r\n\r\n"), find(block, b"\n\n")) {
            (Some(crlf), lf) if lf.is_none_or(|lf| crlf < lf) => (&block[..crlf], &block[crlf + 4..]),
            (_, Some(lf)) => (&block[..lf], &block[lf + 2..]),
            _ => (block, &block[block.len()..]),
        };
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split_whitespace().nth(1)).and_then(|code| code.parse().ok());
        let Some(status) = status else {
            return Err(broken("no status code"));
        };
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self { status, headers, body })
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The headers a line each, `name: value`, with those that set cookies left out, for they are somebody's; whole lines of at most
    /// 8 KiB in all. `None` if there are none.
    #[must_use]
    pub fn header_lines(&self) -> Option<String> {
        let mut lines = String::new();
        for (name, value) in self.headers.iter().filter(|(name, _)| !COOKIES.contains(&name.as_str())) {
            if lines.len() + name.len() + value.len() + 3 > MAX_HEADER_BYTES {
                break;
            }
            lines.extend([name, ": ", value, "\n"]);
        }
        lines.pop();
        (!lines.is_empty()).then_some(lines)
    }

    /// Refuses what is no page before its body is decoded: a status other than success, a type other than HTML or plain text.
    ///
    /// # Errors
    /// [`Reason::HttpStatus`] or [`Reason::ContentType`].
    pub fn check(&self) -> Result<(), Rejection> {
        if !(200..300).contains(&self.status) {
            return Err(Rejection::measured(Reason::HttpStatus, f64::from(self.status), 200.0));
        }
        match self.media_type() {
            Some(kind) if !(kind == "text/html" || kind == "application/xhtml+xml" || kind == "text/plain") => {
                Err(Rejection::new(Reason::ContentType).with_detail(kind))
            }
            _ => Ok(()),
        }
    }

    /// The media type in lower case, without parameters.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        let kind = value.split([';', ',']).next().unwrap_or_default().trim().to_ascii_lowercase();
        (!kind.is_empty()).then_some(kind)
    }

    /// The charset that the content type names.
    #[must_use]
    pub fn charset(&self) -> Option<&str> {
        let value = self.header("content-type")?;
        let lower = value.to_ascii_lowercase();
        let rest = value[lower.find("charset=")? + 8..].trim_start_matches(['"', '\'', ' ']);
        let name = rest.split(['"', '\'', ';', ',', ' ']).next().unwrap_or_default();
        (!name.is_empty()).then_some(name)
    }

    /// The body with its transfer and content codings undone, at most `max_bytes` of it.
    ///
    /// Archives hold bodies that were decoded while the headers were kept, so a coding that the bytes do not show is ignored. They hold
    /// bodies that were cut short too, of which what there is counts; what stands behind the end of a coding does not.
    ///
    /// # Errors
    /// [`Reason::BodyBroken`] if a coding fails, [`Reason::TooLarge`] beyond the cap.
    pub fn decoded(&self, max_bytes: usize) -> Result<Body, Rejection> {
        let list = |name: &str| self.header(name).unwrap_or_default().to_ascii_lowercase();
        let (content, transfer) = (list("content-encoding"), list("transfer-encoding"));
        let mut body = Body { bytes: self.body.to_vec(), truncated: false };
        // In the order in which they were applied, so they are undone from the end.
        for coding in content.split(',').chain(transfer.split(',')).map(str::trim).rev() {
            let Body { bytes, truncated } = if coding == "chunked" { dechunk(&body.bytes) } else { decode(coding, body.bytes, max_bytes)? };
            body = Body { bytes, truncated: truncated || body.truncated };
        }
        if body.bytes.len() > max_bytes {
            return Err(Rejection::measured(Reason::TooLarge, body.bytes.len() as f64, max_bytes as f64));
        }
        Ok(body)
    }
}

/// Undoes the chunked coding; a body that is not chunked comes back as it is, a broken tail is left out.
fn dechunk(body: &[u8]) -> Body {
    let whole = |bytes: &[u8]| Body { bytes: bytes.to_vec(), truncated: false };
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut first = true;
    while let Some(line) = find(rest, b"\n").filter(|&end| end < 64) {
        let text = String::from_utf8_lossy(&rest[..line]);
        let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16);
        let Ok(size) = size else {
            if first {
                return whole(body);
            }
            break;
        };
        first = false;
        rest = &rest[line + 1..];
        if size == 0 {
            return Body { bytes: out, truncated: false };
        }
        let take = size.min(rest.len());
        out.extend_from_slice(&rest[..take]);
        rest = &rest[take..];
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
        if rest.is_empty() {
            break;
        }
    }
    if first { whole(body) } else { Body { bytes: out, truncated: true } }
}

const GZIP_MAGIC: &[u8] = &[0x1F, 0x8B];

fn decode(coding: &str, body: Vec<u8>, max_bytes: usize) -> Result<Body, Rejection> {
    let as_is = |bytes: Vec<u8>| Ok(Body { bytes, truncated: false });
    match coding {
        "gzip" | "x-gzip" if body.starts_with(GZIP_MAGIC) => gunzip(&body, coding, max_bytes),
        "deflate" if !body.is_empty() => {
            // Servers send both the zlib wrapping that the standard means and bare deflate.
            let wrapped = body[0] & 0x0F == 8 && body.len() > 1 && (u16::from(body[0]) << 8 | u16::from(body[1])) % 31 == 0;
            if wrapped {
                drain(flate2::read::ZlibDecoder::new(body.as_slice()), coding, max_bytes, ends_early)
            } else if body.trim_ascii_start().starts_with(b"<") {
                as_is(body)
            } else {
                drain(flate2::read::DeflateDecoder::new(body.as_slice()), coding, max_bytes, ends_early)
            }
        }
        "br" if !body.trim_ascii_start().starts_with(b"<") && !body.is_empty() => {
            let beyond = Cell::new(false);
            let input = Asked { bytes: &body, beyond: &beyond };
            drain(brotli::Decompressor::new(input, 64 << 10), coding, max_bytes, |_| beyond.get())
        }
        "zstd" if body.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) => match zstd::stream::read::Decoder::with_buffer(body.as_slice()) {
            Ok(decoder) => drain(decoder, coding, max_bytes, ends_early),
            Err(error) => Err(Rejection::new(Reason::BodyBroken).with_detail(error.to_string())),
        },
        // The bytes are not coded, whatever the header says.
        "" | "identity" | "none" | "gzip" | "x-gzip" | "deflate" | "br" | "zstd" => as_is(body),
        _ if body.trim_ascii_start().starts_with(b"<") => as_is(body),
        other => Err(Rejection::new(Reason::BodyBroken).with_detail(format!("unknown content coding `{other}`"))),
    }
}

/// Undoes gzip, member after member; bytes behind the last one that are no member are ignored, as browsers do.
fn gunzip(body: &[u8], coding: &str, max_bytes: usize) -> Result<Body, Rejection> {
    let mut out = Body { bytes: Vec::new(), truncated: false };
    let mut rest = body;
    while rest.starts_with(GZIP_MAGIC) && !out.truncated {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        match drain(&mut member, coding, max_bytes.saturating_sub(out.bytes.len()), ends_early) {
            Ok(Body { bytes, truncated }) => {
                out.bytes.extend_from_slice(&bytes);
                out.truncated = truncated;
            }
            // What is behind a whole member only looks like another.
            Err(rejection) if rest.len() == body.len() || rejection.reason == Reason::TooLarge => return Err(rejection),
            Err(_) => break,
        }
        rest = member.into_inner();
    }
    Ok(out)
}

/// Input that tells whether more was asked for than there is: the decoder of `br` has one error for all that may be wrong.
struct Asked<'a> {
    bytes: &'a [u8],
    beyond: &'a Cell<bool>,
}

impl Read for Asked<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.beyond.set(self.beyond.get() || self.bytes.is_empty());
        self.bytes.read(out)
    }
}

fn ends_early(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::UnexpectedEof
}

/// Reads a decoder to its end; of a body that ends early, what came before.
fn drain(decoder: impl Read, coding: &str, max_bytes: usize, ends_early: impl Fn(&std::io::Error) -> bool) -> Result<Body, Rejection> {
    let mut bytes = Vec::new();
    let result = decoder.take(max_bytes as u64 + 1).read_to_end(&mut bytes);
    if bytes.len() > max_bytes {
        return Err(Rejection::measured(Reason::TooLarge, bytes.len() as f64, max_bytes as f64));
    }
    match result {
        Ok(_) => Ok(Body { bytes, truncated: false }),
        Err(error) if ends_early(&error) && !bytes.is_empty() => Ok(Body { bytes, truncated: true }),
        Err(error) => Err(Rejection::new(Reason::BodyBroken).with_detail(format!("{coding}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn header_lines_are_whole_and_set_no_cookies() {
        let lines = |head: &str| Response::parse(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).unwrap().header_lines();
        assert_eq!(lines("Server: nginx\r\nSet-Cookie: id=1\r\nX-Note: a: b\r\n").unwrap(), "server: nginx\nx-note: a: b");
        assert_eq!(lines(""), None);
        assert_eq!(lines("Set-Cookie: id=1\r\n"), None);
        let long = lines(&"X: 0123456789\r\n".repeat(1000)).unwrap();
        assert!(long.len() <= 8192 && long.len() > 8100, "{}", long.len());
        assert!(long.lines().all(|line| line == "x: 0123456789"));
    }

    const CAP: usize = 1 << 20;

    fn response(headers: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").as_bytes(), body].concat()
    }

    #[test]
    fn parses_status_headers_and_charset() {
        let block = response("Content-Type: Text/HTML; charset=\"GBK\"\r\nX: y", b"body");
        let got = Response::parse(&block).unwrap();
        assert_eq!((got.status, got.media_type().as_deref(), got.charset()), (200, Some("text/html"), Some("GBK")));
        assert_eq!((got.body, got.header("x")), (&b"body"[..], Some("y")));
        assert!(got.check().is_ok());
        let lf = Response::parse(b"HTTP/1.0 200 OK\nContent-Type: text/html\n\nhello\r\n\r\n").unwrap();
        assert_eq!(lf.body, b"hello\r\n\r\n");
    }

    #[test]
    fn refuses_before_decoding() {
        let reason = |block: &[u8]| Response::parse(block).and_then(|r| r.check()).unwrap_err().reason;
        assert_eq!(reason(b"HTTP/1.1 404 Not Found\r\n\r\n"), Reason::HttpStatus);
        assert_eq!(reason(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n"), Reason::ContentType);
        assert_eq!(reason(b"<html>"), Reason::HttpBroken);
        assert_eq!(reason(b"HTTP/1.1 what\r\n\r\n"), Reason::HttpBroken);
    }

    #[test]
    fn chunked_bodies() {
        let check = |body: &[u8], want: &[u8], truncated: bool| {
            let got = Response::parse(&response("Transfer-Encoding: chunked", body)).unwrap().decoded(CAP).unwrap();
            assert_eq!((got.bytes.as_slice(), got.truncated), (want, truncated));
        };
        check(b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n", b"hello world", false);
        check(b"<html>not chunked</html>", b"<html>not chunked</html>", false);
        check(b"5\r\nhello\r\nzz\r\n", b"hello", true);
        check(b"ff\r\nshort", b"short", true);
    }

    #[test]
    fn content_codings() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|i| format!("<p>{}</p>", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        raw.write_all(&text).unwrap();
        let mut br = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        br.write_all(&text).unwrap();
        let cases = [
            ("gzip", gz.finish().unwrap()),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("br", br.into_inner()),
            ("zstd", zstd::encode_all(&text[..], 3).unwrap()),
            ("gzip", text.clone()),
            ("br", text.clone()),
            ("identity", text.clone()),
        ];
        for (coding, body) in cases {
            let block = response(&format!("Content-Encoding: {coding}"), &body);
            let got = Response::parse(&block).unwrap().decoded(CAP).unwrap();
            assert!(got.bytes == text && !got.truncated, "{coding}");
            if body != text {
                assert_eq!(Response::parse(&block).unwrap().decoded(50).unwrap_err().reason, Reason::TooLarge, "{coding}");
                // Cut short: what came before counts.
                let cut = response(&format!("Content-Encoding: {coding}"), &body[..body.len() / 2]);
                let got = Response::parse(&cut).unwrap().decoded(CAP).unwrap();
                assert!(got.truncated && got.bytes.len() > text.len() / 4 && text.starts_with(&got.bytes), "{coding}");
                let nothing = response(&format!("Content-Encoding: {coding}"), &body[..6]);
                let reason = Response::parse(&nothing).unwrap().decoded(CAP).map_err(|rejection| rejection.reason);
                assert!(
                    matches!(&reason, Err(Reason::BodyBroken)) || matches!(&reason, Ok(Body { truncated: true, .. })),
                    "{coding}: {reason:?}"
                );
            }
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn transfer_codings_are_undone_too() {
        let chunk = |body: &[u8]| [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
        let page = b"<p>The river is long.";
        for (headers, body) in [
            ("Transfer-Encoding: gzip, chunked", chunk(&gzip(page))),
            ("Transfer-Encoding: gzip", gzip(page)),
            ("Transfer-Encoding: Chunked\r\nContent-Encoding: gzip", chunk(&gzip(page))),
            ("Transfer-Encoding: gzip, chunked\r\nContent-Encoding: gzip", chunk(&gzip(&gzip(page)))),
            ("Transfer-Encoding: gzip, chunked", page.to_vec()),
            ("Transfer-Encoding: identity", page.to_vec()),
        ] {
            let got = Response::parse(&response(headers, &body)).unwrap().decoded(CAP).unwrap();
            assert_eq!((got.bytes.as_slice(), got.truncated), (&page[..], false), "{headers}");
        }
    }

    #[test]
    fn bytes_behind_gzip_are_ignored_and_members_follow_each_other() {
        let (one, two) = (gzip(b"<p>one"), gzip(b" two"));
        let decoded = |body: &[u8]| Response::parse(&response("Content-Encoding: gzip", body)).unwrap().decoded(CAP);
        for tail in [&b"\r\n\r\n"[..], &[0; 20], b"junk", b"\x1F", b"\x1F\x8Bjunk"] {
            let got = decoded(&[one.as_slice(), tail].concat()).unwrap();
            assert_eq!((got.bytes.as_slice(), got.truncated), (&b"<p>one"[..], false), "{tail:?}");
        }
        assert_eq!(decoded(&[one.clone(), two].concat()).unwrap().bytes, b"<p>one two");
        // Only the check sum is missing.
        assert_eq!(decoded(&one[..one.len() - 8]).unwrap(), Body { bytes: b"<p>one".to_vec(), truncated: true });
        let mut damaged = one.clone();
        damaged[one.len() - 6] ^= 1;
        assert_eq!(decoded(&damaged).unwrap_err().reason, Reason::BodyBroken);
    }
}
