//! Encoding beside the tokenizers library: the same ids, how much faster.
//!
//! usage: `cargo bench -p tokenize --bench encode -- [TOKENIZER FILE...]`. Without arguments, English and Chinese text from the folder
//! in `JIELONG_DATA`, with vocabularies of 32,000 trained on it. A document is a line of a text file, a string in a JSON file, or a
//! row of column `text` in a Parquet file. With `--check FILE...`, only the ids are compared, for every pre-tokenizer that is scanned
//! by hand. With `--export DIR`, a vocabulary with the cl100k pattern is measured instead, and it, the documents, their ids and the
//! speeds are left in `DIR` for `scripts/bench_encode.sh`, which runs other encoders on them.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use handoff::{ShardReader, columns, schema};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use text::Tokenizer;
use tokenize::fast::Encoder;

const REPEATS: usize = 5;

/// Enough for a vocabulary of the usual words.
const CHECK_TRAINING_BYTES: usize = 5_000_000;

/// Strings of a JSON file that are shorter are no text.
const MIN_STRING: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<PathBuf> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).map(PathBuf::from).collect();
    if std::env::args().any(|arg| arg == "--check") {
        return check(&read(&args)?);
    }
    let export = std::env::args().any(|arg| arg == "--export");
    if let Some((tokenizer, files)) = args.split_first().filter(|_| !export) {
        compare(&tokenizer.display().to_string(), &Tokenizer::load(tokenizer)?, &[("given files", read(files)?)])?;
        return Ok(());
    }
    let Some(data) = std::env::var_os("JIELONG_DATA").map(|data| PathBuf::from(data).join("tasks")) else {
        println!("encode: skipped, give a tokenizer and text files, or set JIELONG_DATA to a folder with tasks/wiki_demo.txt");
        return Ok(());
    };
    let named = |names: &[&str]| read(&names.iter().map(|name| data.join(name)).collect::<Vec<_>>());
    let texts = [
        ("English", named(&["wiki_demo.txt", "alpaca_en_demo.json", "xquad.en.json"])?),
        ("Chinese", named(&["alpaca_zh_demo.json", "xquad.zh.json", "drcd_dev.json"])?),
    ];
    let all: Vec<&str> = texts.iter().flat_map(|(_, documents)| documents.iter().map(String::as_str)).collect();
    if export {
        let dir = args.first().ok_or("`--export` needs a folder")?;
        return self::export(dir, &support::sequence(&[support::split(support::LLAMA3), support::byte_level(false)]), &all, &texts);
    }
    let steps = [support::split(support::HAN), support::split(support::QWEN2), support::byte_level(false)];
    for (name, steps) in [("Han isolated", &steps[..]), ("Han in clauses", &steps[1..])] {
        let tokenizer = support::tokenizer(&support::train(&support::sequence(steps), &all, 32_000));
        compare(name, &tokenizer, &texts)?;
    }
    Ok(())
}

/// Measures, and leaves what other encoders need to do the same work.
fn export(dir: &Path, pre_tokenizer: &Value, all: &[&str], texts: &[(&str, Vec<String>)]) -> Result<(), Box<dyn Error>> {
    let json = support::train(pre_tokenizer, all, 32_000);
    let tokenizer = support::tokenizer(&json);
    let speeds = compare("cl100k pattern", &tokenizer, texts)?;
    std::fs::create_dir_all(dir)?;
    let write =
        |name: String, value: &Value| -> Result<(), Box<dyn Error>> { Ok(std::fs::write(dir.join(name), serde_json::to_vec(value)?)?) };
    write("tokenizer.json".into(), &json)?;
    write("speeds.json".into(), &speeds)?;
    for (language, documents) in texts {
        let ids = documents.par_iter().map(|document| tokenizer.encode(document)).collect::<Result<Vec<_>, _>>()?;
        write(format!("{language}.documents.json"), &json!(documents))?;
        write(format!("{language}.ids.json"), &json!(ids))?;
    }
    Ok(())
}

/// Compares ids, with vocabularies trained on the first of the documents.
fn check(documents: &[String]) -> Result<(), Box<dyn Error>> {
    let bytes: usize = documents.iter().map(String::len).sum();
    println!("{:.1} MB in {} documents", bytes as f64 / 1e6, documents.len());
    let mut left = CHECK_TRAINING_BYTES;
    let first = documents.iter().map(String::as_str).take_while(|text| {
        let before = left;
        left = left.saturating_sub(text.len());
        before > 0
    });
    let first: Vec<&str> = first.collect();
    for (name, pre_tokenizer) in support::pre_tokenizers() {
        let tokenizer = support::tokenizer(&support::train(&pre_tokenizer, &first, 16_000));
        let encoder = Encoder::new(&tokenizer)?;
        let differing = documents.par_iter().filter(|d| encoder.encode(d).ok() != tokenizer.encode(d).ok()).count();
        println!("  {name}: {} ids, fast: {}, {differing} have other ids than tokenizers gives", tokenizer.vocab_size(), encoder.is_fast());
    }
    Ok(())
}

