//! Sets of filter rules as data: what is measured how, and the limits, for each group of languages.
//!
//! The files stand in `presets/` of this crate and are part of the binary; a user may name a file of their own. A key that a profile
//! does not name is a rule that it does not have.

use serde::{Deserialize, Serialize};

/// The built-in presets by name.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("default", include_str!("../../presets/default.toml")),
    ("gopher", include_str!("../../presets/gopher.toml")),
    ("c4", include_str!("../../presets/c4.toml")),
    ("fineweb", include_str!("../../presets/fineweb.toml")),
    ("fineweb2", include_str!("../../presets/fineweb2.toml")),
    ("dclm", include_str!("../../presets/dclm.toml")),
];

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Splitter {
    /// Words without marks; each Han and kana character for itself (`corpus::units`).
    Words,
    /// What stands between white space, marks included.
    Whitespace,
}

/// Which mean of the words' lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// Sum by number.
    Mean,
    /// The middle one.
    Median,
}

/// What makes a text alphabetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabetic {
    /// Words with at least one letter among all words.
    Letters,
    /// Han and kana among all units.
    Han,
}

/// Which copies of a line or paragraph count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copies {
    /// All but the first.
    AfterFirst,
    /// The first too.
    All,
}

/// What the characters of repeated lines or n-grams are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whole {
    /// All characters of the text, white space and marks included.
    Text,
    /// The characters of all lines, or of all units.
    Parts,
}

/// Where a phrase is cut out of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Anywhere.
    Any,
    /// At the beginning.
    Prefix,
    /// At the end.
    Suffix,
}

/// Which class of rules a language is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Written in words.
    Words,
    /// Chinese, Japanese, and other languages without spaces between words: counted in characters.
    Han,
}

/// Declares [`Rules`] with every key optional, and how one set of keys overrides another.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// Rules of a profile, or keys that override some. A key that is absent is a rule that is not asked, or the first choice named.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Rules {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$kind>,)*
        }

        impl Rules {
            /// Takes over every key that `other` names.
            pub fn override_by(&mut self, other: &Self) {
                $(if other.$name.is_some() { self.$name.clone_from(&other.$name); })*
            }
        }
    };
}

rules! {
    /// What counts as a unit for lengths, line breaks and n-grams: `words` (default) or `whitespace`.
    splitter: Splitter,
    /// The same for word length, symbols, letters and function words; `splitter` if absent.
    word_splitter: Splitter,
    /// Least number of units.
    min_units: usize,
    /// Most units.
    max_units: usize,
    /// `mean` (default) or `median`.
    word_length: Average,
    /// Leave single Han and kana characters out of the words' length: in a bilingual text they are no words of one letter.
    word_length_without_han: bool,
    /// Least length of a word in characters.
    min_mean_length: f64,
    /// Greatest length of a word in characters.
    max_mean_length: f64,
    /// Most `#` and ellipses for each word.
    max_symbol_share: f64,
    /// Compare `#` and ellipses apart, each with the limit.
    symbols_apart: bool,
    /// `. . .` is an ellipsis too.
    spaced_ellipsis: bool,
    /// Characters that are bullets at the beginning of a line.
    bullets: String,
    /// Largest share of lines that begin with a bullet.
    max_bullet_lines: f64,
    /// Largest share of lines that end with an ellipsis.
    max_ellipsis_lines: f64,
    /// `letters` (default) or `han`.
    alphabetic: Alphabetic,
    /// Least share of alphabetic units.
    min_alphabetic: f64,
    /// Function words of running text.
    stop_words: Vec<String>,
    /// Upper case is the same as lower case in function words.
    stop_words_any_case: bool,
    /// Count function words as often as they stand there, and not the different ones.
    stop_words_counted: bool,
    /// Least number of function words.
    min_stop_words: usize,
    /// Which copies of lines and paragraphs count: `after-first` (default) or `all`.
    copies: Copies,
    /// What characters in repeated lines and paragraphs are divided by: `parts` (default) or `text`.
    copies_of: Whole,
    /// Largest share of lines that repeat another.
    max_duplicate_lines: f64,
    /// Largest share of characters in lines that repeat another.
    max_duplicate_line_chars: f64,
    /// Largest share of paragraphs that repeat another.
    max_duplicate_paragraphs: f64,
    /// Largest share of characters in paragraphs that repeat another.
    max_duplicate_paragraph_chars: f64,
    /// `[n, share]`: largest share of characters in copies of the most frequent n-gram.
    top_ngrams: Vec<(usize, f64)>,
    /// `[n, share]`: largest share of characters in repeated n-grams.
    duplicate_ngrams: Vec<(usize, f64)>,
    /// What characters of n-grams are divided by: `parts` (default) or `text`.
    ngrams_of: Whole,
    /// Count the spaces within the most frequent n-gram.
    top_ngram_spaces: bool,
    /// Of equally frequent n-grams the first one counts, even if it occurs once, and not the longest.
    top_ngram_first: bool,
    /// Every unit in an n-gram that occurs twice counts, once; else the repeats behind the first, each skipped whole.
    duplicate_ngrams_covered: bool,
    /// Marks that end a line well; absent: those of Western and Chinese print with closing quotes.
    line_marks: String,
    /// Least share of lines that end with such a mark.
    min_line_punctuation: f64,
    /// A line of at most this many characters is short.
    short_line_chars: usize,
    /// Largest share of short lines.
    max_short_lines: f64,
    /// Most line breaks for each unit.
    max_newlines_per_unit: f64,
    /// Least number of sentences.
    min_sentences: usize,
    /// Refuse texts with a curly bracket; with `edit_first` anywhere in a line that stays, as C4 does, else outside of code and formulas
    /// that are marked as such.
    refuse_curly_bracket: bool,
    /// Refuse texts with filler words.
    refuse_lorem_ipsum: bool,
    /// Least score of the language by the user's model; without a model nothing is asked.
    min_model_score: f64,
    /// Edit lines before anything is measured; else after all rules but `max_removed_words`.
    edit_first: bool,
    /// Cut `[1]`, `[edit]` and `[citation needed]` out of lines.
    cut_citations: bool,
    /// Cut phrases out of lines of at most so many words: `[phrase, place, words]`; upper case is the same as lower case.
    cut_phrases: Vec<(String, Place, usize)>,
    /// Drop lines that do not end with one of these marks, or end with `...`.
    keep_line_marks: String,
    /// Drop lines of fewer words (between white space).
    min_line_words: usize,
    /// Drop lines with a longer word, in characters.
    max_line_word_chars: usize,
    /// Drop lines with one of these phrases; upper case is the same as lower case.
    drop_phrases: Vec<String>,
    /// Drop lines with a greater share of upper-case characters.
    max_line_uppercase: f64,
    /// Drop lines with a greater share of digits.
    max_line_digits: f64,
    /// Drop lines such as `12 likes`.
    drop_counters: bool,
    /// Refuse texts that lost a greater share of their words to line edits.
    max_removed_words: f64,
}

