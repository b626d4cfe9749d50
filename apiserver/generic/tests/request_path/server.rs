//! Starts a server on a database of its own for one test; it ends with the test.

use std::net::SocketAddr;
use std::sync::Arc;

use generic_apiserver::admission::Admission;
use generic_apiserver::authorization::Authorizer;
use generic_apiserver::endpoints::{ApiGroup, ApiVersion, Endpoints};
use generic_apiserver::registry::Store;
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
use crate::serving::{AnyNamespace, Everyone, Pki, serve};

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
        let address = serve(endpoints, setup.authorizer, &storage, &stop).await;
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
