//! The table of `status`: a line of sums, a line for each connection, and under those that need it why,
//! and what to do. It keeps what it shows and no record: there may be very many.

use std::fmt::Write;

use super::{
    screen::{Ink, Screen},
    standing::State,
    text::{self, Way},
    words::{due, is_past, short, since},
};
use crate::{
    clock::Timestamp,
    engine::{
        row::Row,
        stored_status::{UnmanagedRow, unmanaged_of},
    },
    rotation::{record::Record, view, why::Reason},
};

const HEAD: [&str; 8] =
    ["CONNECTION", "STATE", "EXPIRES", "NEXT ROTATION", "AGE", "TOKEN", "PROVIDER", "NOTE"];

/// The columns that are always there.
const ALWAYS: usize = 4;

/// The last column takes what is left, if that is worth it.
const NOTE: usize = HEAD.len() - 1;

/// So many columns of a note are worth showing.
const WORTH: usize = 16;

const GAP: usize = 2;

const INDENT: &str = "    ";

/// The table.
#[derive(Debug)]
pub struct Table {
    now: Timestamp,
    screen: Screen,
    widths: [usize; HEAD.len()],
    lines: Vec<Line>,
}

/// A connection in the table.
#[derive(Clone, Debug)]
struct Line {
    /// The cells, with tabs between them.
    cells: Box<str>,
    below: Box<str>,
    state: State,
}

impl Line {
    fn note(&self) -> &str {
        self.cells.rsplit('\t').next().unwrap_or_default()
    }

    /// The note, where the column has no room for all of it: it stands below then.
    fn note_below(&self, widths: &[usize; HEAD.len()]) -> Option<&str> {
        let note = self.note();
        (note.chars().count() > widths[NOTE]).then_some(note)
    }
}

impl Table {
    /// Without a connection yet.
    #[must_use]
    pub fn at(now: Timestamp, screen: Screen) -> Self {
        Self { now, screen, widths: HEAD.map(str::len), lines: Vec::new() }
    }

    /// Adds a connection, with the record that its row was made from, if there is one yet.
    pub fn add(&mut self, row: &Row, record: Option<&Record>, state: State) {
        self.add_with(row, record, state, text::ways_out(row));
    }

    /// The same of one that needs somebody only because nobody checks it any more.
    pub(super) fn add_neglected(&mut self, row: &Row, record: Option<&Record>) {
        self.add_with(row, record, State::Attention, vec![text::check_now(row)]);
    }

    fn add_with(&mut self, row: &Row, record: Option<&Record>, state: State, ways: Vec<Way>) {
        let line = cells(row, record, state, self.now);
        for (width, cell) in self.widths.iter_mut().zip(&line) {
            *width = (*width).max(cell.chars().count());
        }
        let below = if state.is_bad() { self.below(row, record, ways) } else { String::new() };
        self.lines.push(Line { cells: line.join("\t").into(), below: below.into(), state });
    }

    /// Why, and what to do about it.
    fn below(&self, row: &Row, record: Option<&Record>, ways: Vec<Way>) -> String {
        let mut below = String::new();
        let mut say = |text: &str| {
            for line in self.screen.wrapped(text, INDENT) {
                below.push_str(&line);
                below.push('\n');
            }
        };
        let unmanaged = record.map(|record| unmanaged_of(record, self.now)).unwrap_or_default();
        for detail in text::causes(&bare(row, &unmanaged)) {
            say(&detail);
        }
        if let Some(owner) = &row.owner {
            say(&format!("owner: {owner}"));
        }
        for one in unmanaged.iter().filter(|one| !row.why.contains(&one.revoke)) {
            say(&format!("{} {}: {}", one.kind, one.id, one.words));
        }
        let mut commands: Vec<Way> = Vec::new();
        for one in unmanaged {
            // It is retired once the current one replaces it: not while that is gone.
            let adopt = (one.adopt, "let Scimitar retire it");
            commands.extend(row.gone.is_none().then_some(adopt));
            commands.push((one.revoke, "revoke it now"));
        }
        if commands.is_empty() {
            commands = ways;
        }
        let longest = commands.iter().map(|(command, _)| command.chars().count()).max();
        let width = longest.unwrap_or_default();
        for (command, what) in commands {
            let what = self.screen.paint(Ink::Dim, &format!("# {what}"));
            // Never wrapped: it is there to be copied.
            let _ = writeln!(below, "{INDENT}$ {command:width$}  {what}");
        }
        below
    }

