//! The stage in a temporary run: what it writes, what it keeps out, what it skips, what it asks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use handoff::{Digest, Manifest, RunDir, ShardMeta, ShardReader, ShardWriter, StageDir, UnitEntry, UnitKey, columns, schema};
use reverse_distill::{CONTESTED, Config, Error, NO_LLM, ReverseDistill, TeacherKind, rows};
use stage::{Exit, Failure, Report, Stage, StageContext};

/// Text and language tag.
type Row<'a> = (&'a str, &'a str);

const FIRST: &[Row<'_>] = &[
    ("The capital of Peru is Lima. The highest mountain in Peru is Huascarán.", "en"),
    ("The capital of Peru is Lima. The capital of Chile is Santiago.", "en"),
    ("秘鲁的首都是利马。金的元素符号是Au。", "zh-Hans"),
    ("La capitale du Pérou est Lima.", "fr"),
    ("The longest river in Spain is the Tagus.", "en"),
    ("The longest river in Spain is the Ebro.", "en"),
];
const SECOND: &[Row<'_>] = &[
    ("Peru's capital is Lima. The capital of Kenya is Nairobi.", "en"),
    ("The longest river in Spain is the Tagus. The capital of Chile is Valparaíso.", "en"),
];

fn write_documents(dir: &StageDir, index: u32, documents: &[Row<'_>]) -> handoff::OutputFile {
    let n = documents.len();
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let none = || Arc::new(StringArray::from(vec![None::<&str>; n])) as ArrayRef;
    let number = |f: &dyn Fn(&str) -> usize| Arc::new(Int64Array::from_iter_values(documents.iter().map(|d| f(d.0) as i64))) as ArrayRef;
    let columns = vec![
        text(documents.iter().enumerate().map(|(i, d)| handoff::document_id("test", &format!("{index}/{i}"), d.0)).collect()),
        text((0..n).map(|i| format!("http://test/{index}/{i}")).collect()),
        text(documents.iter().map(|d| d.0.to_owned()).collect()),
        text(documents.iter().map(|d| d.1.to_owned()).collect()),
        text(vec!["test".into(); n]),
        none(),
        none(),
        Arc::new(Int64Array::from(vec![None::<i64>; n])),
        none(),
        none(),
        number(&|_| 0),
        Arc::new(Float32Array::from(vec![1.0; n])),
        number(&|t| t.chars().count()),
        number(&str::len),
        none(),
    ];
    let table = schema::documents();
    let columns = handoff::columns::fill_up(columns, &table);
    let mut writer = ShardWriter::create(&dir.data_shard(index), &table, &ShardMeta::default()).unwrap();
    writer.write(&RecordBatch::try_new(table.arrow.clone(), columns).unwrap()).unwrap();
    writer.finish(dir).unwrap()
}

fn commit(run: &Path, index: u32, documents: &[Row<'_>]) {
    let dir = RunDir::new(run).stage("crawl-clean");
    let output = write_documents(&dir, index, documents);
    let key = UnitKey { input_digest: output.digest, config_digest: Digest::of_bytes(b"c"), format_version: 1 };
    let entry = UnitEntry {
        unit: format!("shard-{index}"),
        batch: index,
        index,
        key,
        outputs: vec![output],
        rejected: vec![],
        counts: BTreeMap::new(),
        wall_secs: 0.0,
    };
    Manifest::load(&dir).unwrap().commit(entry).unwrap();
}

fn config(more: &str) -> Config {
    let mut table: toml::Table = toml::from_str(ReverseDistill::DEFAULT_TOML).unwrap();
    table.insert("documents".into(), "crawl-clean".into());
    table.insert("decontaminate".into(), toml::Value::Array(vec![]));
    for (key, value) in toml::from_str::<toml::Table>(more).unwrap() {
        let merged = match (table.get_mut(&key).and_then(toml::Value::as_table_mut), value.as_table()) {
            (Some(old), Some(new)) => {
                old.extend(new.clone());
                true
            }
            _ => false,
        };
        if !merged {
            table.insert(key, value);
        }
    }
    let config: Config = table.try_into().unwrap();
    ReverseDistill::validate(&config).unwrap();
    config
}

fn context(run: &Path) -> StageContext {
    StageContext { config_dir: run.to_owned(), ..StageContext::for_tests(run, "reverse-distill") }
}

fn no_environment(_: &str) -> Option<String> {
    None
}

fn run(run_dir: &Path, config: &Config) -> Report {
    reverse_distill::run(&context(run_dir), config, &no_environment).unwrap()
}

fn pairs(run: &Path, index: u32) -> Vec<(String, String)> {
    rows::committed_pairs(&RunDir::new(run).stage("reverse-distill").data_shard(index)).unwrap()
}

fn has(pairs: &[(String, String)], question: &str, answer: &str) -> bool {
    pairs.iter().any(|(q, a)| q == question && a == answer)
}

/// Reason and text of every refused row.
fn refused(run: &Path, index: u32) -> Vec<(String, String)> {
    let reader = ShardReader::open(&RunDir::new(run).stage("reverse-distill").rejected_shard(index), &schema::rejected()).unwrap();
    let mut out = Vec::new();
    for batch in reader.batches(100).unwrap() {
        let batch = batch.unwrap();
        let (reasons, texts) = (columns::strings(&batch, "reason").unwrap(), columns::strings(&batch, "text").unwrap());
        out.extend((0..batch.num_rows()).map(|i| (reasons.value(i).to_owned(), texts.value(i).to_owned())));
    }
    out
}

/// Every file under the stage's data and rejected folders with its bytes.
fn bytes(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let dir = RunDir::new(run).stage("reverse-distill");
    let mut out = BTreeMap::new();
    for folder in [dir.data(), dir.rejected(), dir.transcript()] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            out.insert(dir.relative(&path), std::fs::read(&path).unwrap());
        }
    }
    out
}

