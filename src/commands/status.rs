//! `status`: where each connection stands, as a table.

use std::fmt::Write;

use super::{
    output::Row,
    text,
    words::{relative, since, span},
};
pub use crate::engine::standing::strangers;
use crate::{
    clock::Timestamp,
    rotation::{record::Record, view},
};

const HEAD: [&str; 7] =
    ["CONNECTION", "STANDING", "PHASE", "TOKEN", "AGE", "EXPIRES", "NEXT ROTATION"];

/// The table: a line a connection, and under it why, errors, sinks and unmanaged tokens. It keeps what it
/// shows and no record: there may be very many.
#[derive(Debug)]
pub struct Table {
    now: Timestamp,
    widths: [usize; 7],
    lines: Vec<([String; 7], String)>,
}

impl Table {
    /// Without a connection yet.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, widths: HEAD.map(str::len), lines: Vec::new() }
    }

    /// Adds a connection, with the record that its row was made from, if there is one yet.
    pub fn add(&mut self, row: &Row, record: Option<&Record>) {
        let line = cells(row, record, self.now);
        for (width, cell) in self.widths.iter_mut().zip(&line) {
            *width = (*width).max(cell.chars().count());
        }
        let mut below = String::new();
        for detail in text::details(row) {
            // Writing to a String cannot fail.
            let _ = writeln!(below, "    {detail}");
        }
        for unmanaged in record.map(|record| strangers(record, self.now)).unwrap_or_default() {
            let _ = writeln!(below, "    {unmanaged}");
        }
        self.lines.push((line, below));
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = join(&HEAD.map(str::to_owned), &self.widths);
        for (line, below) in &self.lines {
            table.push_str(&join(line, &self.widths));
            table.push_str(below);
        }
        table
    }
}

fn cells(row: &Row, record: Option<&Record>, now: Timestamp) -> [String; 7] {
    let nothing = || "-".to_owned();
    let current = record.and_then(|record| record.current.as_ref());
    let age = current.map(|current| {
        let token = record.map_or(&current.token, |record| view::freshest(record, &current.token));
        span(since(token.created_at, now))
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
