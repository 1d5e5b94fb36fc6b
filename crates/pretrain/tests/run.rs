//! The stage as a user runs it: the built binary on a small run directory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../train/tests/support/mod.rs"]
mod support;

use support::{Bench, checkpoints, last_step, metric, result_digests, sentences, write_shard, write_split, write_tokenizer};

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
    Bench::with_rows(env!("CARGO_BIN_EXE_pretrain"), PIPELINE, runs, 64)
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
    let scores = |run: &str| metric(&bench.run(run).stage("pretrain").metrics_jsonl(), "validation/loss");
    assert_eq!(scores("cut"), scores("whole"), "an evaluation that was due is made when the training goes on");
}

#[test]
fn killed_at_any_instant_also_while_saving_loses_nothing() {
    let bench = bench(&["whole", "cut"]);
    let often = ["--set", "stage.pretrain.save_every=1", "--set", "stage.pretrain.eval_every=3"];
    let started = std::time::Instant::now();
    bench.go("whole", &often).expect(0);
    let whole = started.elapsed();
    let stage = bench.run("cut").stage("pretrain");
    let mut steps = Vec::new();
    for i in 0..24_u32 {
        // Instants spread over what a whole run takes; each run goes on where the one before was killed.
        let killed = bench.kill_after("cut", &often, whole * (20 + 7 * (i % 12)) / 100);
        steps.push(last_step(&stage.metrics_jsonl()));
        if !killed {
            break;
        }
    }
    assert!(steps.iter().collect::<std::collections::BTreeSet<_>>().len() > 3, "killed at steps {steps:?}");
    bench.go("cut", &often).expect(0);
    let digests = |run: &str| result_digests(&bench.run(run).stage("pretrain"), STEPS);
    assert_eq!(digests("cut"), digests("whole"), "weights and optimizer state, bit for bit, after kills at steps {steps:?}");
    let losses = |run: &str| metric(&bench.run(run).stage("pretrain").metrics_jsonl(), "train/loss");
    assert_eq!(losses("cut"), losses("whole"));
    let names: Vec<String> = checkpoints(&stage).iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("step-")), "no leftovers: {names:?}");
}

#[test]
fn a_signal_ends_an_evaluation_and_it_is_made_again() {
    // A thousand forward passes over held-out rows, so that a signal finds an evaluation under way.
    let long =
        PIPELINE.replace("steps = 40", "steps = 20").replace("batch_rows = 8", "batch_rows = 8\nmicro_batch_rows = 1\neval_rows = 0");
    let bench = Bench::new(env!("CARGO_BIN_EXE_pretrain"), &long);
    for run in ["whole", "cut"] {
        let run = bench.run(run);
        let tokenizer = write_tokenizer(&run.stage("tokenize").tokenizer_dir());
        write_split(&run, &tokenizer, 64, &sentences(0, 2000), 1000);
    }
    bench.go("whole", &[]).expect(0);
    let stage = bench.run("cut").stage("pretrain");
    let scores = |stage: &handoff::StageDir| metric(&stage.metrics_jsonl(), "validation/loss");
    // Within the training and at its end.
    for step in [10, 20] {
        let (at, ran) = bench.interrupt("cut", &stage.metrics_jsonl(), step, "TERM");
        assert_eq!(at, Some(step));
        ran.expect(130).says(&format!("interrupted after step {step}; the checkpoint is saved"));
        assert!(!scores(&stage).contains_key(&step), "it did not wait for the end of the evaluation");
        assert!(stage.checkpoint(step).exists() && !stage.model().exists());
    }
    bench.go("cut", &[]).expect(0);
    let whole = bench.run("whole").stage("pretrain");
    assert_eq!(result_digests(&stage, 20), result_digests(&whole, 20), "weights and optimizer state, bit for bit");
    assert_eq!(scores(&whole).keys().copied().collect::<Vec<_>>(), [10, 20]);
    assert_eq!(scores(&stage), scores(&whole));
}

#[test]
fn it_learns_and_a_second_run_does_nothing() {
    let bench = bench(&["a"]);
    bench.go("a", &["--dry-run"]).expect(0).says("training starts");
    bench.go("a", &["--dry-run", "--set", "stage.pretrain.batch_rows=999"]).expect(0).says("`batch_rows` is 999, there are");
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
    bench.go("a", &["--set", "stage.pretrain.learning_rate=1e-3", "--dry-run"]).expect(1).says("`learning_rate`: 0.003 → 0.001");
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
    let missing = bench.go("a", &["doctor", "--set", "stage.pretrain.device=\"cuda:99\""]).expect(2).says("cuda:99");
    assert!(missing.stdout.contains("libtorch: ") && missing.stdout.contains("GPU: "), "{}", missing.stdout);
}

