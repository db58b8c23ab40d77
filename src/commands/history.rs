//! `history`: what changed for a connection, oldest first; what only looked is counted.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    changes::{History, changes},
    output::{Answer, Failure},
    screen::{Ink, Screen},
    session::Session,
};
use crate::{
    app::{self, Use},
    clock::Timestamp,
    ledger::history::Change,
    token::ConnectionName,
    words::stamp,
};

impl Session<'_> {
    /// Reads the ledger alone: it works while every service is away.
    pub(super) async fn history(
        &self,
        names: &BTreeSet<ConnectionName>,
    ) -> Result<Answer, Failure> {
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let mut all = Vec::new();
        for policy in self.policies().filter(|policy| names.contains(&policy.name)) {
            let changes = changes(ledger.as_ref(), &policy.key).await?;
            let (connection, provider) = (policy.name, policy.provider);
            all.push(History { connection, provider, changes });
        }
        let text = text(&all, &self.screen);
        Ok(Answer { history: Some(all), ..Answer::shown(Vec::new(), text) })
    }
}

/// A line a change, newest last.
fn text(all: &[History], screen: &Screen) -> String {
    let mut text = String::new();
    for history in all {
        if all.len() > 1 {
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let name = screen.paint(Ink::Bold, history.connection.as_str());
            let _ = writeln!(text, "{gap}{name}");
        }
        if history.changes.is_empty() {
            let _ = writeln!(text, "{}: nothing has happened yet", history.connection);
        }
        let width = history.changes.iter().map(|change| change.what.len()).max();
        let width = width.unwrap_or_default();
        for change in &history.changes {
            text.push_str(&line(change, width, screen));
        }
    }
    text
}

fn line(change: &Change, width: usize, screen: &Screen) -> String {
    let what = screen.paint(ink(&change.what), &format!("{:width$}", change.what));
    let before = format!("{}  {what}  ", told(change.at));
    let indent = " ".repeat(told(change.at).chars().count() + width + 4);
    let mut lines = screen.wrapped(&change.words, &indent).into_iter();
    let first = lines.next().unwrap_or_default();
    let mut text = format!("{before}{}\n", first.trim_start());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// In UTC, and in this machine's time where that is another one.
fn told(at: Timestamp) -> String {
    let utc = stamp(at);
    let local = at.with_timezone(&chrono::Local);
    if local.offset().local_minus_utc() == 0 {
        return utc;
    }
    format!("{utc} ({})", local.format("%H:%M %:z"))
}

fn ink(what: &str) -> Ink {
    match what {
        "rotated" | "recovered" => Ink::Green,
        "failing" => Ink::Red,
        "refused" | "drift" | "compromised" => Ink::Yellow,
        "checked" => Ink::Dim,
        _ => Ink::Blue,
    }
}
