//! Identity headers: whom they are believed from, and what they say.

use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{BOTH, Client};
use crate::pki::{Pki, authority, issue};
use crate::server::TestServer;

const FLUNDERS: &str = "/apis/g.io/v1/flunders";

/// Every way to claim to be someone else.
const CLAIMS: [&[(&str, &str)]; 5] = [
    &[("x-remote-user", "admin"), ("x-remote-group", "system:masters")],
    &[
        ("x-remote-user", "admin"),
        ("x-remote-user", "root"),
        ("x-remote-group", "system:masters"),
    ],
    &[
        ("X-REMOTE-user", "admin"),
        ("x-Remote-GROUP", "system:masters"),
        ("X-remote-UID", "1"),
    ],
    &[
        ("x-remote-user", ""),
        ("x-remote-user", "admin"),
        ("x-remote-extra-scopes", "all"),
    ],
    &[("x-remote-group", "system:masters"), ("x-remote-extra-a", "b")],
];

/// Sends every claim in every protocol over connections made by `client`, and expects this outcome.
async fn never_believed(server: &TestServer, client: impl Fn(Client) -> Client, expected: Option<&str>) {
    for protocol in BOTH {
        for claim in CLAIMS {
            let answer = client(server.client(protocol))
                .request(Method::GET, FLUNDERS, claim)
                .await;
            let Some(name) = expected else {
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{protocol:?} {claim:?}");
                continue;
            };
            let json = answer.json();
            assert_eq!(json["user"]["name"], name, "{protocol:?} {claim:?}");
            assert_eq!(json["frontProxy"], false);
            assert!(!json["user"].to_string().contains("masters"), "{json}");
            let headers = json["headers"].to_string();
            assert!(!headers.contains("x-remote"), "c024: {headers}");
        }
    }
}

#[tokio::test]
async fn c022_identity_headers_without_certificate_are_not_believed() {
    let server = TestServer::start().await;
    never_believed(&server, |client| client, Some("system:anonymous")).await;
}

#[tokio::test]
async fn c022_identity_headers_over_an_unknown_ca_are_not_believed() {
    let server = TestServer::start().await;
    let forged = issue(&server.pki.stranger, "front-proxy-client", &[]);
    never_believed(&server, |client| client.with(&forged), None).await;
}

#[tokio::test]
async fn c022_identity_headers_over_a_ca_of_the_same_name_are_not_believed() {
    let server = TestServer::start().await;
    let twin = issue(&authority("front-proxy-ca"), "front-proxy-client", &[]);
    never_believed(&server, |client| client.with(&twin), None).await;
}

#[tokio::test]
async fn c022_identity_headers_from_another_name_below_the_ca_are_not_believed() {
    let server = TestServer::start().await;
    let other = issue(&server.pki.front_proxy, "someone-else", &[]);
    never_believed(&server, |client| client.with(&other), None).await;
}

#[tokio::test]
async fn c022_identity_headers_over_a_client_certificate_are_not_believed() {
    let server = TestServer::start().await;
    // The allowed name, but below the CA of clients: its holder is who the certificate says.
    for user in ["jane", "front-proxy-client"] {
        let certificate = issue(&server.pki.client, user, &[]);
        never_believed(&server, |client| client.with(&certificate), Some(user)).await;
    }
}

#[tokio::test]
async fn c022_serving_certificate_below_the_front_proxy_ca_is_no_client() {
    let server = TestServer::start().await;
    let mut request = brokkr_certs::ServingRequest::new("front-proxy-client", "x");
    request.extra_names.clear();
    let serving = server.pki.front_proxy.issue_serving(&request).expect("issued");
    never_believed(&server, |client| client.with(&serving), None).await;
}

#[tokio::test]
async fn c022_expired_front_proxy_certificate_is_not_believed() {
    let server = TestServer::start().await;
    let day = std::time::Duration::from_secs(86_400);
    let now = std::time::SystemTime::now();
    let mut request = brokkr_certs::ClientRequest::new("front-proxy-client");
    request.validity = brokkr_certs::Validity::between(now - 2 * day, now - day);
    let expired = server.pki.front_proxy.issue_client(&request).expect("issued");
    never_believed(&server, |client| client.with(&expired), None).await;
}

#[tokio::test]
async fn c022_front_proxy_is_believed_over_its_verified_certificate() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let client = server.client(protocol).with(&server.pki.aggregator());
        let headers = [("x-remote-user", "jane"), ("x-remote-group", "team-a")];
        let json = client.request(Method::GET, FLUNDERS, &headers).await.json();
        assert_eq!(json["user"]["name"], "jane", "{protocol:?}");
        assert_eq!(json["user"]["groups"], json!(["team-a", "system:authenticated"]));
        assert_eq!(json["frontProxy"], true);
    }
}

