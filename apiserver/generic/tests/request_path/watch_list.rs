//! Streaming lists and bookmarks.

use serde_json::json;

use crate::server::{N, Server, number};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const STREAM: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20";

#[tokio::test]
async fn c275_stream_of_a_version_not_reached_is_504() {
    let server = Server::start().await;
    let list = server.client.get(N).await.expect(200);
    let url = format!("{N}?{STREAM}&resourceVersion={}", number(&list) + 1_000);
    let response = server.client.get(&url).await;
    response.refused(504, "Timeout");
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