#[test]
fn pairs_come_out_and_new_shards_only_add() {
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), 0, FIRST);
    let config = config("");
    let report = run(dir.path(), &config);
    assert_eq!((report.inputs_done, report.inputs_skipped), (1, 0));
    assert!(report.notes.iter().any(|n| n == NO_LLM));
    let first = pairs(dir.path(), 0);
    assert!(has(&first, "What is the capital of Peru?", "Lima") && has(&first, "秘鲁的首都是哪里？", "利马"), "{first:?}");
    assert!(has(&first, "金的化学符号是什么？", "Au") && has(&first, "What is the highest mountain in Peru?", "Huascarán"), "{first:?}");
    assert!(!first.iter().any(|(q, _)| q.contains("Spain")), "two rivers, one vote each");
    let reasons: Vec<String> = refused(dir.path(), 0).into_iter().map(|r| r.0).collect();
    assert_eq!(reasons.iter().filter(|r| *r == CONTESTED).count(), 2);
    assert!(reasons.iter().any(|r| r == "duplicate_question"));
    let before = bytes(dir.path());

    let again = run(dir.path(), &config);
    assert_eq!((again.inputs_done, again.inputs_skipped), (0, 1));

    commit(dir.path(), 1, SECOND);
    let more = run(dir.path(), &config);
    assert_eq!((more.inputs_done, more.inputs_skipped), (1, 1));
    let after = bytes(dir.path());
    assert!(before.iter().all(|(name, data)| after[name] == *data), "committed files did not change");
    let second = pairs(dir.path(), 1);
    assert_eq!(second, [("What is the capital of Kenya?".to_owned(), "Nairobi".to_owned())]);
    let reasons: Vec<String> = refused(dir.path(), 1).into_iter().map(|r| r.0).collect();
    for reason in ["duplicate_question", CONTESTED, "contradicted_answer"] {
        assert!(reasons.iter().any(|r| r == reason), "{reason} in {reasons:?}");
    }

    let whole = tempfile::tempdir().unwrap();
    commit(whole.path(), 0, FIRST);
    commit(whole.path(), 1, SECOND);
    run(whole.path(), &config);
    assert_eq!(bytes(whole.path()), after, "in one go or in two, the same bytes");
}

