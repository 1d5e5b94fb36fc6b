//! Where models and data batches come from: a stage of the run, or a folder.

use std::path::{Path, PathBuf};

use handoff::{Digest, DigestCache, Upstream, UpstreamShard};
use stage::{InputRef, StageContext};
use text::TokenizerFiles;

use crate::lineage::DataBatch;
use crate::session::MODEL_SCHEMA;
use crate::{Error, Result};

/// A model folder that a configuration key names.
#[derive(Debug, Clone)]
pub struct BaseModel {
    /// The Hugging Face folder.
    pub dir: PathBuf,
    /// Digest of its configuration and weights.
    pub digest: Digest,
    /// What to watch for changes of it.
    pub watch: PathBuf,
}

impl BaseModel {
    /// Finds the model of a stage or variant (`pretrain`, `sft/lora`), or in a folder. With `remember`, the digests of a folder's
    /// files are written down in the run, so that they need not be taken again.
    ///
    /// # Errors
    /// An upstream stage without a finished model, a folder that cannot be read.
    pub fn find(ctx: &StageContext, text: &str, remember: bool) -> Result<Self> {
        match ctx.resolve(text) {
            InputRef::Stage(name) => {
                let upstream = Upstream::open(&ctx.run, &name, MODEL_SCHEMA)?;
                let shards = upstream.shards().iter().filter(|s| is_model_file(&s.path));
                let digest = DataBatch::new(shards.map(|s| &s.digest), 0).digest;
                Ok(Self { dir: upstream.dir().model(), digest, watch: upstream.dir().manifest_dir() })
            }
            InputRef::Path(dir) => {
                let mut files = Vec::new();
                for entry in std::fs::read_dir(&dir).map_err(handoff::Error::io("list", &dir))? {
                    files.push(entry.map_err(handoff::Error::io("list", &dir))?.path());
                }
                files.retain(|path| is_model_file(path));
                files.sort();
                let mut cache = DigestCache::open(&ctx.run);
                let digests = files.iter().map(|path| cache.digest(path)).collect::<Result<Vec<_>, _>>()?;
                if remember {
                    cache.save()?;
                }
                Ok(Self { digest: DataBatch::new(&digests, 0).digest, watch: dir.clone(), dir })
            }
        }
    }

    /// The model's configuration, whose embeddings must hold all `needed` ids of the tokenizer in `tokenizer`.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] where they do not, or a configuration that cannot be read.
    pub fn config_for(&self, tokenizer: &Path, needed: usize) -> Result<model::Config> {
        let config = model::Config::from_dir(&self.dir)?;
        if (config.vocab_size as usize) < needed {
            let (tokenizer, model) = (tokenizer.to_path_buf(), self.dir.clone());
            return Err(Error::Vocabulary { tokenizer, needed, model, got: config.vocab_size });
        }
        Ok(config)
    }

    /// Ids that the tokenizer in the model's own folder gives out, the largest + 1; embeddings often have more rows than that.
    /// `None` where the folder has no tokenizer.
    ///
    /// # Errors
    /// A tokenizer that cannot be read.
    pub fn num_ids(&self) -> Result<Option<usize>> {
        match TokenizerFiles::read(&self.dir) {
            Err(text::Error::NoTokenizer { .. }) => Ok(None),
            files => Ok(Some(files?.vocab_size()?)),
        }
    }
}

fn is_model_file(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name == "config.json" || name.ends_with(".safetensors") || name == "model.safetensors.index.json"
}

/// The tokenizer folder that a key names, of a stage or by path.
pub fn tokenizer_dir(ctx: &StageContext, text: &str) -> PathBuf {
    match ctx.resolve(text) {
        InputRef::Stage(name) => ctx.run.reference(&name).tokenizer_dir(),
        InputRef::Path(path) => path,
    }
}

/// Groups shards by ingest batch, in order.
pub fn batches_of(shards: &[UpstreamShard]) -> Vec<DataBatch> {
    let groups = shards.chunk_by(|a, b| a.batch == b.batch);
    groups.map(|group| DataBatch::new(group.iter().map(|s| &s.digest), group.iter().map(|s| s.rows).sum())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_by_its_model_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = StageContext { config_dir: dir.path().into(), ..StageContext::for_tests(&dir.path().join("run"), "sft") };
        let base = dir.path().join("base");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("config.json"), "{}").unwrap();
        std::fs::write(base.join("model.safetensors"), "w").unwrap();
        let digest = || BaseModel::find(&ctx, "base", true).unwrap().digest;
        let first = digest();
        std::fs::write(base.join("README.md"), "hello").unwrap();
        assert_eq!(digest(), first);
        std::fs::write(base.join("model.safetensors"), "v").unwrap();
        assert_ne!(digest(), first);
        assert_eq!(BaseModel::find(&ctx, "base", true).unwrap().num_ids().unwrap(), None);
        let vocab = r#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0,"b":6},"unk_token":"a"}}"#;
        std::fs::write(base.join("tokenizer.json"), vocab).unwrap();
        std::fs::write(base.join("tokenizer_config.json"), r#"{"eos_token":"absent","chat_template":"{% unclosed"}"#).unwrap();
        assert_eq!(BaseModel::find(&ctx, "base", true).unwrap().num_ids().unwrap(), Some(7), "only its ids are asked for");
        std::fs::write(base.join("tokenizer.json"), "{").unwrap();
        assert!(BaseModel::find(&ctx, "base", true).unwrap().num_ids().unwrap_err().to_string().contains("base"));
        let error = BaseModel::find(&ctx, "pretrain", true).unwrap_err();
        assert_eq!(stage::Failure::exit(&error), stage::Exit::Upstream, "{error}");
    }
}
