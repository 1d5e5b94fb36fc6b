//! Configuration of the stage; `default.toml` beside this file is its manual and holds every default.

use crate::extract::Markup;
use crate::filter::preset::{self, BUILT_IN, Class, Profile, Rules};
use serde::{Deserialize, Serialize};
use stage::ConfigProblem;

/// `[stage.crawl-clean]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files, folders or patterns to read.
    pub inputs: Vec<String>,
    /// Language tags to keep; a tag stands for its more specific forms too.
    pub languages: Vec<String>,
    /// Largest page, before and after decompression, in bytes.
    pub max_page_bytes: usize,
    /// Most nodes of a page.
    pub max_nodes: usize,
    /// Deepest nesting of a page.
    pub max_depth: usize,
    /// Largest share of characters that could not be decoded.
    pub max_replaced_share: f64,
    /// How headings, lists, tables and code are written.
    pub markup: Markup,
    /// Bytes of pages held in memory at a time.
    pub chunk_bytes: usize,
    /// Memory that pages and the search for duplicates may take, in MB.
    pub max_memory_mb: u64,
    /// Characters of a refused text that are kept in `rejected/`.
    pub rejected_text_chars: usize,
    /// Most refused rows of an input and a reason that are kept in `rejected/`; 0 keeps all.
    pub rejected_per_reason: u64,
    /// Keep what extraction found, so that other thresholds decide again without reading the inputs.
    pub keep_extracted: bool,
    /// Column of JSON lines or Parquet with extracted text.
    pub text_column: String,
    /// Column with HTML, read where there is no text.
    pub html_column: String,
    /// Column with the address.
    pub url_column: String,
    /// Column with the date.
    pub date_column: String,
    /// Lists of addresses.
    pub url: UrlConfig,
    /// Language identification.
    pub language: LanguageConfig,
    /// Quality filters and personal data.
    pub filter: FilterConfig,
    /// A user's quality model.
    pub quality: QualityConfig,
    /// Exact and near duplicates.
    pub dedup: DedupConfig,
    /// Questions of evaluation tasks.
    pub decontaminate: DecontaminateConfig,
}

/// `[stage.crawl-clean.decontaminate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecontaminateConfig {
    /// Task files.
    pub tasks: Vec<String>,
    /// Words of a telling run.
    pub words: usize,
    /// Characters of a telling run in questions where Han and kana prevail.
    pub chars: usize,
    /// What becomes of a text that holds one.
    pub on_hit: OnHit,
}

/// What becomes of a text with a question in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnHit {
    /// The sentences that hold it are taken out.
    Remove,
    /// The document is dropped.
    Drop,
    /// It is counted only.
    Count,
}

/// `[stage.crawl-clean.language]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageConfig {
    /// Refuse what is not in `languages`.
    pub enabled: bool,
    /// Least score of the decision.
    pub min_score: f64,
    /// A supervised fastText model (`.bin` or `.ftz`) whose word overrules ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Below this probability of the model the language is `und`.
    pub model_min_score: f64,
}

/// `[stage.crawl-clean.url]`: files with an entry a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlConfig {
    /// Domains to refuse, with all below them.
    pub domains: Vec<String>,
    /// Addresses to refuse.
    pub urls: Vec<String>,
    /// Words of which one in the address is enough.
    pub hard_words: Vec<String>,
    /// Words of which `min_soft_words` are needed.
    pub soft_words: Vec<String>,
    /// Soft words in an address that refuse it.
    pub min_soft_words: usize,
}

/// `[stage.crawl-clean.quality]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityConfig {
    /// A supervised fastText model (`.bin` or `.ftz`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The label whose probability is the score.
    pub label: String,
    /// Least score.
    pub min_score: f64,
}

/// `[stage.crawl-clean.filter]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Apply the filters and replace personal data.
    pub enabled: bool,
    /// Name of a built-in preset, or a file that ends in `.toml`.
    pub preset: String,
    /// Replace personal data.
    pub replace_pii: bool,
    /// Refuse texts with more pieces of personal data; absent: none is refused for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pii: Option<u64>,
    /// Keys that override the preset for languages written in words.
    pub words: Rules,
    /// Keys that override the preset for Chinese and Japanese.
    pub han: Rules,
}

impl FilterConfig {
    /// True if `preset` is a file of the user's.
    #[must_use]
    pub fn preset_is_file(&self) -> bool {
        self.preset.ends_with(".toml")
    }