#[test]
fn a_changed_shard_redoes_what_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), 0, FIRST);
    commit(dir.path(), 1, SECOND);
    run(dir.path(), &config(""));
    commit(dir.path(), 0, &[("The capital of Cuba is Havana.", "en")]);
    let report = run(dir.path(), &config(""));
    assert_eq!(report.inputs_done, 2);
    assert!(has(&pairs(dir.path(), 1), "What is the capital of Peru?", "Lima"), "no longer a duplicate");
}

#[test]
fn threads_do_not_change_the_bytes() {
    let make = |threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        commit(dir.path(), 0, FIRST);
        commit(dir.path(), 1, SECOND);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(dir.path(), &config("")));
        bytes(dir.path())
    };
    assert_eq!(make(1), make(4));
}

#[test]
fn held_out_questions_stay_out_and_documents_are_untouched() {
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), 0, FIRST);
    let documents = std::fs::read(RunDir::new(dir.path()).stage("crawl-clean").data_shard(0)).unwrap();
    let row = |id: &str, question: &str, answer: &str, names: &[&str]| {
        serde_json::json!({"id": id, "task": "held", "language": "en", "question": question, "answer": answer, "subject_names": names})
            .to_string()
    };
    let rows = [row("1", "What is the capital city of Peru?", "Lima", &["Peru", "秘鲁"]), row("2", "金的符号？", "Au", &["gold", "金"])]
        .join("\n");
    std::fs::write(dir.path().join("held.jsonl"), rows).unwrap();
    let config = config("decontaminate = [\"held.jsonl\"]");
    let report = run(dir.path(), &config);
    let kept = pairs(dir.path(), 0);
    assert_eq!(kept, [("What is the capital of Chile?".to_owned(), "Santiago".to_owned())]);
    assert!(report.notes.iter().any(|n| n.contains("subject 5")), "{:?}", report.notes);
    let manifest = Manifest::load(&RunDir::new(dir.path()).stage("reverse-distill")).unwrap();
    assert_eq!(manifest.summary().counts["rejected_held_out_subject"], 5);
    assert_eq!(std::fs::read(RunDir::new(dir.path()).stage("crawl-clean").data_shard(0)).unwrap(), documents);

    let wrong = Config { decontaminate_tasks: vec!["other".into()], ..config.clone() };
    let error = reverse_distill::run(&context(dir.path()), &wrong, &no_environment).unwrap_err();
    assert!(matches!(error, Error::NothingHeldOut { .. }) && error.exit() == Exit::Usage, "{error}");
    // Other rows held out: the unit is done again.
    std::fs::write(dir.path().join("held.jsonl"), row("1", "Chile?", "x", &["Chile"])).unwrap();
    assert_eq!(run(dir.path(), &config).inputs_done, 1);
    assert!(has(&pairs(dir.path(), 0), "What is the capital of Peru?", "Lima"));
}

#[test]
fn missing_and_damaged_upstream_is_exit_3_and_others_are_done() {
    let dir = tempfile::tempdir().unwrap();
    let error = reverse_distill::run(&context(dir.path()), &config(""), &no_environment).unwrap_err();
    assert_eq!(error.exit(), Exit::Upstream);
    assert!(error.hint().unwrap().contains("crawl-clean"));
    commit(dir.path(), 0, FIRST);
    commit(dir.path(), 1, SECOND);
    let shard = RunDir::new(dir.path()).stage("crawl-clean").data_shard(0);
    let size = std::fs::metadata(&shard).unwrap().len() as usize;
    std::fs::write(&shard, vec![b'x'; size]).unwrap();
    let error = reverse_distill::run(&context(dir.path()), &config(""), &no_environment).unwrap_err();
    assert!(matches!(&error, Error::Units { failed: 1, units: 2, .. }), "{error}");
    assert_eq!(error.exit(), Exit::Upstream);
    assert!(has(&pairs(dir.path(), 1), "What is the capital of Peru?", "Lima"), "the other shard was done");
    // Mended: it is done, and what came after it is done again.
    commit(dir.path(), 0, FIRST);
    assert_eq!(run(dir.path(), &config("")).inputs_done, 2);
}

