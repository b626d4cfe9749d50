//! Starts a server for one test; it is drained when the test ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use generic_apiserver::authentication::{
    AuthenticationConfig, Authenticator, ClientCert, RequestHeader, SharedAuthenticationConfig, Union,
    UserInfo,
};
use generic_apiserver::authorization::{
    Attributes, AuthorizationError, Authorizer, Decision, LocallyAllowed,
};
use generic_apiserver::server::{
    GenericApiServer, HealthChecks, ServerParts, ServingCertificate, ServingOptions, VersionInfo,
};
use telemetry::MetricsRegistry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Protocol};
use crate::echo::Echo;
use crate::pki::{Pki, pem};

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) pki: Pki,
    pub(crate) stop: CancellationToken,
    pub(crate) config: SharedAuthenticationConfig,
    pub(crate) in_work: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

/// What a test may choose.
pub(crate) struct Setup {
    pub(crate) options: Box<dyn FnOnce(&mut ServingOptions)>,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) health: HealthChecks,
    pub(crate) metrics: MetricsRegistry,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Box::new(|_| ()),
            authenticator: None,
            authorizer: Arc::new(LocallyAllowed::or(Everyone)),
            health: HealthChecks::default(),
            metrics: MetricsRegistry::default(),
        }
    }
}

/// Allows everything but what is named `forbidden`, and cannot decide about `undecided`.
pub(crate) struct Everyone;

#[async_trait]
impl Authorizer for Everyone {
    async fn authorize(&self, _: &UserInfo, attributes: &Attributes) -> Result<Decision, AuthorizationError> {
        let name = match attributes {
            Attributes::Resource { name, .. } => name.as_str(),
            Attributes::NonResource { path, .. } => path.trim_start_matches('/'),
        };
        match name {
            "forbidden" => Ok(Decision::Deny("no rule matched".to_owned())),
            "undecided" => Err(AuthorizationError("kube-apiserver is <away>".to_owned())),
            _ => Ok(Decision::Allow),
        }
    }
}

impl TestServer {
    /// A server with all defaults.
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// A server set up otherwise.
    pub(crate) async fn with(setup: Setup) -> Self {
        Self::on(Pki::create(), setup).await
    }

    /// A server with certificates that the test made before.
    pub(crate) async fn on(pki: Pki, setup: Setup) -> Self {
        let shown = pki.serving_certificate();
        let mut options = ServingOptions::new(ServingCertificate::Pem {
            certificate: shown.certificate_pem().to_owned(),
            private_key: shown.private_key_pem().to_owned(),
        });
        options.bind_address = SocketAddr::from(([127, 0, 0, 1], 0));
        options.drain_timeout = Duration::from_secs(5);
        (setup.options)(&mut options);

        let published = AuthenticationConfig::from_config_map(&published(&pki)).expect("a good ConfigMap");
        let config = SharedAuthenticationConfig::new(published);
        let authenticator = setup.authenticator.unwrap_or_else(|| by_certificate(&config));
        let echo = Echo::default();
        let in_work = Arc::clone(&echo.in_work);
        let parts = ServerParts {
            authenticator,
            authorizer: setup.authorizer,
            health: setup.health,
            version: VersionInfo::of_crate("1.2.3"),
            storage: None,
            handler: Arc::new(echo),
        };
        let server = GenericApiServer::new(options.complete().expect("good options"), parts);
        let bound = server.metrics(setup.metrics).bind().await.expect("a free port");
        let (address, stop) = (bound.address(), CancellationToken::new());
        let running = tokio::spawn(bound.run(stop.clone()));
        Self {
            address,
            pki,
            stop,
            config,
            in_work,
            running,
        }
    }

    /// A client that trusts the server's CA.
    pub(crate) fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.address, &pem(&self.pki.serving), protocol)
    }

    /// Waits until the server has drained.
    pub(crate) async fn stopped(mut self) {
        let deadline = Duration::from_secs(10);
        tokio::time::timeout(deadline, &mut self.running)
            .await
            .expect("drains")
            .expect("no panic");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.running.abort();
    }
}

/// Front proxy, then client certificate, then anonymous.
pub(crate) fn by_certificate(config: &SharedAuthenticationConfig) -> Arc<dyn Authenticator> {
    let union = Union::new(vec![
        Arc::new(RequestHeader::new(config.clone())),
        Arc::new(ClientCert::new(config.clone())),
    ]);
    Arc::new(union.or_anonymous())
}

/// What kube-apiserver publishes.
pub(crate) fn published(pki: &Pki) -> BTreeMap<String, String> {
    let entries = [
        ("client-ca-file", pem(&pki.client)),
        ("requestheader-client-ca-file", pem(&pki.front_proxy)),
        (
            "requestheader-allowed-names",
            r#"["front-proxy-client"]"#.to_owned(),
        ),
        (
            "requestheader-username-headers",
            r#"["X-Remote-User"]"#.to_owned(),
        ),
        ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#.to_owned()),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#.to_owned()),
        (
            "requestheader-extra-headers-prefix",
            r#"["X-Remote-Extra-"]"#.to_owned(),
        ),
    ];
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Waits for a condition, at most five seconds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
