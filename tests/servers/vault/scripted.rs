//! A server that answers as told, byte by byte, for what a real one cannot be made to do.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// In lower case, with the values as they are.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What is done about it.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These bytes, then the connection is closed.
    Bytes(String),
    /// The connection is closed without a word.
    HangUp,
    /// Nothing, ever.
    Silence,
}

/// An answer in Vault's own form.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Value>) -> Answer {
    plain(status, headers, &body.into().to_string())
}

/// Any other answer.
pub(crate) fn plain(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    Answer::Bytes(format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

/// A running server; it ends with this.
pub(crate) struct Scripted {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, script) = (seen.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, script) = (log.clone(), script.clone());
                tokio::spawn(async move { serve(stream, &log, &*script).await });
            }
        });
        Self { url, seen, task }
    }

    /// A Vault that holds one secret of version 1 in an engine of version 2 and answers as usual,
    /// but for what `script` has an answer to.
    pub(crate) async fn vault(
        script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |asked| script(asked).unwrap_or_else(|| usual(asked))).await
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn usual(asked: &Asked) -> Answer {
    let metadata = json!({ "version": 1, "created_time": "2026-11-22T04:00:00Z" });
    let body = match (asked.method.as_str(), asked.path.as_str()) {
        (_, "/v1/auth/token/lookup-self") => json!({ "data": { "ttl": 0, "renewable": false } }),
        (_, path) if path.starts_with("/v1/sys/internal/ui/mounts/") => {
            json!({ "data": { "path": "kv/", "type": "kv", "options": { "version": "2" } } })
        }
        ("GET", "/v1/kv/data/x") => {
            json!({ "data": { "data": { "theirs": 1 }, "metadata": metadata } })
        }
        ("POST", "/v1/kv/data/x") => {
            json!({ "data": { "version": 2, "created_time": "2026-11-22T05:00:00Z" } })
        }
        (_, _) => return answer(404, &[], json!({ "errors": [] })),
    };
    answer(200, &[], body)
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    script: &(dyn Fn(&Asked) -> Answer + Send + Sync),
) {
    let Some(asked) = read(&mut stream).await else { return };
    let answer = script(&asked);
    log.lock().unwrap().push(asked);
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Answer::HangUp => {}
        Answer::Silence => std::future::pending().await,
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let method = first.next()?.to_owned();
            // The crate ends every path of a read in a question mark.
            let path = first.next()?.trim_end_matches('?').to_owned();
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
            if body.len() >= length {
                return Some(Asked { method, path, headers, body: body.to_owned() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
