//! What the library tells at `/metrics` of a server that registers nothing.

use serde_json::json;
use test_scrape::Scrape;

use crate::server::{BETA, Server};

#[tokio::test]
async fn storage_and_caches_are_told_without_code_of_the_server_s_own() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    // The cache has seen what is listed from it.
    server.client.get(BETA).await.expect(200);

    let answer = server.client.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let scrape = Scrape::parse(&answer.text);
    let flunders = [("group", "wardle.example.com"), ("resource", "flunders")];
    assert_eq!(scrape.sum("apiserver_resource_objects", &flunders), 1.0);
    assert_eq!(
        scrape.sum("apiserver_watch_cache_initializations_total", &flunders),
        1.0
    );
    assert!(scrape.has("apiserver_postgres_reachable"));
    assert!(scrape.sum("apiserver_postgres_writer_transactions_total", &[]) >= 1.0);
    assert!(scrape.sum("apiserver_request_total", &flunders) >= 1.0);
}
