//! The tables that stages hand to each other.
//!
//! `?` marks a nullable column. A change of name, type or meaning raises the table's version.
//!
//! | table | column | Arrow type | meaning |
//! |---|---|---|---|
//! | documents | id | utf8 | 32 hex digits of source, URL and text |
//! | | url | utf8 | where the page was found |
//! | | text | utf8 | the cleaned text |
//! | | language | utf8 | `en`, `zh-Hans`, `zh-Hant`, `ja`, …, `und` |
//! | | source | utf8 | name of the input file |
//! | | title | utf8? | the page's title |
//! | | date | utf8? | the date the page states, or else that of its record |
//! | | source_offset | int64? | bytes before the record in the input file, or before the compressed member that it is in; of JSON lines, bytes before the line, decompressed; of Parquet, rows before it |
//! | | charset | utf8? | encoding the bytes were decoded with |
//! | | charset_source | utf8? | who decided: `bom`, `http`, `meta`, `detector`, `detector_overruled` (the detector, against a declaration), `given` (it was text before) |
//! | | replaced_chars | int64 | characters that could not be decoded |
//! | | language_score | float32 | confidence of the language, 0 to 1 |
//! | | num_chars | int64 | Unicode characters of `text` |
//! | | num_bytes | int64 | UTF-8 bytes of `text` |
//! | | payload_digest | utf8? | digest of the HTTP payload |
//! | | author | utf8? | as the page states it |
//! | | questions | list\<struct\<question, answer\>\>? | what the page marks up as questions and answers |
//! | | scores | struct? of float64? and list\<float64\> | what the filters measured, see [`score_fields`]; absent where they did not look |
//! | | crawl_date | utf8? | date of the record, if what it states is one |
//! | | truncated | utf8? | why there is only the beginning of the page: what its record states, or `coding` where the body ends before its coding does |
//! | | http_headers | utf8? | headers of the response, a line each, names in lower case, without those that set cookies, at most 8 KiB |
//! | rejected | id, url | utf8 | as above; empty where unknown |
//! | | stage, reason | utf8 | who refused it and why |
//! | | value, threshold | float64? | the measured value and the limit it broke |
//! | | detail | utf8? | free text: the parser's message, the keeper's id |
//! | | text | utf8? | what was refused |
//! | | source | utf8 | name of the input |
//! | | source_offset | int64? | as in documents |
//! | | duplicate_of | utf8? | of a duplicate: id of the earliest document that it repeats, which may be a duplicate itself |
//! | | failed_rules | list\<utf8\>? | the reasons of all rules that it broke, the first one first |
//! | | scores | struct? | as in documents |
//! | tokens | document_id | utf8 | |
//! | | input_ids | list\<uint16 or uint32\> | token ids, a begin token first where the tokenizer has it so, the end token last |
//! | | num_bytes | int64 | UTF-8 bytes of the text |
//! | | language, source | utf8 | as in documents |
//! | samples | sample_id | utf8 | |
//! | | input_ids | list\<uint16 or uint32\> | one training row |
//! | | document_starts | list\<int32\> | where each document part begins in the row |
//! | | document_ids | list\<utf8\> | the document of each part |
//! | | token_offsets | list\<int64\> | first token of the part within its document; above 0 inside a row, that token is context and no target |
//! | | num_bytes | int64 | UTF-8 bytes that the row's predicted tokens stand for |
//! | pairs | id | utf8 | |
//! | | messages | list\<struct\<role, content\>\> | the conversation |
//! | | language, teacher | utf8 | |
//! | | source_document_id | utf8 | the document it was drawn from |
//! | | url, rule, request_id | utf8? | its page; rule or prompt; entry in the transcript |
//! | | span_start, span_end | int64? | where the answer stands in the document, bytes |
//! | eval_rows | model, task, sample_id, language | utf8 | |
//! | | relation | utf8? | |
//! | | prompt, completion, target | utf8 | |
//! | | correct | bool | |
//! | | in_type | bool? | the answer is of the right kind, right or wrong |
//! | | stop_reason | utf8 | |
//! | | logprob | float64? | sum over the completion's tokens, nats |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

/// A table of the hand-off: its name, its version and its columns.
#[derive(Debug, Clone)]
pub struct TableSchema {
    /// Name in the file's metadata.
    pub name: &'static str,
    /// Version in the file's metadata.
    pub version: u32,
    /// Columns.
    pub arrow: SchemaRef,
}

/// Width of stored token ids: the narrowest that holds the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenWidth {
    /// Up to 65,536 ids.
    U16,
    /// More.
    U32,
}

impl TokenWidth {
    /// The narrowest width for a vocabulary of `vocab_size` ids.
    pub fn for_vocab(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 { TokenWidth::U16 } else { TokenWidth::U32 }
    }

    /// The Arrow type of one id.
    pub fn data_type(self) -> DataType {
        match self {
            TokenWidth::U16 => DataType::UInt16,
            TokenWidth::U32 => DataType::UInt32,
        }
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn maybe(field: Field) -> Field {
    field.with_nullable(true)
}

fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn float(name: &str) -> Field {
    Field::new(name, DataType::Float64, false)
}

fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(list_item(item)), false)
}

/// The item field of every list column: named `item`, never null.
pub fn list_item(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", item, false))
}

/// The fields of one message of a conversation: `role` and `content`.
pub fn message_fields() -> Fields {
    Fields::from(vec![text("role"), text("content")])
}

