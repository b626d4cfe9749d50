//! How large an object may become, whatever it is made of and however it gets there.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{N, Server, flunder, path};

const OBJECT_BYTES_MAX: usize = 1536 * 1024;

/// The answer says how large the object would be and how large it may be.
fn too_large(answer: Answer) {
    let status = answer.refused(413, "RequestEntityTooLarge");
    let message = status["message"].as_str().unwrap();
    let numbers: Vec<usize> = message
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(numbers[0] > OBJECT_BYTES_MAX, "{message}");
    assert_eq!(numbers[1..], [OBJECT_BYTES_MAX], "{message}");
    assert_eq!(status["details"]["kind"], "flunders", "{status}");
}

/// About 190 KiB of labels; no two parts have one in common.
fn labels(part: usize) -> Value {
    let label = |number: usize| (format!("part-{part}-{number}"), Value::from("x".repeat(63)));
    json!({"metadata": {"labels": Value::Object((0..2300).map(label).collect())}})
}

/// A word as long as this; alone too long for an object by default.
fn tags(length: usize) -> Value {
    json!({"tags": ["x".repeat(length)]})
}

#[tokio::test]
async fn c067_patches_do_not_add_up_to_more_than_an_object_may_be() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let mut part = 0;
    let refused = loop {
        let answer = server.client.merge(&path("a"), labels(part)).await;
        if answer.status != 200 {
            break answer;
        }
        part += 1;
    };
    too_large(refused);
    let full = server.client.get(&path("a")).await.text;
    assert!((1..=OBJECT_BYTES_MAX).contains(&full.len()), "{}", full.len());
    assert!(full.len() > OBJECT_BYTES_MAX - 200 * 1024, "{}", full.len());
    let dry_run = format!("{}?dryRun=All", path("a"));
    too_large(server.client.merge(&dry_run, labels(part)).await);
    assert_eq!(
        server.client.get(&path("a")).await.text,
        full,
        "nothing is stored"
    );
}

#[tokio::test]
async fn c067_object_is_bounded_in_every_verb() {
    let server = Server::start().await;
    let large = tags(OBJECT_BYTES_MAX);
    let created = server.create("a", json!({})).await;
    for url in [N.to_owned(), format!("{N}?dryRun=All")] {
        too_large(server.client.post(&url, &flunder("b", large.clone())).await);
    }
    server.client.get(&path("b")).await.refused(404, "NotFound");

    let mut body = created.clone();
    body["spec"] = large.clone();
    too_large(server.client.put(&path("a"), &body).await);
    let patch = json!([{"op": "add", "path": "/spec/tags", "value": large["tags"]}]).to_string();
    let patch = server
        .client
        .call(Method::PATCH, &path("a"))
        .typed("application/json-patch+json", patch);
    too_large(patch.send().await);
    let status = json!({"status": {"phase": large["tags"][0]}});
    too_large(
        server
            .client
            .merge(&format!("{}/status", path("a")), status)
            .await,
    );
    assert_eq!(server.client.get(&path("a")).await.expect(200), created);
}

#[tokio::test]
async fn c067_what_is_written_beside_a_too_large_object_is_stored() {
    let server = Server::start().await;
    let spec = |number: usize| {
        if number % 4 == 1 {
            tags(OBJECT_BYTES_MAX)
        } else {
            json!({})
        }
    };
    let bodies: Vec<Value> = (0..16)
        .map(|number| flunder(&format!("a{number}"), spec(number)))
        .collect();
    let answers = join_all(bodies.iter().map(|body| server.client.post(N, body))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let expected = if number % 4 == 1 { 413 } else { 201 };
        assert_eq!(answer.status, expected, "{number}");
    }
    let list = server.client.get(N).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn c067_server_writes_to_a_full_object_and_its_client_may_do_all_but_add() {
    // Given an object with room for five bytes, of which the server takes twelve.
    let server = Server::start().await;
    server.create("a", json!({"tags": [""]})).await;
    let room = OBJECT_BYTES_MAX - 5 - server.client.get(&path("a")).await.text.len();
    server
        .client
        .merge(&path("a"), json!({"spec": tags(room)}))
        .await
        .expect(200);
    let polish = json!({"apiVersion": "test.example.com/v1", "kind": "FlunderPolish", "spec": {"times": 1_000_000_000_000_u64}});
    server
        .client
        .post(&format!("{}/polish", path("a")), &polish)
        .await
        .expect(201);
    assert!(server.client.get(&path("a")).await.text.len() > OBJECT_BYTES_MAX);

    let change = async |change: Value| server.client.merge(&path("a"), change).await;
    change(json!({"spec": {"size": 3}})).await.expect(200);
    change(json!({"spec": {"color": "red"}})).await.expect(200);
    too_large(change(json!({"metadata": {"labels": {"a": "b"}}})).await);

    // Then it can be deleted, though that adds to it, and what holds it taken away.
    let delete = format!("{}?propagationPolicy=Foreground", path("a"));
    let held = server.client.delete(&delete).await.expect(200);
    assert_eq!(held["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    change(json!({"metadata": {"finalizers": []}})).await.expect(200);
    server.client.get(&path("a")).await.refused(404, "NotFound");
}
