//! All connections at one look: how many stand how, in which order, what is wrong with them, how their
//! providers and sinks are, and what the coming days bring.
//!
//! The records are read part by part; of each, what fits in a few bytes is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use super::{Site, cause::Cause, look::Look, months::Days, services::Services};
use crate::{
    clock::{ProviderTime, Timestamp},
    engine::{stored_status, worker::Connection},
    ledger::{LedgerError, Stored},
    rotation::{record::Record, status::Outcome, view},
    token::{ConnectionId, ConnectionKey},
};

/// How many records are read at once. While they are looked at, as many more are on their way.
const AT_ONCE: usize = 250;

/// How many connections that are no longer configured are named.
const NAMED: usize = 20;

/// A look is used again for as many times as long as it took: however many records there are and
/// however many people look, that costs at most a tenth of a processor.
const AGAIN: u32 = 9;

/// All connections at one moment.
#[derive(Debug)]
pub(super) struct Overview {
    /// When.
    pub(super) at: Timestamp,
    /// The connections, in the order of the files.
    pub(super) connections: Arc<[Arc<Connection>]>,
    /// How each stands, in the same order.
    pub(super) entries: Vec<Entry>,
    /// What is wrong, by its key.
    pub(super) causes: BTreeMap<String, Cause>,
    pub(super) services: Services,
    /// The first few that left the configuration while they have something to be revoked.
    pub(super) left: Vec<Left>,
    /// How many such there are.
    pub(super) left_count: usize,
    /// What the coming days bring.
    pub(super) days: Days,
    good_until: Instant,
}

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which one.
    pub(super) index: usize,
    pub(super) outcome: Outcome,
    pub(super) look: Look,
    /// A person has to do something.
    pub(super) person: bool,
    /// What failed was not refused for good.
    pub(super) mends: bool,
    /// An operator paused it.
    pub(super) paused: bool,
    pub(super) created: Option<ProviderTime>,
    pub(super) expires: Option<ProviderTime>,
    pub(super) next: Option<Timestamp>,
    /// Its sinks, by their numbers.
    sinks: BTreeSet<usize>,
}

/// A connection that is no longer configured while it has something to be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Left {
    pub(super) name: String,
    pub(super) key: String,
    /// How many tokens are still to be revoked.
    pub(super) tokens: usize,
}

impl Site {
    /// The ledger at one look; a recent one is good enough.
    pub(super) async fn overview(&self) -> Result<Arc<Overview>, LedgerError> {
        let mut last = self.overview.lock().await;
        let began = Instant::now();
        let now = self.engine.clock.now();
        let connections = self.live.connections();
        if let Some(overview) = last.as_ref()
            && began < overview.good_until
            && overview.at <= now
            && Arc::ptr_eq(&overview.connections, &connections)
        {
            return Ok(Arc::clone(overview));
        }
        let mut overview = Overview {
            at: now,
            entries: Vec::with_capacity(connections.len()),
            causes: BTreeMap::new(),
            services: Services::default(),
            left: Vec::new(),
            left_count: 0,
            days: Days::from(now),
            good_until: began,
            connections: Arc::clone(&connections),
        };
        overview.read(self).await?;
        let took = began.elapsed().min(Duration::from_secs(30));
        overview.good_until = Instant::now() + took * AGAIN;
        let overview = Arc::new(overview);
        *last = Some(Arc::clone(&overview));
        Ok(overview)
    }
}

impl Overview {
    /// Whether a connection has a place in this sink.
    pub(super) fn has_sink(&self, entry: &Entry, sink: &str) -> bool {
        self.services.number(sink).is_some_and(|number| entry.sinks.contains(&number))
    }

    /// Whether this is wrong with a connection.
    pub(super) fn has_cause(&self, entry: &Entry, cause: &str) -> bool {
        self.causes
            .get(cause)
            .is_some_and(|cause| cause.members.binary_search(&entry.index).is_ok())
    }

