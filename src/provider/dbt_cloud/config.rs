//! `type = "dbt_cloud"`: one account of dbt Cloud.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;
use serde_json::{Value as Schema, json};

use super::{DbtCloud, DbtCloudSettings, Scheme, USUAL_LIMIT, capabilities};
use crate::{
    kind::{BuildError, Grant, endpoint},
    provider::{
        kind::{
            Built, ConnectionIds, Declared, Kind, Managed, Needs, Reading, ScopeWords, Site,
            UsualLimit,
        },
        table::{HOST, base_url, base_url_shape, host_name, limits},
    },
    rotation::policy::Capabilities,
    table::{
        HttpConfig, SecretRef, StoreWord, Value,
        http::{self, http},
        secret::reference,
        shape::{self, by_default, credential, fitting, whole, word},
    },
    token::{ConnectionId, Tenant},
};

/// What the token needs: of what dbt Cloud's own sets of permissions hold, none less may administer
/// an account's SCIM configuration.
const PERMISSION_SET: &str = "account_admin";

/// Accounts of dbt Cloud.
pub(in crate::provider) const KIND: Kind = Kind {
    word: "dbt_cloud",
    read,
    schema,
    ids: ConnectionIds {
        pattern: "[0-9]+",
        about: "Left out for dbt Cloud: the account is the connection.",
        example: "12345",
        read: number,
    },
    scopes: ScopeWords::None,
    shortest_life: None,
    configuration: None,
    // The schema of dbt-labs/terraform-provider-dbtcloud, and Pulumi's package made from it.
    managed: Some(Managed {
        terraform: "dbtcloud_scim_config_token",
        pulumi: "dbtcloud:index/scimConfigToken:ScimConfigToken",
        connection: None,
        token: "id",
        scopes: None,
        value: "token_string",
    }),
};

/// An account of dbt Cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct DbtCloudConfig {
    /// Host and account: what records are kept under.
    pub tenant: Tenant,
    /// The account's number: the id of its one SCIM configuration too.
    pub account: ConnectionId,
    /// Where API and SCIM endpoint are reached; `https://{host}/` by default. https, or http to
    /// loopback; no path.
    pub base_url: Url,
    /// A token with account-admin rights.
    pub token: SecretRef,
    /// How it is announced.
    pub scheme: Scheme,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

#[async_trait]
impl Declared for DbtCloudConfig {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn only_connection(&self) -> Option<&ConnectionId> {
        Some(&self.account)
    }

    fn usual_limit(&self) -> UsualLimit {
        UsualLimit::Known(USUAL_LIMIT)
    }

    fn http(&self) -> Option<&HttpConfig> {
        Some(&self.http)
    }

    /// No narrower set is documented to list SCIM tokens.
    fn grant(&self, table: String, _needs: Needs) -> Option<Grant> {
        Some(Grant {
            table,
            kind: KIND.word,
            at: self.tenant.to_string(),
            namespace: None,
            to: "the permission set of dbt Cloud for the service token, or the owner of the \
                 personal one, that `token` names",
            policy: format!("{PERMISSION_SET}\n"),
            rights: json!({ "permission_set": PERMISSION_SET }),
        })
    }

    async fn build(&self, site: Site<'_>) -> Result<Built, BuildError> {
        let Site { name, parts, http, pace, budget } = site;
        let settings = DbtCloudSettings {
            name: name.clone(),
            account: self.account.clone(),
            base_url: endpoint(&self.base_url)?,
            token: parts.credential(&self.token),
            scheme: self.scheme,
            share: pace.share.get(),
            rate_limit: pace.limit,
            request_timeout: parts.request_timeout,
        };
        let (clock, metrics) = (Arc::clone(&parts.clock), parts.metrics.clone());
        Ok(Built::remote(DbtCloud::new(settings, http, clock, metrics, Some(budget))))
    }
}

fn read(&Reading { table, outer, keyring, .. }: &Reading<'_, '_>) -> Option<Arc<dyn Declared>> {
    const HOST: &str = "write only the host, as in the address of your account: host = \
                        \"cloud.getdbt.com\", or such as \"ab123.us1.dbt.com\"";
    let host =
        table.require("host", "\"cloud.getdbt.com\"").and_then(|value| host_name(&value, HOST));
    let account = table.require("account_id", "12345").and_then(|value| account(&value));
    let token = table
        .require("token", "{ credential = \"NAME\" }")
        .and_then(|value| reference(&value, keyring, |_| Ok(())));
    let scheme = match table.get("scheme") {
        Some(value) => {
            value.word(&[Scheme::Token, Scheme::Bearer].map(|scheme| (scheme.as_str(), scheme)))
        }
        None => Some(Scheme::default()),
    };
    let base_url = table.get("base_url").and_then(|value| base_url(&value));
    let http = http(table, keyring).or(outer);

    let (host, account) = (host?, account?);
    let base_url = match base_url {
        Some(url) => url,
        None => Url::parse(&format!("https://{host}/")).ok()?,
    };
    Some(Arc::new(DbtCloudConfig {
        tenant: Tenant::try_new(format!("{host}/{account}")).ok()?,
        account,
        base_url,
        token: token?,
        scheme: scheme?,
        http,
    }))
}

/// Accounts have numbers of up to 14 digits, as far as was seen.
fn account(value: &Value<'_>) -> Option<ConnectionId> {
    let number = value.natural()?;
    ConnectionId::try_new(number.to_string()).ok()
}

/// An account's number as the id of its one connection.
fn number(value: &Value<'_>) -> Option<ConnectionId> {
    let text = value.string()?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        value.refuse("`connection_id` is not the number of an account", "leave it out");
        return None;
    }
    ConnectionId::try_new(text).ok()
}

/// The table, as JSON Schema.
fn schema(stores: &[StoreWord]) -> Schema {
    const TOKEN: &str = "A token with the account-admin permission set; by reference only.";
    const ACCOUNT: &str = "The account's number.";
    let scheme = word("The authorization scheme. Default: \"Token\".", &["Token", "Bearer"]);
    let keys = shape::table("An account of dbt Cloud.")
        .tag("type", "dbt_cloud")
        .must("host", fitting("The host in the account's address.", HOST, "cloud.getdbt.com"))
        .must("account_id", whole(ACCOUNT, 1, u64::MAX, 12_345))
        .must("token", credential(TOKEN, stores))
        .may("scheme", by_default("Token", scheme))
        .may("base_url", base_url_shape());
    limits(keys).may("http", http::schema()).build()
}
