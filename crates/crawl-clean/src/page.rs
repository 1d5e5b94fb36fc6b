//! One page from raw bytes to a document or a refusal: a pure function, run for many pages at once.

use crate::assets::Assets;
use crate::charset::{CharsetSource, decode, wide};
use crate::config::Config;
use crate::decontaminate::{Finding, Verdict};
use crate::dedup::Signature;
use crate::dom::Limits;
use crate::extract::{Extracted, Question, extract};
use crate::extracted::Stored;
use crate::filter::lines::Removed;
use crate::filter::{self, Judgement, Scores, Scratch, pii};
use crate::input::http::{Body, Response};
use crate::input::{Content, Item, RawPage, date};
use crate::model::language_tag;
use crate::personal;
use crate::reason::{Reason, Rejection};
use corpus::MinHasher;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A page with its text, before anything judges it: what extraction alone decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    /// Address.
    pub url: String,
    /// Offset of the record.
    pub offset: i64,
    /// Date of the page or of its record.
    pub date: Option<String>,
    /// Date of the record.
    pub crawl_date: Option<String>,
    /// Why there is only the beginning of the page: what its record states, or [`CODING_ENDS`].
    pub truncated: Option<String>,
    /// Digest of the payload as the record states it.
    pub payload_digest: Option<String>,
    /// Headers of the response, as [`Response::header_lines`] has them.
    pub http_headers: Option<String>,
    /// Title of the page.
    pub title: Option<String>,
    /// Author as the page states it.
    pub author: Option<String>,
    /// Questions and answers that the page marks up.
    pub questions: Vec<Question>,
    /// The text.
    pub text: String,
    /// Charset the bytes were decoded with.
    pub charset: Option<Cow<'static, str>>,
    /// Who decided on it.
    pub charset_source: Option<Cow<'static, str>>,
    /// Characters that could not be decoded.
    pub replaced_chars: usize,
    /// The page exceeded the caps on nodes or depth.
    pub cut: bool,
    /// Language tag as scripts and the built-in model have it.
    pub language: Cow<'static, str>,
    /// How sure the language is.
    pub language_score: f32,
}

/// Value of [`Reached::truncated`] where a body ends before its coding does.
pub const CODING_ENDS: &str = "coding";

/// A document as it goes into the `documents` table, with what deduplication needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Digest of source, URL and text.
    pub id: String,
    /// The page, its text as filters left it.
    pub page: Reached,
    /// What filters measured; `None` where they are off.
    pub scores: Option<Scores>,
    /// What line edits took away.
    pub removed: Removed,
    /// Personal data replaced in the text.
    pub pii: pii::Counts,
    /// Tasks whose questions were met in the text.
    pub contaminated: BTreeSet<String>,
    /// What duplicates are found by; `None` with deduplication off.
    pub signature: Option<Signature>,
}

