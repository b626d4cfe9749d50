//! Versions that are no longer kept.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{Answer, Call, SOON, create_on, get, version, widgets};
use crate::server::Server;

/// A server that keeps next to no history.
fn forgetful() -> Server {
    Server::start(|options| {
        options.ring_events_min = 2;
        options.ring_events_max = 2;
        options.ring_age = Duration::ZERO;
        options.log_age = Duration::ZERO;
        options.log_events_min = 0;
        options.log_prune_interval = Duration::from_millis(50);
    })
}

/// Asks until the answer is the one hoped for.
async fn until(call: impl Fn() -> Call, hoped_for: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = call().send().await;
        if hoped_for(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn end(server: Server) {
    // A runtime may not be dropped within another.
    tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn c273_version_too_old_is_an_error_event() {
    let server = forgetful();
    let first = create_on(server.address, "old", "w0").await;
    for number in 1..8 {
        create_on(server.address, "old", &format!("w{number}")).await;
    }
    let path = format!(
        "{}?watch=true&timeoutSeconds=1&resourceVersion={}",
        widgets("old"),
        version(&first)
    );
    until(
        || get(&path).to(server.address),
        |answer| answer.text.contains("ERROR"),
    )
    .await;
    for accept in [
        "application/json",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ] {
        let mut watch = get(&path).to(server.address).accept(accept).watch().await;
        let status = watch.expect("ERROR").await;
        assert_eq!(
            (&status["kind"], &status["apiVersion"]),
            (&json!("Status"), &json!("v1"))
        );
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(410), &json!("Expired"))
        );
        assert_eq!(watch.next().await, None, "the stream ends");
    }
    let exact = format!(
        "{}?resourceVersionMatch=Exact&resourceVersion={}",
        widgets("old"),
        version(&first)
    );
    get(exact).to(server.address).send().await.failure(410, "Expired");
    end(server).await;
}

#[tokio::test]
async fn c193_expired_token_comes_with_a_fresh_one() {
    let server = forgetful();
    for number in 0..4 {
        create_on(server.address, "pages", &format!("w{number}")).await;
    }
    let path = widgets("pages");
    let first = get(format!("{path}?limit=2"))
        .to(server.address)
        .send()
        .await
        .object(200);
    for number in 4..8 {
        create_on(server.address, "pages", &format!("w{number}")).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = || get(format!("{path}?limit=2&continue={token}")).to(server.address);
    let status = until(next, |answer| answer.code == 410)
        .await
        .failure(410, "Expired");
    let token = status["metadata"]["continue"].as_str().unwrap();
    let next = get(format!("{path}?limit=2&continue={token}"))
        .to(server.address)
        .send()
        .await
        .object(200);
    assert_eq!(names(&next), ["w2", "w3"]);
    end(server).await;
}

#[tokio::test]
async fn c274_last_bookmark_comes_before_the_deadline() {
    let server = Server::start(|options| options.bookmark_interval = Duration::from_secs(600));
    let created = create_on(server.address, "c274-last", "a").await;
    let path = widgets("c274-last");
    let query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=3";
    let mut watch = get(format!("{path}?{query}&resourceVersion={}", version(&created)))
        .to(server.address)
        .watch()
        .await;

    let bookmark = watch.expect("BOOKMARK").await;

    assert!(version(&bookmark).parse::<u64>().unwrap() >= version(&created).parse().unwrap());
    assert!(watch.next().await.is_none(), "the watch ends at its deadline");
    end(server).await;
}
