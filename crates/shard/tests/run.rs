//! The stage in a temporary run: what it writes, what it adds, what it refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use handoff::{Digest, Manifest, RunDir, ShardMeta, ShardReader, ShardWriter, StageDir, TokenWidth, columns, schema};
use shard::order::Split;
use shard::{Config, Error, Shard};
use stage::{Exit, Failure, Report, Stage, StageContext};
use text::{Tokenizer, TokenizerFiles, special, template};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

/// A tokenizer of special tokens and bytes; `merge` makes another one of it.
fn tokenizer(merge: bool) -> Tokenizer {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut tokens: Vec<String> = special::ALL.iter().map(|s| s.to_string()).collect();
    tokens.extend(alphabet.iter().map(char::to_string));
    let mut merges = Vec::new();
    if merge {
        tokens.push("ab".into());
        merges.push(("a".to_string(), "b".to_string()));
    }
    let vocab: Vocab = tokens.into_iter().zip(0..).collect();
    let mut inner = Inner::new(BPE::builder().vocab_and_merges(vocab, merges).build().expect("model"));
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    inner.add_special_tokens(&special::ALL.map(|token| AddedToken::from(token, true)));
    let json = inner.to_string(false).expect("serializes").into_bytes();
    let files = TokenizerFiles::new(json, Some(special::END), special::END, special::PAD, template::PLAIN, Default::default());
    Tokenizer::from_files(files).expect("loads")
}

/// Documents of very different lengths, English and Chinese, different for every `salt`.
fn documents(salt: usize) -> Vec<(String, String)> {
    (0..40)
        .map(|n| {
            let text = match n % 4 {
                0 => format!("{salt}:{n} 中国最高的山是珠穆朗玛峰。"),
                1 => format!("{salt}:{n} short"),
                2 => format!("{salt}:{n} {}", "a longer document that fills several rows. ".repeat(4 + n / 4)),
                _ => format!("{salt}:{n} The capital of France is Paris."),
            };
            (handoff::document_id("test", &format!("{salt}/{n}"), &text), text)
        })
        .collect()
}

fn write_tokens(dir: &StageDir, path: &Path, tokenizer: &Tokenizer, documents: &[(String, String)]) -> handoff::OutputFile {
    write_tokens_with(dir, path, tokenizer, documents, "1")
}

fn write_tokens_with(dir: &StageDir, path: &Path, tokenizer: &Tokenizer, documents: &[(String, String)], pad: &str) -> handoff::OutputFile {
    let rows: Vec<Vec<u32>> =
        documents.iter().map(|(_, text)| tokenizer.encode(text).expect("encodes").into_iter().chain([0]).collect()).collect();
    let n = documents.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(documents.iter().map(|d| d.0.as_str()))),
        columns::build_tokens(TokenWidth::U16, &rows),
        Arc::new(Int64Array::from_iter_values(documents.iter().map(|d| d.1.len() as i64))),
        Arc::new(StringArray::from_iter_values((0..n).map(|at| if at % 4 == 0 { "zh-Hans" } else { "en" }))),
        Arc::new(StringArray::from_iter_values((0..n).map(|at| if at % 2 == 0 { "even.warc" } else { "odd.warc" }))),
    ];
    let table = schema::tokens(TokenWidth::U16);
    let mut writer = ShardWriter::create(path, &table, &metadata(tokenizer, pad)).expect("creates");
    writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).expect("a batch")).expect("writes");
    writer.finish(dir).expect("finishes")
}

fn metadata(tokenizer: &Tokenizer, pad: &str) -> ShardMeta {
    let extra = [
        ("tokenizer_digest", tokenizer.digest().to_string()),
        ("vocab_size", tokenizer.vocab_size().to_string()),
        ("padded_vocab_size", tokenizer.padded_vocab_size().to_string()),
        ("eos_token_id", "0".to_string()),
        ("pad_token_id", pad.to_string()),
    ];
    ShardMeta { extra: extra.into_iter().map(|(key, value)| (key.to_string(), value)).collect(), ..ShardMeta::default() }
}

/// Commits a shard of tokens as unit `name` of `tokenize`.
fn add_shard(run: &Path, name: &str, (batch, index): (u32, u32), salt: usize) {
    add_shard_of(run, name, (batch, index), &tokenizer(false), salt);
}

fn add_shard_of(run: &Path, name: &str, (batch, index): (u32, u32), tokenizer: &Tokenizer, salt: usize) {
    let dir = RunDir::new(run).stage("tokenize");
    if !dir.tokenizer_dir().exists() {
        std::fs::create_dir_all(dir.tokenizer_dir()).expect("creates");
        tokenizer.files().copy_to(&dir.tokenizer_dir()).expect("writes");
    }
    let output = write_tokens(&dir, &dir.data_shard(index), tokenizer, &documents(salt));
    testkit::commit_unit(&dir, name, (batch, index), output);
}

