//! Documents in, token ids out: one batch at a time, documents in parallel.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use handoff::{TokenWidth, columns, schema};
use rayon::prelude::*;

use crate::Error;
use crate::fast::Encoder;

/// Sums over the documents of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents.
    pub documents: u64,
    /// Token ids written, end tokens included.
    pub tokens: u64,
    /// Text tokens that are the unknown token.
    pub unknown: u64,
    /// Per language: documents, text tokens (without end tokens) and bytes of text.
    pub languages: BTreeMap<String, (u64, u64, u64)>,
}

impl Counts {
    /// As the manifest keeps them: `documents`, `tokens`, `bytes`, `unknown_tokens` where there are any, and `documents.en`, `text_tokens.en`, `bytes.en` per language.
    pub fn to_manifest(&self) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::from([("documents".to_string(), self.documents), ("tokens".to_string(), self.tokens)]);
        if self.unknown > 0 {
            out.insert("unknown_tokens".into(), self.unknown);
        }
        out.insert("bytes".into(), self.languages.values().map(|(_, _, bytes)| bytes).sum());
        for (language, (documents, tokens, bytes)) in &self.languages {
            out.insert(format!("documents.{language}"), *documents);
            out.insert(format!("text_tokens.{language}"), *tokens);
            out.insert(format!("bytes.{language}"), *bytes);
        }
        out
    }
}

/// One line on how many bytes a token stands for, by language, largest language first, from the counts of a manifest.
pub fn bytes_per_token(counts: &BTreeMap<String, u64>) -> String {
    let mut languages: Vec<(&str, u64, u64)> = counts
        .iter()
        .filter_map(|(key, bytes)| {
            let language = key.strip_prefix("bytes.")?;
            Some((language, *bytes, counts.get(&format!("text_tokens.{language}")).copied().unwrap_or(0)))
        })
        .collect();
    languages.sort_by_key(|(language, bytes, _)| (std::cmp::Reverse(*bytes), *language));
    let ratio = |bytes: u64, tokens: u64| bytes as f64 / tokens.max(1) as f64;
    let all = languages.iter().fold((0, 0), |sum, (_, bytes, tokens)| (sum.0 + bytes, sum.1 + tokens));
    let parts: Vec<String> =
        languages.iter().map(|(language, bytes, tokens)| format!("{language} {:.2}", ratio(*bytes, *tokens))).collect();
    format!("bytes per token: {:.2} ({})", ratio(all.0, all.1), parts.join(", "))
}

/// What a run says of its counts: bytes per token, and text that the vocabulary does not cover. Nothing where nothing was encoded.
pub fn summary(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let text_tokens: u64 = counts.iter().filter(|(key, _)| key.starts_with("text_tokens.")).map(|(_, n)| n).sum();
    if text_tokens == 0 {
        return Vec::new();
    }
    let mut lines = vec![bytes_per_token(counts)];
    if let Some(unknown) = counts.get("unknown_tokens") {
        let share = 100.0 * *unknown as f64 / text_tokens as f64;
        lines.push(format!("{unknown} tokens ({share:.2} %) are the unknown token: what they stood for is lost to training"));
    }
    lines
}

/// The tokens around every document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Stands before it, where there is one.
    pub begin: Option<u32>,
    /// Stands after it.
    pub end: u32,
}

/// Encodes a batch of table `documents` into one of table `tokens`, with what stands before and after every document.
///
/// Special tokens spelled in a text are text.
///
/// # Errors
/// When a column is missing or the tokenizer fails.
pub fn encode(
    batch: &RecordBatch,
    encoder: &Encoder<'_>,
    ends: Ends,
    width: TokenWidth,
    counts: &mut Counts,
) -> Result<RecordBatch, Error> {
    let texts = columns::strings(batch, "text")?;
    let languages = columns::strings(batch, "language")?;
    let unk = encoder.unk_id();
    let rows: Vec<Vec<u32>> = (0..batch.num_rows())
        .into_par_iter()
        .map(|row| {
            let mut ids = encoder.encode(texts.value(row))?;
            if let Some(begin) = ends.begin {
                ids.insert(0, begin);
            }
            ids.push(ends.end);
            Ok(ids)
        })
        .collect::<Result<_, text::Error>>()?;
    for (row, ids) in rows.iter().enumerate() {
        counts.documents += 1;
        counts.tokens += ids.len() as u64;
        let language = match counts.languages.get_mut(languages.value(row)) {
            Some(language) => language,
            None => counts.languages.entry(languages.value(row).to_string()).or_default(),
        };
        language.0 += 1;
        language.1 += ids.len() as u64 - 1 - u64::from(ends.begin.is_some());
        language.2 += texts.value(row).len() as u64;
        if let Some(unk) = unk {
            counts.unknown += ids.iter().filter(|id| **id == unk).count() as u64;
        }
    }
    let num_bytes = Int64Array::from_iter_values((0..texts.len()).map(|row| texts.value(row).len() as i64));
    let same = |name: &str| -> Result<ArrayRef, Error> { Ok(Arc::new(columns::strings(batch, name)?.clone())) };
    let out: Vec<ArrayRef> =
        vec![same("id")?, columns::build_tokens(width, &rows), Arc::new(num_bytes), same("language")?, same("source")?];
    RecordBatch::try_new(schema::tokens(width).arrow, out).map_err(|e| Error::Build { message: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_told_largest_language_first() {
        let mut counts = Counts { documents: 3, tokens: 33, ..Counts::default() };
        counts.languages.insert("en".into(), (1, 10, 40));
        counts.languages.insert("zh-Hans".into(), (2, 20, 60));
        let line = bytes_per_token(&counts.to_manifest());
        assert_eq!(line, "bytes per token: 3.33 (zh-Hans 3.00, en 4.00)");
        assert_eq!(summary(&counts.to_manifest()), std::slice::from_ref(&line));
        counts.unknown = 3;
        let said = "3 tokens (10.00 %) are the unknown token: what they stood for is lost to training";
        assert_eq!(summary(&counts.to_manifest()), [line, said.to_owned()]);
        assert!(summary(&Counts::default().to_manifest()).is_empty());
    }
}
