//! `adopt` and `revoke`: what an operator decides about one token.

use super::{
    output::{Answer, Failure, Row},
    session::{Session, selected},
};
use crate::{
    app::Use,
    cli::Selection,
    engine::{
        report::{Outcome, Report},
        worker::{Connection, Engine, Operation, Patience},
    },
    rotation::{operate::NotDone, record::Record, why::Reason},
    token::ConnectionName,
};

impl Session<'_> {
    pub(super) async fn operate(
        &self,
        name: &ConnectionName,
        operation: &Operation,
    ) -> Result<Answer, Failure> {
        let names = self.named(&Selection::of(name.clone())).await?;
        let app = self.app(Use::Write).await?;
        let connections = selected(&app, &names);
        let patience = self.patience();
        let mut rows = Vec::new();
        for connection in &connections {
            rows.push(row(&app.engine, connection, operation, &patience).await);
        }
        app.close(self.farewell(None)).await;
        Ok(Answer::done(rows))
    }
}

/// Carries the decision out.
pub async fn row(
    engine: &Engine,
    connection: &Connection,
    operation: &Operation,
    patience: &Patience,
) -> Row {
    let policy = &connection.policy;
    let decided = engine.operate(connection, operation, patience).await;
    let by_an_operator = decided.is_err();
    let report = match decided {
        Ok(done) => done,
        Err(not_done) => {
            let stored = engine.ledger.load(&policy.key).await.ok().flatten();
            report(not_done, stored.map(|stored| stored.record))
        }
    };
    let row = Row::of(policy, &report, engine.clock.now());
    Row { by_an_operator, ..row }
}

/// What it means that the decision was not carried out.
fn report(not_done: NotDone, record: Option<Record>) -> Report {
    match not_done {
        NotDone::Already(words) => Report::new(Outcome::Unchanged, None, words, record),
        NotDone::Refused(words) => Report::new(Outcome::Refused, None, words, record),
        NotDone::NotAsked(fault) => {
            let why = format!("{fault}; nothing was changed: ask again once the provider answers");
            let reason = Some(Reason::ProviderUnavailable);
            let failed = Report::new(Outcome::Failed, reason, why, record);
            Report { fault: Some(fault), ..failed }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn why_it_is_not_done_decides_the_outcome() {
        let record = || Some(fixture::rotated());
        let refused = report(NotDone::Refused("no".to_owned()), record());
        assert_eq!((refused.outcome, refused.reason), (Outcome::Refused, None));
        let same = report(NotDone::Already("already".to_owned()), record());
        assert_eq!((same.outcome, same.why.as_str()), (Outcome::Unchanged, "already"));
        let fault = fixture::fault();
        let away = report(NotDone::NotAsked(fault.clone()), record());
        assert_eq!(away.outcome, Outcome::Failed);
        assert_eq!(away.reason, Some(Reason::ProviderUnavailable));
        assert_eq!(away.fault, Some(fault));
    }
}
