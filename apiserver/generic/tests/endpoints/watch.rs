//! Watches from a version, their ends and their forms.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{SOON, TABLE, create, delete, get, merge_patch, post, put, version, widget, widgets};
use crate::server::Server;

async fn now(namespace: &str) -> String {
    let list = get(widgets(namespace)).send().await.object(200);
    version(&list).to_owned()
}

#[tokio::test]
async fn c270_headers_come_at_once_and_frames_end_with_newlines() {
    let path = widgets("c270");
    let from = now("c270").await;
    // The answer is here although nothing has happened.
    let mut watch = get(format!("{path}?watch=1&resourceVersion={from}"))
        .watch()
        .await;
    let created = create("c270", "a").await;
    assert_eq!(watch.expect("ADDED").await, created);
    let patched = merge_patch(format!("{path}/a"), json!({"spec": {"size": 2}}))
        .send()
        .await
        .object(200);
    assert_eq!(watch.expect("MODIFIED").await, patched);
    delete(format!("{path}/a")).send().await.object(200);
    assert_eq!(watch.expect("DELETED").await["kind"], "Widget");
    // Bookmarks come five times a second, to whoever asks for them.
    tokio::time::sleep(Duration::from_secs(1)).await;
    watch.has_shown_all_of("c270").await;
}

#[tokio::test]
async fn c270_legacy_path() {
    create("c270b", "a").await;
    create("c270b", "b").await;
    let path = "/apis/test.example.com/v1/watch/namespaces/c270b/widgets/a";
    let mut watch = get(path).watch().await;
    assert_eq!(watch.expect("ADDED").await["metadata"]["name"], "a");
    create("c270b", "c").await;
    let patched = merge_patch(format!("{}/a", widgets("c270b")), json!({"spec": {"size": 2}}))
        .send()
        .await
        .object(200);
    assert_eq!(watch.expect("MODIFIED").await, patched, "one object only");
}

#[tokio::test]
async fn c271_every_later_event_once_and_in_order() {
    let path = widgets("c271");
    let from = now("c271").await;
    let mut versions = Vec::new();
    for number in 0..20 {
        versions.push(version(&create("c271", &format!("w{number}")).await).to_owned());
    }
    let mut watch = get(format!("{path}?watch=true&resourceVersion={from}"))
        .watch()
        .await;
    for expected in &versions {
        assert_eq!(version(&watch.expect("ADDED").await), expected);
    }
    let mut later = get(format!("{path}?watch=true&resourceVersion={}", versions[17]))
        .watch()
        .await;
    for expected in &versions[18..] {
        assert_eq!(version(&later.expect("ADDED").await), expected);
    }
    later.has_shown_all_of("c271").await;
}

#[tokio::test]
async fn c271_without_a_version_the_present_state_comes_first() {
    let queries = ["", "&resourceVersion=0", "&resourceVersion="];
    for (query, namespace) in queries.into_iter().zip(["c271b", "c271c", "c271d"]) {
        create(namespace, "a").await;
        let mut watch = get(format!("{}?watch=true{query}", widgets(namespace)))
            .watch()
            .await;
        assert_eq!(watch.expect("ADDED").await["metadata"]["name"], "a", "{query}");
        watch.has_shown_all_of(namespace).await;
    }
}

#[tokio::test]
async fn c272_timeout_ends_the_stream_cleanly() {
    let begun = Instant::now();
    let mut watch = get(format!("{}?watch=true&timeoutSeconds=1", widgets("c272")))
        .watch()
        .await;
    assert_eq!(watch.next().await, None);
    let lasted = begun.elapsed();
    assert!(
        lasted >= Duration::from_millis(990) && lasted < SOON,
        "{lasted:?}"
    );
    get(format!("{}?watch=true&timeoutSeconds=x", widgets("c272")))
        .send()
        .await
        .failure(400, "BadRequest");
}

