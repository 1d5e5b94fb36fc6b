//! Deciding again from what was extracted, lists and models of the user, and the commands that look at a run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use arrow::array::{Float64Array, RecordBatch, StructArray};
use common::{config, context, documents, outputs, page, record, rejected, run};
use crawl_clean::Config;
use handoff::Manifest;
use std::path::Path;

fn crawl(folder: &Path) {
    let mut bytes = Vec::new();
    for topic in ["river", "harbour", "bridge"] {
        bytes.extend(record(&format!("http://a.example/{topic}"), &page(topic)));
    }
    bytes.extend(record("http://a.example/short", "<p>Too short to keep, and with a { bracket."));
    bytes.extend(record("http://spam.example/x", &page("casino")));
    bytes.extend(record("http://a.example/copy", &page("river")));
    bytes.extend(b"garbage that is no record\r\n\r\n");
    std::fs::write(folder.join("a.warc"), bytes).unwrap();
}

fn counts(ctx: &stage::StageContext, name: &str) -> u64 {
    Manifest::load(&ctx.stage_dir).unwrap().units().values().filter_map(|unit| unit.counts.get(name)).sum()
}

#[test]
fn deciding_again_is_the_same_as_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    crawl(&input);
    std::fs::write(dir.path().join("domains.txt"), "spam.example\n").unwrap();
    let changes: [fn(&mut Config, &Path); 6] = [
        |c, _| c.filter.words.min_units = Some(500),
        |c, _| c.filter.preset = "fineweb".into(),
        |c, _| (c.filter.replace_pii, c.dedup.near) = (false, false),
        |c, _| (c.filter.enabled, c.language.enabled) = (false, false),
        |c, _| c.languages = vec!["zh".into()],
        |c, dir| c.url.domains = vec![dir.join("domains.txt").display().to_string()],
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let (again, fresh) = (context(&dir.path().join(format!("again{i}"))), context(&dir.path().join(format!("fresh{i}"))));
        run(&again, &config(&[&input])).unwrap();
        let mut changed = config(&[&input]);
        change(&mut changed, dir.path());
        // What the stage's runner does with a changed configuration.
        let other = |ctx: &stage::StageContext| stage::StageContext { config_digest: handoff::Digest::of_bytes(b"other"), ..ctx.clone() };
        run(&other(&again), &changed).unwrap();
        changed.keep_extracted = false;
        run(&other(&fresh), &changed).unwrap();
        assert_eq!(outputs(&again), outputs(&fresh), "change {i}");
        assert!(!fresh.stage_dir.side_shard("extracted", 0).exists());
        // Deciding again extracts nothing; a changed list of addresses does.
        assert_eq!(counts(&again, "micros.extract") > 0, i == 5, "change {i}");
    }
}

#[test]
fn phases_and_workers_decide_again_too() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    crawl(&input);
    common::warc(&input.join("b.warc.gz"), &["river", "meadow"]);
    let (again, fresh) = (context(&dir.path().join("again")), context(&dir.path().join("fresh")));
    let mut config = config(&[&input]);
    run(&again, &config).unwrap();
    config.filter.words.min_sentences = Some(13);
    let other = |ctx: &stage::StageContext| stage::StageContext { config_digest: handoff::Digest::of_bytes(b"other"), ..ctx.clone() };
    run(&other(&fresh), &config).unwrap();
    for phase in ["extract", "join", "decide"] {
        for index in 0..2 {
            let worker = stage::Worker { index, count: 2 };
            run(&stage::StageContext { phase: Some(phase.into()), worker, ..other(&again) }, &config).unwrap();
        }
    }
    assert_eq!(outputs(&again), outputs(&fresh));
    assert_eq!(counts(&again, "micros.extract"), 0);
    assert!(counts(&again, "rejected.few_sentences") > 0);
    // An input that is gone takes its table with it; one that changes before another has only itself extracted anew.
    std::fs::remove_file(input.join("b.warc.gz")).unwrap();
    let table = |index| again.stage_dir.side_shard("extracted", index);
    assert!(table(0).exists() && table(1).exists());
    run(&stage::StageContext { prune: true, ..other(&again) }, &config).unwrap();
    assert!(table(0).exists() && !table(1).exists());
}

