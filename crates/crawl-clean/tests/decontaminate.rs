//! Questions of evaluation tasks leave the crawled text, and the facts they ask for stay.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{config, context, documents, fixtures, rejected, run};
use crawl_clean::config::OnHit;
use handoff::Manifest;

#[test]
fn only_questions_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&[&fixtures().join("crawl/00-pages.warc.gz")]);
    let plain = context(&dir.path().join("plain"));
    run(&plain, &config).unwrap();
    config.decontaminate.tasks =
        ["seen", "heldout"].map(|name| fixtures().join(format!("world_qa/{name}.jsonl")).display().to_string()).into();
    let clean = context(&dir.path().join("clean"));
    let report = run(&clean, &config).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("world_qa_seen")), "{:?}", report.notes);
    assert_eq!(report.watch.iter().filter(|path| path.ends_with("seen.jsonl")).count(), 1);
    let (before, after) = (documents(&plain), documents(&clean));
    assert_eq!(before.len(), after.len());
    let mut changed = 0;
    for (before, after) in before.iter().zip(&after) {
        let (before, after) = (&before["text"], &after["text"]);
        changed += u64::from(before != after);
        for sentence in corpus::sentences(before).into_iter().map(|range| &before[range]) {
            assert!(after.contains(sentence) || sentence.ends_with(['?', '？']), "{sentence}");
        }
    }
    let counts = Manifest::load(&clean.stage_dir).unwrap().summary().counts;
    assert!(changed > 5 && counts["contaminated.world_qa_seen"] == changed, "{changed}, {counts:?}");
    // Other content of a task file is another configuration.
    assert_eq!(run(&clean, &config).unwrap().inputs_done, 0);
    config.decontaminate.on_hit = OnHit::Drop;
    config.decontaminate.tasks.truncate(1);
    assert_eq!(run(&clean, &config).unwrap().inputs_done, 1);
    let dropped = rejected(&clean).into_iter().filter(|row| row["reason"] == "contaminated").count() as u64;
    assert_eq!(dropped, changed);
}
