//! From the configuration to what runs: providers, sinks, the ledger, the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path, sync::Arc};

use reqwest::Url;

use super::{
    aws::{self, Accounts},
    output::{Failure, FailureClass},
    vaults::{self, Vaults},
};
use crate::{
    clock::{Clock, SystemEntropy},
    config::{
        self, Auth0Config, Config, ConnectionConfig, Destination, Environment, FileFormat,
        HttpConfig, ProviderConfig, SandboxConfig, SecretRef, SinkConfig,
    },
    engine::{
        progress::Progress,
        worker::{Connection, Engine, Reopen},
    },
    error::{Class, Code, Fault, chain},
    http::{Endpoint, Http, HttpSettings},
    ledger::{Ledger, LedgerError, scratch::Scratch, sqlite::SqliteLedger},
    probe::{ScimClient, ScimProbe},
    provider::{
        Provider,
        auth0::{Auth0, Auth0Settings, ClientAuth, SecretSource},
        budget::RateLimit,
        unstarted::Unstarted,
    },
    sandbox::{Options, Running, Sandbox},
    secret::Secret,
    sink::{
        Place, Sink,
        aws::AwsSink,
        file::{FileSettings, FileSink, Format},
        payload::PayloadTemplate,
        vault::VaultSink,
    },
    telemetry::metrics::Metrics,
    token::{ConnectionName, LedgerId, ProviderName},
};

/// Who is asking, in requests.
const USER_AGENT: &str = concat!("scimitar/", env!("CARGO_PKG_VERSION"));

/// Where a sandbox that did not start would be; nothing asks there.
const NOWHERE: &str = "http://127.0.0.1:1/";

/// How the ledger is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For records to be written; made when it is not there.
    Write,
    /// For looking: nothing is made or written.
    Look,
}

/// Everything that a command needs, built from the configuration.
#[derive(Debug)]
pub struct House {
    /// What the workers share.
    pub engine: Engine,
    /// The connections, in the order of the files.
    pub connections: Vec<Connection>,
    /// The providers.
    pub providers: BTreeMap<ProviderName, Arc<dyn Provider>>,
    /// How many connections are attended to at once.
    pub limit: NonZeroUsize,
    /// The Vault servers; a log-in's token is given back at the end.
    pub vaults: Vaults,
    /// The embedded sandboxes; they end with it.
    pub sandboxes: Vec<Running>,
}

/// A provider and the client that proves its tokens.
type Reached = (Arc<dyn Provider>, Arc<dyn ScimProbe>);

/// Builds everything.
///
/// # Errors
/// What cannot be had: the ledger, an embedded sandbox, a certificate file.
pub async fn build(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    usage: Use,
) -> Result<House, Failure> {
    let ledger = open_ledger(&config.state.path, usage)?;
    let metrics = Metrics::try_new().map_err(|error| system(&error))?;
    let mut providers: BTreeMap<ProviderName, Reached> = BTreeMap::new();
    let mut sandboxes = Vec::new();
    for (name, provider) in &config.providers {
        let used = config.connections.iter().any(|connection| connection.provider == *name);
        if !used {
            continue;
        }
        metrics.provider(name);
        let mut unstarted = None;
        let (settings, http) = match provider {
            ProviderConfig::Auth0(auth0) => {
                (auth0_settings(name, auth0, env, config)?, http(&auth0.http, config)?)
            }
            ProviderConfig::Sandbox(sandbox) => {
                let url = match start_sandbox(name, sandbox, clock).await {
                    Ok(running) => {
                        let url = running.url();
                        sandboxes.push(running);
                        url
                    }
                    // It stops its own connections and no others.
                    Err(fault) => {
                        unstarted = Some(fault);
                        Url::parse(NOWHERE).map_err(|error| system(&error))?
                    }
                };
                let settings = sandbox_settings(name, sandbox, url, config)?;
                (settings, http(&HttpConfig::default(), config)?)
            }
        };
        let probe = Arc::new(ScimClient::new(http.clone(), config.engine.request_timeout));
        let (clock, entropy) = (clock.clone(), Arc::new(SystemEntropy));
        let mut provider: Arc<dyn Provider> =
            Auth0::new(settings, http, clock, entropy, metrics.clone());
        if let Some(fault) = unstarted {
            provider = Arc::new(Unstarted { like: provider, fault });
        }
        providers.insert(name.clone(), (provider, probe));
    }
    for sink in config.sinks.keys() {
        metrics.sink(sink);
    }
    let vaults = vaults::servers(config, env, clock)?;
    let accounts = aws::accounts(config, clock)?;
    let reopen: Arc<dyn Reopen> =
        Arc::new(Remembered { vaults: vaults.clone(), accounts: accounts.clone() });
    let mut connections = Vec::new();
    for connection in &config.connections {
        let Some((provider, probe)) = providers.get(&connection.provider) else { continue };
        connections.push(Connection {
            policy: Arc::new(
                connection.policy(provider.capabilities(), config.engine.survey_interval),
            ),
            provider: provider.clone(),
            probe: probe.clone(),
            sinks: sinks(connection, config, &vaults, &accounts)?,
            reopen: reopen.clone(),
        });
    }
    let engine = Engine {
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        ledger,
        metrics,
        progress,
        request_timeout: config.engine.request_timeout,
    };
    let limit = usize::try_from(config.engine.max_parallel)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN);
    let providers = providers.into_iter().map(|(name, (provider, _))| (name, provider)).collect();
    Ok(House { engine, connections, providers, limit, vaults, sandboxes })
}

