//! `status`: where each connection stands, as a table.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fmt::Write,
    io::{self, IsTerminal},
};

use super::{
    discover,
    output::{Answer, Failure, Judge, MadeRow, Row},
    select::Asked,
    session::Session,
    text, watched,
    words::{relative, since, span},
};
pub use crate::engine::stored_status::unmanaged;
use crate::{
    app::{self, Use},
    cli::{List, Output, Sort},
    clock::{Clock, ProviderTime, Timestamp},
    engine::{report::Outcome, stored_status, watched_row::WatchedRow},
    rotation::{policy::Policy, record::Record, view},
    token::ConnectionName,
};

/// How many records are held at once.
const PAGE: usize = 500;

const HEAD: [&str; 7] =
    ["CONNECTION", "STANDING", "PHASE", "TOKEN", "AGE", "EXPIRES", "NEXT ROTATION"];

impl Session<'_> {
    /// Reads the ledger alone: it works while every service is away.
    pub(super) async fn status(
        &self,
        asked: &Asked,
        list: List,
        exit_code: bool,
    ) -> Result<Answer, Failure> {
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let now = self.clock.now();
        let in_text = self.invocation.output == Output::Text;
        let (mut briefs, mut made, mut table) = (Vec::new(), Vec::new(), Table::at(now));
        let mut policies =
            self.policies().filter(|policy| asked.connections.contains(&policy.name));
        loop {
            let page: Vec<Policy> = policies.by_ref().take(PAGE).collect();
            let keys: Vec<_> = page.iter().map(|policy| &policy.key).collect();
            let stored = ledger.load_many(&keys).await?;
            for (policy, stored) in page.iter().zip(stored) {
                let record = stored.map(|stored| stored.record);
                let looked =
                    stored_status::looked_up(ledger.as_ref(), policy, record.as_ref(), now).await;
                let (status, row) = looked?;
                if in_text {
                    table.add(&row, record.as_ref());
                    table.note(status.needs_person);
                }
                made.push(made_of(&row, !in_text)?);
                briefs.push(Brief::of(row));
            }
            if page.len() < PAGE {
                break;
            }
        }
        if let Some(sort) = list.sort {
            let order = order(&briefs, sort);
            table.arrange(&order);
            made = arranged(made, &order);
        }
        let mut watched = WatchedRow::all(&asked.watches, ledger.as_ref(), now).await?;
        watched::arrange(&mut watched, list.sort);
        let height = terminal_height().filter(|_| !list.all);
        let mut text = match height.filter(|_| in_text) {
            // They are all that was asked for.
            _ if briefs.is_empty() && !watched.is_empty() => String::new(),
            Some(height) => table.text_within(height, &briefs),
            None => table.text(),
        };
        drop(table);
        text.push_str(&watched::table(&watched, now));
        let inventories = app::discover::remembered(self.config, ledger.as_ref()).await?;
        text.push_str(&discover::summary(self.config, &inventories, now));
        let say = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let told = stored_status::dormant(ledger.as_ref(), &self.configured(), say).await;
        told?;
        let judge = if exit_code { Judge::Outcomes } else { Judge::Shown };
        Ok(Answer { judge, made, watched, ..Answer::shown(Vec::new(), text) })
    }
}

/// What is kept of a row to judge and to sort by: there may be very many.
struct Brief {
    connection: ConnectionName,
    outcome: Outcome,
    expires_at: Option<ProviderTime>,
    next_at: Option<Timestamp>,
}

impl Brief {
    fn of(row: Row) -> Self {
        let Row { connection, outcome, expires_at, next_at, .. } = row;
        Self { connection, outcome, expires_at, next_at }
    }
}

fn made_of(row: &Row, as_json: bool) -> Result<MadeRow, Failure> {
    let json = as_json.then(|| serde_json::value::to_raw_value(row)).transpose();
    Ok(MadeRow { outcome: row.outcome, json: json.map_err(|error| Failure::system(&error))? })
}

/// The table: a line a connection, and under it why, errors, sinks and unmanaged tokens. It keeps what it
/// shows and no record: there may be very many.
#[derive(Debug)]
pub struct Table {
    now: Timestamp,
    widths: [usize; 7],
    lines: Vec<Line>,
}

