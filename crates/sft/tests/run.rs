//! The stage as a user runs it: the built binary on a small run directory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../train/tests/support/mod.rs"]
mod support;

use std::fs;

use arrow::array::StringArray;
use handoff::{Digest, ShardReader, columns, schema};
use support::{Bench, metric, result_digests, write_tokenizer};

const STEPS: u64 = 30;

const PIPELINE: &str = r#"
[stage.tokenize]
[stage.sft]
pairs = "pairs"
tokenizer = "tokenize"
init_from = "base"
steps = 30
batch_rows = 8
learning_rate = 3e-3
warmup_steps = 2
save_every = 7
log_every = 1
validation_share = 0.1
max_tokens = 80
threads = 1
device = "cpu"
precision = "fp32"

[stage.sft.variant.lora]
method = "lora"
learning_rate = 1e-2

[stage.sft.variant.lora.lora]
r = 2
alpha = 4.0

[stage.sft.variant.only]
init_from = "random"
shape_from = "base"
"#;

const CAPITALS: [(&str, &str); 6] =
    [("France", "Paris"), ("日本", "东京"), ("Peru", "Lima"), ("中国", "北京"), ("Norway", "Oslo"), ("埃及", "开罗")];

fn line(i: usize) -> String {
    let (country, capital) = CAPITALS[i % CAPITALS.len()];
    let question = if country.is_ascii() { format!("{i}: capital of {country}?") } else { format!("{i}:{country}的首都?") };
    let messages = serde_json::json!([{"role": "user", "content": question}, {"role": "assistant", "content": capital}]);
    serde_json::json!({"id": format!("p{i}"), "source_document_id": format!("d{i}"), "messages": messages}).to_string()
}

fn bench(runs: &[&str]) -> Bench {
    let bench = Bench::new(env!("CARGO_BIN_EXE_sft"), PIPELINE);
    let base = bench.dir.path().join("base");
    fs::create_dir(&base).unwrap();
    let config = model::Config { max_position_embeddings: 128, ..model::Config::llama(320, 32, 2, 2) };
    model::Model::new(config, 3, &model::Options::cpu()).unwrap().save(&base).unwrap();
    let pairs = bench.dir.path().join("pairs");
    fs::create_dir(&pairs).unwrap();
    let lines: Vec<String> = (0..60).map(line).collect();
    fs::write(pairs.join("00.jsonl"), lines.join("\n")).unwrap();
    for run in runs {
        write_tokenizer(&bench.run(run).stage("tokenize").tokenizer_dir());
    }
    bench
}

#[test]
fn all_variants_learn_and_write_what_they_promise() {
    let bench = bench(&["a"]);
    let ran = bench.go("a", &[]).expect(0);
    assert!(ran.stderr.contains("adapter beside"), "{}", ran.stderr);
    let run = bench.run("a");
    for (stage, has_adapter) in [(run.stage("sft"), false), (run.variant("sft", "lora"), true), (run.variant("sft", "only"), false)] {
        let losses = metric(&stage.metrics_jsonl(), "train/loss");
        // A small adapter on random, frozen embeddings can learn little; all weights can learn much.
        let expected = if has_adapter { losses[&1] - 0.03 } else { losses[&1] * 0.8 };
        assert!(losses[&STEPS] < expected, "{}: {losses:?}", stage.name());
        assert!(metric(&stage.metrics_jsonl(), "validation/loss").contains_key(&STEPS), "{}", stage.name());
        for name in ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"] {
            assert!(stage.model().join(name).exists(), "{} {name}", stage.name());
        }
        assert_eq!(stage.adapter().join("adapter_model.safetensors").exists(), has_adapter);
        model::Model::load(&stage.model(), &model::Options::cpu()).unwrap();
    }
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(run.variant("sft", "lora").adapter().join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!((config["r"].as_i64(), config["peft_type"].as_str()), (Some(2), Some("LORA")));
    bench.go("a", &[]).expect(0).says("nothing to do");
}

#[test]
fn interrupted_and_resumed_equals_uninterrupted_with_all_weights_and_with_lora() {
    let bench = bench(&["whole", "cut"]);
    bench.go("whole", &[]).expect(0);
    let (mut stopped, mut killed) = (0, 0);
    for (variant, step, signal) in [
        (None, 4, "TERM"),
        (None, 11, "KILL"),
        (None, 20, "TERM"),
        (Some("lora"), 5, "KILL"),
        (Some("lora"), 12, "TERM"),
        (Some("lora"), 18, "KILL"),
    ] {
        let stage = variant.map_or(bench.run("cut").stage("sft"), |v| bench.run("cut").variant("sft", v));
        let (at, ran) = bench.interrupt("cut", &stage.metrics_jsonl(), step, signal);
        match (at, ran.code) {
            (None, _) | (_, 0) => {}
            (_, 130) => stopped += 1,
            _ => killed += 1,
        }
    }
    assert!(stopped >= 1 && killed >= 1, "too few interruptions took effect: {stopped} stopped, {killed} killed");
    bench.go("cut", &[]).expect(0);
    for run in ["whole", "cut"] {
        bench.go(run, &[]).expect(0).says("nothing to do");
    }
    for variant in [None, Some("lora"), Some("only")] {
        let of = |run: &str| variant.map_or(bench.run(run).stage("sft"), |v| bench.run(run).variant("sft", v));
        assert_eq!(result_digests(&of("cut"), STEPS), result_digests(&of("whole"), STEPS), "{variant:?}");
    }
}

