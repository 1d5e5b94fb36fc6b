//! Peak memory of training on much Chinese text.
//!
//! usage: `JIELONG_DATA=<folder> train_memory [MB [KEY=VALUE...]]`; keys of `[stage.tokenize]`, such as `isolate_han=false`. Where the
//! folder holds less Chinese than asked for, which is 1,500 MB unless given, documents are made of slices of its lines, cut anywhere, in
//! random order, with one Han character in 50 exchanged for another of the same text: distinct pieces go on growing as in new text.
//! Run it anew for each measurement: the peak is that of the process.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/support/real.rs"]
mod real;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::DataType;
use handoff::{RunDir, ShardMeta, ShardWriter, schema};
use stage::{Stage, StageContext};
use tokenize::{Config, Tokenize};

use real::{Lines, Random, script};

/// Bytes of a document and of a shard.
const DOCUMENT_BYTES: usize = 3000;
const SHARD_BYTES: usize = 100_000_000;

/// Documents of a record batch.
const BATCH_DOCUMENTS: usize = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(data) = std::env::var_os("JIELONG_DATA").map(PathBuf::from) else {
        println!("train_memory: skipped, JIELONG_DATA does not name a folder with Chinese text");
        return Ok(());
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let megabytes: usize = args.first().map_or(Ok(1500), |arg| arg.parse())?;
    let run = tempfile::tempdir()?;
    let folder = run.path().join("documents");
    std::fs::create_dir_all(&folder)?;
    write(&data, &folder, megabytes * 1_000_000)?;
    println!("after writing: peak memory of the process {} MB", peak_memory_mb());
    reset_peak();
    let mut merged: toml::Table = toml::from_str(Tokenize::DEFAULT_TOML)?;
    merged.extend(toml::from_str::<toml::Table>(&format!(
        "inputs = [{:?}]\nvocab_size = 32000\ntrain_max_bytes = {}\n{}",
        folder.display().to_string(),
        megabytes * 2_000_000,
        args.get(1..).unwrap_or_default().join("\n")
    ))?);
    let config: Config = merged.try_into()?;
    // Training alone: no shard is encoded.
    let ctx = StageContext { limit: Some(0), ..StageContext::for_tests(run.path(), "tokenize") };
    let start = Instant::now();
    let report = tokenize::run(&ctx, &config)?.ok_or("cancelled")?;
    report.notes.iter().for_each(|note| println!("  {note}"));
    let file = std::fs::read(RunDir::new(run.path()).stage("tokenize").tokenizer_dir().join("tokenizer_config.json"))?;
    println!("  {}", serde_json::from_slice::<serde_json::Value>(&file)?["training"]);
    println!("{:.0} s, peak memory of the process {} MB", start.elapsed().as_secs_f64(), peak_memory_mb());
    Ok(())
}

/// Makes documents and writes them as table `documents`.
fn write(data: &Path, folder: &Path, bytes: usize) -> Result<(), Box<dyn Error>> {
    let lines = Lines::below(data)?.others;
    let chinese: Vec<Vec<char>> = lines
        .iter()
        .map(|line| line.chars().collect::<Vec<char>>())
        .filter(|line| line.iter().filter(|c| script(**c) == "Han").count() * 2 > line.len() && line.len() > 10)
        .collect();
    let han: Vec<char> = chinese.iter().flatten().copied().filter(|c| script(*c) == "Han").collect();
    let real: usize = chinese.iter().flatten().map(|c| c.len_utf8()).sum();
    if chinese.is_empty() {
        return Err("there are no Chinese lines".into());
    }
    println!("{:.1} MB of Chinese in {} distinct lines; {:.0} MB made of it", real as f64 / 1e6, chinese.len(), bytes as f64 / 1e6);
    let mut random = Random(1);
    let mut number = 0;
    for shard in 0..bytes.div_ceil(SHARD_BYTES) {
        let mut left = SHARD_BYTES.min(bytes - shard * SHARD_BYTES);
        let path = folder.join(format!("{shard:05}.parquet"));
        let table = schema::documents();
        let mut writer = ShardWriter::create(&path, &table, &ShardMeta::default())?;
        while left > 0 {
            let mut texts = Vec::new();
            while left > 0 && texts.len() < BATCH_DOCUMENTS {
                let mut text = String::with_capacity(DOCUMENT_BYTES + 300);
                while text.len() < DOCUMENT_BYTES {
                    let line = &chinese[random.below(chinese.len())];
                    let from = random.below(line.len());
                    for c in line.iter().skip(from).take(20 + random.below(80)) {
                        let exchange = script(*c) == "Han" && random.below(50) == 0;
                        text.push(if exchange { han[random.below(han.len())] } else { *c });
                    }
                }
                left = left.saturating_sub(text.len());
                texts.push(text);
            }
            writer.write(&batch(&texts, &mut number)?)?;
        }
        writer.finish(&RunDir::new(folder).stage("documents"))?;
    }
    Ok(())
}

fn batch(texts: &[String], number: &mut u64) -> Result<RecordBatch, Box<dyn Error>> {
    let table = schema::documents();
    let n = texts.len();
    let ids: Vec<String> = (0..n as u64).map(|at| format!("{:032x}", *number + at)).collect();
    *number += n as u64;
    let columns: Vec<ArrayRef> = table
        .arrow
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match (field.name().as_str(), field.data_type()) {
                ("id", _) => Arc::new(StringArray::from(ids.clone())),
                ("text", _) => Arc::new(StringArray::from_iter_values(texts)),
                ("language", _) => Arc::new(StringArray::from(vec!["zh-Hans"; n])),
                ("num_bytes", _) => Arc::new(Int64Array::from_iter_values(texts.iter().map(|text| text.len() as i64))),
                (_, data_type) if field.is_nullable() => new_null_array(data_type, n),
                (_, DataType::Int64) => Arc::new(Int64Array::from(vec![0; n])),
                (_, DataType::Float32) => Arc::new(Float32Array::from(vec![1.0; n])),
                (_, _) => Arc::new(StringArray::from(vec!["made"; n])),
            }
        })
        .collect();
    Ok(RecordBatch::try_new(table.arrow.clone(), columns)?)
}

/// The most memory that the process has had, in MB; 0 where `/proc` does not tell.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024 / 1_000_000
}

/// Lets the peak begin anew (proc(5), `clear_refs`), where that is allowed.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
