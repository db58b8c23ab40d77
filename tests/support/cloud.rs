//! What the doubles of clouds have in common: a server that is asked over HTTP, and what happens to a
//! request instead of its being answered well. What its API looks like is the cloud's.
//!
//! Refusals quote what they were sent, which the clouds' do not: whoever shows them is found out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is done about one request instead of answering it well.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// It is refused with this status and the cloud's own word; nothing changes.
    Refused(u16, &'static str),
    /// The same after it was carried out.
    RefusedAfter(u16, &'static str),
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
    /// Somebody else writes first, then it is carried out.
    Overtaken,
    /// It is carried out, then somebody else writes.
    Followed,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    /// Null where the body is no JSON.
    pub body: Value,
    /// The fields of a form.
    pub form: BTreeMap<String, String>,
}

impl Asked {
    /// The access token.
    pub fn token(&self) -> &str {
        let header = self.headers.get("authorization").map_or("", String::as_str);
        header.strip_prefix("Bearer ").unwrap_or_default()
    }
}

/// What a cloud refuses.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    /// Its own word for what is wrong.
    pub name: &'static str,
    pub words: String,
}

/// What is answered well.
pub struct Answered {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Answered {
    pub fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }
}

/// What one cloud does.
pub trait Rules: Send + 'static {
    /// What mishaps call a request.
    fn verb(asked: &Asked) -> &'static str;

    /// Answers it.
    ///
    /// # Errors
    /// What the cloud refuses.
    fn carry_out(&mut self, asked: &Asked) -> Result<Answered, Refusal>;

    /// Somebody else writes to what it is about.
    fn overtake(&mut self, asked: &Asked);

    /// A refusal as the cloud writes it.
    fn refusal(refusal: &Refusal) -> Value;
}

/// All there is.
#[derive(Debug)]
pub struct World<R> {
    pub rules: R,
    /// What happens to the next requests of a verb, one after the other.
    pub mishaps: Vec<(&'static str, Mishap)>,
    pub asked: Vec<Asked>,
}

/// A running server; it ends with this.
#[derive(Debug)]
pub struct Cloud<R> {
    pub url: String,
    world: Arc<Mutex<World<R>>>,
    task: JoinHandle<()>,
}

enum Answer {
    Good(u16, Vec<(&'static str, String)>, String),
    Cut(String),
    HangUp,
}

impl<R: Rules> Cloud<R> {
    pub async fn start(rules: impl FnOnce(&str) -> R) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = World { rules: rules(&url), mishaps: Vec::new(), asked: Vec::new() };
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

    pub fn world(&self) -> MutexGuard<'_, World<R>> {
        self.world.lock().unwrap()
    }

    /// The requests of a verb since the start.
    pub fn count(&self, verb: &str) -> usize {
        self.world().asked.iter().filter(|asked| R::verb(asked) == verb).count()
    }

    /// Lets something happen to the next request of a verb.
    pub fn next(&self, verb: &'static str, mishap: Mishap) {
        self.world().mishaps.push((verb, mishap));
    }
}

impl<R> Drop for Cloud<R> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<R: Rules> World<R> {
    fn answer(&mut self, asked: &Asked) -> Answer {
        let quoted = format!("{} {:?} {}", asked.body, asked.form, asked.token());
        let verb = R::verb(asked);
        let at = self.mishaps.iter().position(|(of, _)| *of == verb);
        let mishap = at.map(|at| self.mishaps.remove(at).1);
        let refused = |status, name| {
            let refusal = Refusal { status, name, words: format!("refused: {quoted}") };
            Answer::Good(status, Vec::new(), R::refusal(&refusal).to_string())
        };
        match &mishap {
            Some(Mishap::Refused(status, name)) => return refused(*status, name),
            Some(Mishap::Foreign(status)) => {
                return Answer::Good(*status, Vec::new(), format!("<html>{quoted}</html>"));
            }
            Some(Mishap::LostBefore) => return Answer::HangUp,
            Some(Mishap::Overtaken) => self.rules.overtake(asked),
            Some(_) | None => {}
        }
        let answered = match self.rules.carry_out(asked) {
            Ok(answered) => answered,
            Err(refusal) => {
                let words = format!("{}: {quoted}", refusal.words);
                let refusal = Refusal { words, ..refusal };
                let body = R::refusal(&refusal).to_string();
                return Answer::Good(refusal.status, Vec::new(), body);
            }
        };
        let body = answered.body.to_string();
        match mishap {
            Some(Mishap::LostAfter) => Answer::HangUp,
            Some(Mishap::CutAfter) => Answer::Cut(body),
            Some(Mishap::GarbledAfter) => Answer::Good(200, Vec::new(), format!("[{quoted}")),
            Some(Mishap::RefusedAfter(status, name)) => refused(status, name),
            Some(Mishap::Followed) => {
                self.rules.overtake(asked);
                Answer::Good(answered.status, answered.headers, body)
            }
            Some(_) | None => Answer::Good(answered.status, answered.headers, body),
        }
    }
}

async fn serve<R: Rules>(mut stream: TcpStream, world: &Mutex<World<R>>) {
    let Some(asked) = read(&mut stream).await else { return };
    let answer = {
        let mut world = world.lock().unwrap();
        world.asked.push(asked.clone());
        world.answer(&asked)
    };
    let (status, headers, text) = match answer {
        Answer::Good(status, headers, text) => (status, headers, text),
        Answer::Cut(text) => {
            let half = text.get(..text.len() / 2).unwrap_or_default();
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{half}", text.len());
            let _ = stream.write_all(head.as_bytes()).await;
            return;
        }
        Answer::HangUp => return,
    };
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\n{more}\
         content-length: {}\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize =
                headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let method = first.next()?.to_owned();
                let url = reqwest::Url::parse(&format!("http://cloud{}", first.next()?)).unwrap();
                let form = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
                let is_form = headers.get("content-type").is_some_and(|it| it.contains("form"));
                return Some(Asked {
                    method,
                    path: url.path().to_owned(),
                    query: url.query_pairs().into_owned().collect(),
                    body: serde_json::from_str(body).unwrap_or_default(),
                    form: if is_form {
                        form.query_pairs().into_owned().collect()
                    } else {
                        [].into()
                    },
                    headers,
                });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
