//! A stand-in for the Kubernetes API as far as Secrets go, as strict as its own documents say: Status
//! objects, `resourceVersion` as optimistic concurrency, `dryRun`, RBAC by real Role objects, `immutable`.
//!
//! Its refusals quote what they were sent, which the API's do not, unless it is told to be as discreet:
//! whoever shows them is found out.

mod base64;
mod rules;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub use self::base64::{decode, encode};

/// What is done about one request instead of answering it well.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// It is refused with this status and reason; nothing changes.
    Refused(u16, &'static str),
    /// The same after it was carried out.
    RefusedAfter(u16, &'static str),
    /// The same with a pause that the body asks for.
    Paused(u16, u64),
    /// Something in front of it answers.
    Foreign(u16),
    /// The connection ends; nothing changes.
    LostBefore,
    /// The connection ends after it was carried out.
    LostAfter,
    /// It is carried out, and the answer breaks off in its middle.
    CutAfter,
    /// It is carried out, and what is answered is no answer.
    GarbledAfter,
    /// Somebody else adds a key first, then it is carried out.
    Overtaken,
    /// Somebody else deletes the Secret first, then it is carried out.
    Deleted,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As RBAC calls it: `get`, `create`, `patch`.
    pub verb: &'static str,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Value,
    pub token: String,
}

/// All there is.
#[derive(Debug, Default)]
pub struct World {
    /// The namespaces and their uids.
    pub namespaces: BTreeMap<String, String>,
    /// The Secrets, by namespace and name.
    pub secrets: BTreeMap<(String, String), Value>,
    /// Who is known, and the Roles that each is bound to.
    pub accounts: BTreeMap<String, Vec<Value>>,
    /// Counts every change.
    revision: u64,
    /// What happens to the next requests of a verb on Secrets, one after the other.
    pub mishaps: Vec<(&'static str, Mishap)>,
    pub asked: Vec<Asked>,
    /// What an admission webhook makes of each Secret that is written, tried out or not.
    pub admission: Option<fn(&mut Value)>,
    /// Whether refusals quote nothing of what they were sent, as the API's.
    pub discreet: bool,
}

/// A running server; it ends with this.
#[derive(Debug)]
pub struct KubernetesApi {
    pub url: String,
    world: Arc<Mutex<World>>,
    task: JoinHandle<()>,
}

/// What goes back.
enum Answer {
    Good(u16, &'static str, String),
    Cut(String),
    HangUp,
}

/// What a refusal is.
#[derive(Debug)]
struct Refusal {
    status: u16,
    reason: &'static str,
    words: String,
    kind: &'static str,
    name: String,
}

impl KubernetesApi {
    /// A cluster with one namespace, and one account that may do nothing yet.
    pub async fn start(namespace: &str, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let uid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, url.as_bytes()).to_string();
        let world = World {
            namespaces: [(namespace.to_owned(), uid)].into(),
            accounts: [(token.to_owned(), Vec::new())].into(),
            revision: 4711,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let shared = world.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let world = shared.clone();
                tokio::spawn(async move { serve(stream, &world).await });
            }
        });
        Self { url, world, task }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The requests of a verb since the start.
    pub fn count(&self, verb: &str) -> usize {
        self.world().asked.iter().filter(|asked| asked.verb == verb).count()
    }
}

impl Drop for KubernetesApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Lets something happen to the next request of a verb on Secrets.
    pub fn next(&mut self, verb: &'static str, mishap: Mishap) {
        self.mishaps.push((verb, mishap));
    }

    /// Binds an account to these Roles and no others.
    pub fn bind(&mut self, token: &str, roles: Vec<Value>) {
        self.accounts.insert(token.to_owned(), roles);
    }

    /// Changes a Secret behind everybody's back.
    pub fn change(&mut self, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        self.revision += 1;
        let key = (namespace.to_owned(), name.to_owned());
        let secret = self.secrets.get_mut(&key).unwrap();
        change(secret);
        secret["metadata"]["resourceVersion"] = json!(self.revision.to_string());
    }

    /// Makes a Secret behind everybody's back.
    pub fn make(&mut self, namespace: &str, name: &str, secret: Value) {
        self.revision += 1;
        let mut secret = secret;
        secret["apiVersion"] = json!("v1");
        secret["kind"] = json!("Secret");
        secret["metadata"]["name"] = json!(name);
        secret["metadata"]["namespace"] = json!(namespace);
        secret["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.secrets.insert((namespace.to_owned(), name.to_owned()), secret);
    }

    fn mishap(&mut self, verb: &str) -> Option<Mishap> {
        let at = self.mishaps.iter().position(|(of, _)| *of == verb)?;
        Some(self.mishaps.remove(at).1)
    }

    fn answer(&mut self, asked: &Asked, kind: &str) -> Answer {
        let quoted = if self.discreet { String::new() } else { asked.body.to_string() };
        let on_secrets = asked.path.contains("/secrets");
        let mishap = if on_secrets { self.mishap(asked.verb) } else { None };
        let refusal = |status: u16, reason: &'static str| {
            let words = format!("refused: {quoted}");
            Refusal { status, reason, words, kind: "secrets", name: String::new() }.answer(None)
        };
        match &mishap {
            Some(Mishap::Refused(status, reason)) => return refusal(*status, reason),
            Some(Mishap::Paused(status, seconds)) => {
                let words = "slow down".to_owned();
                let reason = "TooManyRequests";
                let refusal =
                    Refusal { status: *status, reason, words, kind: "", name: String::new() };
                return refusal.answer(Some(*seconds));
            }
            Some(Mishap::Foreign(status)) => {
                return Answer::Good(*status, "text/html", format!("<html>{quoted}</html>"));
            }
            Some(Mishap::LostBefore) => return Answer::HangUp,
            Some(Mishap::Overtaken) => rules::overtake(self, &asked.path),
            Some(Mishap::Deleted) => rules::delete(self, &asked.path),
            Some(
                Mishap::LostAfter
                | Mishap::CutAfter
                | Mishap::GarbledAfter
                | Mishap::RefusedAfter(..),
            )
            | None => {}
        }
        let (status, answer) = match rules::carry_out(self, asked, kind) {
            Ok((status, answer)) => (status, answer.to_string()),
            Err(mut refusal) => {
                refusal.words.push_str(&quoted);
                return refusal.answer(None);
            }
        };
        match mishap {
            Some(Mishap::LostAfter) => Answer::HangUp,
            Some(Mishap::CutAfter) => Answer::Cut(answer),
            Some(Mishap::GarbledAfter) => {
                Answer::Good(200, "application/json", format!("[{quoted}"))
            }
            Some(Mishap::RefusedAfter(status, reason)) => refusal(status, reason),
            Some(
                Mishap::Refused(..)
                | Mishap::Paused(..)
                | Mishap::Foreign(_)
                | Mishap::LostBefore
                | Mishap::Overtaken
                | Mishap::Deleted,
            )
            | None => Answer::Good(status, "application/json", answer),
        }
    }
}