impl Document {
    /// What is counted of a document that is kept.
    pub(crate) fn counts_if_kept(&self) -> [(&'static str, u64); 10] {
        [
            ("kept", 1),
            ("kept.truncated", u64::from(self.page.truncated.is_some())),
            ("kept.text_bytes", self.page.text.len() as u64),
            ("pii.emails", self.pii.emails),
            ("pii.phones", self.pii.phones),
            ("pii.ips", self.pii.ips),
            ("pii.ids", self.pii.ids),
            ("pii.cards", self.pii.cards),
            ("edited.lines", self.removed.lines),
            ("edited.chars", self.removed.chars),
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
    /// Bytes of the whole text.
    pub text_bytes: usize,
    /// Why: the first rule broken.
    pub rejection: Rejection,
    /// Every reason, the first one first, each once.
    pub failed: Vec<Reason>,
    /// What filters measured; `None` where they did not look.
    pub scores: Option<Scores>,
}

impl Refused {
    /// A refusal before there is a text.
    #[must_use]
    pub fn early(url: String, offset: i64, rejection: Rejection) -> Self {
        let failed = vec![rejection.reason];
        Self { id: String::new(), url, offset, text: None, text_bytes: 0, rejection, failed, scores: None }
    }
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

/// Time spent on a page, by step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Decoding and extraction.
    pub extract: Duration,
    /// Finding the language.
    pub language: Duration,
    /// Measuring and judging.
    pub filter: Duration,
    /// Replacing personal data.
    pub pii: Duration,
    /// Looking for questions of evaluation tasks.
    pub decontaminate: Duration,
    /// Signatures for deduplication.
    pub signature: Duration,
}

impl Spent {
    /// Number of steps.
    pub const STEPS: usize = 6;

    /// The steps in order, with their names.
    #[must_use]
    pub fn steps(&self) -> [(&'static str, Duration); Self::STEPS] {
        [
            ("extract", self.extract),
            ("language", self.language),
            ("filter", self.filter),
            ("pii", self.pii),
            ("decontaminate", self.decontaminate),
            ("signature", self.signature),
        ]
    }
}

/// Measures the time of a step.
fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let out = work();
    *spent += started.elapsed();
    out
}

/// What all pages of a run share.
#[derive(Debug)]
pub struct Cleaner<'a> {
    config: &'a Config,
    assets: &'a Assets,
    hasher: MinHasher,
}

/// Characters of a text that are shown to the user's language model.
const LANGUAGE_CHARS: usize = 4000;

/// What comes of an item.
#[derive(Debug)]
pub struct Cleaned {
    /// What is written.
    pub outcome: Outcome,
    /// Time spent.
    pub spent: Spent,
    /// What extraction found, where it is to be kept.
    pub stored: Option<Stored>,
}

/// Seed of the signatures. Fixed: signatures of earlier runs have to compare with those of later ones.
const SIGNATURE_SEED: u64 = 1;

thread_local! {
    /// Memory of the filters, used again from page to page.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Does the work of one page; a panic in it costs that page and no other.
fn guard<T>(url: &str, offset: i64, work: impl FnOnce() -> Result<T, Outcome>) -> Result<T, Outcome> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        // What it was writing to is in no known state.
        SCRATCH.take();
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("no message");
        tracing::warn!(url, offset, message, "a page made the program panic and was refused: this is a mistake of ours, please report it");
        let rejection = Rejection::new(Reason::Panicked).with_detail(message);
        Err(Outcome::Refused(Box::new(Refused::early(url.to_owned(), offset, rejection))))
    })
}

impl<'a> Cleaner<'a> {
    /// A cleaner for a configuration.
    #[must_use]
    pub fn new(config: &'a Config, assets: &'a Assets) -> Self {
        let shape = config.dedup.shape();
        let hasher = MinHasher::new(shape.bands, shape.rows, SIGNATURE_SEED);
        Self { config, assets, hasher }
    }

    /// Turns an item of the input named `source` into what is written; with `store` also into what is kept of its extraction.
    #[must_use]
    pub fn clean(&self, item: Item, source: &str, store: bool) -> Cleaned {
        let mut spent = Spent::default();
        let (url, offset) = item.place();
        let reached = guard(&url, offset, || self.reach(item, &mut spent));
        let stored = store.then(|| match &reached {
            Ok(page) => Stored::Page(Box::new(page.clone())),
            Err(Outcome::Refused(refused)) => {
                Stored::Refused { url: refused.url.clone(), offset: refused.offset, rejection: refused.rejection.clone() }
            }
            Err(_) => Stored::Other,
        });
        let outcome = match reached {
            Ok(page) => guard(&url, offset, || {
                let mut outcome = self.judge(page, source, &mut spent);
                if let (Outcome::Document(document), true) = (&mut outcome, self.config.filter.enabled && self.config.filter.replace_pii) {
                    timed(&mut spent.pii, || personal::replace_beside(document));
                }
                Ok(outcome)
            })
            .unwrap_or_else(|refused| refused),
            Err(outcome) => outcome,
        };
        Cleaned { outcome, spent, stored }
    }

