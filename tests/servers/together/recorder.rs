//! A proxy in front of a server that remembers what went through.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Response, header},
};
use reqwest::Client;
use tokio::{net::TcpListener, task::JoinHandle};

/// Far more than any request of a test.
const LONGEST: usize = 1 << 20;

/// What went through: the methods and paths.
type Log = Arc<Mutex<Vec<(String, String)>>>;

/// A running proxy; it ends with this.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) url: String,
    log: Log,
    task: JoinHandle<()>,
}

impl Recorder {
    /// In front of the server at this address.
    pub(crate) async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Log::default();
        let client = Client::builder().no_proxy().build().unwrap();
        let state = (upstream.to_owned(), client, Arc::clone(&log));
        let router = Router::new().fallback(forward).with_state(state);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, log, task }
    }

    /// What went through since it was asked last.
    pub(crate) fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    State((upstream, client, log)): State<(String, Client, Log)>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let said = (parts.method.to_string(), path.clone());
    log.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let body = to_bytes(body, LONGEST).await.unwrap();
    let sent = client.request(parts.method, format!("{upstream}{path}")).headers(headers);
    let answer = sent.body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if *name != header::TRANSFER_ENCODING && *name != header::CONTENT_LENGTH {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
