//! The stage on two small models with random weights: rows, results, report, and what a rerun does again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eval::results::{ResultRow, find};
use eval::{Config, Eval};
use handoff::schema::{self, TokenWidth};
use handoff::{Digest, Manifest, ShardMeta, ShardWriter, StageDir, UnitEntry, UnitKey, columns};
use model::{Model, Options};
use serde_json::{Value, json};
use stage::{Report, Stage, StageContext};

const SPECIAL: [&str; 6] = ["<|endoftext|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"];

/// The 256 characters that byte-level tokenizers write for bytes: printable Latin-1 as it is, the rest from U+0100 on.
fn byte_letters() -> Vec<char> {
    let plain = |b: u32| (33..=126).contains(&b) || (161..=172).contains(&b) || (174..=255).contains(&b);
    let mut next = 256;
    (0..256)
        .map(|b| {
            let code = if plain(b) { b } else { next };
            next += u32::from(!plain(b));
            char::from_u32(code).unwrap()
        })
        .collect()
}

/// One token a byte, and the special tokens.
fn write_tokenizer(dir: &Path) {
    let mut vocab: BTreeMap<String, usize> = SPECIAL.iter().enumerate().map(|(i, t)| ((*t).to_owned(), i)).collect();
    vocab.extend(byte_letters().into_iter().enumerate().map(|(i, c)| (c.to_string(), i + SPECIAL.len())));
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, content)| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}))
        .collect();
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null, "pre_tokenizer": level,
        "post_processor": null, "decoder": level, "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": []}});
    fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config =
        json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[0], "bos_token": SPECIAL[0], "pad_token": SPECIAL[1]});
    fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
    fs::write(dir.join("chat_template.jinja"), text::template::PLAIN).unwrap();
}

fn write_model(stage: &StageDir, seed: u64) {
    let dir = stage.model();
    fs::create_dir_all(&dir).unwrap();
    let mut config = model::Config::llama(320, 64, 1, 1);
    config.max_position_embeddings = 128;
    Model::new(config, seed, &Options::cpu()).unwrap().save(&dir).unwrap();
    write_tokenizer(&dir);
}

