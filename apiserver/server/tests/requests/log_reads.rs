//! The log as clients read it: it is read from its table and not from a cache, and they must not notice.

use serde_json::{Value, json};

use crate::claims::{claim, granted, report};
use crate::client::{Call, Client};
use crate::server::{GROUP, LOGS, Server, order};

const STREAM: &str =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";

/// The entries of all namespaces.
fn all_logs() -> String {
    format!("{GROUP}/workorderlogs")
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// The names of the orders of a list of entries.
fn orders(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(order_of).collect()
}

fn order_of(entry: &Value) -> &str {
    entry["spec"]["orderName"].as_str().unwrap()
}

async fn list(server: &Server, path: &str, query: &str) -> Value {
    let call = Call::get(format!("{path}?{query}"));
    server.ada.send(&call).await.expect(200)
}

/// The entry of an order of this name.
async fn entry_of(server: &Server, name: &str) -> Value {
    let found = list(server, &all_logs(), &format!("fieldSelector=orderName%3D{name}")).await;
    found["items"][0].clone()
}

/// An order with a label that is cancelled at once; its entry.
async fn cancelled(server: &Server, namespace: &str, name: &str, side: &str) -> Value {
    let collection = format!("{GROUP}/namespaces/{namespace}/workorders");
    let mut body = order(name, json!({}));
    body["metadata"]["labels"] = json!({"side": side});
    server.ada.send(&Call::post(&collection, &body)).await.expect(201);
    let cancel = json!({"spec": {"cancel": {"reason": "not needed"}}});
    let cancel = Call::merge(format!("{collection}/{name}"), &cancel);
    server.ada.send(&cancel).await.expect(200);
    entry_of(server, name).await
}

/// An order that an agent runs to its end; its entry.
async fn succeeded(server: &Server, east: &Client, name: &str) -> Value {
    server.create(name, json!({})).await;
    let (uid, fence) = granted(east, claim(name, "east", "p")).await;
    let spec = json!({"uid": uid, "fence": fence, "outcome": "Succeeded"});
    let complete = report(name, "complete", "WorkOrderCompletion", spec);
    east.send(&complete).await.expect(201);
    entry_of(server, name).await
}

#[tokio::test]
async fn c192_pages_of_the_log_are_one_state_from_newest_to_oldest() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        cancelled(&server, "team-a", name, "in").await;
    }
    for path in [LOGS.to_owned(), all_logs()] {
        let whole = list(&server, &path, "").await;
        let first = list(&server, &path, "limit=2").await;
        let late = format!("late{}", path.len());
        cancelled(&server, "team-a", &late, "in").await;
        let token = first["metadata"]["continue"].as_str().unwrap();
        let rest = list(&server, &path, &format!("limit=9&continue={token}")).await;

        assert_eq!(orders(&first).len(), 2, "{path}");
        assert_eq!([orders(&first), orders(&rest)].concat(), orders(&whole), "{path}");
        assert_eq!(version(&rest), version(&first), "{path}");
        assert!(rest["metadata"].get("continue").is_none(), "{path}");
        for page in [&first, &rest] {
            // Upstream allows that it is left out, and to know it would be to read the whole log.
            assert!(page["metadata"].get("remainingItemCount").is_none(), "{path}");
        }
    }
}

#[tokio::test]
async fn c191_versions_and_matches_of_the_log() {
    let server = Server::start().await;
    let first = cancelled(&server, "team-a", "a", "in").await;
    cancelled(&server, "team-a", "b", "in").await;
    let at = version(&first);
    for path in [LOGS.to_owned(), all_logs()] {
        for (query, expected) in [
            (
                format!("resourceVersion={at}&resourceVersionMatch=Exact"),
                &["a"][..],
            ),
            (format!("resourceVersion={at}&limit=5"), &["a"]),
            (
                format!("resourceVersion={at}&resourceVersionMatch=NotOlderThan"),
                &["b", "a"],
            ),
            (format!("resourceVersion={at}"), &["b", "a"]),
            ("resourceVersion=0".to_owned(), &["b", "a"]),
            (String::new(), &["b", "a"]),
        ] {
            let found = list(&server, &path, &query).await;
            assert_eq!(orders(&found), expected, "{path} {query}");
            let exact = expected == ["a"];
            assert_eq!(version(&found) == at, exact, "{path} {query}");
        }
    }
    let name = first["metadata"]["name"].as_str().unwrap();
    for query in ["", "resourceVersion=0", &format!("resourceVersion={at}")] {
        assert_eq!(
            list(&server, &format!("{LOGS}/{name}"), query).await,
            first,
            "{query}"
        );
    }
}