    /// Brings an item to its text.
    ///
    /// # Errors
    /// What becomes of an item that has none.
    pub fn reach(&self, item: Item, spent: &mut Spent) -> Result<Reached, Outcome> {
        let page = match item {
            Item::Page(page) => page,
            Item::Reached(page) => return Ok(*page),
            Item::Other => return Err(Outcome::Other),
            Item::Bad { url, offset, rejection } => return Err(Outcome::Refused(Box::new(Refused::early(url, offset, rejection)))),
        };
        let RawPage { url, offset, date, payload_digest, truncated, content } = page;
        let date = date.as_deref().and_then(date::stated).map(str::to_owned);
        // Before anything of the body is decoded.
        if let Err(rejection) = self.assets.urls().check(&url) {
            return Err(Outcome::Refused(Box::new(Refused::early(url, offset, rejection))));
        }
        match timed(&mut spent.extract, || self.read(content)) {
            Ok(Read { extracted, charset, charset_source, replaced_chars, cut_short, http_headers }) => {
                let language = timed(&mut spent.language, || corpus::language(&extracted.text));
                Ok(Reached {
                    url,
                    offset,
                    date: extracted.date.or_else(|| date.clone()),
                    crawl_date: date,
                    truncated: truncated.or_else(|| cut_short.then(|| CODING_ENDS.to_owned())),
                    payload_digest,
                    http_headers,
                    title: extracted.title,
                    author: extracted.author,
                    questions: extracted.questions,
                    text: extracted.text,
                    charset: charset.map(Cow::Borrowed),
                    charset_source: charset_source.map(Cow::Borrowed),
                    replaced_chars,
                    cut: extracted.cut,
                    language: Cow::Borrowed(language.tag),
                    language_score: language.score,
                })
            }
            Err(rejection) => Err(Outcome::Refused(Box::new(Refused::early(url, offset, rejection)))),
        }
    }

    /// Decides on a page by its text: a pure function of the page and the configuration.
    #[must_use]
    pub fn judge(&self, mut page: Reached, source: &str, spent: &mut Spent) -> Outcome {
        let config = self.config;
        let model_language = timed(&mut spent.language, || self.ask_language(&mut page));
        if let Err(rejection) = self.check_page(&page) {
            let text = (rejection.reason != Reason::Empty && rejection.reason != Reason::HtmlLimits).then_some(page.text.as_str());
            return self.refuse(&page, source, text, vec![rejection], None);
        }
        let (mut scores, mut removed, mut pii) = (None, Removed::default(), pii::Counts::default());
        if config.filter.enabled {
            let rules = self.assets.rules(&page.language, &page.text);
            let (edited, judgement) =
                timed(&mut spent.filter, || SCRATCH.with_borrow_mut(|scratch| filter::judge(&page.text, rules, scratch)));
            let Judgement { scores: measured, mut failed, removed: taken } = judgement;
            if edited.is_empty() {
                failed.push(Rejection::new(Reason::Empty));
            }
            if let (Some(score), Some(least)) = (model_language, rules.rules.min_model_score)
                && score < least
            {
                failed.push(Rejection::measured(Reason::Language, score, least).with_detail(page.language.as_ref()));
            }
            let filter = &config.filter;
            // Only what passes is searched, unless there is a limit for it.
            let found = filter.max_pii.map(|most| {
                let found = timed(&mut spent.pii, || pii::replace(&edited));
                let total = found.1.total();
                if total > most {
                    failed.push(Rejection::measured(Reason::PersonalData, total as f64, most as f64));
                }
                found
            });
            let model_quality = timed(&mut spent.filter, || self.ask_quality(&edited, &mut failed));
            let mut measured = Scores { model_language, model_quality, ..measured };
            if !failed.is_empty() {
                measured.pii = found.map(|(_, counts)| counts.total() as f64);
                return self.refuse(&page, source, Some(&page.text), failed, Some(measured));
            }
            let found = found.or_else(|| filter.replace_pii.then(|| timed(&mut spent.pii, || pii::replace(&edited))));
            measured.pii = found.as_ref().map(|(_, counts)| counts.total() as f64);
            let mut text = None;
            if let Some((replaced, counts)) = found.filter(|_| filter.replace_pii) {
                pii = counts;
                text = if let Cow::Owned(replaced) = replaced { Some(replaced) } else { None };
            }
            let edited = if let Cow::Owned(edited) = edited { Some(edited) } else { None };
            if let Some(text) = text.or(edited) {
                page.text = text;
            }
            (scores, removed) = (Some(measured), taken);
        }
        let contaminated = match timed(&mut spent.decontaminate, || self.decontaminate(&mut page)) {
            Ok(tasks) => tasks,
            Err(rejection) => return self.refuse(&page, source, Some(&page.text), vec![rejection], scores),
        };
        let signature =
            config.dedup.enabled.then(|| timed(&mut spent.signature, || Signature::of(&page.text, &page.url, &self.hasher, &config.dedup)));
        let id = handoff::document_id(source, &page.url, &page.text);
        Outcome::Document(Box::new(Document { id, page, scores, removed, pii, contaminated, signature }))
    }

