//! `permissions`: the least that the services of a configuration have to grant. No service is asked.

use std::fmt::Write;

use serde_json::json;

use super::output::{Answer, Judge};
use crate::{
    config::{Auth0Config, Config, ConnectionConfig, DbtCloudConfig, ProviderConfig},
    kind::Grant,
    provider::{auth0, dbt_cloud},
    sink::Delivery,
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
    let providers = providers.filter_map(|(name, provider)| of_provider(name, provider));
    let sinks = config.sinks.iter().filter_map(|(name, sink)| {
        let deliveries = deliveries(name, &config.connections);
        (!deliveries.is_empty()).then(|| sink.grant(name, &deliveries)).flatten()
    });
    providers.chain(sinks).collect()
}

fn deliveries<'c>(sink: &SinkName, connections: &'c [ConnectionConfig]) -> Vec<&'c Delivery> {
    let all = connections.iter().flat_map(|connection| &connection.deliveries);
    all.filter(|delivery| delivery.sink == *sink).map(|delivery| &delivery.to).collect()
}

/// What a provider has to grant; `None` where nothing is to be granted. A new type of provider is
/// an arm here.
fn of_provider(name: &ProviderName, provider: &ProviderConfig) -> Option<Grant> {
    match provider {
        ProviderConfig::Auth0(auth0) => Some(of_auth0(name, auth0)),
        ProviderConfig::DbtCloud(account) => Some(of_dbt_cloud(name, account)),
        // It takes any client.
        ProviderConfig::Sandbox(_) => None,
    }
}

fn of_auth0(name: &ProviderName, auth0: &Auth0Config) -> Grant {
    let scopes = auth0::scopes();
    Grant {
        table: format!("providers.{name}"),
        kind: "auth0",
        at: auth0.domain.clone(),
        namespace: None,
        to: "scopes of the Auth0 Management API, for the application that `client_id` names",
        policy: scopes.join(" ") + "\n",
        rights: json!({ "scopes": scopes }),
    }
}

fn of_dbt_cloud(name: &ProviderName, account: &DbtCloudConfig) -> Grant {
    Grant {
        table: format!("providers.{name}"),
        kind: "dbt_cloud",
        at: account.tenant.to_string(),
        namespace: None,
        to: "the permission set of dbt Cloud for the service token, or the owner of the personal \
             one, that `token` names",
        policy: format!("{}\n", dbt_cloud::PERMISSION_SET),
        rights: json!({ "permission_set": dbt_cloud::PERMISSION_SET }),
    }
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
