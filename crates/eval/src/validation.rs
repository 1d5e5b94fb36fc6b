//! Bits per byte on the validation split.
//!
//! A row holds parts of several documents; with `document_mask` each token sees the earlier ones of its own part only, and the end token
//! before a document's first one.
//! Every token but the row's first is predicted, apart from padding and from tokens repeated as context; their bytes are what the
//! row's `num_bytes` counts.
//!
//! Shape letters: b rows, t time.

use std::path::PathBuf;

use handoff::columns::Padding;
use handoff::{Digest, DigestBuilder, RunDir, ShardReader, SharedMetadata, TokenWidth, Upstream, columns, schema};
use model::{IGNORE, Inputs, Model};
use tch::{Kind, Tensor};

use crate::Error;
use crate::models::Subject;
use crate::rows::Likelihood;

/// A validation row.
#[derive(Debug, Clone)]
struct Sample {
    id: String,
    tokens: Vec<i64>,
    /// Number of the document part that each token belongs to.
    segments: Vec<i64>,
    /// What fills an incomplete row and is never predicted.
    padding: Padding,
    /// Places that hold a token only as context.
    context: Vec<u32>,
    num_bytes: i64,
}

impl Sample {
    /// The token after each but the last, or [`IGNORE`].
    fn targets(&self) -> impl Iterator<Item = i64> + '_ {
        let used = self.padding.used(&self.tokens) as u32;
        let ignored = move |place: u32| place >= used || self.context.contains(&place);
        (1_u32..).zip(self.tokens.iter().skip(1)).map(move |(place, id)| if ignored(place) { IGNORE } else { *id })
    }
}

/// The validation split of a run.
#[derive(Debug)]
pub struct Validation {
    samples: Vec<Sample>,
    /// What all shards say of themselves.
    metadata: SharedMetadata,
    /// Changes when any of its shards does.
    pub digest: Digest,
    /// Its shards.
    pub paths: Vec<PathBuf>,
}

impl Validation {
    /// Reads the validation shards that `stage` committed.
    ///
    /// # Errors
    /// When the stage is not complete or has no validation split.
    pub fn read(run: &RunDir, stage: &str) -> Result<Self, Error> {
        let upstream = Upstream::open(run, stage, schema::samples(TokenWidth::U16).name)?;
        let mut out = Self {
            samples: Vec::new(),
            metadata: SharedMetadata::new(&schema::SAMPLES_AGREE_IN),
            digest: Digest::of_bytes(b""),
            paths: Vec::new(),
        };
        let mut digest = DigestBuilder::new();
        for shard in upstream.shards() {
            if !shard.path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"validation-")) {
                continue;
            }
            digest = digest.field("shard", shard.digest.as_bytes());
            out.append(&shard.path)?;
            out.paths.push(shard.path.clone());
        }
        if out.samples.is_empty() {
            return Err(Error::NoValidation { stage: stage.to_owned() });
        }
        out.digest = digest.finish();
        Ok(out)
    }

    fn append(&mut self, path: &std::path::Path) -> Result<(), Error> {
        let reader = match ShardReader::open(path, &schema::samples(TokenWidth::U16)) {
            Err(handoff::Error::WrongColumn { .. }) => ShardReader::open(path, &schema::samples(TokenWidth::U32))?,
            other => other?,
        };
        self.metadata.add(&reader)?;
        let padding = Padding::of(|key| reader.metadata().get(key).map(String::as_str));
        for batch in reader.batches_of(1024, &["sample_id", "input_ids", "document_starts", "token_offsets", "num_bytes"])? {
            let batch = batch?;
            let (ids, bytes) = (columns::strings(&batch, "sample_id")?, columns::i64s(&batch, "num_bytes")?);
            let (tokens, starts) = (columns::token_rows(&batch, "input_ids")?, columns::segment_starts(&batch)?);
            let context = columns::context_places(&batch)?;
            for (i, ((tokens, starts), context)) in tokens.into_iter().zip(starts).zip(context).enumerate() {
                self.samples.push(Sample {
                    id: ids.value(i).to_owned(),
                    segments: segments(tokens.len(), &starts),
                    tokens: tokens.into_iter().map(i64::from).collect(),
                    padding,
                    context,
                    num_bytes: bytes.value(i),
                });
            }
        }
        Ok(())
    }

    /// Log-probability of every row under a model.
    ///
    /// # Errors
    /// When the rows were made with another tokenizer, or libtorch refuses.
    pub fn score(&self, model: &Model, subject: &Subject, batch_tokens: usize, document_mask: bool) -> Result<Vec<Likelihood>, Error> {
        if let (Some(expected), Some(path)) = (self.metadata.get("tokenizer_digest"), self.metadata.path())
            && expected != subject.tokenizer.digest()
        {
            return Err(Error::ForeignTokenizer {
                path: path.to_path_buf(),
                name: subject.name.clone(),
                expected: expected.to_owned(),
                got: subject.tokenizer.digest().to_owned(),
            });
        }
        let vocab_size = model.config().vocab_size;
        if let Some(id) = self.samples.iter().flat_map(|s| &s.tokens).find(|id| **id >= vocab_size) {
            return Err(Error::ForeignToken { name: subject.name.clone(), id: *id, vocab_size });
        }
        // Rows of a split have one length as a rule; a batch never mixes lengths, so nothing is padded.
        let mut out = Vec::with_capacity(self.samples.len());
        let mut at = 0;
        while at < self.samples.len() {
            let time = self.samples[at].tokens.len();
            let most = (batch_tokens / time.max(1)).max(1);
            let same = self.samples[at..].iter().take(most).take_while(|s| s.tokens.len() == time).count();
            let batch = &self.samples[at..at + same];
            let sums = if time < 2 { vec![0.0; same] } else { score_batch(model, batch, document_mask).map_err(|e| e.of(subject))? };
            out.extend(batch.iter().zip(sums).map(|(s, nll)| Likelihood {
                sample_id: s.id.clone(),
                logprob: -nll,
                num_tokens: s.targets().filter(|id| *id != IGNORE).count() as i64,
                num_bytes: s.num_bytes,
            }));
            at += same;
        }
        Ok(out)
    }
}

