//! Phases, workers and memory: however the work is shared and however little memory it gets, the same bytes come out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{config, context, documents, fixtures, outputs, page, read, record, rejected, run, warc};
use crawl_clean::Config;
use handoff::Manifest;
use stage::{Exit, StageContext, Worker};
use std::path::Path;
use std::process::{Child, Command};

/// One phase as worker `index` of `count`.
fn phase(ctx: &StageContext, name: &str, index: usize, count: usize) -> StageContext {
    StageContext { phase: Some(name.into()), worker: Worker { index, count }, ..ctx.clone() }
}

fn share(ctx: &StageContext, config: &Config, name: &str, count: usize) {
    for index in (0..count).rev() {
        run(&phase(ctx, name, index, count), config).unwrap();
    }
}

/// Every way to look for duplicates at once.
fn everything(config: &mut Config) {
    let dedup = &mut config.dedup;
    (dedup.urls, dedup.verify_jaccard, dedup.remove_lines, dedup.remove_spans) = (true, 0.7, true, true);
}

#[test]
fn workers_and_memory_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&[&fixtures().join("crawl")]);
    everything(&mut config);
    let single = context(&dir.path().join("single"));
    run(&single, &config).unwrap();
    // With 1 MB the keys are joined in several ranges, and pages cleaned in many chunks.
    config.max_memory_mb = 1;
    let tight = context(&dir.path().join("tight"));
    run(&tight, &config).unwrap();
    assert!(outputs(&single) == outputs(&tight), "little memory gave other bytes");

    let shared = context(&dir.path().join("shared"));
    share(&shared, &config, "extract", 4);
    // Each phase can have its own number of workers.
    share(&shared, &config, "join", 3);
    let edges = std::fs::read_dir(shared.stage_dir.work_file("edges", "")).unwrap().count();
    assert!(edges >= 4, "{edges} ranges");
    share(&shared, &config, "decide", 4);
    assert!(outputs(&single) == outputs(&shared), "workers gave other bytes");
    let counts = |ctx: &StageContext| {
        let mut counts = Manifest::load(&ctx.stage_dir).unwrap().summary().counts;
        // Time is no result.
        counts.retain(|name, _| !name.starts_with("micros."));
        counts
    };
    assert_eq!(counts(&single), counts(&shared));
    // What is left for one process: nothing but the table of cluster sizes.
    let report = run(&shared, &config).unwrap();
    assert_eq!(report.inputs_done, 0);
    let clusters = |ctx: &StageContext| std::fs::read(ctx.stage_dir.side_shard("clusters", 0)).unwrap();
    assert!(clusters(&single) == clusters(&shared));
    assert!(!shared.stage_dir.work().exists(), "scratch files are left");
}

#[test]
fn four_processes_at_once_give_the_bytes_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = dir.path().join("p.toml");
    let inputs = fixtures().join("crawl");
    std::fs::write(&pipeline, format!("run = \"r\"\nseed = 1\n[stage.crawl-clean]\ninputs = [{:?}]\n", inputs.display().to_string()))
        .unwrap();
    let start = |run: &Path, more: &[&str]| -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crawl-clean"));
        command.args(["--quiet", "--threads", "1", "--config"]).arg(&pipeline).arg("--run").arg(run).args(more);
        command.spawn().unwrap()
    };
    let (one, four) = (dir.path().join("one"), dir.path().join("four"));
    assert!(start(&one, &[]).wait().unwrap().success());
    for name in ["extract", "join", "decide"] {
        let workers = ["0", "1", "2", "3"].map(|worker| start(&four, &["--phase", name, "--worker", worker, "--num-workers", "4"]));
        for mut worker in workers {
            assert!(worker.wait().unwrap().success(), "{name}");
        }
        let stamp = context(&four).stage_dir.stamp_json();
        assert!(!stamp.exists(), "a phase by itself is no complete run");
    }
    assert!(outputs(&context(&one)) == outputs(&context(&four)));
    assert!(start(&four, &[]).wait().unwrap().success());
    assert!(context(&four).stage_dir.stamp_json().exists(), "the last run, without a phase, completes them");
}

#[test]
fn phases_out_of_order_say_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    warc(&input.join("a.warc.gz"), &["bridge"]);
    warc(&input.join("b.warc.gz"), &["bridge", "river"]);
    let (ctx, config) = (context(&dir.path().join("run")), config(&[&input]));
    let error = run(&StageContext { worker: Worker { index: 0, count: 2 }, ..ctx.clone() }, &config).unwrap_err();
    assert!(error.exit() == Exit::Usage && error.hint().unwrap().contains("--phase"));
    run(&phase(&ctx, "extract", 0, 2), &config).unwrap();
    for early in ["join", "decide"] {
        let error = run(&phase(&ctx, early, 1, 2), &config).unwrap_err();
        assert_eq!(error.exit(), Exit::Upstream);
        assert!(error.to_string().contains("b.warc.gz"), "{error}");
    }
    run(&phase(&ctx, "extract", 1, 2), &config).unwrap();
    let error = run(&phase(&ctx, "decide", 0, 2), &config).unwrap_err();
    assert!(error.hint().unwrap().contains("--phase join"), "{error}");
    share(&ctx, &config, "join", 2);
    run(&phase(&ctx, "decide", 1, 2), &config).unwrap();
    // A worker that is started again has nothing to do, and one that comes late finds what it needs.
    assert_eq!(run(&phase(&ctx, "decide", 1, 2), &config).unwrap().inputs_done, 0);
    assert_eq!(run(&phase(&ctx, "decide", 0, 2), &config).unwrap().inputs_done, 1);
    assert_eq!(documents(&ctx).len(), 2);
}

