//! What was measured of a text, as it stands in column `scores`.

/// Measured values; `handoff::schema::SCORES` says what each one is.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "documented where the column is")]
pub struct Scores {
    pub units: Option<f64>,
    pub word_length: Option<f64>,
    pub symbols: Option<f64>,
    pub bullet_lines: Option<f64>,
    pub ellipsis_lines: Option<f64>,
    pub alphabetic: Option<f64>,
    pub stop_words: Option<f64>,
    pub line_punctuation: Option<f64>,
    pub short_lines: Option<f64>,
    pub newlines: Option<f64>,
    pub duplicate_lines: Option<f64>,
    pub duplicate_line_chars: Option<f64>,
    pub duplicate_paragraphs: Option<f64>,
    pub duplicate_paragraph_chars: Option<f64>,
    pub sentences: Option<f64>,
    pub removed_words: Option<f64>,
    pub pii: Option<f64>,
    pub model_language: Option<f64>,
    pub model_quality: Option<f64>,
    pub top_ngrams: Vec<f64>,
    pub duplicate_ngrams: Vec<f64>,
}

impl Scores {
    /// The single values in the order of `handoff::schema::SCORES`.
    #[must_use]
    pub fn numbers(&self) -> [Option<f64>; handoff::schema::SCORES.len()] {
        [
            self.units,
            self.word_length,
            self.symbols,
            self.bullet_lines,
            self.ellipsis_lines,
            self.alphabetic,
            self.stop_words,
            self.line_punctuation,
            self.short_lines,
            self.newlines,
            self.duplicate_lines,
            self.duplicate_line_chars,
            self.duplicate_paragraphs,
            self.duplicate_paragraph_chars,
            self.sentences,
            self.removed_words,
            self.pii,
            self.model_language,
            self.model_quality,
        ]
    }
}
