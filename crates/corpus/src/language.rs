//! Language identification: scripts first, a trigram model only for scripts that many languages share.
//!
//! Kana means Japanese, hangul Korean, Han alone Chinese, and whether it is simplified or traditional is counted from characters
//! that only one of the two national character sets has (GB 2312 for simplified, Big5 for traditional).
//! A general model gets short or traditional Chinese wrong, as users of most of them report; a count does not.

use crate::script::{HAN_WEIGHT, ScriptHistogram, is_han};
use std::sync::OnceLock;

/// A language tag with how sure the decision is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Language {
    /// BCP 47 tag: `en`, `zh-Hans`, `zh-Hant`, `zh` (both scripts mixed, or no character tells the script), `ja`, `ko`, `fr`, …, `und` when unsure.
    pub tag: &'static str,
    /// 0 to 1; the share of the text in the deciding script, times the model's confidence where a model was asked.
    pub score: f32,
}

impl Language {
    /// Undetermined.
    pub const UND: Self = Self { tag: "und", score: 0.0 };

    /// True for Chinese in either script.
    #[must_use]
    pub fn is_chinese(&self) -> bool {
        matches_tag(self.tag, "zh")
    }
}

/// True if [`language`] can find `wanted` or a more specific form of it.
#[must_use]
pub fn is_told(wanted: &str) -> bool {
    let others = ["zh-Hans", "zh-Hant", "und"];
    CODES.iter().map(|&(_, two)| two).chain(others).any(|tag| matches_tag(tag, wanted))
}

/// True if `tag` is `wanted` or a more specific form of it: `zh-Hans` matches `zh`, `zh` does not match `zh-Hans`.
#[must_use]
pub fn matches_tag(tag: &str, wanted: &str) -> bool {
    tag == wanted || (tag.len() > wanted.len() && tag.starts_with(wanted) && tag.as_bytes()[wanted.len()] == b'-')
}

/// Characters looked at; more changes nothing and costs time.
const MAX_CHARS: usize = 20_000;
/// Bytes of alphabetic text shown to the trigram model.
const MODEL_BYTES: usize = 2_400;
/// Kana among Han and kana that make a text Japanese; Chinese pages quote less, Japanese ones hold more.
const KANA_SHARE: f64 = 0.10;
/// Letters below which the trigram model is not asked.
const MIN_LETTERS: usize = 12;
/// Below this confidence of the model the answer is `und`.
const MIN_CONFIDENCE: f64 = 0.20;

/// Share of the rarer script among the characters that tell, and their number, from which a Chinese text is mixed. On pages of one script
/// a name or a quotation in the other stays below.
const MIXED_SHARE: f64 = 0.25;
const MIXED_CHARS: usize = 4;

/// The language most of `text` is in.
///
/// ```
/// assert_eq!(corpus::language("中国最高的山是珠穆朗玛峰").tag, "zh-Hans");
/// assert_eq!(corpus::language("1234").tag, "und");
/// ```
#[must_use]
pub fn language(text: &str) -> Language {
    let mut h = ScriptHistogram::default();
    let mut forms = Forms::default();
    for c in text.chars().take(MAX_CHARS) {
        h.add(c);
        if is_han(c) {
            forms.add(c);
        }
    }
    let cjk = HAN_WEIGHT * (h.han + h.kana) as f64;
    let hangul = 2.0 * h.hangul as f64;
    let rest = (h.alphabetic() - h.hangul) as f64;
    let all = cjk + hangul + rest;
    if all == 0.0 {
        return Language::UND;
    }
    if hangul > rest && hangul > 0.5 * cjk {
        return Language { tag: "ko", score: ((hangul + cjk) / all) as f32 };
    }
    if cjk > rest {
        let kana = h.kana as f64 / (h.kana + h.han) as f64;
        let tag = if kana >= KANA_SHARE { "ja" } else { forms.tag() };
        return Language { tag, score: (cjk / all) as f32 };
    }
    alphabetic(text, &h, all)
}

