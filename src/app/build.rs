//! From the configuration to what runs: providers, sinks, the ledger, the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use super::{
    App, AppError, Reached, Use,
    before::{Before, keep},
    budgets::{self, Budgets},
    hooks,
    ledger::open_ledger,
};
use crate::{
    clock::{AgreedClock, SystemEntropy},
    config::{Config, ConnectionConfig, Environment},
    engine::{
        live::Watched,
        progress::Progress,
        worker::{Connection, Engine, Reopen},
    },
    error::chain,
    kind::{BuildError, Parts},
    ledger::Ledger,
    probe::ScimClient,
    provider::budget::SharedLimit,
    sandbox::Running,
    shared::Shared,
    sink::{self, Place, Services, Sink},
    telemetry::{audit, metrics::Metrics},
    token::{ConnectionName, ProviderName},
};

/// Builds everything.
///
/// # Errors
/// What cannot be had: the ledger, an embedded sandbox, a certificate file.
pub async fn build(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<AgreedClock>,
    progress: Arc<dyn Progress>,
    usage: Use,
) -> Result<App, AppError> {
    let ledger = open_ledger(&config.state, usage, env).await?;
    build_on(config, env, clock, progress, ledger).await
}

/// The same on a ledger that is open.
///
/// # Errors
/// As [`build`].
pub async fn build_on(
    config: &Config,
    env: &Arc<dyn Environment>,
    clock: &Arc<AgreedClock>,
    progress: Arc<dyn Progress>,
    ledger: Arc<dyn Ledger>,
) -> Result<App, AppError> {
    let metrics = Metrics::try_new().map_err(|error| BuildError::of(&error))?;
    ledger.agree_on(clock).await;
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

/// Builds everything anew from a configuration that was read again, but what it leaves as it was:
/// the ledger, what was counted, log-ins, request budgets, embedded sandboxes.
///
/// # Errors
/// As [`build`]; nothing has changed then.
pub async fn rebuild(
    before: Before<'_>,
    config: &Config,
    env: &Arc<dyn Environment>,
) -> Result<App, AppError> {
    let engine =
        Engine { request_timeout: config.engine.request_timeout, ..before.app.engine.clone() };
    furnish(engine, config, env, Some(before)).await
}

/// The providers that a connection uses, and the sandboxes that had to be started for them.
async fn reach(
    parts: &Parts,
    config: &Config,
    before: Option<Before<'_>>,
    limits: Option<&Arc<dyn SharedLimit>>,
    budgets: &mut Budgets,
) -> Result<(BTreeMap<ProviderName, Reached>, Vec<Running>), AppError> {
    let mut reached = BTreeMap::new();
    let mut sandboxes = Vec::new();
    for (name, provider) in &config.providers {
        let used = config.discovers(name)
            || config.connections.iter().any(|connection| connection.provider == *name);
        if !used {
            continue;
        }
        if let Some(kept) = before.and_then(|before| before.provider(name, config)) {
            reached.insert(name.clone(), kept);
            continue;
        }
        let (built, http) = budgets::reach(name, provider, parts, limits, budgets).await?;
        sandboxes.extend(built.running);
        let provider = built.provider;
        let probe = Arc::new(ScimClient::new(http, config.engine.request_timeout));
        reached.insert(name.clone(), Reached { provider, probe });
    }
    Ok((reached, sandboxes))
}

async fn furnish(
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
        stores: before.map(|before| before.app.stores.clone()).unwrap_or_default(),
    };
    let mut services = Services::new();
    for (name, sink) in &config.sinks {
        services.insert(name.clone(), sink.build(name, &parts)?);
    }
    if let Some(before) = before {
        keep(&mut services, &before.app.services, |name| before.same_sink(name, config));
    }
    let mut budgets = before.map(|before| before.app.budgets.clone()).unwrap_or_default();
    let limits = engine.ledger.limits();
    let (providers, sandboxes) =
        reach(&parts, config, before, limits.as_ref(), &mut budgets).await?;
    let reopen: Arc<dyn Reopen> = Arc::new(Remembered(services.clone()));
    let hooks = Arc::new(hooks::wired(config, &parts)?);
    let mut connections = Vec::with_capacity(config.connections.len());
    let mut can = BTreeMap::new();
    let surveys = config.surveys();
    for connection in &config.connections {
        let survey = surveys.get(&connection.provider);
        let (Some(Reached { provider, probe }), Some(survey)) =
            (providers.get(&connection.provider), survey)
        else {
            continue;
        };
        let capabilities = can
            .entry(&connection.provider)
            .or_insert_with(|| Shared::from(provider.capabilities()))
            .clone();
        connections.push(Arc::new(Connection {
            policy: Arc::new(connection.policy(capabilities, survey.interval)),
            provider: provider.clone(),
            probe: probe.clone(),
            sinks: sinks(connection, &services)?,
            reopen: reopen.clone(),
            hooks: hooks.clone(),
        }));
    }
    let limit = usize::try_from(config.engine.max_parallel)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN);
    let stores = parts.stores;
    let watched = Watched { tokens: config.watches.clone().into(), hooks };
    Ok(App { engine, connections, watched, providers, limit, budgets, services, stores, sandboxes })
}

