//! What happens in the world when a step is carried out.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{
    super::{Step, failure},
    world::{Answer, Content, World, id},
};
use crate::{
    error::{Class, Code, Fault},
    place::{Container, Version},
    rotation::{
        event::{Event, OlderEvent, PlaceEvent},
        fixture,
        notice::Try,
        observe::{Held, SeenList, SeenSink, Staging},
        print,
        record::{Intent, Phase, Proof, Trouble},
    },
    token::{Digest, HookName, Listed, PlaceKey, Scopes, TokenId},
};

impl World {
    pub(super) fn trouble(&self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        self.situation().failed(before, fault)
    }

    pub(super) fn play(&mut self, step: Step, why: &str) {
        match step {
            Step::Look { list, places } => self.look(list, &places),
            Step::Note(event) => {
                let quiet = matches!(event.name(), "expired" | "intents_expired");
                if !quiet {
                    self.log.push(format!("{}: {why}", event.name()));
                }
                self.apply(*event);
            }
            Step::Preflight { .. } => {
                self.observed.preflight = Some(self.now);
            }
            Step::Mint { scopes, because, value_was_lost } => {
                self.mint(scopes, &because, value_was_lost);
            }
            Step::Probe => self.probe(),
            Step::AskHeld(at) => {
                let Some(Content::Token(token, _)) = self.places.get(&at).cloned() else {
                    return;
                };
                let answer = self.ask_endpoint(&token);
                let refused = answer == Answer::Refuses;
                if self.record.current.as_ref().is_none_or(|current| current.token.id != token) {
                    match answer {
                        Answer::Accepts => {
                            self.log.push(format!("{token} is accepted"));
                            self.observed.vouched = Some((token.clone(), self.now));
                            for seen in self.observed.sinks.values_mut() {
                                seen.is_genuine |= seen.held.id() == Some(&token);
                            }
                            let digest = Digest::of(token.as_str().as_bytes());
                            self.apply(Event::ValueKnown { id: token, digest });
                        }
                        Answer::Refuses => self.apply(Event::FoundRefused(token)),
                        Answer::Silent => {
                            let before = self.record.troubles.ask.clone();
                            let trouble = self.trouble(before.as_ref(), fixture::fault());
                            self.apply(Event::CurrentAskFailed(trouble));
                        }
                    }
                    return;
                }
                if self.record.missing.is_some() {
                    self.log.push(format!("ask {token}"));
                }
                let sent = self.situation().provider_now();
                self.apply(Event::ProbeAnnounced {
                    sent,
                    arrives_by: sent + TimeDelta::seconds(60),
                });
                match answer {
                    Answer::Refuses if self.record.missing.is_none() => {
                        let fault =
                            Fault::new("prove it", Class::Terminal, Code::Unauthorized, "401");
                        let before = self.record.troubles.ask.clone();
                        let trouble = self.trouble(before.as_ref(), fault);
                        self.apply(Event::CurrentAskFailed(trouble));
                    }
                    Answer::Silent if self.record.missing.is_none() => {
                        let before = self.record.troubles.ask.clone();
                        let trouble = self.trouble(before.as_ref(), fixture::fault());
                        self.apply(Event::CurrentAskFailed(trouble));
                    }
                    Answer::Accepts | Answer::Refuses | Answer::Silent => {
                        if answer == Answer::Accepts {
                            self.observed.vouched = Some((token, self.now));
                        }
                        self.apply(Event::CurrentAsked { refused });
                    }
                }
            }
            Step::Stage(at) => self.stage(&at),
            Step::Promote(at) => self.promote(&at),
            Step::Forget { place, id } => self.forget(place, id),
            Step::Revoke(token) => self.revoke(&token),
            Step::Pause(until) => {
                assert!(until > self.now, "a pause that is over: {why}");
                self.now = until;
            }
            Step::Notify { hook, number } => self.notify(hook, number),
            Step::Rest(_) => panic!("a rest is no step"),
        }
    }

    fn notify(&mut self, hook: HookName, number: u64) {
        let at = self.now;
        let begun = Try { at, until: None };
        self.apply(Event::NoticeBegun { hook: hook.clone(), number, begun });
        let notice = self.record.notices.get(&hook, number).cloned().unwrap();
        let occasion = notice.happening.occasion.as_str();
        match self.broken_hooks.get(&hook).cloned() {
            None => {
                self.log.push(format!("{hook}: {occasion}"));
                self.apply(Event::Notified { hook, number, at });
            }
            Some(fault) => {
                self.log.push(format!("{hook}: {occasion} fails"));
                let trouble = failure(&self.situation(), &notice, fault);
                self.apply(Event::NotifyFailed { hook, number, trouble });
            }
        }
    }