    /// The rules of every profile of `preset`, single keys overridden.
    ///
    /// # Errors
    /// The key and what is wrong with the rules as overridden.
    pub fn resolve(&self, preset: &preset::Preset) -> Result<Vec<Rules>, ConfigProblem> {
        let over = |class| if class == Class::Han { ("filter.han", &self.han) } else { ("filter.words", &self.words) };
        let resolve = |profile: &Profile| {
            let (key, keys) = over(profile.class);
            let mut rules = profile.rules.clone();
            rules.override_by(keys);
            rules.check().map_err(|problem| ConfigProblem::new(key, format!("with profile `{}`: {problem}", profile.name)))?;
            Ok(rules)
        };
        preset.profiles.iter().map(resolve).collect()
    }
}

/// `[stage.crawl-clean.dedup]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupConfig {
    /// Drop duplicates of earlier documents.
    pub enabled: bool,
    /// Drop documents whose address an earlier one has.
    pub urls: bool,
    /// Look for near duplicates too.
    pub near: bool,
    /// Whose signatures.
    pub preset: Preset,
    /// Bands of a signature; the preset's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bands: Option<usize>,
    /// Rows of a band; the preset's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Words of a shingle; the preset's if absent. 0 makes shingles of characters in all scripts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shingle_words: Option<usize>,
    /// Characters of a shingle; the preset's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shingle_chars: Option<usize>,
    /// Least true similarity of a near duplicate; 0 goes by bands alone.
    pub verify_jaccard: f64,
    /// Take out lines that earlier documents have.
    pub remove_lines: bool,
    /// Take out long runs that earlier documents have.
    pub remove_spans: bool,
    /// Words of a long run.
    pub span_words: usize,
    /// Characters of a long run where Han and kana prevail.
    pub span_chars: usize,
    /// Least characters that must be left of a text of which something was taken out.
    pub min_remaining_chars: usize,
}

/// Whose MinHash signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 14 bands of 8 rows over 5 words (Penedo et al. 2024).
    Fineweb,
    /// 9 bands of 13 rows over 13 words (RedPajama v2, for similarity 0.8).
    Redpajama,
    /// 20 bands of 13 rows over 24 characters (NeMo Curator).
    Curator,
}

/// Numbers of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bands.
    pub bands: usize,
    /// Rows of a band.
    pub rows: usize,
    /// Words of a shingle; 0 for characters in all scripts.
    pub words: usize,
    /// Characters of a shingle.
    pub chars: usize,
}

impl DedupConfig {
    /// The preset's numbers, with those that are set in their place.
    #[must_use]
    pub fn shape(&self) -> Shape {
        // Characters that say as much as the words do in English: about 1.6 a word, as for the filters.
        let preset = match self.preset {
            Preset::Fineweb => Shape { bands: 14, rows: 8, words: 5, chars: 9 },
            Preset::Redpajama => Shape { bands: 9, rows: 13, words: 13, chars: 21 },
            Preset::Curator => Shape { bands: 20, rows: 13, words: 0, chars: 24 },
        };
        Shape {
            bands: self.bands.unwrap_or(preset.bands),
            rows: self.rows.unwrap_or(preset.rows),
            words: self.shingle_words.unwrap_or(preset.words),
            chars: self.shingle_chars.unwrap_or(preset.chars),
        }
    }
}