#[test]
fn limits_choose_the_same_documents_every_time() {
    let texts: Vec<String> = (0..40).map(|i| format!("The capital of Land{i} is Town{i}.")).collect();
    let documents: Vec<Row<'_>> = texts.iter().map(|t| (t.as_str(), "en")).collect();
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), 0, &documents[..20]);
    commit(dir.path(), 1, &documents[20..]);
    run(dir.path(), &config("max_documents = 25"));
    assert_eq!((pairs(dir.path(), 0).len(), pairs(dir.path(), 1).len()), (20, 5));
    let few = tempfile::tempdir().unwrap();
    commit(few.path(), 0, &documents[..20]);
    let limited = StageContext { limit: Some(0), ..context(few.path()) };
    assert_eq!(reverse_distill::run(&limited, &config(""), &no_environment).unwrap().inputs_done, 0);
    run(few.path(), &config("documents_share = 0.5"));
    assert!((3..17).contains(&pairs(few.path(), 0).len()));
}

#[test]
fn vanished_inputs_are_an_error_unless_pruned() {
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), 0, FIRST);
    commit(dir.path(), 1, SECOND);
    run(dir.path(), &config(""));
    Manifest::load(&RunDir::new(dir.path()).stage("crawl-clean")).unwrap().remove("shard-1").unwrap();
    let error = reverse_distill::run(&context(dir.path()), &config(""), &no_environment).unwrap_err();
    assert!(matches!(error, Error::Handoff(handoff::Error::Vanished { .. })));
    let pruning = StageContext { prune: true, ..context(dir.path()) };
    reverse_distill::run(&pruning, &config(""), &no_environment).unwrap();
    assert!(!RunDir::new(dir.path()).stage("reverse-distill").data_shard(1).exists());
}

const KEY: &str = "sk-not-for-disk";

/// A server that answers every prompt with `reply`, from 127.0.0.1; counts calls.
fn server(reply: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let turn = Mutex::new(());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _turn = turn.lock().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let n = counted.fetch_add(1, Ordering::SeqCst);
            let (status, body) = reply(n, &String::from_utf8(body).unwrap());
            let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    (url, calls)
}

