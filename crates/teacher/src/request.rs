//! Requests and replies, and the key that makes two requests the same.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One message of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into() }
    }
}

/// What a teacher is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Model name; the rules' version for the offline teacher.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Everything else that shapes the reply: temperature, seed, token limit.
    pub params: Map<String, Value>,
}

impl Request {
    /// Digest of the canonical JSON of {endpoint, model, messages, params}: 128 bits of BLAKE3 as 32 hex digits.
    ///
    /// Two requests with the same key are the same question and are paid for once.
    pub fn key(&self, endpoint: &str) -> String {
        let value = serde_json::json!({ "endpoint": endpoint, "model": self.model, "messages": self.messages, "params": self.params });
        let mut text = String::new();
        canonical(&value, &mut text);
        let hash = blake3::hash(text.as_bytes());
        hash.to_hex().as_str()[..32].to_owned()
    }

    /// Most tokens the request may cost: an upper estimate of the prompt and the limit of the reply.
    pub fn most_tokens(&self) -> u64 {
        let prompt: u64 = self.messages.iter().map(|m| estimate_tokens(&m.content) + 8).sum();
        let limit = ["max_completion_tokens", "max_tokens"].iter().find_map(|k| self.params.get(*k)).and_then(Value::as_u64);
        prompt + limit.unwrap_or(UNLIMITED_REPLY_TOKENS)
    }
}

/// Reply tokens assumed where the request sets no limit.
pub const UNLIMITED_REPLY_TOKENS: u64 = 4096;

/// A guess at the number of tokens that is rather too high: a third of the ASCII bytes, and one for each other character.
pub fn estimate_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    ascii.div_ceil(3) + text.chars().filter(|c| !c.is_ascii()).count() as u64
}

/// JSON with sorted keys and no white space.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Tokens of one exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

impl Usage {
    /// Both together.
    pub fn total(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

/// What a teacher answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The text.
    pub content: String,
    /// Why it ended: `stop`, `length`, …
    pub finish_reason: String,
    /// Model the server says it used.
    pub model: String,
    /// Identifier the server gave the reply.
    pub id: Option<String>,
    /// Tokens: as reported, or estimated where the report is missing or contradicts itself.
    pub usage: Usage,
    /// Whether `usage` is an estimate.
    pub usage_estimated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(params: &str) -> Request {
        Request { model: "m".into(), messages: vec![Message::new("user", "hi 你好")], params: serde_json::from_str(params).unwrap() }
    }

    #[test]
    fn the_key_depends_on_everything_but_the_order_of_keys() {
        let a = request(r#"{"temperature":0.2,"seed":{"a":1,"b":[1,2]}}"#);
        let b = request(r#"{"seed":{"b":[1,2],"a":1},"temperature":0.2}"#);
        assert_eq!(a.key("e"), b.key("e"));
        assert_eq!(a.key("e").len(), 32);
        assert_ne!(a.key("e"), a.key("f"));
        assert_ne!(a.key("e"), request(r#"{"temperature":0.3}"#).key("e"));
        let mut c = a.clone();
        c.messages[0].content.push('!');
        assert_ne!(a.key("e"), c.key("e"));
    }

    #[test]
    fn token_estimates_are_upper_ones() {
        assert_eq!(estimate_tokens("abcdef"), 2);
        assert_eq!(estimate_tokens("你好"), 2);
        assert_eq!(request(r#"{"max_tokens":100}"#).most_tokens(), 100 + 8 + 3);
        assert!(request("{}").most_tokens() > UNLIMITED_REPLY_TOKENS);
    }
}
