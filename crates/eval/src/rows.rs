//! What is kept of every sample: one Parquet file for each model and task.
//!
//! Answers are rows of [`handoff::schema::eval_rows`] in `data/`; likelihoods of validation samples are rows of
//! [`likelihoods`] in the side folder `likelihood/`, so that `data/*.parquet` is one table.
//! Scores are always recomputed from these rows.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use handoff::{OutputFile, ShardMeta, ShardReader, ShardWriter, StageDir, TableSchema, columns, schema};

use crate::Error;

/// Side folder of likelihood shards.
pub const LIKELIHOOD: &str = "likelihood";

/// One answered question.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the model.
    pub model: String,
    /// Name of the task.
    pub task: String,
    /// Id of the question in its task.
    pub sample_id: String,
    /// Language of the question.
    pub language: String,
    /// What is asked for.
    pub relation: Option<String>,
    /// The question as it was put, before the chat template.
    pub prompt: String,
    /// The answer, trimmed.
    pub completion: String,
    /// The canonical right answer, empty if none is known.
    pub target: String,
    /// Whether the answer is an accepted one.
    pub correct: bool,
    /// Whether the answer is of the right kind, where kinds are known.
    pub in_type: Option<bool>,
    /// `stop` when the model ended its answer, `length` when it was cut.
    pub stop_reason: String,
    /// Log-probability of the generated tokens in nats, where measured.
    pub logprob: Option<f64>,
}

/// How well a model predicts one validation sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihood {
    /// Id of the sample.
    pub sample_id: String,
    /// Sum of log-probabilities of the predicted tokens, in nats.
    pub logprob: f64,
    /// Tokens predicted.
    pub num_tokens: i64,
    /// Bytes of text that they stand for.
    pub num_bytes: i64,
}

/// Likelihoods of validation samples: `model utf8, sample_id utf8, logprob f64 (nats), num_tokens i64, num_bytes i64`.
pub fn likelihoods() -> TableSchema {
    let field = |name: &str, t| Field::new(name, t, false);
    let fields = vec![
        field("model", DataType::Utf8),
        field("sample_id", DataType::Utf8),
        field("logprob", DataType::Float64),
        field("num_tokens", DataType::Int64),
        field("num_bytes", DataType::Int64),
    ];
    TableSchema { name: "likelihoods", version: 1, arrow: Arc::new(Schema::new(fields)) }
}

/// Writes answers as a shard.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, dir: &StageDir, meta: &ShardMeta, rows: &[Row]) -> Result<OutputFile, Error> {
    let text = |f: fn(&Row) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(f))) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        text(|r| &r.model),
        text(|r| &r.task),
        text(|r| &r.sample_id),
        text(|r| &r.language),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.relation.as_deref()))),
        text(|r| &r.prompt),
        text(|r| &r.completion),
        text(|r| &r.target),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(r.correct)))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.in_type))),
        text(|r| &r.stop_reason),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.logprob))),
    ];
    finish(path, dir, meta, &schema::eval_rows(), columns)
}

/// Writes likelihoods as a shard.
///
/// # Errors
/// When the disk refuses.
pub fn write_likelihoods(path: &Path, dir: &StageDir, meta: &ShardMeta, model: &str, rows: &[Likelihood]) -> Result<OutputFile, Error> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| model))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.sample_id))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.logprob))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.num_tokens))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.num_bytes))),
    ];
    finish(path, dir, meta, &likelihoods(), columns)
}

fn finish(path: &Path, dir: &StageDir, meta: &ShardMeta, table: &TableSchema, columns: Vec<ArrayRef>) -> Result<OutputFile, Error> {
    let batch = RecordBatch::try_new(table.arrow.clone(), columns).map_err(|source| Error::Rows { path: path.into(), source })?;
    let mut writer = ShardWriter::create(path, table, meta)?;
    writer.write(&batch)?;
    Ok(writer.finish(dir)?)
}

/// Reads answers back.
///
/// # Errors
/// When the file is no shard of answers.
pub fn read(path: &Path) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for batch in ShardReader::open(path, &schema::eval_rows())?.batches(8192)? {
        let batch = batch?;
        let text = |name| columns::strings(&batch, name);
        let (model, task, sample_id, language) = (text("model")?, text("task")?, text("sample_id")?, text("language")?);
        let (relation, prompt, completion, target) = (text("relation")?, text("prompt")?, text("completion")?, text("target")?);
        let (correct, in_type) = (columns::bools(&batch, "correct")?, columns::bools(&batch, "in_type")?);
        let (stop_reason, logprob) = (text("stop_reason")?, columns::f64s(&batch, "logprob")?);
        rows.extend((0..batch.num_rows()).map(|i| Row {
            model: model.value(i).to_owned(),
            task: task.value(i).to_owned(),
            sample_id: sample_id.value(i).to_owned(),
            language: language.value(i).to_owned(),
            relation: relation.is_valid(i).then(|| relation.value(i).to_owned()),
            prompt: prompt.value(i).to_owned(),
            completion: completion.value(i).to_owned(),
            target: target.value(i).to_owned(),
            correct: correct.value(i),
            in_type: in_type.is_valid(i).then(|| in_type.value(i)),
            stop_reason: stop_reason.value(i).to_owned(),
            logprob: logprob.is_valid(i).then(|| logprob.value(i)),
        }));
    }
    Ok(rows)
}

/// Reads likelihoods back.
///
/// # Errors
/// When the file is no shard of likelihoods.
pub fn read_likelihoods(path: &Path) -> Result<Vec<Likelihood>, Error> {
    let mut rows = Vec::new();
    for batch in ShardReader::open(path, &likelihoods())?.batches(8192)? {
        let batch = batch?;
        let (ids, logprob) = (columns::strings(&batch, "sample_id")?, columns::f64s(&batch, "logprob")?);
        let (tokens, bytes) = (columns::i64s(&batch, "num_tokens")?, columns::i64s(&batch, "num_bytes")?);
        rows.extend((0..batch.num_rows()).map(|i| Likelihood {
            sample_id: ids.value(i).to_owned(),
            logprob: logprob.value(i),
            num_tokens: tokens.value(i),
            num_bytes: bytes.value(i),
        }));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went() {
        let dir = tempfile::tempdir().unwrap();
        let stage = handoff::RunDir::new(dir.path()).stage("eval");
        let row = Row {
            model: "sft".into(),
            task: "world_qa_heldout".into(),
            sample_id: "cn.peak.zh".into(),
            language: "zh".into(),
            relation: None,
            prompt: "中国最高的山是什么？".into(),
            completion: "姚明".into(),
            target: "珠穆朗玛峰".into(),
            correct: false,
            in_type: None,
            stop_reason: "stop".into(),
            logprob: Some(-1.5),
        };
        let other = Row { relation: Some("capital".into()), in_type: Some(true), correct: true, logprob: None, ..row.clone() };
        let rows = vec![row, other];
        let out = write(&stage.data_shard(0), &stage, &ShardMeta::default(), &rows).unwrap();
        assert_eq!((out.rows, out.path.as_str()), (2, "data/00000.parquet"));
        assert_eq!(read(&stage.data_shard(0)).unwrap(), rows);

        let scores = vec![Likelihood { sample_id: "v0".into(), logprob: -300.25, num_tokens: 127, num_bytes: 400 }];
        let path = stage.side_shard(LIKELIHOOD, 1);
        write_likelihoods(&path, &stage, &ShardMeta::default(), "sft", &scores).unwrap();
        assert_eq!(read_likelihoods(&path).unwrap(), scores);
        assert!(read(&path).is_err(), "another table is refused");
    }
}
