//! What is a date, of the strings that records and rows state as theirs.

/// Longest string that may be one.
const MAX_BYTES: usize = 64;
/// Months as mails and HTTP headers write them.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The date as it is stated, if it is one: a year, or a year and a month, or a day with or without its time, in digits from the year on
/// (ISO 8601, or with `/`, `.` or 年月日, or of 8 or 14 digits alone), or as in mails and HTTP headers (`Mon, 06 May 2024 07:08:09 GMT`).
#[must_use]
pub fn stated(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.len() <= MAX_BYTES && (from_year(text) || of_mail(text))).then_some(text)
}

fn from_year(text: &str) -> bool {
    let (year, rest) = number(text);
    match year {
        [_, _, _, _] => {}
        [_, _, _, _, _, _, _, _] => return is_day(&year[..4], &year[4..6], &year[6..]) && rest.is_empty(),
        [_, _, _, _, _, _, _, _, time @ ..] if time.len() == 6 => {
            return is_day(&year[..4], &year[4..6], &year[6..8]) && is_clock(&time[..2], &time[2..4], &time[4..]) && rest.is_empty();
        }
        _ => return false,
    }
    if rest.is_empty() || rest == "年" {
        return value(year) > 0;
    }
    let Some((month, rest)) = after(rest, &["-", "/", ".", "年"]) else { return false };
    if rest.is_empty() || rest == "月" {
        return is_day(year, month, b"1");
    }
    let Some((day, rest)) = after(rest, &["-", "/", ".", "月"]) else { return false };
    let rest = rest.strip_prefix('日').unwrap_or(rest);
    is_day(year, month, day) && (rest.is_empty() || is_time(rest.strip_prefix(['T', 't', ' ']).unwrap_or_default()))
}

fn of_mail(text: &str) -> bool {
    let text = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let mut parts = text.split_ascii_whitespace();
    let (Some(day), Some(month), Some(year)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Some(month) = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month)) else { return false };
    let whole = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let month = (month + 1).to_string();
    let rest: Vec<&str> = parts.collect();
    whole(day)
        && year.len() == 4
        && whole(year)
        && is_day(year.as_bytes(), month.as_bytes(), day.as_bytes())
        && (rest.is_empty() || (rest.len() <= 2 && is_time(&rest.join(" "))))
}

/// A time with or without seconds, their parts, and its zone.
fn is_time(text: &str) -> bool {
    let (hour, rest) = number(text);
    let Some((minute, rest)) = after(rest, &[":"]) else { return false };
    let (second, rest) = after(rest, &[":"]).unwrap_or((b"0", rest));
    let rest = rest.strip_prefix(['.', ',']).map_or(rest, |rest| number(rest).1);
    let zone = rest.trim_start();
    let offset = zone.strip_prefix(['+', '-', '−']).is_some_and(|zone| {
        let digits = zone.bytes().filter(u8::is_ascii_digit).count();
        matches!(digits, 2 | 4) && zone.bytes().all(|b| b.is_ascii_digit() || b == b':')
    });
    let name = zone.len() <= 5 && zone.bytes().all(|b| b.is_ascii_alphabetic());
    is_clock(hour, minute, second) && (name || offset)
}

fn is_clock(hour: &[u8], minute: &[u8], second: &[u8]) -> bool {
    let within = |digits: &[u8], most| matches!(digits.len(), 1 | 2) && value(digits) <= most;
    // A leap second is the sixtieth.
    within(hour, 24) && within(minute, 59) && within(second, 60)
}

fn is_day(year: &[u8], month: &[u8], day: &[u8]) -> bool {
    let year = value(year);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match value(month) {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year > 0 && matches!(month.len(), 1 | 2) && matches!(day.len(), 1 | 2) && (1..=days).contains(&value(day))
}

/// The digits at the beginning, and what follows them.
fn number(text: &str) -> (&[u8], &str) {
    let (digits, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    (digits.as_bytes(), rest)
}

/// The digits behind one of the marks, and what follows them.
fn after<'a>(text: &'a str, marks: &[&str]) -> Option<(&'a [u8], &'a str)> {
    let rest = marks.iter().find_map(|mark| text.strip_prefix(mark))?;
    let (digits, rest) = number(rest.trim_start());
    (!digits.is_empty()).then_some((digits, rest))
}

/// Of few digits.
fn value(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_other_strings() {
        for date in [
            "2024",
            "2024-05",
            "2024-5",
            "2024-05-06",
            "2024-02-29",
            "2024-05-06T07:08:09Z",
            "2024-05-06T07:08Z",
            "2024-05-06 07:08:09.123456+08:00",
            "2024-05-06T07:08:60,5-0330",
            "2024-05-06 07:08:09 UTC",
            "20240506",
            "20240506070809",
            "2024/5/6",
            "2024.05.06",
            "2024年5月6日",
            "2024年5月6日 07:08",
            "2024年5月",
            "Mon, 06 May 2024 07:08:09 GMT",
            "6 May 2024",
            "06 may 2024 07:08 +0200",
        ] {
            assert_eq!(stated(date), Some(date), "{date}");
        }
        for other in [
            "",
            " ",
            "yesterday",
            "n/a",
            "null",
            "0",
            "1715000000",
            "0000-00-00",
            "0000-01-01",
            "2024-13-01",
            "2024-00-10",
            "2023-02-29",
            "2024-05-32",
            "2024-05-06T25:00:00Z",
            "2024-05-06T07:61Z",
            "2024-05-06T",
            "2024-05-06 at noon",
            "2024-05-06Tx",
            "20241301",
            "20240506250000",
            "202405",
            "12345678901",
            "24-05-06",
            "2024-",
            "2024-05-",
            "2024-005-06",
            "6 Foo 2024",
            "May 2024",
            "31 Jun 2024",
            "+2 May 2024",
            "2024-05-06T07:08:09Z and more",
            "２０２４-05-06",
            "2024 words",
        ] {
            assert_eq!(stated(other), None, "{other}");
        }
        assert_eq!(stated(" 2024-05-06\r"), Some("2024-05-06"));
        assert_eq!(stated(&"2".repeat(1 << 20)), None);
    }
}