#[test]
fn a_page_tells_all_its_faults_and_its_scores() {
    let dir = tempfile::tempdir().unwrap();
    crawl(dir.path());
    let ctx = context(&dir.path().join("run"));
    run(&ctx, &config(&[&dir.path().join("a.warc")])).unwrap();
    let manifest = Manifest::load(&ctx.stage_dir).unwrap();
    let entry = manifest.in_order()[0];
    let open = |file: &handoff::OutputFile, table| {
        handoff::ShardReader::open(&ctx.stage_dir.absolute(&file.path), &table).unwrap().batches(100).unwrap().next().unwrap().unwrap()
    };
    let batch = open(&entry.rejected[0], handoff::schema::rejected());
    let row = rejected(&ctx).iter().position(|row| row["url"].ends_with("/short")).unwrap();
    let list = handoff::columns::lists(&batch, "failed_rules").unwrap().value(row);
    let failed: Vec<&str> = list.as_any().downcast_ref::<arrow::array::StringArray>().unwrap().iter().flatten().collect();
    assert_eq!(failed[0], "too_short");
    assert!(failed.contains(&"curly_bracket") && failed.contains(&"few_sentences"), "{failed:?}");
    for (batch, row) in [(&batch, row), (&open(&entry.outputs[0], handoff::schema::documents()), 0)] {
        let scores = batch.column_by_name("scores").unwrap();
        let scores = scores.as_any().downcast_ref::<arrow::array::StructArray>().unwrap();
        let units = scores.column_by_name("units").unwrap().as_any().downcast_ref::<arrow::array::Float64Array>().unwrap().value(row);
        assert!(units > 5.0);
    }
}

/// A field of column `scores` of every document.
fn each_document(ctx: &stage::StageContext, mut look: impl FnMut(&RecordBatch)) {
    let manifest = Manifest::load(&ctx.stage_dir).unwrap();
    for file in manifest.in_order().iter().flat_map(|unit| &unit.outputs) {
        let reader = handoff::ShardReader::open(&ctx.stage_dir.absolute(&file.path), &handoff::schema::documents()).unwrap();
        reader.batches(100).unwrap().for_each(|batch| look(&batch.unwrap()));
    }
}

fn score(ctx: &stage::StageContext, name: &str) -> Vec<Option<f64>> {
    let mut out = Vec::new();
    each_document(ctx, |batch| {
        let scores = batch.column_by_name("scores").unwrap().as_any().downcast_ref::<StructArray>().unwrap();
        out.extend(scores.column_by_name(name).unwrap().as_any().downcast_ref::<Float64Array>().unwrap().iter());
    });
    out
}

#[test]
fn lists_refuse_by_address_before_a_body_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    crawl(dir.path());
    // A body that does not decode as its header says.
    let http =
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n".as_slice(), b"\x1f\x8b\x08\x00broken"].concat();
    let raw = |url: &str| {
        let head = format!("WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http\r\n");
        [format!("{head}Content-Length: {}\r\n\r\n", http.len()).as_bytes(), &http, b"\r\n\r\n"].concat()
    };
    std::fs::write(dir.path().join("b.warc"), [raw("http://b.example/赌场/1"), raw("http://b.example/good")].concat()).unwrap();
    std::fs::write(dir.path().join("domains.txt"), "spam.example").unwrap();
    std::fs::write(dir.path().join("urls.txt"), "https://a.example/bridge/").unwrap();
    std::fs::write(dir.path().join("words.txt"), "赌场").unwrap();
    let ctx = context(&dir.path().join("run"));
    let ctx = stage::StageContext { config_dir: dir.path().to_owned(), ..ctx };
    let mut config = config(&[&dir.path().join("a.warc"), &dir.path().join("b.warc")]);
    config.url.domains = vec!["domains.txt".into()];
    config.url.urls = vec!["urls.txt".into()];
    config.url.hard_words = vec!["words.txt".into()];
    let report = run(&ctx, &config).unwrap();
    assert_eq!(report.watch.iter().filter(|path| path.ends_with("words.txt")).count(), 1);
    let refused = rejected(&ctx);
    let told = |url: &str| {
        let row = refused.iter().find(|row| row["url"] == url).unwrap();
        (row["reason"].as_str(), row["detail"].as_str())
    };
    assert_eq!(told("http://spam.example/x"), ("url_domain", "spam.example"));
    assert_eq!(told("http://a.example/bridge"), ("url_listed", "a.example/bridge"));
    assert_eq!(told("http://b.example/赌场/1"), ("url_words", "赌场"));
    assert_eq!(told("http://b.example/good").0, "body_broken");
    assert_eq!((counts(&ctx, "rejected.url_domain"), counts(&ctx, "rejected.url_words")), (1, 1));
    // Other content of a list is another configuration; a list that is missing is an error.
    assert_eq!(run(&ctx, &config).unwrap().inputs_done, 0);
    std::fs::write(dir.path().join("domains.txt"), "other.example").unwrap();
    assert_eq!(run(&ctx, &config).unwrap().inputs_done, 2);
    assert_eq!(counts(&ctx, "rejected.url_domain"), 0);
    config.url.domains = vec!["no such file".into()];
    assert!(run(&ctx, &config).unwrap_err().to_string().contains("no such file"));
}