    /// Takes questions of evaluation tasks out; their tasks.
    fn decontaminate(&self, page: &mut Reached) -> Result<BTreeSet<String>, Rejection> {
        let Some(Finding { tasks, verdict }) = self.assets.questions().and_then(|questions| questions.check(&page.text)) else {
            return Ok(BTreeSet::new());
        };
        match verdict {
            Verdict::Keep => {}
            Verdict::Replace(text) => page.text = text,
            Verdict::Drop(question) => return Err(Rejection::new(Reason::Contaminated).with_detail(question)),
        }
        Ok(tasks)
    }

    /// The language by the user's model, which overrules ours; its score.
    fn ask_language(&self, page: &mut Reached) -> Option<f64> {
        let model = self.assets.language_model()?;
        let beginning = page.text.char_indices().nth(LANGUAGE_CHARS).map_or(page.text.len(), |(at, _)| at);
        let (label, score) = model.best(&page.text[..beginning]).unwrap_or_default();
        let sure = f64::from(score) >= self.config.language.model_min_score;
        page.language = if sure { Cow::Owned(language_tag(&label, &page.language)) } else { Cow::Borrowed("und") };
        page.language_score = score;
        Some(f64::from(score))
    }

    /// The score of the quality label by the user's model.
    fn ask_quality(&self, text: &str, failed: &mut Vec<Rejection>) -> Option<f64> {
        let quality = &self.config.quality;
        let score = f64::from(self.assets.quality_model()?.probability(text, &quality.label));
        if score < quality.min_score {
            failed.push(Rejection::measured(Reason::Quality, score, quality.min_score));
        }
        Some(score)
    }

    /// What is asked before the filters.
    fn check_page(&self, page: &Reached) -> Result<(), Rejection> {
        let config = self.config;
        let everything = !config.filter.enabled && !config.language.enabled && !config.dedup.enabled;
        if page.cut && config.filter.enabled {
            return Err(Rejection::new(Reason::HtmlLimits));
        }
        if page.text.is_empty() && !everything {
            return Err(Rejection::new(Reason::Empty));
        }
        if config.filter.enabled {
            let share = page.replaced_chars as f64 / page.text.chars().count().max(1) as f64;
            if share > config.max_replaced_share {
                return Err(Rejection::measured(Reason::Charset, share, config.max_replaced_share));
            }
        }
        if config.language.enabled { self.check_language(page) } else { Ok(()) }
    }

    fn check_language(&self, page: &Reached) -> Result<(), Rejection> {
        let config = self.config;
        let (tag, score) = (page.language.as_ref(), f64::from(page.language_score));
        let wanted = config.languages.iter().any(|wanted| corpus::matches_tag(tag, wanted));
        let sure = tag == "und" || score >= config.language.min_score;
        if wanted && sure {
            return Ok(());
        }
        Err(Rejection::measured(Reason::Language, score, config.language.min_score).with_detail(tag))
    }

    fn refuse(&self, page: &Reached, source: &str, text: Option<&str>, mut failed: Vec<Rejection>, scores: Option<Scores>) -> Outcome {
        let mut reasons = Vec::new();
        for rejection in &failed {
            if !reasons.contains(&rejection.reason) {
                reasons.push(rejection.reason);
            }
        }
        Outcome::Refused(Box::new(Refused {
            id: text.map(|text| handoff::document_id(source, &page.url, text)).unwrap_or_default(),
            url: page.url.clone(),
            offset: page.offset,
            text: text.map(|text| self.sample(text)).filter(|text| !text.is_empty()),
            text_bytes: page.text.len(),
            rejection: failed.swap_remove(0),
            failed: reasons,
            scores,
        }))
    }

    /// The beginning of a refused text.
    #[must_use]
    pub fn sample(&self, text: &str) -> String {
        text.chars().take(self.config.rejected_text_chars).collect()
    }

