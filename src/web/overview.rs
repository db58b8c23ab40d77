//! All connections at one look: how many stand how, in which order, and what the coming days bring.
//!
//! The records are read page by page; of each, what fits in a few bytes is kept.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use super::{Site, months::Days};
use crate::{
    clock::{ProviderTime, Timestamp},
    engine::{report::Outcome, row::Row, stored_status, worker::Connection},
    ledger::{Ledger, LedgerError},
    rotation::{record::Record, status::ConnectionStatus, view},
    token::ConnectionKey,
};

/// How many records are held at once.
const AT_ONCE: usize = 500;

/// How many connections that left the configuration are named.
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
    /// The first few that left the configuration while they have something to be revoked.
    pub(super) left: Vec<Left>,
    /// How many such there are.
    pub(super) left_count: usize,
    /// What the coming days bring.
    pub(super) days: Days,
    good_until: Instant,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which one.
    pub(super) index: usize,
    pub(super) outcome: Outcome,
    /// A person has to do something.
    pub(super) person: bool,
    /// What failed was not refused for good.
    pub(super) mends: bool,
    pub(super) expires: Option<ProviderTime>,
    pub(super) next: Option<Timestamp>,
}

/// A connection that left the configuration while it has something to be revoked.
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
        let mut after: Option<ConnectionKey> = None;
        loop {
            let page = ledger.page(after.as_ref(), AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.record.key.clone());
            for stored in &page {
                match wanted.remove(&stored.record.key) {
                    Some(index) => self.look(index, Some(&stored.record), ledger.as_ref()).await?,
                    None => self.note_left(&stored.record),
                }
            }
        }
        for index in wanted.into_values() {
            self.look(index, None, ledger.as_ref()).await?;
        }
        self.entries.sort_by_key(|entry| entry.index);
        Ok(())
    }

    async fn look(
        &mut self,
        index: usize,
        record: Option<&Record>,
        ledger: &dyn Ledger,
    ) -> Result<(), LedgerError> {
        let Some(connection) = self.connections.get(index) else { return Ok(()) };
        let (status, row) =
            stored_status::looked_up(ledger, &connection.policy, record, self.at).await?;
        self.note(index, &status, &row, record);
        Ok(())
    }

    fn note(
        &mut self,
        index: usize,
        status: &ConnectionStatus,
        row: &Row,
        record: Option<&Record>,
    ) {
        self.days.rotation(row.next_at);
        self.days.expiry(row.expires_at);
        for retiring in record.iter().flat_map(|record| &record.retiring) {
            self.days.overlap(view::overlap_ends(retiring));
        }
        self.entries.push(Entry {
            index,
            outcome: row.outcome,
            mends: !status.for_good,
            person: status.needs_person,
            expires: row.expires_at,
            next: row.next_at,
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
