//! Encoding of text that nobody vouches for: what spells a special token in it is text.

use std::collections::HashSet;

use serde_json::Value;
use tokenizers::{Model, ModelWrapper, Tokenizer};

/// `parsing`, but special tokens are not looked for in a text; and the id for text that the model has no piece for.
///
/// The library's switch for that is not enough where the model finds whole pieces in its vocabulary and special tokens are among them
/// (Unigram, WordPiece, BPE with `ignore_merges`). There they are given names that no text has; ids stay as they are.
///
/// # Errors
/// A model that cannot be built anew.
pub(crate) fn plain(parsing: &Tokenizer, specials: &[(String, u32)]) -> Result<(Tokenizer, Option<u32>), tokenizers::Error> {
    let mut plain = parsing.clone();
    plain.set_encode_special_tokens(true);
    let model = plain.get_model();
    let mut unk_id = match model {
        ModelWrapper::BPE(bpe) => bpe.unk_token.as_deref().and_then(|token| model.token_to_id(token)),
        ModelWrapper::WordPiece(pieces) => model.token_to_id(&pieces.unk_token),
        ModelWrapper::WordLevel(words) => model.token_to_id(&words.unk_token),
        // The library keeps this one to itself.
        ModelWrapper::Unigram(_) => None,
    };
    let is_unigram = matches!(model, ModelWrapper::Unigram(_));
    let finds_pieces = !matches!(model, ModelWrapper::BPE(bpe) if !bpe.ignore_merges);
    let known: HashSet<String> =
        specials.iter().map(|(token, _)| token.clone()).filter(|token| model.token_to_id(token).is_some()).collect();
    if is_unigram || finds_pieces && !known.is_empty() {
        let mut value = serde_json::to_value(model)?;
        if is_unigram {
            unk_id = value["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        }
        hide(&mut value, known);
        let hidden: ModelWrapper = serde_json::from_value(value)?;
        plain.with_model(hidden);
    }
    Ok((plain, unk_id))
}

/// Renames `tokens` in a serialized model, but for those that merges are made of or lead to: they are found without looking for them.
fn hide(model: &mut Value, mut tokens: HashSet<String>) {
    for merge in model["merges"].as_array().into_iter().flatten() {
        let parts: Vec<&str> = merge.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        tokens.remove(&parts.concat());
        for part in parts {
            tokens.remove(part);
        }
    }
    // U+10FFFF is no character and never will be.
    let name = |token: &str| format!("\0{token}\u{10ffff}");
    match &mut model["vocab"] {
        Value::Object(ids) => {
            for token in &tokens {
                if let Some(id) = ids.remove(token) {
                    ids.insert(name(token), id);
                }
            }
        }
        Value::Array(pieces) => {
            for piece in pieces.iter_mut().filter_map(|scored| scored.get_mut(0)) {
                if let Some(hidden) = piece.as_str().filter(|piece| tokens.contains(*piece)).map(name) {
                    *piece = hidden.into();
                }
            }
        }
        _ => {}
    }
    let unknown = model["unk_token"].as_str().filter(|token| tokens.contains(*token)).map(name);
    if let Some(hidden) = unknown {
        model["unk_token"] = hidden.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    const TEXT: &str = "a b </s> b [PAD]";

    fn check(model: &str, unknown: Option<u32>) {
        let json = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null, "decoder": null,
                "added_tokens": [
                    {{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}},
                    {{"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}},
                    {{"id": 2, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}}],
                "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "model": {model}}}"#
        );
        let parsing = Tokenizer::from_str(&json).unwrap();
        let specials: Vec<(String, u32)> = [("[UNK]", 0), ("</s>", 1), ("[PAD]", 2)].map(|(token, id)| (token.to_owned(), id)).into();
        let ids = |tokenizer: &Tokenizer, text| tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
        assert_eq!(ids(&parsing, TEXT), [3, 4, 1, 4, 2], "{model}");
        let mut unhidden = parsing.clone();
        unhidden.set_encode_special_tokens(true);
        assert!(ids(&unhidden, TEXT).contains(&1), "the library's switch alone does not do it: {model}");
        let (plain, unk_id) = plain(&parsing, &specials).unwrap();
        let got = ids(&plain, TEXT);
        assert!(!got.contains(&1) && !got.contains(&2), "{got:?} {model}");
        assert_eq!(ids(&plain, "a b b a"), [3, 4, 4, 3], "other ids are what they were: {model}");
        assert_eq!(unk_id, unknown, "{model}");
        if let Some(unknown) = unknown {
            assert_eq!(ids(&plain, "a § b"), [3, unknown, 4], "{model}");
        }
    }

    #[test]
    fn special_tokens_of_the_vocabulary_are_not_found_in_text() {
        let vocab = r#"{"[UNK]": 0, "</s>": 1, "[PAD]": 2, "a": 3, "b": 4, "<": 5, "/": 6, "s": 7, ">": 8}"#;
        check(
            &format!(
                r###"{{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {vocab}}}"###
            ),
            Some(0),
        );
        check(&format!(r#"{{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {vocab}}}"#), Some(0));
        check(&format!(r#"{{"type": "BPE", "ignore_merges": true, "vocab": {vocab}, "merges": []}}"#), None);
        let pieces = ["[UNK]", "</s>", "[PAD]", "a", "b", "<", "/", "s", ">"].map(|piece| format!("[\"{piece}\", -1.5]")).join(", ");
        check(&format!(r#"{{"type": "Unigram", "unk_id": 0, "vocab": [{pieces}], "byte_fallback": false}}"#), Some(0));
    }

    #[test]
    fn a_special_token_that_merges_lead_to_stays_a_word() {
        let bpe = r#"{"type": "BPE", "ignore_merges": true, "vocab": {"E": 0, "O": 1, "EO": 2}, "merges": [["E", "O"]]}"#;
        let mut value: Value = serde_json::from_str(bpe).unwrap();
        let before = value.clone();
        hide(&mut value, HashSet::from(["EO".to_owned(), "E".to_owned()]));
        assert_eq!(value["vocab"], before["vocab"]);
    }
}