fn config(changes: &str) -> Config {
    let mut merged: toml::Table = toml::from_str(Shard::DEFAULT_TOML).expect("the default file parses");
    merged.extend(toml::from_str::<toml::Table>("inputs = [\"tokenize\"]\nseq_len = 64\nvalidation_share = 0.2").expect("parses"));
    merged.extend(toml::from_str::<toml::Table>(changes).expect("parses"));
    let config: Config = merged.try_into().expect("a configuration");
    config.validate().expect("valid");
    config
}

fn context(run: &Path) -> StageContext {
    StageContext::for_tests(run, "shard")
}

fn go(run: &Path, changes: &str) -> Result<Report, Error> {
    shard::run(&context(run), &config(changes)).map(|report| report.expect("not cancelled"))
}

fn files(run: &Path) -> BTreeMap<PathBuf, Digest> {
    let folder = RunDir::new(run).stage("shard").data();
    let digest = |path: PathBuf| (path.strip_prefix(run).expect("below the run").to_path_buf(), Digest::of_file(&path).expect("reads"));
    std::fs::read_dir(folder).expect("lists").map(|entry| digest(entry.expect("lists").path())).collect()
}

/// A row of a sample shard.
struct Row {
    sample_id: String,
    ids: Vec<u32>,
    starts: Vec<i32>,
    documents: Vec<String>,
    offsets: Vec<i64>,
    num_bytes: i64,
}

fn rows(run: &Path, split: Split, batch: u32) -> Vec<Row> {
    let path = RunDir::new(run).stage("shard").split_shard(split.name(), batch);
    let reader = ShardReader::open(&path, &schema::samples(TokenWidth::U16)).expect("opens");
    let mut out = Vec::new();
    for batch in reader.batches(7).expect("reads") {
        let batch = batch.expect("reads");
        let names = columns::strings(&batch, "sample_id").expect("names");
        let ids = columns::token_rows(&batch, "input_ids").expect("tokens");
        let starts = columns::i32_rows(&batch, "document_starts").expect("starts");
        let documents = columns::lists(&batch, "document_ids").expect("documents");
        let offsets = columns::lists(&batch, "token_offsets").expect("offsets");
        let num_bytes = columns::i64s(&batch, "num_bytes").expect("bytes");
        for row in 0..batch.num_rows() {
            let names_of = documents.value(row);
            let names_of = names_of.as_any().downcast_ref::<StringArray>().expect("strings");
            let offsets = offsets.value(row);
            out.push(Row {
                sample_id: names.value(row).to_string(),
                ids: ids[row].clone(),
                starts: starts[row].clone(),
                documents: (0..names_of.len()).map(|i| names_of.value(i).to_string()).collect(),
                offsets: offsets.as_any().downcast_ref::<Int64Array>().expect("numbers").values().to_vec(),
                num_bytes: num_bytes.value(row),
            });
        }
    }
    out
}

#[test]
fn the_default_file_is_the_configuration() {
    let Err(error) = toml::from_str::<toml::Table>(Shard::DEFAULT_TOML).expect("parses").try_into::<Config>() else {
        panic!("`inputs` must be given");
    };
    assert!(error.to_string().contains("inputs"), "{error}");
    assert_eq!(config("").packing, shard::Packing::Concat);
}

#[test]
fn every_token_of_every_document_is_a_target_once() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    add_shard(run.path(), "b", (0, 1), 1);
    go(run.path(), "").expect("runs");
    let tokenizer = tokenizer(false);
    let texts: BTreeMap<String, String> = documents(0).into_iter().chain(documents(1)).collect();
    let mut seen: BTreeMap<(String, i64), u32> = BTreeMap::new();
    for split in Split::ALL {
        let rows = rows(run.path(), split, 0);
        assert!(!rows.is_empty());
        let mut bytes = 0;
        for (number, row) in rows.iter().enumerate() {
            assert_eq!(row.ids.len(), 65);
            assert_eq!(row.sample_id, format!("{}-00000-{number:06}", split.name()));
            assert!(number == 0 || row.ids[0] == *rows[number - 1].ids.last().expect("not empty"), "rows overlap by one token");
            bytes += row.num_bytes;
            for part in 0..row.starts.len() {
                let start = row.starts[part] as usize;
                let end = row.starts.get(part + 1).map_or(row.ids.len(), |next| *next as usize);
                let id = &row.documents[part];
                assert_eq!(Split::of(id, 0.2), split);
                let mut expected = tokenizer.encode(&texts[id]).expect("encodes");
                expected.push(0);
                for at in start..end {
                    let offset = row.offsets[part] + (at - start) as i64;
                    if row.ids[at] == 1 {
                        assert_eq!(number, rows.len() - 1, "padding only in the last row");
                        continue;
                    }
                    assert_eq!(row.ids[at], expected[offset as usize], "{id} {offset}");
                    if at > 0 {
                        *seen.entry((id.clone(), offset)).or_default() += 1;
                    }
                }
            }
        }
        let expected: usize = texts.iter().filter(|(id, _)| Split::of(id, 0.2) == split).map(|(_, text)| text.len()).sum();
        assert_eq!(bytes as usize, expected, "every byte of {} is counted once", split.name());
    }
    let total: usize = texts.values().map(|text| tokenizer.encode(text).expect("encodes").len() + 1).sum();
    assert_eq!(seen.len(), total);
    assert!(seen.values().all(|count| *count == 1));
}