/// A connection in the table.
#[derive(Clone, Debug)]
struct Line {
    /// The cells, with tabs between them.
    cells: Box<str>,
    below: Box<str>,
    needs_person: bool,
}

impl Line {
    fn height(&self) -> usize {
        1 + self.below.lines().count()
    }
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
        let (cells, below) = (line.join("\t").into(), below.into());
        self.lines.push(Line { cells, below, needs_person: false });
    }

    /// Notes of the connection that was added last whether somebody has to do something about it.
    pub fn note(&mut self, needs_person: bool) {
        if let Some(last) = self.lines.last_mut() {
            last.needs_person = needs_person;
        }
    }

    /// Puts the connections into this order: places in the present one.
    fn arrange(&mut self, order: &[usize]) {
        self.lines = arranged(std::mem::take(&mut self.lines), order);
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_of(&self.lines.iter().collect::<Vec<_>>())
    }

    fn text_of(&self, lines: &[&Line]) -> String {
        let mut table = String::new();
        join(&mut table, HEAD.into_iter(), &self.widths);
        for line in lines {
            join(&mut table, line.cells.split('\t'), &self.widths);
            table.push_str(&line.below);
        }
        table
    }

    /// All of it where a terminal of that height shows it at once; else what it comes to, and those that
    /// somebody has to do something about, as far as they fit.
    fn text_within(&self, height: usize, rows: &[Brief]) -> String {
        let all: usize = self.lines.iter().map(Line::height).sum();
        // The head, and the line for the next command.
        if all + 2 <= height {
            return self.text();
        }
        let mut text = sums(rows, self.now);
        let mut left = height.saturating_sub(6 + text.lines().count());
        let needy: Vec<&Line> = self.lines.iter().filter(|line| line.needs_person).collect();
        let fitting: Vec<&Line> = needy
            .iter()
            .copied()
            .take_while(|line| {
                let fits = line.height() <= left;
                left = left.saturating_sub(line.height());
                fits
            })
            .collect();
        let more = needy.len() - fitting.len();
        if !fitting.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nNeeds attention:\n{}", self.text_of(&fitting));
        }
        if more > 0 {
            let also = if fitting.is_empty() { "" } else { " more" };
            let _ = writeln!(text, "{more}{also} need attention: `--where attention` shows them");
        }
        text.push_str("`--all` shows each connection\n");
        text
    }
}

/// What the connections come to: a line of sums, and what is next.
fn sums(rows: &[Brief], now: Timestamp) -> String {
    let mut counts: BTreeMap<(Reverse<u8>, &str), usize> = BTreeMap::new();
    for row in rows {
        *counts.entry((Reverse(standing(row.outcome)), row.outcome.as_str())).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().rev().map(|((_, word), count)| format!("{count} {word}")).collect();
    let mut text = format!("{} connections: {}\n", rows.len(), counts.join(", "));
    let expires = |row: &&Brief| row.expires_at;
    if let Some(row) = rows.iter().filter(|row| row.expires_at.is_some()).min_by_key(expires)
        && let Some(at) = row.expires_at
    {
        let (name, at) = (&row.connection, relative(at, now));
        let _ = writeln!(text, "Next to expire: {name} ({at})");
    }
    if let Some(row) = rows.iter().filter(|row| row.next_at.is_some()).min_by_key(|row| row.next_at)
        && let Some(at) = row.next_at
    {
        let (name, at) = (&row.connection, relative(at, now));
        let _ = writeln!(text, "Next rotation: {name} ({at})");
    }
    text
}

/// The places of the rows in that order; equal ones keep theirs.
fn order(rows: &[Brief], sort: Sort) -> Vec<usize> {
    let mut order: Vec<(usize, &Brief)> = rows.iter().enumerate().collect();
    match sort {
        Sort::Name => order.sort_by_key(|(_, row)| row.connection.as_str()),
        // What never comes is last.
        Sort::Expiry => order.sort_by_key(|(_, row)| (row.expires_at.is_none(), row.expires_at)),
        Sort::Next => order.sort_by_key(|(_, row)| (row.next_at.is_none(), row.next_at)),
        Sort::Standing => order.sort_by_key(|(_, row)| standing(row.outcome)),
    }
    order.into_iter().map(|(place, _)| place).collect()
}

fn arranged<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.iter().filter_map(|place| items.get_mut(*place)?.take()).collect()
}

