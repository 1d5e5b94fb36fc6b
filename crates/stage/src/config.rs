//! Configuration: a stage's commented `default.toml`, overlaid by the pipeline file's `[stage.<name>]` table,
//! overlaid by `--set`. Tables merge key by key; everything else is replaced, and so is a table that `--set` gives as a value.
//!
//! The default file is the one definition of every default, so it cannot differ from the code.
//! Every value keeps the place it came from, so an error shows file, line, column and a caret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use handoff::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use crate::{Exit, Failure};

/// The stages, in the order of the usual chain.
pub const STAGE_NAMES: [&str; 7] = ["crawl-clean", "tokenize", "shard", "pretrain", "reverse-distill", "sft", "eval"];

/// Keys whose values may name another stage, or a variant as `sft/lora`; the runner derives the order from them.
/// Such a key has no default: the pipeline file says where a stage's input comes from.
pub const REFERENCE_KEYS: [&str; 14] = [
    "inputs",
    "input",
    "init_from",
    "shape_from",
    "tokenizer",
    "documents",
    "models",
    "samples",
    "pairs",
    "validation",
    "decontaminate",
    "from",
    "like",
    "random_like",
];

/// Where an effective value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The stage's `default.toml`.
    Default,
    /// The pipeline file.
    File,
    /// `--set`.
    Set,
}

/// A cross-field check that failed: which key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Key relative to the stage's table, such as `optimizer.learning_rate`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigProblem {
    /// Names a key and what is wrong with it.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// Bad configuration (exit code 2).
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A value is wrong, with the place where it stands.
    At {
        /// File, or the `--set` argument.
        place: String,
        /// Line and column, from 1; absent where only a key is known.
        position: Option<(usize, usize)>,
        /// The line with a caret below.
        excerpt: String,
        /// What is wrong.
        message: String,
    },
    /// Stages depend on each other in a circle.
    Cycle(Vec<String>),
    /// Anything else.
    Other(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Read { path, .. } => write!(f, "cannot read `{}`", path.display()),
            ConfigError::At { place, position: Some((line, column)), excerpt, message } => {
                write!(f, "{place}, line {line}, column {column}: {message}\n{excerpt}")
            }
            ConfigError::At { place, position: None, message, .. } => write!(f, "{place}: {message}"),
            ConfigError::Cycle(stages) => write!(f, "stages need each other in a circle: {}", stages.join(" → ")),
            ConfigError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Failure for ConfigError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Read { .. } => Some("pass the pipeline's file: --config pipelines/tiny.toml".into()),
            ConfigError::At { .. } => Some("`--print-config` shows every key of a stage with its effective value".into()),
            _ => None,
        }
    }
}

/// One text that values come from, padded so that its spans start where the text before it ended.
struct Text {
    source: Source,
    place: String,
    /// Blank up to `start`, then the text itself.
    padded: String,
    start: usize,
    /// Keys from the top down to the value of a `--set`.
    depth: Option<usize>,
}

struct Texts(Vec<Text>);

impl Texts {
    fn new(file: &Path, file_text: &str, default_name: &str, default_text: &str, sets: &[String]) -> Self {
        let mut texts = Vec::new();
        let mut end = 0;
        let mut add = |source, place: String, text: &str| {
            let padded = format!("{}{text}\n", " ".repeat(end));
            let depth = (source == Source::Set).then(|| depth_of(text));
            texts.push(Text { source, place, start: end, padded, depth });
            end += text.len() + 1;
        };
        add(Source::File, file.display().to_string(), file_text);
        add(Source::Default, format!("{default_name} (built in)"), default_text);
        for set in sets {
            add(Source::Set, format!("--set {set}"), &normalize_set(set));
        }
        Self(texts)
    }

    fn of(&self, offset: usize) -> &Text {
        self.0.iter().rev().find(|t| t.start <= offset).unwrap_or(&self.0[0])
    }

