//! Personal data beside the text of a document: in its title, its author, its questions and answers.

use crate::filter::pii::{self, Counts};
use crate::page::Document;
use std::borrow::Cow;

/// Replaces it as in the text, and counts it with that of the text.
pub(crate) fn replace_beside(document: &mut Document) {
    let page = &mut document.page;
    let strings = page.title.iter_mut().chain(&mut page.author);
    let pairs = page.questions.iter_mut().flat_map(|pair| [&mut pair.question, &mut pair.answer]);
    let mut found = Counts::default();
    for string in strings.chain(pairs) {
        let (replaced, counts) = pii::replace(string);
        if let Cow::Owned(replaced) = replaced {
            *string = replaced;
            found += counts;
        }
    }
    document.pii += found;
    if let Some(total) = document.scores.as_mut().and_then(|scores| scores.pii.as_mut()) {
        *total += found.total() as f64;
    }
}
