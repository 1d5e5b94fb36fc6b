//! Line edits of C4 and of RefinedWeb: they change the text, and count what they took away.

use super::preset::{Place, Rules};
use crate::reason::Reason;
use regex::Regex;
use std::borrow::Cow;
use std::sync::OnceLock;

/// What line edits took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whole lines.
    pub lines: u64,
    /// Characters, in whole lines and out of others, line breaks not counted.
    pub chars: u64,
}

/// An edited text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The lines that are left.
    pub text: String,
    /// What was taken away.
    pub removed: Removed,
    /// Why the whole text is refused: filler or a curly bracket in a line that would have stayed, with `edit_first`.
    pub failed: Vec<Reason>,
}

/// True if the rules edit lines at all.
#[must_use]
pub fn has_edits(rules: &Rules) -> bool {
    rules.cut_citations == Some(true)
        || rules.cut_phrases.is_some()
        || rules.keep_line_marks.is_some()
        || rules.min_line_words.is_some()
        || rules.max_line_word_chars.is_some()
        || rules.drop_phrases.is_some()
        || rules.max_line_uppercase.is_some()
        || rules.max_line_digits.is_some()
        || rules.drop_counters == Some(true)
}

/// Edits every line for itself.
#[must_use]
pub fn edit(text: &str, rules: &Rules) -> Edited {
    let mut out = Edited { text: String::with_capacity(text.len()), removed: Removed::default(), failed: Vec::new() };
    for line in text.split('\n') {
        let chars = line.chars().count() as u64;
        match keep(line.trim(), rules, &mut out.failed) {
            Some(kept) => {
                out.removed.chars += chars.saturating_sub(kept.chars().count() as u64);
                if !out.text.is_empty() {
                    out.text.push('\n');
                }
                out.text.push_str(&kept);
            }
            None => {
                out.removed.lines += u64::from(chars > 0);
                out.removed.chars += chars;
            }
        }
    }
    out
}

/// What is left of a line, `None` if it goes.
fn keep<'t>(line: &'t str, rules: &Rules, failed: &mut Vec<Reason>) -> Option<Cow<'t, str>> {
    if line.is_empty() {
        // Blank lines between paragraphs stay where nothing asks for words.
        return rules.keep_line_marks.is_none().then_some(Cow::Borrowed(line));
    }
    if rules.max_line_word_chars.is_some_and(|most| line.split_whitespace().any(|word| word.len() > most && word.chars().count() > most)) {
        return None;
    }
    let words = line.split_whitespace().count();
    let mut line = Cow::Borrowed(line);
    if rules.cut_citations == Some(true) && line.contains('[') {
        line = Cow::Owned(citations().replace_all(&line, "").into_owned());
    }
    if let Some(marks) = &rules.keep_line_marks
        && (!line.chars().next_back().is_some_and(|last| marks.contains(last)) || line.ends_with("..."))
    {
        return None;
    }
    if too_many(&line, rules.max_line_uppercase, char::is_uppercase) || too_many(&line, rules.max_line_digits, char::is_numeric) {
        return None;
    }
    let lower = line.to_ascii_lowercase();
    if rules.drop_counters == Some(true) && lower.bytes().any(|b| b.is_ascii_digit()) && counter().is_match(&lower) {
        return None;
    }
    if rules.min_line_words.is_some_and(|least| words < least) {
        return None;
    }
    if rules.edit_first == Some(true) && rules.refuse_lorem_ipsum == Some(true) && lower.contains("lorem ipsum") {
        fail(failed, Reason::LoremIpsum);
    }
    if rules.drop_phrases.iter().flatten().any(|phrase| lower.contains(&phrase.to_ascii_lowercase())) {
        return None;
    }
    if rules.edit_first == Some(true) && rules.refuse_curly_bracket == Some(true) && line.contains('{') {
        fail(failed, Reason::CurlyBracket);
    }
    for (phrase, place, most_words) in rules.cut_phrases.iter().flatten() {
        if line.split_whitespace().count() <= *most_words {
            let cut = cut(&line, &phrase.to_ascii_lowercase(), *place);
            if let Some(cut) = cut {
                line = Cow::Owned(cut);
            }
        }
    }
    (!line.trim().is_empty()).then_some(line)
}

fn fail(failed: &mut Vec<Reason>, reason: Reason) {
    if !failed.contains(&reason) {
        failed.push(reason);
    }
}

