//! The line of sums that `status` begins with: how many stand how, what is next, and how old that is.

use std::{fmt::Write, path::Path};

use super::{
    screen::Screen,
    standing::State,
    words::{due, short, since},
};
use crate::{
    clock::{ProviderTime, Timestamp},
    ledger::sqlite::{self, Daemon, Left},
    token::ConnectionName,
};

/// What is kept of a row to sum up and to sort by.
#[derive(Clone, Debug)]
pub struct Brief {
    /// Its label.
    pub connection: ConnectionName,
    /// How it stands.
    pub state: State,
    /// When its token stops working by itself.
    pub expires_at: Option<ProviderTime>,
    /// Since when it is gone, whatever its expiry says.
    pub gone: Option<ProviderTime>,
    /// When the next rotation starts.
    pub next_at: Option<Timestamp>,
    /// When it was last checked.
    pub checked_at: Option<Timestamp>,
    /// Whether checks have stopped.
    pub neglected: bool,
}

/// What is known of the daemon, where the ledger answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// Nothing: it answers itself, or none was asked.
    Unasked,
    /// None answered that was asked.
    Unanswered,
    /// None answered that was asked, although this one lives.
    Silent(Daemon),
    /// The last one was killed, and none serves the ledger now.
    Killed(Daemon),
}

impl Served {
    /// What the ledger says of the daemon; whether it was asked and none answered.
    pub(super) async fn of(ledger: Option<&Path>, unanswered: bool) -> Self {
        let file = ledger.map(ToOwned::to_owned);
        let look = tokio::task::spawn_blocking(move || sqlite::left(&file?));
        match look.await.ok().flatten() {
            Some(Left::Killed(daemon)) => Self::Killed(daemon),
            Some(Left::Lives(daemon)) if unanswered => Self::Silent(daemon),
            None if unanswered => Self::Unanswered,
            Some(Left::Lives(_)) | None => Self::Unasked,
        }
    }

    /// A line where nothing is rotated, or that is not known, whatever is said of the connections; else nothing.
    #[must_use]
    pub fn notice(&self, now: Timestamp) -> String {
        match self {
            Self::Killed(Daemon { pid, since: began }) => format!(
                "the daemon does not run: process {pid}, started {} ago, was killed or crashed. Nothing is \
                 rotated until it is started again\n",
                short(since(*began, now))
            ),
            Self::Silent(Daemon { pid, since: began }) => format!(
                "the daemon does not answer: process {pid}, started {} ago, lives, and is stopped or hangs, or its \
                 control socket cannot be reached from here. Its log says more; if it hangs, restart it\n",
                short(since(*began, now))
            ),
            Self::Unasked | Self::Unanswered => String::new(),
        }
    }
}

/// "40 connections: 2 need attention, 1 failing, 37 healthy; next rotation in 3h: initech-okta; checked 4m
/// ago".
#[must_use]
pub fn sums(rows: &[Brief], now: Timestamp, screen: &Screen, served: &Served) -> String {
    if rows.is_empty() {
        return "no connections\n".to_owned();
    }
    let counted = State::ALL.iter().filter_map(|state| {
        let count = rows.iter().filter(|row| row.state == *state).count();
        (count > 0).then(|| screen.paint(state.ink(), &state.counted(count)))
    });
    let counted: Vec<String> = counted.collect();
    let what = if rows.len() == 1 { "connection" } else { "connections" };
    let mut text = format!("{} {what}: {}", rows.len(), counted.join(", "));
    let next = rows.iter().filter_map(|row| Some((row.next_at?, &row.connection))).min();
    if let Some((at, name)) = next {
        // Writing to a String cannot fail.
        let _ = write!(text, "; next rotation {}: {name}", due(at, now));
    }
    text.push_str(&checked(rows, now, served));
    text.push('\n');
    text.push_str(&served.notice(now));
    text
}

