//! Rows to record batches and back: `documents`, `rejected`, and the side table of signatures.

use crate::dedup::Signature;
use crate::error::Error;
use crate::page::{Document, Refused};
use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float32Array, Float64Array, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray,
    StructArray, UInt64Array, UInt64Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use handoff::{ShardReader, TableSchema};
use std::path::Path;
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
    ];
    Ok(RecordBatch::try_new(handoff::schema::rejected().arrow, columns)?)
}

/// The side table `signatures`: every document that reached deduplication, in order.
///
/// | column | Arrow type | meaning |
/// | --- | --- | --- |
/// | `document_id` | utf8 | the document |
/// | `text_digest` | fixed_size_binary(16) | digest of its normalised text |
/// | `band_keys` | list\<uint64\> | one key a band, none if near duplicates were not looked for |
#[must_use]
pub fn signature_schema() -> TableSchema {
    let item = handoff::schema::list_item(DataType::UInt64);
    let fields = vec![
        Field::new("document_id", DataType::Utf8, false),
        Field::new("text_digest", DataType::FixedSizeBinary(16), false),
        Field::new("band_keys", DataType::List(item), false),
    ];
    TableSchema { name: "signatures", version: 1, arrow: Arc::new(Schema::new(fields)) }
}

/// Signatures as a batch.
///
/// # Errors
/// If the columns do not fit the schema.
pub fn signatures(rows: &[(String, Signature)]) -> Result<RecordBatch, Error> {
    let item = handoff::schema::list_item(DataType::UInt64);
    let mut bands = ListBuilder::new(UInt64Builder::new()).with_field(item);
    for (_, signature) in rows {
        bands.values().append_slice(&signature.bands);
        bands.append(true);
    }
    let mut digests = arrow::array::FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
    for (_, signature) in rows {
        digests.append_value(signature.exact)?;
    }
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(rows.iter().map(|(id, _)| id))), Arc::new(digests.finish()), Arc::new(bands.finish())];
    Ok(RecordBatch::try_new(signature_schema().arrow, columns)?)
}

/// Reads a side table back; `each` gets the rows in order.
///
/// # Errors
/// If the file is missing, damaged, or has another number of rows than `expected`.
pub fn read_signatures(path: &Path, expected: u64, mut each: impl FnMut(&str, &Signature)) -> Result<(), Error> {
    let problem = |problem: String| Error::Signatures { path: path.to_owned(), problem };
    let reader = ShardReader::open(path, &signature_schema())?;
    if reader.rows() != expected {
        return Err(problem(format!("{} rows, the manifest says {expected}", reader.rows())));
    }
    for batch in reader.batches(4096)? {
        let batch = batch?;
        let ids = handoff::columns::strings(&batch, "document_id")?;
        let digests = batch.column(1).as_any().downcast_ref::<FixedSizeBinaryArray>();
        let bands = batch.column(2).as_any().downcast_ref::<ListArray>();
        let (Some(digests), Some(bands)) = (digests, bands) else {
            return Err(problem("columns of another type".into()));
        };
        for i in 0..batch.num_rows() {
            let values = bands.value(i);
            let Some(keys) = values.as_any().downcast_ref::<UInt64Array>() else {
                return Err(problem("band_keys of another type".into()));
            };
            let mut exact = [0_u8; 16];
            exact.copy_from_slice(digests.value(i));
            each(ids.value(i), &Signature { exact, bands: keys.values().to_vec() });
        }
    }
    Ok(())
}