/// Rules for some languages.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is called.
    pub name: String,
    /// Whose overriding keys apply: `[filter.words]` or `[filter.han]`.
    pub class: Class,
    /// Language tags; none for all that no profile before it names.
    #[serde(default)]
    pub languages: Vec<String>,
    /// An earlier profile whose rules these begin with.
    pub like: Option<String>,
    /// The rules.
    #[serde(default)]
    pub rules: Rules,
}

/// A preset.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Where it comes from and what in it differs from there.
    pub about: String,
    /// Profiles; the first one that names a language judges it.
    #[serde(rename = "profile")]
    pub profiles: Vec<Profile>,
}

impl Preset {
    /// Reads a preset and completes each profile with the one that it is like.
    ///
    /// # Errors
    /// What is wrong with the text, its place in it included.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut preset: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for i in 0..preset.profiles.len() {
            let Some(like) = preset.profiles[i].like.clone() else { continue };
            let Some(base) = preset.profiles[..i].iter().find(|profile| profile.name == like) else {
                return Err(format!("profile `{}` is like `{like}`, which does not stand before it", preset.profiles[i].name));
            };
            let mut rules = base.rules.clone();
            rules.override_by(&preset.profiles[i].rules);
            preset.profiles[i].rules = rules;
        }
        if !preset.profiles.last().is_some_and(|profile| profile.languages.is_empty()) {
            return Err("the last profile must name no languages, so that every text has one".into());
        }
        for profile in &preset.profiles {
            profile.rules.check().map_err(|problem| format!("profile `{}`: {problem}", profile.name))?;
        }
        Ok(preset)
    }

    /// A built-in preset.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        #[expect(clippy::expect_used, reason = "constant files that a test reads")]
        Some(Self::parse(text).expect("the built-in presets parse"))
    }

    /// The place of the profile that judges a language. A text of unknown language that is mostly Han and kana is taken for Chinese.
    #[must_use]
    pub fn select(&self, tag: &str, text: &str) -> usize {
        let tag = if tag == "und" && corpus::ScriptHistogram::of(text).cjk_share() > 0.5 { "zh" } else { tag };
        let fits =
            |profile: &Profile| profile.languages.is_empty() || profile.languages.iter().any(|wanted| corpus::matches_tag(tag, wanted));
        self.profiles.iter().position(fits).unwrap_or(self.profiles.len() - 1)
    }
}

