//! Watches of both versions see the same events, each in its own form.

use serde_json::json;

use crate::server::{ALPHA, BETA, Server};

#[tokio::test]
async fn c111_watches_of_both_versions_see_every_event_in_their_form() {
    let server = Server::start().await;
    server
        .create("a", json!({"flunderReference": "b", "referenceType": "Flunder"}))
        .await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watches = Vec::new();
    for collection in [ALPHA, BETA] {
        let mut events = server.client.watch(&format!("{collection}?{query}")).await;
        let present = server.client.get(&format!("{collection}/a")).await.expect(200);
        let first = events.next().await.unwrap();
        assert_eq!((&first["type"], &first["object"]), (&json!("ADDED"), &present));
        let bookmark = events.next().await.unwrap();
        assert_eq!(bookmark["type"], "BOOKMARK");
        for field in ["kind", "apiVersion"] {
            assert_eq!(bookmark["object"][field], present[field]);
        }
        watches.push((collection, events));
    }

    let changed = json!({"spec": {"reference": "c"}});
    server
        .client
        .merge(&format!("{ALPHA}/a"), changed)
        .await
        .expect(200);
    for (collection, events) in &mut watches {
        let present = server.client.get(&format!("{collection}/a")).await.expect(200);
        let event = events.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]), (&json!("MODIFIED"), &present));
    }

    server.client.delete(&format!("{BETA}/a")).await.expect(200);
    for ((collection, events), field) in watches.iter_mut().zip(["reference", "flunderReference"]) {
        let event = events.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["spec"][field]),
            (&json!("DELETED"), &json!("c"))
        );
        let api_version = event["object"]["apiVersion"].as_str().unwrap();
        assert!(collection.contains(api_version), "{api_version}");
    }
}

#[tokio::test]
async fn c111_selected_events_and_tables_are_converted() {
    let server = Server::start().await;
    let version = server.client.get(BETA).await.expect(200)["metadata"]["resourceVersion"].clone();
    let version = version.as_str().unwrap();
    let query = format!("watch=true&labelSelector=x&resourceVersion={version}");
    let mut selected = server.client.watch(&format!("{ALPHA}?{query}")).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let tables = format!("{ALPHA}?{query}&includeObject=Object");
    let mut tables = server.client.watch_as(&tables, table).await;
    let body = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"fischerReference": "f", "referenceType": "Fischer"}});
    server.client.post(BETA, &body).await.expect(201);
    let gone = json!({"metadata": {"labels": null}, "spec": {"fischerReference": "g"}});
    server.client.merge(&format!("{BETA}/a"), gone).await.expect(200);

    for expected in ["ADDED", "DELETED"] {
        let event = selected.next().await.unwrap();
        // What ceases to match is shown as it matched last.
        assert_eq!(
            (&event["type"], &event["object"]["spec"]["reference"]),
            (&json!(expected), &json!("f"))
        );
        let event = tables.next().await.unwrap();
        let object = &event["object"]["rows"][0]["object"];
        assert_eq!(
            (&event["type"], &object["spec"]["reference"]),
            (&json!(expected), &json!("f"))
        );
        assert_eq!(object["apiVersion"], "wardle.example.com/v1alpha1");
    }
}
