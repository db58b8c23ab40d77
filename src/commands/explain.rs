//! `explain`: connections in sentences.

mod leaving;

use std::{fmt::Write, sync::Arc};

use super::{
    changes,
    output::{Answer, Failure, Row},
    plan,
    select::Asked,
    session::{Session, selected},
    standing::{Stands, State},
    text, watched,
    words::{date_seen, due, is_past, moment, relative, short, since},
};
use crate::{
    app::Use,
    clock::{Clock, ProviderTime, Timestamp, Told},
    engine::{
        progress::Silent,
        report::Outcome,
        stored_status::{self, UnmanagedRow},
        watched_row::WatchedRow,
        worker::{Connection, Engine, Patience, RotationRequest},
    },
    ledger::history::Change,
    rotation::{
        decide::Status,
        policy::Policy,
        record::{Phase, Record, SinkState, Trouble, Work},
        view::{self, GONE, SinkStatus},
        why::Reason,
    },
    token::{ConnectionName, Listed, TokenId},
};

impl Session<'_> {
    pub(super) async fn explain(&self, asked: &Asked) -> Result<Answer, Failure> {
        let mut app = self.app(Use::Look).await?;
        app.engine.progress = Arc::new(Silent);
        let connections = selected(&app, &asked.connections);
        let mut rows = Vec::new();
        let mut text = self.served().await.notice(self.clock.now());
        for connection in &connections {
            let policy = &connection.policy;
            let (mut row, found) = looked_at(&app.engine, connection, &self.patience()).await;
            let stored = app.engine.ledger.load(&policy.key).await;
            let stored = stored?;
            let record: Option<Record> = stored.map(|stored| stored.record);
            let now = self.clock.now();
            let ledger = app.engine.ledger.as_ref();
            let (status, stored) =
                stored_status::looked_up(ledger, policy, record.as_ref(), now).await?;
            // What failed is over only when a pass has written that down.
            if row.faults.is_empty() {
                row.faults = stored.faults;
            }
            let stands =
                Stands::on_record(&status, policy, record.is_some()).and_found(&row, found);
            text.push_str(&sentences(&row, &stands, policy, record.as_ref(), now));
            let last = changes::changes(ledger, &policy.key).await;
            text.push_str(&lately(&last.unwrap_or_default(), &row.connection, now));
            rows.push(row);
        }
        let now = self.clock.now();
        let mut watched = Vec::new();
        for watch in &asked.watches {
            let row = WatchedRow::of(watch, app.engine.ledger.as_ref(), now).await?;
            text.push_str(&watched::sentences(watch, &row, now));
            watched.push(row);
        }
        app.close(self.farewell(None)).await;
        Ok(Answer { watched, ..Answer::shown(rows, text) })
    }
}

/// What a look at the provider and the sinks shows, and how the connection would rest by it; `None`: there
/// is something to be done before it rests.
async fn looked_at(
    engine: &Engine,
    connection: &Connection,
    patience: &Patience,
) -> (Row, Option<Status>) {
    let policy = &connection.policy;
    let request = RotationRequest::Due;
    match Box::pin(engine.peek(connection, &request, patience)).await {
        Ok(peek) => {
            let plan = engine.plan(connection, &request, &peek, peek.now);
            let at_once = plan.steps.first().is_some_and(|step| step.at <= peek.now);
            let rest = plan.first_rest.as_ref().map(|(status, _)| *status);
            let row = plan::row_of(policy, plan, peek.record, peek.now);
            (row, rest.filter(|_| !at_once))
        }
        Err(report) => {
            let found = match report.outcome {
                Outcome::Failed => Some(Status::Troubled),
                Outcome::Refused => Some(Status::Refused),
                Outcome::Rotated | Outcome::Planned | Outcome::Unchanged | Outcome::Waiting => None,
            };
            (Row::of(policy, &report, engine.clock.now()), found)
        }
    }
}

/// How many changes are shown beside an explanation.
const LAST: usize = 8;

