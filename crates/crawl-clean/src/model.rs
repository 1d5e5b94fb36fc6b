//! A user's fastText models: the language of a text, and the probability of a quality label.

use fasttext::{FastText, Prediction};
use std::fmt;

/// A supervised fastText model, as trained (`.bin`) or quantized (`.ftz`).
pub struct TextModel(FastText);

impl fmt::Debug for TextModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TextModel").field(&self.labels().len()).finish()
    }
}

/// What fastText puts before a label.
const PREFIX: &str = "__label__";

impl TextModel {
    /// Reads a model.
    ///
    /// # Errors
    /// What is wrong with it: no model, or one without labels.
    pub fn read(mut bytes: &[u8]) -> Result<Self, String> {
        let model = Self(FastText::load(&mut bytes).map_err(|error| error.to_string())?);
        if model.labels().is_empty() {
            return Err("the model has no labels: it is not a supervised one".into());
        }
        Ok(model)
    }

    /// All labels, without `__label__`.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let (labels, _) = self.0.get_labels();
        labels.into_iter().map(|label| label.trim_start_matches(PREFIX).to_owned()).collect()
    }

    /// The most probable label, without `__label__`, and its probability; `None` if the model knows nothing of the text, not even its end.
    #[must_use]
    pub fn best(&self, text: &str) -> Option<(String, f32)> {
        let best = self.predict(text, 1).into_iter().next()?;
        Some((best.label.trim_start_matches(PREFIX).to_owned(), best.prob.min(1.0)))
    }

    /// The `most` most probable labels. Words are read as fastText's own tools read a line: its end is a word too, and stands in the last
    /// pair of words.
    fn predict(&self, text: &str, most: usize) -> Vec<Prediction> {
        let (mut words, mut labels) = (Vec::new(), Vec::new());
        self.0.dict().get_line(&mut one_line(text).as_bytes(), &mut words, &mut labels, &mut false);
        self.0.predict_on_words(&words, most, 0.0)
    }

    /// The probability of a label, 0 if the model does not have it or knows no word of the text.
    #[must_use]
    pub fn probability(&self, text: &str, label: &str) -> f32 {
        let all = self.predict(text, i32::MAX as usize);
        let label = label.trim_start_matches(PREFIX);
        all.into_iter().find(|found| found.label.trim_start_matches(PREFIX) == label).map_or(0.0, |found| found.prob.min(1.0))
    }
}

/// fastText reads lines: a text is made one.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ") + "\n"
}

/// A language tag from a label such as `en`, `zh`, `eng_Latn` or `cmn_Hani`; `found` is the tag by scripts, which is kept where it says
/// more of the same language (`zh-Hant` for `zh`).
#[must_use]
pub fn language_tag(label: &str, found: &str) -> String {
    let tag = corpus::short_code(label.split(['_', '-']).next().unwrap_or(label));
    if corpus::matches_tag(found, tag) { found.to_owned() } else { tag.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Expected = BTreeMap<String, BTreeMap<String, BTreeMap<String, f32>>>;

    #[test]
    fn both_formats_say_what_fasttext_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/fasttext");
        let expected: Expected = serde_json::from_str(&std::fs::read_to_string(format!("{folder}/expected.json")).unwrap()).unwrap();
        assert_eq!(expected.len(), 2);
        for (file, lines) in expected {
            let model = TextModel::read(&std::fs::read(format!("{folder}/{file}")).unwrap()).unwrap();
            assert_eq!(model.labels().len(), 3);
            for (line, labels) in lines {
                for (label, want) in &labels {
                    let got = model.probability(&line, label);
                    assert!((got - want).abs() < 1e-4, "{file}: {line}: {label}: {got}, not {want}");
                }
                if let Some((label, _)) = labels.iter().max_by(|a, b| a.1.total_cmp(b.1)) {
                    assert_eq!(model.best(&line).unwrap().0, label.trim_start_matches(PREFIX), "{file}: {line}");
                }
            }
            assert_eq!(model.probability("river", "no such label"), 0.0);
        }
    }

    #[test]
    fn what_is_no_model_is_refused() {
        assert!(TextModel::read(b"not a model").is_err());
        assert!(TextModel::read(b"").is_err());
    }

    #[test]
    fn labels_become_tags() {
        for (label, found, want) in [
            ("en", "und", "en"),
            ("eng_Latn", "de", "en"),
            ("cmn_Hani", "zh-Hant", "zh-Hant"),
            ("zho_Hans", "zh-Hans", "zh-Hans"),
            ("zh", "ja", "zh"),
            ("gsw_Latn", "de", "gsw"),
        ] {
            assert_eq!(language_tag(label, found), want, "{label}");
        }
    }
}
