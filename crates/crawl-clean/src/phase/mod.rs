//! The parts of the stage's work: extraction, the join of keys, the decision.

pub(crate) mod decide;
pub(crate) mod extract;
pub(crate) mod join;
pub(crate) mod output;
mod rejected;

/// Phases that can be run by themselves, for array jobs; by name, with a sentence each.
pub(crate) const PHASES: &[(&str, &str)] = &[
    ("extract", "read, clean and filter this worker's input files"),
    ("join", "find who held a key first, in this worker's ranges of keys; all workers must have extracted"),
    ("decide", "drop duplicates and write this worker's shards; all workers must have joined. Afterwards one run without --phase sums up"),
];

/// What is to be done in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All phases, by this process alone.
    All,
    /// Extraction of this worker's units.
    Extract,
    /// This worker's ranges of keys.
    Join,
    /// Decision on this worker's units.
    Decide,
}

impl Phase {
    /// The phase asked for; unknown names are refused on the command line.
    pub(crate) fn of(name: Option<&str>) -> Self {
        match name {
            Some("extract") => Self::Extract,
            Some("join") => Self::Join,
            Some("decide") => Self::Decide,
            _ => Self::All,
        }
    }
}
