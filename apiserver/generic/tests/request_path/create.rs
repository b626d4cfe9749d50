//! Creates that need more than one request to be seen right: races, held names, bounds.

use http::Method;
use serde_json::{Value, json};

use crate::server::{FISCHERS, N, Server, flunder, path};

#[tokio::test]
async fn c160_what_only_the_server_sets_is_not_taken_from_the_body() {
    let server = Server::start().await;
    let mut body = flunder("a", json!({}));
    body["status"] = json!({"phase": "Perfect", "polished": 9});
    body["metadata"] = json!({
        "name": "a", "uid": "mine", "generation": 7, "selfLink": "/x",
        "creationTimestamp": "2001-01-01T00:00:00Z", "deletionTimestamp": "2001-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 3,
    });
    let created = server.client.post(N, &body).await.expect(201);
    let metadata = &created["metadata"];
    assert_ne!(metadata["uid"], "mine");
    assert_eq!(metadata["generation"], 1);
    assert!(
        !metadata["creationTimestamp"]
            .as_str()
            .unwrap()
            .starts_with("2001")
    );
    for absent in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        assert_eq!(metadata[absent], Value::Null, "{absent}");
    }
    assert_eq!(created["status"], json!({"phase": "Pending", "polished": 0}));
}

#[tokio::test]
async fn c160_namespace_of_the_body_must_be_that_of_the_path() {
    let server = Server::start().await;
    let mut body = flunder("a", json!({}));
    body["metadata"]["namespace"] = json!("elsewhere");
    server.client.post(N, &body).await.refused(400, "BadRequest");
    body["metadata"]["namespace"] = json!("n");
    server.client.post(N, &body).await.expect(201);
    let fischer = json!({"metadata": {"name": "f", "namespace": "n"}});
    // As upstream does: a namespace that only the body names is dropped.
    let created = server.client.post(FISCHERS, &fischer).await.expect(201);
    assert_eq!(created["metadata"]["namespace"], Value::Null);
}

#[tokio::test]
async fn c161_of_parallel_creates_of_a_name_one_wins() {
    let server = Server::start().await;
    let body = flunder("a", json!({}));
    let creates = (0..8).map(|_| server.client.post(N, &body));
    let answers = futures::future::join_all(creates).await;
    let codes = |code: u16| {
        answers
            .iter()
            .filter(|answer| answer.status.as_u16() == code)
            .count()
    };
    assert_eq!((codes(201), codes(409)), (1, 7));
}

#[tokio::test]
async fn c161_name_of_a_terminating_object_says_so() {
    let server = Server::start().await;
    let mut body = flunder("a", json!({}));
    body["metadata"]["finalizers"] = json!(["test.example.com/hold"]);
    server.client.post(N, &body).await.expect(201);
    server.client.delete(&path("a")).await.expect(200);
    let status = server.client.post(N, &body).await.refused(409, "AlreadyExists");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("object is being deleted: "),
        "{status}"
    );
}

#[tokio::test]
async fn c142_bodies_are_json_or_yaml_and_others_are_415() {
    let server = Server::start().await;
    let yaml = "metadata:\n  name: y\nspec:\n  color: red\n";
    let post = |content_type: &str, text: &str| {
        let sent = server.client.call(Method::POST, N);
        sent.typed(content_type, text.to_owned()).send()
    };
    let created = post("application/yaml", yaml).await.expect(201);
    assert_eq!(created["spec"]["color"], "red");
    let json = r#"{"metadata": {"name": "j"}}"#;
    post("application/json; charset=utf-8", json).await.expect(201);
    let none = server
        .client
        .call(Method::POST, N)
        .untyped(r#"{"metadata": {"name": "k"}}"#);
    none.send().await.expect(201);
    for content_type in [
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "text/plain",
    ] {
        let status = post(content_type, json)
            .await
            .refused(415, "UnsupportedMediaType");
        let message = status["message"].as_str().unwrap();
        assert!(
            message.contains("application/json") && message.contains("application/yaml"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn c067_bodies_are_bounded() {
    let server = Server::start().await;
    let large = json!({"metadata": {"name": "a"}, "spec": {"tags": ["x".repeat(3 * 1024 * 1024)]}});
    let status = server
        .client
        .post(N, &large)
        .await
        .refused(413, "RequestEntityTooLarge");
    assert!(
        status["message"].as_str().unwrap().contains("3145728"),
        "{status}"
    );
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &(1..20)
            .map(|level| {
                let inner = char::from(b'a' + level - 1);
                let outer = char::from(b'a' + level);
                format!("{outer}: &{outer} [*{inner}, *{inner}, *{inner}, *{inner}, *{inner}, *{inner}]\n")
            })
            .collect::<String>();
    let sent = server
        .client
        .call(Method::POST, N)
        .typed("application/yaml", bomb);
    sent.send().await.refused(400, "BadRequest");
    let deep = "[".repeat(200) + &"]".repeat(200);
    let sent = server
        .client
        .call(Method::POST, N)
        .typed("application/json", deep);
    sent.send().await.refused(400, "BadRequest");
}

#[tokio::test]
async fn c068_warnings_of_the_strategy_reach_the_client() {
    let server = Server::start().await;
    let answer = server
        .client
        .post(N, &flunder("a", json!({"color": "beige"})))
        .await;
    answer.expect(201);
    assert_eq!(answer.warnings(), [r#""beige is a dull color""#]);
}

#[tokio::test]
async fn c149_refusal_of_a_constraint_is_the_strategys_to_word() {
    let server = Server::start().await;
    let body = flunder("a", json!({"color": "octarine"}));
    let status = server.client.post(N, &body).await.refused(409, "Conflict");
    assert!(
        status["message"].as_str().unwrap().contains("octarine is taken"),
        "{status}"
    );
}
