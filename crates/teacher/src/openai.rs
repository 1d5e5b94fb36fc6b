//! A teacher behind any endpoint that speaks the OpenAI protocol: `POST {base_url}/chat/completions`.
//!
//! The key is held in an [`ApiKey`], which prints as `[redacted]`; every text that comes from the server is searched for it
//! before anything else happens to it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::request::estimate_tokens;
use crate::{AskError, Error, Reply, Request, Result, Teacher, Usage};

/// A secret that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// Replaces the key wherever it stands in `text`.
    pub fn redact(&self, text: &str) -> String {
        if self.0.len() < 4 { text.to_owned() } else { text.replace(&self.0, "[redacted]") }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An OpenAI-compatible endpoint.
#[derive(Debug)]
pub struct OpenAi {
    endpoint: String,
    key: Option<ApiKey>,
    agent: Agent,
}

/// Largest reply body read.
const MAX_BODY_BYTES: u64 = 16 << 20;

impl OpenAi {
    /// A client for `base_url` (such as `https://host/v1`); without a key no `Authorization` header is sent, as local servers allow.
    ///
    /// # Errors
    /// [`Error::BaseUrl`] for a URL that is none, or that has a password or a query in it.
    pub fn new(base_url: &str, key: Option<ApiKey>, timeout: Duration) -> Result<Self> {
        let base = base_url.trim_end_matches('/');
        let refuse = |problem| Err(Error::BaseUrl { url: base.split(['@', '?']).next_back().unwrap_or("").to_owned(), problem });
        let Some(rest) = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://")) else {
            return Err(Error::BaseUrl { url: "…".into(), problem: "it has to begin with http:// or https://" });
        };
        if rest.split('/').next().unwrap_or("").contains('@') {
            return refuse("it names a user or a password; put the key into OPENAI_API_KEY");
        }
        if rest.contains(['?', '#']) || rest.is_empty() {
            return refuse("it has a query or no host");
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent(concat!("jielong/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { endpoint: format!("{base}/chat/completions"), key, agent: agent.into() })
    }

    fn redact(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |k| k.redact(text))
    }

    /// What a status other than 200 means.
    fn refused(&self, status: u16, headers: &ureq::http::HeaderMap, body: &str) -> AskError {
        let json: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let error = json.get("error").unwrap_or(&Value::Null);
        let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("");
        let message: String =
            if field("message").is_empty() { body.chars().take(300).collect() } else { field("message").chars().take(300).collect() };
        let code = if field("code").is_empty() { field("type") } else { field("code") };
        let endpoint = self.endpoint.clone();
        match status {
            _ if code == "insufficient_quota" || field("type") == "insufficient_quota" => {
                AskError::Fatal(Error::Quota { endpoint, message })
            }
            401 | 403 => AskError::Fatal(Error::Unauthorized { endpoint, status, message }),
            404 => AskError::Fatal(Error::NotFound { endpoint, status, message }),
            408 | 409 | 429 | 500.. => AskError::Retry {
                reason: format!("status {status}: {message}"),
                after: retry_after(headers),
                used_tokens: Some(0),
                raw: None,
            },
            _ => AskError::Refused {
                reason: format!("status {status}: {message}"),
                raw: Some(body.chars().take(2000).collect()),
                used_tokens: 0,
                lasting: matches!(code, "context_length_exceeded" | "content_policy_violation" | "content_filter"),
            },
        }
    }
}

/// What the server asks us to wait: `retry-after-ms`, or `Retry-After` in seconds; a date there is left to our own pauses.
fn retry_after(headers: &ureq::http::HeaderMap) -> Option<Duration> {
    let number = |name: &str| {
        headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<f64>().ok()).filter(|n| n.is_finite() && *n >= 0.0)
    };
    number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after")).map(|secs| Duration::from_secs_f64(secs.min(1e6)))
}

impl Teacher for OpenAi {
    fn name(&self) -> &str {
        "openai"
    }

    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn ask(&self, request: &Request) -> Result<Reply, AskError> {
        let mut body = request.params.clone();
        body.insert("model".into(), request.model.clone().into());
        body.insert("messages".into(), serde_json::json!(request.messages));
        let mut post = self
            .agent
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .header("idempotency-key", request.key(&self.endpoint));
        if let Some(key) = &self.key {
            post = post.header("authorization", format!("Bearer {}", key.0));
        }
        // An attempt that broke off may have been paid for: it is charged in full.
        let broken = |reason: String| AskError::Retry { reason: self.redact(&reason), after: None, used_tokens: None, raw: None };
        let mut response = post.send(Value::Object(body).to_string()).map_err(|e| broken(format!("no reply: {e}")))?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_BODY_BYTES)
            .read_to_string()
            .map_err(|e| broken(format!("reply broke off: {e}")))?;
        let text = self.redact(&text);
        let status = response.status().as_u16();
        if status != 200 {
            return Err(self.refused(status, response.headers(), &text));
        }
        read_reply(request, &text)
    }
}

