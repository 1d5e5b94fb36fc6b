//! The rules in the order they are asked, cheap ones first.

use super::Class;
use super::measure::{Measures, measure};
use super::ngrams::{duplicate_share, top_share};
use crate::config::Rules;
use crate::reason::{Reason, Rejection};

/// Refuses a text that breaks a rule, naming the first one with the measured value and the threshold.
///
/// # Errors
/// The rejection.
pub fn check(text: &str, tag: &str, class: Class, rules: &Rules) -> Result<(), Rejection> {
    let m = measure(text, rules.short_line_chars);
    length(&m, rules)?;
    words(&m, tag, class, rules)?;
    lines(text, &m, rules)?;
    filler(text, rules)?;
    repetition(&m, rules)
}

/// Refuses if `value` exceeds `limit`.
fn at_most(reason: Reason, value: f64, limit: f64) -> Result<(), Rejection> {
    if value > limit { Err(Rejection::measured(reason, value, limit)) } else { Ok(()) }
}

/// Refuses if `value` is below `limit`.
fn at_least(reason: Reason, value: f64, limit: f64) -> Result<(), Rejection> {
    if value < limit { Err(Rejection::measured(reason, value, limit)) } else { Ok(()) }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn length(m: &Measures, rules: &Rules) -> Result<(), Rejection> {
    at_least(Reason::TooShort, m.units.len() as f64, rules.min_units as f64)?;
    at_most(Reason::TooLong, m.units.len() as f64, rules.max_units as f64)
}

fn words(m: &Measures, tag: &str, class: Class, rules: &Rules) -> Result<(), Rejection> {
    let count = m.units.len();
    at_most(Reason::Symbols, share(m.symbols, count), rules.max_symbol_share)?;
    if class == Class::Han {
        at_least(Reason::Alphabetic, share(m.cjk, count), rules.min_alphabetic)?;
        return at_least(Reason::StopWords, f64::from(m.chinese.count_ones()), rules.min_stop_words as f64);
    }
    // Han characters in between, as in a bilingual text, are no words of one letter.
    let mean = share(m.unit_chars - m.cjk, count - m.cjk);
    at_least(Reason::WordLength, mean, rules.min_mean_length)?;
    at_most(Reason::WordLength, mean, rules.max_mean_length)?;
    at_least(Reason::Alphabetic, share(m.with_letter, count), rules.min_alphabetic)?;
    if corpus::matches_tag(tag, "en") {
        at_least(Reason::StopWords, f64::from(m.english.count_ones()), rules.min_stop_words as f64)?;
    }
    Ok(())
}

fn lines(text: &str, m: &Measures, rules: &Rules) -> Result<(), Rejection> {
    at_most(Reason::BulletLines, share(m.bullets, m.lines), rules.max_bullet_lines)?;
    at_most(Reason::EllipsisLines, share(m.ellipses, m.lines), rules.max_ellipsis_lines)?;
    at_least(Reason::LinePunctuation, share(m.punctuated, m.lines), rules.min_line_punctuation)?;
    at_most(Reason::ShortLines, share(m.short, m.lines), rules.max_short_lines)?;
    at_most(Reason::Newlines, share(m.lines.saturating_sub(1), m.units.len()), rules.max_newlines_per_unit)?;
    at_most(Reason::DuplicateLines, share(m.repeated, m.lines), rules.max_duplicate_lines)?;
    at_most(Reason::DuplicateLineChars, share(m.repeated_chars, m.line_chars), rules.max_duplicate_line_chars)?;
    if rules.min_sentences > 0 {
        at_least(Reason::FewSentences, corpus::sentences(text).len() as f64, rules.min_sentences as f64)?;
    }
    Ok(())
}

fn filler(text: &str, rules: &Rules) -> Result<(), Rejection> {
    if rules.refuse_curly_bracket && text.contains('{') {
        return Err(Rejection::new(Reason::CurlyBracket));
    }
    if rules.refuse_lorem_ipsum && (text.contains("lorem ipsum") || text.contains("Lorem ipsum") || text.contains("LOREM IPSUM")) {
        return Err(Rejection::new(Reason::LoremIpsum));
    }
    Ok(())
}

fn repetition(m: &Measures, rules: &Rules) -> Result<(), Rejection> {
    for &(n, limit) in &rules.top_ngrams {
        at_most(Reason::TopNgram, top_share(&m.units, m.unit_chars, n), limit).map_err(|r| r.with_detail(format!("n = {n}")))?;
    }
    for &(n, limit) in &rules.duplicate_ngrams {
        at_most(Reason::DuplicateNgrams, duplicate_share(&m.units, m.unit_chars, n), limit)
            .map_err(|r| r.with_detail(format!("n = {n}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;

    const CLEAN_EN: &str = "The river begins in the mountains and runs through three countries before it reaches the sea.\n\
        People have lived along its banks for thousands of years, and that has shaped the land with fields, towns and roads.\n\
        In spring the water is high, since snow melts in the hills; in late summer one can walk across to the other side.\n\
        Boats carry grain, timber and stone from the inland towns to the harbour, as they did when the first bridge was built.";
    const CLEAN_ZH: &str = "这条河发源于群山之中，流经三个国家，最后注入大海，是当地人最重要的水源。\n\
        几千年来，人们一直生活在河的两岸，开垦农田，修建道路和城镇，形成了独特的文化。\n\
        春天冰雪融化，水位升高；到了夏末，人们可以涉水走到对岸，孩子们常在浅滩上玩耍。\n\
        船只把粮食、木材和石料从内陆运到港口，就像第一座桥建成时那样，至今没有改变。";

    fn reason(text: &str, tag: &str) -> Option<Reason> {
        let config = defaults();
        let class = super::super::class(tag, text);
        let rules = if class == Class::Han { &config.filter.han } else { &config.filter.words };
        check(text, tag, class, rules).err().map(|r| r.reason)
    }

    #[test]
    fn clean_text_passes_in_both_languages() {
        assert_eq!(reason(CLEAN_EN, "en"), None);
        assert_eq!(reason(CLEAN_ZH, "zh-Hans"), None);
    }

    #[test]
    fn every_rule_bites() {
        let cases: &[(&str, &str, Reason)] = &[
            ("Too short.", "en", Reason::TooShort),
            (&format!("{CLEAN_EN} {}", "#".repeat(30)), "en", Reason::Symbols),
            (&format!("{CLEAN_EN} {}", "12 34 56 ".repeat(20)), "en", Reason::Alphabetic),
            (&"I a m it is so on up we go by do if ".repeat(8), "en", Reason::WordLength),
            (&"Buying cheap watches online store discount ".repeat(12), "en", Reason::StopWords),
            (&CLEAN_EN.replace(".\n", "...\n"), "en", Reason::EllipsisLines),
            (&format!("{CLEAN_EN}\n{CLEAN_EN}"), "en", Reason::DuplicateLines),
            (&CLEAN_EN.replace("river", "river {x}"), "en", Reason::CurlyBracket),
            (&CLEAN_EN.replace("river", "river lorem ipsum"), "en", Reason::LoremIpsum),
            (&CLEAN_EN.replace(['.', '\n'], ""), "en", Reason::LinePunctuation),
            (&CLEAN_ZH.replace('，', "\n"), "zh-Hans", Reason::ShortLines),
            ("短。", "zh-Hans", Reason::TooShort),
            (&"免费下载安装软件官方网站最新版本".repeat(10), "zh-Hans", Reason::StopWords),
        ];
        for (text, tag, want) in cases {
            assert_eq!(reason(text, tag), Some(*want), "{text}");
        }
        let spam = format!("{CLEAN_EN}\n{}", "Buy the best watches with free shipping today. ".repeat(8));
        assert!(matches!(reason(&spam, "en"), Some(Reason::TopNgram | Reason::DuplicateNgrams)));
    }

    #[test]
    fn value_and_threshold_are_told() {
        let config = defaults();
        let got = check("a few words only", "en", Class::Words, &config.filter.words).unwrap_err();
        assert_eq!((got.reason, got.value, got.threshold), (Reason::TooShort, Some(4.0), Some(50.0)));
    }
}
