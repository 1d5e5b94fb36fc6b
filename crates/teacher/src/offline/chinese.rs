//! The Chinese grammar of captures: phrases by characters that cannot be in them, quantities, dates, symbols.
//!
//! Chinese is written without spaces, so a phrase is taken as long as no character ends it, and the pattern's next word
//! decides where it is cut. Keys are simplified, so one rule serves both scripts.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::chinese_names::{is_common, is_known};
use super::chinese_words::*;
use super::pattern::{Grammar, Kind, Span};
use super::token::{Token, TokenKind};

/// Chinese.
pub(crate) struct Chinese;

static HARD_SET: LazyLock<HashSet<char>> = LazyLock::new(|| HARD.chars().collect());
static SOFT_SET: LazyLock<HashSet<char>> = LazyLock::new(|| SOFT.chars().collect());

static SOFT_WORDS: LazyLock<HashMap<char, Vec<&str>>> = LazyLock::new(|| {
    let mut words: HashMap<char, Vec<&str>> = HashMap::new();
    for word in WITH_SOFT {
        words.entry(word.chars().next().unwrap_or(' ')).or_default().push(word);
    }
    words
});

/// The keys of a span as one string.
pub(crate) fn keys(tokens: &[Token<'_>], from: usize, to: usize) -> String {
    tokens[from.min(tokens.len())..to.min(tokens.len())].iter().map(|t| &*t.key).collect()
}

pub(super) fn key<'t>(tokens: &'t [Token<'_>], at: usize) -> &'t str {
    tokens.get(at).map_or("", |t| &*t.key)
}

/// True if the tokens from `at` spell `word`.
pub(crate) fn spells(tokens: &[Token<'_>], at: usize, word: &str) -> bool {
    let mut i = at;
    let mut rest = word;
    while !rest.is_empty() {
        let Some(token) = tokens.get(i) else { return false };
        let Some(tail) = rest.strip_prefix(&*token.key) else { return false };
        rest = tail;
        i += 1;
    }
    true
}

pub(super) fn longest<'w>(tokens: &[Token<'_>], at: usize, words: &[&'w str]) -> Option<&'w str> {
    words.iter().copied().filter(|w| spells(tokens, at, w)).max_by_key(|w| w.chars().count())
}

pub(super) fn single(token: &Token<'_>) -> Option<char> {
    (token.kind == TokenKind::Han).then(|| token.key.chars().next()).flatten()
}

/// For each token, whether it is a soft character inside of a word that may hold it.
fn sheltered(tokens: &[Token<'_>], from: usize, to: usize) -> Vec<bool> {
    let mut out = vec![false; to - from];
    let low = from.saturating_sub(6);
    for at in low..to {
        let Some(c) = single(&tokens[at]) else { continue };
        for word in SOFT_WORDS.get(&c).into_iter().flatten().filter(|w| spells(tokens, at, w)) {
            for covered in at..at + word.chars().count() {
                if (from..to).contains(&covered) {
                    out[covered - from] = true;
                }
            }
        }
    }
    out
}

/// Longest phrase, in tokens.
const MAX_PHRASE: usize = 16;

/// End of the longest phrase at `at`: letters, digits and characters that neither end a phrase nor stand outside of names.
pub(super) fn phrase_end(tokens: &[Token<'_>], at: usize) -> usize {
    let to = tokens.len().min(at + MAX_PHRASE);
    (at..to).find(|&i| !tokens[i].inside).unwrap_or(to.max(at))
}

/// True if a phrase may be what a question is about.
pub(crate) fn is_subject(tokens: &[Token<'_>], from: usize, to: usize) -> bool {
    let text = keys(tokens, from, to);
    let chars = text.chars().count();
    let one = chars == 1 && !text.chars().all(|c| SINGLE.contains(c));
    let number = tokens[from].kind == TokenKind::Number || (text.chars().all(|c| DIGITS.contains(c)));
    let time = text.ends_with('年') || text.ends_with('月') || text.ends_with("世纪") || text.ends_with("时期") || text.ends_with("时代");
    let cut = chars > 2 && BAD_ENDS.iter().any(|e| text.ends_with(e) && !WITH_SOFT.iter().any(|w| text.ends_with(w)))
        || VERBAL.iter().any(|v| text.contains(v));
    !(chars == 0
        || one
        || cut
        || number
        || time
        || chars > 14
        || GENERIC.contains(&text.as_str())
        || BAD_STARTS
            .iter()
            .any(|s| text.starts_with(s) && text != *s && !WITH_SOFT.iter().any(|w| text.starts_with(w) && w.starts_with(s))))
}

fn subject(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let quoted = matches!(key(tokens, at), "《" | "“" | "「");
    if quoted {
        let close = (at + 1..tokens.len().min(at + 20)).find(|&i| matches!(key(tokens, i), "》" | "”" | "」"));
        if let Some(close) = close {
            out.push(if key(tokens, at) == "《" {
                Span { from: at, to: close + 1, next: close + 1 }
            } else {
                Span { from: at + 1, to: close, next: close + 1 }
            });
        }
        return;
    }
    let end = phrase_end(tokens, at);
    out.extend((at + 1..=end).rev().filter(|&to| is_subject(tokens, at, to)).map(|to| Span { from: at, to, next: to }));
}

fn relation(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let end = phrase_end(tokens, at).min(at + 9);
    for to in (at + 1..=end).rev() {
        let text = keys(tokens, at, to);
        let chars = text.chars().count();
        let latin = tokens[at..to].iter().any(|t| t.kind != TokenKind::Han);
        if (2..=9).contains(&chars)
            && !latin
            && !VAGUE.contains(&text.as_str())
            && !VAGUE.iter().any(|v| v.chars().count() > 1 && text.ends_with(v))
            && !text.starts_with('最')
            && !text.starts_with('第')
        {
            out.push(Span { from: at, to, next: to });
        }
    }
}

/// "最高的山", "第二长的河流", "最高峰", "第一大城市".
fn superlative(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    // "面积最大的国家", "人口最多的城市"
    let property = longest(tokens, at, &["面积", "人口", "海拔", "产量", "销量", "消费量", "流量", "水量", "规模"]);
    let mut i = at + property.map_or(0, |w| w.chars().count());
    if key(tokens, i) == "最" {
        i += 1;
        let adjective = longest(
            tokens,
            i,
            &[
                "古老", "著名", "常见", "重要", "主要", "广泛", "繁忙", "高", "长", "大", "小", "深", "低", "多", "热", "冷", "老", "早",
                "新", "轻", "重", "快", "宽", "硬", "短", "矮", "近", "远",
            ],
        );
        let Some(adjective) = adjective else { return };
        i += adjective.chars().count();
    } else if key(tokens, i) == "第"
        && key(tokens, i + 1).chars().all(|c| DIGITS.contains(c) || c.is_ascii_digit())
        && matches!(key(tokens, i + 2), "高" | "长" | "大" | "深" | "小")
    {
        i += 3;
    } else {
        return;
    }
    i += usize::from(key(tokens, i) == "的");
    let end = phrase_end(tokens, i).min(i + 6);
    for to in (i + 1..=end).rev() {
        let noun = keys(tokens, i, to);
        let clause = VERBAL.iter().any(|v| noun.contains(v)) || noun.ends_with("之一");
        let cut = noun.starts_with(|c: char| DIGITS.contains(c)) || (to > i + 1 && BAD_ENDS.iter().any(|e| noun.ends_with(e)));
        if clause || cut || VAGUE.contains(&noun.as_str()) {
            continue;
        }
        out.push(Span { from: at, to, next: to });
    }
}

/// End of a number at `at`.
fn number_end(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut end = at;
    if tokens.get(end)?.kind == TokenKind::Number {
        end += 1;
        while matches!(key(tokens, end), "万" | "亿" | "千" | "百" | "兆") && !spells(tokens, end, "千米") && !spells(tokens, end, "千克")
        {
            end += 1;
        }
        return Some(range_end(tokens, end));
    }
    if matches!(key(tokens, end), "万" | "亿" | "点") {
        return None;
    }
    if matches!(key(tokens, end), "零下" | "负") {
        end += 1;
    }
    while tokens.get(end).and_then(single).is_some_and(|c| DIGITS.contains(c))
        && !spells(tokens, end, "千米")
        && !spells(tokens, end, "千克")
    {
        end += 1;
    }
    (end > at).then(|| range_end(tokens, end))
}

/// End of what may stand between a number and its unit: "多", or the upper end of a range.
fn range_end(tokens: &[Token<'_>], at: usize) -> usize {
    let number = |i: usize| tokens.get(i).is_some_and(|t| t.kind == TokenKind::Number);
    let mut end = at;
    if matches!(key(tokens, end), "~" | "∼" | "～" | "-" | "–" | "—" | "至" | "到") && number(end + 1) {
        end += 2;
    } else if tokens.get(end).is_some_and(|t| t.kind == TokenKind::Number && t.text.starts_with(['-', '–', '−'])) {
        end += 1;
    }
    while matches!(key(tokens, end), "多" | "余" | "几" | "万" | "亿") {
        end += 1;
    }
    end
}

fn skip_about(tokens: &[Token<'_>], mut at: usize) -> usize {
    while let Some(word) =
        longest(tokens, at, &["大约", "大概", "约为", "约", "为", "达到", "达", "是", "有", "共", "仅", "只", "共有", "即", "高达", "长达"])
    {
        at += word.chars().count();
    }
    at
}

pub(super) fn quantity(tokens: &[Token<'_>], at: usize, want: Kind) -> Option<Span> {
    let from = skip_about(tokens, at);
    let end = number_end(tokens, from)?;
    if matches!(key(tokens, end), "°c" | "℃" | "°f") || (key(tokens, end) == "°" && matches!(key(tokens, end + 1), "c" | "f")) {
        let to = end + if key(tokens, end) == "°" { 2 } else { 1 };
        return matches!(want, Kind::Quantity | Kind::Temperature).then_some(Span { from, to, next: to });
    }
    if let Some(unit) = tokens.get(end).filter(|t| matches!(t.text, "km" | "m" | "cm" | "mm" | "km²" | "kg" | "K")) {
        let fits = match want {
            Kind::Length => unit.text.ends_with('m'),
            Kind::Area => unit.text == "km²",
            Kind::Temperature => unit.text == "K",
            other => other == Kind::Quantity,
        };
        return fits.then_some(Span { from, to: end + 1, next: end + 1 });
    }
    let unit = UNITS.iter().find(|(u, _)| spells(tokens, end, u));
    let measured = match unit.map(|u| u.1) {
        Some('l') => Kind::Length,
        Some('t') => Kind::Temperature,
        Some('d') => Kind::Duration,
        Some('a') => Kind::Area,
        _ => Kind::Quantity,
    };
    let to = end + unit.map_or(0, |u| u.0.chars().count());
    // "26米至31米" is no single value, and a number before an unknown word is not a whole answer.
    let more = matches!(key(tokens, to), "/" | "至" | "到" | "~" | "∼" | "～" | "-" | "–")
        || (unit.is_some() && matches!(key(tokens, to), "多" | "余"));
    let cut = unit.is_none() && tokens.get(to).is_some_and(|t| t.kind == TokenKind::Han);
    (!more && !cut && (want == Kind::Quantity || (unit.is_some() && measured == want))).then_some(Span { from, to, next: to })
}

/// "1949年", "公元前221年", "1949年10月1日".
fn date(tokens: &[Token<'_>], at: usize) -> Option<Span> {
    let mut i = at;
    if spells(tokens, i, "公元前") {
        i += 3;
    } else if spells(tokens, i, "公元") || spells(tokens, i, "西元") {
        i += 2;
    }
    let digits = |i: usize, most: usize| {
        tokens.get(i).is_some_and(|t| t.kind == TokenKind::Number && t.text.len() <= most && t.text.chars().all(|c| c.is_ascii_digit()))
    };
    if digits(i, 4) && key(tokens, i).len() >= 2 {
        i += 1;
    } else {
        let from = i;
        while tokens.get(i).and_then(single).is_some_and(|c| "零〇一二三四五六七八九".contains(c)) {
            i += 1;
        }
        if i - from != 4 {
            return None;
        }
    }
    if key(tokens, i) != "年" || matches!(key(tokens, i + 1), "代" | "间" | "前" | "后" | "来") {
        return None;
    }
    i += 1;
    if digits(i, 2) && key(tokens, i + 1) == "月" {
        i += 2;
        if digits(i, 2) && matches!(key(tokens, i + 1), "日" | "号") {
            i += 2;
        }
    }
    Some(Span { from: at, to: i, next: i })
}

fn symbol(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let quoted = matches!(key(tokens, at), "“" | "「" | "\"" | "‘");
    let from = at + usize::from(quoted);
    let Some(token) = tokens.get(from) else { return };
    if token.kind != TokenKind::Word || token.text.chars().count() > 4 {
        return;
    }
    out.push(Span { from, to: from + 1, next: from + 1 + usize::from(quoted) });
}

/// Measure words that make a phrase a description and not a value.
const COUNTERS: &str = "个座种条位名家款部片本项所支只颗类些次块场间套组对群段";

/// A short answer that runs to the end of its clause.
fn value(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let mut from = at;
    while let Some(word) = longest(
        tokens,
        from,
        &[
            "就",
            "正",
            "即",
            "乃",
            "便",
            "叫做",
            "叫作",
            "名叫",
            "名为",
            "称为",
            "称作",
            "则是",
            "则为",
            "城市",
            "著名的",
            "美丽的",
            "位于",
            "设在",
            "设于",
        ],
    ) {
        if matches!(word, "城市" | "位于" | "设在" | "设于") && spells(tokens, from + word.chars().count(), "的") {
            break;
        }
        if matches!(word, "位于" | "设在" | "设于" | "城市") && word != "城市" {
            break;
        }
        from += word.chars().count();
    }
    if let Some(span) = quantity(tokens, from, Kind::Quantity)
        && span.from == from.max(span.from)
        && Chinese.is_end(tokens, span.next)
        && !keys(tokens, span.from, span.to).starts_with(['年', '一']) | tokens[span.from].kind.eq(&TokenKind::Number)
    {
        out.push(span);
        return;
    }
    if matches!(key(tokens, from), "《" | "“" | "「" | "\"") {
        let close = (from + 1..tokens.len().min(from + 20)).find(|&i| matches!(key(tokens, i), "》" | "”" | "」" | "\""));
        let Some(close) = close else { return };
        let title = key(tokens, from) == "《";
        if Chinese.is_end(tokens, close + 1) && key(tokens, close + 1) != "、" {
            out.push(if title {
                Span { from, to: close + 1, next: close + 1 }
            } else {
                Span { from: from + 1, to: close, next: close + 1 }
            });
        }
        return;
    }
    // "美丽的巴黎": a short description before the name is skipped.
    let clause = (from..tokens.len().min(from + 22)).find(|&i| Chinese.is_end(tokens, i)).unwrap_or(from + 22);
    if let Some(de) = (from..clause.min(tokens.len())).rev().find(|&i| key(tokens, i) == "的") {
        let described = de - from;
        if described > 12 || clause - de <= 2 || keys(tokens, from, de).contains(['是', '有', '不', '最']) {
            return;
        }
        from = de + 1;
    }
    let end = phrase_end(tokens, from);
    if end == from || !Chinese.is_end(tokens, end) || matches!(key(tokens, end), "、" | "和" | "与" | "及" | "或") || end - from > 14 {
        return;
    }
    let text = keys(tokens, from, end);
    let counted = text.starts_with(['一', '两', '几', '数', '多']) && text.chars().nth(1).is_some_and(|c| COUNTERS.contains(c));
    let verbal = [
        "由", "在", "从", "以", "被", "指", "对", "不", "没", "很", "非", "更", "可", "能", "会", "将", "来自", "属于", "为", "十分",
        "相当", "比较", "非常", "越", "如", "要", "让", "使", "必", "无", "已", "处", "成为", "作为", "经", "根据", "通过", "受",
    ]
    .iter()
    .any(|v| text.starts_with(v));
    let late = text.chars().count() > 2
        && BAD_ENDS.iter().any(|e| *e != "间" && *e != "里" && *e != "中" && *e != "多" && text.ends_with(e))
        || VERBAL.iter().any(|v| text.contains(v));
    if counted
        || late
        || (verbal && !WITH_SOFT.iter().any(|w| text.starts_with(w)))
        || VAGUE.contains(&text.as_str())
        || text.ends_with("之一")
        || GENERIC.contains(&text.as_str())
    {
        return;
    }
    out.push(Span { from, to: end, next: end });
}

/// Words that say what a person is, before the name.
const TITLES: &[&str] = &[
    "化学家",
    "物理学家",
    "科学家",
    "天文学家",
    "数学家",
    "作家",
    "诗人",
    "画家",
    "音乐家",
    "作曲家",
    "工程师",
    "探险家",
    "航海家",
    "发明家",
    "建筑师",
    "医生",
    "博士",
    "教授",
    "牧师",
    "学者",
    "哲学家",
    "生物学家",
    "地质学家",
    "药剂师",
    "矿物学家",
    "导演",
    "商人",
    "皇帝",
    "国王",
    "企业家",
    "小说家",
];

/// True if a phrase looks like a person's name: mostly transliteration, or a family name and one to three characters.
fn is_person_name(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let written = chars
        .iter()
        .filter(|c| TRANSLITERATION.contains(**c) || matches!(c, '·' | '・' | '‧' | '•' | '.' | '-') || c.is_ascii_alphabetic())
        .count();
    let transliterated = chars.len() <= 18 && written * 10 >= chars.len() * 8;
    let chinese = (2..=4).contains(&chars.len()) && SURNAMES.contains(chars[0]);
    (transliterated || chinese) && chars.len() >= 2
}

/// A person: a transliterated or Chinese name, behind a nationality and a title or not.
fn person(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let to = phrase_end(tokens, at);
    let mut from = at;
    for i in at..to {
        if let Some(title) = longest(tokens, i, TITLES) {
            from = i + title.chars().count();
        }
    }
    for end in (from + 2..=to).rev() {
        let text = keys(tokens, from, end);
        let verb = text
            .ends_with(['等', '们', '年', '国', '人', '首', '先', '来', '去', '时', '亲', '率', '领', '共', '主', '再', '所', '等', '乃']);
        if is_person_name(&text) && !verb && !is_common(&text) && !is_known(&text) && is_subject(tokens, from, end) {
            out.push(Span { from, to: end, next: end });
        }
    }
}

fn place(tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
    let end = phrase_end(tokens, at);
    if end > at + 1
        && Chinese.is_end(tokens, end)
        && !matches!(key(tokens, end), "、" | "和" | "与" | "及")
        && is_subject(tokens, at, end)
        && end - at <= 14
    {
        out.push(Span { from: at, to: end, next: end });
    }
}

impl Grammar for Chinese {
    fn spans(&self, kind: Kind, tokens: &[Token<'_>], at: usize, out: &mut Vec<Span>) {
        if at >= tokens.len() {
            return;
        }
        match kind {
            Kind::Subject | Kind::Name => subject(tokens, at, out),
            Kind::Place => place(tokens, at, out),
            Kind::Person => person(tokens, at, out),
            Kind::Relation => relation(tokens, at, out),
            Kind::Superlative => superlative(tokens, at, out),
            Kind::Adjective => {
                if key(tokens, at) == "最" && matches!(key(tokens, at + 1), "高" | "长" | "大" | "小" | "深" | "低" | "古") {
                    let to = at + if spells(tokens, at, "最古老") { 3 } else { 2 };
                    out.push(Span { from: at, to, next: to });
                }
            }
            Kind::Sure => {
                let mut words: Vec<&str> = SURE.iter().copied().filter(|w| spells(tokens, at, w)).collect();
                words.sort_by_key(|w| std::cmp::Reverse(w.chars().count()));
                out.extend(words.first().map(|w| at + w.chars().count()).map(|to| Span { from: at, to, next: to }));
            }
            Kind::Value => value(tokens, at, out),
            Kind::Quantity | Kind::Length | Kind::Temperature | Kind::Duration | Kind::Area => out.extend(quantity(tokens, at, kind)),
            Kind::Number => {
                let from = skip_about(tokens, at);
                out.extend(number_end(tokens, from).map(|end| Span { from, to: end, next: end }));
            }
            Kind::Date => out.extend(date(tokens, at)),
            Kind::Symbol => symbol(tokens, at, out),
            Kind::Noun | Kind::Unit | Kind::AUnit => {
                let end = phrase_end(tokens, at).min(at + 6);
                out.extend((at + 1..=end).rev().filter(|&to| tokens[at..to].iter().all(|t| t.kind == TokenKind::Han)).map(|to| Span {
                    from: at,
                    to,
                    next: to,
                }));
            }
            Kind::Measure => {
                let mut words: Vec<&str> = MEASURES.iter().copied().filter(|w| spells(tokens, at, w)).collect();
                words.sort_by_key(|w| std::cmp::Reverse(w.chars().count()));
                out.extend(words.first().map(|w| at + w.chars().count()).map(|to| Span { from: at, to, next: to }));
            }
            Kind::Counted => {
                let end = phrase_end(tokens, at).min(at + 8);
                let listed = matches!(key(tokens, end), "、" | "和" | "与" | "及")
                    || tokens.get(at + 1).and_then(single).is_some_and(|c| DIGITS.contains(c));
                if end > at + 1 && single(&tokens[at]).is_some_and(|c| COUNTERS.contains(c)) && Chinese.is_end(tokens, end) && !listed {
                    out.push(Span { from: at, to: end, next: end });
                }
            }
            Kind::One => {
                if matches!(key(tokens, at), "一" | "1") && !(at > 0 && tokens[at - 1].kind != TokenKind::Mark) {
                    out.push(Span { from: at, to: at + 1, next: at + 1 + usize::from(key(tokens, at + 1) == "个") });
                }
            }
            Kind::Year => {
                if let Some(span) = date(tokens, at)
                    && let Some(year) = (span.from..span.to).find(|&i| key(tokens, i) == "年")
                {
                    out.push(Span { from: span.from, to: year + 1, next: span.to });
                }
            }
            Kind::DateRest => {
                for to in at + 1..=at + 4 {
                    out.push(Span { from: at, to, next: to });
                }
            }
            Kind::Continent => {
                out.extend(longest(tokens, at, CONTINENTS).map(|w| at + w.chars().count()).map(|to| Span { from: at, to, next: to }))
            }
            Kind::Definition => out.extend(definition(tokens, at)),
            Kind::Rest => {
                let end = (at..tokens.len()).find(|&i| tokens[i].kind == TokenKind::Mark).unwrap_or(tokens.len());
                if end > at && end - at <= 12 {
                    out.push(Span { from: at, to: end, next: end });
                }
            }
            Kind::Latin => {
                let mut end = at;
                while tokens.get(end).is_some_and(|t| t.kind == TokenKind::Word || (end > at && matches!(t.text, "'" | "’" | "&" | "-")))
                {
                    end += 1;
                }
                if end > at && tokens[at].text.chars().any(|c| c.is_ascii_alphabetic()) {
                    out.push(Span { from: at, to: end, next: end });
                }
            }
            Kind::Tool | Kind::Units | Kind::Day | Kind::Water | Kind::Code => {}
            Kind::Peak => {
                let mut spans = Vec::new();
                superlative(tokens, at, &mut spans);
                let fits = |s: &Span| {
                    let text = keys(tokens, s.from, s.to);
                    let rest = text.strip_prefix('最').or_else(|| text.strip_prefix('第'));
                    let noun = rest.map(|r| {
                        r.trim_start_matches(|c: char| "高长大深小低古老".contains(c) || DIGITS.contains(c) || c.is_ascii_digit())
                    });
                    noun.is_some_and(|n| PEAK_NOUNS.contains(&n.trim_start_matches('的')))
                };
                out.extend(spans.into_iter().filter(fits));
            }
            Kind::Gap => {
                let end = (at..tokens.len().min(at + 12))
                    .find(|&i| tokens[i].kind == TokenKind::Mark && !matches!(tokens[i].text, "·" | "・" | "-"))
                    .unwrap_or(tokens.len().min(at + 12));
                out.extend((at + 1..=end).map(|to| Span { from: at, to, next: to }));
            }
        }
    }

    fn is_end(&self, tokens: &[Token<'_>], at: usize) -> bool {
        tokens.get(at).is_none_or(|t| t.ends)
    }
}

/// What follows "是" in a definition: "一种…", to the end of the clause.
fn definition(tokens: &[Token<'_>], at: usize) -> Option<Span> {
    let end = (at..tokens.len()).find(|&i| tokens[i].kind == TokenKind::Mark && !matches!(tokens[i].text, "·" | "・" | "-" | "、"))?;
    let text = keys(tokens, at, end);
    let fits = (4..=32).contains(&(end - at))
        && text.starts_with('一')
        && text.chars().nth(1).is_some_and(|c| COUNTERS.contains(c))
        && !text.contains(['它', '他', '她', '这', '该', '了', '被'])
        // "一种通过算法来保护信息" breaks off before its noun.
        && (text.contains('的') || !["通过", "用于", "用来", "基于", "来保", "能够", "可以"].iter().any(|w| text.contains(w)))
        && !PRAISES.iter().any(|w| text.contains(w))
        && !VAGUE_ENDS.iter().any(|e| text.ends_with(e));
    fits.then_some(Span { from: at, to: end, next: end })
}

/// Where the sentence begins to be doubted, negated or spoken by someone.
pub(crate) fn first_doubt(tokens: &[Token<'_>]) -> Option<usize> {
    let text = keys(tokens, 0, tokens.len());
    if !DOUBTS.iter().any(|w| text.contains(w)) {
        return None;
    }
    (0..tokens.len()).find(|&i| DOUBTS.iter().any(|w| spells(tokens, i, w)))
}

/// Marks which tokens may stand inside of a phrase and which end a clause; once for each sentence.
pub(crate) fn prepare(tokens: &mut [Token<'_>]) {
    let safe = sheltered(tokens, 0, tokens.len());
    for i in 0..tokens.len() {
        let token = &tokens[i];
        let inside = match token.kind {
            TokenKind::Mark => matches!(token.text, "·" | "・" | "-" | "•" | "‧"),
            TokenKind::Han => single(token).is_some_and(|c| !HARD_SET.contains(&c) && (!SOFT_SET.contains(&c) || safe[i])),
            _ => true,
        };
        let word = !safe[i] && ["而", "也", "并", "但", "同时", "以及", "因此", "其", "它"].iter().any(|w| spells(tokens, i, w));
        let ends = word || (token.kind == TokenKind::Mark && !matches!(token.text, "·" | "・" | "-" | "•" | "‧" | "%" | "“" | "「" | "《"));
        (tokens[i].inside, tokens[i].ends) = (inside, ends);
    }
}
