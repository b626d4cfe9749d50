//! What is asked of kube-apiserver, what becomes of its answers, and how often it is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authentication::config_map::{AuthenticationConfig, ConfigMapError};
use generic_apiserver::authorization::subject_access_review::DecisionLifetimes;
use generic_apiserver::authorization::{
    Attributes, Authorizer, Decision, LocallyAllowed, SubjectAccessReviewAuthorizer,
};
use generic_apiserver::server::{DelegatedAuth, DelegatedAuthError, DelegatedAuthOptions};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::{BOTH, Protocol};
use crate::kube_apiserver::{Asked, KubeApiserver, Reply, failure};
use crate::pki::{Pki, authority, issue, pem};
use crate::server::{Setup, TestServer, eventually, published};

const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const CONFIG_MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const FLUNDERS: &str = "/apis/g.io/v1/flunders";

fn config_map(data: &BTreeMap<String, String>, version: &str) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "data": data,
        "metadata": {
            "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": version,
        },
    })
}

/// Knows tokens `good-*` and one user's permission to get; `changes` is the watch of the ConfigMap.
struct Cluster {
    api: KubeApiserver,
    changes: mpsc::Sender<Value>,
}

impl Cluster {
    async fn start(data: BTreeMap<String, String>) -> Self {
        let (changes, watch) = mpsc::channel(8);
        let watch = Mutex::new(Some(watch));
        let api = KubeApiserver::start(move |asked| match asked.path.as_str() {
            CONFIG_MAP => Reply::Json(200, config_map(&data, "1")),
            CONFIG_MAPS if asked.query.contains("watch=true") => watch
                .lock()
                .expect("not poisoned")
                .take()
                .map_or(Reply::Silence, Reply::Watch),
            CONFIG_MAPS => Reply::Json(
                200,
                json!({
                    "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                    "items": [config_map(&data, "1")],
                }),
            ),
            TOKEN_REVIEWS => Reply::Json(201, review_token(&asked.body)),
            ACCESS_REVIEWS => Reply::Json(201, review_access(&asked.body)),
            other => panic!("unexpected call of {other}"),
        })
        .await;
        Self { api, changes }
    }

    /// A server with the production set of authenticators and authorizer on this cluster.
    async fn serve(&self, pki: Pki) -> TestServer {
        let options = DelegatedAuthOptions::default();
        let auth = DelegatedAuth::connect(self.api.client.clone(), options, CancellationToken::new())
            .await
            .expect("connects");
        let setup = Setup {
            authenticator: Some(Arc::clone(&auth.authenticator)),
            authorizer: Arc::clone(&auth.authorizer),
            ..Setup::default()
        };
        TestServer::on(pki, setup).await
    }

    async fn publish(&self, data: &BTreeMap<String, String>, version: &str) {
        let event = json!({"type": "MODIFIED", "object": config_map(data, version)});
        self.changes.send(event).await.expect("the server watches");
    }
}

fn review_token(review: &Value) -> Value {
    let token = review["spec"]["token"].as_str().expect("a token");
    let mut review = review.clone();
    review["status"] = match token.strip_prefix("good-") {
        Some(name) => json!({
            "authenticated": true,
            "user": {"username": name, "uid": "u-1", "groups": ["team-a"], "extra": {"k": ["v"]}},
        }),
        None => json!({"authenticated": false, "error": "token expired"}),
    };
    review
}

fn review_access(review: &Value) -> Value {
    let spec = &review["spec"];
    let allowed = spec["user"] == "jane" && spec["resourceAttributes"]["verb"] != "delete";
    let mut review = review.clone();
    review["status"] = json!({"allowed": allowed, "reason": if allowed { "" } else { "RBAC says no" }});
    review
}

fn bearer(token: &str) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer {token}"))]
}

