//! `SIGHUP`: the configuration is read anew, validated, and swapped whole. One with a mistake is
//! reported and changes nothing.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use chrono::TimeDelta;
use tokio::{signal::unix::Signal, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    check, known,
    output::{Failure, FailureClass},
    serve::{self, Port},
    supervisor::Supervisor,
    voice::Voice,
};
use crate::{
    app::{self, App, Before, Use},
    config::{Config, ConnectionConfig, Environment, Secrets, ServerConfig},
    engine::{
        daemon::Change,
        live::Live,
        stored_status::{dormant_words, has_something_to_revoke},
    },
    ledger::{Ledger, Stored},
    telemetry::audit::entry::Entry,
    token::ConnectionKey,
};

/// The configuration in force, and what was built from it.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) path: PathBuf,
    pub(super) env: Arc<dyn Environment>,
    pub(super) voice: Voice,
    pub(super) config: Config,
    pub(super) app: App,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) supervisor: Arc<Supervisor>,
    /// What `[server]` asks for.
    pub(super) port: Port,
    pub(super) live: Arc<Live>,
}

/// How long reading a configuration may take, its files and what they name.
const LONGEST: TimeDelta = TimeDelta::seconds(30);

/// What another configuration means for the connections.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    /// To be attended to at once: new ones, and those that are not what they were.
    changed: BTreeSet<ConnectionKey>,
    added: usize,
    removed: BTreeSet<ConnectionKey>,
}

impl Reloader {
    /// Opens the port that the configuration names.
    ///
    /// # Errors
    /// When that cannot be had.
    pub(super) async fn open_port(&mut self) -> Result<(), Failure> {
        self.port = serve::open(self.config.server, &self.app.engine, &self.live).await?;
        Ok(())
    }

    /// Reloads at each signal, until `stop`; gives back what is in force then.
    pub(super) async fn listen(
        mut self,
        mut hangups: Signal,
        stop: CancellationToken,
    ) -> (App, Port) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return (self.app, self.port),
                Some(()) = hangups.recv() => {}
                // Without a signal driver no signal comes any more.
                else => {
                    stop.cancelled().await;
                    return (self.app, self.port);
                }
            }
            // Reading may hang on a mount that does.
            tokio::select! {
                biased;
                () = stop.cancelled() => return (self.app, self.port),
                () = self.reload() => {}
            }
        }
    }

    async fn reload(&mut self) {
        self.supervisor.reloading();
        let clock = Arc::clone(&self.app.engine.clock);
        let late = clock.now() + LONGEST;
        let outcome = tokio::select! {
            biased;
            outcome = Box::pin(self.read_anew()) => outcome,
            () = clock.sleep_until(late) => {
                let words = "reading it did not end within 30 s (a mount that hangs?)".to_owned();
                Err(Failure::new(FailureClass::System, words))
            }
        };
        let now = clock.now();
        self.app.engine.metrics.config_reload(now, outcome.is_ok());
        let mistake = outcome.err().map(|failure| {
            for problem in &failure.problems {
                tracing::error!(
                    file = problem.file,
                    line = problem.line,
                    column = problem.column,
                    help = problem.hint,
                    "{}",
                    problem.in_a_line()
                );
            }
            tracing::error!(
                error = failure.message,
                "the configuration was not reloaded: the one before stays in force: {}",
                failure.message
            );
            format!(
                "the last reload failed ({}), the configuration before stays in force",
                failure.message
            )
        });
        self.supervisor.reloaded(mistake);
    }

    async fn read_anew(&mut self) -> Result<(), Failure> {
        let env = Arc::clone(&self.env);
        let mut config = check::load(&self.path, env, Secrets::Needed).await?;
        check::warn(&self.path, &config, &self.voice);
        if config.state != self.config.state {
            let message = "[state] url names another ledger: that takes a restart".to_owned();
            return Err(Failure::new(FailureClass::Configuration, message));
        }
        known::settle(&mut config, Use::Look).await;
        let before = Before { config: &self.config, app: &self.app };
        let mut app = app::rebuild(before, &config, &self.env).await?;
        let difference = Difference::between(before, &config);
        if config.server != self.config.server {
            self.move_port(config.server, &app).await?;
        }
        // There is none once the daemon that would hear it has ended.
        let Ok(permit) = self.changes.clone().reserve_owned().await else { return Ok(()) };
        let audited = Entry::of_process("reloaded", app.engine.clock.now(), "SIGHUP came");
        app.engine.audit.note(audited.with_config(&config.sha256)).await;
        // Nothing can fail any more, nor be cut off half done: nothing is waited for from here on.
        app.announce(&config);
        let connections = app.connections.iter().cloned().map(Arc::new).collect();
        let change = Change {
            engine: app.engine.clone(),
            connections,
            limit: app.limit,
            changed: difference.changed.clone(),
        };
        if config.log != self.config.log {
            tracing::warn!("what changed in [log] takes effect at the next start");
            // What is in force is what the next reload is compared with.
            config.log = self.config.log.clone();
        }
        // Whoever is in mid-request with a sandbox that is not used any more ends it in peace.
        app.sandboxes.append(&mut self.app.sandboxes);
        (self.app, self.config) = (app, config);
        tracing::info!(
            connections = self.config.connections.len(),
            added = difference.added,
            removed = difference.removed.len(),
            changed = difference.changed.len() - difference.added,
            "the configuration was read anew: {} new, {} gone, {} changed",
            difference.added,
            difference.removed.len(),
            difference.changed.len() - difference.added
        );
        let (ledger, voice) = (Arc::clone(&change.engine.ledger), self.voice.clone());
        permit.send(change);
        tokio::spawn(async move {
            warn_of_dormant(&voice, ledger.as_ref(), &difference.removed).await;
        });
        Ok(())
    }
}

