//! Rows and failures as text, for people: a line a connection, and under it what to know.

use std::{borrow::Cow, fmt::Write};

use super::{
    output::{Answer, Failure, Row},
    screen::{Ink, Screen},
    words::{date_seen, is_past, moment},
};
use crate::{
    clock::Timestamp,
    engine::{report::Outcome, stored_status::UnmanagedRow},
    error::{Class, Code},
    rotation::{
        policy::Mode,
        view::{GONE, SinkStatus},
        why::Reason,
    },
    token::TokenId,
};

/// Between a name and what is said of it.
const GAP: usize = 2;

/// What standard output gets for people.
#[must_use]
pub fn answer<'a>(answer: &'a Answer, now: Timestamp, screen: &Screen) -> Cow<'a, str> {
    let made = || Cow::Owned(rows(&answer.rows, now, screen));
    answer.text.as_deref().map_or_else(made, Cow::Borrowed)
}

/// The rows, names and outcomes in columns.
#[must_use]
pub fn rows(rows: &[Row], now: Timestamp, screen: &Screen) -> String {
    let width =
        rows.iter().map(|row| row.connection.as_str().chars().count()).max().unwrap_or_default();
    rows.iter().map(|each| row(each, "", width, now, screen)).collect()
}

/// One row: behind `before`, its name in a column of that width.
#[must_use]
pub fn row(row: &Row, before: &str, width: usize, now: Timestamp, screen: &Screen) -> String {
    let mut text = String::new();
    let outcome =
        screen.paint(ink(row.outcome), &format!("{:9}", row.done.unwrap_or(row.outcome.as_str())));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{before}{:width$}  {outcome}  {}",
        row.connection.as_str(),
        tokens(row, now)
    );
    let indent = " ".repeat(before.chars().count() + width + GAP);
    for detail in details(row) {
        for line in screen.wrapped(&detail, &indent) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

fn ink(outcome: Outcome) -> Ink {
    match outcome {
        Outcome::Rotated => Ink::Green,
        Outcome::Failed => Ink::Red,
        Outcome::Refused => Ink::Yellow,
        Outcome::Planned | Outcome::Unchanged | Outcome::Waiting => Ink::Dim,
    }
}

/// What standard error gets when the command as a whole failed.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    let mut text = String::new();
    for problem in &failure.problems {
        let _ = writeln!(text, "error: {problem}");
    }
    if !failure.message.is_empty() {
        let _ = writeln!(text, "error: {}", failure.message);
    }
    text
}

/// What to know beside a row's first line: why, the error, what a sink lacks, the way out.
#[must_use]
pub fn details(row: &Row) -> Vec<String> {
    let has_trouble = matches!(row.outcome, Outcome::Refused | Outcome::Failed);
    let ways = if has_trouble && !row.by_an_operator { ways_out(row) } else { Vec::new() };
    let help = ways.into_iter().map(|(command, what)| format!("help: `{command}` ({what})"));
    causes(row).into_iter().chain(help).collect()
}

/// The same without the way out.
#[must_use]
pub fn causes(row: &Row) -> Vec<String> {
    let why = (!row.why.is_empty()).then(|| row.why.clone());
    let error = row
        .error
        .as_ref()
        .filter(|error| !row.why.contains(&error.message))
        .map(|error| format!("error: {}", error.message));
    // A place that failed is mostly named by the failure.
    let named = |location: &str| {
        row.why.contains(location)
            || row.error.as_ref().is_some_and(|error| error.message.contains(location))
    };
    let sinks = row
        .sinks
        .iter()
        .filter(|sink| match sink.state {
            SinkStatus::Delivered => false,
            SinkStatus::Drift => true,
            SinkStatus::Pending | SinkStatus::Unreadable => !named(&sink.location),
        })
        .map(|sink| format!("{} {}: {}", sink.sink, sink.location, sink.state.as_str()));
    // What needs a person is often the very failure.
    let said = |warning: &&String| {
        let what = warning.split_once(": ").map_or("", |(_, what)| what);
        let unmanaged = warning.strip_suffix(IS_UNMANAGED);
        !what.is_empty() && row.why.contains(what)
            || unmanaged.is_some_and(|id| row.why.contains(&format!("unmanaged token {id} ")))
    };
    let warnings = row.warnings.iter().filter(|warning| !said(warning));
    let warnings = warnings.map(|warning| format!("warning: {warning}"));
    why.into_iter().chain(error).chain(sinks).chain(warnings).collect()
}

/// How a warning ends that says no more than this of a token.
const IS_UNMANAGED: &str = " is an unmanaged token";

/// Whether a warning says no more than that one of these tokens is unmanaged.
#[must_use]
pub fn says_unmanaged(warning: &str, tokens: &[UnmanagedRow]) -> bool {
    let id = warning.strip_suffix(IS_UNMANAGED);
    id.is_some_and(|id| tokens.iter().any(|token| token.id.as_str() == id))
}

