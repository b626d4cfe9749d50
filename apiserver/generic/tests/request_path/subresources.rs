//! Requests to subresources, and what they change.

use serde_json::{Value, json};

use crate::server::{FISCHERS, N, Server, number, path};

fn polish(spec: Value) -> Value {
    json!({"apiVersion": "test.example.com/v1", "kind": "FlunderPolish", "spec": spec})
}

#[tokio::test]
async fn c231_dry_run_reaches_the_subresource() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    let url = format!("{}/polish?dryRun=All", path("a"));
    let answer = server
        .client
        .post(&url, &polish(json!({"times": 3})))
        .await
        .expect(201);
    assert_eq!(answer["status"]["polished"], 3);
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
}

#[tokio::test]
async fn c232_request_that_changes_its_parent_is_one_change() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    let watching = format!(
        "{N}?watch=true&resourceVersion={}&timeoutSeconds=20",
        number(&created)
    );
    let mut events = server.client.watch(&watching).await;
    server
        .client
        .post(&format!("{}/polish", path("a")), &polish(json!({"times": 2})))
        .await
        .expect(201);
    server.client.delete(&path("a")).await.expect(200);
    let event = events.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["status"]["polished"]),
        (&json!("MODIFIED"), &json!(2))
    );
    assert_eq!(number(&event["object"]), number(&created) + 1);
    assert_eq!(events.short(1).await, ["DELETED a"]);
}

#[tokio::test]
async fn c230_kind_without_status_has_no_subresource() {
    let server = Server::start().await;
    server
        .client
        .post(FISCHERS, &json!({"metadata": {"name": "f"}}))
        .await
        .expect(201);
    server
        .client
        .get(&format!("{FISCHERS}/f/status"))
        .await
        .refused(404, "NotFound");
}
