//! `SIGHUP`: the configuration is reloaded, validated, and swapped whole. One with an error is
//! reported and changes nothing.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use chrono::TimeDelta;
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    check,
    control::server::InForce,
    discover, known,
    output::{Failure, FailureClass},
    serve::{self, Port},
    supervisor::Supervisor,
    voice::Voice,
};
use crate::{
    app::{
        self, App, Before, Use,
        discover::{Shrunk, Surveyed},
    },
    clock::Timestamp,
    config::{self, Config, ConnectionConfig, Environment, Secrets, ServerConfig},
    engine::{
        daemon::Change,
        live::Live,
        progress::Silent,
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
    /// What commands of the control socket are done with.
    pub(super) in_force: watch::Sender<Arc<InForce>>,
    pub(super) supervisor: Arc<Supervisor>,
    /// What `[server]` asks for.
    pub(super) port: Port,
    pub(super) live: Arc<Live>,
    /// When the connections of providers are listed next; `None`: none are discovered.
    pub(super) next_listing: Option<Timestamp>,
    /// Whether the files are other ones than those in force.
    pub(super) comparison: Comparison,
}

/// What is known of the files, compared with what is in force.
#[derive(Debug)]
pub(super) struct Comparison {
    next: Timestamp,
    differ: bool,
}

impl Comparison {
    /// They are compared at once.
    pub(super) fn at_once(now: Timestamp) -> Self {
        Self { next: now, differ: false }
    }
}

/// What the reloader is to do next.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Reload,
    List,
    Compare,
}

/// How often the files are compared with what is in force …
const COMPARE: TimeDelta = TimeDelta::minutes(1);

