//! The front: sockets, the order of things around a request, and faults.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Body as HttpBody, to_bytes},
    extract::{ConnectInfo, Request, State as Shared, connect_info::Connected},
    http::{HeaderMap, Response, header},
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::{
    Setup, Tenant, control,
    faults::{Act, Faults, LateAnswer},
    mislead,
    quirks::Quirks,
    state::View,
    storage::Storage,
    wire::{self, TenantAnswer, TenantRequest},
};
use crate::error;

/// The largest body that is read.
const LARGEST: usize = 1024 * 1024;

/// What every request needs.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) setup: Setup,
    pub(super) storage: Storage,
    pub(super) faults: Faults,
    pub(super) stop: CancellationToken,
}

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, front: Arc<Front>) -> io::Result<()> {
    let stop = front.stop.clone();
    let router = Router::new().fallback(handle).with_state(front);
    axum::serve(Tap(listener), router.into_make_service_with_connect_info::<Budget>())
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// How a request ends.
enum Ending {
    TenantAnswer(TenantAnswer),
    /// The connection is closed after this many bytes of the answer.
    Cut(TenantAnswer, usize),
}

impl Ending {
    fn dropped() -> Self {
        Self::Cut(TenantAnswer::no_content(), 0)
    }
}

async fn handle(
    Shared(front): Shared<Arc<Front>>,
    ConnectInfo(budget): ConnectInfo<Budget>,
    request: Request,
) -> Response<HttpBody> {
    let clock = Arc::clone(&front.setup.clock);
    let ending = match read(request).await {
        // In a task of its own: a caller who leaves does not undo what was begun.
        Ok(ask) => tokio::spawn(process(front, ask)).await.unwrap_or_else(|_| {
            Ending::TenantAnswer(wire::refusal(500, "the sandbox failed", None))
        }),
        Err(answer) => Ending::TenantAnswer(answer),
    };
    match ending {
        Ending::TenantAnswer(answer) => answer.into_response(clock.now()),
        Ending::Cut(answer, bytes) => {
            budget.0.store(bytes, Ordering::SeqCst);
            answer.into_response(clock.now())
        }
    }
}

async fn read(request: Request) -> Result<TenantRequest, TenantAnswer> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST)
        .await
        .map_err(|_| wire::refusal(413, "the body is too large or incomplete", None))?;
    let path = parts.uri.path().to_owned();
    Ok(TenantRequest {
        segments: wire::segments(&path),
        query: parts.uri.query().map(wire::pairs).unwrap_or_default(),
        bearer: credentials(&parts.headers, "bearer"),
        token: credentials(&parts.headers, "token"),
        content_type: text(&parts.headers, header::CONTENT_TYPE).unwrap_or_default(),
        origin: format!(
            "http://{}",
            text(&parts.headers, header::HOST).unwrap_or_else(|| "localhost".to_owned())
        ),
        method: parts.method,
        path,
        body: body.to_vec(),
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What `Authorization` holds under this scheme.
fn credentials(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let value = text(headers, header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| token.trim().to_owned())
}

async fn process(front: Arc<Front>, ask: TenantRequest) -> Ending {
    if front.setup.control && ask.path.starts_with("/sandbox/") {
        return Ending::TenantAnswer(control::answer(&front.faults, &ask).await);
    }
    let (act, view, quirks) = front.faults.judge(&ask, front.setup.clock.now());
    let Some(act) = act else {
        return Ending::TenantAnswer(front.effect(ask, view, quirks).await);
    };
    let stop = front.stop.clone();
    let run = front.mislead(act, ask, quirks);
    tokio::select! {
        biased;
        ending = run => ending,
        () = stop.cancelled() => Ending::dropped(),
    }
}

impl Front {
    /// Lets a request take effect.
    async fn effect(&self, ask: TenantRequest, view: View, quirks: Quirks) -> TenantAnswer {
        let setup = self.setup.clone();
        let path = ask.path.clone();
        let done = self.storage.transact(move |state| {
            let tenant = Tenant {
                now: setup.clock.now(),
                entropy: &*setup.entropy,
                clients: &setup.clients,
                limit: setup.limit,
                quirks: &quirks,
                view,
            };
            tenant.answer(state, &ask)
        });
        done.await.unwrap_or_else(|failed| {
            let detail = format!("the sandbox's folder: {}", error::chain(&failed));
            tracing::warn!(error = %detail, "the sandbox could not keep its state: {detail}");
            mislead::refusal_for(&path, 500, &detail, "internal_error")
        })
    }

    async fn mislead(self: Arc<Self>, act: Act, ask: TenantRequest, quirks: Quirks) -> Ending {
        let path = ask.path.clone();
        let effect = |view| self.effect(ask.clone(), view, quirks.clone());
        match act {
            Act::Throttle { retry_after } => {
                Ending::TenantAnswer(mislead::throttled(&path, retry_after))
            }
            Act::Status(status) => Ending::TenantAnswer(mislead::failed(&path, status)),
            Act::BadGateway => Ending::TenantAnswer(mislead::bad_gateway()),
            Act::NoConnection => Ending::TenantAnswer(mislead::away(&path, wire::no_connection())),
            Act::ScimNotConfigured => Ending::TenantAnswer(mislead::away(&path, wire::not_found())),
            Act::ScimUnsupported => {
                Ending::TenantAnswer(mislead::away(&path, wire::scim_unsupported()))
            }
            Act::DropBefore => Ending::dropped(),
            Act::DropAfter => Ending::Cut(effect(View::Now).await, 0),
            Act::CutAfter(bytes) => Ending::Cut(effect(View::Now).await, bytes),
            Act::ErrorAfter => {
                effect(View::Now).await;
                Ending::TenantAnswer(mislead::failed(&path, 500))
            }
            Act::HoldBefore => {
                let mut wait = self.faults.wait();
                wait.released().await;
                Ending::TenantAnswer(effect(View::Now).await)
            }
            Act::HoldAfter => {
                // Whoever waits until it is held finds the effect there.
                let answer = effect(View::Now).await;
                self.faults.wait().released().await;
                Ending::TenantAnswer(answer)
            }
            Act::Delay(seconds) => {
                self.until(seconds).await;
                Ending::TenantAnswer(effect(View::Now).await)
            }
            Act::Late { answer, after } => self.late(answer, after, ask.clone(), quirks).await,
            Act::Lag(_) | Act::Freeze => Ending::TenantAnswer(effect(View::Now).await),
            Act::Truncate => Ending::TenantAnswer(mislead::truncated(&effect(View::Now).await)),
            Act::ExtraMembers => {
                Ending::TenantAnswer(mislead::with_extra_members(effect(View::Now).await))
            }
            Act::ValidUntilOff(seconds) => {
                Ending::TenantAnswer(mislead::valid_until_off(effect(View::Now).await, seconds))
            }
        }
    }

    async fn late(
        self: &Arc<Self>,
        answer: LateAnswer,
        after: Option<u32>,
        ask: TenantRequest,
        quirks: Quirks,
    ) -> Ending {
        let path = ask.path.clone();
        let front = Arc::clone(self);
        let mut wait = self.faults.wait();
        let later = tokio::spawn(async move {
            let due = async {
                match after {
                    Some(seconds) => front.until(seconds).await,
                    None => std::future::pending().await,
                }
            };
            let stopped = tokio::select! {
                () = wait.released() => false,
                () = due => false,
                () = front.stop.cancelled() => true,
            };
            if !stopped {
                front.effect(ask, View::Now, quirks).await;
            }
        });
        match answer {
            LateAnswer::ServerError => Ending::TenantAnswer(mislead::failed(&path, 500)),
            LateAnswer::Dropped => Ending::dropped(),
            LateAnswer::Silence => {
                let _ = later.await;
                Ending::dropped()
            }
        }
    }

    /// Returns this many seconds from now, by the sandbox's clock.
    async fn until(&self, seconds: u32) {
        let clock = &self.setup.clock;
        clock.sleep_until(clock.now() + chrono::TimeDelta::seconds(seconds.into())).await;
    }
}

/// How many more bytes a connection may carry to the client; everything by default.
#[derive(Clone, Debug)]
struct Budget(Arc<AtomicUsize>);

impl Connected<IncomingStream<'_, Tap>> for Budget {
    fn connect_info(stream: IncomingStream<'_, Tap>) -> Self {
        stream.io().budget.clone()
    }
}

/// A listener whose connections can be cut.
struct Tap(TcpListener);

impl Listener for Tap {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Only speed is lost where the system refuses.
        let _ = stream.set_nodelay(true);
        (Line { stream, budget: Budget(Arc::new(AtomicUsize::new(usize::MAX))) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that breaks when its budget is used up.
struct Line {
    stream: TcpStream,
    budget: Budget,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.budget.0.load(Ordering::SeqCst);
        if left == usize::MAX {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        let allowed = bytes.get(..left.min(bytes.len())).unwrap_or_default();
        if allowed.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, allowed))?;
        self.budget.0.store(left - written, Ordering::SeqCst);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
