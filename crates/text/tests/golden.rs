//! What `transformers` makes of the same templates and texts; made by `scripts/make_text_golden.py`.
//!
//! `TEXT_GOLDEN=<file>` runs the template test on other cases, which `--extra` of that script writes.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use text::{ChatTemplate, Message, RenderOptions, SpanSource, Tokenizer};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/text").join(name)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn options(case: &Value) -> RenderOptions {
    let mut variables = case["options"].as_object().expect("an object").clone();
    let add_generation_prompt = variables.remove("add_generation_prompt") == Some(Value::Bool(true));
    // 2024-02-29 12:34:56 UTC, as in the script.
    let now = Some(UNIX_EPOCH + Duration::from_secs(1_709_210_096));
    RenderOptions { add_generation_prompt, tools: variables.remove("tools"), documents: None, variables, now }
}

/// What differs from the golden case, if anything.
fn differs(case: &Value) -> Option<String> {
    let source = case["source"].as_str().expect("a string");
    let template = match ChatTemplate::new(source, case["bos"].as_str(), case["eos"].as_str()) {
        Ok(template) => template,
        Err(error) => return Some(format!("does not parse: {error}")),
    };
    let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).expect("messages");
    let options = options(case);
    let text = template.text(&messages, &options);
    let Some(expected) = case["text"].as_str() else {
        return text.is_ok().then(|| format!("accepted, though refused with {}", case["error"]));
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => return Some(format!("refused: {error}")),
    };
    if text != expected {
        return Some(format!("text differs\n  expected {expected:?}\n  got      {text:?}"));
    }
    let spans = case["spans"].as_array()?;
    let rendered = template.render(&messages, &options).expect("rendered before");
    assert_eq!(rendered.spans_from, SpanSource::GenerationTags);
    let got: Vec<Value> = rendered.assistant.iter().map(|span| serde_json::json!([span.start, span.end])).collect();
    (&got != spans).then(|| format!("spans differ: expected {spans:?}, got {got:?}"))
}

#[test]
fn templates_render_as_in_transformers() {
    let path = std::env::var("TEXT_GOLDEN").map_or_else(|_| golden("chat_templates.jsonl"), PathBuf::from);
    let cases = lines(&path);
    assert!(cases.len() > 50, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        if let Some(difference) = differs(case) {
            failures.push(format!(
                "{} on {} {}: {difference}",
                case["template"], case["conversation"], case["options"]["add_generation_prompt"]
            ));
        }
    }
    assert!(failures.is_empty(), "{} of {} cases differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn a_trained_tokenizer_encodes_as_in_transformers() {
    let tokenizer = Tokenizer::load(&golden("tokenizer")).expect("loads");
    for case in lines(&golden("encodings.jsonl")) {
        let text = case["text"].as_str().expect("a string");
        let ids = |key: &str| -> Vec<u32> { serde_json::from_value(case[key].clone()).expect("ids") };
        assert_eq!(tokenizer.encode(text).expect("encodes"), ids("ids"), "{text:?}");
        assert_eq!(tokenizer.encode_parsing_special(text).expect("encodes"), ids("ids_parsing_special"), "{text:?}");
        assert_eq!(tokenizer.decode(&ids("ids")).expect("decodes"), text);
    }
}
