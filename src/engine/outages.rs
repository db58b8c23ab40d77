//! Services that are down, so that people are told of the service once, and not of each connection
//! that waits for it: when it goes down, ever less often while it stays down, and when it is back.
//!
//! Nothing here asks for the time or writes a line: both are the caller's. It holds a key for each
//! connection that waits, and nothing of those that do not.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;

use crate::{
    clock::{Timestamp, rfc3339},
    error::{Code, Fault},
    rotation::record::Record,
    token::{ConnectionKey, HookName, ProviderName, SinkName},
    words::short,
};

/// So long an outage, or its end, must last before it is told: many connections find out within
/// moments of each other, and one line is to count them.
const SETTLES: TimeDelta = TimeDelta::seconds(3);

/// A service that goes down again this soon is told of as if it had never been back.
const SAME: TimeDelta = TimeDelta::minutes(10);

/// When somebody is reminded of what goes on, counted from its beginning; then hourly for a day,
/// then daily.
const REMINDERS: [TimeDelta; 3] =
    [TimeDelta::minutes(1), TimeDelta::minutes(5), TimeDelta::minutes(30)];

/// When to remind of what began then.
pub(super) fn reminder(began: Timestamp, now: Timestamp) -> Timestamp {
    let lasts = now - began;
    if let Some(next) = REMINDERS.into_iter().find(|next| lasts < *next) {
        return began + next;
    }
    let every = if lasts < TimeDelta::days(1) { TimeDelta::hours(1) } else { TimeDelta::days(1) };
    let passed = i32::try_from(lasts.num_seconds() / every.num_seconds()).unwrap_or(i32::MAX - 1);
    began + every * (passed + 1)
}

/// What many connections depend on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// A sink.
    Sink(SinkName),
    /// A provider.
    Provider(ProviderName),
    /// A hook, which no rotation waits for.
    Hook(HookName),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink(name) => write!(f, "sink {name}"),
            Self::Provider(name) => write!(f, "provider {name}"),
            Self::Hook(name) => write!(f, "hook {name}"),
        }
    }
}

/// How a service is down; `None`: the fault is of one place or one connection, and the service
/// works.
fn state(code: Code) -> Option<&'static str> {
    match code {
        Code::Unreachable => Some("unreachable"),
        Code::Timeout => Some("not answering"),
        Code::Unavailable | Code::Io => Some("failing"),
        Code::Unauthorized => Some("rejects the login"),
        Code::Throttled => Some("throttled"),
        Code::NoSlot
        | Code::Forbidden
        | Code::NoConnection
        | Code::ScimNotConfigured
        | Code::ScimUnsupported
        | Code::Invalid
        | Code::Unreadable
        | Code::Changed
        | Code::ForeignOwner
        | Code::PlaceChanged
        | Code::ForeignContent
        | Code::ClaimLost => None,
    }
}

/// Whether a fault says that a service as a whole is down.
pub(super) fn is_down(fault: &Fault) -> bool {
    state(fault.code).is_some()
}

/// Whether a service has answered by what is on record of a connection that waited for it: somebody has looked
/// since it last failed here, at `failed`, and nothing of the outage is there. Not every failure is written
/// down, so that a record without one proves nothing by itself.
fn has_answered(service: &Service, record: &Record, failed: Timestamp) -> bool {
    let is_clear = |fault: &Fault| !is_down(fault);
    let looked = record.survey.as_ref().is_some_and(|survey| survey.at > failed);
    match service {
        Service::Sink(name) => {
            let mut own =
                record.sinks.values().filter(|sink| sink.place.sink == *name).flat_map(|sink| {
                    let client = sink.client.as_ref().and_then(|client| client.trouble.as_ref());
                    sink.troubles().chain(client)
                });
            // A token that could not be made because a sink would not take it: which one is not on record.
            let mut other = record.troubles.iter().filter(|(_, trouble)| trouble.of_sink);
            looked
                && own.all(|trouble| is_clear(&trouble.fault))
                && other.all(|(_, trouble)| is_clear(&trouble.fault))
        }
        Service::Provider(_) => {
            let look = record.troubles.look.as_ref();
            looked && look.is_none_or(|trouble| is_clear(&trouble.fault))
        }
        Service::Hook(name) => record.notices.hooks.get(name).is_none_or(|hook| {
            hook.last.as_ref().is_none_or(|last| last.fault.is_none())
                && hook.waiting.iter().all(|notice| notice.trouble.is_none())
        }),
    }
}

/// What people are told of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It is down, just now or still.
    Down {
        /// Which.
        service: Service,
        /// How.
        code: Code,
        /// What was answered, in words.
        detail: String,
        /// For how long; `None`: it has just been found.
        lasted: Option<TimeDelta>,
        /// How many connections wait for it.
        connections: usize,
        /// How often it was asked in vain.
        attempts: u64,
        /// When it is asked again, and how far that is.
        retry: Option<(Timestamp, TimeDelta)>,
    },
    /// It is back.
    Back {
        /// Which.
        service: Service,
        /// For how long it was down.
        lasted: TimeDelta,
        /// How many connections waited.
        connections: usize,
    },
}

