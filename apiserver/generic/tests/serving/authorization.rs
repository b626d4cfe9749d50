//! What an authorizer's decision becomes on the wire.

use http::{Method, StatusCode};

use crate::client::{Client, Protocol};
use crate::pki::issue;
use crate::server::TestServer;

fn jane(server: &TestServer) -> Client {
    server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "ja<n>e", &[]))
}

#[tokio::test]
async fn c045_forbidden_is_worded_as_kube_apiserver_words_it() {
    let server = TestServer::start().await;
    let rows = [
        (
            Method::GET,
            "/apis/g.io/v1/namespaces/n/flunders/forbidden",
            "flunders.g.io \"forbidden\" is forbidden: User \"ja&lt;n&gt;e\" cannot get resource \"flunders\" in API \
             group \"g.io\" in the namespace \"n\": no rule matched",
        ),
        (
            Method::POST,
            "/apis/g.io/v1/flunders/forbidden/claim",
            "flunders.g.io \"forbidden\" is forbidden: User \"ja&lt;n&gt;e\" cannot create resource \
             \"flunders/claim\" in API group \"g.io\" at the cluster scope: no rule matched",
        ),
        (
            Method::GET,
            "/forbidden",
            "forbidden: User \"ja&lt;n&gt;e\" cannot get path \"/forbidden\": no rule matched",
        ),
    ];
    for (method, path, message) in rows {
        let answer = jane(&server).request(method, path, &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let status = answer.json();
        assert_eq!(status["message"], message);
        assert_eq!(status["reason"], "Forbidden");
        assert_eq!(status["code"], 403);
    }
}

#[tokio::test]
async fn c045_forbidden_names_its_object_in_the_details() {
    let server = TestServer::start().await;
    let answer = jane(&server)
        .get("/apis/g.io/v1/namespaces/n/flunders/forbidden")
        .await;
    let details = &answer.json()["details"];
    assert_eq!(details["group"], "g.io");
    assert_eq!(details["kind"], "flunders");
    assert_eq!(details["name"], "forbidden");
}

#[tokio::test]
async fn c044_undecided_is_500_and_not_403() {
    let server = TestServer::start().await;
    let answer = jane(&server).get("/apis/g.io/v1/flunders/undecided").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        answer
            .text
            .starts_with("Internal Server Error: \"/apis/g.io/v1/flunders/undecided\""),
        "{answer:?}"
    );
    assert!(answer.text.contains("&lt;away&gt;"), "{answer:?}");
}

#[tokio::test]
async fn c041_superusers_and_probes_are_allowed_locally() {
    let server = TestServer::start().await;
    let admin = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "admin", &["system:masters"]));
    assert_eq!(
        admin.get("/apis/g.io/v1/flunders/forbidden").await.status,
        StatusCode::OK
    );
    assert_eq!(
        admin.get("/apis/g.io/v1/flunders/undecided").await.status,
        StatusCode::OK
    );
}
