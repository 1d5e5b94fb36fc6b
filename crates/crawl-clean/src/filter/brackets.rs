//! Curly brackets in running text. Code and formulas that are marked as such in Markdown, as our own extraction marks them, are full of
//! them by right.

/// True if a `{` stands outside of code between fences or backticks and of formulas between dollar signs.
#[must_use]
pub fn in_prose(text: &str) -> bool {
    if memchr::memchr(b'{', text.as_bytes()).is_none() {
        return false;
    }
    let mut open: Option<&str> = None;
    // A fence that nothing closes fences nothing.
    let mut within = false;
    for line in text.lines() {
        let fence = fence(line);
        match open {
            Some(mark) if fence.is_some_and(|(other, behind)| behind.is_empty() && other.starts_with(mark)) => {
                (open, within) = (None, false)
            }
            Some(_) => within = within || line.contains('{'),
            None if fence.is_some_and(|(_, behind)| !behind.contains('`')) => open = fence.map(|(mark, _)| mark),
            None if in_line(line) => return true,
            None => {}
        }
    }
    within
}

/// The fence that a line begins with, in a quote or list too, and what stands behind it.
fn fence(line: &str) -> Option<(&str, &str)> {
    let start = line.trim_start_matches([' ', '>']);
    let length = start.len() - start.trim_start_matches('`').len();
    (length >= 3).then(|| (&start[..length], start[length..].trim()))
}

/// The same within one line. Marks are sought from one to the next, so that a line full of single ones takes no longer.
fn in_line(line: &str) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find(['{', '`', '$']) {
        let mark = rest.as_bytes()[at];
        if mark == b'{' {
            return true;
        }
        rest = &rest[at..];
        let opening = rest.len() - rest.trim_start_matches(char::from(mark)).len();
        let behind = &rest[opening..];
        rest = behind;
        if let Some(end) = behind.find(char::from(mark)) {
            let tail = &behind[end..];
            let closing = tail.len() - tail.trim_start_matches(char::from(mark)).len();
            let (inside, after) = (&behind[..end], &tail[closing..]);
            // Pandoc's rule for dollars that are no money: no space within, no digit behind.
            let money = inside.starts_with(' ') || inside.ends_with(' ') || after.starts_with(|c: char| c.is_ascii_digit());
            if opening == closing && (mark == b'`' || !money) {
                rest = after;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_formulas_that_are_marked_are_left_out() {
        for text in [
            "",
            "no bracket }",
            "It is $\\frac{a}{b}$, and $$x^{2}$$ too, for $5.",
            "It costs $5, as `{x}` says, or $6.",
            "Call `f({})` or ``g(`{`)``, or ```{} ```.",
            "```js let a = {} ```",
            "Code:\n\n```c\nint main(void) {\n```\n\nand on.",
            "> ```\n> a { b\n> ```",
            "- item\n  ```\n  a { b\n  ```",
            "````\n```\n{\n```\n````",
        ] {
            assert!(!in_prose(text), "{text}");
        }
    }

    #[test]
    fn brackets_in_running_text_count() {
        for text in [
            "a { b",
            "function f() {",
            "It costs $5 {net} or $6.",
            "It costs $5{net} and 7 $ here",
            "a `b { c",
            "a ``b { c` d",
            "$x^{2} and on",
            "```\na { b\nnever closed",
            "```\na\n```\nb { c",
            "$a$ { $b$",
        ] {
            assert!(in_prose(text), "{text}");
        }
    }
}