    fn look(&mut self, list: bool, places: &BTreeSet<PlaceKey>) {
        let mut seen_list = None;
        let now = self.provider_now();
        for token in self.tokens.iter_mut().filter(|_| self.clients) {
            let held =
                |content: &Content| matches!(content, Content::Token(id, _) if *id == token.id);
            if self.places.values().any(held) {
                token.last_used_at = Some(now);
            }
        }
        if list && self.provider_down {
            let fault = fixture::fault();
            self.observed.list = Some(Err(fault.clone()));
            let trouble = self.situation().look_failed(self.record.troubles.look.as_ref(), fault);
            self.apply(Event::LookFailed(trouble));
        } else if list {
            let shown = |token: &&Listed| !self.unlisted.contains(&token.id);
            let seen = SeenList {
                at: self.now,
                provider_time: self.told_now(),
                tokens: self.tokens.iter().filter(shown).cloned().collect(),
            };
            // One bad answer among good ones.
            self.wrong_date = TimeDelta::zero();
            seen_list = Some(seen.clone());
            self.observed.list = Some(Ok(seen));
            self.observed.list_is_old = false;
        }
        let (mut sinks, mut troubles) = (BTreeMap::new(), BTreeMap::new());
        for at in places {
            let seen = self.see(at);
            if let Held::Unreadable(fault) = &seen.held {
                let before = self.record.sinks[at].trouble.clone();
                let trouble = self.situation().look_failed(before.as_ref(), fault.clone());
                troubles.insert(at.clone(), trouble);
            }
            self.observed.old_places.remove(at);
            self.observed.sinks.insert(at.clone(), seen.clone());
            sinks.insert(at.clone(), seen);
        }
        self.apply(Event::Looked { list: seen_list, sinks, troubles });
    }

    /// A place, as the worker would see it.
    fn see(&mut self, at: &PlaceKey) -> SeenSink {
        let held = self.read(at);
        let staging = self.staging(at);
        let container = self.containers.get(at).cloned();
        let loss = self.losses.get(at).cloned().unwrap_or_default();
        let elsewhere = self.elsewhere.get(at).cloned().into_iter().collect();
        let others = match self.places.get(at) {
            Some(Content::Token(_, Some(marks))) => marks.ledger != self.ledger,
            Some(
                Content::Token(_, None)
                | Content::Nothing
                | Content::Unknown
                | Content::Value { .. },
            )
            | None => false,
        };
        let is_genuine =
            held.id().is_some_and(|id| !others || self.record.digests.contains_key(id));
        let spoilt = match self.places.get(at) {
            Some(Content::Value { is_false }) => Some(*is_false),
            Some(Content::Nothing | Content::Token(..) | Content::Unknown) | None => None,
        };
        let seen = SeenSink {
            staging,
            container,
            loss,
            elsewhere,
            is_genuine,
            is_false: spoilt == Some(true),
            value: spoilt.map(|_| Digest::of(b"no token's")),
            ..SeenSink::new(self.now, held)
        };
        self.record.believed(at, seen)
    }

    /// Changes with what is there.
    fn version(&self, at: &PlaceKey) -> Version {
        Version(format!("{:?}", self.places.get(at)))
    }

    fn read(&mut self, at: &PlaceKey) -> Held {
        let version = self.version(at);
        if self.unreadable.contains(at) {
            let fault = Fault::new("read it", Class::Transient, Code::Io, "it is away");
            return Held::Unreadable(fault);
        }
        match self.places.get(at).cloned().unwrap_or(Content::Nothing) {
            Content::Nothing => Held::Nothing(version),
            Content::Unknown | Content::Value { .. } => Held::Unknown(version),
            Content::Token(id, marks) => {
                self.values.insert(id.clone());
                Held::Token { id, marks, version }
            }
        }
    }