    fn error(&self, span: Option<Range<usize>>, message: &str) -> ConfigError {
        let Some(span) = span else { return ConfigError::Other(message.to_owned()) };
        let text = self.of(span.start);
        let body = &text.padded[text.start..];
        let at = (span.start - text.start).min(body.len());
        let line_start = body[..at].rfind('\n').map_or(0, |i| i + 1);
        let line_end = body[line_start..].find('\n').map_or(body.len(), |i| line_start + i);
        let line_number = body[..at].matches('\n').count() + 1;
        let column = body[line_start..at].chars().count() + 1;
        let width = body[at..(span.end - text.start).clamp(at, line_end.max(at))].chars().count().max(1);
        let gutter = line_number.to_string();
        let pad = " ".repeat(gutter.len());
        let excerpt =
            format!("{pad} |\n{gutter} | {}\n{pad} | {}{}", &body[line_start..line_end], " ".repeat(column - 1), "^".repeat(width));
        let position = (text.source != Source::Set).then_some((line_number, column));
        ConfigError::At { place: text.place.clone(), position, excerpt, message: message.to_owned() }
    }
}

/// `a.b=word` is not TOML; a bare word on the right is taken as a string, as people type it.
fn normalize_set(set: &str) -> String {
    match set.split_once('=') {
        Some((key, value)) if toml::from_str::<toml::Table>(&format!("v = {}", value.trim())).is_err() => {
            format!("{} = {}", key.trim(), toml::Value::String(value.trim().to_owned()))
        }
        _ => set.to_owned(),
    }
}

/// Number of keys on the left of `a.b = value`.
fn depth_of(set: &str) -> usize {
    // A key in quotes may hold the sign; then the text up to it is no key.
    let left = set.match_indices('=').find_map(|(at, _)| toml::from_str::<toml::Table>(&format!("{} = 0", &set[..at])).ok());
    let mut depth = 0;
    let mut value = left.map(toml::Value::Table);
    while let Some(toml::Value::Table(table)) = value {
        depth += 1;
        value = table.into_iter().next().map(|(_, inner)| inner);
    }
    depth
}

/// A stage's configuration, ready to use.
#[derive(Debug)]
pub struct Loaded<C> {
    /// Name of the run.
    pub run: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Directory that relative paths start from.
    pub config_dir: PathBuf,
    /// The stage's own configuration.
    pub config: C,
    /// Variants in file order.
    pub variants: Vec<(String, C)>,
    /// The stage's effective table, variants included.
    pub effective: toml::Table,
    /// The effective table as TOML text with the source of each value as a comment.
    pub printed: String,
    /// Digest of what the file and `--set` say about this stage; see [`PipelineFile::stage_digest`].
    pub stated_digest: Digest,
}

fn parse<'a>(texts: &'a Texts, text: &'a Text) -> Result<DeTable<'a>, ConfigError> {
    DeTable::parse(&text.padded).map(Spanned::into_inner).map_err(|e| texts.error(e.span(), e.message()))
}

fn merge<'a>(base: &mut DeTable<'a>, over: DeTable<'a>) {
    merge_above(base, over, None);
}

/// [`merge`] of tables down to `depth` keys; what stands there is replaced.
fn merge_above<'a>(base: &mut DeTable<'a>, over: DeTable<'a>, depth: Option<usize>) {
    for (key, value) in over {
        match (base.get_mut(&key).map(Spanned::get_mut), value.get_ref()) {
            (Some(DeValue::Table(old)), DeValue::Table(_)) if depth != Some(1) => {
                if let DeValue::Table(new) = value.into_inner() {
                    merge_above(old, new, depth.map(|depth| depth - 1));
                }
            }
            _ => {
                // Removed first, so that the key's own span is the new one.
                base.remove(&key);
                base.insert(key, value);
            }
        }
    }
}

fn take_table<'a>(table: &mut DeTable<'a>, key: &str) -> Option<DeTable<'a>> {
    let found = table.iter().find(|(k, v)| k.get_ref() == key && v.get_ref().is_table()).map(|(k, _)| k.clone())?;
    match table.remove(&found)?.into_inner() {
        DeValue::Table(t) => Some(t),
        _ => None,
    }
}

fn value_of(value: &Spanned<DeValue<'_>>) -> Result<toml::Value, ConfigError> {
    toml::Value::deserialize(ValueDeserializer::from(value.clone())).map_err(|e| ConfigError::Other(e.message().to_owned()))
}