#[tokio::test]
async fn c194_version_of_the_log_to_come_is_waited_for_then_504() {
    let server = Server::start().await;
    let entry = cancelled(&server, "team-a", "a", "in").await;
    let future = version(&entry).parse::<u64>().unwrap() + 1_000_000;
    let name = entry["metadata"]["name"].as_str().unwrap();
    let all = all_logs();
    let paths = [
        format!("{LOGS}?resourceVersion={future}"),
        format!("{all}?resourceVersion={future}&resourceVersionMatch=NotOlderThan"),
        format!("{all}?resourceVersion={future}&resourceVersionMatch=Exact"),
        format!("{LOGS}?resourceVersion={future}&limit=1"),
        format!("{LOGS}/{name}?resourceVersion={future}"),
        format!("{LOGS}?{STREAM}&resourceVersion={future}"),
    ];
    let answers = paths.map(|path| async {
        let call = Call::get(path);
        (server.ada.send(&call).await, call.path)
    });
    for (answer, path) in futures::future::join_all(answers).await {
        let status = answer.expect(504);
        assert_eq!(status["reason"], "Timeout", "{path}");
        let cause = &status["details"]["causes"][0]["reason"];
        assert_eq!(cause, "ResourceVersionTooLarge", "{path}");
    }

    // What follows writes as many versions at least.
    let next = version(&entry).parse::<u64>().unwrap() + 3;
    let ahead = Call::get(format!("{LOGS}/{name}?resourceVersion={next}"));
    let (found, _) = tokio::join!(server.ada.send(&ahead), cancelled(&server, "team-a", "b", "in"));
    assert_eq!(found.expect(200), entry, "once the version is reached");
}

#[tokio::test]
async fn c271_watch_of_the_log_shows_what_came_after_a_version() {
    let server = Server::start().await;
    let first = cancelled(&server, "team-a", "a", "in").await;
    let elsewhere = cancelled(&server, "team-b", "b", "in").await;
    let here = cancelled(&server, "team-a", "c", "in").await;
    let query = format!("watch=true&resourceVersion={}", version(&first));
    let mut of_team = server.ada.watch(&Call::get(format!("{LOGS}?{query}"))).await;
    let mut of_all = server
        .ada
        .watch(&Call::get(format!("{}?{query}", all_logs())))
        .await;
    assert_eq!(of_team.expect("ADDED").await, here);
    assert_eq!(of_all.expect("ADDED").await, elsewhere);
    assert_eq!(of_all.expect("ADDED").await, here);

    let elsewhere = cancelled(&server, "team-b", "d", "in").await;
    let live = cancelled(&server, "team-a", "e", "in").await;
    assert_eq!(of_team.expect("ADDED").await, live);
    assert_eq!(of_all.expect("ADDED").await, elsewhere);
    assert_eq!(of_all.expect("ADDED").await, live);
}

#[tokio::test]
async fn c275_streaming_list_of_the_log_is_closed_by_a_bookmark() {
    let server = Server::start().await;
    let first = cancelled(&server, "team-a", "a", "in").await;
    let other = cancelled(&server, "team-b", "b", "in").await;
    let last = cancelled(&server, "team-a", "c", "in").await;
    let mut watches = Vec::new();
    for (path, expected) in [
        (LOGS.to_owned(), vec![&first, &last]),
        (all_logs(), vec![&first, &other, &last]),
        (format!("{GROUP}/namespaces/team-c/workorderlogs"), vec![]),
    ] {
        for asked in ["", "0", version(&last)] {
            let call = Call::get(format!("{path}?{STREAM}&resourceVersion={asked}"));
            let mut watch = server.ada.watch(&call).await;
            for entry in &expected {
                assert_eq!(watch.expect("ADDED").await, **entry, "{path} {asked}");
            }
            let end = watch.expect("BOOKMARK").await;
            assert_eq!(end["kind"], "WorkOrderLog", "{path} {asked}");
            let closing = &end["metadata"]["annotations"]["k8s.io/initial-events-end"];
            assert_eq!(closing, "true", "{path} {asked}");
            assert!(version(&end).parse::<u64>().unwrap() >= version(&last).parse().unwrap());
            watches.push((path.clone(), watch));
        }
    }
    let live = cancelled(&server, "team-a", "d", "in").await;
    for (path, watch) in &mut watches {
        if !path.contains("team-c") {
            assert_eq!(watch.expect("ADDED").await, live, "{path}");
        }
    }
}

