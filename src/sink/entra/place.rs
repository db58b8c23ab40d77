//! The credentials of one application's provisioning.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    calls::{ADDRESS, Calls, Credential, TOKEN},
    rights,
    settings::{EntraTarget, Graph},
};
use crate::{
    clock::parse_timestamp,
    error::{Class, Code, Fault},
    rotation::{
        policy::Mode,
        uptake::{Account, Uptake},
    },
    sink::{Delivery, Fence, Place, Reading, Sink, Version},
};

/// How long a request whose sender is gone may still be carried out.
const LINGERS: Duration = Duration::from_secs(90);

/// The credentials of one application's provisioning.
pub struct EntraSink {
    graph: Arc<Graph>,
    target: EntraTarget,
    place: Place,
}

impl fmt::Debug for EntraSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraSink").field("place", &self.place).finish_non_exhaustive()
    }
}

impl EntraSink {
    /// Checks the delivery. Graph is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when it cannot be one.
    pub fn try_new(graph: &Arc<Graph>, target: EntraTarget) -> Result<Self, Fault> {
        let place = target.placed(&graph.settings)?;
        Ok(Self { graph: Arc::clone(graph), target, place })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used.
    pub fn reopen(graph: &Arc<Graph>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(graph, EntraTarget::remembered(place)?)
    }

    fn calls<'a>(&'a self, operation: &'a str) -> Calls<'a> {
        Calls { graph: &self.graph, target: &self.target, operation }
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.place.location)
    }

    fn address(&self, delivery: &Delivery) -> String {
        format!("{}{}", delivery.scim_endpoint, self.target.append.as_deref().unwrap_or_default())
    }

    /// The credentials that a write has to send again: whether one that is left out is lost, Microsoft does
    /// not say.
    fn kept(&self, operation: &str, all: Vec<Credential>) -> Result<Vec<Credential>, Fault> {
        let others: Vec<Credential> =
            all.into_iter().filter(|one| one.key != ADDRESS && one.key != TOKEN).collect();
        match others.iter().find(|one| one.is_masked()) {
            None => Ok(others),
            Some(masked) => Err(Fault::new(
                operation,
                Class::Terminal,
                Code::Invalid,
                format!(
                    "the application has another secret credential, {}, whose value Graph does not show; a \
                     write might destroy it, so nothing was changed. Remove it in Entra, or use a hand-off for \
                     this application",
                    crate::http::quote(&masked.key, &[])
                ),
            )),
        }
    }
}

#[async_trait]
impl Sink for EntraSink {
    fn place(&self) -> &Place {
        &self.place
    }

    fn readable(&self) -> bool {
        false
    }

    fn uptake(&self) -> Uptake {
        Uptake::ByClient
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn read(&self) -> Result<Reading, Fault> {
        Ok(Reading::unasked())
    }

    /// That the job and its credentials can be seen, and that no other secret would be lost. Whether they may
    /// be written is not said without a write.
    async fn prove_writable(&self, _: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write to");
        let calls = self.calls(&operation);
        calls.job().await?;
        self.kept(&operation, calls.credentials().await?).map(|_| ())
    }

    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        let operation = self.operation("ask for the permissions to");
        let granted = self.calls(&operation).permissions().await?;
        Ok(granted.and_then(|granted| rights::missing(&granted, mode)).into_iter().collect())
    }

    async fn untried_rights(&self) -> Result<Option<String>, Fault> {
        let operation = self.operation("ask for the permissions to");
        let granted = self.calls(&operation).permissions().await?;
        let untried = rights::untried(granted.as_deref());
        Ok(untried.map(|words| format!("{}: {words}", self.place.location)))
    }

    async fn client(&self, delivered: &Version) -> Result<Account, Fault> {
        let operation = self.operation("ask the provisioning job of");
        let job = self.calls(&operation).job().await?;
        let Some(given) = parse_timestamp(&delivered.0) else {
            return Ok(Account::Waits("it is not known when it received the token".to_owned()));
        };
        Ok(job.account(given))
    }

    /// Has Entra validate the credentials, writes them, and starts the job. A job that an administrator
    /// paused stays so.
    ///
    /// # If the answer is lost
    /// The service principal may have the token, now or later; it is given the same again.
    async fn promote(
        &self,
        delivery: &Delivery,
        _: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("deliver to");
        let calls = self.calls(&operation);
        let job = calls.job().await?;
        let kept = self.kept(&operation, calls.credentials().await?)?;
        let (address, token) = (self.address(delivery), delivery.value.expose());
        calls.validate(&job, &address, token).await?;
        fence.check().await?;
        let given = calls.put(&kept, &address, token).await?;
        // From here on it has the token, whatever becomes of the start.
        if !job.is_paused() {
            calls.start(&job).await.map_err(|fault| Fault {
                class: Class::Ambiguous,
                detail: format!("the job has the token and could not be started: {}", fault.detail),
                ..fault
            })?;
        }
        Ok(Version(given))
    }
}
