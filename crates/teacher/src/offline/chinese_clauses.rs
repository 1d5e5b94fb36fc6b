//! Chinese clauses: where they begin, what a sentence is about, and which sentence goes on about it without naming it.

use super::chinese::{is_subject, key, keys, longest, phrase_end, quantity, single, spells};
use super::chinese_names::looks_named;
use super::chinese_words::*;
use super::pattern::Kind;
use super::sentence::Topic;
use super::token::{Token, TokenKind};

/// Where a clause begins: at the start, behind a mark, and behind phrases that say nothing.
pub(crate) fn clause_starts(tokens: &[Token<'_>]) -> Vec<bool> {
    let mut starts: Vec<bool> = (0..tokens.len())
        .map(|i| {
            i == 0
                || (tokens[i - 1].kind == TokenKind::Mark
                    && matches!(&*tokens[i - 1].key, "," | ";" | ":" | "“" | "「" | "(" | "。" | "——" | "—"))
        })
        .collect();
    for i in 0..tokens.len() {
        if starts[i]
            && let Some(lead) = longest(tokens, i, LEADS)
            && let Some(next) = starts.get_mut(i + lead.chars().count())
        {
            *next = true;
        }
    }
    starts
}

/// Verbs behind a sentence's subject.
const VERBS: &[&str] = &[
    "是", "位于", "地处", "属于", "有", "坐落", "使用", "以", "处于", "横跨", "的", "又称", "又名", "简称", "成立", "建于", "在", ",",
    "拥有", "海拔", "全长",
];

/// What a sentence is about: the phrase before its first verb.
pub(crate) fn topic<'a>(tokens: &[Token<'a>]) -> Option<Topic<'a>> {
    let mut from = 0;
    while let Some(lead) = longest(tokens, from, LEADS) {
        from += lead.chars().count() + usize::from(key(tokens, from + lead.chars().count()) == ",");
    }
    let end = phrase_end(tokens, from);
    let to = (from + 1..=end).find(|&to| {
        let inside = tokens.get(to).is_some_and(|t| t.inside) && longest(tokens, to, VERBS).is_some_and(|v| v.chars().count() == 1);
        is_subject(tokens, from, to)
            && !inside
            && longest(tokens, to, VERBS).is_some()
            && (to - from > 1 || tokens[from].kind == TokenKind::Han)
    })?;
    // "香港开埠以后，…" is a time, and a phrase before a comma may be a whole clause.
    if key(tokens, to) == "以" && matches!(key(tokens, to + 1), "后" | "前" | "来" | "及" | "内" | "外" | "上" | "下") {
        return None;
    }
    if key(tokens, to) == "," && !(goes_on(tokens, to + 1) && (to - from <= 6 || looks_named(&keys(tokens, from, to)))) {
        return None;
    }
    // "法国的首都是巴黎" is about France, "法国的第二家公司…" is not.
    let of = key(tokens, to) == "的";
    if of && key(tokens, to + 1) != "最" && !SURE.iter().any(|w| spells(tokens, to + 1, w)) {
        return None;
    }
    let clause = (to..tokens.len()).find(|&i| tokens[i].kind == TokenKind::Mark).unwrap_or(tokens.len());
    let relative = key(tokens, to) == "是" && (to + 1..clause).any(|i| is_attribute(tokens, i));
    Some(Topic { tokens: tokens[from..to].to_vec(), relative })
}