fn plain(table: &DeTable<'_>) -> Result<toml::Table, ConfigError> {
    table.iter().map(|(k, v)| Ok((k.get_ref().to_string(), value_of(v)?))).collect()
}

fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (head, rest) = key.split_once('.').map_or((key, None), |(h, r)| (h, Some(r)));
    let (name, value) = table.iter().find(|(k, _)| k.get_ref() == head)?;
    match (rest, value.get_ref()) {
        (Some(rest), DeValue::Table(inner)) => span_of(inner, rest).or_else(|| Some(name.span())),
        _ => Some(name.span()),
    }
}

fn deserialize<C: DeserializeOwned>(texts: &Texts, table: &DeTable<'_>) -> Result<C, ConfigError> {
    let spanned = Spanned::new(0..0, table.clone());
    C::deserialize(Deserializer::from(spanned)).map_err(|e| {
        let message = e.message();
        // A span that covers nothing means the table itself: a required key is absent.
        let span = e.span().filter(|s| s.end > s.start);
        texts.error(span, message)
    })
}

/// Everything a stage needs from its configuration, or the first thing that is wrong with it.
///
/// # Errors
/// [`ConfigError`] with file, line, column and caret where the place is known.
pub fn load<C: DeserializeOwned>(
    path: &Path,
    stage: &str,
    default_toml: &str,
    allow_variants: bool,
    sets: &[String],
    validate: impl Fn(&C) -> Result<(), ConfigProblem>,
) -> Result<Loaded<C>, ConfigError> {
    let file = PipelineFile::read(path, sets)?;
    let texts = Texts::new(path, &file.text, &format!("{stage}/default.toml"), default_toml, sets);
    let mut tables = texts.0.iter().map(|t| parse(&texts, t)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let depths = texts.0.iter().filter(|t| t.source == Source::Set).map(|t| t.depth);
    let mut user = tables.next().unwrap_or_default();
    let mut defaults = tables.next().unwrap_or_default();
    let mut defaults = match take_table(&mut defaults, "stage").and_then(|mut s| take_table(&mut s, stage)) {
        Some(body) => body,
        None => defaults,
    };
    let mut stated = take_table(&mut user, "stage").and_then(|mut s| take_table(&mut s, stage)).unwrap_or_default();
    for (mut set, depth) in tables.zip(depths) {
        if let Some(body) = take_table(&mut set, "stage").and_then(|mut s| take_table(&mut s, stage)) {
            // Below `stage` and its name.
            merge_above(&mut stated, body, depth.and_then(|depth| depth.checked_sub(2)).filter(|depth| *depth > 0));
        }
    }
    let variants = if allow_variants { take_table(&mut stated, "variant").unwrap_or_default() } else { DeTable::new() };
    merge(&mut defaults, stated);
    let base = defaults;

    let checked = |table: &DeTable<'_>| -> Result<C, ConfigError> {
        let config: C = deserialize(&texts, table).map_err(|e| match e {
            ConfigError::Other(message) => {
                ConfigError::At { place: format!("{}, [stage.{stage}]", path.display()), position: None, excerpt: String::new(), message }
            }
            other => other,
        })?;
        validate(&config).map_err(|p| {
            let message = format!("`{}` {}", p.key, p.message);
            match texts.error(span_of(table, &p.key), &message) {
                ConfigError::Other(message) => ConfigError::Other(format!("{}, [stage.{stage}]: {message}", path.display())),
                located => located,
            }
        })?;
        Ok(config)
    };
    let config = checked(&base)?;
    let mut printed = format!("run = {}\nseed = {}\n", toml::Value::String(file.run.clone()), file.seed);
    print_table(&texts, &format!("stage.{stage}"), &base, &mut printed)?;
    let mut effective = plain(&base)?;
    let mut out = Vec::new();
    let mut effective_variants = toml::Table::new();
    // A map sorts by name; the file's order is that of the spans.
    let mut ordered: Vec<_> = variants.into_iter().collect();
    ordered.sort_by_key(|(k, _)| k.span().start);
    for (name, body) in ordered {
        let DeValue::Table(body) = body.into_inner() else {
            return Err(texts.error(Some(name.span()), &format!("a variant is a table: [stage.{stage}.variant.{}]", name.get_ref())));
        };
        let variant = name.get_ref().to_string();
        if !is_variant_name(&variant) {
            return Err(texts.error(Some(name.span()), &format!("a variant's name is {VARIANT_NAME}")));
        }
        let mut merged = base.clone();
        merge(&mut merged, body.clone());
        out.push((variant.clone(), checked(&merged)?));
        print_table(&texts, &format!("stage.{stage}.variant.{variant}"), &body, &mut printed)?;
        effective_variants.insert(variant, toml::Value::Table(plain(&merged)?));
    }
    if !effective_variants.is_empty() {
        effective.insert("variant".into(), toml::Value::Table(effective_variants));
    }
    let stated_digest = file.stage_digest(stage);
    let config_dir = file.config_dir();
    Ok(Loaded { run: file.run, seed: file.seed, config_dir, config, variants: out, effective, printed, stated_digest })
}

