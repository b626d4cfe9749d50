//! Health and metrics of the process over HTTP, for a kubelet and for Prometheus.
//!
//! Off unless an address is given. Plain HTTP without authentication, as for every such port of an
//! operator: what is told names no order, and nothing can be changed. Who may reach the port is a matter
//! of the pod's network.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::{MetricsRegistry, TEXT_FORMAT};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::health::Complaint;

/// Connections at once; a kubelet and two scrapers need three.
const CONNECTIONS_MAX: usize = 32;

/// How long a client may take for the header of a request, and idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Check = dyn Fn() -> Result<(), Complaint> + Send + Sync;

/// What is told.
pub struct Told {
    registry: MetricsRegistry,
    alive: Box<Check>,
    ready: Box<Check>,
}

/// A port that was taken and is not served yet.
#[derive(Debug)]
pub struct StatusListener(TcpListener);

impl Told {
    /// These metrics; alive and ready when the checks say so, else not for the reason they give. They are asked at each
    /// probe and must not wait.
    pub fn new(
        registry: MetricsRegistry,
        alive: impl Fn() -> Result<(), Complaint> + Send + Sync + 'static,
        ready: impl Fn() -> Result<(), Complaint> + Send + Sync + 'static,
    ) -> Self {
        Self {
            registry,
            alive: Box::new(alive),
            ready: Box::new(ready),
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n".to_owned());
        }
        match path {
            "/healthz" => probed((self.alive)()),
            "/readyz" => probed((self.ready)()),
            "/metrics" => {
                let mut response = Response::new(Full::from(self.registry.exposition()));
                let format = HeaderValue::from_static(TEXT_FORMAT);
                response.headers_mut().insert(CONTENT_TYPE, format);
                response
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "served are /healthz, /readyz and /metrics\n".to_owned(),
            ),
        }
    }
}

impl StatusListener {
    /// Takes the port, within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address is taken or not the machine's own.
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self)
    }

    /// The address, with the port that was chosen if 0 was asked for.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until `end`.
    pub async fn serve_until(self, told: Told, end: &CancellationToken) {
        if let Ok(address) = self.address() {
            info!(%address, "telling health and metrics");
        }
        let told = Arc::new(told);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, self.0.accept().await))
            };
            let next = tokio::select! {
                () = end.cancelled() => return,
                next = next => next,
            };
            match next {
                Some((place, Ok((stream, _)))) => {
                    let (told, end) = (Arc::clone(&told), end.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = end.cancelled() => {}
                            () = serve_one(stream, told) => {}
                        }
                        drop(place);
                    });
                }
                Some((_, Err(error))) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => return,
            }
        }
    }
}

async fn serve_one(stream: TcpStream, told: Arc<Told>) {
    let answering = service_fn(|request: Request<Incoming>| {
        let response = told.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answering);
    if let Err(error) = served.await {
        debug!(%error, "a connection ended early");
    }
}

fn probed(found: Result<(), Complaint>) -> Response<Full<Bytes>> {
    match found {
        Ok(()) => plain(StatusCode::OK, "ok".to_owned()),
        Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}