#[test]
fn bad_conversations_are_rejected_with_reasons() {
    let bench = bench(&["a"]);
    let pairs = bench.dir.path().join("pairs");
    let long = serde_json::json!({"id": "long", "messages": [{"role": "user", "content": "x".repeat(200)}, {"role": "assistant", "content": "y"}]});
    let silent = serde_json::json!({"id": "silent", "messages": [{"role": "user", "content": "hello?"}]});
    fs::write(pairs.join("01.jsonl"), format!("{long}\n{silent}\n{{\"messages\": 1}}\n")).unwrap();
    let text: String = PIPELINE.split("\n[stage.sft.variant").next().unwrap().to_owned();
    fs::write(bench.dir.path().join("p.toml"), format!("run = \"t\"\nseed = 7\n{text}")).unwrap();
    bench.go("a", &[]).expect(0).says("1 conversation(s) rejected: too_long");
    let stage = bench.run("a").stage("sft");
    let reader = ShardReader::open(&stage.rejected_shard(0), &schema::rejected()).unwrap();
    let batch = reader.batches(10).unwrap().next().unwrap().unwrap();
    let values = |array: &StringArray| array.iter().map(|v| v.unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(columns::strings(&batch, "reason").unwrap()), ["too_long", "no_target", "bad_row"]);
    assert_eq!(columns::f64s(&batch, "threshold").unwrap().value(0), 80.0);

    fs::write(pairs.join("00.jsonl"), "").unwrap();
    bench.go("a", &[]).expect(3).says("no conversation is left").says("rejected/");
}

#[test]
fn changed_data_restarts_unless_told_otherwise() {
    let bench = bench(&["a"]);
    let text: String = PIPELINE.split("\n[stage.sft.variant").next().unwrap().to_owned();
    fs::write(bench.dir.path().join("p.toml"), format!("run = \"t\"\nseed = 7\n{text}")).unwrap();
    bench.go("a", &[]).expect(0);
    let stage = bench.run("a").stage("sft");
    let before = Digest::of_file(&stage.model().join("model.safetensors")).unwrap();
    let lines: Vec<String> = (60..80).map(line).collect();
    fs::write(bench.dir.path().join("pairs/01.jsonl"), lines.join("\n")).unwrap();
    bench.go("a", &["--set", "stage.sft.on_new_data=\"refuse\""]).expect(1).says("`on_new_data` is `refuse`");
    assert_eq!(Digest::of_file(&stage.model().join("model.safetensors")).unwrap(), before);
    bench.go("a", &["--set", "stage.sft.on_new_data=\"continue\""]).expect(0).says("phase 2");
    assert!(*metric(&stage.metrics_jsonl(), "train/loss").keys().next_back().unwrap() > STEPS);
    fs::write(bench.dir.path().join("pairs/00.jsonl"), line(1)).unwrap();
    bench.go("a", &[]).expect(0).says("training starts again");
    assert_eq!(metric(&stage.metrics_jsonl(), "train/loss").len() as u64, STEPS);
}

#[test]
fn misuse_gets_its_exit_code_and_a_hint() {
    let bench = bench(&["a"]);
    let text: String = PIPELINE.split("\n[stage.sft.variant").next().unwrap().to_owned();
    fs::write(bench.dir.path().join("p.toml"), format!("run = \"t\"\nseed = 7\n{text}")).unwrap();
    let go = |set: &str| bench.go("a", &["--set", set]);
    go("stage.sft.max_tokens=500").expect(2).says("`max_tokens` is 500").says("at most 128");
    go("stage.sft.init_from=\"random\"").expect(2).says("shape_from");
    go("stage.sft.shape_from=\"base\"").expect(2).says("would be ignored");
    bench
        .go("a", &["--set", "stage.sft.method=\"lora\"", "--set", "stage.sft.lora.targets=[\"w_proj\"]"])
        .expect(2)
        .says("w_proj")
        .says("q_proj");
    go("stage.sft.pairs=\"base\"").expect(2).says("no .parquet or .jsonl").says("hint:");
    let small = bench.dir.path().join("small");
    fs::create_dir(&small).unwrap();
    model::Model::new(model::Config::llama(100, 16, 1, 2), 1, &model::Options::cpu()).unwrap().save(&small).unwrap();
    go("stage.sft.init_from=\"small\"").expect(2).says("needs 264 ids").says("has 100");
}
