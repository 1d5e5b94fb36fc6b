//! One page from raw bytes to a document or a refusal: a pure function, run for many pages at once.

use crate::charset::{CharsetSource, decode};
use crate::config::Config;
use crate::decontaminate::{Finding, Questions, Verdict};
use crate::dedup::Signature;
use crate::dom::Limits;
use crate::extract::{Extracted, Question, extract};
use crate::filter::{self, Class, pii};
use crate::input::http::Response;
use crate::input::{Content, Item, RawPage};
use crate::reason::{Reason, Rejection};
use corpus::MinHasher;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A document as it goes into the `documents` table, with what deduplication needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Digest of source, URL and text.
    pub id: String,
    /// Address.
    pub url: String,
    /// The text.
    pub text: String,
    /// Language tag.
    pub language: &'static str,
    /// How sure the language is.
    pub language_score: f32,
    /// Title of the page.
    pub title: Option<String>,
    /// Date of the page or of its record.
    pub date: Option<String>,
    /// Author as the page states it.
    pub author: Option<String>,
    /// Questions and answers that the page marks up.
    pub questions: Vec<Question>,
    /// Offset of the record.
    pub offset: i64,
    /// Charset the bytes were decoded with.
    pub charset: Option<&'static str>,
    /// Who decided on it.
    pub charset_source: Option<&'static str>,
    /// Characters that could not be decoded.
    pub replaced_chars: usize,
    /// Digest of the payload as the record states it.
    pub payload_digest: Option<String>,
    /// Personal data replaced in the text.
    pub pii: pii::Counts,
    /// Tasks whose questions were met in the text.
    pub contaminated: BTreeSet<String>,
    /// What duplicates are found by; `None` with deduplication off.
    pub signature: Option<Signature>,
}

impl Document {
    /// What is counted of a document that is kept.
    pub(crate) fn counts_if_kept(&self) -> [(&'static str, u64); 5] {
        [
            ("kept", 1),
            ("kept.text_bytes", self.text.len() as u64),
            ("pii.emails", self.pii.emails),
            ("pii.phones", self.pii.phones),
            ("pii.ips", self.pii.ips),
        ]
    }
}

/// Something refused, as it goes into the `rejected` table.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Identifier of the document, empty if it had no text yet.
    pub id: String,
    /// Address, empty if unknown.
    pub url: String,
    /// Offset of the record.
    pub offset: i64,
    /// The text as far as it is kept for inspection.
    pub text: Option<String>,
    /// Why.
    pub rejection: Rejection,
}

/// What became of an item of the input.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A document that passed everything that looks at it alone.
    Document(Box<Document>),
    /// A refusal.
    Refused(Box<Refused>),
    /// A record that is no page.
    Other,
}

/// What all pages of a run share.
#[derive(Debug)]
pub struct Cleaner<'a> {
    config: &'a Config,
    hasher: MinHasher,
    questions: Option<Questions>,
}

/// Seed of the signatures. Fixed: signatures of earlier runs have to compare with those of later ones.
const SIGNATURE_SEED: u64 = 1;

impl<'a> Cleaner<'a> {
    /// A cleaner for a configuration.
    #[must_use]
    pub fn new(config: &'a Config) -> Self {
        let shape = config.dedup.shape();
        let hasher = MinHasher::new(shape.bands, shape.rows, SIGNATURE_SEED);
        Self { config, hasher, questions: None }
    }

    /// The same, looking for questions of evaluation tasks.
    #[must_use]
    pub fn with_questions(self, questions: Option<Questions>) -> Self {
        Self { questions, ..self }
    }

    /// Turns an item of the input named `source` into what is written.
    #[must_use]
    pub fn clean(&self, item: Item, source: &str) -> Outcome {
        let page = match item {
            Item::Page(page) => page,
            Item::Other => return Outcome::Other,
            Item::Bad { url, offset, rejection } => {
                return Outcome::Refused(Box::new(Refused { id: String::new(), url, offset, text: None, rejection }));
            }
        };
        let url = page.url.clone();
        let offset = page.offset;
        match self.page(page, source) {
            Ok(document) => Outcome::Document(Box::new(document)),
            Err((rejection, text)) => {
                let id = text.as_deref().map(|text| handoff::document_id(source, &url, text)).unwrap_or_default();
                let text = text.map(|text| self.sample(&text)).filter(|text| !text.is_empty());
                Outcome::Refused(Box::new(Refused { id, url, offset, text, rejection }))
            }
        }
    }

