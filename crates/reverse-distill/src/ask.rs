//! Asking the teacher about the documents of one unit; the transcript is in `transcript/<teacher>-<unit>.jsonl`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use handoff::{StageDir, atomic};
use rayon::prelude::*;
use stage::StageContext;
use teacher::{
    ApiKey, Budget, Caps, Event, OfflineTeacher, OpenAi, Outcome, Prompt, Request, RequestLog, RetryPolicy, Session, Spent, Teacher,
};

use crate::candidate::Document;
use crate::config::{Config, TeacherKind};
use crate::error::{Error, Result};

/// The endpoint where neither the configuration nor the environment names one.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// A teacher made ready.
pub enum Asker {
    /// The rules.
    Offline,
    /// An endpoint, its prompt and its purse.
    OpenAi {
        /// The client.
        client: Box<OpenAi>,
        /// What it is asked.
        prompt: Box<Prompt>,
        /// What it may cost.
        budget: Budget,
    },
}

fn stopped(kind: TeacherKind) -> impl Fn(teacher::Error) -> Error {
    move |source| match source {
        teacher::Error::Interrupted => Error::Interrupted,
        source => Error::Teacher { teacher: kind.name(), source },
    }
}

/// The transcript of one unit.
pub fn transcript(dir: &StageDir, kind: TeacherKind, unit: &str) -> PathBuf {
    dir.absolute(&format!("transcript/{}-{unit}.jsonl", kind.name()))
}

/// The prompt the configuration names.
///
/// # Errors
/// When it cannot be read or used.
pub fn prompt(ctx: &StageContext, config: &Config) -> Result<Prompt> {
    let read = if config.prompt == "builtin" {
        Prompt::parse("builtin", teacher::BUILTIN_PROMPT)
    } else {
        Prompt::read(&ctx.path(&config.prompt))
    };
    read.map_err(stopped(TeacherKind::Openai))
}

/// The base URL: the configuration's, the environment's, or the default.
pub fn base_url(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> String {
    config.base_url.clone().or_else(|| env("OPENAI_BASE_URL").filter(|u| !u.is_empty())).unwrap_or_else(|| DEFAULT_BASE_URL.to_owned())
}

impl Asker {
    /// Makes the teacher ready; what earlier runs spent is read from the transcripts.
    ///
    /// # Errors
    /// When the endpoint or the prompt cannot be used, or a transcript is damaged.
    pub fn new(ctx: &StageContext, config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if config.teacher == TeacherKind::Offline {
            return Ok(Asker::Offline);
        }
        let stop = stopped(TeacherKind::Openai);
        let key = env("OPENAI_API_KEY").filter(|k| !k.is_empty()).map(ApiKey::new);
        let client = OpenAi::new(&base_url(config, env), key, Duration::from_secs(config.request.timeout_secs)).map_err(&stop)?;
        let mut spent = Spent::default();
        let folder = ctx.stage_dir.transcript();
        if folder.is_dir() {
            let list = |source| stop(teacher::Error::Io { action: "list", path: folder.clone(), source });
            for entry in std::fs::read_dir(&folder).map_err(list)? {
                let path = entry.map_err(|source| stop(teacher::Error::Io { action: "list", path: folder.clone(), source }))?.path();
                let ours =
                    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("openai-") && n.to_string_lossy().ends_with(".jsonl"));
                if ours {
                    let one = RequestLog::open(&path).map_err(&stop)?.spent();
                    spent = Spent { requests: spent.requests + one.requests, tokens: spent.tokens + one.tokens };
                }
            }
        }
        // Workers share the caps evenly: each sees every transcript, but not what the others spend meanwhile.
        let workers = ctx.worker.count.max(1) as u64;
        let share = |cap: Option<u64>, used: u64| cap.map(|c| used.min(c) + c.saturating_sub(used) / workers);
        let caps = Caps {
            max_requests: share(config.budget.max_requests, spent.requests),
            max_tokens: share(config.budget.max_tokens, spent.tokens),
        };
        Ok(Asker::OpenAi { client: Box::new(client), prompt: Box::new(prompt(ctx, config)?), budget: Budget::new(caps, spent) })
    }

    /// What was charged over all runs.
    pub fn spent(&self) -> Spent {
        match self {
            Asker::Offline => Spent::default(),
            Asker::OpenAi { budget, .. } => budget.spent(),
        }
    }

    /// Asks about `documents`; for each one the request's key and how it ended.
    ///
    /// # Errors
    /// What ends the asking as a whole; every reply that came in is in the transcript.
    pub fn ask(&self, ctx: &StageContext, config: &Config, unit: &str, documents: &[Document]) -> Result<Vec<(String, Outcome)>> {
        match self {
            Asker::Offline => ask_offline(&ctx.stage_dir, unit, documents),
            Asker::OpenAi { client, prompt, budget } => ask_openai(ctx, config, unit, documents, client, prompt, budget),
        }
    }
}

