//! A small world: two slots at a provider, two sinks, a ledger with a lease, two workers and a human. All
//! of it is data, so that a state can be kept, gone on from in every way, and recognised.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    fmt::{self, Write as _},
    hash::{Hash as _, Hasher},
    io,
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use scimitar::{
    clock::{ProviderTime, Timestamp, parse_timestamp},
    engine::worker::LEASE,
    rotation::{
        event::{ConfiguredPlace, Event},
        policy::{
            Capabilities, Lead, OnDrift, Policy, Retire, ScopePolicy, Share, Terms, Unmanaged,
            Verify,
        },
        record::{Intent, Record, Tally},
        uptake::Uptake,
    },
    sink::{Marks, Place},
    token::{
        ConnectionId, ConnectionKey, ConnectionName, Digest, LedgerId, Listed, PlaceKey,
        ProviderName, Scope, Scopes, SinkName, Tenant, TokenId,
    },
};

use super::worker::Worker;

/// How long an older token is kept.
pub(crate) const OVERLAP: TimeDelta = TimeDelta::hours(1);

/// How late a create and a delete may come; what goes to the sink without a fence, in [`LINGERS`].
pub(crate) const LATEST: TimeDelta = TimeDelta::minutes(10);
pub(crate) const LINGERS: TimeDelta = TimeDelta::seconds(60);

/// A record, and what it is recognised by.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) record: Record,
    print: u64,
}

impl Written {
    pub(crate) fn new(record: Record) -> Arc<Self> {
        // What is only counted and said decides nothing.
        let mut bare = Record { tally: Tally::default(), ..record.clone() };
        bare.warnings.clear();
        if let Some(decided) = &mut bare.decided {
            decided.words.clear();
        }
        let mut print = Print::default();
        serde_json::to_writer(&mut print, &bare).unwrap();
        Arc::new(Self { record, print: print.0.finish() })
    }
}

/// The ledger: one record, one lease.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) version: u64,
    pub(crate) written: Arc<Written>,
    pub(crate) held: bool,
    pub(crate) fence: u64,
    pub(crate) until: Timestamp,
}

/// A token at the provider.
#[derive(Clone, Debug)]
pub(crate) struct Tok {
    pub(crate) listed: Listed,
    pub(crate) by_human: bool,
    pub(crate) alive: bool,
    pub(crate) removed_by_human: bool,
    /// When the last sink gave it up.
    pub(crate) left: Option<Timestamp>,
}

/// A sink.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) version: u64,
    pub(crate) held: Option<(TokenId, Marks)>,
}

/// An effect that may come after its caller gave up.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Create(Box<Intent>),
    Delete(TokenId),
    Put { sink: usize, id: TokenId, marks: Marks, expected: Option<String> },
}

/// What somebody left out, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// The ledger takes every write, and says to everybody that they have the claim.
    NoFence,
    /// A create is written down only when it was answered.
    NoIntent,
}

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) rules: Arc<Rules>,
    pub(crate) now: Timestamp,
    pub(crate) tokens: Vec<Tok>,
    pub(crate) sinks: [Sink; 2],
    pub(crate) ledger: Ledger,
    pub(crate) workers: [Worker; 2],
    pub(crate) late: Vec<(Timestamp, Effect)>,
    /// How much may still go wrong.
    pub(crate) troubles: usize,
    /// How often time may still pass.
    pub(crate) waits: usize,
    /// Numbers what is drawn.
    pub(crate) drawn: u64,
    pub(crate) broken: Option<String>,
}

/// What does not change.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) ledger: LedgerId,
    pub(crate) places: [PlaceKey; 2],
    pub(crate) sabotage: Sabotage,
}

fn policy() -> Policy {
    let scope = || Scope::try_new("get:users").unwrap();
    Policy {
        name: ConnectionName::try_new("initech").unwrap(),
        provider: ProviderName::try_new("acme").unwrap(),
        key: ConnectionKey {
            tenant: Tenant::try_new("acme.example").unwrap(),
            connection: ConnectionId::try_new("con_initech").unwrap(),
        },
        capabilities: Capabilities {
            cap: Some(2),
            shortest_life: Some(Duration::from_secs(901)),
            life_step: Duration::from_secs(1),
            last_used: true,
            scopes: true,
            user_scopes: None,
            read_scope: Some(scope()),
            names: false,
            id_in_value: true,
            default_scopes: BTreeSet::new(),
        }
        .into(),
        survey_interval: Duration::from_secs(12 * 3600),
        terms: Terms {
            scopes: ScopePolicy::Exactly(Scopes::from([scope()])),
            token_lifetime: Some(Duration::from_secs(30 * 86_400)),
            rotate_before: Share::try_new(0.33).map(Lead::Share),
            retire: Retire {
                overlap: OVERLAP.to_std().unwrap(),
                after_use: false,
                when_idle: None,
                at_latest: None,
            },
            verify: Verify::Read,
            unmanaged: Unmanaged::Report,
            on_drift: OnDrift::Report,
            ..Terms::default()
        }
        .into(),
    }
}

