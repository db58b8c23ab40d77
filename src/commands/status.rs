//! `status`: where each connection stands, as a table.

use std::fmt::Write;

use super::{
    output::Row,
    text,
    words::{relative, span},
};
pub use crate::engine::standing::{next_at, report, strangers};
use crate::{
    clock::Timestamp,
    rotation::{record::Record, view},
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
