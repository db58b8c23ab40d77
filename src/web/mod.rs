//! What the daemon shows over HTTP: the status page, the metrics, its health, and the rows as JSON.
//!
//! Nothing here changes anything, and nothing here knows a token's value: what is shown comes from
//! the ledger, which holds none.

mod api;
mod card;
mod door;
mod guard;
mod health;
mod life;
mod months;
mod overview;
mod page;
mod query;

use std::{io, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, sync::Mutex};
use tokio_util::{io::ReaderStream, sync::CancellationToken};

use self::{
    door::{Arrival, Door},
    overview::Overview,
};
use crate::{
    engine::{live::Live, scrape, worker::Engine},
    error::chain,
};

pub use self::door::Limits;

/// How much of a long answer is made ahead of its reader, in bytes.
const AHEAD: usize = 64 * 1024;

/// What the pages are made from.
#[derive(Debug)]
pub struct Site {
    /// The daemon as it is at this moment.
    live: Arc<Live>,
    /// Its ledger, clock and metrics.
    engine: Engine,
    /// Only this machine can connect: a browser that was led here by a name is then turned away.
    loopback: bool,
    limits: Limits,
    /// What was last read of the whole ledger; whoever reads it makes the others wait.
    overview: Mutex<Option<Arc<Overview>>>,
}

impl Site {
    /// The pages of this daemon.
    #[must_use]
    pub fn new(engine: Engine, live: Arc<Live>, limits: Limits) -> Self {
        Self { live, engine, loopback: true, limits, overview: Mutex::new(None) }
    }
}

/// Serves until `stop`, then until the answers under way are sent or their time is up.
///
/// # Errors
/// When the socket does not say where it listens.
pub async fn serve(listener: TcpListener, site: Site, stop: CancellationToken) -> io::Result<()> {
    let loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
    let door = Door::new(listener, site.engine.clock.clone(), site.limits, stop.clone());
    let site = Arc::new(Site { loopback, ..site });
    let router = Router::new().fallback(answer).with_state(site);
    axum::serve(door, router.into_make_service_with_connect_info::<Arrival>())
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Page,
    Style,
    Icon,
    Metrics,
    Live,
    Ready,
    Connections,
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/style.css" => Some(Self::Style),
            "/icon.svg" => Some(Self::Icon),
            "/metrics" => Some(Self::Metrics),
            "/livez" => Some(Self::Live),
            "/readyz" => Some(Self::Ready),
            "/api/v1/connections" => Some(Self::Connections),
            _ => None,
        }
    }
}

async fn answer(
    State(site): State<Arc<Site>>,
    ConnectInfo(arrival): ConnectInfo<Arrival>,
    request: Request,
) -> Response {
    arrival.note();
    // The body, if there is one, is never read.
    let (asked, _) = request.into_parts();
    let mut response = site.route(&asked).await;
    guard::harden(response.headers_mut());
    response
}

impl Site {
    async fn route(self: &Arc<Self>, asked: &Parts) -> Response {
        if self.loopback
            && let Err(words) = guard::host(&asked.headers)
        {
            return text(StatusCode::MISDIRECTED_REQUEST, words);
        }
        let Some(target) = Target::of(asked.uri.path()) else {
            return text(
                StatusCode::NOT_FOUND,
                "there is nothing here; the status page is at /\n".to_owned(),
            );
        };
        if asked.method != Method::GET && asked.method != Method::HEAD {
            let words = "nothing here changes anything: ask with GET\n".to_owned();
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, words);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let made = tokio::time::timeout(self.limits.answer, async {
            match target {
                Target::Page => page::answer(self, &asked.uri).await,
                Target::Style => {
                    with_type(StatusCode::OK, "text/css; charset=utf-8", include_str!("style.css"))
                }
                Target::Icon => {
                    with_type(StatusCode::OK, "image/svg+xml", include_str!("icon.svg"))
                }
                Target::Metrics => self.metrics().await,
                Target::Live => health::live(&self.live, self.engine.clock.now()),
                Target::Ready => health::ready(&self.live, self.engine.clock.now()),
                Target::Connections => api::answer(self).await,
            }
        });
        made.await.unwrap_or_else(|_| {
            let words = "the ledger took too long to answer; try again\n".to_owned();
            text(StatusCode::SERVICE_UNAVAILABLE, words)
        })
    }

    async fn metrics(&self) -> Response {
        match scrape::text(&self.engine, &self.live.connections(), &self.live.watched()).await {
            Ok(series) => {
                let (mut writer, reader) = tokio::io::duplex(AHEAD);
                // Each piece is let go once it is sent. A reader that went away ends it.
                tokio::spawn(async move {
                    for piece in series {
                        if writer.write_all(piece.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
                let body = Body::from_stream(ReaderStream::new(reader));
                with_type(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
            }
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", chain(&error))),
        }
    }
}

fn text(status: StatusCode, words: String) -> Response {
    with_type(status, "text/plain; charset=utf-8", words)
}

fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
