//! A replica in a process of its own that answers requests: the product's resources over plain HTTP. A
//! bearer token is believed to be the user's name; TLS and identity are tested elsewhere.
//!
//! The process is this program, running a test that calls [`serve_if_asked`] first. It tells its port over
//! a connection to the test, and ends with that connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apiserver::install;
use brokkr_apiserver::queue::metrics::QueueMetrics;
use brokkr_apiserver::queue::{Namespaces, Queue, Sweeper};
use futures::future::BoxFuture;
use generic_apiserver::admission::{Admission, CreateAttributes};
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::endpoints::{ApiRequest, Endpoints, Response};
use generic_apiserver::registry::{RegistryError, RequestContext};
use generic_apiserver::request_info::RequestInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

const DATABASE: &str = "TEST_REPLICA_DATABASE";
const TEST: &str = "TEST_REPLICA_TELLS";

/// A replica, until it is killed or dropped.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    process: Child,
    _leash: TcpStream,
}

impl Replica {
    /// Starts this program once more, with the test of this name.
    pub(crate) async fn start(test: &str, database: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", test])
            .env(DATABASE, database.to_url_lossy().as_str())
            .env(TEST, listener.local_addr().unwrap().to_string())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut leash, _) = listener.accept().await.unwrap();
        let port = leash.read_u16().await.unwrap();
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            process,
            _leash: leash,
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// In the process of a replica: serves until the test ends or kills it.
pub(crate) async fn serve_if_asked() -> bool {
    let (Ok(database), Ok(test)) = (std::env::var(DATABASE), std::env::var(TEST)) else {
        return false;
    };
    let token = CancellationToken::new();
    let storage = install::storage(database.parse().unwrap(), &QueueMetrics::default()).start(&token);
    let namespaces = Arc::new(Everywhere);
    let queue = Arc::new(Queue::new(storage.clone(), namespaces.clone()));
    tokio::spawn(Sweeper::new(storage.clone(), namespaces, Arc::new(Everywhere)).run(token));
    let groups = vec![install::api_group(&storage, &queue)];
    let endpoints = Arc::new(Endpoints::new(groups, Arc::new(Everywhere), "v0.0.0"));
    storage.wait_until_filled().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut leash = TcpStream::connect(test).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    leash.write_u16(port).await.unwrap();
    tokio::select! {
        () = accept(listener, endpoints) => {}
        _ = leash.read_u8() => {}
    }
    true
}

async fn accept(listener: TcpListener, endpoints: Arc<Endpoints>) {
    while let Ok((stream, _)) = listener.accept().await {
        let endpoints = endpoints.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let endpoints = endpoints.clone();
                async move { Ok::<_, Infallible>(answer(&endpoints, request).await) }
            });
            // The connection ends with an error when the client leaves in the middle of a watch.
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            drop(serving.await);
        });
    }
}

async fn answer(endpoints: &Endpoints, request: http::Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    let token = parts.headers.get(http::header::AUTHORIZATION);
    let name = token.and_then(|token| token.to_str().ok()?.strip_prefix("Bearer "));
    let user = UserInfo {
        name: name.unwrap_or_default().to_owned(),
        ..UserInfo::default()
    };
    let request = ApiRequest {
        info: RequestInfo::parse(&parts.method, &parts.uri).unwrap(),
        context: RequestContext::new(user, Arc::new(Everywhere)),
        parts,
        body,
        shutdown: CancellationToken::new(),
    };
    endpoints.handle(request).await
}

/// Every namespace exists, and everybody may do everything in it.
struct Everywhere;

#[async_trait]
impl Namespaces for Everywhere {
    fn terminating(&self) -> Vec<String> {
        Vec::new()
    }

    async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Ok(Some(format!("uid of {name}")))
    }

    fn replaced(&self, _: &str, _: Option<String>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[async_trait]
impl Admission for Everywhere {
    async fn admit_create(&self, _: CreateAttributes<'_>) -> Result<(), RegistryError> {
        Ok(())
    }
}

#[async_trait]
impl Authorizer for Everywhere {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}
