//! Providers: the services that issue tokens. Each kind is a folder here and a line in [`KINDS`].

pub mod allowance;
pub mod auth0;
pub mod budget;
mod caller;
pub mod config;
pub mod connections;
pub mod dbt_cloud;
mod http;
pub mod kind;
mod newest;
mod operation;
mod pages;
pub mod sandbox;
mod session;
mod table;
mod unstarted;

use std::fmt;

use async_trait::async_trait;
use reqwest::Url;

use self::{
    connections::{Found, Wanted},
    kind::Needs,
};
pub use crate::rotation::decide::Urgency;
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    rotation::{
        policy::Capabilities,
        scim_config::{ConfigChange, FoundConfig, ScimConfig},
    },
    token::{ConnectionId, Listing, MintRequest, Minted, TokenId, TokenValue},
};

/// Every kind of provider, in the order in which messages name them. The first is the one that
/// examples are of.
pub(crate) const KINDS: [&kind::Kind; 4] =
    [&auth0::KIND, &dbt_cloud::KIND, &http::KIND, &sandbox::KIND];

/// Whom a request is for.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The connection at the provider.
    pub connection: &'a ConnectionId,
    /// Its place in the queue.
    pub urgency: Urgency,
    /// Nothing is sent later than that: what the call was decided on may have changed by then. `None`:
    /// only the provider's own patience counts.
    pub not_after: Option<Timestamp>,
}

/// One right that a rotation needs, and whether the provider grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The right in the provider's words, such as `create:scim_token`.
    pub name: String,
    /// `None` when it is granted; else what is missing and how to grant it.
    pub missing: Option<String>,
}

/// What a DELETE was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The token was there and is gone (204).
    Deleted,
    /// There was no such token (404): gone only once a list of that connection shows it.
    NotFound,
}

/// A service that issues SCIM tokens.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// What it can do, as data for the decisions.
    fn capabilities(&self) -> Capabilities;

    /// Where the connection's SCIM endpoint is, without a trailing slash.
    fn scim_endpoint(&self, connection: &ConnectionId) -> Url;

    /// The token id that a value carries in itself, where the provider's values do.
    fn id_in(&self, value: &TokenValue) -> Option<TokenId>;

    /// Lists all tokens of a connection. Only a complete 200 answer is `Ok`.
    ///
    /// # Errors
    /// Anything else; a 404 in any of its meanings is an error, never an empty list.
    async fn list(&self, call: Call<'_>) -> Result<Listing, Fault>;

    /// Makes a token. Sent once; sent again only after a 401 (one fresh log-in), a 429, or an
    /// error before its first byte was written.
    ///
    /// # If the answer is lost
    /// A token may exist, now or later, that nobody has the value of: [`crate::error::Class::Ambiguous`].
    ///
    /// # Errors
    /// Every class but `Ambiguous` says that no token was made. [`crate::error::Code::NoSlot`] when there are
    /// as many as the provider allows.
    async fn create(&self, call: Call<'_>, request: &MintRequest) -> Result<Minted, Fault>;

    /// Deletes a token.
    ///
    /// # If the answer is lost
    /// The token may be gone, now or later. Repeating the call is harmless.
    ///
    /// # Errors
    /// When it is not known to be gone.
    async fn revoke(&self, call: Call<'_>, id: &TokenId) -> Result<Revoked, Fault>;

    /// Lists the connections of the account that have SCIM: all of them, or an error. Where that costs a
    /// call for each, only those that are `wanted` are asked about.
    ///
    /// # Errors
    /// Anything but a list that is complete to its last page; also where a kind has no such list.
    async fn connections(&self, _wanted: &Wanted<'_>) -> Result<Vec<Found>, Fault> {
        let detail = "this type of provider cannot list them";
        Err(Fault::new("list the connections", Class::Terminal, Code::Invalid, detail))
    }

    /// Reads the SCIM configuration of a connection, and the default mapping where that is asked for;
    /// `None` where there is no configuration.
    ///
    /// # Errors
    /// When that is not known; also where a kind has none.
    async fn scim_config(
        &self,
        call: Call<'_>,
        _with_default: bool,
    ) -> Result<Option<FoundConfig>, Fault> {
        Err(not_configurable("read", call.connection))
    }

    /// Makes or replaces the SCIM configuration of a connection: what it is then.
    ///
    /// # If the answer is lost
    /// The change may be made. To replace it again is harmless, to make it again is refused.
    ///
    /// # Errors
    /// When it is not known to be done.
    async fn configure(&self, call: Call<'_>, _change: &ConfigChange) -> Result<ScimConfig, Fault> {
        Err(not_configurable("set", call.connection))
    }

    /// Logs in afresh and says which of the rights that are needed are granted, before anything is minted.
    ///
    /// # Errors
    /// When that could not be found out.
    async fn prove(&self, connections: &[ConnectionId], needs: Needs) -> Result<Vec<Right>, Fault>;
}

fn not_configurable(what: &str, connection: &ConnectionId) -> Fault {
    let detail = "connections of this type of provider have no SCIM configuration that can be set";
    let operation = format!("{what} the SCIM configuration of {connection}");
    Fault::new(operation, Class::Terminal, Code::Invalid, detail)
}

/// Whether the tokens of a connection can be listed, as a right called `name`.
///
/// # Errors
/// When that could not be found out.
async fn can_list(
    provider: &impl Provider,
    connection: &ConnectionId,
    name: String,
) -> Result<Right, Fault> {
    let call = Call { connection, urgency: Urgency::Routine, not_after: None };
    match provider.list(call).await {
        Ok(_) => Ok(Right { name, missing: None }),
        Err(fault) if fault.class == Class::Terminal => {
            Ok(Right { name, missing: Some(fault.to_string()) })
        }
        Err(fault) => Err(fault),
    }
}