/// All documents at once; the transcript is one row a document, written when the unit is through.
fn ask_offline(dir: &StageDir, unit: &str, documents: &[Document]) -> Result<Vec<(String, Outcome)>> {
    let offline = OfflineTeacher;
    let answered: Vec<(String, Outcome, Vec<u8>)> = documents
        .par_iter()
        .map(|document| {
            let request = OfflineTeacher::request(&document.text, &document.language);
            let key = request.key(offline.endpoint());
            match offline.ask(&request) {
                Ok(reply) => {
                    let event = Event::Done {
                        key: key.clone(),
                        reply: reply.clone(),
                        label: Some(document.id.clone()),
                        endpoint: Some("offline".into()),
                        request: None,
                        spent: None,
                    };
                    (key, Outcome::Done(reply), serde_json::to_vec(&event).unwrap_or_default())
                }
                Err(e) => (key, Outcome::Failed(e.to_string()), Vec::new()),
            }
        })
        .collect();
    let mut lines = Vec::new();
    for (_, _, line) in answered.iter().filter(|a| !a.2.is_empty()) {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    let path = transcript(dir, TeacherKind::Offline, unit);
    make_dir(dir)?;
    atomic::write(&path, &lines)?;
    Ok(answered.into_iter().map(|(key, outcome, _)| (key, outcome)).collect())
}

fn make_dir(dir: &StageDir) -> Result<()> {
    let folder = dir.transcript();
    std::fs::create_dir_all(&folder)
        .map_err(|source| Error::Teacher { teacher: "transcript", source: teacher::Error::Io { action: "create", path: folder, source } })
}

/// One request a document, several under way at a time; the log is compacted once every document has its outcome.
fn ask_openai(
    ctx: &StageContext,
    config: &Config,
    unit: &str,
    documents: &[Document],
    client: &OpenAi,
    prompt: &Prompt,
    budget: &Budget,
) -> Result<Vec<(String, Outcome)>> {
    let stop = stopped(TeacherKind::Openai);
    let requests: Vec<(String, Request)> = documents.iter().map(|d| (d.id.clone(), openai_request(config, prompt, d))).collect();
    let keys: Vec<String> = requests.iter().map(|(_, r)| r.key(client.endpoint())).collect();
    let path = transcript(&ctx.stage_dir, TeacherKind::Openai, unit);
    let log = RequestLog::open(&path).map_err(&stop)?;
    let session = Session {
        teacher: client,
        log: &log,
        budget,
        retry: RetryPolicy { max_retries: config.request.max_retries, ..RetryPolicy::default() },
        threads: config.request.threads,
        cancelled: &|| ctx.cancel.is_cancelled(),
        check: &|reply| {
            teacher::parse_pairs(&reply.content)
                .map(|_| ())
                .map_err(|problem| if reply.finish_reason == "length" { format!("cut off at the token limit: {problem}") } else { problem })
        },
    };
    let outcomes = session.ask_all(&requests).map_err(&stop)?;
    if outcomes.iter().all(|o| !matches!(o, Outcome::Failed(_))) {
        atomic::write(&path, &log.compact(&keys))?;
    }
    Ok(keys.into_iter().zip(outcomes).collect())
}

fn openai_request(config: &Config, prompt: &Prompt, document: &Document) -> Request {
    let mut request =
        prompt.request(config.model.as_deref().unwrap_or_default(), &document.text, &document.language, config.max_pairs_per_document);
    request.params.insert(config.token_limit_key.clone(), config.max_completion_tokens.into());
    request
}

/// What stands in the output's metadata about its origin.
pub fn provenance(config: &Config, asker: &Asker) -> BTreeMap<String, String> {
    let mut extra = BTreeMap::from([("teacher".to_owned(), config.teacher.name().to_owned())]);
    match asker {
        Asker::Offline => {
            extra.insert("note".into(), crate::NO_LLM.into());
            extra.insert("rules_version".into(), teacher::offline::RULES_VERSION.to_string());
        }
        Asker::OpenAi { client, prompt, .. } => {
            extra.insert("endpoint".into(), client.endpoint().into());
            extra.insert("model".into(), config.model.clone().unwrap_or_default());
            extra.insert("prompt".into(), format!("{} {}", prompt.id, prompt.digest));
        }
    }
    extra
}
