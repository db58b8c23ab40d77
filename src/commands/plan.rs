//! `plan` and `--dry-run`: what will happen and when, with nothing changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    output::{Answer, Failure, PlannedRow, Row},
    session::{Session, selected},
    side_by_side::side_by_side,
    words::moment,
};
use crate::{
    app::{App, Use},
    clock::{Clock, Timestamp},
    config::Survey,
    engine::{
        progress::Silent,
        report::{Outcome, Report},
        worker::{Connection, Engine, Patience, RotationRequest},
    },
    rotation::{
        decide::Status,
        forecast::{Forecast, Planned},
        policy::Policy,
        record::Record,
    },
    token::{ConnectionName, ProviderName},
};

/// As many steps are written out (some ten rotations); what follows repeats them.
const WRITTEN_OUT: usize = 60;

impl Session<'_> {
    pub(super) async fn plans(
        &self,
        app: &App,
        connections: Vec<Arc<Connection>>,
        request: &RotationRequest,
        patience: &Patience,
        ahead: Duration,
    ) -> Vec<Row> {
        let pool = &app.engine.pool;
        let (total, ended) = (connections.len(), Arc::new(AtomicUsize::new(0)));
        // What is printed is in the order of the files; until then a terminal shows how far it is.
        let overall = (total > 1).then(|| self.console.overall());
        let rows = side_by_side(
            pool,
            connections,
            app.limit,
            |one| one.lane(),
            |connection, seat| {
                let (engine, request, patience) =
                    (app.engine.clone(), request.clone(), patience.clone());
                let (overall, ended) = (overall.clone(), Arc::clone(&ended));
                async move {
                    let _seat = seat;
                    let row = row(&engine, &connection, &request, &patience, ahead).await;
                    let nth = ended.fetch_add(1, Ordering::Relaxed) + 1;
                    if let Some(overall) = overall {
                        overall.show(&format!("{nth}/{total} planned"), false);
                    }
                    row
                }
            },
        )
        .await;
        if let Some(overall) = overall {
            overall.end();
        }
        rows.into_iter().flatten().collect()
    }

    pub(super) async fn plan(
        &self,
        names: &BTreeSet<ConnectionName>,
        ahead: Duration,
    ) -> Result<Answer, Failure> {
        let mut app = self.app(Use::Look).await?;
        app.engine.progress = Arc::new(Silent);
        let connections = selected(&app, names);
        let rows =
            self.plans(&app, connections, &RotationRequest::Due, &self.patience(), ahead).await;
        app.close(self.farewell(None)).await;
        let now = self.clock.now();
        let text = self.served().await.notice(now) + &text(&rows, &self.config.surveys(), now);
        Ok(Answer::shown(rows, text))
    }
}

/// Looks at one connection and plays its policy forward.
pub async fn row(
    engine: &Engine,
    connection: &Connection,
    request: &RotationRequest,
    patience: &Patience,
    ahead: Duration,
) -> Row {
    let policy = &connection.policy;
    let peek = match Box::pin(engine.peek(connection, request, patience)).await {
        Ok(peek) => peek,
        Err(report) => {
            return Row::of(policy, &report, engine.clock.now());
        }
    };
    let until =
        TimeDelta::from_std(ahead).ok().and_then(|ahead| peek.now.checked_add_signed(ahead));
    let plan = engine.plan(connection, request, &peek, until.unwrap_or(peek.now));
    row_of(policy, plan, peek.record, peek.now)
}

/// What a plan says.
pub(super) fn row_of(policy: &Policy, plan: Forecast, record: Record, now: Timestamp) -> Row {
    let refused = plan.steps.is_empty()
        && plan.first_rest.as_ref().is_some_and(|(status, _)| *status == Status::Refused);
    // The word belongs to the same rest as the words: what is done now waits for nothing.
    let (why, reason) = match (plan.steps.first(), &plan.first_rest) {
        (Some(first), _) if first.at <= now => (first.why.clone(), None),
        (_, Some((_, why))) => (why.clone(), plan.first_reason),
        (Some(first), None) => (first.why.clone(), None),
        (None, None) => ("nothing is planned in this period".to_owned(), None),
    };
    let outcome = if refused { Outcome::Refused } else { Outcome::Planned };
    let report = Report::new(outcome, reason, why, Some(record));
    let mut row = Row::of(policy, &report, now);
    row.steps = plan.steps.into_iter().map(planned).collect();
    row.slots = policy.capabilities.cap;
    row
}

fn planned(step: Planned) -> PlannedRow {
    PlannedRow {
        at: step.at,
        call: step.call,
        why: step.why,
        slots_used: step.slots_used,
        if_it_dies: step.if_it_dies,
    }
}

/// The plans for people: each moment with its calls, why, and the slots that are then used. What a
/// death during a step means is said where it is first of interest. How often connections are looked
/// at between the steps comes at the end.
#[must_use]
pub fn text(rows: &[Row], surveys: &BTreeMap<ProviderName, Survey>, now: Timestamp) -> String {
    let mut text = String::new();
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} ({} at {})", row.connection, row.connection_id, row.provider);
        if row.steps.is_empty() {
            let _ = writeln!(text, "  nothing to do: {}", row.why);
        }
        steps(row, now, &mut text);
        for warning in &row.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        if let Some(error) = &row.error {
            let _ = writeln!(text, "  error: {}", error.message);
        }
    }
    let providers: BTreeSet<_> = rows.iter().map(|row| &row.provider).collect();
    for (provider, survey) in surveys.iter().filter(|(provider, _)| providers.contains(provider)) {
        let _ = writeln!(text, "{}", survey.words(provider));
    }
    text
}

fn steps(row: &Row, now: Timestamp, text: &mut String) {
    let mut told = BTreeSet::new();
    let mut last = None;
    for step in row.steps.iter().take(WRITTEN_OUT) {
        if last != Some(step.at) {
            let _ = writeln!(text, "  {}", moment(step.at, now));
            last = Some(step.at);
        }
        let slots = row
            .slots
            .map_or_else(String::new, |cap| format!("  [{} of {cap} slots used]", step.slots_used));
        let _ = writeln!(text, "    {}{slots}", step.call);
        let _ = writeln!(text, "      because {}", step.why);
        if told.insert(step.if_it_dies) {
            let _ = writeln!(text, "      if interrupted here: {}", step.if_it_dies);
        }
    }
    let left = row.steps.len().saturating_sub(WRITTEN_OUT);
    if let Some(end) = row.steps.last().filter(|_| left > 0) {
        let _ = writeln!(
            text,
            "  {left} more steps, the last one at {}; `-o json` lists them all",
            moment(end.at, now)
        );
    }
}