/// Language of a text whose letters are mostly alphabetic; `all` is the weight of those of every script.
fn alphabetic(text: &str, h: &ScriptHistogram, all: f64) -> Language {
    // The letters of one script, of all.
    let share = |count: usize| count as f64 / all;
    let single = [(h.greek, "el"), (h.thai, "th")];
    for (count, tag) in single {
        if 2 * count > h.alphabetic() {
            return Language { tag, score: share(count) as f32 };
        }
    }
    if h.alphabetic() < MIN_LETTERS {
        return Language::UND;
    }
    let sample = letters_sample(text);
    let info = whatlang::detect(&sample);
    let confidence = info.as_ref().map_or(0.0, |info| info.confidence());
    let certain = info.as_ref().is_some_and(|info| info.lang() == whatlang::Lang::Eng) && confidence >= MIN_CONFIDENCE;
    if !certain
        && 2 * h.latin > h.alphabetic()
        && let Some(score) = english(text, confidence)
    {
        return Language { tag: "en", score: (score * share(h.latin)) as f32 };
    }
    let Some(info) = info else {
        return Language::UND;
    };
    let tag = if confidence < MIN_CONFIDENCE { "und" } else { tag_of(info.lang()) };
    Language { tag, score: (confidence * share(letters(h, info.script()))) as f32 }
}

/// Letters of a script that the trigram model is asked about.
fn letters(h: &ScriptHistogram, script: whatlang::Script) -> usize {
    match script {
        whatlang::Script::Latin => h.latin,
        whatlang::Script::Cyrillic => h.cyrillic,
        whatlang::Script::Greek => h.greek,
        whatlang::Script::Arabic => h.arabic,
        whatlang::Script::Hebrew => h.hebrew,
        whatlang::Script::Thai => h.thai,
        whatlang::Script::Hangul => h.hangul,
        _ => h.other,
    }
}

/// Words that are common in English and in no other language of its script (`of` is Dutch too, but a fourth as frequent there).
#[rustfmt::skip]
const ENGLISH: [&str; 33] = [
    "of", "the", "and", "with", "this", "that", "are", "you", "your", "from", "have", "what", "which", "how", "who", "when", "where", "does",
    "did", "were", "their", "they", "been", "would", "should", "about", "than", "there", "has", "into", "our", "can", "his",
];

/// Words of a stretch: in English more than a fifth of all words are function words, so that few have none by chance.
const STRETCH_WORDS: u32 = 24;

/// How sure it is, 0 to 1, that a text is English by its function words alone, `None` where they are too few. The trigram model errs on lists of names and
/// on short questions, about which it has little confidence; a text that it is sure of needs more function words to be English all the same.
fn english(text: &str, confidence: f64) -> Option<f64> {
    let (mut words, mut hits, mut different) = (0_u32, 0_u32, 0_u64);
    // Stretches with function words, and without any: where those are more, English is a part of the text.
    let (mut with, mut without, mut before) = (0_u32, 0_u32, 0_u32);
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).take(MAX_CHARS / 5) {
        words += 1;
        if (2..=6).contains(&word.len())
            && let Some(at) = ENGLISH.iter().position(|known| word.eq_ignore_ascii_case(known))
        {
            hits += 1;
            different |= 1 << at;
        }
        if words.is_multiple_of(STRETCH_WORDS) {
            with += u32::from(hits >= before + 2);
            without += u32::from(hits == before);
            before = hits;
        }
    }
    if without > with {
        return None;
    }
    let share = f64::from(hits) / f64::from(words.max(1));
    let enough = match different.count_ones() {
        0 => false,
        // Not by `of` alone.
        1 => {
            different != 1 && share >= 0.1 && confidence < 0.5 && !text.chars().take(MAX_CHARS).any(|c| !c.is_ascii() && c.is_alphabetic())
        }
        2 | 3 => share >= 0.06 && confidence < 0.9,
        _ => share >= 0.06 || share >= 0.03 && confidence < 0.9,
    };
    enough.then(|| (0.3 + 4.0 * share).min(1.0))
}