/// Tokens of each document with their end token.
fn tokens_of(texts: &BTreeMap<String, String>) -> BTreeMap<String, Vec<u32>> {
    let tokenizer = tokenizer(false);
    texts.iter().map(|(id, text)| (id.clone(), tokenizer.encode(text).expect("encodes").into_iter().chain([0]).collect())).collect()
}

/// How often each token of each document is a target, with what every target is predicted from checked.
fn targets_of(rows: &[Row], tokens: &BTreeMap<String, Vec<u32>>) -> BTreeMap<(String, usize), u32> {
    let mut seen = BTreeMap::new();
    for row in rows {
        let used = row.ids.iter().position(|id| *id == 1).unwrap_or(row.ids.len());
        for part in 0..row.starts.len() {
            let (start, offset) = (row.starts[part] as usize, row.offsets[part] as usize);
            let end = row.starts.get(part + 1).map_or(used, |next| *next as usize);
            assert_eq!(row.ids[start..end], tokens[&row.documents[part]][offset..offset + end - start]);
            let context = usize::from(start == 0 || offset > 0);
            assert!(context == 1 || row.ids[start - 1] == 0, "a document's first token follows an end token");
            for at in offset + context..offset + end - start {
                *seen.entry((row.documents[part].clone(), at)).or_default() += 1;
            }
        }
    }
    seen
}

#[test]
fn every_packing_says_what_its_rows_are() {
    for packing in ["concat", "best-fit", "bos-aligned"] {
        let run = tempfile::tempdir().expect("temporary directory");
        add_shard(run.path(), "a", (0, 0), 0);
        add_shard(run.path(), "b", (0, 1), 1);
        let report = go(run.path(), &format!("packing = {packing:?}")).expect("runs");
        let texts: BTreeMap<String, String> = documents(0).into_iter().chain(documents(1)).collect();
        let tokens = tokens_of(&texts);
        let all: Vec<Row> = Split::ALL.into_iter().flat_map(|split| rows(run.path(), split, 0)).collect();
        let seen = targets_of(&all, &tokens);
        assert!(seen.values().all(|times| *times == 1), "{packing}: no token is a target twice");
        let manifest = Manifest::load(&RunDir::new(run.path()).stage("shard")).expect("loads");
        let counts = &manifest.units()["batch-00000"].counts;
        let cropped = counts.get("cropped_tokens").copied().unwrap_or(0);
        let total: usize = tokens.values().map(Vec::len).sum();
        assert_eq!(total as u64, seen.len() as u64 + cropped, "{packing}");
        assert_eq!(seen.len() as u64, counts["tokens.train"] + counts["tokens.validation"], "{packing}");
        if packing == "bos-aligned" {
            assert!(cropped > 0 && report.notes.iter().any(|note| note.contains("cropped away")), "{:?}", report.notes);
            assert!(all.iter().all(|row| row.starts[0] == 1 && row.offsets[0] == 0));
        } else {
            assert_eq!(cropped, 0);
            assert_eq!(all.iter().map(|row| row.num_bytes).sum::<i64>() as usize, texts.values().map(String::len).sum::<usize>());
        }
        if packing == "best-fit" {
            let filled = seen.len() as f64 + 2.0 * 64.0;
            assert!(filled / (all.len() * 64) as f64 >= 0.995, "{} tokens in {} rows", seen.len(), all.len());
            assert!(report.notes.iter().any(|note| note.contains("of the places filled")), "{:?}", report.notes);
        }
    }
}

#[test]
fn a_traced_part_that_goes_on_inside_a_row_predicts_no_context() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "validation_share = 0.0\npacking = \"best-fit\"").expect("runs");
    let rows = rows(run.path(), Split::Train, 0);
    let inside = |row: &Row| (0..row.starts.len()).filter(|part| row.starts[*part] > 0 && row.offsets[*part] > 0).count();
    let row = rows.iter().find(|row| inside(row) > 0).expect("rests of two long documents share a row");
    let command = &Shard::commands()[0];
    let matches = command.clap.clone().get_matches_from(["trace", &row.sample_id, "--pairs"]);
    let text = (command.run)(&context(run.path()), &config(""), &matches).expect("traces");
    let padding = row.ids.iter().filter(|id| **id == 1).count();
    assert_eq!(text.matches('→').count(), 64 - padding - inside(row), "{text}");
}