#[test]
fn a_chain_cut_short_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    for (name, topics) in [("a", ["bridge", "river"]), ("b", ["river", "harbour"]), ("c", ["harbour", "bridge"])] {
        warc(&input.join(format!("{name}.warc.gz")), &topics);
    }
    let config = config(&[&input]);
    let (cut, whole) = (context(&dir.path().join("cut")), context(&dir.path().join("whole")));
    run(&whole, &config).unwrap();
    share(&cut, &config, "extract", 3);
    share(&cut, &config, "join", 3);
    run(&phase(&cut, "decide", 2, 3), &config).unwrap();
    // The whole chain again: what was decided stays, what was extracted is not extracted again.
    let before = std::fs::metadata(cut.stage_dir.work_file("candidates", "00000.parquet")).unwrap().modified().unwrap();
    share(&cut, &config, "extract", 3);
    assert_eq!(std::fs::metadata(cut.stage_dir.work_file("candidates", "00000.parquet")).unwrap().modified().unwrap(), before);
    assert!(cut.stage_dir.data_shard(2).exists());
    share(&cut, &config, "join", 1);
    share(&cut, &config, "decide", 2);
    assert!(outputs(&cut) == outputs(&whole));
    // New files only add, in phases as in one go.
    warc(&input.join("aa.warc.gz"), &["river", "meadow"]);
    for name in ["extract", "join", "decide"] {
        share(&cut, &config, name, 2);
    }
    run(&whole, &config).unwrap();
    assert!(outputs(&cut) == outputs(&whole));
    assert_eq!(documents(&cut).len(), 4);
}

#[test]
fn common_lines_and_runs_go_and_their_first_copy_stays() {
    let dir = tempfile::tempdir().unwrap();
    let warc = dir.path().join("x.warc.gz");
    let own = |topic: &str| page(topic).split("<p>").nth(1).unwrap().split("</p>").next().unwrap().to_owned();
    let common = own("shared");
    // Three pages of their own text with one long paragraph and one notice in common, and one page of little else.
    let body = |topic: &str| {
        format!(
            "<html><body><p>{}</p><p>{common}</p><p>{}</p><p>All rights are reserved by nobody at all.</p></body></html>",
            own(topic),
            own(&format!("{topic} too"))
        )
    };
    let mut bytes: Vec<u8> =
        ["bridge", "river", "harbour"].iter().flat_map(|t| record(&format!("http://{t}.example/"), &body(t))).collect();
    let little = "<p>The harbour of the old town is the one that people know and visit for its boats and for its fish.</p>";
    bytes.extend(record("http://little.example/", &format!("<html><body>{little}<p>{common}</p></body></html>")));
    std::fs::write(&warc, bytes).unwrap();
    let mut config = config(&[&warc]);
    (config.dedup.near, config.dedup.remove_lines, config.dedup.remove_spans) = (false, true, true);
    let ctx = context(&dir.path().join("run"));
    run(&ctx, &config).unwrap();
    let texts: Vec<String> = documents(&ctx).iter().map(|row| row["text"].clone()).collect();
    assert_eq!(texts.len(), 3);
    assert!(texts[0].contains(&common) && texts[0].contains("All rights"));
    for (text, topic) in texts[1..].iter().zip(["river", "harbour"]) {
        assert!(!text.contains("All rights") && !text.contains(&common[..common.len() / 2]), "{text}");
        assert!(text.contains(&own(topic)), "{text}");
    }
    let refused = rejected(&ctx);
    assert_eq!(refused.iter().map(|row| row["reason"].as_str()).collect::<Vec<_>>(), ["duplicate_text"]);
    let counts = Manifest::load(&ctx.stage_dir).unwrap().summary().counts;
    assert!(counts["removed.lines"] >= 2 && counts["removed.chars"] > common.len() as u64, "{counts:?}");

    // Runs alone: the same paragraph goes, whole sentences at a time.
    config.dedup.remove_lines = false;
    let ctx = context(&dir.path().join("runs"));
    run(&ctx, &config).unwrap();
    let text = &documents(&ctx)[1]["text"];
    assert!(text.contains(&own("river")) && text.contains("All rights"), "{text}");
    assert!(!text.contains(&common), "{text}");
    assert!(Manifest::load(&ctx.stage_dir).unwrap().summary().counts["removed.spans"] >= 2);
}

