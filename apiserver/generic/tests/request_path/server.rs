//! Starts a server on a database of its own for one test; it ends with the test.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};
use generic_apiserver::admission::{Admission, CreateAttributes};
use generic_apiserver::authentication::{
    AuthenticationConfig, ClientCert, SharedAuthenticationConfig, Union, UserInfo,
};
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::endpoints::{ApiGroup, ApiVersion, Endpoints};
use generic_apiserver::registry::{RegistryError, Store};
use generic_apiserver::server::{
    GenericApiServer, HealthChecks, ServerParts, ServingCertificate, ServingOptions, VersionInfo,
};
use generic_apiserver::storage::{Storage, StorageOptions, migrator};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use test_postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::fischer::{self, FischerStrategy};
use crate::flunder::{self, FlunderStrategy, GROUP};
use crate::polish::{Friends, Polish, Scrap};

/// The flunders of namespace `n`.
pub(crate) const N: &str = "/apis/test.example.com/v1/namespaces/n/flunders";
/// The flunders of all namespaces.
pub(crate) const ALL: &str = "/apis/test.example.com/v1/flunders";
pub(crate) const FISCHERS: &str = "/apis/test.example.com/v1/fischers";

const SCHEMA: &str = "
    create table flunders (namespace text, name text, uid uuid unique, resource_version bigint, object text,
        color text constraint flunders_color_known check (color <> 'octarine'), unique (namespace, name));
    create table fischers (namespace text, name text, uid uuid unique, resource_version bigint, object text,
        unique (namespace, name));";

/// A running server and a connection to it.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    database: Arc<TestDatabase>,
    pub(crate) stop: CancellationToken,
}

/// What a test may choose.
pub(crate) struct Setup {
    pub(crate) storage: Box<dyn FnOnce(&mut StorageOptions)>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            storage: Box::new(|_| ()),
            admission: Arc::new(AnyNamespace),
            authorizer: Arc::new(Everyone),
        }
    }
}

/// Every namespace exists and stays.
struct AnyNamespace;

#[async_trait]
impl Admission for AnyNamespace {
    async fn admit_create(&self, _: CreateAttributes<'_>) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// Everybody may do everything: permissions are not what is tested here.
struct Everyone;

#[async_trait]
impl Authorizer for Everyone {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::on(TestPostgres::shared(), setup).await
    }

    pub(crate) async fn on(postgres: &TestPostgres, setup: Setup) -> Self {
        let database = database(postgres).await;
        Self::replica(Arc::new(database), setup).await
    }

    /// One more replica on the database of this one.
    pub(crate) async fn replica_of(&self) -> Self {
        Self::replica(Arc::clone(&self.database), Setup::default()).await
    }

    /// A server on a database that has its schema.
    pub(crate) async fn replica(database: Arc<TestDatabase>, setup: Setup) -> Self {
        let stop = CancellationToken::new();
        let mut options = StorageOptions::new(database.connect_options());
        (setup.storage)(&mut options);
        let storage = Storage::builder(options)
            .resource(flunder::table())
            .resource(fischer::table())
            .start(&stop);
        let endpoints = Endpoints::new(vec![group(&storage)], setup.admission, "v1.2.3");
        let address = serve(endpoints, setup.authorizer, &stop).await;
        let client = Client::connect(address, &Pki::shared().ca, &Pki::shared().jane).await;
        Self {
            client,
            address,
            database,
            stop,
        }
    }

    /// Creates a flunder in namespace `n`.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Value {
        self.client.post(N, &flunder(name, spec)).await.expect(201)
    }

    /// Creates a flunder with labels.
    pub(crate) async fn create_labeled(&self, name: &str, labels: Value) -> Value {
        let mut object = flunder(name, json!({}));
        object["metadata"]["labels"] = labels;
        self.client.post(N, &object).await.expect(201)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn group(storage: &Storage) -> ApiGroup {
    let flunders = Store::new(FlunderStrategy, storage.clone())
        .creater(Polish(storage.clone()))
        .creater(Scrap)
        .getter(Friends);
    let fischers = Store::new(FischerStrategy, storage.clone());
    ApiGroup {
        name: GROUP.to_owned(),
        versions: vec![ApiVersion {
            name: "v1".to_owned(),
            resources: vec![Arc::new(flunders), Arc::new(fischers)],
        }],
    }
}

async fn serve(
    endpoints: Endpoints,
    authorizer: Arc<dyn Authorizer>,
    stop: &CancellationToken,
) -> SocketAddr {
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
        authorizer,
        health: HealthChecks::default(),
        version: VersionInfo::of_crate("1.2.3"),
        handler: Arc::new(endpoints),
    };
    let server = GenericApiServer::new(options.complete().unwrap(), parts);
    let bound = server.bind().await.unwrap();
    let address = bound.address();
    tokio::spawn(bound.run(stop.clone()));
    address
}

/// A database with the schema.
pub(crate) async fn database(postgres: &TestPostgres) -> TestDatabase {
    let database = postgres.create_database().await.unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    migrator().run_direct(None, &mut connection, false).await.unwrap();
    connection.execute(SCHEMA).await.unwrap();
    database
}

/// The certificates of all tests: one authority signs everything.
pub(crate) struct Pki {
    pub(crate) ca: String,
    serving: IssuedCertificate,
    pub(crate) jane: IssuedCertificate,
}

impl Pki {
    pub(crate) fn shared() -> &'static Self {
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

/// The body of a flunder.
pub(crate) fn flunder(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "test.example.com/v1", "kind": "Flunder", "metadata": {"name": name}, "spec": spec})
}

/// The path of a flunder in namespace `n`.
pub(crate) fn path(name: &str) -> String {
    format!("{N}/{name}")
}

/// The version of an object or a list.
pub(crate) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// The version as a number.
pub(crate) fn number(object: &Value) -> u64 {
    version(object).parse().unwrap()
}
