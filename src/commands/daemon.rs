//! `run`: the daemon, in the foreground.

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    output::{Answer, Failure},
    reload::Reloader,
    serve::Port,
    session::Session,
    supervisor::Supervisor,
    wiring::{Use, system},
};
use crate::engine::{daemon, live::Live, progress::Silent};

/// Runs until a signal ends it.
///
/// # Errors
/// What it cannot start without.
pub(super) async fn run(session: &Session<'_>) -> Result<Answer, Failure> {
    // From here on SIGHUP does not end the process.
    let hangups = signal(SignalKind::hangup()).map_err(|error| system(&error))?;
    let mut house = session.house(Use::Write).await?;
    house.engine.progress = Arc::new(Silent);
    session.warn_of_dormant(&house).await;
    let now = session.clock.now();
    house.engine.metrics.config_reload(now, true);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        connections = house.connections.len(),
        ledger = %session.config.state.url(),
        "running"
    );
    let supervisor = Arc::new(Supervisor::of_this_process());
    let (changes, changed) = mpsc::channel(1);
    let (engine, limit) = (house.engine.clone(), house.limit);
    let connections = house.connections.iter().cloned().map(Arc::new).collect();
    let live = Arc::new(Live::starting(connections, now));
    let mut reloader = Reloader {
        path: session.invocation.config.clone(),
        env: Arc::clone(&session.env),
        console: session.console.clone(),
        config: session.config.clone(),
        house,
        changes,
        supervisor: Arc::clone(&supervisor),
        port: Port::default(),
        live: Arc::clone(&live),
    };
    reloader.open_port().await?;
    let stop = session.stop.token.clone();
    let ((house, port), ()) = tokio::join!(
        reloader.listen(hangups, stop.clone()),
        daemon::run(engine, live, limit, changed, supervisor, stop),
    );
    tracing::info!("stopped");
    port.close().await;
    house.close().await;
    Ok(Answer::shown(Vec::new(), String::new()))
}