/// The last changes, newest last.
#[must_use]
pub fn lately(changes: &[Change], name: &ConnectionName, now: Timestamp) -> String {
    let mut text = String::new();
    if !changes.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Last changes (`scimitar history {name}` lists more):");
    }
    for change in changes.iter().skip(changes.len().saturating_sub(LAST)) {
        let (at, what) = (moment(change.at, now), &change.what);
        let _ = writeln!(text, "  {at}: {what}: {}", change.words);
    }
    text
}

/// The sentences, one a line: how it stands, why, what to do about it and when something happens next;
/// then what is known of its tokens, its sinks and its troubles.
#[must_use]
pub fn sentences(
    row: &Row,
    stands: &Stands,
    policy: &Policy,
    record: Option<&Record>,
    now: Timestamp,
) -> String {
    let mut lines = vec![state(row, stands, now)];
    let gone = record.and_then(gone);
    lines.extend(gone.filter(|_| !stands.cause.contains(GONE)));
    lines.extend(Some(sentence(&stands.cause)).filter(|_| !stands.cause.is_empty()));
    lines.extend(
        stands.seen.as_ref().map(|seen| format!("A check just now showed: {}", sentence(seen))),
    );
    lines.extend(to_do(row, stands));
    lines.extend(next(stands, record, now));
    let mut unmanaged = Vec::new();
    if let Some(record) = record {
        tokens(policy, record, now, &mut lines);
        let wanted = view::wanted(record);
        let gone = view::gone_since(record).and(record.current.as_ref());
        let gone = gone.map(|current| &current.token.id);
        for sink in record.sinks.values() {
            lines.push(place(sink, view::sink_status(sink, wanted), gone, now));
        }
        unmanaged = stored_status::unmanaged_of(record, now);
        // Where it is the cause, the commands stand there.
        let said = |it: &UnmanagedRow| stands.cause.contains(&it.revoke);
        let others = unmanaged.iter().filter(|it| !said(it));
        lines.extend(others.map(|it| sentence(&stored_status::unmanaged_line(it))));
        troubles(record, stands, now, &mut lines);
        hooks(record, now, &mut lines);
    }
    let is_cause = |warning: &str| {
        let fault = warning.strip_prefix("needs attention: ");
        fault.is_some_and(|fault| stands.cause.contains(fault))
    };
    // It stands before everything else.
    let is_cause = |warning: &str| is_cause(warning) || warning.starts_with("expired: ");
    let warnings = row.warnings.iter().filter(|warning| !is_cause(warning));
    let warnings = warnings.filter(|warning| !text::says_unmanaged(warning, &unmanaged));
    lines.extend(warnings.map(|warning| format!("Warning: {}", sentence(warning))));
    lines.push(String::new());
    lines.join("\n")
}

/// How it stands, in the words of `status`; of a rotation that is under way, how far it is.
fn state(row: &Row, stands: &Stands, now: Timestamp) -> String {
    let is = match stands.state {
        State::Attention => "needs attention",
        State::Failing => "is failing",
        State::Unchecked => "has not been checked yet",
        State::Paused => "is paused",
        State::Observed => "is observed and never changed",
        State::Waiting | State::Healthy => match row.phase {
            Some("minting") => "is minting",
            Some("delivering") => "is delivering",
            Some("revoking") => "is revoking",
            _ if stands.state == State::Waiting => "is waiting",
            _ => "is healthy",
        },
    };
    let since = stands.since.map(|at| format!(" {}", lasting(at, now))).unwrap_or_default();
    format!("{} ({} at {}) {is}{since}.", row.connection, row.connection_id, row.provider)
}

/// What a person can do about it, where the cause does not say that itself.
fn to_do(row: &Row, stands: &Stands) -> Option<String> {
    if !stands.state.is_bad() {
        return None;
    }
    let ways = text::remedies(row, stands.reason).into_iter();
    let unsaid = ways.filter(|(command, _)| !stands.cause.contains(command));
    let ways: Vec<String> = unsaid.map(|(command, what)| format!("`{command}` ({what})")).collect();
    (!ways.is_empty()).then(|| format!("What to do: {}.", ways.join("; ")))
}

