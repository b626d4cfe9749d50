//! Which trace a request belongs to, and who may say so.

use http::Method;
use serde_json::Value;

use crate::client::{BOTH, Protocol};
use crate::cluster::{ACCESS_REVIEWS, Cluster};
use crate::pki::{Pki, issue};
use crate::server::{TestServer, published};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const HEADERS: [(&str, &str); 3] = [
    ("traceparent", PARENT),
    ("tracestate", "vendor=x"),
    ("baggage", "who=me"),
];

async fn answered(
    server: &TestServer,
    protocol: Protocol,
    user: Option<&str>,
    headers: &[(&str, &str)],
) -> Value {
    let mut client = server.client(protocol);
    if let Some(user) = user {
        client = client.with(&issue(&server.pki.client, user, &[]));
    }
    client
        .request(Method::GET, "/apis/g.io/v1/flunders/a", headers)
        .await
        .json()
}

fn passed_on(answer: &Value) -> Vec<&str> {
    let names = answer["headers"].as_array().expect("names");
    let names = names.iter().filter_map(Value::as_str);
    names
        .filter(|name| HEADERS.iter().any(|(header, _)| header == name))
        .collect()
}

#[tokio::test]
async fn c070_trace_of_an_authenticated_caller_goes_on() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let answer = answered(&server, protocol, Some("jane"), &HEADERS).await;
        assert_eq!(answer["onward"], TRACE, "onward calls belong to the trace");
        assert_eq!(passed_on(&answer).len(), 3);
    }
}

#[tokio::test]
async fn c070_trace_of_a_stranger_or_a_malformed_one_is_not_believed() {
    let server = TestServer::start().await;
    let malformed = [("traceparent", "00-4bf9-00f0-01"), ("tracestate", "vendor=x")];
    let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
    for (user, headers) in [
        (None, &HEADERS[..]),
        (Some("jane"), &malformed[..]),
        (Some("jane"), &twice[..]),
        (Some("jane"), &[]),
    ] {
        for protocol in BOTH {
            let answer = answered(&server, protocol, user, headers).await;
            let own = answer["onward"].as_str().expect("every request has a trace");
            assert!(own.len() == 32 && own != TRACE, "{user:?} {headers:?}: {own}");
            assert_eq!(passed_on(&answer), [""; 0], "{user:?} {headers:?}");
        }
    }
}

#[tokio::test]
async fn c070_review_of_a_request_belongs_to_its_trace() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    answered(&server, Protocol::Http2, Some("jane"), &HEADERS).await;
    let asked = cluster.api.asked(ACCESS_REVIEWS);
    let named = asked[0].traceparent.as_deref().expect("a trace");
    assert!(
        named.contains(TRACE) && named != PARENT,
        "the same trace, another span: {named}"
    );
}