#[tokio::test]
async fn c251_c287_log_as_metadata() {
    let server = Server::start().await;
    let entry = cancelled(&server, "team-a", "a", "in").await;
    for path in [LOGS.to_owned(), all_logs()] {
        let call = Call::get(&path).header("accept", METADATA_LIST);
        let found = server.ada.send(&call).await.expect(200);
        assert_eq!(found["kind"], "PartialObjectMetadataList", "{path}");
        let item = &found["items"][0];
        assert_eq!(item["metadata"], entry["metadata"], "{path}");
        assert!(item.get("spec").is_none(), "{path}");

        let call = Call::get(format!("{path}?{STREAM}")).header("accept", METADATA);
        let mut watch = server.ada.watch(&call).await;
        assert_eq!(watch.expect("ADDED").await, *item, "{path}");
        let end = watch.expect("BOOKMARK").await;
        assert_eq!(end["kind"], "PartialObjectMetadata", "{path}");
        let closing = &end["metadata"]["annotations"]["k8s.io/initial-events-end"];
        assert_eq!(closing, "true", "{path}");
    }
}

#[tokio::test]
async fn c250_c253_log_as_a_table() {
    let server = Server::start().await;
    let entry = cancelled(&server, "team-a", "a", "in").await;
    for path in [LOGS.to_owned(), all_logs()] {
        let call = Call::get(&path).header("accept", TABLE);
        let table = server.ada.send(&call).await.expect(200);
        assert_eq!(table["kind"], "Table", "{path}");
        let columns: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().collect();
        assert_eq!(columns[0]["name"], "Name", "{path}");
        let row = &table["rows"][0];
        assert_eq!(row["cells"].as_array().unwrap().len(), columns.len(), "{path}");
        let cells = json!([entry["metadata"]["name"], "build", "Cancelled", "<none>"]);
        assert_eq!(row["cells"].as_array().unwrap()[..4], *cells.as_array().unwrap());

        let call = Call::get(format!("{path}?{STREAM}")).header("accept", TABLE);
        let mut watch = server.ada.watch(&call).await;
        let added = watch.expect("ADDED").await;
        assert_eq!(added["columnDefinitions"], table["columnDefinitions"], "{path}");
        assert_eq!(added["rows"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!(added["rows"][0]["object"], row["object"], "{path}");
        let end = watch.expect("BOOKMARK").await;
        assert_eq!(end["columnDefinitions"], json!([]), "only the first has them");
        let closing = &end["rows"][0]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"];
        assert_eq!(closing, "true", "{path}");
    }
}

#[tokio::test]
async fn c195_selectors_of_the_log() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    let start = version(&list(&server, LOGS, "").await).to_owned();
    cancelled(&server, "team-a", "in-a", "in").await;
    cancelled(&server, "team-a", "out-a", "out").await;
    cancelled(&server, "team-b", "in-b", "in").await;
    let ran = succeeded(&server, &east, "ran").await;
    let by_name = format!(
        "fieldSelector=metadata.name%3D{}",
        ran["metadata"]["name"].as_str().unwrap()
    );
    // Every selector, and the orders it finds in one namespace and in all of them, oldest first.
    for (selector, of_team, of_all) in [
        ("labelSelector=side%3Din", &["in-a"][..], &["in-a", "in-b"][..]),
        ("labelSelector=!side", &["ran"], &["ran"]),
        ("fieldSelector=outcome%3DSucceeded", &["ran"], &["ran"]),
        (
            "fieldSelector=success%3Dfalse",
            &["in-a", "out-a"],
            &["in-a", "out-a", "in-b"],
        ),
        (
            "fieldSelector=agent%3D",
            &["in-a", "out-a"],
            &["in-a", "out-a", "in-b"],
        ),
        ("fieldSelector=agent!%3D", &["ran"], &["ran"]),
        ("fieldSelector=workType%3Djob", &[], &[]),
        ("fieldSelector=metadata.namespace%3Dteam-b", &[], &["in-b"]),
        (&by_name, &["ran"], &["ran"]),
        (
            "fieldSelector=outcome!%3DSucceeded&labelSelector=side+in+(in,out)",
            &["in-a", "out-a"],
            &["in-a", "out-a", "in-b"],
        ),
    ] {
        for (path, expected) in [(LOGS.to_owned(), of_team), (all_logs(), of_all)] {
            let found = list(&server, &path, selector).await;
            let mut oldest_first = orders(&found);
            oldest_first.reverse();
            assert_eq!(oldest_first, expected, "{path} {selector}");
            for query in [STREAM, &format!("watch=true&resourceVersion={start}")] {
                let call = Call::get(format!("{path}?{query}&{selector}"));
                let mut watch = server.ada.watch(&call).await;
                for name in expected {
                    let entry = watch.expect("ADDED").await;
                    assert_eq!(order_of(&entry), *name, "{path} {query} {selector}");
                }
                if query == STREAM {
                    watch.expect("BOOKMARK").await;
                }
            }
        }
    }
}
