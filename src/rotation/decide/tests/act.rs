//! What happens in the world when a step is carried out.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{
    super::{About, CheckWrites, Forget, Inquiry, Promote, Revoke, Stage, Step, failure},
    world::{Answer, Content, World, id},
};
use crate::{
    error::{Class, Code, Fault},
    place::{Container, Version},
    rotation::{
        answer::{self, Answered, ProbeAnswer, Unready},
        event::{ConfigEvent, Event, RetiringEvent},
        fixture,
        notice::{Notice, Try},
        observe::{Held, SeenList, SeenSink, Staging},
        record::{Intent, Trouble},
        scim_config::{ConfigChange, FoundConfig, ScimConfig, SeenConfig},
        uptake::Account,
    },
    token::{Digest, HookName, Listed, PlaceKey, TokenId},
};

/// What a connection without a SCIM configuration is answered.
fn no_scim() -> Fault {
    Fault::new("list", Class::Terminal, Code::ScimNotConfigured, "answered 404: Not Found")
}

/// What a place answers that only reads.
pub(super) fn read_only(place: &PlaceKey) -> Fault {
    let operation = format!("check the permission to write {place}");
    Fault::new(operation, Class::Terminal, Code::Io, "Permission denied")
}

impl World {
    pub(super) fn trouble(&self, before: Option<&Trouble>, fault: Fault) -> Trouble {
        self.situation().failed(before, fault)
    }

    fn check_writes(&mut self, CheckWrites { places, all }: CheckWrites) {
        if places.is_empty() {
            return;
        }
        self.checks.push(places.len());
        let answer = |place: PlaceKey| {
            let refuses = self.read_only.contains(&place);
            let answer = if refuses { Err(read_only(&place)) } else { Ok(()) };
            (place, answer)
        };
        let answers = places.into_iter().map(answer).collect();
        let answered = answer::writes_checked(&self.situation(), all, answers);
        self.answered(answered);
    }

    pub(super) fn play(&mut self, step: Step, why: &str) {
        match step {
            Step::Look { list, places, writes } => {
                self.look(list, &places);
                self.check_writes(writes);
            }
            Step::Inspect => self.inspect(),
            Step::Configure(change) => self.change_config(&change, why),
            Step::Note(event) => {
                let quiet = matches!(event.name(), "expired" | "intents_expired");
                if !quiet {
                    self.log.push(format!("{}: {why}", event.name()));
                }
                self.apply(*event);
            }
            Step::Preflight { .. } => match self.read_only.first().map(read_only) {
                None => self.observed.preflight = Some(self.now),
                Some(fault) => {
                    self.log.push(fault.operation.clone());
                    let answered = answer::not_ready(&self.situation(), Unready::Sink(fault));
                    self.answered(answered);
                }
            },
            Step::Mint(intent) => self.mint(*intent),
            Step::Probe(inquiry) => self.probe(&inquiry),
            Step::RemoveUser { id, sent, arrives_by } => {
                self.remove_user(Event::ProbeAnnounced { id, sent, arrives_by });
            }
            Step::Stage(stage) => self.stage(&stage),
            Step::Promote(promote) => self.promote(&promote),
            Step::Forget(forget) => self.forget(&forget),
            Step::AskClient(ask) => {
                let account = self.accounts.get(&ask.place).cloned();
                let account =
                    account.unwrap_or_else(|| Ok(Account::Waits("no cycle yet".to_owned())));
                self.log.push(format!("ask {}", ask.location));
                let answered = answer::client(&self.situation(), &ask, account);
                self.answered(answered);
            }
            Step::Revoke(revoke) => self.revoke(&revoke),
            Step::Pause(until) => {
                assert!(until > self.now, "a pause that is over: {why}");
                self.now = until;
            }
            Step::Notify { hook, notice } => self.notify(hook, &notice),
            Step::Rest(_) => panic!("a rest is no step"),
        }
    }

    fn answered(&mut self, answered: Answered) {
        if let Some(event) = answered.event {
            self.apply(event);
        }
    }

    fn inspect(&mut self) {
        self.log.push("inspect".to_owned());
        let found = |config: ScimConfig| FoundConfig { config, default: None };
        let answer = match &self.config_unread {
            Some(fault) => Err(fault.clone()),
            None => Ok(self.scim_config.clone().map(found)),
        };
        let at = self.now;
        self.observed.scim_config = Some(answer.clone().map(|found| SeenConfig { at, found }));
        let answered = answer::inspected(&self.situation(), answer);
        self.answered(answered);
    }

