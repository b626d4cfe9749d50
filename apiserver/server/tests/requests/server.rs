//! The server's own resources on a database of their own, behind the library's whole handler chain; for
//! one test. What is left out is kube-apiserver: users come by client certificate and may do everything
//! that RBAC could allow.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use brokkr_apiserver::queue::metrics::QueueMetrics;
use brokkr_apiserver::queue::{Namespaces, Queue, Sweeper};
use brokkr_apiserver::{install, migrate};
use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};
use futures::future::BoxFuture;
use generic_apiserver::admission::{Admission, CreateAttributes};
use generic_apiserver::authentication::{
    AuthenticationConfig, ClientCert, SharedAuthenticationConfig, Union, UserInfo,
};
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::endpoints::Endpoints;
use generic_apiserver::registry::RegistryError;
use generic_apiserver::server::{
    GenericApiServer, HealthChecks, ServerParts, ServingCertificate, ServingOptions, VersionInfo,
};
use generic_apiserver::storage::Storage;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use test_postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;

use crate::client::{Call, Client};

/// The group and version of everything here.
pub(crate) const GROUP: &str = "/apis/work.brokkr.io/v1alpha1";
/// The orders of the one namespace.
pub(crate) const ORDERS: &str = "/apis/work.brokkr.io/v1alpha1/namespaces/team-a/workorders";
/// Their log.
pub(crate) const LOGS: &str = "/apis/work.brokkr.io/v1alpha1/namespaces/team-a/workorderlogs";
/// All agents.
pub(crate) const AGENTS: &str = "/apis/work.brokkr.io/v1alpha1/agents";

