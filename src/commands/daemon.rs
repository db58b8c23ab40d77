//! `run`: the daemon, in the foreground.

use std::sync::Arc;

use super::{
    output::{Answer, Failure},
    serve,
    session::Session,
    wiring::Use,
};
use crate::engine::{daemon, live::Live, progress::Silent};

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
    let port = serve::open(session.config.server, &house.engine, &live, stop.clone()).await?;
    daemon::run(house.engine.clone(), live, house.limit, stop).await;
    port.close().await;
    tracing::info!("stopped");
    house.close().await;
    Ok(Answer::shown(Vec::new(), String::new()))
}