/// Files and folders with their times of change and their bytes.
type Tree = std::collections::BTreeMap<std::path::PathBuf, (std::time::SystemTime, Vec<u8>)>;

fn assert_same(before: &Tree, after: &Tree) {
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{changed:?}");
}

/// Everything under `dir`.
fn everything(dir: &std::path::Path) -> Tree {
    let mut found = Tree::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
        if path.is_dir() {
            found.extend(everything(&path));
        }
        found.insert(path, (modified, bytes));
    }
    found
}

#[test]
fn a_plan_and_a_dry_run_change_nothing_on_disk() {
    let bench = bench(&["a", "b"]);
    let on_disk = ["--set", "stage.pretrain.samples_memory_mb=0"];
    bench.go("b", &[&on_disk[..], &["--limit", "3"]].concat()).expect(0);
    let before = everything(bench.dir.path());
    let data = |ran: support::Ran| -> String { ran.expect(0).stdout.lines().find(|line| line.starts_with("data: ")).unwrap().to_owned() };
    // With the rows in memory, and with more than that is meant to hold, where token files are there and where there are none.
    let whole = data(bench.go("a", &["plan"]));
    for (run, more) in [("a", &on_disk[..]), ("b", &on_disk), ("b", &[])] {
        assert_eq!(data(bench.go(run, &[&["plan"], more].concat())), whole, "all rows are told, whatever was read of them");
    }
    bench.go("b", &["--dry-run"]).expect(0);
    assert_same(&before, &everything(bench.dir.path()));

    // A folder whose digests are worth remembering: its files have not just been written.
    let shapeless = PIPELINE.replace("hidden_size = 32\nnum_layers = 2\nnum_heads = 2\n", "") + "init_from = \"base\"\n";
    let open = Bench::new(env!("CARGO_BIN_EXE_pretrain"), &shapeless);
    let tokenizer = write_tokenizer(&open.run("a").stage("tokenize").tokenizer_dir());
    write_shard(&open.run("a"), &tokenizer, 0, 64, &sentences(0, 60));
    let base = open.dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    model::Model::new(model::Config::llama(320, 32, 2, 2), 1, &model::Options::cpu()).unwrap().save(&base).unwrap();
    for entry in std::fs::read_dir(&base).unwrap() {
        let file = std::fs::File::options().append(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    }
    let before = everything(open.dir.path());
    open.go("a", &["plan"]).expect(0);
    open.go("a", &["--dry-run"]).expect(0);
    assert_same(&before, &everything(open.dir.path()));
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
    bench
        .go("a", &["--set", "stage.pretrain.on_new_data=\"continue\""])
        .expect(0)
        .says("1 new batch(es)")
        .says("the validation rows have changed");
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
    bench.go("cut", &["--limit", "3"]).expect(0).says("passed over damaged checkpoint").says("step 14 of 40");
    assert_eq!(
        checkpoints(&stage),
        [10, 14, 17].map(|step| stage.checkpoint(step)),
        "the best and two more; the damaged one does not count"
    );
    bench.go("cut", &[]).expect(0).says("step 17 of 40");
    assert_eq!(result_digests(&stage, STEPS), result_digests(&bench.run("whole").stage("pretrain"), STEPS));
}

#[test]
fn where_no_checkpoint_is_whole_nothing_starts_over_unasked() {
    let bench = bench(&["a"]);
    bench.go("a", &["--limit", "20"]).expect(0);
    let stage = bench.run("a").stage("pretrain");
    for checkpoint in checkpoints(&stage) {
        std::fs::write(checkpoint.join("model.safetensors"), "x").unwrap();
    }
    bench.go("a", &[]).expect(1).says("none of 3 checkpoint(s) can be used").says("--fresh");
    assert_eq!(checkpoints(&stage).len(), 3);
    bench.go("a", &["--fresh", "--limit", "7"]).expect(0);
    assert_eq!(checkpoints(&stage), [stage.checkpoint(7)]);
    assert_eq!(std::fs::read_dir(stage.checkpoints().join("damaged")).unwrap().count(), 3, "nor is one thrown away");
}

#[test]
fn other_settings_take_the_place_of_a_training_only_when_asked() {
    let bench = bench(&["a"]);
    bench.go("a", &[]).expect(0);
    let stage = bench.run("a").stage("pretrain");
    let before = result_digests(&stage, STEPS);
    let other = ["--set", "stage.pretrain.learning_rate=0.002"];
    bench.go("a", &other).expect(1).says("`learning_rate`: 0.003 → 0.002").says("--fresh");
    assert_eq!(result_digests(&stage, STEPS), before);
    bench.go("a", &[&other[..], &["--fresh", "--limit", "7"]].concat()).expect(0);
    let earlier = || std::fs::read_dir(stage.checkpoints().join("earlier")).map_or(0, Iterator::count);
    assert_eq!((checkpoints(&stage), earlier()), (vec![stage.checkpoint(7)], 2), "kept until the new one has finished");
    bench.go("a", &other).expect(0).says("step 7 of 40");
    assert_eq!((checkpoints(&stage).len(), earlier()), (2, 0));
}

#[test]
fn a_training_is_made_longer_from_before_its_decay() {
    let bench = bench(&["short", "long"]);
    let wsd = ["--set", "stage.pretrain.schedule=\"wsd\"", "--set", "stage.pretrain.keep_every=14"];
    let go = |run: &str, steps: &str| bench.go(run, &[&wsd[..], &["--set", steps]].concat());
    go("short", "stage.pretrain.steps=40").expect(0);
    let longer = [&wsd[..], &["--set", "stage.pretrain.steps=60"]].concat();
    bench.go("short", &[&longer[..], &["--limit", "3"]].concat()).expect(0).says("60 steps instead of 40").says("step 14 of 60");
    let short = bench.run("short").stage("pretrain");
    assert!(short.checkpoint(14).exists() && short.checkpoint(17).exists(), "what is kept for good is kept by a longer training too");
    bench.go("short", &longer).expect(0).says("step 17 of 60");
    assert_eq!(short.checkpoints().join("earlier").exists(), short.checkpoint(17).exists());
    assert!(short.checkpoint(14).exists() && short.checkpoint(28).exists() && !short.checkpoint(40).exists());
    go("long", "stage.pretrain.steps=60").expect(0);
    let digests = |run: &str| result_digests(&bench.run(run).stage("pretrain"), 60);
    assert_eq!(digests("short"), digests("long"), "as if it had been meant from the start");
    // Branches do not mind how long the trunk is meant to be.
    bench.go("short", &[&["decay", "--from", "step-000014", "--steps", "2"][..], &wsd].concat()).expect(0);
    let cosine = ["--set", "stage.pretrain.schedule=\"cosine\"", "--set", "stage.pretrain.steps=60"];
    bench.go("short", &cosine).expect(1).says("`schedule`");
}

#[test]
fn a_training_without_a_decay_is_made_longer_from_its_end() {
    let bench = bench(&["short", "long"]);
    let constant = ["--set", "stage.pretrain.schedule=\"constant\"", "--set", "stage.pretrain.save_every=1000"];
    let go = |run: &str, steps: &str| bench.go(run, &[&constant[..], &["--set", steps]].concat());
    go("short", "stage.pretrain.steps=20").expect(0);
    go("short", "stage.pretrain.steps=30").expect(0).says("step 20 of 30");
    go("long", "stage.pretrain.steps=30").expect(0);
    let digests = |run: &str| result_digests(&bench.run(run).stage("pretrain"), 30);
    assert_eq!(digests("short"), digests("long"));
}

#[test]
fn a_training_begun_over_a_finished_one_goes_on() {
    let bench = bench(&["a"]);
    bench.go("a", &[]).expect(0);
    let stage = bench.run("a").stage("pretrain");
    let before = result_digests(&stage, STEPS);
    bench.go("a", &["--fresh", "--limit", "9"]).expect(0);
    bench.go("a", &["--dry-run"]).expect(0).says("31 step(s) to do");
    bench.go("a", &[]).expect(0).says("step 9 of 40");
    assert_eq!(result_digests(&stage, STEPS), before);
    bench.go("a", &[]).expect(0).says("nothing to do");
}

#[test]
fn what_changes_the_files_of_a_model_alone_writes_them_anew() {
    let bench = bench(&["a"]);
    bench.go("a", &[]).expect(0);
    let stage = bench.run("a").stage("pretrain");
    let losses = metric(&stage.metrics_jsonl(), "train/loss");
    let narrow = ["--set", "stage.pretrain.weights=\"bf16\""];
    bench.go("a", &narrow).expect(0).says("step 40 of 40");
    let config = std::fs::read_to_string(stage.model().join("config.json")).unwrap();
    assert!(config.contains("\"bfloat16\""), "{config}");
    let template = bench.run("a").stage("tokenize").tokenizer_dir().join("chat_template.jinja");
    std::fs::write(&template, "{{ messages[0].content }}!").unwrap();
    bench.go("a", &narrow).expect(0).says("step 40 of 40");
    assert_eq!(std::fs::read_to_string(stage.model().join("chat_template.jinja")).unwrap(), "{{ messages[0].content }}!");
    bench.go("a", &narrow).expect(0).says("nothing to do");
    assert_eq!(metric(&stage.metrics_jsonl(), "train/loss"), losses, "nothing was trained");
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
fn a_new_model_has_the_layout_that_is_asked_for() {
    let layouts = ["llama", "qwen2", "qwen3", "mistral"];
    let bench = bench(&layouts);
    for name in layouts {
        let set = |key: &str| format!("stage.pretrain.{key}");
        let mut sets = vec![set("steps=12"), set(&format!("model_type={name:?}")), set("num_kv_heads=1")];
        if name != "qwen2" {
            sets.push(set("head_dim=8"));
        }
        if name != "llama" {
            sets.push(set("sliding_window=16"));
        }
        let args: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        bench.go(name, &args).expect(0);
        let dir = bench.run(name).stage("pretrain");
        let losses = metric(&dir.metrics_jsonl(), "train/loss");
        assert!(losses[&12] < losses[&1], "{name}: {losses:?}");
        let config = model::Config::from_dir(&dir.model()).unwrap();
        assert_eq!(config.model_type.name(), name);
        assert_eq!((config.head_dim, config.num_key_value_heads), (if name == "qwen2" { 16 } else { 8 }, 1));
        assert_eq!(config.sliding_window, (name != "llama").then_some(16), "{name}");
        model::Model::load(&dir.model(), &model::Options::cpu()).unwrap();
    }
    let refused = |keys: [&str; 2]| bench.go("llama", &["--set", keys[0], "--set", keys[1], "--fresh"]).expect(2);
    refused(["stage.pretrain.sliding_window=16", "stage.pretrain.model_type=\"llama\""]).says("sliding_window").says("llama");
    refused(["stage.pretrain.head_dim=8", "stage.pretrain.model_type=\"qwen2\""]).says("head_dim");
    refused(["stage.pretrain.head_dim=8", "stage.pretrain.model_type=\"gpt\""]).says("model_type").says("qwen3");
}

#[test]
fn weights_of_a_model_on_disk_start_a_training() {
    let bench = bench(&["a", "b", "c"]);
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
    bench.go("b", &[]).expect(2).says("needs 264 ids").says("has 100").says("extend_vocab = true");

    let narrow = bench.dir.path().join("narrow");
    std::fs::create_dir(&narrow).unwrap();
    let config = model::Config { max_position_embeddings: 32, ..model::Config::llama(264, 16, 1, 2) };
    model::Model::new(config, 1, &model::Options::cpu()).unwrap().save(&narrow).unwrap();
    file("narrow", "");
    bench.go("c", &[]).expect(2).says("rows have 64 tokens").says("`rope_scaling` or `rope_parameters` in its config.json");
}

#[test]
fn a_model_that_cannot_be_trained_gets_its_exit_code_and_a_hint() {
    let bench = bench(&["a"]);
    let shape = ["hidden_size", "num_layers", "num_heads"];
    let text: String = PIPELINE.lines().filter(|l| !shape.iter().any(|s| l.starts_with(s))).flat_map(|l| [l, "\n"]).collect();
    std::fs::write(bench.dir.path().join("p.toml"), format!("run = \"t\"\nseed = 7\n{text}init_from = \"base\"\n")).unwrap();
    let base = bench.dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    bench.go("a", &[]).expect(2).says("config.json`: read failed").says("hint: a model is a Hugging Face folder");
    let model = model::Model::new(model::Config::llama(264, 16, 1, 2), 1, &model::Options::cpu()).unwrap();
    model.save(&base).unwrap();
    let good: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(base.join("config.json")).unwrap()).unwrap();
    let write = |config: &str| std::fs::write(base.join("config.json"), config).unwrap();
    for (key, value, says) in [
        ("num_key_value_heads", serde_json::json!(3), "is not a multiple of"),
        ("hidden_act", serde_json::json!("gelu"), "`hidden_act` is `gelu`"),
        ("vocab_size", serde_json::json!(1_000_000_000_000_u64), "`vocab_size` is 1000000000000, at most 67108864 are possible"),
    ] {
        let mut config = good.clone();
        config[key] = value;
        write(&config.to_string());
        bench.go("a", &[]).expect(2).says(says).says("hint: the model's config.json");
    }
    write("[]");
    bench.go("a", &[]).expect(2).says("config.json` is not valid here").says("expected a map").says("hint:");
    write("{\"model_type\":");
    bench.go("a", &[]).expect(2).says("config.json` is not valid here").says("hint:");
    write(&good.to_string());
    let path = base.join("model.safetensors");
    let mut tensors = tch::Tensor::read_safetensors(&path).unwrap();
    let _ = tensors.iter_mut().find(|(name, _)| name == "model.norm.weight").unwrap().1.get(0).fill_(f64::NAN);
    tch::Tensor::write_safetensors(&tensors, &path).unwrap();
    let nan = bench.go("a", &[]).expect(3);
    nan.says("`model.norm.weight` in `").says("base/model.safetensors` holds a value that is not a finite number");
}

#[test]
fn a_damaged_shard_is_what_the_stage_before_has_to_mend() {
    let bench = bench(&["a"]);
    let shard = bench.run("a").stage("shard").split_shard("train", 0);
    let mut bytes = std::fs::read(&shard).unwrap();
    let place = bytes.len() / 4;
    bytes[place] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    bench.go("a", &[]).expect(3).says("train-00000.parquet` has digest").says("hint:");
}

#[test]
fn flags_stand_before_a_command_too_and_are_refused_where_it_does_not_obey() {
    let bench = bench(&["a"]);
    let go = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pretrain"));
        command.args(args).current_dir(bench.dir.path()).env("OMP_NUM_THREADS", "1").envs(env.iter().copied());
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = go(&["-c", "p.toml", "--run", "a", "doctor"], &[]);
    assert!(code == 0 && out.contains("this configuration: fp32 on cpu, 2 thread(s)"), "{out}{err}");
    let (code, _, err) = go(&["-c", "p.toml", "--run", "a", "decay", "--from", "step-000007", "--dry-run"], &[]);
    assert!(code == 2 && err.contains("`pretrain decay` takes no `--dry-run`"), "{err}");
    // A task of an array job is no worker of a training.
    let array = [("SLURM_ARRAY_TASK_ID", "9"), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "5")];
    let (code, _, err) = go(&["-c", "p.toml", "--run", "a", "--limit", "1"], &array);
    assert_eq!(code, 0, "{err}");
    // The plan of another training than the one there is.
    let other = ["-c", "p.toml", "--run", "a", "plan", "--set", "stage.pretrain.hidden_size=64"];
    let (code, _, err) = go(&other, &[]);
    assert!(code == 1 && err.contains("hint: `pretrain plan --fresh`"), "{err}");
    let (code, out, err) = go(&[&other[..], &["--fresh"]].concat(), &[]);
    assert!(code == 0 && out.contains("width 64"), "{out}{err}");
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
    let long = format!("stage.pretrain.sample_prompts=[\"the\", \"{}\"]", "a".repeat(80));
    let long = ["--set", &long, "--set", "stage.pretrain.max_positions=80"];
    // 80 bytes and the token before them.
    bench.go("a", &long).expect(2).says("has 81 token(s), the model takes 1 to 79").says("hint: shorten it");
    bench.go("a", &[&["plan"], &long[..]].concat()).expect(2).says("has 81 token(s)");
    assert!(!bench.run("a").stage("pretrain").checkpoints().exists(), "nothing was trained");
    bench
        .go("a", &["--set", "stage.pretrain.num_heads=3"])
        .expect(2)
        .says("`hidden_size` (32) is not a multiple of `num_attention_heads` (3)");
    bench.go("a", &["--set", "stage.pretrain.num_layers=1000000000"]).expect(2).says("`num_hidden_layers` is 1000000000, at most 4096");
    bench.go("a", &["--set", "stage.pretrain.threads=100000"]).expect(2).says("`threads` is 100000, at most 1024");
    bench.go("a", &["--set", "stage.pretrain.batch_rows=100000000000"]).expect(2).says("`batch_rows` is 100000000000, at most 1048576");
    bench.go("a", &["--set", "stage.pretrain.num_kv_heads=0"]).expect(2).says("`num_key_value_heads` is 0");
    bench.go("a", &["--set", "stage.pretrain.max_positions=99999999999"]).expect(2).says("at most 67108864 are possible");
    bench
        .go("a", &["--set", "stage.pretrain.learning_rate=1e30", "--set", "stage.pretrain.clip_norm=0.0"])
        .expect(1)
        .says("10 steps in a row were skipped")
        .says("hint: checkpoints from before them are kept");
    let stage = bench.run("a").stage("pretrain");
    assert!(!stage.model().exists());
    assert_eq!(checkpoints(&stage).len(), 0, "nothing is saved while steps are skipped");
    let short = ["--set", "stage.pretrain.learning_rate=1e30", "--set", "stage.pretrain.clip_norm=0.0", "--set", "stage.pretrain.steps=8"];
    bench.go("a", &short).expect(1).says("the training loss is NaN: the training has diverged");
    assert!(!stage.model().exists());
}

