//! JSON as Python's `json.dumps` writes it, which is what the `tojson` filter of chat templates means.

use serde_json::Value;

/// The arguments of `json.dumps` that templates use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Style {
    /// Spaces per level; `None` puts everything on one line.
    pub indent: Option<usize>,
    /// Between items, and between key and value.
    pub separators: Option<(String, String)>,
    /// Keys in order of their code points.
    pub sort_keys: bool,
    /// Everything above U+007F as `\u` escapes.
    pub ensure_ascii: bool,
}

/// Serializes `value` as Python would.
pub(crate) fn dumps(value: &Value, style: &Style) -> String {
    let (item, key) = match &style.separators {
        Some((item, key)) => (item.as_str(), key.as_str()),
        None if style.indent.is_some() => (",", ": "),
        None => (", ", ": "),
    };
    let mut out = String::new();
    Writer { style, item, key }.value(value, 0, &mut out);
    out
}

struct Writer<'a> {
    style: &'a Style,
    item: &'a str,
    key: &'a str,
}

impl Writer<'_> {
    fn value(&self, value: &Value, depth: usize, out: &mut String) {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Number(n) => out.push_str(&number(n)),
            Value::String(s) => self.string(s, out),
            Value::Array(items) if items.is_empty() => out.push_str("[]"),
            Value::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.separate(i, depth + 1, out);
                    self.value(item, depth + 1, out);
                }
                self.line(depth, out);
                out.push(']');
            }
            Value::Object(map) if map.is_empty() => out.push_str("{}"),
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                if self.style.sort_keys {
                    entries.sort_by(|a, b| a.0.cmp(b.0));
                }
                out.push('{');
                for (i, (key, value)) in entries.into_iter().enumerate() {
                    self.separate(i, depth + 1, out);
                    self.string(key, out);
                    out.push_str(self.key);
                    self.value(value, depth + 1, out);
                }
                self.line(depth, out);
                out.push('}');
            }
        }
    }

    fn separate(&self, index: usize, depth: usize, out: &mut String) {
        if index > 0 {
            out.push_str(self.item);
        }
        self.line(depth, out);
    }

    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = self.style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.style.ensure_ascii && !c.is_ascii()) || (self.style.ensure_ascii && c == '\u{7f}') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// Integers as they are; floats as Python's `repr`, which has an exponent from 1e16 on and below 1e-4.
fn number(n: &serde_json::Number) -> String {
    let Some(x) = n.as_f64().filter(|_| n.is_f64()) else {
        return n.to_string();
    };
    python_float(x)
}

/// `repr` of a Python float.
pub(crate) fn python_float(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{x:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let text = format!("{x}");
    if text.contains(['.', 'n', 'i']) { text } else { text + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_line_like_python() {
        let value = json!({"b": [1, 2.0, 1e20, 1e-5, true, null], "a": "中\"<&>'\n\u{1}"});
        let plain = Style::default();
        assert_eq!(dumps(&value, &plain), "{\"b\": [1, 2.0, 1e+20, 1e-05, true, null], \"a\": \"中\\\"<&>'\\n\\u0001\"}");
        let ascii = Style { ensure_ascii: true, sort_keys: true, ..Style::default() };
        assert!(dumps(&value, &ascii).starts_with("{\"a\": \"\\u4e2d\\\"<&>'"));
    }

    #[test]
    fn indented_like_python() {
        let style = Style { indent: Some(2), ..Style::default() };
        assert_eq!(dumps(&json!({"a": [1, {}], "b": []}), &style), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
    }
}
