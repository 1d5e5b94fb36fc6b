//! Conversations as token ids with targets, and what was rejected on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use handoff::{DigestBuilder, OutputFile, ShardMeta, ShardWriter, schema};
use model::{IGNORE, Inputs};
use rayon::prelude::*;
use stage::StageContext;
use tch::{Device, Tensor};
use text::{RenderOptions, Tokenizer};
use train::trainer::Micro;

use crate::error::Error;
use crate::pairs::Pair;

/// The date that templates are told, so that the same conversations give the same rows on any day: 1 January 2025.
const TEMPLATE_DATE: Duration = Duration::from_secs(1_735_689_600);

/// One conversation, ready to train on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Token ids, one less than the conversation has: the last one predicts nothing.
    pub(crate) ids: Vec<i64>,
    /// The token after each id where the assistant wrote it, [`IGNORE`] elsewhere.
    pub(crate) targets: Vec<i64>,
}

impl Row {
    /// Tokens to predict.
    pub(crate) fn num_targets(&self) -> u64 {
        self.targets.iter().filter(|&&t| t != IGNORE).count() as u64
    }
}

/// Why a conversation is not trained on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rejection {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) reason: &'static str,
    pub(crate) value: Option<f64>,
    pub(crate) threshold: Option<f64>,
    pub(crate) detail: Option<String>,
}

/// The rows of all batches, split.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) train: Vec<Row>,
    pub(crate) validation: Vec<Row>,
    /// Training rows of each batch, in order.
    pub(crate) per_batch: Vec<u64>,
    pub(crate) rejected: Vec<Rejection>,
}

impl Rows {
    /// Encodes one batch after another; `limit` is the longest conversation in tokens.
    pub(crate) fn encode(batches: &[Vec<Pair>], tokenizer: &Tokenizer, limit: usize, validation_share: f64) -> Self {
        let mut rows = Self::default();
        for pairs in batches {
            let encoded: Vec<Result<Row, Rejection>> = pairs.par_iter().map(|pair| encode(pair, tokenizer, limit)).collect();
            let before = rows.train.len();
            for (pair, row) in pairs.iter().zip(encoded) {
                match row {
                    Ok(row) if is_validation(&pair.document, validation_share) => rows.validation.push(row),
                    Ok(row) => rows.train.push(row),
                    Err(rejection) => rows.rejected.push(rejection),
                }
            }
            rows.per_batch.push((rows.train.len() - before) as u64);
        }
        rows
    }

    /// Counts of rejections by reason.
    pub(crate) fn reasons(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for rejection in &self.rejected {
            *counts.entry(rejection.reason).or_insert(0) += 1;
        }
        counts
    }
}

fn encode(pair: &Pair, tokenizer: &Tokenizer, limit: usize) -> Result<Row, Rejection> {
    let reject = |reason, value, threshold, detail| {
        Err(Rejection { id: pair.id.clone(), source: pair.source.clone(), reason, value, threshold, detail })
    };
    let messages = match &pair.messages {
        Ok(messages) => messages,
        Err(detail) => return reject("bad_row", None, None, Some(detail.clone())),
    };
    let options = RenderOptions { now: Some(SystemTime::UNIX_EPOCH + TEMPLATE_DATE), ..RenderOptions::default() };
    let chat = match tokenizer.encode_chat(messages, &options) {
        Ok(chat) => chat,
        Err(error) => return reject("template", None, None, Some(error.to_string())),
    };
    if chat.ids.len() > limit {
        return reject("too_long", Some(chat.ids.len() as f64), Some(limit as f64), None);
    }
    let ids: Vec<i64> = chat.ids.iter().map(|&id| i64::from(id)).collect();
    let last = ids.len().saturating_sub(1);
    // A token is learned where it is the target, so the mask moves along with the shift by one.
    let target = |i: usize| if chat.trained[i] { ids[i] } else { IGNORE };
    let row = Row { targets: (1..ids.len()).map(target).collect(), ids: ids[..last].to_vec() };
    if row.num_targets() == 0 {
        return reject("no_target", Some(0.0), Some(1.0), Some("the assistant says nothing that could be learned".to_owned()));
    }
    Ok(row)
}

