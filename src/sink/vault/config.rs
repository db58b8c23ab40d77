//! The kind `vault`: builds the service from `[sinks.NAME]`, and lists the rights that it needs.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{
    VaultSink,
    auth::{Auth, Method},
    login::readable,
    path::location,
    read::{self, Sts, VaultConfig},
    rights, schema,
    server::VaultServer,
    settings::{Identity, KIND as PLACES, ServerSettings, VaultTarget},
    store::{self, STORE, VaultStore},
};
use crate::{
    aws_identity::{self, AwsIdentity, Origin},
    error::Fault,
    kind::{self, BuildError, Grant, Parts, SecretStore},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        kind::{Known, Opened, SinkConfig, Spot, Target},
    },
    table::{ProxyConfig, SecretRef, Table},
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "vault",
    places: PLACES,
    location: "path",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |table, outer, keyring| Some(Arc::new(read::sink(table, outer, keyring)?)),
    absent: None,
    store: Some(STORE),
    reopen: None,
};

impl VaultConfig {
    /// What a path there is called, whichever sink names it.
    fn place(&self, path: &str) -> String {
        location(&self.address, self.namespace.as_deref(), path)
    }

    /// The way from the namespace of the log-in to that of the secrets, with a slash behind it: a
    /// policy of the log-in has it in front of their paths.
    #[must_use]
    pub fn inside(&self) -> String {
        self.auth.way_down(self.namespace.as_deref())
    }

    /// The log-in, its secrets where they are kept.
    fn auth(&self, parts: &Parts) -> Result<Auth, BuildError> {
        let secret = |secret: &SecretRef| parts.secret(secret);
        let method = match &self.auth.method {
            Method::Token(token) => Method::Token(secret(token)),
            Method::Approle { role_id, secret_id, wrapped, single_use } => Method::Approle {
                role_id: role_id.clone(),
                secret_id: secret(secret_id),
                wrapped: *wrapped,
                single_use: *single_use,
            },
            Method::Kubernetes { role, jwt } => {
                Method::Kubernetes { role: role.clone(), jwt: jwt.as_ref().map(secret) }
            }
            Method::Jwt { role, jwt } => Method::Jwt { role: role.clone(), jwt: secret(jwt) },
            Method::Cert { role } => Method::Cert { role: role.clone() },
            Method::AwsIam { role, header_value, identity } => Method::AwsIam {
                role: role.clone(),
                header_value: header_value.clone(),
                identity: self.identity(identity, parts)?,
            },
        };
        Ok(Auth { method, mount: self.auth.mount.clone(), namespace: self.auth.namespace.clone() })
    }

    fn identity(&self, sts: &Sts, parts: &Parts) -> Result<Arc<AwsIdentity>, BuildError> {
        let endpoint = sts.endpoint.as_ref().map(kind::endpoint).transpose()?;
        let sts = aws_identity::Sts::new(sts.region.as_deref(), endpoint.as_ref());
        let http = parts.http_settings(&self.http)?;
        AwsIdentity::try_new(Origin::Chain, sts, http, parts.clock.clone()).map_err(BuildError::new)
    }
}

impl SinkConfig for VaultConfig {
    fn deliver(&self, entry: &Table<'_>, known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = read::target(entry, known);
        let place = |target: &VaultTarget| Spot::Named(self.place(&target.path));
        (target.as_ref().map(place), target.map(Target::new))
    }

    fn grant(&self, name: &SinkName, deliveries: &[(&Target, Mode)]) -> Option<Grant> {
        let secrets: Vec<(&VaultTarget, Mode)> =
            deliveries.iter().filter_map(|(to, mode)| Some((to.of_kind().ok()?, *mode))).collect();
        let policy = rights::policy(self.auth.method.keeping(), &self.inside(), &secrets);
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: self.address.as_str().trim_end_matches('/').to_owned(),
            // A policy lies where the log-in is, and names the way down to the secrets.
            namespace: self.auth.namespace_in(self.namespace.as_deref()).map(str::to_owned),
            to: "a policy for the role or token that `auth` names",
            policy: policy.hcl(),
            rights: json!({ "vault": policy }),
        })
    }

    fn grant_reading(&self, name: &SinkName, locations: &[&str]) -> Option<Grant> {
        let policy = store::policy(&self.inside(), locations);
        Some(Grant {
            table: format!("sinks.{name}"),
            kind: KIND.name,
            at: self.address.as_str().trim_end_matches('/').to_owned(),
            namespace: self.auth.namespace_in(self.namespace.as_deref()).map(str::to_owned),
            to: "the same log-in, for the secrets that providers' tables refer to",
            policy: policy.hcl(),
            rights: json!({ "vault": policy }),
        })
    }

    /// The server looks at its certificates itself.
    fn reads_files_once(&self) -> bool {
        matches!(self.http.proxy, Some(ProxyConfig::Secret(_)))
    }

    fn build(&self, name: &SinkName, parts: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let settings = ServerSettings {
            sink: name.clone(),
            address: kind::endpoint(&self.address)?,
            namespace: self.namespace.clone(),
            auth: self.auth(parts)?,
            http: parts.http_settings(&self.http)?,
            identity: self.client.as_ref().map(|client| Identity {
                cert: readable(client.cert.clone()),
                key: parts.secret(&client.key),
            }),
        };
        let (clock, entropy) = (parts.clock.clone(), parts.entropy.clone());
        let server = VaultServer::try_new(settings, clock, entropy).map_err(BuildError::new)?;
        Ok(Arc::new(server))
    }
}

#[async_trait]
impl Service for Arc<VaultServer> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &VaultTarget = target.of_kind()?;
        Ok(Arc::new(VaultSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        Ok(Arc::new(VaultSink::reopen(self, place)?))
    }

    fn store(&self) -> Option<Arc<dyn SecretStore>> {
        Some(Arc::new(VaultStore(Arc::clone(self))))
    }

    async fn left_alone(&self) -> Result<Option<String>, Fault> {
        self.as_ref().left_alone().await
    }

    async fn close(&self) {
        self.as_ref().close().await;
    }
}
