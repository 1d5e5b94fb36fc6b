//! The client, the log and the budget against a server that misbehaves, on 127.0.0.1.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use teacher::{
    ApiKey, Budget, Caps, Error, Event, Message, OpenAi, Outcome, Prompt, Reply, Request, RequestLog, RetryPolicy, Session, Spent, State,
    Usage, parse_pairs,
};

const KEY: &str = "sk-never-to-be-seen";

/// What the server does with one call.
enum Act {
    /// A proper reply with this content.
    Say(String),
    /// A status with headers and a body.
    Status(u16, &'static str, String),
    /// A body that breaks off, with the right length.
    Truncated,
    /// No answer until the client gives up.
    Hang,
    /// A proper reply whose usage contradicts itself.
    WrongUsage(String),
}

/// What the server saw.
#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    bodies: Mutex<Vec<String>>,
    headers: Mutex<Vec<String>>,
}

type Script = dyn Fn(usize, &str) -> Act + Send + Sync;

struct Server {
    url: String,
    seen: Arc<Seen>,
}

impl Server {
    fn start(script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Self { url, seen }
    }

    fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, seen: &Seen, script: &Script) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let n = seen.calls.fetch_add(1, Ordering::SeqCst);
    let now = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_under_way.fetch_max(now, Ordering::SeqCst);
    seen.bodies.lock().unwrap().push(body.clone());
    seen.headers.lock().unwrap().push(head);
    let act = script(n, &body);
    seen.under_way.fetch_sub(1, Ordering::SeqCst);
    let ok = |content: &str, total: u64| {
        serde_json::json!({"id": "r", "object": "chat.completion", "model": "mock", "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": total}})
        .to_string()
    };
    let (status, headers, body, announced) = match act {
        Act::Say(content) => (200, "", ok(&content, 15), None),
        Act::WrongUsage(content) => (200, "", ok(&content, 3), None),
        Act::Status(status, headers, body) => (status, headers, body, None),
        Act::Truncated => (200, "", ok("x", 15)[..60].to_owned(), None),
        Act::Hang => {
            std::thread::sleep(Duration::from_secs(3));
            (200, "", String::new(), Some(0))
        }
    };
    let length = announced.unwrap_or(body.len());
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    );
}

fn say(content: &str) -> Act {
    Act::Say(content.to_owned())
}

fn client(server: &Server) -> OpenAi {
    OpenAi::new(&server.url, Some(ApiKey::new(KEY)), Duration::from_millis(400)).unwrap()
}

fn request(text: &str) -> (String, Request) {
    let mut params = serde_json::Map::new();
    params.insert("max_completion_tokens".into(), 20.into());
    (format!("doc-{text}"), Request { model: "m".into(), messages: vec![Message::new("user", text)], params })
}

fn ask(
    client: &OpenAi,
    log: &RequestLog,
    caps: Caps,
    threads: usize,
    requests: &[(String, Request)],
) -> (Result<Vec<Outcome>, Error>, Spent) {
    let budget = Budget::new(caps, log.spent());
    let retry = RetryPolicy { first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(4), ..RetryPolicy::default() };
    let check = |reply: &Reply| parse_pairs(&reply.content).map(|_| ());
    let session = Session { teacher: client, log, budget: &budget, retry, threads, cancelled: &|| false, check: &check };
    (session.ask_all(requests), budget.spent())
}

const EMPTY: &str = r#"{"pairs":[]}"#;

fn no_key_in(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains(KEY) && !text.contains("Bearer"));
}