    /// Decodes and extracts.
    fn read(&self, content: Content) -> Result<Read, Rejection> {
        match content {
            Content::Text(text) => Ok(Read::given(Extracted { text: tidy(&text), ..Extracted::default() })),
            Content::HtmlText(html) => Ok(Read::given(self.extract(&html))),
            Content::Html(bytes) => Ok(self.html(&bytes, None)),
            Content::Http(block) => {
                let response = Response::parse(&block)?;
                response.check()?;
                let Body { bytes: body, truncated } = response.decoded(self.config.max_page_bytes)?;
                let kind = response.media_type();
                let wide = wide(&body, response.charset()).is_some();
                if body[..body.len().min(512)].contains(&0) && !wide {
                    return Err(Rejection::new(Reason::ContentType).with_detail("binary data"));
                }
                let marked = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&body);
                if kind.is_none() && !marked.trim_ascii_start().starts_with(b"<") && !wide {
                    return Err(Rejection::new(Reason::ContentType).with_detail("no content type, and not HTML by its look"));
                }
                let read = if kind.as_deref() == Some("text/plain") {
                    let decoded = decode(&body, response.charset());
                    let text = tidy(&decoded.text);
                    Read::decoded(Extracted { text, ..Extracted::default() }, &decoded)
                } else {
                    self.html(&body, response.charset())
                };
                Ok(Read { cut_short: truncated, http_headers: response.header_lines(), ..read })
            }
        }
    }

    fn html(&self, bytes: &[u8], http_charset: Option<&str>) -> Read {
        let decoded = decode(bytes, http_charset);
        Read::decoded(self.extract(&decoded.text), &decoded)
    }

    fn extract(&self, html: &str) -> Extracted {
        extract(html, Limits { nodes: self.config.max_nodes, depth: self.config.max_depth }, self.config.markup)
    }
}

struct Read {
    extracted: Extracted,
    charset: Option<&'static str>,
    charset_source: Option<&'static str>,
    replaced_chars: usize,
    /// The body ends before its coding does.
    cut_short: bool,
    http_headers: Option<String>,
}

impl Read {
    fn given(extracted: Extracted) -> Self {
        let charset_source = Some(CharsetSource::Given.as_str());
        Self { extracted, charset: None, charset_source, replaced_chars: 0, cut_short: false, http_headers: None }
    }

    fn decoded(extracted: Extracted, decoded: &crate::charset::Decoded) -> Self {
        // Only what reached the text counts: a page may be broken where nobody reads it.
        let replaced_chars = extracted.text.matches('\u{FFFD}').count();
        let (charset, charset_source) = (Some(decoded.charset), Some(decoded.source.as_str()));
        Self { extracted, charset, charset_source, replaced_chars, cut_short: false, http_headers: None }
    }
}

