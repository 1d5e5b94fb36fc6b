//! Which charset a page is in, decided the way browsers do, and what could not be decoded.
//!
//! Order: byte order mark, HTTP header, `<meta>` in the first kilobyte or so, then a detector on a window from the first byte that
//! is not ASCII. A declaration that decodes badly while the detector's guess decodes well is overruled: real pages lie.

use crate::input::window::find;
use encoding_rs::{Encoding, GB18030, GBK, UTF_8, WINDOWS_1252, X_USER_DEFINED};

/// Who decided on a charset; the value of the `charset_source` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharsetSource {
    /// A byte order mark.
    Bom,
    /// The HTTP header.
    Http,
    /// A `<meta>` element or an XML declaration.
    Meta,
    /// The detector, for want of a declaration.
    Detector,
    /// The detector, against a declaration that did not fit the bytes.
    Overruled,
    /// The bytes were text before we got them.
    Given,
}

impl CharsetSource {
    /// Name in the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bom => "bom",
            Self::Http => "http",
            Self::Meta => "meta",
            Self::Detector => "detector",
            Self::Overruled => "detector_overruled",
            Self::Given => "given",
        }
    }
}

/// A decoded page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text.
    pub text: String,
    /// WHATWG name of the charset.
    pub charset: &'static str,
    /// Who decided.
    pub source: CharsetSource,
    /// Characters that could not be decoded and became U+FFFD.
    pub replaced_chars: usize,
}

/// Bytes shown to the detector: enough for a sure answer, and cheap.
const DETECTOR_BYTES: usize = 4096;
/// Bytes searched for a `<meta>` declaration; the standard asks for 1024, real pages put it later.
const PRESCAN_BYTES: usize = 8192;
/// Replacement characters in a thousand that make a declaration doubtful.
const DOUBTFUL_PER_MILLE: usize = 2;

/// Decodes `bytes`; `http` is the charset of the HTTP header, if there was one.
#[must_use]
pub fn decode(bytes: &[u8], http: Option<&str>) -> Decoded {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return run(&bytes[length..], encoding, CharsetSource::Bom);
    }
    let declared = http
        .and_then(label)
        .map(|encoding| (encoding, CharsetSource::Http))
        .or_else(|| prescan(&bytes[..bytes.len().min(PRESCAN_BYTES)]).map(|encoding| (encoding, CharsetSource::Meta)));
    let Some((encoding, source)) = declared else {
        return run(bytes, detect(bytes), CharsetSource::Detector);
    };
    let first = run(bytes, encoding, source);
    if !doubtful(&first) {
        return first;
    }
    let guess = detect(bytes);
    if guess == encoding {
        return first;
    }
    let second = run(bytes, guess, CharsetSource::Overruled);
    // A page of UTF-8 with one broken byte must not become windows-1252, which takes any bytes.
    let worse = second.charset == "windows-1252" && mojibake(&second.text);
    if !worse && second.replaced_chars * 4 < marks(&first) { second } else { first }
}

/// True if the text has marks of a wrong charset: replacements, or the control characters that mislabelled bytes turn into.
fn doubtful(decoded: &Decoded) -> bool {
    if marks(decoded) * 1000 > decoded.text.len() * DOUBTFUL_PER_MILLE {
        return true;
    }
    // Single-byte charsets never fail: bytes that are valid UTF-8 with many multi-byte characters are UTF-8.
    decoded.charset.starts_with("windows-") && mojibake(&decoded.text)
}

/// Characters that a right charset hardly ever gives.
fn marks(decoded: &Decoded) -> usize {
    let overread = usize::from(decoded.charset.starts_with("windows-") && mojibake(&decoded.text)) * 8;
    decoded.replaced_chars + control_chars(&decoded.text) + overread
}

/// True if the text reads like UTF-8 taken for windows-1252: many runs of an accented letter followed by another such byte.
fn mojibake(text: &str) -> bool {
    let mut pairs = 0_usize;
    let mut high = 0_usize;
    let mut previous = ' ';
    for c in text.chars() {
        if !c.is_ascii() {
            high += 1;
            pairs += usize::from(!previous.is_ascii());
        }
        previous = c;
    }
    high > 8 && pairs * 3 > high
}

