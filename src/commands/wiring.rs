//! From the configuration to what runs: providers, sinks, the ledger, the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path, sync::Arc};

use super::{
    aws::{self, Accounts},
    hooks,
    output::{Failure, FailureClass},
    providers::{self, Budgets},
    rebuild::{Before, keep},
    vaults::{self, Vaults},
};
use crate::{
    clock::{Clock, SystemEntropy},
    config::{Config, ConnectionConfig, Destination, Environment, FileFormat, SinkConfig},
    engine::{
        progress::Progress,
        worker::{Connection, Engine, Reopen},
    },
    error::{Fault, chain},
    kind::Parts,
    ledger::{Ledger, LedgerError, scratch::Scratch, sqlite::SqliteLedger},
    probe::{ScimClient, ScimProbe},
    provider::Provider,
    sandbox::Running,
    sink::{
        Place, Sink,
        aws::AwsSink,
        file::{FileSettings, FileSink, Format},
        payload::PayloadTemplate,
        vault::VaultSink,
    },
    telemetry::{audit, metrics::Metrics},
    token::{ConnectionName, LedgerId, ProviderName, SinkName},
};

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
    /// The providers that a connection uses.
    pub providers: BTreeMap<ProviderName, Reached>,
    /// How many connections are attended to at once.
    pub limit: NonZeroUsize,
    /// What the tenants' requests are paced by.
    pub budgets: Budgets,
    /// The Vault servers; a log-in's token is given back at the end.
    pub vaults: Vaults,
    /// The accounts of AWS.
    pub accounts: Accounts,
    /// The embedded sandboxes; they end with it.
    pub sandboxes: Vec<Running>,
}

/// A provider and the client that proves its tokens.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// Its tokens' judge.
    pub probe: Arc<dyn ScimProbe>,
}

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
    build_on(config, env, clock, progress, open_ledger(&config.state.path, usage)?).await
}

/// The same on a ledger that is open.
pub(super) async fn build_on(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    ledger: Arc<dyn Ledger>,
) -> Result<House, Failure> {
    let metrics = Metrics::try_new().map_err(|error| system(&error))?;
    let engine = Engine {
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        ledger,
        metrics,
        audit: Arc::new(audit::Off),
        progress,
        pool: Default::default(),
        request_timeout: config.engine.request_timeout,
    };
    let house = furnish(engine, config, env, None).await?;
    house.announce(config);
    Ok(house)
}

/// The providers that a connection uses, and the sandboxes that had to be started for them.
async fn reach(
    parts: &Parts,
    config: &Config,
    before: Option<Before<'_>>,
    budgets: &mut Budgets,
) -> Result<(BTreeMap<ProviderName, Reached>, Vec<Running>), Failure> {
    let mut reached = BTreeMap::new();
    let mut sandboxes = Vec::new();
    for (name, provider) in &config.providers {
        let used = config.connections.iter().any(|connection| connection.provider == *name);
        if !used {
            continue;
        }
        if let Some(kept) = before.and_then(|before| before.provider(name, config)) {
            reached.insert(name.clone(), kept);
            continue;
        }
        let (built, http) = providers::reach(name, provider, parts, budgets).await?;
        sandboxes.extend(built.running);
        let provider = built.provider;
        let probe = Arc::new(ScimClient::new(http, config.engine.request_timeout));
        reached.insert(name.clone(), Reached { provider, probe });
    }
    Ok((reached, sandboxes))
}

pub(super) async fn furnish(
    engine: Engine,
    config: &Config,
    env: &Arc<dyn Environment>,
    before: Option<Before<'_>>,
) -> Result<House, Failure> {
    let parts = Parts {
        env: env.clone(),
        clock: engine.clock.clone(),
        entropy: engine.entropy.clone(),
        metrics: engine.metrics.clone(),
        http: config.http.clone(),
        request_timeout: config.engine.request_timeout,
    };
    let mut vaults = vaults::servers(config, &parts)?;
    let mut accounts = aws::accounts(config, &parts)?;
    if let Some(before) = before {
        let same = |name: &SinkName| before.same_sink(name, config);
        keep(&mut vaults, &before.house.vaults, same);
        keep(&mut accounts, &before.house.accounts, same);
    }
    let mut budgets = before.map(|before| before.house.budgets.clone()).unwrap_or_default();
    let (providers, sandboxes) = reach(&parts, config, before, &mut budgets).await?;
    let reopen: Arc<dyn Reopen> =
        Arc::new(Remembered { vaults: vaults.clone(), accounts: accounts.clone() });
    let hooks = Arc::new(hooks::wired(config, &parts)?);
    let mut connections = Vec::new();
    let surveys = config.surveys();
    for connection in &config.connections {
        let survey = surveys.get(&connection.provider);
        let (Some(Reached { provider, probe }), Some(survey)) =
            (providers.get(&connection.provider), survey)
        else {
            continue;
        };
        connections.push(Connection {
            policy: Arc::new(connection.policy(provider.capabilities(), survey.interval)),
            provider: provider.clone(),
            probe: probe.clone(),
            sinks: sinks(connection, config, &vaults, &accounts)?,
            reopen: reopen.clone(),
            hooks: hooks.clone(),
        });
    }
    let limit = usize::try_from(config.engine.max_parallel)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN);
    Ok(House { engine, connections, providers, limit, budgets, vaults, accounts, sandboxes })
}

