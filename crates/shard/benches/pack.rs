//! How many bytes of token ids leave the stage in a second, on one thread and on two, and which part of the work takes how long.
//!
//! usage: `cargo bench -p shard --bench pack -- [MB [MAX_MEMORY_MB [PACKING [VOCAB_SIZE [ENCODING]]]]]`. Token ids are made up: documents of
//! log-normal length, ids as rare as words are. By default 200 MB, memory for all of it, every packing and encoding, and vocabularies
//! of 32,000 and 128,000 (2 and 4 bytes an id). With one packing and one vocabulary, the peak memory of the process is that of the run.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use handoff::shard::DEFAULT_ROW_GROUP_ROWS;
use handoff::{RunDir, ShardMeta, ShardReader, ShardWriter, TokenWidth, columns, schema};
use shard::pack::{Document, Frame, Packer, Row, TokenBytes};
use shard::{Config, Packing, Shard};
use stage::{Stage, StageContext};
use text::{Tokenizer, TokenizerFiles, special, template};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

/// Token ids of an input shard.
const SHARD_TOKENS: usize = 50_000_000;

/// Documents of a record batch.
const BATCH_DOCUMENTS: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| text.parse());
    let megabytes = number(0, 200)?;
    let max_memory_mb = number(1, 4 * megabytes)?;
    let packings: Vec<&str> = args.get(2).map_or(vec!["concat", "best-fit", "bos-aligned"], |one| vec![one.as_str()]);
    let encodings: Vec<&str> = args.get(4).map_or(vec!["dictionary", "split-bytes"], |one| vec![one.as_str()]);
    let vocabularies = if args.len() > 3 { vec![number(3, 0)?] } else { vec![32_000, 128_000] };
    for vocab_size in vocabularies {
        let width = TokenWidth::for_vocab(vocab_size);
        let bytes = if width == TokenWidth::U16 { 2 } else { 4 };
        let input = tempfile::tempdir()?;
        let tokenizer = tokenizer(vocab_size)?;
        let tokenizer_dir = RunDir::new(input.path()).stage("tokenize").tokenizer_dir();
        std::fs::create_dir_all(&tokenizer_dir)?;
        tokenizer.files().copy_to(&tokenizer_dir)?;
        let start = Instant::now();
        let tokens = write_tokens(input.path(), &tokenizer, megabytes * 1_000_000 / bytes)?;
        let token_mb = (tokens * bytes) as f64 / 1e6;
        println!("{vocab_size} ids, {token_mb:.0} MB of token ids, made in {:.1} s", start.elapsed().as_secs_f64());
        if args.len() < 3 {
            parts_alone(input.path(), &tokenizer, width, token_mb)?;
        }
        for packing in &packings {
            for encoding in &encodings {
                for threads in [Some(1), None] {
                    run(input.path(), (packing, encoding, threads), max_memory_mb, token_mb)?;
                }
            }
        }
    }
    Ok(())
}

/// The stage on all shards of `input`.
fn run(
    input: &Path,
    (packing, encoding, threads): (&str, &str, Option<usize>),
    max_memory_mb: usize,
    token_mb: f64,
) -> Result<(), Box<dyn Error>> {
    let mut merged: toml::Table = toml::from_str(Shard::DEFAULT_TOML)?;
    let (data, tokenizer) = (input.join("tokenize/data"), input.join("tokenize/tokenizer"));
    merged.extend(toml::from_str::<toml::Table>(&format!(
        "inputs = [{:?}]\ntokenizer = {:?}\npacking = {packing:?}\ntoken_encoding = {encoding:?}\nmax_memory_mb = {max_memory_mb}",
        data.display().to_string(),
        tokenizer.display().to_string()
    ))?);
    let config: Config = merged.try_into()?;
    let run = tempfile::tempdir()?;
    let start = Instant::now();
    let ctx = StageContext { threads, ..StageContext::for_tests(run.path(), "shard") };
    let report = shard::run(&ctx, &config)?.ok_or("cancelled")?;
    let secs = start.elapsed().as_secs_f64();
    println!(
        "  {packing}, {encoding}, {}, within {max_memory_mb} MB: {:.0} MB/s, {secs:.1} s, {:.0} MB written, peak memory of the process {} MB",
        if threads.is_some() { "one thread" } else { "two threads" },
        token_mb / secs,
        report.bytes_out as f64 / 1e6,
        peak_memory_mb().map_or("?".to_string(), |mb| mb.to_string())
    );
    report.notes.iter().for_each(|note| println!("    {note}"));
    Ok(())
}

