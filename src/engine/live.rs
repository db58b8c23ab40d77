//! What the daemon is doing now, for those who look at it from outside: pages, probes, metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::worker::Connection;
use crate::{clock::Timestamp, hook::Hooks, rotation::watch::Watch};

/// What can keep the daemon as a whole from its work. One connection's trouble is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It has not come to the point where it attends to connections.
    Starting,
    /// The ledger cannot be read or written.
    Ledger,
    /// It was asked to end.
    Stopping,
}

/// An obstacle that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Which.
    pub obstacle: Obstacle,
    /// Since when.
    pub since: Timestamp,
    /// In words, with the way out.
    pub words: String,
}

/// The watched tokens of a configuration, and who is told of them.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// In the order of the files.
    pub tokens: Arc<[Watch]>,
    /// All hooks.
    pub hooks: Arc<Hooks>,
}

/// Which configuration is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// When it was read.
    pub read_at: Timestamp,
    /// When one that was read since was rejected, and why.
    pub rejected: Option<(Timestamp, String)>,
}

/// The daemon as seen from outside. Written by the scheduler and at reloads; whoever reads it sees the
/// moment.
#[derive(Debug)]
pub struct Live {
    started: Timestamp,
    state: Mutex<State>,
    watched: watch::Sender<Watched>,
}

#[derive(Debug)]
struct State {
    connections: Arc<[Arc<Connection>]>,
    beat: Timestamp,
    obstacles: BTreeMap<Obstacle, (Timestamp, String)>,
    configuration: Configuration,
}

impl Live {
    /// A daemon that starts `now` with these connections, in the order of the files.
    #[must_use]
    pub fn starting(connections: Vec<Arc<Connection>>, now: Timestamp) -> Self {
        let starting = (now, "it is starting".to_owned());
        Self {
            started: now,
            state: Mutex::new(State {
                connections: connections.into(),
                beat: now,
                obstacles: BTreeMap::from([(Obstacle::Starting, starting)]),
                configuration: Configuration { read_at: now, rejected: None },
            }),
            watched: watch::Sender::new(Watched::default()),
        }
    }

    /// When it started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The connections that it attends to, in the order of the files.
    #[must_use]
    pub fn connections(&self) -> Arc<[Arc<Connection>]> {
        Arc::clone(&self.lock().connections)
    }

    /// The watched tokens, in the order of the files.
    #[must_use]
    pub fn watched(&self) -> Arc<[Watch]> {
        Arc::clone(&self.watched.borrow().tokens)
    }

    /// They, and who is told of them, whenever that changes.
    pub(super) fn watched_changes(&self) -> watch::Receiver<Watched> {
        self.watched.subscribe()
    }

    /// These tokens are watched from now on.
    pub fn set_watched(&self, watched: Watched) {
        self.watched.send_replace(watched);
    }

    /// Which configuration is in force, and whether a later one was rejected.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.lock().configuration.clone()
    }

    /// A configuration was read: it is in force, or rejected with these words.
    pub fn reloaded(&self, now: Timestamp, outcome: Result<(), String>) {
        let configuration = &mut self.lock().configuration;
        match outcome {
            Ok(()) => *configuration = Configuration { read_at: now, rejected: None },
            Err(words) => configuration.rejected = Some((now, words)),
        }
    }

    /// When the scheduler last went round. It does so at least once a minute.
    #[must_use]
    pub fn beat(&self) -> Timestamp {
        self.lock().beat
    }

    /// Why it is not ready; empty when it is.
    #[must_use]
    pub fn obstacles(&self) -> Vec<Reason> {
        let state = self.lock();
        let obstacles = state.obstacles.iter();
        obstacles
            .map(|(obstacle, (since, words))| Reason {
                obstacle: *obstacle,
                since: *since,
                words: words.clone(),
            })
            .collect()
    }

    /// The scheduler went round.
    pub fn note_beat(&self, now: Timestamp) {
        self.lock().beat = now;
    }

    /// Other connections are attended to from now on.
    pub fn set_connections(&self, connections: Vec<Arc<Connection>>) {
        self.lock().connections = connections.into();
    }

    /// Something is in the way. Says whether it was not before.
    pub fn blocked(&self, obstacle: Obstacle, now: Timestamp, words: &str) -> bool {
        let mut state = self.lock();
        let before = state.obstacles.get(&obstacle).map(|(since, _)| *since);
        state.obstacles.insert(obstacle, (before.unwrap_or(now), words.to_owned()));
        before.is_none()
    }

    /// It is not in the way any more; since when it was, if it was.
    pub fn cleared(&self, obstacle: Obstacle) -> Option<Timestamp> {
        self.lock().obstacles.remove(&obstacle).map(|(since, _)| since)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    #[test]
    fn an_obstacle_is_there_since_it_was_first_met() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let later = now + chrono::TimeDelta::minutes(1);
        let live = Live::starting(Vec::new(), now);
        assert_eq!(live.cleared(Obstacle::Starting), Some(now));
        assert_eq!(live.obstacles(), []);
        assert!(live.blocked(Obstacle::Ledger, now, "locked"));
        assert!(!live.blocked(Obstacle::Ledger, later, "full"));
        let words = "full".to_owned();
        assert_eq!(live.obstacles(), [Reason { obstacle: Obstacle::Ledger, since: now, words }]);
        assert_eq!(live.cleared(Obstacle::Ledger), Some(now));
        assert_eq!(live.cleared(Obstacle::Ledger), None);
        live.reloaded(later, Err("2 errors".to_owned()));
        let rejected = Some((later, "2 errors".to_owned()));
        assert_eq!(live.configuration(), Configuration { read_at: now, rejected });
        live.reloaded(later, Ok(()));
        assert_eq!(live.configuration(), Configuration { read_at: later, rejected: None });
        live.note_beat(later);
        assert_eq!((live.started(), live.beat()), (now, later));
    }
}
