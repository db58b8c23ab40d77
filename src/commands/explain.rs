//! `explain`: one connection in sentences.

use std::{fmt::Write, sync::Arc, time::Duration};

use super::{
    output::{Answer, Failure, Row},
    plan,
    select::Asked,
    session::{Session, selected},
    status, watched,
    words::{is_past, moment, relative, span},
};
use crate::{
    app::Use,
    clock::{Clock, ProviderTime, Timestamp},
    engine::{progress::Silent, watched_row::WatchedRow, worker::RotationRequest},
    ledger::Entry,
    rotation::{
        record::{Cause, Phase, Record, Retiring, SinkState, Trouble, Work},
        view::{self, SinkStatus},
    },
    token::Listed,
};

impl Session<'_> {
    pub(super) async fn explain(&self, asked: &Asked) -> Result<Answer, Failure> {
        let mut app = self.app(Use::Look).await?;
        app.engine.progress = Arc::new(Silent);
        let connections = selected(&app, &asked.connections);
        let mut rows = Vec::new();
        let mut text = String::new();
        for connection in &connections {
            let row = plan::row(
                &app.engine,
                connection,
                &RotationRequest::Due,
                &self.patience(),
                Duration::ZERO,
            )
            .await;
            let stored = app.engine.ledger.load(&connection.policy.key).await;
            let stored = stored?;
            let record: Option<Record> = stored.map(|stored| stored.record);
            text.push_str(&sentences(&row, record.as_ref(), self.clock.now()));
            let last = app.engine.ledger.history(&connection.policy.key, 10).await;
            text.push_str(&history(&last.unwrap_or_default(), self.clock.now()));
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

/// What happened last, newest first.
#[must_use]
pub fn history(entries: &[Entry], now: Timestamp) -> String {
    let mut text = String::new();
    if !entries.is_empty() {
        text.push_str("What happened last:\n");
    }
    for entry in entries {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}: {} ({})", moment(entry.at, now), entry.words, entry.event);
    }
    text
}

/// The sentences, one a line: first why it waits (the row's own words, as decided), then what is
/// known of its tokens, its sinks and its troubles.
#[must_use]
pub fn sentences(row: &Row, record: Option<&Record>, now: Timestamp) -> String {
    let mut lines = vec![match row.phase {
        Some(phase) => {
            format!("{} ({} at {}) is {phase}.", row.connection, row.connection_id, row.provider)
        }
        None => format!(
            "{} ({} at {}) was never looked at yet.",
            row.connection, row.connection_id, row.provider
        ),
    }];
    if !row.why.is_empty() {
        lines.push(sentence(&row.why));
    }
    if let Some(record) = record {
        tokens(record, now, &mut lines);
        let wanted = view::wanted(record);
        for sink in record.sinks.values() {
            lines.push(place(sink, view::sink_status(sink, wanted), now));
        }
        lines.extend(status::unmanaged(record, now).iter().map(|line| sentence(line)));
        troubles(record, now, &mut lines);
        hooks(record, now, &mut lines);
        if let Some(refusal) = record.refusal() {
            let until = refusal
                .until
                .map(|until| format!(" It ends {}.", moment(until, now)))
                .unwrap_or_default();
            lines.push(format!(
                "Refused since {}: {}{until}",
                moment(refusal.since, now),
                sentence(&refusal.words)
            ));
        }
        if let Some(next) = record.next_rotation {
            lines.push(if next > now {
                format!("The next rotation starts {}.", moment(next, now))
            } else {
                "A rotation is due and starts as soon as nothing is in its way.".to_owned()
            });
        }
        if let Some(wake) = record.wake_at {
            lines.push(if wake > now {
                format!("It is looked at again {}.", moment(wake, now))
            } else {
                "It is to be looked at again now.".to_owned()
            });
        }
    }
    lines.extend(row.warnings.iter().map(|warning| format!("Warning: {}", sentence(warning))));
    lines.push(String::new());
    lines.join("\n")
}

fn tokens(record: &Record, now: Timestamp, lines: &mut Vec<String>) {
    match &record.current {
        None => lines.push("It has no current token.".to_owned()),
        Some(current) => {
            let token = view::freshest(record, &current.token);
            let used = view::current_use(record);
            lines.push(format!("The current token {}", life(token, used, now)));
            lines.push(match current.delivered_at {
                Some(at) => format!("Every sink has had it since {}.", moment(at, now)),
                None => "It has not reached every sink yet.".to_owned(),
            });
        }
    }
    match &record.phase {
        Phase::Steady => {}
        Phase::Minting(intent) => lines.push(format!(
            "A token was asked for {} ({}); whether it was made is found out from the provider's \
             list.",
            moment(intent.at, now),
            intent.because
        )),
        Phase::Delivering(delivery) if delivery.found => lines.push(format!(
            "The token {}, made {} and found in a sink, is to be brought to every sink.",
            delivery.token.id,
            moment(delivery.began, now)
        )),
        Phase::Delivering(delivery) => lines.push(format!(
            "The new token {} is on its way to the sinks since {}.",
            delivery.token.id,
            moment(delivery.began, now)
        )),
    }
    for retiring in &record.retiring {
        lines.push(leaving(record, retiring, now));
    }
    if !record.intents.is_empty() {
        lines.push(format!(
            "{} earlier create(s) had no answer; a token that turns up late is still known as \
             ours.",
            record.intents.len()
        ));
    }
}

fn leaving(record: &Record, retiring: &Retiring, now: Timestamp) -> String {
    let id = &retiring.token.id;
    let cause = match retiring.cause {
        Cause::Superseded => "a newer one replaced it",
        Cause::Orphan => "it is ours, its value is lost, and no sink ever got it",
        Cause::Bad => "it is ours, and the SCIM endpoint refused it",
        Cause::GivenUp => "it is ours, and was given up before any sink got it",
        Cause::Asked | Cause::Forced => "an operator asked",
        Cause::Unmanaged => "nobody owns it, and the policy retires such tokens",
        Cause::Dead => "it expired, and its slot is needed",
        Cause::Lingering => "it was deleted before, but is still listed",
    };
    let used = view::retiring_use(record, retiring).map_or_else(
        || "never used, as far as the provider shows".to_owned(),
        |at| format!("last used {}", relative(at, now)),
    );
    let mut text = format!("The older token {id} goes, because {cause}; {used}.");
    let waits = matches!(retiring.cause, Cause::Superseded) && !record.condemned.contains(id);
    if retiring.state.announced_at().is_some() {
        text.push_str(" It is being deleted.");
    } else if waits {
        match view::overlap_ends(retiring).map(|end| end + view::GRAIN) {
            None => text.push_str(" It stays until every sink has the new one."),
            Some(end) if !is_past(end, now) => {
                text = format!("{text} Its overlap ends {}.", moment(end, now));
            }
            Some(end) => text = format!("{text} Its overlap ended {}.", moment(end, now)),
        }
        text.push_str(&evidence(retiring, now));
    }
    text
}

/// What the policy asks for beside the overlap.
fn evidence(retiring: &Retiring, now: Timestamp) -> String {
    let mut asked = Vec::new();
    if retiring.retire.after_use {
        asked.push("the new one has been used".to_owned());
    }
    if let Some(idle) = retiring.retire.when_idle {
        asked.push(format!("it has been unused for {}", span(idle)));
    }
    if asked.is_empty() {
        return String::new();
    }
    let latest = retiring
        .superseded_at
        .zip(retiring.retire.at_latest)
        .and_then(|(since, latest)| {
            since.checked_add_signed(chrono::TimeDelta::from_std(latest).ok()?)
        })
        .map_or_else(
            || "; without that it stays (`revoke_at_latest` is not set)".to_owned(),
            |at| format!("; at the latest it goes {}", moment(at, now)),
        );
    format!(" It also stays until {}{latest}.", asked.join(" and "))
}

fn place(sink: &SinkState, status: SinkStatus, now: Timestamp) -> String {
    let holds = sink
        .holds
        .as_ref()
        .map_or_else(|| "no token that is known".to_owned(), ToString::to_string);
    let what = match status {
        SinkStatus::Delivered => format!("holds {holds}, as it should"),
        SinkStatus::Pending => format!("was last seen with {holds} and waits for its token"),
        SinkStatus::Drift => sink.drift.as_ref().map_or_else(
            || format!("holds {holds}, which it should not"),
            |drift| format!("drifted {}: {}", relative(drift.since, now), drift.what),
        ),
        SinkStatus::Unreadable => {
            format!("cannot be read now; it was last seen with {holds}")
        }
    };
    let removed = if sink.removed {
        " (it left the configuration; it is asked before anything is revoked, and never written)"
    } else {
        ""
    };
    sentence(&format!("{} {} {what}{removed}", sink.place.sink, sink.place.location))
}

fn troubles(record: &Record, now: Timestamp, lines: &mut Vec<String>) {
    for (work, trouble) in record.troubles.iter() {
        let what = match work {
            Work::Look => "Listing its tokens",
            Work::Mint => "Making a token",
            Work::Revoke => "Revoking",
            Work::Probe => "Asking the SCIM endpoint about the current token",
        };
        lines.push(failing(what, trouble, now));
    }
    for sink in record.sinks.values() {
        if let Some(trouble) = &sink.trouble {
            lines.push(failing(&format!("Reaching {}", sink.place.sink), trouble, now));
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

fn failing(what: &str, trouble: &Trouble, now: Timestamp) -> String {
    let person = if trouble.needs_person() {
        " It needs a person, and is retried all the same."
    } else {
        ""
    };
    format!(
        "{what} has failed {} time(s), first {}: {}{person} Next try {}.",
        trouble.count,
        moment(trouble.since, now),
        sentence(&trouble.fault.to_string()),
        moment(trouble.retry_at, now)
    )
}

fn life(token: &Listed, used: Option<ProviderTime>, now: Timestamp) -> String {
    let expires = match token.valid_until {
        None => "does not expire".to_owned(),
        Some(at) if is_past(at, now) => format!("expired {}", moment(at, now)),
        Some(at) => format!("expires {}", moment(at, now)),
    };
    let used = used.map_or_else(
        || "has no recorded use but Scimitar's own probe".to_owned(),
        |at| format!("was last used {}", relative(at, now)),
    );
    format!("{} was made {}, {expires}, and {used}.", token.id, moment(token.created_at, now))
}

/// The text with a full stop.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
