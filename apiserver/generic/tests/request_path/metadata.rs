//! Rules of metadata that hold for every kind.

use serde_json::{Value, json};

use crate::server::{N, Server};

/// The fields that are invalid in an object with this metadata.
async fn invalid_fields(server: &Server, metadata: Value) -> Vec<String> {
    let status = server
        .client
        .post(N, &json!({"metadata": metadata}))
        .await
        .refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    causes
        .iter()
        .map(|cause| cause["field"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn c163_names_are_subdomains() {
    let server = Server::start().await;
    for name in [
        "A",
        "-a",
        "a-",
        "a..b",
        ".",
        "..",
        "a/b",
        "a%b",
        "a_b",
        &"a".repeat(254),
    ] {
        assert_eq!(
            invalid_fields(&server, json!({"name": name})).await,
            ["metadata.name"],
            "{name}"
        );
    }
    for name in ["a", "a-1.b", &"a".repeat(253)] {
        server
            .client
            .post(N, &json!({"metadata": {"name": name}}))
            .await
            .expect(201);
    }
    assert_eq!(invalid_fields(&server, json!({})).await, ["metadata.name"]);
    let generated = invalid_fields(&server, json!({"generateName": "A_"})).await;
    assert!(!generated.is_empty());
}

#[tokio::test]
async fn c163_labels_and_annotations_are_checked() {
    let server = Server::start().await;
    let label = |key: &str, value: &str| json!({"name": "x", "labels": {key: value}});
    for (key, value) in [
        ("a b", "c"),
        ("a", "b c"),
        ("/a", "b"),
        ("a", &"b".repeat(64)),
        ("X.y/a", "b"),
    ] {
        let fields = invalid_fields(&server, label(key, value)).await;
        assert_eq!(fields, ["metadata.labels"], "{key}={value}");
    }
    let annotation = |key: &str, value: &str| json!({"name": "x", "annotations": {key: value}});
    let large = "x".repeat(256 * 1024);
    for (key, value) in [("a b", "c"), ("a", large.as_str())] {
        let fields = invalid_fields(&server, annotation(key, value)).await;
        assert_eq!(fields, ["metadata.annotations"], "{key}");
    }
    let good = json!({"name": "x", "labels": {"example.com/a": "", "b": "c.D_e-f"}, "annotations": {"A": "any text"}});
    server
        .client
        .post(N, &json!({"metadata": good}))
        .await
        .expect(201);
}

#[tokio::test]
async fn c163_owners_are_complete_and_one_controls() {
    let server = Server::start().await;
    let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid, "controller": true});
    let owned = |owners: Value| json!({"name": "x", "ownerReferences": owners});
    let fields = invalid_fields(
        &server,
        owned(json!([{"apiVersion": "v1", "kind": "", "name": "", "uid": ""}])),
    )
    .await;
    let all = ["kind", "name", "uid"].map(|field| format!("metadata.ownerReferences[0].{field}"));
    assert_eq!(fields, all);
    let fields = invalid_fields(&server, owned(json!([owner("1"), owner("2")]))).await;
    assert_eq!(fields, ["metadata.ownerReferences"]);
    let event = json!([{"apiVersion": "v1", "kind": "Event", "name": "o", "uid": "1"}]);
    assert_eq!(
        invalid_fields(&server, owned(event)).await,
        ["metadata.ownerReferences[0]"]
    );
    server
        .client
        .post(N, &json!({"metadata": owned(json!([owner("1")]))}))
        .await
        .expect(201);
}

#[tokio::test]
async fn c163_finalizers_are_qualified() {
    let server = Server::start().await;
    let held = |finalizers: Value| json!({"name": "x", "finalizers": finalizers});
    let fields = invalid_fields(&server, held(json!(["no/good/name"]))).await;
    assert_eq!(fields, ["metadata.finalizers[0]"]);
    let fields = invalid_fields(&server, held(json!(["orphan", "foregroundDeletion"]))).await;
    assert_eq!(fields, ["metadata.finalizers"]);
    server
        .client
        .post(N, &json!({"metadata": held(json!(["example.com/a", "orphan"]))}))
        .await
        .expect(201);
}

#[tokio::test]
async fn c164_equal_owners_are_merged_with_a_warning() {
    let server = Server::start().await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "1"});
    let body = json!({"metadata": {"name": "x", "ownerReferences": [owner, owner]}});
    let answer = server.client.post(N, &body).await;
    assert_eq!(answer.expect(201)["metadata"]["ownerReferences"], json!([owner]));
    assert_eq!(answer.warnings().len(), 1, "{answer:?}");
}
