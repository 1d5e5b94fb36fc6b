//! The rules in the order they are asked; all of them are, and the first one broken is the reason.

use super::brackets;
use super::lines::{Edits, Removed};
use super::measure::{Compiled, Scratch, measure};
use super::preset::Rules;
use super::scores::Scores;
use crate::reason::{Reason, Rejection};
use std::borrow::Cow;

/// What the filters found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// What was measured.
    pub scores: Scores,
    /// Every rule that was broken, in order; n-grams of each length for themselves.
    pub failed: Vec<Rejection>,
    /// What line edits took away.
    pub removed: Removed,
}

impl Judgement {
    fn fail(&mut self, reason: Reason) {
        self.failed.push(Rejection::new(reason));
    }

    /// Fails if `value` exceeds `limit`.
    pub fn at_most(&mut self, reason: Reason, value: Option<f64>, limit: Option<f64>) {
        if let (Some(value), Some(limit)) = (value, limit)
            && value > limit
        {
            self.failed.push(Rejection::measured(reason, value, limit));
        }
    }

    /// Fails if `value` is below `limit`.
    pub fn at_least(&mut self, reason: Reason, value: Option<f64>, limit: Option<f64>) {
        if let (Some(value), Some(limit)) = (value, limit)
            && value < limit
        {
            self.failed.push(Rejection::measured(reason, value, limit));
        }
    }
}

/// Judges a text, and edits its lines where the rules say so; `scratch` is memory only.
#[must_use]
pub fn judge<'t>(text: &'t str, compiled: &Compiled, scratch: &mut Scratch) -> (Cow<'t, str>, Judgement) {
    let rules = &compiled.rules;
    let mut judgement = Judgement::default();
    let mut text = Cow::Borrowed(text);
    let before = rules.max_removed_words.map(|_| compiled.count_units(&text));
    let edits = compiled.edits.as_ref();
    match edits {
        Some(edits) if rules.edit_first == Some(true) => edit(&mut text, edits, rules, &mut judgement),
        _ => filler(&text, rules, &mut judgement),
    }
    judgement.scores = measure(&text, compiled, scratch);
    let fillers = std::mem::take(&mut judgement.failed);
    compare(rules, &mut judgement, fillers);
    if let Some(edits) = edits.filter(|_| rules.edit_first != Some(true)) {
        edit(&mut text, edits, rules, &mut judgement);
    }
    if let Some(before) = before {
        let after = compiled.count_units(&text);
        let removed = before.saturating_sub(after) as f64 / before.max(1) as f64;
        judgement.scores.removed_words = Some(removed);
        judgement.at_most(Reason::RemovedWords, Some(removed), rules.max_removed_words);
    }
    (text, judgement)
}

fn edit(text: &mut Cow<'_, str>, edits: &Edits, rules: &Rules, judgement: &mut Judgement) {
    let edited = edits.edit(text, rules);
    judgement.removed = edited.removed;
    edited.failed.into_iter().for_each(|reason| judgement.fail(reason));
    if edited.text != **text {
        *text = Cow::Owned(edited.text);
    }
}

/// Asks every rule; `fillers` are those that were asked of the text itself.
fn compare(rules: &Rules, judgement: &mut Judgement, fillers: Vec<Rejection>) {
    let scores = judgement.scores.clone();
    let number = |value: Option<usize>| value.map(|value| value as f64);
    let j = judgement;
    j.at_least(Reason::TooShort, scores.units, number(rules.min_units));
    j.at_most(Reason::TooLong, scores.units, number(rules.max_units));
    j.at_most(Reason::Symbols, scores.symbols, rules.max_symbol_share);
    j.at_least(Reason::WordLength, scores.word_length, rules.min_mean_length);
    j.at_most(Reason::WordLength, scores.word_length, rules.max_mean_length);
    j.at_least(Reason::Alphabetic, scores.alphabetic, rules.min_alphabetic);
    j.at_least(Reason::StopWords, scores.stop_words, number(rules.min_stop_words));
    j.at_most(Reason::BulletLines, scores.bullet_lines, rules.max_bullet_lines);
    j.at_most(Reason::EllipsisLines, scores.ellipsis_lines, rules.max_ellipsis_lines);
    j.at_least(Reason::LinePunctuation, scores.line_punctuation, rules.min_line_punctuation);
    j.at_most(Reason::ShortLines, scores.short_lines, rules.max_short_lines);
    j.at_most(Reason::Newlines, scores.newlines, rules.max_newlines_per_unit);
    j.at_most(Reason::DuplicateLines, scores.duplicate_lines, rules.max_duplicate_lines);
    j.at_most(Reason::DuplicateLineChars, scores.duplicate_line_chars, rules.max_duplicate_line_chars);
    j.at_most(Reason::DuplicateParagraphs, scores.duplicate_paragraphs, rules.max_duplicate_paragraphs);
    j.at_most(Reason::DuplicateParagraphChars, scores.duplicate_paragraph_chars, rules.max_duplicate_paragraph_chars);
    j.at_least(Reason::FewSentences, scores.sentences, number(rules.min_sentences));
    j.failed.extend(fillers);
    ngrams(Reason::TopNgram, &scores.top_ngrams, rules.top_ngrams.as_deref(), j);
    ngrams(Reason::DuplicateNgrams, &scores.duplicate_ngrams, rules.duplicate_ngrams.as_deref(), j);
}