async fn get_with(server: &TestServer, protocol: Protocol, token: &str) -> crate::client::Answer {
    let headers = bearer(token);
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    server
        .client(protocol)
        .request(Method::GET, FLUNDERS, &headers)
        .await
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

async fn token_server(
    script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    audiences: &[&str],
) -> (KubeApiserver, TestServer) {
    use generic_apiserver::authentication::{TokenReviewAuthenticator, Union};
    let api = KubeApiserver::start(script).await;
    let audiences = audiences.iter().map(|&audience| audience.to_owned()).collect();
    let tokens = TokenReviewAuthenticator::new(api.client.clone(), audiences).expect("randomness");
    let authenticator = Arc::new(Union::new(vec![Arc::new(tokens)]));
    let setup = Setup {
        authenticator: Some(authenticator),
        ..Setup::default()
    };
    (api, TestServer::with(setup).await)
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

#[tokio::test]
async fn c020_configuration_is_read_from_the_config_map() {
    let pki = Pki::create();
    let data = published(&pki);
    let cluster = Cluster::start(data.clone()).await;
    let server = cluster.serve(pki).await;

    let headers = [("x-remote-user", "jane"), ("x-remote-uid", "7")];
    let client = server.client(Protocol::Http2).with(&server.pki.aggregator());
    let json = client.request(Method::GET, FLUNDERS, &headers).await.json();
    assert_eq!(
        (&json["user"]["name"], &json["user"]["uid"]),
        (&"jane".into(), &"7".into())
    );
    let client = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    assert_eq!(client.get(FLUNDERS).await.json()["user"]["name"], "jane");
}

#[tokio::test]
async fn c020_missing_keys_are_empty_lists() {
    // No key at all: nobody is believed.
    let config = AuthenticationConfig::from_config_map(&BTreeMap::new()).expect("empty is fine");
    assert!(config.client_roots.is_none() && config.request_header.is_none());

    // No uid headers, as before Kubernetes 1.33: the UID header is not believed.
    let pki = Pki::create();
    let mut data = published(&pki);
    data.remove("requestheader-uid-headers");
    data.insert("requestheader-allowed-names".to_owned(), String::new());
    let config = AuthenticationConfig::from_config_map(&data)
        .expect("good")
        .request_header
        .expect("there");
    assert!(config.uid_headers.is_empty() && config.allowed_names.is_empty());
    assert_eq!(config.extra_header_prefixes, ["x-remote-extra-"]);
}

#[tokio::test]
async fn c020_bundles_may_hold_several_certificates() {
    let pki = Pki::create();
    let mut data = published(&pki);
    let bundle = format!("{}\n{}", pem(&pki.stranger), pem(&pki.front_proxy));
    data.insert("requestheader-client-ca-file".to_owned(), bundle);
    let cluster = Cluster::start(data).await;
    let server = cluster.serve(pki).await;
    for ca in [&server.pki.stranger, &server.pki.front_proxy] {
        let client = server
            .client(Protocol::Http1)
            .with(&issue(ca, "front-proxy-client", &[]));
        let answer = client
            .request(Method::GET, FLUNDERS, &[("x-remote-user", "jane")])
            .await;
        assert_eq!(answer.json()["user"]["name"], "jane");
    }
}

#[tokio::test]
async fn c020_malformed_values_are_named_by_their_key() {
    let pki = Pki::create();
    for (key, value) in [
        (
            "client-ca-file",
            "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----",
        ),
        ("client-ca-file", "no PEM at all"),
        ("requestheader-client-ca-file", "-----BEGIN CERTIFICATE-----"),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-username-headers", "[1]"),
        ("requestheader-group-headers", r#"["no header"]"#),
    ] {
        let mut data = published(&pki);
        data.insert(key.to_owned(), value.to_owned());
        let error = AuthenticationConfig::from_config_map(&data)
            .expect_err(key)
            .to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[tokio::test]
async fn c021_missing_role_binding_is_named_at_start() {
    let api = KubeApiserver::start(|asked| match asked.path.as_str() {
        CONFIG_MAP => failure(
            403,
            "Forbidden",
            "User \"system:serviceaccount:brokkr:api\" cannot get",
        ),
        other => panic!("unexpected call of {other}"),
    })
    .await;
    let options = DelegatedAuthOptions::default();
    let error = DelegatedAuth::connect(api.client.clone(), options, CancellationToken::new())
        .await
        .expect_err("not allowed");
    assert!(
        matches!(error, DelegatedAuthError::ConfigMap(ConfigMapError::Forbidden(_))),
        "{error:?}"
    );
    let text = error.to_string();
    for part in [
        "RoleBinding",
        "kube-system",
        "extension-apiserver-authentication-reader",
        "system:serviceaccount",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn c021_config_map_is_followed_by_its_one_name() {
    // Given a server that follows the ConfigMap, and a client of a CA that is not in it yet.
    let pki = Pki::create();
    let mut data = published(&pki);
    let cluster = Cluster::start(data.clone()).await;
    let server = cluster.serve(pki).await;
    let next = authority("client-ca-2");
    let jane = server.client(Protocol::Http2).with(&issue(&next, "jane", &[]));
    assert_eq!(jane.get(FLUNDERS).await.status, StatusCode::UNAUTHORIZED);

    // When the CA is published, then the client is believed.
    data.insert(
        "client-ca-file".to_owned(),
        format!("{}{}", pem(&server.pki.client), pem(&next)),
    );
    cluster.publish(&data, "2").await;
    eventually("believed", async || {
        jane.get(FLUNDERS).await.status == StatusCode::OK
    })
    .await;

    // When a malformed value is published, then the last good one stays; the next good one counts again.
    let mut broken = data.clone();
    broken.insert("client-ca-file".to_owned(), "broken".to_owned());
    cluster.publish(&broken, "3").await;
    data.insert("client-ca-file".to_owned(), pem(&next));
    let old = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    assert_eq!(old.get(FLUNDERS).await.status, StatusCode::OK);
    cluster.publish(&data, "4").await;
    eventually("dropped", async || {
        old.get(FLUNDERS).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    assert_eq!(jane.get(FLUNDERS).await.status, StatusCode::OK);

    // RBAC grants this one name only, to requests that select it.
    let lists = cluster.api.asked(CONFIG_MAPS);
    assert!(!lists.is_empty());
    for list in lists {
        assert_eq!(list.method, Method::GET);
        let selector = "fieldSelector=metadata.name%3Dextension-apiserver-authentication";
        assert!(list.query.contains(selector), "{}", list.query);
    }
}

#[tokio::test]
async fn c012_one_ca_for_clients_and_front_proxy_needs_allowed_names() {
    // Given a cluster in which every client certificate chains to the request-header CA.
    let pki = Pki::create();
    let mut data = published(&pki);
    data.insert("requestheader-client-ca-file".to_owned(), pem(&pki.client));
    AuthenticationConfig::from_config_map(&data).expect("fine while names are restricted");

    // When no name is required, then the server refuses to start.
    data.insert("requestheader-allowed-names".to_owned(), "[]".to_owned());
    let cluster = Cluster::start(data.clone()).await;
    let options = DelegatedAuthOptions::default();
    let connected = DelegatedAuth::connect(cluster.api.client.clone(), options, CancellationToken::new());
    let error = connected.await.expect_err("refused").to_string();
    assert!(error.contains("requestheader-allowed-names"), "{error}");

    // And one that already runs stops believing headers.
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let aggregator = server.client(Protocol::Http2).with(&server.pki.aggregator());
    let claim = [("x-remote-user", "jane")];
    assert_eq!(
        aggregator.request(Method::GET, FLUNDERS, &claim).await.status,
        StatusCode::OK
    );
    cluster.publish(&data, "2").await;
    let refused =
        async || aggregator.request(Method::GET, FLUNDERS, &claim).await.status == StatusCode::UNAUTHORIZED;
    eventually("refused", refused).await;
    let jane = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    let json = jane
        .request(Method::GET, FLUNDERS, &[("x-remote-user", "admin")])
        .await
        .json();
    assert_eq!(
        json["user"]["name"], "jane",
        "clients are still believed for what they are"
    );
}

#[tokio::test]
async fn c042_review_says_who_asks_for_what() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let client = server.client(Protocol::Http2).with(&server.pki.aggregator());
    let headers = [
        ("x-remote-user", "jane"),
        ("x-remote-uid", "7"),
        ("x-remote-group", "team-a"),
        ("x-remote-extra-k", "v"),
    ];
    let path = "/apis/g.io/v1/namespaces/n/flunders/x/claim";
    assert_eq!(
        client.request(Method::POST, path, &headers).await.status,
        StatusCode::OK
    );
    let denied = client
        .request(Method::GET, "/openapi/v2", &[("x-remote-user", "joe")])
        .await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(denied.text.contains("RBAC says no"), "{denied:?}");

    let asked = cluster.api.asked(ACCESS_REVIEWS);
    assert_eq!(
        asked[0].body["spec"],
        json!({
            "user": "jane", "uid": "7", "groups": ["team-a", "system:authenticated"], "extra": {"k": ["v"]},
            "resourceAttributes": {
                "namespace": "n", "verb": "create", "group": "g.io", "version": "v1", "resource": "flunders",
                "subresource": "claim", "name": "x",
            },
        })
    );
    assert_eq!(
        asked[1].body["spec"],
        json!({
            "user": "joe", "groups": ["system:authenticated"],
            "nonResourceAttributes": {"path": "/openapi/v2", "verb": "get"},
        })
    );
}

#[tokio::test]
async fn c041_superusers_and_probes_need_no_review() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let client = server.client(Protocol::Http2).with(&server.pki.aggregator());
    let headers = [
        ("x-remote-user", "system:kube-aggregator"),
        ("x-remote-group", "system:masters"),
    ];
    for path in ["/apis", "/apis/g.io/v1", FLUNDERS] {
        assert_eq!(
            client.request(Method::GET, path, &headers).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert_eq!(
        server.client(Protocol::Http1).get("/readyz").await.status,
        StatusCode::OK
    );
    assert!(cluster.api.asked(ACCESS_REVIEWS).is_empty());
}

fn user(name: &str) -> UserInfo {
    UserInfo {
        name: name.to_owned(),
        ..UserInfo::default()
    }
}

fn to(verb: &str, name: &str) -> Attributes {
    Attributes::Resource {
        verb: verb.to_owned(),
        group: "g.io".to_owned(),
        version: "v1".to_owned(),
        resource: "flunders".to_owned(),
        subresource: String::new(),
        namespace: "n".to_owned(),
        name: name.to_owned(),
    }
}

async fn reviewing(lifetimes: DecisionLifetimes) -> (KubeApiserver, impl Authorizer) {
    let api = KubeApiserver::start(|asked| Reply::Json(201, review_access(&asked.body))).await;
    let reviews = SubjectAccessReviewAuthorizer::new(api.client.clone(), lifetimes).expect("randomness");
    (api, LocallyAllowed::or(reviews))
}

#[tokio::test]
async fn c044_decisions_are_remembered_per_question_and_shared() {
    let (api, authorizer) = reviewing(DecisionLifetimes::default()).await;
    let jane = user("jane");
    let (get, delete) = (to("get", "a"), to("delete", "a"));
    let together = (0..20).map(|_| authorizer.authorize(&jane, &get));
    for decision in futures::future::join_all(together).await {
        assert_eq!(decision.expect("decided"), Decision::Allow);
    }
    for _ in 0..3 {
        let denied = authorizer.authorize(&jane, &delete).await.expect("decided");
        assert_eq!(denied, Decision::Deny("RBAC says no".to_owned()));
    }
    assert_eq!(api.asked(ACCESS_REVIEWS).len(), 2, "one per question");

    // Another user, group, uid, extra or attribute is another question.
    let mut other = jane.clone();
    other.groups.push("g".to_owned());
    authorizer.authorize(&other, &get).await.expect("decided");
    other.uid = Some("u".to_owned());
    authorizer.authorize(&other, &get).await.expect("decided");
    authorizer.authorize(&user("joe"), &get).await.expect("decided");
    authorizer
        .authorize(&jane, &to("get", "b"))
        .await
        .expect("decided");
    assert_eq!(api.asked(ACCESS_REVIEWS).len(), 6);
}

#[tokio::test]
async fn c044_decisions_are_forgotten_each_after_its_time() {
    let lifetimes = DecisionLifetimes {
        allow: Duration::from_secs(60),
        deny: Duration::from_millis(50),
    };
    let (api, authorizer) = reviewing(lifetimes).await;
    let jane = user("jane");
    for _ in 0..2 {
        authorizer
            .authorize(&jane, &to("get", "a"))
            .await
            .expect("decided");
        authorizer
            .authorize(&jane, &to("delete", "a"))
            .await
            .expect("decided");
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let asked = api.asked(ACCESS_REVIEWS);
    let verbs: Vec<_> = asked
        .iter()
        .map(|asked| asked.body["spec"]["resourceAttributes"]["verb"].clone())
        .collect();
    assert_eq!(verbs, ["get", "delete", "delete"]);
}

#[tokio::test]
async fn c044_questions_too_long_to_keep_are_asked_each_time() {
    let (api, authorizer) = reviewing(DecisionLifetimes::default()).await;
    let long = to("get", &"x".repeat(10_001));
    for _ in 0..2 {
        authorizer.authorize(&user("jane"), &long).await.expect("decided");
    }
    assert_eq!(api.asked(ACCESS_REVIEWS).len(), 2);
}

#[tokio::test]
async fn c044_failed_review_is_an_error_and_not_remembered() {
    let calls = Arc::new(AtomicUsize::new(0));
    let api = {
        let calls = Arc::clone(&calls);
        KubeApiserver::start(move |asked| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => failure(403, "Forbidden", "no system:auth-delegator"),
            1 => {
                let mut review = asked.body.clone();
                review["status"] = json!({"allowed": true, "denied": true});
                Reply::Json(201, review)
            }
            _ => Reply::Json(201, review_access(&asked.body)),
        })
        .await
    };
    let lifetimes = DecisionLifetimes::default();
    let authorizer = SubjectAccessReviewAuthorizer::new(api.client.clone(), lifetimes).expect("randomness");
    let get = to("get", "a");
    let error = authorizer
        .authorize(&user("jane"), &get)
        .await
        .expect_err("forbidden to ask");
    assert!(error.to_string().contains("auth-delegator"), "{error}");
    authorizer
        .authorize(&user("jane"), &get)
        .await
        .expect_err("contradiction");
    assert_eq!(
        authorizer.authorize(&user("jane"), &get).await.expect("decided"),
        Decision::Allow
    );
}
