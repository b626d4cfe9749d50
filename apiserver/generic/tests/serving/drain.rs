//! The way down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use generic_apiserver::server::{HealthCheck, HealthChecks};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::net::TcpStream;

use crate::client::{BOTH, Client, Protocol};
use crate::pki::issue;
use crate::server::{Setup, TestServer, eventually};

const WATCH: &str = "/apis/g.io/v1/flunders?watch=1";

fn jane(server: &TestServer, protocol: Protocol) -> Client {
    server
        .client(protocol)
        .with(&issue(&server.pki.client, "jane", &[]))
}

#[tokio::test]
async fn c082_open_watch_ends_cleanly_after_a_whole_frame() {
    for protocol in BOTH {
        // Given an open watch.
        let server = TestServer::start().await;
        let mut connection = jane(&server, protocol).connect().await;
        let mut body = connection
            .open(Method::GET, WATCH, &[])
            .await
            .expect("a watch")
            .into_body();
        body.frame().await.expect("goes on").expect("no error");

        // When the server is told to stop.
        server.stop.cancel();

        // Then the stream ends without an error, its last line whole, and the connection is closed.
        let rest = body.collect().await.expect("a clean end").to_bytes();
        assert!(
            rest.is_empty() || rest.ends_with(b"}\n"),
            "{protocol:?}: {rest:?}"
        );
        connection.closed().await;
        server.stopped().await;
    }
}

#[tokio::test]
async fn c082_requests_in_work_are_finished_and_no_new_connection_is_taken() {
    for protocol in BOTH {
        let server = TestServer::start().await;
        let mut connection = jane(&server, protocol).connect().await;
        let slow = tokio::spawn(async move { connection.get("/apis/g.io/v1/flunders/slow").await });
        eventually("in work", async || server.in_work.load(Ordering::SeqCst) == 1).await;

        server.stop.cancel();

        let answer = slow.await.expect("no panic");
        assert_eq!(answer.status, StatusCode::OK, "{protocol:?}");
        assert_eq!(answer.json()["name"], "slow");
        let address = server.address;
        server.stopped().await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    }
}

#[tokio::test]
async fn c082_work_beyond_the_drain_timeout_is_cut_off() {
    let setup = Setup {
        options: Box::new(|options| options.drain_timeout = Duration::from_millis(200)),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let mut connection = jane(&server, Protocol::Http2).connect().await;
    let hung = tokio::spawn(async move {
        connection
            .open(Method::GET, "/apis/g.io/v1/flunders/hangs", &[])
            .await
            .is_err()
    });
    eventually("in work", async || server.in_work.load(Ordering::SeqCst) == 1).await;

    let started = Instant::now();
    server.stop.cancel();
    let in_work = Arc::clone(&server.in_work);
    server.stopped().await;
    eventually("the handler is dropped", async || {
        in_work.load(Ordering::SeqCst) == 0
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(
        hung.await.expect("no panic"),
        "the client sees an error and no answer"
    );
}

#[tokio::test]
async fn c082_readiness_fails_at_once_while_requests_are_still_served() {
    let setup = Setup {
        options: Box::new(|options| options.shutdown_delay = Duration::from_millis(600)),
        health: HealthChecks::default().ready(HealthCheck::new("storage", || Ok(()))),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let mut connection = jane(&server, Protocol::Http1).connect().await;
    assert_eq!(connection.get("/readyz").await.status, StatusCode::OK);

    server.stop.cancel();

    let unready = connection.get("/readyz").await;
    assert_eq!(unready.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(unready.text.contains("[-]shutdown failed"), "{unready:?}");
    assert_eq!(connection.get("/livez").await.status, StatusCode::OK);
    let fresh = jane(&server, Protocol::Http2).get("/apis/g.io/v1/flunders").await;
    assert_eq!(
        fresh.status,
        StatusCode::OK,
        "new connections are served until the delay is over"
    );
    server.stopped().await;
}

#[tokio::test]
async fn c082_idle_connections_do_not_hold_up_the_drain() {
    let server = TestServer::start().await;
    let mut open = Vec::new();
    for protocol in BOTH {
        let mut connection = jane(&server, protocol).connect().await;
        assert_eq!(connection.get("/livez").await.status, StatusCode::OK);
        open.push(connection);
    }
    let silent = TcpStream::connect(server.address).await.expect("connects");
    let started = Instant::now();
    server.stop.cancel();
    for connection in open {
        connection.closed().await;
    }
    server.stopped().await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    drop(silent);
}