#[tokio::test]
async fn malformed_version_of_a_watch_is_invalid() {
    let path = format!("{}?watch=true&resourceVersion=abc", widgets("c271c"));
    let status = get(path).send().await.failure(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "resourceVersion");
}

#[tokio::test]
async fn c274_bookmarks_when_asked() {
    let path = widgets("c274");
    let created = create("c274", "a").await;
    let from = version(&created);
    let mut watch = get(format!(
        "{path}?watch=true&resourceVersion={from}&allowWatchBookmarks=true"
    ))
    .watch()
    .await;
    let elsewhere = create("c274-elsewhere", "b").await;
    let reached = loop {
        let bookmark = watch.expect("BOOKMARK").await;
        let fields: Vec<&String> = bookmark.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["apiVersion", "kind", "metadata"], "{bookmark}");
        assert_eq!(bookmark["kind"], "Widget");
        assert!(bookmark["metadata"].get("annotations").is_none());
        if version(&bookmark).parse::<u64>().unwrap() >= version(&elsewhere).parse().unwrap() {
            break version(&bookmark).to_owned();
        }
    };
    let later = create("c274", "c").await;
    let mut resumed = get(format!("{path}?watch=true&resourceVersion={reached}"))
        .watch()
        .await;
    assert_eq!(resumed.expect("ADDED").await, later);
}

#[tokio::test]
async fn c282_bookmarks_of_a_quiet_collection_advance_with_other_activity() {
    let query = "watch=true&allowWatchBookmarks=true";
    let mut watch = get(format!("{}?{query}", widgets("c282"))).watch().await;
    let mut reached = version(&watch.expect("BOOKMARK").await).parse::<u64>().unwrap();
    for round in 0..3 {
        let rack = json!({"metadata": {"name": format!("c282-{round}")}});
        let elsewhere = post("/apis/test.example.com/v1/racks", rack)
            .send()
            .await
            .object(201);
        let wanted: u64 = version(&elsewhere).parse().unwrap();
        while reached < wanted {
            let next = version(&watch.expect("BOOKMARK").await).parse().unwrap();
            assert!(next >= reached, "{next} after {reached}");
            reached = next;
        }
    }
}

#[tokio::test]
async fn c277_selectors_turn_changes_into_arrivals_and_departures() {
    let path = widgets("c277");
    let from = now("c277").await;
    let query = format!("watch=true&resourceVersion={from}&labelSelector=side%3Din");
    let mut watch = get(format!("{path}?{query}")).watch().await;
    let set = async |side: &str| {
        let patch = json!({"metadata": {"labels": {"side": side}}});
        merge_patch(format!("{path}/a"), patch).send().await.object(200)
    };
    create("c277", "a").await;
    let came = set("in").await;
    assert_eq!(watch.expect("ADDED").await, came);
    let stayed = merge_patch(format!("{path}/a"), json!({"spec": {"size": 2}}))
        .send()
        .await
        .object(200);
    assert_eq!(watch.expect("MODIFIED").await, stayed);
    let left = set("out").await;
    let mut last = stayed;
    last["metadata"]["resourceVersion"] = left["metadata"]["resourceVersion"].clone();
    assert_eq!(
        watch.expect("DELETED").await,
        last,
        "the last state that matched, at the event's version"
    );
    delete(format!("{path}/a")).send().await.object(200);
    let mut last = widget("last", json!({"size": 1}));
    last["metadata"]["labels"] = json!({"side": "in"});
    let last = post(&path, last).send().await.object(201);
    assert_eq!(
        watch.expect("ADDED").await,
        last,
        "what did not match does not go"
    );
}

#[tokio::test]
async fn c278_deleted_carries_the_last_state_at_the_version_of_the_deletion() {
    let path = widgets("c278");
    let created = create("c278", "a").await;
    let mut watch = get(format!("{path}?watch=true&resourceVersion={}", version(&created)))
        .watch()
        .await;
    delete(format!("{path}/a")).send().await.object(200);
    let mut last = watch.expect("DELETED").await;
    assert!(version(&last).parse::<u64>().unwrap() > version(&created).parse().unwrap());
    last["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"].clone();
    assert_eq!(last, created);
}

