//! `[[connections]]` and `[defaults]`: whose tokens are rotated, by what policy, and where they go.

mod discovered;
mod scim_config;
mod watched;
mod when;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use self::watched::chosen;
use super::{
    Files, checks,
    discover::{Made, Refused, Rule},
    holds,
    places::Places,
    policy::{PolicyKeys, all_scopes, shortest_life},
    provider::Providers,
    scopes::{HalfKnown, scopes_of_any},
    sink::{DeliverTo, Sinks, deliveries, none_is_readable, some_are_by_person},
    terms::{Gaps, terms},
};
use crate::{
    clock::Timestamp,
    provider::config::{FIRST, ProviderConfig},
    rotation::{
        policy::{Capabilities, Mode, Policy, Terms},
        schedule::{Schedule, ScheduleError},
        watch::Watch,
    },
    shared::Shared,
    sink::{Known, Spot},
    table::{At, Findings, Set, Table, Value, shown, suggest},
    token::{ConnectionId, ConnectionKey, ConnectionName, ProviderName},
};

/// One connection: its policy and its places.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// The label; unique.
    pub name: ConnectionName,
    /// Which of [`super::Config::providers`].
    pub provider: ProviderName,
    /// What its record is kept for; unique.
    pub key: ConnectionKey,
    /// What was asked for, defaults included.
    pub terms: Shared<Terms>,
    /// Where its tokens go; never empty.
    pub deliveries: Arc<[DeliverTo]>,
}

impl ConnectionConfig {
    /// The policy as the core reads it.
    #[must_use]
    pub fn policy(&self, capabilities: Shared<Capabilities>, survey_interval: Duration) -> Policy {
        Policy {
            name: self.name.clone(),
            provider: self.provider.clone(),
            key: self.key.clone(),
            capabilities,
            survey_interval,
            terms: self.terms.clone(),
        }
    }
}

