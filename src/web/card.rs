//! A connection as the page shows it.

use serde::Serialize;

use super::{
    Site,
    life::{self, Life},
};
use crate::{
    clock::{ProviderTime, Timestamp, Told, rfc3339},
    engine::{
        report::Outcome,
        row::Row,
        stored_status::{self, UnmanagedRow},
        worker::Connection,
    },
    ledger::{Entry, LedgerError},
    rotation::{
        record::{Phase, Record},
        status::{Concern, ConnectionStatus},
        tokens::{self, Role},
        view::{self, SinkStatus},
        why::Reason,
    },
    words::{is_past, relative},
};

/// How many lines of history are shown.
const EVENTS: usize = 12;

/// A moment, near and exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Moment {
    near: String,
    exact: String,
}

impl Moment {
    pub(super) fn of(at: impl Told, now: Timestamp) -> Self {
        Self { near: relative(at, now), exact: rfc3339(at) }
    }
}

/// A connection.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    name: String,
    id: String,
    provider: String,
    /// The word for its standing, and the same for the style.
    status: &'static str,
    /// What somebody should know beside it.
    notes: Vec<&'static str>,
    phase: Option<&'static str>,
    reason: Option<&'static str>,
    why: String,
    error: Option<String>,
    life: Option<Life>,
    made: Option<Moment>,
    expires: Option<Moment>,
    expired: bool,
    endless: bool,
    next: Option<Moment>,
    overdue: bool,
    /// Since when a rotation is.
    under_way: Option<Moment>,
    sinks: Vec<Place>,
    tokens: Vec<TokenLine>,
    unmanaged: Vec<UnmanagedRow>,
    warnings: Vec<String>,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Place {
    sink: String,
    location: String,
    state: &'static str,
    drift: Option<String>,
}

#[derive(Debug, Serialize)]
struct TokenLine {
    role: &'static str,
    kind: Role,
    id: String,
    made: Moment,
    expires: Option<Moment>,
    expired: bool,
    used: Option<Moment>,
    stays: Option<Moment>,
}

#[derive(Debug, Serialize)]
struct Event {
    at: Moment,
    words: String,
    name: String,
}

impl Site {
    /// A connection as it is on record, with what happened last where that is asked for.
    pub(super) async fn card(
        &self,
        connection: &Connection,
        with_events: bool,
        now: Timestamp,
    ) -> Result<Card, LedgerError> {
        let (policy, ledger) = (&connection.policy, &self.engine.ledger);
        let record = ledger.load(&policy.key).await?.map(|stored| stored.record);
        let history = if with_events && record.is_some() {
            ledger.history(&policy.key, EVENTS).await?
        } else {
            Vec::new()
        };
        let (status, row) =
            stored_status::looked_up(ledger.as_ref(), policy, record.as_ref(), now).await?;
        Ok(Card::of(&status, row, record.as_ref(), &history, now))
    }
}

