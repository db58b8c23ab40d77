//! A server that stands in for an issuer: it keeps tokens, proves them at a SCIM endpoint, and misbehaves
//! on demand. What its API looks like is the issuer's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use scimitar::{
    clock::{Clock, SystemClock},
    sandbox::{Act, Rule, Seen},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::provider_conformance::Mischief;

/// A token.
#[derive(Clone, Debug)]
pub struct Token {
    pub id: String,
    pub name: Option<String>,
    pub created: DateTime<Utc>,
    pub expires: Option<DateTime<Utc>>,
    pub used: Option<DateTime<Utc>>,
    pub value: String,
}

/// A request.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub now: DateTime<Utc>,
    /// The server's own address.
    pub base: String,
}

/// What a request is about.
pub enum About {
    List,
    Create,
    Delete(String),
    Scim,
    /// The log-in; the number of access tokens so far is in the one that it gives.
    Login,
    Elsewhere,
}

/// The name and the end of a new token, or the status of a refusal.
pub(super) type Wanted = Result<(Option<String>, Option<DateTime<Utc>>), u16>;

/// An issuer's API.
#[derive(Clone, Copy)]
pub struct Api {
    /// Its file in `examples/providers`.
    pub file: &'static str,
    /// Where it is, in that file.
    pub host: &'static str,
    /// What the paths of its calls about tokens begin with.
    pub tokens: &'static str,
    pub about: fn(&Asked) -> About,
    pub authorized: fn(&Asked) -> bool,
    /// The name and the end of a new token, or the status of a refusal.
    pub wants: fn(&Asked) -> Wanted,
    pub show: fn(&Token) -> Value,
    /// The answer to a create: the token as lists show it, and its value.
    pub made: fn(&Token) -> (u16, Value),
    /// One page of the list.
    pub page: fn(&Asked, Vec<Value>) -> Value,
    /// Whether a list shows when a token was last used.
    pub shows_use: bool,
    pub deleted: u16,
}

#[derive(Default)]
struct State {
    tokens: Vec<Token>,
    made: usize,
    logins: usize,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

/// A running double. Clones share its tokens.
#[derive(Clone)]
pub struct Double {
    pub api: Api,
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Double {
    /// Serves an empty account for as long as the runtime lasts.
    pub async fn start(api: Api) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { api, url, state: Arc::default() };
        let served = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        double
    }

    /// The tokens that there are.
    pub fn tokens(&self) -> Vec<Token> {
        self.state.lock().unwrap().tokens.clone()
    }

    /// What must be seen nowhere: the values of all tokens that there ever were, and access tokens.
    pub fn secrets(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let values = (1..=state.made).map(|nth| value(self.api, nth));
        values.chain((1..=state.logins).map(access)).collect()
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let asked = self.read(&mut stream).await?;
        let (bytes, cut) = self.ending(&asked);
        let sent = bytes.get(..cut.unwrap_or(bytes.len()).min(bytes.len()))?;
        stream.write_all(sent).await.ok()?;
        stream.shutdown().await.ok()
    }

