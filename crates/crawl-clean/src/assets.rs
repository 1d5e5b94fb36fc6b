//! Files that a configuration names, read once for a run, and everything prepared from them.

use crate::config::Config;
use crate::error::Error;
use crate::filter::{Compiled, Preset};
use handoff::{Digest, DigestBuilder};
use std::path::{Path, PathBuf};

/// What all pages of a run are judged by.
#[derive(Debug)]
pub struct Assets {
    preset: Preset,
    compiled: Vec<Compiled>,
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
        Ok(Self { preset, compiled: rules.iter().map(Compiled::new).collect(), files: files.read })
    }

    /// The rules for a text of a language.
    #[must_use]
    pub fn rules(&self, tag: &str, text: &str) -> &Compiled {
        &self.compiled[self.preset.select(tag, text)]
    }

    /// The digest of a configuration with that of the files it names: a changed file is a changed configuration.
    #[must_use]
    pub fn digest(&self, config: Digest) -> Digest {
        with_files(config, self.files.iter().map(|(_, digest)| *digest))
    }

    /// Files read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
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
    fn read(&mut self, name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
        let path = self.folder.join(name);
        let bytes = std::fs::read(&path).map_err(Error::read(&path))?;
        self.read.push((path.clone(), Digest::of_bytes(&bytes)));
        Ok((path, bytes))
    }
}
