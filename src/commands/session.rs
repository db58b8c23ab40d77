//! What every command works with once its configuration is read.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    audit,
    output::{Failure, FailureClass},
    process::Stop,
    progress::Console,
    screen::Screen,
    voice::Voice,
};
use crate::{
    app::{self, App, Use},
    cli::{Command, Invocation},
    clock::{AgreedClock, Clock, Timestamp},
    config::{Config, Environment},
    engine::{
        stored_status,
        worker::{Connection, Patience},
    },
    ledger::Ledger,
    telemetry::audit::actor::{self, Who},
    token::{ConnectionKey, ConnectionName},
};

/// How long giving back what was opened may hold up the end …
const FAREWELL: Duration = Duration::from_secs(5);

/// … and how long where the end is overdue: after a signal, or when a call's time is up.
const SHORT_FAREWELL: Duration = Duration::from_millis(750);

/// How much longer than the call each of the things may take that are done beside the rotations.
const BESIDE: TimeDelta = TimeDelta::milliseconds(500);

/// How long an operator's decision is tried.
const PATIENCE: Duration = Duration::from_secs(120);

/// One command and what it works with.
pub(super) struct Session<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) config: &'a Config,
    /// What was built already, to ask providers for their connections.
    pub(super) ready: Mutex<Option<App>>,
    pub(super) env: Arc<dyn Environment>,
    pub(super) stop: &'a Stop,
    pub(super) console: &'a Console,
    pub(super) voice: &'a Voice,
    pub(super) clock: &'a Arc<AgreedClock>,
    /// Where text for people is shown.
    pub(super) screen: Screen,
    /// For whom it is done, where a daemon does it.
    pub(super) caller: Option<Who>,
    /// Whether a daemon was to do it, and none answered.
    pub(super) unanswered: bool,
}

impl Session<'_> {
    pub(super) async fn app(&self, usage: Use) -> Result<App, Failure> {
        self.app_by(usage, None).await
    }

    /// The same, where the ledger has to be open in time: another process may keep it locked.
    pub(super) async fn app_by(
        &self,
        usage: Use,
        until: Option<Timestamp>,
    ) -> Result<App, Failure> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut app = match ready {
            Some(app) => app,
            None => self.built(usage, until).await?,
        };
        if usage == Use::Write && !matches!(self.invocation.command, Command::Run) {
            app.engine.person = Some(self.person());
        }
        if let Some(path) = self.config.log.audit.as_ref().filter(|_| usage == Use::Write) {
            let metrics = app.engine.metrics.clone();
            let command = &self.invocation.command;
            let ledger = self.config.state.file();
            let actor = audit::actor(command, self.caller.as_ref());
            app.engine.audit = audit::log(path, ledger, actor, self.clock.clone(), metrics);
        }
        Ok(app)
    }

    /// The person behind the command.
    pub(super) fn person(&self) -> String {
        self.caller.as_ref().map_or_else(actor::person, Who::person)
    }

    async fn built(&self, usage: Use, until: Option<Timestamp>) -> Result<App, Failure> {
        let opened = app::open_ledger(&self.config.state, usage, &self.env);
        let ledger = match self.in_time(until, opened).await {
            Some(opened) => opened?,
            None => {
                let why = match self.config.state.file() {
                    Some(_) => "another process keeps it locked",
                    None => "it does not answer",
                };
                let url = self.config.state.url();
                let words =
                    format!("timed out while opening the ledger {url}: {why}; nothing was done");
                return Err(Failure::new(FailureClass::Ledger, words));
            }
        };
        let progress = self.console.progress();
        Ok(app::build_on(self.config, &self.env, self.clock, progress, ledger).await?)
    }

    /// Waits for something beside the rotations themselves, but not much longer than the call may
    /// take; `None` when it did not come in time.
    pub(super) async fn in_time<T>(
        &self,
        until: Option<Timestamp>,
        what: impl Future<Output = T>,
    ) -> Option<T> {
        let Some(until) = until else { return Some(what.await) };
        let end = until.max(self.clock.now()) + BESIDE;
        tokio::select! {
            biased;
            done = what => Some(done),
            () = self.clock.sleep_until(end) => None,
        }
    }

    /// How long the end may still take.
    pub(super) fn farewell(&self, patience: Option<&Patience>) -> Duration {
        let until = patience.and_then(|patience| patience.until);
        let up = until.is_some_and(|until| until <= self.clock.now());
        if up || self.stop.interrupt().is_some() { SHORT_FAREWELL } else { FAREWELL }
    }

    pub(super) fn patience(&self) -> Patience {
        let until = TimeDelta::from_std(PATIENCE).ok().map(|patience| self.clock.now() + patience);
        Patience { wait: false, until, stop: self.stop.token.clone() }
    }

    /// Shows text before the answer: results as they come. Whether anybody still reads it.
    pub(super) fn show(&self, text: &str) -> bool {
        self.console.show(text).is_ok()
    }

    /// What the configuration names.
    pub(super) fn configured(&self) -> BTreeSet<&ConnectionKey> {
        self.config.connections.iter().map(|connection| &connection.key).collect()
    }

    /// Connections that left the configuration with something still to be revoked.
    pub(super) async fn warn_of_dormant(&self, ledger: &dyn Ledger) {
        let told =
            stored_status::dormant(ledger, &self.configured(), |line| self.voice.warn(&line)).await;
        if let Err(error) = told {
            self.voice.warn(&dormant_unknown(&error.to_string()));
        }
    }
}

/// The connections with these names, in the order of the files.
pub(super) fn selected(app: &App, names: &BTreeSet<ConnectionName>) -> Vec<Arc<Connection>> {
    let all = app.connections.iter();
    all.filter(|connection| names.contains(&connection.policy.name)).cloned().collect()
}

pub(super) fn dormant_unknown(why: &str) -> String {
    format!("it is not known whether tokens of removed connections still have to be revoked: {why}")
}
