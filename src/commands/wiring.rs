//! From the configuration to what runs: providers, sinks, the ledger, the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path, sync::Arc};

use super::output::{Failure, FailureClass};
use crate::{
    clock::{Clock, SystemEntropy},
    config::{
        self, Auth0Config, Config, ConnectionConfig, DbtCloudConfig, Destination, Environment,
        FileFormat, HttpConfig, ProviderConfig, SandboxConfig, SecretRef, SinkConfig,
    },
    engine::{
        progress::Progress,
        worker::{Connection, Engine, Reopen},
    },
    error::chain,
    http::{Endpoint, Http, HttpSettings},
    ledger::{Ledger, LedgerError, scratch::Scratch, sqlite::SqliteLedger},
    probe::{ScimClient, ScimProbe},
    provider::{
        Provider,
        auth0::{Auth0, Auth0Settings, ClientAuth},
        budget::RateLimit,
        dbt_cloud::{DbtCloud, DbtCloudSettings},
    },
    sandbox::{Options, Running, Sandbox},
    secret::{Secret, SecretSource},
    sink::{
        Place, Sink,
        file::{FileSettings, FileSink, Format},
        payload::PayloadTemplate,
    },
    telemetry::metrics::Metrics,
    token::{ConnectionName, LedgerId, ProviderName},
};

/// Who is asking, in requests.
const USER_AGENT: &str = concat!("scimitar/", env!("CARGO_PKG_VERSION"));

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
        let auth0 = |settings: Auth0Settings, http: &Http| -> Arc<dyn Provider> {
            let (clock, entropy) = (clock.clone(), Arc::new(SystemEntropy));
            Auth0::new(settings, http.clone(), clock, entropy, metrics.clone())
        };
        let (provider, http): (Arc<dyn Provider>, Http) = match provider {
            ProviderConfig::Auth0(configured) => {
                let http = http(&configured.http, config)?;
                (auth0(auth0_settings(name, configured, env, config)?, &http), http)
            }
            ProviderConfig::DbtCloud(configured) => {
                let http = http(&configured.http, config)?;
                let settings = dbt_cloud_settings(name, configured, env, config)?;
                (DbtCloud::new(settings, http.clone(), clock.clone(), metrics.clone()), http)
            }
            ProviderConfig::Sandbox(sandbox) => {
                let running = start_sandbox(sandbox, clock).await?;
                let settings = sandbox_settings(name, sandbox, &running, config)?;
                sandboxes.push(running);
                let http = http(&HttpConfig::default(), config)?;
                (auth0(settings, &http), http)
            }
        };
        let probe = Arc::new(ScimClient::new(http, config.engine.request_timeout));
        providers.insert(name.clone(), (provider, probe));
    }
    for sink in config.sinks.keys() {
        metrics.sink(sink);
    }
    let mut connections = Vec::new();
    for connection in &config.connections {
        let Some((provider, probe)) = providers.get(&connection.provider) else { continue };
        connections.push(Connection {
            policy: Arc::new(
                connection.policy(provider.capabilities(), config.engine.survey_interval),
            ),
            provider: provider.clone(),
            probe: probe.clone(),
            sinks: sinks(connection, config)?,
            reopen: Arc::new(Files),
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
    Ok(House { engine, connections, providers, limit, sandboxes })
}

impl House {
    /// Stops the embedded sandboxes after their open requests.
    pub async fn close(self) {
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
    Http::try_new(HttpSettings {
        ca_file: own.ca_file.clone().or_else(|| config.http.ca_file.clone()),
        proxy: own.proxy.clone().or_else(|| config.http.proxy.clone()),
        request_timeout: config.engine.request_timeout,
        user_agent: USER_AGENT.to_owned(),
    })
    .map_err(|error| system(&error))
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
    let source = |secret: &SecretRef| source(secret, env);
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

/// Read anew each time it is needed, so that a changed file is seen without a restart.
fn source(secret: &SecretRef, env: &Arc<dyn Environment>) -> SecretSource {
    let (secret, env) = (secret.clone(), Arc::clone(env));
    SecretSource::new(move || secret.read(env.as_ref()).map_err(|error| chain(&error)))
}

fn dbt_cloud_settings(
    name: &ProviderName,
    configured: &DbtCloudConfig,
    env: &Arc<dyn Environment>,
    config: &Config,
) -> Result<DbtCloudSettings, Failure> {
    let base_url = Endpoint::try_new(configured.base_url.clone());
    Ok(DbtCloudSettings {
        name: name.clone(),
        account: configured.account.clone(),
        base_url: base_url.map_err(|error| system(&error))?,
        token: source(&configured.token, env),
        scheme: configured.scheme,
        share: configured.share.get(),
        rate_limit: rate_limit(configured.rate_limit),
        request_timeout: config.engine.request_timeout,
    })
}

async fn start_sandbox(
    sandbox: &SandboxConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Running, Failure> {
    Sandbox::start(Options {
        data_dir: sandbox.data_dir.clone(),
        rate: sandbox.rate_limit.map(|limit| (limit.per_second, limit.burst)),
        clock: clock.clone(),
        ..Options::default()
    })
    .await
    .map_err(|error| system(&error))
}

/// The embedded sandbox is reached like any Auth0 tenant, over HTTP; it accepts any client.
fn sandbox_settings(
    name: &ProviderName,
    sandbox: &SandboxConfig,
    running: &Running,
    config: &Config,
) -> Result<Auth0Settings, Failure> {
    Ok(Auth0Settings {
        name: name.clone(),
        domain: "sandbox.localhost".to_owned(),
        base_url: Endpoint::try_new(running.url()).map_err(|error| system(&error))?,
        client_id: "scimitar".to_owned(),
        auth: ClientAuth::Secret(SecretSource::new(|| Ok(Secret::new("rehearsal".to_owned())))),
        audience: None,
        share: sandbox.share.get(),
        rate_limit: rate_limit(sandbox.rate_limit),
        request_timeout: config.engine.request_timeout,
    })
}

fn sinks(connection: &ConnectionConfig, config: &Config) -> Result<Vec<Arc<dyn Sink>>, Failure> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    for delivery in &connection.deliveries {
        match (config.sinks.get(&delivery.sink), &delivery.to) {
            (Some(SinkConfig::File(sink)), Destination::File(file)) => {
                let payload = match &file.payload {
                    Some(payload) => Some(
                        PayloadTemplate::parse(payload)
                            .map_err(|error| refused(&connection.name, &error))?,
                    ),
                    None => None,
                };
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
            (None, Destination::File(_)) => {}
        }
    }
    Ok(sinks)
}

fn refused(name: &ConnectionName, error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureClass::Configuration, format!("connection {name}: {}", chain(error)))
}

/// A file is where its place says, whatever the configuration says of its folder today.
#[derive(Debug)]
struct Files;

impl Reopen for Files {
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>> {
        match FileSink::reopen(place) {
            Ok(sink) => Some(Arc::new(sink)),
            Err(fault) => {
                tracing::warn!(place = %place.key, error = %fault, "a place that left the policy cannot be read");
                None
            }
        }
    }
}