#[tokio::test]
async fn c022_front_proxy_that_names_nobody_is_401() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        for headers in [
            &[][..],
            &[("x-remote-user", "")],
            &[("x-remote-group", "system:masters")],
        ] {
            let client = server.client(protocol).with(&server.pki.aggregator());
            let answer = client.request(Method::GET, FLUNDERS, headers).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn c022_no_allowed_names_means_any_name_below_the_ca() {
    let server = TestServer::start().await;
    let mut config = server.config.load().as_ref().clone();
    config
        .request_header
        .as_mut()
        .expect("configured")
        .allowed_names
        .clear();
    server.config.store(config);

    let other = issue(&server.pki.front_proxy, "someone-else", &[]);
    let client = server.client(BOTH[1]).with(&other);
    let answer = client
        .request(Method::GET, FLUNDERS, &[("x-remote-user", "jane")])
        .await;
    assert_eq!(answer.json()["user"]["name"], "jane");
}

#[tokio::test]
async fn c023_groups_uid_and_extra_are_read() {
    let server = TestServer::start().await;
    let headers = [
        ("X-Remote-User", "system:serviceaccount:team-a:bot"),
        ("X-Remote-Uid", "0b2c"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Group", ""),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "system:authenticated"),
        ("X-Remote-Extra-Authentication.kubernetes.io%2fpod-Name", "bot-1"),
        ("X-Remote-Extra-Scopes", "x"),
        ("X-Remote-Extra-Scopes", "y"),
        ("X-Remote-Extra-Bad%2", "literal"),
        ("X-Remote-Extra-Bad%ff", "literal"),
    ];
    for protocol in BOTH {
        let client = server.client(protocol).with(&server.pki.aggregator());
        let json = client.request(Method::GET, FLUNDERS, &headers).await.json();
        assert_eq!(
            json["user"],
            json!({
                "name": "system:serviceaccount:team-a:bot",
                "uid": "0b2c",
                "groups": ["b", "a", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["bot-1"],
                    "scopes": ["x", "y"],
                    "bad%2": ["literal"],
                    "bad%ff": ["literal"],
                },
            }),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn c023_names_of_headers_come_from_the_configuration() {
    let server = TestServer::start().await;
    let mut config = server.config.load().as_ref().clone();
    let headers = config.request_header.as_mut().expect("configured");
    headers.username_headers = vec![
        "x-first".parse().expect("a name"),
        "x-second".parse().expect("a name"),
    ];
    headers.group_headers = vec![
        "x-group".parse().expect("a name"),
        "x-team".parse().expect("a name"),
    ];
    headers.uid_headers.clear();
    headers.extra_header_prefixes = vec!["x-one-".to_owned(), "x-two-".to_owned()];
    server.config.store(config);

    let sent = [
        ("x-first", ""),
        ("x-second", "jane"),
        ("x-remote-user", "admin"),
        ("x-remote-uid", "1"),
        ("x-team", "t"),
        ("x-group", "g"),
        ("x-two-k", "2"),
        ("x-one-k", "1"),
    ];
    let client = server.client(BOTH[0]).with(&server.pki.aggregator());
    let json = client.request(Method::GET, FLUNDERS, &sent).await.json();
    assert_eq!(
        json["user"],
        json!({"name": "jane", "uid": null, "groups": ["g", "t", "system:authenticated"], "extra": {"k": ["1", "2"]}})
    );
    let left = json["headers"].to_string();
    for gone in [
        "x-first", "x-second", "x-remote", "x-team", "x-group", "x-one", "x-two",
    ] {
        assert!(!left.contains(gone), "c024: {left}");
    }
}

#[tokio::test]
async fn c024_credentials_do_not_reach_handlers() {
    let server = TestServer::start().await;
    let jane = issue(&server.pki.client, "jane", &[]);
    for certificate in [server.pki.aggregator(), jane] {
        let client = server.client(BOTH[1]).with(&certificate);
        let headers = [
            ("authorization", "Bearer secret"),
            ("x-remote-user", "someone"),
            ("x-remote-group", "g"),
            ("x-remote-uid", "u"),
            ("x-remote-extra-k", "v"),
            ("x-remote-anything", "v"),
            ("x-kept", "yes"),
        ];
        let left = client.request(Method::GET, FLUNDERS, &headers).await.json()["headers"].to_string();
        assert!(left.contains("x-kept"));
        assert!(
            !left.contains("x-remote") && !left.contains("authorization"),
            "{left}"
        );
    }
}

#[tokio::test]
async fn c006_request_header_ca_is_replaced_live_on_open_connections() {
    // Given a connection of the aggregator that is believed.
    let server = TestServer::start().await;
    let headers = [("x-remote-user", "jane")];
    let mut connection = server
        .client(BOTH[1])
        .with(&server.pki.aggregator())
        .connect()
        .await;
    assert_eq!(
        connection.request(Method::GET, FLUNDERS, &headers).await.status,
        StatusCode::OK
    );

    // When another CA replaces the one it chains to.
    let next = Pki::create();
    let mut config = server.config.load().as_ref().clone();
    let bundle = crate::pki::pem(&next.front_proxy);
    let roots = generic_apiserver::authentication::TrustedRoots::from_pem(bundle.as_bytes()).expect("a CA");
    config.request_header.as_mut().expect("configured").roots = roots;
    server.config.store(config);

    // Then the same connection is not believed any more, and one below the new CA is.
    let refused = connection.request(Method::GET, FLUNDERS, &headers).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let client = server.client(BOTH[1]).with(&next.aggregator());
    assert_eq!(
        client.request(Method::GET, FLUNDERS, &headers).await.json()["user"]["name"],
        "jane"
    );
}
