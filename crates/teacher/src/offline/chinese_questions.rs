//! Chinese questions from what a rule captured, in the script of the document.

use std::ops::Range;

use super::Match;
use super::chinese::{is_subject, keys};
use super::chinese_names::{is_common, is_named};
use super::chinese_words::*;
use super::pattern::Span;
use super::token::{Token, TokenKind};
use super::variants::is_traditional;

/// The question and the answer's bytes, or nothing if the match does not make a plain question.
pub(crate) fn ask(m: &Match<'_>) -> Option<(String, Range<usize>)> {
    let span = m.captures.get('V')?;
    let answer = m.bytes(span)?;
    let question = match m.ask {
        "relation" => relation(m, span)?,
        "superlative" => superlative(m, span)?,
        "symbol" => symbol(m, span)?,
        "definition" => definition(m)?,
        "continent" => return continent(m, answer),
        "height" => {
            let above_sea = m.tokens[m.covered.clone()].windows(2).any(|w| &*w[0].key == "海" && &*w[1].key == "拔");
            format!("{}{}", subject(m)?, if above_sea { "的海拔是多少？" } else { "有多高？" })
        }
        "where" => located(m, span)?,
        template => fill(m, template)?,
    };
    let key = keys(m.tokens, span.from, span.to);
    let unfit = match m.name {
        // "1788年赫顿出版其著作" says when he did so.
        "zh-begun" => span.to < m.covered.end && m.tokens.get(m.covered.end).is_some_and(|t| t.kind != TokenKind::Mark),
        "zh-currency" => !ends_with_any(&key, CURRENCIES),
        "zh-flows-into" | "zh-tributary" => is_common(&key) || !flows(m, &key),
        "zh-rises-in" | "zh-where" | "zh-capital" => is_common(&key) || key.starts_with('第'),
        "zh-author" => m.slot('Y').is_some_and(|y| !y.starts_with('《')),
        // "有一个好国王" tells a story and counts nothing.
        "zh-count" if matches!(key.as_str(), "一" | "1") => true,
        "zh-count" => m.captures.get('N').is_some_and(|n| ends_with_any(&keys(m.tokens, n.from, n.to), VAGUE_COUNTED)),
        "zh-alias" | "zh-short" | "zh-made-who" | "zh-named-after" => is_common(&key) || ends_with_any(&key, CLASS_ENDS),
        _ => false,
    };
    if unfit {
        return None;
    }
    let text = m.text.get(answer.clone())?;
    let y = m.slot('Y')?;
    if text.contains(y) && m.ask != "definition" || y.contains(text) || text.chars().count() > 36 || text.trim() != text {
        return None;
    }
    Some((in_script(m, &question), answer))
}

/// Question words in traditional characters if the sentence is written in them.
fn in_script(m: &Match<'_>, question: &str) -> String {
    let traditional = m.tokens.iter().any(|t| t.kind == TokenKind::Han && t.text.chars().all(is_traditional));
    if !traditional {
        return question.to_owned();
    }
    const WORDS: &[(&str, &str)] = &[
        ("什么", "什麼"),
        ("哪里", "哪裡"),
        ("谁", "誰"),
        ("语言", "語言"),
        ("货币", "貨幣"),
        ("说什", "說什"),
        ("绕太阳一周需要多长时间", "繞太陽一周需要多長時間"),
        ("化学符号", "化學符號"),
        ("符号", "符號"),
        ("国际单位", "國際單位"),
        ("单位", "單位"),
        ("发现", "發現"),
        ("发明", "發明"),
        ("创立", "創立"),
        ("创办", "創辦"),
        ("创建", "創建"),
        ("设计", "設計"),
        ("简称", "簡稱"),
        ("又称", "又稱"),
        ("有多长", "有多長"),
        ("原子序数", "原子序數"),
        ("沸点", "沸點"),
        ("熔点", "熔點"),
        ("于哪一年", "於哪一年"),
        ("发源于", "發源於"),
        ("位于", "位於"),
        ("人口", "人口"),
        ("面积", "面積"),
        ("个", "個"),
        ("发行", "發行"),
        ("独立", "獨立"),
        ("诞生", "誕生"),
        ("开通", "開通"),
        ("爆发", "爆發"),
        ("灭亡", "滅亡"),
        ("颁布", "頒布"),
        ("开幕", "開幕"),
        ("执导", "執導"),
        ("撰写", "撰寫"),
        ("编写", "編寫"),
        ("用来测量", "用來測量"),
        ("哪条河", "哪條河"),
        ("启用", "啟用"),
        ("通车", "通車"),
        ("开业", "開業"),
        ("来", "來"),
        ("创作", "創作"),
        ("自转周期", "自轉週期"),
        ("等于", "等於"),
        ("官方语", "官方語"),
    ];
    // Only what the template added may change; the spans are the document's own words and hold no simplified form.
    WORDS.iter().fold(question.to_owned(), |q, (simple, full)| q.replace(simple, full))
}