/// True if an attribute that places have is at `at`: of "X是Y的首都" either may be meant by what follows.
fn is_attribute(tokens: &[Token<'_>], at: usize) -> bool {
    key(tokens, at) == "最" || OF_PLACES.iter().any(|w| spells(tokens, at, w))
}

/// Words that stand for the topic.
const PRONOUNS: &[&str] = &[
    "它",
    "该国",
    "这个国家",
    "该元素",
    "这种元素",
    "该山",
    "这座山",
    "该河",
    "这条河",
    "这颗行星",
    "该行星",
    "这座城市",
    "该市",
    "这种金属",
    "该岛",
];

/// The tokens with the pronoun, or the missing subject, at the head of a clause replaced by the topic.
pub(crate) fn resolve<'a>(tokens: &[Token<'a>], before: Option<&Topic<'a>>) -> Option<Vec<Token<'a>>> {
    let own = topic(tokens);
    let starts = clause_starts(tokens);
    let first_pronoun = longest(tokens, 0, PRONOUNS).is_some() || key(tokens, 0) == "其";
    // "X的首都是…" goes on about X's other attributes, and about nothing else.
    let owner = own.as_ref().is_some_and(|t| spells(tokens, t.tokens.len(), "的"));
    let de = |token: &Token<'a>| Token { text: "的", key: "的".into(), kind: TokenKind::Han, ..token.clone() };
    let mut out = Vec::with_capacity(tokens.len() + 8);
    let mut changed = false;
    let mut i = 0;
    // False once a clause had a subject of its own.
    let mut chain = true;
    while i < tokens.len() {
        if starts[i] && i > 0 && own.as_ref().is_some_and(|t| i > t.tokens.len()) {
            chain &= goes_on(tokens, i);
        }
        let referent = if i == 0 { before } else { own.as_ref().or(before.filter(|_| first_pronoun)) };
        if let (true, Some(topic)) = (starts[i], referent) {
            let own_topic = i > 0 && own.is_some();
            let word = longest(tokens, i, PRONOUNS);
            let its = key(tokens, i) == "其" && !spells(tokens, i, "其中");
            let attribute =
                i + word.map_or(usize::from(its), |w| w.chars().count()) + usize::from(word.is_some_and(|_| owner_mark(tokens, i)));
            let of_place = is_attribute(tokens, attribute);
            let sure = SURE.iter().any(|w| spells(tokens, i, w));
            let about_owner = own_topic && owner;
            // Either of two things may be meant, or the owner where only the subject fits.
            let unsure = if about_owner { !(of_place || sure) } else { topic.relative && of_place };
            if !unsure {
                if let Some(word) = word {
                    out.extend(topic.tokens.iter().cloned());
                    changed = true;
                    i += word.chars().count();
                    continue;
                }
                if its {
                    out.extend(topic.tokens.iter().cloned());
                    out.push(de(&tokens[i]));
                    changed = true;
                    i += 1;
                    continue;
                }
                if sure || key(tokens, i) == "最" {
                    out.extend(topic.tokens.iter().cloned());
                    if sure {
                        out.push(de(&tokens[i]));
                    }
                    changed = true;
                } else if i > 0 && chain && drops_subject(tokens, i) {
                    out.extend(topic.tokens.iter().cloned());
                    changed = true;
                }
            }
        }
        out.push(tokens[i].clone());
        i += 1;
    }
    changed.then_some(out)
}

/// True if the pronoun at `at` is followed by "的".
fn owner_mark(tokens: &[Token<'_>], at: usize) -> bool {
    longest(tokens, at, PRONOUNS).is_some_and(|w| key(tokens, at + w.chars().count()) == "的")
}

/// True if the clause at `at` has no subject of its own, as far as its first characters tell.
fn goes_on(tokens: &[Token<'_>], at: usize) -> bool {
    const FIRST: &str =
        "也亦并又现原古旧曾别东西南北与由因隶属为在于自以从面人全总海坐简横其它是位地成建始使有沸发注流汇最毗邻近约俗号字正呈共拥分及";
    drops_subject(tokens, at) || tokens.get(at).and_then(single).is_some_and(|c| FIRST.contains(c))
}

/// True if a clause without subject begins at `at`: it goes on about the topic.
fn drops_subject(tokens: &[Token<'_>], at: usize) -> bool {
    let verbs = [
        "位于",
        "地处",
        "海拔",
        "全长",
        "成立于",
        "建于",
        "始建于",
        "使用",
        "有",
        "属于",
        "沸点",
        "面积",
        "又称",
        "又名",
        "简称",
        "发源于",
        "注入",
        "流入",
        "最终注入",
        "最后注入",
        "最终流入",
        "汇入",
    ];
    key(tokens, at) == "是"
        || longest(tokens, at, &verbs).is_some()
        || (matches!(key(tokens, at), "高" | "长") && quantity(tokens, at + 1, Kind::Length).is_some())
}
