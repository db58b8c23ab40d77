//! What the daemon shows over HTTP: the status page, the metrics, its health, and the rows as JSON.
//!
//! Nothing here changes anything, and nothing here knows a token's value: what is shown comes from
//! the ledger, which holds none.

mod address;
mod api;
mod axis;
mod card;
mod cause;
mod choices;
mod door;
mod guard;
mod gzip;
mod health;
mod line;
mod list;
mod look;
mod moment;
mod months;
mod overview;
mod page;
mod query;
mod services;

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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Page,
    /// The page of the connection with this name.
    Connection(String),
    Style,
    Script,
    Icon,
    Metrics,
    Live,
    Ready,
    Connections,
    /// The row of the connection with this name.
    Row(String),
    OpenApi,
}

/// Where the rows are.
const ROWS: &str = "/api/v1/connections";

impl Target {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/style.css" => Some(Self::Style),
            "/page.js" => Some(Self::Script),
            "/icon.svg" => Some(Self::Icon),
            "/metrics" => Some(Self::Metrics),
            "/livez" => Some(Self::Live),
            "/readyz" => Some(Self::Ready),
            ROWS => Some(Self::Connections),
            "/api/v1/openapi.json" => Some(Self::OpenApi),
            _ => {
                let page = path.strip_prefix(address::PAGES).and_then(address::decoded);
                let row = || {
                    let name = path.strip_prefix(ROWS)?.strip_prefix('/')?;
                    address::decoded(name).map(Self::Row)
                };
                page.map(Self::Connection).or_else(row)
            }
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
                Target::Page => page::answer(self, asked).await,
                Target::Connection(name) => page::connection(self, &name, asked).await,
                Target::Script => {
                    let kind = "text/javascript; charset=utf-8";
                    with_type(StatusCode::OK, kind, include_str!("page.js"))
                }
                Target::Style => {
                    with_type(StatusCode::OK, "text/css; charset=utf-8", include_str!("style.css"))
                }
                Target::Icon => {
                    with_type(StatusCode::OK, "image/svg+xml", include_str!("icon.svg"))
                }
                Target::Metrics => self.metrics(gzip::is_accepted(&asked.headers)).await,
                Target::Live => health::live(&self.live, self.engine.clock.now()),
                Target::Ready => health::ready(&self.live, self.engine.clock.now()),
                Target::Connections => api::answer(self, &asked.uri).await,
                Target::Row(name) => api::one(self, &name).await,
                Target::OpenApi => with_type(StatusCode::OK, api::JSON, api::OPENAPI),
            }
        });
        made.await.unwrap_or_else(|_| {
            let words = "the ledger took too long to answer; try again\n".to_owned();
            text(StatusCode::SERVICE_UNAVAILABLE, words)
        })
    }

    async fn metrics(&self, packed: bool) -> Response {
        match scrape::text(&self.engine, &self.live.connections(), &self.live.watched()).await {
            Ok(series) => {
                let (mut writer, reader) = tokio::io::duplex(AHEAD);
                // Each piece is let go once it is sent. A reader that went away ends it.
                tokio::spawn(async move {
                    let mut packer = packed.then(gzip::Packer::new);
                    for piece in series {
                        let piece = match &mut packer {
                            Some(packer) => packer.pack(&piece)?,
                            None => piece.into_bytes(),
                        };
                        writer.write_all(&piece).await?;
                    }
                    match packer {
                        Some(packer) => writer.write_all(&packer.end()?).await,
                        None => Ok(()),
                    }
                });
                let body = Body::from_stream(ReaderStream::new(reader));
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                let mut response = with_type(StatusCode::OK, kind, body);
                gzip::tell(response.headers_mut(), packed);
                response
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
