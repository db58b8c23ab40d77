//! A few connections, kept open and used by one call at a time, and what is done when one is lost.
//!
//! Nothing is ever set for a session: each call is one transaction that says all it needs, so that a
//! pooler in between may give every transaction another server process.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::AbortHandle,
    time::Instant,
};
use tokio_postgres::{
    Client, NoTls,
    config::{SslMode, TargetSessionAttrs},
};

use super::{
    address::{Address, Host},
    failure::{Failure, Remedy},
    schema,
    tls::Tls,
};
use crate::{clock::Entropy, secret::SecretSource, token::LedgerId};

/// How many connections one handle has open at most.
const CONNECTIONS: usize = 8;

/// How long one call may take, with all that is tried again.
const CALL: Duration = Duration::from_secs(15);

/// How long one try may take: longer than the server gives a statement. Whoever does not answer within
/// that is not there any more.
const TRY: Duration = Duration::from_secs(7);

/// How long one server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long what was sent may stay unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// When an idle connection is first asked whether the other end is still there.
const IDLE: Duration = Duration::from_secs(30);

/// How often one call is tried.
const TRIES: u32 = 5;

/// How to reach a ledger.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// The role's password; read for each connection.
    pub password: Option<SecretSource>,
    /// PEM file with further certificate authorities, beside the system's.
    pub ca_file: Option<PathBuf>,
}

pub(super) struct Pool {
    pub(super) settings: Settings,
    /// Whether only a server that can be written is of use.
    writes: bool,
    /// Which ledger was opened: another one in its place is not written to.
    id: OnceLock<LedgerId>,
    permits: Semaphore,
    idle: Mutex<BTreeMap<u64, Connected>>,
    entropy: Arc<dyn Entropy>,
}

struct Connected {
    client: Arc<Client>,
    task: AbortHandle,
}

impl Drop for Connected {
    fn drop(&mut self) {
        // What waits for an answer of a server that does not answer would keep the socket open.
        self.task.abort();
    }
}

/// A connection in use. It goes back to the others unless it is of no use any more: also when whoever
/// asked went away, since all that was asked was sent by then.
struct Lent<'a> {
    pool: &'a Pool,
    connected: Option<Connected>,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connected) = self.connected.take().filter(|it| !it.client.is_closed()) {
            self.pool.keep(connected);
        }
    }
}

impl Pool {
    pub(super) fn new(settings: Settings, writes: bool, entropy: Arc<dyn Entropy>) -> Self {
        let permits = Semaphore::new(CONNECTIONS);
        Self { settings, writes, id: OnceLock::new(), permits, idle: Mutex::default(), entropy }
    }

    /// From now on no other ledger will do.
    pub(super) fn must_be(&self, id: LedgerId) {
        self.id.get_or_init(|| id);
    }

    /// Does one thing over a connection, again where that helps: `work` must be harmless when it was
    /// done already. It is told how often it was tried before.
    pub(super) async fn call<T, Work>(
        &self,
        work: impl Fn(Arc<Client>, u32) -> Work,
    ) -> Result<T, Failure>
    where
        Work: Future<Output = Result<T, Failure>>,
    {
        let late = || {
            let seconds = CALL.as_secs();
            Failure::Unavailable(format!("it did not answer within {seconds} s"))
        };
        let deadline = Instant::now() + CALL;
        let (mut tried, mut fresh) = (0, false);
        loop {
            let lent = tokio::time::timeout_at(deadline, self.lend(fresh)).await;
            let mut lent = lent.unwrap_or_else(|_| Err(late()))?;
            let Some(client) = lent.connected.as_ref().map(|it| Arc::clone(&it.client)) else {
                return Err(late());
            };
            let until = deadline.min(Instant::now() + TRY);
            let answer = tokio::time::timeout_at(until, work(client, tried)).await;
            let (failure, remedy) = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => {
                    let remedy = failure.remedy();
                    (failure, remedy)
                }
                Err(_) => {
                    self.forget();
                    (late(), Remedy::Reconnect)
                }
            };
            fresh = remedy == Remedy::Reconnect;
            if fresh {
                lent.connected = None;
            }
            drop(lent);
            // Also one that nobody answered: it may have been done.
            tried += 1;
            if remedy == Remedy::Answer || tried >= TRIES || Instant::now() >= deadline {
                return Err(failure);
            }
            tracing::debug!(tried, ?remedy, "retrying the request to the ledger");
            tokio::time::sleep_until(deadline.min(Instant::now() + self.pause(tried))).await;
        }
    }

    /// Twice as long each time, and never as long as others who were in the same way.
    fn pause(&self, tried: u32) -> Duration {
        let most = 20_u64 << tried.min(5);
        Duration::from_millis(most / 2 + self.entropy.bits() % (most / 2))
    }

    async fn lend(&self, fresh: bool) -> Result<Lent<'_>, Failure> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| Failure::Unavailable("it was closed".to_owned()))?;
        // After a loss the others are likely lost as well, and not known to be yet.
        let idle = if fresh { None } else { self.take() };
        let connected = match idle {
            Some(connected) => connected,
            None => self.connect().await?,
        };
        Ok(Lent { pool: self, connected: Some(connected), _permit: permit })
    }

    /// The one that was used last: those that are not needed are lost first.
    fn take(&self) -> Option<Connected> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, connected| !connected.client.is_closed());
        idle.pop_last().map(|(_, connected)| connected)
    }

    /// Gives up the others as well: what does not answer on one does not on another that is as old.
    fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn keep(&self, connected: Connected) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let next = idle.last_key_value().map_or(0, |(last, _)| last + 1);
        idle.insert(next, connected);
        if idle.len() > CONNECTIONS {
            idle.pop_first();
        }
    }

    async fn connect(&self) -> Result<Connected, Failure> {
        let Settings { address, password, ca_file } = &self.settings;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&address.user)
            .dbname(&address.database)
            .application_name("scimitar")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(IDLE)
            .ssl_mode(if address.tls { SslMode::Require } else { SslMode::Disable });
        for host in &address.hosts {
            match host {
                Host::Tcp { name, port } => config.host(name).port(*port),
                Host::Socket { folder, port } => config.host_path(folder).port(*port),
            };
        }
        if self.writes && address.hosts.len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if let Some(password) = password {
            let secret = password.read().map_err(|words| {
                Failure::Unavailable(format!("`password` in [state] cannot be read: {words}"))
            })?;
            config.password(secret.expose());
        }
        let (client, task) = if address.tls {
            let (client, connection) = config.connect(Tls::trusting(ca_file.as_deref())?).await?;
            (client, tokio::spawn(connection).abort_handle())
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            (client, tokio::spawn(connection).abort_handle())
        };
        let connected = Connected { client: Arc::new(client), task };
        if let Some(id) = self.id.get() {
            schema::same_ledger(&connected.client, id).await?;
        }
        Ok(connected)
    }
}
