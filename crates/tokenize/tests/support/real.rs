//! Real text from a folder of files, each line once: what examples compare and train on.
#![allow(dead_code, unreachable_pub, reason = "each user takes a part")]

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// A line of which more than one character in so many could not be decoded is no UTF-8 text.
const MOST_REPLACED: usize = 10;

/// Every line once.
#[derive(Default)]
pub struct Lines {
    seen: HashSet<String>,
    /// Lines with letters outside Latin.
    pub others: Vec<String>,
    pub latin: Vec<String>,
    /// Files read.
    pub files: usize,
    /// Bytes of the lines, of repeated ones, and of those that are no text.
    pub bytes: usize,
    pub repeated: usize,
    pub undecodable: usize,
}

impl Lines {
    /// Reads every file below `data`: text, JSON, JSONL, WARC, ARC, WET, also gzipped; pages without their tags.
    pub fn below(data: &Path) -> Result<Self, Box<dyn Error>> {
        let mut files = Vec::new();
        list(data, &mut files)?;
        // Tasks before crawls: what has no markup comes first.
        files.sort_by(|a, b| b.cmp(a));
        let mut lines = Self::default();
        for file in &files {
            lines.read(file)?;
        }
        lines.seen = HashSet::new();
        Ok(lines)
    }

    fn read(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut bytes = Vec::new();
        if name.ends_with(".gz") {
            // A clipped file gives what it has.
            let _ = MultiGzDecoder::new(File::open(path)?).read_to_end(&mut bytes);
        } else {
            File::open(path)?.read_to_end(&mut bytes)?;
        }
        self.files += 1;
        let text = String::from_utf8_lossy(&bytes);
        if name.contains(".json") {
            let mut strings = Vec::new();
            for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
                collect(&value?, &mut strings);
            }
            strings.iter().flat_map(|string| string.lines()).for_each(|line| self.take(line));
        } else if name.contains(".warc") || name.contains(".arc") {
            without_tags(&text).lines().for_each(|line| self.take(line));
        } else {
            text.lines().for_each(|line| self.take(line));
        }
        Ok(())
    }

    fn take(&mut self, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        let (mut characters, mut replaced, mut others) = (0, 0, false);
        for c in line.chars() {
            characters += 1;
            replaced += usize::from(c == '\u{FFFD}' || (c.is_control() && c != '\t'));
            others |= !matches!(script(c), "ASCII" | "Latin" | "other");
        }
        if replaced * MOST_REPLACED > characters {
            self.undecodable += line.len();
        } else if self.seen.insert(line.to_string()) {
            self.bytes += line.len() + 1;
            if others { &mut self.others } else { &mut self.latin }.push(line.to_string());
        } else {
            self.repeated += line.len() + 1;
        }
    }

    /// Lines by the script that holds most of their letters outside ASCII, those with none apart.
    pub fn pools(&self) -> Vec<Vec<&str>> {
        let mut pools: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in self.others.iter().chain(&self.latin) {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for c in line.chars().filter(|c| !c.is_ascii()) {
                *counts.entry(script(c)).or_default() += 1;
            }
            let most = counts.into_iter().max_by_key(|(_, n)| *n).map_or("ASCII", |(name, _)| name);
            pools.entry(most).or_default().push(line);
        }
        pools.into_values().collect()
    }
}

/// A coarse script: enough to see what a corpus holds.
pub fn script(c: char) -> &'static str {
    match u32::from(c) {
        0..=0x7F => "ASCII",
        0xC0..=0x24F | 0x1E00..=0x1EFF => "Latin",
        0x370..=0x3FF | 0x1F00..=0x1FFF => "Greek",
        0x400..=0x52F => "Cyrillic",
        0x530..=0x58F | 0x10A0..=0x10FF => "Armenian and Georgian",
        0x590..=0x5FF => "Hebrew",
        0x600..=0x77F | 0x8A0..=0x8FF | 0xFB50..=0xFDFF | 0xFE70..=0xFEFE => "Arabic",
        0x900..=0xDFF => "Indic",
        0xE00..=0xEFF => "Thai and Lao",
        0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7AF => "Hangul",
        0x3041..=0x30FF => "kana",
        0x3005 | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x323AF => "Han",
        0x2600..=0x27BF | 0x1F000..=0x1FAFF => "emoji",
        _ => "other",
    }
}

/// Text between tags; scripts and styles stay, they are text, too.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len() / 2);
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out += &rest[..at];
        let tag = rest[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        match rest[at..].find('>').filter(|_| tag) {
            Some(end) => rest = &rest[at + end + 1..],
            None => {
                out.push('<');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

fn collect(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, out)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, out)),
        _ => {}
    }
}

fn list(dir: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, out)? } else { out.push(path) }
    }
    Ok(())
}

/// A linear congruential generator (Knuth's MMIX).
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}