    async fn read(&mut self, site: &Site) -> Result<(), LedgerError> {
        for watch in site.live.watched().iter() {
            self.days.expiry(Some(watch.expires_at));
        }
        let ledger = &site.engine.ledger;
        let connections = Arc::clone(&self.connections);
        let mut wanted: BTreeMap<&ConnectionKey, usize> = connections
            .iter()
            .enumerate()
            .map(|(index, connection)| (&connection.policy.key, index))
            .collect();
        let mut moved = Moved::from(&connections);
        let mut page = ledger.page(None, AT_ONCE).await?;
        while let Some(last) = page.last() {
            let after = last.record.key.clone();
            let looked = async {
                for Stored { record, .. } in &page {
                    moved.note(record);
                    match wanted.remove(&record.key) {
                        Some(index) => self.look(index, Some(record), None),
                        None => self.note_left(record),
                    }
                }
            };
            let (next, ()) = tokio::join!(ledger.page(Some(&after), AT_ONCE), looked);
            page = next?;
        }
        for index in wanted.into_values() {
            self.look(index, None, moved.of(index));
        }
        self.entries.sort_by_key(|entry| entry.index);
        for cause in self.causes.values_mut() {
            cause.members.sort_unstable();
        }
        Ok(())
    }

    /// `other` is what the ledger has of it at another tenant, where it has nothing at its own. Of a row only
    /// what is kept is made: of thousands of connections a hundred are shown.
    fn look(&mut self, index: usize, record: Option<&Record>, other: Option<&Record>) {
        let connections = Arc::clone(&self.connections);
        let Some(connection) = connections.get(index) else { return };
        let (policy, now) = (&connection.policy, self.at);
        let (status, shown) = stored_status::stands(policy, record, other, now);
        let current = shown.and_then(|shown| Some((shown, shown.current.as_ref()?)));
        let created = current.map(|(shown, it)| view::freshest(shown, &it.token).created_at);
        let expires = shown.and_then(view::works_until);
        self.days.rotation(status.next_at);
        self.days.expiry(expires);
        for retiring in record.iter().flat_map(|record| &record.retiring) {
            self.days.overlap(view::overlap_ends(retiring));
        }
        let look = Look::of(&status, record, policy);
        if let Some(cause) = Cause::of(look, &status, record, policy.provider.as_str(), now) {
            let known = self.causes.entry(cause.key.clone()).or_insert_with(|| cause.clone());
            known.add(&cause, index);
        }
        let sinks =
            self.services.note(policy.provider.as_str(), &connection.places.names(), record);
        self.entries.push(Entry {
            index,
            outcome: status.outcome,
            look,
            mends: !status.for_good,
            person: status.needs_person,
            paused: status.pause.is_some(),
            created,
            expires,
            next: status.next_at,
            sinks,
        });
    }

    fn note_left(&mut self, record: &Record) {
        if !stored_status::has_something_to_revoke(record) {
            return;
        }
        self.left_count += 1;
        if self.left.len() < NAMED {
            self.left.push(Left {
                name: record.name.to_string(),
                key: record.key.to_string(),
                tokens: record.retiring.len(),
            });
        }
    }
}

/// Records of connections that have their name and id at another tenant: a connection without a record
/// may be one of them, and asking the ledger for each would be a question for each that is new.
struct Moved<'c> {
    /// Which connections have this id.
    by_id: BTreeMap<&'c ConnectionId, Vec<usize>>,
    connections: &'c [Arc<Connection>],
    /// By the connection. Of several tenants the first, as the ledger itself answers.
    found: BTreeMap<usize, Record>,
}

impl<'c> From<&'c Arc<[Arc<Connection>]>> for Moved<'c> {
    fn from(connections: &'c Arc<[Arc<Connection>]>) -> Self {
        let mut by_id: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, connection) in connections.iter().enumerate() {
            by_id.entry(&connection.policy.key.connection).or_default().push(index);
        }
        Self { by_id, connections, found: BTreeMap::new() }
    }
}

impl Moved<'_> {
    fn note(&mut self, record: &Record) {
        for index in self.by_id.get(&record.key.connection).into_iter().flatten() {
            let Some(connection) = self.connections.get(*index) else { continue };
            let policy = &connection.policy;
            if policy.key.tenant != record.key.tenant && policy.name == record.name {
                self.found.entry(*index).or_insert_with(|| record.clone());
            }
        }
    }

    fn of(&self, index: usize) -> Option<&Record> {
        self.found.get(&index)
    }
}
