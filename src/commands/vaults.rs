//! From the configuration to Vault servers and the places on them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use zeroize::Zeroizing;

use super::output::Failure;
use crate::{
    aws_identity::{AwsIdentity, Origin, Sts},
    config::{Config, SecretRef, SinkConfig, VaultMethod, VaultSinkConfig},
    error::Fault,
    kind::{BuildError, Parts, endpoint},
    secret::{Secret, SecretSource},
    sink::{
        payload::PayloadTemplate,
        vault::{Auth, Identity, Method, ServerSettings, VaultServer, VaultSettings, VaultSink},
    },
    token::SinkName,
};

/// Where Kubernetes puts a service account's token; every user of the container can read it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The servers of a configuration, by the sinks that name them.
pub type Vaults = BTreeMap<SinkName, Arc<VaultServer>>;

/// Builds all that are configured; nothing is asked of them yet.
///
/// # Errors
/// When certificates or a proxy are of no use.
pub fn servers(config: &Config, parts: &Parts) -> Result<Vaults, Failure> {
    let mut vaults = Vaults::new();
    for (name, sink) in &config.sinks {
        let SinkConfig::Vault(vault) = sink else { continue };
        let settings = settings(name, vault, parts)?;
        let (clock, entropy) = (parts.clock.clone(), parts.entropy.clone());
        let server = VaultServer::try_new(settings, clock, entropy).map_err(BuildError::new)?;
        vaults.insert(name.clone(), server);
    }
    Ok(vaults)
}

/// The sink of a delivery.
///
/// # Errors
/// When the path cannot be one of a secret.
pub fn sink(
    server: &Arc<VaultServer>,
    delivery: &crate::config::VaultDelivery,
    payload: Option<PayloadTemplate>,
) -> Result<VaultSink, Fault> {
    let settings = VaultSettings {
        path: delivery.path.clone(),
        mount: delivery.mount.clone(),
        payload,
        overwrite: delivery.overwrite,
    };
    VaultSink::try_new(server, settings)
}

fn settings(
    name: &SinkName,
    vault: &VaultSinkConfig,
    parts: &Parts,
) -> Result<ServerSettings, BuildError> {
    let referred = |secret: &SecretRef| parts.secret(secret);
    let method = match &vault.auth.method {
        VaultMethod::Token(token) => Method::Token(referred(token)),
        VaultMethod::Approle { role_id, secret_id, wrapped, single_use } => Method::Approle {
            role_id: role_id.clone(),
            secret_id: referred(secret_id),
            wrapped: *wrapped,
            single_use: *single_use,
        },
        VaultMethod::Kubernetes { role, jwt } => Method::Kubernetes {
            role: role.clone(),
            jwt: jwt.as_ref().map_or_else(|| plain(SERVICE_ACCOUNT.into()), referred),
        },
        VaultMethod::Jwt { role, jwt } => Method::Jwt { role: role.clone(), jwt: referred(jwt) },
        VaultMethod::Cert { role } => Method::Cert { role: role.clone() },
        VaultMethod::AwsIam { role, header_value, sts_region, sts_endpoint } => Method::AwsIam {
            role: role.clone(),
            header_value: header_value.clone(),
            identity: AwsIdentity::try_new(
                Origin::Chain,
                Sts::new(
                    sts_region.as_deref(),
                    sts_endpoint.as_ref().map(endpoint).transpose()?.as_ref(),
                ),
                parts.http_settings(&vault.http)?,
                parts.clock.clone(),
            )
            .map_err(BuildError::new)?,
        },
    };
    Ok(ServerSettings {
        sink: name.clone(),
        address: endpoint(&vault.address)?,
        namespace: vault.namespace.clone(),
        auth: Auth {
            method,
            mount: vault.auth.mount.clone(),
            namespace: vault.auth.namespace.clone(),
        },
        http: parts.http_settings(&vault.http)?,
        identity: vault.client.as_ref().map(|client| Identity {
            cert: plain(client.cert.clone()),
            key: referred(&client.key),
        }),
    })
}

/// A file that everybody may read, as certificates are.
fn plain(path: PathBuf) -> SecretSource {
    SecretSource::new(move || {
        let read = std::fs::read_to_string(&path).map(Zeroizing::new);
        match read {
            Ok(text) => Ok(Secret::new(text.trim().to_owned())),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    })
}