/// Names that would collide with a stage directory's own folders.
const RESERVED_VARIANTS: [&str; 11] =
    ["data", "rejected", "manifest", "model", "adapter", "checkpoints", "tb", "tokenizer", "tokens", "transcript", "work"];

/// What [`is_variant_name`] asks for, for messages.
pub const VARIANT_NAME: &str = "letters, digits, `-` and `_`, and not one of the stage's own folders";

/// Whether a variant can have this name: its folder stands beside the stage's own.
pub fn is_variant_name(name: &str) -> bool {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    is_plain && !RESERVED_VARIANTS.contains(&name)
}

fn print_table(texts: &Texts, name: &str, table: &DeTable<'_>, out: &mut String) -> Result<(), ConfigError> {
    *out += &format!("\n[{name}]\n");
    let (tables, leaves): (Vec<_>, Vec<_>) = table.iter().partition(|(_, v)| v.get_ref().is_table());
    for (key, value) in leaves {
        let source = match texts.of(key.span().start).source {
            Source::Default => "default",
            Source::File => "file",
            Source::Set => "--set",
        };
        *out += &format!("{} = {}  # {source}\n", quote_key(key.get_ref()), value_of(value)?);
    }
    for (key, value) in tables {
        if let DeValue::Table(inner) = value.get_ref() {
            print_table(texts, &format!("{name}.{}", quote_key(key.get_ref())), inner, out)?;
        }
    }
    Ok(())
}

fn quote_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { toml::Value::String(key.to_owned()).to_string() }
}

/// The pipeline file as the runner needs it: which stages there are and what each refers to.
#[derive(Debug, Clone)]
pub struct PipelineFile {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Name of the run.
    pub run: String,
    /// Seed of everything random.
    pub seed: u64,
    /// `[stage.<name>]` tables with `--set` applied, without defaults.
    pub stages: BTreeMap<String, toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Top {
    run: String,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    stage: BTreeMap<StageName, toml::Table>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum StageName {
    CrawlClean,
    Tokenize,
    Shard,
    Pretrain,
    ReverseDistill,
    Sft,
    Eval,
}

impl PipelineFile {
    /// Reads the file and applies `--set`; the content of the stages' tables is checked by the stages themselves.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or has a key or stage that does not exist.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(path, text, sets)
    }

    fn parse(path: &Path, text: String, sets: &[String]) -> Result<Self, ConfigError> {
        let texts = Texts::new(path, &text, "", "", sets);
        let mut merged = DeTable::new();
        for t in texts.0.iter().filter(|t| t.source != Source::Default) {
            // A stage's own table stays what the file says, but for its keys that are set.
            merge_above(&mut merged, parse(&texts, t)?, t.depth.filter(|depth| *depth > 2));
        }
        let top: Top = deserialize(&texts, &merged)?;
        if top.run.is_empty() || top.run.starts_with('.') || !top.run.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(texts.error(span_of(&merged, "run"), "`run` is a name under runs/: letters, digits, `-`, `_`, `.`"));
        }
        let name = |s: &StageName| {
            STAGE_NAMES[match s {
                StageName::CrawlClean => 0,
                StageName::Tokenize => 1,
                StageName::Shard => 2,
                StageName::Pretrain => 3,
                StageName::ReverseDistill => 4,
                StageName::Sft => 5,
                StageName::Eval => 6,
            }]
        };
        let stages = top.stage.into_iter().map(|(k, v)| (name(&k).to_owned(), v)).collect();
        drop(texts);
        Ok(Self { path: path.into(), text, run: top.run, seed: top.seed, stages })
    }

