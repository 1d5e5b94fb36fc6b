//! The write-ahead log of requests: JSON lines, one event each, synced when a reply comes in.
//!
//! | event | written | keys |
//! | --- | --- | --- |
//! | `planned` | before a request is first sent | `key, label, endpoint, model, messages, params` |
//! | `sent` | before every attempt | `key, reserved_tokens` |
//! | `retry` | after an attempt that may be repeated | `key, reason, used_tokens` |
//! | `done` | when a reply is there | `key, reply`, and after [`RequestLog::compact`] all of the above |
//! | `failed` | when attempts ran out; asked again in another run | `key, reason` |
//! | `quarantined` | when a reply was paid for and cannot be used; not asked again | `key, reason, raw` |
//!
//! A request is asked again only if it is neither `done` nor `quarantined`.
//! What was sent without an outcome (a kill in between) counts as charged with all it had reserved.
//! A last line without an end is the trace of a kill and is cut off.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Error, Reply, Request, Result, Spent};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", deny_unknown_fields)]
pub enum Event {
    /// A request is going to be asked.
    Planned {
        /// Its key.
        key: String,
        /// What it is about: a document's id.
        label: String,
        /// Where it goes.
        endpoint: String,
        /// The request itself.
        request: Request,
    },
    /// An attempt begins.
    Sent {
        /// The request's key.
        key: String,
        /// Tokens set aside for it.
        reserved_tokens: u64,
    },
    /// An attempt came to nothing and may be repeated.
    Retry {
        /// The request's key.
        key: String,
        /// Why.
        reason: String,
        /// Tokens it took.
        used_tokens: u64,
    },
    /// The reply is there.
    Done {
        /// The request's key.
        key: String,
        /// The reply.
        reply: Reply,
        /// In a compacted log, and for teachers that cost nothing: what it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// In a compacted log: where it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// In a compacted log: the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
        /// In a compacted log: requests sent and tokens charged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<(u64, u64)>,
    },
    /// No attempt succeeded; another run may ask again.
    Failed {
        /// The request's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A reply that cannot be used.
    Quarantined {
        /// The request's key.
        key: String,
        /// Why.
        reason: String,
        /// What came, as it came.
        raw: Option<String>,
        /// In a compacted log: what it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// In a compacted log: where it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// In a compacted log: the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
        /// In a compacted log: requests sent and tokens charged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<(u64, u64)>,
    },
}

/// How far a request got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Written down, perhaps sent, no outcome.
    Planned,
    /// Answered.
    Done(Reply),
    /// Attempts ran out.
    Failed(String),
    /// Answered, but of no use.
    Quarantined {
        /// Why.
        reason: String,
        /// What came.
        raw: Option<String>,
    },
}

/// All the log knows about one request.
#[derive(Debug, Clone)]
struct Entry {
    state: State,
    label: Option<String>,
    endpoint: Option<String>,
    request: Option<Request>,
    spent: Spent,
    /// Tokens reserved by an attempt without outcome.
    open: u64,
}

/// An open log.
#[derive(Debug)]
pub struct RequestLog {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    entries: HashMap<String, Entry>,
    order: Vec<String>,
}

