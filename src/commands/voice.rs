//! What is said beside the answer, on standard error: to people as text, by the daemon as lines of
//! its log, where each has a level and the form that was asked for.

use std::borrow::Cow;

use super::progress::Console;
use crate::{cli::Command, config::Problem};

/// What people read first at 3 a.m., as syslog(3) numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    Error = 3,
    Warning = 4,
}

/// Who speaks, and where to.
#[derive(Clone, Debug)]
pub struct Voice {
    console: Console,
    /// Whether it is a daemon's.
    daemon: bool,
    /// Whether standard error is the journal's.
    journal: bool,
}

impl Voice {
    /// A command's.
    #[must_use]
    pub fn of(command: &Command, console: Console, journal: bool) -> Self {
        Self { console, daemon: matches!(command, Command::Run), journal }
    }

    /// Says what is going on.
    pub fn note(&self, words: &str) {
        if self.daemon {
            tracing::info!("{words}");
        } else if !self.console.is_quiet() {
            self.console.print(&format!("{words}\n"));
        }
    }

    /// Warns.
    pub fn warn(&self, words: &str) {
        if self.daemon {
            tracing::warn!("{words}");
        } else {
            self.say(Priority::Warning, &format!("warning: {words}\n"));
        }
    }

    /// Warns of something in the configuration.
    pub fn warn_of(&self, problem: &Problem) {
        if self.daemon {
            tracing::warn!(
                file = problem.file,
                line = problem.line,
                column = problem.column,
                help = problem.hint,
                "{}",
                problem.in_a_line()
            );
        } else {
            self.warn(&problem.to_string());
        }
    }

    /// Says why the command as a whole failed; a daemon that did not start says so as every other
    /// command does.
    pub fn fail(&self, text: &str) {
        self.say(Priority::Error, text);
    }

    fn say(&self, priority: Priority, text: &str) {
        let text = if self.journal { prefixed(priority, text).into() } else { Cow::Borrowed(text) };
        self.console.print(&text);
    }
}

/// Each line with the prefix that the journal takes for its priority ([sd-daemon(3)]).
///
/// [sd-daemon(3)]: https://www.freedesktop.org/software/systemd/man/latest/sd-daemon.html
fn prefixed(priority: Priority, text: &str) -> String {
    text.lines().map(|line| format!("<{}>{line}\n", priority as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_each_line_with_its_priority() {
        let text = prefixed(Priority::Error, "error: no\n  help: do\n");
        assert_eq!(text, "<3>error: no\n<3>  help: do\n");
        assert_eq!(prefixed(Priority::Warning, "warning: hm\n"), "<4>warning: hm\n");
    }
}