/// True if more than `limit` of the characters are of a kind.
fn too_many(line: &str, limit: Option<f64>, kind: fn(char) -> bool) -> bool {
    limit.is_some_and(|limit| line.chars().filter(|c| kind(*c)).count() as f64 > limit * line.chars().count() as f64)
}

/// The line without `phrase` (in lower case) and one white space before it, or behind it at the beginning.
fn cut(line: &str, phrase: &str, place: Place) -> Option<String> {
    let lower = line.to_ascii_lowercase();
    match place {
        Place::Prefix => {
            let rest = &line[lower.starts_with(phrase).then_some(phrase.len())?..];
            Some(rest.strip_prefix(char::is_whitespace).unwrap_or(rest).to_owned())
        }
        Place::Suffix => {
            let rest = &line[..lower.ends_with(phrase).then_some(line.len() - phrase.len())?];
            Some(rest.strip_suffix(char::is_whitespace).unwrap_or(rest).to_owned())
        }
        Place::Any => {
            let mut out = String::with_capacity(line.len());
            let mut at = 0;
            while let Some(found) = lower[at..].find(phrase).filter(|_| !phrase.is_empty()) {
                let before = &line[at..at + found];
                out.push_str(before.strip_suffix(char::is_whitespace).unwrap_or(before));
                at += found + phrase.len();
            }
            out.push_str(&line[at..]);
            (at > 0).then_some(out)
        }
    }
}

#[expect(clippy::unwrap_used, reason = "constant patterns that a test compiles")]
fn citations() -> &'static Regex {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    PATTERN.get_or_init(|| Regex::new(r"\[[0-9]*\]|\[edit\]|\[citation needed\]").unwrap())
}

/// A number and what it counts, such as `1.2k views`; in lower case.
#[expect(clippy::unwrap_used, reason = "constant patterns that a test compiles")]
fn counter() -> &'static Regex {
    const KINDS: &str = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers";
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    PATTERN.get_or_init(|| Regex::new(&format!(r"^\W*[0-9][,.0-9]*[kmb]?\s+(?:{KINDS})\W*$")).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Preset;

    fn edited(preset: &str, text: &str) -> Edited {
        edit(text, &Preset::built_in(preset).unwrap().profiles[0].rules)
    }

    #[test]
    fn c4_line_by_line() {
        for (line, kept) in [
            ("A line that ends well.", "A line that ends well."),
            ("A line that ends in nothing", ""),
            ("A line that trails off...", ""),
            ("Two words.", ""),
            ("Water is wet.[1] And [edit] so on.[citation needed]", "Water is wet. And  so on."),
            ("Please turn on JavaScript to read this.", ""),
            ("Read our Privacy Policy before you go on.", ""),
            ("“He said so himself.\"", "“He said so himself.\""),
            (&format!("A word of {} letters.", "x".repeat(1001)), ""),
            ("这条河 发源于 群山之中。", ""),
            ("这条河 发源于 群山之中.", "这条河 发源于 群山之中."),
        ] {
            assert_eq!(edited("c4", line).text, kept, "{line}");
        }
        let got = edited("c4", "One line that stays.\nMenu\nSee [2] this one too.");
        assert_eq!(got.text, "One line that stays.\nSee  this one too.");
        assert_eq!(got.removed, Removed { lines: 1, chars: 7 });
        assert_eq!(edited("c4", "This has a { in it.").failed, [Reason::CurlyBracket]);
        assert_eq!(edited("c4", "This has Lorem Ipsum in it.").failed, [Reason::LoremIpsum]);
        // A line that goes for its mark is not looked at any further.
        assert_eq!(edited("c4", "if (x) { return }").failed, []);
    }

    #[test]
    fn refined_web_line_by_line() {
        for (line, kept) in [
            ("SHOUTING ALL DAY long", ""),
            ("Not Shouting at all", "Not Shouting at all"),
            ("2024", ""),
            ("12 likes", ""),
            ("1.2K Followers!", ""),
            ("12 likes were given to the page", "12 likes were given to the page"),
            ("Home", ""),
            ("You have 3 items in cart now", "You have 3 now"),
            ("A teaser of the text Read more...", "A teaser of the text"),
            ("Sign-in or register", "or register"),
            ("Read more...", ""),
            ("这条河发源于群山之中， 流经三个国家。", "这条河发源于群山之中， 流经三个国家。"),
        ] {
            assert_eq!(edited("dclm", line).text, kept, "{line}");
        }
        assert_eq!(edited("dclm", "a b\n\nc d").text, "a b\n\nc d");
    }
}
