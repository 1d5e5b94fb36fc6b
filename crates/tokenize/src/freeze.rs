//! The stage's tokenizer: trained once, or taken; kept in `tokenizer/` and replaced only when asked.

use std::fs;
use std::path::{Path, PathBuf};

use handoff::{DigestBuilder, UpstreamShard, atomic};
use stage::StageContext;
use text::{Tokenizer, TokenizerFiles, template};

use crate::Error;
use crate::config::{Config, TrainSettings};
use crate::encode::Ends;
use crate::ranks;
use crate::train::{self, TrainingRecord, record_of};

/// What a run will do about the tokenizer.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The one that is there serves; its chat template may have to be replaced.
    Keep { tokenizer: Box<Tokenizer>, new_template: Option<String> },
    /// One has to be trained, and why.
    Train { why: String },
    /// One has to be copied from a path.
    Take { tokenizer: Box<Tokenizer> },
}

/// The tokenizer to encode with.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) ends: Ends,
    pub(crate) notes: Vec<String>,
    pub(crate) watch: Vec<PathBuf>,
}

/// Decides, touching nothing.
pub(crate) fn decide(ctx: &StageContext, config: &Config, shards: &[UpstreamShard]) -> Result<Decision, Error> {
    let dir = ctx.stage_dir.tokenizer_dir();
    if !config.trains() {
        let path = ctx.path(&config.tokenizer);
        let taken = if ranks::is_rank_file(&path) {
            Tokenizer::from_files(ranks::read(&path, config, &template_source(ctx, config)?)?)?
        } else {
            let mut taken = Tokenizer::load(&path)?;
            // Those of models that were only pretrained, such as LLaMA's, have none, and fine-tuning needs one.
            if taken.chat_template().is_none() {
                taken.set_chat_template(&template_source(ctx, config)?)?;
            }
            taken
        };
        let old = if dir.exists() { Tokenizer::load(&dir).ok() } else { None };
        let same = old.as_ref().is_some_and(|old| {
            old.digest() == taken.digest() && template_digest(old) == template_digest(&taken) && record_of(old) == record_of(&taken)
        });
        let was_trained = old.as_ref().and_then(record_of).is_some();
        if was_trained && !same && !ctx.force {
            let (trained, asked) = ("`tokenizer = \"train\"`".to_string(), format!("`tokenizer = {:?}`", config.tokenizer));
            return Err(Error::Frozen { path: dir, trained, asked });
        }
        let tokenizer = Box::new(taken);
        return Ok(if same { Decision::Keep { tokenizer, new_template: None } } else { Decision::Take { tokenizer } });
    }
    if !dir.exists() {
        return Ok(Decision::Train { why: "there is none yet".into() });
    }
    // Workers of an array job encode again, with the one tokenizer that there is.
    if ctx.force && ctx.worker.count == 1 {
        return Ok(Decision::Train { why: "--force".into() });
    }
    let tokenizer = Tokenizer::load(&dir)?;
    let asked = config.train_settings();
    match record_of(&tokenizer) {
        None => Ok(Decision::Train { why: "the one there was taken, not trained".into() }),
        Some(record) if record.settings != asked && config.retrain => {
            Ok(Decision::Train { why: "`retrain` is set and settings changed".into() })
        }
        Some(record) if record.settings != asked => Err(frozen(&dir, &record, &asked)),
        Some(record) if config.retrain && record.corpus_digest != corpus_digest(shards) => {
            Ok(Decision::Train { why: "`retrain` is set and the inputs changed".into() })
        }
        Some(_) => {
            let wanted = template_source(ctx, config)?;
            let new_template = (tokenizer.chat_template().map(text::ChatTemplate::source) != Some(wanted.as_str())).then_some(wanted);
            Ok(Decision::Keep { tokenizer: Box::new(tokenizer), new_template })
        }
    }
}

