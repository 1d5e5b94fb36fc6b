//! Asking many requests: log first, charge first, then send; retries with backoff; nothing is asked twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log::{Event, RequestLog, State};
use crate::{AskError, Budget, Error, Reply, Request, Result, Teacher};

/// When and how often to try again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// First pause; doubles each time.
    pub first_pause: Duration,
    /// Longest pause of our own choosing.
    pub longest_pause: Duration,
    /// Longest pause a server may ask for; beyond it the request fails for this run.
    pub longest_asked: Duration,
}

impl Default for RetryPolicy {
    /// Five retries, pauses of 0.5 s doubling to 8 s, servers' wishes up to 120 s: the reference client's figures, with more retries.
    fn default() -> Self {
        Self {
            max_retries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
            longest_asked: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// The pause before retry number `retry` (from 0): what the server asked for, or ours, between three quarters and all of it by `key`.
    fn pause(&self, retry: u32, asked: Option<Duration>, key: &str) -> Duration {
        if let Some(asked) = asked {
            return asked;
        }
        let full = self.first_pause.saturating_mul(1u32 << retry.min(16)).min(self.longest_pause);
        let byte = blake3::hash(format!("{key}/{retry}").as_bytes()).as_bytes()[0];
        full.mul_f64(0.75 + 0.25 * f64::from(byte) / 255.0)
    }
}

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, now or in an earlier run.
    Done(Reply),
    /// Answered in a way that cannot be used.
    Quarantined {
        /// Why.
        reason: String,
        /// What came.
        raw: Option<String>,
    },
    /// Not answered; another run asks again.
    Failed(String),
}

/// Everything a round of asking needs.
pub struct Session<'a> {
    /// Who is asked.
    pub teacher: &'a dyn Teacher,
    /// Where it is written down.
    pub log: &'a RequestLog,
    /// Who pays.
    pub budget: &'a Budget,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Requests under way at a time.
    pub threads: usize,
    /// True once a clean stop was asked for.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Looks at a reply before it counts as answered; a message sends it to quarantine.
    pub check: &'a (dyn Fn(&Reply) -> std::result::Result<(), String> + Sync),
}

/// What the threads share.
struct Shared {
    next: AtomicUsize,
    stop: AtomicBool,
    error: Mutex<Option<Error>>,
    /// No request is sent before this: a server that is busy for one is busy for all.
    quiet_until: Mutex<Option<Instant>>,
}