#[test]
fn without_a_pad_token_rows_are_filled_with_end_tokens() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    // The same shard without the key.
    let dir = RunDir::new(run.path()).stage("tokenize");
    let table = schema::tokens(TokenWidth::U16);
    let reader = ShardReader::open(&dir.data_shard(0), &table).expect("opens");
    let mut extra = reader.metadata().clone();
    extra.remove("pad_token_id");
    let folder = run.path().join("more");
    std::fs::create_dir(&folder).expect("creates");
    let path = folder.join("unpadded.parquet");
    let mut writer = ShardWriter::create(&path, &table, &ShardMeta { extra, ..ShardMeta::default() }).expect("creates");
    for batch in reader.batches(100).expect("reads") {
        writer.write(&batch.expect("reads")).expect("writes");
    }
    writer.finish(&dir).expect("finishes");
    let inputs = |packing: &str| {
        let tokenizer_dir = dir.tokenizer_dir().display().to_string();
        format!("inputs = [{:?}]\ntokenizer = {tokenizer_dir:?}\npacking = {packing:?}", folder.display().to_string())
    };
    let texts: BTreeMap<String, String> = documents(0).into_iter().collect();
    let tokens = tokens_of(&texts);
    let total = tokens.values().map(Vec::len).sum::<usize>() as u64;
    for packing in ["concat", "best-fit", "bos-aligned"] {
        go(run.path(), &inputs(packing)).expect("runs");
        let shard = ShardReader::open(&RunDir::new(run.path()).stage("shard").split_shard("train", 0), &schema::samples(TokenWidth::U16));
        let shard = shard.expect("opens");
        let padding = columns::Padding::of(|key| shard.metadata().get(key).map(String::as_str));
        let mut rows: Vec<Row> = Split::ALL.into_iter().flat_map(|split| rows(run.path(), split, 0)).collect();
        let mut padded = 0;
        for row in &mut rows {
            assert_eq!(row.ids.len(), 65);
            row.ids.truncate(padding.used(&row.ids));
            padded += usize::from(row.ids.len() < 65);
        }
        let seen = targets_of(&rows, &tokens);
        let manifest = Manifest::load(&RunDir::new(run.path()).stage("shard")).expect("loads");
        let cropped = manifest.units()["batch-00000"].counts.get("cropped_tokens").copied().unwrap_or(0);
        assert!(padded > 0 && seen.values().all(|times| *times == 1), "{packing}: {padded} rows padded");
        assert_eq!(seen.len() as u64 + cropped, total, "{packing}");
    }
}

#[test]
fn weights_repeat_and_leave_out_training_documents_only() {
    let (plain, mixed) = (tempfile::tempdir().expect("temporary directory"), tempfile::tempdir().expect("temporary directory"));
    let weights = "weights = { \"even*\" = 2.5, \"odd.warc\" = 0.0, typo = 2.0 }\nlanguage_weights = { zh-Hans = 2.0 }\nmax_repeats = 4.0";
    for (run, changes) in [(plain.path(), ""), (mixed.path(), weights)] {
        add_shard(run, "a", (0, 0), 0);
        let report = go(run, changes).expect("runs");
        assert_eq!(report.notes.iter().any(|note| note.contains("stands behind typo")), !changes.is_empty(), "{:?}", report.notes);
    }
    let texts: BTreeMap<String, String> = documents(0).into_iter().collect();
    let tokens = tokens_of(&texts);
    let seen = targets_of(&rows(mixed.path(), Split::Train, 0), &tokens);
    let mut halves = 0;
    for (number, (id, _)) in documents(0).iter().enumerate() {
        let times = seen.get(&(id.clone(), 0)).copied().unwrap_or(0);
        assert!((0..tokens[id].len()).all(|at| seen.get(&(id.clone(), at)).copied().unwrap_or(0) == times), "whole documents");
        match (Split::of(id, 0.2), number % 4) {
            (Split::Validation, _) | (_, 1 | 3) => assert_eq!(times, 0),
            (_, 0) => assert_eq!(times, 4, "2.5 times 2 is capped"),
            _ => {
                assert!(times == 2 || times == 3, "{times}");
                halves |= 1 << (times - 2);
            }
        }
    }
    assert_eq!(halves, 3, "some twice, some three times");
    let rows_of = |run: &Path| rows(run, Split::Validation, 0).into_iter().map(|row| row.ids).collect::<Vec<_>>();
    assert_eq!(rows_of(plain.path()), rows_of(mixed.path()), "validation holds every document once");
    let manifest = Manifest::load(&RunDir::new(mixed.path()).stage("shard")).expect("loads");
    let counts = &manifest.units()["batch-00000"].counts;
    assert_eq!(counts["weights.odd.warc.seen_tokens"], 0);
    assert!(counts["weights.even*.seen_tokens"] > 2 * counts["weights.even*.once_tokens"]);
    assert!(counts["capped_documents"] > 0 && counts["left_out_documents"] > 0);
}

