//! Line edits of C4 and of RefinedWeb: they change the text, and count what they took away.

use super::preset::{Place, Rules};
use crate::reason::Reason;
use memchr::memmem;
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

/// What line edits look for, made once for a profile.
#[derive(Debug)]
pub struct Edits {
    /// Phrases that drop a line, sought in lower case.
    drop: Vec<memmem::Finder<'static>>,
    /// Phrases that are cut out, in lower case.
    cut: Vec<(String, Place, usize)>,
    /// A line is looked at in lower case too.
    lower: bool,
}

impl Edits {
    /// `None` if the rules edit no lines.
    #[must_use]
    pub fn new(rules: &Rules) -> Option<Self> {
        let any = rules.cut_citations == Some(true)
            || rules.cut_phrases.is_some()
            || rules.keep_line_marks.is_some()
            || rules.min_line_words.is_some()
            || rules.max_line_word_chars.is_some()
            || rules.drop_phrases.is_some()
            || rules.max_line_uppercase.is_some()
            || rules.max_line_digits.is_some()
            || rules.drop_counters == Some(true);
        let finder = |phrase: &String| memmem::Finder::new(&phrase.to_ascii_lowercase()).into_owned();
        let drop: Vec<_> = rules.drop_phrases.iter().flatten().map(finder).collect();
        let cut = rules.cut_phrases.iter().flatten().map(|(phrase, place, words)| (phrase.to_ascii_lowercase(), *place, *words));
        let cut: Vec<_> = cut.filter(|(phrase, ..)| !phrase.is_empty()).collect();
        let fillers = rules.edit_first == Some(true) && rules.refuse_lorem_ipsum == Some(true);
        let lower = fillers || rules.drop_counters == Some(true) || !drop.is_empty() || !cut.is_empty();
        any.then_some(Self { drop, cut, lower })
    }

    /// Edits every line for itself; `rules` are those that this was made of.
    #[must_use]
    pub fn edit(&self, text: &str, rules: &Rules) -> Edited {
        let mut out = Edited { text: String::with_capacity(text.len()), removed: Removed::default(), failed: Vec::new() };
        let mut lower = String::new();
        for line in text.split('\n') {
            let chars = line.chars().count() as u64;
            match self.keep(line.trim(), rules, &mut lower, &mut out.failed) {
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

    /// What is left of a line, `None` if it goes; `lower` is memory only.
    fn keep<'t>(&self, line: &'t str, rules: &Rules, lower: &mut String, failed: &mut Vec<Reason>) -> Option<Cow<'t, str>> {
        if line.is_empty() {
            // Blank lines between paragraphs stay where nothing asks for words.
            return rules.keep_line_marks.is_none().then_some(Cow::Borrowed(line));
        }
        let too_long = |most: usize| line.len() > most && line.split_whitespace().any(|word| word.chars().count() > most);
        if rules.max_line_word_chars.is_some_and(too_long) {
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
        if rules.max_line_uppercase.is_some() || rules.max_line_digits.is_some() {
            let kinds = Kinds::of(&line);
            let too_many = |count: usize, limit: Option<f64>| limit.is_some_and(|limit| count as f64 > limit * kinds.chars as f64);
            if too_many(kinds.upper, rules.max_line_uppercase) || too_many(kinds.numeric, rules.max_line_digits) {
                return None;
            }
        }
        if self.lower {
            to_lower(&line, lower);
        }
        if rules.drop_counters == Some(true) && lower.bytes().any(|b| b.is_ascii_digit()) && counter().is_match(lower) {
            return None;
        }
        if rules.min_line_words.is_some_and(|least| words < least) {
            return None;
        }
        if rules.edit_first == Some(true) && rules.refuse_lorem_ipsum == Some(true) && lower.contains("lorem ipsum") {
            fail(failed, Reason::LoremIpsum);
        }
        if self.drop.iter().any(|phrase| phrase.find(lower.as_bytes()).is_some()) {
            return None;
        }
        if rules.edit_first == Some(true) && rules.refuse_curly_bracket == Some(true) && line.contains('{') {
            fail(failed, Reason::CurlyBracket);
        }
        let mut words = self.cut.first().map_or(0, |_| line.split_whitespace().count());
        for (phrase, place, most_words) in &self.cut {
            if words <= *most_words
                && let Some(cut) = cut(&line, lower, phrase, *place)
            {
                words = cut.split_whitespace().count();
                to_lower(&cut, lower);
                line = Cow::Owned(cut);
            }
        }
        (!line.trim().is_empty()).then_some(line)
    }
}

fn to_lower(line: &str, lower: &mut String) {
    lower.clear();
    lower.push_str(line);
    lower.make_ascii_lowercase();
}

fn fail(failed: &mut Vec<Reason>, reason: Reason) {
    if !failed.contains(&reason) {
        failed.push(reason);
    }
}

/// Characters of a line by kind.
struct Kinds {
    chars: usize,
    upper: usize,
    numeric: usize,
}

impl Kinds {
    fn of(line: &str) -> Self {
        let count = |kind: fn(&u8) -> bool| line.as_bytes().iter().filter(|byte| kind(byte)).count();
        if line.is_ascii() {
            return Self { chars: line.len(), upper: count(u8::is_ascii_uppercase), numeric: count(u8::is_ascii_digit) };
        }
        let mut kinds = Self { chars: 0, upper: 0, numeric: 0 };
        for c in line.chars() {
            kinds.chars += 1;
            // Han is neither, and would take long to look up.
            if !('\u{3400}'..='\u{9FFF}').contains(&c) {
                kinds.upper += usize::from(c.is_uppercase());
                kinds.numeric += usize::from(c.is_numeric());
            }
        }
        kinds
    }
}

/// The line without `phrase` and one white space before it, or behind it at the beginning; `None` if it is not there. `lower` is the line
/// in lower case, as is `phrase`.
fn cut(line: &str, lower: &str, phrase: &str, place: Place) -> Option<String> {
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
            let mut found = memmem::find_iter(lower.as_bytes(), phrase).peekable();
            found.peek()?;
            let mut out = String::with_capacity(line.len());
            let mut at = 0;
            for found in found {
                let before = &line[at..found];
                out.push_str(before.strip_suffix(char::is_whitespace).unwrap_or(before));
                at = found + phrase.len();
            }
            out.push_str(&line[at..]);
            Some(out)
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
        let rules = &Preset::built_in(preset).unwrap().profiles[0].rules;
        Edits::new(rules).unwrap().edit(text, rules)
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
        assert!(Edits::new(&Rules::default()).is_none());
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
