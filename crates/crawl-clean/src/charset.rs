//! Which charset a page is in, decided the way browsers do, and what could not be decoded.
//!
//! Order: byte order mark, HTTP header, `<meta>` in the first kilobyte or so, then UTF-8 if the bytes read so but for a few errors, else
//! a detector on the stretches around bytes that are not ASCII. A declaration that decodes badly while the detector's guess decodes well
//! is overruled: real pages lie.

use crate::input::window::find;
use encoding_rs::{Encoding, GB18030, GBK, ISO_2022_JP, ISO_8859_15, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use std::ops::Range;

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
/// ASCII on either side of other bytes that the detector sees too: the word they stand in.
const CONTEXT_BYTES: usize = 32;
/// A body is UTF-8 if so many sequences of several bytes are valid for each error. In short texts of 17 other charsets there were 0.35 at most
/// (EUC-JP), in those of one byte a character 0.27 (windows-874).
const VALID_FOR_ERROR: usize = 4;
/// Bytes in which UTF-16 has to show a zero byte; markup has them in every letter.
const WIDE_BYTES: usize = 512;
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
    let wide = wide(bytes, http);
    let declared = http
        .and_then(label)
        .filter(|&encoding| !is_utf16(encoding) || wide == Some(encoding))
        .map(|encoding| (encoding, CharsetSource::Http))
        .or_else(|| wide.map(|encoding| (encoding, CharsetSource::Detector)))
        .or_else(|| prescan(&bytes[..bytes.len().min(PRESCAN_BYTES)]).map(|encoding| (encoding, CharsetSource::Meta)));
    let Some((encoding, source)) = declared else {
        return run(bytes, detect(bytes), CharsetSource::Detector);
    };
    let first = run(bytes, encoding, source);
    // Charsets of one byte a character never fail, so they are asked of the bytes: valid UTF-8 is UTF-8. What is declared as Latin is
    // also doubtful where the text is no Latin: other charsets have running text in those bytes.
    let utf8 = encoding.is_single_byte() && reads_as_utf8(bytes);
    let doubtful = utf8 || (encoding == WINDOWS_1252 || encoding == ISO_8859_15) && mojibake(&first.text);
    let marks = first.replaced_chars + control_chars(&first.text) + if doubtful { 8 } else { 0 };
    if !doubtful && marks * 1000 <= first.text.len() * DOUBTFUL_PER_MILLE {
        return first;
    }
    let guess = detect(bytes);
    if guess == encoding {
        return first;
    }
    let second = run(bytes, guess, CharsetSource::Overruled);
    // A page of UTF-8 with one broken byte must not become windows-1252, which takes any bytes.
    let worse = guess == WINDOWS_1252 && mojibake(&second.text);
    if utf8 && guess == UTF_8 || !worse && second.replaced_chars * 4 < marks { second } else { first }
}

/// The UTF-16 that a body is in, by its byte order mark, by markup that begins it, or by the charset of the HTTP header if there are zero
/// bytes: such a body is no binary data.
#[must_use]
pub fn wide(bytes: &[u8], http: Option<&str>) -> Option<&'static Encoding> {
    match bytes {
        [0xFF, 0xFE, ..] | [b'<', 0, ..] => return Some(UTF_16LE),
        [0xFE, 0xFF, ..] | [0, b'<', ..] => return Some(UTF_16BE),
        _ => {}
    }
    let zeros = bytes[..bytes.len().min(WIDE_BYTES)].contains(&0);
    http.and_then(label).filter(|&encoding| zeros && is_utf16(encoding))
}