/// Reading, packing and writing, each by itself.
fn parts_alone(input: &Path, tokenizer: &Tokenizer, width: TokenWidth, token_mb: f64) -> Result<(), Box<dyn Error>> {
    let table = schema::tokens(width);
    let shard = RunDir::new(input).stage("tokenize").data_shard(0);
    let reader = ShardReader::open(&shard, &table)?;
    let share = reader.rows() as f64 / rows_of(input, &table)? as f64;
    let rate = |secs: f64| token_mb * share / secs;
    let start = Instant::now();
    let mut documents = Vec::new();
    for batch in reader.batches_of(1024, &["document_id", "input_ids", "num_bytes"])? {
        documents.push(batch?);
    }
    println!("  reading alone: {:.0} MB/s", rate(start.elapsed().as_secs_f64()));
    let all: Vec<Vec<u32>> = documents.iter().map(|batch| columns::token_rows(batch, "input_ids")).collect::<Result<Vec<_>, _>>()?.concat();
    drop(documents);
    let lengths = TokenBytes::new(tokenizer.token_byte_lengths());
    let frame = Frame { seq_len: 512, end_id: 0, pad_id: 1, token_bytes: &lengths };
    let id = "0123456789abcdef0123456789abcdef";
    let mut rows = Vec::new();
    for packing in [Packing::Concat, Packing::BestFit, Packing::BosAligned] {
        let start = Instant::now();
        let mut packer = Packer::new(packing, frame);
        let mut sum = 0_u64;
        let mut emit = |row: &Row| -> Result<(), ()> {
            sum += row.num_bytes as u64;
            if packing == Packing::Concat && rows.len() < 200_000 {
                rows.push(row.ids.clone());
            }
            Ok(())
        };
        for (ids, key) in all.iter().zip(0..) {
            let _ = packer.push(Document { id, key, ids, num_bytes: 0 }, &mut emit);
        }
        let _ = packer.finish(&mut emit);
        println!("  packing alone, {}: {:.0} MB/s ({sum} bytes)", packing.name(), rate(start.elapsed().as_secs_f64()));
    }
    fill(&all, frame);
    write_alone(&rows, width)
}

/// What `best-fit` and `bos-aligned` cost at several lengths of a row; the last row apart.
fn fill(documents: &[Vec<u32>], frame: Frame<'_>) {
    let id = "0123456789abcdef0123456789abcdef";
    for seq_len in [128, 512, 2048, 8192, 32_768] {
        let mut costs = Vec::new();
        let mut places = 0;
        for packing in [Packing::BestFit, Packing::BosAligned] {
            let mut packer = Packer::new(packing, Frame { seq_len, ..frame });
            let mut emit = |_: &Row| -> Result<(), ()> {
                places += if packing == Packing::BestFit { seq_len as u64 } else { 0 };
                Ok(())
            };
            for (ids, key) in documents.iter().zip(0..) {
                let _ = packer.push(Document { id, key, ids, num_bytes: 0 }, &mut emit);
            }
            costs.extend(packer.finish(&mut emit));
        }
        let total: usize = documents.iter().map(Vec::len).sum();
        if let [best, bos] = costs[..] {
            println!(
                "  rows of {seq_len}, windows of {} rows: best-fit {:.3} % full, {} cuts only to fill rows; bos-aligned loses {:.1} %",
                shard::pack::pool::window_rows(seq_len),
                100.0 - 100.0 * (best.padding + best.context) as f64 / places as f64,
                best.cuts_to_fill,
                100.0 * bos.cropped as f64 / total as f64
            );
        }
    }
}

/// Column `input_ids` written in the ways Parquet has, and read back.
fn write_alone(rows: &[Vec<u32>], width: TokenWidth) -> Result<(), Box<dyn Error>> {
    let id_bytes = if width == TokenWidth::U16 { 2 } else { 4 };
    let mb = (rows.len() * 513 * id_bytes) as f64 / 1e6;
    let table = handoff::TableSchema {
        name: "bench",
        version: 1,
        arrow: Arc::new(arrow::datatypes::Schema::new(vec![schema::samples(width).arrow.field_with_name("input_ids")?.clone()])),
    };
    for (name, split) in [("dictionary", false), ("bytes split", true)] {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("rows.parquet");
        let batches: Vec<ArrayRef> = rows.chunks(512).map(|rows| columns::build_tokens(width, rows)).collect();
        let start = Instant::now();
        let mut writer = if split {
            ShardWriter::with_split_ids(&path, &table, &ShardMeta::default(), 512)?
        } else {
            ShardWriter::with_row_group_rows(&path, &table, &ShardMeta::default(), 512)?
        };
        for ids in batches {
            writer.write(&RecordBatch::try_new(table.arrow.clone(), vec![ids])?)?;
        }
        let written = writer.finish(&RunDir::new(dir.path()).stage("bench"))?;
        let secs = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let mut read = 0;
        for batch in ShardReader::open(&path, &table)?.batches(512)? {
            read += batch?.num_rows();
        }
        let read_secs = start.elapsed().as_secs_f64();
        println!(
            "  writing rows, {name}: {:.0} MB/s, {:.0} % of the size; {read} read at {:.0} MB/s",
            mb / secs,
            written.bytes as f64 / 1e4 / mb,
            mb / read_secs
        );
    }
    Ok(())
}

