//! From the configuration to what runs: providers, sinks, the ledger, the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use super::{
    App, AppError, Reached, Use,
    assembly::Assembly,
    before::{Before, keep},
    budgets::{self, Budgets},
    hooks,
    ledger::open_ledger,
};
use crate::{
    clock::{AgreedClock, SystemEntropy},
    config::{Config, Environment},
    engine::{
        live::Watched,
        progress::Progress,
        worker::{Engine, Reopen},
    },
    kind::{BuildError, Parts},
    ledger::Ledger,
    probe::ScimClient,
    provider::budget::SharedLimit,
    sandbox::Running,
    sink::{self, Place, Services, Sink},
    telemetry::{audit, metrics::Metrics},
    token::ProviderName,
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
        person: None,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        ledger,
        metrics,
        audit: Arc::new(audit::Off),
        progress,
        pool: Default::default(),
        services: Default::default(),
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
    let services = Arc::new(services);
    let reopen: Arc<dyn Reopen> = Arc::new(Remembered(Arc::clone(&services)));
    let hooks = Arc::new(hooks::wired(config, &parts)?);
    let all = Assembly {
        surveys: config.surveys(),
        configured: config.connections.clone(),
        providers: providers.clone(),
        services: Arc::clone(&services),
        reopen,
        hooks: Arc::clone(&hooks),
    };
    // There may be very many. On the kind of thread that read them there is memory that reading left,
    // and nobody waits who should not.
    let connections = tokio::task::spawn_blocking(move || all.assembled())
        .await
        .map_err(|error| BuildError::of(&error))??;
    let limit = usize::try_from(config.engine.max_parallel)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN);
    let stores = parts.stores;
    let watched = Watched { tokens: config.watches.clone().into(), hooks };
    Ok(App { engine, connections, watched, providers, limit, budgets, services, stores, sandboxes })
}

/// Opens places that left the policy.
#[derive(Debug)]
struct Remembered(Arc<Services>);

impl Reopen for Remembered {
    fn reopen(&self, place: &Place) -> Option<Arc<dyn Sink>> {
        sink::reopen(&self.0, place)?
            .inspect_err(|fault| {
                tracing::warn!(sink = %place.sink, location = %place.location, error = %fault, "{}, which is no longer in the configuration, cannot be read: {fault}", place.location);
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

    /// What a sink wrote last has to be known in the next call too.
    #[tokio::test]
    async fn only_sinks_that_know_nothing_are_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let env = BTreeMap::from([("T".to_owned(), "t".to_owned())]);
        let env: Arc<dyn Environment> = Arc::new(env);
        let clock = Arc::new(AgreedClock::new(Arc::new(SystemClock)));
        let more = "[sinks.d]\ntype = \"file\"\ndirectory = \"tokens\"\n[[connections]]\nname = \"initech\"\n\
                    provider = \"a\"\nconnection_id = \"con_0123456789abcdef\"\ntoken_lifetime = \"30d\"\n\
                    rotate_before = \"10d\"\ndeliver_to = [{ sink = \"v\", path = \"secret/a\" }, \
                    { sink = \"d\", file = \"a.token\" }]\n";
        let config = read(folder.path(), env.as_ref(), "{ env = \"T\" }", &format!("{SINK}{more}"));
        let app = build(&config, &env, &clock, Arc::new(Silent), Use::Write).await.unwrap();
        let places = &app.connections[0].places;
        let (one, other) = (places.open().unwrap(), places.open().unwrap());
        assert_eq!(places.names().len(), 2);
        assert!(Arc::ptr_eq(&one[0], &other[0]), "Vault's knows what it wrote");
        assert!(!Arc::ptr_eq(&one[1], &other[1]), "a file's knows nothing");
        assert_eq!(one[1].place().key, other[1].place().key);
    }
}
