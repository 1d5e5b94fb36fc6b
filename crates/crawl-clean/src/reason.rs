//! Why something was not kept: one list for the whole stage.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a record, page or document was refused; [`Reason::as_str`] is what stands in the `reason` column.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order in which they are asked about.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the `reason` column and, behind `rejected.`, in the manifest's counts.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The reason of that name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// A compressed stretch of the input does not decompress; reading went on behind it.
    CompressionBroken => "compression_broken",
    /// Bytes that belong to no record.
    RecordGarbage => "record_garbage",
    /// A record's header lacks what is needed to read it.
    RecordHeader => "record_header",
    /// A record ends before or after its stated length.
    RecordLength => "record_length",
    /// A record or its body is larger than `max_page_bytes`.
    TooLarge => "too_large",
    /// A line is not a JSON object, or a row has no text.
    RowBroken => "row_broken",
    /// The domain of the address, or one above it, is listed.
    UrlDomain => "url_domain",
    /// The address is listed.
    UrlListed => "url_listed",
    /// The address holds a listed word, or two softer ones.
    UrlWords => "url_words",
    /// The record's payload is no HTTP response.
    HttpBroken => "http_broken",
    /// The HTTP status is not a success.
    HttpStatus => "http_status",
    /// The payload is not HTML or plain text.
    ContentType => "content_type",
    /// The crawler found the payload to be no text.
    PayloadType => "payload_type",
    /// The HTTP body does not decode as its headers say.
    BodyBroken => "body_broken",
    /// Too many characters could not be decoded.
    Charset => "charset",
    /// The page exceeds the caps on nodes or depth.
    HtmlLimits => "html_limits",
    /// The page made the program panic: a mistake of ours.
    Panicked => "panicked",
    /// Nothing was left of the page.
    Empty => "empty",
    /// Not one of the languages to keep, or not surely enough.
    Language => "language",
    /// Fewer units (words, or Han characters) than asked for.
    TooShort => "too_short",
    /// More units than allowed.
    TooLong => "too_long",
    /// Words are too short or too long on average.
    WordLength => "word_length",
    /// Too many symbols, such as `#` and ellipses, for the words.
    Symbols => "symbols",
    /// Too many lines begin with a bullet.
    BulletLines => "bullet_lines",
    /// Too many lines end with an ellipsis.
    EllipsisLines => "ellipsis_lines",
    /// Too few units with a letter in them.
    Alphabetic => "alphabetic",
    /// Too few of the function words that running text has.
    StopWords => "stop_words",
    /// Too many lines repeat earlier ones.
    DuplicateLines => "duplicate_lines",
    /// Too many characters stand in repeated lines.
    DuplicateLineChars => "duplicate_line_chars",
    /// Too many paragraphs repeat earlier ones.
    DuplicateParagraphs => "duplicate_paragraphs",
    /// Too many characters stand in repeated paragraphs.
    DuplicateParagraphChars => "duplicate_paragraph_chars",
    /// One n-gram makes too much of the text.
    TopNgram => "top_ngram",
    /// Too much of the text stands in repeated n-grams.
    DuplicateNgrams => "duplicate_ngrams",
    /// Too few lines end with a sentence's mark.
    LinePunctuation => "line_punctuation",
    /// Too many short lines.
    ShortLines => "short_lines",
    /// Too many line breaks for the words.
    Newlines => "newlines",
    /// Filler text.
    LoremIpsum => "lorem_ipsum",
    /// A curly bracket: code or a template that is not marked as code.
    CurlyBracket => "curly_bracket",
    /// Fewer sentences than asked for.
    FewSentences => "few_sentences",
    /// Line edits took away too many words.
    RemovedWords => "removed_words",
    /// Too much personal data.
    PersonalData => "personal_data",
    /// The quality model finds it wanting.
    Quality => "quality",
    /// The text holds a question of an evaluation task.
    Contaminated => "contaminated",
    /// An earlier document has the same text.
    DuplicateExact => "duplicate_exact",
    /// An earlier document has nearly the same text.
    DuplicateNear => "duplicate_near",
    /// An earlier document has the same address.
    DuplicateUrl => "duplicate_url",
    /// Too little is left of the text without what earlier documents have.
    DuplicateText => "duplicate_text",
}

/// A step of the funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Reading records, and their addresses.
    Read,
    /// Decoding and extracting.
    Extract,
    /// Language.
    Language,
    /// Quality, personal data and the quality model.
    Filter,
    /// Questions of evaluation tasks.
    Decontaminate,
    /// Duplicates.
    Duplicates,
}

impl Step {
    /// All steps in order.
    pub const ALL: [Self; 6] = [Self::Read, Self::Extract, Self::Language, Self::Filter, Self::Decontaminate, Self::Duplicates];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Extract => "extract",
            Self::Language => "language",
            Self::Filter => "filter",
            Self::Decontaminate => "decontaminate",
            Self::Duplicates => "duplicates",
        }
    }
}

impl Reason {
    /// The step that refuses for this reason.
    #[must_use]
    pub fn step(self) -> Step {
        match self {
            Self::Language => Step::Language,
            Self::Contaminated => Step::Decontaminate,
            Self::DuplicateExact | Self::DuplicateNear | Self::DuplicateUrl | Self::DuplicateText => Step::Duplicates,
            early if early <= Self::PayloadType => Step::Read,
            early if early <= Self::Empty => Step::Extract,
            _ => Step::Filter,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_one_to_one() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("no_reason"), None);
        let steps =
            [Reason::UrlWords, Reason::PayloadType, Reason::Charset, Reason::Empty, Reason::Language, Reason::TooShort, Reason::Quality];
        assert_eq!(steps.map(|r| r.step().as_str()), ["read", "read", "extract", "extract", "language", "filter", "filter"]);
        assert_eq!([Reason::DuplicateNear, Reason::DuplicateText].map(Reason::step), [Step::Duplicates; 2]);
        assert_eq!(Reason::Contaminated.step(), Step::Decontaminate);
    }
}
