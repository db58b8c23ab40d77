//! The daemon: which connection next.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use chrono::TimeDelta;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    live::{Live, Obstacle},
    report::Report,
    worker::{Ask, Connection, Engine, Patience},
};
use crate::{clock::Timestamp, rotation::why::Reason, token::ConnectionKey};

/// The longest sleep: other processes on the same ledger may change what is due.
const LONGEST_SLEEP: TimeDelta = TimeDelta::seconds(30);

/// How often the ledger is asked what is due, at most.
const ASK_LEDGER: TimeDelta = TimeDelta::seconds(1);

/// How soon a connection is asked for again that another process acts on.
const CLAIMED_ELSEWHERE: TimeDelta = TimeDelta::seconds(10);

/// Attends to every connection once, then to each when its time comes, at most `limit` at a time,
/// until `stop`; then waits until every step in hand is finished or parked.
pub async fn run(engine: Engine, live: Arc<Live>, limit: NonZeroUsize, stop: CancellationToken) {
    let mut daemon = Daemon {
        agenda: Agenda::default(),
        connections: live
            .connections()
            .iter()
            .map(|connection| (connection.policy.key.clone(), Arc::clone(connection)))
            .collect(),
        engine,
        running: JoinSet::new(),
        stop,
        ledger_asked: None,
    };
    let mut last = Timestamp::UNIX_EPOCH;
    for key in daemon.connections.keys() {
        daemon.agenda.set(key.clone(), Timestamp::UNIX_EPOCH);
    }
    live.cleared(Obstacle::Starting);
    while !daemon.stop.is_cancelled() {
        let now = daemon.engine.clock.now();
        if now + SET_BACK < last {
            // Every moment noted before would come that much too late.
            tracing::warn!(
                duration_ms = (last - now).num_milliseconds(),
                "the host's clock was set back: every connection is looked at again"
            );
            daemon.agenda.all_at(now);
        }
        last = now;
        live.note_beat(now);
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
    agenda: Agenda,
    /// When the ledger was last asked what is due.
    ledger_asked: Option<Timestamp>,
    running: JoinSet<(ConnectionKey, Report)>,
    stop: CancellationToken,
}

/// When each connection that nothing is done for now is to be attended to.
#[derive(Debug, Default)]
struct Agenda {
    wake: BTreeMap<ConnectionKey, Timestamp>,
    /// The same, soonest first: with very many connections nothing may look at all of them.
    queue: BTreeSet<(Timestamp, ConnectionKey)>,
}

impl Agenda {
    fn set(&mut self, key: ConnectionKey, at: Timestamp) {
        if let Some(before) = self.wake.insert(key.clone(), at) {
            self.queue.remove(&(before, key.clone()));
        }
        self.queue.insert((at, key));
    }

    fn all_at(&mut self, at: Timestamp) {
        let keys: Vec<ConnectionKey> = self.wake.keys().cloned().collect();
        for key in keys {
            self.set(key, at);
        }
    }

    fn get(&self, key: &ConnectionKey) -> Option<Timestamp> {
        self.wake.get(key).copied()
    }

    /// When the soonest is.
    fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the soonest out, if its time has come.
    fn pop(&mut self, now: Timestamp) -> Option<ConnectionKey> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        self.wake.remove(&key);
        Some(key)
    }
}

impl Daemon {
    /// What the ledger says is due: another process may have written it.
    async fn note_ledger(&mut self, limit: NonZeroUsize) {
        let now = self.engine.clock.now();
        // The answer costs as much as there is due: not after each of thousands of connections.
        if self.ledger_asked.is_some_and(|asked| (now - asked).abs() < ASK_LEDGER) {
            return;
        }
        self.ledger_asked = Some(now);
        match self.engine.ledger.due(now, limit.get()).await {
            Ok(due) => {
                for key in due {
                    if self.agenda.get(&key).is_some_and(|at| at > now) {
                        self.agenda.set(key, now);
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
            let Some(key) = self.agenda.pop(now) else { return };
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
        let next = self.agenda.next().filter(|_| !full);
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
                let outcome = report.outcome.as_str();
                tracing::debug!(connection = name, outcome, why = report.why, "attended");
                let at = match (&report.record, report.reason) {
                    (_, Some(Reason::ClaimedElsewhere)) => now + CLAIMED_ELSEWHERE,
                    (Some(record), _) => record.wake_at.unwrap_or(now + LONGEST_SLEEP),
                    (None, _) => now + LONGEST_SLEEP,
                };
                // Whatever goes wrong, one connection never takes all of the time.
                self.agenda.set(key, at.max(now + TimeDelta::seconds(1)));
            }
            Err(error) => {
                // A panic is a defect; the connection is attended to again all the same.
                tracing::error!(error = %error, "the work on a connection ended by a defect");
                for key in self.connections.keys() {
                    if self.agenda.get(key).is_none() {
                        self.agenda.set(key.clone(), now + LONGEST_SLEEP);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, rotation::fixture};

    #[test]
    fn the_agenda_gives_each_connection_once_and_the_soonest_first() {
        let key = |id: &str| {
            let mut key = fixture::empty().key;
            key.connection = crate::token::ConnectionId::try_new(id).unwrap();
            key
        };
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let second = TimeDelta::seconds(1);
        let mut agenda = Agenda::default();
        agenda.set(key("a"), now - second);
        agenda.set(key("b"), now + second);
        agenda.set(key("c"), now);
        // Another time replaces the one before.
        agenda.set(key("a"), now + second * 2);
        assert_eq!(agenda.get(&key("a")), Some(now + second * 2));
        assert_eq!(agenda.next(), Some(now));
        assert_eq!(agenda.pop(now), Some(key("c")));
        assert_eq!(agenda.pop(now), None);
        assert_eq!(agenda.get(&key("c")), None);
        assert_eq!(agenda.pop(now + second * 2), Some(key("b")));
        assert_eq!(agenda.pop(now + second * 2), Some(key("a")));
        assert_eq!(agenda.next(), None);
    }
}
