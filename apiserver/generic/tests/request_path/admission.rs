//! Creates in namespaces that are absent or going.

use std::sync::Arc;

use serde_json::json;

use crate::namespaces::Namespaces;
use crate::server::{FISCHERS, N, Server, Setup, flunder};

async fn start(given: &[(&str, bool)]) -> (Server, Namespaces) {
    let namespaces = Namespaces::start(given).await;
    let admission = Arc::new(namespaces.lifecycle.clone());
    let server = Server::with(Setup {
        admission,
        ..Setup::default()
    })
    .await;
    (server, namespaces)
}

fn in_namespace(namespace: &str) -> String {
    N.replace("/n/", &format!("/{namespace}/"))
}

#[tokio::test]
async fn c240_create_in_an_absent_namespace_is_404_for_the_namespace() {
    let (server, _namespaces) = start(&[("n", false)]).await;
    let body = flunder("a", json!({}));
    server.client.post(N, &body).await.expect(201);
    let status = server
        .client
        .post(&in_namespace("x"), &body)
        .await
        .refused(404, "NotFound");
    assert_eq!(status["message"], "namespaces \"x\" not found");
    assert_eq!(status["details"], json!({"kind": "namespaces", "name": "x"}));
}

#[tokio::test]
async fn c240_create_in_a_terminating_namespace_is_403_with_a_cause() {
    let (server, _namespaces) = start(&[("n", false), ("going", true)]).await;
    let body = flunder("a", json!({}));
    let status = server
        .client
        .post(&in_namespace("going"), &body)
        .await
        .refused(403, "Forbidden");
    let cause = &status["details"]["causes"][0];
    assert_eq!(
        (&cause["reason"], &cause["field"]),
        (&json!("NamespaceTerminating"), &json!("metadata.namespace"))
    );
    let message = status["message"].as_str().unwrap();
    assert_eq!(message.matches("is forbidden").count(), 1, "{message}");
    let dry = format!("{}?dryRun=All", in_namespace("going"));
    server.client.post(&dry, &body).await.refused(403, "Forbidden");
}

#[tokio::test]
async fn c240_namespace_that_the_watch_does_not_know_yet_is_looked_up() {
    let (server, namespaces) = start(&[("n", false)]).await;
    namespaces.add_silently("new");
    server
        .client
        .post(&in_namespace("new"), &flunder("a", json!({})))
        .await
        .expect(201);
}

#[tokio::test]
async fn c240_what_exists_can_be_changed_and_deleted_while_its_namespace_goes() {
    let (server, namespaces) = start(&[("n", false)]).await;
    server.create("a", json!({})).await;
    namespaces.terminate("n").await;
    let body = flunder("b", json!({}));
    while server.client.post(&format!("{N}?dryRun=All"), &body).await.status == 201 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server
        .client
        .merge(&format!("{N}/a"), json!({"spec": {"size": 1}}))
        .await
        .expect(200);
    server.client.delete(&format!("{N}/a")).await.expect(200);
}

#[tokio::test]
async fn c240_cluster_scoped_objects_need_no_namespace() {
    let (server, _namespaces) = start(&[("n", false)]).await;
    server
        .client
        .post(FISCHERS, &json!({"metadata": {"name": "f"}}))
        .await
        .expect(201);
}

#[tokio::test]
async fn c233_subresource_that_begins_work_is_admitted_like_a_create() {
    let (server, namespaces) = start(&[("n", false)]).await;
    server.create("a", json!({})).await;
    let polish = format!("{N}/a/polish");
    server.client.post(&polish, &json!({})).await.expect(201);
    namespaces.terminate("n").await;
    while server
        .client
        .post(&format!("{polish}?dryRun=All"), &json!({}))
        .await
        .status
        == 201
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status = server
        .client
        .post(&polish, &json!({}))
        .await
        .refused(403, "Forbidden");
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    server
        .client
        .post(&format!("{N}/a/scrap"), &json!({}))
        .await
        .expect(201);
}