    fn change_config(&mut self, change: &ConfigChange, why: &str) {
        self.log.push(format!("configure: {why}"));
        let (at, announced) = (self.now, Box::new(change.clone()));
        self.apply(Event::ScimConfig(ConfigEvent::Announced { change: announced, at }));
        let config = match change {
            ConfigChange::Create(config) => config.clone().unwrap(),
            ConfigChange::Replace { by, .. } => by.clone(),
        };
        let answer = match self.config_unwritten.clone() {
            Some(fault) => Err(fault),
            None => {
                if matches!(change, ConfigChange::Create(_)) {
                    assert_eq!(self.scim_config, None, "it is there");
                    self.tokens.clear();
                }
                self.scim_config = Some(config.clone());
                let lost = Fault::new("create", Class::Ambiguous, Code::Timeout, "no answer came");
                if std::mem::take(&mut self.change_lost) { Err(lost) } else { Ok(config) }
            }
        };
        let found = |config| FoundConfig { config, default: None };
        let seen = |config| Ok(SeenConfig { at, found: Some(found(config)) });
        self.observed.scim_config = answer.clone().ok().map(seen);
        self.observed.list.take_if(|list| list.is_err());
        let answered = answer::configured(&self.situation(), change, answer);
        self.answered(answered);
    }

