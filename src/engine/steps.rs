//! Carries out single steps: announce, act, write down what came of it.

use std::{collections::BTreeSet, future::Future};

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    run::{Run, Stop, step_name},
    worker::{Engine, LEASE},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    ledger::{Claim, LedgerError},
    probe::Verdict,
    provider::Revoked,
    rotation::{
        decide::Step,
        event::Event,
        observe::{Held, SeenList, SeenSink},
        print,
        record::{Cause, Intent, Phase, Proof},
    },
    sink::{Contents, Fence, Marks, Parcel, Reading, Version},
    token::{Listed, MintRequest, PlaceKey, Scopes, TokenId},
};

impl Run<'_> {
    pub(super) async fn carry_out(&mut self, step: Step, why: &str) -> Result<(), Stop> {
        let name = step_name(&step);
        let began = self.now();
        let done = match step {
            Step::Look { list, places } => self.look(list, &places).await,
            Step::Note(event) => self.store(*event, why).await,
            Step::Preflight => self.preflight().await,
            Step::Mint { scopes, because } => self.mint(scopes, because).await,
            Step::Probe => self.probe(why).await,
            Step::AskCurrent(place) => self.ask_current(&place, why).await,
            Step::Promote(place) => self.promote(&place, why).await,
            Step::Revoke(id) => self.revoke(&id, why).await,
            Step::Pause(_) | Step::Rest(_) => Ok(()),
        };
        let took = (self.now() - began).to_std().unwrap_or_default();
        self.engine.metrics.step(name, took);
        done
    }

    /// Runs a side effect while the claim is kept. When the claim is lost the effect is let go of:
    /// whether it happened is then not known here, and not ours to act on.
    async fn guarded<T>(&self, effect: impl Future<Output = T>) -> Result<T, Stop> {
        let (engine, claim) = (self.engine, &self.claim);
        engine.ledger.renew(claim, LEASE).await?;
        let mut effect = std::pin::pin!(effect);
        let nap = TimeDelta::from_std(LEASE / 3).unwrap_or(TimeDelta::seconds(30));
        loop {
            let renew_at = engine.clock.now() + nap;
            tokio::select! {
                biased;
                done = &mut effect => return Ok(done),
                () = engine.clock.sleep_until(renew_at) => {}
            }
            match engine.ledger.renew(claim, LEASE).await {
                Ok(()) | Err(LedgerError::Unavailable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn look(
        &mut self,
        list: bool,
        places: &BTreeSet<PlaceKey>,
    ) -> Result<(), Stop> {
        let mut seen_list = None;
        if list {
            let provider = self.connection.provider.clone();
            let call = self.call();
            match self.guarded(provider.list(call)).await? {
                Ok(listing) => {
                    let at = self.now();
                    let provider_time = listing.provider_time.unwrap_or(at);
                    let seen = SeenList {
                        at,
                        provider_time,
                        tokens: listing.tokens,
                    };
                    seen_list = Some(seen.clone());
                    self.observed.list = Some(Ok(seen));
                }
                Err(fault) => {
                    self.observed.list = Some(Err(fault.clone()));
                    let before = self.record.troubles.look.clone();
                    let trouble = self.trouble(before.as_ref(), fault);
                    self.store(
                        Event::LookFailed(trouble),
                        "the provider could not be listed",
                    )
                    .await?;
                }
            }
        }
        let mut sinks = std::collections::BTreeMap::new();
        let mut troubles = std::collections::BTreeMap::new();
        for place in places {
            let seen = SeenSink {
                at: self.now(),
                held: self.read(place).await,
            };
            if let Held::Unreadable(fault) = &seen.held {
                let before = self
                    .record
                    .sinks
                    .get(place)
                    .and_then(|sink| sink.trouble.clone());
                troubles.insert(place.clone(), self.trouble(before.as_ref(), fault.clone()));
            }
            self.observed.sinks.insert(place.clone(), seen.clone());
            sinks.insert(place.clone(), seen);
        }
        self.store(
            Event::Looked {
                list: seen_list,
                sinks,
                troubles,
            },
            "looked",
        )
        .await?;
        if let Ok(losses) = self.engine.ledger.losses(&self.record.key.tenant).await {
            self.observed.losses = (losses.connections, losses.lost);
        }
        Ok(())
    }

    async fn read(&mut self, place: &PlaceKey) -> Held {
        let Some(sink) = self.sink(place) else {
            return Held::Unreadable(Fault::new(
                format!("read {place}"),
                Class::Terminal,
                Code::Io,
                "it left the policy and its [sinks] entry is gone as well: put that back until the tokens delivered there are revoked",
            ));
        };
        let reading = match sink.read().await {
            Ok(reading) => reading,
            Err(fault) => return Held::Unreadable(fault),
        };
        let version = reading.version.clone();
        let own_id = |value| self.connection.provider.id_in(value);
        let held = match &reading.contents {
            Contents::Empty => Held::Nothing(version),
            Contents::Marked { marks, value } => {
                // A value that names itself is believed before what stands beside it.
                let named = own_id(value);
                let marks = Some(marks.clone())
                    .filter(|marks| named.as_ref().is_none_or(|id| *id == marks.token_id));
                match marks.as_ref().map(|marks| marks.token_id.clone()).or(named) {
                    Some(id) => {
                        self.values.insert(id.clone(), value.clone());
                        Held::Token { id, marks, version }
                    }
                    None => Held::Unknown(version),
                }
            }
            Contents::Unmarked { value } => match value
                .as_ref()
                .and_then(|value| Some((own_id(value)?, value)))
            {
                Some((id, value)) => {
                    self.values.insert(id.clone(), value.clone());
                    Held::Token {
                        id,
                        marks: None,
                        version,
                    }
                }
                None => Held::Unknown(version),
            },
        };
        self.readings.insert(place.clone(), reading);
        held
    }

    /// Shows, without a write that a reader could see, that a rotation could be finished.
    async fn preflight(&mut self) -> Result<(), Stop> {
        let mut shown = Ok(());
        for sink in &self.connection.sinks {
            let unasked = Reading {
                version: unasked(),
                contents: Contents::Unmarked { value: None },
            };
            let reading = self.readings.get(&sink.place().key).unwrap_or(&unasked);
            shown = self.guarded(sink.prove_writable(reading)).await?;
            if shown.is_err() {
                break;
            }
        }
        if shown.is_ok() {
            let endpoint = self
                .connection
                .provider
                .scim_endpoint(&self.record.key.connection);
            shown = self
                .guarded(self.connection.probe.anonymous(&endpoint))
                .await?;
        }
        match shown {
            Ok(()) => {
                self.observed.preflight = Some(self.now());
                Ok(())
            }
            Err(fault) => {
                let before = self.record.troubles.mint.clone();
                let trouble = self.trouble(before.as_ref(), fault);
                self.store(
                    Event::MintFailed {
                        trouble,
                        no_slot: false,
                    },
                    "nothing is minted that cannot be delivered",
                )
                .await
            }
        }
    }

    async fn mint(&mut self, scopes: Scopes, because: String) -> Result<(), Stop> {
        let policy = self.connection.policy.clone();
        let now = self.now();
        let Some(Ok(list)) = self.observed.list.clone() else {
            return Ok(());
        };
        let shortest = policy.capabilities.shortest_life;
        let life = policy
            .token_lifetime
            .zip(shortest)
            .map(|(lifetime, shortest)| {
                let taken = print::taken(list.tokens.iter(), self.record.intents.iter());
                print::choose(lifetime, shortest, &taken, self.engine.entropy.bits())
            });
        let timeout =
            TimeDelta::from_std(self.engine.request_timeout).unwrap_or(TimeDelta::seconds(30));
        let intent = Intent {
            at: now,
            listed_at: list.provider_time,
            answered_by: now + list.skew() + timeout + TimeDelta::seconds(60),
            known: list.tokens.iter().map(|token| token.id.clone()).collect(),
            scopes: scopes.clone(),
            life,
            because: because.clone(),
            asked_at: self.asked_at(),
        };
        self.store(Event::Intended(intent.clone()), &because)
            .await?;
        let request = MintRequest { scopes, life };
        let provider = self.connection.provider.clone();
        let call = self.call();
        let made = self.guarded(provider.create(call, &request)).await?;
        match made {
            Ok(minted) if !intent.known.contains(&minted.token.id) => {
                self.unplaced = Some(minted.token.id.clone());
                self.values.insert(minted.token.id.clone(), minted.value);
                if let Some(Ok(list)) = &mut self.observed.list {
                    list.tokens.push(minted.token.clone());
                }
                let words = format!("{} was made", minted.token.id);
                self.store(
                    Event::Minted {
                        token: minted.token,
                        retire: policy.retire.clone(),
                        verify: policy.verify,
                    },
                    &words,
                )
                .await
            }
            Ok(minted) => {
                let fault = Fault::new(
                    format!("create a token for {}", self.record.name),
                    Class::Ambiguous,
                    Code::Unreadable,
                    format!("the answer names {}, which existed before", minted.token.id),
                );
                self.mint_failed(fault).await
            }
            Err(fault) => self.mint_failed(fault).await,
        }
    }

    async fn mint_failed(&mut self, fault: Fault) -> Result<(), Stop> {
        self.observed.list = None;
        let ambiguous = fault.class == Class::Ambiguous;
        let no_slot = fault.code == Code::NoSlot;
        let words = fault.to_string();
        let before = self.record.troubles.mint.clone();
        let trouble = self.trouble(before.as_ref(), fault);
        let event = if ambiguous {
            Event::MintLost(trouble)
        } else {
            Event::MintFailed { trouble, no_slot }
        };
        self.store(event, &words).await
    }

    /// Announces a probe, by the provider's clock.
    async fn announce_probe(&mut self, why: &str) -> Result<Timestamp, Stop> {
        let sent = self.situation().provider_now();
        let longest =
            TimeDelta::from_std(self.connection.probe.longest()).unwrap_or(TimeDelta::minutes(1));
        self.store(
            Event::ProbeAnnounced {
                sent,
                arrives_by: sent + longest,
            },
            why,
        )
        .await?;
        Ok(sent)
    }

    async fn probe(&mut self, why: &str) -> Result<(), Stop> {
        let Phase::Delivering(delivery) = &self.record.phase else {
            return Ok(());
        };
        let (id, proof) = (delivery.token.id.clone(), delivery.proof);
        let Some(value) = self.values.get(&id).cloned() else {
            return Ok(());
        };
        let sent = self.announce_probe(why).await?;
        let endpoint = self
            .connection
            .provider
            .scim_endpoint(&self.record.key.connection);
        let verdict = self
            .guarded(self.connection.probe.read(&endpoint, &value))
            .await?;
        let (refused, silent) = match proof {
            Proof::Pending {
                refused_since,
                silent_since,
            } => (refused_since, silent_since),
            Proof::Good | Proof::Bad | Proof::Waived => (None, None),
        };
        let (proof, words) = match verdict {
            Verdict::Accepted => (Proof::Good, format!("the SCIM endpoint accepts {id}")),
            Verdict::NotScoped => (
                Proof::Good,
                format!("the SCIM endpoint knows {id}, which may not read users"),
            ),
            Verdict::Unauthorized => (
                Proof::Pending {
                    refused_since: Some(refused.unwrap_or(sent)),
                    silent_since: None,
                },
                format!("the SCIM endpoint does not accept {id} yet"),
            ),
            Verdict::Inconclusive(fault) => {
                tracing::warn!(connection = %self.record.name, error = %fault, "the probe told nothing");
                (
                    Proof::Pending {
                        refused_since: None,
                        silent_since: Some(silent.unwrap_or(sent)),
                    },
                    format!("the probe of {id} told nothing: {fault}"),
                )
            }
        };
        self.store(Event::Proven(proof), &words).await
    }

    async fn ask_current(&mut self, place: &PlaceKey, why: &str) -> Result<(), Stop> {
        let id = self
            .observed
            .sinks
            .get(place)
            .and_then(|seen| seen.held.id())
            .cloned();
        let Some(value) = id.and_then(|id| self.values.get(&id).cloned()) else {
            return Ok(());
        };
        self.announce_probe(why).await?;
        let endpoint = self
            .connection
            .provider
            .scim_endpoint(&self.record.key.connection);
        match self
            .guarded(self.connection.probe.read(&endpoint, &value))
            .await?
        {
            Verdict::Unauthorized => {
                self.store(
                    Event::CurrentAsked { refused: true },
                    "the SCIM endpoint refuses the current token: it is gone",
                )
                .await
            }
            Verdict::Accepted | Verdict::NotScoped => {
                self.store(
                    Event::CurrentAsked { refused: false },
                    "the SCIM endpoint accepts the current token: the lists lag",
                )
                .await
            }
            Verdict::Inconclusive(fault) => {
                let before = self.record.troubles.look.clone();
                let trouble = self.trouble(before.as_ref(), fault);
                self.store(
                    Event::LookFailed(trouble),
                    "whether the current token is gone could not be asked",
                )
                .await
            }
        }
    }

    async fn promote(&mut self, place: &PlaceKey, why: &str) -> Result<(), Stop> {
        let Some((parcel, sink)) = self.parcel().zip(self.sink(place)) else {
            return Ok(());
        };
        let id = parcel.marks.token_id.clone();
        let seen = self.observed.sinks.get(place).map(|seen| seen.held.clone());
        let expected = seen
            .as_ref()
            .and_then(Held::version)
            .cloned()
            .unwrap_or_else(unasked);
        let words = match &seen {
            Some(
                Held::Unknown(version)
                | Held::Token {
                    marks: None,
                    version,
                    ..
                },
            ) => {
                format!(
                    "{why}; it replaces version {} that Scimitar did not write",
                    version.0
                )
            }
            Some(Held::Token { .. } | Held::Nothing(_) | Held::Unreadable(_)) | None => {
                why.to_owned()
            }
        };
        self.store(
            Event::PromoteBegun {
                place: place.clone(),
                id: id.clone(),
                at: self.now(),
            },
            &words,
        )
        .await?;
        self.unplaced = None;
        let fence = ClaimFence {
            engine: self.engine.clone(),
            claim: self.claim.clone(),
        };
        let done = self
            .guarded(sink.promote(&parcel, &expected, &fence))
            .await?;
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
                self.observed
                    .sinks
                    .insert(place.clone(), SeenSink { at: now, held });
                let provider = self.situation().provider_now();
                let words = format!("{} holds {id}", sink.place().location);
                self.store(
                    Event::Delivered {
                        place: place.clone(),
                        id,
                        version,
                        at: now,
                        provider,
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
                let before = self
                    .record
                    .sinks
                    .get(place)
                    .and_then(|sink| sink.trouble.clone());
                let trouble = self.trouble(before.as_ref(), fault);
                self.store(
                    Event::PromoteFailed {
                        place: place.clone(),
                        trouble,
                        certain,
                    },
                    &words,
                )
                .await
            }
        }
    }

    /// What is delivered: the token on its way, or the current one where a place is filled again.
    fn parcel(&self) -> Option<Parcel> {
        let (token, generation, previous): (&Listed, u64, Option<&TokenId>) =
            match &self.record.phase {
                Phase::Delivering(delivery) => (
                    &delivery.token,
                    delivery.generation,
                    self.record
                        .current
                        .as_ref()
                        .map(|current| &current.token.id),
                ),
                Phase::Steady | Phase::Minting(_) => (
                    &self.record.current.as_ref()?.token,
                    self.record.generation,
                    self.record
                        .older
                        .iter()
                        .find(|older| older.cause == Cause::Superseded)
                        .map(|older| &older.token.id),
                ),
            };
        let endpoint = self
            .connection
            .provider
            .scim_endpoint(&self.record.key.connection);
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

    async fn revoke(&mut self, id: &TokenId, why: &str) -> Result<(), Stop> {
        self.store(
            Event::RevokeAnnounced {
                id: id.clone(),
                at: self.now(),
            },
            why,
        )
        .await?;
        let provider = self.connection.provider.clone();
        let call = self.call();
        match self.guarded(provider.revoke(call, id)).await? {
            Ok(Revoked::Deleted) => {
                if let Some(Ok(list)) = &mut self.observed.list {
                    list.tokens.retain(|token| token.id != *id);
                }
                if self.unplaced.as_ref() == Some(id) {
                    self.unplaced = None;
                }
                self.values.remove(id);
                self.store(
                    Event::Revoked {
                        id: id.clone(),
                        at: self.now(),
                    },
                    &format!("{id} was revoked"),
                )
                .await
            }
            Ok(Revoked::NotFound) => {
                self.observed.list = None;
                self.store(
                    Event::NotFound(id.clone()),
                    &format!("the provider does not know {id}; a list will show it"),
                )
                .await
            }
            Err(fault) => {
                self.observed.list = None;
                let words = fault.to_string();
                let before = self.record.troubles.revoke.clone();
                let trouble = self.trouble(before.as_ref(), fault);
                self.store(Event::RevokeFailed(trouble), &words).await
            }
        }
    }
}

/// The version of a place that cannot be asked.
fn unasked() -> Version {
    Version("unasked".to_owned())
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
        self.engine
            .ledger
            .renew(&self.claim, LEASE)
            .await
            .map_err(|error| {
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