    fn mint(&mut self, scopes: Scopes, because: &str, value_was_lost: bool) {
        self.observed.acted();
        self.made += 1;
        let token_id = id(&format!("new-{}", self.made));
        let at = self.provider_now();
        let life = self.policy.token_lifetime;
        let known: BTreeSet<TokenId> = self.tokens.iter().map(|token| token.id.clone()).collect();
        let name = self.policy.capabilities.names.then(|| {
            let taken = print::names_taken(self.tokens.iter(), self.record.intents.iter());
            print::name(&self.record.name, &taken, u64::from(self.made)).unwrap()
        });
        self.apply(Event::Intended(Intent {
            at: self.now,
            listed_at: at,
            answered_by: at + TimeDelta::seconds(90),
            known,
            scopes: scopes.clone(),
            life,
            unprinted: false,
            name: name.clone(),
            value_was_lost,
            because: because.to_owned(),
            asked_at: self.ask.since(),
        }));
        let cap = self.policy.capabilities.cap.unwrap_or(u32::MAX) as usize;
        let counted =
            |token: &&Listed| self.dead_count || !crate::rotation::observe::is_dead(token, at);
        if self.tokens.iter().filter(counted).count() >= cap {
            self.observed.list = None;
            let fault = Fault::new("create a token", Class::Terminal, Code::NoSlot, "409");
            let trouble = self.trouble(self.record.troubles.mint.clone().as_ref(), fault);
            self.log.push("no slot".to_owned());
            self.apply(Event::MintFailed { trouble, no_slot: true });
            return;
        }
        let valid_until = life.map(|life| at + TimeDelta::from_std(life).unwrap());
        let token =
            Listed { id: token_id, created_at: at, valid_until, last_used_at: None, scopes, name };
        self.log.push(format!("mint {}: {because}", token.id));
        self.tokens.push(token.clone());
        self.values.insert(token.id.clone());
        if let Some(Ok(list)) = &mut self.observed.list {
            list.tokens.push(token.clone());
        }
        let (retire, verify) = (self.policy.retire.clone(), self.policy.verify);
        self.apply(Event::Minted { token, retire, verify, digest: None });
    }

    pub(super) fn ask_endpoint(&self, token: &TokenId) -> Answer {
        let there = self.tokens.iter().any(|listed| {
            listed.id == *token
                && listed.valid_until.is_none_or(|until| until > self.provider_now())
        });
        if self.answer == Answer::Accepts && (!there || self.broken.contains(token)) {
            Answer::Refuses
        } else {
            self.answer
        }
    }

    fn probe(&mut self) {
        let Phase::Delivering(delivery) = self.record.phase.clone() else { panic!("no delivery") };
        let token = delivery.token.id.clone();
        assert!(self.values.contains(&token), "a probe without a value");
        let sent = self.situation().provider_now();
        self.apply(Event::ProbeAnnounced { sent, arrives_by: sent + TimeDelta::seconds(60) });
        let (refused, silent) = match delivery.proof {
            Proof::Pending { refused_since, silent_since } => (refused_since, silent_since),
            Proof::Good | Proof::Bad | Proof::Waived => (None, None),
        };
        let proof = match self.ask_endpoint(&token) {
            Answer::Accepts => Proof::Good,
            Answer::Refuses => {
                Proof::Pending { refused_since: Some(refused.unwrap_or(sent)), silent_since: None }
            }
            Answer::Silent => {
                Proof::Pending { refused_since: None, silent_since: Some(silent.unwrap_or(sent)) }
            }
        };
        self.apply(Event::Proven(proof));
    }

    fn stage(&mut self, at: &PlaceKey) {
        let token = self.record.target().unwrap().clone();
        assert!(self.values.contains(&token), "staged without a value");
        let what = PlaceEvent::StageBegun { id: token.clone() };
        self.apply(Event::Place { place: at.clone(), what });
        if self.unwritable.contains(at) {
            self.observed.sinks.remove(at);
            let fault = Fault::new("stage it", Class::Transient, Code::Unavailable, "507");
            let trouble = self.trouble(self.record.sinks[at].trouble.clone().as_ref(), fault);
            let what = PlaceEvent::StageFailed { trouble };
            self.apply(Event::Place { place: at.clone(), what });
            return;
        }
        self.log.push(format!("stage {token} in {at}"));
        self.stages.insert(at.clone(), Some(token.clone()));
        self.observed.sinks.get_mut(at).unwrap().staging = Staging::Holds(token.clone());
        let what = PlaceEvent::Staged { id: token };
        self.apply(Event::Place { place: at.clone(), what });
    }

    fn forget(&mut self, place: PlaceKey, id: TokenId) {
        assert!(!self.tokens.iter().any(|token| token.id == id), "{id} is alive");
        if self.unwritable.contains(&place) {
            let trouble = self.trouble(None, fixture::fault());
            self.apply(Event::Place { place, what: PlaceEvent::ForgetFailed { id, trouble } });
            return;
        }
        self.log.push(format!("forget {id} in {place}"));
        if let Some(staged) = self.stages.get_mut(&place).filter(|it| it.as_ref() == Some(&id)) {
            *staged = None;
        }
        self.earlier.retain(|at, earlier| *at != place || *earlier != id);
        self.apply(Event::Place { place, what: PlaceEvent::Forgotten { id } });
    }

