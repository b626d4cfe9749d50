//! Health endpoints and version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{
    Attributes, AuthorizationError, Authorizer, Decision, LocallyAllowed,
};
use generic_apiserver::server::{HealthCheck, HealthChecks};
use http::StatusCode;

use crate::client::Protocol;
use crate::pki::issue;
use crate::server::{Setup, TestServer};

/// A server whose storage can be switched off.
async fn server_with_storage(up: &Arc<AtomicBool>) -> TestServer {
    let up = Arc::clone(up);
    let storage = HealthCheck::new("storage", move || match up.load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err("no connection to 10.0.0.1".to_owned()),
    });
    let health = HealthChecks::default()
        .ready(storage)
        .live(HealthCheck::new("loop", || Ok(())));
    TestServer::with(Setup {
        health,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn c080_health_endpoints_answer_ok_and_verbosely() {
    let server = server_with_storage(&Arc::new(AtomicBool::new(true))).await;
    let mut connection = server.client(Protocol::Http1).connect().await;
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = connection.get(path).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (StatusCode::OK, "ok"),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let verbose = connection.get("/livez?verbose").await;
    assert_eq!(verbose.text, "[+]ping ok\n[+]loop ok\nlivez check passed\n");
    let verbose = connection.get("/readyz?verbose=1").await;
    assert_eq!(
        verbose.text,
        "[+]ping ok\n[+]loop ok\n[+]storage ok\n[+]shutdown ok\nreadyz check passed\n"
    );
}

#[tokio::test]
async fn c080_failing_check_is_500_and_its_reason_withheld() {
    let server = server_with_storage(&Arc::new(AtomicBool::new(false))).await;
    let mut connection = server.client(Protocol::Http1).connect().await;
    let answer = connection.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        answer.text,
        "[+]ping ok\n[+]loop ok\n[-]storage failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"
    );
    let single = connection.get("/readyz/storage").await;
    assert_eq!(single.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(single.text, "internal server error: no connection to 10.0.0.1\n");
    assert_eq!(connection.get("/readyz/ping").await.text, "ok");
}

#[tokio::test]
async fn c080_checks_can_be_excluded() {
    let server = server_with_storage(&Arc::new(AtomicBool::new(false))).await;
    let mut connection = server.client(Protocol::Http1).connect().await;
    assert_eq!(connection.get("/readyz?exclude=storage").await.text, "ok");
    let answer = connection
        .get("/readyz?verbose&exclude=storage&exclude=nothing")
        .await;
    assert_eq!(
        answer.text,
        "[+]ping ok\n[+]loop ok\n[+]storage excluded: ok\n[+]shutdown ok\nwarn: some health checks cannot be \
         excluded: no matches for \"nothing\"\nreadyz check passed\n"
    );
}

#[tokio::test]
async fn c081_liveness_does_not_depend_on_storage() {
    let server = server_with_storage(&Arc::new(AtomicBool::new(false))).await;
    let mut connection = server.client(Protocol::Http1).connect().await;
    assert_eq!(connection.get("/livez").await.status, StatusCode::OK);
    assert_eq!(
        connection.get("/healthz").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

/// Allows nothing.
struct Nobody;

#[async_trait]
impl Authorizer for Nobody {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Deny(String::new()))
    }
}

#[tokio::test]
async fn c041_probes_are_open_and_their_single_checks_are_not() {
    let authorizer = Arc::new(LocallyAllowed::or(Nobody));
    let server = TestServer::with(Setup {
        authorizer,
        ..Setup::default()
    })
    .await;
    let mut connection = server.client(Protocol::Http1).connect().await;
    for path in ["/livez", "/readyz", "/healthz", "/livez?verbose"] {
        assert_eq!(connection.get(path).await.status, StatusCode::OK, "{path}");
    }
    for path in [
        "/livez/ping",
        "/version",
        "/apis",
        "/livez/",
        "/livezz",
        "/apis/g.io/v1/livez",
    ] {
        assert_eq!(connection.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn c041_open_paths_can_be_others_than_the_probes() {
    let paths = ["/livez", "version", "/openapi/*"].map(str::to_owned);
    let authorizer = Arc::new(LocallyAllowed::or(Nobody).open(&paths).expect("paths"));
    let server = TestServer::with(Setup {
        authorizer,
        ..Setup::default()
    })
    .await;
    let mut connection = server.client(Protocol::Http1).connect().await;
    for (path, open) in [
        ("/livez", true),
        ("/version", true),
        ("/openapi/v9", true),
        ("/readyz", false),
        ("/livez/ping", false),
        ("/openapi", false),
    ] {
        let refused = connection.get(path).await.status == StatusCode::FORBIDDEN;
        assert_eq!(refused, !open, "{path}");
    }
    let error = LocallyAllowed::or(Nobody).open(&["/a*b".to_owned()]);
    assert!(error.is_err_and(|error| error.contains("a*b")));
}

#[tokio::test]
async fn c108_version_is_reported() {
    let server = TestServer::start().await;
    let client = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    let answer = client.get("/version").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let version = answer.json();
    assert_eq!(version["gitVersion"], "v1.2.3");
    assert_eq!((&version["major"], &version["minor"]), (&"1".into(), &"2".into()));
    for key in [
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ] {
        assert!(version[key].is_string(), "{key}");
    }
}
