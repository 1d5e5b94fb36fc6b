//! Tables in and out: documents, pairs, refused rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use handoff::{OutputFile, ShardMeta, ShardReader, ShardWriter, StageDir, columns, schema};

use crate::candidate::{Candidate, Document, Refusal};
use crate::error::{Error, Result};

/// Rows read at a time.
const BATCH_ROWS: usize = 1024;

/// Reads the documents of a shard that `wanted` says yes to.
///
/// # Errors
/// When the shard is damaged or of another table.
pub fn documents(path: &Path, mut wanted: impl FnMut(&str, &str) -> bool) -> Result<Vec<Document>> {
    let reader = ShardReader::open(path, &schema::documents())?;
    let mut out = Vec::new();
    for batch in reader.batches_of(BATCH_ROWS, &["id", "url", "text", "language"])? {
        let batch = batch?;
        let (ids, urls) = (columns::strings(&batch, "id")?, columns::strings(&batch, "url")?);
        let (texts, languages) = (columns::strings(&batch, "text")?, columns::strings(&batch, "language")?);
        for i in 0..batch.num_rows() {
            if wanted(ids.value(i), languages.value(i)) {
                out.push(Document {
                    id: ids.value(i).into(),
                    url: urls.value(i).into(),
                    text: texts.value(i).into(),
                    language: languages.value(i).into(),
                });
            }
        }
    }
    Ok(out)
}

/// Question and answer of every pair of a committed shard.
///
/// # Errors
/// When the shard is damaged or of another table.
pub fn committed_pairs(path: &Path) -> Result<Vec<(String, String)>> {
    let reader = ShardReader::open(path, &schema::pairs())?;
    let mut out = Vec::new();
    for batch in reader.batches_of(BATCH_ROWS, &["messages"])? {
        let batch = batch?;
        let lists = columns::lists(&batch, "messages")?;
        for i in 0..batch.num_rows() {
            let row = lists.value(i);
            let contents = row
                .as_any()
                .downcast_ref::<StructArray>()
                .and_then(|s| s.column_by_name("content"))
                .and_then(|c| c.as_any().downcast_ref::<StringArray>());
            if let Some(contents) = contents.filter(|c| c.len() >= 2) {
                out.push((contents.value(0).to_owned(), contents.value(1).to_owned()));
            }
        }
    }
    Ok(out)
}

/// Questions of a committed unit's refused rows that were refused as contested.
///
/// # Errors
/// When the shard is damaged or of another table.
pub fn committed_contested(path: &Path) -> Result<Vec<String>> {
    let reader = ShardReader::open(path, &schema::rejected())?;
    let mut out = Vec::new();
    for batch in reader.batches_of(BATCH_ROWS, &["reason", "text"])? {
        let batch = batch?;
        let (reasons, texts) = (columns::strings(&batch, "reason")?, columns::strings(&batch, "text")?);
        for i in (0..batch.num_rows()).filter(|&i| reasons.value(i) == crate::CONTESTED && !texts.is_null(i)) {
            if let Ok(pair) = serde_json::from_str::<teacher::Pair>(texts.value(i)) {
                out.push(pair.question);
            }
        }
    }
    Ok(out)
}

/// Something that was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedRow {
    /// The pair's id, or the document's if the whole reply was refused.
    pub id: String,
    /// Address of the document.
    pub url: String,
    /// The document.
    pub document_id: String,
    /// Why.
    pub refusal: Refusal,
    /// The pair as JSON, or the raw reply.
    pub text: Option<String>,
}

/// Where a unit's files go.
pub struct Target<'a> {
    /// The stage's directory.
    pub dir: &'a StageDir,
    /// The unit.
    pub unit: &'a str,
    /// Its number.
    pub index: u32,
    /// For the files' metadata.
    pub config_digest: String,
    /// For the files' metadata: teacher, note.
    pub extra: BTreeMap<String, String>,
}

