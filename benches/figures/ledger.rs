//! The SQLite ledger: durable writes a second, and what one look at it costs as it grows.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::TimeDelta;
use scimitar::{
    clock::SystemEntropy,
    ledger::{Claim, Claimed, Entry, Ledger, sqlite::SqliteLedger},
    rotation::record::Record,
    token::ConnectionKey,
};
use tokio::{runtime::Runtime, task::JoinSet};

use super::{
    figure::{Book, now},
    meter::milliseconds,
    rate::per_second,
    sample::Sample,
    scene::scratch,
};

/// Long enough for every bench.
const LEASE: Duration = Duration::from_secs(3600);

/// In memory, so that filling a ledger is not a matter of the disk; the tables are the same.
const MEMORY: &str = "/dev/shm";

pub(crate) fn run(runtime: &Runtime, book: &mut Book, large: bool) -> anyhow::Result<()> {
    let folder = scratch()?;
    writes(runtime, book, folder.path())?;
    reads(runtime, book, &[1, 1_000])?;
    if large { reads(runtime, book, &[10_000, 100_000]) } else { Ok(()) }
}

fn writes(runtime: &Runtime, book: &mut Book, folder: &Path) -> anyhow::Result<()> {
    let ledger = Arc::new(SqliteLedger::open(&folder.join("ledger.db"), &SystemEntropy)?);
    let sample = Sample::steady(1)?;
    let entry = entry(&sample);
    let claim = runtime.block_on(claimed(&*ledger, &sample.record.key))?;
    let mut version = 0;
    let samples = per_second(|| {
        version = runtime.block_on(ledger.store(&claim, version, &sample.record, &entry))?;
        anyhow::Ok(())
    })?;
    book.note("ledger", "durable stores, one after another", "stores/s", samples)?;
    side_by_side(runtime, book, &ledger)?;
    // Each ends at another moment than the one before: what changes nothing is not written.
    let mut lease = LEASE;
    let samples = per_second(|| {
        lease += Duration::from_secs(1);
        runtime.block_on(ledger.renew(&claim, lease))
    })?;
    book.note("ledger", "renewals of a claim", "renewals/s", samples)?;
    runtime.block_on(ledger.release(&claim))?;
    let samples = per_second(|| {
        runtime.block_on(async {
            let claim = claimed(&*ledger, &sample.record.key).await?;
            anyhow::Ok(ledger.release(&claim).await?)
        })
    })?;
    book.note("ledger", "claim and give back", "claims/s", samples)
}

/// As many at once as workers of a tenant.
fn side_by_side(
    runtime: &Runtime,
    book: &mut Book,
    ledger: &Arc<SqliteLedger>,
) -> anyhow::Result<()> {
    const WORKERS: usize = 16;
    let mut workers = Vec::new();
    for number in 2..2 + WORKERS {
        let sample = Sample::steady(number)?;
        let claim = runtime.block_on(claimed(&**ledger, &sample.record.key))?;
        workers.push((claim, sample, 0));
    }
    let samples = per_second(|| {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (claim, sample, version) in workers.drain(..) {
                let ledger = Arc::clone(ledger);
                tasks.spawn(async move {
                    let entry = entry(&sample);
                    let stored = ledger.store(&claim, version, &sample.record, &entry).await;
                    anyhow::Ok((claim, sample, stored?))
                });
            }
            while let Some(done) = tasks.join_next().await {
                workers.push(done??);
            }
            anyhow::Ok(())
        })
    })?;
    let samples: Vec<f64> = samples.into_iter().map(|rounds| rounds * WORKERS as f64).collect();
    book.note("ledger", "durable stores, 16 side by side", "stores/s", samples)?;
    for (claim, ..) in &workers {
        runtime.block_on(ledger.release(claim))?;
    }
    Ok(())
}

/// What the engine asks of the whole table, by its size.
fn reads(runtime: &Runtime, book: &mut Book, sizes: &[usize]) -> anyhow::Result<()> {
    for size in sizes {
        let folder = tempfile::Builder::new().prefix("scimitar-bench-").tempdir_in(MEMORY)?;
        let path = folder.path().join("ledger.db");
        let began = now();
        runtime.block_on(fill(&path, *size, |_| {}))?;
        let took = milliseconds(began.elapsed());
        if *size > 1 {
            let name = format!("filling {size} records without a disk");
            book.note("ledger", &name, "ms", vec![took])?;
        }
        let ledger = SqliteLedger::open(&path, &SystemEntropy)?;
        let sample = Sample::steady(size / 2 + 1)?;
        let key = &sample.record.key;
        let samples = per_second(|| runtime.block_on(ledger.load(key)).map(drop))?;
        book.note("ledger", &format!("load one of {size}"), "loads/s", samples)?;
        let soon = sample.now;
        let samples = per_second(|| runtime.block_on(ledger.due(soon, 16)).map(drop))?;
        book.note("ledger", &format!("due, none of {size}"), "calls/s", samples)?;
        let later = sample.now + TimeDelta::days(1);
        let samples = per_second(|| runtime.block_on(ledger.due(later, 16)).map(drop))?;
        book.note("ledger", &format!("due, all of {size}"), "calls/s", samples)?;
        let samples = per_second(|| {
            runtime.block_on(ledger.losses(&key.tenant, chrono::DateTime::UNIX_EPOCH)).map(drop)
        })?;
        book.note("ledger", &format!("losses among {size}"), "calls/s", samples)?;
        let samples = per_second(|| runtime.block_on(ledger.all()).map(drop))?;
        book.note("ledger", &format!("read all {size}"), "calls/s", samples)?;
    }
    Ok(())
}

/// Makes a ledger with so many steady records, each changed by `change`.
pub(crate) async fn fill(
    path: &Path,
    size: usize,
    change: impl Fn(&mut Record),
) -> anyhow::Result<()> {
    let ledger = SqliteLedger::open(path, &SystemEntropy)?;
    for number in 1..=size {
        let mut sample = Sample::steady(number)?;
        change(&mut sample.record);
        let claim = claimed(&ledger, &sample.record.key).await?;
        ledger.store(&claim, 0, &sample.record, &entry(&sample)).await?;
        ledger.release(&claim).await?;
    }
    Ok(())
}

async fn claimed(ledger: &dyn Ledger, key: &ConnectionKey) -> anyhow::Result<Claim> {
    match ledger.claim(key, LEASE).await? {
        Claimed::Yes(claim, _) => Ok(claim),
        Claimed::Held(left) => anyhow::bail!("{key} is claimed for another {left:?}"),
    }
}

fn entry(sample: &Sample) -> Entry {
    Entry {
        at: sample.now,
        event: "rested".to_owned(),
        words: "nothing is due before 2026-12-02T04:00:00Z: the token expires at \
                2026-12-12T04:00:00Z, with less than rotate_before (33%) left"
            .to_owned(),
    }
}