#[test]
fn the_encoding_changes_the_file_and_not_the_rows() {
    let mut seen = Vec::new();
    for encoding in ["dictionary", "split-bytes"] {
        let run = tempfile::tempdir().expect("temporary directory");
        add_shard(run.path(), "a", (0, 0), 0);
        go(run.path(), &format!("token_encoding = {encoding:?}")).expect("runs");
        let rows = rows(run.path(), Split::Train, 0).into_iter().map(|row| (row.ids, row.documents, row.offsets, row.num_bytes));
        seen.push((files(run.path()), rows.collect::<Vec<_>>()));
    }
    assert_eq!(seen[0].1, seen[1].1);
    assert_ne!(seen[0].0, seen[1].0);
}

#[test]
fn wrong_weights_are_refused() {
    for (changes, key) in [
        ("weights = { a = -1.0 }", "weights.a"),
        ("language_weights = { en = inf }", "language_weights.en"),
        ("weights = { a = 2.0 }\nmax_repeats = 0.5", "max_repeats"),
        ("max_repeats = 2.0", "max_repeats"),
    ] {
        let mut merged: toml::Table = toml::from_str(Shard::DEFAULT_TOML).expect("the default file parses");
        merged.extend(toml::from_str::<toml::Table>(&format!("inputs = [\"tokenize\"]\n{changes}")).expect("parses"));
        let problem = merged.try_into::<Config>().expect("a configuration").validate().expect_err("refused");
        assert_eq!(problem.key, key, "{}", problem.message);
    }
}

#[test]
fn a_rerun_does_nothing_and_a_new_batch_only_adds() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "m", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let before = files(run.path());
    assert_eq!(before.len(), 2);
    let report = go(run.path(), "").expect("runs");
    assert_eq!((report.inputs_done, report.inputs_skipped), (0, 1));
    assert_eq!(files(run.path()), before);
    let held = |batch| rows(run.path(), Split::Validation, batch).into_iter().flat_map(|row| row.documents).collect::<Vec<_>>();
    let held_before = held(0);

    add_shard(run.path(), "a", (1, 1), 1);
    let dry = Shard::dry_run(&context(run.path()), &config("")).expect("plans");
    assert_eq!((dry.todo.len(), dry.todo[0].unit.as_str(), dry.skip), (1, "batch-00001", 1));
    let report = go(run.path(), "").expect("runs");
    assert_eq!((report.inputs_done, report.inputs_skipped), (1, 1));
    let after = files(run.path());
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|(path, digest)| after.get(path) == Some(digest)));
    assert_eq!(held(0), held_before);
}

#[test]
fn in_one_go_or_one_batch_at_a_time() {
    let step = tempfile::tempdir().expect("temporary directory");
    let once = tempfile::tempdir().expect("temporary directory");
    for batch in 0..3 {
        add_shard(step.path(), &format!("s{batch}"), (batch, batch), batch as usize);
        go(step.path(), "").expect("runs");
        add_shard(once.path(), &format!("s{batch}"), (batch, batch), batch as usize);
    }
    go(once.path(), "").expect("runs");
    assert_eq!(files(step.path()), files(once.path()));
}

#[test]
fn the_same_bytes_with_little_memory() {
    // 25,000 documents need more than the 1 MB that is the least, and so do those of one id.
    let id = |n: usize| handoff::document_id("test", &n.saturating_sub(12_000).to_string(), "");
    let many: Vec<(String, String)> = (0..25_000).map(|n| (id(n), format!("文{n} text"))).collect();
    for changes in ["", "packing = \"best-fit\"", "weights = { \"odd*\" = 2.2 }"] {
        let mut seen = Vec::new();
        for memory in [1, 1000] {
            let run = tempfile::tempdir().expect("temporary directory");
            add_shard(run.path(), "a", (0, 0), 0);
            let folder = run.path().join("more");
            std::fs::create_dir(&folder).expect("creates");
            let dir = RunDir::new(run.path()).stage("more");
            write_tokens(&dir, &folder.join("many.parquet"), &tokenizer(false), &many);
            let inputs = format!("inputs = [\"tokenize\", {:?}]\nmax_memory_mb = {memory}\n{changes}", folder.display().to_string());
            go(run.path(), &inputs).expect("runs");
            seen.push(files(run.path()));
        }
        assert_eq!(seen[0].len(), 4, "no file is left besides");
        assert_eq!(seen[0], seen[1], "{changes}");
    }
}

