//! Deadlines, overload, panics, and the headers every answer carries.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use crate::client::{BOTH, Client, Protocol};
use crate::pki::issue;
use crate::server::{Setup, TestServer, eventually};

const FLUNDERS: &str = "/apis/g.io/v1/flunders";
const HANGS: &str = "/apis/g.io/v1/namespaces/n/flunders/hangs";

fn as_user(server: &TestServer, protocol: Protocol, user: &str, groups: &[&str]) -> Client {
    server
        .client(protocol)
        .with(&issue(&server.pki.client, user, groups))
}

#[tokio::test]
async fn c061_audit_id_is_taken_or_made_and_echoed_once() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let mut connection = as_user(&server, protocol, "jane", &[]).connect().await;
        let given = connection
            .request(Method::GET, FLUNDERS, &[("audit-id", "given-1")])
            .await;
        assert_eq!(given.headers.get_all("audit-id").iter().count(), 1);
        assert_eq!(given.header("audit-id"), "given-1");
        assert_eq!(given.json()["auditID"], "given-1", "handlers see it");

        let made = connection.get(FLUNDERS).await;
        assert!(made.header("audit-id").parse::<uuid::Uuid>().is_ok(), "{made:?}");
        assert_eq!(made.json()["auditID"], made.header("audit-id"));
        assert_ne!(
            connection.get(FLUNDERS).await.header("audit-id"),
            made.header("audit-id")
        );
    }
}

#[tokio::test]
async fn c061_refusals_and_panics_carry_the_audit_id_too() {
    let server = TestServer::start().await;
    let client = as_user(&server, Protocol::Http1, "jane", &[]);
    for path in [
        "/apis/g.io/v1/flunders/panics",
        "/apis/g.io/v1/flunders/forbidden",
        "/apis/g.io/v1/flunders?timeout=x",
    ] {
        let answer = client
            .request(Method::GET, path, &[("audit-id", "given-2")])
            .await;
        assert!(!answer.status.is_success());
        assert_eq!(answer.header("audit-id"), "given-2", "{path}");
        assert_eq!(answer.header("cache-control"), "no-cache, private", "{path}");
    }
}

#[tokio::test]
async fn c063_excess_requests_get_429_with_retry_after() {
    // Given room for one read and one mutation, and a read that takes the room.
    let setup = Setup {
        options: Box::new(|options| {
            options.max_requests_in_flight = 1;
            options.max_mutations_in_flight = 1;
        }),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let jane = as_user(&server, Protocol::Http2, "jane", &[]);
    let mut holder = jane.connect().await;
    let held = tokio::spawn(async move { holder.get(HANGS).await });
    eventually("the read is in work", async || {
        server.in_work.load(Ordering::SeqCst) == 1
    })
    .await;

    // Then further reads are refused, in the words clients retry on.
    let mut connection = jane.connect().await;
    let refused = connection.get(FLUNDERS).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("content-type"), "text/plain; charset=utf-8");

    // And mutations, watches, probes and superusers are not.
    assert_eq!(
        connection.request(Method::POST, FLUNDERS, &[]).await.status,
        StatusCode::OK
    );
    let watch = connection
        .open(Method::GET, "/apis/g.io/v1/flunders?watch=1", &[])
        .await;
    assert_eq!(watch.expect("an answer").status(), StatusCode::OK);
    assert_eq!(
        server.client(Protocol::Http1).get("/livez").await.status,
        StatusCode::OK
    );
    let master = as_user(&server, Protocol::Http2, "admin", &["system:masters"]);
    assert_eq!(master.get(FLUNDERS).await.status, StatusCode::OK);

    // When the client of the first leaves, then its place is free again.
    held.abort();
    eventually("the place is free", async || connection_get_ok(&jane).await).await;
}

async fn connection_get_ok(client: &Client) -> bool {
    client.get(FLUNDERS).await.status == StatusCode::OK
}

#[tokio::test]
async fn c063_unauthorized_requests_are_counted_before_permission_is_asked() {
    let setup = Setup {
        options: Box::new(|options| options.max_requests_in_flight = 1),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let mut holder = as_user(&server, Protocol::Http2, "jane", &[]).connect().await;
    let held = tokio::spawn(async move { holder.get(HANGS).await });
    eventually("the read is in work", async || {
        server.in_work.load(Ordering::SeqCst) == 1
    })
    .await;

    let jane = as_user(&server, Protocol::Http2, "jane", &[]);
    let forbidden = jane.get("/apis/g.io/v1/flunders/forbidden").await;
    assert_eq!(
        forbidden.status,
        StatusCode::TOO_MANY_REQUESTS,
        "before authorization"
    );
    let bad = [("authorization", "Bearer bad")];
    let unknown = server
        .client(Protocol::Http2)
        .request(Method::GET, FLUNDERS, &bad)
        .await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "after authentication");
    held.abort();
}

