//! The stage in a temporary run: what it writes, what it skips, what it refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use handoff::{Digest, Manifest, RunDir, ShardMeta, ShardReader, ShardWriter, StageDir, TokenWidth, columns, schema};
use stage::{Exit, Failure, Report, Stage, StageContext};
use text::Tokenizer;
use tokenize::{Config, Error, Tokenize};

/// Words that set the documents of different salts apart, so that a vocabulary trained on more of them is another one.
const WORDS: [[&str; 4]; 4] = [
    ["Country", "Town", "国", "城"],
    ["Kingdom", "Burg", "邦", "堡"],
    ["Province", "Village", "省", "村"],
    ["Island", "Harbour", "岛", "港"],
];

/// Ten English and ten Chinese documents, different for every `salt`.
fn documents(salt: usize) -> Vec<(String, String, &'static str)> {
    let mut out = Vec::new();
    let [place, seat, place_zh, seat_zh] = WORDS[salt % 4];
    for n in 0..10 {
        let n = salt * 10 + n;
        let height = 1000 + 37 * n;
        let en =
            format!("The capital of {place}{n} is {seat}{n}. The highest mountain in {place}{n} is Mount Peak{n}, {height} metres high.");
        let zh = format!("第{n}{place_zh}的首都是第{n}{seat_zh}。第{n}{place_zh}最高的山是第{n}峰,海拔{height}米。<|endoftext|>");
        out.push((handoff::document_id("test", &format!("en{n}"), &en), en, "en"));
        out.push((handoff::document_id("test", &format!("zh{n}"), &zh), zh, "zh-Hans"));
    }
    out
}

/// Writes documents as `crawl-clean` would.
fn write_documents(dir: &StageDir, path: &Path, documents: &[(String, String, &'static str)]) -> handoff::OutputFile {
    let n = documents.len();
    let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let none = || Arc::new(StringArray::from(vec![None::<&str>; n])) as ArrayRef;
    let zeros = || Arc::new(Int64Array::from(vec![0; n])) as ArrayRef;
    let lengths = |f: &dyn Fn(&str) -> usize| Arc::new(Int64Array::from_iter_values(documents.iter().map(|d| f(&d.1) as i64))) as ArrayRef;
    let columns = vec![
        text(documents.iter().map(|d| d.0.as_str()).collect()),
        text(vec!["http://example.com/"; n]),
        text(documents.iter().map(|d| d.1.as_str()).collect()),
        text(documents.iter().map(|d| d.2).collect()),
        text(vec!["test"; n]),
        none(),
        none(),
        Arc::new(Int64Array::from(vec![None::<i64>; n])),
        none(),
        none(),
        zeros(),
        Arc::new(Float32Array::from(vec![1.0; n])),
        lengths(&|t| t.chars().count()),
        lengths(&str::len),
        none(),
    ];
    let table = schema::documents();
    let columns = handoff::columns::fill_up(columns, &table);
    let mut writer = ShardWriter::create(path, &table, &ShardMeta::default()).expect("creates");
    writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).expect("a batch")).expect("writes");
    writer.finish(dir).expect("finishes")
}

/// Commits a shard of documents as unit `name` of `crawl-clean`.
fn add_shard(run: &Path, name: &str, (batch, index): (u32, u32), salt: usize) {
    let dir = RunDir::new(run).stage("crawl-clean");
    let output = write_documents(&dir, &dir.data_shard(index), &documents(salt));
    testkit::commit_unit(&dir, name, (batch, index), output);
}

fn config(changes: &str) -> Config {
    let defaults: toml::Table = toml::from_str(Tokenize::DEFAULT_TOML).expect("the default file parses");
    let mut all = toml::from_str::<toml::Table>("inputs = [\"crawl-clean\"]\nvocab_size = 350").expect("parses");
    all.extend(toml::from_str::<toml::Table>(changes).expect("parses"));
    let mut merged = defaults;
    merged.extend(all);
    let config: Config = merged.try_into().expect("a configuration");
    config.validate().expect("valid");
    config
}

