//! One command with its configuration read: what each of them needs, and in which order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{
    audit, check,
    condemn::{self, Asked},
    daemon, explain, health, one_shot, online, operate,
    output::{Answer, Failure, FailureClass, Judge, Row, exit_status},
    permissions, plan,
    process::Stop,
    progress::Console,
    status,
    voice::Voice,
};
use crate::{
    app::{self, App, Use},
    cli::{Command, Invocation, OneShot},
    clock::{Clock, Timestamp},
    config::{Config, Environment},
    engine::{
        progress::Silent,
        standing,
        worker::{Ask, Connection, Operation, Patience},
    },
    ledger::Ledger,
    rotation::record::Record,
    token::{ConnectionKey, ConnectionName},
};

/// How far `--dry-run` looks ahead: to the end of what is under way.
const DRY_RUN_AHEAD: Duration = Duration::from_secs(60);

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
    pub(super) env: Arc<dyn Environment>,
    pub(super) stop: &'a Stop,
    pub(super) console: &'a Console,
    pub(super) voice: &'a Voice,
    pub(super) clock: &'a Arc<dyn Clock>,
}

impl Session<'_> {
    /// Does it.
    pub(super) async fn carry_out(&self) -> Result<Answer, Failure> {
        match &self.invocation.command {
            Command::Check { online: false } => {
                Ok(check::summary(&self.invocation.config, self.config))
            }
            Command::Check { online: true } => self.check_online().await,
            Command::Run => daemon::run(self).await,
            Command::RotateNow { connections, all, compromised, shot } => {
                if *compromised {
                    let asked = Asked { named: connections, all: *all, dry_run: shot.dry_run };
                    condemn::allowed(self.config, &asked, self.stop, self.console).await?;
                }
                // Only now: what happened while a person was asked is no answer to the call.
                let since = self.clock.now();
                let ask =
                    if *compromised { Ask::Compromised { since } } else { Ask::Rotate { since } };
                self.one_shot(connections, &ask, *shot, since).await
            }
            Command::Once { shot } => self.one_shot(&[], &Ask::Due, *shot, self.clock.now()).await,
            Command::Plan { connections, until } => self.plan(connections, *until).await,
            Command::Status { connections, exit_code } => {
                self.status(connections, *exit_code).await
            }
            Command::Explain { connection } => self.explain(connection).await,
            Command::Adopt { connection, token_id } => {
                self.operate(connection, &Operation::Adopt(token_id.clone())).await
            }
            Command::Retire { connection, token_id } => {
                self.operate(connection, &Operation::Retire(token_id.clone())).await
            }
            Command::AcceptPlace { connection, place } => {
                self.operate(connection, &Operation::AcceptPlace(place.clone())).await
            }
            Command::Revoke { connection, token_id, force } => {
                self.operate(connection, &Operation::Revoke { id: token_id.clone(), force: *force })
                    .await
            }
            Command::Permissions => Ok(permissions::answer(self.config)),
            Command::Healthcheck => health::ask(&self.invocation.config, self.config).await,
            // They need no configuration and are answered before one is read.
            Command::AuditVerify { .. } | Command::Sandbox(_) | Command::Print(_) => {
                Ok(Answer::done(Vec::new()))
            }
        }
    }

    pub(super) async fn app(&self, usage: Use) -> Result<App, Failure> {
        self.house_by(usage, None).await
    }

    /// The same, where the ledger has to be open in time: another process may keep it locked.
    async fn house_by(&self, usage: Use, until: Option<Timestamp>) -> Result<App, Failure> {
        let path = self.config.state.path.clone();
        let opened = tokio::task::spawn_blocking(move || app::open_ledger(&path, usage));
        let ledger = match self.in_time(until, opened).await {
            Some(Ok(opened)) => opened?,
            Some(Err(error)) => return Err(Failure::system(&error)),
            None => {
                let url = format!("sqlite://{}", self.config.state.path.display());
                let words = format!(
                    "timed out while opening the ledger {url}, which another process keeps \
                     locked; nothing was done"
                );
                return Err(Failure::new(FailureClass::Ledger, words));
            }
        };
        let progress = self.console.progress();
        let mut app = app::build_on(self.config, &self.env, self.clock, progress, ledger).await?;
        if let Some(path) = self.config.log.audit.as_ref().filter(|_| usage == Use::Write) {
            let metrics = app.engine.metrics.clone();
            let command = &self.invocation.command;
            let ledger = &self.config.state.path;
            app.engine.audit = audit::log(path, ledger, command, self.clock, metrics);
        }
        Ok(app)
    }

    /// The connections that were named, all when none was.
    fn selected(&self, app: &App, named: &[ConnectionName]) -> Result<Vec<Connection>, Failure> {
        let configured =
            self.config.connections.iter().map(|connection| connection.name.clone()).collect();
        let selected = one_shot::select(&configured, named)?;
        let of_house = app.connections.iter();
        Ok(of_house
            .filter(|connection| selected.contains(&connection.policy.name))
            .cloned()
            .collect())
    }

    /// Waits for something beside the rotations themselves, but not much longer than the call may
    /// take; `None` when it did not come in time.
    async fn in_time<T>(
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

    async fn check_online(&self) -> Result<Answer, Failure> {
        let app = self.app(Use::Look).await?;
        let mut rows = online::rows(&app, &self.patience()).await;
        app.close(self.farewell(None)).await;
        let failure = online::ledger_trouble(&self.config.state.path);
        if failure.is_some() {
            online::without_ledger(&mut rows);
        }
        let text = Some(online::text(&rows));
        let rows = rows.into_iter().map(|(row, _)| row).collect();
        Ok(Answer { text, failure, ..Answer::done(rows) })
    }

    async fn one_shot(
        &self,
        named: &[ConnectionName],
        ask: &Ask,
        shot: OneShot,
        since: Timestamp,
    ) -> Result<Answer, Failure> {
        let usage = if shot.dry_run { Use::Look } else { Use::Write };
        let patience = one_shot::patience(shot, since, self.stop);
        let app = self.house_by(usage, patience.until).await?;
        let connections = self.selected(&app, named)?;
        let told = self.warn_of_dormant(app.engine.ledger.as_ref());
        if self.in_time(patience.until, told).await.is_none() {
            self.voice.warn(&dormant_unknown("the ledger did not answer in time"));
        }
        let progress = app.engine.progress.clone();
        let answer = if shot.dry_run {
            let rows = self.plans(&app, connections, ask, &patience, DRY_RUN_AHEAD).await;
            let text = plan::text(&rows, &self.config.surveys(), self.clock.now());
            Answer { text: Some(text), ..Answer::done(rows) }
        } else {
            let rows =
                one_shot::attend(&app.engine, connections, app.limit, ask, &patience, &progress)
                    .await;
            Answer::done(rows)
        };
        if let Some(path) = self.config.metrics.textfile.as_ref().filter(|_| !shot.dry_run) {
            let status = match self.stop.interrupt() {
                Some(interrupt) => interrupt.exit_status(),
                None => exit_status(answer.rows.iter().map(|row| row.outcome)),
            };
            let instance = &self.config.metrics.instance_name;
            let (engine, connections) = (&app.engine, &app.connections);
            let left = one_shot::leave_metrics(engine, connections, path, instance, status);
            let trouble = match self.in_time(patience.until, left).await {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(format!("{error:#}")),
                None => Some("no answer in time".to_owned()),
            };
            if let Some(trouble) = trouble {
                self.voice.warn(&format!("the metrics were not written: {trouble}"));
            }
        }
        app.close(self.farewell(Some(&patience))).await;
        Ok(answer)
    }

    async fn plans(
        &self,
        app: &App,
        connections: Vec<Connection>,
        ask: &Ask,
        patience: &Patience,
        ahead: Duration,
    ) -> Vec<Row> {
        let pool = &app.engine.pool;
        let rows = one_shot::side_by_side(
            pool,
            connections,
            app.limit,
            Connection::lane,
            |connection, seat| {
                let (engine, ask, patience) = (app.engine.clone(), ask.clone(), patience.clone());
                async move {
                    let _seat = seat;
                    plan::row(&engine, &connection, &ask, &patience, ahead).await
                }
            },
        )
        .await;
        rows.into_iter().flatten().collect()
    }

    fn patience(&self) -> Patience {
        let until = TimeDelta::from_std(PATIENCE).ok().map(|patience| self.clock.now() + patience);
        Patience { wait: false, until, stop: self.stop.token.clone() }
    }

    async fn plan(&self, named: &[ConnectionName], ahead: Duration) -> Result<Answer, Failure> {
        let mut app = self.app(Use::Look).await?;
        app.engine.progress = Arc::new(Silent);
        let connections = self.selected(&app, named)?;
        let rows = self.plans(&app, connections, &Ask::Due, &self.patience(), ahead).await;
        app.close(self.farewell(None)).await;
        let text = plan::text(&rows, &self.config.surveys(), self.clock.now());
        Ok(Answer::shown(rows, text))
    }

    /// Reads the ledger alone: it works while every service is away.
    async fn status(&self, named: &[ConnectionName], exit_code: bool) -> Result<Answer, Failure> {
        let configured =
            self.config.connections.iter().map(|connection| connection.name.clone()).collect();
        let selected = one_shot::select(&configured, named)?;
        let ledger = app::open_ledger(&self.config.state.path, Use::Look)?;
        let now = self.clock.now();
        let (mut rows, mut table) = (Vec::new(), status::Table::at(now));
        let surveys = self.config.surveys();
        for connection in
            self.config.connections.iter().filter(|connection| selected.contains(&connection.name))
        {
            let name = &connection.provider;
            let Some((provider, survey)) = self.config.providers.get(name).zip(surveys.get(name))
            else {
                continue;
            };
            let policy = connection.policy(provider.capabilities(), survey.interval);
            let stored = ledger.load(&policy.key).await?;
            let record = stored.map(|stored| stored.record);
            let looked = standing::looked_up(ledger.as_ref(), &policy, record.as_ref(), now).await;
            let (_, row) = looked?;
            table.add(&row, record.as_ref());
            rows.push(row);
        }
        let mut text = table.text();
        let say = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let told = standing::dormant(ledger.as_ref(), &self.configured(), say).await;
        told?;
        let judge = if exit_code { Judge::Outcomes } else { Judge::Shown };
        Ok(Answer { judge, ..Answer::shown(rows, text) })
    }

    async fn explain(&self, name: &ConnectionName) -> Result<Answer, Failure> {
        let mut app = self.app(Use::Look).await?;
        app.engine.progress = Arc::new(Silent);
        let connections = self.selected(&app, std::slice::from_ref(name))?;
        let mut rows = Vec::new();
        let mut text = String::new();
        for connection in &connections {
            let row =
                plan::row(&app.engine, connection, &Ask::Due, &self.patience(), Duration::ZERO)
                    .await;
            let stored = app.engine.ledger.load(&connection.policy.key).await;
            let stored = stored?;
            let record: Option<Record> = stored.map(|stored| stored.record);
            text.push_str(&explain::sentences(&row, record.as_ref(), self.clock.now()));
            let history = app.engine.ledger.history(&connection.policy.key, 10).await;
            text.push_str(&explain::history(&history.unwrap_or_default(), self.clock.now()));
            rows.push(row);
        }
        app.close(self.farewell(None)).await;
        Ok(Answer::shown(rows, text))
    }

    async fn operate(
        &self,
        name: &ConnectionName,
        operation: &Operation,
    ) -> Result<Answer, Failure> {
        let app = self.app(Use::Write).await?;
        let connections = self.selected(&app, std::slice::from_ref(name))?;
        let patience = self.patience();
        let mut rows = Vec::new();
        for connection in &connections {
            rows.push(operate::row(&app.engine, connection, operation, &patience).await);
        }
        app.close(self.farewell(None)).await;
        Ok(Answer::done(rows))
    }

    /// What the configuration names.
    fn configured(&self) -> BTreeSet<&ConnectionKey> {
        self.config.connections.iter().map(|connection| &connection.key).collect()
    }

    /// Connections that left the configuration with something still to be revoked.
    pub(super) async fn warn_of_dormant(&self, ledger: &dyn Ledger) {
        let told =
            standing::dormant(ledger, &self.configured(), |line| self.voice.warn(&line)).await;
        if let Err(error) = told {
            self.voice.warn(&dormant_unknown(&error.to_string()));
        }
    }
}

fn dormant_unknown(why: &str) -> String {
    format!(
        "whether anything that left the configuration is still to be revoked cannot be said: {why}"
    )
}
