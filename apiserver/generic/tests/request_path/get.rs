//! Gets at a version, and the methods and paths that are not served.

use http::Method;
use serde_json::json;

use crate::server::{ALL, FISCHERS, N, Server, number, path};

#[tokio::test]
async fn c194_version_of_the_future_is_waited_for_and_then_504() {
    let server = Server::start().await;
    let created = server.create("a", json!({})).await;
    let future = number(&created) + 1_000;
    let urls = [
        format!("{}?resourceVersion={future}", path("a")),
        format!("{N}?resourceVersion={future}"),
        format!("{N}?resourceVersion={future}&resourceVersionMatch=Exact"),
    ];
    for url in urls {
        let status = server.client.get(&url).await.refused(504, "Timeout");
        assert_eq!(
            status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge",
            "{url}"
        );
        assert_eq!(status["details"]["retryAfterSeconds"], 1);
    }
    let next = format!("{}?resourceVersion={}", path("a"), number(&created) + 1);
    let (waited, ()) = tokio::join!(server.client.get(&next), async {
        server.create("b", json!({})).await;
    });
    waited.expect(200);
}

#[tokio::test]
async fn c150_unknown_resources_are_404_and_unknown_methods_405() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let nowhere = [
        "/apis/test.example.com/v1/namespaces/n/things",
        "/apis/test.example.com/v2/namespaces/n/flunders",
        "/apis/example.com/v1/namespaces/n/flunders",
        "/apis/test.example.com/v1/namespaces/n/fischers",
        "/apis/test.example.com/v1/namespaces/n/flunders/a/scale",
        "/apis/test.example.com/v1/namespaces/n/flunders/a/status/more",
        "/api/v1/pods",
        "/nothing",
    ];
    for url in nowhere {
        server.client.get(url).await.refused(404, "NotFound");
    }
    let unsupported = [
        (Method::POST, path("a")),
        (Method::PUT, N.to_owned()),
        (Method::PATCH, N.to_owned()),
        (Method::POST, ALL.to_owned()),
        (Method::DELETE, ALL.to_owned()),
        (Method::PUT, format!("{FISCHERS}/f")),
        (Method::DELETE, FISCHERS.to_owned()),
        (Method::DELETE, format!("{}/status", path("a"))),
        (Method::GET, format!("{}/polish", path("a"))),
        (Method::POST, format!("{}/friends", path("a"))),
        (Method::POST, "/apis/test.example.com/v1".to_owned()),
    ];
    for (method, url) in unsupported {
        let answer = server
            .client
            .call(method.clone(), &url)
            .json(&json!({}))
            .send()
            .await;
        assert_eq!(answer.status, 405, "{method} {url}: {answer:?}");
        assert_eq!(answer.json()["reason"], "MethodNotAllowed");
    }
}

#[tokio::test]
async fn c069_head_is_a_get_without_its_body() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let answer = server.client.call(Method::HEAD, &path("a")).send().await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), "application/json");
}
