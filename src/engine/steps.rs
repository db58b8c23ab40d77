//! The steps at the provider and at the SCIM endpoint: announce, act, write down what came of it.

use crate::{
    clock::rfc3339,
    ledger::Durability,
    provider::{Call, Revoked},
    rotation::{
        answer::{self, ProbeAnswer},
        decide::{About, Inquiry, Revoke},
        event::{Event, RetiringEvent},
        observe::FRESH,
        record::Intent,
    },
    token::{MintRequest, Minted, TokenId},
    words::date,
};

use super::{lease::Stop, run::Run};

impl Run<'_> {
    pub(super) async fn mint(&mut self, intent: Intent) -> Result<(), Stop> {
        let intended = Event::Intended(intent.clone());
        if self.request.since().is_some() {
            self.lease.store_by_person(&intended, &intent.because)?;
        } else {
            self.lease.store(&intended, &intent.because)?;
        }
        self.lease.ready(Durability::Now).await?;
        let Intent { scopes, life, name, .. } = intent.clone();
        let request = MintRequest { scopes, life, name };
        let provider = self.connection.provider.clone();
        let call = self.call();
        let made = self.asking(provider.create(call, &request)).await?;
        self.memory.observed.acted();
        // What was asked for may still take effect: nothing else is ever asked for with the same chance.
        self.memory.draw_anew(&*self.lease.engine.entropy);
        let (answer, value) = match made {
            Ok(Minted { token, value }) => (Ok((token, value.digest())), Some(value)),
            Err(fault) => (Err(fault), None),
        };
        let answered = answer::created(&self.situation(), &intent, answer);
        match (&answered.event, value) {
            (Some(Event::Minted { token, .. }), Some(value)) => {
                self.memory.made(token, value);
            }
            (_, _) => self.memory.observed.list = None,
        }
        self.write(answered)
    }

    /// Sends a token to the SCIM endpoint, and writes down what that proves.
    pub(super) async fn probe(&mut self, inquiry: Inquiry, why: &str) -> Result<(), Stop> {
        let Inquiry { id, about, sent, arrives_by } = &inquiry;
        let value = self.memory.value(id)?.clone();
        let announced = match about {
            About::OnItsWay { .. } | About::Current { .. } => true,
            // Nobody else's use of a token that is not ours is told from ours.
            About::Found { .. } => false,
        };
        if announced {
            let event =
                Event::ProbeAnnounced { id: id.clone(), sent: *sent, arrives_by: *arrives_by };
            self.lease.store(&event, why)?;
        }
        self.lease.ready(Durability::Now).await?;
        let endpoint = self.connection.provider.scim_endpoint(&self.record().key.connection);
        let mut answer = self.proving(&endpoint, &value).await?;
        if let About::OnItsWay { write: Some(plan), .. } = about
            && answer == ProbeAnswer::Accepted
        {
            answer = self.prove_by_writing(id, value, plan).await?;
        }
        if let (About::OnItsWay { .. }, ProbeAnswer::Inconclusive(fault)) = (about, &answer) {
            let name = &self.record().name;
            tracing::warn!(error = %fault, "{name}: the probe was inconclusive: {fault}");
        }
        let works = answer::works(&self.situation(), id, &answer);
        let answered = answer::probed(&self.situation(), &inquiry, answer);
        let now = self.now();
        match about {
            About::Current { .. } if works => self.memory.vouched(id, now, false),
            About::Found { .. } if works => self.memory.vouched(id, now, true),
            About::OnItsWay { .. } | About::Current { .. } | About::Found { .. } => {}
        }
        self.write(answered)?;
        if works { self.note_value(id) } else { Ok(()) }
    }

    /// Keeps the digest of a value that was accepted and that this record does not know yet: from
    /// now on a place that holds anything else under that id was changed by others.
    pub(super) fn note_value(&mut self, id: &TokenId) -> Result<(), Stop> {
        if self.record().digests.contains_key(id) {
            return Ok(());
        }
        let Some(digest) = self.memory.digest(id) else { return Ok(()) };
        let words = format!("the digest of the value of {id} is recorded");
        self.lease.store(&Event::ValueKnown { id: id.clone(), digest }, &words)
    }

    pub(super) async fn revoke(&mut self, revoke: &Revoke, why: &str) -> Result<(), Stop> {
        let Revoke { id, seen, in_use } = revoke;
        let what = RetiringEvent::RevokeAnnounced { at: self.now() };
        self.lease.store(&Event::Retiring { id: id.clone(), what }, why)?;
        self.lease.ready(Durability::Now).await?;
        // Writing that down may have taken a while, or the clock was set: another look comes first then.
        let now = self.now();
        if now > *seen || *seen - now > FRESH {
            self.memory.observed.list = None;
            return Ok(());
        }
        if let Some(used) = in_use {
            let (name, at) = (&self.record().name, date(*used));
            tracing::warn!(token_id = %id, last_used_at = rfc3339(*used), "{name}: revoking {id}, which was used at {at}: its client did not get the new token, or has not read it yet");
        }
        let provider = self.connection.provider.clone();
        // It may wait for its turn; one that comes later is not sent, and another look comes first.
        let call = Call { not_after: Some(*seen), ..self.call() };
        let answer = self.asking(provider.revoke(call, id)).await?;
        self.memory.observed.acted();
        let known = answer.map(|revoked| revoked == Revoked::Deleted);
        if known == Ok(true) {
            self.memory.deleted(id);
            self.story.revoked.push(id.clone());
        } else {
            self.memory.observed.list = None;
        }
        let answered = answer::revoked(&self.situation(), id, known);
        self.write(answered)
    }
}