fn context(run: &Path) -> StageContext {
    StageContext::for_tests(run, "tokenize")
}

fn go(run: &Path, changes: &str) -> Result<Report, Error> {
    tokenize::run(&context(run), &config(changes)).map(|report| report.expect("not cancelled"))
}

/// Every committed file of the stage with its digest.
fn files(run: &Path) -> BTreeMap<PathBuf, Digest> {
    let dir = RunDir::new(run).stage("tokenize");
    let mut out = BTreeMap::new();
    for folder in [dir.data(), dir.tokenizer_dir()] {
        for entry in std::fs::read_dir(folder).expect("lists") {
            let path = entry.expect("lists").path();
            let digest = Digest::of_file(&path).expect("reads");
            out.insert(path.strip_prefix(run).expect("below the run").to_path_buf(), digest);
        }
    }
    out
}

#[test]
fn the_default_file_is_the_configuration() {
    let Err(error) = toml::from_str::<toml::Table>(Tokenize::DEFAULT_TOML).expect("parses").try_into::<Config>() else {
        panic!("`inputs` must be given");
    };
    assert!(error.to_string().contains("inputs"), "{error}");
    assert!(config("").trains());
}

#[test]
fn documents_become_tokens_and_back() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    let report = go(run.path(), "").expect("runs");
    assert_eq!((report.inputs_done, report.rows), (1, 20));
    assert!(report.notes.iter().any(|note| note.contains("bytes per token") && note.contains("zh-Hans")), "{:?}", report.notes);

    let dir = RunDir::new(run.path()).stage("tokenize");
    let tokenizer = Tokenizer::load(&dir.tokenizer_dir()).expect("loads");
    assert_eq!((tokenizer.eos_id(), tokenizer.vocab_size(), tokenizer.padded_vocab_size()), (Some(0), 350, 384));
    let reader = ShardReader::open(&dir.data_shard(0), &schema::tokens(TokenWidth::U16)).expect("opens");
    assert_eq!(reader.metadata()["tokenizer_digest"], tokenizer.digest());
    assert_eq!((reader.metadata()["eos_token_id"].as_str(), reader.metadata()["pad_token_id"].as_str()), ("0", "1"));
    assert_eq!((reader.metadata()["vocab_size"].as_str(), reader.metadata()["padded_vocab_size"].as_str()), ("350", "384"));
    let batch = reader.batches(100).expect("reads").next().expect("one batch").expect("reads");
    let rows = columns::token_rows(&batch, "input_ids").expect("tokens");
    let ids = columns::strings(&batch, "document_id").expect("ids");
    let num_bytes = columns::i64s(&batch, "num_bytes").expect("bytes");
    for (row, (id, text, _)) in documents(0).iter().enumerate() {
        let (last, body) = rows[row].split_last().expect("not empty");
        assert_eq!((ids.value(row), *last), (id.as_str(), 0));
        assert_eq!(&tokenizer.decode(body).expect("decodes"), text);
        assert!(body.iter().all(|id| !tokenizer.is_special(*id)), "an end token spelled in a text is text");
        assert_eq!(num_bytes.value(row) as usize, text.len());
        assert_eq!(body.iter().map(|id| tokenizer.token_bytes(*id).len()).sum::<usize>(), text.len());
    }
}

#[test]
fn a_rerun_does_nothing_and_a_new_shard_only_adds() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "m", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let before = files(run.path());
    let report = go(run.path(), "").expect("runs");
    assert_eq!((report.inputs_done, report.inputs_skipped), (0, 1));
    assert_eq!(files(run.path()), before);

    // Sorts before the first one, and holds words that a retrained vocabulary would take up.
    add_shard(run.path(), "a", (1, 1), 7);
    let report = go(run.path(), "").expect("runs");
    assert_eq!((report.inputs_done, report.inputs_skipped), (1, 1));
    let after = files(run.path());
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|(path, digest)| after.get(path) == Some(digest)), "old files are unchanged, the tokenizer too");
}

