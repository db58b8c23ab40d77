//! `run`: the daemon, in the foreground.

use std::{io::ErrorKind, sync::Arc};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{
    control::{self, server},
    output::{Answer, Failure},
    reload::{Comparison, Reloader, in_force_of},
    serve::Port,
    session::Session,
    supervisor::Supervisor,
};
use crate::{
    app::Use,
    clock::Clock,
    engine::{daemon, live::Live, progress::Silent, watching},
    error::system_words,
    ledger::sqlite::{self, Serving},
    telemetry::audit::entry::Entry,
    words::stamp,
};

/// Runs until a signal ends it.
///
/// # Errors
/// What it cannot start without.
pub(super) async fn run(session: &Session<'_>) -> Result<Answer, Failure> {
    // From here on SIGHUP does not end the process.
    let hangups = signal(SignalKind::hangup()).map_err(|error| Failure::system(&error))?;
    let mut app = session.app(Use::Write).await?;
    app.engine.progress = Arc::new(Silent);
    let now = session.clock.now();
    app.engine.metrics.config_reload(now, true);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        connections = app.connections.len(),
        ledger = %session.config.state.url(),
        "running version {}",
        env!("CARGO_PKG_VERSION")
    );
    let serving = serving(session).await;
    let supervisor = Arc::new(Supervisor::of_this_process());
    let (changes, changed) = mpsc::channel(1);
    let (engine, limit) = (app.engine.clone(), app.limit);
    let connections = app.connections.clone();
    let live = Arc::new(Live::starting(connections, now));
    live.set_watched(app.watched.clone());
    let (in_force, in_force_now) =
        watch::channel(Arc::new(in_force_of(session.config.clone(), &app)));
    let mut reloader = Reloader {
        path: session.invocation.config.clone(),
        env: Arc::clone(&session.env),
        voice: session.voice.clone(),
        config: session.config.clone(),
        app,
        changes,
        in_force,
        supervisor: Arc::clone(&supervisor),
        port: Port::default(),
        live: Arc::clone(&live),
        comparison: Comparison::at_once(now),
        next_listing: (!session.config.discover.is_empty()).then_some(now),
    };
    reloader.open_port().await?;
    let stop = session.stop.token.clone();
    let socket = server::open(session.config).await;
    let site = Arc::new(server::Site {
        path: session.invocation.config.clone(),
        whole: control::whole(&session.invocation.config),
        env: Arc::clone(&session.env),
        clock: Arc::clone(session.clock),
        audit: Arc::clone(&engine.audit),
        in_force: in_force_now,
        live: Arc::clone(&live),
        stop: stop.clone(),
    });
    let (audit, clock) = (engine.audit.clone(), session.clock.clone());
    let started = Entry::of_process("started", clock.now(), "the daemon starts");
    audit.note(started.with_config(&session.config.sha256)).await;
    let ledger = Arc::clone(&engine.ledger);
    // There may be very many records: nobody waits for this.
    let dormant = stop.clone().run_until_cancelled_owned(async move {
        session.warn_of_dormant(ledger.as_ref()).await;
    });
    let (watching, watched) = (engine.clone(), Arc::clone(&live));
    let ((app, port), (), (), (), _) = tokio::join!(
        reloader.listen(hangups, stop.clone()),
        daemon::run(engine, live, limit, changed, supervisor, stop.clone()),
        watching::run(&watching, &watched, &stop),
        server::serve(socket, site),
        dormant,
    );
    let stopped = Entry::of_process("stopped", clock.now(), "the daemon was asked to stop");
    let farewell = session.farewell(None);
    let last_line = tokio::time::timeout(farewell, audit.note(stopped));
    let (said, ()) = tokio::join!(last_line, port.close());
    if said.is_err() {
        tracing::warn!("could not record the daemon's stop in the audit log");
    }
    tracing::info!("stopped");
    app.close(farewell).await;
    drop(serving);
    Ok(Answer::shown(Vec::new(), String::new()))
}

/// Writes down that this process serves the ledger, so that `status` can tell when it was killed.
async fn serving(session: &Session<'_>) -> Option<Serving> {
    let (file, now) = (session.config.state.file()?.to_owned(), session.clock.now());
    let begun =
        tokio::task::spawn_blocking(move || (sqlite::killed(&file), Serving::begin(&file, now)));
    let (before, begun) = begun.await.ok()?;
    if let Some(before) = before {
        tracing::warn!(
            pid = before.pid,
            "the previous daemon (process {}, started at {}) was killed or crashed; continuing from the ledger",
            before.pid,
            stamp(before.since)
        );
    }
    begun
        .inspect_err(|error| {
            let words = if error.kind() == ErrorKind::WouldBlock {
                "another daemon serves this ledger".to_owned()
            } else {
                system_words(error)
            };
            tracing::warn!(
                error = words,
                "`status` cannot tell when this daemon is killed: {words}"
            );
        })
        .ok()
}
