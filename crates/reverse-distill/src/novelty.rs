//! Duplicate, near-duplicate and contradicted questions; the first in ingest order stays.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::candidate::Candidate;
use crate::similar::{content_key, differ_in_function_words_only, question_units, rouge_l};

/// Most questions with the same answer that a new one is compared with by ROUGE-L.
const MAX_COMPARED: usize = 256;

/// What was decided about a candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// The same question with the same answer is there.
    Duplicate,
    /// Nearly the same question with the same answer is there; its similarity.
    NearDuplicate(f64),
    /// The question is there with another answer, or more documents answer it otherwise; that answer.
    Outvoted(String),
    /// As many documents answer it one way as another; no answer is kept.
    Contested,
}

/// Questions of all units so far.
#[derive(Debug, Default)]
pub struct Novelty {
    /// Normalised question to normalised answer; `None` if it is contested.
    answers: HashMap<String, Option<String>>,
    contents: HashSet<(String, String)>,
    by_answer: HashMap<String, Vec<Vec<String>>>,
}

/// What is compared of an answer: normal form without an article.
pub fn answer_key(answer: &str) -> String {
    let folded = corpus::normalize(answer);
    let bare = folded.strip_prefix("the ").or_else(|| folded.strip_prefix("a ")).or_else(|| folded.strip_prefix("an ")).unwrap_or(&folded);
    bare.to_owned()
}

/// True if one answer holds the other, word for word: "Danube" and "River Danube".
fn compatible(a: &str, b: &str) -> bool {
    let padded = |s: &str| format!(" {s} ");
    a == b || (!a.is_empty() && !b.is_empty() && (padded(a).contains(&padded(b)) || padded(b).contains(&padded(a))))
}

impl Novelty {
    /// Enters a pair that was kept in an earlier unit.
    pub fn enter(&mut self, question: &str, answer: &str) {
        let answer = answer_key(answer);
        self.contents.insert((content_key(question), answer.clone()));
        let same = self.by_answer.entry(answer.clone()).or_default();
        if same.len() < MAX_COMPARED {
            same.push(question_units(question));
        }
        self.answers.insert(corpus::normalize(question), Some(answer));
    }

    /// Enters a question that an earlier unit found contested.
    pub fn enter_contested(&mut self, question: &str) {
        self.answers.insert(corpus::normalize(question), None);
    }

