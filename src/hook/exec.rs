//! A program as a hook: the event on its standard input.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{Hook, fault, message::Message};
use crate::{
    child::{self, Ended, NotRun, Program},
    error::{Class, Code, Fault, system_words},
    http::quote,
    token::HookName,
};

/// What is run, and for how long at most.
#[derive(Clone, Debug)]
pub struct ExecSettings {
    /// Its label.
    pub name: HookName,
    /// The program; absolute.
    pub program: PathBuf,
    /// Its arguments, as they are: no shell reads them.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A program as a hook.
#[derive(Clone, Debug)]
pub struct Exec(Arc<ExecSettings>);

impl Exec {
    /// A hook that runs a program.
    #[must_use]
    pub fn new(settings: ExecSettings) -> Self {
        Self(Arc::new(settings))
    }

    fn fault(&self, class: Class, code: Code, detail: impl Into<String>) -> Fault {
        fault(&self.0.name, class, code, detail)
    }

    fn not_run(&self, why: NotRun) -> Fault {
        let program = self.0.program.display();
        match why {
            NotRun::Untrusted(found) => {
                let words = format!("{program} is not run: {}; {}", found.trouble, found.hint);
                self.fault(Class::Terminal, Code::Forbidden, words)
            }
            NotRun::Start(error) => {
                let words = format!("{program} cannot be started: {}", system_words(&error));
                self.fault(Class::Terminal, Code::Io, words)
            }
            NotRun::Signals(error) => self.fault(Class::Transient, Code::Io, system_words(&error)),
            NotRun::Unseen => {
                self.fault(Class::Transient, Code::Io, "it ended before Scimitar could watch it")
            }
        }
    }

    fn judge(&self, ended: &Ended) -> Result<(), Fault> {
        match ended {
            Ended::Itself(status) => match child::badly(*status) {
                None => Ok(()),
                Some(how) => {
                    let words = format!("{} {how}", self.0.program.display());
                    Err(self.fault(Class::Transient, Code::Unavailable, words))
                }
            },
            Ended::Late(how) => {
                let words = format!(
                    "it did not end within {} and was killed by {how}; `timeout` of the hook sets the limit",
                    crate::clock::spelled(self.0.timeout)
                );
                Err(self.fault(Class::Transient, Code::Timeout, words))
            }
            Ended::Unknown(error) => {
                let words = format!("it cannot be waited for: {}", system_words(error));
                Err(self.fault(Class::Transient, Code::Io, words))
            }
        }
    }

    /// What it said is for whoever wrote it: it goes to the log, and never into the record.
    fn log(&self, message: &Message, failed: bool, out: &[u8], err: &[u8]) {
        let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        let first = err.lines().chain(out.lines()).find(|line| !line.trim().is_empty());
        if let Some(first) = first.filter(|_| failed) {
            let said = quote(first, &[]);
            tracing::warn!(hook = %self.0.name, connection = %message.connection(), said = %said, "the hook {} said: {said}", self.0.name);
        }
        for (stream, text) in [("stdout", &out), ("stderr", &err)] {
            for line in text.lines() {
                let line = quote(line, &[]);
                tracing::debug!(hook = %self.0.name, connection = %message.connection(), stream, line = %line, "the hook {} said: {line}", self.0.name);
            }
        }
    }
}

#[async_trait]
impl Hook for Exec {
    fn name(&self) -> &HookName {
        &self.0.name
    }

    fn longest(&self) -> Duration {
        child::longest(self.0.timeout)
    }

    async fn run(&self, message: &Message) -> Result<(), Fault> {
        let program = Program {
            path: &self.0.program,
            arguments: &self.0.arguments,
            variables: message.variables(),
            timeout: self.0.timeout,
        };
        let event = Zeroizing::new(message.cloud_event().to_string().into_bytes());
        let ran = child::run(program, event).await.map_err(|why| self.not_run(why))?;
        let outcome = self.judge(&ran.ended);
        self.log(message, outcome.is_err(), &ran.out, &ran.err);
        outcome
    }
}