/// What the filters of `crawl-clean` measure of a text, each a nullable `float64`. A unit is a word, or where Han and kana prevail a
/// character; shares are from 0 to 1.
///
/// | field | meaning |
/// | --- | --- |
/// | `units` | number of units |
/// | `word_length` | mean or median length of a word, characters |
/// | `symbols` | `#` and ellipses for each word; the greater of the two where they are judged apart |
/// | `bullet_lines`, `ellipsis_lines` | share of lines that begin with a bullet, that end with an ellipsis |
/// | `alphabetic` | share of words with a letter, or of Han and kana among the units |
/// | `stop_words` | function words, different ones or all |
/// | `line_punctuation`, `short_lines` | share of lines that end with a sentence's mark, that are short |
/// | `newlines` | line breaks for each unit |
/// | `duplicate_lines`, `duplicate_line_chars` | share of repeated lines, and of the characters in them |
/// | `duplicate_paragraphs`, `duplicate_paragraph_chars` | the same of paragraphs |
/// | `sentences` | number of sentences, where it is asked for |
/// | `removed_words` | share of words that line edits took away |
/// | `pii` | pieces of personal data found in the text and, where they are replaced, beside it |
/// | `model_language`, `model_quality` | score of the language, and of the quality label, by a model of the user |
pub const SCORES: [&str; 19] = [
    "units",
    "word_length",
    "symbols",
    "bullet_lines",
    "ellipsis_lines",
    "alphabetic",
    "stop_words",
    "line_punctuation",
    "short_lines",
    "newlines",
    "duplicate_lines",
    "duplicate_line_chars",
    "duplicate_paragraphs",
    "duplicate_paragraph_chars",
    "sentences",
    "removed_words",
    "pii",
    "model_language",
    "model_quality",
];

/// The fields of column `scores`: [`SCORES`], and two lists, `top_ngrams` and `duplicate_ngrams`: one share of the text's characters for
/// each length of n-gram that the rules ask for, in their order.
pub fn score_fields() -> Fields {
    let numbers = SCORES.iter().map(|name| maybe(float(name)));
    numbers.chain(["top_ngrams", "duplicate_ngrams"].map(|name| list(name, DataType::Float64))).collect()
}

fn table(name: &'static str, version: u32, fields: Vec<Field>) -> TableSchema {
    TableSchema { name, version, arrow: Arc::new(Schema::new(fields)) }
}

/// Cleaned documents.
pub fn documents() -> TableSchema {
    table(
        "documents",
        3,
        vec![
            text("id"),
            text("url"),
            text("text"),
            text("language"),
            text("source"),
            maybe(text("title")),
            maybe(text("date")),
            maybe(int("source_offset")),
            maybe(text("charset")),
            maybe(text("charset_source")),
            int("replaced_chars"),
            Field::new("language_score", DataType::Float32, false),
            int("num_chars"),
            int("num_bytes"),
            maybe(text("payload_digest")),
            maybe(text("author")),
            maybe(list("questions", DataType::Struct(question_fields()))),
            maybe(Field::new("scores", DataType::Struct(score_fields()), false)),
            maybe(text("crawl_date")),
            maybe(text("truncated")),
            maybe(text("http_headers")),
        ],
    )
}

/// The fields of one pair of a page: `question` and `answer`.
pub fn question_fields() -> Fields {
    Fields::from(vec![text("question"), text("answer")])
}

/// What was refused, and why.
pub fn rejected() -> TableSchema {
    table(
        "rejected",
        2,
        vec![
            text("id"),
            text("url"),
            text("stage"),
            text("reason"),
            maybe(float("value")),
            maybe(float("threshold")),
            maybe(text("detail")),
            maybe(text("text")),
            text("source"),
            maybe(int("source_offset")),
            maybe(text("duplicate_of")),
            maybe(list("failed_rules", DataType::Utf8)),
            maybe(Field::new("scores", DataType::Struct(score_fields()), false)),
        ],
    )
}

/// Encoded documents.
pub fn tokens(width: TokenWidth) -> TableSchema {
    table("tokens", 1, vec![text("document_id"), list("input_ids", width.data_type()), int("num_bytes"), text("language"), text("source")])
}

/// Keys of the metadata in which all sample shards that are read together must agree.
pub const SAMPLES_AGREE_IN: [&str; 6] =
    ["tokenizer_digest", "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "seq_len_tokens"];

/// Training rows.
pub fn samples(width: TokenWidth) -> TableSchema {
    table(
        "samples",
        1,
        vec![
            text("sample_id"),
            list("input_ids", width.data_type()),
            list("document_starts", DataType::Int32),
            list("document_ids", DataType::Utf8),
            list("token_offsets", DataType::Int64),
            int("num_bytes"),
        ],
    )
}

/// Questions and answers for fine-tuning.
pub fn pairs() -> TableSchema {
    table(
        "pairs",
        1,
        vec![
            text("id"),
            list("messages", DataType::Struct(message_fields())),
            text("language"),
            text("teacher"),
            text("source_document_id"),
            maybe(text("url")),
            maybe(text("rule")),
            maybe(int("span_start")),
            maybe(int("span_end")),
            maybe(text("request_id")),
        ],
    )
}

/// One row per evaluated sample.
pub fn eval_rows() -> TableSchema {
    table(
        "eval_rows",
        1,
        vec![
            text("model"),
            text("task"),
            text("sample_id"),
            text("language"),
            maybe(text("relation")),
            text("prompt"),
            text("completion"),
            text("target"),
            Field::new("correct", DataType::Boolean, false),
            Field::new("in_type", DataType::Boolean, true),
            text("stop_reason"),
            maybe(float("logprob")),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_is_the_narrowest_that_holds_every_id() {
        assert_eq!(TokenWidth::for_vocab(65_536), TokenWidth::U16);
        assert_eq!(TokenWidth::for_vocab(65_537), TokenWidth::U32);
    }
}
