//! The whole chain on the reduced crawl, through the real binaries: crawl to answers, nothing to do the second time,
//! and only the new work when a file is added.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use handoff::RunDir;
use testkit::{Ran, tree, workspace};

/// A pipeline file in `dir` over the crawl in `dir/crawl`, with models small enough for seconds.
fn write_pipeline(dir: &Path) {
    let heldout = workspace().join("fixtures/world_qa/heldout.jsonl");
    let seen = workspace().join("fixtures/world_qa/seen.jsonl");
    let text = format!(
        r#"
run = "chain"
seed = 7
[stage.crawl-clean]
inputs = ["crawl"]
[stage.tokenize]
inputs = ["crawl-clean"]
vocab_size = 512
[stage.shard]
inputs = ["tokenize"]
seq_len = 32
validation_share = 0.1
[stage.pretrain]
inputs = "shard"
tokenizer = "tokenize"
hidden_size = 32
num_layers = 2
num_heads = 2
batch_rows = 8
steps = 6
threads = 1
on_new_data = "continue"
[stage.reverse-distill]
documents = "crawl-clean"
decontaminate = ['{heldout}']
[stage.sft]
pairs = "reverse-distill"
tokenizer = "tokenize"
init_from = "pretrain"
steps = 4
threads = 1
[stage.sft.variant.lora]
method = "lora"
[stage.eval]
tasks = ['{seen}', '{heldout}']
validation = "shard"
max_new_tokens = 4
models = [{{ name = "pretrain", from = "pretrain" }}, {{ name = "sft", from = "sft" }}, {{ name = "sft-lora", from = "sft/lora" }}]
"#,
        heldout = heldout.display(),
        seen = seen.display(),
    );
    std::fs::write(dir.join("chain.toml"), text).unwrap();
}

fn pipeline(dir: &Path, args: &[&str]) -> Ran {
    testkit::run(dir, "pipeline", &[&["--config", "chain.toml"], args].concat())
}

fn parquet(files: &BTreeMap<String, String>) -> BTreeMap<&String, &String> {
    files.iter().filter(|(name, _)| name.ends_with(".parquet")).collect()
}

#[test]
fn from_crawl_to_answers_again_and_with_more() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let crawl = dir.join("crawl");
    std::fs::create_dir(&crawl).unwrap();
    for entry in std::fs::read_dir(workspace().join("fixtures/reduced")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, crawl.join(path.file_name().unwrap())).unwrap();
    }
    write_pipeline(dir);

    let dry = pipeline(dir, &["--dry-run"]).expect(0);
    assert!(!dir.join("runs/chain/crawl-clean/data").exists(), "a dry run writes nothing: {}", dry.stdout());
    pipeline(dir, &[]).expect(0);
    let run = RunDir::new(dir.join("runs/chain"));
    for stage in ["crawl-clean", "tokenize", "shard", "reverse-distill"] {
        let summary = handoff::Manifest::load(&run.stage(stage)).unwrap().summary();
        assert!(summary.rows > 0, "{stage} left no rows: {summary:?}");
    }
    for model in [run.stage("pretrain"), run.stage("sft"), run.variant("sft", "lora")] {
        assert!(model.model().join("model.safetensors").exists(), "{}", model.name());
    }
    assert!(run.variant("sft", "lora").adapter().join("adapter_model.safetensors").exists());
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(run.stage("eval").results_json()).unwrap()).unwrap();
    let text = results.to_string();
    for wanted in ["world_qa_seen", "world_qa_heldout_zh", "exact_match", "in_type_rate", "bits_per_byte", "sft-lora"] {
        assert!(text.contains(wanted), "results.json lacks `{wanted}`");
    }
    let report = std::fs::read_to_string(run.stage("eval").report_html()).unwrap();
    assert!(!report.contains("src=\"http") && !report.contains("href=\"http"), "the report loads nothing from elsewhere");

    let trace = testkit::run(dir, "shard", &["trace", "--config", "chain.toml", "train-00000-000000", "--pairs"]).expect(0);
    assert!(trace.stdout().contains("<|endoftext|> → "), "{}", trace.stdout());

    let before = tree(run.path());
    let again = pipeline(dir, &[]).expect(0);
    assert_eq!(tree(run.path()), before, "a second run changes nothing: {}", again.stderr());

    std::fs::copy(workspace().join("fixtures/extra/extra.warc.gz"), crawl.join("zz-extra.warc.gz")).unwrap();
    testkit::run(dir, "crawl-clean", &["--config", "chain.toml"]).expect(0);
    pipeline(dir, &[]).expect(0);
    let after = tree(run.path());
    for stage in ["crawl-clean/data", "tokenize/data", "shard/data", "reverse-distill/data"] {
        let (old, new) = (parquet(&before), parquet(&after));
        let of_stage = |m: &BTreeMap<&String, &String>| {
            m.iter().filter(|(n, _)| n.starts_with(stage)).map(|(n, d)| ((*n).clone(), (*d).clone())).collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (of_stage(&old), of_stage(&new));
        assert!(new.len() > old.len(), "{stage}: the new file gave no new shard");
        for (name, digest) in &old {
            assert_eq!(new.get(name), Some(digest), "{name} changed");
        }
    }

    std::fs::remove_file(crawl.join("zz-extra.warc.gz")).unwrap();
    let gone = testkit::run(dir, "crawl-clean", &["--config", "chain.toml"]).expect(2);
    assert!(gone.stderr().contains("--prune"), "{}", gone.stderr());
}

#[test]
fn mistakes_are_told_with_the_right_exit_code() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    write_pipeline(dir);
    let missing = testkit::run(dir, "tokenize", &["--config", "chain.toml"]).expect(3);
    assert!(missing.stderr().contains("crawl-clean"), "{}", missing.stderr());
    let text = std::fs::read_to_string(dir.join("chain.toml")).unwrap().replace("seq_len", "sequence_length");
    std::fs::write(dir.join("chain.toml"), text).unwrap();
    let typo = testkit::run(dir, "shard", &["--config", "chain.toml"]).expect(2);
    assert!(typo.stderr().contains("sequence_length") && typo.stderr().contains("^^^"), "{}", typo.stderr());
    let no_file = testkit::run(dir, "shard", &["--config", "nothing.toml"]).expect(2);
    assert!(no_file.stderr().contains("nothing.toml") && no_file.stderr().contains("hint: "), "{}", no_file.stderr());
    testkit::run(dir, "shard", &["--no-such-flag"]).expect(2);
    for stage in ["crawl-clean", "tokenize", "shard", "pretrain", "reverse-distill", "sft", "eval", "pipeline"] {
        let help = testkit::run(dir, stage, &["--help"]).expect(0);
        assert!(help.stdout().contains("--config") && !help.stdout().starts_with("Flags shared"), "{stage}: {}", help.stdout());
    }
}
