//! An Auth0-compatible tenant to rehearse and test against: log-in, connections, SCIM
//! configuration, SCIM tokens with the real limits, and the SCIM endpoint with users in it.
//!
//! Beside it, at the same address, one account of dbt Cloud with its own API and SCIM endpoint
//! (`dbt`), for what differs there.
//!
//! What it answers follows public records of Auth0: recorded exchanges, the OpenAPI description
//! and the error bodies that clients report. Where those leave a behaviour open, the choice is
//! named where it is made, and [`Quirks`] can often change it.
//!
//! Every request is one transaction on the state (`storage`): `Tenant::answer` is a function of
//! the state, the request, the time and randomness. `server` puts HTTP and the misbehaviour of
//! [`Faults`] around it.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use reqwest::Url;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::{
    faults::{Act, Faults, LateAnswer, Rule, Seen},
    quirks::Quirks,
    ratelimit::Reset,
    state::Expired,
};
use self::{
    oauth::Clients,
    ratelimit::Limit,
    server::Front,
    state::{State, View},
    storage::Storage,
    wire::{TenantAnswer, TenantRequest},
};
use crate::{
    clock::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp},
    secret::Secret,
};

mod connection_options;
mod connections;
mod control;
mod dbt;
mod directory;
mod faults;
mod filter;
mod made;
mod management;
mod mapping;
mod mislead;
mod oauth;
mod paging;
mod patch;
mod quirks;
mod ratelimit;
mod schemas;
mod scim;
mod server;
mod state;
mod storage;
mod tokens;
mod wire;

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder that keeps the state, shared with every sandbox that names it; none: memory.
    pub data_dir: Option<PathBuf>,
    /// The only client that may log in; none: any id with any secret or assertion.
    pub client: Option<(String, Secret)>,
    /// The RSA public key (PEM) that a client's assertion must be signed with; none: assertions
    /// are read but their signature is not checked.
    pub client_public_key: Option<String>,
    /// Requests a second and burst of the Management API; none: no limit, and no headers of one.
    pub rate: Option<(f64, u32)>,
    /// How many connections there are beside the first three.
    pub connections: usize,
    /// Serves `/sandbox/faults`, `/sandbox/release` and `/sandbox/requests` to anyone.
    pub control: bool,
    /// The tenant's clock.
    pub clock: Arc<dyn Clock>,
    /// Where ids and values come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Options {
    /// A free port on loopback, in memory, open to every client, without a limit.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: None,
            client: None,
            client_public_key: None,
            rate: None,
            connections: 0,
            control: false,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("the sandbox cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error("the sandbox cannot keep its state in {}", folder.display())]
    Folder {
        /// The folder asked for.
        folder: PathBuf,
        /// What the system said, or what is there instead.
        source: io::Error,
    },
    /// A limit that would let nothing through.
    #[error("a rate limit must be more than 0 requests a second, with a burst of at least 1")]
    Rate,
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "name another address, or stop the process that listens there",
            Self::Folder { .. } => {
                "name another folder for it, or let the user that runs scimitar write to that one"
            }
            Self::Rate => "set another rate limit, or none",
        }
    }
}

/// An Auth0-compatible tenant.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a tenant; it listens when this returns.
    ///
    /// # Errors
    /// When the address or the folder cannot be used, or the limit is none.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let limit = match options.rate {
            None => None,
            Some((per_second, burst))
                if per_second > 0.0 && per_second.is_finite() && burst > 0 =>
            {
                Some(Limit { per_second, burst })
            }
            Some(_) => return Err(StartError::Rate),
        };
        let clients = Clients { client: options.client, public_key: options.client_public_key };
        let setup = Setup {
            clock: options.clock,
            entropy: options.entropy,
            clients: Arc::new(clients),
            limit,
            control: options.control,
        };
        let storage = open(&setup, options.data_dir, options.connections).await?;
        let address = options.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let url = Url::parse(&format!("http://{bound}/"))
            .map_err(|error| listen(io::Error::other(error)))?;
        let stop = CancellationToken::new();
        let faults = Faults::new(storage.clone());
        let front = Front { setup, storage, faults: faults.clone(), stop: stop.clone() };
        let task = tokio::spawn(server::serve(listener, Arc::new(front)));
        Ok(Running { url, faults, stop, task })
    }
}

/// Runs a tenant until `stop`; `listening` is told its URL once it listens.
///
/// # Errors
/// When it cannot be started.
pub async fn serve(
    options: Options,
    stop: CancellationToken,
    listening: impl FnOnce(&Url) + Send,
) -> Result<(), StartError> {
    let running = Sandbox::start(options).await?;
    listening(&running.url());
    stop.cancelled().await;
    running.stop().await;
    Ok(())
}

/// A tenant that listens. Dropping it stops it too, without waiting for open requests.
#[derive(Debug)]
pub struct Running {
    url: Url,
    faults: Faults,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Where it listens: the `base_url` of a provider, with a slash at its end.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The handle on its misbehaviour.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Stops listening and ends what is open: idle connections are closed, requests in work are
    /// answered, held ones dropped.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // A client that never sends the rest of its request is not waited for.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), &mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

async fn open(setup: &Setup, folder: Option<PathBuf>, extra: usize) -> Result<Storage, StartError> {
    let clock = Arc::clone(&setup.clock);
    let seed = move |state: &mut State| state.seed(extra, clock.now());
    let Some(folder) = folder else {
        let mut state = State::default();
        seed(&mut state);
        return Ok(Storage::in_memory(state));
    };
    let entropy = Arc::clone(&setup.entropy);
    let path = folder.clone();
    tokio::task::spawn_blocking(move || Storage::in_folder(&path, entropy, seed))
        .await
        .unwrap_or_else(|failed| Err(io::Error::other(failed)))
        .map_err(|source| StartError::Folder { folder, source })
}

/// What stays the same while a sandbox runs.
#[derive(Clone, Debug)]
struct Setup {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    clients: Arc<Clients>,
    limit: Option<Limit>,
    control: bool,
}

/// The tenant as one request sees it.
struct Tenant<'a> {
    now: Timestamp,
    entropy: &'a dyn Entropy,
    clients: &'a Clients,
    limit: Option<Limit>,
    quirks: &'a Quirks,
    view: View,
}

impl Tenant<'_> {
    fn answer(&self, state: &mut State, ask: &TenantRequest) -> TenantAnswer {
        match ask.parts().as_slice() {
            ["oauth", "token"] if ask.method == "POST" => oauth::log_in(self, state, ask),
            ["api", "v2", rest @ ..] => management::answer(self, state, ask, rest),
            ["scim", "v2", "connections", id, rest @ ..] => {
                let base = format!("{}/scim/v2/connections/{id}", ask.origin);
                scim::answer(self, state, ask, (id, &base), rest)
            }
            ["api", "v3", "accounts", account, rest @ ..] => {
                dbt::answer(self, state, ask, account, rest)
            }
            _ => wire::not_found(),
        }
    }
}
