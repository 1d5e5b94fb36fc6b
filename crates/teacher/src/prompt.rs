//! Prompts are data: a TOML file with `id`, `system`, `user` and `[params]`, known by the digest of its bytes.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Error, Message, Request, Result};

/// The prompt that comes with the crate: pairs grounded in one document.
pub const BUILTIN: &str = include_str!("../prompts/pairs.toml");

/// Placeholders a prompt may have.
const PLACEHOLDERS: &[&str] = &["{document}", "{language}", "{max_pairs}"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    system: Option<String>,
    user: String,
    #[serde(default)]
    params: toml::Table,
}

/// A prompt ready for use.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Its name.
    pub id: String,
    /// Digest of the file, 32 hex digits.
    pub digest: String,
    system: Option<String>,
    user: String,
    params: Map<String, Value>,
}

impl Prompt {
    /// Reads a prompt from TOML; `name` stands in messages.
    ///
    /// # Errors
    /// [`Error::Prompt`] if it does not parse, lacks `{document}`, or has a placeholder nobody fills.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let refuse = |problem: String| Error::Prompt { name: name.to_owned(), problem };
        let file: File = toml::from_str(text).map_err(|e| refuse(e.to_string()))?;
        if !file.user.contains("{document}") {
            return Err(refuse("`user` has no `{document}`".into()));
        }
        for part in [file.system.as_deref().unwrap_or(""), &file.user] {
            if let Some(unknown) = placeholders(part).into_iter().find(|p| !PLACEHOLDERS.contains(&p.as_str())) {
                return Err(refuse(format!("nothing fills `{unknown}`; placeholders are {}", PLACEHOLDERS.join(", "))));
            }
        }
        let params = serde_json::to_value(&file.params).map_err(|e| refuse(e.to_string()))?;
        let digest = blake3::hash(text.as_bytes()).to_hex().as_str()[..32].to_owned();
        let params = params.as_object().cloned().unwrap_or_default();
        Ok(Self { id: file.id, digest, system: file.system.map(|s| s.trim().to_owned()), user: file.user.trim().to_owned(), params })
    }

    /// Reads a prompt file.
    ///
    /// # Errors
    /// As [`Prompt::parse`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The request for one document.
    pub fn request(&self, model: &str, document: &str, language: &str, max_pairs: usize) -> Request {
        // The document goes in last, so that nothing inside of it is taken for a placeholder.
        let fill = |text: &str| {
            text.replace("{language}", language).replace("{max_pairs}", &max_pairs.to_string()).replace("{document}", document)
        };
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(Message::new("system", fill(system)));
        }
        messages.push(Message::new("user", fill(&self.user)));
        Request { model: model.to_owned(), messages, params: self.params.clone() }
    }
}

/// `{words}` of lower-case letters and underscores.
fn placeholders(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (i, _) in text.match_indices('{') {
        let Some(len) = text[i..].find('}') else { continue };
        let inside = &text[i + 1..i + len];
        if !inside.is_empty() && inside.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            out.push(text[i..=i + len].to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_prompt_renders() {
        let prompt = Prompt::parse("builtin", BUILTIN).unwrap();
        let request = prompt.request("m", "Text with {language} inside.", "en", 4);
        let user = &request.messages[1].content;
        assert!(user.contains("up to 4 question") && user.contains("(en)") && user.ends_with("Text with {language} inside."));
        assert!(user.contains(r#"{"pairs": []}"#));
        assert_eq!(request.params["response_format"]["type"], "json_object");
        assert_eq!(prompt.digest.len(), 32);
    }

    #[test]
    fn faults_are_named() {
        for (text, want) in [
            ("id = \"x\"\nuser = \"no place\"", "`{document}`"),
            ("id = \"x\"\nuser = \"{document} {langauge}\"", "{langauge}"),
            ("id = \"x\"", "user"),
            ("id = \"x\"\nuser = \"{document}\"\nextra = 1", "extra"),
        ] {
            let message = Prompt::parse("p", text).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }
}
