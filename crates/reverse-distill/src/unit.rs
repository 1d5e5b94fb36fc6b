//! One unit of work: from the replies about one shard's documents to the pairs that stay.

use std::collections::{BTreeMap, HashMap};

use handoff::DigestBuilder;
use rayon::prelude::*;
use teacher::Outcome;

use crate::candidate::{Candidate, Document, Refusal, check_language, check_shape, ground};
use crate::config::{Config, TeacherKind};
use crate::heldout::HeldOut;
use crate::novelty::{Novelty, Verdict};
use crate::rows::RefusedRow;

/// What one unit comes to.
#[derive(Debug, Default)]
pub struct Sifted {
    /// Pairs that stay, in document order.
    pub kept: Vec<Candidate>,
    /// What was refused, in document order.
    pub refused: Vec<RefusedRow>,
    /// Counts for the manifest.
    pub counts: BTreeMap<String, u64>,
}

/// Position of a document in the lottery: a hash of seed and id.
pub fn ticket(seed: u64, id: &str) -> u64 {
    let digest = DigestBuilder::new().field("seed", seed.to_le_bytes()).field("document", id).finish();
    u64::from_le_bytes(std::array::from_fn(|i| digest.as_bytes()[i]))
}

/// Chooses documents: those whose ticket is within the share, of them at most `left` with the smallest tickets; order is kept.
pub fn choose(documents: Vec<Document>, seed: u64, share: f64, left: Option<u64>) -> Vec<Document> {
    let limit = (share * u64::MAX as f64) as u64;
    let mut chosen: Vec<(u64, usize)> =
        documents.iter().enumerate().map(|(i, d)| (ticket(seed, &d.id), i)).filter(|(t, _)| share >= 1.0 || *t < limit).collect();
    if let Some(left) = left {
        chosen.sort_unstable();
        chosen.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    }
    let mut keep = vec![false; documents.len()];
    chosen.iter().for_each(|&(_, i)| keep[i] = true);
    documents.into_iter().zip(keep).filter_map(|(d, k)| k.then_some(d)).collect()
}

/// A document's pairs after the checks that look at one pair alone.
fn examine(
    document: &Document,
    key: &str,
    outcome: &Outcome,
    config: &Config,
    heldout: &HeldOut,
    rule: &str,
) -> (Vec<Candidate>, Vec<RefusedRow>) {
    let (mut passed, mut refused) = (Vec::new(), Vec::new());
    let whole = |refusal: Refusal, raw: Option<String>| RefusedRow {
        id: document.id.clone(),
        url: document.url.clone(),
        document_id: document.id.clone(),
        refusal,
        text: raw,
    };
    let reply = match outcome {
        Outcome::Done(reply) => reply,
        Outcome::Quarantined { reason, raw } => {
            return (passed, vec![whole(Refusal::explained("malformed_reply", reason.clone()), raw.clone())]);
        }
        Outcome::Failed(_) => return (passed, refused),
    };
    let pairs = match teacher::parse_pairs(&reply.content) {
        Ok(pairs) => pairs,
        Err(problem) => return (passed, vec![whole(Refusal::explained("malformed_reply", problem), Some(reply.content.clone()))]),
    };
    for (i, pair) in pairs.iter().enumerate() {
        let mut candidate = Candidate {
            document_id: document.id.clone(),
            url: document.url.clone(),
            language: document.language.clone(),
            question: pair.question.trim().to_owned(),
            answer: pair.answer.trim().to_owned(),
            rule: pair.rule.clone().unwrap_or_else(|| rule.to_owned()),
            span: pair.span,
            request_id: key.to_owned(),
        };
        let verdict = (|| {
            if i >= config.max_pairs_per_document {
                return Err(Refusal::measured("too_many_of_document", (i + 1) as f64, config.max_pairs_per_document as f64));
            }
            check_shape(pair, config)?;
            if config.check_language {
                check_language(pair, &document.language)?;
            }
            candidate.span = match ground(pair, &document.text) {
                Ok(span) => span,
                Err(refusal) if config.check_grounding => return Err(refusal),
                Err(_) => None,
            };
            match heldout.check(&candidate.question, &candidate.answer) {
                Some((kind, met)) => Err(Refusal::explained(kind.reason(), met)),
                None => Ok(()),
            }
        })();
        match verdict {
            Ok(()) => passed.push(candidate),
            Err(refusal) => refused.push(row(&candidate, config.teacher, refusal)),
        }
    }
    (passed, refused)
}

fn row(candidate: &Candidate, teacher: TeacherKind, refusal: Refusal) -> RefusedRow {
    let text = serde_json::json!({ "question": candidate.question, "answer": candidate.answer, "rule": candidate.rule }).to_string();
    RefusedRow {
        id: candidate.id(teacher.name()),
        url: candidate.url.clone(),
        document_id: candidate.document_id.clone(),
        refusal,
        text: Some(text),
    }
}

