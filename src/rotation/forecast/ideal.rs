//! A world in which everything goes well: every call is answered, clients use what the sinks hold, and nobody
//! else does anything.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;

use crate::{
    clock::{ProviderClock, ProviderTime, Timestamp},
    error::{Class, Code, Fault},
    place::{Marks, Version},
    rotation::{
        decide::{
            About, AskClient, CheckWrites, Draw, Forget, Inquiry, Promote, Revoke, Situation,
            Stage, Step, Timeouts, Veto,
        },
        event::{ConfigEvent, Event, PlaceEvent, ProbeUserEvent, RetiringEvent},
        observe::{self, Held, Observed, SeenList, SeenSink, Staging},
        policy::Policy,
        record::{Intent, Proof, Record},
        request::RotationRequest,
        scim_config::{ConfigChange, FoundConfig, Mapping, ScimConfig, SeenConfig, Standing},
        uptake::Account,
    },
    token::{LedgerId, Listed, PlaceKey, TokenId},
};

/// The world in which everything goes well.
pub(super) struct Ideal<'a> {
    policy: &'a Policy,
    ledger: &'a LedgerId,
    request: &'a RotationRequest,
    timeouts: Timeouts,
    record: Record,
    tokens: Vec<Listed>,
    holds: BTreeMap<PlaceKey, Option<TokenId>>,
    staging: BTreeMap<PlaceKey, Staging>,
    observed: Observed,
    scim_config: Result<SeenConfig, Fault>,
    now: Timestamp,
    made: u32,
}

/// What is true of a process that dies in a proof by writing.
const WRITTEN: &str = "no sink has the new token, and the throw-away user may exist: the next start revokes the token and deletes the user; the current token stays in use";

/// What stands for a configuration that nobody looked at.
fn unasked() -> Fault {
    let operation = "read the SCIM configuration";
    Fault::new(operation, Class::Transient, Code::Unavailable, "it was not asked for")
}

impl<'a> Ideal<'a> {
    /// As it was just observed, with these tokens.
    pub(super) fn new(s: &Situation<'a>, tokens: Vec<Listed>) -> Self {
        Self {
            policy: s.policy,
            ledger: s.ledger,
            request: s.request,
            timeouts: s.timeouts,
            record: s.record.clone(),
            tokens,
            holds: s
                .record
                .sinks
                .iter()
                .map(|(key, sink)| (key.clone(), sink.holds.clone()))
                .collect(),
            staging: s
                .observed
                .sinks
                .iter()
                .map(|(key, seen)| (key.clone(), seen.staging.clone()))
                .collect(),
            observed: s.observed.clone(),
            scim_config: s.observed.scim_config.clone().unwrap_or_else(|| Err(unasked())),
            now: s.now,
            made: 0,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// How many tokens there are.
    pub(super) fn live(&self) -> usize {
        self.tokens.len()
    }

    /// Nothing happens until then.
    pub(super) fn sleep(&mut self, wake: Timestamp) {
        self.now = wake.max(self.now + TimeDelta::seconds(1));
        // Nobody else changes the configuration, so that it is not read again at each look.
        let scim_config = self.observed.scim_config.take();
        self.observed = Observed { scim_config, ..Observed::default() };
    }

    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            policy: self.policy,
            record: &self.record,
            observed: &self.observed,
            now: self.now,
            request: self.request,
            ledger: self.ledger,
            ending: None,
            timeouts: self.timeouts,
            draw: Draw::default(),
        }
    }

    /// In an ideal world the provider's clock is the host's.
    fn there(&self) -> ProviderTime {
        ProviderClock::default().to_provider(self.now)
    }

    fn apply(&mut self, event: Event) -> Option<()> {
        self.record = self.record.clone().apply(event).ok()?;
        self.observed.in_hand = self.record.target().cloned();
        Some(())
    }

