//! A sandbox, a client for it, and a clock that stands still until told.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use reqwest::{Client, Method, RequestBuilder};
use scimitar::{
    clock::{Clock, SystemClock, Timestamp},
    sandbox::{Options, Running, Sandbox},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A connection that is there from the start.
pub(crate) const OKTA: &str = "con_okta000000000001";
pub(crate) const WAAD: &str = "con_waad000000000001";
pub(crate) const SAMLP: &str = "con_samlp00000000001";
/// A well-formed id that no connection has.
pub(crate) const NOBODY: &str = "con_nobody0000000000";

/// A clock that is moved by hand.
#[derive(Debug)]
pub(crate) struct HandClock {
    at: Mutex<Timestamp>,
    moved: Notify,
}

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { at: Mutex::new(SystemClock.now()), moved: Notify::new() })
    }

    pub(crate) fn advance(&self, seconds: i64) {
        *self.at.lock().unwrap() += chrono::TimeDelta::seconds(seconds);
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.at.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.now() >= deadline {
                return;
            }
            moved.await;
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A running sandbox and a client that is logged in to it.
pub(crate) struct Bench {
    pub(crate) running: Running,
    pub(crate) client: Client,
    pub(crate) access: String,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let running = Sandbox::start(options).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let mut bench = Self { running, client, access: String::new() };
        let reply = bench.log_in(&[]).await;
        bench.access = reply.json()["access_token"].as_str().unwrap().to_owned();
        bench
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{}", self.running.url(), path.trim_start_matches('/'))
    }

    /// Logs in by form, with members replaced or (when empty) left out.
    pub(crate) async fn log_in(&self, changes: &[(&str, &str)]) -> Reply {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", "rotator"),
            ("client_secret", "s3cret"),
            ("audience", "https://acme.eu.auth0.com/api/v2/"),
        ];
        for (name, value) in changes {
            form.retain(|(known, _)| known != name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        send(self.client.post(self.url("oauth/token")).form(&form)).await.unwrap()
    }

    /// A call of the Management API.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.try_api(method, path, body).await.unwrap()
    }

    pub(crate) async fn try_api(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Reply> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, self.url(&format!("api/v2/{path}")))
            .bearer_auth(&self.access);
        if let Some(body) = body {
            request = request.json(&body);
        }
        send(request).await
    }

    pub(crate) fn tokens(id: &str) -> String {
        format!("connections/{id}/scim-configuration/tokens")
    }

    /// Makes a token for everything and gives its id and value.
    pub(crate) async fn mint(&self, id: &str) -> (String, String) {
        self.mint_with(id, json!({ "scopes": ["get:users", "post:users"] })).await
    }

    pub(crate) async fn mint_with(&self, id: &str, body: Value) -> (String, String) {
        let reply = self.api("POST", &Self::tokens(id), Some(body)).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let made = reply.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("token_id"), text("token"))
    }

    /// The ids that a list shows.
    pub(crate) async fn listed(&self, id: &str) -> Vec<String> {
        let reply = self.api("GET", &Self::tokens(id), None).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let ids = reply.json();
        let ids = ids.as_array().unwrap().iter();
        ids.map(|token| token["token_id"].as_str().unwrap().to_owned()).collect()
    }

    /// A call of a connection's SCIM endpoint.
    pub(crate) async fn scim(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request =
            self.client.request(method, self.url(&format!("scim/v2/connections/{path}")));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        send(request).await.unwrap()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}
