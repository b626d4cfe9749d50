//! `/metrics`: who may read it, what requests add to it, and that it stays small.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use brokkr_certs::{ClientRequest, Validity};
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{
    Attributes, AuthorizationError, Authorizer, Decision, LocallyAllowed,
};
use http::{Method, StatusCode};
use test_scrape::Scrape;
use tokio::io::AsyncWriteExt;

use crate::client::{BOTH, Client, Protocol};
use crate::cluster::Cluster;
use crate::pki::{Pki, issue};
use crate::server::{Setup, TestServer, eventually, published};

const ONE: &str = "/apis/g.io/v1/namespaces/n/flunders/a";

/// Lets Prometheus read the metrics, and everyone but strangers use the API.
struct Rules;

#[async_trait]
impl Authorizer for Rules {
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError> {
        let allowed = match attributes {
            Attributes::NonResource { path, verb } => {
                path == "/metrics" && verb == "get" && user.name == "prometheus"
            }
            Attributes::Resource { name, .. } => !user.is_anonymous() && name != "forbidden",
        };
        Ok(if allowed {
            Decision::Allow
        } else {
            Decision::Deny("no rule matched".to_owned())
        })
    }
}

async fn server() -> TestServer {
    TestServer::with(Setup {
        authorizer: Arc::new(LocallyAllowed::or(Rules)),
        ..Setup::default()
    })
    .await
}

fn client(server: &TestServer, user: &str) -> Client {
    server
        .client(Protocol::Http1)
        .with(&issue(&server.pki.client, user, &[]))
}

async fn scrape(server: &TestServer) -> Scrape {
    Scrape::parse(&client(server, "prometheus").get("/metrics").await.text)
}

/// Waits until a scrape is as expected: what a request adds is added when its last byte was sent.
async fn scraped(server: &TestServer, what: &str, expected: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, async || expected(&scrape(server).await)).await;
    scrape(server).await
}