    /// Plays one step: what is sent, if anything, and what is true if the process dies in it.
    /// `None` when the plan cannot be continued.
    pub(super) fn play(&mut self, step: Step) -> Option<(Option<String>, &'static str)> {
        let connection = self.policy.key.connection.clone();
        let nothing = "nothing was changed";
        match step {
            Step::Look { writes: CheckWrites { places, all }, .. } => {
                self.look()?;
                // Each would, and to ask changes nothing.
                let places: BTreeMap<_, _> =
                    places.into_iter().map(|place| (place, None)).collect();
                if !places.is_empty() {
                    self.apply(Event::WritesChecked { all_at: all.then_some(self.now), places })?;
                }
                Some((None, nothing))
            }
            Step::Note(event) => {
                self.apply(*event)?;
                Some((None, nothing))
            }
            Step::Inspect => {
                // Nobody else changes it, and what is not known stays that.
                let seen = |seen: SeenConfig| SeenConfig { at: self.now, ..seen };
                self.observed.scim_config = Some(self.scim_config.clone().map(seen));
                Some((None, nothing))
            }
            Step::Configure(change) => self.configure(*change),
            Step::Preflight { endpoint, .. } => {
                self.observed.preflight = Some(self.now);
                let asked = match endpoint {
                    Veto::None => "",
                    Veto::Refusal | Veto::Silence => {
                        "; GET the SCIM endpoint without credentials (401 or 403)"
                    }
                };
                Some((Some(format!("check that every sink is writable{asked}")), nothing))
            }
            Step::Mint(intent) => {
                let life = self.mint(*intent)?;
                let life = life.map_or_else(String::new, |life| {
                    format!(", lifetime up to {} s", life.as_secs())
                });
                Some((
                    Some(format!("record the intent, then create a token for {connection}{life}")),
                    if self.policy.capabilities.names {
                        "a token may exist whose value nobody has: the next start lists, recognises it by its name and revokes it, even if it appears later"
                    } else {
                        "a token may exist whose value nobody has: the next start lists, recognises it by its lifetime fingerprint and revokes it, even if it appears later"
                    },
                ))
            }
            Step::Probe(Inquiry {
                id,
                about: About::OnItsWay { found, write },
                sent,
                arrives_by,
            }) => {
                self.apply(Event::ProbeAnnounced { id, sent, arrives_by })?;
                self.apply(Event::Proven(Proof::Good))?;
                let (which, dies) = if found {
                    ("the token that was found", nothing)
                } else {
                    (
                        "the new token",
                        "no sink has the new token: the next start revokes it, the current one stays in use",
                    )
                };
                let reads = format!("GET the SCIM endpoint's /Users?count=1 with {which}");
                Some(match write {
                    Some(plan) => (Some(format!("{reads}, then {}", plan.words())), WRITTEN),
                    None => (Some(reads), dies),
                })
            }
            Step::RemoveUser { .. } => {
                let name = self.record.probe_user.as_ref()?.name.clone();
                self.apply(Event::ProbeUser(ProbeUserEvent::Gone))?;
                Some((
                    Some(format!("search for the throw-away user {name} and delete it")),
                    nothing,
                ))
            }
            Step::Probe(Inquiry { about: About::Current { location }, id, .. }) => {
                let refused = self.tokens.iter().all(|token| token.id != id);
                self.apply(Event::CurrentProbed { refused })?;
                if !refused {
                    self.observed.vouched = Some((id, self.now));
                }
                Some((Some(format!("GET the SCIM endpoint with the token in {location}")), nothing))
            }
            Step::Probe(Inquiry { about: About::Found { location }, id, .. }) => {
                self.observed.vouched = Some((id, self.now));
                Some((Some(format!("GET the SCIM endpoint with the token in {location}")), nothing))
            }
            Step::Stage(stage) => {
                let begun = stage.begun();
                let Stage { place, location, metadata } = *stage;
                let id = metadata.marks.token_id;
                self.staging.insert(place.clone(), Staging::Holds(id));
                self.observed.sinks.insert(place.clone(), self.seen(&place));
                self.apply(begun)?;
                Some((
                    Some(format!("stage the token in {location} beside the one that readers get")),
                    "no reader has the new token: the next start reads it back and continues, or revokes it",
                ))
            }
            Step::Forget(Forget { place, location, id, .. }) => {
                let call = format!("remove the labels of {id} in {location}");
                self.apply(Event::Place { place, what: PlaceEvent::Forgotten { id } })?;
                Some((Some(call), "readers are not affected: the next start repeats it"))
            }
            Step::AskClient(AskClient { place, location, id, .. }) => {
                let (at, account) = (self.now, Account::Uses);
                let what = PlaceEvent::ClientAsked { id, at, account };
                self.apply(Event::Place { place, what })?;
                Some((Some(format!("ask {location} whether it uses the token")), nothing))
            }
            Step::Notify { hook, notice } => {
                let call = format!("run the hook {hook}");
                let number = notice.number;
                self.apply(Event::Notified { hook, number, at: self.now })?;
                Some((Some(call), "the next start runs the hook again, with the same id"))
            }
            Step::Promote(promote) => {
                let location = promote.location.clone();
                self.promote(*promote)?;
                Some((
                    Some(format!("write the token to {location} under compare-and-set")),
                    "the next start reads which token the sink holds, then continues with that value, or revokes the new token",
                ))
            }
            Step::Revoke(Revoke { id, .. }) => {
                let what = RetiringEvent::RevokeAnnounced { at: self.now };
                self.apply(Event::Retiring { id: id.clone(), what })?;
                self.tokens.retain(|token| token.id != id);
                self.observed.list = None;
                self.observed.acted();
                let what = RetiringEvent::Revoked { at: self.now };
                self.apply(Event::Retiring { id: id.clone(), what })?;
                Some((
                    Some(format!(
                        "list tokens and read every sink (final check), then delete {id}"
                    )),
                    "the token may or may not be deleted: the next start checks again and repeats the delete",
                ))
            }
            Step::Pause(until) => {
                self.now = until.max(self.now + TimeDelta::seconds(1));
                Some((None, nothing))
            }
            Step::Rest(_) => None,
        }
    }

