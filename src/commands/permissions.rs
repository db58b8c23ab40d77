//! `permissions`: the least that the services of a configuration have to grant. No service is asked.

use std::fmt::Write;

use super::{
    output::{Answer, Judge},
    session::Session,
};
use crate::{
    app::{
        self, Use,
        discover::{discovering, remembered},
    },
    config::{Config, ConnectionConfig, discover::Inventories},
    kind::Grant,
    rotation::policy::Mode,
    sink::Target,
    token::{ProviderName, SinkName},
};

impl Session<'_> {
    /// Reads the ledger at most, for the connections that were discovered.
    pub(super) async fn permissions(&self) -> Answer {
        let known = match app::open_ledger(&self.config.state, Use::Look, &self.env).await {
            Ok(ledger) => remembered(self.config, ledger.as_ref()).await.unwrap_or_default(),
            Err(_) => Inventories::new(),
        };
        for (name, _) in discovering(self.config).filter(|(name, _)| !known.contains_key(*name)) {
            self.voice.warn(&format!(
                "no connections of {name} are discovered yet, so the permissions that their sinks need are \
                 missing here. First grant those of {name} itself and run `scimitar --once`, which lists its \
                 connections; then run `scimitar permissions` again"
            ));
        }
        answer(self.config)
    }
}

/// Everything that is needed, for the connections that are configured.
#[must_use]
pub fn answer(config: &Config) -> Answer {
    let grants = grants(config);
    Answer {
        text: Some(text(&grants)),
        permissions: Some(grants),
        judge: Judge::Shown,
        ..Answer::done(Vec::new())
    }
}

fn grants(config: &Config) -> Vec<Grant> {
    let used = |name: &ProviderName| {
        config.discovers(name)
            || config.connections.iter().any(|connection| connection.provider == *name)
    };
    let providers = config.providers.iter().filter(|(name, _)| used(name));
    let providers =
        providers.filter_map(|(name, provider)| provider.grant(name, config.needs(name)));
    let sinks = config.sinks.iter().filter_map(|(name, sink)| {
        let deliveries = deliveries(name, &config.connections);
        (!deliveries.is_empty()).then(|| sink.grant(name, &deliveries)).flatten()
    });
    let read = config.sinks.iter().filter_map(|(name, sink)| {
        let stored = config.stored_secrets.iter().filter(|stored| stored.sink == *name);
        let locations: Vec<&str> = stored.map(|stored| stored.location.as_str()).collect();
        (!locations.is_empty()).then(|| sink.grant_reading(name, &locations)).flatten()
    });
    providers.chain(sinks).chain(read).collect()
}

fn deliveries<'c>(sink: &SinkName, connections: &'c [ConnectionConfig]) -> Vec<(&'c Target, Mode)> {
    let all = connections.iter().flat_map(|connection| {
        connection.deliveries.iter().map(|delivery| (delivery, connection.terms.mode))
    });
    let of_sink = all.filter(|(delivery, _)| delivery.sink == *sink);
    of_sink.map(|(delivery, mode)| (&delivery.to, mode)).collect()
}

/// Each with a heading that is a comment where the policy itself knows comments.
fn text(grants: &[Grant]) -> String {
    if grants.is_empty() {
        return "no permissions needed: files and the sandbox require none\n".to_owned();
    }
    let mut text = String::new();
    for (nth, Grant { table, at, namespace, to, policy, .. }) in grants.iter().enumerate() {
        let between = if nth == 0 { "" } else { "\n" };
        let within =
            namespace.as_ref().map(|name| format!(", namespace {name}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(text, "{between}# [{table}] {at}{within}: {to}\n{policy}");
    }
    text
}