#[test]
fn a_decay_branches_off_and_the_trunk_goes_on() {
    let bench = bench(&["a"]);
    let constant = ["--set", "stage.pretrain.schedule=\"constant\"", "--set", "stage.pretrain.keep_every=14"];
    let go = |more: &[&str]| bench.go("a", &[more, &constant].concat());
    go(&[]).expect(0);
    let trunk = bench.run("a").stage("pretrain");
    let before = result_digests(&trunk, STEPS);
    assert!(trunk.checkpoint(14).exists() && trunk.checkpoint(28).exists(), "kept for good");
    go(&["decay", "--from", "step-000028", "--steps", "10"]).expect(0);
    let branch = bench.run("a").variant("pretrain", "decay-000028");
    let rates = metric(&branch.metrics_jsonl(), "train/learning_rate");
    assert_eq!(rates.keys().copied().collect::<Vec<_>>(), (29..=38).collect::<Vec<_>>());
    assert!((rates[&29] - 3e-3).abs() < 1e-9 && rates[&38] < 0.1 * 3e-3, "{rates:?}");
    assert!(branch.model().join("model.safetensors").exists());
    assert_eq!(result_digests(&trunk, STEPS), before, "the trunk is as it was");
    // The rows are those that came next: at the same weights and rate the first loss is the trunk's.
    let loss = |stage: &handoff::StageDir| metric(&stage.metrics_jsonl(), "train/loss")[&29];
    assert_eq!(loss(&branch), loss(&trunk));
    go(&["decay", "--from", "step-000028", "--steps", "10"]).expect(0).says("nothing to do");
    // A variant of the pipeline file is the same thing.
    let variant =
        ["--set", "stage.pretrain.variant.v.cooldown_from=\"step-000028\"", "--set", "stage.pretrain.variant.v.cooldown_steps=10"];
    go(&variant).expect(0);
    let model = |name: &str| std::fs::read(bench.run("a").variant("pretrain", name).model().join("model.safetensors")).unwrap();
    assert_eq!(model("v"), model("decay-000028"));
    go(&["decay", "--from", "step-000007"]).expect(3).says("cannot branch off");
    // A branch that was begun goes on where its source is gone, and where the trunk is meant to be longer.
    let begun = go(&["decay", "--from", "step-000014", "--steps", "6", "--limit", "2"]);
    let begun = begun.expect(0).says("stopped by --limit").stdout;
    assert!(!begun.contains("look at") && !begun.contains("done before"), "{begun}");
    let source = trunk.checkpoint(14);
    let aside = source.with_file_name("aside");
    handoff::atomic::rename(&source, &aside).unwrap();
    let longer = ["decay", "--from", "step-000014", "--steps", "6", "--set", "stage.pretrain.steps=90"];
    go(&longer).expect(0).says("4 now");
    go(&longer).expect(0).says("nothing to do");
    go(&[&longer[..], &["--name", "model"]].concat()).expect(2).says("not one of the stage's own folders");
    go(&[&longer[..], &["--dry-run"]].concat()).expect(2).says("--dry-run");
    go(&[&longer[..], &["--name", "other"]].concat()).expect(3).says("cannot branch off");
    go(&[&longer[..], &["--fresh"]].concat()).expect(3).says("no longer there");
    handoff::atomic::rename(&aside, &source).unwrap();
    // Where the data that it was trained on is no longer there, it is not trained on other data.
    let other = Bench::new(env!("CARGO_BIN_EXE_pretrain"), PIPELINE);
    let tokenizer = write_tokenizer(&other.run("a").stage("tokenize").tokenizer_dir());
    write_shard(&other.run("a"), &tokenizer, 0, 64, &sentences(60, 60));
    let from = trunk.checkpoint(28).display().to_string();
    let steps = ["--steps", "10"];
    other.go("a", &[&["decay", "--from", &from][..], &steps, &constant].concat()).expect(3).says("it was trained on other data");
    go(&["decay", "--from", "step-000028", "--set", "stage.pretrain.beta2=0.9"]).expect(3).says("`beta2`: 0.95 → 0.9");
    let linear = bench.go("a", &["decay", "--from", "step-000028", "--set", "stage.pretrain.schedule=\"linear\""]);
    linear.expect(3).says("of its peak");
}