/// Whether a document's conversations are kept out of training; depends on the document alone, so growing data moves none.
fn is_validation(document: &str, share: f64) -> bool {
    let digest = DigestBuilder::new().field("validation", document).finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    (u64::from_le_bytes(first) as f64) < share * u64::MAX as f64
}

/// Rows as tensors, padded at the end to the longest; what pads is no target, and comes after all that is.
pub(crate) fn micro(rows: &[&Row], pad: i64, device: Device) -> train::Result<Micro> {
    let longest = rows.iter().map(|r| r.ids.len()).max().unwrap_or(0);
    let fill = |pick: &dyn Fn(&Row) -> &[i64], with: i64| -> Vec<i64> {
        rows.iter().flat_map(|row| pick(row).iter().copied().chain(std::iter::repeat_n(with, longest - row.ids.len()))).collect()
    };
    let shape = [rows.len() as i64, longest as i64];
    let tensor = |values: Vec<i64>| Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(device);
    let ids = tensor(fill(&|row| &row.ids, pad))?;
    let targets = tensor(fill(&|row| &row.targets, IGNORE))?;
    Ok(Micro { ids, targets, inputs: Inputs::default() })
}

/// Writes all rejections as one shard of table `rejected`; nothing where there are none.
pub(crate) fn write_rejected(ctx: &StageContext, rejected: &[Rejection]) -> Result<Vec<OutputFile>, Error> {
    if rejected.is_empty() {
        return Ok(Vec::new());
    }
    let n = rejected.len();
    let text = |f: &dyn Fn(&Rejection) -> String| Arc::new(StringArray::from_iter_values(rejected.iter().map(f))) as ArrayRef;
    let number = |f: &dyn Fn(&Rejection) -> Option<f64>| Arc::new(Float64Array::from_iter(rejected.iter().map(f))) as ArrayRef;
    let columns = vec![
        text(&|r| r.id.clone()),
        text(&|_| String::new()),
        text(&|_| "sft".to_owned()),
        text(&|r| r.reason.to_owned()),
        number(&|r| r.value),
        number(&|r| r.threshold),
        Arc::new(StringArray::from_iter(rejected.iter().map(|r| r.detail.clone()))),
        Arc::new(StringArray::from(vec![None::<&str>; n])),
        text(&|r| r.source.clone()),
        Arc::new(Int64Array::from(vec![None::<i64>; n])),
    ];
    let table = schema::rejected();
    let columns = handoff::columns::fill_up(columns, &table);
    let meta = ShardMeta { stage: "sft".into(), config_digest: ctx.config_digest.to_string(), ..ShardMeta::default() };
    let mut writer = ShardWriter::create(&ctx.stage_dir.rejected_shard(0), &table, &meta)?;
    writer.write(&RecordBatch::try_new(table.arrow.clone(), columns)?)?;
    Ok(vec![writer.finish(&ctx.stage_dir)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_comes_last_and_is_no_target() {
        let short = Row { ids: vec![1, 2], targets: vec![IGNORE, 3] };
        let long = Row { ids: vec![4, 5, 6], targets: vec![IGNORE, 6, 7] };
        let micro = micro(&[&short, &long], 9, Device::Cpu).unwrap();
        let values = |t: &Tensor| Vec::<i64>::try_from(t.flatten(0, -1)).unwrap();
        assert_eq!(values(&micro.ids), [1, 2, 9, 4, 5, 6]);
        assert_eq!(values(&micro.targets), [IGNORE, 3, IGNORE, IGNORE, 6, 7]);
        assert_eq!(short.num_targets() + long.num_targets(), 3);
    }

    #[test]
    fn the_validation_side_depends_on_the_document_alone() {
        let n = (0..10_000).filter(|i| is_validation(&format!("document {i}"), 0.1)).count();
        assert!((850..1150).contains(&n), "{n} of 10000");
        assert!(!is_validation("x", 0.0));
    }
}