/// A command to copy, and what it is for.
pub type Way = (String, &'static str);

/// The commands to copy.
#[must_use]
pub fn ways_out(row: &Row) -> Vec<Way> {
    let ways = remedies(row, row.reason);
    if ways.is_empty() {
        let confirms = quoted(&row.why).filter(|_| row.reason == Some(Reason::PlaceChanged));
        if let Some(command) = confirms {
            // What is away comes back more often than readers move: to accept an empty place would leave them
            // without the next token.
            let (again, _) = check_now(row);
            return vec![
                (again, "once the previous place is back: check it now"),
                (command.to_owned(), "only if readers now take the token from the new place"),
            ];
        }
        let name = &row.connection;
        let what = "why it waits, what ends the wait, and until when";
        return vec![(format!("scimitar explain {name}"), what)];
    }
    ways
}

/// The one command of ours that a sentence names.
fn quoted(words: &str) -> Option<&str> {
    let mut commands =
        words.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("scimitar "));
    commands.next().filter(|_| commands.next().is_none())
}

/// The commands that end what the word says, where there are any.
#[must_use]
pub fn remedies(row: &Row, reason: Option<Reason>) -> Vec<Way> {
    let name = &row.connection;
    // What can be done is said in the words of the cause; the command would be refused, or just was.
    let observed = row.mode == Some(Mode::Observe.as_str()) && reason == Some(Reason::DeadToken);
    if observed || (row.outcome == Outcome::Refused && reason == Some(Reason::Handoff)) {
        return Vec::new();
    }
    vec![match (reason, &row.previous_token_id) {
        (Some(Reason::Drift | Reason::TokenRefused | Reason::DeadToken), _) => {
            (format!("scimitar rotate {name}"), "replace the token everywhere now")
        }
        (Some(Reason::SinkUnavailable | Reason::ProviderUnavailable), _) => return retries(row),
        (Some(Reason::PreviousInUse), Some(previous)) if row.gone.is_some() => (
            format!("scimitar revoke {name} --token-id {previous} --force"),
            "make room for a new token (clients that still use the previous one stop working)",
        ),
        (Some(Reason::PreviousInUse), Some(previous)) => (
            format!("scimitar revoke {name} --token-id {previous}"),
            "end the wait now (clients that still use the previous token stop working)",
        ),
        (Some(Reason::Paused), _) => (format!("scimitar resume {name}"), "end the pause"),
        (Some(Reason::Handoff), _) => {
            (format!("scimitar handoff {name} --done"), "once the client uses the new token")
        }
        _ => return Vec::new(),
    }]
}

/// The command that checks a connection now, whatever pause the daemon makes after failures.
#[must_use]
pub fn check_now(row: &Row) -> Way {
    (format!("scimitar once {}", row.connection), "check it now")
}

/// What to do where a service fails. After an answer that needs a fix the daemon may wait an hour before it tries
/// again, and who has fixed the cause does not have to; any other failure keeps its pause whoever asks.
fn retries(row: &Row) -> Vec<Way> {
    if row.faults.is_empty() {
        // It waits for a second look, and nothing is broken as far as is known.
        return vec![check_now(row)];
    }
    let (command, _) = check_now(row);
    let again = (command, "once it is fixed: try again now");
    let needs_fix = row.faults.iter().any(|(class, _)| *class == Class::Terminal);
    let denied = |code: &Code| matches!(code, Code::Forbidden | Code::Unauthorized);
    let denied = row.faults.iter().any(|(_, code)| denied(code));
    let check = |what| ("scimitar check --online".to_owned(), what);
    match (denied, needs_fix) {
        (true, true) => vec![check("test every log-in and permission"), again],
        (true, false) => vec![check("test every log-in and permission")],
        (false, true) => vec![again],
        (false, false) => {
            vec![check("find what is down; once it is up again, Scimitar continues automatically")]
        }
    }
}

/// "tok_… expires at … (in 30 days); previous token tok_… can be revoked from … (in 59 s)".
fn tokens(row: &Row, now: Timestamp) -> String {
    let current = match (&row.token_id, row.expires_at) {
        // Without a record nothing is known: it was not checked yet, or the ledger is unavailable.
        (None, _) if row.phase.is_none() => "current token unknown".to_owned(),
        (None, _) => "no current token".to_owned(),
        (Some(id), _) if row.gone.is_some() => format!("{id} {GONE}"),
        (Some(id), None) => format!("{id} does not expire"),
        (Some(id), Some(at)) if is_past(at, now) => format!("{id} expired at {}", moment(at, now)),
        (Some(id), Some(at)) => format!("{id} expires at {}", moment(at, now)),
    };
    let id = row.previous_token_id.as_ref().map(TokenId::as_str);
    match (id, row.revoke_after) {
        (None, _) => current,
        (Some(id), None) => {
            format!("{current}; previous token {id} stays until every sink has the new one")
        }
        (Some(id), Some(at)) if is_past(at, now) => {
            let ended = date_seen(at, now);
            format!("{current}; previous token {id} still valid (overlap ended at {ended})")
        }
        (Some(id), Some(at)) => {
            format!("{current}; previous token {id} can be revoked from {}", moment(at, now))
        }
    }
}

/// Columns as wide as what stands in them: the head, then a line for each.
pub(super) fn columns<const N: usize>(head: [&str; N], lines: &[[String; N]]) -> Vec<String> {
    let mut widths = head.map(str::len);
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let joined = |cells: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        line.trim_end().to_owned() + "\n"
    };
    std::iter::once(joined(&head.map(str::to_owned))).chain(lines.iter().map(joined)).collect()
}