/// Up to [`MODEL_BYTES`] of `text` without Han, kana and digits, taken evenly from its beginning, middle and end.
fn letters_sample(text: &str) -> String {
    let mut out = String::with_capacity(MODEL_BYTES + 16);
    let windows: &[usize] = if text.len() <= MODEL_BYTES { &[0] } else { &[0, text.len() / 2, text.len() - MODEL_BYTES / 3] };
    let each = if windows.len() == 1 { text.len() } else { MODEL_BYTES / 3 };
    for &at in windows {
        let start = (0..4).map(|k| (at + k).min(text.len())).find(|&p| text.is_char_boundary(p)).unwrap_or(text.len());
        let mut taken = 0;
        for c in text[start..].chars() {
            taken += c.len_utf8();
            if taken > each {
                break;
            }
            out.push(if c.is_alphabetic() && !is_han(c) || c == '\'' || c == '’' { c } else { ' ' });
        }
        out.push(' ');
    }
    out
}

/// Counts of Han characters that tell the script.
#[derive(Default)]
struct Forms {
    simplified: usize,
    traditional: usize,
}

impl Forms {
    #[inline]
    fn add(&mut self, c: char) {
        match form(c) {
            1 => self.simplified += 1,
            2 => self.traditional += 1,
            _ => {}
        }
    }

    fn tag(&self) -> &'static str {
        match (self.simplified, self.traditional) {
            (0, 0) => "zh",
            (s, t) if s.min(t) >= MIXED_CHARS && s.min(t) as f64 >= MIXED_SHARE * (s + t) as f64 => "zh",
            (s, t) if s >= t => "zh-Hans",
            _ => "zh-Hant",
        }
    }
}

const BASE: usize = 0x4E00;
const COUNT: usize = 0x5200;

/// 1 if only GB 2312 has the character, 2 if only Big5 has it, 0 otherwise.
fn form(c: char) -> u8 {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let in_gb = members(encoding_rs::GBK, 0xB0..=0xF7, &[(0xA1, 0xFE)]);
        let in_big5 = members(encoding_rs::BIG5, 0xA4..=0xC6, &[(0x40, 0x7E), (0xA1, 0xFE)]);
        let rare_big5 = members(encoding_rs::BIG5, 0xC9..=0xF9, &[(0x40, 0x7E), (0xA1, 0xFE)]);
        // A simplified form must be in neither level of Big5; a traditional one in its level of common characters.
        (0..COUNT).map(|i| u8::from(in_gb[i] && !in_big5[i] && !rare_big5[i]) + 2 * u8::from(in_big5[i] && !in_gb[i])).collect()
    });
    (c as usize).checked_sub(BASE).and_then(|i| table.get(i)).copied().unwrap_or(0)
}

/// Marks the Han characters whose two-byte codes lie in the given rows and columns of a double-byte charset.
fn members(charset: &'static encoding_rs::Encoding, rows: std::ops::RangeInclusive<u8>, columns: &[(u8, u8)]) -> Vec<bool> {
    let mut present = vec![false; COUNT];
    for row in rows {
        let bytes: Vec<u8> = columns.iter().flat_map(|&(a, b)| (a..=b).flat_map(move |column| [row, column])).collect();
        let (text, _) = charset.decode_without_bom_handling(&bytes);
        for c in text.chars() {
            if let Some(slot) = (c as usize).checked_sub(BASE).and_then(|i| present.get_mut(i)) {
                *slot = true;
            }
        }
    }
    present
}

/// The shorter code of a language given as ISO 639-3, as language tags prefer it: `eng` is `en`; others stay as they are.
#[must_use]
pub fn short_code(code: &str) -> &str {
    if code == "zho" {
        return "zh";
    }
    CODES.iter().find(|(three, _)| *three == code).map_or(code, |&(_, two)| two)
}

/// Two-letter code of a language the model knows.
fn tag_of(lang: whatlang::Lang) -> &'static str {
    let three = lang.code();
    CODES.iter().find(|(code, _)| *code == three).map_or(three, |&(_, two)| two)
}

