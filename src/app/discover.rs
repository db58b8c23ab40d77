//! `[[discover]]`: providers are asked which connections they have, and the ledger keeps what that means.

use std::{collections::BTreeMap, sync::Arc};

use super::{App, Use};
use crate::{
    config::{Config, ProviderConfig, discover::Inventories},
    error::{Class, Code, Fault, chain},
    ledger::{
        Ledger, LedgerError,
        inventory::{Inventory, Whose},
    },
    provider::connections::Found,
    token::{ProviderName, Tenant},
    words::date,
};

/// What is done with a list that lets too many go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrunk {
    /// It waits for an operator.
    Hold,
    /// An operator has said that it is right.
    Accept,
}

/// What providers were found to have, and what went wrong with that.
#[derive(Debug, Default)]
pub struct Surveyed {
    /// What is known now, from the list or from the ledger.
    pub inventories: Inventories,
    /// Which providers could not be listed, each in a sentence.
    pub failed: Vec<(ProviderName, String)>,
    /// Which lists wait for an operator, each in a sentence with the way out.
    pub held: Vec<(ProviderName, String)>,
    /// What those lists show.
    pub waiting: BTreeMap<ProviderName, Vec<Found>>,
}

/// What the ledger remembers of the providers whose connections are discovered.
///
/// # Errors
/// When it cannot be read.
pub async fn remembered(config: &Config, ledger: &dyn Ledger) -> Result<Inventories, LedgerError> {
    let mut inventories = Inventories::new();
    for (name, provider) in discovering(config) {
        if let Some(inventory) = ledger.inventory(provider.tenant()).await? {
            inventories.insert(name.clone(), inventory);
        }
    }
    Ok(inventories)
}

/// The providers whose connections are discovered.
pub fn discovering(config: &Config) -> impl Iterator<Item = (&ProviderName, &ProviderConfig)> {
    config.providers.iter().filter(|(name, _)| config.discovers(name))
}

/// Lists the connections of every provider that a `[[discover]]` names, and keeps in the ledger what
/// that means, where it may be written. A provider that cannot be listed has what the ledger remembers.
///
/// # If the answer is lost
/// The ledger holds the old list or the new one; the next call decides again.
pub async fn survey(app: &App, config: &Config, shrunk: Shrunk, usage: Use) -> Surveyed {
    let mut surveyed = Surveyed::default();
    let ledger = Arc::clone(&app.engine.ledger);
    for (name, provider) in discovering(config) {
        let tenant = provider.tenant();
        let before = match ledger.inventory(tenant).await {
            Ok(before) => before,
            Err(error) => {
                surveyed.failed.push((name.clone(), failed(name, &chain(&error), None)));
                continue;
            }
        };
        match list(app, config, name).await {
            Err(fault) => {
                let words = failed(name, &fault.to_string(), before.as_ref());
                surveyed.failed.push((name.clone(), words));
                surveyed.inventories.extend(before.map(|before| (name.clone(), before)));
            }
            Ok(found) => {
                let (now, accepted) = (app.engine.clock.now(), shrunk == Shrunk::Accept);
                let whose = |one: &_| whose(config, name, provider, one);
                let after = Inventory::after(before.as_ref(), &found, now, accepted, whose);
                if let Some(held) = &after.held {
                    surveyed.held.push((name.clone(), held.words(name.as_str())));
                    surveyed.waiting.insert(name.clone(), found);
                }
                if usage == Use::Write
                    && let Err(words) = keep(ledger.as_ref(), tenant, &after).await
                {
                    surveyed.failed.push((name.clone(), failed(name, &words, before.as_ref())));
                }
                surveyed.inventories.insert(name.clone(), after);
            }
        }
    }
    surveyed
}

fn whose(config: &Config, name: &ProviderName, provider: &ProviderConfig, found: &Found) -> Whose {
    if config.holds_for(name, found) {
        return Whose::Ours;
    }
    let of_tenant = discovering(config).filter(|(_, other)| other.tenant() == provider.tenant());
    let mut others = of_tenant.filter(|(other, _)| *other != name);
    if others.any(|(other, _)| config.holds_for(other, found)) {
        Whose::Anothers
    } else {
        Whose::Nobodys
    }
}

async fn list(app: &App, config: &Config, name: &ProviderName) -> Result<Vec<Found>, Fault> {
    match app.providers.get(name) {
        Some(reached) => reached.provider.connections(&|found| config.holds_for(name, found)).await,
        // Every provider that a rule names is built; an empty list would let all of them go.
        None => Err(Fault::new(
            "list the connections",
            Class::Transient,
            Code::Unavailable,
            "the provider is not available",
        )),
    }
}

async fn keep(ledger: &dyn Ledger, tenant: &Tenant, inventory: &Inventory) -> Result<(), String> {
    ledger.keep_inventory(tenant, inventory).await.map_err(|error| chain(&error))
}

fn failed(name: &ProviderName, why: &str, before: Option<&Inventory>) -> String {
    let since = match before {
        Some(before) => format!(
            "Scimitar keeps the {} connections listed at {}",
            before.connections.len(),
            date(before.at)
        ),
        None => "no connection is known yet".to_owned(),
    };
    format!("the connections of {name} could not be discovered: {why}; {since}")
}
