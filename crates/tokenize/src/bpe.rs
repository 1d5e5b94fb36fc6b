//! Learning the merges of byte-pair encoding (Sennrich et al. 2016, over bytes as in GPT-2).
//!
//! The result depends on the counts of the pieces alone: the most frequent pair is merged first, and among equally frequent ones
//! the pair of smaller ids, left before right. Ids are given in the order of creation, so this is a total order, and neither
//! threads nor hash seeds can change it. (The trainer of the tokenizers library, in 0.22, keeps several queue entries for a pair
//! that arises again later, each with its own positions, and which one is taken first depends on the hash seed.)

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Two neighbouring token ids.
type Pair = (u32, u32);

/// Limits on what is merged.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tokens in all, the alphabet and `first_id` included.
    pub vocab_size: usize,
    /// Least count of a merged pair.
    pub min_frequency: u64,
    /// Longest token in bytes.
    pub max_token_bytes: usize,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// Bytes of every token: the 256 bytes in the order of `alphabet`, then one for each merge that made a new token.
    /// The token at index `i` has id `first_id + i`.
    pub tokens: Vec<Vec<u8>>,
    /// Pairs in the order in which they are merged.
    pub merges: Vec<Pair>,
}

/// A pair in the queue; greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    count: u64,
    pair: Pair,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.count.cmp(&other.count).then_with(|| other.pair.cmp(&self.pair))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Word {
    ids: Vec<u32>,
    count: u64,
}

/// Learns merges from pieces of text and their counts.
///
/// `alphabet` holds every byte once; its order gives the first 256 ids, from `first_id` on (special tokens come before).
pub fn learn(pieces: &HashMap<Vec<u8>, u64>, alphabet: &[u8; 256], first_id: u32, limits: Limits) -> Learned {
    let mut learner = Learner::new(pieces, alphabet, first_id, limits.max_token_bytes);
    while first_id as usize + learner.tokens.len() < limits.vocab_size {
        let Some(pair) = learner.most_frequent(limits.min_frequency.max(1)) else {
            break;
        };
        learner.merge(pair);
    }
    Learned { tokens: learner.tokens, merges: learner.merges }
}

struct Learner {
    first_id: u32,
    max_token_bytes: usize,
    tokens: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    merges: Vec<Pair>,
    merged: HashMap<Pair, u32>,
    words: Vec<Word>,
    counts: HashMap<Pair, u64>,
    /// Words in which a pair has ever stood; some may have lost it since.
    places: HashMap<Pair, Vec<u32>>,
    queue: BinaryHeap<Candidate>,
}

