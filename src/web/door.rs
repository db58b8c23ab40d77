//! The way in: how many at once, how long and how much each may send.
//!
//! A connection carries one request. So what a connection may cost is all that has to be bounded.

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use chrono::TimeDelta;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// What callers may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Whoever comes then takes the place of the one that has been in for
    /// longest without having asked for anything, or waits at the door.
    pub connections: usize,
    /// How long a request may take to come in.
    pub request: Duration,
    /// How long its answer may take to be made.
    pub answer: Duration,
    /// How long a connection may last, its answer read as slowly as it may.
    pub connection: Duration,
    /// How many bytes a connection may send.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            request: Duration::from_secs(5),
            answer: Duration::from_secs(45),
            connection: Duration::from_secs(90),
            bytes: 16 * 1024,
        }
    }
}

/// Whether a connection's request is in.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrival(Arc<AtomicBool>);

impl Arrival {
    /// It is.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether anybody beside the door still holds it.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Connected<IncomingStream<'_, Door>> for Arrival {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().arrival.clone()
    }
}

/// Lets connections in.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    stop: CancellationToken,
    /// Who is in, oldest first, and how each is shown out.
    guests: VecDeque<(Arrival, CancellationToken)>,
}

impl Door {
    pub(super) fn new(
        listener: TcpListener,
        clock: Arc<dyn Clock>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        let room = Arc::new(Semaphore::new(limits.connections));
        Self { listener, room, clock, limits, stop, guests: VecDeque::new() }
    }

    /// A place for one more.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.guests.retain(|(arrival, _)| arrival.is_held());
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(place);
        }
        // Hundreds who say nothing must not keep out those who ask whether the daemon lives.
        if let Some(silent) = self.guests.iter().position(|(arrival, _)| !arrival.is_noted())
            && let Some((_, out)) = self.guests.remove(silent)
        {
            out.cancel();
        }
        // The room is never closed.
        Arc::clone(&self.room).acquire_owned().await.ok()
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let place = self.place().await;
        // Only speed is lost where the system refuses.
        let _ = stream.set_nodelay(true);
        let now = self.clock.now();
        let until = |limit: Duration| -> Alarm {
            let at = TimeDelta::from_std(limit).ok().map_or(now, |limit| now + limit);
            let clock = Arc::clone(&self.clock);
            Box::pin(async move { clock.sleep_until(at).await })
        };
        let (arrival, out) = (Arrival::default(), self.stop.child_token());
        self.guests.push_back((arrival.clone(), out.clone()));
        let guest = Guest {
            stream,
            late: until(self.limits.request),
            over: until(self.limits.connection),
            ended: Box::pin(out.cancelled_owned()),
            left: self.limits.bytes,
            arrival,
            _place: place,
        };
        (guest, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

type Alarm = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection within its limits.
pub(super) struct Guest {
    stream: TcpStream,
    /// The request should be in.
    late: Alarm,
    /// The connection should be over.
    over: Alarm,
    /// The daemon ends, or the place is needed: who has not asked yet is not answered.
    ended: Alarm,
    left: usize,
    arrival: Arrival,
    _place: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Guest {
    fn is_over(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn may_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.is_over(cx)?;
        let arrived = self.arrival.is_noted();
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let waits = !arrived
            && self.late.as_mut().poll(cx).is_pending()
            && self.ended.as_mut().poll(cx).is_pending();
        if arrived || waits { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.may_send(cx)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_over(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