impl House {
    /// Tells the metrics what is configured: a first failure is an increase, and what left is gone.
    pub fn announce(&self, config: &Config) {
        let metrics = &self.engine.metrics;
        metrics.set_per_connection_limit(config.metrics.per_connection_limit);
        let providers: Vec<_> = config.providers.keys().collect();
        let sinks: Vec<_> = config.sinks.keys().collect();
        let hooks: Vec<_> = config.hooks.iter().map(|hook| &hook.name).collect();
        metrics.configured(&providers, &sinks, &hooks);
    }

    /// Tells where the audit log ends, gives log-ins back, and stops the embedded sandboxes after
    /// their open requests, as far as all that can be done `within` this time.
    pub async fn close(self, within: std::time::Duration) {
        let told = async {
            self.engine.audit.leave().await;
            audit::heads::tell(self.engine.audit.as_ref()).await;
        };
        // A disk that hangs does not keep log-ins from being given back, nor the other way round.
        let given_back = async {
            for vault in self.vaults.values() {
                vault.close().await;
            }
        };
        let stopped = async {
            for sandbox in self.sandboxes {
                sandbox.stop().await;
            }
        };
        let closed = async { tokio::join!(told, given_back, stopped) };
        if tokio::time::timeout(within, closed).await.is_err() {
            tracing::debug!("not everything could be given back in time; it ends by itself");
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

pub(super) fn system(error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureClass::System, chain(error))
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
                    overwrite: file.overwrite,
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
/// says of its folder today; a secret needs a server or an account that leads to it. That is the one
/// of its sink, or any other: who moves to a new server may have given the old one another name.
#[derive(Debug)]
struct Remembered {
    vaults: Vaults,
    accounts: Accounts,
}

impl Reopen for Remembered {
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>> {
        let opened: Result<Arc<dyn Sink>, _> = if place.key.as_str().starts_with("vault:") {
            first(&self.vaults, place, |server| {
                VaultSink::reopen(server, place).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
            })?
        } else if place.key.as_str().starts_with("aws:") {
            first(&self.accounts, place, |account| {
                AwsSink::reopen(account, place).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
            })?
        } else {
            FileSink::reopen(place).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
        };
        opened
            .inspect_err(|fault| {
                tracing::warn!(sink = %place.sink, location = %place.location, error = %fault, "{}, which left the policy, cannot be read: {fault}", place.location);
            })
            .ok()
    }
}

/// What the place's own sink gives, or the first other one that leads there; `None` without any.
fn first<S>(
    sinks: &BTreeMap<SinkName, S>,
    place: &Place,
    open: impl Fn(&S) -> Result<Arc<dyn Sink>, Fault>,
) -> Option<Result<Arc<dyn Sink>, Fault>> {
    let own = sinks.get(&place.sink).map(&open);
    if matches!(own, Some(Ok(_))) {
        return own;
    }
    let other = sinks.values().map(open).find(Result::is_ok);
    other.or(own)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Url;

    use super::*;
    use crate::{
        clock::SystemClock,
        http::{Endpoint, HttpSettings},
        secret::{Secret, SecretSource},
        sink::vault::{Auth, Method, ServerSettings, VaultServer, VaultSettings},
    };

    fn server(sink: &str, address: &str) -> (SinkName, Arc<VaultServer>) {
        let sink = SinkName::try_new(sink).unwrap();
        let settings = ServerSettings {
            sink: sink.clone(),
            address: Endpoint::try_new(Url::parse(address).unwrap()).unwrap(),
            namespace: None,
            auth: Auth {
                method: Method::Token(SecretSource::new(|| Ok(Secret::new("t".to_owned())))),
                mount: "token".to_owned(),
                namespace: None,
            },
            http: HttpSettings {
                ca_file: None,
                proxy: None,
                request_timeout: Duration::from_secs(1),
                user_agent: "scimitar".to_owned(),
            },
            identity: None,
        };
        let server = VaultServer::try_new(settings, Arc::new(SystemClock), Arc::new(SystemEntropy));
        (sink, server.unwrap())
    }

    #[test]
    fn a_server_that_was_moved_away_from_is_found_under_whatever_name() {
        let (_, old) = server("vault", "http://127.0.0.1:1");
        let settings = VaultSettings {
            path: "secret/a".to_owned(),
            mount: None,
            payload: None,
            overwrite: false,
        };
        let place = VaultSink::try_new(&old, settings).unwrap().place().clone();
        let new = server("vault", "http://127.0.0.1:2");
        let renamed = server("before", "http://127.0.0.1:1");
        let reopened = |vaults: Vaults| {
            Remembered { vaults, accounts: Accounts::new() }
                .reopen(&place)
                .map(|it| it.place().key.clone())
        };
        assert_eq!(reopened(Vaults::from([new.clone(), renamed])), Some(place.key.clone()));
        assert_eq!(reopened(Vaults::from([new])), None, "it is not looked for where it never was");
        assert_eq!(reopened(Vaults::new()), None);
    }
}
