//! Fixtures and a command harness for the tests of the training stages, which include this file by path.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use handoff::{Digest, Manifest, RunDir, ShardMeta, ShardWriter, StageDir, TokenWidth, UnitEntry, UnitKey, columns, schema};
use text::{Tokenizer, TokenizerFiles, special, template};
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

/// A temporary directory with a pipeline file and a run.
pub(crate) struct Bench {
    pub dir: tempfile::TempDir,
    pub binary: &'static str,
}

/// A finished command.
pub(crate) struct Ran {
    pub code: i32,
    pub stderr: String,
    pub stdout: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text) || self.stdout.contains(text), "no `{text}` in\n{}\n{}", self.stdout, self.stderr);
        self
    }
}

impl Bench {
    /// `stages` is the body of the pipeline file after `run` and `seed`.
    pub(crate) fn new(binary: &'static str, stages: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("p.toml"), format!("run = \"t\"\nseed = 7\n{stages}")).unwrap();
        let bench = Self { dir, binary };
        std::fs::create_dir_all(bench.run("a").path()).unwrap();
        bench
    }

    /// With rows of `row_len` tokens in each of `runs`.
    pub(crate) fn with_rows(binary: &'static str, stages: &str, runs: &[&str], row_len: usize) -> Self {
        let bench = Self::new(binary, stages);
        for run in runs {
            let run = bench.run(run);
            let tokenizer = write_tokenizer(&run.stage("tokenize").tokenizer_dir());
            write_shard(&run, &tokenizer, 0, row_len, &sentences(0, 60));
        }
        bench
    }

    pub(crate) fn run(&self, name: &str) -> RunDir {
        RunDir::new(self.dir.path().join(name))
    }