impl House {
    /// Gives log-ins back, and stops the embedded sandboxes after their open requests.
    pub async fn close(self) {
        for vault in self.vaults.values() {
            vault.close().await;
        }
        for sandbox in self.sandboxes {
            sandbox.stop().await;
        }
    }
}

/// Opens the ledger.
///
/// # Errors
/// In words, with the way out.
pub fn open_ledger(path: &Path, usage: Use) -> Result<Arc<dyn Ledger>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(FailureClass::Ledger, chain(error));
    match usage {
        Use::Write => {
            let ledger =
                SqliteLedger::open(path, &SystemEntropy).map_err(|error| failed(&error))?;
            Ok(Arc::new(ledger))
        }
        Use::Look => match SqliteLedger::open_read_only(path).map_err(|error| failed(&error))? {
            Some(ledger) => Ok(Arc::new(ledger)),
            None => {
                let id = LedgerId::try_new("none-yet").map_err(|error| failed(&error))?;
                Ok(Arc::new(Scratch::empty(id)))
            }
        },
    }
}

/// A ledger's error as the command's.
#[must_use]
pub fn ledger_failure(error: &LedgerError) -> Failure {
    Failure::new(FailureClass::Ledger, chain(error))
}

fn system(error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureClass::System, chain(error))
}

fn http(own: &HttpConfig, config: &Config) -> Result<Http, Failure> {
    Http::try_new(http_settings(own, config)).map_err(|error| system(&error))
}

/// How a service is reached; what it does not say itself, the top tables say.
pub(super) fn http_settings(own: &HttpConfig, config: &Config) -> HttpSettings {
    HttpSettings {
        ca_file: own.ca_file.clone().or_else(|| config.http.ca_file.clone()),
        proxy: own.proxy.clone().or_else(|| config.http.proxy.clone()),
        request_timeout: config.engine.request_timeout,
        user_agent: USER_AGENT.to_owned(),
    }
}

fn rate_limit(limit: Option<config::RateLimit>) -> Option<RateLimit> {
    limit.and_then(|limit| RateLimit::try_new(limit.per_second, limit.burst))
}

fn auth0_settings(
    name: &ProviderName,
    auth0: &Auth0Config,
    env: &Arc<dyn Environment>,
    config: &Config,
) -> Result<Auth0Settings, Failure> {
    let source = |secret: &SecretRef| vaults::referred(secret, env);
    Ok(Auth0Settings {
        name: name.clone(),
        domain: auth0.domain.clone(),
        base_url: Endpoint::try_new(auth0.base_url.clone()).map_err(|error| system(&error))?,
        client_id: auth0.client_id.clone(),
        auth: match &auth0.auth {
            config::ClientAuth::Secret(secret) => ClientAuth::Secret(source(secret)),
            config::ClientAuth::AssertionKey(key) => ClientAuth::AssertionKey(source(key)),
        },
        audience: Some(auth0.audience.clone()),
        share: auth0.share.get(),
        rate_limit: rate_limit(auth0.rate_limit),
        request_timeout: config.engine.request_timeout,
    })
}

