//! Delivering and revoking: the two steps that readers of a sink can feel.

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    run::{Run, Stop, unasked},
    worker::{Engine, LEASE},
};
use crate::{
    clock::rfc3339,
    error::{Class, Code, Fault},
    ledger::{Claim, LedgerError},
    provider::{Call, Revoked},
    rotation::{
        event::{Event, OlderEvent, PlaceEvent},
        observe::{Held, SeenSink, Staging},
        record::{Cause, Older, Phase},
        view,
    },
    sink::{Fence, Marks, Parcel},
    token::{Listed, PlaceKey, TokenId},
};

impl Run<'_> {
    pub(super) async fn promote(&mut self, place: &PlaceKey, why: &str) -> Result<(), Stop> {
        let Some((parcel, sink)) = self.parcel().zip(self.sink(place)) else {
            return Ok(());
        };
        let id = parcel.marks.token_id.clone();
        let seen = self.observed.sinks.get(place);
        let seen_staging = seen.map(|seen| seen.staging.clone()).unwrap_or_default();
        let container = seen.and_then(|seen| seen.container.clone());
        let seen = seen.map(|seen| seen.held.clone());
        let expected = seen.as_ref().and_then(Held::version).cloned().unwrap_or_else(unasked);
        let words = match &seen {
            Some(Held::Unknown(version) | Held::Token { marks: None, version, .. }) => {
                format!("{why}; it replaces version {} that Scimitar did not write", version.0)
            }
            Some(Held::Token { .. } | Held::Nothing(_) | Held::Unreadable(_)) | None => {
                why.to_owned()
            }
        };
        self.store(
            Event::Place {
                place: place.clone(),
                what: PlaceEvent::PromoteBegun {
                    id: id.clone(),
                    at: self.now(),
                    replaces: seen.as_ref().and_then(Held::version).cloned(),
                    container: container.clone(),
                },
            },
            &words,
        )
        .await?;
        self.unplaced = None;
        let fence = self.fence();
        let done = self
            .guarded(self.at_place(Some(&*sink), sink.promote(&parcel, &expected, &fence)))
            .await?;
        self.observed.acted();
        let label = &sink.place().sink;
        match done {
            Ok(version) => {
                self.engine.metrics.sink_write(label, "delivered");
                let now = self.now();
                let held = Held::Token {
                    id: id.clone(),
                    marks: Some(parcel.marks),
                    version: version.clone(),
                };
                let staging = match seen_staging {
                    Staging::Impossible => Staging::Impossible,
                    Staging::Free | Staging::Holds(_) => Staging::Free,
                };
                // A folder that was made just now is told from a later one that somebody else makes.
                let container = match container {
                    Some(container) if container.is_missing() => {
                        let read = self.at_place(Some(&*sink), sink.read());
                        self.guarded(read).await?.ok().and_then(|reading| reading.container)
                    }
                    known => known,
                };
                let seen = SeenSink {
                    staging,
                    container: container.clone(),
                    is_genuine: true,
                    ..SeenSink::new(now, held)
                };
                self.observed.sinks.insert(place.clone(), seen);
                let provider = self.situation().provider_shown();
                let words = format!("{} holds {id}", sink.place().location);
                self.store(
                    Event::Place {
                        place: place.clone(),
                        what: PlaceEvent::Delivered { id, version, at: now, provider, container },
                    },
                    &words,
                )
                .await
            }
            Err(fault) => {
                self.engine.metrics.sink_write(label, fault.class.as_str());
                self.observed.sinks.remove(place);
                let certain = fault.class != Class::Ambiguous;
                let words = fault.to_string();
                let before = self.record.sinks.get(place).and_then(|sink| sink.trouble.clone());
                let trouble = self.trouble(before.as_ref(), fault);
                let what = PlaceEvent::PromoteFailed { trouble, certain };
                self.store(Event::Place { place: place.clone(), what }, &words).await
            }
        }
    }

    /// Keeps the value where the next worker can read it back. From here on that worker may deliver
    /// it, so this one no longer revokes it when its own claim is gone.
    pub(super) async fn stage(&mut self, place: &PlaceKey, why: &str) -> Result<(), Stop> {
        let Some((parcel, sink)) = self.parcel().zip(self.sink(place)) else {
            return Ok(());
        };
        let id = parcel.marks.token_id.clone();
        let what = PlaceEvent::StageBegun { id: id.clone() };
        self.store(Event::Place { place: place.clone(), what }, why).await?;
        self.unplaced = None;
        let fence = self.fence();
        match self.guarded(self.at_place(Some(&*sink), sink.stage(&parcel, &fence))).await? {
            Ok(()) => {
                if let Some(seen) = self.observed.sinks.get_mut(place) {
                    seen.staging = Staging::Holds(id.clone());
                }
                let words = format!("{} keeps {id} staged", sink.place().location);
                let what = PlaceEvent::Staged { id };
                self.store(Event::Place { place: place.clone(), what }, &words).await
            }
            Err(fault) => {
                self.observed.sinks.remove(place);
                let words = fault.to_string();
                let before = self.record.sinks.get(place).and_then(|sink| sink.trouble.clone());
                let trouble = self.trouble(before.as_ref(), fault);
                let what = PlaceEvent::StageFailed { trouble };
                self.store(Event::Place { place: place.clone(), what }, &words).await
            }
        }
    }

    /// Takes away what leads to a token that is gone. What readers get is not touched, so nothing
    /// is announced: it is asked for again until it is known to be done.
    pub(super) async fn forget(&mut self, place: &PlaceKey, id: &TokenId) -> Result<(), Stop> {
        let residue = self.record.sinks.get(place).and_then(|sink| sink.residue.get(id)).cloned();
        let Some((residue, sink)) = residue.zip(self.sink(place)) else {
            return Ok(());
        };
        match self
            .guarded(self.at_place(Some(&*sink), sink.forget(id, residue.earlier.as_ref())))
            .await?
        {
            Ok(()) => {
                let words = format!("nothing in {} leads to {id} any more", sink.place().location);
                let what = PlaceEvent::Forgotten { id: id.clone() };
                self.store(Event::Place { place: place.clone(), what }, &words).await
            }
            Err(fault) => {
                let words = fault.to_string();
                let trouble = self.trouble(residue.trouble.as_ref(), fault);
                let what = PlaceEvent::ForgetFailed { id: id.clone(), trouble };
                self.store(Event::Place { place: place.clone(), what }, &words).await
            }
        }
    }

    /// Where a place is, for people.
    pub(super) fn location(&self, place: &PlaceKey) -> String {
        let sink = self.record.sinks.get(place);
        sink.map_or_else(|| place.to_string(), |sink| sink.place.location.clone())
    }

    fn fence(&self) -> ClaimFence {
        ClaimFence { engine: self.engine.clone(), claim: self.claim.clone() }
    }

    /// What is delivered: the token on its way, or the current one where a place is filled again. A
    /// mark that others raised must not keep it out.
    fn parcel(&self) -> Option<Parcel> {
        let (token, generation, previous): (&Listed, u64, Option<&TokenId>) =
            match &self.record.phase {
                Phase::Delivering(delivery) => (
                    &delivery.token,
                    delivery.generation.max(self.record.generation_seen),
                    self.record.current.as_ref().map(|current| &current.token.id),
                ),
                Phase::Steady | Phase::Minting(_) => (
                    &self.record.current.as_ref()?.token,
                    self.record.generation.max(self.record.generation_seen),
                    self.record
                        .older
                        .iter()
                        .find(|older| older.cause == Cause::Superseded)
                        .map(|older| &older.token.id),
                ),
            };
        let endpoint = self.connection.provider.scim_endpoint(&self.record.key.connection);
        Some(Parcel {
            value: self.values.get(&token.id)?.clone(),
            marks: Marks {
                token_id: token.id.clone(),
                previous_token_id: previous.filter(|id| **id != token.id).cloned(),
                generation,
                ledger: self.engine.ledger.id().clone(),
                connection_id: self.record.key.connection.clone(),
            },
            connection: self.record.name.clone(),
            provider: self.record.provider.clone(),
            scim_endpoint: endpoint.to_string(),
            scopes: token.scopes.clone(),
            created_at: token.created_at,
            expires_at: token.valid_until,
        })
    }

    /// A token that somebody used a moment ago is not revoked in silence.
    fn warn_of_use(&self, id: &TokenId) {
        // What no sink ever had was used by nobody but our own probe.
        let handed_out = |older: &&Older| {
            older.token.id == *id
                && !matches!(older.cause, Cause::Orphan | Cause::Bad | Cause::GivenUp)
        };
        let older = self.record.older.iter().find(handed_out);
        let used = older.and_then(|older| view::older_use(&self.record, older));
        let Some(used) = used.filter(|used| self.now() - *used < TimeDelta::hours(1)) else {
            return;
        };
        let name = &self.record.name;
        let at = rfc3339(used);
        tracing::warn!(token_id = %id, last_used_at = at, "{name}: {id} is revoked although it was used at {at}: its user was not given the new token, or is about to read it");
    }

    pub(super) async fn revoke(&mut self, id: &TokenId, why: &str) -> Result<(), Stop> {
        let what = OlderEvent::RevokeAnnounced { at: self.now() };
        self.store(Event::Older { id: id.clone(), what }, why).await?;
        // Writing that down may have taken a while: the look has to be as fresh as it was.
        let Some(not_after) = self.observed.fresh_until(self.now()) else {
            self.observed.list = None;
            return Ok(());
        };
        self.warn_of_use(id);
        let provider = self.connection.provider.clone();
        // It may wait for its turn; one that comes later is not sent, and another look comes first.
        let call = Call { not_after: Some(not_after), ..self.call() };
        let answer = self.asking(provider.revoke(call, id)).await?;
        self.observed.acted();
        match answer {
            Ok(Revoked::Deleted) => {
                if let Some(Ok(list)) = &mut self.observed.list {
                    list.tokens.retain(|token| token.id != *id);
                }
                if self.unplaced.as_ref() == Some(id) {
                    self.unplaced = None;
                }
                self.values.remove(id);
                self.revoked.push(id.clone());
                self.store(
                    Event::Older { id: id.clone(), what: OlderEvent::Revoked { at: self.now() } },
                    &format!("{id} was revoked"),
                )
                .await
            }
            Ok(Revoked::NotFound) => {
                self.observed.list = None;
                self.store(
                    Event::Older { id: id.clone(), what: OlderEvent::NotFound },
                    &format!("the provider does not know {id}; a list will show it"),
                )
                .await
            }
            Err(fault) => {
                self.observed.list = None;
                let words = fault.to_string();
                let before = self.record.troubles.revoke.clone();
                let trouble = self.trouble(before.as_ref(), fault);
                let what = OlderEvent::RevokeFailed { trouble };
                self.store(Event::Older { id: id.clone(), what }, &words).await
            }
        }
    }
}

/// Our claim, as a sink asks for it right before it writes.
#[derive(Debug)]
struct ClaimFence {
    engine: Engine,
    claim: Claim,
}

#[async_trait]
impl Fence for ClaimFence {
    async fn check(&self) -> Result<(), Fault> {
        self.engine.ledger.renew(&self.claim, LEASE).await.map_err(|error| {
            let (class, code) = match error {
                LedgerError::ClaimLost => (Class::Conflict, Code::ClaimLost),
                LedgerError::Unavailable { .. } | LedgerError::Unusable { .. } => {
                    (Class::Transient, Code::Io)
                }
            };
            Fault::new("check the claim", class, code, error.to_string())
        })
    }
}
