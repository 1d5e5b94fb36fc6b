//! Encoding gives the ids of the tokenizers library, whatever the text.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use text::Tokenizer;
use tokenize::fast::Encoder;
use tokenize::pieces::Splitter;
use tokenizers::utils::SysRegex;

use support::{GPT2, GPT2_DIGITS, LLAMA3, O200K, QWEN2, byte_level, pre_tokenizers, sequence, split, tokenizer, train};

/// Numbers from a fixed recurrence (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32 % end
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u32) as usize]
    }

    fn character(&mut self) -> char {
        const SCRIPTS: [(u32, u32); 24] = [
            (0x20, 0x5F),
            (0x41, 0x1A),
            (0x61, 0x1A),
            (0xA0, 0x60),
            (0x100, 0x150),
            (0x2B0, 0x50),
            (0x300, 0x70),
            (0x370, 0x90),
            (0x400, 0x100),
            (0x590, 0x70),
            (0x600, 0x100),
            (0x900, 0x80),
            (0xE00, 0x60),
            (0x1100, 0x100),
            (0x1C5, 0x10),
            (0x2000, 0x70),
            (0x2150, 0x40),
            (0x3000, 0x100),
            (0x4E00, 0x100),
            (0xAC00, 0x100),
            (0xFE00, 0x10),
            (0x1D400, 0x100),
            (0x1F300, 0x350),
            (0x20000, 0x100),
        ];
        let (start, len) = SCRIPTS[self.below(SCRIPTS.len() as u32) as usize];
        char::from_u32(start + self.below(len)).unwrap_or(' ')
    }

    /// Parts that pre-tokenizers cut at or stumble over, in any order.
    fn text(&mut self, parts: u32) -> String {
        const WORDS: [&str; 30] = [
            "the",
            " The",
            "HTTPServer",
            " naïve",
            "Straße",
            " don't",
            "I'LL",
            "we've",
            "'S",
            "'ſ",
            "'ſa",
            "it's",
            "l'été",
            "中国",
            "的首都是",
            "日本語",
            "カタカナ",
            "한국어",
            " русский",
            "عربي",
            "हिन्दी",
            "ไทย",
            "👩‍👩‍👧",
            "🏳️‍🌈",
            "é",
            "e\u{301}",
            "ǅ",
            "ﬁ",
            "𠀀",
            "々〇",
        ];
        const MARKS: [&str; 24] = [
            " ",
            "  ",
            "\n",
            "\r\n",
            "\n\n",
            " \n ",
            "\t",
            "\u{a0}",
            "\u{3000}",
            "\u{2028}",
            "\u{85}",
            "\u{200b}",
            "\u{feff}",
            "\u{0}",
            "!",
            "...",
            "。",
            "，",
            "/",
            "//\n/",
            "'",
            "''",
            "<|endoftext|>",
            "\u{301}",
        ];
        let mut out = String::new();
        for _ in 0..self.below(parts + 1) {
            match self.below(8) {
                0 | 1 => out += self.of(&WORDS),
                2 | 3 => out += self.of(&MARKS),
                4 => out.extend(std::iter::repeat_n(self.character(), 1 + self.below(6) as usize)),
                5 => out += &self.below(100_000).to_string(),
                6 => out.extend((0..self.below(5)).map(|_| self.character())),
                _ => out.push(char::from_u32(self.below(0x110000)).unwrap_or('\'')),
            }
        }
        out
    }
}

/// Text like that of the tests, so that merges across all kinds of characters are learned.
fn corpus() -> Vec<String> {
    let mut random = Random(7);
    let mut out: Vec<String> = (0..3000).map(|_| random.text(12)).collect();
    for n in 0..300 {
        out.push(format!("The capital of Country{n} is Town{n}, and its people don't say \"{}\".", n * 37));
        out.push(format!("第{n}国的首都是第{n}城。最高的山是第{n}峰，海拔{n}米！"));
        out.push("ab".repeat(n % 17) + &" ".repeat(n % 23) + &"=".repeat(n % 31) + &"\n".repeat(n % 5));
    }
    out
}

fn trained(pre_tokenizer: &Value, vocab_size: usize) -> Value {
    let corpus = corpus();
    train(pre_tokenizer, &corpus.iter().map(String::as_str).collect::<Vec<_>>(), vocab_size)
}