#[test]
fn models_of_the_user_decide() {
    let dir = tempfile::tempdir().unwrap();
    crawl(dir.path());
    let text = "The river valley and its mountain history.";
    let mut config = config(&[&dir.path().join("a.warc")]);
    let model = common::fixtures().join("fasttext/topic.ftz");
    config.quality.model = Some(model.display().to_string());
    config.quality.label = "__label__good".into();
    config.quality.min_score = 0.0;
    let judged = context(&dir.path().join("all"));
    run(&judged, &config).unwrap();
    // The score of the column is that of the model for the text.
    let reader = crawl_clean::model::TextModel::read(&std::fs::read(&model).unwrap()).unwrap();
    assert!(reader.probability(text, "good") > 0.8);
    let want: Vec<f64> = documents(&judged).iter().map(|row| f64::from(reader.probability(&row["text"], "good"))).collect();
    let got: Vec<f64> = score(&judged, "model_quality").into_iter().flatten().collect();
    assert!(got.len() >= 3 && got == want, "{got:?}, not {want:?}");
    // A threshold in the midst of them keeps those above it.
    let mut sorted = got.clone();
    sorted.sort_by(f64::total_cmp);
    config.quality.min_score = f64::midpoint(sorted[0], sorted[1]);
    let some = context(&dir.path().join("some"));
    run(&some, &config).unwrap();
    assert_eq!(documents(&some).len(), got.len() - 1);
    let refused = rejected(&some);
    assert_eq!(refused.iter().filter(|row| row["reason"] == "quality").count(), 1);
    config.quality.label = "nothing".into();
    let error = run(&some, &config).unwrap_err();
    assert!(error.to_string().contains("no label `nothing`") && error.exit() == stage::Exit::Usage, "{error}");
    config.quality.model = None;
    config.language.model = Some(model.display().to_string());
    config.language.model_min_score = 0.0;
    let tongues = context(&dir.path().join("tongues"));
    run(&tongues, &config).unwrap();
    // The model's labels are no languages that are wanted.
    let labels = ["good", "spam", "code"];
    let refused = rejected(&tongues);
    assert!(documents(&tongues).is_empty());
    assert!(refused.iter().any(|row| row["reason"] == "language" && labels.contains(&row["detail"].as_str())));
    // Where it is not sure enough the language is und, which is none of them either, unless asked for.
    config.language.model_min_score = 1.1;
    config.languages.push("und".into());
    let unsure = context(&dir.path().join("unsure"));
    run(&unsure, &config).unwrap();
    assert!(!documents(&unsure).is_empty() && documents(&unsure).iter().all(|row| row["language"] == "und"));
    assert!(score(&unsure, "model_language").iter().all(|score| score.is_some_and(|score| score > 0.3)));
}

#[test]
fn too_much_personal_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = page("river").replace("</p>", " Mail a@example.org, b@example.org or c@example.org.</p>");
    std::fs::write(dir.path().join("a.warc"), record("http://a.example/", &text)).unwrap();
    let reason = |max: Option<u64>, name: &str| {
        let ctx = context(&dir.path().join(name));
        let mut config = config(&[&dir.path().join("a.warc")]);
        config.filter.max_pii = max;
        run(&ctx, &config).unwrap();
        (rejected(&ctx).first().map(|row| row["reason"].clone()), counts(&ctx, "pii.emails"))
    };
    assert_eq!(reason(None, "none"), (None, 6));
    assert_eq!(reason(Some(6), "six"), (None, 6));
    assert_eq!(reason(Some(5), "five"), (Some("personal_data".into()), 0));
}

#[test]
fn personal_data_beside_the_text_is_replaced_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let pair = r#"{"@type":"Question","name":"Who is a@example.org?","acceptedAnswer":{"@type":"Answer","text":"Call +44 20 7946 0958."}}"#;
    let head = format!(
        "<title>Mail b@example.org</title><meta name=author content=c@example.org>\
         <script type=\"application/ld+json\">{{\"@type\":\"FAQPage\",\"mainEntity\":[{pair}]}}</script></head>"
    );
    let text = page("river").replace("<title>river</title></head>", &head).replacen("</p>", " Or mail d@example.org.</p>", 1);
    std::fs::write(dir.path().join("a.warc"), record("http://a.example/", &text)).unwrap();
    for replace in [true, false] {
        let ctx = context(&dir.path().join(format!("{replace}")));
        let mut config = config(&[&dir.path().join("a.warc")]);
        // The limit is that of the text.
        (config.filter.replace_pii, config.filter.max_pii) = (replace, Some(1));
        run(&ctx, &config).unwrap();
        let mut shown = String::new();
        each_document(&ctx, |batch| {
            for name in ["title", "author", "questions", "text"] {
                shown += &arrow::util::display::array_value_to_string(batch.column_by_name(name).unwrap(), 0).unwrap();
            }
        });
        assert_eq!(shown.contains("@example.org") || shown.contains("7946"), !replace, "{shown}");
        assert_eq!(shown.matches("<email>").count(), if replace { 4 } else { 0 }, "{shown}");
        assert_eq!((counts(&ctx, "pii.emails"), counts(&ctx, "pii.phones")), if replace { (4, 1) } else { (0, 0) });
        assert_eq!(score(&ctx, "pii"), [Some(if replace { 5.0 } else { 1.0 })]);
    }
}