/// Sifts the replies about a unit's documents; `novelty` knows the units before and learns what stays.
///
/// The result depends on the arguments alone, not on the number of threads.
pub fn sift(
    documents: &[Document],
    replies: &[(String, Outcome)],
    config: &Config,
    heldout: &HeldOut,
    novelty: &mut Novelty,
    seed: u64,
    prompt: &str,
) -> Sifted {
    let examined: Vec<(Vec<Candidate>, Vec<RefusedRow>)> = documents
        .par_iter()
        .zip(replies)
        .map(|(document, (key, outcome))| examine(document, key, outcome, config, heldout, prompt))
        .collect();
    let mut out = Sifted::default();
    let mut candidates = Vec::new();
    for (passed, refused) in examined {
        candidates.extend(passed);
        out.refused.extend(refused);
    }
    let count = |counts: &mut BTreeMap<String, u64>, name: &str| *counts.entry(name.to_owned()).or_insert(0) += 1;
    let asked = candidates.len() + out.refused.len();
    let verdicts = novelty.judge(&candidates, config.drop_near_duplicates, config.max_similarity);
    let mut kept = Vec::new();
    for (candidate, verdict) in candidates.into_iter().zip(verdicts) {
        let refusal = match verdict {
            Verdict::Keep => {
                kept.push(candidate);
                continue;
            }
            Verdict::Duplicate => Refusal::new("duplicate_question"),
            Verdict::NearDuplicate(similarity) => Refusal::measured("near_duplicate_question", similarity, config.max_similarity),
            Verdict::Outvoted(answer) => Refusal::explained("contradicted_answer", answer),
            Verdict::Contested => Refusal::new(crate::CONTESTED),
        };
        out.refused.push(row(&candidate, config.teacher, refusal));
    }
    let over = over_share(&kept, config.max_definition_share, seed);
    for (i, candidate) in kept.into_iter().enumerate() {
        if over.contains_key(&i) {
            out.refused.push(row(
                &candidate,
                config.teacher,
                Refusal::measured("too_many_definitions", over[&i], config.max_definition_share),
            ));
        } else {
            out.kept.push(candidate);
        }
    }
    let order: HashMap<&str, usize> = documents.iter().enumerate().map(|(i, d)| (d.id.as_str(), i)).collect();
    out.refused.sort_by_key(|r| order.get(r.document_id.as_str()).copied());
    out.counts.insert("pairs_drawn".into(), asked as u64);
    out.counts.insert("documents_asked".into(), documents.len() as u64);
    out.refused.iter().for_each(|r| count(&mut out.counts, &format!("rejected_{}", r.refusal.reason)));
    out.kept.iter().for_each(|c| count(&mut out.counts, &format!("rule_{}", c.rule)));
    out
}

/// True for a rule whose answer is a definition.
fn is_definition(candidate: &Candidate) -> bool {
    candidate.rule.ends_with("-definition")
}

/// The definitions beyond their share, by position, with the share they would make; those with the greatest tickets go.
fn over_share(kept: &[Candidate], share: f64, seed: u64) -> HashMap<usize, f64> {
    let mut definitions: Vec<(u64, usize)> =
        kept.iter().enumerate().filter(|(_, c)| is_definition(c)).map(|(i, c)| (ticket(seed, &c.id("")), i)).collect();
    let others = kept.len() - definitions.len();
    let allowed = if share >= 1.0 { definitions.len() } else { (share / (1.0 - share) * others as f64).floor() as usize };
    definitions.sort_unstable();
    let measured = definitions.len() as f64 / kept.len().max(1) as f64;
    definitions.into_iter().skip(allowed).map(|(_, i)| (i, measured)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(i: usize) -> Document {
        Document { id: format!("{i:032x}"), url: String::new(), text: String::new(), language: "en".into() }
    }

    #[test]
    fn the_lottery_is_fair_and_keeps_order() {
        let all: Vec<Document> = (0..1000).map(document).collect();
        let half = choose(all.clone(), 1, 0.5, None);
        assert!((430..570).contains(&half.len()), "{}", half.len());
        assert!(half.windows(2).all(|w| w[0].id < w[1].id));
        let ten = choose(all.clone(), 1, 0.5, Some(10));
        assert_eq!(ten.len(), 10);
        assert!(ten.iter().all(|d| half.iter().any(|h| h.id == d.id)), "a cap takes from the same half");
        assert_ne!(
            choose(all.clone(), 2, 0.5, Some(10)).iter().map(|d| &d.id).collect::<Vec<_>>(),
            ten.iter().map(|d| &d.id).collect::<Vec<_>>()
        );
        assert_eq!(choose(all, 1, 1.0, None).len(), 1000);
    }

    #[test]
    fn definitions_keep_to_their_share() {
        let make = |i: usize| Candidate {
            rule: if i.is_multiple_of(2) { "en-definition".into() } else { "en-relation".into() },
            ..Candidate::for_tests(&i.to_string(), "q", "a")
        };
        let kept: Vec<Candidate> = (0..40).map(make).collect();
        let over = over_share(&kept, 0.2, 7);
        assert_eq!(over.len(), 15, "20 others allow 5 definitions");
        assert!(over.keys().all(|i| i % 2 == 0));
        assert!(over_share(&kept, 1.0, 7).is_empty());
        assert_eq!(over_share(&kept, 0.0, 7).len(), 20);
    }
}
