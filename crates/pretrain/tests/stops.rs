//! The stage when it is stopped, or cannot write.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../train/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Bench, checkpoints, last_step, metric, result_digests};

/// So small that its checkpoints are smaller than what it logs in a second.
const PIPELINE: &str = r#"
[stage.tokenize]
[stage.shard]
[stage.pretrain]
inputs = "shard"
tokenizer = "tokenize"
hidden_size = 8
num_layers = 1
num_heads = 1
steps = 40
batch_rows = 2
warmup_steps = 4
save_every = 7
eval_every = 10
eval_rows = 2
log_every = 1
threads = 1
device = "cpu"
precision = "fp32"
"#;

fn bench(runs: &[&str]) -> Bench {
    Bench::with_rows(env!("CARGO_BIN_EXE_pretrain"), PIPELINE, runs, 16)
}

/// The same command from a shell that does something first; signals that are ignored here are ignored there, unless it says otherwise.
fn behind(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{first} \"$0\" \"$@\"")).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env("OMP_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[track_caller]
fn wait_until(what: &str, child: &mut Child, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_hangup_saves_and_under_nohup_is_ignored() {
    let bench = bench(&["cut", "nohup"]);
    // So long that nothing of this is over before a signal comes.
    let more =
        ["--set", "stage.pretrain.steps=100000", "--set", "stage.pretrain.save_every=100000", "--set", "stage.pretrain.eval_every=0"];
    let told = |child: &Child, signal: &str| {
        assert!(Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().unwrap().success());
    };
    let cut = bench.run("cut").stage("pretrain");
    let mut child = behind("exec env --default-signal=HUP", &bench.command("cut", &more)).spawn().unwrap();
    wait_until("it trains", &mut child, || last_step(&cut.metrics_jsonl()) >= 3);
    told(&child, "HUP");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(checkpoints(&cut).len(), 1, "what was trained is saved");

    let nohup = bench.run("nohup").stage("pretrain");
    let mut child = behind("trap '' HUP; exec", &bench.command("nohup", &more)).spawn().unwrap();
    wait_until("it trains", &mut child, || last_step(&nohup.metrics_jsonl()) >= 3);
    told(&child, "HUP");
    let before = last_step(&nohup.metrics_jsonl());
    wait_until("it goes on", &mut child, || last_step(&nohup.metrics_jsonl()) > before + 20);
    told(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130), "other signals are heard");
}

#[test]
fn means_in_the_log_are_the_same_after_a_stop_between_two_of_them() {
    let bench = bench(&["whole", "cut"]);
    let every = ["--set", "stage.pretrain.log_every=4"];
    bench.go("whole", &every).expect(0);
    for limit in ["7", "3", "1"] {
        bench.go("cut", &[&every[..], &["--limit", limit]].concat()).expect(0);
    }
    bench.go("cut", &every).expect(0);
    let (whole, cut) = (bench.run("whole").stage("pretrain"), bench.run("cut").stage("pretrain"));
    let losses = metric(&whole.metrics_jsonl(), "train/loss");
    assert_eq!(losses.keys().copied().collect::<Vec<_>>(), (4..=40).step_by(4).collect::<Vec<_>>());
    assert_eq!(metric(&cut.metrics_jsonl(), "train/loss"), losses);
    assert_eq!(result_digests(&cut, 40), result_digests(&whole, 40));
}

#[test]
fn a_limit_of_no_steps_leaves_nothing() {
    let bench = bench(&["a"]);
    bench.go("a", &["--limit", "0"]).expect(0).says("stopped by --limit before the first step");
    let stage = bench.run("a").stage("pretrain");
    assert_eq!((checkpoints(&stage).len(), last_step(&stage.metrics_jsonl())), (0, 0));
    bench.go("a", &["--limit", "5"]).expect(0);
    bench.go("a", &["--limit", "0"]).expect(0);
    assert_eq!((checkpoints(&stage), last_step(&stage.metrics_jsonl())), (vec![stage.checkpoint(5)], 5));
}

/// The records of an event file; fails where one is not whole.
fn num_records(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        at += 16 + length;
        count += 1;
    }
    assert_eq!(at, bytes.len(), "the last record is whole");
    count
}

#[test]
fn logs_that_cannot_be_written_do_not_end_a_training() {
    let bench = bench(&["whole", "full"]);
    let long = ["--set", "stage.pretrain.steps=300", "--set", "stage.pretrain.save_every=100", "--set", "stage.pretrain.eval_every=0"];
    bench.go("whole", &long).expect(0);
    // Files may have 64 KB: checkpoints do, what is logged at every step does not.
    let output = behind("trap '' XFSZ; ulimit -f 128; exec", &bench.command("full", &long)).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for file in ["events.out.tfevents", "metrics.jsonl"] {
        let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("cannot write") && line.contains(file)).collect();
        assert_eq!(lines.len(), 1, "said once: {stderr}");
    }
    let (whole, full) = (bench.run("whole").stage("pretrain"), bench.run("full").stage("pretrain"));
    assert_eq!(result_digests(&full, 300), result_digests(&whole, 300));
    let events = |stage: &handoff::StageDir| std::fs::read_dir(stage.tb()).unwrap().next().unwrap().unwrap().path();
    assert!((100..num_records(&events(&whole))).contains(&num_records(&events(&full))));
    let (all, some) = (metric(&whole.metrics_jsonl(), "train/loss"), metric(&full.metrics_jsonl(), "train/loss"));
    assert!(some.len() > 100 && some.len() < all.len() && some.iter().all(|(step, loss)| all[step] == *loss));
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_not_called_unreadable() {
    let bench = bench(&["a"]);
    let often = ["--set", "stage.pretrain.steps=1000000", "--set", "stage.pretrain.save_every=1", "--set", "stage.pretrain.log_every=1000"];
    let said = bench.dir.path().join("stderr");
    // 4 KB do not hold the weights.
    let mut command = behind("trap '' XFSZ; ulimit -f 8; exec", &bench.command("a", &often));
    let mut child = command.stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    let text = || std::fs::read_to_string(&said).unwrap();
    wait_until("it says so", &mut child, || text().contains("was not written"));
    child.kill().unwrap();
    child.wait().unwrap();
    let text = text();
    assert!(text.contains("model.safetensors`: write failed: File too large") && !text.contains("not a readable"), "{text}");
    assert!(checkpoints(&bench.run("a").stage("pretrain")).is_empty());
}