impl Config {
    /// Checks what one field alone cannot tell.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: &str| Err(ConfigProblem::new(key, message));
        if self.inputs.is_empty() {
            return problem("inputs", "name at least one file, folder or pattern");
        }
        if self.language.enabled && self.languages.is_empty() {
            return problem("languages", "would refuse every page; name languages, or set language.enabled = false");
        }
        self.validate_languages()?;
        for (key, value, what) in [
            ("language.min_score", self.language.min_score, "a score"),
            ("language.model_min_score", self.language.model_min_score, "a probability"),
            ("max_replaced_share", self.max_replaced_share, "a share"),
            ("quality.min_score", self.quality.min_score, "a probability"),
            ("dedup.verify_jaccard", self.dedup.verify_jaccard, "a similarity"),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return problem(key, &format!("is {value}; it is {what}, from 0 to 1"));
            }
        }
        for (key, name) in [
            ("text_column", &self.text_column),
            ("html_column", &self.html_column),
            ("url_column", &self.url_column),
            ("date_column", &self.date_column),
        ] {
            if name.is_empty() {
                return problem(key, "is empty; it is the name of a column");
            }
        }
        if self.max_page_bytes == 0 || self.chunk_bytes == 0 || self.max_nodes == 0 || self.max_depth == 0 {
            return problem("max_page_bytes", "max_page_bytes, chunk_bytes, max_nodes and max_depth must be positive");
        }
        if self.max_memory_mb == 0 {
            return problem("max_memory_mb", "is 0");
        }
        self.validate_dedup()?;
        if self.decontaminate.words < 5 || self.decontaminate.chars < 5 {
            return problem("decontaminate.words", "words and chars must be 5 or more: shorter runs are common language");
        }
        if self.url.min_soft_words == 0 {
            return problem("url.min_soft_words", "must be positive; without lists nothing is refused");
        }
        if self.quality.model.is_some() && !self.filter.enabled {
            return problem("quality.model", "would not be asked with filter.enabled = false");
        }
        if self.filter.max_pii.is_some() && !self.filter.enabled {
            return problem("filter.max_pii", "would not be asked with filter.enabled = false");
        }
        for (key, rules) in [("filter.words", &self.filter.words), ("filter.han", &self.filter.han)] {
            rules.check().or_else(|problem_text| problem(key, &problem_text))?;
        }
        if !self.filter.preset_is_file() {
            let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            let Some(preset) = preset::Preset::built_in(&self.filter.preset) else {
                return problem("filter.preset", &format!("is none of {}, nor a file that ends in .toml", names.join(", ")));
            };
            self.filter.resolve(&preset)?;
        }
        self.validate_effects()
    }

    fn validate_languages(&self) -> Result<(), ConfigProblem> {
        let alphanumeric = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        // A model of the user's may tell any language.
        let possible = |tag: &str| match (&self.language.model, tag.split_once('-')) {
            (None, _) => corpus::is_told(tag),
            (Some(_), None) => alphanumeric(tag, 2..=3),
            (Some(_), Some((language, rest))) => alphanumeric(language, 2..=3) && rest.split('-').all(|part| alphanumeric(part, 2..=8)),
        };
        match self.languages.iter().find(|tag| !possible(tag)) {
            None => Ok(()),
            Some(tag) => {
                let what = if self.language.model.is_some() { "no language tag" } else { "no tag of a language that can be told" };
                Err(ConfigProblem::new("languages", format!("holds `{tag}`, which is {what}; tags are such as en, zh, zh-Hans, ko or und")))
            }
        }
    }

    /// Settings that another setting makes void.
    fn validate_effects(&self) -> Result<(), ConfigProblem> {
        let default = Self::built_in();
        let (dedup, was) = (&self.dedup, &default.dedup);
        let no_rules = Rules::default();
        let shape = [dedup.bands, dedup.rows, dedup.shingle_words, dedup.shingle_chars];
        let near = dedup.enabled && dedup.near;
        let removes = dedup.remove_lines || dedup.remove_spans;
        let no_near = "has no effect where near duplicates are not looked for (dedup.enabled, dedup.near)";
        let no_filter = "has no effect with filter.enabled = false";
        let no_tasks = "has no effect without decontaminate.tasks";
        let (asked, wanted) = (&self.decontaminate, &default.decontaminate);
        let void = [
            ("filter.words", self.filter.words != no_rules && !self.filter.enabled, no_filter),
            ("filter.han", self.filter.han != no_rules && !self.filter.enabled, no_filter),
            ("filter.preset", self.filter.preset != default.filter.preset && !self.filter.enabled, no_filter),
            ("max_replaced_share", self.max_replaced_share != default.max_replaced_share && !self.filter.enabled, no_filter),
            (
                "language.min_score",
                self.language.min_score != default.language.min_score && !self.language.enabled,
                "has no effect with language.enabled = false",
            ),
            (
                "language.model_min_score",
                self.language.model_min_score != default.language.model_min_score && self.language.model.is_none(),
                "has no effect without language.model",
            ),
            (
                "quality",
                (self.quality.min_score != default.quality.min_score || self.quality.label != default.quality.label)
                    && self.quality.model.is_none(),
                "min_score and label have no effect without quality.model",
            ),
            ("dedup.bands", shape[0].is_some() && !near, no_near),
            ("dedup.rows", shape[1].is_some() && !near, no_near),
            ("dedup.shingle_words", shape[2].is_some() && !near, no_near),
            ("dedup.shingle_chars", shape[3].is_some() && !near, no_near),
            ("dedup.preset", dedup.preset != was.preset && !near, no_near),
            ("dedup.verify_jaccard", dedup.verify_jaccard > 0.0 && !near, no_near),
            (
                "dedup.span_words",
                (dedup.span_words, dedup.span_chars) != (was.span_words, was.span_chars) && !dedup.remove_spans,
                "span_words and span_chars have no effect with remove_spans = false",
            ),
            (
                "dedup.min_remaining_chars",
                dedup.min_remaining_chars != was.min_remaining_chars && !removes,
                "has no effect without remove_lines or remove_spans",
            ),
            ("decontaminate.words", asked.words != wanted.words && asked.tasks.is_empty(), no_tasks),
            ("decontaminate.chars", asked.chars != wanted.chars && asked.tasks.is_empty(), no_tasks),
            ("decontaminate.on_hit", asked.on_hit != wanted.on_hit && asked.tasks.is_empty(), no_tasks),
            (
                "url.min_soft_words",
                self.url.min_soft_words != default.url.min_soft_words && self.url.soft_words.is_empty(),
                "has no effect without url.soft_words",
            ),
        ];
        void.into_iter().find(|(_, void, _)| *void).map_or(Ok(()), |(key, _, message)| Err(ConfigProblem::new(key, message)))
    }

    /// The defaults, without inputs.
    fn built_in() -> Self {
        let mut table: toml::Table = toml::from_str(include_str!("default.toml")).unwrap_or_default();
        let mut stage = table.remove("stage").and_then(|mut stages| stages.as_table_mut()?.remove("crawl-clean")).unwrap_or(false.into());
        stage.as_table_mut().map(|keys| keys.insert("inputs".into(), toml::Value::Array(Vec::new())));
        #[expect(clippy::expect_used, reason = "a constant file that a test reads")]
        stage.try_into().expect("the defaults parse")
    }

    fn validate_dedup(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: &str| Err(ConfigProblem::new(key, message));
        let dedup = &self.dedup;
        let shape = dedup.shape();
        if shape.bands == 0 || shape.rows == 0 || shape.chars == 0 {
            return problem("dedup", "bands, rows and shingle_chars must be positive");
        }
        if dedup.span_words < 8 || dedup.span_chars < 8 {
            return problem("dedup.span_words", "span_words and span_chars must be 8 or more: shorter runs are common language");
        }
        if !dedup.enabled && (dedup.urls || dedup.remove_lines || dedup.remove_spans) {
            return problem("dedup", "urls, remove_lines and remove_spans have no effect with enabled = false");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The defaults, with an input so that they validate.
    pub(crate) fn defaults() -> Config {
        Config { inputs: vec!["in".into()], ..Config::built_in() }
    }

    #[test]
    fn defaults_are_complete_and_valid() {
        assert!(defaults().validate().is_ok());
    }

    #[test]
    fn presets_are_the_published_ones() {
        let shape = |preset| {
            let Shape { bands, rows, words, chars } = DedupConfig { preset, ..defaults().dedup }.shape();
            (bands, rows, words, chars)
        };
        assert_eq!(shape(Preset::Fineweb), (14, 8, 5, 9));
        assert_eq!(shape(Preset::Redpajama), (9, 13, 13, 21));
        assert_eq!(shape(Preset::Curator), (20, 13, 0, 24));
        assert_eq!(DedupConfig { bands: Some(3), ..defaults().dedup }.shape().bands, 3);
    }

    #[test]
    fn settings_that_lose_everything_are_refused() {
        let key = |change: fn(&mut Config)| {
            let mut config = defaults();
            change(&mut config);
            config.validate().unwrap_err().key
        };
        assert_eq!(key(|c| c.inputs.clear()), "inputs");
        assert_eq!(key(|c| c.languages.clear()), "languages");
        assert_eq!(key(|c| c.dedup.rows = Some(0)), "dedup");
        assert_eq!(key(|c| c.dedup.verify_jaccard = 1.5), "dedup.verify_jaccard");
        assert_eq!(key(|c| (c.dedup.near, c.dedup.verify_jaccard) = (false, 0.5)), "dedup.verify_jaccard");
        assert_eq!(key(|c| (c.dedup.enabled, c.dedup.urls) = (false, true)), "dedup");
        assert_eq!(key(|c| c.dedup.span_chars = 2), "dedup.span_words");
        assert_eq!(key(|c| c.max_memory_mb = 0), "max_memory_mb");
        assert_eq!(key(|c| c.filter.han.min_units = Some(usize::MAX)), "filter.han");
        assert_eq!(key(|c| c.filter.words.top_ngrams = Some(vec![(0, 0.5)])), "filter.words");
        assert_eq!(key(|c| c.filter.preset = "gophers".into()), "filter.preset");
    }

    #[test]
    fn values_out_of_range_are_refused_with_key_value_and_range() {
        let message = |change: fn(&mut Config)| {
            let mut config = defaults();
            change(&mut config);
            let problem = config.validate().unwrap_err();
            format!("{}: {}", problem.key, problem.message)
        };
        assert_eq!(message(|c| c.language.min_score = 5.0), "language.min_score: is 5; it is a score, from 0 to 1");
        assert_eq!(message(|c| c.max_replaced_share = -1.0), "max_replaced_share: is -1; it is a share, from 0 to 1");
        assert!(message(|c| c.quality.min_score = f64::NAN).starts_with("quality.min_score: is NaN"));
        assert!(message(|c| c.language.model_min_score = 1.1).starts_with("language.model_min_score: is 1.1"));
        assert!(message(|c| c.dedup.verify_jaccard = -0.1).starts_with("dedup.verify_jaccard: is -0.1"));
        for tag in ["english", "EN", "zh-CN", ""] {
            let mut config = defaults();
            config.languages = vec!["zh".into(), tag.into()];
            let problem = config.validate().unwrap_err();
            assert!(problem.key == "languages" && problem.message.contains(&format!("`{tag}`")), "{problem:?}");
        }
        assert_eq!(
            message(|c| (c.language.model, c.languages) = (Some("m.bin".into()), vec!["english".into()])).split(':').next(),
            Some("languages")
        );
        let mut config = defaults();
        (config.language.model, config.languages) = (Some("m.bin".into()), vec!["gsw".into(), "en".into(), "zh-CN".into()]);
        config.validate().unwrap();
        assert!(message(|c| c.filter.words.max_short_lines = Some(-1.0)).starts_with("filter.words: "));
        assert!(message(|c| c.url_column.clear()).starts_with("url_column: "));
    }

    #[test]
    fn settings_without_effect_are_refused() {
        let key = |change: fn(&mut Config)| {
            let mut config = defaults();
            change(&mut config);
            config.validate().unwrap_err().key
        };
        assert_eq!(key(|c| (c.dedup.near, c.dedup.bands) = (false, Some(3))), "dedup.bands");
        assert_eq!(key(|c| (c.dedup.enabled, c.dedup.preset) = (false, Preset::Curator)), "dedup.preset");
        assert_eq!(key(|c| c.dedup.span_words = 40), "dedup.span_words");
        assert_eq!(key(|c| c.dedup.min_remaining_chars = 40), "dedup.min_remaining_chars");
        assert_eq!(key(|c| (c.filter.enabled, c.filter.words.min_units) = (false, Some(9))), "filter.words");
        assert_eq!(key(|c| (c.filter.enabled, c.filter.preset) = (false, "c4".into())), "filter.preset");
        assert_eq!(key(|c| c.quality.min_score = 0.9), "quality");
        assert_eq!(key(|c| c.language.model_min_score = 0.9), "language.model_min_score");
        assert_eq!(key(|c| (c.language.enabled, c.language.min_score) = (false, 0.9)), "language.min_score");
        assert_eq!(key(|c| c.decontaminate.on_hit = OnHit::Drop), "decontaminate.on_hit");
        assert_eq!(key(|c| c.url.min_soft_words = 3), "url.min_soft_words");
        let mut config = defaults();
        (config.dedup.remove_spans, config.dedup.span_words, config.dedup.min_remaining_chars) = (true, 40, 10);
        (config.dedup.bands, config.filter.words.min_units) = (Some(3), Some(9));
        config.validate().unwrap();
    }

    #[test]
    fn single_keys_override_the_preset() {
        let mut config = defaults();
        config.filter.han.min_units = Some(7);
        let preset = preset::Preset::built_in("default").unwrap();
        let rules = config.filter.resolve(&preset).unwrap();
        let least = |tag: &str| rules[preset.select(tag, "")].min_units;
        assert_eq!((least("zh"), least("en"), least("fr")), (Some(7), Some(50), Some(50)));
    }
}