impl Session<'_> {
    /// Asks all of `requests`, each with a label; those the log has an answer for are not sent. Outcomes are in order.
    ///
    /// # Errors
    /// The first error that ends the asking: a cap, no quota, a refused key, an interruption, the disk.
    /// Every reply that came in before it is in the log.
    pub fn ask_all(&self, requests: &[(String, Request)]) -> Result<Vec<Outcome>> {
        let endpoint = self.teacher.endpoint();
        let keys: Vec<String> = requests.iter().map(|(_, r)| r.key(endpoint)).collect();
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (i, key) in keys.iter().enumerate() {
            first.entry(key).or_insert(i);
        }
        let mut todo: Vec<usize> = first
            .values()
            .copied()
            .filter(|&i| !matches!(self.log.state(&keys[i]), Some(State::Done(_) | State::Quarantined { .. })))
            .collect();
        todo.sort_unstable();
        let shared =
            Shared { next: AtomicUsize::new(0), stop: AtomicBool::new(false), error: Mutex::new(None), quiet_until: Mutex::new(None) };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, todo.len().max(1)) {
                scope.spawn(|| {
                    while !shared.stop.load(Ordering::SeqCst) {
                        let Some(&i) = todo.get(shared.next.fetch_add(1, Ordering::SeqCst)) else { break };
                        if let Err(error) = self.ask_one(&shared, &keys[i], &requests[i].0, &requests[i].1) {
                            // The error first: whoever sees the stop ends with a plainer one.
                            shared.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                            shared.stop.store(true, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        if let Some(error) = shared.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        Ok(keys.iter().map(|key| self.outcome(key)).collect())
    }

    fn outcome(&self, key: &str) -> Outcome {
        match self.log.state(key) {
            Some(State::Done(reply)) => Outcome::Done(reply),
            Some(State::Quarantined { reason, raw }) => Outcome::Quarantined { reason, raw },
            Some(State::Failed(reason)) => Outcome::Failed(reason),
            Some(State::Planned) | None => Outcome::Failed("not asked".into()),
        }
    }

    fn ask_one(&self, shared: &Shared, key: &str, label: &str, request: &Request) -> Result<()> {
        let endpoint = self.teacher.endpoint().to_owned();
        if self.log.state(key).is_none() {
            self.log.append(Event::Planned { key: key.into(), label: label.into(), endpoint, request: request.clone() })?;
        }
        let reserved = request.most_tokens();
        for attempt in 0.. {
            self.wait(shared)?;
            self.budget.reserve(reserved)?;
            self.log.append(Event::Sent { key: key.into(), reserved_tokens: reserved })?;
            let (reason, after, used, raw) = match self.teacher.ask(request) {
                Ok(reply) => {
                    self.budget.settle(reserved, reply.usage.total());
                    return self.log.append(match (self.check)(&reply) {
                        Ok(()) => Event::Done { key: key.into(), reply, label: None, endpoint: None, request: None, spent: None },
                        Err(reason) => {
                            // What it cost has to be known behind it too.
                            self.log.append(Event::Retry { key: key.into(), reason: reason.clone(), used_tokens: reply.usage.total() })?;
                            quarantined(key, reason, Some(reply.content))
                        }
                    });
                }
                Err(AskError::Fatal(error)) => {
                    self.budget.settle(reserved, 0);
                    self.log.append(Event::Retry { key: key.into(), reason: error.to_string(), used_tokens: 0 })?;
                    return Err(error);
                }
                Err(AskError::Refused { reason, raw, used_tokens, lasting }) => {
                    self.budget.settle(reserved, used_tokens);
                    self.log.append(Event::Retry { key: key.into(), reason: reason.clone(), used_tokens })?;
                    return self.log.append(if lasting {
                        quarantined(key, reason, raw)
                    } else {
                        Event::Failed { key: key.into(), reason }
                    });
                }
                Err(AskError::Retry { reason, after, used_tokens, raw }) => (reason, after, used_tokens.unwrap_or(reserved), raw),
            };
            self.budget.settle(reserved, used);
            self.log.append(Event::Retry { key: key.into(), reason: reason.clone(), used_tokens: used })?;
            let too_long = after.is_some_and(|a| a > self.retry.longest_asked);
            if attempt >= self.retry.max_retries || too_long {
                return self.log.append(match raw {
                    Some(raw) => quarantined(key, reason, Some(raw)),
                    None => Event::Failed { key: key.into(), reason },
                });
            }
            let until = Instant::now() + self.retry.pause(attempt, after, key);
            if after.is_some() {
                let mut quiet = shared.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
                *quiet = Some(quiet.map_or(until, |q| q.max(until)));
            }
            self.sleep_until(shared, until)?;
        }
        Ok(())
    }

    /// Waits for a server that asked for quiet.
    fn wait(&self, shared: &Shared) -> Result<()> {
        let until = *shared.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleep_until(shared, until.unwrap_or_else(Instant::now))
    }

    fn sleep_until(&self, shared: &Shared, until: Instant) -> Result<()> {
        loop {
            if (self.cancelled)() || shared.stop.load(Ordering::SeqCst) {
                return Err(Error::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

fn quarantined(key: &str, reason: String, raw: Option<String>) -> Event {
    Event::Quarantined { key: key.into(), reason, raw, label: None, endpoint: None, request: None, spent: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_give_way_to_the_server() {
        let policy = RetryPolicy::default();
        for (retry, full) in [(0, 0.5), (1, 1.0), (3, 4.0), (9, 8.0)] {
            let pause = policy.pause(retry, None, "k").as_secs_f64();
            assert!(pause >= full * 0.75 && pause <= full, "{retry}: {pause}");
        }
        assert_eq!(policy.pause(0, Some(Duration::from_secs(7)), "k"), Duration::from_secs(7));
    }
}
