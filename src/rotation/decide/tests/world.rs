//! A small world to decide in: a provider, places, two clocks, and everything that can go wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;

use super::super::{
    Decision, Draw, Ending, Rest, Situation, Step, Timeouts, decide_and_tell, wake_at, work_at,
};
use crate::{
    clock::{ProviderClock, ProviderTime, Timestamp},
    error::Fault,
    place::{Container, Marks},
    rotation::{
        answer::Removal,
        event::{ConfiguredPlace, Event},
        fixture,
        notice::Occasion,
        observe::{Loss, Observed, OtherKey},
        policy::{Capabilities, Lead, Policy, ScopePolicy, Share, Terms},
        record::{Record, WriteCheck},
        request::RotationRequest,
        scim_config::ScimConfig,
        uptake::{Account, Uptake},
    },
    token::{HookName, LedgerId, Listed, PlaceKey, Scope, Scopes, TokenId},
};

/// What a place holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Nothing,
    Token(TokenId, Option<Marks>),
    Unknown,
    /// A value that is no token's: it names one and is not its value, or is anything.
    Value {
        is_false: bool,
    },
}

/// What the SCIM endpoint answers to a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    Accepts,
    Refuses,
    Silent,
}

/// The world.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) record: Record,
    pub(super) observed: Observed,
    pub(super) ledger: LedgerId,
    pub(super) request: RotationRequest,
    pub(super) ending: Option<Ending>,
    /// The moment.
    pub(super) now: Timestamp,
    /// The provider's clock less the host's.
    pub(super) skew: TimeDelta,
    /// By how much the `Date` of its answers is wrong.
    pub(super) wrong_date: TimeDelta,
    /// The same for all of its answers.
    pub(super) always_wrong: TimeDelta,
    pub(super) tokens: Vec<Listed>,
    /// Tokens that lists do not show although they are there.
    pub(super) unlisted: BTreeSet<TokenId>,
    /// Tokens that work at the endpoint only if they are here or listed.
    pub(super) answer: Answer,
    /// Tokens whose value in a sink is broken: always refused.
    pub(super) broken: BTreeSet<TokenId>,
    pub(super) places: BTreeMap<PlaceKey, Content>,
    /// The places that can keep a token beside what they hold, and the token that they do.
    pub(super) stages: BTreeMap<PlaceKey, Option<TokenId>>,
    /// What readers could go back to there.
    pub(super) earlier: BTreeMap<PlaceKey, TokenId>,
    /// What the places are in.
    pub(super) containers: BTreeMap<PlaceKey, Container>,
    /// What a write there would take away.
    pub(super) losses: BTreeMap<PlaceKey, Loss>,
    /// Tokens under keys that we do not write.
    pub(super) elsewhere: BTreeMap<PlaceKey, OtherKey>,
    /// Deliveries that say `overwrite = true`.
    pub(super) overwrite: BTreeSet<PlaceKey>,
    pub(super) hand_offs: BTreeSet<PlaceKey>,
    /// What has to happen at some of them before the client uses the token.
    pub(super) uptakes: BTreeMap<PlaceKey, Uptake>,
    /// What clients say.
    pub(super) accounts: BTreeMap<PlaceKey, Result<Account, Fault>>,
    pub(super) unreadable: BTreeSet<PlaceKey>,
    pub(super) unwritable: BTreeSet<PlaceKey>,
    /// These say beforehand that they would not take a write.
    pub(super) read_only: BTreeSet<PlaceKey>,
    /// How many places were asked whether they would, each time.
    pub(super) checks: Vec<usize>,
    /// When some of them are asked that.
    pub(super) write_checks: BTreeMap<PlaceKey, WriteCheck>,
    pub(super) provider_down: bool,
    /// The SCIM configuration at the provider; without one nothing is listed and nothing made.
    pub(super) scim_config: Option<ScimConfig>,
    /// Why it cannot be read, and why it cannot be changed.
    pub(super) config_unread: Option<Fault>,
    pub(super) config_unwritten: Option<Fault>,
    /// The answer to the next change of it is lost.
    pub(super) change_lost: bool,
    /// How the removal of a throw-away user goes.
    pub(super) removal: Removal,
    pub(super) revoke_fails: BTreeSet<TokenId>,
    /// Their DELETE is answered 404, although they are listed.
    pub(super) revoke_unknown: BTreeSet<TokenId>,
    /// What the places hold is used all the time.
    pub(super) clients: bool,
    /// A dead token holds a slot at this provider.
    pub(super) dead_count: bool,
    pub(super) values: BTreeSet<TokenId>,
    pub(super) made: u32,
    /// The hooks of the configuration.
    pub(super) hooks: BTreeMap<HookName, BTreeSet<Occasion>>,
    /// The hooks that fail, and how.
    pub(super) broken_hooks: BTreeMap<HookName, Fault>,
    /// The steps that changed something, in order.
    pub(super) log: Vec<String>,
}