impl Rules {
    /// The numbers that are set, with their names.
    fn limits(&self) -> Vec<(&'static str, f64)> {
        let most = [
            ("min_mean_length", self.min_mean_length),
            ("max_mean_length", self.max_mean_length),
            ("max_symbol_share", self.max_symbol_share),
            ("max_bullet_lines", self.max_bullet_lines),
            ("max_ellipsis_lines", self.max_ellipsis_lines),
            ("max_duplicate_lines", self.max_duplicate_lines),
            ("max_duplicate_line_chars", self.max_duplicate_line_chars),
            ("max_duplicate_paragraphs", self.max_duplicate_paragraphs),
            ("max_duplicate_paragraph_chars", self.max_duplicate_paragraph_chars),
            ("max_short_lines", self.max_short_lines),
            ("max_newlines_per_unit", self.max_newlines_per_unit),
            ("max_line_uppercase", self.max_line_uppercase),
            ("max_line_digits", self.max_line_digits),
            ("max_removed_words", self.max_removed_words),
        ];
        let set = most.into_iter().filter_map(|(name, value)| Some((name, value?)));
        set.chain(self.least_shares()).collect()
    }

    /// Those that are the least share of something.
    fn least_shares(&self) -> Vec<(&'static str, f64)> {
        let least = [
            ("min_alphabetic", self.min_alphabetic),
            ("min_line_punctuation", self.min_line_punctuation),
            ("min_model_score", self.min_model_score),
        ];
        least.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Checks what one key alone cannot tell.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.min_units.unwrap_or(0) > self.max_units.unwrap_or(usize::MAX) {
            return Err("min_units is greater than max_units".into());
        }
        if self.min_mean_length.unwrap_or(0.0) > self.max_mean_length.unwrap_or(f64::INFINITY) {
            return Err("min_mean_length is greater than max_mean_length".into());
        }
        if let Some((name, value)) = self.limits().into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
            return Err(format!("{name} = {value} is no limit; limits are 0 or more"));
        }
        if let Some((name, value)) = self.least_shares().into_iter().find(|(_, value)| *value > 1.0) {
            return Err(format!("{name} = {value} would refuse every text; it is a share, from 0 to 1"));
        }
        let ngrams = self.top_ngrams.iter().chain(&self.duplicate_ngrams).flatten();
        if ngrams.into_iter().any(|&(n, share)| n == 0 || !(0.0..=1.0).contains(&share)) {
            return Err("an n-gram rule is [n, share] with n of 1 or more and a share from 0 to 1".into());
        }
        if self.stop_words.as_ref().is_some_and(|words| words.len() > 64) {
            return Err("more than 64 stop_words".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_presets_parse_and_judge_every_language() {
        for (name, _) in BUILT_IN {
            let preset = Preset::built_in(name).unwrap();
            assert!(!preset.about.is_empty());
            for tag in ["en", "zh-Hans", "zh-Hant", "ja", "ko", "yue", "de", "und"] {
                assert!(preset.select(tag, "text") < preset.profiles.len());
            }
        }
        assert!(Preset::built_in("nothing").is_none());
    }

    #[test]
    fn the_language_chooses_the_profile() {
        let preset = Preset::built_in("default").unwrap();
        let name = |tag: &str, text: &str| preset.profiles[preset.select(tag, text)].name.clone();
        assert_eq!([name("en", ""), name("zh-Hant", ""), name("ja", ""), name("fr", "")], ["english", "han", "han", "words"]);
        assert_eq!([name("ko", ""), name("th", ""), name("my", ""), name("hi", "")], ["korean", "unspaced", "unspaced", "words"]);
        assert_eq!([name("und", "北京 1"), name("und", "x y")], ["han", "words"]);
        let two = Preset::built_in("fineweb2").unwrap();
        let named: Vec<&str> =
            ["zh-Hans", "yue", "ja", "ko", "en", "pl"].map(|tag| two.profiles[two.select(tag, "")].name.as_str()).to_vec();
        assert_eq!(named, ["cmn_Hani", "yue_Hani", "jpn_Jpan", "kor_Hang", "rest", "rest"]);
    }

    #[test]
    fn mistakes_are_named() {
        let profile = |rest: &str| format!("about = 'x'\n[[profile]]\nname = 'a'\nclass = 'words'\n{rest}");
        for (text, want) in [
            (profile("languages = ['en']"), "last profile"),
            (profile("like = 'b'"), "like `b`"),
            (profile("[profile.rules]\nmin_unit = 3"), "min_unit"),
            (profile("[profile.rules]\nmin_units = 3\nmax_units = 2"), "min_units is greater"),
            (profile("[profile.rules]\ntop_ngrams = [[0, 0.1]]"), "n-gram rule"),
            (profile("[profile.rules]\nmax_short_lines = -0.1"), "max_short_lines = -0.1"),
            (profile("[profile.rules]\nmax_newlines_per_unit = nan"), "max_newlines_per_unit"),
            (profile("[profile.rules]\nmin_alphabetic = 80"), "min_alphabetic = 80"),
        ] {
            let error = Preset::parse(&text).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        assert!(Preset::parse(&profile("")).is_ok());
    }

    #[test]
    fn single_keys_override() {
        let mut rules = Rules { min_units: Some(50), max_units: Some(100), ..Rules::default() };
        rules.override_by(&Rules { min_units: Some(10), ..Rules::default() });
        assert_eq!((rules.min_units, rules.max_units), (Some(10), Some(100)));
    }
}
