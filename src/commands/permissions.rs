//! `permissions`: the least that the services of a configuration have to grant. No service is asked.

use std::fmt::Write;

use super::output::{Answer, Judge};
use crate::{
    config::{Config, ConnectionConfig},
    kind::Grant,
    sink::Target,
    token::{ProviderName, SinkName},
};

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
        config.connections.iter().any(|connection| connection.provider == *name)
    };
    let providers = config.providers.iter().filter(|(name, _)| used(name));
    let providers = providers.filter_map(|(name, provider)| provider.grant(name));
    let sinks = config.sinks.iter().filter_map(|(name, sink)| {
        let deliveries = deliveries(name, &config.connections);
        (!deliveries.is_empty()).then(|| sink.grant(name, &deliveries)).flatten()
    });
    providers.chain(sinks).collect()
}

fn deliveries<'c>(sink: &SinkName, connections: &'c [ConnectionConfig]) -> Vec<&'c Target> {
    let all = connections.iter().flat_map(|connection| &connection.deliveries);
    all.filter(|delivery| delivery.sink == *sink).map(|delivery| &delivery.to).collect()
}

/// Each with a heading that is a comment where the policy itself knows comments.
fn text(grants: &[Grant]) -> String {
    if grants.is_empty() {
        return "nothing has to be granted: files and the sandbox ask nobody\n".to_owned();
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
