//! `type = "dbt_cloud"`: one account of dbt Cloud.

use reqwest::Url;

use super::provider::{LimitShare, RateLimit, base_url, host_name, rate_limit, share};
use crate::{
    provider::dbt_cloud::Scheme,
    table::{HttpConfig, Keyring, SecretRef, Table, Value, http::http, secret::reference},
    token::{ConnectionId, Tenant},
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
    /// The account's limit; `None`: the documented one.
    pub rate_limit: Option<RateLimit>,
    /// How much of that limit is used at most.
    pub share: LimitShare,
    /// Certificates and proxy; what is left out is the top table's.
    pub http: HttpConfig,
}

/// Reads the table.
pub(super) fn dbt_cloud(
    table: &Table<'_>,
    outer: &HttpConfig,
    keyring: Keyring<'_>,
) -> Option<DbtCloudConfig> {
    const HOST: &str = "write the host alone, as in the address of your account: host = \
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
    let rate_limit = rate_limit(table);
    let share = share(table);
    let http = http(table, keyring).or(outer);

    let (host, account) = (host?, account?);
    let base_url = match base_url {
        Some(url) => url,
        None => Url::parse(&format!("https://{host}/")).ok()?,
    };
    Some(DbtCloudConfig {
        tenant: Tenant::try_new(format!("{host}/{account}")).ok()?,
        account,
        base_url,
        token: token?,
        scheme: scheme?,
        rate_limit,
        share,
        http,
    })
}

/// Accounts have numbers of up to 14 digits, as far as was seen.
fn account(value: &Value<'_>) -> Option<ConnectionId> {
    let number = value.natural()?;
    ConnectionId::try_new(number.to_string()).ok()
}