    async fn read(&self, stream: &mut TcpStream) -> Option<Asked> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            match stream.read(&mut buffer).await.ok()? {
                0 => return None,
                read => bytes.extend_from_slice(&buffer[..read]),
            }
        };
        let text = String::from_utf8(bytes[..head].to_vec()).ok()?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        while bytes.len() < head + 4 + length {
            match stream.read(&mut buffer).await.ok()? {
                0 => return None,
                read => bytes.extend_from_slice(&buffer[..read]),
            }
        }
        let url = reqwest::Url::parse(&format!("{}{target}", self.url)).ok()?;
        Some(Asked {
            method,
            path: url.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers,
            body: serde_json::from_slice(&bytes[head + 4..]).unwrap_or_default(),
            now: SystemClock.now(),
            base: self.url.clone(),
        })
    }

    /// The answer, and after how many of its bytes the connection is closed.
    fn ending(&self, asked: &Asked) -> (Vec<u8>, Option<usize>) {
        let act = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(Seen {
                method: asked.method.clone(),
                path: asked.path.clone(),
                at: asked.now,
            });
            let fits = |rule: &&mut Rule| {
                rule.method.as_ref().is_none_or(|method| *method == asked.method)
                    && asked.path.starts_with(&rule.path)
                    && rule.count != Some(0)
            };
            state.rules.iter_mut().find(fits).map(|rule| {
                rule.count = rule.count.map(|count| count - 1);
                rule.act.clone()
            })
        };
        let error = |status| (answer(status, &said("on demand", asked).to_string()), None);
        match act {
            None => (self.answered(asked), None),
            Some(Act::Throttle { retry_after }) => {
                let pause = retry_after.unwrap_or(1);
                (with(429, "{}", &format!("retry-after: {pause}\r\n")), None)
            }
            Some(Act::Status(status)) => error(status),
            Some(Act::NoConnection | Act::ScimNotConfigured) => error(404),
            Some(Act::BadGateway) => (answer(502, "<html>502</html>"), None),
            Some(Act::DropBefore) => (Vec::new(), None),
            Some(Act::DropAfter) => (self.answered(asked), Some(0)),
            Some(Act::CutAfter(bytes)) => (self.answered(asked), Some(bytes)),
            Some(Act::ErrorAfter) => {
                self.effect(asked);
                error(500)
            }
            Some(Act::Truncate) => {
                let (status, body) = self.effect(asked);
                let text = body.to_string();
                (answer(status, text.get(..text.len() / 2).unwrap()), None)
            }
            Some(Act::ExtraMembers) => {
                let (status, mut body) = self.effect(asked);
                extend(&mut body);
                (answer(status, &body.to_string()), None)
            }
            Some(other) => panic!("{other:?} is not done here"),
        }
    }

    fn answered(&self, asked: &Asked) -> Vec<u8> {
        let (status, body) = self.effect(asked);
        answer(status, &if status == 204 { String::new() } else { body.to_string() })
    }

    fn effect(&self, asked: &Asked) -> (u16, Value) {
        let api = &self.api;
        let mut state = self.state.lock().unwrap();
        let about = (api.about)(asked);
        if !matches!(about, About::Scim | About::Login) && !(api.authorized)(asked) {
            return (401, said("no", asked));
        }
        match about {
            About::List => (200, (api.page)(asked, state.tokens.iter().map(api.show).collect())),
            About::Create => match (api.wants)(asked) {
                Err(status) => (status, said("not like this", asked)),
                Ok((name, expires)) => {
                    state.made += 1;
                    let nth = state.made;
                    let id =
                        if api.file == "grafana" { nth.to_string() } else { format!("t-{nth}") };
                    let value = value(*api, nth);
                    let (created, used) = (asked.now, None);
                    let token = Token { id, name, created, expires, used, value };
                    state.tokens.push(token.clone());
                    (api.made)(&token)
                }
            },
            About::Delete(id) => {
                let before = state.tokens.len();
                state.tokens.retain(|token| token.id != id);
                let status = if state.tokens.len() < before { api.deleted } else { 404 };
                (status, json!({ "message": "API key deleted" }))
            }
            About::Scim => {
                let value = bearer(asked).unwrap_or_default();
                let found = state.tokens.iter_mut().find(|token| token.value == value);
                let Some(token) = found else {
                    return (401, json!({ "detail": format!("no {value}") }));
                };
                token.used = api.shows_use.then_some(asked.now);
                let kind = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
                (200, json!({ "schemas": [kind], "totalResults": 0, "Resources": [] }))
            }
            About::Login => {
                state.logins += 1;
                (200, json!({ "access_token": access(state.logins), "expires_in": 60 }))
            }
            About::Elsewhere => (404, json!({ "message": "not found" })),
        }
    }
}

impl Mischief for Double {
    fn add(&self, rule: Rule) {
        self.state.lock().unwrap().rules.push(rule);
    }

    fn clear(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    fn requests(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    fn forget_requests(&self) {
        self.state.lock().unwrap().seen.clear();
    }
}

/// The value of the token that is made as the one with this number.
fn value(api: Api, nth: usize) -> String {
    format!("{}-{nth:032}", api.file)
}

/// The access token of the log-in with this number.
fn access(nth: usize) -> String {
    format!("access-canary-{nth}")
}

/// An error that repeats the credentials which came with the request, as some services do.
fn said(words: &str, asked: &Asked) -> Value {
    let header = |name| asked.headers.get(name).map(String::as_str);
    let sent = header("authorization").or_else(|| header("x-auth-token"));
    json!({ "message": format!("{words}: {}", sent.unwrap_or_default()) })
}

/// What `Authorization: Bearer` holds.
pub fn bearer(asked: &Asked) -> Option<String> {
    asked.headers.get("authorization")?.strip_prefix("Bearer ").map(str::to_owned)
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    with(status, body, "")
}

fn with(status: u16, body: &str, more: &str) -> Vec<u8> {
    let date = SystemClock.now().format("%a, %d %b %Y %H:%M:%S GMT");
    format!(
        "HTTP/1.1 {status} Said\r\ndate: {date}\r\ncontent-type: application/json\r\n{more}\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Gives every object a member that nobody knows.
fn extend(json: &mut Value) {
    match json {
        Value::Object(members) => {
            members.values_mut().for_each(extend);
            members.insert("zzz".to_owned(), json!({ "new": [1] }));
        }
        Value::Array(items) => items.iter_mut().for_each(extend),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