#[test]
fn every_fault_is_survived_and_nothing_is_asked_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000.jsonl");
    let server = Server::start(|n, _| match n {
        0 => Act::Status(429, "retry-after-ms: 5\r\n", r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#.into()),
        1 => Act::Status(500, "", "oops".into()),
        2 => Act::Hang,
        3 => Act::Truncated,
        4 => say(""),
        5 => Act::WrongUsage(EMPTY.into()),
        _ => say(EMPTY),
    });
    let log = RequestLog::open(&path).unwrap();
    let (outcome, spent) = ask(&client(&server), &log, Caps::default(), 1, &[request("a"), request("a"), request("b")]);
    let outcome = outcome.unwrap();
    let Outcome::Done(first) = &outcome[0] else { panic!("{outcome:?}") };
    assert!(first.usage_estimated, "a usage that contradicts itself is replaced by an estimate");
    assert_eq!(outcome[0], outcome[1]);
    assert_eq!(server.calls(), 7, "six attempts for a, one for b, none for the copy");
    assert_eq!(spent.requests, 7);
    assert_eq!(log.spent(), spent, "the log and the purse agree");
    drop(log);
    let log = RequestLog::open(&path).unwrap();
    assert_eq!(log.spent(), spent, "and still do after reopening");
    let (again, _) = ask(&client(&server), &log, Caps::default(), 4, &[request("a"), request("b")]);
    assert_eq!(again.unwrap()[0], outcome[0]);
    assert_eq!(server.calls(), 7);
    no_key_in(&path);
    let head = server.seen.headers.lock().unwrap()[0].to_lowercase();
    assert!(
        head.contains(&format!("authorization: bearer {KEY}"))
            && head.contains("idempotency-key:")
            && head.starts_with("post /v1/chat/completions")
    );
    let body: serde_json::Value = serde_json::from_str(&server.seen.bodies.lock().unwrap()[0]).unwrap();
    assert_eq!(
        (body["model"].as_str(), body["max_completion_tokens"].as_u64(), body["messages"][0]["content"].as_str()),
        (Some("m"), Some(20), Some("a"))
    );
}

#[test]
fn a_kill_at_any_instant_loses_no_reply_that_came_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    // In the middle of call 3 the log is copied as a kill would leave it: two replies in, one request under way.
    let copy = dir.path().join("killed.jsonl");
    let (from, to) = (path.clone(), copy.clone());
    let server = Server::start(move |n, _| {
        if n == 2 {
            std::fs::copy(&from, &to).unwrap();
        }
        say(EMPTY)
    });
    let requests: Vec<_> = ["a", "b", "c", "d"].iter().map(|t| request(t)).collect();
    let log = RequestLog::open(&path).unwrap();
    ask(&client(&server), &log, Caps::default(), 1, &requests).0.unwrap();
    assert_eq!(server.calls(), 4);
    // The kill also tore a line.
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes.extend_from_slice(b"{\"event\":\"done\",\"key\":\"to");
    std::fs::write(&copy, bytes).unwrap();
    let log = RequestLog::open(&copy).unwrap();
    let key = requests[2].1.key(&format!("{}/chat/completions", server.url));
    assert_eq!(log.state(&key), Some(State::Planned));
    let before = log.spent();
    assert_eq!(before.requests, 3, "the attempt without an outcome is charged");
    let (outcome, spent) = ask(&client(&server), &log, Caps::default(), 1, &requests);
    assert!(outcome.unwrap().iter().all(|o| matches!(o, Outcome::Done(_))));
    assert_eq!(server.calls(), 6, "only c, which was under way, and d are asked");
    assert_eq!(spent.requests, 5);
    let asked: Vec<bool> = ["a", "b", "c", "d"]
        .iter()
        .map(|t| server.seen.bodies.lock().unwrap()[4..].iter().any(|b| b.contains(&format!("\"content\":\"{t}\""))))
        .collect();
    assert_eq!(asked, [false, false, true, true]);
}