impl World {
    /// Nothing was ever delivered.
    pub(crate) fn new(sabotage: Sabotage) -> Self {
        let places = [PlaceKey::new("file", "a"), PlaceKey::new("vault", "b")];
        let policy = policy();
        let record = Record::new(policy.key.clone(), policy.name.clone(), policy.provider.clone());
        let configured = places.iter().map(|key| ConfiguredPlace {
            place: Place {
                key: key.clone(),
                sink: SinkName::try_new("sink").unwrap(),
                location: key.as_str().to_owned(),
                delivery: serde_json::Value::Null.into(),
            },
            readable: true,
            write_check: Default::default(),
            // The first one asks the fence right before it writes.
            lingers: if *key == places[0] { Duration::ZERO } else { LINGERS.to_std().unwrap() },
            keeps_earlier: false,
            overwrite: false,
            uptake: Uptake::default(),
        });
        let configured = Event::Configured {
            name: policy.name.clone(),
            provider: policy.provider.clone(),
            places: configured.collect(),
            unreachable: BTreeSet::new(),
            hooks: BTreeMap::new(),
            scim_config: false,
        };
        let record = record.apply(configured).unwrap();
        let now = parse_timestamp("2026-01-05T00:00:00Z").unwrap();
        let sink = Sink { version: 0, held: None };
        let ledger = LedgerId::try_new("led_small").unwrap();
        Self {
            rules: Arc::new(Rules { policy, ledger, places, sabotage }),
            now,
            tokens: Vec::new(),
            sinks: [sink.clone(), sink],
            ledger: Ledger {
                version: 1,
                written: Written::new(record),
                held: false,
                fence: 0,
                until: now,
            },
            workers: [Worker::Idle, Worker::Idle],
            late: Vec::new(),
            troubles: 0,
            waits: usize::MAX,
            drawn: 0,
            broken: None,
        }
    }

    pub(crate) fn violate(&mut self, how: impl Into<String>) {
        self.broken.get_or_insert_with(|| how.into());
    }

    pub(crate) fn provider_now(&self) -> ProviderTime {
        ProviderTime::told(self.now)
    }

    pub(crate) fn token(&self, id: &TokenId) -> Option<&Tok> {
        self.tokens.iter().find(|token| token.listed.id == *id)
    }

    pub(crate) fn is_live(&self, id: &TokenId) -> bool {
        let lives =
            |token: &Tok| token.listed.valid_until.is_none_or(|until| until > self.provider_now());
        self.token(id).is_some_and(|token| token.alive && lives(token))
    }

    pub(crate) fn holders(&self, id: &TokenId) -> usize {
        let holds = |sink: &&Sink| sink.held.as_ref().is_some_and(|(held, _)| held == id);
        self.sinks.iter().filter(holds).count()
    }

    /// The claim is somebody's whose lease has not ended.
    pub(crate) fn is_claimed(&self) -> bool {
        self.ledger.held && self.now < self.ledger.until
    }

    /// The provider makes a token; `None`: it has no slot.
    pub(crate) fn create(
        &mut self,
        by_human: bool,
        life: Option<Duration>,
        scopes: Scopes,
    ) -> Option<Listed> {
        if self.tokens.iter().filter(|token| self.is_live(&token.listed.id)).count() >= 2 {
            return None;
        }
        let created_at = self.provider_now();
        let who = if by_human { "human" } else { "ours" };
        let listed = Listed {
            id: TokenId::try_new(format!("{who}_{}", self.tokens.len() + 1)).unwrap(),
            created_at,
            valid_until: life.map(|life| created_at + TimeDelta::from_std(life).unwrap()),
            last_used_at: None,
            scopes,
            name: None,
        };
        let token = Tok {
            listed: listed.clone(),
            by_human,
            alive: true,
            removed_by_human: false,
            left: None,
        };
        self.tokens.push(token);
        Some(listed)
    }

    /// The provider deletes a token for a worker; `false`: it knows none.
    pub(crate) fn delete(&mut self, id: &TokenId) -> bool {
        let Some(token) = self.token(id).filter(|token| token.alive) else { return false };
        let (by_human, left) = (token.by_human, token.left);
        if self.holders(id) > 0 && self.is_live(id) {
            self.violate(format!("1 always one that works: {id} is deleted, and a sink holds it"));
        } else if by_human {
            self.violate(format!("2 nothing on a guess: {id} is deleted, and a human made it"));
        } else if left.is_some_and(|left| self.now - left < OVERLAP) {
            self.violate(format!(
                "2 nothing on a guess: {id} is deleted before its overlap is over"
            ));
        } else if left.is_some() {
            // What a human revokes after the last look, no look shows.
            let human = |id: &TokenId| self.token(id).is_some_and(|token| token.removed_by_human);
            let works = |id: &TokenId| self.is_live(id) || human(id);
            let holds = |sink: &Sink| sink.held.as_ref().is_some_and(|(id, _)| works(id));
            if !self.sinks.iter().all(holds) {
                self.violate(format!("2 nothing on a guess: {id} goes, and a sink has no other"));
            }
        }
        if let Some(token) = self.tokens.iter_mut().find(|token| token.listed.id == *id) {
            token.alive = false;
        }
        true
    }

