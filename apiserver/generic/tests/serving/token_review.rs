//! Tokens that kube-apiserver reviews, and how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use generic_apiserver::authentication::{TokenReviewAuthenticator, Union};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, BOTH, Protocol};
use crate::cluster::{Cluster, TOKEN_REVIEWS, review_token};
use crate::kube_apiserver::{Asked, KubeApiserver, Reply, failure};
use crate::pki::{Pki, issue};
use crate::server::{Setup, TestServer, published};

const FLUNDERS: &str = "/apis/g.io/v1/flunders";

async fn get_with(server: &TestServer, protocol: Protocol, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    server
        .client(protocol)
        .request(Method::GET, FLUNDERS, &headers)
        .await
}

async fn token_server(
    script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    audiences: &[&str],
) -> (KubeApiserver, TestServer) {
    token_server_with(script, audiences, |tokens| tokens).await
}

async fn token_server_with(
    script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    audiences: &[&str],
    set: impl FnOnce(TokenReviewAuthenticator) -> TokenReviewAuthenticator,
) -> (KubeApiserver, TestServer) {
    let api = KubeApiserver::start(script).await;
    let audiences = audiences.iter().map(|&audience| audience.to_owned()).collect();
    let tokens = TokenReviewAuthenticator::new(api.client.clone(), audiences).expect("randomness");
    let tokens = set(tokens);
    let authenticator = Arc::new(Union::new(vec![Arc::new(tokens)]));
    let setup = Setup {
        authenticator: Some(authenticator),
        ..Setup::default()
    };
    (api, TestServer::with(setup).await)
}

#[tokio::test]
async fn c026_token_is_reviewed_by_kube_apiserver_once_in_ten_seconds() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    for protocol in BOTH {
        for _ in 0..3 {
            let json = get_with(&server, protocol, "good-jane").await.json();
            assert_eq!(
                json["user"],
                json!({
                    "name": "jane", "uid": "u-1", "groups": ["team-a", "system:authenticated"], "extra": {"k": ["v"]},
                })
            );
            assert_eq!(json["frontProxy"], false);
        }
    }
    let asked = cluster.api.asked(TOKEN_REVIEWS);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body["spec"],
        json!({"token": "good-jane"}),
        "no audiences unless configured"
    );
}

#[tokio::test]
async fn c026_rejected_token_is_401_and_the_rejection_is_remembered() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    for protocol in BOTH {
        let answer = get_with(&server, protocol, "bad").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(!answer.text.contains("expired"), "the reason is for the log");
    }
    assert_eq!(cluster.api.asked(TOKEN_REVIEWS).len(), 1);
}

/// Every token is asked about again once its verdict is old, whichever it was.
#[tokio::test]
async fn c026_verdicts_good_and_bad_are_forgotten_after_their_time() {
    let calls = AtomicUsize::new(0);
    let script = move |asked: &Asked| {
        // One token is revoked, then another one issued.
        let good = [true, false, false, true][calls.fetch_add(1, Ordering::SeqCst)];
        let mut review = asked.body.clone();
        review["status"] = json!({"authenticated": good, "user": {"username": "jane"}});
        Reply::Json(201, review)
    };
    let lifetime = Duration::from_millis(50);
    let (api, server) = token_server_with(script, &[], |tokens| tokens.verdict_lifetime(lifetime)).await;
    let (good, bad) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
    for (token, before, after) in [("revoked", good, bad), ("issued", bad, good)] {
        for status in [before, after] {
            let answer = get_with(&server, Protocol::Http1, token).await;
            assert_eq!(answer.status, status, "{token}");
            tokio::time::sleep(2 * lifetime).await;
        }
    }
    assert_eq!(api.asked(TOKEN_REVIEWS).len(), 4);
}

#[tokio::test]
async fn c026_review_is_asked_again_when_its_connection_breaks() {
    let calls = AtomicUsize::new(0);
    let script = move |asked: &Asked| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::HangUp,
        _ => Reply::Json(201, review_token(&asked.body)),
    };
    let (api, server) = token_server(script, &[]).await;
    let answer = get_with(&server, Protocol::Http1, "good-jane").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(api.asked(TOKEN_REVIEWS).len(), 2);
}

#[tokio::test]
async fn c026_valid_token_beside_an_unknown_certificate_is_believed() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let client = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.stranger, "mallory", &[]));
    let headers = [("authorization", "Bearer good-jane"), ("x-remote-user", "admin")];
    let json = client.request(Method::GET, FLUNDERS, &headers).await.json();
    assert_eq!(json["user"]["name"], "jane");
}

#[tokio::test]
async fn c026_token_of_another_audience_is_401() {
    for (answered, status) in [
        (json!(["hub"]), StatusCode::OK),
        (json!(["other", "hub"]), StatusCode::OK),
        (json!(["other"]), StatusCode::UNAUTHORIZED),
        (json!([]), StatusCode::UNAUTHORIZED),
        (Value::Null, StatusCode::UNAUTHORIZED),
    ] {
        let script = {
            let answered = answered.clone();
            move |asked: &Asked| {
                assert_eq!(asked.body["spec"]["audiences"], json!(["hub"]));
                let mut review = asked.body.clone();
                review["status"] =
                    json!({"authenticated": true, "audiences": answered, "user": {"username": "jane"}});
                Reply::Json(201, review)
            }
        };
        let (_api, server) = token_server(script, &["hub"]).await;
        assert_eq!(
            get_with(&server, Protocol::Http1, "t").await.status,
            status,
            "{answered}"
        );
    }
}

#[tokio::test]
async fn c026_review_is_retried_after_500_and_concurrent_requests_share_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let script = {
        let calls = Arc::clone(&calls);
        move |asked: &Asked| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => failure(500, "InternalError", "try again"),
            _ => Reply::Json(201, review_token(&asked.body)),
        }
    };
    let (_api, server) = token_server(script, &[]).await;
    let answers = (0..10).map(|_| get_with(&server, Protocol::Http2, "good-jane"));
    for answer in futures::future::join_all(answers).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(
        calls.load(Ordering::SeqCst),
        2,
        "one failure, one success, for ten requests"
    );
}

#[tokio::test]
async fn c026_token_without_a_reviewer_is_401_and_not_remembered() {
    let calls = Arc::new(AtomicUsize::new(0));
    let script = {
        let calls = Arc::clone(&calls);
        move |asked: &Asked| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => failure(403, "Forbidden", "no system:auth-delegator"),
            _ => Reply::Json(201, review_token(&asked.body)),
        }
    };
    let (_api, server) = token_server(script, &[]).await;
    assert_eq!(
        get_with(&server, Protocol::Http1, "good-jane").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        get_with(&server, Protocol::Http1, "good-jane").await.status,
        StatusCode::OK
    );
}
