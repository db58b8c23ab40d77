//! Carries out single steps: announce, act, write down what came of it.

use chrono::TimeDelta;

use super::{
    progress::{step_name, step_words},
    run::{Run, Stop},
};
use crate::{
    clock::Timestamp,
    error::{Class, Code, Fault},
    probe::Verdict,
    rotation::{
        decide::Step,
        event::Event,
        print,
        record::{Intent, Phase, Proof},
    },
    token::{MintRequest, PlaceKey, Scopes, TokenId, TokenValue},
};

impl Run<'_> {
    pub(super) async fn carry_out(&mut self, step: Step, why: &str) -> Result<(), Stop> {
        let name = step_name(&step);
        let began = self.now();
        self.doing = step_words(&step, why);
        if let Some(words) = &self.doing {
            self.engine.progress.step(&self.record.name, words);
        }
        let done = match step {
            Step::Look { list, places } => self.look(list, &places).await,
            Step::Note(event) => self.store(*event, why).await,
            Step::Preflight { all, endpoint } => self.preflight(all, endpoint).await,
            Step::Mint { scopes, because, value_was_lost } => {
                self.mint(scopes, because, value_was_lost).await
            }
            Step::Probe => self.probe(why).await,
            Step::AskHeld(place) => self.ask_held(&place, why).await,
            Step::Stage(place) => self.stage(&place, why).await,
            Step::Promote(place) => self.promote(&place, why).await,
            Step::Forget { place, id } => self.forget(&place, &id).await,
            Step::Revoke(id) => self.revoke(&id, why).await,
            Step::Notify { hook, number } => self.notify(&hook, number, why).await,
            Step::Pause(_) | Step::Rest(_) => Ok(()),
        };
        let took = (self.now() - began).to_std().unwrap_or_default();
        self.engine.metrics.step(name, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(step = name, duration_ms, "step ended");
        done
    }

    async fn mint(
        &mut self,
        scopes: Scopes,
        because: String,
        value_was_lost: bool,
    ) -> Result<(), Stop> {
        let policy = self.connection.policy.clone();
        let now = self.now();
        let Some(Ok(list)) = self.observed.list.clone() else {
            return Ok(());
        };
        let (shortest, step) = (policy.capabilities.shortest_life, policy.capabilities.life_step);
        let lifetime = policy.token_lifetime.zip(shortest);
        let print = lifetime.and_then(|(lifetime, shortest)| {
            let taken = print::taken(list.tokens.iter(), self.record.intents.iter());
            print::choose(lifetime, shortest, step, &taken, self.engine.entropy.bits())
        });
        let whole = lifetime.map(|(lifetime, shortest)| print::unprinted(lifetime, shortest, step));
        let life = print.or(whole);
        let name = policy.capabilities.names.then(|| {
            let taken = print::names_taken(list.tokens.iter(), self.record.intents.iter());
            print::name(&self.record.name, &taken, self.engine.entropy.bits())
        });
        let name = name.flatten();
        let timeout =
            TimeDelta::from_std(self.engine.request_timeout).unwrap_or(TimeDelta::seconds(30));
        let intent = Intent {
            at: now,
            listed_at: list.provider_time.min(self.situation().provider_now()),
            answered_by: now + list.skew() + timeout + TimeDelta::seconds(60),
            known: list.tokens.iter().map(|token| token.id.clone()).collect(),
            scopes: scopes.clone(),
            life,
            unprinted: life.is_some() && print.is_none(),
            name: name.clone(),
            value_was_lost,
            because: because.clone(),
            asked_at: self.asked_at(),
        };
        self.store(Event::Intended(intent.clone()), &because).await?;
        let request = MintRequest { scopes, life, name };
        let provider = self.connection.provider.clone();
        let call = self.call();
        let made = self.asking(provider.create(call, &request)).await?;
        self.observed.acted();
        match made {
            Ok(minted) if !intent.known.contains(&minted.token.id) => {
                self.unplaced = Some(minted.token.id.clone());
                let digest = Some(minted.value.digest());
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
                        digest,
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
        self.store(Event::ProbeAnnounced { sent, arrives_by: sent + longest }, why).await?;
        Ok(sent)
    }

    async fn probe(&mut self, why: &str) -> Result<(), Stop> {
        let Phase::Delivering(delivery) = &self.record.phase else {
            return Ok(());
        };
        let (id, proof) = (delivery.token.id.clone(), delivery.proof);
        let Some(value) = self.values.get(&id).cloned() else {
            return Err(Stop::Defect(format!("{id} is to be proven without its value")));
        };
        let sent = self.announce_probe(why).await?;
        let endpoint = self.connection.provider.scim_endpoint(&self.record.key.connection);
        let verdict = self.proving(&endpoint, &value).await?;
        let (refused, silent) = match proof {
            Proof::Pending { refused_since, silent_since } => (refused_since, silent_since),
            Proof::Good | Proof::Bad | Proof::Waived => (None, None),
        };
        let (proof, words) = match verdict {
            Verdict::Accepted => (Proof::Good, format!("the SCIM endpoint accepts {id}")),
            Verdict::NotScoped if !self.may_read(&id) => {
                (Proof::Good, format!("the SCIM endpoint knows {id}, which may not read users"))
            }
            Verdict::Unauthorized => (
                Proof::Pending { refused_since: Some(refused.unwrap_or(sent)), silent_since: None },
                format!("the SCIM endpoint does not accept {id} yet"),
            ),
            Verdict::NotScoped => (
                Proof::Pending { refused_since: None, silent_since: Some(silent.unwrap_or(sent)) },
                format!(
                    "the SCIM endpoint answers 403 to {id}, although it may read users: that proves nothing"
                ),
            ),
            Verdict::Inconclusive(fault) => {
                let name = &self.record.name;
                tracing::warn!(error = %fault, "{name}: the probe told nothing: {fault}");
                (
                    Proof::Pending {
                        refused_since: None,
                        silent_since: Some(silent.unwrap_or(sent)),
                    },
                    format!("the probe of {id} told nothing: {fault}"),
                )
            }
        };
        self.store(Event::Proven(proof), &words).await?;
        if proof == Proof::Good { self.note_value(&id).await } else { Ok(()) }
    }

    /// Keeps the digest of a value that was accepted and that this record does not know yet: from
    /// now on a place that holds anything else under that id was changed by others.
    pub(super) async fn note_value(&mut self, id: &TokenId) -> Result<(), Stop> {
        let Some(digest) = self.values.get(id).map(TokenValue::digest) else { return Ok(()) };
        if self.record.digests.contains_key(id) {
            return Ok(());
        }
        let words = format!("the value of {id} is known by its digest from now on");
        self.store(Event::ValueKnown { id: id.clone(), digest }, &words).await
    }

    /// Whether a token was given the scope to read users, as far as is known.
    fn may_read(&self, id: &TokenId) -> bool {
        let Some(needed) = &self.connection.policy.capabilities.read_scope else { return true };
        let on_its_way = match &self.record.phase {
            Phase::Delivering(delivery) => Some(&delivery.token),
            Phase::Steady | Phase::Minting(_) => None,
        };
        let current = self.record.current.as_ref().map(|current| &current.token);
        let listed = match &self.observed.list {
            Some(Ok(list)) => list.get(id),
            Some(Err(_)) | None => None,
        };
        let known = on_its_way.into_iter().chain(current).find(|token| token.id == *id);
        known.or(listed).is_some_and(|token| token.scopes.contains(needed))
    }

    async fn ask_held(&mut self, place: &PlaceKey, why: &str) -> Result<(), Stop> {
        let id = self.observed.sinks.get(place).and_then(|seen| seen.held.id()).cloned();
        let Some((id, value)) = id.and_then(|id| Some((id.clone(), self.values.get(&id)?.clone())))
        else {
            let location = self.location(place);
            return Err(Stop::Defect(format!("{location} is asked about without a value")));
        };
        let is_current = self.record.current.as_ref().is_some_and(|current| current.token.id == id);
        if !is_current {
            return self.ask_found(&id, &value).await;
        }
        let missing = self.record.missing.is_some();
        self.announce_probe(why).await?;
        let endpoint = self.connection.provider.scim_endpoint(&self.record.key.connection);
        match self.proving(&endpoint, &value).await? {
            Verdict::Unauthorized if !missing => {
                let location = self.location(place);
                let fault = Fault::new(
                    format!("prove {id} as {location} holds it"),
                    Class::Terminal,
                    Code::Unauthorized,
                    "the SCIM endpoint answers 401 to it, although the provider lists it",
                );
                self.ask_failed(fault, "no other sink is given a value that does not work").await
            }
            Verdict::Unauthorized => {
                self.store(
                    Event::CurrentAsked { refused: true },
                    "the SCIM endpoint refuses the current token: it is gone",
                )
                .await
            }
            Verdict::NotScoped if self.may_read(&id) => {
                // What answers 403 to everything knows nothing of this token.
                let words = format!(
                    "the SCIM endpoint answers 403 to {id}, although it may read users: that proves nothing"
                );
                if missing {
                    return self.store(Event::CurrentAsked { refused: false }, &words).await;
                }
                let what = format!("prove {id}");
                let fault = Fault::new(what, Class::Transient, Code::Forbidden, words);
                self.ask_failed(fault, "it is asked again").await
            }
            Verdict::Accepted | Verdict::NotScoped => {
                self.observed.vouched = Some((id.clone(), self.now()));
                let words = if missing {
                    "the SCIM endpoint accepts the current token: the lists lag"
                } else {
                    "the SCIM endpoint accepts the current token"
                };
                self.store(Event::CurrentAsked { refused: false }, words).await?;
                self.note_value(&id).await
            }
            Verdict::Inconclusive(fault) => {
                self.ask_failed(fault, "whether the current token works could not be asked").await
            }
        }
    }

    /// Asks about a token that somebody else put into a place: nothing is superseded by it before.
    async fn ask_found(&mut self, id: &TokenId, value: &TokenValue) -> Result<(), Stop> {
        let endpoint = self.connection.provider.scim_endpoint(&self.record.key.connection);
        match self.proving(&endpoint, value).await? {
            Verdict::Unauthorized => {
                let words = format!("the SCIM endpoint refuses {id}: it supersedes nothing");
                self.store(Event::FoundRefused(id.clone()), &words).await
            }
            Verdict::NotScoped if self.may_read(id) => {
                let words = "the SCIM endpoint answers 403 to it, although it may read users";
                let what = format!("prove {id}");
                let fault = Fault::new(what, Class::Transient, Code::Forbidden, words);
                self.ask_failed(fault, "it is asked again").await
            }
            Verdict::Accepted | Verdict::NotScoped => {
                self.observed.vouched = Some((id.clone(), self.now()));
                for seen in self.observed.sinks.values_mut() {
                    seen.is_genuine |= seen.held.id() == Some(id);
                }
                self.note_value(id).await
            }
            Verdict::Inconclusive(fault) => {
                self.ask_failed(fault, "whether what was found works could not be asked").await
            }
        }
    }

    async fn ask_failed(&mut self, fault: Fault, words: &str) -> Result<(), Stop> {
        let before = self.record.troubles.ask.clone();
        let trouble = self.trouble(before.as_ref(), fault);
        self.store(Event::CurrentAskFailed(trouble), words).await
    }
}
