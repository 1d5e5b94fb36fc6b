//! Files that a configuration names, read once for a run, and everything prepared from them.

use crate::config::Config;
use crate::decontaminate::Questions;
use crate::error::Error;
use crate::filter::{Compiled, Preset};
use crate::model::TextModel;
use crate::url::{List, UrlRules};
use handoff::{Digest, DigestBuilder};
use std::path::{Path, PathBuf};

/// What all pages of a run are judged by.
#[derive(Debug)]
pub struct Assets {
    preset: Preset,
    compiled: Vec<Compiled>,
    urls: UrlRules,
    url_digest: Digest,
    language_model: Option<TextModel>,
    quality_model: Option<TextModel>,
    questions: Option<Questions>,
    /// Files read, with the digest of each.
    files: Vec<(PathBuf, Digest)>,
}

impl Assets {
    /// Reads what `config` names; relative paths start from `folder`, that of the pipeline file.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what it should be.
    pub fn load(folder: &Path, config: &Config) -> Result<Self, Error> {
        let mut files = Files { folder, read: Vec::new() };
        let name = &config.filter.preset;
        let preset = if config.filter.preset_is_file() {
            let (path, bytes) = files.read(name)?;
            let text = String::from_utf8_lossy(&bytes);
            Preset::parse(&text).map_err(|problem| Error::BadFile { path, problem })?
        } else {
            Preset::built_in(name).ok_or_else(|| Error::BadFile { path: name.into(), problem: "no such preset".into() })?
        };
        let rules = config
            .filter
            .resolve(&preset)
            .map_err(|p| Error::BadFile { path: name.into(), problem: format!("{}: {}", p.key, p.message) })?;
        let before_urls = files.read.len();
        let urls = files.urls(config)?;
        let url_files = files.read[before_urls..].iter().map(|(_, digest)| *digest);
        let url_digest = with_files(Digest::of_bytes(&config.url.min_soft_words.to_le_bytes()), url_files);
        let language_model = config.language.model.as_deref().map(|name| files.model(name)).transpose()?;
        let quality_model = config.quality.model.as_deref().map(|name| files.model(name)).transpose()?;
        if let (Some(model), Some(path)) = (&quality_model, &config.quality.model) {
            let label = config.quality.label.trim_start_matches("__label__");
            if !model.labels().iter().any(|known| known == label) {
                let problem = format!("it has no label `{label}`, only {}", model.labels().join(", "));
                return Err(Error::BadFile { path: folder.join(path), problem });
            }
        }
        let questions = Questions::load(config, folder)?;
        let compiled = rules.iter().map(Compiled::new).collect();
        Ok(Self { preset, compiled, urls, url_digest, language_model, quality_model, questions, files: files.read })
    }

    /// The lists of addresses.
    #[must_use]
    pub fn urls(&self) -> &UrlRules {
        &self.urls
    }

    /// Digest of the lists of addresses.
    #[must_use]
    pub fn url_digest(&self) -> Digest {
        self.url_digest
    }

    /// The user's language model.
    #[must_use]
    pub fn language_model(&self) -> Option<&TextModel> {
        self.language_model.as_ref()
    }

    /// The user's quality model.
    #[must_use]
    pub fn quality_model(&self) -> Option<&TextModel> {
        self.quality_model.as_ref()
    }

    /// Questions of evaluation tasks.
    #[must_use]
    pub fn questions(&self) -> Option<&Questions> {
        self.questions.as_ref()
    }

    /// The rules for a text of a language.
    #[must_use]
    pub fn rules(&self, tag: &str, text: &str) -> &Compiled {
        &self.compiled[self.preset.select(tag, text)]
    }

    /// The digest of a configuration with that of the files it names: a changed file is a changed configuration.
    #[must_use]
    pub fn digest(&self, config: Digest) -> Digest {
        with_files(config, self.files.iter().map(|(_, digest)| *digest).chain(self.questions.iter().map(|questions| questions.digest)))
    }

    /// Files read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let tasks = self.questions.iter().flat_map(|questions| questions.files.iter().map(PathBuf::as_path));
        self.files.iter().map(|(path, _)| path.as_path()).chain(tasks)
    }
}

fn with_files(config: Digest, files: impl Iterator<Item = Digest>) -> Digest {
    let files: Vec<Digest> = files.collect();
    if files.is_empty() {
        return config;
    }
    let start = DigestBuilder::new().field("config", config.as_bytes());
    files.iter().fold(start, |builder, digest| builder.field("file", digest.as_bytes())).finish()
}

struct Files<'a> {
    folder: &'a Path,
    read: Vec<(PathBuf, Digest)>,
}

impl Files<'_> {
    fn urls(&mut self, config: &Config) -> Result<UrlRules, Error> {
        let mut rules = UrlRules::new(config.url.min_soft_words);
        let lists = [
            (List::Domains, &config.url.domains),
            (List::Urls, &config.url.urls),
            (List::Hard, &config.url.hard_words),
            (List::Soft, &config.url.soft_words),
        ];
        for (list, names) in lists {
            for name in names {
                let (_, bytes) = self.read(name)?;
                rules.add(list, &String::from_utf8_lossy(&bytes));
            }
        }
        Ok(rules)
    }

    fn model(&mut self, name: &str) -> Result<TextModel, Error> {
        let (path, bytes) = self.read(name)?;
        TextModel::read(&bytes).map_err(|problem| Error::BadFile { path, problem })
    }

    fn read(&mut self, name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
        let path = self.folder.join(name);
        let bytes = std::fs::read(&path).map_err(Error::read(&path))?;
        self.read.push((path.clone(), Digest::of_bytes(&bytes)));
        Ok((path, bytes))
    }
}
