//! The special tokens of tokenizers trained by this project. Foreign tokenizers keep their own.
//!
//! They take the first ids, in the order of [`ALL`], followed by [`reserved`] ones; so the ids are the same for every vocabulary size.

/// End of a document, end of the assistant's turn, and what stands before the first token of a chat. Always id 0.
pub const END: &str = "<|endoftext|>";
/// Fills a row that has no more tokens; never a target. Always id 1, and never the end token: a model must learn to stop.
pub const PAD: &str = "<|pad|>";
/// Opens a system message.
pub const SYSTEM: &str = "<|system|>";
/// Opens a user message.
pub const USER: &str = "<|user|>";
/// Opens the assistant's message.
pub const ASSISTANT: &str = "<|assistant|>";
/// Opens a tool's reply.
pub const TOOL: &str = "<|tool|>";
/// Opens any message in the ChatML layout.
pub const IM_START: &str = "<|im_start|>";
/// Closes any message in the ChatML layout.
pub const IM_END: &str = "<|im_end|>";

/// All named special tokens; the index is the id.
pub const ALL: [&str; 8] = [END, PAD, SYSTEM, USER, ASSISTANT, TOOL, IM_START, IM_END];

/// Name of the `index`-th token held in reserve for later use (tool calls, new roles) without resizing the model.
pub fn reserved(index: usize) -> String {
    format!("<|reserved_{index}|>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_end_comes_first() {
        let mut names: Vec<String> = ALL.iter().map(|s| s.to_string()).chain((0..4).map(reserved)).collect();
        assert_eq!(names[0], END);
        assert_eq!(names[1], PAD);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