/// A megabyte is 1,000,000 bytes; ids take two each. `JIELONG_TOKENS_MB` asks for more of them.
#[test]
fn a_corpus_larger_than_memory_is_packed_within_a_limit_of_the_system() {
    let megabytes = std::env::var("JIELONG_TOKENS_MB").map_or(100, |text| text.parse().expect("a number"));
    let temp = tempfile::tempdir().expect("temporary directory");
    let run = RunDir::new(temp.path().join("run"));
    let tokens = add_long_shards(run.path(), megabytes);
    std::fs::write(temp.path().join("limit.toml"), "run = \"limit\"\n[stage.shard]\ninputs = [\"tokenize\"]\n").expect("writes");
    // The rest is for rows on their way, buffers of files, and the program.
    let (held, limit) = (megabytes / 5, 60 + megabytes * 226 / 1000);
    let pack = |memory: usize| {
        let program = testkit::binary("shard");
        let command = format!(
            "ulimit -d {} && exec {:?} --config limit.toml --run run --max-memory {memory} --force",
            limit * 1_000_000 / 1024,
            program
        );
        let output = std::process::Command::new("sh").args(["-c", &command]).current_dir(temp.path()).output().expect("starts");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = pack(2 * megabytes);
    assert!(!done && said.contains("memory allocation"), "{limit} MB are enough for all of it, or it failed otherwise: {said}");
    let (done, said) = pack(held);
    assert!(done, "{megabytes} MB of ids within {limit} MB: {said}");
    let counts = Manifest::load(&run.stage("shard")).expect("loads").summary().counts;
    assert_eq!(counts["tokens.train"] + counts["tokens.validation"], tokens);
}

/// Adds shards of documents of a thousand tokens and more, and returns how many tokens they have.
fn add_long_shards(run: &Path, megabytes: usize) -> u64 {
    let tokenizer = tokenizer(false);
    let dir = RunDir::new(run).stage("tokenize");
    std::fs::create_dir_all(dir.tokenizer_dir()).expect("creates");
    tokenizer.files().copy_to(&dir.tokenizer_dir()).expect("writes");
    let (table, meta) = (schema::tokens(TokenWidth::U16), metadata(&tokenizer, "1"));
    let wanted = megabytes as u64 * 500_000;
    let (mut tokens, mut document, mut shard) = (0, 0_u32, 0);
    while tokens < wanted {
        let mut writer = ShardWriter::with_split_ids(&dir.data_shard(shard), &table, &meta, 4096).expect("creates");
        for _ in 0..10 {
            let rows: Vec<Vec<u32>> =
                (document..document + 1000).map(|n| (0..1000 + n % 1000).map(|at| 10 + (at * 7 + n) % 250).chain([0]).collect()).collect();
            tokens += rows.iter().map(|row| row.len() as u64).sum::<u64>();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(
                    (document..document + 1000).map(|n| handoff::document_id("test", &n.to_string(), "")),
                )),
                columns::build_tokens(TokenWidth::U16, &rows),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.len() as i64 - 1))),
                Arc::new(StringArray::from(vec!["en"; 1000])),
                Arc::new(StringArray::from(vec!["test"; 1000])),
            ];
            writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).expect("a batch")).expect("writes");
            document += 1000;
        }
        testkit::commit_unit(&dir, &format!("shard-{shard:05}"), (0, shard), writer.finish(&dir).expect("finishes"));
        shard += 1;
    }
    tokens
}

#[test]
fn a_signal_stops_it_within_a_batch_and_nothing_half_is_left() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    for threads in [Some(1), None] {
        let ctx = StageContext { threads, ..context(run.path()) };
        ctx.cancel.cancel();
        assert!(shard::run(&ctx, &config("")).expect("no error").is_none(), "interrupted");
        let data = RunDir::new(run.path()).stage("shard").data();
        assert_eq!(std::fs::read_dir(data).map_or(0, Iterator::count), 0);
    }
    go(run.path(), "").expect("goes on");
}

#[test]
fn the_seed_changes_the_order_and_not_the_split() {
    let mut held = Vec::new();
    let mut order = Vec::new();
    for seed in [0, 1] {
        let run = tempfile::tempdir().expect("temporary directory");
        add_shard(run.path(), "a", (0, 0), 0);
        let ctx = StageContext { seed, ..context(run.path()) };
        shard::run(&ctx, &config("")).expect("runs");
        let names = |split| rows(run.path(), split, 0).into_iter().flat_map(|row| row.documents).collect::<Vec<_>>();
        let mut validation = names(Split::Validation);
        validation.sort();
        validation.dedup();
        held.push(validation);
        order.push(names(Split::Train));
    }
    assert_eq!(held[0], held[1]);
    assert_ne!(order[0], order[1]);
}

