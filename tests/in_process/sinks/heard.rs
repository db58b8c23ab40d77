//! All that is logged, at the highest verbosity.

use std::{
    io,
    sync::{Arc, Mutex},
};

use scimitar::telemetry::logs;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that was logged.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
        text.extend_from_slice(bytes);
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
    /// Listens for as long as the guard lives.
    pub(super) fn listen() -> (Self, DefaultGuard) {
        let heard = Self::default();
        let options = logs::Options {
            format: Some(logs::Format::Text),
            verbosity: 3,
            daemon: false,
            terminal: false,
            journal: false,
            colours: false,
            directives: None,
        };
        let lines = logs::subscriber(&options, heard.clone()).unwrap();
        (heard, tracing::subscriber::set_default(lines))
    }

    /// Requires that none of these is in what was logged, nor in what else was `shown`.
    pub(super) fn holds_none_of(&self, hidden: &[String], shown: &str) {
        let logged = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(logged.contains("hyper"), "something is said at the highest verbosity");
        for secret in hidden {
            for (what, text) in [("the log", logged.as_str()), ("what is shown", shown)] {
                let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
                assert_eq!(line.replace(secret, "[the secret]"), "", "{what}");
            }
        }
    }
}