fn rows_of(input: &Path, table: &handoff::TableSchema) -> Result<u64, Box<dyn Error>> {
    let mut rows = 0;
    for entry in std::fs::read_dir(input.join("tokenize/data"))? {
        rows += ShardReader::open(&entry?.path(), table)?.rows();
    }
    Ok(rows)
}

/// Made-up documents in shards of table `tokens`; how many ids there are.
fn write_tokens(input: &Path, tokenizer: &Tokenizer, wanted: usize) -> Result<usize, Box<dyn Error>> {
    let width = TokenWidth::for_vocab(tokenizer.padded_vocab_size());
    let dir = RunDir::new(input).stage("tokenize");
    let extra = [
        ("tokenizer_digest", tokenizer.digest().to_string()),
        ("vocab_size", tokenizer.vocab_size().to_string()),
        ("padded_vocab_size", tokenizer.padded_vocab_size().to_string()),
        ("eos_token_id", "0".to_string()),
        ("pad_token_id", "1".to_string()),
    ];
    let meta = ShardMeta { extra: extra.into_iter().map(|(key, value)| (key.to_string(), value)).collect(), ..ShardMeta::default() };
    let table = schema::tokens(width);
    let lengths = tokenizer.token_byte_lengths();
    let mut random = Random(1);
    // Ids by rank: the k-th is seen about 1/k times, so a uniform logarithm chooses them.
    let first = special::ALL.len() as u32;
    let ranks = tokenizer.vocab_size() as f64 - f64::from(first) - 1.0;
    let by_chance: Vec<u32> = (0..1 << 16).map(|at| first + ranks.powf(f64::from(at) / 65_536.0) as u32).collect();
    let (mut tokens, mut shard, mut document) = (0, 0, 0);
    while tokens < wanted {
        let mut writer = ShardWriter::with_split_ids(&dir.data_shard(shard), &table, &meta, DEFAULT_ROW_GROUP_ROWS)?;
        let until = wanted.min(tokens + SHARD_TOKENS);
        while tokens < until {
            let mut rows = Vec::new();
            while tokens < until && rows.len() < BATCH_DOCUMENTS {
                // Median 400, mean 660 tokens, as web pages have.
                let len = (400.0 * random.normal().exp()).clamp(2.0, 200_000.0) as usize;
                let ids: Vec<u32> = (1..len).map(|_| by_chance[random.next() as usize & 0xffff]).chain([0]).collect();
                tokens += ids.len();
                rows.push(ids);
            }
            let names = (document..document + rows.len()).map(|n| handoff::document_id("bench", &n.to_string(), ""));
            let bytes = rows.iter().map(|ids| ids.iter().map(|id| i64::from(lengths[*id as usize])).sum::<i64>());
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(names)),
                columns::build_tokens(width, &rows),
                Arc::new(Int64Array::from_iter_values(bytes)),
                Arc::new(StringArray::from(vec!["en"; rows.len()])),
                Arc::new(StringArray::from(vec!["bench"; rows.len()])),
            ];
            document += rows.len();
            writer.write(&RecordBatch::try_new(table.arrow.clone(), columns)?)?;
        }
        writer.finish(&dir)?;
        shard += 1;
    }
    Ok(tokens)
}

/// A tokenizer of bytes and of made-up tokens up to `vocab_size`.
fn tokenizer(vocab_size: usize) -> Result<Tokenizer, Box<dyn Error>> {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut tokens: Vec<String> = special::ALL.iter().map(|token| token.to_string()).collect();
    tokens.extend(alphabet.iter().map(char::to_string));
    tokens.extend((tokens.len()..vocab_size).map(|n| format!("t{n}")));
    let vocab: Vocab = tokens.into_iter().zip(0..).collect();
    let mut inner = Inner::new(BPE::builder().vocab_and_merges(vocab, Vec::new()).build().map_err(|error| error.to_string())?);
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    inner.add_special_tokens(&special::ALL.map(|token| AddedToken::from(token, true)));
    let json = inner.to_string(false).map_err(|error| error.to_string())?.into_bytes();
    Ok(Tokenizer::from_files(TokenizerFiles::new(
        json,
        Some(special::END),
        special::END,
        special::PAD,
        template::PLAIN,
        Default::default(),
    ))?)
}

/// The largest resident memory of this process so far.
fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024 / 1_000_000)
}

/// A linear congruential generator; its upper bits are good enough here.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// The sum of 12 uniform numbers is nearly normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next() as f64 / (1_u64 << 31) as f64).sum::<f64>() - 6.0
    }
}