/// C1 controls and private characters, counted on the bytes of the UTF-8, many at once: every page passes here.
fn control_chars(text: &str) -> usize {
    // C2 80 to C2 9F; EE 80 80 to EF A3 BF. The last byte begins no character of more than one.
    let bytes = text.as_bytes();
    let pairs = bytes.chunks(128).zip(bytes.get(1..).unwrap_or_default().chunks(128));
    let marks = |(firsts, seconds): (&[u8], &[u8])| {
        let found =
            firsts.iter().zip(seconds).map(|(&a, &b)| u8::from((a == 0xC2) & (b <= 0x9F) | (a == 0xEE) | (a == 0xEF) & (b <= 0xA3)));
        usize::from(found.sum::<u8>())
    };
    pairs.map(marks).sum()
}

/// The encoding for a label, with GB 2312 and GBK widened to GB 18030, which holds both.
fn label(name: &str) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(name.trim().as_bytes())?;
    if encoding == GBK {
        Some(GB18030)
    } else if encoding == X_USER_DEFINED || encoding == encoding_rs::REPLACEMENT {
        Some(WINDOWS_1252)
    } else {
        Some(encoding)
    }
}

/// Looks for `charset=` in a `<meta>` tag, or `encoding=` in an XML declaration.
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let lower = bytes.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = find(&lower[from..], b"<") {
        let start = from + at;
        let rest = &lower[start..];
        if rest.starts_with(b"<!--") {
            from = start + find(rest, b"-->").map_or(4, |end| end + 3);
            continue;
        }
        let key: &[u8] = if rest.starts_with(b"<meta") {
            b"charset"
        } else if rest.starts_with(b"<?xml") {
            b"encoding"
        } else {
            from = start + 1;
            continue;
        };
        let tag = &rest[..find(rest, b">").unwrap_or(rest.len())];
        if let Some(encoding) = value_of(tag, key).and_then(label) {
            // A page that could be read this far is not UTF-16.
            let wide = encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE;
            return Some(if wide { UTF_8 } else { encoding });
        }
        from = start + 1;
    }
    None
}

/// The value behind `key` and an equals sign, without quotes.
fn value_of<'a>(tag: &'a [u8], key: &[u8]) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = find(&tag[from..], key) {
        let rest = tag[from + at + key.len()..].trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value).trim_ascii_start();
            let end = value.iter().position(|b| matches!(b, b'"' | b'\'' | b';' | b'>' | b'/') || b.is_ascii_whitespace());
            return std::str::from_utf8(&value[..end.unwrap_or(value.len())]).ok().filter(|value| !value.is_empty());
        }
        from += at + key.len();
    }
    None
}

/// What the bytes look like: UTF-8 if they are valid as such, otherwise the detector's guess.
fn detect(bytes: &[u8]) -> &'static Encoding {
    let Some(high) = bytes.iter().position(|&b| b >= 0x80) else {
        return UTF_8;
    };
    if std::str::from_utf8(bytes).is_ok() {
        return UTF_8;
    }
    let mut end = (high + DETECTOR_BYTES).min(bytes.len());
    // Do not cut a run of high bytes: half a character misleads.
    while end < bytes.len() && end < high + DETECTOR_BYTES + 64 && bytes[end - 1] >= 0x80 {
        end += 1;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Allow);
    detector.feed(&bytes[high..end], true);
    let guess = detector.guess(None, chardetng::Utf8Detection::Allow);
    if guess == GBK { GB18030 } else { guess }
}

