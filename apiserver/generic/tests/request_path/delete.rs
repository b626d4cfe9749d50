//! Delete: answers, options, preconditions, finalizers, propagation.

use http::Method;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::flunder::DEFERRED;
use crate::server::{N, Server, flunder, path};

async fn delete(server: &Server, name: &str, options: Value) -> Answer {
    server
        .client
        .call(Method::DELETE, &path(name))
        .json(&options)
        .send()
        .await
}

async fn create_held(server: &Server, name: &str, finalizers: Value) -> Value {
    let mut body = flunder(name, json!({}));
    body["metadata"]["finalizers"] = finalizers;
    server.client.post(N, &body).await.expect(201)
}

#[tokio::test]
async fn c171_last_finalizer_removed_by_an_update_removes_the_object() {
    let server = Server::start().await;
    create_held(
        &server,
        "a",
        json!(["test.example.com/one", "test.example.com/two"]),
    )
    .await;
    let mut marked = server.client.delete(&path("a")).await.expect(200);
    marked["metadata"]["finalizers"] = json!(["test.example.com/two"]);
    let mut still = server.client.put(&path("a"), &marked).await.expect(200);
    server.client.get(&path("a")).await.expect(200);
    still["metadata"]["finalizers"] = json!([]);
    server.client.put(&path("a"), &still).await.expect(200);
    server.client.get(&path("a")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn c171_resource_can_hold_its_object_itself() {
    let server = Server::start().await;
    server.create_labeled("a", json!({"deferred": "yes"})).await;
    let marked = server.client.delete(&path("a")).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"], json!([DEFERRED]));
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    server
        .client
        .merge(&path("a"), json!({"metadata": {"finalizers": []}}))
        .await
        .expect(200);
    server.client.get(&path("a")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn c172_dependents_not_orphaned_are_accepted_for_later() {
    let server = Server::start().await;
    create_held(&server, "a", json!(["test.example.com/hold"])).await;
    delete(&server, "a", json!({"orphanDependents": false}))
        .await
        .expect(202);
}

#[tokio::test]
async fn c175_dry_run_of_a_delete_deletes_nothing() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    delete(&server, "a", json!({"dryRun": ["All"]})).await.expect(200);
    server
        .client
        .delete(&format!("{}?dryRun=All", path("a")))
        .await
        .expect(200);
    let marked = delete(
        &server,
        "a",
        json!({"dryRun": ["All"], "propagationPolicy": "Foreground"}),
    )
    .await
    .expect(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
}