pub(super) fn scopes() -> Scopes {
    BTreeSet::from([Scope::try_new("get:users").unwrap()])
}

pub(super) fn place(name: &str) -> PlaceKey {
    PlaceKey::new("file", name)
}

pub(super) fn id(text: &str) -> TokenId {
    fixture::id(text)
}

pub(super) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

pub(super) fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// Auth0's rules, 30 days, a third, a day of overlap.
pub(super) fn policy() -> Policy {
    let (name, connection, provider) = fixture::connection();
    let key = fixture::empty().key;
    assert_eq!(key.connection, connection);
    Policy {
        name,
        provider,
        key,
        capabilities: Capabilities {
            cap: Some(2),
            shortest_life: Some(Duration::from_secs(901)),
            life_step: Duration::from_secs(1),
            last_used: true,
            scopes: true,
            user_scopes: None,
            read_scope: Scope::try_new("get:users").ok(),
            names: false,
            id_in_value: false,
            default_scopes: BTreeSet::new(),
        }
        .into(),
        survey_interval: hours(1),
        terms: Terms {
            scopes: ScopePolicy::Exactly(scopes()),
            token_lifetime: Some(days(30)),
            rotate_before: Some(Lead::Share(Share::try_new(0.33).unwrap())),
            ..Terms::default()
        }
        .into(),
    }
}

impl World {
    /// Nothing was ever delivered; these places are configured.
    pub(super) fn new(places: &[&str]) -> Self {
        let policy = policy();
        let record = fixture::empty();
        let mut world = Self {
            policy,
            record,
            observed: Observed::default(),
            ledger: LedgerId::try_new("led_ours").unwrap(),
            request: RotationRequest::Due,
            ending: None,
            now: fixture::now(),
            skew: TimeDelta::zero(),
            wrong_date: TimeDelta::zero(),
            always_wrong: TimeDelta::zero(),
            tokens: Vec::new(),
            unlisted: BTreeSet::new(),
            answer: Answer::Accepts,
            broken: BTreeSet::new(),
            places: places.iter().map(|name| (place(name), Content::Nothing)).collect(),
            stages: BTreeMap::new(),
            earlier: BTreeMap::new(),
            containers: BTreeMap::new(),
            losses: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            overwrite: BTreeSet::new(),
            hand_offs: BTreeSet::new(),
            uptakes: BTreeMap::new(),
            accounts: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            unwritable: BTreeSet::new(),
            read_only: BTreeSet::new(),
            checks: Vec::new(),
            write_checks: BTreeMap::new(),
            provider_down: false,
            scim_config: None,
            config_unread: None,
            config_unwritten: None,
            change_lost: false,
            removal: Removal::Deleted,
            revoke_fails: BTreeSet::new(),
            revoke_unknown: BTreeSet::new(),
            clients: false,
            dead_count: false,
            values: BTreeSet::new(),
            made: 0,
            hooks: BTreeMap::new(),
            broken_hooks: BTreeMap::new(),
            log: Vec::new(),
        };
        world.configure(places);
        world
    }

    /// The same where these places can keep a token beside what they hold.
    pub(super) fn settled_and_staging(places: &[&str], stagers: &[&str]) -> Self {
        let mut world = Self::new(places);
        world.stages = stagers.iter().map(|name| (place(name), None)).collect();
        world.configure(places);
        world.run();
        assert_eq!(world.current(), Some("new-1".to_owned()), "{:?}", world.log);
        world.log.clear();
        world.pass_time(TimeDelta::minutes(5));
        world
    }

    /// One rotation was carried to its end: `new-1` is everywhere.
    pub(super) fn settled(places: &[&str]) -> Self {
        let mut world = Self::new(places);
        world.run();
        assert_eq!(world.current(), Some("new-1".to_owned()), "{:?}", world.log);
        world.log.clear();
        world.pass_time(TimeDelta::minutes(5));
        world
    }

    pub(super) fn configure(&mut self, places: &[&str]) {
        let places = places
            .iter()
            .map(|name| {
                let (_, state) = fixture::sink("disk", name, None);
                let readable = !self.hand_offs.contains(&place(name));
                self.places.entry(place(name)).or_insert(Content::Nothing);
                ConfiguredPlace {
                    place: state.place,
                    readable,
                    write_check: self.write_checks.get(&place(name)).copied().unwrap_or_default(),
                    lingers: Duration::ZERO,
                    keeps_earlier: self.stages.contains_key(&place(name)),
                    overwrite: self.overwrite.contains(&place(name)),
                    uptake: self.uptakes.get(&place(name)).cloned().unwrap_or_default(),
                }
            })
            .collect();
        let (name, _, provider) = fixture::connection();
        let unreachable = BTreeSet::new();
        let hooks = self.hooks.clone();
        let scim_config = self.policy.terms.scim_config.is_some();
        self.apply(Event::Configured { name, provider, places, unreachable, hooks, scim_config });
    }