/// ISO 639-3 to ISO 639-1, as BCP 47 prefers the shorter one.
#[rustfmt::skip]
const CODES: &[(&str, &str)] = &[
    ("afr", "af"), ("aka", "ak"), ("amh", "am"), ("ara", "ar"), ("aze", "az"), ("bel", "be"), ("ben", "bn"), ("bul", "bg"),
    ("cat", "ca"), ("ces", "cs"), ("cmn", "zh"), ("cym", "cy"), ("dan", "da"), ("deu", "de"), ("ell", "el"), ("eng", "en"),
    ("epo", "eo"), ("est", "et"), ("fin", "fi"), ("fra", "fr"), ("guj", "gu"), ("heb", "he"), ("hin", "hi"), ("hrv", "hr"),
    ("hun", "hu"), ("hye", "hy"), ("ind", "id"), ("ita", "it"), ("jav", "jv"), ("jpn", "ja"), ("kan", "kn"), ("kat", "ka"),
    ("khm", "km"), ("kor", "ko"), ("lat", "la"), ("lav", "lv"), ("lit", "lt"), ("mal", "ml"), ("mar", "mr"), ("mkd", "mk"),
    ("mya", "my"), ("nep", "ne"), ("nld", "nl"), ("nob", "nb"), ("ori", "or"), ("pan", "pa"), ("pes", "fa"), ("pol", "pl"),
    ("por", "pt"), ("ron", "ro"), ("rus", "ru"), ("sin", "si"), ("slk", "sk"), ("slv", "sl"), ("sna", "sn"), ("spa", "es"),
    ("srp", "sr"), ("swe", "sv"), ("tam", "ta"), ("tel", "te"), ("tgl", "tl"), ("tha", "th"), ("tuk", "tk"), ("tur", "tr"),
    ("ukr", "uk"), ("urd", "ur"), ("uzb", "uz"), ("vie", "vi"), ("yid", "yi"), ("zul", "zu"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, tag: &str) {
        assert_eq!(language(text).tag, tag, "{text} ({:?})", language(text));
    }

    #[test]
    fn scripts_decide_without_a_model() {
        check("中国最高的山是珠穆朗玛峰，位于喜马拉雅山脉。", "zh-Hans");
        check("中國最高的山是珠穆朗瑪峰，位於喜馬拉雅山脈。", "zh-Hant");
        check("開會", "zh-Hant");
        check("北京", "zh");
        check("日本で一番高い山は富士山です。", "ja");
        check("대한민국의 수도는 서울이다.", "ko");
        check("Η πρωτεύουσα της Ελλάδας είναι η Αθήνα.", "el");
    }

    #[test]
    fn the_model_tells_latin_and_cyrillic() {
        check("The capital of France is Paris, and it lies on the river Seine in the north of the country.", "en");
        check("La capitale de la France est Paris, qui se trouve au bord de la Seine, dans le nord du pays.", "fr");
        check("Die Hauptstadt von Deutschland ist Berlin, und sie liegt an der Spree im Nordosten des Landes.", "de");
        check("Столица России — Москва, она стоит на реке Москве в центре европейской части страны.", "ru");
        check("La capital de España es Madrid, que está situada en el centro de la península Ibérica.", "es");
    }

    #[test]
    fn mixtures_go_by_weight() {
        check("苹果公司（Apple Inc.）是一家美国科技公司，总部位于加利福尼亚州库比蒂诺。", "zh-Hans");
        check("The company was founded in 1987 in Shenzhen as 华为 and sells telephones and network gear all over the world today.", "en");
        check("中文维基里有一点假名「の」的句子，依然是中文，因为假名只有一个而汉字很多。", "zh-Hans");
    }

    #[test]
    fn function_words_help_where_the_model_is_unsure() {
        check("What do tracheids have?", "en");
        check("Who was Luther's wife?", "en");
        check("Team schedules: Arizona Cardinals, Atlanta Falcons, Buffalo Bills and the Chicago Bears, with all of their games.", "en");
        check("Mini Trio The Set | €28 | Wardrobe The Duo | €114 | The Balm | €14", "en");
        check("Wil je thee of koffie, of liever een glas water of wijn bij het eten van vanavond?", "nl");
        check("Collection: The North Face, veste imperméable pour homme, livraison gratuite en France et en Belgique.", "fr");
        check("Der Film The Who läuft heute Abend im Kino um die Ecke, und alle Freunde kommen mit.", "de");
    }

    #[test]
    fn a_part_in_english_does_not_make_a_text_english() {
        let english = "The Thames is the longest river in England and one of the best known in the world. It rises in the hills, passes Oxford and \
            Reading, and reaches the sea to the east of London. People have lived on its banks for thousands of years, and the Romans built \
            the first bridge where the city stands today.\n";
        let german = "Der Rhein ist einer der längsten Flüsse in Europa und die wichtigste Wasserstraße des Kontinents. Er entspringt in den \
            Schweizer Alpen, fließt durch den Bodensee und mündet nach mehr als zwölfhundert Kilometern in die Nordsee. Schon die Römer nutzten \
            den Strom als Grenze und als Handelsweg, und viele der Städte gehen auf ihre Lager zurück.\n";
        let polish = "Wisła jest najdłuższą rzeką w Polsce i jedną z najważniejszych dróg wodnych w tej części Europy. Jej źródła znajdują się na \
            zachodnim stoku Baraniej Góry, a ujście leży nad Zatoką Gdańską. Przez wieki rzeka służyła do spławiania zboża, drewna i soli, które \
            kupcy wywozili do Gdańska, a stamtąd dalej na zachód.\n";
        for (text, tag) in [(german, "de"), (polish, "pl")] {
            check(&(text.repeat(2) + english), tag);
            check(&(text.repeat(3) + english), tag);
            check(&(text.repeat(6) + &english.repeat(2)), tag);
            check(&(english.repeat(3) + text), "en");
        }
    }

    #[test]
    fn the_score_is_the_share_of_the_deciding_script() {
        let english = "The river begins in the mountains and runs through three countries before it reaches the sea, as they say. ";
        let greek = "Ο Αλιάκμονας είναι ο μεγαλύτερος ποταμός που πηγάζει στην Ελλάδα και ξεκινά από τα βουνά της Πίνδου. ";
        let russian = "Волга является самой длинной рекой в Европе, она берёт начало на возвышенности и впадает в Каспийское море. ";
        for (text, tag, least, most) in [
            (english.to_owned(), "en", 0.95, 1.0),
            (english.repeat(2) + greek, "en", 0.55, 0.75),
            (english.to_owned() + &russian.repeat(2), "ru", 0.55, 0.75),
            (english.to_owned() + &greek.repeat(2), "el", 0.55, 0.75),
            (russian.repeat(2) + "中国最高的山是珠穆朗玛峰，位于喜马拉雅山脉。", "ru", 0.6, 0.8),
        ] {
            let got = language(&text);
            assert!(got.tag == tag && (least..=most).contains(&got.score), "{tag}: {got:?}");
        }
    }

    #[test]
    fn tags_that_can_be_told() {
        assert!(["en", "zh", "zh-Hant", "ja", "und", "th"].into_iter().all(is_told));
        assert!(!["english", "EN", "zh-CN", "en-US", "xx", ""].into_iter().any(is_told));
    }

    #[test]
    fn mixed_scripts_are_told() {
        check("这个国家说：這個國家說。对门开，對門開。", "zh");
        check("这个国家对外开放，门口写着「開門」，人们说这里发展很快，经济增长，学习进步，汉语书籍。", "zh-Hans");
    }

    #[test]
    fn unsure_is_und() {
        check("", "und");
        check("12345 67890 !!", "und");
        check("ok", "und");
    }

    #[test]
    fn tags_match_by_prefix() {
        assert!(matches_tag("zh-Hans", "zh") && matches_tag("en", "en"));
        assert!(!matches_tag("zh", "zh-Hans") && !matches_tag("zhx", "zh") && !matches_tag("en", "e"));
    }

    #[test]
    fn form_table_knows_common_characters() {
        for (c, want) in [('国', 1), ('國', 2), ('后', 0), ('山', 0), ('对', 1), ('對', 2), ('门', 1), ('開', 2), ('a', 0)] {
            assert_eq!(form(c), want, "{c}");
        }
    }
}
