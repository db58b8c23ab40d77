//! A connection on a page of its own: why it stands as it does, its tokens, sinks and history, and the
//! commands that act on it.

use serde::Serialize;

use super::{
    Site, address,
    axis::{Axis, Lanes, Tick, axis, ticks},
    line::{self, began},
    list::{Command, settle},
    look::{Look, notes},
    moment::Moment,
    query::Wanted,
};
use crate::{
    clock::{ProviderTime, Timestamp},
    engine::{
        row::Row,
        stored_status::{self, UnmanagedRow},
        worker::Connection,
    },
    ledger::{LedgerError, history::Change},
    rotation::{
        awaited::Awaited,
        policy::Policy,
        record::{Cause, Record, Retiring, Rotation, SinkState, Trouble, Work},
        status::ConnectionStatus,
        tokens::{self, Role},
        view::{self, SinkStatus},
    },
    words::{is_past, relative, span},
};

/// How many changes are shown.
const EVENTS: usize = 50;

/// A connection.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    pub(super) name: String,
    id: String,
    provider: String,
    provider_address: String,
    owner: Option<String>,
    look: Look,
    /// The word for the state.
    state: &'static str,
    /// What somebody should know beside it.
    notes: Vec<&'static str>,
    phase: Option<&'static str>,
    reason: Option<&'static str>,
    person: bool,
    why: String,
    error: Option<String>,
    warnings: Vec<String>,
    troubles: Vec<Failing>,
    unmanaged: Vec<Unmanaged>,
    axis: Option<Axis>,
    ticks: [Tick; 4],
    tokens: Vec<TokenLine>,
    mode: &'static str,
    facts: Vec<Fact>,
    scopes: String,
    sinks: Vec<PlaceCard>,
    commands: Vec<Command>,
    events: Vec<Event>,
}

/// What fails, and when it is tried again.
#[derive(Debug, Serialize)]
struct Failing {
    words: String,
    since: Moment,
    at: Moment,
    retry: Moment,
}

/// A token that Scimitar did not create.
#[derive(Debug, Serialize)]
struct Unmanaged {
    kind: &'static str,
    id: String,
    words: String,
    commands: [Command; 2],
}

#[derive(Debug, Serialize)]
struct TokenLine {
    role: &'static str,
    kind: Role,
    id: String,
    made: Moment,
    expires: Option<Moment>,
    expired: bool,
    /// Since when it is gone at the provider, whatever its expiry says.
    gone: Option<Moment>,
    used: Option<Moment>,
    stays: Option<Moment>,
    /// What else it waits for before it is revoked.
    waits: Option<String>,
    /// When it is revoked even so.
    latest: Option<Moment>,
    /// The policy could say when, and does not.
    latest_is_unset: bool,
}

/// A line of the schedule.
#[derive(Debug, Serialize)]
struct Fact {
    label: &'static str,
    at: Option<Moment>,
    words: String,
}

#[derive(Debug, Serialize)]
struct PlaceCard {
    sink: String,
    location: String,
    state: &'static str,
    holds: Option<String>,
    since: Option<Moment>,
    drift: Option<String>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Event {
    at: Moment,
    words: String,
    name: String,
}

impl Site {
    /// The configured connection with this name.
    pub(super) fn connection(&self, name: &str) -> Option<std::sync::Arc<Connection>> {
        let connections = self.live.connections();
        connections.iter().find(|connection| connection.policy.name.as_str() == name).cloned()
    }