/// Reads connections from one file after another, and knows what the others held.
pub(super) struct Reader<'s> {
    findings: &'s Findings,
    files: &'s Files,
    providers: &'s Providers<'s>,
    sinks: &'s Sinks<'s>,
    defaults: PolicyKeys<'s>,
    /// What each provider can do.
    capabilities: BTreeMap<ProviderName, Shared<Capabilities>>,
    /// Thousands of connections share a few policies.
    terms: Vec<Shared<Terms>>,
    /// Whether `[defaults]` had no mistakes: else what follows from them is not worth saying.
    defaults_are_sound: bool,
    places: Places<'s>,
    names: BTreeMap<ConnectionName, At<'s>>,
    keys: BTreeMap<ConnectionKey, At<'s>>,
    /// Thousands of connections share a few schedules, and measuring their gaps costs.
    schedules: RefCell<BTreeMap<(String, &'static str), Measured>>,
    /// That a policy revokes by time alone is said once.
    warned_of_time_alone: bool,
    half_known: HalfKnown,
    /// When the configuration is read: a freeze that is over is none.
    now: Timestamp,
    connections: Vec<ConnectionConfig>,
    watches: Vec<Watch>,
    /// The watched tokens whose names are taken from them, with their places, while those that were discovered
    /// are read.
    shadowed: Option<BTreeMap<ConnectionName, At<'s>>>,
    /// What is read stands for all that a rule holds for: it takes no name and no place.
    only_an_example: bool,
    rules: Vec<Rule>,
    rotates_found: BTreeSet<ProviderName>,
    /// What was made of the rules, each with its place.
    made: Vec<(At<'s>, &'s Made<'s>)>,
    refused: Vec<Refused>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Read {
    pub connections: Vec<ConnectionConfig>,
    pub watches: Vec<Watch>,
    pub rules: Vec<Rule>,
    /// The providers that a rule rotates connections of.
    pub rotates_found: BTreeSet<ProviderName>,
    pub refused: Vec<Refused>,
}

/// A schedule and its gaps, or why it is none.
type Measured = Result<(Schedule, Gaps), ScheduleError>;

/// Who a connection is; `None` where that has mistakes.
struct Identity<'s> {
    at: At<'s>,
    name: Option<ConnectionName>,
    provider: Option<ProviderName>,
    key: Option<ConnectionKey>,
    /// Of its provider, where that has no mistakes.
    capabilities: Option<Shared<Capabilities>>,
}

impl<'s> Reader<'s> {
    /// Reads `[defaults]` and prepares to read connections.
    pub(super) fn new(
        root: &Table<'s>,
        files: &'s Files,
        providers: &'s Providers<'s>,
        sinks: &'s Sinks<'s>,
        places: Places<'s>,
        now: Timestamp,
    ) -> Self {
        let findings = root.findings();
        let before = findings.count();
        let table = root.get("defaults");
        let table = table.and_then(|value| value.table("[defaults]"));
        let defaults = table.map_or_else(PolicyKeys::default, |table| {
            let lives = providers.values().filter_map(|set| set.value.as_ref()?.lives().shortest);
            let shortest = lives.fold(shortest_life(), Duration::min);
            let scopes = scopes_of_any(root, providers);
            let keys = PolicyKeys::read(&table, scopes.as_deref(), shortest);
            table.finish(&[]);
            keys
        });
        let can = |set: &Set<'_, Option<ProviderConfig>>| Some(set.value.as_ref()?.capabilities());
        let can = |(name, set)| Some((ProviderName::clone(name), can(set)?.into()));
        let mut reader = Self {
            findings,
            files,
            capabilities: providers.iter().filter_map(can).collect(),
            terms: Vec::new(),
            providers,
            sinks,
            defaults,
            defaults_are_sound: true,
            places,
            names: BTreeMap::new(),
            keys: BTreeMap::new(),
            schedules: RefCell::default(),
            warned_of_time_alone: false,
            half_known: HalfKnown::default(),
            now,
            connections: Vec::new(),
            watches: Vec::new(),
            shadowed: None,
            only_an_example: false,
            rules: Vec::new(),
            rotates_found: BTreeSet::new(),
            made: Vec::new(),
            refused: Vec::new(),
        };
        // Also where no connection ever uses it.
        reader.schedule(&reader.defaults);
        reader.defaults_are_sound = findings.count() == before;
        reader
    }

    /// Reads the `[[connections]]` of one file.
    pub(super) fn read<'t>(&mut self, root: &Table<'t>)
    where
        's: 't,
    {
        let Some(value) = root.get("connections") else {
            return;
        };
        if value.is_table() {
            value.refuse(
                "`connections` is one table, not a list of them",
                "write [[connections]] with two brackets",
            );
            return;
        }
        for item in value.list("a list of tables").unwrap_or_default() {
            if let Some(table) = item.table("[[connections]]") {
                self.connection(table);
            }
        }
    }

    /// What was read.
    pub(super) fn finish(self) -> Read {
        let Self { mut connections, watches, rules, rotates_found, refused, .. } = self;
        connections.shrink_to_fit();
        Read { connections, watches, rules, rotates_found, refused }
    }

    fn connection<'t>(&mut self, table: Table<'t>)
    where
        's: 't,
    {
        let before = self.findings.count();
        let identity = self.identity(&table);
        let config = self.config(identity.provider.as_ref());
        let scopes = match config.map(ProviderConfig::scopes) {
            Some(scopes) if !scopes.is_empty() => scopes,
            Some(_) | None => all_scopes(),
        };
        let shortest = config.and_then(|config| config.lives().shortest);
        let least = shortest.unwrap_or_else(shortest_life);
        let own = PolicyKeys::read(&table, Some(&scopes), least);
        let capabilities = identity.capabilities.as_deref();
        let can = capabilities.zip(config.map(ProviderConfig::lives));
        if let (Some(provider), Some((capabilities, lives))) = (&identity.provider, can) {
            own.refuse_meaningless(provider, capabilities, lives, self.findings);
        }
        let scim_config = self.scim_config(&table, identity.provider.as_ref());
        let deliver_to = table.get("deliver_to");
        let owner = own.owner.as_ref().or(self.defaults.owner.as_ref());
        let owner = owner.map(|given| given.value.clone());
        let known = identity.known(&table, owner.as_deref());
        let deliveries = self.deliver_to(&table, deliver_to, identity.name.as_ref(), &known);
        table.finish(&[]);
        self.note_twice(&identity);

        let keys = own.or(&self.defaults);
        let has_scopes = capabilities.is_some_and(|can| can.scopes);
        if let Some(provider) = identity.provider.as_ref().filter(|_| has_scopes) {
            self.half_known.refuse(provider, &keys, &scopes, self.findings);
        }
        let keys = match can {
            Some((capabilities, lives)) => keys.meant_for(capabilities, lives, &scopes),
            None => keys,
        };
        let schedule = self.schedule(&keys);
        let freeze = self.freeze(&keys);
        if self.findings.count() > before || !self.defaults_are_sound {
            return;
        }
        let expires = capabilities.is_none_or(|can| can.shortest_life.is_some());
        let Identity { at, name: Some(name), provider: Some(provider), key: Some(key), .. } =
            identity
        else {
            return;
        };
        let gaps = schedule
            .as_ref()
            .zip(keys.schedule.as_ref())
            .map(|((_, gaps), given)| given.with(*gaps));
        let tells_use = capabilities.is_some_and(|can| can.last_used);
        let mut terms = terms(&keys, at, expires, tells_use, gaps);
        terms.freeze = keys
            .freeze
            .as_ref()
            .and_then(|given| Some(given.with(freeze.longest_after(self.now)?)));
        let named = capabilities.is_some_and(|can| can.names);
        if let Some((_, lives)) = can {
            (terms.always_expires, terms.step) = (lives.always, lives.step);
        }
        terms.recommends_life = !named && !self.is_sandbox(&provider);
        if let (Some(config), Some((_, lives))) = (config, can) {
            checks::life_is_possible(&terms, &provider, lives, self.findings);
            let rotates = keys.mode.as_ref().is_none_or(|given| given.value == Mode::Rotate);
            if rotates {
                checks::life_tells_tokens_apart(&terms, &provider, lives, self.findings);
            }
            if let Some(why) = config.observe_only().filter(|_| rotates) {
                checks::observed_only(keys.mode.as_ref(), at, &provider, why, self.findings);
            }
        }
        if let Some(capabilities) = capabilities {
            checks::writes_without_a_trace(&keys, capabilities, self.findings);
        }
        checks::contradictions(&terms, self.findings);
        holds::contradictions(&terms, self.findings);
        if tells_use && some_are_by_person(&deliveries, self.sinks) {
            checks::on_a_word_alone(keys.after_use.as_ref(), self.findings);
        } else if tells_use && !self.is_sandbox(&provider) {
            self.warn_of_time_alone(&keys);
        }
        if self.findings.count() > before || self.only_an_example {
            return;
        }
        let asked = terms.asked(keys, schedule.map(|(schedule, _)| schedule), freeze);
        let terms = Shared::interned(Terms { scim_config, ..asked }, &mut self.terms);
        let deliveries = deliveries.into();
        self.connections.push(ConnectionConfig { name, provider, key, terms, deliveries });
    }

    /// A provider that has no errors of its own.
    fn config(&self, provider: Option<&ProviderName>) -> Option<&'s ProviderConfig> {
        self.providers.get(provider?)?.value.as_ref()
    }

    /// Whether a provider is a sandbox, whose tokens nobody needs.
    fn is_sandbox(&self, provider: &ProviderName) -> bool {
        self.config(Some(provider)).is_some_and(ProviderConfig::is_sandbox)
    }

    /// Says once that older tokens are revoked by time alone, although the provider tells whether
    /// they are still used.
    fn warn_of_time_alone(&mut self, keys: &PolicyKeys<'_>) {
        let idle = keys.when_idle.is_some();
        self.warned_of_time_alone = self.warned_of_time_alone
            || checks::by_time_alone(keys.after_use.as_ref(), idle, self.findings);
    }

    fn identity<'t>(&self, table: &Table<'t>) -> Identity<'t> {
        let named = table.require("name", "\"initech-okta\"");
        let name = named.and_then(|value| chosen(&value));
        let provider = table.require("provider", "\"…\"").and_then(|value| self.provider(&value));
        let declared = provider.as_ref().and_then(|name| self.providers.get(name));
        let config = declared.and_then(|set| set.value.as_ref());
        let id = match (config.and_then(ProviderConfig::only_connection), declared) {
            (Some(only), _) => match table.get("connection_id") {
                Some(value) => one_of_one(&value, only),
                None => Some(only.clone()),
            },
            // What an id looks like there is not known: the provider's own mistakes come first.
            (None, Some(_)) if config.is_none() => {
                table.get("connection_id");
                None
            }
            (None, _) => {
                let ids = config.map_or(FIRST.ids, ProviderConfig::ids);
                table
                    .require("connection_id", &format!("\"{}\"", ids.example))
                    .and_then(|value| (ids.read)(&value))
            }
        };
        let tenant = config.map(|provider| provider.tenant().clone());
        let capabilities = provider.as_ref().and_then(|name| self.capabilities.get(name)).cloned();
        Identity {
            at: named.map_or_else(|| table.at(), |value| value.at),
            name,
            provider,
            key: tenant.zip(id).map(|(tenant, connection)| ConnectionKey { tenant, connection }),
            capabilities,
        }
    }

    fn provider(&self, value: &Value<'_>) -> Option<ProviderName> {
        let text = value.string()?;
        let found = self.providers.keys().find(|name| name.as_str() == text);
        if found.is_none() {
            value.refuse(
                format!("there is no provider `{}`", shown(text)),
                suggest(
                    text,
                    self.providers.keys().map(ProviderName::as_str),
                    "the providers of this configuration are",
                ),
            );
        }
        found.cloned()
    }

    fn deliver_to(
        &mut self,
        table: &Table<'_>,
        value: Option<Value<'_>>,
        name: Option<&ConnectionName>,
        known: &Known<'_>,
    ) -> Vec<DeliverTo> {
        const WHY: &str = "a connection needs at least one sink that can be read back";
        const HOW: &str = "write deliver_to = [{ sink = \"disk\", file = \"initech.token\" }]";
        let Some(value) = value else {
            self.findings.error(table.at(), format!("`deliver_to` is missing: {WHY}"), HOW);
            return Vec::new();
        };
        let Some(entries) = deliveries(&value, self.sinks, known) else {
            return Vec::new();
        };
        if entries.is_empty() {
            value.refuse(format!("`deliver_to` is empty: {WHY}"), HOW);
        }
        let count = entries.len();
        let mut placed = Vec::new();
        let mut paths: Option<Vec<PathBuf>> = Some(Vec::new());
        for entry in entries {
            let Some(here) = entry.value else { continue };
            match here.spot {
                Spot::Path(path) => {
                    if !self.only_an_example {
                        self.places.claim(&path, self.files.at(entry.at), self.findings);
                    }
                    paths.iter_mut().for_each(|paths| paths.push(path.clone()));
                }
                Spot::Named(name) => {
                    if !self.only_an_example {
                        self.places.claim_named(name, self.files.at(entry.at), self.findings);
                    }
                    // One that lasts is enough.
                    paths = None;
                }
            }
            placed.extend(here.delivery);
        }
        if placed.len() == count && none_is_readable(&placed, self.sinks) {
            let words = "`deliver_to` has no sink that can be read back";
            value.refuse(format!("{words}: {WHY}"), "add one, such as a file or a secret");
        }
        if let (Some(name), Some(paths)) = (name, paths) {
            self.places.warn_if_all_volatile(name, &paths, value.at, self.findings);
        }
        placed.shrink_to_fit();
        placed
    }

    fn note_twice(&mut self, identity: &Identity<'_>) {
        if self.only_an_example {
            return;
        }
        if let Some(name) = &identity.name {
            self.take_name(name, self.files.at(identity.at));
        }
        if let Some(key) = &identity.key {
            if let Some(first) = self.keys.get(key) {
                self.findings.error(
                    identity.at,
                    format!(
                        "the connection {} of {} is configured twice",
                        key.connection, key.tenant
                    ),
                    format!("first at {first:?}; keep one of the two"),
                );
            } else {
                self.keys.insert(key.clone(), self.files.at(identity.at));
            }
        }
    }
}

/// The id of the only connection that there is, said all the same.
fn one_of_one(value: &Value<'_>, only: &ConnectionId) -> Option<ConnectionId> {
    if value.string()? != only.as_str() {
        value.refuse(
            "`connection_id` is not the one connection of this account",
            format!("leave it out, or write connection_id = \"{only}\""),
        );
        return None;
    }
    Some(only.clone())
}