    pub(super) fn provider_now(&self) -> ProviderTime {
        ProviderClock::ahead_by(self.skew).to_provider(self.now)
    }

    /// The provider's clock as its answers tell it.
    pub(super) fn told_now(&self) -> ProviderTime {
        self.provider_now() + self.wrong_date + self.always_wrong
    }

    /// A token that somebody else makes now, for `life`.
    pub(super) fn unmanaged(&mut self, text: &str, life: Duration) -> TokenId {
        let token = Listed {
            id: id(text),
            created_at: self.provider_now(),
            valid_until: Some(self.provider_now() + TimeDelta::from_std(life).unwrap()),
            last_used_at: None,
            scopes: scopes(),
            name: None,
        };
        self.tokens.push(token);
        id(text)
    }

    pub(super) fn current(&self) -> Option<String> {
        self.record.current.as_ref().map(|current| current.token.id.to_string())
    }

    pub(super) fn holds(&self, name: &str) -> Option<String> {
        match self.places.get(&place(name)) {
            Some(Content::Token(id, _)) => Some(id.to_string()),
            Some(Content::Nothing | Content::Unknown | Content::Value { .. }) | None => None,
        }
    }

    pub(super) fn is_listed(&self, text: &str) -> bool {
        self.tokens.iter().any(|token| token.id == id(text))
    }

    pub(super) fn marks(&self, token: &TokenId, generation: u64) -> Marks {
        Marks {
            token_id: token.clone(),
            previous_token_id: None,
            generation,
            ledger: self.ledger.clone(),
            connection_id: self.policy.key.connection.clone(),
        }
    }

    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            policy: &self.policy,
            record: &self.record,
            observed: &self.observed,
            now: self.now,
            request: &self.request,
            ledger: &self.ledger,
            ending: self.ending,
            timeouts: Timeouts { request: Duration::from_secs(30), probe: Duration::from_secs(60) },
            draw: Draw { life: 0, name: u64::from(self.made) + 1 },
        }
    }

    pub(super) fn decide(&mut self) -> Decision {
        let target = self.record.target().cloned();
        self.observed.in_hand = target.filter(|id| self.values.contains(id));
        decide_and_tell(&self.situation())
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.record = self.record.clone().apply(event).unwrap();
    }

    /// A new call: nothing was seen yet, and no value is in memory.
    pub(super) fn restart(&mut self) {
        self.observed = Observed::default();
        self.values.clear();
    }

    /// The host's clock is set to another time; the provider's goes on as it was.
    pub(super) fn set_clock(&mut self, by: TimeDelta) {
        self.now += by;
        self.skew -= by;
        self.restart();
    }

    pub(super) fn pass_time(&mut self, time: TimeDelta) {
        self.now += time;
        self.restart();
    }

    /// Whether every place holds a token that works.
    pub(super) fn all_work(&self) -> bool {
        self.places.values().all(|content| match content {
            Content::Token(id, _) => self.ask_endpoint(id) == Answer::Accepts,
            Content::Nothing | Content::Unknown | Content::Value { .. } => false,
        })
    }

    /// Whether what this place holds works.
    pub(super) fn all_held_work(&self, name: &str) -> bool {
        self.holds(name).is_some_and(|held| self.ask_endpoint(&id(&held)) == Answer::Accepts)
    }

    /// Goes on until there is a rest.
    pub(super) fn run(&mut self) -> (Rest, String) {
        for _ in 0..500 {
            let Decision { step, why } = self.decide();
            if let Step::Rest(rest) = step {
                let wake = wake_at(&self.situation(), &rest);
                assert!(wake > self.now, "woken in the past: {wake} at {} ({why})", self.now);
                assert!(wake - self.now <= TimeDelta::hours(2), "woken too late: {wake} ({why})");
                return (rest, why);
            }
            self.play(step, &why);
        }
        let last = self.log.len().saturating_sub(20);
        panic!("no end in 500 steps: {:?}", &self.log[last..]);
    }

    /// Lets time pass from rest to rest, as the daemon does: what only a hook was waited for is asked of
    /// nobody else. Gives the last rest that was not such a one.
    pub(super) fn live(&mut self, time: TimeDelta) -> (Rest, String) {
        let until = self.now + time;
        let asked = self.request.clone();
        let mut last = None;
        for _ in 0..20_000 {
            let (rest, why) = self.run();
            let (wake, work) =
                (wake_at(&self.situation(), &rest), work_at(&self.situation(), &rest));
            self.record.work_at = Some(work);
            if self.request == RotationRequest::Due {
                self.request = RotationRequest::Woken;
            }
            if !rest.hooks_only {
                last = Some((rest, why));
            }
            if wake > until {
                self.now = until;
                self.restart();
                self.request = asked;
                return last.unwrap();
            }
            self.now = wake;
            self.restart();
        }
        let last = self.log.len().saturating_sub(20);
        panic!("20000 rests without time passing: {:?}", &self.log[last..]);
    }
}
