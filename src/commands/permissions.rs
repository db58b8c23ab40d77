//! `permissions`: the least that the services of a configuration have to grant. No service is asked.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::json;

use super::output::{Answer, Judge};
use crate::{
    config::{
        AwsSinkConfig, Config, ConnectionConfig, Destination, SinkConfig, VaultMethod,
        VaultSinkConfig,
    },
    kind::Grant,
    sink::{
        aws::{
            account_in,
            rights::{self, Needs, Tagging},
        },
        vault::{self, Keeping},
    },
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
        (!deliveries.is_empty()).then(|| of_sink(name, sink, &deliveries)).flatten()
    });
    providers.chain(sinks).collect()
}

fn deliveries<'c>(sink: &SinkName, connections: &'c [ConnectionConfig]) -> Vec<&'c Destination> {
    let all = connections.iter().flat_map(|connection| &connection.deliveries);
    all.filter(|delivery| delivery.sink == *sink).map(|delivery| &delivery.to).collect()
}

/// What the service behind a sink has to grant for these deliveries; `None` where nothing is to be
/// granted. A new type of sink is an arm here, and a function beside the sink that says it.
fn of_sink(name: &SinkName, sink: &SinkConfig, deliveries: &[&Destination]) -> Option<Grant> {
    match sink {
        // Whoever runs scimitar has to be able to write the folder; nobody else is asked.
        SinkConfig::File(_) => None,
        SinkConfig::Vault(server) => Some(of_vault(name, server, deliveries)),
        SinkConfig::Aws(account) => Some(of_aws(name, account, deliveries)),
    }
}

fn of_vault(name: &SinkName, server: &VaultSinkConfig, deliveries: &[&Destination]) -> Grant {
    let keeping = match &server.auth.method {
        VaultMethod::Token(_) => Keeping::Given,
        VaultMethod::Approle { .. }
        | VaultMethod::Kubernetes { .. }
        | VaultMethod::Jwt { .. }
        | VaultMethod::Cert { .. }
        | VaultMethod::AwsIam { .. } => Keeping::Own,
    };
    let secrets: Vec<vault::VaultDelivery> = deliveries
        .iter()
        .filter_map(|destination| match destination {
            Destination::Vault(secret) => Some(vault::VaultDelivery {
                path: secret.path.clone(),
                mount: secret.mount.clone(),
                payload: secret.payload.clone(),
                overwrite: secret.overwrite,
            }),
            Destination::File(_) | Destination::Aws(_) => None,
        })
        .collect();
    let policy = vault::policy(keeping, &server.inside(), &secrets);
    Grant {
        table: format!("sinks.{name}"),
        kind: "vault",
        at: server.address.as_str().trim_end_matches('/').to_owned(),
        // A policy lies where the log-in is, and names the way down to the secrets.
        namespace: match &server.auth.namespace {
            Some(login) => Some(login.clone()).filter(|login| !login.is_empty()),
            None => server.namespace.clone(),
        },
        to: "a policy for the role or token that `auth` names",
        policy: policy.hcl(),
        rights: json!({ "vault": policy }),
    }
}

fn of_aws(name: &SinkName, account: &AwsSinkConfig, deliveries: &[&Destination]) -> Grant {
    let secrets = || {
        deliveries.iter().filter_map(|destination| match destination {
            Destination::Aws(secret) => Some(secret),
            Destination::File(_) | Destination::Vault(_) => None,
        })
    };
    let tags = if secrets().any(|secret| secret.payload.is_some() || secret.raw) {
        Tagging::Marks
    } else if account.tags.is_empty() {
        Tagging::Never
    } else {
        Tagging::AtCreation
    };
    let role = account.assume_role_arn.as_deref().or(account.expect_role_arn.as_deref());
    let policy = rights::policy(&Needs {
        partition: rights::partition(&account.region).to_owned(),
        account: role.and_then(account_in).map(str::to_owned),
        region: account.region.clone(),
        names: secrets().map(|secret| secret.name.clone()).collect(),
        create: account.create,
        restore: account.restore,
        tags,
        kms_key_id: account.kms_key_id.clone(),
        // Which there are only AWS knows.
        replicas: BTreeSet::new(),
    });
    Grant {
        table: format!("sinks.{name}"),
        kind: "aws_secrets_manager",
        at: role.map_or_else(|| account.region.clone(), str::to_owned),
        namespace: None,
        to: "an IAM policy for the role that is used; where secrets have replicas, with \
             secretsmanager:DescribeSecret on each of these beside it",
        policy: format!("{policy:#}\n"),
        rights: json!({ "iam": policy }),
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