    /// Directory that relative paths start from.
    pub fn config_dir(&self) -> PathBuf {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_path_buf() }
    }

    /// The other stages that `stage` refers to.
    pub fn references(&self, stage: &str) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        if let Some(table) = self.stages.get(stage) {
            collect_references(table, false, &mut out);
        }
        out.remove(stage);
        out
    }

    /// Stages in an order in which each comes after those it refers to; ties go by the usual chain.
    ///
    /// # Errors
    /// When a stage refers to one without a table, or stages refer to each other in a circle.
    pub fn order(&self) -> Result<Vec<String>, ConfigError> {
        let mut order: Vec<String> = Vec::new();
        let names: Vec<&str> = STAGE_NAMES.iter().copied().filter(|s| self.stages.contains_key(*s)).collect();
        for stage in &names {
            if let Some(missing) = self.references(stage).iter().find(|r| !self.stages.contains_key(*r)) {
                let place = format!("{}, [stage.{stage}]", self.path.display());
                let message = format!("refers to stage `{missing}`, which has no [stage.{missing}] table here");
                return Err(ConfigError::At { place, position: None, excerpt: String::new(), message });
            }
        }
        while order.len() < names.len() {
            let ready = |s: &&&str| !order.iter().any(|o| o == **s) && self.references(s).iter().all(|r| order.contains(r));
            match names.iter().find(ready) {
                Some(stage) => order.push((*stage).to_owned()),
                None => return Err(ConfigError::Cycle(self.find_cycle(&order))),
            }
        }
        Ok(order)
    }

    fn find_cycle(&self, done: &[String]) -> Vec<String> {
        let Some(mut at) = self.stages.keys().find(|s| !done.contains(s)).cloned() else { return Vec::new() };
        let mut path = vec![at.clone()];
        while let Some(next) = self.references(&at).into_iter().find(|r| !done.contains(r)) {
            path.push(next.clone());
            if let Some(start) = path[..path.len() - 1].iter().position(|p| *p == next) {
                return path.split_off(start);
            }
            at = next;
        }
        path
    }

    /// Digest of what the file and `--set` say about one stage, and the seed; defaults are not in it, the binary has those.
    pub fn stage_digest(&self, stage: &str) -> Digest {
        let table = self.stages.get(stage).cloned().unwrap_or_default();
        let json = serde_json::to_value(table).map(|v| canonical(&v)).unwrap_or_default();
        handoff::DigestBuilder::new().field("seed", self.seed.to_le_bytes()).field("stage", json).finish()
    }
}

/// JSON text with sorted keys.
pub(crate) fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let parts: Vec<String> = sorted.iter().map(|(k, v)| format!("{}:{}", Value::String((**k).clone()), canonical(v))).collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn collect_references(table: &toml::Table, inside: bool, out: &mut BTreeSet<String>) {
    for (key, value) in table {
        collect_value(value, inside || REFERENCE_KEYS.contains(&key.as_str()), out);
    }
}

