//! When two questions are the same question: by their content words, and by ROUGE-L.

use corpus::UnitKind;

/// English words that carry no content in a question.
const FUNCTION_WORDS: &[&str] = &[
    "what", "whats", "which", "who", "whos", "where", "when", "how", "is", "are", "was", "were", "do", "does", "did", "the", "a", "an",
    "of", "in", "on", "for", "to", "by", "at", "from", "s", "its", "name", "called", "known", "as", "city", "there", "it", "has", "have",
    "be", "been", "that", "please", "tell", "me",
];

/// Characters of Chinese questions that carry no content.
const FUNCTION_CHARS: &str = "的是在哪里裡儿什么麼个座条个位于呢吗嗎了叫做为為名称作谁誰请问請問有多少";

/// What a question asks, without function words and without order; equal keys ask the same.
pub fn content_key(question: &str) -> String {
    let folded = corpus::normalize(&question.replace("'s ", " ").replace("’s ", " "));
    let mut words: Vec<&str> = Vec::new();
    let mut han = String::new();
    for unit in corpus::units(&folded) {
        match unit.kind {
            UnitKind::Cjk if unit.text.chars().all(|c| FUNCTION_CHARS.contains(c)) => {}
            UnitKind::Cjk => han.push_str(unit.text),
            _ if !FUNCTION_WORDS.contains(&unit.text) => words.push(unit.text),
            _ => {}
        }
    }
    // Order is kept in Chinese, where it tells compounds apart; English question words move.
    words.sort_unstable();
    if !han.is_empty() {
        words.push(&han);
    }
    words.join(" ")
}

/// ROUGE-L F-measure over units (words, or single characters of Chinese): 2·LCS / (|a| + |b|) (Lin, 2004, with equal weights).
pub fn rouge_l(a: &[String], b: &[String]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    2.0 * lcs(a, b).len() as f64 / (a.len() + b.len()) as f64
}

/// The units of a question for [`rouge_l`].
pub fn question_units(question: &str) -> Vec<String> {
    let folded = corpus::normalize(question);
    corpus::units(&folded).map(|u| u.text.to_owned()).collect()
}

/// True if what two questions do not share is function words alone, so that they cannot differ in a name or a number.
pub fn differ_in_function_words_only(a: &[String], b: &[String]) -> bool {
    let common = lcs(a, b);
    let in_a: Vec<usize> = common.iter().map(|p| p.0).collect();
    let in_b: Vec<usize> = common.iter().map(|p| p.1).collect();
    let empty = |word: &String| FUNCTION_WORDS.contains(&word.as_str()) || word.chars().all(|c| FUNCTION_CHARS.contains(c));
    let left = a.iter().enumerate().filter(|(i, _)| !in_a.contains(i)).all(|(_, w)| empty(w));
    left && b.iter().enumerate().filter(|(i, _)| !in_b.contains(i)).all(|(_, w)| empty(w))
}

/// Index pairs of a longest common subsequence.
fn lcs(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let mut table = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i][j] = if a[i] == b[j] { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            out.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if table[i + 1][j] >= table[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_keys() {
        let same = [
            ("What is the capital of France?", "What is France's capital city?"),
            ("法国的首都是哪里？", "法国首都在哪里"),
            ("金的化学符号是什么？", "金的化学符号叫什么？"),
        ];
        for (a, b) in same {
            assert_eq!(content_key(a), content_key(b));
        }
        let different = [
            ("What is the capital of Niger?", "What is the capital of Nigeria?"),
            ("法国的首都是哪里？", "德国的首都是哪里？"),
            ("How high is Mount Fuji?", "How old is Mount Fuji?"),
        ];
        for (a, b) in different {
            assert_ne!(content_key(a), content_key(b));
        }
    }

    #[test]
    fn rouge_l_works_on_chinese_too() {
        let u = question_units;
        assert_eq!(rouge_l(&u("法国的首都是哪里？"), &u("法国的首都是哪里")), 1.0);
        assert!((rouge_l(&u("a b c d"), &u("a x c d")) - 0.75).abs() < 1e-9);
        assert_eq!(rouge_l(&u(""), &u("a")), 0.0);
        assert!(differ_in_function_words_only(&u("What is the capital of France"), &u("what's the name of the capital of France")));
        assert!(!differ_in_function_words_only(&u("What is the currency of France"), &u("What is the currency of Spain")));
        assert!(!differ_in_function_words_only(&u("法国的货币是什么"), &u("德国的货币是什么")));
    }
}