#[test]
fn the_same_bytes_for_one_thread_and_for_three() {
    let mut seen = Vec::new();
    for threads in [1, 3, 3] {
        let run = tempfile::tempdir().expect("temporary directory");
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            add_shard(run.path(), name, (0, index as u32), index);
        }
        let pool = rayon_pool(threads);
        pool.install(|| go(run.path(), "vocab_size = 600\nmin_frequency = 1")).expect("runs");
        seen.push(files(run.path()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
}

#[test]
fn other_settings_are_refused_until_retraining_is_asked_for() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let before = files(run.path());
    let error = go(run.path(), "vocab_size = 330").expect_err("refused");
    assert!(matches!(error, Error::Frozen { .. }), "{error}");
    assert!(error.to_string().contains("`vocab_size = 350`") && error.to_string().contains("`vocab_size = 330`"), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.hint().expect("a hint").contains("--force"));
    assert_eq!(files(run.path()), before);

    let report = go(run.path(), "vocab_size = 330\nretrain = true").expect("runs");
    assert_eq!(report.inputs_done, 1);
    let retrained = files(run.path());
    assert_ne!(retrained, before);
    let report = go(run.path(), "vocab_size = 330\nretrain = true").expect("runs");
    assert_eq!(report.inputs_done, 0, "nothing changed since, so nothing is trained");
    assert_eq!(files(run.path()), retrained);

    add_shard(run.path(), "b", (1, 1), 5);
    let report = go(run.path(), "vocab_size = 330\nretrain = true").expect("runs");
    assert_eq!(report.inputs_done, 2, "trained on more, so the old shard is encoded again");
    let forced = StageContext { force: true, ..context(run.path()) };
    let report = tokenize::run(&forced, &config("")).expect("runs").expect("not cancelled");
    assert_eq!(report.inputs_done, 2);
    assert_eq!(Tokenizer::load(&RunDir::new(run.path()).stage("tokenize").tokenizer_dir()).expect("loads").vocab_size(), 350);
}

#[test]
fn another_chat_template_changes_no_shard() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let report = go(run.path(), "chat_template = \"chatml\"").expect("runs");
    assert_eq!((report.inputs_done, report.inputs_skipped), (0, 1));
    let tokenizer = Tokenizer::load(&RunDir::new(run.path()).stage("tokenize").tokenizer_dir()).expect("loads");
    assert_eq!(tokenizer.chat_template().expect("has one").source(), text::template::CHATML);
}

#[test]
fn a_taken_tokenizer_is_copied_and_used() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let other = tempfile::tempdir().expect("temporary directory");
    add_shard(other.path(), "a", (0, 0), 0);
    let from = RunDir::new(run.path()).stage("tokenize").tokenizer_dir();
    let taken = format!("tokenizer = {:?}", from.display().to_string());
    let report = go(other.path(), &taken).expect("runs");
    assert_eq!(report.inputs_done, 1);
    let idle = report.notes.iter().find(|note| note.contains("no effect")).expect("`vocab_size` is set");
    assert!(idle.contains("`vocab_size`") && !idle.contains("`pattern`"), "{idle}");
    let (a, b) = (files(run.path()), files(other.path()));
    assert_eq!(a.get(Path::new("tokenize/data/00000.parquet")), b.get(Path::new("tokenize/data/00000.parquet")));
    assert_eq!(go(other.path(), &taken).expect("runs").inputs_done, 0);
    let error = go(other.path(), "tokenizer = \"/nonexistent/tokenizer\"").expect_err("refused");
    assert_eq!(error.exit(), Exit::Upstream, "{error}");
    let error = go(other.path(), &format!("{taken}\nend_token = \"</s>\"")).expect_err("refused");
    assert!(matches!(error, Error::NoToken { key: "end_token", .. }), "{error}");
    // In place of one that was trained it is taken only when asked.
    let trained = files(run.path());
    let small = tempfile::tempdir().expect("temporary directory");
    add_shard(small.path(), "b", (0, 0), 7);
    go(small.path(), "vocab_size = 300").expect("runs");
    let taken = format!("tokenizer = {:?}", RunDir::new(small.path()).stage("tokenize").tokenizer_dir().display().to_string());
    let error = go(run.path(), &taken).expect_err("refused");
    assert!(matches!(error, Error::Frozen { .. }), "{error}");
    assert_eq!(files(run.path()), trained);
    let forced = StageContext { force: true, ..context(run.path()) };
    assert_eq!(tokenize::run(&forced, &config(&taken)).expect("runs").expect("not cancelled").inputs_done, 1);
}