fn ngrams(reason: Reason, shares: &[f64], limits: Option<&[(usize, f64)]>, judgement: &mut Judgement) {
    for (&share, &(n, limit)) in shares.iter().zip(limits.unwrap_or_default()) {
        if share > limit {
            judgement.failed.push(Rejection::measured(reason, share, limit).with_detail(format!("n = {n}")));
        }
    }
}

fn filler(text: &str, rules: &Rules, judgement: &mut Judgement) {
    if rules.refuse_curly_bracket == Some(true) && brackets::in_prose(text) {
        judgement.fail(Reason::CurlyBracket);
    }
    let says = |words: &str| memchr::memmem::find(text.as_bytes(), words.as_bytes()).is_some();
    if rules.refuse_lorem_ipsum == Some(true) && (says("lorem ipsum") || says("Lorem ipsum") || says("LOREM IPSUM")) {
        judgement.fail(Reason::LoremIpsum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Preset;

    pub(crate) const CLEAN_EN: &str = "The river begins in the mountains and runs through three countries before it reaches the sea.\n\
        People have lived along its banks for thousands of years, and that has shaped the land with fields, towns and roads.\n\
        In spring the water is high, since snow melts in the hills; in late summer one can walk across to the other side.\n\
        Boats carry grain, timber and stone from the inland towns to the harbour, as they did when the first bridge was built.";
    pub(crate) const CLEAN_ZH: &str = "这条河发源于群山之中，流经三个国家，最后注入大海，是当地人最重要的水源。\n\
        几千年来，人们一直生活在河的两岸，开垦农田，修建道路和城镇，形成了独特的文化。\n\
        春天冰雪融化，水位升高；到了夏末，人们可以涉水走到对岸，孩子们常在浅滩上玩耍。\n\
        船只把粮食、木材和石料从内陆运到港口，就像第一座桥建成时那样，至今没有改变。";

    /// Written for this test.
    const CLEAN_KO: &str = "나는 어제 친구와 함께 산에 갔다. 아침 일찍 집을 나서서 버스를 타고 한 시간쯤 가니 산 입구가 나왔다. 날씨가 참 좋았다.\n\
        산길은 좁고 돌이 많아서 조금 힘들었지만, 새 소리를 듣고 꽃을 보며 걸으니 기분이 좋았다. 우리는 물을 마시며 잠깐 쉬었다.\n\
        꼭대기에 오르니 온 도시가 다 보였다. 싸 온 밥을 먹고 사진도 몇 장 찍었다. 바람이 불어서 땀이 금방 식었다.\n\
        집에 오니 다리가 아팠지만 마음은 아주 가벼웠다. 다음 달에는 더 높은 산에 가 보고 싶다. 그때도 날이 맑으면 좋겠다.";
    const CLEAN_TH: &str = "แม่น้ำเจ้าพระยาเป็นแม่น้ำสายสำคัญที่สุดของประเทศไทย เกิดจากแม่น้ำสี่สายมาบรรจบกันที่จังหวัดนครสวรรค์ แล้วไหลลงสู่อ่าวไทย\n\
        ในสมัยก่อนผู้คนใช้แม่น้ำเป็นเส้นทางคมนาคมและค้าขาย เรือสินค้าจากต่างประเทศเดินทางเข้ามาถึงกรุงศรีอยุธยาซึ่งเป็นเมืองหลวงเก่า\n\
        ปัจจุบันริมฝั่งแม่น้ำมีทั้งวัด โรงแรม และตลาด นักท่องเที่ยวนิยมนั่งเรือชมทิวทัศน์ในตอนเย็น เพราะอากาศเย็นสบายและมีลมพัดตลอดเวลา";
    const CLEAN_HI: &str = "गंगा भारत की सबसे महत्वपूर्ण नदी है और करोड़ों लोग उसे पवित्र मानते हैं। यह हिमालय के हिमनद से निकलती है और बंगाल की खाड़ी में जाकर मिलती है। \
        प्राचीन काल से इसके किनारे बड़े नगर बसे हैं, जिनमें हरिद्वार, प्रयागराज, वाराणसी और पटना प्रमुख हैं। किसान इसके पानी से खेतों की सिंचाई करते हैं। \
        फिर भी हर शाम घाटों पर आरती होती है और हजारों दीपक पानी पर तैरते हैं।";

    fn verdict(preset: &str, text: &str, tag: &str) -> (String, Vec<Rejection>) {
        let preset = Preset::built_in(preset).unwrap();
        let compiled = Compiled::new(&preset.profiles[preset.select(tag, text)].rules);
        let (text, judgement) = judge(text, &compiled, &mut Scratch::default());
        (text.into_owned(), judgement.failed)
    }

    fn reasons(preset: &str, text: &str, tag: &str) -> Vec<Reason> {
        verdict(preset, text, tag).1.iter().map(|r| r.reason).collect()
    }

    #[test]
    fn clean_text_passes_in_both_languages() {
        assert_eq!(reasons("default", CLEAN_EN, "en"), []);
        assert_eq!(reasons("default", CLEAN_ZH, "zh-Hans"), []);
        for (text, tag) in [(CLEAN_KO, "ko"), (CLEAN_TH, "th"), (CLEAN_HI, "hi")] {
            assert_eq!(reasons("default", text, tag), [], "{tag}");
        }
        assert_eq!(reasons("default", &CLEAN_TH[..CLEAN_TH.len() / 9 * 3], "th"), [Reason::TooShort]);
        assert!(reasons("default", &CLEAN_TH.repeat(3), "th").contains(&Reason::DuplicateNgrams));
        assert_eq!(reasons("default", &"나 너 우 리 다 ".repeat(30), "ko").first(), Some(&Reason::LinePunctuation));
        for preset in ["gopher", "fineweb2", "dclm"] {
            assert_eq!(reasons(preset, CLEAN_EN, "en"), [], "{preset}");
        }
        assert_eq!(reasons("fineweb2", CLEAN_ZH, "zh-Hans"), []);
        // What English rules make of it.
        let zh = reasons("gopher", CLEAN_ZH, "zh-Hans");
        assert!(zh.contains(&Reason::WordLength) && zh.contains(&Reason::StopWords), "{zh:?}");
    }

    #[test]
    fn every_rule_bites_first() {
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
            assert_eq!(reasons("default", text, tag).first(), Some(want), "{text}");
        }
        let spam = format!("{CLEAN_EN}\n{}", "Buy the best watches with free shipping today. ".repeat(8));
        assert!(matches!(reasons("default", &spam, "en")[0], Reason::TopNgram | Reason::DuplicateNgrams));
    }

    #[test]
    fn marked_code_and_formulas_may_hold_brackets_but_not_by_the_rules_of_c4() {
        let code = "int main(void) {\n    return 0;\n}";
        for text in [format!("{CLEAN_EN}\n\n```c\n{code}\n```"), CLEAN_EN.replace("the sea", "$\\frac{a}{b}$")] {
            assert!(!reasons("default", &text, "en").contains(&Reason::CurlyBracket), "{text}");
            assert!(reasons("fineweb", &text, "en").contains(&Reason::CurlyBracket), "{text}");
        }
        assert!(reasons("default", &format!("{CLEAN_EN}\n{code}"), "en").contains(&Reason::CurlyBracket));
    }

    #[test]
    fn all_broken_rules_are_told_with_value_and_limit() {
        let (_, failed) = verdict("default", "Two words {x} Two words {x}", "en");
        let told: Vec<Reason> = failed.iter().map(|r| r.reason).collect();
        for want in
            [Reason::TooShort, Reason::StopWords, Reason::LinePunctuation, Reason::FewSentences, Reason::CurlyBracket, Reason::TopNgram]
        {
            assert!(told.contains(&want), "{told:?}");
        }
        assert_eq!((failed[0].reason, failed[0].value, failed[0].threshold), (Reason::TooShort, Some(6.0), Some(50.0)));
        assert_eq!(failed.last().unwrap().detail.as_deref(), Some("n = 3"));
    }
}
