//! `--rotate-now` and `--once`: many connections side by side, one row each.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use tokio::task::JoinSet;

use super::{
    output::{Failure, FailureClass, Row},
    process::Stop,
};
use crate::{
    cli::OneShot,
    clock::Timestamp,
    engine::{
        pool::{Lane, Pool, Seat},
        progress::Progress,
        report::{Outcome, Report},
        scrape,
        worker::{Ask, Connection, Engine, Patience},
    },
    telemetry::textfile::{labelled, write_textfile},
    token::ConnectionName,
};

/// How alike two names must be for one to be offered for the other.
const ALIKE: f64 = 0.7;

/// How many names are listed where none is alike.
const FEW: usize = 5;

/// How long a one-shot that began at `since` may take.
#[must_use]
pub fn patience(shot: OneShot, since: Timestamp, stop: &Stop) -> Patience {
    Patience {
        wait: shot.wait,
        until: shot
            .timeout
            .and_then(|timeout| chrono::TimeDelta::from_std(timeout).ok())
            .and_then(|timeout| since.checked_add_signed(timeout)),
        stop: stop.token.clone(),
    }
}

/// Which of the configured connections were named: all of them when none was.
///
/// # Errors
/// When a name is not configured; nothing was done. All such names are reported at once.
pub fn select(
    configured: &BTreeSet<ConnectionName>,
    named: &[ConnectionName],
) -> Result<BTreeSet<ConnectionName>, Failure> {
    if named.is_empty() {
        return Ok(configured.clone());
    }
    let unknown: Vec<String> = named
        .iter()
        .filter(|name| !configured.contains(name))
        .map(|name| format!("no connection is named {name}{}", nearest(configured, name)))
        .collect();
    if unknown.is_empty() {
        Ok(named.iter().cloned().collect())
    } else {
        Err(Failure::new(FailureClass::Usage, unknown.join("; ")))
    }
}

/// Attends to all connections, at most `limit` of a provider tenant at a time. One's trouble stays
/// its own: whatever becomes of one, the others are carried on to the end. Rows come in the order
/// given.
pub async fn attend(
    engine: &Engine,
    connections: Vec<Connection>,
    limit: NonZeroUsize,
    ask: &Ask,
    patience: &Patience,
    progress: &Arc<dyn Progress>,
) -> Vec<Row> {
    let policies: Vec<_> =
        connections.iter().map(|connection| Arc::clone(&connection.policy)).collect();
    let reports =
        side_by_side(&engine.pool, connections, limit, Connection::lane, |connection, seat| {
            let (engine, ask, patience) = (engine.clone(), ask.clone(), patience.clone());
            let progress = Arc::clone(progress);
            async move {
                let report = match engine.not_begun(&connection, &patience).await {
                    Some(report) => report,
                    None => engine.attend_at(&seat, &connection, &ask, &patience).await,
                };
                progress.done(&connection.policy.name, report.outcome.as_str());
                report
            }
        })
        .await;
    policies
        .iter()
        .zip(reports)
        .map(|(policy, report)| {
            let report = report.unwrap_or_else(defect);
            Row::of(policy, &report, engine.clock.now())
        })
        .collect()
}

/// Does `work` for each item as far as the pool admits it, at most `limit` of a tenant at a time,
/// and gives back the results in the order of the items; `None` where the work panicked.
pub async fn side_by_side<T, R, F>(
    pool: &Pool,
    items: Vec<T>,
    limit: NonZeroUsize,
    lane: impl Fn(&T) -> Lane,
    work: impl Fn(T, Seat) -> F,
) -> Vec<Option<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut waiting: BTreeMap<Lane, VecDeque<(usize, T)>> = BTreeMap::new();
    for (place, item) in items.into_iter().enumerate() {
        waiting.entry(lane(&item)).or_default().push_back((place, item));
    }
    pool.share_out(limit, waiting.keys());
    let mut running = JoinSet::new();
    loop {
        // One of each lane after the other, until none may begin.
        let mut begun = true;
        while begun {
            begun = false;
            for (lane, queue) in &mut waiting {
                if !queue.is_empty()
                    && pool.admits(lane)
                    && let Some((place, item)) = queue.pop_front()
                {
                    let work = work(item, pool.open(lane));
                    if queue.is_empty() {
                        pool.done(lane);
                    }
                    running.spawn(async move { (place, work.await) });
                    begun = true;
                }
            }
        }
        let ended = tokio::select! {
            biased;
            ended = running.join_next() => ended,
            () = pool.changed() => continue,
        };
        let Some(ended) = ended else { return results };
        if let Ok((place, result)) = ended
            && let Some(slot) = results.get_mut(place)
        {
            *slot = Some(result);
        }
    }
}

/// Writes what is known at the end of a one-shot for node_exporter.
///
/// # If the answer is lost
/// The file holds the old text or the new one; the next run writes it anew.
///
/// # Errors
/// When the ledger cannot be read or the file cannot be written. The rotations are not touched
/// by that: it is for the caller to warn about.
pub async fn leave_metrics(
    engine: &Engine,
    connections: &[Connection],
    path: &Path,
    instance_name: &str,
    exit_status: u8,
) -> anyhow::Result<()> {
    let now = engine.clock.now();
    engine.metrics.last_run(now, exit_status);
    let text = scrape::textfile(engine, connections).await?;
    let text = labelled(&text, "instance_name", instance_name);
    let file = path.to_owned();
    let written = tokio::task::spawn_blocking(move || write_textfile(&file, &text)).await?;
    written.with_context(|| format!("write {}", path.display()))
}

