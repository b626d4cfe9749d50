//! The configuration that kube-apiserver publishes: how it is read, followed, and refused.

use std::collections::BTreeMap;

use brokkr_certs::CertificateAuthority;
use generic_apiserver::authentication::config_map::{AuthenticationConfig, ConfigMapError};
use generic_apiserver::server::{DelegatedAuth, DelegatedAuthError, DelegatedAuthOptions, Lookup};
use http::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::client::Protocol;
use crate::cluster::{ACCESS_REVIEWS, CONFIG_MAP, CONFIG_MAPS, Cluster, review_access};
use crate::kube_apiserver::{KubeApiserver, Reply, failure};
use crate::pki::{Pki, authority, issue, pem};
use crate::server::{Setup, TestServer, eventually, published};

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

/// What a server says to somebody whom its own settings let the stranger's CA vouch for, and to a client of the
/// cluster, when kube-apiserver publishes nothing to it.
async fn unpublished(lookup: Lookup) -> (StatusCode, StatusCode, KubeApiserver) {
    let pki = Pki::create();
    let mut own = published(&pki);
    own.insert("requestheader-client-ca-file".to_owned(), pem(&pki.stranger));
    let own = AuthenticationConfig::from_config_map(&own).expect("good");
    let api = KubeApiserver::start(|asked| match asked.path.as_str() {
        ACCESS_REVIEWS => Reply::Json(201, review_access(&asked.body)),
        _ => failure(403, "Forbidden", "not yours"),
    })
    .await;
    let options = DelegatedAuthOptions {
        lookup,
        front_proxy: own.request_header,
        ..DelegatedAuthOptions::default()
    };
    let auth = DelegatedAuth::connect(api.client.clone(), options, CancellationToken::new())
        .await
        .expect("nothing of it is needed");
    let setup = Setup {
        authenticator: Some(auth.authenticator.clone()),
        authorizer: auth.authorizer.clone(),
        ..Setup::default()
    };
    let server = TestServer::on(pki, setup).await;
    let proxy = issue(&server.pki.stranger, "front-proxy-client", &[]);
    let proxy = server.client(Protocol::Http2).with(&proxy);
    let vouched = proxy
        .request(Method::GET, FLUNDERS, &[("x-remote-user", "jane")])
        .await;
    let jane = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    (vouched.status, jane.get(FLUNDERS).await.status, api)
}

#[tokio::test]
async fn c021_what_cannot_be_looked_up_may_be_tolerated() {
    let (vouched, jane, api) = unpublished(Lookup::Tolerated).await;
    assert_eq!((vouched, jane), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    assert!(!api.asked(CONFIG_MAP).is_empty());
}

#[tokio::test]
async fn c021_nothing_is_looked_up_where_that_is_skipped() {
    let (vouched, jane, api) = unpublished(Lookup::Skipped).await;
    assert_eq!((vouched, jane), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    assert!(api.asked(CONFIG_MAP).is_empty() && api.asked(CONFIG_MAPS).is_empty());
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
async fn c020_own_settings_of_the_front_proxy_win_over_those_published() {
    // Given a server whose own settings name another CA and another header than the cluster's.
    let pki = Pki::create();
    let mut data = published(&pki);
    let mut own = data.clone();
    own.insert("requestheader-client-ca-file".to_owned(), pem(&pki.stranger));
    own.insert(
        "requestheader-username-headers".to_owned(),
        r#"["x-own-user"]"#.to_owned(),
    );
    let own = AuthenticationConfig::from_config_map(&own).expect("good");
    let cluster = Cluster::start(data.clone()).await;
    let options = DelegatedAuthOptions {
        front_proxy: own.request_header,
        ..DelegatedAuthOptions::default()
    };
    let server = cluster.serve_with(pki, options).await;
    let believed = async |client: &CertificateAuthority, header: &str| {
        let client = issue(client, "front-proxy-client", &[]);
        let client = server.client(Protocol::Http1).with(&client);
        let answer = client.request(Method::GET, FLUNDERS, &[(header, "jane")]).await;
        answer.status == StatusCode::OK && answer.json()["user"]["name"] == "jane"
    };

    // Then they alone count, also after the cluster has published others.
    for round in 0..2 {
        assert!(believed(&server.pki.stranger, "x-own-user").await, "{round}");
        assert!(!believed(&server.pki.stranger, "x-remote-user").await, "{round}");
        assert!(
            !believed(&server.pki.front_proxy, "x-remote-user").await,
            "{round}"
        );
        assert!(!believed(&server.pki.front_proxy, "x-own-user").await, "{round}");
        let next = authority("client-ca-2");
        data.insert("client-ca-file".to_owned(), pem(&next));
        cluster.publish(&data, "2").await;
        let jane = server.client(Protocol::Http2).with(&issue(&next, "jane", &[]));
        eventually("published", async || {
            jane.get(FLUNDERS).await.status == StatusCode::OK
        })
        .await;
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