async fn start_sandbox(
    name: &ProviderName,
    sandbox: &SandboxConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Running, Fault> {
    Sandbox::start(Options {
        data_dir: sandbox.data_dir.clone(),
        rate: sandbox.rate_limit.map(|limit| (limit.per_second, limit.burst)),
        clock: clock.clone(),
        ..Options::default()
    })
    .await
    .map_err(|error| {
        let detail = format!("{}; {}", chain(&error), error.way_out());
        Fault::new(format!("start the provider {name}"), Class::Terminal, Code::Unavailable, detail)
    })
}

/// The embedded sandbox is reached like any Auth0 tenant, over HTTP; it accepts any client.
fn sandbox_settings(
    name: &ProviderName,
    sandbox: &SandboxConfig,
    url: Url,
    config: &Config,
) -> Result<Auth0Settings, Failure> {
    Ok(Auth0Settings {
        name: name.clone(),
        domain: "sandbox.localhost".to_owned(),
        base_url: Endpoint::try_new(url).map_err(|error| system(&error))?,
        client_id: "scimitar".to_owned(),
        auth: ClientAuth::Secret(SecretSource::new(|| Ok(Secret::new("rehearsal".to_owned())))),
        audience: None,
        share: sandbox.share.get(),
        rate_limit: rate_limit(sandbox.rate_limit),
        request_timeout: config.engine.request_timeout,
    })
}

fn sinks(
    connection: &ConnectionConfig,
    config: &Config,
    vaults: &Vaults,
    accounts: &Accounts,
) -> Result<Vec<Arc<dyn Sink>>, Failure> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    for delivery in &connection.deliveries {
        match (config.sinks.get(&delivery.sink), &delivery.to) {
            (Some(SinkConfig::File(sink)), Destination::File(file)) => {
                let payload = template(&connection.name, file.payload.as_ref())?;
                let settings = FileSettings {
                    sink: delivery.sink.clone(),
                    directory: sink.directory.clone(),
                    file: file.file.clone(),
                    format: match file.format {
                        FileFormat::Raw => Format::Raw,
                        FileFormat::Json => Format::Json,
                        FileFormat::Env => Format::Env,
                    },
                    mode: file.mode,
                    owner: file.owner.clone(),
                    group: file.group.clone(),
                    shared: file.shared,
                    payload,
                };
                let sink = FileSink::try_new(settings)
                    .map_err(|fault| refused(&connection.name, &fault))?;
                sinks.push(Arc::new(sink));
            }
            (Some(SinkConfig::Vault(_)), Destination::Vault(secret)) => {
                let Some(server) = vaults.get(&delivery.sink) else { continue };
                let payload = template(&connection.name, secret.payload.as_ref())?;
                let sink = vaults::sink(server, secret, payload)
                    .map_err(|fault| refused(&connection.name, &fault))?;
                sinks.push(Arc::new(sink));
            }
            (Some(SinkConfig::Aws(_)), Destination::Aws(secret)) => {
                let Some(account) = accounts.get(&delivery.sink) else { continue };
                let payload = template(&connection.name, secret.payload.as_ref())?;
                let sink = aws::sink(account, secret, payload)
                    .map_err(|fault| refused(&connection.name, &fault))?;
                sinks.push(Arc::new(sink));
            }
            // The configuration reads a delivery as its sink's type asks.
            (Some(SinkConfig::File(_)), Destination::Vault(_) | Destination::Aws(_))
            | (Some(SinkConfig::Vault(_)), Destination::File(_) | Destination::Aws(_))
            | (Some(SinkConfig::Aws(_)), Destination::File(_) | Destination::Vault(_))
            | (None, Destination::File(_) | Destination::Vault(_) | Destination::Aws(_)) => {}
        }
    }
    Ok(sinks)
}

fn template(
    name: &ConnectionName,
    payload: Option<&BTreeMap<String, String>>,
) -> Result<Option<PayloadTemplate>, Failure> {
    payload.map(PayloadTemplate::parse).transpose().map_err(|error| refused(name, &error))
}

fn refused(name: &ConnectionName, error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureClass::Configuration, format!("connection {name}: {}", chain(error)))
}

/// Opens places that left the policy: a file is where its place says, whatever the configuration
/// says of its folder today; a secret needs the server or account that its sink still names.
#[derive(Debug)]
struct Remembered {
    vaults: Vaults,
    accounts: Accounts,
}

impl Reopen for Remembered {
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>> {
        let opened: Result<Arc<dyn Sink>, _> = if place.key.as_str().starts_with("vault:") {
            let server = self.vaults.get(&place.sink)?;
            VaultSink::reopen(server, place).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
        } else if place.key.as_str().starts_with("aws:") {
            let account = self.accounts.get(&place.sink)?;
            AwsSink::reopen(account, place).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
        } else {
            FileSink::reopen(place).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
        };
        opened
            .inspect_err(|fault| {
                tracing::warn!(place = %place.key, error = %fault, "a place that left the policy cannot be read");
            })
            .ok()
    }
}
