//! HTTP responses as crawlers store them: headers, transfer and content codings.

use super::window::find;
use crate::reason::{Reason, Rejection};
use std::io::Read;

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
    /// Archives hold bodies that were decoded while the headers were kept, so a coding that the bytes do not show is ignored.
    ///
    /// # Errors
    /// [`Reason::BodyBroken`] if a coding fails, [`Reason::TooLarge`] beyond the cap.
    pub fn decoded(&self, max_bytes: usize) -> Result<Vec<u8>, Rejection> {
        let chunked = self.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
        let mut body = if chunked { dechunk(self.body) } else { self.body.to_vec() };
        let codings = self.header("content-encoding").unwrap_or_default().to_ascii_lowercase();
        for coding in codings.split(',').map(str::trim).rev() {
            body = decode(coding, body, max_bytes)?;
        }
        if body.len() > max_bytes {
            return Err(Rejection::measured(Reason::TooLarge, body.len() as f64, max_bytes as f64));
        }
        Ok(body)
    }
}

/// Undoes the chunked coding; a body that is not chunked comes back as it is, a broken tail is left out.
fn dechunk(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut first = true;
    while let Some(line) = find(rest, b"\n").filter(|&end| end < 64) {
        let text = String::from_utf8_lossy(&rest[..line]);
        let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16);
        let Ok(size) = size else {
            if first {
                return body.to_vec();
            }
            break;
        };
        first = false;
        rest = &rest[line + 1..];
        if size == 0 {
            return out;
        }
        let take = size.min(rest.len());
        out.extend_from_slice(&rest[..take]);
        rest = &rest[take..];
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
        if rest.is_empty() {
            return out;
        }
    }
    if first { body.to_vec() } else { out }
}

fn decode(coding: &str, body: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, Rejection> {
    match coding {
        "gzip" | "x-gzip" if body.starts_with(&[0x1F, 0x8B]) => {
            drain(flate2::read::MultiGzDecoder::new(body.as_slice()), coding, max_bytes)
        }
        "deflate" if !body.is_empty() => {
            // Servers send both the zlib wrapping that the standard means and bare deflate.
            let wrapped = body[0] & 0x0F == 8 && body.len() > 1 && (u16::from(body[0]) << 8 | u16::from(body[1])) % 31 == 0;
            if wrapped {
                drain(flate2::read::ZlibDecoder::new(body.as_slice()), coding, max_bytes)
            } else if body.trim_ascii_start().starts_with(b"<") {
                Ok(body)
            } else {
                drain(flate2::read::DeflateDecoder::new(body.as_slice()), coding, max_bytes)
            }
        }
        "br" if !body.trim_ascii_start().starts_with(b"<") && !body.is_empty() => {
            drain(brotli::Decompressor::new(body.as_slice(), 64 << 10), coding, max_bytes)
        }
        "zstd" if body.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) => match zstd::stream::read::Decoder::with_buffer(body.as_slice()) {
            Ok(decoder) => drain(decoder, coding, max_bytes),
            Err(error) => Err(Rejection::new(Reason::BodyBroken).with_detail(error.to_string())),
        },
        // The bytes are not coded, whatever the header says.
        "" | "identity" | "none" | "gzip" | "x-gzip" | "deflate" | "br" | "zstd" => Ok(body),
        _ if body.trim_ascii_start().starts_with(b"<") => Ok(body),
        other => Err(Rejection::new(Reason::BodyBroken).with_detail(format!("unknown content coding `{other}`"))),
    }
}

/// Reads a decoder to its end; what came before an error is kept if it is a good part of a page.
fn drain(decoder: impl Read, coding: &str, max_bytes: usize) -> Result<Vec<u8>, Rejection> {
    let mut out = Vec::new();
    let result = decoder.take(max_bytes as u64 + 1).read_to_end(&mut out);
    if out.len() > max_bytes {
        return Err(Rejection::measured(Reason::TooLarge, out.len() as f64, max_bytes as f64));
    }
    match result {
        Ok(_) => Ok(out),
        Err(error) => Err(Rejection::new(Reason::BodyBroken).with_detail(format!("{coding}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
        let decode = |body: &[u8]| Response::parse(&response("Transfer-Encoding: chunked", body)).unwrap().decoded(CAP).unwrap();
        assert_eq!(decode(b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n"), b"hello world");
        assert_eq!(decode(b"<html>not chunked</html>"), b"<html>not chunked</html>");
        assert_eq!(decode(b"5\r\nhello\r\nzz\r\n"), b"hello");
        assert_eq!(decode(b"ff\r\nshort"), b"short");
    }

    #[test]
    fn content_codings() {
        let text = b"<p>hello hello hello</p>".repeat(9);
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
            assert_eq!(Response::parse(&block).unwrap().decoded(CAP).unwrap(), text, "{coding}");
            if body != text {
                assert_eq!(Response::parse(&block).unwrap().decoded(50).unwrap_err().reason, Reason::TooLarge, "{coding}");
                let cut = response(&format!("Content-Encoding: {coding}"), &body[..body.len() / 2]);
                assert_eq!(Response::parse(&cut).unwrap().decoded(CAP).unwrap_err().reason, Reason::BodyBroken, "{coding}");
            }
        }
    }
}
