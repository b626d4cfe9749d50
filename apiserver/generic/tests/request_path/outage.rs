//! The database goes away and comes back.

use std::time::Duration;

use serde_json::json;
use test_postgres::{Durability, TestPostgres};

use crate::server::{N, Server, Setup, flunder, path, version};

/// Answered from memory alone.
const MEMORY: [&str; 10] = [
    "/livez",
    "/readyz",
    "/healthz",
    "/version",
    "/apis",
    "/apis/test.example.com",
    "/apis/test.example.com/v1",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/test.example.com/v1",
];

#[tokio::test]
async fn c083_without_the_database_requests_are_503_and_never_404() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let server = Server::on(&postgres, Setup::default()).await;
    let created = server.create("a", json!({})).await;
    let watching = format!(
        "{N}?watch=true&resourceVersion={}&timeoutSeconds=60",
        version(&created)
    );
    let mut events = server.client.watch(&watching).await;
    // A read of the newest state waits for the cache, so that it knows the object before the outage.
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
    postgres.kill().unwrap();

    // What needs no database is answered as ever, even this soon after.
    for url in MEMORY {
        let answer = server.client.get(url).await;
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
    }
    for url in [path("a"), path("none"), N.to_owned()] {
        let status = server.client.get(&url).await.refused(503, "ServiceUnavailable");
        assert!(
            status["details"]["retryAfterSeconds"].as_u64().unwrap() > 0,
            "{url}"
        );
    }
    server
        .client
        .post(N, &flunder("b", json!({})))
        .await
        .refused(503, "ServiceUnavailable");
    server
        .client
        .merge(&path("a"), json!({"spec": {"size": 1}}))
        .await
        .refused(503, "ServiceUnavailable");
    server
        .client
        .delete(&path("a"))
        .await
        .refused(503, "ServiceUnavailable");
    server.client.delete(N).await.refused(503, "ServiceUnavailable");
    let any = format!("{}?resourceVersion=0", path("a"));
    assert_eq!(
        server.client.get(&any).await.expect(200),
        created,
        "what is cached is still served"
    );
    assert_eq!(
        server.client.get(&format!("{N}?resourceVersion=0")).await.names(),
        ["a"]
    );

    postgres.restart().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while server.client.post(N, &flunder("b", json!({}))).await.status != 201 {
        assert!(tokio::time::Instant::now() < deadline, "writes come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(events.short(1).await, ["ADDED b"], "open watches stayed open");
}

#[tokio::test]
async fn c083_a_database_that_hangs_is_answered_for_in_time() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let setup = Setup {
        storage: Box::new(|options| {
            options.statement_timeout = Duration::from_secs(2);
            options.transaction_timeout = Duration::from_secs(2);
            options.freshness_timeout = Duration::from_secs(1);
            options.bookmark_interval = Duration::from_millis(200);
        }),
        ..Setup::default()
    };
    let server = Server::on(&postgres, setup).await;
    let created = server.create("a", json!({})).await;
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
    let watching = format!(
        "{N}?watch=true&resourceVersion={}&timeoutSeconds=60&allowWatchBookmarks=true",
        version(&created)
    );
    let mut events = server.client.watch(&watching).await;

    postgres.freeze().unwrap();

    let started = tokio::time::Instant::now();
    let flunder_b = flunder("b", json!({}));
    let (one, none, list, write) = tokio::join!(
        async { server.client.get(&path("a")).await },
        async { server.client.get(&path("none")).await },
        server.client.get(N),
        server.client.post(N, &flunder_b),
    );
    for answer in [one, none, list, write] {
        answer.refused(503, "ServiceUnavailable");
    }
    // The longest way: a transaction, and once more on a connection that does not come.
    let longest = Duration::from_secs(2 + 2);
    assert!(
        started.elapsed() < longest + Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    for url in MEMORY {
        assert_eq!(server.client.get(url).await.status, 200, "{url}");
    }
    let any = format!("{N}?resourceVersion=0");
    assert_eq!(server.client.get(&any).await.names(), ["a"]);
    assert_eq!(events.short(1).await, ["BOOKMARK -"], "the watch is open");

    postgres.thaw().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while server.client.post(N, &flunder_b).await.status != 201 {
        assert!(tokio::time::Instant::now() < deadline, "writes come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    loop {
        let event = events.short(1).await.remove(0);
        if event == "ADDED b" {
            break;
        }
        assert_eq!(event, "BOOKMARK -");
    }
}

#[tokio::test]
async fn c083_before_the_database_was_ever_reached_requests_are_503() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let database = crate::server::database(&postgres).await;
    postgres.stop().unwrap();
    let server = Server::replica(std::sync::Arc::new(database), Setup::default()).await;
    for url in [
        path("a"),
        N.to_owned(),
        format!("{N}?resourceVersion=0"),
        format!("{N}?watch=true&timeoutSeconds=1"),
    ] {
        server.client.get(&url).await.refused(503, "ServiceUnavailable");
    }
    for url in MEMORY {
        assert_eq!(server.client.get(url).await.status, 200, "{url}");
    }

    postgres.restart().unwrap();

    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while server.client.get(N).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "reads begin");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.create("a", json!({})).await;
}
