//! What systemd is told, where it listens: ready, reloading, stopping, alive, and in words what is
//! done ([sd_notify(3)]). Without it nothing is said.
//!
//! [sd_notify(3)]: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use chrono::TimeDelta;
use sd_notify::NotifyState;

use crate::{
    clock::Timestamp,
    engine::pulse::{Doing, Pulse},
    words::date,
};

/// The scheduler goes round at least this often, supervised or not.
const EVERY: Duration = Duration::from_secs(60);

/// An unchanged message is not repeated sooner: thousands of connections make many rounds.
const AGAIN: TimeDelta = TimeDelta::seconds(1);

/// systemd, or whoever else listens at `$NOTIFY_SOCKET`.
#[derive(Debug)]
pub(super) struct Supervisor {
    every: Duration,
    said: Mutex<Said>,
    /// Who tells it; `None` where nobody listens.
    teller: Option<Teller>,
}

/// A thread that tells the supervisor, in the order in which things were said: its socket takes no more
/// than a few messages that nobody reads, and then keeps whoever writes to it waiting.
#[derive(Debug)]
struct Teller {
    said: Sender<String>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Said {
    ready: bool,
    status: String,
    at: Option<Timestamp>,
    /// What became of the last reload, if it is still worth a word.
    reload: Option<String>,
}

impl Supervisor {
    pub(super) fn of_this_process() -> Self {
        // Twice within the time that it allows, at the least.
        let watchdog = sd_notify::watchdog_enabled().map(|allowed| allowed / 2);
        let every = watchdog.map_or(EVERY, |half| half.min(EVERY));
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { every, said: Mutex::default(), teller: listens.then(Teller::start).flatten() }
    }

    /// A supervisor that cannot be told is no reason to stop, nor to wait for it. `false`: it was not told,
    /// which happens to no word that it waits for.
    fn tell(&self, states: &[NotifyState<'_>]) -> bool {
        let Some(teller) = &self.teller else { return true };
        let awaited = states.iter().any(|state| {
            matches!(state, NotifyState::Ready | NotifyState::Reloading | NotifyState::Stopping)
        });
        if !awaited && teller.waiting.load(Ordering::Relaxed) >= WAITING {
            tracing::debug!(
                "the supervisor's notify socket is unreachable; the status was not sent"
            );
            return false;
        }
        let mut message = String::new();
        for state in states {
            // A text takes everything.
            let _ = writeln!(message, "{state}");
        }
        teller.waiting.fetch_add(1, Ordering::Relaxed);
        teller.said.send(message).is_ok()
    }

    /// The configuration is being read anew.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        };
    }

    /// It was read; `mistake` says why the one before stays in force.
    pub(super) fn reloaded(&self, mistake: Option<String>) {
        let mut said = self.lock();
        said.reload = mistake;
        // The next round says it; until then the old words stand.
        said.at = None;
        self.tell(&[NotifyState::Ready]);
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        // Nothing in here can panic half done.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse for Supervisor {
    fn every(&self) -> Duration {
        self.every
    }

    fn beat(&self, doing: &Doing, now: Timestamp) {
        let mut said = self.lock();
        if !doing.stopping && said.at.is_some_and(|at| (now - at).abs() < AGAIN) {
            return;
        }
        said.at = Some(now);
        let status = status(doing, said.reload.as_deref());
        let mut states = vec![NotifyState::Watchdog];
        if doing.stopping {
            states.push(NotifyState::Stopping);
        } else if !said.ready {
            said.ready = true;
            states.push(NotifyState::Ready);
        }
        if status != said.status {
            states.push(NotifyState::Status(&status));
        }
        if self.tell(&states) {
            said.status = status;
        }
    }
}

/// In one line: `systemctl status` shows it.
fn status(doing: &Doing, reload: Option<&str>) -> String {
    let in_progress = |count| match count {
        0 => String::new(),
        count => format!(", {count} in progress"),
    };
    if doing.stopping {
        return format!("stopping{}", in_progress(doing.running));
    }
    let connections = match doing.connections {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    let troubled = match doing.troubled {
        0 => String::new(),
        1 => ", 1 with problems (see scimitar status)".to_owned(),
        count => format!(", {count} with problems (see scimitar status)"),
    };
    let next = doing
        .next
        .as_ref()
        .map_or_else(String::new, |(at, name)| format!("; next rotation: {name} at {}", date(*at)));
    let standstill = doing.standstill.as_ref().map_or_else(String::new, |words| {
        format!("{words}; nothing starts until the ledger is back; ")
    });
    let reload = reload.map_or_else(String::new, |words| format!("{words}; "));
    // A status is one line of its own.
    format!("{standstill}{reload}{connections}{}{troubled}{next}", in_progress(doing.running))
        .replace('\n', " ")
}

/// So many messages wait for a supervisor that does not listen; signs of life that come then are not given.
const WAITING: usize = 16;

impl Teller {
    fn start() -> Option<Self> {
        let (said, heard) = channel::<String>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let tell = move || {
            for message in heard {
                if let Err(error) = sd_notify::notify(&[NotifyState::Custom(message.trim_end())]) {
                    tracing::debug!(error = %error, "the supervisor could not be told");
                }
                left.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let started = thread::Builder::new().name("supervisor".to_owned()).spawn(tell);
        started.is_ok().then_some(Self { said, waiting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, token::ConnectionName};

    #[test]
    fn the_status_says_what_is_next_and_what_is_wrong() {
        let at = parse_timestamp("2026-12-12T04:00:00Z").unwrap();
        let name = ConnectionName::try_new("initech-okta").unwrap();
        let mut doing = Doing {
            connections: 3,
            running: 0,
            troubled: 0,
            next: Some((at, name)),
            standstill: None,
            stopping: false,
        };
        assert_eq!(
            status(&doing, None),
            "3 connections; next rotation: initech-okta at 2026-12-12 04:00 UTC"
        );
        (doing.running, doing.troubled, doing.connections) = (1, 2, 1);
        assert_eq!(
            status(&doing, Some("the last reload failed: 1 mistake in a.toml")),
            "the last reload failed: 1 mistake in a.toml; 1 connection, 1 in progress, 2 with problems \
             (see scimitar status); next rotation: initech-okta at 2026-12-12 04:00 UTC"
        );
        doing.standstill = Some("the ledger is\nlocked".to_owned());
        let words = status(&doing, None);
        assert!(
            words.starts_with(
                "the ledger is locked; nothing starts until the ledger is back; 1 conn"
            )
        );
        doing.stopping = true;
        assert_eq!(status(&doing, None), "stopping, 1 in progress");
    }
}