    pub(crate) fn command(&self, run: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        // A further command of the binary stands before the options.
        let (verb, args) = args.split_at(args.first().is_some_and(|arg| !arg.starts_with('-')).into());
        command.args(verb).arg("--config").arg("p.toml").arg("--run").arg(run).args(args).current_dir(self.dir.path());
        command.env("OMP_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn go(&self, run: &str, args: &[&str]) -> Ran {
        finish(self.command(run, args).spawn().unwrap())
    }

    /// Starts, waits until `metrics` reports `step`, sends `signal`, and waits for the end. `None` where it ended by itself first.
    pub(crate) fn interrupt(&self, run: &str, metrics: &Path, step: u64, signal: &str) -> (Option<u64>, Ran) {
        // Metrics of the run before may already be past `step`: only what this run writes counts.
        let stamp = || std::fs::metadata(metrics).and_then(|m| Ok((m.len(), m.modified()?))).ok();
        let before = stamp();
        let mut child = self.command(run, &[]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut at = None;
        while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            if stamp() != before && last_step(metrics) >= step {
                let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().unwrap();
                at = sent.success().then(|| last_step(metrics));
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        (at, finish(child))
    }
}

impl Bench {
    /// Starts, kills after `delay`, and says whether it was still running.
    pub(crate) fn kill_after(&self, run: &str, args: &[&str], delay: Duration) -> bool {
        let mut child = self.command(run, args).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        finish(child).code == -1
    }
}

fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

/// The last step in `metrics.jsonl`; 0 without one.
pub(crate) fn last_step(metrics: &Path) -> u64 {
    let text = std::fs::read_to_string(metrics).unwrap_or_default();
    text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["step"].as_u64()).next_back().unwrap_or(0)
}

/// All values of a metric by step.
pub(crate) fn metric(metrics: &Path, name: &str) -> BTreeMap<u64, f64> {
    let text = std::fs::read_to_string(metrics).unwrap();
    let of_line = |l: &str| {
        let value: serde_json::Value = serde_json::from_str(l).unwrap();
        Some((value["step"].as_u64()?, value.get(name)?.as_f64()?))
    };
    text.lines().filter_map(of_line).collect()
}

/// Digests of the finished model and of the final optimizer state.
pub(crate) fn result_digests(stage: &StageDir, step: u64) -> (Digest, Digest) {
    let model = Digest::of_file(&stage.model().join("model.safetensors")).unwrap();
    let state = Digest::of_file(&train::checkpoint::tensors_path(&stage.checkpoint(step))).unwrap();
    (model, state)
}

/// A byte-level tokenizer without merges: 264 ids.
pub(crate) fn write_tokenizer(dir: &Path) -> Tokenizer {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let names = special::ALL.iter().map(|s| s.to_string()).chain(alphabet.iter().map(char::to_string));
    let vocab: tokenizers::models::bpe::Vocab = names.zip(0..).collect();
    let mut inner = Inner::new(BPE::builder().vocab_and_merges(vocab, Vec::new()).build().unwrap());
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    inner.add_special_tokens(&special::ALL.map(|token| AddedToken::from(token, true)));
    let json = inner.to_string(false).unwrap().into_bytes();
    let end = Some(special::END);
    let files = TokenizerFiles::new(json, end, special::END, special::PAD, template::PLAIN, serde_json::Map::new());
    std::fs::create_dir_all(dir).unwrap();
    files.copy_to(dir).unwrap();
    Tokenizer::load(dir).unwrap()
}

/// Sentences with something to learn in them.
pub(crate) fn sentences(from: usize, count: usize) -> Vec<String> {
    let names = ["Lima", "巴黎", "Oslo", "北京", "Cairo"];
    (from..from + count).map(|i| format!("The number {i} lives in {}, 第{i}号。", names[i % names.len()])).collect()
}

/// Writes one batch of a stage `shard` (training and validation rows of `seq_len + 1` tokens), committed in its manifest.
pub(crate) fn write_shard(run: &RunDir, tokenizer: &Tokenizer, batch: u32, seq_len: usize, texts: &[String]) {
    write_rows_of(run, tokenizer, batch, seq_len, texts, 2);
}

/// A first batch with so many validation rows.
pub(crate) fn write_split(run: &RunDir, tokenizer: &Tokenizer, seq_len: usize, texts: &[String], validation_rows: usize) {
    write_rows_of(run, tokenizer, 0, seq_len, texts, validation_rows);
}

fn write_rows_of(run: &RunDir, tokenizer: &Tokenizer, batch: u32, seq_len: usize, texts: &[String], validation_rows: usize) {
    let stage = run.stage("shard");
    let mut stream = vec![0_u32];
    for text in texts {
        stream.extend(tokenizer.encode(text).unwrap());
        stream.push(0);
    }
    let rows: Vec<Vec<u32>> = stream.windows(seq_len + 1).step_by(seq_len).map(<[u32]>::to_vec).collect();
    let (train, validation) = rows.split_at(rows.len() - validation_rows);
    let outputs =
        [("train", train), ("validation", validation)].map(|(split, rows)| write_rows(&stage, split, batch, tokenizer, rows, seq_len));
    let digest = |text: &str| Digest::of_bytes(text.as_bytes());
    let key = UnitKey { input_digest: digest(&texts.concat()), config_digest: digest("shard"), format_version: 1 };
    let (unit, counts) = (format!("batch-{batch:05}"), BTreeMap::new());
    let entry = UnitEntry { unit, batch, index: batch, key, outputs: outputs.to_vec(), rejected: vec![], counts, wall_secs: 0.0 };
    Manifest::load(&stage).unwrap().commit(entry).unwrap();
}

fn write_rows(stage: &StageDir, split: &str, batch: u32, tokenizer: &Tokenizer, rows: &[Vec<u32>], seq_len: usize) -> handoff::OutputFile {
    let n = rows.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("{split}-{batch}-{i}")))),
        columns::build_tokens(TokenWidth::U16, rows),
        columns::build_list::<Int32Type>(&vec![vec![0]; n]),
        columns::build_string_list(&vec![vec!["d"]; n]),
        columns::build_list::<Int64Type>(&vec![vec![0]; n]),
        Arc::new(Int64Array::from(vec![seq_len as i64; n])),
    ];
    let table = schema::samples(TokenWidth::U16);
    let keys = [("seq_len_tokens", seq_len.to_string()), ("pad_token_id", "1".into()), ("tokenizer_digest", tokenizer.digest().into())];
    let extra = keys.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let meta = ShardMeta { stage: "shard".into(), config_digest: "c".into(), extra };
    let mut writer = ShardWriter::create(&stage.split_shard(split, batch), &table, &meta).unwrap();
    writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).unwrap()).unwrap();
    writer.finish(stage).unwrap()
}

/// The step directories under `checkpoints/`, newest last.
pub(crate) fn checkpoints(stage: &StageDir) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(stage.checkpoints()) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("step-"));
    paths.sort();
    paths
}