    /// A connection as it is on record, with what happened last.
    pub(super) async fn card(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Card, LedgerError> {
        let (policy, ledger) = (&connection.policy, &self.engine.ledger);
        let record = ledger.load(&policy.key).await?.map(|stored| stored.record);
        let history = match &record {
            Some(_) => Change::of(ledger.history(&policy.key, usize::MAX).await?, EVENTS),
            None => Vec::new(),
        };
        let (status, row) =
            stored_status::looked_up(ledger.as_ref(), policy, record.as_ref(), now).await?;
        Ok(Card::of(policy, &status, row, record.as_ref(), &history, now))
    }
}

impl Card {
    fn of(
        policy: &Policy,
        status: &ConnectionStatus,
        row: Row,
        record: Option<&Record>,
        history: &[Change],
        now: Timestamp,
    ) -> Self {
        let tokens = record.map(tokens::tokens).unwrap_or_default();
        let look = Look::of(status, record, policy);
        let name = row.connection.to_string();
        let provider = row.provider.to_string();
        let by_provider = Wanted { provider: provider.clone(), ..Wanted::default() };
        let error = row.error.as_ref().map(|error| error.message.clone());
        let scopes = row.scopes.iter().flatten().map(ToString::to_string);
        Self {
            look,
            state: look.words(status, record),
            notes: notes(status),
            person: status.needs_person,
            mode: policy.terms.mode.as_str(),
            axis: axis(&tokens, row.next_at, now, Lanes::Each),
            ticks: ticks(),
            facts: facts(&row, record, now),
            scopes: scopes.collect::<Vec<_>>().join(", "),
            commands: commands(&name, status),
            troubles: record.map(|record| troubles(record, now)).unwrap_or_default(),
            tokens: tokens.iter().map(|it| token(it, record, now)).collect(),
            sinks: record.map(|record| places(record, now)).unwrap_or_default(),
            unmanaged: record.map(|record| unmanaged(record, &name, now)).unwrap_or_default(),
            events: history.iter().rev().map(|change| event(change, now)).collect(),
            // It is said once.
            error: error.filter(|error| !row.why.contains(error)),
            id: row.connection_id.to_string(),
            provider_address: by_provider.address(),
            provider,
            name,
            owner: row.owner,
            phase: row.phase,
            reason: row.reason.map(|reason| reason.as_str()),
            why: row.why,
            warnings: row.warnings,
        }
    }
}

fn token(it: &tokens::Token<'_>, record: Option<&Record>, now: Timestamp) -> TokenLine {
    let there = |at: ProviderTime| Moment::of(at, now);
    let is_over = |at: ProviderTime| is_past(at, now);
    let awaited = record.and_then(|record| {
        let superseded = |it: &&Retiring| {
            it.cause == Cause::Superseded && !record.condemned.contains(&it.token.id)
        };
        let mut leaving = record.retiring.iter().filter(superseded);
        let retiring = leaving.find(|retiring| retiring.token.id == it.token.id)?;
        Awaited::of(record, retiring)
    });
    TokenLine {
        role: it.role.words(),
        kind: it.role,
        id: it.token.id.to_string(),
        made: there(it.token.created_at),
        expires: it.token.valid_until.map(there),
        expired: it.token.valid_until.is_some_and(is_over),
        gone: it.gone.map(there),
        used: record.and_then(|record| view::use_of(record, it.token)).map(there),
        stays: it.stays.filter(|at| !is_over(*at)).map(there),
        waits: awaited.as_ref().map(Awaited::words),
        latest_is_unset: awaited.as_ref().is_some_and(|awaited| awaited.latest_is_unset),
        latest: awaited.and_then(|awaited| awaited.latest).map(there),
    }
}

/// When things happened and will happen.
fn facts(row: &Row, record: Option<&Record>, now: Timestamp) -> Vec<Fact> {
    let fact = |label, at: Timestamp| {
        let at = Moment::of(at, now);
        Fact { label, words: at.near.clone(), at: Some(at) }
    };
    let mut facts = Vec::new();
    if let Some(at) = record.and_then(began) {
        facts.push(fact("rotating since", at));
    } else if let Some(at) = row.next_at {
        facts.push(fact(if at > now { "next rotation" } else { "rotation overdue since" }, at));
    }
    if let Some(at) = row.retry_at {
        facts.push(fact("next try", at));
    }
    let Some(record) = record else { return facts };
    if let Some(Rotation { began, finished, id }) = &record.last_rotation {
        let took = (*finished - *began).to_std().unwrap_or_default();
        let at = Moment::of(*finished, now);
        let words = format!("{} to {id}, took {}", relative(*finished, now), span(took));
        facts.push(Fact { label: "last rotation", words, at: Some(at) });
    }
    if let Some(pause) = &record.pause {
        facts.push(Fact {
            label: "paused until",
            at: Some(Moment::of(pause.until, now)),
            words: format!("by {}: {}", pause.by, pause.reason),
        });
    }
    if let Some(survey) = &record.survey {
        facts.push(fact("provider checked", survey.at));
    }
    if let Some(decided) = &record.decided {
        facts.push(fact("in this state since", decided.since));
    }
    if let Some(at) = record.wake_at {
        facts.push(fact("next check", at));
    }
    facts.extend(record.notices.hooks.iter().filter_map(|(name, hook)| {
        let last = hook.last.as_ref()?;
        let told = match &last.fault {
            None => format!("told of {}", last.occasion.as_str()),
            Some(fault) => {
                format!("could not be told of {}: {}", last.occasion.as_str(), fault.detail)
            }
        };
        let at = Some(Moment::of(last.at, now));
        Some(Fact { label: "hook", at, words: format!("{name} {told}") })
    }));
    facts
}

fn troubles(record: &Record, now: Timestamp) -> Vec<Failing> {
    let failing = |what: String, trouble: &Trouble| {
        let times = match trouble.count {
            1 => "once".to_owned(),
            count => format!("{count} times in a row"),
        };
        Failing {
            words: format!("{what} failed {times}: {}", trouble.fault),
            since: Moment::of(trouble.since, now),
            at: Moment::of(trouble.at, now),
            retry: Moment::of(trouble.retry_at, now),
        }
    };
    let own = record.troubles.iter().map(|(work, trouble)| {
        let what = match work {
            Work::Look => "Listing the tokens",
            Work::Mint => "Creating a token",
            Work::Revoke => "Revoking",
            Work::Probe => "Testing the current token at the SCIM endpoint",
        };
        failing(what.to_owned(), trouble)
    });
    let of_sinks = record.places().filter_map(|sink| {
        Some(failing(format!("Sink {}", sink.place.sink), sink.trouble.as_ref()?))
    });
    own.chain(of_sinks).collect()
}

fn places(record: &Record, now: Timestamp) -> Vec<PlaceCard> {
    let wanted = view::wanted(record);
    let place = |sink: &SinkState| {
        let state = view::sink_status(sink, wanted);
        PlaceCard {
            sink: sink.place.sink.to_string(),
            location: sink.place.location.clone(),
            state: line::dot(state, record.expires_at(), Some(record), now),
            holds: sink.holds.as_ref().map(ToString::to_string),
            since: sink.since.map(|at| Moment::of(at, now)),
            drift: sink
                .drift
                .as_ref()
                .filter(|_| state == SinkStatus::Drift)
                .map(|drift| drift.what.clone()),
            trouble: sink.trouble.as_ref().map(|trouble| trouble.fault.detail.clone()),
        }
    };
    record.places().map(place).collect()
}

fn unmanaged(record: &Record, name: &str, now: Timestamp) -> Vec<Unmanaged> {
    let each = stored_status::unmanaged_of(record, now).into_iter();
    each.map(|UnmanagedRow { kind, id, words, .. }| Unmanaged {
        commands: settle(name, id.as_str()),
        id: id.to_string(),
        kind,
        words,
    })
    .collect()
}

/// What can be done on the command line, with the exact name.
fn commands(name: &str, status: &ConnectionStatus) -> Vec<Command> {
    let name = address::word(name);
    let pause = if status.pause.is_some() {
        Command { label: "Resume", line: format!("scimitar resume {name}") }
    } else {
        let line = format!("scimitar pause {name} --until 8h --reason \"…\"");
        Command { label: "Pause", line }
    };
    vec![
        Command { label: "Explain", line: format!("scimitar explain {name}") },
        Command { label: "Plan", line: format!("scimitar plan {name}") },
        Command { label: "Rotate now", line: format!("scimitar rotate {name}") },
        pause,
    ]
}

fn event(change: &Change, now: Timestamp) -> Event {
    Event { at: Moment::of(change.at, now), words: change.words.clone(), name: change.what.clone() }
}