    fn notify(&mut self, hook: HookName, notice: &Notice) {
        let (at, number) = (self.now, notice.number);
        let begun = Try { at, until: None };
        self.apply(Event::NoticeBegun { hook: hook.clone(), number, begun });
        let occasion = notice.happening.occasion.as_str();
        match self.broken_hooks.get(&hook).cloned() {
            None => {
                self.log.push(format!("{hook}: {occasion}"));
                self.apply(Event::Notified { hook, number, at });
            }
            Some(fault) => {
                self.log.push(format!("{hook}: {occasion} fails"));
                let trouble = failure(&self.situation(), notice, fault);
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
        let unconfigured = self.policy.terms.scim_config.is_some() && self.scim_config.is_none();
        if list && (self.provider_down || unconfigured) {
            let fault = if unconfigured { no_scim() } else { fixture::fault() };
            self.observed.list = Some(Err(fault.clone()));
            let answered = answer::not_listed(&self.situation(), fault);
            self.answered(answered);
        } else if list {
            let shown = |token: &&Listed| !self.unlisted.contains(&token.id);
            let seen = SeenList {
                asked: self.now,
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
        let mut sinks = BTreeMap::new();
        for at in places {
            let seen = self.see(at);
            self.observed.old_places.remove(at);
            self.observed.sinks.insert(at.clone(), seen.clone());
            sinks.insert(at.clone(), seen);
        }
        let event = answer::looked(&self.situation(), seen_list, sinks);
        self.apply(event);
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

    /// Lives are granted as the policy has them: without a print.
    fn mint(&mut self, intent: Intent) {
        self.observed.acted();
        self.made += 1;
        let token_id = id(&format!("new-{}", self.made));
        let at = self.provider_now();
        let life = self.policy.terms.token_lifetime;
        let intent = Intent { life, unprinted: false, ..intent };
        self.apply(Event::Intended(intent.clone()));
        let cap = self.policy.capabilities.cap.unwrap_or(u32::MAX) as usize;
        let counted =
            |token: &&Listed| self.dead_count || !crate::rotation::observe::is_dead(token, at);
        if self.tokens.iter().filter(counted).count() >= cap {
            self.observed.list = None;
            let fault = Fault::new("create a token", Class::Terminal, Code::NoSlot, "409");
            self.log.push("no slot".to_owned());
            let answered = answer::created(&self.situation(), &intent, Err(fault));
            self.answered(answered);
            return;
        }
        let Intent { scopes, name, because, .. } = intent;
        let valid_until = life.map(|life| at + TimeDelta::from_std(life).unwrap());
        let token =
            Listed { id: token_id, created_at: at, valid_until, last_used_at: None, scopes, name };
        self.log.push(format!("mint {}: {because}", token.id));
        self.tokens.push(token.clone());
        self.values.insert(token.id.clone());
        if let Some(Ok(list)) = &mut self.observed.list {
            list.tokens.push(token.clone());
        }
        let (retire, verify) = (self.policy.terms.retire.clone(), self.policy.terms.verify);
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

    fn probe(&mut self, inquiry: &Inquiry) {
        let Inquiry { id: token, about, sent, arrives_by } = inquiry;
        if let About::OnItsWay { .. } = about {
            assert!(self.values.contains(token), "a probe without a value");
        }
        let is_found = matches!(about, About::Found { .. });
        if !is_found {
            self.apply(Event::ProbeAnnounced {
                id: token.clone(),
                sent: *sent,
                arrives_by: *arrives_by,
            });
        }
        let held = !matches!(about, About::OnItsWay { .. });
        if held && !is_found && self.record.missing.is_some() {
            self.log.push(format!("ask {token}"));
        }
        let answer = match self.ask_endpoint(token) {
            Answer::Accepts => ProbeAnswer::Accepted,
            Answer::Refuses => ProbeAnswer::Unauthorized,
            Answer::Silent => ProbeAnswer::Inconclusive(fixture::fault()),
        };
        let works = answer::works(&self.situation(), token, &answer);
        if works && held {
            self.observed.vouched = Some((token.clone(), self.now));
        }
        let answered = answer::probed(&self.situation(), inquiry, answer);
        self.answered(answered);
        if works && is_found {
            self.log.push(format!("{token} is accepted"));
            for seen in self.observed.sinks.values_mut() {
                seen.is_genuine |= seen.held.id() == Some(token);
            }
            let digest = Digest::of(token.as_str().as_bytes());
            self.apply(Event::ValueKnown { id: token.clone(), digest });
        }
    }

    /// Deletes the throw-away user on record, or finds that it cannot.
    fn remove_user(&mut self, announced: Event) {
        let token = self.record.target().cloned().unwrap();
        assert!(self.values.contains(&token), "a request without a value");
        self.apply(announced);
        let user = self.record.probe_user.clone().unwrap();
        self.log.push(format!("delete {} with {token}", user.name));
        let removal = self.removal.clone();
        let answered = answer::removed(&self.situation(), &user, &removal);
        self.answered(answered);
    }

    fn stage(&mut self, stage: &Stage) {
        let (at, token) = (&stage.place, stage.metadata.id());
        assert!(self.values.contains(token), "staged without a value");
        self.apply(stage.begun());
        let answer = if self.unwritable.contains(at) {
            self.observed.sinks.remove(at);
            Err(Fault::new("stage it", Class::Transient, Code::Unavailable, "507"))
        } else {
            self.log.push(format!("stage {token} in {at}"));
            self.stages.insert(at.clone(), Some(token.clone()));
            self.observed.sinks.get_mut(at).unwrap().staging = Staging::Holds(token.clone());
            Ok(())
        };
        let answered = answer::staged(&self.situation(), stage, answer);
        self.answered(answered);
    }

    fn forget(&mut self, forget: &Forget) {
        let Forget { place, id, .. } = forget;
        assert!(!self.tokens.iter().any(|token| token.id == *id), "{id} is alive");
        let answer = if self.unwritable.contains(place) {
            Err(fixture::fault())
        } else {
            self.log.push(format!("forget {id} in {place}"));
            if let Some(staged) = self.stages.get_mut(place).filter(|it| it.as_ref() == Some(id)) {
                *staged = None;
            }
            self.earlier.retain(|at, earlier| at != place || earlier != id);
            Ok(())
        };
        let answered = answer::forgotten(&self.situation(), forget, answer);
        self.answered(answered);
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

    fn promote(&mut self, promote: &Promote) {
        let (at, token) = (&promote.place, promote.metadata.id());
        assert!(self.values.contains(token), "a promote without a value");
        self.apply(promote.begun(self.now));
        let answer = if self.unwritable.contains(at) {
            self.observed.sinks.remove(at);
            self.log.push(format!("{token} could not be written to {at}"));
            Err(Fault::new("write it", Class::Transient, Code::Unavailable, "507"))
        } else {
            Ok(self.written(promote))
        };
        let answered = answer::promoted(&self.situation(), promote, answer);
        self.answered(answered);
    }

    fn written(&mut self, promote: &Promote) -> (Version, Option<Container>) {
        let (at, token) = (&promote.place, promote.metadata.id());
        self.log.push(format!("promote {token} to {at}"));
        if let Some(staged) = self.stages.get_mut(at) {
            *staged = None;
            if let Some(Content::Token(before, _)) = self.places.get(at)
                && before != token
            {
                self.earlier.insert(at.clone(), before.clone());
            }
        }
        let marks = promote.metadata.marks.clone();
        self.places.insert(at.clone(), Content::Token(token.clone(), Some(marks)));
        self.losses.remove(at);
        if self.containers.get(at).is_some_and(Container::is_missing) {
            self.containers.insert(at.clone(), made());
        }
        let seen = self.see(at);
        let container = seen.container.clone();
        self.observed.acted();
        self.observed.sinks.insert(at.clone(), seen);
        (self.version(at), container)
    }

    fn revoke(&mut self, Revoke { id: token, seen, .. }: &Revoke) {
        assert!(!self.observed.list_is_old, "{token} is deleted without a last look");
        assert!(*seen >= self.now, "{token} is deleted by an old look");
        let unread =
            |at: &PlaceKey| self.record.sinks[at].readable && !self.unreadable.contains(at);
        let old = self.observed.old_places.iter().find(|at| unread(at));
        assert_eq!(old, None, "{token} is deleted without a last look");
        let event = |what| Event::Retiring { id: token.clone(), what };
        self.apply(event(RetiringEvent::RevokeAnnounced { at: self.now }));
        self.observed.acted();
        let there = self.tokens.iter().any(|listed| listed.id == *token);
        let answer = if self.revoke_fails.contains(token) {
            self.log.push(format!("revoke {token} failed"));
            self.observed.list = None;
            Err(fixture::fault())
        } else if there && !self.revoke_unknown.contains(token) {
            self.log.push(format!("revoke {token}"));
            self.tokens.retain(|listed| listed.id != *token);
            if let Some(Ok(list)) = &mut self.observed.list {
                list.tokens.retain(|listed| listed.id != *token);
            }
            Ok(true)
        } else {
            self.observed.list = None;
            self.log.push(format!("{token} is not known"));
            Ok(false)
        };
        let answered = answer::revoked(&self.situation(), token, answer);
        self.answered(answered);
    }
}

/// The folder that a delivery makes.
fn made() -> Container {
    Container { id: "8:1".to_owned(), words: "the folder that was made".to_owned(), strict: false }
}
