//! `--rotate-now` and `--once`: many connections side by side, one row each.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use anyhow::Context;

use super::{
    output::{Answer, Failure, Row, exit_status},
    plan,
    process::Stop,
    session::{Session, dormant_unknown},
    side_by_side::side_by_side,
};
use crate::{
    app::Use,
    cli::OneShot,
    clock::Timestamp,
    engine::{
        progress::Progress,
        report::{Outcome, Report},
        scrape,
        worker::{Connection, Engine, Patience, RotationRequest},
    },
    telemetry::textfile::{labelled, write_textfile},
    token::ConnectionName,
};

/// How far `--dry-run` looks ahead: to the end of what is under way.
const DRY_RUN_AHEAD: Duration = Duration::from_secs(60);

impl Session<'_> {
    pub(super) async fn one_shot(
        &self,
        named: &[ConnectionName],
        request: &RotationRequest,
        shot: OneShot,
        since: Timestamp,
    ) -> Result<Answer, Failure> {
        let usage = if shot.dry_run { Use::Look } else { Use::Write };
        let patience = patience(shot, since, self.stop);
        let app = self.app_by(usage, patience.until).await?;
        let connections = self.selected(&app, named)?;
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
            let rows =
                attend(&app.engine, connections, app.limit, request, &patience, &progress).await;
            Answer::done(rows)
        };
        if let Some(path) = self.config.metrics.textfile.as_ref().filter(|_| !shot.dry_run) {
            let status = match self.stop.interrupt() {
                Some(interrupt) => interrupt.exit_status(),
                None => exit_status(answer.rows.iter().map(|row| row.outcome)),
            };
            let instance = &self.config.metrics.instance_name;
            let (engine, connections) = (&app.engine, &app.connections);
            let left = leave_metrics(engine, connections, path, instance, status);
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
}

/// How long a one-shot that began at `since` may take.
#[must_use]
pub fn patience(shot: OneShot, since: Timestamp, stop: &Stop) -> Patience {
    Patience {
        wait: shot.wait,
        until: shot
            .timeout
            .and_then(|timeout| chrono::TimeDelta::from_std(timeout).ok())
            .and_then(|timeout| since.checked_add_signed(timeout)),
        stop: stop.token.clone(),
    }
}

/// Attends to all connections, at most `limit` of a provider tenant at a time. One's trouble stays
/// its own: whatever becomes of one, the others are carried on to the end. Rows come in the order
/// given.
pub async fn attend(
    engine: &Engine,
    connections: Vec<Connection>,
    limit: NonZeroUsize,
    request: &RotationRequest,
    patience: &Patience,
    progress: &Arc<dyn Progress>,
) -> Vec<Row> {
    let policies: Vec<_> =
        connections.iter().map(|connection| Arc::clone(&connection.policy)).collect();
    let reports =
        side_by_side(&engine.pool, connections, limit, Connection::lane, |connection, seat| {
            let (engine, request, patience) = (engine.clone(), request.clone(), patience.clone());
            let progress = Arc::clone(progress);
            async move {
                let report = match engine.not_begun(&connection, &patience).await {
                    Some(report) => report,
                    None => engine.attend_at(&seat, &connection, &request, &patience).await,
                };
                progress.done(&connection.policy.name, report.outcome.as_str());
                report
            }
        })
        .await;
    policies
        .iter()
        .zip(reports)
        .map(|(policy, report)| {
            let report = report.unwrap_or_else(defect);
            Row::of(policy, &report, engine.clock.now())
        })
        .collect()
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
    engine: &Engine,
    connections: &[Connection],
    path: &Path,
    instance_name: &str,
    exit_status: u8,
) -> anyhow::Result<()> {
    let now = engine.clock.now();
    engine.metrics.last_run(now, exit_status);
    let text = scrape::textfile(engine, connections).await?;
    let text = labelled(&text, "instance_name", instance_name);
    let file = path.to_owned();
    let written = tokio::task::spawn_blocking(move || write_textfile(&file, &text)).await?;
    written.with_context(|| format!("write {}", path.display()))
}

/// The report of work that panicked. The record says how far it came, and the next run goes on.
fn defect() -> Report {
    let why = "the work on this connection ended by a defect in this program; the next run goes \
               on where it was";
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
