//! What is counted in a text before it is judged.

use corpus::{UnitKind, units};

/// Counts over a text; lines are non-empty lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    /// Hash and length in characters of every unit, in order.
    pub units: Vec<(u64, u32)>,
    /// Characters of all units.
    pub unit_chars: usize,
    /// Units with a letter.
    pub with_letter: usize,
    /// Han and kana units.
    pub cjk: usize,
    /// Different English function words, as a set of bits.
    pub english: u32,
    /// Different Chinese or Japanese function characters, as a set of bits.
    pub chinese: u64,
    /// `#`, `...` and `…`.
    pub symbols: usize,
    /// Lines.
    pub lines: usize,
    /// Lines that begin with a bullet.
    pub bullets: usize,
    /// Lines that end with an ellipsis.
    pub ellipses: usize,
    /// Lines that end with a sentence's mark.
    pub punctuated: usize,
    /// Lines of at most `short_line_chars` characters.
    pub short: usize,
    /// Lines that repeat an earlier one.
    pub repeated: usize,
    /// Characters of all lines.
    pub line_chars: usize,
    /// Characters of lines that repeat an earlier one.
    pub repeated_chars: usize,
}

/// English function words that Gopher's authors ask for.
const ENGLISH: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];
/// The commonest function characters of Chinese in both scripts, and particles of Japanese.
const CHINESE: &str = "的年在月是和日了於·為有被人中为他與後也而由一不这這个個上于之以我们們到说說时時のはにをがたでとしも";

/// Counts everything once.
#[must_use]
pub fn measure(text: &str, short_line_chars: usize) -> Measures {
    let mut m = Measures::default();
    m.units.reserve(text.len() / 5);
    for unit in units(text) {
        let chars = if unit.text.is_ascii() { unit.text.len() } else { unit.text.chars().count() };
        m.units.push((corpus::hash64(unit.text.as_bytes(), 0), chars as u32));
        m.unit_chars += chars;
        match unit.kind {
            UnitKind::Cjk => {
                m.cjk += 1;
                m.with_letter += 1;
                if let Some(i) = unit.text.chars().next().and_then(|c| CHINESE.chars().position(|k| k == c)) {
                    m.chinese |= 1 << i.min(63);
                }
            }
            UnitKind::Word => {
                m.with_letter += 1;
                if unit.text.len() <= 4
                    && let Some(i) = ENGLISH.iter().position(|word| unit.text.eq_ignore_ascii_case(word))
                {
                    m.english |= 1 << i;
                }
            }
            UnitKind::Number => {}
        }
    }
    // The marks of a heading in Markdown are none of the page's.
    let marks = |line: &str| if line.starts_with('#') { line.len() - line.trim_start_matches('#').len() } else { 0 };
    m.symbols =
        text.matches('#').count() - text.lines().map(marks).sum::<usize>() + text.matches("...").count() + text.matches('…').count();
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let chars = line.chars().count();
        m.lines += 1;
        m.line_chars += chars;
        m.bullets += usize::from(line.starts_with(['•', '-', '*', '●', '·']));
        m.ellipses += usize::from(line.ends_with("...") || line.ends_with('…'));
        m.punctuated += usize::from(ends_sentence(line));
        m.short += usize::from(chars <= short_line_chars);
        if !seen.insert(corpus::hash64(line.as_bytes(), 0)) {
            m.repeated += 1;
            m.repeated_chars += chars;
        }
    }
    m
}

/// True if a line ends with a mark that ends sentences, in Western or Chinese print, closing quotes included.
#[must_use]
pub fn ends_sentence(line: &str) -> bool {
    line.ends_with(['.', '!', '?', '"', '\'', '”', '’', '。', '！', '？', '；', '…', '」', '』', '）', '｡', '»', '։', '؟', '।'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_small_text() {
        let m = measure("The cat sat with #1 dog.\n- Item…\n- Item…\nshort", 6);
        assert_eq!((m.units.len(), m.with_letter, m.symbols), (9, 8, 3));
        assert_eq!((m.lines, m.bullets, m.ellipses, m.punctuated, m.short), (4, 2, 2, 3, 1));
        assert_eq!((m.repeated, m.repeated_chars, m.english.count_ones()), (1, 7, 2));
    }

    #[test]
    fn chinese_units_and_function_characters() {
        let m = measure("中国的首都是北京。", 6);
        assert_eq!((m.units.len(), m.cjk, m.chinese.count_ones(), m.punctuated), (8, 8, 3, 1));
    }
}