fn completion(content: &str) -> String {
    serde_json::json!({"id": "r", "model": "m", "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}).to_string()
}

#[test]
fn an_endpoint_is_asked_once_per_document_and_its_replies_are_sifted() {
    let dir = tempfile::tempdir().unwrap();
    commit(
        dir.path(),
        0,
        &[
            ("The capital of Peru is Lima.", "en"),
            ("秘鲁的首都是利马。", "zh-Hans"),
            ("The capital of Chile is Santiago.", "en"),
            ("The capital of Cuba is Havana.", "en"),
        ],
    );
    // The second call fails until the server was restarted, so to say.
    let down = Arc::new(AtomicUsize::new(1));
    let broken = Arc::clone(&down);
    let (url, calls) = server(move |_, body| {
        if body.contains("Chile") && broken.load(Ordering::SeqCst) == 1 {
            (400, r#"{"error":{"message":"bad day"}}"#.into())
        } else if body.contains("Cuba") {
            (200, completion("Sorry, no JSON today"))
        } else if body.contains("秘鲁") {
            (
                200,
                completion(
                    r#"{"pairs":[{"question":"秘鲁的首都是哪里？","answer":"利马"},{"question":"What is the capital of Peru in Spanish?","answer":"利马"},{"question":"秘鲁的货币是什么？","answer":"索尔"}]}"#,
                ),
            )
        } else {
            let name = if body.contains("Chile") { ("Chile", "Santiago") } else { ("Peru", "Lima") };
            (200, completion(&format!(r#"{{"pairs":[{{"question":"Which city is the capital of {}?","answer":"{}"}}]}}"#, name.0, name.1)))
        }
    });
    let config = config(&format!(
        "teacher = \"openai\"\nmodel = \"m\"\nbase_url = \"{url}\"\n[budget]\nmax_requests = 20\n[request]\nthreads = 1\nmax_retries = 0"
    ));
    let env = |name: &str| (name == "OPENAI_API_KEY").then(|| KEY.to_owned());
    let error = reverse_distill::run(&context(dir.path()), &config, &env).unwrap_err();
    assert!(matches!(&error, Error::Units { source, .. } if matches!(**source, Error::Unanswered { count: 1, asked: 4, .. })), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    assert!(Manifest::load(&RunDir::new(dir.path()).stage("reverse-distill")).unwrap().units().is_empty());

    down.store(0, Ordering::SeqCst);
    let report = reverse_distill::run(&context(dir.path()), &config, &env).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 5, "only the one without an answer was asked again");
    assert_eq!(report.inputs_done, 1);
    let kept = pairs(dir.path(), 0);
    assert_eq!(kept.len(), 3, "{kept:?}");
    let mut reasons: Vec<String> = refused(dir.path(), 0).into_iter().map(|r| r.0).collect();
    reasons.sort();
    assert_eq!(reasons, ["malformed_reply", "not_in_document", "other_language"]);

    let other = Config { min_question_chars: 7, ..config.clone() };
    let redo = StageContext { config_digest: Digest::of_bytes(b"other"), ..context(dir.path()) };
    assert_eq!(reverse_distill::run(&redo, &other, &env).unwrap().inputs_done, 1);
    assert_eq!(calls.load(Ordering::SeqCst), 5, "another filter asks nothing");
    for (name, data) in bytes(dir.path()) {
        assert!(!data.windows(KEY.len()).any(|w| w == KEY.as_bytes()), "the key is in {name}");
    }
}

#[test]
fn a_cap_stops_the_stage_and_a_higher_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..5).map(|i| format!("The capital of Land{i} is Town{i}.")).collect();
    commit(dir.path(), 0, &texts.iter().map(|t| (t.as_str(), "en")).collect::<Vec<_>>());
    let (url, calls) = server(|_, _| (200, completion(r#"{"pairs":[]}"#)));
    let make = |cap: u64| {
        config(&format!(
            "teacher = \"openai\"\nmodel = \"m\"\nbase_url = \"{url}\"\n[budget]\nmax_requests = {cap}\n[request]\nthreads = 1"
        ))
    };
    let error = reverse_distill::run(&context(dir.path()), &make(3), &no_environment).unwrap_err();
    assert!(matches!(error, Error::Teacher { source: teacher::Error::Budget { .. }, .. }));
    assert!(error.hint().unwrap().contains("budget.max_requests"));
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    reverse_distill::run(&context(dir.path()), &make(5), &no_environment).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 5);
}

#[test]
fn workers_ask_and_one_run_commits() {
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), 0, &[("The capital of Peru is Lima.", "en")]);
    commit(dir.path(), 1, &[("The capital of Chile is Santiago.", "en")]);
    let (url, calls) = server(|_, body| {
        let (land, town) = if body.contains("Peru") { ("Peru", "Lima") } else { ("Chile", "Santiago") };
        (200, completion(&format!(r#"{{"pairs":[{{"question":"What is the capital of {land}?","answer":"{town}"}}]}}"#)))
    });
    let config = config(&format!("teacher = \"openai\"\nmodel = \"m\"\nbase_url = \"{url}\"\n[budget]\nmax_requests = 20"));
    for index in 0..2 {
        let ctx = StageContext { worker: stage::Worker { index, count: 2 }, ..context(dir.path()) };
        reverse_distill::run(&ctx, &config, &no_environment).unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let report = reverse_distill::run(&context(dir.path()), &config, &no_environment).unwrap();
    assert_eq!((report.inputs_done, calls.load(Ordering::SeqCst)), (2, 2));
}

#[test]
fn settings_without_effect_or_without_a_cap_are_refused() {
    let base = config("");
    let key = |config: &Config| ReverseDistill::validate(config).unwrap_err().key;
    assert_eq!(key(&Config { model: Some("m".into()), ..base.clone() }), "model");
    assert_eq!(key(&Config { languages: vec!["fr".into()], ..base.clone() }), "languages");
    assert_eq!(key(&Config { documents_share: 1.5, ..base.clone() }), "documents_share");
    assert_eq!(key(&Config { decontaminate_tasks: vec!["t".into()], ..base.clone() }), "decontaminate_tasks");
    let openai = Config { teacher: TeacherKind::Openai, ..base };
    assert_eq!(key(&openai), "model");
    assert_eq!(key(&Config { model: Some("m".into()), ..openai }), "budget");
}
