//! The runner with stages made of shell scripts: order, exit codes, signals, dry run, and the run that does nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handoff::RunDir;
use rustix::process::{Pid, Signal, kill_process};
use stage::stamp::{self, Stamp};
use stage::{PipelineFile, Report};

/// One test at a time: a script written while another test forks could not be started ("text file busy").
static SERIAL: Mutex<()> = Mutex::new(());

const FILE: &str = r#"run = "t"
[stage.crawl-clean]
inputs = ["pages"]
[stage.tokenize]
documents = "crawl-clean"
[stage.shard]
inputs = "tokenize"
[stage.eval]
samples = "shard"
"#;

struct World {
    dir: tempfile::TempDir,
    _guard: MutexGuard<'static, ()>,
}

impl World {
    fn new(file: &str) -> Self {
        let guard = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let world = Self { dir, _guard: guard };
        fs::create_dir_all(world.path("bin")).unwrap();
        fs::create_dir_all(world.path("pages")).unwrap();
        fs::write(world.path("pages/a.warc"), "a").unwrap();
        // A hard link, so that the runner's own directory is the one with our scripts.
        fs::hard_link(env!("CARGO_BIN_EXE_pipeline"), world.path("bin/pipeline")).unwrap();
        fs::write(world.path("p.toml"), file).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run_dir(&self) -> RunDir {
        RunDir::new(self.path("runs/t"))
    }

    /// A stage that notes its arguments, does `body`, and if it gets to the end leaves the stamp prepared for it.
    fn stage(&self, name: &str, body: &str) {
        let script = format!(
            "#!/bin/sh\necho \"{name} $*\" >> {log}\n{body}\ncase \"$*\" in *--dry-run*) echo '{name}: 1 to do, 0 done'; exit 0;; esac\nmkdir -p {dir}\ncp {stamps}/{name}.json {stamp}\n",
            log = self.path("log").display(),
            dir = self.run_dir().stage(name).path().display(),
            stamps = self.path("stamps").display(),
            stamp = self.run_dir().stage(name).stamp_json().display(),
        );
        let path = self.path("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.prepare(name, &path);
    }

    fn prepare(&self, name: &str, binary: &Path) {
        let file = PipelineFile::read(&self.path("p.toml"), &[]).unwrap();
        let text = (name == "eval").then(|| "the answers 答案\n".to_owned());
        let report = Report {
            inputs_done: 1,
            inputs_skipped: 2,
            rows: 1234,
            bytes_out: 5_000_000,
            look: vec![format!("runs/t/{name}")],
            text,
            ..Report::default()
        };
        let watch = if name == "crawl-clean" { vec![stamp::look(&self.path("pages"))] } else { vec![] };
        let stamp = Stamp {
            stage: name.into(),
            stated_digest: file.stage_digest(name),
            binary: stamp::look(binary),
            watch,
            outputs: vec![],
            report,
            wall_secs: 0.5,
            finished_unix_secs: 1,
        };
        fs::create_dir_all(self.path("stamps")).unwrap();
        fs::write(self.path("stamps").join(format!("{name}.json")), serde_json::to_vec(&stamp).unwrap()).unwrap();
    }

    fn stages(&self) -> &Self {
        for name in ["crawl-clean", "tokenize", "shard", "eval"] {
            self.stage(name, "");
        }
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/pipeline"));
        command.current_dir(self.dir.path()).args(["--config", "p.toml"]).args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Stages started since the last call, by name.
    fn started(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(|l| l.split(' ').next().unwrap_or_default().to_owned()).collect()
    }
}

fn out(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn err(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

#[test]
fn stages_run_in_order_and_a_second_run_starts_nothing() {
    let w = World::new(FILE);
    let first = w.stages().run(&["--set", "seed=0"]);
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    assert_eq!(w.started(), ["crawl-clean", "tokenize", "shard", "eval"]);
    assert!(err(&first).contains("[2/4] tokenize: never finished"), "{}", err(&first));
    assert!(err(&first).lines().any(|l| l.starts_with("shard") && l.contains("1,234") && l.ends_with("runs/t/shard")), "{}", err(&first));
    assert!(out(&first).contains("the answers 答案"), "{}", out(&first));

    let second = w.run(&[]);
    assert_eq!(second.status.code(), Some(0), "{}", err(&second));
    assert_eq!(w.started(), [] as [&str; 0], "no binary is started");
    assert!(err(&second).contains("nothing to do: all 4 stages are up to date"), "{}", err(&second));
    assert!(out(&second).contains("the answers 答案"), "the answers are shown again");

    fs::write(w.path("pages/b.warc"), "b").unwrap();
    w.prepare("crawl-clean", &w.path("bin/crawl-clean"));
    let third = w.run(&[]);
    assert_eq!(w.started(), ["crawl-clean"], "the others read nothing that changed: {}", err(&third));
    assert!(err(&third).contains("crawl-clean: `") && err(&third).contains("pages` changed"), "{}", err(&third));

    let forced = w.run(&["--force", "--only", "shard"]);
    let log = fs::read_to_string(w.path("log")).unwrap();
    assert_eq!((forced.status.code(), log.contains("shard --config p.toml --force")), (Some(0), true), "{log}");
}

#[test]
fn a_failing_stage_ends_the_run_with_its_code() {
    let w = World::new(FILE);
    w.stages().stage("tokenize", "echo 'error: of its own' >&2; exit 3");
    let o = w.run(&[]);
    assert_eq!(o.status.code(), Some(3));
    assert_eq!(w.started(), ["crawl-clean", "tokenize"]);
    for part in [
        "error: of its own",
        "error: stage `tokenize` failed with exit code 3; the stages after it were not run: shard, eval",
        "hint: finished work is kept; go on with `pipeline --config p.toml`",
    ] {
        assert!(err(&o).contains(part), "{}", err(&o));
    }
    assert!(err(&o).lines().any(|l| l.starts_with("tokenize") && l.ends_with("failed, exit code 3")), "{}", err(&o));
    assert!(err(&o).lines().any(|l| l.starts_with("eval") && l.ends_with("not run")), "{}", err(&o));

    w.stage("tokenize", "kill -KILL $$");
    assert_eq!(w.run(&[]).status.code(), Some(137), "died of a signal");
    fs::remove_file(w.path("bin/tokenize")).unwrap();
    let o = w.run(&[]);
    assert_eq!(o.status.code(), Some(1));
    assert!(err(&o).contains("cannot start stage `tokenize`") && err(&o).contains("make build"), "{}", err(&o));
}

#[test]
fn a_part_can_be_chosen() {
    let w = World::new(FILE);
    let o = w.stages().run(&["--to", "tokenize"]);
    assert_eq!((o.status.code(), w.started()), (Some(0), vec!["crawl-clean".to_owned(), "tokenize".to_owned()]));
    assert!(err(&o).contains("next: `pipeline --config p.toml --from shard`"), "{}", err(&o));
    assert!(!out(&o).contains("答案"));
    w.run(&["--from", "eval"]);
    assert_eq!(w.started(), ["eval"]);
    let o = w.run(&["--only", "pretrain"]);
    assert_eq!(o.status.code(), Some(2));
    assert!(err(&o).contains("has no [stage.pretrain] table") && err(&o).contains("crawl-clean, tokenize, shard, eval"), "{}", err(&o));
}

#[test]
fn a_dry_run_tells_why_and_touches_nothing() {
    let w = World::new(FILE);
    w.stages().run(&["--to", "tokenize"]);
    w.started();
    fs::write(w.path("pages/b.warc"), "b").unwrap();
    let o = w.run(&["--dry-run"]);
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let text = out(&o);
    assert!(text.contains("crawl-clean: would run: `") && text.contains("    crawl-clean: 1 to do, 0 done"), "{text}");
    assert!(text.contains("tokenize: would run: `crawl-clean` will change"), "{text}");
    assert!(text.contains("shard: would run: never finished"), "{text}");
    assert!(text.contains("4 of 4 stages would run"), "{text}");
    assert_eq!(w.started(), ["crawl-clean"], "only a stage whose inputs are settled is asked what it would do");
    assert!(!w.run_dir().stage("shard").path().exists());
}

#[test]
fn signals_go_to_the_stage_which_saves_first() {
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT")] {
        let w = World::new(FILE);
        let body = format!("trap 'echo saved >> saved; exit 130' {name}\necho ready > ready\nwhile :; do sleep 0.05; done");
        w.stages().stage("tokenize", &body);
        let child = w.command(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !w.path("ready").exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "the stage never started");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
        let o = child.wait_with_output().unwrap();
        assert_eq!(o.status.code(), Some(130), "{}", err(&o));
        assert_eq!(fs::read_to_string(w.path("saved")).unwrap(), "saved\n", "the stage got the signal once");
        assert!(
            err(&o).contains("interrupted in stage `tokenize`") && err(&o).contains("go on with `pipeline --config p.toml`"),
            "{}",
            err(&o)
        );
        assert_eq!(w.started(), ["crawl-clean", "tokenize"]);
    }
}

#[test]
fn wrong_files_and_flags_are_refused_before_anything_runs() {
    let check = |file: &str, args: &[&str], parts: &[&str]| {
        let w = World::new(FILE);
        w.stages();
        fs::write(w.path("p.toml"), file).unwrap();
        let o = w.run(args);
        assert_eq!(o.status.code(), Some(2), "{}", err(&o));
        for part in parts {
            assert!(err(&o).contains(part), "expected `{part}` in:\n{}", err(&o));
        }
        assert_eq!(w.started(), [] as [&str; 0]);
    };
    check(
        "run = \"t\"\n[stage.shard]\ninputs = \"tokenize\"\n[stage.tokenize]\ninputs = \"shard\"\n",
        &[],
        &["in a circle", "shard → tokenize → shard"],
    );
    check(
        "run = \"t\"\n[stage.shard]\ninputs = \"tokenise\"\n",
        &[],
        &["p.toml, line 3, column 10", "inputs = \"tokenise\"", "^^^^^^^^^^", "did you mean `tokenize`?"],
    );
    check("run = \"t\"\n[stage.sharrd]\n", &[], &["line 2", "unknown variant `sharrd`", "^"]);
    check("run = \"t\"\n", &[], &["has no [stage.<name>] table"]);
    check(FILE, &["--worker", "0", "--num-workers", "2"], &["split one stage"]);
    check(FILE, &["--from", "eval", "--to", "shard"], &["comes after"]);
    check(FILE, &["--only", "stf"], &["stf"]);
}

#[test]
fn effective_values_of_all_stages_are_printed_once() {
    let w = World::new("run = \"t\"\n[stage.tokenize]\n[stage.shard]\ninputs = \"tokenize\"\n");
    for name in ["tokenize", "shard"] {
        w.stage(
            name,
            &format!(
                "case \"$*\" in *--print-config*) printf 'run = \"t\"\\nseed = 0\\n\\n[stage.{name}]\\nx = 1  # default\\n'; exit 0;; esac"
            ),
        );
    }
    let o = w.run(&["--print-config"]);
    let table: toml::Table = toml::from_str(&out(&o)).unwrap();
    assert_eq!(table["stage"].as_table().unwrap().len(), 2, "{}", out(&o));
}
