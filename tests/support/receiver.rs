//! Whoever webhooks tell: a server that notes what it is sent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::Value;

/// A receiver that notes requests and answers them all alike.
#[derive(Debug)]
pub struct Receiver {
    pub port: u16,
    status: Arc<Mutex<u16>>,
    seen: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let status = Arc::new(Mutex::new(204));
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (answer, noted, over) = (Arc::clone(&status), Arc::clone(&seen), Arc::clone(&ended));
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let status = *answer.lock().unwrap();
                if let Ok(request) = answered(stream, status) {
                    noted.lock().unwrap().push(request);
                }
            }
        });
        Self { port, status, seen, ended, serving: Some(serving) }
    }

    pub fn answers(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The JSON bodies whose `event` is this.
    pub fn told(&self, event: &str) -> Vec<Value> {
        let bodies = self.seen();
        let bodies = bodies.iter().filter_map(|seen| seen.split_once("\r\n\r\n"));
        let bodies = bodies.map(|(_, body)| serde_json::from_str::<Value>(body).unwrap());
        bodies.filter(|body| body["event"] == event).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// The whole request, once it was answered.
fn answered(stream: TcpStream, status: u16) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes())?;
    Ok(head + &String::from_utf8_lossy(&body))
}
