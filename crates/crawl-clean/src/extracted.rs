//! What extraction found, kept in the side table `extracted/`, so that other thresholds decide again without reading the archive again.
//!
//! A table serves as long as its input and the settings that matter to extraction are the same; everything else is decided anew from it,
//! by the same code that decides on a page just extracted.

use crate::assets::Assets;
use crate::config::Config;
use crate::error::Error;
use crate::extract::Question;
use crate::extract::model::TREES;
use crate::input::{Item, Items};
use crate::page::Reached;
use crate::reason::{Reason, Rejection};
use crate::rows;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use handoff::columns::{bools, f32s, f64s, i64s, strings};
use handoff::schema::{list_item, question_fields};
use handoff::{Digest, DigestBuilder, ShardMeta, ShardReader, TableSchema};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Name of the side folder.
pub const FOLDER: &str = "extracted";
/// Raised when the same page and settings give another text, date, language or refusal than before.
pub const VERSION: u32 = 7;

/// An item of the input as far as extraction decides on it.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// A page with its text.
    Page(Box<Reached>),
    /// What was refused before there was a text.
    Refused {
        /// Address, empty if unknown.
        url: String,
        /// Offset of the record.
        offset: i64,
        /// Why.
        rejection: Rejection,
    },
    /// A record that is no page.
    Other,
}

impl Stored {
    fn page(&self) -> Option<&Reached> {
        if let Self::Page(page) = self { Some(page) } else { None }
    }

    fn rejection(&self) -> Option<&Rejection> {
        if let Self::Refused { rejection, .. } = self { Some(rejection) } else { None }
    }

    fn place(&self) -> Option<(&str, i64)> {
        match self {
            Self::Page(page) => Some((&page.url, page.offset)),
            Self::Refused { url, offset, .. } => Some((url, *offset)),
            Self::Other => None,
        }
    }
}

/// Digest of what extraction goes by: settings, lists of addresses, and its trees.
#[must_use]
pub fn settings(config: &Config, assets: &Assets) -> Digest {
    let limits = [config.max_page_bytes, config.max_nodes, config.max_depth].map(|n| n.to_string()).join(" ");
    let columns = [&config.text_column, &config.html_column, &config.url_column, &config.date_column];
    let start = DigestBuilder::new().field("version", VERSION.to_le_bytes()).field("limits", limits);
    let start = columns.iter().fold(start, |builder, name| builder.field("column", name));
    let start = start.field("markup", format!("{:?}", config.markup)).field("trees", TREES);
    start.field("urls", assets.url_digest().as_bytes()).finish()
}

/// Metadata of the table of an input.
#[must_use]
pub fn meta(source: &str, input: Digest, settings: Digest) -> ShardMeta {
    let extra = BTreeMap::from([("source".to_owned(), source.to_owned()), ("input_digest".to_owned(), input.to_string())]);
    ShardMeta { stage: crate::NAME.to_owned(), config_digest: settings.to_string(), extra }
}

/// True if the table at `path` was made from that input with those settings.
#[must_use]
pub fn serves(path: &Path, source: &str, input: Digest, settings: Digest) -> bool {
    let Ok(reader) = ShardReader::open(path, &schema()) else {
        return false;
    };
    let is = |key: &str, want: &str| reader.metadata().get(key).is_some_and(|value| value == want);
    is("source", source) && is("input_digest", &input.to_string()) && is("config_digest", &settings.to_string())
}

