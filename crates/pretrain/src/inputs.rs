//! What the stage reads: samples in their batches, the tokenizer, and perhaps a model to start from.

use std::path::PathBuf;

use handoff::{Digest, Upstream, UpstreamShard, schema};
use stage::{InputRef, StageContext};
use text::Tokenizer;
use train::lineage::DataBatch;
use train::source::{BaseModel, batches_of, tokenizer_dir};

use crate::config::Config;
use crate::error::Error;

/// Everything found, before anything large is read.
pub(crate) struct Inputs {
    /// Stage the samples come from.
    pub(crate) stage: String,
    /// Shards of the training split, in ingest order.
    pub(crate) train: Vec<UpstreamShard>,
    /// Shards of the validation split.
    pub(crate) validation: Vec<UpstreamShard>,
    /// The training split by batch.
    pub(crate) batches: Vec<DataBatch>,
    /// Configuration that the shards were made with.
    pub(crate) samples_config: Digest,
    /// The tokenizer's folder.
    pub(crate) tokenizer_dir: PathBuf,
    /// The tokenizer.
    pub(crate) tokenizer: Tokenizer,
    /// The model to start from.
    pub(crate) init: Option<BaseModel>,
    /// Ids that the tokenizer in its folder gives out, if there is one.
    pub(crate) init_ids: Option<usize>,
    /// Files and folders outside the stage that were read.
    pub(crate) watch: Vec<PathBuf>,
}

impl Inputs {
    /// Finds the inputs that the configuration names. With `remember`, what was found out about them may be written down in the run.
    pub(crate) fn open(ctx: &StageContext, config: &Config, remember: bool) -> Result<Self, Error> {
        let InputRef::Stage(stage) = ctx.resolve(&config.inputs) else {
            return Err(Error::NotAStage { got: config.inputs.clone() });
        };
        let upstream = Upstream::open(&ctx.run, &stage, schema::samples(handoff::TokenWidth::U16).name)?;
        let of_split = |split: &str| -> Vec<UpstreamShard> {
            let is = |s: &&UpstreamShard| s.path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(split));
            upstream.shards().iter().filter(is).cloned().collect()
        };
        let (train, validation) = (of_split("train-"), of_split("validation-"));
        if train.iter().map(|s| s.rows).sum::<u64>() == 0 {
            return Err(Error::NoTrainingRows { stage, path: upstream.dir().data() });
        }
        let tokenizer_dir = tokenizer_dir(ctx, &config.tokenizer);
        let tokenizer = Tokenizer::load(&tokenizer_dir)?;
        let mut watch = vec![upstream.dir().manifest_dir(), tokenizer_dir.clone()];
        let init = config.init_from.as_ref().map(|text| BaseModel::find(ctx, text, remember)).transpose()?;
        let init_ids = init.as_ref().map(BaseModel::num_ids).transpose()?.flatten();
        watch.extend(init.iter().map(|base| base.watch.clone()));
        let batches = batches_of(&train);
        let samples_config = upstream.config_digest();
        Ok(Self { stage, train, validation, batches, samples_config, tokenizer_dir, tokenizer, init, init_ids, watch })
    }

    /// Rows of the training split.
    pub(crate) fn train_rows(&self) -> u64 {
        self.train.iter().map(|shard| shard.rows).sum()
    }
}
