//! Delete of a collection.

use http::Method;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{N, Server, flunder, path};

async fn delete(server: &Server, query: &str, options: Value) -> Answer {
    server
        .client
        .call(Method::DELETE, &format!("{N}{query}"))
        .json(&options)
        .send()
        .await
}

#[tokio::test]
async fn c174_held_objects_stay_marked_and_dry_runs_delete_nothing() {
    let server = Server::start().await;
    let mut body = flunder("a", json!({}));
    body["metadata"]["finalizers"] = json!(["test.example.com/hold"]);
    server.client.post(N, &body).await.expect(201);
    server.create("b", json!({})).await;
    assert_eq!(
        delete(&server, "", json!({"dryRun": ["All"]})).await.names(),
        ["a", "b"]
    );
    assert_eq!(server.client.get(N).await.names(), ["a", "b"]);
    delete(&server, "", json!({})).await.expect(200);
    assert_eq!(server.client.get(N).await.names(), ["a"]);
    let held = server.client.get(&path("a")).await.expect(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    delete(&server, "", json!({"propagationPolicy": "Never"}))
        .await
        .refused(422, "Invalid");
}

#[tokio::test]
async fn c174_metadata_client_gets_a_metadata_list() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    let answer = server
        .client
        .call(Method::DELETE, N)
        .header("accept", accept)
        .json(&json!({}))
        .send()
        .await;
    let list = answer.expect(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(answer.names(), ["a"]);
}

#[tokio::test]
async fn c174_large_collection_is_deleted_whole() {
    let server = Server::start().await;
    let bodies: Vec<Value> = (0..1_100)
        .map(|index| flunder(&format!("a{index:04}"), json!({})))
        .collect();
    for chunk in bodies.chunks(100) {
        futures::future::join_all(chunk.iter().map(|body| server.client.post(N, body))).await;
    }
    assert_eq!(delete(&server, "", json!({})).await.names().len(), 1_100);
    assert!(server.client.get(N).await.names().is_empty());
}
