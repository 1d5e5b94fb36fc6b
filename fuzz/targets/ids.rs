//! Text to ids: whatever the text, those of the tokenizers library, for every pre-tokenizer that is scanned by hand.
#![no_main]

#[path = "../../crates/tokenize/tests/support/mod.rs"]
mod support;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use text::Tokenizer;
use tokenize::fast::Encoder;

/// What merges are learned from: letters of several scripts, digits, marks and spaces in runs.
const TEXTS: [&str; 4] = [
    "The capital of Country7 isn't Town7; they'll say \"it's\" 1,234 times...\n\n  The end.\r\n\tx += 1;",
    "第7国的首都是第7城，海拔8848米。最高的山！日本語カタカナ 한국어",
    "naïve e\u{301}e\u{301} русский русский עברית ไทย 👩\u{200d}👩 🏳\u{fe0f} ===== ----- \u{a0}\u{3000}\u{2028}",
    "ababababab HTTPServer HTTPServer 'll 'LL 'ſ aaaa    bbbb\n\n\n",
];

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let texts: Vec<&str> = TEXTS.iter().flat_map(|text| [*text; 3]).collect();
    let trained = |(_, cuts): (&str, serde_json::Value)| support::tokenizer(&support::train(&cuts, &texts, 600));
    support::pre_tokenizers().into_iter().map(trained).collect()
});

static ENCODERS: LazyLock<Vec<Encoder<'static>>> = LazyLock::new(|| TOKENIZERS.iter().map(|t| Encoder::new(t).expect("made")).collect());

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let at = *first as usize % TOKENIZERS.len();
    assert!(ENCODERS[at].is_fast());
    let text = String::from_utf8_lossy(rest);
    let ids = ENCODERS[at].encode(&text).expect("encodes");
    assert_eq!(ids, TOKENIZERS[at].encode(&text).expect("encodes"));
    assert_eq!(TOKENIZERS[at].decode(&ids).expect("decodes"), text);
});
