//! A stand-in for AWS Secrets Manager and STS that answers as AWS's API reference says, also where
//! moto does not, and that can be made to fail in every way.
//!
//! Its refusals quote what they were sent, which AWS's do not, unless it is told to be as discreet:
//! whoever shows them is found out.

mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is done about one call instead of answering it well.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// It is refused; nothing changes.
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
    /// Somebody else makes this the current version first, then it is carried out.
    Overtaken(&'static str),
    /// From now on everybody is in this account, then it is carried out.
    Moved(&'static str),
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub region: String,
    pub call: String,
    pub body: Value,
    /// The id of the key that signed it.
    pub key: String,
}

/// A version.
#[derive(Clone, Debug, Default)]
pub struct Version {
    pub string: Option<String>,
    pub binary: Option<String>,
    pub labels: BTreeSet<String>,
}

/// A copy in another region.
#[derive(Clone, Debug)]
pub struct Replica {
    pub status: String,
    pub message: String,
    /// The version that is current there; `None`: the same as in the original.
    pub behind: Option<String>,
}

/// A secret.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    pub versions: BTreeMap<String, Version>,
    pub tags: BTreeMap<String, String>,
    pub rotates: bool,
    pub owner: Option<String>,
    pub kind: Option<String>,
    pub deleted: bool,
    pub replicas: BTreeMap<String, Replica>,
}

/// All there is.
#[derive(Debug, Default)]
pub struct World {
    pub secrets: BTreeMap<String, Secret>,
    /// What happens to the next calls of a name, one after the other.
    pub mishaps: Vec<(&'static str, Mishap)>,
    /// Which calls are not granted, by the secret.
    pub denied: BTreeSet<(String, String)>,
    pub asked: Vec<Asked>,
    /// Whether refusals quote nothing of what they were sent, as AWS's.
    pub discreet: bool,
    /// Who everybody is, where no role was taken on.
    pub caller: String,
    /// Which account everybody is in, and the secrets are in.
    pub account: String,
}

/// The account that everybody is in at first.
pub const ACCOUNT: &str = "111122223333";

/// A running server; it ends with this.
#[derive(Debug)]
pub struct SecretsManager {
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

impl SecretsManager {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = World { account: ACCOUNT.to_owned(), ..World::default() };
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

    /// A call behind everybody's back.
    pub fn must(&self, call: &str, body: &Value) -> Value {
        rules::carry_out(&mut self.world(), "eu-central-1", call, body)
            .unwrap_or_else(|refused| panic!("{call}: {refused:?}"))
    }

    /// The calls of a name since the start.
    pub fn count(&self, call: &str) -> usize {
        self.world().asked.iter().filter(|asked| asked.call == call).count()
    }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Lets something happen to the next call of a name.
    pub fn next(&mut self, call: &'static str, mishap: Mishap) {
        self.mishaps.push((call, mishap));
    }

    fn mishap(&mut self, call: &str) -> Option<Mishap> {
        let at = self.mishaps.iter().position(|(name, _)| *name == call)?;
        Some(self.mishaps.remove(at).1)
    }

