//! `adopt` and `revoke`: what an operator decides about one token.

use super::output::Row;
use crate::engine::{
    report::{Outcome, Report},
    worker::{Connection, Engine, Operation, Patience},
};

/// Carries the decision out.
pub async fn row(
    engine: &Engine,
    connection: &Connection,
    operation: &Operation,
    patience: &Patience,
) -> Row {
    let policy = &connection.policy;
    let report = match engine.operate(connection, operation, patience).await {
        Ok(report) => report,
        Err(words) => Report {
            outcome: Outcome::Refused,
            reason: None,
            why: words,
            record: engine
                .ledger
                .load(&policy.key)
                .await
                .ok()
                .flatten()
                .map(|stored| stored.record),
            fault: None,
        },
    };
    Row::from_report(&policy.name, &policy.key.connection, &policy.provider, &report)
}
