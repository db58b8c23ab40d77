//! From the configuration to what runs: providers, sinks, the ledger, the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use super::{
    AppError, Use,
    budgets::{self, Budgets},
    hooks,
    ledger::open_ledger,
    rebuild::{Before, keep},
};
use crate::{
    clock::{Clock, SystemEntropy},
    config::{Config, ConnectionConfig, Environment},
    engine::{
        progress::Progress,
        worker::{Connection, Engine, Reopen},
    },
    error::chain,
    kind::{BuildError, Parts},
    ledger::Ledger,
    probe::{ScimClient, ScimProbe},
    provider::Provider,
    sandbox::Running,
    sink::{self, Place, Services, Sink},
    telemetry::{audit, metrics::Metrics},
    token::{ConnectionName, ProviderName},
};

/// Everything that a command needs, built from the configuration.
#[derive(Debug)]
pub struct App {
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
    /// What runs behind each `[sinks.NAME]`; log-ins are given back at the end.
    pub services: Services,
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
) -> Result<App, AppError> {
    build_on(config, env, clock, progress, open_ledger(&config.state.path, usage)?).await
}

/// The same on a ledger that is open.
///
/// # Errors
/// As [`build`].
pub async fn build_on(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    ledger: Arc<dyn Ledger>,
) -> Result<App, AppError> {
    let metrics = Metrics::try_new().map_err(|error| BuildError::of(&error))?;
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
    let app = furnish(engine, config, env, None).await?;
    app.announce(config);
    Ok(app)
}

/// The providers that a connection uses, and the sandboxes that had to be started for them.
async fn reach(
    parts: &Parts,
    config: &Config,
    before: Option<Before<'_>>,
    budgets: &mut Budgets,
) -> Result<(BTreeMap<ProviderName, Reached>, Vec<Running>), AppError> {
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
        let (built, http) = budgets::reach(name, provider, parts, budgets).await?;
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
) -> Result<App, AppError> {
    let parts = Parts {
        env: env.clone(),
        clock: engine.clock.clone(),
        entropy: engine.entropy.clone(),
        metrics: engine.metrics.clone(),
        http: config.http.clone(),
        request_timeout: config.engine.request_timeout,
    };
    let mut services = Services::new();
    for (name, sink) in &config.sinks {
        services.insert(name.clone(), sink.build(name, &parts)?);
    }
    if let Some(before) = before {
        keep(&mut services, &before.app.services, |name| before.same_sink(name, config));
    }
    let mut budgets = before.map(|before| before.app.budgets.clone()).unwrap_or_default();
    let (providers, sandboxes) = reach(&parts, config, before, &mut budgets).await?;
    let reopen: Arc<dyn Reopen> = Arc::new(Remembered(services.clone()));
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
            sinks: sinks(connection, &services)?,
            reopen: reopen.clone(),
            hooks: hooks.clone(),
        });
    }
    let limit = usize::try_from(config.engine.max_parallel)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN);
    Ok(App { engine, connections, providers, limit, budgets, services, sandboxes })
}

impl App {
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
            for service in self.services.values() {
                service.close().await;
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

fn sinks(
    connection: &ConnectionConfig,
    services: &Services,
) -> Result<Vec<Arc<dyn Sink>>, AppError> {
    let mut sinks = Vec::new();
    for delivery in &connection.deliveries {
        let Some(service) = services.get(&delivery.sink) else { continue };
        let sink = service.open(&delivery.to);
        sinks.push(sink.map_err(|fault| refused(&connection.name, &fault))?);
    }
    Ok(sinks)
}

fn refused(name: &ConnectionName, error: &dyn std::error::Error) -> AppError {
    AppError::Configuration(format!("connection {name}: {}", chain(error)))
}

/// Opens places that left the policy.
#[derive(Debug)]
struct Remembered(Services);

impl Reopen for Remembered {
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>> {
        sink::reopen(&self.0, place)?
            .inspect_err(|fault| {
                tracing::warn!(sink = %place.sink, location = %place.location, error = %fault, "{}, which left the policy, cannot be read: {fault}", place.location);
            })
            .ok()
    }
}