impl Learner {
    fn new(pieces: &HashMap<Vec<u8>, u64>, alphabet: &[u8; 256], first_id: u32, max_token_bytes: usize) -> Self {
        let mut id_of_byte = [0; 256];
        for (index, byte) in alphabet.iter().enumerate() {
            id_of_byte[*byte as usize] = first_id + index as u32;
        }
        // The order of the words decides nothing, but a sorted one makes every run walk memory alike.
        let mut sorted: Vec<(&Vec<u8>, &u64)> = pieces.iter().filter(|(piece, _)| piece.len() > 1).collect();
        sorted.sort_unstable();
        let words = sorted
            .into_iter()
            .map(|(piece, count)| Word { ids: piece.iter().map(|byte| id_of_byte[*byte as usize]).collect(), count: *count })
            .collect();
        let tokens: Vec<Vec<u8>> = alphabet.iter().map(|byte| vec![*byte]).collect();
        let ids = tokens.iter().cloned().zip(first_id..).collect();
        let mut learner = Self {
            first_id,
            max_token_bytes,
            tokens,
            ids,
            merges: Vec::new(),
            merged: HashMap::new(),
            words,
            counts: HashMap::new(),
            places: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for index in 0..learner.words.len() {
            let word = &learner.words[index];
            for pair in pairs(&word.ids) {
                *learner.counts.entry(pair).or_default() += word.count;
                note_place(&mut learner.places, pair, index as u32);
            }
        }
        learner.queue = learner.counts.iter().map(|(pair, count)| Candidate { count: *count, pair: *pair }).collect();
        learner
    }

    fn bytes(&self, id: u32) -> &[u8] {
        &self.tokens[(id - self.first_id) as usize]
    }

    /// The most frequent pair that may be merged, taken out of the queue.
    fn most_frequent(&mut self, min_frequency: u64) -> Option<Pair> {
        while let Some(top) = self.queue.pop() {
            let count = self.counts.get(&top.pair).copied().unwrap_or(0);
            if count < min_frequency {
                continue;
            }
            if count != top.count {
                // Entries are only renewed when a count rises; one that is too high goes back with what is left.
                if count < top.count {
                    self.queue.push(Candidate { count, pair: top.pair });
                }
                continue;
            }
            if self.bytes(top.pair.0).len() + self.bytes(top.pair.1).len() > self.max_token_bytes {
                continue;
            }
            return Some(top.pair);
        }
        None
    }

    /// Merges `pair` wherever it stands.
    fn merge(&mut self, pair: Pair) {
        let new_id = self.id_of_merge(pair);
        let mut places = self.places.remove(&pair).unwrap_or_default();
        places.sort_unstable();
        places.dedup();
        let mut raised = Vec::new();
        for place in places {
            let word = &mut self.words[place as usize];
            if !pairs(&word.ids).any(|p| p == pair) {
                continue;
            }
            let before: Vec<Pair> = pairs(&word.ids).collect();
            replace(&mut word.ids, pair, new_id);
            for old in before {
                if let Some(count) = self.counts.get_mut(&old) {
                    *count -= word.count;
                }
            }
            for new in pairs(&word.ids) {
                *self.counts.entry(new).or_default() += word.count;
                if new.0 == new_id || new.1 == new_id {
                    note_place(&mut self.places, new, place);
                    raised.push(new);
                }
            }
        }
        if self.counts.get(&pair) == Some(&0) {
            self.counts.remove(&pair);
        }
        raised.sort_unstable();
        raised.dedup();
        for pair in raised {
            let count = self.counts.get(&pair).copied().unwrap_or(0);
            self.queue.push(Candidate { count, pair });
        }
    }

    /// The id of the merged token. Two pairs may spell the same token; then both merges lead to one id. A pair that was merged
    /// before and stands somewhere again (its halves were made later by other merges) is not listed twice.
    fn id_of_merge(&mut self, pair: Pair) -> u32 {
        if let Some(id) = self.merged.get(&pair) {
            return *id;
        }
        let bytes = [self.bytes(pair.0), self.bytes(pair.1)].concat();
        let next = self.first_id + self.tokens.len() as u32;
        let id = *self.ids.entry(bytes.clone()).or_insert(next);
        if id == next {
            self.tokens.push(bytes);
        }
        self.merges.push(pair);
        self.merged.insert(pair, id);
        id
    }
}

fn pairs(ids: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    ids.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Adds a word to a pair's places; words come in ascending order, so a repeat within one word is the last entry.
fn note_place(places: &mut HashMap<Pair, Vec<u32>>, pair: Pair, word: u32) {
    let list = places.entry(pair).or_default();
    if list.last() != Some(&word) {
        list.push(word);
    }
}

/// Replaces every occurrence of `pair`, from the left, by `new_id`.
fn replace(ids: &mut Vec<u32>, pair: Pair, new_id: u32) {
    let mut to = 0;
    let mut from = 0;
    while from < ids.len() {
        if from + 1 < ids.len() && (ids[from], ids[from + 1]) == pair {
            ids[to] = new_id;
            from += 2;
        } else {
            ids[to] = ids[from];
            from += 1;
        }
        to += 1;
    }
    ids.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alphabet() -> [u8; 256] {
        std::array::from_fn(|i| i as u8)
    }

    fn learned(pieces: &[(&str, u64)], vocab_size: usize) -> Vec<String> {
        let pieces = pieces.iter().map(|(piece, count)| (piece.as_bytes().to_vec(), *count)).collect();
        let limits = Limits { vocab_size, min_frequency: 2, max_token_bytes: 8 };
        let learned = learn(&pieces, &alphabet(), 0, limits);
        learned.tokens[256..].iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect()
    }

    #[test]
    fn frequent_pairs_come_first() {
        assert_eq!(learned(&[("low", 5), ("lower", 2), ("newest", 6)], 260), ["we", "lo", "ewe", "newe"]);
    }

    #[test]
    fn ties_go_to_the_smaller_ids() {
        assert_eq!(learned(&[("zy", 3), ("ab", 3), ("ac", 3)], 258), ["ab", "ac"]);
    }

    #[test]
    fn rare_pairs_and_long_tokens_are_left_alone() {
        assert_eq!(learned(&[("xy", 1)], 300), Vec::<String>::new());
        let tokens = learned(&[("aaaaaaaaaaaaaaaaaaaa", 9)], 300);
        assert!(tokens.iter().all(|t| t.len() <= 8), "{tokens:?}");
        assert!(tokens.contains(&"aaaaaaaa".to_string()));
    }

    #[test]
    fn runs_of_one_letter_count_their_overlapping_pairs_and_merge_from_the_left() {
        let mut ids = vec![1, 1, 1];
        replace(&mut ids, (1, 1), 2);
        assert_eq!(ids, [2, 1]);
    }

    #[test]
    fn counts_stay_true_to_the_words() {
        let pieces: HashMap<Vec<u8>, u64> =
            [("banana", 4), ("bandana", 3), ("nab", 7), ("aaa", 5), ("anan", 2)].iter().map(|(p, c)| (p.as_bytes().to_vec(), *c)).collect();
        let mut learner = Learner::new(&pieces, &alphabet(), 0, 8);
        while let Some(pair) = learner.most_frequent(2) {
            learner.merge(pair);
            let mut expected: HashMap<Pair, u64> = HashMap::new();
            for word in &learner.words {
                for pair in pairs(&word.ids) {
                    *expected.entry(pair).or_default() += word.count;
                }
            }
            learner.counts.retain(|_, count| *count > 0);
            assert_eq!(learner.counts, expected);
        }
        assert!(learner.words.iter().all(|word| word.ids.len() == 1), "every repeated word ends as one token");
    }
}