/// Reads the body of a successful reply.
fn read_reply(request: &Request, text: &str) -> Result<Reply, AskError> {
    let kept: String = text.chars().take(20_000).collect();
    let retry = |reason: &str| AskError::Retry { reason: reason.to_owned(), after: None, used_tokens: None, raw: Some(kept.clone()) };
    let Ok(json) = serde_json::from_str::<Value>(text) else { return Err(retry("the reply is no JSON")) };
    let choice = &json["choices"][0];
    let message = &choice["message"];
    let finish_reason = choice["finish_reason"].as_str().unwrap_or("unknown").to_owned();
    let content = message["content"].as_str().unwrap_or("").to_owned();
    let (usage, usage_estimated) = usage(request, &json["usage"], &content);
    if finish_reason == "content_filter" || message["refusal"].as_str().is_some_and(|r| !r.is_empty()) {
        return Err(AskError::Refused { reason: "the teacher refused".into(), raw: Some(kept), used_tokens: usage.total(), lasting: true });
    }
    if content.trim().is_empty() {
        // Busy servers do this; it may well be paid for.
        return Err(AskError::Retry {
            reason: "the reply is empty".into(),
            after: None,
            used_tokens: Some(usage.total()),
            raw: Some(kept),
        });
    }
    let model = json["model"].as_str().unwrap_or(&request.model).to_owned();
    Ok(Reply { content, finish_reason, model, id: json["id"].as_str().map(str::to_owned), usage, usage_estimated })
}

/// The usage as reported, or our upper estimate where it is missing or cannot be true.
fn usage(request: &Request, reported: &Value, content: &str) -> (Usage, bool) {
    let number = |name: &str| reported[name].as_u64();
    let estimate = Usage {
        prompt_tokens: request.messages.iter().map(|m| estimate_tokens(&m.content) + 8).sum(),
        completion_tokens: estimate_tokens(content),
    };
    match (number("prompt_tokens"), number("completion_tokens"), number("total_tokens")) {
        (Some(prompt_tokens), Some(completion_tokens), total)
            if prompt_tokens > 0
                && (completion_tokens > 0 || content.is_empty())
                && total.is_none_or(|t| t >= prompt_tokens.saturating_add(completion_tokens)) =>
        {
            (Usage { prompt_tokens, completion_tokens }, false)
        }
        _ => (estimate, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn request() -> Request {
        Request { model: "m".into(), messages: vec![Message::new("user", "abc")], params: Default::default() }
    }

    #[test]
    fn keys_are_never_printed() {
        let key = ApiKey::new("sk-very-secret");
        assert_eq!(format!("{key:?}"), "[redacted]");
        assert_eq!(key.redact("bad key sk-very-secret!"), "bad key [redacted]!");
        let client = OpenAi::new("http://localhost:1/v1/", Some(key), Duration::from_secs(1)).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
        assert_eq!(client.endpoint(), "http://localhost:1/v1/chat/completions");
    }

    #[test]
    fn urls_with_secrets_are_refused_without_showing_them() {
        for url in ["http://user:hunter2@host/v1", "https://host/v1?key=hunter2", "host/hunter2", "ftp://hunter2"] {
            let error = OpenAi::new(url, None, Duration::from_secs(1)).unwrap_err().to_string();
            assert!(!error.contains("user:hunter2"), "{error}");
        }
    }

    #[test]
    fn replies_are_read_and_bad_ones_told_apart() {
        let good = r#"{"id":"x","model":"m2","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;
        let reply = read_reply(&request(), good).unwrap();
        assert_eq!((reply.content.as_str(), reply.usage.total(), reply.usage_estimated), ("hi", 7, false));
        let wrong = good.replace("\"total_tokens\":7", "\"total_tokens\":1");
        assert!(read_reply(&request(), &wrong).unwrap().usage_estimated);
        let negative = good.replace("\"prompt_tokens\":5", "\"prompt_tokens\":-5");
        assert!(read_reply(&request(), &negative).unwrap().usage_estimated);
        for (body, want) in [(&good[..40], "no JSON"), (&good.replace("\"hi\"", "\"\"")[..], "empty"), ("{}", "empty")] {
            match read_reply(&request(), body).unwrap_err() {
                AskError::Retry { reason, raw: Some(_), .. } => assert!(reason.contains(want), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
        let filtered = good.replace("\"stop\"", "\"content_filter\"");
        assert!(matches!(read_reply(&request(), &filtered), Err(AskError::Refused { lasting: true, .. })));
    }
}
