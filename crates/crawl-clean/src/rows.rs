//! Rows to record batches: `documents` and `rejected`.

use crate::error::Error;
use crate::page::{Document, Refused};
use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
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
        text(|d| &d.url),
        text(|d| &d.text),
        text(|d| d.language),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| source))),
        maybe(|d| d.title.as_deref()),
        maybe(|d| d.date.as_deref()),
        int(|d| d.offset),
        maybe(|d| d.charset),
        maybe(|d| d.charset_source),
        int(|d| d.replaced_chars as i64),
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|d| d.language_score))),
        int(|d| d.text.chars().count() as i64),
        int(|d| d.text.len() as i64),
        maybe(|d| d.payload_digest.as_deref()),
        maybe(|d| d.author.as_deref()),
        Arc::new(questions(rows)?),
    ];
    Ok(RecordBatch::try_new(handoff::schema::documents().arrow, columns)?)
}

/// The pairs of each document; null where there are none.
fn questions(rows: &[Document]) -> Result<ListArray, Error> {
    let pairs = || rows.iter().flat_map(|d| &d.questions);
    let asked: ArrayRef = Arc::new(StringArray::from_iter_values(pairs().map(|pair| &pair.question)));
    let answers: ArrayRef = Arc::new(StringArray::from_iter_values(pairs().map(|pair| &pair.answer)));
    let fields = handoff::schema::question_fields();
    let item = handoff::schema::list_item(DataType::Struct(fields.clone()));
    let pairs = StructArray::try_new(fields, vec![asked, answers], None)?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|d| d.questions.len()));
    let nulls = NullBuffer::from_iter(rows.iter().map(|d| !d.questions.is_empty()));
    Ok(ListArray::try_new(item, offsets, Arc::new(pairs), Some(nulls))?)
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
    ];
    Ok(RecordBatch::try_new(handoff::schema::rejected().arrow, columns)?)
}
