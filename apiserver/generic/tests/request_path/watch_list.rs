//! Streaming lists and bookmarks.

use std::time::Duration;

use serde_json::json;

use crate::server::{N, Server, Setup, number, path, version};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const STREAM: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20";

#[tokio::test]
async fn c275_initial_events_are_closed_by_a_bookmark() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let newest = server.create("b", json!({})).await;
    for start in [
        "",
        "&resourceVersion=0",
        &format!("&resourceVersion={}", version(&newest)),
    ] {
        let mut events = server.client.watch(&format!("{N}?{STREAM}{start}")).await;
        assert_eq!(events.short(2).await, ["ADDED a", "ADDED b"], "{start}");
        let bookmark = events.next().await.unwrap();
        assert_eq!(bookmark["type"], "BOOKMARK");
        let object = &bookmark["object"];
        assert_eq!(
            (&object["kind"], &object["apiVersion"]),
            (&json!("Flunder"), &json!("test.example.com/v1"))
        );
        assert_eq!(
            object["metadata"]["annotations"],
            json!({"k8s.io/initial-events-end": "true"})
        );
        assert!(number(object) >= number(&newest), "{start}");
        assert_eq!(object["metadata"]["name"], json!(null));
        server
            .client
            .merge(
                &path("a"),
                json!({"metadata": {"labels": {"at": number(object).to_string()}}}),
            )
            .await
            .expect(200);
        assert_eq!(events.short(1).await, ["MODIFIED a"], "live events follow");
        server
            .client
            .merge(&path("a"), json!({"metadata": {"labels": null}}))
            .await
            .expect(200);
        server.client.delete(&path("b")).await.expect(200);
        server.create("b", json!({})).await;
    }
}

#[tokio::test]
async fn c275_stream_of_a_version_not_reached_is_504() {
    let server = Server::start().await;
    let list = server.client.get(N).await.expect(200);
    let url = format!("{N}?{STREAM}&resourceVersion={}", number(&list) + 1_000);
    let response = server.client.get(&url).await;
    response.refused(504, "Timeout");
}

#[tokio::test]
async fn c276_initial_and_live_events_join_without_gap_or_overlap() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let client = server.client.clone();
    let writer = tokio::spawn(async move {
        for size in 1..=60 {
            client
                .merge(&path("a"), json!({"spec": {"size": size}}))
                .await
                .expect(200);
        }
    });
    for _ in 0..10 {
        let mut events = server.client.watch(&format!("{N}?{STREAM}")).await;
        let mut size = events.next().await.unwrap()["object"]["spec"]["size"]
            .as_i64()
            .unwrap();
        assert_eq!(events.short(1).await, ["BOOKMARK -!"]);
        for _ in 0..3.min(60 - size) {
            let event = events.next().await.unwrap();
            size += 1;
            assert_eq!(
                (&event["type"], event["object"]["spec"]["size"].as_i64()),
                (&json!("MODIFIED"), Some(size))
            );
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn c274_bookmarks_advance_and_come_only_when_allowed() {
    let quick = Setup {
        storage: Box::new(|options| options.bookmark_interval = Duration::from_millis(200)),
        ..Setup::default()
    };
    let server = Server::with(quick).await;
    let list = server.client.get(N).await.expect(200);
    let url = format!(
        "{N}?watch=true&resourceVersion={}&timeoutSeconds=20",
        version(&list)
    );
    let mut allowed = server
        .client
        .watch(&format!("{url}&allowWatchBookmarks=true"))
        .await;
    let mut plain = server.client.watch(&url).await;
    let elsewhere = N.replace("/n/", "/m/");
    let other = server
        .client
        .post(&elsewhere, &crate::server::flunder("x", json!({})))
        .await
        .expect(201);
    loop {
        let bookmark = allowed.next().await.unwrap();
        assert_eq!(bookmark["type"], "BOOKMARK");
        let keys: Vec<&String> = bookmark["object"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["apiVersion", "kind", "metadata"]);
        assert_eq!(bookmark["object"]["metadata"]["annotations"], json!(null));
        if number(&bookmark["object"]) >= number(&other) {
            break;
        }
    }
    server.create("a", json!({})).await;
    assert_eq!(plain.short(1).await, ["ADDED a"]);
}

#[tokio::test]
async fn c274_last_bookmark_comes_before_the_deadline() {
    let server = Server::start().await;
    let list = server.client.get(N).await.expect(200);
    let url = format!(
        "{N}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds=4",
        version(&list)
    );
    let events = server.client.watch(&url).await;
    let created = server.create("a", json!({})).await;
    let all = events.rest().await;
    let last = all.last().unwrap();
    assert_eq!(last["type"], "BOOKMARK", "{all:?}");
    assert!(number(&last["object"]) >= number(&created));
}
#[tokio::test]
async fn c253_bookmark_of_tables_carries_its_annotation_on_the_row() {
    let server = Server::start().await;
    let url = format!(
        "{N}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20"
    );
    let mut events = server.client.watch_as(&url, TABLE).await;
    let bookmark = events.next().await.unwrap();
    assert_eq!(
        (&bookmark["type"], &bookmark["object"]["kind"]),
        (&json!("BOOKMARK"), &json!("Table"))
    );
    let object = &bookmark["object"]["rows"][0]["object"];
    assert_eq!(
        object["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert!(object["metadata"]["resourceVersion"].is_string());
}