fn is_utf16(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// True for bytes that are UTF-8 but for a few errors, and not ASCII alone.
fn reads_as_utf8(bytes: &[u8]) -> bool {
    if bytes.is_ascii() {
        return false;
    }
    let (mut valid, mut errors) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        valid += chunk.valid().bytes().filter(|&byte| byte >= 0xC0).count();
        errors += usize::from(!chunk.invalid().is_empty());
    }
    valid > 0 && valid >= VALID_FOR_ERROR * errors
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
            return Some(if is_utf16(encoding) { UTF_8 } else { encoding });
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

/// 的 in GBK.
const DE: [u8; 2] = [0xB5, 0xC4];
/// One character in so many of Chinese prose is 的, or more.
const CHARS_FOR_DE: usize = 60;
/// Characters from which that says something.
const CHINESE_CHARS: usize = 100;

/// True for bytes that are Chinese in GBK beyond doubt, which spares the detector's work: all are characters of it, and 的 is as frequent
/// as in no text of another charset, where these two bytes are a rare character or the end of one and the beginning of another.
fn reads_as_gbk(bytes: &[u8]) -> bool {
    let (mut chars, mut hits) = (0, 0);
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|&byte| byte >= 0x80) {
        at += found;
        let Some(&[first @ 0x81..=0xFE, second @ (0x40..=0x7E | 0x80..=0xFE)]) = bytes.get(at..at + 2) else { return false };
        chars += 1;
        hits += usize::from([first, second] == DE);
        at += 2;
    }
    chars >= CHINESE_CHARS && hits * CHARS_FOR_DE >= chars
}

/// True for bytes of ISO-2022-JP, all of them ASCII: one switches to its two-byte set and back, without a mistake on the way.
fn reads_as_iso_2022_jp(bytes: &[u8]) -> bool {
    let switches = [b"\x1B$B", b"\x1B$@"].iter().any(|switch| find(bytes, *switch).is_some());
    switches && bytes.is_ascii() && !ISO_2022_JP.decode_without_bom_handling(bytes).1
}

/// What the bytes look like: UTF-8 if they are valid as such but for a few, otherwise the detector's guess.
fn detect(bytes: &[u8]) -> &'static Encoding {
    if reads_as_iso_2022_jp(bytes) {
        return ISO_2022_JP;
    }
    if bytes.is_ascii() || reads_as_utf8(bytes) {
        return UTF_8;
    }
    if reads_as_gbk(bytes) {
        return GB18030;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    let (mut at, mut fed) = (0, 0);
    while fed < DETECTOR_BYTES
        && let Some(stretch) = stretch(bytes, at, DETECTOR_BYTES - fed)
    {
        (at, fed) = (stretch.end, fed + stretch.len());
        detector.feed(&bytes[stretch], false);
        detector.feed(b"\n", false);
    }
    detector.feed(b"", true);
    let guess = detector.guess(None, chardetng::Utf8Detection::Allow);
    if guess == GBK { GB18030 } else { guess }
}

