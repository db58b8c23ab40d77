//! `run`: the daemon, in the foreground.

use std::sync::Arc;

use super::{
    output::{Answer, Failure},
    session::Session,
    wiring::Use,
};
use crate::{
    engine::{daemon, live::Live, progress::Silent},
    telemetry::audit::{entry::Entry, writer::tell_heads},
};

/// Runs until a signal ends it.
///
/// # Errors
/// What it cannot start without.
pub(super) async fn run(session: &Session<'_>) -> Result<Answer, Failure> {
    let mut house = session.house(Use::Write).await?;
    house.engine.progress = Arc::new(Silent);
    session.warn_of_dormant(&house).await;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        connections = house.connections.len(),
        ledger = %session.config.state.url(),
        "running"
    );
    let connections = house.connections.iter().cloned().map(Arc::new).collect();
    let live = Arc::new(Live::starting(connections, session.clock.now()));
    let stop = session.stop.token.clone();
    let (audit, clock) = (house.engine.audit.clone(), session.clock.clone());
    let started = Entry::of_process("started", clock.now(), "the daemon starts");
    audit.note(started.with_config(&session.config.sha256)).await;
    let heads = tokio::spawn(tell_heads(audit.clone(), clock.clone(), stop.clone()));
    daemon::run(house.engine.clone(), live, house.limit, stop).await;
    audit.note(Entry::of_process("stopped", clock.now(), "the daemon was asked to stop")).await;
    heads.abort();
    tracing::info!("stopped");
    house.close().await;
    Ok(Answer::shown(Vec::new(), String::new()))
}
