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
    token::{ConnectionName, TokenId},
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
    let report = match operation {
        Operation::Revoke { id, .. } => unless_kept(id, report),
        Operation::Adopt(_)
        | Operation::Retire(_)
        | Operation::TakeOver(_)
        | Operation::AcceptPlace(_)
        | Operation::AcceptUserGone(_) => report,
    };
    let row = Row::of(policy, &report, engine.clock.now());
    // What failed or is refused since is said first.
    let well = matches!(row.outcome, Outcome::Unchanged | Outcome::Waiting);
    let done = (well && !by_an_operator).then(|| word(operation));
    Row { by_an_operator, done, ..row }
}

/// An operator's word is on record, and the token is still there: what keeps it is told instead of that it
/// was revoked.
fn unless_kept(id: &TokenId, report: Report) -> Report {
    let waits = |record: &Record| {
        let kept = record.retiring.iter().find(|retiring| retiring.token.id == *id);
        kept.is_some_and(|retiring| retiring.state.announced_at().is_none())
    };
    if report.outcome == Outcome::Failed || !report.record.as_ref().is_some_and(waits) {
        return report;
    }
    let name = report.record.as_ref().map(|record| record.name.to_string()).unwrap_or_default();
    let why = if report.why.contains(&format!("{id} is kept")) {
        report.why
    } else {
        format!(
            "{id} is not revoked yet: {}; `scimitar revoke {name} --token-id {id} --force` revokes it anyway; clients \
             that still use it lose access",
            report.why
        )
    };
    // What is refused already has its own word.
    let refused = report.reason.filter(|_| report.outcome == Outcome::Refused);
    let reason = Some(refused.unwrap_or(Reason::Evidence));
    Report { outcome: Outcome::Refused, reason, why, ..report }
}

/// What the decision came to.
fn word(operation: &Operation) -> &'static str {
    match operation {
        Operation::Adopt(_) | Operation::TakeOver(_) => "adopted",
        Operation::Retire(_) => "retiring",
        Operation::AcceptPlace(_) | Operation::AcceptUserGone(_) => "accepted",
        Operation::Revoke { .. } => "revoked",
    }
}

/// What it means that the decision was not carried out.
fn report(not_done: NotDone, record: Option<Record>) -> Report {
    match not_done {
        NotDone::Already(words) => Report::new(Outcome::Unchanged, None, words, record),
        NotDone::Refused(words) => Report::new(Outcome::Refused, None, words, record),
        NotDone::NotAsked(fault) => {
            let why = format!(
                "{fault}; nothing was changed: run the command again once the provider answers"
            );
            let reason = Some(Reason::ProviderUnavailable);
            let failed = Report::new(Outcome::Failed, reason, why, record);
            Report { fault: Some(fault), ..failed }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::{fixture, record::RetiringState};

    #[test]
    fn what_is_kept_was_not_revoked() {
        let id = fixture::id("tok_old");
        let of = |why: &str, record: &Record| {
            let report = Report::new(Outcome::Waiting, None, why.to_owned(), Some(record.clone()));
            unless_kept(&id, report)
        };
        let mut record = fixture::rotated();
        let kept = of("it waits", &record);
        assert_eq!((kept.outcome, kept.reason), (Outcome::Refused, Some(Reason::Evidence)));
        let moved = Some(Reason::PlaceChanged);
        let refused = Report::new(Outcome::Refused, moved, String::new(), kept.record);
        assert_eq!(unless_kept(&id, refused).reason, moved);
        let words = "tok_old is not revoked yet: it waits; `scimitar revoke initech-okta --token-id \
                     tok_old --force` revokes it anyway; clients that still use it lose access";
        assert_eq!(kept.why, words);
        assert_eq!(of("tok_old is kept: so", &record).why, "tok_old is kept: so");
        record.retiring[0].state = RetiringState::Announced { at: fixture::now() };
        assert_eq!(of("the list lags", &record).outcome, Outcome::Waiting, "its DELETE was sent");
        record.retiring.clear();
        assert_eq!(of("all is well", &record).outcome, Outcome::Waiting, "it is gone");
    }

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
