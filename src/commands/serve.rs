//! The daemon's port: `[server]`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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
const FAREWELL: Duration = Duration::from_secs(3);

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
    tracing::info!(url = %format!("http://{address}/"), "the status page is open");
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
    let way_out = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another process has it (a second daemon?): end that, or give `listen` in [server] \
             another port"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has it: correct `listen` in [server]"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a right that the service does not have: give `listen` in \
             [server] another port"
        }
        _ => "correct `listen` in [server], or leave [server] out",
    };
    let words = system_words(error);
    Failure::new(
        FailureClass::System,
        format!("the status page cannot be opened at {listen}: {words}; {way_out}"),
    )
}
