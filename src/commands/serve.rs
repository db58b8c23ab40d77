//! The daemon's port: `[server]`.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::output::{Failure, FailureClass};
use crate::{
    config::ServerConfig,
    engine::{live::Live, worker::Engine},
    error::system_words,
    web::{self, Limits, Site},
};

/// How long answers under way may hold up the end.
const FAREWELL: Duration = Duration::from_millis(750);

/// What to do about an address that cannot be had.
const WAYS_OUT: [(ErrorKind, &str); 3] = [
    (
        ErrorKind::AddrInUse,
        "another process uses this port (a second daemon?): stop it, or give `listen` in [server] another \
         port",
    ),
    (
        ErrorKind::AddrNotAvailable,
        "no interface of this machine has this address: correct `listen` in [server]",
    ),
    (
        ErrorKind::PermissionDenied,
        "ports below 1024 need a permission that the service does not have: give `listen` in [server] \
         another port",
    ),
];

/// The port, while it is open.
#[derive(Debug, Default)]
pub(super) struct Port(Option<Open>);

#[derive(Debug)]
struct Open {
    serving: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

/// Opens the port, if one is configured, and answers on it from now on until it is closed.
///
/// # Errors
/// When the address is taken, or is none of this machine.
pub(super) async fn open(
    server: Option<ServerConfig>,
    engine: &Engine,
    live: &Arc<Live>,
) -> Result<Port, Failure> {
    let Some(ServerConfig { listen }) = server else { return Ok(Port::default()) };
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|error| refused(listen, &error))?;
    let address = listener.local_addr().map_err(|error| refused(listen, &error))?;
    let site = Site::new(engine.clone(), Arc::clone(live), Limits::default());
    tracing::info!(url = %format!("http://{address}/"), "the status page is open at http://{address}/");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(web::serve(listener, site, stop.clone()));
    Ok(Port(Some(Open { serving, stop })))
}

impl Port {
    /// Waits, not for long, until the answers under way are sent.
    pub(super) async fn close(self) {
        let Some(Open { mut serving, stop }) = self.0 else { return };
        stop.cancel();
        // Whoever is not done by then finds the connection cut.
        if tokio::time::timeout(FAREWELL, &mut serving).await.is_err() {
            serving.abort();
        }
    }
}

fn refused(listen: SocketAddr, error: &std::io::Error) -> Failure {
    let way_out = WAYS_OUT.iter().find(|(kind, _)| *kind == error.kind());
    let way_out =
        way_out.map_or("correct `listen` in [server], or leave [server] out", |(_, words)| words);
    let words = system_words(error);
    Failure::new(
        FailureClass::System,
        format!("the status page cannot be opened at {listen}: {words}; {way_out}"),
    )
}