#[tokio::test]
async fn c084_metrics_are_for_those_who_may_get_the_path() {
    let server = server().await;
    for protocol in BOTH {
        let as_user = |user: &str| {
            server
                .client(protocol)
                .with(&issue(&server.pki.client, user, &[]))
        };
        let anonymous = server.client(protocol).get("/metrics").await;
        assert_eq!(anonymous.status, StatusCode::FORBIDDEN);
        let unbelieved = [("authorization", "Bearer x")];
        let unbelieved = server
            .client(protocol)
            .request(Method::GET, "/metrics", &unbelieved)
            .await;
        assert_eq!(unbelieved.status, StatusCode::UNAUTHORIZED);
        let jane = as_user("jane").get("/metrics").await;
        assert_eq!(jane.status, StatusCode::FORBIDDEN);
        let message = jane.json()["message"].as_str().expect("a message").to_owned();
        assert!(message.contains("cannot get path \"/metrics\""), "{message}");

        let scraper = as_user("prometheus");
        let answer = scraper.get("/metrics").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert!(Scrape::parse(&answer.text).has("apiserver_tls_handshake_errors_total"));
        for path in ["/metrics/", "/metrics/x", "/metrics?x=y"] {
            let expected = match path {
                "/metrics?x=y" => StatusCode::OK,
                _ => StatusCode::FORBIDDEN,
            };
            assert_eq!(scraper.get(path).await.status, expected, "{path}");
        }
        let posted = scraper.request(Method::POST, "/metrics", &[]).await;
        assert_eq!(posted.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn c084_requests_are_counted_by_verb_resource_and_code() {
    let server = server().await;
    let jane = client(&server, "jane");
    jane.get(ONE).await;
    jane.get(ONE).await;
    jane.get("/apis/g.io/v1/flunders").await;
    jane.request(
        Method::POST,
        "/apis/g.io/v1/namespaces/n/flunders?dryRun=All",
        &[],
    )
    .await;
    jane.get("/apis/g.io/v1/flunders/forbidden").await;
    server.client(Protocol::Http1).get(ONE).await;

    let one = [
        ("group", "g.io"),
        ("version", "v1"),
        ("resource", "flunders"),
        ("component", "apiserver"),
    ];
    let count =
        |scrape: &Scrape, name: &str, more: &[(&str, &str)]| scrape.sum(name, &[&one[..], more].concat());
    let scrape = scraped(&server, "six requests", |scrape| {
        count(scrape, "apiserver_request_total", &[]) == 6.0
    })
    .await;
    for (labels, expected) in [
        ([("verb", "GET"), ("scope", "resource"), ("code", "200")], 2.0),
        ([("verb", "GET"), ("scope", "resource"), ("code", "403")], 2.0),
        ([("verb", "LIST"), ("scope", "cluster"), ("code", "200")], 1.0),
        ([("verb", "POST"), ("dry_run", "All"), ("code", "200")], 1.0),
    ] {
        assert_eq!(
            count(&scrape, "apiserver_request_total", &labels),
            expected,
            "{labels:?}"
        );
    }
    let durations = "apiserver_request_duration_seconds_count";
    assert_eq!(count(&scrape, durations, &[]), 6.0);
    assert_eq!(count(&scrape, durations, &[("dry_run", "All")]), 1.0);
    assert_eq!(
        count(&scrape, "apiserver_request_sli_duration_seconds_count", &[]),
        5.0,
        "dry runs are no service level"
    );
    assert_eq!(count(&scrape, "apiserver_response_sizes_count", &[]), 5.0);
    assert!(count(&scrape, "apiserver_response_sizes_sum", &[("verb", "LIST")]) > 100.0);
}

#[tokio::test]
async fn c084_watch_is_long_running_until_it_ends() {
    let server = server().await;
    let watches = [
        ("verb", "WATCH"),
        ("resource", "flunders"),
        ("scope", "namespace"),
    ];
    let open = |scrape: &Scrape| scrape.sum("apiserver_longrunning_requests", &watches);
    let mut connection = client(&server, "jane").connect().await;
    let path = "/apis/g.io/v1/namespaces/n/flunders?watch=1";
    let watch = connection.open(Method::GET, path, &[]).await.expect("a watch");
    let sent = |scrape: &Scrape| scrape.sum("apiserver_watch_events_total", &[("resource", "flunders")]);
    let scrape = scraped(&server, "a watch with events", |scrape| {
        open(scrape) == 1.0 && sent(scrape) >= 3.0
    })
    .await;
    assert!(scrape.sum("apiserver_watch_events_sizes_count", &[]) >= 3.0);
    assert_eq!(
        scrape.sum("apiserver_request_total", &watches),
        0.0,
        "a watch is counted when it is over"
    );

    drop((watch, connection));
    let scrape = scraped(&server, "the watch has ended", |scrape| open(scrape) == 0.0).await;
    assert_eq!(scrape.sum("apiserver_request_total", &watches), 1.0);

    let refused = client(&server, "jane")
        .get("/apis/g.io/v1/flunders/forbidden?watch=1")
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(open(&scrape), 0.0);
}

#[tokio::test]
async fn c084_requests_in_work_and_requests_given_up_are_counted() {
    let server = server().await;
    let jane = client(&server, "jane");
    let hung = tokio::spawn(async move { jane.get("/apis/g.io/v1/flunders/hangs").await });
    let in_work = |scrape: &Scrape| {
        scrape.sum(
            "apiserver_current_inflight_requests",
            &[("request_kind", "readOnly")],
        )
    };
    // The scrape itself is one.
    scraped(&server, "two in work", |scrape| in_work(scrape) == 2.0).await;
    hung.abort();
    let scrape = scraped(&server, "one is given up", |scrape| in_work(scrape) == 1.0).await;
    assert_eq!(
        scrape.sum("apiserver_request_aborts_total", &[("resource", "flunders")]),
        1.0
    );
    let given_up = &scrape.families["apiserver_request_aborts_total"].samples;
    assert!(
        given_up
            .iter()
            .all(|sample| !sample.labels.contains_key("component")),
        "upstream tells none: {given_up:?}"
    );
    assert_eq!(
        scrape.sum(
            "apiserver_current_inflight_requests",
            &[("request_kind", "mutating")]
        ),
        0.0
    );
}

#[tokio::test]
async fn c084_identity_and_permission_are_counted_by_result() {
    let server = server().await;
    client(&server, "jane").get(ONE).await;
    let unbelieved = [("authorization", "Bearer x")];
    server
        .client(Protocol::Http1)
        .request(Method::GET, ONE, &unbelieved)
        .await;
    client(&server, "jane").get("/version").await;
    let scrape = scrape(&server).await;
    for (name, result, expected) in [
        ("authentication_attempts", "success", 3.0),
        ("authentication_attempts", "error", 1.0),
        ("authentication_duration_seconds_count", "error", 1.0),
        ("authorization_attempts_total", "allowed", 2.0),
        ("authorization_attempts_total", "denied", 1.0),
        ("authorization_duration_seconds_count", "allowed", 2.0),
    ] {
        assert_eq!(
            scrape.sum(name, &[("result", result)]),
            expected,
            "{name} {result}"
        );
    }
}

#[tokio::test]
async fn c084_reviews_and_the_time_that_is_left_of_client_certificates_are_counted() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let lasting = |validity| {
        let request = ClientRequest {
            validity,
            ..ClientRequest::new("jane")
        };
        let certificate = server.pki.client.issue_client(&request);
        server
            .client(Protocol::Http1)
            .with(&certificate.expect("a client certificate"))
    };
    let now = SystemTime::now();
    let jane = lasting(Validity::between(now - day, now + 3 * day));
    let over = lasting(Validity::between(now - 3 * day, now - day));
    let by_token = [("authorization", "Bearer good-jane")];
    let by_proxy = [("x-remote-user", "jane")];
    let client = || server.client(Protocol::Http1);

    assert_eq!(jane.get(ONE).await.status, StatusCode::OK);
    assert_eq!(over.get(ONE).await.status, StatusCode::UNAUTHORIZED);
    client().request(Method::GET, ONE, &by_token).await;
    let proxy = client().with(&server.pki.aggregator());
    proxy.request(Method::GET, ONE, &by_proxy).await;
    let scrape = Scrape::parse(&jane.get("/metrics").await.text);

    let created = [("code", "201")];
    for (name, labels, expected) in [
        ("apiserver_delegated_authn_request_total", &created[..], 1.0),
        (
            "apiserver_delegated_authn_request_duration_seconds_count",
            &created,
            1.0,
        ),
        // One about jane by certificate, one about her by token, who has other groups, one by the proxy, and
        // one about the metrics.
        ("apiserver_delegated_authz_request_total", &created, 4.0),
        (
            "apiserver_delegated_authz_request_duration_seconds_count",
            &created,
            4.0,
        ),
        ("apiserver_client_certificate_expiration_seconds_count", &[], 3.0),
        (
            "apiserver_client_certificate_expiration_seconds_bucket",
            &[("le", "0")],
            1.0,
        ),
        (
            "apiserver_client_certificate_expiration_seconds_bucket",
            &[("le", "172800")],
            1.0,
        ),
        (
            "apiserver_client_certificate_expiration_seconds_bucket",
            &[("le", "345600")],
            3.0,
        ),
    ] {
        assert_eq!(
            scrape.sum(name, labels),
            expected,
            "{name} {labels:?} {scrape:#?}"
        );
    }
}

#[tokio::test]
async fn c084_failed_handshake_is_counted() {
    let server = server().await;
    let mut stranger = tokio::net::TcpStream::connect(server.address)
        .await
        .expect("connects");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sends");
    scraped(&server, "a handshake failed", |scrape| {
        scrape.sum("apiserver_tls_handshake_errors_total", &[]) == 1.0
    })
    .await;
}

#[tokio::test]
async fn c084_what_clients_make_up_adds_no_series() {
    let server = server().await;
    let mut connection = client(&server, "jane").connect().await;
    let paths = |made_up: usize| {
        [
            format!("/apis/g.io/v1/namespaces/n{made_up}/flunders/a{made_up}?dryRun=x{made_up}"),
            format!("/apis/g{made_up}.io/v1/flunders/a"),
            format!("/apis/g.io/v1/made{made_up}/a/b{made_up}"),
            format!("/made/up/{made_up}"),
        ]
    };
    for path in paths(0) {
        connection.get(&path).await;
    }
    let before = scraped(&server, "counted", |scrape| {
        scrape.sum("apiserver_request_total", &[]) >= 5.0
    })
    .await
    .len();
    for made_up in 1..100 {
        for path in paths(made_up) {
            connection.get(&path).await;
        }
    }
    let after = scraped(&server, "counted", |scrape| {
        scrape.sum("apiserver_request_total", &[("resource", "unknown")]) >= 200.0
    })
    .await;
    assert_eq!(after.len(), before, "{after:?}");
}