    /// The clients use what the sinks hold, and nothing else.
    fn look(&mut self) -> Option<()> {
        let (now, there) = (self.now, self.there());
        let in_use: Vec<TokenId> = self.holds.values().flatten().cloned().collect();
        for token in self.tokens.iter_mut().filter(|token| in_use.contains(&token.id)) {
            token.last_used_at = Some(there);
        }
        self.tokens.retain(|token| !observe::is_dead(token, there));
        let list =
            SeenList { asked: now, at: now, provider_time: there, tokens: self.tokens.clone() };
        let sinks: BTreeMap<PlaceKey, SeenSink> = self
            .record
            .sinks
            .iter()
            .filter(|(_, sink)| sink.readable)
            .map(|(key, _)| (key.clone(), self.seen(key)))
            .collect();
        self.observed.list = Some(Ok(list.clone()));
        self.observed.sinks = sinks.clone();
        self.observed.list_is_old = false;
        self.observed.old_places.clear();
        self.apply(Event::Looked { list: Some(list), sinks, troubles: BTreeMap::new() })
    }

    fn seen(&self, place: &PlaceKey) -> SeenSink {
        let staging = self.staging.get(place).cloned().unwrap_or_default();
        let seen = SeenSink::new(self.now, self.held(place));
        // In an ideal world every value is the one that its mark names.
        SeenSink { staging, is_genuine: seen.held.id().is_some(), ..seen }
    }

