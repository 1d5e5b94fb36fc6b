//! Why something was not kept: one list for the whole stage.

use std::fmt;

/// Why a record, page or document was refused; [`Reason::as_str`] is what stands in the `reason` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A compressed stretch of the input does not decompress; reading went on behind it.
    CompressionBroken,
    /// Bytes that belong to no record.
    RecordGarbage,
    /// A record's header lacks what is needed to read it.
    RecordHeader,
    /// A record ends before or after its stated length.
    RecordLength,
    /// A record or its body is larger than `max_page_bytes`.
    TooLarge,
    /// A line is not a JSON object, or a row has no text.
    RowBroken,
    /// The record's payload is no HTTP response.
    HttpBroken,
    /// The HTTP status is not a success.
    HttpStatus,
    /// The payload is not HTML or plain text.
    ContentType,
    /// The HTTP body does not decode as its headers say.
    BodyBroken,
    /// Too many characters could not be decoded.
    Charset,
    /// The page exceeds the caps on nodes or depth.
    HtmlLimits,
    /// Nothing was left of the page.
    Empty,
    /// Not one of the languages to keep, or not surely enough.
    Language,
    /// Fewer units (words, or Han characters) than asked for.
    TooShort,
    /// More units than allowed.
    TooLong,
    /// Words are too short or too long on average.
    WordLength,
    /// Too many symbols, such as `#` and ellipses, for the words.
    Symbols,
    /// Too many lines begin with a bullet.
    BulletLines,
    /// Too many lines end with an ellipsis.
    EllipsisLines,
    /// Too few units with a letter in them.
    Alphabetic,
    /// Too few of the function words that running text has.
    StopWords,
    /// Too many lines repeat earlier ones.
    DuplicateLines,
    /// Too many characters stand in repeated lines.
    DuplicateLineChars,
    /// One n-gram makes too much of the text.
    TopNgram,
    /// Too much of the text stands in repeated n-grams.
    DuplicateNgrams,
    /// Too few lines end with a sentence's mark.
    LinePunctuation,
    /// Too many short lines.
    ShortLines,
    /// Too many line breaks for the words.
    Newlines,
    /// Filler text.
    LoremIpsum,
    /// A curly bracket: code or a template.
    CurlyBracket,
    /// Fewer sentences than asked for.
    FewSentences,
    /// An earlier document has the same text.
    DuplicateExact,
    /// An earlier document has nearly the same text.
    DuplicateNear,
    /// An earlier document has the same address.
    DuplicateUrl,
    /// Too little is left of the text without what earlier documents have.
    DuplicateText,
    /// The text holds a question of an evaluation task.
    Contaminated,
}

impl Reason {
    /// The name in the `reason` column and, behind `rejected.`, in the manifest's counts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CompressionBroken => "compression_broken",
            Self::RecordGarbage => "record_garbage",
            Self::RecordHeader => "record_header",
            Self::RecordLength => "record_length",
            Self::TooLarge => "too_large",
            Self::RowBroken => "row_broken",
            Self::HttpBroken => "http_broken",
            Self::HttpStatus => "http_status",
            Self::ContentType => "content_type",
            Self::BodyBroken => "body_broken",
            Self::Charset => "charset",
            Self::HtmlLimits => "html_limits",
            Self::Empty => "empty",
            Self::Language => "language",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::WordLength => "word_length",
            Self::Symbols => "symbols",
            Self::BulletLines => "bullet_lines",
            Self::EllipsisLines => "ellipsis_lines",
            Self::Alphabetic => "alphabetic",
            Self::StopWords => "stop_words",
            Self::DuplicateLines => "duplicate_lines",
            Self::DuplicateLineChars => "duplicate_line_chars",
            Self::TopNgram => "top_ngram",
            Self::DuplicateNgrams => "duplicate_ngrams",
            Self::LinePunctuation => "line_punctuation",
            Self::ShortLines => "short_lines",
            Self::Newlines => "newlines",
            Self::LoremIpsum => "lorem_ipsum",
            Self::CurlyBracket => "curly_bracket",
            Self::FewSentences => "few_sentences",
            Self::DuplicateExact => "duplicate_exact",
            Self::DuplicateNear => "duplicate_near",
            Self::DuplicateUrl => "duplicate_url",
            Self::DuplicateText => "duplicate_text",
            Self::Contaminated => "contaminated",
        }
    }

    /// True if the detail of such a refusal is the id of the document that is repeated.
    #[must_use]
    pub fn names_keeper(self) -> bool {
        matches!(self, Self::DuplicateExact | Self::DuplicateNear | Self::DuplicateUrl)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal with what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// The measured value.
    pub value: Option<f64>,
    /// The limit that it broke.
    pub threshold: Option<f64>,
    /// What else helps to understand it.
    pub detail: Option<String>,
}

impl Rejection {
    /// A refusal without measurement.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self { reason, value: None, threshold: None, detail: None }
    }

    /// A refusal with the value and the limit that it broke.
    #[must_use]
    pub fn measured(reason: Reason, value: f64, threshold: f64) -> Self {
        Self { reason, value: Some(value), threshold: Some(threshold), detail: None }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
