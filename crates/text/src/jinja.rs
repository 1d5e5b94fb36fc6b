//! A Jinja environment that behaves like the one `transformers` renders chat templates in.
//!
//! There: Jinja2 with `trim_blocks`, `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`, a `tojson` that is plain
//! `json.dumps`, Python's methods on strings and dicts, Python's spelling of `True` and `None`, and `{% generation %}` tags.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State};

use crate::Error;
use crate::pyjson::{Style, dumps, python_float};

/// The environment; `now` fixes what `strftime_now` says.
fn environment(now: Option<SystemTime>) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
    env.set_syntax(syntax);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.set_formatter(write_like_python);
    env.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    env.add_function("strftime_now", move |format: String| strftime(&format, now.unwrap_or_else(SystemTime::now)));
    env.add_filter("tojson", tojson);
    // In Python, None is no iterable, and `string` spells values as Python prints them.
    env.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    env.add_filter("string", |value: &Value| python_str(value).unwrap_or_else(|| value.to_string()));
    Ok(env)
}

/// Renders `source`, in which `{% generation %}` tags print `marks.0` and `marks.1` around their body.
pub(crate) fn render(source: &str, context: Value, marks: (char, char), now: Option<SystemTime>) -> Result<String, Error> {
    let rewritten = rewrite_generation(source, marks);
    environment(now)?.render_named_str("chat_template", &rewritten, context).map_err(failed)
}

/// Parses `source` without rendering it.
pub(crate) fn check(source: &str) -> Result<(), Error> {
    let rewritten = rewrite_generation(source, ('\u{E000}', '\u{E001}'));
    let env = environment(None)?;
    env.template_from_named_str("chat_template", &rewritten).map(drop).map_err(failed)
}

/// The message of the deepest cause (what `raise_exception` said) with the template's line.
fn failed(error: minijinja::Error) -> Error {
    Error::Template { message: error.to_string() }
}

/// Whether `source` has `{% generation %}` tags.
pub(crate) fn has_generation(source: &str) -> bool {
    tags(source).any(|tag| tag.name == "generation")
}

/// Replaces `{% generation %}` by two blocks around a printed mark, of which the first keeps the tag's left whitespace control and
/// the second its right one, so that `trim_blocks` and `lstrip_blocks` see what they would have seen.
fn rewrite_generation(source: &str, marks: (char, char)) -> String {
    let mut out = String::with_capacity(source.len() + 128);
    let mut copied = 0;
    for tag in tags(source) {
        let (open, mark, close) = match tag.name {
            "generation" => ("if true", marks.0, "if true"),
            _ => ("endif", marks.1, "endif"),
        };
        out.push_str(&source[copied..tag.start]);
        out.push_str(&format!("{{%{} {open} %}}{{{{ '{mark}' }}}}{{% {close} {}%}}", tag.left, tag.right));
        copied = tag.end;
    }
    out.push_str(&source[copied..]);
    out
}

/// A `{% generation %}` or `{% endgeneration %}` tag, with the signs of whitespace control at its ends.
struct Tag<'s> {
    start: usize,
    end: usize,
    left: &'s str,
    name: &'s str,
    right: &'s str,
}

fn tags(source: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(found) = source[from..].find("{%") {
            let start = from + found;
            let end = start + source[start..].find("%}")? + 2;
            from = start + 2;
            let body = &source[start + 2..end - 2];
            let signed = |s: &str| s.len() == 1 && (s == "-" || s == "+");
            let left = body.get(..1).filter(|s| signed(s)).unwrap_or("");
            let rest = &body[left.len()..];
            let right = rest.len().checked_sub(1).and_then(|at| rest.get(at..)).filter(|s| signed(s)).unwrap_or("");
            let name = rest[..rest.len() - right.len()].trim();
            if name == "generation" || name == "endgeneration" {
                from = end;
                return Some(Tag { start, end, left, name, right });
            }
        }
        None
    })
}

/// What Python prints for `True`, `False`, `None` and floats, where the engine prints something else.
fn python_str(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::None => Some("None".to_string()),
        ValueKind::Bool => Some(if value.is_true() { "True" } else { "False" }.to_string()),
        ValueKind::Number if !value.is_integer() => f64::try_from(value.clone()).ok().map(python_float),
        _ => None,
    }
}