fn run(bytes: &[u8], encoding: &'static Encoding, source: CharsetSource) -> Decoded {
    let (text, bad) = encoding.decode_without_bom_handling(bytes);
    let replaced_chars = if bad { text.matches('\u{FFFD}').count() } else { 0 };
    Decoded { text: text.into_owned(), charset: encoding.name(), source, replaced_chars }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHINESE: &str =
        "中国最高的山是珠穆朗玛峰，位于中国和尼泊尔的边界上，高度约八千八百四十八米。这座山的名字来自藏语，意思是大地之母。";

    fn check(bytes: &[u8], http: Option<&str>, charset: &str, source: CharsetSource, text: &str) {
        let got = decode(bytes, http);
        assert_eq!((got.charset, got.source), (charset, source), "{}", got.text);
        assert!(got.text.contains(text), "{}", got.text);
    }

    fn encode(encoding: &'static Encoding, text: &str) -> Vec<u8> {
        encoding.encode(text).0.into_owned()
    }

    #[test]
    fn order_of_authorities() {
        let gbk = encode(GBK, CHINESE);
        check(&gbk, Some("gb2312"), "gb18030", CharsetSource::Http, CHINESE);
        let meta = [b"<html><head><META http-equiv=Content-Type content='text/html; charset=GBK'>", gbk.as_slice()].concat();
        check(&meta, None, "gb18030", CharsetSource::Meta, CHINESE);
        check(&gbk, None, "gb18030", CharsetSource::Detector, CHINESE);
        let bom = ["\u{feff}".as_bytes(), CHINESE.as_bytes()].concat();
        check(&bom, Some("gbk"), "UTF-8", CharsetSource::Bom, CHINESE);
        check(b"<?xml version='1.0' encoding='Shift_JIS'?>x", None, "Shift_JIS", CharsetSource::Meta, "x");
    }

    #[test]
    fn lies_are_overruled() {
        let gbk = encode(GBK, CHINESE);
        check(&gbk, Some("utf-8"), "gb18030", CharsetSource::Overruled, CHINESE);
        check(CHINESE.as_bytes(), Some("gb2312"), "UTF-8", CharsetSource::Overruled, CHINESE);
        check(CHINESE.as_bytes(), Some("iso-8859-1"), "UTF-8", CharsetSource::Overruled, CHINESE);
        let japanese = "日本で一番高い山は富士山です。標高は三千七百七十六メートルで、静岡県と山梨県にまたがっています。";
        check(&encode(encoding_rs::SHIFT_JIS, japanese), Some("utf-8"), "Shift_JIS", CharsetSource::Overruled, japanese);
    }

    #[test]
    fn truth_stands() {
        let french = "L’été dernier, nous avons visité la forêt près de Besançon où dînent les élèves.";
        check(&encode(WINDOWS_1252, french), Some("iso-8859-1"), "windows-1252", CharsetSource::Http, french);
        let broken = [CHINESE.as_bytes(), b"\xff", CHINESE.as_bytes()].concat();
        let got = decode(&broken, Some("utf-8"));
        assert_eq!((got.charset, got.replaced_chars), ("UTF-8", 1));
        let big5 = "臺灣最高的山是玉山，海拔三千九百五十二公尺，位於南投縣、高雄市與嘉義縣的交界。";
        check(&encode(encoding_rs::BIG5, big5), None, "Big5", CharsetSource::Detector, big5);
        check(b"plain", None, "UTF-8", CharsetSource::Detector, "plain");
        check(b"", Some("nonsense"), "UTF-8", CharsetSource::Detector, "");
    }

    #[test]
    fn control_characters_are_counted() {
        for (text, count) in [("\u{80}a\u{9f}", 2), ("\u{a0}é山", 0), ("\u{e000}\u{f8ff}", 2), ("\u{f900}\u{dfff0}", 0), ("", 0)] {
            assert_eq!(control_chars(text), count, "{text:?}");
        }
    }

    #[test]
    fn declarations_in_odd_places() {
        assert_eq!(prescan(b"<!-- <meta charset=gbk> --><meta charset=\"big5\">"), Some(encoding_rs::BIG5));
        assert_eq!(prescan(b"<meta name=a content=b><meta charset = utf-8 />"), Some(UTF_8));
        assert_eq!(prescan(b"<meta charset=>"), None);
        assert_eq!(prescan(b"<meta"), None);
    }
}
