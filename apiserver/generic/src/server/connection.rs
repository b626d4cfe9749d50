//! One connection: handshake, protocol, limits, and its end.
//!
//! Upstream concept: the `http.Server` and `http2.Server` settings of `server/secure_serving.go`. The
//! protocol is chosen by ALPN and not by looking at the first bytes: a silent peer would hold a
//! connection that sniffs for ever.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Phases;
use super::handler_chain::HandlerChain;
use crate::authentication::PeerCertificates;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Upstream's number; on HTTP/1.1 it also ends connections that idle between requests.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(32);

/// Bytes of all headers of a request; upstream's number.
const HEADER_BYTES_MAX: u32 = 1 << 20;

/// Headers of a request: the front proxy sends one per group, and directories have users with thousands.
const HEADERS_MAX: usize = 4096;

/// kube-apiserver sends the requests of all its users over one connection, hence ten times Go's default.
const CONCURRENT_STREAMS_MAX: u32 = 1000;

/// Bytes a stream may send before we read them; upstream's number, in which most objects fit whole.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// The same for all streams together, so that 256 slow ones do not stop the others. Upstream multiplies by
/// the number of streams, which would let one connection occupy 256 MiB.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// Pings find peers that are gone without a word.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// An HTTP/2 connection without a stream for this long is closed; upstream's number.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Streams that are opened and reset at once, before the connection is taken for an attack.
const RESET_STREAMS_MAX: usize = 20;
const LOCAL_RESET_STREAMS_MAX: usize = 1024;

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// What the requests of a connection know of it.
pub(crate) struct Connection {
    /// What the client presented in the handshake, if anything.
    pub(crate) peer: Option<PeerCertificates>,
    /// Whether it speaks HTTP/2.
    pub(crate) http2: bool,
    close: CancellationToken,
    /// Streams that are open now.
    streams: AtomicUsize,
    /// Streams that have been opened so far.
    opened: AtomicUsize,
}

/// Marks a stream as open until dropped.
pub(crate) struct OpenStream(Arc<Connection>);

impl Connection {
    /// Lets the requests in work finish and takes no more: GOAWAY, or `Connection: close`.
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    /// Counts a stream.
    pub(crate) fn open_stream(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(self))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    chain: Arc<HandlerChain>,
    phases: Phases,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream));
    let accepted = tokio::select! {
        () = phases.draining.cancelled() => return Ok(()),
        accepted = handshake => accepted,
    };
    if !matches!(accepted, Ok(Ok(_))) {
        chain.handshake_failed();
    }
    let tls = accepted??;
    let connection = Arc::new(Connection::of(&tls, &phases));
    let requests = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| {
            let chain = Arc::clone(&chain);
            let connection = Arc::clone(&connection);
            async move { Ok::<_, Infallible>(chain.serve(request, &connection).await) }
        })
    };
    let io = TokioIo::new(tls);
    if connection.http2 {
        let serving = http2_builder().serve_connection(io, requests);
        drive(serving, &connection, &phases.cut_off).await
    } else {
        let serving = http1_builder().serve_connection(io, requests);
        drive(serving, &connection, &phases.cut_off).await
    }
}

impl Connection {
    fn of(tls: &TlsStream<TcpStream>, phases: &Phases) -> Self {
        let (_stream, session) = tls.get_ref();
        let presented = session.peer_certificates().unwrap_or_default();
        let chain = presented
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Self {
            peer: PeerCertificates::new(chain),
            http2: session.alpn_protocol() == Some(b"h2"),
            close: phases.draining.child_token(),
            streams: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
        }
    }

    /// A connection of nobody, for tests.
    #[cfg(test)]
    pub(super) fn without_peer() -> Arc<Self> {
        Arc::new(Self {
            peer: None,
            http2: false,
            close: CancellationToken::new(),
            streams: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
        })
    }

    /// Returns when an HTTP/2 connection has had no stream for the time of two looks; never on HTTP/1.1,
    /// where reading the next header has a limit. A client that waits for each answer has no stream at most
    /// looks: it is idle only if it has opened none in between.
    async fn idle(&self) {
        if !self.http2 {
            return std::future::pending().await;
        }
        let (mut idle_looks, mut opened_before) = (0, 0);
        while idle_looks < 2 {
            tokio::time::sleep(IDLE_TIMEOUT / 2).await;
            let opened = self.opened.load(Ordering::Relaxed);
            let idle = opened == opened_before && self.streams.load(Ordering::Relaxed) == 0;
            idle_looks = if idle { idle_looks + 1 } else { 0 };
            opened_before = opened;
        }
    }
}

/// Polls the connection until it ends; asks it to end when it is to close, idles, or the server drains.
async fn drive<C>(
    serving: C,
    connection: &Connection,
    cut_off: &CancellationToken,
) -> Result<(), ConnectionError>
where
    C: GracefulConnection,
    C::Error: Into<ConnectionError>,
{
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return ended.map_err(Into::into),
        () = connection.close.cancelled() => {}
        () = connection.idle() => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        ended = serving => ended.map_err(Into::into),
        () = cut_off.cancelled() => Ok(()),
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX as usize)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(LOCAL_RESET_STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c005_a_connection_with_a_request_now_and_then_is_not_idle() {
        let connection = Arc::new(Connection {
            http2: true,
            peer: None,
            close: CancellationToken::new(),
            streams: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
        });
        let started = tokio::time::Instant::now();
        let (mut idle, mut last) = (pin!(connection.idle()), started);
        // A short request every half minute for ten minutes, never open when somebody looks.
        for _ in 0..20 {
            let next = tokio::time::timeout(Duration::from_secs(30), idle.as_mut()).await;
            assert!(next.is_err(), "closed after {:?}", started.elapsed());
            drop(connection.open_stream());
            last = tokio::time::Instant::now();
        }
        idle.await;
        assert!(
            last.elapsed() >= IDLE_TIMEOUT && last.elapsed() < 2 * IDLE_TIMEOUT,
            "{:?}",
            last.elapsed()
        );
    }
}
