//! One scrape: what was counted in this process, and what the ledger says at this moment.

use std::{borrow::Borrow, collections::BTreeMap};

use super::worker::{Connection, Engine};
use crate::{ledger::LedgerError, rotation::record::Record, token::ConnectionKey};

/// Why a scrape came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The records cannot be read.
    #[error("the records cannot be read")]
    Ledger(#[from] LedgerError),
    /// A defect.
    #[error("the metrics contradict each other")]
    Metrics(#[from] prometheus::Error),
}

/// All series in Prometheus' text format.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn text<C: Borrow<Connection>>(
    engine: &Engine,
    connections: &[C],
) -> Result<String, ScrapeError> {
    let now = engine.clock.now();
    let stored = engine.ledger.all().await?;
    let caps: BTreeMap<&ConnectionKey, Option<u32>> = connections
        .iter()
        .map(|connection| {
            let policy = &connection.borrow().policy;
            (&policy.key, policy.capabilities.cap)
        })
        .collect();
    let records = stored.iter().map(|stored| &stored.record);
    Ok(engine.metrics.render(&shown(records, &caps), now)?)
}

/// The configured connections' records, and those of connections that left the configuration
/// with something still to be revoked: nobody else would notice that.
fn shown<'a>(
    records: impl Iterator<Item = &'a Record>,
    caps: &BTreeMap<&ConnectionKey, Option<u32>>,
) -> Vec<(&'a Record, Option<u32>)> {
    records
        .filter_map(|record| match caps.get(&record.key) {
            Some(cap) => Some((record, *cap)),
            None if record.older.is_empty() && record.condemned.is_empty() => None,
            None => Some((record, None)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn a_connection_that_left_is_shown_while_something_is_to_be_revoked() {
        let (retiring, steady) = (fixture::rotated(), fixture::empty());
        let none = BTreeMap::new();
        assert_eq!(shown([&retiring].into_iter(), &none), [(&retiring, None)]);
        assert_eq!(shown([&steady].into_iter(), &none), []);
        let caps = BTreeMap::from([(&steady.key, Some(2))]);
        assert_eq!(shown([&steady].into_iter(), &caps), [(&steady, Some(2))]);
    }
}
