//! Lists of addresses that a user gives: domains, exact addresses, and words, hard and soft.

use crate::reason::{Reason, Rejection};
use std::collections::HashSet;

/// What is refused by its address alone.
#[derive(Debug, Default)]
pub struct UrlRules {
    domains: HashSet<String>,
    urls: HashSet<String>,
    hard: Words,
    soft: Words,
    min_soft: usize,
}

/// Words in two kinds: those that stand between marks in an address, and those of scripts that put no marks between words.
#[derive(Debug, Default)]
struct Words {
    whole: HashSet<String>,
    anywhere: Vec<String>,
}

impl Words {
    fn add(&mut self, word: String) {
        if word.is_ascii() {
            self.whole.insert(word);
        } else {
            self.anywhere.push(word);
        }
    }

    /// Words found in the address, each as often as it stands there.
    fn find<'a>(&'a self, url: &'a str) -> impl Iterator<Item = &'a str> {
        let parts = url.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| self.whole.contains(*part));
        parts.chain(self.anywhere.iter().flat_map(|word| url.matches(word.as_str())))
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.anywhere.is_empty()
    }
}

/// The kinds of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Domains; everything below them is meant too.
    Domains,
    /// Addresses.
    Urls,
    /// Words of which one is enough.
    Hard,
    /// Words of which several are needed.
    Soft,
}

impl UrlRules {
    /// No lists yet; `min_soft` soft words are needed to refuse an address.
    #[must_use]
    pub fn new(min_soft: usize) -> Self {
        Self { min_soft, ..Self::default() }
    }

    /// Takes over a list: an entry a line, `#` begins a comment.
    pub fn add(&mut self, list: List, text: &str) {
        let entries = text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty());
        for entry in entries {
            let entry = entry.to_lowercase();
            match list {
                List::Domains => {
                    self.domains.insert(host(&entry).trim_start_matches("*.").to_owned());
                }
                List::Urls => {
                    self.urls.insert(plain(&entry).to_owned());
                }
                List::Hard => self.hard.add(entry),
                List::Soft => self.soft.add(entry),
            }
        }
    }

    /// Refuses an address that a list names.
    ///
    /// # Errors
    /// The rejection, with the entry that it is for.
    pub fn check(&self, url: &str) -> Result<(), Rejection> {
        if self.domains.is_empty() && self.urls.is_empty() && self.hard.is_empty() && self.soft.is_empty() {
            return Ok(());
        }
        let refuse = |reason, entry: &str| Err(Rejection::new(reason).with_detail(entry));
        let url = url.trim().to_lowercase();
        let mut domain = host(&url);
        while !domain.is_empty() {
            if self.domains.contains(domain) {
                return refuse(Reason::UrlDomain, domain);
            }
            domain = domain.split_once('.').map_or("", |(_, above)| above);
        }
        if self.urls.contains(plain(&url)) {
            return refuse(Reason::UrlListed, plain(&url));
        }
        let url = percent_decoded(&url).to_lowercase();
        if let Some(word) = self.hard.find(&url).next() {
            return refuse(Reason::UrlWords, word);
        }
        let soft: Vec<&str> = self.soft.find(&url).collect();
        if !soft.is_empty() && soft.len() >= self.min_soft {
            let rejection = Rejection::measured(Reason::UrlWords, soft.len() as f64, self.min_soft as f64);
            return Err(rejection.with_detail(soft.join(", ")));
        }
        Ok(())
    }
}

/// The address without its scheme, fragment and last slash.
fn plain(url: &str) -> &str {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    url.split('#').next().unwrap_or("").trim_end_matches('/')
}

/// The host of an address, without user and port.
fn host(url: &str) -> &str {
    let authority = plain(url).split(['/', '?']).next().unwrap_or("");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or("").trim_end_matches('.')
}

fn percent_decoded(url: &str) -> String {
    let bytes = url.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_by_its_own_rule() {
        let mut rules = UrlRules::new(2);
        rules.add(List::Domains, "# bad ones\nBad.example\n*.ads.example # all of it\n");
        rules.add(List::Urls, "https://news.example/Spam/\n");
        rules.add(List::Hard, "casino\n赌场");
        rules.add(List::Soft, "bonus\ncheap\n优惠");
        let reason = |url: &str| rules.check(url).err().map(|r| r.reason);
        for url in ["http://bad.example/", "https://u@WWW.Bad.example:8080/x?y", "http://x.y.bad.example", "http://ads.example."] {
            assert_eq!(reason(url), Some(Reason::UrlDomain), "{url}");
        }
        assert_eq!(reason("http://news.example/spam#top"), Some(Reason::UrlListed));
        for url in [
            "http://a.example/my-casino/1",
            "http://a.example/%E8%B5%8C%E5%9C%BA%E5%A4%A7%E5%85%A8",
            "http://a.example/cheap_bonus",
            "http://a.example/cheap/cheap",
            "http://a.example/优惠?bonus=1",
        ] {
            assert_eq!(reason(url), Some(Reason::UrlWords), "{url}");
        }
        for url in [
            "http://notbad.example/",
            "http://bad.example.org/",
            "http://news.example/spam/2",
            "http://a.example/casinos",
            "http://a.example/cheap",
            "http://a.example/优惠",
            "",
            "%",
            "http://",
        ] {
            assert_eq!(reason(url), None, "{url}");
        }
    }

    #[test]
    fn no_lists_refuse_nothing() {
        assert!(UrlRules::new(0).check("http://a.example/").is_ok());
    }
}