    fn held(&self, place: &PlaceKey) -> Held {
        let version = Version("planned".to_owned());
        let Some(id) = self.holds.get(place).cloned().flatten() else {
            return Held::Nothing(version);
        };
        let marks = Marks {
            token_id: id.clone(),
            previous_token_id: None,
            generation: self.record.generation,
            ledger: self.ledger.clone(),
            connection_id: self.policy.key.connection.clone(),
        };
        Held::Token { id, marks: Some(marks), version }
    }

    /// What is sent, and what the configuration is then.
    fn configure(&mut self, change: ConfigChange) -> Option<(Option<String>, &'static str)> {
        let connection = &self.policy.key.connection;
        let (call, config) = match change {
            ConfigChange::Create(Some(config)) => {
                let pairs = config.mapping.len();
                let call = format!(
                    "create the SCIM configuration of {connection} with the {pairs} attributes of the policy"
                );
                (call, Some(config))
            }
            ConfigChange::Create(None) => {
                let call = format!(
                    "create the SCIM configuration of {connection} with the provider's default mapping"
                );
                (call, None)
            }
            ConfigChange::Replace { by, diff } => {
                let call = format!("replace the SCIM configuration of {connection}: {diff}");
                (call, Some(by))
            }
        };
        let empty = || ScimConfig { user_id_attribute: String::new(), mapping: Mapping::new() };
        let config = config.unwrap_or_else(empty);
        let found = Some(FoundConfig { config, default: None });
        let seen = SeenConfig { at: self.now, found };
        self.scim_config = Ok(seen.clone());
        self.observed.scim_config = Some(Ok(seen));
        // What had no configuration has no tokens either.
        if self.observed.list.take_if(|list| list.is_err()).is_some() {
            self.tokens.clear();
        }
        self.apply(Event::ScimConfig(ConfigEvent::Changed {
            standing: Standing::AsAsked,
            loses_active: false,
            trouble: None,
            at: self.now,
        }))?;
        Some((
            Some(call),
            "the configuration may or may not be changed: the next start reads it again and compares",
        ))
    }

    fn mint(&mut self, intent: Intent) -> Option<Option<Duration>> {
        // A plan promises no print and no name: these are drawn when the token is made.
        let life = self.policy.terms.token_lifetime;
        let intent = Intent { life, name: None, ..intent };
        self.made += 1;
        let id = TokenId::try_new(format!("(new-{})", self.made)).ok()?;
        let scopes = intent.scopes.clone();
        let valid_until = match life {
            Some(life) => Some(self.there() + TimeDelta::from_std(life).ok()?),
            None => None,
        };
        let token = Listed {
            id,
            created_at: self.there(),
            valid_until,
            last_used_at: None,
            scopes,
            name: None,
        };
        self.apply(Event::Intended(intent))?;
        self.tokens.push(token.clone());
        if let Some(Ok(list)) = &mut self.observed.list {
            list.tokens.push(token.clone());
        }
        self.apply(Event::Minted {
            token,
            retire: self.policy.terms.retire.clone(),
            verify: self.policy.terms.verify,
            digest: None,
        })?;
        self.observed.acted();
        Some(life)
    }

    fn promote(&mut self, promote: Promote) -> Option<()> {
        let begun = Promote { expected: None, container: None, ..promote.clone() }.begun(self.now);
        let Promote { place, metadata, .. } = promote;
        let id = metadata.marks.token_id;
        self.holds.insert(place.clone(), Some(id.clone()));
        if let Some(staging) = self.staging.get_mut(&place)
            && *staging != Staging::Impossible
        {
            *staging = Staging::Free;
        }
        self.apply(begun)?;
        let delivered = PlaceEvent::Delivered {
            id,
            version: Version("planned".to_owned()),
            at: self.now,
            provider: self.there(),
            container: None,
        };
        self.apply(Event::Place { place: place.clone(), what: delivered })?;
        self.observed.acted();
        let seen = self.seen(&place);
        self.observed.sinks.insert(place, seen);
        Some(())
    }
}
