//! Results of many connections as they come, counted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{output::Row, progress::Console, screen::Screen, session::Session, text};
use crate::{
    cli::Output,
    clock::Timestamp,
    engine::{progress::Progress, worker::Connection},
};

/// The results of one call, while they come.
#[derive(Debug)]
pub(super) struct Coming {
    console: Console,
    screen: Screen,
    total: usize,
    ended: AtomicUsize,
    /// How wide the longest name is.
    width: usize,
    in_text: bool,
}

impl Session<'_> {
    /// Of a call over these connections.
    pub(super) fn coming(&self, connections: &[Arc<Connection>]) -> Arc<Coming> {
        let names = connections.iter().map(|one| one.policy.name.as_str().chars().count());
        Arc::new(Coming {
            console: self.console.clone(),
            screen: self.screen,
            total: connections.len(),
            ended: AtomicUsize::new(0),
            width: names.max().unwrap_or_default(),
            in_text: self.invocation.output == Output::Text,
        })
    }
}

impl Coming {
    /// Whether each is printed as it comes, so that the answer need not say it again.
    pub(super) fn are_printed(&self) -> bool {
        self.in_text && self.total > 1
    }

    /// One has come.
    pub(super) fn done(&self, row: &Row, progress: &dyn Progress, now: Timestamp) {
        let nth = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let (name, total) = (&row.connection, self.total);
        // What an operator had done is no mere "unchanged".
        let outcome = row.done.unwrap_or(row.outcome.as_str());
        if self.are_printed() {
            progress.done(name, "");
            let digits = total.to_string().len();
            let counted = format!("{nth:digits$}/{total}  ");
            let line = text::row(row, &counted, self.width, now, &self.screen);
            // A reader that went away does not stop a rotation.
            let _ = self.console.show(&line);
        } else if total > 1 {
            progress.done(name, &format!("{outcome} ({nth}/{total})"));
        } else {
            progress.done(name, outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        clock::parse_timestamp,
        engine::report::{Outcome, Report},
        rotation::fixture,
        token::ConnectionName,
    };

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Progress for Heard {
        fn step(&self, _connection: &ConnectionName, _words: &str) {}

        fn done(&self, connection: &ConnectionName, words: &str) {
            self.0.lock().unwrap().push(format!("{connection}: {words}"));
        }
    }

    #[test]
    fn what_an_operator_had_done_ends_with_its_own_word() {
        let heard = Heard::default();
        let coming = Coming {
            console: Console::stderr(),
            screen: Screen::default(),
            total: 1,
            ended: AtomicUsize::new(0),
            width: 0,
            in_text: true,
        };
        let (name, id, provider) = fixture::connection();
        let report = Report::new(Outcome::Unchanged, None, "paused until then by alice", None);
        let mut row = Row::from_report(&name, &id, &provider, &report);
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        coming.done(&row, &heard, now);
        row.done = Some("paused");
        coming.done(&row, &heard, now);
        assert_eq!(*heard.0.lock().unwrap(), ["initech-okta: unchanged", "initech-okta: paused"]);
    }
}
