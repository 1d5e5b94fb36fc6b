//! Which scripts a text is written in: the first evidence of its language.

use unicode_normalization::char::is_combining_mark;

/// True for Han characters: the unified ideographs, their extensions and compatibility forms, and 〇 and 々.
#[must_use]
#[inline]
pub fn is_han(c: char) -> bool {
    matches!(c as u32,
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x3005 | 0x3007 | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// True for hiragana and katakana, half width included.
#[must_use]
#[inline]
pub fn is_kana(c: char) -> bool {
    matches!(c as u32, 0x3041..=0x3096 | 0x309D..=0x309F | 0x30A1..=0x30FA | 0x30FC..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9D)
}

/// True for the letters of scripts that put no spaces between words, other than Han and kana: Thai, Lao, Burmese and Khmer.
#[must_use]
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(c as u32, 0x0E01..=0x0EDF | 0x1000..=0x109F | 0x1780..=0x17FF | 0xA9E0..=0xA9FF | 0xAA60..=0xAA7F)
        && c.is_alphabetic()
        && !is_combining_mark(c)
}

/// True for Korean syllables and letters.
#[must_use]
#[inline]
pub fn is_hangul(c: char) -> bool {
    matches!(c as u32, 0xAC00..=0xD7A3 | 0x1100..=0x11FF | 0x3131..=0x318E)
}

/// Letters of a text counted by script; digits, punctuation and white space count for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScriptHistogram {
    /// Latin letters, accented ones included.
    pub latin: usize,
    /// Han characters.
    pub han: usize,
    /// Hiragana and katakana.
    pub kana: usize,
    /// Korean syllables and letters.
    pub hangul: usize,
    /// Cyrillic letters.
    pub cyrillic: usize,
    /// Greek letters.
    pub greek: usize,
    /// Arabic letters.
    pub arabic: usize,
    /// Hebrew letters.
    pub hebrew: usize,
    /// Thai letters.
    pub thai: usize,
    /// Letters of every other script.
    pub other: usize,
}

impl ScriptHistogram {
    /// Counts the letters of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut h = Self::default();
        for c in text.chars() {
            h.add(c);
        }
        h
    }

    /// Counts one character.
    #[inline]
    pub fn add(&mut self, c: char) {
        if c.is_ascii() {
            self.latin += usize::from(c.is_ascii_alphabetic());
        } else if is_han(c) {
            self.han += 1;
        } else if is_kana(c) {
            self.kana += 1;
        } else if is_hangul(c) {
            self.hangul += 1;
        } else {
            match c as u32 {
                0x00C0..=0x024F | 0x1E00..=0x1EFF | 0xFF21..=0xFF3A | 0xFF41..=0xFF5A => self.latin += 1,
                0x0370..=0x03FF | 0x1F00..=0x1FFF => self.greek += 1,
                0x0400..=0x052F => self.cyrillic += 1,
                0x0590..=0x05FF => self.hebrew += 1,
                0x0600..=0x06FF | 0x0750..=0x077F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFF => self.arabic += 1,
                0x0E00..=0x0E7F => self.thai += 1,
                _ if c.is_alphabetic() => self.other += 1,
                _ => {}
            }
        }
    }

    /// Letters of all scripts.
    #[must_use]
    pub fn letters(&self) -> usize {
        self.alphabetic() + self.han + self.kana
    }

    /// Letters of the scripts that put spaces between words, Korean among them, and Thai.
    #[must_use]
    pub fn alphabetic(&self) -> usize {
        self.latin + self.hangul + self.cyrillic + self.greek + self.arabic + self.hebrew + self.thai + self.other
    }

    /// Share of Han and kana in the text, 0 to 1, one such character weighing as much as three Latin letters.
    #[must_use]
    pub fn cjk_share(&self) -> f64 {
        let cjk = HAN_WEIGHT * (self.han + self.kana) as f64;
        let all = cjk + self.alphabetic() as f64;
        if all == 0.0 { 0.0 } else { cjk / all }
    }
}

/// How many Latin letters say about as much as one Han character (5 letters a word, 1.6 characters a word).
pub(crate) const HAN_WEIGHT: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_script() {
        let h = ScriptHistogram::of("Ab 1, 中国ひらカナ 한국 Привет Ωé ไทย עב عر");
        assert_eq!(
            h,
            ScriptHistogram { latin: 3, han: 2, kana: 4, hangul: 2, cyrillic: 6, greek: 1, arabic: 2, hebrew: 2, thai: 3, other: 0 }
        );
        assert_eq!(h.letters(), 25);
    }

    #[test]
    fn share_weighs_han_more() {
        assert_eq!(ScriptHistogram::of("").cjk_share(), 0.0);
        assert!(ScriptHistogram::of("中国 China").cjk_share() > 0.5);
        assert!(ScriptHistogram::of("the word 中 alone").cjk_share() < 0.5);
    }
}
