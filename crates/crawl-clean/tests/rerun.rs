//! Reruns: nothing new is nothing done, new files only add, and no number of threads or grouping changes a byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{config, context, documents, fixtures, outputs, rejected, run, warc};
use handoff::Manifest;
use stage::{Exit, StageContext};

#[test]
fn threads_and_chunks_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&[&fixtures().join("reduced")]);
    let mut results = Vec::new();
    for (name, threads, chunk_bytes) in [("a", 1, 1 << 25), ("b", 2, 1 << 25), ("c", 2, 40_000)] {
        let ctx = StageContext { threads: Some(threads), ..context(&dir.path().join(name)) };
        config.chunk_bytes = chunk_bytes;
        run(&ctx, &config).unwrap();
        results.push(outputs(&ctx));
    }
    assert_eq!(results[0].len(), 9);
    assert!(results[0] == results[1], "two threads gave other bytes than one");
    assert!(results[0] == results[2], "smaller chunks gave other bytes");
}

#[test]
fn second_run_does_nothing_and_a_new_file_only_adds() {
    let dir = tempfile::tempdir().unwrap();
    let (input, ctx) = (dir.path().join("in"), context(&dir.path().join("run")));
    std::fs::create_dir(&input).unwrap();
    warc(&input.join("m.warc.gz"), &["bridge", "river", "bridge"]);
    let config = config(&[&input]);
    let first = run(&ctx, &config).unwrap();
    assert_eq!((first.inputs_done, first.inputs_skipped, first.rows, first.rejected), (1, 0, 2, 1));
    let before = outputs(&ctx);

    let again = run(&ctx, &config).unwrap();
    assert_eq!((again.inputs_done, again.inputs_skipped, again.rows), (0, 1, 2));
    assert!(outputs(&ctx) == before);

    // The new file sorts first, but came last: its copy of a page is the duplicate.
    warc(&input.join("a.warc.gz"), &["river", "harbour"]);
    let more = run(&ctx, &config).unwrap();
    assert_eq!((more.inputs_done, more.inputs_skipped, more.rows, more.rejected), (1, 1, 3, 2));
    assert!(before.iter().all(|(path, bytes)| outputs(&ctx)[path] == *bytes), "an earlier shard changed");
    let refused = rejected(&ctx);
    assert_eq!(refused.last().map(|row| (row["source"].as_str(), row["reason"].as_str())), Some(("a.warc.gz", "duplicate_exact")));
    let keeper = &documents(&ctx)[1];
    assert_eq!((keeper["url"].as_str(), &keeper["id"]), ("http://river.example/", &refused.last().unwrap()["detail"]));
}

#[test]
fn in_one_go_or_in_many_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    let many = context(&dir.path().join("many"));
    for (name, topics) in [("a", ["bridge", "river"]), ("b", ["river", "harbour"]), ("c", ["harbour", "bridge"])] {
        warc(&input.join(format!("{name}.warc.gz")), &topics);
        run(&many, &config(&[&input])).unwrap();
    }
    let once = context(&dir.path().join("once"));
    run(&once, &config(&[&input])).unwrap();
    assert!(outputs(&many) == outputs(&once));
}

#[test]
fn a_changed_earlier_file_takes_those_behind_it_along() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    warc(&input.join("a.warc.gz"), &["bridge"]);
    warc(&input.join("b.warc.gz"), &["bridge", "river"]);
    let (ctx, config) = (context(&dir.path().join("run")), config(&[&input]));
    assert_eq!(run(&ctx, &config).unwrap().rows, 2);
    warc(&input.join("a.warc.gz"), &["harbour"]);
    let report = run(&ctx, &config).unwrap();
    assert_eq!((report.inputs_done, report.rows, report.rejected), (2, 3, 0));
}

#[test]
fn vanished_inputs_need_prune() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    warc(&input.join("a.warc.gz"), &["bridge"]);
    warc(&input.join("b.warc.gz"), &["bridge", "river"]);
    let (ctx, config) = (context(&dir.path().join("run")), config(&[&input]));
    run(&ctx, &config).unwrap();
    std::fs::remove_file(input.join("a.warc.gz")).unwrap();
    let error = run(&ctx, &config).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.hint().unwrap().contains("--prune"));
    let report = run(&StageContext { prune: true, ..ctx.clone() }, &config).unwrap();
    assert_eq!((report.inputs_done, report.rows, report.rejected), (1, 2, 0));
    assert!(!ctx.stage_dir.data_shard(0).exists());
}

#[test]
fn lost_signatures_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    warc(&input.join("a.warc.gz"), &["bridge"]);
    let (ctx, config) = (context(&dir.path().join("run")), config(&[&input]));
    run(&ctx, &config).unwrap();
    std::fs::remove_file(ctx.stage_dir.side_shard("signatures", 0)).unwrap();
    warc(&input.join("b.warc.gz"), &["bridge"]);
    let report = run(&ctx, &config).unwrap();
    assert_eq!((report.inputs_done, report.rows, report.rejected), (2, 1, 1));
}

#[test]
fn counts_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = context(dir.path());
    run(&ctx, &config(&[&fixtures().join("reduced")])).unwrap();
    for unit in Manifest::load(&ctx.stage_dir).unwrap().in_order() {
        let get = |name: &str| unit.counts.get(name).copied().unwrap_or(0);
        let reasons: u64 = unit.counts.iter().filter(|(name, _)| name.starts_with("rejected.")).map(|(_, n)| n).sum();
        assert_eq!(get("records"), get("records.other") + get("kept") + get("rejected"), "{}", unit.unit);
        assert_eq!((get("rejected"), reasons), (unit.rejected[0].rows, get("rejected")), "{}", unit.unit);
        assert_eq!(get("kept"), unit.outputs[0].rows, "{}", unit.unit);
    }
}
