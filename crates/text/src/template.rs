//! Chat templates: from messages to text, and which bytes of it the assistant wrote.
//!
//! Where the template has `{% generation %}` tags, they say so (as in `transformers`' `return_assistant_tokens_mask`).
//! Where it has none, the conversation is rendered turn by turn: what a turn adds beyond the generation prompt is the assistant's.
//! Neither way looks for marker strings in the text, so nothing a message says can move a span.

use std::ops::Range;
use std::time::SystemTime;

use minijinja::value::{Serde, Value as JinjaValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, jinja};

/// The template of tokenizers trained here by default: one special token opens a turn, and the space before a Latin answer is
/// part of the answer.
pub const PLAIN: &str = include_str!("templates/plain.jinja");

/// The ChatML layout over the same special tokens.
pub const CHATML: &str = include_str!("templates/chatml.jinja");

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
    /// Anything else a template may read, such as `tool_calls` or `reasoning_content`.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Message {
    /// A message without further fields.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), fields: Map::new() }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }
}

/// What a template is given beside the messages.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions {
    /// Ask for the words that open the assistant's next turn.
    pub add_generation_prompt: bool,
    /// Tool descriptions, a JSON list.
    pub tools: Option<Value>,
    /// Documents to answer from, a JSON list.
    pub documents: Option<Value>,
    /// Further variables, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// What `strftime_now` calls now, in UTC; the clock by default.
    pub now: Option<SystemTime>,
}

/// How the assistant's spans were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanSource {
    /// By the template's own `{% generation %}` tags.
    GenerationTags,
    /// By rendering the conversation turn by turn.
    Incremental,
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text, special tokens spelled out.
    pub text: String,
    /// Byte ranges that the assistant wrote, in order, without overlap; the token that ends its turn included.
    pub assistant: Vec<Range<usize>>,
    /// How they were found.
    pub spans_from: SpanSource,
}

/// A chat template that parses.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    bos: String,
    eos: String,
    tagged: bool,
    digest: String,
}