    /// The beginning of a refused text.
    #[must_use]
    pub fn sample(&self, text: &str) -> String {
        text.chars().take(self.config.rejected_text_chars).collect()
    }

    fn page(&self, page: RawPage, source: &str) -> Result<Document, (Rejection, Option<String>)> {
        let config = self.config;
        let read = self.read(page.content).map_err(|rejection| (rejection, None))?;
        let Read { extracted, charset, charset_source, replaced_chars } = read;
        let everything = !config.filter.enabled && !config.language.enabled && !config.dedup.enabled;
        let text = extracted.text;
        if text.is_empty() && !everything {
            return Err((Rejection::new(Reason::Empty), None));
        }
        if config.filter.enabled {
            let share = replaced_chars as f64 / text.chars().count().max(1) as f64;
            if share > config.max_replaced_share {
                return Err((Rejection::measured(Reason::Charset, share, config.max_replaced_share), Some(text)));
            }
        }
        let language = corpus::language(&text);
        if config.language.enabled
            && let Err(rejection) = self.check_language(language)
        {
            return Err((rejection, Some(text)));
        }
        let (text, pii) = match self.filter(&text, language.tag) {
            Ok((Cow::Owned(replaced), counts)) => (replaced, counts),
            Ok((Cow::Borrowed(_), counts)) => (text, counts),
            Err(rejection) => return Err((rejection, Some(text))),
        };
        let (text, contaminated) = self.decontaminate(text)?;
        let signature = config.dedup.enabled.then(|| Signature::of(&text, &page.url, &self.hasher, &config.dedup));
        Ok(Document {
            id: handoff::document_id(source, &page.url, &text),
            url: page.url,
            text,
            language: language.tag,
            language_score: language.score,
            title: extracted.title,
            date: extracted.date.or(page.date),
            author: extracted.author,
            questions: extracted.questions,
            offset: page.offset,
            charset,
            charset_source,
            replaced_chars,
            payload_digest: page.payload_digest,
            pii,
            contaminated,
            signature,
        })
    }

    /// Takes questions of evaluation tasks out.
    fn decontaminate(&self, text: String) -> Result<(String, BTreeSet<String>), (Rejection, Option<String>)> {
        match self.questions.as_ref().and_then(|questions| questions.check(&text)) {
            None => Ok((text, BTreeSet::new())),
            Some(Finding { tasks, verdict: Verdict::Keep }) => Ok((text, tasks)),
            Some(Finding { tasks, verdict: Verdict::Replace(text) }) => Ok((text, tasks)),
            Some(Finding { verdict: Verdict::Drop(question), .. }) => {
                Err((Rejection::new(Reason::Contaminated).with_detail(question), Some(text)))
            }
        }
    }

    fn check_language(&self, language: corpus::Language) -> Result<(), Rejection> {
        let config = self.config;
        let refuse =
            || Rejection::measured(Reason::Language, f64::from(language.score), config.language.min_score).with_detail(language.tag);
        let wanted = config.languages.iter().any(|wanted| corpus::matches_tag(language.tag, wanted));
        let sure = language.tag == "und" || f64::from(language.score) >= config.language.min_score;
        if wanted && sure { Ok(()) } else { Err(refuse()) }
    }

    fn filter<'t>(&self, text: &'t str, tag: &str) -> Result<(Cow<'t, str>, pii::Counts), Rejection> {
        let filters = &self.config.filter;
        if !filters.enabled {
            return Ok((Cow::Borrowed(text), pii::Counts::default()));
        }
        let class = filter::class(tag, text);
        let rules = if class == Class::Han { &filters.han } else { &filters.words };
        filter::check(text, tag, class, rules)?;
        Ok(if filters.replace_pii { pii::replace(text) } else { (Cow::Borrowed(text), pii::Counts::default()) })
    }

    /// Decodes and extracts.
    fn read(&self, content: Content) -> Result<Read, Rejection> {
        match content {
            Content::Text(text) => Ok(Read::given(Extracted { text: tidy(&text), ..Extracted::default() })),
            Content::HtmlText(html) => Ok(Read::given(self.extract(&html)?)),
            Content::Html(bytes) => self.html(&bytes, None),
            Content::Http(block) => {
                let response = Response::parse(&block)?;
                response.check()?;
                let body = response.decoded(self.config.max_page_bytes)?;
                let kind = response.media_type();
                if body[..body.len().min(512)].contains(&0) && !is_wide(&body) {
                    return Err(Rejection::new(Reason::ContentType).with_detail("binary data"));
                }
                if kind.as_deref() == Some("text/plain") {
                    let decoded = decode(&body, response.charset());
                    let text = tidy(&decoded.text);
                    return Ok(Read::decoded(Extracted { text, ..Extracted::default() }, &decoded));
                }
                if kind.is_none() && !body.trim_ascii_start().starts_with(b"<") && !is_wide(&body) {
                    return Err(Rejection::new(Reason::ContentType).with_detail("no content type, and not HTML by its look"));
                }
                self.html(&body, response.charset())
            }
        }
    }

    fn html(&self, bytes: &[u8], http_charset: Option<&str>) -> Result<Read, Rejection> {
        let decoded = decode(bytes, http_charset);
        Ok(Read::decoded(self.extract(&decoded.text)?, &decoded))
    }

    fn extract(&self, html: &str) -> Result<Extracted, Rejection> {
        let limits = Limits { nodes: self.config.max_nodes, depth: self.config.max_depth };
        let extracted = extract(html, limits, self.config.markup);
        if extracted.cut && self.config.filter.enabled {
            return Err(Rejection::new(Reason::HtmlLimits));
        }
        Ok(extracted)
    }
}

