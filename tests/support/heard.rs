//! What a test hears of the log, at the highest verbosity unless it says another one.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use scimitar::telemetry::logs;
use tracing::{
    Dispatch, Subscriber,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that was logged.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Heard {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Heard {
    /// Listens through the program's own filters for as long as the guard lives.
    pub fn listen() -> (Self, DefaultGuard) {
        Self::listen_as(logs::Format::Text, 3)
    }

    /// The same in another form, with `-v` so many times; without any, as the daemon.
    pub fn listen_as(format: logs::Format, verbosity: u8) -> (Self, DefaultGuard) {
        let heard = Self::default();
        let options = logs::Options {
            format: Some(format),
            verbosity,
            daemon: verbosity == 0,
            terminal: false,
            journal: false,
            colours: false,
            directives: None,
        };
        let guard = listening(logs::subscriber(&options, heard.clone()).unwrap());
        (heard, guard)
    }

    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).unwrap()
    }

    /// The lines of a log in JSON.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Requires that all of `said` is in what was logged, and that none of `hidden` is, nor in what
    /// else was `shown`.
    pub fn holds_none_of<S: AsRef<str>>(&self, said: &[&str], hidden: &[S], shown: &str) {
        let logged = self.text();
        for words in said {
            assert!(logged.contains(words), "{words}: something is said at the highest verbosity");
        }
        for secret in hidden.iter().map(AsRef::as_ref) {
            for (what, text) in [("the log", logged.as_str()), ("what is shown", shown)] {
                let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
                assert_eq!(line.replace(secret, "[the secret]"), "", "{what}");
            }
        }
    }
}

/// Makes a subscriber this thread's own, for as long as the guard lives.
///
/// While a process has one subscriber, `tracing` asks the thread that first comes by a line whether
/// anybody wants it, and keeps the answer: a thread of another test, which has no subscriber, would
/// silence the line for all. So there is always a second one.
pub fn listening(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::new()));
    tracing::subscriber::set_default(subscriber)
}
