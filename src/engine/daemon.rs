//! The daemon: which connection next.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use chrono::TimeDelta;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    report::Report,
    worker::{Ask, Connection, Engine, Patience},
};
use crate::{clock::Timestamp, rotation::why::Reason, token::ConnectionKey};

/// The longest sleep: other processes on the same ledger may change what is due.
const LONGEST_SLEEP: TimeDelta = TimeDelta::seconds(30);

/// How soon a connection is asked for again that another process acts on.
const CLAIMED_ELSEWHERE: TimeDelta = TimeDelta::seconds(10);

/// Attends to every connection once, then to each when its time comes, at most `limit` at a time,
/// until `stop`; then waits until every step in hand is finished or parked.
pub async fn run(
    engine: Engine,
    connections: Vec<Connection>,
    limit: NonZeroUsize,
    stop: CancellationToken,
) {
    let mut daemon = Daemon {
        wake: connections
            .iter()
            .map(|connection| (connection.policy.key.clone(), Timestamp::UNIX_EPOCH))
            .collect(),
        connections: connections
            .into_iter()
            .map(|connection| (connection.policy.key.clone(), Arc::new(connection)))
            .collect(),
        engine,
        running: JoinSet::new(),
        stop,
    };
    let mut last = Timestamp::UNIX_EPOCH;
    while !daemon.stop.is_cancelled() {
        let now = daemon.engine.clock.now();
        if now + SET_BACK < last {
            // Every moment noted before would come that much too late.
            tracing::warn!(back = %(last - now), "the host's clock was set back: every connection is looked at again");
            daemon.wake.values_mut().for_each(|at| *at = now);
        }
        last = now;
        daemon.note_ledger(limit).await;
        daemon.start_due(limit);
        daemon.wait(limit).await;
    }
    while let Some(ended) = daemon.running.join_next().await {
        daemon.ended(ended);
    }
}

/// A clock set back by more than this is not mere discipline.
const SET_BACK: TimeDelta = TimeDelta::seconds(60);

struct Daemon {
    engine: Engine,
    connections: BTreeMap<ConnectionKey, Arc<Connection>>,
    /// When each connection that nothing is done for now is to be attended to.
    wake: BTreeMap<ConnectionKey, Timestamp>,
    running: JoinSet<(ConnectionKey, Report)>,
    stop: CancellationToken,
}

impl Daemon {
    /// What the ledger says is due: another process may have written it.
    async fn note_ledger(&mut self, limit: NonZeroUsize) {
        let now = self.engine.clock.now();
        match self.engine.ledger.due(now, limit.get()).await {
            Ok(due) => {
                for key in due {
                    if let Some(at) = self.wake.get_mut(&key) {
                        *at = (*at).min(now);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "the ledger could not be asked what is due")
            }
        }
    }

    fn start_due(&mut self, limit: NonZeroUsize) {
        let now = self.engine.clock.now();
        while self.running.len() < limit.get() {
            let due = self.wake.iter().filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at);
            let Some(key) = due.map(|(key, _)| key.clone()) else { return };
            self.wake.remove(&key);
            let Some(connection) = self.connections.get(&key).cloned() else { continue };
            let (engine, stop) = (self.engine.clone(), self.stop.clone());
            self.running.spawn(async move {
                let patience = Patience { wait: false, until: None, stop };
                let report = engine.attend(&connection, &Ask::Due, &patience).await;
                (key, report)
            });
        }
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self, limit: NonZeroUsize) {
        let now = self.engine.clock.now();
        let full = self.running.len() >= limit.get();
        let next = self.wake.values().filter(|_| !full).min().copied();
        let until = next.map_or(now + LONGEST_SLEEP, |at| at.min(now + LONGEST_SLEEP));
        let clock = self.engine.clock.clone();
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(ended) = self.running.join_next(), if !self.running.is_empty() => self.ended(ended),
            () = clock.sleep_until(until) => {}
        }
    }

    fn ended(&mut self, ended: Result<(ConnectionKey, Report), tokio::task::JoinError>) {
        let now = self.engine.clock.now();
        match ended {
            Ok((key, report)) => {
                let name =
                    self.connections.get(&key).map(|connection| connection.policy.name.to_string());
                tracing::info!(connection = name, outcome = ?report.outcome, why = report.why, "attended");
                let at = match (&report.record, report.reason) {
                    (_, Some(Reason::ClaimedElsewhere)) => now + CLAIMED_ELSEWHERE,
                    (Some(record), _) => record.wake_at.unwrap_or(now + LONGEST_SLEEP),
                    (None, _) => now + LONGEST_SLEEP,
                };
                // Whatever goes wrong, one connection never takes all of the time.
                self.wake.insert(key, at.max(now + TimeDelta::seconds(1)));
            }
            Err(error) => {
                // A panic is a defect; the connection is attended to again all the same.
                tracing::error!(error = %error, "the work on a connection ended by a defect");
                for key in self.connections.keys() {
                    self.wake.entry(key.clone()).or_insert(now + LONGEST_SLEEP);
                }
            }
        }
    }
}
