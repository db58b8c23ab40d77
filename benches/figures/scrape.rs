//! What a scrape costs by the number of connections: time, memory beside the ledger, and how much
//! text it is.

use std::fs;

use scimitar::{
    clock::SystemEntropy,
    engine::scrape,
    ledger::{Ledger, sqlite::SqliteLedger},
    rotation::policy::Policy,
    telemetry::metrics::{Metrics, Reader, Scrape},
};
use tokio::runtime::Runtime;

use super::{
    figure::{Book, now},
    ledger,
    meter::milliseconds,
    resident::resident,
    sample::Sample,
};

/// How often each is done.
const ROUNDS: usize = 5;

pub(crate) fn run(runtime: &Runtime, book: &mut Book, large: bool) -> anyhow::Result<()> {
    of(runtime, book, 1_000, 1_000)?;
    if large {
        of(runtime, book, 10_000, 10_000)?;
        for limit in [0, 10_000, 100_000] {
            of(runtime, book, 100_000, limit)?;
        }
    }
    Ok(())
}

/// So many connections, of which at most `limit` have series of their own.
fn of(runtime: &Runtime, book: &mut Book, size: usize, limit: usize) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("scimitar-bench-").tempdir_in("/dev/shm")?;
    let path = folder.path().join("ledger.db");
    runtime.block_on(ledger::fill(&path, size, |_| {}))?;
    let ledger = SqliteLedger::open(&path, &SystemEntropy)?;
    let metrics = Metrics::try_new()?;
    metrics.set_per_connection_limit(limit);
    let at = Sample::steady(1)?.now;
    let policies: Vec<Policy> = (1..=size)
        .map(|number| Sample::steady(number).map(|sample| sample.policy))
        .collect::<anyhow::Result<_>>()?;
    let mut times = Vec::new();
    let mut peaks = Vec::new();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        // From here on the kernel notes a new peak.
        fs::write("/proc/self/clear_refs", "5")?;
        let (before, _) = resident(std::process::id())?;
        let began = now();
        let scrape = Scrape::new(&metrics, policies.iter(), Reader::Prometheus, at);
        let ledger: &dyn Ledger = &ledger;
        let text = runtime.block_on(scrape::of_ledger(scrape, ledger))?;
        times.push(milliseconds(began.elapsed()));
        let (_, peak) = resident(std::process::id())?;
        peaks.push((peak - before).max(0.0));
        bytes = text.iter().map(String::len).sum();
    }
    let name = format!("{size} connections, {limit} with series of their own");
    if (size, limit) == (100_000, 10_000) {
        book.note("scrape", &format!("{name}: time"), "ms", (times, 300.0))?;
        book.note("scrape", &format!("{name}: memory meanwhile"), "MiB", (peaks, 40.0))?;
    } else {
        book.note("scrape", &format!("{name}: time"), "ms", times)?;
        book.note("scrape", &format!("{name}: memory meanwhile"), "MiB", peaks)?;
    }
    book.note("scrape", &format!("{name}: text"), "KiB", vec![bytes as f64 / 1024.0])
}
