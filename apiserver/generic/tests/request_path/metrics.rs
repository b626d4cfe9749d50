//! Metrics of the whole path: requests, watch cache, storage.

use std::time::Duration;

use serde_json::json;
use test_postgres::{Durability, TestPostgres};
use test_scrape::Scrape;

use crate::server::{N, Server, Setup, version};

const FLUNDERS: [(&str, &str); 2] = [("group", "test.example.com"), ("resource", "flunders")];

async fn scrape(server: &Server) -> Scrape {
    let answer = server.client.get("/metrics").await;
    assert_eq!(answer.status, 200);
    Scrape::parse(&answer.text)
}

async fn scraped(server: &Server, expected: impl Fn(&Scrape) -> bool) -> Scrape {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let scrape = scrape(server).await;
        if expected(&scrape) {
            return scrape;
        }
        assert!(tokio::time::Instant::now() < deadline, "{scrape:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn c084_objects_watchers_and_events_are_told_by_resource() {
    let server = Server::start().await;
    let list = server.client.get(N).await.expect(200);
    let from = format!("{N}?watch=1&resourceVersion={}&timeoutSeconds=20", version(&list));
    let mut events = server.client.watch(&from).await;
    for name in ["a", "b", "c"] {
        server.create(name, json!({})).await;
    }
    assert_eq!(events.short(3).await, ["ADDED a", "ADDED b", "ADDED c"]);

    let scrape = scraped(&server, |scrape| {
        scrape.sum("apiserver_resource_objects", &FLUNDERS) == 3.0
            && scrape.sum("apiserver_watch_events_total", &FLUNDERS) == 3.0
    })
    .await;
    for (name, expected) in [
        ("apiserver_watch_cache_events_dispatched_total", 3.0),
        ("apiserver_watch_cache_events", 3.0),
        ("apiserver_watch_cache_watchers", 1.0),
        ("apiserver_watch_cache_initializations_total", 1.0),
        ("apiserver_terminated_watchers_total", 0.0),
        ("watch_cache_capacity", 102_400.0),
        ("apiserver_longrunning_requests", 1.0),
    ] {
        assert_eq!(scrape.sum(name, &FLUNDERS), expected, "{name}");
    }
    assert!(scrape.sum("apiserver_watch_cache_event_bytes", &FLUNDERS) > 300.0);
    let posts = [("verb", "POST"), ("resource", "flunders"), ("code", "201")];
    assert_eq!(scrape.sum("apiserver_request_total", &posts), 3.0);

    drop(events);
    scraped(&server, |scrape| {
        scrape.sum("apiserver_longrunning_requests", &FLUNDERS) == 0.0
            && scrape.sum("apiserver_watch_cache_watchers", &FLUNDERS) == 0.0
    })
    .await;
}

#[tokio::test]
async fn c084_metrics_answer_while_the_database_is_away() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let server = Server::on(&postgres, Setup::default()).await;
    server.create("a", json!({})).await;
    scraped(&server, |scrape| {
        scrape.sum("apiserver_resource_objects", &FLUNDERS) == 1.0
            && scrape.sum("apiserver_postgres_reachable", &[]) == 1.0
    })
    .await;
    postgres.stop().unwrap();
    let scrape = scraped(&server, |scrape| {
        scrape.sum("apiserver_postgres_reachable", &[]) == 0.0
            && scrape.sum("apiserver_postgres_tailer_lag_seconds", &[]) > 1.0
    })
    .await;
    assert_eq!(
        scrape.sum("apiserver_resource_objects", &FLUNDERS),
        1.0,
        "what is cached is still told"
    );
    postgres.restart().unwrap();
    scraped(&server, |scrape| {
        scrape.sum("apiserver_postgres_reachable", &[]) == 1.0
            && scrape.sum("apiserver_postgres_tailer_lag_seconds", &[]) < 1.0
    })
    .await;
}
