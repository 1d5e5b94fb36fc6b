//! How often a document is trained on: a pure function of its id, source and language.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::config::Config;
use crate::order::unit_hash;

/// How many copies of each document training gets.
#[derive(Debug, Clone)]
pub struct Mixture {
    sources: Weights,
    languages: Weights,
    max_repeats: f64,
}

/// Weights by name; a key that ends in `*` stands for all names that begin so. Whole names first, then the longest prefix.
#[derive(Debug, Clone, Default)]
struct Weights(Vec<(String, f64)>);

impl Weights {
    fn new(weights: &BTreeMap<String, f64>) -> Self {
        let mut weights: Vec<(String, f64)> = weights.iter().map(|(key, weight)| (key.clone(), *weight)).collect();
        weights.sort_by_key(|(key, _)| (key.ends_with('*'), Reverse(key.len())));
        Self(weights)
    }

    /// The key that stands for a name, and its weight; 1 where there is none.
    fn of(&self, name: &str) -> (Option<usize>, f64) {
        let stands = |key: &str| key.strip_suffix('*').map_or(key == name, |prefix| name.starts_with(prefix));
        let key = self.0.iter().position(|(key, _)| stands(key));
        (key, key.map_or(1.0, |key| self.0[key].1))
    }

    fn largest(&self) -> f64 {
        self.0.iter().map(|(_, weight)| *weight).fold(1.0, f64::max)
    }
}

impl Mixture {
    /// The mixture that a configuration asks for; `None` where every document is seen once.
    pub fn new(config: &Config) -> Option<Self> {
        if config.weights.is_empty() && config.language_weights.is_empty() {
            return None;
        }
        Some(Self {
            sources: Weights::new(&config.weights),
            languages: Weights::new(&config.language_weights),
            max_repeats: config.max_repeats(),
        })
    }

    /// The largest mean number of copies that a document can have.
    pub fn largest(&self) -> f64 {
        (self.sources.largest() * self.languages.largest()).min(self.max_repeats)
    }

    /// Copies of a document: the product of its weights, at most `max_repeats`, rounded down, and one more for a share of the documents
    /// that a hash of the id chooses. So a larger weight only adds copies.
    pub fn copies(&self, document_id: &str, source: &str, language: &str, tokens: u64, tally: &mut Tally) -> u32 {
        let ((source, by_source), (language, by_language)) = (self.sources.of(source), self.languages.of(language));
        let mean = (by_source * by_language).min(self.max_repeats);
        // At most `MOST_REPEATS`.
        let copies = mean.floor() as u32 + u32::from(unit_hash("copies", document_id) < mean.fract());
        tally.capped_documents += u64::from(by_source * by_language > self.max_repeats);
        tally.left_out_documents += u64::from(copies == 0);
        for (counts, key) in [(&mut tally.sources, source), (&mut tally.languages, language)] {
            let [once, seen] = counts.entry(key).or_default();
            *once += tokens;
            *seen += tokens * u64::from(copies);
        }
        copies
    }

    /// Names and values of a batch's counts.
    pub fn counts(&self, tally: &Tally) -> Vec<(String, u64)> {
        let mut counts =
            vec![("capped_documents".to_string(), tally.capped_documents), ("left_out_documents".to_string(), tally.left_out_documents)];
        for (table, weights, tokens) in
            [("weights", &self.sources, &tally.sources), ("language_weights", &self.languages, &tally.languages)]
        {
            let keys = weights.0.iter().enumerate().map(|(number, (key, _))| (Some(number), key.as_str()));
            // A key that stood for nothing is listed too.
            for (number, key) in keys.chain([(None, OTHERS)]).filter(|_| !weights.0.is_empty()) {
                let [once, seen] = tokens.get(&number).copied().unwrap_or_default();
                counts.push((format!("{table}.{key}{ONCE}"), once));
                counts.push((format!("{table}.{key}{SEEN}"), seen));
            }
        }
        counts
    }
}

/// Stands for the sources or languages that no key names.
const OTHERS: &str = "(others)";

/// Ends the name of a count of tokens as they are in the batch, in training.
const ONCE: &str = ".once_tokens";

/// Ends the name of a count of tokens as training sees them.
const SEEN: &str = ".seen_tokens";

/// Training tokens behind each key of the configuration, as they are in the batch and as training sees them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    sources: BTreeMap<Option<usize>, [u64; 2]>,
    languages: BTreeMap<Option<usize>, [u64; 2]>,
    capped_documents: u64,
    left_out_documents: u64,
}