/// The subject as a question writes it: without "元素" and the like.
fn subject(m: &Match<'_>) -> Option<String> {
    let mut span = m.captures.get('Y')?;
    if keys(m.tokens, span.from, span.to).starts_with('《') {
        return m.slot('Y').map(str::to_owned);
    }
    let text = keys(m.tokens, span.from, span.to);
    if let Some(start) = CLASS_STARTS.iter().find(|s| text.starts_with(**s) && text.len() > s.len()) {
        span.from += start.chars().count();
    }
    let text = keys(m.tokens, span.from, span.to);
    if let Some(end) = CLASS_ENDS.iter().find(|s| text.ends_with(**s) && text.len() > s.len()) {
        span.to -= end.chars().count();
    }
    let text = keys(m.tokens, span.from, span.to);
    // A long phrase that the document does not use again is rarely a name.
    let long = span.to - span.from > 8 && m.slot('Y').is_some_and(|y| !y.contains(['·', '・', '-', '《']) && m.text.matches(y).count() < 2);
    if long || !is_subject(m.tokens, span.from, span.to) || GENERIC.contains(&text.as_str()) {
        return None;
    }
    if m.tokens[span.from..span.to].iter().any(|t| t.kind == TokenKind::Number) && text.chars().count() > 8 {
        return None;
    }
    let code = text.len() <= 3 && text.chars().all(|c| c.is_ascii_alphabetic());
    let written = m.text.get(m.bytes(span)?)?.trim();
    let shown = matches!(m.name, "zh-born" | "zh-born-in" | "zh-english" | "zh-measures");
    if code && matches!(m.ask, "relation" | "superlative") || !shown && !is_named(&text, written, m.text) {
        return None;
    }
    Some(written.to_owned())
}

/// Puts captures into a template.
fn fill(m: &Match<'_>, template: &str) -> Option<String> {
    let mut out = String::with_capacity(template.len() + 24);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let close = rest[open..].find('}')? + open;
        match &rest[open + 1..close] {
            "Y" if m.name == "zh-units" => {
                let unit = |name| m.captures.get(name).map(|s| keys(m.tokens, s.from, s.to));
                if ![unit('Y')?, unit('N')?].iter().all(|u| MEASURE_UNITS.contains(&u.as_str())) {
                    return None;
                }
                out.push_str(m.slot('Y')?);
            }
            "Y" => out.push_str(&subject(m)?),
            "G" => out.push('一'),
            slot => out.push_str(m.slot(slot.chars().next()?)?),
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    Some(out)
}

fn ends_with_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|w| text.ends_with(w))
}