/// How old what is said is, by the connection that was not checked for longest, and whether a daemon is there.
fn checked(rows: &[Brief], now: Timestamp, served: &Served) -> String {
    let neglected = rows.iter().any(|row| row.neglected);
    let oldest = rows.iter().filter_map(|row| row.checked_at).min();
    let last = oldest.map(|at| match short(since(at, now)).as_str() {
        "0s" => "just now".to_owned(),
        age => format!("{age} ago"),
    });
    match (last, served) {
        (None, Served::Unasked | Served::Killed(_) | Served::Silent(_)) => String::new(),
        (None, Served::Unanswered) => "; no daemon answered".to_owned(),
        (Some(ago), Served::Killed(_) | Served::Silent(_)) => format!("; last check {ago}"),
        (Some(ago), _) if neglected => {
            let silent = if *served == Served::Unanswered { "no daemon answered, " } else { "" };
            format!("; {silent}last check {ago}: probably neither a daemon nor a timer runs")
        }
        (Some(ago), Served::Unanswered) => format!("; no daemon answered, last check {ago}"),
        (Some(ago), Served::Unasked) => format!("; checked {ago}"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rotation::fixture::now;

    #[test]
    fn nothing_is_due_in_the_past() {
        let brief = |name: &str, state, seconds| Brief {
            connection: ConnectionName::try_new(name).unwrap(),
            state,
            expires_at: None,
            gone: None,
            next_at: Some(now() + TimeDelta::seconds(seconds)),
            checked_at: None,
            neglected: false,
        };
        let plain = Screen::default();
        let late = [brief("a", State::Failing, -47), brief("b", State::Healthy, 7_200)];
        let words = "2 connections: 1 failing, 1 healthy; next rotation overdue by 47s: a\n";
        assert_eq!(sums(&late, now(), &plain, &Served::Unasked), words);
        let one = [brief("b", State::Attention, 10_800)];
        let words = "1 connection: 1 needs attention; next rotation in 3h: b\n";
        assert_eq!(sums(&one, now(), &plain, &Served::Unasked), words);
        assert_eq!(sums(&[], now(), &plain, &Served::Unasked), "no connections\n");
    }

    #[test]
    fn the_sums_say_how_old_they_are() {
        let brief = |name: &str, minutes: Option<i64>, neglected| Brief {
            connection: ConnectionName::try_new(name).unwrap(),
            state: if neglected { State::Attention } else { State::Healthy },
            expires_at: None,
            gone: None,
            next_at: None,
            checked_at: minutes.map(|minutes| now() - TimeDelta::minutes(minutes)),
            neglected,
        };
        let said = |briefs: &[Brief], served: &Served| {
            let sums = sums(briefs, now(), &Screen::default(), served);
            sums.split_once(": ").unwrap().1.trim_end().to_owned()
        };
        let (unasked, silent) = (&Served::Unasked, &Served::Unanswered);
        let fresh = [brief("a", Some(1), false), brief("b", Some(4), false)];
        assert_eq!(said(&fresh, unasked), "2 healthy; checked 4m ago", "the oldest of them");
        assert_eq!(said(&fresh, silent), "2 healthy; no daemon answered, last check 4m ago");
        assert_eq!(said(&[brief("a", Some(0), false)], unasked), "1 healthy; checked just now");
        let never = [brief("a", None, false)];
        assert_eq!(said(&never, unasked), "1 healthy");
        assert_eq!(said(&never, silent), "1 healthy; no daemon answered");
        let old = [brief("a", Some(180), true)];
        let words =
            "1 needs attention; last check 3h ago: probably neither a daemon nor a timer runs";
        assert_eq!(said(&old, unasked), words);
        let words = "1 needs attention; no daemon answered, last check 3h ago: probably neither a daemon nor a timer runs";
        assert_eq!(said(&old, silent), words);
        let killed = Served::Killed(Daemon { pid: 4711, since: now() - TimeDelta::hours(5) });
        let words = "the daemon does not run: process 4711, started 5h ago, was killed or crashed. Nothing is rotated until it is started again";
        assert_eq!(said(&fresh, &killed), format!("2 healthy; last check 4m ago\n{words}"));
        assert_eq!(said(&old, &killed), format!("1 needs attention; last check 3h ago\n{words}"));
        assert_eq!(said(&never, &killed), format!("1 healthy\n{words}"));
    }
}
