//! One scrape: what was counted in this process, and what the ledger says at this moment.

use std::borrow::Borrow;

use super::{
    pages,
    worker::{Connection, Engine},
};
use crate::{
    ledger::{Ledger, LedgerError, Stored},
    rotation::watch::Watch,
    telemetry::metrics::{Reader, Scrape},
    token::ConnectionKey,
};

/// How many records are read once more at once; the next ones are on their way while these are shown.
const AT_ONCE: usize = 250;

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

/// All series in Prometheus' text format, for `/metrics`: in pieces, one behind the other.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn text<C: Borrow<Connection>>(
    engine: &Engine,
    connections: &[C],
    watches: &[Watch],
) -> Result<Vec<String>, ScrapeError> {
    of_engine(Reader::Prometheus, engine, connections, watches).await
}

/// The same for `[metrics] textfile`: without what node_exporter says of itself, and what is not
/// true of a one-shot.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn textfile<C: Borrow<Connection>>(
    engine: &Engine,
    connections: &[C],
    watches: &[Watch],
) -> Result<Vec<String>, ScrapeError> {
    of_engine(Reader::NodeExporter, engine, connections, watches).await
}

/// Shows the scrape the ledger's records, a page at a time, and gives its text.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn of_ledger(
    mut scrape: Scrape<'_>,
    ledger: &dyn Ledger,
) -> Result<Vec<String>, ScrapeError> {
    pages::each(ledger, |record| scrape.add(&record)).await?;
    let wanted = scrape.wanted();
    let wanted: Vec<&ConnectionKey> = wanted.iter().collect();
    let mut chunks = wanted.chunks(AT_ONCE);
    let mut read = load(ledger, chunks.next()).await?;
    while !read.is_empty() {
        let shown = async {
            read.into_iter().flatten().for_each(|stored| scrape.add_wanted(&stored.record));
            tokio::task::yield_now().await;
        };
        let (next, ()) = tokio::join!(load(ledger, chunks.next()), shown);
        read = next?;
    }
    Ok(scrape.finish()?)
}

async fn load(
    ledger: &dyn Ledger,
    keys: Option<&[&ConnectionKey]>,
) -> Result<Vec<Option<Stored>>, LedgerError> {
    match keys {
        Some(keys) => ledger.load_many(keys).await,
        None => Ok(Vec::new()),
    }
}

async fn of_engine<C: Borrow<Connection>>(
    reader: Reader,
    engine: &Engine,
    connections: &[C],
    watches: &[Watch],
) -> Result<Vec<String>, ScrapeError> {
    let policies = connections.iter().map(|connection| connection.borrow().policy.as_ref());
    let mut scrape = Scrape::new(&engine.metrics, policies, reader, engine.clock.now());
    scrape.add_watched(watches);
    of_ledger(scrape, engine.ledger.as_ref()).await
}
