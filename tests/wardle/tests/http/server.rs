//! Starts the sample server on a database of its own for one test; it ends with the test.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};
use generic_apiserver::admission::{Admission, CreateAttributes};
use generic_apiserver::authentication::{
    AuthenticationConfig, ClientCert, SharedAuthenticationConfig, Union, UserInfo,
};
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::endpoints::{ApiGroup, Endpoints};
use generic_apiserver::registry::RegistryError;
use generic_apiserver::server::{
    GenericApiServer, HealthChecks, ServerParts, ServingCertificate, ServingOptions, VersionInfo,
};
use generic_apiserver::storage::{Storage, StorageOptions, migrator};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use test_postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;
use wardle::BanFlunder;

use crate::client::Client;

/// The flunders of namespace `n` in the version that is converted.
pub(crate) const ALPHA: &str = "/apis/wardle.example.com/v1alpha1/namespaces/n/flunders";
/// The same in the version that is stored.
pub(crate) const BETA: &str = "/apis/wardle.example.com/v1beta1/namespaces/n/flunders";
pub(crate) const FISCHERS: &str = "/apis/wardle.example.com/v1alpha1/fischers";

/// A running server.
pub(crate) struct Server {
    pub(crate) client: Client,
    stop: CancellationToken,
    _database: TestDatabase,
}

/// Every namespace exists and stays.
struct AnyNamespace;

#[async_trait::async_trait]
impl Admission for AnyNamespace {
    async fn admit_create(&self, _: CreateAttributes<'_>) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// Everybody may do everything: permissions are not what is tested here.
struct Everyone;

#[async_trait::async_trait]
impl Authorizer for Everyone {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::serving(wardle::api_group).await
    }

    pub(crate) async fn serving(group: impl FnOnce(&Storage) -> ApiGroup) -> Self {
        let database = database().await;
        let stop = CancellationToken::new();
        let storage = wardle::storage(StorageOptions::new(database.connect_options())).start(&stop);
        let admission = BanFlunder::after(Arc::new(AnyNamespace), storage.clone());
        let groups = vec![group(&storage)];
        let address = serve(Endpoints::new(groups, Arc::new(admission), "v0.1.0"), &stop).await;
        let client = Client::connect(address, &Pki::shared().ca, &Pki::shared().jane).await;
        Self {
            client,
            stop,
            _database: database,
        }
    }

    /// Creates a flunder as v1beta1.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Value {
        let body = json!({"metadata": {"name": name}, "spec": spec});
        self.client.post(BETA, &body).await.expect(201)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn database() -> TestDatabase {
    let database = TestPostgres::shared().create_database().await.unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    migrator().run_direct(None, &mut connection, false).await.unwrap();
    wardle::migrator()
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    database
}

async fn serve(endpoints: Endpoints, stop: &CancellationToken) -> SocketAddr {
    let pki = Pki::shared();
    let mut options = ServingOptions::new(ServingCertificate::Pem {
        certificate: pki.serving.certificate_pem().to_owned(),
        private_key: pki.serving.private_key_pem().to_owned(),
    });
    options.bind_address = SocketAddr::from(([127, 0, 0, 1], 0));
    options.drain_timeout = Duration::from_secs(5);
    let published = [("client-ca-file".to_owned(), pki.ca.clone())].into();
    let config = AuthenticationConfig::from_config_map(&published).unwrap();
    let by_certificate = ClientCert::new(SharedAuthenticationConfig::new(config));
    let parts = ServerParts {
        authenticator: Arc::new(Union::new(vec![Arc::new(by_certificate)]).or_anonymous()),
        authorizer: Arc::new(Everyone),
        health: HealthChecks::default(),
        version: VersionInfo::of_crate("0.1.0"),
        handler: Arc::new(endpoints),
    };
    let server = GenericApiServer::new(options.complete().unwrap(), parts);
    let bound = server.bind().await.unwrap();
    let address = bound.address();
    tokio::spawn(bound.run(stop.clone()));
    address
}

/// The certificates of all tests: one authority signs everything.
struct Pki {
    ca: String,
    serving: IssuedCertificate,
    jane: IssuedCertificate,
}

impl Pki {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Pki> = OnceLock::new();
        SHARED.get_or_init(|| {
            let authority = CertificateAuthority::create("ca", Validity::authority_default()).unwrap();
            Self {
                ca: authority.certificate_pem().unwrap(),
                serving: authority
                    .issue_serving(&ServingRequest::new("api", "brokkr"))
                    .unwrap(),
                jane: authority.issue_client(&ClientRequest::new("jane")).unwrap(),
            }
        })
    }
}
