//! The stage as a user runs it: the built binary on a small run directory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../train/tests/support/mod.rs"]
mod support;

use support::{Bench, checkpoints, last_step, metric, result_digests, sentences, write_shard, write_tokenizer};

const STEPS: u64 = 40;

const PIPELINE: &str = r#"
[stage.tokenize]
[stage.shard]
[stage.pretrain]
inputs = "shard"
tokenizer = "tokenize"
hidden_size = 32
num_layers = 2
num_heads = 2
steps = 40
batch_rows = 8
warmup_steps = 4
save_every = 7
eval_every = 10
log_every = 1
threads = 2
device = "cpu"
precision = "fp32"
"#;

fn bench(runs: &[&str]) -> Bench {
    let bench = Bench::new(env!("CARGO_BIN_EXE_pretrain"), PIPELINE);
    for run in runs {
        let run = bench.run(run);
        let tokenizer = write_tokenizer(&run.stage("tokenize").tokenizer_dir());
        write_shard(&run, &tokenizer, 0, 64, &sentences(0, 60));
    }
    bench
}

#[test]
fn interrupted_by_either_signal_and_resumed_equals_uninterrupted() {
    let bench = bench(&["whole", "cut"]);
    bench.go("whole", &[]).expect(0);
    let whole = result_digests(&bench.run("whole").stage("pretrain"), STEPS);

    let stage = bench.run("cut").stage("pretrain");
    let (mut stopped, mut killed) = (0, 0);
    for (step, signal) in [(3, "TERM"), (9, "KILL"), (12, "INT"), (16, "KILL"), (23, "TERM"), (30, "KILL")] {
        let (at, ran) = bench.interrupt("cut", &stage.metrics_jsonl(), step, signal);
        if at.is_none() || ran.code == 0 {
            continue;
        }
        match signal {
            "KILL" => {
                assert_eq!(ran.code, -1, "{}", ran.stderr);
                killed += 1;
            }
            _ => {
                ran.expect(130).says("the checkpoint is saved");
                stopped += 1;
            }
        }
        assert!(!stage.model().exists(), "no model before the end");
    }
    assert!(stopped >= 2 && killed >= 2, "too few interruptions took effect: {stopped} stopped, {killed} killed");
    bench.go("cut", &[]).expect(0).says("same recipe and data");
    assert_eq!(result_digests(&stage, STEPS), whole, "weights and optimizer state, bit for bit");
    let losses = metric(&stage.metrics_jsonl(), "train/loss");
    assert_eq!(losses.len() as u64, STEPS, "each step once, however often it was done");
    assert_eq!(losses, metric(&bench.run("whole").stage("pretrain").metrics_jsonl(), "train/loss"));
}

#[test]
fn it_learns_and_a_second_run_does_nothing() {
    let bench = bench(&["a"]);
    bench.go("a", &["--dry-run"]).expect(0).says("training starts");
    bench.go("a", &[]).expect(0);
    let stage = bench.run("a").stage("pretrain");
    let losses = metric(&stage.metrics_jsonl(), "train/loss");
    assert!(losses[&1] > 5.0 && losses[&STEPS] < 4.0, "from ln 320 = 5.8 down: {losses:?}");
    let bits = metric(&stage.metrics_jsonl(), "validation/bits_per_byte");
    assert_eq!(bits.keys().copied().collect::<Vec<_>>(), [10, 20, 30, 40]);
    assert!(bits[&40] < bits[&10]);
    for name in ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"] {
        assert!(stage.model().join(name).exists(), "{name}");
        assert!(stage.checkpoint(STEPS).join(name).exists(), "{name}");
    }
    assert_eq!(checkpoints(&stage).len(), 2, "keep_last is 2");
    assert!(std::fs::read_dir(stage.tb()).unwrap().next().is_some());
    bench.go("a", &[]).expect(0).says("nothing to do");
    // Housekeeping keys do not make a finished training stale.
    bench.go("a", &["--set", "stage.pretrain.save_every=9"]).expect(0).says("nothing to do");
    bench.go("a", &["--set", "stage.pretrain.learning_rate=1e-3", "--dry-run"]).expect(0).says("`learning_rate`: 0.003 → 0.001");
}

#[test]
fn plan_and_doctor_tell_what_it_takes_and_train_nothing() {
    let bench = bench(&["a"]);
    let plan = bench.go("a", &["plan"]).expect(0);
    for part in
        ["model: ", "horizon: 40 steps", "optimizer state", "in all at the peak", "tokens/s", "for the 40 step(s) to do", "checkpoint: "]
    {
        assert!(plan.stdout.contains(part), "`{part}` in {}", plan.stdout);
    }
    assert!(!bench.run("a").stage("pretrain").metrics_jsonl().exists(), "nothing was trained");
    let doctor = bench.go("a", &["doctor"]).expect(0);
    for part in ["libtorch: 2.", "usable thread(s)", "GPU: ", "fp32 on cpu, 2 thread(s)"] {
        assert!(doctor.stdout.contains(part), "`{part}` in {}", doctor.stdout);
    }
    bench.go("a", &["doctor", "--set", "stage.pretrain.device=\"cuda:99\""]).expect(2).says("cuda:99");
}

