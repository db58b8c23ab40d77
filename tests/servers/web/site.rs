//! A server in this process, over a ledger in a folder of its own.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::{Client, Method, Response, Url};
use scimitar::{
    clock::{Clock, ProviderTime, SystemEntropy, Timestamp, parse_timestamp},
    engine::{
        live::{Live, Obstacle},
        progress::Silent,
        worker::{Connection, Engine, Reopen},
    },
    error::{Class, Code, Fault},
    ledger::{Claimed, Entry, Ledger, sqlite::SqliteLedger},
    probe::{ProbeAnswer, ScimProbe, UserAct, UserAnswer},
    provider::{Call, Provider, Revoked, Right, auth0, kind::Needs},
    rotation::{
        policy::{Capabilities, Policy, ScopePolicy, Terms},
        record::Record,
    },
    sink::{Place, Sink},
    telemetry::metrics::Metrics,
    token::{ConnectionId, Listing, MintRequest, Minted, TokenId, TokenValue},
    web::{Limits, Site, serve},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The same, as the provider would tell it.
pub(crate) fn there() -> ProviderTime {
    ProviderTime::told(now())
}

pub(crate) fn now() -> Timestamp {
    parse_timestamp("2026-11-22T04:00:00Z").unwrap()
}

/// A clock that stands until it is moved; who sleeps wakes when it is moved there.
#[derive(Debug)]
pub(crate) struct HandSet(tokio::sync::watch::Sender<Timestamp>);

impl HandSet {
    fn new() -> Self {
        Self(tokio::sync::watch::Sender::new(now()))
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        self.0.send_modify(|now| *now += time);
    }
}

#[async_trait]
impl Clock for HandSet {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut moved = self.0.subscribe();
        // The sender outlives every sleeper that anybody waits for.
        drop(moved.wait_for(|now| *now >= deadline).await);
    }
}

/// A server with its ledger.
pub(crate) struct Stand {
    pub(crate) address: SocketAddr,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Arc<HandSet>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) folder: tempfile::TempDir,
    client: Client,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

impl Stand {
    /// Serves these records; each belongs to a configured connection unless it is in `left`.
    pub(crate) async fn of(records: &[Record], left: &[Record]) -> Self {
        Self::with(records, left, Limits::default(), "127.0.0.1:0").await
    }

    pub(crate) async fn with(
        records: &[Record],
        left: &[Record],
        limits: Limits,
        listen: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db"), &SystemEntropy).unwrap();
        let ledger = Arc::new(ledger);
        for record in records.iter().chain(left) {
            put(ledger.as_ref(), record).await;
        }
        let mut stand = Self::over(ledger, records, limits, listen).await;
        stand.folder = folder;
        stand
    }

