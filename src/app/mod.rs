//! What runs, built from a configuration: providers, sinks, hooks, the ledger and the engine. Commands
//! and the daemon use it and build nothing themselves.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

mod assembly;
mod before;
mod budgets;
mod build;
pub mod discover;
mod error;
mod hooks;
pub mod ledger;

pub use self::{
    before::Before,
    budgets::Budgets,
    build::{build, build_on, rebuild},
    error::AppError,
    ledger::{Use, open_ledger},
};
use crate::{
    config::Config,
    engine::{
        live::Watched,
        progress::Progress,
        worker::{Connection, Engine},
    },
    kind::Stores,
    ledger::Ledger,
    probe::ScimProbe,
    provider::Provider,
    sandbox::Running,
    sink::Services,
    telemetry::audit,
    token::ProviderName,
};

/// Everything that a command needs, built from the configuration.
#[derive(Debug)]
pub struct App {
    /// What the workers share.
    pub engine: Engine,
    /// The connections, in the order of the files.
    pub connections: Vec<Arc<Connection>>,
    /// The tokens that no provider is asked about.
    pub watched: Watched,
    /// The providers that a connection uses.
    pub providers: BTreeMap<ProviderName, Reached>,
    /// How many connections are attended to at once.
    pub limit: NonZeroUsize,
    /// What the tenants' requests are paced by.
    pub budgets: Budgets,
    /// What runs behind each `[sinks.NAME]`; log-ins are given back at the end.
    pub services: Arc<Services>,
    /// Those of them that keep secrets for others.
    pub stores: Stores,
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

impl App {
    /// Comes into force: secrets are read from its stores from now on, and the metrics are told what is
    /// configured (a first failure is an increase, and what left is gone). Not before: what was built may
    /// still be given up for what it was to replace.
    pub fn announce(&self, config: &Config) {
        let kept = self.services.iter();
        let kept = kept.filter_map(|(name, service)| Some((name.clone(), service.store()?)));
        self.stores.replace(kept.collect());
        let metrics = &self.engine.metrics;
        metrics.set_per_connection_limit(config.metrics.per_connection_limit);
        let providers: Vec<_> = config.providers.keys().collect();
        let sinks: Vec<_> = config.sinks.keys().collect();
        let hooks: Vec<_> = config.hooks.iter().map(|hook| &hook.name).collect();
        metrics.configured(&providers, &sinks, &hooks);
    }

    /// The same for one command that is done beside what is running: it shares what requests are paced
    /// by and the log-ins, which stay when it is closed, and has a ledger of its own, so that its claims
    /// are told from others', and room of its own, so that neither keeps the other waiting for a place.
    #[must_use]
    pub fn lent(&self, ledger: Arc<dyn Ledger>, progress: Arc<dyn Progress>) -> Self {
        Self {
            engine: Engine {
                ledger,
                progress,
                pool: Default::default(),
                audit: Arc::new(audit::Off),
                ..self.engine.clone()
            },
            connections: self.connections.clone(),
            watched: self.watched.clone(),
            providers: self.providers.clone(),
            limit: self.limit,
            budgets: self.budgets.clone(),
            services: Arc::default(),
            stores: self.stores.clone(),
            sandboxes: Vec::new(),
        }
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
            tracing::debug!("not all leases could be released in time; they expire automatically");
        }
    }
}