impl RequestLog {
    /// Opens a log, or begins one; a torn last line is cut off.
    ///
    /// # Errors
    /// When the file cannot be read or written, or a line inside of it does not parse.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(Error::io("open", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(Error::io("truncate", path))?;
            file.seek(SeekFrom::End(0)).map_err(Error::io("seek in", path))?;
        }
        let mut inner = Inner { file, entries: HashMap::new(), order: Vec::new() };
        for (i, line) in bytes[..whole].split(|&b| b == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
            let event = serde_json::from_slice(line).map_err(|source| Error::DamagedLog { path: path.into(), line: i + 1, source })?;
            inner.apply(event);
        }
        Ok(Self { path: path.into(), inner: Mutex::new(inner) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far the request with `key` got, if it is known.
    pub fn state(&self, key: &str) -> Option<State> {
        self.lock().entries.get(key).map(|e| e.state.clone())
    }

    /// What all requests of the log were charged, over all runs.
    pub fn spent(&self) -> Spent {
        let inner = self.lock();
        inner.entries.values().fold(Spent::default(), |sum, e| Spent {
            requests: sum.requests + e.spent.requests,
            tokens: sum.tokens + e.spent.tokens + e.open,
        })
    }

    /// Appends an event; outcomes are synced to disk before this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&self, event: Event) -> Result<()> {
        let sync = !matches!(event, Event::Planned { .. });
        self.write(event, sync)
    }

    /// Appends an event without syncing: for teachers that cost nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append_unsynced(&self, event: Event) -> Result<()> {
        self.write(event, false)
    }

    fn write(&self, event: Event, sync: bool) -> Result<()> {
        let mut line = serde_json::to_vec(&event).map_err(|source| Error::DamagedLog { path: self.path.clone(), line: 0, source })?;
        line.push(b'\n');
        let mut inner = self.lock();
        inner.file.write_all(&line).map_err(Error::io("write", &self.path))?;
        if sync {
            inner.file.sync_data().map_err(Error::io("sync", &self.path))?;
        }
        inner.apply(event);
        Ok(())
    }

    /// The log with one line for each request, its last state, in the order of `keys` and then of their first mention.
    ///
    /// To be put in the log's place by the caller, atomically.
    pub fn compact(&self, keys: &[String]) -> Vec<u8> {
        let inner = self.lock();
        let mut seen = std::collections::HashSet::new();
        let mut out = Vec::new();
        for key in keys.iter().chain(&inner.order).filter(|k| seen.insert(k.as_str())) {
            let Some(entry) = inner.entries.get(key) else { continue };
            for event in entry.events(key) {
                // Events are plain data of our own: they serialize.
                if serde_json::to_writer(&mut out, &event).is_ok() {
                    out.push(b'\n');
                }
            }
        }
        out
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn entry(&mut self, key: &str) -> &mut Entry {
        if !self.entries.contains_key(key) {
            self.order.push(key.to_owned());
        }
        self.entries.entry(key.to_owned()).or_insert_with(|| Entry {
            state: State::Planned,
            label: None,
            endpoint: None,
            request: None,
            spent: Spent::default(),
            open: 0,
        })
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Planned { key, label, endpoint, request } => {
                let entry = self.entry(&key);
                (entry.label, entry.endpoint, entry.request) = (Some(label), Some(endpoint), Some(request));
            }
            Event::Sent { key, reserved_tokens } => {
                let entry = self.entry(&key);
                entry.spent.requests += 1;
                entry.spent.tokens += std::mem::replace(&mut entry.open, reserved_tokens);
            }
            Event::Retry { key, used_tokens, .. } => {
                let entry = self.entry(&key);
                entry.open = 0;
                entry.spent.tokens += used_tokens;
            }
            Event::Done { key, reply, label, endpoint, request, spent } => {
                let entry = self.entry(&key);
                entry.open = 0;
                entry.spent.tokens += if spent.is_some() { 0 } else { reply.usage.total() };
                entry.state = State::Done(reply);
                entry.take(label, endpoint, request, spent);
            }
            Event::Failed { key, reason } => {
                let entry = self.entry(&key);
                entry.spent.tokens += std::mem::take(&mut entry.open);
                entry.state = State::Failed(reason);
            }
            Event::Quarantined { key, reason, raw, label, endpoint, request, spent } => {
                let entry = self.entry(&key);
                entry.spent.tokens += std::mem::take(&mut entry.open);
                entry.state = State::Quarantined { reason, raw };
                entry.take(label, endpoint, request, spent);
            }
        }
    }
}

impl Entry {
    fn take(&mut self, label: Option<String>, endpoint: Option<String>, request: Option<Request>, spent: Option<(u64, u64)>) {
        self.label = label.or(self.label.take());
        self.endpoint = endpoint.or(self.endpoint.take());
        self.request = request.or(self.request.take());
        if let Some((requests, tokens)) = spent {
            self.spent = Spent { requests, tokens };
        }
    }

