//! Streaming lists: `sendInitialEvents`.

use serde_json::{Value, json};

use crate::client::{create, get, version, widgets};

const STREAM: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";

fn ends_initial_events(bookmark: &Value) -> bool {
    bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"
}

#[tokio::test]
async fn c275_initial_events_then_the_closing_bookmark_then_live() {
    let path = widgets("c275");
    let first = create("c275", "a").await;
    let second = create("c275", "b").await;
    for query in [
        "",
        "&resourceVersion=0",
        &format!("&resourceVersion={}", version(&second)),
    ] {
        let mut watch = get(format!("{path}?{STREAM}&allowWatchBookmarks=true{query}"))
            .watch()
            .await;
        assert_eq!(watch.expect("ADDED").await, first);
        assert_eq!(watch.expect("ADDED").await, second);
        let end = watch.expect("BOOKMARK").await;
        assert!(ends_initial_events(&end), "{end}");
        assert!(version(&end).parse::<u64>().unwrap() >= version(&second).parse().unwrap());
    }
    let mut watch = get(format!("{path}?{STREAM}")).watch().await;
    watch.expect("ADDED").await;
    watch.expect("ADDED").await;
    let live = create("c275", "c").await;
    assert_eq!(
        watch.expect("ADDED").await,
        live,
        "without bookmarks none closes the initial events"
    );
}

#[tokio::test]
async fn c275_empty_collection_is_closed_at_once() {
    let mut watch = get(format!("{}?{STREAM}&allowWatchBookmarks=true", widgets("c275b")))
        .watch()
        .await;
    let end = watch.expect("BOOKMARK").await;
    assert!(ends_initial_events(&end));
    assert!(version(&end).parse::<u64>().unwrap() > 0);
    let live = create("c275b", "a").await;
    loop {
        let frame = watch.next().await.unwrap();
        if frame["type"] == "BOOKMARK" {
            assert!(!ends_initial_events(&frame["object"]), "closed once");
            continue;
        }
        assert_eq!((&frame["type"], &frame["object"]), (&json!("ADDED"), &live));
        return;
    }
}

#[tokio::test]
async fn c275_without_initial_events_only_what_happens() {
    let path = widgets("c275c");
    create("c275c", "a").await;
    let query = "watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    for resource_version in ["", "0"] {
        let mut watch = get(format!("{path}?{query}&resourceVersion={resource_version}"))
            .watch()
            .await;
        let name = format!("later{resource_version}");
        let live = create("c275c", &name).await;
        assert_eq!(watch.expect("ADDED").await, live);
    }
}

#[tokio::test]
async fn c275_invalid_combinations() {
    let path = widgets("c275d");
    for query in [
        "watch=true&sendInitialEvents=true",
        "watch=true&sendInitialEvents=false",
        "watch=true&sendInitialEvents=true&resourceVersionMatch=Exact",
        "watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=0",
    ] {
        let status = get(format!("{path}?{query}"))
            .send()
            .await
            .failure(422, "Invalid");
        assert_eq!(status["details"]["kind"], "ListOptions");
        assert_eq!(
            status["details"]["causes"][0]["reason"], "FieldValueForbidden",
            "{query}"
        );
        assert_eq!(
            status["details"]["causes"][0]["field"], "resourceVersionMatch",
            "{query}"
        );
    }
    let future = get(format!("{path}?{STREAM}&resourceVersion=9007199254740000"))
        .send()
        .await;
    assert!(
        future.code == 504 || future.text.contains(r#""type":"ERROR""#),
        "{future:?}"
    );
}
