//! Starts the sample server on a database of its own for one test; it ends with the test.

use std::sync::Arc;

use generic_apiserver::endpoints::{ApiGroup, Endpoints};
use generic_apiserver::storage::{Storage, StorageOptions, migrator};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use test_postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;
use wardle::BanFlunder;

use crate::client::Client;
use crate::serving::{AnyNamespace, Everyone, Pki, serve};

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
        let endpoints = Endpoints::new(groups, Arc::new(admission), "v0.1.0");
        let address = serve(endpoints, Arc::new(Everyone), &storage, &stop).await;
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
