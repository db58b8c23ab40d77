//! The providers, the SCIM probe and the HTTP client under them, against servers that answer
//! everything that can be answered, and some things that should not be.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::format_push_string,
    reason = "tests: what fails here should fail the test"
)]

mod answers;
pub(crate) mod assertion;
mod canary;
mod certificates;
mod connections;
mod dbt;
mod fake;
mod http;
mod login;
mod lost;
mod probe;
mod rights;
mod scim_config;
mod transport;
mod users;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::Url;
use scimitar::{
    clock::{Clock, SystemClock, SystemEntropy, Timestamp},
    http::{Endpoint, Http, HttpSettings},
    provider::{
        Call, Urgency,
        auth0::{Auth0, Auth0Settings, ClientAuth, SecretSource},
        budget::RateLimit,
    },
    secret::Secret,
    telemetry::metrics::{Metrics, Reader, Scrape},
    token::{ConnectionId, MintRequest, ProviderName, Scope, TokenId},
};

use fake::Fake;

/// As recorded, with a life; `{VALUE}` stands for the token.
const CREATED: &str = r#"{"token_id":"tok_cw8iYTPrN6Fzb6xi","token":"{VALUE}","scopes":["get:users","post:users"],"created_at":"2026-11-06T03:50:37.836Z","valid_until":"2026-12-06T03:50:37.836Z"}"#;

const CLIENT_SECRET: &str = "client-secret-canary";

fn value() -> String {
    format!("tok_cw8iYTPrN6Fzb6xi.{}", "0a".repeat(32))
}

fn http() -> Http {
    http_with(None, Duration::from_secs(5))
}

fn http_with(ca_file: Option<std::path::PathBuf>, request_timeout: Duration) -> Http {
    Http::try_new(HttpSettings {
        ca_file,
        proxy: None,
        request_timeout,
        user_agent: "scimitar/test".to_owned(),
    })
    .unwrap()
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::try_new(Url::parse(url).unwrap()).unwrap()
}

fn settings(url: &str) -> Auth0Settings {
    Auth0Settings {
        name: ProviderName::try_new("acme").unwrap(),
        domain: "acme.eu.auth0.com".to_owned(),
        base_url: endpoint(url),
        client_id: "the-client".to_owned(),
        auth: ClientAuth::Secret(
            SecretSource::new(|| Ok(Secret::new(CLIENT_SECRET.to_owned()))).into(),
        ),
        audience: None,
        share: 0.5,
        rate_limit: None,
        request_timeout: Duration::from_secs(5),
    }
}

fn provider(fake: &Fake) -> Arc<Auth0> {
    with_clock(settings(&fake.url), Arc::new(SystemClock))
}

fn with_clock(settings: Auth0Settings, clock: Arc<dyn Clock>) -> Arc<Auth0> {
    counting(settings, clock, &Metrics::try_new().unwrap())
}

/// The same, with metrics that the test keeps.
fn counting(settings: Auth0Settings, clock: Arc<dyn Clock>, metrics: &Metrics) -> Arc<Auth0> {
    Auth0::new(settings, http(), clock, Arc::new(SystemEntropy), metrics.clone(), None)
}

/// What a series comes to, as `/metrics` shows it; `None` where there is none.
fn counted(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = Scrape::new(metrics, [].iter(), Reader::NodeExporter, SystemClock.now()).finish();
    let text = text.unwrap().concat();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

/// How often a provider's answers 429 were counted.
fn throttled(metrics: &Metrics, provider: &str) -> Option<f64> {
    counted(metrics, &format!("scimitar_provider_throttled_total{{provider=\"{provider}\"}}"))
}

/// What is told of a provider's limit.
fn remaining(metrics: &Metrics, provider: &str) -> Option<f64> {
    counted(metrics, &format!("scimitar_provider_rate_limit_remaining{{provider=\"{provider}\"}}"))
}

fn connection() -> ConnectionId {
    ConnectionId::try_new("con_Hvg6w4PSvAVOoCJ2").unwrap()
}

fn call(connection: &ConnectionId) -> Call<'_> {
    Call { connection, urgency: Urgency::Routine, not_after: None }
}

fn token_id() -> TokenId {
    TokenId::try_new("tok_cw8iYTPrN6Fzb6xi").unwrap()
}

fn mint() -> MintRequest {
    let scopes = ["get:users", "post:users"].map(|scope| Scope::try_new(scope).unwrap());
    MintRequest {
        scopes: scopes.into_iter().collect(),
        life: Some(Duration::from_secs(2_591_985)),
        name: None,
    }
}

fn rate(per_second: f64, burst: u32) -> Option<RateLimit> {
    Some(RateLimit::try_new(per_second, burst).unwrap())
}

/// A clock that jumps to whatever is waited for.
#[derive(Debug)]
struct Jumping(Mutex<Timestamp>);

impl Jumping {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(SystemClock.now())))
    }

    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        tokio::task::yield_now().await;
        let mut now = self.0.lock().unwrap();
        *now = deadline.max(*now);
    }
}