/// What the counts of all batches say of the mixture: a line for each table, and one for keys that stood for nothing.
pub fn notes(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mut notes = Vec::new();
    for table in ["weights", "language_weights"] {
        let keys: Vec<(&str, u64, u64)> = counts
            .iter()
            .filter_map(|(name, once)| {
                let key = name.strip_prefix(table)?.strip_prefix('.')?.strip_suffix(ONCE)?;
                Some((key, *once, counts.get(&format!("{table}.{key}{SEEN}")).copied().unwrap_or(0)))
            })
            .collect();
        let (all_once, all_seen) = keys.iter().fold((0, 0), |(a, b), (_, once, seen)| (a + once, b + seen));
        let percent = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
        let shares =
            keys.iter().map(|(key, once, seen)| format!("{key} {:.1} % → {:.1} %", percent(*once, all_once), percent(*seen, all_seen)));
        if !keys.is_empty() {
            notes.push(format!("{table}: shares of training tokens: {}", shares.collect::<Vec<_>>().join(", ")));
        }
        let idle: Vec<&str> = keys.iter().filter(|(key, once, _)| *once == 0 && *key != OTHERS).map(|(key, ..)| *key).collect();
        if !idle.is_empty() {
            notes.push(format!("{table}: no document stands behind {}", idle.join(", ")));
        }
    }
    match counts.get("capped_documents") {
        Some(capped) if *capped > 0 => {
            notes.push(format!("`max_repeats` leaves {capped} document(s) fewer copies than their weights ask for"))
        }
        _ => {}
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixture(sources: &[(&str, f64)], languages: &[(&str, f64)], max_repeats: f64) -> Mixture {
        let table = |pairs: &[(&str, f64)]| Weights::new(&pairs.iter().map(|(name, weight)| (name.to_string(), *weight)).collect());
        Mixture { sources: table(sources), languages: table(languages), max_repeats }
    }

    #[test]
    fn the_closest_name_decides_and_the_cap_holds() {
        let mixture = mixture(&[("wiki", 3.0), ("crawl-*", 1.0), ("crawl-2020-*", 0.0), ("*", 2.0)], &[("zh-*", 2.0), ("und", 0.0)], 5.0);
        let mut tally = Tally::default();
        for (source, language, expected) in [
            ("wiki", "en", 3),
            ("wikis", "en", 2),
            ("crawl-2019-1", "en", 1),
            ("crawl-2020-1", "zh-Hans", 0),
            ("crawl-2019-1", "zh-Hans", 2),
            ("wiki", "zh-Hant", 5),
            ("wiki", "und", 0),
        ] {
            assert_eq!(mixture.copies("x", source, language, 10, &mut tally), expected, "{source} {language}");
        }
        assert_eq!((tally.capped_documents, tally.left_out_documents), (1, 2));
        let counts: BTreeMap<String, u64> = mixture.counts(&tally).into_iter().collect();
        assert_eq!((counts["weights.wiki.once_tokens"], counts["weights.wiki.seen_tokens"]), (30, 80));
        assert_eq!((counts["language_weights.(others).once_tokens"], counts["language_weights.(others).seen_tokens"]), (30, 60));
    }

    #[test]
    fn copies_meet_the_mean_and_only_grow_with_the_weight() {
        let ids: Vec<String> = (0..10_000).map(|n| handoff::document_id("s", &n.to_string(), "")).collect();
        let of = |weight: f64| {
            let mixture = mixture(&[("s", weight)], &[], 10.0);
            ids.iter().map(|id| mixture.copies(id, "s", "en", 1, &mut Tally::default())).collect::<Vec<u32>>()
        };
        let sum = |copies: &[u32]| copies.iter().sum::<u32>();
        assert_eq!((sum(&of(0.0)), sum(&of(1.0)), sum(&of(3.0))), (0, 10_000, 30_000));
        // Four standard deviations of a binomial around 3000.
        assert!((12_800..13_200).contains(&sum(&of(1.3))), "{}", sum(&of(1.3)));
        assert!(of(0.3).iter().zip(of(0.6)).all(|(few, more)| *few <= more));
        assert!(of(1.9).iter().zip(of(2.1)).all(|(few, more)| *few <= more));
    }

    #[test]
    fn notes_say_what_was_seen_and_what_names_nothing() {
        let mixture = mixture(&[("a", 9.0), ("typo", 2.0)], &[], 3.0);
        let mut tally = Tally::default();
        mixture.copies("x", "a", "en", 100, &mut tally);
        mixture.copies("x", "b", "en", 100, &mut tally);
        let notes = notes(&mixture.counts(&tally).into_iter().collect());
        assert_eq!(
            notes,
            [
                "weights: shares of training tokens: (others) 50.0 % → 25.0 %, a 50.0 % → 75.0 %, typo 0.0 % → 0.0 %",
                "weights: no document stands behind typo",
                "`max_repeats` leaves 1 document(s) fewer copies than their weights ask for"
            ]
        );
    }
}
