//! The high-water mark: a ConfigMap that outlives what the database forgets.

use std::sync::Arc;

use brokkr_tests::{Kubectl, eventually};
use serde_json::{Value, json};
use test_postgres::{Durability, TestDatabase, TestPostgres};

use crate::plane::LIMIT;
use crate::server::Server;
use crate::site::Site;

const ORDERS: &str = "/apis/work.brokkr.io/v1alpha1/namespaces/team-a/workorders";

/// Creates an order; its version.
async fn order(kubectl: &Kubectl, name: &str) -> u64 {
    let order = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "metadata": {"name": name},
        "spec": {"workType": "build", "buildRef": {"name": "app"}}});
    let created = kubectl
        .run_with_input("create -n team-a -o json -f -", &order.to_string())
        .await
        .ok();
    number(&serde_json::from_str::<Value>(&created).expect("an order"))
}

fn number(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.expect("a version").parse().expect("a number")
}

/// What the ConfigMap says; 0 = nothing.
async fn mark(kubectl: &Kubectl) -> u64 {
    let get =
        "get configmap brokkr-apiserver-high-water-mark -n brokkr-system -o jsonpath={.data.resourceVersion}";
    kubectl.run(get).await.ok().trim().parse().unwrap_or_default()
}

async fn list(kubectl: &Kubectl) -> Value {
    eventually("the API is back", LIMIT, || async {
        let listed = kubectl.run(&format!("get --raw {ORDERS}")).await;
        listed
            .success
            .then(|| serde_json::from_str(&listed.stdout).expect("a list"))
    })
    .await
}

/// A server on the database, once its API answers.
async fn begin(site: &Site, database: &TestDatabase) -> Arc<Server> {
    let server = site.server(database);
    list(&site.kubectl()).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn c284_a_database_restored_from_a_copy_is_found_out_by_the_config_map() {
    let site = Site::up("etcd,apiserver").await;
    let kubectl = site.kubectl();
    let mut postgres = TestPostgres::start(Durability::None).expect("PostgreSQL");
    let database = postgres.create_database().await.expect("a database");
    kubectl.run("create namespace team-a").await.ok();

    // Given an order, a copy of the database's files, and a further order,
    let server = begin(&site, &database).await;
    let kept = order(&kubectl, "kept").await;
    eventually("the mark follows while the server runs", LIMIT, || async {
        (mark(&kubectl).await >= kept).then_some(())
    })
    .await;
    Server::end(server).await;
    postgres.stop().expect("stopped");
    postgres.copy_files().expect("copied");
    postgres.restart().expect("started");
    let server = begin(&site, &database).await;
    let lost = order(&kubectl, "lost").await;
    Server::end(server).await;
    assert!(
        mark(&kubectl).await >= lost,
        "a server raises the mark at its end"
    );

    // when the copy takes the place of the files and no process remembers,
    postgres.stop().expect("stopped");
    postgres.restore_files().expect("restored");
    postgres.restart().expect("started");
    let server = begin(&site, &database).await;

    // then versions go on above all that were drawn, and an old watch is told to list anew.
    let listed = list(&kubectl).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    assert!(number(&listed) >= 1 << 40, "{listed}");
    let watch = format!("get --raw {ORDERS}?watch=1&resourceVersion={lost}&timeoutSeconds=5");
    let event: Value = serde_json::from_str(&kubectl.run(&watch).await.ok()).expect("one event");
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(410)),
        "{event}"
    );
    assert!(order(&kubectl, "lost").await > 1 << 40);
    Server::end(server).await;
    assert!(mark(&kubectl).await > 1 << 40);
}
