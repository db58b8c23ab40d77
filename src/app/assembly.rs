//! The connections, from what each of them uses.

use std::{collections::BTreeMap, sync::Arc};

use super::{AppError, Reached};
use crate::{
    config::{ConnectionConfig, DeliverTo, Survey},
    engine::worker::{Connection, Places, Reopen},
    error::{Fault, chain},
    hook::Hooks,
    shared::Shared,
    sink::{Services, Sink},
    token::{ConnectionName, ProviderName, SinkName},
};

/// What the connections are made of.
pub(super) struct Assembly {
    pub(super) surveys: BTreeMap<ProviderName, Survey>,
    pub(super) configured: Shared<Vec<ConnectionConfig>>,
    pub(super) providers: BTreeMap<ProviderName, Reached>,
    pub(super) services: Arc<Services>,
    pub(super) reopen: Arc<dyn Reopen>,
    pub(super) hooks: Arc<Hooks>,
}

impl Assembly {
    /// The connections, in the order of the configuration.
    pub(super) fn assembled(&self) -> Result<Vec<Arc<Connection>>, AppError> {
        let mut connections = Vec::with_capacity(self.configured.len());
        let mut can = BTreeMap::new();
        for connection in self.configured.iter() {
            let survey = self.surveys.get(&connection.provider);
            let (Some(Reached { provider, probe }), Some(survey)) =
                (self.providers.get(&connection.provider), survey)
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
                places: self.places(connection)?,
                reopen: self.reopen.clone(),
                hooks: self.hooks.clone(),
            }));
        }
        Ok(connections)
    }

    /// The places of a connection; each is opened once, so that none is refused later.
    fn places(&self, connection: &ConnectionConfig) -> Result<Arc<dyn Places>, AppError> {
        let places = Deliveries::try_new(&connection.deliveries, &self.services);
        Ok(Arc::new(places.map_err(|fault| refused(&connection.name, &fault))?))
    }
}

/// The deliveries of a connection, and the sinks that they name.
#[derive(Debug)]
struct Deliveries {
    to: Arc<[DeliverTo]>,
    services: Arc<Services>,
    /// The sinks that know something that has to last, by their places in `to`; empty where none does.
    kept: Box<[Option<Arc<dyn Sink>>]>,
}

impl Deliveries {
    fn try_new(to: &Arc<[DeliverTo]>, services: &Arc<Services>) -> Result<Self, Fault> {
        let (to, services) = (Arc::clone(to), Arc::clone(services));
        let mut kept = Vec::with_capacity(to.len());
        for delivery in to.iter() {
            let service = services.get(&delivery.sink);
            let opened = service.map(|service| service.open(&delivery.to)).transpose()?;
            kept.push(opened.filter(|_| service.is_some_and(|service| !service.forgets())));
        }
        if kept.iter().all(Option::is_none) {
            kept.clear();
        }
        Ok(Self { to, services, kept: kept.into() })
    }
}

impl Places for Deliveries {
    fn names(&self) -> Vec<SinkName> {
        self.to.iter().map(|delivery| delivery.sink.clone()).collect()
    }

    fn open(&self) -> Result<Vec<Arc<dyn Sink>>, Fault> {
        let known = self.to.iter().enumerate().filter_map(|(nth, delivery)| {
            if let Some(kept) = self.kept.get(nth).and_then(Option::as_ref) {
                return Some(Ok(Arc::clone(kept)));
            }
            Some(self.services.get(&delivery.sink)?.open(&delivery.to))
        });
        known.collect()
    }
}

fn refused(name: &ConnectionName, error: &dyn std::error::Error) -> AppError {
    AppError::Configuration(format!("connection {name}: {}", chain(error)))
}