/// Carries the decision out; `None` if cancelled.
pub(crate) fn obtain(ctx: &StageContext, config: &Config, shards: &[UpstreamShard]) -> Result<Option<Frozen>, Error> {
    let dir = ctx.stage_dir.tokenizer_dir();
    let mut notes = Vec::new();
    let mut watch = Vec::new();
    let tokenizer = match decide(ctx, config, shards)? {
        Decision::Keep { tokenizer, new_template: None } => *tokenizer,
        _ if ctx.worker.index > 0 => {
            return Err(Error::NotTrained { path: dir, worker: ctx.worker.index });
        }
        Decision::Keep { mut tokenizer, new_template: Some(source) } => {
            tokenizer.set_chat_template(&source)?;
            install(tokenizer.files(), &dir)?;
            notes.push("chat template replaced; no id changes".into());
            *tokenizer
        }
        Decision::Take { tokenizer } => {
            install(tokenizer.files(), &dir)?;
            notes.push(format!("tokenizer copied from `{}`", config.tokenizer));
            *tokenizer
        }
        Decision::Train { why } => {
            let template = template_source(ctx, config)?;
            tracing::info!(%why, "training a tokenizer");
            let rows = shards.iter().map(|shard| shard.rows).sum();
            let bar = ctx.progress.bar("count pieces", rows, "documents");
            let files = train::train(
                shards,
                &config.train_settings(),
                config.max_memory_mb * 1_000_000,
                corpus_digest(shards),
                &template,
                &bar,
                &ctx.cancel,
            )?;
            bar.finish();
            let Some(files) = files else { return Ok(None) };
            install(&files, &dir)?;
            let tokenizer = Tokenizer::load(&dir)?;
            notes.push(trained_note(&tokenizer, &why));
            tokenizer
        }
    };
    if !config.trains() {
        watch.push(ctx.path(&config.tokenizer));
        notes.extend(without_effect(ctx, config));
    } else if let Some(path) = template_path(ctx, config) {
        watch.push(path);
    }
    let ends = ends(&tokenizer, config)?;
    Ok(Some(Frozen { tokenizer, ends, notes, watch }))
}

/// Names the keys that were set although the tokenizer that was taken leaves nothing for them to decide.
fn without_effect(ctx: &StageContext, config: &Config) -> Option<String> {
    let path = ctx.path(&config.tokenizer);
    let rank_file = ranks::is_rank_file(&path);
    let has_template = !rank_file && TokenizerFiles::read(&path).is_ok_and(|files| files.chat_template().is_some());
    let mut idle = vec!["vocab_size", "min_frequency", "max_token_bytes", "train_max_bytes", "max_memory_mb"];
    if !rank_file {
        idle.extend(["reserved_tokens", "pattern", "split_digits", "isolate_han"]);
    }
    if has_template {
        idle.push("chat_template");
    }
    let defaults: serde_json::Value = toml::from_str(include_str!("default.toml")).unwrap_or_default();
    let set = serde_json::to_value(config).unwrap_or_default();
    let named: Vec<String> = idle.iter().filter(|key| set.get(*key) != defaults.get(*key)).map(|key| format!("`{key}`")).collect();
    (!named.is_empty()).then(|| format!("no effect on a tokenizer that is taken: {}", named.join(", ")))
}

/// The tokens around every document.
pub(crate) fn ends(tokenizer: &Tokenizer, config: &Config) -> Result<Ends, Error> {
    let end = match &config.end_token {
        Some(token) => tokenizer.id(token),
        None => tokenizer.eos_id(),
    };
    let end = end.ok_or_else(|| match &config.end_token {
        Some(token) => Error::NoToken { path: tokenizer.origin(), key: "end_token", token: token.clone() },
        None => Error::NoEndToken { path: tokenizer.origin() },
    })?;
    let begin = match config.begin_token.as_deref() {
        None => tokenizer.begin_id(),
        Some("") => None,
        Some(token) => {
            let unknown = || Error::NoToken { path: tokenizer.origin(), key: "begin_token", token: token.to_owned() };
            Some(tokenizer.id(token).ok_or_else(unknown)?)
        }
    };
    // Where they are the same, the end token of the document before does for both.
    Ok(Ends { begin: begin.filter(|id| *id != end), end })
}