/// Says of which that left now something is still to be revoked.
async fn warn_of_dormant(voice: &Voice, ledger: &dyn Ledger, removed: &BTreeSet<ConnectionKey>) {
    for key in removed {
        match ledger.load(key).await {
            Ok(Some(Stored { record, .. })) if has_something_to_revoke(&record) => {
                voice.warn(&dormant_words(&record));
            }
            Ok(_) => {}
            Err(error) => {
                voice.warn(&format!(
                    "{key} left the configuration, and whether anything of it is still to be revoked \
                     cannot be said: {error}"
                ));
            }
        }
    }
}

impl Reloader {
    /// Opens the port that another configuration names. One with the number of the present one can
    /// only be had when that is closed; where it cannot be had at all, that is opened again.
    async fn move_port(&mut self, server: Option<ServerConfig>, app: &App) -> Result<(), Failure> {
        let number = |server: Option<ServerConfig>| server.map(|server| server.listen.port());
        if number(server) != number(self.config.server) {
            let port = serve::open(server, &app.engine, &self.live).await?;
            std::mem::replace(&mut self.port, port).close().await;
            return Ok(());
        }
        std::mem::take(&mut self.port).close().await;
        match serve::open(server, &app.engine, &self.live).await {
            Ok(port) => {
                self.port = port;
                Ok(())
            }
            Err(failure) => {
                self.open_port().await?;
                Err(failure)
            }
        }
    }
}

impl Difference {
    fn between(before: Before<'_>, config: &Config) -> Self {
        let was = before.config;
        let known: std::collections::BTreeMap<_, _> =
            was.connections.iter().map(|connection| (&connection.key, connection)).collect();
        let watched_alike = was.engine.survey_interval == config.engine.survey_interval;
        let same = |connection: &ConnectionConfig| {
            watched_alike
                && known.get(&connection.key).is_some_and(|known| *known == connection)
                && before.same_provider(&connection.provider, config)
                && connection
                    .deliveries
                    .iter()
                    .all(|delivery| before.same_sink(&delivery.sink, config))
        };
        let now: BTreeSet<_> =
            config.connections.iter().map(|connection| &connection.key).collect();
        let changed = config.connections.iter().filter(|connection| !same(connection));
        Self {
            changed: changed.map(|connection| connection.key.clone()).collect(),
            added: now.iter().filter(|key| !known.contains_key(**key)).count(),
            removed: known.keys().copied().filter(|key| !now.contains(*key)).cloned().collect(),
        }
    }
}