#[tokio::test]
async fn c280_watch_of_one_object() {
    let path = widgets("c280");
    let from = now("c280").await;
    let query = format!("watch=true&resourceVersion={from}&fieldSelector=metadata.name%3Db");
    let mut watch = get(format!("{path}?{query}")).watch().await;
    create("c280", "a").await;
    let wanted = create("c280", "b").await;
    assert_eq!(watch.expect("ADDED").await, wanted);
}

#[tokio::test]
async fn c286_no_events_of_dry_runs_and_empty_updates() {
    let path = widgets("c286");
    let created = create("c286", "a").await;
    let mut watch = get(format!("{path}?watch=true&resourceVersion={}", version(&created)))
        .watch()
        .await;
    post(format!("{path}?dryRun=All"), widget("b", json!({})))
        .send()
        .await
        .object(201);
    let dry = format!("{path}/a?dryRun=All");
    let mut larger = created.clone();
    larger["spec"]["size"] = json!(2);
    assert_eq!(put(&dry, larger).send().await.object(200)["spec"]["size"], 2);
    merge_patch(&dry, json!({"spec": {"size": 3}}))
        .send()
        .await
        .object(200);
    delete(&dry).send().await.object(200);
    delete(format!("{path}?dryRun=All")).send().await.object(200);
    merge_patch(format!("{path}/a"), json!({"spec": {"size": 1}}))
        .send()
        .await
        .object(200);
    put(format!("{path}/a"), created).send().await.object(200);
    watch.has_shown_all_of("c286").await;
}

#[tokio::test]
async fn c253_table_watch_defines_columns_once() {
    let path = widgets("c253");
    let query = "watch=true&allowWatchBookmarks=true";
    create("c253", "a").await;
    let mut watch = get(format!("{path}?{query}")).accept(TABLE).watch().await;
    let first = watch.expect("ADDED").await;
    assert_eq!(
        (&first["kind"], &first["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(first["columnDefinitions"].as_array().unwrap().len(), 4);
    assert_eq!(
        (
            first["rows"].as_array().unwrap().len(),
            &first["rows"][0]["cells"][0]
        ),
        (1, &json!("a"))
    );
    let end = watch.expect("BOOKMARK").await;
    assert_eq!(
        (&end["kind"], &end["columnDefinitions"]),
        (&json!("Table"), &json!([]))
    );
    let object = &end["rows"][0]["object"];
    assert_eq!(
        object["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert!(object["metadata"]["resourceVersion"].is_string());
    get(format!("{path}?watch=true&includeObject=Most"))
        .send()
        .await
        .failure(400, "BadRequest");
}

#[tokio::test]
async fn c287_metadata_only_watch() {
    let path = widgets("c287");
    create("c287", "a").await;
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let query = "watch=true&allowWatchBookmarks=true";
    let mut watch = get(format!("{path}?{query}")).accept(accept).watch().await;
    let object = watch.expect("ADDED").await;
    assert_eq!(
        (&object["kind"], &object["apiVersion"]),
        (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1"))
    );
    assert!(object.get("spec").is_none());
    let bookmark = watch.expect("BOOKMARK").await;
    assert_eq!(
        (&bookmark["kind"], &bookmark["apiVersion"]),
        (&object["kind"], &object["apiVersion"])
    );
    let list_form = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    get(format!("{path}?{query}"))
        .accept(list_form)
        .send()
        .await
        .failure(406, "NotAcceptable");
}

#[tokio::test]
async fn watches_end_when_the_server_drains() {
    let server = Server::start(|_| {});
    let path = format!("{}?watch=true", widgets("drain"));
    let mut watch = get(path).to(server.address).watch().await;
    server.shutdown.cancel();
    assert_eq!(watch.next().await, None);
    tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
}
