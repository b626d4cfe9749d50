//! Creates that need more than one request to be seen right: races, held names, bounds.

use http::Method;
use serde_json::{Value, json};

use crate::server::{FISCHERS, N, Server, flunder, path};

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

#[tokio::test]
async fn c142_name_in_yaml_is_what_its_author_wrote() {
    let server = Server::start().await;
    for name in ["y", "no", "on"] {
        let yaml = format!("metadata:\n  name: {name}\nspec:\n  size: 3\n");
        let sent = server
            .client
            .call(Method::POST, N)
            .typed("application/yaml", yaml);
        let created = sent.send().await.expect(201);
        assert_eq!(
            (&created["metadata"]["name"], &created["spec"]["size"]),
            (&json!(name), &json!(3))
        );
    }
}
