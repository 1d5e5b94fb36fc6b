//! Golden vectors: every rule on a text small enough to count by hand, in English and Chinese.

use crawl_clean::Reason;
use crawl_clean::filter::preset::Rules;
use crawl_clean::filter::{Compiled, Preset, Scratch, judge};

/// Keys of a preset, a text, and the rules it breaks with what is measured.
type Case = (&'static str, &'static str, &'static [(Reason, f64)]);

fn failed(rules: &Rules, text: &str) -> Vec<(Reason, f64)> {
    let (_, judgement) = judge(text, &Compiled::new(rules), &mut Scratch::default());
    judgement.failed.iter().map(|r| (r.reason, r.value.unwrap_or(1.0))).collect()
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Units: words without marks; each Han character.
    ("min_units = 4", "One, two, three!", &[(Reason::TooShort, 3.0)]),
    ("min_units = 4", "One, two # three!", &[(Reason::TooShort, 3.0)]),
    ("min_units = 4\nsplitter = 'whitespace'", "One, two # three!", &[]),
    ("min_units = 7", "山高12米，GDP", &[(Reason::TooShort, 5.0)]),
    ("max_units = 3", "中国的首都", &[(Reason::TooLong, 5.0)]),
    // 1 + 2 + 3 letters by 3 words; the middle one of 1, 1, 1, 9 lies between 1 and 1.
    ("min_mean_length = 2.5", "a bb ccc", &[(Reason::WordLength, 2.0)]),
    ("max_mean_length = 2.5", "a b c ddddddddd", &[(Reason::WordLength, 3.0)]),
    ("max_mean_length = 0.5\nword_length = 'median'", "a b c ddddddddd", &[(Reason::WordLength, 1.0)]),
    ("max_mean_length = 2.0\nsplitter = 'whitespace'", "山高 水长。", &[(Reason::WordLength, 2.5)]),
    ("min_mean_length = 2.0", "中国", &[(Reason::WordLength, 1.0)]),
    // Two # and one ellipsis for four words, together or the greater of them.
    ("max_symbol_share = 0.4", "a #b #c... d", &[(Reason::Symbols, 0.75)]),
    ("max_symbol_share = 0.4\nsymbols_apart = true", "a #b #c... d", &[(Reason::Symbols, 0.5)]),
    // The marks of a heading are none.
    ("max_symbol_share = 0.1", "## a\nb #c d", &[(Reason::Symbols, 0.25)]),
    ("max_symbol_share = 0.4", "山……水", &[(Reason::Symbols, 1.0)]),
    ("bullets = '•-'\nmax_bullet_lines = 0.5", "- a\n• b\nc", &[(Reason::BulletLines, 2.0 / 3.0)]),
    ("bullets = '•'\nmax_bullet_lines = 0.2", "- a\n• 山\nc", &[(Reason::BulletLines, 1.0 / 3.0)]),
    ("max_ellipsis_lines = 0.3", "a...\n山…\nc", &[(Reason::EllipsisLines, 2.0 / 3.0)]),
    ("min_alphabetic = 0.8", "a 1 b 2", &[(Reason::Alphabetic, 0.5)]),
    ("min_alphabetic = 0.8\nalphabetic = 'han'", "山水 GDP 1", &[(Reason::Alphabetic, 0.5)]),
    // "the" twice is one word, or two, in either case; 的 three times is one.
    ("stop_words = ['the', 'of']\nmin_stop_words = 2", "the cat the The", &[(Reason::StopWords, 1.0)]),
    ("stop_words = ['the', 'of']\nmin_stop_words = 4\nstop_words_counted = true", "the cat the The", &[(Reason::StopWords, 2.0)]),
    ("stop_words = ['the']\nmin_stop_words = 4\nstop_words_counted = true\nstop_words_any_case = true", "the cat the The", &[(Reason::StopWords, 3.0)]),
    ("stop_words = ['的', '是']\nmin_stop_words = 2", "我的你的他的", &[(Reason::StopWords, 1.0)]),
    // Lines of 1, 2 and 2 characters, the last one a repeat: 2 of 5 characters, 2 of 7 with line breaks, 4 of 5 with the first.
    ("max_duplicate_lines = 0.3", "a\nbb\nbb", &[(Reason::DuplicateLines, 1.0 / 3.0)]),
    ("max_duplicate_lines = 0.3\ncopies = 'all'", "a\nbb\nbb", &[(Reason::DuplicateLines, 2.0 / 3.0)]),
    ("max_duplicate_line_chars = 0.2", "山\n山水\n山水", &[(Reason::DuplicateLineChars, 0.4)]),
    ("max_duplicate_line_chars = 0.2\ncopies_of = 'text'", "山\n山水\n山水", &[(Reason::DuplicateLineChars, 2.0 / 7.0)]),
    ("max_duplicate_line_chars = 0.2\ncopies = 'all'", "a\nbb\nbb", &[(Reason::DuplicateLineChars, 0.8)]),
    ("max_duplicate_paragraphs = 0.3", "a\nb\n\na\nb", &[(Reason::DuplicateParagraphs, 0.5)]),
    ("max_duplicate_paragraph_chars = 0.2", "山\n水\n\n山\n水\n\n风", &[(Reason::DuplicateParagraphChars, 0.4)]),
    // "a b" three times: 6 of 10 letters; 9 of 19 characters with spaces; the second and third: 4 of 10.
    ("top_ngrams = [[2, 0.2]]", "a b c a b d a b e f", &[(Reason::TopNgram, 0.6)]),
    ("top_ngrams = [[2, 0.2]]\ntop_ngram_spaces = true\nngrams_of = 'text'", "a b c a b d a b e f", &[(Reason::TopNgram, 9.0 / 19.0)]),
    ("duplicate_ngrams = [[2, 0.2]]", "a b c a b d a b e f", &[(Reason::DuplicateNgrams, 0.4)]),
    ("duplicate_ngrams = [[2, 0.2]]\nduplicate_ngrams_covered = true", "a b c a b d a b e f", &[(Reason::DuplicateNgrams, 0.6)]),
    // 天气 twice of eight characters; nothing of three is repeated.
    ("top_ngrams = [[2, 0.2], [3, 0.0]]", "天气好，天气坏，是吗", &[(Reason::TopNgram, 0.5)]),
    // The second 天气: 2 of 10 characters with marks.
    ("duplicate_ngrams = [[2, 0.1]]\nngrams_of = 'text'", "天气好，天气坏，是吗", &[(Reason::DuplicateNgrams, 0.2)]),
    ("min_line_punctuation = 0.6", "a.\nb,\n山。\nd", &[(Reason::LinePunctuation, 0.5)]),
    ("min_line_punctuation = 0.6\nline_marks = '.'", "a.\nb,\n山。\nd", &[(Reason::LinePunctuation, 0.25)]),
    ("short_line_chars = 2\nmax_short_lines = 0.5", "ab\n山水\nabc", &[(Reason::ShortLines, 2.0 / 3.0)]),
    ("max_newlines_per_unit = 0.3", "a b\nc d\ne", &[(Reason::Newlines, 0.4)]),
    ("min_sentences = 4", "One is here. Two is there! 三在这里。", &[(Reason::FewSentences, 3.0)]),
    ("refuse_curly_bracket = true", "a { b", &[(Reason::CurlyBracket, 1.0)]),
    ("refuse_lorem_ipsum = true", "Lorem ipsum dolor", &[(Reason::LoremIpsum, 1.0)]),
    // One word of ten goes with its line.
    ("min_line_words = 2\nmax_removed_words = 0.05", "a b c d e f g h i\nj", &[(Reason::RemovedWords, 0.1)]),
];

#[test]
fn every_rule_as_counted_by_hand() {
    for (keys, text, want) in CASES {
        let rules: Rules = toml::from_str(keys).unwrap();
        let got = failed(&rules, text);
        assert_eq!(got.len(), want.len(), "{keys}: {text}: {got:?}");
        for (got, want) in got.iter().zip(*want) {
            assert!(got.0 == want.0 && (got.1 - want.1).abs() < 1e-12, "{keys}: {text}: {got:?}, not {want:?}");
        }
    }
}

/// The thresholds that the sources state, as they stand in their code or tables.
#[test]
fn presets_hold_the_thresholds_of_their_sources() {
    let rules = |preset: &str, tag: &str| {
        let preset = Preset::built_in(preset).unwrap();
        preset.profiles[preset.select(tag, "")].rules.clone()
    };
    let table_a1 = [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)];
    for preset in ["gopher", "fineweb", "dclm"] {
        let rules = rules(preset, "en");
        assert_eq!((rules.min_units, rules.max_units, rules.max_symbol_share), (Some(50), Some(100_000), Some(0.1)), "{preset}");
        assert_eq!((rules.min_mean_length, rules.max_mean_length, rules.min_alphabetic), (Some(3.0), Some(10.0), Some(0.8)));
        assert_eq!((rules.max_bullet_lines, rules.max_ellipsis_lines, rules.min_stop_words), (Some(0.9), Some(0.3), Some(2)));
        assert_eq!(rules.top_ngrams.as_deref(), Some(&[(2, 0.2), (3, 0.18), (4, 0.16)][..]));
        assert_eq!(rules.duplicate_ngrams.as_deref(), Some(&table_a1[..]));
        assert_eq!(rules.stop_words.unwrap(), ["the", "be", "to", "of", "and", "that", "have", "with"]);
    }
    let fineweb = rules("fineweb", "en");
    assert_eq!((fineweb.min_line_punctuation, fineweb.max_short_lines, fineweb.short_line_chars), (Some(0.12), Some(0.67), Some(30)));
    assert_eq!((fineweb.max_duplicate_line_chars, fineweb.max_newlines_per_unit), (Some(0.01), Some(0.3)));
    let limits = |rules: Rules| (rules.max_duplicate_lines, rules.min_line_punctuation, rules.min_alphabetic, rules.min_model_score);
    assert_eq!(limits(rules("fineweb2", "zh-Hans")), (Some(0.287), Some(0.106), Some(0.735), Some(0.692)));
    assert_eq!(limits(rules("fineweb2", "yue")), (Some(0.495), Some(0.167), Some(0.765), Some(0.412)));
    assert_eq!(limits(rules("fineweb2", "ja")), (Some(0.375), Some(0.167), Some(0.759), Some(0.886)));
    assert_eq!(limits(rules("fineweb2", "ko")), (Some(0.374), Some(0.062), Some(0.791), Some(0.842)));
    assert_eq!(rules("c4", "en").min_sentences, Some(5));
}