#[test]
fn a_taken_tokenizer_without_a_template_gets_the_one_asked_for() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let own = RunDir::new(run.path()).stage("tokenize").tokenizer_dir();
    let bare = tempfile::tempdir().expect("temporary directory");
    let template = |changes: &str| {
        let other = tempfile::tempdir().expect("temporary directory");
        add_shard(other.path(), "a", (0, 0), 0);
        let keys = format!("tokenizer = {:?}\n{changes}", bare.path().display().to_string());
        let report = go(other.path(), &keys).expect("runs");
        let again = go(other.path(), &keys).expect("runs");
        assert_eq!((report.inputs_done, again.inputs_done), (1, 0));
        let copy = Tokenizer::load(&RunDir::new(other.path()).stage("tokenize").tokenizer_dir()).expect("loads");
        let idle = report.notes.iter().any(|note| note.contains("`chat_template`"));
        (copy.chat_template().map(|template| template.source().to_owned()), idle)
    };
    for file in ["tokenizer.json", "special_tokens_map.json"] {
        std::fs::copy(own.join(file), bare.path().join(file)).expect("copies");
    }
    assert_eq!(Tokenizer::load(bare.path()).expect("loads").chat_template().map(text::ChatTemplate::source), None);
    assert_eq!(template(""), (Some(text::template::PLAIN.to_owned()), false));
    assert_eq!(template("chat_template = \"chatml\""), (Some(text::template::CHATML.to_owned()), false));
    std::fs::write(bare.path().join("chat_template.jinja"), "{{ messages }}").expect("writes");
    assert_eq!(template("chat_template = \"chatml\""), (Some("{{ messages }}".to_owned()), true));
}

