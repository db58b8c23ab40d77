//! A connection as one line of the list.

use serde::Serialize;

use super::{
    address,
    axis::{Axis, Lanes, axis},
    cause::Cause,
    look::{Look, notes},
};
use crate::{
    clock::{ProviderTime, Timestamp, Told},
    engine::row::{Row, SinkRow},
    rotation::{
        policy::Policy,
        record::{Phase, Record},
        status::{Concern, ConnectionStatus, Outcome},
        tokens,
        view::{self, SinkStatus},
        why::Reason,
    },
    words::{date_seen, is_past, relative, since, span},
};

/// More sinks than these are counted.
const DOTS: usize = 4;

/// The line.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    name: String,
    id: String,
    address: String,
    provider: String,
    look: Look,
    /// The word for the state.
    state: &'static str,
    notes: Vec<&'static str>,
    /// Of the current token.
    age: String,
    axis: Option<Axis>,
    next: String,
    why: String,
    sinks: Vec<Dot>,
    more_sinks: usize,
}

/// A place that holds a token.
#[derive(Debug, Serialize)]
struct Dot {
    state: &'static str,
    words: String,
}

impl Line {
    pub(super) fn of(
        policy: &Policy,
        status: &ConnectionStatus,
        row: Row,
        record: Option<&Record>,
        now: Timestamp,
    ) -> Self {
        let tokens = record.map(tokens::tokens).unwrap_or_default();
        let look = Look::of(status, record, policy);
        let more_sinks = row.sinks.len().saturating_sub(DOTS);
        let dot = |sink: &SinkRow| {
            let state = dot(sink.state, row.expires_at, record, now);
            Dot { state, words: format!("{} {}: {state}", sink.sink, sink.location) }
        };
        Self {
            address: address::of_connection(policy.name.as_str()),
            look,
            state: look.words(status, record),
            notes: short_notes(status, look),
            age: row.created_at.map(|at| short_age(at, now)).unwrap_or_default(),
            axis: axis(&tokens, row.next_at, now, Lanes::Compact),
            next: next_step(look, policy, status, &row, record, now),
            sinks: row.sinks.iter().take(DOTS).map(dot).collect(),
            more_sinks,
            name: row.connection.to_string(),
            id: row.connection_id.to_string(),
            provider: row.provider.to_string(),
            why: row.why,
        }
    }
}

/// How a place stands: a token that has expired, or is gone at the provider, is of no use where it is.
pub(super) fn dot(
    state: SinkStatus,
    expires: Option<ProviderTime>,
    record: Option<&Record>,
    now: Timestamp,
) -> &'static str {
    // While a new one is on its way, what has it already works.
    let is_current = |record: &Record| {
        let current = record.current.as_ref().map(|current| &current.token.id);
        view::wanted(record) == current
    };
    let has_current = state == SinkStatus::Delivered && record.is_none_or(is_current);
    if has_current && record.and_then(view::gone_since).is_some() {
        "gone"
    } else if has_current && expires.is_some_and(|at| is_past(at, now)) {
        "expired"
    } else {
        state.as_str()
    }
}

/// "6 d".
fn short_age(at: impl Told, now: Timestamp) -> String {
    let hours = since(at, now).as_secs() / 3_600;
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}

/// What the next step does not say, where it matters most.
fn short_notes(status: &ConnectionStatus, look: Look) -> Vec<&'static str> {
    let urgent = [
        Concern::Expired,
        Concern::AboutToExpire,
        Concern::ExpiresSoon,
        Concern::HandoffUrgent,
        Concern::ClientStopped,
    ];
    let paused = status.pause.is_some() && look != Look::Paused;
    let urgent = urgent.into_iter().filter(|concern| status.concerns.contains(concern));
    let all = notes(status);
    let urgent = urgent
        .filter_map(|concern| super::look::note(concern, status))
        .filter(|note| all.contains(note));
    paused.then_some("paused").into_iter().chain(urgent).take(2).collect()
}

/// What happens next, or what keeps it from happening.
fn next_step(
    look: Look,
    policy: &Policy,
    status: &ConnectionStatus,
    row: &Row,
    record: Option<&Record>,
    now: Timestamp,
) -> String {
    let cause = Cause::of(look, status, record, policy.provider.as_str(), now);
    if let Some(cause) = cause {
        let tried = cause.retry.map(|at| {
            if at > now {
                format!(" · next try {}", relative(at, now))
            } else {
                " · trying again now".to_owned()
            }
        });
        // The provider stands in a column of its own.
        let at = if cause.at == policy.provider.as_str() {
            String::new()
        } else {
            format!(" at {}", cause.at)
        };
        return format!("{}{at}{}", cause.what, tried.unwrap_or_default());
    }
    if look == Look::New {
        return "not checked yet".to_owned();
    }
    if let Some(pause) = &status.pause {
        return format!("paused until {} by {}", date_seen(pause.until, now), pause.by);
    }
    if let Some(at) = record.and_then(began) {
        return format!("rotating for {}", span(since(at, now)));
    }
    match (status.outcome, status.reason, row.revoke_after) {
        (Outcome::Waiting, Some(Reason::Overlap), Some(at)) if at.as_told() > now => {
            return format!("revokes the previous token {}", relative(at, now));
        }
        (Outcome::Waiting, ..) => return status.why.clone(),
        _ => {}
    }
    match (row.next_at, row.expires_at) {
        (Some(at), _) if at > now => format!("rotates {}", relative(at, now)),
        (Some(at), _) => format!("rotation overdue by {}", span(since(at, now))),
        (None, Some(at)) => format!("expires {}", relative(at, now)),
        (None, None) => status.why.clone(),
    }
}

/// When the rotation under way began.
pub(super) fn began(record: &Record) -> Option<Timestamp> {
    match &record.phase {
        Phase::Steady => None,
        Phase::Minting(intent) => Some(intent.at),
        Phase::Delivering(delivery) => Some(delivery.began),
    }
}