/// True for UTF-16 with a byte order mark, whose text is full of zero bytes.
fn is_wide(body: &[u8]) -> bool {
    body.starts_with(&[0xFF, 0xFE]) || body.starts_with(&[0xFE, 0xFF])
}

struct Read {
    extracted: Extracted,
    charset: Option<&'static str>,
    charset_source: Option<&'static str>,
    replaced_chars: usize,
}

impl Read {
    fn given(extracted: Extracted) -> Self {
        Self { extracted, charset: None, charset_source: Some(CharsetSource::Given.as_str()), replaced_chars: 0 }
    }

    fn decoded(extracted: Extracted, decoded: &crate::charset::Decoded) -> Self {
        // Only what reached the text counts: a page may be broken where nobody reads it.
        let replaced_chars = extracted.text.matches('\u{FFFD}').count();
        Self { extracted, charset: Some(decoded.charset), charset_source: Some(decoded.source.as_str()), replaced_chars }
    }
}

/// Text as given, with trimmed lines and without empty ones.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;

    fn clean(config: &Config, content: Content) -> Outcome {
        let page = RawPage { url: "http://a.example/".into(), offset: 7, date: None, payload_digest: None, content };
        Cleaner::new(config).clean(Item::Page(page), "a.warc")
    }

    fn reason(config: &Config, content: Content) -> Option<Reason> {
        match clean(config, content) {
            Outcome::Refused(refused) => Some(refused.rejection.reason),
            _ => None,
        }
    }

    fn http(head: &str, body: &str) -> Content {
        Content::Http(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
    }

    #[test]
    fn refusals_name_their_step() {
        let config = defaults();
        let french = "Le fleuve prend sa source dans les montagnes et traverse trois pays avant de se jeter dans la mer, loin de là.";
        assert_eq!(reason(&config, http("404 Not Found", "")), Some(Reason::HttpStatus));
        assert_eq!(reason(&config, http("200 OK\r\nContent-Type: image/png", "")), Some(Reason::ContentType));
        assert_eq!(reason(&config, http("200 OK\r\nContent-Type: text/html", "\0\u{1}\u{2}\0binary")), Some(Reason::ContentType));
        assert_eq!(reason(&config, http("200 OK", "<html></html>")), Some(Reason::Empty));
        assert_eq!(reason(&config, http("200 OK", &format!("<p>{french}</p>"))), Some(Reason::Language));
        assert_eq!(reason(&config, Content::Html(b"<p>Too short for anyone to learn from it at all.".to_vec())), Some(Reason::TooShort));
        assert_eq!(reason(&config, Content::HtmlText("<i>".repeat(5000) + "deep")), Some(Reason::HtmlLimits));
    }

    #[test]
    fn everything_comes_out_with_all_switches_off() {
        let mut config = defaults();
        (config.filter.enabled, config.language.enabled, config.dedup.enabled) = (false, false, false);
        for content in [Content::Text(" a \n\n b ".into()), Content::Html(b"<p>x".to_vec()), http("200 OK", "<html></html>")] {
            assert!(matches!(clean(&config, content), Outcome::Document(_)));
        }
        let Outcome::Document(document) = clean(&config, Content::Text(" a \n\n b ".into())) else { panic!("a document") };
        assert_eq!((document.text.as_str(), document.offset, document.signature), ("a\nb", 7, None));
    }
}