/// The side table `extracted`: every item of an input, in order.
///
/// | column | Arrow type | meaning |
/// | --- | --- | --- |
/// | `kind` | utf8 | `page`, `refused`, or `other` for a record that is no page |
/// | `url`, `source_offset` | utf8?, int64? | of the item |
/// | `text`, `title`, `date`, `payload_digest`, `charset`, `charset_source`, `author` | utf8? | as in `documents`, before any filter |
/// | `crawl_date`, `truncated`, `http_headers` | utf8? | as in `documents` |
/// | `questions` | list\<struct\<question, answer\>\>? | as in `documents` |
/// | `replaced_chars` | int64? | characters that could not be decoded |
/// | `cut` | bool? | the page exceeded the caps on nodes or depth |
/// | `language`, `language_score` | utf8?, float32? | by scripts and the built-in model |
/// | `reason`, `value`, `threshold`, `detail` | utf8?, float64?, float64?, utf8? | of what is refused |
#[must_use]
pub fn schema() -> TableSchema {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let text = |name: &str| field(name, DataType::Utf8);
    let mut fields = vec![Field::new("kind", DataType::Utf8, false)];
    fields.extend(TEXTS.map(text));
    fields.extend([
        field("source_offset", DataType::Int64),
        field("replaced_chars", DataType::Int64),
        field("cut", DataType::Boolean),
        field("language_score", DataType::Float32),
        field("value", DataType::Float64),
        field("threshold", DataType::Float64),
        field("questions", DataType::List(list_item(DataType::Struct(question_fields())))),
    ]);
    TableSchema { name: "extracted", version: 3, arrow: Arc::new(Schema::new(fields)) }
}

/// The columns of text, in order.
#[rustfmt::skip]
const TEXTS: [&str; 14] = [
    "url", "text", "title", "date", "payload_digest", "charset", "charset_source", "language", "reason", "detail", "author", "crawl_date",
    "truncated", "http_headers",
];

/// Items as a batch of [`schema`].
///
/// # Errors
/// If the columns do not fit the schema.
pub fn batch(rows: &[Stored]) -> Result<RecordBatch, Error> {
    let pages = || rows.iter().map(Stored::page);
    let refusals = || rows.iter().map(Stored::rejection);
    let kind = |row: &Stored| match row {
        Stored::Page(_) => "page",
        Stored::Refused { .. } => "refused",
        Stored::Other => "other",
    };
    let text =
        |get: fn(&Reached) -> Option<&str>| -> ArrayRef { Arc::new(pages().map(|page| page.and_then(get)).collect::<StringArray>()) };
    let number = |get: fn(&Rejection) -> Option<f64>| -> ArrayRef {
        Arc::new(refusals().map(|refusal| refusal.and_then(get)).collect::<Float64Array>())
    };
    let questions = rows::questions(pages().map(|page| page.map_or(&[][..], |page| page.questions.as_slice())))?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(kind))),
        Arc::new(rows.iter().map(|row| row.place().map(|(url, _)| url)).collect::<StringArray>()),
        text(|page| Some(&page.text)),
        text(|page| page.title.as_deref()),
        text(|page| page.date.as_deref()),
        text(|page| page.payload_digest.as_deref()),
        text(|page| page.charset.as_deref()),
        text(|page| page.charset_source.as_deref()),
        text(|page| Some(&page.language)),
        Arc::new(refusals().map(|refusal| refusal.map(|r| r.reason.as_str())).collect::<StringArray>()),
        Arc::new(refusals().map(|refusal| refusal.and_then(|r| r.detail.as_deref())).collect::<StringArray>()),
        text(|page| page.author.as_deref()),
        text(|page| page.crawl_date.as_deref()),
        text(|page| page.truncated.as_deref()),
        text(|page| page.http_headers.as_deref()),
        Arc::new(rows.iter().map(|row| row.place().map(|(_, offset)| offset)).collect::<Int64Array>()),
        Arc::new(pages().map(|page| page.map(|page| page.replaced_chars as i64)).collect::<Int64Array>()),
        Arc::new(pages().map(|page| page.map(|page| page.cut)).collect::<BooleanArray>()),
        Arc::new(pages().map(|page| page.map(|page| page.language_score)).collect::<Float32Array>()),
        number(|r| r.value),
        number(|r| r.threshold),
        questions,
    ];
    Ok(RecordBatch::try_new(schema().arrow, columns)?)
}

/// Rows read at a time: few, for some pages are long.
const READ_ROWS: usize = 64;

/// Opens a table as the items of its input.
///
/// # Errors
/// If the table cannot be read.
pub fn open(path: &Path) -> Result<Items, Error> {
    let batches = ShardReader::open(path, &schema())?.batches(READ_ROWS)?;
    Ok(Box::new(batches.flat_map(|batch| match batch.map_err(Error::from).and_then(|batch| items(&batch)) {
        Ok(items) => items.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    })))
}