#[test]
fn refused_rows_are_capped_and_counted_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.warc.gz");
    let mut bytes = Vec::new();
    for n in 0..5 {
        bytes.extend(record(&format!("http://short{n}.example/"), "<p>Too short.</p>"));
        // The second one and those behind it are duplicates.
        bytes.extend(record(&format!("http://copy{n}.example/"), &page("bridge")));
    }
    std::fs::write(&input, bytes).unwrap();
    for dedup in [true, false] {
        let mut config = config(&[&input]);
        config.dedup.enabled = dedup;
        let go = |config: &Config| {
            let ctx = context(&dir.path().join(format!("{dedup} {}", config.rejected_per_reason)));
            run(&ctx, config).unwrap();
            let mut counts = Manifest::load(&ctx.stage_dir).unwrap().summary().counts;
            counts.retain(|name, _| !name.starts_with("micros."));
            (rejected(&ctx), documents(&ctx), counts)
        };
        let (all, kept, counts) = go(&config);
        assert_eq!(all.len(), if dedup { 9 } else { 5 });
        config.rejected_per_reason = 2;
        let (capped, kept_too, counts_too) = go(&config);
        // Two of each reason, in their order.
        let mut rest = all.iter();
        assert!(capped.iter().all(|row| rest.any(|other| other == row)), "{capped:?} of {all:?}");
        for reason in all.iter().map(|row| &row["reason"]) {
            assert_eq!(capped.iter().filter(|row| row["reason"] == *reason).count(), 2);
        }
        assert_eq!(capped.len(), if dedup { 4 } else { 2 });
        assert!(kept == kept_too && counts == counts_too);
    }
}

#[test]
fn refused_rows_under_a_cap_are_of_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.warc.gz");
    std::fs::write(
        &input,
        (0..1000).flat_map(|n| record(&format!("http://short{n:04}.example/"), "<p>Too short.</p>")).collect::<Vec<_>>(),
    )
    .unwrap();
    let mut config = config(&[&input]);
    config.rejected_per_reason = 100;
    let samples = [true, false].map(|dedup| {
        config.dedup.enabled = dedup;
        let ctx = context(&dir.path().join(dedup.to_string()));
        run(&ctx, &config).unwrap();
        let rows: Vec<String> = rejected(&ctx).into_iter().map(|row| row["url"].clone()).collect();
        assert!(!ctx.stage_dir.work_file("sampled", "00000.parquet").exists());
        rows
    });
    assert_eq!(samples[0], samples[1]);
    let rows = &samples[0];
    assert!(rows.len() == 100 && rows.is_sorted());
    // A quarter holds 25 with a standard deviation of 4.
    for quarter in 0..4 {
        let within = rows.iter().filter(|url| url[12..16].parse::<usize>().unwrap() / 250 == quarter).count();
        assert!((13..=37).contains(&within), "{within} rows of quarter {quarter}");
    }
}

#[test]
fn workers_keep_the_same_refused_rows_under_a_cap() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&[&fixtures().join("crawl")]);
    let all = context(&dir.path().join("all"));
    run(&all, &config).unwrap();
    config.rejected_per_reason = 1;
    let (single, shared) = (context(&dir.path().join("single")), context(&dir.path().join("shared")));
    run(&single, &config).unwrap();
    for name in ["extract", "join", "decide"] {
        share(&shared, &config, name, 3);
    }
    assert!(outputs(&single) == outputs(&shared), "workers gave other bytes");
    assert!(rejected(&single).len() < rejected(&all).len(), "the cap left nothing out");
}

#[test]
fn documents_say_where_they_are_from() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.warc");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nServer: nginx\r\n";
    let body = page("bridge");
    let block = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}", body.len() + 9);
    let record = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/\r\nWARC-Date: 2024-05-06T07:08:09Z\r\n\
         Content-Type: application/http\r\nContent-Length: {}\r\n\r\n{block}\r\n\r\n",
        block.len()
    );
    std::fs::write(&input, record).unwrap();
    let (ctx, mut config) = (context(&dir.path().join("run")), config(&[&input]));
    let columns = ["crawl_date", "truncated", "http_headers"];
    let expected = ["2024-05-06T07:08:09Z", "coding", "content-type: text/html\nserver: nginx\ntransfer-encoding: chunked"];
    run(&ctx, &config).unwrap();
    // And the same when it is decided again without the archive.
    for again in [false, true] {
        if again {
            config.filter.max_pii = Some(1000);
            run(&StageContext { config_digest: handoff::Digest::of_bytes(b"other"), ..ctx.clone() }, &config).unwrap();
        }
        let rows = read(&ctx, false, &columns);
        assert_eq!(rows.len(), 1);
        assert_eq!(columns.map(|name| rows[0][name].as_str()), expected);
    }
}