#[test]
fn caps_are_hard_and_retries_count() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Act::Status(500, "", "no".into()));
    let log = RequestLog::open(&dir.path().join("a.jsonl")).unwrap();
    let requests: Vec<_> = (0..10).map(|i| request(&i.to_string())).collect();
    let (outcome, _) = ask(&client(&server), &log, Caps { max_requests: Some(4), max_tokens: None }, 3, &requests);
    assert!(matches!(outcome.unwrap_err(), Error::Budget { cap: "max_requests", limit: 4, .. }));
    assert_eq!(server.calls(), 4);
    drop(log);
    let log = RequestLog::open(&dir.path().join("a.jsonl")).unwrap();
    let (outcome, _) = ask(&client(&server), &log, Caps { max_requests: Some(4), max_tokens: None }, 1, &requests);
    assert!(matches!(outcome.unwrap_err(), Error::Budget { used: 4, .. }));
    assert_eq!(server.calls(), 4, "the cap holds over runs");

    let good = Server::start(|_, _| say(EMPTY));
    let log = RequestLog::open(&dir.path().join("b.jsonl")).unwrap();
    // Each request may take 29 tokens and takes 15.
    let (outcome, spent) = ask(&client(&good), &log, Caps { max_requests: None, max_tokens: Some(50) }, 1, &requests);
    assert!(matches!(outcome.unwrap_err(), Error::Budget { cap: "max_tokens", .. }));
    assert!(spent.tokens <= 50 && good.calls() == 2, "{spent:?} {}", good.calls());
}

#[test]
fn no_quota_and_a_refused_key_end_it_at_once_without_showing_the_key() {
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let refused = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}."}}}}"#);
    for (status, body, quota) in [(429, quota.to_owned(), true), (401, refused, false)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let server = Server::start(move |_, _| Act::Status(status, "", body.clone()));
        let log = RequestLog::open(&path).unwrap();
        let error = ask(&client(&server), &log, Caps::default(), 1, &[request("a"), request("b")]).0.unwrap_err();
        assert_eq!(matches!(error, Error::Quota { .. }), quota, "{error}");
        assert_eq!(server.calls(), 1);
        assert!(!error.to_string().contains(KEY), "{error}");
        no_key_in(&path);
    }
}

#[test]
fn malformed_replies_go_to_quarantine_and_stay_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let server = Server::start(|_, body| {
        if body.contains("\"content\":\"bad\"") {
            say("Here are your pairs: …")
        } else {
            say(r#"{"pairs":[{"question":"Q?","answer":"A"}]}"#)
        }
    });
    let requests = [request("bad"), request("good")];
    let log = RequestLog::open(&path).unwrap();
    let outcome = ask(&client(&server), &log, Caps::default(), 2, &requests).0.unwrap();
    assert!(
        matches!(&outcome[0], Outcome::Quarantined { reason, raw: Some(raw) } if reason.contains("no JSON") && raw.contains("Here are")),
        "{outcome:?}"
    );
    assert!(matches!(&outcome[1], Outcome::Done(_)));
    drop(log);
    let log = RequestLog::open(&path).unwrap();
    assert_eq!(ask(&client(&server), &log, Caps::default(), 2, &requests).0.unwrap(), outcome);
    assert_eq!(server.calls(), 2);
}

#[test]
fn refusals_of_one_request_spare_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, body| {
        if body.contains("\"content\":\"long\"") {
            Act::Status(400, "", r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#.into())
        } else if body.contains("\"content\":\"odd\"") {
            Act::Status(400, "", r#"{"error":{"message":"bad parameter"}}"#.into())
        } else {
            say(EMPTY)
        }
    });
    let log = RequestLog::open(&dir.path().join("log.jsonl")).unwrap();
    let outcome = ask(&client(&server), &log, Caps::default(), 1, &[request("long"), request("odd"), request("fine")]).0.unwrap();
    assert!(matches!(&outcome[0], Outcome::Quarantined { .. }), "asking again would not help");
    assert!(matches!(&outcome[1], Outcome::Failed(reason) if reason.contains("bad parameter")));
    assert!(matches!(&outcome[2], Outcome::Done(_)));
    assert_eq!(server.calls(), 3);
}