fn write_tasks(dir: &Path) {
    for split in ["seen", "heldout"] {
        let row = |i: usize| {
            let (language, question, answer) = if i.is_multiple_of(2) {
                ("en", format!("What is the capital of {split} {i}?"), format!("City{}", i % 5))
            } else {
                ("zh", format!("{split}{i}的首都是哪里？"), format!("城{}", i % 5))
            };
            json!({"id": format!("{split}/{i}/{language}"), "task": format!("w_{split}"), "language": language, "relation": "capital", "subject": (i / 2).to_string(),
                "question": question, "answer": answer, "answers": [answer], "answer_type": "city"})
            .to_string()
        };
        fs::write(dir.join(format!("{split}.jsonl")), (0..20).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    }
}

/// Four validation rows of two document parts each, committed as `shard` would.
fn write_samples(stage: &StageDir) {
    let table = schema::samples(TokenWidth::U16);
    let rows: Vec<Vec<u32>> = (0..4).map(|i| (0..33).map(|t| 6 + (t * 7 + i) % 256).collect()).collect();
    let columns: Vec<arrow::array::ArrayRef> = vec![
        std::sync::Arc::new(arrow::array::StringArray::from_iter_values((0..4).map(|i| format!("v{i}")))),
        columns::build_tokens(TokenWidth::U16, &rows),
        columns::build_list::<arrow::datatypes::Int32Type>(&vec![vec![0, 10]; 4]),
        columns::build_string_list(&vec![vec!["a", "b"]; 4]),
        columns::build_list::<arrow::datatypes::Int64Type>(&vec![vec![0, 0]; 4]),
        std::sync::Arc::new(arrow::array::Int64Array::from(vec![32; 4])),
    ];
    let mut writer = ShardWriter::create(&stage.split_shard("validation", 0), &table, &ShardMeta::default()).unwrap();
    writer.write(&arrow::array::RecordBatch::try_new(table.arrow.clone(), columns).unwrap()).unwrap();
    let output = writer.finish(stage).unwrap();
    let d = Digest::of_bytes(b"");
    let key = UnitKey { input_digest: d, config_digest: d, format_version: 1 };
    let entry = UnitEntry {
        unit: "u".into(),
        batch: 0,
        index: 0,
        key,
        outputs: vec![output],
        rejected: vec![],
        counts: BTreeMap::new(),
        wall_secs: 0.0,
    };
    Manifest::load(stage).unwrap().commit(entry).unwrap();
}

struct World {
    dir: tempfile::TempDir,
    ctx: StageContext,
}

const CONFIG: &str = r#"
tasks = ["seen.jsonl", "heldout.jsonl"]
validation = "shard"
max_new_tokens = 6
models = [
  { name = "untrained", from = "pretrain", random = true },
  { name = "base", from = "pretrain" },
  { name = "tuned", from = "sft/lora" },
]
"#;

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ctx =
            StageContext { config_dir: dir.path().to_owned(), seed: 3, ..StageContext::for_tests(&dir.path().join("runs/t"), "eval") };
        write_model(&ctx.run.stage("pretrain"), 1);
        write_model(&ctx.run.variant("sft", "lora"), 2);
        write_tasks(dir.path());
        write_samples(&ctx.run.stage("shard"));
        Self { dir, ctx }
    }

    /// The configuration as a binary would load it: defaults below, `CONFIG` and `extra` above.
    fn config(&self, extra: &str) -> Config {
        let path = self.dir.path().join("p.toml");
        fs::write(&path, format!("run = \"t\"\n[stage.eval]\n{CONFIG}{extra}\n")).unwrap();
        stage::config::load(&path, Eval::NAME, Eval::DEFAULT_TOML, false, &[], Eval::validate).unwrap().config
    }

    fn run(&self, extra: &str) -> Report {
        Eval::run(&self.ctx, &self.config(extra)).unwrap()
    }

    fn results(&self) -> Vec<ResultRow> {
        serde_json::from_slice(&fs::read(self.ctx.stage_dir.results_json()).unwrap()).unwrap()
    }

    fn report(&self) -> String {
        fs::read_to_string(self.ctx.stage_dir.report_html()).unwrap()
    }
}

#[test]
fn every_model_is_measured_on_every_task_once() {
    let w = World::new();
    let first = w.run("");
    // Three models on two tasks, the questions of the default configuration, and validation.
    assert_eq!((first.inputs_done, first.inputs_skipped), (12, 0));
    let results = w.results();
    for model in ["untrained", "base", "tuned"] {
        for (task, n) in [("w_seen", 20), ("w_heldout", 20), ("w_heldout_en", 10), ("w_heldout_zh", 10)] {
            let row = find(&results, model, task, "exact_match").unwrap();
            assert_eq!((row.num_samples, row.majority), (n, Some(0.2)), "{model} {task}");
            assert!(row.chance.is_some_and(|c| (c - 0.2).abs() < 1e-12), "{row:?}");
            assert!(find(&results, model, task, "in_type_rate").is_some() && find(&results, model, task, "stop_rate").is_some());
        }
        let bits = find(&results, model, "validation", "bits_per_byte").unwrap();
        // A random model over 320 tokens, one a byte, needs about log2(320) = 8.3 bits.
        assert!((7.5..9.5).contains(&bits.value) && bits.num_samples == 4, "{bits:?}");
    }
    let page = w.report();
    for outside in ["http://", "https://", "<script", "<link", "<img", "url("] {
        assert!(!page.contains(outside), "the page contains {outside}");
    }
    assert!(page.contains("What is the capital of France?") && page.contains("中国最高的山是什么？"));
    let text = first.text.unwrap();
    assert!(text.contains("w_heldout: 20 questions") && text.contains("bits per byte on 4 validation samples"), "{text}");

    let second = w.run("");
    assert_eq!((second.inputs_done, second.inputs_skipped), (0, 12));
    assert_eq!(second.text.as_deref(), Some(text.as_str()));
    assert_eq!(w.report(), page);
}