    fn staging(&mut self, at: &PlaceKey) -> Staging {
        match self.stages.get(at) {
            Some(_) if self.unreadable.contains(at) => Staging::Impossible,
            // Its first version would be what readers get.
            Some(_) if self.places.get(at) == Some(&Content::Nothing) => Staging::Impossible,
            None => Staging::Impossible,
            Some(None) => Staging::Free,
            Some(Some(id)) => {
                self.values.insert(id.clone());
                Staging::Holds(id.clone())
            }
        }
    }

    fn promote(&mut self, at: &PlaceKey) {
        let (token, generation) = match &self.record.phase {
            Phase::Delivering(delivery) => (delivery.token.id.clone(), delivery.generation),
            Phase::Steady | Phase::Minting(_) => {
                (self.record.current.as_ref().unwrap().token.id.clone(), self.record.generation)
            }
        };
        assert!(self.values.contains(&token), "a promote without a value");
        let replaces = self.observed.sinks.get(at).and_then(|seen| seen.held.version()).cloned();
        let what = PlaceEvent::PromoteBegun {
            id: token.clone(),
            at: self.now,
            replaces,
            container: self.containers.get(at).cloned(),
        };
        self.apply(Event::Place { place: at.clone(), what });
        if self.unwritable.contains(at) {
            self.observed.sinks.remove(at);
            self.log.push(format!("{token} could not be written to {at}"));
            let fault = Fault::new("write it", Class::Transient, Code::Unavailable, "507");
            let trouble = self.trouble(self.record.sinks[at].trouble.clone().as_ref(), fault);
            let what = PlaceEvent::PromoteFailed { trouble, certain: true };
            self.apply(Event::Place { place: at.clone(), what });
            return;
        }
        self.log.push(format!("promote {token} to {at}"));
        if let Some(staged) = self.stages.get_mut(at) {
            *staged = None;
            if let Some(Content::Token(before, _)) = self.places.get(at)
                && *before != token
            {
                self.earlier.insert(at.clone(), before.clone());
            }
        }
        let marks = self.marks(&token, generation);
        self.places.insert(at.clone(), Content::Token(token.clone(), Some(marks)));
        self.losses.remove(at);
        if self.containers.get(at).is_some_and(Container::is_missing) {
            self.containers.insert(at.clone(), made());
        }
        let seen = self.see(at);
        let container = seen.container.clone();
        self.observed.acted();
        self.observed.sinks.insert(at.clone(), seen);
        let what = PlaceEvent::Delivered {
            id: token,
            version: self.version(at),
            at: self.now,
            provider: self.situation().provider_now(),
            container,
        };
        self.apply(Event::Place { place: at.clone(), what });
    }

    fn revoke(&mut self, token: &TokenId) {
        assert!(!self.observed.list_is_old, "{token} is deleted without a last look");
        let unread =
            |at: &PlaceKey| self.record.sinks[at].readable && !self.unreadable.contains(at);
        let old = self.observed.old_places.iter().find(|at| unread(at));
        assert_eq!(old, None, "{token} is deleted without a last look");
        let event = |what| Event::Older { id: token.clone(), what };
        self.apply(event(OlderEvent::RevokeAnnounced { at: self.now }));
        self.observed.acted();
        if self.revoke_fails.contains(token) {
            self.log.push(format!("revoke {token} failed"));
            self.observed.list = None;
            let trouble =
                self.trouble(self.record.troubles.revoke.clone().as_ref(), fixture::fault());
            self.apply(event(OlderEvent::RevokeFailed { trouble }));
        } else if self.tokens.iter().any(|listed| listed.id == *token)
            && !self.revoke_unknown.contains(token)
        {
            self.log.push(format!("revoke {token}"));
            self.tokens.retain(|listed| listed.id != *token);
            if let Some(Ok(list)) = &mut self.observed.list {
                list.tokens.retain(|listed| listed.id != *token);
            }
            self.apply(event(OlderEvent::Revoked { at: self.now }));
        } else {
            self.observed.list = None;
            self.log.push(format!("{token} is not known"));
            self.apply(event(OlderEvent::NotFound));
        }
    }
}

/// The folder that a delivery makes.
fn made() -> Container {
    Container { id: "8:1".to_owned(), words: "the folder that was made".to_owned(), strict: false }
}