/// What can fail inside a batch, before the model's name is known.
enum BatchError {
    Torch(tch::TchError),
    Model(model::Error),
}

impl BatchError {
    fn of(self, subject: &Subject) -> Error {
        let name = subject.name.clone();
        match self {
            BatchError::Torch(source) => Error::Torch { name, source },
            BatchError::Model(source) => Error::Model { name, source: source.into() },
        }
    }
}

impl From<tch::TchError> for BatchError {
    fn from(e: tch::TchError) -> Self {
        BatchError::Torch(e)
    }
}

impl From<model::Error> for BatchError {
    fn from(e: model::Error) -> Self {
        BatchError::Model(e)
    }
}

/// Negative log-likelihood of each row in nats.
fn score_batch(model: &Model, batch: &[Sample], document_mask: bool) -> Result<Vec<f64>, BatchError> {
    let shape = [batch.len() as i64, batch[0].tokens.len() as i64 - 1];
    let tensor = |flat: Vec<i64>| Tensor::from_slice(&flat).f_view(shape)?.f_to_device(model.device());
    let but_last = |f: fn(&Sample) -> &Vec<i64>| batch.iter().flat_map(|s| f(s).iter().copied().take(s.tokens.len() - 1)).collect();
    let (ids_bt, segments_bt) = (tensor(but_last(|s| &s.tokens))?, tensor(but_last(|s| &s.segments))?);
    let targets_bt = tensor(batch.iter().flat_map(Sample::targets).collect())?;
    let inputs = if document_mask { Inputs::documents(&segments_bt)? } else { Inputs::default() };
    let nll_bt = model.token_losses(&ids_bt, &targets_bt, &inputs)?;
    Ok(Vec::try_from(nll_bt.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Double)?)?)
}

/// Number of the part that each of `len` inputs belongs to, given where parts begin.
fn segments(len: usize, starts: &[u32]) -> Vec<i64> {
    (0..len).map(|at| starts.iter().filter(|start| **start > 0 && **start as usize <= at).count() as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_context_are_never_predicted() {
        let padding = |pad: &'static str| Padding::of(|key| if key == "pad_token_id" { Some(pad) } else { Some("0") });
        let tokens = vec![0, 7, 1, 1];
        let sample = Sample { id: String::new(), tokens, segments: vec![0; 4], padding: padding("1"), context: vec![], num_bytes: 3 };
        assert_eq!(sample.targets().collect::<Vec<_>>(), [7, IGNORE, IGNORE]);
        let ends = Sample { tokens: vec![0, 7, 0, 0, 0], segments: vec![0; 5], padding: padding("0"), ..sample.clone() };
        assert_eq!(ends.targets().collect::<Vec<_>>(), [7, 0, IGNORE, IGNORE]);
        let sample = Sample { padding: Padding::default(), ..sample };
        assert_eq!(sample.targets().collect::<Vec<_>>(), [7, 1, 1]);
        let sample = Sample { context: vec![2], ..sample };
        assert_eq!(sample.targets().collect::<Vec<_>>(), [7, IGNORE, 1]);
    }

    #[test]
    fn every_token_knows_its_part() {
        assert_eq!(segments(6, &[0, 2, 5]), [0, 0, 1, 1, 1, 2]);
        assert_eq!(segments(3, &[0]), [0, 0, 0]);
        assert_eq!(segments(3, &[]), [0, 0, 0]);
        assert_eq!(segments(2, &[0, 7]), [0, 0]);
    }
}