    /// Puts the connections into this order: places in the present one.
    pub(super) fn arrange(&mut self, order: &[usize]) {
        self.lines = arranged(std::mem::take(&mut self.lines), order);
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// The same behind what is there: as text, very many lines are large.
    pub(super) fn write(&self, text: &mut String) {
        let line: usize = self.fitting().iter().map(|width| width + GAP).sum();
        let below: usize = self.lines.iter().map(|line| line.below.len()).sum();
        text.reserve(line * (self.lines.len() + 1) + below);
        self.write_lines(text, self.lines.iter());
    }

    fn write_lines<'l>(&self, table: &mut String, lines: impl Iterator<Item = &'l Line>) {
        let widths = self.fitting();
        let mut head = String::new();
        join(&mut head, HEAD.map(|cell| (cell, None)).into_iter(), &widths, &self.screen);
        table.push_str(&self.screen.paint(Ink::Bold, head.trim_end()));
        table.push('\n');
        for line in lines {
            let below = line.note_below(&widths);
            let cells = line.cells.split('\t').enumerate();
            let cells = cells.filter(|(nth, _)| *nth != NOTE || below.is_none());
            let cells = cells.map(|(nth, cell)| (cell, (nth == 1).then(|| line.state.ink())));
            join(table, cells, &widths, &self.screen);
            for part in below.into_iter().flat_map(|note| self.screen.wrapped(note, INDENT)) {
                table.push_str(&self.screen.paint(Ink::Dim, &part));
                table.push('\n');
            }
            table.push_str(&line.below);
        }
    }

    fn height(&self, line: &Line, widths: &[usize; HEAD.len()]) -> usize {
        let note = line.note_below(widths);
        let note = note.map_or(0, |note| self.screen.wrapped(note, INDENT).len());
        1 + note + line.below.lines().count()
    }

    /// How wide each column is; 0 for those that have no room.
    fn fitting(&self) -> [usize; HEAD.len()] {
        let longest = self.widths[NOTE];
        let widths = self.with_notes_of(longest.min(WORTH));
        let one_fits = |line: &Line| !line.note().is_empty() && line.note_below(&widths).is_none();
        // Where all of them stand below, the other columns have their room.
        if self.lines.iter().any(one_fits) { widths } else { self.with_notes_of(0) }
    }

    /// The same where so many columns are kept for notes.
    fn with_notes_of(&self, note: usize) -> [usize; HEAD.len()] {
        let mut widths = self.widths;
        let Some(width) = self.screen.width.filter(|_| self.screen.terminal) else {
            widths[NOTE] = if note == 0 { 0 } else { widths[NOTE] };
            return widths;
        };
        let mut left = widths
            .iter()
            .take(ALWAYS)
            .fold(width, |left, column| left.saturating_sub(column + GAP));
        // Room for a note comes before what `explain` and JSON tell as well.
        for column in &mut widths[ALWAYS..NOTE] {
            if left >= *column + GAP + note {
                left -= *column + GAP;
            } else {
                *column = 0;
            }
        }
        widths[NOTE] = if left < WORTH || note == 0 { 0 } else { widths[NOTE].min(left) };
        widths
    }

    /// All of it where a terminal of that height shows it at once; else those that somebody has to do
    /// something about, as far as they fit. `sums` stand above either.
    pub(super) fn text_within(&self, height: usize, sums: &str) -> String {
        let widths = self.fitting();
        let all: usize = self.lines.iter().map(|line| self.height(line, &widths)).sum();
        let above = sums.lines().count();
        // The head, and the line for the next command.
        if all + above + 3 <= height {
            return format!("{sums}\n{}", self.text());
        }
        let mut left = height.saturating_sub(5 + above);
        let bad: Vec<&Line> = self.lines.iter().filter(|line| line.state.is_bad()).collect();
        let fitting: Vec<&Line> = bad
            .iter()
            .copied()
            .enumerate()
            .take_while(|(nth, line)| {
                let height = self.height(line, &widths);
                // The worst is shown whatever room there is: nothing else says what to do.
                let fits = height <= left || *nth == 0;
                left = left.saturating_sub(height);
                fits
            })
            .map(|(_, line)| line)
            .collect();
        let mut text = sums.to_owned();
        if !fitting.is_empty() {
            text.push('\n');
            self.write_lines(&mut text, fitting.iter().copied());
        }
        let more = bad.len() - fitting.len();
        if more > 0 {
            let _ = writeln!(text, "{more} more with trouble: `scimitar status --all` lists them");
        }
        let others = self.lines.len() - bad.len();
        if others > 0 {
            let _ = writeln!(text, "{others} without trouble: `scimitar status --all` lists them");
        }
        text
    }
}

pub(super) fn arranged<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.iter().filter_map(|place| items.get_mut(*place)?.take()).collect()
}