#[test]
fn several_are_under_way_at_a_time_and_outcomes_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, body| {
        std::thread::sleep(Duration::from_millis(30));
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        say(&serde_json::json!({"pairs": [{"question": value["messages"][0]["content"], "answer": "A"}]}).to_string())
    });
    let log = RequestLog::open(&dir.path().join("log.jsonl")).unwrap();
    let requests: Vec<_> = (0..12).map(|i| request(&format!("n{i}"))).collect();
    let outcome = ask(&client(&server), &log, Caps::default(), 4, &requests).0.unwrap();
    for (i, outcome) in outcome.iter().enumerate() {
        let Outcome::Done(reply) = outcome else { panic!("{outcome:?}") };
        assert_eq!(parse_pairs(&reply.content).unwrap()[0].question, format!("n{i}"));
    }
    let most = server.seen.most_under_way.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most}");
}

#[test]
fn a_long_wait_that_the_server_asks_for_is_not_sat_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Act::Status(429, "retry-after: 3600\r\n", r#"{"error":{"message":"tomorrow"}}"#.into()));
    let log = RequestLog::open(&dir.path().join("log.jsonl")).unwrap();
    let outcome = ask(&client(&server), &log, Caps::default(), 1, &[request("a")]).0.unwrap();
    assert!(matches!(&outcome[0], Outcome::Failed(reason) if reason.contains("429")));
    assert_eq!(server.calls(), 1);
}

#[test]
fn a_cancelled_session_stops_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| say(EMPTY));
    let log = RequestLog::open(&dir.path().join("log.jsonl")).unwrap();
    let budget = Budget::new(Caps::default(), Spent::default());
    let seen = Arc::clone(&server.seen);
    let client = client(&server);
    let session = Session {
        teacher: &client,
        log: &log,
        budget: &budget,
        retry: RetryPolicy::default(),
        threads: 1,
        cancelled: &|| seen.calls.load(Ordering::SeqCst) >= 2,
        check: &|_| Ok(()),
    };
    let requests: Vec<_> = (0..5).map(|i| request(&i.to_string())).collect();
    assert!(matches!(session.ask_all(&requests), Err(Error::Interrupted)));
    let endpoint = format!("{}/chat/completions", server.url);
    let done = requests.iter().filter(|(_, r)| matches!(log.state(&r.key(&endpoint)), Some(State::Done(_)))).count();
    assert_eq!((done, server.calls()), (2, 2));
}

#[test]
fn the_prompt_of_the_crate_goes_over_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| say(r#"{"pairs":[{"question":"秘鲁的首都是哪里？","answer":"利马"}]}"#));
    let prompt = Prompt::parse("builtin", teacher::BUILTIN_PROMPT).unwrap();
    let log = RequestLog::open(&dir.path().join("log.jsonl")).unwrap();
    let request = prompt.request("m", "秘鲁的首都是利马。", "zh", 3);
    let outcome = ask(&client(&server), &log, Caps::default(), 1, &[("d".into(), request)]).0.unwrap();
    let Outcome::Done(reply) = &outcome[0] else { panic!() };
    assert_eq!(parse_pairs(&reply.content).unwrap()[0].answer, "利马");
    let body: serde_json::Value = serde_json::from_str(&server.seen.bodies.lock().unwrap()[0]).unwrap();
    assert!(body["messages"][1]["content"].as_str().unwrap().ends_with("秘鲁的首都是利马。"));
}

#[test]
fn rows_without_cost_can_be_logged_without_planning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let log = RequestLog::open(&path).unwrap();
    let reply = Reply {
        content: EMPTY.into(),
        finish_reason: "stop".into(),
        model: "rules/1".into(),
        id: None,
        usage: Usage::default(),
        usage_estimated: false,
    };
    log.append_unsynced(Event::Done {
        key: "k".into(),
        reply: reply.clone(),
        label: Some("d".into()),
        endpoint: Some("offline".into()),
        request: None,
        spent: None,
    })
    .unwrap();
    drop(log);
    let log = RequestLog::open(&path).unwrap();
    assert_eq!(log.state("k"), Some(State::Done(reply)));
    assert_eq!(log.spent(), Spent::default());
}