fn sinks(
    connection: &ConnectionConfig,
    services: &Services,
) -> Result<Vec<Arc<dyn Sink>>, AppError> {
    let mut sinks = Vec::with_capacity(connection.deliveries.len());
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        clock::SystemClock,
        config,
        engine::progress::Silent,
        error::Class,
        provider::auth0::{Auth0Config, ClientAuth},
    };

    const SINK: &str = "[sinks.v]\ntype = \"vault\"\naddress = \"http://127.0.0.1:1\"\n\
                        auth = { method = \"token\", token = { env = \"T\" } }\n";

    fn read(folder: &Path, env: &dyn Environment, secret: &str, sink: &str) -> Config {
        let file = folder.join("scimitar.toml");
        let text = format!(
            "[state]\nurl = \"sqlite://ledger.db\"\n[providers.a]\ntype = \"auth0\"\n\
             domain = \"acme.eu.auth0.com\"\nclient_id = \"c\"\nclient_secret = {secret}\n{sink}"
        );
        fs::write(&file, text).unwrap();
        config::load(&file, env).unwrap()
    }

    /// A reload can still fail after it was built: what is in force then has to find its secrets.
    #[tokio::test]
    async fn stores_are_replaced_only_by_what_comes_into_force() {
        let folder = tempfile::tempdir().unwrap();
        let env = BTreeMap::from([("T".to_owned(), "t".to_owned())]);
        let env: Arc<dyn Environment> = Arc::new(env);
        let clock = Arc::new(AgreedClock::new(Arc::new(SystemClock)));
        let stored = "{ vault = \"secret/scimitar#key\", sink = \"v\" }";
        let first = read(folder.path(), env.as_ref(), stored, SINK);
        let app = build(&first, &env, &clock, Arc::new(Silent), Use::Write).await.unwrap();
        let provider = first.providers.values().next().unwrap();
        let ClientAuth::Secret(reference) = &provider.of::<Auth0Config>().unwrap().auth else {
            panic!("not a secret");
        };
        let parts = Parts {
            env: Arc::clone(&env),
            clock,
            entropy: Arc::new(SystemEntropy),
            metrics: app.engine.metrics.clone(),
            http: first.http.clone(),
            request_timeout: first.engine.request_timeout,
            stores: app.stores.clone(),
        };
        let kept = parts.credential(reference);
        let class = async || kept.read().await.unwrap_err().class;
        assert_eq!(class().await, Class::Transient, "nothing listens there");
        let other = read(folder.path(), env.as_ref(), "{ env = \"T\" }", "");
        let rebuilt = rebuild(Before { config: &first, app: &app }, &other, &env).await.unwrap();
        assert_eq!(class().await, Class::Transient, "it is not in force yet");
        rebuilt.announce(&other);
        assert_eq!(class().await, Class::Terminal, "no sink keeps it any more");
    }
}