fn cells(row: &Row, record: Option<&Record>, state: State, now: Timestamp) -> [String; HEAD.len()] {
    let nothing = || "-".to_owned();
    let current = record.and_then(|record| record.current.as_ref());
    let age = current.map(|current| {
        let token = record.map_or(&current.token, |record| view::freshest(record, &current.token));
        short(since(token.created_at, now))
    });
    let expires = match (row.token_id.is_some(), row.expires_at) {
        (false, _) => nothing(),
        (true, _) if row.gone.is_some() => "gone".to_owned(),
        (true, None) => "never".to_owned(),
        (true, Some(at)) if is_past(at, now) => {
            format!("expired {} ago", short(since(at, now)))
        }
        (true, Some(at)) => due(at, now),
    };
    let id = row.token_id.as_ref().map(ToString::to_string);
    let next = row.next_at.map(|at| due(at, now));
    let note = if state.is_bad() { String::new() } else { note(row, state) };
    [
        row.connection.to_string(),
        state.as_str().to_owned(),
        expires,
        next.unwrap_or_else(nothing),
        age.unwrap_or_else(nothing),
        id.unwrap_or_else(nothing),
        row.provider.to_string(),
        note.replace(['\t', '\n'], " "),
    ]
}

/// The row without what stands below it of its unmanaged tokens: that they are there, and the commands.
fn bare(row: &Row, unmanaged: &[UnmanagedRow]) -> Row {
    let mut row = row.clone();
    for UnmanagedRow { adopt, revoke, .. } in unmanaged {
        let retires = format!(", `{adopt}` lets Scimitar retire it according to the policy");
        row.why = row.why.replace(&format!(": `{revoke}` revokes it{retires}"), "");
        row.why = row.why.replace(&format!(": `{revoke}` revokes it"), "");
    }
    row.warnings.retain(|warning| !text::says_unmanaged(warning, unmanaged));
    row
}

/// What else there is to say of a connection without trouble.
fn note(row: &Row, state: State) -> String {
    // Of a healthy one it says what stands in the columns.
    let why = (!row.why.is_empty() && state != State::Healthy).then(|| row.why.clone());
    let warnings = row.warnings.iter().map(|warning| format!("warning: {warning}"));
    let paused = row.reason == Some(Reason::Paused);
    let resume = paused.then(|| format!("`scimitar resume {}` ends the pause", row.connection));
    let all: Vec<String> = why.into_iter().chain(resume).chain(warnings).collect();
    all.join("; ")
}

