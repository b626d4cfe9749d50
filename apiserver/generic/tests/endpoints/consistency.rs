//! What holds across replicas, concurrent writers, and without a database.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{create, create_on, get, merge_patch, post, version, widget, widgets};
use crate::server::{SHARED, Server};

fn number(object: &Value) -> u64 {
    version(object).parse().unwrap()
}

/// A runtime may not be dropped within another.
async fn end(server: Server) {
    tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
}

#[tokio::test]
async fn c110_discovery_and_openapi_need_no_database() {
    let server = Server::start(|options| {
        options.connect = options.connect.clone().socket("/nonexistent").port(1);
    });
    for path in [
        "/",
        "/apis",
        "/apis/test.example.com/v1",
        "/openapi/v2",
        "/openapi/v3",
    ] {
        let begun = Instant::now();
        get(path).to(server.address).send().await.object(200);
        assert!(begun.elapsed() < Duration::from_secs(1), "{path}");
    }
    let answer = get(format!("{}/a", widgets("c110")))
        .to(server.address)
        .send()
        .await;
    answer.failure(503, "ServiceUnavailable");
    assert_eq!(
        answer.header("retry-after"),
        "1",
        "never 404, on which controllers act"
    );
    end(server).await;
}

#[tokio::test]
async fn c146_times_and_integers_on_the_wire() {
    let body = r#"{"metadata": {"name": "a"}, "spec": {"count": 9007199254740993}}"#;
    let call = crate::client::Call::new(http::Method::POST, widgets("c146")).body("application/json", body);
    let created = call.send().await;
    assert!(
        created.text.contains(r#""count":9007199254740993"#),
        "{}",
        created.text
    );
    let object = created.object(201);
    let time = object["metadata"]["creationTimestamp"].as_str().unwrap();
    assert!(
        time.len() == 20 && time.ends_with('Z'),
        "RFC 3339 in UTC with seconds: {time}"
    );
    let read = get(format!("{}/a", widgets("c146"))).send().await;
    assert!(read.text.contains(r#""count":9007199254740993"#), "{}", read.text);
    let keys = ["apiVersion", "kind", "metadata", "spec"].map(|key| read.text.find(&format!("\"{key}\"")));
    assert!(keys.is_sorted(), "a stable order of fields: {}", read.text);
}

#[tokio::test]
async fn c176_another_replica_shows_what_was_written() {
    let replica = Server::replica_of(&SHARED);
    let path = widgets("c176");
    for round in 0..10 {
        let created = create("c176", &format!("w{round}")).await;
        let item = format!("{path}/w{round}");
        assert_eq!(get(&item).to(replica.address).send().await.object(200), created);
        let patch = merge_patch(&item, json!({"spec": {"size": 7}})).to(replica.address);
        let patched = patch.send().await.object(200);
        let list = get(&path).send().await.object(200);
        assert!(list["items"].as_array().unwrap().contains(&patched), "{list}");
    }
    end(replica).await;
}

#[tokio::test]
async fn c194_version_to_come_is_waited_for() {
    let path = widgets("c194");
    let present = number(&create("c194", "a").await);
    let ahead = get(format!("{path}?resourceVersion={}", present + 30)).send();
    let writes = async {
        // Other tests write too: the version is reached in any case, perhaps sooner.
        for round in 0..30 {
            create("c194", &format!("w{round}")).await;
        }
    };
    let (list, ()) = tokio::join!(ahead, writes);
    assert!(number(&list.object(200)) >= present + 30);

    let begun = Instant::now();
    let late = get(format!("{path}?resourceVersion={}", present + 1_000_000))
        .send()
        .await;
    let status = late.failure(504, "Timeout");
    assert!(begun.elapsed() >= Duration::from_secs(2), "waited for");
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    assert_eq!(
        (
            &status["details"]["retryAfterSeconds"],
            late.header("retry-after")
        ),
        (&json!(1), "1")
    );
}

#[tokio::test]
async fn c218_defaults_after_decoding_and_after_a_patch() {
    let created = post(widgets("c218"), widget("a", json!({})))
        .send()
        .await
        .object(201);
    assert_eq!(created["spec"]["color"], "grey");
    let path = format!("{}/a", widgets("c218"));
    let patched = merge_patch(path, json!({"spec": {"color": null, "size": 3}}))
        .send()
        .await
        .object(200);
    assert_eq!(patched["spec"]["color"], "grey");
}

#[tokio::test]
async fn c276_initial_and_live_events_join_without_gap_or_overlap() {
    let writes = async {
        for round in 0..40 {
            create_on(SHARED.address, "c276", &format!("w{round:02}")).await;
        }
    };
    let watches = (0..10_u64).map(|round| async move {
        tokio::time::sleep(Duration::from_millis(round * 10)).await;
        let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let mut watch = get(format!("{}?{query}", widgets("c276"))).watch().await;
        let mut names = BTreeSet::new();
        while names.len() < 40 {
            let object = watch.expect("ADDED").await;
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "twice: {object}");
        }
    });
    tokio::join!(writes, futures::future::join_all(watches));
}

#[tokio::test]
async fn c279_all_watchers_see_one_order() {
    const PER_REPLICA: usize = 30;
    let other = Server::replica_of(&SHARED);
    let replicas = [SHARED.address, other.address];
    let path = widgets("c279");
    let from = version(&get(&path).send().await.object(200)).to_owned();
    // Two watches of each replica, live before anything is written.
    let mut watches = Vec::new();
    for address in replicas.into_iter().cycle().take(4) {
        let watch = get(format!("{path}?watch=true&resourceVersion={from}")).to(address);
        watches.push(watch.watch().await);
    }

    let creates = (0..2 * PER_REPLICA)
        .map(|number| async move { create_on(replicas[number % 2], "c279", &format!("w{number}")).await });
    let streams = watches.iter_mut().map(|watch| async {
        let mut seen = Vec::new();
        while seen.len() < 2 * PER_REPLICA {
            seen.push(number(&watch.expect("ADDED").await));
        }
        seen
    });
    let (created, orders) = tokio::join!(
        futures::future::join_all(creates),
        futures::future::join_all(streams)
    );

    let mut versions: Vec<_> = created.iter().map(number).collect();
    versions.sort_unstable();
    for order in orders {
        assert_eq!(order, versions, "every write once, in the order of versions");
    }
    drop(watches);
    end(other).await;
}