    /// Serves these connections over whatever ledger.
    pub(crate) async fn over(
        ledger: Arc<dyn Ledger>,
        records: &[Record],
        limits: Limits,
        listen: &str,
    ) -> Self {
        let connections = records.iter().map(|record| Arc::new(connection(record))).collect();
        let clock = Arc::new(HandSet::new());
        let live = Arc::new(Live::starting(connections, now()));
        live.cleared(Obstacle::Starting);
        let engine = Engine {
            person: None,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
            ledger: Arc::clone(&ledger),
            metrics: Metrics::try_new().unwrap(),
            audit: Arc::new(scimitar::telemetry::audit::Off),
            progress: Arc::new(Silent),
            pool: Default::default(),
            services: Default::default(),
            request_timeout: Duration::from_secs(1),
        };
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let site = Site::new(engine, Arc::clone(&live), limits);
        let serving = tokio::spawn(serve(listener, site, stop.clone()));
        let client = Client::builder().no_proxy().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { address, live, clock, ledger, stop, serving, folder, client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn ask(&self, method: Method, path: &str) -> Response {
        self.client.request(method, self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(Method::GET, path).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The page, which came well.
    pub(crate) async fn page(&self, path: &str) -> String {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{page}");
        page
    }
}

/// Writes a record, and what happened to it.
pub(crate) async fn put(ledger: &SqliteLedger, record: &Record) {
    let claim = match ledger.claim(&record.key, Duration::from_secs(60)).await.unwrap() {
        Claimed::Yes(claim, _) => claim,
        Claimed::Held(left) => panic!("held for another {left:?}"),
    };
    let mut version = 0;
    let happened = [
        (3_000, "resumed", "the pause was ended (by alice): <b>bold</b> & \"quoted\""),
        (1_500, "intended", "less than rotate_before (10d) is left"),
        (1_500, "settled", "every sink holds tok_new"),
        (60, "looked", "every sink holds tok_new"),
        (1, "looked", "every sink holds tok_new"),
    ];
    for (before, event, words) in happened {
        let at = now() - TimeDelta::minutes(before);
        let entry = Entry { at, event: event.to_owned(), words: words.to_owned() };
        version = ledger.store(&claim, version, record, &entry).await.unwrap();
    }
    ledger.release(&claim).await.unwrap();
}

/// A configured connection that nobody attends to.
pub(crate) fn connection(record: &Record) -> Connection {
    let policy = Policy {
        name: record.name.clone(),
        provider: record.provider.clone(),
        key: record.key.clone(),
        capabilities: auth0::capabilities().into(),
        survey_interval: Duration::from_secs(3_600),
        terms: Terms { scopes: ScopePolicy::Inherit, ..Terms::default() }.into(),
    };
    Connection {
        policy: Arc::new(policy),
        provider: Arc::new(Nobody),
        probe: Arc::new(Nobody),
        places: Arc::new(Vec::new()),
        reopen: Arc::new(Nobody),
        hooks: Arc::default(),
    }
}

/// Is never asked anything: pages look at the ledger alone.
#[derive(Debug)]
struct Nobody;

fn unasked() -> Fault {
    Fault::new("be asked", Class::Terminal, Code::Invalid, "a page asked a service")
}

#[async_trait]
impl Provider for Nobody {
    fn capabilities(&self) -> Capabilities {
        auth0::capabilities()
    }

    fn scim_endpoint(&self, _connection: &ConnectionId) -> Url {
        Url::parse("http://localhost/").unwrap()
    }

    fn id_in(&self, _value: &TokenValue) -> Option<TokenId> {
        None
    }

    async fn list(&self, _call: Call<'_>) -> Result<Listing, Fault> {
        Err(unasked())
    }

    async fn create(&self, _call: Call<'_>, _request: &MintRequest) -> Result<Minted, Fault> {
        Err(unasked())
    }

    async fn revoke(&self, _call: Call<'_>, _id: &TokenId) -> Result<Revoked, Fault> {
        Err(unasked())
    }

    async fn prove(
        &self,
        _connections: &[ConnectionId],
        _needs: Needs,
    ) -> Result<Vec<Right>, Fault> {
        Err(unasked())
    }
}

#[async_trait]
impl ScimProbe for Nobody {
    fn longest(&self) -> Duration {
        Duration::ZERO
    }

    async fn anonymous(&self, _endpoint: &Url) -> Result<(), Fault> {
        Err(unasked())
    }

    async fn read(&self, _endpoint: &Url, _token: &TokenValue) -> ProbeAnswer {
        ProbeAnswer::Inconclusive(unasked())
    }

    async fn user(&self, _endpoint: &Url, _token: &TokenValue, _act: &UserAct) -> UserAnswer {
        UserAnswer::Inconclusive(unasked())
    }
}

impl Reopen for Nobody {
    fn reopen(&self, _place: &Place) -> Option<Arc<dyn Sink>> {
        None
    }
}

/// The words of a log or header that matter, by their names.
pub(crate) fn headers(answer: &Response) -> BTreeMap<String, String> {
    let headers = answer.headers().iter();
    headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

/// The last line of defence of a test that waits for the network.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap()
}
