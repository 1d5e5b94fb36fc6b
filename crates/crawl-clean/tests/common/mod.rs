//! Helpers of the integration tests: a run in a temporary directory, and its rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use arrow::array::Array as _;
use crawl_clean::Config;
use handoff::columns::strings;
use handoff::{Manifest, ShardReader, schema};
use stage::{Report, StageContext, StageError};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The defaults with `inputs`.
pub fn config(inputs: &[&Path]) -> Config {
    let mut table: toml::Table = toml::from_str(include_str!("../../src/default.toml")).unwrap();
    let mut stage = table.remove("stage").unwrap().as_table_mut().unwrap().remove("crawl-clean").unwrap();
    let inputs = inputs.iter().map(|path| toml::Value::String(path.display().to_string())).collect();
    stage.as_table_mut().unwrap().insert("inputs".into(), toml::Value::Array(inputs));
    stage.try_into().unwrap()
}

pub fn context(run: &Path) -> StageContext {
    StageContext { config_dir: PathBuf::from("/"), ..StageContext::for_tests(run, "crawl-clean") }
}

pub fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
    crawl_clean::run(ctx, config)
}

/// A row as column names to values; nulls are absent.
pub type Row = BTreeMap<String, String>;

pub fn read(ctx: &StageContext, rejected: bool, columns: &[&str]) -> Vec<Row> {
    let manifest = Manifest::load(&ctx.stage_dir).unwrap();
    let mut rows = Vec::new();
    for unit in manifest.in_order() {
        let (files, table) = if rejected { (&unit.rejected, schema::rejected()) } else { (&unit.outputs, schema::documents()) };
        for file in files {
            let reader = ShardReader::open(&ctx.stage_dir.absolute(&file.path), &table).unwrap();
            for batch in reader.batches(1000).unwrap() {
                let batch = batch.unwrap();
                for i in 0..batch.num_rows() {
                    let value = |name: &&str| {
                        let column = strings(&batch, name).unwrap();
                        column.is_valid(i).then(|| ((*name).to_owned(), column.value(i).to_owned()))
                    };
                    rows.push(columns.iter().filter_map(value).collect());
                }
            }
        }
    }
    rows
}

pub fn documents(ctx: &StageContext) -> Vec<Row> {
    read(ctx, false, &["id", "url", "text", "language", "source", "charset"])
}

pub fn rejected(ctx: &StageContext) -> Vec<Row> {
    read(ctx, true, &["id", "url", "stage", "reason", "detail", "text", "source"])
}

/// All output files with their bytes.
pub fn outputs(ctx: &StageContext) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for folder in [ctx.stage_dir.data(), ctx.stage_dir.rejected(), ctx.stage_dir.side("signatures")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            out.insert(ctx.stage_dir.relative(&path), std::fs::read(&path).unwrap());
        }
    }
    out
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A page of running text about `topic`, long and varied enough to pass the filters; pages of two topics are no duplicates.
pub fn page(topic: &str) -> String {
    const WORDS: &str = "old young quiet narrow wooden distant bright heavy gentle frozen hidden yellow people farmers builders sailors teachers \
        children traders painters winter summer morning evening market village harvest garden window letter bread stone copper timber wool salt paper \
        carry gather repair watch follow measure paint remember describe protect cross visit learn study build open leave reach";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = corpus::hash64(topic.as_bytes(), 0);
    let mut word = || {
        state = corpus::hash64(&state.to_le_bytes(), 1);
        words[(state >> 20) as usize % words.len()]
    };
    let mut sentences = Vec::new();
    for i in 0..12 {
        let (a, b, c, d, e, f) = (word(), word(), word(), word(), word(), word());
        sentences.push(match i % 4 {
            0 => format!("In those days the {topic} was {a} and {b}, which {c} never had been before {d} came with {e} {f}."),
            1 => format!("Few of them have {a} what {b} and {c} could do, yet {d} went on to {e} that {f}."),
            2 => format!("A {a} {b} stood near it; {c} often spoke about {d}, {e} and also {f}."),
            _ => format!("Nobody knows why {a} {b} should {c} for {d} while others {e} under {f} roofs."),
        });
    }
    let (first, second) = sentences.split_at(6);
    format!(
        "<html><head><title>{topic}</title></head><body><nav><a href=/>Home</a></nav><p>{}</p><p>{}</p></body></html>",
        first.join(" "),
        second.join(" ")
    )
}

pub fn record(url: &str, body: &str) -> Vec<u8> {
    let block = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}");
    let text = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http\r\nContent-Length: {}\r\n\r\n{block}\r\n\r\n",
        block.len()
    );
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Writes a WARC file with one page for each topic.
pub fn warc(path: &Path, topics: &[&str]) {
    let bytes: Vec<u8> = topics.iter().flat_map(|topic| record(&format!("http://{topic}.example/"), &page(topic))).collect();
    std::fs::write(path, bytes).unwrap();
}