impl Card {
    fn of(
        status: &ConnectionStatus,
        row: Row,
        record: Option<&Record>,
        history: &[Entry],
        now: Timestamp,
    ) -> Self {
        let tokens = record.map(tokens::tokens).unwrap_or_default();
        let current = tokens.iter().find(|it| it.role == Role::Current);
        let moment = |at: Timestamp| Moment::of(at, now);
        let there = |at: ProviderTime| Moment::of(at, now);
        let is_over = |at: ProviderTime| is_past(at, now);
        let under_way = record.and_then(began);
        let error = row.error.as_ref().map(|error| error.message.clone());
        Self {
            name: row.connection.to_string(),
            id: row.connection_id.to_string(),
            provider: row.provider.to_string(),
            status: match (record, row.outcome) {
                (None, _) => "new",
                (Some(_), outcome) => word(outcome),
            },
            phase: row.phase,
            reason: row.reason.map(|reason| reason.as_str()),
            // It is said once.
            error: error.filter(|error| !row.why.contains(error)),
            notes: notes(status),
            why: row.why,
            life: life::life(&tokens, row.next_at, now),
            made: current.map(|it| there(it.token.created_at)),
            expires: row.expires_at.map(there),
            expired: row.expires_at.is_some_and(is_over),
            endless: current.is_some() && row.expires_at.is_none(),
            next: row.next_at.map(moment).filter(|_| under_way.is_none()),
            under_way: under_way.map(moment),
            overdue: row.next_at.is_some_and(|at| at <= now),
            sinks: row
                .sinks
                .iter()
                .map(|sink| Place {
                    sink: sink.sink.to_string(),
                    location: sink.location.clone(),
                    state: sink.state.as_str(),
                    drift: drift(record, &sink.location)
                        .filter(|_| sink.state == SinkStatus::Drift),
                })
                .collect(),
            tokens: tokens
                .iter()
                .map(|it| TokenLine {
                    role: it.role.words(),
                    kind: it.role,
                    id: it.token.id.to_string(),
                    made: there(it.token.created_at),
                    expires: it.token.valid_until.map(there),
                    expired: it.token.valid_until.is_some_and(is_over),
                    used: record.and_then(|record| view::use_of(record, it.token)).map(there),
                    stays: it.stays.filter(|at| !is_over(*at)).map(there),
                })
                .collect(),
            unmanaged: record
                .map(|record| stored_status::unmanaged_of(record, now))
                .unwrap_or_default(),
            warnings: row.warnings,
            events: history
                .iter()
                .map(|entry| Event {
                    at: moment(entry.at),
                    words: entry.words.clone(),
                    name: entry.event.clone(),
                })
                .collect(),
        }
    }
}

/// When the rotation under way began.
fn began(record: &Record) -> Option<Timestamp> {
    match &record.phase {
        Phase::Steady => None,
        Phase::Minting(intent) => Some(intent.at),
        Phase::Delivering(delivery) => Some(delivery.began),
    }
}

/// What somebody should know beside the standing.
fn notes(status: &ConnectionStatus) -> Vec<&'static str> {
    let lasts = status.for_good.then_some("will not mend by itself");
    // Where it is the reason, that is shown already.
    let beside = status.reason != Some(Reason::Paused);
    let paused = (beside && status.pause.is_some()).then_some("paused");
    let lasts = lasts.into_iter().chain(paused);
    lasts.chain(status.concerns.iter().filter_map(|concern| note(*concern))).collect()
}

/// In a few words; `None` where the standing says it already.
fn note(concern: Concern) -> Option<&'static str> {
    match concern {
        Concern::Expired => Some("expired"),
        Concern::AboutToExpire => Some("about to expire"),
        Concern::ExpiresSoon => Some("expires soon"),
        Concern::RevocationBlocked => Some("revocation blocked"),
        Concern::PreviousStillUsed => Some("previous token still used"),
        Concern::LeftConfiguration => Some("left the configuration"),
        Concern::SurveyStale => Some("list out of date"),
        Concern::HandoffUrgent => Some("hand-off urgent"),
        Concern::HandoffWaiting => Some("waits to be handed over"),
        Concern::ClientStopped => Some("SCIM client stopped"),
        Concern::Orphan => Some("orphan"),
        Concern::Unmanaged => Some("unmanaged token"),
        Concern::SinkDrift => Some("drift"),
        Concern::ScimConfigDrift => Some("SCIM configuration differs"),
        Concern::DeactivationLost => Some("deactivated users not shown as inactive"),
        Concern::ProbeUserLeft => Some("throw-away user left"),
        Concern::RotationBlocked | Concern::RotationFailing => None,
    }
}

fn drift(record: Option<&Record>, location: &str) -> Option<String> {
    let mut sinks = record?.sinks.values().filter(|sink| !sink.removed);
    let sink = sinks.find(|sink| sink.place.location == location)?;
    sink.drift.as_ref().map(|drift| drift.what.clone())
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Failed => "failed",
        Outcome::Refused => "refused",
        Outcome::Waiting => "waiting",
        Outcome::Unchanged | Outcome::Rotated | Outcome::Planned => "unchanged",
    }
}
