//! Rows to record batches: `documents` and `rejected`.

use crate::error::Error;
use crate::extract::Question;
use crate::filter::Scores;
use crate::page::{Document, Refused};
use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Float64Type};
use std::sync::Arc;

/// Kept documents as a batch of `handoff::schema::documents`.
///
/// # Errors
/// If the columns do not fit the schema.
pub fn documents(rows: &[Document], source: &str) -> Result<RecordBatch, Error> {
    let text = |get: fn(&Document) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(get))) };
    let maybe = |get: fn(&Document) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(get).collect::<StringArray>()) };
    let int = |get: fn(&Document) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(get))) };
    let columns: Vec<ArrayRef> = vec![
        text(|d| &d.id),
        text(|d| &d.page.url),
        text(|d| &d.page.text),
        text(|d| &d.page.language),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| source))),
        maybe(|d| d.page.title.as_deref()),
        maybe(|d| d.page.date.as_deref()),
        int(|d| d.page.offset),
        maybe(|d| d.page.charset.as_deref()),
        maybe(|d| d.page.charset_source.as_deref()),
        int(|d| d.page.replaced_chars as i64),
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|d| d.page.language_score))),
        int(|d| d.page.text.chars().count() as i64),
        int(|d| d.page.text.len() as i64),
        maybe(|d| d.page.payload_digest.as_deref()),
        maybe(|d| d.page.author.as_deref()),
        questions(rows.iter().map(|d| d.page.questions.as_slice()))?,
        scores(&rows.iter().map(|d| d.scores.as_ref()).collect::<Vec<_>>()),
        maybe(|d| d.page.crawl_date.as_deref()),
        maybe(|d| d.page.truncated.as_deref()),
        maybe(|d| d.page.http_headers.as_deref()),
    ];
    Ok(RecordBatch::try_new(handoff::schema::documents().arrow, columns)?)
}

/// The pairs of each page; null where there are none.
pub(crate) fn questions<'a>(rows: impl Iterator<Item = &'a [Question]> + Clone) -> Result<ArrayRef, Error> {
    let pairs = || rows.clone().flatten();
    let asked: ArrayRef = Arc::new(StringArray::from_iter_values(pairs().map(|pair| &pair.question)));
    let answers: ArrayRef = Arc::new(StringArray::from_iter_values(pairs().map(|pair| &pair.answer)));
    let fields = handoff::schema::question_fields();
    let item = handoff::schema::list_item(DataType::Struct(fields.clone()));
    let offsets = OffsetBuffer::from_lengths(rows.clone().map(<[_]>::len));
    let nulls = NullBuffer::from_iter(rows.clone().map(|pairs| !pairs.is_empty()));
    let pairs = StructArray::try_new(fields, vec![asked, answers], None)?;
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(pairs), Some(nulls))?))
}

/// Refused rows as a batch of `handoff::schema::rejected`.
///
/// # Errors
/// If the columns do not fit the schema.
pub fn rejected(rows: &[Refused], source: &str) -> Result<RecordBatch, Error> {
    let text = |get: &dyn Fn(&Refused) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(get))) };
    let number = |get: fn(&Refused) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(get).collect::<Float64Array>()) };
    let columns: Vec<ArrayRef> = vec![
        text(&|r| r.id.clone()),
        text(&|r| r.url.clone()),
        text(&|_| crate::NAME.to_owned()),
        text(&|r| r.rejection.reason.as_str().to_owned()),
        number(|r| r.rejection.value),
        number(|r| r.rejection.threshold),
        Arc::new(rows.iter().map(|r| r.rejection.detail.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.text.as_deref()).collect::<StringArray>()),
        text(&|_| source.to_owned()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.offset))),
        Arc::new(rows.iter().map(|r| r.rejection.detail.as_deref().filter(|_| r.rejection.reason.names_keeper())).collect::<StringArray>()),
        handoff::columns::build_string_list(
            &rows.iter().map(|r| r.failed.iter().map(|reason| reason.as_str()).collect()).collect::<Vec<Vec<_>>>(),
        ),
        scores(&rows.iter().map(|r| r.scores.as_ref()).collect::<Vec<_>>()),
    ];
    Ok(RecordBatch::try_new(handoff::schema::rejected().arrow, columns)?)
}

/// Column `scores`, as `handoff::schema::score_fields` has it.
fn scores(rows: &[Option<&Scores>]) -> ArrayRef {
    let mut columns: Vec<ArrayRef> = (0..handoff::schema::SCORES.len())
        .map(|i| Arc::new(rows.iter().map(|row| row.and_then(|scores| scores.numbers()[i])).collect::<Float64Array>()) as ArrayRef)
        .collect();
    for list in [|scores: &Scores| scores.top_ngrams.clone(), |scores: &Scores| scores.duplicate_ngrams.clone()] {
        let values: Vec<Vec<f64>> = rows.iter().map(|row| row.map(list).unwrap_or_default()).collect();
        columns.push(handoff::columns::build_list::<Float64Type>(&values));
    }
    let present = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    Arc::new(StructArray::new(handoff::schema::score_fields(), columns, Some(present)))
}
