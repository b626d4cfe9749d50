//! The configuration that kube-apiserver publishes: how it is read, followed, and refused.

use std::collections::BTreeMap;

use generic_apiserver::authentication::config_map::{AuthenticationConfig, ConfigMapError};
use generic_apiserver::server::{DelegatedAuth, DelegatedAuthError, DelegatedAuthOptions};
use http::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::client::Protocol;
use crate::cluster::{CONFIG_MAP, CONFIG_MAPS, Cluster};
use crate::kube_apiserver::{KubeApiserver, failure};
use crate::pki::{Pki, authority, issue, pem};
use crate::server::{eventually, published};

const FLUNDERS: &str = "/apis/g.io/v1/flunders";

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
