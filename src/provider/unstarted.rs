//! A provider that could not be started (an embedded sandbox): everything that is asked of it fails
//! in the same words, so that it stops its own connections and no others.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;

use super::{
    Call, Provider, Revoked, Right,
    connections::{Found, Wanted},
    kind::Needs,
};
use crate::{
    error::Fault,
    rotation::{
        policy::Capabilities,
        scim_config::{ConfigChange, FoundConfig, ScimConfig},
    },
    token::{ConnectionId, Listing, MintRequest, Minted, TokenId, TokenValue},
};

/// What stands in for it.
#[derive(Debug)]
pub(super) struct Unstarted {
    /// The provider as it would be: for what needs no answer.
    pub(super) like: Arc<dyn Provider>,
    /// Why it was not started.
    pub(super) fault: Fault,
}

#[async_trait]
impl Provider for Unstarted {
    fn capabilities(&self) -> Capabilities {
        self.like.capabilities()
    }

    fn scim_endpoint(&self, connection: &ConnectionId) -> Url {
        self.like.scim_endpoint(connection)
    }

    fn id_in(&self, value: &TokenValue) -> Option<TokenId> {
        self.like.id_in(value)
    }

    async fn list(&self, _call: Call<'_>) -> Result<Listing, Fault> {
        Err(self.fault.clone())
    }

    async fn create(&self, _call: Call<'_>, _request: &MintRequest) -> Result<Minted, Fault> {
        Err(self.fault.clone())
    }

    async fn revoke(&self, _call: Call<'_>, _id: &TokenId) -> Result<Revoked, Fault> {
        Err(self.fault.clone())
    }

    async fn connections(&self, _wanted: &Wanted<'_>) -> Result<Vec<Found>, Fault> {
        Err(self.fault.clone())
    }

    async fn scim_config(
        &self,
        _call: Call<'_>,
        _with_default: bool,
    ) -> Result<Option<FoundConfig>, Fault> {
        Err(self.fault.clone())
    }

    async fn configure(
        &self,
        _call: Call<'_>,
        _change: &ConfigChange,
    ) -> Result<ScimConfig, Fault> {
        Err(self.fault.clone())
    }

    async fn prove(
        &self,
        _connections: &[ConnectionId],
        _needs: Needs,
    ) -> Result<Vec<Right>, Fault> {
        Err(self.fault.clone())
    }
}