/// The next stretch of text with bytes that are not ASCII, from `at` on, about `most` bytes of it. It begins and ends where no character
/// goes on: at marks and white space, which are no second byte in any charset.
fn stretch(bytes: &[u8], at: usize, most: usize) -> Option<Range<usize>> {
    let apart = |&byte: &u8| byte <= b'/' || byte == b'<' || byte == b'>';
    let first = at + bytes[at..].iter().position(|&byte| byte >= 0x80)?;
    let before = &bytes[at.max(first.saturating_sub(CONTEXT_BYTES))..first];
    let start = first - before.iter().rev().position(apart).unwrap_or(before.len());
    let (mut last, mut end) = (first, first + 1);
    while let Some(byte) = bytes.get(end)
        && end - last <= CONTEXT_BYTES
        && (end - start < most || !apart(byte) && end - start < most + DETECTOR_BYTES)
    {
        if *byte >= 0x80 {
            last = end;
        }
        end += 1;
    }
    // What follows the last such byte is its word, if the stretch was not cut off.
    let behind = &bytes[last + 1..end];
    Some(start..last + 1 + behind.iter().position(apart).unwrap_or(behind.len()))
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
    fn iso_2022_jp_is_told_though_it_is_ascii() {
        // 日本で一番高い山は富士山です。
        let japanese = "$BF|K\\$G0lHV9b$$;3$OIY;N;3$G$9!#";
        let page = format!("<p>One \x1B{japanese}\x1B(B two</p>");
        check(page.as_bytes(), None, "ISO-2022-JP", CharsetSource::Detector, "One 日本で一番高い山は富士山です。 two");
        check(page.as_bytes(), Some("iso-2022-jp"), "ISO-2022-JP", CharsetSource::Http, "富士山");
        // Colours of a terminal, and a switch with no characters of that set behind it.
        for text in ["\x1B[31mred\x1B[0m", "\x1B$B\x01\x02"] {
            check(text.as_bytes(), None, "UTF-8", CharsetSource::Detector, text);
        }
    }

    #[test]
    fn a_few_errors_leave_utf8_what_it_is() {
        let russian = "Волга является самой длинной рекой в Европе и впадает в Каспийское море.";
        for text in [CHINESE, russian, "Größe, Übermut, Äpfel – „schön“"] {
            let (head, tail) = text.split_at(text.char_indices().nth(9).unwrap().0);
            let broken = [head.as_bytes(), b"\xD0", tail.as_bytes()].concat();
            let got = decode(&broken, None);
            assert_eq!((got.charset, got.source, got.replaced_chars), ("UTF-8", CharsetSource::Detector, 1), "{}", got.text);
            check(&broken, Some("windows-1252"), "UTF-8", CharsetSource::Overruled, tail);
        }
        check(&encode(WINDOWS_1252, "Größe und Übermut"), None, "windows-1252", CharsetSource::Detector, "Größe und Übermut");
    }

    #[test]
    fn the_detector_sees_text_behind_a_title_and_scripts() {
        let junk = format!("<script>var a = 1;</script>{}", "<div class=\"x\"></div>".repeat(400));
        let cases: [(&str, &str, &str); 5] = [
            (
                "windows-1250",
                "Řeka",
                "Vltava je nejdelší řeka v Česku a mnoho lidí ji považuje za symbol celé země. Pramení na Šumavě, protéká Prahou.",
            ),
            (
                "windows-1250",
                "Życie",
                "Wisła jest najdłuższą rzeką w Polsce. Jej źródła znajdują się na stoku Baraniej Góry, a ujście leży nad Zatoką.",
            ),
            (
                "windows-1251",
                "В",
                "Волга является самой длинной рекой в Европе. Она берёт начало на возвышенности и впадает в Каспийское море.",
            ),
            ("windows-1253", "Για", "Ο Αλιάκμονας είναι ο μεγαλύτερος ποταμός που πηγάζει στην Ελλάδα. Ξεκινά από τα βουνά της Πίνδου."),
            (
                "windows-1256",
                "في",
                "يعد نهر النيل أطول نهر في العالم وفقا لكثير من الجغرافيين، وهو شريان الحياة في مصر والسودان منذ آلاف السنين.",
            ),
        ];
        for (charset, title, text) in cases {
            let page = format!("<title>{title}</title>{junk}<p>{text}</p>");
            let bytes = encode(Encoding::for_label(charset.as_bytes()).unwrap(), &page);
            let got = decode(&bytes, None);
            assert!(got.text.contains(text), "{charset} as {}: {}", got.charset, &got.text[got.text.len() - 300..]);
        }
        // Around bytes that are not ASCII, whole words, and no more than asked for.
        let bytes = b"<p>one tw\xF6 three <b>fo\xFCr</b> .................................................... f\xEFve";
        let all: Vec<&[u8]> =
            std::iter::successors(stretch(bytes, 0, 99), |last| stretch(bytes, last.end, 99)).map(|range| &bytes[range]).collect();
        assert_eq!(all, [&b"tw\xF6 three <b>fo\xFCr"[..], b"f\xEFve"]);
        assert_eq!(stretch(&[0xD0; 9999], 0, 100), Some(0..100 + DETECTOR_BYTES));
        // Not in the middle of a character: half a character rules its charset out.
        let odd = format!("{}{}<p>{CHINESE}", "一".repeat(1000), "是".repeat(1100));
        check(&encode(GBK, &odd)[..], None, "gb18030", CharsetSource::Detector, CHINESE);
        check(&[b"a", encode(GBK, &odd).as_slice()].concat(), None, "gb18030", CharsetSource::Detector, CHINESE);
        assert_eq!(stretch(b"ascii", 0, 100), None);
    }

    #[test]
    fn right_declarations_of_other_alphabets_stand() {
        for (charset, text) in [
            ("windows-1251", "Волга является самой длинной рекой в Европе."),
            ("windows-1251", "ВОЛГА, ДОН"),
            ("windows-1253", "Ο Αλιάκμονας είναι ο μεγαλύτερος ποταμός."),
            ("windows-1256", "يعد نهر النيل أطول نهر في العالم"),
            ("windows-1255", "הירדן הוא הנהר הארוך ביותר בארץ"),
            ("windows-874", "แม่น้ำเจ้าพระยาเป็นแม่น้ำสายสำคัญ"),
            ("koi8-r", "Волга впадает в Каспийское море"),
        ] {
            let encoding = Encoding::for_label(charset.as_bytes()).unwrap();
            // Little text, on which the detector errs.
            for text in text.split(' ').chain([text]) {
                check(&encode(encoding, text), Some(charset), encoding.name(), CharsetSource::Http, text);
            }
            check(text.as_bytes(), Some(charset), "UTF-8", CharsetSource::Overruled, text);
        }
        let russian = "Волга является самой длинной рекой в Европе и впадает в Каспийское море.";
        check(&encode(encoding_rs::WINDOWS_1251, russian), Some("iso-8859-1"), "windows-1251", CharsetSource::Overruled, russian);
    }

    #[test]
    fn chinese_beyond_doubt_is_no_other_charset() {
        let many = |text: &str| format!("<p class=a>{}</p>", text.repeat(200 / text.chars().count() + 1));
        let chinese = encode(GBK, &many(CHINESE));
        assert!(reads_as_gbk(&chinese));
        check(&chinese, None, "gb18030", CharsetSource::Detector, CHINESE);
        // Too little, or not all of it characters.
        assert!(!reads_as_gbk(&encode(GBK, CHINESE)) && !reads_as_gbk(&chinese[..chinese.len() - 5]));
        assert!(!reads_as_gbk(&[chinese.as_slice(), b"\x80\xFF"].concat()) && !reads_as_gbk(b""));
        for (charset, text) in [
            ("big5", "臺灣最高的山是玉山，海拔三千九百五十二公尺，這是位於南投縣、高雄市與嘉義縣交界的山，也是東亞最高的山。"),
            ("euc-jp", "日本で一番高い山は富士山です。標高は三千七百七十六メートルで、静岡県と山梨県にまたがっています。"),
            ("shift_jis", "日本で一番高い山は富士山です。標高は三千七百七十六ﾒｰﾄﾙで、静岡県と山梨県にまたがっています。"),
            ("euc-kr", "한라산은 대한민국에서 가장 높은 산으로 되어 있으며, 제주도의 한가운데에 솟아 있는 산이다."),
            ("koi8-r", "Волга впадает в Каспийское море, а как и откуда она берёт начало, знает всякий русский."),
            ("windows-1251", "Волга впадает в Каспийское море, а как и откуда она берёт начало, знает всякий русский."),
            ("windows-1252", "L’été dernier, nous avons visité la forêt près de Besançon où dînent les élèves."),
        ] {
            let bytes = encode(Encoding::for_label(charset.as_bytes()).unwrap(), &many(text));
            assert!(!reads_as_gbk(&bytes), "{charset}");
        }
    }

    #[test]
    fn utf_16_needs_no_mark() {
        let page = "<p>Größe 山</p>";
        let le: Vec<u8> = page.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = page.encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(&le, Some("utf-16le"), "UTF-16LE", CharsetSource::Http, page);
        check(&be, None, "UTF-16BE", CharsetSource::Detector, page);
        check(&[b"\xFF\xFE", le.as_slice()].concat(), None, "UTF-16LE", CharsetSource::Bom, page);
        // A header of a page that was written anew.
        check(b"<p>plain", Some("utf-16"), "UTF-8", CharsetSource::Detector, "<p>plain");
        assert_eq!(wide(b"\x7FELF\0\0", None), None);
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
