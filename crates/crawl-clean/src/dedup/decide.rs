//! What becomes of a document, from who held its keys first.

use super::join::{Edge, Member, Place};
use super::runs::OpenRun;
use super::{Kind, jaccard, kind, number};
use crate::error::Error;
use crate::reason::{Reason, Rejection};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// Files of keys that are held open at a time.
const MOST_OPEN: usize = 200;

/// What was found on one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It repeats an earlier one, whose id is the rejection's detail.
    Drop(Rejection),
    /// It is kept, but for these lines and runs, by number, that earlier documents hold.
    Keep {
        /// Lines.
        lines: Vec<usize>,
        /// First units of runs.
        spans: Vec<usize>,
        /// First units of sentences.
        sentences: Vec<usize>,
    },
}

/// Decides on documents of any unit.
#[derive(Debug)]
pub struct Judge<'a> {
    members: HashMap<u32, &'a Member>,
    /// Files that were looked into last.
    open: RefCell<HashMap<u32, OpenRun<'a>>>,
    /// Least similarity of a near duplicate; 0 to go by the bands alone.
    verify_jaccard: f64,
}

impl<'a> Judge<'a> {
    /// A judge that looks documents up in `members`.
    #[must_use]
    pub fn new(members: &'a [Member], verify_jaccard: f64) -> Self {
        Self { open: RefCell::default(), members: members.iter().map(|member| (member.unit, member)).collect(), verify_jaccard }
    }

    /// Decides on the documents of a unit with these edges; a document without any is kept whole.
    ///
    /// # Errors
    /// If documents cannot be looked up.
    pub fn unit(&self, edges: &[Edge]) -> Result<HashMap<u32, Decision>, Error> {
        let by_document = edges.chunk_by(|a, b| a.later == b.later);
        by_document.map(|edges| Ok((edges[0].later.row, self.document(edges)?))).collect()
    }

    fn document(&self, edges: &[Edge]) -> Result<Decision, Error> {
        let later = edges[0].later;
        let of = |wanted: Kind| edges.iter().filter(move |edge| kind(edge.tag) == Some(wanted));
        let own = self.find(later)?;
        for edge in of(Kind::Exact) {
            let (id, text) = self.find(edge.first)?;
            // Keys are 64 bits, which two of many thousand million texts may share; digests are 128.
            if text == own.1 {
                return Ok(Decision::Drop(Rejection::new(Reason::DuplicateExact).with_detail(hex(id))));
            }
        }
        if let Some(edge) = of(Kind::Url).next() {
            return Ok(Decision::Drop(Rejection::new(Reason::DuplicateUrl).with_detail(hex(self.find(edge.first)?.0))));
        }
        if let Some(rejection) = self.near(later, of(Kind::Band))? {
            return Ok(Decision::Drop(rejection));
        }
        let numbers = |wanted: Kind| of(wanted).map(|edge| number(edge.tag)).collect();
        Ok(Decision::Keep { lines: numbers(Kind::Line), spans: numbers(Kind::Span), sentences: numbers(Kind::Sentence) })
    }

    /// The earliest of the documents that first held a band, if it is similar enough.
    fn near<'e>(&self, later: Place, bands: impl Iterator<Item = &'e Edge>) -> Result<Option<Rejection>, Error> {
        let mut holders: BTreeMap<Place, u32> = BTreeMap::new();
        bands.for_each(|edge| *holders.entry(edge.first).or_default() += 1);
        let reject = |value, threshold, first| -> Result<_, Error> {
            Ok(Some(Rejection::measured(Reason::DuplicateNear, value, threshold).with_detail(hex(self.find(first)?.0))))
        };
        if self.verify_jaccard <= 0.0 {
            let Some((&first, _)) = holders.first_key_value() else { return Ok(None) };
            return reject(f64::from(holders.values().sum::<u32>()), 1.0, first);
        }
        let own = self.look(later, OpenRun::sketch)?;
        for &first in holders.keys() {
            let similarity = jaccard(&own, &self.look(first, OpenRun::sketch)?);
            if similarity >= self.verify_jaccard {
                return reject(similarity, self.verify_jaccard, first);
            }
        }
        Ok(None)
    }

    fn find(&self, place: Place) -> Result<([u8; 16], [u8; 16]), Error> {
        self.look(place, OpenRun::document)
    }

    fn look<T>(&self, place: Place, get: impl Fn(&OpenRun<'a>, u32) -> Result<T, Error>) -> Result<T, Error> {
        let mut open = self.open.borrow_mut();
        if !open.contains_key(&place.unit) {
            if open.len() >= MOST_OPEN {
                open.clear();
            }
            let member = self.members.get(&place.unit).copied().ok_or(Error::NotJoined)?;
            open.insert(place.unit, member.run.documents_by_row()?);
        }
        open.get(&place.unit).map_or(Err(Error::NotJoined), |run| get(run, place.row))
    }
}

fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use crate::dedup::join::join;
    use crate::dedup::runs::{PREFIXES, Run, RunWriter};
    use crate::dedup::{Signature, jaccard};
    use corpus::MinHasher;
    use handoff::Digest;

    fn long(change: &str) -> String {
        (0..200).map(|i| if i == 100 { change.to_owned() } else { format!("word{}", i * 37 % 101) }).collect::<Vec<_>>().join(" ")
    }

    /// Reasons and keepers for texts with addresses, each a document of one unit.
    fn decide(verify_jaccard: f64, documents: &[(&str, &str)]) -> Vec<Option<(Reason, usize, Option<f64>)>> {
        let dir = tempfile::tempdir().unwrap();
        let mut config = defaults().dedup;
        (config.urls, config.verify_jaccard) = (true, verify_jaccard);
        let shape = config.shape();
        let hasher = MinHasher::new(shape.bands, shape.rows, 1);
        let (path, basis) = (dir.path().join("0.bin"), Digest::of_bytes(b"x"));
        let id = |n: usize| Digest::of_bytes(&n.to_le_bytes()).to_string();
        let mut writer = RunWriter::default();
        for (n, (url, text)) in documents.iter().enumerate() {
            writer.push(&id(n), &Signature::of(text, url, &hasher, &config)).unwrap();
        }
        writer.finish(&path, basis).unwrap();
        let members = [Member { unit: 0, run: Run::open(&path, basis).unwrap().unwrap() }];
        let decisions = Judge::new(&members, verify_jaccard).unit(&join(&members, (0, PREFIXES), 0, 0).unwrap()).unwrap();
        let one = |n: usize| match decisions.get(&(n as u32)) {
            Some(Decision::Drop(rejection)) => {
                let keeper = (0..documents.len()).find(|&n| rejection.detail.as_deref() == Some(id(n).as_str()));
                Some((rejection.reason, keeper.unwrap(), rejection.value))
            }
            _ => None,
        };
        (0..documents.len()).map(one).collect()
    }

    #[test]
    fn exact_before_address_before_near() {
        let (x, y, shouted) = (long("x"), long("y"), long("X!").to_uppercase());
        let got = decide(
            0.0,
            &[
                ("a.example", &x),
                ("b.example", &shouted),
                ("http://www.a.example/", "short"),
                ("c.example", &y),
                ("d.example", "other one"),
            ],
        );
        assert_eq!(got[0], None);
        assert_eq!(got[1], Some((Reason::DuplicateExact, 0, None)));
        assert_eq!(got[2], Some((Reason::DuplicateUrl, 0, None)));
        assert_eq!(got[3].map(|(reason, keeper, _)| (reason, keeper)), Some((Reason::DuplicateNear, 0)));
        assert_eq!(got[4], None);
    }

    #[test]
    fn short_texts_equal_only_their_like() {
        let texts = ["one two", "one three", "巴黎", "北京", "☀☀ →", "?!", "♥♥", "?!", " ☀☀\n→ "];
        let documents: Vec<(&str, &str)> = texts.iter().map(|text| ("", *text)).collect();
        let got: Vec<bool> = decide(0.0, &documents).iter().map(Option::is_some).collect();
        assert_eq!(got, [false, false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn similarity_is_verified() {
        // One word of 200 changes 5 shingles of 101 different ones, more or less.
        let (x, y) = (long("x"), long("y"));
        let config = crate::config::DedupConfig { verify_jaccard: 0.5, ..defaults().dedup };
        let hasher = MinHasher::new(14, 8, 1);
        let sketch = |text: &str| Signature::of(text, "", &hasher, &config).sketch;
        let truth = jaccard(&sketch(&x), &sketch(&y));
        assert!((0.85..0.99).contains(&truth), "{truth}");
        let documents = [("", x.as_str()), ("", y.as_str())];
        assert_eq!(decide(truth - 0.01, &documents)[1], Some((Reason::DuplicateNear, 0, Some(truth))));
        assert_eq!(decide(truth + 0.005, &documents)[1], None);
    }
}
