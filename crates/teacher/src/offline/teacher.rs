//! The rules as a [`Teacher`].

use serde_json::Value;

use super::{RULES_VERSION, RuleLanguage, find};
use crate::{AskError, Message, Pair, Reply, Request, Result, Teacher, Usage};

/// Answers a document with the pairs its own sentences hold. No model is involved, and it costs nothing.
#[derive(Debug, Default)]
pub struct OfflineTeacher;

impl OfflineTeacher {
    /// The request for one document: the text as it is, and its language tag.
    pub fn request(text: &str, language: &str) -> Request {
        let mut params = serde_json::Map::new();
        params.insert("language".into(), language.into());
        Request { model: format!("rules/{RULES_VERSION}"), messages: vec![Message::new("user", text)], params }
    }
}

impl Teacher for OfflineTeacher {
    fn name(&self) -> &str {
        "offline"
    }

    fn endpoint(&self) -> &str {
        "offline"
    }

    fn ask(&self, request: &Request) -> Result<Reply, AskError> {
        let text = request.messages.last().map_or("", |m| m.content.as_str());
        let language = request.params.get("language").and_then(Value::as_str).unwrap_or("und");
        let found = RuleLanguage::of(language).map_or_else(Vec::new, |l| find(text, l));
        let pairs: Vec<Pair> = found
            .into_iter()
            .map(|f| Pair {
                answer: text[f.answer.clone()].to_owned(),
                question: f.question,
                rule: Some(f.rule.to_owned()),
                span: Some((f.answer.start, f.answer.end)),
            })
            .collect();
        let content = serde_json::json!({ "pairs": pairs }).to_string();
        Ok(Reply {
            content,
            finish_reason: "stop".into(),
            model: request.model.clone(),
            id: None,
            usage: Usage::default(),
            usage_estimated: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_pairs_with_spans() {
        let text = "The capital of Peru is Lima.";
        let reply = OfflineTeacher.ask(&OfflineTeacher::request(text, "en")).unwrap();
        let pairs = crate::parse_pairs(&reply.content).unwrap();
        assert_eq!(pairs[0].question, "What is the capital of Peru?");
        let (from, to) = pairs[0].span.unwrap();
        assert_eq!(&text[from..to], "Lima");
        let none = OfflineTeacher.ask(&OfflineTeacher::request(text, "fr")).unwrap();
        assert_eq!(none.content, r#"{"pairs":[]}"#);
    }
}
