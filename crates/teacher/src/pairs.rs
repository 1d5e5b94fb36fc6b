//! Pairs of questions and answers in a reply.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A pair as a teacher wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// The rule that found it, if a rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the answer stands in the document, bytes, if the teacher knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<(usize, usize)>,
}

/// Reads the pairs of a reply: `{"pairs": [...]}` or a bare list, with or without a code fence around it.
///
/// # Errors
/// What is wrong with it, if it is no such JSON, or an item has no question or answer.
pub fn parse_pairs(content: &str) -> Result<Vec<Pair>, String> {
    let mut text = content.trim();
    if let Some(rest) = text.strip_prefix("```") {
        text = rest.trim_start_matches("json").trim();
        text = text.strip_suffix("```").unwrap_or(text).trim();
    }
    let value: Value = serde_json::from_str(text).map_err(|e| format!("no JSON: {e}"))?;
    let list = match &value {
        Value::Array(list) => list,
        Value::Object(map) => map.get("pairs").and_then(Value::as_array).ok_or("no list `pairs`")?,
        _ => return Err("neither an object nor a list".into()),
    };
    list.iter()
        .enumerate()
        .map(|(i, item)| {
            let number = |v: &Value| v.as_u64().map(|n| n as usize);
            let text = |name: &str| {
                let value = item.get(name).ok_or_else(|| format!("pair {i} has no `{name}`"))?;
                match value {
                    Value::String(s) => Ok(s.trim().to_owned()),
                    Value::Number(n) => Ok(n.to_string()),
                    _ => Err(format!("`{name}` of pair {i} is no text")),
                }
            };
            let span = item.get("span").and_then(|s| Some((number(s.get(0)?)?, number(s.get(1)?)?)));
            Ok(Pair {
                question: text("question")?,
                answer: text("answer")?,
                rule: item.get("rule").and_then(Value::as_str).map(str::to_owned),
                span,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_in_many_dresses() {
        let pair = |q: &str, a: &str| Pair { question: q.into(), answer: a.into(), rule: None, span: None };
        let one = vec![pair("Q?", "A")];
        for text in [
            r#"{"pairs":[{"question":"Q?","answer":"A"}]}"#,
            r#"[{"question":" Q? ","answer":"A"}]"#,
            "```json\n{\"pairs\":[{\"question\":\"Q?\",\"answer\":\"A\"}]}\n```",
        ] {
            assert_eq!(parse_pairs(text).unwrap(), one, "{text}");
        }
        assert_eq!(parse_pairs(r#"{"pairs":[{"question":"几颗？","answer":2}]}"#).unwrap(), vec![pair("几颗？", "2")]);
        assert_eq!(parse_pairs(r#"{"pairs":[]}"#).unwrap(), vec![]);
        let found = parse_pairs(r#"{"pairs":[{"question":"Q?","answer":"A","rule":"r","span":[3,4]}]}"#).unwrap();
        assert_eq!((found[0].rule.as_deref(), found[0].span), (Some("r"), Some((3, 4))));
    }

    #[test]
    fn malformed_replies_say_what_is_wrong() {
        for (text, want) in [
            ("Sure! Here", "no JSON"),
            ("{\"pairs\":[{\"question\":\"Q", "no JSON"),
            ("3", "neither"),
            ("{}", "`pairs`"),
            (r#"[{"question":"Q?"}]"#, "`answer`"),
            (r#"[{"question":"Q?","answer":[]}]"#, "no text"),
        ] {
            let message = parse_pairs(text).unwrap_err();
            assert!(message.contains(want), "{message}");
        }
    }
}
