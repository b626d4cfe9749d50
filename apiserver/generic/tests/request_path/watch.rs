//! Watches: order, replicas, ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{ALL, N, Server, Setup, flunder, number, path, version};

fn from(version: &str) -> String {
    format!("{N}?watch=true&resourceVersion={version}&timeoutSeconds=20")
}

#[tokio::test]
async fn c271_watch_delivers_every_later_event_once_and_in_order() {
    let server = Server::start().await;
    let list = server.client.get(ALL).await.expect(200);
    let url = format!(
        "{ALL}?watch=1&resourceVersion={}&timeoutSeconds=20",
        version(&list)
    );
    let mut events = server.client.watch(&url).await;
    let bodies: Vec<Value> = (0..100)
        .map(|index| flunder(&format!("a{index}"), json!({})))
        .collect();
    let created = futures::future::join_all(bodies.iter().map(|body| server.client.post(N, body))).await;
    let mut expected: Vec<u64> = created.iter().map(|answer| number(&answer.expect(201))).collect();
    expected.sort_unstable();
    let mut seen = Vec::new();
    for _ in &expected {
        seen.push(number(&events.next().await.unwrap()["object"]));
    }
    assert_eq!(seen, expected);
    let resumed = format!("{ALL}?watch=1&resourceVersion={}&timeoutSeconds=20", seen[49]);
    let mut events = server.client.watch(&resumed).await;
    for version in &expected[50..] {
        assert_eq!(number(&events.next().await.unwrap()["object"]), *version);
    }
}

#[tokio::test]
async fn c271_events_of_one_replica_reach_the_watchers_of_another() {
    let server = Server::start().await;
    let other = server.replica_of().await;
    let list = other.client.get(N).await.expect(200);
    let mut events = other.client.watch(&from(&version(&list))).await;
    server.create("a", json!({})).await;
    server.create("b", json!({})).await;
    assert_eq!(events.short(2).await, ["ADDED a", "ADDED b"]);
}

#[tokio::test]
async fn c272_timeout_parameter_of_requests_does_not_end_a_watch() {
    let server = Server::start().await;
    let mut events = server
        .client
        .watch(&format!("{N}?watch=true&timeoutSeconds=20&timeout=1s"))
        .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.create("a", json!({})).await;
    assert_eq!(events.short(1).await, ["ADDED a"]);
}

#[tokio::test]
async fn c082_watches_end_when_the_server_stops() {
    let server = Server::start().await;
    let list = server.client.get(N).await.expect(200);
    let events = server.client.watch(&from(&version(&list))).await;
    let began = Instant::now();
    server.stop.cancel();
    assert_eq!(events.rest().await, Vec::<Value>::new());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn c281_slow_watcher_is_closed_and_goes_on_where_it_was() {
    let few = Setup {
        storage: Box::new(|options| options.watcher_events_max = 20),
        ..Setup::default()
    };
    let server = Server::with(few).await;
    server.create("a", json!({})).await;
    let list = server.client.get(N).await.expect(200);
    let mut slow = server.client.watch(&from(&version(&list))).await;
    let mut quick = server.client.watch(&from(&version(&list))).await;
    let bulk = "x".repeat(100_000);
    let mut last = 0;
    for size in 1..=80 {
        let patch = json!({"spec": {"size": size, "tags": [bulk]}});
        last = number(&server.client.merge(&path("a"), patch).await.expect(200));
        assert_eq!(quick.short(1).await, ["MODIFIED a"], "others are not held up");
    }
    let mut seen = number(&list);
    let mut delivered = 0;
    while let Some(event) = slow.next().await {
        assert_eq!(event["type"], "MODIFIED", "it ends without an error");
        seen = number(&event["object"]);
        delivered += 1;
    }
    assert!(delivered < 80, "it was closed");
    let mut resumed = server.client.watch(&from(&seen.to_string())).await;
    while seen < last {
        seen = number(&resumed.next().await.unwrap()["object"]);
        delivered += 1;
    }
    assert_eq!(delivered, 80, "nothing is missing");
}