    /// A sink takes a token, if it is still as it was seen; answers its state.
    pub(crate) fn put(
        &mut self,
        nth: usize,
        id: &TokenId,
        marks: &Marks,
        expected: Option<&str>,
    ) -> Option<String> {
        let sink = &self.sinks[nth];
        let later = sink.held.as_ref().is_some_and(|(_, held)| held.generation > marks.generation);
        if expected.is_some_and(|expected| expected != state(sink)) || later {
            return None;
        }
        let before = self.sinks[nth].held.replace((id.clone(), marks.clone()));
        self.sinks[nth].version += 1;
        if let Some((before, _)) = before.filter(|(before, _)| before != id)
            && self.holders(&before) == 0
        {
            let now = self.now;
            let left = self.tokens.iter_mut().find(|token| token.listed.id == before);
            left.into_iter().for_each(|token| token.left = Some(now));
        }
        let human = self.token(id).is_some_and(|token| token.removed_by_human);
        if !self.is_live(id) && !human {
            self.violate(format!("1 always one that works: {id} is delivered, and it is dead"));
        }
        Some(state(&self.sinks[nth]))
    }

    /// An effect comes that nobody waits for any more.
    pub(crate) fn arrive(&mut self, effect: Effect) {
        match effect {
            Effect::Create(intent) => {
                self.create(false, intent.life, intent.scopes);
            }
            Effect::Delete(id) => {
                self.delete(&id);
            }
            Effect::Put { sink, id, marks, expected } => {
                self.put(sink, &id, &marks, expected.as_deref());
            }
        }
    }

    /// Promise 1, in every state.
    pub(crate) fn promise_1(&mut self) {
        let dead = self.sinks.iter().enumerate().find_map(|(nth, sink)| {
            let (id, _) = sink.held.as_ref()?;
            let human = self.token(id).is_some_and(|token| token.removed_by_human);
            (!self.is_live(id) && !human).then(|| format!("sink {nth} holds {id}, which is dead"))
        });
        if let Some(how) = dead {
            self.violate(format!("1 always one that works: {how}"));
        }
    }

    /// Why it has not ended well, if it has not.
    pub(crate) fn unwell(&self) -> Option<String> {
        let record = &self.ledger.written.record;
        if record.phase_name() == "minting" || record.phase_name() == "delivering" {
            return Some(format!("it is still {}", record.phase_name()));
        }
        let Some(current) = &record.current else {
            return Some("it has no current token".to_owned());
        };
        let id = &current.token.id;
        if !self.is_live(id) {
            return Some(format!("the current {id} is dead"));
        }
        if self.holders(id) < 2 {
            return Some(format!("not every sink holds the current {id}"));
        }
        let orphan = self.tokens.iter().find(|token| {
            !token.by_human && token.listed.id != *id && self.is_live(&token.listed.id)
        });
        orphan.map(|token| format!("{} is ours, and nobody's any more", token.listed.id))
    }

    /// What this state is recognised by. The workers are alike: which one is which does not count.
    pub(crate) fn print(&self) -> u64 {
        let mut print = Print::default();
        let Self { now, tokens, sinks, ledger, late, troubles, waits, drawn, .. } = self;
        (now, troubles, waits, drawn).hash(&mut print.0);
        (ledger.written.print, ledger.held, ledger.held.then_some(ledger.until)).hash(&mut print.0);
        for token in tokens {
            let Tok { listed, by_human: _, alive, removed_by_human, left } = token;
            (&listed.id, listed.created_at, listed.valid_until).hash(&mut print.0);
            (alive, removed_by_human, left).hash(&mut print.0);
        }
        for sink in sinks {
            let held = sink.held.as_ref().map(|(id, marks)| (id, marks.generation));
            (sink.version, held).hash(&mut print.0);
        }
        for (by, effect) in late {
            by.hash(&mut print.0);
            write!(print, "{effect:?}").unwrap();
        }
        let mut workers = self.workers.each_ref().map(|worker| worker.print(ledger));
        workers.sort_unstable();
        workers.hash(&mut print.0);
        print.0.finish()
    }
}

/// A sink's state as compare-and-set names it.
pub(crate) fn state(sink: &Sink) -> String {
    format!("v{}", sink.version)
}

pub(crate) fn digest(id: &TokenId) -> Digest {
    Digest::of(id.as_str().as_bytes())
}

pub(crate) fn lease() -> TimeDelta {
    TimeDelta::from_std(LEASE).unwrap()
}

impl Written {
    pub(crate) fn print(&self) -> u64 {
        self.print
    }
}

/// Hashes what is written to it.
#[derive(Default)]
pub(crate) struct Print(pub(crate) DefaultHasher);

impl io::Write for Print {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Print {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
