//! The few HTML helpers the page needs: escaping, numbers, tables.

use std::fmt::Write as _;

/// Text made safe for element content and for attribute values in double quotes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// An element's `lang` attribute for a text: Chinese fonts are chosen by it.
pub fn lang_of(text: &str) -> &'static str {
    if text.chars().any(|c| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{3FFFF}')) { "zh" } else { "en" }
}

/// A text in an element, escaped and with its language.
pub fn span(class: &str, text: &str) -> String {
    format!("<span class=\"{class}\" lang=\"{}\">{}</span>", lang_of(text), escape(text))
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A share as a percentage with one decimal: `0.8342` as `83.4%`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}%", 100.0 * share) } else { "–".to_owned() }
}

/// A table cell: its HTML and a class (`num` is right-aligned).
#[derive(Debug, Clone)]
pub struct Cell {
    html: String,
    class: &'static str,
}

impl Cell {
    /// Plain text, escaped.
    pub fn text(text: &str) -> Self {
        Self { html: format!("<span lang=\"{}\">{}</span>", lang_of(text), escape(text)), class: "" }
    }

    /// A number or another text that is aligned right.
    pub fn num(text: impl AsRef<str>) -> Self {
        Self { html: escape(text.as_ref()), class: "num" }
    }

    /// Ready HTML under a class.
    pub fn html(html: String, class: &'static str) -> Self {
        Self { html, class }
    }
}

/// A table that scrolls sideways on its own where the page is narrow; the first column heads its row.
pub fn table(head: &[Cell], rows: &[Vec<Cell>]) -> String {
    let mut out = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    for cell in head {
        let _ = write!(out, "<th scope=\"col\" class=\"{}\">{}</th>", cell.class, cell.html);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let (tag, scope) = if i == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
            let _ = write!(out, "<{tag}{scope} class=\"{}\">{}</{tag}>", cell.class, cell.html);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_completion_stays_text() {
        let html = span("a", "<script>alert('珠')</script> & \"x\"");
        assert!(!html.contains("<script"));
        assert!(html.contains("lang=\"zh\""));
        assert!(html.contains("&lt;script&gt;alert(&#39;珠&#39;)&lt;/script&gt; &amp; &quot;x&quot;"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(percent(0.834_2), "83.4%");
    }
}
