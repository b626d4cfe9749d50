//! Builds the parts of a server, runs them, and drains them.
//!
//! ```text
//! ServingOptions -> CompletedConfig -> GenericApiServer -> BoundServer::run
//!                                         ^  authenticator, authorizer, health checks, handler
//! ```
//!
//! Upstream concept: `k8s.io/apiserver/pkg/server.GenericAPIServer`. This module knows nothing of resources:
//! what is behind the filters is one [`Handler`].

mod body;
mod certificate_expiry;
mod connection;
pub mod delegated_auth;
pub(crate) mod delegated_metrics;
pub(crate) mod delegation;
mod handler_chain;
pub mod health;
mod listener;
pub mod options;
mod secure_serving;
pub mod version;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use hyper::body::Incoming;
use telemetry::MetricsRegistry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authentication::Authenticator;
use crate::authorization::Authorizer;
use crate::endpoints::{ApiRequest, Endpoints, Response, ServedResource};
use crate::filters::max_in_flight::MaxInFlight;
use crate::filters::request_metrics::RequestMetrics;
use crate::storage::Storage;

pub use delegated_auth::{DelegatedAuth, DelegatedAuthError, DelegatedAuthOptions, Lookup};
pub use health::{HealthCheck, HealthChecks};
pub use options::{CompletedConfig, OptionsError, ServingCertificate, ServingOptions};
pub use version::VersionInfo;

use delegated_metrics::DelegatedMetrics;
use handler_chain::HandlerChain;
use listener::Listener;

/// What answers the requests that passed all filters: discovery, OpenAPI and the resources.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers. Dropped unfinished when the deadline passes or the client leaves; work that must not be
    /// torn belongs to a task of its own.
    async fn handle(&self, request: ApiRequest<Incoming>) -> Response;

    /// The resources it knows: requests for others are counted together.
    fn served(&self) -> Vec<ServedResource> {
        Vec::new()
    }
}

#[async_trait]
impl Handler for Endpoints {
    async fn handle(&self, request: ApiRequest<Incoming>) -> Response {
        Self::handle(self, request).await
    }

    fn served(&self) -> Vec<ServedResource> {
        Self::served(self)
    }
}

/// What a server is made of besides its configuration.
pub struct ServerParts {
    /// Finds out who asks; [`DelegatedAuth`] brings the production set.
    pub authenticator: Arc<dyn Authenticator>,
    /// Decides whether they may.
    pub authorizer: Arc<dyn Authorizer>,
    /// What `/livez` and `/readyz` report.
    pub health: HealthChecks,
    /// What `/version` reports.
    pub version: VersionInfo,
    /// Where the resources are kept, which has metrics of its own; none if nothing is.
    pub storage: Option<Storage>,
    /// Everything else.
    pub handler: Arc<dyn Handler>,
}

/// A server that does not listen yet.
pub struct GenericApiServer {
    config: CompletedConfig,
    parts: ServerParts,
    metrics: MetricsRegistry,
}

/// A server whose address is known and whose connections wait to be accepted.
pub struct BoundServer {
    config: CompletedConfig,
    parts: ServerParts,
    metrics: MetricsRegistry,
    listener: TcpListener,
    address: SocketAddr,
}

impl GenericApiServer {
    /// A server of these parts.
    #[must_use]
    pub fn new(config: CompletedConfig, parts: ServerParts) -> Self {
        Self {
            config,
            parts,
            metrics: MetricsRegistry::default(),
        }
    }

    /// Serves these metrics at `/metrics` besides its own and those of its storage; what is registered twice
    /// is a mistake.
    #[must_use]
    pub fn metrics(mut self, metrics: MetricsRegistry) -> Self {
        self.metrics = metrics;
        self
    }

    /// Binds the address.
    ///
    /// # Errors
    /// When the address is taken or not the machine's own.
    pub async fn bind(self) -> std::io::Result<BoundServer> {
        let listener = TcpListener::bind(self.config.bind_address).await?;
        let address = listener.local_addr()?;
        Ok(BoundServer {
            config: self.config,
            parts: self.parts,
            metrics: self.metrics,
            listener,
            address,
        })
    }
}

impl BoundServer {
    /// The address, with the port the system chose if port 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then drains; returns when no connection is left.
    ///
    /// Draining: `/readyz` fails at once; for the shutdown delay everything is still served, while load
    /// balancers notice; then nothing new is accepted, long-running requests are told to end, connections
    /// get GOAWAY, and what is in work has the drain timeout to finish before it is cut off.
    pub async fn run(self, stop: CancellationToken) {
        tracing::info!(address = %self.address, "serving");
        let phases = Phases::default();
        let config = &self.config;
        let max_in_flight = MaxInFlight::new(config.max_requests_in_flight, config.max_mutations_in_flight);
        let mut registry = self.metrics;
        if let Some(storage) = &self.parts.storage {
            storage.register_metrics(&mut registry);
        }
        max_in_flight.register(
            &mut registry,
            config.max_requests_in_flight,
            config.max_mutations_in_flight,
        );
        config.tls.register_metrics(&mut registry);
        let metrics = RequestMetrics::register(&mut registry, self.parts.handler.served());
        let chain = Arc::new(HandlerChain {
            authenticator: self.parts.authenticator,
            authorizer: self.parts.authorizer,
            max_in_flight,
            metrics,
            registry,
            health: self.parts.health.with_shutdown(stop.clone()),
            version: self.parts.version,
            handler: self.parts.handler,
            request_timeout: config.request_timeout,
            draining: phases.draining.clone(),
        });
        let connections = TaskTracker::new();
        let reload = tokio::spawn(config.tls.clone().reload_until(phases.draining.clone()));
        let listener = Listener {
            tcp: self.listener,
            tls: Arc::clone(&config.tls),
            chain,
            connections: connections.clone(),
            connections_max: config.max_connections,
            phases: phases.clone(),
        };
        let accepting = tokio::spawn(listener.accept());

        stop.cancelled().await;
        tracing::info!(delay = ?config.shutdown_delay, "stopping: not ready from now on");
        tokio::time::sleep(config.shutdown_delay).await;
        phases.drain(&connections, config.drain_timeout).await;
        for task in [accepting, reload] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the server failed");
            }
        }
        tracing::info!("stopped");
    }
}

/// Adds the metrics that a server with [`DelegatedAuth`] tells of itself, those of its storage apart, without a
/// server: for a page that describes them.
pub fn describe_metrics(registry: &mut MetricsRegistry) {
    MaxInFlight::new(1, 1).register(registry, 1, 1);
    DelegatedMetrics::default().register(registry);
    let _ = RequestMetrics::register(registry, Vec::new());
}

/// The two points of no return on the way down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    /// No new work: connections finish what they have.
    pub(crate) draining: CancellationToken,
    /// Connections that still live are cut off.
    pub(crate) cut_off: CancellationToken,
}

impl Phases {
    async fn drain(&self, connections: &TaskTracker, timeout: std::time::Duration) {
        tracing::info!(connections = connections.len(), "draining");
        self.draining.cancel();
        connections.close();
        if tokio::time::timeout(timeout, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "drain timeout passed; cutting off"
            );
            self.cut_off.cancel();
            connections.wait().await;
        }
    }
}

impl std::fmt::Debug for GenericApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenericApiServer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerParts")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
