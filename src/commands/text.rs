//! Rows and failures as text, for people: a line a connection, and under it what to know.

use std::{borrow::Cow, fmt::Write};

use super::{
    output::{Answer, Failure, Row},
    words::{is_past, moment},
};
use crate::{
    clock::Timestamp, engine::report::Outcome, rotation::view::SinkStatus, token::TokenId,
};

/// What standard output gets for people.
#[must_use]
pub fn answer(answer: &Answer, now: Timestamp) -> Cow<'_, str> {
    let made = || Cow::Owned(rows(&answer.rows, now));
    answer.text.as_deref().map_or_else(made, Cow::Borrowed)
}

/// The rows, names and outcomes in columns.
#[must_use]
pub fn rows(rows: &[Row], now: Timestamp) -> String {
    let width =
        rows.iter().map(|row| row.connection.as_str().chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:width$}  {:9}  {}",
            row.connection.as_str(),
            row.outcome.as_str(),
            tokens(row, now)
        );
        for detail in details(row) {
            let _ = writeln!(text, "{:width$}  {detail}", "");
        }
    }
    text
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
    let why = (!row.why.is_empty()).then(|| row.why.clone());
    let error = row
        .error
        .as_ref()
        .filter(|error| !row.why.contains(&error.message))
        .map(|error| format!("error: {}", error.message));
    let sinks = row
        .sinks
        .iter()
        .filter(|sink| sink.state != SinkStatus::Delivered)
        .map(|sink| format!("{} {}: {}", sink.sink, sink.location, sink.state.as_str()));
    let warnings = row.warnings.iter().map(|warning| format!("warning: {warning}"));
    let help = way_out(row).map(|help| format!("help: {help}"));
    why.into_iter().chain(error).chain(sinks).chain(warnings).chain(help).collect()
}

/// "tok_… expires in 30 days (…); older tok_… may go in 59 s (…)".
fn tokens(row: &Row, now: Timestamp) -> String {
    let current = match (&row.token_id, row.expires_at) {
        // Without a record nothing is known: it was never looked at, or the ledger cannot be had.
        (None, _) if row.phase.is_none() => "current token not known".to_owned(),
        (None, _) => "no current token".to_owned(),
        (Some(id), None) => format!("{id} does not expire"),
        (Some(id), Some(at)) if is_past(at, now) => format!("{id} expired {}", moment(at, now)),
        (Some(id), Some(at)) => format!("{id} expires {}", moment(at, now)),
    };
    let id = row.previous_token_id.as_ref().map(TokenId::as_str);
    match (id, row.revoke_after) {
        (None, _) => current,
        (Some(id), None) => format!("{current}; older {id} stays until every sink has the new one"),
        (Some(id), Some(at)) if is_past(at, now) => {
            format!("{current}; older {id} could have gone {}", moment(at, now))
        }
        (Some(id), Some(at)) => format!("{current}; older {id} may go {}", moment(at, now)),
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

/// Where to read on; the reason's own words say what to do about it.
fn way_out(row: &Row) -> Option<String> {
    let name = &row.connection;
    match row.outcome {
        _ if row.by_an_operator => None,
        Outcome::Refused => Some(format!(
            "`scimitar explain {name}` says what it waits for and what would end that"
        )),
        Outcome::Failed => Some(format!(
            "the daemon and every `scimitar --once` try again; `scimitar explain {name}` says when"
        )),
        Outcome::Rotated | Outcome::Planned | Outcome::Unchanged | Outcome::Waiting => None,
    }
}