#[tokio::test]
async fn c065_timeout_of_the_request_is_504() {
    let server = TestServer::start().await;
    let jane = as_user(&server, Protocol::Http2, "jane", &[]);
    let mut connection = jane.connect().await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let started = Instant::now();
        let answer = connection
            .request(method.clone(), &format!("{HANGS}?timeout=150ms"), &[])
            .await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{method}");
        assert_eq!(answer.json()["reason"], "Timeout");
        assert_eq!(answer.json()["kind"], "Status");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    eventually("the handlers are dropped", async || {
        server.in_work.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn c065_no_request_takes_longer_than_the_server_allows() {
    let setup = Setup {
        options: Box::new(|options| options.request_timeout = Duration::from_millis(200)),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let mut connection = as_user(&server, Protocol::Http1, "jane", &[]).connect().await;
    for query in [
        "",
        "?timeout=0",
        "?timeout=0s",
        "?timeout=1h",
        "?timeout=-5s",
        "?timeout=",
    ] {
        let answer = connection.get(&format!("{HANGS}{query}")).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{query}");
    }
}

#[tokio::test]
async fn c065_invalid_timeout_is_400_even_before_authentication() {
    let server = TestServer::start().await;
    for headers in [&[][..], &[("authorization", "Bearer bad")]] {
        let path = "/apis/g.io/v1/flunders?timeout=soon";
        let answer = server
            .client(Protocol::Http1)
            .request(Method::GET, path, headers)
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let message = answer.json()["message"].to_string();
        assert!(
            message.contains("invalid timeout specified in the request URL"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn c065_watches_have_no_deadline() {
    let setup = Setup {
        options: Box::new(|options| options.request_timeout = Duration::from_millis(100)),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let mut connection = as_user(&server, Protocol::Http2, "jane", &[]).connect().await;
    let path = "/apis/g.io/v1/flunders?watch=1&timeout=nonsense";
    let mut body = connection
        .open(Method::GET, path, &[])
        .await
        .expect("an answer")
        .into_body();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(400) {
        let frame = http_body_util::BodyExt::frame(&mut body).await;
        frame.expect("goes on").expect("no error");
    }
}

#[tokio::test]
async fn c066_work_ends_when_the_client_leaves() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let mut connection = as_user(&server, protocol, "jane", &[]).connect().await;
        let request = tokio::spawn(async move { connection.get(HANGS).await });
        eventually("in work", async || server.in_work.load(Ordering::SeqCst) == 1).await;
        request.abort();
        eventually("dropped", async || server.in_work.load(Ordering::SeqCst) == 0).await;
    }
}

#[tokio::test]
async fn c068_answers_are_not_cached_unless_the_handler_says_so() {
    let server = TestServer::start().await;
    let mut connection = as_user(&server, Protocol::Http2, "jane", &[]).connect().await;
    for path in [
        FLUNDERS,
        "/livez",
        "/version",
        "/apis/g.io/v1/flunders?watch=1&x=1",
    ] {
        let answer = connection.open(Method::GET, path, &[]).await.expect("an answer");
        assert_eq!(answer.headers()["cache-control"], "no-cache, private", "{path}");
    }
    let own = connection.get("/apis/g.io/v1/flunders/cached").await;
    assert_eq!(own.header("cache-control"), "public");
}

#[tokio::test]
async fn c068_warnings_of_handlers_reach_the_client_once_each() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let answer = as_user(&server, protocol, "jane", &[])
            .get("/apis/g.io/v1/flunders/warns")
            .await;
        let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
        assert_eq!(warnings, ["299 - \"beware\"", "299 - \"say \\\"please\\\"\""]);
    }
}

#[tokio::test]
async fn panic_of_one_request_is_500_and_harms_no_other() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let mut connection = as_user(&server, protocol, "jane", &[]).connect().await;
        let answer = connection.get("/apis/g.io/v1/flunders/panics").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.json()["reason"], "InternalError");
        assert!(
            !answer.text.contains("asked to panic"),
            "the text stays in the log"
        );
        assert_eq!(
            connection.get(FLUNDERS).await.status,
            StatusCode::OK,
            "same connection"
        );
    }
}
