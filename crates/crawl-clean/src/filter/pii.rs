//! Personal data: e-mail addresses, telephone numbers and public IP addresses, replaced and counted.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::OnceLock;

/// How many of each kind were replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// E-mail addresses.
    pub emails: u64,
    /// Telephone numbers.
    pub phones: u64,
    /// IP addresses.
    pub ips: u64,
}

struct Patterns {
    email: Regex,
    phone: Regex,
    ip: Regex,
}

/// Telephone numbers as they are written: with a country code, in North American groups, Chinese mobile and landline numbers.
/// A bare run of digits is none, so that populations and years stay.
const PHONE: &str = r"(?x)
      \+\d{1,3}[\s.\-]?(?:\(\d{1,4}\)[\s.\-]?)?\d{1,4}(?:[\s.\-]?\d{2,4}){1,4}
    | \(\d{3}\)\s?\d{3}[\s.\-]\d{4}
    | (?-u:\b)\d{3}[.\-]\d{3}[.\-]\d{4}(?-u:\b)
    | (?-u:\b)1[3-9]\d[\s\-]?\d{4}[\s\-]?\d{4}(?-u:\b)
    | (?-u:\b)0\d{2,3}\-\d{7,8}(?-u:\b)
    | (?-u:\b)400\-\d{3,4}\-\d{3,4}(?-u:\b)";

fn patterns() -> &'static Patterns {
    static PATTERNS: OnceLock<Patterns> = OnceLock::new();
    #[expect(clippy::unwrap_used, reason = "constant patterns that a test compiles")]
    PATTERNS.get_or_init(|| Patterns {
        email: Regex::new(r"[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}(?-u:\b)").unwrap(),
        phone: Regex::new(PHONE).unwrap(),
        ip: Regex::new(r"(?-u:\b)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?-u:\b)").unwrap(),
    })
}

/// Replaces personal data by `<email>`, `<phone>` and `<ip>`.
#[must_use]
pub fn replace(text: &str) -> (Cow<'_, str>, Counts) {
    let mut counts = Counts::default();
    let mut out = Cow::Borrowed(text);
    let patterns = patterns();
    if text.contains('@') {
        substitute(&mut out, &patterns.email, "<email>", &mut counts.emails, |_| true);
    }
    if text.bytes().any(|b| b.is_ascii_digit()) {
        substitute(&mut out, &patterns.ip, "<ip>", &mut counts.ips, is_public_ip);
        substitute(&mut out, &patterns.phone, "<phone>", &mut counts.phones, |number| digits(number) >= 8);
    }
    (out, counts)
}

fn substitute(text: &mut Cow<'_, str>, pattern: &Regex, mark: &str, count: &mut u64, accept: impl Fn(&str) -> bool) {
    let replaced = pattern.replace_all(text, |found: &Captures<'_>| {
        if accept(&found[0]) {
            *count += 1;
            mark.to_owned()
        } else {
            found[0].to_owned()
        }
    });
    if let Cow::Owned(new) = replaced {
        *text = Cow::Owned(new);
    }
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// True for an address of the public Internet: private ranges, loopback and version numbers name nobody.
fn is_public_ip(text: &str) -> bool {
    let Ok(address) = text.parse::<std::net::Ipv4Addr>() else {
        return false;
    };
    let [first, ..] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || !(4..224).contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        assert_eq!(replace(text).0, want);
    }

    #[test]
    fn replaces_each_kind() {
        check("Mail jane.doe+x@mail.example.co.uk now.", "Mail <email> now.");
        check("Call +44 20 7946 0958 or (555) 123-4567.", "Call <phone> or <phone>.");
        check("手机13812345678，座机010-62345678。", "手机<phone>，座机<phone>。");
        check("邮箱：wang@example.com。", "邮箱：<email>。");
        check("from 8.8.8.8 to 192.168.0.1", "from <ip> to 192.168.0.1");
        assert_eq!(replace("a@b.cc 8.8.4.4").1, Counts { emails: 1, phones: 0, ips: 1 });
    }

    #[test]
    fn facts_stay() {
        for text in [
            "The population was 1,400,050,000 in 2020.",
            "It is 8848.86 m high, +5 degrees.",
            "人口1411778724人，1949-10-01。",
            "version 1.2.3.4",
            "ISBN 978-7-301-1",
        ] {
            check(text, text);
        }
    }
}