fn items(batch: &RecordBatch) -> Result<Vec<Item>, Error> {
    let kinds = strings(batch, "kind")?;
    let texts = TEXTS.map(|name| strings(batch, name));
    let text = |column: usize, row: usize| -> Option<String> {
        texts[column].as_ref().ok().filter(|array| array.is_valid(row)).map(|array| array.value(row).to_owned())
    };
    let (offsets, replaced) = (i64s(batch, "source_offset")?, i64s(batch, "replaced_chars")?);
    let (cut, score) = (bools(batch, "cut")?, f32s(batch, "language_score")?);
    let (value, threshold) = (f64s(batch, "value")?, f64s(batch, "threshold")?);
    let questions = batch.column_by_name("questions").and_then(|column| column.as_list_opt::<i32>());
    let number = |array: &Float64Array, row: usize| array.is_valid(row).then(|| array.value(row));
    let item = |row: usize| -> Item {
        let url = text(0, row).unwrap_or_default();
        let offset = offsets.value(row);
        match kinds.value(row) {
            "page" => Item::Reached(Box::new(Reached {
                url,
                offset,
                text: text(1, row).unwrap_or_default(),
                title: text(2, row),
                author: text(10, row),
                questions: questions.map(|lists| pairs(lists, row)).unwrap_or_default(),
                date: text(3, row),
                crawl_date: text(11, row),
                truncated: text(12, row),
                http_headers: text(13, row),
                payload_digest: text(4, row),
                charset: text(5, row).map(Cow::Owned),
                charset_source: text(6, row).map(Cow::Owned),
                language: Cow::Owned(text(7, row).unwrap_or_default()),
                replaced_chars: replaced.value(row) as usize,
                cut: cut.value(row),
                language_score: score.value(row),
            })),
            "refused" => {
                let reason = text(8, row).and_then(|name| Reason::parse(&name)).unwrap_or(Reason::RecordGarbage);
                let rejection = Rejection { reason, value: number(value, row), threshold: number(threshold, row), detail: text(9, row) };
                Item::Bad { url, offset, rejection }
            }
            _ => Item::Other,
        }
    };
    Ok((0..batch.num_rows()).map(item).collect())
}

/// The pairs of a row.
fn pairs(lists: &ListArray, row: usize) -> Vec<Question> {
    if lists.is_null(row) {
        return Vec::new();
    }
    let list = lists.value(row);
    let fields = list.as_struct_opt().map(|list| (list.column(0).as_string_opt::<i32>(), list.column(1).as_string_opt::<i32>()));
    let Some((Some(questions), Some(answers))) = fields else { return Vec::new() };
    let pair = |i: usize| Question { question: questions.value(i).to_owned(), answer: answers.value(i).to_owned() };
    (0..list.len()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_as_they_were() {
        let page = Reached {
            url: "http://a.example/".into(),
            offset: 7,
            date: None,
            crawl_date: Some("2024".into()),
            truncated: Some("length".into()),
            http_headers: Some("server: x\nage: 1".into()),
            payload_digest: Some("sha1:X".into()),
            title: Some("山".into()),
            author: Some("王".into()),
            questions: vec![Question { question: "山高吗？".into(), answer: "高。".into() }],
            text: "山\nx".into(),
            charset: Some(Cow::Borrowed("gbk")),
            charset_source: None,
            replaced_chars: 3,
            cut: true,
            language: Cow::Borrowed("zh-Hans"),
            language_score: 0.75,
        };
        let rejection = Rejection::measured(Reason::TooLarge, 2.0, 1.0).with_detail("x");
        let rows = [
            Stored::Other,
            Stored::Page(Box::new(page.clone())),
            Stored::Refused { url: "u".into(), offset: 9, rejection: rejection.clone() },
        ];
        let back = items(&batch(&rows).unwrap()).unwrap();
        assert_eq!(back, [Item::Other, Item::Reached(Box::new(page)), Item::Bad { url: "u".into(), offset: 9, rejection }]);
    }
}