#[test]
fn new_data_is_refused_continued_or_restarted() {
    let bench = bench(&["a"]);
    bench.go("a", &[]).expect(0);
    let run = bench.run("a");
    let stage = run.stage("pretrain");
    let tokenizer = text::Tokenizer::load(&run.stage("tokenize").tokenizer_dir()).unwrap();
    write_shard(&run, &tokenizer, 1, 64, &sentences(60, 20));
    bench.go("a", &[]).expect(1).says("`on_new_data` is `refuse`").says("1 of 1 earlier batch(es) unchanged").says("hint:");
    assert_eq!(last_step(&stage.metrics_jsonl()), STEPS);

    let first = metric(&stage.metrics_jsonl(), "train/loss");
    bench.go("a", &["--set", "stage.pretrain.on_new_data=\"continue\""]).expect(0).says("1 new batch(es)");
    let after = metric(&stage.metrics_jsonl(), "train/loss");
    let steps = *after.keys().next_back().unwrap();
    assert!(steps > STEPS, "{steps}");
    assert!(first.iter().all(|(step, loss)| after[step] == *loss), "the first phase was not done again");
    assert!(after[&(STEPS + 1)] < 4.5, "it goes on from trained weights: {}", after[&(STEPS + 1)]);
    bench.go("a", &["--set", "stage.pretrain.on_new_data=\"continue\""]).expect(0).says("nothing to do");

    write_shard(&run, &tokenizer, 2, 64, &sentences(80, 20));
    bench.go("a", &["--set", "stage.pretrain.on_new_data=\"restart\""]).expect(0).says("training starts again");
    let restarted = metric(&stage.metrics_jsonl(), "train/loss");
    assert_eq!((restarted.len() as u64, restarted[&1] > 5.0), (STEPS, true));
    assert_eq!(checkpoints(&stage).len(), 2);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_the_result_is_the_same() {
    let bench = bench(&["whole", "cut"]);
    bench.go("whole", &[]).expect(0);
    bench.go("cut", &["--limit", "20"]).expect(0).says("stopped by --limit after 20 step(s)");
    let stage = bench.run("cut").stage("pretrain");
    let newest = checkpoints(&stage).pop().unwrap();
    let file = newest.join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    bench.go("cut", &[]).expect(0).says("passed over damaged checkpoint").says("step 14 of 40");
    assert_eq!(result_digests(&stage, STEPS), result_digests(&bench.run("whole").stage("pretrain"), STEPS));
}

#[test]
fn micro_batches_change_rounding_only() {
    let bench = bench(&["one", "four"]);
    bench.go("one", &[]).expect(0);
    bench.go("four", &["--set", "stage.pretrain.micro_batch_rows=2"]).expect(0);
    let [one, four] = ["one", "four"].map(|run| metric(&bench.run(run).stage("pretrain").metrics_jsonl(), "train/loss"));
    assert!((one[&1] - four[&1]).abs() < 1e-5, "{} {}", one[&1], four[&1]);
    assert!((one[&STEPS] - four[&STEPS]).abs() < 1e-2, "{} {}", one[&STEPS], four[&STEPS]);
}

#[test]
fn weights_of_a_model_on_disk_start_a_training() {
    let bench = bench(&["a", "b"]);
    bench.go("a", &[]).expect(0);
    let shape = ["hidden_size", "num_layers", "num_heads"];
    let text: String = PIPELINE.lines().filter(|l| !shape.iter().any(|s| l.starts_with(s))).flat_map(|l| [l, "\n"]).collect();
    let file = |init: &str, extra: &str| {
        let path = bench.dir.path().join("p.toml");
        std::fs::write(path, format!("run = \"t\"\nseed = 7\n{text}init_from = \"{init}\"\n{extra}")).unwrap();
    };
    file("a/pretrain/model", "");
    bench.go("b", &[]).expect(0);
    let losses = metric(&bench.run("b").stage("pretrain").metrics_jsonl(), "train/loss");
    assert!(losses[&1] < 4.0, "step 1 begins where the model stood: {}", losses[&1]);
    file("a/pretrain/model", "num_kv_heads = 1\n");
    bench.go("b", &[]).expect(2).says("num_kv_heads").says("would be ignored");

    let small = bench.dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let config = model::Config::llama(100, 16, 1, 2);
    model::Model::new(config, 1, &model::Options::cpu()).unwrap().save(&small).unwrap();
    file("small", "");
    bench.go("b", &[]).expect(2).says("needs 264 ids").says("has 100").says("hint:");
}

#[test]
fn misuse_gets_its_exit_code_and_a_hint() {
    let bench = bench(&["a", "empty"]);
    let stage = |run: &str| bench.run(run).stage("shard");
    std::fs::remove_dir_all(stage("empty").path()).unwrap();
    bench.go("empty", &[]).expect(3).says("shard").says("hint:");
    bench.go("a", &["--set", "stage.pretrain.epochs=2.0"]).expect(2).says("more than one is set");
    bench.go("a", &["--set", "stage.pretrain.micro_batch_rows=3"]).expect(2).says("`batch_rows` is 8 and `micro_batch_rows` is 3");
    bench.go("a", &["--set", "stage.pretrain.keep_last=1"]).expect(2).says("keep_last");
    bench.go("a", &["--set", "stage.pretrain.max_positions=32"]).expect(2).says("rows have 64 tokens").says("at most 32");
    bench.go("a", &["--set", "stage.pretrain.device=\"cuda:77\""]).expect(2).says("cuda:77");
    bench
        .go("a", &["--set", "stage.pretrain.learning_rate=1e30", "--set", "stage.pretrain.clip_norm=0.0"])
        .expect(1)
        .says("before the update");
    assert!(!bench.run("a").stage("pretrain").model().exists());
}
