//! One server on loopback for all tests of this binary, in a runtime of its own. Tests keep apart by
//! their namespaces. It has no TLS and asks nobody who may: those are tested elsewhere.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use generic_apiserver::admission::{Admission, CreateAttributes, NamespaceLifecycle};
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::endpoints::{ApiGroup, ApiRequest, ApiVersion, Endpoints, Response};
use generic_apiserver::registry::{RegistryError, RequestContext, Store, error::Cause};
use generic_apiserver::request_info::RequestInfo;
use generic_apiserver::storage::{Storage, StorageOptions, migrator};
use http::header::{HeaderValue, WARNING};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use test_postgres::{TestDatabase, TestPostgres};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::kinds::{self, Claim, Racks, Release, Siblings, Widgets};

/// Bookmarks come as fast as tests want to see them.
const BOOKMARK_INTERVAL: Duration = Duration::from_millis(200);

/// A server that answers until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Ends its watches.
    pub(crate) shutdown: CancellationToken,
    database: Arc<TestDatabase>,
    _runtime: Runtime,
}

/// The server that most tests share.
pub(crate) static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(|_| {}));

impl Server {
    /// A server on a database of its own.
    pub(crate) fn start(set: impl FnOnce(&mut StorageOptions) + Send) -> Self {
        Self::with(None, None, set)
    }

    /// One more server on the database of another.
    pub(crate) fn replica_of(other: &Self) -> Self {
        Self::with(Some(Arc::clone(&other.database)), None, |_| {})
    }

    /// A server that asks a cluster for its namespaces.
    pub(crate) fn in_cluster(cluster: SocketAddr) -> Self {
        Self::with(None, Some(cluster), |_| {})
    }

    fn with(
        database: Option<Arc<TestDatabase>>,
        cluster: Option<SocketAddr>,
        set: impl FnOnce(&mut StorageOptions) + Send,
    ) -> Self {
        // A thread of its own, because a runtime cannot be started from within one.
        let start = || Self::start_outside(database, cluster, set);
        std::thread::scope(|scope| scope.spawn(start).join().unwrap())
    }

    fn start_outside(
        database: Option<Arc<TestDatabase>>,
        cluster: Option<SocketAddr>,
        set: impl FnOnce(&mut StorageOptions),
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let database = database.unwrap_or_else(|| Arc::new(runtime.block_on(new_database())));
        let mut options = StorageOptions::new(database.connect_options());
        options.bookmark_interval = BOOKMARK_INTERVAL;
        set(&mut options);
        let shutdown = CancellationToken::new();
        let address = runtime.block_on(serve(options, cluster, shutdown.clone()));
        Self {
            address,
            shutdown,
            database,
            _runtime: runtime,
        }
    }
}

async fn serve(
    options: StorageOptions,
    cluster: Option<SocketAddr>,
    shutdown: CancellationToken,
) -> SocketAddr {
    let storage = Storage::builder(options)
        .resource(kinds::table("widgets"))
        .resource(kinds::table("racks"))
        .start(&CancellationToken::new());
    let admission: Arc<dyn Admission> = match cluster {
        None => Arc::new(Namespaces),
        Some(cluster) => Arc::new(follow(cluster)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoints = Arc::new(endpoints(&storage, admission));
    tokio::spawn(accept(listener, endpoints, shutdown));
    address
}

fn follow(cluster: SocketAddr) -> NamespaceLifecycle {
    let config = kube::Config::new(format!("http://{cluster}").parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    NamespaceLifecycle::follow(client, CancellationToken::new()).0
}

async fn new_database() -> TestDatabase {
    let database = TestPostgres::shared().create_database().await.unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    migrator().run_direct(None, &mut connection, false).await.unwrap();
    connection.execute(kinds::SCHEMA).await.unwrap();
    database
}

/// The groups served.
fn endpoints(storage: &Storage, admission: Arc<dyn Admission>) -> Endpoints {
    let widgets = Store::new(Widgets, storage.clone())
        .creater(Claim)
        .creater(Release)
        .getter(Siblings);
    let racks = Store::new(Racks, storage.clone());
    let version = ApiVersion {
        name: "v1".to_owned(),
        resources: vec![Arc::new(widgets), Arc::new(racks)],
    };
    let group = ApiGroup {
        name: kinds::GROUP.to_owned(),
        versions: vec![version],
    };
    Endpoints::new(vec![group], admission, "v0.0.0")
}

async fn accept(listener: TcpListener, endpoints: Arc<Endpoints>, shutdown: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let (endpoints, shutdown) = (Arc::clone(&endpoints), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (endpoints, shutdown) = (Arc::clone(&endpoints), shutdown.clone());
                async move { Ok::<_, Infallible>(answer(&endpoints, request, shutdown).await) }
            });
            // The connection ends with an error when the client leaves in the middle, which tests do.
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn answer(
    endpoints: &Endpoints,
    request: http::Request<Incoming>,
    shutdown: CancellationToken,
) -> Response {
    let (parts, body) = request.into_parts();
    let context = RequestContext::new(UserInfo::default(), Arc::new(Everybody));
    let request = ApiRequest {
        info: RequestInfo::parse(&parts.method, &parts.uri).unwrap(),
        context: context.clone(),
        parts,
        body,
        shutdown,
    };
    let mut response = endpoints.handle(request).await;
    for warning in context.warnings() {
        response
            .headers_mut()
            .append(WARNING, HeaderValue::try_from(warning).unwrap());
    }
    response
}

/// Everybody may do everything.
struct Everybody;

#[async_trait]
impl Authorizer for Everybody {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}

/// All namespaces exist but `absent`, and `terminating` is on its way out. Nobody called Noone claims.
struct Namespaces;

#[async_trait]
impl Admission for Namespaces {
    async fn admit_create(&self, create: CreateAttributes<'_>) -> Result<(), RegistryError> {
        let holder = create.object.body.get("spec").map(|spec| &spec["holder"]);
        if holder.is_some_and(|holder| holder == "Noone") {
            let CreateAttributes {
                resource,
                subresource,
                namespace,
                name,
                ..
            } = create;
            return Err(RegistryError::Forbidden {
                message: format!("{resource} {subresource} {namespace} {name}: Noone is not known"),
                causes: Vec::new(),
            });
        }
        if !create.refused_in_terminating_namespace {
            return Ok(());
        }
        match create.namespace {
            "absent" => Err(RegistryError::NotFound {
                group: String::new(),
                resource: "namespaces".to_owned(),
                name: create.namespace.to_owned(),
            }),
            "terminating" => Err(RegistryError::Forbidden {
                message: "the namespace is being terminated".to_owned(),
                causes: vec![Cause {
                    reason: "NamespaceTerminating".to_owned(),
                    message: "namespace terminating is being terminated".to_owned(),
                    field: "metadata.namespace".to_owned(),
                }],
            }),
            _ => Ok(()),
        }
    }
}