impl Line {
    /// For people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Down { service, code, detail, lasted, connections, retry, .. } => {
                let state = state(*code).unwrap_or("failing");
                let lasted = lasted
                    .map(|lasted| format!(" for {}", short(lasted.to_std().unwrap_or_default())));
                let retry = retry.filter(|(_, left)| *left >= TimeDelta::seconds(1));
                let retry = retry
                    .map(|(_, left)| format!(" in {}", short(left.to_std().unwrap_or_default())));
                let retry = format!("retrying{}", retry.unwrap_or_default());
                format!(
                    "{service} {state}{}: {}; {}; {retry}",
                    lasted.unwrap_or_default(),
                    detail.trim_end_matches("; nothing was sent"),
                    waiting(service, *connections, "wait")
                )
            }
            Self::Back { service, lasted, connections } => {
                let who = waiting(service, *connections, "catch up");
                format!(
                    "{service} is back after {}; {who}",
                    short(lasted.to_std().unwrap_or_default())
                )
            }
        }
    }

    /// Tells it.
    pub(super) fn tell(&self) {
        let words = self.words();
        let name = |service: &Service| match service {
            Service::Sink(name) => (Some(name.to_string()), None, None),
            Service::Provider(name) => (None, Some(name.to_string()), None),
            Service::Hook(name) => (None, None, Some(name.to_string())),
        };
        match self {
            Self::Down { service, code, lasted, connections, attempts, retry, .. } => {
                let (sink, provider, hook) = name(service);
                let retry_at = retry.map(|(at, _)| rfc3339(at));
                let seconds = lasted.map(|lasted| lasted.num_seconds());
                tracing::warn!(
                    sink,
                    provider,
                    hook,
                    connections,
                    attempt = attempts,
                    retry_at,
                    seconds,
                    "error.type" = code.as_str(),
                    "{words}"
                );
            }
            Self::Back { service, lasted, connections } => {
                let (sink, provider, hook) = name(service);
                tracing::info!(
                    sink,
                    provider,
                    hook,
                    connections,
                    seconds = lasted.num_seconds(),
                    "{words}"
                );
            }
        }
    }
}

/// Who waits, and what they do: nothing that is done for a connection waits for a hook.
fn waiting(service: &Service, connections: usize, verb: &str) -> String {
    let plural = if connections == 1 { "" } else { "s" };
    match service {
        Service::Hook(_) => format!("notifications of {connections} connection{plural} {verb}"),
        Service::Sink(_) | Service::Provider(_) if connections == 1 => {
            format!("1 connection {}", if verb == "wait" { "waits" } else { "catches up" })
        }
        Service::Sink(_) | Service::Provider(_) => format!("{connections} connections {verb}"),
    }
}

/// Whether a connection's failure is a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// It is its own.
    None,
    /// It may be: a service that it needs failed a moment ago.
    Perhaps,
    /// People were told of the service.
    Told,
}

/// The services that are down.
#[derive(Debug, Default)]
pub(super) struct Outages {
    down: BTreeMap<Service, Outage>,
    /// What was back lately.
    past: BTreeMap<Service, Past>,
}

#[derive(Debug)]
struct Outage {
    since: Timestamp,
    code: Code,
    detail: String,
    attempts: u64,
    /// When it was last asked in vain by this process.
    failed: Timestamp,
    /// Who waits, and until when.
    waiting: BTreeMap<ConnectionKey, Option<Timestamp>>,
    /// How many waited at most.
    most: usize,
    /// When the reminders began to be counted: at the first of outages that are one.
    began: Timestamp,
    /// When the next line about it is due.
    due: Timestamp,
    told: bool,
    /// Since when it has answered without failing.
    answers: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Past {
    ended: Timestamp,
    began: Timestamp,
    due: Timestamp,
}

impl Outages {
    /// Notes that a connection's call to a service failed. A fault that is not the service's shows that
    /// it works.
    pub(super) fn failed(
        &mut self,
        service: &Service,
        connection: &ConnectionKey,
        fault: &Fault,
        now: Timestamp,
    ) {
        let is_hook = matches!(service, Service::Hook(_));
        if !is_down(fault) && !is_hook {
            self.answered(service, connection, now);
            return;
        }
        let lately = |past: &&Past| past.ended <= now && now - past.ended < SAME;
        let past = self.past.get(service).filter(lately).copied();
        let outage = self.down.entry(service.clone()).or_insert_with(|| Outage {
            since: now,
            code: fault.code,
            detail: String::new(),
            attempts: 0,
            failed: now,
            waiting: BTreeMap::new(),
            most: 0,
            began: past.map_or(now, |past| past.began),
            due: past.map_or(now, |past| past.due).max(now + SETTLES),
            told: false,
            answers: None,
        });
        outage.code = fault.code;
        outage.detail.clone_from(&fault.detail);
        outage.attempts = outage.attempts.saturating_add(1);
        (outage.failed, outage.answers) = (now, None);
        outage.waiting.entry(connection.clone()).or_default();
        outage.most = outage.most.max(outage.waiting.len());
    }

