//! `status`: where each connection stands, as a table.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    output::Row,
    text,
    words::{moment, relative, span},
};
use crate::{
    clock::{Timestamp, rfc3339},
    config::Config,
    engine::report::{Outcome, Report},
    error::{Code, Fault},
    rotation::{
        decide::{Situation, Verdict, verdict},
        record::{Phase, Record, Trouble},
        view,
        why::Reason,
    },
    token::ConnectionKey,
};

/// A connection's row and the record that it was made from, if there is one yet.
pub type Standing<'a> = (&'a Row, Option<&'a Record>);

const HEAD: [&str; 7] =
    ["CONNECTION", "STANDING", "PHASE", "TOKEN", "AGE", "EXPIRES", "NEXT ROTATION"];

/// The table: a line a connection, and under it why, errors, sinks and unmanaged tokens.
#[must_use]
pub fn table(standings: &[Standing<'_>], now: Timestamp) -> String {
    let lines: Vec<[String; 7]> = standings.iter().map(|standing| cells(*standing, now)).collect();
    let mut widths = HEAD.map(str::len);
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = join(&HEAD.map(str::to_owned), &widths);
    for (line, (row, record)) in lines.iter().zip(standings) {
        table.push_str(&join(line, &widths));
        for detail in text::details(row) {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "    {detail}");
        }
        for unmanaged in record.map(|record| strangers(record, now)).unwrap_or_default() {
            let _ = writeln!(table, "    {unmanaged}");
        }
    }
    table
}

/// Each token that nobody here owns: its age, its last use, and the two commands that settle it.
#[must_use]
pub fn strangers(record: &Record, now: Timestamp) -> Vec<String> {
    let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
    listed
        .filter_map(|token| Some((token, record.strangers.get(&token.id)?)))
        .map(|(token, stranger)| {
            let (id, name) = (&token.id, &record.name);
            let kind = if stranger.probably_ours { "probable orphan" } else { "unmanaged token" };
            let used = token.last_used_at.map_or_else(
                || "never used".to_owned(),
                |at| format!("last used {}", relative(at, now)),
            );
            format!(
                "{kind} {id}: made {}, {used}; `scimitar adopt {name} --token-id {id}` takes it \
                 over, `scimitar revoke {name} --token-id {id}` revokes it",
                relative(token.created_at, now)
            )
        })
        .collect()
}

/// How a connection stands by what is on record; nothing is asked or changed.
#[must_use]
pub fn report(s: Option<&Situation<'_>>) -> Report {
    let Some(s) = s else {
        return Report {
            outcome: Outcome::Unchanged,
            reason: None,
            why: "it was never looked at yet: `scimitar --once` or the daemon does".to_owned(),
            record: None,
            fault: None,
        };
    };
    let record = s.record;
    let troubled = worst(record);
    let trouble = troubled.map(|(trouble, _)| trouble);
    let wait = record.older.iter().find_map(|older| match verdict(s, older) {
        Verdict::Wait { reason, words, .. } => Some((reason, words)),
        Verdict::Ready(_) => None,
    });
    let (outcome, reason, why) = match (&record.refusal, trouble, &record.phase, wait) {
        (Some(refusal), ..) if refusal.reason == Reason::PreviousInUse => {
            (Outcome::Waiting, Some(refusal.reason), refusal.words.clone())
        }
        (Some(refusal), ..) => (Outcome::Refused, Some(refusal.reason), refusal.words.clone()),
        (None, Some(trouble), ..) => (
            Outcome::Failed,
            troubled.map(|(_, reason)| reason),
            format!("{}; tried again {}", trouble.fault, moment(trouble.retry_at, s.now)),
        ),
        (None, None, Phase::Minting(_) | Phase::Delivering(_), _) => {
            (Outcome::Waiting, None, "a rotation is under way".to_owned())
        }
        (None, None, Phase::Steady, Some((reason, words))) => {
            (Outcome::Waiting, Some(reason), words)
        }
        (None, None, Phase::Steady, None) => (Outcome::Unchanged, None, idle(record)),
    };
    let fault = trouble.filter(|_| outcome == Outcome::Failed).map(|trouble| trouble.fault.clone());
    Report { outcome, reason, why, record: Some(record.clone()), fault }
}