fn trained_note(tokenizer: &Tokenizer, why: &str) -> String {
    let Some(record) = record_of(tokenizer) else {
        return String::new();
    };
    let mut note = format!(
        "tokenizer trained ({why}) on {} documents, {:.1} MB: {} ids, padded to {}; frozen from now on",
        record.documents,
        record.bytes as f64 / 1e6,
        record.vocab_size,
        record.padded_vocab_size
    );
    if record.sampling_rate < 1.0 {
        note += &format!("; a sample of {:.1} % of the documents (`train_max_bytes`)", 100.0 * record.sampling_rate);
    }
    if record.dropped_pieces > 0 {
        note += &format!(
            "; the rarest pieces were dropped {} times for want of memory, so a count can be too low by {} (`max_memory_mb`)",
            record.dropped_pieces, record.most_lost_count
        );
    }
    if record.vocab_size < record.settings.vocab_size as u64 {
        note += &format!(
            "; no pair occurs {} times or more beyond that, {} were asked for",
            record.settings.min_frequency, record.settings.vocab_size
        );
    }
    note
}

/// Puts a tokenizer directory in place as a whole.
fn install(files: &TokenizerFiles, dir: &Path) -> Result<(), Error> {
    let staged = atomic::temporary_beside(dir);
    fs::create_dir_all(&staged).map_err(|source| Error::Io { path: staged.clone(), source })?;
    let copied = files.copy_to(&staged).and_then(|()| files.write_stop_ids(&staged));
    let written = copied.map_err(Error::from).and_then(|()| Ok(atomic::commit_dir(&staged, dir)?));
    if written.is_err() {
        // The staged copy is of no use; the old directory stands.
        let _ = fs::remove_dir_all(&staged);
    }
    written
}

/// What the tokenizer was, or would be, trained on.
fn corpus_digest(shards: &[UpstreamShard]) -> String {
    let start = DigestBuilder::new();
    shards.iter().fold(start, |d, shard| d.field(&shard.unit, shard.digest.as_bytes())).finish().to_string()
}

fn template_digest(tokenizer: &Tokenizer) -> Option<&str> {
    tokenizer.chat_template().map(text::ChatTemplate::digest)
}

fn template_path(ctx: &StageContext, config: &Config) -> Option<PathBuf> {
    (!matches!(config.chat_template.as_str(), "plain" | "chatml")).then(|| ctx.path(&config.chat_template))
}

fn template_source(ctx: &StageContext, config: &Config) -> Result<String, Error> {
    match config.chat_template.as_str() {
        "plain" => Ok(template::PLAIN.to_string()),
        "chatml" => Ok(template::CHATML.to_string()),
        path => {
            let path = ctx.path(path);
            let source = fs::read_to_string(&path).map_err(|source| Error::NoTemplate { path, source })?;
            // A template that does not parse is refused here, before anything is trained.
            text::ChatTemplate::new(&source, None, None)?;
            Ok(source)
        }
    }
}

/// The error that names what differs.
fn frozen(dir: &Path, record: &TrainingRecord, asked: &TrainSettings) -> Error {
    let (old, new) = (serde_json::to_value(&record.settings).unwrap_or_default(), serde_json::to_value(asked).unwrap_or_default());
    let (mut trained, mut wanted) = (Vec::new(), Vec::new());
    for (key, value) in new.as_object().into_iter().flatten() {
        if old.get(key) != Some(value) {
            trained.push(format!("`{key} = {}`", old.get(key).cloned().unwrap_or_default()));
            wanted.push(format!("`{key} = {value}`"));
        }
    }
    Error::Frozen { path: dir.to_path_buf(), trained: trained.join(", "), asked: wanted.join(", ") }
}