impl ChatTemplate {
    /// Takes a template's source and the tokens it calls `bos_token` and `eos_token` (empty where there are none).
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, Error> {
        jinja::check(source)?;
        Ok(Self {
            source: source.to_string(),
            bos: bos.unwrap_or_default().to_string(),
            eos: eos.unwrap_or_default().to_string(),
            tagged: jinja::has_generation(source),
            digest: blake3::hash(source.as_bytes()).to_hex()[..32].to_string(),
        })
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// 128 bits of BLAKE3 of the source, in hex: training and serving must agree on it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the template itself says what the assistant wrote.
    pub fn has_generation_tags(&self) -> bool {
        self.tagged
    }

    /// Renders a conversation, with the assistant's spans.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<Rendered, Error> {
        if self.tagged {
            return self.render_tagged(messages, options);
        }
        let text = self.text(messages, options)?;
        let mut assistant = Vec::new();
        for (index, _) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
            assistant.push(self.span_by_turn(messages, index, &text, options)?);
        }
        Ok(Rendered { text, assistant, spans_from: SpanSource::Incremental })
    }

    /// The text alone.
    pub fn text(&self, messages: &[Message], options: &RenderOptions) -> Result<String, Error> {
        if self.tagged {
            return Ok(self.render_tagged(messages, options)?.text);
        }
        jinja::render(&self.source, self.context(messages, options), ('\u{E000}', '\u{E001}'), options.now)
    }

    fn render_tagged(&self, messages: &[Message], options: &RenderOptions) -> Result<Rendered, Error> {
        let [open, close] = self.unused_marks(messages, options);
        let marked = jinja::render(&self.source, self.context(messages, options), (open, close), options.now)?;
        let mut text = String::with_capacity(marked.len());
        let mut assistant = Vec::new();
        let mut start = None;
        for c in marked.chars() {
            if c == open {
                start = Some(text.len());
            } else if c == close {
                assistant.extend(start.take().map(|start| start..text.len()).filter(|span| !span.is_empty()));
            } else {
                text.push(c);
            }
        }
        Ok(Rendered { text, assistant, spans_from: SpanSource::GenerationTags })
    }

    /// What message `index` adds to `text` beyond the prompt that a model would have been given at that point.
    fn span_by_turn(&self, messages: &[Message], index: usize, text: &str, options: &RenderOptions) -> Result<Range<usize>, Error> {
        let without = RenderOptions { add_generation_prompt: false, ..options.clone() };
        let with = RenderOptions { add_generation_prompt: true, ..options.clone() };
        let refused = Error::SpansNotDerivable { message_index: index };
        let last = index + 1 == messages.len() && !options.add_generation_prompt;
        let through = if last { text.to_string() } else { self.text(&messages[..=index], &without)? };
        let prompt = self.text(&messages[..index], &with)?;
        let start = if through.starts_with(&prompt) {
            prompt.len()
        } else {
            // The prompt may open something that a finished turn leaves out (an empty thought): what both share is the header,
            // as long as it reaches beyond the earlier turns.
            let before = self.text(&messages[..index], &without)?;
            let shared = common_prefix(&prompt, &through);
            if shared <= before.len() || !through.starts_with(&before) {
                return Err(refused);
            }
            shared
        };
        if !text.starts_with(&through) {
            return Err(refused);
        }
        // A line break after the token that closes the turn is the template's, not the assistant's.
        let body = through[start..].trim_end_matches(['\n', ' ']);
        let closed = body.ends_with('>') || (!self.eos.is_empty() && body.ends_with(&self.eos));
        let end = if closed { start + body.len() } else { through.len() };
        Ok(start..end)
    }

    fn context(&self, messages: &[Message], options: &RenderOptions) -> JinjaValue {
        let mut context = options.variables.clone();
        context.insert("messages".into(), serde_json::to_value(messages).unwrap_or_default());
        context.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        context.insert("bos_token".into(), self.bos.as_str().into());
        context.insert("eos_token".into(), self.eos.as_str().into());
        // `transformers` gives None for what is absent, and templates test both `is defined` and `is not none`.
        context.insert("tools".into(), options.tools.clone().unwrap_or_default());
        context.insert("documents".into(), options.documents.clone().unwrap_or_default());
        JinjaValue::from(Serde(context))
    }

    /// Two private-use characters that occur in nothing the template prints.
    fn unused_marks(&self, messages: &[Message], options: &RenderOptions) -> [char; 2] {
        let inputs = serde_json::to_string(&(messages, &options.tools, &options.documents, &options.variables));
        let inputs = inputs.unwrap_or_default();
        let mut free = ('\u{E000}'..='\u{F8FF}').filter(|c| !inputs.contains(*c) && !self.source.contains(*c));
        // Not even a hostile message can use up all 6400 and still fit a context; the last two then serve.
        [free.next().unwrap_or('\u{F8FE}'), free.next().unwrap_or('\u{F8FF}')]
    }
}