fn is_quantity(tokens: &[Token<'_>], span: Span) -> bool {
    let first = &tokens[span.from];
    first.kind == TokenKind::Number
        || (first.kind == TokenKind::Han
            && span.to > span.from + 1
            && keys(tokens, span.from, span.from + 1).chars().all(|c| DIGITS.contains(c)))
}

/// "Y的X是什么？", "是哪里？", "是谁？", "是多少？"
fn relation(m: &Match<'_>, value: Span) -> Option<String> {
    let x_span = m.captures.get('X')?;
    let key = keys(m.tokens, x_span.from, x_span.to);
    let x = m.slot('X')?;
    let y = subject(m)?;
    let quantity = is_quantity(m.tokens, value);
    let measured = ends_with_any(&key, MEASURES) || (quantity && ends_with_any(&key, &["代码", "代号", "区号"]));
    if measured != quantity || key.ends_with("符号") {
        return None;
    }
    let good = SURE.contains(&key.as_str()) || [PLACES, PERSONS, MEASURES, RELATIONS].iter().any(|list| ends_with_any(&key, list));
    if !good {
        return None;
    }
    let named = m.tokens[value.from..value.to].iter().all(|t| t.kind != TokenKind::Number);
    let v = keys(m.tokens, value.from, value.to);
    let sure = SURE.contains(&key.as_str());
    if !quantity && (!named || (!sure && (v.chars().count() > 10 || v.chars().count() < 2))) {
        return None;
    }
    // "首都尼阿美": without a copula the value has to be a name.
    let adjacent = value.from == x_span.to;
    let money = ends_with_any(&key, &["货币", "通货"]);
    if adjacent && !quantity {
        let named = is_named(&v, &m.text[m.bytes(value)?], m.text) || ends_with_any(&key, PLACES) || key.ends_with("称");
        if is_common(&v) || v.starts_with(['称', '之', '及', '中', '里']) || !named || (money && !ends_with_any(&v, CURRENCIES)) {
            return None;
        }
    }
    if ["人", "物", "者", "方", "法", "性", "事", "话", "时", "度"].contains(&v.as_str()) {
        return None;
    }
    if measured {
        match key.as_str() {
            "全长" | "总长" | "长度" | "总长度" => return Some(format!("{y}有多长？")),
            "高度" => return Some(format!("{y}有多高？")),
            _ => {}
        }
        return Some(format!("{y}的{x}是多少？"));
    }
    let wh = if ends_with_any(&key, PLACES) {
        "哪里"
    } else if ends_with_any(&key, PERSONS) {
        "谁"
    } else {
        "什么"
    };
    let x = match key.as_str() {
        "法定货币" | "官方货币" | "通用货币" | "流通货币" | "货币单位" => {
            if x.contains('幣') {
                "貨幣"
            } else {
                "货币"
            }
        }
        "国都" | "都城" => "首都",
        "第一高峰" => "最高峰",
        "最高山" | "最高山峰" => "最高的山",
        "第一大河" | "最大城市" => x,
        "第一长河" | "最长河流" => {
            if x.contains('長') {
                "最長的河"
            } else {
                "最长的河"
            }
        }
        _ => x,
    };
    if x == "最高峰" || x.starts_with('最') {
        return Some(format!("{y}{}是{}？", if x == "最高峰" { "的最高峰" } else { x }, if x.ends_with("城市") { "哪里" } else { "什么" }));
    }
    Some(format!("{y}的{x}是{wh}？"))
}

/// "Y最高的山是什么？"
fn superlative(m: &Match<'_>, value: Span) -> Option<String> {
    let y = subject(m)?;
    let x_span = m.captures.get('X')?;
    let key = keys(m.tokens, x_span.from, x_span.to);
    let v = keys(m.tokens, value.from, value.to);
    let place_like = is_named(&v, &m.text[m.bytes(value)?], m.text) || v.chars().count() > 2;
    let counted = m.tokens[value.from..value.to].iter().any(|t| t.kind == TokenKind::Number);
    if is_common(&v)
        || !place_like
        || counted
        || is_quantity(m.tokens, value)
        || v.chars().count() < 2
        || v.chars().count() > 14
        || key.chars().count() < 3
    {
        return None;
    }
    let x = m.slot('X')?;
    let x = match key.as_str() {
        "最高的山峰" | "最高的高山" | "最高山" | "最高山峰" | "第一高山" => "最高的山".to_owned(),
        "最长的河流" | "最长的江河" | "最长河流" | "最长河" => {
            if x.contains('長') {
                "最長的河".to_owned()
            } else {
                "最长的河".to_owned()
            }
        }
        "最高峰" => return Some(format!("{y}的最高峰是什么？")),
        _ => x.to_owned(),
    };
    let wh = if ends_with_any(&key, &["城市", "国家", "都市", "地方", "地区", "港口", "省", "市", "县"]) {
        "哪里"
    } else if ends_with_any(&key, PERSONS)
        || key.ends_with('人')
        || (key.ends_with('家') && !ends_with_any(&key, &["国家", "世家", "商家"]))
    {
        "谁"
    } else {
        "什么"
    };
    Some(format!("{y}{x}是{wh}？"))
}

/// True if a river, or something that runs into a water, is spoken of.
fn flows(m: &Match<'_>, into: &str) -> bool {
    const RIVERS: &[&str] = &["河", "江", "溪", "川", "水", "渠", "运河", "涧"];
    const WATERS: &[&str] = &["海", "洋", "湖", "湾", "河", "江", "海峡", "泊", "潟湖"];
    let named = m.captures.get('Y').is_some_and(|s| ends_with_any(&keys(m.tokens, s.from, s.to), RIVERS));
    named || ends_with_any(into, WATERS)
}

fn symbol(m: &Match<'_>, value: Span) -> Option<String> {
    let y = subject(m)?;
    let v = m.tokens[value.from].text;
    let chemical = {
        let mut chars = v.chars();
        chars.next().is_some_and(char::is_uppercase) && chars.all(|c| c.is_ascii_lowercase()) && v.len() <= 2
    };
    let text = keys(m.tokens, 0, m.tokens.len());
    let element = chemical && (text.contains("元素") || text.contains("化学") || y.chars().count() == 1);
    if y.chars().count() == 1 && !chemical || m.name == "zh-symbol-bracket" && !(element && y.chars().count() <= 2) {
        return None;
    }
    Some(format!("{y}的{}是什么？", if element { "化学符号" } else { "符号" }))
}

fn definition(m: &Match<'_>) -> Option<String> {
    let y = subject(m)?;
    let span = m.captures.get('V')?;
    let text = keys(m.tokens, span.from, span.to);
    let person = text.contains(['位', '名']) && text.chars().nth(1).is_some_and(|c| matches!(c, '位' | '名'));
    Some(if person { format!("{y}是谁？") } else { format!("{y}是什么？") })
}

/// Bytes of a continent's name at the start or the end of a place: "欧洲西部" is in 欧洲.
fn continent(m: &Match<'_>, answer: Range<usize>) -> Option<(String, Range<usize>)> {
    let place = &m.text[answer.clone()];
    let y = subject(m)?;
    if matches!(y.as_str(), "领土" | "全境") {
        return None;
    }
    for name in CONTINENTS {
        let short = matches!(*name, "北美" | "南美");
        let rest = place.strip_prefix(name).or_else(|| place.strip_suffix(name));
        let Some(rest) = rest else { continue };
        if short && !rest.is_empty() {
            continue;
        }
        let direction = rest.chars().count() <= 4 && rest.chars().all(|c| "东西南北中部东北西偏大陆東的内陆洲".contains(c));
        if rest.is_empty() || direction {
            let start = if place.starts_with(name) { answer.start } else { answer.end - name.len() };
            return Some((in_script(m, &format!("{y}位于哪个洲？")), start..start + name.len()));
        }
    }
    None
}

fn located(m: &Match<'_>, value: Span) -> Option<String> {
    let v = keys(m.tokens, value.from, value.to);
    if CONTINENTS.iter().any(|c| v.starts_with(c)) || v.chars().count() < 2 {
        return None;
    }
    Some(format!("{}位于哪里？", subject(m)?))
}
