//! `pause`, `resume` and `handoff`: what an operator decides about whole connections, which only the
//! ledger has to know.

use std::sync::Arc;

use super::{
    output::{Answer, Failure, FailureClass, Row},
    session::{Session, selected},
    side_by_side::side_by_side,
};
use crate::{
    app::Use,
    cli::{Selection, Until},
    clock::{Clock, Timestamp},
    engine::{
        order::Order,
        report::{Outcome, Report},
        worker::Connection,
    },
    rotation::{due, hold, pause::Pause},
    token::TokenId,
    words::date,
};

impl Session<'_> {
    pub(super) async fn pause(
        &self,
        of: &Selection,
        until: Until,
        reason: &str,
    ) -> Result<Answer, Failure> {
        let since = self.clock.now();
        let until = ends(until, since)?;
        let pause = Pause { since, until, by: self.person(), reason: reason.to_owned() };
        self.order(of, &Order::Pause(pause)).await
    }

    pub(super) async fn resume(&self, of: &Selection) -> Result<Answer, Failure> {
        self.order(of, &Order::Resume { by: self.person() }).await
    }

    pub(super) async fn handed_over(
        &self,
        of: &Selection,
        client: Option<&str>,
        token: Option<&TokenId>,
    ) -> Result<Answer, Failure> {
        let (client, token) = (client.map(ToOwned::to_owned), token.cloned());
        self.order(of, &Order::HandedOver { by: self.person(), client, token }).await
    }

    async fn order(&self, of: &Selection, order: &Order) -> Result<Answer, Failure> {
        let names = self.named(of).await?;
        let app = self.app(Use::Write).await?;
        let connections = selected(&app, &names);
        let (pool, patience) = (&app.engine.pool, self.patience());
        let coming = self.coming(&connections);
        let rows = side_by_side(
            pool,
            connections,
            app.limit,
            |one| one.lane(),
            |connection, seat| {
                let (engine, order, patience) =
                    (app.engine.clone(), order.clone(), patience.clone());
                let coming = Arc::clone(&coming);
                async move {
                    let _seat = seat;
                    let report = engine.order(&connection, &order, &patience).await;
                    let now = engine.clock.now();
                    let mut row = Row::of(&connection.policy, &report, now);
                    row.warnings.extend(not_held(&connection, &report, now));
                    row.done = word(&order, &report);
                    coming.done(&row, engine.progress.as_ref(), now);
                    row
                }
            },
        )
        .await;
        app.close(self.farewell(None)).await;
        let text = coming.are_printed().then(String::new);
        Ok(Answer { text, ..Answer::done(rows.into_iter().flatten().collect()) })
    }
}

/// What the decision came to, where it was carried out: its words then name the person.
fn word(order: &Order, report: &Report) -> Option<&'static str> {
    let (word, by) = match order {
        Order::Pause(pause) => ("paused", &pause.by),
        Order::Resume { by } => ("resumed", by),
        Order::HandedOver { by, .. } => ("confirmed", by),
    };
    let done = report.outcome == Outcome::Unchanged && report.why.contains(by.as_str());
    done.then_some(word)
}

/// A rotation that does not wait for the pause, with when it starts.
fn not_held(connection: &Connection, report: &Report, now: Timestamp) -> Option<String> {
    let (policy, record) = (&connection.policy, report.record.as_ref()?);
    record.pause.as_ref()?;
    let clock = record.believed_clock();
    let due = due::next(policy, record);
    let start = hold::start(policy, record, &due, clock.to_provider(now))?;
    let words = start.overruled?;
    Some(format!("rotated anyway at {}: {words}", date(clock.to_host(start.at))))
}

/// The moment, which has to come.
fn ends(until: Until, now: Timestamp) -> Result<Timestamp, Failure> {
    let at = match until {
        Until::At(at) => Some(at),
        Until::For(length) => chrono::TimeDelta::from_std(length)
            .ok()
            .and_then(|length| now.checked_add_signed(length)),
    };
    at.filter(|at| *at > now).ok_or_else(|| {
        let words =
            format!("--until must be in the future (it is {} now); nothing was done", date(now));
        Failure::new(FailureClass::Usage, words)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::parse_timestamp;

    #[test]
    fn a_pause_ends_at_a_moment_to_come() {
        let at = |text| parse_timestamp(text).unwrap();
        let now = at("2026-11-22T04:00:00Z");
        let hour = Until::For(Duration::from_secs(3_600));
        assert_eq!(ends(hour, now).unwrap(), at("2026-11-22T05:00:00Z"));
        let new_year = at("2027-01-01T00:00:00Z");
        assert_eq!(ends(Until::At(new_year), now).unwrap(), new_year);
        for past in [now, at("2026-11-22T03:59:59Z")] {
            let refused = ends(Until::At(past), now).unwrap_err();
            assert_eq!(refused.class.exit_status(), 2);
            assert!(refused.message.contains("2026-11-22 04:00 UTC now"), "{}", refused.message);
        }
    }
}
