//! For tests: work that must grow in proportion to its input.

use std::time::{Duration, Instant};

/// What `work` gives, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (work(), started.elapsed())
}

/// Fails where an input of size `many` takes more than `most` times as long as one of size `few`, and `slack_ms` more. `time` makes an
/// input and times the work on it alone.
pub(crate) fn in_proportion(time: impl Fn(usize) -> Duration, (few, many): (usize, usize), (most, slack_ms): (u32, u64)) {
    time(few);
    let (short, long) = (time(few), time(many));
    assert!(long < short * most + Duration::from_millis(slack_ms), "{few}: {short:?}, {many}: {long:?}");
}