    /// Notes that a service answered a connection.
    pub(super) fn answered(
        &mut self,
        service: &Service,
        connection: &ConnectionKey,
        now: Timestamp,
    ) {
        let Some(outage) = self.down.get_mut(service) else { return };
        outage.waiting.remove(connection);
        outage.answers.get_or_insert(now);
    }

    /// Notes when a connection is tried again.
    pub(super) fn retries(&mut self, connection: &ConnectionKey, at: Option<Timestamp>) {
        for outage in self.down.values_mut() {
            if let Some(known) = outage.waiting.get_mut(connection) {
                *known = at;
            }
        }
    }

    /// The connections that should have been tried again by now, with the time that was meant: another
    /// process on the same ledger may have done it.
    pub(super) fn overdue(&self, now: Timestamp) -> BTreeMap<ConnectionKey, Option<Timestamp>> {
        let waiting = self.down.values().flat_map(|outage| &outage.waiting);
        let late = waiting.filter(|(_, at)| at.is_none_or(|at| at < now));
        late.map(|(connection, at)| (connection.clone(), *at)).collect()
    }

    /// Takes in what the ledger has of a connection that nobody works on. Gives the services that are
    /// known to work by it, and were not before.
    pub(super) fn recorded(&mut self, record: &Record, now: Timestamp) -> Vec<Service> {
        let mut works = Vec::new();
        for (service, outage) in &mut self.down {
            let Some(waits) = outage.waiting.get_mut(&record.key) else { continue };
            if has_answered(service, record, outage.failed.min(now)) {
                works.push(service.clone());
            } else {
                *waits = record.wake_at;
            }
        }
        works.retain(|service| {
            let was_down = self.is_down(service);
            self.answered(service, &record.key, now);
            was_down
        });
        works
    }

    /// Whether a connection waits for a service that is down.
    pub(super) fn cover(&self, connection: &ConnectionKey) -> Cover {
        let waits = |outage: &&Outage| outage.waiting.contains_key(connection);
        let mut cover = Cover::None;
        let needed = self.down.iter().filter(|(service, _)| !matches!(service, Service::Hook(_)));
        for outage in needed.map(|(_, outage)| outage).filter(waits) {
            if outage.told {
                return Cover::Told;
            }
            cover = Cover::Perhaps;
        }
        cover
    }

    /// Whether a service is down.
    pub(super) fn is_down(&self, service: &Service) -> bool {
        self.down.get(service).is_some_and(|outage| outage.answers.is_none())
    }

    /// Forgets connections and services that are not configured any more.
    pub(super) fn keep(&mut self, stays: impl Fn(&Service, &ConnectionKey) -> bool) {
        self.down.retain(|service, outage| {
            outage.waiting.retain(|connection, _| stays(service, connection));
            !outage.waiting.is_empty() || outage.answers.is_some()
        });
    }

    /// What is to be told at this moment.
    pub(super) fn lines(&mut self, now: Timestamp) -> Vec<Line> {
        let mut lines = Vec::new();
        self.past.retain(|_, past| past.ended <= now && now - past.ended < SAME);
        self.down.retain(|service, outage| {
            // A clock that was set back makes nobody wait.
            let set_back = now < outage.since;
            if outage.answers.is_some_and(|answers| now >= answers + SETTLES || now < answers) {
                if outage.told {
                    lines.push(Line::Back {
                        service: service.clone(),
                        lasted: (outage.answers.unwrap_or(now) - outage.since)
                            .max(TimeDelta::zero()),
                        connections: outage.most,
                    });
                }
                if outage.told || self.past.contains_key(service) {
                    let (began, due) = (outage.began, outage.due);
                    self.past.insert(service.clone(), Past { ended: now, began, due });
                }
                return false;
            }
            if outage.answers.is_none() && (now >= outage.due || set_back && !outage.told) {
                let lasts = (now - outage.since).max(TimeDelta::zero());
                let retry = outage.waiting.values().flatten().filter(|at| **at > now).min();
                lines.push(Line::Down {
                    service: service.clone(),
                    code: outage.code,
                    detail: outage.detail.clone(),
                    lasted: (lasts > SETTLES * 2).then_some(lasts),
                    connections: outage.waiting.len(),
                    attempts: outage.attempts,
                    retry: retry.map(|at| (*at, *at - now)),
                });
                outage.told = true;
                outage.due = reminder(outage.began.min(now), now);
            }
            true
        });
        lines
    }

    /// When there may be something to tell.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let next = |outage: &Outage| match outage.answers {
            Some(answers) => answers + SETTLES,
            None => outage.due,
        };
        self.down.values().map(next).min()
    }
}

/// The services that are down, as all workers of a process know them. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Services(Arc<Mutex<Outages>>);

impl Services {
    pub(super) fn lock(&self) -> MutexGuard<'_, Outages> {
        // Nothing that holds the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
