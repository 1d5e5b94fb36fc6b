//! The layering of the workspace and the rules of the house, checked on the real dependency graph and sources.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const STAGES: [&str; 7] = ["crawl-clean", "tokenize", "shard", "pretrain", "reverse-distill", "sft", "eval"];
const WITHOUT_LIBTORCH: [&str; 10] =
    ["handoff", "stage", "text", "corpus", "teacher", "crawl-clean", "tokenize", "shard", "reverse-distill", "pipeline"];

/// The platform of the compiler: packages of others need not be here.
fn platform() -> String {
    let out = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// Normal dependencies of every package in the graph, by name.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform()])
        .current_dir(testkit::workspace())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let meta: Value = serde_json::from_slice(&out.stdout).unwrap();
    let names: BTreeMap<&str, &str> =
        meta["packages"].as_array().unwrap().iter().map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap())).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in meta["resolve"]["nodes"].as_array().unwrap() {
        let entry = graph.entry(names[node["id"].as_str().unwrap()].to_owned()).or_default();
        for dep in node["deps"].as_array().unwrap() {
            if dep["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null()) {
                entry.insert(names[dep["pkg"].as_str().unwrap()].to_owned());
            }
        }
    }
    graph
}

fn reach(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut stack = vec![from.to_owned()];
    while let Some(at) = stack.pop() {
        for dep in graph.get(&at).into_iter().flatten() {
            if seen.insert(dep.clone()) {
                stack.push(dep.clone());
            }
        }
    }
    seen
}

#[test]
fn crates_know_only_what_they_may() {
    let graph = graph();
    let must_not = |who: &str, what: &[&str]| {
        let known = reach(&graph, who);
        for name in what {
            assert!(!known.contains(*name), "`{who}` reaches `{name}`");
        }
    };
    assert!(reach(&graph, "pretrain").contains("torch-sys"), "the graph is read right");
    for stage in STAGES {
        must_not(stage, &STAGES);
    }
    for name in WITHOUT_LIBTORCH {
        must_not(name, &["torch-sys", "tch"]);
    }
    for name in ["model", "infer"] {
        must_not(name, &["handoff", "stage", "parquet", "toml"]);
    }
    must_not("stage", &["text", "corpus", "teacher", "model", "infer", "train", "tokenizers"]);
    must_not("handoff", &["stage", "clap"]);
    must_not("pipeline", &STAGES);
    for (name, deps) in &graph {
        assert!(!deps.contains("testkit"), "`{name}` ships testkit");
    }
}

/// Rust sources of the workspace with their text, tests folders left out.
fn sources() -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    let mut stack = vec![testkit::workspace().join("crates")];
    while let Some(at) = stack.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "tests" | "target" | "examples" | "benches") {
                    stack.push(path);
                }
            } else if name.ends_with(".rs") {
                out.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out
}

fn in_crate(path: &Path, name: &str) -> bool {
    path.components().any(|c| c.as_os_str() == name)
}

/// Lines of code before the file's test module, without comments.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|l| !l.starts_with("#[cfg(test)]")).filter(|l| !l.trim_start().starts_with("//"))
}

#[test]
fn unsafe_stays_where_it_is_audited() {
    let word = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe");
    let mut found = BTreeSet::new();
    for (path, text) in sources() {
        let allowed = in_crate(&path, "torch-ext") || path.ends_with("model/src/mmap.rs");
        if !allowed && code_lines(&text).any(word) {
            found.insert(path);
        }
    }
    assert!(found.is_empty(), "`unsafe` outside torch-ext and model/src/mmap.rs: {found:?}");
}

#[test]
fn only_main_and_stage_print_or_exit() {
    let bad = ["println!(", "print!(", "process::exit("];
    let mut found = Vec::new();
    for (path, text) in sources() {
        if in_crate(&path, "stage")
            || in_crate(&path, "pipeline")
            || in_crate(&path, "testkit")
            || path.ends_with("main.rs")
            || path.ends_with("build.rs")
            || path.ends_with("rpath.rs")
        {
            continue;
        }
        for line in code_lines(&text) {
            if bad.iter().any(|b| line.contains(b)) && !line.contains("eprintln!(\"skipped") {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_stay_readable() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 800, "`{}` has {lines} lines; split it", path.display());
    }
}

#[test]
fn every_crate_is_in_the_code_map() {
    let map = std::fs::read_to_string(testkit::workspace().join("crates/README.md")).unwrap();
    for entry in std::fs::read_dir(testkit::workspace().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(map.contains(&format!("`{name}`")), "crates/README.md does not mention `{name}`");
        }
    }
}

#[test]
fn no_private_traces() {
    let mut found = Vec::new();
    // Written apart, so that this file does not find itself.
    let bad = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp", "/w/"), concat!("artif", "actory")];
    let out = Command::new("git").args(["ls-files", "-z"]).current_dir(testkit::workspace()).output();
    let Ok(out) = out else { return };
    for name in String::from_utf8_lossy(&out.stdout).split('\0').filter(|n| !n.is_empty()) {
        let Ok(text) = std::fs::read_to_string(testkit::workspace().join(name)) else { continue };
        if let Some(b) = bad.iter().find(|b| text.contains(**b)) {
            found.push(format!("{name}: {b}"));
        }
    }
    assert!(found.is_empty(), "paths of one machine: {found:#?}");
}