/// Llama's and Mistral's tokenizers put their begin token before every text, by a template or by their configuration.
#[test]
fn documents_begin_with_what_the_tokenizer_puts_before_a_text() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let own = RunDir::new(run.path()).stage("tokenize").tokenizer_dir();
    let begin = "<|im_start|>";
    let begin_id = Tokenizer::load(&own).expect("loads").id(begin).expect("known");
    let documents = |changes: &dyn Fn(&mut serde_json::Value, &mut serde_json::Value), toml: &str| {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (taken, run) = (dir.path().join("taken"), dir.path().join("run"));
        std::fs::create_dir(&taken).expect("made");
        let read =
            |name: &str| -> serde_json::Value { serde_json::from_slice(&std::fs::read(own.join(name)).expect("reads")).expect("parses") };
        let (mut json, mut config) = (read("tokenizer.json"), read("tokenizer_config.json"));
        config["bos_token"] = begin.into();
        changes(&mut json, &mut config);
        std::fs::write(taken.join("tokenizer.json"), json.to_string()).expect("writes");
        std::fs::write(taken.join("tokenizer_config.json"), config.to_string()).expect("writes");
        std::fs::write(taken.join("generation_config.json"), r#"{"eos_token_id": [0, 3]}"#).expect("writes");
        add_shard(&run, "a", (0, 0), 0);
        go(&run, &format!("tokenizer = {:?}\n{toml}", taken.display().to_string()))?;
        let stage = RunDir::new(&run).stage("tokenize");
        let copy = Tokenizer::load(&stage.tokenizer_dir()).expect("loads");
        assert_eq!(copy.stop_ids(), [0, 3], "the copy stops where the original does");
        let reader = ShardReader::open(&stage.data_shard(0), &schema::tokens(TokenWidth::U16)).expect("opens");
        let stated = reader.metadata().get("bos_token_id").cloned();
        let firsts: Vec<bool> = reader
            .batches_of(100, &["input_ids"])
            .expect("reads")
            .flat_map(|batch| columns::token_rows(&batch.expect("reads"), "input_ids").expect("ids"))
            .map(|ids| ids[0] == begin_id && !ids[1..].contains(&begin_id))
            .collect();
        Ok::<_, Error>((stated.is_some(), firsts.iter().all(|first| *first), firsts.iter().any(|first| *first)))
    };
    let template = |json: &mut serde_json::Value| {
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {begin: {"id": begin, "ids": [begin_id], "tokens": [begin]}},
        });
    };
    let (none, all) = ((false, false, false), (true, true, true));
    assert_eq!(documents(&|_, _| (), "").expect("runs"), none);
    assert_eq!(documents(&|_, config| config["add_bos_token"] = true.into(), "").expect("runs"), all);
    let by_template = |json: &mut serde_json::Value, config: &mut serde_json::Value| {
        template(json);
        config.as_object_mut().expect("object").remove("add_bos_token");
    };
    assert_eq!(documents(&by_template, "").expect("runs"), all);
    assert_eq!(documents(&|json, _| template(json), "").expect("runs"), none, "the configuration wins");
    assert_eq!(documents(&by_template, "begin_token = \"\"").expect("runs"), none);
    assert_eq!(documents(&|_, _| (), &format!("begin_token = {begin:?}")).expect("runs"), all);
    let error = documents(&|_, _| (), "begin_token = \"<nowhere>\"").expect_err("refused");
    assert!(matches!(error, Error::NoToken { key: "begin_token", .. }), "{error}");
}

#[test]
fn workers_share_the_shards_and_only_the_first_trains() {
    let run = tempfile::tempdir().expect("temporary directory");
    let whole = tempfile::tempdir().expect("temporary directory");
    for run in [run.path(), whole.path()] {
        for index in 0..3 {
            add_shard(run, &format!("s{index}"), (0, index), index as usize);
        }
    }
    let worker = |index| StageContext { worker: stage::Worker { index, count: 2 }, ..context(run.path()) };
    let error = tokenize::run(&worker(1), &config("")).expect_err("no tokenizer yet");
    assert!(matches!(error, Error::NotTrained { worker: 1, .. }), "{error}");
    let first = StageContext { limit: Some(0), ..worker(0) };
    assert_eq!(tokenize::run(&first, &config("")).expect("runs").expect("not cancelled").inputs_done, 0);
    assert_eq!(tokenize::run(&worker(1), &config("")).expect("runs").expect("not cancelled").inputs_done, 1);
    assert_eq!(tokenize::run(&worker(0), &config("")).expect("runs").expect("not cancelled").inputs_done, 2);
    go(whole.path(), "").expect("runs");
    assert_eq!(files(run.path()), files(whole.path()));
    // With --force each does its part again, and none trains.
    let forced = |index| StageContext { force: true, ..worker(index) };
    assert_eq!(tokenize::run(&forced(1), &config("")).expect("runs").expect("not cancelled").inputs_done, 1);
    assert_eq!(tokenize::run(&forced(0), &config("")).expect("runs").expect("not cancelled").inputs_done, 2);
    assert_eq!(files(run.path()), files(whole.path()));
}

