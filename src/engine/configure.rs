//! The SCIM configuration: reading it, and the change that is announced first.

use super::{lease::Stop, run::Run};
use crate::{
    ledger::Durability,
    rotation::{
        answer,
        event::{ConfigEvent, Event},
        scim_config::{ConfigChange, FoundConfig, SeenConfig, WantedConfig},
    },
};

impl Run<'_> {
    /// Reads it. Nothing else waits for that, or fails because of it.
    pub(super) async fn inspect(&mut self) -> Result<(), Stop> {
        self.lease.ready(Durability::Soon).await?;
        let call = self.call();
        let with_default = self.connection.policy.terms.scim_config == Some(WantedConfig::Default);
        let answer = self.inspecting(call, with_default).await?;
        let at = self.now();
        self.memory.observed.scim_config =
            Some(answer.clone().map(|found| SeenConfig { at, found }));
        if let Err(fault) = &answer {
            let name = &self.record().name;
            tracing::warn!(error = %fault, "{name}: could not compare the SCIM configuration: {fault}");
        }
        let answered = answer::inspected(&self.situation(), answer);
        self.write(answered)
    }

    /// Makes or replaces it.
    ///
    /// # If the answer is lost
    /// The change may be made. It is looked at again before anything is sent again.
    pub(super) async fn configure(&mut self, change: ConfigChange, why: &str) -> Result<(), Stop> {
        let at = self.now();
        let announced = ConfigEvent::Announced { change: Box::new(change.clone()), at };
        self.lease.store(&Event::ScimConfig(announced), why)?;
        self.lease.ready(Durability::Now).await?;
        let provider = self.connection.provider.clone();
        let call = self.call();
        let done = self.asking(provider.configure(call, &change)).await?;
        let at = self.now();
        let seen = |config| SeenConfig { at, found: Some(FoundConfig { config, default: None }) };
        self.memory.observed.scim_config =
            done.as_ref().ok().map(|config| Ok(seen(config.clone())));
        // Without one, no list came.
        self.memory.observed.list.take_if(|list| list.is_err());
        let answered = answer::configured(&self.situation(), &change, done);
        self.write(answered)
    }
}