/// The last failure on record, and whose it is.
fn worst(record: &Record) -> Option<(&Trouble, Reason)> {
    let troubles = &record.troubles;
    let provider = [&troubles.look, &troubles.revoke].into_iter().flatten();
    let mint = troubles.mint.iter().map(|trouble| (trouble, blame(&trouble.fault)));
    let places = record.places().filter_map(|sink| sink.trouble.as_ref());
    mint.chain(provider.map(|trouble| (trouble, Reason::ProviderUnavailable)))
        .chain(places.map(|trouble| (trouble, Reason::SinkUnavailable)))
        .max_by_key(|(trouble, _)| trouble.at)
}

/// Whose failure it is that a token was not made: it may have been shown beforehand that a sink
/// would not take it.
fn blame(fault: &Fault) -> Reason {
    match fault.code {
        Code::Io | Code::Changed | Code::ForeignOwner | Code::ClaimLost => Reason::SinkUnavailable,
        Code::NoSlot => Reason::NoFreeSlot,
        Code::Unauthorized
        | Code::Forbidden
        | Code::NoConnection
        | Code::ScimNotConfigured
        | Code::ScimUnsupported
        | Code::Invalid
        | Code::Throttled
        | Code::Unavailable
        | Code::Timeout
        | Code::Unreachable
        | Code::Unreadable => Reason::ProviderUnavailable,
    }
}

/// When the next rotation starts: one that is overdue starts when what stopped it is tried again,
/// or when what refuses it ends.
#[must_use]
pub fn next_at(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let next = record.next_rotation?;
    if next > now {
        return Some(next);
    }
    let troubles = &record.troubles;
    let retries = [&troubles.mint, &troubles.look].into_iter().flatten();
    let retries = retries.map(|trouble| trouble.retry_at);
    let refused = record.refusal.as_ref().and_then(|refusal| refusal.until);
    Some(retries.chain(refused).fold(next, Timestamp::max))
}

/// A line for each connection that left the configuration while it has something to be revoked.
pub fn dormant<'a>(records: impl Iterator<Item = &'a Record>, config: &Config) -> Vec<String> {
    let configured: BTreeSet<&ConnectionKey> =
        config.connections.iter().map(|connection| &connection.key).collect();
    records
        .filter(|record| !configured.contains(&record.key))
        .filter(|record| {
            !record.older.is_empty() || !record.condemned.is_empty() || record.phase != Phase::Steady
        })
        .map(|record| {
            format!(
                "{} ({}) left the configuration with tokens that are still to be revoked: put it back until `scimitar status` shows it steady, or revoke them at the provider",
                record.name, record.key
            )
        })
        .collect()
}

fn idle(record: &Record) -> String {
    match (record.older.first(), record.next_rotation) {
        (Some(older), _) => format!("{} is to be revoked by the next pass", older.token.id),
        (None, Some(at)) => format!("nothing is due before {}", rfc3339(at)),
        (None, None) => "nothing is due".to_owned(),
    }
}

fn cells((row, record): Standing<'_>, now: Timestamp) -> [String; 7] {
    let nothing = || "-".to_owned();
    let current = record.and_then(|record| record.current.as_ref());
    let age = current.map(|current| {
        let token = record.map_or(&current.token, |record| view::freshest(record, &current.token));
        span((now - token.created_at).to_std().unwrap_or_default())
    });
    let expires = match (row.token_id.is_some(), row.expires_at) {
        (false, _) => nothing(),
        (true, None) => "never".to_owned(),
        (true, Some(at)) => relative(at, now),
    };
    let id = row.token_id.as_ref().map(ToString::to_string);
    let next = row.next_at.map(|at| relative(at, now));
    [
        row.connection.to_string(),
        row.outcome.as_str().to_owned(),
        row.phase.unwrap_or("-").to_owned(),
        id.unwrap_or_else(nothing),
        age.unwrap_or_else(nothing),
        expires,
        next.unwrap_or_else(nothing),
    ]
}

fn join(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(line, "{cell:width$}  ");
    }
    line.trim_end().to_owned() + "\n"
}