/// The worst first.
fn standing(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Failed => 0,
        Outcome::Refused => 1,
        Outcome::Waiting => 2,
        Outcome::Planned => 3,
        Outcome::Unchanged => 4,
        Outcome::Rotated => 5,
    }
}

/// How many lines the terminal has that standard output is; `None` where it is none.
fn terminal_height() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (lines, _) = console::Term::stdout().size_checked()?;
    Some(lines.into())
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

/// Adds a line to the text.
fn join<'c>(text: &mut String, cells: impl Iterator<Item = &'c str>, widths: &[usize; 7]) {
    for (cell, width) in cells.zip(widths) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{cell:width$}  ");
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::parse_timestamp, engine::stored_status, rotation::fixture, token::ConnectionName,
    };
    use chrono::TimeDelta;

    fn now() -> Timestamp {
        parse_timestamp("2026-11-22T04:00:00Z").unwrap()
    }

    fn row(name: &str, outcome: Outcome, expires: i64) -> Row {
        let mut record = fixture::rotated();
        record.name = ConnectionName::try_new(name).unwrap();
        let policy = fixture::policy();
        let mut row = stored_status::row(&policy, Some(&record), now());
        row.connection = record.name;
        row.outcome = outcome;
        row.why = "why".to_owned();
        let there = crate::clock::ProviderClock::default().to_provider(now());
        row.expires_at = (expires > 0).then(|| there + TimeDelta::days(expires));
        row.next_at = (expires > 0).then(|| now() + TimeDelta::days(40 - expires));
        row
    }

    fn fleet() -> Vec<Row> {
        vec![
            row("b", Outcome::Unchanged, 20),
            row("a", Outcome::Refused, 30),
            row("d", Outcome::Failed, 10),
            row("c", Outcome::Unchanged, 0),
        ]
    }

    fn briefs(rows: Vec<Row>) -> Vec<Brief> {
        rows.into_iter().map(Brief::of).collect()
    }

    fn table(rows: &[Row]) -> Table {
        let mut table = Table::at(now());
        for row in rows {
            table.add(row, None);
            table.note(standing(row.outcome) < 2);
        }
        table
    }

    #[test]
    fn each_order_has_what_it_is_about_first() {
        let names = |sort| {
            let mut rows = fleet();
            let order = order(&briefs(fleet()), sort);
            let mut table = table(&rows);
            table.arrange(&order);
            rows = arranged(rows, &order);
            let names: Vec<String> = rows.iter().map(|row| row.connection.to_string()).collect();
            let text = table.text();
            let places: Vec<usize> =
                names.iter().map(|name| text.find(&format!("\n{name} ")).unwrap()).collect();
            assert!(places.is_sorted(), "{sort:?}: {text}");
            names.concat()
        };
        assert_eq!(names(Sort::Name), "abcd");
        assert_eq!(names(Sort::Expiry), "dbac");
        assert_eq!(names(Sort::Next), "abdc");
        assert_eq!(names(Sort::Standing), "dabc");
    }

    #[test]
    fn a_list_longer_than_the_terminal_is_summed_up() {
        let rows = fleet();
        let few = table(&rows);
        let rows = briefs(rows);
        let whole = few.text();
        assert_eq!(few.text_within(whole.lines().count() + 1, &rows), whole);
        let summed = few.text_within(whole.lines().count(), &rows);
        let expected = "4 connections: 1 failed, 1 refused, 2 unchanged\n\
                        Next to expire: d (in 10 days)\nNext rotation: a (in 10 days)\n";
        assert!(summed.starts_with(expected), "{summed}");
        assert!(summed.ends_with("`--all` shows each connection\n"), "{summed}");
        assert!(!summed.contains("\nb ") && !summed.contains("\nc "), "{summed}");
        assert!(summed.contains("2 need attention: `--where attention` shows them"), "{summed}");

        let many: Vec<Row> =
            (0..100).map(|number| row(&format!("c{number:03}"), Outcome::Unchanged, 20)).collect();
        let mut rows = fleet();
        rows.extend(many);
        let all = table(&rows);
        let summed = all.text_within(24, &briefs(rows));
        assert!(summed.lines().count() < 24, "{summed}");
        let needy = summed.split_once("Needs attention:\n").unwrap().1;
        assert!(needy.contains("\na ") && needy.contains("\nd "), "{summed}");
    }
}