    fn events(&self, key: &str) -> Vec<Event> {
        let key = key.to_owned();
        let (label, endpoint, request) = (self.label.clone(), self.endpoint.clone(), self.request.clone());
        let spent = Some((self.spent.requests, self.spent.tokens)).filter(|s| *s != (0, 0));
        match &self.state {
            State::Done(reply) => vec![Event::Done { key, reply: reply.clone(), label, endpoint, request, spent }],
            State::Quarantined { reason, raw } => {
                vec![Event::Quarantined { key, reason: reason.clone(), raw: raw.clone(), label, endpoint, request, spent }]
            }
            State::Planned | State::Failed(_) => {
                let mut events = Vec::new();
                if let (Some(label), Some(endpoint), Some(request)) = (label, endpoint, request) {
                    events.push(Event::Planned { key: key.clone(), label, endpoint, request });
                }
                // What was charged has to stay charged: attempts with their tokens, the last one open if it was.
                for i in 0..self.spent.requests {
                    let tokens = if i == 0 { self.spent.tokens } else { 0 };
                    let last_open = i + 1 == self.spent.requests && self.open > 0;
                    events.push(Event::Sent { key: key.clone(), reserved_tokens: if last_open { self.open } else { 0 } });
                    if !last_open || tokens > 0 {
                        if !last_open {
                            events.push(Event::Retry { key: key.clone(), reason: "compacted".into(), used_tokens: tokens });
                        } else {
                            events.insert(
                                events.len() - 1,
                                Event::Retry { key: key.clone(), reason: "compacted".into(), used_tokens: tokens },
                            );
                        }
                    }
                }
                if let State::Failed(reason) = &self.state {
                    events.push(Event::Failed { key, reason: reason.clone() });
                }
                events
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Usage};

    fn request(text: &str) -> Request {
        Request { model: "m".into(), messages: vec![Message::new("user", text)], params: Default::default() }
    }

    fn reply(text: &str) -> Reply {
        Reply {
            content: text.into(),
            finish_reason: "stop".into(),
            model: "m".into(),
            id: None,
            usage: Usage { prompt_tokens: 3, completion_tokens: 4 },
            usage_estimated: false,
        }
    }

    fn done(key: &str, text: &str) -> Event {
        Event::Done { key: key.into(), reply: reply(text), label: None, endpoint: None, request: None, spent: None }
    }

    fn plan(key: &str) -> Event {
        Event::Planned { key: key.into(), label: format!("doc-{key}"), endpoint: "e".into(), request: request(key) }
    }

    #[test]
    fn states_and_charges_survive_reopening_and_compaction() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000.jsonl");
        let log = RequestLog::open(&path).unwrap();
        for event in [
            plan("a"),
            Event::Sent { key: "a".into(), reserved_tokens: 50 },
            Event::Retry { key: "a".into(), reason: "status 500".into(), used_tokens: 2 },
            Event::Sent { key: "a".into(), reserved_tokens: 50 },
            done("a", "ok"),
            plan("b"),
            Event::Sent { key: "b".into(), reserved_tokens: 50 },
            plan("c"),
            Event::Sent { key: "c".into(), reserved_tokens: 30 },
            Event::Failed { key: "c".into(), reason: "status 500".into() },
        ] {
            log.append(event).unwrap();
        }
        let want = Spent { requests: 4, tokens: 2 + 7 + 50 + 30 };
        assert_eq!(log.spent(), want);
        let compact = log.compact(&["b".into()]);
        drop(log);
        let reopened = RequestLog::open(&path).unwrap();
        assert_eq!(reopened.spent(), want);
        assert_eq!(reopened.state("a"), Some(State::Done(reply("ok"))));
        assert_eq!(reopened.state("b"), Some(State::Planned));
        assert_eq!(reopened.state("c"), Some(State::Failed("status 500".into())));
        assert_eq!(reopened.state("d"), None);
        std::fs::write(&path, &compact).unwrap();
        let small = RequestLog::open(&path).unwrap();
        assert_eq!(small.spent(), want);
        assert_eq!(small.state("a"), Some(State::Done(reply("ok"))));
        assert_eq!(small.state("b"), Some(State::Planned));
        assert_eq!(small.compact(&["b".into()]), compact, "compaction is stable");
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_damage_inside_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let log = RequestLog::open(&path).unwrap();
        log.append(done("a", "one")).unwrap();
        drop(log);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.extend_from_slice(b"{\"event\":\"done\",\"key\":\"b\",\"rep");
        std::fs::write(&path, &bytes).unwrap();
        let log = RequestLog::open(&path).unwrap();
        assert_eq!(log.state("b"), None);
        log.append(done("c", "two")).unwrap();
        drop(log);
        let log = RequestLog::open(&path).unwrap();
        assert!(log.state("a").is_some() && log.state("c").is_some());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[whole - 5] = b'!';
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(RequestLog::open(&path).unwrap_err(), Error::DamagedLog { line: 1, .. }));
    }
}
