//! Client certificates, anonymous requests, and what strangers get.

use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{BOTH, Protocol};
use crate::pki::{der, issue, with_uids};
use crate::server::TestServer;

const FLUNDERS: &str = "/apis/g.io/v1/flunders";

#[tokio::test]
async fn c025_common_name_is_the_user_and_organizations_the_groups() {
    let server = TestServer::start().await;
    let jane = issue(&server.pki.client, "jane", &["team-b", "team-a"]);
    for protocol in BOTH {
        let json = server.client(protocol).with(&jane).get(FLUNDERS).await.json();
        assert_eq!(json["user"]["name"], "jane");
        assert_eq!(
            json["user"]["groups"],
            json!(["team-b", "team-a", "system:authenticated"])
        );
        let hash = ring::digest::digest(&ring::digest::SHA256, &der(&jane));
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            json["user"]["extra"],
            json!({"authentication.kubernetes.io/credential-id": [format!("X509SHA256={hash}")]})
        );
    }
}

#[tokio::test]
async fn c025_subject_names_one_uid_or_none() {
    let server = TestServer::start().await;
    let authority = &server.pki.client;
    let jane = issue(authority, "jane", &[]);
    for (uids, uid) in [
        (&[][..], json!(null)),
        (&["u-1"], json!("u-1")),
        (&["ü 1"], json!("ü 1")),
    ] {
        let chain = with_uids(authority, &jane, uids);
        let client = server.client(Protocol::Http2).with_chain(&chain, &jane);
        let user = &client.get(FLUNDERS).await.json()["user"];
        assert_eq!((&user["name"], &user["uid"]), (&json!("jane"), &uid), "{uids:?}");
    }
    for uids in [&["u-1", "u-2"][..], &["u-1", "u-1"], &[""]] {
        let chain = with_uids(authority, &jane, uids);
        let client = server.client(Protocol::Http2).with_chain(&chain, &jane);
        let status = client.get(FLUNDERS).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{uids:?}");
    }
}

/// Who the front proxy is, its name says alone.
#[tokio::test]
async fn c025_uids_of_the_front_proxy_do_not_count() {
    let server = TestServer::start().await;
    let aggregator = server.pki.aggregator();
    let chain = with_uids(&server.pki.front_proxy, &aggregator, &["u-1", "u-2"]);
    let client = server.client(Protocol::Http2).with_chain(&chain, &aggregator);
    let headers = [("x-remote-user", "jane")];
    let json = client.request(Method::GET, FLUNDERS, &headers).await.json();
    assert_eq!(json["user"]["name"], "jane");
}

#[tokio::test]
async fn c028_no_credential_is_anonymous() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let json = server.client(protocol).get(FLUNDERS).await.json();
        let anonymous = json!({"name": "system:anonymous", "uid": null, "groups": ["system:unauthenticated"], "extra": {}});
        assert_eq!(json["user"], anonymous, "{protocol:?}");
    }
}

#[tokio::test]
async fn c028_credential_that_nobody_reads_is_401_and_not_anonymous() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        for value in ["Bearer token", "Basic YWRtaW46YWRtaW4=", "Bearer", "nonsense", ""] {
            let headers = [("authorization", value)];
            let answer = server
                .client(protocol)
                .request(Method::GET, FLUNDERS, &headers)
                .await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{protocol:?} {value:?}");
            assert_eq!(answer.json()["message"], "Unauthorized");
            assert_eq!(answer.json()["code"], 401);
        }
    }
}

#[tokio::test]
async fn c028_unauthenticated_call_of_an_unknown_path_is_401() {
    let server = TestServer::start().await;
    let headers = [("authorization", "Bearer bad")];
    for path in ["/", "/nothing", "/apis/none.io/v9/things", "/livez"] {
        let answer = server
            .client(Protocol::Http1)
            .request(Method::GET, path, &headers)
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn c029_strangers_get_one_request_per_http2_connection() {
    let server = TestServer::start().await;
    let bad = [("authorization", "Bearer bad")];
    for (headers, status) in [(&bad[..], StatusCode::UNAUTHORIZED), (&[], StatusCode::OK)] {
        let mut connection = server.client(Protocol::Http2).connect().await;
        assert_eq!(
            connection.request(Method::GET, FLUNDERS, headers).await.status,
            status
        );
        connection.closed().await;
    }
}

#[tokio::test]
async fn c029_known_users_and_http1_keep_their_connections() {
    let server = TestServer::start().await;
    let mut anonymous = server.client(Protocol::Http1).connect().await;
    let mut jane = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]))
        .connect()
        .await;
    for _ in 0..3 {
        assert_eq!(anonymous.get(FLUNDERS).await.status, StatusCode::OK);
        assert_eq!(jane.get(FLUNDERS).await.status, StatusCode::OK);
    }
    assert!(!anonymous.ended.is_finished() && !jane.ended.is_finished());
}

#[tokio::test]
async fn c060_impersonation_is_refused_not_ignored() {
    let server = TestServer::start().await;
    let admin = issue(&server.pki.client, "admin", &["system:masters"]);
    for name in [
        "impersonate-user",
        "Impersonate-Group",
        "impersonate-uid",
        "Impersonate-Extra-Scopes",
    ] {
        let client = server.client(Protocol::Http2).with(&admin);
        let answer = client.request(Method::GET, FLUNDERS, &[(name, "jane")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        let message = answer.json()["message"].to_string();
        assert!(
            message.contains(&name.to_lowercase()) && message.contains("kube-apiserver"),
            "{message}"
        );
    }
}