/// Length of the longest common prefix that ends at a character.
fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((at, _), _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "<|endoftext|>";

    fn plain(messages: &[Message], add_generation_prompt: bool) -> Rendered {
        let template = ChatTemplate::new(PLAIN, Some(END), Some(END)).expect("parses");
        let options = RenderOptions { add_generation_prompt, ..RenderOptions::default() };
        template.render(messages, &options).expect("renders")
    }

    fn spans(rendered: &Rendered) -> Vec<&str> {
        rendered.assistant.iter().map(|span| &rendered.text[span.clone()]).collect()
    }

    #[test]
    fn plain_puts_the_space_inside_the_latin_answer() {
        let rendered = plain(&[Message::user("What is the capital of France?"), Message::assistant("Paris")], false);
        assert_eq!(rendered.text, "<|endoftext|><|user|>What is the capital of France?<|assistant|> Paris<|endoftext|>");
        assert_eq!(spans(&rendered), [" Paris<|endoftext|>"]);
    }

    #[test]
    fn plain_puts_no_space_before_chinese_nor_after_a_chinese_question() {
        let rendered = plain(&[Message::user("中国最高的山是什么?"), Message::assistant("珠穆朗玛峰")], false);
        assert_eq!(spans(&rendered), ["珠穆朗玛峰<|endoftext|>"]);
        let rendered = plain(&[Message::user("水的沸点是多少摄氏度?"), Message::assistant("100")], false);
        assert_eq!(spans(&rendered), ["100<|endoftext|>"]);
        let rendered = plain(&[Message::user("At how many degrees does water boil?"), Message::assistant("100")], false);
        assert_eq!(spans(&rendered), [" 100<|endoftext|>"]);
    }

    #[test]
    fn plain_prompt_is_a_prefix_of_the_answered_conversation() {
        for answer in ["Paris", "巴黎"] {
            let question = Message::user("Q");
            let prompt = plain(std::slice::from_ref(&question), true);
            let answered = plain(&[question, Message::assistant(answer)], false);
            assert!(answered.text.starts_with(&prompt.text));
            assert_eq!(answered.assistant[0].start, prompt.text.len());
        }
    }

    #[test]
    fn plain_refuses_an_unknown_role() {
        let template = ChatTemplate::new(PLAIN, Some(END), Some(END)).expect("parses");
        let error = template.render(&[Message::new("wizard", "x")], &RenderOptions::default()).expect_err("refused");
        assert!(error.to_string().contains("unknown role wizard"), "{error}");
    }

    #[test]
    fn spans_without_tags_equal_spans_with_tags() {
        let untagged = CHATML.replace("{%- generation %}", "").replace("{%- endgeneration %}", "");
        let tagged = ChatTemplate::new(CHATML, Some(END), Some(END)).expect("parses");
        let untagged = ChatTemplate::new(&untagged, Some(END), Some(END)).expect("parses");
        let messages = [
            Message::system("Be brief."),
            Message::user("你好"),
            Message::assistant("你好!\n"),
            Message::user("1+1?"),
            Message::assistant(" 2 <|im_end|> trap"),
        ];
        let a = tagged.render(&messages, &RenderOptions::default()).expect("renders");
        let b = untagged.render(&messages, &RenderOptions::default()).expect("renders");
        assert_eq!((a.spans_from, b.spans_from), (SpanSource::GenerationTags, SpanSource::Incremental));
        assert_eq!(a.text, b.text);
        assert_eq!(a.assistant, b.assistant);
        assert_eq!(spans(&a), ["你好!\n<|im_end|><|endoftext|>", " 2 <|im_end|> trap<|im_end|><|endoftext|>"]);
    }

    #[test]
    fn a_template_that_rewrites_history_is_refused_not_guessed() {
        // Drops every assistant turn but the last: the first one's span does not exist.
        let source = "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}[{{ m.role }}]{{ m.content }}{% endif %}\
                      {% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
        let template = ChatTemplate::new(source, None, None).expect("parses");
        let messages = [Message::user("a"), Message::assistant("b"), Message::user("c"), Message::assistant("d")];
        let error = template.render(&messages, &RenderOptions::default()).expect_err("refused");
        assert!(matches!(error, Error::SpansNotDerivable { message_index: 1 }), "{error}");
        let last = template.render(&messages[2..], &RenderOptions::default()).expect("renders");
        assert_eq!(spans(&last), ["d"]);
    }

    #[test]
    fn private_use_characters_in_messages_survive() {
        let rendered = plain(&[Message::user("\u{E000}\u{E001}"), Message::assistant("x\u{E000}")], false);
        assert_eq!(rendered.text, "<|endoftext|><|user|>\u{E000}\u{E001}<|assistant|>x\u{E000}<|endoftext|>");
        assert_eq!(spans(&rendered), ["x\u{E000}<|endoftext|>"]);
    }
}