#[test]
fn any_number_of_workers_at_once_gives_the_same_bytes() {
    let whole = tempfile::tempdir().expect("temporary directory");
    let add = |run: &Path, batches: std::ops::Range<u32>| {
        batches.for_each(|batch| add_shard(run, &format!("s{batch}"), (batch, batch), batch as usize));
    };
    add(whole.path(), 0..5);
    for packing in ["concat", "best-fit"] {
        let changes = format!("packing = {packing:?}");
        let whole_run = StageContext { force: true, ..context(whole.path()) };
        shard::run(&whole_run, &config(&changes)).expect("runs");
        // More workers than batches, too.
        for count in [2, 3, 7] {
            let run = tempfile::tempdir().expect("temporary directory");
            let all = || {
                std::thread::scope(|scope| {
                    for index in 0..count {
                        let ctx = StageContext { worker: stage::Worker { index, count }, ..context(run.path()) };
                        let changes = &changes;
                        scope.spawn(move || shard::run(&ctx, &config(changes)).expect("runs"));
                    }
                });
            };
            add(run.path(), 0..3);
            all();
            add(run.path(), 3..5);
            all();
            assert_eq!(files(run.path()), files(whole.path()), "{count} workers, {packing}");
            assert_eq!(go(run.path(), &changes).expect("runs").inputs_done, 0, "one more run has nothing to do");
        }
    }
}

#[test]
fn metadata_says_what_a_loader_needs() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "validation_share = 0.0").expect("runs");
    let dir = RunDir::new(run.path()).stage("shard");
    let reader = ShardReader::open(&dir.split_shard("train", 0), &schema::samples(TokenWidth::U16)).expect("opens");
    let keys = reader.metadata();
    let expected =
        [("seq_len_tokens", "64"), ("row_tokens", "65"), ("pad_token_id", "1"), ("split", "train"), ("packing", "concat"), ("batch", "0")];
    for (key, value) in expected {
        assert_eq!(keys.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(keys["tokenizer_digest"], tokenizer(false).digest());
    let empty = ShardReader::open(&dir.split_shard("validation", 0), &schema::samples(TokenWidth::U16)).expect("opens");
    assert_eq!(empty.rows(), 0);
}

#[test]
fn mixed_tokenizers_are_refused() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    add_shard_of(run.path(), "b", (0, 1), &tokenizer(true), 1);
    let error = go(run.path(), "").expect_err("refused");
    assert!(matches!(error, Error::Handoff(handoff::Error::MixedShards { key: "tokenizer_digest", .. })), "{error}");
    assert_eq!(error.exit(), Exit::Upstream);
    assert!(!RunDir::new(run.path()).stage("shard").data().exists(), "nothing was written");
}