/// The report of work that panicked. The record says how far it came, and the next run goes on.
fn defect() -> Report {
    let why = "the work on this connection ended by a defect in this program; the next run goes \
               on where it was";
    Report::new(Outcome::Failed, None, why, None)
}

/// ", did you mean …?", when something like it is configured.
fn nearest(configured: &BTreeSet<ConnectionName>, name: &ConnectionName) -> String {
    configured
        .iter()
        .map(|known| (strsim::jaro_winkler(known.as_str(), name.as_str()), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or_else(|| there_are(configured), |(_, known)| format!(", did you mean {known}?"))
}

/// The names to choose from: a few, and how many more.
fn there_are(configured: &BTreeSet<ConnectionName>) -> String {
    let few: Vec<&str> = configured.iter().take(FEW).map(ConnectionName::as_str).collect();
    if few.is_empty() {
        return ": the configuration has no connections".to_owned();
    }
    match configured.len().saturating_sub(few.len()) {
        0 => format!(": there are {}", few.join(", ")),
        more => format!(": there are {}, and {more} more", few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;
    use crate::{clock::parse_timestamp, commands::process::Interrupt, token::Tenant};

    fn names(names: &[&str]) -> Vec<ConnectionName> {
        names.iter().map(|name| ConnectionName::try_new(*name).unwrap()).collect()
    }

    #[test]
    fn naming_none_selects_all_and_a_wrong_name_does_nothing() {
        let all: BTreeSet<_> = names(&["initech-okta", "acme-entra"]).into_iter().collect();
        assert_eq!(select(&all, &[]).unwrap(), all);
        let one = select(&all, &names(&["acme-entra", "acme-entra"])).unwrap();
        assert_eq!(one.into_iter().collect::<Vec<_>>(), names(&["acme-entra"]));
        let failure = select(&all, &names(&["acme-entra", "initech-okte", "zzz"])).unwrap_err();
        assert_eq!(failure.class.exit_status(), 2);
        assert_eq!(
            failure.message,
            "no connection is named initech-okte, did you mean initech-okta?; \
             no connection is named zzz: there are acme-entra, initech-okta"
        );
        let many: BTreeSet<_> = names(&["a", "b", "c", "d", "e", "f", "g"]).into_iter().collect();
        let failure = select(&many, &names(&["zzz"])).unwrap_err();
        assert_eq!(
            failure.message,
            "no connection is named zzz: there are a, b, c, d, e, and 2 more"
        );
        let failure = select(&BTreeSet::new(), &names(&["zzz"])).unwrap_err();
        assert!(failure.message.ends_with("the configuration has no connections"));
    }

    #[test]
    fn patience_counts_from_the_beginning_and_ends_with_the_signal() {
        let since = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let stop = Stop::default();
        let mut shot =
            OneShot { wait: false, timeout: Some(Duration::from_secs(120)), dry_run: false };
        let two_minutes = patience(shot, since, &stop);
        assert_eq!(two_minutes.until, parse_timestamp("2026-11-22T04:02:00Z"));
        shot.timeout = None;
        shot.wait = true;
        let patience = patience(shot, since, &stop);
        assert!(patience.wait && patience.until.is_none());
        stop.note(Interrupt::Int);
        assert!(patience.stop.is_cancelled());
    }

    #[tokio::test]
    async fn work_is_side_by_side_within_the_limit_and_in_order() {
        let limit = NonZeroUsize::new(3).unwrap();
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let lane = |_: &u32| lane("acme.example");
        let pool = Pool::default();
        let results = side_by_side(&pool, (0..20).collect(), limit, lane, |number, seat| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let _seat = seat;
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..(20 - number) {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                assert_ne!(number, 7, "a defect in one");
                number
            }
        })
        .await;
        let wanted: Vec<_> = (0..20).map(|number| (number != 7).then_some(number)).collect();
        assert_eq!(results, wanted);
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    fn lane(tenant: &str) -> Lane {
        Lane::new(Tenant::try_new(tenant).unwrap(), [])
    }

    #[tokio::test]
    async fn a_tenant_whose_work_does_not_end_keeps_no_other_from_its_own() {
        let limit = NonZeroUsize::new(2).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(tokio::sync::Notify::new());
        let lane_of = |number: &usize| {
            lane(if number.is_multiple_of(2) { "hangs.example" } else { "acme.example" })
        };
        let pool = Pool::default();
        let results = side_by_side(&pool, (0..20).collect(), limit, lane_of, |number, seat| {
            let (done, all) = (Arc::clone(&done), Arc::clone(&all));
            async move {
                let _seat = seat;
                if number % 2 == 0 && done.load(Ordering::SeqCst) < 10 {
                    // Until the last one of the other tenant has ended.
                    all.notified().await;
                } else if number % 2 == 1 && done.fetch_add(1, Ordering::SeqCst) == 9 {
                    all.notify_waiters();
                }
                number
            }
        })
        .await;
        assert_eq!(results, (0..20).map(Some).collect::<Vec<_>>());
    }
}
