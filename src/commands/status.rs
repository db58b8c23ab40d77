//! `status`: where each connection stands, as a table.

use std::fmt::Write;

use super::{
    output::{Answer, Failure, Judge, Row},
    select::select,
    session::Session,
    text,
    words::{relative, since, span},
};
pub use crate::engine::stored_status::unmanaged;
use crate::{
    app::{self, Use},
    clock::Timestamp,
    engine::stored_status,
    rotation::{record::Record, view},
    token::ConnectionName,
};

const HEAD: [&str; 7] =
    ["CONNECTION", "STANDING", "PHASE", "TOKEN", "AGE", "EXPIRES", "NEXT ROTATION"];

impl Session<'_> {
    /// Reads the ledger alone: it works while every service is away.
    pub(super) async fn status(
        &self,
        named: &[ConnectionName],
        exit_code: bool,
    ) -> Result<Answer, Failure> {
        let configured =
            self.config.connections.iter().map(|connection| connection.name.clone()).collect();
        let selected = select(&configured, named)?;
        let ledger = app::open_ledger(&self.config.state.path, Use::Look)?;
        let now = self.clock.now();
        let (mut rows, mut table) = (Vec::new(), Table::at(now));
        let surveys = self.config.surveys();
        for connection in
            self.config.connections.iter().filter(|connection| selected.contains(&connection.name))
        {
            let name = &connection.provider;
            let Some((provider, survey)) = self.config.providers.get(name).zip(surveys.get(name))
            else {
                continue;
            };
            let policy = connection.policy(provider.capabilities(), survey.interval);
            let stored = ledger.load(&policy.key).await?;
            let record = stored.map(|stored| stored.record);
            let looked =
                stored_status::looked_up(ledger.as_ref(), &policy, record.as_ref(), now).await;
            let (_, row) = looked?;
            table.add(&row, record.as_ref());
            rows.push(row);
        }
        let mut text = table.text();
        let say = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let told = stored_status::dormant(ledger.as_ref(), &self.configured(), say).await;
        told?;
        let judge = if exit_code { Judge::Outcomes } else { Judge::Shown };
        Ok(Answer { judge, ..Answer::shown(rows, text) })
    }
}

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
        for unmanaged in record.map(|record| unmanaged(record, self.now)).unwrap_or_default() {
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