#[test]
fn any_number_of_workers_at_once_gives_the_same_bytes() {
    let whole = tempfile::tempdir().expect("temporary directory");
    let shards = |run: &Path, numbers: std::ops::Range<u32>, batch| {
        numbers.for_each(|index| add_shard(run, &format!("s{index}"), (batch, index), index as usize));
    };
    shards(whole.path(), 0..4, 0);
    go(whole.path(), "").expect("runs");
    shards(whole.path(), 4..7, 1);
    go(whole.path(), "").expect("runs");
    let units = |run: &Path| {
        let manifest = Manifest::load(&RunDir::new(run).stage("tokenize")).expect("loads");
        let unit = |entry: &handoff::manifest::UnitEntry| (entry.key, entry.index, entry.counts.clone());
        manifest.units().iter().map(|(name, entry)| (name.clone(), unit(entry))).collect::<BTreeMap<_, _>>()
    };
    // More workers than shards, too.
    for count in [2, 3, 9] {
        let run = tempfile::tempdir().expect("temporary directory");
        let worker = |index| StageContext { worker: stage::Worker { index, count }, ..context(run.path()) };
        let all = || {
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..count).map(|index| scope.spawn(move || tokenize::run(&worker(index), &config("")))).collect();
                workers.into_iter().map(|one| one.join().expect("no panic").expect("runs").expect("not cancelled").inputs_done).sum::<u64>()
            })
        };
        shards(run.path(), 0..4, 0);
        let first = StageContext { limit: Some(0), ..worker(0) };
        tokenize::run(&first, &config("")).expect("trains");
        assert_eq!(all(), 4);
        shards(run.path(), 4..7, 1);
        assert_eq!(all(), 3);
        assert_eq!(files(run.path()), files(whole.path()), "{count} workers");
        assert_eq!(units(run.path()), units(whole.path()), "{count} workers");
        assert_eq!(go(run.path(), "").expect("runs").inputs_done, 0, "one more run has nothing to do");
    }
}