#[track_caller]
fn same(name: &str, encoder: &Encoder<'_>, tokenizer: &Tokenizer, text: &str) {
    let (ours, library) = (encoder.encode(text).expect("encodes"), tokenizer.encode(text).expect("encodes"));
    if ours != library {
        let at = ours.iter().zip(&library).take_while(|(a, b)| a == b).count();
        let shown: String = text.chars().take(300).collect();
        panic!("{name}: other ids from {at} on: {:?} not {:?} in {shown:?}", ours.get(at), library.get(at));
    }
}

/// Runs of one class and other long pieces.
fn long_texts() -> Vec<String> {
    let mut random = Random(11);
    let units = ["a", "aA", "日", "日A", "e\u{301}", "7", "=-", "ab日c"];
    let short = ["A", "é", "\u{301}", "٣", "!", "'", "👩\u{200d}", "𠀀", "Ж", "한"];
    let mut out: Vec<String> = units.iter().map(|unit| unit.repeat(100_000 / unit.len() + 1)).collect();
    out.extend(short.iter().map(|unit| unit.repeat(9_000 / unit.len() + 1)));
    for space in [" ", "\n", "\t", "\u{3000}", " \n", "\r\n", "\u{a0}"] {
        let run = space.repeat(4_000);
        out.extend([run.clone(), format!("x{run}x"), format!("{run}中"), format!("{run}\n {run}!"), format!("1{run}1")]);
    }
    out.push((0..120_000).map(|_| char::from(b'a' + random.below(26) as u8)).collect());
    out.push((0..40_000).filter_map(|_| char::from_u32(0x4E00 + random.below(0x100))).collect());
    out
}

#[test]
fn every_known_pre_tokenizer_gives_the_ids_of_the_library() {
    for (name, pre_tokenizer) in pre_tokenizers() {
        let json = trained(&pre_tokenizer, 1500);
        let tokenizer = tokenizer(&json);
        let encoder = Encoder::new(&tokenizer).expect("made");
        assert!(encoder.is_fast(), "{name}");
        let mut random = Random(name.len() as u64);
        for n in 0..600 {
            same(name, &encoder, &tokenizer, &random.text(3 + n % 40));
        }
        if matches!(name, "GPT-2" | "GPT-4o" | "gpt4, Han") {
            for text in long_texts() {
                same(name, &encoder, &tokenizer, &text);
            }
        }
        same(name, &encoder, &tokenizer, "");
    }
}

#[test]
fn every_code_point_is_cut_as_by_the_engine() {
    let all: Vec<char> = (0..0x110000).filter_map(char::from_u32).collect();
    // Classes are compared for all code points elsewhere; beside other characters, a part of the large blocks is enough.
    let some: Vec<char> = all.iter().copied().filter(|c| (*c as u32) < 0x3200 || (*c as u32).is_multiple_of(61)).collect();
    let around = [("", "\n"), ("a", "b "), ("A", "Ab\n"), ("1", "2 "), (" ", " x\n"), ("!", "\n/")];
    let contracted = [("'", "e "), ("x'", " "), ("'l", "\u{301}A"), ("A'r", "s")];
    for regex in [GPT2, GPT2_DIGITS, LLAMA3, QWEN2, O200K] {
        let engine = SysRegex::new(regex).expect("compiles");
        let splitter = Splitter::of_pre_tokenizer(&sequence(&[split(regex), byte_level(false)])).expect("known").expect("made");
        let fold = regex == LLAMA3 || regex == O200K;
        let frames =
            around.iter().map(|frame| (frame, &some)).chain(contracted.iter().map(|frame| (frame, if fold { &all } else { &some })));
        for ((before, after), characters) in frames {
            for part in characters.chunks(1 << 12) {
                let text: String = part.iter().flat_map(|c| before.chars().chain([*c]).chain(after.chars())).collect();
                let mut expected = engine.find_iter(&text);
                let mut at = 0;
                splitter.pieces(&text, |piece| {
                    let range = (at, at + piece.len());
                    assert_eq!(expected.next(), Some(range), "{regex}: {piece:?} between {before:?} and {after:?}");
                    at = range.1;
                });
                assert!(expected.next().is_none() && at == text.len());
            }
        }
    }
}

/// A `tokenizer.json` with something changed.
fn changed(json: &Value, pointer: &str, to: Value) -> Value {
    let mut json = json.clone();
    *json.pointer_mut(pointer).expect("it is there") = to;
    json
}