/// Returns our MB/s by language and threads.
fn compare(name: &str, tokenizer: &Tokenizer, texts: &[(&str, Vec<String>)]) -> Result<Value, Box<dyn Error>> {
    let mut speeds = Map::new();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let all = rayon::ThreadPoolBuilder::new().build()?;
    println!("{name}: {} ids", tokenizer.vocab_size());
    for (language, documents) in texts {
        let bytes: usize = documents.iter().map(|d| d.len()).sum();
        let encoder = Encoder::new(tokenizer)?;
        let way = if encoder.is_fast() { "" } else { ", all through tokenizers" };
        let differing = documents.par_iter().filter(|d| encoder.encode(d).ok() != tokenizer.encode(d).ok()).count();
        println!(
            "  {language}: {:.1} MB in {} documents{way}; {differing} have other ids than tokenizers gives",
            bytes as f64 / 1e6,
            documents.len()
        );
        let mut of_language = Map::new();
        for (name, pool) in [("1 thread", &one), ("all threads", &all)] {
            let threads = pool.current_num_threads();
            let mut setup = 0.0;
            let ours = speed(bytes, threads, || {
                pool.install(|| {
                    // A new encoder each time: the pieces that it has to learn first are part of the time; its tables are
                    // beside it, as loading a tokenizer is.
                    let start = Clocks::now();
                    let encoder = Encoder::new(tokenizer).expect("the tokenizer was taken before");
                    let loaded = start.elapsed();
                    setup += loaded.wall / REPEATS as f64;
                    (documents.par_iter().map(|d| encoder.encode(d).map_or(0, |ids| ids.len())).sum::<usize>(), loaded)
                })
            });
            let library = speed(bytes, threads, || {
                (pool.install(|| documents.par_iter().map(|d| tokenizer.encode(d).map_or(0, |ids| ids.len())).sum()), Clocks::default())
            });
            println!(
                "    {name:<12} jielong {ours}   tokenizers {library}   ratio {:.1}   tables {:.0} ms",
                ours.wall / library.wall,
                setup * 1e3
            );
            of_language.insert(name.to_string(), json!(ours.wall));
        }
        speeds.insert(language.to_string(), Value::Object(of_language));
    }
    Ok(Value::Object(speeds))
}

/// MB/s.
struct Speed {
    wall: f64,
    /// For each second that a core worked on it, which a busy machine changes less.
    core: Option<f64>,
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.1} MB/s", self.wall)?;
        self.core.map_or(Ok(()), |core| write!(f, " ({core:.1} per core second)"))
    }
}

/// Seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Clocks {
    wall: f64,
    /// Of all threads.
    core: f64,
}

impl Clocks {
    fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        Self { wall: START.get_or_init(Instant::now).elapsed().as_secs_f64(), core: core_seconds() }
    }

    fn elapsed(self) -> Self {
        Self::now().less(self)
    }

    fn less(self, other: Self) -> Self {
        Self { wall: self.wall - other.wall, core: self.core - other.core }
    }
}

/// Median speed of a run that returns what it counted and the time that does not count.
fn speed(bytes: usize, threads: usize, mut run: impl FnMut() -> (usize, Clocks)) -> Speed {
    let mut times: Vec<Clocks> = (0..REPEATS)
        .map(|_| {
            let start = Clocks::now();
            let (counted, loaded) = std::hint::black_box(run());
            assert!(counted > 0);
            start.elapsed().less(loaded)
        })
        .collect();
    let mut median = |key: fn(&Clocks) -> f64| {
        times.sort_by(|a, b| key(a).total_cmp(&key(b)));
        bytes as f64 / 1e6 / key(&times[REPEATS / 2])
    };
    // Idle threads of a pool look for work, too, so the figure is for one.
    Speed { wall: median(|t| t.wall), core: (threads == 1 && core_seconds() > 0.0).then(|| median(|t| t.core)) }
}

/// Seconds that the threads of this process have run; 0 where `/proc` does not tell (proc(5), `schedstat`).
fn core_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanos = |task: std::fs::DirEntry| {
        let line = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<f64>().ok()
    };
    tasks.filter_map(|task| nanos(task.ok()?)).sum::<f64>() / 1e9
}

fn read(files: &[PathBuf]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut out = Vec::new();
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => rows(file, &mut out)?,
            Some("json") => strings(&serde_json::from_slice(&std::fs::read(file)?)?, &mut out),
            _ => out.extend(std::fs::read_to_string(file)?.lines().filter(|line| !line.is_empty()).map(str::to_string)),
        }
    }
    Ok(out)
}

fn rows(file: &Path, out: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for batch in ShardReader::open(file, &schema::documents())?.batches_of(1024, &["text"])? {
        let batch = batch?;
        let texts = columns::strings(&batch, "text")?;
        out.extend((0..batch.num_rows()).map(|row| texts.value(row).to_string()));
    }
    Ok(())
}

fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= MIN_STRING => out.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, out)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, out)),
        _ => {}
    }
}