impl Target<'_> {
    fn meta(&self) -> ShardMeta {
        ShardMeta { stage: "reverse-distill".into(), config_digest: self.config_digest.clone(), extra: self.extra.clone() }
    }

    fn batch(&self, table: &handoff::TableSchema, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        RecordBatch::try_new(table.arrow.clone(), columns).map_err(|source| Error::Rows { unit: self.unit.to_owned(), source })
    }

    /// Writes the pairs that stay.
    ///
    /// # Errors
    /// When the shard cannot be written.
    pub fn write_pairs(&self, teacher: &str, pairs: &[&Candidate]) -> Result<OutputFile> {
        let table = schema::pairs();
        let mut writer = ShardWriter::create(&self.dir.data_shard(self.index), &table, &self.meta())?;
        for chunk in pairs.chunks(BATCH_ROWS) {
            let text =
                |f: &dyn Fn(&Candidate) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(chunk.iter().map(|c| f(c)))) };
            let span = |f: fn((usize, usize)) -> usize| -> ArrayRef {
                Arc::new(chunk.iter().map(|c| c.span.map(|s| f(s) as i64)).collect::<Int64Array>())
            };
            let columns = vec![
                text(&|c| c.id(teacher)),
                messages(chunk),
                text(&|c| c.language.clone()),
                text(&|_| teacher.to_owned()),
                text(&|c| c.document_id.clone()),
                text(&|c| c.url.clone()),
                text(&|c| c.rule.clone()),
                span(|s| s.0),
                span(|s| s.1),
                text(&|c| c.request_id.clone()),
            ];
            writer.write(&self.batch(&table, columns)?)?;
        }
        Ok(writer.finish(self.dir)?)
    }

    /// Writes what was refused.
    ///
    /// # Errors
    /// When the shard cannot be written.
    pub fn write_refused(&self, rows: &[RefusedRow]) -> Result<OutputFile> {
        let table = schema::rejected();
        let mut writer = ShardWriter::create(&self.dir.rejected_shard(self.index), &table, &self.meta())?;
        for chunk in rows.chunks(BATCH_ROWS) {
            let text = |f: &dyn Fn(&RefusedRow) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(chunk.iter().map(f))) };
            let maybe = |f: &dyn Fn(&RefusedRow) -> Option<String>| -> ArrayRef { Arc::new(chunk.iter().map(f).collect::<StringArray>()) };
            let float =
                |f: fn(&Refusal) -> Option<f64>| -> ArrayRef { Arc::new(chunk.iter().map(|r| f(&r.refusal)).collect::<Float64Array>()) };
            let columns = vec![
                text(&|r| r.id.clone()),
                text(&|r| r.url.clone()),
                text(&|_| "reverse-distill".to_owned()),
                text(&|r| r.refusal.reason.to_owned()),
                float(|r| r.value),
                float(|r| r.threshold),
                maybe(&|r| r.refusal.detail.clone()),
                maybe(&|r| r.text.clone()),
                text(&|r| r.document_id.clone()),
                Arc::new(Int64Array::from(vec![None::<i64>; chunk.len()])) as ArrayRef,
            ];
            let columns = handoff::columns::fill_up(columns, &table);
            writer.write(&self.batch(&table, columns)?)?;
        }
        Ok(writer.finish(self.dir)?)
    }
}

/// The conversation of each pair: the user asks, the assistant answers.
fn messages(pairs: &[&Candidate]) -> ArrayRef {
    let roles = StringArray::from_iter_values(pairs.iter().flat_map(|_| ["user", "assistant"]));
    let contents = StringArray::from_iter_values(pairs.iter().flat_map(|c| [c.question.as_str(), c.answer.as_str()]));
    let fields = schema::message_fields();
    let items = StructArray::new(fields.clone(), vec![Arc::new(roles) as ArrayRef, Arc::new(contents)], None);
    let offsets = OffsetBuffer::from_lengths(pairs.iter().map(|_| 2));
    Arc::new(ListArray::new(schema::list_item(DataType::Struct(fields)), offsets, Arc::new(items), None))
}