/// Text as given, with its indentation and its paragraphs: lines are trimmed at their ends, and at most one blank one stands between two.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for line in text.lines().map(str::trim_end) {
        // Wide spaces before a paragraph are an ornament, not its structure.
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let rest = line[indent..].trim_start();
        if rest.is_empty() {
            blank = !out.is_empty();
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank { "\n\n" } else { "\n" });
        }
        blank = false;
        out.push_str(&line[..indent]);
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;

    fn clean(config: &Config, content: Content) -> Outcome {
        let page = RawPage { url: "http://a.example/".into(), offset: 7, date: None, payload_digest: None, truncated: None, content };
        let assets = Assets::load(std::path::Path::new("."), config).unwrap();
        Cleaner::new(config, &assets).clean(Item::Page(page), "a.warc", false).outcome
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
    fn given_text_keeps_its_structure() {
        let code = "# Title\n\ndef f(x):\n    if x:\n\t\treturn 1";
        assert_eq!(tidy(&format!("\n \n{}\n\n", code.replace("\n\n", " \r\n\n \n\n"))), code);
        assert_eq!(tidy("　　第一段。\n　　第二段。　\n"), "第一段。\n第二段。");
        assert_eq!(tidy(" \n\t\n"), "");
        // So that repeated paragraphs are found.
        let mut config = defaults();
        (config.filter.preset, config.language.enabled) = ("gopher".into(), false);
        let Outcome::Refused(refused) = clean(&config, Content::Text("One paragraph.\n\nIts end.\n\nOne paragraph.".into())) else {
            panic!("it is too short")
        };
        assert!(refused.scores.unwrap().duplicate_paragraphs.unwrap() > 0.3);
    }

    #[test]
    fn bodies_with_a_mark_or_in_utf_16_are_read() {
        let mut config = defaults();
        (config.filter.enabled, config.language.enabled, config.dedup.enabled) = (false, false, false);
        let text = |head: &str, body: &[u8]| {
            let block = [format!("HTTP/1.1 200 OK{head}\r\n\r\n").as_bytes(), body].concat();
            match clean(&config, Content::Http(block)) {
                Outcome::Document(document) => (document.page.text, document.page.charset_source),
                other => panic!("{other:?}"),
            }
        };
        let page = "<html><body><p>The river is long, and 山 is a mountain.</p></body></html>";
        let wide: Vec<u8> = page.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let want = "The river is long, and 山 is a mountain.";
        assert_eq!(text("", &[b"\xEF\xBB\xBF", page.as_bytes()].concat()), (want.into(), Some("bom".into())));
        assert_eq!(text("\r\nContent-Type: text/html; charset=utf-16le", &wide), (want.into(), Some("http".into())));
        assert_eq!(text("\r\nContent-Type: text/html", &wide), (want.into(), Some("detector".into())));
    }

    #[test]
    fn what_ends_early_says_so_and_the_crawl_is_dated() {
        let mut config = defaults();
        (config.filter.enabled, config.language.enabled, config.dedup.enabled) = (false, false, false);
        let assets = Assets::load(std::path::Path::new("."), &config).unwrap();
        let cleaner = Cleaner::new(&config, &assets);
        let body = "<html><head><meta name=date content=2001-02-03></head><body><p>The river is long.</p></body></html>";
        let reach = |truncated: Option<&str>, head: &str| {
            let content = Content::Http(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").into_bytes());
            let (date, truncated) = (Some("2024-01-02T03:04:05Z".to_owned()), truncated.map(str::to_owned));
            let page = RawPage { url: String::new(), offset: 0, date, payload_digest: None, truncated, content };
            cleaner.reach(Item::Page(page), &mut Spent::default()).unwrap()
        };
        let whole = reach(None, "Content-Type: text/html");
        assert_eq!((whole.date.as_deref(), whole.crawl_date.as_deref()), (Some("2001-02-03"), Some("2024-01-02T03:04:05Z")));
        assert_eq!(whole.truncated, None);
        assert_eq!(reach(Some("length"), "X: y").truncated.as_deref(), Some("length"));
        let chunked = Content::Http(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n<p>The river".to_vec());
        let Outcome::Document(document) = clean(&config, chunked) else { panic!("a document") };
        assert_eq!(document.page.truncated.as_deref(), Some(CODING_ENDS));
        assert!(document.counts_if_kept().contains(&("kept.truncated", 1)));
    }

    #[test]
    fn a_panic_costs_its_page_alone() {
        let refusal = |result: Result<(), Outcome>| match result {
            Err(Outcome::Refused(refused)) => (refused.url, refused.offset, refused.rejection.reason, refused.rejection.detail),
            other => panic!("{other:?}"),
        };
        let number = "x".len();
        let got = refusal(guard("http://a.example/", 7, || SCRATCH.with_borrow_mut(|_| panic!("at {number}"))));
        assert_eq!(got, ("http://a.example/".to_owned(), 7, Reason::Panicked, Some("at 1".to_owned())));
        // The memory of the filters is there for the next page.
        assert!(guard("", 0, || SCRATCH.with_borrow_mut(|_| Ok(()))).is_ok());
    }

    #[test]
    fn everything_comes_out_with_all_switches_off() {
        let mut config = defaults();
        (config.filter.enabled, config.language.enabled, config.dedup.enabled) = (false, false, false);
        for content in [Content::Text(" a \n\n b ".into()), Content::Html(b"<p>x".to_vec()), http("200 OK", "<html></html>")] {
            assert!(matches!(clean(&config, content), Outcome::Document(_)));
        }
        let Outcome::Document(document) = clean(&config, Content::Text("a \n\n\n  b ".into())) else { panic!("a document") };
        assert_eq!((document.page.text.as_str(), document.page.offset, document.signature), ("a\n\n  b", 7, None));
    }
}