/// … and how many times as long as it took nothing is compared again: they may be large.
const COMPARE_SHARE: i32 = 200;

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
            let (clock, next) = (Arc::clone(&self.app.engine.clock), self.next_listing);
            let due = async {
                match next {
                    Some(next) => clock.sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            let wanted = tokio::select! {
                biased;
                () = stop.cancelled() => return (self.app, self.port),
                Some(()) = hangups.recv() => Wanted::Reload,
                () = due, if next.is_some() => Wanted::List,
                () = clock.sleep_until(self.comparison.next) => Wanted::Compare,
            };
            // What takes long holds up neither the end nor another configuration.
            match wanted {
                Wanted::Reload => {}
                Wanted::List => tokio::select! {
                    biased;
                    () = stop.cancelled() => return (self.app, self.port),
                    Some(()) = hangups.recv() => {}
                    () = self.list_anew() => continue,
                },
                Wanted::Compare => tokio::select! {
                    biased;
                    () = stop.cancelled() => return (self.app, self.port),
                    Some(()) = hangups.recv() => {}
                    () = self.compare() => continue,
                },
            }
            // Reading may hang on a mount that does.
            tokio::select! {
                biased;
                () = stop.cancelled() => return (self.app, self.port),
                () = self.reload() => {}
            }
            self.comparison.next = self.app.engine.clock.now();
        }
    }

    /// Says whether the files are other ones than those in force, as far as they can be read soon.
    async fn compare(&mut self) {
        let clock = Arc::clone(&self.app.engine.clock);
        let (path, began) = (self.path.clone(), clock.now());
        let read = tokio::task::spawn_blocking(move || config::digest(&path));
        let found = tokio::select! {
            biased;
            found = read => found,
            // A mount that hangs: whether they differ is not known.
            () = clock.sleep_until(began + LONGEST) => {
                self.comparison.next = clock.now() + COMPARE;
                return;
            }
        };
        let now = clock.now();
        self.comparison.next = now + COMPARE.max((now - began) * COMPARE_SHARE);
        let Ok(found) = found else { return };
        let differ = found.as_ref() != Some(&self.config.sha256);
        self.app.engine.metrics.config_differs(differ);
        if differ && !self.comparison.differ {
            tracing::info!(
                file = %self.path.display(),
                "the configuration files have changed since they were loaded; reload the daemon (SIGHUP) to apply them"
            );
        }
        self.comparison.differ = differ;
    }

    async fn reload(&mut self) {
        self.supervisor.reloading();
        let clock = Arc::clone(&self.app.engine.clock);
        let late = clock.now() + LONGEST;
        let outcome = tokio::select! {
            biased;
            outcome = Box::pin(self.read_anew()) => outcome,
            () = clock.sleep_until(late) => {
                let words = "reading it took longer than 30 s (a hanging mount?)".to_owned();
                Err(Failure::new(FailureClass::System, words))
            }
        };
        let now = clock.now();
        self.app.engine.metrics.config_reload(now, outcome.is_ok());
        let said = outcome.as_ref().map(|&()| ()).map_err(told);
        self.live.reloaded(now, said);
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
                "reload rejected ({}); keeping the previous configuration",
                short_of(&failure.message)
            );
            format!(
                "reload rejected ({}); keeping the previous configuration",
                short_of(&failure.message)
            )
        });
        // Whoever was told that they were rejected knows that they differ.
        self.comparison.differ |= mistake.is_some();
        self.supervisor.reloaded(mistake);
    }

    async fn read_anew(&mut self) -> Result<(), Failure> {
        let env = Arc::clone(&self.env);
        let mut config = check::load(&self.path, env, Secrets::Needed).await?;
        check::warn(&self.path, &config, &self.voice);
        if config.state != self.config.state {
            let message =
                "[state] url names another ledger: change it back, or move the ledger (`scimitar state copy FROM TO`) and restart the daemon".to_owned();
            return Err(Failure::new(FailureClass::Configuration, message));
        }
        known::settle(&mut config, Use::Look, &self.env).await;
        let ledger = Arc::clone(&self.app.engine.ledger);
        let (config, _) = discover::with_memory(config, ledger.as_ref(), &self.env).await?;
        let before = Before { config: &self.config, app: &self.app };
        let app = app::rebuild(before, &config, &self.env).await?;
        if config.server != self.config.server {
            self.move_port(config.server, &app).await?;
        }
        if self.take_over(config, app, "reloaded", "SIGHUP received").await {
            self.list_soon();
        }
        Ok(())
    }

    /// Lists again as soon as may be, where connections are discovered.
    fn list_soon(&mut self) {
        let discovers = !self.config.discover.is_empty();
        self.next_listing = discovers.then(|| self.app.engine.clock.now());
    }

    /// Puts another configuration, and what was built from it, in the place of the one in force.
    async fn take_over(
        &mut self,
        mut config: Config,
        mut app: App,
        event: &'static str,
        cause: &'static str,
    ) -> bool {
        let what = match event {
            "discovered" => "connections discovered",
            _ => "configuration reloaded",
        };
        let before = Before { config: &self.config, app: &self.app };
        let difference = Difference::between(before, &config);
        // There is none once the daemon that would hear it has ended.
        let Ok(permit) = self.changes.clone().reserve_owned().await else { return false };
        let audited = Entry::of_process(event, app.engine.clock.now(), cause);
        app.engine.audit.note(audited.with_config(&config.sha256)).await;
        // Nothing can fail any more, nor be cut off half done: nothing is waited for from here on.
        app.announce(&config);
        let connections = app.connections.clone();
        let change = Change {
            engine: app.engine.clone(),
            connections,
            limit: app.limit,
            changed: difference.changed.clone(),
        };
        if config.log != self.config.log {
            tracing::warn!("changes in [log] take effect after a restart");
            // What is in force is what the next reload is compared with.
            config.log = self.config.log.clone();
        }
        if config.control != self.config.control {
            tracing::warn!("changes in [control] take effect after a restart");
            config.control.clone_from(&self.config.control);
        }
        // Whoever is in mid-request with a sandbox that is not used any more ends it in peace.
        app.sandboxes.append(&mut self.app.sandboxes);
        (self.app, self.config) = (app, config);
        self.in_force.send_replace(Arc::new(in_force_of(self.config.clone(), &self.app)));
        tracing::info!(
            connections = self.config.connections.len(),
            added = difference.added,
            removed = difference.removed.len(),
            changed = difference.changed.len() - difference.added,
            "{what}: {} added, {} removed, {} changed",
            difference.added,
            difference.removed.len(),
            difference.changed.len() - difference.added
        );
        let (ledger, voice) = (Arc::clone(&change.engine.ledger), self.voice.clone());
        self.live.set_watched(self.app.watched.clone());
        permit.send(change);
        tokio::spawn(async move {
            warn_of_dormant(&voice, ledger.as_ref(), &difference.removed).await;
        });
        true
    }

    /// Lists the connections of providers; what is new is taken up, what is gone is let go.
    async fn list_anew(&mut self) {
        let surveyed =
            app::discover::survey(&self.app, &self.config, Shrunk::Hold, Use::Write).await;
        let now = self.app.engine.clock.now();
        let often = discover::how_often(&self.config, surveyed.failed.is_empty());
        self.next_listing = now.checked_add_signed(often);
        if let Err(failure) = self.take_up(&surveyed).await {
            let why = &failure.message;
            tracing::error!(error = why, "could not apply the discovered connections: {why}");
        }
    }

    async fn take_up(&mut self, surveyed: &Surveyed) -> Result<(), Failure> {
        let inventories = &surveyed.inventories;
        let mut config =
            discover::expanded(&self.config, inventories, &self.env, Secrets::Needed).await?;
        // It changes at the next start alone.
        config.log = self.config.log.clone();
        config.control.clone_from(&self.config.control);
        discover::measure(&self.app.engine.metrics, &config, inventories);
        let known = &self.config.refused;
        let refused: Vec<_> =
            config.refused.iter().filter(|one| !known.contains(*one)).cloned().collect();
        let shadowed = discover::shadowed(&config, &self.config.watches);
        discover::warn(&self.voice, surveyed, &refused, &shadowed);
        if config.connections == self.config.connections {
            self.config.refused = config.refused;
            return Ok(());
        }
        let before = Before { config: &self.config, app: &self.app };
        let app = app::rebuild(before, &config, &self.env).await?;
        self.take_over(config, app, "discovered", "the providers' lists of connections changed")
            .await;
        Ok(())
    }
}

/// What commands are done with that others type: a share of what runs.
pub(super) fn in_force_of(config: Config, app: &App) -> InForce {
    let app = app.lent(Arc::clone(&app.engine.ledger), Arc::new(Silent));
    InForce { config, app }
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
                    "{key} was removed from the configuration; it is not known whether any of its tokens \
                     still has to be revoked: {error}"
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

/// What is shown of a reload that was rejected: the first error with its place.
fn told(failure: &Failure) -> String {
    match failure.problems.first() {
        Some(problem) => format!("{}: {}", short_of(&failure.message), problem.in_a_line()),
        None => failure.message.clone(),
    }
}

/// A refusal of a file says that nothing was done: of a reload that goes without saying.
fn short_of(message: &str) -> &str {
    message.trim_end_matches("; nothing was done").trim_end_matches("; nothing was changed")
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