    /// Decides about the candidates of one unit, in their order, and enters what stays.
    pub fn judge(&mut self, candidates: &[Candidate], near: bool, max_similarity: f64) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Keep; candidates.len()];
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut first: HashMap<String, usize> = HashMap::new();
        for (i, candidate) in candidates.iter().enumerate() {
            let leader = *first.entry(corpus::normalize(&candidate.question)).or_insert(i);
            groups.entry(leader).or_default().push(i);
        }
        for (leader, members) in groups {
            match self.answers.get(&corpus::normalize(&candidates[leader].question)).cloned() {
                Some(None) => members.iter().for_each(|&i| verdicts[i] = Verdict::Contested),
                Some(Some(known)) => {
                    for &i in &members {
                        verdicts[i] = if compatible(&answer_key(&candidates[i].answer), &known) {
                            Verdict::Duplicate
                        } else {
                            Verdict::Outvoted(known.clone())
                        };
                    }
                }
                None => self.judge_group(candidates, &members, near, max_similarity, &mut verdicts),
            }
        }
        verdicts
    }

    /// Decides about candidates that ask one question nobody asked before.
    fn judge_group(&mut self, candidates: &[Candidate], members: &[usize], near: bool, max_similarity: f64, verdicts: &mut [Verdict]) {
        // Answers that hold one another are one; each document has one vote for each.
        let mut clusters: Vec<(Vec<usize>, BTreeSet<&str>)> = Vec::new();
        for &i in members {
            let key = answer_key(&candidates[i].answer);
            let place = clusters.iter().position(|(c, _)| c.iter().any(|&j| compatible(&answer_key(&candidates[j].answer), &key)));
            let at = place.unwrap_or_else(|| {
                clusters.push(Default::default());
                clusters.len() - 1
            });
            clusters[at].0.push(i);
            clusters[at].1.insert(&candidates[i].document_id);
        }
        let most = clusters.iter().map(|c| c.1.len()).max().unwrap_or(0);
        let winners: Vec<usize> = (0..clusters.len()).filter(|&c| clusters[c].1.len() == most).collect();
        let [winner] = winners[..] else {
            members.iter().for_each(|&i| verdicts[i] = Verdict::Contested);
            self.enter_contested(&candidates[members[0]].question);
            return;
        };
        // Within the cluster the answer given most often, and of those the earliest.
        let count = |key: &str| clusters[winner].0.iter().filter(|&&j| answer_key(&candidates[j].answer) == key).count();
        let mut kept = clusters[winner].0[0];
        for &i in &clusters[winner].0 {
            if count(&answer_key(&candidates[i].answer)) > count(&answer_key(&candidates[kept].answer)) {
                kept = i;
            }
        }
        let answer = answer_key(&candidates[kept].answer);
        for (c, (cluster, _)) in clusters.iter().enumerate() {
            for &i in cluster {
                verdicts[i] = if c == winner { Verdict::Duplicate } else { Verdict::Outvoted(answer.clone()) };
            }
        }
        let question = &candidates[kept].question;
        verdicts[kept] = match self.nearest(question, &answer, near, max_similarity) {
            Some(similarity) => Verdict::NearDuplicate(similarity),
            None => {
                self.enter(question, &candidates[kept].answer);
                Verdict::Keep
            }
        };
    }

    /// The similarity to an earlier question with the same answer, if it counts as the same question.
    fn nearest(&self, question: &str, answer: &str, near: bool, max_similarity: f64) -> Option<f64> {
        let units = question_units(question);
        let same = self.by_answer.get(answer)?;
        if near && self.contents.contains(&(content_key(question), answer.to_owned())) {
            return Some(same.iter().map(|other| rouge_l(&units, other)).fold(0.0, f64::max));
        }
        if max_similarity >= 1.0 {
            return None;
        }
        same.iter()
            .map(|other| (rouge_l(&units, other), other))
            .find(|(s, other)| *s >= max_similarity && differ_in_function_words_only(&units, other))
            .map(|(s, _)| s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(novelty: &mut Novelty, rows: &[(&str, &str, &str)]) -> Vec<Verdict> {
        let candidates: Vec<Candidate> =
            rows.iter().map(|(document, question, answer)| Candidate::for_tests(document, question, answer)).collect();
        novelty.judge(&candidates, true, 0.9)
    }

    #[test]
    fn the_first_of_alike_stays() {
        let mut novelty = Novelty::default();
        let got = judge(
            &mut novelty,
            &[
                ("1", "What is the capital of Peru?", "Lima"),
                ("2", "what is the capital of Peru", "Lima."),
                ("3", "What is Peru's capital?", "Lima"),
                ("3", "What is the capital of Chile?", "Santiago"),
            ],
        );
        assert!(matches!(got[..], [Verdict::Keep, Verdict::Duplicate, Verdict::NearDuplicate(_), Verdict::Keep]), "{got:?}");
        let later = judge(
            &mut novelty,
            &[
                ("9", "What is the capital of Peru?", "Lima"),
                ("9", "What is the capital of Chile?", "Lima"),
                ("9", "秘鲁的首都是哪里？", "利马"),
                ("9", "秘鲁首都在哪里？", "利马"),
            ],
        );
        assert_eq!(later[0], Verdict::Duplicate);
        assert_eq!(later[1], Verdict::Outvoted("santiago".into()));
        assert_eq!(later[2], Verdict::Keep);
        assert!(matches!(later[3], Verdict::NearDuplicate(_)));
    }

    #[test]
    fn contradictions_go_to_the_majority_or_to_nobody() {
        let mut novelty = Novelty::default();
        let q = "What is the longest river in X?";
        let got = judge(&mut novelty, &[("1", q, "Danube"), ("2", q, "Elbe"), ("3", q, "River Danube")]);
        assert_eq!(got, [Verdict::Keep, Verdict::Outvoted("danube".into()), Verdict::Duplicate]);
        let tie = [("1", "How high is Y?", "100 m"), ("2", "How high is Y?", "200 m")];
        assert_eq!(judge(&mut novelty, &tie), [Verdict::Contested, Verdict::Contested]);
        assert_eq!(judge(&mut novelty, &tie[..1]), [Verdict::Contested], "and it stays contested");
        let again = [("1", "How old is Z?", "7"), ("1", "How old is Z?", "7"), ("2", "How old is Z?", "8")];
        assert_eq!(judge(&mut novelty, &again), [Verdict::Contested, Verdict::Contested, Verdict::Contested], "one document has one vote");
    }

    #[test]
    fn other_subjects_with_the_same_answer_are_other_questions() {
        let mut novelty = Novelty::default();
        let got = judge(
            &mut novelty,
            &[
                ("1", "What is the currency of France?", "euro"),
                ("2", "What is the currency of Spain?", "euro"),
                ("3", "法国的货币是什么？", "欧元"),
                ("4", "德国的货币是什么？", "欧元"),
            ],
        );
        assert!(got.iter().all(|v| *v == Verdict::Keep), "{got:?}");
    }
}
