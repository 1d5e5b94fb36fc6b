//! Text in columns of a terminal, where a Han character takes two cells.

/// Cells that a terminal gives to a character: 0 for combining marks, 2 for East Asian wide and full-width forms, else 1.
///
/// The wide ranges are those of Unicode's `EastAsianWidth.txt` marked W or F, joined where they nearly touch.
pub fn char_width(c: char) -> usize {
    match c {
        '\u{0300}'..='\u{036F}' | '\u{200B}'..='\u{200F}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}' => 0,
        c if c.is_control() => 0,
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{303E}'
        | '\u{3041}'..='\u{33FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{A4CF}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}'
        | '\u{1F300}'..='\u{1F64F}'
        | '\u{1F900}'..='\u{1F9FF}'
        | '\u{20000}'..='\u{3FFFD}' => 2,
        _ => 1,
    }
}

/// Cells of a text.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Pads with spaces on the right to `cells`.
pub fn pad(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(width(text))))
}

/// Pads with spaces on the left to `cells`.
pub fn pad_left(text: &str, cells: usize) -> String {
    format!("{}{text}", " ".repeat(cells.saturating_sub(width(text))))
}

/// At most `cells` cells, with `…` where something was cut; line breaks and other controls become `␤` and spaces.
pub fn fit(text: &str, cells: usize) -> String {
    let flat: String = text
        .chars()
        .map(|c| {
            if c == '\n' {
                '␤'
            } else if c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect();
    if width(&flat) <= cells {
        return flat;
    }
    let mut out = String::new();
    let mut used = 0;
    for c in flat.chars() {
        if used + char_width(c) + 1 > cells {
            break;
        }
        used += char_width(c);
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn han_takes_two_cells() {
        assert_eq!(width("Paris"), 5);
        assert_eq!(width("珠穆朗玛峰"), 10);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("，。"), 4);
        assert_eq!(pad("中国", 6), "中国  ");
        assert_eq!(pad_left("x", 3), "  x");
    }

    #[test]
    fn cutting_never_exceeds_the_width() {
        assert_eq!(fit("珠穆朗玛峰", 10), "珠穆朗玛峰");
        assert_eq!(fit("珠穆朗玛峰", 7), "珠穆朗…");
        assert_eq!(fit("珠穆朗玛峰", 6), "珠穆…");
        assert_eq!(fit("a\nb\tc", 10), "a␤b c");
        for cells in 1..12 {
            assert!(width(&fit("The 高 mountain 山", cells)) <= cells);
        }
    }
}
