//! `--rotate-now` and `--once`: many connections side by side, one row each.

use std::{collections::BTreeSet, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::TimeDelta;

use super::{
    bulk::{self, BulkReport, Going, MANY},
    coming::Coming,
    output::{Answer, Failure, Row, exit_status},
    plan,
    process::Stop,
    session::{Session, dormant_unknown, selected},
    side_by_side::side_by_side,
    text,
};
use crate::{
    app::{App, Use},
    cli::{Bulk, OneShot},
    clock::{Clock, Timestamp},
    engine::{
        pool::{Lane, Seat},
        progress::Progress,
        report::{Outcome, Report},
        scrape,
        worker::{Connection, Engine, Patience, RotationRequest},
    },
    ledger::sqlite,
    rotation::why::Reason,
    telemetry::textfile::{labelled, write_textfile},
    token::ConnectionName,
};

/// How far `--dry-run` looks ahead: to the end of what is under way.
const DRY_RUN_AHEAD: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// Who has a timer check everything need not be told of a daemon that is no more.
    async fn takes_the_daemons_place(&self) {
        let Some(file) = self.config.state.file().map(ToOwned::to_owned) else { return };
        // It is told of again where this was cut short.
        let _ = tokio::task::spawn_blocking(move || sqlite::forget_killed(&file)).await;
    }

    pub(super) async fn one_shot(
        &self,
        names: &BTreeSet<ConnectionName>,
        request: &RotationRequest,
        shot: OneShot,
        bulk: Bulk,
        began: Timestamp,
        with_watched: bool,
    ) -> Result<Answer, Failure> {
        let usage = if shot.dry_run { Use::Look } else { Use::Write };
        let patience = patience(shot, began, self.stop);
        let app = self.app_by(usage, patience.until).await?;
        let connections = selected(&app, names);
        let told = self.warn_of_dormant(app.engine.ledger.as_ref());
        if self.in_time(patience.until, told).await.is_none() {
            self.voice.warn(&dormant_unknown("the ledger did not answer in time"));
        }
        let progress = app.engine.progress.clone();
        let answer = if shot.dry_run {
            let rows = self.plans(&app, connections, request, &patience, DRY_RUN_AHEAD).await;
            let text = plan::text(&rows, &self.config.surveys(), self.clock.now());
            Answer { text: Some(text), ..Answer::done(rows) }
        } else {
            let by_hand = request.since().is_some();
            let asked = bulk.batch.is_some() || bulk.stop_after.is_some();
            let many = by_hand && (connections.len() > MANY || asked);
            let compromised = matches!(request, RotationRequest::Compromised { .. });
            let going = many.then(|| {
                let overall = self.console.overall();
                Going::new(bulk, self.config, &connections, compromised, overall, began)
            });
            let going = going.map(Arc::new);
            let since = request.since().unwrap_or(began);
            if going.is_some() {
                // A call that is killed says nothing at its end.
                self.voice.note(&bulk::begins(connections.len(), since));
            }
            let coming = self.coming(&connections);
            let rows = attend_all(
                &app.engine,
                connections,
                app.limit,
                request,
                &patience,
                &progress,
                (going.as_ref(), Some(&coming)),
            )
            .await;
            if with_watched {
                self.takes_the_daemons_place().await;
                // What is next is for the daemon, or for the next call.
                app.engine.tell_of(&app.watched, &patience).await;
            }
            match going {
                None if coming.are_printed() => {
                    let report = BulkReport::of(&rows, None, since);
                    let text = format!("\n{}\n", report.words());
                    Answer { text: Some(text), ..Answer::done(rows) }
                }
                None => Answer::done(rows),
                Some(going) => {
                    going.end();
                    let interrupted = self.stop.interrupt().is_some();
                    let report = BulkReport::of(&rows, going.stopped(), since).ended(interrupted);
                    let text = report.text();
                    let text = if coming.are_printed() {
                        text
                    } else {
                        text::rows(&rows, self.clock.now(), &self.screen) + &text
                    };
                    Answer { text: Some(text), bulk: Some(report), ..Answer::done(rows) }
                }
            }
        };
        if let Some(path) = self.config.metrics.textfile.as_ref().filter(|_| !shot.dry_run) {
            let status = match self.stop.interrupt() {
                Some(interrupt) => interrupt.exit_status(),
                None => exit_status(answer.rows.iter().map(|row| row.outcome)),
            };
            let instance = &self.config.metrics.instance_name;
            let left = leave_metrics(&app, path, instance, status);
            let trouble = match Box::pin(self.in_time(patience.until, left)).await {
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
}

/// How long a one-shot that began at `since` may take.
#[must_use]
pub fn patience(shot: OneShot, since: Timestamp, stop: &Stop) -> Patience {
    Patience {
        wait: shot.wait,
        until: shot
            .timeout
            .and_then(|timeout| TimeDelta::from_std(timeout).ok())
            .and_then(|timeout| since.checked_add_signed(timeout)),
        stop: stop.token.clone(),
    }
}

/// Attends to all connections, at most `limit` of a provider tenant at a time. One's trouble stays
/// its own: whatever becomes of one, the others are carried on to the end. Rows come in the order
/// given.
pub async fn attend(
    engine: &Engine,
    connections: Vec<Arc<Connection>>,
    limit: NonZeroUsize,
    request: &RotationRequest,
    patience: &Patience,
    progress: &Arc<dyn Progress>,
) -> Vec<Row> {
    attend_all(engine, connections, limit, request, patience, progress, (None, None)).await
}

/// The same, with the brake of a call over many.
async fn attend_all(
    engine: &Engine,
    connections: Vec<Arc<Connection>>,
    limit: NonZeroUsize,
    request: &RotationRequest,
    patience: &Patience,
    progress: &Arc<dyn Progress>,
    (going, coming): (Option<&Arc<Going>>, Option<&Arc<Coming>>),
) -> Vec<Row> {
    let policies: Vec<_> =
        connections.iter().map(|connection| Arc::clone(&connection.policy)).collect();
    let mut reports: Vec<Option<Report>> = policies.iter().map(|_| None).collect();
    let (order, stages) = match going {
        Some(going) => (by_life_left(engine, &connections).await, going.stages()),
        None => ((0..connections.len()).collect(), std::iter::once(0..connections.len()).collect()),
    };
    for (nth, stage) in stages.into_iter().enumerate() {
        let places = order.get(stage).unwrap_or_default();
        let batch = places.iter().filter_map(|place| connections.get(*place)).cloned().collect();
        let ended = side_by_side(&engine.pool, batch, limit, lane_of, |one, seat| {
            let (engine, request, patience) = (engine.clone(), request.clone(), patience.clone());
            let (progress, going) = (Arc::clone(progress), going.map(Arc::clone));
            let coming = coming.map(Arc::clone);
            async move {
                let report = match &going {
                    Some(going) => {
                        attend_in_bulk(&engine, &one, &seat, &request, &patience, going).await
                    }
                    None => attend_one(&engine, &one, &seat, &request, &patience).await,
                };
                match coming {
                    Some(coming) => {
                        let now = engine.clock.now();
                        coming.done(&Row::of(&one.policy, &report, now), progress.as_ref(), now);
                    }
                    None => progress.done(&one.policy.name, report.outcome.as_str()),
                }
                if let Some(going) = going {
                    going.note(&one.policy.provider, &report, engine.clock.now());
                }
                report
            }
        })
        .await;
        for (place, report) in places.iter().zip(ended) {
            if let Some(slot) = reports.get_mut(*place) {
                *slot = report;
            }
        }
        if let Some(going) = going {
            going.stage_ended(nth, engine.clock.now());
        }
    }
    policies
        .iter()
        .zip(reports)
        .map(|(policy, report)| {
            let report = report.unwrap_or_else(defect);
            Row::of(policy, &report, engine.clock.now())
        })
        .collect()
}

fn lane_of(connection: &Arc<Connection>) -> Lane {
    connection.lane()
}

async fn attend_one(
    engine: &Engine,
    connection: &Connection,
    seat: &Seat,
    request: &RotationRequest,
    patience: &Patience,
) -> Report {
    match engine.not_begun(connection, patience).await {
        Some(report) => report,
        None => engine.attend_at(seat, connection, request, patience).await,
    }
}

/// The same, unless the call has stopped; each connection has a time of its own where the call has none.
async fn attend_in_bulk(
    engine: &Engine,
    connection: &Connection,
    seat: &Seat,
    request: &RotationRequest,
    patience: &Patience,
    going: &Going,
) -> Report {
    if let Some(stopped) = going.stopped() {
        let why = format!("not started: the call stopped before its turn ({stopped})");
        let stored = engine.ledger.load(&connection.policy.key).await.ok().flatten();
        let record = stored.map(|stored| stored.record);
        return Report::new(Outcome::Unchanged, Some(Reason::NotBegun), why, record);
    }
    let until = match going.each() {
        Some(each) => TimeDelta::from_std(each).ok().map(|each| engine.clock.now() + each),
        None => patience.until,
    };
    let patience = Patience { until, ..patience.clone() };
    match engine.not_begun(connection, &patience).await {
        Some(report) => not_begun(report),
        None => engine.attend_at(seat, connection, request, &patience).await,
    }
}

/// The report of a connection that a call was over before. An interruption is no failure of it; where
/// the time was up, it is one.
fn not_begun(report: Report) -> Report {
    let outcome = match report.outcome {
        Outcome::Waiting => Outcome::Unchanged,
        Outcome::Rotated
        | Outcome::Failed
        | Outcome::Refused
        | Outcome::Unchanged
        | Outcome::Planned => report.outcome,
    };
    Report { outcome, reason: Some(Reason::NotBegun), ..report }
}

/// The places of the connections, the one with the least life left first.
async fn by_life_left(engine: &Engine, connections: &[Arc<Connection>]) -> Vec<usize> {
    let mut order = Vec::new();
    for (nth, connection) in connections.iter().enumerate() {
        // What cannot be read now is not known to be urgent; its own turn will tell.
        let stored = engine.ledger.load(&connection.policy.key).await.ok().flatten();
        order.push((bulk::place(stored.as_ref().map(|stored| &stored.record)), nth));
    }
    order.sort();
    order.into_iter().map(|(_, nth)| nth).collect()
}

/// Writes what is known at the end of a one-shot for node_exporter.
///
/// # If the answer is lost
/// The file holds the old text or the new one; the next run writes it anew.
///
/// # Errors
/// When the ledger cannot be read or the file cannot be written. The rotations are not touched
/// by that: it is for the caller to warn about.
pub async fn leave_metrics(
    app: &App,
    path: &Path,
    instance_name: &str,
    exit_status: u8,
) -> anyhow::Result<()> {
    let engine = &app.engine;
    engine.metrics.last_run(engine.clock.now(), exit_status);
    let text = scrape::textfile(engine, &app.connections, &app.watched.tokens).await?;
    let text = labelled(&text.concat(), "instance_name", instance_name);
    let file = path.to_owned();
    let written = tokio::task::spawn_blocking(move || write_textfile(&file, &text)).await?;
    written.with_context(|| format!("write {}", path.display()))
}

/// The report of work that panicked. The record says how far it came, and the next run goes on.
fn defect() -> Report {
    let why = "the work on this connection was ended by a bug in Scimitar; the next run continues where \
               it stopped";
    Report::new(Outcome::Failed, None, why, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, commands::process::Interrupt};

    #[test]
    fn patience_counts_from_the_beginning_and_ends_with_the_signal() {
        let since = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let stop = Stop::default();
        let mut shot =
            OneShot { wait: false, timeout: Some(Duration::from_secs(120)), dry_run: false };
        let two_minutes = patience(shot, since, &stop);
        assert_eq!(two_minutes.until, parse_timestamp("2026-11-22T04:02:00Z"));
        shot.timeout = None;
        shot.wait = true;
        let patience = patience(shot, since, &stop);
        assert!(patience.wait && patience.until.is_none());
        stop.note(Interrupt::Int);
        assert!(patience.stop.is_cancelled());
    }
}
