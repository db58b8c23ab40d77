//! A small HTTP/1.1 server on a free loopback port that answers as it is told, or misbehaves on
//! the wire as no framework would let it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Login,
    List,
    Create,
    Revoke,
    Scim,
    Other,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    /// Which of the server's connections it came over.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn bearer(&self) -> &str {
        self.headers
            .get("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default()
    }

    /// The token after the scheme, whatever that is.
    pub(crate) fn credentials(&self) -> &str {
        let value = self.headers.get("authorization").map_or("", String::as_str);
        value.split_once(' ').map_or("", |(_, token)| token)
    }

    /// The fields of a form.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        reqwest::Url::parse(&format!("http://h/?{}", self.body))
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect()
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Reply(u16, Vec<(&'static str, String)>, String),
    /// These bytes, then the connection is closed.
    Raw(String),
    /// The request is read, then the connection is closed.
    Drop,
    /// The request is read, and nothing else ever happens.
    Hang,
}

pub(crate) fn reply(status: u16, body: impl Into<String>) -> Answer {
    Answer::Reply(status, Vec::new(), body.into())
}

impl Answer {
    pub(crate) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Reply(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Reply(status, headers, body)
            }
            other @ (Self::Raw(_) | Self::Drop | Self::Hang) => other,
        }
    }
}

type Script = Box<dyn Fn(&Seen, usize) -> Answer + Send>;

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    scripts: BTreeMap<Kind, Script>,
}

/// The server; it ends when dropped.
pub(crate) struct Fake {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    listening: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let listening = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, number, shared.clone()));
            }
        });
        Self { url, state, listening }
    }

    /// Decides what becomes of a kind of request by the request and by how many there were.
    pub(crate) fn on(
        &self,
        kind: Kind,
        script: impl Fn(&Seen, usize) -> Answer + Send + 'static,
    ) -> &Self {
        let mut state = self.state.lock().unwrap();
        state.scripts.insert(kind, Box::new(script));
        self
    }

    /// The same for all of a kind.
    pub(crate) fn always(&self, kind: Kind, answer: Answer) -> &Self {
        self.on(kind, move |_, _| answer.clone())
    }

    /// One after the other; the last one repeats.
    pub(crate) fn script(&self, kind: Kind, answers: Vec<Answer>) -> &Self {
        self.on(kind, move |_, nth| answers[nth.min(answers.len() - 1)].clone())
    }

    pub(crate) fn seen(&self, kind: Kind) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        let of_kind = state.seen.iter().filter(|seen| seen.kind == kind);
        of_kind.cloned().collect()
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.seen(kind).len()
    }

    pub(crate) fn total(&self) -> usize {
        self.state.lock().unwrap().seen.len()
    }

    /// Closes the port, so that connections to it are refused.
    pub(crate) async fn stop(&mut self) {
        self.listening.abort();
        let ended = (&mut self.listening).await;
        assert!(ended.unwrap_err().is_cancelled());
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

pub(crate) const SCOPES: &str = "read:scim_token create:scim_token delete:scim_token";

/// The value of the n-th access token that a fake issues unless told otherwise.
pub(crate) fn access_token(nth: usize) -> String {
    format!("access-token-canary-{nth}")
}

fn usual(kind: Kind, nth: usize) -> Answer {
    match kind {
        Kind::Login => reply(
            200,
            format!(
                r#"{{"access_token":"{}","expires_in":86400,"scope":"{SCOPES}","token_type":"Bearer"}}"#,
                access_token(nth)
            ),
        ),
        Kind::List => reply(200, "[]"),
        Kind::Create => reply(201, super::CREATED.replace("{VALUE}", &super::value())),
        Kind::Revoke => Answer::Reply(204, Vec::new(), String::new()),
        Kind::Scim | Kind::Other => reply(404, ""),
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<Mutex<State>>) {
    while let Some(seen) = read(&mut stream, connection).await {
        let answer = {
            let mut state = state.lock().unwrap();
            let kind = seen.kind;
            let nth = state.seen.iter().filter(|seen| seen.kind == kind).count();
            state.seen.push(seen.clone());
            state.scripts.get(&kind).map_or_else(|| usual(kind, nth), |script| script(&seen, nth))
        };
        match answer {
            Answer::Drop => return,
            Answer::Hang => std::future::pending().await,
            Answer::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap_or_default();
                return;
            }
            Answer::Reply(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
                for (name, value) in headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                if status != 204 {
                    text.push_str(&format!("content-length: {}\r\n", body.len()));
                }
                text.push_str("\r\n");
                text.push_str(&body);
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn read(stream: &mut TcpStream, connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        kind: kind(method, target),
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: String::from_utf8(bytes.split_off(head_end + 4)).unwrap(),
    })
}

fn kind(method: &str, target: &str) -> Kind {
    if target == "/oauth/token" {
        return Kind::Login;
    }
    if target.contains("/scim/v2/") {
        return Kind::Scim;
    }
    match method {
        "GET" => Kind::List,
        "POST" => Kind::Create,
        "DELETE" => Kind::Revoke,
        _ => Kind::Other,
    }
}
