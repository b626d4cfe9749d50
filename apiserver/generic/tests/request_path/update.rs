//! Updates and patches that race, and what they cannot change.

use serde_json::{Value, json};

use crate::server::{Server, path};

#[tokio::test]
async fn c166_of_parallel_updates_of_a_version_one_wins() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    let bodies: Vec<Value> = (0..8)
        .map(|size| {
            let mut body = created.clone();
            body["spec"]["size"] = json!(size + 1);
            body
        })
        .collect();
    let url = path("a");
    let updates = bodies.iter().map(|body| server.client.put(&url, body));
    let answers = futures::future::join_all(updates).await;
    let codes = |code: u16| {
        answers
            .iter()
            .filter(|answer| answer.status.as_u16() == code)
            .count()
    };
    assert_eq!((codes(200), codes(409)), (1, 7));
}

#[tokio::test]
async fn c166_another_uid_is_a_conflict() {
    let server = Server::start().await;
    let mut body = server.create("a", json!({})).await;
    body["metadata"]["uid"] = json!("another");
    let status = server
        .client
        .put(&path("a"), &body)
        .await
        .refused(409, "Conflict");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("UID in precondition: another"),
        "{status}"
    );
    body["metadata"].as_object_mut().unwrap().remove("uid");
    server.client.put(&path("a"), &body).await.expect(200);
}

#[tokio::test]
async fn c167_deletion_is_not_set_by_an_update() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    let fields = [
        ("deletionTimestamp", json!("2001-01-01T00:00:00Z")),
        ("deletionGracePeriodSeconds", json!(3)),
    ];
    for (field, value) in fields {
        let mut body = created.clone();
        body["metadata"][field] = value;
        let status = server.client.put(&path("a"), &body).await.refused(422, "Invalid");
        let cause = &status["details"]["causes"][0];
        assert_eq!(cause["field"], format!("metadata.{field}"));
    }
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
}

#[tokio::test]
async fn c175_dry_run_of_an_update_stores_nothing() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    let mut body = created.clone();
    body["spec"]["size"] = json!(7);
    let url = format!("{}?dryRun=All", path("a"));
    let answer = server.client.put(&url, &body).await.expect(200);
    assert_eq!(answer["spec"]["size"], 7);
    assert_eq!(answer["metadata"]["generation"], 2);
    let patched = server
        .client
        .merge(&url, json!({"spec": {"size": 8}}))
        .await
        .expect(200);
    assert_eq!(patched["spec"]["size"], 8);
    server
        .client
        .merge(&url, json!({"spec": {"size": 101}}))
        .await
        .refused(422, "Invalid");
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
}