fn write_like_python(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    match python_str(value) {
        Some(text) => out.write_str(&text).map_err(minijinja::Error::from),
        None => minijinja::escape_formatter(out, state, value),
    }
}

fn tojson(value: &Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::Error::new(ErrorKind::UndefinedError, "cannot turn an undefined value into JSON"));
    }
    let separators = match options.get::<Option<Vec<String>>>("separators")? {
        Some(pair) => match <[String; 2]>::try_from(pair) {
            Ok([item, key]) => Some((item, key)),
            Err(_) => {
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, "`separators` needs two strings"));
            }
        },
        None => None,
    };
    let style = Style {
        indent: options.get("indent")?,
        separators,
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let json = serde_json::to_value(value).map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    Ok(Value::from(dumps(&json, &style)))
}

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// C's `strftime` in the C locale, in UTC (Python takes the local time, which a reproducible run cannot).
fn strftime(format: &str, now: SystemTime) -> String {
    let secs = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (secs / 86400, secs % 86400);
    let (year, month, day) = civil(days as i64);
    let weekday = ((days + 3) % 7) as usize; // 1970-01-01 was a Thursday
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let code = chars.next();
        // `%-d` and the like: no zero padding, as glibc has it.
        let (pad, code) = if code == Some('-') { (false, chars.next()) } else { (true, code) };
        let two = |n: u64| {
            if pad { format!("{n:02}") } else { n.to_string() }
        };
        match code {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&two(year.rem_euclid(100) as u64)),
            Some('m') => out.push_str(&two(month.into())),
            Some('d') => out.push_str(&two(day.into())),
            Some('e') => out.push_str(&format!("{day:2}")),
            Some('B') => out.push_str(MONTHS[month as usize - 1]),
            Some('b' | 'h') => out.push_str(&MONTHS[month as usize - 1][..3]),
            Some('A') => out.push_str(DAYS[weekday]),
            Some('a') => out.push_str(&DAYS[weekday][..3]),
            Some('H') => out.push_str(&two(hour)),
            Some('I') => out.push_str(&two(hour12)),
            Some('M') => out.push_str(&two(minute)),
            Some('S') => out.push_str(&two(second)),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('F') => out.push_str(&format!("{year}-{month:02}-{day:02}")),
            Some('T') => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
            Some('Z') => out.push_str("UTC"),
            Some('z') => out.push_str("+0000"),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months from March
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn text(source: &str) -> String {
        let moment = UNIX_EPOCH + Duration::from_secs(1_709_210_096); // 2024-02-29 12:34:56, a Thursday
        render(source, context! {}, ('<', '>'), Some(moment)).expect("renders")
    }

    #[test]
    fn dates() {
        assert_eq!(text("{{ strftime_now('%d %b %Y') }}"), "29 Feb 2024");
        assert_eq!(text("{{ strftime_now('%Y-%m-%d %H:%M:%S %A %-m %%') }}"), "2024-02-29 12:34:56 Thursday 2 %");
    }

    #[test]
    fn generation_tags_keep_their_whitespace_control() {
        assert_eq!(text("a\n  {% generation %}\nb\n  {% endgeneration %}\nc"), "a\n<b\n>c");
        assert_eq!(text("a\n  {%- generation -%}\n b\n  {%- endgeneration -%}\n c"), "a<b>c");
        assert!(has_generation("{%-generation-%}"));
        assert!(!has_generation("{% set generation = 1 %}"));
    }

    #[test]
    fn values_print_as_in_python() {
        assert_eq!(text("{{ true }} {{ none }} {{ 1.0 }} {{ 2 }}"), "True None 1.0 2");
        assert_eq!(text("{{ 'n=' + (none | string) }} {{ none is iterable }} {{ 'x' is iterable }}"), "n=None False True");
        assert_eq!(text("{{ {'b': 1, 'a': '中'} | tojson }}"), "{\"b\": 1, \"a\": \"中\"}");
        assert_eq!(text("{{ [1] | tojson(indent=1, separators=[',', ':']) }}"), "[\n 1\n]");
    }

    #[test]
    fn raised_messages_come_through() {
        let error = render("\n{{ raise_exception('roles must alternate') }}", context! {}, ('<', '>'), None).expect_err("raises");
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }
}