    fn answer(&mut self, region: &str, call: &str, body: &Value) -> Answer {
        let name = body["SecretId"].as_str().or_else(|| body["Name"].as_str()).unwrap_or_default();
        if self.denied.contains(&(name.to_owned(), call.to_owned())) {
            let words = format!(
                "User: arn:aws:sts::123456789012:assumed-role/x/y is not authorized to perform: \
                 secretsmanager:{call} on resource: {name} because no identity-based policy allows it"
            );
            return refusal(400, "AccessDeniedException", &words);
        }
        let quoted = if self.discreet { String::new() } else { body.to_string() };
        let mishap = self.mishap(call);
        match mishap {
            Some(Mishap::Refused(status, kind)) => {
                return refusal(status, kind, &format!("refused: {quoted}"));
            }
            Some(Mishap::Foreign(status)) => {
                return Answer::Good(status, "text/html", format!("<html>{quoted}</html>"));
            }
            Some(Mishap::LostBefore) => return Answer::HangUp,
            Some(Mishap::Overtaken(text)) => rules::overtake(self, name, text),
            Some(Mishap::Moved(account)) => account.clone_into(&mut self.account),
            Some(
                Mishap::LostAfter
                | Mishap::CutAfter
                | Mishap::GarbledAfter
                | Mishap::RefusedAfter(..),
            )
            | None => {}
        }
        let answer = match rules::carry_out(self, region, call, body) {
            Ok(answer) => answer.to_string(),
            Err((kind, words)) => return refusal(400, kind, &format!("{words} ({quoted})")),
        };
        match mishap {
            Some(Mishap::LostAfter) => Answer::HangUp,
            Some(Mishap::CutAfter) => Answer::Cut(answer),
            Some(Mishap::GarbledAfter) => {
                Answer::Good(200, "application/x-amz-json-1.1", format!("[{quoted}"))
            }
            Some(Mishap::RefusedAfter(status, kind)) => {
                refusal(status, kind, &format!("refused: {quoted}"))
            }
            Some(
                Mishap::Refused(..)
                | Mishap::Foreign(_)
                | Mishap::LostBefore
                | Mishap::Overtaken(_)
                | Mishap::Moved(_),
            )
            | None => Answer::Good(200, "application/x-amz-json-1.1", answer),
        }
    }
}

fn refusal(status: u16, kind: &str, words: &str) -> Answer {
    let body = json!({ "__type": kind, "Message": words });
    Answer::Good(status, "application/x-amz-json-1.1", body.to_string())
}

async fn serve(mut stream: TcpStream, world: &Mutex<World>) {
    let Some((headers, body)) = read(&mut stream).await else { return };
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let signed = header("authorization");
    let scope = signed.split("Credential=").nth(1).unwrap_or_default();
    let scope: Vec<&str> = scope.split([',', '/']).collect();
    let (key, region) = match scope.as_slice() {
        [key, _, region, ..] if signed.starts_with("AWS4-HMAC-SHA256 ") => (*key, *region),
        _ => ("", ""),
    };
    let target = header("x-amz-target");
    let answer = match target.strip_prefix("secretsmanager.") {
        Some(call) => {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            let mut world = world.lock().unwrap();
            world.asked.push(Asked {
                region: region.to_owned(),
                call: call.to_owned(),
                body: body.clone(),
                key: key.to_owned(),
            });
            if key.is_empty() {
                refusal(400, "MissingAuthenticationTokenException", "it is not signed")
            } else {
                world.answer(region, call, &body)
            }
        }
        None => sts(&mut world.lock().unwrap(), region, key, &body),
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

/// Who one is, and who one becomes.
fn sts(world: &mut World, region: &str, key: &str, form: &str) -> Answer {
    let url = reqwest::Url::parse(&format!("http://x/?{form}")).unwrap();
    let fields: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let call = fields.get("Action").cloned().unwrap_or_default();
    world.asked.push(Asked {
        region: region.to_owned(),
        call: call.clone(),
        body: json!(fields),
        key: key.to_owned(),
    });
    match world.mishap(&call) {
        Some(Mishap::Refused(status, kind)) => {
            let form = form.replace('&', " ");
            let text = format!(
                "<ErrorResponse><Error><Code>{kind}</Code><Message>no, {form}</Message></Error>\
                 </ErrorResponse>"
            );
            return Answer::Good(status, "text/xml", text);
        }
        Some(_) => return Answer::HangUp,
        None => {}
    }
    let result = if call == "GetCallerIdentity" {
        let (arn, account) = if key == "ASSUMED" {
            ("arn:aws:sts::111122223333:assumed-role/scimitar/scimitar", ACCOUNT)
        } else {
            (world.caller.as_str(), world.account.as_str())
        };
        format!("<Arn>{arn}</Arn><UserId>X</UserId><Account>{account}</Account>")
    } else {
        "<Credentials><AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>assumed5ecret\
         </SecretAccessKey><SessionToken>assumedt0ken</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser>\
         <AssumedRoleId>X:y</AssumedRoleId><Arn>arn:aws:sts::111122223333:assumed-role/x/y</Arn>\
         </AssumedRoleUser>"
            .to_owned()
    };
    let text = format!(
        "<{call}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{call}Result>{result}\
         </{call}Result></{call}Response>"
    );
    Answer::Good(200, "text/xml", text)
}

async fn read(stream: &mut TcpStream) -> Option<(BTreeMap<String, String>, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let headers: BTreeMap<String, String> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize =
                headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some((headers, body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
