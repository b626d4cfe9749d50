//! The database goes away and comes back.

use std::time::Duration;

use serde_json::json;
use test_postgres::{Durability, TestPostgres};

use crate::server::{N, Server, Setup, flunder, path, version};

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
    postgres.stop().unwrap();

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
}