/// The one time at which something happens next.
fn next(stands: &Stands, record: Option<&Record>, now: Timestamp) -> Option<String> {
    let record = record?;
    let (until, wake) = (stands.until.filter(|at| *at > now), record.wake_at);
    let retried = stands.outcome == Outcome::Failed || stands.reason == Some(Reason::PlaceChanged);
    let (what, at) = if retried {
        ("The next try", until.or(wake)?)
    } else if stands.state == State::Attention && stands.outcome == Outcome::Refused {
        match until {
            Some(until) => return Some(format!("This ends at {}.", moment(until, now))),
            None => ("The next check", wake?),
        }
    } else {
        match stands.next_at {
            Some(at) if at > now => {
                return Some(format!("The next rotation starts at {}.", moment(at, now)));
            }
            Some(at) => ("The next rotation", at),
            None => ("The next check", wake?),
        }
    };
    let when = if at > now { format!("at {}", moment(at, now)) } else { due(at, now) };
    Some(format!("{what} is {when}."))
}

fn tokens(policy: &Policy, record: &Record, now: Timestamp, lines: &mut Vec<String>) {
    match &record.current {
        None => lines.push("It has no current token.".to_owned()),
        Some(current) => {
            let token = view::freshest(record, &current.token);
            let used = view::current_use(record);
            lines.push(match (view::gone_since(record), view::unlisted_since(record)) {
                (Some(since), _) => {
                    format!("The current token {}", life_before(token, used, since, now))
                }
                (None, unlisted) => {
                    let life = life(token, used, now);
                    let unlisted = unlisted.map(|since| {
                        let since = lasting(since, now);
                        format!(" The provider has not listed it {since}.")
                    });
                    format!("The current token {life}{}", unlisted.unwrap_or_default())
                }
            });
            lines.push(match current.delivered_at {
                Some(at) => format!("It was delivered to every sink at {}.", moment(at, now)),
                None => "Not all sinks have it yet.".to_owned(),
            });
        }
    }
    match &record.phase {
        Phase::Steady => {}
        Phase::Minting(intent) => lines.push(format!(
            "A new token was requested at {}: {}; the provider's list will show whether it was \
             created.",
            moment(intent.at, now),
            intent.because
        )),
        Phase::Delivering(delivery) if delivery.found => lines.push(format!(
            "The token {}, created at {} and found in a sink, is being delivered to every sink.",
            delivery.token.id,
            moment(delivery.began, now)
        )),
        Phase::Delivering(delivery) => lines.push(format!(
            "The new token {} is being delivered to the sinks; started at {}.",
            delivery.token.id,
            moment(delivery.began, now)
        )),
    }
    for retiring in &record.retiring {
        lines.push(leaving::leaving(policy, record, retiring, now));
    }
    if !record.intents.is_empty() {
        lines.push(format!(
            "{} without an answer; if the token turns up late, Scimitar recognises it as its own.",
            times(record.intents.len(), "earlier create request")
        ));
    }
}

fn place(sink: &SinkState, status: SinkStatus, gone: Option<&TokenId>, now: Timestamp) -> String {
    let holds =
        sink.holds.as_ref().map_or_else(|| "no known token".to_owned(), ToString::to_string);
    let what = match status {
        SinkStatus::Delivered if gone.is_some() && sink.holds.as_ref() == gone => {
            format!("holds {holds}, which {GONE}")
        }
        SinkStatus::Delivered => format!("holds {holds}"),
        SinkStatus::Pending if sink.holds.is_none() => {
            "was empty at the last check; the next rotation will fill it".to_owned()
        }
        SinkStatus::Pending => format!("held {holds} at the last check; the next one is pending"),
        SinkStatus::Drift => sink.drift.as_ref().map_or_else(
            || format!("holds {holds}, not the current token"),
            |drift| format!("drifted {}: {}", relative(drift.since, now), drift.what),
        ),
        SinkStatus::Unreadable => {
            format!("cannot be read now; held {holds} at the last check")
        }
    };
    let removed = if sink.removed {
        " (no longer configured: checked before anything is revoked, never written)"
    } else {
        ""
    };
    sentence(&format!("{} {} {what}{removed}", sink.place.sink, sink.place.location))
}

