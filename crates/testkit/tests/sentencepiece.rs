//! The chain with tokenizers in the manner of SentencePiece, as Llama 2 (BPE with byte fallback) and T5 (Unigram) have them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use handoff::{RunDir, ShardReader, TokenWidth, columns, schema};
use serde_json::{Value, json};
use testkit::workspace;
use text::Tokenizer;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, ModelWrapper, Tokenizer as Library};

const SPECIAL: [&str; 4] = ["<unk>", "<s>", "</s>", "<pad>"];

/// Trained by the library on the texts; a vocabulary that lacks many Han characters.
fn trained(model: impl Into<ModelWrapper>, mut trainer: TrainerWrapper, texts: &[String]) -> Value {
    let mut library = Library::new(model);
    library.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    library.train(&mut trainer, texts.iter().map(String::as_str)).unwrap();
    serde_json::from_str(&library.to_string(false).unwrap()).unwrap()
}

fn special() -> Value {
    let token = |(content, id): (&str, u32)| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    SPECIAL.into_iter().zip(0..).map(token).collect()
}

/// As Llama 2's: spaces become `▁` in a normalizer, nothing is cut before merging, and what has no token is spelled in bytes.
fn llama2(texts: &[String]) -> Value {
    let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
    let tokens: Vec<AddedToken> = SPECIAL.map(String::from).into_iter().chain(bytes).map(|token| AddedToken::from(token, true)).collect();
    let trainer = BpeTrainer::builder().vocab_size(700).limit_alphabet(150).show_progress(false).special_tokens(tokens).build();
    let mut json = trained(BPE::default(), trainer.into(), texts);
    json["added_tokens"] = special();
    json["model"]["byte_fallback"] = true.into();
    json["model"]["fuse_unk"] = true.into();
    json["model"]["unk_token"] = "<unk>".into();
    json["pre_tokenizer"] = Value::Null;
    json["normalizer"] = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]});
    json["decoder"] = json!({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
    json["post_processor"] = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}});
    json
}

/// As T5's: the likeliest cut of a text, and one unknown token for what it cannot spell.
fn t5(texts: &[String]) -> Value {
    let tokens = SPECIAL.map(|token| AddedToken::from(token, true)).to_vec();
    let mut trainer = UnigramTrainer::builder();
    let trainer = trainer.vocab_size(700).show_progress(false).special_tokens(tokens).unk_token(Some("<unk>".into())).build().unwrap();
    let mut json = trained(Unigram::default(), trainer.into(), texts);
    json["decoder"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    json
}

/// Texts of the documents of a run, with their ids.
fn documents(run: &RunDir) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(run.stage("crawl-clean").data()).unwrap() {
        for batch in ShardReader::open(&entry.unwrap().path(), &schema::documents()).unwrap().batches_of(1000, &["id", "text"]).unwrap() {
            let batch = batch.unwrap();
            let (ids, texts) = (columns::strings(&batch, "id").unwrap(), columns::strings(&batch, "text").unwrap());
            out.extend((0..batch.num_rows()).map(|row| (ids.value(row).to_string(), texts.value(row).to_string())));
        }
    }
    out.sort();
    out
}