#[test]
fn one_pad_token_that_no_text_holds() {
    let tokenizer = tokenizer(false);
    let letter = tokenizer.encode("s").expect("encodes")[0];
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    let dir = RunDir::new(run.path()).stage("tokenize");
    let output = write_tokens_with(&dir, &dir.data_shard(1), &tokenizer, &documents(1), "2");
    testkit::commit_unit(&dir, "b", (0, 1), output);
    let error = go(run.path(), "").expect_err("refused");
    assert!(matches!(error, Error::Handoff(handoff::Error::MixedShards { key: "pad_token_id", .. })), "{error}");
    for shard in 0..2 {
        let output = write_tokens_with(&dir, &dir.data_shard(shard), &tokenizer, &documents(1), &letter.to_string());
        testkit::commit_unit(&dir, ["a", "b"][shard as usize], (0, shard), output);
    }
    let error = go(run.path(), "").expect_err("refused");
    assert!(matches!(error, Error::PadInText { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Upstream);
}

#[test]
fn a_tokenizer_that_is_missing_or_another_is_refused() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    let dir = RunDir::new(run.path()).stage("tokenize").tokenizer_dir();
    tokenizer(true).files().copy_to(&dir).expect("writes");
    let error = go(run.path(), "").expect_err("refused");
    assert!(matches!(error, Error::OtherTokenizer { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Upstream);
    std::fs::remove_dir_all(&dir).expect("removes");
    let error = go(run.path(), "").expect_err("refused");
    assert_eq!(error.exit(), Exit::Upstream, "{error}");
    let data = RunDir::new(run.path()).stage("tokenize").data();
    let fresh = tempfile::tempdir().expect("temporary directory");
    let error = go(fresh.path(), &format!("inputs = [{:?}]", data.display().to_string())).expect_err("refused");
    assert!(matches!(error, Error::NoTokenizer), "{error}");
}

#[test]
fn a_bad_shard_is_refused_with_its_name() {
    let run = tempfile::tempdir().expect("temporary directory");
    let error = go(run.path(), "").expect_err("nothing upstream");
    assert_eq!(error.exit(), Exit::Upstream, "{error}");
    add_shard(run.path(), "a", (0, 0), 0);
    let path = RunDir::new(run.path()).stage("tokenize").data_shard(0);
    let whole = std::fs::read(&path).expect("reads");
    std::fs::write(&path, &whole[..whole.len() - 100]).expect("writes");
    let error = go(run.path(), "").expect_err("refused");
    assert!(error.to_string().contains("bytes, recorded were"), "{error}");
    assert_eq!(error.exit(), Exit::Upstream);
    for at in [whole.len() / 4, whole.len() - 300] {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        std::fs::write(&path, flipped).expect("writes");
        for threads in [Some(1), None] {
            let ctx = StageContext { threads, ..context(run.path()) };
            let error = shard::run(&ctx, &config("")).expect_err("refused");
            assert_eq!(error.exit(), Exit::Upstream, "{error}");
        }
    }

    let folder = tempfile::tempdir().expect("temporary directory");
    let check = |expected: &str| {
        let fresh = tempfile::tempdir().expect("temporary directory");
        let tokenizer_dir = RunDir::new(run.path()).stage("tokenize").tokenizer_dir();
        let inputs = format!("inputs = [{:?}]\ntokenizer = {:?}", folder.path().display().to_string(), tokenizer_dir.display().to_string());
        let error = go(fresh.path(), &inputs).expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.exit(), Exit::Upstream);
    };
    let file = folder.path().join("x.parquet");
    std::fs::write(&file, &whole[..whole.len() - 100]).expect("writes");
    check("not a readable Parquet file");
    let table = schema::tokens(TokenWidth::U16);
    let newer = handoff::TableSchema { version: 99, ..table.clone() };
    let dir = RunDir::new(folder.path()).stage("x");
    ShardWriter::create(&file, &newer, &ShardMeta::default()).expect("creates").finish(&dir).expect("finishes");
    check("holds version 99");
    ShardWriter::create(&file, &table, &ShardMeta::default()).expect("creates").finish(&dir).expect("finishes");
    check("has no `tokenizer_digest`");
}

#[test]
fn a_vanished_shard_is_kept_until_pruned() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    add_shard(run.path(), "b", (0, 1), 1);
    add_shard(run.path(), "c", (1, 2), 2);
    go(run.path(), "").expect("runs");
    let upstream = RunDir::new(run.path()).stage("tokenize");
    for gone in ["b", "c"] {
        Manifest::load(&upstream).expect("loads").remove(gone).expect("removes");
    }
    let error = go(run.path(), "").expect_err("refused");
    assert!(error.to_string().contains("2 input(s)") && error.hint().expect("a hint").contains("--prune"), "{error}");
    let pruning = StageContext { prune: true, ..context(run.path()) };
    let report = shard::run(&pruning, &config("")).expect("runs").expect("not cancelled");
    assert_eq!(report.inputs_done, 1, "the batch of `b` is redone, that of `c` is gone");
    assert_eq!(files(run.path()).len(), 2);
    assert_eq!(go(run.path(), "").expect("runs").inputs_done, 0);
}

#[test]
fn a_sample_is_traced_to_its_documents_and_pairs() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "validation_share = 0.0").expect("runs");
    let trace = |name: &str, pairs: bool| {
        let command = &Shard::commands()[0];
        let mut arguments = vec!["trace", name];
        arguments.extend(pairs.then_some("--pairs"));
        let matches = command.clap.clone().get_matches_from(arguments);
        (command.run)(&context(run.path()), &config(""), &matches)
    };
    let all = rows(run.path(), Split::Train, 0);
    let zh = documents(0).into_iter().step_by(4).map(|d| d.0).collect::<Vec<_>>();
    let (number, row) =
        all.iter().enumerate().find(|(_, row)| row.documents.len() > 1 && zh.contains(&row.documents[1])).expect("some row");
    let plain = trace(&row.sample_id, false).expect("traces");
    for id in &row.documents {
        assert!(plain.contains(id), "{plain}");
    }
    assert!(!plain.contains('→'));
    let pairs = trace(&format!("train-0-{number}"), true).expect("traces");
    assert_eq!(pairs.matches('→').count(), row.ids.len() - 1);
    assert!(trace("train-00000-999999", false).expect_err("no such row").to_string().contains("there is no sample"));
    assert!(trace("train-00009-000000", false).expect_err("no such batch").to_string().contains("00009.parquet` is not there"));
    assert!(trace("nonsense", false).expect_err("no name").to_string().contains("not the name of a sample"));
    let pairs = (0..all.len()).map(|n| trace(&format!("train-0-{n}"), true).expect("traces")).collect::<String>();
    assert!(pairs.contains("France is Pari → s"), "{pairs}");
    assert!(pairs.contains("Paris. → <|endoftext|>"), "{pairs}");
}