/// A running replica and a connection to it as the user `ada`.
pub(crate) struct Server {
    pub(crate) ada: Client,
    address: SocketAddr,
    database: Arc<TestDatabase>,
    storage: Storage,
    stop: CancellationToken,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::on(TestPostgres::shared()).await
    }

    /// A server on a database of its own in this cluster.
    pub(crate) async fn on(postgres: &TestPostgres) -> Self {
        let database = postgres.create_database().await.unwrap();
        migrate::migrate(&database.connect_options()).await.unwrap();
        Self::replica(Arc::new(database)).await
    }

    /// One more replica on the database of this one.
    pub(crate) async fn replica_of(&self) -> Self {
        Self::replica(Arc::clone(&self.database)).await
    }

    async fn replica(database: Arc<TestDatabase>) -> Self {
        let stop = CancellationToken::new();
        let storage = install::storage(database.connect_options(), &QueueMetrics::default()).start(&stop);
        storage.wait_until_filled().await.unwrap();
        let address = serve(&storage, &stop).await;
        let ada = Client::connect(address, &Pki::shared().ca, Some(&Pki::shared().user("ada"))).await;
        Self {
            ada,
            address,
            database,
            storage,
            stop,
        }
    }

    /// Lets time do its part: leases expire, backoffs end. Where nothing may happen of itself, it is not
    /// called.
    pub(crate) fn sweep(&self) {
        let sweeper = Sweeper::new(
            self.storage.clone(),
            Arc::new(NoneTerminating),
            Arc::new(Everyone),
        );
        tokio::spawn(sweeper.run(self.stop.clone()));
    }

    /// A connection as another user.
    pub(crate) async fn client(&self, user: &str) -> Client {
        Client::connect(self.address, &Pki::shared().ca, Some(&Pki::shared().user(user))).await
    }

    /// Creates an agent that is the user of the same name.
    pub(crate) async fn agent(&self, name: &str) -> Client {
        let agent = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": name},
            "spec": {"identity": name, "concurrency": {"total": 1000}}});
        self.ada.send(&Call::post(AGENTS, &agent)).await.expect(201);
        self.client(name).await
    }

    /// Creates a build; `spec` is laid over a minimal one.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Value {
        self.ada
            .send(&Call::post(ORDERS, &order(name, spec)))
            .await
            .expect(201)
    }

    /// Everything that a request may leave behind, as one text: a digest of the rows of every table but
    /// [`EXCEPTED`]. A refused claim may leave a version that nothing has.
    pub(crate) async fn traces(&self) -> String {
        let mut connection = PgConnection::connect_with(&self.database.connect_options())
            .await
            .unwrap();
        let tables: Vec<String> = sqlx::query_scalar(TABLES)
            .bind(EXCEPTED)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let digest = |table: &String| {
            format!(
                "select '{table} ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, '' order by t::text)), '') from {table} t"
            )
        };
        let digests: Vec<_> = tables.iter().map(digest).collect();
        let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(digests.join(" union all ")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        lines.join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(storage: &Storage, stop: &CancellationToken) -> SocketAddr {
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
    let queue = Arc::new(Queue::new(storage.clone(), Arc::new(NoneTerminating)));
    let groups = vec![install::api_group(storage, &queue)];
    let parts = ServerParts {
        authenticator: Arc::new(Union::new(vec![Arc::new(by_certificate)]).or_anonymous()),
        authorizer: Arc::new(Everyone),
        health: HealthChecks::default(),
        version: VersionInfo::of_crate("1.2.3"),
        storage: Some(storage.clone()),
        handler: Arc::new(Endpoints::new(groups, Arc::new(AnyNamespace), "v1.2.3")),
    };
    let server = GenericApiServer::new(options.complete().unwrap(), parts);
    let bound = server.bind().await.unwrap();
    let address = bound.address();
    tokio::spawn(bound.run(stop.clone()));
    address
}

/// Every namespace exists and stays.
struct AnyNamespace;

#[async_trait]
impl Admission for AnyNamespace {
    async fn admit_create(&self, _: CreateAttributes<'_>) -> Result<(), RegistryError> {
        Ok(())
    }
}

struct NoneTerminating;

#[async_trait]
impl Namespaces for NoneTerminating {
    fn terminating(&self) -> Vec<String> {
        Vec::new()
    }

    async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Ok(Some(format!("uid-of-{name}")))
    }

    fn replaced(&self, _: &str, _: Option<String>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Every table of the server and of the library; partitions are seen through what they are partitions of.
const TABLES: &str = "
select c.oid::regclass::text from pg_class c
where c.relnamespace in ('work'::regnamespace, 'apiserver'::regnamespace) and c.relkind in ('r', 'p')
    and not c.relispartition and c.oid::regclass::text <> all ($1)
order by 1";

/// The stamp of the sweeper, and the floor of the change log: time alone writes them. What is reported with a spent
/// fence is kept though it is refused (`tests/queue/late.rs`).
const EXCEPTED: [&str; 3] = ["work.queue_state", "apiserver.rv_meta", "work.late_reports"];

/// RBAC allows everything: what is refused is refused by the server's own rules.
struct Everyone;

#[async_trait]
impl Authorizer for Everyone {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}

/// The certificates of all tests: one authority signs everything.
struct Pki {
    authority: CertificateAuthority,
    ca: String,
    serving: IssuedCertificate,
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
                authority,
            }
        })
    }

    fn user(&self, name: &str) -> IssuedCertificate {
        self.authority.issue_client(&ClientRequest::new(name)).unwrap()
    }
}

/// A build; `spec` is laid over a minimal one, and null takes a field away.
pub(crate) fn order(name: &str, spec: Value) -> Value {
    let mut order = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "metadata": {"name": name},
        "spec": {"workType": "build", "buildRef": {"name": "app"}}});
    let (Value::Object(into), Value::Object(from)) = (&mut order["spec"], spec) else {
        panic!("a spec is an object")
    };
    into.extend(from);
    into.retain(|_, value| !value.is_null());
    order
}

/// A request of the claim protocol.
pub(crate) fn request(kind: &str, spec: Value) -> Value {
    json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": kind, "spec": spec})
}

/// The path of an order, and what is below it.
pub(crate) fn order_path(below: &str) -> String {
    format!("{ORDERS}/{below}")
}