#[test]
fn little_memory_drops_the_rarest_pieces_and_says_so() {
    let mut seen = Vec::new();
    for threads in [1, 3] {
        let run = tempfile::tempdir().expect("temporary directory");
        // 6,000 words in each shard that no other one has, beside two that all have.
        for shard in 0..3 {
            let word = |number: usize| (0..6).map(|place| char::from(b'a' + (number / 26_usize.pow(place) % 26) as u8)).collect::<String>();
            let text = |n: usize| (0..300).map(|k| format!(" the people {}", word(131 * (6000 * shard + 300 * n + k)))).collect::<String>();
            let documents: Vec<_> = (0..20).map(|n| (format!("{shard:016x}{n:016x}"), text(n), "en")).collect();
            let dir = RunDir::new(run.path()).stage("crawl-clean");
            let output = write_documents(&dir, &dir.data_shard(shard as u32), &documents);
            testkit::commit_unit(&dir, &format!("s{shard}"), (0, shard as u32), output);
        }
        let settings = "max_memory_mb = 1";
        let report = rayon_pool(threads).install(|| go(run.path(), settings)).expect("runs");
        assert!(report.notes.iter().any(|note| note.contains("dropped")), "{:?}", report.notes);
        let tokenizer = Tokenizer::load(&RunDir::new(run.path()).stage("tokenize").tokenizer_dir()).expect("loads");
        assert!(tokenizer.files().config()["training"]["dropped_pieces"].as_u64() > Some(0));
        seen.push(files(run.path()));
        // What was dropped is no setting of the vocabulary: more memory later changes nothing.
        assert_eq!(go(run.path(), "").expect("runs").inputs_done, 0);
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn a_report_names_the_worst_documents_and_what_no_document_uses() {
    let run = tempfile::tempdir().expect("temporary directory");
    let dir = RunDir::new(run.path()).stage("crawl-clean");
    let mut all = documents(0);
    // Letters that training saw once, so that every byte is a token.
    let odd: String = (0..300).filter_map(|n| char::from_u32(0x10400 + n % 77)).collect();
    all.push(("f".repeat(32), odd, "und"));
    let output = write_documents(&dir, &dir.data_shard(0), &all);
    testkit::commit_unit(&dir, "a", (0, 0), output);
    go(run.path(), "min_frequency = 20\nvocab_size = 320").expect("runs");
    let command = Tokenize::commands().into_iter().find(|command| command.clap.get_name() == "report").expect("is there");
    let matches = command.clap.try_get_matches_from(["report", "--show", "3"]).expect("parses");
    let text = (command.run)(&context(run.path()), &config(""), &matches).expect("reports");
    let after = |line: &str| text.lines().skip_while(|l| !l.contains(line)).nth(1).expect("a line").to_string();
    assert!(text.contains("21 documents") && text.contains("bytes per token"), "{text}");
    assert!(after("worst-compressed").contains(&"f".repeat(32)), "{text}");
    assert!(text.contains("used nowhere: ") && text.contains("in a single document only: "), "{text}");
}

#[test]
fn a_broken_shard_fails_the_stage_after_the_others() {
    let run = tempfile::tempdir().expect("temporary directory");
    let folder = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("trains");
    let dir = RunDir::new(run.path()).stage("crawl-clean");
    write_documents(&dir, &folder.path().join("good.parquet"), &documents(3));
    std::fs::write(folder.path().join("bad.parquet"), &std::fs::read(folder.path().join("good.parquet")).expect("reads")[..500])
        .expect("writes");
    let inputs = format!("inputs = [\"crawl-clean\", {:?}]", folder.path().display().to_string());
    let error = go(run.path(), &inputs).expect_err("fails");
    let Error::Units { failed: 1, units: 2, first, source } = &error else { panic!("{error}") };
    assert_eq!(first, "bad");
    assert!(source.to_string().contains("bad.parquet"), "{source}");
    assert_eq!(error.exit(), Exit::Upstream);
    std::fs::remove_file(folder.path().join("bad.parquet")).expect("removes");
    let report = go(run.path(), &inputs).expect("runs");
    assert_eq!((report.inputs_done, report.inputs_skipped), (0, 2), "the good one was done beside the bad one");
}

#[test]
fn a_shard_that_is_not_what_was_recorded_is_refused() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    let shard = RunDir::new(run.path()).stage("crawl-clean").data_shard(0);
    let good = std::fs::read(&shard).expect("reads");
    let flip = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&shard, bad).expect("writes");
    };
    // Before a tokenizer is trained on it, and after.
    flip(good.len() / 3);
    let error = go(run.path(), "").expect_err("fails");
    assert!(matches!(error, Error::Handoff(handoff::Error::OtherDigest { .. })) && error.exit() == Exit::Upstream, "{error}");
    std::fs::write(&shard, &good).expect("writes");
    go(run.path(), "").expect("runs");
    add_shard(run.path(), "b", (1, 1), 1);
    let shard = RunDir::new(run.path()).stage("crawl-clean").data_shard(1);
    let mut bad = std::fs::read(&shard).expect("reads");
    let middle = bad.len() / 2;
    bad[middle] ^= 16;
    std::fs::write(&shard, bad).expect("writes");
    let error = go(run.path(), "").expect_err("fails");
    assert!(matches!(&error, Error::Units { source, .. } if source.to_string().contains("recorded was")), "{error}");
    assert_eq!(error.exit(), Exit::Upstream);
}

#[test]
fn what_is_not_documents_is_refused() {
    let run = tempfile::tempdir().expect("temporary directory");
    let error = go(run.path(), "").expect_err("nothing upstream");
    assert_eq!(error.exit(), Exit::Upstream, "{error}");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    // Its own output is of another table.
    let own = RunDir::new(run.path()).stage("tokenize").data();
    let error = go(run.path(), &format!("inputs = [{:?}]", own.display().to_string())).expect_err("refused");
    assert_eq!(error.exit(), Exit::Usage, "its former input vanished: {error}");
    let fresh = tempfile::tempdir().expect("temporary directory");
    let error = go(fresh.path(), &format!("inputs = [{:?}]", own.display().to_string())).expect_err("refused");
    assert!(error.to_string().contains("holds table `tokens`, expected `documents`"), "{error}");
    let error = go(fresh.path(), &format!("inputs = [{:?}]", fresh.path().display().to_string())).expect_err("refused");
    assert!(matches!(error, Error::Handoff(handoff::Error::NoInput { .. })), "{error}");
}

