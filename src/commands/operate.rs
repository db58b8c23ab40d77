//! `adopt` and `revoke`: what an operator decides about one token.

use super::{
    output::{Answer, Failure, Row},
    session::Session,
};
use crate::{
    app::Use,
    engine::{
        report::{Outcome, Report},
        worker::{Connection, Engine, Operation, Patience},
    },
    rotation::{
        record::{Phase, Record},
        why::Reason,
    },
    token::{ConnectionName, TokenId},
};

impl Session<'_> {
    pub(super) async fn operate(
        &self,
        name: &ConnectionName,
        operation: &Operation,
    ) -> Result<Answer, Failure> {
        let app = self.app(Use::Write).await?;
        let connections = self.selected(&app, std::slice::from_ref(name))?;
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
        Ok(report) => report,
        Err(words) => {
            let stored = engine.ledger.load(&policy.key).await.ok().flatten();
            not_done(operation, words, stored.map(|stored| stored.record))
        }
    };
    let row = Row::of(policy, &report, engine.clock.now());
    Row { by_an_operator, ..row }
}

/// What it means that the decision was not carried out: it did not work, it was so already, or it
/// is refused.
fn not_done(operation: &Operation, words: String, record: Option<Record>) -> Report {
    let away = record.as_ref().and_then(|record| record.troubles.look.as_ref());
    if let Some(trouble) = away.filter(|trouble| trouble.fault.to_string() == words) {
        let fault = Some(trouble.fault.clone());
        let why = format!("{words}; nothing was changed: ask again once the provider answers");
        let reason = Some(Reason::ProviderUnavailable);
        return Report { fault, ..Report::new(Outcome::Failed, reason, why, record) };
    }
    let so_already = match (operation, &record) {
        (Operation::Adopt(id), Some(record)) => is_current(record, id),
        (
            Operation::Adopt(_)
            | Operation::Retire(_)
            | Operation::AcceptPlace(_)
            | Operation::Revoke { .. },
            _,
        ) => false,
    };
    let outcome = if so_already { Outcome::Unchanged } else { Outcome::Refused };
    Report::new(outcome, None, words, record)
}

/// Whether the token is the current one, by a list that shows it, with nothing under way.
fn is_current(record: &Record, id: &TokenId) -> bool {
    let current = record.current.as_ref().is_some_and(|current| current.token.id == *id);
    let survey = record.survey.as_ref();
    let listed = survey.is_some_and(|survey| survey.tokens.iter().any(|token| token.id == *id));
    current && listed && matches!(record.phase, Phase::Steady)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn what_an_operation_answers_decides_the_outcome() {
        let adopt = |id: &str| Operation::Adopt(fixture::id(id));
        let mut record = fixture::rotated();
        let refused = not_done(&adopt("tok_x"), "no".to_owned(), Some(record.clone()));
        assert_eq!((refused.outcome, refused.reason), (Outcome::Refused, None));
        let same = not_done(&adopt("tok_new"), "already".to_owned(), Some(record.clone()));
        assert_eq!((same.outcome, same.why.as_str()), (Outcome::Unchanged, "already"));
        let revoke = Operation::Revoke { id: fixture::id("tok_new"), force: false };
        let held = not_done(&revoke, "an outage".to_owned(), Some(record.clone()));
        assert_eq!(held.outcome, Outcome::Refused);

        record.troubles.look = Some(fixture::trouble(1));
        let fault = fixture::fault();
        let away = not_done(&adopt("tok_x"), fault.to_string(), Some(record));
        assert_eq!(away.outcome, Outcome::Failed);
        assert_eq!(away.reason, Some(Reason::ProviderUnavailable));
        assert_eq!(away.fault, Some(fault));
    }
}