#[test]
fn a_change_redoes_what_it_touches() {
    let w = World::new();
    w.run("");
    let before = w.results();
    write_model(&w.ctx.run.variant("sft", "lora"), 9);
    let dry = Eval::dry_run(&w.ctx, &w.config("")).unwrap();
    assert_eq!((dry.todo.len(), dry.skip), (4, 8));
    assert!(dry.todo.iter().all(|u| u.unit.starts_with("tuned.") && u.why.contains("model")), "{dry:?}");
    assert_eq!(w.run("").inputs_done, 4);
    let bits = |rows: &[ResultRow], m| find(rows, m, "validation", "bits_per_byte").unwrap().value;
    assert_ne!(bits(&before, "tuned"), bits(&w.results(), "tuned"));
    assert_eq!(bits(&before, "base"), bits(&w.results(), "base"));

    let mut lines = fs::read_to_string(w.dir.path().join("heldout.jsonl")).unwrap();
    lines = lines.replace("heldout 0?", "heldout zero?");
    fs::write(w.dir.path().join("heldout.jsonl"), lines).unwrap();
    assert_eq!(w.run("").inputs_done, 3, "one task, three models");
    assert_eq!(w.run("batch_tokens = 64").inputs_done, 12, "settings reach every unit");
}

#[test]
fn batches_do_not_change_answers() {
    let w = World::new();
    w.run("batch_tokens = 4096");
    let together = rows(&w);
    w.run("batch_tokens = 1");
    assert_eq!(together, rows(&w));
}

/// Prompt and completion of every answer.
fn rows(w: &World) -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    for model in ["untrained", "base", "tuned"] {
        for task in ["w_seen", "w_heldout", "questions"] {
            let path = w.ctx.stage_dir.data().join(format!("{model}.{task}.parquet"));
            out.extend(eval::rows::read(&path).unwrap().into_iter().map(|r| (r.model, r.prompt, r.completion)));
        }
    }
    assert_eq!(out.len(), 3 * (20 + 20 + 8));
    out
}

#[test]
fn what_is_missing_is_named() {
    let w = World::new();
    let fails = |extra: &str| Eval::run(&w.ctx, &w.config(extra)).unwrap_err();
    fs::remove_dir_all(w.ctx.run.variant("sft", "lora").model()).unwrap();
    let e = fails("");
    assert_eq!(e.exit(), stage::Exit::Upstream);
    assert!(e.to_string().contains("model `tuned` has no") && e.hint().unwrap().contains("run `sft` first"), "{e}");
    write_model(&w.ctx.run.variant("sft", "lora"), 2);
    fs::remove_file(w.ctx.run.variant("sft", "lora").model().join("chat_template.jinja")).unwrap();
    let e = fails("");
    assert!(e.exit() == stage::Exit::Usage && e.to_string().contains("tokenizer of model `tuned`"), "{e}");
    for (file, bytes, exit, hint) in [
        ("model.safetensors", "cut off", stage::Exit::Upstream, "from again"),
        ("config.json", "{\"model_type\": \"gpt2\"}", stage::Exit::Usage, "config.json"),
    ] {
        write_model(&w.ctx.run.variant("sft", "lora"), 2);
        fs::write(w.ctx.run.variant("sft", "lora").model().join(file), bytes).unwrap();
        let e = fails("");
        assert!(e.exit() == exit && e.to_string().contains("model `tuned`") && e.hint().unwrap().contains(hint), "{e}: {:?}", e.causes());
    }
    write_model(&w.ctx.run.variant("sft", "lora"), 2);
    fs::write(w.dir.path().join("seen.jsonl"), "{\"question\": 3}\n").unwrap();
    let e = fails("");
    assert!(e.exit() == stage::Exit::Usage && e.to_string().contains("seen.jsonl"), "{e}");
}

#[test]
fn part_of_the_units_leaves_the_report_for_later() {
    let mut w = World::new();
    w.ctx.limit = Some(2);
    let part = w.run("");
    assert!(part.inputs_done == 2 && part.text.is_none() && part.notes[0].contains("10 of 12"), "{part:?}");
    w.ctx.limit = None;
    assert_eq!(w.run("").inputs_done, 10);
    assert!(w.ctx.stage_dir.results_json().exists());
}