#[test]
fn horizons_of_any_kind_are_steps_in_the_end() {
    let horizon = |value: &str| PIPELINE.replace("steps = 40\n", &format!("{value}\n"));
    let go = |value: &str, more: &[&str]| {
        let bench = Bench::new(env!("CARGO_BIN_EXE_pretrain"), &horizon(value));
        let run = bench.run("a");
        let tokenizer = write_tokenizer(&run.stage("tokenize").tokenizer_dir());
        write_shard(&run, &tokenizer, 0, 64, &sentences(0, 60));
        (bench.go("a", more), bench)
    };
    // 8 rows of 64 tokens are 512 tokens a step.
    let (plan, _) = go("tokens_per_parameter = 1.0", &["plan"]);
    let parameters: u64 = plan.stdout.split_once("model: ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    plan.expect(0).says(&format!("horizon: {} steps", parameters.div_ceil(512)));
    go("minutes = 2.0", &["plan"]).0.expect(0).says("time: 2 min 00 s, about").says("horizon: as many steps as fit into 2 min 00 s");
    go("minutes = 2.0", &["--dry-run"]).0.expect(0).says("  as many steps as fit into 2 min 00 s");
    let late = ["plan", "--set", "stage.pretrain.warmup_steps=50"];
    go("steps = 10", &late).0.expect(0).says("`warmup_steps` is 50, the training has 10").says("no higher than");
    let (done, bench) = go("minutes = 0.01", &[]);
    done.expect(0).says("a step are");
    assert!(last_step(&bench.run("a").stage("pretrain").metrics_jsonl()) >= 1);
}

#[test]
fn what_only_saves_memory_changes_rounding_only() {
    let bench = bench(&["plain", "recomputed", "auto"]);
    bench.go("plain", &[]).expect(0);
    bench.go("recomputed", &["--set", "stage.pretrain.activation_checkpointing=true"]).expect(0);
    bench.go("auto", &["--set", "stage.pretrain.micro_batch_rows=\"auto\""]).expect(0).says("(1 micro-batch(es) of 8 rows)");
    let losses = |run: &str| metric(&bench.run(run).stage("pretrain").metrics_jsonl(), "train/loss");
    let plain = losses("plain");
    assert_eq!(losses("auto"), plain);
    let worst = losses("recomputed").iter().map(|(step, loss)| (loss - plain[step]).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn rows_read_from_disk_give_the_same_model() {
    let bench = bench(&["memory", "disk"]);
    bench.go("memory", &[]).expect(0);
    bench.go("disk", &["--set", "stage.pretrain.samples_memory_mb=0"]).expect(0).says("token ids are read from");
    let digests = |run: &str| result_digests(&bench.run(run).stage("pretrain"), STEPS);
    assert_eq!(digests("disk"), digests("memory"));
    let files = |run: &str| std::fs::read_dir(bench.run(run).stage("pretrain").side("tokens")).map_or(0, Iterator::count);
    assert_eq!((files("memory"), files("disk")), (0, 2));
}

#[test]
fn samples_are_written_while_training() {
    let bench = bench(&["a"]);
    bench.go("a", &["--set", "stage.pretrain.sample_prompts=[\"the\", \"\"]", "--set", "stage.pretrain.sample_tokens=5"]).expect(0);
    let text = std::fs::read_to_string(bench.run("a").stage("pretrain").samples_jsonl()).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let steps: Vec<u64> = rows.iter().map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [10, 10, 20, 20, 30, 30, 40, 40]);
    assert_eq!((rows[0]["prompt"].as_str(), rows[1]["prompt"].as_str()), (Some("the"), Some("")));
    assert!(rows.iter().any(|row| !row["completion"].as_str().unwrap().is_empty()));
}

#[test]
fn more_tokens_than_the_model_has_are_refused_or_added() {
    let bench = bench(&["small", "large"]);
    bench.go("small", &[]).expect(0);
    let small = bench.run("small").stage("pretrain").model();
    // The same model with fewer rows than the tokenizer has tokens.
    let config = small.join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let model = model::Model::load(&small, &model::Options::cpu()).unwrap();
    let fewer = model.config().vocab_size - 64;
    let cut = bench.run("small").path().join("cut");
    std::fs::create_dir_all(&cut).unwrap();
    let shape = model::Config { vocab_size: fewer, ..model.config().clone() };
    model::Model::new(shape, 1, &model::Options::cpu()).unwrap().save(&cut).unwrap();
    assert!(text.contains("vocab_size"));
    let init = format!("stage.pretrain.init_from={:?}", cut.display().to_string());
    let shapeless = PIPELINE.replace("hidden_size = 32\nnum_layers = 2\nnum_heads = 2\n", "");
    let other = Bench::new(env!("CARGO_BIN_EXE_pretrain"), &shapeless);
    let run = other.run("a");
    let tokenizer = write_tokenizer(&run.stage("tokenize").tokenizer_dir());
    write_shard(&run, &tokenizer, 0, 64, &sentences(0, 60));
    other.go("a", &["--set", &init]).expect(2).says("ids, the model in");
    other.go("a", &["--set", &init, "--set", "stage.pretrain.extend_vocab=true"]).expect(0).says(&format!("{fewer} tokens extended to"));
    let grown = model::Model::load(&run.stage("pretrain").model(), &model::Options::cpu()).unwrap();
    assert_eq!(grown.config().vocab_size, model.config().vocab_size);
}

#[test]
fn spare_rows_of_an_open_model_begin_as_the_mean_where_tokens_are_new() {
    let shapeless = PIPELINE.replace("hidden_size = 32\nnum_layers = 2\nnum_heads = 2\n", "").replace("steps = 40", "steps = 1");
    let bench = Bench::new(env!("CARGO_BIN_EXE_pretrain"), &shapeless);
    let run = bench.run("a");
    let tokenizer = write_tokenizer(&run.stage("tokenize").tokenizer_dir());
    write_shard(&run, &tokenizer, 0, 64, &sentences(0, 60));
    let ids = tokenizer.vocab_size() as i64;
    // More rows than ids, and a tokenizer of its own with 200 of ours.
    let (known, rows) = (200, ids + 36);
    let base = bench.dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    let shape = model::Config { tie_word_embeddings: false, ..model::Config::llama(rows, 32, 1, 2) };
    let before = model::Model::new(shape, 1, &model::Options::cpu()).unwrap();
    before.save(&base).unwrap();
    // So small a step that the weights stay as they begin.
    let go = |more: &[&str]| {
        let still = ["--set", "stage.pretrain.init_from=\"base\"", "--set", "stage.pretrain.learning_rate=1e-12"];
        bench.go("a", &[more, &still].concat())
    };
    let is_as_before = |from: i64, to: i64| -> bool {
        let after = model::Model::load(&run.stage("pretrain").model(), &model::Options::cpu()).unwrap();
        let matrices =
            after.params().iter().zip(before.params()).filter(|(new, _)| new.name.contains("embed") || new.name.contains("lm_head"));
        let cut = |param: &model::Param| param.master.narrow(0, from, to - from);
        let same: Vec<bool> = matrices.map(|(new, old)| cut(new).allclose(&cut(old), 0.0, 1e-9, false)).collect();
        assert!(same.len() == 2 && same[0] == same[1], "embedding and head alike");
        same[0]
    };
    go(&[]).expect(0).says("has no `tokenizer.json`");
    assert!(is_as_before(0, rows));

    let vocab: serde_json::Map<String, serde_json::Value> = (0..known).map(|id| (format!("w{id}"), id.into())).collect();
    let model = serde_json::json!({ "type": "WordLevel", "vocab": vocab, "unk_token": "w0" });
    let json = serde_json::json!({ "version": "1.0", "added_tokens": [], "model": model });
    std::fs::write(base.join("tokenizer.json"), json.to_string()).unwrap();
    go(&[]).expect(1).says("`init_ids`: null → 200");
    go(&["--fresh"]).expect(0).says(&format!("tokens {known} to {} are new", ids - 1));
    assert!(is_as_before(0, known) && !is_as_before(known, known + 1) && !is_as_before(ids - 1, ids) && is_as_before(ids, rows));
    let after = model::Model::load(&run.stage("pretrain").model(), &model::Options::cpu()).unwrap();
    for param in after.params().iter().filter(|param| param.name.contains("embed") || param.name.contains("lm_head")) {
        let mean = param.master.narrow(0, 0, known).mean_dim([0].as_slice(), true, tch::Kind::Float);
        assert!((param.master.narrow(0, known, ids - known) - mean).abs().max().double_value(&[]) < 1e-7, "{}", param.name);
    }

    // A tokenizer with all ids of ours leaves nothing to do.
    std::fs::copy(run.stage("tokenize").tokenizer_dir().join("tokenizer.json"), base.join("tokenizer.json")).unwrap();
    go(&["--fresh"]).expect(0);
    assert!(is_as_before(0, rows));
}