#[test]
fn a_vanished_input_is_kept_until_pruned() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    add_shard(run.path(), "b", (0, 1), 1);
    go(run.path(), "").expect("runs");
    Manifest::load(&RunDir::new(run.path()).stage("crawl-clean")).expect("loads").remove("b").expect("removes");
    let error = go(run.path(), "").expect_err("refused");
    assert!(error.hint().expect("a hint").contains("--prune"), "{error}");
    let pruning = StageContext { prune: true, ..context(run.path()) };
    let report = tokenize::run(&pruning, &config("")).expect("runs").expect("not cancelled");
    assert_eq!((report.inputs_done, report.rows), (0, 20));
    assert!(!RunDir::new(run.path()).stage("tokenize").data_shard(1).exists());
}

#[test]
fn a_dry_run_says_why_and_touches_nothing() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    let dry = Tokenize::dry_run(&context(run.path()), &config("")).expect("plans");
    assert_eq!((dry.todo.len(), dry.todo[0].why.as_str()), (1, "new input"));
    assert!(dry.notes.iter().any(|note| note.contains("would train")), "{:?}", dry.notes);
    assert!(!RunDir::new(run.path()).stage("tokenize").path().exists());
    go(run.path(), "").expect("runs");
    let dry = Tokenize::dry_run(&context(run.path()), &config("")).expect("plans");
    assert_eq!((dry.todo.len(), dry.skip), (0, 1));
}

#[test]
fn a_sample_trains_when_there_is_too_much() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    let report = go(run.path(), "train_max_bytes = 900").expect("runs");
    assert!(report.notes.iter().any(|note| note.contains("a sample of")), "{:?}", report.notes);
    let tokenizer = Tokenizer::load(&RunDir::new(run.path()).stage("tokenize").tokenizer_dir()).expect("loads");
    let record = &tokenizer.files().config()["training"];
    let rate = record["sampling_rate"].as_f64().expect("a number");
    let read = record["documents"].as_u64().expect("a number");
    assert!(rate < 0.6 && (1..20).contains(&read), "{record}");
}

#[test]
fn any_text_survives() {
    let run = tempfile::tempdir().expect("temporary directory");
    add_shard(run.path(), "a", (0, 0), 0);
    go(run.path(), "").expect("runs");
    let tokenizer = Tokenizer::load(&RunDir::new(run.path()).stage("tokenize").tokenizer_dir()).expect("loads");
    let encoder = tokenize::fast::Encoder::new(&tokenizer).expect("compiles");
    assert!(encoder.is_fast());
    // Characters of all planes from a fixed recurrence, in runs and mixed, with marks, joiners, controls and special tokens.
    let mut state = 99_u64;
    let mut next = |below: u32| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u32 % below
    };
    for _ in 0..400 {
        let mut text = String::new();
        for _ in 0..next(30) {
            let run_length = 1 + next(6);
            let c = match next(8) {
                0 => char::from(next(128) as u8),
                1 => char::from_u32(0x4E00 + next(0x5000)).unwrap_or('一'),
                2 => char::from_u32(0x20000 + next(0xA000)).unwrap_or('一'),
                3 => char::from_u32(0x300 + next(0x60)).unwrap_or('e'),
                4 => ['\u{200d}', '\u{feff}', '\u{0}', '\r', '\n', '\u{a0}', '\u{3000}', '\u{fffd}'][next(8) as usize],
                5 => char::from_u32(0x1F600 + next(0x50)).unwrap_or('x'),
                _ => char::from_u32(next(0x110000)).unwrap_or(' '),
            };
            text.extend(std::iter::repeat_n(c, run_length as usize));
            if next(20) == 0 {
                text += "<|endoftext|>";
            }
        }
        let ids = tokenizer.encode(&text).expect("encodes");
        assert_eq!(encoder.encode(&text).expect("encodes"), ids, "{text:?}");
        assert!(ids.iter().all(|id| !tokenizer.is_special(*id)), "{text:?}");
        assert_eq!(tokenizer.decode(&ids).expect("decodes"), text);
    }
}