#[test]
fn settings_of_published_tokenizers_are_kept() {
    let llama = trained(&sequence(&[split(LLAMA3), byte_level(false)]), 1500);
    // Tokens that merges do not lead to.
    let mut ignoring = changed(&llama, "/model/ignore_merges", json!(true));
    for (n, token) in ["capital", "国的", "Ġdon", "zzz", "Ġ\u{10d}"].into_iter().enumerate() {
        ignoring["model"]["vocab"][token] = json!(5000 + n);
    }
    let lines: Vec<Value> = llama["model"]["merges"]
        .as_array()
        .expect("merges")
        .iter()
        .map(|m| json!(format!("{} {}", m[0].as_str().expect("a token"), m[1].as_str().expect("a token"))))
        .collect();
    let post = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}});
    let mut added = trained(&sequence(&[split(QWEN2), byte_level(false)]), 1500);
    added["normalizer"] = json!({"type": "NFC"});
    for (id, content) in [(3000, "<tool>"), (3001, "</tool>"), (3002, "ZZ")] {
        let token = json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": id == 3002, "normalized": id == 3001, "special": false});
        added["added_tokens"].as_array_mut().expect("added").push(token);
    }
    let mut reversed = llama.clone();
    reversed["model"]["merges"].as_array_mut().expect("merges").reverse();
    let mut twice = llama.clone();
    let again = twice["model"]["merges"][3].clone();
    twice["model"]["merges"].as_array_mut().expect("merges").push(again);
    // A special token among the tokens of the model, as text may spell it.
    let mut special = ignoring.clone();
    let token =
        json!({"id": 5003, "content": "zzz", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    special["added_tokens"].as_array_mut().expect("added").push(token);
    assert!(
        tokenizer(&ignoring).encode("zzz").expect("encodes") == [5003]
            && !tokenizer(&special).encode("zzz").expect("encodes").contains(&5003)
    );
    let cases = [
        ("ignore_merges", ignoring),
        ("ignore_merges and a special token", special),
        ("merges as lines", changed(&llama, "/model/merges", json!(lines))),
        ("post-processor", changed(&llama, "/post_processor", post)),
        ("empty prefix", changed(&llama, "/model/continuing_subword_prefix", json!(""))),
        ("NFC", changed(&llama, "/normalizer", json!({"type": "NFC"}))),
        ("NFC and added tokens", added),
        // No trainer makes such lists: merges before those that make their parts, and one that is listed twice.
        ("merges in reverse", reversed),
        ("merges twice", twice),
    ];
    for (name, json) in cases {
        let tokenizer = tokenizer(&json);
        let encoder = Encoder::new(&tokenizer).expect("made");
        assert!(encoder.is_fast(), "{name}");
        let mut random = Random(5);
        for n in 0..800 {
            let mut text = random.text(3 + n % 30);
            if n % 3 == 0 {
                text += random.of(&[
                    "<tool>",
                    "</tool>x",
                    " ZZ  y",
                    "<too",
                    "zzz",
                    "国的",
                    " capital",
                    "capital",
                    " don",
                    "A\u{30a}",
                    "q\u{316}\u{301}",
                    "\u{212b}",
                ]);
            }
            same(name, &encoder, &tokenizer, &text);
        }
    }
}

#[test]
fn merges_in_any_order_are_done_as_the_library_does_them() {
    // Random lists of merges over few bytes, Chinese ones among them: merges across characters come before those inside of them,
    // one token is made in several ways, and parts come later than the whole.
    let base = trained(&byte_level(true), 300);
    let spelled: Vec<String> = base["model"]["vocab"].as_object().expect("a vocabulary").keys().cloned().collect();
    let byte = |byte: u8| spelled[1 + byte as usize].clone();
    let mut random = Random(3);
    for round in 0..40 {
        let mut tokens: Vec<String> = "ab 中国é".bytes().map(byte).collect();
        let mut merges: Vec<(String, String)> = Vec::new();
        let mut vocab = base["model"]["vocab"].as_object().expect("a vocabulary").clone();
        vocab.retain(|_, id| id.as_u64().is_some_and(|id| id <= 256));
        for _ in 0..80 {
            let pick = |random: &mut Random| tokens[random.below(tokens.len() as u32) as usize].clone();
            let (left, right) = (pick(&mut random), pick(&mut random));
            let joined = format!("{left}{right}");
            if joined.chars().count() > 9 {
                continue;
            }
            let next = vocab.len();
            vocab.entry(joined.clone()).or_insert(json!(next));
            tokens.push(joined);
            if !merges.contains(&(left.clone(), right.clone())) {
                merges.push((left, right));
            }
        }
        if round % 2 == 0 {
            for at in (1..merges.len()).rev() {
                merges.swap(at, random.below(at as u32 + 1) as usize);
            }
        }
        let json = changed(&changed(&base, "/model/vocab", json!(vocab)), "/model/merges", json!(merges));
        let tokenizer = tokenizer(&json);
        let encoder = Encoder::new(&tokenizer).expect("made");
        assert!(encoder.is_fast());
        for n in 0..100 {
            let text: String = (0..random.below(4 + n)).map(|_| random.of(&["a", "b", " ", "中", "国", "é", "ab", "中国"])).collect();
            same("random merges", &encoder, &tokenizer, &text);
        }
    }
}

#[test]
fn other_tokenizers_go_through_the_library() {
    let llama = trained(&sequence(&[split(LLAMA3), byte_level(false)]), 400);
    let prefix = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let other_split = sequence(&[split(r"\w+|\s+"), byte_level(false)]);
    for (name, json) in [
        ("prefix space", changed(&llama, "/pre_tokenizer", prefix)),
        ("another expression", changed(&llama, "/pre_tokenizer", other_split)),
        ("no pre-tokenizer", changed(&llama, "/pre_tokenizer", json!(null))),
        ("lower case", changed(&llama, "/normalizer", json!({"type": "Lowercase"}))),
        ("an ending", changed(&llama, "/model/end_of_word_suffix", json!("</w>"))),
    ] {
        let tokenizer = tokenizer(&json);
        let encoder = Encoder::new(&tokenizer).expect("made");
        assert!(!encoder.is_fast(), "{name}");
        same(name, &encoder, &tokenizer, "The capital of Country3 isn't 中国。");
    }
}

#[test]
fn long_runs_take_time_in_proportion() {
    let json = trained(&byte_level(true), 1500);
    let tokenizer = tokenizer(&json);
    let encoder = Encoder::new(&tokenizer).expect("made");
    for unit in ["ab", "=", "的首都", " ", "e\u{301}"] {
        let start = Instant::now();
        let ids = encoder.encode(&unit.repeat(2_000_000 / unit.len())).expect("encodes");
        assert!(!ids.is_empty());
        assert!(start.elapsed() < Duration::from_secs(20), "{unit:?} took {:?}", start.elapsed());
    }
}

#[test]
fn threads_of_any_pool_get_the_same_ids() {
    use rayon::prelude::*;
    let tokenizer = tokenizer(&trained(&sequence(&[split(LLAMA3), byte_level(false)]), 1500));
    let encoder = Encoder::new(&tokenizer).expect("made");
    let texts = corpus();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(9).build().expect("a pool");
    pool.install(|| texts.par_iter().for_each(|text| same("nine threads", &encoder, &tokenizer, text)));
}

/// So many random texts, always the same; with `JIELONG_FUZZ_SECS=60` others, for as long.
#[test]
fn random_texts_have_the_same_ids() {
    const TEXTS: u32 = 200;
    let secs: Option<u64> = std::env::var("JIELONG_FUZZ_SECS").ok().map(|secs| secs.parse().expect("a number of seconds"));
    let end = secs.map(|secs| Instant::now() + Duration::from_secs(secs));
    let tokenizers: Vec<(&str, Tokenizer)> =
        pre_tokenizers().into_iter().map(|(name, pre)| (name, tokenizer(&trained(&pre, 3000)))).collect();
    let encoders: Vec<Encoder<'_>> = tokenizers.iter().map(|(_, tokenizer)| Encoder::new(tokenizer).expect("made")).collect();
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
    let mut random = Random(if end.is_some() { seed } else { 1 });
    let mut texts = 0;
    while end.map_or(texts < TEXTS, |end| Instant::now() < end) {
        texts += 1;
        let parts = [4, 40, 400][random.below(3) as usize];
        let text = random.text(parts);
        for ((name, tokenizer), encoder) in tokenizers.iter().zip(&encoders) {
            same(name, encoder, tokenizer, &text);
        }
    }
}

#[test]
fn a_megabyte_of_one_class_has_the_ids_of_the_library() {
    let units = ["a", "日", "=-", "7", "e\u{301}", "👩\u{200d}", "\n", "ab日c"];
    for (name, pre_tokenizer) in pre_tokenizers() {
        if !matches!(name, "GPT-2" | "gpt4, digits, Han" | "GPT-4o") {
            continue;
        }
        let json = trained(&pre_tokenizer, 1500);
        let tokenizer = tokenizer(&json);
        let encoder = Encoder::new(&tokenizer).expect("made");
        for unit in units {
            same(name, &encoder, &tokenizer, &unit.repeat(1_000_000 / unit.len()));
        }
        let mut random = Random(13);
        let letters: String = (0..1_000_000).map(|_| char::from(b'a' + random.below(3) as u8)).collect();
        same(name, &encoder, &tokenizer, &letters);
    }
}
