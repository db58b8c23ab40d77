//! The steps at a sink: announce, act, write down what came of it.

use super::{lease::Stop, run::Run};
use crate::{
    error::Fault,
    ledger::Durability,
    place::{Container, Version},
    rotation::{
        answer,
        decide::{Forget, Metadata, Promote, Stage},
    },
    sink::{Delivery, Sink},
};

impl Run<'_> {
    pub(super) async fn promote(&mut self, promote: &Promote, why: &str) -> Result<(), Stop> {
        let sink = self.sink_of(&promote.place)?;
        let delivery = self.delivery(&promote.metadata)?;
        let begun = promote.begun(self.now());
        self.lease.store(&begun, why)?;
        self.lease.ready(Durability::Now).await?;
        self.memory.unplaced = None;
        let expected = promote.expected.clone().unwrap_or_else(unasked);
        let fence = self.lease.fence();
        let write = sink.promote(&delivery, &expected, &fence);
        let done = self.guarded(self.at_place(Some(&*sink), "deliver", write)).await?;
        self.memory.observed.acted();
        let label = match &done {
            Ok(_) => "delivered",
            Err(fault) => fault.class.as_str(),
        };
        self.engine().metrics.sink_write(&sink.place().sink, label);
        let answer = self.delivered(promote, &*sink, done).await?;
        let is_done = answer.is_ok();
        let answered = answer::promoted(&self.situation(), promote, answer);
        self.write(answered)?;
        if is_done && sink.says_beside() {
            self.memory.beside.insert(promote.place.clone(), (sink, delivery));
        }
        Ok(())
    }

    /// What a write made of a place, as far as that can be told.
    async fn delivered(
        &mut self,
        promote: &Promote,
        sink: &dyn Sink,
        done: Result<Version, Fault>,
    ) -> Result<Result<(Version, Option<Container>), Fault>, Stop> {
        let version = match done {
            Ok(version) => version,
            Err(fault) => {
                self.memory.observed.sinks.remove(&promote.place);
                return Ok(Err(fault));
            }
        };
        // A folder that was made just now is told from a later one that somebody else makes.
        let container = match &promote.container {
            Some(container) if container.is_missing() => {
                self.lease.ready(Durability::Now).await?;
                let read = self.at_place(Some(sink), "read", sink.read());
                self.guarded(read).await?.ok().and_then(|reading| reading.container)
            }
            known => known.clone(),
        };
        let now = self.now();
        self.memory.promoted(promote, version.clone(), container.clone(), now);
        Ok(Ok((version, container)))
    }

    /// Keeps the value where the next worker can read it back. From here on that worker may deliver
    /// it, so this one no longer revokes it when its own claim is gone.
    pub(super) async fn stage(&mut self, stage: &Stage, why: &str) -> Result<(), Stop> {
        let sink = self.sink_of(&stage.place)?;
        let delivery = self.delivery(&stage.metadata)?;
        let id = stage.metadata.id().clone();
        self.lease.store(&stage.begun(), why)?;
        self.lease.ready(Durability::Now).await?;
        self.memory.unplaced = None;
        let fence = self.lease.fence();
        let staging = sink.stage(&delivery, &fence);
        let done = self.guarded(self.at_place(Some(&*sink), "stage", staging)).await?;
        match &done {
            Ok(()) => self.memory.staged(&stage.place, &id),
            Err(_) => {
                self.memory.observed.sinks.remove(&stage.place);
            }
        }
        let answered = answer::staged(&self.situation(), stage, done);
        self.write(answered)
    }

    /// Takes away what leads to a token that is gone. What readers get is not touched, so nothing
    /// is announced: it is asked for again until it is known to be done.
    pub(super) async fn forget(&mut self, forget: &Forget) -> Result<(), Stop> {
        let sink = self.sink_of(&forget.place)?;
        self.lease.ready(Durability::Now).await?;
        let forgetting = sink.forget(&forget.id, forget.earlier.as_ref());
        let done = self.guarded(self.at_place(Some(&*sink), "forget", forgetting)).await?;
        let answered = answer::forgotten(&self.situation(), forget, done);
        self.write(answered)
    }

    /// All that is delivered.
    fn delivery(&self, metadata: &Metadata) -> Result<Delivery, Stop> {
        let record = self.record();
        let endpoint = self.connection.provider.scim_endpoint(&record.key.connection);
        Ok(Delivery {
            value: self.memory.value(metadata.id())?.clone(),
            marks: metadata.marks.clone(),
            connection: record.name.clone(),
            provider: record.provider.clone(),
            scim_endpoint: endpoint.to_string(),
            scopes: metadata.scopes.clone(),
            created_at: metadata.created_at,
            expires_at: metadata.expires_at,
            owner: self.connection.policy.terms.owner.clone(),
        })
    }
}

/// The version of a place that cannot be asked.
pub(super) fn unasked() -> Version {
    Version(Version::UNASKED.to_owned())
}
