//! A conversation as token ids, with a mask of the tokens that the assistant writes.

use std::ops::Range;

use crate::template::{Message, RenderOptions};
use crate::{Encoded, Error, Special, Tokenizer};

/// A conversation, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTokens {
    /// The rendered text, special tokens spelled out.
    pub text: String,
    /// Token ids.
    pub ids: Vec<u32>,
    /// Bytes of `text` that each token stands for.
    pub offsets: Vec<Range<usize>>,
    /// Whether the token is one that the assistant writes, its end token included: the loss counts where such a token is
    /// *predicted*. A token that begins before the span (merged with the prompt's last letters) is not trained, because generation
    /// starts after the prompt's own tokens.
    pub trained: Vec<bool>,
    /// The assistant's spans, in bytes of `text`.
    pub assistant: Vec<Range<usize>>,
}

impl Tokenizer {
    /// Renders a conversation with the tokenizer's chat template and encodes it.
    ///
    /// Special tokens that the template writes become ids; letters in a message that spell one stay letters. The template decides
    /// about begin and end tokens; none are added.
    pub fn encode_chat(&self, messages: &[Message], options: &RenderOptions) -> Result<ChatTokens, Error> {
        let template = self.chat_template().ok_or_else(|| Error::NoChatTemplate { path: self.origin() })?;
        let spelled = messages.iter().any(|message| self.spells_special(&message.content));
        let (text, assistant, encoded) = if spelled {
            let guard = unused_character(messages);
            let guarded: Vec<Message> = messages.iter().map(|message| self.guard(message, guard)).collect();
            let rendered = template.render(&guarded, options)?;
            let (text, guards, assistant) = remove_guards(&rendered.text, guard, &rendered.assistant);
            let encoded = self.encode_guarded(&text, &guards)?;
            (text, assistant, encoded)
        } else {
            let rendered = template.render(messages, options)?;
            let encoded = self.encode_with_offsets(&rendered.text, Special::Parse)?;
            (rendered.text, rendered.assistant, encoded)
        };
        let trained = mask(&encoded.offsets, &assistant);
        Ok(ChatTokens { text, ids: encoded.ids, offsets: encoded.offsets, trained, assistant })
    }

    fn spells_special(&self, content: &str) -> bool {
        self.specials().iter().any(|(token, _)| content.contains(token.as_str()))
    }

    /// Puts `guard` after the first character of every special token spelled in the message.
    fn guard(&self, message: &Message, guard: char) -> Message {
        let mut content = String::with_capacity(message.content.len() + 8);
        let mut rest = message.content.as_str();
        while let Some(first) = rest.chars().next() {
            content.push(first);
            if self.specials().iter().any(|(token, _)| rest.starts_with(token.as_str())) {
                content.push(guard);
            }
            rest = &rest[first.len_utf8()..];
        }
        Message { content, ..message.clone() }
    }

    /// Encodes `text` with its special tokens parsed, except those that hold one of the byte positions `guards`.
    fn encode_guarded(&self, text: &str, guards: &[usize]) -> Result<Encoded, Error> {
        let mut out = Encoded::default();
        let mut plain_from = 0;
        let mut at = 0;
        while at < text.len() {
            let longest = self
                .specials()
                .iter()
                .filter(|(token, _)| text[at..].starts_with(token.as_str()))
                .max_by_key(|(token, _)| token.len())
                .filter(|(token, _)| !guards.iter().any(|guard| (at + 1..at + token.len()).contains(guard)));
            let Some((token, id)) = longest else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            self.push_plain(text, plain_from..at, &mut out)?;
            out.ids.push(*id);
            out.offsets.push(at..at + token.len());
            at += token.len();
            plain_from = at;
        }
        self.push_plain(text, plain_from..text.len(), &mut out)?;
        Ok(out)
    }

    fn push_plain(&self, text: &str, range: Range<usize>, out: &mut Encoded) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let start = range.start;
        let encoded = self.encode_with_offsets(&text[range], Special::Plain)?;
        out.ids.extend(encoded.ids);
        out.offsets.extend(encoded.offsets.into_iter().map(|offset| offset.start + start..offset.end + start));
        Ok(())
    }
}

/// Tokens that lie in a span. Tokens of no bytes take the side of the byte they stand before.
fn mask(offsets: &[Range<usize>], spans: &[Range<usize>]) -> Vec<bool> {
    offsets
        .iter()
        .map(|offset| {
            let after = spans.partition_point(|span| span.start <= offset.start);
            after > 0 && offset.start < spans[after - 1].end
        })
        .collect()
}

/// Unassigned code points: neither letters nor spaces nor escaped in JSON, and in the Latin and Greek neighbourhood, so that a template
/// that looks at the script of a message (as [`crate::template::PLAIN`] does) sees what it would have seen.
const GUARDS: [char; 10] = ['\u{378}', '\u{379}', '\u{380}', '\u{381}', '\u{382}', '\u{383}', '\u{38B}', '\u{38D}', '\u{3A2}', '\u{530}'];

/// A guard that no message contains; a private-use character where messages hold them all.
fn unused_character(messages: &[Message]) -> char {
    let unused = |c: &char| !messages.iter().any(|message| message.content.contains(*c));
    GUARDS.into_iter().chain('\u{F000}'..='\u{F8FF}').find(unused).unwrap_or('\u{F8FF}')
}

/// The text without guards, the byte positions where they stood, and the spans moved accordingly.
fn remove_guards(text: &str, guard: char, spans: &[Range<usize>]) -> (String, Vec<usize>, Vec<Range<usize>>) {
    let mut clean = String::with_capacity(text.len());
    let mut guards = Vec::new();
    for c in text.chars() {
        if c == guard {
            guards.push(clean.len());
        } else {
            clean.push(c);
        }
    }
    // A position in `text` has lost one guard's length for every guard before it.
    let moved = |position: usize| position - text[..position].matches(guard).count() * guard.len_utf8();
    let spans = spans.iter().map(|span| moved(span.start)..moved(span.end)).collect();
    (clean, guards, spans)
}