impl Refusal {
    /// As a `meta/v1 Status`.
    fn answer(self, pause: Option<u64>) -> Answer {
        let mut details = json!({ "name": self.name, "kind": self.kind });
        if let Some(seconds) = pause {
            details["retryAfterSeconds"] = json!(seconds);
        }
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.words,
            "reason": self.reason,
            "details": details,
            "code": self.status,
        });
        Answer::Good(self.status, "application/json", status.to_string())
    }
}

async fn serve(mut stream: TcpStream, world: &Mutex<World>) {
    let Some((first, headers, body)) = read(&mut stream).await else { return };
    let mut words = first.split(' ');
    let verb = match words.next().unwrap_or_default() {
        "GET" => "get",
        "POST" => "create",
        "PATCH" => "patch",
        other => panic!("{other} is not asked of the API"),
    };
    let target = format!("http://api{}", words.next().unwrap_or_default());
    let url = reqwest::Url::parse(&target).unwrap();
    let header = |name: &str| headers.get(name).map_or("", String::as_str);
    let token = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let asked = Asked {
        verb,
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        body: serde_json::from_str(&body).unwrap_or_default(),
        token: token.to_owned(),
    };
    let answer = {
        let mut world = world.lock().unwrap();
        world.asked.push(asked.clone());
        world.answer(&asked, header("content-type"))
    };
    let (status, kind, text) = match answer {
        Answer::Good(status, kind, text) => (status, kind, text),
        Answer::Cut(text) => {
            let half = text.get(..text.len() / 2).unwrap_or_default();
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{half}", text.len());
            let _ = stream.write_all(head.as_bytes()).await;
            return;
        }
        Answer::HangUp => return,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<(String, BTreeMap<String, String>, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let first = head.lines().next().unwrap_or_default().to_owned();
            let headers: BTreeMap<String, String> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize =
                headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some((first, headers, body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