fn chain(dir: &Path, make: impl Fn(&[String]) -> Value, begin: Option<u32>) {
    let crawl = workspace().join("fixtures/reduced");
    let heldout = workspace().join("fixtures/world_qa/heldout.jsonl");
    std::fs::write(
        dir.join("chain.toml"),
        format!(
            r#"
run = "chain"
[stage.crawl-clean]
inputs = ['{crawl}']
[stage.tokenize]
inputs = ["crawl-clean"]
tokenizer = "taken"
[stage.shard]
inputs = ["tokenize"]
seq_len = 64
validation_share = 0.1
[stage.pretrain]
inputs = "shard"
tokenizer = "tokenize"
hidden_size = 32
num_layers = 2
num_heads = 2
batch_rows = 8
steps = 4
threads = 1
[stage.reverse-distill]
documents = "crawl-clean"
decontaminate = []
[stage.sft]
pairs = "reverse-distill"
tokenizer = "tokenize"
init_from = "pretrain"
steps = 2
threads = 1
[stage.eval]
tasks = ['{heldout}']
validation = "shard"
max_new_tokens = 4
models = [{{ name = "pretrain", from = "pretrain" }}, {{ name = "sft", from = "sft" }}]
"#,
            crawl = crawl.display(),
            heldout = heldout.display(),
        ),
    )
    .unwrap();
    testkit::run(dir, "crawl-clean", &["--config", "chain.toml"]).expect(0);
    let run = RunDir::new(dir.join("runs/chain"));
    let documents = documents(&run);
    let texts: Vec<String> = documents.iter().map(|document| document.1.clone()).collect();
    std::fs::create_dir(dir.join("taken")).unwrap();
    std::fs::write(dir.join("taken/tokenizer.json"), make(&texts).to_string()).unwrap();
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>"});
    std::fs::write(dir.join("taken/tokenizer_config.json"), config.to_string()).unwrap();
    testkit::run(dir, "pipeline", &["--config", "chain.toml"]).expect(0);

    let library = Library::from_file(dir.join("taken/tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::load(&run.stage("tokenize").tokenizer_dir()).unwrap();
    let mut encoded = Vec::new();
    for entry in std::fs::read_dir(run.stage("tokenize").data()).unwrap() {
        for batch in ShardReader::open(&entry.unwrap().path(), &schema::tokens(TokenWidth::U16)).unwrap().batches(1000).unwrap() {
            let batch = batch.unwrap();
            let names = columns::strings(&batch, "document_id").unwrap();
            let rows = columns::token_rows(&batch, "input_ids").unwrap();
            encoded.extend(rows.into_iter().enumerate().map(|(row, ids)| (names.value(row).to_string(), ids)));
        }
    }
    encoded.sort();
    assert_eq!(encoded.len(), documents.len());
    let (mut fallen_back, mut bytes) = (0, 0);
    for ((name, ids), (id, text)) in encoded.iter().zip(&documents) {
        let own = library.encode_fast(text.as_str(), false).unwrap();
        let expected: Vec<u32> = begin.into_iter().chain(own.get_ids().iter().copied()).chain([2]).collect();
        assert_eq!((name, ids), (id, &expected));
        fallen_back += own.get_ids().iter().filter(|id| tokenizer.token(**id).is_some_and(|token| token.starts_with("<0x"))).count();
        let spelled: Vec<u8> = own.get_ids().iter().flat_map(|id| tokenizer.token_bytes(*id)).collect();
        if !own.get_ids().contains(&0) {
            assert_eq!(String::from_utf8(spelled).unwrap(), format!(" {text}"), "every byte is spelled, and a space before");
        }
        bytes += text.len() as i64;
    }
    assert_eq!(fallen_back > 1000, begin.is_some(), "{fallen_back} bytes");

    let mut counted = 0;
    for entry in std::fs::read_dir(run.stage("shard").data()).unwrap() {
        for batch in ShardReader::open(&entry.unwrap().path(), &schema::samples(TokenWidth::U16)).unwrap().batches(1000).unwrap() {
            counted += columns::i64s(&batch.unwrap(), "num_bytes").unwrap().iter().flatten().sum::<i64>();
        }
    }
    assert_eq!(counted, bytes, "targets stand for the bytes of the texts, whatever the tokens spell");
    let results = std::fs::read_to_string(run.stage("eval").results_json()).unwrap();
    assert!(results.contains("bits_per_byte"), "{results}");

    // An open model that was only pretrained has no template; it can be asked all the same.
    let bare = dir.join("bare");
    std::fs::create_dir(&bare).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "special_tokens_map.json"] {
        std::fs::copy(run.stage("pretrain").model().join(file), bare.join(file)).unwrap();
    }
    assert!(Tokenizer::load(&bare).unwrap().chat_template().is_none());
    let asked = r#"stage.eval.models=[{name="bare",from="bare"}]"#;
    testkit::run(dir, "eval", &["--config", "chain.toml", "--set", asked]).expect(0);
    assert!(std::fs::read_to_string(run.stage("eval").results_json()).unwrap().contains("bare"));
}

#[test]
fn a_tokenizer_like_llama_2s_goes_through_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    chain(dir.path(), llama2, Some(1));
}

#[test]
fn a_tokenizer_like_t5s_goes_through_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    chain(dir.path(), t5, None);
}