/// Adds a line to the text.
fn join<'c>(
    text: &mut String,
    cells: impl Iterator<Item = (&'c str, Option<Ink>)>,
    widths: &[usize; HEAD.len()],
    screen: &Screen,
) {
    let begin = text.len();
    for ((cell, ink), width) in cells.zip(widths).filter(|(_, width)| **width > 0) {
        match ink {
            Some(ink) => text.push_str(&screen.paint(ink, cell)),
            None => text.push_str(cell),
        }
        let length = cell.chars().count();
        text.extend(std::iter::repeat_n(' ', width.saturating_sub(length) + GAP));
    }
    let line = text.get(begin..).unwrap_or_default().trim_end().len();
    text.truncate(begin + line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::stored_status, rotation::fixture, rotation::fixture::now, token::ConnectionName,
    };

    fn row(name: &str) -> (Row, Record) {
        let mut record = fixture::rotated();
        record.name = ConnectionName::try_new(name).unwrap();
        let mut row = stored_status::row(&fixture::policy(), Some(&record), now());
        row.connection = record.name.clone();
        row.why = format!("why {name} stands so, in so many words");
        (row, record)
    }

    fn table(screen: Screen) -> Table {
        let mut table = Table::at(now(), screen);
        let three =
            [("a-long-name-of-acme", State::Failing), ("c", State::Paused), ("b", State::Healthy)];
        for (name, state) in three {
            let (row, record) = row(name);
            table.add(&row, Some(&record), state);
        }
        table
    }

    fn terminal(width: usize) -> Screen {
        Screen { terminal: true, width: Some(width), ..Screen::default() }
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        for width in [80, 120, 200] {
            let text = table(terminal(width)).text();
            let long = |line: &&str| line.chars().count() > width && !line.contains("$ scimitar");
            assert_eq!(text.lines().find(long), None, "{width}: {text}");
        }
        let narrow = table(terminal(72)).text();
        assert!(!narrow.contains("PROVIDER") && narrow.contains("TOKEN"), "{narrow}");
        let wide = table(terminal(200)).text();
        assert!(wide.contains("PROVIDER") && wide.contains("TOKEN"), "{wide}");
    }

    #[test]
    fn a_note_is_never_cut_off() {
        for width in 60..200 {
            let text = table(terminal(width)).text();
            let line = text.lines().find(|line| line.starts_with("c  ")).unwrap();
            let note = "why c stands so, in so many words";
            let below = text.lines().any(|line| line == format!("{INDENT}{note}"));
            assert_eq!(below, !line.ends_with(note), "{width}: {text}");
            assert_eq!(text.contains("NOTE"), line.ends_with(note), "{width}: {text}");
        }
        let high = |height| table(terminal(80)).text_within(height, "sums\n");
        assert!(high(12).contains("    why c stands so"), "{}", high(12));
        assert!(!high(9).contains("why c stands so"), "{}", high(9));
    }

    #[test]
    fn what_is_piped_has_everything_and_no_colour() {
        let text = table(Screen::default()).text();
        let lines: Vec<&str> = text.lines().collect();
        let head = lines.first().unwrap();
        for column in HEAD {
            assert!(head.contains(column), "{column}: {text}");
        }
        assert!(text.contains("why a-long-name-of-acme stands so, in so many words"), "{text}");
        assert!(!text.contains("why b stands so"), "a healthy one is one line: {text}");
        assert!(text.contains("why c stands so, in so many words"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        let state = |line: &str| line.find(" failing  ").or_else(|| line.find(" healthy  "));
        let columns: Vec<_> = lines.iter().filter_map(|line| state(line)).collect();
        assert!(columns.windows(2).all(|two| two[0] == two[1]), "{text}");
        let coloured = table(Screen { colour: true, ..Screen::default() }).text();
        assert!(coloured.contains("\x1b[31mfailing\x1b[0m"), "{coloured}");
        assert!(coloured.contains("\x1b[32mhealthy\x1b[0m"), "{coloured}");
    }

    #[test]
    fn one_with_trouble_says_the_command_to_copy() {
        let text = table(Screen::default()).text();
        assert!(text.contains("    $ scimitar explain a-long-name-of-acme  # "), "{text}");
        assert!(!text.contains("scimitar explain b"), "{text}");
    }

    #[test]
    fn a_token_that_is_gone_does_not_expire_in_thirty_days() {
        let expires = |record: &Record| {
            let row = stored_status::row(&fixture::policy(), Some(record), now());
            let cells = cells(&row, Some(record), State::Attention, now());
            cells[HEAD.iter().position(|head| *head == "EXPIRES").unwrap()].clone()
        };
        assert_eq!(expires(&fixture::rotated()), "in 30d");
        assert_eq!(expires(&fixture::gone()), "gone");
    }

    #[test]
    fn a_pause_is_ended_by_a_command() {
        let (mut row, record) = row("b");
        let mut table = Table::at(now(), Screen::default());
        table.add(&row, Some(&record), State::Paused);
        assert!(!table.text().contains("resume"), "a freeze is not: {}", table.text());
        row.reason = Some(Reason::Paused);
        let mut table = Table::at(now(), Screen::default());
        table.add(&row, Some(&record), State::Paused);
        assert!(table.text().contains("; `scimitar resume b` ends the pause"), "{}", table.text());
    }

    #[test]
    fn one_that_nobody_checks_says_how_to_check_it() {
        let mut table = Table::at(now(), Screen::default());
        let (row, record) = row("b");
        table.add_neglected(&row, Some(&record));
        let text = table.text();
        assert!(text.contains("b           attention  "), "{text}");
        assert!(text.contains("    why b stands so, in so many words\n"), "{text}");
        assert!(text.contains("    $ scimitar once b  # check it now\n"), "{text}");
    }

    #[test]
    fn a_list_longer_than_the_terminal_shows_the_trouble_first() {
        let mut many = table(terminal(120));
        for number in 0..100 {
            let (row, record) = row(&format!("c{number:03}"));
            many.add(&row, Some(&record), State::Healthy);
        }
        let text = many.text_within(24, "103 connections\n");
        assert!(text.lines().count() < 24, "{text}");
        assert!(text.contains("a-long-name-of-acme  failing"), "{text}");
        assert!(
            text.ends_with("102 without trouble: `scimitar status --all` lists them\n"),
            "{text}"
        );
        let small = many.text_within(5, "103 connections\n");
        assert!(
            small.contains("a-long-name-of-acme  failing"),
            "no room, and all the same: {small}"
        );
        assert!(!small.contains(" with trouble: "), "{small}");
        let (row, record) = row("d");
        many.add(&row, Some(&record), State::Failing);
        let small = many.text_within(5, "104 connections\n");
        assert!(small.contains("1 more with trouble: `scimitar status --all`"), "{small}");
        let few = table(terminal(120));
        let whole = few.text_within(40, "sums\n");
        assert_eq!(whole, format!("sums\n\n{}", few.text()));
    }
}