fn troubles(record: &Record, stands: &Stands, now: Timestamp, lines: &mut Vec<String>) {
    let mut failing =
        |what: &str, trouble: &Trouble| lines.push(failing(what, trouble, stands, now));
    for (work, trouble) in record.troubles.iter() {
        let what = match work {
            Work::Look => "Listing its tokens",
            Work::Mint => "Creating a token",
            Work::Revoke => "Revoking a token",
            Work::Probe => "Checking the current token at the SCIM endpoint",
        };
        failing(what, trouble);
    }
    for sink in record.sinks.values() {
        if let Some(trouble) = &sink.trouble {
            failing(&format!("Reaching {}", sink.place.sink), trouble);
        }
    }
}

/// How the last try of each hook ended; what it was not told yet stands in the warnings.
fn hooks(record: &Record, now: Timestamp, lines: &mut Vec<String>) {
    for (name, hook) in &record.notices.hooks {
        let Some(last) = &hook.last else { continue };
        let (event, when) = (last.occasion.as_str(), relative(last.at, now));
        lines.push(match &last.fault {
            None => format!("The hook {name} was last told ({event}) {when}."),
            Some(fault) => {
                let detail = sentence(&fault.detail);
                format!("The hook {name} was last told ({event}) and failed {when}: {detail}")
            }
        });
    }
}

/// How often something has failed, and how, unless that is the cause that is said already.
fn failing(what: &str, trouble: &Trouble, stands: &Stands, now: Timestamp) -> String {
    let person =
        if trouble.needs_person() { " This needs a fix; it is retried anyway." } else { "" };
    let fault = trouble.fault.to_string();
    let fault = match stands.cause.contains(&fault) {
        true => ".".to_owned(),
        false => format!(": {}", sentence(&fault)),
    };
    format!(
        "{what} has failed {}, first at {}{fault}{person}",
        how_often(trouble.count),
        moment(trouble.since, now)
    )
}

/// What comes before everything else where the current token is gone.
fn gone(record: &Record) -> Option<String> {
    view::gone_since(record)?;
    let id = &record.current.as_ref()?.token.id;
    Some(format!("{id} {GONE}: clients that use it are locked out."))
}

/// Of one that is gone at the provider: what it was, and since when its clients are locked out.
fn life_before(
    token: &Listed,
    used: Option<ProviderTime>,
    gone: ProviderTime,
    now: Timestamp,
) -> String {
    let would = token.valid_until.map_or_else(
        || "did not expire".to_owned(),
        |at| format!("would have expired at {}", moment(at, now)),
    );
    let used = used.map_or_else(
        || "has no recorded use except Scimitar's own check".to_owned(),
        |at| format!("was last used {}", relative(at, now)),
    );
    // The last list before that one still had it.
    format!(
        "{} {GONE}: clients that use it have been locked out for at least {} (since {} or earlier). It was \
         created at {}, {would}, and {used}.",
        token.id,
        short(since(gone, now)),
        date_seen(gone, now),
        moment(token.created_at, now)
    )
}

fn life(token: &Listed, used: Option<ProviderTime>, now: Timestamp) -> String {
    let expires = match token.valid_until {
        None => "does not expire".to_owned(),
        Some(at) if is_past(at, now) => format!("expired at {}", moment(at, now)),
        Some(at) => format!("expires at {}", moment(at, now)),
    };
    let used = used.map_or_else(
        || "has no recorded use except Scimitar's own check".to_owned(),
        |at| format!("was last used {}", relative(at, now)),
    );
    format!("{} was created at {}, {expires}, and {used}.", token.id, moment(token.created_at, now))
}

/// "for 10m (since 2026-11-22 04:00 UTC)".
fn lasting(at: impl Told, now: Timestamp) -> String {
    let lasted = since(at, now);
    match lasted.as_millis() {
        0..500 => format!("since {}", date_seen(at, now)),
        _ => format!("for {} (since {})", short(lasted), date_seen(at, now)),
    }
}

fn times(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn how_often(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

/// The text with a full stop.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