fn collect_value(value: &toml::Value, inside: bool, out: &mut BTreeSet<String>) {
    match value {
        toml::Value::String(s) if inside => {
            let stage = s.split_once('/').map_or(s.as_str(), |(stage, _)| stage);
            if STAGE_NAMES.contains(&stage) {
                out.insert(stage.to_owned());
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|v| collect_value(v, inside, out)),
        toml::Value::Table(t) => collect_references(t, inside, out),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Optimizer {
        learning_rate: f64,
        name: String,
    }

    #[derive(Debug, Clone, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Config {
        inputs: Vec<String>,
        epochs: u32,
        note: Option<String>,
        optimizer: Optimizer,
    }

    const DEFAULT: &str =
        "[stage.sft]\n# Passes over the data.\nepochs = 3\n[stage.sft.optimizer]\nlearning_rate = 1e-3\nname = \"adamw\"\n";

    fn load_text(text: &str, sets: &[&str]) -> Result<Loaded<Config>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        std::fs::write(&path, text).unwrap();
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let validate = |c: &Config| if c.epochs == 0 { Err(ConfigProblem::new("epochs", "is 0; train for at least one")) } else { Ok(()) };
        load(&path, "sft", DEFAULT, true, &sets, validate)
    }

    const GOOD: &str = "run = \"t\"\nseed = 7\n[stage.sft]\ninputs = [\"reverse-distill\"]\n[stage.sft.optimizer]\nlearning_rate = 0.5\n";

    #[test]
    fn values_come_from_default_file_and_set_in_that_order() {
        let loaded = load_text(GOOD, &["stage.sft.epochs=9", "stage.sft.note=hello world", "stage.tokenize.vocab_size=5"]).unwrap();
        let c = &loaded.config;
        assert_eq!(
            (c.epochs, c.note.as_deref(), c.optimizer.learning_rate, c.optimizer.name.as_str()),
            (9, Some("hello world"), 0.5, "adamw")
        );
        assert_eq!((loaded.run.as_str(), loaded.seed), ("t", 7));
        for line in ["epochs = 9  # --set", "learning_rate = 0.5  # file", "name = \"adamw\"  # default"] {
            assert!(loaded.printed.contains(line), "{}", loaded.printed);
        }
        toml::from_str::<toml::Table>(&loaded.printed).unwrap();
    }

    #[test]
    fn a_table_given_to_set_replaces_that_of_the_file_and_a_key_within_one_does_not() {
        let optimizer = |sets: &[&str]| load_text(GOOD, sets).unwrap().config.optimizer;
        assert_eq!(optimizer(&["stage.sft.optimizer={}"]), Optimizer { learning_rate: 1e-3, name: "adamw".into() }, "the default's");
        assert_eq!(optimizer(&["stage.sft.optimizer = { name = \"muon=1\" }"]), Optimizer { learning_rate: 1e-3, name: "muon=1".into() });
        assert_eq!(optimizer(&["stage.sft.optimizer.name=muon"]), Optimizer { learning_rate: 0.5, name: "muon".into() });
        assert_eq!(optimizer(&["stage.sft={ epochs = 2 }"]), Optimizer { learning_rate: 0.5, name: "adamw".into() });
        let file = PipelineFile::parse(Path::new("p.toml"), GOOD.into(), &["stage.sft.optimizer={}".into()]).unwrap();
        assert_eq!(file.stages["sft"]["optimizer"], toml::Value::Table(toml::Table::new()));
        assert_eq!(depth_of("a.\"b=c\".d = { e = 1 }"), 3);
    }

    #[test]
    fn variants_override_keys_in_file_order() {
        let text = format!("{GOOD}[stage.sft.variant.zeta]\nepochs = 5\n[stage.sft.variant.alpha.optimizer]\nname = \"muon\"\n");
        let loaded = load_text(&text, &[]).unwrap();
        let names: Vec<_> = loaded.variants.iter().map(|v| v.0.as_str()).collect();
        assert_eq!(names, ["zeta", "alpha"]);
        assert_eq!(loaded.variants[0].1.epochs, 5);
        assert_eq!((loaded.variants[1].1.epochs, loaded.variants[1].1.optimizer.learning_rate), (3, 0.5));
        assert!(load_text(&format!("{GOOD}[stage.sft.variant.model]\n"), &[]).is_err(), "a stage's own folder is no variant name");
    }

    #[test]
    fn no_variant_is_named_as_a_folder_that_stages_write() {
        let dir = handoff::RunDir::new("runs/t").stage("pretrain");
        let folders = [
            dir.data(),
            dir.rejected(),
            dir.manifest_dir(),
            dir.side("tokens"),
            dir.work(),
            dir.tokenizer_dir(),
            dir.checkpoints(),
            dir.model(),
            dir.adapter(),
            dir.tb(),
            dir.transcript(),
        ];
        assert_eq!(folders.len(), RESERVED_VARIANTS.len());
        for folder in folders {
            assert!(!is_variant_name(&dir.relative(&folder)), "{}", folder.display());
        }
        assert!(["lora", "decay-000500", "a_b"].into_iter().all(is_variant_name));
        assert!(["", "a/b", "..", "é"].into_iter().all(|name| !is_variant_name(name)));
    }

    #[test]
    fn a_wrong_key_is_shown_with_line_column_and_caret() {
        let text = GOOD.replace("learning_rate", "learing_rate");
        let message = load_text(&text, &[]).unwrap_err().to_string();
        for part in
            ["p.toml, line 6, column 1", "unknown field `learing_rate`", "`learning_rate`", "6 | learing_rate = 0.5", "  | ^^^^^^^^^^^^"]
        {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn other_mistakes_are_located_too() {
        let check = |text: &str, sets: &[&str], parts: &[&str]| {
            let message = load_text(text, sets).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "expected `{part}` in:\n{message}");
            }
        };
        check(&GOOD.replace("[stage.sft]", "[stage.sft]\nepochs = \"x\""), &[], &["line 4", "invalid type"]);
        check(&GOOD.replace("[stage.sft]", "[stage.sft]\nepochs = 0"), &[], &["line 4, column 1", "`epochs` is 0"]);
        check(&format!("{GOOD}[stage.stf]\n"), &[], &["line 7", "unknown variant `stf`", "`sft`"]);
        check(&format!("sed = 1\n{GOOD}"), &[], &["line 1", "unknown field `sed`"]);
        check("run = \"t\"\n[stage.sft]\n", &[], &["[stage.sft]", "missing field `inputs`"]);
        check("run = ", &[], &["line 1"]);
        check(GOOD, &["stage.sft.epohs=1"], &["--set stage.sft.epohs=1", "unknown field `epohs`"]);
        check(GOOD, &["stage.sft.epochs=0"], &["--set stage.sft.epochs=0", "`epochs` is 0"]);
        check(&GOOD.replace("\"t\"", "\"../t\""), &[], &["`run` is a name under runs/"]);
    }

    fn pipeline(text: &str) -> PipelineFile {
        PipelineFile::parse(Path::new("p.toml"), format!("run = \"t\"\n{text}"), &[]).unwrap()
    }

    #[test]
    fn order_follows_references() {
        let p = pipeline(
            "[stage.eval]\nmodels = { a = \"sft/lora\", b = { random_like = \"pretrain\" } }\n[stage.sft]\npairs = \"reverse-distill\"\n[stage.sft.variant.lora]\ninit_from = \"pretrain\"\n\
             [stage.pretrain]\ninputs = \"shard\"\n[stage.shard]\n[stage.reverse-distill]\ndocuments = \"crawl-clean\"\n[stage.crawl-clean]\ninputs = [\"../fixtures/crawl\"]\n",
        );
        assert_eq!(p.order().unwrap(), ["crawl-clean", "shard", "pretrain", "reverse-distill", "sft", "eval"]);
    }

    #[test]
    fn circles_and_missing_stages_are_refused() {
        let p = pipeline("[stage.shard]\ninputs = \"tokenize\"\n[stage.tokenize]\ninputs = \"shard\"\n[stage.crawl-clean]\n");
        assert_eq!(p.order().unwrap_err().to_string(), "stages need each other in a circle: shard → tokenize → shard");
        let p = pipeline("[stage.shard]\ninputs = \"tokenize\"\n");
        assert!(p.order().unwrap_err().to_string().contains("no [stage.tokenize] table"));
    }

    #[test]
    fn the_stated_digest_sees_only_its_stage() {
        let a = pipeline("[stage.shard]\nseq_len = 1\n");
        let b = pipeline("[stage.shard]\nseq_len = 1\n[stage.eval]\n");
        let c = pipeline("[stage.shard]\nseq_len = 2\n");
        assert_eq!(a.stage_digest("shard"), b.stage_digest("shard"));
        assert_ne!(a.stage_digest("shard"), c.stage_digest("shard"));
    }
}
