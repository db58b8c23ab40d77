//! The provisioning connection of one application.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    calls::Calls,
    rights,
    settings::{OktaTarget, Org},
};
use crate::{
    error::Fault,
    sink::{Delivery, Fence, Place, Reading, Sink, Version},
};

/// How long a request whose sender is gone may still be carried out.
const LINGERS: Duration = Duration::from_secs(90);

/// The provisioning connection of one application.
pub struct OktaSink {
    org: Arc<Org>,
    target: OktaTarget,
    place: Place,
}

impl fmt::Debug for OktaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OktaSink").field("place", &self.place).finish_non_exhaustive()
    }
}

impl OktaSink {
    /// Checks the delivery. Okta is asked nothing.
    ///
    /// # Errors
    /// [`crate::error::Code::Invalid`] when it cannot be one.
    pub fn try_new(org: &Arc<Org>, target: OktaTarget) -> Result<Self, Fault> {
        let place = target.placed(&org.settings)?;
        Ok(Self { org: Arc::clone(org), target, place })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used.
    pub fn reopen(org: &Arc<Org>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(org, OktaTarget::remembered(place)?)
    }

    fn calls<'a>(&'a self, operation: &'a str) -> Calls<'a> {
        Calls { org: &self.org, target: &self.target, operation }
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.place.location)
    }
}

#[async_trait]
impl Sink for OktaSink {
    fn place(&self) -> &Place {
        &self.place
    }

    fn readable(&self) -> bool {
        false
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn read(&self) -> Result<Reading, Fault> {
        Ok(Reading::unasked())
    }

    /// That the application can be seen, and that its connection takes a token. Whether it may be set is not
    /// said without a write.
    async fn prove_writable(&self, _: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write to");
        self.calls(&operation).check().await
    }

    async fn untried_rights(&self) -> Result<Option<String>, Fault> {
        Ok(Some(format!(
            "{}: the permission to set the token ({}) was not checked: Okta shows it only on a write",
            self.place.location,
            rights::WRITES
        )))
    }

    /// Gives the connection the token.
    ///
    /// # If the answer is lost
    /// The connection may have the token, now or later; it is given the same again.
    async fn promote(
        &self,
        delivery: &Delivery,
        _: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("deliver to");
        let calls = self.calls(&operation);
        calls.check().await?;
        fence.check().await?;
        calls.set(delivery.value.expose()).await?;
        Ok(Version(delivery.marks.token_id.to_string()))
    }
}
